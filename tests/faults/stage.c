/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The victim of tests/faults/main.c around its scene: what it looks at before and afterwards, which
 * are its descriptors, handlers, mask of signals, umask, current directory and children.
 *
 * Where a call was made to fail that ends or reaps a program, the program may be there for a while,
 * and is reaped by a later call; after a failed open nothing may be left at all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/subprocess.h>

#include "faults.h"

#define FDS 256

static bool playing;

static void mark(bool begin)
{
	syscall(SYS_getpriority, MARK, begin);
}

void aside(bool begin)
{
	if (playing)
		mark(!begin);
}

void wrong(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	if (!report->wrong[0])
		vsnprintf(report->wrong, sizeof report->wrong, format, list);
	va_end(list);
}

bool no_children(void)
{
	bool none;

	aside(true);
	none = waitid(P_ALL, 0, &(siginfo_t){ 0 }, WEXITED | WNOHANG | WNOWAIT) && errno == ECHILD;
	aside(false);
	return none;
}

void expect(bool right, const char *what)
{
	if (!right && !report->result[0])
		snprintf(report->result, sizeof report->result, "not right: %s", what);
}

struct state {
	bool open[FDS];
	struct sigaction action[65];
	sigset_t mask;
	mode_t umask;
	char cwd[256];
};

static struct state before, after;

static void look_at(struct state *state)
{
	for (int fd = 0; fd < FDS; fd++)
		state->open[fd] = fcntl(fd, F_GETFD) >= 0;
	for (int i = 1; i <= 64; i++)
		sigaction(i, NULL, &state->action[i]);
	sigprocmask(SIG_BLOCK, NULL, &state->mask);
	umask(state->umask = umask(0));
	if (!getcwd(state->cwd, sizeof state->cwd))
		state->cwd[0] = '\0';
}

static void compare(void)
{
	char link[32], target[64];

	for (int fd = 0; fd < FDS; fd++) {
		if (before.open[fd] == after.open[fd])
			continue;
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		memset(target, 0, sizeof target);
		if (readlink(link, target, sizeof target - 1) < 0)
			strcpy(target, "closed");
		wrong("descriptor %d: %s", fd, target);
	}
	for (int i = 1; i <= 64; i++)
		if (before.action[i].sa_handler != after.action[i].sa_handler)
			wrong("the handler of signal %d", i);
	for (int i = 1; i <= 64; i++)
		if (sigismember(&before.mask, i) != sigismember(&after.mask, i))
			wrong("signal %d in the mask", i);
	if (before.umask != after.umask || strcmp(before.cwd, after.cwd) != 0)
		wrong("umask or current directory are not as before");
}

/* The end of what could not be killed or reaped; another start and close reaps it. */
static void settle(void)
{
	siginfo_t info;

	while (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0) {
		pid_t first = info.si_pid;

		brood_subprocess_run(BROOD_ARGS("/proc/self/exe", "exit", "0"), NULL, NULL,
				     BROOD_FOREVER);
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)first, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		    info.si_pid == first) {
			wrong("a zombie that nobody reaps");
			return;
		}
	}
}

static volatile sig_atomic_t pipe_signals;

static void on_sigpipe(int signal)
{
	(void)signal;
	pipe_signals++;
}

void scene_play(const struct scene *scene)
{
	sigset_t blocked;

	signal(SIGPIPE, on_sigpipe);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	look_at(&before);
	playing = true;
	aside(false);
	report->error = scene->play();
	aside(true);
	playing = false;
	look_at(&after);
	compare();
	if (!report->error && !no_children())
		wrong("a child is left");
	settle();
	if (pipe_signals)
		wrong("SIGPIPE was raised");
	report->ended = true;
	_exit(0);
}
