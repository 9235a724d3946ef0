/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two members at one object, switched between at chosen instructions.
 */
#ifndef TESTS_CRASH_PAIRS_H
#define TESTS_CRASH_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "stepper.h"
#include "sync_scene.h"

struct play;

struct outcome {
	ssize_t result[2];
};

#define OUTCOMES 4

struct pair {
	const char *name;
	ssize_t (*make)(void *object);		/* by the parent; NULL: it is all zero */
	ssize_t (*dead)(void *object);		/* by one who is killed then; NULL: nobody is */
	ssize_t (*ready[2])(void *object);	/* by each, before its call; NULL: nothing */
	ssize_t (*call[2])(void *object);
	unsigned sleepers;			/* 0 to 3 wait before the calls begin ... */
	ssize_t (*sleep)(void *object);		/* ... in this, which has to give 0 */
	bool dies[2];				/* killed where it stands, instead of going on */
	/*
	 * By the parent, when both calls have returned or sleep: frees who may rightly sleep. NULL:
	 * nobody may.
	 */
	ssize_t (*rescue)(void *object);
	struct outcome outcomes[OUTCOMES];	/* the possible results; of the dead: any */
	unsigned n_outcomes;
	bool (*check)(struct play *play);	/* what else has to be so; or NULL */
};

#define WAKES 64

/* The way of a member from its start, or to where it sleeps, while the other one stands still. */
struct path {
	struct trace trace;
	size_t *point;		/* the points, as indices of the trace */
	size_t n, room;
	size_t wake[WAKES];	/* calls that may wake somebody, the same way */
	unsigned wakes;
};

struct play {
	const struct pair *pair;
	bool swapped;		/* the pair's second member is the one that begins */
	struct path first, other;	/* the other one's way depends on i */
	size_t i, j;		/* points that the first one, then the other one has passed */
	bool astray;
	void *object;
	uint64_t token[2];	/* by the pair's order, as all below */
	ssize_t result[2];
	/* The object when the first one stood at i, and the other one had not begun: */
	_Alignas(64) unsigned char was_first[OBJECT_MAX];
	/* When they stood at i and j: */
	_Alignas(64) unsigned char was[OBJECT_MAX];
	bool slept[2];
	bool returned[2];
	unsigned sleepers_asleep;
	uint32_t n[4];		/* of the stage */
	/* When nobody was left to do anything: */
	bool stuck[2];
	unsigned sleepers_stuck;
	bool hung;
	char error[240];
};

/* Fork the two members and so many sleepers. */
bool pairs_start(void);
void pairs_end(void);

/* Learn the way of the first one. */
bool pairs_record(struct play *play);

/*
 * Let the first one run to its point i, and the other one to its end or until it sleeps: the last
 * schedule of this i. Learns the way of the other one.
 */
bool pairs_record_other(struct play *play);

/*
 * Run a schedule: the first one to its point i, the other one to its point j, the first one to its
 * end or until it sleeps, the other one too, and then both. False with play->error.
 */
bool pairs_play(struct play *play);

void pairs_forget(struct play *play);

/* ---- for checks ---- */

/* Note an error, unless there is one already. Returns false. */
bool play_fail(struct play *play, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Who slept, of all, when nobody was left to do anything. */
unsigned play_stuck(const struct play *play);

#endif
