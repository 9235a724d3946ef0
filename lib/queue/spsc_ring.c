/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring of a queue with one producer and one consumer. Nothing in it is claimed or swapped: each
 * side stores to words that are its own, in this order, and every store by itself is a whole step.
 *
 *	slot     { position:32 | length:32 } and the message right behind it, in the same line
 *	tail     the next position to be put; its line is the producer's
 *	head     the first position that is not acknowledged; its line is the consumer's
 *	shown    all positions before it may have been seen by a consumer
 *	seats    who the two are, and whether they have a message in hand (seat.c)
 *
 *	put      copy;  header = (p, length)  P1;  tail = p + 1  P3
 *	get      shown = p + 1;  copy;  head = p + 1  P2
 *	reserve  producer in hand                lease    shown = p + 1;  consumer in hand  P6
 *	commit   as put;  producer's hand free   release  head = p + 1;  consumer's hand free  P6
 *	abort    producer's hand free            return   consumer's hand free
 *
 * The consumer sees a message by the position in its slot, so the producer's line does not move for
 * it, and the producer looks at the head only when the last one that it has seen says full: one
 * line moves for one, or for several, messages. A position is compared with its lower 32 bits;
 * a slot has that of this lap or the one before, which differ since a ring has fewer slots. All
 * slots begin as zero and positions with the size of the ring, so nothing has to be filled in.
 *
 * put_many publishes a run of messages by the header of the first, which it stores last: else the
 * consumer would follow it from slot to slot, and take each line away while it is being written.
 *
 * Reserved is the slot at the tail, which is nobody's until its header says otherwise; if the ring
 * is full, then a spare slot behind it, and commit copies. Leased is the slot at the head, which
 * stays in the ring until it is released. So one reservation and one lease at a time.
 *
 * Dying inside. Each side goes on where the words of the dead one say that it was.
 * Producer, before `header`: nothing was put; of a run that was cut short, slots behind the tail
 * may hold their positions already, which who takes the seat takes back before it puts. After it
 * the message, or the run, is in, and the stored tail may lie behind: who takes the seat, or
 * counts, goes on from it as long as the slots hold the positions that come next. Before the hand
 * is free: its seat is a dead one's, and a reservation nothing else.
 * Consumer, before `shown`: nothing was taken. After it: the head still stands before the message,
 * so the next consumer gets it again, and `shown` says that it may have been seen: REDELIVERED.
 * After `head`: it is acknowledged. A lease counts as the consumer's only while the seat is a
 * living one's, in hand, and of the head: whether its position is odd is told beside the token.
 * Whoever takes a seat also settles what the dead one was about to do with a reference to a buffer:
 * buffer_ref.c.
 *
 * The end. A put is a plain store, so close cannot settle with a CAS in the slot what comes after
 * it. It sets `closed`, fences on all CPUs, and then settles `end`, once, by CAS: the first
 * position whose slot has not been put yet. The producer looks at `closed` before a put, and again
 * after its header: if it is still not set then the header was there before the fence (P4), and
 * whoever settles the end has found it. If it is set, the producer itself tries to settle `end`
 * behind its message, and if it comes too late the message is not in: its header is in the
 * slot, but no consumer goes beyond `end`, since it looks at `closed` after the header, in the
 * same way. Who closes may die before it settles: then whoever finds `closed` without an end does.
 *
 * Progress: put and get are wait-free but for waiting for room or a message.
 *
 * Edges (doc/memory-model.md). P1 header: the message is read as it was written. P2 head: a slot is
 * written only after it has been read. P3 tail, with those who count and the next producer. P4
 * `closed` and `end`. P5 in seat.c. P6 the consumer's seat, with those who count.
 *
 * Source: the position in the payload's line is that of FastForward's non-null slots (Giacomoni,
 * Moseley, Vachharajani 2008) with a number in place of the null; the cached head is that of
 * MCRingBuffer (Lee, Bu, Chandranmenon 2010). What makes it survive the death of a side is ours.
 */
#include <brood/buffer.h>

#include "queue/buffer_ref.h"
#include "queue/spsc_ring.h"

