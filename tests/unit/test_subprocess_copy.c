/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams of kind COPY: communicate moves the bytes between a pipe of the program and a file, a
 * pipe or a socket of the caller's, in the kernel or by hand.
 */
#include <pthread.h>
#include <sys/socket.h>
#include <termios.h>

#include "test_subprocess.h"

#define COPY(number)                                      \
	{                                                 \
		.kind = BROOD_STREAM_COPY, .fd = (number) \
	}

enum { BYTES = 3 << 20 };

static char *wanted;

static void begin(void)
{
	wanted = pattern(BYTES);
}

static void end(void)
{
	free(wanted);
}

static int open_file(const char *name, int flags)
{
	int fd = open(in_place(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0600);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void check_file(int fd, off_t from, size_t length)
{
	char *bytes = malloc(length + 1);

	ck_assert_int_eq(pread(fd, bytes, length + 1, from), (ssize_t)length);
	ck_assert(memcmp(bytes, wanted, length) == 0);
	free(bytes);
}

/* ---- the other end, in a thread of its own ---- */

static size_t to_read = BYTES;

static void *drain(void *fd)
{
	char bytes[10000];
	size_t got = 0;
	ssize_t n;

	/* The end of a terminal's master takes along what has not been read: do not wait for it. */
	while (got < to_read && (n = read(*(int *)fd, bytes, sizeof(bytes))) > 0) {
		ck_assert_uint_le(got + (size_t)n, BYTES);
		ck_assert(memcmp(bytes, wanted + got, (size_t)n) == 0);
		got += (size_t)n;
	}
	return (void *)got;
}

static void *feed(void *fd)
{
	size_t sent = 0;

	while (sent < BYTES) {
		ssize_t n = write(*(int *)fd, wanted + sent, BYTES - sent);

		ck_assert_int_gt(n, 0);
		sent += (size_t)n;
	}
	close(*(int *)fd);
	return (void *)sent;
}

static int open_terminal(int pair[2])
{
	struct termios how;

	pair[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pair[0] < 0 || grantpt(pair[0]) || unlockpt(pair[0]))
		return -1;
	pair[1] = open(ptsname(pair[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pair[1] < 0 || tcgetattr(pair[1], &how))
		return -1;
	cfmakeraw(&how);
	return tcsetattr(pair[1], TCSANOW, &how);
}

/* A small one: what is more than its room would have to wait. */
static int open_socket(int pair[2])
{
	int small = 1;

	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) |
	       setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
}

/* The master of a terminal: its other side reads. */
static int open_master(int pair[2])
{
	int other[2];

	if (open_terminal(other))
		return -1;
	pair[0] = other[1];
	pair[1] = other[0];
	return 0;
}

enum { A_PIPE, A_SOCKET, A_NONBLOCKING_PIPE, A_TERMINAL, A_MASTER, SORTS };

/* [0] is to be read, [1] to be written. */
static void open_pair(int pair[2], int sort)
{
	int r = sort == A_SOCKET     ? open_socket(pair)
		: sort == A_TERMINAL ? open_terminal(pair)
		: sort == A_MASTER   ? open_master(pair)
		: sort == A_PIPE     ? pipe2(pair, O_CLOEXEC)
				     : pipe2(pair, O_CLOEXEC | O_NONBLOCK);

	ck_assert_int_eq(r, 0);
	if (sort == A_NONBLOCKING_PIPE) /* only the side of the communicating thread */
		ck_assert_int_eq(fcntl(pair[0], F_SETFL, 0), 0);
}

/* ---- files ---- */

START_TEST(file_to_file_from_their_offsets)
{
	int from = open_file("from", 0), to = open_file("to", _i ? O_APPEND : 0);
	struct brood_subprocess *process;
	struct brood_subprocess_result result;

	ck_assert_int_eq(write(from, "before", 6), 6);
	ck_assert_int_eq(pwrite(from, wanted, BYTES, 6), BYTES);
	ck_assert_int_eq(write(to, "01234", 5), 5);
	process = opened(BROOD_ARGS("cat"), OPTS(.in = COPY(from), .out = COPY(to)));
	ck_assert_int_eq(brood_subprocess_fd(process, BROOD_STDIN), -EBADF);
	ck_assert_int_eq(brood_subprocess_fd(process, BROOD_STDOUT), -EBADF);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
	check_file(to, 5, BYTES);
	ck_assert_ptr_null(result.output);
	ck_assert_uint_eq(result.output_length, 0);
	ck_assert_uint_eq(result.output_total, BYTES);
	ck_assert_int_eq(lseek(from, 0, SEEK_CUR), BYTES + 6);
	brood_subprocess_result_free(&result);
	ends(process, 0);
	close(from);
	close(to);
}
END_TEST

START_TEST(time_outs_lose_nothing)
{
	int from = open_file("from", 0), to = open_file("to", 0);
	struct brood_subprocess *process;
	int r;

	ck_assert_int_eq(pwrite(from, wanted, BYTES, 0), BYTES);
	process = opened(BROOD_ARGS("cat"), OPTS(.in = COPY(from), .out = COPY(to)));
	while ((r = brood_subprocess_communicate(process, NULL, 0, NULL, brood_us(50 * _i))) != 0)
		ck_assert_int_eq(r, _i ? -ETIMEDOUT : -EAGAIN);
	check_file(to, 0, BYTES);
	ends(process, 0);
	close(from);
	close(to);
}
END_TEST

/* Output and error to one file, in turn; nothing of it is kept or limited. */
START_TEST(output_and_error_to_one_file)
{
	int to = open_file("to", O_APPEND);
	struct brood_subprocess_result result;

	ck_assert_int_eq(brood_subprocess_run(SH("echo out; echo error >&2"),
					      OPTS(.out = COPY(to), .err = COPY(to), .limit = 1),
					      &result, LONG),
			 0);
	ck_assert_uint_eq(result.output_total, 4);
	ck_assert_uint_eq(result.error_total, 6);
	ck_assert_int_eq(lseek(to, 0, SEEK_END), 10);
	brood_subprocess_result_free(&result);
	close(to);
}
END_TEST

/* ---- pipes and sockets ---- */

START_TEST(to_a_slow_reader)
{
	int pair[2], from = open_file("from", 0);
	pthread_t thread;
	struct brood_subprocess *process;
	void *got;
	char byte;

	to_read = _i == A_MASTER ? BYTES / 32 : BYTES; /* it takes them one by one */
	ck_assert_int_eq(pwrite(from, wanted, to_read, 0), (ssize_t)to_read);
	open_pair(pair, _i);
	process = opened(BROOD_ARGS("cat"),
			 OPTS(.in = { .kind = BROOD_STREAM_FD, .fd = from }, .out = COPY(pair[1])));
	for (int i = 0; i < 3; i++) /* it is full, and we do not hang in it */
		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, brood_ms(20)),
				 -ETIMEDOUT);
	ck_assert_int_eq(pthread_create(&thread, NULL, drain, &pair[0]), 0);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), 0);
	pthread_join(thread, &got);
	ck_assert_uint_eq((size_t)got, to_read);
	ends(process, 0);
	close(pair[1]);
	ck_assert_int_le(read(pair[0], &byte, 1), 0);
	to_read = BYTES;
	close(pair[0]);
	close(from);
}
END_TEST

