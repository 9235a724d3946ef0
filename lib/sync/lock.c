/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lock and rlock: one word, { token of the owner:48 | flags:16 }, 0 when free.
 *
 *	acquire   0 -> me                              CAS
 *	release   me -> 0, then wake one who waits     CAS
 *
 * Anything else (another's release, flags, a dead owner, waiting) goes the slow way, in which the
 * same word is changed by CAS:
 *
 *	free | WATCHED -> me | WATCHED                 counted (contention.h)
 *	gone -> me | INCONSISTENT                      the caller gets -EOWNERDEAD
 *	me | INCONSISTENT -> me                        brood_lock_recovered
 *	me | INCONSISTENT -> LOST                      release without it; then wake all
 *
 * Dying inside. The word always tells the truth, whichever instruction was the last: before the CAS
 * of acquire nothing has happened, behind it the caller is the owner, and gone. A release that did
 * its CAS and then died has not woken anybody: whoever sleeps watches all lives, and the sweep of
 * the dead wakes all sleepers (sync.h). The depth of an rlock is read and written by the owner
 * only, which sets it when it becomes that; so what a dead one left there means nothing.
 *
 * Edges (doc/memory-model.md). L1: the CAS of release releases, the CAS of acquire acquires, what
 * the lock guards. From a dead owner: its stores are ordered before its life word's mark (M1),
 * which brood__token_gone acquires. The release's CAS is W1 for the sleepers.
 */
#include <string.h>

#include <brood/lock.h>

#include "sync/contention.h"

enum {
	WATCHED = 1,		/* look at lock->contention */
	INCONSISTENT = SYNC_INCONSISTENT,
	LOST = SYNC_LOST,
};

enum { OWNED = 1, FORGIVING = 2 };	/* lock->options */

_Static_assert(sizeof(struct brood_lock) == BROOD__LINE, "a lock is a line");

struct taking {
	struct brood_lock *lock;
	const struct brood__here *here;
};

static uint64_t load(const struct brood_lock *lock)
{
	return atomic_load_explicit(sync_word((uint64_t *)(uintptr_t)&lock->word),
				    memory_order_relaxed);
}

/* L1, W1 */
static bool change(struct brood_lock *lock, uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(sync_word(&lock->word), &from, to,
						       memory_order_seq_cst, memory_order_relaxed);
}

static uint64_t owner(uint64_t word)
{
	return word & BROOD__TOKEN_MASK;
}

/* ---- acquire ---- */

static uint64_t taken(const struct taking *taking, uint64_t word)
{
	bool tell = owner(word) && !(taking->lock->options & FORGIVING);

	return taking->here->token | (word & WATCHED) | (tell ? INCONSISTENT : 0);
}

static ssize_t try_acquire(void *arg)
{
	const struct taking *taking = arg;
	struct brood_lock *lock = taking->lock;
	uint64_t word;

	/* Who loses a CAS looks again: the flag may have changed, and the lock be free as before. */
	do {
		word = load(lock);
		if (brood__unlikely(word & LOST))
			return -ENOTRECOVERABLE;
		if (owner(word) == taking->here->token)
			return lock->options & OWNED ? -EDEADLK : -EAGAIN;
		if (owner(word) && brood__likely(!brood__token_gone(taking->here->members, word)))
			return -EAGAIN;
	} while (!change(lock, word, taken(taking, word)));
	return owner(word) && !(lock->options & FORGIVING) ? -EOWNERDEAD : 0;
}

static brood__slow int acquire_slowly(struct brood_lock *lock, int64_t timeout)
{
	struct brood__here here;
	struct taking taking = { lock, &here };
	struct sync_tally tally = { 0 };
	ssize_t result = sync_enter(lock, BROOD__LINE, &here);

	if (result)
		return (int)result;
	if (brood__unlikely(load(lock) & WATCHED))
		tally.counts = sync_counts(lock, &lock->contention, &here);
	result = try_acquire(&taking);
	if (result == -EAGAIN) {
		sync_waits(&tally);
		result = sync_wait(&here, sync_list(lock->waiters), timeout, try_acquire, &taking);
	}
	sync_count(&tally, result);
	return (int)result;
}

/* What is common to nearly all calls: the segment of the last call, and nobody has it. */
static inline bool acquire_at_once(struct brood_lock *lock)
{
	const struct brood__here *here = sync_nearby(lock, BROOD__LINE);

	return brood__likely(here) && brood__likely(change(lock, 0, here->token));
}

int brood_lock_acquire(struct brood_lock *lock, int64_t timeout)
{
	return acquire_at_once(lock) ? 0 : acquire_slowly(lock, timeout);
}

/* ---- release ---- */

static brood__slow int release_slowly(struct brood_lock *lock, bool owned)
{
	struct brood__here here;
	int result = sync_enter(lock, BROOD__LINE, &here);
	uint64_t word, next;

	if (result)
		return result;
	do {
		word = load(lock);
		if (owner(word) == 0 ||
		    ((owned || lock->options & OWNED) && owner(word) != here.token))
			return -EPERM;
		next = (word & WATCHED) | (word & INCONSISTENT ? LOST : 0);
	} while (!change(lock, word, next));
	if (next & LOST)
		brood__wake_all(here.members, sync_list(lock->waiters)->mask);
	else
		brood__notify(here.members, sync_list(lock->waiters));
	return 0;
}

static brood__slow int wake_next(struct brood_lock *lock, struct brood__members *members)
{
	brood__wake_one(members, sync_list(lock->waiters));
	return 0;
}

static inline int release(struct brood_lock *lock, bool owned)
{
	const struct brood__here *here = sync_nearby(lock, BROOD__LINE);

	if (brood__unlikely(!here) || brood__unlikely(!change(lock, here->token, 0)))
		return release_slowly(lock, owned);
	return brood__unlikely(brood__waitlist_any(sync_list(lock->waiters))) ?
		       wake_next(lock, here->members) : 0;
}

int brood_lock_release(struct brood_lock *lock)
{
	return release(lock, false);
}

int brood_lock_recovered(struct brood_lock *lock)
{
	struct brood__here here;
	int result = sync_enter(lock, BROOD__LINE, &here);
	uint64_t word;

	if (result)
		return result;
	do {
		word = load(lock);
		if (owner(word) != here.token)
			return -EPERM;
		if (!(word & INCONSISTENT))
			return -EINVAL;
	} while (!change(lock, word, word & ~(uint64_t)INCONSISTENT));
	return 0;
}

/* ---- made, asked, watched ---- */

int brood_lock_init(struct brood_lock *lock, const struct brood_lock_opts *given)
{
	struct brood_lock_opts opts;
	struct brood__here here;
	int result = sync_enter(lock, BROOD__LINE, &here);

	if (result == 0)
		result = brood__options(&opts, sizeof(opts), given);
	if (result)
		return result;
	memset(lock, 0, sizeof(*lock));
	lock->options = (opts.owned ? OWNED : 0) | (opts.forgiving ? FORGIVING : 0);
	return 0;
}

struct brood_lock *brood_lock_create(const struct brood_lock_opts *given)
{
	struct brood_lock_opts opts;
	int result = brood__options(&opts, sizeof(opts), given);
	struct brood_lock *lock;

	lock = sync_alloc(result, opts.segment, sizeof(*lock));
	if (lock)
		brood_lock_init(lock, &opts);
	return lock;
}

int brood_lock_destroy(struct brood_lock *lock)
{
	return brood_free(NULL, lock);
}

int brood_lock_locked(const struct brood_lock *lock)
{
	struct brood__here here;
	int result = sync_enter(lock, BROOD__LINE, &here);

	return result ? result : owner(load(lock)) != 0;
}

int brood_lock_watch(struct brood_lock *lock, struct brood_contention *counts)
{
	int result = brood__contention_watch(lock, offsetof(struct brood_lock, contention), counts);

	if (result)
		return result;
	if (counts)
		atomic_fetch_or_explicit(sync_word(&lock->word), WATCHED, memory_order_seq_cst);
	else
		atomic_fetch_and_explicit(sync_word(&lock->word), ~(uint64_t)WATCHED,
					  memory_order_seq_cst);
	return 0;
}

/* ---- rlock ---- */

static bool is_mine(const struct brood_rlock *lock, const struct brood__here *here)
{
	return owner(load(&lock->lock)) == here->token;
}

int brood_rlock_acquire(struct brood_rlock *lock, int64_t timeout)
{
	struct brood__here here;
	int result = sync_enter(lock, BROOD__LINE, &here);

	if (result)
		return result;
	if (is_mine(lock, &here)) {
		if (lock->lock.depth == UINT32_MAX)
			return -EOVERFLOW;
		lock->lock.depth++;
		return 0;
	}
	result = brood_lock_acquire(&lock->lock, timeout);
	if (result == 0 || result == -EOWNERDEAD)
		lock->lock.depth = 1;
	return result;
}

int brood_rlock_release(struct brood_rlock *lock)
{
	struct brood__here here;
	int result = sync_enter(lock, BROOD__LINE, &here);

	if (result)
		return result;
	if (!is_mine(lock, &here))
		return -EPERM;
	if (--lock->lock.depth)
		return 0;
	return release(&lock->lock, true);
}

int64_t brood_rlock_depth(const struct brood_rlock *lock)
{
	struct brood__here here;
	int result = sync_enter(lock, BROOD__LINE, &here);

	if (result)
		return result;
	return is_mine(lock, &here) ? lock->lock.depth : 0;
}

int brood_rlock_init(struct brood_rlock *lock, const struct brood_lock_opts *opts)
{
	return brood_lock_init((struct brood_lock *)lock, opts);
}

struct brood_rlock *brood_rlock_create(const struct brood_lock_opts *opts)
{
	return (struct brood_rlock *)brood_lock_create(opts);
}

int brood_rlock_destroy(struct brood_rlock *lock)
{
	return brood_lock_destroy((struct brood_lock *)lock);
}

int brood_rlock_recovered(struct brood_rlock *lock)
{
	return brood_lock_recovered((struct brood_lock *)lock);
}

int brood_rlock_watch(struct brood_rlock *lock, struct brood_contention *contention)
{
	return brood_lock_watch((struct brood_lock *)lock, contention);
}
