/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * semaphore: one word, the number of units that can be had.
 *
 *	acquire   n -> n - 1, n > 0                        CAS
 *	release   n -> n + 1, n < limit; wake one sleeper  CAS
 *
 * limit = BROOD_SEMAPHORE_MAX - below_max, so that all zero is one without a bound.
 *
 * Beside the number the word has a flag, WATCHED, which both ways carry along: acquisitions are
 * counted (contention.h). It is above all limits, so both fast paths leave such a word alone.
 *
 * Dying inside. A CAS is the whole operation. A member that dies behind the one of acquire takes
 * its unit along. One that dies behind the one of release has not woken anybody: whoever sleeps
 * watches all lives, and the sweep of the dead wakes all sleepers (sync.h). A wake-up carries
 * nothing, the unit is in the word: if who was woken dies before it took the unit, the others look
 * again because of that death, and find it. Two releases wake two sleepers, or find who is awake
 * already and about to look (wait.c).
 *
 * The robust kind has units > 0, and behind the struct so many words, each 0 or the token of the
 * unit's holder. Its number and its limit are 0, so that both fast paths leave it alone.
 *
 *	acquire   0 or gone -> me                          CAS on any unit
 *	release   me -> 0; wake one sleeper                CAS on one of mine
 *
 * Here too a CAS is all there is, and a unit of a dead holder needs no repair: it is as good as a
 * free one to whoever looks. Its sleepers are made to look by the death.
 *
 * Who found no unit was overtaken, or there was none. It does not sleep through one: its bit is set
 * when it looks, so a release behind its look at that unit sees the bit.
 *
 * hint: the unit that was taken or freed last. acquire searches upwards from it and release
 * downwards, so units taken in a row are found in a row. It is bounded where it is used.
 *
 * Edges (doc/memory-model.md). S1: the CAS of release releases, the CAS of acquire acquires, what
 * was done before the unit was given. All changes of a word are CASes: who takes a unit has
 * acquired all the releases before it. From a dead holder: M1, by brood__token_gone. The CAS of
 * release is W1 for the sleepers.
 */
#include <string.h>

#include <brood/semaphore.h>

#include "sync/contention.h"
#include "wait/bell.h"

#define WATCHED 0x80000000u	/* in the word: look at `contention` */

_Static_assert(sizeof(struct brood_semaphore) == BROOD__LINE, "a semaphore is a line");
_Static_assert(WATCHED > BROOD_SEMAPHORE_MAX, "above all numbers");

struct taking {
	struct brood_semaphore *semaphore;
	const struct brood__here *here;
	uint32_t units;
	bool from_the_dead;	/* the unit was a dead holder's */
};

/* ---- the counter ---- */

/* The word. */
static uint32_t load(const struct brood_semaphore *semaphore)
{
	return atomic_load_explicit(sync_word32((uint32_t *)(uintptr_t)&semaphore->value),
				    memory_order_seq_cst);	/* W3 */
}

/* S1, W1 */
static inline bool change(struct brood_semaphore *semaphore, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong_explicit(sync_word32(&semaphore->value), &from, to,
						       memory_order_seq_cst, memory_order_relaxed);
}

static uint32_t limit(const struct brood_semaphore *semaphore)
{
	return BROOD_SEMAPHORE_MAX - semaphore->below_max;
}

static uint32_t number(uint32_t word)
{
	return word & ~WATCHED;
}

static ssize_t take(void *arg)
{
	const struct taking *taking = arg;
	uint32_t word;

	do {
		word = load(taking->semaphore);
		if (number(word) == 0)
			return -EAGAIN;
	} while (!change(taking->semaphore, word, word - 1));
	return 0;
}

static int give(struct brood_semaphore *semaphore)
{
	uint32_t word;

	do {
		word = load(semaphore);
		if (number(word) >= limit(semaphore))
			return -EOVERFLOW;
	} while (!change(semaphore, word, word + 1));
	return 0;
}

/* ---- units with names ---- */

static _Atomic uint64_t *unit(const struct brood_semaphore *semaphore, uint32_t i)
{
	return sync_word((uint64_t *)(uintptr_t)(semaphore + 1) + i);
}

static bool is_free(const struct brood__here *here, uint64_t holder)
{
	return holder == 0 || brood__token_gone(here->members, holder);
}

/* S1, W1: one unit from a holder to the next; 0 is nobody. */
static bool pass_on(struct brood_semaphore *semaphore, uint32_t i, uint64_t from, uint64_t to)
{
	if (!atomic_compare_exchange_strong_explicit(unit(semaphore, i), &from, to,
						     memory_order_seq_cst, memory_order_relaxed))
		return false;
	atomic_store_explicit(sync_word32(&semaphore->hint), i, memory_order_relaxed);
	return true;
}

/* The k-th unit of a search, upwards from the hint or downwards. */
static uint32_t in_turn(uint32_t hint, uint32_t k, uint32_t units, bool up)
{
	return (up ? hint + k : hint + units - k) % units;
}

