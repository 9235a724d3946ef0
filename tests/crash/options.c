/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stepper.h"

struct step_options options = { .stride = 1, .rounds = 2 };

static void read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "call", required_argument, NULL, 'c' },
		{ "state", required_argument, NULL, 's' },
		{ "stride", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 'r' },
		{ "rounds", required_argument, NULL, 'o' },
		{ "every", no_argument, NULL, 'e' },
		{ "capacity", required_argument, NULL, 'k' },
		{ NULL, 0, NULL, 0 },
	};
	const char *stride = getenv("BROOD_STRIDE");
	int c;

	if (stride)
		options.stride = strtoul(stride, NULL, 10);
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'c')
			options.call = optarg;
		else if (c == 's')
			options.state = optarg;
		else if (c == 'n')
			options.stride = strtoul(optarg, NULL, 10);
		else if (c == 'r')
			options.seed = strtoul(optarg, NULL, 10);
		else if (c == 'o')
			options.rounds = strtoul(optarg, NULL, 10);
		else if (c == 'e')
			options.every = true;
		else if (c == 'k')
			options.capacity = (unsigned)strtoul(optarg, NULL, 10);
		else
			exit(99);
	}
	if (!options.stride)
		exit(99);
}

/*
 * On one CPU the switches between parent, victim and helpers are quickest. Programs that run at the
 * same time get different ones, if there are several.
 */
static void stay_on_one_cpu(unsigned seat)
{
	cpu_set_t all, one;
	size_t cpu = 0;

	if (sched_getaffinity(0, sizeof all, &all))
		return;
	seat %= (unsigned)CPU_COUNT(&all);
	while (!CPU_ISSET(cpu, &all) || seat-- > 0)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof one, &one);
}

int options_start(int argc, char **argv, unsigned seat)
{
	const char *reason = stepper_unsupported();

	read_options(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (reason) {
		printf("skipped: %s\n", reason);
		return 77;
	}
	stay_on_one_cpu(seat);
	return 0;
}

bool options_want(const char *call, const char *state)
{
	return (!options.call || strcmp(options.call, call) == 0) &&
	       (!options.state || strcmp(options.state, state) == 0);
}
