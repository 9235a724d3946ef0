/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pipe(2). Writes of up to PIPE_BUF bytes are atomic, and a page of the pipe holds whole messages
 * only; so a read of one message gets one message, also with many readers. Longer ones can only go
 * from one writer to one reader.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "peer.h"

#define CAPACITY_MAX (1u << 20)		/* what the kernel grants without privilege */

struct context {
	int fd[2];
};

static void *create(const struct shape *shape)
{
	struct context *context;
	size_t bytes = shape->size * shape->slots;

	if (shape->size > PIPE_BUF && (shape->producers > 1 || shape->consumers > 1)) {
		errno = EMSGSIZE;
		return NULL;
	}
	context = calloc(1, sizeof *context);
	if (!context || pipe2(context->fd, O_CLOEXEC)) {
		free(context);
		return NULL;
	}
	(void)fcntl(context->fd[1], F_SETPIPE_SZ, bytes < CAPACITY_MAX ? bytes : CAPACITY_MAX);
	return context;
}

static void destroy(void *queue)
{
	struct context *context = queue;

	close(context->fd[0]);
	close(context->fd[1]);
	free(context);
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

/* Read at least one message of `size`, whole ones only, at most n of them. */
static ssize_t read_whole(int fd, char *data, size_t size, unsigned int n)
{
	size_t done = 0;

	do {
		size_t want = done ? size - done % size : size * n;
		ssize_t got = read(fd, data + done, want);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0)
			done += (size_t)got;
	} while (!done || done % size);
	return (ssize_t)done;
}

static int put(void *queue, const void *data, size_t size)
{
	return write_all(((struct context *)queue)->fd[1], data, size);
}

static ssize_t get(void *queue, void *data, size_t size)
{
	return read_whole(((struct context *)queue)->fd[0], data, size, 1);
}

static int put_many(void *queue, const void *data, size_t size, unsigned int n)
{
	return write_all(((struct context *)queue)->fd[1], data, size * n);
}

static int get_many(void *queue, void *data, size_t size, unsigned int n)
{
	ssize_t bytes = read_whole(((struct context *)queue)->fd[0], data, size, n);

	return bytes < 0 ? (int)bytes : (int)((size_t)bytes / size);
}

const struct peer peer_pipe = {
	.name = "pipe",
	.about = "pipe(2)",
	.create = create,
	.destroy = destroy,
	.put = put,
	.get = get,
	.put_many = put_many,
	.get_many = get_many,
};
