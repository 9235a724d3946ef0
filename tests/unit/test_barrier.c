/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* barrier: what Python promises of Barrier, and what happens when parties die in it. */
#include <pthread.h>
#include <sched.h>

#include <brood/barrier.h>
#include <brood/lock.h>

#include "support.h"

enum { ROUNDS = 1000 };

/* In shared memory of the family: what the children of a test use. */
struct scene {
	struct brood_barrier barrier;
	struct brood_lock lock;
	struct brood_contention counts;
	int rounds;
	int64_t timeout;
	atomic_int arrived[ROUNDS + 1];
	atomic_int indices[64];
	atomic_int action_runs;
	atomic_int thread;
	atomic_int in_action;
	atomic_int returned;
	int action_result;
	int plain;		/* written by the first, read by all */
};

static struct scene *new_scene(int parties)
{
	struct scene *scene = brood_alloc(NULL, sizeof(*scene));

	ck_assert_ptr_nonnull(scene);
	ck_assert_int_eq(brood_barrier_init(&scene->barrier, parties), 0);
	scene->timeout = BROOD_FOREVER;
	return scene;
}

static void until_waiting(struct scene *scene, int n)
{
	while (brood_barrier_n_waiting(&scene->barrier) != n)
		sched_yield();
}

static int notes(const struct scene *scene)
{
	int n = 0;

	for (int id = 0; id < BROOD_MEMBERS_MAX; id++)
		n += scene->barrier.slots[id] != 0;
	return n;
}

static int wait_here(struct scene *scene)
{
	return brood_barrier_wait(&scene->barrier, BROOD_FOREVER);
}

/* Exits with the index, or 100 + errno. */
static int wait_once(void *arg)
{
	struct scene *scene = arg;
	int result;

	atomic_store(&scene->thread, (int)gettid());
	result = brood_barrier_wait(&scene->barrier, scene->timeout);
	atomic_fetch_add(&scene->returned, 1);
	return result < 0 ? 100 - result : result;
}

/* A child that is asleep in its wait; n wait then. Children have ids in the order of starting. */
static pid_t waiter(struct scene *scene, int n)
{
	pid_t pid = start(wait_once, scene);

	until_waiting(scene, n);
	ck_assert(until_asleep(atomic_load(&scene->thread)));
	return pid;
}

static void stop(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
}

static void let_go_on(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
}

/* ---- rounds ---- */

START_TEST(last_party_releases_all_with_different_indices)
{
	struct scene *scene = new_scene(5);
	unsigned int seen = 0;
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = waiter(scene, i + 1);
	ck_assert_int_eq(atomic_load(&scene->returned), 0);
	ck_assert_int_eq(wait_here(scene), 4);
	for (int i = 0; i < 4; i++)
		seen |= 1u << end_of(pids[i]);
	ck_assert_uint_eq(seen, 0xf);
}
END_TEST

static int go_round(void *arg)
{
	struct scene *scene = arg;
	int parties = brood_barrier_parties(&scene->barrier), index;

	for (int i = 0; i < scene->rounds; i++) {
		atomic_fetch_add_explicit(&scene->arrived[i], 1, memory_order_relaxed);
		index = wait_here(scene);
		must(index >= 0 && index < parties);
		atomic_fetch_add(&scene->indices[index], 1);
		/* All have come to this round, and none to the one after the next. */
		must(atomic_load_explicit(&scene->arrived[i], memory_order_relaxed) == parties);
		must(i + 2 >= scene->rounds || atomic_load(&scene->arrived[i + 2]) == 0);
	}
	return 0;
}

