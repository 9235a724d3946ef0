/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Floor 1, process.c: threads, processes and the descriptors that stand for them. */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/children.h"
#include "platform/platform.h"

int32_t brood__thread_id(void)
{
	return gettid();
}

uint64_t brood__pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : st.st_ino;
}

unsigned int brood__cpus_allowed(void)
{
	cpu_set_t sets[8];	/* 8192 CPUs: the kernel refuses a mask smaller than its own */
	int n;

	if (sched_getaffinity(0, sizeof sets, sets))
		return 1;
	n = CPU_COUNT_S(sizeof sets, sets);
	return n > 0 ? (unsigned int)n : 1;
}

int brood__pidfd_open(pid_t pid)
{
	int fd = brood__fd_lift(pidfd_open(pid, 0));

	return fd < 0 ? -errno : fd;
}

/*
 * For valgrind, which has no call for it: by the pid that the kernel tells of the descriptor, -1
 * when it was reaped. Between that and the signal somebody else could get it.
 */
static int signal_by_pid(int pidfd, int signal)
{
	char path[40], line[80];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	file = fopen(path, "re");
	while (file && pid == 0 && fgets(line, sizeof line, file))
		sscanf(line, "Pid: %d", &pid);
	if (file)
		fclose(file);
	if (pid == -1)
		return -ESRCH;
	if (pid <= 0 || brood__proc_check())
		return -ENOSYS;
	return kill(pid, signal) ? -errno : 0;
}

int brood__pidfd_signal(int pidfd, int signal)
{
	if (pidfd_send_signal(pidfd, signal, NULL, 0) == 0)
		return 0;
	return errno == ENOSYS ? signal_by_pid(pidfd, signal) : -errno;
}

int brood__pidfd_wait(int pidfd, int64_t deadline)
{
	struct pollfd poll = { .fd = pidfd, .events = POLLIN };
	int n = brood__poll(&poll, 1, deadline);

	if (n == 0)
		return deadline ? -ETIMEDOUT : -EAGAIN;
	return n < 0 ? n : 0;
}

#define TRACER_NS INT64_C(2000000)

int brood__pidfd_wait_again(int pidfd, int64_t deadline, bool *ended)
{
	struct timespec moment = { .tv_nsec = TRACER_NS };

	if (!*ended) {
		int r = brood__pidfd_wait(pidfd, deadline);

		*ended = r == 0;
		return r;
	}
	if (brood__is_over(deadline))
		return deadline ? -ETIMEDOUT : -EAGAIN;
	ppoll(NULL, 0, &moment, NULL);
	return 0;
}

int brood__die_with_parent(void)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL) ? -errno : 0;
}

void brood__yield(void)
{
	sched_yield();
}
