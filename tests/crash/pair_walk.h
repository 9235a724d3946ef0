/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving one of the two members: to a point of its path, or freely to its end or into its sleep.
 */
#ifndef TESTS_CRASH_PAIR_WALK_H
#define TESTS_CRASH_PAIR_WALK_H

#include "member/member.h"
#include "pairs.h"

enum state { STANDS, SLEEPS, ENDED };

struct walker {
	pid_t pid;		/* 0 when it is dead */
	enum state state;
	unsigned index;
};

/* Where points are: whatever touches this segment, or the stage. */
extern struct brood__here walk_place;

/* Whether it has stopped: in front of an instruction, at its end, or dead, which is an error. */
bool walk_has_stopped(struct play *play, struct walker *m);

/* Step it to its end or into its sleep, and note the way. */
void walk_and_note(struct play *play, struct walker *m, struct path *path);

/*
 * Bring it to point n of its path, or to its end or sleep. False: it took another way, and is lost;
 * with play->astray, a new one is brought there by single steps alone.
 */
bool walk_to(struct play *play, struct walker *m, const struct path *path, size_t n);

void walk_freely(struct play *play, struct walker *m);

#endif
