/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills in the calls of events.
 *
 * The word tells before the kill whether it is set. Was it set while they waited, all waiters are
 * released, though nobody came to waking them; was it not, none is.
 */
#include <errno.h>

#include <brood/event.h>

#include "sync_tables.h"

enum { CLEAR = 1, SET = 2, PULSED = 4 };	/* states; the last: set, and cleared since */

enum { COUNTED = 1 };		/* rules */

/* ---- what members do ---- */

static ssize_t set(void *object)
{
	return brood_event_set(object);
}

static ssize_t clear(void *object)
{
	return brood_event_clear(object);
}

static ssize_t is_set(void *object)
{
	return brood_event_is_set(object);
}

static ssize_t look(void *object)
{
	return scene_note(brood_event_wait(object, 0));
}

static ssize_t wait_late(void *object)
{
	return brood_event_wait(object, brood_us(1));
}

static ssize_t wait_for_it(void *object)
{
	return brood_event_wait(object, BROOD_FOREVER);
}

static ssize_t wait_and_note(void *object)
{
	return scene_note(wait_for_it(object));
}

static ssize_t pulse(void *object)
{
	ssize_t result = brood_event_set(object);

	return result ? result : brood_event_clear(object);
}

static ssize_t watch(void *object)
{
	return brood_event_watch(object, scene_counts(object));
}

static ssize_t unwatch(void *object)
{
	return brood_event_watch(object, NULL);
}

static ssize_t set_watched(void *object)
{
	ssize_t result = watch(object);

	return result ? result : set(object);
}

static ssize_t init(void *object)
{
	return brood_event_init(object);
}

static ssize_t nothing(void *object)
{
	(void)object;
	return 0;
}

/* ---- rules ---- */

static unsigned state_of(const struct scene *scene)
{
	const struct brood_event *event = (const void *)scene->was;

	return event->word & 1 ? SET : event->word ? PULSED : CLEAR;
}

/* Nobody was released before it was set. */
static bool none_is_early(struct scene *scene, unsigned state)
{
	for (unsigned i = 0; i < scene_sleepers(scene) && state == CLEAR; i++)
		if (scene->sleeper[i].done)
			return scene_fail(scene, "%s was released by nobody", crew_name[BOB + i]);
	return true;
}

static bool life(struct scene *scene, enum crew who)
{
	return scene_ask(scene, who, "clear", clear, 0) &&
	       scene_ask(scene, BOB, "look", look, -EAGAIN) &&
	       scene_ask(scene, BOB, "ask", is_set, 0) &&
	       scene_ask(scene, who, "set", set, 0) && scene_ask(scene, CID, "look", look, 0) &&
	       scene_ask(scene, CID, "ask", is_set, 1);
}

static bool check(struct scene *scene)
{
	unsigned state = state_of(scene);
	bool here_first = scene->job->come != AT_POINT;
	bool released = state == SET || (state == PULSED && here_first) || scene->job->grant;

	if (!scene_state_fits(scene, state) || !none_is_early(scene, state))
		return false;
	if (scene_sleepers(scene) && !released) {
		scene_mark(scene);
		if (!scene_ask(scene, ADA, "set", set, 0))
			return false;
		state = SET;
	}
	if (scene->job->grant)
		state = SET;
	return scene_collect_all(scene) &&
	       scene_ask(scene, scene->company->first, "ask", is_set, state == SET) &&
	       scene_ask(scene, BOB, "look", look, state == SET ? 0 : -EAGAIN) &&
	       life(scene, scene->company->first) && life(scene, DAN) &&
	       (!(scene->job->rules & COUNTED) || scene_counts_fit(scene));
}

/* ---- the table ---- */

#define SLEEPERS(when) .sleep = wait_and_note, .come = when, .check = check

const struct sync_case event_cases[] = {
	{ "event set, stranger", NULL, NULL, NULL, set, SLEEPERS(BEFORE_VICTIM),
	  .before = CLEAR, .after = SET },
	{ "event set", NULL, NULL, nothing, set, SLEEPERS(BEFORE_CALL),
	  .before = CLEAR, .after = SET },
	{ "event set, before they come", NULL, NULL, nothing, set, SLEEPERS(AT_POINT),
	  .before = CLEAR, .after = SET },
	{ "event set, set", set, NULL, nothing, set, SLEEPERS(AT_POINT),
	  .before = SET, .after = SET },
	{ "event clear", set, NULL, nothing, clear, SLEEPERS(AT_POINT),
	  .before = SET, .after = PULSED },
	{ "event clear, clear", NULL, NULL, nothing, clear, SLEEPERS(BEFORE_CALL),
	  .before = CLEAR, .after = CLEAR },
	{ "event set and clear", NULL, NULL, nothing, pulse, SLEEPERS(BEFORE_CALL),
	  .before = CLEAR, .after = PULSED, .between = SET },
	{ "event wait, set", set, NULL, nothing, wait_for_it, SLEEPERS(AT_POINT),
	  .before = SET, .after = SET },
	{ "event wait, late", NULL, NULL, nothing, wait_late, SLEEPERS(BEFORE_CALL),
	  .result = -ETIMEDOUT, .before = CLEAR, .after = CLEAR },
	{ "event wait, waits", NULL, NULL, nothing, wait_for_it, SLEEPERS(BEFORE_CALL),
	  .grant = set, .before = CLEAR, .after = SET },
	{ "event is_set", set, NULL, nothing, is_set, SLEEPERS(AT_POINT),
	  .result = 1, .before = SET, .after = SET },
	{ "event set, counted", watch, NULL, nothing, set, SLEEPERS(BEFORE_CALL),
	  .before = CLEAR, .after = SET, .rules = COUNTED },
	{ "event wait, set, counted", set_watched, NULL, nothing, wait_for_it, SLEEPERS(AT_POINT),
	  .before = SET, .after = SET, .rules = COUNTED },
	{ "event wait, waits, counted", watch, NULL, nothing, wait_for_it, SLEEPERS(BEFORE_CALL),
	  .grant = set, .before = CLEAR, .after = SET, .rules = COUNTED },
	{ "event watch", NULL, NULL, nothing, watch, SLEEPERS(BEFORE_CALL),
	  .before = CLEAR, .after = CLEAR },
	{ "event unwatch", watch, NULL, nothing, unwatch, SLEEPERS(BEFORE_CALL),
	  .before = CLEAR, .after = CLEAR },
	{ "event init", NULL, NULL, nothing, init, .check = check,
	  .before = CLEAR, .after = CLEAR },
	{ .name = NULL },
};
