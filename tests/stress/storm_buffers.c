/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The storm of buffers: four producers make them, fill them and put them into one of two queues;
 * four consumers take them, look whether they are whole, keep some, with further references, and
 * hand some on through the second queue. Each whose put returned comes once, unless a consumer
 * died that had it. What it has is whole, as long as it has a reference. At the end nothing is left
 * of them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storm_kinds.h"

#define SLOTS 8u
#define KEPT 4u			/* a consumer keeps as many */
#define LEFT 5u			/* in a queue that is destroyed */

static struct brood_queue *queue[2];	/* the second is for those that are handed on */
static struct brood_segment *where;
static struct brood_segment_info empty;	/* with the queues, and no buffer */

static bool make(struct brood_segment *segment)
{
	struct brood_queue_opts opts = { .slots = SLOTS, .max_bytes = BROOD_BUFFER_MESSAGE,
					 .segment = segment };

	where = segment;
	for (int i = 0; i < 2; i++)
		queue[i] = brood_queue_create(&opts);
	return queue[0] && queue[1] && brood_segment_stat(segment, &empty) == 0;
}

static void release(struct brood_buffer *buffer)
{
	int result = brood_buffer_release(buffer);

	if (result)
		fault("a release failed", (uint64_t)-result, 0, 0);
}

/* ---- producers ---- */

static struct brood_buffer *make_one(uint32_t me, uint32_t number)
{
	size_t length = message_length(me, number, MESSAGE_MAX);
	struct brood_buffer *buffer = brood_buffer_create(where, length);

	if (buffer)
		message_write(brood_buffer_data(buffer), me, number, MESSAGE_MAX);
	return buffer;
}

/* Some producers keep a reference for a moment; some have second thoughts. */
static int produce_one(uint32_t me)
{
	struct brood_buffer *buffer;
	uint32_t number, way = random_below(8);
	int result;

	if (!log_begin(me, 1, &number))
		return 1;
	buffer = make_one(me, number);
	if (!buffer) {
		fault("no buffer", (uint64_t)errno, me, number);
		return 1;
	}
	if (way == 0) {
		release(buffer);
		log_put(me, number, 1, 0);
		return 0;
	}
	if (way == 1 && brood_buffer_share(buffer))
		fault("no share", me, number, 0);
	result = brood_queue_put_buffer(queue[random_below(2)], buffer, some_timeout());
	log_put(me, number, 1, result ? result : 1);
	if (result && result != -ETIMEDOUT)
		fault("a put failed", (uint64_t)-result, me, number);
	if (result)
		release(buffer);
	if (way == 1)
		release(buffer);
	progress(me, !result);
	return 0;
}

static int produce(uint32_t me)
{
	while (!atomic_load(&control->over))
		if (produce_one(me))
			return 1;
	return 0;
}

/* ---- consumers ---- */

struct keeping {
	struct consumer c;
	struct place_state *place;
	struct brood_buffer *kept[KEPT];
};

/* It is whole: the length of what storm_log knows, and which one it is. */
static size_t look(struct brood_buffer *buffer, struct payload *p)
{
	const void *data = brood_buffer_data(buffer);
	ssize_t length = brood_buffer_size(buffer);

	if (!data || length < (ssize_t)offsetof(struct payload, pattern))
		return 0;
	memcpy(p, data, offsetof(struct payload, pattern));
	return message_check(data, (size_t)length, MESSAGE_MAX);
}

static void let_go(struct brood_buffer *buffer)
{
	struct payload p;

	if (!look(buffer, &p))
		fault("a kept one is torn", p.place, p.number, 0);
	release(buffer);
	if (!look(buffer, &p))
		fault("a shared one is torn", p.place, p.number, 0);
	release(buffer);
}

/* Keep it, with two references, in the place of another, which goes. */
static void keep(struct keeping *k, struct brood_buffer *buffer)
{
	struct brood_buffer **kept = &k->kept[random_below(KEPT)];

	if (brood_buffer_share(buffer))
		fault("no share", 0, 0, 0);
	if (*kept)
		let_go(*kept);
	*kept = buffer;
}

/* Hand it on, if there is room. False: it is still the caller's. */
static bool hand_on(struct brood_buffer *buffer)
{
	int result = brood_queue_put_buffer(queue[1], buffer, 0);

	if (result && result != -EAGAIN && result != -EPIPE)
		fault("it is not handed on", (uint64_t)-result, 0, 0);
	return result == 0;
}

