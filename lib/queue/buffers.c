/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Buffers that are in no slot: spares, those that the user has, and orphans.
 *
 * A hand's `offer` names the one buffer that the member will swap next; others of its buffers say
 * so in their own words, which the sweep of a dead member reads. The order of stores, and what a
 * sweep makes of a death between them:
 *
 *	take from the pool   CAS word FREE -> HELD            free again
 *	offer                offer = b;  word = OFFERED       HELD or LEASED and offered: D's spare,
 *	                                                      free; a lease is acknowledged by it
 *	hand to the user     word = RESERVED;  offer = none   offered and RESERVED: free, once
 *	keep                 word = HELD                      free
 *
 * A member that puts or gets many messages at once keeps the spares that they need for the next
 * time, in a chain through the notes of the buffers: its pocket. Chains are read by their member
 * only. First in, first out, so that buffers stay in the order in which they lie in memory: a line
 * holds eight of their words, and moves between cores once for all eight.
 *
 * An orphan is a message without a holder. `orphans` = { changes | there may be some }: whoever
 * finds none clears the bit by a CAS, which fails if another was made since its search began. The
 * word is set to ORPHAN first and `orphans` after it; a death between is made good by the sweep
 * of who died.
 */
#include <errno.h>

#include "queue/queue.h"

static uint64_t load_word(struct brood_queue *queue, uint32_t buffer)
{
	return atomic_load_explicit(queue_word(queue, buffer), memory_order_acquire);	/* Q7 */
}

static void store_word(struct brood_queue *queue, uint32_t buffer, uint64_t word)
{
	atomic_store_explicit(queue_word(queue, buffer), word, memory_order_release);	/* Q3, Q7 */
}

static bool take_word(struct brood_queue *queue, uint32_t buffer, uint64_t from, uint64_t to)
{
	/* Q7 */
	return atomic_compare_exchange_strong_explicit(queue_word(queue, buffer), &from, to,
						       memory_order_acq_rel, memory_order_relaxed);
}

void brood__keep(const struct call *call, uint32_t buffer)
{
	struct brood__hand *hand = call->hand;

	brood__assert(buffer_held_by(load_word(call->queue, buffer), call->me));
	if (hand->kept_count >= call->queue->keep) {
		store_word(call->queue, buffer, BUFFER_GONE);
		brood__owned(call, -1);
		return;
	}
	store_word(call->queue, buffer, buffer_word(call->me, BUFFER_HELD, 0, 0));
	queue_chain(call->queue, buffer, 0, NO_BUFFER);
	if (hand->kept == NO_BUFFER)
		hand->kept = buffer;
	else
		queue_chain(call->queue, hand->kept_last, 0, buffer);
	hand->kept_last = buffer;
	hand->kept_count++;
}

void brood__keep_first(const struct call *call, uint32_t buffer)
{
	struct brood__hand *hand = call->hand;

	brood__assert(buffer_kind(load_word(call->queue, buffer)) == BUFFER_HELD);
	queue_chain(call->queue, buffer, 0, hand->kept);
	if (hand->kept == NO_BUFFER)
		hand->kept_last = buffer;
	hand->kept = buffer;
	hand->kept_count++;
}

static int warm(const struct call *call, uint32_t buffer)
{
	struct brood_queue *queue = call->queue;

	if (!queue->sparse)
		return 0;
	return brood__block_commit(call->segment, queue, queue->bytes_at + buffer * queue->stride,
				   queue->stride);
}

void brood__owned(const struct call *call, int change)
{
	_Atomic uint32_t *owned = &call->hand->owned;
	uint32_t now = atomic_load_explicit(owned, memory_order_relaxed) + (uint32_t)change;

	atomic_store_explicit(owned, now, memory_order_relaxed);
}

/*
 * One buffer a member is always there to be had; of the extra ones, whoever holds many must leave
 * the rest of them alone. Members that look at the same moment may exceed it by one each.
 */
static bool may_own_more(const struct call *call)
{
	size_t beyond = brood__orphans_count(call->queue);

	if (atomic_load_explicit(&call->hand->owned, memory_order_relaxed) == 0)
		return true;
	for (uint32_t id = 0; id < members_used(call); id++) {
		uint32_t owned = atomic_load_explicit(&call->queue->hands[id].owned,
						      memory_order_relaxed);

		beyond += owned > 1 ? owned - 1 : 0;
	}
	return beyond < call->queue->extra;
}

/* From the pool: the buffer, now HELD, or an error. Begins where others probably do not. */
static int64_t allocate(const struct call *call)
{
	struct brood_queue *queue = call->queue;
	uint64_t mine = buffer_word(call->me, BUFFER_HELD, 0, 0);
	uint32_t first = (uint32_t)(queue->ring + call->me) % queue->buffers;

	if (!may_own_more(call))
		return -ENOBUFS;
	for (uint32_t k = 0; k < queue->buffers; k++) {
		uint32_t buffer = (first + k) % queue->buffers;
		uint64_t word = load_word(queue, buffer);

		if (buffer_kind(word) != BUFFER_FREE)
			continue;
		/* Before it is ours: if we die then, nobody takes it for one that has memory. */
		if (word == 0 && warm(call, buffer))
			return -ENOSPC;
		if (take_word(queue, buffer, word, mine)) {
			brood__owned(call, 1);
			return buffer;
		}
	}
	return -ENOBUFS;
}

