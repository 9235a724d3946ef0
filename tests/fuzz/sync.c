/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What lies in the user's memory: locks and their kin, reached by a reference in a list of them; the
 * waits for many and the descriptors; memory itself.
 */
#include "fuzz.h"

/* ---- locks and their kin ---- */

struct things {			/* one block of memory */
	struct brood_lock lock;
	struct brood_rlock rlock;
	struct brood_semaphore semaphore;
	struct brood_event event;
	struct brood_once once;
	struct brood_counter counter;
	struct brood_rwlock rwlock;
	struct brood_condition condition;
	struct brood_barrier barrier;
	struct brood_contention contention;
	uint64_t robust;	/* a reference to a semaphore */
};

/* The first block of the segment: its reference is known to all. */
static void make_locks(struct brood_segment *segment)
{
	struct things *things = brood_alloc(segment, sizeof(*things));
	struct brood_semaphore *robust = brood_semaphore_create(3,
		&(struct brood_semaphore_opts){ .robust = 1, .bounded = 1, .segment = segment });

	fuzz_must(things && robust && !brood_semaphore_acquire(robust, 0), "robust");
	things->robust = brood_ref(segment, robust);
	fuzz_must(!brood_semaphore_init(&things->semaphore, 2, NULL) &&
		  !brood_barrier_init(&things->barrier, 2) &&
		  !brood_lock_watch(&things->lock, &things->contention) &&
		  !brood_event_watch(&things->event, &things->contention), "init");
	fuzz_must(!brood_lock_acquire(&things->lock, 0) &&
		  !brood_rlock_acquire(&things->rlock, 0) &&
		  !brood_rwlock_acquire_read(&things->rwlock, 0), "acquire");
	fuzz_must(brood_barrier_wait(&things->barrier, 0) == -EAGAIN, "barrier");
}

static bool open_locks(struct world *world)
{
	uint64_t reference = 0;
	struct things *things = world->object[0];

	/* attach.c has found the first block. */
	if (!things)
		return false;
	reference = things->robust;
	world->object[1] = brood_deref(world->segment, reference);
	return true;
}

static struct things *things_of(const struct world *world)
{
	return world->object[0];
}

static void use_lock(struct world *world)
{
	struct brood_lock *lock = &things_of(world)->lock;
	int result = brood_lock_acquire(lock, world->timeout);

	if (result == -EOWNERDEAD && world->size % 2)
		brood_lock_recovered(lock);
	brood_lock_locked(lock);
	if (world->size % 4 < 3)
		brood_lock_release(lock);
	brood_lock_watch(lock, world->size % 8 ? NULL : &things_of(world)->contention);
}

static void use_rlock(struct world *world)
{
	struct brood_rlock *lock = &things_of(world)->rlock;

	if (brood_rlock_acquire(lock, world->timeout) == -EOWNERDEAD && world->size % 2)
		brood_rlock_recovered(lock);
	brood_rlock_acquire(lock, 0);
	brood_rlock_depth(lock);
	brood_rlock_release(lock);
	if (world->size % 4 < 3)
		brood_rlock_release(lock);
}

static void use_rwlock(struct world *world)
{
	struct brood_rwlock *lock = &things_of(world)->rwlock;

	brood_rwlock_acquire_read(lock, world->timeout);
	if (world->size % 2)
		brood_rwlock_release(lock);
	if (brood_rwlock_acquire_write(lock, world->timeout) == -EOWNERDEAD && world->size % 4 < 3)
		brood_rwlock_recovered(lock);
	brood_rwlock_release(lock);
	brood_rwlock_watch(lock, world->size % 8 ? NULL : &things_of(world)->contention);
}

static void use_semaphores(struct world *world)
{
	struct brood_semaphore *both[2] = { &things_of(world)->semaphore, world->object[1] };

	for (int i = 0; i < 2; i++) {
		brood_semaphore_acquire(both[i], world->timeout);
		brood_semaphore_acquire(both[i], 0);
		brood_semaphore_value(both[i]);
		brood_semaphore_release(both[i]);
	}
}

static void use_event(struct world *world)
{
	struct brood_event *event = &things_of(world)->event;

	brood_event_wait(event, world->timeout);
	brood_event_set(event);
	brood_event_wait(event, world->timeout);
	brood_event_is_set(event);
	if (world->size % 2)
		brood_event_clear(event);
}

