/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Broadcasts: what subscribers see, who may put, who waits for whom, and what deaths change. */
#include <pthread.h>

#include "support.h"

enum { MANY = 3000 };

static struct brood_broadcast *make(uint32_t slots, bool lossy)
{
	struct brood_broadcast_opts opts = { .slots = slots, .max_bytes = 40, .lossy = lossy };
	struct brood_broadcast *broadcast = brood_broadcast_create(&opts);

	ck_assert_ptr_nonnull(broadcast);
	return broadcast;
}

static int put(struct brood_broadcast *broadcast, int64_t number, int64_t timeout)
{
	return brood_broadcast_put(broadcast, &number, sizeof(number), timeout);
}

static int64_t get(struct brood_broadcast *broadcast, int64_t timeout)
{
	int64_t number = -1;
	ssize_t length = brood_broadcast_get(broadcast, &number, sizeof(number), timeout);

	return length == sizeof(number) ? number : length < 0 ? length : -EILSEQ;
}

static struct brood_broadcast *subscribed(uint32_t slots, bool lossy)
{
	struct brood_broadcast *broadcast = make(slots, lossy);

	ck_assert_int_eq(brood_broadcast_subscribe(broadcast), 0);
	return broadcast;
}

/* What parent and children share. */
struct scene {
	struct brood_broadcast *broadcast;
	atomic_uint ready, go;
	int64_t number;
};

static struct scene *scene_of(struct brood_broadcast *broadcast)
{
	struct scene *scene = shared(sizeof(*scene));

	scene->broadcast = broadcast;
	return scene;
}

static void until_ready(struct scene *scene, unsigned int n)
{
	while (atomic_load(&scene->ready) < n)
		sched_yield();
}

/* ---- messages ---- */

START_TEST(test_lengths_are_kept)
{
	struct brood_broadcast *broadcast = subscribed(4, _i);
	char text[40], found[40];

	ck_assert_int_eq(brood_broadcast_max_bytes(broadcast), 40);
	for (size_t length = 0; length <= 40; length++) {
		memset(text, (int)length + 1, sizeof(text));
		memset(found, 0, sizeof(found));
		ck_assert_int_eq(brood_broadcast_put(broadcast, length ? text : NULL, length, 0), 0);
		ck_assert_int_eq(brood_broadcast_count(broadcast), 1);
		ck_assert_int_eq(brood_broadcast_get(broadcast, found, sizeof(found), 0), (ssize_t)length);
		ck_assert_mem_eq(found, text, length);
		ck_assert(length == 40 || found[length] == 0);
	}
	ck_assert_int_eq(get(broadcast, 0), -EAGAIN);
	ck_assert_int_eq(brood_broadcast_destroy(broadcast), 0);
}
END_TEST

START_TEST(test_from_the_subscription_on)
{
	struct brood_broadcast *broadcast = make(4, _i);

	for (int64_t i = 0; i < 10; i++)	/* nobody listens: never full */
		ck_assert_int_eq(put(broadcast, i, 0), 0);
	ck_assert_int_eq(get(broadcast, 0), -ENOTCONN);
	ck_assert_int_eq(brood_broadcast_subscribe(broadcast), 0);
	ck_assert_int_eq(brood_broadcast_subscribe(broadcast), -EALREADY);
	ck_assert_int_eq(get(broadcast, 0), -EAGAIN);
	ck_assert_int_eq(put(broadcast, 10, 0), 0);
	ck_assert_int_eq(get(broadcast, 0), 10);
	ck_assert_int_eq(put(broadcast, 11, 0), 0);
	ck_assert_int_eq(brood_broadcast_unsubscribe(broadcast), 0);
	ck_assert_int_eq(brood_broadcast_unsubscribe(broadcast), -ENOTCONN);
	ck_assert_int_eq(brood_broadcast_subscribe(broadcast), 0);
	ck_assert_int_eq(get(broadcast, 0), -EAGAIN);
	ck_assert_int_eq(put(broadcast, 12, 0), 0);
	ck_assert_int_eq(get(broadcast, 0), 12);
}
END_TEST

