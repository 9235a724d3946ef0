/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queue as its user sees it: options, capacity, order, lengths, exact answers, names. */
#include <sched.h>

#include "support.h"

#define ABSURD SIZE_MAX

static const uint32_t capacities[] = { 1, 2, 3, 5, 64, 1000 };
static const size_t sizes[] = { 1, 7, 8, 63, 64, 65, 4096, 1 << 20 };

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static void holds(struct brood_queue *queue, ssize_t count)
{
	ck_assert_int_eq(brood_queue_count(queue), count);
	ck_assert_int_eq(brood_queue_empty(queue), count == 0);
	ck_assert_int_eq(brood_queue_full(queue), count == brood_queue_capacity(queue));
}

START_TEST(capacity_is_exact)
{
	uint32_t slots = capacities[_i];
	struct brood_queue *queue = new_queue(slots, 8);

	ck_assert_int_eq(brood_queue_capacity(queue), slots);
	ck_assert_int_eq(brood_queue_max_bytes(queue), 8);
	for (int64_t round = 0; round < 3; round++) {
		holds(queue, 0);
		for (int64_t i = 0; i < slots; i++) {
			ck_assert_int_eq(put_number(queue, round + i, 0), 0);
			holds(queue, (ssize_t)i + 1);
		}
		ck_assert_int_eq(put_number(queue, 0, 0), -EAGAIN);
		for (int64_t i = 0; i < slots; i++) {
			ck_assert_int_eq(get_number(queue, 0), round + i);
			holds(queue, (ssize_t)(slots - i) - 1);
		}
		ck_assert_int_eq(get_number(queue, 0), -EAGAIN);
	}
	ck_assert_int_eq(brood_queue_destroy(queue), 0);
}
END_TEST

/* Some in, some out, so that the ends are at every distance and in every place. */
START_TEST(order_is_kept_over_many_laps)
{
	uint32_t slots = capacities[_i];
	struct brood_queue *queue = new_queue(slots, 8);
	int64_t in = 0, out = 0;

	srand(1);
	while (out < 20000 + 50 * slots) {
		for (int n = rand() % ((int)slots + 2); n > 0; n--) {
			bool room = in - out < slots;

			ck_assert_int_eq(put_number(queue, in, 0), room ? 0 : -EAGAIN);
			in += room;
		}
		for (int n = rand() % ((int)slots + 2); n > 0; n--) {
			bool any = in > out;

			ck_assert_int_eq(get_number(queue, 0), any ? out : -EAGAIN);
			out += any;
		}
	}
	holds(queue, (ssize_t)(in - out));
}
END_TEST

static void fill(unsigned char *bytes, size_t length, unsigned int seed)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)(i * 31 + seed);
}

static void passes(struct brood_queue *queue, size_t length, size_t room)
{
	unsigned char *in = malloc(room + 1), *out = calloc(1, room + 1);
	int beyond = 0;

	fill(in, length, (unsigned int)length);
	out[room] = in[room] = 99;
	ck_assert_int_eq(brood_queue_put(queue, in, length, 0), 0);
	ck_assert_int_eq(brood_queue_get(queue, out, room, 0), (ssize_t)length);
	ck_assert(memcmp(in, out, length) == 0);
	for (size_t i = length; i < room; i++)
		beyond |= out[i];	/* not a byte more than the message */
	ck_assert_int_eq(beyond, 0);
	ck_assert_int_eq(out[room], 99);
	free(in);
	free(out);
}

START_TEST(lengths_are_kept)
{
	size_t max = sizes[_i];
	struct brood_queue *queue = new_queue(3, max);

	ck_assert_int_eq(brood_queue_max_bytes(queue), (ssize_t)max);
	for (int lap = 0; lap < 20; lap++) {
		passes(queue, max, max);
		passes(queue, 0, 0);
		passes(queue, 1, 1);
		passes(queue, max - 1, max);
		passes(queue, max / 2, max);
	}
	ck_assert_int_eq(brood_queue_destroy(queue), 0);
}
END_TEST

