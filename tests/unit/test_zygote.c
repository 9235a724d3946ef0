/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The zygote: children that it starts are like forked ones; it is killed, at rest and while it
 * serves; it holds nothing; it ends with the program.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "test_process.h"

static int zero; /* as it was when the zygote was forked */
static const struct brood_process_opts by_zygote = { .method = BROOD_START_ZYGOTE };

static struct brood_process *start_by_it(int (*function)(void *), void *argument)
{
	struct brood_process *child = brood_process_start_opts(function, argument, &by_zygote);

	ck_assert_msg(child != NULL, "%s", brood_strerror(errno));
	return child;
}

static int start_and_end(int (*function)(void *), void *argument)
{
	return ending_of(start_by_it(function, argument));
}

static void begin(void)
{
	begin_test();
	ck_assert_int_eq(brood_zygote_start(), 0);
}

static void end(void)
{
	ck_assert_int_eq(brood_zygote_stop(), 0);
	ck_assert_int_eq(brood_zygote_stop(), 0);
}

/* The only child in the list that is none of ours. */
static pid_t zygote(void)
{
	FILE *file = fopen("/proc/thread-self/children", "re");
	int pid = 0;

	ck_assert_int_eq(fscanf(file, "%d", &pid), 1);
	fclose(file);
	return pid;
}

static void kill_zygote(void)
{
	pid_t pid = zygote();
	siginfo_t info;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

struct seen {
	pid_t pid, parent, thread;
};

static int look(void *queue)
{
	struct seen seen = { getpid(), getppid(), gettid() };

	return brood_queue_put(queue, &seen, sizeof seen, 0);
}

/* The C library's own idea of the thread, which locks that check their owner rest on. */
static int use_threads(void *unused)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t mutex;
	pthread_t thread;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&mutex, &attr);
	if (pthread_mutex_lock(&mutex) || pthread_mutex_lock(&mutex) != EDEADLK ||
	    pthread_mutex_unlock(&mutex) || pthread_kill(pthread_self(), 0))
		return 1;
	if (pthread_create(&thread, NULL, (void *(*)(void *))(void (*)(void))look, unused) ||
	    pthread_join(thread, NULL))
		return 2;
	return raise(SIGUSR1) ? 3 : 4;
}

START_TEST(a_child_is_the_program_s_own)
{
	struct brood_queue_opts opts = { .slots = 4, .max_bytes = sizeof(struct seen) };
	struct brood_queue *queue = brood_queue_create(&opts); /* after the zygote */
	struct brood_process *child = start_by_it(look, queue);
	pid_t pid = brood_process_pid(child);
	struct seen seen;

	ck_assert_int_eq(ending_of(child), 0);
	ck_assert_int_eq(brood_queue_get(queue, &seen, sizeof seen, 0), sizeof seen);
	ck_assert_int_eq(seen.pid, pid);
	ck_assert_int_eq(seen.thread, pid);
	ck_assert_int_eq(seen.parent, getpid());
	ck_assert_int_eq(start_and_end(use_threads, queue), -SIGUSR1);
	brood_queue_destroy(queue);
}
END_TEST

START_TEST(it_ends_as_after_a_fork)
{
	int code = 1, seven = 7;
	struct brood_process_opts opts = by_zygote;
	struct brood_process *child = start_by_it(sleep_for_ever, NULL);
	struct pollfd ended = { .fd = brood_process_pidfd(child), .events = POLLIN };

	ck_assert_int_eq(brood_zygote_start(), -EALREADY);
	ck_assert_uint_eq(brood_active_children(NULL, 0), 1); /* the zygote is none */
	ck_assert_int_eq(brood_process_is_alive(child), 1);
	ck_assert_int_eq(brood_process_join(child, brood_ms(5)), -ETIMEDOUT);
	ck_assert_int_eq(brood_process_terminate(child), 0);
	ck_assert_int_eq(poll(&ended, 1, -1), 1);
	ck_assert_int_eq(brood_process_exit_code(child, &code), 0);
	ck_assert_int_eq(code, -SIGTERM);
	ck_assert_int_eq(ending_of(child), -SIGTERM);
	opts.copy = sizeof seven;
	ck_assert_int_eq(ending_of(brood_process_start_opts(return_number, &seven, &opts)), 7);
}
END_TEST

