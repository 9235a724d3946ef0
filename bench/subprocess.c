/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting a program that does nothing, true, and waiting for its end. subprocess.run: from a small
 * program. subprocess.big: from one that has written 1 GiB, which a fork has to copy the page
 * tables of, and with every option that brood has.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/subprocess.h>

#include "job.h"

#define GROWTH (1u << 30)
#define GROUPS_MAX 64

extern char **environ;

static struct target {
	const char *path;
} targets[] = { { "/bin/true" }, { "/usr/bin/true" } };

static void *target_new(const struct shape *shape)
{
	(void)shape;
	for (unsigned int i = 0; i < sizeof(targets) / sizeof(*targets); i++)
		if (!access(targets[i].path, X_OK))
			return &targets[i];
	return NULL;
}

static void target_delete(void *object)
{
	(void)object;
}

static bool some(void *object, uint64_t rounds)
{
	(void)object;
	return rounds > 0;
}

/* In small pages, as memory becomes that is written here and there. */
static void grow(void *object, unsigned int index)
{
	char *memory =
		mmap(NULL, GROWTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)object;
	(void)index;
	if (memory == MAP_FAILED)
		abort();
	madvise(memory, GROWTH, MADV_NOHUGEPAGE);
	memset(memory, 1, GROWTH);
}

/* ---- brood ---- */

static int run_rounds(void *object, unsigned int index, unsigned int n)
{
	static const struct brood_subprocess_opts opts = { .check = true };
	const struct target *target = object;
	int result = 0;

	(void)index;
	for (; n && !result; n--)
		result = brood_subprocess_run(BROOD_ARGS(target->path), &opts, NULL,
					      BROOD_FOREVER);
	return result;
}

static int open_and_wait(const char *path, const struct brood_subprocess_opts *opts)
{
	struct brood_subprocess *process = brood_subprocess_open(BROOD_ARGS(path), opts);
	int code = 0, result;

	if (!process)
		return -errno;
	result = brood_subprocess_wait(process, &code, BROOD_FOREVER);
	brood_subprocess_close(process);
	return result ? result : code ? -EPROTO : 0;
}

static int open_rounds(void *object, unsigned int index, unsigned int n)
{
	const struct target *target = object;
	int result = 0;

	(void)index;
	for (; n && !result; n--)
		result = open_and_wait(target->path, NULL);
	return result;
}

/* All that an option can say about one program; ids, limits and CPUs are those that it has. */
static struct {
	uid_t user;
	gid_t group, groups[GROUPS_MAX];
	mode_t umask;
	struct brood_limit limits[2];
	unsigned int cpu;
	int fd;
	struct brood_subprocess_opts opts;
} every;

static const char *const every_env[] = { "BROOD_BENCH=1", "OLDPWD", NULL };

/* Only root may say which extra groups, even if they stay the same. */
static void choose_groups(struct brood_subprocess_opts *opts)
{
	int n = getgroups(GROUPS_MAX, every.groups);

	if (geteuid() || n < 0)
		return;
	opts->groups = every.groups;
	opts->groups_count = (size_t)n;
}

static void choose_limits(struct brood_subprocess_opts *opts)
{
	every.limits[0].resource = RLIMIT_CORE;
	every.limits[1].resource = RLIMIT_NOFILE;
	for (unsigned int i = 0; i < 2; i++)
		if (getrlimit((__rlimit_resource_t)every.limits[i].resource,
			      &every.limits[i].value))
			abort();
	opts->limits = every.limits;
	opts->limits_count = 2;
}

static void grow_and_choose(void *object, unsigned int index)
{
	const struct brood_stream piped = { .kind = BROOD_STREAM_PIPE };

	grow(object, index);
	every.user = getuid();
	every.group = getgid();
	every.umask = 022;
	every.cpu = (unsigned int)sched_getcpu();
	every.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (every.fd < 0)
		abort();
	every.opts = (struct brood_subprocess_opts){
		.in = piped, .out = piped, .err = piped,
		.executable = ((const struct target *)object)->path,
		.env = every_env, .cwd = "/", .umask = &every.umask,
		.user = &every.user, .group = &every.group,
		.own_group = true, .nice = 1,
		.cpus = &every.cpu, .cpus_count = 1,
		.pass_fds = &every.fd, .pass_fds_count = 1,
		.die_with_parent = true, .pipe_size = 1 << 17,
	};
	choose_groups(&every.opts);
	choose_limits(&every.opts);
}

