/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rwlock: a word that names the writer, and a slot for each member that says whether it reads.
 *
 *	word     { token of the writer:48 | flags:16 }
 *	slot     { token of the member:48 | depth:14 | PHASE | WAITING }
 *
 * The word, changed by CAS, but by its living writer, which nobody interferes with, by any store:
 *
 *	free -> me | DRAINING               acquire_write: new readers stay out
 *	me | DRAINING -> me                 no slot blocks: now I write
 *	me | DRAINING -> free               gave up; then wake the readers, and one writer
 *	me -> free, the other PHASE         release; then wake the readers, and one writer
 *	gone | DRAINING                     as good as free: nothing was changed
 *	gone -> me | INCONSISTENT           a dead writer's: the caller, even one that wanted to
 *	                                    read, writes, and gets -EOWNERDEAD
 *	me | INCONSISTENT -> me             brood_rwlock_recovered
 *	me | INCONSISTENT -> LOST           release without it; then wake all
 *
 * The slot, written by its member only:
 *
 *	-> reading, then look at the word: free, so I am in; else
 *	-> WAITING with the word's PHASE, then look at the word: still that PHASE, or once more
 *	WAITING -> reading                  the word is free, or its PHASE is the other one; then
 *	                                    look: it still is, so I am in; else as it was
 *	reading, deeper                     reads already: no look at the word
 *	-> 0                                out, or gave up; then wake a writer that drains
 *
 * A slot BLOCKS a writer that drains if its token lives and it is reading, or WAITING with another
 * PHASE than the word's. A token that is gone needs no clearing: the next member with the id
 * overwrites it.
 *
 * The rule of the phases, and why it holds. PHASE counts, modulo 2, the releases of writers. A
 * reader that has seen its own PHASE in the word after it stored that in its slot is REGISTERED.
 *
 * (1) A reader that is in by finding the word free: it stored its slot first; a writer stores the
 * word and then looks at the slots (edges R3, R4): one of them sees the other.
 *
 * (2) A registered reader that finds the other phase in the word is in, whatever else the word
 * says. The writer that it waited for has released. Whoever claimed the word after that looks at
 * the slots after it, finds this one registered in another phase, or reading, and is blocked until
 * the reader is in and out again, or gives up, or is dead. So nobody writes in the second phase,
 * nobody can end it, and two phases are enough to tell one's own from the next. The reader keeps
 * its phase for as long as it waits: who registered anew would lose its turn.
 *
 * (3) So a registered reader lets at most one writer write before it. (Or one that dies, and
 * whoever recovers what it left: that is still the same phase.) And a writer that has the word
 * waits only for those who were in, and for those who waited for the writer before it: no others
 * get in.
 *
 * (4) Giving up a claim must not change the phase: nobody has made sure that those who are
 * registered in the other phase are in. A reader that waits for such a writer finds the word free,
 * or its next claimer. That does not go on for ever: claims are only given up while older
 * readers are inside.
 *
 * (5) A reader inside that acquires again goes in at once: no writer can be writing.
 *
 * Dying inside. The word tells the truth at every instruction: DRAINING means nothing was changed,
 * no flag means it may have been, and the store between the two comes before the first change. A
 * slot of the dead blocks nobody. Who died between a change and the wake-up that belongs to it:
 * the sleepers watch all lives and look again (sync.h).
 *
 * Who sleeps where: readers on `readers`, all woken by a writer that lets go; writers that want the
 * word on `writers`, woken one by one; the one that has it and drains on `drainers`, woken by
 * readers that leave, who find the list empty otherwise.
 *
 * Slots lie so that the first 32 members each have a line of their own. While acquisitions are
 * counted (contention.h), readers go the slow way, which is the same but for the counting.
 *
 * Edges (doc/memory-model.md). R1: the CAS or exchange by which a writer lets go releases, the
 * loads of the word by readers and the CAS by the next writer acquire, what the writer wrote. R2:
 * the exchange by which a reader leaves its slot releases, the writer's loads of the slots acquire:
 * the reader has read before the writer writes. R3, R4: (1) above; all four accesses are seq_cst. R5: a
 * writer's store that it writes, before its changes; who finds it dead loads the word behind
 * brood__token_gone (M1). Each change of the word and the slots that lets somebody in is W1 for
 * those who sleep.
 */
