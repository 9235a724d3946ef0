/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frame of the step programs for queues: the way through all calls and states, the count of
 * points and failures. Capacities asked for are 1 to 8; 4 when not given, 3 for joinable queues.
 */
#ifndef TESTS_CRASH_STEPS_H
#define TESTS_CRASH_STEPS_H

#include "site.h"

/*
 * Read the options, make the family and the team, on the CPU with this number among the permitted
 * ones. Returns 0, or the exit status with which the program is to end at once.
 */
int steps_start(int argc, char **argv, unsigned seat);

/* What was asked for, or 4, or 3 in a joinable queue: powers of two and others both matter. */
unsigned steps_capacity(const struct call *call);

/*
 * Go through every call and state that was asked for, and through its points: `check` opens the
 * site, advances the victim, checks, and closes the site. It is called for each of n variants.
 */
void steps_each(void (*check)(struct site *site, unsigned variant), unsigned n);

/* Say what was done, end the team: the exit status. */
int steps_finish(const char *what);

#endif
