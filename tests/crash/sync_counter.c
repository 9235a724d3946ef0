/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills in the calls of counters.
 *
 * The value is the old one or the new one. Is it the new one, all who wait for a change are told,
 * though nobody came to waking them; is it not, none is.
 */
#include <errno.h>

#include <brood/counter.h>

#include "sync_tables.h"

enum { OLD = 1, NEW = 2 };	/* states: 0, or N */

enum { N = 7 };

/* ---- what members do ---- */

static ssize_t get(void *object)
{
	int64_t value = -1;
	int result = brood_counter_get(object, &value);

	return result ? result : value;
}

static ssize_t set(void *object)
{
	return brood_counter_set(object, N);
}

static ssize_t set_old(void *object)
{
	return brood_counter_set(object, 0);
}

static ssize_t add(void *object)
{
	int64_t sum = -1;
	int result = brood_counter_add(object, N, &sum);

	return result ? result : sum;
}

static ssize_t exchange(void *object)
{
	int64_t expected = 0;

	return brood_counter_compare_exchange(object, &expected, N);
}

static ssize_t exchange_wrongly(void *object)
{
	int64_t expected = 1;

	return brood_counter_compare_exchange(object, &expected, N);
}

static ssize_t raise(void *object)
{
	int64_t greater = -1;
	int result = brood_counter_max(object, N, &greater);

	return result ? result : greater;
}

static ssize_t look(void *object)
{
	return brood_counter_wait_change(object, 0, NULL, 0);
}

static ssize_t wait_late(void *object)
{
	return brood_counter_wait_change(object, 0, NULL, brood_us(1));
}

static ssize_t wait_for_change(void *object)
{
	int64_t now = -1;
	int result = brood_counter_wait_change(object, 0, &now, BROOD_FOREVER);

	return result ? result : now == N ? 0 : -EPROTO;
}

static ssize_t init(void *object)
{
	return brood_counter_init(object, N);
}

static ssize_t nothing(void *object)
{
	(void)object;
	return 0;
}

/* ---- rules ---- */

static unsigned state_of(const struct scene *scene)
{
	uint64_t word = ((const struct brood_counter *)(const void *)scene->was)->word;

	return word == 0 ? OLD : word == N ? NEW : 0;
}

static bool life(struct scene *scene, enum crew who)
{
	return scene_ask(scene, who, "set", set_old, 0) &&
	       scene_ask(scene, BOB, "look", look, -EAGAIN) &&
	       scene_ask(scene, who, "add", add, N) && scene_ask(scene, BOB, "look", look, 0) &&
	       scene_ask(scene, who, "add", add, 2 * N) &&
	       scene_ask(scene, BOB, "exchange", exchange, 0) &&
	       scene_ask(scene, CID, "get", get, 2 * N);
}

static bool check(struct scene *scene)
{
	unsigned state = state_of(scene);

	if (!scene_state_fits(scene, state))
		return false;
	for (unsigned i = 0; i < scene_sleepers(scene) && state == OLD; i++)
		if (scene->sleeper[i].done)
			return scene_fail(scene, "%s was told of no change", crew_name[BOB + i]);
	if (scene->job->grant)
		state = NEW;
	if (scene_sleepers(scene) && state == OLD) {
		scene_mark(scene);
		if (!scene_ask(scene, ADA, "set", set, 0))
			return false;
		state = NEW;
	}
	return scene_collect_all(scene) &&
	       scene_ask(scene, scene->company->first, "get", get, state == NEW ? N : 0) &&
	       life(scene, scene->company->first) && life(scene, DAN);
}

/* ---- the table ---- */

#define SLEEPERS(when) .sleep = wait_for_change, .come = when, .check = check

const struct sync_case counter_cases[] = {
	{ "counter set, stranger", NULL, NULL, NULL, set, SLEEPERS(BEFORE_VICTIM),
	  .before = OLD, .after = NEW },
	{ "counter set", NULL, NULL, nothing, set, SLEEPERS(BEFORE_CALL),
	  .before = OLD, .after = NEW },
	{ "counter add", NULL, NULL, nothing, add, SLEEPERS(BEFORE_CALL),
	  .result = N, .before = OLD, .after = NEW },
	{ "counter compare_exchange", NULL, NULL, nothing, exchange, SLEEPERS(BEFORE_CALL),
	  .result = 1, .before = OLD, .after = NEW },
	{ "counter compare_exchange, not", NULL, NULL, nothing, exchange_wrongly,
	  SLEEPERS(BEFORE_CALL), .before = OLD, .after = OLD },
	{ "counter max", NULL, NULL, nothing, raise, SLEEPERS(BEFORE_CALL),
	  .result = N, .before = OLD, .after = NEW },
	{ "counter get", init, NULL, nothing, get, SLEEPERS(AT_POINT),
	  .result = N, .before = NEW, .after = NEW },
	{ "counter wait, late", NULL, NULL, nothing, wait_late, SLEEPERS(BEFORE_CALL),
	  .result = -ETIMEDOUT, .before = OLD, .after = OLD },
	{ "counter wait, waits", NULL, NULL, nothing, wait_for_change, SLEEPERS(BEFORE_CALL),
	  .grant = set, .before = OLD, .after = NEW },
	{ "counter init", NULL, NULL, nothing, init, .check = check,
	  .before = OLD, .after = NEW },
	{ .name = NULL },
};
