/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue as an object: made, found by name, entered by each call, asked, closed, destroyed.
 *
 * Dying inside: object.h, and: first use sets the member's bit among the users before the hand is
 * used, so that the sweep looks at the hand.
 */
#include <errno.h>

#include "queue/buffer_ref.h"
#include "queue/kinds.h"
#include "queue/queue.h"
#include "queue/sizes.h"

#define EXTRA_LEAST 256u
#define EXTRA_MOST 1024u
#define KEEPERS 8u		/* so many members may fill their pockets from the extra buffers */
#define KEEP_MOST 64u
#define SINGLE_FASTER 4u	/* messages of a single queue in the time of one of another */
#define ALIGNED_FROM 256u	/* bytes; shorter messages of a single queue lie packed */

/* ---- layout ---- */

/*
 * Slots of a single queue: a header of 8 bytes and the message, packed, or, when it is long, in
 * lines of its own with the header right before them. One more than in the ring, see spsc_ring.c.
 */
static void lay_out_single(struct brood_queue *queue)
{
	bool aligned = queue->max_bytes >= ALIGNED_FROM;

	queue->ring = (uint32_t)power_of_two(queue->capacity);
	queue->stride = aligned ? round_up(queue->max_bytes, BROOD__LINE) + BROOD__LINE :
				  round_up(queue->max_bytes, 8) + 8;
	queue->slots_at = round_up(sizeof(*queue), BROOD__LINE) + (aligned ? BROOD__LINE - 8 : 0);
	queue->words_at = queue->notes_at = queue->bytes_at =
		queue->slots_at + queue->ring * queue->stride;
	queue->object.bytes = queue->bytes_at + queue->stride;
	queue->put_gather = least(queue->capacity * 3 / 8 / SINGLE_FASTER, GET_GATHER_MOST);
	queue->get_gather = queue->put_gather;
}

/* Everything that follows from capacity, max_bytes, buffers, members and what it is for. */
static void lay_out(struct brood_queue *queue)
{
	uint64_t page = brood__page_size();
	uint64_t at = round_up(sizeof(*queue) + queue->members * sizeof(struct brood__hand),
			       BROOD__LINE);

	queue->check_puts = queue->one_producer || queue->producers_end;
	if (queue->single) {
		lay_out_single(queue);
		return;
	}
	queue->ring = (uint32_t)power_of_two(queue->capacity);
	queue->stride = queue->max_bytes < BROOD__LINE ?
				power_of_two(queue->max_bytes < 8 ? 8 : queue->max_bytes) :
				round_up(queue->max_bytes, BROOD__LINE);
	queue->sparse = queue->stride >= page;
	queue->slots_at = at;
	queue->words_at = round_up(at + queue->ring * sizeof(uint64_t), BROOD__LINE);
	queue->notes_at = round_up(queue->words_at + queue->buffers * sizeof(uint64_t),
				   BROOD__LINE);
	queue->bytes_at = round_up(queue->notes_at + queue->buffers * sizeof(uint64_t),
				   BROOD__LINE);
	queue->object.bytes = queue->bytes_at + queue->buffers * queue->stride;
	queue->put_gather = gather_for(queue->capacity, PUT_GATHER_MOST);
	queue->get_gather = gather_for(queue->capacity, GET_GATHER_MOST);
}

/* What must be memory from the start: all, or all up to the buffers that the slots hold. */
static size_t needed_at_once(const struct brood_queue *queue)
{
	return queue->sparse ? queue->bytes_at + queue->ring * queue->stride :
			       queue->object.bytes;
}

/*
 * What the ring for one and one does not have is left to the other one, and so are systems
 * without the fence that it needs.
 */
static bool may_be_single(const struct brood_queue_opts *opts)
{
	return opts->producers && opts->consumers && !opts->joinable && !opts->producers_end &&
	       brood__fence_all_cpus() == 0;
}

