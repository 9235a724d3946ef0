/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills in the calls of barriers.
 *
 * The words tell before the kill how it stands: the round was released, then all its parties get
 * their places; or it was broken, or the victim was inside of it, then all get -EPIPE; or neither, and
 * others can complete the round without the victim.
 */
#include <errno.h>

#include <brood/barrier.h>

#include "member/member.h"
#include "sync_tables.h"

enum { OUT = 1, INSIDE = 2, BROKEN = 4, RELEASED = 8, RESET = 16 };	/* states */

enum {				/* rules */
	ONE_MORE = 1,		/* parties beside victim and sleepers */
	RESETS = 2,		/* a new round is that of a reset */
	EXPECTED_GONE = 4,	/* somebody else has died inside */
	COUNTED = 8,
};

enum { BROKEN_FLAG = 0x8000, ROUND_SHIFT = 16, INSIDE_FLAG = 1 };	/* of words */

/* What of the stage is used. */
#define ACTIONS (&stage->n[0])
#define INDICES (&stage->n[1])	/* bits */
#define GRANTED (&stage->n[2])	/* what Ada's coming gave */

/* ---- what members do ---- */

/* Every index is given once. */
static ssize_t place(int result)
{
	if (result < 0)
		return result;
	scene_note(0);
	return atomic_fetch_or(INDICES, 1u << result) & 1u << result ? -EPROTO : 0;
}

static ssize_t wait_for_all(void *object)
{
	return place(brood_barrier_wait(object, BROOD_FOREVER));
}

static ssize_t come_last(void *object)
{
	return place(brood_barrier_wait(object, 0));
}

/* Ada comes as the last one, if she is that. */
static ssize_t complete(void *object)
{
	atomic_store(GRANTED, (uint32_t)come_last(object));
	return 0;
}

static ssize_t abort_it(void *object)
{
	return brood_barrier_abort(object);
}

static ssize_t reset(void *object)
{
	return brood_barrier_reset(object);
}

static ssize_t broken(void *object)
{
	return brood_barrier_broken(object);
}

static ssize_t n_waiting(void *object)
{
	return brood_barrier_n_waiting(object);
}

static ssize_t parties(void *object)
{
	return brood_barrier_parties(object);
}

/* ---- what the victim does ---- */

static int act(void *argument)
{
	(void)argument;
	atomic_fetch_add(ACTIONS, 1);
	return 0;
}

static int fail(void *argument)
{
	(void)argument;
	return -EIO;
}

static ssize_t wait_with_action(void *object)
{
	return place(brood_barrier_wait_action(object, act, NULL, BROOD_FOREVER));
}

static ssize_t wait_with_failure(void *object)
{
	return place(brood_barrier_wait_action(object, fail, NULL, BROOD_FOREVER));
}

static ssize_t wait_late(void *object)
{
	return place(brood_barrier_wait(object, brood_us(1)));
}

static ssize_t watch(void *object)
{
	return brood_barrier_watch(object, scene_counts(object));
}

static ssize_t unwatch(void *object)
{
	return brood_barrier_watch(object, NULL);
}

static ssize_t nothing(void *object)
{
	(void)object;
	return 0;
}

/* ---- preparations ---- */

static unsigned all_of(const struct scene *scene)
{
	return scene_sleepers(scene) + 1 + (scene->job->rules & ONE_MORE ? 1 : 0);
}

static bool make(struct scene *scene)
{
	return brood_barrier_init(scene->object, (int)all_of(scene)) == 0;
}

static bool make_watched(struct scene *scene)
{
	return make(scene) && brood_barrier_watch(scene->object, scene_counts(scene->object)) == 0;
}

static bool make_broken(struct scene *scene)
{
	return make(scene) && scene_ask(scene, ADA, "abort", abort_it, 0);
}

static bool eve_died(struct scene *scene)
{
	if (!make(scene) || !crew_tell(EVE, wait_for_all, scene->object) || !crew_settle())
		return scene_fail(scene, "Eve does not wait");
	crew_kill(EVE);
	return true;
}

static bool eve_died_watched(struct scene *scene)
{
	return eve_died(scene) && watch(scene->object) == 0;
}

/* ---- rules ---- */

