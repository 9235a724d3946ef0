/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What members leave that end in any way: nothing is lost, and what comes twice says so. */
#include <pthread.h>

#include "support.h"

/* ---- consumers: each takes messages 0, 1 and 2, tells, and then ends in some way ---- */

enum { TAKEN = 3 };

struct scene {
	struct brood_queue *queue;
	atomic_bool taken;
	int (*take)(struct scene *scene);
	ssize_t left;	/* messages there are afterwards */
};

static int take_leases(struct scene *scene)
{
	for (int i = 0; i < TAKEN; i++) {
		struct brood_message message;

		must(brood_queue_lease(scene->queue, &message, 0) == 0);
	}
	return 0;
}

static int take_many(struct scene *scene)
{
	int64_t numbers[TAKEN];
	struct brood_message messages[TAKEN];

	for (int i = 0; i < TAKEN; i++)
		messages[i] = (struct brood_message){ .data = &numbers[i], .size = 8 };
	must(brood_queue_get_many(scene->queue, messages, TAKEN, 0) == TAKEN);
	return 0;
}

/* A call acknowledges what the call before it got: two are done, by task_done, and one is not. */
static int take_one_after_another(struct scene *scene)
{
	for (int i = 0; i < TAKEN; i++) {
		if (i)
			must(brood_queue_task_done(scene->queue) == 0);
		must(get_number(scene->queue, 0) == i);
	}
	return 0;
}

static int take_and_wait(void *arg)
{
	struct scene *scene = arg;

	must(scene->take(scene) == 0);
	atomic_store(&scene->taken, true);
	while (pause())
		;
	return 0;
}

static int take_and_leave(void *arg)
{
	struct scene *scene = arg;

	return scene->take(scene);
}

static int take_and_exit(void *arg)
{
	exit(take_and_leave(arg));	/* clean: the library's destructor runs */
}

static int take_and_exec(void *arg)
{
	must(take_and_leave(arg) == 0);
	execl("/bin/sleep", "sleep", "1000", (char *)NULL);
	return 1;
}

static void *take_in_thread(void *scene)
{
	return take_and_leave(scene) ? scene : NULL;
}

static struct scene *scene_of(bool joinable, int (*take)(struct scene *), ssize_t left)
{
	struct brood_queue_opts opts = { .slots = 8, .max_bytes = 8, .joinable = joinable };
	struct scene *scene = shared(sizeof(*scene));

	scene->take = take;
	scene->left = left;
	scene->queue = brood_queue_create(&opts);
	ck_assert_ptr_nonnull(scene->queue);
	for (int64_t i = 0; i < 5; i++)
		ck_assert_int_eq(put_number(scene->queue, i, 0), 0);
	return scene;
}

static void kill_when_taken(struct scene *scene)
{
	pid_t child = start(take_and_wait, scene);

	while (!atomic_load(&scene->taken))
		ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
	kill_child(child);
}

/* The ways to end, each in the middle of work. */
static void end_by_kill(struct scene *scene)
{
	kill_when_taken(scene);
}

static void end_by__exit(struct scene *scene)
{
	ck_assert_int_eq(run(take_and_leave, scene), 0);
}

static void end_by_exit(struct scene *scene)
{
	ck_assert_int_eq(run(take_and_exit, scene), 0);
}

static void end_by_thread(struct scene *scene)
{
	pthread_t thread;
	void *result;

	ck_assert_int_eq(pthread_create(&thread, NULL, take_in_thread, scene), 0);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_ptr_null(result);
}

static void end_by_exec(struct scene *scene)
{
	pid_t child = start(take_and_exec, scene);
	struct brood_segment_info info;

	do
		ck_assert_int_eq(brood_segment_stat(NULL, &info), 0);
	while (info.dead == 0);
	ck_assert_int_eq(brood_queue_count(scene->queue), scene->left);
	kill_child(child);
}

static void (*const ends[])(struct scene *scene) = {
	end_by_kill, end_by__exit, end_by_exit, end_by_thread, end_by_exec,
};

enum { ENDS = sizeof(ends) / sizeof(ends[0]) };

/* ---- what the others find ---- */

static void gets(struct brood_queue *queue, int64_t number, uint32_t flags)
{
	int64_t found = -1;
	uint32_t seen = 77;

	ck_assert_int_eq(brood_queue_get_flags(queue, &found, sizeof(found), &seen, 0),
			 sizeof(found));
	ck_assert_int_eq(found, number);
	ck_assert_uint_eq(seen, flags);
}

static void is_whole(struct brood_queue *queue)
{
	for (int64_t round = 0; round < 20; round++) {
		ck_assert_int_eq(brood_queue_empty(queue), 1);
		for (int64_t i = 0; i < 8; i++)
			ck_assert_int_eq(put_number(queue, i, 0), 0);
		ck_assert_int_eq(brood_queue_full(queue), 1);
		ck_assert_int_eq(put_number(queue, 9, 0), -EAGAIN);
		for (int64_t i = 0; i < 8; i++)
			gets(queue, i, 0);
		ck_assert_int_eq(get_number(queue, 0), -EAGAIN);
	}
}

