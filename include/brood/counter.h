/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers between threads and processes: a signed 64-bit value that changes in one step, and can
 * be waited for.
 *
 * No change is lost: an add is an add, and not a read and a write between which another's is
 * forgotten. Arithmetic wraps in two's complement: INT64_MAX + 1 is INT64_MIN.
 *
 * Where they live. In memory of a segment: alone (brood_counter_create), or in a struct of the
 * user's from brood_alloc or in a named segment. 64 bytes, aligned to 64. All zero is the number 0;
 * brood_counter_init is for memory that may hold something else. Elsewhere every call gets -EBADF.
 * Memory that holds a counter which somebody uses must not be freed.
 *
 * Results go through a pointer, which may be NULL where it says so, since every value is a possible
 * one. After an error nothing is written there, but for what brood_counter_compare_exchange says.
 *
 * Order. What a member wrote before it changed the value is seen by whoever reads that value, or a
 * later one.
 *
 * If somebody dies. A member that dies inside a call has changed the value or has not. If it has,
 * those who wait for a change see it, though it did not come to waking them. A waiter that
 * dies leaves nothing behind that matters.
 *
 * Signal handlers. All calls but brood_counter_wait_change, init, create and destroy may be made in
 * a signal handler whose thread is a member of the segment already, by an earlier call on any
 * object in it.
 *
 * A change makes a system call for each member that sleeps in brood_counter_wait_change, and none
 * when nobody does, or when the value was that already. All calls but that one return at
 * once; all of these are wait-free but brood_counter_max, which is lock-free. Errors of all:
 * -EINVAL (NULL, not aligned), -EBADF (in no segment), -EUSERS (member limit).
 *
 * The sequentially consistent operations are C11's.
 */
#ifndef BROOD_COUNTER_H
#define BROOD_COUNTER_H

#include <brood/base.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_counter_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_counter_opts) */
	int64_t value;		/* to begin with */
	struct brood_segment *segment;	/* for _create; NULL = the family arena */
};

struct brood_counter {		/* 64 bytes; the members are the library's */
	BROOD_ALIGNED uint64_t word;
	uint32_t waiters[9];
	uint32_t reserved[5];
};

/* Make it one with this value, whatever was there. Not while others use it. 0. */
BROOD_API int brood_counter_init(struct brood_counter *counter, int64_t value);

/* One of its own, NULL = default options. NULL with errno: EINVAL, ENOSPC, EUSERS. */
BROOD_API struct brood_counter *brood_counter_create(const struct brood_counter_opts *opts);

/* 0, -EINVAL (not created). */
BROOD_API int brood_counter_destroy(struct brood_counter *counter);

/* The value, into *value. 0. */
BROOD_API int brood_counter_get(const struct brood_counter *counter, int64_t *value);

/* Make it this value. 0. */
BROOD_API int brood_counter_set(struct brood_counter *counter, int64_t value);

/* Add n, which may be negative; the sum into *result unless that is NULL. 0. */
BROOD_API int brood_counter_add(struct brood_counter *counter, int64_t n, int64_t *result);

/*
 * Make it `value` if it is *expected. 1 when it was. 0 when it was not: then nothing has changed
 * and *expected is what it was instead, so that a loop can try again.
 */
BROOD_API int brood_counter_compare_exchange(struct brood_counter *counter, int64_t *expected,
					     int64_t value);

/* Make it n if it is less; the greater of both into *result unless that is NULL. 0. */
BROOD_API int brood_counter_max(struct brood_counter *counter, int64_t n, int64_t *result);

/*
 * Wait until the value is another than `seen`; that other one into *now unless that is NULL. A
 * value that changes and is `seen` again before the caller has run may go unnoticed. 0, -EAGAIN
 * (timeout 0 and it is `seen`), -ETIMEDOUT.
 */
BROOD_API int brood_counter_wait_change(struct brood_counter *counter, int64_t seen, int64_t *now,
					int64_t timeout);

#ifdef __cplusplus
}
#endif

#endif
