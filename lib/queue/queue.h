/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 6, inside: the words of a queue, each defined once, here.
 *
 * swap_ring.c moves buffers in and out of slots, buffers.c looks after those that are in nobody's
 * slot, repair.c puts right what a dead member left; put.c, get.c, batch.c, place.c, tasks.c,
 * state.c and queue.c are the public calls. A queue of one producer and one consumer has a ring of
 * its own, spsc_ring.c, and none of the words of buffers and hands; seat.c knows who the one is.
 */
#ifndef BROOD_QUEUE_INTERNAL_H
#define BROOD_QUEUE_INTERNAL_H

#include <string.h>

#include <brood/queue.h>

#include "arena/object.h"
#include "wait/wait.h"

/* ---- a slot's word: { position:42 | closed:1 | full:1 | buffer:20 } ---- */

#define BUFFER_BITS 20
#define NO_BUFFER ((1u << BUFFER_BITS) - 1)
#define SLOT_FULL (1ull << BUFFER_BITS)		/* the buffer holds the message of this position */
#define SLOT_CLOSED (2ull << BUFFER_BITS)	/* no message will ever be put after this word's */
#define POSITION_SHIFT (BUFFER_BITS + 2)
#define POSITION_MASK (UINT64_MAX >> POSITION_SHIFT)

static inline uint64_t slot_word(uint64_t position, uint64_t bits, uint32_t buffer)
{
	return position << POSITION_SHIFT | bits | buffer;
}

static inline uint64_t slot_position(uint64_t word)
{
	return word >> POSITION_SHIFT;
}

static inline uint32_t slot_buffer(uint64_t word)
{
	return (uint32_t)word & NO_BUFFER;
}

/* a - b for positions that are less than half the range apart. */
static inline int64_t position_after(uint64_t a, uint64_t b)
{
	return (int64_t)((a - b) << POSITION_SHIFT) >> POSITION_SHIFT;
}

/*
 * ---- a buffer's word: { holder + 1:16 | kind:4 | warm:1 | flags:11 | length:32 } ----
 *
 * Written by the holder alone, but for FREE and ORPHAN, which have none: from those one member
 * takes it by CAS. Never-used buffers are all zero.
 */
enum buffer_kind {
	BUFFER_FREE = 0,
	BUFFER_HELD,		/* a spare in the holder's pocket; free when it dies */
	BUFFER_RESERVED,	/* handed to the user to write into; free when it dies */
	BUFFER_LEASED,		/* a message that the holder has; an orphan when it dies */
	BUFFER_OFFERED,		/* written for a swap; tells nothing of who owns it by now */
	BUFFER_ORPHAN,		/* a message that waits to be delivered again */
};

#define WARM (1ull << 43)	/* memory has been committed for it */
#define FLAGS_SHIFT 32

static inline uint64_t buffer_word(uint32_t holder, enum buffer_kind kind, uint32_t flags,
				   size_t length)
{
	return (uint64_t)(holder + 1) << 48 | (uint64_t)kind << 44 | WARM |
	       (uint64_t)flags << FLAGS_SHIFT | (uint32_t)length;
}

static inline enum buffer_kind buffer_kind(uint64_t word)
{
	return (enum buffer_kind)(word >> 44 & 15);
}

static inline bool buffer_held_by(uint64_t word, uint32_t member)
{
	return word >> 48 == member + 1;
}

static inline uint32_t buffer_flags(uint64_t word)
{
	return word >> FLAGS_SHIFT & BROOD_REDELIVERED;
}

static inline size_t buffer_length(uint64_t word)
{
	return (uint32_t)word;
}

/* The same message under another holder and kind. */
static inline uint64_t buffer_change(uint64_t word, uint32_t holder, enum buffer_kind kind)
{
	const uint64_t message = (uint64_t)BROOD_REDELIVERED << FLAGS_SHIFT | UINT32_MAX;

	return (word & message) | buffer_word(holder, kind, 0, 0);
}

#define BUFFER_GONE ((uint64_t)BUFFER_FREE << 44 | WARM)	/* free, used before */
#define NO_HOLDER UINT32_MAX

/* ---- a member's hand: what it is about to do in this queue, and what it has ---- */

enum pending {			/* what finish has to do; known to the member alone */
	PENDING_NONE = 0,
	PENDING_PUT,		/* the swap of `want` happened */
	PENDING_GET,		/* the same; finishing acknowledges the message */
	PENDING_MANY,		/* the messages of the chain `got` */
};

