/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much an object is fought over: what brood_lock_watch, brood_rlock_watch, brood_rwlock_watch,
 * brood_semaphore_watch, brood_event_watch, brood_condition_watch and brood_barrier_watch count,
 * for the object that they switch it on for.
 *
 *	brood_lock_watch(&jobs->lock, &jobs->fights);
 *	...
 *	brood_lock_watch(&jobs->lock, NULL);
 *
 * Where the counts lie. In memory of the object's segment, aligned to 8. brood adds to what it
 * finds there: make them zero before. Objects that are given the same counts share them.
 *
 * Who counts. Every member, in each call that begins after the switch; a call under way may. A call
 * that an error ends counts nothing. Making an object, by its init, switches it off.
 *
 * What it costs. While it is off, at most one look at a word that is there anyway. While it is on,
 * ten to twenty nanoseconds an acquisition, and two looks at the clock for one that waits.
 *
 * When it is switched off, or to other counts, calls under way may still add to the old ones: their
 * memory must stay for as long as any can be, so mostly as long as the object.
 *
 * If a member dies inside a call, its success may not have been counted. If it dies while it
 * switches, the counting is on or off, and the object works.
 *
 * They can be read at any time: each number is right by itself, and perhaps newer than another.
 */
#ifndef BROOD_CONTENTION_H
#define BROOD_CONTENTION_H

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_contention {
	uint64_t acquisitions;	/* calls that got what they were for */
	uint64_t waits;		/* those of them that did not get it at once */
	uint64_t longest_wait;	/* of those, in nanoseconds */
	uint64_t owner_deaths;	/* what dead members left, and others came upon */
};

#ifdef __cplusplus
}
#endif

#endif
