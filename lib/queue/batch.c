/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * put_many and get_many: one swap after another.
 *
 * The first message of a call, and each one that finds the ring not as expected (somebody else was
 * faster, full, empty, closed), goes the way of put or get, which can wait. The others go through a
 * loop of swaps, a run, which only knows the case that all is well. Its stores are those of
 * swap_ring.c in their order, but what a swap gave is not what the next one offers:
 *
 *	put    word[c] = HELD;  offer = b;  want = 0;  fill b, word[b] = OFFERED;  want = w;  CAS
 *	get    word[c] = LEASED;  offer = b;  want = 0;  word[b] = OFFERED;  want = w;  CAS
 *
 * where c came by the last swap and b is the oldest spare. Dying after `offer = b` with want still
 * set lets the sweep ask whether b was swapped in for the old want: it was not, since b's word
 * still names the dead, so it is freed, and c is what its word says.
 *
 * Why put keeps spares at all: a buffer that comes back was read by another core, and the first
 * store to its line waits until that core has let it go; a CAS right after it waits too. So each
 * buffer is announced for writing as it comes, and is filled some swaps later, when its line is
 * here. Spares are used in the order in which they came (buffers.c).
 *
 * A put_many that is cut short by death leaves a prefix. What get_many took is LEASED until all of
 * it has been copied, and then acknowledged message by message, from the first one: as the last
 * thing that the call does, or, in a joinable queue, by the calls that follow.
 */
#include <errno.h>

#include "queue/swap_ring.h"

enum {
	AHEAD = 24,		/* spares between announcing and filling */
	ANNOUNCED_BYTES = 256,	/* of a long buffer only the beginning */
};

/* ---- put_many ---- */

/* From the pocket, oldest first: each one that comes takes the place of the oldest. */
struct spares {
	uint32_t count, oldest;
	uint32_t untouched;	/* since they were taken from the pocket */
	uint32_t buffers[AHEAD];
};

static void take_spares(const struct call *call, struct spares *spares, size_t n)
{
	uint32_t buffer;

	if (n > AHEAD)
		n = AHEAD;
	if (!call->queue->sparse)	/* the line is not what a long message waits for */
		brood__stock(call, (uint32_t)n);
	spares->count = spares->oldest = 0;
	while (spares->count < n && (buffer = take_kept(call)) != NO_BUFFER)
		spares->buffers[spares->count++] = buffer;
	spares->untouched = spares->count;
}

/* Those that came go behind what is in the pocket, the others back to where they were. */
static void keep_spares(const struct call *call, const struct spares *spares)
{
	uint32_t at = spares->oldest;

	for (uint32_t k = spares->untouched; k-- > 0;)
		brood__keep_first(call, spares->buffers[at + k]);
	for (uint32_t k = spares->untouched; k < spares->count; k++)
		brood__keep(call, spares->buffers[(at + k) % spares->count]);
}

static inline uint32_t exchange_spare(struct spares *spares, uint32_t came)
{
	uint32_t oldest;

	if (brood__unlikely(spares->count == 0))
		return came;
	oldest = spares->buffers[spares->oldest];
	spares->buffers[spares->oldest] = came;
	if (++spares->oldest == spares->count)
		spares->oldest = 0;
	if (spares->untouched)
		spares->untouched--;
	return oldest;
}

static inline void announce(struct brood_queue *queue, uint32_t buffer)
{
	const char *bytes = queue_bytes(queue, buffer);

	for (uint32_t at = 0; at < queue->stride && at < ANNOUNCED_BYTES; at += BROOD__LINE)
		brood__prefetch_write(bytes + at);
}

/* How many puts fit, at least: has_room() of swap_ring.c for a run. */
static size_t room_for(const struct call *call, size_t n)
{
	struct brood_queue *queue = call->queue;
	struct brood__hand *hand = call->hand;
	int64_t used = position_after(hand->put_at, hand->head_seen);

	if (queue->capacity == queue->ring)
		return n;	/* an empty slot is room */
	if (used < 0 || (size_t)used + n > queue->capacity) {
		hand->head_seen = hinted(&queue->head);
		used = position_after(hand->put_at, hand->head_seen);
	}
	return used < 0 || used > (int64_t)queue->capacity ? 0 : queue->capacity - (size_t)used;
}