struct brood__hand {
	/* Shared: what a sweep reads. */
	_Alignas(BROOD__LINE) _Atomic uint64_t want;	/* the slot word that the swap replaces, 0 */
	_Atomic uint64_t offer;	/* { task_done calls ever made:44 | buffer offered in the swap:20 } */
	_Atomic uint32_t producer;	/* { registrations ever made:31 | registered now:1 } */
	_Atomic uint32_t owned;	/* buffers that are the member's: offered, pocketed, with the user */
	_Atomic uint8_t used;	/* 1 between first use and sweep */
	/* The member's own. */
	uint8_t pending;	/* enum pending */
	uint8_t put_streak : 1, get_streak : 1;	/* the last call found room, or a message, at once */
	uint8_t kept_count;
	uint32_t kept, kept_last;	/* chain of HELD buffers: the first is used first */
	uint32_t got;		/* chain of LEASED buffers of a get or get_many */
	uint64_t put_at, get_at;	/* not ahead of the true tail and head */
	uint64_t head_seen;	/* the head has been here */
};

_Static_assert(sizeof(struct brood__hand) == BROOD__LINE, "a hand is a line");

static inline uint32_t offer_buffer(uint64_t offer)
{
	return (uint32_t)offer & NO_BUFFER;
}

static inline uint64_t offer_done(uint64_t offer)
{
	return offer >> BUFFER_BITS;
}

/* The buffer that the hand's member offers. */
static inline uint32_t hand_offered(const struct brood__hand *hand)
{
	return offer_buffer(atomic_load_explicit(&hand->offer, memory_order_relaxed));
}

/* Offer another, and count `done` in the same store. */
static inline void hand_offer(struct brood__hand *hand, uint32_t buffer, uint64_t done)
{
	uint64_t offer = atomic_load_explicit(&hand->offer, memory_order_relaxed);

	offer = (offer & ~(uint64_t)NO_BUFFER) + (done << BUFFER_BITS) + buffer;
	atomic_store_explicit(&hand->offer, offer, memory_order_release);	/* Q4, Q9 */
}

/* ---- the queue ---- */

struct brood_queue {
	struct brood__object object;
	/* Written by the creator, before anybody else can see it. */
	uint64_t max_bytes, stride;	/* of a buffer's bytes */
	uint64_t slots_at, words_at, notes_at, bytes_at;	/* from the queue's start */
	uint32_t capacity, ring, buffers, members;	/* ring: slots, a power of two >= capacity */
	uint32_t producers_end;
	uint32_t joinable;
	uint32_t keep;		/* spares that a member may pocket, beyond the one it offers */
	uint32_t put_gather, get_gather;	/* brood__wait.gather for who streams */
	uint32_t extra;		/* buffers that members may own beyond one each, all together */
	uint32_t sparse;	/* buffers get memory when they are first used */
	uint32_t one_producer, one_consumer;	/* the seats below are for one each */
	uint32_t check_puts;	/* one_producer or producers_end: a put has to ask */
	uint32_t single;	/* both, and the ring is that of spsc_ring.c */
	/*
	 * Hints: never ahead of the truth; in spsc_ring.c the truth. Lines that the two sides write
	 * are no neighbours: a CPU may fetch lines in pairs.
	 */
	_Alignas(BROOD__LINE) _Atomic uint64_t tail;
	_Atomic uint64_t producer;	/* the only one: { token | has a reservation:1 }, seat.c */
	uint64_t head_seen;	/* from here on: of spsc_ring.c; the head has been here */
	uint64_t put_waited;	/* at which position a put last had to wait */
	_Alignas(BROOD__LINE) _Atomic uint64_t orphans;	/* { changes:63 | there may be some:1 } */
	_Atomic uint64_t end;	/* of spsc_ring.c: the first position that will never be put; 0 */
	_Atomic uint32_t closed;
	_Alignas(BROOD__LINE) _Atomic uint64_t head;
	_Atomic uint64_t consumer;	/* the only one: { token | has a lease:1 } */
	_Atomic uint64_t shown;	/* all before it may have been seen by a consumer */
	uint64_t get_waited;
	_Alignas(BROOD__LINE) struct brood__waitlist readers;
	_Alignas(BROOD__LINE) struct brood__waitlist writers;
	_Alignas(BROOD__LINE) struct brood__waitlist joiners;
	_Alignas(BROOD__LINE) struct brood__waitlist users;	/* who has used it; nobody sleeps here */
	struct brood__hand hands[];	/* one a member */
};

