/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The three streams of a program: how each kind comes to be, and their closing.
 *
 * What is opened here has numbers above 2, also in a caller that has closed its own streams: a
 * program that inherits those must not find our end of a pipe in their place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "subprocess/subprocess.h"

struct want {
	struct brood_subprocess *process;
	const struct brood_stream *asked;
	const struct brood_subprocess_opts *opts;
	int which;
	int source; /* what the new process makes its descriptor of */
};

static struct brood__stream *stream_of(const struct want *want)
{
	return &want->process->streams[want->which];
}

static int inherit(struct want *want)
{
	want->source = BROOD__SPAWN_LEAVE;
	return 0;
}

static int set_size(const struct want *want, int fd)
{
	size_t size = want->opts->pipe_size;

	if (!size)
		return 0;
	if (size > INT_MAX)
		return -EINVAL;
	stream_of(want)->large = true;
	return fcntl(fd, F_SETPIPE_SZ, (int)size) < 0 ? -errno : 0;
}

static int open_pipe(struct want *want)
{
	struct brood__stream *stream = stream_of(want);
	bool input = want->which == BROOD_STDIN;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	stream->ours = brood__fd_lift(ends[input ? 1 : 0]);
	stream->theirs = brood__fd_lift(ends[input ? 0 : 1]);
	want->source = stream->theirs;
	if (stream->ours < 0 || stream->theirs < 0)
		return stream->ours < 0 ? stream->ours : stream->theirs;
	return set_size(want, stream->ours);
}

static int keep_theirs(struct want *want, int fd)
{
	fd = fd < 0 ? -errno : brood__fd_lift(fd);
	if (fd < 0)
		return fd;
	want->source = stream_of(want)->theirs = fd;
	return 0;
}

static int open_null(struct want *want)
{
	return keep_theirs(want, open("/dev/null", O_RDWR | O_CLOEXEC));
}

static int use_fd(struct want *want)
{
	want->source = want->asked->fd;
	return 0;
}

/* Without the mutex: a FIFO waits for its other side. */
static int open_path(struct want *want)
{
	int how = want->which == BROOD_STDIN ? O_RDONLY : O_WRONLY | O_CREAT;
	int fd;

	if (!want->asked->path)
		return -EINVAL;
	if (want->which != BROOD_STDIN)
		how |= want->asked->append ? O_APPEND : O_TRUNC;
	brood__programs_unlock();
	do
		fd = open(want->asked->path, how | O_CLOEXEC, 0666);
	while (fd < 0 && errno == EINTR);
	brood__programs_lock();
	return keep_theirs(want, fd);
}

static int use_output(struct want *want)
{
	want->source = BROOD__SPAWN_OUTPUT;
	return want->which == BROOD_STDERR ? 0 : -EINVAL;
}

static int open_pty(struct want *want)
{
	int ends[2];
	int r = want->which == BROOD_STDIN ? -EINVAL : brood__pty_make(ends);

	if (r)
		return r;
	stream_of(want)->ours = brood__fd_lift(ends[0]);
	stream_of(want)->large = true;
	r = keep_theirs(want, ends[1]);
	return stream_of(want)->ours < 0 ? stream_of(want)->ours : r;
}

/*
 * Sockets and terminals take bytes from a pipe only by waiting for room. A write to a terminal that
 * does not wait needs one that was opened so, not to change the user's. Where that cannot be (it is
 * another user's, or the master of a pseudo-terminal), one that is ready takes one byte.
 */
static int adapt_target(struct brood__stream *stream)
{
	struct stat st;
	char path[40];
	int fd;

	if (fstat(stream->copy, &st))
		return -errno;
	stream->by_hand = S_ISSOCK(st.st_mode) || isatty(stream->copy);
	if (!isatty(stream->copy))
		return 0;
	stream->by_byte = true;
	if (ptsname_r(stream->copy, path, sizeof path) == 0)
		return 0;
	snprintf(path, sizeof path, "/proc/self/fd/%d", stream->copy);
	fd = brood__fd_lift(open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	if (fd >= 0) {
		close(stream->copy);
		stream->copy = fd;
		stream->by_byte = false;
	}
	return 0;
}

static int open_copy(struct want *want)
{
	struct brood__stream *stream = stream_of(want);
	int r = 0;

	stream->copy = brood__fd_copy(want->asked->fd);
	if (stream->copy < 0)
		return stream->copy;
	if (want->which != BROOD_STDIN)
		r = adapt_target(stream);
	return r ? r : open_pipe(want);
}

static int (*const by_kind[])(struct want *) = {
	[BROOD_STREAM_INHERIT] = inherit, [BROOD_STREAM_PIPE] = open_pipe,
	[BROOD_STREAM_NULL] = open_null,  [BROOD_STREAM_FD] = use_fd,
	[BROOD_STREAM_PATH] = open_path,  [BROOD_STREAM_OUTPUT] = use_output,
	[BROOD_STREAM_PTY] = open_pty,	  [BROOD_STREAM_COPY] = open_copy,
};

static int open_stream(struct want *want)
{
	int r;

	if (want->asked->kind >= sizeof by_kind / sizeof by_kind[0])
		return -EINVAL;
	brood__programs_lock();
	stream_of(want)->kind = want->asked->kind;
	r = by_kind[want->asked->kind](want);
	brood__programs_unlock();
	return r;
}

/* Before anything is opened: it could get that number. */
static int check_fd(const struct brood_stream *asked)
{
	if (asked->kind != BROOD_STREAM_FD && asked->kind != BROOD_STREAM_COPY)
		return 0;
	return fcntl(asked->fd, F_GETFD) < 0 ? -errno : 0;
}

int brood__streams_open(struct brood_subprocess *process, const struct brood_subprocess_opts *opts,
			struct brood__spawn *spawn)
{
	const struct brood_stream *const asked[3] = { &opts->in, &opts->out, &opts->err };
	int r = 0;

	for (int i = 0; r == 0 && i < 3; i++) {
		spawn->step = BROOD_STEP_STDIN + (uint32_t)i;
		r = check_fd(asked[i]);
	}
	for (int i = 0; r == 0 && i < 3; i++) {
		struct want want = { process, asked[i], opts, i, BROOD__SPAWN_LEAVE };

		spawn->step = BROOD_STEP_STDIN + (uint32_t)i;
		r = open_stream(&want);
		spawn->streams[i] = want.source;
	}
	return r;
}

void brood__streams_started(struct brood_subprocess *process)
{
	for (int i = 0; i < 3; i++)
		brood__fd_drop(&process->streams[i].theirs);
}

static void close_one(struct brood__stream *stream)
{
	brood__fd_drop(&stream->ours);
	brood__fd_drop(&stream->theirs);
	brood__fd_drop(&stream->copy);
}

void brood__stream_close(struct brood_subprocess *process, int which)
{
	brood__programs_lock();
	close_one(&process->streams[which]);
	brood__programs_unlock();
}

void brood__streams_close_all(struct brood_subprocess *process)
{
	for (int i = 0; i < 3; i++)
		close_one(&process->streams[i]);
}
