/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A write to a program that reads no more brings SIGPIPE to the thread, and one to a file that is as
 * large as it may be, SIGXFSZ; the user has no part in them. So they are blocked around the write,
 * and taken off if one has come. One that was pending before stays.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "platform/spawn.h"

static const int ours[] = { SIGPIPE, SIGXFSZ };

void brood__sigpipe_off(struct brood__sigpipe *before)
{
	sigset_t pending;

	sigemptyset(&before->may_come);
	for (int i = 0; i < 2; i++)
		sigaddset(&before->may_come, ours[i]);
	pthread_sigmask(SIG_BLOCK, &before->may_come, &before->mask);
	for (int i = 0; i < 2; i++)
		if (sigismember(&before->mask, ours[i]) && sigpending(&pending) == 0 &&
		    sigismember(&pending, ours[i]))
			sigdelset(&before->may_come, ours[i]);
}

/*
 * What was sent to the whole process is not ours to take: the thread's own comes first. SIGXFSZ may
 * have come though a part was written, so it is always looked for; others do not send it.
 */
void brood__sigpipe_on(struct brood__sigpipe *before, bool broken, bool file)
{
	static const struct timespec at_once;

	if (!broken)
		sigdelset(&before->may_come, SIGPIPE);
	if (!file)
		sigdelset(&before->may_come, SIGXFSZ);
	while ((broken || file) && sigtimedwait(&before->may_come, NULL, &at_once) < 0 &&
	       errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &before->mask, NULL);
}
