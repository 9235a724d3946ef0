/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A start returned while the new program still held copies of all that the caller had open: exec
 * closes them later than it lets the parent go on. A lock that was given up right behind was still
 * held, and an epoll set told of pipes that were closed. The more so where another of them takes its
 * time to close, as files do that are open for writing, and on a busy machine.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

#define ROUNDS 400
#define BUSY   4

static int lock(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool round_trip(const char *path)
{
	int again, slow = open(path, O_WRONLY | O_CLOEXEC), fd = lock(path);
	struct brood_subprocess *process = brood_subprocess_open(BROOD_ARGS("true"), NULL);

	close(slow);
	close(fd);
	again = lock(path);
	close(again);
	return fd >= 0 && again >= 0 && process &&
	       brood_subprocess_wait(process, NULL, BROOD_FOREVER) == 0 &&
	       brood_subprocess_close(process) == 0;
}

static pid_t keep_busy(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			getppid();
	}
	return pid;
}

int main(void)
{
	char path[] = "/tmp/brood-held-XXXXXX";
	int failed = 0;
	pid_t busy[BUSY];

	for (int i = 0; i < BUSY; i++)
		busy[i] = keep_busy();
	close(mkstemp(path));
	for (int i = 0; i < 2 * ROUNDS; i++) {
		if (i == ROUNDS) { /* from here on those are numbers 0 and 1 */
			close(STDIN_FILENO);
			close(STDOUT_FILENO);
		}
		failed += !round_trip(path);
	}
	unlink(path);
	for (int i = 0; i < BUSY; i++) {
		kill(busy[i], SIGKILL);
		waitpid(busy[i], NULL, 0);
	}
	fprintf(stderr, "%d of %d\n", failed, 2 * ROUNDS);
	return failed != 0;
}
