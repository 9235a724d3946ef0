/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Trees: what a child has started, by any means and in any group, gets the signal too; and daemons
 * with children. The test is the subreaper, so it sees how each of a tree ends.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "test_process.h"

#define MOST 300

static struct { /* shared with the tree */
	_Atomic int n;
	_Atomic int handled;
	_Atomic bool stop;
	pid_t pids[MOST];
} * tree;

static void begin(void)
{
	begin_test();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	tree = mmap(NULL, sizeof *tree, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void end(void)
{
	munmap(tree, sizeof *tree);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void be_there(void)
{
	int i = atomic_fetch_add(&tree->n, 1);

	if (i < MOST)
		tree->pids[i] = getpid();
}

static int stay(void *unused)
{
	be_there();
	return sleep_for_ever(unused);
}

static void until_there(int n)
{
	while (atomic_load(&tree->n) < n)
		usleep(100);
}

/* All of the tree but the root have come to us and ended so; nobody else has. */
static void check_all_ended(int n, int wanted)
{
	for (int i = 0; i < n; i++) {
		int status = -1;

		ck_assert_int_gt(waitpid(-1, &status, 0), 0);
		ck_assert_int_eq(status, wanted);
	}
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}

static void in_background(int (*function)(void *))
{
	if (fork() == 0)
		_exit(function(NULL));
}

static int in_own_session(void *unused)
{
	setsid();
	in_background(stay);
	return stay(unused);
}

static int in_own_group(void *unused)
{
	setpgid(0, 0);
	in_background(in_own_session);
	return stay(unused);
}

static void *fork_and_stay(void *unused)
{
	in_background(stay);
	pause();
	return unused;
}

/* Six in all: two below it by fork and group, two in a session, a thread's, one of brood's. */
static int grow(void *unused)
{
	pthread_t thread;

	pthread_create(&thread, NULL, fork_and_stay, NULL);
	in_background(in_own_group);
	brood_process_start(stay, NULL);
	return stay(unused);
}

#define GROWN 6

static const int signals[] = { SIGKILL, SIGTERM, SIGUSR1 };

START_TEST(all_that_a_child_started_is_killed)
{
	struct brood_process *root = brood_process_start(grow, NULL);

	until_there(GROWN);
	ck_assert_int_eq(brood_process_kill_tree(root, signals[_i]), 0);
	ck_assert_int_eq(ending_of(root), -signals[_i]);
	check_all_ended(GROWN - 1, signals[_i]);
}
END_TEST

START_TEST(terminate_leaves_grandchildren_alone)
{
	struct brood_process *root = brood_process_start(grow, NULL);
	pid_t pid = brood_process_pid(root);

	until_there(GROWN);
	ck_assert_int_eq(brood_process_terminate(root), 0);
	ck_assert_int_eq(ending_of(root), -SIGTERM);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), 0);
	for (int i = 0; i < GROWN; i++)
		if (tree->pids[i] != pid) /* all others are there, be it as zombies */
			kill(tree->pids[i], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
}
END_TEST

/* One that forks as fast as it can, each child forking in turn: none gets away. */
static int fork_bomb(void *unused)
{
	be_there();
	while (!atomic_load(&tree->stop) && atomic_load(&tree->n) < MOST) {
		pid_t pid = fork();

		if (pid == 0) {
			be_there();
			usleep(200);
		} else if (pid > 0 && atomic_load(&tree->n) % 3 == 0) {
			waitpid(pid, NULL, WNOHANG);
		}
	}
	return sleep_for_ever(unused);
}

START_TEST(nobody_forks_away)
{
	struct brood_process *root = brood_process_start(fork_bomb, NULL);
	int n = 0, status;

	until_there(20 + _i * 40);
	ck_assert_int_eq(brood_process_kill_tree(root, SIGKILL), 0);
	ck_assert_int_eq(ending_of(root), -SIGKILL);
	while (waitpid(-1, &status, 0) > 0) { /* would hang if one had escaped */
		ck_assert_int_eq(status, SIGKILL);
		n++;
	}
	ck_assert_int_ge(n, 19);
}
END_TEST

static void count_and_leave(int signal)
{
	(void)signal;
	atomic_fetch_add(&tree->handled, 1);
	_exit(0);
}

static int grow_handled(void *unused)
{
	signal(SIGTERM, count_and_leave);
	return grow(unused);
}

/* A process that only got the signal, and did not go on, would hang here. */
START_TEST(handlers_run_and_the_tree_goes_on)
{
	struct brood_process *root = brood_process_start(grow_handled, NULL);

	until_there(GROWN);
	ck_assert_int_eq(brood_process_kill_tree(root, 0), 0);
	ck_assert_int_eq(brood_process_is_alive(root), 1);
	ck_assert_int_eq(brood_process_kill_tree(root, SIGTERM), 0);
	ck_assert_int_eq(ending_of(root), 0);
	check_all_ended(GROWN - 1, 0);
	ck_assert_int_eq(atomic_load(&tree->handled), GROWN);
}
END_TEST

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

START_TEST(who_was_stopped_stays_stopped)
{
	struct brood_process *root = brood_process_start(stay, NULL);
	int status;

	until_there(1);
	ck_assert_int_eq(brood_process_signal(root, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(brood_process_pid(root), &status, WUNTRACED),
			 brood_process_pid(root));
	ck_assert_int_eq(brood_process_kill_tree(root, SIGUSR1), 0);
	ck_assert_int_eq(state_of(brood_process_pid(root)), 'T');
	ck_assert_int_eq(brood_process_signal(root, SIGCONT), 0);
	ck_assert_int_eq(ending_of(root), -SIGUSR1);
}
END_TEST

START_TEST(a_stopped_tree)
{
	struct brood_process *root = brood_process_start(grow, NULL);

	until_there(GROWN);
	ck_assert_int_eq(brood_process_kill_tree(root, SIGSTOP), 0);
	for (int i = 0; i < GROWN; i++)
		ck_assert_int_eq(state_of(tree->pids[i]), 'T');
	ck_assert_int_eq(brood_process_kill_tree(root, SIGKILL), 0);
	ck_assert_int_eq(ending_of(root), -SIGKILL);
	check_all_ended(GROWN - 1, SIGKILL);
}
END_TEST

START_TEST(one_that_has_ended)
{
	int zero = 0;
	struct brood_process *root = brood_process_start(return_number, &zero);

	ck_assert_int_eq(brood_process_join(root, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_process_kill_tree(root, SIGKILL), 0);
	ck_assert_int_eq(brood_process_kill_tree(root, NSIG), -EINVAL);
	ck_assert_int_eq(brood_process_kill_tree(NULL, SIGKILL), -EINVAL);
	ck_assert_int_eq(ending_of(root), 0);
}
END_TEST

/* For the first child's, the second's and so on: nobody gets the signal, and all go on. */
START_TEST(descriptors_run_out)
{
	struct brood_process *root = brood_process_start(grow, NULL);
	struct rlimit before, few;
	int free_fd = dup(0);

	close(free_fd);
	until_there(GROWN);
	getrlimit(RLIMIT_NOFILE, &before);
	few = (struct rlimit){ (rlim_t)(free_fd + 1 + _i), before.rlim_max };
	setrlimit(RLIMIT_NOFILE, &few);
	ck_assert_int_lt(brood_process_kill_tree(root, SIGKILL), 0);
	setrlimit(RLIMIT_NOFILE, &before);
	for (int i = 0; i < GROWN; i++)
		while (state_of(tree->pids[i]) == 'T')
			usleep(100);
	ck_assert_int_eq(brood_process_is_alive(root), 1);
	ck_assert_int_eq(brood_process_kill_tree(root, SIGKILL), 0);
	ck_assert_int_eq(ending_of(root), -SIGKILL);
	check_all_ended(GROWN - 1, SIGKILL);
}
END_TEST

/* ---- daemons ---- */

static int have_a_daemon_with_children(void *how)
{
	struct brood_process_opts opts = { .daemon = true };

	brood_process_start_opts(grow, NULL, &opts);
	until_there(GROWN);
	if (how)
		exit(3);
	return 3;
}

/* A daemon may have children, and goes with all of them. By return and by exit(). */
START_TEST(a_daemon_goes_with_its_tree)
{
	int how = 1;

	ck_assert_int_eq(exit_code_of(have_a_daemon_with_children, _i ? &how : NULL), 3);
	check_all_ended(GROWN - 1, SIGTERM);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("process_tree", begin);

	if (access("/proc/thread-self/children", F_OK))
		return 77;
	tcase_add_checked_fixture(tests, NULL, end);
	tcase_add_loop_test(tests, all_that_a_child_started_is_killed, 0, 3);
	tcase_add_test(tests, terminate_leaves_grandchildren_alone);
	tcase_add_loop_test(tests, nobody_forks_away, 0, 5);
	tcase_add_test(tests, handlers_run_and_the_tree_goes_on);
	tcase_add_test(tests, who_was_stopped_stays_stopped);
	tcase_add_test(tests, a_stopped_tree);
	tcase_add_test(tests, one_that_has_ended);
	tcase_add_loop_test(tests, descriptors_run_out, 0, 5);
	tcase_add_loop_test(tests, a_daemon_goes_with_its_tree, 0, 2);
	return run_cases("process_tree", tests, NULL);
}