START_TEST(barrier_is_reusable_at_once_1000_rounds)
{
	static const int parties_of[] = { 1, 2, 3, 8 };
	int parties = parties_of[_i];
	struct scene *scene = new_scene(parties);
	pid_t pids[8];

	scene->rounds = ROUNDS;
	for (int i = 0; i < parties; i++)
		pids[i] = start(go_round, scene);
	for (int i = 0; i < parties; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	for (int i = 0; i < parties; i++)
		ck_assert_int_eq(atomic_load(&scene->indices[i]), ROUNDS);
	ck_assert_int_eq(brood_barrier_n_waiting(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 0);
}
END_TEST

static void *go_round_in_a_thread(void *arg)
{
	go_round(arg);
	return NULL;
}

START_TEST(parties_may_be_threads)
{
	struct scene *scene = new_scene(3);
	pthread_t threads[2];

	scene->rounds = ROUNDS;
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, go_round_in_a_thread, scene), 0);
	go_round(scene);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

static int count_run(void *arg)
{
	struct scene *scene = arg;

	atomic_fetch_add(&scene->action_runs, 1);
	return 0;
}

static int take_part_until_broken(void *arg)
{
	struct scene *scene = arg;
	int (*action)(void *) = scene->plain ? count_run : NULL;
	int index;

	while ((index = brood_barrier_wait_action(&scene->barrier, action, scene,
						  BROOD_FOREVER)) >= 0)
		atomic_fetch_add(&scene->indices[index], 1);
	must(index == -EPIPE);
	return 0;
}

/* 6 members, 3 parties: each round has one of each index, also the last ones, at the abort. */
START_TEST(more_members_than_parties)
{
	struct scene *scene = new_scene(3);
	pid_t pids[6];
	int rounds;

	scene->plain = _i;
	for (int i = 0; i < 6; i++)
		pids[i] = start(take_part_until_broken, scene);
	while (atomic_load(&scene->indices[0]) < ROUNDS)
		sched_yield();
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_abort(&scene->barrier), 0);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	rounds = atomic_load(&scene->indices[0]);
	ck_assert_int_eq(atomic_load(&scene->indices[1]), rounds);
	ck_assert_int_eq(atomic_load(&scene->indices[2]), rounds);
	if (_i) {	/* one action may have run when the abort came */
		ck_assert_int_ge(atomic_load(&scene->action_runs), rounds);
		ck_assert_int_le(atomic_load(&scene->action_runs), rounds + 1);
	}
}
END_TEST

/* ---- action ---- */

static int act(void *arg)
{
	struct scene *scene = arg;

	atomic_fetch_add(&scene->action_runs, 1);
	scene->plain++;
	must(atomic_load(&scene->returned) == 0);
	must(brood_barrier_wait(&scene->barrier, 0) == -EDEADLK);
	if (atomic_load(&scene->in_action) == 1) {
		atomic_store(&scene->in_action, 2);
		while (pause())
			;
	}
	return scene->action_result;
}

static int wait_with_action(void *arg)
{
	struct scene *scene = arg;
	int result;

	atomic_store(&scene->thread, (int)gettid());
	result = brood_barrier_wait_action(&scene->barrier, act, scene, scene->timeout);
	must(result < 0 || scene->plain == 1);
	atomic_fetch_add(&scene->returned, 1);
	return result < 0 ? 100 - result : result;
}

START_TEST(action_runs_in_exactly_one_before_the_release)
{
	struct scene *scene = new_scene(4);
	unsigned int seen = 0;
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = start(wait_with_action, scene);
	for (int i = 0; i < 4; i++)
		seen |= 1u << end_of(pids[i]);
	ck_assert_uint_eq(seen, 0xf);
	ck_assert_int_eq(atomic_load(&scene->action_runs), 1);
}
END_TEST

/* An error of its own, and a positive one. */
START_TEST(failing_action_breaks_the_barrier)
{
	struct scene *scene = new_scene(3);
	pid_t pids[2];

	scene->action_result = _i ? 5 : -5;
	for (int i = 0; i < 2; i++)
		pids[i] = start(wait_with_action, scene);
	until_waiting(scene, 2);
	ck_assert_int_eq(brood_barrier_wait_action(&scene->barrier, act, scene, BROOD_FOREVER), -5);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), 100 + EPIPE);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 1);
	ck_assert_int_eq(wait_here(scene), -EPIPE);
}
END_TEST

/* While it runs, the others may be late, or somebody breaks or resets the barrier. */
static int abort_in_action(void *arg)
{
	struct scene *scene = arg;

	must(brood_barrier_n_waiting(&scene->barrier) == 2);
	return brood_barrier_abort(&scene->barrier);
}

static int reset_in_action(void *arg)
{
	struct scene *scene = arg;

	return brood_barrier_reset(&scene->barrier);
}

static int dawdle_in_action(void *arg)
{
	struct scene *scene = arg;

	while (atomic_load(&scene->returned) == 0)
		sched_yield();
	return 0;
}

