/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A team of forked workers that carries out one timing.
 *
 * Every worker runs its body twice, once to warm up and once to be timed; a barrier that all of
 * them pass lies before, between and after. So nobody is still starting or already leaving while a
 * figure is taken. A team that takes too long (a ring whose members preempt each other can get a
 * thousand times slower) is killed, and what it had done by then is the result. Workers die with
 * the program.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "message.h"

#define WORKERS_MAX (2 * MESSAGE_PRODUCERS)
#define SAMPLES_MAX (1u << 18)
#define NSEC_PER_MSEC INT64_C(1000000)
#define NSEC_PER_SEC INT64_C(1000000000)

enum phase { PHASE_NONE, PHASE_WARM, PHASE_TIMED, PHASE_DONE };

/* What the parent gets to know of a worker; in shared memory, written by that worker alone. */
struct worker {
	_Alignas(128) _Atomic uint64_t done;	/* messages of this phase */
	_Atomic int phase;
	int64_t begin, end;			/* of this phase; end is 0 until then */
	int64_t cpu_begin, cpu_end;		/* CPU time used by then */
	int64_t cpu_all;			/* at its end, by the kernel's account */
	int64_t span;				/* what `done` took, where a body times itself */
	uint64_t count, sum;			/* of all messages, both phases */
	pid_t pid;
	char error[200];
};

struct team {
	pthread_barrier_t barrier;
	unsigned int n;
	int64_t cut;				/* when the workers were killed, or 0 */
	_Alignas(128) _Atomic unsigned int producers_left[PHASE_DONE];
	_Alignas(128) _Atomic uint64_t last_batch;	/* of rounds that all workers make together */
	_Alignas(128) _Atomic uint64_t ping;	/* the two lines of the placement probe */
	_Alignas(128) _Atomic uint64_t pong;
	_Alignas(128) uint32_t n_samples;
	uint32_t samples[SAMPLES_MAX];		/* ns; by one worker of the team */
	struct worker workers[WORKERS_MAX];
};

/* What a body knows; private to its worker. */
struct job {
	struct team *team;
	struct worker *worker;
	const void *task;	/* the caller's */
	unsigned int index;	/* among those of its kind */
	enum phase phase;
	int64_t until;		/* end of this phase */
	uint64_t *words;	/* room for a call's messages */
	uint64_t sequence;	/* of the last message */
	struct tally tally;
};

enum {
	CPU_ANY = -1,		/* where the kernel likes */
	CPU_SPREAD = -2,	/* pinned, worker by worker round all CPUs that are allowed */
};

/* One kind of worker. */
struct role {
	unsigned int n;
	int cpu;		/* pinned there, or one of the following */
	void (*enter)(struct job *job);	/* once, first; may be NULL */
	void (*body)(struct job *job);	/* every phase */
};

enum outcome { TEAM_DONE, TEAM_CUT, TEAM_FAILED };

struct team *team_create(void);
void team_destroy(struct team *team);

/*
 * Run producers (workers 0 ...) and consumers (the following) for the times given, in ns. TEAM_CUT:
 * they took seconds longer and were killed. TEAM_FAILED: team_error() tells why.
 */
enum outcome team_run(struct team *team, const struct role roles[2], const void *task,
		      int64_t warm, int64_t timed);
const char *team_error(const struct team *team);

/* For bodies: end the worker and the team with this text. */
void job_fail(struct job *job, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

void job_sample(struct job *job, int64_t ns);

/* The two CPUs that pairs are pinned to; both CPU_ANY when there are not two. */
void cpus_choose(int cpus[2]);

/* Round trip over a pair of cache lines between two CPUs in ns, NAN if it cannot be had. */
double probe_line(struct team *team, const int cpus[2]);

static inline int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

#endif
