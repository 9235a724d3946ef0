/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pairs of calls of events: a set releases whoever waited before it, whatever comes behind it; a
 * clear takes nothing back.
 */
#include <brood/event.h>

#include "pair_tables.h"

ACT(set, brood_event_set(object))
ACT(clear, brood_event_clear(object))
ACT(wait_for_it, brood_event_wait(object, BROOD_FOREVER))

static ssize_t pulse(void *object)
{
	ssize_t result = set(object);

	return result ? result : clear(object);
}

static ssize_t clear_and_set(void *object)
{
	ssize_t result = clear(object);

	return result ? result : set(object);
}

static uint64_t word_at_kill(const struct play *play)
{
	return ((const struct brood_event *)(const void *)play->was)->word;
}

static uint32_t bits_of_waiters(const struct brood_event *event)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < 8; i++)
		bits |= event->waiters[i];
	return bits;
}

static bool is_set(struct play *play)
{
	return brood_event_is_set(play->object) == 1 || play_fail(play, "it is clear");
}

static bool is_clear(struct play *play)
{
	return brood_event_is_set(play->object) == 0 || play_fail(play, "it is set");
}

/* Who waited before the set, for his bit is there, is released by it, whatever comes behind. */
static bool released(struct play *play)
{
	const struct brood_event *before =
		(const void *)(play->swapped ? play->was : play->was_first);

	return !(play->stuck[0] && before->word == 0 && bits_of_waiters(before)) ||
	       play_fail(play, "it waited before the set, and sleeps");
}

/*
 * Whoever has set it leaves no waiter's bit, though another one who is about to wake them stands
 * still.
 */
static bool released_by_each(struct play *play)
{
	if ((play->returned[0] || play->returned[1]) && bits_of_waiters((const void *)play->was))
		return play_fail(play, "a set returned, and %u wait", play->sleepers_asleep);
	return is_set(play);
}

/* All sleep, or none: the first had set it when it died, or had not. */
static bool released_if_set(struct play *play)
{
	return (play_stuck(play) != 0) == !(word_at_kill(play) & 1) ||
	       play_fail(play, "%u sleep, the word was %lx", play_stuck(play),
			 (unsigned long)word_at_kill(play));
}

/* One who clears and then looks for work, one who makes work and then sets. */
static ssize_t produce(void *object)
{
	atomic_store_explicit(&stage->n[0], 1, memory_order_relaxed);
	return set(object);
}

static ssize_t consume(void *object)
{
	ssize_t result = clear(object);

	return result ? result : atomic_load(&stage->n[0]) ? 1 : 0;
}

static bool has_work(struct play *play)
{
	return play->result[1] == 1 || is_set(play);
}

/*
 * So many sets and clears that a word which came back would be taken for the one that was found.
 * The first counts the sets that it has begun.
 */
static ssize_t pulse_twice(void *object)
{
	for (unsigned i = 0; i < 2; i++) {
		ssize_t result;

		atomic_fetch_add(&stage->n[0], 1);
		result = pulse(object);
		if (result)
			return result;
	}
	return 0;
}

static ssize_t pulse_twice_and_wait(void *object)
{
	for (unsigned i = 0; i < 2; i++) {
		ssize_t result = pulse(object);

		if (result)
			return result;
	}
	return wait_for_it(object);
}

static bool released_by_the_next(struct play *play)
{
	return !(play->stuck[1] && play->slept[1] && play->n[0] < 2) ||
	       play_fail(play, "it slept before the last set, and sleeps");
}

const struct pair event_pairs[] = {
	{ "event wait, set", .call = { wait_for_it, set }, BOTH_0, .check = is_set },
	{ "event wait, set and clear", .call = { wait_for_it, pulse }, BOTH_0, .rescue = set,
	  .check = released },
	{ "event wait, clear", set, .call = { wait_for_it, clear }, BOTH_0, .rescue = set },
	{ "event wait, clear and set", set, .call = { wait_for_it, clear_and_set }, BOTH_0,
	  .check = is_set },
	{ "event set, set, two sleep", .call = BOTH(set), .sleepers = 2, .sleep = wait_for_it,
	  BOTH_0, .check = released_by_each },
	{ "event set, clear, two sleep", .call = { set, clear }, .sleepers = 2,
	  .sleep = wait_for_it, BOTH_0 },
	{ "event set and clear, same, two sleep", .call = BOTH(pulse), .sleepers = 2,
	  .sleep = wait_for_it, BOTH_0, .check = is_clear },
	{ "event set and clear twice, and wait", .call = { pulse_twice, pulse_twice_and_wait },
	  BOTH_0, .rescue = set, .check = released_by_the_next },
	{ "event clear, clear", set, .call = BOTH(clear), BOTH_0, .check = is_clear },
	{ "event set, clear, set before", set, .call = { produce, consume }, SECOND_MAY(1),
	  .check = has_work },

	{ "event set dies, wait, two sleep", .call = { set, wait_for_it }, .sleepers = 2,
	  .sleep = wait_for_it, .dies = { true }, .rescue = set, BOTH_0,
	  .check = released_if_set },
	{ "event wait dies, set, two sleep", .call = { wait_for_it, set }, .sleepers = 2,
	  .sleep = wait_for_it, .dies = { true }, BOTH_0, .check = is_set },
	{ .name = NULL },
};
