/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The swap ring: a bounded queue in which one CAS is the whole operation.
 *
 * Usage. Every slot always holds one buffer, and every member always offers one. put fills the
 * buffer that it offers and swaps it with the empty one in the slot at the tail; get swaps its
 * spare with the full one in the slot at the head. Nothing is claimed, so nobody ever waits for a
 * member: whoever stops, stops with nothing but buffers of its own.
 *
 *	put   p = tail   slot (p, EMPTY, c)  ->  (p, FULL, b)          b was offered, c is the new spare
 *	get   p = head   slot (p, FULL, c)   ->  (p + ring, EMPTY, b)  c is the message
 *	close p = tail   slot w              ->  w | CLOSED            a get that empties it keeps the bit
 *
 * Invariants.
 * R1 Slot i holds a word with position = i modulo ring, and each of its words has a later position,
 *    or the same one and more bits, than the one before. With the buffer in it a word never comes
 *    twice (the position has 42 bits: at 20 ns a message it comes round after a day, and a member
 *    would have to be stopped inside one CAS for exactly that long): a CAS that succeeds found the
 *    slot as it was when read.
 * R2 All positions before the tail have been put, all before the head have been taken. Hints lag.
 * R3 Each buffer is at any moment in one slot, or in one hand's offer, or its word says HELD,
 *    RESERVED, LEASED, ORPHAN or FREE.
 *
 * Why the answers are exact. Reading (p, EMPTY) with p at the head: all before p is taken and p
 * is not put, so at that read the queue is empty. Reading a position before p, with p at the
 * tail: p - ring is not yet taken, so the queue is full. With a capacity below ring, full is read
 * from the slot of p - capacity in the same way. An empty answer counts only if no orphan
 * appeared meanwhile.
 *
 * Dying inside. A swap leaves three stores to do, in this order:
 *
 *	word[c] = mine;  offer = c;  want = 0
 *
 * and before the CAS, want = w was stored, so whoever finds want set knows what was tried. A get
 * does the stores when the message has been copied: `offer = c` acknowledges it. A put leaves
 * them to the member's next call, when their lines are needed anyway: meanwhile it looks as if it
 * were stopped right after its CAS. In a joinable queue a get does the same, so that a consumer
 * that dies at work loses nothing.
 *
 * Did the CAS of a dead D happen? It would have installed W = (position, outcome, D's b), a word
 * that only D could install. It did if, looked at in this order, (1) the slot holds W, or (2)
 * some hand wants W, or (3) word[b] names another holder than D. Whoever takes W out first says
 * that it wants it (2), and writes word[b] before it stops wanting (3); D is dead and takes
 * nothing. The CLOSED bit is not compared, since close adds it to a word that somebody else
 * installed. The repair (repair.c) then does the three stores in D's name and gives back what D
 * has. Between `offer = c` and `want = 0` the dead D offers c itself, the buffer of the word it
 * wanted: then the swap is finished, and nothing is asked.
 *
 * Why not fewer stores: without `want` nobody could tell whether D's CAS happened; without the
 * holder in the buffer's word a swap whose W has left the slot again would be taken for one that
 * failed, and its buffer for D's: two owners. doc/model/swap_ring.pml shows both when they are
 * left out.
 *
 * Progress. put and get are lock-free: a CAS fails only when another one succeeded. The walk from a
 * hint jumps by what each word tells, so an old hint costs at most a lap.
 *
 * Edges (doc/memory-model.md). Q1: the CAS releases the payload and the words written before it;
 * Q2: loading a slot's word acquires them. Q3, Q4, Q5: word, offer and want are release stores,
 * read by the sweep with acquire in the opposite order.
 *
 * Source: the single-CAS swap of a spare is ours; positions in slots go back to D. Vyukov's
 * bounded MPMC queue (1024cores.net), without its two-step claim.
 */
#include <errno.h>

#include "queue/swap_ring.h"

#define WALK_AT_MOST 1000000

/*
 * The later of the hint and what the member itself has seen, which is of use when it is slightly
 * ahead; farther ahead it is from a time so long ago that positions have come round.
 */
static uint64_t start(const struct brood_queue *queue, const _Atomic uint64_t *hint, uint64_t seen)
{
	uint64_t at = hinted(hint);
	int64_t ahead = position_after(seen, at);

	return ahead > 0 && ahead <= queue->ring ? seen : at;
}

/*
 * A word later than position p is in p's slot, so p is past. Its position minus ring is taken: the
 * tail and the head are behind that; a FULL one is put itself.
 */
static uint64_t skip(const struct brood_queue *queue, uint64_t position, uint64_t word, bool full_too)
{
	uint64_t behind = slot_position(word) - queue->ring + 1;

	if (full_too && word & SLOT_FULL)
		behind = slot_position(word) + 1;
	behind &= POSITION_MASK;
	return position_after(behind, position) > 0 ? behind : next_position(position);
}

/*
 * In a ring that is whole a walk comes to its end within some laps. In one that is damaged the
 * words can send it round in a circle: then the word that it gives names no buffer, and its
 * caller says -EPROTO.
 */
static bool goes_round(const struct brood_queue *queue, uint64_t steps)
{
	return brood__unlikely(steps > WALK_AT_MOST + 4ull * queue->ring);
}

static uint64_t walk_tail(struct brood_queue *queue, uint64_t position, uint64_t *word)
{
	for (uint64_t steps = 0; !goes_round(queue, steps); steps++) {
		uint64_t found = load_slot(queue, position);
		int64_t after = position_after(slot_position(found), position);

		*word = found;
		if (after < 0 || (after == 0 && !(found & SLOT_FULL)))
			return position;
		position = skip(queue, position, found, true);
	}
	*word = slot_word(position, 0, NO_BUFFER);
	return position;
}

static uint64_t walk_head(struct brood_queue *queue, uint64_t position, uint64_t *word)
{
	for (uint64_t steps = 0; !goes_round(queue, steps); steps++) {
		uint64_t found = load_slot(queue, position);

		*word = found;
		if (position_after(slot_position(found), position) <= 0)
			return position;
		position = skip(queue, position, found, false);
	}
	*word = slot_word(position, SLOT_FULL, NO_BUFFER);
	return position;
}

uint64_t brood__ring_tail(struct brood_queue *queue, uint64_t *word)
{
	return walk_tail(queue, hinted(&queue->tail), word);
}

uint64_t brood__ring_head(struct brood_queue *queue, uint64_t *word)
{
	return walk_head(queue, hinted(&queue->head), word);
}

/* Not if head_seen is so old that positions have come round. */
static bool is_within(const struct call *call, uint64_t position)
{
	int64_t distance = position_after(position, call->hand->head_seen);

	return distance >= 0 && distance < (int64_t)call->queue->capacity;
}

/*
 * Whether position p may be put without exceeding a capacity below ring. The head only grows, so
 * having once been far enough is enough.
 */
static bool has_room(const struct call *call, uint64_t position)
{
	struct brood_queue *queue = call->queue;
	uint64_t first = (position - queue->capacity) & POSITION_MASK, word;

	if (is_within(call, position))
		return true;
	call->hand->head_seen = hinted(&queue->head);
	if (is_within(call, position))
		return true;
	word = load_slot(queue, first);
	return position_after(slot_position(word), first) > 0;
}

static int64_t give_up(const struct call *call, int64_t error)
{
	swap_give_up(call->hand);
	return error;
}

int brood__ring_put(const struct call *call)
{
	struct brood_queue *queue = call->queue;
	struct brood__hand *hand = call->hand;
	uint32_t mine = hand_offered(hand);
	uint64_t position = hand->put_at, word = load_slot(queue, position);

	/* Nobody else has put since our last put: no need to ask the hint. */
	if (slot_position(word) != position || word & SLOT_FULL)
		position = start(queue, &queue->tail, position);
	for (;;) {
		position = walk_tail(queue, position, &word);
		hand->put_at = position;
		if (word & SLOT_CLOSED)
			return (int)give_up(call, -EPIPE);
		if (slot_position(word) != position || !has_room(call, position))
			return (int)give_up(call, -EAGAIN);
		if (slot_buffer(word) >= queue->buffers)
			return (int)give_up(call, -EPROTO);
		if (swap(hand, queue_slot(queue, position), word, after_put(word, mine)))
			break;
	}
	hand->pending = PENDING_PUT;
	hand->put_at = next_position(position);
	hint_at(&queue->tail, hand->put_at);
	return 0;
}

/* The message in a slot is longer than room; the word tells whether it still is the first. */
static bool too_long(struct brood_queue *queue, uint64_t word, size_t room)
{
	if (brood__likely(room >= queue->max_bytes))
		return false;
	/* Q3: a word of who has taken it since; then the slot differs */
	return buffer_length(atomic_load_explicit(queue_word(queue, slot_buffer(word)),
						  memory_order_acquire)) > room;
}

int64_t brood__ring_get(const struct call *call, size_t room)
{
	struct brood_queue *queue = call->queue;
	struct brood__hand *hand = call->hand;
	uint32_t mine = hand_offered(hand);
	uint64_t position = hand->get_at, word = load_slot(queue, position);

	if (slot_position(word) != position)
		position = start(queue, &queue->head, position);
	for (;;) {
		position = walk_head(queue, position, &word);
		hand->get_at = position;
		if (!(word & SLOT_FULL))
			return give_up(call, word & SLOT_CLOSED ? -EPIPE : -EAGAIN);
		if (slot_buffer(word) >= queue->buffers || slot_position(word) != position)
			return give_up(call, -EPROTO);
		if (brood__unlikely(too_long(queue, word, room))) {
			if (load_slot(queue, position) == word)
				return give_up(call, -EMSGSIZE);
			continue;
		}
		if (swap(hand, queue_slot(queue, position), word, after_get(queue, word, mine)))
			break;
	}
	hand->pending = PENDING_GET;
	hand->get_at = next_position(position);
	hint_at(&queue->head, hand->get_at);
	return slot_buffer(word);
}

/*
 * A closed bit on any word, at the tail or carried along by a get, is found by walking to the
 * tail.
 */
int brood__ring_close(struct brood_queue *queue)
{
	for (;;) {
		uint64_t word, position = brood__ring_tail(queue, &word);

		if (word & SLOT_CLOSED)
			return 0;
		if (slot_buffer(word) >= queue->buffers)
			return -EPROTO;
		/* Q1, W1 */
		if (atomic_compare_exchange_strong_explicit(queue_slot(queue, position), &word,
							    word | SLOT_CLOSED,
							    memory_order_seq_cst,
							    memory_order_relaxed))
			return 0;
	}
}

static void finish_swap(const struct call *call, uint64_t done)
{
	uint64_t want = atomic_load_explicit(&call->hand->want, memory_order_relaxed);
	uint32_t mine = slot_buffer(want);
	uint64_t word = 0;

	/* A message's length is kept: if we die before the next store it is delivered again. */
	if (want & SLOT_FULL)
		word = atomic_load_explicit(queue_word(call->queue, mine), memory_order_relaxed);
	atomic_store_explicit(queue_word(call->queue, mine),
			      buffer_change(word, call->me, BUFFER_OFFERED),
			      memory_order_release);	/* Q3 */
	swap_finish(call->hand, mine, done);
	call->hand->pending = PENDING_NONE;
}

static uint32_t take_first_got(const struct call *call)
{
	struct brood__hand *hand = call->hand;
	uint32_t buffer = hand->got;

	hand->got = queue_next(call->queue, buffer);
	if (hand->got == NO_BUFFER)
		hand->pending = PENDING_NONE;
	return buffer;
}

void brood__ring_finish(const struct call *call)
{
	if (call->hand->pending != PENDING_MANY) {
		finish_swap(call, 0);
	} else {
		brood__give_back_chain(call, call->hand->got);
		call->hand->pending = PENDING_NONE;
	}
}

void brood__ring_finish_done(const struct call *call)
{
	struct brood__hand *hand = call->hand;

	if (hand->pending == PENDING_PUT)
		finish_swap(call, 0);
	if (hand->pending == PENDING_GET)
		finish_swap(call, 1);
	else if (hand->pending == PENDING_MANY)
		brood__offer(call, take_first_got(call), 1);
	else
		brood__count_done(call);
}
