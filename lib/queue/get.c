/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * get: a swap, and a copy out of what it gave.
 *
 * A message is acknowledged by finishing the swap that gave it (swap_ring.c); that is the last
 * thing that a call does, or, in a joinable queue, the first thing that the next call does. Dying
 * before it lets the sweep deliver the message again.
 */
#include <errno.h>

#include "queue/spsc_ring.h"

struct taking {
	const struct call *call;
	size_t room;
};

/*
 * A message from the orphans is LEASED already; as a chain of one it is given back by the next
 * call.
 */
static int64_t take_orphan(const struct call *call, size_t room)
{
	int64_t buffer = brood__orphan_get(call, room);

	if (buffer >= 0) {
		uint64_t note = atomic_load_explicit(queue_note(call->queue, (uint32_t)buffer),
						     memory_order_relaxed);

		queue_chain(call->queue, (uint32_t)buffer, note >> BUFFER_BITS, NO_BUFFER);
		call->hand->got = (uint32_t)buffer;
		call->hand->pending = PENDING_MANY;
	}
	return buffer;
}

/* A user is dead, and what it left here has not been put right yet. */
static bool repair_is_due(const struct call *call)
{
	const struct brood__members *members = &call->segment->members;

	for (uint32_t id = 0; id < members->max; id++)
		if (brood__mask_has(call->queue->users.mask, id) &&
		    brood__life_dead(brood__life_of(members, id)) &&
		    atomic_load_explicit(&call->queue->hands[id].used, memory_order_acquire))
			return true;
	return false;
}

/*
 * Nothing is in the ring: is that the end? Then what dead members had comes before it, and as
 * long as somebody else repairs one of them it is not known; the repair wakes all users.
 */
static int64_t at_the_end(const struct call *call, size_t room, int64_t error)
{
	struct brood__members *members = &call->segment->members;
	struct brood_queue *queue = call->queue;
	int64_t result = error;

	if (error == -EAGAIN && queue->producers_end && brood__producers_ended(call)) {
		brood__ring_close(queue);
		result = brood__ring_get(call, room);
	}
	if (result == -EPIPE) {
		bool known;

		brood__member_sweep(members);
		known = !repair_is_due(call);
		result = take_orphan(call, room);
		if (result == -EAGAIN && known)
			result = -EPIPE;
	}
	return result;
}

/*
 * Whether a get would find a message, or the end. The end is known when what dead members had is.
 */
bool brood__readable(const struct call *call)
{
	struct brood_queue *queue = call->queue;
	uint64_t seen, word;
	bool ended;

	do {
		seen = atomic_load_explicit(&queue->orphans, memory_order_seq_cst);	/* Q8 */
		if (brood__orphans_count(queue))
			return true;
		brood__ring_head(queue, &word);
		if (word & SLOT_FULL)
			return true;
		ended = word & SLOT_CLOSED ||
			(queue->producers_end && brood__producers_ended(call));
		if (ended && !repair_is_due(call))
			return true;
	} while ((atomic_load_explicit(&queue->orphans, memory_order_seq_cst) | 1) != (seen | 1));
	return false;
}

/* At once or not at all. An empty answer counts only if no orphan came while we looked. */
int64_t brood__take_now(const struct call *call, size_t room)
{
	struct brood_queue *queue = call->queue;
	uint64_t seen;
	int64_t result;

	do {
		seen = atomic_load_explicit(&queue->orphans, memory_order_seq_cst);	/* Q8 */
		result = brood__unlikely(seen & 1) ? take_orphan(call, room) : -EAGAIN;
		if (result != -EAGAIN)
			return result;
		result = brood__spare(call);
		if (brood__unlikely(result))
			return result;
		result = brood__ring_get(call, room);
		if (brood__likely(result >= 0))
			return result;
		if (result == -EPIPE || (result == -EAGAIN && queue->producers_end))
			result = at_the_end(call, room, result);
	} while (result == -EAGAIN &&
		 (atomic_load_explicit(&queue->orphans, memory_order_seq_cst) | 1) != (seen | 1));
	return result;
}

static ssize_t try_take(void *arg)
{
	const struct taking *taking = arg;

	return queue_destroyed(taking->call) ? -ESTALE : brood__take_now(taking->call, taking->room);
}

