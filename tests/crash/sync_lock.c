/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills in the calls of locks: brood_lock and brood_rlock.
 *
 * The word tells before the kill whose the lock is. Afterwards the next one gets it, and
 * -EOWNERDEAD exactly if it was the victim's; what was released without being recovered is lost for
 * all; whoever waits comes in, one at a time.
 */
#include <errno.h>
#include <string.h>

#include <brood/lock.h>

#include "member/member.h"
#include "sync_tables.h"

enum { FREE = 1, HELD = 2, MINE = 4, GONE = 8, LOST = 16 };	/* states */

enum { RECURSIVE = 1, OWNED = 2, FORGIVING = 4, COUNTED = 8 };	/* rules */

enum { LOST_FLAG = 4 };		/* of the word */

struct place {			/* what lies in the object's memory */
	struct brood_lock lock;
	bool recursive;
};

static struct brood_rlock *recursive(struct place *place)
{
	return (struct brood_rlock *)(void *)&place->lock;
}

/* ---- what members do ---- */

static int acquire(struct place *place, int64_t timeout)
{
	int result = place->recursive ? brood_rlock_acquire(recursive(place), timeout)
				      : brood_lock_acquire(&place->lock, timeout);

	return (int)scene_note(result);
}

static ssize_t try(void *object)
{
	return acquire(object, 0);
}

static ssize_t release(void *object)
{
	struct place *place = object;

	return place->recursive ? brood_rlock_release(recursive(place))
				: brood_lock_release(&place->lock);
}

static ssize_t recovered(void *object)
{
	struct place *place = object;

	return place->recursive ? brood_rlock_recovered(recursive(place))
				: brood_lock_recovered(&place->lock);
}

static ssize_t depth(void *object)
{
	return brood_rlock_depth(recursive(object));
}

static ssize_t locked(void *object)
{
	return brood_lock_locked(object);
}

/* A sleeper comes in, alone, puts it in order if need be, and goes. */
static ssize_t go_through(void *object)
{
	int result = acquire(object, BROOD_FOREVER);

	if (result && result != -EOWNERDEAD)
		return result;
	if (atomic_fetch_add(&stage->inside, 1))
		return -EPROTO;
	if (result && recovered(object))
		return -EBADMSG;
	atomic_fetch_sub(&stage->inside, 1);
	return release(object) ? -EBADMSG : result;
}

/* ---- what the victim does ---- */

static ssize_t acquire_now(void *object)
{
	return brood_lock_acquire(object, 0);
}

static ssize_t acquire_late(void *object)
{
	return brood_lock_acquire(object, brood_us(1));
}

static ssize_t acquire_waiting(void *object)
{
	return brood_lock_acquire(object, BROOD_FOREVER);
}

static ssize_t acquire_again(void *object)
{
	return brood_rlock_acquire(object, 0);
}

static ssize_t acquire_again_waiting(void *object)
{
	return brood_rlock_acquire(object, BROOD_FOREVER);
}

static ssize_t watch(void *object)
{
	return brood_lock_watch(object, scene_counts(object));
}

static ssize_t unwatch(void *object)
{
	return brood_lock_watch(object, NULL);
}

static ssize_t init(void *object)
{
	return brood_lock_init(object, NULL);
}

/* Preparations. */

static ssize_t nothing(void *object)
{
	(void)object;
	return 0;
}

static ssize_t take_twice(void *object)
{
	ssize_t result = try(object);

	return result ? result : try(object);
}

/* From one who died. */
static ssize_t take_over(void *object)
{
	return try(object) == -EOWNERDEAD ? 0 : -EPROTO;
}

static ssize_t make_recursive(void *object)
{
	struct place *place = object;

	place->recursive = true;
	return 0;
}

/* Waking goes in turn: the victim's comes first. */
static ssize_t make_turn(void *object)
{
	struct place *place = object;

	place->lock.waiters[8] = CREW_MEMBERS - 2;
	return 0;
}

