/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rings of bytes: what each call promises, also when members die, and whatever is in the memory. */
#include <pthread.h>

#include "support.h"

enum { GRANULE = 64 };

static struct brood_ring *new_ring(size_t bytes)
{
	struct brood_ring *ring = brood_ring_create(&(struct brood_ring_opts){ .bytes = bytes });

	ck_assert_ptr_nonnull(ring);
	return ring;
}

/* Bytes that depend on the seed, all of them. */
static void fill(unsigned char *data, size_t length, unsigned int seed)
{
	for (size_t i = 0; i < length; i++)
		data[i] = (unsigned char)(seed * 31 + i * 7 + (i >> 8));
}

static bool is_filled(const unsigned char *data, size_t length, unsigned int seed)
{
	for (size_t i = 0; i < length; i++)
		if (data[i] != (unsigned char)(seed * 31 + i * 7 + (i >> 8)))
			return false;
	return true;
}

static int put_int(struct brood_ring *ring, int64_t number)
{
	return brood_ring_put(ring, &number, sizeof(number), 0);
}

static int64_t get_int(struct brood_ring *ring, uint32_t *flags, int64_t timeout)
{
	int64_t number = -EILSEQ;
	ssize_t n = brood_ring_get_flags(ring, &number, sizeof(number), flags, timeout);

	return n < 0 ? n : n == sizeof(number) ? number : -EILSEQ;
}

static void gets(struct brood_ring *ring, int64_t number, uint32_t flags)
{
	uint32_t seen = 77;

	ck_assert_int_eq(get_int(ring, &seen, 0), number);
	ck_assert_uint_eq(seen, flags);
}

/* Nothing is in it, and all of it can be used, wherever the tail stands. */
static void is_whole(struct brood_ring *ring)
{
	size_t capacity = (size_t)brood_ring_capacity(ring), n = capacity / GRANULE;
	char *all = calloc(1, capacity);

	for (int round = 0; round < 5; round++) {
		ck_assert_int_eq(brood_ring_count(ring), 0);
		ck_assert_int_eq(brood_ring_used(ring), 0);
		for (size_t i = 0; i < n; i++)
			ck_assert_int_eq(put_int(ring, (int64_t)i), 0);
		ck_assert_int_eq(put_int(ring, 0), -EAGAIN);
		ck_assert_int_eq(brood_ring_count(ring), (ssize_t)n);
		ck_assert_int_eq(brood_ring_used(ring), (ssize_t)capacity);
		for (size_t i = 0; i < n; i++)
			gets(ring, (int64_t)i, 0);
		ck_assert_int_eq(get_int(ring, NULL, 0), -EAGAIN);
		ck_assert_int_eq(brood_ring_put(ring, all, capacity, 0), 0);
		ck_assert_int_eq(brood_ring_get(ring, all, capacity, 0), (ssize_t)capacity);
	}
	free(all);
}

/* ---- lengths ---- */

START_TEST(every_length_from_nothing_to_the_whole_ring)
{
	enum { BYTES = 40 * GRANULE };
	struct brood_ring *ring = new_ring(BYTES);
	unsigned char in[BYTES], out[BYTES];

	ck_assert_int_eq(brood_ring_capacity(ring), BYTES);
	for (size_t length = 0; length <= BYTES; length++) {
		fill(in, length, (unsigned int)length);
		ck_assert_int_eq(brood_ring_put(ring, length ? in : NULL, length, 0), 0);
		ck_assert_int_eq(brood_ring_next_length(ring), (ssize_t)length);
		ck_assert_int_eq(brood_ring_get(ring, out, sizeof(out), 0), (ssize_t)length);
		ck_assert(is_filled(out, length, (unsigned int)length));
	}
	ck_assert_int_eq(brood_ring_put(ring, in, BYTES + 1, 0), -EMSGSIZE);
	is_whole(ring);
}
END_TEST

/* Against a list of what must be in it: lengths by chance, in rings of all small sizes. */
START_TEST(lengths_by_chance_in_small_rings)
{
	for (size_t granules = 1; granules < 24; granules++) {
		struct brood_ring *ring = new_ring(granules * GRANULE);
		size_t lengths[32], most = granules * GRANULE;
		unsigned int put = 0, got = 0;
		unsigned char in[24 * GRANULE], out[24 * GRANULE];

		for (unsigned int i = 0; i < 4000; i++) {
			size_t length = (size_t)rand() % (rand() % 4 ? most / 3 + 1 : most + 1);

			fill(in, length, put);
			if (rand() % 2) {
				if (brood_ring_put(ring, in, length, 0) == 0)
					lengths[put++ % 32] = length;
				else
					ck_assert_uint_ne(put, got);
			} else if (put == got) {
				ck_assert_int_eq(brood_ring_get(ring, out, most, 0), -EAGAIN);
			} else {
				ck_assert_int_eq(brood_ring_get(ring, out, most, 0),
						 (ssize_t)lengths[got % 32]);
				ck_assert(is_filled(out, lengths[got % 32], got));
				got++;
			}
			ck_assert_int_eq(brood_ring_count(ring), (ssize_t)(put - got));
		}
		while (got < put)
			ck_assert_int_eq(brood_ring_get(ring, out, most, 0),
					 (ssize_t)lengths[got++ % 32]);
		is_whole(ring);
		ck_assert_int_eq(brood_ring_destroy(ring), 0);
	}
}
END_TEST

