/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table of members that no segment has, with a sweep that tells whom it was called for. */
#ifndef TEST_OWN_MEMBERS_H
#define TEST_OWN_MEMBERS_H

#include "member/member.h"
#include "support.h"

enum { OWN_SEAT = BROOD__SEATS - 1 };

struct own_table {
	struct brood__member entries[BROOD_MEMBERS_MAX + BROOD__GUESTS];
	_Atomic uint32_t used;
	_Atomic uint32_t swept[BROOD_MEMBERS_MAX + BROOD__GUESTS];	/* not cleanly */
	_Atomic uint32_t left[BROOD_MEMBERS_MAX + BROOD__GUESTS];	/* cleanly */
	_Atomic uint32_t stop_at;	/* who is to be swept + 1: the sweeper stops there */
};

static struct own_table *own_table;
static struct brood__members own_members;	/* static: the process leaves at its end */

static inline void own_sweep(struct brood__members *members, uint32_t dead, bool clean)
{
	(void)members;
	atomic_fetch_add(clean ? &own_table->left[dead] : &own_table->swept[dead], 1);
	if (atomic_load(&own_table->stop_at) == dead + 1) {
		atomic_store(&own_table->stop_at, 0);
		raise(SIGSTOP);
	}
}

static inline void begin_with_members(uint32_t max)
{
	begin_without_arena();
	own_table = shared(sizeof(*own_table));
	own_members = (struct brood__members){
		.table = own_table->entries,
		.used = &own_table->used,
		.max = max,
		.seat = OWN_SEAT,
		.sweep = own_sweep,
	};
}

static inline int own_id(void)
{
	return brood__member_id(&own_members);
}

#endif
