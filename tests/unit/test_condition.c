/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* condition: what Python promises of Condition, and what happens when members die in one. */
#include <pthread.h>
#include <sched.h>

#include <brood/condition.h>

#include "support.h"

enum { WAITING = 1, NOTIFIED = 2 };	/* of a slot, as lib/sync/condition.c has them */

/* In shared memory of the family: what the children of a test use. */
struct scene {
	struct brood_condition condition;
	struct brood_lock lock;
	struct brood_rlock rlock;
	struct brood_contention counts;
	atomic_int woken;
	atomic_int thread;
	atomic_int handled;
	atomic_int go;
	int count;
	int taken[8];
};

static struct scene *new_scene(const struct brood_lock_opts *opts)
{
	struct scene *scene = brood_alloc(NULL, sizeof(*scene));

	ck_assert_ptr_nonnull(scene);
	ck_assert_int_eq(brood_lock_init(&scene->lock, opts), 0);
	return scene;
}

static int slots(const struct scene *scene, unsigned int state)
{
	int n = 0;

	for (int id = 0; id < BROOD_MEMBERS_MAX; id++)
		n += (scene->condition.slots[id] & 0xffff) == state;
	return n;
}

/* Returns with the lock held, when so many wait. */
static void lock_when_waiting(struct scene *scene, int n)
{
	for (;;) {
		ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
		if (slots(scene, WAITING) == n)
			return;
		ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
		sched_yield();
	}
}

static void until_woken(struct scene *scene, int n)
{
	while (atomic_load(&scene->woken) < n)
		sched_yield();
}

static void notify(struct scene *scene, int n)
{
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, n), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
}

/* Waits once: exits with the error, and gives the lock back if it has it. */
static int wait_once(void *arg)
{
	struct scene *scene = arg;
	int result;

	must(brood_lock_acquire(&scene->lock, BROOD_FOREVER) == 0);
	atomic_store(&scene->thread, (int)gettid());
	result = brood_condition_wait(&scene->condition, &scene->lock, BROOD_FOREVER);
	if (result == -EOWNERDEAD)
		must(brood_lock_recovered(&scene->lock) == 0);
	atomic_fetch_add(&scene->woken, 1);
	if (result != -ENOTRECOVERABLE)
		must(brood_lock_release(&scene->lock) == 0);
	return -result;
}

/* A child that is asleep in its wait; n wait then. Children have ids in the order of starting. */
static pid_t waiter(struct scene *scene, int n)
{
	pid_t pid = start(wait_once, scene);

	lock_when_waiting(scene, n);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert(until_asleep(atomic_load(&scene->thread)));
	return pid;
}

/* ---- wait ---- */

START_TEST(wait_must_own_the_lock)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid;

	ck_assert_int_eq(brood_condition_wait(&scene->condition, &scene->lock, 0), -EPERM);
	ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, 1), -EPERM);
	ck_assert_int_eq(brood_condition_notify_all(&scene->condition, &scene->lock), -EPERM);
	pid = waiter(scene, 1);
	notify(scene, 1);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

static int wait_with_anothers_lock(void *arg)
{
	struct scene *scene = arg;

	must(brood_condition_wait(&scene->condition, &scene->lock, BROOD_FOREVER) == -EPERM);
	must(brood_condition_notify(&scene->condition, &scene->lock, 1) == -EPERM);
	must(brood_condition_wait(&scene->condition, &scene->rlock.lock, BROOD_FOREVER) == -EPERM);
	return 0;
}

START_TEST(lock_held_by_another_is_not_owned)
{
	struct scene *scene = new_scene(NULL);

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_rlock_acquire(&scene->rlock, 0), 0);
	ck_assert_int_eq(run(wait_with_anothers_lock, scene), 0);
}
END_TEST

