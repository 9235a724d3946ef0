/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queues among many things that are waited for, and by a descriptor: when get or put would not
 * wait.
 *
 * A look takes nothing and changes nothing of the caller's hand. Room is looked for at the true
 * head, not by the hand's idea of it.
 */
#include <errno.h>

#include "arena/hold.h"
#include "queue/kinds.h"
#include "queue/queue.h"
#include "wait/bell.h"

static int enter(void *object, uint32_t events, struct brood__here *here, uint64_t *state)
{
	struct call call;
	int result = brood__queue_enter(object, &call), error;

	(void)events;
	*state = 0;
	if (result < 0)
		return result;
	queue_leave(&call);
	error = brood__here(object, here);
	return error ? error : result == QUEUE_SINGLE ? BROOD__LIGHT : 0;
}

static bool hold(const struct brood__here *here, void *object)
{
	return brood__object_hold(here, object, BROOD__KIND_QUEUE);
}

static void let_go(const struct brood__here *here, void *object)
{
	(void)object;
	brood__object_let_go(here);
}

static bool has_room(struct brood_queue *queue)
{
	uint64_t word, tail = brood__ring_tail(queue, &word);

	return word & SLOT_CLOSED ||
	       position_after(tail, brood__ring_head(queue, &word)) < (int64_t)queue->capacity;
}

static uint32_t look(const struct brood__here *here, void *object, uint32_t events, uint64_t state)
{
	const struct call call = {
		.queue = object,
		.segment = (struct brood_segment *)here->members,
		.me = brood__token_id(here->token),
	};
	uint32_t ready = 0;

	(void)state;
	if (call.queue->single)
		return brood__single_ready(call.queue, events);
	if (events & BROOD_READABLE && brood__readable(&call))
		ready |= BROOD_READABLE;
	if (events & BROOD_WRITABLE && has_room(object))
		ready |= BROOD_WRITABLE;
	return ready;
}

static struct brood__waitlist *list(void *object, uint32_t event)
{
	struct brood_queue *queue = object;

	return event == BROOD_READABLE ? &queue->readers : &queue->writers;
}

const struct brood__waitable_ops brood__queue_waitable = {
	.events = BROOD_READABLE | BROOD_WRITABLE,
	.enter = enter,
	.hold = hold,
	.let_go = let_go,
	.look = look,
	.list = list,
};

int brood_queue_fd(struct brood_queue *queue, unsigned int event)
{
	return brood__bell_open(BROOD_WAIT_QUEUE, queue, event);
}

int brood_queue_fd_close(struct brood_queue *queue, unsigned int event)
{
	return brood__bell_close(BROOD_WAIT_QUEUE, queue, event);
}