static unsigned state_of(const struct scene *scene)
{
	const struct brood_barrier *barrier = (const void *)scene->was;
	uint64_t note;

	if (barrier->word & BROKEN_FLAG)
		return BROKEN;
	if (barrier->word >> ROUND_SHIFT)
		return scene->job->rules & RESETS ? RESET : RELEASED;
	if (!scene->token)
		return OUT;
	note = barrier->slots[brood__token_id(scene->token)];
	return note >> 32 == scene->token >> 32 && note & INSIDE_FLAG ? INSIDE : OUT;
}

/* A round of all the crew that it takes, the given one last. */
static bool round_of(struct scene *scene, enum crew last)
{
	unsigned n = all_of(scene);
	ssize_t result;

	atomic_store(INDICES, 0);
	for (unsigned i = 1; i < n; i++)
		if (!crew_tell((enum crew)(ADA + i), wait_for_all, scene->object))
			return scene_fail(scene, "%s cannot be told", crew_name[ADA + i]);
	if (!crew_settle() || !scene_ask(scene, last, "ask", n_waiting, n - 1) ||
	    !scene_ask(scene, last, "complete a round", come_last, 0))
		return false;
	for (unsigned i = 1; i < n; i++)
		if (!crew_answer((enum crew)(ADA + i), &result) || result)
			return scene_fail(scene, "%s did not get through", crew_name[ADA + i]);
	return atomic_load(INDICES) == (1u << n) - 1 ||
	       scene_fail(scene, "indices %x of a round of %u", atomic_load(INDICES), n);
}

/* The victim never came: others do. */
static bool complete_without(struct scene *scene)
{
	bool eve = scene->job->rules & ONE_MORE;
	ssize_t result;

	if (eve && (!crew_tell(EVE, wait_for_all, scene->object) || !crew_settle()))
		return scene_fail(scene, "Eve does not wait");
	scene_mark(scene);
	if (!scene_ask(scene, ADA, "complete it", come_last, 0))
		return false;
	if (eve && (!crew_answer(EVE, &result) || result))
		return scene_fail(scene, "Eve did not get through");
	return scene_collect_all(scene);
}

static bool all_are_told(struct scene *scene)
{
	if (!scene_collect(scene))
		return false;
	for (unsigned i = 0; i < scene_sleepers(scene); i++)
		if (scene->sleeper[i].result != -EPIPE)
			return scene_fail(scene, "broken, but %s got %zd", crew_name[BOB + i],
					  scene->sleeper[i].result);
	return true;
}

static bool actions_fit(struct scene *scene, unsigned state)
{
	unsigned n = atomic_load(ACTIONS);
	bool acts = scene->job->call == wait_with_action;

	if (n > acts || (state == RELEASED && acts && n != 1))
		return scene_fail(scene, "the action was run %u times", n);
	return true;
}

/* When the victim was inside, but not counted yet, she is not the last, or finds it broken. */
static bool ada_fits(struct scene *scene, unsigned state)
{
	ssize_t given = (int32_t)atomic_load(GRANTED);
	bool right = state == RELEASED ? given == 0
		     : state == OUT    ? given == -EAGAIN
				       : given == -EPIPE || given == -EAGAIN;

	return !scene->job->grant || right ||
	       scene_fail(scene, "Ada came and got %zd", given);
}

static bool check(struct scene *scene)
{
	unsigned state = state_of(scene);
	bool is_broken;

	if (!scene_state_fits(scene, state))
		return false;
	if (scene->job->rules & EXPECTED_GONE && state == OUT)
		state = INSIDE;
	if (!ada_fits(scene, state))
		return false;
	is_broken = state == BROKEN || state == INSIDE;
	if (state == OUT ? !complete_without(scene)
			 : state == RELEASED ? !scene_collect_all(scene) : !all_are_told(scene))
		return false;
	if (!actions_fit(scene, state) ||
	    !scene_ask(scene, scene->company->first, "ask", broken, is_broken) ||
	    (is_broken && !scene_ask(scene, BOB, "wait", wait_for_all, -EPIPE)) ||
	    (is_broken && !scene_ask(scene, scene->company->first, "reset", reset, 0)))
		return false;
	return scene_ask(scene, ADA, "ask", broken, 0) &&
	       scene_ask(scene, BOB, "ask", n_waiting, 0) &&
	       round_of(scene, scene->company->first) && round_of(scene, ADA) &&
	       (!(scene->job->rules & COUNTED) || scene_counts_fit(scene));
}

/* ---- the table ---- */

#define SLEEPERS(when) .sleep = wait_for_all, .come = when, .check = check

