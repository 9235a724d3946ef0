/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Queues with one producer, one consumer, or both: the places, and the ring for one and one. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "queue/spsc_ring.h"
#include "support.h"

static struct brood_queue *queue_of(uint32_t slots, size_t max_bytes)
{
	struct brood_queue *queue = brood_queue_create(&(struct brood_queue_opts){
		.slots = slots, .max_bytes = max_bytes, .producers = 1, .consumers = 1 });

	ck_assert_ptr_nonnull(queue);
	ck_assert_uint_eq(queue->single, 1);
	return queue;
}

/* All kinds of queues that look after places. */
static const struct kind {
	uint32_t producers, consumers, producers_end;
	bool joinable;
} kinds[] = {
	{ 1, 1, 0, false }, { 1, 0, 0, false }, { 0, 1, 0, false }, { 1, 1, 0, true },
	{ 1, 1, 1, false },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static struct brood_queue *queue_of_kind(const struct kind *kind)
{
	struct brood_queue *queue = brood_queue_create(&(struct brood_queue_opts){
		.slots = 8, .max_bytes = 8, .producers = kind->producers,
		.consumers = kind->consumers, .producers_end = kind->producers_end,
		.joinable = kind->joinable });

	ck_assert_ptr_nonnull(queue);
	return queue;
}

/* ---- what a queue does, in the ring for one and one ---- */

static const uint32_t capacities[] = { 1, 2, 3, 5, 8, 64 };

START_TEST(capacity_is_exact_over_many_laps)
{
	uint32_t slots = capacities[_i];
	struct brood_queue *queue = queue_of(slots, 8);
	int64_t in = 0, out = 0;

	if (slots & 1) {	/* positions whose lower halves come round soon */
		uint64_t first = (5ull << 32) - 2 * queue->ring;

		atomic_store(&queue->tail, first);
		atomic_store(&queue->head, first);
		atomic_store(&queue->shown, first);
		queue->head_seen = first;
	}
	srand(3);
	while (out < 20 * slots) {
		bool room = in - out < slots, any = in > out;

		if (rand() % 2) {
			ck_assert_int_eq(put_number(queue, in, 0), room ? 0 : -EAGAIN);
			in += room;
		} else {
			ck_assert_int_eq(get_number(queue, 0), any ? out : -EAGAIN);
			out += any;
		}
		ck_assert_int_eq(brood_queue_count(queue), in - out);
		ck_assert_int_eq(brood_queue_full(queue), in - out == slots);
		ck_assert_int_eq(brood_queue_empty(queue), in == out);
	}
	ck_assert_int_eq(brood_queue_capacity(queue), slots);
	ck_assert_int_eq(brood_queue_max_bytes(queue), 8);
}
END_TEST

START_TEST(lengths_and_bytes_are_kept)
{
	static const size_t most[] = { 1, 7, 8, 9, 64, 255, 256, 1000, 5000 };
	struct brood_queue *queue = queue_of(4, most[_i]);
	char in[5000], out[5000];

	for (size_t length = 0; length <= most[_i]; length += 1 + length / 9) {
		memset(in, (int)length, sizeof(in));
		ck_assert_int_eq(brood_queue_put(queue, length ? in : NULL, length, 0), 0);
		ck_assert_int_eq(brood_queue_get(queue, length ? out : NULL, length, 0),
				 (ssize_t)length);
		ck_assert_int_eq(memcmp(in, out, length), 0);
	}
	ck_assert_int_eq(brood_queue_put(queue, in, most[_i] + 1, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_put(queue, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_count(queue), 0);
	ck_assert_int_eq(brood_queue_put(queue, in, most[_i], 0), 0);
	ck_assert_int_eq(brood_queue_get(queue, out, most[_i] - 1, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_get(queue, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_count(queue), 1);
	ck_assert_int_eq(brood_queue_get(queue, out, most[_i], 0), (ssize_t)most[_i]);
}
END_TEST

START_TEST(batches)
{
	struct brood_queue *queue = queue_of(5, 8);
	int64_t numbers[8], got[8], next = 0, seen = 0;
	struct brood_message puts[8], gets[8];

	for (int i = 0; i < 8; i++) {
		puts[i] = (struct brood_message){ .data = &numbers[i], .length = 8 };
		gets[i] = (struct brood_message){ .data = &got[i], .size = 8 };
	}
	for (int lap = 0; lap < 50; lap++) {
		ssize_t n = lap % 8 + 1, room = 5 - (next - seen), taken;

		for (int i = 0; i < 8; i++)
			numbers[i] = next + i;
		taken = brood_queue_put_many(queue, puts, (size_t)n, 0);
		ck_assert_int_eq(taken, !room ? -EAGAIN : n < room ? n : room);
		next += taken > 0 ? taken : 0;
		n = brood_queue_get_many(queue, gets, (size_t)(lap % 3 + 1), 0);
		for (int i = 0; i < n; i++) {
			ck_assert_int_eq(got[i], seen++);
			ck_assert_uint_eq(gets[i].length, 8);
			ck_assert_uint_eq(gets[i].flags, 0);
		}
		ck_assert_int_eq(brood_queue_count(queue), next - seen);
	}
	while (get_number(queue, 0) >= 0)
		;
	ck_assert_int_eq(brood_queue_put_many(queue, puts, 3, 0), 3);
	gets[1].size = 7;
	ck_assert_int_eq(brood_queue_get_many(queue, gets, 8, 0), 1);
	ck_assert_int_eq(brood_queue_get_many(queue, gets + 1, 7, 0), -EMSGSIZE);
	puts[2].length = 9;
	ck_assert_int_eq(brood_queue_put_many(queue, puts, 3, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_count(queue), 2);
	ck_assert_int_eq(brood_queue_put_many(queue, puts, 0, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_get_many(queue, NULL, 1, 0), -EINVAL);
}
END_TEST

/* With the ring empty, and full: there the reservation is a slot of its own. */
START_TEST(reservations)
{
	struct brood_queue *queue = queue_of(2, 8);
	struct brood_message m, other;

	for (int64_t n = 0; n < 3; n++) {
		ck_assert_int_eq(brood_queue_reserve(queue, &m), 0);
		ck_assert_uint_eq(m.size, 8);
		ck_assert_int_eq(brood_queue_reserve(queue, &other), -ENOBUFS);
		ck_assert_int_eq(put_number(queue, 0, 0), -ENOBUFS);
		ck_assert_int_eq(brood_queue_count(queue), n);
		memcpy(m.data, &n, 8);
		m.length = 9;
		ck_assert_int_eq(brood_queue_commit(queue, &m, 0), -EMSGSIZE);
		m.length = 8;
		if (n < 2) {
			ck_assert_int_eq(brood_queue_commit(queue, &m, 0), 0);
			ck_assert_ptr_null(m.data);
			ck_assert_int_eq(brood_queue_commit(queue, &m, 0), -EINVAL);
		}
	}
	ck_assert_int_eq(brood_queue_commit(queue, &m, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_commit(queue, &m, brood_ms(5)), -ETIMEDOUT);
	ck_assert_int_eq(get_number(queue, 0), 0);
	ck_assert_int_eq(brood_queue_commit(queue, &m, 0), 0);
	ck_assert_int_eq(get_number(queue, 0), 1);
	ck_assert_int_eq(get_number(queue, 0), 2);
	ck_assert_int_eq(brood_queue_reserve(queue, &m), 0);
	other = m;
	other.data = &other;
	ck_assert_int_eq(brood_queue_abort(queue, &other), -EINVAL);
	ck_assert_int_eq(brood_queue_release(queue, &m), -EINVAL);
	other = m;
	ck_assert_int_eq(brood_queue_abort(queue, &m), 0);
	ck_assert_int_eq(brood_queue_abort(queue, &other), -EINVAL);
	ck_assert_int_eq(brood_queue_reserve(queue, NULL), -EINVAL);
	ck_assert_int_eq(put_number(queue, 7, 0), 0);
	ck_assert_int_eq(brood_queue_commit(queue, &other, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_count(queue), 1);
}
END_TEST

START_TEST(leases)
{
	struct brood_queue *queue = queue_of(2, 8);
	struct brood_message m, other;

	ck_assert_int_eq(brood_queue_lease(queue, &m, 0), -EAGAIN);
	ck_assert_int_eq(put_number(queue, 0, 0), 0);
	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	ck_assert_int_eq(brood_queue_lease(queue, &m, 0), 0);
	ck_assert_int_eq(*(int64_t *)m.data, 0);
	ck_assert_uint_eq(m.length, 8);
	ck_assert_uint_eq(m.flags, 0);
	ck_assert_int_eq(brood_queue_lease(queue, &other, 0), -ENOBUFS);
	ck_assert_int_eq(get_number(queue, 0), -ENOBUFS);
	ck_assert_int_eq(brood_queue_count(queue), 1);
	ck_assert_int_eq(brood_queue_full(queue), 1);
	ck_assert_int_eq(put_number(queue, 2, 0), -EAGAIN);
	other = m;
	ck_assert_int_eq(brood_queue_return(queue, &m), 0);
	ck_assert_int_eq(brood_queue_count(queue), 2);
	ck_assert_int_eq(brood_queue_release(queue, &other), -EINVAL);
	ck_assert_int_eq(brood_queue_lease(queue, &m, 0), 0);
	ck_assert_uint_eq(m.flags, BROOD_REDELIVERED);
	ck_assert_int_eq(brood_queue_release_done(queue, &m), -ENOTSUP);
	ck_assert_int_eq(brood_queue_release(queue, &m), 0);
	ck_assert_int_eq(brood_queue_release(queue, &other), -EINVAL);
	ck_assert_int_eq(brood_queue_lease(queue, &m, 0), 0);
	ck_assert_int_eq(*(int64_t *)m.data, 1);
	ck_assert_uint_eq(m.flags, 0);
	ck_assert_int_eq(brood_queue_empty(queue), 1);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(brood_queue_release(queue, &m), 0);
	ck_assert_int_eq(brood_queue_lease(queue, &m, 0), -EPIPE);
}
END_TEST

START_TEST(long_messages_are_aligned)
{
	struct brood_queue *queue = queue_of(3, _i ? 256 : 100);
	struct brood_message m;

	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(brood_queue_reserve(queue, &m), 0);
		ck_assert_uint_eq((uintptr_t)m.data % (_i ? 64 : 8), 0);
		m.length = 1;
		ck_assert_int_eq(brood_queue_commit(queue, &m, 0), i < 3 ? 0 : -EAGAIN);
		if (i == 3)
			break;
	}
}
END_TEST

START_TEST(a_closed_queue_drains)
{
	struct brood_queue *queue = queue_of(4, 8);
	struct brood_message m;
	int64_t number;
	struct brood_message many = { .data = &number, .size = 8, .length = 8 };

	ck_assert_int_eq(brood_queue_closed(queue), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(put_number(queue, i, 0), 0);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(brood_queue_closed(queue), 1);
	ck_assert_int_eq(put_number(queue, 3, 0), -EPIPE);
	ck_assert_int_eq(put_number(queue, 3, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_put_many(queue, &many, 1, 0), -EPIPE);
	ck_assert_int_eq(brood_queue_reserve(queue, &m), 0);
	m.length = 8;
	ck_assert_int_eq(brood_queue_commit(queue, &m, 0), -EPIPE);
	ck_assert_int_eq(brood_queue_abort(queue, &m), 0);
	ck_assert_int_eq(brood_queue_producer_begin(queue), -EPIPE);
	ck_assert_int_eq(brood_queue_count(queue), 3);
	ck_assert_int_eq(get_number(queue, 0), 0);
	ck_assert_int_eq(brood_queue_get_many(queue, &many, 1, 0), 1);
	ck_assert_int_eq(number, 1);
	ck_assert_int_eq(get_number(queue, BROOD_FOREVER), 2);
	ck_assert_int_eq(brood_queue_count(queue), 0);
	ck_assert_int_eq(get_number(queue, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_get_many(queue, &many, 1, 0), -EPIPE);
	ck_assert_int_eq(brood_queue_lease(queue, &m, 0), -EPIPE);
}
END_TEST

START_TEST(what_needs_another_queue)
{
	struct brood_queue *queue = queue_of(4, 8);

	ck_assert_int_eq(brood_queue_join(queue, 0), -ENOTSUP);
	ck_assert_int_eq(brood_queue_task_done(queue), -ENOTSUP);
	queue = queue_of_kind(&kinds[3]);
	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	ck_assert_int_eq(get_number(queue, 0), 1);
	ck_assert_int_eq(brood_queue_join(queue, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_task_done(queue), 0);
	ck_assert_int_eq(brood_queue_join(queue, 0), 0);
}
END_TEST

START_TEST(more_than_one_is_refused)
{
	struct brood_queue_opts opts = { .slots = 4, .max_bytes = 8, .producers = 2 };

	ck_assert_ptr_null(brood_queue_create(&opts));
	ck_assert_int_eq(errno, EINVAL);
	opts.producers = 1;
	opts.consumers = 3;
	ck_assert_ptr_null(brood_queue_create(&opts));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- places ---- */

struct places {
	struct brood_queue *queue;
	const struct kind *kind;
	atomic_int step;
};

static void step_is(struct places *places, int step)
{
	while (atomic_load(&places->step) < step)
		usleep(100);
}

/* All that is for one is refused to another one, and asking is free. */
static int is_refused(void *arg)
{
	const struct places *places = arg;
	struct brood_queue *queue = places->queue;
	struct brood_message m = { 0 };
	char bytes[8] = { 0 };
	struct brood_message put = { .data = bytes, .length = 1 };
	struct brood_message get = { .data = bytes, .size = 8 };

	if (places->kind->producers) {
		must(brood_queue_put(queue, bytes, 8, 0) == -EBUSY);
		must(brood_queue_put(queue, bytes, 8, BROOD_FOREVER) == -EBUSY);
		must(brood_queue_put_many(queue, &put, 1, 0) == -EBUSY);
		must(brood_queue_reserve(queue, &m) == -EBUSY);
		must(brood_queue_producer_begin(queue) == -EBUSY);
		must(brood_queue_producer_end(queue) == 0);
	}
	if (places->kind->consumers) {
		must(brood_queue_get(queue, bytes, 8, 0) == -EBUSY);
		must(brood_queue_get(queue, bytes, 8, BROOD_FOREVER) == -EBUSY);
		must(brood_queue_get_many(queue, &get, 1, 0) == -EBUSY);
		must(brood_queue_lease(queue, &m, 0) == -EBUSY);
	}
	must(brood_queue_count(queue) == 1);
	must(brood_queue_empty(queue) == 0);
	must(brood_queue_full(queue) == 0);
	return 0;
}

static void *is_refused_too(void *arg)
{
	return is_refused(arg) ? arg : NULL;
}

START_TEST(a_second_one_is_refused)
{
	struct places places = { queue_of_kind(&kinds[_i]), &kinds[_i], 0 };
	pthread_t thread;
	void *failed;

	ck_assert_int_eq(put_number(places.queue, 1, 0), 0);
	ck_assert_int_eq(put_number(places.queue, 2, 0), 0);
	ck_assert_int_eq(get_number(places.queue, 0), 1);
	ck_assert_int_eq(run(is_refused, &places), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, is_refused_too, &places), 0);
	ck_assert_int_eq(pthread_join(thread, &failed), 0);
	ck_assert_ptr_null(failed);
	ck_assert_int_eq(get_number(places.queue, 0), 2);
}
END_TEST

static int use_and_pause(void *arg)
{
	struct places *places = arg;

	for (int64_t i = 0; i < 4; i++)
		must(put_number(places->queue, i, 0) == 0);
	must(get_number(places->queue, 0) == 0);
	if (places->kind->joinable)
		must(brood_queue_task_done(places->queue) == 0);
	atomic_store(&places->step, 1);
	while (pause())
		;
	return 0;
}

static int use_and_end(void *arg)
{
	struct places *places = arg;

	for (int64_t i = 0; i < 4; i++)
		must(put_number(places->queue, i, 0) == 0);
	must(get_number(places->queue, 0) == 0);
	if (places->kind->joinable)
		must(brood_queue_task_done(places->queue) == 0);
	return 0;
}

static void *use_in_thread(void *arg)
{
	return use_and_end(arg) ? arg : NULL;
}

/* Killed, ended by _exit, a thread that ended: the next one goes on and loses nothing. */
START_TEST(a_successor_takes_over)
{
	struct places *places = shared(sizeof(*places));

	places->kind = &kinds[_i / 3];
	places->queue = queue_of_kind(places->kind);
	if (_i % 3 == 0) {
		pid_t child = start(use_and_pause, places);

		step_is(places, 1);
		ck_assert_int_eq(put_number(places->queue, 9, 0),
				 places->kind->producers ? -EBUSY : 0);
		kill_child(child);
	} else if (_i % 3 == 1) {
		ck_assert_int_eq(run(use_and_end, places), 0);
	} else {
		pthread_t thread;
		void *failed;

		ck_assert_int_eq(pthread_create(&thread, NULL, use_in_thread, places), 0);
		ck_assert_int_eq(pthread_join(thread, &failed), 0);
		ck_assert_ptr_null(failed);
	}
	if (_i % 3 || places->kind->producers)
		ck_assert_int_eq(put_number(places->queue, 4, 0), 0);
	for (int64_t i = 1; i < (_i % 3 || places->kind->producers ? 5 : 4); i++)
		ck_assert_int_eq(get_number(places->queue, 0), i);
	if (_i % 3 == 0 && !places->kind->producers)
		ck_assert_int_eq(get_number(places->queue, 0), 9);
	ck_assert_int_eq(get_number(places->queue, 0), -EAGAIN);
}
END_TEST

static int put_one(void *arg)
{
	return put_number(arg, 5, 0) ? 1 : 0;
}

START_TEST(producer_end_makes_room_for_another)
{
	struct brood_queue *queue = queue_of_kind(&kinds[_i]);

	ck_assert_int_eq(brood_queue_producer_begin(queue), 0);
	ck_assert_int_eq(brood_queue_producer_begin(queue), 0);
	ck_assert_int_eq(put_number(queue, 4, 0), 0);
	ck_assert_int_eq(run(put_one, queue), 1);
	ck_assert_int_eq(brood_queue_producer_end(queue), 0);
	ck_assert_int_eq(run(put_one, queue), 0);
	ck_assert_int_eq(put_number(queue, 6, 0), 0);
	for (int64_t i = 4; i < 7; i++)
		ck_assert_int_eq(get_number(queue, 0), i);
}
END_TEST

/* ---- deaths ---- */

static int hold_and_pause(void *arg)
{
	struct places *places = arg;
	struct brood_message lease, reservation;

	must(put_number(places->queue, 0, 0) == 0);
	must(put_number(places->queue, 1, 0) == 0);
	must(brood_queue_lease(places->queue, &lease, 0) == 0);
	must(brood_queue_reserve(places->queue, &reservation) == 0);
	memset(reservation.data, 0xff, 8);
	atomic_store(&places->step, 1);
	while (pause())
		;
	return 0;
}

START_TEST(what_a_dead_one_held)
{
	struct places *places = shared(sizeof(*places));
	uint32_t flags = 0;
	int64_t number;
	pid_t child;

	places->queue = queue_of(2, 8);
	child = start(hold_and_pause, places);
	step_is(places, 1);
	ck_assert_int_eq(brood_queue_count(places->queue), 1);
	kill_child(child);
	ck_assert_int_eq(brood_queue_count(places->queue), 2);
	ck_assert_int_eq(put_number(places->queue, 9, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_get_flags(places->queue, &number, 8, &flags, 0), 8);
	ck_assert_int_eq(number, 0);
	ck_assert_uint_eq(flags, BROOD_REDELIVERED);
	ck_assert_int_eq(put_number(places->queue, 2, 0), 0);
	for (int64_t i = 1; i < 3; i++) {
		ck_assert_int_eq(brood_queue_get_flags(places->queue, &number, 8, &flags, 0), 8);
		ck_assert_int_eq(number, i);
		ck_assert_uint_eq(flags, 0);
	}
}
END_TEST

static int has_no_lease(void *arg)
{
	struct brood_message m = *(struct brood_message *)((void **)arg)[1];

	must(brood_queue_release(((void **)arg)[0], &m) == -EINVAL);
	must(brood_queue_return(((void **)arg)[0], &m) == -EINVAL);
	return 0;
}

static void die_in_get_many(struct brood_queue *queue, void *nowhere)
{
	struct rlimit no_core = { 0, 0 };
	char first[8];
	struct brood_message m[3] = {
		{ .data = first, .size = 8 }, { .data = nowhere, .size = 8 },
		{ .data = first, .size = 8 },
	};

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGSEGV, SIG_DFL);
	brood_queue_get_many(queue, m, 3, 0);
	_exit(0);
}

/* Who takes it from a dead one that had shown more than the first. */
START_TEST(a_lease_is_not_counted_though_more_was_shown)
{
	struct brood_queue *queue = queue_of(4, 8);
	void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct brood_message m;
	int status;
	pid_t pid;

	ck_assert_ptr_ne(nowhere, MAP_FAILED);
	for (int64_t i = 0; i < 4; i++)
		ck_assert_int_eq(put_number(queue, i, 0), 0);
	pid = fork();
	if (pid == 0)
		die_in_get_many(queue, nowhere);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	for (int64_t i = 0; i < 4; i++) {
		ck_assert_int_eq(brood_queue_count(queue), 4 - i);
		ck_assert_int_eq(brood_queue_lease(queue, &m, 0), 0);
		ck_assert_int_eq(*(int64_t *)m.data, i);
		ck_assert_uint_eq(m.flags, i < 3 ? BROOD_REDELIVERED : 0);
		ck_assert_int_eq(brood_queue_count(queue), 3 - i);
		ck_assert_int_eq(brood_queue_empty(queue), i == 3);
		ck_assert_int_eq(brood_queue_release(queue, &m), 0);
	}
	munmap(nowhere, 4096);
}
END_TEST

START_TEST(a_forked_child_has_no_lease)
{
	struct brood_queue *queue = queue_of(2, 8);
	struct brood_message m;

	ck_assert_int_eq(put_number(queue, 0, 0), 0);
	ck_assert_int_eq(brood_queue_lease(queue, &m, 0), 0);
	ck_assert_int_eq(run(has_no_lease, (void *[]){ queue, &m }), 0);
	ck_assert_int_eq(brood_queue_release(queue, &m), 0);
}
END_TEST

/* ---- waiting ---- */

START_TEST(times)
{
	struct brood_queue *queue = queue_of(1, 8);
	int64_t begin = brood_now();

	ck_assert_int_eq(get_number(queue, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	begin = brood_now();
	ck_assert_int_eq(put_number(queue, 1, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	ck_assert_int_eq(put_number(queue, 1, brood_until(begin)), -ETIMEDOUT);
}
END_TEST

enum how { SINGLY, MANY, IN_PLACE };

struct stream {
	struct brood_queue *queue;
	int64_t messages;
	int how;
};

static int produce(void *arg)
{
	const struct stream *stream = arg;
	int64_t numbers[7];
	struct brood_message m[7];

	for (int i = 0; i < 7; i++)
		m[i] = (struct brood_message){ .data = &numbers[i], .length = 8 };
	for (int64_t n = 0; n < stream->messages;) {
		if (stream->how == MANY) {
			size_t some = stream->messages - n < 7 ? (size_t)(stream->messages - n) : 7;

			for (int i = 0; i < 7; i++)
				numbers[i] = n + i;
			must(brood_queue_put_many(stream->queue, m, some, BROOD_FOREVER) ==
			     (ssize_t)some);
			n += (int64_t)some;
		} else if (stream->how == IN_PLACE) {
			must(brood_queue_reserve(stream->queue, &m[0]) == 0);
			memcpy(m[0].data, &n, 8);
			m[0].length = 8;
			must(brood_queue_commit(stream->queue, &m[0], BROOD_FOREVER) == 0);
			n++;
		} else {
			must(put_number(stream->queue, n++, BROOD_FOREVER) == 0);
		}
	}
	return 0;
}

static void *produce_in_thread(void *arg)
{
	return produce(arg) ? arg : NULL;
}

static void consume(const struct stream *stream)
{
	int64_t numbers[5];
	struct brood_message m[5];

	for (int i = 0; i < 5; i++)
		m[i] = (struct brood_message){ .data = &numbers[i], .size = 8 };
	for (int64_t n = 0; n < stream->messages;) {
		if (stream->how == MANY) {
			ssize_t some = brood_queue_get_many(stream->queue, m, 5, BROOD_FOREVER);

			ck_assert_int_gt(some, 0);
			for (ssize_t i = 0; i < some; i++)
				ck_assert_int_eq(numbers[i], n++);
		} else if (stream->how == IN_PLACE) {
			ck_assert_int_eq(brood_queue_lease(stream->queue, &m[0], BROOD_FOREVER), 0);
			ck_assert_int_eq(*(int64_t *)m[0].data, n++);
			ck_assert_int_eq(brood_queue_release(stream->queue, &m[0]), 0);
		} else {
			ck_assert_int_eq(get_number(stream->queue, BROOD_FOREVER), n++);
		}
	}
	ck_assert_int_eq(brood_queue_count(stream->queue), 0);
}

START_TEST(a_stream_between_processes)
{
	struct stream stream = { queue_of(_i / 3 ? 64 : 1, 8), _i / 3 ? 200000 : 3000, _i % 3 };
	pid_t child = start(produce, &stream);

	consume(&stream);
	ck_assert_int_eq(end_of(child), 0);
}
END_TEST

START_TEST(a_stream_between_threads)
{
	struct stream stream = { queue_of(16, 8), 50000, _i };
	pthread_t thread;
	void *failed;

	ck_assert_int_eq(pthread_create(&thread, NULL, produce_in_thread, &stream), 0);
	consume(&stream);
	ck_assert_int_eq(pthread_join(thread, &failed), 0);
	ck_assert_ptr_null(failed);
}
END_TEST

static int get_five(void *arg)
{
	return get_number(arg, BROOD_FOREVER) == 5 ? 0 : 1;
}

static int get_the_end(void *arg)
{
	return get_number(arg, BROOD_FOREVER) == -EPIPE ? 0 : 1;
}

static int get_stale(void *arg)
{
	return get_number(arg, BROOD_FOREVER) == -ESTALE ? 0 : 1;
}

static int put_the_end(void *arg)
{
	return put_number(arg, 1, BROOD_FOREVER) == -EPIPE ? 0 : 1;
}

/* Put, close, destroy: each wakes who is asleep, long before it would look by itself. */
START_TEST(sleepers_are_woken)
{
	static int (*const sleepers[])(void *) = { get_five, get_the_end, get_stale, put_the_end };
	int64_t slowest = 0;

	for (int round = 0; round < 20; round++) {
		struct brood_queue *queue = queue_of(1, 8);
		int64_t begin;
		pid_t child;

		if (_i == 3)
			ck_assert_int_eq(put_number(queue, 0, 0), 0);
		ck_assert_int_eq(brood_queue_producer_end(queue), 0);
		child = start(sleepers[_i], queue);
		ck_assert(until_asleep(child));
		begin = brood_now();
		if (_i == 0)
			ck_assert_int_eq(put_number(queue, 5, 0), 0);
		else if (_i == 2)
			ck_assert_int_eq(brood_queue_destroy(queue), 0);
		else
			ck_assert_int_eq(brood_queue_close(queue), 0);
		ck_assert_int_eq(end_of(child), 0);
		slowest += brood_now() - begin > 90 * MS;
		if (_i != 2)
			ck_assert_int_eq(brood_queue_destroy(queue), 0);
	}
	ck_assert_int_le(slowest, 10);	/* others may keep us from running now and then */
}
END_TEST

static int put_soon(void *arg)
{
	usleep(2000);
	return put_number(arg, 5, 0);
}

static bool is_ready(int fd, int timeout)
{
	return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, timeout) == 1;
}

/* In a process of its own, whose descriptors end with it. */
static int use_descriptors(void *arg)
{
	struct brood_queue *queue = arg;
	int full = brood_queue_fd(queue, BROOD_WRITABLE), any = brood_queue_fd(queue, BROOD_READABLE);

	must(full >= 0 && any >= 0);
	for (int round = 0; round < 100; round++) {
		pid_t child;
		int status;

		must(get_number(queue, 0) == -EAGAIN);
		must(!is_ready(any, 0));
		must(brood_queue_producer_end(queue) == 0);
		child = fork();
		if (child == 0)
			_exit(put_soon(queue));
		must(is_ready(any, 10000));
		must(waitpid(child, &status, 0) == child && status == 0);
		must(put_number(queue, 6, 0) == -EAGAIN);
		must(!is_ready(full, 0));
		must(get_number(queue, 0) == 5);
		must(is_ready(full, 10000));
	}
	return 0;
}

/* A producer publishes by a plain store: the descriptor must not miss it. */
START_TEST(descriptors)
{
	ck_assert_int_eq(run(use_descriptors, queue_of(1, 8)), 0);
}
END_TEST

/* ---- close against put ---- */

struct race {
	struct brood_queue *queue;
	_Atomic int64_t in;
};

static int put_until_closed(void *arg)
{
	struct race *race = arg;
	int64_t numbers[3], n = 0;
	struct brood_message m[3];
	ssize_t in;

	for (int i = 0; i < 3; i++)
		m[i] = (struct brood_message){ .data = &numbers[i], .length = 8 };
	do {
		for (int i = 0; i < 3; i++)
			numbers[i] = n + i;
		if (n % 2)
			in = put_number(race->queue, n, BROOD_FOREVER) == 0;
		else
			in = brood_queue_put_many(race->queue, m, 3, BROOD_FOREVER);
		n += in > 0 ? in : 0;
	} while (in > 0);
	atomic_store(&race->in, n);
	return 0;
}

static int close_soon(void *arg)
{
	struct race *race = arg;

	while (brood_queue_count(race->queue) == 0)
		;
	return brood_queue_close(race->queue);
}

/* What is in when put says so comes out, and nothing else does; the reader sees it drain and end. */
START_TEST(close_loses_nothing_and_adds_nothing)
{
	struct race *race = shared(sizeof(*race));

	for (int round = 0; round < 100; round++) {
		pid_t producer, closer;
		int64_t n = 0, got;

		race->queue = queue_of(64, 8);
		producer = start(put_until_closed, race);
		closer = start(close_soon, race);
		while ((got = get_number(race->queue, BROOD_FOREVER)) >= 0)
			ck_assert_int_eq(got, n++);
		ck_assert_int_eq(got, -EPIPE);
		ck_assert_int_eq(end_of(closer), 0);
		ck_assert_int_eq(end_of(producer), 0);
		ck_assert_int_eq(n, atomic_load(&race->in));
		ck_assert_int_eq(brood_queue_count(race->queue), 0);
		ck_assert_int_eq(brood_queue_destroy(race->queue), 0);
	}
}
END_TEST

/* Who closes dies between its first store and its second: the others find the end. */
START_TEST(a_close_that_was_cut_short)
{
	struct brood_queue *queue = queue_of(4, 8);

	ck_assert_int_eq(put_number(queue, 0, 0), 0);
	atomic_store(&queue->closed, 1);
	ck_assert_int_eq(put_number(queue, 1, 0), -EPIPE);
	ck_assert_int_eq(brood_queue_count(queue), 1);
	ck_assert_int_eq(get_number(queue, 0), 0);
	ck_assert_int_eq(get_number(queue, 0), -EPIPE);
	ck_assert_int_eq(brood_queue_close(queue), 0);
}
END_TEST

/* ---- hostile members ---- */

#define FIELD(name) { offsetof(struct brood_queue, name), sizeof(((struct brood_queue *)0)->name) }

static const struct {
	size_t offset, size;
} fields[] = {
	FIELD(object.magic), FIELD(object.bytes), FIELD(max_bytes), FIELD(stride),
	FIELD(slots_at), FIELD(words_at), FIELD(notes_at), FIELD(bytes_at), FIELD(capacity),
	FIELD(ring), FIELD(buffers), FIELD(members), FIELD(one_producer), FIELD(one_consumer),
	FIELD(check_puts), FIELD(single),
};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

START_TEST(no_field_may_be_damaged)
{
	struct brood_queue_opts opts = { .slots = 5, .max_bytes = 100, .producers = 1,
					 .consumers = 1, .name = "q" };
	struct brood_queue *queue = brood_queue_create(&opts);
	char *field = (char *)queue + fields[_i].offset;
	static const int fills[] = { 0xff, 0x7f, 0x55, 0x01, 0 };
	char saved[8];

	ck_assert_ptr_nonnull(queue);
	memcpy(saved, field, fields[_i].size);
	for (size_t i = 0; i < sizeof(fills) / sizeof(fills[0]); i++) {
		memset(field, fills[i], fields[_i].size);
		if (memcmp(saved, field, fields[_i].size) == 0)
			continue;
		errno = 0;
		ck_assert_ptr_null(brood_queue_open(NULL, "q"));
		ck_assert_int_eq(errno, EPROTO);
		memcpy(field, saved, fields[_i].size);
		ck_assert_ptr_eq(brood_queue_open(NULL, "q"), queue);
	}
}
END_TEST

/* Noise in every word that a call believes: all calls return, and touch nothing but the queue. */
START_TEST(noise_in_the_words)
{
	struct brood_queue *queue = queue_of(5, 40), *other = queue_of(5, 40);
	_Atomic uint64_t *const words[] = {
		&queue->tail, &queue->head, &queue->shown, &queue->end,
	};
	char bytes[64], behind[40] = "nobody writes here";
	struct brood_message m[4], place;

	ck_assert_int_eq(brood_queue_put(other, behind, 40, 0), 0);
	srand((unsigned int)_i);
	for (int round = 0; round < 3000; round++) {
		uint64_t noise = (uint64_t)rand() << (rand() % 48);

		for (int i = 0; i < 4; i++)
			m[i] = (struct brood_message){ .data = bytes, .size = 40, .length = 8 };
		memset(bytes, 0x77, sizeof(bytes));
		if (round % 3 == 0)
			atomic_store(words[rand() % 4], rand() % 3 ? noise : 0);
		if (round % 3 == 1)
			atomic_store(&slot_number(queue, (uint32_t)rand() % 8)->header,
				     rand() % 2 ? noise : mine(&queue->head) << 32 | UINT32_MAX);
		if (round % 7 == 0)
			queue->head_seen = noise;
		atomic_store(&queue->closed, rand() % 9 == 0);
		brood_queue_put(queue, bytes, (size_t)rand() % 41, 0);
		brood_queue_put_many(queue, m, 4, 0);
		if (brood_queue_reserve(queue, &place) == 0) {
			memset(place.data, 0x77, place.size);
			place.length = 40;
			if (brood_queue_commit(queue, &place, 0))
				brood_queue_producer_end(queue);
		}
		brood_queue_count(queue);
		ck_assert_int_le(brood_queue_get(queue, bytes, 40, 0), 40);
		ck_assert_int_le(brood_queue_get_many(queue, m, 4, 0), 4);
		if (brood_queue_lease(queue, &place, 0) == 0) {
			ck_assert_uint_le(place.length, 40);
			memset(place.data, 0x77, place.length);
			if (brood_queue_release(queue, &place))
				atomic_store(&queue->consumer, 0);
		}
		for (int i = 40; i < 64; i++)
			ck_assert_int_eq(bytes[i], 0x77);
	}
	ck_assert_int_eq(brood_queue_get(other, bytes, 40, 0), 40);
	ck_assert_int_eq(memcmp(bytes, behind, 40), 0);
}
END_TEST

int main(void)
{
	TCase *ring = new_case("the ring", begin_test);
	TCase *places = new_case("places", begin_test);
	TCase *deaths = new_case("deaths", begin_test);
	TCase *waits = new_case("waits", begin_test);
	TCase *hostile = new_case("hostile", begin_test);

	tcase_add_loop_test(ring, capacity_is_exact_over_many_laps, 0, 6);
	tcase_add_loop_test(ring, lengths_and_bytes_are_kept, 0, 9);
	tcase_add_test(ring, batches);
	tcase_add_test(ring, reservations);
	tcase_add_test(ring, leases);
	tcase_add_loop_test(ring, long_messages_are_aligned, 0, 2);
	tcase_add_test(ring, a_closed_queue_drains);
	tcase_add_test(ring, what_needs_another_queue);
	tcase_add_test(ring, more_than_one_is_refused);
	tcase_add_loop_test(places, a_second_one_is_refused, 0, KINDS);
	tcase_add_loop_test(places, a_successor_takes_over, 0, 3 * (KINDS - 1));
	tcase_add_loop_test(places, producer_end_makes_room_for_another, 0, 2);
	tcase_add_test(deaths, what_a_dead_one_held);
	tcase_add_test(deaths, a_lease_is_not_counted_though_more_was_shown);
	tcase_add_test(deaths, a_forked_child_has_no_lease);
	tcase_add_test(deaths, a_close_that_was_cut_short);
	tcase_add_test(waits, times);
	tcase_add_loop_test(waits, a_stream_between_processes, 0, 6);
	tcase_add_loop_test(waits, a_stream_between_threads, 0, 3);
	tcase_add_loop_test(waits, sleepers_are_woken, 0, 4);
	tcase_add_test(waits, descriptors);
	tcase_add_test(waits, close_loses_nothing_and_adds_nothing);
	tcase_add_loop_test(hostile, no_field_may_be_damaged, 0, FIELDS);
	tcase_add_loop_test(hostile, noise_in_the_words, 0, 4);
	return run_cases("queue of one and one", ring, places, deaths, waits, hostile, NULL);
}
