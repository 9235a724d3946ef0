/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who the only producer, or the only consumer, of a queue is: a word each, its seat.
 *
 *	0                                  nobody has had it, or it was left
 *	{ token of the member | odd | in hand }
 *	                                   it is taken, for as long as that member lives
 *
 * The first that puts, or gets, takes the seat by CAS; for it every later look is one compare.
 * Another one is told -EBUSY. A token is never used again, so a seat whose member is gone says so
 * to everybody, and whoever comes next takes it from the dead: nothing has to be swept.
 *
 * Dying inside: before the CAS nothing has happened, after it the seat is a dead one's again.
 *
 * Edges (doc/memory-model.md). P5: what the former one stored is seen by who takes its seat: from
 * the dead through M1, from one that left through this word.
 */
#include <errno.h>

#include "queue/queue.h"

static bool is_mine(const struct call *call, uint64_t seat)
{
	return (seat & BROOD__TOKEN_MASK) == call->token;
}

int brood__seat_take(const struct call *call, _Atomic uint64_t *seat)
{
	struct brood__members *members = &call->segment->members;
	uint64_t held = atomic_load_explicit(seat, memory_order_acquire);	/* P5 */

	for (;;) {
		if (brood__likely(is_mine(call, held)))
			return 0;
		if (!brood__token_gone(members, held))
			return -EBUSY;
		brood__member_sweep(members);	/* what the former one had comes first */
		if (atomic_compare_exchange_strong_explicit(seat, &held, call->token,
							    memory_order_acq_rel,
							    memory_order_acquire))	/* P5 */
			return 1;
	}
}

void brood__seat_leave(const struct call *call, _Atomic uint64_t *seat)
{
	if (is_mine(call, atomic_load_explicit(seat, memory_order_relaxed)))
		atomic_store_explicit(seat, 0, memory_order_release);	/* P5 */
}
