/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Semaphores: what Python promises of them, and what happens when their users die. */
#include <pthread.h>
#include <sys/time.h>

#include <brood/semaphore.h>

#include "support.h"

/* In shared memory of the family: what the children of a test use. */
struct scene {
	struct brood_semaphore *semaphore;	/* the one the children use */
	struct brood_semaphore own;
	struct brood_contention counts;
	atomic_int reached;
	atomic_int thread;
	atomic_int inside;
	atomic_int most;
	atomic_int got;
};

static struct scene *new_scene(int64_t value, const struct brood_semaphore_opts *opts)
{
	struct scene *scene = brood_alloc(NULL, sizeof(*scene));

	ck_assert_ptr_nonnull(scene);
	if (opts && opts->robust) {
		scene->semaphore = brood_semaphore_create(value, opts);
		ck_assert_ptr_nonnull(scene->semaphore);
	} else {
		ck_assert_int_eq(brood_semaphore_init(&scene->own, value, opts), 0);
		scene->semaphore = &scene->own;
	}
	return scene;
}

static const struct brood_semaphore_opts bounded = { .bounded = true }, robust = { .robust = true };

static void until_reached(struct scene *scene, int n)
{
	while (atomic_load(&scene->reached) < n)
		sched_yield();
}

static int hold_for_ever(void *arg)
{
	struct scene *scene = arg;

	must(brood_semaphore_acquire(scene->semaphore, BROOD_FOREVER) == 0);
	atomic_fetch_add(&scene->reached, 1);
	while (pause())
		;
	return 0;
}

static pid_t holder(struct scene *scene)
{
	int before = atomic_load(&scene->reached);
	pid_t pid = start(hold_for_ever, scene);

	until_reached(scene, before + 1);
	return pid;
}

static int sleep_for_a_unit(void *arg)
{
	struct scene *scene = arg;

	atomic_store(&scene->thread, (int)gettid());
	atomic_fetch_add(&scene->reached, 1);
	must(brood_semaphore_acquire(scene->semaphore, BROOD_FOREVER) == 0);
	atomic_fetch_add(&scene->got, 1);
	return 0;
}

/* A child that sleeps in acquire. */
static pid_t sleeper(struct scene *scene)
{
	int before = atomic_load(&scene->reached);
	pid_t pid = start(sleep_for_a_unit, scene);

	until_reached(scene, before + 1);
	ck_assert(until_asleep(atomic_load(&scene->thread)));
	return pid;
}

static int release_in_a_child(void *arg)
{
	struct scene *scene = arg;

	return -brood_semaphore_release(scene->semaphore);
}

static int try_in_a_child(void *arg)
{
	struct scene *scene = arg;

	return -brood_semaphore_acquire(scene->semaphore, 0);
}

/* ---- Semaphore ---- */

START_TEST(semaphore_counts)
{
	struct scene *scene = new_scene(2, NULL);
	struct brood_semaphore *semaphore = scene->semaphore;
	int64_t begin;

	ck_assert_int_eq(brood_semaphore_acquire(semaphore, BROOD_FOREVER), 0);
	ck_assert_int_eq(run(try_in_a_child, scene), 0);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), -EAGAIN);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, -5), -EAGAIN);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, brood_until(1)), -ETIMEDOUT);
	begin = brood_now();
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	ck_assert_int_eq(run(try_in_a_child, scene), EAGAIN);
	for (int i = 0; i < 5; i++)	/* above the start value: it is not bounded */
		ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), -EAGAIN);
}
END_TEST

START_TEST(semaphore_release_by_any_process)
{
	struct scene *scene = new_scene(0, NULL);
	pid_t pid = sleeper(scene);

	ck_assert_int_eq(run(release_in_a_child, scene), 0);
	ck_assert_int_eq(end_of(pid), 0);
	ck_assert_int_eq(run(release_in_a_child, scene), 0);
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
}
END_TEST

START_TEST(semaphore_goes_up_to_its_maximum)
{
	struct scene *scene = new_scene(BROOD_SEMAPHORE_MAX - 1, NULL);

	ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
	ck_assert_int_eq(brood_semaphore_release(scene->semaphore), -EOVERFLOW);
	ck_assert_int_eq(brood_semaphore_value(scene->semaphore), BROOD_SEMAPHORE_MAX);
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
}
END_TEST

