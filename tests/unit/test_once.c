/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* once: one runner at a time, done for ever, taken over from the dead. */
#include <pthread.h>
#include <sched.h>

#include <brood/once.h>

#include "support.h"

enum { SLEEPERS = 3 };

/* In shared memory of the family: what the children of a test use. */
struct scene {
	struct brood_once once;
	struct brood_once spare;
	atomic_int runs;
	atomic_int inside;
	atomic_int go;
	atomic_int begun;
	atomic_int thread;
	atomic_int ready;
	int made;			/* what the function is there for; no atomic */
};

static struct scene *new_scene(void)
{
	struct scene *scene = brood_alloc(NULL, sizeof(*scene));

	ck_assert_ptr_nonnull(scene);
	return scene;
}

static void until(atomic_int *what, int value)
{
	while (atomic_load(what) < value)
		sched_yield();
}

/* ---- functions to be run once ---- */

static int make(void *arg)
{
	struct scene *scene = arg;

	must(atomic_fetch_add(&scene->inside, 1) == 0);
	atomic_fetch_add(&scene->runs, 1);
	scene->made = 42;
	must(atomic_fetch_sub(&scene->inside, 1) == 1);
	return 0;
}

static int make_when_told(void *arg)
{
	struct scene *scene = arg;

	atomic_fetch_add(&scene->inside, 1);
	while (!atomic_load(&scene->go))
		usleep(100);
	atomic_fetch_sub(&scene->inside, 1);
	return make(scene);
}

static int fail_when_told(void *arg)
{
	struct scene *scene = arg;

	atomic_fetch_add(&scene->inside, 1);
	while (!atomic_load(&scene->go))
		usleep(100);
	atomic_fetch_sub(&scene->inside, 1);
	return -ENODEV;
}

static int fail_with(void *arg)
{
	return *(int *)arg;
}

static int must_not_run(void *arg)
{
	(void)arg;
	must_failed(__FILE__, __LINE__, "it is done already");
}

/* ---- children ---- */

static int call_make(void *arg)
{
	struct scene *scene = arg;

	must(brood_once_call(&scene->once, make, scene, BROOD_FOREVER) == 0);
	must(scene->made == 42);
	return 0;
}

/* Lives on until it is told to end, for its end would wake the others too. */
static int call_and_stay(struct scene *scene, int (*function)(void *))
{
	int result = brood_once_call(&scene->once, function, scene, BROOD_FOREVER);

	while (!atomic_load(&scene->ready))
		usleep(100);
	return -result;
}

static int call_make_when_told(void *arg)
{
	return call_and_stay(arg, make_when_told);
}

static int call_fail_when_told(void *arg)
{
	return call_and_stay(arg, fail_when_told);
}

static pid_t runner(struct scene *scene, int (*function)(void *))
{
	pid_t pid = start(function, scene);

	until(&scene->inside, 1);
	return pid;
}

static int sleep_for_it(void *arg)
{
	struct scene *scene = arg;

	atomic_store(&scene->thread, (int)gettid());
	atomic_fetch_add(&scene->begun, 1);
	return call_make(scene);
}

static void sleepers(struct scene *scene, pid_t pids[SLEEPERS])
{
	for (int i = 0; i < SLEEPERS; i++) {
		pids[i] = start(sleep_for_it, scene);
		until(&scene->begun, i + 1);
		ck_assert(until_asleep(atomic_load(&scene->thread)));
	}
}