START_TEST(wait_times_out_with_the_lock_held)
{
	struct scene *scene = new_scene(NULL);
	struct brood_condition *condition = &scene->condition;
	int64_t begin = brood_now();

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_condition_wait(condition, &scene->lock, 0), -EAGAIN);
	ck_assert_int_eq(brood_condition_wait(condition, &scene->lock, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	ck_assert_int_eq(brood_condition_wait(condition, &scene->lock, brood_until(begin)),
			 -ETIMEDOUT);
	ck_assert_int_eq(slots(scene, 0), BROOD_MEMBERS_MAX);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
}
END_TEST

static int change_and_notify_rlock(void *arg)
{
	struct scene *scene = arg;

	must(brood_rlock_acquire(&scene->rlock, BROOD_FOREVER) == 0);
	must(brood_rlock_acquire(&scene->rlock, BROOD_FOREVER) == 0);
	must(brood_condition_notify(&scene->condition, &scene->rlock.lock, 1) == 0);
	must(brood_rlock_release(&scene->rlock) == 0);
	scene->count = 1;
	must(brood_rlock_release(&scene->rlock) == 0);
	return 0;
}

START_TEST(wait_releases_all_recursion_levels)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid;

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_rlock_acquire(&scene->rlock, 0), 0);
	ck_assert_int_eq(brood_condition_wait(&scene->condition, &scene->rlock.lock, brood_ms(5)),
			 -ETIMEDOUT);
	ck_assert_int_eq(brood_rlock_depth(&scene->rlock), 3);
	pid = start(change_and_notify_rlock, scene);
	ck_assert_int_eq(brood_condition_wait(&scene->condition, &scene->rlock.lock, BROOD_FOREVER),
			 0);
	ck_assert_int_eq(scene->count, 1);
	ck_assert_int_eq(brood_rlock_depth(&scene->rlock), 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_rlock_release(&scene->rlock), 0);
	ck_assert_int_eq(brood_rlock_release(&scene->rlock), -EPERM);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

/* The notification comes in time, the lock long after the timeout: the wait succeeds. */
static int wait_half_a_second(void *arg)
{
	struct scene *scene = arg;
	int64_t begin = brood_now();

	must(brood_lock_acquire(&scene->lock, BROOD_FOREVER) == 0);
	must(brood_condition_wait(&scene->condition, &scene->lock, brood_ms(500)) == 0);
	must(brood_now() - begin >= 500 * MS);
	must(brood_lock_release(&scene->lock) == 0);
	return 0;
}

START_TEST(reacquiring_ignores_the_timeout)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid = start(wait_half_a_second, scene);

	lock_when_waiting(scene, 1);
	ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, 1), 0);
	usleep(600000);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

/* ---- wait_for ---- */

static int is_three(void *arg)
{
	struct scene *scene = arg;

	must(brood_lock_locked(&scene->lock) == 1);
	scene->taken[0]++;
	return scene->count == 3 ? -7 : 0;
}

static int count_to_three(void *arg)
{
	struct scene *scene = arg;

	for (int i = 1; i <= 3; i++) {
		while (brood_lock_acquire(&scene->lock, BROOD_FOREVER) == 0 &&
		       slots(scene, WAITING) == 0)
			must(brood_lock_release(&scene->lock) == 0);
		scene->count = i;
		must(brood_condition_notify_all(&scene->condition, &scene->lock) == 0);
		must(brood_lock_release(&scene->lock) == 0);
	}
	return 0;
}

START_TEST(wait_for_loops_until_the_predicate_is_true)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid;

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	pid = start(count_to_three, scene);
	ck_assert_int_eq(brood_condition_wait_for(&scene->condition, &scene->lock, is_three, scene,
						  BROOD_FOREVER), 0);
	ck_assert_int_eq(scene->count, 3);
	ck_assert_int_eq(scene->taken[0], 4);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

static int notify_in_vain(void *arg)
{
	struct scene *scene = arg;

	while (atomic_load(&scene->go) == 0) {
		must(brood_lock_acquire(&scene->lock, BROOD_FOREVER) == 0);
		must(brood_condition_notify_all(&scene->condition, &scene->lock) == 0);
		must(brood_lock_release(&scene->lock) == 0);
		usleep(2000);
	}
	return 0;
}

