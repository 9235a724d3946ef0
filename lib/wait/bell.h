/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bells: descriptors for what else a member sleeps on by futex. See bell.c.
 */
#ifndef BROOD_BELL_H
#define BROOD_BELL_H

#include "wait/waitable.h"

/* ---- for notifiers ---- */

/* Whether the member has bells. */
static inline bool brood__has_bells(const struct brood__members *members, uint32_t id)
{
	return brood__unlikely(atomic_load_explicit(&members->table[id].bell,
						    memory_order_acquire) != 0);	/* F3 */
}

/* F1. How often it has armed one: to be asked before where it sleeps, and before it is rung. */
static inline uint32_t brood__bell_armings(const struct brood__members *members, uint32_t id)
{
	return atomic_load_explicit(&members->table[id].arming, memory_order_seq_cst);
}

/* Ring the bell that the member has on this list, then clear its bit there. False: it has none. */
bool brood__bell_ring(struct brood__members *members, struct brood__waitlist *list, uint32_t id,
		      uint32_t armings);

/* Make the member look at all that it has bells for. */
void brood__bell_alarm(struct brood__members *members, uint32_t id);

/* ---- for the owner ---- */

/* F1. It will set its bit in a list. */
static inline void brood__bell_arming(struct brood__members *members, uint32_t me)
{
	atomic_fetch_add_explicit(&members->table[me].arming, 1, memory_order_seq_cst);
}

/* Whether the calling thread has bells. */
bool brood__bell_any(void);

/*
 * A descriptor that is ready when one of the events is, until the caller's own call finds that none
 * is. The same one again while it is open. Or -errno.
 */
int brood__bell_open(enum brood_wait_kind kind, void *object, uint32_t event);
/* 0, -EBADF: the caller has none for it. */
int brood__bell_close(enum brood_wait_kind kind, void *object, uint32_t event);

/*
 * The caller has found nothing on the list just now, or not what it wanted, or has slept on it: if
 * it has a bell there, that is right again. And if it was told so, all of them.
 */
void brood__bell_settle(const struct brood__waitlist *list, uint64_t wanted);

/* The first half of that, when the caller has slept on many lists, and wants what it wanted. */
void brood__bell_settle_one(const struct brood__waitlist *list);

/* A descriptor that is ready when anybody wants the caller to look, or has died. Or -errno. */
int brood__bell_alarm_fd(struct brood__members *members, uint32_t me);
/* No more, from now on, until something happens; who came is watched, and who died no more. */
void brood__bell_alarms_off(void);

#endif
