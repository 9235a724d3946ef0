/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Python promises of subprocess, row by row, and what brood does instead where that is a trap.
 * The name of a test is that of the row; rows from poll() on are in test_features_subprocess_wait.c
 * and _run.c, and what only needs more of the same in test_subprocess*.c.
 */
#include <sys/mman.h>
#include <sys/time.h>

#include "test_subprocess.h"

/* ---- the program ---- */

START_TEST(popen_args_list)
{
	const char *nothing[] = { NULL };
	char path[96], text[96];
	const char *env[] = { path, NULL };

	new_file("prog", "#!/bin/sh\necho \"$0 $*\"\n", 0755);
	snprintf(path, sizeof(path), "PATH=/nonexistent::/etc/passwd:%s", place);
	snprintf(text, sizeof(text), "%s/prog a b \n", place);
	says(BROOD_ARGS("prog", "a b", ""), OPTS(.env = env), text);
	fails(BROOD_ARGS("prog"), NULL, ENOENT, BROOD_STEP_EXEC);
	says(BROOD_ARGS("sh", "-c", "echo $0"), NULL, "sh\n");
	fails(nothing, NULL, EINVAL, BROOD_STEP_OPTIONS);
}
END_TEST

START_TEST(args_string_without_shell_is_a_program_name)
{
	fails(BROOD_ARGS("sleep 61"), NULL, ENOENT, BROOD_STEP_EXEC);
	fails(BROOD_ARGS(""), NULL, ENOENT, BROOD_STEP_EXEC);
}
END_TEST

START_TEST(shell_string_and_list)
{
	says(BROOD_ARGS("echo $((1 + 2)) | cat"), OPTS(.shell = true), "3\n");
	says(BROOD_ARGS("echo \"$0,$1,$2.\"", "zero", "o ne"), OPTS(.shell = true),
	     "zero,o ne,.\n");
}
END_TEST

START_TEST(executable)
{
	says(BROOD_ARGS("name", "-c", "echo $0"), OPTS(.executable = "/bin/sh"), "name\n");
	says(BROOD_ARGS("name", "-c", "echo $0"), OPTS(.executable = "sh"), "name\n");
	says(BROOD_ARGS("a command", "zero"), OPTS(.shell = true, .executable = SELF),
	     "-c|a command|zero|\n");
}
END_TEST

static const struct {
	const char *name;
	int code;
} not_to_be_run[] = {
	{ "absent", ENOENT }, { "data", EACCES },    { "garbage", ENOEXEC },
	{ "empty", ENOEXEC }, { "data/x", ENOTDIR }, { ".", EACCES },
	{ "loop", ELOOP },    { "busy", ETXTBSY },   { "no-interpreter", ENOENT },
};

START_TEST(exec_failure_is_told_in_the_parent)
{
	const char *path = in_place(not_to_be_run[_i].name);
	char text[160];
	int busy;

	new_file("data", "data\n", 0644);
	new_file("garbage", "\1\2\3\4 is no program\n", 0755);
	new_file("empty", "", 0755);
	new_file("no-interpreter", "#!/nonexistent/interpreter\n", 0755);
	unlink(in_place("loop"));
	ck_assert_int_eq(symlink("loop", in_place("loop")), 0);
	busy = open(new_file("busy", "#!/bin/sh\n", 0755), O_WRONLY | O_CLOEXEC);
	snprintf(text, sizeof(text), "cannot run '%s': %s", path, strerror(not_to_be_run[_i].code));
	ck_assert_str_eq(fails(BROOD_ARGS(path, "x"), OPTS(.in = PIPE, .out = PIPE, .err = PIPE),
			       not_to_be_run[_i].code, BROOD_STEP_EXEC),
			 text);
	close(busy);
}
END_TEST

START_TEST(cwd)
{
	char text[96];

	snprintf(text, sizeof(text), "%s\n", place);
	says(BROOD_ARGS("/bin/pwd"), OPTS(.cwd = place), text);
	new_file("here", "#!/bin/sh\necho here\n", 0755);
	says(BROOD_ARGS("./here"), OPTS(.cwd = place), "here\n");
	new_file("file", "", 0644);
	ck_assert_ptr_nonnull(strstr(
		fails(BROOD_ARGS("true"), OPTS(.cwd = "/nonexistent/x"), ENOENT, BROOD_STEP_CWD),
		"'/nonexistent/x'"));
	ck_assert_ptr_nonnull(strstr(
		fails(BROOD_ARGS("true"), OPTS(.cwd = in_place("file")), ENOTDIR, BROOD_STEP_CWD),
		in_place("file")));
}
END_TEST

