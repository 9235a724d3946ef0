/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The launcher as its user sees it from the creator: every call, in every state of a child. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>

#include "test_process.h"

static int raise_signal(void *number)
{
	signal(*(int *)number, SIG_DFL);	/* sanitizers handle some */
	raise(*(int *)number);
	return 1;
}

START_TEST(exit_codes_are_8_bits)
{
	static int given[] = { 0, 1, 7, 255, 256, 300, -1, -256 };
	static const int told[] = { 0, 1, 7, 255, 0, 44, 255, 0 };

	ck_assert_int_eq(exit_code_of(return_number, &given[_i]), told[_i]);
}
END_TEST

START_TEST(signals_are_negative_codes)
{
	static int signals[] = { SIGKILL, SIGTERM, SIGABRT, SIGSEGV, SIGINT };

	ck_assert_int_eq(exit_code_of(raise_signal, &signals[_i]), -signals[_i]);
}
END_TEST

START_TEST(while_it_runs)
{
	struct brood_process *child = brood_process_start(sleep_for_ever, NULL);
	int code = 1234;

	ck_assert_ptr_nonnull(child);
	ck_assert_int_eq(brood_process_exit_code(child, &code), -EAGAIN);
	ck_assert_int_eq(code, 1234);
	ck_assert_int_eq(brood_process_is_alive(child), 1);
	ck_assert_int_eq(brood_process_join(child, 0), -EAGAIN);
	ck_assert_int_eq(brood_process_join(child, -5), -EAGAIN);
	ck_assert_int_eq(brood_process_join(child, brood_ms(-5)), -EAGAIN);
	ck_assert_int_eq(brood_process_join(child, brood_ms(5)), -ETIMEDOUT);
	ck_assert_int_eq(brood_process_join(child, brood_until(brood_now() - 1)), -ETIMEDOUT);
	ck_assert_int_eq(brood_process_join(child, brood_until(brood_now() + 1000000)), -ETIMEDOUT);
	ck_assert_int_eq(brood_process_free(child), -EBUSY);
	ck_assert_int_eq(brood_process_signal(child, 0), 0);
	ck_assert_int_eq(brood_process_is_alive(child), 1);
	kill_and_free(child);
}
END_TEST

START_TEST(after_its_end)
{
	int seven = 7;
	struct brood_process *child = brood_process_start(return_number, &seven);
	pid_t pid = brood_process_pid(child);

	for (int again = 0; again < 2; again++) {
		int code = 1234;

		ck_assert_int_eq(brood_process_join(child, BROOD_FOREVER), 0);
		ck_assert_int_eq(brood_process_join(child, 0), 0);
		ck_assert_int_eq(brood_process_exit_code(child, &code), 0);
		ck_assert_int_eq(code, 7);
		ck_assert_int_eq(brood_process_is_alive(child), 0);
		ck_assert_int_eq(brood_process_terminate(child), 0);
		ck_assert_int_eq(brood_process_kill(child), 0);
		ck_assert_int_eq(brood_process_signal(child, SIGUSR1), 0);
		ck_assert_int_eq(brood_process_pid(child), pid);
	}
	ck_assert_int_eq(brood_process_free(child), 0);
	ck_assert_int_eq(brood_process_free(NULL), 0);
}
END_TEST

/* Each question alone must see the end and reap. */
START_TEST(asking_reaps)
{
	int zero = 0, code = 1234;
	struct brood_process *child = brood_process_start(return_number, &zero);
	struct pollfd end = { .fd = brood_process_pidfd(child), .events = POLLIN };

	ck_assert_int_eq(poll(&end, 1, -1), 1);
	switch (_i) {
	case 0: ck_assert_int_eq(brood_process_is_alive(child), 0); break;
	case 1: ck_assert_int_eq(brood_process_exit_code(child, &code), 0); break;
	case 2: ck_assert_int_eq(brood_process_join(child, 0), 0); break;
	case 3: ck_assert_int_eq(brood_process_free(child), 0); break;
	}
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	if (_i != 3)
		ck_assert_int_eq(brood_process_free(child), 0);
}
END_TEST

START_TEST(nothing_to_ask)
{
	int code;

	ck_assert_int_eq(brood_process_join(NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_process_exit_code(NULL, &code), -EINVAL);
	ck_assert_int_eq(brood_process_is_alive(NULL), -EINVAL);
	ck_assert_int_eq(brood_process_terminate(NULL), -EINVAL);
	ck_assert_int_eq(brood_process_pidfd(NULL), -EINVAL);
	ck_assert_int_eq(brood_process_pid(NULL), -EINVAL);
	ck_assert_ptr_null(brood_process_name(NULL));
	ck_assert(!brood_process_is_daemon(NULL));
}
END_TEST

static volatile sig_atomic_t ticks;

static void tick(int signal)
{
	(void)signal;
	ticks++;
}

static void tick_every_ms(void)
{
	struct sigaction action = { .sa_handler = tick };	/* no SA_RESTART */
	struct itimerval ms = { { 0, 1000 }, { 0, 1000 } };

	ticks = 0;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &ms, NULL);
}

