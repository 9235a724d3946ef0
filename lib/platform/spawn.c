/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting another program.
 *
 * clone(CLONE_VM | CLONE_VFORK): the new process runs in the memory of its parent, on a stack of
 * its own, and the thread that made it sleeps until it has exec'ed or ended. So no page table is
 * copied, however big the program is, and an error is told by storing it. (The same is done by the
 * posix_spawn of glibc and musl; that has not all that is needed here.)
 *
 * What that asks for:
 *
 * - Other threads run on, in the same memory. The new process takes no lock of the C library (its
 *   sigaction may take that of abort), and allocates nothing. All that it needs lies ready in
 *   struct brood__spawn.
 * - No handler may run in it: it would run in the parent's memory. All signals are blocked before,
 *   and all handlers are off in the new process before the program's mask is set.
 * - Ids are set by the system call itself. The C library's calls set those of all threads of the
 *   process that it takes itself to be in: the parent's.
 * - Nor may it leave a mark on the memory: brood__dumpable.
 * - errno is the sleeping thread's, and nobody else's.
 * - The thread must not be cancelled while it sleeps: the caller sees to that.
 *
 * Descriptors: the program's 0 to 2 are first moved above 2, where they are in each other's way.
 * Whatever is not meant for the program is closed by hand before exec, as exec itself lets the
 * parent go on before it closes anything: a pipe or lock that the caller gives up then would still
 * be held, and an epoll set still tell of it.
 *
 * die_with_parent comes behind the change of ids, which would undo it, and before the look at the
 * parent: if that ended earlier, the parent is another one by now. If the parent is killed
 * meanwhile, the memory stays as long as the new process is in it, so the program starts all the
 * same.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/children.h"
#include "platform/spawn.h"

#define STACK	    32768u /* of the new process until exec; what it does here takes a tenth of it */
#define NOT_STARTED 127 /* nobody is told this code */

/* The kernel's, of whatever layout: the handler comes first, and all 0 is SIG_DFL. */
struct action {
	uintptr_t handler;
	uint64_t rest[7];
};

#define SET_BYTES 8 /* of the kernel's set of signals */

static bool stays(const struct brood__spawn *spawn, int number, const struct action *action)
{
	if (action->handler == (uintptr_t)SIG_DFL)
		return true;
	return action->handler == (uintptr_t)SIG_IGN &&
	       (spawn->opts->keep_signals || (number != SIGPIPE && number != SIGXFSZ));
}

static int signals(struct brood__spawn *spawn)
{
	static const struct action reset;
	struct action action = { 0 };

	for (int number = 1; number < NSIG; number++) {
		if (syscall(SYS_rt_sigaction, number, NULL, &action, SET_BYTES))
			return -errno;
		if (!stays(spawn, number, &action) &&
		    syscall(SYS_rt_sigaction, number, &reset, NULL, SET_BYTES))
			return -errno;
	}
	return 0;
}

/* Not _exit: what sanitizers do before it knows nothing of this stack. */
static void leave(void)
{
	for (;;)
		syscall(SYS_exit_group, NOT_STARTED);
}

static int session(struct brood__spawn *spawn)
{
	return spawn->opts->new_session && setsid() < 0 ? -errno : 0;
}

static int group(struct brood__spawn *spawn)
{
	if (!spawn->opts->own_group && !spawn->opts->join_group)
		return 0;
	return setpgid(0, spawn->opts->join_group) ? -errno : 0;
}

/* A source that is in the way of a target goes above the targets. */
static int clear_the_way(int source, int target)
{
	int copy;

	if (source < 0 || source > 2 || source == target)
		return source;
	copy = fcntl(source, F_DUPFD_CLOEXEC, 3);
	return copy < 0 ? -errno : copy;
}

/* Also in its place already it is meant to stay. */
static int put_in_place(int source, int target)
{
	if (source == target)
		return fcntl(target, F_SETFD, 0) ? -errno : 0;
	return dup2(source, target) < 0 ? -errno : 0;
}