START_TEST(leases_come_again)
{
	struct scene *scene = scene_of(false, take_leases, 5);

	ends[_i](scene);
	ck_assert_int_eq(brood_queue_count(scene->queue), scene->left);
	for (int64_t i = 0; i < 5; i++)
		gets(scene->queue, i, i < TAKEN ? BROOD_REDELIVERED : 0);
	is_whole(scene->queue);
}
END_TEST

/* Nobody asks and nobody waits: the death is seen when the queue is empty, at the latest. */
START_TEST(leases_come_again_by_themselves)
{
	struct scene *scene = scene_of(false, take_leases, 5);
	int64_t again = 0, others = TAKEN, found;
	uint32_t flags;

	kill_when_taken(scene);
	while (brood_queue_get_flags(scene->queue, &found, sizeof(found), &flags, 0) >= 0)
		ck_assert_int_eq(found, flags ? again++ : others++);
	ck_assert_int_eq(again, TAKEN);
	ck_assert_int_eq(others, 5);
}
END_TEST

START_TEST(what_get_returned_is_acknowledged)
{
	struct scene *scene = scene_of(false, take_many, 2);

	ends[_i](scene);
	ck_assert_int_eq(brood_queue_count(scene->queue), scene->left);
	gets(scene->queue, 3, 0);
	gets(scene->queue, 4, 0);
	is_whole(scene->queue);
}
END_TEST

static void all_done(struct brood_queue *queue, int64_t first)
{
	for (int64_t i = first; i < 5; i++) {
		ck_assert_int_eq(brood_queue_join(queue, 0), -EAGAIN);
		gets(queue, i, i < TAKEN ? BROOD_REDELIVERED : 0);
		ck_assert_int_eq(brood_queue_task_done(queue), 0);
	}
	ck_assert_int_eq(brood_queue_join(queue, 0), 0);
	ck_assert_int_eq(brood_queue_task_done(queue), -EINVAL);
}

/* In a joinable queue what was not told done comes again: join never waits for who is gone. */
START_TEST(tasks_not_done_come_again)
{
	struct scene *scene = scene_of(true, take_many, 5);

	ends[_i](scene);
	ck_assert_int_eq(brood_queue_count(scene->queue), scene->left);
	all_done(scene->queue, 0);
}
END_TEST

START_TEST(the_last_task_comes_again)
{
	struct scene *scene = scene_of(true, take_one_after_another, 3);

	ends[_i](scene);
	ck_assert_int_eq(brood_queue_count(scene->queue), scene->left);
	all_done(scene->queue, TAKEN - 1);
}
END_TEST

/* ---- more of them ---- */

START_TEST(the_dead_in_a_closed_queue)
{
	struct scene *scene = scene_of(false, take_leases, 5);

	ck_assert_int_eq(brood_queue_close(scene->queue), 0);
	kill_when_taken(scene);
	for (int i = 0; i < 5; i++)
		ck_assert_int_ge(get_number(scene->queue, 0), 0);
	ck_assert_int_eq(get_number(scene->queue, 0), -EPIPE);
	ck_assert_int_eq(brood_queue_count(scene->queue), 0);
}
END_TEST

/* It comes as often as its readers die. */
START_TEST(readers_die_one_after_another)
{
	struct scene *scene = scene_of(false, take_leases, 5);

	for (int64_t i = 0; i < 2; i++)
		gets(scene->queue, i, 0);
	for (int i = 0; i < 300; i++)
		ck_assert_int_eq(run(take_and_leave, scene), 0);
	for (int64_t i = 2; i < 2 + TAKEN; i++)
		gets(scene->queue, i, BROOD_REDELIVERED);
	is_whole(scene->queue);
}
END_TEST

static int reserve_and_leave(void *queue)
{
	struct brood_message message;

	for (int i = 0; i < 50; i++) {
		must(brood_queue_reserve(queue, &message) == 0);
		memset(message.data, i, message.size);
	}
	message.length = 1;
	must(brood_queue_commit(queue, &message, 0) == 0);
	return 0;
}

START_TEST(reservations_are_given_back)
{
	struct brood_queue *queue = new_queue(8, 8);

	for (int i = 0; i < 300; i++) {
		char byte = 0;

		ck_assert_int_eq(run(reserve_and_leave, queue), 0);
		ck_assert_int_eq(brood_queue_get(queue, &byte, 1, 0), 1);
		ck_assert_int_eq(byte, 49);
	}
	is_whole(queue);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("death", begin_test);

	tcase_add_loop_test(tests, leases_come_again, 0, ENDS);
	tcase_add_test(tests, leases_come_again_by_themselves);
	tcase_add_loop_test(tests, what_get_returned_is_acknowledged, 0, ENDS);
	tcase_add_loop_test(tests, tasks_not_done_come_again, 0, ENDS);
	tcase_add_loop_test(tests, the_last_task_comes_again, 0, ENDS);
	tcase_add_test(tests, the_dead_in_a_closed_queue);
	tcase_add_test(tests, readers_die_one_after_another);
	tcase_add_test(tests, reservations_are_given_back);
	return run_cases("queue death", tests, NULL);
}
