/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Concurrency Kit's ring, which holds elements of one type fixed at compile time: 64 bytes here, or
 * a pointer. It keeps no addresses, so it works between processes as it is.
 */
#include <config.h>

#include <ck_ring.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "peer.h"

struct element {
	char bytes[64];
};

CK_RING_PROTOTYPE(element, element)

struct shared {
	struct ck_ring ring;
	_Alignas(64) union {
		struct ck_ring_buffer pointer;
		struct element element;
	} first;
};

struct context {
	struct shared *shared;
	size_t bytes;
};

static void *create(const struct shape *shape)
{
	struct context *context = calloc(1, sizeof *context);

	if (!context)
		return NULL;
	context->bytes = sizeof *context->shared + sizeof(struct element) * shape->slots;
	context->shared = shared_alloc(context->bytes);
	if (!context->shared) {
		free(context);
		return NULL;
	}
	ck_ring_init(&context->shared->ring, shape->slots);
	return context;
}

static void destroy(void *queue)
{
	struct context *context = queue;

	shared_free(context->shared, context->bytes);
	free(context);
}

static bool try_put(struct shared *s, const void *data, size_t size, bool many)
{
	struct element *element = (struct element *)data;
	struct element padded;
	void *pointer;

	if (size == sizeof pointer) {
		memcpy(&pointer, data, sizeof pointer);
		return many ? ck_ring_enqueue_mpmc(&s->ring, &s->first.pointer, pointer)
			    : ck_ring_enqueue_spsc(&s->ring, &s->first.pointer, pointer);
	}
	if (size < sizeof padded)
		element = memcpy(&padded, data, size);
	return many ? ck_ring_enqueue_mpmc_element(&s->ring, &s->first.element, element)
		    : ck_ring_enqueue_spsc_element(&s->ring, &s->first.element, element);
}

static bool try_get(struct shared *s, void *data, size_t size, bool many)
{
	struct element padded;
	struct element *element = size < sizeof padded ? &padded : data;

	if (size == sizeof(void *))
		return many ? ck_ring_dequeue_mpmc(&s->ring, &s->first.pointer, data)
			    : ck_ring_dequeue_spsc(&s->ring, &s->first.pointer, data);
	if (!(many ? ck_ring_dequeue_mpmc_element(&s->ring, &s->first.element, element)
		   : ck_ring_dequeue_spsc_element(&s->ring, &s->first.element, element)))
		return false;
	if (element == &padded)
		memcpy(data, &padded, size);
	return true;
}

static int put(void *queue, const void *data, size_t size)
{
	unsigned int tries = 0;

	while (!try_put(((struct context *)queue)->shared, data, size, true))
		backoff(&tries);
	return 0;
}

static ssize_t get(void *queue, void *data, size_t size)
{
	unsigned int tries = 0;

	while (!try_get(((struct context *)queue)->shared, data, size, true))
		backoff(&tries);
	return (ssize_t)size;
}

static int put_spsc(void *queue, const void *data, size_t size)
{
	unsigned int tries = 0;

	while (!try_put(((struct context *)queue)->shared, data, size, false))
		backoff(&tries);
	return 0;
}

static ssize_t get_spsc(void *queue, void *data, size_t size)
{
	unsigned int tries = 0;

	while (!try_get(((struct context *)queue)->shared, data, size, false))
		backoff(&tries);
	return (ssize_t)size;
}

const struct peer peer_ck = {
	.name = "ck",
	.about = "Concurrency Kit ck_ring, many to many",
	.traits = PEER_SPINS,
	.element_max = sizeof(struct element),
	.create = create,
	.destroy = destroy,
	.put = put,
	.get = get,
};

const struct peer peer_ck_spsc = {
	.name = "ck_spsc",
	.about = "Concurrency Kit ck_ring, one to one",
	.traits = PEER_SPINS | PEER_ONE_TO_ONE | PEER_VARIANT,
	.element_max = sizeof(struct element),
	.create = create,
	.destroy = destroy,
	.put = put_spsc,
	.get = get_spsc,
};