START_TEST(barrier_broken_while_the_action_runs)
{
	static int (*const actions[])(void *) = { abort_in_action, reset_in_action,
						  dawdle_in_action };
	static const int ends[] = { EPIPE, EPIPE, ETIMEDOUT };
	struct scene *scene = new_scene(2);
	pid_t pid;

	scene->timeout = _i == 2 ? brood_ms(30) : BROOD_FOREVER;
	pid = start(wait_once, scene);
	until_waiting(scene, 1);
	ck_assert_int_eq(brood_barrier_wait_action(&scene->barrier, actions[_i], scene,
						   BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(end_of(pid), 100 + ends[_i]);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), _i != 1);
}
END_TEST

START_TEST(late_comer_waits_for_the_next_round)
{
	struct scene *scene = new_scene(2);
	pid_t first = waiter(scene, 1), runner, late;

	atomic_store(&scene->in_action, 1);
	runner = start(wait_with_action, scene);
	while (atomic_load(&scene->in_action) != 2)
		sched_yield();
	ck_assert_int_eq(brood_barrier_n_waiting(&scene->barrier), 2);
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, 0), -EAGAIN);
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, brood_ms(5)), -ETIMEDOUT);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 0);
	late = start(wait_once, scene);
	kill_child(runner);	/* its round breaks, and the late one finds it broken */
	ck_assert_int_eq(end_of(first), 100 + EPIPE);
	ck_assert_int_eq(end_of(late), 100 + EPIPE);
}
END_TEST

/* ---- broken ---- */

START_TEST(timeout_breaks_the_barrier_for_all)
{
	struct scene *scene = new_scene(4);
	pid_t pids[2];
	int64_t begin;

	for (int i = 0; i < 2; i++)
		pids[i] = waiter(scene, i + 1);
	begin = brood_now();
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), 100 + EPIPE);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 1);
	ck_assert_int_eq(brood_barrier_n_waiting(&scene->barrier), 0);
	ck_assert_int_eq(wait_here(scene), -EPIPE);
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, 0), -EPIPE);
	ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, brood_until(begin)), -ETIMEDOUT);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 1);
}
END_TEST

START_TEST(timeout_0_comes_last_or_not_at_all)
{
	struct scene *scene = new_scene(2);
	pid_t pid;

	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, 0), -EAGAIN);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_n_waiting(&scene->barrier), 0);
	pid = waiter(scene, 1);
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, 0), 1);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

START_TEST(abort_breaks_until_reset)
{
	struct scene *scene = new_scene(3);
	pid_t pids[2];

	for (int i = 0; i < 2; i++)
		pids[i] = waiter(scene, i + 1);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(brood_barrier_abort(&scene->barrier), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), 100 + EPIPE);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(wait_here(scene), -EPIPE);
	ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	for (int i = 0; i < 2; i++)
		pids[i] = waiter(scene, i + 1);
	ck_assert_int_eq(wait_here(scene), 2);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), i);
}
END_TEST

START_TEST(reset_sends_away_those_waiting)
{
	struct scene *scene = new_scene(3);
	pid_t pids[2];

	ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	for (int i = 0; i < 2; i++)
		pids[i] = waiter(scene, i + 1);
	ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_n_waiting(&scene->barrier), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), 100 + EPIPE);
	for (int i = 0; i < 2; i++)
		pids[i] = waiter(scene, i + 1);
	ck_assert_int_eq(wait_here(scene), 2);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), i);
}
END_TEST

/* A party that is stopped learns how its own round ended, whatever has happened since. */
START_TEST(slow_party_of_a_released_round_has_its_index)
{
	struct scene *scene = new_scene(2);
	pid_t slow = waiter(scene, 1), other;

	stop(slow);
	ck_assert_int_eq(wait_here(scene), 1);
	if (_i & 1) {		/* another round, released */
		other = waiter(scene, 1);
		ck_assert_int_eq(wait_here(scene), 1);
		ck_assert_int_eq(end_of(other), 0);
	}
	if (_i & 2) {		/* another round, sent away */
		other = waiter(scene, 1);
		ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
		ck_assert_int_eq(end_of(other), 100 + EPIPE);
	}
	if (_i & 4)
		ck_assert_int_eq(brood_barrier_abort(&scene->barrier), 0);
	let_go_on(slow);
	ck_assert_int_eq(end_of(slow), 0);
}
END_TEST

