/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reducer: it adds up what the workers send and, when asked for chaos, has some of them killed.
 *
 * The parts of a chunk come in order, and from the first again when a worker died over it. So the
 * number of parts that are in tells which were here before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <brood.h>

#include "wordcount.h"

#define LOOK_NS 100000000		/* between two looks after the others */
#define COMPLETE UINT32_MAX

struct reducer {
	struct family family;
	struct words *words;
	struct outcome *outcome;
	struct progress progress;
	uint32_t *parts;		/* by chunk: parts that are in, or COMPLETE */
	size_t parts_room;
	uint32_t chunks_done;
	uint32_t chunks_total;		/* UINT32_MAX until the reader has told */
	uint64_t next_kill;		/* when so many bytes are counted */
	int64_t next_look;
};

static uint32_t *parts_of(struct reducer *reducer, uint32_t chunk)
{
	if (chunk >= reducer->parts_room) {
		size_t room = 2 * (size_t)chunk + 1024;
		uint32_t *parts = realloc(reducer->parts, room * sizeof *parts);

		if (!parts)
			return NULL;
		memset(parts + reducer->parts_room, 0,
		       (room - reducer->parts_room) * sizeof *parts);
		reducer->parts = parts;
		reducer->parts_room = room;
	}
	return &reducer->parts[chunk];
}

static int add_entries(struct words *words, const unsigned char *at, const unsigned char *end)
{
	int err = 0;

	while (!err && at < end) {
		uint32_t count;

		memcpy(&count, at, sizeof count);
		err = words_add(words, (const char *)at + ENTRY_HEAD, at[4], count);
		at += ENTRY_HEAD + at[4];
	}
	return err;
}

static void complete(struct reducer *reducer, const struct batch *batch)
{
	reducer->parts[batch->chunk] = COMPLETE;
	reducer->chunks_done++;
	reducer->progress.files += batch->files;
	reducer->progress.bytes += batch->bytes;
}

static int take_part(struct reducer *reducer, const struct batch *batch, const void *end)
{
	uint32_t *parts = parts_of(reducer, batch->chunk);

	if (!parts)
		return -ENOMEM;
	if (batch->redelivered && batch->part == 0)
		reducer->outcome->redone++;
	if (batch->part < *parts) {
		reducer->outcome->dropped++;
		return 0;
	}
	if (batch->part > *parts) {
		tell("part %u of chunk %u is lost", *parts, batch->chunk);
		return -EPROTO;
	}
	*parts += 1;
	if (batch->last)
		complete(reducer, batch);
	return add_entries(reducer->words, batch->entries, end);
}

/* One batch, read where it lies. */
static int take_batch(struct reducer *reducer, int64_t timeout)
{
	struct brood_queue *queue = reducer->family.pipeline.batches;
	struct brood_message message;
	const struct batch *batch;
	int err = brood_queue_lease(queue, &message, timeout);

	if (err)
		return err;
	batch = message.data;
	if (batch->part == END)
		reducer->chunks_total = batch->chunk;
	else
		err = take_part(reducer, batch, (const char *)message.data + message.length);
	return err ? err : brood_queue_release(queue, &message);
}

/* The text is divided into chaos + 1 equal stretches: the next kill, somewhere in the next one. */
static void plan_kill(struct reducer *reducer)
{
	const struct pipeline *pipeline = &reducer->family.pipeline;
	double stretch = (double)pipeline->files->bytes / (pipeline->settings->chaos + 1);
	double place = reducer->outcome->killed + (double)random() / RAND_MAX;

	reducer->next_kill = (uint64_t)(place * stretch);
}

static bool kill_is_due(const struct reducer *reducer)
{
	return reducer->outcome->killed < reducer->family.pipeline.settings->chaos &&
	       reducer->progress.bytes >= reducer->next_kill;
}

static int kill_one(struct reducer *reducer)
{
	int killed;

	/* A place in the text is a moment between two batches; this makes it any moment. */
	nanosleep(&(struct timespec){ .tv_nsec = random() % 500000 }, NULL);
	killed = family_kill_one(&reducer->family);
	if (killed < 0)
		return killed;
	reducer->outcome->killed += (unsigned int)killed;
	reducer->progress.killed = reducer->outcome->killed;
	plan_kill(reducer);
	return 0;
}

static int look_after(struct reducer *reducer)
{
	int err = family_look_after(&reducer->family);

	/* The workers rightly end when the last batch has been taken. */
	if (!err && reducer->chunks_done < reducer->chunks_total &&
	    !family_works(&reducer->family)) {
		tell("all workers have ended, and only %u chunks are counted",
		     reducer->chunks_done);
		err = -EPROTO;
	}
	reducer->next_look = brood_now() + LOOK_NS;
	return err;
}

static int reduce(struct reducer *reducer)
{
	while (reducer->chunks_done < reducer->chunks_total) {
		int err = take_batch(reducer, brood_us(LOOK_NS / 1000));

		if (err && err != -ETIMEDOUT)
			return fail("reducer", err);
		err = 0;
		if (kill_is_due(reducer))
			err = kill_one(reducer);
		if (!err && brood_now() >= reducer->next_look)
			err = look_after(reducer);
		if (err)
			return err;
		progress_show(&reducer->progress);
	}
	return 0;
}

/* Count all words of all files with a reader and workers. */
int count_in_pipeline(const struct settings *settings, const struct files *files,
		      struct words *words, struct outcome *outcome)
{
	struct reducer reducer = {
		.family.pipeline = { .settings = settings, .files = files },
		.words = words,
		.outcome = outcome,
		.chunks_total = UINT32_MAX,
	};
	int err, end;

	plan_kill(&reducer);
	progress_begin(&reducer.progress, "counting", files);
	err = family_start(&reducer.family);
	if (!err)
		err = reduce(&reducer);
	progress_end(&reducer.progress);
	end = family_end(&reducer.family);
	free(reducer.parts);
	return err ? err : end;
}
