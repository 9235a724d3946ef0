/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* put_many and get_many; closing; many producers and consumers at once. */
#include <pthread.h>

#include "support.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

enum { MOST = 64 };

static int64_t numbers[MOST];
static struct brood_message messages[MOST];

/* Messages 0 to n - 1 hold the numbers from `first` on. */
static struct brood_message *filled(size_t n, int64_t first)
{
	for (size_t i = 0; i < n; i++) {
		numbers[i] = first + (int64_t)i;
		messages[i] = (struct brood_message){
			.data = &numbers[i],
			.size = sizeof(numbers[i]),
			.length = sizeof(numbers[i]),
		};
	}
	return messages;
}

static void are(size_t n, int64_t first)
{
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(messages[i].length, sizeof(int64_t));
		ck_assert_uint_eq(messages[i].flags, 0);
		ck_assert_int_eq(numbers[i], first + (int64_t)i);
	}
}

START_TEST(as_many_as_fit)
{
	struct brood_queue *queue = new_queue(10, 8);

	ck_assert_int_eq(brood_queue_put_many(queue, filled(7, 0), 7, 0), 7);
	ck_assert_int_eq(brood_queue_put_many(queue, filled(7, 7), 7, 0), 3);
	ck_assert_int_eq(brood_queue_put_many(queue, filled(7, 70), 7, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_put_many(queue, filled(7, 70), 7, brood_ms(5)), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_count(queue), 10);
	ck_assert_int_eq(brood_queue_get_many(queue, filled(4, -9), 4, 0), 4);
	are(4, 0);
	ck_assert_int_eq(brood_queue_put_many(queue, filled(7, 10), 7, brood_ms(5)), 4);
	ck_assert_int_eq(brood_queue_get_many(queue, filled(MOST, -9), MOST, 0), 10);
	are(10, 4);
	ck_assert_int_eq(numbers[10], 1);	/* untouched */
	ck_assert_int_eq(brood_queue_get_many(queue, messages, MOST, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_get_many(queue, messages, MOST, brood_ms(5)), -ETIMEDOUT);
}
END_TEST

START_TEST(laps_of_many)
{
	struct brood_queue *queue = new_queue(5, 8);
	int64_t in = 0, out = 0;

	srand(2);
	while (out < 20000) {
		size_t n = (size_t)rand() % 8 + 1;
		ssize_t done = brood_queue_put_many(queue, filled(n, in), n, 0);

		ck_assert_int_eq(done, in - out == 5 ? -EAGAIN :
				       (ssize_t)n < 5 - (in - out) ? (ssize_t)n : 5 - (in - out));
		in += done > 0 ? done : 0;
		n = (size_t)rand() % 8 + 1;
		done = brood_queue_get_many(queue, filled(n, -9), n, 0);
		ck_assert_int_eq(done, (ssize_t)n < in - out ? (ssize_t)n : in - out);
		are((size_t)done, out);
		out += done;
	}
}
END_TEST

/* Rings whose capacity is, and is not, a power of two; batches shorter and longer than the ring. */
static const uint32_t capacities[] = { 1, 2, 3, 8, 13, 64, 100 };


START_TEST(batches_and_single_calls_mix)
{
	const uint32_t capacity = capacities[_i];
	struct brood_queue *queue = new_queue(capacity, 8);
	int64_t in = 0, out = 0, number;

	srand(3);
	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)rand() % MOST + 1;
		size_t fits = n < capacity - (size_t)(in - out) ? n : capacity - (size_t)(in - out);
		size_t there;

		if (rand() % 3 == 0) {
			ck_assert_int_eq(brood_queue_put(queue, &in, 8, 0), fits ? 0 : -EAGAIN);
			in += fits != 0;
		} else {
			ck_assert_int_eq(brood_queue_put_many(queue, filled(n, in), n, 0),
					 fits ? (ssize_t)fits : -EAGAIN);
			in += (int64_t)fits;
		}
		ck_assert_int_eq(brood_queue_count(queue), in - out);
		n = (size_t)rand() % MOST + 1;
		there = n < (size_t)(in - out) ? n : (size_t)(in - out);
		if (rand() % 3 == 0) {
			ck_assert_int_eq(brood_queue_get(queue, &number, 8, 0), there ? 8 : -EAGAIN);
			ck_assert(!there || number == out);
			out += there != 0;
		} else {
			ck_assert_int_eq(brood_queue_get_many(queue, filled(n, -9), n, 0),
					 there ? (ssize_t)there : -EAGAIN);
			are(there, out);
			out += (int64_t)there;
		}
	}
}
END_TEST