void brood__stock(const struct call *call, uint32_t n)
{
	if (n > call->queue->keep)
		n = call->queue->keep;
	while (call->hand->kept_count < n) {
		int64_t buffer = allocate(call);

		if (buffer < 0)
			return;
		brood__keep(call, (uint32_t)buffer);
	}
}

int brood__spare(const struct call *call)
{
	int64_t buffer = hand_offered(call->hand);

	if (brood__likely(buffer != NO_BUFFER))
		return 0;
	buffer = take_kept(call);
	if (buffer == NO_BUFFER)
		buffer = allocate(call);
	if (brood__unlikely(buffer == -ENOBUFS)) {	/* dead members had some, whoever sweeps them */
		brood__member_sweep(&call->segment->members);
		buffer = allocate(call);
	}
	if (buffer < 0)
		return (int)buffer;
	brood__assert(buffer_kind(load_word(call->queue, (uint32_t)buffer)) == BUFFER_HELD);
	brood__offer(call, (uint32_t)buffer, 0);
	return 0;
}

void brood__offer(const struct call *call, uint32_t buffer, uint64_t done)
{
	uint32_t former = hand_offered(call->hand);

	if (former != NO_BUFFER)
		brood__keep(call, former);
	hand_offer(call->hand, buffer, done);
	store_word(call->queue, buffer,
		   buffer_change(load_word(call->queue, buffer), call->me, BUFFER_OFFERED));
}

void brood__count_done(const struct call *call)
{
	hand_offer(call->hand, hand_offered(call->hand), 1);
}

void brood__unoffer(const struct call *call)
{
	hand_offer(call->hand, NO_BUFFER, 0);
}

void brood__give_back(const struct call *call, uint32_t buffer)
{
	if (hand_offered(call->hand) == NO_BUFFER)
		brood__offer(call, buffer, 0);
	else
		brood__keep(call, buffer);
}

/* Those that fit go into the pocket as the chain that they are. */
void brood__give_back_chain(const struct call *call, uint32_t buffer)
{
	struct brood_queue *queue = call->queue;
	struct brood__hand *hand = call->hand;
	const uint64_t held = buffer_word(call->me, BUFFER_HELD, 0, 0);
	uint32_t first, last = NO_BUFFER, next;
	uint32_t left = queue->buffers;		/* an enemy's chain may be a ring */

	if (hand_offered(hand) == NO_BUFFER) {
		next = queue_next(queue, buffer);
		brood__offer(call, buffer, 0);
		buffer = next;
	}
	first = buffer;
	while (buffer != NO_BUFFER && hand->kept_count < queue->keep) {
		store_word(queue, buffer, held);
		hand->kept_count++;
		last = buffer;
		buffer = queue_next(queue, buffer);
	}
	if (last != NO_BUFFER) {
		queue_chain(queue, last, 0, NO_BUFFER);
		if (hand->kept == NO_BUFFER)
			hand->kept = first;
		else
			queue_chain(queue, hand->kept_last, 0, first);
		hand->kept_last = last;
	}
	for (; buffer != NO_BUFFER && left; buffer = next, left--) {
		next = queue_next(queue, buffer);
		brood__keep(call, buffer);
	}
}

/* The orphan that was put first, by the position in its note. */
static uint32_t oldest_orphan(struct brood_queue *queue, uint64_t *word)
{
	uint32_t oldest = NO_BUFFER;
	uint64_t least = 0;

	for (uint32_t buffer = 0; buffer < queue->buffers; buffer++) {
		uint64_t found = load_word(queue, buffer), position;

		if (buffer_kind(found) != BUFFER_ORPHAN)
			continue;
		position = atomic_load_explicit(queue_note(queue, buffer), memory_order_relaxed) >>
			   BUFFER_BITS;
		if (oldest != NO_BUFFER && position_after(position, least) >= 0)
			continue;
		oldest = buffer;
		least = position;
		*word = found;
	}
	return oldest;
}

int64_t brood__orphan_get(const struct call *call, size_t room)
{
	struct brood_queue *queue = call->queue;

	for (;;) {
		/* Q8 */
		uint64_t seen = atomic_load_explicit(&queue->orphans, memory_order_seq_cst), word;
		uint32_t buffer;

		if (brood__likely(!(seen & 1)))
			return -EAGAIN;
		buffer = oldest_orphan(queue, &word);
		if (buffer == NO_BUFFER) {
			if (atomic_compare_exchange_strong(&queue->orphans, &seen, seen & ~1ull))
				return -EAGAIN;
			continue;
		}
		if (buffer_length(word) > room)
			return -EMSGSIZE;
		if (take_word(queue, buffer, word, buffer_change(word, call->me, BUFFER_LEASED))) {
			brood__owned(call, 1);
			return buffer;
		}
	}
}

void brood__orphans_changed(struct brood_queue *queue)
{
	uint64_t seen = atomic_load_explicit(&queue->orphans, memory_order_relaxed);

	/* Q8, W1 */
	while (!atomic_compare_exchange_weak_explicit(&queue->orphans, &seen, (seen + 2) | 1,
						      memory_order_seq_cst, memory_order_relaxed))
		;
}

size_t brood__orphans_count(struct brood_queue *queue)
{
	size_t count = 0;

	if (!(atomic_load_explicit(&queue->orphans, memory_order_seq_cst) & 1))	/* Q8 */
		return 0;
	for (uint32_t buffer = 0; buffer < queue->buffers; buffer++)
		count += buffer_kind(load_word(queue, buffer)) == BUFFER_ORPHAN;
	return count;
}
