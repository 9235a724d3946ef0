/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * communicate: nothing lost, nothing doubled, whatever interrupts it; input that nobody reads; and
 * others that hold the pipes. Limits and callbacks are in test_subprocess_limits.c, copies in
 * test_subprocess_copy.c.
 */
#include <pthread.h>

#include "test_subprocess.h"

static void check_bytes(const char *bytes, size_t length, const char *wanted, size_t wanted_length)
{
	ck_assert_uint_eq(length, wanted_length);
	ck_assert(memcmp(bytes, wanted, length) == 0);
	ck_assert_int_eq(bytes[length], 0);
}

static struct brood_subprocess *cat(void)
{
	return opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE));
}

/* ---- sizes and time-outs ---- */

static const size_t sizes[] = { 0, 1, 4095, 4096, 65535, 65536, 65537, 1 << 20, 64 << 20 };

START_TEST(sizes_both_ways)
{
	size_t length = sizes[_i];
	char *input = pattern(length);
	struct brood_subprocess *process = cat();
	struct brood_subprocess_result result;

	ck_assert_int_eq(brood_subprocess_communicate(process, input, length, &result, LONG), 0);
	check_bytes(result.output, result.output_length, input, length);
	ck_assert_uint_eq(result.output_total, length);
	ck_assert_uint_eq(result.input_total, length);
	ck_assert_int_eq(result.code, 0);
	ck_assert_ptr_null(result.error_output);
	brood_subprocess_result_free(&result);
	ends(process, 0);
	free(input);
}
END_TEST

/* What was kept so far is a beginning of what will be, and never less than before. */
static size_t check_kept(struct brood_subprocess *process, const char *input, size_t before)
{
	size_t length = 0;
	const char *kept = brood_subprocess_kept(process, BROOD_STDOUT, &length);

	ck_assert_uint_ge(length, before);
	ck_assert(length == 0 || memcmp(kept + before, input + before, length - before) == 0);
	return length;
}

START_TEST(goes_on_after_time_outs)
{
	enum { BYTES = 8 << 20 };
	char *input = pattern(BYTES);
	struct brood_subprocess *process = cat();
	struct brood_subprocess_result result = { .code = 1234 };
	unsigned int seed = (unsigned int)_i;
	size_t kept = 0;
	int r, timed_out = 0;

	for (;; timed_out++) {
		int64_t timeout = _i == 0 ? 0 : brood_us(rand_r(&seed) % 400);

		r = brood_subprocess_communicate(process, timed_out % 2 ? NULL : input,
						 timed_out % 2 ? 0 : BYTES, &result, timeout);
		if (r == 0)
			break;
		ck_assert_msg(r == -ETIMEDOUT || (timeout == 0 && r == -EAGAIN), "%d", r);
		ck_assert_int_eq(result.code, 1234);
		kept = check_kept(process, input, kept);
	}
	ck_assert_int_gt(timed_out, 0);
	check_bytes(result.output, result.output_length, input, BYTES);
	ck_assert_uint_eq(result.input_total, BYTES);
	brood_subprocess_result_free(&result);
	ends(process, 0);
	free(input);
}
END_TEST

START_TEST(time_out_is_kept)
{
	int held[2];
	struct brood_subprocess *process;
	int64_t begin = brood_now();

	ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
	process = opened(BROOD_ARGS("cat"),
			 OPTS(.in = { .kind = BROOD_STREAM_FD, .fd = held[0] }, .out = PIPE));
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, brood_ms(50)),
			 -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 50 * MS);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, brood_until(begin)),
			 -ETIMEDOUT);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, 0), -EAGAIN);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, -5), -EAGAIN);
	close_pipe(held);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, BROOD_FOREVER), 0);
	ends(process, 0);
}
END_TEST