static int sleep_50_ms(void *unused)
{
	struct timespec time = { 0, 50000000 };

	(void)unused;
	while (nanosleep(&time, &time))
		;
	return 3;
}

START_TEST(signals_do_not_end_a_join)
{
	struct itimerval none = { 0 };
	struct brood_process *child = brood_process_start(sleep_for_ever, NULL);
	int64_t begin = brood_now();

	tick_every_ms();
	ck_assert_int_eq(brood_process_join(child, brood_ms(30)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 30000000);
	kill_and_free(child);
	ck_assert_int_eq(exit_code_of(sleep_50_ms, NULL), 3);
	setitimer(ITIMER_REAL, &none, NULL);
	ck_assert_int_ge(ticks, 10);
}
END_TEST

static int compare_pids(void *pids)
{
	pid_t *told = pids;

	return getppid() == *told && getpid() != *told;
}

START_TEST(the_child_is_a_process_of_its_own)
{
	pid_t parent = getpid();

	ck_assert_int_eq(exit_code_of(compare_pids, &parent), 1);
}
END_TEST

static int tell_pid(void *pipe)
{
	pid_t pid = getpid();

	return write(*(int *)pipe, &pid, sizeof pid) != sizeof pid;
}

START_TEST(pid_is_the_child_s)
{
	int fds[2];
	struct brood_process *child;
	pid_t told = 0;

	ck_assert_int_eq(pipe(fds), 0);
	child = brood_process_start(tell_pid, &fds[1]);
	ck_assert_int_eq(read(fds[0], &told, sizeof told), sizeof told);
	ck_assert_int_eq(brood_process_pid(child), told);
	ck_assert_int_eq(ending_of(child), 0);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(pidfd_is_readable_at_the_end)
{
	struct brood_process *child = brood_process_start(sleep_for_ever, NULL);
	struct pollfd end = { .fd = brood_process_pidfd(child), .events = POLLIN };
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, end.fd, &event), 0);
	ck_assert_int_ne(fcntl(end.fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(poll(&end, 1, 0), 0);
	ck_assert_int_eq(brood_process_terminate(child), 0);
	ck_assert_int_eq(poll(&end, 1, -1), 1);
	ck_assert_int_eq(epoll_wait(epoll, &event, 1, -1), 1);
	close(epoll);
	ck_assert_int_eq(ending_of(child), -SIGTERM);
}
END_TEST

static void exit_42(int signal)
{
	(void)signal;
	_exit(42);
}

START_TEST(handlers_are_inherited)
{
	struct brood_process *child;

	signal(SIGTERM, exit_42);
	child = brood_process_start(sleep_for_ever, NULL);
	ck_assert_int_eq(brood_process_terminate(child), 0);
	ck_assert_int_eq(ending_of(child), 42);

	signal(SIGTERM, SIG_IGN);
	child = brood_process_start(sleep_for_ever, NULL);
	signal(SIGTERM, SIG_DFL);
	ck_assert_int_eq(brood_process_terminate(child), 0);
	ck_assert_int_eq(brood_process_join(child, brood_ms(10)), -ETIMEDOUT);
	kill_and_free(child);
}
END_TEST

START_TEST(only_real_signals)
{
	struct brood_process *child = brood_process_start(sleep_for_ever, NULL);

	ck_assert_int_eq(brood_process_signal(child, -1), -EINVAL);
	ck_assert_int_eq(brood_process_signal(child, NSIG), -EINVAL);
	ck_assert_int_eq(brood_process_signal(child, SIGUSR2), 0);
	ck_assert_int_eq(ending_of(child), -SIGUSR2);
}
END_TEST

START_TEST(options)
{
	struct {
		struct brood_process_opts known;
		char later[16];
	} opts = { .known = { .opts_size = sizeof opts } };
	struct brood_process_opts *known = &opts.known;
	int five = 5;

	ck_assert_int_eq(ending_of(brood_process_start_opts(return_number, &five, NULL)), 5);
	ck_assert_int_eq(ending_of(brood_process_start_opts(return_number, &five, known)), 5);
	opts.later[15] = 1;
	ck_assert_ptr_null(brood_process_start_opts(return_number, &five, known));
	ck_assert_int_eq(errno, EINVAL);
	known->opts_size = 1;
	ck_assert_ptr_null(brood_process_start_opts(return_number, &five, known));
	ck_assert_int_eq(errno, EINVAL);
	known->opts_size = sizeof known->opts_size;
	known->name = (const char *)-1;		/* lies beyond what the caller says it knows */
	ck_assert_int_eq(ending_of(brood_process_start_opts(return_number, &five, known)), 5);
	errno = 0;
	ck_assert_ptr_null(brood_process_start(NULL, NULL));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

static int child_name_is(void *expected)
{
	int zero = 0;
	struct brood_process *child = brood_process_start(return_number, &zero);
	bool same = strcmp(brood_process_name(child), expected) == 0;

	brood_process_join(child, BROOD_FOREVER);
	return same;
}

START_TEST(names)
{
	char given[] = "reader", expected[64];
	struct brood_process_opts opts = { .name = given };
	struct brood_process *first = brood_process_start(sleep_for_ever, NULL);
	struct brood_process *named = brood_process_start_opts(sleep_for_ever, NULL, &opts);
	struct brood_process *third;
	unsigned int k;

	memset(given, 'x', 6);
	ck_assert_str_eq(brood_process_name(named), "reader");
	ck_assert_int_eq(sscanf(brood_process_name(first), "Process-%u", &k), 1);
	snprintf(expected, sizeof expected, "Process-%u:1", k + 2);
	third = brood_process_start(child_name_is, expected);	/* the named one counts, too */
	expected[strlen(expected) - 2] = '\0';
	ck_assert_str_eq(brood_process_name(third), expected);
	ck_assert_int_eq(ending_of(third), 1);
	kill_and_free(named);
	kill_and_free(first);
}
END_TEST

START_TEST(daemon_flag)
{
	struct brood_process_opts opts = { .daemon = true };
	struct brood_process *daemon = brood_process_start_opts(sleep_for_ever, NULL, &opts);
	struct brood_process *other = brood_process_start(sleep_for_ever, NULL);

	ck_assert(brood_process_is_daemon(daemon));
	ck_assert(!brood_process_is_daemon(other));
	kill_and_free(daemon);
	kill_and_free(other);
}
END_TEST

/* Bits of what went wrong when a process that is not the creator uses the handle. */
static int use_foreign(void *handle)
{
	struct brood_process *process = handle;
	int code = 1234, wrong = 0;

	wrong |= (brood_process_join(process, BROOD_FOREVER) != -ECHILD) << 0;
	wrong |= (brood_process_exit_code(process, &code) != -ECHILD || code != 1234) << 1;
	wrong |= (brood_process_is_alive(process) != -ECHILD) << 2;
	wrong |= (brood_process_terminate(process) != -ECHILD) << 3;
	wrong |= (brood_process_kill(process) != -ECHILD) << 4;
	wrong |= (brood_process_pidfd(process) != -ECHILD) << 5;
	wrong |= (brood_process_pid(process) <= 0 || !brood_process_is_daemon(process) ||
		  strcmp(brood_process_name(process), "mine")) << 6;
	return wrong | (brood_process_free(process) != 0) << 7;
}

START_TEST(a_handle_belongs_to_its_creator)
{
	struct brood_process_opts opts = { .name = "mine", .daemon = true };
	struct brood_process *mine = brood_process_start_opts(sleep_for_ever, NULL, &opts);
	int status = -1;
	pid_t pid;

	ck_assert_int_eq(exit_code_of(use_foreign, mine), 0);
	pid = fork();
	if (pid == 0)
		_exit(use_foreign(mine));
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(brood_process_is_alive(mine), 1);
	kill_and_free(mine);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("process", begin_test);

	tcase_add_loop_test(tests, exit_codes_are_8_bits, 0, 8);
	tcase_add_loop_test(tests, signals_are_negative_codes, 0, 5);
	tcase_add_test(tests, while_it_runs);
	tcase_add_test(tests, after_its_end);
	tcase_add_loop_test(tests, asking_reaps, 0, 4);
	tcase_add_test(tests, nothing_to_ask);
	tcase_add_test(tests, signals_do_not_end_a_join);
	tcase_add_test(tests, the_child_is_a_process_of_its_own);
	tcase_add_test(tests, pid_is_the_child_s);
	tcase_add_test(tests, pidfd_is_readable_at_the_end);
	tcase_add_test(tests, handlers_are_inherited);
	tcase_add_test(tests, only_real_signals);
	tcase_add_test(tests, options);
	tcase_add_test(tests, names);
	tcase_add_test(tests, daemon_flag);
	tcase_add_test(tests, a_handle_belongs_to_its_creator);
	return run_cases("process", tests, NULL);
}
