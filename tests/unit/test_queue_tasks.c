/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* task_done and join; producers that begin and end. Deaths are in test_queue_death.c. */
#include <pthread.h>

#include "support.h"

static struct brood_queue *joinable(uint32_t slots)
{
	struct brood_queue_opts opts = { .slots = slots, .max_bytes = 8, .joinable = true };
	struct brood_queue *queue = brood_queue_create(&opts);

	ck_assert_ptr_nonnull(queue);
	return queue;
}

START_TEST(join_waits_for_every_task)
{
	struct brood_queue *queue = joinable(4);

	ck_assert_int_eq(brood_queue_join(queue, BROOD_FOREVER), 0);
	for (int64_t round = 0; round < 5; round++) {
		for (int64_t i = 0; i < 4; i++)
			ck_assert_int_eq(put_number(queue, i, 0), 0);
		for (int64_t i = 0; i < 4; i++) {
			ck_assert_int_eq(brood_queue_join(queue, 0), -EAGAIN);
			ck_assert_int_eq(get_number(queue, 0), i);
			ck_assert_int_eq(brood_queue_join(queue, brood_ms(1)), -ETIMEDOUT);
			ck_assert_int_eq(brood_queue_task_done(queue), 0);
		}
		ck_assert_int_eq(brood_queue_join(queue, 0), 0);
		ck_assert_int_eq(brood_queue_task_done(queue), -EINVAL);
		ck_assert_int_eq(brood_queue_join(queue, BROOD_FOREVER), 0);
	}
}
END_TEST

START_TEST(done_too_often)
{
	struct brood_queue *queue = joinable(4);
	struct brood_message message;

	ck_assert_int_eq(brood_queue_task_done(queue), -EINVAL);
	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	ck_assert_int_eq(brood_queue_task_done(queue), 0);	/* Python's does not ask who */
	ck_assert_int_eq(brood_queue_task_done(queue), -EINVAL);
	ck_assert_int_eq(brood_queue_join(queue, 0), 0);
	ck_assert_int_eq(brood_queue_lease(queue, &message, 0), 0);
	ck_assert_int_eq(brood_queue_release_done(queue, &message), -EINVAL);
	ck_assert_int_eq(brood_queue_release(queue, &message), 0);
	ck_assert_int_eq(put_number(queue, 2, 0), 0);
	ck_assert_int_eq(brood_queue_join(queue, 0), -EAGAIN);
	ck_assert_int_eq(get_number(queue, 0), 2);
	ck_assert_int_eq(brood_queue_task_done(queue), 0);
	ck_assert_int_eq(brood_queue_join(queue, 0), 0);
}
END_TEST

START_TEST(done_by_release)
{
	struct brood_queue *queue = joinable(4);
	struct brood_message messages[3];

	for (int64_t i = 0; i < 3; i++) {
		ck_assert_int_eq(put_number(queue, i, 0), 0);
		ck_assert_int_eq(brood_queue_lease(queue, &messages[i], 0), 0);
	}
	ck_assert_int_eq(brood_queue_release_done(queue, &messages[1]), 0);
	ck_assert_int_eq(brood_queue_release_done(queue, &messages[1]), -EINVAL);
	ck_assert_int_eq(brood_queue_release(queue, &messages[0]), 0);
	ck_assert_int_eq(brood_queue_task_done(queue), 0);
	ck_assert_int_eq(brood_queue_return(queue, &messages[2]), 0);
	ck_assert_int_eq(brood_queue_join(queue, 0), -EAGAIN);
	ck_assert_int_eq(get_number(queue, 0), 2);
	ck_assert_int_eq(brood_queue_task_done(queue), 0);
	ck_assert_int_eq(brood_queue_join(queue, 0), 0);
	ck_assert_int_eq(brood_queue_task_done(queue), -EINVAL);
}
END_TEST

