/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls from signal handlers. */
#include <sys/time.h>

#include "queue_calls.h"

static struct brood_queue *interrupted, *in_handler;
static volatile sig_atomic_t handled, unexpected;

static void call_everything(int signal)
{
	(void)signal;
	unexpected = others_than(in_handler, -EDEADLK);
	handled++;
}

static int get_with_signals(void *unused)
{
	(void)unused;
	signal(SIGUSR1, call_everything);
	must(get_number(interrupted, BROOD_FOREVER) == 1);
	must(handled == 1 && unexpected == 0);
	must(get_number(interrupted, BROOD_FOREVER) == 2);
	return 0;
}

static void get_in_a_child_that_is_interrupted(void)
{
	pid_t child = start(get_with_signals, NULL);

	ck_assert(until_asleep(child));
	ck_assert_int_eq(kill(child, SIGUSR1), 0);
	usleep(1000);
	ck_assert(until_asleep(child));
	ck_assert_int_eq(brood_queue_count(in_handler), in_handler == interrupted ? 0 : 3);
	ck_assert_int_eq(put_number(interrupted, 1, 0), 0);
	ck_assert_int_eq(put_number(interrupted, 2, 0), 0);
	ck_assert_int_eq(end_of(child), 0);
}

START_TEST(a_handler_may_not_use_the_queue)
{
	in_handler = interrupted = new_queue(4, 8);
	get_in_a_child_that_is_interrupted();
}
END_TEST

START_TEST(a_handler_may_not_use_another_queue)
{
	interrupted = new_queue(4, 8);
	in_handler = new_queue(4, 8);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(put_number(in_handler, i, 0), 0);
	get_in_a_child_that_is_interrupted();
}
END_TEST

/* Another segment knows nothing of the call that was interrupted. */
static void use_another_segment(int signal)
{
	(void)signal;
	unexpected = put_number(in_handler, 4, 0) != 0 || get_number(in_handler, 0) != 3;
	handled++;
}

static int get_with_calls_elsewhere(void *unused)
{
	(void)unused;
	signal(SIGUSR1, use_another_segment);
	must(get_number(interrupted, BROOD_FOREVER) == 1);
	must(handled == 1 && unexpected == 0);
	return 0;
}

START_TEST(a_handler_may_use_another_segment)
{
	struct brood_segment *segment = brood_segment_create(own_name("a"), NULL);
	struct brood_queue_opts opts = { .slots = 4, .max_bytes = 8, .segment = segment };
	pid_t child;

	ck_assert_ptr_nonnull(segment);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
	interrupted = new_queue(4, 8);
	in_handler = brood_queue_create(&opts);
	ck_assert_int_eq(put_number(in_handler, 3, 0), 0);
	child = start(get_with_calls_elsewhere, NULL);
	ck_assert(until_asleep(child));
	ck_assert_int_eq(kill(child, SIGUSR1), 0);
	ck_assert_int_eq(put_number(interrupted, 1, 0), 0);
	ck_assert_int_eq(end_of(child), 0);
	ck_assert_int_eq(get_number(in_handler, 0), 4);
	ck_assert_int_eq(brood_segment_close(segment), 0);
}
END_TEST

static volatile sig_atomic_t refused, accepted;

static void put_or_not(int signal)
{
	int result = put_number(in_handler, -1, 0);

	(void)signal;
	if (result == 0)
		accepted++;
	else if (result == -EDEADLK)
		refused++;
	else
		unexpected++;
}

/* At any instruction of put and get: either all is well or -EDEADLK. */
START_TEST(handlers_at_any_moment)
{
	struct itimerval often = { { 0, 50 }, { 0, 50 } }, never = { { 0, 0 }, { 0, 0 } };
	int64_t in = 0, out = 0, got, from_handlers = 0;

	in_handler = new_queue(64, 8);
	signal(SIGALRM, put_or_not);
	setitimer(ITIMER_REAL, &often, NULL);
	while (refused < 200 || accepted < 200) {
		if (put_number(in_handler, in, 0) == 0)
			in++;
		while ((got = get_number(in_handler, 0)) != -EAGAIN) {
			ck_assert(got == -1 || got == out);
			out += got != -1;
			from_handlers += got == -1;
		}
	}
	setitimer(ITIMER_REAL, &never, NULL);
	while ((got = get_number(in_handler, 0)) != -EAGAIN) {
		out += got != -1;
		from_handlers += got == -1;
	}
	ck_assert_int_eq(out, in);
	ck_assert_int_eq(from_handlers, accepted);
	ck_assert_int_eq(unexpected, 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("signals", begin_test);

	tcase_add_test(tests, a_handler_may_not_use_the_queue);
	tcase_add_test(tests, a_handler_may_not_use_another_queue);
	tcase_add_test(tests, a_handler_may_use_another_segment);
	tcase_add_test(tests, handlers_at_any_moment);
	return run_cases("queue signals", tests, NULL);
}
