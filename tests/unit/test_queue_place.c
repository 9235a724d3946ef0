/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place: reserve, commit, abort; lease, release, return. */
#include "support.h"

static struct brood_queue *queue_with(uint32_t slots, uint32_t extra)
{
	struct brood_queue_opts opts = { .slots = slots, .max_bytes = 100, .extra = extra };
	struct brood_queue *queue = brood_queue_create(&opts);

	ck_assert_ptr_nonnull(queue);
	return queue;
}

static struct brood_message reserved(struct brood_queue *queue, int64_t number)
{
	struct brood_message message = { .flags = 77 };

	ck_assert_int_eq(brood_queue_reserve(queue, &message), 0);
	ck_assert_ptr_nonnull(message.data);
	ck_assert_uint_eq(message.size, 100);
	memset(message.data, 0x55, message.size);
	memcpy(message.data, &number, sizeof(number));
	message.length = sizeof(number);
	return message;
}

static struct brood_message leased(struct brood_queue *queue, int64_t number, uint32_t flags)
{
	struct brood_message message;
	int64_t found;

	ck_assert_int_eq(brood_queue_lease(queue, &message, 0), 0);
	ck_assert_uint_eq(message.length, sizeof(found));
	ck_assert_uint_eq(message.flags, flags);
	memcpy(&found, message.data, sizeof(found));
	ck_assert_int_eq(found, number);
	return message;
}

static void gets(struct brood_queue *queue, int64_t number, uint32_t flags)
{
	int64_t found = -1;
	uint32_t seen = 77;

	ck_assert_int_eq(brood_queue_get_flags(queue, &found, sizeof(found), &seen, 0),
			 sizeof(found));
	ck_assert_int_eq(found, number);
	ck_assert_uint_eq(seen, flags);
}

static void put_all(struct brood_queue *queue, int64_t from, int64_t to)
{
	for (; from < to; from++)
		ck_assert_int_eq(put_number(queue, from, 0), 0);
}

/* ---- writing ---- */