START_TEST(done_after_get_many)
{
	struct brood_queue *queue = joinable(8);
	int64_t numbers[5];
	struct brood_message messages[5];

	for (int i = 0; i < 5; i++) {
		messages[i] = (struct brood_message){ .data = &numbers[i], .size = 8 };
		ck_assert_int_eq(put_number(queue, i, 0), 0);
	}
	ck_assert_int_eq(brood_queue_get_many(queue, messages, 5, 0), 5);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(brood_queue_join(queue, 0), -EAGAIN);
		ck_assert_int_eq(brood_queue_task_done(queue), 0);
	}
	ck_assert_int_eq(brood_queue_join(queue, 0), 0);
	ck_assert_int_eq(brood_queue_task_done(queue), -EINVAL);
	ck_assert_int_eq(brood_queue_count(queue), 0);
}
END_TEST

START_TEST(only_joinable_queues_join)
{
	struct brood_queue *queue = new_queue(4, 8);

	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	ck_assert_int_eq(get_number(queue, 0), 1);
	ck_assert_int_eq(brood_queue_task_done(queue), -ENOTSUP);
	ck_assert_int_eq(brood_queue_join(queue, 0), -ENOTSUP);
	ck_assert_int_eq(brood_queue_join(queue, BROOD_FOREVER), -ENOTSUP);
}
END_TEST

static int join_for_ever(void *queue)
{
	return brood_queue_join(queue, BROOD_FOREVER) ? 1 : 0;
}

static int work(void *queue)
{
	while (get_number(queue, BROOD_FOREVER) >= 0)
		must(brood_queue_task_done(queue) == 0);
	return 0;
}

START_TEST(all_who_join_are_woken_by_the_last)
{
	struct brood_queue *queue = joinable(100);
	pid_t joiners[3], workers[3];

	for (int64_t i = 0; i < 100; i++)
		ck_assert_int_eq(put_number(queue, i, 0), 0);
	for (int i = 0; i < 3; i++)
		joiners[i] = start(join_for_ever, queue);
	for (int i = 0; i < 3; i++)
		ck_assert(until_asleep(joiners[i]));
	for (int i = 0; i < 3; i++)
		workers[i] = start(work, queue);
	for (int64_t i = 0; i < 10000; i++)
		ck_assert_int_eq(put_number(queue, i, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_queue_join(queue, BROOD_FOREVER), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(joiners[i]), 0);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(workers[i]), 0);
	ck_assert_int_eq(brood_queue_task_done(queue), -EINVAL);
}
END_TEST

/* ---- producers ---- */

static struct brood_queue *ends_after(uint32_t producers)
{
	struct brood_queue_opts opts = {
		.slots = 8,
		.max_bytes = 8,
		.producers_end = producers,
	};
	struct brood_queue *queue = brood_queue_create(&opts);

	ck_assert_ptr_nonnull(queue);
	return queue;
}

