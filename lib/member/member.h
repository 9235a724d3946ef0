/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 2: who takes part, and who is dead.
 *
 * A segment has a table of entries; every living thread that uses the segment has one. Its life
 * word is marked by the kernel when the thread dies, so whether a member is dead is one load.
 * What a dead member left undone is repaired by a sweep, after which its entry is free for
 * another.
 */
#ifndef BROOD_MEMBER_H
#define BROOD_MEMBER_H

#include "platform/platform.h"

#define BROOD__NOBODY 0xffffu

struct brood__member {		/* in shared memory; one a member */
	struct brood__life life;
	_Atomic uint64_t sweeper;	/* who sweeps this incarnation; see member.c */
	_Atomic uint64_t inside;	/* hazard: the object the member is in a call of, 0 = none */
	_Atomic uint64_t sweeping;	/* hazard: the object the member repairs for a dead one */
	_Atomic uint32_t park;		/* the word the member sleeps on; each wake adds one */
	uint32_t reserved[9];
};

/*
 * Entries behind the members': for a thread that finds the table full, to sweep the dead before
 * it joins. A guest uses no object.
 */
#define BROOD__GUESTS 4u

#define BROOD__SEATS 64u	/* segments that a process can have open at one time */

struct brood__members {		/* in each process; one a segment */
	struct brood__member *table;	/* max members, then the guests */
	_Atomic uint32_t *used;	/* shared: no entry at or above it was ever taken */
	uint32_t max;
	uint32_t seat;		/* index of this segment in the process, below BROOD__SEATS */
	_Atomic uint32_t here;	/* members that are threads of this process */
	/* Repair what `dead` left in the segment; called by floor 2, provided by floor 5. */
	void (*sweep)(struct brood__members *members, uint32_t dead, bool clean);
};

struct brood__self {		/* of the calling thread; zeroed in a forked child */
	uint32_t ids[BROOD__SEATS];	/* member id + 1, 0 = not a member */
	struct brood__members *members[BROOD__SEATS];
};

extern __thread struct brood__self *brood__self;

int brood__member_join(struct brood__members *members);

static inline bool brood__is_member(const struct brood__members *members)
{
	return brood__self && brood__self->ids[members->seat];
}

/* The caller's id; joins if it has to. -EUSERS, -ENOTSUP, -ENOMEM. */
static inline int brood__member_id(struct brood__members *members)
{
	const struct brood__self *self = brood__self;

	if (brood__likely(self && self->ids[members->seat]))
		return (int)self->ids[members->seat] - 1;
	return brood__member_join(members);
}

/* End the calling thread's membership: its objects are swept, in their clean way. */
void brood__member_leave(struct brood__members *members);
/* The same for every segment that the thread is a member of. */
void brood__leave(void);

static inline uint32_t brood__life_of(const struct brood__members *members, uint32_t id)
{
	/* M1, M2 */
	return atomic_load_explicit(&members->table[id].life.word, memory_order_acquire);
}

static inline uint32_t brood__incarnation_of(const struct brood__members *members, uint32_t id)
{
	/* M2 */
	return atomic_load_explicit(&members->table[id].life.incarnation, memory_order_acquire);
}

/* Sweep every dead member that no living one sweeps already. How many were swept. */
unsigned int brood__member_sweep(struct brood__members *members);

/* The member whose claim to sweep a dead one stands, or BROOD__NOBODY. */
uint32_t brood__member_sweeper(const struct brood__members *members, uint32_t dead);

/*
 * Whether some member is inside a call of the object, or repairs it. After brood__fence_all_cpus.
 */
bool brood__member_inside(const struct brood__members *members, uint64_t object, uint32_t except);

/* How many are alive; how many dead ones wait for a sweep. */
void brood__member_census(const struct brood__members *members, uint32_t *alive, uint32_t *dead);

#endif