static ssize_t make_recursive_turn(void *object)
{
	make_turn(object);
	return make_recursive(object);
}

static ssize_t make_owned(void *object)
{
	const struct brood_lock_opts opts = { .owned = true };

	return brood_lock_init(object, &opts);
}

static ssize_t make_forgiving(void *object)
{
	const struct brood_lock_opts opts = { .forgiving = true };

	return brood_lock_init(object, &opts);
}

static bool ada_holds(struct scene *scene)
{
	return scene_ask(scene, ADA, "acquire", try, 0);
}

static bool eve_died(struct scene *scene)
{
	if (!scene_ask(scene, EVE, "acquire", try, 0))
		return false;
	crew_kill(EVE);
	return true;
}

static bool eve_died_deep(struct scene *scene)
{
	return scene_ask(scene, EVE, "acquire", try, 0) && eve_died(scene);
}

/* ---- rules ---- */

static unsigned state_of(const struct scene *scene)
{
	const struct place *place = (const void *)scene->was;
	uint64_t owner = place->lock.word & BROOD__TOKEN_MASK;
	struct brood__here here;

	if (place->lock.word & LOST_FLAG)
		return LOST;
	if (!owner)
		return FREE;
	if (brood__here(scene->object, &here))
		return 0;
	if (owner == scene->token)
		return MINE;
	return brood__token_gone(here.members, owner) ? GONE : HELD;
}

/* What the first one to acquire it gets. */
static ssize_t expected(const struct scene *scene, unsigned state)
{
	if (state == LOST)
		return -ENOTRECOVERABLE;
	if (state & (MINE | GONE) && !(scene->job->rules & FORGIVING))
		return -EOWNERDEAD;
	return 0;
}

/* One of them is told of the death, in a lost lock all are told that; the others just come in. */
static bool sleepers(struct scene *scene, unsigned state)
{
	unsigned n = scene_sleepers(scene), told = 0, deaths;
	bool found = state == FREE && scene->job->before == GONE;	/* before the kill */

	deaths = scene_slept(scene) ? expected(scene, state) == -EOWNERDEAD
			      : found && expected(scene, GONE) == -EOWNERDEAD;
	if (!scene_collect(scene))
		return false;
	for (unsigned i = 0; i < n; i++) {
		ssize_t result = scene->sleeper[i].result;

		told += result == -EOWNERDEAD;
		if (state == LOST ? result == -ENOTRECOVERABLE
				  : result == 0 || result == -EOWNERDEAD)
			continue;
		return scene_fail(scene, "%s waited and got %zd", crew_name[BOB + i], result);
	}
	return n == 0 || told == deaths ||
	       scene_fail(scene, "%u of the sleepers were told of %u deaths", told, deaths);
}

static bool is_lost(struct scene *scene)
{
	return scene_ask(scene, ADA, "acquire what is lost", try, -ENOTRECOVERABLE) &&
	       scene_ask(scene, BOB, "release what is lost", release, -EPERM) &&
	       scene_ask(scene, CID, "acquire what is lost", try, -ENOTRECOVERABLE);
}

/* Who was to recover it dies as well; the next one does not recover it. */
static bool newcomer(struct scene *scene)
{
	if (!scene_ask(scene, LATE, "acquire", try, -EOWNERDEAD) ||
	    !scene_ask(scene, BOB, "acquire", try, -EAGAIN))
		return false;
	crew_kill(LATE);
	return scene_ask(scene, BOB, "acquire after the recoverer's death", try, -EOWNERDEAD) &&
	       scene_ask(scene, BOB, "release", release, 0) && is_lost(scene);
}

