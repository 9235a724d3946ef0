/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting: time is kept, each wake-up finds somebody, signals do not end it, it costs nothing. */
#include <sys/time.h>
#include <time.h>

#include "own_members.h"
#include "wait/wait.h"

static void begin_many(void)
{
	begin_with_members(16);
}

/* What is waited for: a number of tokens, each of which one waiter takes. */
struct scene {
	struct brood__waitlist list;
	_Atomic uint32_t tokens;
	_Atomic uint32_t taken;
	_Atomic uint32_t looks;
};

static ssize_t take_token(void *arg)
{
	struct scene *scene = arg;
	uint32_t tokens = atomic_load(&scene->tokens);

	atomic_fetch_add(&scene->looks, 1);
	while (tokens > 0)
		if (atomic_compare_exchange_weak(&scene->tokens, &tokens, tokens - 1)) {
			atomic_fetch_add(&scene->taken, 1);
			return 7;
		}
	return -EAGAIN;
}

static ssize_t wait_for(struct scene *scene, int64_t timeout)
{
	const struct brood__wait wait = {
		.members = &own_members,
		.list = &scene->list,
		.timeout = timeout,
		.me = (uint32_t)own_id(),
	};

	return brood__wait(&wait, take_token, scene);
}

static void give_token(struct scene *scene)
{
	atomic_fetch_add(&scene->tokens, 1);
	brood__notify(&own_members, &scene->list);
}

static int wait_for_ever(void *scene)
{
	return wait_for(scene, BROOD_FOREVER) == 7 ? 0 : 1;
}

/* ---- results and times ---- */

START_TEST(results_are_those_of_the_attempt)
{
	struct scene *scene = shared(sizeof(*scene));

	ck_assert_int_eq(wait_for(scene, 0), -EAGAIN);
	ck_assert_uint_eq(scene->looks, 0);
	ck_assert_int_eq(wait_for(scene, brood_ms(2)), -ETIMEDOUT);
	ck_assert_uint_ge(scene->looks, 2);
	scene->tokens = 3;
	ck_assert_int_eq(wait_for(scene, brood_ms(2)), 7);
	ck_assert_int_eq(wait_for(scene, BROOD_FOREVER), 7);
	ck_assert_int_eq(wait_for(scene, brood_until(1)), 7);	/* late: a last look */
	ck_assert_int_eq(wait_for(scene, brood_until(1)), -ETIMEDOUT);
	ck_assert(!brood__waitlist_any(&scene->list));
}
END_TEST

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Never early; the median of many is not late. Loop: how long, in microseconds. */
START_TEST(deadlines_are_kept)
{
	static const int64_t us[] = { 1, 10, 30, 100, 1000, 10000, 120000 };
	struct scene *scene = shared(sizeof(*scene));
	enum { WAITS = 11 };
	int64_t late[WAITS];

	for (int i = 0; i < WAITS; i++) {
		int64_t end = brood_now() + us[_i] * 1000;

		ck_assert_int_eq(wait_for(scene, i % 2 ? brood_us(us[_i]) : brood_until(end)),
				 -ETIMEDOUT);
		late[i] = brood_now() - end;
		ck_assert_int_ge(late[i], 0);
	}
	qsort(late, WAITS, sizeof(late[0]), compare);
	ck_assert_int_lt(late[WAITS / 2], 5 * MS);
}
END_TEST

/* ---- wake-ups ---- */

/* The median, since who sleeps looks by itself every 100 ms. */
START_TEST(each_token_wakes_one)
{
	enum { WAITERS = 15 };
	struct scene *scene = shared(sizeof(*scene));
	int64_t took[WAITERS];
	pid_t waiters[WAITERS];

	ck_assert_int_ge(own_id(), 0);
	for (int i = 0; i < WAITERS; i++)
		waiters[i] = start(wait_for_ever, scene);
	for (int i = 0; i < WAITERS; i++)
		ck_assert(until_asleep(waiters[i]));
	for (uint32_t i = 0; i < WAITERS; i++) {
		int64_t given = brood_now();

		give_token(scene);
		while (atomic_load(&scene->taken) == i)
			usleep(50);
		took[i] = brood_now() - given;
		ck_assert_uint_eq(atomic_load(&scene->taken), i + 1);
	}
	for (int i = 0; i < WAITERS; i++)
		ck_assert_int_eq(end_of(waiters[i]), 0);
	ck_assert(!brood__waitlist_any(&scene->list));
	qsort(took, WAITERS, sizeof(took[0]), compare);
	ck_assert_int_lt(took[WAITERS / 2], 5 * MS);
}
END_TEST

