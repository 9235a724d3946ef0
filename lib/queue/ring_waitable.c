/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rings of bytes among many things that are waited for, and by a descriptor.
 *
 * What is dead, or left behind, may be put right by a look, as by any reader; nothing is taken. How
 * much room is wanted: for the shortest message; by a descriptor, for the one that the caller's
 * last put found no room for.
 */
#include "arena/hold.h"
#include "queue/kinds.h"
#include "queue/ring.h"
#include "wait/bell.h"

static int enter(void *object, uint32_t events, struct brood__here *here, uint64_t *state)
{
	struct brood__call call = { NULL, NULL, 0 };
	int result = brood__object_enter(object, BROOD__KIND_RING, &call);

	(void)events;
	*state = 0;
	if (result)
		return result;
	brood__object_leave(&call);
	result = brood__here(object, here);
	return result ? result : BROOD__LIGHT;
}

static bool hold(const struct brood__here *here, void *object)
{
	return brood__object_hold(here, object, BROOD__KIND_RING);
}

static void let_go(const struct brood__here *here, void *object)
{
	(void)object;
	brood__object_let_go(here);
}

static uint32_t look(const struct brood__here *here, void *object, uint32_t events, uint64_t state)
{
	struct brood_ring *ring = object;
	uint32_t granules = atomic_load_explicit(&ring->bytes.granules, memory_order_relaxed);
	uint32_t ready = 0;
	struct bytes bytes;

	if (bytes_see(&bytes, (struct brood_segment *)here->members, &ring->bytes, granules,
		      brood__token_id(here->token)))
		return events;
	if (events & BROOD_READABLE && brood__bytes_has_message(&bytes))
		ready |= BROOD_READABLE;
	if (events & BROOD_WRITABLE && brood__bytes_has_room(&bytes, state))
		ready |= BROOD_WRITABLE;
	return ready;
}

static struct brood__waitlist *list(void *object, uint32_t event)
{
	struct brood_ring *ring = object;

	return event == BROOD_READABLE ? &ring->bytes.readers : &ring->bytes.writers;
}

const struct brood__waitable_ops brood__ring_waitable = {
	.events = BROOD_READABLE | BROOD_WRITABLE,
	.enter = enter,
	.hold = hold,
	.let_go = let_go,
	.look = look,
	.list = list,
};

int brood_ring_fd(struct brood_ring *ring, unsigned int event)
{
	return brood__bell_open(BROOD_WAIT_RING, ring, event);
}

int brood_ring_fd_close(struct brood_ring *ring, unsigned int event)
{
	return brood__bell_close(BROOD_WAIT_RING, ring, event);
}