static int plan(struct brood_queue *shape, const struct brood_queue_opts *opts,
		uint32_t members)
{
	uint64_t extra = opts->extra, buffers;

	if (opts->slots == 0 || opts->slots > BROOD_QUEUE_SLOTS_MAX || opts->max_bytes == 0 ||
	    opts->max_bytes > MAX_BYTES_LIMIT || opts->producers_end > INT32_MAX ||
	    opts->producers > 1 || opts->consumers > 1)
		return -EINVAL;
	if (may_be_single(opts)) {
		*shape = (struct brood_queue){
			.capacity = opts->slots,
			.max_bytes = opts->max_bytes,
			.members = members,
			.one_producer = 1,
			.one_consumer = 1,
			.single = 1,
		};
		lay_out(shape);
		return 0;
	}
	if (extra == 0)
		extra = opts->slots < EXTRA_LEAST ? EXTRA_LEAST :
			opts->slots > EXTRA_MOST ? EXTRA_MOST : opts->slots;
	buffers = power_of_two(opts->slots) + members + extra;
	if (buffers >= NO_BUFFER)
		return -EINVAL;
	*shape = (struct brood_queue){
		.capacity = opts->slots,
		.max_bytes = opts->max_bytes,
		.buffers = (uint32_t)buffers,
		.members = members,
		.producers_end = opts->producers_end,
		.joinable = opts->joinable,
		.one_producer = opts->producers,
		.one_consumer = opts->consumers,
		.extra = (uint32_t)extra,
		.keep = least((uint32_t)extra / KEEPERS, KEEP_MOST),
	};
	lay_out(shape);
	return 0;
}

/* ---- create, open, destroy ---- */

static void fill(void *object, const void *shape)
{
	struct brood_queue *queue = object;

	*queue = *(const struct brood_queue *)shape;
	/* All slots of a single queue are zero: position 0, which is not the first. */
	queue->head_seen = queue->ring;
	atomic_store_explicit(&queue->tail, queue->ring, memory_order_relaxed);
	atomic_store_explicit(&queue->head, queue->ring, memory_order_relaxed);
	if (queue->single)
		return;
	for (uint32_t i = 0; i < queue->members; i++)
		atomic_store_explicit(&queue->hands[i].offer, NO_BUFFER, memory_order_relaxed);
	for (uint32_t i = 0; i < queue->ring; i++) {
		atomic_store_explicit(queue_slot(queue, i), slot_word(queue->ring + i, 0, i),
				      memory_order_relaxed);
		atomic_store_explicit(queue_word(queue, i),
				      buffer_word(NO_HOLDER, BUFFER_OFFERED, 0, 0),
				      memory_order_relaxed);
	}
}

struct brood_queue *brood_queue_create(const struct brood_queue_opts *given)
{
	struct brood_queue_opts opts;
	struct brood_segment *segment;
	struct brood_queue shape;
	int result = given ? brood__options(&opts, sizeof(opts), given) : -EINVAL;

	if (result == 0) {
		segment = brood__segment(opts.segment);
		if (!segment)
			return NULL;
		result = plan(&shape, &opts, segment->members.max);
	}
	if (result) {
		errno = -result;
		return NULL;
	}
	return brood__object_make(segment, BROOD__KIND_QUEUE, opts.name, shape.object.bytes,
				  needed_at_once(&shape), fill, &shape);
}