START_TEST(stopped_meanwhile)
{
	struct brood_subprocess *process = cat();
	struct brood_subprocess_result result;

	ck_assert_int_eq(brood_subprocess_signal(process, SIGSTOP), 0);
	ck_assert_int_eq(brood_subprocess_communicate(process, "text", 4, &result, brood_ms(20)),
			 -ETIMEDOUT);
	ck_assert_int_eq(brood_subprocess_signal(process, SIGCONT), 0);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
	check_bytes(result.output, result.output_length, "text", 4);
	brood_subprocess_result_free(&result);
	ends(process, 0);
}
END_TEST

/* ---- wrong use ---- */

START_TEST(another_input_than_before)
{
	char *input = pattern(1 << 20);
	struct brood_subprocess *process = cat();

	brood_subprocess_signal(process, SIGSTOP);
	ck_assert_int_eq(brood_subprocess_communicate(process, input, 1 << 20, NULL, 0), -EAGAIN);
	ck_assert_int_eq(brood_subprocess_communicate(process, input + 1, (1 << 20) - 1, NULL, 0),
			 -EINVAL);
	ck_assert_int_eq(brood_subprocess_communicate(process, input, 5, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_subprocess_communicate(process, input, 1 << 20, NULL, 0), -EAGAIN);
	brood_subprocess_signal(process, SIGCONT);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), 0);
	ends(process, 0);
	free(input);
}
END_TEST

START_TEST(input_without_a_pipe)
{
	struct brood_subprocess *process =
		opened(BROOD_ARGS("true"), OPTS(.in = { .kind = BROOD_STREAM_NULL }));

	ck_assert_int_eq(brood_subprocess_communicate(process, "text", 4, NULL, LONG), -EINVAL);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), 0);
	ends(process, 0);
	process = cat();
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 4, NULL, LONG), -EINVAL);
	ck_assert_int_eq(brood_subprocess_communicate(process, "text", 4, NULL, LONG), 0);
	ends(process, 0);
}
END_TEST

static _Atomic pid_t second_thread;

static void *communicate(void *process)
{
	atomic_store(&second_thread, gettid());
	return (void *)(intptr_t)brood_subprocess_communicate(process, NULL, 0, NULL, LONG);
}

START_TEST(two_threads)
{
	int held[2];
	struct brood_subprocess *process;
	pthread_t thread;
	void *r;

	ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
	process = opened(BROOD_ARGS("cat"),
			 OPTS(.in = { .kind = BROOD_STREAM_FD, .fd = held[0] }, .out = PIPE));
	ck_assert_int_eq(write(held[1], "x", 1), 1);
	while (!brood_subprocess_kept(process, BROOD_STDOUT, NULL))
		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, brood_ms(1)),
				 -ETIMEDOUT);
	ck_assert_int_eq(pthread_create(&thread, NULL, communicate, process), 0);
	while (!atomic_load(&second_thread))
		usleep(100);
	ck_assert(until_asleep(atomic_load(&second_thread)));
	ck_assert_ptr_null(brood_subprocess_kept(process, BROOD_STDOUT, NULL));
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), -EBUSY);
	ck_assert_int_eq(brood_subprocess_wait(process, NULL, brood_ms(5)), -ETIMEDOUT);
	close_pipe(held);
	pthread_join(thread, &r);
	ck_assert_int_eq((intptr_t)r, 0);
	ck_assert_mem_eq(brood_subprocess_kept(process, BROOD_STDOUT, NULL), "x", 1);
	ends(process, 0);
}
END_TEST

static atomic_bool looks;

static void *look_at_kept(void *process)
{
	while (atomic_load(&looks))
		brood_subprocess_kept(process, BROOD_STDOUT, NULL);
	return NULL;
}

/* Who only looks is in nobody's way. */
START_TEST(one_thread_and_one_that_looks)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE));
	int input = brood_subprocess_take(process, BROOD_STDIN);
	pthread_t thread;

	atomic_store(&looks, true);
	ck_assert_int_ge(input, 3);
	ck_assert_int_eq(pthread_create(&thread, NULL, look_at_kept, process), 0);
	for (int i = 0; i < 5000; i++)
		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, 0), -EAGAIN);
	atomic_store(&looks, false);
	pthread_join(thread, NULL);
	kill_and_close(process);
	close(input);
}
END_TEST

