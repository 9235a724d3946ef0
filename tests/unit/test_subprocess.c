/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* External programs: options that are wrong, and each error with its step and text. */
#include <grp.h>

#include "test_subprocess.h"

/* ---- options ---- */

#define KIND(k)                          \
	{                                \
		.kind = BROOD_STREAM_##k \
	}

static const char *const no_env[] = { NULL };
static const struct {
	struct brood_subprocess_opts opts;
	enum brood_subprocess_step step;
} contradictions[] = {
	{ { .in = { .kind = 99 } }, BROOD_STEP_STDIN },
	{ { .out = { .kind = 99 } }, BROOD_STEP_STDOUT },
	{ { .err = { .kind = UINT32_MAX } }, BROOD_STEP_STDERR },
	{ { .in = KIND(OUTPUT) }, BROOD_STEP_STDIN },
	{ { .out = KIND(OUTPUT) }, BROOD_STEP_STDOUT },
	{ { .in = KIND(PTY) }, BROOD_STEP_STDIN },
	{ { .in = KIND(PATH) }, BROOD_STEP_STDIN },
	{ { .out = KIND(PATH) }, BROOD_STEP_STDOUT },
	{ { .err = KIND(PATH) }, BROOD_STEP_STDERR },
	{ { .groups_count = 1 }, BROOD_STEP_OPTIONS },
	{ { .limits_count = 1 }, BROOD_STEP_OPTIONS },
	{ { .cpus_count = 1 }, BROOD_STEP_OPTIONS },
	{ { .pass_fds_count = 1 }, BROOD_STEP_OPTIONS },
	{ { .own_group = true, .join_group = 1 }, BROOD_STEP_OPTIONS },
	{ { .new_session = true, .join_group = 1 }, BROOD_STEP_OPTIONS },
	{ { .join_group = -1 }, BROOD_STEP_OPTIONS },
	{ { .overflow = 3, .limit = 1 }, BROOD_STEP_OPTIONS },
	{ { .lines = true }, BROOD_STEP_OPTIONS },
	{ { .grace = -1 }, BROOD_STEP_OPTIONS },
	{ { .input = "x", .input_length = 1, .in = KIND(PIPE) }, BROOD_STEP_OPTIONS },
	{ { .capture = true }, BROOD_STEP_OPTIONS },
	{ { .check = true }, BROOD_STEP_OPTIONS },
};

START_TEST(options_that_make_no_sense)
{
	fails(BROOD_ARGS("true"), &contradictions[_i].opts, EINVAL, contradictions[_i].step);
}
END_TEST

