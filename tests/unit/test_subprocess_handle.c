/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handles of external programs: their streams, signals by them, and copies in forked children. */
#include <pthread.h>

#include "test_subprocess.h"

START_TEST(no_handle)
{
	ck_assert_int_eq(brood_subprocess_close(NULL), 0);
	ck_assert_int_eq(brood_subprocess_pid(NULL), -EINVAL);
	ck_assert_int_eq(brood_subprocess_pidfd(NULL), -EINVAL);
	ck_assert_int_eq(brood_subprocess_fd(NULL, BROOD_STDIN), -EINVAL);
	ck_assert_int_eq(brood_subprocess_close_stream(NULL, BROOD_STDIN), -EINVAL);
	ck_assert_int_eq(brood_subprocess_take(NULL, BROOD_STDIN), -EINVAL);
	ck_assert_int_eq(brood_subprocess_wait(NULL, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_subprocess_poll(NULL, NULL), -EINVAL);
	ck_assert_int_eq(brood_subprocess_signal(NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_subprocess_terminate(NULL), -EINVAL);
	ck_assert_int_eq(brood_subprocess_kill(NULL), -EINVAL);
	ck_assert_int_eq(brood_subprocess_kill_tree(NULL, SIGKILL), -EINVAL);
	ck_assert_int_eq(brood_subprocess_communicate(NULL, NULL, 0, NULL, 0), -EINVAL);
	ck_assert_ptr_null(brood_subprocess_kept(NULL, BROOD_STDOUT, NULL));
	brood_subprocess_result_free(NULL);
}
END_TEST

START_TEST(streams_of_a_handle)
{
	struct brood_subprocess *process =
		opened(BROOD_ARGS("cat"),
		       OPTS(.in = PIPE, .out = PIPE, .err = { .kind = BROOD_STREAM_NULL }));
	int out = brood_subprocess_fd(process, BROOD_STDOUT);

	ck_assert_int_gt(out, 2);
	ck_assert_int_eq(fcntl(out, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(out, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(brood_subprocess_pidfd(process), F_GETFD), FD_CLOEXEC);
	for (unsigned int which = 2; which < 4; which++) {
		int wanted = which == 2 ? -EBADF : -EINVAL;

		ck_assert_int_eq(brood_subprocess_fd(process, which), wanted);
		ck_assert_int_eq(brood_subprocess_take(process, which), wanted);
		ck_assert_int_eq(brood_subprocess_close_stream(process, which), wanted);
	}
	ck_assert_int_eq(brood_subprocess_take(process, BROOD_STDOUT), out);
	ck_assert_int_eq(fcntl(out, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(brood_subprocess_take(process, BROOD_STDOUT), -EBADF);
	ck_assert_int_eq(brood_subprocess_fd(process, BROOD_STDOUT), -EBADF);
	ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDOUT), -EBADF);
	ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDIN), 0);
	ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDIN), -EBADF);
	until_eof(out);
	ends(process, 0);
}
END_TEST

START_TEST(signals_that_are_none)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE));

	ck_assert_int_eq(brood_subprocess_signal(process, 0), 0);
	ck_assert_int_eq(brood_subprocess_signal(process, -1), -EINVAL);
	ck_assert_int_eq(brood_subprocess_signal(process, 65), -EINVAL);
	ck_assert_int_eq(brood_subprocess_kill_tree(process, 65), -EINVAL);
	ck_assert_int_eq(brood_subprocess_kill_tree(process, 0), 0);
	ck_assert_int_eq(brood_subprocess_poll(process, NULL), -EAGAIN);
	brood_subprocess_close_stream(process, BROOD_STDIN);
	ends(process, 0);
}
END_TEST

START_TEST(signal_to_another_user_s)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE));

	if (geteuid() == 0) {
		ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
		ck_assert_int_eq(brood_subprocess_kill(process), -EPERM);
		ck_assert_int_eq(brood_subprocess_kill_tree(process, SIGKILL), -EPERM);
		ck_assert_int_eq(setresuid(0, 0, 0), 0);
	} else {
		skipped("a signal to another user's program: only root can start one");
	}
	kill_and_close(process);
}
END_TEST

