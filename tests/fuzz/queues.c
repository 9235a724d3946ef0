/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Queues of all sorts, and buffers that travel through them, as a crew left them. */
#include "fuzz.h"

/* ---- how they were left ---- */

static struct brood_queue *make(struct brood_queue_opts opts, struct brood_segment *segment)
{
	struct brood_queue *queue;

	opts.segment = segment;
	opts.name = "q";
	queue = brood_queue_create(&opts);
	fuzz_must(queue != NULL, "queue");
	return queue;
}

/* Messages in it, one leased, one reserved, one got and perhaps not yet told done. */
static void work(struct brood_queue *queue)
{
	struct brood_message message, reserved;
	char bytes[16] = "message";

	for (int i = 0; i < 3; i++)
		fuzz_must(!brood_queue_put(queue, bytes, sizeof(bytes), 0), "put");
	fuzz_must(brood_queue_get(queue, bytes, sizeof(bytes), 0) == sizeof(bytes), "get");
	fuzz_must(!brood_queue_lease(queue, &message, 0), "lease");
	fuzz_must(!brood_queue_reserve(queue, &reserved), "reserve");
}

static void make_queue(struct brood_segment *segment)
{
	work(make((struct brood_queue_opts){ .slots = 3, .max_bytes = 40, .extra = 8 }, segment));
}

static void make_joinable(struct brood_segment *segment)
{
	work(make((struct brood_queue_opts){ .slots = 4, .max_bytes = 40, .extra = 8, .joinable = 1,
					     .producers_end = 1 }, segment));
}

static void make_seats(struct brood_segment *segment)
{
	work(make((struct brood_queue_opts){ .slots = 4, .max_bytes = 100, .extra = 8,
					     .producers = 1 }, segment));
}

static void make_single(struct brood_segment *segment)
{
	work(make((struct brood_queue_opts){ .slots = 5, .max_bytes = 24, .producers = 1,
					     .consumers = 1 }, segment));
}

static void make_single_lines(struct brood_segment *segment)
{
	work(make((struct brood_queue_opts){ .slots = 4, .max_bytes = 300, .producers = 1,
					     .consumers = 1 }, segment));
}

static void make_sparse(struct brood_segment *segment)
{
	work(make((struct brood_queue_opts){ .slots = 4, .max_bytes = 5000, .extra = 4 }, segment));
}

static void make_references(struct brood_segment *segment)
{
	struct brood_queue *queue = make((struct brood_queue_opts){ .slots = 4, .max_bytes = 16,
								    .extra = 8 }, segment);
	struct brood_message leased;

	for (int i = 0; i < 3; i++) {
		struct brood_buffer *buffer = brood_buffer_create(segment, 200);

		fuzz_must(buffer && !brood_buffer_share(buffer) &&
			  !brood_queue_put_buffer(queue, buffer, 0), "buffer");
	}
	fuzz_must(!brood_queue_lease(queue, &leased, 0), "lease");
}

static bool open_queue(struct world *world)
{
	return (world->object[0] = brood_queue_open(world->segment, "q")) != NULL;
}

/* ---- calls ---- */

static struct brood_queue *queue_of(const struct world *world)
{
	return world->object[0];
}

static void put(struct world *world)
{
	brood_queue_put(queue_of(world), fuzz_room(world->size), world->size, world->timeout);
}

static void get(struct world *world)
{
	uint32_t flags;

	brood_queue_get_flags(queue_of(world), fuzz_room(world->size), world->size, &flags,
			      world->timeout);
}

enum { MANY = 6 };

static void some(const struct world *world, struct brood_message messages[MANY])
{
	for (int i = 0; i < MANY; i++)
		messages[i] = (struct brood_message){
			.data = fuzz_room(world->size), .size = world->size, .length = world->size,
		};
}

static void put_many(struct world *world)
{
	struct brood_message messages[MANY];

	some(world, messages);
	brood_queue_put_many(queue_of(world), messages, MANY, world->timeout);
}

static void get_many(struct world *world)
{
	struct brood_message messages[MANY];

	some(world, messages);
	brood_queue_get_many(queue_of(world), messages, MANY, world->timeout);
}

static void reserve(struct world *world)
{
	if (brood_queue_reserve(queue_of(world), &world->message[0]))
		return;
	memset(world->message[0].data, 1, world->message[0].size);
	world->message[0].length = world->size;
}

static void commit(struct world *world)
{
	brood_queue_commit(queue_of(world), &world->message[0], world->timeout);
}

static void abandon(struct world *world)
{
	brood_queue_abort(queue_of(world), &world->message[0]);
}

