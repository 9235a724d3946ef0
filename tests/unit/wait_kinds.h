/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Things to wait for, each by one event that is not there yet, and how it comes about. */
#ifndef TEST_WAIT_KINDS_H
#define TEST_WAIT_KINDS_H

#include "support.h"

struct thing {
	struct brood_waitable item;
	struct brood_conn *other;	/* of a connection */
	struct brood_pipe *pipe;
};

struct kind {
	const char *name;
	struct thing (*make)(void);	/* by its only producer and, or, subscriber */
	void (*begin)(struct thing *thing);	/* by a child that is to wait; may be NULL */
	int (*make_ready)(struct thing *thing);	/* by who has made it */
	ssize_t (*use)(struct thing *thing);	/* the call that would not wait then */
	int (*end)(struct thing *thing);	/* closed, or the end of file */
	int (*destroy)(struct thing *thing);
};

static inline struct brood_waitable item_of(enum brood_wait_kind kind, void *object,
					    uint16_t events)
{
	return (struct brood_waitable){ .kind = kind, .object = object, .events = events };
}

static inline struct brood_ring *new_ring(size_t bytes)
{
	struct brood_ring *ring = brood_ring_create(&(struct brood_ring_opts){ .bytes = bytes });

	ck_assert_ptr_nonnull(ring);
	return ring;
}

static inline struct brood_pipe *new_pipe(struct brood_conn *end[2], size_t bytes, bool simplex)
{
	struct brood_pipe *pipe = brood_pipe_create(&(struct brood_pipe_opts){
		.bytes = bytes, .simplex = simplex });

	ck_assert_ptr_nonnull(pipe);
	end[0] = brood_pipe_end(pipe, 0);
	end[1] = brood_pipe_end(pipe, 1);
	return pipe;
}

static inline struct brood_broadcast *new_broadcast(uint32_t slots, bool lossy)
{
	struct brood_broadcast *broadcast = brood_broadcast_create(&(struct brood_broadcast_opts){
		.slots = slots, .max_bytes = 8, .lossy = lossy });

	ck_assert_ptr_nonnull(broadcast);
	return broadcast;
}

static inline struct brood_queue *new_single(void)
{
	struct brood_queue *queue = brood_queue_create(&(struct brood_queue_opts){
		.slots = 4, .max_bytes = 8, .producers = 1, .consumers = 1 });

	ck_assert_ptr_nonnull(queue);
	return queue;
}

/* ---- calls ---- */

static inline ssize_t put_ring(struct thing *thing)
{
	return brood_ring_put(thing->item.object, "x", 1, 0);
}

static inline ssize_t get_ring(struct thing *thing)
{
	char byte;

	return brood_ring_get(thing->item.object, &byte, 1, 0);
}

static inline ssize_t put_broadcast(struct thing *thing)
{
	return brood_broadcast_put(thing->item.object, "x", 1, 0);
}

static inline ssize_t get_broadcast(struct thing *thing)
{
	char byte;

	return brood_broadcast_get(thing->item.object, &byte, 1, 0);
}

static inline ssize_t put_single(struct thing *thing)
{
	return brood_queue_put(thing->item.object, "x", 1, 0);
}

static inline ssize_t get_single(struct thing *thing)
{
	char byte;

	return brood_queue_get(thing->item.object, &byte, 1, 0);
}

static inline ssize_t conn_send(struct thing *thing)
{
	return brood_conn_send(thing->item.object, "x", 1, 0);
}

static inline ssize_t conn_recv(struct thing *thing)
{
	char byte;

	return brood_conn_recv(thing->item.object, &byte, 1, 0);
}

static inline int ring_comes(struct thing *thing)
{
	return (int)put_ring(thing);
}

static inline int ring_goes(struct thing *thing)
{
	return get_ring(thing) == 1 ? 0 : -EIO;
}

static inline int broadcast_comes(struct thing *thing)
{
	return (int)put_broadcast(thing);
}

static inline int broadcast_goes(struct thing *thing)
{
	return get_broadcast(thing) == 1 ? 0 : -EIO;
}

static inline int single_comes(struct thing *thing)
{
	return (int)put_single(thing);
}

static inline int single_goes(struct thing *thing)
{
	return get_single(thing) == 1 ? 0 : -EIO;
}

static inline int conn_comes(struct thing *thing)
{
	return brood_conn_send(thing->other, "x", 1, 0);
}

static inline int conn_goes(struct thing *thing)
{
	char byte;

	return brood_conn_recv(thing->other, &byte, 1, 0) == 1 ? 0 : -EIO;
}

static inline int end_ring(struct thing *thing)
{
	return brood_ring_close(thing->item.object);
}

static inline int end_broadcast(struct thing *thing)
{
	return brood_broadcast_close(thing->item.object);
}

static inline int end_single(struct thing *thing)
{
	return brood_queue_close(thing->item.object);
}

static inline int end_conn(struct thing *thing)
{
	return brood_conn_close(thing->other);
}

static inline int destroy_ring(struct thing *thing)
{
	return brood_ring_destroy(thing->item.object);
}

static inline int destroy_broadcast(struct thing *thing)
{
	return brood_broadcast_destroy(thing->item.object);
}

static inline int destroy_single(struct thing *thing)
{
	return brood_queue_destroy(thing->item.object);
}

