/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the unit tests share: children that tell how they fared, and a look for what they left. */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

#define MS 1000000ll	/* nanoseconds */

/*
 * In a child: a failed check ends it with exit code 1, which its parent asserts. Check's own
 * assertions are for the test itself only.
 */
#define must(x) \
	do { \
		if (!(x)) \
			must_failed(__FILE__, __LINE__, #x); \
	} while (0)
_Noreturn void must_failed(const char *file, int line, const char *text);

/* Say what is not tested on this system, and why. */
void skipped(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* fork: the child calls function(argument) and leaves by _exit() with what it returns. */
pid_t start(int (*function)(void *), void *argument);
/* Reap it: the exit code, or -N for signal N. */
int end_of(pid_t pid);
/* Both. */
int run(int (*function)(void *), void *argument);
/* SIGKILL and reap. */
void kill_child(pid_t pid);

/* Wait until a thread, by its id, sleeps in the kernel. False when it has ended. */
bool until_asleep(pid_t thread);

/* Zeroed memory shared with all children that are started later. */
void *shared(size_t bytes);

/* "unit-PID-stem": a segment's name that no other program uses; removed in any case when all tests
 * have run. Good until the next call. */
const char *own_name(const char *stem);
/* The file of a named segment. Good until the next call. */
const char *file_of(const char *name);

/* Whether the kernel (Linux 6.15) keeps the exit code of a process that somebody else has reaped. */
bool code_is_known(void);

struct brood_queue *new_queue(uint32_t slots, size_t max_bytes);
/* Numbers as messages. */
int put_number(struct brood_queue *queue, int64_t number, int64_t timeout);
/* The number, or an error; any message of another length is -EILSEQ. */
int64_t get_number(struct brood_queue *queue, int64_t timeout);

/* Open descriptors of this process. */
int count_fds(void);

/* Fixtures. Afterwards no child, no descriptor and no file of shared memory may be left. */
void begin_test(void);		/* with the family arena */
void begin_without_arena(void);	/* the test's children make their own */
void end_test(void);

/* A test case with that fixture and a time limit that is far above what its tests need. */
TCase *new_case(const char *name, void (*begin)(void));
/* Run them; the exit status. Ends in NULL. */
int run_cases(const char *suite, TCase *first, ...) __attribute__((sentinel));

/*
 * Namespaces of the caller's own, so that it may mount and need not be root: CLONE_NEWNS,
 * CLONE_NEWPID. False when the system does not allow it; the reason is printed.
 */
bool own_namespaces(int flags);
/* An empty file system of that many bytes as /dev/shm, in namespaces of the caller's own. */
bool own_shm(size_t bytes);

#endif
