/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring that everybody writes first: a process-shared mutex and two condition variables. */
#include <config.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

struct ring {
	pthread_mutex_t lock;
	pthread_cond_t not_empty;
	pthread_cond_t not_full;
	unsigned int slots;	/* a power of two */
	unsigned int head;
	unsigned int count;
	_Alignas(64) char data[];
};

struct context {
	struct ring *ring;
	size_t bytes;
};

static void ring_init(struct ring *ring, unsigned int slots)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t condition;

	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&ring->lock, &mutex);
	pthread_mutexattr_destroy(&mutex);
	pthread_condattr_init(&condition);
	pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&ring->not_empty, &condition);
	pthread_cond_init(&ring->not_full, &condition);
	pthread_condattr_destroy(&condition);
	ring->slots = slots;
}

static void *create(const struct shape *shape)
{
	struct context *context = calloc(1, sizeof *context);

	if (!context)
		return NULL;
	context->bytes = sizeof *context->ring + shape->size * shape->slots;
	context->ring = shared_alloc(context->bytes);
	if (!context->ring) {
		free(context);
		return NULL;
	}
	ring_init(context->ring, shape->slots);
	return context;
}

static void destroy(void *queue)
{
	struct context *context = queue;

	shared_free(context->ring, context->bytes);
	free(context);
}

static char *slot(struct ring *ring, unsigned int position, size_t size)
{
	return ring->data + (position & (ring->slots - 1)) * size;
}

static int put_many(void *queue, const void *data, size_t size, unsigned int n)
{
	struct ring *ring = ((struct context *)queue)->ring;
	const char *from = data;

	pthread_mutex_lock(&ring->lock);
	for (; n; n--, from += size) {
		while (ring->count == ring->slots)
			pthread_cond_wait(&ring->not_full, &ring->lock);
		memcpy(slot(ring, ring->head + ring->count, size), from, size);
		ring->count++;
		pthread_cond_signal(&ring->not_empty);
	}
	pthread_mutex_unlock(&ring->lock);
	return 0;
}

static int get_many(void *queue, void *data, size_t size, unsigned int n)
{
	struct ring *ring = ((struct context *)queue)->ring;
	char *to = data;
	unsigned int done;

	pthread_mutex_lock(&ring->lock);
	while (!ring->count)
		pthread_cond_wait(&ring->not_empty, &ring->lock);
	for (done = 0; done < n && ring->count; done++, to += size) {
		memcpy(to, slot(ring, ring->head, size), size);
		ring->head++;
		ring->count--;
		pthread_cond_signal(&ring->not_full);
	}
	pthread_mutex_unlock(&ring->lock);
	return (int)done;
}

static int put(void *queue, const void *data, size_t size)
{
	return put_many(queue, data, size, 1);
}

static ssize_t get(void *queue, void *data, size_t size)
{
	return get_many(queue, data, size, 1) == 1 ? (ssize_t)size : 0;
}

const struct peer peer_mutex = {
	.name = "mutex",
	.about = "ring under a process-shared pthread mutex and two condition variables",
	.create = create,
	.destroy = destroy,
	.put = put,
	.get = get,
	.put_many = put_many,
	.get_many = get_many,
};
