/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* brood: a simplex pipe, in the family arena. */
#include <config.h>

#include <errno.h>

#include <brood/pipe.h>

#include "peer.h"

static void *create(const struct shape *shape)
{
	return brood_pipe_create(&(struct brood_pipe_opts){
		.bytes = shape->size * shape->slots,
		.simplex = true,
	});
}

static void destroy(void *queue)
{
	brood_pipe_destroy(queue);
}

static int put(void *queue, const void *data, size_t size)
{
	return brood_conn_send(brood_pipe_end(queue, 1), data, size, BROOD_FOREVER);
}

static ssize_t get(void *queue, void *data, size_t size)
{
	return brood_conn_recv(brood_pipe_end(queue, 0), data, size, BROOD_FOREVER);
}

const struct peer peer_conn = {
	.name = "brood_pipe",
	.about = "brood_pipe, simplex, of the memory of the queues' slots",
	.only = "pipe.",
	.create = create,
	.destroy = destroy,
	.put = put,
	.get = get,
};
