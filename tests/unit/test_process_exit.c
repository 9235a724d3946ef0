/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What happens when a process that has children ends: the exit rule, and the flushing of stdio.
 *
 * Each case is a small program, run by this program executing itself with the program's name. Its
 * output is a pipe, and descriptor RELEASE is a pipe through which the test lets children go on.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "test_process.h"

#define RELEASE 9

static const struct brood_process_opts daemon_opts = { .daemon = true };
static int go[2];		/* a pipe between the processes of one program */

static void say(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		_exit(99);
}

static void say_after_rule(void)
{
	say("after rule\n");
}

static void let_go(void)
{
	say("let go\n");
	if (write(go[1], "x", 1) != 1)
		_exit(99);
}

static void wait_for(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		_exit(99);
}

static int wait_and_say(void *text)
{
	wait_for(go[0]);
	usleep(20000);		/* time for a parent that does not wait to show it */
	say(text);
	return 0;
}

static void say_terminated(int signal)
{
	(void)signal;
	usleep(20000);
	say("terminated\n");
	_exit(write(go[1], "x", 1) != 1);
}

/* Join, tell the exit code, free: without assertions, which are for the test itself. */
static int code_of_run(int (*function)(void *), void *argument)
{
	struct brood_process *child = brood_process_start(function, argument);
	int code;

	if (brood_process_join(child, BROOD_FOREVER) || brood_process_exit_code(child, &code))
		return 99;
	return brood_process_free(child) ? 99 : code;
}

/* ---- the programs ---- */

/* Handlers run last first: let_go before the rule, say_after_rule after it. */
static int joined(void)
{
	atexit(say_after_rule);
	brood_process_start(wait_and_say, "child done\n");
	atexit(let_go);
	return 5;
}

static void *call_exit(void *unused)
{
	(void)unused;
	exit(5);
}

static void *join_and_free(void *child)
{
	brood_process_join(child, BROOD_FOREVER);
	brood_process_free(child);
	return NULL;
}

static int pass_on(void *unused)
{
	(void)unused;
	wait_for(go[0]);
	usleep(1000);
	return write(go[1], "x", 1) != 1;
}

/* Other threads join and free while the rule waits for the same children. */
static int exit_in_a_thread(void)
{
	pthread_t thread;

	atexit(say_after_rule);
	for (int i = 0; i < 20; i++) {
		pthread_create(&thread, NULL, join_and_free, brood_process_start(pass_on, NULL));
		pthread_detach(thread);
	}
	atexit(let_go);
	pthread_create(&thread, NULL, call_exit, NULL);
	return sleep_for_ever(NULL);
}

/* The other child ends only after the daemon, so the daemon must be terminated first. */
static void start_daemon_and_other(void)
{
	brood_process_start(wait_and_say, "child done\n");
	signal(SIGTERM, say_terminated);
	brood_process_start_opts(sleep_for_ever, NULL, &daemon_opts);
}

static int daemons_first(void)
{
	atexit(say_after_rule);
	start_daemon_and_other();
	return 5;
}

static int exit_3(void *unused)
{
	(void)unused;
	exit(3);
}

static int check_daemon(struct brood_process *daemon)
{
	return brood_process_join(daemon, brood_ms(10)) != -ETIMEDOUT;
}

/* Children that call exit() run the parent's handlers, but the parent's children are not theirs. */
static int not_in_a_child(void)
{
	struct brood_process *daemon = brood_process_start_opts(sleep_for_ever, NULL, &daemon_opts);
	int wrong = code_of_run(exit_3, NULL) != 3 || check_daemon(daemon);
	pid_t pid = fork();

	if (pid == 0)
		exit(0);
	waitpid(pid, NULL, 0);
	wrong |= check_daemon(daemon);
	pid = _Fork();		/* without fork handlers */
	if (pid == 0)
		exit(0);
	waitpid(pid, NULL, 0);
	return wrong | check_daemon(daemon) ? 1 : 5;
}

static int have_children(void *calls_exit)
{
	start_daemon_and_other();
	if (calls_exit)
		exit(4);
	return 4;
}

static int child_of(bool calls_exit)
{
	int code = code_of_run(have_children, calls_exit ? &go : NULL);

	say("after child\n");
	return code + 1;
}

static int nested_return(void)
{
	return child_of(false);
}

static int nested_exit(void)
{
	return child_of(true);
}

static int wait_for_test(void *unused)
{
	(void)unused;
	wait_for(RELEASE);
	say("goes on\n");
	return 0;
}

static void start_both(void)
{
	brood_process_start(wait_for_test, NULL);
	brood_process_start_opts(wait_for_test, NULL, &daemon_opts);
}

static int hard_exit(void)
{
	start_both();
	_exit(5);
}

static int hard_abort(void)
{
	start_both();
	abort();
}

static int hard_kill(void)
{
	start_both();
	return raise(SIGKILL);
}

static int hard_term(void)
{
	start_both();
	return raise(SIGTERM);
}

/* A fork of the user's own is not waited for. */
static int bare_fork(void)
{
	code_of_run(exit_3, NULL);
	if (fork() == 0)
		_exit(wait_for_test(NULL));
	return 5;
}