START_TEST(slow_party_of_a_reset_round_knows)
{
	struct scene *scene = new_scene(2);
	pid_t slow = waiter(scene, 1), other;

	stop(slow);
	if (_i & 1)
		ck_assert_int_eq(brood_barrier_abort(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	other = waiter(scene, 1);
	ck_assert_int_eq(wait_here(scene), 1);
	ck_assert_int_eq(end_of(other), 0);
	let_go_on(slow);
	ck_assert_int_eq(end_of(slow), 100 + EPIPE);
}
END_TEST

START_TEST(parties_n_waiting_and_broken_are_readable)
{
	struct scene *scene = new_scene(3);
	pid_t pids[2];

	ck_assert_int_eq(brood_barrier_parties(&scene->barrier), 3);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(brood_barrier_n_waiting(&scene->barrier), i);
		ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 0);
		pids[i] = waiter(scene, i + 1);
	}
	ck_assert_int_eq(wait_here(scene), 2);
	ck_assert_int_eq(brood_barrier_n_waiting(&scene->barrier), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), i);
}
END_TEST

/* ---- somebody dies ---- */

START_TEST(death_of_a_party_wakes_the_others)
{
	struct scene *scene = new_scene(4);
	pid_t pids[3];
	int64_t begin;

	for (int i = 0; i < 3; i++)
		pids[i] = waiter(scene, i + 1);
	begin = brood_now();
	kill_child(pids[_i]);
	for (int i = 0; i < 3; i++)
		if (i != _i)
			ck_assert_int_eq(end_of(pids[i]), 100 + EPIPE);
	ck_assert_int_lt(brood_now() - begin, 90 * MS);
	ck_assert_int_eq(wait_here(scene), -EPIPE);
	ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	for (int i = 0; i < 3; i++)
		pids[i] = waiter(scene, i + 1);
	ck_assert_int_eq(wait_here(scene), 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(pids[i]), i);
}
END_TEST

/* Nobody else is inside, who could be woken: whoever looks finds it. */
static int look_at_the_dead(struct scene *scene, int how)
{
	switch (how) {
	case 0:
		return brood_barrier_broken(&scene->barrier) == 1;
	case 1:
		return brood_barrier_n_waiting(&scene->barrier) == 0;
	case 2:			/* as the last party */
		return wait_here(scene) == -EPIPE;
	case 3:
		return brood_barrier_wait_action(&scene->barrier, act, scene, 0) == -EPIPE;
	default:		/* a new member, which has the id of the dead one: it is swept before */
		ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
		ck_assert_int_eq(brood_lock_acquire(&scene->lock, brood_ms(1)), -ETIMEDOUT);
		return run(wait_once, scene) == 100 + EPIPE;
	}
}

START_TEST(death_of_a_party_is_found)
{
	struct scene *scene = new_scene(_i < 4 ? 2 : 3);

	kill_child(waiter(scene, 1));
	ck_assert(look_at_the_dead(scene, _i));
	ck_assert_int_eq(atomic_load(&scene->action_runs), 0);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 1);
}
END_TEST

START_TEST(reset_after_a_death_makes_it_usable)
{
	struct scene *scene = new_scene(2);
	pid_t pid;

	kill_child(waiter(scene, 1));
	ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 0);
	pid = waiter(scene, 1);
	ck_assert_int_eq(wait_here(scene), 1);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

START_TEST(death_of_the_action_runner)
{
	struct scene *scene = new_scene(3);
	pid_t pids[2], runner;

	for (int i = 0; i < 2; i++)
		pids[i] = waiter(scene, i + 1);
	atomic_store(&scene->in_action, 1);
	runner = start(wait_with_action, scene);
	while (atomic_load(&scene->in_action) != 2)
		sched_yield();
	kill_child(runner);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), 100 + EPIPE);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 1);
}
END_TEST

static int die_in_action(void *arg)
{
	kill_child(*(pid_t *)arg);
	return 0;
}

START_TEST(party_dies_while_the_action_runs)
{
	struct scene *scene = new_scene(2);
	pid_t pid = waiter(scene, 1);

	ck_assert_int_eq(brood_barrier_wait_action(&scene->barrier, die_in_action, &pid,
						   BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 1);
}
END_TEST

/* It is still in its wait, but of a round that is over: released, or reset. */
START_TEST(death_behind_its_round_breaks_nothing)
{
	struct scene *scene = new_scene(2);
	pid_t slow = waiter(scene, 1), other;

	stop(slow);
	if (_i == 0)
		ck_assert_int_eq(wait_here(scene), 1);
	else
		ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	other = waiter(scene, 1);
	kill_child(slow);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 0);
	ck_assert_int_eq(notes(scene), 1);	/* what the dead one left is cleared */
	ck_assert_int_eq(wait_here(scene), 1);
	ck_assert_int_eq(end_of(other), 0);
}
END_TEST

