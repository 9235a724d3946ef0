/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The launcher in trouble: others that reap, descriptors and processes that run out, many children,
 * threads that start, join and fork at the same time.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>

#include "test_process.h"

/* Called inside every fork, before anything of the library. */
static void (*in_parent)(void);
static void (*in_child)(void);

static void call_in_parent(void)
{
	if (in_parent)
		in_parent();
}

static void call_in_child(void)
{
	if (in_child)
		in_child();
}

/* A child has as many descriptors as its parent has now. */
static void begin(void)
{
	ck_assert_int_eq(brood_init(NULL), 0);
	begin_without_arena();
}

/* ---- somebody else takes the exit code ---- */

#define NOBODY_KNOWS 1234

static void check_lost(struct brood_process *child, int its_code)
{
	int code = NOBODY_KNOWS, known = its_code == NOBODY_KNOWS ? -ECHILD : 0;

	ck_assert_ptr_nonnull(child);
	ck_assert_int_eq(brood_process_join(child, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_process_exit_code(child, &code), known);
	ck_assert_int_eq(code, its_code);
	ck_assert_int_eq(brood_process_is_alive(child), 0);
	ck_assert_int_eq(brood_process_kill(child), 0);
	ck_assert_int_eq(brood_process_free(child), 0);
}

START_TEST(sigchld_ignored)
{
	struct brood_process *child;

	signal(SIGCHLD, SIG_IGN);
	child = brood_process_start(sleep_for_ever, NULL);
	ck_assert_int_eq(brood_process_is_alive(child), 1);
	ck_assert_int_eq(brood_process_join(child, brood_ms(1)), -ETIMEDOUT);
	brood_process_terminate(child);
	check_lost(child, code_is_known() ? -SIGTERM : NOBODY_KNOWS);
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(reaped_by_a_stray_wait)
{
	int five = 5, status;
	struct brood_process *child = brood_process_start(return_number, &five);

	ck_assert_int_eq(waitpid(-1, &status, 0), brood_process_pid(child));
	ck_assert_int_eq(WEXITSTATUS(status), 5);
	check_lost(child, code_is_known() ? 5 : NOBODY_KNOWS);
}
END_TEST

static void leave(void)
{
	_exit(9);
}

static void wait_for_all(void)
{
	while (wait(NULL) > 0)
		;
}

/* It has vanished before there is a pidfd: what stands in for it must be readable, too. */
START_TEST(gone_before_the_pidfd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct brood_process *child;
	struct pollfd end = { .events = POLLIN };

	signal(SIGCHLD, SIG_IGN);
	in_child = leave;
	in_parent = wait_for_all;
	child = brood_process_start(sleep_for_ever, NULL);
	in_child = in_parent = NULL;
	signal(SIGCHLD, SIG_DFL);
	end.fd = brood_process_pidfd(child);
	ck_assert_int_eq(poll(&end, 1, 0), 1);
	ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, end.fd, &event), 0);
	ck_assert_int_eq(epoll_wait(epoll, &event, 1, 0), 1);
	close(epoll);
	check_lost(child, NOBODY_KNOWS);
}
END_TEST

START_TEST(a_stopped_child_is_alive)
{
	struct brood_process *child = brood_process_start(sleep_for_ever, NULL);

	ck_assert_int_eq(brood_process_signal(child, SIGSTOP), 0);
	ck_assert_int_eq(waitpid(brood_process_pid(child), NULL, WUNTRACED),
			 brood_process_pid(child));
	ck_assert_int_eq(brood_process_is_alive(child), 1);
	ck_assert_int_eq(brood_process_join(child, brood_ms(5)), -ETIMEDOUT);
	kill_and_free(child);
}
END_TEST

static int be_traced(void *unused)
{
	(void)unused;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return 1;
	raise(SIGSTOP);
	return 0;
}

/* Its stops are told to us as its end would be. */
START_TEST(a_child_that_we_trace_is_alive)
{
	struct brood_process *child = brood_process_start(be_traced, NULL);
	int code = 1234;

	ck_assert_int_eq(brood_process_join(child, brood_ms(100)), -ETIMEDOUT);
	ck_assert_int_eq(brood_process_is_alive(child), 1);
	ck_assert_int_eq(brood_process_exit_code(child, &code), -EAGAIN);
	kill_and_free(child);
}
END_TEST

/* ---- a start that fails ---- */

static int write_byte(void *pipe)
{
	return write(*(int *)pipe, "x", 1) != 1;
}

