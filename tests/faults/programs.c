/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the scenes of tests/faults/main.c start: this test itself, with the name of a part. `look`
 * sees whether each option is in force, and ends with the number of the first that is not; so an
 * error that was swallowed on the way to the exec is seen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "programs.h"
#include "faults.h"

#define UMASK 0135
#define FILES 77
#define GROUP 4711

struct brood_subprocess_opts program_look_opts(struct look *look, const char *folder, bool session)
{
	cpu_set_t set;

	*look = (struct look){ .umask = UMASK,
			       .user = getuid(),
			       .group = getgid(),
			       .groups = { GROUP },
			       .pass = { PASSED_FD },
			       .env = { "FAULTS=seen", "TMPDIR", NULL } };
	look->limits[0] = (struct brood_limit){ RLIMIT_CORE, { 0, 0 } };
	look->limits[1] = (struct brood_limit){ RLIMIT_NOFILE, { FILES, FILES } };
	sched_getaffinity(0, sizeof set, &set);
	while (!CPU_ISSET(look->cpu, &set))
		look->cpu++;
	snprintf(look->folder, sizeof look->folder, "%s", folder);
	return (struct brood_subprocess_opts){
		.in.kind = BROOD_STREAM_NULL,
		.out.kind = BROOD_STREAM_PIPE,
		.err.kind = BROOD_STREAM_OUTPUT,
		.env = look->env,
		.cwd = look->folder,
		.umask = &look->umask,
		.user = &look->user,
		.group = &look->group,
		.groups = geteuid() ? NULL : look->groups,
		.groups_count = geteuid() ? 0 : 1,
		.new_session = session,
		.own_group = !session,
		.nice = 1,
		.limits = look->limits,
		.limits_count = 2,
		.cpus = &look->cpu,
		.cpus_count = 1,
		.pass_fds = look->pass,
		.pass_fds_count = 1,
		.die_with_parent = true,
		.pipe_size = 8192,
	};
}

const char *const *program_look_args(const char *folder)
{
	static const char *args[] = { "/proc/self/exe", "look", NULL, NULL };

	args[2] = folder;
	return args;
}

static bool fds_right(void)
{
	for (int fd = 0; fd < 256; fd++)
		if ((fcntl(fd, F_GETFD) >= 0) != (fd < 3 || fd == PASSED_FD))
			return false;
	return true;
}

static bool signals_right(void)
{
	sigset_t mask;
	struct sigaction action;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigaction(SIGPIPE, NULL, &action);
	return sigisemptyset(&mask) && action.sa_handler == SIG_DFL;
}

static bool limits_right(void)
{
	struct rlimit core = { 1, 1 }, files = { 1, 1 };

	getrlimit(RLIMIT_CORE, &core);
	getrlimit(RLIMIT_NOFILE, &files);
	return core.rlim_cur == 0 && files.rlim_max == FILES;
}

static bool cpus_right(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
}

static bool groups_right(void)
{
	gid_t groups[2] = { 0 };

	return geteuid() || (getgroups(2, groups) == 1 && groups[0] == GROUP);
}

static bool parent_right(void)
{
	int signal = 0;

	return prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == SIGKILL;
}

static const char *const texts[] = {
	"",	  "descriptors",      "signals", "limits", "cpus",
	"groups", "die_with_parent",  "umask",	 "cwd",	   "env",
	"nice",	  "group or session",
};

const char *program_look_text(int code)
{
	return code > 0 && (size_t)code < sizeof texts / sizeof *texts ? texts[code] : "it failed";
}

static int look(const char *folder)
{
	const char *env = getenv("FAULTS");
	struct stat here, there;
	const bool right[] = {
		true,
		fds_right(),
		signals_right(),
		limits_right(),
		cpus_right(),
		groups_right(),
		parent_right(),
		umask(0) == UMASK,
		stat(".", &here) == 0 && stat(folder, &there) == 0 && here.st_ino == there.st_ino,
		env && strcmp(env, "seen") == 0 && !getenv("TMPDIR"),
		getpriority(PRIO_PROCESS, 0) == getpriority(PRIO_PROCESS, (id_t)getppid()) + 1 ||
			getpriority(PRIO_PROCESS, 0) == 19,
		getpgrp() == getpid(),
	};

	for (size_t i = 0; i < sizeof right / sizeof *right; i++)
		if (!right[i])
			return (int)i;
	return 0;
}

static int copy(bool write_too)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(0, bytes, sizeof bytes)) > 0)
		for (ssize_t done = 0, r; write_too && done < n; done += r)
			if ((r = write(1, bytes + done, (size_t)(n - done))) <= 0)
				return 1;
	return n < 0;
}

/* It and a child of it hold the output, and end by themselves only after a while. */
static int tree(useconds_t ms)
{
	if (fork() < 0 || write(1, "", 1) != 1)
		return 1;
	usleep(1000 * ms);
	return 0;
}

int scene_program(int argc, char **argv)
{
	const char *part = argv[1], *argument = argc > 2 ? argv[2] : "0";

	if (strcmp(part, "cat") == 0 || strcmp(part, "read") == 0)
		return copy(part[0] == 'c');
	if (strcmp(part, "sleep") == 0)
		return usleep(1000 * (useconds_t)atoi(argument));
	if (strcmp(part, "exit") == 0)
		return atoi(argument);
	if (strcmp(part, "tree") == 0)
		return tree((useconds_t)atoi(argument));
	if (strcmp(part, "tty") == 0)
		return isatty(1) && isatty(2) && write(1, "tty\n", 4) == 4 ? 0 : 1;
	return strcmp(part, "look") == 0 ? look(argument) : 99;
}
