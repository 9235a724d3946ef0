/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Python promises of Queue, SimpleQueue and JoinableQueue, row by row, in every sort of queue;
 * and of timeouts and signals in every call that can wait. A test case quotes the call. The rows
 * that are not here have their tests in test_queue*.c, test_ring.c and test_wait_many.c.
 */
#include <sys/time.h>

#include "support.h"

/* ---- sorts: by the option producers, and consumers ---- */

enum { SORTS = 4 };

static struct brood_queue *queue_of(int sort, uint32_t slots, size_t max_bytes)
{
	struct brood_queue *queue = brood_queue_create(&(struct brood_queue_opts){
		.slots = slots, .max_bytes = max_bytes, .producers = sort & 1,
		.consumers = sort >> 1 & 1 });

	ck_assert_ptr_nonnull(queue);
	return queue;
}

static void fill(struct brood_queue *queue)
{
	while (put_number(queue, 1, 0) == 0)
		;
}

struct scene {
	struct brood_queue *queue;
	int64_t count;
};

static struct scene *scene_of(struct brood_queue *queue, int64_t count)
{
	struct scene *scene = shared(sizeof(*scene));

	scene->queue = queue;
	scene->count = count;
	return scene;
}

/* ---- Queue ---- */

START_TEST(maxsize_messages_then_put_nowait_raises_full)
{
	for (uint32_t slots = 1; slots < 20; slots += 3) {
		struct brood_queue *queue = queue_of(_i, slots, 8);

		for (int lap = 0; lap < 3; lap++) {
			for (uint32_t i = 0; i < slots; i++) {
				ck_assert_int_eq(brood_queue_full(queue), 0);
				ck_assert_int_eq(put_number(queue, i, 0), 0);
			}
			ck_assert_int_eq(brood_queue_full(queue), 1);
			ck_assert_int_eq(put_number(queue, 1, 0), -EAGAIN);
			for (uint32_t i = 0; i < slots; i++)
				ck_assert_int_eq(get_number(queue, 0), i);
			ck_assert_int_eq(get_number(queue, 0), -EAGAIN);
		}
	}
}
END_TEST

START_TEST(put_copies_at_once)
{
	struct brood_queue *queue = queue_of(_i, 4, 8);
	int64_t number = 7;

	ck_assert_int_eq(brood_queue_put(queue, &number, sizeof(number), 0), 0);
	number = 8;
	ck_assert_int_eq(get_number(queue, 0), 7);
}
END_TEST

static int look_and_get(void *arg)
{
	struct scene *scene = arg;

	must(brood_queue_empty(scene->queue) == 0);
	must(brood_queue_count(scene->queue) == scene->count);
	must(get_number(scene->queue, 0) == 0);
	return 0;
}

START_TEST(what_put_has_returned_for_is_not_empty_for_others)
{
	struct scene *scene = scene_of(queue_of(_i, 4, 8), 0);

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(put_number(scene->queue, i, 0), 0);
		scene->count++;
	}
	ck_assert_int_eq(run(look_and_get, scene), 0);
}
END_TEST

static int get_two(void *arg)
{
	struct scene *scene = arg;

	must(get_number(scene->queue, BROOD_FOREVER) == 1);
	must(get_number(scene->queue, BROOD_FOREVER) == 2);
	return 0;
}

START_TEST(get_true_blocks_until_somebody_puts)
{
	struct scene *scene = scene_of(queue_of(_i, 4, 8), 0);
	pid_t child = start(get_two, scene);

	for (int i = 1; i <= 2; i++) {
		ck_assert(until_asleep(child));
		ck_assert_int_eq(put_number(scene->queue, i, 0), 0);
	}
	ck_assert_int_eq(end_of(child), 0);
}
END_TEST

static int put_two(void *arg)
{
	struct scene *scene = arg;

	must(put_number(scene->queue, 1, BROOD_FOREVER) == 0);
	must(put_number(scene->queue, 2, BROOD_FOREVER) == 0);
	return 0;
}

START_TEST(put_true_blocks_until_somebody_gets)
{
	struct scene *scene = scene_of(queue_of(_i, 1, 8), 0);
	pid_t child = start(put_two, scene);

	ck_assert(until_asleep(child));
	ck_assert_int_eq(get_number(scene->queue, 0), 1);
	ck_assert_int_eq(get_number(scene->queue, BROOD_FOREVER), 2);
	ck_assert_int_eq(end_of(child), 0);
}
END_TEST