START_TEST(wait_for_is_bounded_in_total)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid = start(notify_in_vain, scene);
	int64_t begin = brood_now();

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_condition_wait_for(&scene->condition, &scene->lock, is_three, scene,
						  brood_ms(50)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 50 * MS);
	ck_assert_int_lt(brood_now() - begin, 5000 * MS);
	ck_assert_int_ge(scene->taken[0], 2);
	ck_assert_int_eq(brood_condition_wait_for(&scene->condition, &scene->lock, is_three, scene,
						  0), -EAGAIN);
	scene->count = 3;
	ck_assert_int_eq(brood_condition_wait_for(&scene->condition, &scene->lock, is_three, scene,
						  0), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(brood_condition_wait_for(&scene->condition, &scene->lock, is_three, scene,
						  0), -EPERM);
	atomic_store(&scene->go, 1);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

/* ---- notify ---- */

START_TEST(notify_wakes_at_most_n)
{
	struct scene *scene = new_scene(NULL);
	pid_t pids[5];

	for (int i = 0; i < 5; i++)
		pids[i] = waiter(scene, i + 1);
	notify(scene, 0);
	notify(scene, -3);
	lock_when_waiting(scene, 5);
	ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, 2), 0);
	ck_assert_int_eq(slots(scene, NOTIFIED), 2);
	ck_assert_int_eq(slots(scene, WAITING), 3);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	until_woken(scene, 2);
	notify(scene, 1);
	until_woken(scene, 3);
	lock_when_waiting(scene, 2);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(atomic_load(&scene->woken), 3);
	notify(scene, 100);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
}
END_TEST

START_TEST(notify_with_nobody_waiting_stores_nothing)
{
	struct scene *scene = new_scene(NULL);

	notify(scene, 1);
	notify(scene, 5);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_condition_notify_all(&scene->condition, &scene->lock), 0);
	ck_assert_int_eq(brood_condition_wait(&scene->condition, &scene->lock, brood_ms(10)),
			 -ETIMEDOUT);
}
END_TEST

START_TEST(notify_all_is_for_those_that_wait_now)
{
	struct scene *scene = new_scene(NULL);
	pid_t pids[20], late;

	for (int i = 0; i < 20; i++)
		pids[i] = start(wait_once, scene);
	lock_when_waiting(scene, 20);
	ck_assert_int_eq(brood_condition_notify_all(&scene->condition, &scene->lock), 0);
	ck_assert_int_eq(slots(scene, NOTIFIED), 20);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	late = start(wait_once, scene);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	lock_when_waiting(scene, 1);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(atomic_load(&scene->woken), 20);
	notify(scene, 1);
	ck_assert_int_eq(end_of(late), 0);
}
END_TEST

static int wait_ten_times(void *arg)
{
	struct scene *scene = arg;

	must(brood_lock_acquire(&scene->lock, BROOD_FOREVER) == 0);
	for (int i = 0; i < 10; i++)
		must(brood_condition_wait(&scene->condition, &scene->lock, BROOD_FOREVER) == 0);
	must(brood_lock_release(&scene->lock) == 0);
	return 0;
}

/* One notification at a time, always with all three waiting: each is served exactly in turn. */
START_TEST(waiters_are_notified_in_turn)
{
	struct scene *scene = new_scene(NULL);
	pid_t pids[3];

	for (int i = 0; i < 3; i++)
		pids[i] = start(wait_ten_times, scene);
	for (int i = 0; i < 28; i++) {
		lock_when_waiting(scene, 3);
		ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, 1), 0);
		ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	}
	for (int i = 2; i > 0; i--) {
		lock_when_waiting(scene, i);
		ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, 1), 0);
		ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
}
END_TEST

START_TEST(notify_does_not_wait_for_the_sleepers)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid = waiter(scene, 1);
	int status;

	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	for (int i = 0; i < 3; i++)
		notify(scene, 1);
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

/* ---- somebody dies ---- */

START_TEST(dead_waiter_is_not_counted)
{
	struct scene *scene = new_scene(NULL);
	pid_t dead = waiter(scene, 1), other = waiter(scene, 2);

	kill_child(dead);
	notify(scene, 1);
	ck_assert_int_eq(end_of(other), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_condition_notify_all(&scene->condition, &scene->lock), 0);
	ck_assert_int_eq(slots(scene, 0), BROOD_MEMBERS_MAX);
}
END_TEST