static uint32_t first(const struct brood_semaphore *semaphore, uint32_t units)
{
	return atomic_load_explicit(sync_word32((uint32_t *)(uintptr_t)&semaphore->hint),
				    memory_order_relaxed) % units;
}

static ssize_t take_unit(void *arg)
{
	struct taking *taking = arg;
	struct brood_semaphore *semaphore = taking->semaphore;
	uint32_t hint = first(semaphore, taking->units);

	for (uint32_t k = 0; k < taking->units; k++) {
		uint32_t i = in_turn(hint, k, taking->units, true);
		uint64_t holder = atomic_load_explicit(unit(semaphore, i), memory_order_seq_cst);

		if (is_free(taking->here, holder) &&
		    pass_on(semaphore, i, holder, taking->here->token)) {
			taking->from_the_dead = holder != 0;
			return 0;
		}
	}
	return -EAGAIN;
}

static int give_unit(struct brood_semaphore *semaphore, uint32_t units, uint64_t me)
{
	uint32_t hint = first(semaphore, units);

	for (uint32_t k = 0; k < units; k++) {
		uint32_t i = in_turn(hint, k, units, false);
		uint64_t holder = atomic_load_explicit(unit(semaphore, i), memory_order_relaxed);

		/* The CAS fails when a signal handler was quicker. */
		if (holder == me && pass_on(semaphore, i, me, 0))
			return 0;
	}
	return -EPERM;
}

static int count_free(const struct brood_semaphore *semaphore, uint32_t units,
		      const struct brood__here *here)
{
	int count = 0;

	for (uint32_t i = 0; i < units; i++)
		count += is_free(here, atomic_load_explicit(unit(semaphore, i),
							    memory_order_relaxed));
	return count;
}

/*
 * As sync_enter; how many units there are, which lie in the segment, whatever was written over the
 * struct, and whatever will be: it is read once.
 */
static int enter(const struct brood_semaphore *semaphore, struct brood__here *here)
{
	int result = sync_enter(semaphore, BROOD__LINE, here);
	uint32_t units;
	size_t room;

	if (result)
		return result;
	units = *(const volatile uint32_t *)&semaphore->units;
	room = here->bytes - ((uintptr_t)semaphore - here->base) - sizeof(*semaphore);
	if (brood__unlikely(units > BROOD_SEMAPHORE_ROBUST_MAX ||
			    units > room / sizeof(uint64_t)))
		return -EPROTO;
	return (int)units;
}

/* ---- the calls ---- */

/*
 * The slow ways are kept out of line: the registers that they need saved would be stores in front
 * of the locked instruction, which waits for stores.
 */
static __attribute__((noinline)) int acquire_slowly(struct brood_semaphore *semaphore,
						    int64_t timeout)
{
	struct brood__here here;
	struct taking taking = { .semaphore = semaphore, .here = &here };
	struct sync_tally tally = { 0 };
	ssize_t (*attempt)(void *);
	ssize_t result = enter(semaphore, &here);

	if (result < 0)
		return (int)result;
	taking.units = (uint32_t)result;
	if (brood__unlikely(load(semaphore) & WATCHED))
		tally.counts = sync_counts(semaphore, &semaphore->contention, &here);
	attempt = taking.units ? take_unit : take;
	result = attempt(&taking);
	if (result == -EAGAIN) {
		sync_waits(&tally);
		result = sync_wait(&here, sync_list(semaphore->waiters), timeout, attempt, &taking);
	}
	sync_count(&tally, taking.from_the_dead ? -EOWNERDEAD : result);
	return (int)result;
}

int brood_semaphore_acquire(struct brood_semaphore *semaphore, int64_t timeout)
{
	if (brood__likely(sync_nearby(semaphore, BROOD__LINE))) {
		uint32_t word = load(semaphore);

		/* 1 to the maximum, and not WATCHED: one comparison. */
		if (brood__likely(word - 1 < BROOD_SEMAPHORE_MAX &&
				  change(semaphore, word, word - 1)))
			return 0;
	}
	return acquire_slowly(semaphore, timeout);
}

static __attribute__((noinline)) int release_slowly(struct brood_semaphore *semaphore)
{
	struct brood__here here;
	int result = enter(semaphore, &here);

	if (result >= 0)
		result = result ? give_unit(semaphore, (uint32_t)result, here.token) :
				  give(semaphore);
	if (result == 0)
		brood__notify(here.members, sync_list(semaphore->waiters));
	return result;
}

static __attribute__((noinline)) int wake_next(struct brood_semaphore *semaphore,
					       struct brood__members *members)
{
	brood__wake_one(members, sync_list(semaphore->waiters));
	return 0;
}

int brood_semaphore_release(struct brood_semaphore *semaphore)
{
	const struct brood__here *here = sync_nearby(semaphore, BROOD__LINE);
	uint32_t word;

	if (brood__unlikely(!here))
		return release_slowly(semaphore);
	word = load(semaphore);
	if (brood__unlikely(word >= limit(semaphore) || !change(semaphore, word, word + 1)))
		return release_slowly(semaphore);
	return brood__likely(!brood__waitlist_any(sync_list(semaphore->waiters))) ?
		       0 : wake_next(semaphore, here->members);	/* W2 */
}

