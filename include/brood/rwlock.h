/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Read-write locks between threads and processes: many readers or one writer.
 *
 * Where they live. In memory of a segment: alone (brood_rwlock_create), or in a struct of the
 * user's from brood_alloc or in a named segment. 2240 bytes, aligned to 64: the lock knows which of
 * the 256 members read, 8 bytes each. All zero is a lock that nobody has. Elsewhere every call
 * gets -EBADF. Memory that holds a lock which somebody uses must not be freed.
 *
 * Who has it. The thread that acquired it, and only that releases it. A forked child is another
 * one: it has nothing. A reader may acquire it for reading again, up to 16383 times, also while a
 * writer waits; it is out after as many releases. A reader cannot become a writer, nor a writer a
 * reader: -EDEADLK.
 *
 * If a reader dies, it is out. If a writer dies that was still waiting for the readers to leave,
 * nothing was changed and nothing is told. If a writer dies that had the lock, what it guards may
 * be half changed: the next acquire, be it for reading or for writing, gets the lock FOR WRITING
 * and -EOWNERDEAD. When that has been put right, brood_rwlock_recovered says so, and release lets
 * the others in. A release without it makes the lock unusable: everybody gets -ENOTRECOVERABLE,
 * until brood_rwlock_init. If the one that was to recover dies too, the next gets -EOWNERDEAD.
 * The end of a thread counts as its death.
 *
 * If a waiter dies, nothing changes: a wake-up that it was given goes to another. A member that is
 * stopped keeps what it has, and the turn that it waits for.
 *
 * Fairness. No side starves the other. While a writer waits for the readers to leave, new readers
 * wait. A reader that waits lets at most one writer write before it: when that one releases, all
 * who waited get in before the next writer. Among writers none is promised for a single
 * acquire, but they are woken in turn, as with brood_lock. A writer that gives up held new readers
 * off until then, one that does not wait (timeout 0) for a moment.
 *
 * All calls but an acquire with a timeout other than 0 return at once. Errors of all: -EINVAL
 * (NULL, not aligned), -EBADF (in no segment), -EUSERS (member limit).
 *
 * That readers wait for a phase and not for a writer is B. Brandenburg's and J. Anderson's
 * ("Spin-Based Reader-Writer Synchronization for Multiprocessor Real-Time Systems", 2010); readers
 * and writer by name, and what follows for the dead, are ours.
 */
#ifndef BROOD_RWLOCK_H
#define BROOD_RWLOCK_H

#include <brood/base.h>
#include <brood/contention.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_rwlock_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_rwlock_opts) */
	struct brood_segment *segment;	/* for brood_rwlock_create; NULL = the family arena */
};

struct brood_rwlock {		/* 2240 bytes; the members are the library's */
	BROOD_ALIGNED uint64_t word;
	uint32_t drainers[9];
	uint32_t reserved;
	int64_t contention;
	uint32_t reserved_again[2];
	uint32_t readers[9];
	uint32_t writers[9];
	uint32_t reserved_too[14];
	uint64_t slots[BROOD_MEMBERS_MAX];
};

/*
 * Make it a lock that nobody has, whatever was there; options NULL = the default ones. Not while
 * others use it. 0, -EINVAL.
 */
BROOD_API int brood_rwlock_init(struct brood_rwlock *lock, const struct brood_rwlock_opts *opts);

/* One of its own. NULL with errno: EINVAL, ENOSPC, EUSERS. Destroy: 0, -EINVAL (not created). */
BROOD_API struct brood_rwlock *brood_rwlock_create(const struct brood_rwlock_opts *opts);
BROOD_API int brood_rwlock_destroy(struct brood_rwlock *lock);

/*
 * Take it for reading; waits while a writer has it or waits for readers to leave. 0, -EAGAIN,
 * -ETIMEDOUT, -EOWNERDEAD (it is the caller's for writing, see above), -ENOTRECOVERABLE, -EDEADLK
 * (the caller writes), -EOVERFLOW (the caller reads too often).
 */
BROOD_API int brood_rwlock_acquire_read(struct brood_rwlock *lock, int64_t timeout);

/*
 * Take it for writing; waits until nobody else has it. 0, -EAGAIN, -ETIMEDOUT, -EOWNERDEAD (it is
 * the caller's), -ENOTRECOVERABLE, -EDEADLK (the caller reads or writes).
 */
BROOD_API int brood_rwlock_acquire_write(struct brood_rwlock *lock, int64_t timeout);

/* Give back what the caller has. 0; -EPERM (it has nothing). */
BROOD_API int brood_rwlock_release(struct brood_rwlock *lock);

/*
 * After -EOWNERDEAD: what it guards is in order again. 0; -EPERM (the caller does not write),
 * -EINVAL (there is nothing to recover).
 */
BROOD_API int brood_rwlock_recovered(struct brood_rwlock *lock);

/*
 * Count in *contention from now on, which is in the same segment; NULL = no longer. See
 * brood/contention.h. Acquisitions are those for reading, also again, and for writing together;
 * owner_deaths are the -EOWNERDEAD that were told. 0; -EINVAL (not aligned), -EBADF (not in the
 * segment).
 */
BROOD_API int brood_rwlock_watch(struct brood_rwlock *lock, struct brood_contention *contention);

#ifdef __cplusplus
}
#endif

#endif
