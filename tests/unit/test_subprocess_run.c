/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run: its results, the texts of its errors, and what a time-out, a limit or a function ends. */
#include <pthread.h>
#include <sys/prctl.h>

#include "test_subprocess.h"

/* ---- texts ---- */

static void says_error(const char *const argv[], struct brood_subprocess_opts opts, int64_t timeout,
		       int code, const char *text)
{
	struct brood_subprocess_result result;
	struct brood_subprocess_error error;

	opts.error = &error;
	ck_assert_int_eq(brood_subprocess_run(argv, &opts, &result, timeout), code);
	ck_assert_str_eq(result.error.text, text);
	ck_assert_int_eq(result.error.code, code);
	ck_assert_uint_eq(result.error.step, BROOD_STEP_RUN);
	ck_assert(memcmp(&error, &result.error, sizeof(error)) == 0);
	for (size_t i = 0; argv[i]; i++)
		ck_assert_str_eq(result.args[i], argv[i]);
	brood_subprocess_result_free(&result);
}

static const struct {
	const char *command, *text;
} failures[] = {
	{ "exit 3", "Command 'exit 3' returned non-zero exit status 3." },
	{ "exit 255", "Command 'exit 255' returned non-zero exit status 255." },
	{ "kill -9 $$", "Command 'kill -9 $$' died with signal 9 (SIGKILL)." },
	{ "kill -15 $$", "Command 'kill -15 $$' died with signal 15 (SIGTERM)." },
	{ "kill -11 $$", "Command 'kill -11 $$' died with signal 11 (SIGSEGV)." },
};

START_TEST(text_of_a_failure)
{
	says_error(BROOD_ARGS(failures[_i].command), *OPTS(.shell = true, .check = true), LONG,
		   -EREMOTEIO, failures[_i].text);
}
END_TEST

START_TEST(text_of_several_words)
{
	says_error(BROOD_ARGS("ls", "-l", "/nonexistent/x"),
		   *OPTS(.check = true, .err = { .kind = BROOD_STREAM_NULL }), LONG, -EREMOTEIO,
		   "Command 'ls -l /nonexistent/x' returned non-zero exit status 2.");
}
END_TEST

START_TEST(text_of_a_time_out)
{
	says_error(BROOD_ARGS("sleep", "1000"), *OPTS(0), brood_ms(250), -ETIMEDOUT,
		   "Command 'sleep 1000' timed out after 0.25 seconds.");
	says_error(BROOD_ARGS("sleep 1000"), *OPTS(.shell = true), brood_us(1500), -ETIMEDOUT,
		   "Command 'sleep 1000' timed out after 0.0015 seconds.");
	says_error(BROOD_ARGS("sleep", "1000"), *OPTS(0), 0, -EAGAIN,
		   "Command 'sleep 1000' timed out after 0 seconds.");
	says_error(BROOD_ARGS("sleep", "1000"), *OPTS(0), -1, -EAGAIN,
		   "Command 'sleep 1000' timed out after 0 seconds.");
}
END_TEST

START_TEST(long_command_is_cut)
{
	static char command[5000];
	struct brood_subprocess_result result;

	memset(command, 'x', sizeof(command) - 1);
	memcpy(command, "exit 5 #", 8);
	ck_assert_int_eq(brood_subprocess_run(BROOD_ARGS(command),
					      OPTS(.shell = true, .check = true), &result, LONG),
			 -EREMOTEIO);
	ck_assert_ptr_nonnull(memchr(result.error.text, 0, sizeof(result.error.text)));
	ck_assert(strncmp(result.error.text, "Command 'exit 5 #xxx", 20) == 0);
	ck_assert_ptr_nonnull(strstr(result.error.text, "' returned non-zero exit status 5."));
	ck_assert_str_eq(result.args[0], command);
	brood_subprocess_result_free(&result);
}
END_TEST

/* ---- results ---- */

START_TEST(result_of_what_was_not_started)
{
	struct brood_subprocess_result result;
	struct brood_subprocess_error error = { 0 };

	memset(&result, 'x', sizeof(result));
	ck_assert_int_eq(brood_subprocess_run(BROOD_ARGS("/nonexistent", "x"),
					      OPTS(.capture = true, .error = &error), &result,
					      LONG),
			 -ENOENT);
	ck_assert_str_eq(result.args[1], "x");
	ck_assert_int_eq(result.code, BROOD_NO_CODE);
	ck_assert_ptr_null(result.output);
	ck_assert_uint_eq(result.error.step, BROOD_STEP_EXEC);
	ck_assert_int_eq(result.error.code, -ENOENT);
	ck_assert_str_eq(error.text, "cannot run '/nonexistent': No such file or directory");
	brood_subprocess_result_free(&result);
	ck_assert_int_eq(brood_subprocess_run(NULL, NULL, &result, LONG), -EINVAL);
	ck_assert_uint_eq(result.error.step, BROOD_STEP_OPTIONS);
	brood_subprocess_result_free(&result);
	ck_assert_int_eq(
		brood_subprocess_run(BROOD_ARGS("true"), OPTS(.input_length = 1), &result, LONG),
		-EINVAL);
	ck_assert_int_eq(result.code, BROOD_NO_CODE);
	brood_subprocess_result_free(&result);
}
END_TEST