/* A usual life: one has it and no other, any or only he may give it back, and once. */
static bool life(struct scene *scene, enum crew who, ssize_t first)
{
	bool strict = scene->job->rules & (OWNED | RECURSIVE);
	enum crew releaser = strict ? who : BOB;

	return scene_ask(scene, who, "acquire", try, first) &&
	       scene_ask(scene, BOB, "look", locked, 1) &&
	       scene_ask(scene, BOB, "acquire", try, -EAGAIN) &&
	       scene_ask(scene, BOB, "recover", recovered, -EPERM) &&
	       (!strict || scene_ask(scene, BOB, "release", release, -EPERM)) &&
	       (!(scene->job->rules & RECURSIVE) || scene_ask(scene, who, "ask", depth, 1)) &&
	       scene_ask(scene, who, "recover", recovered, first ? 0 : -EINVAL) &&
	       scene_ask(scene, releaser, "release", release, 0) &&
	       scene_ask(scene, who, "release again", release, -EPERM);
}

static bool check(struct scene *scene)
{
	unsigned state = state_of(scene);
	ssize_t first = expected(scene, state);

	if (!scene_state_fits(scene, state))
		return false;
	if (state == HELD && !scene->job->grant) {
		scene_mark(scene);
		if (!scene_ask(scene, ADA, "release", release, 0))
			return false;
	}
	if (!sleepers(scene, state))
		return false;
	if (state == LOST)
		return is_lost(scene);
	if (scene_slept(scene))
		first = 0;
	if (scene->company->first == LATE && first)
		return newcomer(scene);
	if (!life(scene, scene->company->first, first) || !life(scene, CID, 0))
		return false;
	return !(scene->job->rules & COUNTED) || scene_counts_fit(scene);
}

/* ---- the table ---- */

#define SLEEPERS(when) .sleep = go_through, .come = when, .check = check