/*
 * After a put, which is pending: put more, as long as all is well. How many. If it is fewer than n,
 * the next one lies in the offered buffer.
 */
static size_t put_run(const struct call *call, const struct brood_message *messages, size_t n)
{
	struct brood_queue *queue = call->queue;
	struct brood__hand *hand = call->hand;
	_Atomic uint64_t *const slots = queue_slot(queue, 0), *const words = queue_word(queue, 0);
	const uint32_t mask = queue->ring - 1, buffers = queue->buffers;
	const uint64_t held = buffer_word(call->me, BUFFER_HELD, 0, 0);
	uint64_t position = hand->put_at;
	uint32_t came = swap_gave(hand);
	const size_t room = room_for(call, n);
	struct spares spares;
	size_t i;

	take_spares(call, &spares, n);
	for (i = 0; i < n; i++) {
		_Atomic uint64_t *slot = &slots[position & mask];
		uint32_t mine = exchange_spare(&spares, came);
		uint64_t word;

		atomic_store_explicit(&words[came], held, memory_order_release);	/* Q3 */
		swap_finish(hand, mine, 0);
		announce(queue, came);
		queue_fill(call, mine, messages[i].data, messages[i].length);
		word = atomic_load_explicit(slot, memory_order_acquire);	/* Q2 */
		came = slot_buffer(word);
		if (word - came != slot_word(position, 0, 0) || came >= buffers || i >= room ||
		    !swap(hand, slot, word, after_put(word, mine))) {
			swap_give_up(hand);
			hand->pending = PENDING_NONE;
			break;
		}
		position = next_position(position);
		hint_at(&queue->tail, position);
	}
	hand->put_at = position;
	keep_spares(call, &spares);
	return i;
}

static int check_puts(const struct brood_queue *queue, const struct brood_message *messages,
		      size_t n)
{
	if (!messages || n == 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (messages[i].length > queue->max_bytes)
			return -EMSGSIZE;
		if (!messages[i].data && messages[i].length)
			return -EINVAL;
	}
	return 0;
}

/* The time is for all of them together. */
static int64_t one_deadline(int64_t timeout)
{
	int64_t deadline = brood__deadline(timeout);

	return deadline == BROOD__NO_DEADLINE ? BROOD_FOREVER : brood_until(deadline);
}

ssize_t brood_queue_put_many(struct brood_queue *queue, const struct brood_message *messages,
			     size_t n, int64_t timeout)
{
	struct call call;
	int result = brood__queue_enter(queue, &call), single = result;
	size_t i = 0;

	if (result < 0)
		return result;
	result = check_puts(queue, messages, n);
	if (result == 0 && !brood__no_wait(timeout))
		timeout = one_deadline(timeout);
	if (single) {
		ssize_t done = result ? result :
					brood__single_put_many(&call, messages, n, timeout);

		queue_leave(&call);
		return done;
	}
	if (result == 0)
		result = check_producer(&call);
	while (result == 0 && i < n) {
		if (call.hand->pending == PENDING_PUT)
			i += put_run(&call, messages + i, n - i);
		if (i < n) {
			result = brood__put_copy(&call, &messages[i], i, timeout);
			i += result == 0;
		}
	}
	brood__tell_readers(&call, i);
	queue_leave(&call);
	return i ? (ssize_t)i : result;
}

/* ---- get_many ---- */

/* What a get_many has got so far: a chain through the notes. */
struct haul {
	uint32_t first, last;
};

static void add(const struct call *call, struct haul *haul, uint32_t buffer)
{
	struct brood_queue *queue = call->queue;

	if (haul->first == NO_BUFFER) {
		haul->first = buffer;
	} else {
		uint64_t of_last = atomic_load_explicit(queue_note(queue, haul->last),
							memory_order_relaxed);

		queue_chain(queue, haul->last, of_last >> BUFFER_BITS, buffer);
	}
	haul->last = buffer;
}

/*
 * Behind the last of the haul, which is not empty: get more, as long as all is well. How many.
 * What brood__hold and add do for one message is done here for many.
 */