static void *wait_in_a_thread(void *arg)
{
	struct scene *scene = arg;

	wait_here(scene);
	return NULL;
}

START_TEST(thread_that_ended_is_not_inside)
{
	struct scene *scene = new_scene(2);
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, wait_in_a_thread, scene), 0);
	ck_assert_int_eq(wait_here(scene) >= 0, 1);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 0);
}
END_TEST

/*
 * One of three is killed at any instruction. If it was between two waits, or its round was over,
 * the others wait for it rightly: hence the abort. The barrier is as good as new after a reset.
 */
START_TEST(killed_anywhere)
{
	struct scene *scene = new_scene(3);
	unsigned int seed = 1;

	scene->plain = 1;
	for (int i = 0; i < 300; i++) {
		int before = atomic_load(&scene->action_runs), k = rand_r(&seed) % 3;
		pid_t pids[3];

		for (int j = 0; j < 3; j++)
			pids[j] = start(take_part_until_broken, scene);
		while (atomic_load(&scene->action_runs) < before + 2)
			sched_yield();
		for (volatile unsigned int j = (unsigned int)rand_r(&seed) % 10000; j > 0; j--)
			;
		kill_child(pids[k]);
		ck_assert_int_eq(brood_barrier_abort(&scene->barrier), 0);
		for (int j = 0; j < 3; j++)
			if (j != k)
				ck_assert_int_eq(end_of(pids[j]), 0);
		ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	}
}
END_TEST

/* A party dies inside reset, or is about to: the barrier is as before, broken, or reset. */
static int reset_for_ever(void *arg)
{
	struct scene *scene = arg;

	for (;;) {
		must(brood_barrier_reset(&scene->barrier) == 0);
		atomic_fetch_add(&scene->action_runs, 1);
	}
	return 0;
}

START_TEST(resetter_may_die)
{
	struct scene *scene = new_scene(2);

	for (int i = 0; i < 100; i++) {
		int before = atomic_load(&scene->action_runs);
		pid_t resetter = start(reset_for_ever, scene), pid;

		while (atomic_load(&scene->action_runs) < before + 10)
			sched_yield();
		kill_child(resetter);
		ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
		pid = start(wait_once, scene);
		until_waiting(scene, 1);
		ck_assert_int_eq(wait_here(scene), 1);
		ck_assert_int_eq(end_of(pid), 0);
	}
}
END_TEST

/* ---- signals, bad input ---- */

static struct scene *handlers_scene;

static void wait_in_handler(int signal)
{
	(void)signal;
	if (brood_barrier_wait(&handlers_scene->barrier, BROOD_FOREVER) == -EDEADLK)
		atomic_fetch_add(&handlers_scene->action_runs, 1);
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
	struct scene *scene = new_scene(2);
	pid_t pid = start(wait_with_a_handler, scene);

	until_waiting(scene, 1);
	for (int i = 1; i <= 5; i++) {
		ck_assert(until_asleep(atomic_load(&scene->thread)));
		ck_assert_int_eq(kill(pid, SIGUSR1), 0);
		while (atomic_load(&scene->action_runs) < i)
			sched_yield();
	}
	ck_assert_int_eq(atomic_load(&scene->returned), 0);
	ck_assert_int_eq(wait_here(scene), 1);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

/* ---- contention ---- */

static void counted(struct scene *scene, uint64_t acquisitions, uint64_t waits, uint64_t deaths)
{
	ck_assert_uint_eq(scene->counts.acquisitions, acquisitions);
	ck_assert_uint_eq(scene->counts.waits, waits);
	ck_assert_uint_eq(scene->counts.owner_deaths, deaths);
	ck_assert_int_eq(scene->counts.longest_wait > 0, waits > 0);
}

START_TEST(contention_of_rounds)
{
	struct scene *scene = new_scene(3);
	pid_t pids[2];

	ck_assert_int_eq(brood_barrier_watch(&scene->barrier, &scene->counts), 0);
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, 0), -EAGAIN);
	counted(scene, 0, 0, 0);
	for (int i = 0; i < 2; i++)
		pids[i] = waiter(scene, i + 1);
	ck_assert_int_eq(wait_here(scene), 2);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(pids[i]), i);
	counted(scene, 3, 2, 0);
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, brood_us(1)), -ETIMEDOUT);
	ck_assert_int_eq(wait_here(scene), -EPIPE);
	ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_abort(&scene->barrier), 0);
	counted(scene, 3, 2, 0);
	ck_assert_int_eq(brood_barrier_init(&scene->barrier, 1), 0);
	ck_assert_int_eq(wait_here(scene), 0);
	counted(scene, 3, 2, 0);
}
END_TEST