static int do_nothing(void *argument)
{
	(void)argument;
	return 1;
}

static int never(void *argument)
{
	(void)argument;
	return 0;
}

static void use_once(struct world *world)
{
	brood_once_call(&things_of(world)->once, do_nothing, NULL, world->timeout);
}

static void use_counter(struct world *world)
{
	struct brood_counter *counter = &things_of(world)->counter;
	int64_t value = 0;

	brood_counter_get(counter, &value);
	brood_counter_add(counter, world->size, &value);
	brood_counter_max(counter, world->size, &value);
	brood_counter_compare_exchange(counter, &value, 7);
	brood_counter_wait_change(counter, value, &value, world->timeout);
	brood_counter_set(counter, 5);
}

static void use_condition(struct world *world)
{
	struct brood_condition *condition = &things_of(world)->condition;
	struct brood_lock *lock = &things_of(world)->lock;

	brood_lock_acquire(lock, 0);
	brood_condition_wait(condition, lock, world->timeout);
	brood_condition_wait_for(condition, lock, never, NULL, world->timeout);
	brood_condition_notify(condition, lock, 2);
	brood_condition_notify_all(condition, lock);
	brood_lock_release(lock);
}

static void use_barrier(struct world *world)
{
	struct brood_barrier *barrier = &things_of(world)->barrier;

	brood_barrier_wait(barrier, world->timeout);
	brood_barrier_wait_action(barrier, do_nothing, NULL, world->timeout);
	brood_barrier_n_waiting(barrier);
	brood_barrier_parties(barrier);
	brood_barrier_broken(barrier);
	if (world->size % 2)
		brood_barrier_abort(barrier);
	brood_barrier_reset(barrier);
}

static void (*const lock_calls[])(struct world *) = {
	use_lock, use_rlock, use_rwlock, use_semaphores, use_event, use_once, use_counter,
	use_condition, use_barrier, use_lock, use_rwlock,
};

const struct scene fuzz_locks = {
	.name = "locks", .make = make_locks, .open = open_locks, CALLS(lock_calls),
};

/* ---- many at once, descriptors ---- */

static void make_waits(struct brood_segment *segment)
{
	struct brood_queue_opts opts = {
		.slots = 2, .max_bytes = 8, .extra = 4, .segment = segment, .name = "q",
	};
	struct things *things;

	make_locks(segment);
	things = brood_deref(segment, brood_ref(segment, brood_queue_create(&opts)));
	fuzz_must(things != NULL, "queue");
	opts.name = "s";
	opts.producers = opts.consumers = 1;
	fuzz_must(brood_queue_create(&opts) != NULL, "queue");
}

static bool open_waits(struct world *world)
{
	world->object[2] = brood_queue_open(world->segment, "q");
	world->object[3] = brood_queue_open(world->segment, "s");
	return open_locks(world) && world->object[2] && world->object[3];
}

static void wait_for_all(struct world *world)
{
	struct brood_waitable items[] = {
		{ .kind = BROOD_WAIT_QUEUE, .object = world->object[2] },
		{ .kind = BROOD_WAIT_QUEUE, .object = world->object[3] },
		{ .kind = BROOD_WAIT_EVENT, .object = &things_of(world)->event },
		{ .kind = BROOD_WAIT_SEMAPHORE, .object = &things_of(world)->semaphore },
		{ .kind = BROOD_WAIT_SEMAPHORE, .object = world->object[1] },
		{ .kind = BROOD_WAIT_FD, .fd = 0, .events = BROOD_WRITABLE },
	};

	brood_wait(items, world->size % 7, world->timeout);
}

static void arm(struct world *world)
{
	brood_queue_fd(world->object[2], BROOD_READABLE);
	brood_queue_fd(world->object[3], BROOD_READABLE);
	brood_event_fd(&things_of(world)->event);
	brood_semaphore_fd(&things_of(world)->semaphore);
	brood_semaphore_fd(world->object[1]);
}

static void disarm(struct world *world)
{
	brood_queue_fd_close(world->object[2], BROOD_READABLE);
	brood_event_fd_close(&things_of(world)->event);
	brood_semaphore_fd_close(&things_of(world)->semaphore);
}