static int streams(struct brood__spawn *spawn)
{
	int r = 0;

	for (int i = 0; r >= 0 && i < 3; i++) {
		spawn->step = BROOD_STEP_STDIN + (uint32_t)i;
		if (spawn->streams[i] < 0)
			continue;
		r = clear_the_way(spawn->streams[i], i);
		if (r >= 0)
			spawn->streams[i] = r;
	}
	for (int i = 0; r >= 0 && i < 3; i++) {
		int source = spawn->streams[i];

		spawn->step = BROOD_STEP_STDIN + (uint32_t)i;
		if (source == BROOD__SPAWN_OUTPUT)
			source = 1;
		if (source >= 0)
			r = put_in_place(source, i);
	}
	return r < 0 ? r : 0;
}

static int limits(struct brood__spawn *spawn)
{
	const struct brood_subprocess_opts *opts = spawn->opts;

	if (opts->umask)
		umask(*opts->umask);
	for (size_t i = 0; i < opts->limits_count; i++)
		if (setrlimit((__rlimit_resource_t)opts->limits[i].resource,
			      &opts->limits[i].value))
			return -errno;
	return 0;
}

static int nice_value(struct brood__spawn *spawn)
{
	return brood__nicer(0, spawn->opts->nice);
}

static int cpus(struct brood__spawn *spawn)
{
	const struct brood_subprocess_opts *opts = spawn->opts;

	return opts->cpus_count ? brood__cpus_allow(0, opts->cpus, opts->cpus_count) : 0;
}

static int cwd(struct brood__spawn *spawn)
{
	return spawn->opts->cwd && chdir(spawn->opts->cwd) ? -errno : 0;
}

static int ids(struct brood__spawn *spawn)
{
	const struct brood_subprocess_opts *opts = spawn->opts;

	if (opts->groups && syscall(SYS_setgroups, opts->groups_count, opts->groups))
		return -errno;
	if (opts->group && syscall(SYS_setresgid, *opts->group, *opts->group, *opts->group))
		return -errno;
	if (opts->user && syscall(SYS_setresuid, *opts->user, *opts->user, *opts->user))
		return -errno;
	return 0;
}

static int parent(struct brood__spawn *spawn)
{
	int r = spawn->opts->die_with_parent ? brood__die_with_parent() : 0;

	/* 0: it is in another pid namespace, and cannot tell. */
	if (r == 0 && spawn->opts->die_with_parent && getppid() && getppid() != spawn->parent)
		leave(); /* nobody is there to be told */
	return r;
}

struct entry { /* of SYS_getdents64 */
	uint64_t inode;
	int64_t next;
	uint16_t length;
	uint8_t type;
	char name[];
};

static int number_of(const char *name)
{
	int n = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		n = 10 * n + (*name - '0');
	return *name ? -1 : n;
}

static bool is_passed(const struct brood__spawn *spawn, int fd)
{
	for (size_t i = 0; i < spawn->opts->pass_fds_count; i++)
		if (spawn->passed[i] == fd)
			return true;
	return false;
}

/* For kernels before 5.9. opendir allocates, which we may not. */
static int close_one_by_one(const struct brood__spawn *spawn)
{
	_Alignas(struct entry) char room[2048];
	int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (list < 0)
		return -errno;
	while ((n = syscall(SYS_getdents64, list, room, sizeof room)) > 0) {
		const struct entry *entry;

		for (long at = 0; at < n; at += entry->length) {
			int fd;

			entry = (const struct entry *)(const void *)(room + at);
			fd = number_of(entry->name);
			if (fd > 2 && fd != list && !is_passed(spawn, fd))
				syscall(SYS_close, fd);
		}
	}
	n = n < 0 ? -errno : 0;
	syscall(SYS_close, list);
	return (int)n;
}

static int close_from(int first, unsigned int last)
{
	return (unsigned int)first <= last ? close_range((unsigned int)first, last, 0) : 0;
}

