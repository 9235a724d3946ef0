/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Semaphores between threads and processes: a number of units, which acquire takes and release
 * gives back, one at a time. Any member may release.
 *
 * Where they live. In memory of a segment: alone (brood_semaphore_create), or in a struct of the
 * user's from brood_alloc or in a named segment. 64 bytes, aligned to 64. All zero is a semaphore
 * with no units and the default options; brood_semaphore_init is for others. Elsewhere every call
 * gets -EBADF. Memory that holds a semaphore which somebody uses must not be freed.
 *
 * Values. 0 to BROOD_SEMAPHORE_MAX, 2^31 - 1. A release beyond that is refused. With the option
 * `bounded` the start value is the limit.
 *
 * If a member dies that has acquired units, they do not come back, as in Python: nothing tells
 * whose they were. With the option `robust` they do: each unit names its holder, the thread. That
 * needs memory for each unit, 8 bytes, so only brood_semaphore_create makes such a semaphore, with
 * 1 to 65536 units. Only a holder may release, one of its own units. A forked child holds none.
 * acquire and release look through the units for one, beginning where the last one was found:
 * quick unless nearly all of many units are taken. An acquire that does not wait may find none
 * while others release and acquire. The end of a thread counts as its death.
 *
 * If a waiter dies, nothing changes: a wake-up that it was given goes to another.
 *
 * Fairness. None is promised for a single acquire, throughput comes first: who comes by while there
 * is a unit takes it, though others sleep. Nobody starves: the sleepers are woken in turn, one by
 * every release, and compete again.
 *
 * All calls but acquire with a timeout other than 0 return at once. Errors of all: -EINVAL (NULL,
 * not aligned), -EBADF (in no segment), -EUSERS (member limit), -EPROTO (robust, and overwritten).
 *
 * The operations are E. W. Dijkstra's P and V; the counter with a futex behind it is the known way,
 * the units that name their holder are ours.
 */
#ifndef BROOD_SEMAPHORE_H
#define BROOD_SEMAPHORE_H

#include <stdbool.h>

#include <brood/base.h>
#include <brood/contention.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BROOD_SEMAPHORE_MAX 0x7fffffff		/* the highest value */
#define BROOD_SEMAPHORE_ROBUST_MAX 65536	/* the most units of a robust one */

struct brood_semaphore_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_semaphore_opts) */
	bool bounded;		/* the value never exceeds the start value */
	bool robust;		/* units of the dead come back; for brood_semaphore_create only */
	struct brood_segment *segment;	/* for brood_semaphore_create; NULL = the family arena */
};

struct brood_semaphore {	/* 64 bytes; the members are the library's */
	BROOD_ALIGNED uint32_t value;
	uint32_t below_max;
	uint32_t units;
	uint32_t hint;
	uint32_t waiters[9];
	uint32_t reserved;
	int64_t contention;
};

/*
 * Make it one of `value` units with these options, NULL = the default ones, whatever was there.
 * Not while others use it. 0; -EINVAL (the value is out of range, robust).
 */
BROOD_API int brood_semaphore_init(struct brood_semaphore *semaphore, int64_t value,
				   const struct brood_semaphore_opts *opts);

/* One of its own. NULL with errno: EINVAL, ENOSPC, EUSERS. Destroy: 0, -EINVAL (not created). */
BROOD_API struct brood_semaphore *brood_semaphore_create(int64_t value,
							 const struct brood_semaphore_opts *opts);
BROOD_API int brood_semaphore_destroy(struct brood_semaphore *semaphore);

/* Take a unit; waits while there is none. 0, -EAGAIN, -ETIMEDOUT. */
BROOD_API int brood_semaphore_acquire(struct brood_semaphore *semaphore, int64_t timeout);

/*
 * Give a unit back, or a new one. 0; -EOVERFLOW (the value is at its limit), -EPERM (robust, and
 * the caller holds none): nothing is changed then.
 */
BROOD_API int brood_semaphore_release(struct brood_semaphore *semaphore);

/*
 * How many units there are now; of a robust one, those of dead holders count. A hint: it may have
 * changed already. Or an error.
 */
BROOD_API int brood_semaphore_value(const struct brood_semaphore *semaphore);

/*
 * Count in *contention from now on, which is in the same segment; NULL = no longer. See
 * brood/contention.h. Acquisitions are units that were taken, owner_deaths those of them that came
 * back from the dead (robust). 0; -EINVAL (not aligned), -EBADF (not in the segment).
 */
BROOD_API int brood_semaphore_watch(struct brood_semaphore *semaphore,
				    struct brood_contention *contention);

/*
 * A descriptor for event loops, readable when there is a unit, until brood_semaphore_acquire with a
 * timeout of 0 has said that it is not; all that brood_queue_fd says (brood/queue.h) holds. Close
 * it by the second call. 0, -EBADF.
 */
BROOD_API int brood_semaphore_fd(struct brood_semaphore *semaphore);
BROOD_API int brood_semaphore_fd_close(struct brood_semaphore *semaphore);

#ifdef __cplusplus
}
#endif

#endif
