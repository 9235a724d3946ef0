/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The benches, and measuring one of them with one peer. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness.h"
#include "peer.h"

enum figures {
	FIGURES_RATE,		/* time over messages, all workers together */
	FIGURES_TRIP,		/* the first producer times itself, and takes samples */
	FIGURES_SAMPLES,	/* samples only */
	FIGURES_CPU,		/* nothing but the CPU use */
};

enum {
	BENCH_PINNED = 1,	/* producer and consumer on two CPUs of their own */
	BENCH_SHAPES = 2,	/* --producers and --consumers apply */
	BENCH_WAKE = 4,		/* also for what is no queue but only wakes */
	BENCH_SLEEPERS = 8,	/* only for peers that sleep */
	BENCH_FAMILIES = 16,	/* without the variants of a peer */
	BENCH_ONE_RUN = 32,
	BENCH_CONSUMER_CPU = 64, /* the CPU use of the consumers is what counts */
	BENCH_SYNC = 128,	/* rounds of an object of synchronisation; no consumers */
	BENCH_BATCH = 256,	/* --batch says how many at a time */
	BENCH_MAILBOX = 256,	/* only for objects with room for one message */
	BENCH_BYTES = 512,	/* a round of BENCH_SYNC moves the bytes of a message; nobody pinned */
};

struct bench {
	const char *name;
	const char *about;
	const size_t *sizes;		/* 0 at the end */
	size_t size_min;		/* what the bench itself needs */
	const unsigned int *shapes;	/* producers, and as many consumers; 0 at the end */
	unsigned int batch;
	unsigned int queues;
	unsigned int time_ms;		/* 0 = as --time says */
	unsigned int flags;
	enum figures figures;
	void (*produce)(struct job *job);
	void (*consume)(struct job *job);
};

extern const struct bench benches[];	/* name NULL at the end */

/* What the workers of a timing see. */
struct task {
	const struct bench *bench;
	struct shape shape;
	struct port ports[2];
};

/* What the user chooses for all benches. */
struct conditions {
	unsigned int time_ms;
	bool spread;		/* pin also the workers of benches that pin nobody */
};

/* The result of one timing; NAN where there is none. */
struct figure {
	double ns;
	double p50;
	double p99;
	double cpu;
	double line;
	double even;		/* the slowest worker's share of the fastest one's work */
	bool cut;
};

bool bench_takes(const struct bench *bench, const struct peer *peer, const struct shape *shape);

/*
 * One timing, with the probe before it. 0; -1 and errno when there is no such queue; -2 when the
 * contents were wrong or a worker failed: *error tells.
 */
int bench_measure(struct team *team, const struct bench *bench, const struct peer *peer,
		  const struct shape *shape, const struct conditions *conditions,
		  struct figure *figure, const char **error);

/* Bodies. */
void stream_produce(struct job *job);
void stream_consume(struct job *job);
void bulk_produce(struct job *job);
void bulk_consume(struct job *job);
void large_produce(struct job *job);
void large_consume(struct job *job);
void trip_produce(struct job *job);
void trip_consume(struct job *job);
void paced_produce(struct job *job);
void paced_consume(struct job *job);
void rare_produce(struct job *job);
void wake_produce(struct job *job);
void wake_consume(struct job *job);
void sync_rounds(struct job *job);
void process_rounds(struct job *job);
void pool_map_rounds(struct job *job);
void capture_rounds(struct job *job);
void idle_produce(struct job *job);
void idle_consume(struct job *job);

#endif
