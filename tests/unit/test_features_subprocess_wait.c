/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Python promises of subprocess, row by row, of waiting and talking, and of what the
 * caller does with its children and signals. The name of a test is that of the row; see
 * test_features_subprocess.c.
 */
#include <sys/time.h>
#include <time.h>

#include "test_subprocess.h"

/* ---- waiting ---- */

START_TEST(poll_is_not_done_while_it_runs)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE));
	int code = 1234;

	ck_assert_int_eq(brood_subprocess_poll(process, &code), -EAGAIN);
	ck_assert_int_eq(code, 1234);
	brood_subprocess_close_stream(process, BROOD_STDIN);
	until_ended(process);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(brood_subprocess_poll(process, NULL), 0);
		ck_assert_int_eq(brood_subprocess_poll(process, &code), 0);
		ck_assert_int_eq(code, 0);
	}
	ends(process, 0);
}
END_TEST

static int64_t cpu_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000 * MS + now.tv_nsec;
}

START_TEST(wait_with_timeout)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE));
	int64_t begin = brood_now(), used = cpu_time();
	int code = 1234;

	ck_assert_int_eq(brood_subprocess_wait(process, &code, 0), -EAGAIN);
	ck_assert_int_eq(brood_subprocess_wait(process, &code, brood_ms(200)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 200 * MS);
	ck_assert_int_lt(cpu_time() - used, 20 * MS);
	ck_assert_int_eq(brood_subprocess_wait(process, &code, brood_until(begin)), -ETIMEDOUT);
	ck_assert_int_eq(code, 1234);
	brood_subprocess_close_stream(process, BROOD_STDIN);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_subprocess_wait(process, &code, BROOD_FOREVER), 0);
	ck_assert_int_eq(code, 0);
	ends(process, 0);
}
END_TEST

static const struct {
	const char *command;
	int code;
} returned[] = {
	{ "exit 0", 0 },	{ "exit 1", 1 },
	{ "exit 255", 255 },	{ "exit 256", 0 },
	{ "kill -9 $$", -9 },	{ "kill -15 $$", -15 },
	{ "kill -64 $$", -64 }, { "/nonexistent", 127 },
	{ "/etc/passwd", 126 }, { "sh -c 'kill -9 $$'; exit $?", 128 + 9 },
};

START_TEST(returncode)
{
	ends(opened(BROOD_ARGS(returned[_i].command),
		    OPTS(.shell = true, .err = { .kind = BROOD_STREAM_NULL })),
	     returned[_i].code);
}
END_TEST

