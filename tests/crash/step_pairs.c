/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two members at one object, all schedules with up to two preemptions: the first runs to its point
 * i, then the other for j points, then the first to its end or until it sleeps, then the other; for
 * every i, every j, and either of the two as the first. No two own what only one can, no wake-up is
 * lost, and nobody sleeps when nobody is left to wake him.
 *
 * In some pairs one of the two does not go on but is killed where it stands.
 *
 * Instructions of the two are mixed, but each is seen by all at once: what processors do with the
 * order of memory accesses is not tried here.
 *
 * A point is in front of every instruction that touches shared memory, and every system call
 * (touch.h): what lies between matters to nobody else. With --every it is in front of every
 * instruction. Of a loop in which a member finds nothing new the first two rounds have points
 * (--rounds; 0 = all). A stride takes every N-th schedule: some of the i, and other j for each.
 *
 *	step_pairs [--call NAME] [--state first|second] [--stride N] [--seed N] [--rounds N]
 *		[--every]
 */
#include <dlfcn.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "pair_tables.h"

#define FAILURES_SHOWN 10	/* of one pair */
#define FAILURES_ENOUGH 30	/* the rest of the schedules is left out then */
#define FAR_NS 10000000		/* from now */
#define HANG 10			/* a hang takes long: it counts as so many of these */

static const struct pair *const tables[] = {
	lock_pairs, semaphore_pairs, event_pairs, condition_pairs, other_pairs,
};

static struct play play;
static unsigned long schedules, failures, astray, failures_here;
static size_t stride_i, stride_j;

static void run(bool (*schedule)(struct play *))
{
	bool right = schedule(&play);

	schedules++;
	astray += play.astray;
	if (right)
		return;
	failures++;
	failures_here += play.hung ? HANG : 1;
	if (failures_here <= FAILURES_SHOWN || play.hung)
		printf("FAILED %s, %s first, points %zu of %zu and %zu of %zu: %s\n",
		       play.pair->name, play.swapped ? "second" : "first", play.i, play.first.n,
		       play.j, play.other.n, play.error);
	pairs_end();
	if (!pairs_start())
		exit(99);
}

static void go_through_others(void)
{
	run(pairs_record_other);
	for (size_t j = (options.seed / stride_i + play.i) % stride_j;
	     j < play.other.n && failures_here < FAILURES_ENOUGH; j += stride_j) {
		play.j = j;
		run(pairs_play);
	}
}

static bool is_far(const struct timespec *end)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (end->tv_sec - now.tv_sec) * 1000000000 + end->tv_nsec - now.tv_nsec > FAR_NS;
}

/*
 * Sleepers look by themselves every 100 ms (lib/wait/wait.c). Not in this program, in which they
 * sleep until they are woken: so a wake-up that is lost is never made good. Shorter times are kept,
 * calls that are too late want them.
 */
long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long a[6];
	va_list arguments;

	va_start(arguments, number);
	for (unsigned i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if ((number == SYS_futex_waitv || (number == SYS_futex && a[1] == FUTEX_WAIT_BITSET)) &&
	    a[3] && is_far((const struct timespec *)a[3]))
		a[3] = 0;
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Then it does not matter which of the two is the first. */
static bool is_symmetric(const struct pair *pair)
{
	return pair->call[0] == pair->call[1] && pair->ready[0] == pair->ready[1] &&
	       pair->dies[0] == pair->dies[1];
}

static void visit(const struct pair *pair, bool swapped)
{
	unsigned long schedules_before = schedules, failures_before = failures;
	size_t most = 0;

	if (!options_want(pair->name, swapped ? "second" : "first") ||
	    (swapped && is_symmetric(pair)))
		return;
	failures_here = 0;
	play.pair = pair;
	play.swapped = swapped;
	/* Twice: who swept an entry last is remembered there, and a look at it is a step. */
	run(pairs_record);
	run(pairs_record);
	for (size_t i = options.seed % stride_i;
	     i < play.first.n && failures_here < FAILURES_ENOUGH; i += stride_i) {
		play.i = i;
		go_through_others();
		most = play.other.n > most ? play.other.n : most;
	}
	printf("%-38s %-6s  points %4zu and %4zu  schedules %6lu  failures %lu%s\n", pair->name,
	       swapped ? "second" : "first", play.first.n, most, schedules - schedules_before,
	       failures - failures_before, failures_here >= FAILURES_ENOUGH ? " (given up)" : "");
	pairs_forget(&play);
}

int main(int argc, char **argv)
{
	int status = options_start(argc, argv, 0);

	if (status)
		return status;
	for (stride_i = 1; (stride_i + 1) * (stride_i + 1) <= options.stride; stride_i++)
		;
	stride_j = options.stride / stride_i;
	if (!pairs_start()) {
		perror("cannot make the family and the members");
		return 99;
	}
	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
		for (const struct pair *pair = tables[t]; pair->name; pair++)
			for (unsigned swapped = 0; swapped < 2; swapped++)
				visit(pair, swapped);
	pairs_end();
	printf("schedules: %lu, failures: %lu (%lu by single steps alone)\n", schedules, failures,
	       astray);
	if (!schedules)
		return 99;
	return failures ? 1 : 0;
}
