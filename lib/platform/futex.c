/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Futexes: sleeping on words of shared memory.
 *
 * The words are shared between processes, so no call here is of the PRIVATE kind. One word is slept
 * on with FUTEX_WAIT_BITSET, which takes an absolute time; several with futex_waitv (Linux 5.16).
 * A mark that the kernel puts on a life word at a death is a wake of the same shared kind.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "platform/platform.h"

_Static_assert(BROOD__FUTEX_MANY == FUTEX_WAITV_MAX, "the kernel's limit");
_Static_assert(BROOD__LIFE_DEAD == FUTEX_OWNER_DIED && BROOD__LIFE_WATCHED == FUTEX_WAITERS &&
	       BROOD__LIFE_TID == FUTEX_TID_MASK, "the kernel's bits of a robust word");

static long sleep_on_many(const struct brood__futex *words, unsigned int n,
			  const struct timespec *end)
{
	struct futex_waitv set[BROOD__FUTEX_MANY] = { 0 };

	for (unsigned int i = 0; i < n; i++) {
		set[i].val = words[i].value;
		set[i].uaddr = (uintptr_t)words[i].word;
		set[i].flags = FUTEX_32;
	}
	return syscall(SYS_futex_waitv, set, n, 0, end, CLOCK_MONOTONIC);
}

int brood__futex_sleep(const struct brood__futex *words, unsigned int n, int64_t deadline)
{
	struct timespec at = { .tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000 };
	const struct timespec *end = deadline == BROOD__NO_DEADLINE ? NULL : &at;
	long result;

	if (n == 1)
		result = syscall(SYS_futex, words->word, FUTEX_WAIT_BITSET, words->value, end, NULL,
				 FUTEX_BITSET_MATCH_ANY);
	else
		result = sleep_on_many(words, n, end);
	if (result >= 0 || errno == EAGAIN)
		return 0;
	return -errno;
}

int brood__futex_wake(_Atomic uint32_t *word, int n)
{
	long woken = syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);

	return woken < 0 ? -errno : (int)woken;
}

int brood__futex_clear_and_wake(_Atomic uint32_t *mask, unsigned int bit, _Atomic uint32_t *word)
{
	/* The operation on *mask; its comparison chooses whether to wake sleepers on mask too:
	 * nobody sleeps there, and the count of 0 says so as well. */
	const uint32_t clear = (uint32_t)(FUTEX_OP_ANDN | FUTEX_OP_OPARG_SHIFT) << 28 |
			       (uint32_t)FUTEX_OP_CMP_EQ << 24 | bit << 12;
	long woken = syscall(SYS_futex, word, FUTEX_WAKE_OP, 1, (void *)0, mask, clear);

	return woken < 0 ? -errno : (int)woken;
}