static void lease(struct world *world)
{
	const struct brood_message *message = &world->message[1];

	if (brood_queue_lease(queue_of(world), &world->message[1], world->timeout) == 0 &&
	    message->length)
		memcpy(fuzz_room(message->length), message->data, message->length);
}

static void let_go(struct world *world)
{
	brood_queue_release(queue_of(world), &world->message[1]);
}

static void give_back(struct world *world)
{
	brood_queue_return(queue_of(world), &world->message[1]);
}

static void release_done(struct world *world)
{
	brood_queue_release_done(queue_of(world), &world->message[1]);
}

static void task_done(struct world *world)
{
	brood_queue_task_done(queue_of(world));
	brood_queue_join(queue_of(world), world->timeout);
}

static void begin(struct world *world)
{
	brood_queue_producer_begin(queue_of(world));
}

static void end(struct world *world)
{
	brood_queue_producer_end(queue_of(world));
}

static void ask(struct world *world)
{
	struct brood_queue *queue = queue_of(world);

	brood_queue_count(queue);
	brood_queue_capacity(queue);
	brood_queue_max_bytes(queue);
	brood_queue_empty(queue);
	brood_queue_full(queue);
	brood_queue_closed(queue);
}

static void wait_for(struct world *world)
{
	struct brood_waitable items[2] = {
		{ .kind = BROOD_WAIT_QUEUE, .object = queue_of(world) },
		{ .kind = BROOD_WAIT_QUEUE, .object = queue_of(world), .events = BROOD_WRITABLE },
	};

	brood_wait(items, world->size % 2 + 1, world->timeout);
}

static void descriptor(struct world *world)
{
	brood_queue_fd(queue_of(world), BROOD_READABLE);
	brood_queue_get(queue_of(world), NULL, 0, 0);
	if (world->size % 2)
		brood_queue_fd_close(queue_of(world), BROOD_READABLE);
}

static void close_it(struct world *world)
{
	brood_queue_close(queue_of(world));
}

static void refer(struct world *world)
{
	brood_deref(world->segment, brood_ref(world->segment, world->object[0]));
}

static void destroy(struct world *world)
{
	if (brood_queue_destroy(queue_of(world)) == 0 && world->size % 2)
		brood_queue_create(&(struct brood_queue_opts){
			.slots = 4, .max_bytes = 8, .segment = world->segment, .name = "q" });
}

static void (*const calls[])(struct world *) = {
	put, get, put_many, get_many, reserve, commit, abandon, lease, let_go, give_back, lease,
	release_done, task_done, begin, end, ask, wait_for, descriptor, get, close_it, refer, get,
	destroy,
};

/* ---- buffers ---- */

static struct brood_buffer *buffer_of(const struct world *world)
{
	return world->object[1];
}

static void use_bytes(struct world *world)
{
	char *bytes = brood_buffer_data(buffer_of(world));
	ssize_t size = brood_buffer_size(buffer_of(world));

	if (bytes && size > 0)
		bytes[0] = bytes[size - 1];
}

static void get_buffer(struct world *world)
{
	struct brood_buffer *buffer;

	if (brood_queue_get_buffer(queue_of(world), &buffer, world->timeout))
		return;
	world->object[1] = buffer;
	use_bytes(world);
}

static void put_buffer(struct world *world)
{
	brood_queue_put_buffer(queue_of(world), buffer_of(world), world->timeout);
}

static void create_buffer(struct world *world)
{
	world->object[1] = brood_buffer_create(world->segment, world->size + 1);
}

static void share_buffer(struct world *world)
{
	brood_buffer_share(buffer_of(world));
}

static void release_buffer(struct world *world)
{
	brood_buffer_release(buffer_of(world));
}

static void (*const reference_calls[])(struct world *) = {
	get_buffer, share_buffer, put_buffer, use_bytes, release_buffer, create_buffer, put_buffer,
	lease, give_back, get_buffer, get, put, get_buffer, put_buffer, ask, destroy,
};

/* ---- scenes ---- */

#define QUEUE(n, list) {								\
	.name = #n, .make = make_##n, .open = open_queue, CALLS(list), .queues = 1 << 0,	\
}

const struct scene fuzz_queue = QUEUE(queue, calls), fuzz_joinable = QUEUE(joinable, calls),
	fuzz_seats = QUEUE(seats, calls), fuzz_single = QUEUE(single, calls),
	fuzz_single_lines = QUEUE(single_lines, calls), fuzz_sparse = QUEUE(sparse, calls),
	fuzz_references = QUEUE(references, reference_calls);
