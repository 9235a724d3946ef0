/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an untrusted peer may write into a segment that we share with it, and what comes of it: an
 * error, and an end of every call. Each of these once was a finding of tests/fuzz/.
 */
#include <stddef.h>

#include "queue/pipe.h"
#include "queue/queue.h"
#include "support.h"

#define NAME own_name("a")

static struct brood_segment *new_segment(void)
{
	struct brood_segment *segment = brood_segment_create(
		NAME, &(struct brood_segment_opts){ .bytes = 1 << 20, .members = 4 });

	ck_assert_ptr_nonnull(segment);
	return segment;
}

static void close_segment(struct brood_segment *segment)
{
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_segment_unlink(NAME), 0);
}

/* ---- blocks ---- */

/* {size in lines:30 | claimer:30 | state:4} */
static const uint64_t at_top[] = {
	1, 2, 1ull << 34, UINT64_MAX, 1ull << 63, (uint64_t)((1 << 20) / 64) << 34 | 1,
};

static int allocate_at_the_top(void *arg)
{
	struct brood_segment *segment = brood_segment_open(NAME);
	uint64_t top = atomic_load(&segment->header->top);

	alarm(5);
	*(uint64_t *)brood__at(segment, top) = *(const uint64_t *)arg;
	errno = 0;
	must(brood_alloc(segment, 100) == NULL && errno == EPROTO);
	must(atomic_load(&segment->header->top) == top);
	*(uint64_t *)brood__at(segment, top) = 0;
	must(brood_alloc(segment, 100) != NULL);
	return brood_segment_close(segment);
}

/* Once top never moved on, and the call never ended. */
START_TEST(a_block_at_the_top_without_a_size)
{
	struct brood_segment *segment = new_segment();
	uint64_t word = at_top[_i];

	ck_assert_int_eq(run(allocate_at_the_top, &word), 0);
	close_segment(segment);
}
END_TEST

static struct brood_queue *named_queue(struct brood_segment *segment)
{
	return brood_queue_create(&(struct brood_queue_opts){
		.slots = 2, .max_bytes = 8, .extra = 2, .segment = segment, .name = "q" });
}

/* A block above that of the queue which is made, claimed, with its name. */
static int make_a_namesake(void *arg)
{
	struct brood_segment *segment = brood_segment_open(NAME);
	struct brood_queue *low = named_queue(segment);
	char *high = brood_alloc(segment, 1000);
	struct brood__block *block = (struct brood__block *)(void *)high - 1;
	uint64_t word = atomic_load(&block->word) & ~(UINT64_MAX >> 30);

	alarm(5);
	must(low && brood_queue_destroy(low) == 0);	/* its block is taken again */
	strcpy(((struct brood__object *)(void *)high)->name, "q");
	atomic_store(&block->word, word | *(const uint64_t *)arg << 4 | BROOD__CLAIMED);
	low = named_queue(segment);
	must(low && (char *)low < high);
	return brood_segment_close(segment);
}

/* By nobody; by id 999; by id 3, which was never a member; by ourselves, id 0 of incarnation 0. */
static const uint64_t claimers[] = { 0, 1000, 4, 1 };

START_TEST(a_namesake_that_nobody_makes)
{
	struct brood_segment *segment = new_segment();
	uint64_t claimer = claimers[_i];

	ck_assert_int_eq(run(make_a_namesake, &claimer), 0);
	close_segment(segment);
}
END_TEST

/* ---- the header, when it has been checked ---- */

