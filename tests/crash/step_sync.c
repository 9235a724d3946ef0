/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction of every call of the synchronisation objects. A victim makes the call
 * and is killed at point 0, 1, 2, ... until the call has returned, alone (and one who was there, or
 * a newcomer, looks first), and while one, and three, others sleep in the object. Then the rules
 * that the object's header states must hold for the others, in all that they can ask; nobody may
 * hang, and nobody may be helped only by the look that every sleeper takes every 100 ms.
 *
 * A call that waits looks some hundred times before it sleeps. The rounds of such a loop are alike:
 * of each instruction the first and last two executions are points (--rounds says how many; 0 = all).
 * A call that sleeps is also killed in its sleep.
 *
 *	step_sync [--call NAME] [--state COMPANY] [--stride N] [--seed N] [--rounds N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "sync_tables.h"

#define FAILURES_SHOWN 10	/* of one call */
#define FAILURES_ENOUGH 30	/* the rest of the points is left out then */
#define HANG 10			/* a hang takes long: it counts as so many of these */

static const struct company companies[] = {
	{ "alone", 0, ADA },
	{ "newcomer", 0, LATE },
	{ "one", 1, ADA },
	{ "three", 3, ADA },
};

#define COMPANIES (sizeof companies / sizeof *companies)

static const struct sync_case *const tables[] = {
	lock_cases, semaphore_cases, event_cases, counter_cases, once_cases, rwlock_cases,
	condition_cases, barrier_cases,
};

static struct scene scene;
static unsigned long points, failures, astray, failures_here;

static void report(bool right)
{
	points++;
	astray += scene.astray;
	if (right)
		return;
	failures++;
	failures_here += scene.hung ? HANG : 1;
	if (failures_here <= FAILURES_SHOWN || scene.hung)
		printf("FAILED %s: %s\n", scene_where(&scene), scene.error);
	if (!scene_begin_anew())
		exit(99);
}

static void go_through(void)
{
	bool *chosen = trace_choose(&scene.trace, options.rounds);

	for (size_t k = options.seed % options.stride; k < scene.trace.points;
	     k += options.stride) {
		if (failures_here >= FAILURES_ENOUGH)
			break;
		if (!chosen[k])
			continue;
		scene.point = k;
		report(scene_play(&scene));
	}
	free(chosen);
	if (!scene.job->grant || failures_here >= FAILURES_ENOUGH)
		return;
	scene.asleep = true;
	report(scene_play(&scene));
	scene.asleep = false;
}

static void visit(const struct sync_case *job, const struct company *company)
{
	unsigned long points_before = points, failures_before = failures;

	if (!options_want(job->name, company->name) || (company->sleepers && !job->sleep))
		return;
	failures_here = 0;
	scene.job = job;
	scene.company = company;
	if (scene_record(&scene))
		go_through();
	else
		report(false);
	printf("%-26s %-8s  instructions %5zu  points %6lu  failures %lu%s\n", job->name,
	       company->name, scene.trace.points - 1, points - points_before,
	       failures - failures_before, failures_here >= FAILURES_ENOUGH ? " (given up)" : "");
	trace_free(&scene.trace);
}

int main(int argc, char **argv)
{
	int status = options_start(argc, argv, 1);

	if (status)
		return status;
	if (!scene_start()) {
		perror("cannot make the family and the crew");
		return 99;
	}
	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
		for (const struct sync_case *job = tables[t]; job->name; job++)
			for (size_t c = 0; c < COMPANIES; c++)
				visit(job, &companies[c]);
	crew_end();
	printf("kill points: %lu, failures: %lu (%lu reached by single steps alone)\n", points,
	       failures, astray);
	if (!points)
		return 99;
	return failures ? 1 : 0;
}
