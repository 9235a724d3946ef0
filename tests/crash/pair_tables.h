/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pairs of calls that step_pairs.c goes through, and what their tables share. All of `stage`
 * (sync_scene.h) is zero when they begin.
 */
#ifndef TESTS_CRASH_PAIR_TABLES_H
#define TESTS_CRASH_PAIR_TABLES_H

#include <errno.h>

#include "pairs.h"

/* Each ends with a row without a name. */
extern const struct pair lock_pairs[];
extern const struct pair semaphore_pairs[];
extern const struct pair event_pairs[];
extern const struct pair condition_pairs[];
extern const struct pair other_pairs[];

/* A call with nothing to choose. */
#define ACT(name, call)				\
	static ssize_t name(void *object)	\
	{					\
		return call;			\
	}

/*
 * The first one's number in the table of members: behind the parent, Ada and three sleepers. Where
 * it matters who is woken, it is the first one's turn.
 */
#define FIRST_ID 5u

/* Only one may be here. */
static inline ssize_t alone(ssize_t (*leave)(void *), void *object)
{
	if (atomic_fetch_add(&stage->inside, 1))
		return -EPROTO;
	atomic_fetch_sub(&stage->inside, 1);
	return leave(object);
}

/* ---- fields of a row ---- */

#define BOTH(act) { act, act }
#define BOTH_0 .outcomes = { { { 0, 0 } } }, .n_outcomes = 1
#define ALWAYS(x, y) .outcomes = { { { x, y } } }, .n_outcomes = 1
#define ONE_EACH(x, y) .outcomes = { { { x, y } }, { { y, x } } }, .n_outcomes = 2
#define EITHER(x) ONE_EACH(0, x)
#define FIRST_MAY(x) .outcomes = { { { 0, 0 } }, { { x, 0 } } }, .n_outcomes = 2
#define SECOND_MAY(x) .outcomes = { { { 0, 0 } }, { { 0, x } } }, .n_outcomes = 2

#endif
