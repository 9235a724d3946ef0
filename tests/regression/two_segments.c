/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A call on a lock of one segment, interrupted by a signal handler that uses a lock of another one,
 * could go on with who the thread is in the other segment: it owned the lock under a wrong name, and
 * its release failed. So the signal comes at every instruction of acquire and release.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

#define POINTS_LEAST 30		/* the calls have more instructions than that */
#define POINTS_MOST 2000

static struct brood_lock *ours, *theirs;
static volatile sig_atomic_t handled, refused;

static void use_theirs(int number)
{
	(void)number;
	handled = 1;
	refused |= brood_lock_acquire(theirs, 0) || brood_lock_release(theirs);
}

static void use_ours(void)
{
	refused |= brood_lock_acquire(ours, 0) || brood_lock_release(ours);
}

/* 0; 1: something failed; 2: the calls were over before the signal came. */
static int victim(void)
{
	struct sigaction action = { .sa_handler = use_theirs };
	int over;

	if (sigaction(SIGUSR1, &action, NULL) || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return 99;
	use_theirs(0);
	use_ours();
	handled = 0;
	raise(SIGSTOP);
	use_ours();
	over = !handled;
	if (over)
		raise(SIGSTOP);
	use_ours();
	return refused ? 1 : over ? 2 : 0;
}

static int status_of(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* The signal comes behind k instructions: the victim's exit code. */
static int interrupt(long k)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(victim());
	status = status_of(pid);
	while (WIFSTOPPED(status) && k-- > 0) {
		ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
		status = status_of(pid);
		if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP)
			break;		/* the second one: over */
	}
	while (WIFSTOPPED(status)) {
		ptrace(PTRACE_CONT, pid, NULL, (void *)(k >= 0 ? 0L : (long)SIGUSR1));
		k = 0;
		status = status_of(pid);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

/* Somebody who is there only: who the children are there is not who they are in the family. */
static int visit(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		use_theirs(0);
		_exit(refused);
	}
	return status_of(pid);
}

static int go_through(void)
{
	int result = visit();
	long k;

	for (k = 0; result == 0 && k < POINTS_MOST; k++)
		result = interrupt(k);
	printf("%ld points, the last one: %d\n", k, result);
	return result != 2 || k < POINTS_LEAST;
}

int main(void)
{
	const struct brood_lock_opts owned = { .owned = true };
	struct brood_segment *segment;
	char name[64];
	int failed;

	snprintf(name, sizeof(name), "/brood-two-segments-%d", (int)getpid());
	segment = brood_segment_create(name, NULL);
	ours = brood_lock_create(&owned);
	theirs = brood_lock_create(&(struct brood_lock_opts){ .owned = true, .segment = segment });
	if (!segment || !ours || !theirs)
		return 99;
	failed = go_through();
	failed |= brood_lock_destroy(theirs) | brood_lock_destroy(ours);
	failed |= brood_segment_close(segment) | brood_segment_unlink(name);
	return failed != 0;
}
