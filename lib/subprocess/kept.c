/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What has come from a program: kept as a whole, the first or the last part of it, or given to the
 * user's function in chunks or lines.
 *
 * All is read to the end of one piece of memory, stream->data[start .. length), which grows by
 * doubling up to what the options need, and is given to the user as it is. For the head, what is
 * behind the limit is overwritten by what comes next. For the tail there is room for twice the
 * limit, and when it is full, the last part moves to the front: each byte is moved once. One byte
 * more than the limit is read to know that there is more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "subprocess/subprocess.h"

#define CHUNK 65536u /* the least that is read at once, if there is so much: what a pipe holds */
#define AHEAD (4 * CHUNK)

static bool keeps(const struct brood_subprocess *process, const struct brood__stream *stream)
{
	return !process->opts.receive && stream->kind != BROOD_STREAM_COPY;
}

/* The most memory that is of use. */
static size_t most(const struct brood_subprocess *process, const struct brood__stream *stream)
{
	size_t limit = process->opts.limit;
	size_t part = process->opts.overflow == BROOD_OVERFLOW_ERROR ? 1 : CHUNK;

	if (!keeps(process, stream))
		return process->opts.lines && !limit ? SIZE_MAX / 2
						     : (limit | 1) + (size_t)16 * CHUNK;
	if (limit == 0)
		return SIZE_MAX / 2;
	return (process->opts.overflow == BROOD_OVERFLOW_TAIL ? 2 * limit : limit) + part;
}

static int grow(struct brood__stream *stream, size_t up_to)
{
	size_t room = stream->room < CHUNK ? CHUNK : 2 * stream->room;
	char *data;

	if (room > up_to)
		room = up_to;
	data = realloc(stream->data, room + 1); /* and a 0 behind it */
	if (!data)
		return -ENOMEM;
	stream->data = data;
	stream->room = room;
	return 0;
}

static void move_to_front(struct brood__stream *stream, size_t from)
{
	memmove(stream->data, stream->data + from, stream->length - from);
	stream->length -= from;
	stream->searched -= from < stream->searched ? from : stream->searched;
	stream->start = 0;
}

/*
 * A read into memory without pages gets them one by one, with the pipe locked: the program stands
 * still meanwhile. So they are made before it, many at once. How much may be read.
 */
static size_t touch(struct brood__stream *stream)
{
	size_t end = stream->room;

	if (stream->room < AHEAD)
		return stream->room - stream->length;
	if (stream->touched < stream->length)
		stream->touched = stream->length;
	if (stream->touched - stream->length < CHUNK && stream->touched < end) {
		if (end - stream->touched > AHEAD)
			end = stream->touched + AHEAD;
		brood__memory_touch(stream->data + stream->touched, end - stream->touched);
		stream->touched = end;
	}
	return stream->touched - stream->length;
}

ssize_t brood__kept_room(const struct brood_subprocess *process, struct brood__stream *stream)
{
	size_t up_to = most(process, stream);

	if (stream->start)
		move_to_front(stream, stream->start);
	if (stream->room - stream->length < CHUNK && stream->room < up_to && grow(stream, up_to))
		return -ENOMEM;
	if (stream->room == stream->length) /* only the tail comes to this */
		move_to_front(stream, stream->length - process->opts.limit);
	return (ssize_t)touch(stream);
}

/* ---- the user's function ---- */

static int give(struct brood_subprocess *process, int which, size_t n)
{
	struct brood__stream *stream = &process->streams[which];
	const char *data = stream->data + stream->start;
	int r;

	stream->start += n;
	if (stream->searched < stream->start)
		stream->searched = stream->start;
	r = process->opts.receive(process->opts.receive_argument, (enum brood_which_stream)which,
				  data, n);
	process->stopped = r != 0;
	return r;
}

/* How much is a line, or as much of one as is given at once; 0 = there is none yet. */
static size_t line_length(const struct brood_subprocess *process, struct brood__stream *stream,
			  bool end)
{
	size_t there = stream->length - stream->start, limit = process->opts.limit;
	const char *newline =
		memchr(stream->data + stream->searched, '\n', stream->length - stream->searched);
	size_t n = newline ? (size_t)(newline - stream->data) + 1 - stream->start : end ? there : 0;

	stream->searched = newline ? stream->start + n - 1 : stream->length;
	if (limit && (n > limit || (n == 0 && there >= limit)))
		return limit;
	return n;
}

/* What has come at once may be many lines. With no time at all each call gives what it has read. */
static bool is_late(const struct brood_subprocess *process)
{
	return process->deadline > 0 && brood__is_over(process->deadline);
}

int brood__kept_deliver(struct brood_subprocess *process, int which, bool end)
{
	struct brood__stream *stream = &process->streams[which];
	int r = 0;

	while (r == 0 && stream->start < stream->length) {
		size_t n = stream->length - stream->start;

		if (process->opts.lines)
			n = line_length(process, stream, end);
		if (n == 0)
			return 0;
		r = give(process, which, n);
		if (r == 0 && stream->start < stream->length && is_late(process))
			r = -ETIMEDOUT;
	}
	if (stream->start == stream->length)
		stream->start = stream->length = stream->searched = 0;
	return r;
}

/* ---- both ---- */

int brood__kept_add(struct brood_subprocess *process, int which, size_t n)
{
	struct brood__stream *stream = &process->streams[which];
	size_t limit = process->opts.limit;

	stream->total += n;
	stream->length += n;
	if (process->opts.receive)
		return brood__kept_deliver(process, which, false);
	if (limit && stream->length > limit && process->opts.overflow != BROOD_OVERFLOW_TAIL) {
		stream->length = limit;
		stream->over = process->opts.overflow == BROOD_OVERFLOW_ERROR;
	}
	return stream->over ? -EFBIG : 0;
}

char *brood__kept_bytes(const struct brood_subprocess *process, int which, size_t *length)
{
	const struct brood__stream *stream = &process->streams[which];
	size_t limit = process->opts.limit;
	size_t n = stream->length;

	*length = 0;
	if (!keeps(process, stream) || !stream->data)
		return NULL;
	if (limit && n > limit)
		n = limit;
	*length = n;
	return stream->data + stream->length - n;
}

/* An output that was caught and is empty is not NULL. */
char *brood__kept_take(struct brood_subprocess *process, int which, size_t *length)
{
	struct brood__stream *stream = &process->streams[which];
	char *data = brood__kept_bytes(process, which, length);

	if (!data && keeps(process, stream) &&
	    (stream->kind == BROOD_STREAM_PIPE || stream->kind == BROOD_STREAM_PTY))
		return calloc(1, 1);
	if (!data)
		return NULL;
	memmove(stream->data, data, *length);
	data = stream->data;
	data[*length] = 0;
	stream->data = NULL;
	stream->length = stream->room = stream->touched = 0;
	return data;
}
