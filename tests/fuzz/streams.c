/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rings of bytes, pipes and broadcasts as a crew left them. */
#include "fuzz.h"
#include "queue/pipe.h"

/* ---- rings of bytes ---- */

static void make_ring(struct brood_segment *segment)
{
	struct brood_ring *ring = brood_ring_create(
		&(struct brood_ring_opts){ .bytes = 1000, .segment = segment, .name = "r" });
	struct brood_message claimed, leased;
	char bytes[200] = "message";

	fuzz_must(ring && !brood_ring_put(ring, bytes, 100, 0) &&
		  !brood_ring_put(ring, bytes, 1, 0) && !brood_ring_put(ring, bytes, 200, 0), "ring");
	fuzz_must(brood_ring_get(ring, bytes, sizeof(bytes), 0) == 100, "get");
	fuzz_must(!brood_ring_lease(ring, &leased, 0) &&
		  !brood_ring_reserve(ring, 130, &claimed, 0), "in place");
	fuzz_must(!brood_ring_put(ring, bytes, 64, 0), "put");
}

static bool open_ring(struct world *world)
{
	return (world->object[0] = brood_ring_open(world->segment, "r")) != NULL;
}

static struct brood_ring *ring_of(const struct world *world)
{
	return world->object[0];
}

static void ring_put(struct world *world)
{
	brood_ring_put(ring_of(world), fuzz_room(world->size), world->size, world->timeout);
}

static void ring_get(struct world *world)
{
	uint32_t flags;

	brood_ring_get_flags(ring_of(world), fuzz_room(world->size), world->size, &flags,
			     world->timeout);
}

static void ring_reserve(struct world *world)
{
	struct brood_message *message = &world->message[0];

	if (brood_ring_reserve(ring_of(world), world->size, message, world->timeout) == 0)
		memset(message->data, 1, message->size);
}

static void ring_commit(struct world *world)
{
	brood_ring_commit(ring_of(world), &world->message[0]);
}

static void ring_abort(struct world *world)
{
	brood_ring_abort(ring_of(world), &world->message[0]);
}

static void ring_lease(struct world *world)
{
	const struct brood_message *message = &world->message[1];

	if (brood_ring_lease(ring_of(world), &world->message[1], world->timeout) == 0)
		memcpy(fuzz_room(message->length), message->data, message->length);
}

static void ring_release(struct world *world)
{
	brood_ring_release(ring_of(world), &world->message[1]);
}

static void ring_ask(struct world *world)
{
	brood_ring_next_length(ring_of(world));
	brood_ring_count(ring_of(world));
	brood_ring_used(ring_of(world));
	brood_ring_capacity(ring_of(world));
	brood_ring_closed(ring_of(world));
}

static void ring_close(struct world *world)
{
	brood_ring_close(ring_of(world));
}

static void ring_destroy(struct world *world)
{
	brood_ring_destroy(ring_of(world));
}

static void (*const ring_calls[])(struct world *) = {
	ring_get, ring_put, ring_ask, ring_reserve, ring_commit, ring_lease, ring_release, ring_get,
	ring_reserve, ring_abort, ring_close, ring_get, ring_destroy,
};

const struct scene fuzz_ring = {
	.name = "ring", .make = make_ring, .open = open_ring, CALLS(ring_calls),
};

/* ---- pipes ---- */

/*
 * One whole message, and half of a long one, whose sender died while it waited for room: its word
 * still says that it sends.
 */
static void make_any_pipe(struct brood_segment *segment, bool simplex)
{
	struct brood_pipe *pipe = brood_pipe_create(&(struct brood_pipe_opts){
		.bytes = 512, .simplex = simplex, .segment = segment, .name = "p" });
	struct brood_conn *end = brood_pipe_end(pipe, 1);
	struct conn_call call;
	char bytes[2000] = "message";

	fuzz_must(pipe && !brood_conn_send(end, bytes, 10, 0), "send");
	fuzz_must(brood_conn_send(end, bytes, sizeof(bytes), 0) == -EAGAIN, "send half");
	fuzz_must(!brood__conn_enter(end, &call), "enter");
	brood__object_leave(&call.inside);
	atomic_store(&pipe->directions[0].sender, call.token);
}

static void make_pipe(struct brood_segment *segment)
{
	make_any_pipe(segment, false);
}

static void make_simplex(struct brood_segment *segment)
{
	make_any_pipe(segment, true);
}

static bool open_pipe(struct world *world)
{
	world->object[0] = brood_pipe_open(world->segment, "p");
	for (unsigned int end = 0; end < 2 && world->object[0]; end++)
		world->object[1 + end] = brood_pipe_end(world->object[0], end);
	return world->object[0] != NULL;
}

static void send_at(struct world *world, int end, size_t length)
{
	brood_conn_send(world->object[1 + end], fuzz_room(length), length, world->timeout);
}

static void recv_at(struct world *world, int end, size_t size)
{
	brood_conn_recv(world->object[1 + end], fuzz_room(size), size, world->timeout);
}

static void send_short(struct world *world)
{
	send_at(world, 1, world->size);
}

static void send_long(struct world *world)
{
	send_at(world, 1, 600 + world->size);
}

static void send_back(struct world *world)
{
	send_at(world, 0, world->size);
}

static void recv_short(struct world *world)
{
	recv_at(world, 0, world->size);
}

static void recv_long(struct world *world)
{
	recv_at(world, 0, 2000);
}

static void recv_back(struct world *world)
{
	recv_at(world, 1, 2000);
}

