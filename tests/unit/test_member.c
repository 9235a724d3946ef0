/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members: how they begin and end, how exactly their death is seen, and who sweeps them. */
#include <fcntl.h>
#include <pthread.h>

#include "own_members.h"

enum { MAX = 4 };

static void begin_small(void)
{
	begin_with_members(MAX);
}

static void counts(uint32_t alive, uint32_t dead)
{
	uint32_t found_alive, found_dead;

	brood__member_census(&own_members, &found_alive, &found_dead);
	ck_assert_uint_eq(found_alive, alive);
	ck_assert_uint_eq(found_dead, dead);
}

static bool is_dead(uint32_t id)
{
	return brood__life_dead(brood__life_of(&own_members, id));
}

/* ---- children that are members until somebody ends them ---- */

static int join_and_wait(void *told)
{
	atomic_int *id = told;

	atomic_store(id, own_id() + 1000);
	while (pause())
		;
	return 0;
}

/* The child and its id, or error. */
static pid_t member(int *id)
{
	atomic_int *told = shared(sizeof(*told));
	pid_t child = start(join_and_wait, told);

	while (atomic_load(told) == 0)
		usleep(50);
	*id = atomic_load(told) - 1000;
	return child;
}

static int join_only(void *unused)
{
	(void)unused;
	return own_id() < 0 ? 1 : 0;
}

/* ---- from join to leave ---- */

START_TEST(a_member_until_it_leaves)
{
	counts(0, 0);
	for (uint32_t i = 0; i < 5; i++) {
		int id = own_id();

		ck_assert_int_eq(id, 0);
		ck_assert_int_eq(own_id(), id);
		ck_assert_uint_eq(brood__life_of(&own_members, 0) & BROOD__LIFE_TID,
				  (uint32_t)gettid());
		ck_assert_uint_eq(brood__incarnation_of(&own_members, 0), i);
		counts(1, 0);
		brood__member_leave(&own_members);
		brood__member_leave(&own_members);
		counts(0, 0);
		ck_assert_uint_eq(own_table->left[0], i + 1);
		ck_assert_uint_eq(own_table->swept[0], 0);
	}
}
END_TEST

static void *join_in_thread(void *unused)
{
	(void)unused;
	return (void *)(intptr_t)own_id();
}

START_TEST(each_thread_is_a_member)
{
	pthread_t thread;
	void *id;

	ck_assert_int_eq(own_id(), 0);
	for (uint32_t i = 0; i < 20; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, join_in_thread, NULL), 0);
		ck_assert_int_eq(pthread_join(thread, &id), 0);
		ck_assert_int_eq((intptr_t)id, 1);
		counts(1, 0);	/* it has left by its end */
		ck_assert_uint_eq(own_table->left[1], i + 1);
	}
}
END_TEST

static int is_new_member(void *unused)
{
	(void)unused;
	must(own_id() == 1);
	must((brood__life_of(&own_members, 1) & BROOD__LIFE_TID) == (uint32_t)gettid());
	brood__member_leave(&own_members);
	must(own_id() == 1);
	return 0;
}

START_TEST(a_forked_child_is_a_new_member)
{
	uint32_t word;

	ck_assert_int_eq(own_id(), 0);
	word = brood__life_of(&own_members, 0);
	ck_assert_int_eq(run(is_new_member, NULL), 0);
	ck_assert_uint_eq(brood__life_of(&own_members, 0), word);
	ck_assert(is_dead(1));
	ck_assert_uint_eq(brood__member_sweep(&own_members), 1);
	counts(1, 0);
}
END_TEST

/* ---- ends that are seen as death, at once ---- */

static int end_by_exec(void *unused)
{
	(void)unused;
	must(own_id() == 1);
	execl("/bin/sleep", "sleep", "1000", (char *)NULL);
	return 1;
}

static void *thread_of_a_process_that_ends(void *unused)
{
	(void)unused;
	own_id();
	_exit(0);
}