/* Once a round, though two sleepers find it at the same time. */
START_TEST(contention_with_broken_rounds)
{
	struct scene *scene = new_scene(4);
	pid_t dying, pids[2];

	ck_assert_int_eq(brood_barrier_watch(&scene->barrier, &scene->counts), 0);
	for (uint64_t i = 1; i <= 20; i++) {
		dying = waiter(scene, 1);
		for (int k = 0; k < 2; k++)
			pids[k] = waiter(scene, k + 2);
		kill_child(dying);
		for (int k = 0; k < 2; k++)
			ck_assert_int_eq(end_of(pids[k]), 100 + EPIPE);
		ck_assert_int_eq(wait_here(scene), -EPIPE);
		ck_assert_int_eq(brood_barrier_broken(&scene->barrier), 1);
		counted(scene, 0, 0, i);
		ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	}
	kill_child(waiter(scene, 1));
	ck_assert_int_eq(brood_barrier_n_waiting(&scene->barrier), 0);
	counted(scene, 0, 0, 21);
}
END_TEST

START_TEST(bad_parties_are_refused)
{
	static const int bad[] = { 0, -1, BROOD_MEMBERS_MAX + 1, INT32_MAX, INT32_MIN };
	struct scene *scene = new_scene(1);

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_int_eq(brood_barrier_init(&scene->barrier, bad[i]), -EINVAL);
		ck_assert_ptr_null(brood_barrier_create(bad[i], NULL));
		ck_assert_int_eq(errno, EINVAL);
	}
	ck_assert_int_eq(brood_barrier_init(&scene->barrier, BROOD_MEMBERS_MAX), 0);
	ck_assert_int_eq(brood_barrier_parties(&scene->barrier), BROOD_MEMBERS_MAX);
	memset(&scene->barrier, 0, sizeof(scene->barrier));
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, BROOD_FOREVER), -EINVAL);
	ck_assert_int_eq(brood_barrier_parties(&scene->barrier), -EINVAL);
	ck_assert_int_eq(brood_barrier_watch(&scene->barrier, &scene->counts), -EINVAL);
}
END_TEST

START_TEST(bad_barriers_are_refused)
{
	struct scene *scene = new_scene(1);
	struct brood_barrier *askew = (struct brood_barrier *)(void *)((char *)scene + 8);
	static struct brood_barrier own = { .parties = 1 };
	struct brood_barrier *const bad[] = { NULL, askew, &own };
	static const int errors[] = { -EINVAL, -EINVAL, -EBADF };
	struct {
		struct brood_barrier_opts opts;
		uint64_t more;
	} newer = { .opts = { .opts_size = sizeof(newer) }, .more = 1 };

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_barrier_init(bad[i], 1), errors[i]);
		ck_assert_int_eq(brood_barrier_wait(bad[i], 0), errors[i]);
		ck_assert_int_eq(brood_barrier_wait_action(bad[i], act, scene, 0), errors[i]);
		ck_assert_int_eq(brood_barrier_abort(bad[i]), errors[i]);
		ck_assert_int_eq(brood_barrier_reset(bad[i]), errors[i]);
		ck_assert_int_eq(brood_barrier_n_waiting(bad[i]), errors[i]);
		ck_assert_int_eq(brood_barrier_parties(bad[i]), errors[i]);
		ck_assert_int_eq(brood_barrier_broken(bad[i]), errors[i]);
		ck_assert_int_eq(brood_barrier_destroy(bad[i]), -EINVAL);
	}
	ck_assert_ptr_null(brood_barrier_create(1, &newer.opts));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* Words that nobody can have written. */
