/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a dead member left in a queue, put right. Why it is right: swap_ring.c and buffers.c.
 *
 * One living member at a time does this for one dead member (member.c). It may be killed at any
 * instruction; the next one begins again, and every step below can be repeated:
 *
 *	1 want set: did the swap happen? If so do its stores in the dead one's name, want last.
 *	2 offer: the dead one's spare, if its word still says so: free; then the offer is none.
 *	3 every buffer whose word names the dead one: HELD, RESERVED -> free, LEASED -> orphan.
 *	4 orphans may have come; the registration as a producer ends; the hand is unused.
 *	5 all users look again; then the member is no user: the id can be another's.
 *
 * Nothing here waits, and nobody waits for it: until it is done some buffers are missing, no more.
 */
#include "queue/buffer_ref.h"
#include "queue/swap_ring.h"

struct repair {
	struct brood_segment *segment;
	struct brood_queue *queue;
	struct brood__hand *hand;	/* of the dead */
	uint32_t dead;
};

static uint64_t load_word(const struct repair *repair, uint32_t buffer)
{
	/* Q3 */
	return atomic_load_explicit(queue_word(repair->queue, buffer), memory_order_acquire);
}

static void change_word(const struct repair *repair, uint32_t buffer, uint64_t from, uint64_t to)
{
	/* Q7 */
	atomic_compare_exchange_strong_explicit(queue_word(repair->queue, buffer), &from, to,
						memory_order_acq_rel, memory_order_relaxed);
}

static bool is_of_dead(const struct repair *repair, uint32_t buffer)
{
	return buffer_held_by(load_word(repair, buffer), repair->dead);
}

static bool same_swap(uint64_t a, uint64_t b)
{
	return (a & ~SLOT_CLOSED) == (b & ~SLOT_CLOSED);
}

/* Whether any member wants to replace this word: then the word was in a slot. */
static bool is_wanted(const struct repair *repair, uint64_t word)
{
	for (uint32_t id = 0; id < repair->queue->members; id++)	/* Q5 */
		if (same_swap(atomic_load_explicit(&repair->queue->hands[id].want,
						   memory_order_acquire), word))
			return true;
	return false;
}

/* What the dead one's CAS installed if it happened. Unique: nobody else could offer `mine`. */
static uint64_t outcome(const struct repair *repair, uint64_t want, uint32_t mine)
{
	return want & SLOT_FULL ? after_get(repair->queue, want, mine) : after_put(want, mine);
}

/* The order of the three looks is the proof's: Q2, then Q5, then Q3. */
static bool swap_happened(const struct repair *repair, uint64_t want, uint32_t mine)
{
	uint64_t installed = outcome(repair, want, mine);
	uint64_t in_slot = atomic_load_explicit(queue_slot(repair->queue, slot_position(want)),
						memory_order_acquire);

	return same_swap(in_slot, installed) || is_wanted(repair, installed) ||
	       !is_of_dead(repair, mine);
}

static void finish_swap(const struct repair *repair, uint64_t want)
{
	struct brood_queue *queue = repair->queue;
	uint32_t theirs = slot_buffer(want);
	uint64_t word = load_word(repair, theirs);
	enum buffer_kind kind = want & SLOT_FULL ? BUFFER_LEASED : BUFFER_HELD;

	if (want & SLOT_FULL)
		queue_chain(queue, theirs, slot_position(want), NO_BUFFER);
	atomic_store_explicit(queue_word(queue, theirs), buffer_change(word, repair->dead, kind),
			      memory_order_release);	/* Q3 */
	hand_offer(repair->hand, NO_BUFFER, 0);
}

/*
 * Step 1. The offer is: the buffer of the tried swap; none, when a sweeper before us has finished
 * the swap and died before the last store; or already the buffer that the swap gave, when the
 * member itself died there.
 */
