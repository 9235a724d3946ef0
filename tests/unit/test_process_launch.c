/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The launcher: handles before their launch, each option, several children at once, and what a
 * process knows of itself and its parent.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "test_process.h"

/* ---- construct, then start ---- */

START_TEST(constructed_nothing_runs_yet)
{
	struct brood_process *child = brood_process_create(sleep_for_ever, NULL, NULL);
	int code = 1234;

	ck_assert_ptr_nonnull(child);
	ck_assert_int_eq(brood_process_pid(child), 0);
	ck_assert_int_eq(brood_process_is_alive(child), 0);
	ck_assert_int_eq(brood_process_exit_code(child, &code), -EAGAIN);
	ck_assert_int_eq(code, 1234);
	ck_assert_int_eq(brood_process_join(child, 0), -EINVAL);
	ck_assert_int_eq(brood_process_join(child, BROOD_FOREVER), -EINVAL);
	ck_assert_int_eq(brood_process_join_all(&child, 1, BROOD_FOREVER), -EINVAL);
	ck_assert_int_eq(brood_process_pidfd(child), -EINVAL);
	ck_assert_int_eq(brood_process_terminate(child), -EINVAL);
	ck_assert_int_eq(brood_process_kill_tree(child, SIGKILL), -EINVAL);
	ck_assert_ptr_nonnull(brood_process_name(child));
	ck_assert_uint_eq(brood_active_children(NULL, 0), 0);
	ck_assert_int_eq(brood_process_free(child), 0);
}
END_TEST

START_TEST(start_once_only)
{
	int seven = 7;
	struct brood_process *child = brood_process_create(return_number, &seven, NULL);

	ck_assert_int_eq(brood_process_launch(NULL), -EINVAL);
	ck_assert_int_eq(brood_process_launch(child), 0);
	ck_assert_int_gt(brood_process_pid(child), 0);
	ck_assert_int_eq(brood_process_launch(child), -EALREADY);
	ck_assert_int_eq(brood_process_join(child, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_process_launch(child), -EALREADY);
	ck_assert_int_eq(ending_of(child), 7);
}
END_TEST

static int launch_foreign(void *handle)
{
	int wrong = brood_process_launch(handle) != -ECHILD;

	wrong |= (brood_process_is_alive(handle) != -ECHILD) << 1;
	wrong |= (brood_process_join(handle, 0) != -ECHILD) << 2;
	return wrong | (brood_process_free(handle) != 0) << 3;
}

START_TEST(start_only_by_the_creator)
{
	int seven = 7;
	struct brood_process *child = brood_process_create(return_number, &seven, NULL);

	ck_assert_int_eq(exit_code_of(launch_foreign, child), 0);
	ck_assert_int_eq(brood_process_launch(child), 0);
	ck_assert_int_eq(ending_of(child), 7);
}
END_TEST

static void *launch_it(void *child)
{
	return (void *)(intptr_t)brood_process_launch(child);
}

START_TEST(start_by_one_of_many_threads)
{
	for (int round = 0; round < 20; round++) {
		struct brood_process *child = brood_process_create(sleep_for_ever, NULL, NULL);
		pthread_t threads[4];
		int launched = 0;

		for (int i = 0; i < 4; i++)
			pthread_create(&threads[i], NULL, launch_it, child);
		for (int i = 0; i < 4; i++) {
			void *result;

			pthread_join(threads[i], &result);
			ck_assert((intptr_t)result == 0 || (intptr_t)result == -EALREADY);
			launched += result == NULL;
		}
		ck_assert_int_eq(launched, 1);
		kill_and_free(child);
	}
}
END_TEST

START_TEST(a_failed_start_can_be_repeated)
{
	int five = 5;
	struct brood_process *child = brood_process_create(return_number, &five, NULL);
	struct rlimit before, few;

	getrlimit(RLIMIT_NOFILE, &before);
	few = (struct rlimit){ 3, before.rlim_max };
	setrlimit(RLIMIT_NOFILE, &few);
	ck_assert_int_eq(brood_process_launch(child), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &before);
	ck_assert_int_eq(brood_process_is_alive(child), 0);
	ck_assert_int_eq(brood_process_launch(child), 0);
	ck_assert_int_eq(ending_of(child), 5);
}
END_TEST

/* ---- options ---- */

struct big {
	char text[5000];
	int last;
};

static int check_copy(void *copy)
{
	struct big *big = copy;

	if ((uintptr_t)big % 16 || strcmp(big->text, "as it was") || big->last != 77)
		return 1;
	memset(big, 0, sizeof *big); /* it is ours */
	return 0;
}

START_TEST(copied_argument)
{
	struct brood_process_opts opts = { .copy = sizeof(struct big), .method = (unsigned int)_i };
	struct big *big = calloc(1, sizeof *big);
	struct brood_process *child;

	strcpy(big->text, "as it was");
	big->last = 77;
	child = brood_process_create(check_copy, big, &opts);
	memset(big, 'x', sizeof *big);
	free(big);
	ck_assert_int_eq(brood_process_launch(child), 0);
	ck_assert_int_eq(ending_of(child), 0);
	brood_zygote_stop();
}
END_TEST

static int wait_in_own_group(void *unused)
{
	(void)unused;
	return getpgrp() == getpid() ? sleep_for_ever(NULL) : 1;
}

START_TEST(own_group)
{
	struct brood_process_opts opts = { .own_group = true, .method = (unsigned int)_i };
	struct brood_process *child = brood_process_start_opts(wait_in_own_group, NULL, &opts);

	ck_assert_ptr_nonnull(child);
	ck_assert_int_eq(getpgid(brood_process_pid(child)), brood_process_pid(child));
	ck_assert_int_eq(kill(-brood_process_pid(child), SIGUSR1), 0);
	ck_assert_int_eq(ending_of(child), -SIGUSR1);
	brood_zygote_stop();
}
END_TEST

static int return_nice(void *unused)
{
	(void)unused;
	return getpriority(PRIO_PROCESS, 0);
}

START_TEST(nice_value)
{
	int now = getpriority(PRIO_PROCESS, 0);
	struct brood_process_opts opts = { .nice = 3, .method = (unsigned int)_i };

	ck_assert_int_eq(ending_of(brood_process_start_opts(return_nice, NULL, &opts)), now + 3);
	ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), now);
	brood_zygote_stop();
}
END_TEST