static int end_in_thread(void *unused)
{
	pthread_t thread;

	(void)unused;
	must(pthread_create(&thread, NULL, thread_of_a_process_that_ends, NULL) == 0);
	while (pause())
		;
	return 1;
}

static int end_by_signal(void *number)
{
	must(own_id() == 1);
	signal(*(int *)number, SIG_DFL);
	raise(*(int *)number);
	return 1;
}

static void is_dead_and_swept(uint32_t times)
{
	ck_assert(is_dead(1));
	counts(1, 1);
	ck_assert_uint_eq(brood__incarnation_of(&own_members, 1), times);
	ck_assert_uint_eq(brood__member_sweep(&own_members), 1);
	ck_assert_uint_eq(brood__member_sweep(&own_members), 0);
	ck_assert_uint_eq(brood__life_of(&own_members, 1), 0);
	ck_assert_uint_eq(brood__incarnation_of(&own_members, 1), times + 1);
	ck_assert_uint_eq(own_table->swept[1], times + 1);
	ck_assert_uint_eq(own_table->left[1], 0);
	counts(1, 0);
}

START_TEST(deaths)
{
	static int signals[] = { SIGKILL, SIGTERM, SIGSEGV, SIGABRT };
	uint32_t times = 0;

	ck_assert_int_eq(own_id(), 0);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		ck_assert_int_eq(run(end_by_signal, &signals[i]), -signals[i]);
		is_dead_and_swept(times++);
	}
	ck_assert_int_eq(run(join_only, NULL), 0);	/* by _exit() */
	is_dead_and_swept(times++);
	ck_assert_int_eq(run(end_in_thread, NULL), 0);
	is_dead_and_swept(times++);
}
END_TEST

START_TEST(exec_is_death)
{
	pid_t child;

	ck_assert_int_eq(own_id(), 0);
	child = start(end_by_exec, NULL);
	while (!is_dead(1))
		ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
	is_dead_and_swept(0);
	kill_child(child);
}
END_TEST

START_TEST(a_stopped_member_lives)
{
	int id, status;
	pid_t child = member(&id);

	ck_assert_int_eq(own_id(), 1);
	ck_assert_int_eq(id, 0);
	kill(child, SIGSTOP);
	ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
	ck_assert(!is_dead(0));
	ck_assert_uint_eq(brood__member_sweep(&own_members), 0);
	counts(2, 0);
	kill_child(child);
	ck_assert(is_dead(0));
}
END_TEST

/* ---- the limit ---- */

START_TEST(one_too_many)
{
	pid_t children[MAX];
	int id;

	for (int i = 0; i < MAX; i++) {
		children[i] = member(&id);
		ck_assert_int_eq(id, i);
	}
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(own_id(), -EUSERS);
		counts(MAX, 0);
	}
	kill_child(children[2]);
	ck_assert_int_eq(own_id(), 2);
	ck_assert_uint_eq(own_table->swept[2], 1);
	counts(MAX, 0);
	brood__member_leave(&own_members);
	children[2] = member(&id);
	ck_assert_int_eq(id, 2);
	ck_assert_int_eq(own_id(), -EUSERS);
	for (int i = 0; i < MAX; i++)
		kill_child(children[i]);
	ck_assert_int_ge(own_id(), 0);
	brood__member_sweep(&own_members);
	counts(1, 0);
	for (uint32_t guest = MAX; guest < MAX + BROOD__GUESTS; guest++)
		ck_assert_uint_eq(brood__life_of(&own_members, guest), 0);
}
END_TEST

/* Whoever joins makes room by itself: nothing is used up by many who die. */
START_TEST(many_one_after_another)
{
	uint32_t incarnations = 0;

	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(run(join_only, NULL), 0);
	ck_assert_uint_le(own_table->used, MAX + BROOD__GUESTS);
	brood__member_sweep(&own_members);	/* not by one who is no member */
	ck_assert_int_ge(own_id(), 0);
	brood__member_sweep(&own_members);
	counts(1, 0);
	for (uint32_t id = 0; id < MAX; id++)
		incarnations += brood__incarnation_of(&own_members, id);
	ck_assert_uint_eq(incarnations, 1000);
}
END_TEST

