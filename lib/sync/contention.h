/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contention of an object: where its calls count, and what.
 *
 * The word `contention` of an object says how far from it its counts lie, in bytes; 0 = it is not
 * watched. A call reads the word once, keeps the counts that it found in a tally, and adds to them
 * when it has succeeded.
 *
 * When a call reads it. One that is slow anyway: always, it is in a line that the call reads. What
 * is common to nearly all calls of a lock or a semaphore is one CAS of their own word: these have a
 * flag in that, WATCHED, with which the CAS fails or is not tried, and the slow way, which the call
 * takes then, reads `contention` if it sees the flag. A reader of an rwlock judges its own slot and
 * `contention` together, and goes the slow way as well.
 *
 * Dying inside. To switch is to store `contention`, and that is all; where there is a flag, it
 * follows. Who dies between the two leaves counts without a flag, which nobody uses; or a flag
 * without counts: calls go the slow way and count nothing. Two members that switch at one time may
 * leave either as well. So it is off, and the next switch puts it right. Switched from counts to
 * others, there is one store, and a call finds these or those. A call that has found the old ones
 * adds to them, however late: they are the users' memory, which has to stay (brood/contention.h).
 *
 * The word is the peers', who may have written anything over it: counts that do not lie in the
 * segment are none. So nothing else is ever written than what the peers can write themselves.
 *
 * Edges (doc/memory-model.md). T1: the store of `contention` releases, the load of it by who counts
 * acquires, that the counts were made zero. The counts themselves are relaxed.
 */
#ifndef BROOD_SYNC_CONTENTION_H
#define BROOD_SYNC_CONTENTION_H

#include <brood/contention.h>

#include "sync/sync.h"

struct sync_tally {		/* of one call */
	struct brood_contention *counts;	/* NULL = it is not watched */
	int64_t since;		/* it waits; 0 = it does not */
};

/* The counts at this distance from the object; NULL = they are not in its segment. */
struct brood_contention *brood__contention_at(const void *object, int64_t distance,
					      const struct brood__here *here);

/*
 * Switch it: to these counts, NULL = off. `word` is where in the object `contention` is. 0, or the
 * error for the caller. A flag is the caller's affair, afterwards.
 */
int brood__contention_watch(void *object, size_t word, struct brood_contention *counts);

void brood__contention_count(const struct sync_tally *tally, ssize_t result);

static inline _Atomic int64_t *sync_contention(const int64_t *word)
{
	return (_Atomic int64_t *)(uintptr_t)word;
}

/* T1. The object's counts, in the call that has entered it. */
static inline struct brood_contention *sync_counts(const void *object, const int64_t *word,
						   const struct brood__here *here)
{
	int64_t distance = atomic_load_explicit(sync_contention(word), memory_order_acquire);

	return brood__likely(!distance) ? NULL : brood__contention_at(object, distance, here);
}

/* It did not get it at once. */
static inline void sync_waits(struct sync_tally *tally)
{
	if (brood__unlikely(tally->counts) && !tally->since)
		tally->since = brood_now();
}

/* It comes back with this: 0 or more, or -EOWNERDEAD, is a success. */
static inline void sync_count(const struct sync_tally *tally, ssize_t result)
{
	if (brood__unlikely(tally->counts))
		brood__contention_count(tally, result);
}

static inline void sync_add(uint64_t *count, uint64_t n)
{
	atomic_fetch_add_explicit(sync_word(count), n, memory_order_relaxed);
}

#endif