/* ---- before and after ---- */

START_TEST(result_is_given_once)
{
	struct brood_subprocess *process = cat();
	struct brood_subprocess_result result;

	ck_assert_int_eq(brood_subprocess_communicate(process, "text", 4, &result, LONG), 0);
	brood_subprocess_result_free(&result);
	ck_assert_ptr_null(result.output);
	ck_assert_ptr_null(result.args);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
	ck_assert_uint_eq(result.output_length, 0);
	ck_assert_int_eq(result.code, 0);
	brood_subprocess_result_free(&result);
	ends(process, 0);
}
END_TEST

START_TEST(what_was_read_before_is_not_in_it)
{
	struct brood_subprocess *process =
		opened(SH("echo one; read x; echo two"), OPTS(.in = PIPE, .out = PIPE));
	struct brood_subprocess_result result;

	reads(brood_subprocess_fd(process, BROOD_STDOUT), "one\n");
	ck_assert_int_eq(brood_subprocess_communicate(process, "\n", 1, &result, LONG), 0);
	ck_assert_str_eq(result.output, "two\n");
	brood_subprocess_result_free(&result);
	ends(process, 0);
}
END_TEST

START_TEST(after_its_end)
{
	struct brood_subprocess *process = opened(SH("echo one; exit 3"), OPTS(.out = PIPE));
	struct brood_subprocess_result result;

	ck_assert_int_eq(brood_subprocess_wait(process, NULL, LONG), 0);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
	ck_assert_str_eq(result.output, "one\n");
	ck_assert_int_eq(result.code, 3);
	brood_subprocess_result_free(&result);
	ends(process, 3);
}
END_TEST

START_TEST(no_input_is_the_end_of_input)
{
	struct brood_subprocess *process = cat();

	if (_i)
		brood_subprocess_close_stream(process, BROOD_STDIN);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), 0);
	ends(process, 0);
}
END_TEST

/* ---- input that nobody reads ---- */

static volatile sig_atomic_t handled;

static void count(int signal)
{
	(void)signal;
	handled++;
}

static bool is_pending(void)
{
	sigset_t set;

	ck_assert_int_eq(sigpending(&set), 0);
	return sigismember(&set, SIGPIPE) == 1;
}

/* SIGPIPE as it is (it would kill us), handled, blocked, blocked and pending before. */
START_TEST(input_that_nobody_reads)
{
	enum { BYTES = 8 << 20 }; /* no pipe holds that */
	char *input = pattern(BYTES);
	struct brood_subprocess *process =
		opened(SH("exec <&-; echo text"), OPTS(.in = PIPE, .out = PIPE));
	struct brood_subprocess_result result;
	sigset_t set, before;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	if (_i == 1)
		signal(SIGPIPE, count);
	if (_i > 1)
		sigprocmask(SIG_BLOCK, &set, NULL);
	if (_i > 2)
		raise(SIGPIPE);
	memset(&before, 0, sizeof(before));
	memset(&set, 0, sizeof(set));
	sigprocmask(SIG_BLOCK, NULL, &before);
	ck_assert_int_eq(brood_subprocess_communicate(process, input, BYTES, &result, LONG), 0);
	ck_assert_str_eq(result.output, "text\n");
	ck_assert_uint_lt(result.input_total, BYTES);
	ck_assert_int_eq(is_pending(), _i > 2);
	sigprocmask(SIG_BLOCK, NULL, &set);
	ck_assert_int_eq(sigismember(&set, SIGPIPE), _i > 1);
	ck_assert_int_eq(memcmp(&set, &before, sizeof(set)), 0);
	ck_assert_int_eq(handled, 0);
	brood_subprocess_result_free(&result);
	ends(process, 0);
	free(input);
}
END_TEST

/* ---- others that hold the pipes ---- */

static int held[2];

/* The program ends at once; one that it has started goes on until `held` is closed. */
static struct brood_subprocess *with_holder(struct brood_subprocess_opts opts)
{
	ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
	opts.in = (struct brood_stream){ .kind = BROOD_STREAM_FD, .fd = held[0] };
	opts.out = opts.err = (struct brood_stream)PIPE;
	return opened(SH("exec 3<&0; (cat <&3; echo second) & echo first"), &opts);
}

