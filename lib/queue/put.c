/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * put and put_many: a copy into the offered buffer, and a swap.
 *
 * Dying inside: before the swap the message is nowhere but in the caller's own spare; after it,
 * it is in. A put_many that is cut short leaves a prefix. Readers are told once a call, at its end
 * or before it waits; a death before that is made good by the sweep.
 */
#include <errno.h>

#include "queue/queue.h"

static ssize_t try_put(void *arg)
{
	const struct call *call = arg;

	return queue_destroyed(call) ? -ESTALE : brood__ring_put(call);
}

void brood__tell_readers(const struct call *call, size_t messages)
{
	brood__notify_many(&call->segment->members, &call->queue->readers, messages);
}

/* Before it waits for room it tells of the `untold` messages that the call has put already. */
int brood__put_offered(const struct call *call, size_t untold, int64_t timeout)
{
	struct brood_queue *queue = call->queue;
	struct brood__hand *hand = call->hand;
	ssize_t result = brood__ring_put(call);

	if (brood__likely(result == 0)) {
		hand->put_streak = 1;
	} else if (result == -EAGAIN) {
		const struct brood__wait wait = {
			.members = &call->segment->members,
			.list = &queue->writers,
			.watched = queue->users.mask,
			.timeout = timeout,
			.me = call->me,
			.streaming = hand->put_streak,
		};

		hand->put_streak = 0;
		brood__tell_readers(call, untold);
		result = brood__wait(&wait, try_put, (void *)(uintptr_t)call);
	}
	return (int)result;
}

static void fill(const struct call *call, uint32_t buffer, const void *data, size_t length)
{
	if (length)	/* data may be NULL if not */
		memcpy(queue_bytes(call->queue, buffer), data, length);
	atomic_store_explicit(queue_word(call->queue, buffer),
			      buffer_word(call->me, BUFFER_OFFERED, 0, length),
			      memory_order_release);	/* Q3 */
}

static int put_one(const struct call *call, const void *data, size_t length, size_t untold,
		   int64_t timeout)
{
	int result;

	if (brood__likely(call->hand->pending == PENDING_PUT)) {
		/* One store to the word of the buffer that our last put gave us serves both. */
		fill(call, brood__ring_spare(call), data, length);
		brood__ring_offer(call);
		return brood__put_offered(call, untold, timeout);
	}
	ring_finish(call);
	result = brood__spare(call);
	if (brood__unlikely(result))
		return result;
	fill(call, offer_buffer(atomic_load_explicit(&call->hand->offer, memory_order_relaxed)),
	     data, length);
	return brood__put_offered(call, untold, timeout);
}

static int check_producer(const struct call *call)
{
	if (brood__likely(!call->queue->producers_end))
		return 0;
	return brood__producer_begins(call);
}

int brood_queue_put(struct brood_queue *queue, const void *data, size_t length, int64_t timeout)
{
	struct call call;
	int result = brood__queue_enter(queue, &call);

	if (brood__unlikely(result))
		return result;
	if (brood__unlikely(length > queue->max_bytes))
		result = -EMSGSIZE;
	else if (brood__unlikely(!data && length))
		result = -EINVAL;
	else if (!(result = check_producer(&call)))
		result = put_one(&call, data, length, 0, timeout);
	if (brood__likely(result == 0))
		brood__tell_readers(&call, 1);
	queue_leave(&call);
	return result;
}

static int check_messages(const struct brood_queue *queue, const struct brood_message *messages,
			  size_t n)
{
	if (!messages || n == 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (messages[i].length > queue->max_bytes)
			return -EMSGSIZE;
		if (!messages[i].data && messages[i].length)
			return -EINVAL;
	}
	return 0;
}

/* The time is for all of them together. */
static int64_t one_deadline(int64_t timeout)
{
	int64_t deadline = brood__deadline(timeout);

	return deadline == BROOD__NO_DEADLINE ? BROOD_FOREVER : brood_until(deadline);
}

ssize_t brood_queue_put_many(struct brood_queue *queue, const struct brood_message *messages,
			     size_t n, int64_t timeout)
{
	struct call call;
	int result = brood__queue_enter(queue, &call);
	size_t i = 0;

	if (result)
		return result;
	result = check_messages(queue, messages, n);
	if (result == 0)
		result = check_producer(&call);
	if (result == 0 && !brood__no_wait(timeout))
		timeout = one_deadline(timeout);
	for (; result == 0 && i < n; i += result == 0)
		result = put_one(&call, messages[i].data, messages[i].length, i, timeout);
	brood__tell_readers(&call, i);
	queue_leave(&call);
	return i ? (ssize_t)i : result;
}