START_TEST(qsize_empty_full_after_every_call)
{
	struct brood_queue *queue = queue_of(_i, 5, 8);
	ssize_t in = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		if (i * 2654435761u >> 28 & 1 ? in < 5 : in == 0) {
			ck_assert_int_eq(put_number(queue, i, 0), 0);
			in++;
		} else {
			ck_assert_int_ge(get_number(queue, 0), 0);
			in--;
		}
		ck_assert_int_eq(brood_queue_count(queue), in);
		ck_assert_int_eq(brood_queue_empty(queue), in == 0);
		ck_assert_int_eq(brood_queue_full(queue), in == 5);
	}
}
END_TEST

/* Better than Python's, which forgets: what is in it can be got. */
START_TEST(close_twice_and_what_answers_afterwards)
{
	struct brood_queue *queue = queue_of(_i, 4, 8);

	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(put_number(queue, 2, 0), -EPIPE);
	ck_assert_int_eq(put_number(queue, 2, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_count(queue), 1);
	ck_assert_int_eq(brood_queue_empty(queue), 0);
	ck_assert_int_eq(brood_queue_full(queue), 0);
	ck_assert_int_eq(get_number(queue, 0), 1);
	ck_assert_int_eq(get_number(queue, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_count(queue), 0);
	ck_assert_int_eq(brood_queue_empty(queue), 1);
}
END_TEST

static int put_a_mebibyte(void *arg)
{
	struct scene *scene = arg;
	static char bytes[1 << 16];

	for (int i = 0; i < 16; i++) {
		memset(bytes, i, sizeof(bytes));
		must(brood_queue_put(scene->queue, bytes, sizeof(bytes), 0) == 0);
	}
	return 0;
}

START_TEST(a_child_that_has_put_a_mebibyte_ends_before_the_first_get)
{
	struct scene *scene = scene_of(queue_of(_i, 16, 1 << 16), 0);
	static char bytes[1 << 16];

	ck_assert_int_eq(run(put_a_mebibyte, scene), 0);
	for (int i = 0; i < 16; i++) {
		ck_assert_int_eq(brood_queue_get(scene->queue, bytes, sizeof(bytes), 0),
				 sizeof(bytes));
		for (size_t k = 0; k < sizeof(bytes); k += 4095)
			ck_assert_int_eq(bytes[k], i);
	}
}
END_TEST

static int get_for_ever(void *arg)
{
	struct scene *scene = arg;

	return get_number(scene->queue, BROOD_FOREVER) == 0 ? 0 : 1;
}

static int put_for_ever(void *arg)
{
	struct scene *scene = arg;

	return put_number(scene->queue, 1, BROOD_FOREVER) == 0 ? 0 : 1;
}

START_TEST(terminated_in_get_and_in_put)
{
	for (int killed = 0; killed < 2; killed++) {
		struct scene *scene = scene_of(queue_of(_i, 4, 8), 0);
		pid_t child = start(get_for_ever, scene);

		ck_assert(until_asleep(child));
		ck_assert_int_eq(kill(child, killed ? SIGKILL : SIGTERM), 0);
		ck_assert_int_eq(end_of(child), killed ? -SIGKILL : -SIGTERM);
		child = start(put_for_ever, scene);
		ck_assert_int_eq(get_number(scene->queue, BROOD_FOREVER), 1);
		ck_assert_int_eq(end_of(child), 0);
		child = start(put_for_ever, scene);
		ck_assert_int_eq(end_of(child), 0);
		ck_assert_int_eq(get_number(scene->queue, 0), 1);
		fill(scene->queue);
		ck_assert_int_eq(brood_queue_producer_end(scene->queue), 0);
		child = start(put_for_ever, scene);
		ck_assert(until_asleep(child));
		ck_assert_int_eq(kill(child, killed ? SIGKILL : SIGTERM), 0);
		ck_assert_int_eq(end_of(child), killed ? -SIGKILL : -SIGTERM);
		for (int i = 0; i < 4; i++)
			ck_assert_int_eq(get_number(scene->queue, 0), 1);
		ck_assert_int_eq(get_number(scene->queue, 0), -EAGAIN);
		ck_assert_int_eq(put_number(scene->queue, 5, 0), 0);
		ck_assert_int_eq(get_number(scene->queue, 0), 5);
	}
}
END_TEST

static int put_one_and_die(void *arg)
{
	struct scene *scene = arg;

	must(put_number(scene->queue, 3, 0) == 0);
	kill(getpid(), SIGKILL);
	return 1;
}

/* Where Python's get waits for ever. */
START_TEST(get_after_the_producers_death_raises_the_end)
{
	struct scene *scene = scene_of(NULL, 0);

	scene->queue = brood_queue_create(&(struct brood_queue_opts){ .slots = 4, .max_bytes = 8,
			.producers_end = 1, .producers = _i & 1, .consumers = _i >> 1 & 1 });
	ck_assert_int_eq(run(put_one_and_die, scene), -SIGKILL);
	ck_assert_int_eq(get_number(scene->queue, BROOD_FOREVER), 3);
	ck_assert_int_eq(get_number(scene->queue, BROOD_FOREVER), -EPIPE);
}
END_TEST

static int get_end(void *arg)
{
	struct scene *scene = arg;

	return get_number(scene->queue, BROOD_FOREVER) == -EPIPE ? 0 : 1;
}

static int put_end(void *arg)
{
	struct scene *scene = arg;

	return put_number(scene->queue, 1, BROOD_FOREVER) == -EPIPE ? 0 : 1;
}

/* queue.Queue's of 3.13, which multiprocessing has not. */
START_TEST(shutdown_wakes_who_gets_and_who_puts)
{
	struct scene *empty = scene_of(queue_of(_i, 2, 8), 0), *full = scene_of(queue_of(_i, 2, 8), 0);
	pid_t reader = start(get_end, empty), writer;

	fill(full->queue);
	ck_assert_int_eq(brood_queue_producer_end(full->queue), 0);
	writer = start(put_end, full);
	ck_assert(until_asleep(reader));
	ck_assert(until_asleep(writer));
	ck_assert_int_eq(brood_queue_close(empty->queue), 0);
	ck_assert_int_eq(brood_queue_close(full->queue), 0);
	ck_assert_int_eq(end_of(reader), 0);
	ck_assert_int_eq(end_of(writer), 0);
}
END_TEST

/* Any size: 64 MiB here, 1 GiB at most; longer ones go through a pipe. */
START_TEST(a_message_of_64_mib)
{
	const size_t bytes = 64u << 20;
	struct brood_queue *queue = queue_of(_i, 1, bytes);
	unsigned char *data = malloc(bytes);

	ck_assert_ptr_nonnull(data);
	memset(data, 'm', bytes);
	ck_assert_int_eq(brood_queue_put(queue, data, bytes, 0), 0);
	memset(data, 0, bytes);
	ck_assert_int_eq(brood_queue_get(queue, data, bytes, 0), (ssize_t)bytes);
	for (size_t i = 0; i < bytes; i += 4093)
		ck_assert_int_eq(data[i], 'm');
	free(data);
	ck_assert_ptr_null(brood_queue_create(&(struct brood_queue_opts){ .slots = 1,
			.max_bytes = (1u << 30) + 1 }));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- SimpleQueue: no count, as many bytes as a pipe has ---- */

static int put_in_ring(void *arg)
{
	return brood_ring_put(*(struct brood_ring **)arg, "last", 4, BROOD_FOREVER) ? 1 : 0;
}

START_TEST(put_blocks_when_64_kib_are_in)
{
	struct brood_ring *ring = brood_ring_create(&(struct brood_ring_opts){ .bytes = 65536 });
	char bytes[1000] = "first";
	pid_t child;
	int in = 0;

	ck_assert_ptr_nonnull(ring);
	ck_assert_int_eq(brood_ring_count(ring), 0);
	while (brood_ring_put(ring, bytes, sizeof(bytes), 0) == 0)
		in++;
	ck_assert_int_eq(in, 64);
	ck_assert_int_eq(brood_ring_count(ring), 64);
	child = start(put_in_ring, &ring);
	ck_assert(until_asleep(child));
	ck_assert_int_eq(brood_ring_get(ring, bytes, sizeof(bytes), 0), 1000);
	ck_assert_str_eq(bytes, "first");
	ck_assert_int_eq(end_of(child), 0);
	for (int i = 1; i < in; i++)
		ck_assert_int_eq(brood_ring_get(ring, bytes, sizeof(bytes), 0), 1000);
	ck_assert_int_eq(brood_ring_get(ring, bytes, sizeof(bytes), 0), 4);
	ck_assert_int_eq(brood_ring_count(ring), 0);
	ck_assert_int_eq(brood_ring_close(ring), 0);
	ck_assert_int_eq(brood_ring_put(ring, "", 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_ring_get(ring, bytes, 1, BROOD_FOREVER), -EPIPE);
}
END_TEST

/* ---- JoinableQueue ---- */

static int work(void *arg)
{
	struct scene *scene = arg;

	for (int i = 0; i < 20; i++) {
		must(get_number(scene->queue, BROOD_FOREVER) >= 0);
		scene->count++;
		must(brood_queue_task_done(scene->queue) == 0);
	}
	return 0;
}

START_TEST(join_returns_when_all_are_done)
{
	struct scene *scene = scene_of(NULL, 0);
	pid_t child;

	scene->queue = brood_queue_create(&(struct brood_queue_opts){ .slots = 4, .max_bytes = 8,
			.joinable = true, .producers = _i & 1, .consumers = _i >> 1 & 1 });
	ck_assert_int_eq(brood_queue_join(scene->queue, 0), 0);
	ck_assert_int_eq(put_number(scene->queue, 0, 0), 0);
	ck_assert_int_eq(brood_queue_join(scene->queue, brood_ms(2)), -ETIMEDOUT);
	child = start(work, scene);
	for (int i = 1; i < 20; i++)
		ck_assert_int_eq(put_number(scene->queue, i, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_queue_join(scene->queue, BROOD_FOREVER), 0);
	ck_assert_int_eq(scene->count, 20);
	ck_assert_int_eq(end_of(child), 0);
	ck_assert_int_eq(brood_queue_task_done(scene->queue), -EINVAL);
}
END_TEST

/* ---- timeouts and signals, in every call that waits ---- */

static struct {
	struct brood_queue *empty[SORTS], *full[SORTS], *undone;
	struct brood_ring *no_message, *no_room;
	struct brood_broadcast *silent, *unread;
	struct brood_conn *end[2];
	struct brood_buffer *buffer;
} waits;

static void make_waits(void)
{
	struct brood_pipe *pipe = brood_pipe_create(NULL);
	const struct brood_broadcast_opts talk = { .slots = 2, .max_bytes = 8 };

	for (int sort = 0; sort < SORTS; sort++) {
		waits.empty[sort] = queue_of(sort, 2, 16);
		waits.full[sort] = queue_of(sort, 2, 16);
		fill(waits.full[sort]);
	}
	waits.undone = brood_queue_create(&(struct brood_queue_opts){ .slots = 2, .max_bytes = 8,
								     .joinable = true });
	ck_assert_int_eq(put_number(waits.undone, 1, 0), 0);
	waits.no_message = brood_ring_create(&(struct brood_ring_opts){ .bytes = 256 });
	waits.no_room = brood_ring_create(&(struct brood_ring_opts){ .bytes = 256 });
	while (brood_ring_put(waits.no_room, "", 1, 0) == 0)
		;
	waits.silent = brood_broadcast_create(&talk);
	waits.unread = brood_broadcast_create(&talk);
	ck_assert_int_eq(brood_broadcast_subscribe(waits.silent), 0);
	ck_assert_int_eq(brood_broadcast_subscribe(waits.unread), 0);
	while (brood_broadcast_put(waits.unread, "", 1, 0) == 0)
		;
	for (unsigned int end = 0; end < 2; end++)
		waits.end[end] = brood_pipe_end(pipe, end);
	while (brood_conn_send(waits.end[1], "", 1, 0) == 0)
		;
	waits.buffer = brood_buffer_create(NULL, 100);
	ck_assert_ptr_nonnull(waits.buffer);
}

static ssize_t get(int sort, int64_t timeout)
{
	return get_number(waits.empty[sort], timeout);
}

static ssize_t get_many(int sort, int64_t timeout)
{
	char bytes[16];
	struct brood_message message = { .data = bytes, .size = sizeof(bytes) };

	return brood_queue_get_many(waits.empty[sort], &message, 1, timeout);
}

static ssize_t lease(int sort, int64_t timeout)
{
	struct brood_message message;

	return brood_queue_lease(waits.empty[sort], &message, timeout);
}

static ssize_t get_buffer(int sort, int64_t timeout)
{
	struct brood_buffer *buffer;

	return brood_queue_get_buffer(waits.empty[sort], &buffer, timeout);
}

static ssize_t put(int sort, int64_t timeout)
{
	return put_number(waits.full[sort], 1, timeout);
}

static ssize_t put_many(int sort, int64_t timeout)
{
	struct brood_message message = { .data = &sort, .length = sizeof(sort) };

	return brood_queue_put_many(waits.full[sort], &message, 1, timeout);
}

static ssize_t commit(int sort, int64_t timeout)
{
	struct brood_message message;
	int result = brood_queue_reserve(waits.full[sort], &message);

	if (result)
		return result;
	message.length = 1;
	result = brood_queue_commit(waits.full[sort], &message, timeout);
	return brood_queue_abort(waits.full[sort], &message) ? -EILSEQ : result;
}

static ssize_t put_buffer(int sort, int64_t timeout)
{
	return brood_queue_put_buffer(waits.full[sort], waits.buffer, timeout);
}

static ssize_t join(int sort, int64_t timeout)
{
	(void)sort;
	return brood_queue_join(waits.undone, timeout);
}

static ssize_t ring_get(int sort, int64_t timeout)
{
	(void)sort;
	return brood_ring_get(waits.no_message, NULL, 0, timeout);
}

static ssize_t ring_lease(int sort, int64_t timeout)
{
	struct brood_message message;

	(void)sort;
	return brood_ring_lease(waits.no_message, &message, timeout);
}

static ssize_t ring_put(int sort, int64_t timeout)
{
	return brood_ring_put(waits.no_room, &sort, sizeof(sort), timeout);
}

static ssize_t ring_reserve(int sort, int64_t timeout)
{
	struct brood_message message;

	(void)sort;
	return brood_ring_reserve(waits.no_room, 1, &message, timeout);
}

static ssize_t broadcast_get(int sort, int64_t timeout)
{
	(void)sort;
	return brood_broadcast_get(waits.silent, NULL, 0, timeout);
}

static ssize_t broadcast_lease(int sort, int64_t timeout)
{
	struct brood_message message;

	(void)sort;
	return brood_broadcast_lease(waits.silent, &message, timeout);
}

static ssize_t broadcast_put(int sort, int64_t timeout)
{
	return brood_broadcast_put(waits.unread, &sort, sizeof(sort), timeout);
}

static ssize_t conn_recv(int sort, int64_t timeout)
{
	(void)sort;
	return brood_conn_recv(waits.end[1], NULL, 0, timeout);
}

static ssize_t conn_poll(int sort, int64_t timeout)
{
	(void)sort;
	return brood_conn_poll(waits.end[1], timeout);
}

static ssize_t conn_send(int sort, int64_t timeout)
{
	return brood_conn_send(waits.end[1], &sort, sizeof(sort), timeout);
}

static ssize_t conn_send_long(int sort, int64_t timeout)
{
	static char bytes[100000];

	(void)sort;
	return brood_conn_send(waits.end[1], bytes, sizeof(bytes), timeout);
}

static ssize_t wait_for_one(int sort, int64_t timeout)
{
	struct brood_waitable items[] = {
		{ .kind = BROOD_WAIT_QUEUE, .object = waits.empty[sort] },
		{ .kind = BROOD_WAIT_QUEUE, .object = waits.full[sort], .events = BROOD_WRITABLE },
	};

	return brood_wait(items, 2, timeout);
}

static const struct {
	ssize_t (*call)(int sort, int64_t timeout);
	int sorts;
} waiting[] = {
	{ get, SORTS }, { get_many, SORTS }, { lease, SORTS }, { get_buffer, SORTS },
	{ put, SORTS }, { put_many, SORTS }, { commit, SORTS }, { put_buffer, SORTS }, { join, 1 },
	{ ring_get, 1 }, { ring_lease, 1 }, { ring_put, 1 }, { ring_reserve, 1 },
	{ broadcast_get, 1 }, { broadcast_lease, 1 }, { broadcast_put, 1 }, { conn_recv, 1 },
	{ conn_poll, 1 }, { conn_send, 1 }, { conn_send_long, 1 }, { wait_for_one, SORTS },
};

enum { WAITING = sizeof(waiting) / sizeof(waiting[0]) };

START_TEST(timeout_0_or_negative_does_not_wait)
{
	const int64_t none[] = { 0, -1, -1000000000, brood_ms(0), brood_ms(-5), brood_us(-1) };

	make_waits();
	for (int sort = 0; sort < waiting[_i].sorts; sort++)
		for (int i = 0; i < 6; i++)
			ck_assert_int_eq(waiting[_i].call(sort, none[i]), -EAGAIN);
}
END_TEST

START_TEST(timeout_raises_at_the_deadline)
{
	int64_t begin;

	make_waits();
	for (int sort = 0; sort < waiting[_i].sorts; sort++) {
		begin = brood_now();
		ck_assert_int_eq(waiting[_i].call(sort, brood_ms(15)), -ETIMEDOUT);
		ck_assert_int_ge(brood_now() - begin, 15 * MS);
		ck_assert_int_lt(brood_now() - begin, 5000 * MS);
		begin = brood_now();
		ck_assert_int_eq(waiting[_i].call(sort, brood_until(begin + 2 * MS)), -ETIMEDOUT);
		ck_assert_int_ge(brood_now() - begin, 2 * MS);
		for (int i = 0; i < 20; i++)
			ck_assert_int_eq(waiting[_i].call(sort, brood_us(1)), -ETIMEDOUT);
		ck_assert_int_eq(waiting[_i].call(sort, brood_until(1)), -ETIMEDOUT);
	}
}
END_TEST

static volatile sig_atomic_t rung;

static void ring_bell(int signal)
{
	(void)signal;
	rung++;
}

/* PEP 475, without SA_RESTART too. */
START_TEST(a_handler_that_returns_does_not_end_the_wait)
{
	const struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = ring_bell };
	int64_t begin;

	make_waits();
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	for (int sort = 0; sort < waiting[_i].sorts; sort++) {
		rung = 0;
		ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
		begin = brood_now();
		ck_assert_int_eq(waiting[_i].call(sort, brood_ms(20)), -ETIMEDOUT);
		ck_assert_int_ge(brood_now() - begin, 20 * MS);
		ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
		ck_assert_int_gt(rung, 3);
	}
}
END_TEST

int main(void)
{
	TCase *size = new_case("Queue(maxsize), qsize(), empty(), full()", begin_test);
	TCase *put_get = new_case("Queue.put(), get()", begin_test);
	TCase *end = new_case("Queue.close(), join_thread(), shutdown()", begin_test);
	TCase *dead = new_case("Process.terminate() in get() and put()", begin_test);
	TCase *simple = new_case("SimpleQueue.put(), get(), empty(), close()", begin_test);
	TCase *joinable = new_case("JoinableQueue.task_done(), join()", begin_test);
	TCase *times = new_case("timeout=", begin_test);

	tcase_add_loop_test(size, maxsize_messages_then_put_nowait_raises_full, 0, SORTS);
	tcase_add_loop_test(size, qsize_empty_full_after_every_call, 0, SORTS);
	tcase_add_loop_test(size, a_message_of_64_mib, 0, SORTS);
	tcase_add_loop_test(put_get, put_copies_at_once, 0, SORTS);
	tcase_add_loop_test(put_get, what_put_has_returned_for_is_not_empty_for_others, 0, SORTS);
	tcase_add_loop_test(put_get, get_true_blocks_until_somebody_puts, 0, SORTS);
	tcase_add_loop_test(put_get, put_true_blocks_until_somebody_gets, 0, SORTS);
	tcase_add_loop_test(end, close_twice_and_what_answers_afterwards, 0, SORTS);
	tcase_add_loop_test(end, a_child_that_has_put_a_mebibyte_ends_before_the_first_get, 0, SORTS);
	tcase_add_loop_test(end, shutdown_wakes_who_gets_and_who_puts, 0, SORTS);
	tcase_add_loop_test(dead, terminated_in_get_and_in_put, 0, SORTS);
	tcase_add_loop_test(dead, get_after_the_producers_death_raises_the_end, 0, SORTS);
	tcase_add_test(simple, put_blocks_when_64_kib_are_in);
	tcase_add_loop_test(joinable, join_returns_when_all_are_done, 0, SORTS);
	tcase_add_loop_test(times, timeout_0_or_negative_does_not_wait, 0, WAITING);
	tcase_add_loop_test(times, timeout_raises_at_the_deadline, 0, WAITING);
	tcase_add_loop_test(times, a_handler_that_returns_does_not_end_the_wait, 0, WAITING);
	return run_cases("features of queues", size, put_get, end, dead, simple, joinable, times, NULL);
}
