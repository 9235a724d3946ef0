/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Throughput: producers put as fast as they can until their time is over; the last of them then
 * puts one stop message for every consumer, behind everything else.
 */
#include <config.h>

#include "job.h"

static void stop_consumers(struct job *job)
{
	const struct task *task = job_task(job);

	if (!job_last_producer(job))
		return;
	for (unsigned int i = 0; i < task->shape.consumers; i++)
		job_put(job, &task->ports[0], MESSAGE_STOP);
}

void stream_produce(struct job *job)
{
	const struct port *port = &job_task(job)->ports[0];

	do
		for (int i = 0; i < CALLS_PER_LOOK; i++)
			job_put(job, port, job_next_id(job));
	while (now_ns() < job->until);
	stop_consumers(job);
}

void stream_consume(struct job *job)
{
	const struct port *port = &job_task(job)->ports[0];

	for (uint64_t done = 0; job_get(job, port); job_count(job, ++done))
		;
}

/* Several messages a call, where the peer has such a call. */
static void put_batch(struct job *job, const struct port *port)
{
	size_t size = job_task(job)->shape.size;
	unsigned int batch = job_task(job)->bench->batch;
	uint64_t *words = job->words;

	for (unsigned int i = 0; i < batch; i++, words += job_words(job))
		message_stamp(words, job_words(job), job_next_id(job));
	if (port->ops->put_many) {
		job_must(job, port->ops->put_many(port->queue, job->words, size, batch),
			 "put_many");
		return;
	}
	for (unsigned int i = 0; i < batch; i++)
		job_must(job, port->ops->put(port->queue, job->words + i * job_words(job), size),
			 "put");
}

void bulk_produce(struct job *job)
{
	const struct port *port = &job_task(job)->ports[0];

	do
		for (int i = 0; i < CALLS_PER_LOOK; i++)
			put_batch(job, port);
	while (now_ns() < job->until);
	stop_consumers(job);
}

static void get_batches(struct job *job, const struct port *port)
{
	size_t size = job_task(job)->shape.size;
	unsigned int batch = job_task(job)->bench->batch;
	uint64_t done = 0;

	for (;;) {
		const uint64_t *words = job->words;
		int n = port->ops->get_many(port->queue, job->words, size, batch);

		job_must(job, n, "get_many");
		for (int i = 0; i < n; i++, words += job_words(job)) {
			if (words[0] == MESSAGE_STOP)
				return;
			job_check(job, words);
		}
		job_count(job, done += (unsigned int)n);
	}
}

void bulk_consume(struct job *job)
{
	const struct port *port = &job_task(job)->ports[0];

	if (port->ops->get_many)
		get_batches(job, port);
	else
		stream_consume(job);
}

/* Long messages: every byte is written by the producer and read by the consumer. */
static void put_full(struct job *job, const struct port *port, uint64_t id)
{
	size_t size = job_task(job)->shape.size;
	void *place = job->words;

	if (port->ops->reserve)
		job_must(job, port->ops->reserve(port->queue, &place), "reserve");
	message_fill(place, job_words(job), id);
	job_must(job, port->ops->commit ? port->ops->commit(port->queue, size)
					: port->ops->put(port->queue, place, size), "put");
}

void large_produce(struct job *job)
{
	const struct port *port = &job_task(job)->ports[0];

	do
		for (int i = 0; i < CALLS_PER_LOOK / 16; i++)
			put_full(job, port, job_next_id(job));
	while (now_ns() < job->until);
	if (job_last_producer(job))
		put_full(job, port, MESSAGE_STOP);
}

static bool get_full(struct job *job, const struct port *port)
{
	size_t size = job_task(job)->shape.size;
	void *place = job->words;
	ssize_t n = port->ops->lease ? port->ops->lease(port->queue, &place)
				     : port->ops->get(port->queue, place, size);
	uint64_t id;

	job_must(job, n, "get");
	id = *(uint64_t *)place;
	if ((size_t)n != size || !message_full(place, job_words(job)))
		job_wrong(job, id, "is torn");
	if (port->ops->release)
		job_must(job, port->ops->release(port->queue), "release");
	if (id == MESSAGE_STOP)
		return false;
	if (!tally_get(&job->tally, id))
		job_wrong(job, id, "is not the next of that producer");
	return true;
}

void large_consume(struct job *job)
{
	const struct port *port = &job_task(job)->ports[0];

	for (uint64_t done = 0; get_full(job, port); job_count(job, ++done))
		;
}