static inline int destroy_conn(struct thing *thing)
{
	return brood_pipe_destroy(thing->pipe);
}

/* A forked child holds both ends, as its parent does. */
static inline void begin_conn(struct thing *thing)
{
	must(brood_conn_close(thing->other) == 0);
}

static inline void begin_broadcast(struct thing *thing)
{
	if (thing->item.events == BROOD_READABLE)
		must(brood_broadcast_subscribe(thing->item.object) == 0);
}

/* ---- making ---- */

static inline struct thing empty_ring(void)
{
	return (struct thing){ .item = item_of(BROOD_WAIT_RING, new_ring(512), BROOD_READABLE) };
}

static inline struct thing full_ring(void)
{
	struct thing thing = { .item = item_of(BROOD_WAIT_RING, new_ring(512), BROOD_WRITABLE) };

	while (put_ring(&thing) == 0)
		;
	return thing;
}

static inline struct thing subscribed_broadcast(uint16_t event)
{
	struct brood_broadcast *broadcast = new_broadcast(4, false);

	must(brood_broadcast_subscribe(broadcast) == 0);
	return (struct thing){ .item = item_of(BROOD_WAIT_BROADCAST, broadcast, event) };
}

static inline struct thing empty_broadcast(void)
{
	return subscribed_broadcast(BROOD_READABLE);
}

static inline struct thing full_broadcast(void)
{
	struct thing thing = subscribed_broadcast(BROOD_WRITABLE);

	while (put_broadcast(&thing) == 0)
		;
	return thing;
}

static inline struct thing empty_single(void)
{
	return (struct thing){ .item = item_of(BROOD_WAIT_QUEUE, new_single(), BROOD_READABLE) };
}

static inline struct thing full_single(void)
{
	struct thing thing = { .item = item_of(BROOD_WAIT_QUEUE, new_single(), BROOD_WRITABLE) };

	while (put_single(&thing) == 0)
		;
	return thing;
}

static inline struct thing conn(bool simplex, unsigned int mine, uint16_t event)
{
	struct brood_conn *end[2];
	struct brood_pipe *pipe = new_pipe(end, 512, simplex);

	return (struct thing){ item_of(BROOD_WAIT_CONN, end[mine], event), end[!mine], pipe };
}

static inline struct thing empty_conn(void)
{
	return conn(true, 0, BROOD_READABLE);
}

static inline struct thing empty_duplex(void)
{
	return conn(false, 1, BROOD_READABLE);
}

static inline struct thing full_conn(void)
{
	struct thing thing = conn(true, 1, BROOD_WRITABLE);

	while (conn_send(&thing) == 0)
		;
	return thing;
}

static const struct kind kinds[] = {
	{ "ring, readable", empty_ring, NULL, ring_comes, get_ring, end_ring, destroy_ring },
	{ "ring, writable", full_ring, NULL, ring_goes, put_ring, end_ring, destroy_ring },
	{ "conn, readable", empty_conn, begin_conn, conn_comes, conn_recv, end_conn, destroy_conn },
	{ "conn, duplex", empty_duplex, begin_conn, conn_comes, conn_recv, end_conn, destroy_conn },
	{ "conn, writable", full_conn, begin_conn, conn_goes, conn_send, end_conn, destroy_conn },
	{ "broadcast, readable", empty_broadcast, begin_broadcast, broadcast_comes, get_broadcast,
	  end_broadcast, destroy_broadcast },
	{ "broadcast, writable", full_broadcast, begin_broadcast, broadcast_goes, put_broadcast,
	  end_broadcast, destroy_broadcast },
	{ "queue of one and one, readable", empty_single, NULL, single_comes, get_single,
	  end_single, destroy_single },
	{ "queue of one and one, writable", full_single, NULL, single_goes, put_single, end_single,
	  destroy_single },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* ---- messages in pieces ---- */

struct pieces {			/* shared */
	struct brood_conn *end[2];
	size_t length;
	int64_t timeout;	/* of send_long */
};

static inline struct pieces *new_pieces(size_t bytes, size_t length)
{
	struct pieces *pieces = shared(sizeof(*pieces));

	new_pipe(pieces->end, bytes, true);
	pieces->length = length;
	pieces->timeout = BROOD_FOREVER;
	return pieces;
}

/* The exit code is 0, or the error. */
static inline int send_long(void *arg)
{
	struct pieces *pieces = arg;
	char *data = calloc(1, pieces->length);

	must(data);
	return -brood_conn_send(pieces->end[1], data, pieces->length, pieces->timeout);
}

static inline int receive_long(void *arg)
{
	struct pieces *pieces = arg;
	char *data = calloc(1, pieces->length);

	must(data);
	return brood_conn_recv(pieces->end[0], data, pieces->length, BROOD_FOREVER) ==
	       (ssize_t)pieces->length ? 0 : 255;
}

/* Room for one short message and not for the sender's; and the sender, who waits for it. */
static inline pid_t a_sender_that_waits(struct pieces *pieces)
{
	char data[64] = "";
	pid_t pid;

	while (brood_conn_send(pieces->end[1], data, 64, 0) == 0)
		;
	must(brood_conn_recv(pieces->end[0], data, 64, 0) == 64);
	pid = start(send_long, pieces);
	usleep(1000);
	until_asleep(pid);
	return pid;
}

#endif