/* The first of two is notified and killed before it can get the lock. Nobody calls anything. */
START_TEST(notification_of_a_dead_waiter_goes_to_another)
{
	struct scene *scene = new_scene(NULL);
	pid_t first = waiter(scene, 1), second = waiter(scene, 2);
	int64_t begin;

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, 1), 0);
	kill_child(first);
	ck_assert_int_eq(slots(scene, WAITING), 1);
	ck_assert_int_eq(slots(scene, NOTIFIED), 1);
	begin = brood_now();
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(end_of(second), 0);
	ck_assert_int_lt(brood_now() - begin, 90 * MS);	/* nobody needed the backstop */
	ck_assert_int_eq(slots(scene, 0), BROOD_MEMBERS_MAX);
}
END_TEST

/* Exactly one of three others gets it, though all get up to see. */
START_TEST(notification_of_a_dead_waiter_goes_to_one)
{
	struct scene *scene = new_scene(NULL);
	pid_t pids[4];
	int status;

	for (int i = 0; i < 4; i++)
		pids[i] = waiter(scene, i + 1);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, 1), 0);
	kill_child(pids[0]);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	until_woken(scene, 1);
	ck_assert_int_eq(waitpid(-1, &status, 0) > 0 && WIFEXITED(status), 1);
	lock_when_waiting(scene, 2);
	ck_assert_int_eq(slots(scene, NOTIFIED), 0);
	ck_assert_int_eq(brood_condition_notify_all(&scene->condition, &scene->lock), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(waitpid(-1, &status, 0) > 0 && status == 0, 1);
	ck_assert_int_eq(atomic_load(&scene->woken), 3);
}
END_TEST

START_TEST(notify_passes_on_what_the_dead_had)
{
	struct scene *scene = new_scene(NULL);
	pid_t pids[5];

	for (int i = 0; i < 5; i++)
		pids[i] = waiter(scene, i + 1);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, 2), 0);
	kill_child(pids[0]);
	kill_child(pids[1]);
	ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, 1), 0);
	ck_assert_int_eq(slots(scene, NOTIFIED), 3);
	ck_assert_int_eq(slots(scene, WAITING), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	for (int i = 2; i < 5; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
}
END_TEST

/* With nobody left to pass it on to, it is not stored for who comes later. */
START_TEST(notification_of_the_only_waiter_dies_with_it)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid = waiter(scene, 1);

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock, 1), 0);
	kill_child(pid);
	ck_assert_int_eq(brood_condition_wait(&scene->condition, &scene->lock, brood_ms(10)),
			 -ETIMEDOUT);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
}
END_TEST

static int die_with_the_lock(void *arg)
{
	struct scene *scene = arg;

	must(brood_lock_acquire(&scene->lock, BROOD_FOREVER) == 0);
	if (atomic_load(&scene->go))
		must(brood_condition_notify(&scene->condition, &scene->lock, 1) == 0);
	raise(SIGKILL);
	return 0;
}

/*
 * Before it notified, and after: one of the waiters gets the lock as the dead one left it; perhaps
 * the one that was notified. The others wait on.
 */
START_TEST(waiters_learn_of_the_death_of_the_owner)
{
	struct scene *scene = new_scene(NULL);
	pid_t pids[3];
	int ends[2] = { 0, 0 };

	atomic_store(&scene->go, _i);
	for (int i = 0; i < 3; i++)
		pids[i] = waiter(scene, i + 1);
	ck_assert_int_eq(run(die_with_the_lock, scene), -SIGKILL);
	until_woken(scene, 1);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_condition_notify_all(&scene->condition, &scene->lock), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	for (int i = 0; i < 3; i++) {
		int end = end_of(pids[i]);

		ck_assert(end == 0 || end == EOWNERDEAD);
		ends[end != 0]++;
	}
	ck_assert_int_eq(ends[1], 1);
	ck_assert_int_eq(slots(scene, 0), BROOD_MEMBERS_MAX);
}
END_TEST

