/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects of synchronisation: brood's, and what the C library has instead. A bench is rounds of one
 * thing; each peer's loop is its own, so that no call through a pointer is part of a figure.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <brood/lock.h>

#include "job.h"

#define ROUNDS_PER_LOOK 256

/* What a lock guards: counted up inside, without any other protection. */
struct guarded {
	_Alignas(128) volatile uint64_t count;
};

static bool counted(void *object, uint64_t rounds, size_t guarded_at)
{
	return ((struct guarded *)((char *)object + guarded_at))->count == rounds;
}

void sync_rounds(struct job *job)
{
	const struct port *port = &job_task(job)->ports[0];
	uint64_t done = 0;

	do {
		job_must(job, port->ops->rounds(port->queue, job->index, ROUNDS_PER_LOOK), "a round");
		done += ROUNDS_PER_LOOK;
		job_count(job, done);
	} while (now_ns() < job->until);
	job->tally.count += done;
}

/* ---- locks ---- */

struct brood_locked {
	struct brood_lock lock;
	struct guarded guarded;
};

static void *brood_lock_new(const struct shape *shape)
{
	(void)shape;
	return brood_alloc(NULL, sizeof(struct brood_locked));
}

static void brood_lock_delete(void *object)
{
	brood_free(NULL, object);
}

static int brood_lock_rounds(void *object, unsigned int index, unsigned int n)
{
	struct brood_locked *locked = object;
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = brood_lock_acquire(&locked->lock, BROOD_FOREVER);
		locked->guarded.count++;
		result = result ? result : brood_lock_release(&locked->lock);
	}
	return result;
}

static bool brood_lock_right(void *object, uint64_t rounds)
{
	return counted(object, rounds, offsetof(struct brood_locked, guarded));
}

struct mutex_locked {
	_Alignas(64) pthread_mutex_t mutex;
	struct guarded guarded;
};

static void *mutex_new(int robust)
{
	struct mutex_locked *locked = shared_alloc(sizeof *locked);
	pthread_mutexattr_t attr;

	if (!locked)
		return NULL;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, robust);
	pthread_mutex_init(&locked->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	return locked;
}

static void *plain_mutex_new(const struct shape *shape)
{
	(void)shape;
	return mutex_new(PTHREAD_MUTEX_STALLED);
}

static void *robust_mutex_new(const struct shape *shape)
{
	(void)shape;
	return mutex_new(PTHREAD_MUTEX_ROBUST);
}

static void mutex_delete(void *object)
{
	shared_free(object, sizeof(struct mutex_locked));
}

static int mutex_rounds(void *object, unsigned int index, unsigned int n)
{
	struct mutex_locked *locked = object;
	int result = 0;

	(void)index;
	for (; n && !result; n--) {
		result = pthread_mutex_lock(&locked->mutex);
		locked->guarded.count++;
		result = result ? result : pthread_mutex_unlock(&locked->mutex);
	}
	return -result;
}

static bool mutex_right(void *object, uint64_t rounds)
{
	return counted(object, rounds, offsetof(struct mutex_locked, guarded));
}

const struct peer peer_sync[] = {
	{
		.name = "brood", .about = "brood_lock", .only = "sync.lock",
		.create = brood_lock_new, .destroy = brood_lock_delete,
		.rounds = brood_lock_rounds, .right = brood_lock_right,
	}, {
		.name = "pthread", .about = "process-shared mutex", .only = "sync.lock",
		.create = plain_mutex_new, .destroy = mutex_delete,
		.rounds = mutex_rounds, .right = mutex_right,
	}, {
		.name = "pthread_robust", .about = "the same, robust", .only = "sync.lock",
		.create = robust_mutex_new, .destroy = mutex_delete,
		.rounds = mutex_rounds, .right = mutex_right,
	}, {
		.name = NULL,
	},
};
