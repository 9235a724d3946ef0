/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* brood: the ring of bytes, in the family arena; copies, and work in place. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include <brood/ring.h>

#include "peer.h"

struct context {
	struct brood_ring *ring;
	size_t size;
	struct brood_message written, read;
};

static void *create(const struct shape *shape)
{
	struct context *context = calloc(1, sizeof *context);

	if (!context)
		return NULL;
	context->size = shape->size;
	context->ring = brood_ring_create(&(struct brood_ring_opts){
		.bytes = shape->size * shape->slots,
	});
	if (context->ring)
		return context;
	free(context);
	return NULL;
}

static void destroy(void *queue)
{
	struct context *context = queue;

	brood_ring_destroy(context->ring);
	free(context);
}

static int put(void *queue, const void *data, size_t size)
{
	return brood_ring_put(((struct context *)queue)->ring, data, size, BROOD_FOREVER);
}

static ssize_t get(void *queue, void *data, size_t size)
{
	return brood_ring_get(((struct context *)queue)->ring, data, size, BROOD_FOREVER);
}

static int reserve(void *queue, void **data)
{
	struct context *context = queue;
	int error = brood_ring_reserve(context->ring, context->size, &context->written,
				       BROOD_FOREVER);

	*data = context->written.data;
	return error;
}

static int commit(void *queue, size_t size)
{
	struct context *context = queue;

	context->written.length = size;
	return brood_ring_commit(context->ring, &context->written);
}

static ssize_t lease(void *queue, void **data)
{
	struct context *context = queue;
	int error = brood_ring_lease(context->ring, &context->read, BROOD_FOREVER);

	*data = context->read.data;
	return error ? error : (ssize_t)context->read.length;
}

static int release(void *queue)
{
	struct context *context = queue;

	return brood_ring_release(context->ring, &context->read);
}

const struct peer peer_ring = {
	.name = "brood_ring",
	.about = "brood_ring, of the memory of the queues' slots",
	.only = "queue.bytes",
	.create = create,
	.destroy = destroy,
	.put = put,
	.get = get,
	.reserve = reserve,
	.commit = commit,
	.lease = lease,
	.release = release,
};
