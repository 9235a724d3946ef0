/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 3: waiting for something that another member will do.
 *
 * An object has a waitlist for each thing that can be waited for: one bit a member, set by the
 * member itself while it may be asleep. A member sleeps on one word only, its own park word, so
 * it can wait on several waitlists at once, and a notifier chooses whom it wakes.
 */
#ifndef BROOD_WAIT_H
#define BROOD_WAIT_H

#include "member/member.h"

#define BROOD__MASK_WORDS (BROOD_MEMBERS_MAX / 32)

struct brood__waitlist {	/* in shared memory; all zero is the empty list */
	_Atomic uint32_t mask[BROOD__MASK_WORDS];
	_Atomic uint32_t last;	/* whom a notifier woke last: the next one begins behind it */
};

static inline bool brood__mask_has(const _Atomic uint32_t *mask, uint32_t id)
{
	/* W2 */
	return atomic_load_explicit(&mask[id / 32], memory_order_seq_cst) >> (id % 32) & 1;
}

static inline void brood__mask_set(_Atomic uint32_t *mask, uint32_t id)
{
	atomic_fetch_or_explicit(&mask[id / 32], 1u << (id % 32), memory_order_seq_cst);
}

static inline void brood__mask_clear(_Atomic uint32_t *mask, uint32_t id)
{
	atomic_fetch_and_explicit(&mask[id / 32], ~(1u << (id % 32)), memory_order_seq_cst);
}

/* W2. Written out: every put and get comes here, and compilers do not unroll it at -O2. */
static inline bool brood__waitlist_any(const struct brood__waitlist *list)
{
#define BITS(i) atomic_load_explicit(&list->mask[i], memory_order_seq_cst)
	_Static_assert(BROOD__MASK_WORDS == 8, "as many as below");
	return BITS(0) | BITS(1) | BITS(2) | BITS(3) | BITS(4) | BITS(5) | BITS(6) | BITS(7);
#undef BITS
}

void brood__wake_one(struct brood__members *members, struct brood__waitlist *list);
/*
 * Wake all of the list, if there is any: as brood__notify, the caller has published. The bits go
 * first: the one of a waiter that died here would cost a system call each time.
 */
void brood__wake_list(struct brood__members *members, struct brood__waitlist *list);
/* Make this member look again, wherever it sleeps. */
void brood__make_look(struct brood__members *members, uint32_t id);
/* Make every member of the mask look again, if it sleeps. */
void brood__wake_all(struct brood__members *members, const _Atomic uint32_t *mask);

/* Make every member that sleeps, on whatever it is, look again: a member has come or is gone. */
void brood__wake_sleepers(struct brood__members *members);

/*
 * Wake one member of the list, if there is any. The caller has just published, by a seq_cst read-
 * modify-write (W1), what the member waits for. One load of a line that rarely changes when
 * nobody waits.
 */
static inline void brood__notify(struct brood__members *members, struct brood__waitlist *list)
{
	if (brood__unlikely(brood__waitlist_any(list)))
		brood__wake_one(members, list);
}

/*
 * The same for a caller that has published by a plain store. All who wait on this list say so in
 * brood__wait.light.
 */
static inline void brood__notify_light(struct brood__members *members,
				       struct brood__waitlist *list)
{
	atomic_signal_fence(memory_order_seq_cst);	/* W7 */
	if (brood__unlikely(brood__waitlist_any(list)))
		brood__wake_one(members, list);
}

/* The same as brood__notify for n things that were published: up to n members are woken. */
static inline void brood__notify_many(struct brood__members *members, struct brood__waitlist *list,
				      size_t n)
{
	while (n-- && brood__unlikely(brood__waitlist_any(list)))
		brood__wake_one(members, list);
}

struct brood__wait {
	struct brood__members *members;
	struct brood__waitlist *list;
	int64_t timeout;
	bool light;		/* W7: notifiers publish by a plain store, see brood__notify_light */
	uint32_t me;
	uint64_t wanted;	/* for the caller's bell: what it was that was not there */
	bool quiet;		/* the caller settles its bell itself, when all is done */
	uint32_t gather;		/* the last tries succeeded at once: so many pauses between looks,
					 * that some work gathers */
};

/*
 * Call attempt(arg) until it returns anything but -EAGAIN, and return that; -ETIMEDOUT when the
 * time is over, -EAGAIN when the timeout is 0. Spins, yields, then sleeps. attempt is called once
 * more after the time is over.
 */
ssize_t brood__wait(const struct brood__wait *wait, ssize_t (*attempt)(void *), void *arg);

/* ---- parts of it, for who waits on many lists at once (many.c) ---- */

/* In place of a list's name in `asleep`: on many; it only looks, and another is woken as well. */
#define BROOD__ON_MANY 2u
/* The same, and it has bells, perhaps on lists that are not among the many. */
#define BROOD__ON_MANY_WITH_BELLS 4u

#define BROOD__BACKSTOP_NS 100000000	/* who sleeps looks by itself */
#define BROOD__UNFENCED_NS 1000000	/* the same, for want of membarrier(2) */

uint32_t brood__list_name(const struct brood__members *members, const struct brood__waitlist *list);
/* Looks, then looks and yields. The clock is first read when the looks alone were in vain. */
ssize_t brood__spin(unsigned int gather, int64_t timeout, ssize_t (*attempt)(void *), void *arg,
		    int64_t *deadline);
/* The lives of the others: onto the set that has n words, how many it has then. */
unsigned int brood__gather_lives(struct brood__members *members, uint32_t me,
				 struct brood__futex *set, unsigned int n, unsigned int most);
void brood__sleep_on(const struct brood__futex *set, unsigned int n, unsigned int parks,
		     int64_t deadline, int64_t most);

#endif