#include <string.h>

#include <brood/rwlock.h>

#include "sync/contention.h"

enum {				/* flags of the word */
	DRAINING = 1,		/* the writer does not write yet */
	PHASE = 2,		/* of the slot, too: the word's when it was stored */
	INCONSISTENT = 4,	/* the former writer died; the present one has not recovered it */
	LOST = 8,		/* it never will be */
};

enum {				/* flags of a slot */
	WAITING = 1,
	ONE = 4,		/* of the depth */
	DEPTH = 0xfffc,		/* 0 = not reading */
};

_Static_assert(sizeof(struct brood_rwlock) == 35 * BROOD__LINE, "as the header says");
_Static_assert(offsetof(struct brood_rwlock, slots) == 3 * BROOD__LINE, "slots begin a line");

struct asking {			/* a member and a lock */
	struct brood_rwlock *lock;
	struct brood__here here;
	_Atomic uint64_t *mine;	/* its slot */
	struct sync_tally tally;
};

static _Atomic uint64_t *slot_of(struct brood_rwlock *lock, uint32_t id)
{
	const uint32_t lines = BROOD_MEMBERS_MAX / 8;

	return sync_word(&lock->slots[id % lines * 8 + id / lines % 8]);
}

static int enter(struct asking *asking, struct brood_rwlock *lock)
{
	int result = sync_enter(lock, BROOD__LINE, &asking->here);

	if (result)
		return result;
	asking->lock = lock;
	asking->mine = slot_of(lock, brood__token_id(asking->here.token));
	return 0;
}

static int enter_to_acquire(struct asking *asking, struct brood_rwlock *lock)
{
	int result = enter(asking, lock);

	if (result == 0)
		asking->tally = (struct sync_tally){
			.counts = sync_counts(lock, &lock->contention, &asking->here),
		};
	return result;
}

/* ---- the word ---- */

static uint64_t load(const struct asking *asking)
{
	/* R1, R3, W3 */
	return atomic_load_explicit(sync_word(&asking->lock->word), memory_order_seq_cst);
}

/* R1, R4, W1 */
static bool change(const struct asking *asking, uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(sync_word(&asking->lock->word), &from, to,
						       memory_order_seq_cst, memory_order_relaxed);
}

static uint64_t token(uint64_t word)
{
	return word & BROOD__TOKEN_MASK;
}

static bool gone(const struct asking *asking, uint64_t word)
{
	return brood__token_gone(asking->here.members, word);
}

static bool i_write(const struct asking *asking, uint64_t word)
{
	return token(word) == asking->here.token && !(word & DRAINING);
}

/*
 * Nobody writes, nobody drains. A writer may have written between our load of the word and its
 * death: only what the word says after its death counts.
 */
static bool is_free(const struct asking *asking, uint64_t word)
{
	if (token(word) == 0)
		return !(word & LOST);
	return word & DRAINING && gone(asking, word) && load(asking) == word;	/* R5 */
}

/* The word of a writer that died while it wrote becomes mine. */
static bool take_over(const struct asking *asking, uint64_t word)
{
	return token(word) && !(word & DRAINING) && gone(asking, word) &&
	       change(asking, word, asking->here.token | INCONSISTENT | (word & PHASE));
}

static void let_others_in(const struct asking *asking)
{
	struct brood__waitlist *readers = sync_list(asking->lock->readers);

	if (brood__unlikely(brood__waitlist_any(readers)))
		brood__wake_all(asking->here.members, readers->mask);
	brood__notify(asking->here.members, sync_list(asking->lock->writers));
}

/* ---- my slot ---- */

