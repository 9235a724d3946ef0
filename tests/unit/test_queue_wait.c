/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every call of a queue that can wait, with every kind of timeout; and what ends a wait early. */
#include "support.h"

/* ---- the calls: on an empty queue, or on a full one with a task that is not done ---- */

static ssize_t get(struct brood_queue *queue, int64_t timeout)
{
	char byte;

	return brood_queue_get(queue, &byte, 1, timeout);
}

static ssize_t get_flags(struct brood_queue *queue, int64_t timeout)
{
	uint32_t flags;
	char byte;

	return brood_queue_get_flags(queue, &byte, 1, &flags, timeout);
}

static ssize_t get_many(struct brood_queue *queue, int64_t timeout)
{
	char bytes[2];
	struct brood_message messages[] = {
		{ .data = &bytes[0], .size = 1 },
		{ .data = &bytes[1], .size = 1 },
	};

	return brood_queue_get_many(queue, messages, 2, timeout);
}

static ssize_t lease(struct brood_queue *queue, int64_t timeout)
{
	struct brood_message message;
	int result = brood_queue_lease(queue, &message, timeout);

	return result ? result : brood_queue_release(queue, &message);
}

static ssize_t put(struct brood_queue *queue, int64_t timeout)
{
	return brood_queue_put(queue, "x", 1, timeout);
}

static ssize_t put_many(struct brood_queue *queue, int64_t timeout)
{
	struct brood_message message = { .data = (char[]){ 'x' }, .length = 1 };

	return brood_queue_put_many(queue, &message, 1, timeout);
}

static ssize_t commit(struct brood_queue *queue, int64_t timeout)
{
	struct brood_message message;
	int result = brood_queue_reserve(queue, &message);

	if (result)
		return result;
	message.length = 1;
	result = brood_queue_commit(queue, &message, timeout);
	/* On an error the reservation stands. */
	if (result && brood_queue_abort(queue, &message) != (result == -ESTALE ? -ESTALE : 0))
		return -EILSEQ;
	return result;
}

static ssize_t join(struct brood_queue *queue, int64_t timeout)
{
	return brood_queue_join(queue, timeout);
}

static const struct {
	ssize_t (*call)(struct brood_queue *queue, int64_t timeout);
	bool on_full;
} calls[] = {
	{ get, false }, { get_flags, false }, { get_many, false }, { lease, false },
	{ put, true }, { put_many, true }, { commit, true }, { join, true },
};

enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

/* A queue on which the call has to wait. */
static struct brood_queue *queue_for(int call)
{
	struct brood_queue_opts opts = { .slots = 1, .max_bytes = 1,
					 .joinable = calls[call].call == join };
	struct brood_queue *queue = brood_queue_create(&opts);

	ck_assert_ptr_nonnull(queue);
	if (calls[call].on_full)
		ck_assert_int_eq(brood_queue_put(queue, "x", 1, 0), 0);
	return queue;
}

/* What the call waits for. */
static void satisfy(struct brood_queue *queue, int call)
{
	if (calls[call].on_full) {
		ck_assert_int_eq(get(queue, 0), 1);
		if (calls[call].call == join)
			ck_assert_int_eq(brood_queue_task_done(queue), 0);
	} else {
		ck_assert_int_eq(brood_queue_put(queue, "x", 1, 0), 0);
	}
}

/* ---- timeouts ---- */

START_TEST(zero_does_not_wait)
{
	const int64_t zeros[] = { 0, brood_ms(0), brood_us(0), brood_ms(-5), brood_us(-1),
				  brood_ms(INT64_MIN), brood_us(INT64_MIN) };
	struct brood_queue *queue = queue_for(_i);

	for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++)
		ck_assert_int_eq(calls[_i].call(queue, zeros[i]), -EAGAIN);
}
END_TEST

START_TEST(negative_is_the_same_as_zero)
{
	struct brood_queue *queue = queue_for(_i);

	ck_assert_int_eq(calls[_i].call(queue, -1), -EAGAIN);
	ck_assert_int_eq(calls[_i].call(queue, -1000 * MS), -EAGAIN);
}
END_TEST

START_TEST(times_of_the_past_are_over)
{
	const int64_t past[] = { brood_until(0), brood_until(-7), brood_until(1),
				 brood_until(brood_now() - 1) };
	struct brood_queue *queue = queue_for(_i);

	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++)
		ck_assert_int_eq(calls[_i].call(queue, past[i]), -ETIMEDOUT);
}
END_TEST

START_TEST(relative_time_is_kept)
{
	struct brood_queue *queue = queue_for(_i);
	const int64_t timeouts[] = { brood_ms(30), brood_us(30000) };

	for (int i = 0; i < 2; i++) {
		int64_t began = brood_now(), took;

		ck_assert_int_eq(calls[_i].call(queue, timeouts[i]), -ETIMEDOUT);
		took = brood_now() - began;
		ck_assert_int_ge(took, 30 * MS);
		ck_assert_int_le(took, 1000 * MS);
	}
}
END_TEST

