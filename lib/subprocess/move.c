/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream whose bytes go from one descriptor to another, one of which is our end of the program's
 * pipe: by splice(2), without a copy; where the kernel cannot (a file that is appended to), or
 * would wait (a terminal, a socket), by hand, in parts that a descriptor which is ready takes
 * without waiting.
 *
 * Source and target are waited for in turn: for the source until it has something, then, when the
 * target took nothing, for the target.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include "subprocess/subprocess.h"

#define AT_ONCE (1u << 20)

struct way {
	struct brood_subprocess *process;
	struct brood__stream *stream;
	int which;
	int source, target;
};

static void end(const struct way *way)
{
	brood__stream_close(way->process, way->which);
}

/* What communicate says of itself must not come from a descriptor: of a lost connection, say. */
static int told(int error)
{
	return error == ETIMEDOUT || error == EBUSY || error == ECHILD || error == EREMOTEIO
		       ? -EIO
		       : -error;
}

/* A program that reads no more is the end of its input; of another target it is an error. */
static int failed(const struct way *way, int error)
{
	if (error == EAGAIN || error == EINTR) {
		way->stream->wait_target =
			error == EINTR ? way->stream->wait_target : !way->stream->wait_target;
		return 0;
	}
	way->process->broken = error == EPIPE;
	if (error == EPIPE && way->which == BROOD_STDIN) {
		end(way);
		return 0;
	}
	return told(error);
}

static int by_splice(const struct way *way)
{
	ssize_t n = splice(way->source, NULL, way->target, NULL, AT_ONCE,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n < 0 && errno == EINVAL) {
		way->stream->by_hand = true;
		return 0;
	}
	if (n < 0)
		return failed(way, errno);
	way->stream->wait_target = false;
	way->stream->total += (uint64_t)n;
	if (n == 0)
		end(way);
	return 0;
}

static int fill(const struct way *way)
{
	struct brood__stream *stream = way->stream;
	ssize_t room = brood__kept_room(way->process, stream);
	ssize_t n = room < 0 ? -1 : read(way->source, stream->data, (size_t)room);

	if (room < 0)
		return -ENOMEM;
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : told(errno);
	stream->length = (size_t)n;
	stream->wait_target = n > 0;
	if (n == 0)
		end(way);
	return 0;
}

/* Who is ready takes so much at least, or takes what it can. */
static ssize_t write_some(const struct way *way)
{
	const char *data = way->stream->data + way->stream->start;
	size_t n = way->stream->length - way->stream->start;
	ssize_t sent = send(way->target, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent >= 0 || errno != ENOTSOCK)
		return sent;
	if (way->stream->by_byte)
		n = 1;
	return write(way->target, data, n < PIPE_BUF ? n : PIPE_BUF);
}

static int drain(const struct way *way)
{
	struct brood__stream *stream = way->stream;
	ssize_t n = write_some(way);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		return failed(way, errno);
	stream->total += (uint64_t)n;
	stream->start += (size_t)n;
	if (stream->start == stream->length) {
		stream->start = stream->length = 0;
		stream->wait_target = false;
	}
	return 0;
}

int brood__move(struct brood_subprocess *process, int which)
{
	struct brood__stream *stream = &process->streams[which];
	bool input = which == BROOD_STDIN;
	struct way way = {
		process,
		stream,
		which,
		input ? stream->copy : stream->ours,
		input ? stream->ours : stream->copy,
	};

	if (!stream->by_hand)
		return by_splice(&way);
	return stream->start < stream->length ? drain(&way) : fill(&way);
}
