/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * liburcu's wfcqueue: a linked queue whose nodes lie in memory that the forked workers share at one
 * address. Every producer owns slots / producers nodes; a consumer sends a node back by the owner's
 * own queue of free nodes, which the owner takes over as a whole when its private one is empty.
 * Dequeuing needs outside exclusion, so several consumers take the queue's mutex, made
 * process-shared, as cds_wfcq_dequeue_blocking() does; but nobody sleeps in poll() for 10 ms on a
 * half-linked node.
 */
#include <config.h>

#define _LGPL_SOURCE
#include <urcu/wfcqueue.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "message.h"
#include "peer.h"

#define LINE 64

struct node {
	struct cds_wfcq_node link;
	unsigned int owner;
	_Alignas(16) char data[];
};

/* Head and tail on lines of their own. */
struct chain {
	_Alignas(LINE) struct cds_wfcq_head head;
	_Alignas(LINE) struct cds_wfcq_tail tail;
};

struct shared {
	struct chain full;
	struct chain unused[MESSAGE_PRODUCERS];
	_Alignas(LINE) char nodes[];
};

struct context {
	struct shared *shared;
	size_t bytes;
	size_t size;
	size_t stride;
	bool exclusive;		/* the only consumer: no mutex */
	bool paired;		/* and only one producer: all nodes go back to one place */
	unsigned int me;
	struct chain mine;	/* producer: unused nodes; consumer: full ones taken as a whole */
	struct node *written;
	struct node *read;
};