/*
 * In the order of the layout: slot words, buffer words, notes (position << 20 | next in a chain).
 */
static inline _Atomic uint64_t *queue_slot(struct brood_queue *queue, uint64_t position)
{
	_Atomic uint64_t *slots = (void *)((char *)queue + queue->slots_at);

	return &slots[position & (queue->ring - 1)];
}

/* Wherever a buffer's number comes from, an enemy may have written it. */
static inline uint32_t queue_buffer(const struct brood_queue *queue, uint32_t buffer)
{
	return brood__likely(buffer < queue->buffers) ? buffer : 0;
}

static inline _Atomic uint64_t *queue_word(struct brood_queue *queue, uint32_t buffer)
{
	return (_Atomic uint64_t *)(void *)((char *)queue + queue->words_at) +
	       queue_buffer(queue, buffer);
}

static inline _Atomic uint64_t *queue_note(struct brood_queue *queue, uint32_t buffer)
{
	return (_Atomic uint64_t *)(void *)((char *)queue + queue->notes_at) +
	       queue_buffer(queue, buffer);
}

static inline void queue_chain(struct brood_queue *queue, uint32_t buffer, uint64_t position,
			       uint32_t next)
{
	atomic_store_explicit(queue_note(queue, buffer), position << BUFFER_BITS | next,
			      memory_order_relaxed);
}

static inline uint32_t queue_next(struct brood_queue *queue, uint32_t buffer)
{
	return (uint32_t)atomic_load_explicit(queue_note(queue, buffer), memory_order_relaxed) &
	       NO_BUFFER;
}

static inline void *queue_bytes(struct brood_queue *queue, uint32_t buffer)
{
	return (char *)queue + queue->bytes_at + queue_buffer(queue, buffer) * queue->stride;
}

/* ---- a call: entered by every public function (queue.c) ---- */

struct call {
	struct brood_queue *queue;
	struct brood__hand *hand;
	struct brood_segment *segment;
	uint32_t me;
	uint64_t token;		/* the caller, in the words of seats */
};

/* Copy a message into a buffer that is, or will be, offered. */
static inline void queue_fill(const struct call *call, uint32_t buffer, const void *data,
			      size_t length)
{
	if (length)	/* data may be NULL if not */
		memcpy(queue_bytes(call->queue, buffer), data, length);
	atomic_store_explicit(queue_word(call->queue, buffer),
			      buffer_word(call->me, BUFFER_OFFERED, 0, length),
			      memory_order_release);	/* Q3 */
}

/* What the buffer holds, bounded by what it can hold. */
static inline size_t buffer_contents(const struct call *call, uint32_t buffer, uint32_t *flags)
{
	uint64_t word = atomic_load_explicit(queue_word(call->queue, buffer), memory_order_acquire);
	size_t length = buffer_length(word);

	*flags = buffer_flags(word);
	return length < call->queue->max_bytes ? length : call->queue->max_bytes;
}

/* Copy a message of at most `room` bytes that was taken; its length. */
static inline size_t copy_out(const struct call *call, uint32_t buffer, void *data, size_t room,
			      uint32_t *flags)
{
	size_t length = buffer_contents(call, buffer, flags);

	if (brood__unlikely(length > room))	/* an enemy's */
		length = room;
	if (length)	/* data may be NULL if not */
		memcpy(data, queue_bytes(call->queue, buffer), length);
	return length;
}

/* 0; QUEUE_SINGLE: inside, and the rest is for the functions of spsc_ring.c; or an error. */
int brood__queue_enter(struct brood_queue *queue, struct call *call);
void brood__queue_first_use(struct call *call);
#define QUEUE_SINGLE 1

/*
 * The same for put and get, without a call in what is common: the caller is a member, and the queue
 * lies in the segment that it used last. Below the segment's top it can be looked at, whatever
 * it is. False: nothing has been done.
 */
static inline bool queue_enter_nearby(struct brood_queue *queue, struct call *call)
{
	const struct brood__here *here = brood__nearby(queue);
	struct brood_segment *segment;
	_Atomic uint64_t *inside;
	uint64_t offset;
	uint32_t me;

	if (brood__unlikely(!here))
		return false;
	segment = (struct brood_segment *)here->members;
	offset = (uintptr_t)queue - here->base;
	me = brood__token_id(here->token);
	inside = &segment->members.table[me].inside;
	if (brood__unlikely(offset % BROOD__LINE ||
			    offset >= atomic_load_explicit(&segment->header->top,
							   memory_order_acquire) ||
			    atomic_load_explicit(inside, memory_order_relaxed)))
		return false;
	atomic_store_explicit(inside, offset, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);	/* H1, light half */
	*call = (struct call){ queue, &queue->hands[me], segment, me, here->token };
	if (brood__likely(brood__object_alive(segment, queue, BROOD__KIND_QUEUE)))
		return true;
	atomic_store_explicit(inside, 0, memory_order_release);
	return false;
}