START_TEST(damaged_barrier_does_not_hang)
{
	struct scene *scene = new_scene(2);

	memset(scene->barrier.slots, 0xff, sizeof(scene->barrier.slots));
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, brood_ms(1)), -ETIMEDOUT);
	scene->barrier.word = UINT64_MAX;
	ck_assert_int_eq(wait_here(scene), -EPIPE);
	scene->barrier.word = 0x7fff;
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, brood_ms(1)), -ETIMEDOUT);
	ck_assert_int_eq(brood_barrier_reset(&scene->barrier), 0);
	ck_assert_int_eq(brood_barrier_wait(&scene->barrier, 0), -EAGAIN);
}
END_TEST

START_TEST(barriers_of_their_own)
{
	const char *name = own_name("barrier");
	struct brood_segment *segment = brood_segment_create(name, NULL);
	struct brood_barrier *barrier, *other = brood_barrier_create(1, NULL);

	ck_assert_ptr_nonnull(segment);
	barrier = brood_barrier_create(1, &(struct brood_barrier_opts){ .segment = segment });
	ck_assert_ptr_nonnull(barrier);
	ck_assert_ptr_nonnull(other);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_barrier_wait(barrier, BROOD_FOREVER), 0);
		ck_assert_int_eq(brood_barrier_wait(other, BROOD_FOREVER), 0);
	}
	ck_assert_int_eq(brood_barrier_destroy(barrier), 0);
	ck_assert_int_eq(brood_barrier_destroy(barrier), -EINVAL);
	ck_assert_int_eq(brood_barrier_destroy(other), 0);
	ck_assert_int_eq(brood_segment_unlink(name), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
}
END_TEST

int main(void)
{
	TCase *rounds = new_case("rounds", begin_test);
	TCase *action = new_case("action", begin_test);
	TCase *broken = new_case("broken", begin_test);
	TCase *death = new_case("death", begin_test);
	TCase *other = new_case("other", begin_test);

	tcase_add_test(rounds, last_party_releases_all_with_different_indices);
	tcase_add_loop_test(rounds, barrier_is_reusable_at_once_1000_rounds, 0, 4);
	tcase_add_test(rounds, parties_may_be_threads);
	tcase_add_loop_test(rounds, more_members_than_parties, 0, 2);
	tcase_add_test(action, action_runs_in_exactly_one_before_the_release);
	tcase_add_loop_test(action, failing_action_breaks_the_barrier, 0, 2);
	tcase_add_loop_test(action, barrier_broken_while_the_action_runs, 0, 3);
	tcase_add_test(action, late_comer_waits_for_the_next_round);
	tcase_add_test(broken, timeout_breaks_the_barrier_for_all);
	tcase_add_test(broken, timeout_0_comes_last_or_not_at_all);
	tcase_add_test(broken, abort_breaks_until_reset);
	tcase_add_test(broken, reset_sends_away_those_waiting);
	tcase_add_loop_test(broken, slow_party_of_a_released_round_has_its_index, 0, 8);
	tcase_add_loop_test(broken, slow_party_of_a_reset_round_knows, 0, 2);
	tcase_add_test(broken, parties_n_waiting_and_broken_are_readable);
	tcase_add_loop_test(death, death_of_a_party_wakes_the_others, 0, 3);
	tcase_add_loop_test(death, death_of_a_party_is_found, 0, 5);
	tcase_add_test(death, reset_after_a_death_makes_it_usable);
	tcase_add_test(death, death_of_the_action_runner);
	tcase_add_test(death, party_dies_while_the_action_runs);
	tcase_add_loop_test(death, death_behind_its_round_breaks_nothing, 0, 2);
	tcase_add_test(death, thread_that_ended_is_not_inside);
	tcase_add_test(death, killed_anywhere);
	tcase_add_test(death, resetter_may_die);
	tcase_add_test(other, signal_does_not_end_a_wait);
	tcase_add_test(other, contention_of_rounds);
	tcase_add_test(other, contention_with_broken_rounds);
	tcase_add_test(other, bad_parties_are_refused);
	tcase_add_test(other, bad_barriers_are_refused);
	tcase_add_test(other, damaged_barrier_does_not_hang);
	tcase_add_test(other, barriers_of_their_own);
	return run_cases("barrier", rounds, action, broken, death, other, NULL);
}
