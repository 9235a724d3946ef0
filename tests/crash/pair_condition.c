/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pairs of calls of conditions: whoever waits gets what was put, once, and a notification goes to
 * somebody who waits, also when the one it was for is too late, or dies.
 */
#include <errno.h>

#include <brood/condition.h>

#include "pair_tables.h"

struct place {			/* what lies in the object's memory */
	struct brood_condition condition;
	struct brood_lock lock;
};

#define THINGS (&stage->n[0])
#define ANSWERS (&stage->n[1])

enum { RESCUE = 3 };		/* things: more than there are members who want one */

static ssize_t lock(void *object)
{
	return brood_lock_acquire(&((struct place *)object)->lock, BROOD_FOREVER);
}

static ssize_t unlock(void *object)
{
	return brood_lock_release(&((struct place *)object)->lock);
}

static ssize_t make_turn(void *object)
{
	((struct place *)object)->condition.next = FIRST_ID;
	return 0;
}

/*
 * Whoever takes has the lock already. Who is too late takes nothing, so that what was notified is
 * for another.
 */
static ssize_t take_until(struct place *place, int64_t timeout)
{
	ssize_t result = 0;

	while (result == 0 && atomic_load(THINGS) == 0)
		result = brood_condition_wait(&place->condition, &place->lock, timeout);
	if (result == 0)
		atomic_fetch_sub(THINGS, 1);
	return alone(unlock, place) ? -EPROTO : result;
}

ACT(take, take_until(object, BROOD_FOREVER))
ACT(take_late, take_until(object, brood_us(1)))

static ssize_t lock_and_take(void *object)
{
	ssize_t result = lock(object);

	return result ? result : take(object);
}

static ssize_t put(void *object)
{
	struct place *place = object;
	ssize_t result = lock(object);

	if (result)
		return result;
	atomic_fetch_add(THINGS, 1);
	result = brood_condition_notify(&place->condition, &place->lock, 1);
	return result ? result : alone(unlock, object);
}

static ssize_t put_two(void *object)
{
	struct place *place = object;
	ssize_t result = lock(object);

	if (result)
		return result;
	atomic_fetch_add(THINGS, 2);
	result = brood_condition_notify_all(&place->condition, &place->lock);
	return result ? result : alone(unlock, object);
}

/* One who asks and waits for the answer, one who waits for the question. */
static ssize_t ask(void *object)
{
	struct place *place = object;
	ssize_t result = lock(object);

	if (result)
		return result;
	atomic_fetch_add(THINGS, 1);
	result = brood_condition_notify_all(&place->condition, &place->lock);
	while (result == 0 && atomic_load(ANSWERS) == 0)
		result = brood_condition_wait(&place->condition, &place->lock, BROOD_FOREVER);
	return result ? result : alone(unlock, object);
}

static ssize_t reply(void *object)
{
	struct place *place = object;
	ssize_t result = lock(object);

	while (result == 0 && atomic_load(THINGS) == 0)
		result = brood_condition_wait(&place->condition, &place->lock, BROOD_FOREVER);
	if (result)
		return result;
	atomic_fetch_add(ANSWERS, 1);
	result = brood_condition_notify_all(&place->condition, &place->lock);
	return result ? result : alone(unlock, object);
}

/* ---- where one dies ---- */

/* What the dead owner was about to notify is not known. */
static ssize_t recover(struct place *place, ssize_t result)
{
	if (result != -EOWNERDEAD)
		return result;
	result = brood_lock_recovered(&place->lock);
	return result ? result : brood_condition_notify_all(&place->condition, &place->lock);
}

static ssize_t take_over(void *object)
{
	struct place *place = object;
	ssize_t result = 0;

	while (result == 0 && atomic_load(THINGS) == 0)
		result = recover(place, brood_condition_wait(&place->condition, &place->lock,
							     BROOD_FOREVER));
	if (result)
		return result;
	atomic_fetch_sub(THINGS, 1);
	return unlock(object);
}

static ssize_t lock_and_take_over(void *object)
{
	ssize_t result = recover(object, lock(object));

	return result ? result : take_over(object);
}

static ssize_t put_over(void *object)
{
	struct place *place = object;
	ssize_t result = recover(place, lock(object));

	if (result)
		return result;
	atomic_fetch_add(THINGS, 1);
	result = brood_condition_notify(&place->condition, &place->lock, 1);
	return result ? result : unlock(object);
}

static ssize_t put_rescue(void *object)
{
	struct place *place = object;
	ssize_t result = recover(place, brood_lock_acquire(&place->lock, 0));

	if (result)
		return result;
	atomic_fetch_add(THINGS, RESCUE);
	result = brood_condition_notify_all(&place->condition, &place->lock);
	return result ? result : unlock(object);
}

/* ---- rules ---- */

/* One thing, and one who sleeps: who is too late leaves it to him. */
static bool one_is_left(struct play *play)
{
	return play->sleepers_stuck == (play->result[0] == 0) ||
	       play_fail(play, "%u sleep, the other one got %zd", play->sleepers_stuck,
			 play->result[0]);
}

static bool both_slept(struct play *play)
{
	return play_stuck(play) == 2 || play_fail(play, "%u sleep", play_stuck(play));
}

/*
 * Of the first, who dies, and a survivor: one thing, if it was put at all, that one of the two got.
 * The survivor sleeps if there is none for him, and then gets one of the rescue's.
 */
static bool none_slept_beside_it(struct play *play)
{
	unsigned things = atomic_load(THINGS), left = play_stuck(play) ? RESCUE - 1 : 0;

	return things == left || play_fail(play, "%u things are left, %u slept", things,
					   play_stuck(play));
}

const struct pair condition_pairs[] = {
	{ "condition wait, notify", .ready = { lock, NULL }, .call = { take, put }, BOTH_0 },
	{ "condition wait, notify all", .ready = { lock, NULL }, .call = { take, put_two },
	  BOTH_0 },
	{ "condition notify, notify, two sleep", .call = BOTH(put), .sleepers = 2,
	  .sleep = lock_and_take, BOTH_0 },
	{ "condition wait, notify all, another", .call = { lock_and_take, put_two },
	  .sleepers = 1, .sleep = lock_and_take, BOTH_0 },
	{ "condition wait, wait, notify all", .call = BOTH(lock_and_take), BOTH_0,
	  .rescue = put_rescue, .check = both_slept },
	{ "condition ask, reply", .call = { ask, reply }, BOTH_0 },
	{ "condition late, notify", .ready = { lock, NULL }, .call = { take_late, put },
	  FIRST_MAY(-ETIMEDOUT) },
	{ "condition late, notify, one sleeps", make_turn, .ready = { lock, NULL },
	  .call = { take_late, put }, .sleepers = 1, .sleep = lock_and_take,
	  .rescue = put_rescue, FIRST_MAY(-ETIMEDOUT), .check = one_is_left },

	{ "condition wait dies, notify, one", make_turn, .ready = { lock, NULL },
	  .call = { take_over, put_over }, .sleepers = 1, .sleep = lock_and_take_over,
	  .dies = { true }, .rescue = put_rescue, BOTH_0, .check = none_slept_beside_it },
	{ "condition notify dies, wait", .call = { put_over, lock_and_take_over },
	  .dies = { true }, .rescue = put_rescue, BOTH_0, .check = none_slept_beside_it },
	{ .name = NULL },
};
