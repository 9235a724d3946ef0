/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Standard input, output and error: each kind with each, descriptors 0 to 2 in any order or closed
 * here, terminals, files by path, and what else is open in a program.
 */
#include <sys/socket.h>

#include "test_subprocess.h"

/* ---- each kind with each ---- */

#define KINDS (BROOD_STREAM_COPY + 1u)

static int saved[3], files[3]; /* our own 0 to 2; and what is behind them meanwhile */
static const char *const file_names[] = { "file0", "file1", "file2" };
static const char *const path_names[] = { "path0", "path1", "path2" };

static void begin(void)
{
	for (int i = 0; i < 3; i++) {
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 20);
		files[i] = open(new_file(file_names[i], i ? "" : "in\n", 0644),
				O_RDWR | O_APPEND | O_CLOEXEC);
		new_file(path_names[i], i ? "rest of old contents" : "in\n", 0644);
		ck_assert_int_ge(files[i], 3);
	}
}

/* Standard output of a test that failed is of no use; this is called for others only. */
static void end(void)
{
	for (int i = 0; i < 3; i++) {
		dup2(saved[i], i);
		close(saved[i]);
		close(files[i]);
	}
}

static void use_files(void)
{
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(dup2(files[i], i), i);
}

static void empty_files(void)
{
	lseek(files[0], 0, SEEK_SET);
	for (int i = 1; i < 3; i++)
		ck_assert_int_eq(ftruncate(files[i], 0), 0);
}

static bool is_possible(uint32_t kind, int which)
{
	if (kind == BROOD_STREAM_OUTPUT)
		return which == BROOD_STDERR;
	return kind != BROOD_STREAM_PTY || which != BROOD_STDIN;
}

static struct brood_stream stream(uint32_t kind, int which)
{
	return (struct brood_stream){
		.kind = kind,
		.fd = files[which],
		.path = kind == BROOD_STREAM_PATH ? in_place(path_names[which]) : NULL,
	};
}

static void check_stream(uint32_t kind, int which, const char *kept, const char *wanted)
{
	bool is_kept = kind == BROOD_STREAM_PIPE || kind == BROOD_STREAM_PTY;

	ck_assert(is_kept == (kept != NULL));
	if (is_kept)
		ck_assert_str_eq(kept, wanted);
	else if (kind == BROOD_STREAM_PATH)
		file_has(in_place(path_names[which]), wanted);
	else if (kind != BROOD_STREAM_NULL && kind != BROOD_STREAM_OUTPUT)
		file_has(in_place(file_names[which]), wanted);
}

static void try_kinds(uint32_t in, uint32_t out, uint32_t err)
{
	struct brood_subprocess *process;
	struct brood_subprocess_result result;
	const char *line = in == BROOD_STREAM_NULL ? "" : "in";
	char both[32], single[12];

	empty_files();
	process = opened(SH("read a; echo \"o$a\"; echo \"e$a\" >&2"),
			 OPTS(.in = stream(in, 0), .out = stream(out, 1), .err = stream(err, 2)));
	ck_assert_int_eq(
		brood_subprocess_communicate(process, in == BROOD_STREAM_PIPE ? "in\n" : NULL,
					     in == BROOD_STREAM_PIPE ? 3 : 0, &result, LONG),
		0);
	snprintf(single, sizeof(single), "e%s\n", line);
	snprintf(both, sizeof(both), "o%s\n%s", line, err == BROOD_STREAM_OUTPUT ? single : "");
	check_stream(out, 1, result.output, both);
	check_stream(err, 2, result.error_output, single);
	brood_subprocess_result_free(&result);
	ends(process, 0);
}

START_TEST(each_kind_with_each)
{
	use_files();
	for (uint32_t out = 0; out < KINDS; out++)
		for (uint32_t err = 0; err < KINDS; err++)
			if (is_possible((uint32_t)_i, 0) && is_possible(out, 1) &&
			    is_possible(err, 2))
				try_kinds((uint32_t)_i, out, err);
}
END_TEST

