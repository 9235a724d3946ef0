/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What one can ask a broadcast; broadcast.c tells what the words mean. */
#include "queue/broadcast.h"

/* Enter, ask, leave. */
static int64_t asked(struct brood_broadcast *broadcast,
		     int64_t (*ask)(const struct broadcast_call *call))
{
	struct broadcast_call call;
	int64_t result = brood__broadcast_enter(broadcast, &call);

	if (result)
		return result;
	result = ask(&call);
	broadcast_leave(&call);
	return result;
}

static int64_t lost(const struct broadcast_call *call)
{
	return is_subscribed(call) ? (int64_t)(my_cursor(call)->lost & INT64_MAX) : -ENOTCONN;
}

static int64_t count(const struct broadcast_call *call)
{
	uint64_t position, waiting;

	if (!is_subscribed(call))
		return -ENOTCONN;
	position = atomic_load_explicit(&my_cursor(call)->position, memory_order_relaxed);
	waiting = true_tail(call) - position;
	return waiting < call->capacity ? (int64_t)waiting : call->capacity;
}

static int64_t subscribers(const struct broadcast_call *call)
{
	const struct brood__members *members = &call->inside.segment->members;
	int64_t found = 0;

	for (uint32_t id = 0; id < members->max; id++) {
		struct brood_broadcast *broadcast = call->broadcast;
		uint64_t owner = atomic_load_explicit(&broadcast->cursors[id].owner,
						      memory_order_acquire);

		found += owner && !brood__token_gone(members, owner);
	}
	return found;
}

static int64_t capacity(const struct broadcast_call *call)
{
	return call->capacity;
}

static int64_t max_bytes(const struct broadcast_call *call)
{
	return (int64_t)call->max_bytes;
}

static int64_t closed(const struct broadcast_call *call)
{
	return is_closed(call);
}

int64_t brood_broadcast_lost(struct brood_broadcast *broadcast)
{
	return asked(broadcast, lost);
}

ssize_t brood_broadcast_count(struct brood_broadcast *broadcast)
{
	return asked(broadcast, count);
}

ssize_t brood_broadcast_subscribers(struct brood_broadcast *broadcast)
{
	return asked(broadcast, subscribers);
}

ssize_t brood_broadcast_capacity(struct brood_broadcast *broadcast)
{
	return asked(broadcast, capacity);
}

ssize_t brood_broadcast_max_bytes(struct brood_broadcast *broadcast)
{
	return asked(broadcast, max_bytes);
}

int brood_broadcast_closed(struct brood_broadcast *broadcast)
{
	return (int)asked(broadcast, closed);
}
