/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Broadcasts among many things that are waited for, and by a descriptor: when the caller's next
 * message, or the end, is there; when nobody has to be waited for before the next one is put,
 * whoever puts it. A look changes nothing.
 */
#include "arena/hold.h"
#include "queue/broadcast.h"
#include "queue/kinds.h"
#include "wait/bell.h"

static int enter(void *object, uint32_t events, struct brood__here *here, uint64_t *state)
{
	struct broadcast_call call;
	int result = brood__broadcast_enter(object, &call);

	*state = 0;
	if (result)
		return result;
	if (events & BROOD_READABLE && !is_subscribed(&call))
		result = -ENOTCONN;
	broadcast_leave(&call);
	if (result == 0)
		result = brood__here(object, here);
	return result ? result : BROOD__LIGHT;
}

static bool hold(const struct brood__here *here, void *object)
{
	return brood__object_hold(here, object, BROOD__KIND_BROADCAST);
}

static void let_go(const struct brood__here *here, void *object)
{
	(void)object;
	brood__object_let_go(here);
}

/* A message that has been written over counts: get finds one that is there, and what was lost. */
static bool has_message(const struct broadcast_call *call)
{
	uint64_t position = atomic_load_explicit(&my_cursor(call)->position, memory_order_relaxed);

	return (int64_t)(load_stamp(call, position) - stamp_of(position)) >= 0 ||
	       !is_subscribed(call);
}

static uint32_t look(const struct brood__here *here, void *object, uint32_t events, uint64_t state)
{
	struct broadcast_call call = {
		.inside = {
			.segment = (struct brood_segment *)here->members,
			.object = object,
			.me = brood__token_id(here->token),
		},
	};
	uint32_t ready = 0;

	(void)state;
	if (brood__broadcast_see(&call) || is_closed(&call))
		return events;
	if (events & BROOD_READABLE && has_message(&call))
		ready |= BROOD_READABLE;
	if (events & BROOD_WRITABLE && brood__broadcast_has_room(&call, true_tail(&call)))
		ready |= BROOD_WRITABLE;
	return ready;
}

static struct brood__waitlist *list(void *object, uint32_t event)
{
	struct brood_broadcast *broadcast = object;

	return event == BROOD_READABLE ? &broadcast->readers : &broadcast->writers;
}

const struct brood__waitable_ops brood__broadcast_waitable = {
	.events = BROOD_READABLE | BROOD_WRITABLE,
	.enter = enter,
	.hold = hold,
	.let_go = let_go,
	.look = look,
	.list = list,
};

int brood_broadcast_fd(struct brood_broadcast *broadcast, unsigned int event)
{
	return brood__bell_open(BROOD_WAIT_BROADCAST, broadcast, event);
}

int brood_broadcast_fd_close(struct brood_broadcast *broadcast, unsigned int event)
{
	return brood__bell_close(BROOD_WAIT_BROADCAST, broadcast, event);
}