START_TEST(semaphore_of_minus_one_or_too_much_is_refused)
{
	struct scene *scene = new_scene(7, NULL);
	const int64_t bad[] = { -1, INT64_MIN, BROOD_SEMAPHORE_MAX + 1ll, 1ll << 32, INT64_MAX };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(brood_semaphore_init(scene->semaphore, bad[i], NULL), -EINVAL);
		ck_assert_int_eq(brood_semaphore_init(scene->semaphore, bad[i], &bounded), -EINVAL);
		errno = 0;
		ck_assert_ptr_null(brood_semaphore_create(bad[i], NULL));
		ck_assert_int_eq(errno, EINVAL);
		errno = 0;
		ck_assert_ptr_null(brood_semaphore_create(bad[i], &robust));
		ck_assert_int_eq(errno, EINVAL);
	}
	ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 7);
}
END_TEST

START_TEST(bounded_semaphore_release_above_the_start_value)
{
	for (int n = 0; n < 4; n++) {
		struct scene *scene = new_scene(n, &bounded);

		ck_assert_int_eq(brood_semaphore_release(scene->semaphore), -EOVERFLOW);
		ck_assert_int_eq(brood_semaphore_value(scene->semaphore), n);
		for (int i = 0; i < n; i++)
			ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
		ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), -EAGAIN);
		for (int i = 0; i < n; i++)
			ck_assert_int_eq(run(release_in_a_child, scene), 0);
		ck_assert_int_eq(run(release_in_a_child, scene), EOVERFLOW);
		ck_assert_int_eq(brood_semaphore_value(scene->semaphore), n);
	}
}
END_TEST

START_TEST(semaphore_get_value)
{
	const struct brood_semaphore_opts *kinds[] = { NULL, &bounded, &robust };

	for (int kind = 0; kind < 3; kind++) {
		struct scene *scene = new_scene(3, kinds[kind]);

		for (int i = 3; i > 0; i--) {
			ck_assert_int_eq(brood_semaphore_value(scene->semaphore), i);
			ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
		}
		ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 0);
		ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
		ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 1);
	}
}
END_TEST

START_TEST(semaphore_in_zeroed_memory_has_no_units)
{
	struct brood_semaphore *semaphore = brood_alloc(NULL, sizeof(*semaphore));

	ck_assert_int_eq(sizeof(*semaphore), 64);
	ck_assert_int_eq(brood_semaphore_value(semaphore), 0);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), -EAGAIN);
	ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
}
END_TEST

static int come_and_go(void *arg)
{
	struct scene *scene = arg;

	for (int i = 0; i < 4000; i++) {
		int inside, most = atomic_load(&scene->most);

		must(brood_semaphore_acquire(scene->semaphore, BROOD_FOREVER) == 0);
		inside = atomic_fetch_add(&scene->inside, 1) + 1;
		must(inside <= 2);
		while (most < inside && !atomic_compare_exchange_weak(&scene->most, &most, inside))
			;
		if (i % 8 == 0)
			sched_yield();
		atomic_fetch_sub(&scene->inside, 1);
		must(brood_semaphore_release(scene->semaphore) == 0);
	}
	return 0;
}

START_TEST(at_most_n_inside)
{
	struct scene *scene = new_scene(2, _i ? &robust : &bounded);
	pid_t pids[5];

	for (int i = 0; i < 5; i++)
		pids[i] = start(come_and_go, scene);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(atomic_load(&scene->most), 2);
	ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 2);
}
END_TEST

START_TEST(releases_wake_as_many_sleepers)
{
	struct scene *scene = new_scene(0, NULL);
	pid_t pids[3];
	int64_t begin;

	for (int i = 0; i < 3; i++)
		pids[i] = sleeper(scene);
	begin = brood_now();
	ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
	ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
	while (atomic_load(&scene->got) < 2)
		sched_yield();
	ck_assert_int_lt(brood_now() - begin, 90 * MS);	/* nobody needed the backstop */
	ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 0);
	ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
}
END_TEST

/* One child gives, the other takes; each unit is waited for. */
static int give_many(void *arg)
{
	struct scene *scene = arg;

	for (int i = 0; i < 30000; i++)
		must(brood_semaphore_release(scene->semaphore) == 0);
	return 0;
}