/* What my slot says of me: 0 when it is a dead one's. */
static uint64_t my_state(const struct asking *asking)
{
	uint64_t slot = atomic_load_explicit(asking->mine, memory_order_relaxed);

	return token(slot) == asking->here.token ? slot & ~BROOD__TOKEN_MASK : 0;
}

/* R3 */
static void read_from_now(const struct asking *asking)
{
	atomic_exchange_explicit(asking->mine, asking->here.token | ONE, memory_order_seq_cst);
}

/* R2, W1: a state that may block no longer. */
static void step_back(const struct asking *asking, uint64_t slot)
{
	atomic_exchange_explicit(asking->mine, slot, memory_order_seq_cst);
	brood__notify(asking->here.members, sync_list(asking->lock->drainers));
}

/* ---- readers ---- */

static void register_me(const struct asking *asking, uint64_t word)
{
	uint64_t seen;

	do {
		seen = word;
		step_back(asking, asking->here.token | WAITING | (seen & PHASE));
		word = load(asking);	/* R3 */
	} while ((word ^ seen) & PHASE);
}

/* (1) or (2) */
static bool may_read(const struct asking *asking, uint64_t word, uint64_t state)
{
	return is_free(asking, word) || (state & WAITING && (state ^ word) & PHASE);
}

static ssize_t try_read(void *arg)
{
	const struct asking *asking = arg;
	uint64_t word = load(asking), state = my_state(asking);

	if (brood__unlikely(word & LOST))
		return -ENOTRECOVERABLE;
	if (may_read(asking, word, state)) {
		read_from_now(asking);
		word = load(asking);	/* R3 */
		if (may_read(asking, word, state))
			return 0;
		if (state & WAITING)	/* registered as before: it keeps its turn */
			step_back(asking, asking->here.token | state);
	} else if (take_over(asking, word)) {
		step_back(asking, 0);
		return -EOWNERDEAD;
	}
	if (!(state & WAITING))
		register_me(asking, word);
	return -EAGAIN;
}

static int read_again(const struct asking *asking, uint64_t state)
{
	if ((state & DEPTH) == DEPTH)
		return -EOVERFLOW;
	atomic_store_explicit(asking->mine, asking->here.token | (state + ONE),
			      memory_order_relaxed);
	return 0;
}

static ssize_t acquire_read(struct asking *asking, int64_t timeout)
{
	ssize_t result;

	if (my_state(asking) & DEPTH)
		return read_again(asking, my_state(asking));
	if (i_write(asking, load(asking)))
		return -EDEADLK;
	result = try_read(asking);
	if (result == -EAGAIN) {
		sync_waits(&asking->tally);
		result = sync_wait(&asking->here, sync_list(asking->lock->readers), timeout,
				   try_read, asking);
	}
	if (result && my_state(asking))
		step_back(asking, 0);
	return result;
}

static __attribute__((noinline)) int acquire_read_slowly(struct brood_rwlock *lock, int64_t timeout,
							 bool tried)
{
	struct asking asking;
	ssize_t result = enter_to_acquire(&asking, lock);

	if (result)
		return (int)result;
	if (tried)
		step_back(&asking, 0);
	result = acquire_read(&asking, timeout);
	sync_count(&asking.tally, result);
	return (int)result;
}

/* What is common to nearly all calls: the segment of the last call. My slot, and who I am. */
static inline _Atomic uint64_t *near_slot(struct brood_rwlock *lock, uint64_t *me)
{
	const struct brood__here *here = sync_nearby(lock, BROOD__LINE);

	if (brood__unlikely(!here))
		return NULL;
	*me = here->token;
	return slot_of(lock, brood__token_id(*me) % BROOD_MEMBERS_MAX);
}

static inline bool nobody_writes(struct brood_rwlock *lock)
{
	/* R1, R3 */
	return !(atomic_load_explicit(sync_word(&lock->word), memory_order_seq_cst) &
		 ~(uint64_t)PHASE);
}

