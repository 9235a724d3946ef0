/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In place: reserve, commit, abort; lease, release, return.
 *
 * A buffer in the user's hands is in no slot and in no offer; its word says whose it is and what
 * becomes of it when the holder dies. A handle is believed only if the word agrees.
 */
#include <errno.h>

#include "queue/buffer_ref.h"
#include "queue/queue.h"

/*
 * The buffer that a message handle names, if it is the caller's and of this kind; else NO_BUFFER.
 */
static uint32_t claimed(const struct call *call, const struct brood_message *message,
			enum buffer_kind kind)
{
	struct brood_queue *queue = call->queue;
	uint64_t word;

	if (!message || message->buffer >= queue->buffers)
		return NO_BUFFER;
	word = atomic_load_explicit(queue_word(queue, message->buffer), memory_order_relaxed);
	if (buffer_kind(word) != kind || !buffer_held_by(word, call->me) ||
	    message->data != queue_bytes(queue, message->buffer))
		return NO_BUFFER;
	return message->buffer;
}

static void spent(struct brood_message *message)
{
	message->data = NULL;
	message->size = 0;
	message->buffer = NO_BUFFER;
}

static void reserve_again(const struct call *call, uint32_t buffer)
{
	atomic_store_explicit(queue_word(call->queue, buffer),
			      buffer_word(call->me, BUFFER_RESERVED, 0, 0),
			      memory_order_release);	/* Q3 */
	brood__unoffer(call);
}

int brood_queue_reserve(struct brood_queue *queue, struct brood_message *message)
{
	struct call call;
	int single = brood__queue_enter(queue, &call), result;
	uint32_t buffer;

	if (single < 0)
		return single;
	if (!single)
		ring_finish(&call);
	result = message ? 0 : -EINVAL;
	if (result == 0 && queue->one_producer && !single)
		result = check_seat(&call, &queue->producer);
	if (result == 0)
		result = single ? brood__single_reserve(&call, message) : brood__spare(&call);
	if (result == 0 && !single) {
		buffer = hand_offered(call.hand);
		reserve_again(&call, buffer);
		brood__show(&call, buffer, message);
	}
	queue_leave(&call);
	return result;
}

static int commit(const struct call *call, struct brood_message *message, int64_t timeout)
{
	uint32_t buffer = claimed(call, message, BUFFER_RESERVED);
	int result;

	if (buffer == NO_BUFFER)
		return -EINVAL;
	if (message->length > call->queue->max_bytes)
		return -EMSGSIZE;
	ring_finish(call);
	brood__offer(call, buffer, 0);
	atomic_store_explicit(queue_word(call->queue, buffer),
			      buffer_word(call->me, BUFFER_OFFERED, 0, message->length),
			      memory_order_release);	/* Q3 */
	result = brood__put_offered(call, 0, timeout);
	if (result) {
		reserve_again(call, buffer);
		return result;
	}
	brood__tell_readers(call, 1);
	spent(message);
	return 0;
}

int brood_queue_commit(struct brood_queue *queue, struct brood_message *message, int64_t timeout)
{
	struct call call;
	int single = brood__queue_enter(queue, &call), result;

	if (single < 0)
		return single;
	result = single ? brood__single_commit(&call, message, timeout) : check_producer(&call);
	if (result == 0 && !single)
		result = commit(&call, message, timeout);
	queue_leave(&call);
	return result;
}

int brood_queue_lease(struct brood_queue *queue, struct brood_message *message, int64_t timeout)
{
	struct call call;
	int single = brood__queue_enter(queue, &call);
	int64_t result;

	if (single < 0)
		return single;
	if (!message)
		result = -EINVAL;
	else
		result = single ? brood__single_lease(&call, message, timeout) :
				  brood__take(&call, SIZE_MAX, timeout);
	if (result >= 0 && !single) {
		brood__hold(&call, (uint32_t)result);
		brood__show(&call, (uint32_t)result, message);
		result = 0;
	}
	queue_leave(&call);
	return (int)result;
}

static void give_back(const struct call *call, uint32_t buffer)
{
	brood__give_back(call, buffer);
}

static void give_back_done(const struct call *call, uint32_t buffer)
{
	brood__offer(call, buffer, 1);
	brood__task_was_done(call);
}

/* The message goes to another reader, if need be by our death between these two. */
static void to_the_others(const struct call *call, uint32_t buffer)
{
	uint64_t word = atomic_load_explicit(queue_word(call->queue, buffer), memory_order_relaxed);

	atomic_store_explicit(queue_word(call->queue, buffer),
			      buffer_word(NO_HOLDER, BUFFER_ORPHAN, BROOD_REDELIVERED,
					  buffer_length(word)), memory_order_release);	/* Q7 */
	brood__owned(call, -1);
	brood__orphans_changed(call->queue);
	brood__notify(&call->segment->members, &call->queue->readers);
}

/* The same in a queue of one and one. */
static int let_go_single(const struct call *call, struct brood_message *message,
			 enum buffer_kind kind, void (*how)(const struct call *, uint32_t))
{
	int result = 0;

	if (kind == BUFFER_RESERVED)
		result = brood__single_abort(call, message);
	else if (!brood__single_has(call, message))
		result = -EINVAL;
	else if (how == give_back_done)
		result = -ENOTSUP;
	else if (how == give_back)
		brood__single_release(call);
	else
		brood__single_return(call);
	if (result == 0)
		spent(message);
	return result;
}

static int let_go(struct brood_queue *queue, struct brood_message *message, enum buffer_kind kind,
		  void (*how)(const struct call *, uint32_t))
{
	struct call call;
	int result = brood__queue_enter(queue, &call);
	uint32_t buffer;

	if (result < 0)
		return result;
	if (result == QUEUE_SINGLE) {
		result = let_go_single(&call, message, kind, how);
		queue_leave(&call);
		return result;
	}
	ring_finish(&call);
	buffer = claimed(&call, message, kind);
	if (buffer == NO_BUFFER) {
		result = -EINVAL;
	} else if (how == give_back_done && !queue->joinable) {
		result = -ENOTSUP;
	} else if (how == give_back_done && !brood__tasks_open(&call)) {
		result = -EINVAL;
	} else {
		how(&call, buffer);
		spent(message);
	}
	queue_leave(&call);
	return result;
}

int brood_queue_abort(struct brood_queue *queue, struct brood_message *message)
{
	return let_go(queue, message, BUFFER_RESERVED, give_back);
}

int brood_queue_release(struct brood_queue *queue, struct brood_message *message)
{
	return let_go(queue, message, BUFFER_LEASED, give_back);
}

int brood_queue_release_done(struct brood_queue *queue, struct brood_message *message)
{
	return let_go(queue, message, BUFFER_LEASED, give_back_done);
}

int brood__queue_keep_leased(struct brood_queue *queue, struct brood_message *message)
{
	struct call call;
	int result = brood__queue_enter(queue, &call);
	uint32_t buffer;

	if (result < 0)
		return result;
	buffer = claimed(&call, message, BUFFER_LEASED);
	if (buffer == NO_BUFFER)
		result = -EINVAL;
	else
		atomic_store_explicit(queue_word(queue, buffer),
				      buffer_word(call.me, BUFFER_RESERVED, 0, 0),
				      memory_order_release);	/* Q3 */
	queue_leave(&call);
	return result;
}

int brood_queue_return(struct brood_queue *queue, struct brood_message *message)
{
	return let_go(queue, message, BUFFER_LEASED, to_the_others);
}
