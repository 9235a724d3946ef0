/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a queue that cannot sleep waits, the same for all of them: a pause between the first tries,
 * then give up the CPU between further ones, so that a preempted member gets on.
 */
#ifndef BENCH_BACKOFF_H
#define BENCH_BACKOFF_H

#include <sched.h>

#include <urcu/arch.h>

#define BACKOFF_PAUSES 64u

static inline void backoff(unsigned int *tries)
{
	if ((*tries)++ < BACKOFF_PAUSES)
		caa_cpu_relax();
	else
		sched_yield();
}

#endif
