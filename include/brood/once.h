/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Something that is to be done once in a family of processes, by whoever comes first.
 *
 * brood_once_call runs the function given to it unless it has been done already; while one member
 * runs it the others wait. When it has returned 0 it is done for ever, and every call returns 0 at
 * once.
 *
 * Where they live. In memory of a segment: alone (brood_once_create), or in a struct of the user's
 * from brood_alloc or in a named segment. 64 bytes, aligned to 64. All zero is one that is not
 * done; brood_once_init is for memory that may hold something else. Elsewhere every call gets
 * -EBADF. Memory that holds a once which somebody uses must not be freed.
 *
 * If the function fails, its caller gets the error, and it is undone: the next who waits, or calls,
 * runs its own function.
 *
 * If the one that runs it dies, by a kill or by the end of its thread, the next who waits, or
 * calls, runs its own function from the beginning. So the function must be such that it can be
 * repeated after it was broken off anywhere: let it fill in memory, not count, and create nothing
 * that it would create twice. If a waiter dies, nothing changes.
 *
 * A function that does not return (longjmp) leaves it running as long as the thread lives. A
 * process that the function forks is not the one that runs it, and gets -EPERM if it returns
 * from the function, too.
 *
 * Order. What the function wrote is seen by every caller that gets 0. What a function that failed
 * or died wrote is seen by the next one.
 *
 * Errors of all calls: -EINVAL (NULL, not aligned), -EBADF (in no segment), -EUSERS (member limit).
 *
 * The owner in the word and its recovery are those of brood_lock.
 */
#ifndef BROOD_ONCE_H
#define BROOD_ONCE_H

#include <brood/base.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_once_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_once_opts) */
	struct brood_segment *segment;	/* for brood_once_create; NULL = the family arena */
};

struct brood_once {		/* 64 bytes; the members are the library's */
	BROOD_ALIGNED uint64_t word;
	uint32_t waiters[9];
	uint32_t reserved[5];
};

/* Make it one that is not done, whatever was there. Not while others use it. 0. */
BROOD_API int brood_once_init(struct brood_once *once);

/* One of its own, NULL = default options. NULL with errno: EINVAL, ENOSPC, EUSERS. */
BROOD_API struct brood_once *brood_once_create(const struct brood_once_opts *opts);

/* 0, -EINVAL (not created). */
BROOD_API int brood_once_destroy(struct brood_once *once);

/*
 * See that it is done: run function(argument), or wait for the one that runs it, or neither. The
 * timeout is for the waiting; a function that runs is never broken off.
 *
 * 0: it is done. What the function returned, when the caller ran it and it was not 0: a negative
 * errno of its own choice, as it is; a positive number, which it should not return, as -ECANCELED.
 * -EAGAIN (timeout 0), -ETIMEDOUT: another runs it. -EDEADLK: the function calls it again.
 * -EPERM: the function is through, but the caller no longer is the one that ran it (see above; or
 * it was initialised meanwhile). -EINVAL: no function.
 */
BROOD_API int brood_once_call(struct brood_once *once, int (*function)(void *argument),
			      void *argument, int64_t timeout);

#ifdef __cplusplus
}
#endif

#endif