/* What batches keep for the next one is used by all calls, so a member runs out of nothing. */
START_TEST(batches_lose_no_buffer)
{
	struct brood_queue_opts opts = { .slots = 8, .max_bytes = 8, .extra = 32 };
	struct brood_queue *queue = brood_queue_create(&opts);
	struct brood_message reserved[33];

	for (int64_t i = 0; i < 1000; i++) {
		ck_assert_int_eq(brood_queue_put_many(queue, filled(8, i), 8, 0), 8);
		ck_assert_int_eq(brood_queue_get_many(queue, filled(8, -9), 8, 0), 8);
	}
	for (size_t i = 0; i < 33; i++)		/* its own one and all the extra ones */
		ck_assert_int_eq(brood_queue_reserve(queue, &reserved[i]), 0);
	ck_assert_int_eq(brood_queue_reserve(queue, reserved), -ENOBUFS);
	for (size_t i = 0; i < 33; i++)
		ck_assert_int_eq(brood_queue_abort(queue, &reserved[i]), 0);
	ck_assert_int_eq(brood_queue_destroy(queue), 0);
}
END_TEST

START_TEST(lengths_are_checked_first)
{
	struct brood_queue *queue = new_queue(10, 8);

	filled(3, 0)[2].length = 9;
	ck_assert_int_eq(brood_queue_put_many(queue, messages, 3, 0), -EMSGSIZE);
	filled(3, 0)[2].data = NULL;
	ck_assert_int_eq(brood_queue_put_many(queue, messages, 3, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_count(queue), 0);
	messages[2].length = 0;
	ck_assert_int_eq(brood_queue_put_many(queue, messages, 3, 0), 3);
	ck_assert_int_eq(brood_queue_put_many(queue, messages, 0, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_put_many(queue, NULL, 3, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_get_many(queue, messages, 0, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_get_many(queue, NULL, 3, 0), -EINVAL);
	/* messages[2].data is still NULL. */
	ck_assert_int_eq(brood_queue_get_many(queue, messages, 3, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_count(queue), 3);
}
END_TEST

START_TEST(one_that_does_not_fit_ends_get_many)
{
	struct brood_queue *queue = new_queue(10, 8);

	ck_assert_int_eq(brood_queue_put_many(queue, filled(5, 0), 5, 0), 5);
	filled(5, -9)[2].size = 7;
	ck_assert_int_eq(brood_queue_get_many(queue, messages, 5, 0), 2);
	are(2, 0);
	filled(5, -9)[0].size = 7;
	ck_assert_int_eq(brood_queue_get_many(queue, messages, 5, BROOD_FOREVER), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_count(queue), 3);
	ck_assert_int_eq(brood_queue_get_many(queue, filled(5, -9), 5, 0), 3);
	are(3, 2);
}
END_TEST

static int get_all(void *queue)
{
	for (int64_t next = 0; ; next++) {
		int64_t got = get_number(queue, BROOD_FOREVER);

		if (got == -EPIPE)
			return 0;
		must(got == next);
	}
}

START_TEST(put_many_waits_for_room)
{
	struct brood_queue *queue = new_queue(3, 8);
	pid_t child = start(get_all, queue);
	const int64_t timeouts[] = { BROOD_FOREVER, brood_ms(60000), brood_ms(INT64_MAX) };

	for (int64_t i = 0; i < 300; i++)
		ck_assert_int_eq(brood_queue_put_many(queue, filled(MOST, i * MOST), MOST,
						      timeouts[i % 3]), MOST);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(end_of(child), 0);
}
END_TEST

static int put_many_until_closed(void *queue)
{
	must(brood_queue_put_many(queue, filled(5, 0), 5, BROOD_FOREVER) == 3);
	must(brood_queue_put_many(queue, filled(5, 0), 5, BROOD_FOREVER) == -EPIPE);
	return 0;
}

START_TEST(close_cuts_put_many_short)
{
	struct brood_queue *queue = new_queue(3, 8);
	pid_t child = start(put_many_until_closed, queue);

	ck_assert(until_asleep(child));
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(end_of(child), 0);
	ck_assert_int_eq(brood_queue_get_many(queue, filled(5, -9), 5, BROOD_FOREVER), 3);
	are(3, 0);
	ck_assert_int_eq(brood_queue_get_many(queue, messages, 5, BROOD_FOREVER), -EPIPE);
}
END_TEST

/* ---- close ---- */

/* Loop: how many of 5 places (ring of 8) are taken, after some laps. */
START_TEST(a_closed_queue_drains)
{
	struct brood_queue *queue = new_queue(5, 8);

	for (int64_t i = 0; i < 11; i++) {
		ck_assert_int_eq(put_number(queue, i, 0), 0);
		ck_assert_int_eq(get_number(queue, 0), i);
	}
	for (int64_t i = 0; i < _i; i++)
		ck_assert_int_eq(put_number(queue, i, 0), 0);
	ck_assert_int_eq(brood_queue_closed(queue), 0);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(brood_queue_closed(queue), 1);
	ck_assert_int_eq(put_number(queue, 0, 0), -EPIPE);
	ck_assert_int_eq(brood_queue_put_many(queue, filled(2, 0), 2, BROOD_FOREVER), -EPIPE);
	for (int64_t i = 0; i < _i; i++) {
		ck_assert_int_eq(brood_queue_count(queue), _i - i);
		ck_assert_int_eq(get_number(queue, 0), i);
		ck_assert_int_eq(brood_queue_closed(queue), 1);
		ck_assert_int_eq(put_number(queue, 0, 0), -EPIPE);
	}
	ck_assert_int_eq(get_number(queue, 0), -EPIPE);
	ck_assert_int_eq(get_number(queue, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_empty(queue), 1);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(brood_queue_destroy(queue), 0);
}
END_TEST

/* ---- many at once ---- */

enum { TEAM = 4, EACH = 10000 };

struct team {
	struct brood_queue *queue;
	atomic_long sum, count;
	atomic_int producer;
};

static int produce(void *arg)
{
	struct team *team = arg;
	int64_t me = atomic_fetch_add(&team->producer, 1);

	for (int64_t i = 0; i < EACH; i++)
		must(put_number(team->queue, me * EACH + i, BROOD_FOREVER) == 0);
	return 0;
}

/* What one consumer sees of one producer is in order. */
static int consume(void *arg)
{
	struct team *team = arg;
	int64_t last[TEAM] = { -1, -1, -1, -1 }, got;

	while ((got = get_number(team->queue, BROOD_FOREVER)) >= 0) {
		must(got / EACH < TEAM && got > last[got / EACH]);
		last[got / EACH] = got;
		atomic_fetch_add(&team->sum, got);
		atomic_fetch_add(&team->count, 1);
	}
	return got == -EPIPE ? 0 : 1;
}

static void nothing_lost(const struct team *team)
{
	long all = TEAM * EACH;

	ck_assert_int_eq(atomic_load(&team->count), all);
	ck_assert_int_eq(atomic_load(&team->sum), all * (all - 1) / 2);
}

static const uint32_t slots[] = { 1, 3, 8, 1000 };

START_TEST(processes_share_a_queue)
{
	struct team *team = shared(sizeof(*team));
	pid_t producers[TEAM], consumers[TEAM];

	team->queue = new_queue(slots[_i], 8);
	for (int i = 0; i < TEAM; i++) {
		consumers[i] = start(consume, team);
		producers[i] = start(produce, team);
	}
	for (int i = 0; i < TEAM; i++)
		ck_assert_int_eq(end_of(producers[i]), 0);
	ck_assert_int_eq(brood_queue_close(team->queue), 0);
	for (int i = 0; i < TEAM; i++)
		ck_assert_int_eq(end_of(consumers[i]), 0);
	nothing_lost(team);
}
END_TEST

static void *produce_in_thread(void *team)
{
	return (void *)(intptr_t)produce(team);
}

static void *consume_in_thread(void *team)
{
	return (void *)(intptr_t)consume(team);
}

static void join_all(pthread_t *threads)
{
	for (int i = 0; i < TEAM; i++) {
		void *result;

		ck_assert_int_eq(pthread_join(threads[i], &result), 0);
		ck_assert_ptr_null(result);
	}
}

START_TEST(threads_share_a_queue)
{
	struct team team = { .queue = new_queue(slots[_i], 8) };
	pthread_t producers[TEAM], consumers[TEAM];

	for (int i = 0; i < TEAM; i++) {
		ck_assert_int_eq(pthread_create(&consumers[i], NULL, consume_in_thread, &team), 0);
		ck_assert_int_eq(pthread_create(&producers[i], NULL, produce_in_thread, &team), 0);
	}
	join_all(producers);
	ck_assert_int_eq(brood_queue_close(team.queue), 0);
	join_all(consumers);
	nothing_lost(&team);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("many", begin_test);

	tcase_add_test(tests, as_many_as_fit);
	tcase_add_test(tests, laps_of_many);
	tcase_add_loop_test(tests, batches_and_single_calls_mix, 0, COUNT(capacities));
	tcase_add_test(tests, batches_lose_no_buffer);
	tcase_add_test(tests, lengths_are_checked_first);
	tcase_add_test(tests, one_that_does_not_fit_ends_get_many);
	tcase_add_test(tests, put_many_waits_for_room);
	tcase_add_test(tests, close_cuts_put_many_short);
	tcase_add_loop_test(tests, a_closed_queue_drains, 0, 6);
	tcase_add_loop_test(tests, processes_share_a_queue, 0, 4);
	tcase_add_loop_test(tests, threads_share_a_queue, 0, 4);
	return run_cases("queue many", tests, NULL);
}
