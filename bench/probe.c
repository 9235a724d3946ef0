/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The placement of the cores: on a virtual machine the host moves them about, and the same code
 * gets four times slower when two cores no longer share a cache. Two processes bounce a pair of
 * lines, one each way; nothing that two processes exchange can be answered sooner.
 */
#include <config.h>

#include <math.h>
#include <sched.h>

#include "harness.h"
#include "stats.h"

#define BATCHES 10
#define ROUNDS 500
#define LAST (UINT64_C(1) << 63)

static uint64_t wait_change(_Atomic uint64_t *line, uint64_t from)
{
	uint64_t value;

	do
		value = atomic_load_explicit(line, memory_order_acquire);
	while (value == from);
	return value;
}

static void bounce(struct team *team, uint64_t value)
{
	uint64_t before = atomic_load_explicit(&team->pong, memory_order_relaxed);

	atomic_store_explicit(&team->ping, value, memory_order_release);
	wait_change(&team->pong, before);
}

static void ping(struct job *job)
{
	struct team *team = job->team;
	uint64_t value = atomic_load(&team->ping) & ~LAST;

	for (int batch = 0; batch < BATCHES; batch++) {
		int64_t begin = now_ns();

		for (int i = 0; i < ROUNDS; i++)
			bounce(team, ++value);
		job_sample(job, (now_ns() - begin) * 10 / ROUNDS);
	}
	bounce(team, ++value | LAST);
}

static void pong(struct job *job)
{
	struct team *team = job->team;
	uint64_t value = atomic_load_explicit(&team->pong, memory_order_relaxed);

	do {
		value = wait_change(&team->ping, value);
		atomic_store_explicit(&team->pong, value, memory_order_release);
	} while (!(value & LAST));
}

double probe_line(struct team *team, const int cpus[2])
{
	struct role roles[2] = {
		{ .n = 1, .cpu = cpus[0], .body = ping },
		{ .n = 1, .cpu = cpus[1], .body = pong },
	};

	if (cpus[0] < 0 || team_run(team, roles, NULL, 0, 0) != TEAM_DONE)
		return NAN;
	return stats_percentile(team->samples, team->n_samples, 0.5) / 10;
}

void cpus_choose(int cpus[2])
{
	cpu_set_t set;
	int found = 0;

	cpus[0] = cpus[1] = CPU_ANY;
	if (sched_getaffinity(0, sizeof set, &set) || CPU_COUNT(&set) < 2)
		return;
	for (int cpu = 0; found < 2; cpu++)
		if (CPU_ISSET((size_t)cpu, &set))
			cpus[found++] = cpu;
}
