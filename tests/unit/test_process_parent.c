/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Children whose parent dies, at once or later, with and without die_with_parent. The worst moments
 * are reached by fork handlers, not by luck. The test is the subreaper, so it sees how orphans end.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "test_process.h"

static const struct brood_process_opts die_with_parent = { .die_with_parent = true };
static int marker[2], release[2];	/* pipes: the function has run; it may go on */

static void make_pipes(void)
{
	begin_test();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ck_assert_int_eq(pipe(marker) | pipe(release), 0);
}

static void close_pipes(void)
{
	for (int i = 0; i < 2; i++) {
		close(marker[i]);
		close(release[i]);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static int mark_and_wait(void *unused)
{
	char byte;
	pid_t pid = getpid();

	(void)unused;
	if (write(marker[1], &pid, sizeof pid) != sizeof pid)
		return 1;
	return read(release[0], &byte, 1) == 1 ? 5 : 1;
}

/* What happens in the fork of a parent, and how its child shall end. */
struct moment {
	void (*in_parent)(void);	/* in its parent; NULL: goes on */
	void (*in_child)(void);		/* in the child, before anything of the library */
	const struct brood_process_opts *opts;
	bool leaves;		/* the parent, as soon as start has returned */
	bool runs;		/* the function */
	int status;
};

static const struct moment *moment;
static pid_t parent;

static void call_in_parent(void)
{
	if (moment && moment->in_parent)
		moment->in_parent();
}

static void call_in_child(void)
{
	if (moment && moment->in_child)
		moment->in_child();
}

static pid_t fork_parent(const struct moment *of)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	parent = getpid();
	moment = of;
	brood_process_start_opts(mark_and_wait, NULL, of->opts);
	while (!of->leaves)
		pause();
	_exit(0);
}

/* The orphan comes to us; how it ended. */
static int status_of_orphan(pid_t orphan)
{
	int status = -1;

	ck_assert_int_gt(waitpid(orphan, &status, 0), 0);
	return status;
}

START_TEST(the_parent_is_killed)
{
	struct moment later = { .opts = _i ? &die_with_parent : NULL };
	pid_t orphan, killed = fork_parent(&later);

	ck_assert_int_eq(read(marker[0], &orphan, sizeof orphan), sizeof orphan);
	kill(killed, SIGKILL);
	waitpid(killed, NULL, 0);
	if (_i) {
		ck_assert_int_eq(status_of_orphan(orphan), SIGKILL);
	} else {
		ck_assert_int_eq(write(release[1], "x", 1), 1);
		ck_assert_int_eq(status_of_orphan(orphan), 5 << 8);
	}
}
END_TEST

static struct brood_process *started_by_thread;

static void *start_and_end(void *opts)
{
	started_by_thread = brood_process_start_opts(mark_and_wait, NULL, opts);
	return NULL;
}

/* The thread ends as soon as start has returned, as early as it can. */
START_TEST(the_thread_ends)
{
	void *opts = _i ? (void *)&die_with_parent : NULL;

	for (int i = 0; i < 50; i++) {
		pthread_t thread;

		pthread_create(&thread, NULL, start_and_end, opts);
		pthread_join(thread, NULL);
		if (_i == 0)
			ck_assert_int_eq(write(release[1], "x", 1), 1);
		ck_assert_int_eq(ending_of(started_by_thread), _i ? -SIGKILL : 5);
	}
}
END_TEST

static void be_killed(void)
{
	raise(SIGKILL);
}

static void until_orphaned(void)
{
	while (getppid() == parent)
		usleep(100);
}

static char state_of(pid_t pid)
{
	char path[64], state = '?';
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	if (file)
		fclose(file);
	return state;
}

static void kill_sleeping_parent(void)
{
	while (state_of(parent) != 'S')
		usleep(100);
	kill(parent, SIGKILL);
	until_orphaned();
}

static const struct moment moments[] = {
	/* Killed at the fork's return: nobody can have a use for the child. */
	{ .in_parent = be_killed, .in_child = until_orphaned },
	{ .in_parent = be_killed, .in_child = until_orphaned, .opts = &die_with_parent },
	/* Killed when it has let the child go, but before that has asked for the signal. */
	{ .in_child = kill_sleeping_parent, .opts = &die_with_parent, .status = SIGKILL },
	/* Gone by itself before the child has done anything: it goes on alone. */
	{ .in_child = until_orphaned, .leaves = true, .runs = true, .status = 5 << 8 },
};

START_TEST(the_parent_is_gone_before_the_child_begins)
{
	const struct moment *now = &moments[_i];
	struct pollfd ran = { .fd = marker[0], .events = POLLIN };

	waitpid(fork_parent(now), NULL, 0);
	if (now->runs)
		ck_assert_int_eq(write(release[1], "x", 1), 1);
	ck_assert_int_eq(status_of_orphan(-1), now->status);
	ck_assert_int_eq(poll(&ran, 1, 0), now->runs);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("process_parent", make_pipes);

	pthread_atfork(NULL, call_in_parent, call_in_child);
	tcase_add_checked_fixture(tests, NULL, close_pipes);
	tcase_add_loop_test(tests, the_parent_is_killed, 0, 2);
	tcase_add_loop_test(tests, the_thread_ends, 0, 2);
	tcase_add_loop_test(tests, the_parent_is_gone_before_the_child_begins, 0, 4);
	return run_cases("process_parent", tests, NULL);
}
