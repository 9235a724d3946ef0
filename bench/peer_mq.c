/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * POSIX message queues. Without privilege the kernel grants few slots (10 by default): then as many
 * as it grants are used.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "peer.h"

#define SLOTS_UNPRIVILEGED 10

struct context {
	mqd_t queue;
};

/* The name is gone as soon as the queue is there: nothing stays behind, whatever happens. */
static mqd_t open_nameless(size_t size, long slots)
{
	struct mq_attr attr = { .mq_maxmsg = slots, .mq_msgsize = (long)size };
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof name, "/brood-bench-%d", (int)getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
	if (queue != (mqd_t)-1)
		mq_unlink(name);
	return queue;
}

static void *create(const struct shape *shape)
{
	struct context *context = calloc(1, sizeof *context);

	if (!context)
		return NULL;
	context->queue = open_nameless(shape->size, (long)shape->slots);
	if (context->queue == (mqd_t)-1 && shape->slots > SLOTS_UNPRIVILEGED)
		context->queue = open_nameless(shape->size, SLOTS_UNPRIVILEGED);
	if (context->queue != (mqd_t)-1)
		return context;
	free(context);
	return NULL;
}

static void destroy(void *queue)
{
	struct context *context = queue;

	mq_close(context->queue);
	free(context);
}

static int put(void *queue, const void *data, size_t size)
{
	return mq_send(((struct context *)queue)->queue, data, size, 0) ? -errno : 0;
}

static ssize_t get(void *queue, void *data, size_t size)
{
	ssize_t n = mq_receive(((struct context *)queue)->queue, data, size, NULL);

	return n < 0 ? -errno : n;
}

const struct peer peer_mq = {
	.name = "mq",
	.about = "POSIX message queue; without privilege of 10 slots only",
	.create = create,
	.destroy = destroy,
	.put = put,
	.get = get,
};