/* Root may do anything, so be nobody. */
static int start_less_nice(void *ran)
{
	struct brood_process_opts opts = { .nice = -1 };
	struct rlimit none = { 0, 0 };

	if ((geteuid() == 0 && setuid(65534)) || setrlimit(RLIMIT_NICE, &none))
		return 77;
	errno = 0;
	if (brood_process_start_opts(tick_off, ran, &opts))
		return 1;
	if (waitpid(-1, NULL, 0) >= 0)
		return 2;
	return errno == ECHILD ? 0 : 3;
}

static int start_less_nice_errno(void *unused)
{
	struct brood_process_opts opts = { .nice = -1 };
	struct rlimit none = { 0, 0 };

	(void)unused;
	if ((geteuid() == 0 && setuid(65534)) || setrlimit(RLIMIT_NICE, &none))
		return 77;
	errno = 0;
	brood_process_start_opts(sleep_for_ever, NULL, &opts);
	return errno;
}

START_TEST(what_is_not_allowed_fails_the_start)
{
	int *ran = shared(sizeof(int));
	int code = exit_code_of(start_less_nice, ran);

	ck_assert_msg(code == 0 || code == 77, "%d", code);
	ck_assert_int_eq(*ran, 0);
	code = exit_code_of(start_less_nice_errno, NULL);
	ck_assert_msg(code == EPERM || code == EACCES || code == 77, "%d", code);
	munmap(ran, sizeof *ran);
}
END_TEST

static int return_cpu(void *unused)
{
	cpu_set_t set;

	(void)unused;
	if (sched_getaffinity(0, sizeof set, &set) || CPU_COUNT(&set) != 1)
		return 255;
	for (unsigned int cpu = 0; cpu < 255; cpu++)
		if (CPU_ISSET(cpu, &set))
			return (int)cpu;
	return 255;
}

START_TEST(affinity)
{
	struct brood_process_opts opts = { .cpus_count = 1, .method = (unsigned int)_i };
	cpu_set_t before, after;

	ck_assert_int_eq(sched_getaffinity(0, sizeof before, &before), 0);
	for (unsigned int cpu = 0; cpu < 255; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		opts.cpus = &cpu;
		ck_assert_uint_eq(
			(unsigned int)ending_of(brood_process_start_opts(return_cpu, NULL, &opts)),
			cpu);
	}
	sched_getaffinity(0, sizeof after, &after);
	ck_assert(CPU_EQUAL(&before, &after));
	brood_zygote_stop();
}
END_TEST

