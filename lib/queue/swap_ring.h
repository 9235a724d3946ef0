/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The steps of a swap (swap_ring.c), for the calls that make one and for those that make many.
 */
#ifndef BROOD_SWAP_RING_H
#define BROOD_SWAP_RING_H

#include "queue/queue.h"

#define HINT_EVERY 8	/* hints are stored once a line of slot words */

static inline uint64_t load_slot(struct brood_queue *queue, uint64_t position)
{
	return atomic_load_explicit(queue_slot(queue, position), memory_order_acquire);	/* Q2 */
}

static inline uint64_t next_position(uint64_t position)
{
	return (position + 1) & POSITION_MASK;
}

static inline uint64_t hinted(const _Atomic uint64_t *hint)
{
	return atomic_load_explicit(hint, memory_order_acquire) & POSITION_MASK;	/* Q6 */
}

static inline void hint_at(_Atomic uint64_t *hint, uint64_t position)
{
	if (position % HINT_EVERY == 0)
		atomic_store_explicit(hint, position, memory_order_release);	/* Q6 */
}

/* What a put of the buffer, or a get that leaves it, installs in place of the word. */
static inline uint64_t after_put(uint64_t word, uint32_t buffer)
{
	return slot_word(slot_position(word), SLOT_FULL, buffer);
}

static inline uint64_t after_get(const struct brood_queue *queue, uint64_t word, uint32_t buffer)
{
	return slot_word((slot_position(word) + queue->ring) & POSITION_MASK, word & SLOT_CLOSED,
			 buffer);
}

/* Q1, W1. What the swap replaces is told first (Q5), and stays told until it is finished. */
static inline bool swap(struct brood__hand *hand, _Atomic uint64_t *slot, uint64_t from,
			uint64_t to)
{
	brood__assert(slot_buffer(to) == hand_offered(hand));
	brood__assert(position_after(slot_position(to), slot_position(from)) >= 0);
	atomic_store_explicit(&hand->want, from, memory_order_release);
	return atomic_compare_exchange_strong_explicit(slot, &from, to, memory_order_seq_cst,
						       memory_order_relaxed);
}

/* The buffer that the last swap gave, until it is finished. */
static inline uint32_t swap_gave(const struct brood__hand *hand)
{
	return slot_buffer(atomic_load_explicit(&hand->want, memory_order_relaxed));
}

/*
 * The word of that buffer is set (Q3): now offer it, or another of ours, which acknowledges a get,
 * and then want nothing.
 */
static inline void swap_finish(struct brood__hand *hand, uint32_t buffer, uint64_t done)
{
	brood__assert(swap_gave(hand) < NO_BUFFER && swap_gave(hand) != hand_offered(hand));
	hand_offer(hand, buffer, done);	/* Q4 */
	atomic_store_explicit(&hand->want, 0, memory_order_release);	/* Q5 */
}

/* A call that gives up must not leave a want whose buffer will be offered again. */
static inline void swap_give_up(struct brood__hand *hand)
{
	atomic_store_explicit(&hand->want, 0, memory_order_release);	/* Q5 */
}

#endif