START_TEST(a_reservation_takes_no_place)
{
	struct brood_queue *queue = queue_with(2, 0);
	struct brood_message message = reserved(queue, 2);

	ck_assert_int_eq(brood_queue_count(queue), 0);
	put_all(queue, 0, 2);
	ck_assert_int_eq(brood_queue_commit(queue, &message, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_commit(queue, &message, brood_ms(5)), -ETIMEDOUT);
	gets(queue, 0, 0);
	ck_assert_int_eq(brood_queue_commit(queue, &message, 0), 0);
	gets(queue, 1, 0);
	gets(queue, 2, 0);
}
END_TEST

START_TEST(order_is_that_of_the_commits)
{
	struct brood_queue *queue = queue_with(8, 0);
	struct brood_message messages[5];

	for (int64_t i = 0; i < 5; i++)
		messages[i] = reserved(queue, i);
	for (int64_t i = 4; i >= 0; i -= 2)
		ck_assert_int_eq(brood_queue_commit(queue, &messages[i], 0), 0);
	put_all(queue, 9, 10);
	ck_assert_int_eq(brood_queue_abort(queue, &messages[1]), 0);
	ck_assert_int_eq(brood_queue_commit(queue, &messages[3], 0), 0);
	for (int i = 0; i < 5; i++)
		gets(queue, (int64_t[]){ 4, 2, 0, 9, 3 }[i], 0);
	ck_assert_int_eq(brood_queue_count(queue), 0);
}
END_TEST

START_TEST(a_reservation_survives_errors)
{
	struct brood_queue *queue = queue_with(2, 0);
	struct brood_message message = reserved(queue, 6);

	message.length = 101;
	ck_assert_int_eq(brood_queue_commit(queue, &message, 0), -EMSGSIZE);
	message.length = SIZE_MAX;
	ck_assert_int_eq(brood_queue_commit(queue, &message, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_count(queue), 0);
	message.length = sizeof(int64_t);
	ck_assert_int_eq(brood_queue_commit(queue, &message, 0), 0);
	gets(queue, 6, 0);
	message = reserved(queue, 7);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(brood_queue_commit(queue, &message, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_abort(queue, &message), 0);
}
END_TEST

START_TEST(what_was_committed_or_aborted_is_spent)
{
	struct brood_queue *queue = queue_with(4, 0);
	struct brood_message message = reserved(queue, 6), copy = message;

	ck_assert_int_eq(brood_queue_commit(queue, &message, 0), 0);
	ck_assert_int_eq(brood_queue_commit(queue, &message, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_commit(queue, &copy, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_abort(queue, &message), -EINVAL);
	ck_assert_int_eq(brood_queue_abort(queue, &copy), -EINVAL);
	gets(queue, 6, 0);
	ck_assert_int_eq(brood_queue_commit(queue, &copy, 0), -EINVAL);
	message = copy = reserved(queue, 7);
	ck_assert_int_eq(brood_queue_release(queue, &message), -EINVAL);
	ck_assert_int_eq(brood_queue_return(queue, &message), -EINVAL);
	ck_assert_int_eq(brood_queue_abort(queue, &message), 0);
	ck_assert_int_eq(brood_queue_abort(queue, &message), -EINVAL);
	ck_assert_int_eq(brood_queue_abort(queue, &copy), -EINVAL);
	ck_assert_int_eq(brood_queue_commit(queue, &copy, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_count(queue), 0);
}
END_TEST

START_TEST(buffers_are_aligned)
{
	static const size_t sizes[] = { 1, 2, 3, 5, 8, 9, 31, 33, 63, 64, 65, 100, 5000 };
	struct brood_queue *queue = new_queue(5, sizes[_i]);
	size_t alignment = 64;

	while (alignment / 2 >= sizes[_i])
		alignment /= 2;
	for (int i = 0; i < 20; i++) {
		struct brood_message message;

		ck_assert_int_eq(brood_queue_reserve(queue, &message), 0);
		ck_assert_uint_eq((uintptr_t)message.data % alignment, 0);
	}
}
END_TEST

/* ---- reading ---- */

START_TEST(leases_hold_up_nobody)
{
	struct brood_queue *queue = queue_with(4, 64);
	struct brood_message messages[60];

	for (int64_t i = 0; i < 60; i++) {
		put_all(queue, i, i + 1);
		messages[i] = leased(queue, i, 0);
		memset(messages[i].data, 0xaa, messages[i].size);	/* it is the caller's */
	}
	for (int64_t i = 0; i < 1000; i++) {
		put_all(queue, i, i + 4);
		ck_assert_int_eq(put_number(queue, 0, 0), -EAGAIN);
		for (int64_t k = i; k < i + 4; k++)
			gets(queue, k, 0);
		ck_assert_int_eq(get_number(queue, 0), -EAGAIN);
	}
	for (int i = 0; i < 60; i++)
		ck_assert_int_eq(brood_queue_release(queue, &messages[(i * 7) % 60]), 0);
	ck_assert_int_eq(brood_queue_count(queue), 0);
}
END_TEST

START_TEST(what_was_released_is_spent)
{
	struct brood_queue *queue = queue_with(4, 0);
	struct brood_message message, copy;

	put_all(queue, 0, 3);
	message = copy = leased(queue, 0, 0);
	ck_assert_int_eq(brood_queue_commit(queue, &message, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_abort(queue, &message), -EINVAL);
	ck_assert_int_eq(brood_queue_release_done(queue, &message), -ENOTSUP);
	ck_assert_int_eq(brood_queue_release(queue, &message), 0);
	ck_assert_int_eq(brood_queue_release(queue, &message), -EINVAL);
	ck_assert_int_eq(brood_queue_release(queue, &copy), -EINVAL);
	ck_assert_int_eq(brood_queue_return(queue, &copy), -EINVAL);
	message = copy = leased(queue, 1, 0);
	ck_assert_int_eq(brood_queue_return(queue, &message), 0);
	ck_assert_int_eq(brood_queue_return(queue, &message), -EINVAL);
	ck_assert_int_eq(brood_queue_return(queue, &copy), -EINVAL);
	ck_assert_int_eq(brood_queue_release(queue, &copy), -EINVAL);
	ck_assert_int_eq(brood_queue_count(queue), 2);
	gets(queue, 1, BROOD_REDELIVERED);
	gets(queue, 2, 0);
}
END_TEST

START_TEST(what_was_returned_comes_first_in_order)
{
	struct brood_queue *queue = queue_with(8, 0);
	struct brood_message messages[4];
	char room[100];
	struct brood_message got = { .data = room, .size = sizeof(room) };

	put_all(queue, 0, 6);
	for (int64_t i = 0; i < 4; i++)
		messages[i] = leased(queue, i, 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(brood_queue_return(queue, &messages[(i * 3 + 1) % 4]), 0);
	ck_assert_int_eq(brood_queue_count(queue), 6);
	ck_assert_int_eq(brood_queue_empty(queue), 0);
	messages[0] = leased(queue, 0, BROOD_REDELIVERED);
	ck_assert_int_eq(brood_queue_return(queue, &messages[0]), 0);
	messages[0] = leased(queue, 0, BROOD_REDELIVERED);
	ck_assert_int_eq(brood_queue_release(queue, &messages[0]), 0);
	gets(queue, 1, BROOD_REDELIVERED);
	ck_assert_int_eq(brood_queue_get_many(queue, &got, 1, 0), 1);
	ck_assert_uint_eq(got.flags, BROOD_REDELIVERED);
	gets(queue, 3, BROOD_REDELIVERED);
	gets(queue, 4, 0);
	gets(queue, 5, 0);
	for (int64_t i = 0; i < 100; i++) {	/* no flag sticks to a buffer */
		put_all(queue, i, i + 8);
		for (int64_t k = i; k < i + 8; k++)
			gets(queue, k, 0);
	}
}
END_TEST

START_TEST(too_long_when_redelivered)
{
	struct brood_queue *queue = queue_with(4, 0);
	struct brood_message message;
	char room[8];

	put_all(queue, 0, 2);
	message = leased(queue, 0, 0);
	ck_assert_int_eq(brood_queue_return(queue, &message), 0);
	ck_assert_int_eq(brood_queue_get(queue, room, 7, BROOD_FOREVER), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_count(queue), 2);
	gets(queue, 0, BROOD_REDELIVERED);
	gets(queue, 1, 0);
}
END_TEST

START_TEST(leases_of_a_closed_queue)
{
	struct brood_queue *queue = queue_with(4, 0);
	struct brood_message kept, given_back;

	put_all(queue, 0, 2);
	kept = leased(queue, 0, 0);
	given_back = leased(queue, 1, 0);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(get_number(queue, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_return(queue, &given_back), 0);
	gets(queue, 1, BROOD_REDELIVERED);
	ck_assert_int_eq(get_number(queue, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_release(queue, &kept), 0);
	ck_assert_int_eq(brood_queue_lease(queue, &kept, BROOD_FOREVER), -EPIPE);
}
END_TEST

/* ---- all buffers held ---- */

static int put_and_get(void *queue)
{
	for (int64_t i = 0; i < 100; i++) {
		must(put_number(queue, i, 0) == 0);
		must(get_number(queue, 0) == i);
	}
	return 0;
}

/* "Both may be held as long as one likes and hold up nobody": also when no more can be had. */
START_TEST(all_buffers_held)
{
	struct brood_queue *queue = queue_with(4, 10);
	struct brood_message messages[1000];
	int n = 0;

	while (n < 1000 && brood_queue_reserve(queue, &messages[n]) == 0)
		n++;
	ck_assert_int_lt(n, 1000);
	ck_assert_int_ge(n, 10);
	ck_assert_int_eq(brood_queue_reserve(queue, &messages[n]), -ENOBUFS);
	ck_assert_int_eq(run(put_and_get, queue), 0);
	ck_assert_int_eq(brood_queue_abort(queue, &messages[0]), 0);
	ck_assert_int_eq(brood_queue_reserve(queue, &messages[0]), 0);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(brood_queue_abort(queue, &messages[i]), 0);
	ck_assert_int_eq(put_and_get(queue), 0);
	put_all(queue, 0, 4);
	for (int64_t i = 0; i < 4; i++)
		gets(queue, i, 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("in place", begin_test);

	tcase_add_test(tests, a_reservation_takes_no_place);
	tcase_add_test(tests, order_is_that_of_the_commits);
	tcase_add_test(tests, a_reservation_survives_errors);
	tcase_add_test(tests, what_was_committed_or_aborted_is_spent);
	tcase_add_loop_test(tests, buffers_are_aligned, 0, 13);
	tcase_add_test(tests, leases_hold_up_nobody);
	tcase_add_test(tests, what_was_released_is_spent);
	tcase_add_test(tests, what_was_returned_comes_first_in_order);
	tcase_add_test(tests, too_long_when_redelivered);
	tcase_add_test(tests, leases_of_a_closed_queue);
	tcase_add_test(tests, all_buffers_held);
	return run_cases("queue in place", tests, NULL);
}