static int child_is_not_subscribed(void *broadcast)
{
	must(get(broadcast, 0) == -ENOTCONN);
	must(brood_broadcast_count(broadcast) == -ENOTCONN);
	must(brood_broadcast_lost(broadcast) == -ENOTCONN);
	must(brood_broadcast_subscribers(broadcast) == 1);
	must(brood_broadcast_subscribe(broadcast) == 0);
	must(brood_broadcast_subscribers(broadcast) == 2);
	return 0;
}

START_TEST(test_a_forked_child_is_not_subscribed)
{
	struct brood_broadcast *broadcast = subscribed(4, false);

	ck_assert_int_eq(brood_broadcast_subscribers(broadcast), 1);
	ck_assert_int_eq(run(child_is_not_subscribed, broadcast), 0);
	ck_assert_int_eq(brood_broadcast_subscribers(broadcast), 1);
}
END_TEST

START_TEST(test_batches)
{
	struct brood_broadcast *broadcast = subscribed(8, _i);
	int64_t numbers[8] = { 0, 1, 2, 3, 4, 5, 6, 7 }, found[8];
	struct brood_message out[9], in[8];

	for (int i = 0; i < 8; i++) {
		out[i] = (struct brood_message){ .data = &numbers[i], .length = 8 };
		in[i] = (struct brood_message){ .data = &found[i], .size = 8, .flags = 77 };
	}
	out[8] = (struct brood_message){ .data = numbers, .length = 41 };
	ck_assert_int_eq(brood_broadcast_put_many(broadcast, out, 9, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_broadcast_count(broadcast), 0);
	ck_assert_int_eq(brood_broadcast_put_many(broadcast, out, 8, 0), 8);
	ck_assert_int_eq(brood_broadcast_get_many(broadcast, in, 3, 0), 3);
	ck_assert_int_eq(brood_broadcast_count(broadcast), 5);
	ck_assert_int_eq(brood_broadcast_put_many(broadcast, out, 8, 0), _i ? 8 : 3);
	in[1].size = 7;
	ck_assert_int_eq(brood_broadcast_get_many(broadcast, in, 8, 0), 1);
	ck_assert_int_eq(found[0], _i ? 0 : 3);
	ck_assert_uint_eq(in[0].flags, 0);
	ck_assert_uint_eq(in[0].length, 8);
	in[0].size = 7;
	ck_assert_int_eq(brood_broadcast_get_many(broadcast, in, 8, 0), -EMSGSIZE);
	in[0].size = in[1].size = 8;
	ck_assert_int_eq(brood_broadcast_get_many(broadcast, in, 8, 0), 7);
	for (int i = 0; i < 7; i++)
		ck_assert_int_eq(found[i], _i ? i + 1 : (i + 4) % 8);
	ck_assert_int_eq(brood_broadcast_get_many(broadcast, in, 8, 0), -EAGAIN);
	ck_assert_int_eq(brood_broadcast_lost(broadcast), _i ? 5 : 0);
	ck_assert_int_eq(brood_broadcast_get_many(broadcast, in, 0, 0), -EINVAL);
	ck_assert_int_eq(brood_broadcast_put_many(broadcast, out, 0, 0), -EINVAL);
}
END_TEST

START_TEST(test_in_place)
{
	struct brood_broadcast *broadcast = subscribed(2, false);
	struct brood_message message, again;

	ck_assert_int_eq(brood_broadcast_lease(broadcast, &message, 0), -EAGAIN);
	ck_assert_int_eq(brood_broadcast_put(broadcast, "first", 5, 0), 0);
	ck_assert_int_eq(brood_broadcast_put(broadcast, "second", 6, 0), 0);
	ck_assert_int_eq(brood_broadcast_lease(broadcast, &message, 0), 0);
	ck_assert_uint_eq(message.length, 5);
	ck_assert_mem_eq(message.data, "first", 5);
	ck_assert_uint_eq((uintptr_t)message.data % 16, 0);
	ck_assert_int_eq(brood_broadcast_lease(broadcast, &again, 0), 0);
	ck_assert_ptr_eq(again.data, message.data);
	ck_assert_int_eq(brood_broadcast_put(broadcast, "third", 5, 0), -EAGAIN);
	ck_assert_int_eq(brood_broadcast_release(broadcast, &message), 0);
	ck_assert_int_eq(brood_broadcast_release(broadcast, &message), -EINVAL);
	ck_assert_int_eq(brood_broadcast_release(broadcast, &again), -EINVAL);
	ck_assert_int_eq(brood_broadcast_put(broadcast, "third", 5, 0), 0);
	ck_assert_int_eq(brood_broadcast_lease(broadcast, &message, 0), 0);
	ck_assert_mem_eq(message.data, "second", 6);
	ck_assert_int_eq(brood_broadcast_unsubscribe(broadcast), 0);
	ck_assert_int_eq(brood_broadcast_release(broadcast, &message), -ENOTCONN);
	ck_assert_int_eq(brood_broadcast_lease(subscribed(2, true), &message, 0), -ENOTSUP);
}
END_TEST

/* ---- everybody sees everything ---- */

static int see_all(void *arg)
{
	struct scene *scene = arg;

	must(brood_broadcast_subscribe(scene->broadcast) == 0);
	atomic_fetch_add(&scene->ready, 1);
	for (int64_t i = 0; i < MANY; i++)
		must(get(scene->broadcast, BROOD_FOREVER) == i);
	must(get(scene->broadcast, BROOD_FOREVER) == -EPIPE);
	must(brood_broadcast_lost(scene->broadcast) == 0);
	return 0;
}

static const uint32_t capacities[] = { 1, 2, 3, 16, 1000 };

START_TEST(test_every_subscriber_sees_every_message)
{
	struct scene *scene = scene_of(make(capacities[_i], false));
	pid_t children[4];

	for (int i = 0; i < 4; i++)
		children[i] = start(see_all, scene);
	until_ready(scene, 4);
	ck_assert_int_eq(brood_broadcast_subscribers(scene->broadcast), 4);
	for (int64_t i = 0; i < MANY; i++)
		ck_assert_int_eq(put(scene->broadcast, i, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_broadcast_close(scene->broadcast), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(end_of(children[i]), 0);
	ck_assert_int_eq(brood_broadcast_destroy(scene->broadcast), 0);
}
END_TEST

/* Come and go while messages run: from the subscription on nothing may be missing. */
static int come_and_go(void *arg)
{
	struct scene *scene = arg;

	atomic_fetch_add(&scene->ready, 1);
	for (;;) {
		int64_t first, next;

		must(brood_broadcast_subscribe(scene->broadcast) == 0);
		first = get(scene->broadcast, BROOD_FOREVER);
		if (first == -EPIPE)
			return 0;
		must(first >= 0);
		for (int64_t i = 1; i < 20; i++) {
			next = get(scene->broadcast, BROOD_FOREVER);
			if (next == -EPIPE)
				return 0;
			must(next == first + i);
		}
		must(brood_broadcast_unsubscribe(scene->broadcast) == 0);
	}
}

START_TEST(test_subscribers_come_and_go)
{
	struct scene *scene = scene_of(make((uint32_t)_i, false));
	pid_t children[2];

	for (int i = 0; i < 2; i++)
		children[i] = start(come_and_go, scene);
	until_ready(scene, 2);
	for (int64_t i = 0; i < 20 * MANY; i++)
		ck_assert_int_eq(put(scene->broadcast, i, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_broadcast_close(scene->broadcast), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(children[i]), 0);
}
END_TEST

/* ---- a slow subscriber holds the producer back ---- */

START_TEST(test_full_and_timeouts)
{
	struct brood_broadcast *broadcast = subscribed(3, false);
	int64_t began;

	ck_assert_int_eq(brood_broadcast_capacity(broadcast), 3);
	for (int64_t i = 0; i < 3; i++)
		ck_assert_int_eq(put(broadcast, i, 0), 0);
	ck_assert_int_eq(put(broadcast, 3, 0), -EAGAIN);
	began = brood_now();
	ck_assert_int_eq(put(broadcast, 3, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 20 * MS);
	for (int64_t i = 0; i < 3; i++)
		ck_assert_int_eq(get(broadcast, 0), i);
	ck_assert_int_eq(get(broadcast, 0), -EAGAIN);
	began = brood_now();
	ck_assert_int_eq(get(broadcast, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 20 * MS);
	for (int64_t i = 0; i < 100; i++) {
		ck_assert_int_eq(put(broadcast, i, 0), 0);
		ck_assert_int_eq(get(broadcast, 0), i);
	}
}
END_TEST

/* Subscribes, and at a word does something that makes room; then lives on until it is killed. */
enum { MAKES_ROOM_BY_GET, BY_RELEASE, BY_UNSUBSCRIBING, BY_ENDING, BY_DEATH, WAYS };

static int slow(void *arg)
{
	struct scene *scene = arg;
	struct brood_message message;

	must(brood_broadcast_subscribe(scene->broadcast) == 0);
	atomic_store(&scene->ready, 1);
	while (!atomic_load(&scene->go))
		sched_yield();
	if (scene->number == MAKES_ROOM_BY_GET)
		must(get(scene->broadcast, 0) == 0);
	if (scene->number == BY_RELEASE)
		must(brood_broadcast_lease(scene->broadcast, &message, 0) == 0 &&
		     brood_broadcast_release(scene->broadcast, &message) == 0);
	if (scene->number == BY_UNSUBSCRIBING)
		must(brood_broadcast_unsubscribe(scene->broadcast) == 0);
	if (scene->number == BY_ENDING)
		exit(0);
	while (scene->number == BY_DEATH)
		pause();
	return 0;
}

static void *put_two(void *arg)
{
	struct scene *scene = arg;
	int64_t began = brood_now();

	if (put(scene->broadcast, 0, BROOD_FOREVER))
		return NULL;
	atomic_store(&scene->ready, (unsigned int)gettid());
	if (put(scene->broadcast, 1, BROOD_FOREVER))
		return NULL;
	(void)began;
	return scene;
}

START_TEST(test_room_wakes_the_producer)
{
	struct scene *scene = scene_of(make(1, false));
	pthread_t thread;
	int64_t began;
	void *result;
	pid_t child;

	scene->number = _i;
	child = start(slow, scene);
	until_ready(scene, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, put_two, scene), 0);
	until_ready(scene, 2);
	ck_assert(until_asleep((pid_t)atomic_load(&scene->ready)));
	began = brood_now();
	atomic_store(&scene->go, 1);
	if (_i == BY_DEATH)
		kill_child(child);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_ptr_eq(result, scene);
	if (_i == BY_DEATH)	/* not by the look at 100 ms: a busy machine may be late */
		ck_assert_int_lt(brood_now() - began, 90 * MS);
	else
		ck_assert_int_eq(end_of(child), 0);
}
END_TEST

static int sleep_in_get(void *arg)
{
	struct scene *scene = arg;

	must(brood_broadcast_subscribe(scene->broadcast) == 0);
	atomic_fetch_add(&scene->ready, 1);
	must(get(scene->broadcast, BROOD_FOREVER) == scene->number);
	return 0;
}

START_TEST(test_all_sleepers_wake)
{
	struct scene *scene = scene_of(make(4, _i % 2));
	pid_t children[4];

	scene->number = _i < 2 ? 5 : _i < 4 ? -EPIPE : -ESTALE;
	for (int i = 0; i < 4; i++)
		children[i] = start(sleep_in_get, scene);
	until_ready(scene, 4);
	for (int i = 0; i < 4; i++)
		ck_assert(until_asleep(children[i]));
	if (_i < 2)
		ck_assert_int_eq(put(scene->broadcast, 5, 0), 0);
	else if (_i < 4)
		ck_assert_int_eq(brood_broadcast_close(scene->broadcast), 0);
	else
		ck_assert_int_eq(brood_broadcast_destroy(scene->broadcast), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(end_of(children[i]), 0);
}
END_TEST

/* ---- lossy ---- */

START_TEST(test_lossy_tells_how_many)
{
	struct brood_broadcast *broadcast = subscribed(3, true);
	int64_t number;
	uint64_t lost = 77;

	for (int64_t i = 0; i < 10; i++)
		ck_assert_int_eq(put(broadcast, i, 0), 0);
	ck_assert_int_eq(brood_broadcast_count(broadcast), 3);
	ck_assert_int_eq(brood_broadcast_get_lost(broadcast, &number, 7, &lost, 0), -EMSGSIZE);
	ck_assert_uint_eq(lost, 77);
	ck_assert_int_eq(brood_broadcast_get_lost(broadcast, &number, 8, &lost, 0), 8);
	ck_assert_int_eq(number, 7);
	ck_assert_uint_eq(lost, 7);
	ck_assert_int_eq(brood_broadcast_lost(broadcast), 7);
	ck_assert_int_eq(brood_broadcast_get_lost(broadcast, &number, 8, &lost, 0), 8);
	ck_assert_int_eq(number, 8);
	ck_assert_uint_eq(lost, 0);
	ck_assert_int_eq(get(broadcast, 0), 9);
	ck_assert_int_eq(get(broadcast, 0), -EAGAIN);
	for (int64_t i = 10; i < 14; i++)	/* one is overwritten only when its slot is needed */
		ck_assert_int_eq(put(broadcast, i, 0), 0);
	ck_assert_int_eq(get(broadcast, 0), 10);
	ck_assert_int_eq(brood_broadcast_lost(broadcast), 7);
}
END_TEST

enum { WORDS = 5 };

static int flood(void *arg)
{
	struct scene *scene = arg;
	uint64_t words[WORDS];

	while (!atomic_load(&scene->ready))
		sched_yield();
	for (int64_t i = 0; i < scene->number; i++) {
		size_t n = 1 + (size_t)i % WORDS;

		for (size_t k = 0; k < n; k++)
			words[k] = (uint64_t)i * 0x9e3779b97f4a7c15u + k;
		must(brood_broadcast_put(scene->broadcast, words, n * 8, 0) == 0);
	}
	must(brood_broadcast_close(scene->broadcast) == 0);
	return 0;
}

START_TEST(test_lossy_never_tears)
{
	struct scene *scene = scene_of(subscribed((uint32_t)_i, true));
	uint64_t words[WORDS], lost, next = 0, got = 0;
	ssize_t length;
	pid_t child;

	scene->number = 1000000;
	child = start(flood, scene);
	atomic_store(&scene->ready, 1);
	while ((length = brood_broadcast_get_lost(scene->broadcast, words, sizeof(words), &lost,
						  BROOD_FOREVER)) >= 0) {
		next += lost;
		ck_assert_int_eq(length, 8 * (1 + (ssize_t)(next % WORDS)));
		for (size_t k = 0; k < (size_t)length / 8; k++)
			ck_assert_uint_eq(words[k], next * 0x9e3779b97f4a7c15u + k);
		next++;
		got++;
	}
	ck_assert_int_eq(length, -EPIPE);
	ck_assert_uint_eq(next, 1000000);
	ck_assert_int_eq(brood_broadcast_lost(scene->broadcast), (int64_t)(1000000 - got));
	ck_assert_int_eq(end_of(child), 0);
}
END_TEST

/* ---- the producer ---- */

static int put_as_second(void *broadcast)
{
	must(put(broadcast, 1, BROOD_FOREVER) == -EBUSY);
	must(brood_broadcast_close(broadcast) == -EBUSY);
	must(brood_broadcast_producer_end(broadcast) == -EBUSY);
	return 0;
}

static int put_as_successor(void *broadcast)
{
	must(put(broadcast, 1, 0) == 0);
	return 0;
}

START_TEST(test_one_producer)
{
	struct brood_broadcast *broadcast = subscribed(4, false);

	ck_assert_int_eq(put(broadcast, 0, 0), 0);
	ck_assert_int_eq(run(put_as_second, broadcast), 0);
	ck_assert_int_eq(brood_broadcast_producer_end(broadcast), 0);
	ck_assert_int_eq(brood_broadcast_producer_end(broadcast), -EBUSY);
	ck_assert_int_eq(run(put_as_successor, broadcast), 0);
	ck_assert_int_eq(put(broadcast, 2, 0), 0);	/* that one has ended */
	for (int64_t i = 0; i < 3; i++)
		ck_assert_int_eq(get(broadcast, 0), i);
	ck_assert_int_eq(get(broadcast, 0), -EAGAIN);
}
END_TEST

/* Puts numbers in order until it is killed, and tells after each. */
static int put_until_killed(void *arg)
{
	struct scene *scene = arg;

	for (;; scene->number++) {
		must(put(scene->broadcast, scene->number, BROOD_FOREVER) == 0);
		atomic_fetch_add(&scene->ready, 1);
	}
}

START_TEST(test_successors_lose_nothing)
{
	struct scene *scene = scene_of(subscribed(4, _i));
	int64_t next = 0;

	for (unsigned int round = 0; round < 60; round++) {
		unsigned int before = atomic_load(&scene->ready);
		pid_t child = start(put_until_killed, scene);
		int64_t number;

		while (atomic_load(&scene->ready) < before + (_i ? 3 : 20 * round)) {
			number = get(scene->broadcast, brood_ms(1));
			if (number == -ETIMEDOUT)
				continue;
			if (_i) {
				ck_assert_int_ge(number, next);
				next = number + 1;
			} else {
				ck_assert_int_eq(number, next++);
			}
		}
		kill_child(child);
		while ((number = get(scene->broadcast, 0)) >= 0) {
			if (!_i)
				ck_assert_int_eq(number, next);
			next = number + 1;
		}
		ck_assert_int_eq(number, -EAGAIN);
		ck_assert_int_ge(next, scene->number);	/* what was told is in; at most one more */
		ck_assert_int_le(next, scene->number + 1);
		scene->number = next;
	}
}
END_TEST

START_TEST(test_close)
{
	struct brood_broadcast *broadcast = subscribed(4, _i);

	ck_assert_int_eq(brood_broadcast_closed(broadcast), 0);
	ck_assert_int_eq(put(broadcast, 0, 0), 0);
	ck_assert_int_eq(put(broadcast, 1, 0), 0);
	ck_assert_int_eq(brood_broadcast_close(broadcast), 0);
	ck_assert_int_eq(brood_broadcast_close(broadcast), 0);
	ck_assert_int_eq(brood_broadcast_closed(broadcast), 1);
	ck_assert_int_eq(put(broadcast, 2, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(get(broadcast, 0), 0);
	ck_assert_int_eq(get(broadcast, BROOD_FOREVER), 1);
	ck_assert_int_eq(get(broadcast, 0), -EPIPE);
	ck_assert_int_eq(get(broadcast, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_broadcast_unsubscribe(broadcast), 0);
	ck_assert_int_eq(brood_broadcast_subscribe(broadcast), 0);
	ck_assert_int_eq(get(broadcast, 0), -EPIPE);
}
END_TEST

/* ---- deaths of subscribers ---- */

static int get_until_killed(void *arg)
{
	struct scene *scene = arg;
	int64_t last, number;

	must(brood_broadcast_subscribe(scene->broadcast) == 0);
	atomic_fetch_add(&scene->ready, 1);
	for (last = get(scene->broadcast, BROOD_FOREVER);; last = number) {
		number = get(scene->broadcast, BROOD_FOREVER);
		must(number == last + 1);
	}
}

/* Some die at any moment; who lives sees all, and the producer goes on. */
START_TEST(test_dead_subscribers_hold_up_nobody)
{
	struct scene *scene = scene_of(make(8, false));
	pid_t watcher = start(see_all, scene), child = 0;
	int64_t next_kill = 0;

	until_ready(scene, 1);
	for (int64_t i = 0; i < MANY; i++) {
		if (i >= next_kill) {
			if (child)
				kill_child(child);
			child = start(get_until_killed, scene);
			next_kill = i + 1 + i % 97;
		}
		ck_assert_int_eq(put(scene->broadcast, i, BROOD_FOREVER), 0);
	}
	kill_child(child);
	ck_assert_int_eq(brood_broadcast_close(scene->broadcast), 0);
	ck_assert_int_eq(end_of(watcher), 0);
	ck_assert_int_eq(brood_broadcast_subscribers(scene->broadcast), 0);
}
END_TEST

/* ---- errors, names ---- */

START_TEST(test_options)
{
	const struct brood_broadcast_opts good = { .slots = 3, .max_bytes = 5 };
	const struct brood_broadcast_opts wrong[] = {
		{ .slots = 0, .max_bytes = 5 },
		{ .slots = 3, .max_bytes = 0 },
		{ .slots = BROOD_QUEUE_SLOTS_MAX + 1, .max_bytes = 5 },
		{ .slots = 3, .max_bytes = (1u << 30) + 1 },
		{ .opts_size = 4, .slots = 3, .max_bytes = 5 },
	};
	struct brood_broadcast_opts named = good;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		errno = 0;
		ck_assert_ptr_null(brood_broadcast_create(&wrong[i]));
		ck_assert_int_eq(errno, EINVAL);
	}
	ck_assert_ptr_null(brood_broadcast_create(NULL));
	ck_assert_int_eq(errno, EINVAL);
	named.name = "news";
	ck_assert_ptr_nonnull(brood_broadcast_create(&named));
	ck_assert_ptr_null(brood_broadcast_create(&named));
	ck_assert_int_eq(errno, EEXIST);
	ck_assert_ptr_nonnull(brood_broadcast_open(NULL, "news"));
	ck_assert_ptr_null(brood_broadcast_open(NULL, "olds"));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_null(brood_broadcast_open(NULL, ""));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(test_errors)
{
	struct brood_broadcast *broadcast = subscribed(4, _i);
	char bytes[50] = "";

	ck_assert_int_eq(brood_broadcast_put(broadcast, bytes, 41, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_broadcast_put(broadcast, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_broadcast_put_many(broadcast, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_broadcast_get(broadcast, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_broadcast_get_many(broadcast, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_broadcast_lease(broadcast, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_broadcast_count(broadcast), 0);
	ck_assert_int_eq(brood_broadcast_put(broadcast, bytes, 40, 0), 0);
	ck_assert_int_eq(brood_broadcast_get(broadcast, bytes, 39, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_broadcast_get(broadcast, bytes, 50, 0), 40);
	ck_assert_int_eq(brood_broadcast_put(NULL, bytes, 1, 0), -EINVAL);
	ck_assert_int_eq(put((void *)bytes, 1, 0), -EBADF);
	ck_assert_int_eq(brood_broadcast_destroy(broadcast), 0);
	ck_assert_int_eq(brood_broadcast_destroy(broadcast), -ESTALE);
	ck_assert_int_eq(put(broadcast, 1, 0), -ESTALE);
	ck_assert_int_eq(get(broadcast, 0), -ESTALE);
	ck_assert_int_eq(brood_broadcast_subscribe(broadcast), -ESTALE);
}
END_TEST

/* ---- a hostile peer ---- */

enum { SCRIBBLES = 4000 };

static void use(struct brood_broadcast *broadcast)
{
	int64_t numbers[8];
	struct brood_message message, messages[8];

	for (int i = 0; i < 8; i++)
		messages[i] = (struct brood_message){ .data = &numbers[i], .size = 8, .length = 8 };
	brood_broadcast_subscribe(broadcast);
	put(broadcast, 1, 0);
	brood_broadcast_put_many(broadcast, messages, 8, 0);
	get(broadcast, 0);
	get(broadcast, brood_us(1));
	put(broadcast, 1, brood_us(1));
	brood_broadcast_get_many(broadcast, messages, 8, 0);
	if (brood_broadcast_lease(broadcast, &message, 0) == 0)
		brood_broadcast_release(broadcast, &message);
	brood_broadcast_count(broadcast);
	brood_broadcast_subscribers(broadcast);
	brood_broadcast_lost(broadcast);
	brood_broadcast_unsubscribe(broadcast);
	brood_broadcast_producer_end(broadcast);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Words of the object are overwritten at random; whatever the calls say, they return. */
static int scribble(void *arg)
{
	static const uint64_t values[] = { 0, 1, 3, 7, 64, 4096, UINT32_MAX, INT64_MAX, UINT64_MAX };
	struct brood_broadcast *broadcast = arg;
	size_t words = 2048 / 8;
	uint64_t state = 88172645463325252u, *object = arg, whole[2048 / 8];

	use(broadcast);
	memcpy(whole, object, sizeof(whole));
	for (int i = 0; i < SCRIBBLES; i++) {
		for (uint64_t n = next_random(&state) % 4; n < 4; n++) {
			size_t at = 8 + next_random(&state) % (words - 8);	/* behind the name */
			uint64_t which = next_random(&state) % 10;

			object[at] = which < 9 ? values[which] : next_random(&state);
		}
		use(broadcast);
		memcpy(object + 8, whole + 8, sizeof(whole) - 64);
	}
	put(broadcast, 1, 0);
	brood_broadcast_subscribe(broadcast);
	must(put(broadcast, 7, 0) == 0 && get(broadcast, 0) == 7);
	return 0;
}

START_TEST(test_scribbled_words)
{
	struct brood_segment_opts opts = { .bytes = 1 << 20, .members = 8 };
	struct brood_segment *segment = brood_segment_create(own_name("scribble"), &opts);
	struct brood_broadcast_opts shape = {
		.slots = 8, .max_bytes = 40, .lossy = _i, .segment = segment, .name = "b",
	};

	ck_assert_ptr_nonnull(segment);
	ck_assert_ptr_nonnull(brood_broadcast_create(&shape));
	ck_assert_int_eq(run(scribble, brood_broadcast_open(segment, "b")), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("scribble")), 0);
}
END_TEST

/* What open does not believe. */
START_TEST(test_unsound)
{
	struct brood_broadcast_opts shape = { .slots = 8, .max_bytes = 40, .name = "b" };
	uint64_t *object = (void *)brood_broadcast_create(&shape);

	ck_assert_ptr_nonnull(object);
	for (size_t word = 8; word < 12; word++) {	/* the line that the creator writes */
		uint64_t was = object[word];

		object[word] = was + ((uint64_t)1 << (17 + 8 * (word % 3)));
		ck_assert_ptr_null(brood_broadcast_open(NULL, "b"));
		ck_assert_int_eq(errno, EPROTO);
		object[word] = was;
	}
	ck_assert_ptr_eq(brood_broadcast_open(NULL, "b"), (void *)object);
}
END_TEST

int main(void)
{
	TCase *messages = new_case("messages", begin_test);
	TCase *slow_ones = new_case("slow", begin_test);
	TCase *ends = new_case("ends", begin_test);
	TCase *errors = new_case("errors", begin_test);

	tcase_add_loop_test(messages, test_lengths_are_kept, 0, 2);
	tcase_add_loop_test(messages, test_from_the_subscription_on, 0, 2);
	tcase_add_test(messages, test_a_forked_child_is_not_subscribed);
	tcase_add_loop_test(messages, test_batches, 0, 2);
	tcase_add_test(messages, test_in_place);
	tcase_add_loop_test(messages, test_every_subscriber_sees_every_message, 0,
			    (int)(sizeof(capacities) / sizeof(capacities[0])));
	tcase_add_loop_test(messages, test_subscribers_come_and_go, 1, 5);
	tcase_add_test(slow_ones, test_full_and_timeouts);
	tcase_add_loop_test(slow_ones, test_room_wakes_the_producer, 0, WAYS);
	tcase_add_loop_test(slow_ones, test_all_sleepers_wake, 0, 6);
	tcase_add_test(slow_ones, test_lossy_tells_how_many);
	tcase_add_loop_test(slow_ones, test_lossy_never_tears, 1, 9);
	tcase_add_test(ends, test_one_producer);
	tcase_add_loop_test(ends, test_successors_lose_nothing, 0, 2);
	tcase_add_loop_test(ends, test_close, 0, 2);
	tcase_add_test(ends, test_dead_subscribers_hold_up_nobody);
	tcase_add_test(errors, test_options);
	tcase_add_loop_test(errors, test_errors, 0, 2);
	tcase_add_loop_test(errors, test_scribbled_words, 0, 2);
	tcase_add_test(errors, test_unsound);
	return run_cases("broadcast", messages, slow_ones, ends, errors, NULL);
}
