/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>

#include "options.h"

#define FAILURES_SHOWN 10	/* of one call and state */
#define FAILURES_ENOUGH 30	/* the rest of the points is left out then */
#define HANG 10			/* a hang takes long: it counts as so many of these */

static struct {
	unsigned long points;
	unsigned long failures;
	unsigned long astray;
	unsigned long late;	/* messages that came again behind others */
} totals;

static unsigned failures_here;

int steps_start(int argc, char **argv, unsigned seat)
{
	int status = options_start(argc, argv, seat);

	if (status)
		return status;
	if (options.capacity > CAPACITY_MAX)
		return 99;
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
	return call->states & 1u << state && options_want(call->name, state_name[state]);
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
