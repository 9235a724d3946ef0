/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a process ended, and who else has open what it had. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/children.h"
#include "platform/spawn.h"

#define TELLS_LATER_NS INT64_C(100000000)

/* ---- the exit code of who was reaped by somebody else ---- */

/* Linux 6.15 keeps it with the pidfd. The C library's headers do not have it yet. */
struct pidfd_info {
	uint64_t mask;
	uint64_t cgroup;
	uint32_t ids[11];
	int32_t status;
};

#define PIDFD_INFO_EXIT UINT64_C(8)
#define PIDFD_GET_INFO	_IOWR(0xff, 11, struct pidfd_info)

/*
 * For a moment it is there no more to be reaped, and not known as ended yet: the bit is missing.
 * And the kernel looks for the ending first, then for the process, which may be gone by then
 * (ESRCH): if the ending is to be known at all, it is so the next time.
 */
static int told_by_pidfd(int pidfd, int *exit_code)
{
	int64_t until = brood_now() + TELLS_LATER_NS;
	struct pidfd_info info;
	int r, gone = 0;

	do {
		memset(&info, 0, sizeof info);
		info.mask = PIDFD_INFO_EXIT;
		r = ioctl(pidfd, PIDFD_GET_INFO, &info);
		if (r && (errno != ESRCH || gone++ > 1))
			return -ECHILD;
		if (r == 0 && info.mask & PIDFD_INFO_EXIT) {
			*exit_code = WIFSIGNALED(info.status) ? -WTERMSIG(info.status)
							      : WEXITSTATUS(info.status);
			return 0;
		}
		brood__yield();
	} while (brood_now() < until);
	return -ECHILD;
}

/* The C library's waitid does not tell the usage. */
int brood__pidfd_reap(int pidfd, int *exit_code, struct rusage *usage)
{
	siginfo_t info = { .si_pid = 0 }; /* stays 0 while there is nothing to reap */
	long r;

	do
		r = syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED | WNOHANG, usage);
	while (r && errno == EINTR);
	if (r && errno != ECHILD)
		return -errno;
	if (r) {
		if (usage)
			memset(usage, 0, sizeof *usage);
		return told_by_pidfd(pidfd, exit_code);
	}
	/* The caller may trace it: then stops are told, too. */
	if (info.si_pid == 0 || info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED)
		return -EAGAIN;
	*exit_code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
	return 0;
}

/* ---- holders ---- */

int64_t brood__boot_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_BOOTTIME, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

struct held {
	struct stat files[3];
	bool read[3]; /* theirs is the end for reading */
	size_t n;
	int64_t since; /* in clock ticks since the boot */
};

/* Both ends of a pipe are one file; of a pseudo-terminal the other end is asked for. */
static void add_held(struct held *held, int fd, bool read)
{
	struct stat *file = &held->files[held->n];
	char name[40];

	held->read[held->n] = read;
	if (fd >= 0 && (ptsname_r(fd, name, sizeof name) ? fstat(fd, file) : stat(name, file)) == 0)
		held->n++;
}

/* To stat any file may wait for its server; these have none. */
static bool may_be_held(const char *path)
{
	char name[16] = { 0 };

	return readlink(path, name, sizeof name - 1) > 0 &&
	       (strncmp(name, "pipe:", 5) == 0 || strncmp(name, "/dev/pts/", 9) == 0);
}

/* Which of them; -1. */
static int which_is_held(const struct held *held, const char *path)
{
	struct stat file;

	if (!may_be_held(path) || stat(path, &file))
		return -1;
	for (size_t i = 0; i < held->n; i++)
		if (held->files[i].st_dev == file.st_dev && held->files[i].st_ino == file.st_ino)
			return (int)i;
	return -1;
}

static bool is_open_for(bool reading, pid_t pid, const char *fd)
{
	char path[64];
	unsigned int flags = O_CLOEXEC, other = reading ? O_WRONLY : O_RDONLY;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/fdinfo/%.16s", pid, fd);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fscanf(file, "pos: %*d flags: %o", &flags) != 1)
		flags = O_CLOEXEC;
	fclose(file);
	return !(flags & O_CLOEXEC) && (flags & O_ACCMODE) != other;
}

static bool holds(const struct held *held, pid_t pid)
{
	const struct dirent *entry;
	char path[64];
	bool found = false;
	int which;
	DIR *list;

	snprintf(path, sizeof path, "/proc/%d/fd", pid);
	list = opendir(path);
	while (list && !found && (entry = readdir(list)) != NULL) {
		snprintf(path, sizeof path, "/proc/%d/fd/%.16s", pid, entry->d_name);
		which = which_is_held(held, path);
		found = which >= 0 && is_open_for(held->read[which], pid, entry->d_name);
	}
	if (list)
		closedir(list);
	return found;
}

/* The pidfd comes first: what is then read of the pid is its own if it still lives. */
static bool kill_if_holder(const struct held *held, pid_t pid)
{
	int pidfd = brood__pidfd_open(pid);
	bool killed = pidfd >= 0 && brood__proc_started(pid) >= held->since && holds(held, pid) &&
		      brood__pidfd_signal(pidfd, SIGKILL) == 0;

	if (pidfd >= 0)
		close(pidfd);
	return killed;
}

int brood__kill_holders(const int fds[3], int64_t since)
{
	struct held held = { .since = since / (1000000000 / sysconf(_SC_CLK_TCK)) };
	const struct dirent *entry;
	int killed = 0;
	DIR *list;

	for (int i = 0; i < 3; i++)
		add_held(&held, fds[i], i == 0);
	list = held.n && brood__proc_check() == 0 ? opendir("/proc") : NULL;
	while (list && (entry = readdir(list)) != NULL) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 0 && pid != getpid())
			killed += kill_if_holder(&held, pid);
	}
	if (list)
		closedir(list);
	return killed;
}