/* ---- who sweeps ---- */

static int sweep_and_stop(void *told)
{
	atomic_int *id = told;

	atomic_store(id, own_id() + 1000);
	brood__member_sweep(&own_members);
	return 0;
}

/* A member that is stopped while it sweeps the dead member 1. */
static pid_t stopped_sweeper(void)
{
	atomic_int *told = shared(sizeof(*told));
	pid_t sweeper;
	int status, id;

	ck_assert_int_eq(own_id(), 0);
	kill_child(member(&id));
	ck_assert_int_eq(id, 1);
	atomic_store(&own_table->stop_at, (uint32_t)id + 1);
	sweeper = start(sweep_and_stop, told);
	ck_assert_int_eq(waitpid(sweeper, &status, WUNTRACED), sweeper);
	ck_assert(WIFSTOPPED(status));
	ck_assert_int_eq(atomic_load(told) - 1000, 2);
	return sweeper;
}

START_TEST(nobody_sweeps_beside_a_living_sweeper)
{
	pid_t sweeper = stopped_sweeper();

	ck_assert_uint_eq(brood__member_sweeper(&own_members, 1), 2);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(brood__member_sweep(&own_members), 0);
	ck_assert_uint_eq(own_table->swept[1], 1);
	ck_assert(is_dead(1));
	kill(sweeper, SIGCONT);
	ck_assert_int_eq(end_of(sweeper), 0);
	ck_assert_uint_eq(brood__life_of(&own_members, 1), 0);
	ck_assert_uint_eq(brood__member_sweep(&own_members), 1);	/* the sweeper itself */
	ck_assert_uint_eq(own_table->swept[1], 1);
	ck_assert_uint_eq(own_table->swept[2], 1);
	counts(1, 0);
}
END_TEST

START_TEST(a_dead_sweeper_is_swept_by_the_next)
{
	kill_child(stopped_sweeper());
	counts(1, 2);
	ck_assert_uint_eq(brood__member_sweep(&own_members), 2);
	ck_assert_uint_eq(own_table->swept[1], 2);
	ck_assert_uint_eq(own_table->swept[2], 1);
	ck_assert_uint_eq(brood__incarnation_of(&own_members, 1), 1);
	ck_assert_uint_eq(brood__incarnation_of(&own_members, 2), 1);
	counts(1, 0);
}
END_TEST

START_TEST(who_is_inside_an_object)
{
	int id;
	pid_t child = member(&id);
	uint32_t me = (uint32_t)own_id(), other = (uint32_t)id;

	ck_assert(!brood__member_inside(&own_members, 640, BROOD__NOBODY));
	atomic_store(&own_table->entries[other].inside, 640);
	ck_assert(brood__member_inside(&own_members, 640, me));
	ck_assert(!brood__member_inside(&own_members, 640, other));
	ck_assert(!brood__member_inside(&own_members, 704, me));
	atomic_store(&own_table->entries[me].sweeping, 704);
	ck_assert(brood__member_inside(&own_members, 704, me));	/* for somebody else */
	kill_child(child);
	ck_assert(!brood__member_inside(&own_members, 640, me));
}
END_TEST

int main(void)
{
	TCase *tests = new_case("member", begin_small);

	tcase_add_test(tests, a_member_until_it_leaves);
	tcase_add_test(tests, each_thread_is_a_member);
	tcase_add_test(tests, a_forked_child_is_a_new_member);
	tcase_add_test(tests, deaths);
	tcase_add_test(tests, exec_is_death);
	tcase_add_test(tests, a_stopped_member_lives);
	tcase_add_test(tests, one_too_many);
	tcase_add_test(tests, many_one_after_another);
	tcase_add_test(tests, nobody_sweeps_beside_a_living_sweeper);
	tcase_add_test(tests, a_dead_sweeper_is_swept_by_the_next);
	tcase_add_test(tests, who_is_inside_an_object);
	return run_cases("member", tests, NULL);
}