static int64_t wait_and_take(const struct call *call, size_t room, int64_t timeout)
{
	struct brood_queue *queue = call->queue;
	struct brood__members *members = &call->segment->members;
	struct taking taking = { call, room };
	const struct brood__wait wait = {
		.members = members,
		.list = &queue->readers,
		.timeout = timeout,
		.me = call->me,
		.gather = call->hand->get_streak ? queue->get_gather : 0,
	};

	call->hand->get_streak = 0;
	/* What a dead member had counts as being in the queue, whoever sweeps it. */
	if (brood__no_wait(timeout)) {
		int64_t buffer;

		brood__member_sweep(members);
		buffer = brood__take_now(call, room);
		if (buffer != -EAGAIN)
			return buffer;
	}
	return brood__wait(&wait, try_take, &taking);
}

int64_t brood__take(const struct call *call, size_t room, int64_t timeout)
{
	int64_t buffer;

	ring_finish(call);
	if (brood__unlikely(call->queue->one_consumer)) {
		int result = check_seat(call, &call->queue->consumer);

		if (result)
			return result;
	}
	buffer = brood__take_now(call, room);
	if (brood__likely(buffer >= 0))
		call->hand->get_streak = 1;
	else if (buffer == -EAGAIN)
		buffer = wait_and_take(call, room, timeout);
	if (brood__unlikely(buffer == -EMSGSIZE))	/* who was woken for it does not take it */
		brood__tell_readers(call, 1);
	if (buffer >= 0 && call->hand->pending == PENDING_GET)
		brood__notify(&call->segment->members, &call->queue->writers);
	return buffer;
}

/*
 * From pending to LEASED: the note keeps the position, for the order in which orphans come again.
 */
void brood__hold(const struct call *call, uint32_t buffer)
{
	struct brood_queue *queue = call->queue;
	struct brood__hand *hand = call->hand;
	uint64_t word = atomic_load_explicit(queue_word(queue, buffer), memory_order_relaxed);
	uint64_t want = atomic_load_explicit(&hand->want, memory_order_relaxed);

	brood__assert(hand->pending == PENDING_GET ? slot_buffer(want) == buffer :
						     buffer_kind(word) == BUFFER_LEASED);
	if (hand->pending == PENDING_GET) {
		queue_chain(queue, buffer, slot_position(want), NO_BUFFER);
		atomic_store_explicit(queue_word(queue, buffer),
				      buffer_change(word, call->me, BUFFER_LEASED),
				      memory_order_release);	/* Q3 */
		offer_next(call);
		atomic_store_explicit(&hand->want, 0, memory_order_release);	/* Q5 */
	}
	hand->got = NO_BUFFER;
	hand->pending = PENDING_NONE;
}

void brood__show(const struct call *call, uint32_t buffer, struct brood_message *message)
{
	message->data = queue_bytes(call->queue, buffer);
	message->length = buffer_contents(call, buffer, &message->flags);
	message->size = call->queue->max_bytes;
	message->buffer = buffer;
}

static inline ssize_t get(struct call *call, void *data, size_t size, uint32_t *flags,
			  int64_t timeout)
{
	uint32_t unused;
	int64_t result;

	if (brood__unlikely(call->queue->single))
		return brood__single_get(call, data, size, flags, timeout);
	queue_used(call);
	if (brood__unlikely(!data && size))
		return -EINVAL;
	result = brood__take(call, size, timeout);
	if (brood__likely(result >= 0)) {
		result = (ssize_t)copy_out(call, (uint32_t)result, data, size,
					     flags ? flags : &unused);
		if (brood__likely(!call->queue->joinable))
			brood__ring_finish(call);
	}
	return result;
}

static inline ssize_t get_flags(struct brood_queue *queue, void *data, size_t size, uint32_t *flags,
				int64_t timeout)
{
	struct call quick, call;	/* one in registers, one in memory */
	ssize_t result;

	if (brood__likely(queue_enter_nearby(queue, &quick))) {
		if (queue->single && get_at_once(&quick, data, size, flags, &result)) {
			queue_leave(&quick);
			return result;
		}
		call = quick;
	} else {
		result = brood__queue_enter(queue, &call);
		if (result < 0)
			return result;
	}
	result = get(&call, data, size, flags, timeout);
	queue_leave(&call);
	return result;
}

ssize_t brood_queue_get_flags(struct brood_queue *queue, void *data, size_t size, uint32_t *flags,
			      int64_t timeout)
{
	return get_flags(queue, data, size, flags, timeout);
}

ssize_t brood_queue_get(struct brood_queue *queue, void *data, size_t size, int64_t timeout)
{
	return get_flags(queue, data, size, NULL, timeout);
}