START_TEST(from_a_slow_writer)
{
	int pair[2], to = open_file("to", 0);
	pthread_t thread;
	struct brood_subprocess *process;
	struct brood_subprocess_result result;

	open_pair(pair, _i % 2);
	process = opened(BROOD_ARGS("cat"), OPTS(.in = COPY(pair[0]), .out = COPY(to)));
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, brood_ms(20)),
			 -ETIMEDOUT);
	ck_assert_int_eq(pthread_create(&thread, NULL, feed, &pair[1]), 0);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
	pthread_join(thread, NULL);
	check_file(to, 0, BYTES);
	ck_assert_uint_eq(result.input_total, BYTES);
	brood_subprocess_result_free(&result);
	ends(process, 0);
	close(pair[0]);
	close(to);
}
END_TEST

/* ---- ends ---- */

static volatile sig_atomic_t handled;

static void count(int signal)
{
	(void)signal;
	handled++;
}

START_TEST(target_that_nobody_reads)
{
	int pair[2];
	struct brood_subprocess *process;

	signal(SIGPIPE, count);
	open_pair(pair, _i);
	close(pair[0]);
	process = opened(BROOD_ARGS("yes"), OPTS(.out = COPY(pair[1])));
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), -EPIPE);
	kill_and_close(process);
	ck_assert_int_eq(handled, 0);
	signal(SIGPIPE, SIG_DFL);
	close(pair[1]);
}
END_TEST

static _Atomic int *seen;