const struct sync_case barrier_cases[] = {
	{ "barrier wait, last, stranger", NULL, make, NULL, wait_for_all,
	  SLEEPERS(BEFORE_VICTIM), .before = OUT, .after = RELEASED, .between = INSIDE },
	{ "barrier wait, last", NULL, make, nothing, wait_for_all, SLEEPERS(BEFORE_CALL),
	  .before = OUT, .after = RELEASED, .between = INSIDE },
	{ "barrier wait, not last", NULL, make, nothing, wait_for_all, SLEEPERS(BEFORE_CALL),
	  .grant = complete, .before = OUT, .after = RELEASED, .between = INSIDE,
	  .rules = ONE_MORE },
	{ "barrier wait, new", NULL, make, NULL, wait_for_all, SLEEPERS(BEFORE_VICTIM),
	  .grant = complete, .before = OUT, .after = RELEASED, .between = INSIDE,
	  .rules = ONE_MORE },
	{ "barrier wait, late", NULL, make, nothing, wait_late, SLEEPERS(BEFORE_CALL),
	  .result = -ETIMEDOUT, .before = OUT, .after = BROKEN, .between = INSIDE,
	  .rules = ONE_MORE },
	{ "barrier wait, timeout 0", NULL, make, nothing, come_last, SLEEPERS(BEFORE_CALL),
	  .result = -EAGAIN, .before = OUT, .after = OUT, .rules = ONE_MORE },
	{ "barrier wait, broken", NULL, make_broken, nothing, wait_for_all,
	  SLEEPERS(BEFORE_CALL), .result = -EPIPE, .before = BROKEN, .after = BROKEN },
	{ "barrier wait, a party died", NULL, eve_died, nothing, come_last,
	  .check = check, .result = -EPIPE, .before = OUT, .after = BROKEN,
	  .between = INSIDE, .rules = ONE_MORE | EXPECTED_GONE },
	{ "barrier wait_action", NULL, make, nothing, wait_with_action, SLEEPERS(BEFORE_CALL),
	  .before = OUT, .after = RELEASED, .between = INSIDE },
	{ "barrier wait_action, failing", NULL, make, nothing, wait_with_failure,
	  SLEEPERS(BEFORE_CALL), .result = -EIO, .before = OUT, .after = BROKEN,
	  .between = INSIDE },
	{ "barrier abort", NULL, make, nothing, abort_it, SLEEPERS(BEFORE_CALL),
	  .before = OUT, .after = BROKEN },
	{ "barrier reset", NULL, make, nothing, reset, SLEEPERS(BEFORE_CALL),
	  .before = OUT, .after = RESET, .between = BROKEN, .rules = RESETS },
	{ "barrier reset, broken", NULL, make_broken, nothing, reset, SLEEPERS(BEFORE_CALL),
	  .before = BROKEN, .after = RESET, .rules = RESETS },
	{ "barrier broken, a party died", NULL, eve_died, nothing, broken, .check = check,
	  .result = 1, .before = OUT, .after = BROKEN,
	  .rules = ONE_MORE | EXPECTED_GONE },
	{ "barrier wait, last, counted", NULL, make_watched, nothing, wait_for_all,
	  SLEEPERS(BEFORE_CALL), .before = OUT, .after = RELEASED, .between = INSIDE,
	  .rules = COUNTED },
	{ "barrier wait, not last, counted", NULL, make_watched, nothing, wait_for_all,
	  SLEEPERS(BEFORE_CALL), .grant = complete, .before = OUT, .after = RELEASED,
	  .between = INSIDE, .rules = ONE_MORE | COUNTED },
	{ "barrier broken, counted", NULL, eve_died_watched, nothing, broken, .check = check,
	  .result = 1, .before = OUT, .after = BROKEN,
	  .rules = ONE_MORE | EXPECTED_GONE | COUNTED },
	{ "barrier watch", NULL, make, nothing, watch, SLEEPERS(BEFORE_CALL),
	  .before = OUT, .after = OUT, .rules = ONE_MORE },
	{ "barrier unwatch", NULL, make_watched, nothing, unwatch, SLEEPERS(BEFORE_CALL),
	  .before = OUT, .after = OUT, .rules = ONE_MORE },
	{ "barrier parties", NULL, make, nothing, parties, .check = check,
	  .result = 1, .before = OUT, .after = OUT },
	{ .name = NULL },
};
