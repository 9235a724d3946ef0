/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mutex of one process under which descriptors are opened and closed. open(2) and close(2) are
 * cancellation points: a thread that was cancelled there would keep the mutex for ever, and every
 * fork would wait for it. So who has it cannot be cancelled.
 */
#include "platform/platform.h"

void brood__guard_lock(struct brood__guard *guard)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	pthread_mutex_lock(&guard->mutex);
	guard->cancel = before;
}

void brood__guard_unlock(struct brood__guard *guard)
{
	int before = guard->cancel;

	pthread_mutex_unlock(&guard->mutex);
	pthread_setcancelstate(before, NULL);
}