static void note(int signal)
{
	(void)signal;
	atomic_fetch_add(seen, 1);
}

/* Each is seen before the next is sent. */
static int send_signals(void *unused)
{
	(void)unused;
	for (int i = 1; i <= 300; i++) {
		must(kill(getppid(), SIGPIPE) == 0);
		while (atomic_load(seen) < i)
			usleep(10);
	}
	return 0;
}

/* Others send it too; a hang here is a signal that was lost. */
START_TEST(sigpipe_of_others_comes)
{
	struct brood_subprocess *process;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid_t sender;

	seen = shared(sizeof(*seen));
	signal(SIGPIPE, note);
	process = opened(BROOD_ARGS("yes"), OPTS(.out = COPY(null)));
	sender = start(send_signals, NULL);
	while (atomic_load(seen) < 300)
		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, brood_ms(5)),
				 -ETIMEDOUT);
	ck_assert_int_eq(end_of(sender), 0);
	signal(SIGPIPE, SIG_DFL);
	kill_and_close(process);
	close(null);
}
END_TEST

/* By splice, and by hand. */
START_TEST(file_that_may_not_grow)
{
	struct brood_subprocess_opts opts = { .out = COPY(open_file("full", _i ? O_APPEND : 0)) };
	struct brood_subprocess_result result;

	signal(SIGXFSZ, count);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 100000, 100000 });
	ck_assert_int_eq(brood_subprocess_run(BROOD_ARGS("yes"), &opts, &result, LONG), -EFBIG);
	ck_assert_uint_eq(result.error.step, BROOD_STEP_COMMUNICATE);
	ck_assert_uint_eq(result.output_total, 100000);
	ck_assert_int_eq(handled, 0);
	signal(SIGXFSZ, SIG_DFL);
	brood_subprocess_result_free(&result);
	close(opts.out.fd);
}
END_TEST

/* The program has enough, be its source a file or one that never says anything. */
START_TEST(source_that_the_program_does_not_read)
{
	int pair[2], from = open_file("from", 0);
	struct brood_subprocess *process;
	struct brood_subprocess_result result;

	open_pair(pair, 0);
	ck_assert_int_eq(pwrite(from, wanted, BYTES, 0), BYTES);
	for (int quiet = 0; quiet < 2; quiet++) {
		process = opened(SH("exec <&-; echo text"),
				 OPTS(.in = COPY(quiet ? pair[0] : from), .out = PIPE));
		ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, &result, LONG), 0);
		ck_assert_str_eq(result.output, "text\n");
		brood_subprocess_result_free(&result);
		ends(process, 0);
	}
	close_pipe(pair);
	close(from);
}
END_TEST

START_TEST(user_s_descriptor_stays_open_and_unchanged)
{
	int pair[2];
	struct brood_subprocess *process;

	open_pair(pair, 0);
	process = opened(BROOD_ARGS("echo", "text"), OPTS(.out = COPY(pair[1])));
	ck_assert_int_eq(brood_subprocess_communicate(process, "x", 1, NULL, LONG), -EINVAL);
	ck_assert_int_eq(brood_subprocess_communicate(process, NULL, 0, NULL, LONG), 0);
	ends(process, 0);
	reads(pair[0], "text\n");
	ck_assert_int_eq(fcntl(pair[1], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(pair[1], F_GETFL) & O_NONBLOCK, 0);
	close_pipe(pair);
}
END_TEST

static int cases(void)
{
	TCase *tests = new_case("copy", begin_without_arena);

	tcase_add_checked_fixture(tests, begin, end);
	tcase_add_loop_test(tests, file_to_file_from_their_offsets, 0, 2);
	tcase_add_loop_test(tests, time_outs_lose_nothing, 0, 4);
	tcase_add_test(tests, output_and_error_to_one_file);
	tcase_add_loop_test(tests, to_a_slow_reader, 0, SORTS);
	tcase_add_loop_test(tests, from_a_slow_writer, 0, 2);
	tcase_add_loop_test(tests, target_that_nobody_reads, 0, 3);
	tcase_add_test(tests, sigpipe_of_others_comes);
	tcase_add_loop_test(tests, file_that_may_not_grow, 0, 2);
	tcase_add_test(tests, source_that_the_program_does_not_read);
	tcase_add_test(tests, user_s_descriptor_stays_open_and_unchanged);
	return run_cases("subprocess_copy", tests, NULL);
}

int main(void)
{
	return run_in_place(cases);
}
