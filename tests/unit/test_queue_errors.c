/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pointers and handles that are none: an error each, and no harm. */
#include "queue_calls.h"

static void all_give(void *queue, ssize_t error)
{
	for (int i = 0; i < CALLS; i++)
		ck_assert_msg(calls[i](queue) == error, "call %d on %p", i, queue);
}

/* ---- pointers that are no queue ---- */

START_TEST(no_queue_at_all)
{
	all_give(NULL, -EINVAL);
}
END_TEST

START_TEST(pointers_from_elsewhere)
{
	void *heap = calloc(1, 100000);

	all_give(heap, -EBADF);
	all_give(&heap, -EBADF);
	all_give(call_bytes, -EBADF);
	all_give((void *)8, -EBADF);
	all_give((void *)UINTPTR_MAX, -EBADF);
	free(heap);
}
END_TEST

START_TEST(pointers_into_the_arena)
{
	struct brood_queue *queue = new_queue(100, 1000);
	char *memory = brood_alloc(NULL, 1 << 20), *inside = (char *)queue;
	const size_t steps[] = { 1, 8, 32, 63, 64, 128, 4096, 65536 };

	ck_assert_ptr_nonnull(memory);
	all_give(memory, -EBADF);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		all_give(inside + steps[i], -EBADF);
		all_give(inside - steps[i], -EBADF);
		all_give(memory + steps[i], -EBADF);
	}
	all_give(memory + (1ll << 32), -EBADF);	/* reserved, but never used */
	memcpy(memory, queue, 65536);	/* the image of a queue is none */
	all_give(memory, -EBADF);
	ck_assert_int_eq(put_number(queue, 5, 0), 0);
	ck_assert_int_eq(get_number(queue, 0), 5);
}
END_TEST

START_TEST(a_destroyed_queue)
{
	struct brood_queue *queue = new_queue(100, 1000);

	ck_assert_int_eq(put_number(queue, 5, 0), 0);
	ck_assert_int_eq(brood_queue_destroy(queue), 0);
	all_give(queue, -ESTALE);
}
END_TEST

START_TEST(a_queue_of_a_closed_segment)
{
	struct brood_segment *segment = brood_segment_create(own_name("a"), NULL);
	struct brood_queue_opts opts = { .slots = 4, .max_bytes = 8, .segment = segment };
	struct brood_queue *queue;

	ck_assert_ptr_nonnull(segment);
	queue = brood_queue_create(&opts);
	ck_assert_ptr_nonnull(queue);
	ck_assert_int_eq(put_number(queue, 5, 0), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	all_give(queue, -EBADF);
	ck_assert_ptr_null(brood_queue_create(&opts));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
}
END_TEST

START_TEST(null_where_bytes_should_be)
{
	struct brood_queue *queue = new_queue(4, 8);

	ck_assert_int_eq(brood_queue_put(queue, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	ck_assert_int_eq(brood_queue_get(queue, NULL, 8, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_reserve(queue, NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_lease(queue, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_commit(queue, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_abort(queue, NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_release(queue, NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_release_done(queue, NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_return(queue, NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_count(queue), 1);
}
END_TEST

/* ---- handles of others, and no handles at all ---- */

static struct brood_message leased(struct brood_queue *queue)
{
	struct brood_message message;

	ck_assert_int_eq(brood_queue_lease(queue, &message, 0), 0);
	return message;
}

struct held {
	struct brood_queue *queue;
	struct brood_message lease, reservation;
};

static void all_refuse(struct brood_queue *queue, struct brood_message message)
{
	must(brood_queue_release(queue, &message) == -EINVAL);
	must(brood_queue_release_done(queue, &message) == -EINVAL);
	must(brood_queue_return(queue, &message) == -EINVAL);
	must(brood_queue_commit(queue, &message, 0) == -EINVAL);
	must(brood_queue_abort(queue, &message) == -EINVAL);
}

static int use_handles_of_the_parent(void *arg)
{
	struct held *held = arg;
	struct brood_message own;

	all_refuse(held->queue, held->lease);
	all_refuse(held->queue, held->reservation);
	must(brood_queue_lease(held->queue, &own, 0) == 0);
	all_refuse(held->queue, held->lease);
	must(brood_queue_release(held->queue, &own) == 0);
	return 0;
}

START_TEST(a_forked_child_has_no_leases)
{
	struct held held = { .queue = new_queue(4, 100) };

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(put_number(held.queue, i, 0), 0);
	held.lease = leased(held.queue);
	ck_assert_int_eq(brood_queue_reserve(held.queue, &held.reservation), 0);
	ck_assert_int_eq(run(use_handles_of_the_parent, &held), 0);
	ck_assert_int_eq(brood_queue_count(held.queue), 1);
	ck_assert_int_eq(brood_queue_release(held.queue, &held.lease), 0);
	ck_assert_int_eq(brood_queue_commit(held.queue, &held.reservation, 0), 0);
	ck_assert_int_eq(get_number(held.queue, 0), 2);
	ck_assert_int_eq(brood_queue_get(held.queue, NULL, 0, 0), 0);
}
END_TEST

START_TEST(handles_that_are_none)
{
	struct brood_queue *queue = new_queue(4, 100), *other = new_queue(4, 100);
	struct brood_message message, wrong;

	ck_assert_int_eq(put_number(queue, 0, 0), 0);
	ck_assert_int_eq(put_number(other, 0, 0), 0);
	message = leased(queue);
	wrong = leased(other);
	all_refuse(queue, wrong);	/* perhaps the same number of buffer, but other bytes */
	all_refuse(queue, (struct brood_message){ 0 });
	for (uint32_t buffer = 0; buffer < 400; buffer++) {
		wrong = message;
		wrong.buffer = buffer;
		if (buffer != message.buffer)
			all_refuse(queue, wrong);
	}
	wrong.buffer = UINT32_MAX;
	all_refuse(queue, wrong);
	wrong = message;
	wrong.data = (char *)message.data + 1;
	all_refuse(queue, wrong);
	wrong.data = NULL;
	all_refuse(queue, wrong);
	ck_assert_int_eq(brood_queue_release(queue, &message), 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("errors", begin_test);

	tcase_add_test(tests, no_queue_at_all);
	tcase_add_test(tests, pointers_from_elsewhere);
	tcase_add_test(tests, pointers_into_the_arena);
	tcase_add_test(tests, a_destroyed_queue);
	tcase_add_test(tests, a_queue_of_a_closed_segment);
	tcase_add_test(tests, null_where_bytes_should_be);
	tcase_add_test(tests, a_forked_child_has_no_leases);
	tcase_add_test(tests, handles_that_are_none);
	return run_cases("queue errors", tests, NULL);
}
