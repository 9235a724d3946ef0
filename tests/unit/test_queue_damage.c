/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Queues whose shared words are not as they should be, and positions that come round. */
#include <stddef.h>

#include "queue/queue.h"
#include "queue_calls.h"

/* ---- positions ---- */

/* As after 2^42 messages, less two laps. */
static struct brood_queue *old_queue(uint32_t slots)
{
	struct brood_queue *queue = new_queue(slots, 8);
	uint64_t first = POSITION_MASK + 1 - 2 * (uint64_t)queue->ring;

	for (uint32_t i = 0; i < queue->ring; i++)
		atomic_store(queue_slot(queue, i), slot_word(first + i, 0, i));
	atomic_store(&queue->tail, first);
	atomic_store(&queue->head, first);
	return queue;
}

static const uint32_t capacities[] = { 1, 2, 3, 5, 8 };

START_TEST(positions_come_round)
{
	uint32_t slots = capacities[_i];
	struct brood_queue *queue = old_queue(slots);
	int64_t in = 0, out = 0;

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
	}
	ck_assert_int_eq(brood_queue_close(queue), 0);
	for (; out < in; out++)
		ck_assert_int_eq(get_number(queue, 0), out);
	ck_assert_int_eq(get_number(queue, 0), -EPIPE);
}
END_TEST

/* Messages of before and after are given back: the earlier ones come first. */
START_TEST(order_of_the_returned_when_positions_come_round)
{
	struct brood_queue *queue = old_queue(8);
	struct brood_message messages[8];

	for (int64_t i = 0; i < 12; i++) {	/* kept for a while, to shuffle the buffers */
		if (i >= 5)
			ck_assert_int_eq(brood_queue_release(queue, &messages[(3 * i) % 5]), 0);
		ck_assert_int_eq(put_number(queue, i, 0), 0);
		ck_assert_int_eq(brood_queue_lease(queue, &messages[(3 * i) % 5], 0), 0);
	}
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(brood_queue_release(queue, &messages[i]), 0);
	for (int64_t i = 0; i < 8; i++) {
		ck_assert_int_eq(put_number(queue, i, 0), 0);
		ck_assert_int_eq(brood_queue_lease(queue, &messages[i], 0), 0);
	}
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(brood_queue_return(queue, &messages[(i * 5 + 3) % 8]), 0);
	for (int64_t i = 0; i < 8; i++)
		ck_assert_int_eq(get_number(queue, 0), i);
}
END_TEST

/* ---- a damaged queue is not opened ---- */

#define FIELD(name) { offsetof(struct brood_queue, name), sizeof(((struct brood_queue *)0)->name) }

static const struct {
	size_t offset, size;
} fields[] = {
	FIELD(object.magic), FIELD(object.bytes), FIELD(max_bytes), FIELD(stride),
	FIELD(slots_at), FIELD(words_at), FIELD(notes_at), FIELD(bytes_at), FIELD(capacity),
	FIELD(ring), FIELD(buffers), FIELD(members), FIELD(sparse),
};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

