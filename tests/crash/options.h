/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line of the step programs.
 *
 *	--call NAME		one call; all when not given
 *	--state NAME		one state of the object, or one company of the victim
 *	--capacity N		of queues
 *	--stride N		every N-th point; also by the environment, BROOD_STRIDE
 *	--seed N		which of the N
 *	--rounds N		see step_sync.c
 *	--every			see step_pairs.c
 */
#ifndef TESTS_CRASH_OPTIONS_H
#define TESTS_CRASH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct step_options {
	const char *call;
	const char *state;
	size_t stride;
	size_t seed;
	size_t rounds;
	unsigned capacity;
	bool every;
};

extern struct step_options options;

/*
 * Read them, and stay on the CPU with this number among the permitted ones. Returns 0, or the exit
 * status with which the program is to end at once.
 */
int options_start(int argc, char **argv, unsigned seat);

/* Whether this call in this state was asked for. */
bool options_want(const char *call, const char *state);

#endif