static int (*const in_a_fork[])(struct brood_subprocess *) = { brood_subprocess_terminate,
							       brood_subprocess_kill };

/* The program's input is at its end though this one lives: its copy of the pipe was closed. */
static int use_a_copy(void *handle)
{
	int code = 1234;

	for (int i = 0; i < 2; i++)
		must(in_a_fork[i](handle) == -ECHILD);
	must(brood_subprocess_wait(handle, &code, BROOD_FOREVER) == -ECHILD && code == 1234);
	must(brood_subprocess_poll(handle, &code) == -ECHILD);
	must(brood_subprocess_signal(handle, SIGKILL) == -ECHILD);
	must(brood_subprocess_kill_tree(handle, SIGKILL) == -ECHILD);
	must(brood_subprocess_pidfd(handle) == -ECHILD);
	must(brood_subprocess_fd(handle, BROOD_STDIN) == -ECHILD);
	must(brood_subprocess_take(handle, BROOD_STDIN) == -ECHILD);
	must(brood_subprocess_close_stream(handle, BROOD_STDIN) == -ECHILD);
	must(brood_subprocess_communicate(handle, NULL, 0, NULL, 0) == -ECHILD);
	for (int fd = 3; fd < 64; fd++)
		must(fcntl(fd, F_GETFD) < 0 || fcntl(fd, F_GETPIPE_SZ) != 131072);
	must(brood_subprocess_close(handle) == -ECHILD);
	return 0;
}

static int told[2];

static int use_a_copy_and_stay(void *handle)
{
	use_a_copy(handle);
	must(write(told[1], "x", 1) == 1);
	return pause();
}

START_TEST(handle_in_a_forked_child)
{
	struct brood_subprocess *process =
		opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE, .pipe_size = 131072));
	struct brood_process *child = NULL;
	pid_t pid = 0;

	ck_assert_int_eq(pipe2(told, O_CLOEXEC), 0);
	if (_i)
		child = brood_process_start(use_a_copy_and_stay, process);
	else
		pid = start(use_a_copy_and_stay, process);
	close(told[1]);
	reads(told[0], "x");
	ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDIN), 0);
	ends(process, 0);
	close(told[0]);
	if (!_i) {
		kill_child(pid);
		return;
	}
	ck_assert_int_eq(brood_process_kill(child), 0);
	ck_assert_int_eq(brood_process_join(child, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_process_free(child), 0);
}
END_TEST

static int run_one_of_its_own(void *handle)
{
	must(brood_subprocess_close(handle) == -ECHILD);
	return brood_subprocess_run(BROOD_ARGS("true"), OPTS(.check = true), NULL, LONG) != 0;
}

START_TEST(programs_of_a_forked_child)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE));

	ck_assert_int_eq(run(run_one_of_its_own, process), 0);
	ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDIN), 0);
	ends(process, 0);
}
END_TEST

/* Also when communicate has made it not block: who reads it by stdio would take that for its end. */
START_TEST(what_was_taken_blocks)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE));
	int input = brood_subprocess_take(process, BROOD_STDIN), output;

	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, 0), -EAGAIN);
	output = brood_subprocess_take(process, BROOD_STDOUT);
	ck_assert_int_eq(fcntl(output, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(write(input, "x\n", 2), 2);
	reads(output, "x\n");
	close(input);
	until_eof(output);
	ends(process, 0);
}
END_TEST

static volatile sig_atomic_t interrupts;

static void interrupted(int signal)
{
	(void)signal;
	interrupts++;
}

/* The program: how many it got until the end of its input. */
static int count_interrupts(void)
{
	const struct sigaction how = { .sa_handler = interrupted };
	char byte;

	sigaction(SIGINT, &how, NULL);
	must(write(1, "ready\n", 6) == 6);
	while (read(0, &byte, 1) != 0)
		;
	printf("%d\n", (int)interrupts);
	return 0;
}

/* Many programs take a second one for "at once". */
START_TEST(who_leads_a_group_gets_a_signal_once)
{
	struct brood_subprocess *process =
		opened(BROOD_ARGS(SELF, "count"), OPTS(.own_group = true, .in = PIPE, .out = PIPE));
	int output = brood_subprocess_fd(process, BROOD_STDOUT);

	reads(output, "ready\n");
	ck_assert_int_eq(brood_subprocess_kill_tree(process, SIGINT), 0);
	ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDIN), 0);
	reads(output, "1\n");
	ends(process, 0);
}
END_TEST