static int take_many(void *arg)
{
	struct scene *scene = arg;

	for (int i = 0; i < 30000; i++)
		must(brood_semaphore_acquire(scene->semaphore, BROOD_FOREVER) == 0);
	return 0;
}

START_TEST(no_unit_is_lost_or_doubled)
{
	struct scene *scene = new_scene(0, NULL);
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = start(i % 2 ? give_many : take_many, scene);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 0);
}
END_TEST

static void nothing(int signal)
{
	(void)signal;
}

START_TEST(handled_signals_do_not_end_a_wait)
{
	struct scene *scene = new_scene(1, _i ? &robust : NULL);
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = nothing };
	int64_t begin;

	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	begin = brood_now();
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, brood_ms(50)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 50 * MS);
	setitimer(ITIMER_REAL, &never, NULL);
}
END_TEST

/* ---- deaths ---- */

START_TEST(unit_of_a_dead_member_is_gone_as_in_python)
{
	struct scene *scene = new_scene(2, NULL);

	kill_child(holder(scene));
	ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 1);
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, brood_ms(5)), -ETIMEDOUT);
	ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
}
END_TEST

/*
 * The sleeper that was woken may be killed before it takes the unit: then another one does. Each
 * unit costs one that takes it, and at most one that was killed.
 */
START_TEST(dying_waiter_swallows_no_unit)
{
	enum { UNITS = 3, SLEEPERS = 2 * UNITS };
	struct scene *scene = new_scene(0, NULL);
	pid_t pids[SLEEPERS];

	for (int i = 0; i < SLEEPERS; i++)
		pids[i] = sleeper(scene);
	for (int i = 0; i < UNITS; i++) {
		int64_t begin = brood_now();

		ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
		ck_assert_int_eq(kill(pids[i], SIGKILL), 0);
		while (brood_semaphore_value(scene->semaphore))
			sched_yield();
		ck_assert_int_lt(brood_now() - begin, 90 * MS);	/* nobody needed the backstop */
	}
	for (int i = 0; i < SLEEPERS; i++)
		ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
	for (int i = 0; i < SLEEPERS; i++) {
		int end = end_of(pids[i]);

		ck_assert(end == 0 || (i < UNITS && end == -SIGKILL));
	}
}
END_TEST

START_TEST(robust_units_of_the_dead_come_back)
{
	struct scene *scene = new_scene(3, &robust);
	pid_t pids[3];

	for (int i = 0; i < 3; i++)
		pids[i] = holder(scene);
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), -EAGAIN);
	for (int i = 0; i < 3; i++) {
		kill_child(pids[i]);
		ck_assert_int_eq(brood_semaphore_value(scene->semaphore), i + 1);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), -EAGAIN);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
	ck_assert_int_eq(brood_semaphore_release(scene->semaphore), -EPERM);
}
END_TEST

START_TEST(robust_sleepers_go_on_when_the_holder_dies)
{
	struct scene *scene = new_scene(1, &robust);
	pid_t dying = holder(scene), pids[3];
	int64_t begin;

	for (int i = 0; i < 3; i++)
		pids[i] = sleeper(scene);
	begin = brood_now();
	kill_child(dying);
	/* Each ends with the unit, which is a death, too. */
	while (atomic_load(&scene->got) < 1)
		sched_yield();
	ck_assert_int_lt(brood_now() - begin, 90 * MS);	/* nobody needed the backstop */
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(atomic_load(&scene->got), 3);
}
END_TEST

static void *take_and_end(void *arg)
{
	struct scene *scene = arg;

	atomic_store(&scene->got, -brood_semaphore_acquire(scene->semaphore, 0));
	return NULL;
}

START_TEST(robust_unit_of_a_thread_that_ended)
{
	struct scene *scene = new_scene(1, &robust);
	pthread_t thread;

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, take_and_end, scene), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		ck_assert_int_eq(atomic_load(&scene->got), 0);
		ck_assert_int_eq(brood_semaphore_release(scene->semaphore), -EPERM);
		ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 1);
	}
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, BROOD_FOREVER), 0);
}
END_TEST

START_TEST(robust_release_by_a_holder_only)
{
	struct scene *scene = new_scene(2, &robust);

	ck_assert_int_eq(brood_semaphore_release(scene->semaphore), -EPERM);
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
	ck_assert_int_eq(run(release_in_a_child, scene), EPERM);
	ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 1);
	ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
	ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 2);
}
END_TEST