static int close_others(const struct brood__spawn *spawn)
{
	int from = 3;

	for (size_t i = 0; i < spawn->opts->pass_fds_count; i++) {
		int passed = spawn->passed[i];

		if (passed < from)
			continue;
		if (close_from(from, (unsigned int)passed - 1))
			return close_one_by_one(spawn);
		from = passed + 1;
	}
	return close_from(from, ~0u) ? close_one_by_one(spawn) : 0;
}

/* Those of 0 to 2 that exec would close. */
static void close_standard_ones(void)
{
	for (int fd = 0; fd < 3; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags >= 0 && flags & FD_CLOEXEC)
			syscall(SYS_close, fd);
	}
}

static int descriptors(struct brood__spawn *spawn)
{
	for (size_t i = 0; i < spawn->opts->pass_fds_count; i++)
		if (fcntl(spawn->passed[i], F_SETFD, 0))
			return -errno;
	if (spawn->opts->keep_fds)
		return 0;
	close_standard_ones();
	return close_others(spawn);
}

/* The first error that tells more than that there is no such file. */
static int exec(struct brood__spawn *spawn)
{
	int telling = 0, last = -ENOENT;

	if (sigprocmask(SIG_SETMASK, &spawn->mask, NULL))
		return -errno;
	for (const char *const *path = spawn->paths; *path; path++) {
		execve(*path, (char *const *)(uintptr_t)spawn->argv,
		       (char *const *)(uintptr_t)spawn->envp);
		last = -errno;
		if (last != -ENOENT && last != -ENOTDIR && telling == 0)
			telling = last;
	}
	return telling ? telling : last;
}

static const struct {
	uint32_t step;
	int (*take)(struct brood__spawn *);
} steps[] = {
	{ BROOD_STEP_SIGNALS, signals },
	{ BROOD_STEP_SESSION, session },
	{ BROOD_STEP_GROUP, group },
	{ BROOD_STEP_STDIN, streams },
	{ BROOD_STEP_CWD, cwd }, /* before its descriptor is closed, and with the caller's rights */
	{ BROOD_STEP_PASS_FDS, descriptors },
	{ BROOD_STEP_LIMITS, limits },
	{ BROOD_STEP_NICE, nice_value },
	{ BROOD_STEP_CPUS, cpus },
	{ BROOD_STEP_IDS, ids },
	{ BROOD_STEP_PARENT, parent },
	{ BROOD_STEP_EXEC, exec },
};

static int run_child(void *argument)
{
	struct brood__spawn *spawn = argument;

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		int r;

		spawn->step = steps[i].step;
		r = steps[i].take(spawn);
		if (r) {
			spawn->error = r;
			break;
		}
	}
	leave();
	return 0;
}

int brood__dumpable(void)
{
	return prctl(PR_GET_DUMPABLE);
}

void brood__set_dumpable(int dumpable)
{
	prctl(PR_SET_DUMPABLE, dumpable);
}

static bool is_reaped(idtype_t type, id_t id)
{
	int r;

	do
		r = waitid(type, id, NULL, WEXITED);
	while (r && errno == EINTR);
	return r == 0 || errno == ECHILD;
}

/* By its pid only if it must be: somebody else may have reaped it, and another have got that. */
static void bury(pid_t pid, int pidfd)
{
	if (!is_reaped(P_PIDFD, (id_t)pidfd))
		is_reaped(P_PID, (id_t)pid);
	close(pidfd);
}

/* A clone that fails late has told the number of a pidfd all the same. */
pid_t brood__spawn(struct brood__spawn *spawn)
{
	char *stack = aligned_alloc(BROOD__LINE, STACK);
	sigset_t all, before;
	pid_t pid;

	spawn->step = BROOD_STEP_START;
	if (!stack)
		return -ENOMEM;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	sigemptyset(&spawn->mask);
	if (spawn->opts->keep_signals)
		spawn->mask = before;
	spawn->parent = getpid();
	spawn->error = 0;
	pid = clone(run_child, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, spawn,
		    &spawn->pidfd);
	if (pid < 0)
		pid = -errno;
	else if (spawn->error)
		bury(pid, spawn->pidfd);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	free(stack);
	return pid > 0 && spawn->error ? spawn->error : pid;
}
