/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills in the calls of conditions.
 *
 * The sleepers wait for things to take, which others put under the lock and notify. Whatever call
 * the victim died in, as many sleepers as there are things come back with one, at once; each thing
 * that is put afterwards brings one more; and whoever gets the lock from the victim is told.
 */
#include <errno.h>

#include <brood/condition.h>

#include "member/member.h"
#include "sync_tables.h"

enum { FREE = 1, HELD = 2, MINE = 4 };	/* states: of the lock */

struct place {			/* what lies in the object's memory */
	struct brood_condition condition;
	struct brood_lock lock;
	bool recursive;
};

/* What of the stage is used. */
#define THINGS (&stage->n[0])
#define TOLD (&stage->n[1])	/* -EOWNERDEAD */

enum { COUNTED = 16 };		/* rules, beside things that the grant puts */

/* ---- what members do ---- */

/* Whom the dead one was about to notify is not known. */
static ssize_t recover(struct place *place, int result)
{
	if (result != -EOWNERDEAD)
		return result;
	atomic_fetch_add(TOLD, 1);
	result = brood_lock_recovered(&place->lock);
	return result ? result : brood_condition_notify_all(&place->condition, &place->lock);
}

static ssize_t acquire(struct place *place, int64_t timeout)
{
	struct brood_rlock *recursive = (struct brood_rlock *)(void *)&place->lock;

	return recover(place, place->recursive ? brood_rlock_acquire(recursive, timeout)
					       : brood_lock_acquire(&place->lock, timeout));
}

static ssize_t release(struct place *place)
{
	struct brood_rlock *recursive = (struct brood_rlock *)(void *)&place->lock;

	return place->recursive ? brood_rlock_release(recursive)
				: brood_lock_release(&place->lock);
}

/* What a death ended was no acquisition. */
static int note(int result)
{
	return result ? result : (int)scene_note(result);
}

static ssize_t take(void *object)
{
	struct place *place = object;
	ssize_t result = acquire(place, BROOD_FOREVER);

	while (result == 0 && atomic_load(THINGS) == 0)
		result = recover(place, note(brood_condition_wait(&place->condition, &place->lock,
								  BROOD_FOREVER)));
	if (result)
		return result;
	if (atomic_fetch_add(&stage->inside, 1))
		return -EPROTO;
	atomic_fetch_sub(THINGS, 1);
	atomic_fetch_sub(&stage->inside, 1);
	return release(place);
}

static ssize_t put(void *object)
{
	struct place *place = object;
	ssize_t result = acquire(place, BROOD_FOREVER);

	if (result)
		return result;
	atomic_fetch_add(THINGS, 1);
	result = brood_condition_notify(&place->condition, &place->lock, 1);
	return result ? result : release(place);
}

static ssize_t put_for_all(void *object)
{
	struct place *place = object;
	ssize_t result = acquire(place, BROOD_FOREVER);

	if (result)
		return result;
	atomic_fetch_add(THINGS, SLEEPERS_MAX + 1);
	result = brood_condition_notify_all(&place->condition, &place->lock);
	return result ? result : release(place);
}

/* A notification for nobody, and a wait for nothing. */
static ssize_t idle(void *object)
{
	struct place *place = object;
	ssize_t result = acquire(place, 0);

	if (result == 0)
		result = brood_condition_notify_all(&place->condition, &place->lock);
	if (result == 0 &&
	    brood_condition_wait(&place->condition, &place->lock, 0) != -EAGAIN)
		result = -EPROTO;
	return result ? result : release(place);
}

/* ---- what the victim does ---- */

static ssize_t notify(void *object)
{
	struct place *place = object;

	return brood_condition_notify(&place->condition, &place->lock, 1);
}

static ssize_t notify_all(void *object)
{
	struct place *place = object;

	return brood_condition_notify_all(&place->condition, &place->lock);
}

static ssize_t notify_and_release(void *object)
{
	ssize_t result = notify(object);

	return result ? result : release(object);
}

static ssize_t notify_all_and_release(void *object)
{
	ssize_t result = notify_all(object);

	return result ? result : release(object);
}

static ssize_t wait_now(void *object)
{
	struct place *place = object;

	return brood_condition_wait(&place->condition, &place->lock, 0);
}