START_TEST(one_descriptor_for_all)
{
	int pair[2];
	struct brood_stream all = { .kind = BROOD_STREAM_FD };
	struct brood_subprocess *process;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	all.fd = pair[1];
	process = opened(SH("read a; echo \"o$a\"; echo \"e$a\" >&2"),
			 OPTS(.in = all, .out = all, .err = all));
	ck_assert_int_eq(fcntl(pair[1], F_GETFD), FD_CLOEXEC);
	close(pair[1]);
	ck_assert_int_eq(write(pair[0], "in\n", 3), 3);
	reads(pair[0], "oin\nein\n");
	until_eof(pair[0]);
	ends(process, 0);
}
END_TEST

/* ---- 0 to 2 in any order, or closed here ---- */

enum { IS_CLOSED = 0, IS_PIPE, IS_DEVICE, IS_FILE };

/* Its exit code says what 0 to 2 are, two bits each. */
#define SORTS                                                              \
	SH("code=0; unit=1; for fd in 0 1 2; do "                          \
	   "if [ -p /dev/fd/$fd ]; then code=$((code + unit)); "           \
	   "elif [ -c /dev/fd/$fd ]; then code=$((code + 2 * unit)); "     \
	   "elif [ -e /dev/fd/$fd ]; then code=$((code + 3 * unit)); fi; " \
	   "unit=$((4 * unit)); done; exit $code")

static const uint32_t some_kinds[] = { BROOD_STREAM_INHERIT, BROOD_STREAM_PIPE, BROOD_STREAM_NULL,
				       BROOD_STREAM_FD };
static const int some_sorts[] = { IS_FILE, IS_PIPE, IS_DEVICE, IS_FILE };

/* _i: those that are closed here, as bits. */
START_TEST(some_of_0_to_2_closed_here)
{
	for (int of_0 = 0; of_0 < 3; of_0++)
		for (int of_1 = 0; of_1 < 3; of_1++)
			for (int of_2 = 0; of_2 < 4; of_2++) {
				const int of[] = { of_0, of_1, of_2 };
				struct brood_subprocess *process;
				int wanted = 0;

				use_files();
				for (int fd = 0; fd < 3; fd++) {
					if (_i >> fd & 1)
						close(fd);
					if (of[fd] || !(_i >> fd & 1))
						wanted |= some_sorts[of[fd]] << fd * 2;
				}
				process = opened(SORTS, OPTS(.in = stream(some_kinds[of_0], 0),
							     .out = stream(some_kinds[of_1], 1),
							     .err = stream(some_kinds[of_2], 2)));
				ends(process, wanted);
			}
}
END_TEST

/*
 * Descriptors of handles that could have got 0 to 2 are nothing that is inherited, nor where output
 * goes. _i: the first that is closed here.
 */
START_TEST(what_is_closed_here_is_not_another_s_pipe)
{
	const struct brood_stream merged = { .kind = BROOD_STREAM_OUTPUT };
	struct brood_subprocess *first, *second;

	use_files();
	for (int fd = _i; fd < 3; fd++)
		close(fd);
	first = brood_subprocess_open(BROOD_ARGS("cat"), OPTS(.in = PIPE, .err = merged));
	if (!first) { /* there is no output */
		ck_assert_int_eq(errno, EBADF);
		first = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE));
	}
	ends(opened(SORTS, NULL), _i ? IS_FILE : 0);
	second = brood_subprocess_open(SORTS, OPTS(.err = merged));
	if (second)
		ends(second, _i ? IS_FILE : 0);
	else
		ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(brood_subprocess_close_stream(first, BROOD_STDIN), 0);
	ck_assert_int_eq(brood_subprocess_wait(first, NULL, LONG), 0);
	brood_subprocess_close(first);
}
END_TEST