#define SPARE_SLOT(queue) ((queue)->ring)	/* not in the ring */
#define AHEAD 8u	/* lines, or slots, that are on their way while one is filled */
#define RUN 64u		/* messages that put_many publishes at a time */
#define LOOKS_MORE 100u	/* at what others change again and again */

/* What slot_of looks up for each, looked up once for many. */
struct slots {
	char *first;
	uint64_t stride;
	uint32_t mask;
};

static inline struct slots all_slots(struct brood_queue *queue)
{
	return (struct slots){ (char *)slot_number(queue, 0), queue->stride, queue->ring - 1 };
}

static inline struct single_slot *slot_in(const struct slots *slots, uint64_t position)
{
	return (void *)(slots->first + ((uint32_t)position & slots->mask) * slots->stride);
}

/* ---- the end ---- */

/*
 * The tail, from the one that is stored. A slot with a position of the next lap tells that the
 * producer has stored another one since: a run's first slot is written last, so the slots that we
 * walk over may be new where those before them are not yet.
 */
static uint64_t walk_tail(struct brood_queue *queue)
{
	uint64_t position = load(&queue->tail);	/* P3 */

	for (uint32_t steps = 0; steps <= queue->ring + LOOKS_MORE; steps++) {
		uint64_t header = load(&slot_of(queue, position)->header);	/* P1 */
		int32_t ahead = (int32_t)((uint32_t)(header >> 32) - (uint32_t)position);

		if (ahead < 0)
			break;
		position = ahead ? load(&queue->tail) : position + 1;	/* P3 */
	}
	return position;
}

/* In a closed queue: the first position that will never be put. 0, or an error of the fence. */
static int find_end(struct brood_queue *queue, uint64_t *end)
{
	uint64_t none = 0, tail;
	int result;

	*end = load(&queue->end);
	if (brood__likely(*end))
		return 0;
	result = brood__fence_all_cpus();	/* P4, heavy half */
	if (result)
		return result;
	tail = walk_tail(queue);	/* P3 */
	*end = atomic_compare_exchange_strong(&queue->end, &none, tail) ? tail : none;	/* P4 */
	return 0;
}

/* Whether calls before the one at this position found what they needed at once. */
static bool streak(uint64_t position, uint64_t waited)
{
	return position - waited > 1;
}

int brood__single_close(const struct call *call)
{
	uint64_t end;

	atomic_store_explicit(&call->queue->closed, 1, memory_order_seq_cst);	/* P4, W1 */
	return find_end(call->queue, &end);
}

/* ---- put ---- */

static ssize_t try_room(void *arg)
{
	const struct call *call = arg;
	struct brood_queue *queue = call->queue;
	uint64_t used;

	if (queue_destroyed(call))
		return -ESTALE;
	if (is_closed(queue))
		return -EPIPE;
	queue->head_seen = load(&queue->head);	/* P2 */
	used = mine(&queue->tail) - queue->head_seen;
	if (brood__likely(used < queue->capacity))
		return 0;
	return used == queue->capacity ? -EAGAIN : -EPROTO;
}

static brood__slow int wait_for_room(const struct call *call, int64_t timeout)
{
	struct brood_queue *queue = call->queue;
	const struct brood__wait wait = {
		.members = &call->segment->members,
		.list = &queue->writers,
		.timeout = timeout,
		.light = true,
		.me = call->me,
		.gather = streak(mine(&queue->tail), queue->put_waited) ? queue->put_gather : 0,
	};
	ssize_t result = try_room((void *)(uintptr_t)call);

	if (result == -EAGAIN) {
		queue->put_waited = mine(&queue->tail);
		result = brood__wait(&wait, try_room, (void *)(uintptr_t)call);
	}
	return (int)result;
}

/* Behind the tail nothing is put, though a run that was cut short may look like it. */
static void forget_run(struct brood_queue *queue, uint64_t tail)
{
	for (uint32_t i = 1; i < RUN && i < queue->ring; i++) {
		struct single_slot *slot = slot_of(queue, tail + i);

		if (has_position(load(&slot->header), tail + i))	/* P1 */
			publish(slot, tail + i - queue->ring, 0);
	}
}