static int print_nested(void *depth)
{
	int deeper = *(int *)depth - 1;

	printf("%d", deeper);
	if (deeper)
		code_of_run(print_nested, &deeper);
	printf("%d", deeper);
	return 0;
}

/* All is buffered, as stdout is a pipe: nothing is written but by a flush. */
static int flush_once(void)
{
	FILE *other = fdopen(dup(STDOUT_FILENO), "w");
	int depth = 3;

	fprintf(other, "once ");
	code_of_run(print_nested, &depth);
	printf(" end\n");
	return 5;
}

static int only_the_function(void)
{
	int zero = 0;

	atexit(say_after_rule);
	brood_process_start(return_number, &zero);
	say("after start\n");
	return 5;
}

static int say_own_names(void *unused)
{
	struct brood_process *child = brood_process_start(exit_3, NULL);

	(void)unused;
	printf("%s ", brood_process_name(child));
	return 0;
}

static int names(void)
{
	for (int i = 0; i < 2; i++) {
		struct brood_process *child = brood_process_start(say_own_names, NULL);

		brood_process_join(child, BROOD_FOREVER);
		printf("%s ", brood_process_name(child));
	}
	return 5;
}

/* ---- running them ---- */

static const struct program {
	const char *name;
	int (*run)(void);
	const char *output;
	int status;		/* as of waitpid */
	int orphans;		/* that go on when it has ended, and then say so */
} programs[] = {
	{ "joined", joined, "let go\nchild done\nafter rule\n", 5 << 8, 0 },
	{ "exit_in_a_thread", exit_in_a_thread, "let go\nafter rule\n", 5 << 8, 0 },
	{ "daemons_first", daemons_first, "terminated\nchild done\nafter rule\n", 5 << 8, 0 },
	{ "not_in_a_child", not_in_a_child, "", 5 << 8, 0 },
	{ "nested_return", nested_return, "terminated\nchild done\nafter child\n", 5 << 8, 0 },
	{ "nested_exit", nested_exit, "terminated\nchild done\nafter child\n", 5 << 8, 0 },
	{ "hard_exit", hard_exit, "", 5 << 8, 2 },
	{ "hard_abort", hard_abort, "", SIGABRT, 2 },
	{ "hard_kill", hard_kill, "", SIGKILL, 2 },
	{ "hard_term", hard_term, "", SIGTERM, 2 },
	{ "bare_fork", bare_fork, "", 5 << 8, 1 },
	{ "flush_once", flush_once, "once 210012 end\n", 5 << 8, 0 },
	{ "only_the_function", only_the_function, "after start\nafter rule\n", 5 << 8, 0 },
	{ "names", names, "Process-1:1 Process-1 Process-2:1 Process-2 ", 5 << 8, 0 },
};

#define N_PROGRAMS (sizeof programs / sizeof programs[0])

static int run_named(const char *name)
{
	if (pipe(go))
		return 99;
	for (size_t i = 0; i < N_PROGRAMS; i++)
		if (!strcmp(programs[i].name, name))
			return programs[i].run();
	return 99;
}

static char own_path[4096];

static pid_t execute(const char *name, int output, int release)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	dup2(output, STDOUT_FILENO);
	dup2(release, RELEASE);
	execl(own_path, own_path, "--program", name, (char *)NULL);
	_exit(98);
}

/* What is in the pipe now. */
static void drain(int fd, char *text, size_t size)
{
	struct pollfd more = { .fd = fd, .events = POLLIN };
	size_t length = 0;

	while (length < size - 1 && poll(&more, 1, 0) > 0 && more.revents & POLLIN)
		length += (size_t)read(fd, text + length, size - 1 - length);
	text[length] = '\0';
}

static void let_orphans_end(int orphans, int output, int release)
{
	char text[64];
	int status;

	for (int i = 0; i < orphans; i++) {
		ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), 0);
		ck_assert_int_eq(write(release, "x", 1), 1);
		ck_assert_int_gt(waitpid(-1, &status, 0), 0);
		ck_assert_int_eq(status, 0);
		drain(output, text, sizeof text);
		ck_assert_str_eq(text, "goes on\n");
	}
}

START_TEST(program)
{
	const struct program *now = &programs[_i];
	int output[2], release[2], status = -1;
	char text[4096];
	pid_t pid;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ck_assert_int_eq(pipe(output) | pipe(release), 0);
	pid = execute(now->name, output[1], release[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	drain(output[0], text, sizeof text);
	ck_assert_str_eq(text, now->output);
	ck_assert_int_eq(status, now->status);
	let_orphans_end(now->orphans, output[0], release[1]);
	for (int i = 0; i < 2; i++) {
		close(output[i]);
		close(release[i]);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}
END_TEST

int main(int argc, char **argv)
{
	TCase *tests;

	if (argc == 3 && !strcmp(argv[1], "--program"))
		return run_named(argv[2]);
	if (readlink("/proc/self/exe", own_path, sizeof own_path - 1) < 0)
		return EXIT_FAILURE;
	tests = new_case("process_exit", begin_test);
	tcase_add_loop_test(tests, program, 0, N_PROGRAMS);
	return run_cases("process_exit", tests, NULL);
}
