/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asking a queue about itself, and closing it.
 */
#include <errno.h>

#include "queue/queue.h"

/*
 * The head is read before and after the tail; if it is the same, it was that when the tail was
 * read. If others keep taking, the last pair is as good as any.
 */
static size_t count_ring(struct brood_queue *queue, uint64_t *tail_word)
{
	uint64_t word, tail, head = brood__ring_head(queue, &word), before;
	int64_t count;

	for (int tries = 0; ; tries++) {
		before = head;
		tail = brood__ring_tail(queue, tail_word);
		head = brood__ring_head(queue, &word);
		if (head == before || tries == 100)
			break;
	}
	count = position_after(tail, before);
	return count < 0 ? 0 : (size_t)count;
}

enum question { COUNT, EMPTY, IS_FULL, CLOSED, CAPACITY, MAX_BYTES };

static ssize_t answer(const struct call *call, enum question question)
{
	struct brood_queue *queue = call->queue;
	uint64_t tail_word, orphans;
	size_t in_ring, others;

	if (question == CAPACITY)
		return queue->capacity;
	if (question == MAX_BYTES)
		return (ssize_t)queue->max_bytes;
	/* What a dead member had counts as being in the queue. */
	brood__member_sweep(&call->segment->members);
	/*
	 * While the word is the same orphans only become fewer: equal at both ends is equal
	 * between.
	 */
	do {
		orphans = atomic_load_explicit(&queue->orphans, memory_order_seq_cst);	/* Q8 */
		others = brood__orphans_count(queue);
		in_ring = count_ring(queue, &tail_word);
	} while (atomic_load_explicit(&queue->orphans, memory_order_seq_cst) != orphans ||
		 brood__orphans_count(queue) != others);
	if (question == CLOSED)
		return (tail_word & SLOT_CLOSED) != 0;
	if (question == IS_FULL)
		return in_ring >= queue->capacity;
	return question == EMPTY ? in_ring + others == 0 : (ssize_t)(in_ring + others);
}

static ssize_t single_answer(const struct call *call, enum question question)
{
	struct brood_queue *queue = call->queue;
	size_t messages, leased;
	int result;

	if (question == CAPACITY)
		return queue->capacity;
	if (question == MAX_BYTES)
		return (ssize_t)queue->max_bytes;
	if (question == CLOSED)
		return atomic_load_explicit(&queue->closed, memory_order_seq_cst) != 0;	/* P4 */
	brood__member_sweep(&call->segment->members);	/* nothing here needs it, others may */
	result = brood__single_count(call, &messages, &leased);
	if (result)
		return result;
	if (question == IS_FULL)
		return messages >= queue->capacity;
	return question == EMPTY ? messages == leased : (ssize_t)(messages - leased);
}

static ssize_t ask(struct brood_queue *queue, enum question question)
{
	struct call call;
	ssize_t result = brood__queue_enter(queue, &call);

	if (result < 0)
		return result;
	if (result == QUEUE_SINGLE) {
		result = single_answer(&call, question);
	} else {
		ring_finish(&call);
		result = answer(&call, question);
	}
	queue_leave(&call);
	return result;
}

ssize_t brood_queue_count(struct brood_queue *queue)
{
	return ask(queue, COUNT);
}

ssize_t brood_queue_capacity(struct brood_queue *queue)
{
	return ask(queue, CAPACITY);
}

ssize_t brood_queue_max_bytes(struct brood_queue *queue)
{
	return ask(queue, MAX_BYTES);
}

int brood_queue_empty(struct brood_queue *queue)
{
	return (int)ask(queue, EMPTY);
}

int brood_queue_full(struct brood_queue *queue)
{
	return (int)ask(queue, IS_FULL);
}

int brood_queue_closed(struct brood_queue *queue)
{
	return (int)ask(queue, CLOSED);
}

int brood_queue_close(struct brood_queue *queue)
{
	struct call call;
	int result = brood__queue_enter(queue, &call);

	if (result < 0)
		return result;
	if (result == QUEUE_SINGLE) {
		result = brood__single_close(&call);
	} else {
		ring_finish(&call);
		result = brood__ring_close(queue);
	}
	if (result == 0)
		brood__wake_sleepers(&call.segment->members);
	queue_leave(&call);
	return result;
}
