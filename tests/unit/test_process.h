/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the programs that test the launcher share. */
#ifndef TEST_PROCESS_H
#define TEST_PROCESS_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brood.h>

/* Open descriptors of this process, without the one that counts them. */
static inline int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3;
}

static int fds_before;

/*
 * The family arena's descriptor stays, so it must be there before the first count. The runner's
 * handlers would be inherited by our children, and kill its group when one of them is terminated.
 */
static void begin_test(void)
{
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	brood_init(NULL);
	fds_before = count_fds();
}

/* No zombie, no child, no descriptor is left behind by the test. */
static void check_nothing_left(void)
{
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert_int_eq(count_fds(), fds_before);
}

static inline int return_number(void *number)
{
	return *(int *)number;
}

/* Zeroed, and shared with all children. */
static inline int *shared_int(void)
{
	return mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static inline int tick_off(void *number)
{
	*(volatile int *)number = 1;
	return 0;
}

static inline int sleep_for_ever(void *unused)
{
	(void)unused;
	while (pause())
		;
	return 0;
}

static inline int end_of(struct brood_process *process)
{
	int code = 1000;

	ck_assert_ptr_nonnull(process);
	ck_assert_int_eq(brood_process_join(process, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_process_exit_code(process, &code), 0);
	ck_assert_int_eq(brood_process_free(process), 0);
	return code;
}

/* Join, tell the exit code, free. */
static inline int exit_code_of(int (*function)(void *), void *argument)
{
	return end_of(brood_process_start(function, argument));
}

static inline void kill_and_free(struct brood_process *process)
{
	ck_assert_int_eq(brood_process_kill(process), 0);
	ck_assert_int_eq(end_of(process), -SIGKILL);
}

static inline int run_case(const char *name, TCase *tests)
{
	struct rlimit no_core = { 0, 0 };
	Suite *suite = suite_create(name);
	SRunner *runner = srunner_create(suite);
	int failed, self = pidfd_open(getpid(), 0);

	if (self < 0)
		return 77; /* an old kernel, or valgrind: nothing here can work */
	close(self);
	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGCHLD, SIG_DFL);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
