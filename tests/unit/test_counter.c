/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* counter: what Python's Value promises and does not keep; waiting for a change; deaths. */
#include <sched.h>

#include <brood/counter.h>

#include "support.h"

enum { SLEEPERS = 3, ROUNDS = 20000, OFTEN = 100000 };

/* In shared memory of the family: what the children of a test use. */
struct scene {
	struct brood_counter counter;
	struct brood_counter answer;
	atomic_int begun;
	atomic_int thread;
	atomic_int go;
	atomic_int seen;
	atomic_int over;
};

static struct scene *new_scene(void)
{
	struct scene *scene = brood_alloc(NULL, sizeof(*scene));

	ck_assert_ptr_nonnull(scene);
	return scene;
}

static int64_t value_of(const struct brood_counter *counter)
{
	int64_t value = -77;

	must(brood_counter_get(counter, &value) == 0);
	return value;
}

static int wait_for_7(void *arg)
{
	struct scene *scene = arg;
	int64_t now = 0;

	atomic_store(&scene->thread, (int)gettid());
	atomic_fetch_add(&scene->begun, 1);
	must(brood_counter_wait_change(&scene->counter, 0, &now, BROOD_FOREVER) == 0);
	must(now == 7);
	atomic_fetch_add(&scene->seen, 1);
	return 0;
}

/* A child that sleeps until the value is other than 0. */
static pid_t sleeper(struct scene *scene)
{
	int before = atomic_load(&scene->begun);
	pid_t pid = start(wait_for_7, scene);

	while (atomic_load(&scene->begun) == before)
		sched_yield();
	ck_assert(until_asleep(atomic_load(&scene->thread)));
	return pid;
}

static void sleepers(struct scene *scene, pid_t pids[SLEEPERS])
{
	for (int i = 0; i < SLEEPERS; i++)
		pids[i] = sleeper(scene);
}

/* All of them; whether before any of them could have looked by itself. */
static bool all_saw_it(struct scene *scene, const pid_t pids[SLEEPERS], int64_t since)
{
	for (int i = 0; i < SLEEPERS; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(atomic_load(&scene->seen), SLEEPERS);
	return brood_now() - since < 90 * MS;
}

/* A busy machine may be late; who was not woken is late each time. */
static void promptly(bool (*scenario)(int), int how)
{
	for (int tries = 0; tries < 5; tries++)
		if (scenario(how))
			return;
	ck_abort_msg("nobody was woken, they looked by themselves");
}

static bool any_waiter_is_noted(const struct brood_counter *counter)
{
	uint32_t bits = 0;

	for (int i = 0; i < 8; i++)
		bits |= __atomic_load_n(&counter->waiters[i], __ATOMIC_SEQ_CST);
	return bits != 0;
}

/* How often a thread has gone to sleep. */
static long sleeps_of(pid_t thread)
{
	char path[40], line[128];
	long sleeps = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", thread);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "voluntary_ctxt_switches: %ld", &sleeps);
	fclose(file);
	ck_assert_int_ge(sleeps, 0);
	return sleeps;
}

/* ---- values ---- */

START_TEST(value_is_zero_at_first_and_then_what_was_set)
{
	static const int64_t values[] = { 1, -1, INT64_MAX, INT64_MIN, 0 };
	struct brood_counter *counter = &new_scene()->counter;

	ck_assert_int_eq(value_of(counter), 0);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(brood_counter_set(counter, values[i]), 0);
		ck_assert_int_eq(value_of(counter), values[i]);
	}
}
END_TEST

START_TEST(add_gives_the_sum)
{
	struct brood_counter *counter = &new_scene()->counter;
	int64_t sum;

	ck_assert_int_eq(brood_counter_add(counter, 5, &sum), 0);
	ck_assert_int_eq(sum, 5);
	ck_assert_int_eq(brood_counter_add(counter, -7, &sum), 0);
	ck_assert_int_eq(sum, -2);
	ck_assert_int_eq(brood_counter_add(counter, 0, &sum), 0);
	ck_assert_int_eq(sum, -2);
	ck_assert_int_eq(brood_counter_add(counter, 2, NULL), 0);
	ck_assert_int_eq(value_of(counter), 0);
}
END_TEST