START_TEST(env_is_added_or_replaces)
{
	const char *some[] = { "ONE=1", "EMPTY=", "GONE", "EQUAL=a=b", NULL };
	const char *only[] = { "ONE=1", "ABSENT", NULL };
	const char *unnamed[] = { "ONE=1", "=x", NULL };
	const char *empty[] = { "", NULL };

	setenv("GONE", "here", 1);
	setenv("ONE", "0", 1);
	setenv("KEPT", "as it is", 1);
	says(SH("echo \"$ONE,${EMPTY-unset},${GONE-unset},$EQUAL,$KEPT\""), OPTS(.env = some),
	     "1,,unset,a=b,as it is\n");
	says(BROOD_ARGS("/usr/bin/env"), OPTS(.env = only, .env_clear = true), "ONE=1\n");
	says(BROOD_ARGS("/usr/bin/env"), OPTS(.env_clear = true), "");
	says(BROOD_ARGS("/bin/sh", "-c", "echo $ONE"), NULL, "0\n");
	fails(BROOD_ARGS("true"), OPTS(.env = unnamed), EINVAL, BROOD_STEP_OPTIONS);
	fails(BROOD_ARGS("true"), OPTS(.env = empty), EINVAL, BROOD_STEP_OPTIONS);
}
END_TEST

START_TEST(huge_args)
{
	static char huge[200000], name[200000];
	const char *many[102] = { "true" };
	const char *env[] = { name, NULL };

	memset(huge, 'x', sizeof(huge) - 1);
	memset(name, 'x', sizeof(name) - 1);
	name[10] = '=';
	fails(BROOD_ARGS("true", huge), NULL, E2BIG, BROOD_STEP_EXEC);
	fails(BROOD_ARGS("true"), OPTS(.env = env), E2BIG, BROOD_STEP_EXEC);
	huge[100000] = 0;
	ends(opened(BROOD_ARGS("true", huge), NULL), 0);
	for (int i = 1; i <= 100; i++)
		many[i] = huge;
	fails(many, NULL, E2BIG, BROOD_STEP_EXEC);
}
END_TEST

/* ---- streams ---- */

/* Ours goes to that file until the test ends. */
static void redirect(int fd, const char *path)
{
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(dup2(file, fd), fd);
	close(file);
}

#define BOTH "echo out; echo err >&2"

START_TEST(stdin_stdout_stderr)
{
	struct brood_stream null = { .kind = BROOD_STREAM_NULL };
	struct brood_stream merged = { .kind = BROOD_STREAM_OUTPUT };
	struct brood_stream path = { .kind = BROOD_STREAM_PATH, .path = in_place("path") };
	struct brood_stream fd = { .kind = BROOD_STREAM_FD };
	struct brood_subprocess *process;

	redirect(1, in_place("ours"));
	ends(opened(SH("cat; " BOTH), OPTS(.in = null, .err = merged)), 0);
	file_has(in_place("ours"), "out\nerr\n");
	ends(opened(SH(BOTH), OPTS(.out = path, .err = null)), 0);
	file_has(path.path, "out\n");
	fd.fd = open(in_place("fd"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ends(opened(SH("cat; " BOTH), OPTS(.in = path, .out = fd, .err = fd)), 0);
	close(fd.fd);
	file_has(in_place("fd"), "out\nout\nerr\n");
	process = opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE, .err = PIPE));
	ck_assert_int_eq(write(brood_subprocess_fd(process, BROOD_STDIN), "abc", 3), 3);
	reads(brood_subprocess_fd(process, BROOD_STDOUT), "abc");
	ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDIN), 0);
	ends(process, 0);
}
END_TEST

START_TEST(order_of_stdout_and_stderr_merged)
{
	says(SH("for i in 1 2 3; do echo o$i; echo e$i >&2; done"),
	     OPTS(.err = { .kind = BROOD_STREAM_OUTPUT }), "o1\ne1\no2\ne2\no3\ne3\n");
}
END_TEST

START_TEST(any_shuffle_of_0_1_2)
{
	redirect(1, in_place("one"));
	redirect(2, in_place("two"));
	ends(opened(SH(BOTH), OPTS(.out = { .kind = BROOD_STREAM_FD, .fd = 2 },
				   .err = { .kind = BROOD_STREAM_FD, .fd = 1 })),
	     0);
	file_has(in_place("one"), "err\n");
	file_has(in_place("two"), "out\n");
}
END_TEST