static int use_without_header(void *arg)
{
	struct brood_segment *segment = brood_segment_open(NAME);
	struct brood_segment_info info;
	struct brood_queue *queue;
	uint64_t *header;

	(void)arg;
	alarm(5);
	must(segment != NULL);
	header = (uint64_t *)(void *)segment->header;
	for (size_t i = 0; i < offsetof(struct brood__header, top) / sizeof(*header); i++)
		header[i] = 1ull << 40;
	atomic_store(&segment->header->top, 1ull << 41);
	brood_segment_stat(segment, &info);
	brood_queue_open(segment, "q");
	queue = named_queue(segment);
	must(brood_queue_put(queue, "a", 1, 0) != 0);
	for (uint64_t top = (1ull << 19) + 1; top < (1ull << 19) + BROOD__LINE; top++) {
		atomic_store(&segment->header->top, top);
		brood_segment_stat(segment, &info);
		must(brood_alloc(segment, 100) == NULL && errno == ENOSPC);
	}
	for (uint64_t top = 0; top < segment->heap_at; top += BROOD__LINE) {
		atomic_store(&segment->header->top, top);
		must(brood_alloc(segment, 100) == NULL && errno == ENOSPC);
	}
	return brood_segment_close(segment);
}

START_TEST(a_header_that_is_another_by_now)
{
	struct brood_segment *segment = new_segment();

	ck_assert_ptr_nonnull(named_queue(segment));
	ck_assert_int_eq(run(use_without_header, NULL), 0);
	close_segment(segment);
}
END_TEST

/* ---- streams ---- */

/* Cut to 32 bits, the number of its granules was right. */
START_TEST(a_note_with_an_absurd_length)
{
	struct brood_ring *ring = brood_ring_create(&(struct brood_ring_opts){ .bytes = 1000 });
	struct brood__bytes *words = (struct brood__bytes *)((char *)ring + BROOD__LINE);
	struct brood__entry *entry = (struct brood__entry *)(void *)(words + 1);
	struct brood_message message;
	char bytes[100] = "message";

	ck_assert_ptr_nonnull(ring);
	ck_assert_int_eq(brood_ring_put(ring, bytes, sizeof(bytes), 0), 0);
	ck_assert_uint_eq(atomic_load(&entry->note), sizeof(bytes));
	for (int bit = 7; bit < 56; bit++) {
		atomic_store(&entry->note, 1ull << bit | sizeof(bytes));
		ck_assert_int_eq(brood_ring_get(ring, bytes, SIZE_MAX / 2, 0), -EPROTO);
		ck_assert_int_eq(brood_ring_lease(ring, &message, 0), -EPROTO);
	}
	atomic_store(&entry->note, sizeof(bytes));
	ck_assert_int_eq(brood_ring_get(ring, bytes, sizeof(bytes), 0), sizeof(bytes));
}
END_TEST

static int receive_from_ourselves(void *arg)
{
	struct brood_pipe *pipe = arg;
	struct conn_call call;
	char bytes[1000];

	alarm(5);
	must(brood_conn_send(brood_pipe_end(pipe, 1), bytes, sizeof(bytes), 0) == -EAGAIN);
	must(brood__conn_enter(brood_pipe_end(pipe, 1), &call) == 0);
	brood__object_leave(&call.inside);
	atomic_store(&pipe->directions[0].sender, call.token);
	must(brood_conn_recv(brood_pipe_end(pipe, 0), bytes, sizeof(bytes), 0) == -EAGAIN);
	must(brood_conn_recv(brood_pipe_end(pipe, 0), bytes, sizeof(bytes), brood_ms(10)) ==
	     -ETIMEDOUT);
	return 0;
}

/* The receiver is said to be sending what it waits for. */
START_TEST(half_of_a_message_from_ourselves)
{
	struct brood_pipe *pipe = brood_pipe_create(&(struct brood_pipe_opts){ .bytes = 256 });

	ck_assert_ptr_nonnull(pipe);
	ck_assert_int_eq(run(receive_from_ourselves, pipe), 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("damage", begin_test);

	tcase_add_loop_test(tests, a_block_at_the_top_without_a_size, 0, 6);
	tcase_add_loop_test(tests, a_namesake_that_nobody_makes, 0, 4);
	tcase_add_test(tests, a_header_that_is_another_by_now);
	tcase_add_test(tests, a_note_with_an_absurd_length);
	tcase_add_test(tests, half_of_a_message_from_ourselves);
	return run_cases("peer damage", tests, NULL);
}