static size_t get_run(const struct call *call, struct brood_message *messages, size_t n,
		      struct haul *haul)
{
	struct brood_queue *queue = call->queue;
	struct brood__hand *hand = call->hand;
	_Atomic uint64_t *const slots = queue_slot(queue, 0), *const words = queue_word(queue, 0);
	_Atomic uint64_t *const notes = queue_note(queue, 0);
	const uint32_t ring = queue->ring, buffers = queue->buffers, me = call->me;
	const size_t max_bytes = queue->max_bytes;
	uint64_t position = hand->get_at;
	uint64_t note = atomic_load_explicit(&notes[haul->last], memory_order_relaxed);
	uint32_t mine = hand_offered(hand), last = haul->last;
	size_t i;

	for (i = 0; i < n && mine != NO_BUFFER; i++) {
		_Atomic uint64_t *slot = &slots[position & (ring - 1)];
		uint64_t word = atomic_load_explicit(slot, memory_order_acquire);	/* Q2 */
		uint32_t got = slot_buffer(word);

		if (word - got != slot_word(position, SLOT_FULL, 0) || got >= buffers ||
		    messages[i].size < max_bytes)
			break;
		if (!swap(hand, slot, word,
			  slot_word((position + ring) & POSITION_MASK, 0, mine))) {
			swap_give_up(hand);
			break;
		}
		atomic_store_explicit(&notes[last], note - NO_BUFFER + got, memory_order_relaxed);
		note = position << BUFFER_BITS | NO_BUFFER;
		atomic_store_explicit(&notes[got], note, memory_order_relaxed);
		word = buffer_change(atomic_load_explicit(&words[got], memory_order_relaxed), me,
				     BUFFER_LEASED);
		atomic_store_explicit(&words[got], word, memory_order_release);	/* Q3 */
		mine = offer_next(call);
		atomic_store_explicit(&hand->want, 0, memory_order_release);	/* Q5 */
		last = got;
		position = next_position(position);
		hint_at(&queue->head, position);
	}
	hand->get_at = position;
	haul->last = last;
	return i;
}

static void copy_haul(const struct call *call, const struct haul *haul,
		      struct brood_message *messages, size_t n)
{
	uint32_t buffer = haul->first;

	for (size_t i = 0; i < n; i++, buffer = queue_next(call->queue, buffer))
		messages[i].length = copy_out(call, buffer, messages[i].data, messages[i].size,
					      &messages[i].flags);
}

static ssize_t take_many(const struct call *call, struct brood_message *messages, size_t n,
			 int64_t timeout)
{
	struct haul haul = { NO_BUFFER, NO_BUFFER };
	int64_t result = 0;
	size_t i = 0;

	while (i < n) {
		result = i ? brood__take_now(call, messages[i].size) :
			     brood__take(call, messages[i].size, timeout);
		if (result < 0)
			break;
		brood__hold(call, (uint32_t)result);
		add(call, &haul, (uint32_t)result);
		i++;
		i += get_run(call, messages + i, n - i, &haul);
	}
	if (i == 0)
		return result;
	copy_haul(call, &haul, messages, i);
	brood__notify_many(&call->segment->members, &call->queue->writers, i - 1);
	call->hand->got = haul.first;
	call->hand->pending = PENDING_MANY;
	return (ssize_t)i;
}

static int check_gets(const struct brood_message *messages, size_t n)
{
	if (!messages || n == 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!messages[i].data && messages[i].size)
			return -EINVAL;
	return 0;
}

ssize_t brood_queue_get_many(struct brood_queue *queue, struct brood_message *messages, size_t n,
			     int64_t timeout)
{
	struct call call;
	int single = brood__queue_enter(queue, &call);
	ssize_t result;

	if (single < 0)
		return single;
	result = check_gets(messages, n);
	if (result == 0)
		result = single ? brood__single_get_many(&call, messages, n, timeout) :
				  take_many(&call, messages, n, timeout);
	if (result > 0 && !queue->joinable && !single)
		brood__ring_finish(&call);
	queue_leave(&call);
	return result;
}
