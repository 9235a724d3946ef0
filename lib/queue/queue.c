/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue as an object: made, found by name, entered by each call, asked, closed, destroyed.
 *
 * Dying inside: object.h, and: first use sets the member's bit among the users before the hand is
 * used, so that the sweep looks at the hand.
 */
#include <errno.h>

#include "queue/queue.h"

#define MAX_BYTES_LIMIT (1ull << 30)
#define EXTRA_LEAST 256u
#define EXTRA_MOST 1024u
#define KEEPERS 8u		/* so many members may fill their pockets from the extra buffers */
#define KEEP_MOST 64u
#define PUT_GATHER_MOST 400u	/* pauses: about the time in which that many messages go through */
#define GET_GATHER_MOST 100u	/* who waits for a message is waited for more often */

/* ---- layout ---- */

static uint64_t round_up(uint64_t n, uint64_t step)
{
	return (n + step - 1) / step * step;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint64_t power_of_two(uint64_t n)
{
	uint64_t power = 1;

	while (power < n)
		power *= 2;
	return power;
}

/* Everything that follows from capacity, max_bytes, buffers and members. */
static void lay_out(struct brood_queue *queue)
{
	uint64_t page = brood__page_size();
	uint64_t at = round_up(sizeof(*queue) + queue->members * sizeof(struct brood__hand),
			       BROOD__LINE);

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
	queue->put_gather = least(queue->capacity * 3 / 8, PUT_GATHER_MOST);
	queue->get_gather = least(queue->capacity * 3 / 8, GET_GATHER_MOST);
}

/* What must be memory from the start: all, or all up to the buffers that the slots hold. */
static size_t needed_at_once(const struct brood_queue *queue)
{
	return queue->sparse ? queue->bytes_at + queue->ring * queue->stride :
			       queue->object.bytes;
}

static int plan(struct brood_queue *shape, const struct brood_queue_opts *opts,
		uint32_t members)
{
	uint64_t extra = opts->extra, buffers;

	if (opts->slots == 0 || opts->slots > BROOD_QUEUE_SLOTS_MAX || opts->max_bytes == 0 ||
	    opts->max_bytes > MAX_BYTES_LIMIT || opts->producers_end > INT32_MAX)
		return -EINVAL;
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
	atomic_store_explicit(&queue->tail, queue->ring, memory_order_relaxed);
	atomic_store_explicit(&queue->head, queue->ring, memory_order_relaxed);
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
	shape = *queue;
	if (shape.capacity == 0 || shape.capacity > BROOD_QUEUE_SLOTS_MAX || shape.max_bytes == 0 ||
	    shape.max_bytes > MAX_BYTES_LIMIT || shape.members != segment->members.max ||
	    shape.buffers >= NO_BUFFER || shape.keep > KEEP_MOST ||
	    shape.extra > shape.buffers ||
	    shape.buffers != power_of_two(shape.capacity) + shape.members + shape.extra)
		return false;
	lay_out(&shape);
	return shape.ring == queue->ring && shape.stride == queue->stride &&
	       shape.sparse == queue->sparse && shape.slots_at == queue->slots_at &&
	       shape.words_at == queue->words_at && shape.notes_at == queue->notes_at &&
	       shape.bytes_at == queue->bytes_at && shape.put_gather == queue->put_gather &&
	       shape.get_gather == queue->get_gather &&
	       shape.object.bytes == queue->object.bytes && shape.object.bytes <= bytes;
}

static const struct brood__kind_ops ops = { .sweep = brood__queue_sweep, .sound = is_sound };

static void register_kind(void) __attribute__((constructor));
static void register_kind(void)
{
	brood__kind_register(BROOD__KIND_QUEUE, &ops);
}

struct brood_queue *brood_queue_open(struct brood_segment *segment, const char *name)
{
	segment = brood__segment(segment);
	return segment ? brood__object_find(segment, BROOD__KIND_QUEUE, name) : NULL;
}

static void wake_users(struct brood_segment *segment, void *queue)
{
	brood__queue_wake_users(segment, queue);
}

int brood_queue_destroy(struct brood_queue *queue)
{
	struct call call;
	int result = brood__queue_enter(queue, &call);

	if (result)
		return result;
	return brood__object_destroy(&(struct brood__call){ call.segment, queue, call.me },
				     BROOD__KIND_QUEUE, wake_users);
}

/* ---- entering a call ---- */

int brood__queue_enter(struct brood_queue *queue, struct call *call)
{
	struct brood__call inside = { NULL, NULL, 0 };
	int result = brood__object_enter(queue, BROOD__KIND_QUEUE, &inside);

	if (brood__unlikely(result))
		return result;
	*call = (struct call){ queue, &queue->hands[inside.me], inside.segment, inside.me };
	if (brood__unlikely(!atomic_load_explicit(&call->hand->used, memory_order_relaxed)))
		brood__queue_first_use(call);
	return 0;
}

void brood__queue_first_use(struct call *call)
{
	struct brood_queue *queue = call->queue;
	struct brood__hand *hand = call->hand;

	brood__mask_set(queue->users.mask, call->me);	/* W5: before the looks at the sleepers */
	hand->put_at = atomic_load_explicit(&queue->tail, memory_order_acquire);	/* Q6 */
	hand->get_at = atomic_load_explicit(&queue->head, memory_order_acquire);	/* Q6 */
	hand->head_seen = hand->get_at;
	hand->kept = hand->got = NO_BUFFER;
	hand->kept_count = 0;
	atomic_store_explicit(&hand->owned, 0, memory_order_relaxed);
	hand->pending = PENDING_NONE;
	hand->put_streak = hand->get_streak = 0;
	atomic_store_explicit(&hand->used, 1, memory_order_release);
	/*
	 * W5. Those who sleep here do not watch us yet. All users, not those with a bit: a
	 * notifier that dies may have cleared the bit of one who then fell asleep.
	 */
	brood__queue_wake_users(call->segment, queue);
}