START_TEST(no_field_may_be_damaged)
{
	struct brood_queue_opts opts = { .slots = 5, .max_bytes = 100, .name = "q" };
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

/* ---- damage to a queue that is in use ---- */

START_TEST(slots_without_a_buffer)
{
	struct brood_queue *queue = new_queue(4, 8);
	uint64_t word;

	ck_assert_int_eq(put_number(queue, 0, 0), 0);
	ck_assert_int_eq(get_number(queue, 0), 0);
	word = atomic_load(queue_slot(queue, 5));
	atomic_store(queue_slot(queue, 5), word | NO_BUFFER);
	ck_assert_int_eq(put_number(queue, 1, 0), -EPROTO);
	ck_assert_int_eq(put_number(queue, 1, BROOD_FOREVER), -EPROTO);
	ck_assert_int_eq(brood_queue_close(queue), -EPROTO);
	atomic_store(queue_slot(queue, 5), word);
	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	word = atomic_load(queue_slot(queue, 5));
	atomic_store(queue_slot(queue, 5), word | NO_BUFFER);
	ck_assert_int_eq(get_number(queue, 0), -EPROTO);
	ck_assert_int_eq(get_number(queue, BROOD_FOREVER), -EPROTO);
	atomic_store(queue_slot(queue, 5), word);
	ck_assert_int_eq(get_number(queue, 0), 1);
}
END_TEST

START_TEST(lengths_beyond_the_buffer)
{
	struct brood_queue *queue = new_queue(4, 8);
	char bytes[8];

	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	for (uint32_t i = 0; i < queue->buffers; i++) {
		uint64_t word = atomic_load(queue_word(queue, i));

		if (buffer_length(word) == 8)
			atomic_store(queue_word(queue, i), word | UINT32_MAX);
	}
	ck_assert_int_eq(brood_queue_get(queue, bytes, 7, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_get(queue, bytes, 8, 0), 8);
}
END_TEST

static int use_noise(void *arg)
{
	struct brood_queue *queue = arg;

	alarm(2);
	for (int i = 0; i < CALLS; i++)
		if (calls[i] != call_destroy)
			calls[i](queue);
	return 0;
}

/* Whatever the words of the slots are, a call comes to an end, and nobody is killed by a signal. */
START_TEST(noise_in_the_slots)
{
	struct brood_queue *queue = new_queue(4, 8);

	srand48(_i);
	for (uint32_t i = 0; i < 4; i++) {
		uint64_t noise = (uint64_t)mrand48() << 32 ^ (uint64_t)mrand48();

		if (_i & 1)	/* a place that could be right */
			noise = (noise & ~(3ull << POSITION_SHIFT)) | (uint64_t)i << POSITION_SHIFT;
		atomic_store(queue_slot(queue, i), noise);
	}
	ck_assert_int_eq(run(use_noise, queue), 0);
}
END_TEST

/* ---- death in destroy, after its first step ---- */

static int die_in_destroy(void *arg)
{
	struct brood_queue *queue = arg;

	must(put_number(queue, 1, 0) == 0);
	atomic_store(&queue->object.magic, ~atomic_load(&queue->object.magic));
	return 0;
}

START_TEST(who_destroys_dies)
{
	struct brood_queue_opts opts = { .slots = 4, .max_bytes = 8, .name = "q" };
	struct brood_queue *queue = brood_queue_create(&opts), *other = new_queue(4, 8);
	struct brood_segment_info before, after;

	ck_assert_ptr_nonnull(queue);
	ck_assert_int_eq(put_number(other, 1, 0), 0);
	ck_assert_int_eq(brood_segment_stat(NULL, &before), 0);
	ck_assert_int_eq(run(die_in_destroy, queue), 0);
	ck_assert_int_eq(brood_queue_count(other), 1);	/* sees the death */
	ck_assert_int_eq(brood_queue_count(queue), -ESTALE);
	ck_assert_int_eq(brood_segment_stat(NULL, &after), 0);
	ck_assert_uint_eq(after.objects, before.objects - 1);
	ck_assert_ptr_null(brood_queue_open(NULL, "q"));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_nonnull(brood_queue_create(&opts));
}
END_TEST

int main(void)
{
	TCase *tests = new_case("damage", begin_test);

	tcase_add_loop_test(tests, positions_come_round, 0, 5);
	tcase_add_test(tests, order_of_the_returned_when_positions_come_round);
	tcase_add_loop_test(tests, no_field_may_be_damaged, 0, FIELDS);
	tcase_add_test(tests, slots_without_a_buffer);
	tcase_add_test(tests, lengths_beyond_the_buffer);
	tcase_add_loop_test(tests, noise_in_the_slots, 0, 60);
	tcase_add_test(tests, who_destroys_dies);
	return run_cases("queue damage", tests, NULL);
}
