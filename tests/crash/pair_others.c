/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pairs of calls of rwlocks, barriers, once and counters.
 */
#include <errno.h>

#include <brood/barrier.h>
#include <brood/counter.h>
#include <brood/once.h>
#include <brood/rwlock.h>

#include "pair_tables.h"

/* ---- rwlocks ---- */

ACT(read_try, brood_rwlock_acquire_read(object, 0))
ACT(write_try, brood_rwlock_acquire_write(object, 0))
ACT(read_wait, brood_rwlock_acquire_read(object, BROOD_FOREVER))
ACT(write_wait, brood_rwlock_acquire_write(object, BROOD_FOREVER))
ACT(write_late, brood_rwlock_acquire_write(object, brood_us(1)))
ACT(rw_release, brood_rwlock_release(object))

enum { WRITER = 100 };

static ssize_t pass_rwlock(void *object, ssize_t result, uint32_t weight)
{
	uint32_t before;

	if (result)
		return result;
	before = atomic_fetch_add(&stage->inside, weight);
	if (before && (weight == WRITER || before >= WRITER))
		return -EPROTO;
	atomic_fetch_sub(&stage->inside, weight);
	return rw_release(object);
}

ACT(read_cycle, pass_rwlock(object, read_wait(object), 1))
ACT(write_cycle, pass_rwlock(object, write_wait(object), WRITER))
ACT(write_late_cycle, pass_rwlock(object, write_late(object), WRITER))

/* ---- barriers, once, counters ---- */

ACT(barrier_make, brood_barrier_init(object, 2))
ACT(barrier_wait, brood_barrier_wait(object, BROOD_FOREVER))
ACT(barrier_late, brood_barrier_wait(object, brood_us(1)))
ACT(barrier_abort, brood_barrier_abort(object))
ACT(barrier_reset, brood_barrier_reset(object))

/* For one who waits in the round that the reset began. */
static ssize_t barrier_join(void *object)
{
	int result = brood_barrier_wait(object, 0);

	return result < 0 ? result : 0;
}

static int run(void *argument)
{
	(void)argument;
	return (int)atomic_fetch_add(&stage->n[0], 1);
}

static int fail_first(void *argument)
{
	(void)argument;
	return atomic_fetch_add(&stage->n[0], 1) ? 0 : -EIO;
}

ACT(once_call, brood_once_call(object, run, NULL, BROOD_FOREVER))
ACT(once_fail, brood_once_call(object, fail_first, NULL, BROOD_FOREVER))

static bool ran(struct play *play, unsigned times)
{
	return atomic_load(&stage->n[0]) == times ||
	       play_fail(play, "it was run %u times", atomic_load(&stage->n[0]));
}

static bool ran_once(struct play *play)
{
	return ran(play, 1);
}

static bool ran_twice(struct play *play)
{
	return ran(play, 2);
}

ACT(counter_add, brood_counter_add(object, 1, NULL))
ACT(counter_max, brood_counter_max(object, 1, NULL))
ACT(counter_wait, brood_counter_wait_change(object, 0, NULL, BROOD_FOREVER))

static bool counter_is(struct play *play, int64_t want)
{
	int64_t value = -1;

	brood_counter_get(play->object, &value);
	return value == want || play_fail(play, "the value is %ld", (long)value);
}

static bool counter_is_2(struct play *play)
{
	return counter_is(play, 2);
}

static bool counter_is_1_or_2(struct play *play)
{
	int64_t value = -1;

	brood_counter_get(play->object, &value);
	return value == 1 || value == 2 || play_fail(play, "the value is %ld", (long)value);
}

const struct pair other_pairs[] = {
	{ "rwlock write, write", .call = BOTH(write_try), EITHER(-EAGAIN) },
	{ "rwlock read, read", .call = BOTH(read_try), BOTH_0 },
	{ "rwlock read, write", .call = { read_try, write_try },
	  .outcomes = { { { 0, -EAGAIN } }, { { -EAGAIN, 0 } }, { { -EAGAIN, -EAGAIN } } },
	  .n_outcomes = 3 },
	{ "rwlock cycle read, write", .call = { read_cycle, write_cycle }, BOTH_0 },
	{ "rwlock cycle write, write", .call = BOTH(write_cycle), BOTH_0 },
	{ "rwlock read, release writer", .ready = { NULL, write_try },
	  .call = { read_cycle, rw_release }, BOTH_0 },
	{ "rwlock write, release reader", .ready = { NULL, read_try },
	  .call = { write_cycle, rw_release }, BOTH_0 },
	{ "rwlock write late, release, one", .ready = { NULL, read_try },
	  .call = { write_late_cycle, rw_release }, .sleepers = 1, .sleep = write_cycle,
	  FIRST_MAY(-ETIMEDOUT) },

	{ "barrier wait, wait", barrier_make, .call = BOTH(barrier_wait), EITHER(1) },
	{ "barrier late, wait", barrier_make, .call = { barrier_late, barrier_wait },
	  .outcomes = { { { 0, 1 } }, { { 1, 0 } }, { { -ETIMEDOUT, -EPIPE } } },
	  .n_outcomes = 3 },
	{ "barrier wait, abort, one waits", barrier_make, .call = { barrier_wait, barrier_abort },
	  .outcomes = { { { -EPIPE, 0 } } }, .n_outcomes = 1 },
	{ "barrier wait, reset", barrier_make, .call = { barrier_wait, barrier_reset },
	  .outcomes = { { { -EPIPE, 0 } }, { { 0, 0 } } }, .n_outcomes = 2,
	  .rescue = barrier_join },

	{ "once, once", .call = BOTH(once_call), BOTH_0, .check = ran_once },
	{ "once failing, once", .call = BOTH(once_fail), EITHER(-EIO), .check = ran_twice },

	{ "counter add, add", .call = BOTH(counter_add), BOTH_0, .check = counter_is_2 },
	{ "counter add, max", .call = { counter_add, counter_max }, BOTH_0,
	  .check = counter_is_1_or_2 },
	{ "counter wait, add", .call = { counter_wait, counter_add }, BOTH_0 },
	{ .name = NULL },
};
