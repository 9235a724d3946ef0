/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills in brood_once_call.
 *
 * Whoever asks gets it done: by nobody if it was done before the kill, and by exactly one of the
 * living if it was not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <brood/once.h>

#include "sync_tables.h"

enum { UNDONE = 1, RUNNING = 2, DONE = 4, OTHER = 8 };	/* states */

enum { DONE_FLAG = 1 };		/* of the word */

/* What of the stage is used. */
#define RUNS (&stage->n[0])	/* by the living, to their end */
#define GO (&stage->n[1])	/* who runs may go on */

/* ---- what members do ---- */

static int run(void *argument)
{
	(void)argument;
	if (atomic_fetch_add(&stage->inside, 1))
		return -EPROTO;
	atomic_fetch_add(RUNS, 1);
	atomic_fetch_sub(&stage->inside, 1);
	return 0;
}

static int run_and_wait(void *argument)
{
	while (!atomic_load(GO))
		syscall(SYS_futex, GO, FUTEX_WAIT, 0, NULL, NULL, 0);
	return run(argument);
}

static int do_nothing(void *argument)
{
	(void)argument;
	return 0;
}

static int fail(void *argument)
{
	(void)argument;
	return -EIO;
}

static ssize_t call(void *object)
{
	return brood_once_call(object, run, NULL, BROOD_FOREVER);
}

static ssize_t call_slowly(void *object)
{
	return brood_once_call(object, run_and_wait, NULL, BROOD_FOREVER);
}

static ssize_t let_go(void *object)
{
	(void)object;
	atomic_store(GO, 1);
	syscall(SYS_futex, GO, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	return 0;
}

static ssize_t victims_call(void *object)
{
	return brood_once_call(object, do_nothing, NULL, BROOD_FOREVER);
}

static ssize_t victims_failure(void *object)
{
	return brood_once_call(object, fail, NULL, BROOD_FOREVER);
}

static ssize_t call_now(void *object)
{
	return brood_once_call(object, do_nothing, NULL, 0);
}

static ssize_t call_late(void *object)
{
	return brood_once_call(object, do_nothing, NULL, brood_us(1));
}

static ssize_t nothing(void *object)
{
	(void)object;
	return 0;
}

static bool eve_runs(struct scene *scene)
{
	return (crew_tell(EVE, call_slowly, scene->object) && crew_settle()) ||
	       scene_fail(scene, "Eve does not run");
}

static bool eve_died(struct scene *scene)
{
	if (!eve_runs(scene))
		return false;
	crew_kill(EVE);
	return true;
}

/* ---- rules ---- */

static unsigned state_of(const struct scene *scene)
{
	uint64_t word = ((const struct brood_once *)(const void *)scene->was)->word;

	if (word & DONE_FLAG)
		return DONE;
	if (!word)
		return UNDONE;
	return word == scene->token ? RUNNING : OTHER;
}

/* Eve comes to her end. */
static bool eve_ends(struct scene *scene)
{
	ssize_t result;

	if (!crew_busy(EVE))
		return true;
	let_go(NULL);
	scene_mark(scene);
	if (!crew_answer(EVE, &result))
		return scene_fail(scene, "hang: Eve does not come back");
	return result == 0 || scene_fail(scene, "Eve ran it and got %zd", result);
}

static bool check(struct scene *scene)
{
	unsigned state = state_of(scene), runs, want;

	if (!scene_state_fits(scene, state))
		return false;
	want = state == DONE ? atomic_load(RUNS) : 1;
	if (!eve_ends(scene) || !scene_collect_all(scene) ||
	    !scene_ask(scene, scene->company->first, "call", call, 0) ||
	    !scene_ask(scene, BOB, "call", call, 0))
		return false;
	runs = atomic_load(RUNS);
	return runs == want ||
	       scene_fail(scene, "it was run %u times, not %u", runs, want);
}

/* ---- the table ---- */

#define SLEEPERS(when) .sleep = call, .come = when, .check = check

const struct sync_case once_cases[] = {
	{ "once, stranger", NULL, NULL, NULL, victims_call, SLEEPERS(AT_POINT),
	  .before = UNDONE, .after = DONE, .between = RUNNING | DONE },
	{ "once", NULL, NULL, nothing, victims_call, SLEEPERS(AT_POINT),
	  .before = UNDONE, .after = DONE, .between = RUNNING | DONE },
	{ "once, failing", NULL, NULL, nothing, victims_failure, SLEEPERS(AT_POINT),
	  .result = -EIO, .before = UNDONE, .after = UNDONE | DONE, .between = RUNNING | DONE },
	{ "once, done", call, NULL, nothing, victims_call, SLEEPERS(AT_POINT),
	  .before = DONE, .after = DONE },
	{ "once, another runs it", NULL, eve_runs, nothing, call_now, SLEEPERS(BEFORE_CALL),
	  .result = -EAGAIN, .before = OTHER, .after = OTHER },
	{ "once, late", NULL, eve_runs, nothing, call_late, SLEEPERS(BEFORE_CALL),
	  .result = -ETIMEDOUT, .before = OTHER, .after = OTHER },
	{ "once, waits", NULL, eve_runs, nothing, victims_call, SLEEPERS(BEFORE_CALL),
	  .grant = let_go, .before = OTHER, .after = DONE },
	{ "once, waits as new", NULL, eve_runs, NULL, victims_call, SLEEPERS(BEFORE_VICTIM),
	  .grant = let_go, .before = OTHER, .after = DONE },
	{ "once after a death", NULL, eve_died, nothing, victims_call, SLEEPERS(AT_POINT),
	  .before = OTHER, .after = DONE, .between = RUNNING | DONE },
	{ .name = NULL },
};