START_TEST(robust_of_many_units)
{
	struct brood_semaphore *semaphore;
	const int many = BROOD_SEMAPHORE_ROBUST_MAX;

	ck_assert_ptr_null(brood_semaphore_create(0, &robust));
	ck_assert_ptr_null(brood_semaphore_create(many + 1, &robust));
	semaphore = brood_semaphore_create(many, &robust);
	ck_assert_ptr_nonnull(semaphore);
	for (int i = 0; i < many; i++)
		ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), -EAGAIN);
	for (int i = 0; i < many; i++)
		ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
	ck_assert_int_eq(brood_semaphore_release(semaphore), -EPERM);
	ck_assert_int_eq(brood_semaphore_value(semaphore), many);
	ck_assert_int_eq(brood_semaphore_destroy(semaphore), 0);
}
END_TEST

/* Killed anywhere in acquire, release, or asleep: all the units are there at the end. */
static int come_and_go_for_ever(void *arg)
{
	struct scene *scene = arg;

	atomic_fetch_add(&scene->reached, 1);
	for (;;) {
		must(brood_semaphore_acquire(scene->semaphore, BROOD_FOREVER) == 0);
		must(brood_semaphore_release(scene->semaphore) == 0);
		atomic_fetch_add(&scene->got, 1);
	}
}

START_TEST(robust_units_survive_kills_anywhere)
{
	enum { ROUNDS = 60, CROWD = 3 };
	struct scene *scene = new_scene(2, &robust);
	pid_t pids[CROWD];

	for (int i = 0; i < CROWD; i++)
		pids[i] = start(come_and_go_for_ever, scene);
	until_reached(scene, CROWD);
	for (int round = 0; round < ROUNDS; round++) {
		int before = atomic_load(&scene->got);

		kill_child(pids[round % CROWD]);
		while (atomic_load(&scene->got) < before + 20)	/* the survivors go on */
			sched_yield();
		pids[round % CROWD] = start(come_and_go_for_ever, scene);
	}
	for (int i = 0; i < CROWD; i++)
		kill_child(pids[i]);
	ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 2);
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
	ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), -EAGAIN);
}
END_TEST

/* ---- bad input, other places ---- */

/* ---- contention ---- */

static void counted(struct scene *scene, uint64_t acquisitions, uint64_t waits, uint64_t deaths)
{
	ck_assert_uint_eq(scene->counts.acquisitions, acquisitions);
	ck_assert_uint_eq(scene->counts.waits, waits);
	ck_assert_uint_eq(scene->counts.owner_deaths, deaths);
	ck_assert_int_eq(scene->counts.longest_wait > 0, waits > 0);
}

/* Of each kind; and what it does is the same as ever. */
START_TEST(contention_of_acquires)
{
	static const struct brood_semaphore_opts *const kinds[] = { NULL, &bounded, &robust };
	struct scene *scene = new_scene(2, kinds[_i]);
	struct brood_semaphore *semaphore = scene->semaphore;
	pid_t pid;

	ck_assert_int_eq(brood_semaphore_watch(semaphore, &scene->counts), 0);
	ck_assert_int_eq(brood_semaphore_value(semaphore), 2);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), -EAGAIN);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, brood_us(1)), -ETIMEDOUT);
	ck_assert_int_eq(brood_semaphore_value(semaphore), 0);
	counted(scene, 2, 0, 0);
	kill_child(sleeper(scene));
	counted(scene, 2, 0, 0);
	pid = sleeper(scene);
	ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
	ck_assert_int_eq(end_of(pid), 0);
	counted(scene, 3, 1, 0);
	if (kinds[_i] != &robust)	/* else that child's comes back */
		ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
	ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
	ck_assert_int_eq(brood_semaphore_value(semaphore), 2);
	ck_assert_int_eq(brood_semaphore_release(semaphore),
			 kinds[_i] == &robust ? -EPERM : kinds[_i] ? -EOVERFLOW : 0);
	ck_assert_int_eq(brood_semaphore_watch(semaphore, NULL), 0);
	ck_assert_int_eq(brood_semaphore_value(semaphore), kinds[_i] ? 2 : 3);
	/* No flag: nobody goes the slow way any more. */
	ck_assert_uint_eq(semaphore->value, kinds[_i] == &robust ? 0 : kinds[_i] ? 2 : 3);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
	counted(scene, 3, 1, 0);
}
END_TEST

