/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DPDK's rte_ring in its kinds of synchronisation. A ring that rte_ring_init() lays into shared
 * memory needs nothing else of DPDK and works between forked processes. Elements are copied into
 * the ring up to a few lines; longer messages are handed over by pointer.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

/* Their inline functions are not written for our warnings. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <rte_ring.h>
#include <rte_ring_elem.h>
#pragma GCC diagnostic pop

#include "backoff.h"
#include "peer.h"

#define ELEMENT_MAX 256

struct context {
	struct rte_ring *ring;
	size_t bytes;
};

static void *create_with(const struct shape *shape, unsigned int flags)
{
	struct context *context = calloc(1, sizeof *context);
	ssize_t bytes = rte_ring_get_memsize_elem((unsigned int)shape->size, shape->slots);
	int error;

	if (!context || bytes < 0) {
		free(context);
		errno = bytes < 0 ? (int)-bytes : ENOMEM;
		return NULL;
	}
	context->bytes = (size_t)bytes;
	context->ring = shared_alloc(context->bytes);
	error = context->ring ? rte_ring_init(context->ring, "bench", shape->slots, flags) : -errno;
	if (!error)
		return context;
	shared_free(context->ring, context->bytes);
	free(context);
	errno = -error;
	return NULL;
}

static void *create_mpmc(const struct shape *shape)
{
	return create_with(shape, 0);
}

static void *create_spsc(const struct shape *shape)
{
	return create_with(shape, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static void *create_hts(const struct shape *shape)
{
	return create_with(shape, RING_F_MP_HTS_ENQ | RING_F_MC_HTS_DEQ);
}

static void *create_rts(const struct shape *shape)
{
	return create_with(shape, RING_F_MP_RTS_ENQ | RING_F_MC_RTS_DEQ);
}

static void destroy(void *queue)
{
	struct context *context = queue;

	shared_free(context->ring, context->bytes);
	free(context);
}

static int put(void *queue, const void *data, size_t size)
{
	struct rte_ring *ring = ((struct context *)queue)->ring;
	unsigned int tries = 0;

	while (rte_ring_enqueue_elem(ring, (void *)data, (unsigned int)size))
		backoff(&tries);
	return 0;
}

static ssize_t get(void *queue, void *data, size_t size)
{
	struct rte_ring *ring = ((struct context *)queue)->ring;
	unsigned int tries = 0;

	while (rte_ring_dequeue_elem(ring, data, (unsigned int)size))
		backoff(&tries);
	return (ssize_t)size;
}

static int put_many(void *queue, const void *data, size_t size, unsigned int n)
{
	struct rte_ring *ring = ((struct context *)queue)->ring;
	const char *from = data;
	unsigned int tries = 0;

	while (n) {
		unsigned int done = rte_ring_enqueue_burst_elem(ring, from, (unsigned int)size, n,
								NULL);

		n -= done;
		from += done * size;
		if (n)
			backoff(&tries);
	}
	return 0;
}

static int get_many(void *queue, void *data, size_t size, unsigned int n)
{
	struct rte_ring *ring = ((struct context *)queue)->ring;
	unsigned int tries = 0;
	unsigned int done;

	while (!(done = rte_ring_dequeue_burst_elem(ring, data, (unsigned int)size, n, NULL)))
		backoff(&tries);
	return (int)done;
}

const struct peer peer_rte = {
	.name = "rte_ring",
	.about = "DPDK rte_ring, many to many",
	.traits = PEER_SPINS,
	.element_max = ELEMENT_MAX,
	.create = create_mpmc,
	.destroy = destroy,
	.put = put,
	.get = get,
	.put_many = put_many,
	.get_many = get_many,
};

const struct peer peer_rte_hts = {
	.name = "rte_ring_hts",
	.about = "DPDK rte_ring, many to many, head and tail in step",
	.traits = PEER_SPINS | PEER_VARIANT,
	.element_max = ELEMENT_MAX,
	.create = create_hts,
	.destroy = destroy,
	.put = put,
	.get = get,
	.put_many = put_many,
	.get_many = get_many,
};

const struct peer peer_rte_rts = {
	.name = "rte_ring_rts",
	.about = "DPDK rte_ring, many to many, relaxed tail",
	.traits = PEER_SPINS | PEER_VARIANT,
	.element_max = ELEMENT_MAX,
	.create = create_rts,
	.destroy = destroy,
	.put = put,
	.get = get,
	.put_many = put_many,
	.get_many = get_many,
};

const struct peer peer_rte_spsc = {
	.name = "rte_ring_spsc",
	.about = "DPDK rte_ring, one to one",
	.traits = PEER_SPINS | PEER_ONE_TO_ONE | PEER_VARIANT,
	.element_max = ELEMENT_MAX,
	.create = create_spsc,
	.destroy = destroy,
	.put = put,
	.get = get,
	.put_many = put_many,
	.get_many = get_many,
};
