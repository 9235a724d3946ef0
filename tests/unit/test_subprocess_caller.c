/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the caller does beside: with SIGCHLD, with children of its own, with other threads; and
 * handles that are closed while their programs run.
 */
#include <pthread.h>

#include "test_subprocess.h"

/* ---- SIGCHLD ---- */

static volatile sig_atomic_t reaped;

static void reap_any(int signal)
{
	int before = errno;

	(void)signal;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		reaped++;
	errno = before;
}

enum { PLAIN, IGNORED, NO_WAIT, BLOCKED, HANDLED, WAYS };

static void treat_sigchld(int way)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t set;

	if (way == IGNORED)
		action.sa_handler = SIG_IGN;
	if (way == NO_WAIT)
		action.sa_flags = SA_NOCLDWAIT;
	if (way == HANDLED)
		action.sa_handler = reap_any;
	ck_assert_int_eq(sigaction(SIGCHLD, &action, NULL), 0);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(way == BLOCKED ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* The right code, or that nobody knows it: never another. */
static void check_code(int r, int code, int wanted, bool is_sure)
{
	if (is_sure || r != -ECHILD) {
		ck_assert_int_eq(r, 0);
		ck_assert_int_eq(code, wanted);
	} else {
		ck_assert_int_eq(code, BROOD_NO_CODE);
	}
}

static void try_codes(bool is_sure)
{
	static const char *const commands[] = { "exit 3", "kill -9 $$", "exit 0" };
	static const int codes[] = { 3, -9, 0 };

	for (int i = 0; i < 60; i++) {
		struct brood_subprocess *process = opened(SH(commands[i % 3]), NULL);
		struct brood_subprocess_result result;
		int code = BROOD_NO_CODE, r;

		if (i % 2)
			until_ended(process);
		r = brood_subprocess_wait(process, &code, LONG);
		check_code(r, code, codes[i % 3], is_sure);
		ck_assert_int_eq(brood_subprocess_wait(process, NULL, LONG), r);
		ck_assert_int_eq(brood_subprocess_kill(process), 0);
		ck_assert_int_eq(brood_subprocess_kill_tree(process, SIGKILL), 0);
		ck_assert_int_eq(brood_subprocess_close(process), 0);
		r = brood_subprocess_run(SH(commands[i % 3]), OPTS(.capture = true), &result, LONG);
		check_code(r, result.code, codes[i % 3], is_sure);
		ck_assert_str_eq(result.output, "");
		brood_subprocess_result_free(&result);
		fails(BROOD_ARGS("/nonexistent"), NULL, ENOENT, BROOD_STEP_EXEC);
	}
}

START_TEST(sigchld_in_all_ways)
{
	treat_sigchld(_i);
	try_codes(code_is_known() || _i == PLAIN || _i == BLOCKED);
	if (_i == HANDLED)
		ck_assert_int_gt(reaped, 0); /* it was in our way */
	treat_sigchld(PLAIN);
}
END_TEST

static void *wait_for_any(void *stop)
{
	while (!atomic_load((_Atomic bool *)stop))
		waitpid(-1, NULL, WNOHANG);
	return NULL;
}

START_TEST(thread_that_waits_for_any_child)
{
	_Atomic bool stop = false;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_any, &stop), 0);
	try_codes(code_is_known());
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}
END_TEST

static int return_seven(void *unused)
{
	(void)unused;
	return 7;
}

START_TEST(children_of_the_caller_s_own_stay)
{
	pid_t own = start(return_seven, NULL);
	siginfo_t info;

	ck_assert_int_eq(waitid(P_PID, (id_t)own, &info, WEXITED | WNOWAIT), 0);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(brood_subprocess_run(SH("exit 1"), NULL, NULL, LONG), 0);
	ck_assert_int_eq(brood_subprocess_run(SH("sleep 1000 & sleep 1000"), OPTS(.capture = true),
					      NULL, brood_ms(20)),
			 -ETIMEDOUT);
	ck_assert_int_eq(end_of(own), 7);
}
END_TEST

/* ---- threads ---- */

static void *wait_too(void *process)
{
	int code = 1234, r = brood_subprocess_wait(process, &code, LONG);

	return (void *)(intptr_t)(r ? r : code);
}