START_TEST(times_and_usage)
{
	struct brood_subprocess_result result;
	int64_t begin = brood_now(), end;

	ck_assert_int_eq(
		brood_subprocess_run(SH("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; "
					"sleep .03"),
				     NULL, &result, LONG),
		0);
	end = brood_now();
	ck_assert_int_ge(result.started, begin);
	ck_assert_int_ge(result.elapsed, 30 * MS);
	ck_assert_int_le(result.started + result.elapsed, end);
	ck_assert_int_gt(result.usage.ru_utime.tv_usec + result.usage.ru_stime.tv_usec, 0);
	ck_assert_int_gt(result.usage.ru_maxrss, 100);
	ck_assert_int_eq(result.error.code, 0);
	ck_assert_str_eq(result.error.text, "");
	brood_subprocess_result_free(&result);
}
END_TEST

START_TEST(getoutput_of_what_takes_too_long)
{
	struct brood_subprocess_result result = { 0 };

	for (int ms = 50; !result.output_length; ms *= 2) {
		brood_subprocess_result_free(&result);
		ck_assert_int_eq(
			brood_subprocess_getoutput("echo part; sleep 1000", &result, brood_ms(ms)),
			-ETIMEDOUT);
	}
	ck_assert_str_eq(result.output, "part");
	ck_assert_int_eq(result.code, -SIGKILL);
	brood_subprocess_result_free(&result);
	ck_assert_int_eq(brood_subprocess_getoutput(NULL, &result, LONG), -EINVAL);
	brood_subprocess_result_free(&result);
	ck_assert_int_eq(brood_subprocess_getoutput("true", NULL, LONG), 0);
}
END_TEST

/* ---- all of it is killed ---- */

static char much[1 << 20];

static const struct {
	const char *command;
	struct brood_subprocess_opts opts;
} families[] = {
	{ "sleep 1000 & echo part", { .capture = true } },
	{ "sleep 1000 & echo part; wait", { .capture = true } },
	{ "trap '' TERM INT HUP; sleep 1000 & echo part; wait", { .capture = true } },
	{ "(sleep 1000 & sleep 1000) & echo part", { .capture = true } },
	{ "setsid sleep 1000 & echo part", { .capture = true } },
	{ "setsid sh -c 'sleep 1000 & sleep 1000 &' & echo part; wait", { .capture = true } },
	{ "sleep 1000 & echo part", { .capture = true, .own_group = true } },
	{ "sleep 1000 & echo part", { .capture = true, .new_session = true } },
	{ "sleep 1000 & echo part; wait",
	  { .out = { .kind = BROOD_STREAM_PTY }, .err = { .kind = BROOD_STREAM_PTY } } },
	{ "sleep 1000 & echo part",
	  { .out = { .kind = BROOD_STREAM_PTY }, .err = { .kind = BROOD_STREAM_OUTPUT } } },
	{ "sleep 1000 >/dev/null & echo part", { .capture = true } },
	{ "kill -STOP $$ & echo part; wait; sleep 1000", { .capture = true } },
	{ "exec 9<&0; (sleep 1000 >/dev/null 2>&1 &) & echo part",
	  { .capture = true, .input = much, .input_length = sizeof much } },
};

/* None of them holds `held` any more: so none lives. */
START_TEST(time_out_kills_all_of_it)
{
	struct brood_subprocess_opts opts = families[_i].opts;
	struct brood_subprocess_result result = { 0 };
	int held[2];

	ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
	opts.pass_fds = &held[1];
	opts.pass_fds_count = 1;
	for (int ms = 50; !result.output_length; ms *= 2) {
		brood_subprocess_result_free(&result);
		ck_assert_int_eq(brood_subprocess_run(SH(families[_i].command), &opts, &result,
						      brood_ms(ms)),
				 -ETIMEDOUT);
	}
	ck_assert_str_eq(result.output, "part\n");
	ck_assert(result.code == -SIGKILL || result.code == 0);
	brood_subprocess_result_free(&result);
	close(held[1]);
	until_eof(held[0]);
}
END_TEST

static int started[2];

static void *run_too_long(void *unused)
{
	ck_assert_int_eq(brood_subprocess_run(SH("sleep 1000 & echo >&2"),
					      OPTS(.out = PIPE, .err = { .kind = BROOD_STREAM_FD,
									 .fd = started[1] }),
					      NULL, brood_ms(100)),
			 -ETIMEDOUT);
	return unused;
}