/*
 * taking: a death may lose one that nobody can name. carried: it would be this one. Both are short;
 * one waits before.
 */
static int take_from(struct keeping *k, uint32_t which)
{
	struct brood_buffer *buffer;
	size_t known;
	struct payload p = { 0 };
	int result;

	atomic_store(&k->place->taking, true);
	result = brood_queue_get_buffer(queue[which], &buffer, 0);
	known = result ? 0 : look(buffer, &p);
	atomic_store(&k->place->carried, result ? 0 : CARRIED | (uint64_t)p.place << 32 | p.number);
	atomic_store(&k->place->taking, false);
	if (result)
		return result;
	if (which == 0 && random_below(4) == 0 && hand_on(buffer)) {
		atomic_store(&k->place->carried, 0);
		return 0;
	}
	log_taken(&k->c, brood_buffer_data(buffer), known, false);
	atomic_store(&k->place->carried, 0);
	if (random_below(4) == 0)
		keep(k, buffer);
	else
		release(buffer);
	return 0;
}

static void look_at_predecessor(struct place_state *place)
{
	uint64_t carried = atomic_load(&place->carried);

	if (carried)
		log_maybe((uint32_t)((carried & ~CARRIED) >> 32), (uint32_t)carried);
	else if (atomic_load(&place->taking))
		atomic_fetch_add(&control->excused, 1);
	atomic_store(&place->carried, 0);
	atomic_store(&place->taking, false);
}

static int consume(uint32_t me)
{
	struct brood_waitable items[2] = { { .kind = BROOD_WAIT_QUEUE, .object = queue[0] },
					   { .kind = BROOD_WAIT_QUEUE, .object = queue[1] } };
	struct keeping k = { .place = &control->place[me] };
	int result[2] = { 0, 0 };

	look_at_predecessor(k.place);
	log_consumer(&k.c);
	k.c.unordered = true;
	while (result[0] != -EPIPE || result[1] != -EPIPE) {
		uint32_t which = random_below(2);
		int n = brood_wait(items, 2, some_timeout());

		if (n < 0 && n != -ETIMEDOUT)
			fault("a wait failed", (uint64_t)-n, me, 0);
		result[which] = take_from(&k, which);
		progress(me, !result[which]);
		if (result[which] && result[which] != -EAGAIN && result[which] != -EPIPE)
			fault("a get failed", (uint64_t)-result[which], me, which);
	}
	for (uint32_t i = 0; i < KEPT; i++)
		if (k.kept[i])
			let_go(k.kept[i]);
	return 0;
}

static int work(uint32_t me)
{
	return me < PLACES ? produce(me) : consume(me);
}

static bool end(void)
{
	return brood_queue_close(queue[0]) == 0 && brood_queue_close(queue[1]) == 0;
}

/* The queues are drained: no buffer may be left, though the queues are. */
static bool none_left(void)
{
	bool drained = brood_queue_count(queue[0]) == 0 && brood_queue_count(queue[1]) == 0;
	struct brood_segment_info now;

	if (brood_segment_stat(where, &now))
		return false;
	if (now.objects != empty.objects || now.bytes_used != empty.bytes_used)
		printf("objects %u (%u), bytes %zu (%zu), though all buffers are released\n",
		       now.objects, empty.objects, now.bytes_used, empty.bytes_used);
	return drained && now.objects == empty.objects && now.bytes_used == empty.bytes_used;
}

/* Buffers in a queue go with it. */
static bool destroy_with_some(struct brood_segment *segment)
{
	for (uint32_t i = 0; i < LEFT; i++) {
		struct brood_buffer *buffer = brood_buffer_create(segment, 10000);

		if (!buffer || brood_queue_put_buffer(queue[1], buffer, 0))
			return false;
	}
	return brood_queue_destroy(queue[1]) == 0;
}

static bool finish(void)
{
	bool right = none_left();

	right = brood_queue_destroy(queue[0]) == 0 && brood_queue_destroy(queue[1]) == 0 && right;
	right = make(where) && destroy_with_some(where) && brood_queue_destroy(queue[0]) == 0 &&
		right;
	return log_verdict(atomic_load(&control->excused)) == 0 && right;
}

const struct kind kind_buffers = { "buffers", PLACES, 0, WORKERS, make, work, end, finish };
