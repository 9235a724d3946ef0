/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* brood: the default queue, in the family arena; copies, batches, and work in place. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include <brood/queue.h>

#include "peer.h"

#define BATCH_MAX 256

struct context {
	struct brood_queue *queue;
	struct brood_message written;
	struct brood_message read;
	const char *puts_base, *gets_base;	/* what the two arrays below describe */
	struct brood_message puts[BATCH_MAX];
	struct brood_message gets[BATCH_MAX];
};

static void *create(const struct shape *shape, bool one_to_one)
{
	struct context *context = calloc(1, sizeof *context);

	if (!context)
		return NULL;
	context->queue = brood_queue_create(&(struct brood_queue_opts){
		.slots = shape->slots,
		.max_bytes = shape->size,
		.producers = one_to_one,
		.consumers = one_to_one,
	});
	if (context->queue)
		return context;
	free(context);
	return NULL;
}

static void *create_default(const struct shape *shape)
{
	return create(shape, false);
}

static void *create_one_to_one(const struct shape *shape)
{
	return create(shape, true);
}

static void brood_bench_destroy(void *queue)
{
	struct context *context = queue;

	brood_queue_destroy(context->queue);
	free(context);
}

static int put(void *queue, const void *data, size_t size)
{
	return brood_queue_put(((struct context *)queue)->queue, data, size, BROOD_FOREVER);
}

static ssize_t get(void *queue, void *data, size_t size)
{
	return brood_queue_get(((struct context *)queue)->queue, data, size, BROOD_FOREVER);
}

/* A user keeps the array of messages from call to call; so does this. */
static void describe(struct brood_message *messages, char *data, size_t size)
{
	for (unsigned int i = 0; i < BATCH_MAX; i++)
		messages[i] = (struct brood_message){
			.data = data + i * size,
			.size = size,
			.length = size,
		};
}

static int put_many(void *queue, const void *data, size_t size, unsigned int n)
{
	struct context *context = queue;
	ssize_t done;

	if (n > BATCH_MAX)
		return -EINVAL;
	if (context->puts_base != data) {
		describe(context->puts, (char *)data, size);
		context->puts_base = data;
	}
	done = brood_queue_put_many(context->queue, context->puts, n, BROOD_FOREVER);
	if (done < 0)
		return (int)done;
	return done == (ssize_t)n ? 0 : -EIO;
}

static int get_many(void *queue, void *data, size_t size, unsigned int n)
{
	struct context *context = queue;
	ssize_t done;

	if (n > BATCH_MAX)
		return -EINVAL;
	if (context->gets_base != data) {
		describe(context->gets, data, size);
		context->gets_base = data;
	}
	done = brood_queue_get_many(context->queue, context->gets, n, BROOD_FOREVER);
	for (ssize_t i = 0; i < done; i++)
		if (context->gets[i].length != size)
			return -EBADMSG;
	return (int)done;
}

static int reserve(void *queue, void **data)
{
	struct context *context = queue;
	int error = brood_queue_reserve(context->queue, &context->written);

	*data = context->written.data;
	return error;
}

static int commit(void *queue, size_t size)
{
	struct context *context = queue;

	context->written.length = size;
	return brood_queue_commit(context->queue, &context->written, BROOD_FOREVER);
}

static ssize_t lease(void *queue, void **data)
{
	struct context *context = queue;
	int error = brood_queue_lease(context->queue, &context->read, BROOD_FOREVER);

	*data = context->read.data;
	return error ? error : (ssize_t)context->read.length;
}

static int release(void *queue)
{
	struct context *context = queue;

	return brood_queue_release(context->queue, &context->read);
}

const struct peer peer_brood = {
	.name = "brood",
	.about = "brood_queue, default options",
	.create = create_default,
	.destroy = brood_bench_destroy,
	.put = put,
	.get = get,
	.put_many = put_many,
	.get_many = get_many,
	.reserve = reserve,
	.commit = commit,
	.lease = lease,
	.release = release,
};

const struct peer peer_brood_spsc = {
	.name = "brood_spsc",
	.about = "brood_queue, producers = 1, consumers = 1",
	.traits = PEER_ONE_TO_ONE,
	.create = create_one_to_one,
	.destroy = brood_bench_destroy,
	.put = put,
	.get = get,
	.put_many = put_many,
	.get_many = get_many,
	.reserve = reserve,
	.commit = commit,
	.lease = lease,
	.release = release,
};
