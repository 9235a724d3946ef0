/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handoff.h"

#define LINE 64u

struct handoff {
	const struct peer *ring;
	void *full;
	void *empty;
	char *buffers;
	size_t bytes;
	size_t size;
	void *written;		/* this worker's: reserved */
	void *read;		/* this worker's: leased */
};

static void handoff_destroy(void *queue)
{
	struct handoff *h = queue;

	if (h->full)
		h->ring->destroy(h->full);
	if (h->empty)
		h->ring->destroy(h->empty);
	shared_free(h->buffers, h->bytes);
	free(h);
}

/* One buffer fewer than slots: rings tell full from empty by a slot that they never fill. */
static int stock(struct handoff *h, const struct shape *shape)
{
	size_t stride = (shape->size + LINE - 1) / LINE * LINE;
	struct shape there = { sizeof(void *), shape->slots, shape->producers, shape->consumers };
	struct shape back = { sizeof(void *), shape->slots, shape->consumers, shape->producers };

	h->bytes = stride * shape->slots;
	h->buffers = shared_alloc(h->bytes);
	h->full = h->ring->create(&there);
	h->empty = h->ring->create(&back);
	if (!h->buffers || !h->full || !h->empty)
		return -errno;
	for (unsigned int i = 0; i + 1 < shape->slots; i++) {
		void *buffer = h->buffers + i * stride;
		int error = h->ring->put(h->empty, &buffer, sizeof buffer);

		if (error)
			return error;
	}
	return 0;
}

void *handoff_create(const struct peer *ring, const struct shape *shape)
{
	struct handoff *h = calloc(1, sizeof *h);
	int error;

	if (!h)
		return NULL;
	h->ring = ring;
	h->size = shape->size;
	error = stock(h, shape);
	if (!error)
		return h;
	handoff_destroy(h);
	errno = -error;
	return NULL;
}

static int handoff_reserve(void *queue, void **data)
{
	struct handoff *h = queue;
	ssize_t n = h->ring->get(h->empty, &h->written, sizeof h->written);

	*data = h->written;
	return n < 0 ? (int)n : 0;
}

static int handoff_commit(void *queue, size_t size)
{
	struct handoff *h = queue;

	(void)size;
	return h->ring->put(h->full, &h->written, sizeof h->written);
}

static ssize_t handoff_lease(void *queue, void **data)
{
	struct handoff *h = queue;
	ssize_t n = h->ring->get(h->full, &h->read, sizeof h->read);

	*data = h->read;
	return n < 0 ? n : (ssize_t)h->size;
}

static int handoff_release(void *queue)
{
	struct handoff *h = queue;

	return h->ring->put(h->empty, &h->read, sizeof h->read);
}

static int handoff_put(void *queue, const void *data, size_t size)
{
	void *buffer;
	int error = handoff_reserve(queue, &buffer);

	if (error)
		return error;
	memcpy(buffer, data, size);
	return handoff_commit(queue, size);
}

static ssize_t handoff_get(void *queue, void *data, size_t size)
{
	void *buffer;
	ssize_t n = handoff_lease(queue, &buffer);

	if (n < 0)
		return n;
	if ((size_t)n > size)
		return -EMSGSIZE;
	memcpy(data, buffer, (size_t)n);
	handoff_release(queue);
	return n;
}

const struct peer handoff = {
	.name = "handoff",
	.destroy = handoff_destroy,
	.put = handoff_put,
	.get = handoff_get,
	.reserve = handoff_reserve,
	.commit = handoff_commit,
	.lease = handoff_lease,
	.release = handoff_release,
};