/* What the former producer was about to put: there, or in the spare slot (buffer_ref.c). */
static void drop_reference(const struct call *call, uint64_t tail)
{
	struct brood_queue *queue = call->queue;
	uint32_t carrier = (uint32_t)tail & NO_BUFFER;

	brood__reference_drop(call->segment, queue, carrier, slot_of(queue, tail)->bytes);
	brood__reference_drop(call->segment, queue, carrier,
			      slot_number(queue, SPARE_SLOT(queue))->bytes);
}

/* Take the producer's seat; the former one may have died before it had stored its tail. */
static brood__slow int begin_to_put(const struct call *call)
{
	struct brood_queue *queue = call->queue;
	int result = brood__seat_take(call, &queue->producer);
	uint64_t tail;

	if (result == 1) {
		tail = walk_tail(queue);	/* P3 */
		forget_run(queue, tail);
		queue->head_seen = load(&queue->head);	/* P2 */
		store(&queue->tail, tail);	/* P3 */
		drop_reference(call, tail);
		return 0;
	}
	return result ? result : -ENOBUFS;	/* it is ours, with a reservation */
}

static inline int room(const struct call *call, int64_t timeout)
{
	struct brood_queue *queue = call->queue;

	if (brood__unlikely(!has_room(queue) || is_closed(queue)))
		return wait_for_room(call, timeout);
	return 0;
}

static inline int ready_to_put(const struct call *call, int64_t timeout)
{
	struct brood_queue *queue = call->queue;

	if (brood__unlikely(mine(&queue->producer) != call->token)) {
		int result = begin_to_put(call);

		if (result)
			return result;
	}
	return room(call, timeout);
}

size_t brood__single_in(struct brood_queue *queue, uint64_t tail, size_t n)
{
	uint64_t end = 0;

	if (atomic_compare_exchange_strong(&queue->end, &end, tail + n))	/* P4 */
		return n;
	if (end <= tail)
		return 0;
	return end - tail < n ? (size_t)(end - tail) : n;
}

int brood__single_put(const struct call *call, const void *data, size_t length, int64_t timeout)
{
	int result;

	if (brood__unlikely(length > call->queue->max_bytes))
		return -EMSGSIZE;
	if (brood__unlikely(!data && length))
		return -EINVAL;
	result = ready_to_put(call, timeout);
	return brood__unlikely(result) ? result : put_there(call, data, length);
}

static inline void fill(const struct slots *slots, uint64_t position,
			const struct brood_message *message)
{
	struct single_slot *slot = slot_in(slots, position);

	copy(slot->bytes, message->data, message->length);
	publish(slot, position, message->length);
}

/*
 * At most RUN, for which there is room; the first one last. How many are in: all, or fewer when the
 * queue was closed.
 */
static size_t put_run(const struct call *call, const struct brood_message *messages, size_t n)
{
	const struct slots slots = all_slots(call->queue);
	const uint64_t tail = mine(&call->queue->tail);
	const uint64_t ahead = slots.stride < BROOD__LINE ? AHEAD * BROOD__LINE / slots.stride :
							    AHEAD;

	for (size_t i = 1; i < n; i++) {
		brood__prefetch_write(slot_in(&slots, tail + i + ahead));
		fill(&slots, tail + i, &messages[i]);
	}
	if (n)
		fill(&slots, tail, &messages[0]);
	return advance(call, n);
}

/* Room for up to n and RUN, by looking at the head again only if that may give more. */
static size_t room_for(struct brood_queue *queue, size_t n)
{
	uint64_t tail = mine(&queue->tail), used = tail - queue->head_seen;

	if (n > RUN)
		n = RUN;
	if (queue->capacity - used < n) {
		queue->head_seen = load(&queue->head);	/* P2 */
		used = tail - queue->head_seen;
	}
	if (used >= queue->capacity)
		return 0;
	return queue->capacity - used < n ? queue->capacity - used : n;
}