static int every_rounds(void *object, unsigned int index, unsigned int n)
{
	int result = 0;

	(void)object;
	(void)index;
	for (; n && !result; n--)
		result = open_and_wait("true", &every.opts);
	return result;
}

/* ---- others ---- */

static int end_of(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? -EPROTO : 0;
}

static int spawn_rounds(void *object, unsigned int index, unsigned int n)
{
	char *path = (char *)(uintptr_t)((const struct target *)object)->path;
	char *const args[] = { path, NULL };
	int result = 0;
	pid_t pid;

	(void)index;
	for (; n && !result; n--) {
		result = -posix_spawn(&pid, path, NULL, NULL, args, environ);
		result = result ? result : end_of(pid);
	}
	return result;
}

static int vfork_round(const char *path)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	return pid < 0 ? -errno : end_of(pid);
}

static int vfork_rounds(void *object, unsigned int index, unsigned int n)
{
	int result = 0;

	(void)index;
	for (; n && !result; n--)
		result = vfork_round(((const struct target *)object)->path);
	return result;
}

static int fork_rounds(void *object, unsigned int index, unsigned int n)
{
	const char *path = ((const struct target *)object)->path;
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		pid_t pid = fork();

		if (pid == 0) {
			execl(path, path, (char *)NULL);
			_exit(127);
		}
		result = pid < 0 ? -errno : end_of(pid);
	}
	return result;
}

static void *python_new(const struct shape *shape)
{
	const struct target *target = target_new(shape);
	char command[512];

	if (!target)
		return NULL;
	snprintf(command, sizeof command,
		 "python3 -c \"import subprocess, time\n"
		 "def go(n):\n"
		 "    for i in range(n): subprocess.run(['%s'], check=True)\n"
		 "go(3); t = time.perf_counter_ns(); go(100)\n"
		 "print((time.perf_counter_ns() - t) // 100)\" 2>/dev/null",
		 target->path);
	return python_figure_new(command);
}

#define TARGET \
	.create = target_new, .destroy = target_delete, .right = some, .traits = PEER_ALONE

const struct peer peer_subprocess[] = {
	{
		.name = "brood", .about = "brood_subprocess_run", .only = "subprocess.run",
		TARGET, .rounds = run_rounds,
	}, {
		.name = "brood_open", .about = "open, wait, close", .only = "subprocess.run",
		TARGET, .rounds = open_rounds,
	}, {
		.name = "posix_spawn", .about = "and waitpid", .only = "subprocess.run",
		TARGET, .rounds = spawn_rounds,
	}, {
		.name = "vfork", .about = "vfork, exec, waitpid", .only = "subprocess.run",
		TARGET, .rounds = vfork_rounds,
	}, {
		.name = "fork", .about = "fork, exec, waitpid", .only = "subprocess.run",
		TARGET, .rounds = fork_rounds,
	}, {
		.name = "python", .about = "subprocess.run", .only = "subprocess.run",
		.traits = PEER_ALONE, .create = python_new, .destroy = python_figure_delete,
		.rounds = python_figure_rounds, .right = some,
	}, {
		.name = "brood", .about = "open with every option, wait, close",
		.only = "subprocess.big",
		TARGET, .rounds = every_rounds, .enter = grow_and_choose,
	}, {
		.name = "brood_run", .about = "brood_subprocess_run without options",
		.only = "subprocess.big",
		TARGET, .rounds = run_rounds, .enter = grow,
	}, {
		.name = "posix_spawn", .about = "and waitpid, without options",
		.only = "subprocess.big",
		TARGET, .rounds = spawn_rounds, .enter = grow,
	}, {
		.name = "fork", .about = "fork, exec, waitpid", .only = "subprocess.big",
		TARGET, .rounds = fork_rounds, .enter = grow,
	}, {
		.name = NULL,
	},
};
