/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* communicate: limits at their exact boundaries, and a function that receives chunks or lines. */
#include <pthread.h>

#include "test_subprocess.h"

/* ---- limits ---- */

static const size_t limits[] = { 1, 2, 1000, 65535, 65536, 65537, 200000 };

/* Both streams get the same bytes: -1, 0, 1 and many more than the limit. */
static void try_limit(size_t limit, size_t length, uint32_t overflow)
{
	char *input = pattern(length);
	struct brood_subprocess *process =
		opened(SH("tee /dev/fd/2"), OPTS(.in = PIPE, .out = PIPE, .err = PIPE,
						 .limit = limit, .overflow = overflow));
	struct brood_subprocess_result result;
	size_t kept = length < limit ? length : limit;
	const char *wanted = input + (overflow == BROOD_OVERFLOW_TAIL ? length - kept : 0);

	ck_assert_int_eq(brood_subprocess_communicate(process, input, length, &result, LONG), 0);
	ck_assert_uint_eq(result.output_length, kept);
	ck_assert_uint_eq(result.error_length, kept);
	ck_assert_uint_eq(result.output_total, length);
	ck_assert_uint_eq(result.error_total, length);
	ck_assert(memcmp(result.output, wanted, kept) == 0 && result.output[kept] == 0);
	ck_assert(memcmp(result.error_output, wanted, kept) == 0 && result.error_output[kept] == 0);
	brood_subprocess_result_free(&result);
	ends(process, 0);
	free(input);
}

START_TEST(head_and_tail)
{
	size_t limit = limits[_i];

	for (uint32_t overflow = BROOD_OVERFLOW_HEAD; overflow <= BROOD_OVERFLOW_TAIL; overflow++) {
		for (size_t length = limit - 1; length <= limit + 1; length++)
			try_limit(limit, length, overflow);
		for (size_t length = 2 * limit - 1; length <= 2 * limit + 1; length++)
			try_limit(limit, length, overflow);
		try_limit(limit, 1 << 20, overflow);
	}
	try_limit(limit, limit - 1, BROOD_OVERFLOW_ERROR);
	try_limit(limit, limit, BROOD_OVERFLOW_ERROR);
}
END_TEST

static void check_kept(struct brood_subprocess *process, const char *input, size_t wanted)
{
	size_t length = 1234;
	const char *kept = brood_subprocess_kept(process, BROOD_STDOUT, &length);

	ck_assert_ptr_nonnull(kept);
	ck_assert_uint_eq(length, wanted);
	ck_assert(memcmp(kept, input, length) == 0);
	ck_assert_ptr_eq(brood_subprocess_kept(process, BROOD_STDOUT, NULL), kept);
}

START_TEST(error_when_it_is_exceeded)
{
	size_t limit = limits[_i];
	char *input = pattern(1 << 20);

	for (int more = 0; more < 2; more++) {
		size_t length = more ? 1 << 20 : limit + 1;
		struct brood_subprocess_result result = { .code = 1234 };
		struct brood_subprocess *process =
			opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE, .limit = limit));

		for (int i = 0; i < 2; i++) {
			ck_assert_int_eq(
				brood_subprocess_communicate(process, input, length, &result, LONG),
				-EFBIG);
			ck_assert_int_eq(result.code, 1234);
			check_kept(process, input, limit);
		}
		brood_subprocess_kill(process);
		ck_assert_int_eq(brood_subprocess_wait(process, NULL, LONG), 0);
		ck_assert_int_eq(brood_subprocess_close(process), 0);
	}
	free(input);
}
END_TEST

/* 256 MB through a tail of 4 KiB would show if all, or much of it, were kept. */
START_TEST(tail_needs_little_memory)
{
	struct rusage before, after;
	struct brood_subprocess_result result;

	getrusage(RUSAGE_SELF, &before);
	ck_assert_int_eq(brood_subprocess_run(SH("head -c 256000000 /dev/zero; printf end"),
					      OPTS(.capture = true, .limit = 4096,
						   .overflow = BROOD_OVERFLOW_TAIL),
					      &result, LONG),
			 0);
	getrusage(RUSAGE_SELF, &after);
	ck_assert_uint_eq(result.output_total, 256000003);
	ck_assert_uint_eq(result.output_length, 4096);
	ck_assert_str_eq(result.output + 4093, "end");
	ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 30000);
	brood_subprocess_result_free(&result);
}
END_TEST

/* ---- chunks ---- */

struct received {
	char *bytes[3];
	size_t length[3];
	int calls, end_at, end_by; /* each end_at'th call returns end_by */
	pthread_t thread;
};

static int receive(void *argument, enum brood_which_stream which, const char *data, size_t length)
{
	struct received *received = argument;

	ck_assert(which == BROOD_STDOUT || which == BROOD_STDERR);
	ck_assert_uint_gt(length, 0);
	ck_assert(pthread_equal(pthread_self(), received->thread));
	received->bytes[which] = realloc(received->bytes[which], received->length[which] + length);
	memcpy(received->bytes[which] + received->length[which], data, length);
	received->length[which] += length;
	return received->end_at && ++received->calls % received->end_at == 0 ? received->end_by : 0;
}