ssize_t brood__single_put_many(const struct call *call, const struct brood_message *messages,
			       size_t n, int64_t timeout)
{
	size_t i = 0, run, in;
	int result = 0;

	while (i < n && result == 0) {
		result = ready_to_put(call, timeout);
		if (result)
			break;
		run = room_for(call->queue, n - i);
		in = put_run(call, messages + i, run);
		i += in;
		if (in < run)
			result = -EPIPE;
		else if (run == 0)
			result = -EPROTO;
	}
	return i ? (ssize_t)i : result;
}

/* ---- reserve ---- */

static void hold(const struct call *call, _Atomic uint64_t *seat, uint64_t position)
{
	store(seat, call->token | SEAT_IN_HAND | (position & 1 ? SEAT_ODD : 0));	/* P6 */
}

static void put_down(const struct call *call, _Atomic uint64_t *seat)
{
	store(seat, call->token);	/* P6 */
}

static bool in_hand(const struct call *call, const _Atomic uint64_t *seat)
{
	return (mine(seat) & ~SEAT_ODD) == (call->token | SEAT_IN_HAND);
}

int brood__single_reserve(const struct call *call, struct brood_message *message)
{
	struct brood_queue *queue = call->queue;
	struct single_slot *slot;
	uint64_t tail;

	if (mine(&queue->producer) != call->token) {
		int result = begin_to_put(call);

		if (result)
			return result;
	}
	tail = mine(&queue->tail);
	slot = slot_of(queue, tail);
	if (tail - queue->head_seen >= queue->ring) {
		queue->head_seen = load(&queue->head);	/* P2 */
		if (tail - queue->head_seen >= queue->ring)
			slot = slot_number(queue, SPARE_SLOT(queue));
	}
	hold(call, &queue->producer, tail);
	*message = (struct brood_message){
		.data = slot->bytes,
		.size = queue->max_bytes,
		.buffer = (uint32_t)tail,
	};
	return 0;
}

/* Where the caller's reservation is, or NULL. */
static struct single_slot *reserved(const struct call *call, const struct brood_message *message)
{
	struct brood_queue *queue = call->queue;
	struct single_slot *spare = slot_number(queue, SPARE_SLOT(queue));
	struct single_slot *slot = slot_of(queue, mine(&queue->tail));

	if (!message || !in_hand(call, &queue->producer) ||
	    message->buffer != (uint32_t)mine(&queue->tail))
		return NULL;
	if (message->data == slot->bytes)
		return slot;
	return message->data == spare->bytes ? spare : NULL;
}

int brood__single_commit(const struct call *call, struct brood_message *message, int64_t timeout)
{
	struct brood_queue *queue = call->queue;
	struct single_slot *slot = reserved(call, message), *there;
	uint64_t tail = mine(&queue->tail);
	int result;

	if (!slot)
		return -EINVAL;
	if (message->length > queue->max_bytes)
		return -EMSGSIZE;
	result = room(call, timeout);
	if (result)
		return result;
	there = slot_of(queue, tail);
	if (slot != there)
		copy(there->bytes, slot->bytes, message->length);
	publish(there, tail, message->length);
	if (!advance(call, 1))
		return -EPIPE;
	put_down(call, &queue->producer);
	message->data = NULL;
	message->size = 0;
	return 0;
}

int brood__single_abort(const struct call *call, const struct brood_message *message)
{
	if (!reserved(call, message))
		return -EINVAL;
	put_down(call, &call->queue->producer);
	return 0;
}

int brood__single_begin(const struct call *call)
{
	struct brood_queue *queue = call->queue;
	int result;

	if (is_closed(queue))
		return -EPIPE;
	result = begin_to_put(call);
	return result == -ENOBUFS ? 0 : result;
}

/* ---- get ---- */

/* A closed queue's message at the head: 0, -EPIPE when there will be none, or an error. */
static brood__slow int before_end(struct brood_queue *queue)
{
	uint64_t end;
	int result = find_end(queue, &end);

	return result ? result : mine(&queue->head) < end ? 0 : -EPIPE;
}