START_TEST(contention_with_units_of_the_dead)
{
	struct scene *scene = new_scene(1, &robust);
	struct brood_semaphore *semaphore = scene->semaphore;

	ck_assert_int_eq(brood_semaphore_watch(semaphore, &scene->counts), 0);
	for (uint64_t i = 1; i <= 3; i++) {
		kill_child(holder(scene));
		ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
		ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
		counted(scene, 2 * i, 0, i);
	}
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
	counted(scene, 7, 0, 3);
}
END_TEST

START_TEST(contention_up_to_the_maximum)
{
	struct scene *scene = new_scene(BROOD_SEMAPHORE_MAX, NULL);
	struct brood_semaphore *semaphore = scene->semaphore;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(brood_semaphore_value(semaphore), BROOD_SEMAPHORE_MAX);
		ck_assert_int_eq(brood_semaphore_release(semaphore), -EOVERFLOW);
		ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
		ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
		ck_assert_int_eq(brood_semaphore_watch(semaphore, &scene->counts), 0);
	}
	counted(scene, 1, 0, 0);
	ck_assert_int_eq(brood_semaphore_init(semaphore, 0, NULL), 0);
	ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
	counted(scene, 1, 0, 0);
}
END_TEST

START_TEST(bad_semaphores_are_refused)
{
	struct scene *scene = new_scene(1, NULL);
	struct {
		struct brood_semaphore_opts opts;
		uint64_t more;
	} newer = { .opts = { .opts_size = sizeof(newer) }, .more = 1 };
	struct brood_semaphore own = { 0 };
	struct brood_semaphore *askew = (struct brood_semaphore *)(void *)((char *)scene + 8);

	ck_assert_int_eq(brood_semaphore_init(NULL, 1, NULL), -EINVAL);
	ck_assert_int_eq(brood_semaphore_acquire(NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_semaphore_release(NULL), -EINVAL);
	ck_assert_int_eq(brood_semaphore_value(NULL), -EINVAL);
	ck_assert_int_eq(brood_semaphore_destroy(NULL), -EINVAL);
	ck_assert_int_eq(brood_semaphore_init(&own, 1, NULL), -EBADF);
	ck_assert_int_eq(brood_semaphore_acquire(&own, 0), -EBADF);
	ck_assert_int_eq(brood_semaphore_release(&own), -EBADF);
	ck_assert_int_eq(brood_semaphore_value(&own), -EBADF);
	ck_assert_int_eq(brood_semaphore_init(askew, 1, NULL), -EINVAL);
	ck_assert_int_eq(brood_semaphore_acquire(askew, 0), -EINVAL);
	ck_assert_int_eq(brood_semaphore_release(askew), -EINVAL);
	ck_assert_int_eq(brood_semaphore_value(askew), -EINVAL);
	ck_assert_int_eq(brood_semaphore_destroy(&scene->own), -EINVAL);
	ck_assert_int_eq(brood_semaphore_init(scene->semaphore, 1, &newer.opts), -EINVAL);
	ck_assert_int_eq(brood_semaphore_init(scene->semaphore, 1, &robust), -EINVAL);
	ck_assert_ptr_null(brood_semaphore_create(1, &newer.opts));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(brood_semaphore_value(scene->semaphore), 1);
}
END_TEST

START_TEST(overwritten_semaphores_do_no_harm)
{
	struct scene *scene = new_scene(1, NULL);
	struct brood_semaphore *semaphore = brood_semaphore_create(2, &robust);

	memset(&scene->own, 0xff, sizeof(scene->own));
	ck_assert_int_eq(brood_semaphore_value(&scene->own), -EPROTO);
	memset(semaphore->waiters, 0xff, sizeof(semaphore->waiters));
	semaphore->hint = UINT32_MAX;
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
	semaphore->hint = UINT32_MAX;
	ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
	memset(semaphore + 1, 0xff, 2 * sizeof(uint64_t));	/* held by nobody there ever was */
	ck_assert_int_eq(brood_semaphore_value(semaphore), 2);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
	semaphore->units = UINT32_MAX;
	ck_assert_int_eq(brood_semaphore_watch(semaphore, NULL), -EPROTO);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), -EPROTO);
	ck_assert_int_eq(brood_semaphore_release(semaphore), -EPROTO);
	ck_assert_int_eq(brood_semaphore_destroy(semaphore), 0);
}
END_TEST