START_TEST(waiters_of_a_forgiving_lock_wait_on)
{
	struct scene *scene = new_scene(&(struct brood_lock_opts){ .forgiving = true });
	pid_t pids[2];

	for (int i = 0; i < 2; i++)
		pids[i] = waiter(scene, i + 1);
	ck_assert_int_eq(run(die_with_the_lock, scene), -SIGKILL);
	lock_when_waiting(scene, 2);
	ck_assert_int_eq(atomic_load(&scene->woken), 0);
	ck_assert_int_eq(brood_condition_notify_all(&scene->condition, &scene->lock), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
}
END_TEST

static int lose_the_lock(void *arg)
{
	struct scene *scene = arg;

	must(brood_lock_acquire(&scene->lock, BROOD_FOREVER) == 0);
	return 0;
}

/* Somebody takes over and does not recover, by a release, or by a wait. */
START_TEST(lost_lock_ends_the_waits)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid;

	ck_assert_int_eq(run(lose_the_lock, scene), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), -EOWNERDEAD);
	ck_assert_int_eq(brood_lock_recovered(&scene->lock), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	pid = waiter(scene, 1);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
	/* As if a former owner had died just now. */
	scene->lock.word |= 2;
	if (_i)
		ck_assert_int_eq(
			brood_condition_wait(&scene->condition, &scene->lock, BROOD_FOREVER),
			-ENOTRECOVERABLE);
	else
		ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(end_of(pid), ENOTRECOVERABLE);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), -ENOTRECOVERABLE);
	ck_assert_int_eq(slots(scene, 0), BROOD_MEMBERS_MAX);
}
END_TEST

static int rlock_owner_dies(void *arg)
{
	struct scene *scene = arg;

	must(brood_rlock_acquire(&scene->rlock, BROOD_FOREVER) == 0);
	raise(SIGKILL);
	return 0;
}

START_TEST(rlock_levels_after_the_death_of_an_owner)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid;

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_rlock_acquire(&scene->rlock, 0), 0);
	pid = start(rlock_owner_dies, scene);
	ck_assert_int_eq(brood_condition_wait(&scene->condition, &scene->rlock.lock, BROOD_FOREVER),
			 -EOWNERDEAD);
	ck_assert_int_eq(brood_rlock_depth(&scene->rlock), 3);
	ck_assert_int_eq(brood_rlock_recovered(&scene->rlock), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_rlock_release(&scene->rlock), 0);
	ck_assert_int_eq(end_of(pid), -SIGKILL);
}
END_TEST

/* ---- many of them ---- */

static void must_recover(struct scene *scene, int result)
{
	if (result == -EOWNERDEAD)
		must(brood_lock_recovered(&scene->lock) == 0);
	else
		must(result == 0);
}

static int consume_for_ever(void *arg)
{
	struct scene *scene = arg;

	for (;;) {
		must_recover(scene, brood_lock_acquire(&scene->lock, BROOD_FOREVER));
		while (scene->count == 0)
			must_recover(scene, brood_condition_wait(&scene->condition, &scene->lock,
								 BROOD_FOREVER));
		if (scene->count < 0)
			break;
		scene->count--;
		must(brood_lock_release(&scene->lock) == 0);
	}
	must(brood_lock_release(&scene->lock) == 0);
	return 0;
}

/* The lock. Notify again if a waiter died that was back from its wait, and took nothing. */
static int take(struct scene *scene)
{
	int result = brood_lock_acquire(&scene->lock, BROOD_FOREVER);

	if (result == -EOWNERDEAD) {
		result = brood_lock_recovered(&scene->lock);
		ck_assert_int_eq(brood_condition_notify(&scene->condition, &scene->lock,
							scene->count), 0);
	}
	ck_assert_int_eq(result, 0);
	return scene->count;
}

