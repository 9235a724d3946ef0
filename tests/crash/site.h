/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One point: a fresh queue, the team that has met on it, a victim in the middle of its call.
 */
#ifndef TESTS_CRASH_SITE_H
#define TESTS_CRASH_SITE_H

#include "cases.h"
#include "stepper.h"
#include "team.h"

#define CAPACITY_MAX 8

struct site {
	/* What is asked for. */
	const struct call *call;
	enum state state;
	unsigned capacity;
	size_t point;
	const char *extra;		/* what else tells this point from others, for reports */

	/* What there is. */
	struct brood_queue *queue;
	struct victim *victim;
	pid_t pid;			/* the victim's, 0 when it has gone */
	unsigned queued[CAPACITY_MAX];	/* indices in the queue before the call, in order */
	unsigned count;
	struct trace trace;		/* of the whole call in this state */
	uint64_t address;		/* where the victim stands */
	bool astray;			/* the short cut to the point was of no use */

	/* What came of it. */
	unsigned added;			/* messages put by others since then */
	struct ledger ledger;		/* its error is the point's failure */
	bool hung;
};

/* Make the family and the team. False with errno. */
bool site_start(void);

/* Set up a point: queue, team, victim in front of the call. False with the ledger's error. */
bool site_open(struct site *site);

/* Record the path of the call in this state. False with the ledger's error. */
bool site_record(struct site *site);

/* Bring the victim to its point, with a new one when it went astray. */
bool site_advance(struct site *site);

/* Destroy the queue and see that nothing is left. */
bool site_close(struct site *site);

/* After a failure nothing is known about helpers and memory: a new team, and no comparison. */
bool site_begin_anew(void);

/* The point at hand, in words. */
const char *site_where(void);

/* One order of a member; a hang is entered into the ledger. */
bool site_do(struct site *site, enum who who, enum order_kind kind, uint64_t name,
	     struct answer *answer);

#endif
