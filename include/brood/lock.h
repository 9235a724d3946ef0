/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks between threads and processes: brood_lock, which any member may release, and brood_rlock,
 * which its owner may take again.
 *
 * Where they live. In memory of a segment: alone (brood_lock_create), or in a struct of the user's
 * from brood_alloc or in a named segment. 64 bytes each, aligned to 64. All zero is an unlocked
 * lock with the default options; brood_lock_init is for others. Elsewhere every call gets -EBADF.
 * Memory that holds a lock which somebody uses must not be freed.
 *
 * Who owns it. The thread that acquired it. A forked child is another one: it owns nothing. Any
 * member may release a brood_lock, as in Python, unless the option `owned` says otherwise; only the
 * owner may release a brood_rlock.
 *
 * If the owner dies. The next acquire gets the lock and -EOWNERDEAD: what the lock guards may be
 * half changed. When that has been put right, brood_lock_recovered says so. A release without it
 * makes the lock unusable: everybody gets -ENOTRECOVERABLE, until brood_lock_init. If the one that
 * was to recover dies too, the next gets -EOWNERDEAD. With the option `forgiving` the next simply
 * gets the lock. The end of a thread counts as its death.
 *
 * If a waiter dies, nothing changes: a wake-up that it was given goes to another.
 *
 * Fairness. None is promised for a single acquire, throughput comes first: who comes by while the
 * lock is free takes it, though others sleep. Nobody starves: the sleepers are woken in turn, by
 * every release, and compete again.
 *
 * All calls but acquire with a timeout other than 0 return at once. Errors of all: -EINVAL (NULL,
 * not aligned), -EBADF (in no segment), -EUSERS (member limit).
 *
 * The waiting is W. Mauerer's and U. Drepper's two-step of user-space word and futex ("Futexes Are
 * Tricky"); the owner in the word and its recovery are ours.
 */
#ifndef BROOD_LOCK_H
#define BROOD_LOCK_H

#include <stdbool.h>

#include <brood/base.h>
#include <brood/contention.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_lock_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_lock_opts) */
	bool owned;		/* release by another than the owner is -EPERM, acquire by it -EDEADLK */
	bool forgiving;		/* what it guards cannot break: no -EOWNERDEAD */
	struct brood_segment *segment;	/* for brood_lock_create; NULL = the family arena */
};

struct brood_lock {		/* 64 bytes; the members are the library's */
	BROOD_ALIGNED uint64_t word;
	int64_t contention;
	uint32_t options;
	uint32_t depth;
	uint32_t waiters[9];
	uint32_t reserved;
};

struct brood_rlock {		/* 64 bytes */
	struct brood_lock lock;
};

/*
 * Make it an unlocked one with these options, NULL = the default ones, whatever was there. Not
 * while others use it. 0, -EINVAL.
 */
BROOD_API int brood_lock_init(struct brood_lock *lock, const struct brood_lock_opts *opts);

/* One of its own. NULL with errno: EINVAL, ENOSPC, EUSERS. Destroy: 0, -EINVAL (not created). */
BROOD_API struct brood_lock *brood_lock_create(const struct brood_lock_opts *opts);
BROOD_API int brood_lock_destroy(struct brood_lock *lock);

/*
 * Take it; waits while another has it. 0, -EAGAIN, -ETIMEDOUT, -EOWNERDEAD (it is the caller's, see
 * above), -ENOTRECOVERABLE, -EDEADLK (owned, and the caller has it: otherwise such a call waits).
 */
BROOD_API int brood_lock_acquire(struct brood_lock *lock, int64_t timeout);

/* Give it back. 0; -EPERM (nobody has it; or owned, and the caller has it not). */
BROOD_API int brood_lock_release(struct brood_lock *lock);

/* After -EOWNERDEAD: what it guards is in order again. 0; -EPERM (not the owner), -EINVAL. */
BROOD_API int brood_lock_recovered(struct brood_lock *lock);

/* 1 while somebody has it, 0. A hint: it may have changed already. */
BROOD_API int brood_lock_locked(const struct brood_lock *lock);

/*
 * Count in *contention from now on, which is in the same segment; NULL = no longer. See
 * brood/contention.h. owner_deaths are the -EOWNERDEAD that were told. Of an rlock, what its owner
 * acquires again is not counted. 0; -EINVAL (not aligned), -EBADF (not in the segment).
 */
BROOD_API int brood_lock_watch(struct brood_lock *lock, struct brood_contention *contention);

/*
 * The same for a lock that its owner, the thread, may acquire again; it is free after as many
 * releases. -EOVERFLOW at 2^32 - 1. release by another: -EPERM. The option `owned` means nothing.
 */
BROOD_API int brood_rlock_init(struct brood_rlock *lock, const struct brood_lock_opts *opts);
BROOD_API struct brood_rlock *brood_rlock_create(const struct brood_lock_opts *opts);
BROOD_API int brood_rlock_destroy(struct brood_rlock *lock);
BROOD_API int brood_rlock_acquire(struct brood_rlock *lock, int64_t timeout);
BROOD_API int brood_rlock_release(struct brood_rlock *lock);
BROOD_API int brood_rlock_recovered(struct brood_rlock *lock);
/* How often the caller has it: 0 = not. */
BROOD_API int64_t brood_rlock_depth(const struct brood_rlock *lock);
BROOD_API int brood_rlock_watch(struct brood_rlock *lock, struct brood_contention *contention);

#ifdef __cplusplus
}
#endif

#endif