START_TEST(one_time_for_several_calls)
{
	struct brood_queue *queue = queue_for(_i);
	int64_t end = brood_now() + 30 * MS;

	ck_assert_int_eq(calls[_i].call(queue, brood_until(end)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now(), end);
	ck_assert_int_eq(calls[_i].call(queue, brood_until(end)), -ETIMEDOUT);
	ck_assert_int_le(brood_now(), end + 1000 * MS);
}
END_TEST

struct waiting {
	struct brood_queue *queue;
	int call;
	int64_t timeout;
	ssize_t expected;	/* an error, or 0 for success */
	int64_t *ended;		/* when; may be NULL */
};

static int wait_in_child(void *arg)
{
	const struct waiting *waiting = arg;
	ssize_t result = calls[waiting->call].call(waiting->queue, waiting->timeout);

	if (waiting->ended)
		*waiting->ended = brood_now();
	must(waiting->expected ? result == waiting->expected : result >= 0);
	return 0;
}

/* Long and for ever: they wait until they get it. Each call, each timeout. */
START_TEST(long_times_wait)
{
	const int64_t timeouts[] = { BROOD_FOREVER, brood_ms(60000), brood_ms(INT64_MAX),
				     brood_us(INT64_MAX), INT64_MAX - 1,
				     brood_until(brood_now() + 60000 * MS),
				     brood_until(INT64_MAX) };
	struct waiting waiting = { .call = _i % CALLS, .timeout = timeouts[_i / CALLS] };
	pid_t child;

	waiting.queue = queue_for(waiting.call);
	child = start(wait_in_child, &waiting);
	ck_assert(until_asleep(child));
	satisfy(waiting.queue, waiting.call);
	ck_assert_int_eq(end_of(child), 0);
}
END_TEST

/* ---- ends of a wait ---- */

static void end_all(struct brood_queue *queue, int call, int (*end)(struct brood_queue *),
		    ssize_t expected)
{
	int64_t *ended = shared(3 * sizeof(*ended)), first = INT64_MAX, began;
	pid_t children[3];

	for (int i = 0; i < 3; i++) {
		struct waiting waiting = { queue, call, BROOD_FOREVER, expected, &ended[i] };

		children[i] = start(wait_in_child, &waiting);
	}
	for (int i = 0; i < 3; i++)
		ck_assert(until_asleep(children[i]));
	began = brood_now();
	ck_assert_int_eq(end(queue), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(end_of(children[i]), 0);
		first = ended[i] < first ? ended[i] : first;
	}
	/* They have just fallen asleep, and would look by themselves after 100 ms. */
	ck_assert_int_lt(first - began, 60 * MS);
}

START_TEST(close_ends_all_waits)
{
	struct brood_queue *queue = queue_for(_i);

	if (calls[_i].call == join)	/* what is in still has to be done */
		return;
	end_all(queue, _i, brood_queue_close, -EPIPE);
	ck_assert_int_eq(calls[_i].call(queue, BROOD_FOREVER), -EPIPE);
}
END_TEST

START_TEST(destroy_ends_all_waits)
{
	struct brood_queue *queue = queue_for(_i);

	end_all(queue, _i, brood_queue_destroy, -ESTALE);
	ck_assert_int_eq(calls[_i].call(queue, BROOD_FOREVER), -ESTALE);
}
END_TEST

/* One message wakes one, and several wake as many. */
START_TEST(each_message_wakes_a_reader)
{
	enum { READERS = 8 };
	struct waiting waiting = { queue_for(0), 0, BROOD_FOREVER, 0, NULL };
	pid_t children[READERS];

	for (int i = 0; i < READERS; i++)
		children[i] = start(wait_in_child, &waiting);
	for (int i = 0; i < READERS; i++)
		ck_assert(until_asleep(children[i]));
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(brood_queue_put(waiting.queue, "x", 1, BROOD_FOREVER), 0);
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(end_of(children[i]), 0);
	ck_assert_int_eq(brood_queue_count(waiting.queue), 0);
}
END_TEST

/* A sleeper is killed; what would have woken it wakes another. */
START_TEST(others_are_woken_when_a_sleeper_was_killed)
{
	struct waiting waiting = { queue_for(_i), _i, BROOD_FOREVER, 0, NULL };
	pid_t first = start(wait_in_child, &waiting), second;

	ck_assert(until_asleep(first));
	second = start(wait_in_child, &waiting);
	ck_assert(until_asleep(second));
	kill_child(first);
	satisfy(waiting.queue, _i);
	ck_assert_int_eq(end_of(second), 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("queue waits", begin_test);

	tcase_add_loop_test(tests, zero_does_not_wait, 0, CALLS);
	tcase_add_loop_test(tests, negative_is_the_same_as_zero, 0, CALLS);
	tcase_add_loop_test(tests, times_of_the_past_are_over, 0, CALLS);
	tcase_add_loop_test(tests, relative_time_is_kept, 0, CALLS);
	tcase_add_loop_test(tests, one_time_for_several_calls, 0, CALLS);
	tcase_add_loop_test(tests, long_times_wait, 0, CALLS * 7);
	tcase_add_loop_test(tests, close_ends_all_waits, 0, CALLS);
	tcase_add_loop_test(tests, destroy_ends_all_waits, 0, CALLS);
	tcase_add_test(tests, each_message_wakes_a_reader);
	tcase_add_loop_test(tests, others_are_woken_when_a_sleeper_was_killed, 0, CALLS);
	return run_cases("queue waits", tests, NULL);
}