static ssize_t wait_late(void *object)
{
	struct place *place = object;

	return brood_condition_wait(&place->condition, &place->lock, brood_us(1));
}

static ssize_t wait_for_it(void *object)
{
	struct place *place = object;

	return brood_condition_wait(&place->condition, &place->lock, BROOD_FOREVER);
}

static ssize_t watch(void *object)
{
	return brood_condition_watch(object, scene_counts(object));
}

static ssize_t unwatch(void *object)
{
	return brood_condition_watch(object, NULL);
}

static int there_is_one(void *argument)
{
	(void)argument;
	return atomic_load(THINGS) > 0;
}

static ssize_t wait_for_predicate(void *object)
{
	struct place *place = object;

	return brood_condition_wait_for(&place->condition, &place->lock, there_is_one, NULL,
					BROOD_FOREVER);
}

/* ---- preparations ---- */

static ssize_t lock(void *object)
{
	return acquire(object, 0);
}

static ssize_t lock_twice(void *object)
{
	ssize_t result = lock(object);

	return result ? result : lock(object);
}

static ssize_t lock_with_one(void *object)
{
	ssize_t result = lock(object);

	if (result == 0)
		atomic_store(THINGS, 1);
	return result;
}

/* The sleepers come when the victim has prepared, but before it has the lock. */
static ssize_t notify_one(void *object)
{
	ssize_t result = lock_with_one(object);

	return result ? result : notify_and_release(object);
}

static ssize_t notify_three(void *object)
{
	ssize_t result = lock(object);

	if (result)
		return result;
	atomic_store(THINGS, SLEEPERS_MAX);
	return notify_all_and_release(object);
}

static ssize_t make_recursive(void *object)
{
	((struct place *)object)->recursive = true;
	return 0;
}

/* Notifying goes in turn: the victim's comes first. */
static ssize_t make_turn(void *object)
{
	((struct place *)object)->condition.next = CREW_MEMBERS - 1;
	return 0;
}

static ssize_t make_recursive_turn(void *object)
{
	make_turn(object);
	return make_recursive(object);
}

static ssize_t make_watched_turn(void *object)
{
	make_turn(object);
	return watch(object);
}

static ssize_t nothing(void *object)
{
	(void)object;
	return 0;
}

static bool eve_died_waiting(struct scene *scene)
{
	if (!crew_tell(EVE, take, scene->object) || !crew_settle())
		return scene_fail(scene, "Eve does not wait");
	crew_kill(EVE);
	return true;
}

static ssize_t lock_put_notify(void *object)
{
	ssize_t result = lock_with_one(object);

	return result ? result : notify(object);
}

static ssize_t unlock(void *object)
{
	return release(object);
}

/* Eve waited, was notified, and died before she could get the lock. */
static bool eve_died_notified(struct scene *scene)
{
	if (!crew_tell(EVE, take, scene->object) || !crew_settle())
		return scene_fail(scene, "Eve does not wait");
	if (!scene_ask(scene, ADA, "notify", lock_put_notify, 0))
		return false;
	crew_kill(EVE);
	return scene_ask(scene, ADA, "release", unlock, 0);
}

/* ---- rules ---- */

static unsigned state_of(const struct scene *scene)
{
	const struct place *place = (const void *)scene->was;
	uint64_t owner = place->lock.word & BROOD__TOKEN_MASK;

	return !owner ? FREE : owner == scene->token ? MINE : HELD;
}

/* As many sleepers as can be served are; and then one more for each thing that is put. */
static bool serve(struct scene *scene)
{
	unsigned n = scene_sleepers(scene), done = 0;

	for (unsigned i = 0; i < n; i++)
		done += scene->sleeper[i].done;
	done += scene->n[0] + (scene->job->grant && !scene->granted ?
			    scene->job->rules & ~(unsigned)COUNTED : 0);
	for (done = done < n ? done : n; done <= n; done++) {
		if (!scene_await(scene, done))
			return false;
		scene_mark(scene);
		if (done < n && !scene_ask(scene, ADA, "put", put, 0))
			return false;
	}
	return scene_collect_all(scene);
}

static bool is_settled(struct scene *scene)
{
	const struct place *place = scene->object;

	for (unsigned id = 0; id < BROOD_MEMBERS_MAX; id++)
		if (place->condition.slots[id])
			return scene_fail(scene, "the slot of member %u still is %lx", id,
					  (unsigned long)place->condition.slots[id]);
	return true;
}