static const struct {
	int end_at, end_by;
	bool lines;
	size_t limit;
} ways[] = {
	{ 0, 0, false, 0 }, { 3, 42, false, 0 }, { 1, -7, false, 0 }, { 0, 0, true, 0 },
	{ 5, 1, true, 0 },  { 7, -1, true, 3 },	 { 1, 9, true, 100 },
};

/* Whatever ends it in between: all comes, once, in its order, and none is kept. */
START_TEST(all_is_received)
{
	enum { BYTES = 90000 };
	char *input = pattern(BYTES);
	struct received received = { .end_at = ways[_i].end_at,
				     .end_by = ways[_i].end_by,
				     .thread = pthread_self() };
	struct brood_subprocess *process =
		opened(SH("tee /dev/fd/2"), OPTS(.in = PIPE, .out = PIPE, .err = PIPE,
						 .receive = receive, .receive_argument = &received,
						 .lines = ways[_i].lines, .limit = ways[_i].limit));
	struct brood_subprocess_result result;
	int r;

	while ((r = brood_subprocess_communicate(process, input, BYTES, &result, LONG)) != 0)
		ck_assert_int_eq(r, received.end_by);
	for (int which = 1; which < 3; which++) {
		ck_assert_uint_eq(received.length[which], BYTES);
		ck_assert(memcmp(received.bytes[which], input, BYTES) == 0);
		free(received.bytes[which]);
	}
	ck_assert_uint_eq(result.output_length, 0);
	ck_assert_uint_eq(result.output_total, BYTES);
	ck_assert_ptr_null(result.output);
	ck_assert_ptr_null(result.error_output);
	ck_assert_ptr_null(brood_subprocess_kept(process, BROOD_STDOUT, NULL));
	brood_subprocess_result_free(&result);
	ends(process, 0);
	free(input);
}
END_TEST

/* A chunk comes as soon as it is written: the program waits for what the first one makes us say. */
static int answer(void *to, enum brood_which_stream which, const char *data, size_t length)
{
	(void)which;
	if (length == 9 && memcmp(data, "question\n", 9) == 0)
		return write(*(int *)to, "answer\n", 7) != 7;
	return length == 7 && memcmp(data, "answer\n", 7) == 0 ? 77 : -1;
}

START_TEST(received_at_once)
{
	int ends_of_it[2];
	struct brood_subprocess *process;

	ck_assert_int_eq(pipe2(ends_of_it, O_CLOEXEC), 0);
	process = opened(SH("echo question; read a; echo $a"),
			 OPTS(.in = { .kind = BROOD_STREAM_FD, .fd = ends_of_it[0] }, .out = PIPE,
			      .receive = answer, .receive_argument = &ends_of_it[1], .lines = _i));
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), 77);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), 0);
	close_pipe(ends_of_it);
	ends(process, 0);
}
END_TEST

/* ---- lines ---- */

struct lines {
	const char *at; /* what is still expected */
	const char *end;
	size_t limit;
	size_t count;
};

/* What must come next follows from the text and the limit alone, not from how it was read. */
static int receive_line(void *argument, enum brood_which_stream which, const char *data,
			size_t length)
{
	struct lines *lines = argument;
	size_t left = (size_t)(lines->end - lines->at);
	const char *newline = memchr(lines->at, '\n', left);
	size_t wanted = newline ? (size_t)(newline - lines->at) + 1 : left;

	ck_assert_uint_eq(which, BROOD_STDOUT);
	if (lines->limit && wanted > lines->limit)
		wanted = lines->limit;
	ck_assert_uint_eq(length, wanted);
	ck_assert(memcmp(data, lines->at, length) == 0);
	lines->at += length;
	lines->count++;
	return 0;
}

static void try_lines(const char *text, size_t length, size_t limit)
{
	struct lines lines = { text, text + length, limit, 0 };

	ck_assert_int_eq(
		brood_subprocess_run(BROOD_ARGS("cat"),
				     OPTS(.input = text, .input_length = length, .out = PIPE,
					  .lines = true, .limit = limit, .receive = receive_line,
					  .receive_argument = &lines),
				     NULL, LONG),
		0);
	ck_assert_ptr_eq(lines.at, lines.end);
}

START_TEST(lines_and_parts_of_lines)
{
	static const char text[] = "abcdefgh\nij\n\n\nabc\nab\nlast without a newline";

	for (size_t limit = 0; limit < 12; limit++)
		for (size_t length = 0; length < sizeof(text); length += 1 + limit % 3)
			try_lines(text, length, limit);
}
END_TEST

