/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include "steps.h"

#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAILURES_SHOWN 10	/* of one call and state */
#define FAILURES_ENOUGH 30	/* the rest of the points is left out then */
#define HANG 10			/* a hang takes long: it counts as so many of these */

static struct {
	const char *call;
	const char *state;
	size_t stride;
	size_t seed;
	unsigned capacity;
} options = { .stride = 1 };

static struct {
	unsigned long points;
	unsigned long failures;
	unsigned long astray;
	unsigned long late;	/* messages that came again behind others */
} totals;

static unsigned failures_here;

static void read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "call", required_argument, NULL, 'c' },
		{ "state", required_argument, NULL, 's' },
		{ "stride", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 'r' },
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
		else if (c == 'k')
			options.capacity = (unsigned)strtoul(optarg, NULL, 10);
		else
			exit(99);
	}
	if (!options.stride || options.capacity > CAPACITY_MAX)
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

int steps_start(int argc, char **argv, unsigned seat)
{
	const char *reason = stepper_unsupported();

	read_options(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (reason) {
		printf("skipped: %s\n", reason);
		return 77;
	}
	stay_on_one_cpu(seat);
	if (!site_start()) {
		perror("cannot make the family and the team");
		return 99;
	}
	return 0;
}

unsigned steps_capacity(const struct call *call)
{
	if (options.capacity)
		return options.capacity;
	return call->joinable ? 3 : 4;
}

static void report(const struct site *site)
{
	totals.points++;
	totals.astray += site->astray;
	totals.late += site->ledger.late;
	if (!site->ledger.error[0])
		return;
	totals.failures++;
	failures_here += site->hung ? HANG : 1;
	if (failures_here <= FAILURES_SHOWN || site->hung)
		printf("FAILED %s: %s\n", site_where(), site->ledger.error);
	if (!site_begin_anew())
		exit(99);
}

static void go_through(struct site *site, void (*check)(struct site *, unsigned), unsigned variant)
{
	for (size_t k = options.seed % options.stride; k < site->trace.points;
	     k += options.stride) {
		if (failures_here >= FAILURES_ENOUGH)
			return;
		site->point = k;
		check(site, variant);
		report(site);
	}
}

static void visit(const struct call *call, enum state state,
		  void (*check)(struct site *, unsigned), unsigned n)
{
	struct site site = { .call = call, .state = state, .capacity = steps_capacity(call) };
	unsigned long points = totals.points, failures = totals.failures;

	failures_here = 0;
	if (site_record(&site))
		for (unsigned variant = 0; variant < n; variant++)
			go_through(&site, check, variant);
	else
		report(&site);
	printf("%-27s %-5s  instructions %5zu  points %6lu  failures %lu%s\n", call->name,
	       state_name[state], site.trace.points - 1, totals.points - points,
	       totals.failures - failures,
	       failures_here >= FAILURES_ENOUGH ? " (given up)" : "");
	trace_free(&site.trace);
}

static bool asked_for(const struct call *call, enum state state)
{
	return call->states & 1u << state &&
	       (!options.call || strcmp(options.call, call->name) == 0) &&
	       (!options.state || strcmp(options.state, state_name[state]) == 0);
}

void steps_each(void (*check)(struct site *site, unsigned variant), unsigned n)
{
	for (size_t i = 0; i < calls_count; i++)
		for (enum state state = EMPTY; state < STATES; state++)
			if (asked_for(&calls[i], state))
				visit(&calls[i], state, check, n);
}

int steps_finish(const char *what)
{
	team_end();
	printf("%s points: %lu, failures: %lu (%lu reached by single steps alone, "
	       "%lu redelivered behind others)\n",
	       what, totals.points, totals.failures, totals.astray, totals.late);
	if (!totals.points)
		return 99;
	return totals.failures ? 1 : 0;
}
