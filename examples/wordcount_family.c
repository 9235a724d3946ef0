/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processes and the two queues between them: started, looked after, killed on wish, ended. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <brood.h>

#include "wordcount.h"

#define QUEUE_SLOTS 16			/* few, so that no side runs far ahead */
#define CHUNK_BYTES_MAX (256u << 10)
#define CHUNK_BYTES_MIN 1024u		/* words_cut needs more than WORD_MAX */
#define CHUNKS_A_KILL 64		/* at least, so that every kill finds work going on */
#define BATCH_BYTES (8u << 10)	/* several a chunk, so that a kill can fall between them */

/* More pieces for more kills; none so large that it does not fit the cache. */
static size_t chunk_bytes(const struct pipeline *pipeline)
{
	uint64_t bytes = pipeline->files->bytes / CHUNKS_A_KILL / (pipeline->settings->chaos + 1);

	if (bytes < CHUNK_BYTES_MIN)
		return CHUNK_BYTES_MIN;
	return bytes < CHUNK_BYTES_MAX ? bytes : CHUNK_BYTES_MAX;
}

static int create_queues(struct pipeline *pipeline)
{
	struct brood_queue_opts opts = {
		.slots = QUEUE_SLOTS,
		.max_bytes = sizeof(struct chunk) + chunk_bytes(pipeline),
	};

	pipeline->chunks = brood_queue_create(&opts);
	if (!pipeline->chunks)
		return fail("cannot create a queue", -errno);
	opts.max_bytes = BATCH_BYTES;
	pipeline->batches = brood_queue_create(&opts);
	return pipeline->batches ? 0 : fail("cannot create a queue", -errno);
}

static int start(struct family *family, struct brood_process **process, int (*function)(void *),
		 const char *name)
{
	struct brood_process_opts opts = { .name = name, .die_with_parent = true };

	*process = brood_process_start_opts(function, &family->pipeline, &opts);
	return *process ? 0 : fail("cannot start a process", -errno);
}

static int start_worker(struct family *family, unsigned int i)
{
	char name[32];

	snprintf(name, sizeof name, "worker-%u", i + 1);
	return start(family, &family->workers[i], worker, name);
}

int family_start(struct family *family)
{
	int err = create_queues(&family->pipeline);

	if (!err)
		err = start(family, &family->reader, reader, "reader");
	for (unsigned int i = 0; !err && i < family->pipeline.settings->workers; i++)
		err = start_worker(family, i);
	return err;
}

/* Wait for the end of a process, and forget it. */
static int reap(struct brood_process **process, int *code)
{
	int err = brood_process_join(*process, BROOD_FOREVER);

	if (!err)
		err = brood_process_exit_code(*process, code);
	if (!err)
		err = brood_process_free(*process);
	*process = NULL;
	return err ? fail("cannot learn how a process ended", err) : 0;
}

/* 1: it was killed, and there is another in its place. 0: it had ended by itself. */
static int kill_worker(struct family *family, unsigned int i)
{
	int err = brood_process_kill(family->workers[i]);
	int code;

	if (err)
		return fail("cannot kill a worker", err);
	err = reap(&family->workers[i], &code);
	if (err || code != -SIGKILL)
		return err;
	err = start_worker(family, i);
	return err ? err : 1;
}

/* Kill a random worker; when it has ended, the next one. 1, or 0 when none is left to be killed. */
int family_kill_one(struct family *family)
{
	unsigned int n = family->pipeline.settings->workers;
	unsigned int first = (unsigned int)random() % n;
	int killed = 0;

	for (unsigned int i = first; i < first + n && killed == 0; i++)
		if (family->workers[i % n])
			killed = kill_worker(family, i % n);
	return killed;
}

/* 1 when the process has ended, and how in *code. */
static int has_ended(struct brood_process **process, int *code)
{
	int err;

	if (!*process || brood_process_is_alive(*process) != 0)
		return 0;
	err = reap(process, code);
	return err ? err : 1;
}

static int failed(const char *who, int code)
{
	tell("the %s failed, exit code %d", who, code);
	return -ECHILD;
}

/* A worker that somebody else killed is replaced too. */
static int look_after_worker(struct family *family, unsigned int i)
{
	int code = 0, ended = has_ended(&family->workers[i], &code);

	if (ended <= 0 || code == 0)
		return ended < 0 ? ended : 0;
	if (code != -SIGKILL)
		return failed("worker", code);
	tell("somebody killed worker %u: here is another", i + 1);
	return start_worker(family, i);
}

int family_look_after(struct family *family)
{
	int code = 0, err = has_ended(&family->reader, &code);

	if (err == 1)
		err = code ? failed("reader", code) : 0;
	for (unsigned int i = 0; !err && i < family->pipeline.settings->workers; i++)
		err = look_after_worker(family, i);
	return err;
}

/* Whether a worker may still send something. */
bool family_works(const struct family *family)
{
	for (unsigned int i = 0; i < family->pipeline.settings->workers; i++)
		if (family->workers[i])
			return true;
	return brood_queue_empty(family->pipeline.batches) != 1;
}

static void end_queue(struct brood_queue *queue, int (*end)(struct brood_queue *))
{
	if (queue)
		end(queue);
}

/* Whoever still runs has nothing to do any more: a closed queue sends everybody home. */
int family_end(struct family *family)
{
	int code, err = 0;

	end_queue(family->pipeline.chunks, brood_queue_close);
	end_queue(family->pipeline.batches, brood_queue_close);
	if (family->reader)
		err = reap(&family->reader, &code);
	for (unsigned int i = 0; i < family->pipeline.settings->workers; i++)
		if (family->workers[i] && reap(&family->workers[i], &code) < 0)
			err = -ECHILD;
	end_queue(family->pipeline.chunks, brood_queue_destroy);
	end_queue(family->pipeline.batches, brood_queue_destroy);
	return err;
}