/* The first message's length, bounded by its room, or -EAGAIN, -EPIPE, or an error of the fence. */
static inline ssize_t look(struct brood_queue *queue)
{
	uint64_t head = mine(&queue->head);
	uint64_t header = load(&slot_of(queue, head)->header);	/* P1 */
	bool there = has_position(header, head);
	size_t length = (uint32_t)header;

	if (is_closed(queue)) {	/* after the header: P4 */
		int result = before_end(queue);

		if (result)
			return result;
		/* The end may have been settled by who saw more than we. */
		header = load(&slot_of(queue, head)->header);	/* P1 */
		there = has_position(header, head);
		length = (uint32_t)header;
	}
	if (brood__unlikely(!there))
		return -EAGAIN;
	return (ssize_t)(length < queue->max_bytes ? length : queue->max_bytes);
}

static ssize_t try_look(void *arg)
{
	const struct call *call = arg;

	return queue_destroyed(call) ? -ESTALE : look(call->queue);
}

static brood__slow ssize_t wait_for_message(const struct call *call, int64_t timeout)
{
	struct brood_queue *queue = call->queue;
	const struct brood__wait wait = {
		.members = &call->segment->members,
		.list = &queue->readers,
		.timeout = timeout,
		.light = true,
		.me = call->me,
		.gather = streak(mine(&queue->head), queue->get_waited) ? queue->get_gather : 0,
	};

	queue->get_waited = mine(&queue->head);
	return brood__wait(&wait, try_look, (void *)(uintptr_t)call);
}

/* The former consumer took the reference at the head, and died before the head was stored. */
static void pass_over_taken(const struct call *call)
{
	struct brood_queue *queue = call->queue;
	uint64_t head = mine(&queue->head);

	if (flags_of(queue, head) && look(queue) == BROOD_BUFFER_MESSAGE &&
	    brood__reference_taken(call->segment, queue, (uint32_t)head & NO_BUFFER,
				   slot_of(queue, head)->bytes))
		acknowledge(call, head + 1);
}

/* Take the consumer's seat: the head is exact, but for a reference. */
static brood__slow int begin_to_get(const struct call *call)
{
	int result = brood__seat_take(call, &call->queue->consumer);

	if (result == 1) {
		pass_over_taken(call);
		return 0;
	}
	return result ? result : -ENOBUFS;	/* it is ours, with a lease */
}

/* The first message, waited for: its length, at most size. */
static inline ssize_t first(const struct call *call, size_t size, int64_t timeout)
{
	struct brood_queue *queue = call->queue;
	ssize_t result;

	if (brood__unlikely(mine(&queue->consumer) != call->token)) {
		result = begin_to_get(call);
		if (result)
			return result;
	}
	result = look(queue);
	if (result == -EAGAIN)
		result = wait_for_message(call, timeout);
	return brood__unlikely(result >= 0 && (size_t)result > size) ? -EMSGSIZE : result;
}

ssize_t brood__single_get(const struct call *call, void *data, size_t size, uint32_t *flags,
			  int64_t timeout)
{
	ssize_t length;

	if (brood__unlikely(!data && size))
		return -EINVAL;
	length = first(call, size, timeout);
	if (brood__likely(length >= 0))
		get_there(call, data, (size_t)length, flags);
	return length;
}

/* Up to n from the head on, which are there, as long as they fit. How many. */
static size_t get_run(struct brood_queue *queue, struct brood_message *messages, size_t n)
{
	const struct slots slots = all_slots(queue);
	const uint64_t head = mine(&queue->head), shown = mine(&queue->shown);
	const size_t max_bytes = queue->max_bytes;
	size_t i;

	for (i = 0; i < n; i++) {
		uint64_t header = load(&slot_in(&slots, head + i)->header);	/* P1 */
		size_t length = (uint32_t)header;

		if (length > max_bytes)
			length = max_bytes;
		if (!has_position(header, head + i) || length > messages[i].size)
			break;
		messages[i].length = length;
		messages[i].flags = (int64_t)(shown - head - i) > 0 ? BROOD_REDELIVERED : 0;
	}
	show(queue, head + i);
	for (size_t k = 0; k < i; k++)
		copy(messages[k].data, slot_in(&slots, head + k)->bytes, messages[k].length);
	return i;
}