START_TEST(semaphores_of_their_own)
{
	struct brood_semaphore *plain = brood_semaphore_create(0, NULL);
	struct brood_semaphore *limited = brood_semaphore_create(1, &bounded);

	ck_assert_ptr_nonnull(plain);
	ck_assert_ptr_nonnull(limited);
	ck_assert_int_eq(brood_semaphore_release(plain), 0);
	ck_assert_int_eq(brood_semaphore_release(limited), -EOVERFLOW);
	ck_assert_int_eq(brood_semaphore_destroy(plain), 0);
	ck_assert_int_eq(brood_semaphore_destroy(plain), -EINVAL);
	ck_assert_int_eq(brood_semaphore_destroy(limited), 0);
}
END_TEST

START_TEST(semaphore_in_a_named_segment)
{
	const char *name = own_name("semaphore");
	struct brood_segment *segment = brood_segment_create(name, NULL);
	struct brood_semaphore_opts opts = { .robust = _i };
	struct brood_semaphore *semaphore;
	struct scene *scene = new_scene(1, NULL);

	ck_assert_ptr_nonnull(segment);
	opts.segment = segment;
	semaphore = brood_semaphore_create(1, &opts);
	ck_assert_ptr_nonnull(semaphore);
	for (int i = 0; i < 3; i++) {	/* between two segments */
		ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
		ck_assert_int_eq(brood_semaphore_acquire(scene->semaphore, 0), 0);
		ck_assert_int_eq(brood_semaphore_release(semaphore), 0);
		ck_assert_int_eq(brood_semaphore_release(scene->semaphore), 0);
	}
	ck_assert_int_eq(brood_semaphore_destroy(semaphore), 0);
	ck_assert_int_eq(brood_segment_unlink(name), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), -EBADF);
}
END_TEST

int main(void)
{
	TCase *semaphore = new_case("semaphore", begin_test);
	TCase *death = new_case("death", begin_test);
	TCase *other = new_case("other", begin_test);

	tcase_add_test(semaphore, semaphore_counts);
	tcase_add_test(semaphore, semaphore_release_by_any_process);
	tcase_add_test(semaphore, semaphore_goes_up_to_its_maximum);
	tcase_add_test(semaphore, semaphore_of_minus_one_or_too_much_is_refused);
	tcase_add_test(semaphore, bounded_semaphore_release_above_the_start_value);
	tcase_add_test(semaphore, semaphore_get_value);
	tcase_add_test(semaphore, semaphore_in_zeroed_memory_has_no_units);
	tcase_add_loop_test(semaphore, at_most_n_inside, 0, 2);
	tcase_add_test(semaphore, releases_wake_as_many_sleepers);
	tcase_add_test(semaphore, no_unit_is_lost_or_doubled);
	tcase_add_loop_test(semaphore, handled_signals_do_not_end_a_wait, 0, 2);
	tcase_add_test(death, unit_of_a_dead_member_is_gone_as_in_python);
	tcase_add_test(death, dying_waiter_swallows_no_unit);
	tcase_add_test(death, robust_units_of_the_dead_come_back);
	tcase_add_test(death, robust_sleepers_go_on_when_the_holder_dies);
	tcase_add_test(death, robust_unit_of_a_thread_that_ended);
	tcase_add_test(death, robust_release_by_a_holder_only);
	tcase_add_test(death, robust_of_many_units);
	tcase_add_test(death, robust_units_survive_kills_anywhere);
	tcase_add_loop_test(other, contention_of_acquires, 0, 3);
	tcase_add_test(other, contention_with_units_of_the_dead);
	tcase_add_test(other, contention_up_to_the_maximum);
	tcase_add_test(other, bad_semaphores_are_refused);
	tcase_add_test(other, overwritten_semaphores_do_no_harm);
	tcase_add_test(other, semaphores_of_their_own);
	tcase_add_loop_test(other, semaphore_in_a_named_segment, 0, 2);
	return run_cases("semaphore", semaphore, death, other, NULL);
}