/* Lengths around those of pipes, of what is read at once, and of the limit. */
START_TEST(long_lines)
{
	static const size_t lengths[] = { 1,	 65534,	 65535, 65536,	 65537, 131072, 1,
					  99999, 100000, 3,	1 << 20, 7,	2 << 20 };
	char *text = malloc(5 << 20);
	size_t length = 0;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		memset(text + length, 'a' + (int)i, lengths[i]);
		length += lengths[i];
		text[length - 1] = '\n';
	}
	try_lines(text, length, 0);
	try_lines(text, length - 1, 0);
	try_lines(text, length, 65536);
	try_lines(text, length, 65535);
	try_lines(text, length, 100000);
	try_lines(text, length, 1 << 20);
	try_lines(text, length - 1, 1000);
	free(text);
}
END_TEST

/* A line that comes in parts is one line; the next is not waited for. */
START_TEST(line_that_comes_in_parts)
{
	int ends_of_it[2];
	struct brood_subprocess *process;
	struct lines lines = { "one line\n", NULL, 0, 0 };

	lines.end = lines.at + 9;
	ck_assert_int_eq(pipe2(ends_of_it, O_CLOEXEC), 0);
	process = opened(BROOD_ARGS("cat"),
			 OPTS(.in = { .kind = BROOD_STREAM_FD, .fd = ends_of_it[0] }, .out = PIPE,
			      .lines = true, .receive = receive_line, .receive_argument = &lines));
	for (int i = 0; i < 9; i++) {
		ck_assert_uint_eq(lines.count, 0);
		ck_assert_int_eq(write(ends_of_it[1], lines.at + i, 1), 1);
		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, brood_ms(1)),
				 -ETIMEDOUT);
	}
	while (!lines.count)
		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, brood_ms(1)),
				 -ETIMEDOUT);
	ck_assert_uint_eq(lines.count, 1);
	close_pipe(ends_of_it);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), 0);
	ck_assert_uint_eq(lines.count, 1);
	ends(process, 0);
}
END_TEST

struct slow {
	int count;
	bool sleeps;
};

static int receive_slowly(void *argument, enum brood_which_stream which, const char *data,
			  size_t length)
{
	struct slow *slow = argument;
	char wanted[16];

	(void)which;
	snprintf(wanted, sizeof(wanted), "%d\n", ++slow->count);
	ck_assert_uint_eq(length, strlen(wanted));
	ck_assert_mem_eq(data, wanted, length);
	if (slow->sleeps)
		usleep(1000);
	return 0;
}

/* Many lines come at once; the time may be over before all are given, and the rest comes later. */
START_TEST(time_out_between_lines)
{
	struct slow slow = { 0, true };
	struct brood_subprocess *process =
		opened(BROOD_ARGS("seq", "1", "10000"),
		       OPTS(.out = PIPE, .lines = true, .receive = receive_slowly,
			    .receive_argument = &slow));

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, brood_ms(20)),
				 -ETIMEDOUT);
		ck_assert_int_lt(slow.count, 100 * (i + 1));
	}
	slow.sleeps = false;
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), 0);
	ck_assert_int_eq(slow.count, 10000);
	ends(process, 0);
}
END_TEST

static int receive_late(void *argument, enum brood_which_stream which, const char *data,
			size_t length)
{
	(void)which, (void)data, (void)length;
	++*(int *)argument;
	usleep(30000);
	return 0;
}

/* There is always more; each stream is given once behind the end of the time, at most. */
START_TEST(time_out_between_chunks)
{
	int count = 0;
	struct brood_subprocess *process =
		opened(BROOD_ARGS("tee", "/dev/fd/2"),
		       OPTS(.in = { .kind = BROOD_STREAM_PATH, .path = "/dev/zero" }, .out = PIPE,
			    .err = PIPE, .receive = receive_late, .receive_argument = &count));

	for (int i = 1; i <= 3; i++) {
		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, brood_ms(20)),
				 -ETIMEDOUT);
		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, 0), -EAGAIN);
		ck_assert_int_le(count, 4 * i);
	}
	ck_assert_int_gt(count, 0);
	kill_and_close(process);
}
END_TEST

static int cases(void)
{
	TCase *limited = new_case("limits", begin_without_arena);
	TCase *received = new_case("receive", begin_without_arena);

	tcase_add_loop_test(limited, head_and_tail, 0, sizeof(limits) / sizeof(*limits));
	tcase_add_loop_test(limited, error_when_it_is_exceeded, 0,
			    sizeof(limits) / sizeof(*limits));
	tcase_add_test(limited, tail_needs_little_memory);
	tcase_add_loop_test(received, all_is_received, 0, sizeof(ways) / sizeof(*ways));
	tcase_add_loop_test(received, received_at_once, 0, 2);
	tcase_add_test(received, lines_and_parts_of_lines);
	tcase_add_test(received, long_lines);
	tcase_add_test(received, line_that_comes_in_parts);
	tcase_add_test(received, time_out_between_lines);
	tcase_add_test(received, time_out_between_chunks);
	return run_cases("subprocess_limits", limited, received, NULL);
}

int main(void)
{
	return run_in_place(cases);
}
