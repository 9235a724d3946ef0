/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The thread that runs callbacks, for pools that ask for it; one a process.
 *
 * It is there as long as a result of such a pool waits for its callback, and ends then: what is not
 * needed costs no member and no descriptor but the one that wakes it. It holds those results
 * (result.c), waits for all of them, and for new ones, at once, and runs what is due. All signals
 * are blocked in it. A child of a fork has no such thread, and none of these results.
 *
 * `running`, and who waits for the thread, are guarded by the mutex of the results.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <brood/wait.h>

#include "pool/result.h"

#define DEGRADED_MS 10		/* between two looks where brood_wait has no descriptors left */

static bool running;
static int bell = -1;		/* an eventfd: there is a new result, or one less */
static pthread_cond_t settled = PTHREAD_COND_INITIALIZER;
static __thread bool inside;

struct batch {
	struct brood_result **results;	/* held */
	struct brood_waitable *items;	/* of those, and the bell */
	size_t n, room;
};

bool brood__callbacks_inside(void)
{
	return inside;
}

/* Under the mutex. */
static bool fits(struct batch *batch)
{
	size_t n = brood__results_waiting(NULL, 0, NULL);

	if (n <= batch->room)
		return true;
	batch->room = 2 * n;
	return false;
}

static bool grow(struct batch *batch)
{
	free(batch->results);
	free(batch->items);
	batch->results = calloc(batch->room, sizeof(*batch->results));
	batch->items = calloc(batch->room + 1, sizeof(*batch->items));
	return batch->results && batch->items;
}

/* False: there is nothing to wait for, and the thread is no longer running. */
static bool take(struct batch *batch)
{
	brood__results_lock();
	while (!fits(batch)) {
		brood__results_unlock();
		if (!grow(batch))
			usleep(DEGRADED_MS * 1000);
		brood__results_lock();
	}
	batch->n = batch->results ? brood__results_waiting(batch->results, batch->room, NULL) : 0;
	running = batch->n;
	if (!running) {
		close(bell);
		bell = -1;
		pthread_cond_broadcast(&settled);
	}
	brood__results_unlock();
	return batch->n;
}

static void wait_for(const struct batch *batch)
{
	eventfd_t count;

	for (size_t i = 0; i < batch->n; i++)
		batch->items[i] = (struct brood_waitable){ .kind = BROOD_WAIT_RESULT,
							   .object = batch->results[i] };
	batch->items[batch->n] = (struct brood_waitable){ .kind = BROOD_WAIT_FD, .fd = bell };
	if (brood_wait(batch->items, batch->n + 1, BROOD_FOREVER) < 0)
		usleep(DEGRADED_MS * 1000);
	eventfd_read(bell, &count);
}

static void *run(void *unused)
{
	struct batch batch = { 0 };

	inside = true;
	while (take(&batch)) {
		wait_for(&batch);
		for (size_t i = 0; i < batch.n; i++)
			brood__result_attend(batch.results[i]);
		brood__results_lock();
		pthread_cond_broadcast(&settled);
		brood__results_unlock();
	}
	free(batch.results);
	free(batch.items);
	return unused;
}

static int start(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int result;

	bell = brood__fd_lift(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (bell < 0)
		return -errno;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = -pthread_create(&thread, &attr, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	running = result == 0;
	if (!running) {
		close(bell);
		bell = -1;
	}
	return result;
}

/* Under the mutex. */
int brood__callbacks_wake(void)
{
	if (!running)
		return start();
	eventfd_write(bell, 1);
	return 0;
}

void brood__callbacks_settle(const struct brood_pool *pool)
{
	brood__results_lock();
	while (!inside && running && brood__results_waiting(NULL, 0, pool))
		brood__results_cond_wait(&settled);
	brood__results_unlock();
}

/* Under the mutex. */
void brood__callbacks_forked(void)
{
	if (running)
		close(bell);
	running = false;
	bell = -1;
	pthread_cond_init(&settled, NULL);
}