static void conn_ask(struct world *world)
{
	for (int end = 1; end < 3; end++) {
		brood_conn_poll(world->object[end], world->timeout);
		brood_conn_next_length(world->object[end]);
		brood_conn_closed(world->object[end]);
	}
}

static void conn_open(struct world *world)
{
	brood_conn_open(world->object[1 + world->size % 2]);
}

static void conn_close(struct world *world)
{
	brood_conn_close(world->object[1 + world->size % 2]);
}

static void pipe_destroy(struct world *world)
{
	brood_pipe_destroy(world->object[0]);
}

static void (*const pipe_calls[])(struct world *) = {
	conn_open, recv_short, conn_ask, recv_long, send_short, send_long, recv_short, recv_long,
	send_back, recv_back, send_long, conn_ask, recv_long, conn_close, recv_long, send_short,
	pipe_destroy,
};

const struct scene fuzz_pipe = {
	.name = "pipe", .make = make_pipe, .open = open_pipe, CALLS(pipe_calls),
}, fuzz_simplex = {
	.name = "simplex", .make = make_simplex, .open = open_pipe, CALLS(pipe_calls),
};

/* ---- broadcasts ---- */

static void make_any_broadcast(struct brood_segment *segment, bool lossy)
{
	struct brood_broadcast *broadcast = brood_broadcast_create(&(struct brood_broadcast_opts){
		.slots = 4, .max_bytes = 60, .lossy = lossy, .segment = segment, .name = "b" });
	struct brood_message leased;
	char bytes[60] = "message";

	fuzz_must(broadcast && !brood_broadcast_subscribe(broadcast), "broadcast");
	for (int i = 0; i < 3; i++)
		fuzz_must(!brood_broadcast_put(broadcast, bytes, sizeof(bytes), 0), "put");
	fuzz_must(brood_broadcast_get(broadcast, bytes, sizeof(bytes), 0) == sizeof(bytes), "get");
	if (!lossy)
		fuzz_must(!brood_broadcast_lease(broadcast, &leased, 0), "lease");
}

static void make_broadcast(struct brood_segment *segment)
{
	make_any_broadcast(segment, false);
}

static void make_lossy(struct brood_segment *segment)
{
	make_any_broadcast(segment, true);
}

static bool open_broadcast(struct world *world)
{
	return (world->object[0] = brood_broadcast_open(world->segment, "b")) != NULL;
}

static struct brood_broadcast *broadcast_of(const struct world *world)
{
	return world->object[0];
}

static void subscribe(struct world *world)
{
	brood_broadcast_subscribe(broadcast_of(world));
}

static void unsubscribe(struct world *world)
{
	brood_broadcast_unsubscribe(broadcast_of(world));
}

static void broadcast_put(struct world *world)
{
	brood_broadcast_put(broadcast_of(world), fuzz_room(world->size), world->size,
			    world->timeout);
}

static void some(const struct world *world, struct brood_message messages[3])
{
	for (int i = 0; i < 3; i++)
		messages[i] = (struct brood_message){
			.data = fuzz_room(world->size), .size = world->size, .length = world->size,
		};
}

static void broadcast_put_many(struct world *world)
{
	struct brood_message messages[3];

	some(world, messages);
	brood_broadcast_put_many(broadcast_of(world), messages, 3, world->timeout);
}

static void broadcast_get(struct world *world)
{
	uint64_t lost;

	brood_broadcast_get_lost(broadcast_of(world), fuzz_room(world->size), world->size, &lost,
				 world->timeout);
}

static void broadcast_get_many(struct world *world)
{
	struct brood_message messages[3];

	some(world, messages);
	brood_broadcast_get_many(broadcast_of(world), messages, 3, world->timeout);
}

static void broadcast_lease(struct world *world)
{
	const struct brood_message *message = &world->message[1];

	if (brood_broadcast_lease(broadcast_of(world), &world->message[1], world->timeout) == 0)
		memcpy(fuzz_room(message->length), message->data, message->length);
}

static void broadcast_release(struct world *world)
{
	brood_broadcast_release(broadcast_of(world), &world->message[1]);
}

static void broadcast_ask(struct world *world)
{
	brood_broadcast_lost(broadcast_of(world));
	brood_broadcast_count(broadcast_of(world));
	brood_broadcast_subscribers(broadcast_of(world));
	brood_broadcast_capacity(broadcast_of(world));
	brood_broadcast_max_bytes(broadcast_of(world));
	brood_broadcast_closed(broadcast_of(world));
}

static void broadcast_end(struct world *world)
{
	brood_broadcast_producer_end(broadcast_of(world));
}

static void broadcast_close(struct world *world)
{
	brood_broadcast_close(broadcast_of(world));
}

static void broadcast_destroy(struct world *world)
{
	brood_broadcast_destroy(broadcast_of(world));
}

static void (*const broadcast_calls[])(struct world *) = {
	subscribe, broadcast_put, broadcast_ask, broadcast_get, broadcast_put_many, broadcast_lease,
	broadcast_release, broadcast_get_many, broadcast_put_many, broadcast_put_many,
	broadcast_get, broadcast_end, broadcast_close, broadcast_get, unsubscribe,
	broadcast_destroy,
};

const struct scene fuzz_broadcast = {
	.name = "broadcast", .make = make_broadcast, .open = open_broadcast, CALLS(broadcast_calls),
}, fuzz_lossy = {
	.name = "lossy", .make = make_lossy, .open = open_broadcast, CALLS(broadcast_calls),
};