START_TEST(too_long_is_not_stored)
{
	size_t max = sizes[_i];
	struct brood_queue *queue = new_queue(1, max);
	char *bytes = calloc(1, max + 1);

	ck_assert_int_eq(brood_queue_put(queue, bytes, max + 1, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_put(queue, bytes, ABSURD, BROOD_FOREVER), -EMSGSIZE);
	holds(queue, 0);
	ck_assert_int_eq(brood_queue_put(queue, bytes, max, 0), 0);
	ck_assert_int_eq(brood_queue_put(queue, bytes, max + 1, BROOD_FOREVER), -EMSGSIZE);
	holds(queue, 1);
	free(bytes);
}
END_TEST

START_TEST(too_long_for_the_reader_stays)
{
	size_t max = sizes[_i];
	struct brood_queue *queue = new_queue(4, max);
	char *bytes = calloc(1, max);

	fill((unsigned char *)bytes, max, 3);
	ck_assert_int_eq(brood_queue_put(queue, bytes, max, 0), 0);
	ck_assert_int_eq(brood_queue_put(queue, bytes, 0, 0), 0);
	ck_assert_int_eq(brood_queue_get(queue, bytes, max - 1, BROOD_FOREVER), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_get(queue, NULL, 0, 0), -EMSGSIZE);
	holds(queue, 2);
	memset(bytes, 0, max);
	ck_assert_int_eq(brood_queue_get(queue, bytes, ABSURD, 0), (ssize_t)max);
	ck_assert_int_eq(bytes[max - 1], (char)((max - 1) * 31 + 3));
	ck_assert_int_eq(brood_queue_get(queue, NULL, 0, 0), 0);
	holds(queue, 0);
	free(bytes);
}
END_TEST

START_TEST(messages_without_bytes)
{
	struct brood_queue *queue = new_queue(2, 1);
	uint32_t flags = 77;

	ck_assert_int_eq(brood_queue_put(queue, NULL, 0, 0), 0);
	ck_assert_int_eq(brood_queue_put(queue, "", 0, 0), 0);
	holds(queue, 2);
	ck_assert_int_eq(brood_queue_put(queue, NULL, 0, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_get_flags(queue, NULL, 0, &flags, 0), 0);
	ck_assert_uint_eq(flags, 0);
	ck_assert_int_eq(brood_queue_get_flags(queue, NULL, 0, NULL, 0), 0);
	holds(queue, 0);
}
END_TEST

/* ---- options ---- */

static void refused(struct brood_queue_opts opts, int error)
{
	errno = 0;
	ck_assert_ptr_null(brood_queue_create(&opts));
	ck_assert_int_eq(errno, error);
}

START_TEST(absurd_options_are_refused)
{
	static const char *const x47 = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	char x48[49];

	snprintf(x48, sizeof(x48), "%sx", x47);
	errno = 0;
	ck_assert_ptr_null(brood_queue_create(NULL));
	ck_assert_int_eq(errno, EINVAL);
	refused((struct brood_queue_opts){ .slots = 0, .max_bytes = 8 }, EINVAL);
	refused((struct brood_queue_opts){ .slots = 8, .max_bytes = 0 }, EINVAL);
	refused((struct brood_queue_opts){ 0 }, EINVAL);
	refused((struct brood_queue_opts){ .slots = BROOD_QUEUE_SLOTS_MAX + 1, .max_bytes = 8 },
		EINVAL);
	refused((struct brood_queue_opts){ .slots = UINT32_MAX, .max_bytes = 8 }, EINVAL);
	refused((struct brood_queue_opts){ .slots = 1, .max_bytes = (1u << 30) + 1 }, EINVAL);
	refused((struct brood_queue_opts){ .slots = 1, .max_bytes = ABSURD }, EINVAL);
	refused((struct brood_queue_opts){ .slots = 1, .max_bytes = 8, .extra = UINT32_MAX },
		EINVAL);
	refused((struct brood_queue_opts){ .slots = 1, .max_bytes = 8,
					   .producers_end = UINT32_MAX }, EINVAL);
	refused((struct brood_queue_opts){ .slots = 1, .max_bytes = 8, .name = "" }, EINVAL);
	refused((struct brood_queue_opts){ .slots = 1, .max_bytes = 8, .name = x48 }, ENAMETOOLONG);
	refused((struct brood_queue_opts){ .slots = 1, .max_bytes = 8,
					   .segment = (struct brood_segment *)x48 }, EINVAL);
	/* More than the whole range of addresses. */
	refused((struct brood_queue_opts){ .slots = BROOD_QUEUE_SLOTS_MAX, .max_bytes = 1 << 30 },
		ENOSPC);
}
END_TEST

START_TEST(the_most_slots)
{
	struct brood_queue *queue = new_queue(BROOD_QUEUE_SLOTS_MAX, 8);

	for (int64_t i = 0; i < BROOD_QUEUE_SLOTS_MAX; i++)
		ck_assert_int_eq(put_number(queue, i, 0), 0);
	ck_assert_int_eq(put_number(queue, 0, 0), -EAGAIN);
	holds(queue, BROOD_QUEUE_SLOTS_MAX);
	for (int64_t i = 0; i < BROOD_QUEUE_SLOTS_MAX; i++)
		ck_assert_int_eq(get_number(queue, 0), i);
	holds(queue, 0);
}
END_TEST

/* As a program that was compiled with a later header would give it. */
START_TEST(options_can_grow)
{
	struct {
		struct brood_queue_opts opts;
		uint64_t later[2];
	} grown = { .opts = { .opts_size = sizeof(grown), .slots = 2, .max_bytes = 8 } };
	struct brood_queue *queue = brood_queue_create(&grown.opts);

	ck_assert_ptr_nonnull(queue);
	ck_assert_int_eq(brood_queue_destroy(queue), 0);
	grown.later[1] = 1ull << 63;
	ck_assert_ptr_null(brood_queue_create(&grown.opts));
	ck_assert_int_eq(errno, EINVAL);
	grown.opts.opts_size = sizeof(grown.opts);
	ck_assert_ptr_nonnull(brood_queue_create(&grown.opts));
	grown.opts.opts_size = 3;
	refused(grown.opts, EINVAL);
}
END_TEST

/* ---- names ---- */

START_TEST(names_are_unique)
{
	struct brood_queue_opts opts = { .slots = 2, .max_bytes = 8, .name = "jobs" };
	struct brood_queue *queue = brood_queue_create(&opts), *other;

	ck_assert_ptr_nonnull(queue);
	refused(opts, EEXIST);
	ck_assert_ptr_eq(brood_queue_open(NULL, "jobs"), queue);
	opts.name = "job";
	other = brood_queue_create(&opts);
	ck_assert_ptr_nonnull(other);
	ck_assert_ptr_eq(brood_queue_open(NULL, "job"), other);
	ck_assert_int_eq(brood_queue_destroy(queue), 0);
	ck_assert_ptr_null(brood_queue_open(NULL, "jobs"));
	ck_assert_int_eq(errno, ENOENT);
	opts.name = "jobs";
	ck_assert_ptr_nonnull(brood_queue_create(&opts));
}
END_TEST

START_TEST(names_that_nobody_gave)
{
	static const char *const names[] = { "jobs", "", NULL,
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" };

	new_queue(1, 8);	/* without a name: "" must not find it */
	for (int i = 0; i < COUNT(names); i++) {
		ck_assert_ptr_null(brood_queue_open(NULL, names[i]));
		ck_assert_int_eq(errno, i == 0 ? ENOENT : EINVAL);
	}
}
END_TEST

/* ---- seen at once ---- */

struct turns {
	struct brood_queue *queue;
	atomic_uint turn;	/* even: the parent's */
};

enum { TURNS = 10000 };

static void await(struct turns *turns, unsigned int turn)
{
	while (atomic_load(&turns->turn) != turn)
		sched_yield();
}

static int take_at_once(void *arg)
{
	struct turns *turns = arg;

	for (unsigned int i = 0; i < TURNS; i++) {
		await(turns, 2 * i + 1);
		must(brood_queue_count(turns->queue) == 1);
		must(brood_queue_empty(turns->queue) == 0);
		must(brood_queue_full(turns->queue) == 1);
		must(get_number(turns->queue, 0) == i);
		atomic_store(&turns->turn, 2 * i + 2);
	}
	return 0;
}

START_TEST(what_was_put_is_there_for_all_at_once)
{
	struct turns *turns = shared(sizeof(*turns));
	pid_t child;

	turns->queue = new_queue(1, 8);
	child = start(take_at_once, turns);
	for (unsigned int i = 0; i < TURNS; i++) {
		await(turns, 2 * i);
		holds(turns->queue, 0);
		ck_assert_int_eq(put_number(turns->queue, i, 0), 0);
		atomic_store(&turns->turn, 2 * i + 1);
		if (i % 1000 == 0)	/* not for ever when the child has failed */
			ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
	}
	ck_assert_int_eq(end_of(child), 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("queue", begin_test);

	tcase_add_loop_test(tests, capacity_is_exact, 0, COUNT(capacities));
	tcase_add_loop_test(tests, order_is_kept_over_many_laps, 0, COUNT(capacities));
	tcase_add_loop_test(tests, lengths_are_kept, 0, COUNT(sizes));
	tcase_add_loop_test(tests, too_long_is_not_stored, 0, COUNT(sizes));
	tcase_add_loop_test(tests, too_long_for_the_reader_stays, 0, COUNT(sizes));
	tcase_add_test(tests, messages_without_bytes);
	tcase_add_test(tests, absurd_options_are_refused);
	tcase_add_test(tests, the_most_slots);
	tcase_add_test(tests, options_can_grow);
	tcase_add_test(tests, names_are_unique);
	tcase_add_test(tests, names_that_nobody_gave);
	tcase_add_test(tests, what_was_put_is_there_for_all_at_once);
	return run_cases("queue", tests, NULL);
}
