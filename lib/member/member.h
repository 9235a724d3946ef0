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
	_Atomic uint32_t asleep;	/* the list it may be asleep on, see wait.c; 0 = awake */
	_Atomic uint64_t bell;	/* the number of its doorbells, 0 = none; see bell.c */
	_Atomic uint32_t arming;	/* how often it has armed one */
	_Atomic uint32_t alarms;	/* how often it was told to look at all of them again */
	_Atomic int32_t process;	/* what its death is watched by where no futex will do */
	uint32_t reserved[3];
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
	/*
	 * A member has joined, and is to be watched, or has left, and owns nothing any more: who
	 * sleeps has to look again. Provided by floor 5; may be NULL.
	 */
	void (*changed)(struct brood__members *members);
	/* Repair what `dead` left in the segment; called by floor 2, provided by floor 5. */
	void (*sweep)(struct brood__members *members, uint32_t dead, bool clean);
};

/*
 * A member by name, as words of shared objects tell their owner: { incarnation:32 | id + 1:16 |
 * for the object's own use:16 }. An id is used again, an incarnation is not, so a token whose
 * member is gone is never taken for another's.
 */
#define BROOD__TOKEN_MASK (~(uint64_t)0xffff)

struct brood__here {		/* the segment of an address, and who the caller is in it */
	uintptr_t base;
	size_t bytes;
	struct brood__members *members;
	uint64_t token;
};

/*
 * The members of the segment that an address lies in, and where that begins and ends; false when
 * it lies in none. Provided by floor 5 before main.
 */
extern bool (*brood__segment_around)(const void *address, struct brood__here *here);

struct brood__self {		/* of the calling thread; zeroed in a forked child */
	uint32_t ids[BROOD__SEATS];	/* member id + 1, 0 = not a member */
	struct brood__members *members[BROOD__SEATS];
	/*
	 * By seat, what brood__here found there: the same for as long as the membership lasts, so
	 * that a signal handler, whichever segment it uses, changes nothing under the interrupted
	 * call. `near` is the seat of the last one.
	 */
	struct brood__here places[BROOD__SEATS];
	uint32_t near;
	struct brood__bells *bells;	/* bell.c; NULL = it has none */
};

extern __thread struct brood__self *brood__self;

/* The calling thread leaves, and has bells: provided by floor 3. */
extern void (*brood__bells_leave)(const struct brood__members *members);

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

/* The same for an object of any segment: 0; -EINVAL (NULL), -EBADF (in no segment), as above. */
int brood__here_slowly(const void *object, struct brood__here *here);

/* What is common to nearly all calls: the segment of the last one. NULL if it is another. */
static inline const struct brood__here *brood__nearby(const void *object)
{
	const struct brood__self *self = brood__self;
	const struct brood__here *here;

	if (brood__unlikely(!self))
		return NULL;
	here = &self->places[*(const volatile uint32_t *)&self->near];
	return brood__likely((uintptr_t)object - here->base < here->bytes) ? here : NULL;
}

static inline int brood__here(const void *object, struct brood__here *here)
{
	const struct brood__here *near = brood__nearby(object);

	if (brood__likely(near)) {
		*here = *near;
		return 0;
	}
	return brood__here_slowly(object, here);
}

static inline uint32_t brood__token_id(uint64_t token)
{
	return (uint32_t)(token >> 16 & 0xffff) - 1;
}

/* Whether the member that a token names has died or ended. */
bool brood__token_gone(const struct brood__members *members, uint64_t token);

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

/* The name of who has this id now. */
static inline uint64_t brood__token_of(const struct brood__members *members, uint32_t id)
{
	return (uint64_t)brood__incarnation_of(members, id) << 32 | (uint64_t)(id + 1) << 16;
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
