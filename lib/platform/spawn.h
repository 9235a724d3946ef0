/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Floor 1: starting other programs, and what only that needs. */
#ifndef BROOD_PLATFORM_SPAWN_H
#define BROOD_PLATFORM_SPAWN_H

#include "platform/platform.h"

#include <brood/subprocess.h>

/* ---- spawn.c ---- */

#define BROOD__SPAWN_LEAVE  (-1) /* a stream that stays as it is */
#define BROOD__SPAWN_OUTPUT (-2) /* error goes where output goes */

struct brood__spawn { /* all pointers are the caller's */
	const char *const *argv;
	const char *const *envp;
	const char *const *paths; /* tried in this order; ends with NULL */
	const struct brood_subprocess_opts *opts; /* those that apply in the new process */
	const int *passed; /* opts->pass_fds, sorted */
	int streams[3]; /* the descriptors that become 0, 1 and 2; or see above */
	sigset_t mask; /* of the new program */
	pid_t parent;
	/* What the new process tells: */
	int error;
	uint32_t step; /* enum brood_subprocess_step */
	int pidfd;
};

/*
 * Start the program. The pid, and spawn->pidfd, CLOEXEC; or -errno and spawn->step, and no process
 * is left. Returns when it has been exec'ed.
 */
pid_t brood__spawn(struct brood__spawn *spawn);

/*
 * Whether the caller may be dumped and traced. Who changes its ids takes that from all that has the
 * same memory: so the parent of a program with other ids asks before, and sets it again afterwards.
 */
int brood__dumpable(void);
void brood__set_dumpable(int dumpable);

/* ---- ending.c ---- */

/*
 * SIGKILL to all processes but the caller that were started at CLOCK_BOOTTIME `since`, in
 * nanoseconds, or later, and have the other side of one of our ends open and not marked CLOEXEC:
 * those who have it from the program that it was made for. fds: its input, output and error; those
 * below 0 are left out. How many.
 */
int brood__kill_holders(const int fds[3], int64_t since);
int64_t brood__boot_time(void); /* CLOCK_BOOTTIME, nanoseconds */

/* ---- sigpipe.c ---- */

struct brood__sigpipe {
	sigset_t mask;
	sigset_t may_come; /* were not pending before */
};

/*
 * Around a write, in the same thread: it brings no SIGPIPE, nor SIGXFSZ. broken: it failed by EPIPE;
 * file: it was to what may be a file.
 */
void brood__sigpipe_off(struct brood__sigpipe *before);
void brood__sigpipe_on(struct brood__sigpipe *before, bool broken, bool file);

/* ---- pty.c ---- */

/*
 * A pseudo-terminal that changes no byte: ends[0] is ours, ends[1] the program's. CLOEXEC. 0 or
 * -errno.
 */
int brood__pty_make(int ends[2]);

#endif
