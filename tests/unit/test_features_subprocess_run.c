/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Python promises of subprocess.run() and its kin, row by row. The name of a test is that of
 * the row; see test_features_subprocess.c. What only needs more of the same is in
 * test_subprocess_run.c.
 */
#include "test_subprocess.h"

START_TEST(run_returns_what_became_of_it)
{
	struct brood_subprocess_result result;

	ck_assert_int_eq(
		brood_subprocess_run(SH("cat; echo error >&2; exit 3"),
				     OPTS(.input = "text", .input_length = 4, .capture = true),
				     &result, LONG),
		0);
	ck_assert_str_eq(result.args[0], "/bin/sh");
	ck_assert_ptr_null(result.args[3]);
	ck_assert_int_eq(result.code, 3);
	ck_assert_str_eq(result.output, "text");
	ck_assert_str_eq(result.error_output, "error\n");
	brood_subprocess_result_free(&result);
	ck_assert_int_eq(
		brood_subprocess_run(SH("exit 1"),
				     OPTS(.input = "", .in = { .kind = BROOD_STREAM_NULL }), NULL,
				     LONG),
		-EINVAL);
	ck_assert_int_eq(
		brood_subprocess_run(SH("exit 1"),
				     OPTS(.capture = true, .out = { .kind = BROOD_STREAM_NULL }),
				     NULL, LONG),
		-EINVAL);
}
END_TEST

/*
 * The grandchild, too, which Python lets live: it holds a pipe of ours. What had been read is
 * given; on a busy machine that may take longer than the first time-outs.
 */
START_TEST(run_timeout)
{
	struct brood_subprocess_result result = { 0 };
	int held[2];

	ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
	for (int ms = 50; !result.output_length; ms *= 2) {
		brood_subprocess_result_free(&result);
		ck_assert_int_eq(brood_subprocess_run(SH("sleep 1000 & echo part; wait"),
						      OPTS(.capture = true, .pass_fds = &held[1],
							   .pass_fds_count = 1),
						      &result, brood_ms(ms)),
				 -ETIMEDOUT);
		ck_assert_int_eq(result.code, -SIGKILL);
	}
	ck_assert_str_eq(result.output, "part\n");
	brood_subprocess_result_free(&result);
	ck_assert_int_eq(brood_subprocess_run(BROOD_ARGS("sleep", "1000"),
					      OPTS(.pass_fds = &held[1], .pass_fds_count = 1), NULL,
					      0),
			 -EAGAIN);
	close(held[1]);
	until_eof(held[0]);
}
END_TEST

static void check_fails(const char *command, int code, const char *text)
{
	struct brood_subprocess_result result;
	struct brood_subprocess_error error;

	ck_assert_int_eq(brood_subprocess_run(BROOD_ARGS(command),
					      OPTS(.shell = true, .capture = true, .check = true,
						   .error = &error),
					      &result, LONG),
			 -EREMOTEIO);
	ck_assert_int_eq(result.code, code);
	ck_assert_str_eq(result.output, "out\n");
	ck_assert_str_eq(result.args[0], command);
	ck_assert_int_eq(result.error.code, -EREMOTEIO);
	ck_assert_uint_eq(result.error.step, BROOD_STEP_RUN);
	ck_assert_str_eq(result.error.text, text);
	ck_assert_str_eq(error.text, text);
	brood_subprocess_result_free(&result);
}

START_TEST(check_call)
{
	check_fails("echo out; exit 3", 3,
		    "Command 'echo out; exit 3' returned non-zero exit status 3.");
	check_fails("echo out; kill -9 $$", -9,
		    "Command 'echo out; kill -9 $$' died with signal 9 (SIGKILL).");
	ck_assert_int_eq(brood_subprocess_run(SH("exit 0"), OPTS(.check = true), NULL, LONG), 0);
}
END_TEST

START_TEST(call)
{
	struct brood_subprocess_result result;

	ck_assert_int_eq(brood_subprocess_run(SH("exit 7"), NULL, &result, LONG), 0);
	ck_assert_int_eq(result.code, 7);
	ck_assert_ptr_null(result.output);
	ck_assert_ptr_null(result.error_output);
	brood_subprocess_result_free(&result);
}
END_TEST

START_TEST(check_output)
{
	struct brood_subprocess_result result;

	ck_assert_int_eq(brood_subprocess_run(BROOD_ARGS("cat"),
					      OPTS(.out = PIPE, .check = true, .input = ""),
					      &result, LONG),
			 0);
	ck_assert_str_eq(result.output, "");
	ck_assert_uint_eq(result.output_length, 0);
	brood_subprocess_result_free(&result);
}
END_TEST

START_TEST(stdout_to_a_file_from_its_offset)
{
	const char *path = new_file("offset", "0123456789", 0644);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_int_eq(lseek(fd, 4, SEEK_SET), 4);
	ends(opened(BROOD_ARGS("echo", "ab"), OPTS(.out = { .kind = BROOD_STREAM_FD, .fd = fd })),
	     0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 7);
	close(fd);
	file_has(path, "0123ab\n789");
}
END_TEST

START_TEST(getstatusoutput)
{
	static const char *const wanted[][2] = { { "echo a; echo b >&2; exit 5", "a\nb" },
						 { "printf 'a\\n\\n'; exit 5", "a\n" },
						 { "printf a; exit 5", "a" },
						 { "exit 5", "" } };

	for (int i = 0; i < 4; i++) {
		struct brood_subprocess_result result;

		ck_assert_int_eq(brood_subprocess_getoutput(wanted[i][0], &result, LONG), 0);
		ck_assert_int_eq(result.code, 5);
		ck_assert_str_eq(result.output, wanted[i][1]);
		ck_assert_uint_eq(result.output_length, strlen(wanted[i][1]));
		brood_subprocess_result_free(&result);
	}
}
END_TEST

START_TEST(bytes_as_they_are)
{
	struct brood_subprocess_result result;
	char all[256];

	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	ck_assert_int_eq(
		brood_subprocess_run(BROOD_ARGS("cat"),
				     OPTS(.capture = true, .input = all, .input_length = 256),
				     &result, LONG),
		0);
	ck_assert_uint_eq(result.output_length, 256);
	ck_assert(memcmp(result.output, all, 256) == 0 && result.output[256] == 0);
	brood_subprocess_result_free(&result);
}
END_TEST

static int cases(void)
{
	TCase *running = new_case("run", begin_without_arena);

	tcase_add_test(running, run_returns_what_became_of_it);
	tcase_add_test(running, run_timeout);
	tcase_add_test(running, check_call);
	tcase_add_test(running, call);
	tcase_add_test(running, check_output);
	tcase_add_test(running, stdout_to_a_file_from_its_offset);
	tcase_add_test(running, getstatusoutput);
	tcase_add_test(running, bytes_as_they_are);
	return run_cases("features_subprocess_run", running, NULL);
}

int main(void)
{
	return run_in_place(cases);
}
