/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue as an object: made, found by name, entered by each call, asked, closed, destroyed.
 *
 * Entering. A call first tells in its member's entry which object it is inside of, then looks
 * whether the object still lives: whoever destroys does it the other way round, with a fence on
 * all CPUs between, so the memory of a queue is not used again while a call is inside (heap.c).
 * Both stores of the caller are plain ones to a line of its own.
 *
 * Dying inside: create holds a claimed block, which the sweep frees. destroy marks the queue dead
 * first; if it dies then, any later sweep of a user retires the block. first use sets the
 * member's bit among the users before the hand is used, so that the sweep looks at the hand.
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

static const struct brood__kind_ops ops = { .sweep = brood__queue_sweep };

static void register_kind(void) __attribute__((constructor));
static void register_kind(void)
{
	brood__kind_register(BROOD__KIND_QUEUE, &ops);
}

static uint64_t live_magic(const struct brood_segment *segment, const struct brood_queue *queue)
{
	return brood__magic(BROOD__KIND_QUEUE, brood__offset(segment, queue));
}

static uint64_t dead_magic(const struct brood_segment *segment, const struct brood_queue *queue)
{
	return ~live_magic(segment, queue);
}

bool brood__queue_alive(const struct brood_segment *segment, const struct brood_queue *queue)
{
	/* A7, H1 */
	return atomic_load_explicit(&queue->object.magic, memory_order_acquire) ==
	       live_magic(segment, queue);
}

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
	    opts->max_bytes > MAX_BYTES_LIMIT || opts->producers_end > INT32_MAX ||
	    (opts->name && !*opts->name))
		return -EINVAL;
	if (opts->name && strlen(opts->name) >= BROOD__NAME_MAX)
		return -ENAMETOOLONG;
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
	if (opts->name)
		strcpy(shape->object.name, opts->name);
	lay_out(shape);
	return 0;
}

/* ---- create, open, destroy ---- */

static void fill(struct brood_queue *queue, const struct brood_queue *shape)
{
	*queue = *shape;
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

static struct brood_queue *make(struct brood_segment *segment, const struct brood_queue *shape)
{
	struct brood_queue *queue = brood__block_claim(segment, shape->object.bytes,
						       needed_at_once(shape));

	if (!queue)
		return NULL;
	fill(queue, shape);
	if (*shape->object.name &&
	    brood__object_alone(segment, BROOD__KIND_QUEUE, &queue->object)) {
		brood__block_drop(segment, queue);
		errno = EEXIST;
		return NULL;
	}
	atomic_store_explicit(&queue->object.magic, live_magic(segment, queue),
			      memory_order_release);	/* A7 */
	brood__block_publish(segment, queue, BROOD__KIND_QUEUE);
	return queue;
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
	return make(segment, &shape);
}

/* A queue that an unrelated process made: everything that we shall rely on. */
static bool is_sound(const struct brood_segment *segment, const struct brood_queue *queue)
{
	struct brood_queue shape = *queue;
	size_t block = brood__block_bytes((const struct brood__block *)(const void *)queue - 1);

	if (shape.capacity == 0 || shape.capacity > BROOD_QUEUE_SLOTS_MAX || shape.max_bytes == 0 ||
	    shape.max_bytes > MAX_BYTES_LIMIT || shape.members != segment->members.max ||
	    shape.buffers >= NO_BUFFER || shape.keep > KEEP_MOST ||
	    shape.extra > shape.buffers ||
	    shape.buffers != power_of_two(shape.capacity) + shape.members + shape.extra)
		return false;
	lay_out(&shape);
	return brood__queue_alive(segment, queue) && shape.ring == queue->ring &&
	       shape.stride == queue->stride && shape.sparse == queue->sparse &&
	       shape.slots_at == queue->slots_at && shape.words_at == queue->words_at &&
	       shape.notes_at == queue->notes_at && shape.bytes_at == queue->bytes_at &&
	       shape.put_gather == queue->put_gather && shape.get_gather == queue->get_gather &&
	       shape.object.bytes == queue->object.bytes &&
	       shape.object.bytes <= block - sizeof(struct brood__block) &&
	       block <= segment->bytes - brood__offset(segment, queue);
}

struct brood_queue *brood_queue_open(struct brood_segment *segment, const char *name)
{
	struct brood_queue *queue;

	segment = brood__segment(segment);
	if (!segment)
		return NULL;
	if (!name || !*name || strlen(name) >= BROOD__NAME_MAX) {
		errno = EINVAL;
		return NULL;
	}
	queue = brood__object_named(segment, BROOD__KIND_QUEUE, name);
	if (!queue || !is_sound(segment, queue)) {
		errno = queue ? EPROTO : ENOENT;
		return NULL;
	}
	return queue;
}

int brood_queue_destroy(struct brood_queue *queue)
{
	struct call call;
	int result = brood__queue_enter(queue, &call);
	uint64_t live;

	if (result)
		return result;
	live = live_magic(call.segment, queue);
	/* A7, W1; H1 with the fence in brood__block_reclaim() */
	if (!atomic_compare_exchange_strong(&queue->object.magic, &live,
					    dead_magic(call.segment, queue))) {
		queue_leave(&call);
		return -ESTALE;
	}
	brood__queue_wake_users(call.segment, queue);
	queue->object.name[0] = 0;
	if (brood__block_retire(call.segment, queue))
		brood__block_reclaim(call.segment, (struct brood__block *)(void *)queue - 1);
	queue_leave(&call);
	return 0;
}

/* ---- entering a call ---- */

static int not_alive(const struct brood_segment *segment, const struct brood_queue *queue)
{
	return atomic_load_explicit(&queue->object.magic, memory_order_relaxed) ==
	       dead_magic(segment, queue) ? -ESTALE : -EBADF;
}

/* 0 if the address can be an object's. */
static int find_segment(const struct brood_queue *queue, struct brood_segment **segment)
{
	uint64_t offset;

	*segment = brood__segment_of(queue);
	if (!*segment)
		return queue ? -EBADF : -EINVAL;
	offset = brood__offset(*segment, queue);
	if (offset % BROOD__LINE || offset < (*segment)->header->heap_at ||
	    offset >= atomic_load_explicit(&(*segment)->header->top, memory_order_acquire))
		return -EBADF;
	return 0;
}

int brood__queue_enter(struct brood_queue *queue, struct call *call)
{
	_Atomic uint64_t *inside;
	struct brood_segment *segment;
	int id = find_segment(queue, &segment);

	if (brood__unlikely(id))
		return id;
	id = brood__member_id(&segment->members);
	if (brood__unlikely(id < 0))
		return id;
	inside = &segment->members.table[id].inside;
	if (brood__unlikely(atomic_load_explicit(inside, memory_order_relaxed)))
		return -EDEADLK;
	atomic_store_explicit(inside, brood__offset(segment, queue), memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);	/* H1, light half */
	if (brood__unlikely(!brood__queue_alive(segment, queue))) {
		atomic_store_explicit(inside, 0, memory_order_release);
		return not_alive(segment, queue);
	}
	*call = (struct call){ queue, &queue->hands[id], segment, (uint32_t)id };
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
