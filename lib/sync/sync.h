/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 4: locks and what is made of the same stuff, in the caller's memory.
 *
 * An object's state is in words that a survivor can read: an owner is told by its token (member.h),
 * so nothing has to be registered, and nothing needs a sweep. Who waits watches the lives of all
 * members, and the sweep of a dead one makes all sleepers look again: so a member may die between
 * any change of a word and the wake-up that belongs to it.
 */
#ifndef BROOD_SYNC_H
#define BROOD_SYNC_H

#include <errno.h>
#include <string.h>

#include <brood/segment.h>

#include "wait/wait.h"

/* The caller's place in the segment of the object: 0, or the error for the caller. */
static inline int sync_enter(const void *object, size_t alignment, struct brood__here *here)
{
	int result = brood__here(object, here);

	if (brood__unlikely((uintptr_t)object % alignment))
		return -EINVAL;
	return result;
}

/* The same, if it costs next to nothing; or NULL. */
static inline const struct brood__here *sync_nearby(const void *object, size_t alignment)
{
	return brood__likely((uintptr_t)object % alignment == 0) ? brood__nearby(object) : NULL;
}

/* What is all zero at first. 0, or the error for the caller. */
static inline int sync_make_zero(void *object, size_t bytes)
{
	struct brood__here here;
	int result = sync_enter(object, BROOD__LINE, &here);

	if (result == 0)
		memset(object, 0, bytes);
	return result;
}

/* A zeroed one of its own, if its options were good: NULL and errno. */
static inline void *sync_alloc(int result, struct brood_segment *segment, size_t bytes)
{
	if (result == 0)
		return brood_alloc(segment, bytes);
	errno = -result;
	return NULL;
}

/* In a lock's word, beside the owner. */
enum {
	SYNC_INCONSISTENT = 2,	/* the former owner died; the present one has not recovered it */
	SYNC_LOST = 4,		/* it never will be */
};

/*
 * Pauses between two looks: who looks all the time takes the line away from the member that changes
 * it, and everybody is slower for it. 2 and 4 processes at one lock: none 60 to 70 ns, 20 pauses
 * 17, 50 pauses 14 to 21, and less fair.
 */
#define SYNC_GATHER 20

/* Wait on a list of the object until attempt(arg) is other than -EAGAIN, as brood__wait. */
static inline ssize_t sync_wait(const struct brood__here *here, struct brood__waitlist *list,
				int64_t timeout, ssize_t (*attempt)(void *), void *arg)
{
	const struct brood__wait wait = {
		.members = here->members,
		.list = list,
		.timeout = timeout,
		.me = brood__token_id(here->token),
		.gather = SYNC_GATHER,
	};

	return brood__wait(&wait, attempt, arg);
}

/*
 * Make all that wait on a list look again, if any do. As brood__notify, the caller has published.
 */
static inline void sync_wake_all(struct brood__members *members, struct brood__waitlist *list)
{
	if (brood__unlikely(brood__waitlist_any(list)))
		brood__wake_list(members, list);
}

/* Public structs spell their words without _Atomic, which C++ does not have. */
static inline _Atomic uint64_t *sync_word(uint64_t *word)
{
	return (_Atomic uint64_t *)(void *)word;
}

static inline _Atomic uint32_t *sync_word32(uint32_t *word)
{
	return (_Atomic uint32_t *)(void *)word;
}

static inline struct brood__waitlist *sync_list(uint32_t waiters[9])
{
	_Static_assert(sizeof(struct brood__waitlist) == 9 * sizeof(uint32_t), "as in public structs");
	return (struct brood__waitlist *)(void *)waiters;
}

#endif