/* Programs that have nothing to do with it, be they older or younger, go on. */
START_TEST(time_out_kills_nobody_else)
{
	struct brood_subprocess *older = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE));
	struct brood_subprocess *younger;
	pthread_t thread;

	ck_assert_int_eq(pipe2(started, O_CLOEXEC), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_too_long, NULL), 0);
	reads(started[0], "\n");
	younger = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE));
	pthread_join(thread, NULL);
	close(started[1]);
	until_eof(started[0]);
	brood_subprocess_close_stream(older, BROOD_STDIN);
	brood_subprocess_close_stream(younger, BROOD_STDIN);
	ends(older, 0);
	ends(younger, 0);
}
END_TEST

static int stop_at_once(void *argument, enum brood_which_stream which, const char *data,
			size_t length)
{
	(void)which;
	memcpy(argument, data, length < 4 ? length : 4);
	return -ENOTTY;
}

START_TEST(limit_and_function_end_it)
{
	struct brood_subprocess_result result;
	char text[8] = "";
	int held[2];

	ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
	ck_assert_int_eq(brood_subprocess_run(SH("sleep 1000 & echo text; wait"),
					      OPTS(.capture = true, .limit = 2,
						   .pass_fds = &held[1], .pass_fds_count = 1),
					      &result, LONG),
			 -EFBIG);
	ck_assert_str_eq(result.output, "te");
	ck_assert_uint_eq(result.error.step, BROOD_STEP_RUN);
	ck_assert_int_eq(result.code, -SIGKILL);
	brood_subprocess_result_free(&result);
	ck_assert_int_eq(brood_subprocess_run(SH("sleep 1000 & echo text; wait"),
					      OPTS(.capture = true, .receive = stop_at_once,
						   .receive_argument = text, .pass_fds = &held[1],
						   .pass_fds_count = 1),
					      &result, LONG),
			 -ENOTTY);
	ck_assert_str_eq(text, "text");
	ck_assert_uint_eq(result.error.step, BROOD_STEP_RUN);
	ck_assert_int_eq(result.error.code, -ENOTTY);
	brood_subprocess_result_free(&result);
	close(held[1]);
	until_eof(held[0]);
}
END_TEST

/* ---- kill_tree ---- */

/* The orphan is ours (we are its subreaper) and would live but for the group. */
START_TEST(group_is_reached_until_it_is_waited_for)
{
	struct brood_subprocess *process;
	int held[2];

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	for (int i = 0; i < 2; i++) {
		siginfo_t info;

		ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
		process = opened(SH("sleep 1000 & exit 3"),
				 OPTS(.own_group = i == 0, .new_session = i == 1,
				      .pass_fds = &held[1], .pass_fds_count = 1));
		close(held[1]);
		until_ended(process);
		ck_assert_int_eq(brood_subprocess_kill_tree(process, SIGTERM), 0);
		ck_assert_int_eq(brood_subprocess_wait(process, NULL, LONG), 0);
		ck_assert_int_eq(brood_subprocess_kill_tree(process, SIGKILL), 0);
		ends(process, 3);
		ck_assert_int_eq(waitid(P_ALL, 0, &info, WEXITED), 0);
		ck_assert_int_eq(info.si_status, SIGTERM);
		until_eof(held[0]);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}
END_TEST

START_TEST(tree_in_its_own_groups)
{
	int held[2];
	struct brood_subprocess *process;

	ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
	process = opened(SH("setsid sh -c 'sleep 1000 & echo; wait' & sleep 1000 & echo; wait"),
			 OPTS(.out = PIPE, .pass_fds = &held[1], .pass_fds_count = 1));
	close(held[1]);
	reads(brood_subprocess_fd(process, BROOD_STDOUT), "\n\n");
	ck_assert_int_eq(brood_subprocess_kill_tree(process, SIGKILL), 0);
	until_eof(held[0]);
	ends(process, -SIGKILL);
}
END_TEST

static int cases(void)
{
	TCase *texts = new_case("texts", begin_without_arena);
	TCase *results = new_case("results", begin_without_arena);
	TCase *kills = new_case("kills", begin_without_arena);

	tcase_add_loop_test(texts, text_of_a_failure, 0, sizeof(failures) / sizeof(*failures));
	tcase_add_test(texts, text_of_several_words);
	tcase_add_test(texts, text_of_a_time_out);
	tcase_add_test(texts, long_command_is_cut);
	tcase_add_test(results, result_of_what_was_not_started);
	tcase_add_test(results, times_and_usage);
	tcase_add_test(results, getoutput_of_what_takes_too_long);
	tcase_add_loop_test(kills, time_out_kills_all_of_it, 0,
			    sizeof(families) / sizeof(*families));
	tcase_add_test(kills, time_out_kills_nobody_else);
	tcase_add_test(kills, limit_and_function_end_it);
	tcase_add_test(kills, group_is_reached_until_it_is_waited_for);
	tcase_add_test(kills, tree_in_its_own_groups);
	return run_cases("subprocess_run", texts, results, kills, NULL);
}

int main(void)
{
	return run_in_place(cases);
}