/* (Its name in /proc is given to it a little later.) */
START_TEST(open_returns_once_exec_has_succeeded)
{
	struct brood_subprocess *process = opened(BROOD_ARGS("/bin/sleep", "1000"), NULL);
	struct stat program, running;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/exe", brood_subprocess_pid(process));
	ck_assert_int_eq(stat("/bin/sleep", &program) | stat(path, &running), 0);
	ck_assert_uint_eq(running.st_ino, program.st_ino);
	ck_assert_int_eq(brood_subprocess_poll(process, NULL), -EAGAIN);
	kill_and_close(process);
}
END_TEST

START_TEST(close_fds)
{
	char text[40];
	int kept = dup(0);
	int closed = fcntl(0, F_DUPFD_CLOEXEC, 3), far = fcntl(0, F_DUPFD, 900);

	nothing_to_inherit();
	ck_assert_int_eq(fcntl(kept, F_SETFD, 0) | fcntl(far, F_SETFD, 0), 0);
	says(BROOD_ARGS(SELF, "fds"), NULL, "0 1 2 \n");
	ck_assert_int_gt(closed, kept);
	snprintf(text, sizeof(text), "0 1 2 %d %d \n", kept, far);
	says(BROOD_ARGS(SELF, "fds"), OPTS(.keep_fds = true), text);
	close(kept);
	close(closed);
	close(far);
}
END_TEST

START_TEST(pass_fds)
{
	int fds[3] = { fcntl(0, F_DUPFD_CLOEXEC, 900), dup(0), fcntl(0, F_DUPFD_CLOEXEC, 3) };
	char text[40];

	snprintf(text, sizeof(text), "0 1 2 %d %d \n", fds[1], fds[0]);
	says(BROOD_ARGS(SELF, "fds"), OPTS(.pass_fds = fds, .pass_fds_count = 2), text);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	snprintf(text, sizeof(text), "0 1 2 %d \n", fds[2]);
	says(BROOD_ARGS(SELF, "fds"), OPTS(.pass_fds = fds + 2, .pass_fds_count = 1), text);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	fails(BROOD_ARGS("true"), OPTS(.pass_fds = fds, .pass_fds_count = 1), EBADF,
	      BROOD_STEP_PASS_FDS);
}
END_TEST

START_TEST(pipesize)
{
	struct brood_subprocess *process =
		opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .out = PIPE, .pipe_size = 200000));

	ck_assert_int_eq(fcntl(brood_subprocess_fd(process, BROOD_STDIN), F_GETPIPE_SZ), 262144);
	ck_assert_int_eq(fcntl(brood_subprocess_fd(process, BROOD_STDOUT), F_GETPIPE_SZ), 262144);
	brood_subprocess_close_stream(process, BROOD_STDIN);
	ends(process, 0);
}
END_TEST

/* ---- attributes: more of them in test_subprocess_attributes.c ---- */

START_TEST(restore_signals)
{
	struct brood_subprocess *process;

	signal(SIGPIPE, SIG_IGN);
	process = opened(BROOD_ARGS("yes"), OPTS(.out = PIPE));
	reads(brood_subprocess_fd(process, BROOD_STDOUT), "y\ny\n");
	ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDOUT), 0);
	ends(process, -SIGPIPE);
	process =
		opened(SH("yes | head -1 2>&1; exec 2>/dev/null; yes; exit $?"), OPTS(.out = PIPE));
	reads(brood_subprocess_fd(process, BROOD_STDOUT), "y\ny\n");
	ck_assert_int_eq(brood_subprocess_close_stream(process, BROOD_STDOUT), 0);
	ends(process, 128 + SIGPIPE);
}
END_TEST

START_TEST(no_preexec_fn_but_options)
{
	static const struct brood_limit limit = { RLIMIT_NOFILE, { 99, 100 } };
	char text[80];

	snprintf(text, sizeof(text), "99\n100\n0027\n/\n%d\n", getpriority(PRIO_PROCESS, 0) + 5);
	says(SH("ulimit -n; ulimit -Hn; umask; pwd; nice"),
	     OPTS(.limits = &limit, .limits_count = 1, .umask = &(mode_t){ 027 }, .cwd = "/",
		  .nice = 5),
	     text);
}
END_TEST

START_TEST(start_new_session_process_group)
{
	says(BROOD_ARGS(SELF, "leads"), OPTS(.new_session = true), "group session\n");
	says(BROOD_ARGS(SELF, "leads"), OPTS(.own_group = true), "group\n");
	says(BROOD_ARGS(SELF, "leads"), NULL, "\n");
}
END_TEST

