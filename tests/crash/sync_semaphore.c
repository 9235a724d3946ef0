/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills in the calls of semaphores.
 *
 * Units are neither lost nor made: what the word (in a robust one: the units' words) told before the
 * kill can be taken afterwards, not one more. The victim's own unit comes back in a robust semaphore
 * only. Whoever waits gets a unit if there is one, whoever was to wake him.
 */
#include <errno.h>
#include <string.h>

#include <brood/semaphore.h>

#include "member/member.h"
#include "sync_tables.h"

/* The state is the number of units that can be had. */
#define UNITS(n) (1u << (n))

enum { BOUNDED = 1, ROBUST = 2, COUNTED = 4 };	/* rules */

#define WATCHED 0x80000000u	/* of the word */

enum { ROBUST_UNITS = 2, BOUND = 2 };

struct place {			/* what lies in the object's memory */
	struct brood_semaphore semaphore;
	uint64_t unit[ROBUST_UNITS];
};

/* ---- what members do ---- */

static ssize_t acquire_now(void *object)
{
	return brood_semaphore_acquire(object, 0);
}

static ssize_t try(void *object)
{
	return scene_note(acquire_now(object));
}

static ssize_t release(void *object)
{
	return brood_semaphore_release(object);
}

static ssize_t value(void *object)
{
	return brood_semaphore_value(object);
}

static ssize_t wait_late(void *object)
{
	return brood_semaphore_acquire(object, brood_us(1));
}

static ssize_t wait_for_one(void *object)
{
	return brood_semaphore_acquire(object, BROOD_FOREVER);
}

static ssize_t borrow(void *object)
{
	ssize_t result = scene_note(wait_for_one(object));

	return result ? result : release(object);
}

static ssize_t nothing(void *object)
{
	(void)object;
	return 0;
}

/* How many can be taken; they are given back. */
static ssize_t count(void *object)
{
	ssize_t n = 0, result;

	while ((result = try(object)) == 0)
		n++;
	if (result != -EAGAIN)
		return result;
	for (ssize_t i = 0; i < n; i++)
		if (release(object))
			return -EPROTO;
	return n;
}

/* ---- preparations ---- */

static ssize_t make_one(void *object)
{
	return brood_semaphore_init(object, 1, NULL);
}

static ssize_t make_bounded(void *object)
{
	const struct brood_semaphore_opts opts = { .bounded = true };

	return brood_semaphore_init(object, BOUND, &opts);
}

static ssize_t watch(void *object)
{
	return brood_semaphore_watch(object, scene_counts(object));
}

static ssize_t unwatch(void *object)
{
	return brood_semaphore_watch(object, NULL);
}

/* Only made by itself, so it is made there and moved here while nobody knows it. */
static ssize_t make_robust(void *object)
{
	const struct brood_semaphore_opts opts = { .robust = true };
	struct brood_semaphore *semaphore = brood_semaphore_create(ROBUST_UNITS, &opts);

	if (!semaphore)
		return -errno;
	memcpy(object, semaphore, sizeof(struct place));
	return brood_semaphore_destroy(semaphore);
}

static ssize_t make_one_watched(void *object)
{
	ssize_t result = make_one(object);

	return result ? result : watch(object);
}

static ssize_t make_robust_watched(void *object)
{
	ssize_t result = make_robust(object);

	return result ? result : watch(object);
}

/* Waking goes in turn: the victim's comes first. */
static ssize_t make_turn(void *object)
{
	ssize_t result = make_one(object);

	((struct brood_semaphore *)object)->waiters[8] = CREW_MEMBERS - 2;
	return result;
}

static ssize_t make_robust_turn(void *object)
{
	ssize_t result = make_robust(object);

	((struct brood_semaphore *)object)->waiters[8] = CREW_MEMBERS - 2;
	return result;
}

static ssize_t make_watched_turn(void *object)
{
	ssize_t result = make_turn(object);

	return result ? result : watch(object);
}

static bool ada_has_one(struct scene *scene)
{
	return scene_ask(scene, ADA, "acquire", try, 0);
}

static bool all_are_taken(struct scene *scene)
{
	return ada_has_one(scene) && scene_ask(scene, EVE, "acquire", try, 0);
}

static bool one_died(struct scene *scene)
{
	if (!all_are_taken(scene))
		return false;
	crew_kill(EVE);
	return true;
}

/* ---- rules ---- */

/* Units that somebody other than the victim could take at the kill, or, `dead`, behind it. */
static unsigned units_of(const struct scene *scene, bool dead)
{
	const struct place *place = (const void *)scene->was;
	struct brood__here here;
	unsigned n = 0;

	if (!(scene->job->rules & ROBUST))
		return place->semaphore.value & ~WATCHED;
	if (brood__here(scene->object, &here))
		return 31;
	for (unsigned i = 0; i < ROBUST_UNITS; i++) {
		uint64_t holder = place->unit[i];

		n += holder == scene->token ? dead
					    : !holder || brood__token_gone(here.members, holder);
	}
	return n;
}

static bool bound_holds(struct scene *scene, unsigned units)
{
	for (; units < BOUND; units++)
		if (!scene_ask(scene, BOB, "release", release, 0))
			return false;
	return scene_ask(scene, BOB, "release beyond the bound", release, -EOVERFLOW) &&
	       scene_ask(scene, CID, "take all", count, BOUND);
}

static bool check(struct scene *scene)
{
	unsigned units = units_of(scene, true);
	bool robust = scene->job->rules & ROBUST;

	if (!scene_state_fits(scene, UNITS(units_of(scene, false))))
		return false;
	if (scene->job->grant && !scene->granted)
		units++;
	if (units == 0 && scene_sleepers(scene)) {
		scene_mark(scene);
		if (!scene_ask(scene, ADA, "release", release, 0))
			return false;
		units++;
	}
	if (!scene_collect_all(scene))
		return false;
	if (!scene_ask(scene, BOB, "ask", value, units) ||
	    !scene_ask(scene, scene->company->first, "take all", count, units) ||
	    !scene_ask(scene, BOB, "take all", count, units) ||
	    (robust && !scene_ask(scene, DAN, "release what others hold", release, -EPERM)))
		return false;
	if (scene->job->rules & COUNTED && !scene_counts_fit(scene))
		return false;
	return !(scene->job->rules & BOUNDED) || bound_holds(scene, units);
}

/* ---- the table ---- */

#define SLEEPERS(when) .sleep = borrow, .come = when, .check = check

const struct sync_case semaphore_cases[] = {
	{ "semaphore acquire, stranger", make_one, NULL, NULL, try, SLEEPERS(AT_POINT),
	  .before = UNITS(1), .after = UNITS(0) },
	{ "semaphore acquire", make_one, NULL, nothing, try, SLEEPERS(AT_POINT),
	  .before = UNITS(1), .after = UNITS(0) },
	{ "semaphore acquire, none", NULL, NULL, nothing, try, SLEEPERS(BEFORE_CALL),
	  .result = -EAGAIN, .before = UNITS(0), .after = UNITS(0) },
	{ "semaphore acquire, late", NULL, NULL, nothing, wait_late, SLEEPERS(BEFORE_CALL),
	  .result = -ETIMEDOUT, .before = UNITS(0), .after = UNITS(0) },
	{ "semaphore acquire, waits", make_turn, ada_has_one, nothing, wait_for_one,
	  SLEEPERS(BEFORE_CALL), .grant = release, .before = UNITS(0), .after = UNITS(0),
	  .between = UNITS(1) },
	{ "semaphore acquire, new", make_turn, ada_has_one, NULL, wait_for_one,
	  SLEEPERS(BEFORE_VICTIM), .grant = release, .before = UNITS(0), .after = UNITS(0),
	  .between = UNITS(1) },
	{ "semaphore acquire, last", make_one, ada_has_one, nothing, wait_for_one,
	  SLEEPERS(BEFORE_CALL), .grant = release, .before = UNITS(0), .after = UNITS(0),
	  .between = UNITS(1) },
	{ "semaphore release", NULL, NULL, nothing, release, SLEEPERS(BEFORE_CALL),
	  .before = UNITS(0), .after = UNITS(1) },
	{ "semaphore value", make_one, NULL, nothing, value, SLEEPERS(AT_POINT),
	  .result = 1, .before = UNITS(1), .after = UNITS(1) },
	{ "semaphore acquire, counted", make_one_watched, NULL, nothing, acquire_now,
	  SLEEPERS(AT_POINT), .before = UNITS(1), .after = UNITS(0), .rules = COUNTED },
	{ "semaphore acquire, waits, counted", make_watched_turn, ada_has_one, nothing,
	  wait_for_one, SLEEPERS(BEFORE_CALL), .grant = release, .before = UNITS(0),
	  .after = UNITS(0), .between = UNITS(1), .rules = COUNTED },
	{ "semaphore release, counted", watch, NULL, nothing, release, SLEEPERS(BEFORE_CALL),
	  .before = UNITS(0), .after = UNITS(1), .rules = COUNTED },
	{ "semaphore watch", make_one, NULL, nothing, watch, SLEEPERS(AT_POINT),
	  .before = UNITS(1), .after = UNITS(1) },
	{ "semaphore watch, none", NULL, NULL, nothing, watch, SLEEPERS(BEFORE_CALL),
	  .before = UNITS(0), .after = UNITS(0) },
	{ "semaphore unwatch", make_one_watched, NULL, nothing, unwatch, SLEEPERS(AT_POINT),
	  .before = UNITS(1), .after = UNITS(1) },
	{ "bounded acquire", make_bounded, NULL, nothing, try, SLEEPERS(AT_POINT),
	  .before = UNITS(2), .after = UNITS(1), .rules = BOUNDED },
	{ "bounded release", make_bounded, all_are_taken, nothing, release, SLEEPERS(BEFORE_CALL),
	  .before = UNITS(0), .after = UNITS(1), .rules = BOUNDED },
	{ "bounded release, too many", make_bounded, NULL, nothing, release, SLEEPERS(AT_POINT),
	  .result = -EOVERFLOW, .before = UNITS(2), .after = UNITS(2), .rules = BOUNDED },
	{ "robust acquire", make_robust, ada_has_one, nothing, try, SLEEPERS(AT_POINT),
	  .before = UNITS(1), .after = UNITS(0), .rules = ROBUST },
	{ "robust acquire, none", make_robust, all_are_taken, nothing, try,
	  SLEEPERS(BEFORE_CALL), .result = -EAGAIN, .before = UNITS(0), .after = UNITS(0),
	  .rules = ROBUST },
	{ "robust acquire, waits", make_robust_turn, all_are_taken, nothing, wait_for_one,
	  SLEEPERS(BEFORE_CALL), .grant = release, .before = UNITS(0), .after = UNITS(0),
	  .between = UNITS(1), .rules = ROBUST },
	{ "robust acquire, new", make_robust_turn, all_are_taken, nothing, wait_for_one,
	  SLEEPERS(BEFORE_VICTIM), .grant = release, .before = UNITS(0), .after = UNITS(0),
	  .between = UNITS(1), .rules = ROBUST },
	{ "robust acquire after a death", make_robust, one_died, nothing, try,
	  SLEEPERS(AT_POINT), .before = UNITS(1), .after = UNITS(0), .rules = ROBUST },
	{ "robust acquire, counted", make_robust_watched, one_died, nothing, acquire_now,
	  SLEEPERS(AT_POINT), .before = UNITS(1), .after = UNITS(0),
	  .rules = ROBUST | COUNTED },
	{ "robust watch", make_robust, all_are_taken, nothing, watch, SLEEPERS(BEFORE_CALL),
	  .before = UNITS(0), .after = UNITS(0), .rules = ROBUST },
	{ "robust release", make_robust, ada_has_one, try, release, SLEEPERS(BEFORE_CALL),
	  .before = UNITS(0), .after = UNITS(1), .rules = ROBUST },
	{ "robust release, another's", make_robust, all_are_taken, nothing, release,
	  SLEEPERS(BEFORE_CALL), .result = -EPERM, .before = UNITS(0), .after = UNITS(0),
	  .rules = ROBUST },
	{ "robust value", make_robust, one_died, nothing, value, SLEEPERS(AT_POINT),
	  .result = 1, .before = UNITS(1), .after = UNITS(1), .rules = ROBUST },
	{ .name = NULL },
};
