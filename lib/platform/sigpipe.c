/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A write to a program that reads no more brings SIGPIPE to the thread, which the user has no part
 * in. So it is blocked around the write, and taken off if it has come. One that was pending before
 * stays.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "platform/spawn.h"

static void only_sigpipe(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGPIPE);
}

void brood__sigpipe_off(struct brood__sigpipe *before)
{
	sigset_t set, pending;

	only_sigpipe(&set);
	pthread_sigmask(SIG_BLOCK, &set, &before->mask);
	before->pending = sigismember(&before->mask, SIGPIPE) && sigpending(&pending) == 0 &&
			  sigismember(&pending, SIGPIPE);
}

/* What was sent to the whole process is not ours to take: the thread's own comes first. */
void brood__sigpipe_on(const struct brood__sigpipe *before, bool came)
{
	static const struct timespec at_once;
	sigset_t set;

	only_sigpipe(&set);
	while (came && !before->pending && sigtimedwait(&set, NULL, &at_once) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &before->mask, NULL);
}