START_TEST(user_group_extra_groups_umask)
{
	gid_t groups[] = { 7, 8 };
	uid_t user = 65534;

	if (geteuid()) {
		user = 0;
		fails(BROOD_ARGS("true"), OPTS(.user = &user), EPERM, BROOD_STEP_IDS);
		return;
	}
	says(SH("id -u; id -g; id -G; umask"),
	     OPTS(.user = &user, .group = &(gid_t){ 65533 }, .groups = groups, .groups_count = 2,
		  .umask = &(mode_t){ 0123 }),
	     "65534\n65533\n65533 7 8\n0123\n");
	user = (uid_t)-1;
	fails(BROOD_ARGS("true"), OPTS(.user = &user), EINVAL, BROOD_STEP_OPTIONS);
	fails(BROOD_ARGS("true"), OPTS(.group = &user), EINVAL, BROOD_STEP_OPTIONS);
	fails(BROOD_ARGS("true"), OPTS(.groups = &user, .groups_count = 1), EINVAL,
	      BROOD_STEP_OPTIONS);
	fails(BROOD_ARGS("true"), OPTS(.umask = &(mode_t){ 01022 }), EINVAL, BROOD_STEP_OPTIONS);
}
END_TEST

/* Pages that were shared by a fork would fault at their next write. */
START_TEST(vfork_whatever_the_options)
{
	enum { PAGES = 8192, BYTES = PAGES * 4096 };
	const int self = 0;
	const uid_t user = geteuid();
	const gid_t group = getegid();
	const mode_t mask = 022;
	const struct brood_subprocess_opts opts[] = {
		{ 0 },
		{ .in = PIPE,
		  .out = PIPE,
		  .err = { .kind = BROOD_STREAM_PTY },
		  .cwd = "/",
		  .umask = &mask,
		  .nice = 1,
		  .new_session = true,
		  .user = &user,
		  .group = &group,
		  .pass_fds = &self,
		  .pass_fds_count = 1,
		  .die_with_parent = true },
	};
	struct rusage before, after;
	char *memory =
		mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(memory, BYTES, MADV_NOHUGEPAGE);
	memset(memory, 1, BYTES);
	for (int i = 0; i < 2; i++) {
		getrusage(RUSAGE_SELF, &before);
		ends(opened(BROOD_ARGS("true"), &opts[i]), 0);
		memset(memory, 2, BYTES);
		getrusage(RUSAGE_SELF, &after);
		ck_assert_int_lt(after.ru_minflt - before.ru_minflt, PAGES / 8);
	}
	munmap(memory, BYTES);
}
END_TEST

/* ---- the helpers ---- */

static int helper(char **args)
{
	if (strcmp(args[0], "fds") == 0)
		return print_fds();
	if (strcmp(args[0], "leads") == 0) {
		printf("%s%s\n", getpgrp() == getpid() ? "group" : "",
		       getsid(0) == getpid() ? " session" : "");
		return 0;
	}
	for (; *args; args++)
		printf("%s|", *args);
	putchar('\n');
	return 0;
}

static int cases(void)
{
	TCase *program = new_case("program", begin_without_arena);
	TCase *streams = new_case("streams", begin_without_arena);
	TCase *attributes = new_case("attributes", begin_without_arena);

	tcase_add_test(program, popen_args_list);
	tcase_add_test(program, args_string_without_shell_is_a_program_name);
	tcase_add_test(program, shell_string_and_list);
	tcase_add_test(program, executable);
	tcase_add_loop_test(program, exec_failure_is_told_in_the_parent, 0,
			    sizeof(not_to_be_run) / sizeof(*not_to_be_run));
	tcase_add_test(program, cwd);
	tcase_add_test(program, env_is_added_or_replaces);
	tcase_add_test(program, huge_args);
	tcase_add_test(streams, stdin_stdout_stderr);
	tcase_add_test(streams, order_of_stdout_and_stderr_merged);
	tcase_add_test(streams, any_shuffle_of_0_1_2);
	tcase_add_test(streams, open_returns_once_exec_has_succeeded);
	tcase_add_test(streams, close_fds);
	tcase_add_test(streams, pass_fds);
	tcase_add_test(streams, pipesize);
	tcase_add_test(attributes, restore_signals);
	tcase_add_test(attributes, no_preexec_fn_but_options);
	tcase_add_test(attributes, start_new_session_process_group);
	tcase_add_test(attributes, user_group_extra_groups_umask);
	tcase_add_test(attributes, vfork_whatever_the_options);
	return run_cases("features_subprocess", program, streams, attributes, NULL);
}

int main(int argc, char **argv)
{
	return argc > 1 ? helper(argv + 1) : run_in_place(cases);
}