START_TEST(given_though_it_closes_on_exec)
{
	struct brood_subprocess_opts opts = { 0 };
	struct brood_stream *const streams[] = { &opts.in, &opts.out, &opts.err };

	use_files();
	for (int fd = 0; fd < 3; fd++) {
		ck_assert_int_eq(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
		*streams[fd] = (struct brood_stream){ .kind = BROOD_STREAM_FD, .fd = fd };
	}
	ends(opened(SORTS, &opts), IS_FILE | IS_FILE << 2 | IS_FILE << 4);
	ck_assert_int_eq(fcntl(1, F_GETFD), FD_CLOEXEC);
}
END_TEST

#define ARE_FILES "for fd in 0 1 2; do [ /dev/fd/$fd -ef $1 ] || exit 1; shift; done"

/* 3 stands for inherit. */
START_TEST(all_orders_of_0_to_2)
{
	use_files();
	for (int order = 0; order < 64; order++) {
		const int from[] = { order & 3, order >> 2 & 3, order >> 4 };
		struct brood_stream streams[3];
		const char *argv[] = { "/bin/sh", "-c", ARE_FILES, "sh", NULL, NULL, NULL, NULL };

		for (int i = 0; i < 3; i++) {
			streams[i] =
				(struct brood_stream){ .kind = from[i] == 3 ? BROOD_STREAM_INHERIT
									    : BROOD_STREAM_FD,
						       .fd = from[i] };
			argv[4 + i] = in_place(file_names[from[i] == 3 ? i : from[i]]);
		}
		ends(opened(argv, OPTS(.in = streams[0], .out = streams[1], .err = streams[2])), 0);
	}
}
END_TEST

/* ---- what else is open ---- */

/* Those that the new process might use on its way, and which go to 0 to 2, are passed too. */
START_TEST(passed_descriptors_and_streams)
{
	int fds[60], last = 0;
	size_t count = 0;
	char wanted[400] = "0 1 2 ";

	while (last < 40) {
		last = fcntl(0, F_DUPFD_CLOEXEC, 3);
		fds[count++] = last;
		snprintf(wanted + strlen(wanted), 10, "%d ", last);
	}
	strcat(wanted, "\n");
	says(BROOD_ARGS(SELF, "fds"),
	     OPTS(.in = { .kind = BROOD_STREAM_FD, .fd = last },
		  .err = { .kind = BROOD_STREAM_FD, .fd = fds[0] }, .pass_fds = fds,
		  .pass_fds_count = count),
	     wanted);
	while (count > 0)
		close(fds[--count]);
}
END_TEST

START_TEST(pipes_of_others_are_not_in_it)
{
	struct brood_subprocess *others[4];

	nothing_to_inherit();
	for (int i = 0; i < 4; i++)
		others[i] =
			opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE, .keep_fds = i & 1));
	says(BROOD_ARGS(SELF, "fds"), OPTS(.keep_fds = true, .in = PIPE, .err = PIPE), "0 1 2 \n");
	for (int i = 0; i < 4; i++) { /* the first ends though the later ones live */
		brood_subprocess_close_stream(others[i], BROOD_STDIN);
		ends(others[i], 0);
	}
}
END_TEST

/* It is entered before that is closed. */
START_TEST(directory_that_a_descriptor_names)
{
	int folder = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", folder);
	says(BROOD_ARGS("/bin/pwd", "-P"), OPTS(.cwd = path), "/usr\n");
	close(folder);
}
END_TEST

/* ---- files by path ---- */