START_TEST(stopped_child_has_not_ended)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE));
	siginfo_t info;

	ck_assert_int_eq(brood_subprocess_signal(process, SIGSTOP), 0);
	ck_assert_int_eq(
		waitid(P_PID, (id_t)brood_subprocess_pid(process), &info, WSTOPPED | WNOWAIT), 0);
	ck_assert_int_eq(brood_subprocess_poll(process, NULL), -EAGAIN);
	ck_assert_int_eq(brood_subprocess_wait(process, NULL, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_eq(brood_subprocess_signal(process, SIGCONT), 0);
	brood_subprocess_close_stream(process, BROOD_STDIN);
	ends(process, 0);
}
END_TEST

START_TEST(send_signal_terminate_kill)
{
	static int (*const calls[])(struct brood_subprocess *) = { brood_subprocess_terminate,
								   brood_subprocess_kill };
	static const int codes[] = { -SIGTERM, -SIGKILL };

	for (int i = 0; i < 2; i++) {
		struct brood_subprocess *process = opened(BROOD_ARGS("sleep", "1000"), NULL);

		ck_assert_int_eq(calls[i](process), 0);
		until_ended(process);
		ck_assert_int_eq(calls[i](process), 0);
		ck_assert_int_eq(brood_subprocess_wait(process, NULL, LONG), 0);
		ck_assert_int_eq(calls[i](process), 0);
		ck_assert_int_eq(brood_subprocess_signal(process, SIGUSR1), 0);
		ends(process, codes[i]);
	}
}
END_TEST

/* ---- communicate ---- */

START_TEST(communicate_8_mb_both_ways)
{
	enum { BYTES = 8 << 20 };
	struct brood_subprocess *process =
		opened(SH("tee /dev/fd/2"), OPTS(.in = PIPE, .out = PIPE, .err = PIPE));
	struct brood_subprocess_result result;
	char *input = pattern(BYTES);

	ck_assert_int_eq(brood_subprocess_communicate(process, input, BYTES, &result, LONG), 0);
	ck_assert_uint_eq(result.output_length, BYTES);
	ck_assert_uint_eq(result.error_length, BYTES);
	ck_assert_uint_eq(result.input_total, BYTES);
	ck_assert(memcmp(result.output, input, BYTES) == 0);
	ck_assert(memcmp(result.error_output, input, BYTES) == 0);
	brood_subprocess_result_free(&result);
	free(input);
	ends(process, 0);
}
END_TEST

/* The program ends at once; what it leaves behind holds the pipe until `held` is closed. */
static struct brood_subprocess *with_holder(int held[2], const struct brood_subprocess_opts *opts)
{
	struct brood_subprocess_opts with = *opts;

	ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
	with.in = (struct brood_stream){ .kind = BROOD_STREAM_FD, .fd = held[0] };
	with.out = (struct brood_stream)PIPE;
	return opened(SH("exec 3<&0; (cat <&3; echo second) & echo first"), &with);
}

START_TEST(eof_rule)
{
	int held[2];
	struct brood_subprocess *process = with_holder(held, OPTS(0));
	struct brood_subprocess_result result;

	ck_assert_int_eq(brood_subprocess_wait(process, NULL, LONG), 0);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, brood_ms(20)),
			 -ETIMEDOUT);
	close_pipe(held);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
	ck_assert_str_eq(result.output, "first\nsecond\n");
	brood_subprocess_result_free(&result);
	ends(process, 0);

	process = with_holder(held, OPTS(.until_exit = true));
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
	ck_assert_str_eq(result.output, "first\n");
	close_pipe(held);
	brood_subprocess_result_free(&result);
	ends(process, 0);
}
END_TEST

START_TEST(read_line_by_line)
{
	struct brood_subprocess *process = opened(
		SH("read a; echo \"<$a>\"; read b; echo \"<$b>\""), OPTS(.in = PIPE, .out = PIPE));
	FILE *to = fdopen(brood_subprocess_take(process, BROOD_STDIN), "w");
	FILE *from = fdopen(brood_subprocess_take(process, BROOD_STDOUT), "r");
	char line[20];

	for (const char *const *word = BROOD_ARGS("one", "two"); *word; word++) {
		char wanted[20];

		snprintf(wanted, sizeof(wanted), "<%s>\n", *word);
		fprintf(to, "%s\n", *word);
		fflush(to);
		ck_assert_ptr_nonnull(fgets(line, sizeof(line), from));
		ck_assert_str_eq(line, wanted);
	}
	ck_assert_ptr_null(fgets(line, sizeof(line), from));
	fclose(to);
	fclose(from);
	ends(process, 0);
}
END_TEST

START_TEST(write_part_before_communicate)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE));
	struct brood_subprocess_result result;

	ck_assert_int_eq(write(brood_subprocess_fd(process, BROOD_STDIN), "first ", 6), 6);
	ck_assert_int_eq(brood_subprocess_communicate(process, "second", 6, &result, LONG), 0);
	ck_assert_str_eq(result.output, "first second");
	brood_subprocess_result_free(&result);
	ends(process, 0);
}
END_TEST

START_TEST(with_popen)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE));
	int pidfd = fcntl(brood_subprocess_pidfd(process), F_DUPFD_CLOEXEC, 0);
	struct pollfd end = { .fd = pidfd, .events = POLLIN };

	ck_assert_int_eq(brood_subprocess_close(process), 0);
	ck_assert_int_eq(poll(&end, 1, 40000), 1);
	close(pidfd);
	ends(opened(BROOD_ARGS("true"), NULL), 0); /* reaps it: the fixture finds no zombie */
}
END_TEST

