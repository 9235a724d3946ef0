/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * task_done and join; producers that begin and end.
 *
 * Open tasks are counted without a counter that a death could leave wrong: a message is put by the
 * CAS that moves the tail, so the tail is the number put; each member counts its task_done calls
 * in its own hand, for ever, in the word whose store acknowledges the message. Open = tail - sum.
 *
 * Registered producers likewise: each hand tells whether its member is registered now, and how
 * often it has been. A dead member's registration is ended by its sweep.
 */
#include <errno.h>

#include "queue/queue.h"

/*
 * The tail is read last: sum <= done then <= put then <= put now. So 0 means that there was a
 * moment without open tasks, and whoever has one open always finds more than 0.
 */
static int64_t open_tasks(const struct call *call)
{
	struct brood_queue *queue = call->queue;
	uint64_t word, put, done = 0;

	for (uint32_t id = 0; id < members_used(call); id++)	/* Q9 */
		done += offer_done(atomic_load_explicit(&queue->hands[id].offer,
							memory_order_seq_cst));
	put = brood__ring_tail(queue, &word) - queue->ring;
	return position_after(put, done);
}

bool brood__tasks_open(const struct call *call)
{
	return open_tasks(call) > 0;
}

void brood__task_was_done(const struct call *call)
{
	struct brood__waitlist *joiners = &call->queue->joiners;

	atomic_thread_fence(memory_order_seq_cst);	/* the count is before the look: W1 */
	if (brood__waitlist_any(joiners) && open_tasks(call) <= 0)
		brood__wake_all(&call->segment->members, joiners->mask);
}

int brood_queue_task_done(struct brood_queue *queue)
{
	struct call call;
	int result = brood__queue_enter(queue, &call);

	if (result < 0)
		return result;
	if (!queue->joinable) {
		result = -ENOTSUP;
	} else if (brood__tasks_open(&call)) {
		brood__ring_finish_done(&call);
		brood__task_was_done(&call);
	} else {
		ring_finish(&call);
		result = -EINVAL;
	}
	queue_leave(&call);
	return result;
}

static ssize_t try_join(void *arg)
{
	const struct call *call = arg;

	if (queue_destroyed(call))
		return -ESTALE;
	return open_tasks(call) > 0 ? -EAGAIN : 0;
}

int brood_queue_join(struct brood_queue *queue, int64_t timeout)
{
	struct call call;
	ssize_t result = brood__queue_enter(queue, &call);

	if (result < 0)
		return (int)result;
	if (result != QUEUE_SINGLE)
		ring_finish(&call);
	result = queue->joinable ? try_join(&call) : -ENOTSUP;
	if (result == -EAGAIN) {
		const struct brood__wait wait = {
			.members = &call.segment->members,
			.list = &queue->joiners,
			.timeout = timeout,
			.me = call.me,
		};

		result = brood__wait(&wait, try_join, &call);
	}
	queue_leave(&call);
	return (int)result;
}

int brood__producer_begins(const struct call *call)
{
	uint32_t producer = atomic_load_explicit(&call->hand->producer, memory_order_relaxed);
	uint64_t word;

	if (producer & 1)
		return 0;
	brood__ring_tail(call->queue, &word);
	if (word & SLOT_CLOSED)
		return -EPIPE;
	atomic_store_explicit(&call->hand->producer, producer + 3, memory_order_seq_cst); /* Q10 */
	return 0;
}

int brood__producer_checked(const struct call *call)
{
	struct brood_queue *queue = call->queue;
	int result = queue->one_producer ? check_seat(call, &queue->producer) : 0;

	if (result == 0 && queue->producers_end)
		result = brood__producer_begins(call);
	return result;
}

void brood__producer_ends(struct brood__members *members, struct brood_queue *queue,
			  struct brood__hand *hand)
{
	uint32_t producer = atomic_load_explicit(&hand->producer, memory_order_relaxed);

	if (!(producer & 1))
		return;
	/* Q10, W1 */
	atomic_store_explicit(&hand->producer, producer - 1, memory_order_seq_cst);
	brood__wake_all(members, queue->readers.mask);
}

/* Registrations ever made, or -1 when somebody is registered. */
static int64_t past_producers(const struct call *call)
{
	int64_t ever = 0;

	for (uint32_t id = 0; id < members_used(call); id++) {	/* Q10 */
		uint32_t producer = atomic_load_explicit(&call->queue->hands[id].producer,
							 memory_order_seq_cst);

		if (producer & 1)
			return -1;
		ever += producer >> 1;
	}
	return ever;
}

/* Twice the same: nobody registered between, so at that moment there was none. */
bool brood__producers_ended(const struct call *call)
{
	int64_t ever = past_producers(call);

	return ever >= call->queue->producers_end && past_producers(call) == ever;
}

int brood_queue_producer_begin(struct brood_queue *queue)
{
	struct call call;
	int result = brood__queue_enter(queue, &call);

	if (result < 0)
		return result;
	if (result == QUEUE_SINGLE) {
		result = brood__single_begin(&call);
	} else {
		ring_finish(&call);
		result = queue->one_producer ? check_seat(&call, &queue->producer) : 0;
		if (result == 0)
			result = brood__producer_begins(&call);
	}
	queue_leave(&call);
	return result;
}

int brood_queue_producer_end(struct brood_queue *queue)
{
	struct call call;
	int result = brood__queue_enter(queue, &call);

	if (result < 0)
		return result;
	if (result != QUEUE_SINGLE) {
		ring_finish(&call);
		brood__producer_ends(&call.segment->members, queue, call.hand);
	}
	if (queue->one_producer)
		brood__seat_leave(&call, &queue->producer);
	queue_leave(&call);
	return 0;
}