/* I do not read, and nobody counts: one branch for both. */
static inline bool as_usual(const struct brood_rwlock *lock, const _Atomic uint64_t *mine)
{
	return !(atomic_load_explicit(mine, memory_order_relaxed) |
		 (uint64_t)atomic_load_explicit(sync_contention(&lock->contention),
						memory_order_relaxed));
}

int brood_rwlock_acquire_read(struct brood_rwlock *lock, int64_t timeout)
{
	uint64_t me;
	_Atomic uint64_t *mine = near_slot(lock, &me);

	if (brood__unlikely(!mine || !as_usual(lock, mine) || !nobody_writes(lock)))
		return acquire_read_slowly(lock, timeout, false);
	atomic_exchange_explicit(mine, me | ONE, memory_order_seq_cst);	/* R3 */
	return brood__likely(nobody_writes(lock)) ? 0 : acquire_read_slowly(lock, timeout, true);
}

/* ---- writers ---- */

static ssize_t try_claim(void *arg)
{
	const struct asking *asking = arg;
	uint64_t word = load(asking);

	if (brood__unlikely(word & LOST))
		return -ENOTRECOVERABLE;
	if (is_free(asking, word))
		return change(asking, word, asking->here.token | DRAINING | (word & PHASE)) ?
			       0 : -EAGAIN;	/* R4 */
	return take_over(asking, word) ? -EOWNERDEAD : -EAGAIN;
}

static bool blocks(const struct asking *asking, uint64_t slot, uint64_t word)
{
	return (slot & DEPTH || (slot & WAITING && (slot ^ word) & PHASE)) && !gone(asking, slot);
}

