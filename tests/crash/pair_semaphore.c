/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pairs of calls of semaphores: units are neither lost nor made, and nobody sleeps beside one.
 */
#include <errno.h>
#include <string.h>

#include <brood/semaphore.h>

#include "pair_tables.h"

ACT(try, brood_semaphore_acquire(object, 0))
ACT(late, brood_semaphore_acquire(object, brood_us(1)))
ACT(wait_for_one, brood_semaphore_acquire(object, BROOD_FOREVER))
ACT(release, brood_semaphore_release(object))
ACT(make_one, brood_semaphore_init(object, 1, NULL))

static ssize_t nothing(void *object)
{
	(void)object;
	return 0;
}

static ssize_t cycle(void *object)
{
	ssize_t result = wait_for_one(object);

	return result ? result : alone(release, object);
}

/* The next wait may begin while the release that ended this one is not over. */
static ssize_t wait_twice(void *object)
{
	ssize_t result = wait_for_one(object);

	return result ? result : wait_for_one(object);
}

static ssize_t release_twice(void *object)
{
	ssize_t result = release(object);

	return result ? result : release(object);
}

/* Of one who may die inside. */
static ssize_t borrow(void *object)
{
	ssize_t result = wait_for_one(object);

	return result ? result : release(object);
}

static ssize_t late_cycle(void *object)
{
	ssize_t result = late(object);

	return result ? result : release(object);
}

/* Passed over, who waited for it sleeps on. */
static ssize_t release_and_try(void *object)
{
	ssize_t result = release(object);

	return result ? result : try(object);
}

static ssize_t make_turn(void *object)
{
	((struct brood_semaphore *)object)->waiters[8] = FIRST_ID - 1;
	return 0;
}

/* A bound of two, one of which is there. */
static ssize_t make_bounded(void *object)
{
	const struct brood_semaphore_opts opts = { .bounded = true };
	int result = brood_semaphore_init(object, 2, &opts);

	return result ? result : try(object);
}

/* Robust ones are only made by themselves: see sync_semaphore.c. */
static ssize_t make_robust(void *object)
{
	const struct brood_semaphore_opts opts = { .robust = true };
	struct brood_semaphore *made = brood_semaphore_create(1, &opts);

	if (!made)
		return -errno;
	memcpy(object, made, sizeof *made + sizeof(uint64_t));
	return brood_semaphore_destroy(made);
}

static bool holds(struct play *play, int units)
{
	int value = brood_semaphore_value(play->object);

	return value == units || play_fail(play, "%d units, not %d", value, units);
}

static bool holds_0(struct play *play)
{
	return holds(play, 0);
}

static bool holds_1(struct play *play)
{
	return holds(play, 1);
}

static bool holds_2(struct play *play)
{
	return holds(play, 2);
}

/* Released once, and once more for who sleeps. */
static bool one_got_it(struct play *play)
{
	return holds(play, 0) && (play->stuck[0] == (play->result[1] == 0) ||
				  play_fail(play, "both got it, or none"));
}

/* Released once; the other one was in time or not. */
static bool holds_1_if_late(struct play *play)
{
	return holds(play, play->result[0] == 0 ? 0 : 1);
}

/*
 * In the rows in which one dies, there may be no unit for the others, which then sleep until the
 * rescue releases one. Had they slept beside one, there were one too many in the end.
 */
const struct pair semaphore_pairs[] = {
	{ "semaphore acquire, acquire", make_one, .call = BOTH(try), EITHER(-EAGAIN),
	  .check = holds_0 },
	{ "semaphore cycle, cycle", make_one, .call = BOTH(cycle), BOTH_0, .check = holds_1 },
	{ "semaphore acquire, release", .call = { wait_for_one, release }, BOTH_0,
	  .check = holds_0 },
	{ "semaphore acquire, release, each twice", .call = { wait_twice, release_twice },
	  BOTH_0, .check = holds_0 },
	{ "semaphore acquire, release and try", .call = { wait_for_one, release_and_try },
	  .rescue = release, SECOND_MAY(-EAGAIN), .check = one_got_it },
	{ "semaphore release, release", .call = BOTH(release), BOTH_0, .check = holds_2 },
	{ "semaphore release twice, two sleep", .call = BOTH(release), .sleepers = 2,
	  .sleep = wait_for_one, BOTH_0, .check = holds_0 },
	{ "semaphore late, release", .call = { late, release }, FIRST_MAY(-ETIMEDOUT),
	  .check = holds_1_if_late },
	{ "semaphore late, release, one sleeps", make_turn, .call = { late_cycle, release },
	  .sleepers = 1, .sleep = cycle, FIRST_MAY(-ETIMEDOUT), .check = holds_1 },
	{ "bounded release, release", make_bounded, .call = BOTH(release), EITHER(-EOVERFLOW),
	  .check = holds_2 },
	{ "robust acquire, acquire", make_robust, .call = BOTH(try), EITHER(-EAGAIN),
	  .check = holds_0 },
	{ "robust cycle, cycle", make_robust, .call = BOTH(cycle), BOTH_0, .check = holds_1 },
	{ "robust acquire, acquire, holder died", make_robust, try, .call = BOTH(try),
	  EITHER(-EAGAIN), .check = holds_0 },
	{ "robust cycle, cycle, holder died", make_robust, try, .call = BOTH(cycle), BOTH_0,
	  .check = holds_1 },

	{ "semaphore release dies, acquire, one", .call = { release, borrow }, .sleepers = 1,
	  .sleep = borrow, .dies = { true }, .rescue = release, BOTH_0, .check = holds_1 },
	{ "semaphore acquire dies, release, one", make_turn,
	  .call = { wait_for_one, release }, .sleepers = 1, .sleep = wait_for_one,
	  .dies = { true }, .rescue = release, BOTH_0, .check = holds_0 },
	{ "robust cycle dies, cycle", make_robust, .call = BOTH(borrow), .dies = { true },
	  BOTH_0, .check = holds_1 },
	{ "robust cycle dies, cycle, holder died", make_robust, try, .call = BOTH(borrow),
	  .dies = { true }, BOTH_0, .check = holds_1 },
	{ "robust release dies, acquire, one", make_robust, .ready = { try, NULL },
	  .call = { release, borrow }, .sleepers = 1, .sleep = borrow, .dies = { true }, BOTH_0,
	  .check = holds_1 },
	{ "sweeper dies, wait, one died", .dead = nothing, .call = BOTH(wait_for_one),
	  .dies = { true }, .rescue = release, BOTH_0, .check = holds_0 },
	{ .name = NULL },
};