START_TEST(no_such_cpu_fails_the_start)
{
	unsigned int absent = 8000;
	int *ran = shared(sizeof(int));
	struct brood_process_opts opts = {
		.cpus = &absent,
		.cpus_count = 1,
		.method = (unsigned int)_i,
	};

	errno = 0;
	ck_assert_ptr_null(brood_process_start_opts(tick_off, ran, &opts));
	ck_assert_int_eq(errno, EINVAL);
	brood_zygote_stop();
	ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
	ck_assert_int_eq(*ran, 0);
	munmap(ran, sizeof *ran);
}
END_TEST

START_TEST(options_that_make_no_sense)
{
	unsigned int none = 1u << 20;
	const struct brood_process_opts wrong[] = {
		{ .copy = 1 },
		{ .copy = SIZE_MAX },
		{ .cpus_count = 1 },
		{ .method = 2 },
		{ .cpus = &none, .cpus_count = 1 },
		{ .cpus = &none, .cpus_count = SIZE_MAX },
	};

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		void *argument = wrong[i].copy == 1 ? NULL : &none;

		errno = 0;
		ck_assert_ptr_null(brood_process_start_opts(sleep_for_ever, argument, &wrong[i]));
		ck_assert_int_eq(errno, EINVAL);
		ck_assert_ptr_null(brood_process_create(sleep_for_ever, argument, &wrong[i]));
	}
}
END_TEST

static void nothing(int signal)
{
	(void)signal;
}

