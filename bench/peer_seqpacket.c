/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UNIX sockets that keep message boundaries: producers at one end, consumers at the other. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

#define BATCH_MAX 256

struct context {
	int fd[2];
};

/* The kernel doubles the figure for its own overhead, and refuses a message above the result. */
static int set_capacity(int fd, const struct shape *shape)
{
	size_t bytes = shape->size * shape->slots;
	int want = bytes < (1u << 29) ? (int)bytes : 1 << 29;
	int granted = 0;
	socklen_t length = sizeof granted;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof want))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof want);
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &granted, &length))
		return -errno;
	return (size_t)granted / 2 > shape->size ? 0 : -EMSGSIZE;
}

static void destroy(void *queue)
{
	struct context *context = queue;

	close(context->fd[0]);
	close(context->fd[1]);
	free(context);
}

static void *create(const struct shape *shape)
{
	struct context *context = calloc(1, sizeof *context);
	int error;

	if (!context || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, context->fd)) {
		free(context);
		return NULL;
	}
	error = set_capacity(context->fd[0], shape);
	if (!error)
		return context;
	destroy(context);
	errno = -error;
	return NULL;
}

static int put(void *queue, const void *data, size_t size)
{
	return send(((struct context *)queue)->fd[0], data, size, 0) < 0 ? -errno : 0;
}

static ssize_t get(void *queue, void *data, size_t size)
{
	ssize_t n = recv(((struct context *)queue)->fd[1], data, size, 0);

	return n < 0 ? -errno : n;
}

static void describe(struct mmsghdr *headers, struct iovec *parts, const void *data, size_t size,
		     unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		parts[i] = (struct iovec){ (char *)data + i * size, size };
		headers[i] = (struct mmsghdr){
			.msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1 },
		};
	}
}

static int put_many(void *queue, const void *data, size_t size, unsigned int n)
{
	struct mmsghdr headers[BATCH_MAX];
	struct iovec parts[BATCH_MAX];
	unsigned int done = 0;

	if (n > BATCH_MAX)
		return -EINVAL;
	describe(headers, parts, data, size, n);
	while (done < n) {
		int sent = sendmmsg(((struct context *)queue)->fd[0], headers + done, n - done, 0);

		if (sent < 0)
			return -errno;
		done += (unsigned int)sent;
	}
	return 0;
}

static int get_many(void *queue, void *data, size_t size, unsigned int n)
{
	struct mmsghdr headers[BATCH_MAX];
	struct iovec parts[BATCH_MAX];
	int got;

	if (n > BATCH_MAX)
		return -EINVAL;
	describe(headers, parts, data, size, n);
	got = recvmmsg(((struct context *)queue)->fd[1], headers, n, MSG_WAITFORONE, NULL);
	for (int i = 0; i < got; i++)
		if (headers[i].msg_len != size)
			return -EBADMSG;
	return got < 0 ? -errno : got;
}

const struct peer peer_seqpacket = {
	.name = "seqpacket",
	.about = "UNIX sockets, SOCK_SEQPACKET; batches by sendmmsg and recvmmsg",
	.create = create,
	.destroy = destroy,
	.put = put,
	.get = get,
	.put_many = put_many,
	.get_many = get_many,
};