/* ---- cancellation ---- */

static struct brood_subprocess *tree;

static int cancelled_kill_tree(void)
{
	return brood_subprocess_kill_tree(tree, SIGCONT);
}

static int cancelled_run(void)
{
	return brood_subprocess_run(SH("cat; sleep 0.01"),
				    OPTS(.input = "x", .input_length = 1, .capture = true), NULL,
				    LONG);
}

static int cancelled_time_out(void)
{
	return brood_subprocess_run(SH("sleep 50 & sleep 51"), OPTS(.capture = true), NULL,
				    brood_ms(5)) != -ETIMEDOUT;
}

static int cancelled_communicate(void)
{
	return brood_subprocess_communicate(tree, NULL, 0, NULL, brood_ms(1)) != -ETIMEDOUT;
}

static int cancelled_close(void)
{
	struct brood_subprocess *process =
		brood_subprocess_open(BROOD_ARGS("true"), OPTS(.out = PIPE));
	int r = brood_subprocess_communicate(process, NULL, 0, NULL, LONG);

	return r ? r : brood_subprocess_close(process);
}

static int (*const cancelled[])(void) = { cancelled_kill_tree, cancelled_run, cancelled_time_out,
					  cancelled_communicate, cancelled_close };

static _Atomic int came_back;

/* The request is there before the call. */
static void *call_it(void *function)
{
	pthread_cancel(pthread_self());
	came_back = (*(int (*const *)(void))function)() == 0;
	return NULL;
}

START_TEST(no_call_but_wait_is_a_cancellation_point)
{
	pthread_t thread;

	came_back = 0;
	tree = opened(SH("sleep 52 & sleep 53"), OPTS(.own_group = true, .out = PIPE));
	ck_assert_int_eq(pthread_create(&thread, NULL, call_it, (void *)&cancelled[_i]), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(came_back, 1);
	ck_assert_int_eq(brood_subprocess_kill_tree(tree, SIGKILL), 0);
	ends(tree, -SIGKILL);
}
END_TEST

/* An environment is whatever execve was given. */
START_TEST(path_without_a_value)
{
	char *strange[] = { (char[]){ "PATH" }, NULL }, **before = environ;
	int r;

	environ = strange;
	r = brood_subprocess_run(BROOD_ARGS("true"), NULL, NULL, LONG);
	environ = before;
	ck_assert_int_eq(r, 0);
}
END_TEST

static int cases(void)
{
	TCase *handles = new_case("handles", begin_test);

	tcase_add_test(handles, no_handle);
	tcase_add_test(handles, streams_of_a_handle);
	tcase_add_test(handles, signals_that_are_none);
	tcase_add_test(handles, signal_to_another_user_s);
	tcase_add_loop_test(handles, handle_in_a_forked_child, 0, 2);
	tcase_add_test(handles, programs_of_a_forked_child);
	tcase_add_test(handles, what_was_taken_blocks);
	tcase_add_loop_test(handles, who_leads_a_group_gets_a_signal_once, 0, 20);
	tcase_add_loop_test(handles, no_call_but_wait_is_a_cancellation_point, 0,
			    sizeof(cancelled) / sizeof(*cancelled));
	tcase_add_test(handles, path_without_a_value);
	return run_cases("subprocess_handle", handles, NULL);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return strcmp(argv[1], "count") == 0 ? count_interrupts() : 99;
	return run_in_place(cases);
}
