/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sleepers that depend on a member which dies: they go on at once, without polling. */
#include "support.h"

enum { DEATHS = 40, SLEEPERS = 7 };

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

struct scene {
	struct brood_queue *queue;
	atomic_bool ready;
	int64_t woke[SLEEPERS];
};

/* ---- what the victim has: the calls that others wait with depend on it ---- */

static int lease_it(struct brood_queue *queue)
{
	struct brood_message message;

	return brood_queue_lease(queue, &message, 0);
}

static int lease_all(struct brood_queue *queue)
{
	int result = 0;

	for (int i = 0; i < SLEEPERS && result == 0; i++)
		result = lease_it(queue);
	return result;
}

static int get_it(struct brood_queue *queue)
{
	return get_number(queue, 0) == 5 ? 0 : -1;
}

static int produce(struct brood_queue *queue)
{
	return brood_queue_producer_begin(queue);
}

static const struct {
	int (*take)(struct brood_queue *queue);
	int messages;
	struct brood_queue_opts opts;
	int64_t expected;
} cases[] = {
	{ lease_it, 1, { .slots = 1, .max_bytes = 8 }, 5 },
	{ get_it, 1, { .slots = 1, .max_bytes = 8, .joinable = true }, 5 },
	{ produce, 0, { .slots = 1, .max_bytes = 8, .producers_end = 1 }, -EPIPE },
	{ lease_all, SLEEPERS, { .slots = SLEEPERS, .max_bytes = 8 }, 5 },
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static struct scene *scene;
static int chosen;

static int take_and_wait(void *unused)
{
	(void)unused;
	must(cases[chosen].take(scene->queue) == 0);
	atomic_store(&scene->ready, true);
	while (pause())
		;
	return 0;
}

static int get_and_tell(void *woke)
{
	must(get_number(scene->queue, BROOD_FOREVER) == cases[chosen].expected);
	*(int64_t *)woke = brood_now();
	return 0;
}

/* Its own end shall wake nobody. */
static int get_tell_and_stay(void *woke)
{
	must(get_and_tell(woke) == 0);
	while (pause())
		;
	return 0;
}

static pid_t victim(void)
{
	pid_t pid;

	scene->queue = brood_queue_create(&cases[chosen].opts);
	ck_assert_ptr_nonnull(scene->queue);
	for (int i = 0; i < cases[chosen].messages; i++)
		ck_assert_int_eq(put_number(scene->queue, 5, 0), 0);
	atomic_store(&scene->ready, false);
	pid = start(take_and_wait, NULL);
	while (!atomic_load(&scene->ready))
		ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	return pid;
}

/* The median of many. Who sleeps looks by itself every 100 ms: half of them later than 50. */
START_TEST(a_death_wakes_readers)
{
	int64_t took[DEATHS];

	chosen = _i;
	scene = shared(sizeof(*scene));
	for (int i = 0; i < DEATHS; i++) {
		pid_t dying = victim(), sleeper = start(get_and_tell, scene->woke);
		int64_t killed;

		ck_assert(until_asleep(sleeper));
		killed = brood_now();
		kill_child(dying);
		ck_assert_int_eq(end_of(sleeper), 0);
		took[i] = scene->woke[0] - killed;
		ck_assert_int_eq(brood_queue_destroy(scene->queue), 0);
	}
	qsort(took, DEATHS, sizeof(took[0]), compare);
	ck_assert_int_lt(took[DEATHS / 2], 20 * MS);
}
END_TEST

/* The kernel wakes one of those that watch a life; it, or who watches it, wakes the others. */
START_TEST(a_death_wakes_all_readers)
{
	pid_t dying, sleepers[SLEEPERS];
	int64_t killed;

	chosen = 2 + _i % 2;	/* the end, or a message for each */
	scene = shared(sizeof(*scene));
	dying = victim();
	for (int i = 0; i < SLEEPERS; i++)
		sleepers[i] = start(get_tell_and_stay, &scene->woke[i]);
	for (int i = 0; i < SLEEPERS; i++)
		ck_assert(until_asleep(sleepers[i]));
	killed = brood_now();
	kill(dying, SIGKILL);
	kill(sleepers[0], SIGKILL);
	kill(sleepers[1], SIGKILL);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(sleepers[i]), -SIGKILL);
	ck_assert_int_eq(end_of(dying), -SIGKILL);
	for (int i = 2; i < SLEEPERS; i++)
		while (*(volatile int64_t *)&scene->woke[i] == 0)
			ck_assert_int_eq(waitpid(sleepers[i], NULL, WNOHANG), 0);
	for (int i = 2; i < SLEEPERS; i++)
		kill_child(sleepers[i]);
	/* The last of them. They have just fallen asleep, and look by themselves after 100 ms. */
	qsort(&scene->woke[2], SLEEPERS - 2, sizeof(scene->woke[0]), compare);
	ck_assert_int_lt(scene->woke[SLEEPERS - 1] - killed, 80 * MS);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("sleepers", begin_test);

	tcase_add_loop_test(tests, a_death_wakes_readers, 0, CASES);
	tcase_add_loop_test(tests, a_death_wakes_all_readers, 0, 6);
	return run_cases("queue sleepers", tests, NULL);
}
