/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every call of a queue by itself, with arguments that are right but for the queue. */
#ifndef TEST_QUEUE_CALLS_H
#define TEST_QUEUE_CALLS_H

#include "support.h"

static char call_bytes[64];	/* bytes for messages */

static inline ssize_t call_close(struct brood_queue *queue)
{
	return brood_queue_close(queue);
}

static inline ssize_t call_destroy(struct brood_queue *queue)
{
	return brood_queue_destroy(queue);
}

static inline ssize_t call_put(struct brood_queue *queue)
{
	return brood_queue_put(queue, call_bytes, 1, 0);
}

static inline ssize_t call_get(struct brood_queue *queue)
{
	return brood_queue_get(queue, call_bytes, sizeof(call_bytes), 0);
}

static inline ssize_t call_put_many(struct brood_queue *queue)
{
	struct brood_message message = { .data = call_bytes, .length = 1 };

	return brood_queue_put_many(queue, &message, 1, 0);
}

static inline ssize_t call_get_many(struct brood_queue *queue)
{
	struct brood_message message = { .data = call_bytes, .size = sizeof(call_bytes) };

	return brood_queue_get_many(queue, &message, 1, 0);
}

static inline ssize_t call_reserve(struct brood_queue *queue)
{
	struct brood_message message;

	return brood_queue_reserve(queue, &message);
}

static inline ssize_t call_commit(struct brood_queue *queue)
{
	struct brood_message message = { .data = call_bytes };

	return brood_queue_commit(queue, &message, 0);
}

static inline ssize_t call_abort(struct brood_queue *queue)
{
	struct brood_message message = { .data = call_bytes };

	return brood_queue_abort(queue, &message);
}

static inline ssize_t call_lease(struct brood_queue *queue)
{
	struct brood_message message;

	return brood_queue_lease(queue, &message, 0);
}

static inline ssize_t call_release(struct brood_queue *queue)
{
	struct brood_message message = { .data = call_bytes };

	return brood_queue_release(queue, &message);
}

static inline ssize_t call_release_done(struct brood_queue *queue)
{
	struct brood_message message = { .data = call_bytes };

	return brood_queue_release_done(queue, &message);
}

static inline ssize_t call_return(struct brood_queue *queue)
{
	struct brood_message message = { .data = call_bytes };

	return brood_queue_return(queue, &message);
}

static inline ssize_t call_empty(struct brood_queue *queue)
{
	return brood_queue_empty(queue);
}

static inline ssize_t call_full(struct brood_queue *queue)
{
	return brood_queue_full(queue);
}

static inline ssize_t call_closed(struct brood_queue *queue)
{
	return brood_queue_closed(queue);
}

static inline ssize_t call_task_done(struct brood_queue *queue)
{
	return brood_queue_task_done(queue);
}

static inline ssize_t call_join(struct brood_queue *queue)
{
	return brood_queue_join(queue, 0);
}

static inline ssize_t call_producer_begin(struct brood_queue *queue)
{
	return brood_queue_producer_begin(queue);
}

static inline ssize_t call_producer_end(struct brood_queue *queue)
{
	return brood_queue_producer_end(queue);
}

static ssize_t (*const calls[])(struct brood_queue *queue) = {
	call_close, call_destroy, call_put, call_get, call_put_many, call_get_many, call_reserve,
	call_commit, call_abort, call_lease, call_release, call_release_done, call_return,
	brood_queue_count, brood_queue_capacity, brood_queue_max_bytes, call_empty, call_full,
	call_closed, call_task_done, call_join, call_producer_begin, call_producer_end,
};

enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

/* How many of the calls do not give that error. */
static inline int others_than(struct brood_queue *queue, ssize_t error)
{
	int count = 0;

	for (int i = 0; i < CALLS; i++)
		count += calls[i](queue) != error;
	return count;
}

#endif