static int hold_lock_and_die(void *lock)
{
	return brood_lock_acquire(lock, BROOD_FOREVER) ? 1 : raise(SIGKILL);
}

static int hold_mutex_and_die(void *mutex)
{
	return pthread_mutex_lock(mutex) ? 1 : raise(SIGKILL);
}

/* The C library's robust mutexes hold what it believes to be the thread's id. */
START_TEST(the_c_library_s_locks_know_its_thread)
{
	pthread_mutex_t *mutex = brood_alloc(NULL, sizeof *mutex);
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(mutex, &attr);
	ck_assert_int_eq(start_and_end(hold_mutex_and_die, mutex), -SIGKILL);
	ck_assert_int_eq(pthread_mutex_trylock(mutex), EOWNERDEAD);
	pthread_mutex_consistent(mutex);
	pthread_mutex_unlock(mutex);
	brood_free(NULL, mutex);
}
END_TEST

/* Its robust list is registered: the kernel tells its death. */
START_TEST(its_death_is_told)
{
	struct brood_lock *lock = brood_alloc(NULL, sizeof *lock);

	ck_assert_int_eq(start_and_end(hold_lock_and_die, lock), -SIGKILL);
	ck_assert_int_eq(brood_lock_acquire(lock, brood_ms(5000)), -EOWNERDEAD);
	ck_assert_int_eq(brood_lock_release(lock), 0);
	brood_free(NULL, lock);
}
END_TEST

static int return_fds(void *unused)
{
	(void)unused;
	return count_fds();
}

/* Neither the zygote nor its children hold what the program had open; theirs is nobody's. */
START_TEST(it_holds_no_descriptor)
{
	int fds[2], before = start_and_end(return_fds, NULL);
	struct brood_process *child;
	char byte;

	brood_zygote_stop();
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(brood_zygote_start(), 0);
	child = start_by_it(sleep_for_ever, NULL);
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	ck_assert_int_eq(start_and_end(return_fds, NULL), before);
	kill_and_free(child);
}
END_TEST

static void *start_some(void *unused)
{
	for (int i = 0; i < 40; i++) {
		struct brood_process_opts opts = { .method = BROOD_START_ZYGOTE, .copy = sizeof i };
		struct brood_process *child = brood_process_start_opts(return_number, &i, &opts);
		int code = -1;

		if (!child || brood_process_join(child, BROOD_FOREVER) ||
		    brood_process_exit_code(child, &code) || code != i || brood_process_free(child))
			return (void *)1;
	}
	return unused;
}

START_TEST(from_many_threads)
{
	pthread_t threads[4];
	void *result;

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, start_some, NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &result);
		ck_assert_ptr_null(result);
	}
}
END_TEST

static void *wait_here(void *unused)
{
	pause();
	return unused;
}

static int start_zygote_with_threads(void *unused)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_here, unused) || brood_zygote_start() != -EBUSY)
		return 1;
	errno = 0;
	if (brood_process_start_opts(return_number, &zero, &by_zygote) || errno != EBUSY)
		return 2;
	return waitpid(-1, NULL, 0) >= 0;
}

START_TEST(not_from_a_program_with_threads)
{
	ck_assert_int_eq(exit_code_of(start_zygote_with_threads, NULL), 0);
}
END_TEST

static int start_by_own(void *number)
{
	int code = -1;
	struct brood_process *child = brood_process_start_opts(return_number, number, &by_zygote);

	if (!child || brood_process_join(child, BROOD_FOREVER))
		return 99;
	brood_process_exit_code(child, &code);
	return code;
}