static void make_ready(struct world *world)
{
	brood_queue_put(world->object[2], "a", 1, 0);
	brood_queue_put(world->object[3], "a", 1, 0);
	brood_event_set(&things_of(world)->event);
	brood_semaphore_release(&things_of(world)->semaphore);
	brood_semaphore_release(world->object[1]);
}

static void empty(struct world *world)
{
	char byte[8];

	while (brood_queue_get(world->object[2], byte, sizeof(byte), 0) >= 0 && world->size--)
		;
	brood_queue_get(world->object[3], byte, sizeof(byte), world->timeout);
	brood_event_clear(&things_of(world)->event);
	brood_semaphore_acquire(&things_of(world)->semaphore, world->timeout);
}

static void (*const wait_calls[])(struct world *) = {
	wait_for_all, make_ready, wait_for_all, empty, arm, wait_for_all, make_ready, empty, disarm,
};

const struct scene fuzz_waits = {
	.name = "waits", .make = make_waits, .open = open_waits, CALLS(wait_calls),
	.queues = 1 << 2 | 1 << 3,
};

/* ---- memory ---- */

/* Blocks that live, blocks that are free, and one that its maker had not finished. */
static void make_memory(struct brood_segment *segment)
{
	void *first = brood_alloc(segment, 100), *memory[4];

	for (int i = 0; i < 4; i++)
		fuzz_must((memory[i] = brood_alloc(segment, (size_t)1000 << 2 * i)) != NULL, "alloc");
	fuzz_must(!brood_free(segment, memory[0]) && !brood_free(segment, memory[2]), "free");
	*(uint64_t *)first = brood_ref(segment, memory[1]);
}

static bool open_memory(struct world *world)
{
	return world->object[0] != NULL;
}

static void allocate(struct world *world)
{
	size_t bytes = (size_t)(world->size + 1) << world->size % 12;

	world->object[1] = brood_alloc(world->segment, bytes);
	if (world->object[1])
		memset(world->object[1], 1, bytes);
}

static void release(struct world *world)
{
	brood_free(world->segment, world->object[1]);
	brood_free(NULL, world->object[2]);
}

static void refer(struct world *world)
{
	uint64_t reference;

	memcpy(&reference, world->object[0], sizeof(reference));
	world->object[2] = brood_deref(world->segment, reference);
	brood_ref(world->segment, world->object[2]);
}

static void look(struct world *world)
{
	struct brood_segment_info info;

	brood_segment_stat(world->segment, &info);
	brood_segment_of(world->object[2]);
}

/* Makes an object of each kind, with a name that may be there, and uses it. */
static void make_objects(struct world *world)
{
	struct brood_segment *segment = world->segment;
	struct brood_queue *queue = brood_queue_create(&(struct brood_queue_opts){
		.slots = 2, .max_bytes = 8, .extra = 2, .segment = segment, .name = "q" });
	struct brood_ring *ring = brood_ring_create(
		&(struct brood_ring_opts){ .bytes = 200, .segment = segment, .name = "q" });
	struct brood_pipe *pipe = brood_pipe_create(
		&(struct brood_pipe_opts){ .bytes = 256, .segment = segment, .name = "q" });
	struct brood_broadcast *broadcast = brood_broadcast_create(&(struct brood_broadcast_opts){
		.slots = 2, .max_bytes = 8, .segment = segment, .name = "q" });
	struct brood_buffer *buffer = brood_buffer_create(segment, world->size + 1);

	brood_queue_put(queue, "a", 1, 0);
	brood_ring_put(ring, "a", 1, 0);
	brood_conn_send(pipe ? brood_pipe_end(pipe, 0) : NULL, "a", 1, 0);
	brood_broadcast_put(broadcast, "a", 1, 0);
	brood_buffer_release(buffer);
	brood_queue_destroy(queue);
	brood_ring_destroy(ring);
	brood_pipe_destroy(pipe);
	brood_broadcast_destroy(broadcast);
}

static void (*const memory_calls[])(struct world *) = {
	look, refer, allocate, release, make_objects, allocate, look, make_objects, release,
};

const struct scene fuzz_memory = {
	.name = "memory", .make = make_memory, .open = open_memory, CALLS(memory_calls),
};