START_TEST(value_overflow_wraps)
{
	struct brood_counter *counter = &new_scene()->counter;
	int64_t sum;

	ck_assert_int_eq(brood_counter_set(counter, INT64_MAX), 0);
	ck_assert_int_eq(brood_counter_add(counter, 1, &sum), 0);
	ck_assert_int_eq(sum, INT64_MIN);
	ck_assert_int_eq(brood_counter_add(counter, -1, &sum), 0);
	ck_assert_int_eq(sum, INT64_MAX);
	ck_assert_int_eq(brood_counter_add(counter, INT64_MIN, &sum), 0);
	ck_assert_int_eq(sum, -1);
}
END_TEST

START_TEST(compare_exchange_only_what_was_expected)
{
	struct brood_counter *counter = &new_scene()->counter;
	int64_t expected = 3;

	ck_assert_int_eq(brood_counter_compare_exchange(counter, &expected, 9), 0);
	ck_assert_int_eq(expected, 0);
	ck_assert_int_eq(value_of(counter), 0);
	ck_assert_int_eq(brood_counter_compare_exchange(counter, &expected, -9), 1);
	ck_assert_int_eq(expected, 0);
	ck_assert_int_eq(value_of(counter), -9);
	expected = -9;
	ck_assert_int_eq(brood_counter_compare_exchange(counter, &expected, -9), 1);
	ck_assert_int_eq(value_of(counter), -9);
}
END_TEST

START_TEST(max_never_lowers)
{
	struct brood_counter *counter = &new_scene()->counter;
	int64_t greater;

	ck_assert_int_eq(brood_counter_max(counter, -5, &greater), 0);
	ck_assert_int_eq(greater, 0);
	ck_assert_int_eq(brood_counter_max(counter, 5, &greater), 0);
	ck_assert_int_eq(greater, 5);
	ck_assert_int_eq(brood_counter_max(counter, 4, &greater), 0);
	ck_assert_int_eq(greater, 5);
	ck_assert_int_eq(brood_counter_max(counter, INT64_MAX, NULL), 0);
	ck_assert_int_eq(brood_counter_max(counter, INT64_MIN, NULL), 0);
	ck_assert_int_eq(value_of(counter), INT64_MAX);
}
END_TEST

/* ---- at the same time ---- */

static int add_often(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&scene->go))
		sched_yield();
	for (int i = 0; i < OFTEN; i++)
		must(brood_counter_add(&scene->counter, i % 2 ? 3 : -1, NULL) == 0);
	return 0;
}

static int exchange_often(void *arg)
{
	struct scene *scene = arg;
	int64_t value = 0;

	while (!atomic_load(&scene->go))
		sched_yield();
	for (int i = 0; i < OFTEN; i++)
		while (!brood_counter_compare_exchange(&scene->counter, &value, value + 1))
			;
	return 0;
}

/* Python loses half of `value += 1`. */
START_TEST(value_loses_no_update)
{
	struct scene *scene = new_scene();
	pid_t pids[8];

	for (int i = 0; i < 8; i++)
		pids[i] = start(i < 4 ? add_often : exchange_often, scene);
	atomic_store(&scene->go, 1);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(value_of(&scene->counter), 8 * OFTEN);
}
END_TEST

static int raise_often(void *arg)
{
	struct scene *scene = arg;
	int64_t greater, before = 0;

	while (!atomic_load(&scene->go))
		sched_yield();
	for (int i = 0; i < OFTEN; i++) {
		int64_t mine = (int64_t)((uint32_t)i * 2654435761u % 1000000);

		must(brood_counter_max(&scene->counter, mine, &greater) == 0);
		must(greater >= mine && greater >= before);
		before = greater;
	}
	return 0;
}