/* A child has no zygote, but may make one, which ends with it. */
START_TEST(a_child_makes_its_own)
{
	static int eight = 8;

	ck_assert_int_eq(exit_code_of(start_by_own, &eight), 8);
	eight = 9; /* after the zygote was forked, which has not seen it */
	ck_assert_int_eq(start_and_end(return_number, &eight), 8);
}
END_TEST

/* Ctrl-C, and all else but SIGKILL, is not for the zygote. */
START_TEST(it_survives_signals)
{
	pid_t before = zygote();

	ck_assert_int_eq(kill(before, SIGINT), 0);
	ck_assert_int_eq(kill(before, SIGTERM), 0);
	ck_assert_int_eq(kill(before, SIGHUP), 0);
	ck_assert_int_eq(start_and_end(return_number, &zero), 0);
	ck_assert_int_eq(zygote(), before);
}
END_TEST

static void *start_one(void *unused)
{
	return start_and_end(return_number, &zero) ? (void *)1 : unused;
}

/* From one thread, and from another one. */
START_TEST(killed_it_is_restarted)
{
	pid_t before = zygote();
	pthread_t thread;
	void *result = NULL;

	kill_zygote();
	if (_i) {
		pthread_create(&thread, NULL, start_one, NULL);
		pthread_join(thread, &result);
	} else {
		result = start_one(NULL);
	}
	ck_assert_ptr_null(result);
	if (!_i)
		ck_assert_int_ne(zygote(), before);
	ck_assert_int_eq(waitpid(before, NULL, WNOHANG), -1);
}
END_TEST

static _Atomic bool stop_killing;
static pid_t killed_for; /* the thread whose zygote it is */
static unsigned int pace_us; /* as long as a start takes that needs a new zygote */

/* The first child of the list is the oldest: the zygote. */
static void *kill_zygotes(void *unused)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/task/%d/children", killed_for);
	for (unsigned int i = 0; !stop_killing; i++) {
		FILE *file = fopen(path, "re");
		int pid;

		if (file && fscanf(file, "%d", &pid) == 1)
			kill(pid, SIGKILL);
		if (file)
			fclose(file);
		usleep(pace_us / 2 + pace_us * (i % 16) / 8);
	}
	return unused;
}

static int count_run(void *runs)
{
	atomic_fetch_add((_Atomic int *)runs, 1);
	return 0;
}

/*
 * Killed at any time, also while it clones: a start has one process or none. When the zygote has
 * just gone, the child may be the oldest, and be killed instead of it.
 */
START_TEST(killed_while_it_serves)
{
	_Atomic int *runs = brood_alloc(NULL, sizeof *runs);
	int64_t begin = brood_now();
	pthread_t killer;
	int started = 0;

	killed_for = gettid();
	kill_zygote();
	start_one(NULL);
	pace_us = (unsigned int)((brood_now() - begin) / 1000);
	stop_killing = false;
	pthread_create(&killer, NULL, kill_zygotes, NULL);
	for (int i = 0; i < 300; i++) {
		struct brood_process *child = brood_process_start_opts(count_run, runs, &by_zygote);

		if (!child)
			continue; /* the zygote was killed three times in this one start */
		started++;
		ck_assert_int_eq(brood_process_join(child, brood_ms(10000)), 0);
		ck_assert_int_eq(brood_process_free(child), 0);
	}
	stop_killing = true;
	pthread_join(killer, NULL);
	ck_assert_int_gt(started, 100);
	ck_assert_int_le(*runs, started);
	ck_assert_int_gt(*runs, started / 4);
	brood_free(NULL, runs);
}
END_TEST

/* ---- it ends with the program ---- */