static void settle_swap(const struct repair *repair)
{
	/* Q5, then Q4 */
	uint64_t want = atomic_load_explicit(&repair->hand->want, memory_order_acquire);
	uint32_t mine = offer_buffer(atomic_load_explicit(&repair->hand->offer,
							  memory_order_acquire));

	if (want == 0)
		return;
	if (mine < repair->queue->buffers && slot_buffer(want) < repair->queue->buffers &&
	    mine != slot_buffer(want) && swap_happened(repair, want, mine))
		finish_swap(repair, want);
	atomic_store_explicit(&repair->hand->want, 0, memory_order_release);	/* Q5 */
}

static void free_spare(const struct repair *repair)
{
	uint32_t mine = offer_buffer(atomic_load_explicit(&repair->hand->offer,
							  memory_order_acquire));

	if (mine < repair->queue->buffers) {
		uint64_t word = load_word(repair, mine);

		if (buffer_held_by(word, repair->dead)) {
			brood__reference_drop(repair->segment, repair->queue, mine,
					      queue_bytes(repair->queue, mine));
			change_word(repair, mine, word, BUFFER_GONE);
		}
	}
	hand_offer(repair->hand, NO_BUFFER, 0);
}

static bool release_held(const struct repair *repair)
{
	bool orphans = false;

	for (uint32_t buffer = 0; buffer < repair->queue->buffers; buffer++) {
		uint64_t word = load_word(repair, buffer);

		if (!buffer_held_by(word, repair->dead))
			continue;
		switch (buffer_kind(word)) {
		case BUFFER_HELD:
		case BUFFER_RESERVED:
			brood__reference_drop(repair->segment, repair->queue, buffer,
					      queue_bytes(repair->queue, buffer));
			change_word(repair, buffer, word, BUFFER_GONE);
			break;
		case BUFFER_LEASED:
			change_word(repair, buffer, word,
				    buffer_word(NO_HOLDER, BUFFER_ORPHAN, BROOD_REDELIVERED,
						buffer_length(word)));
			orphans = true;
			break;
		default:
			break;
		}
	}
	return orphans;
}

/*
 * The end of a living member, which may be stopped or killed here too. In a joinable queue, what
 * it got and has not told done is not acknowledged: the steps that follow deliver it again.
 */
static void finish_own(struct brood_segment *segment, const struct repair *repair)
{
	bool got = repair->hand->pending == PENDING_GET || repair->hand->pending == PENDING_MANY;
	const struct call call = {
		.queue = repair->queue,
		.hand = repair->hand,
		.segment = segment,
		.me = repair->dead,
	};

	if (!got || !repair->queue->joinable)
		ring_finish(&call);
}

void brood__queue_sweep(struct brood_segment *segment, void *object, uint32_t member, bool clean)
{
	struct brood_queue *queue = object;
	const struct repair repair = { segment, queue, &queue->hands[member], member };

	if (member >= segment->members.max)
		return;	/* a guest */
	if (!brood__object_swept(segment, queue, BROOD__KIND_QUEUE))
		return;
	if (queue->single) {	/* who takes the seats puts right what is wrong: spsc_ring.c */
		brood__mask_clear(queue->readers.mask, member);
		brood__mask_clear(queue->writers.mask, member);
		return;
	}
	if (!brood__mask_has(queue->users.mask, member))
		return;
	if (clean && atomic_load_explicit(&repair.hand->used, memory_order_relaxed))
		finish_own(segment, &repair);
	settle_swap(&repair);
	free_spare(&repair);
	if (release_held(&repair) || !clean)
		brood__orphans_changed(queue);
	brood__producer_ends(&segment->members, queue, repair.hand);
	brood__mask_clear(queue->readers.mask, member);
	brood__mask_clear(queue->writers.mask, member);
	brood__mask_clear(queue->joiners.mask, member);
	atomic_store_explicit(&repair.hand->owned, 0, memory_order_relaxed);
	/* Before the sweep wakes all: who waits to know whether this is the end looks at it. */
	atomic_store_explicit(&repair.hand->used, 0, memory_order_release);
	brood__mask_clear(queue->users.mask, member);
}
