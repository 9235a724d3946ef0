/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The programs that the scenes of tests/faults/main.c start, and one that looks at its options. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include <brood/subprocess.h>

/* What the options point to. */
struct look {
	mode_t umask;
	uid_t user;
	gid_t group, groups[1];
	struct brood_limit limits[2];
	unsigned int cpu;
	int pass[1];
	const char *env[3];
	char folder[80];
};

/* Every option that can be set together; with a session, or a group of its own. */
struct brood_subprocess_opts program_look_opts(struct look *look, const char *folder, bool session);
const char *const *program_look_args(const char *folder);
const char *program_look_text(int code);

#endif