/* A token may be meant for one who has died: it goes to another. */
START_TEST(the_dead_are_passed_over)
{
	struct scene *scene = shared(sizeof(*scene));
	pid_t waiters[4];

	ck_assert_int_ge(own_id(), 0);
	for (int i = 0; i < 4; i++) {
		waiters[i] = start(wait_for_ever, scene);
		ck_assert(until_asleep(waiters[i]));
	}
	for (int i = 0; i < 3; i++)
		kill_child(waiters[i]);
	give_token(scene);
	ck_assert_int_eq(end_of(waiters[3]), 0);
}
END_TEST

START_TEST(all_are_woken)
{
	struct scene *scene = shared(sizeof(*scene));
	pid_t waiters[4];

	for (int i = 0; i < 4; i++)
		waiters[i] = start(wait_for_ever, scene);
	for (int i = 0; i < 4; i++)
		ck_assert(until_asleep(waiters[i]));
	atomic_store(&scene->tokens, 4);
	brood__wake_all(&own_members, scene->list.mask);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(end_of(waiters[i]), 0);
}
END_TEST

/* ---- signals, idle waiters ---- */

static volatile sig_atomic_t handled;

static void handle(int signal)
{
	(void)signal;
	handled++;
}

/* With and without SA_RESTART; the time that is left is kept. */
START_TEST(signals_do_not_end_a_wait)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = _i ? SA_RESTART : 0 };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct scene *scene = shared(sizeof(*scene));
	int64_t began = brood_now(), took;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	ck_assert_int_eq(wait_for(scene, brood_ms(150)), -ETIMEDOUT);
	took = brood_now() - began;
	setitimer(ITIMER_REAL, &never, NULL);
	ck_assert_int_ge(took, 150 * MS);
	ck_assert_int_lt(took, 1000 * MS);
	ck_assert_int_ge(handled, 10);
}
END_TEST

START_TEST(being_stopped_does_not_end_a_wait)
{
	struct scene *scene = shared(sizeof(*scene));
	pid_t waiter = start(wait_for_ever, scene);
	int status;

	ck_assert_int_ge(own_id(), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert(until_asleep(waiter));
		kill(waiter, SIGSTOP);
		ck_assert_int_eq(waitpid(waiter, &status, WUNTRACED), waiter);
		ck_assert(WIFSTOPPED(status));
		kill(waiter, SIGCONT);
	}
	ck_assert(until_asleep(waiter));
	give_token(scene);
	ck_assert_int_eq(end_of(waiter), 0);
}
END_TEST

static int64_t cpu_time(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec * 1000 * MS + used.tv_nsec;
}

START_TEST(an_idle_waiter_uses_no_cpu)
{
	struct scene *scene = shared(sizeof(*scene));
	int64_t before;

	ck_assert_int_eq(wait_for(scene, brood_ms(1)), -ETIMEDOUT);
	before = cpu_time();
	ck_assert_int_eq(wait_for(scene, brood_ms(1000)), -ETIMEDOUT);
	ck_assert_int_lt(cpu_time() - before, 10 * MS);	/* 1 % */
}
END_TEST

int main(void)
{
	TCase *tests = new_case("wait", begin_many);

	tcase_add_test(tests, results_are_those_of_the_attempt);
	tcase_add_loop_test(tests, deadlines_are_kept, 0, 7);
	tcase_add_test(tests, each_token_wakes_one);
	tcase_add_test(tests, the_dead_are_passed_over);
	tcase_add_test(tests, all_are_woken);
	tcase_add_loop_test(tests, signals_do_not_end_a_wait, 0, 2);
	tcase_add_test(tests, being_stopped_does_not_end_a_wait);
	tcase_add_test(tests, an_idle_waiter_uses_no_cpu);
	return run_cases("wait", tests, NULL);
}
