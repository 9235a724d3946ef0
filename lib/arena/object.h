/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every kind of object in a segment has in common: made, found by name, entered by each call,
 * destroyed.
 *
 * Entering. A call first tells in its member's entry which object it is inside of, then looks
 * whether the object still lives: whoever destroys does it the other way round, with a fence on
 * all CPUs between, so the memory of an object is not used again while a call is inside (heap.c).
 * Both stores of the caller are plain ones to a line of its own.
 *
 * Dying inside: create holds a claimed block, which the sweep frees. destroy marks the object dead
 * first; if it dies then, any later sweep retires the block (brood__object_swept).
 */
#ifndef BROOD_OBJECT_H
#define BROOD_OBJECT_H

#include <errno.h>

#include "arena/arena.h"

struct brood__call {		/* the caller is inside a call of an object */
	struct brood_segment *segment;
	void *object;		/* begins with struct brood__object */
	uint32_t me;
};

static inline bool brood__object_alive(const struct brood_segment *segment, const void *object,
				       enum brood__kind kind)
{
	/* A7, H1 */
	return atomic_load_explicit(&((const struct brood__object *)object)->magic,
				    memory_order_acquire) ==
	       brood__magic(kind, brood__offset(segment, object));
}

/* Why an object that does not live does not: -ESTALE or -EBADF. */
int brood__object_gone(const struct brood_segment *segment, const void *object,
		       enum brood__kind kind);

/* The segment of an address that may be an object's: 0, -EINVAL (NULL), -EBADF. */
static inline int brood__object_place(const void *object, struct brood_segment **segment)
{
	uint64_t offset;

	*segment = brood__segment_of(object);
	if (brood__unlikely(!*segment))
		return object ? -EBADF : -EINVAL;
	offset = brood__offset(*segment, object);
	if (brood__unlikely(offset % BROOD__LINE || offset < (*segment)->heap_at ||
			    offset >= atomic_load_explicit(&(*segment)->header->top,
							   memory_order_acquire)))
		return -EBADF;
	return 0;
}

/* 0, -ESTALE, -EUSERS, -ENOMEM, -EDEADLK; of one whose place is known to be right. */
static inline int brood__object_enter_at(struct brood_segment *segment, const void *object,
					 enum brood__kind kind, struct brood__call *call)
{
	_Atomic uint64_t *inside;
	int id = brood__member_id(&segment->members);

	if (brood__unlikely(id < 0))
		return id;
	*call = (struct brood__call){ segment, (void *)(uintptr_t)object, (uint32_t)id };
	inside = &segment->members.table[id].inside;
	if (brood__unlikely(atomic_load_explicit(inside, memory_order_relaxed)))
		return -EDEADLK;
	atomic_store_explicit(inside, brood__offset(segment, object), memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);	/* H1, light half */
	if (brood__unlikely(!brood__object_alive(segment, object, kind))) {
		atomic_store_explicit(inside, 0, memory_order_release);
		return brood__object_gone(segment, object, kind);
	}
	return 0;
}

/* The same of any address: also -EINVAL (NULL), -EBADF (no such object). */
static inline int brood__object_enter(const void *object, enum brood__kind kind,
				      struct brood__call *call)
{
	struct brood_segment *segment;
	int result = brood__object_place(object, &segment);

	if (brood__unlikely(result))
		return result;
	return brood__object_enter_at(segment, object, kind, call);
}

static inline void brood__object_leave(const struct brood__call *call)
{
	brood__assert(atomic_load(&call->segment->members.table[call->me].inside) ==
		      brood__offset(call->segment, call->object));
	atomic_store_explicit(&call->segment->members.table[call->me].inside, 0,
			      memory_order_release);	/* H2 */
}

/* The caller by name, for words that tell their owner (member.h). */
static inline uint64_t brood__object_token(const struct brood__call *call)
{
	return brood__token_of(&call->segment->members, call->me);
}

/*
 * Make one: a zeroed block of `bytes`, of which `commit` bytes are memory from the start, filled by
 * fill(object, shape), with this name (NULL = none). NULL and errno: ENAMETOOLONG, EINVAL (""),
 * EEXIST, ENOSPC.
 */
void *brood__object_make(struct brood_segment *segment, enum brood__kind kind, const char *name,
			 size_t bytes, size_t commit,
			 void (*fill)(void *object, const void *shape), const void *shape);

/*
 * A live one by its name, that its kind finds sound, whatever an unrelated process wrote into it.
 * NULL and errno: EINVAL, ENOENT, EPROTO.
 */
void *brood__object_find(struct brood_segment *segment, enum brood__kind kind, const char *name);

/*
 * Destroy it, make all look that may sleep in it, forget(segment, object) what else depends on it
 * (NULL = nothing), and leave. 0, -ESTALE.
 */
int brood__object_destroy(const struct brood__call *call, enum brood__kind kind,
			  void (*forget)(struct brood_segment *segment, void *object));

/*
 * For the sweep of a kind: whether the object still lives. If not, whoever destroyed it may have
 * died in that: its block is retired.
 */
bool brood__object_swept(struct brood_segment *segment, void *object, enum brood__kind kind);

#endif