static bool check(struct scene *scene)
{
	unsigned state = state_of(scene), told;

	if (!scene_state_fits(scene, state) || !serve(scene) ||
	    !scene_ask(scene, scene->company->first, "wait for nothing", idle, 0))
		return false;
	told = atomic_load(TOLD);
	if (told != (state == MINE))
		return scene_fail(scene, "%u were told of %u owner deaths", told, state == MINE);
	return is_settled(scene) && scene_ask(scene, BOB, "put", put, 0) &&
	       scene_ask(scene, scene->company->first, "take", take, 0) &&
	       scene_ask(scene, DAN, "wait for nothing", idle, 0) &&
	       (!(scene->job->rules & COUNTED) || scene_counts_fit(scene));
}

/* ---- the table: rules = things that the grant puts ---- */

#define SLEEPERS(when) .sleep = take, .come = when, .check = check

const struct sync_case condition_cases[] = {
	{ "condition notify", NULL, NULL, nothing, notify_one, SLEEPERS(BEFORE_CALL),
	  .before = FREE, .after = FREE, .between = MINE },
	{ "condition notify_all", NULL, NULL, nothing, notify_three, SLEEPERS(BEFORE_CALL),
	  .before = FREE, .after = FREE, .between = MINE },
	{ "condition notify after a death", NULL, eve_died_waiting, lock_with_one, notify,
	  SLEEPERS(BEFORE_CALL), .before = MINE, .after = MINE },
	{ "condition wait, timeout 0", NULL, NULL, lock, wait_now, SLEEPERS(EARLY),
	  .result = -EAGAIN, .before = MINE, .after = MINE, .between = FREE },
	{ "condition wait, late", NULL, NULL, lock, wait_late, SLEEPERS(EARLY),
	  .result = -ETIMEDOUT, .before = MINE, .after = MINE, .between = FREE },
	{ "condition wait, first", make_turn, NULL, lock, wait_for_it, SLEEPERS(EARLY),
	  .grant = put, .before = MINE, .after = MINE, .between = FREE, .rules = 1 },
	{ "condition wait, as new", make_turn, NULL, lock, wait_for_it, SLEEPERS(BEFORE_VICTIM),
	  .grant = put, .before = MINE, .after = MINE, .between = FREE, .rules = 1 },
	{ "condition wait, last", NULL, NULL, lock, wait_for_it, SLEEPERS(EARLY),
	  .grant = put_for_all, .before = MINE, .after = MINE, .between = FREE,
	  .rules = SLEEPERS_MAX + 1 },
	{ "condition wait_for", NULL, NULL, lock, wait_for_predicate, SLEEPERS(EARLY),
	  .grant = put_for_all, .before = MINE, .after = MINE, .between = FREE,
	  .rules = SLEEPERS_MAX + 1 },
	{ "condition wait, rlock", make_recursive_turn, NULL, lock_twice, wait_for_it,
	  SLEEPERS(EARLY), .grant = put, .before = MINE, .after = MINE, .between = FREE,
	  .rules = 1 },
	{ "condition wait after a death", NULL, eve_died_waiting, lock, wait_now,
	  SLEEPERS(AT_POINT), .result = -EAGAIN, .before = MINE, .after = MINE,
	  .between = FREE },
	{ "condition wait, one was notified", NULL, eve_died_notified, lock, wait_now,
	  SLEEPERS(AT_POINT), .result = -EAGAIN, .before = MINE, .after = MINE,
	  .between = FREE },
	{ "condition wait, counted", make_watched_turn, NULL, lock, wait_for_it, SLEEPERS(EARLY),
	  .grant = put, .before = MINE, .after = MINE, .between = FREE, .rules = 1 | COUNTED },
	{ "condition watch", NULL, NULL, lock, watch, SLEEPERS(EARLY),
	  .before = MINE, .after = MINE },
	{ "condition unwatch", watch, NULL, lock, unwatch, SLEEPERS(EARLY),
	  .before = MINE, .after = MINE },
	{ "condition wait_for, true", NULL, NULL, lock_with_one, wait_for_predicate,
	  SLEEPERS(AT_POINT), .before = MINE, .after = MINE },
	{ .name = NULL },
};
