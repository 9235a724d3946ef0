/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conditions between threads and processes: wait, with a lock given back meanwhile, until another
 * member says that something has changed.
 *
 *	brood_lock_acquire(&jobs->lock, BROOD_FOREVER);
 *	while (jobs->count == 0)
 *		brood_condition_wait(&jobs->some, &jobs->lock, BROOD_FOREVER);
 *	take_one(jobs);
 *	brood_lock_release(&jobs->lock);
 *
 * The lock is a brood_lock, or the `lock` in a brood_rlock: a wait then gives back every level
 * that the caller has, and takes them all again. It lies in the same segment, is the same one in
 * all calls on a condition, and the caller has it in each of them: otherwise -EPERM.
 *
 * Where they live. In memory of a segment: alone (brood_condition_create), or in a struct of the
 * user's from brood_alloc or in a named segment. 2112 bytes, aligned to 64: a word for each member
 * that may wait. All zero is a condition that nobody waits for; brood_condition_init is for memory
 * that may hold something else. Elsewhere every call gets -EBADF. Memory that holds a condition
 * which somebody uses must not be freed.
 *
 * Who is notified. Only who waits already: a notification that nobody waits for is not stored.
 * notify never waits for those it notifies, whatever they do or suffer. Fairness: waiters are
 * chosen in turn, by their member ids, so nobody is passed over for ever.
 *
 * If a waiter dies, it counts no longer. A notification that it was given, and did not come back
 * with, goes to another waiter, if there is one. That may be one too many, for instance when all
 * had been notified: after a death a wait may end without cause. It never ends without the caller
 * having the lock, and no notification is lost. Look at what you wait for again, as above, or use
 * brood_condition_wait_for.
 *
 * If the owner of the lock dies, perhaps before it notified, one of the waiters gets the lock and
 * -EOWNERDEAD, as by brood_lock_acquire; with a forgiving lock they go on waiting. Whoever
 * recovers a lock, by either call, should notify if there is anything to be had: the dead one may
 * have come back from a wait and done nothing yet. If somebody makes the lock unusable, all get
 * -ENOTRECOVERABLE. So they do from a wait whose caller has not recovered the lock: giving it back
 * makes it unusable.
 *
 * Errors of all calls: -EINVAL (NULL, not aligned, a lock of another segment), -EBADF (in no
 * segment), -EUSERS (member limit), -EPERM (the caller has not the lock).
 *
 * Monitors and their conditions are C. A. R. Hoare's, waiting that must look again is B. W.
 * Lampson's and D. D. Redell's ("Experience with Processes and Monitors in Mesa", 1980); a word a
 * waiter, and the passing on by survivors, are ours.
 */
#ifndef BROOD_CONDITION_H
#define BROOD_CONDITION_H

#include <brood/base.h>
#include <brood/contention.h>
#include <brood/lock.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_condition_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_condition_opts) */
	struct brood_segment *segment;	/* for brood_condition_create; NULL = the family arena */
};

struct brood_condition {	/* 2112 bytes; the members are the library's */
	BROOD_ALIGNED uint32_t waiters[9];
	uint32_t next;
	int64_t contention;
	uint32_t reserved[4];
	uint64_t slots[BROOD_MEMBERS_MAX];
};

/* Make it one that nobody waits for, whatever was there. Not while others use it. 0. */
BROOD_API int brood_condition_init(struct brood_condition *condition);

/* One of its own, NULL = default options. NULL with errno: EINVAL, ENOSPC, EUSERS. */
BROOD_API struct brood_condition *brood_condition_create(const struct brood_condition_opts *opts);

/* 0, -EINVAL (not created). */
BROOD_API int brood_condition_destroy(struct brood_condition *condition);

/*
 * Give the lock back and wait to be notified, in one step: a notification by whoever gets the lock
 * next is not missed. Then wait for the lock, however long that takes: the timeout is for the
 * notification only.
 *
 * 0; -EAGAIN (timeout 0: the lock was given back and taken again), -ETIMEDOUT. The caller has the
 * lock again in these cases, and with -EOWNERDEAD: then it may have been notified or not, and the
 * lock has to be recovered. It has not with -ENOTRECOVERABLE. -EDEADLK in a signal handler that
 * interrupted a wait of the same thread for the same condition.
 */
BROOD_API int brood_condition_wait(struct brood_condition *condition, struct brood_lock *lock,
				   int64_t timeout);

/*
 * Wait until predicate(argument) is not 0; the timeout is for all of it. The predicate is called
 * with the lock held, at least once, at the start, and again after each wait.
 *
 * 0: it was true. -EAGAIN, -ETIMEDOUT: it was false, also at the end. -EOWNERDEAD at once, whether
 * it is true or not; other errors as above.
 */
BROOD_API int brood_condition_wait_for(struct brood_condition *condition, struct brood_lock *lock,
				       int (*predicate)(void *argument), void *argument,
				       int64_t timeout);

/*
 * Notify up to n of those that wait; none when n <= 0. They come back when they get the lock, so
 * not before the caller gives it back. Returns at once, with a system call for each that sleeps.
 * 0.
 */
BROOD_API int brood_condition_notify(struct brood_condition *condition, struct brood_lock *lock,
				     int n);

/* Notify all that wait now, and none that come later. 0. */
BROOD_API int brood_condition_notify_all(struct brood_condition *condition,
					 struct brood_lock *lock);

/*
 * Count in *contention from now on, which is in the same segment; NULL = no longer. See
 * brood/contention.h. Acquisitions are the waits that returned 0, those of brood_condition_wait_for
 * one by one. All of them count as waits, until the caller has the lock again. owner_deaths stays
 * 0: that is the lock's affair. 0; -EINVAL (not aligned), -EBADF (not in the segment).
 */
BROOD_API int brood_condition_watch(struct brood_condition *condition,
				    struct brood_contention *contention);

#ifdef __cplusplus
}
#endif

#endif