START_TEST(max_of_many)
{
	struct scene *scene = new_scene();
	int64_t greatest = 0;
	pid_t pids[4];

	for (int i = 0; i < OFTEN; i++) {
		int64_t mine = (int64_t)((uint32_t)i * 2654435761u % 1000000);

		greatest = mine > greatest ? mine : greatest;
	}
	for (int i = 0; i < 4; i++)
		pids[i] = start(raise_often, scene);
	atomic_store(&scene->go, 1);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(value_of(&scene->counter), greatest);
}
END_TEST

static int answer_each(void *arg)
{
	struct scene *scene = arg;
	int64_t now = 0;

	for (int64_t i = 0;; i++) {
		must(brood_counter_wait_change(&scene->counter, i, &now, BROOD_FOREVER) == 0);
		must(now == i + 1);
		if (atomic_load(&scene->over))
			return 0;
		must(brood_counter_add(&scene->answer, -1, NULL) == 0);
	}
}

START_TEST(back_and_forth)
{
	struct scene *scene = new_scene();
	pid_t pid = start(answer_each, scene);
	int64_t begin = brood_now(), now;

	/* A busy machine gets through fewer rounds. */
	for (int64_t i = 0; i < ROUNDS && brood_now() - begin < 1000 * MS; i++) {
		ck_assert_int_eq(brood_counter_add(&scene->counter, 1, NULL), 0);
		ck_assert_int_eq(brood_counter_wait_change(&scene->answer, -i, &now, BROOD_FOREVER),
				 0);
		ck_assert_int_eq(now, -i - 1);
	}
	atomic_store(&scene->over, 1);
	ck_assert_int_eq(brood_counter_add(&scene->counter, 1, NULL), 0);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

/* ---- waiting ---- */

START_TEST(wait_change_and_timeouts)
{
	struct brood_counter *counter = &new_scene()->counter;
	int64_t now = 5, begin;

	ck_assert_int_eq(brood_counter_wait_change(counter, 0, &now, 0), -EAGAIN);
	begin = brood_now();
	ck_assert_int_eq(brood_counter_wait_change(counter, 0, &now, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	ck_assert_int_eq(now, 5);
	ck_assert_int_eq(brood_counter_wait_change(counter, 1, &now, BROOD_FOREVER), 0);
	ck_assert_int_eq(now, 0);
	ck_assert_int_eq(brood_counter_wait_change(counter, -1, NULL, 0), 0);
}
END_TEST

static void change(struct brood_counter *counter, int how)
{
	int64_t zero = 0;

	if (how == 0)
		ck_assert_int_eq(brood_counter_add(counter, 7, NULL), 0);
	else if (how == 1)
		ck_assert_int_eq(brood_counter_set(counter, 7), 0);
	else if (how == 2)
		ck_assert_int_eq(brood_counter_max(counter, 7, NULL), 0);
	else
		ck_assert_int_eq(brood_counter_compare_exchange(counter, &zero, 7), 1);
}

static bool change_wakes_all(int how)
{
	struct scene *scene = new_scene();
	pid_t pids[SLEEPERS];
	int64_t begin;

	sleepers(scene, pids);
	begin = brood_now();
	change(&scene->counter, how);
	return all_saw_it(scene, pids, begin);
}

START_TEST(every_change_wakes_all)
{
	promptly(change_wakes_all, _i);
}
END_TEST

START_TEST(no_change_wakes_nobody)
{
	struct scene *scene = new_scene();
	struct brood_counter *counter = &scene->counter;
	pid_t pid = sleeper(scene);
	long sleeps = sleeps_of(pid);
	int64_t zero = 0, one = 1;

	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(brood_counter_set(counter, 0), 0);
		ck_assert_int_eq(brood_counter_add(counter, 0, NULL), 0);
		ck_assert_int_eq(brood_counter_max(counter, -i, NULL), 0);
		ck_assert_int_eq(brood_counter_compare_exchange(counter, &zero, 0), 1);
		ck_assert_int_eq(brood_counter_compare_exchange(counter, &one, 1), 0);
		one = 1;
		if (i % 10 == 0)
			usleep(100);
	}
	ck_assert_int_lt(sleeps_of(pid) - sleeps, 20);	/* it looks by itself now and then */
	change(counter, 0);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

static struct brood_counter *of_handler;

static void add_in_a_handler(int signal)
{
	(void)signal;
	brood_counter_add(of_handler, 7, NULL);
}

START_TEST(change_in_a_signal_handler)
{
	struct sigaction action = { .sa_handler = add_in_a_handler };
	struct scene *scene = new_scene();
	pid_t pid;

	of_handler = &scene->counter;
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	pid = sleeper(scene);
	ck_assert_int_eq(kill(pid, SIGUSR1), 0);
	ck_assert_int_eq(end_of(pid), 0);
	signal(SIGUSR1, SIG_DFL);
}
END_TEST

/* ---- deaths ---- */

/*
 * As a change, up to the word; then this member dies. It has been one since before the others fell
 * asleep, so they watch it.
 */
static int die_before_waking(void *arg)
{
	struct scene *scene = arg;

	must(value_of(&scene->counter) == 0);
	atomic_fetch_add(&scene->begun, 1);
	while (!atomic_load(&scene->go))
		usleep(100);
	__atomic_fetch_add(&scene->counter.word, 7, __ATOMIC_SEQ_CST);
	raise(SIGKILL);
	return 1;
}

static bool changer_dies(int unused)
{
	struct scene *scene = new_scene();
	pid_t pids[SLEEPERS], changer = start(die_before_waking, scene);
	int64_t begin;

	(void)unused;
	while (!atomic_load(&scene->begun))
		sched_yield();
	sleepers(scene, pids);
	begin = brood_now();
	atomic_store(&scene->go, 1);
	ck_assert_int_eq(end_of(changer), -SIGKILL);
	return all_saw_it(scene, pids, begin);
}

START_TEST(changer_dies_before_it_wakes)
{
	promptly(changer_dies, 0);
}
END_TEST

START_TEST(waiter_may_die)
{
	struct scene *scene = new_scene();
	pid_t pids[SLEEPERS], dead = sleeper(scene);
	int64_t begin;

	sleepers(scene, pids);
	kill_child(dead);
	begin = brood_now();
	change(&scene->counter, 0);
	all_saw_it(scene, pids, begin);
	/* What it left is gone: the next change has nothing to do. */
	ck_assert(!any_waiter_is_noted(&scene->counter));
}
END_TEST

static int add_until_killed(void *arg)
{
	struct scene *scene = arg;
	int64_t now = 0;

	for (;;) {
		must(brood_counter_add(&scene->counter, 1, NULL) == 0);
		atomic_fetch_add(&scene->go, 1);
		must(brood_counter_wait_change(&scene->counter, now, &now, brood_us(50)) <= 0);
	}
	return 1;
}

/* An add by a member that is killed has happened or not, and no other is lost. */
START_TEST(killed_in_the_midst)
{
	struct scene *scene = new_scene();
	int deaths = 0;

	for (int i = 0; i < 50; i++) {
		pid_t one = start(add_until_killed, scene), other;
		int before = atomic_load(&scene->go);

		other = start(add_until_killed, scene);
		while (atomic_load(&scene->go) == before)
			sched_yield();
		usleep((useconds_t)(i * 14));
		kill_child(one);
		kill_child(other);
		deaths += 2;
		ck_assert_int_ge(value_of(&scene->counter), atomic_load(&scene->go));
		ck_assert_int_le(value_of(&scene->counter), atomic_load(&scene->go) + deaths);
	}
}
END_TEST

/* ---- made, refused ---- */

START_TEST(bad_counters_are_refused)
{
	struct scene *scene = new_scene();
	struct {
		struct brood_counter_opts opts;
		uint64_t more;
	} newer = { .opts = { .opts_size = sizeof(newer) }, .more = 1 };
	struct brood_counter own = { 0 };
	struct brood_counter *bad[] = {
		NULL, (struct brood_counter *)(void *)((char *)scene + 8), &own
	};
	static const int errors[] = { -EINVAL, -EINVAL, -EBADF };
	int64_t value = 0;

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_counter_init(bad[i], 3), errors[i]);
		ck_assert_int_eq(brood_counter_get(bad[i], &value), errors[i]);
		ck_assert_int_eq(brood_counter_set(bad[i], 3), errors[i]);
		ck_assert_int_eq(brood_counter_add(bad[i], 3, &value), errors[i]);
		ck_assert_int_eq(brood_counter_compare_exchange(bad[i], &value, 3), errors[i]);
		ck_assert_int_eq(brood_counter_max(bad[i], 3, &value), errors[i]);
		ck_assert_int_eq(brood_counter_wait_change(bad[i], 0, &value, BROOD_FOREVER),
				 errors[i]);
		ck_assert_int_eq(brood_counter_destroy(bad[i]), -EINVAL);
	}
	ck_assert_int_eq(value, 0);
	ck_assert_uint_eq(own.word, 0);
	ck_assert_int_eq(brood_counter_get(&scene->counter, NULL), -EINVAL);
	ck_assert_int_eq(brood_counter_compare_exchange(&scene->counter, NULL, 3), -EINVAL);
	ck_assert_int_eq(brood_counter_destroy(&scene->answer), -EINVAL);
	ck_assert_ptr_null(brood_counter_create(&newer.opts));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(counters_of_their_own)
{
	const char *name = own_name("counter");
	struct brood_segment *segment = brood_segment_create(name, NULL);
	struct brood_counter *counter = brood_counter_create(NULL), *named;
	struct brood_counter_opts opts = { .value = -3, .segment = segment };

	ck_assert_uint_eq(sizeof(*counter), 64);
	named = brood_counter_create(&opts);
	ck_assert_ptr_nonnull(named);
	ck_assert_int_eq(value_of(counter), 0);
	ck_assert_int_eq(value_of(named), -3);
	ck_assert_int_eq(brood_counter_add(counter, 1, NULL), 0);
	ck_assert_int_eq(brood_counter_add(named, 1, NULL), 0);
	ck_assert_int_eq(value_of(counter), 1);
	ck_assert_int_eq(value_of(named), -2);
	memset((void *)counter, 0xff, sizeof(*counter));
	ck_assert_int_eq(brood_counter_init(counter, 8), 0);
	ck_assert_int_eq(value_of(counter), 8);
	ck_assert(!any_waiter_is_noted(counter));
	ck_assert_int_eq(brood_counter_destroy(counter), 0);
	ck_assert_int_eq(brood_counter_destroy(counter), -EINVAL);
	ck_assert_int_eq(brood_counter_destroy(named), 0);
	ck_assert_int_eq(brood_segment_unlink(name), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_counter_set(named, 1), -EBADF);
}
END_TEST

int main(void)
{
	TCase *value = new_case("value", begin_test);
	TCase *together = new_case("together", begin_test);
	TCase *waiting = new_case("waiting", begin_test);
	TCase *death = new_case("death", begin_test);
	TCase *other = new_case("other", begin_test);

	tcase_add_test(value, value_is_zero_at_first_and_then_what_was_set);
	tcase_add_test(value, add_gives_the_sum);
	tcase_add_test(value, value_overflow_wraps);
	tcase_add_test(value, compare_exchange_only_what_was_expected);
	tcase_add_test(value, max_never_lowers);
	tcase_add_test(together, value_loses_no_update);
	tcase_add_test(together, max_of_many);
	tcase_add_test(together, back_and_forth);
	tcase_add_test(waiting, wait_change_and_timeouts);
	tcase_add_loop_test(waiting, every_change_wakes_all, 0, 4);
	tcase_add_test(waiting, no_change_wakes_nobody);
	tcase_add_test(waiting, change_in_a_signal_handler);
	tcase_add_test(death, changer_dies_before_it_wakes);
	tcase_add_test(death, waiter_may_die);
	tcase_add_test(death, killed_in_the_midst);
	tcase_add_test(other, bad_counters_are_refused);
	tcase_add_test(other, counters_of_their_own);
	return run_cases("counter", value, together, waiting, death, other, NULL);
}