START_TEST(ends_with_its_only_producer)
{
	struct brood_queue *queue = ends_after(1);

	ck_assert_int_eq(get_number(queue, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_producer_begin(queue), 0);
	ck_assert_int_eq(brood_queue_producer_begin(queue), 0);	/* the same registration */
	ck_assert_int_eq(get_number(queue, 0), -EAGAIN);
	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	ck_assert_int_eq(brood_queue_producer_end(queue), 0);
	ck_assert_int_eq(brood_queue_producer_end(queue), 0);
	ck_assert_int_eq(get_number(queue, 0), 1);
	ck_assert_int_eq(get_number(queue, 0), -EPIPE);
	ck_assert_int_eq(get_number(queue, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(put_number(queue, 2, 0), -EPIPE);
	ck_assert_int_eq(brood_queue_producer_begin(queue), -EPIPE);
	ck_assert_int_eq(brood_queue_closed(queue), 1);
}
END_TEST

static ssize_t first_put(struct brood_queue *queue)
{
	return put_number(queue, 7, 0);
}

static ssize_t first_put_many(struct brood_queue *queue)
{
	struct brood_message message = { .data = &(int64_t){ 7 }, .length = 8 };

	return brood_queue_put_many(queue, &message, 1, 0) - 1;
}

static ssize_t first_commit(struct brood_queue *queue)
{
	struct brood_message message;

	if (brood_queue_reserve(queue, &message))
		return -1;
	memcpy(message.data, &(int64_t){ 7 }, 8);
	message.length = 8;
	return brood_queue_commit(queue, &message, 0);
}

static ssize_t (*const firsts[])(struct brood_queue *queue) = {
	first_put, first_put_many, first_commit,
};

START_TEST(the_first_message_registers)
{
	struct brood_queue *queue = ends_after(1);

	ck_assert_int_eq(firsts[_i](queue), 0);
	ck_assert_int_eq(get_number(queue, 0), 7);
	ck_assert_int_eq(get_number(queue, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_producer_end(queue), 0);
	ck_assert_int_eq(get_number(queue, 0), -EPIPE);
	ck_assert_int_eq(firsts[_i](queue), first_put_many == firsts[_i] ? -EPIPE - 1 : -EPIPE);
}
END_TEST

static int produce_and_end(void *queue)
{
	must(put_number(queue, 5, 0) == 0);
	must(brood_queue_producer_end(queue) == 0);
	return 0;
}

static int produce_and_leave(void *queue)
{
	must(put_number(queue, 5, 0) == 0);
	return 0;
}

static void *produce_and_end_thread(void *queue)
{
	return produce_and_leave(queue) ? queue : NULL;
}

/* The thread ends, its process goes on, though it does not produce. */
static int produce_in_thread(void *queue)
{
	pthread_t thread;
	void *result;

	must(pthread_create(&thread, NULL, produce_and_end_thread, queue) == 0);
	must(pthread_join(thread, &result) == 0 && result == NULL);
	return brood_queue_capacity(queue) == 8 ? 0 : 1;
}

static int (*const ways_to_end[])(void *queue) = {
	produce_and_end, produce_and_leave, produce_in_thread,
};

/* Fewer than n is no end, though none is left. */
START_TEST(ends_with_the_last_of_three)
{
	struct brood_queue *queue = ends_after(3);

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(get_number(queue, 0), -EAGAIN);
		ck_assert_int_eq(get_number(queue, brood_ms(1)), -ETIMEDOUT);
		ck_assert_int_eq(run(ways_to_end[_i], queue), 0);
		ck_assert_int_eq(get_number(queue, 0), 5);
	}
	ck_assert_int_eq(get_number(queue, 0), -EPIPE);
	ck_assert_int_eq(brood_queue_producer_begin(queue), -EPIPE);
}
END_TEST

static int read_to_the_end(void *queue)
{
	int64_t got;

	while ((got = get_number(queue, BROOD_FOREVER)) >= 0)
		;
	return got == -EPIPE ? 0 : 1;
}

START_TEST(sleeping_readers_see_the_end)
{
	struct brood_queue *queue = ends_after(1);
	pid_t readers[3];

	for (int i = 0; i < 3; i++)
		readers[i] = start(read_to_the_end, queue);
	for (int i = 0; i < 3; i++)
		ck_assert(until_asleep(readers[i]));
	ck_assert_int_eq(run(ways_to_end[_i], queue), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(readers[i]), 0);
}
END_TEST

START_TEST(without_the_option_nothing_ends)
{
	struct brood_queue *queue = new_queue(4, 8);

	ck_assert_int_eq(brood_queue_producer_begin(queue), 0);
	ck_assert_int_eq(brood_queue_producer_end(queue), 0);
	ck_assert_int_eq(get_number(queue, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(brood_queue_producer_begin(queue), -EPIPE);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("tasks", begin_test);
	TCase *producers = new_case("producers", begin_test);

	tcase_add_test(tests, join_waits_for_every_task);
	tcase_add_test(tests, done_too_often);
	tcase_add_test(tests, done_by_release);
	tcase_add_test(tests, done_after_get_many);
	tcase_add_test(tests, only_joinable_queues_join);
	tcase_add_test(tests, all_who_join_are_woken_by_the_last);
	tcase_add_test(producers, ends_with_its_only_producer);
	tcase_add_loop_test(producers, the_first_message_registers, 0, 3);
	tcase_add_loop_test(producers, ends_with_the_last_of_three, 0, 3);
	tcase_add_loop_test(producers, sleeping_readers_see_the_end, 0, 3);
	tcase_add_test(producers, without_the_option_nothing_ends);
	return run_cases("queue tasks", tests, producers, NULL);
}
