/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader, which turns files into chunks of text, and the worker, which counts their words. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <brood.h>

#include "wordcount.h"

/* The chunk that is being filled, in a buffer of the queue. */
struct filling {
	struct brood_queue *queue;
	struct brood_message message;
	struct chunk *chunk;
	size_t used, room;	/* of the text */
	uint32_t number;
};

static int begin_chunk(struct filling *filling)
{
	int err = brood_queue_reserve(filling->queue, &filling->message);

	if (err)
		return fail("reader: reserve", err);
	filling->chunk = filling->message.data;
	filling->chunk->number = filling->number;
	filling->chunk->files = 0;
	filling->room = filling->message.size - sizeof *filling->chunk;
	filling->used = 0;
	return 0;
}

static int send_chunk(struct filling *filling, size_t length)
{
	int err;

	filling->message.length = sizeof *filling->chunk + length;
	err = brood_queue_commit(filling->queue, &filling->message, BROOD_FOREVER);
	if (err && err != -EPIPE)	/* closed: the reducer has given up, and said why */
		fail("reader: commit", err);
	filling->number++;
	return err;
}

/* Send it up to the last word that is whole, and go back to the beginning of the next one. */
static int send_full_chunk(struct filling *filling, int fd)
{
	size_t cut = words_cut(filling->chunk->text, filling->used);
	int err;

	if (lseek(fd, (off_t)cut - (off_t)filling->used, SEEK_CUR) < 0)
		return fail("reader: lseek", -errno);
	err = send_chunk(filling, cut);
	return err ? err : begin_chunk(filling);
}

/* A chunk may hold many files: each gets a line feed at its end, so that words do not join. */
static int read_file(struct filling *filling, const struct file *file, int fd)
{
	ssize_t n;

	do {
		if (filling->used >= filling->room - 1) {
			int err = send_full_chunk(filling, fd);

			if (err)
				return err;
		}
		n = read(fd, filling->chunk->text + filling->used,
			 filling->room - 1 - filling->used);
		if (n > 0)
			filling->used += (size_t)n;
	} while (n > 0);
	if (n < 0)
		tell("%s: %s", file->path, strerror(errno));
	filling->chunk->text[filling->used++] = '\n';
	filling->chunk->files++;
	file_check(file, fd);
	return 0;
}

static int read_all(struct filling *filling, const struct files *files)
{
	int err = begin_chunk(filling);

	for (size_t i = 0; !err && i < files->n; i++) {
		int fd = file_open(&files->list[i]);

		if (fd < 0)
			continue;
		err = read_file(filling, &files->list[i], fd);
		close(fd);
	}
	return err ? err : send_chunk(filling, filling->used);
}

/* Tell the reducer how many chunks there are, and the workers that there are no more. */
static int end_chunks(struct pipeline *pipeline, uint32_t n)
{
	struct batch end = { .chunk = n, .part = END };
	int err = brood_queue_put(pipeline->batches, &end, sizeof end, BROOD_FOREVER);

	if (err)
		return fail("reader: put", err);
	err = brood_queue_close(pipeline->chunks);
	return err ? fail("reader: close", err) : 0;
}

int reader(void *arg)
{
	struct pipeline *pipeline = arg;
	struct filling filling = { .queue = pipeline->chunks };
	int err = read_all(&filling, pipeline->files);

	if (!err)
		err = end_chunks(pipeline, filling.number);
	return err ? 1 : 0;
}

/* Write words into a batch, from `next` on, while they fit. Returns the first that is left over. */
static uint32_t pack(const struct words *words, uint32_t next, struct brood_message *message)
{
	struct batch *batch = message->data;
	unsigned char *at = batch->entries;
	unsigned char *end = (unsigned char *)message->data + message->size;

	for (; next < words->n; next++) {
		const struct word *word = &words->list[next];
		uint32_t count = (uint32_t)word->count;

		if ((size_t)(end - at) < ENTRY_HEAD + word->length)
			break;
		memcpy(at, &count, sizeof count);
		at[4] = (unsigned char)word->length;
		memcpy(at + ENTRY_HEAD, word->text, word->length);
		at += ENTRY_HEAD + word->length;
	}
	message->length = (size_t)(at - (unsigned char *)message->data);
	return next;
}

/* Which words go into which part depends on the text of the chunk and on nothing else. */
static int send_batches(struct brood_queue *queue, const struct brood_message *from,
			const struct words *words)
{
	const struct chunk *chunk = from->data;
	uint32_t next = 0;
	int err = 0;

	for (uint32_t part = 0; !err && (part == 0 || next < words->n); part++) {
		struct brood_message message;
		struct batch *batch;

		err = brood_queue_reserve(queue, &message);
		if (err)
			return err;
		next = pack(words, next, &message);
		batch = message.data;
		batch->chunk = chunk->number;
		batch->part = part;
		batch->last = next == words->n;
		batch->redelivered = from->flags & BROOD_REDELIVERED;
		batch->files = chunk->files;
		batch->bytes = (uint32_t)(from->length - sizeof *chunk) - chunk->files;
		err = brood_queue_commit(queue, &message, BROOD_FOREVER);
	}
	return err;
}

/* The words are counted where they lie; the chunk is held until its last batch is on its way. */
static int count_chunk(struct pipeline *pipeline, struct brood_message *message,
		       struct words *words)
{
	const struct chunk *chunk = message->data;
	int err;

	words_clear(words);
	err = words_add_text(words, chunk->text, message->length - sizeof *chunk);
	if (!err)
		err = send_batches(pipeline->batches, message, words);
	return err ? err : brood_queue_release(pipeline->chunks, message);
}

int worker(void *arg)
{
	struct pipeline *pipeline = arg;
	struct words words = { .borrows = true };
	struct brood_message message;
	int err;

	while ((err = brood_queue_lease(pipeline->chunks, &message, BROOD_FOREVER)) == 0) {
		err = count_chunk(pipeline, &message, &words);
		if (err)
			break;
	}
	words_free(&words);
	if (err == -EPIPE)		/* no more chunks, or nobody wants batches any more */
		return 0;
	fail("worker", err);
	return 1;
}
