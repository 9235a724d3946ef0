/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Broadcast: a ring of slots with one writer, and a cursor for each reader.
 *
 * Usage. The producer fills the slot at the tail, and publishes it by the slot's stamp, which tells
 * the position of the message in it: a position never comes twice. A subscriber looks at the slot
 * of its own cursor, where stamp and message are in one line if the message is short; so a message
 * costs one move of a line for each subscriber, and `tail` is nobody's business but the
 * producer's and of who subscribes.
 *
 *	put    p = tail    wait for room    message;  stamp = 2 p + 2;  tail = p + 1;  wake all
 *	get    p = cursor  stamp == 2 p + 2    copy;  cursor = p + 1;  wake the producer
 *
 * Room. `room` is the least cursor as last looked at, plus the capacity: cursors only go forward,
 * so it is never too much, and the cursors are looked at once in a while: when it has been used
 * up. A cursor whose owner is gone counts for nothing.
 *
 * A newcomer stores a cursor, says that it is there, and then reads the tail again, from which on
 * it gets. Either the producer's next look finds it, or that look came before, and what the look
 * found was not after that tail: then `room` cannot be past what the newcomer needs (D4).
 *
 * Lossy. The producer goes on regardless. Before it writes over a message it makes the stamp odd;
 * a reader looks at the stamp before the copy and after it, and what it copied counts if both are
 * the message's (D3). The bytes are copied as relaxed atomic words on both sides: they may change
 * under the reader, and what it then has is thrown away. Where nothing is lossy, a slot is not
 * written before all readers' cursors are past it (D2), and the copy is a plain one.
 *
 * Dying inside. The producer: before the stamp nothing has happened, but that an odd stamp
 * may stand where an older message was, in a lossy broadcast, which counts as lost; between stamp
 * and tail the message is in for all, and whoever takes over, or subscribes, finds the stamp ahead
 * of the tail by one (true_tail); before the wake-up, its death wakes all who sleep. `producer`
 * names who may put by its token; who takes it from a gone one takes over where the stamp says. A
 * subscriber: its cursor is not looked at any more as soon as it is gone, and the producer, if it
 * sleeps, watches all lives; so nothing has to be repaired. A cursor is stored before its owner, so
 * one without an owner, or with one that died while it subscribed, holds up nobody.
 *
 * close is the producer's, so no message can come behind it: `closed` is stored after the last
 * stamp (D5). Whoever dies right after becoming the producer to close leaves it to the next.
 *
 * A hostile peer of a named segment can write whatever it likes: sizes are read once a call and
 * must lie in the segment; positions are masked; lengths are bounded; the walk over what was lost
 * ends after some tries. It can lie about messages and keep the producer waiting, no more.
 *
 * Edges (doc/memory-model.md). D1: stamp release, acquire by readers: the message. D2: cursor
 * release, acquire by the producer: the copy is done before the slot is written over. D3: odd
 * stamp, release fence, words; words, acquire fence, stamp. D4: owner, seq_cst fence, tail; tail,
 * seq_cst fence, owners. D5: closed behind the stamps. D6: producer's CAS, from one to the next.
 * W7: stamp and cursor are plain stores, so who sleeps for them is `light`.
 *
 * Source: the stamp is a sequence lock's per slot (the message is the protected data); gating a
 * ring by the least of its readers' sequences is known from the LMAX Disruptor.
 */
#include "queue/broadcast.h"
#include "queue/kinds.h"
#include "queue/sizes.h"

/* ---- layout ---- */

/* Short slots lie in one line each, so that a message is one line. */
static void lay_out(struct brood_broadcast *shape)
{
	uint64_t bytes = sizeof(struct slot) + shape->max_bytes;

	shape->ring = (uint32_t)power_of_two(shape->capacity);
	shape->stride = bytes <= BROOD__LINE ? power_of_two(bytes < 32 ? 32 : bytes) :
					       round_up(bytes, BROOD__LINE);
	shape->object.bytes = sizeof(*shape) + shape->members * sizeof(struct cursor) +
			      shape->ring * shape->stride;
}

static bool is_sensible(const struct brood_broadcast *shape)
{
	return shape->capacity && shape->capacity <= BROOD_QUEUE_SLOTS_MAX && shape->max_bytes &&
	       shape->max_bytes <= MAX_BYTES_LIMIT;
}

/* ---- create, open, destroy ---- */

static void fill(void *object, const void *shape)
{
	struct brood_broadcast *broadcast = object;

	*broadcast = *(const struct brood_broadcast *)shape;
	atomic_store_explicit(&broadcast->room, broadcast->capacity, memory_order_relaxed);
}

struct brood_broadcast *brood_broadcast_create(const struct brood_broadcast_opts *given)
{
	struct brood_broadcast_opts opts;
	struct brood_segment *segment;
	struct brood_broadcast shape;
	int result = given ? brood__options(&opts, sizeof(opts), given) : -EINVAL;

	if (result == 0) {
		segment = brood__segment(opts.segment);
		if (!segment)
			return NULL;
		shape = (struct brood_broadcast){
			.max_bytes = opts.max_bytes,
			.capacity = opts.slots,
			.members = segment->members.max,
			.lossy = opts.lossy,
		};
		result = is_sensible(&shape) ? 0 : -EINVAL;
	}
	if (result) {
		errno = -result;
		return NULL;
	}
	lay_out(&shape);
	return brood__object_make(segment, BROOD__KIND_BROADCAST, opts.name, shape.object.bytes,
				  shape.object.bytes, fill, &shape);
}