const struct sync_case lock_cases[] = {
	{ "lock acquire, stranger", NULL, NULL, NULL, acquire_now, SLEEPERS(AT_POINT),
	  .before = FREE, .after = MINE },
	{ "lock acquire", NULL, NULL, nothing, acquire_now, SLEEPERS(AT_POINT),
	  .before = FREE, .after = MINE },
	{ "lock acquire, counted", watch, NULL, nothing, acquire_now, SLEEPERS(AT_POINT),
	  .before = FREE, .after = MINE, .rules = COUNTED },
	{ "lock acquire, taken", NULL, ada_holds, nothing, acquire_now, SLEEPERS(BEFORE_CALL),
	  .result = -EAGAIN, .before = HELD, .after = HELD },
	{ "lock acquire, late", NULL, ada_holds, nothing, acquire_late, SLEEPERS(BEFORE_CALL),
	  .result = -ETIMEDOUT, .before = HELD, .after = HELD },
	{ "lock acquire, waits", make_turn, ada_holds, nothing, acquire_waiting,
	  SLEEPERS(BEFORE_CALL), .grant = release, .before = HELD, .after = MINE,
	  .between = FREE },
	{ "lock acquire, waits as new", make_turn, ada_holds, NULL, acquire_waiting,
	  SLEEPERS(BEFORE_VICTIM), .grant = release, .before = HELD, .after = MINE,
	  .between = FREE },
	{ "lock acquire, last of all", NULL, ada_holds, nothing, acquire_waiting,
	  SLEEPERS(BEFORE_CALL), .grant = release, .before = HELD, .after = MINE,
	  .between = FREE },
	{ "lock acquire after a death", NULL, eve_died, nothing, acquire_now, SLEEPERS(AT_POINT),
	  .result = -EOWNERDEAD, .before = GONE, .after = MINE, .between = FREE },
	{ "lock release", NULL, NULL, try, release, SLEEPERS(BEFORE_CALL),
	  .before = MINE, .after = FREE },
	{ "lock release, counted", watch, NULL, try, release, SLEEPERS(BEFORE_CALL),
	  .before = MINE, .after = FREE },
	{ "lock release, another's", NULL, ada_holds, nothing, release, SLEEPERS(BEFORE_CALL),
	  .before = HELD, .after = FREE },
	{ "lock release, unrecovered", NULL, eve_died, take_over, release, SLEEPERS(BEFORE_CALL),
	  .before = MINE, .after = LOST },
	{ "lock recovered", NULL, eve_died, take_over, recovered, SLEEPERS(BEFORE_CALL),
	  .before = MINE, .after = MINE },
	{ "lock locked", NULL, ada_holds, nothing, locked, SLEEPERS(BEFORE_CALL),
	  .result = 1, .before = HELD, .after = HELD },
	{ "lock watch", NULL, ada_holds, nothing, watch, SLEEPERS(BEFORE_CALL),
	  .before = HELD, .after = HELD },
	{ "lock unwatch", watch, ada_holds, nothing, unwatch, SLEEPERS(BEFORE_CALL),
	  .before = HELD, .after = HELD },
	{ "lock init", NULL, NULL, nothing, init, .check = check, .before = FREE, .after = FREE },
	{ "owned acquire, own", make_owned, NULL, try, acquire_now, SLEEPERS(BEFORE_CALL),
	  .result = -EDEADLK, .before = MINE, .after = MINE, .rules = OWNED },
	{ "owned release", make_owned, NULL, try, release, SLEEPERS(BEFORE_CALL),
	  .before = MINE, .after = FREE, .rules = OWNED },
	{ "owned release, another's", make_owned, ada_holds, nothing, release,
	  SLEEPERS(BEFORE_CALL), .result = -EPERM, .before = HELD, .after = HELD,
	  .rules = OWNED },
	{ "forgiving acquire", make_forgiving, NULL, nothing, acquire_now, SLEEPERS(AT_POINT),
	  .before = FREE, .after = MINE, .rules = FORGIVING },
	{ "forgiving after a death", make_forgiving, eve_died, nothing, acquire_now,
	  SLEEPERS(AT_POINT), .before = GONE, .after = MINE, .between = FREE,
	  .rules = FORGIVING },
	{ "forgiving release", make_forgiving, NULL, try, release, SLEEPERS(BEFORE_CALL),
	  .before = MINE, .after = FREE, .rules = FORGIVING },
	{ "rlock acquire", make_recursive, NULL, nothing, acquire_again, SLEEPERS(AT_POINT),
	  .before = FREE, .after = MINE, .rules = RECURSIVE },
	{ "rlock acquire again", make_recursive, NULL, try, acquire_again, SLEEPERS(BEFORE_CALL),
	  .before = MINE, .after = MINE, .rules = RECURSIVE },
	{ "rlock acquire, waits", make_recursive_turn, ada_holds, nothing, acquire_again_waiting,
	  SLEEPERS(BEFORE_CALL), .grant = release, .before = HELD, .after = MINE,
	  .between = FREE, .rules = RECURSIVE },
	{ "rlock acquire after a death", make_recursive, eve_died_deep, nothing, acquire_again,
	  SLEEPERS(AT_POINT), .result = -EOWNERDEAD, .before = GONE, .after = MINE,
	  .between = FREE, .rules = RECURSIVE },
	{ "rlock release", make_recursive, NULL, try, release, SLEEPERS(BEFORE_CALL),
	  .before = MINE, .after = FREE, .rules = RECURSIVE },
	{ "rlock release, of two", make_recursive, NULL, take_twice, release,
	  SLEEPERS(BEFORE_CALL), .before = MINE, .after = MINE, .rules = RECURSIVE },
	{ "rlock release, another's", make_recursive, ada_holds, nothing, release,
	  SLEEPERS(BEFORE_CALL), .result = -EPERM, .before = HELD, .after = HELD,
	  .rules = RECURSIVE },
	{ "rlock release, unrecovered", make_recursive, eve_died_deep, take_over, release,
	  SLEEPERS(BEFORE_CALL), .before = MINE, .after = LOST, .rules = RECURSIVE },
	{ "rlock recovered", make_recursive, eve_died_deep, take_over, recovered,
	  SLEEPERS(BEFORE_CALL), .before = MINE, .after = MINE, .rules = RECURSIVE },
	{ "rlock depth", make_recursive, NULL, take_twice, depth, SLEEPERS(BEFORE_CALL),
	  .result = 2, .before = MINE, .after = MINE, .rules = RECURSIVE },
	{ .name = NULL },
};