/* All of them; whether before any of them could have looked by itself. */
static bool all_done(struct scene *scene, const pid_t pids[SLEEPERS], int64_t since)
{
	for (int i = 0; i < SLEEPERS; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(atomic_load(&scene->runs), 1);
	ck_assert_int_eq(scene->made, 42);
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

/* ---- once ---- */

START_TEST(done_for_ever)
{
	struct scene *scene = new_scene();

	ck_assert_int_eq(brood_once_call(&scene->once, make, scene, 0), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_once_call(&scene->once, must_not_run, NULL, 0), 0);
	ck_assert_int_eq(run(call_make, scene), 0);
	ck_assert_int_eq(atomic_load(&scene->runs), 1);
	ck_assert_int_eq(brood_once_init(&scene->once), 0);
	ck_assert_int_eq(run(call_make, scene), 0);
	ck_assert_int_eq(atomic_load(&scene->runs), 2);
}
END_TEST

static int call_all(void *arg)
{
	struct scene *scenes = arg;

	until(&scenes->ready, 1);
	for (int i = 0; i < 100; i++)
		call_make(&scenes[i]);
	return 0;
}

START_TEST(eight_processes_run_it_once)
{
	struct scene *scenes = brood_alloc(NULL, 100 * sizeof(*scenes));
	pid_t pids[8];

	ck_assert_ptr_nonnull(scenes);
	for (int i = 0; i < 8; i++)
		pids[i] = start(call_all, scenes);
	atomic_store(&scenes->ready, 1);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(atomic_load(&scenes[i].runs), 1);
}
END_TEST

START_TEST(others_wait_for_the_one_that_runs_it)
{
	struct scene *scene = new_scene();
	pid_t first = runner(scene, call_make_when_told);
	int64_t begin = brood_now();

	ck_assert_int_eq(brood_once_call(&scene->once, must_not_run, NULL, 0), -EAGAIN);
	ck_assert_int_eq(brood_once_call(&scene->once, must_not_run, NULL, brood_ms(20)),
			 -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	atomic_store(&scene->ready, 1);
	atomic_store(&scene->go, 1);
	ck_assert_int_eq(brood_once_call(&scene->once, must_not_run, NULL, BROOD_FOREVER), 0);
	ck_assert_int_eq(scene->made, 42);
	ck_assert_int_eq(end_of(first), 0);
}
END_TEST

static bool runner_ends(int fails)
{
	struct scene *scene = new_scene();
	pid_t first = runner(scene, fails ? call_fail_when_told : call_make_when_told);
	pid_t pids[SLEEPERS];
	int64_t begin;
	bool prompt;

	sleepers(scene, pids);
	begin = brood_now();
	atomic_store(&scene->go, 1);
	prompt = all_done(scene, pids, begin);
	atomic_store(&scene->ready, 1);
	ck_assert_int_eq(end_of(first), fails ? ENODEV : 0);
	return prompt;
}

START_TEST(all_go_on_when_it_is_done)
{
	promptly(runner_ends, 0);
}
END_TEST

START_TEST(waiter_runs_its_own_after_a_failure)
{
	promptly(runner_ends, 1);
}
END_TEST

START_TEST(failure_undoes_it)
{
	static const int results[] = { -ENODEV, -EAGAIN, -1, 1, INT32_MAX, INT32_MIN };
	struct scene *scene = new_scene();

	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		int result = results[i];

		ck_assert_int_eq(brood_once_call(&scene->once, fail_with, &result, BROOD_FOREVER),
				 result < 0 ? result : -ECANCELED);
	}
	ck_assert_int_eq(brood_once_call(&scene->once, make, scene, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_once_call(&scene->once, must_not_run, NULL, 0), 0);
}
END_TEST

static int call_again(void *arg)
{
	struct scene *scene = arg;

	must(brood_once_call(&scene->once, must_not_run, NULL, 0) == -EDEADLK);
	must(brood_once_call(&scene->once, must_not_run, NULL, BROOD_FOREVER) == -EDEADLK);
	return make(scene);
}

START_TEST(function_that_calls_it_again)
{
	struct scene *scene = new_scene();

	ck_assert_int_eq(brood_once_call(&scene->once, call_again, scene, BROOD_FOREVER), 0);
	ck_assert_int_eq(atomic_load(&scene->runs), 1);
}
END_TEST

static pid_t forked;

static int fork_inside(void *arg)
{
	struct scene *scene = arg;

	forked = fork();
	if (forked)
		until(&scene->ready, 1);
	return forked ? make(scene) : 0;
}

START_TEST(forked_child_does_not_end_what_its_parent_runs)
{
	struct scene *scene = new_scene();
	int result = brood_once_call(&scene->once, fork_inside, scene, BROOD_FOREVER);

	if (forked == 0) {
		must(result == -EPERM);
		must(brood_once_call(&scene->once, must_not_run, NULL, 0) == -EAGAIN);
		atomic_store(&scene->ready, 1);
		_exit(0);
	}
	ck_assert_int_eq(end_of(forked), 0);
	ck_assert_int_eq(result, 0);
	ck_assert_int_eq(atomic_load(&scene->runs), 1);
}
END_TEST

static int init_inside(void *arg)
{
	struct scene *scene = arg;

	return brood_once_init(&scene->once);
}

START_TEST(function_that_initialises_it)
{
	struct scene *scene = new_scene();

	ck_assert_int_eq(brood_once_call(&scene->once, init_inside, scene, 0), -EPERM);
	ck_assert_int_eq(brood_once_call(&scene->once, make, scene, 0), 0);
}
END_TEST

/* ---- deaths ---- */

START_TEST(runner_dies_and_the_next_takes_over)
{
	struct scene *scene = new_scene();

	for (int i = 0; i < 3; i++) {
		pid_t pid = runner(scene, call_make_when_told);

		ck_assert_int_eq(brood_once_call(&scene->once, must_not_run, NULL, 0), -EAGAIN);
		kill_child(pid);
		atomic_store(&scene->inside, 0);
	}
	ck_assert_int_eq(brood_once_call(&scene->once, make, scene, 0), 0);
	ck_assert_int_eq(atomic_load(&scene->runs), 1);
}
END_TEST

static bool runner_dies(int unused)
{
	struct scene *scene = new_scene();
	pid_t first = runner(scene, call_make_when_told), pids[SLEEPERS];
	int64_t begin;

	(void)unused;
	sleepers(scene, pids);
	atomic_store(&scene->inside, 0);
	begin = brood_now();
	kill_child(first);
	return all_done(scene, pids, begin);
}

START_TEST(sleeper_takes_over_when_the_runner_dies)
{
	promptly(runner_dies, 0);
}
END_TEST

/* As the end of a call, up to its change of the word: it is done, or has failed. */
static int die_before_waking(void *arg)
{
	struct scene *scene = arg;

	atomic_fetch_add(&scene->inside, 1);
	while (!atomic_load(&scene->go))
		usleep(100);
	atomic_fetch_sub(&scene->inside, 1);
	if (atomic_load(&scene->go) == 1)
		make(scene);
	__atomic_store_n(&scene->once.word, atomic_load(&scene->go) == 1, __ATOMIC_SEQ_CST);
	raise(SIGKILL);
	return 0;
}

static int call_and_die(void *arg)
{
	struct scene *scene = arg;

	return brood_once_call(&scene->once, die_before_waking, scene, BROOD_FOREVER);
}

static bool runner_dies_at_its_end(int how)
{
	struct scene *scene = new_scene();
	pid_t first = runner(scene, call_and_die), pids[SLEEPERS];
	int64_t begin;

	sleepers(scene, pids);
	begin = brood_now();
	atomic_store(&scene->go, how);
	ck_assert_int_eq(end_of(first), -SIGKILL);
	return all_done(scene, pids, begin);
}

START_TEST(runner_dies_before_it_wakes)
{
	promptly(runner_dies_at_its_end, _i);
}
END_TEST

/* One waiter dies asleep, another when it may have been the one that was woken. */
START_TEST(waiter_may_die)
{
	struct scene *scene = new_scene();
	pid_t first = runner(scene, call_fail_when_told), pids[SLEEPERS];

	sleepers(scene, pids);
	kill_child(pids[0]);
	ck_assert_int_eq(kill(pids[1], SIGSTOP), 0);
	atomic_store(&scene->ready, 1);
	atomic_store(&scene->go, 1);
	ck_assert_int_eq(end_of(first), ENODEV);
	kill_child(pids[1]);
	ck_assert_int_eq(end_of(pids[2]), 0);
	ck_assert_int_eq(brood_once_call(&scene->once, must_not_run, NULL, 0), 0);
}
END_TEST

static int end_the_thread(void *arg)
{
	pthread_exit(arg);
}

static void *call_and_end(void *arg)
{
	struct scene *scene = arg;

	brood_once_call(&scene->once, end_the_thread, scene, BROOD_FOREVER);
	return NULL;
}

START_TEST(thread_that_ends_as_the_runner)
{
	struct scene *scene = new_scene();
	pthread_t thread;
	void *result;

	ck_assert_int_eq(pthread_create(&thread, NULL, call_and_end, scene), 0);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_ptr_eq(result, scene);
	ck_assert_int_eq(brood_once_call(&scene->once, make, scene, BROOD_FOREVER), 0);
}
END_TEST

static int call_until_killed(void *arg)
{
	struct scene *scene = arg;

	for (int i = 0;; i = !i) {
		int result = -ENODEV;

		atomic_store(&scene->ready, 1);
		brood_once_call(&scene->once, fail_with, &result, i ? brood_us(30) : BROOD_FOREVER);
	}
	return 1;
}

/* Killed anywhere in their calls: the once of those who are left works. */
START_TEST(killed_in_the_midst)
{
	struct scene *scene = new_scene();

	for (int i = 0; i < 50; i++) {
		pid_t one = start(call_until_killed, scene), other;

		atomic_store(&scene->ready, 0);
		other = start(call_until_killed, scene);
		until(&scene->ready, 1);
		usleep((useconds_t)(i * 14));
		kill_child(i % 2 ? one : other);
		kill_child(i % 2 ? other : one);
		ck_assert_int_eq(run(call_make, scene), 0);
		ck_assert_int_eq(atomic_load(&scene->runs), i + 1);
		ck_assert_int_eq(brood_once_init(&scene->once), 0);
	}
}
END_TEST

/* ---- made, refused ---- */

START_TEST(bad_onces_are_refused)
{
	struct scene *scene = new_scene();
	struct {
		struct brood_once_opts opts;
		uint64_t more;
	} newer = { .opts = { .opts_size = sizeof(newer) }, .more = 1 };
	struct brood_once own = { 0 };
	struct brood_once *bad[] = { NULL, (struct brood_once *)(void *)((char *)scene + 8), &own };
	static const int errors[] = { -EINVAL, -EINVAL, -EBADF };

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_once_init(bad[i]), errors[i]);
		ck_assert_int_eq(brood_once_call(bad[i], must_not_run, NULL, BROOD_FOREVER),
				 errors[i]);
		ck_assert_int_eq(brood_once_destroy(bad[i]), -EINVAL);
	}
	ck_assert_int_eq(brood_once_call(&scene->once, NULL, NULL, BROOD_FOREVER), -EINVAL);
	ck_assert_int_eq(brood_once_destroy(&scene->spare), -EINVAL);
	ck_assert_ptr_null(brood_once_create(&newer.opts));
	ck_assert_int_eq(errno, EINVAL);
	/* A token that never was is one that is gone. */
	scene->once.word = UINT64_MAX - 0xffff;
	ck_assert_int_eq(brood_once_call(&scene->once, make, scene, 0), 0);
}
END_TEST

START_TEST(onces_of_their_own)
{
	const char *name = own_name("once");
	struct brood_segment *segment = brood_segment_create(name, NULL);
	struct brood_once *named, *once = brood_once_create(NULL);
	struct scene *scene = new_scene();

	ck_assert_uint_eq(sizeof(*once), 64);
	named = brood_once_create(&(struct brood_once_opts){ .segment = segment });
	ck_assert_int_eq(brood_once_call(named, make, scene, 0), 0);
	ck_assert_int_eq(brood_once_call(once, make, scene, 0), 0);
	ck_assert_int_eq(brood_once_call(named, must_not_run, scene, 0), 0);
	ck_assert_int_eq(brood_once_call(once, must_not_run, scene, 0), 0);
	ck_assert_int_eq(brood_once_destroy(once), 0);
	ck_assert_int_eq(brood_once_destroy(once), -EINVAL);
	ck_assert_int_eq(brood_once_destroy(named), 0);
	ck_assert_int_eq(brood_segment_unlink(name), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_once_call(named, must_not_run, NULL, 0), -EBADF);
}
END_TEST

int main(void)
{
	TCase *once = new_case("once", begin_test);
	TCase *death = new_case("death", begin_test);
	TCase *other = new_case("other", begin_test);

	tcase_add_test(once, done_for_ever);
	tcase_add_test(once, eight_processes_run_it_once);
	tcase_add_test(once, others_wait_for_the_one_that_runs_it);
	tcase_add_test(once, failure_undoes_it);
	tcase_add_test(once, all_go_on_when_it_is_done);
	tcase_add_test(once, waiter_runs_its_own_after_a_failure);
	tcase_add_test(once, function_that_calls_it_again);
	tcase_add_test(once, forked_child_does_not_end_what_its_parent_runs);
	tcase_add_test(once, function_that_initialises_it);
	tcase_add_test(death, runner_dies_and_the_next_takes_over);
	tcase_add_test(death, sleeper_takes_over_when_the_runner_dies);
	tcase_add_loop_test(death, runner_dies_before_it_wakes, 1, 3);
	tcase_add_test(death, waiter_may_die);
	tcase_add_test(death, thread_that_ends_as_the_runner);
	tcase_add_test(death, killed_in_the_midst);
	tcase_add_test(other, bad_onces_are_refused);
	tcase_add_test(other, onces_of_their_own);
	return run_cases("once", once, death, other, NULL);
}
