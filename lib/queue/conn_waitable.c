/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections among many things that are waited for, and by a descriptor: when recv would not wait,
 * but for the rest of a message; when send could begin.
 *
 * A look takes no message. It may drop half of one, or put right what a dead member left, as
 * brood_conn_poll does, and is the receiver for a moment when a message in pieces is at the front.
 *
 * The connection is a line in its pipe, and tells which by what stands there; once the pipe is
 * destroyed that is anything, so whatever follows from it is looked at twice: it must lie in the
 * segment, and be a pipe that lives.
 */
#include "arena/hold.h"
#include "queue/kinds.h"
#include "queue/pipe.h"
#include "wait/bell.h"

static int enter(void *object, uint32_t events, struct brood__here *here, uint64_t *state)
{
	struct conn_call call;
	struct bytes bytes;
	int result = brood__conn_enter(object, &call);

	*state = 0;
	if (result)
		return result;
	if (events & BROOD_READABLE)
		result = brood__conn_ring(&call, call.end, &bytes);
	if (result == 0 && events & BROOD_WRITABLE)
		result = brood__conn_ring(&call, !call.end, &bytes);
	brood__object_leave(&call.inside);
	if (result == 0)
		result = brood__here(object, here);
	return result ? result : BROOD__LIGHT;
}

static bool hold(const struct brood__here *here, void *object)
{
	struct conn_call call;

	return conn_see(object, &call) == 0 &&
	       brood__object_hold(here, call.pipe, BROOD__KIND_PIPE);
}

static void let_go(const struct brood__here *here, void *object)
{
	(void)object;
	brood__object_let_go(here);
}

static uint32_t look(const struct brood__here *here, void *object, uint32_t events, uint64_t state)
{
	struct conn_call call;

	if (conn_see(object, &call))
		return events;
	call.inside.object = call.pipe;
	call.inside.me = brood__token_id(here->token);
	call.token = brood__object_token(&call.inside);
	if (brood__conn_is_closed(&call))
		return events;
	return brood__conn_ready(&call, events, state);
}

static struct brood__waitlist *list(void *object, uint32_t event)
{
	struct conn_call call;
	struct bytes bytes;

	if (conn_see(object, &call) ||
	    !brood__object_alive(call.inside.segment, call.pipe, BROOD__KIND_PIPE))
		return NULL;
	call.inside.me = 0;
	if (event == BROOD_READABLE)
		return brood__conn_ring(&call, call.end, &bytes) ? NULL : &bytes.ring->readers;
	return brood__conn_ring(&call, !call.end, &bytes) ? NULL : &bytes.ring->writers;
}

const struct brood__waitable_ops brood__conn_waitable = {
	.events = BROOD_READABLE | BROOD_WRITABLE,
	.enter = enter,
	.hold = hold,
	.let_go = let_go,
	.look = look,
	.list = list,
};

int brood_conn_fd(struct brood_conn *conn, unsigned int event)
{
	return brood__bell_open(BROOD_WAIT_CONN, conn, event);
}

int brood_conn_fd_close(struct brood_conn *conn, unsigned int event)
{
	return brood__bell_close(BROOD_WAIT_CONN, conn, event);
}