/* Before a call uses the hand, unless brood__queue_enter has entered it. */
static inline void queue_used(struct call *call)
{
	if (brood__unlikely(!atomic_load_explicit(&call->hand->used, memory_order_relaxed)))
		brood__queue_first_use(call);
}

static inline void queue_leave(const struct call *call)
{
	brood__object_leave(&(struct brood__call){ call->segment, call->queue, call->me });
}

static inline bool queue_destroyed(const struct call *call)
{
	return !brood__object_alive(call->segment, call->queue, BROOD__KIND_QUEUE);
}

/* ---- swap_ring.c ---- */

/* Swap the offered buffer, a message, into the ring. 0, -EAGAIN (full), -EPIPE, -EPROTO. */
int brood__ring_put(const struct call *call);
/* Swap the offered buffer, a spare, for the first message of at most `room` bytes: its buffer, or
 * -EAGAIN (empty), -EPIPE (ended), -EMSGSIZE, -EPROTO. */
int64_t brood__ring_get(const struct call *call, size_t room);
/* Mark the end. 0, or -EPROTO. */
int brood__ring_close(struct brood_queue *queue);
/* The true positions: of the next put; of the next get. Bits are those of the word found. */
uint64_t brood__ring_tail(struct brood_queue *queue, uint64_t *word);
uint64_t brood__ring_head(struct brood_queue *queue, uint64_t *word);
/* Do the stores that the last swap left undone; a get is acknowledged by it. */
void brood__ring_finish(const struct call *call);
/* Acknowledge one message, if one is pending, and count a task_done, both in one store. */
void brood__ring_finish_done(const struct call *call);

static inline void ring_finish(const struct call *call)
{
	if (call->hand->pending)
		brood__ring_finish(call);
}

/* ---- buffers.c ---- */

/* See to it that the hand offers a buffer. 0, -ENOBUFS, -ENOSPC. */
int brood__spare(const struct call *call);
/* See to it that the pocket holds n more, if there are that many and so many may be kept. */
void brood__stock(const struct call *call, uint32_t n);
/* Take the one from the pocket that has been there longest: HELD; NO_BUFFER if it is empty. */
static inline uint32_t take_kept(const struct call *call)
{
	struct brood__hand *hand = call->hand;
	uint32_t buffer = hand->kept;

	if (buffer != NO_BUFFER) {
		hand->kept = queue_next(call->queue, buffer);
		hand->kept_count--;
	}
	return buffer;
}

/* Into the pocket a buffer that is HELD, or LEASED and acknowledged by this; if it is full, free. */
void brood__keep(const struct call *call, uint32_t buffer);
/* Back into the pocket, as the one to be taken next. */
void brood__keep_first(const struct call *call, uint32_t buffer);
/*
 * Offer this buffer in place of what the hand offers, which is kept; counts `done` in the same
 * store.
 */
void brood__offer(const struct call *call, uint32_t buffer, uint64_t done);
/* Count a task_done, whatever is offered. */
void brood__count_done(const struct call *call);
/* The hand offers nothing any more; the buffer stays what its word says. */
void brood__unoffer(const struct call *call);
/*
 * In place of a buffer that was swapped away, the next spare from the pocket is offered, if any;
 * which.
 */
static inline uint32_t offer_next(const struct call *call)
{
	uint32_t next = take_kept(call);

	hand_offer(call->hand, next, 0);
	if (next != NO_BUFFER)
		atomic_store_explicit(queue_word(call->queue, next),
				      buffer_word(call->me, BUFFER_OFFERED, 0, 0),
				      memory_order_release);	/* Q3 */
	return next;
}

/* A buffer became the member's (1), or another's (-1). */
void brood__owned(const struct call *call, int change);
/* A buffer of the caller's that nobody needs any more: keep it or free it. */
void brood__give_back(const struct call *call, uint32_t buffer);
/* A chain of them, from the first on. */
void brood__give_back_chain(const struct call *call, uint32_t buffer);
/* Take the oldest orphan of at most `room` bytes: as brood__ring_get. */
int64_t brood__orphan_get(const struct call *call, size_t room);
/* An orphan was made: readers look for it. */
void brood__orphans_changed(struct brood_queue *queue);
size_t brood__orphans_count(struct brood_queue *queue);