START_TEST(path_is_made_emptied_or_appended_to)
{
	struct brood_stream file = { .kind = BROOD_STREAM_PATH, .path = in_place("made") };
	struct stat status;

	unlink(file.path);
	umask(027);
	ends(opened(BROOD_ARGS("echo", "first"), OPTS(.out = file, .umask = &(mode_t){ 0777 })), 0);
	umask(022);
	ck_assert_int_eq(stat(file.path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0640);
	file.append = true;
	ends(opened(SH("echo second; echo third >&2"), OPTS(.out = file, .err = file)), 0);
	file_has(file.path, "first\nsecond\nthird\n");
	file.append = false;
	ends(opened(BROOD_ARGS("echo", "x"), OPTS(.out = file, .cwd = "/")), 0);
	file_has(file.path, "x\n");
	says(BROOD_ARGS("cat"), OPTS(.in = { .kind = BROOD_STREAM_PATH, .path = file.path }),
	     "x\n");
}
END_TEST

START_TEST(relative_path_is_the_caller_s)
{
	char before[200];

	ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
	ck_assert_int_eq(chdir(place), 0);
	ends(opened(BROOD_ARGS("pwd"),
		    OPTS(.out = { .kind = BROOD_STREAM_PATH, .path = "where" }, .cwd = "/")),
	     0);
	file_has("where", "/\n");
	ck_assert_int_eq(chdir(before), 0);
}
END_TEST

/* ---- terminals ---- */

/* The C library writes line by line to a terminal only; this one waits after its first. */
static int write_lines(void)
{
	printf("%d%d one\n", isatty(1), isatty(2));
	if (getchar() == EOF)
		return 1;
	printf("two\n");
	return 0;
}

START_TEST(pty_gets_lines_at_once)
{
	struct brood_subprocess *process =
		opened(BROOD_ARGS(SELF, "lines"),
		       OPTS(.in = PIPE, .out = { .kind = BROOD_STREAM_PTY }, .err = PIPE));
	int fd = brood_subprocess_fd(process, BROOD_STDOUT);
	char byte;

	reads(fd, "10 one\n");
	ck_assert_int_eq(write(brood_subprocess_fd(process, BROOD_STDIN), "x", 1), 1);
	reads(fd, "two\n");
	ck_assert_int_eq(read(fd, &byte, 1), -1);
	ck_assert_int_eq(errno, EIO);
	ends(process, 0);
}
END_TEST

/* Both are terminals, and apart. All bytes come, as they are, though the program ends at once. */
START_TEST(pty_changes_no_bytes)
{
	enum { BYTES = 300000 };
	char *all = malloc(BYTES);
	struct brood_subprocess *process;
	struct brood_subprocess_result result;
	struct brood_stream pty = { .kind = BROOD_STREAM_PTY };

	for (int i = 0; i < BYTES; i++)
		all[i] = (char)(i % 256);
	process = opened(SH("test -t 1 && test -t 2 && tee /dev/fd/2"),
			 OPTS(.in = PIPE, .out = pty, .err = pty));
	ck_assert_int_eq(brood_subprocess_communicate(process, all, BYTES, &result, LONG), 0);
	ck_assert_uint_eq(result.output_length, BYTES);
	ck_assert_uint_eq(result.error_length, BYTES);
	ck_assert(memcmp(result.output, all, BYTES) == 0);
	ck_assert(memcmp(result.error_output, all, BYTES) == 0);
	brood_subprocess_result_free(&result);
	ends(process, 0);
	free(all);
}
END_TEST

/* A leader of a session without one that opens a terminal gets it, if it does not take care. */
static int lead_a_session(void *unused)
{
	struct brood_stream pty = { .kind = BROOD_STREAM_PTY };

	(void)unused;
	must(setsid() == getpid());
	says(SH("cut -d' ' -f7 /proc/self/stat"), OPTS(.err = pty), "0\n");
	says(SH("cut -d' ' -f7 /proc/self/stat"), OPTS(.err = pty, .new_session = true), "0\n");
	must(open("/dev/tty", O_RDWR) < 0);
	return 0;
}

START_TEST(pty_is_nobody_s_controlling_terminal)
{
	ck_assert_int_eq(run(lead_a_session, NULL), 0);
}
END_TEST

static int cases(void)
{
	TCase *kinds = new_case("kinds", begin_without_arena);
	TCase *others = new_case("others", begin_without_arena);

	tcase_add_checked_fixture(kinds, begin, end);
	tcase_add_loop_test(kinds, each_kind_with_each, 0, (int)KINDS);
	tcase_add_test(kinds, one_descriptor_for_all);
	tcase_add_loop_test(kinds, some_of_0_to_2_closed_here, 0, 8);
	tcase_add_loop_test(kinds, what_is_closed_here_is_not_another_s_pipe, 0, 2);
	tcase_add_test(kinds, given_though_it_closes_on_exec);
	tcase_add_test(kinds, all_orders_of_0_to_2);
	tcase_add_test(others, passed_descriptors_and_streams);
	tcase_add_test(others, pipes_of_others_are_not_in_it);
	tcase_add_test(others, directory_that_a_descriptor_names);
	tcase_add_test(others, path_is_made_emptied_or_appended_to);
	tcase_add_test(others, relative_path_is_the_caller_s);
	tcase_add_test(others, pty_gets_lines_at_once);
	tcase_add_test(others, pty_changes_no_bytes);
	tcase_add_test(others, pty_is_nobody_s_controlling_terminal);
	return run_cases("subprocess_streams", kinds, others, NULL);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return strcmp(argv[1], "fds") == 0 ? print_fds() : write_lines();
	return run_in_place(cases);
}