/* One that an unrelated process made: everything that a call does not look at for itself. */
static bool is_sound(const struct brood_segment *segment, const void *object, size_t bytes)
{
	const struct brood_broadcast *broadcast = object;
	struct brood_broadcast shape;

	if (bytes < sizeof(shape))
		return false;
	/* Only what the creator wrote: others change the rest meanwhile. */
	shape = (struct brood_broadcast){
		.max_bytes = broadcast->max_bytes,
		.capacity = broadcast->capacity,
		.members = broadcast->members,
		.lossy = broadcast->lossy,
	};
	if (!is_sensible(&shape) || shape.members != segment->members.max || shape.lossy > 1)
		return false;
	lay_out(&shape);
	return shape.ring == broadcast->ring && shape.stride == broadcast->stride &&
	       shape.object.bytes == broadcast->object.bytes && shape.object.bytes <= bytes;
}

static void be_waited_for(void) __attribute__((constructor));
static void be_waited_for(void)
{
	brood__waitable_register(BROOD_WAIT_BROADCAST, &brood__broadcast_waitable);
}

/* Everything else is put right by whoever looks at it. */
static void sweep(struct brood_segment *segment, void *object, uint32_t member, bool clean)
{
	(void)member, (void)clean;
	brood__object_swept(segment, object, BROOD__KIND_BROADCAST);
}

const struct brood__kind_ops brood__broadcast_kind = { .sweep = sweep, .sound = is_sound };

struct brood_broadcast *brood_broadcast_open(struct brood_segment *segment, const char *name)
{
	segment = brood__segment(segment);
	return segment ? brood__object_find(segment, BROOD__KIND_BROADCAST, name) : NULL;
}

int brood_broadcast_destroy(struct brood_broadcast *broadcast)
{
	struct brood__call call;
	int result = brood__object_enter(broadcast, BROOD__KIND_BROADCAST, &call);

	return result ? result : brood__object_destroy(&call, BROOD__KIND_BROADCAST, NULL);
}

/* ---- entering a call ---- */

/*
 * The sizes are the creator's, but a hostile peer may change them at any time: so they are read
 * once, and must fit.
 */
int brood__broadcast_see(struct broadcast_call *call)
{
	const struct brood_segment *segment = call->inside.segment;
	const struct brood_broadcast *broadcast = call->inside.object;
	uint64_t ring = *(const volatile uint32_t *)&broadcast->ring, cursors_end;

	call->broadcast = call->inside.object;
	call->token = brood__object_token(&call->inside);
	call->max_bytes = *(const volatile uint64_t *)&broadcast->max_bytes;
	call->stride = *(const volatile uint64_t *)&broadcast->stride;
	call->capacity = *(const volatile uint32_t *)&broadcast->capacity;
	call->mask = (uint32_t)(ring - 1);
	call->lossy = *(const volatile uint32_t *)&broadcast->lossy;
	cursors_end = brood__offset(segment, broadcast) + sizeof(*broadcast) +
		      segment->members.max * sizeof(struct cursor);
	call->slots = segment->base + cursors_end;
	return brood__likely(ring && !(ring & call->mask) && ring <= BROOD_QUEUE_SLOTS_MAX &&
			     call->capacity <= ring && call->max_bytes <= MAX_BYTES_LIMIT &&
			     call->stride >= call->max_bytes + sizeof(struct slot) &&
			     call->stride <= 2 * MAX_BYTES_LIMIT && call->stride % 16 == 0 &&
			     cursors_end <= segment->bytes &&
			     ring * call->stride <= segment->bytes - cursors_end) ? 0 : -EPROTO;
}

int brood__broadcast_enter(const struct brood_broadcast *broadcast, struct broadcast_call *call)
{
	int result = brood__object_enter(broadcast, BROOD__KIND_BROADCAST, &call->inside);

	if (brood__unlikely(result))
		return result;
	result = brood__broadcast_see(call);
	if (brood__unlikely(result))
		broadcast_leave(call);
	return result;
}

/* ---- the producer's role ---- */

/*
 * Who died as the producer may have put one message more than `tail` tells: its death is an
 * acquire (M1), the end of a living one goes through `producer` (D6).
 */
static int take_over(const struct broadcast_call *call)
{
	struct brood_broadcast *broadcast = call->broadcast;
	uint64_t found = atomic_load_explicit(&broadcast->producer, memory_order_acquire);

	do {
		if (found && !brood__token_gone(&call->inside.segment->members, found))
			return -EBUSY;
	} while (!atomic_compare_exchange_strong_explicit(&broadcast->producer, &found,	/* D6 */
							  call->token, memory_order_acq_rel,
							  memory_order_acquire));
	atomic_store_explicit(&broadcast->tail, true_tail(call), memory_order_release);
	return 0;
}

int brood__broadcast_produce(const struct broadcast_call *call)
{
	uint64_t producer = atomic_load_explicit(&call->broadcast->producer, memory_order_relaxed);

	return brood__likely(producer == call->token) ? 0 : take_over(call);
}

int brood_broadcast_producer_end(struct brood_broadcast *broadcast)
{
	struct broadcast_call call;
	int result = brood__broadcast_enter(broadcast, &call);
	uint64_t mine;

	if (result)
		return result;
	mine = call.token;
	if (!atomic_compare_exchange_strong_explicit(&broadcast->producer, &mine, 0,	/* D6 */
						     memory_order_acq_rel, memory_order_relaxed))
		result = -EBUSY;
	broadcast_leave(&call);
	return result;
}
