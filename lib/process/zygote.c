/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The zygote, as the program sees it: a child that has one thread and little memory, and starts
 * children for the program, which has neither any more.
 *
 *	program                                  zygote (nursery.c)
 *	handle, gate  - - - - - - - - - - - - -> reads them
 *	                                         brood__clone_sibling: the pid into the shared word
 *	reads the answer  <- - - - - - - - - - - answers 0 or -errno
 *	goes on as after a fork                  the child waits at its gate
 *
 * The new process is the program's own child, not the zygote's: getppid, waitid, pidfds and the
 * signal at the parent's death are as after a fork.
 *
 * The zygote dies. Then the word says whether there is a child: the kernel writes it before either
 * of the two can run. If there is one, it has all it needs, and nothing is wrong. If not, another
 * zygote is forked and asked once more.
 *
 * The program dies. The zygote watches its pidfd and ends; a child at its gate looks for its
 * parent.
 *
 * One request at a time, under a mutex of its own; a forked child, which has no zygote, begins
 * with a new one. The descriptors change under the table's mutex, like all that a fork must find.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/arena.h"
#include "platform/children.h"
#include "process/process.h"

#define ATTEMPTS 3

static struct brood__guard guard = BROOD__GUARD_INITIALIZER; /* of a request */
static int to_zygote = -1;
static int pidfd = -1;
static bool wanted; /* there was one in this process, so there may be another */
static int32_t *told; /* shared with the zygote: the pid of what it has cloned */

static void set_fds(int new_socket, int new_pidfd)
{
	brood__children_lock();
	to_zygote = new_socket;
	pidfd = new_pidfd;
	brood__children_unlock();
}

void brood__zygote_forked(void)
{
	static const struct brood__guard fresh = BROOD__GUARD_INITIALIZER;

	guard = fresh;
	if (to_zygote >= 0)
		close(to_zygote);
	if (pidfd >= 0)
		close(pidfd);
	to_zygote = pidfd = -1;
	wanted = false;
	if (told)
		munmap(told, brood__page_size());
	told = NULL;
}

static int share_word(void)
{
	void *page;

	if (told)
		return 0;
	page = mmap(NULL, brood__page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
	if (page == MAP_FAILED)
		return -errno;
	told = page;
	return 0;
}

/* Reap it; it has ended, or is made to. */
static void bury(void)
{
	int socket = to_zygote, fd = pidfd, code;

	if (fd < 0)
		return;
	set_fds(-1, -1);
	close(socket);
	brood__pidfd_signal(fd, SIGKILL);
	while (brood__pidfd_reap(fd, &code, NULL) == -EAGAIN)
		brood__pidfd_wait(fd, BROOD__NO_DEADLINE);
	close(fd);
}

/* A zygote whose pidfd cannot be had is of no use: it ends with its socket. */
static int take_on(pid_t pid, int socket)
{
	int fd = pid < 0 ? pid : brood__pidfd_open(pid);

	if (fd >= 0) {
		set_fds(socket, fd);
		wanted = true;
		return 0;
	}
	close(socket);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}

/* The zygote's own handlers would be the program's: no signal reaches it. */
static pid_t fork_zygote(int socket)
{
	pid_t program = getpid(), pid;
	int32_t *word = told;
	sigset_t all, mask;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	told = NULL; /* not unmapped in the fork */
	pid = fork();
	if (pid == 0)
		brood__nursery(socket, program, word);
	if (pid < 0)
		pid = -errno;
	told = word;
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return pid;
}

static int start(void)
{
	int ends[2], r = brood__clone_sibling_works();

	if (r == 0)
		r = share_word();
	if (r)
		return r;
	brood__flush();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	r = fork_zygote(ends[1]);
	close(ends[1]);
	return take_on(r, ends[0]);
}

static bool lives(void)
{
	return pidfd >= 0 && brood__pidfd_wait(pidfd, 0) != 0;
}

/* The first one comes from a program of one thread; one that was killed is replaced in any case. */
static int be_there(void)
{
	if (lives())
		return 0;
	bury();
	return !wanted && brood__threads() > 1 ? -EBUSY : start();
}

int brood_zygote_start(void)
{
	int r = brood__children_ready();

	if (r == 0)
		r = brood__family_ready();
	if (r)
		return r;
	brood__guard_lock(&guard);
	r = lives() ? -EALREADY : be_there();
	brood__guard_unlock(&guard);
	return r;
}

int brood_zygote_stop(void)
{
	brood__guard_lock(&guard);
	bury();
	wanted = false;
	brood__guard_unlock(&guard);
	return 0;
}

void brood__zygote_end(void)
{
	brood_zygote_stop();
}

static int send_all(const char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(to_zygote, bytes, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return -errno;
		if (sent > 0) {
			bytes += sent;
			n -= (size_t)sent;
		}
	}
	return 0;
}

static int answer(void)
{
	int result;
	ssize_t n;

	do
		n = recv(to_zygote, &result, sizeof result, MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	return n == sizeof result ? result : -EPIPE;
}

/* -EPIPE: the zygote has died, and there is no child. */
static pid_t ask(const struct brood_process *process)
{
	size_t first = process->bytes;
	int r;

	if (first > BROOD__REQUEST_AT_ONCE)
		first = BROOD__REQUEST_AT_ONCE;

	*(volatile int32_t *)told = 0;
	r = brood__fd_send(to_zygote, process->gate, process, first);
	if (r == 0)
		r = send_all((const char *)process + first, process->bytes - first);
	r = r ? -EPIPE : answer();
	if (r == -EPIPE) {
		bury();
		r = 0;
	}
	if (r < 0)
		return r;
	return *(volatile int32_t *)told ? *(volatile int32_t *)told : -EPIPE;
}

pid_t brood__zygote_fork(struct brood_process *process)
{
	pid_t pid = -EPIPE;

	brood__guard_lock(&guard);
	for (int i = 0; pid == -EPIPE && i < ATTEMPTS; i++) {
		pid = be_there();
		if (pid == 0)
			pid = ask(process);
	}
	brood__guard_unlock(&guard);
	return pid;
}