static int end_with_zygote(void *how)
{
	struct brood_process_opts opts = by_zygote;
	const char *by = how;

	if (brood_zygote_start())
		return 99;
	opts.die_with_parent = true;
	brood_process_start_opts(sleep_for_ever, NULL, &opts);
	if (*by == 'k')
		raise(SIGKILL);
	if (*by == 'x')
		_exit(6);
	brood_process_kill(NULL);
	return 5;
}

static int end_normally(void *unused)
{
	(void)unused;
	if (brood_zygote_start())
		return 99;
	return brood_process_start_opts(return_number, &zero, &by_zygote) ? 5 : 1;
}

/* Killed, or by _exit: the zygote goes by itself, and die_with_parent works for its children. */
START_TEST(it_ends_with_the_program)
{
	static const char *const how[] = { "killed", "x" };
	static const int codes[] = { -SIGKILL, 6 };

	brood_zygote_stop();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ck_assert_int_eq(exit_code_of(end_with_zygote, (void *)(uintptr_t)how[_i]), codes[_i]);
	ck_assert_int_gt(waitpid(-1, NULL, 0), 0);
	ck_assert_int_gt(waitpid(-1, NULL, 0), 0);
	ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
	ck_assert_int_eq(exit_code_of(end_normally, NULL), 5);
	ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}
END_TEST

static int return_sum(void *bytes)
{
	unsigned int sum = 0;

	for (int i = 0; i < 3000000; i++)
		sum += ((unsigned char *)bytes)[i];
	return (int)(sum % 251);
}

START_TEST(a_large_argument)
{
	struct brood_process_opts opts = { .method = BROOD_START_ZYGOTE, .copy = 3000000 };
	unsigned char *bytes = malloc(3000000);

	for (int i = 0; i < 3000000; i++)
		bytes[i] = (unsigned char)(i * 7);
	ck_assert_int_eq(ending_of(brood_process_start_opts(return_sum, bytes, &opts)),
			 return_sum(bytes));
	free(bytes);
}
END_TEST

static int write_line(void *text)
{
	return printf("%s\n", (char *)text) < 0;
}

/* What was buffered when the zygote was forked is written once; what a child prints, as well. */
START_TEST(output_is_written_once)
{
	struct brood_process_opts opts = { .method = BROOD_START_ZYGOTE, .copy = 6 };
	int fds[2], saved = dup(STDOUT_FILENO);
	char text[200] = "";

	brood_zygote_stop();
	ck_assert_int_eq(pipe(fds), 0);
	fflush(stdout);
	dup2(fds[1], STDOUT_FILENO);
	printf("once ");
	ck_assert_int_eq(brood_zygote_start(), 0);
	ck_assert_int_eq(
		ending_of(brood_process_start_opts(write_line, (void *)(uintptr_t) "child", &opts)),
		0);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	ck_assert_int_gt(read(fds[0], text, sizeof text - 1), 0);
	ck_assert_str_eq(text, "once child\n");
	close(fds[0]);
	close(fds[1]);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("zygote", begin);

	tcase_add_checked_fixture(tests, NULL, end);
	tcase_add_test(tests, a_child_is_the_program_s_own);
	tcase_add_test(tests, it_ends_as_after_a_fork);
	tcase_add_test(tests, its_death_is_told);
	tcase_add_test(tests, the_c_library_s_locks_know_its_thread);
	tcase_add_test(tests, it_holds_no_descriptor);
	tcase_add_test(tests, from_many_threads);
	tcase_add_test(tests, not_from_a_program_with_threads);
	tcase_add_test(tests, a_child_makes_its_own);
	tcase_add_test(tests, it_survives_signals);
	tcase_add_loop_test(tests, killed_it_is_restarted, 0, 2);
	tcase_add_test(tests, killed_while_it_serves);
	tcase_add_loop_test(tests, it_ends_with_the_program, 0, 2);
	tcase_add_test(tests, a_large_argument);
	tcase_add_test(tests, output_is_written_once);
	return run_cases("zygote", tests, NULL);
}