/* One thing, one notification. Whoever is killed meanwhile: somebody else takes the thing. */
static void one_pair(struct scene *scene, int value)
{
	int64_t begin = brood_now();

	take(scene);
	scene->count = value;
	ck_assert_int_eq(value < 0 ? brood_condition_notify_all(&scene->condition, &scene->lock) :
				     brood_condition_notify(&scene->condition, &scene->lock, 1), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	if (value < 0)
		return;
	for (;;) {
		int left;

		for (int i = 0; i < 1000 && *(volatile int *)&scene->count; i++)
			if (i % 10 == 9)
				sched_yield();
		left = take(scene);
		ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
		if (left == 0)
			break;
		ck_assert_int_lt(brood_now() - begin, 10000 * MS);	/* lost */
	}
}

struct killer {
	pid_t victim;
	unsigned int delay;
	atomic_int order;	/* 1 = kill it, 2 = end */
};

static void *kill_when_told(void *arg)
{
	struct killer *killer = arg;
	int order;

	while ((order = atomic_load(&killer->order)) != 2) {
		if (order == 1) {
			for (volatile unsigned int i = 0; i < killer->delay; i++)
				;
			kill(killer->victim, SIGKILL);
			atomic_store(&killer->order, 0);
		}
		usleep(50);
	}
	return NULL;
}

/*
 * 100,000 pairs with three waiters, of which one is killed every 250 pairs at any moment of the
 * pair; its place is taken only when the pair is done, so that nobody new picks up what is lost.
 */
START_TEST(no_notification_is_lost_to_killed_waiters)
{
	struct scene *scene = new_scene(NULL);
	struct killer killer = { .order = 0 };
	unsigned int seed = 1;
	pthread_t thread;
	pid_t pids[3];

	for (int i = 0; i < 3; i++)
		pids[i] = start(consume_for_ever, scene);
	ck_assert_int_eq(pthread_create(&thread, NULL, kill_when_told, &killer), 0);
	for (int i = 0; i < 100000; i++) {
		int k = -1;

		if (i % 250 == 249) {
			k = rand_r(&seed) % 3;
			killer.victim = pids[k];
			killer.delay = (unsigned int)rand_r(&seed) % 20000;
			atomic_store(&killer.order, 1);
			while (rand_r(&seed) % 4 && atomic_load(&killer.order) == 1)
				;
		}
		one_pair(scene, 1);
		if (k >= 0) {
			while (atomic_load(&killer.order))
				one_pair(scene, 1);
			ck_assert_int_eq(end_of(pids[k]), -SIGKILL);
			pids[k] = start(consume_for_ever, scene);
		}
	}
	atomic_store(&killer.order, 2);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	one_pair(scene, -1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
}
END_TEST

static int pass_the_turn(void *arg)
{
	struct scene *scene = arg;
	int me = atomic_fetch_add(&scene->go, 1);

	must(brood_lock_acquire(&scene->lock, BROOD_FOREVER) == 0);
	for (int i = 0; i < 5000; i++) {
		while (scene->count % 2 != me)
			must(brood_condition_wait(&scene->condition, &scene->lock, BROOD_FOREVER) ==
			     0);
		scene->count++;
		must(brood_condition_notify(&scene->condition, &scene->lock, 1) == 0);
	}
	must(brood_lock_release(&scene->lock) == 0);
	return 0;
}

START_TEST(two_take_turns)
{
	struct scene *scene = new_scene(NULL);
	pid_t a = start(pass_the_turn, scene), b = start(pass_the_turn, scene);

	ck_assert_int_eq(end_of(a), 0);
	ck_assert_int_eq(end_of(b), 0);
	ck_assert_int_eq(scene->count, 10000);
}
END_TEST

/* ---- signals, bad input ---- */

static struct scene *handlers_scene;

static void wait_in_handler(int signal)
{
	struct scene *scene = handlers_scene;

	(void)signal;
	if (brood_lock_acquire(&scene->lock, BROOD_FOREVER))
		return;
	if (brood_condition_wait(&scene->condition, &scene->lock, BROOD_FOREVER) == -EDEADLK)
		atomic_fetch_add(&scene->handled, 1);
	brood_lock_release(&scene->lock);
}

static int wait_with_a_handler(void *arg)
{
	struct sigaction action = { .sa_handler = wait_in_handler };

	handlers_scene = arg;
	must(sigaction(SIGUSR1, &action, NULL) == 0);
	return wait_once(arg);
}

START_TEST(signal_does_not_end_a_wait)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid = start(wait_with_a_handler, scene);

	for (int i = 1; i <= 5; i++) {
		lock_when_waiting(scene, 1);
		ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
		ck_assert(until_asleep(atomic_load(&scene->thread)));
		ck_assert_int_eq(kill(pid, SIGUSR1), 0);
		while (atomic_load(&scene->handled) < i)
			sched_yield();
	}
	ck_assert_int_eq(atomic_load(&scene->woken), 0);
	notify(scene, 1);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

static void counted(struct scene *scene, uint64_t n)
{
	ck_assert_uint_eq(scene->counts.acquisitions, n);
	ck_assert_uint_eq(scene->counts.waits, n);
	ck_assert_uint_eq(scene->counts.owner_deaths, 0);
	ck_assert_int_eq(scene->counts.longest_wait > 0, n > 0);
}

static int always(void *arg)
{
	return arg != NULL;
}

START_TEST(contention_of_waits)
{
	struct scene *scene = new_scene(NULL);
	struct brood_condition *condition = &scene->condition;
	pid_t pids[2];

	ck_assert_int_eq(brood_condition_watch(condition, &scene->counts), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_condition_wait(condition, &scene->lock, 0), -EAGAIN);
	ck_assert_int_eq(brood_condition_wait(condition, &scene->lock, brood_us(1)), -ETIMEDOUT);
	ck_assert_int_eq(brood_condition_wait_for(condition, &scene->lock, always, scene, 0), 0);
	ck_assert_int_eq(brood_condition_notify(condition, &scene->lock, 1), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	kill_child(waiter(scene, 1));
	notify(scene, 1);	/* finds nobody */
	counted(scene, 0);
	for (int i = 0; i < 2; i++)
		pids[i] = waiter(scene, 1 + i);
	notify(scene, 1);
	until_woken(scene, 1);
	counted(scene, 1);
	notify(scene, 1);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	counted(scene, 2);
	pids[0] = waiter(scene, 1);
	ck_assert_int_eq(brood_condition_watch(condition, NULL), 0);
	pids[1] = waiter(scene, 2);
	notify(scene, 2);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	counted(scene, 3);	/* the one that was under way */
}
END_TEST

/* The lock counts that. */
START_TEST(contention_and_the_owners_death)
{
	struct scene *scene = new_scene(NULL);
	pid_t pid;

	ck_assert_int_eq(brood_condition_watch(&scene->condition, &scene->counts), 0);
	pid = waiter(scene, 1);
	ck_assert_int_eq(run(die_with_the_lock, scene), -SIGKILL);
	ck_assert_int_eq(end_of(pid), EOWNERDEAD);
	counted(scene, 0);
	pid = waiter(scene, 1);
	notify(scene, 1);
	ck_assert_int_eq(end_of(pid), 0);
	counted(scene, 1);
}
END_TEST

START_TEST(bad_conditions_are_refused)
{
	struct scene *scene = new_scene(NULL);
	struct brood_condition *condition = &scene->condition;
	struct brood_condition *askew = (struct brood_condition *)(void *)((char *)scene + 8);
	struct brood_lock *askew_lock = (struct brood_lock *)(void *)((char *)scene + 8);
	static struct brood_condition own;
	static struct brood_lock own_lock;
	struct {
		struct brood_condition_opts opts;
		uint64_t more;
	} newer = { .opts = { .opts_size = sizeof(newer) }, .more = 1 };

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_condition_wait(NULL, &scene->lock, 0), -EINVAL);
	ck_assert_int_eq(brood_condition_wait(condition, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_condition_wait(askew, &scene->lock, 0), -EINVAL);
	ck_assert_int_eq(brood_condition_wait(condition, askew_lock, 0), -EINVAL);
	ck_assert_int_eq(brood_condition_wait(&own, &scene->lock, 0), -EBADF);
	ck_assert_int_eq(brood_condition_wait(condition, &own_lock, 0), -EBADF);
	ck_assert_int_eq(brood_condition_notify(NULL, &scene->lock, 1), -EINVAL);
	ck_assert_int_eq(brood_condition_notify(condition, NULL, 1), -EINVAL);
	ck_assert_int_eq(brood_condition_notify_all(&own, &scene->lock), -EBADF);
	ck_assert_int_eq(brood_condition_wait_for(condition, &scene->lock, NULL, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_condition_init(NULL), -EINVAL);
	ck_assert_int_eq(brood_condition_init(askew), -EINVAL);
	ck_assert_int_eq(brood_condition_init(&own), -EBADF);
	ck_assert_int_eq(brood_condition_destroy(NULL), -EINVAL);
	ck_assert_ptr_null(brood_condition_create(&newer.opts));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* Words that nobody can have written. */
START_TEST(damaged_condition_does_not_hang)
{
	struct scene *scene = new_scene(NULL);

	memset(&scene->condition, 0xff, sizeof(scene->condition));
	memset(scene->condition.waiters, 0, sizeof(scene->condition.waiters));
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_condition_notify_all(&scene->condition, &scene->lock), 0);
	ck_assert_int_eq(brood_condition_wait(&scene->condition, &scene->lock, brood_ms(1)),
			 -ETIMEDOUT);
	ck_assert_int_eq(brood_condition_init(&scene->condition), 0);
	ck_assert_int_eq(slots(scene, 0), BROOD_MEMBERS_MAX);
}
END_TEST

START_TEST(conditions_of_their_own)
{
	const char *name = own_name("condition");
	struct brood_segment *segment = brood_segment_create(name, NULL);
	struct brood_condition *condition, *other = brood_condition_create(NULL);
	struct brood_lock *lock;

	ck_assert_ptr_nonnull(segment);
	condition = brood_condition_create(&(struct brood_condition_opts){ .segment = segment });
	lock = brood_lock_create(&(struct brood_lock_opts){ .segment = segment });
	ck_assert_ptr_nonnull(condition);
	ck_assert_ptr_nonnull(other);
	ck_assert_int_eq(brood_lock_acquire(lock, 0), 0);
	ck_assert_int_eq(brood_condition_wait(condition, lock, brood_ms(1)), -ETIMEDOUT);
	ck_assert_int_eq(brood_condition_wait(other, lock, brood_ms(1)), -EINVAL);
	ck_assert_int_eq(brood_lock_release(lock), 0);
	ck_assert_int_eq(brood_condition_destroy(condition), 0);
	ck_assert_int_eq(brood_condition_destroy(condition), -EINVAL);
	ck_assert_int_eq(brood_condition_destroy(other), 0);
	ck_assert_int_eq(brood_lock_destroy(lock), 0);
	ck_assert_int_eq(brood_segment_unlink(name), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
}
END_TEST

int main(void)
{
	TCase *wait = new_case("wait", begin_test);
	TCase *notify = new_case("notify", begin_test);
	TCase *death = new_case("death", begin_test);
	TCase *many = new_case("many", begin_test);
	TCase *other = new_case("other", begin_test);

	tcase_add_test(wait, wait_must_own_the_lock);
	tcase_add_test(wait, lock_held_by_another_is_not_owned);
	tcase_add_test(wait, wait_times_out_with_the_lock_held);
	tcase_add_test(wait, wait_releases_all_recursion_levels);
	tcase_add_test(wait, reacquiring_ignores_the_timeout);
	tcase_add_test(wait, wait_for_loops_until_the_predicate_is_true);
	tcase_add_test(wait, wait_for_is_bounded_in_total);
	tcase_add_test(notify, notify_wakes_at_most_n);
	tcase_add_test(notify, notify_with_nobody_waiting_stores_nothing);
	tcase_add_test(notify, notify_all_is_for_those_that_wait_now);
	tcase_add_test(notify, waiters_are_notified_in_turn);
	tcase_add_test(notify, notify_does_not_wait_for_the_sleepers);
	tcase_add_test(death, dead_waiter_is_not_counted);
	tcase_add_test(death, notification_of_a_dead_waiter_goes_to_another);
	tcase_add_test(death, notification_of_a_dead_waiter_goes_to_one);
	tcase_add_test(death, notify_passes_on_what_the_dead_had);
	tcase_add_test(death, notification_of_the_only_waiter_dies_with_it);
	tcase_add_loop_test(death, waiters_learn_of_the_death_of_the_owner, 0, 2);
	tcase_add_test(death, waiters_of_a_forgiving_lock_wait_on);
	tcase_add_loop_test(death, lost_lock_ends_the_waits, 0, 2);
	tcase_add_test(death, rlock_levels_after_the_death_of_an_owner);
	tcase_add_test(many, no_notification_is_lost_to_killed_waiters);
	tcase_add_test(many, two_take_turns);
	tcase_add_test(other, signal_does_not_end_a_wait);
	tcase_add_test(other, contention_of_waits);
	tcase_add_test(other, contention_and_the_owners_death);
	tcase_add_test(other, bad_conditions_are_refused);
	tcase_add_test(other, damaged_condition_does_not_hang);
	tcase_add_test(other, conditions_of_their_own);
	return run_cases("condition", wait, notify, death, many, other, NULL);
}
