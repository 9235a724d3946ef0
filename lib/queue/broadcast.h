/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The words of a broadcast, each defined once, here. broadcast.c tells how it works.
 */
#ifndef BROOD_BROADCAST_INTERNAL_H
#define BROOD_BROADCAST_INTERNAL_H

#include <string.h>

#include <brood/broadcast.h>

#include "arena/object.h"

/* ---- a slot: of the messages whose position is the same modulo ring ---- */

struct slot {
	/* 2 p + 2: holds message p. 2 p + 1: message p is being written over an older one. 0: none */
	_Atomic uint64_t stamp;
	_Atomic uint32_t length;
	uint32_t reserved;
	_Atomic uint64_t words[];
};

_Static_assert(sizeof(struct slot) == 16, "as the public header says");

static inline uint64_t stamp_of(uint64_t position)
{
	return 2 * position + 2;
}

static inline uint64_t stamp_while_writing(uint64_t position)
{
	return 2 * position + 1;
}

/* ---- what a member has as a subscriber; written by it alone ---- */

struct cursor {
	_Alignas(BROOD__LINE) _Atomic uint64_t owner;	/* token of the subscriber; 0 or gone: none */
	_Atomic uint64_t position;	/* of the next message that it gets; never goes back */
	/* The member's own. */
	uint64_t lost;		/* since it subscribed */
	uint64_t missed;	/* of these, those before its next message */
	uint32_t streak;	/* the last call found a message at once */
};

_Static_assert(sizeof(struct cursor) == BROOD__LINE, "a cursor is a line");

/* ---- the broadcast ---- */

struct brood_broadcast {
	struct brood__object object;
	/* Written by the creator, before anybody else can see it. */
	uint64_t max_bytes, stride;
	uint32_t capacity, ring;	/* ring: slots, a power of two >= capacity */
	uint32_t members, lossy;
	/* Rarely written. */
	_Alignas(BROOD__LINE) _Atomic uint64_t producer;	/* its token; 0 or gone: none */
	_Atomic uint32_t closed;
	/* The producer's. */
	_Alignas(BROOD__LINE) _Atomic uint64_t tail;	/* the next position, or the one before it */
	_Atomic uint64_t room;		/* positions before it may be put */
	uint32_t streak;		/* the last put found room at once */
	/* Who sleeps for a message; for room; who may have a subscription. */
	_Alignas(BROOD__LINE) struct brood__waitlist readers;
	_Alignas(BROOD__LINE) struct brood__waitlist writers;
	_Alignas(BROOD__LINE) struct brood__waitlist subscribers;	/* nobody sleeps here */
	struct cursor cursors[];	/* one a member; then the slots */
};

/* ---- a call ---- */

struct broadcast_call {
	struct brood__call inside;
	struct brood_broadcast *broadcast;
	uint64_t token;		/* the caller's */
	/* As the broadcast said when the call began, and found to lie inside of the segment. */
	char *slots;
	uint64_t max_bytes, stride;
	uint32_t capacity, mask;
	bool lossy;
};

/* The call as it is inside of the broadcast, with what it needs of that. 0, -EPROTO. */
int brood__broadcast_see(struct broadcast_call *call);
int brood__broadcast_enter(const struct brood_broadcast *broadcast, struct broadcast_call *call);

static inline void broadcast_leave(const struct broadcast_call *call)
{
	brood__object_leave(&call->inside);
}

static inline bool broadcast_destroyed(const struct broadcast_call *call)
{
	return !brood__object_alive(call->inside.segment, call->broadcast, BROOD__KIND_BROADCAST);
}

static inline struct slot *slot_at(const struct broadcast_call *call, uint64_t position)
{
	return (void *)(call->slots + (position & call->mask) * call->stride);
}

static inline uint64_t load_stamp(const struct broadcast_call *call, uint64_t position)
{
	return atomic_load_explicit(&slot_at(call, position)->stamp, memory_order_acquire); /* D1 */
}

static inline struct cursor *my_cursor(const struct broadcast_call *call)
{
	return &call->broadcast->cursors[call->inside.me];
}

static inline bool is_subscribed(const struct broadcast_call *call)
{
	return atomic_load_explicit(&my_cursor(call)->owner, memory_order_relaxed) == call->token;
}

static inline bool is_closed(const struct broadcast_call *call)
{
	/* D5 */
	return atomic_load_explicit(&call->broadcast->closed, memory_order_acquire);
}

/*
 * The position of the next message; the last message's stamp may be ahead of `tail`, and farther
 * ahead if the producer has gone on since we looked at that.
 */
static inline uint64_t true_tail(const struct broadcast_call *call)
{
	uint64_t tail = atomic_load_explicit(&call->broadcast->tail, memory_order_acquire);

	return (int64_t)(load_stamp(call, tail) - stamp_of(tail)) >= 0 ? tail + 1 : tail;
}

/* Whether message `position` can be put, as the producer does, now. Nothing is changed. */
bool brood__broadcast_has_room(const struct broadcast_call *call, uint64_t position);

/* The caller is the producer, or becomes it: 0, -EBUSY. */
int brood__broadcast_produce(const struct broadcast_call *call);

#endif