/* No room for the gate; room for the gate but not for the pidfd; just enough. */
START_TEST(descriptors_run_out)
{
	int fds[2], free_fd;
	struct rlimit before, few;
	struct brood_process *child;
	struct pollfd ran = { .events = POLLIN };

	ck_assert_int_eq(pipe(fds), 0);
	free_fd = dup(fds[0]);
	close(free_fd);
	getrlimit(RLIMIT_NOFILE, &before);
	few = (struct rlimit){ (rlim_t)(free_fd + _i), before.rlim_max };
	setrlimit(RLIMIT_NOFILE, &few);
	errno = 0;
	child = brood_process_start(write_byte, &fds[1]);
	setrlimit(RLIMIT_NOFILE, &before);

	ran.fd = fds[0];
	if (_i < 2) {
		ck_assert_ptr_null(child);
		ck_assert_int_eq(errno, EMFILE);
		ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
		ck_assert_int_eq(poll(&ran, 1, 0), 0);
	} else {
		ck_assert_int_eq(ending_of(child), 0);
		ck_assert_int_eq(poll(&ran, 1, 0), 1);
	}
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* Root has no limit, so be nobody. */
static int start_without_processes(void *unused)
{
	struct rlimit none = { 0, 0 };

	(void)unused;
	if (geteuid() == 0 && setuid(65534))
		return 77;
	if (setrlimit(RLIMIT_NPROC, &none))
		return 77;
	errno = 0;
	return brood_process_start(sleep_for_ever, NULL) ? 1 : errno;
}

START_TEST(fork_fails)
{
	int code = exit_code_of(start_without_processes, NULL);

	ck_assert_msg(code == EAGAIN || code == 77, "%d", code);
}
END_TEST

/* ---- many ---- */

START_TEST(two_hundred_at_once)
{
	static struct brood_process *children[200];

	for (int i = 0; i < 200; i++)
		children[i] = brood_process_start(sleep_for_ever, NULL);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(brood_process_is_alive(children[i]), 1);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(brood_process_terminate(children[i]), 0);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(ending_of(children[i]), -SIGTERM);
}
END_TEST

START_TEST(five_hundred_in_a_row)
{
	for (int i = 0; i < 500; i++)
		ck_assert_int_eq(exit_code_of(return_number, &i), i % 256);
}
END_TEST

static int return_fds(void *unused)
{
	(void)unused;
	return count_fds();
}

START_TEST(children_inherit_no_descriptor_of_a_handle)
{
	int before = count_fds(), zero = 0, status;
	struct brood_process *sibling = brood_process_start(sleep_for_ever, NULL);
	struct brood_process *ended = brood_process_start(return_number, &zero);
	pid_t pid;

	ck_assert_int_eq(brood_process_join(ended, BROOD_FOREVER), 0);
	ck_assert_int_eq(exit_code_of(return_fds, NULL), before);
	pid = fork();
	if (pid == 0)
		_exit(count_fds());
	waitpid(pid, &status, 0);
	ck_assert_int_eq(WEXITSTATUS(status), before);
	kill_and_free(sibling);
	ck_assert_int_eq(brood_process_free(ended), 0);
}
END_TEST

/* ---- threads ---- */

#define THREADS 6

static void run_threads(void *(*function)(void *), void *argument, void *results[THREADS])
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, function, argument), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], &results[i]);
}

static int terminate_soon(void *unused)
{
	(void)unused;
	usleep(20000);		/* so that the others sleep in join, mostly */
	return raise(SIGTERM);
}

static void *join_and_ask(void *handle)
{
	int code = 0;

	if (brood_process_join(handle, BROOD_FOREVER) || brood_process_exit_code(handle, &code))
		return NULL;
	return (void *)(intptr_t)code;
}

START_TEST(all_threads_can_join_one_child)
{
	void *results[THREADS];
	struct brood_process *child = brood_process_start(terminate_soon, NULL);

	run_threads(join_and_ask, child, results);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq((intptr_t)results[i], -SIGTERM);
	ck_assert_int_eq(ending_of(child), -SIGTERM);
}
END_TEST

/* The children see only what was open before, whatever the other threads are starting. */
static void *start_in_a_row(void *before)
{
	for (int i = 0; i < 25; i++) {
		struct brood_process *child = brood_process_start(return_fds, NULL);

		if ((intptr_t)join_and_ask(child) != *(int *)before || brood_process_free(child))
			return (void *)1;
	}
	return NULL;
}

START_TEST(threads_start_children)
{
	int before = count_fds();
	void *results[THREADS];

	run_threads(start_in_a_row, &before, results);
	for (int i = 0; i < THREADS; i++)
		ck_assert_ptr_null(results[i]);
}
END_TEST

static int start_one_more(void)
{
	int seven = 7, code = 0;
	struct brood_process *child = brood_process_start(return_number, &seven);

	if (!child || brood_process_join(child, BROOD_FOREVER))
		return 1;
	brood_process_exit_code(child, &code);
	return brood_process_free(child) || code != 7;
}

/* A fork of the user's while other threads are inside the library. */
START_TEST(fork_by_others_leaves_it_usable)
{
	int before = count_fds();
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, start_in_a_row, &before);
	for (int i = 0; i < 25; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0)
			_exit(start_one_more());
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
	}
	pthread_join(thread, &result);
	ck_assert_ptr_null(result);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("process_race", begin);

	pthread_atfork(NULL, call_in_parent, call_in_child);
	tcase_add_test(tests, sigchld_ignored);
	tcase_add_test(tests, reaped_by_a_stray_wait);
	tcase_add_test(tests, gone_before_the_pidfd);
	tcase_add_test(tests, a_stopped_child_is_alive);
	tcase_add_test(tests, a_child_that_we_trace_is_alive);
	tcase_add_loop_test(tests, descriptors_run_out, 0, 3);
	tcase_add_test(tests, fork_fails);
	tcase_add_test(tests, two_hundred_at_once);
	tcase_add_test(tests, five_hundred_in_a_row);
	tcase_add_test(tests, children_inherit_no_descriptor_of_a_handle);
	tcase_add_test(tests, all_threads_can_join_one_child);
	tcase_add_test(tests, threads_start_children);
	tcase_add_test(tests, fork_by_others_leaves_it_usable);
	return run_cases("process_race", tests, NULL);
}