/* ---- put.c, get.c: what the batches and the in-place calls share with put and get ---- */

/* Put the offered buffer, whose word is set; waits. As brood_queue_put, but tells nobody. */
int brood__put_offered(const struct call *call, size_t untold, int64_t timeout);
/* Fill the offered buffer and put it. */
int brood__put_copy(const struct call *call, const struct brood_message *message, size_t untold,
		    int64_t timeout);
void brood__tell_readers(const struct call *call, size_t messages);
/* Get a message; waits. Its buffer, pending, or an error as of brood_queue_get. */
int64_t brood__take(const struct call *call, size_t room, int64_t timeout);
/* The same, but does not wait, and nothing may be pending. */
int64_t brood__take_now(const struct call *call, size_t room);
/* Whether a get would not wait. The call needs no hand, nor to be inside. */
bool brood__readable(const struct call *call);
/* Make the pending message a lease. */
void brood__hold(const struct call *call, uint32_t buffer);
void brood__show(const struct call *call, uint32_t buffer, struct brood_message *message);

/* ---- tasks.c ---- */

/* No member at or above it has ever used the queue. */
static inline uint32_t members_used(const struct call *call)
{
	/* M4 */
	uint32_t used = atomic_load_explicit(call->segment->members.used, memory_order_acquire);

	return used < call->queue->members ? used : call->queue->members;
}

int brood__producer_begins(const struct call *call);
/* As an only producer, and as a registered one. */
int brood__producer_checked(const struct call *call);

static inline int check_producer(const struct call *call)
{
	return brood__likely(!call->queue->check_puts) ? 0 : brood__producer_checked(call);
}

bool brood__tasks_open(const struct call *call);
/* A task_done was counted: wake who joins if it was the last. */
void brood__task_was_done(const struct call *call);
void brood__producer_ends(struct brood__members *members, struct brood_queue *queue,
			  struct brood__hand *hand);
/* All producers that registered have ended, and there were enough of them. */
bool brood__producers_ended(const struct call *call);

/* ---- seat.c ---- */

#define SEAT_IN_HAND 1ull	/* beside the token: has a reservation, or a lease */
#define SEAT_ODD 2ull		/* beside that: of an odd position */

/* Take the seat, if nobody has it who lives. 1 when it is new to the caller, 0, -EBUSY. */
int brood__seat_take(const struct call *call, _Atomic uint64_t *seat);
/* Stand up, if it is the caller's. */
void brood__seat_leave(const struct call *call, _Atomic uint64_t *seat);

static inline int check_seat(const struct call *call, _Atomic uint64_t *seat)
{
	int result = brood__seat_take(call, seat);

	return result < 0 ? result : 0;
}

/* ---- spsc_ring.c: as the public calls, in a queue that is entered and `single` ---- */

int brood__single_put(const struct call *call, const void *data, size_t length, int64_t timeout);
ssize_t brood__single_get(const struct call *call, void *data, size_t size, uint32_t *flags,
			  int64_t timeout);
ssize_t brood__single_put_many(const struct call *call, const struct brood_message *messages,
			       size_t n, int64_t timeout);
ssize_t brood__single_get_many(const struct call *call, struct brood_message *messages, size_t n,
			       int64_t timeout);
int brood__single_reserve(const struct call *call, struct brood_message *message);
int brood__single_commit(const struct call *call, struct brood_message *message, int64_t timeout);
int brood__single_abort(const struct call *call, const struct brood_message *message);
int brood__single_lease(const struct call *call, struct brood_message *message, int64_t timeout);
/* Whether the message is leased by the caller. */
bool brood__single_has(const struct call *call, const struct brood_message *message);
void brood__single_release(const struct call *call);
void brood__single_return(const struct call *call);
int brood__single_close(const struct call *call);
int brood__single_begin(const struct call *call);
/* Messages in it; those among them that a consumer has. */
int brood__single_count(const struct call *call, size_t *messages, size_t *leased);

/* Which of BROOD_READABLE and BROOD_WRITABLE; fences on all CPUs first (W7). */
uint32_t brood__single_ready(struct brood_queue *queue, uint32_t events);

/* ---- repair.c ---- */

void brood__queue_sweep(struct brood_segment *segment, void *object, uint32_t member, bool clean);

#endif
