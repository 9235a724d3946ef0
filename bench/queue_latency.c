/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long one message takes: there and back, and to a consumer that sleeps; what waking costs. */
#include <config.h>

#include <unistd.h>

#include <urcu/arch.h>

#include "job.h"

#define PACED_GAP (INT64_C(50) * 1000)
#define WAKE_GAP NSEC_PER_MSEC

static void stop(struct job *job)
{
	job_put(job, &job_task(job)->ports[0], MESSAGE_STOP);
}

/* One message there by the first queue and back by the second. */
static void round_trip(struct job *job)
{
	const struct task *task = job_task(job);
	uint64_t id = job_next_id(job);
	ssize_t n;

	job_put(job, &task->ports[0], id);
	n = task->ports[1].ops->get(task->ports[1].queue, job->words, task->shape.size);
	job_must(job, n, "get");
	if (job->words[0] != id || !message_whole(job->words, job_words(job)))
		job_wrong(job, id, "did not come back");
}

/* The first half without a clock, for the mean; then with one, for the percentiles. */
void trip_produce(struct job *job)
{
	int64_t begin = now_ns();
	int64_t half = begin + (job->until - begin) / 2;
	int64_t now, before;
	uint64_t done = 0;

	do {
		for (int i = 0; i < CALLS_PER_LOOK; i++)
			round_trip(job);
		done += CALLS_PER_LOOK;
		before = now_ns();
	} while (before < half);
	job->worker->span = before - begin;
	job_count(job, done);
	for (; before < job->until; before = now) {
		round_trip(job);
		now = now_ns();
		job_sample(job, now - before);
	}
	stop(job);
}

void trip_consume(struct job *job)
{
	const struct task *task = job_task(job);

	while (job_get(job, &task->ports[0]))
		job_must(job, task->ports[1].ops->put(task->ports[1].queue, job->words,
						      task->shape.size), "put");
}

static int64_t wait_until(int64_t moment)
{
	int64_t now;

	while ((now = now_ns()) < moment)
		caa_cpu_relax();
	return now;
}

/* The moment of the put travels in the second word. */
static void produce_every(struct job *job, int64_t gap)
{
	int64_t next = now_ns() + gap;

	while (next < job->until) {
		int64_t now = wait_until(next);

		job->words[1] = (uint64_t)now;
		job_put(job, &job_task(job)->ports[0], job_next_id(job));
		next = (now - next > gap ? now : next) + gap;
	}
	stop(job);
}

void paced_produce(struct job *job)
{
	produce_every(job, PACED_GAP);
}

void rare_produce(struct job *job)
{
	produce_every(job, WAKE_GAP);
}

void paced_consume(struct job *job)
{
	while (job_get(job, &job_task(job)->ports[0]))
		job_sample(job, now_ns() - (int64_t)job->words[1]);
}

/* Gaps so long that the consumer is asleep at every put; the time of the put is the sample. */
void wake_produce(struct job *job)
{
	int64_t last = now_ns();

	while (last + WAKE_GAP < job->until) {
		uint64_t id = job_next_id(job);
		int64_t begin = wait_until(last + WAKE_GAP);

		job_put(job, &job_task(job)->ports[0], id);
		last = now_ns();
		job_sample(job, last - begin);
	}
	stop(job);
}

void wake_consume(struct job *job)
{
	while (job_get(job, &job_task(job)->ports[0]))
		;
}

void idle_produce(struct job *job)
{
	int64_t left = job->until - now_ns();

	job_put(job, &job_task(job)->ports[0], job_next_id(job));
	if (left > 0)
		usleep((useconds_t)(left / 1000));
	stop(job);
}

void idle_consume(struct job *job)
{
	while (job_get(job, &job_task(job)->ports[0]))
		;
}