START_TEST(too_long_for_the_reader_stays)
{
	struct brood_ring *ring = new_ring(1000);
	char data[500] = "long", out[500];

	ck_assert_int_eq(brood_ring_put(ring, data, sizeof(data), 0), 0);
	ck_assert_int_eq(brood_ring_get(ring, out, sizeof(out) - 1, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_ring_get(ring, out, 0, BROOD_FOREVER), -EMSGSIZE);
	ck_assert_int_eq(brood_ring_next_length(ring), sizeof(data));
	ck_assert_int_eq(brood_ring_get(ring, out, sizeof(out), 0), sizeof(out));
	ck_assert_str_eq(out, "long");
	is_whole(ring);
}
END_TEST

/* ---- in place ---- */

START_TEST(reserve_and_commit_lease_and_release)
{
	struct brood_ring *ring = new_ring(40 * GRANULE);

	for (unsigned int i = 0; i < 200; i++) {
		size_t size = i * 12, length = i * 7;
		struct brood_message in, out;

		ck_assert_int_eq(brood_ring_reserve(ring, size, &in, 0), 0);
		ck_assert_uint_eq((uintptr_t)in.data % GRANULE, 0);
		ck_assert_uint_eq(in.size, size);
		fill(in.data, size, i);
		ck_assert_int_eq(brood_ring_count(ring), 0);
		in.length = length;
		ck_assert_int_eq(brood_ring_commit(ring, &in), 0);
		ck_assert_int_eq(brood_ring_commit(ring, &in), -EINVAL);
		ck_assert_int_eq(brood_ring_lease(ring, &out, 0), 0);
		ck_assert_uint_eq(out.length, length);
		ck_assert_uint_eq(out.flags, 0);
		ck_assert(is_filled(out.data, length, i));
		ck_assert_int_eq(brood_ring_count(ring), 0);
		ck_assert_int_gt(brood_ring_used(ring), 0);
		ck_assert_int_eq(brood_ring_release(ring, &out), 0);
		ck_assert_int_eq(brood_ring_release(ring, &out), -EINVAL);
	}
	is_whole(ring);
}
END_TEST

START_TEST(a_handle_is_believed_only_if_it_is_right)
{
	struct brood_ring *ring = new_ring(1000), *other = new_ring(1000);
	struct brood_message in, copy, out;

	ck_assert_int_eq(brood_ring_reserve(ring, 100, &in, 0), 0);
	copy = in;
	ck_assert_int_eq(brood_ring_release(ring, &copy), -EINVAL);
	ck_assert_int_eq(brood_ring_commit(other, &copy), -EINVAL);
	copy.buffer++;
	ck_assert_int_eq(brood_ring_abort(ring, &copy), -EINVAL);
	copy.buffer = UINT32_MAX;
	ck_assert_int_eq(brood_ring_commit(ring, &copy), -EINVAL);
	ck_assert_int_eq(brood_ring_commit(ring, NULL), -EINVAL);
	in.length = 129;
	ck_assert_int_eq(brood_ring_commit(ring, &in), -EMSGSIZE);
	in.length = 100;
	ck_assert_int_eq(brood_ring_commit(ring, &in), 0);
	ck_assert_int_eq(brood_ring_lease(ring, &out, 0), 0);
	copy = out;
	ck_assert_int_eq(brood_ring_abort(ring, &copy), -EINVAL);
	ck_assert_int_eq(brood_ring_commit(ring, &copy), -EINVAL);
	ck_assert_int_eq(brood_ring_release(ring, &out), 0);
	is_whole(ring);
}
END_TEST

START_TEST(an_aborted_reservation_leaves_nothing)
{
	struct brood_ring *ring = new_ring(1000);

	for (int i = 0; i < 100; i++) {
		struct brood_message message;

		ck_assert_int_eq(brood_ring_reserve(ring, 300, &message, 0), 0);
		ck_assert_int_eq(put_int(ring, i), 0);
		ck_assert_int_eq(get_int(ring, NULL, 0), -EAGAIN);
		ck_assert_int_eq(brood_ring_next_length(ring), -EAGAIN);
		ck_assert_int_eq(brood_ring_abort(ring, &message), 0);
		ck_assert_int_eq(brood_ring_abort(ring, &message), -EINVAL);
		gets(ring, i, 0);
	}
	is_whole(ring);
}
END_TEST

/* Reserved and not committed: readers wait, producers do not. In the order of the reservations. */
START_TEST(a_reservation_holds_up_readers_alone)
{
	struct brood_ring *ring = new_ring(1000);
	struct brood_message first, second;

	ck_assert_int_eq(brood_ring_reserve(ring, 8, &first, 0), 0);
	ck_assert_int_eq(brood_ring_reserve(ring, 8, &second, 0), 0);
	ck_assert_int_eq(put_int(ring, 3), 0);
	*(int64_t *)second.data = 2;
	ck_assert_int_eq(brood_ring_commit(ring, &second), 0);
	ck_assert_int_eq(get_int(ring, NULL, 0), -EAGAIN);
	ck_assert_int_eq(brood_ring_count(ring), 2);
	*(int64_t *)first.data = 1;
	ck_assert_int_eq(brood_ring_commit(ring, &first), 0);
	for (int64_t i = 1; i <= 3; i++)
		gets(ring, i, 0);
	is_whole(ring);
}
END_TEST

/* Leases are given back in any order; room becomes free in the order of the messages. */
START_TEST(leases_are_released_in_any_order)
{
	struct brood_ring *ring = new_ring(4 * GRANULE);
	struct brood_message lease[4];

	for (int64_t i = 0; i < 4; i++)
		ck_assert_int_eq(put_int(ring, i), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(brood_ring_lease(ring, &lease[i], 0), 0);
	for (int i = 3; i > 0; i--) {
		ck_assert_int_eq(brood_ring_release(ring, &lease[i]), 0);
		ck_assert_int_eq(put_int(ring, 9), -EAGAIN);
	}
	ck_assert_int_eq(*(int64_t *)lease[0].data, 0);
	ck_assert_int_eq(brood_ring_release(ring, &lease[0]), 0);
	is_whole(ring);
}
END_TEST

/* ---- the end ---- */

START_TEST(close_lets_readers_drain)
{
	/* Also when it is full, and when the tail stands at the end of a lap. */
	for (int before = 0; before < 10; before++) {
		struct brood_ring *ring = new_ring(4 * GRANULE);
		struct brood_message message;

		for (int64_t i = 0; i < before; i++) {
			ck_assert_int_eq(put_int(ring, i), 0);
			gets(ring, i, 0);
		}
		for (int64_t i = 0; i < 3; i++)
			ck_assert_int_eq(put_int(ring, i), 0);
		ck_assert_int_eq(brood_ring_reserve(ring, 8, &message, 0), 0);
		ck_assert_int_eq(brood_ring_closed(ring), 0);
		ck_assert_int_eq(brood_ring_close(ring), 0);
		ck_assert_int_eq(brood_ring_close(ring), 0);
		ck_assert_int_eq(brood_ring_closed(ring), 1);
		ck_assert_int_eq(put_int(ring, 9), -EPIPE);
		ck_assert_int_eq(brood_ring_reserve(ring, 0, &message, 0), -EPIPE);
		*(int64_t *)message.data = 3;
		ck_assert_int_eq(brood_ring_commit(ring, &message), 0);
		for (int64_t i = 0; i < 4; i++)
			gets(ring, i, 0);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(get_int(ring, NULL, BROOD_FOREVER), -EPIPE);
		ck_assert_int_eq(brood_ring_next_length(ring), -EPIPE);
		ck_assert_int_eq(brood_ring_count(ring), 0);
		ck_assert_int_eq(brood_ring_closed(ring), 1);
		ck_assert_int_eq(brood_ring_destroy(ring), 0);
	}
}
END_TEST

/* ---- errors, timeouts, names ---- */

START_TEST(calls_on_what_is_no_ring)
{
	struct brood_ring *gone = new_ring(64);
	struct brood_message message = { .data = &message };
	void *const wrong[] = { NULL, &message, new_queue(4, 8), gone };
	const int errors[] = { -EINVAL, -EBADF, -EBADF, -ESTALE };

	ck_assert_int_eq(brood_ring_destroy(gone), 0);
	for (int i = 0; i < 4; i++) {
		struct brood_ring *ring = wrong[i];
		char byte;

		ck_assert_int_eq(brood_ring_close(ring), errors[i]);
		ck_assert_int_eq(brood_ring_destroy(ring), errors[i]);
		ck_assert_int_eq(brood_ring_put(ring, "", 1, 0), errors[i]);
		ck_assert_int_eq(brood_ring_get(ring, &byte, 1, 0), errors[i]);
		ck_assert_int_eq(brood_ring_reserve(ring, 1, &message, 0), errors[i]);
		ck_assert_int_eq(brood_ring_commit(ring, &message), errors[i]);
		ck_assert_int_eq(brood_ring_abort(ring, &message), errors[i]);
		ck_assert_int_eq(brood_ring_lease(ring, &message, 0), errors[i]);
		ck_assert_int_eq(brood_ring_release(ring, &message), errors[i]);
		ck_assert_int_eq(brood_ring_next_length(ring), errors[i]);
		ck_assert_int_eq(brood_ring_count(ring), errors[i]);
		ck_assert_int_eq(brood_ring_used(ring), errors[i]);
		ck_assert_int_eq(brood_ring_capacity(ring), errors[i]);
		ck_assert_int_eq(brood_ring_closed(ring), errors[i]);
	}
}
END_TEST

START_TEST(arguments_that_are_wrong)
{
	const struct brood_ring_opts none = { .bytes = 0 }, absurd = { .bytes = SIZE_MAX },
		much = { .bytes = (size_t)2 << 30 }, odd = { .opts_size = 4, .bytes = 64 };
	const struct brood_ring_opts *const wrong[] = { NULL, &none, &absurd, &much, &odd };
	struct brood_ring *ring = new_ring(1);

	for (int i = 0; i < 5; i++) {
		errno = 0;
		ck_assert_ptr_null(brood_ring_create(wrong[i]));
		ck_assert_int_eq(errno, EINVAL);
	}
	ck_assert_int_eq(brood_ring_capacity(ring), GRANULE);
	ck_assert_int_eq(brood_ring_put(ring, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_ring_get(ring, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_ring_reserve(ring, 1, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_ring_reserve(ring, 65, &(struct brood_message){ 0 }, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_ring_lease(ring, NULL, 0), -EINVAL);
	is_whole(ring);
}
END_TEST

START_TEST(time_is_over)
{
	struct brood_ring *ring = new_ring(4 * GRANULE);
	char data[4 * GRANULE] = { 0 };
	int64_t begin = brood_now();

	ck_assert_int_eq(brood_ring_get(ring, data, 1, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	ck_assert_int_eq(brood_ring_put(ring, data, 1, 0), 0);
	begin = brood_now();
	ck_assert_int_eq(brood_ring_put(ring, data, sizeof(data), brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	ck_assert_int_eq(brood_ring_put(ring, data, 3 * GRANULE, brood_ms(20)), 0);
	ck_assert_int_eq(brood_ring_get(ring, data, 1, brood_ms(20)), 1);
	ck_assert_int_eq(brood_ring_get(ring, data, sizeof(data), 0), 3 * GRANULE);
	is_whole(ring);
}
END_TEST

START_TEST(found_by_its_name)
{
	struct brood_ring_opts opts = { .bytes = 1000, .name = "bytes" };
	struct brood_ring *ring = brood_ring_create(&opts);

	ck_assert_ptr_nonnull(ring);
	ck_assert_ptr_null(brood_ring_create(&opts));
	ck_assert_int_eq(errno, EEXIST);
	ck_assert_ptr_eq(brood_ring_open(NULL, "bytes"), ring);
	ck_assert_ptr_null(brood_ring_open(NULL, "byte"));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(brood_ring_destroy(ring), 0);
	ck_assert_ptr_null(brood_ring_open(NULL, "bytes"));
}
END_TEST

/* ---- deaths ---- */

struct scene {
	struct brood_ring *ring;
	atomic_int stage;
	atomic_int done, leave;		/* of sleepers: who leaves wakes all others */
	struct brood_message message;
};

static struct scene *new_scene(size_t bytes)
{
	struct scene *scene = shared(sizeof(*scene));

	scene->ring = new_ring(bytes);
	return scene;
}

static void until(const struct scene *scene, int stage)
{
	int64_t end = brood_now() + 30000 * MS;

	while (atomic_load(&scene->stage) < stage)
		ck_assert_int_lt(brood_now(), end);
}

static void wait_to_be_killed(struct scene *scene)
{
	atomic_store(&scene->stage, 1);
	while (pause())
		;
}

static int lease_three(void *arg)
{
	struct scene *scene = arg;
	struct brood_message message;

	for (int i = 0; i < 3; i++)
		must(brood_ring_lease(scene->ring, &message, 0) == 0);
	must(brood_ring_release(scene->ring, &message) == 0);
	return 0;
}

static int lease_and_wait(void *arg)
{
	must(lease_three(arg) == 0);
	wait_to_be_killed(arg);
	return 0;
}

static int lease_and_exit(void *arg)
{
	exit(lease_three(arg));
}

/* 0 and 1 of 0 to 4 come again, first; 2 was released. */
START_TEST(what_a_dead_reader_had_comes_again)
{
	for (int closed = 0; closed < 2; closed++) {
		struct scene *scene = new_scene(1000);

		for (int64_t i = 0; i < 5; i++)
			ck_assert_int_eq(put_int(scene->ring, i), 0);
		if (closed)
			ck_assert_int_eq(brood_ring_close(scene->ring), 0);
		if (_i == 0) {
			pid_t child = start(lease_and_wait, scene);

			until(scene, 1);
			ck_assert_int_eq(brood_ring_count(scene->ring), 2);
			kill_child(child);
		} else {
			ck_assert_int_eq(run(_i == 1 ? lease_three : lease_and_exit, scene), 0);
		}
		if (_i)		/* otherwise the reader finds out by itself */
			ck_assert_int_eq(brood_ring_count(scene->ring), 4);
		if (_i == 0) {
			gets(scene->ring, 3, 0);
			gets(scene->ring, 4, 0);
			gets(scene->ring, 0, BROOD_REDELIVERED);
			gets(scene->ring, 1, BROOD_REDELIVERED);
		} else {
			gets(scene->ring, 0, BROOD_REDELIVERED);
			gets(scene->ring, 1, BROOD_REDELIVERED);
			gets(scene->ring, 3, 0);
			gets(scene->ring, 4, 0);
		}
		if (closed)
			ck_assert_int_eq(get_int(scene->ring, NULL, 0), -EPIPE);
		else
			is_whole(scene->ring);
	}
}
END_TEST

/* It comes as often as its readers die. Meanwhile what is behind it is free, but no room yet. */
START_TEST(readers_die_one_after_another)
{
	struct scene *scene = new_scene(102 * GRANULE);

	for (int i = 0; i < 100; i++) {
		for (int64_t k = i ? 2 : 0; k < 3; k++)
			ck_assert_int_eq(put_int(scene->ring, k), 0);
		ck_assert_int_eq(run(lease_three, scene), 0);
		ck_assert_int_eq(brood_ring_count(scene->ring), 2);	/* the death is noticed */
	}
	gets(scene->ring, 0, BROOD_REDELIVERED);
	gets(scene->ring, 1, BROOD_REDELIVERED);
	is_whole(scene->ring);
}
END_TEST

static int reserve_three(void *arg)
{
	struct scene *scene = arg;
	struct brood_message message;

	for (int i = 0; i < 3; i++)
		must(brood_ring_reserve(scene->ring, 100, &message, 0) == 0);
	return 0;
}

static int reserve_and_wait(void *arg)
{
	must(reserve_three(arg) == 0);
	wait_to_be_killed(arg);
	return 0;
}

START_TEST(what_a_dead_producer_reserved_is_left_out)
{
	for (int i = 0; i < 30; i++) {
		struct scene *scene = new_scene(1000);

		ck_assert_int_eq(put_int(scene->ring, 1), 0);
		if (_i) {
			ck_assert_int_eq(run(reserve_three, scene), 0);
			ck_assert_int_eq(put_int(scene->ring, 2), 0);
		} else {
			pid_t child = start(reserve_and_wait, scene);

			until(scene, 1);
			ck_assert_int_eq(put_int(scene->ring, 2), 0);
			gets(scene->ring, 1, 0);
			ck_assert_int_eq(get_int(scene->ring, NULL, 0), -EAGAIN);
			ck_assert_int_eq(put_int(scene->ring, 1), 0);
			kill_child(child);
		}
		if (_i)
			gets(scene->ring, 1, 0);
		gets(scene->ring, 2, 0);
		if (!_i)
			gets(scene->ring, 1, 0);
		is_whole(scene->ring);
		ck_assert_int_eq(brood_ring_destroy(scene->ring), 0);
	}
}
END_TEST

/* ---- sleepers ---- */

static int stay(struct scene *scene, int result)
{
	atomic_fetch_add(&scene->done, 1);
	while (!atomic_load(&scene->leave))
		usleep(1000);
	return result;
}

static void until_done(struct scene *scene, int done)
{
	int64_t begin = brood_now();

	while (atomic_load(&scene->done) < done)
		ck_assert_int_lt(brood_now() - begin, 80 * MS);	/* not by looking themselves */
}

static int get_and_stay(void *arg)
{
	struct scene *scene = arg;

	return stay(scene, (int)get_int(scene->ring, NULL, BROOD_FOREVER));
}

static int get_one(void *arg)
{
	struct scene *scene = arg;

	return (int)get_int(scene->ring, NULL, BROOD_FOREVER);
}

static int get_into_nothing(void *arg)
{
	struct scene *scene = arg;

	return stay(scene, brood_ring_get(scene->ring, NULL, 0, BROOD_FOREVER) != -EMSGSIZE);
}

/* Two sleep behind a reservation; what is behind it was committed first, and woke nobody who could. */
START_TEST(all_that_became_ready_wakes_all)
{
	struct scene *scene = new_scene(1000);
	struct brood_message first;
	pid_t readers[2];

	ck_assert_int_eq(brood_ring_reserve(scene->ring, 8, &first, 0), 0);
	for (int i = 0; i < 2; i++) {
		readers[i] = start(get_and_stay, scene);
		ck_assert(until_asleep(readers[i]));
	}
	ck_assert_int_eq(put_int(scene->ring, 0), 0);
	for (int i = 0; i < 2; i++)
		ck_assert(until_asleep(readers[i]));
	*(int64_t *)first.data = 0;
	ck_assert_int_eq(brood_ring_commit(scene->ring, &first), 0);
	until_done(scene, 2);
	atomic_store(&scene->leave, 1);
	ck_assert_int_eq(end_of(readers[0]), 0);
	ck_assert_int_eq(end_of(readers[1]), 0);
	is_whole(scene->ring);
}
END_TEST

START_TEST(who_cannot_take_it_wakes_who_can)
{
	struct scene *scene = new_scene(1000);
	pid_t readers[2];

	readers[0] = start(get_into_nothing, scene);
	ck_assert(until_asleep(readers[0]));
	readers[1] = start(get_and_stay, scene);
	ck_assert(until_asleep(readers[1]));
	ck_assert_int_eq(put_int(scene->ring, 0), 0);
	/* Whoever is woken first, the second of two messages is not too much for both. */
	until_done(scene, 1);
	ck_assert_int_eq(put_int(scene->ring, 0), 0);
	until_done(scene, 2);
	atomic_store(&scene->leave, 1);
	ck_assert_int_eq(end_of(readers[1]), 0);
	ck_assert_int_eq(end_of(readers[0]), 0);
	while (get_int(scene->ring, NULL, 0) == 0)
		;
	is_whole(scene->ring);
}
END_TEST

static int put_all(void *arg)
{
	struct scene *scene = arg;
	char data[4 * GRANULE] = { 0 };

	return brood_ring_put(scene->ring, data, sizeof(data), BROOD_FOREVER);
}

static int put_one(void *arg)
{
	struct scene *scene = arg;

	return brood_ring_put(scene->ring, "", 1, BROOD_FOREVER);
}

/* The first who sleeps for room needs all of it; the second is content with what there is. */
START_TEST(room_wakes_whom_it_suffices)
{
	struct scene *scene = new_scene(4 * GRANULE);
	char data[4 * GRANULE];
	pid_t all, one;
	int64_t begin;

	for (int64_t i = 0; i < 4; i++)
		ck_assert_int_eq(put_int(scene->ring, i), 0);
	all = start(put_all, scene);
	ck_assert(until_asleep(all));
	one = start(put_one, scene);
	ck_assert(until_asleep(one));
	begin = brood_now();
	gets(scene->ring, 0, 0);
	ck_assert_int_eq(end_of(one), 0);
	ck_assert_int_lt(brood_now() - begin, 80 * MS);
	for (int64_t i = 1; i < 4; i++)
		gets(scene->ring, i, 0);
	ck_assert_int_eq(brood_ring_get(scene->ring, data, 1, 0), 1);
	ck_assert_int_eq(end_of(all), 0);
	ck_assert_int_eq(brood_ring_get(scene->ring, data, sizeof(data), 0), sizeof(data));
	is_whole(scene->ring);
}
END_TEST

/* Who sleeps behind what a member claimed or leased goes on when that dies. */
START_TEST(a_death_wakes_who_waited_for_the_dead)
{
	struct scene *scene = new_scene(4 * GRANULE);
	pid_t victim, sleeper;
	int64_t begin;

	if (_i == 0) {
		for (int64_t i = 0; i < 4; i++)
			ck_assert_int_eq(put_int(scene->ring, 0), 0);
		victim = start(lease_and_wait, scene);
		until(scene, 1);
		gets(scene->ring, 0, 0);
		sleeper = start(get_one, scene);
	} else {
		struct brood_message held;

		scene->ring = new_ring(8 * GRANULE);
		victim = start(reserve_and_wait, scene);
		until(scene, 1);
		ck_assert_int_eq(brood_ring_reserve(scene->ring, 100, &held, 0), 0);
		ck_assert_int_eq(brood_ring_abort(scene->ring, &held), 0);
		sleeper = start(put_one, scene);
	}
	ck_assert(until_asleep(sleeper));
	begin = brood_now();
	kill_child(victim);
	ck_assert_int_eq(end_of(sleeper), 0);
	ck_assert_int_lt(brood_now() - begin, 80 * MS);
}
END_TEST

START_TEST(close_and_destroy_wake_all)
{
	struct scene *scene = new_scene(4 * GRANULE), *full = new_scene(GRANULE);
	pid_t reader = start(get_one, scene), writer;

	ck_assert_int_eq(put_int(full->ring, 1), 0);
	writer = start(put_one, full);
	ck_assert(until_asleep(reader));
	ck_assert(until_asleep(writer));
	if (_i == 0) {
		ck_assert_int_eq(brood_ring_close(scene->ring), 0);
		ck_assert_int_eq(brood_ring_close(full->ring), 0);
	} else {
		ck_assert_int_eq(brood_ring_destroy(scene->ring), 0);
		ck_assert_int_eq(brood_ring_destroy(full->ring), 0);
	}
	ck_assert_int_eq(end_of(reader), (uint8_t)(_i == 0 ? -EPIPE : -ESTALE));
	ck_assert_int_eq(end_of(writer), (uint8_t)(_i == 0 ? -EPIPE : -ESTALE));
}
END_TEST

/* ---- many ---- */

enum { MEMBERS = 3, EACH = 3000 };

struct crowd {
	struct brood_ring *ring;
	atomic_int next;
	_Atomic uint64_t sum, count;
};

static int produce(void *arg)
{
	struct crowd *crowd = arg;
	unsigned int me = (unsigned int)atomic_fetch_add(&crowd->next, 1);
	unsigned char data[1600];

	for (unsigned int i = 0; i < EACH; i++) {
		size_t length = 8 + (i * 37 + me * 11) % (sizeof(data) - 8);
		uint32_t head[2] = { me, i };

		fill(data, length, i);
		memcpy(data, head, 8);
		must(brood_ring_put(crowd->ring, data, length, BROOD_FOREVER) == 0);
	}
	return 0;
}

/* FIFO for one producer; whole; and together all. */
static int consume(void *arg)
{
	struct crowd *crowd = arg;
	int64_t last[MEMBERS] = { -1, -1, -1 };
	struct brood_message message;
	int result;

	while ((result = brood_ring_lease(crowd->ring, &message, BROOD_FOREVER)) == 0) {
		unsigned char expected[1600];
		uint32_t head[2];

		must(message.length >= 8 && message.length < sizeof(expected));
		memcpy(head, message.data, 8);
		must(head[0] < MEMBERS && head[1] < EACH && head[1] > last[head[0]]);
		must(message.length == 8 + (head[1] * 37 + head[0] * 11) % (sizeof(expected) - 8));
		fill(expected, message.length, head[1]);
		must(memcmp(expected + 8, (char *)message.data + 8, message.length - 8) == 0);
		last[head[0]] = head[1];
		atomic_fetch_add(&crowd->sum, head[1]);
		atomic_fetch_add(&crowd->count, 1);
		must(brood_ring_release(crowd->ring, &message) == 0);
	}
	must(result == -EPIPE);
	return 0;
}

START_TEST(many_producers_and_consumers)
{
	struct crowd *crowd = shared(sizeof(*crowd));
	pid_t producers[MEMBERS], consumers[MEMBERS];

	crowd->ring = new_ring(_i ? 64 * GRANULE : 26 * GRANULE);
	for (int i = 0; i < MEMBERS; i++)
		producers[i] = start(produce, crowd);
	for (int i = 0; i < MEMBERS; i++)
		consumers[i] = start(consume, crowd);
	for (int i = 0; i < MEMBERS; i++)
		ck_assert_int_eq(end_of(producers[i]), 0);
	ck_assert_int_eq(brood_ring_close(crowd->ring), 0);
	for (int i = 0; i < MEMBERS; i++)
		ck_assert_int_eq(end_of(consumers[i]), 0);
	ck_assert_uint_eq(atomic_load(&crowd->count), MEMBERS * EACH);
	ck_assert_uint_eq(atomic_load(&crowd->sum), (uint64_t)MEMBERS * EACH * (EACH - 1) / 2);
}
END_TEST

/* ---- hostile members ---- */

static void use_all_calls(struct brood_ring *ring)
{
	struct brood_message message;
	char data[700] = { 0 };

	brood_ring_put(ring, data, sizeof(data), 0);
	brood_ring_get(ring, data, sizeof(data), 0);
	brood_ring_next_length(ring);
	brood_ring_count(ring);
	brood_ring_used(ring);
	brood_ring_capacity(ring);
	brood_ring_closed(ring);
	if (brood_ring_reserve(ring, 100, &message, brood_us(1)) == 0) {
		memset(message.data, 1, 100);
		brood_ring_commit(ring, &message);
	}
	if (brood_ring_lease(ring, &message, brood_us(1)) == 0) {
		volatile char sum = 0;

		for (size_t i = 0; i < message.length; i++)
			sum = (char)(sum + ((char *)message.data)[i]);
		brood_ring_release(ring, &message);
	}
	if (rand() % 4 == 0)
		brood_ring_close(ring);
}

/* Words as a hostile member would choose them: small, huge, near to what is there. */
static uint64_t odd_word(uint64_t was)
{
	switch (rand() % 6) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX << rand() % 64;
	case 2:
		return was + (uint64_t)(rand() % 5) - 2;
	case 3:
		return was ^ 1ull << rand() % 64;
	case 4:
		return (uint64_t)rand() % 64;
	default:
		return (uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^ (uint64_t)rand();
	}
}

static int live_with_damage(void *arg)
{
	for (int round = 0; round < 400; round++) {
		struct brood_ring *ring = new_ring(20 * GRANULE);
		uint64_t *words = (uint64_t *)(void *)ring;
		/* The object's own line is the segment's affair; then the ring's words and entries. */
		size_t first = 8, n = 6 * 8 + 21 * 2;

		srand((unsigned int)round);
		for (int i = 0; i < 12; i++) {
			use_all_calls(ring);
			for (int k = 0; k < 1 + i / 3; k++) {
				size_t at = first + (size_t)rand() % n;

				words[at] = odd_word(words[at]);
			}
		}
		brood_ring_destroy(ring);
	}
	(void)arg;
	return 0;
}

START_TEST(whatever_is_in_the_memory)
{
	int64_t begin = brood_now();

	ck_assert_int_eq(run(live_with_damage, NULL), 0);
	ck_assert_int_lt(brood_now() - begin, 60000 * MS);
}
END_TEST

START_TEST(damaged_named_ring)
{
	const char *name = own_name("ring");
	struct brood_segment *segment = brood_segment_create(name, &(struct brood_segment_opts){
		.bytes = 8 << 20 });
	struct brood_ring *ring;

	ck_assert_ptr_nonnull(segment);
	ring = brood_ring_create(&(struct brood_ring_opts){ .bytes = 1000, .segment = segment,
							    .name = "r" });
	ck_assert_ptr_nonnull(ring);
	ck_assert_ptr_eq(brood_ring_open(segment, "r"), ring);
	((uint32_t *)(void *)ring)[16] = 1u << 20;	/* the number of granules */
	ck_assert_ptr_null(brood_ring_open(segment, "r"));
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_int_eq(brood_ring_capacity(ring), -EPROTO);
	ck_assert_int_eq(brood_ring_put(ring, "", 1, 0), -EPROTO);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("ring")), 0);
}
END_TEST

int main(void)
{
	TCase *calls = new_case("calls", begin_test), *deaths = new_case("deaths", begin_test);
	TCase *many = new_case("many", begin_test), *hostile = new_case("hostile", begin_test);

	tcase_add_test(calls, every_length_from_nothing_to_the_whole_ring);
	tcase_add_test(calls, lengths_by_chance_in_small_rings);
	tcase_add_test(calls, too_long_for_the_reader_stays);
	tcase_add_test(calls, reserve_and_commit_lease_and_release);
	tcase_add_test(calls, a_handle_is_believed_only_if_it_is_right);
	tcase_add_test(calls, an_aborted_reservation_leaves_nothing);
	tcase_add_test(calls, a_reservation_holds_up_readers_alone);
	tcase_add_test(calls, leases_are_released_in_any_order);
	tcase_add_test(calls, close_lets_readers_drain);
	tcase_add_test(calls, calls_on_what_is_no_ring);
	tcase_add_test(calls, arguments_that_are_wrong);
	tcase_add_test(calls, time_is_over);
	tcase_add_test(calls, found_by_its_name);
	tcase_add_loop_test(deaths, what_a_dead_reader_had_comes_again, 0, 3);
	tcase_add_test(deaths, readers_die_one_after_another);
	tcase_add_loop_test(deaths, what_a_dead_producer_reserved_is_left_out, 0, 2);
	tcase_add_loop_test(deaths, a_death_wakes_who_waited_for_the_dead, 0, 2);
	tcase_add_test(many, all_that_became_ready_wakes_all);
	tcase_add_test(many, who_cannot_take_it_wakes_who_can);
	tcase_add_test(many, room_wakes_whom_it_suffices);
	tcase_add_loop_test(many, close_and_destroy_wake_all, 0, 2);
	tcase_add_loop_test(many, many_producers_and_consumers, 0, 2);
	tcase_add_test(hostile, whatever_is_in_the_memory);
	tcase_add_test(hostile, damaged_named_ring);
	return run_cases("ring", calls, deaths, many, hostile, NULL);
}