ssize_t brood__single_get_many(const struct call *call, struct brood_message *messages, size_t n,
			       int64_t timeout)
{
	struct brood_queue *queue = call->queue;
	ssize_t result;
	uint64_t end, head;
	size_t i;

	result = first(call, messages[0].size, timeout);
	if (result < 0)
		return result;
	head = mine(&queue->head);
	i = get_run(queue, messages, n);
	/* Of what came without being in, the producer is told that it is not: P4. */
	if (is_closed(queue)) {
		result = find_end(queue, &end);
		if (result)
			return result;
		if (head + i > end)
			i = end > head ? (size_t)(end - head) : 0;
	}
	acknowledge(call, head + i);
	return (ssize_t)i;
}

/* ---- lease ---- */

int brood__single_lease(const struct call *call, struct brood_message *message, int64_t timeout)
{
	struct brood_queue *queue = call->queue;
	ssize_t length = first(call, SIZE_MAX, timeout);
	uint64_t head = mine(&queue->head);

	if (length < 0)
		return (int)length;
	*message = (struct brood_message){
		.data = slot_of(queue, head)->bytes,
		.size = queue->max_bytes,
		.length = (size_t)length,
		.flags = flags_of(queue, head),
		.buffer = (uint32_t)head,
	};
	show(queue, head + 1);
	hold(call, &queue->consumer, head);
	return 0;
}

bool brood__single_has(const struct call *call, const struct brood_message *message)
{
	struct brood_queue *queue = call->queue;
	uint64_t head = mine(&queue->head);

	return message && in_hand(call, &queue->consumer) && message->buffer == (uint32_t)head &&
	       message->data == slot_of(queue, head)->bytes;
}

void brood__single_release(const struct call *call)
{
	struct brood_queue *queue = call->queue;

	acknowledge(call, mine(&queue->head) + 1);
	put_down(call, &queue->consumer);
}

/* Nobody waits for it: the next reader is the caller, or comes when the caller is gone. */
void brood__single_return(const struct call *call)
{
	put_down(call, &call->queue->consumer);
}

/* ---- count ---- */

/* Whether the consumer that lives has the message at the head, and not the one before it still. */
static bool is_leased(const struct call *call, uint64_t head)
{
	uint64_t seat = load(&call->queue->consumer);	/* P6 */

	return seat & SEAT_IN_HAND && !(seat & SEAT_ODD) == !(head & 1) &&
	       !brood__token_gone(&call->segment->members, seat);
}

/*
 * The head, and whether it is leased, is read before and after the tail; if it is the same, it was
 * that when the tail was read. If others keep taking, the last pair is as good as any. Whether the
 * queue is closed is asked behind the walk, which may have met what came too late (P4).
 */
int brood__single_count(const struct call *call, size_t *messages, size_t *leased)
{
	struct brood_queue *queue = call->queue;
	uint64_t head, tail;
	bool has;

	for (unsigned int tries = 0; ; tries++) {
		head = load(&queue->head);	/* P2 */
		has = is_leased(call, head);
		tail = walk_tail(queue);
		if (is_closed(queue)) {
			int result = find_end(queue, &tail);

			if (result)
				return result;
		}
		if (tries == LOOKS_MORE ||
		    (is_leased(call, head) == has && load(&queue->head) == head))	/* P2 */
			break;
	}
	tail -= head;
	if (tail > queue->capacity)	/* behind, or damaged */
		tail = (int64_t)tail < 0 ? 0 : queue->capacity;
	*messages = tail;
	*leased = has && tail;
	return 0;
}

/* ---- many at once, and descriptors ---- */

uint32_t brood__single_ready(struct brood_queue *queue, uint32_t events)
{
	uint64_t head = load(&queue->head);	/* P2 */
	uint32_t ready = 0;

	if (is_closed(queue))
		return events;
	if (events & BROOD_READABLE &&
	    has_position(load(&slot_of(queue, head)->header), head))	/* P1 */
		ready |= BROOD_READABLE;
	if (events & BROOD_WRITABLE &&
	    walk_tail(queue) - head < queue->capacity)	/* P3 */
		ready |= BROOD_WRITABLE;
	return ready;
}
