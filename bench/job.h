/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all bodies do with a message; inline, since it lies on the path that is timed. */
#ifndef BENCH_JOB_H
#define BENCH_JOB_H

#include <errno.h>

#include "bench.h"

/* Between two looks at the clock, which costs as much as half a message. */
#define CALLS_PER_LOOK 64

/* End the worker: the id and what is wrong with it; a call and its error. */
void job_wrong(struct job *job, uint64_t id, const char *what) __attribute__((noreturn, cold));
void job_error(struct job *job, const char *call, ssize_t error) __attribute__((noreturn, cold));

/* Whether this producer is the last one to end this phase: it tells the consumers. */
bool job_last_producer(struct job *job);

static inline const struct task *job_task(const struct job *job)
{
	return job->task;
}

static inline size_t job_words(const struct job *job)
{
	return job_task(job)->shape.size / sizeof(uint64_t);
}

static inline void job_must(struct job *job, ssize_t result, const char *call)
{
	if (__builtin_expect(result < 0, 0))
		job_error(job, call, result);
}

static inline uint64_t job_next_id(struct job *job)
{
	uint64_t id = message_id(job->index, ++job->sequence);

	tally_put(&job->tally, id);
	return id;
}

static inline void job_put(struct job *job, const struct port *port, uint64_t id)
{
	size_t size = job_task(job)->shape.size;

	message_stamp(job->words, size / sizeof(uint64_t), id);
	job_must(job, port->ops->put(port->queue, job->words, size), "put");
}

/* Whole, in order, of a producer there is; counted. */
static inline void job_check(struct job *job, const uint64_t *words)
{
	if (__builtin_expect(!message_whole(words, job_words(job)), 0))
		job_wrong(job, words[0], "is torn");
	if (__builtin_expect(!tally_get(&job->tally, words[0]), 0))
		job_wrong(job, words[0], "is not the next of that producer");
}

/* False when the message says stop. */
static inline bool job_get(struct job *job, const struct port *port)
{
	size_t size = job_task(job)->shape.size;
	ssize_t n = port->ops->get(port->queue, job->words, size);

	if (__builtin_expect((size_t)n != size, 0))
		job_error(job, "get", n < 0 ? n : -EMSGSIZE);
	if (job->words[0] == MESSAGE_STOP)
		return false;
	job_check(job, job->words);
	return true;
}

static inline void job_count(struct job *job, uint64_t done)
{
	atomic_store_explicit(&job->worker->done, done, memory_order_relaxed);
}

#endif