START_TEST(options_of_a_later_version)
{
	struct {
		struct brood_subprocess_opts known;
		long later;
	} opts = { .known = { .opts_size = sizeof(opts), .env = no_env } };

	ends(opened(BROOD_ARGS("true"), &opts.known), 0);
	opts.known.opts_size = sizeof(opts.known);
	ends(opened(BROOD_ARGS("true"), &opts.known), 0);
	opts.known.opts_size = sizeof(opts);
	opts.later = 1;
	errno = 0;
	ck_assert_ptr_null(brood_subprocess_open(BROOD_ARGS("true"), &opts.known));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(no_arguments_no_options)
{
	errno = 0;
	ck_assert_ptr_null(brood_subprocess_open(NULL, NULL));
	ck_assert_int_eq(errno, EINVAL);
	ends(opened(BROOD_ARGS("true"), NULL), 0);
}
END_TEST

START_TEST(no_error_is_said_too)
{
	struct brood_subprocess_error error;

	memset(&error, 'x', sizeof(error));
	ends(opened(BROOD_ARGS("true"), OPTS(.error = &error)), 0);
	ck_assert_int_eq(error.code, 0);
	ck_assert_uint_eq(error.step, BROOD_STEP_NONE);
	ck_assert_str_eq(error.text, "");
}
END_TEST

/* ---- errors ---- */

static struct brood_stream *stream_of(struct brood_subprocess_opts *opts, int which)
{
	return which == BROOD_STDIN ? &opts->in : which == BROOD_STDOUT ? &opts->out : &opts->err;
}

/* By each of the three. */
START_TEST(stream_that_cannot_be_had)
{
	enum brood_subprocess_step step = BROOD_STEP_STDIN + (unsigned int)_i;
	struct brood_subprocess_opts opts = { 0 };
	struct brood_stream *stream = stream_of(&opts, _i);

	*stream = (struct brood_stream){ .kind = BROOD_STREAM_PATH, .path = "/nonexistent/file" };
	ck_assert_ptr_nonnull(
		strstr(fails(BROOD_ARGS("true"), &opts, ENOENT, step), "'/nonexistent/file'"));
	stream->path = "/etc/passwd/file";
	fails(BROOD_ARGS("true"), &opts, ENOTDIR, step);
	stream->path = place;
	if (_i)
		fails(BROOD_ARGS("true"), &opts, EISDIR, step);
	for (int fd = -1; fd < 2000; fd += 2000) {
		*stream = (struct brood_stream){ .kind = BROOD_STREAM_FD, .fd = fd };
		fails(BROOD_ARGS("true"), &opts, EBADF, step);
		stream->kind = BROOD_STREAM_COPY;
		fails(BROOD_ARGS("true"), &opts, EBADF, step);
	}
}
END_TEST

START_TEST(no_descriptors_left)
{
	struct brood_subprocess_opts opts = {
		.in = PIPE, .out = PIPE, .err = KIND(PTY), .cwd = "/"
	};
	struct rlimit before, few;
	int next = dup(0), opens = 0;

	close(next);
	getrlimit(RLIMIT_NOFILE, &before);
	for (int more = 0; !opens; more++) {
		struct brood_subprocess *process;

		few = (struct rlimit){ (rlim_t)(next + more), before.rlim_max };
		setrlimit(RLIMIT_NOFILE, &few);
		process = brood_subprocess_open(BROOD_ARGS("true"), &opts);
		opens = process != NULL;
		ck_assert(opens || errno == EMFILE);
		setrlimit(RLIMIT_NOFILE, &before);
		if (opens)
			ends(process, 0);
		ck_assert_int_lt(more, 20);
		ck_assert_int_eq(dup(0), next); /* nothing was left */
		close(next);
	}
}
END_TEST

static const struct brood_limit bad_limits[] = { { 999, { 1, 1 } }, { RLIMIT_NOFILE, { 2, 1 } } };
static const struct brood_limit more_files = { RLIMIT_NOFILE, { 1 << 20, 1 << 20 } };
static const unsigned int no_cpu = 8000, very_no_cpu = UINT_MAX;

START_TEST(what_the_kernel_refuses)
{
	fails(BROOD_ARGS("true"), OPTS(.limits = &bad_limits[0], .limits_count = 1), EINVAL,
	      BROOD_STEP_LIMITS);
	fails(BROOD_ARGS("true"), OPTS(.limits = &bad_limits[1], .limits_count = 1), EINVAL,
	      BROOD_STEP_LIMITS);
	fails(BROOD_ARGS("true"), OPTS(.cpus = &no_cpu, .cpus_count = 1), EINVAL, BROOD_STEP_CPUS);
	fails(BROOD_ARGS("true"), OPTS(.join_group = 1 << 30), EPERM, BROOD_STEP_GROUP);
	fails(BROOD_ARGS("true"), OPTS(.cwd = ""), ENOENT, BROOD_STEP_CWD);
}
END_TEST

START_TEST(cpu_of_no_set)
{
	struct brood_subprocess_error error;

	errno = 0;
	ck_assert_ptr_null(brood_subprocess_open(
		BROOD_ARGS("true"), OPTS(.cpus = &very_no_cpu, .cpus_count = 1, .error = &error)));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert(error.step == BROOD_STEP_CPUS || error.step == BROOD_STEP_OPTIONS);
}
END_TEST

static int be_nobody(void)
{
	if (geteuid())
		return 0;
	return setgroups(0, NULL) || setresgid(65534, 65534, 65534) ||
	       setresuid(65534, 65534, 65534);
}

static int ask_for_too_much(void *closed_directory)
{
	const struct rlimit none = { 0, 0 }, files = { 1024, 1024 };
	const uid_t root = 0;
	const gid_t group = 0;

	must(be_nobody() == 0);
	must(setrlimit(RLIMIT_NICE, &none) == 0 && setrlimit(RLIMIT_NOFILE, &files) == 0);
	fails(BROOD_ARGS("true"), OPTS(.user = &root), EPERM, BROOD_STEP_IDS);
	fails(BROOD_ARGS("true"), OPTS(.group = &group), EPERM, BROOD_STEP_IDS);
	fails(BROOD_ARGS("true"), OPTS(.groups = &group, .groups_count = 1), EPERM, BROOD_STEP_IDS);
	fails(BROOD_ARGS("true"), OPTS(.groups = &group), EPERM, BROOD_STEP_IDS);
	fails(BROOD_ARGS("true"), OPTS(.limits = &more_files, .limits_count = 1), EPERM,
	      BROOD_STEP_LIMITS);
	fails(BROOD_ARGS("true"), OPTS(.cwd = closed_directory), EACCES, BROOD_STEP_CWD);
	fails(BROOD_ARGS("true"), OPTS(.nice = -1), EACCES, BROOD_STEP_NICE);
	return 0;
}

START_TEST(what_is_not_allowed)
{
	char *closed = strdup(in_place("closed"));

	ck_assert_int_eq(mkdir(closed, 0), 0);
	ck_assert_int_eq(run(ask_for_too_much, closed), 0);
	rmdir(closed);
	free(closed);
}
END_TEST

/* The step is that of the process itself. */
static int be_too_many(void *unused)
{
	const struct rlimit one = { 1, 1 };

	(void)unused;
	must(be_nobody() == 0 && setrlimit(RLIMIT_NPROC, &one) == 0);
	fails(BROOD_ARGS("true"), OPTS(.in = PIPE, .out = PIPE), EAGAIN, BROOD_STEP_START);
	return 0;
}

START_TEST(no_more_processes)
{
	ck_assert_int_eq(run(be_too_many, NULL), 0);
}
END_TEST

START_TEST(long_names_are_cut_in_texts)
{
	static char name[4000];
	struct brood_subprocess_opts opts = { .cwd = name };

	memset(name, '/', sizeof(name) - 3);
	name[sizeof(name) - 3] = 'x';
	ck_assert_uint_lt(strlen(fails(BROOD_ARGS(name), NULL, ENOENT, BROOD_STEP_EXEC)),
			  BROOD_SUBPROCESS_TEXT);
	fails(BROOD_ARGS("true"), &opts, ENOENT, BROOD_STEP_CWD);
}
END_TEST

/*
 * Numbers that are closed at the call, and which pipes of the same call could get: the program
 * would hold the other end of its own input.
 */
START_TEST(closed_descriptors_that_our_own_could_become)
{
	int low = dup(0);

	close(low);
	for (int fd = low; fd < low + 8; fd++) {
		struct brood_stream of = { .kind = BROOD_STREAM_FD, .fd = fd };

		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		fails(BROOD_ARGS("true"),
		      OPTS(.in = PIPE, .out = PIPE, .err = KIND(PTY), .pass_fds = &fd,
			   .pass_fds_count = 1),
		      EBADF, BROOD_STEP_PASS_FDS);
		fails(BROOD_ARGS("true"), OPTS(.in = PIPE, .out = of), EBADF, BROOD_STEP_STDOUT);
		fails(BROOD_ARGS("true"), OPTS(.in = PIPE, .err = of), EBADF, BROOD_STEP_STDERR);
		of.kind = BROOD_STREAM_COPY;
		fails(BROOD_ARGS("true"), OPTS(.in = PIPE, .err = of), EBADF, BROOD_STEP_STDERR);
	}
}
END_TEST

static int cases(void)
{
	TCase *options = new_case("options", begin_without_arena);
	TCase *errors = new_case("errors", begin_without_arena);

	tcase_add_loop_test(options, options_that_make_no_sense, 0,
			    sizeof(contradictions) / sizeof(*contradictions));
	tcase_add_test(options, options_of_a_later_version);
	tcase_add_test(options, no_arguments_no_options);
	tcase_add_test(options, no_error_is_said_too);
	tcase_add_loop_test(errors, stream_that_cannot_be_had, 0, 3);
	tcase_add_test(errors, no_descriptors_left);
	tcase_add_test(errors, what_the_kernel_refuses);
	tcase_add_test(errors, cpu_of_no_set);
	tcase_add_test(errors, what_is_not_allowed);
	tcase_add_test(errors, no_more_processes);
	tcase_add_test(errors, long_names_are_cut_in_texts);
	tcase_add_test(errors, closed_descriptors_that_our_own_could_become);
	return run_cases("subprocess", options, errors, NULL);
}

int main(void)
{
	return run_in_place(cases);
}