START_TEST(waited_for_by_several_threads)
{
	for (int round = 0; round < 20; round++) {
		struct brood_subprocess *process = opened(SH("read x; exit 3"), OPTS(.in = PIPE));
		pthread_t threads[6];
		void *code;

		for (int i = 0; i < 6; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_too, process), 0);
		ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDIN), 0);
		for (int i = 0; i < 6; i++) {
			pthread_join(threads[i], &code);
			ck_assert_int_eq((intptr_t)code, 3);
		}
		ends(process, 3);
	}
}
END_TEST

/* Each ends by the end of its input; with an end in another thread's program it would not. */
static void *start_many(void *unused)
{
	for (int i = 0; i < 30; i++) {
		struct brood_subprocess *process =
			opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE));

		says(BROOD_ARGS(SELF, "fds"), OPTS(.in = PIPE, .err = PIPE), "0 1 2 \n");
		ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDIN), 0);
		ends(process, 0);
	}
	return unused;
}

#if defined(__has_feature)
#define WITH_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZER 1
#else
#define WITH_SANITIZER 0
#endif

/* The sanitizer's allocator may be locked for ever in a process forked beside other threads. */
static int run_in_fork(void)
{
	return WITH_SANITIZER ? 0
			      : brood_subprocess_run(BROOD_ARGS("true"), OPTS(.check = true), NULL,
						     LONG) != 0;
}

static void *fork_many(void *stop)
{
	while (!atomic_load((_Atomic bool *)stop)) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(run_in_fork());
		ck_assert_int_eq(end_of(pid), 0);
	}
	return NULL;
}

START_TEST(started_by_several_threads)
{
	pthread_t threads[4], forks;
	_Atomic bool stop = false;

	if (_i)
		ck_assert_int_eq(pthread_create(&forks, NULL, fork_many, &stop), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, start_many, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, true);
	if (_i)
		pthread_join(forks, NULL);
}
END_TEST

/* ---- closed while it runs ---- */

START_TEST(closed_while_it_runs)
{
	struct brood_stream file = { .kind = BROOD_STREAM_PATH, .path = in_place("out") };
	int go[2], pidfd;
	pid_t pid;
	struct brood_subprocess *process;
	struct pollfd end = { .events = POLLIN };

	for (int by_close = 0; by_close < 2; by_close++) {
		struct brood_subprocess *other = opened(BROOD_ARGS("true"), NULL);

		ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
		process = opened(SH("read x; echo done"),
				 OPTS(.in = { .kind = BROOD_STREAM_FD, .fd = go[0] }, .out = file));
		pidfd = fcntl(brood_subprocess_pidfd(process), F_DUPFD_CLOEXEC, 3);
		pid = brood_subprocess_pid(process);
		ck_assert_int_eq(brood_subprocess_close(process), 0);
		file_has(file.path, "");
		ck_assert_int_eq(write(go[1], "\n", 1), 1);
		end.fd = pidfd;
		ck_assert_int_eq(poll(&end, 1, 40000), 1);
		file_has(file.path, "done\n");
		close(pidfd);
		close_pipe(go);
		until_ended(other);
		if (!by_close)
			process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE));
		else
			ck_assert_int_eq(brood_subprocess_close(other), 0);
		ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), -1);
		if (!by_close) {
			ends(other, 0);
			kill_and_close(process);
		}
	}
}
END_TEST

/* Also where it, or any, was reaped by somebody else before. */
START_TEST(closed_ones_that_somebody_else_reaps)
{
	treat_sigchld(IGNORED);
	for (int i = 0; i < 20; i++) {
		struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE));

		ck_assert_int_eq(brood_subprocess_close(process), 0);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	treat_sigchld(PLAIN);
	ends(opened(BROOD_ARGS("true"), NULL), 0); /* and lets go of their descriptors */
}
END_TEST

static int cases(void)
{
	TCase *signals = new_case("sigchld", begin_without_arena);
	TCase *threads = new_case("threads", begin_without_arena);
	TCase *closing = new_case("closing", begin_without_arena);

	tcase_add_loop_test(signals, sigchld_in_all_ways, 0, WAYS);
	tcase_add_test(signals, thread_that_waits_for_any_child);
	tcase_add_test(signals, children_of_the_caller_s_own_stay);
	tcase_add_test(threads, waited_for_by_several_threads);
	tcase_add_loop_test(threads, started_by_several_threads, 0, 2);
	tcase_add_test(closing, closed_while_it_runs);
	tcase_add_test(closing, closed_ones_that_somebody_else_reaps);
	return run_cases("subprocess_caller", signals, threads, closing, NULL);
}

int main(int argc, char **argv)
{
	(void)argv;
	return argc > 1 ? print_fds() : run_in_place(cases);
}