static ssize_t try_drain(void *arg)
{
	const struct asking *asking = arg;
	/* M4: whoever may have seen the word free is below it */
	uint32_t used = atomic_load_explicit(asking->here.members->used, memory_order_seq_cst);
	uint64_t word = load(asking);

	for (uint32_t id = 0; id < used && id < asking->here.members->max; id++)
		if (blocks(asking, atomic_load_explicit(slot_of(asking->lock, id),
							memory_order_seq_cst), word))
			return -EAGAIN;	/* R2, R4, W3 */
	/*
	 * Nobody else changes the word of a living writer. R5: this is for who finds me dead, so
	 * program order is enough, which the compiler has to keep.
	 */
	atomic_store_explicit(sync_word(&asking->lock->word), word & ~(uint64_t)DRAINING,
			      memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	return 0;
}

/* The time that is left is that of both waits together. */
static int64_t until(int64_t timeout)
{
	int64_t deadline = brood__deadline(timeout);

	return deadline == BROOD__NO_DEADLINE ? BROOD_FOREVER : brood_until(deadline);
}

static ssize_t drain(struct asking *asking, int64_t timeout)
{
	ssize_t result = try_drain(asking);
	uint64_t word;

	if (result == -EAGAIN) {
		sync_waits(&asking->tally);
		result = sync_wait(&asking->here, sync_list(asking->lock->drainers), timeout,
				   try_drain, asking);
	}
	if (result) {
		word = load(asking);
		change(asking, word, word & PHASE);
		let_others_in(asking);
	}
	return result;
}

int brood_rwlock_acquire_write(struct brood_rwlock *lock, int64_t timeout)
{
	struct asking asking;
	ssize_t result = enter_to_acquire(&asking, lock);

	if (result)
		return (int)result;
	if (my_state(&asking) & DEPTH || i_write(&asking, load(&asking)))
		return -EDEADLK;
	result = try_claim(&asking);
	if (result == -EAGAIN && !brood__no_wait(timeout)) {
		sync_waits(&asking.tally);
		timeout = until(timeout);
		result = sync_wait(&asking.here, sync_list(lock->writers), timeout, try_claim,
				   &asking);
	}
	if (result == 0)
		result = drain(&asking, timeout);
	sync_count(&asking.tally, result);
	return (int)result;
}

/* ---- both ---- */

static int release_write(const struct asking *asking, uint64_t word)
{
	if (brood__unlikely(word & INCONSISTENT)) {
		change(asking, word, LOST);
		brood__wake_all(asking->here.members, sync_list(asking->lock->readers)->mask);
		brood__wake_all(asking->here.members, sync_list(asking->lock->writers)->mask);
		return 0;
	}
	change(asking, word, (word & PHASE) ^ PHASE);
	let_others_in(asking);
	return 0;
}

static __attribute__((noinline)) int release_slowly(struct brood_rwlock *lock)
{
	struct asking asking;
	int result = enter(&asking, lock);
	uint64_t state, word;

	if (result)
		return result;
	state = my_state(&asking);
	if ((state & DEPTH) > ONE) {
		atomic_store_explicit(asking.mine, asking.here.token | (state - ONE),
				      memory_order_relaxed);
		return 0;
	}
	if (state & DEPTH) {
		step_back(&asking, 0);
		return 0;
	}
	word = load(&asking);
	return i_write(&asking, word) ? release_write(&asking, word) : -EPERM;
}

static __attribute__((noinline)) int reader_left(struct brood_rwlock *lock)
{
	struct asking asking;

	if (enter(&asking, lock) == 0)
		brood__notify(asking.here.members, sync_list(lock->drainers));
	return 0;
}

static __attribute__((noinline)) int writer_left(struct brood_rwlock *lock)
{
	struct asking asking;

	if (enter(&asking, lock) == 0)
		let_others_in(&asking);
	return 0;
}

int brood_rwlock_release(struct brood_rwlock *lock)
{
	uint64_t me, word;
	_Atomic uint64_t *mine = near_slot(lock, &me);

	if (brood__unlikely(!mine))
		return release_slowly(lock);
	if (atomic_load_explicit(mine, memory_order_relaxed) == (me | ONE)) {
		atomic_exchange_explicit(mine, 0, memory_order_seq_cst);	/* R2, W1 */
		return brood__likely(!brood__waitlist_any(sync_list(lock->drainers))) ?
			       0 : reader_left(lock);
	}
	word = atomic_load_explicit(sync_word(&lock->word), memory_order_relaxed);
	if (brood__unlikely((word & ~(uint64_t)PHASE) != me))
		return release_slowly(lock);
	/* R1, W1 */
	atomic_exchange_explicit(sync_word(&lock->word), (word & PHASE) ^ PHASE,
				 memory_order_seq_cst);
	return brood__likely(!brood__waitlist_any(sync_list(lock->readers)) &&
			     !brood__waitlist_any(sync_list(lock->writers))) ?
		       0 : writer_left(lock);
}

int brood_rwlock_recovered(struct brood_rwlock *lock)
{
	struct asking asking;
	int result = enter(&asking, lock);
	uint64_t word;

	if (result)
		return result;
	word = load(&asking);
	if (!i_write(&asking, word))
		return -EPERM;
	if (!(word & INCONSISTENT))
		return -EINVAL;
	change(&asking, word, word & ~(uint64_t)INCONSISTENT);
	return 0;
}

/* ---- watched, made ---- */

int brood_rwlock_watch(struct brood_rwlock *lock, struct brood_contention *counts)
{
	return brood__contention_watch(lock, offsetof(struct brood_rwlock, contention), counts);
}

int brood_rwlock_init(struct brood_rwlock *lock, const struct brood_rwlock_opts *given)
{
	struct brood_rwlock_opts opts;
	struct brood__here here;
	int result = sync_enter(lock, BROOD__LINE, &here);

	if (result == 0)
		result = brood__options(&opts, sizeof(opts), given);
	if (result == 0)
		memset(lock, 0, sizeof(*lock));
	return result;
}

struct brood_rwlock *brood_rwlock_create(const struct brood_rwlock_opts *given)
{
	struct brood_rwlock_opts opts;
	int result = brood__options(&opts, sizeof(opts), given);

	return sync_alloc(result, opts.segment, sizeof(struct brood_rwlock));
}

int brood_rwlock_destroy(struct brood_rwlock *lock)
{
	return brood_free(NULL, lock);
}
