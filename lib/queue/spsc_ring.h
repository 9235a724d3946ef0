/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The words and steps of the ring for one producer and one consumer, for put and get at once, and
 * for all that may have to wait; spsc_ring.c tells what they mean.
 */
#ifndef BROOD_SPSC_RING_H
#define BROOD_SPSC_RING_H

#include <errno.h>

#include "queue/queue.h"

struct single_slot {
	_Atomic uint64_t header;	/* { position:32 | length:32 } */
	char bytes[];
};

static inline struct single_slot *slot_number(struct brood_queue *queue, uint32_t i)
{
	return (void *)((char *)queue + queue->slots_at + i * queue->stride);
}

static inline struct single_slot *slot_of(struct brood_queue *queue, uint64_t position)
{
	return slot_number(queue, (uint32_t)position & (queue->ring - 1));
}

static inline uint64_t load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

/* A word that is the caller's own. */
static inline uint64_t mine(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void store(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

static inline bool has_position(uint64_t header, uint64_t position)
{
	return header >> 32 == (uint32_t)position;
}

/* The commonest short length without a call. */
static inline void copy(void *to, const void *from, size_t length)
{
	if (length == 8)
		memcpy(to, from, 8);
	else if (length)	/* `from` and `to` may be NULL if not */
		memcpy(to, from, length);
}

/* P4. Light half; what the caller has loaded or stored before is before this look. */
static inline bool is_closed(const struct brood_queue *queue)
{
	atomic_signal_fence(memory_order_seq_cst);
	return brood__unlikely(atomic_load_explicit(&queue->closed, memory_order_acquire));
}

/* ---- put ---- */

/* Of n that were published from the tail on, how many are before the end of a closed queue. */
size_t brood__single_in(struct brood_queue *queue, uint64_t tail, size_t n);

static inline bool has_room(const struct brood_queue *queue)
{
	return mine(&queue->tail) - queue->head_seen < queue->capacity;
}

static inline void publish(struct single_slot *slot, uint64_t position, size_t length)
{
	store(&slot->header, position << 32 | length);	/* P1 */
}

/* After n were published: tell the world. How many are in. */
static inline size_t advance(const struct call *call, size_t n)
{
	struct brood_queue *queue = call->queue;
	uint64_t tail = mine(&queue->tail);

	if (is_closed(queue))
		n = brood__single_in(queue, tail, n);
	store(&queue->tail, tail + n);	/* P3 */
	brood__notify_light(&call->segment->members, &queue->readers);
	return n;
}

static inline int put_there(const struct call *call, const void *data, size_t length)
{
	struct brood_queue *queue = call->queue;
	uint64_t tail = mine(&queue->tail);
	struct single_slot *slot = slot_of(queue, tail);

	copy(slot->bytes, data, length);
	publish(slot, tail, length);
	return brood__likely(advance(call, 1)) ? 0 : -EPIPE;
}

/* ---- get ---- */

static inline uint32_t flags_of(const struct brood_queue *queue, uint64_t position)
{
	return (int64_t)(mine(&queue->shown) - position) > 0 ? BROOD_REDELIVERED : 0;
}

/* Messages before `position` are shown from here on. */
static inline void show(struct brood_queue *queue, uint64_t position)
{
	if ((int64_t)(mine(&queue->shown) - position) < 0)
		store(&queue->shown, position);	/* P6 */
	atomic_signal_fence(memory_order_seq_cst);	/* a kill falls before it or after it */
}

/* Those before `position` are done with. */
static inline void acknowledge(const struct call *call, uint64_t position)
{
	store(&call->queue->head, position);	/* P2 */
	brood__notify_light(&call->segment->members, &call->queue->writers);
}

static inline void get_there(const struct call *call, void *data, size_t length, uint32_t *flags)
{
	struct brood_queue *queue = call->queue;
	uint64_t head = mine(&queue->head);

	if (flags)
		*flags = flags_of(queue, head);
	show(queue, head + 1);
	copy(data, slot_of(queue, head)->bytes, length);
	acknowledge(call, head + 1);
}

/* ---- what is common: false when it is not so, and nothing has been done ---- */

static inline bool put_at_once(const struct call *call, const void *data, size_t length, int *result)
{
	struct brood_queue *queue = call->queue;

	if (brood__unlikely(mine(&queue->producer) != call->token || !has_room(queue) ||
			    length > queue->max_bytes || !data || is_closed(queue)))
		return false;
	*result = put_there(call, data, length);
	return true;
}

static inline bool get_at_once(const struct call *call, void *data, size_t size, uint32_t *flags,
			       ssize_t *result)
{
	struct brood_queue *queue = call->queue;
	uint64_t head = mine(&queue->head);
	uint64_t header = load(&slot_of(queue, head)->header);	/* P1 */
	size_t length = (uint32_t)header;

	if (brood__unlikely(mine(&queue->consumer) != call->token || !has_position(header, head) ||
			    length > size || length > queue->max_bytes || !data ||
			    is_closed(queue)))	/* after the header: P4 */
		return false;
	get_there(call, data, length, flags);
	*result = (ssize_t)length;
	return true;
}

#endif