int brood_semaphore_value(const struct brood_semaphore *semaphore)
{
	struct brood__here here;
	int result = enter(semaphore, &here);

	if (result < 0)
		return result;
	return result ? count_free(semaphore, (uint32_t)result, &here) :
			(int)number(load(semaphore));
}

int brood_semaphore_watch(struct brood_semaphore *semaphore, struct brood_contention *counts)
{
	struct brood__here here;
	int result = enter(semaphore, &here);

	if (result >= 0)
		result = brood__contention_watch(
			semaphore, offsetof(struct brood_semaphore, contention), counts);
	if (result)
		return result;
	if (counts)
		atomic_fetch_or_explicit(sync_word32(&semaphore->value), WATCHED,
					 memory_order_seq_cst);
	else
		atomic_fetch_and_explicit(sync_word32(&semaphore->value), ~WATCHED,
					  memory_order_seq_cst);
	return 0;
}

/* ---- made ---- */

static int check(int64_t value, const struct brood_semaphore_opts *given,
		 struct brood_semaphore_opts *opts)
{
	int result = brood__options(opts, sizeof(*opts), given);

	if (result)
		return result;
	if (opts->robust)
		return value < 1 || value > BROOD_SEMAPHORE_ROBUST_MAX ? -EINVAL : 0;
	return value < 0 || value > BROOD_SEMAPHORE_MAX ? -EINVAL : 0;
}

static void fill(struct brood_semaphore *semaphore, uint32_t value,
		 const struct brood_semaphore_opts *opts)
{
	memset(semaphore, 0, sizeof(*semaphore));
	if (opts->robust) {
		semaphore->below_max = BROOD_SEMAPHORE_MAX;
		semaphore->units = value;
	} else {
		semaphore->below_max = opts->bounded ? BROOD_SEMAPHORE_MAX - value : 0;
		semaphore->value = value;
	}
}

int brood_semaphore_init(struct brood_semaphore *semaphore, int64_t value,
			 const struct brood_semaphore_opts *given)
{
	struct brood_semaphore_opts opts;
	struct brood__here here;
	int result = sync_enter(semaphore, BROOD__LINE, &here);

	if (result == 0)
		result = check(value, given, &opts);
	if (result == 0 && opts.robust)
		result = -EINVAL;
	if (result == 0)
		fill(semaphore, (uint32_t)value, &opts);
	return result;
}

struct brood_semaphore *brood_semaphore_create(int64_t value,
					       const struct brood_semaphore_opts *given)
{
	struct brood_semaphore_opts opts;
	int result = check(value, given, &opts);
	struct brood_semaphore *semaphore;
	size_t units;

	if (result) {
		errno = -result;
		return NULL;
	}
	units = opts.robust ? (size_t)value : 0;
	semaphore = brood_alloc(opts.segment, sizeof(*semaphore) + units * sizeof(uint64_t));
	if (semaphore)
		fill(semaphore, (uint32_t)value, &opts);
	return semaphore;
}

int brood_semaphore_destroy(struct brood_semaphore *semaphore)
{
	return brood_free(NULL, semaphore);
}

/* ---- among many ---- */

static int begin(void *object, uint32_t events, struct brood__here *here, uint64_t *state)
{
	int result = enter(object, here);

	(void)events;
	*state = 0;
	return result < 0 ? result : 0;
}

static uint32_t look(const struct brood__here *here, void *object, uint32_t events, uint64_t state)
{
	const struct brood_semaphore *semaphore = object;
	struct brood__here again;
	int units = *(const volatile uint32_t *)&semaphore->units ? enter(semaphore, &again) : 0;

	(void)state;
	if (units > 0)
		units = count_free(semaphore, (uint32_t)units, here) ? 1 : 0;
	else if (units == 0)
		units = number(load(semaphore)) != 0;
	return units ? events : 0;	/* overwritten: that is what the next call says */
}

static struct brood__waitlist *list(void *object, uint32_t event)
{
	(void)event;
	return sync_list(((struct brood_semaphore *)object)->waiters);
}

static const struct brood__waitable_ops ops = {
	.events = BROOD_READABLE,
	.enter = begin,
	.look = look,
	.list = list,
};

static void register_semaphore(void) __attribute__((constructor));
static void register_semaphore(void)
{
	brood__waitable_register(BROOD_WAIT_SEMAPHORE, &ops);
}

int brood_semaphore_fd(struct brood_semaphore *semaphore)
{
	return brood__bell_open(BROOD_WAIT_SEMAPHORE, semaphore, BROOD_READABLE);
}

int brood_semaphore_fd_close(struct brood_semaphore *semaphore)
{
	return brood__bell_close(BROOD_WAIT_SEMAPHORE, semaphore, BROOD_READABLE);
}
