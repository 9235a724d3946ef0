/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the programs that test the launcher share. */
#ifndef TEST_PROCESS_H
#define TEST_PROCESS_H

#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <time.h>

#include "support.h"

static inline int return_number(void *number)
{
	return *(int *)number;
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

/* Join it, tell its exit code, free it. */
static inline int ending_of(struct brood_process *process)
{
	int code = 1000;

	ck_assert_ptr_nonnull(process);
	ck_assert_int_eq(brood_process_join(process, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_process_exit_code(process, &code), 0);
	ck_assert_int_eq(brood_process_free(process), 0);
	return code;
}

static inline int exit_code_of(int (*function)(void *), void *argument)
{
	return ending_of(brood_process_start(function, argument));
}

static inline void kill_and_free(struct brood_process *process)
{
	ck_assert_int_eq(brood_process_kill(process), 0);
	ck_assert_int_eq(ending_of(process), -SIGKILL);
}

#endif
