/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Results among many things that are waited for.
 *
 * A look may find the answer and note it, as any other call on the result does. One whose keeper is
 * gone counts as ready, since somebody must start another: the next call on it does.
 */
#include <errno.h>
#include <unistd.h>

#include "arena/hold.h"
#include "pool/pool.h"
#include "pool/result.h"
#include "wait/waitable.h"

static int enter(void *object, uint32_t events, struct brood__here *here, uint64_t *state)
{
	const struct brood_result *r = object;

	(void)events;
	*state = 0;
	if (!r)
		return -EINVAL;
	return r->process == getpid() ? brood__here(r->pool, here) : -ECHILD;
}

/* The result is the process's own; its pool lies in the arena. */
static const void *home(const void *object)
{
	const struct brood_result *r = object;

	return r->pool;
}

static bool hold(const struct brood__here *here, void *object)
{
	const struct brood_result *r = object;

	return brood__object_hold(here, r->pool, BROOD__KIND_POOL);
}

static void let_go(const struct brood__here *here, void *object)
{
	(void)object;
	brood__object_let_go(here);
}

static uint32_t look(const struct brood__here *here, void *object, uint32_t events, uint64_t state)
{
	struct brood_result *r = object;
	bool waits = brood__result_look(here, r) == -EAGAIN && !brood__keeper_missing(r->pool);

	(void)state;
	return waits ? 0 : events;
}

static struct brood__waitlist *list(void *object, uint32_t event)
{
	const struct brood_result *r = object;

	(void)event;
	return &brood__job(r->pool, r->index)->waiters;
}

const struct brood__waitable_ops brood__result_waitable = {
	.events = BROOD_READABLE,
	.home = home,
	.enter = enter,
	.hold = hold,
	.let_go = let_go,
	.look = look,
	.list = list,
};