/* A queue that an unrelated process made: everything that we shall rely on. */
static bool is_sound(const struct brood_segment *segment, const void *object, size_t bytes)
{
	const struct brood_queue *queue = object;
	struct brood_queue shape;

	if (bytes < sizeof(shape))
		return false;
	/* Only what the creator wrote: others change the rest meanwhile. */
	shape = (struct brood_queue){
		.max_bytes = queue->max_bytes,
		.capacity = queue->capacity,
		.buffers = queue->buffers,
		.members = queue->members,
		.producers_end = queue->producers_end,
		.joinable = queue->joinable,
		.keep = queue->keep,
		.extra = queue->extra,
		.one_producer = queue->one_producer,
		.one_consumer = queue->one_consumer,
		.single = queue->single,
	};
	if (shape.capacity == 0 || shape.capacity > BROOD_QUEUE_SLOTS_MAX || shape.max_bytes == 0 ||
	    shape.max_bytes > MAX_BYTES_LIMIT || shape.members != segment->members.max ||
	    shape.buffers >= NO_BUFFER || shape.keep > KEEP_MOST ||
	    shape.extra > shape.buffers || shape.one_producer > 1 || shape.one_consumer > 1 ||
	    shape.single > (shape.one_producer & shape.one_consumer))
		return false;
	if (shape.single ? shape.buffers || shape.joinable || shape.producers_end :
			   shape.buffers != power_of_two(shape.capacity) + shape.members + shape.extra)
		return false;
	lay_out(&shape);
	return shape.ring == queue->ring && shape.stride == queue->stride &&
	       shape.sparse == queue->sparse && shape.slots_at == queue->slots_at &&
	       shape.words_at == queue->words_at && shape.notes_at == queue->notes_at &&
	       shape.bytes_at == queue->bytes_at && shape.put_gather == queue->put_gather &&
	       shape.get_gather == queue->get_gather && shape.check_puts == queue->check_puts &&
	       shape.object.bytes == queue->object.bytes && shape.object.bytes <= bytes;
}

static void be_waited_for(void) __attribute__((constructor));
static void be_waited_for(void)
{
	brood__waitable_register(BROOD_WAIT_QUEUE, &brood__queue_waitable);
}

const struct brood__kind_ops brood__queue_kind = { .sweep = brood__queue_sweep, .sound = is_sound };

struct brood_queue *brood_queue_open(struct brood_segment *segment, const char *name)
{
	segment = brood__segment(segment);
	return segment ? brood__object_find(segment, BROOD__KIND_QUEUE, name) : NULL;
}

static void forget(struct brood_segment *segment, void *queue)
{
	brood__references_forget(segment, queue);
}

int brood_queue_destroy(struct brood_queue *queue)
{
	struct call call;
	int result = brood__queue_enter(queue, &call);

	if (result < 0)
		return result;
	return brood__object_destroy(&(struct brood__call){ call.segment, queue, call.me },
				     BROOD__KIND_QUEUE, forget);
}

/* ---- entering a call ---- */

int brood__queue_enter(struct brood_queue *queue, struct call *call)
{
	struct brood__call inside = { NULL, NULL, 0 };
	int result = brood__object_enter(queue, BROOD__KIND_QUEUE, &inside);
	struct brood__here here;

	if (brood__unlikely(result))
		return result;
	brood__here(queue, &here);	/* for queue_enter_nearby */
	*call = (struct call){ queue, &queue->hands[inside.me], inside.segment, inside.me,
			       brood__object_token(&inside) };
	if (queue->single)
		return QUEUE_SINGLE;
	queue_used(call);
	return 0;
}

void brood__queue_first_use(struct call *call)
{
	struct brood_queue *queue = call->queue;
	struct brood__hand *hand = call->hand;

	brood__mask_set(queue->users.mask, call->me);
	hand->put_at = atomic_load_explicit(&queue->tail, memory_order_acquire);	/* Q6 */
	hand->get_at = atomic_load_explicit(&queue->head, memory_order_acquire);	/* Q6 */
	hand->head_seen = hand->get_at;
	hand->kept = hand->got = NO_BUFFER;
	hand->kept_count = 0;
	atomic_store_explicit(&hand->owned, 0, memory_order_relaxed);
	hand->pending = PENDING_NONE;
	hand->put_streak = hand->get_streak = 0;
	atomic_store_explicit(&hand->used, 1, memory_order_release);
}
