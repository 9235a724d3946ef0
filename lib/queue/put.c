/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * put: a copy into the offered buffer, and a swap.
 *
 * Dying inside: before the swap the message is nowhere but in the caller's own spare; after it,
 * it is in. Readers are told at the end of a call, or before it waits; a death before that is made
 * good by the sweep.
 */
#include <errno.h>

#include "queue/spsc_ring.h"
#include "queue/swap_ring.h"

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
			.timeout = timeout,
			.me = call->me,
			.gather = hand->put_streak ? queue->put_gather : 0,
		};

		hand->put_streak = 0;
		brood__tell_readers(call, untold);
		result = brood__wait(&wait, try_put, (void *)(uintptr_t)call);
	}
	return (int)result;
}

int brood__put_copy(const struct call *call, const struct brood_message *message, size_t untold,
		    int64_t timeout)
{
	struct brood__hand *hand = call->hand;
	int result;

	if (brood__likely(hand->pending == PENDING_PUT)) {
		uint32_t mine = swap_gave(hand);

		/* One store to the word of the buffer that our last put gave us serves both. */
		queue_fill(call, mine, message->data, message->length);
		swap_finish(hand, mine, 0);
		hand->pending = PENDING_NONE;
		return brood__put_offered(call, untold, timeout);
	}
	ring_finish(call);
	result = brood__spare(call);
	if (brood__unlikely(result))
		return result;
	queue_fill(call, hand_offered(hand), message->data, message->length);
	return brood__put_offered(call, untold, timeout);
}

static inline int put(struct call *call, const void *data, size_t length, int64_t timeout)
{
	const struct brood_message message = {
		.data = (void *)(uintptr_t)data,
		.length = length,
	};
	struct brood_queue *queue = call->queue;
	int result;

	if (brood__unlikely(queue->single))
		return brood__single_put(call, data, length, timeout);
	queue_used(call);
	if (brood__unlikely(length > queue->max_bytes))
		return -EMSGSIZE;
	if (brood__unlikely(!data && length))
		return -EINVAL;
	result = check_producer(call);
	if (brood__likely(result == 0))
		result = brood__put_copy(call, &message, 0, timeout);
	if (brood__likely(result == 0))
		brood__tell_readers(call, 1);
	return result;
}

int brood_queue_put(struct brood_queue *queue, const void *data, size_t length, int64_t timeout)
{
	struct call quick, call;	/* one in registers, one in memory */
	int result;

	if (brood__likely(queue_enter_nearby(queue, &quick))) {
		if (queue->single && put_at_once(&quick, data, length, &result)) {
			queue_leave(&quick);
			return result;
		}
		call = quick;
	} else {
		result = brood__queue_enter(queue, &call);
		if (result < 0)
			return result;
	}
	result = put(&call, data, length, timeout);
	queue_leave(&call);
	return result;
}
