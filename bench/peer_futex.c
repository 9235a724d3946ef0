/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The least that can wake a sleeping process: a counter, FUTEX_WAIT and FUTEX_WAKE with nothing
 * around them. One system call a message whether anybody sleeps or not: it is no queue to be used,
 * it is what the waking of a queue is measured against.
 */
#include <config.h>

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backoff.h"
#include "peer.h"

struct shared {
	_Alignas(64) _Atomic uint32_t sent;
	_Alignas(64) _Atomic uint32_t taken;
	_Alignas(64) char data[];
};

struct context {
	struct shared *shared;
	size_t bytes;
	uint32_t slots;
	uint32_t done;		/* this worker's: sent or taken */
	uint32_t taken;		/* producer: as last looked at, which is only when it seems full */
};

static void *create(const struct shape *shape)
{
	struct context *context = calloc(1, sizeof *context);

	if (!context)
		return NULL;
	context->slots = shape->slots;
	context->bytes = sizeof *context->shared + shape->size * shape->slots;
	context->shared = shared_alloc(context->bytes);
	if (context->shared)
		return context;
	free(context);
	return NULL;
}

static void destroy(void *queue)
{
	struct context *context = queue;

	shared_free(context->shared, context->bytes);
	free(context);
}

static char *slot(const struct context *context, size_t size)
{
	return context->shared->data + (context->done & (context->slots - 1)) * size;
}

static void wait_for_room(struct context *context)
{
	unsigned int tries = 0;

	while (context->done - context->taken == context->slots) {
		context->taken = atomic_load_explicit(&context->shared->taken,
						      memory_order_acquire);
		backoff(&tries);
	}
}

static int put(void *queue, const void *data, size_t size)
{
	struct context *context = queue;
	struct shared *shared = context->shared;

	wait_for_room(context);
	memcpy(slot(context, size), data, size);
	atomic_store_explicit(&shared->sent, ++context->done, memory_order_release);
	return syscall(SYS_futex, &shared->sent, FUTEX_WAKE, 1, NULL, NULL, 0) < 0 ? -errno : 0;
}

static long wait_for_word(_Atomic uint32_t *word, uint32_t value)
{
	return syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static ssize_t get(void *queue, void *data, size_t size)
{
	struct context *context = queue;
	struct shared *shared = context->shared;

	while (atomic_load_explicit(&shared->sent, memory_order_acquire) == context->done)
		if (wait_for_word(&shared->sent, context->done) < 0 && errno != EAGAIN &&
		    errno != EINTR)
			return -errno;
	memcpy(data, slot(context, size), size);
	atomic_store_explicit(&shared->taken, ++context->done, memory_order_release);
	return (ssize_t)size;
}

const struct peer peer_futex = {
	.name = "futex",
	.about = "a raw futex wake a message, the limit for queue.paced and queue.wake",
	.traits = PEER_WAKE,
	.create = create,
	.destroy = destroy,
	.put = put,
	.get = get,
};
