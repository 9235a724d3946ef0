/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A look at an object from outside of its calls, while the caller may be inside a call of another:
 * by the second hazard of its entry, which else is used in a sweep only, and there is none in
 * between.
 */
#ifndef BROOD_HOLD_H
#define BROOD_HOLD_H

#include "arena/object.h"

static inline bool brood__object_hold(const struct brood__here *here, const void *object,
				      enum brood__kind kind)
{
	/* Floor 2 hands back what we gave it. */
	const struct brood_segment *segment = (const struct brood_segment *)here->members;
	struct brood__member *entry = &here->members->table[brood__token_id(here->token)];

	atomic_store_explicit(&entry->sweeping, brood__offset(segment, object),
			      memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);	/* H1, light half */
	return brood__object_alive(segment, object, kind);
}

static inline void brood__object_let_go(const struct brood__here *here)
{
	atomic_store_explicit(&here->members->table[brood__token_id(here->token)].sweeping, 0,
			      memory_order_release);	/* H2 */
}

#endif