static void chain_init(struct chain *chain)
{
	pthread_mutexattr_t attr;

	cds_wfcq_init(&chain->head, &chain->tail);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&chain->head.lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

static void chain_add(struct chain *chain, struct node *node)
{
	cds_wfcq_node_init(&node->link);
	cds_wfcq_enqueue(&chain->head, &chain->tail, &node->link);
}

/* NULL when there is nothing, or nothing yet. */
static struct node *chain_take(struct chain *chain)
{
	struct cds_wfcq_node *link =
		__cds_wfcq_dequeue_nonblocking(&chain->head, &chain->tail);

	return link == CDS_WFCQ_WOULDBLOCK ? NULL : (struct node *)link;
}

static void chain_move(struct chain *to, struct chain *from)
{
	__cds_wfcq_splice_nonblocking(&to->head, &to->tail, &from->head, &from->tail);
}

static void lay_out(struct context *context, const struct shape *shape)
{
	struct shared *shared = context->shared;

	chain_init(&shared->full);
	chain_init(&context->mine);
	for (unsigned int i = 0; i < shape->producers; i++)
		chain_init(&shared->unused[i]);
	for (unsigned int i = 0; i < shape->slots; i++) {
		struct node *node = (struct node *)(shared->nodes + i * context->stride);

		node->owner = i % shape->producers;
		chain_add(&shared->unused[node->owner], node);
	}
}

static void *create(const struct shape *shape)
{
	struct context *context = aligned_alloc(LINE, sizeof *context);

	if (!context)
		return NULL;
	memset(context, 0, sizeof *context);
	context->size = shape->size;
	context->stride = (sizeof(struct node) + shape->size + LINE - 1) / LINE * LINE;
	context->exclusive = shape->consumers == 1;
	context->paired = context->exclusive && shape->producers == 1;
	context->bytes = sizeof *context->shared + context->stride * shape->slots;
	context->shared = shared_alloc(context->bytes);
	if (!context->shared) {
		free(context);
		return NULL;
	}
	lay_out(context, shape);
	return context;
}

static void destroy(void *queue)
{
	struct context *context = queue;

	shared_free(context->shared, context->bytes);
	free(context);
}

static void enter(void *queue, unsigned int index)
{
	((struct context *)queue)->me = index;
}

static struct node *unused_node(struct context *context)
{
	unsigned int tries = 0;
	struct node *node;

	while (!(node = chain_take(&context->mine))) {
		chain_move(&context->mine, &context->shared->unused[context->me]);
		if (cds_wfcq_empty(&context->mine.head, &context->mine.tail))
			backoff(&tries);
	}
	return node;
}

static struct node *full_node_of_many(struct context *context)
{
	struct chain *full = &context->shared->full;
	struct node *node;

	if (cds_wfcq_empty(&full->head, &full->tail))
		return NULL;
	pthread_mutex_lock(&full->head.lock);
	node = chain_take(full);
	pthread_mutex_unlock(&full->head.lock);
	return node;
}

static struct node *full_node(struct context *context)
{
	unsigned int tries = 0;
	struct node *node;

	while (!(node = context->exclusive ? chain_take(&context->shared->full)
					   : full_node_of_many(context)))
		backoff(&tries);
	return node;
}

static void give_back(struct context *context, struct node *node)
{
	chain_add(&context->shared->unused[node->owner], node);
}

static int reserve(void *queue, void **data)
{
	struct context *context = queue;

	context->written = unused_node(context);
	*data = context->written->data;
	return 0;
}

static int commit(void *queue, size_t size)
{
	struct context *context = queue;

	(void)size;
	chain_add(&context->shared->full, context->written);
	return 0;
}

static ssize_t lease(void *queue, void **data)
{
	struct context *context = queue;

	context->read = full_node(context);
	*data = context->read->data;
	return (ssize_t)context->size;
}

static int release(void *queue)
{
	struct context *context = queue;

	give_back(context, context->read);
	return 0;
}

static int put(void *queue, const void *data, size_t size)
{
	struct context *context = queue;
	struct node *node = unused_node(context);

	memcpy(node->data, data, size);
	chain_add(&context->shared->full, node);
	return 0;
}

static ssize_t get(void *queue, void *data, size_t size)
{
	struct context *context = queue;
	struct node *node = full_node(context);

	memcpy(data, node->data, size);
	give_back(context, node);
	return (ssize_t)size;
}

/* Linked in private, then hung in at once. */
static int put_many(void *queue, const void *data, size_t size, unsigned int n)
{
	struct context *context = queue;
	const char *from = data;
	struct chain batch;

	cds_wfcq_init(&batch.head, &batch.tail);
	for (; n; n--, from += size) {
		struct node *node = unused_node(context);

		memcpy(node->data, from, size);
		chain_add(&batch, node);
	}
	chain_move(&context->shared->full, &batch);
	return 0;
}

/* Take over all there is. What is more than n stays in private for the next call. */
static struct node *full_node_private(struct context *context, bool wait)
{
	unsigned int tries = 0;
	struct node *node;

	while (!(node = chain_take(&context->mine)) && wait) {
		chain_move(&context->mine, &context->shared->full);
		if (cds_wfcq_empty(&context->mine.head, &context->mine.tail))
			backoff(&tries);
	}
	return node;
}

static int get_many(void *queue, void *data, size_t size, unsigned int n)
{
	struct context *context = queue;
	struct chain batch;
	struct node *node;
	char *to = data;
	int done = 0;

	if (!context->paired)
		return -ENOTSUP;
	cds_wfcq_init(&batch.head, &batch.tail);
	while ((unsigned int)done < n && (node = full_node_private(context, !done))) {
		memcpy(to + (size_t)done++ * size, node->data, size);
		chain_add(&batch, node);
	}
	chain_move(&context->shared->unused[0], &batch);
	return done;
}

const struct peer peer_wfcqueue = {
	.name = "wfcqueue",
	.about = "liburcu wfcqueue, nodes in shared memory",
	.traits = PEER_SPINS,
	.create = create,
	.destroy = destroy,
	.enter = enter,
	.put = put,
	.get = get,
	.put_many = put_many,
	.get_many = get_many,
	.reserve = reserve,
	.commit = commit,
	.lease = lease,
	.release = release,
};