/* ---- what the caller does with its children and signals ---- */

START_TEST(sigchld_ignored)
{
	struct brood_subprocess *process;
	int code = 1234;

	signal(SIGCHLD, SIG_IGN);
	process = opened(SH("exit 3"), NULL);
	ck_assert_int_eq(brood_subprocess_wait(process, &code, LONG),
			 code_is_known() ? 0 : -ECHILD);
	ck_assert_int_eq(code, code_is_known() ? 3 : 1234);
	ck_assert_int_eq(brood_subprocess_close(process), 0);
}
END_TEST

START_TEST(reaped_by_somebody_else)
{
	struct brood_subprocess *process = opened(SH("exit 3"), NULL);
	int code = 1234;

	ck_assert_int_eq(waitpid(-1, NULL, 0), brood_subprocess_pid(process));
	ck_assert_int_eq(brood_subprocess_poll(process, &code), code_is_known() ? 0 : -ECHILD);
	ck_assert_int_eq(code, code_is_known() ? 3 : 1234);
	ck_assert_int_eq(brood_subprocess_close(process), 0);
}
END_TEST

START_TEST(dropped_object)
{
	struct brood_subprocess *other = opened(BROOD_ARGS("true"), NULL);
	int held[20];

	for (int i = 0; i < 20; i++) {
		struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE));

		held[i] = fcntl(brood_subprocess_pidfd(process), F_DUPFD_CLOEXEC, 0);
		ck_assert_int_eq(brood_subprocess_close(process), 0);
	}
	for (int i = 0; i < 20; i++) {
		struct pollfd end = { .fd = held[i], .events = POLLIN };

		ck_assert_int_eq(poll(&end, 1, 40000), 1);
		close(held[i]);
	}
	ends(other, 0); /* a close reaps too */
}
END_TEST

static volatile sig_atomic_t alarms;

static void count(int signal)
{
	(void)signal;
	alarms++;
}

START_TEST(eintr)
{
	struct itimerval often = { { 0, 700 }, { 0, 700 } }, never = { { 0, 0 }, { 0, 0 } };
	struct brood_subprocess_result result;

	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = count }, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	while (alarms < 100) {
		ck_assert_int_eq(
			brood_subprocess_run(SH("cat; sleep .02; echo end"),
					     OPTS(.capture = true, .input = "a", .input_length = 1),
					     &result, LONG),
			0);
		ck_assert_str_eq(result.output, "aend\n");
		brood_subprocess_result_free(&result);
		ends(opened(BROOD_ARGS("sleep", ".02"), NULL), 0);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
}
END_TEST

static int cases(void)
{
	TCase *waiting = new_case("waiting", begin_without_arena);
	TCase *talking = new_case("communicate", begin_without_arena);
	TCase *caller = new_case("caller", begin_without_arena);

	tcase_add_test(waiting, poll_is_not_done_while_it_runs);
	tcase_add_test(waiting, wait_with_timeout);
	tcase_add_loop_test(waiting, returncode, 0, sizeof(returned) / sizeof(*returned));
	tcase_add_test(waiting, stopped_child_has_not_ended);
	tcase_add_test(waiting, send_signal_terminate_kill);
	tcase_add_test(talking, communicate_8_mb_both_ways);
	tcase_add_test(talking, eof_rule);
	tcase_add_test(talking, read_line_by_line);
	tcase_add_test(talking, write_part_before_communicate);
	tcase_add_test(talking, with_popen);
	tcase_add_test(caller, sigchld_ignored);
	tcase_add_test(caller, reaped_by_somebody_else);
	tcase_add_test(caller, dropped_object);
	tcase_add_test(caller, eintr);
	return run_cases("features_subprocess_wait", waiting, talking, caller, NULL);
}

int main(void)
{
	return run_in_place(cases);
}