START_TEST(until_exit_only)
{
	struct brood_subprocess *process = with_holder(*OPTS(.until_exit = true));
	struct brood_subprocess_result result;

	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
	ck_assert_str_eq(result.output, "first\n");
	ck_assert_str_eq(result.error_output, "");
	brood_subprocess_result_free(&result);
	close_pipe(held);
	ends(process, 0);
}
END_TEST

START_TEST(until_exit_and_grace_is_over)
{
	struct brood_subprocess *process = with_holder(*OPTS(.until_exit = true, .grace = 60 * MS));
	struct brood_subprocess_result result;
	int64_t begin;

	until_ended(process);
	begin = brood_now();
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, brood_ms(1)),
			 -ETIMEDOUT);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
	ck_assert_int_ge(brood_now() - begin, 60 * MS);
	ck_assert_int_lt(brood_now() - begin, 20000 * MS);
	ck_assert_str_eq(result.output, "first\n");
	brood_subprocess_result_free(&result);
	close_pipe(held);
	ends(process, 0);
}
END_TEST

static int let_holder_go(void *texts, enum brood_which_stream which, const char *data,
			 size_t length)
{
	ck_assert_uint_eq(which, BROOD_STDOUT);
	if (!*(char *)texts)
		close_pipe(held);
	strncat(texts, data, length);
	return 0;
}

/* What comes in the grace is read, and the end of the pipes ends it. */
START_TEST(until_exit_and_others_end_in_its_grace)
{
	char texts[64] = "";
	struct brood_subprocess *process =
		with_holder(*OPTS(.until_exit = true, .grace = 50000 * MS, .receive = let_holder_go,
				  .receive_argument = texts));
	int64_t begin = brood_now();

	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), 0);
	ck_assert_str_eq(texts, "first\nsecond\n");
	ck_assert_int_lt(brood_now() - begin, 30000 * MS);
	ends(process, 0);
}
END_TEST

/* All that the program itself has written is there, however much. */
START_TEST(until_exit_loses_nothing)
{
	struct brood_subprocess_result result;

	for (int i = 0; i < 30; i++) {
		struct brood_subprocess *process =
			opened(BROOD_ARGS("head", "-c", "300000", "/dev/zero"),
			       OPTS(.out = PIPE, .until_exit = true));

		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
		ck_assert_uint_eq(result.output_length, 300000);
		brood_subprocess_result_free(&result);
		ends(process, 0);
	}
}
END_TEST

static int cases(void)
{
	TCase *talking = new_case("talking", begin_without_arena);
	TCase *ending = new_case("ending", begin_without_arena);

	tcase_add_loop_test(talking, sizes_both_ways, 0, sizeof(sizes) / sizeof(*sizes));
	tcase_add_loop_test(talking, goes_on_after_time_outs, 0, 6);
	tcase_add_test(talking, time_out_is_kept);
	tcase_add_test(talking, stopped_meanwhile);
	tcase_add_test(talking, another_input_than_before);
	tcase_add_test(talking, input_without_a_pipe);
	tcase_add_test(talking, two_threads);
	tcase_add_test(talking, one_thread_and_one_that_looks);
	tcase_add_test(talking, result_is_given_once);
	tcase_add_test(talking, what_was_read_before_is_not_in_it);
	tcase_add_test(talking, after_its_end);
	tcase_add_loop_test(talking, no_input_is_the_end_of_input, 0, 2);
	tcase_add_loop_test(talking, input_that_nobody_reads, 0, 4);
	tcase_add_test(ending, until_exit_only);
	tcase_add_test(ending, until_exit_and_grace_is_over);
	tcase_add_test(ending, until_exit_and_others_end_in_its_grace);
	tcase_add_test(ending, until_exit_loses_nothing);
	return run_cases("subprocess_communicate", talking, ending, NULL);
}

int main(void)
{
	return run_in_place(cases);
}