static bool is_default(int number)
{
	struct sigaction now;

	return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

static int look_at_signals(void *wanted)
{
	const char *is = wanted; /* of SIGTERM: 'd'efault or 'h'andled; SIGINT ignored; blocked */
	struct sigaction action;
	sigset_t mask;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigaction(SIGINT, NULL, &action);
	return (is_default(SIGTERM) != (is[0] == 'd')) << 0 |
	       ((action.sa_handler == SIG_IGN) != (is[1] == 'i')) << 1 |
	       ((sigismember(&mask, SIGUSR2) == 1) != (is[2] == 'b')) << 2 |
	       (sigismember(&mask, SIGUSR1) == 1) << 3;
}

static const struct {
	struct brood_process_opts opts;
	char wanted[4];
} signal_cases[] = {
	{ { 0 }, "h.b" },
	{ { .reset_signals = true }, "d.." },
	{ { .ignore_sigint = true }, "hib" },
	{ { .reset_signals = true, .ignore_sigint = true }, "di." },
};

/* By both methods. The zygote is forked when the handler is there; the mask is the starter's. */
START_TEST(signals_reset_and_ignored)
{
	struct brood_process_opts opts = signal_cases[_i / 2].opts;
	sigset_t some, before, after;

	signal(SIGTERM, nothing);
	opts.method = (unsigned int)_i % 2;
	if (opts.method == BROOD_START_ZYGOTE)
		ck_assert_int_eq(brood_zygote_start(), 0);
	sigemptyset(&some);
	sigaddset(&some, SIGUSR2);
	sigprocmask(SIG_BLOCK, &some, NULL);
	sigprocmask(SIG_BLOCK, NULL, &before);
	opts.copy = 4;
	ck_assert_int_eq(
		ending_of(brood_process_start_opts(
			look_at_signals, (void *)(uintptr_t)signal_cases[_i / 2].wanted, &opts)),
		0);
	sigprocmask(SIG_BLOCK, NULL, &after);
	for (int number = 1; number < NSIG; number++)
		ck_assert_int_eq(sigismember(&before, number), sigismember(&after, number));
	sigprocmask(SIG_UNBLOCK, &some, NULL);
	signal(SIGTERM, SIG_DFL);
	brood_zygote_stop();
}
END_TEST

static volatile sig_atomic_t handled;

static void count(int signal)
{
	(void)signal;
	handled++;
}

static void interrupt_self(void)
{
	raise(SIGINT); /* between the fork and what the child does first */
}

static int return_handled(void *unused)
{
	(void)unused;
	return handled;
}

static void (*in_child)(void);

static void call_in_child(void)
{
	if (in_child)
		in_child();
}

/* Ctrl-C at the worst moment: with the option the parent's handler does not run in the child. */
START_TEST(no_handler_of_the_parent_runs_in_the_child)
{
	struct brood_process_opts opts = { .ignore_sigint = _i };
	int code;

	signal(SIGINT, count);
	handled = 0;
	in_child = interrupt_self;
	code = ending_of(brood_process_start_opts(return_handled, NULL, &opts));
	in_child = NULL;
	signal(SIGINT, SIG_DFL);
	ck_assert_int_eq(code, !_i);
}
END_TEST

/* ---- several ---- */

START_TEST(active_children_reaps_and_lists)
{
	int zero = 0;
	struct brood_process *list[4] = { NULL };
	struct brood_process *ended = brood_process_start(return_number, &zero);
	struct brood_process *first = brood_process_start(sleep_for_ever, NULL);
	struct brood_process *second = brood_process_start(sleep_for_ever, NULL);
	struct brood_process *fresh = brood_process_create(return_number, &zero, NULL);
	struct pollfd end = { .fd = brood_process_pidfd(ended), .events = POLLIN };

	ck_assert_int_eq(poll(&end, 1, -1), 1);
	ck_assert_uint_eq(brood_active_children(list, 1), 2);
	ck_assert_ptr_eq(list[0], first);
	ck_assert_ptr_null(list[1]);
	ck_assert_int_eq(waitpid(brood_process_pid(ended), NULL, WNOHANG), -1);
	ck_assert_uint_eq(brood_active_children(list, 4), 2);
	ck_assert_ptr_eq(list[1], second);
	kill_and_free(first);
	ck_assert_uint_eq(brood_active_children(list, 4), 1);
	kill_and_free(second);
	ck_assert_uint_eq(brood_active_children(list, 4), 0);
	ck_assert_int_eq(ending_of(ended), 0);
	ck_assert_int_eq(brood_process_free(fresh), 0);
}
END_TEST

static int count_children(void *unused)
{
	(void)unused;
	return (int)brood_active_children(NULL, 0);
}

START_TEST(active_children_are_the_caller_s)
{
	struct brood_process *mine = brood_process_start(sleep_for_ever, NULL);

	ck_assert_int_eq(exit_code_of(count_children, NULL), 0);
	ck_assert_uint_eq(brood_active_children(NULL, 0), 1);
	kill_and_free(mine);
}
END_TEST

START_TEST(join_of_many)
{
	struct brood_process *all[8];
	int64_t begin;

	for (int i = 0; i < 8; i++)
		all[i] = brood_process_start(i % 2 ? sleep_for_ever : return_number, &i);
	for (int i = 0; i < 8; i += 2)
		ck_assert_int_eq(brood_process_join(all[i], BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_process_join_all(all, 8, 0), -EAGAIN);
	begin = brood_now();
	ck_assert_int_eq(brood_process_join_all(all, 8, brood_ms(30)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 30000000);
	ck_assert_int_lt(brood_now() - begin, 4 * 30000000); /* not for each of the four */
	for (int i = 1; i < 8; i += 2)
		brood_process_kill(all[i]);
	ck_assert_int_eq(brood_process_join_all(all, 8, BROOD_FOREVER), 0);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(brood_process_join_all(all, 8, 0), 0);
	ck_assert_int_eq(brood_process_join_all(NULL, 0, BROOD_FOREVER), 0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(ending_of(all[i]), i % 2 ? -SIGKILL : i);
	all[0] = NULL;
	ck_assert_int_eq(brood_process_join_all(all, 1, BROOD_FOREVER), -EINVAL);
}
END_TEST

/* ---- current and parent ---- */

START_TEST(current_process_of_main)
{
	struct brood_process *me = brood_process_current();
	int code = 1234;

	ck_assert_str_eq(brood_process_name(me), "MainProcess");
	ck_assert_int_eq(brood_process_pid(me), getpid());
	ck_assert_int_eq(brood_process_is_alive(me), 1);
	ck_assert_int_eq(brood_process_exit_code(me, &code), -EAGAIN);
	ck_assert_int_eq(brood_process_join(me, BROOD_FOREVER), -ECHILD);
	ck_assert_int_eq(brood_process_launch(me), -ECHILD);
	ck_assert_int_eq(brood_process_kill(me), -ECHILD);
	ck_assert_int_eq(brood_process_kill_tree(me, SIGKILL), -ECHILD);
	ck_assert_int_eq(brood_process_pidfd(me), -ECHILD);
	ck_assert_int_eq(brood_process_free(me), -EBUSY);
	ck_assert(!brood_process_is_daemon(me));
	ck_assert_ptr_null(brood_process_parent());
}
END_TEST

struct expected {
	pid_t parent;
	const char *name, *parent_name;
};

static int look_at_kin(void *argument)
{
	const struct expected *expected = argument;
	struct brood_process *me = brood_process_current(), *parent = brood_process_parent();
	int code, wrong = 0;

	wrong |= (strcmp(brood_process_name(me), expected->name) != 0) << 0;
	wrong |= (brood_process_pid(me) != getpid() || brood_process_is_alive(me) != 1 ||
		  brood_process_exit_code(me, &code) != -EAGAIN ||
		  brood_process_join(me, 0) != -ECHILD || !brood_process_is_daemon(me))
		 << 1;
	wrong |= (strcmp(brood_process_name(parent), expected->parent_name) != 0) << 2;
	wrong |= (brood_process_pid(parent) != expected->parent) << 3;
	wrong |= (brood_process_is_alive(parent) != 1 ||
		  brood_process_join(parent, brood_ms(5)) != -ETIMEDOUT ||
		  brood_process_join(parent, 0) != -EAGAIN)
		 << 4;
	wrong |= (brood_process_exit_code(parent, &code) != -ECHILD ||
		  brood_process_terminate(parent) != -ECHILD ||
		  brood_process_pidfd(parent) != -ECHILD || brood_process_launch(parent) != -ECHILD)
		 << 5;
	wrong |= (brood_process_free(parent) != -EBUSY || brood_process_free(me) != -EBUSY) << 6;
	return wrong;
}

START_TEST(current_and_parent_process_of_a_child)
{
	struct expected expected = { getpid(), "inner", "MainProcess" };
	struct brood_process_opts opts = { .name = "inner",
					   .daemon = true,
					   .method = (unsigned int)_i };

	opts.copy = sizeof expected;
	ck_assert_int_eq(ending_of(brood_process_start_opts(look_at_kin, &expected, &opts)), 0);
	brood_zygote_stop();
}
END_TEST

static int fork_and_look(void *unused)
{
	struct brood_process *parent = brood_process_parent();
	int status, wrong = brood_process_is_alive(parent) != 1;
	pid_t pid = fork();

	(void)unused;
	if (pid == 0)
		_exit(brood_process_is_alive(parent) != -ECHILD ||
		      brood_process_join(parent, 0) != -ECHILD ||
		      brood_process_pid(brood_process_current()) != getpid());
	waitpid(pid, &status, 0);
	return wrong || status;
}

START_TEST(parent_process_in_a_fork_of_a_child)
{
	ck_assert_int_eq(exit_code_of(fork_and_look, NULL), 0);
}
END_TEST

static int outlive(void *pipe)
{
	struct brood_process *parent = brood_process_parent();
	char byte = (char)(brood_process_is_alive(parent) == 1);

	byte &= write(((int *)pipe)[1], "x", 1) == 1;
	byte &= brood_process_join(parent, BROOD_FOREVER) == 0;
	byte &= brood_process_is_alive(parent) == 0;
	return write(((int *)pipe)[3], &byte, 1) != 1;
}

static int start_and_be_killed(void *pipe)
{
	char byte;

	brood_process_start(outlive, pipe);
	return read(((int *)pipe)[0], &byte, 1) == 1 ? raise(SIGKILL) : 1;
}

START_TEST(parent_process_is_joined)
{
	int fds[4];
	char right = 0;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ck_assert_int_eq(pipe(fds) | pipe(fds + 2), 0);
	ck_assert_int_eq(exit_code_of(start_and_be_killed, fds), -SIGKILL);
	ck_assert_int_eq(read(fds[2], &right, 1), 1);
	ck_assert_int_eq(right, 1);
	ck_assert_int_gt(waitpid(-1, NULL, 0), 0);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}
END_TEST

static int is_daemon_child(void *unused)
{
	struct brood_process *child = brood_process_start(sleep_for_ever, NULL);
	bool inherited = brood_process_is_daemon(child);

	(void)unused;
	brood_process_kill(child);
	brood_process_join(child, BROOD_FOREVER);
	return inherited;
}

static int compare_authkey(void *parents)
{
	unsigned char key[BROOD_AUTHKEY_MAX];

	return brood_authkey_get(key, sizeof key) == 32 && memcmp(key, parents, 32) == 0 ? 0 : 1;
}

static int other_authkey(void *unused)
{
	char key[BROOD_AUTHKEY_MAX];

	(void)unused;
	return brood_authkey_get(key, sizeof key) == 5 && memcmp(key, "other", 5) == 0 ? 0 : 1;
}

static int code_of(int (*function)(void *), void *argument)
{
	struct brood_process *child = brood_process_start(function, argument);
	int code = -1;

	ck_assert_int_eq(brood_process_join(child, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_process_exit_code(child, &code), 0);
	brood_process_free(child);
	return code;
}

START_TEST(authkey_is_random_inherited_and_settable)
{
	unsigned char key[BROOD_AUTHKEY_MAX] = { 0 }, zero[32] = { 0 };

	ck_assert_int_eq(brood_authkey_get(key, sizeof key), 32);
	ck_assert_int_ne(memcmp(key, zero, 32), 0);
	ck_assert_int_ne(memcmp(key, key + 8, 8), 0);
	ck_assert_int_eq(brood_authkey_get(key, 31), -EMSGSIZE);
	ck_assert_int_eq(brood_authkey_get(NULL, 32), -EINVAL);
	ck_assert_int_eq(code_of(compare_authkey, key), 0);
	ck_assert_int_eq(brood_authkey_set(key, 0), -EINVAL);
	ck_assert_int_eq(brood_authkey_set(key, BROOD_AUTHKEY_MAX + 1), -EINVAL);
	ck_assert_int_eq(brood_authkey_set(NULL, 5), -EINVAL);
	ck_assert_int_eq(brood_authkey_set("other", 5), 0);
	ck_assert_int_eq(code_of(other_authkey, NULL), 0);
}
END_TEST

/* Cancelled in the middle it would leave the child at its gate, and the exit rule waiting for that. */
static void *start_cancelled(void *process)
{
	static int seven = 7;

	pthread_cancel(pthread_self());
	*(struct brood_process **)process = brood_process_start(return_number, &seven);
	pthread_testcancel();
	return process;
}

START_TEST(start_is_no_cancellation_point)
{
	struct brood_process *process = NULL;
	pthread_t thread;
	void *returned;

	ck_assert_int_eq(pthread_create(&thread, NULL, start_cancelled, &process), 0);
	ck_assert_int_eq(pthread_join(thread, &returned), 0);
	ck_assert_ptr_eq(returned, PTHREAD_CANCELED);
	ck_assert_int_eq(ending_of(process), 7);
}
END_TEST

START_TEST(daemon_flag_is_inherited)
{
	struct brood_process_opts opts = { .daemon = _i };

	ck_assert_int_eq(ending_of(brood_process_start_opts(is_daemon_child, NULL, &opts)), _i);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("process_launch", begin_test);

	pthread_atfork(NULL, NULL, call_in_child);
	tcase_add_test(tests, constructed_nothing_runs_yet);
	tcase_add_test(tests, start_once_only);
	tcase_add_test(tests, start_only_by_the_creator);
	tcase_add_test(tests, start_by_one_of_many_threads);
	tcase_add_test(tests, a_failed_start_can_be_repeated);
	tcase_add_loop_test(tests, copied_argument, 0, 2);
	tcase_add_loop_test(tests, own_group, 0, 2);
	tcase_add_loop_test(tests, nice_value, 0, 2);
	tcase_add_test(tests, what_is_not_allowed_fails_the_start);
	tcase_add_loop_test(tests, affinity, 0, 2);
	tcase_add_loop_test(tests, no_such_cpu_fails_the_start, 0, 2);
	tcase_add_test(tests, options_that_make_no_sense);
	tcase_add_loop_test(tests, signals_reset_and_ignored, 0, 8);
	tcase_add_loop_test(tests, no_handler_of_the_parent_runs_in_the_child, 0, 2);
	tcase_add_test(tests, active_children_reaps_and_lists);
	tcase_add_test(tests, active_children_are_the_caller_s);
	tcase_add_test(tests, join_of_many);
	tcase_add_test(tests, current_process_of_main);
	tcase_add_loop_test(tests, current_and_parent_process_of_a_child, 0, 2);
	tcase_add_test(tests, parent_process_in_a_fork_of_a_child);
	tcase_add_test(tests, parent_process_is_joined);
	tcase_add_test(tests, authkey_is_random_inherited_and_settable);
	tcase_add_test(tests, start_is_no_cancellation_point);
	tcase_add_loop_test(tests, daemon_flag_is_inherited, 0, 2);
	return run_cases("process_launch", tests, NULL);
}
