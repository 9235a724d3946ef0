/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kills in the calls of read-write locks.
 *
 * A dead reader is out, and so is a writer that was still waiting for readers to leave. The word
 * tells before the kill whether the victim wrote: then, and only then, the next one gets the lock
 * for writing, and -EOWNERDEAD. Whoever waits, for reading or writing, comes in.
 */
#include <errno.h>

#include <brood/rwlock.h>

#include "member/member.h"
#include "sync_tables.h"

/* States: of writing; a writer that drains does not write. */
enum { FREE = 1, HELD = 2, MINE = 4, GONE = 8, LOST = 16 };

enum {				/* rules */
	ADA_HAS = 1,		/* she has it and is not asked for it in the case */
	COUNTED = 2,
};

enum { DRAINING_FLAG = 1, LOST_FLAG = 8 };	/* of the word */

enum { WRITER = 100 };		/* weight in stage->inside */

/* ---- what members do ---- */

static ssize_t read_now(void *object)
{
	return brood_rwlock_acquire_read(object, 0);
}

static ssize_t write_now(void *object)
{
	return brood_rwlock_acquire_write(object, 0);
}

static ssize_t try_read(void *object)
{
	return scene_note(read_now(object));
}

static ssize_t try_write(void *object)
{
	return scene_note(write_now(object));
}

static ssize_t read_late(void *object)
{
	return brood_rwlock_acquire_read(object, brood_us(1));
}

static ssize_t write_late(void *object)
{
	return brood_rwlock_acquire_write(object, brood_us(1));
}

static ssize_t read_waiting(void *object)
{
	return brood_rwlock_acquire_read(object, BROOD_FOREVER);
}

static ssize_t write_waiting(void *object)
{
	return brood_rwlock_acquire_write(object, BROOD_FOREVER);
}

static ssize_t release(void *object)
{
	return brood_rwlock_release(object);
}

static ssize_t recovered(void *object)
{
	return brood_rwlock_recovered(object);
}

/* A sleeper comes in, beside none but other readers, puts it in order if need be, and goes. */
static ssize_t go_through(void *object, bool writes)
{
	ssize_t result = scene_note(writes ? write_waiting(object) : read_waiting(object));
	uint32_t weight = writes || result ? WRITER : 1;
	uint32_t before;

	if (result && result != -EOWNERDEAD)
		return result;
	before = atomic_fetch_add(&stage->inside, weight);
	if (before && (weight == WRITER || before >= WRITER))
		return -EPROTO;
	if (result && recovered(object))
		return -EBADMSG;
	atomic_fetch_sub(&stage->inside, weight);
	return release(object) ? -EBADMSG : result;
}

static ssize_t read_through(void *object)
{
	return go_through(object, false);
}

/* Bob writes, Cid reads, Dan writes. */
static ssize_t pass_through(void *object)
{
	return go_through(object, brood__token_id(scene_my_token(object)) % 2 == 0);
}

static ssize_t nothing(void *object)
{
	(void)object;
	return 0;
}

/* ---- preparations ---- */

static ssize_t read_twice(void *object)
{
	ssize_t result = try_read(object);

	return result ? result : try_read(object);
}

static ssize_t take_over(void *object)
{
	return try_write(object) == -EOWNERDEAD ? 0 : -EPROTO;
}

static ssize_t watch(void *object)
{
	return brood_rwlock_watch(object, scene_counts(object));
}

static ssize_t unwatch(void *object)
{
	return brood_rwlock_watch(object, NULL);
}

static ssize_t init(void *object)
{
	return brood_rwlock_init(object, NULL);
}

/* Waking goes in turn: the victim's comes first. */
static ssize_t make_turn(void *object)
{
	((struct brood_rwlock *)object)->writers[8] = CREW_MEMBERS - 2;
	return 0;
}

static ssize_t make_watched_turn(void *object)
{
	ssize_t result = make_turn(object);

	return result ? result : watch(object);
}

static bool ada_reads(struct scene *scene)
{
	return scene_ask(scene, ADA, "read", try_read, 0);
}

static bool ada_writes(struct scene *scene)
{
	return scene_ask(scene, ADA, "write", try_write, 0);
}

static bool eve_died_writing(struct scene *scene)
{
	if (!scene_ask(scene, EVE, "write", try_write, 0))
		return false;
	crew_kill(EVE);
	return true;
}

static bool eve_died_reading(struct scene *scene)
{
	if (!scene_ask(scene, EVE, "read", try_read, 0))
		return false;
	crew_kill(EVE);
	return true;
}

/* ---- rules ---- */

static unsigned state_of(const struct scene *scene)
{
	uint64_t word = ((const struct brood_rwlock *)(const void *)scene->was)->word;
	uint64_t owner = word & BROOD__TOKEN_MASK;
	struct brood__here here;

	if (word & LOST_FLAG)
		return LOST;
	if (!owner || word & DRAINING_FLAG)
		return FREE;
	if (owner == scene->token)
		return MINE;
	if (brood__here(scene->object, &here))
		return 0;
	return brood__token_gone(here.members, owner) ? GONE : HELD;
}

static bool sleepers(struct scene *scene, unsigned state)
{
	unsigned n = scene_sleepers(scene), told = 0, deaths;
	bool found = state == FREE && scene->job->before == GONE;	/* before the kill */

	deaths = scene_slept(scene) ? state & (MINE | GONE) ? 1 : 0 : found;
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
	return scene_ask(scene, ADA, "write what is lost", try_write, -ENOTRECOVERABLE) &&
	       scene_ask(scene, CID, "read what is lost", try_read, -ENOTRECOVERABLE) &&
	       scene_ask(scene, BOB, "release what is lost", release, -EPERM);
}

/* Who was to recover it dies as well; the next one does not recover it. */
static bool newcomer(struct scene *scene)
{
	if (!scene_ask(scene, LATE, "read", try_read, -EOWNERDEAD) ||
	    !scene_ask(scene, BOB, "read", try_read, -EAGAIN))
		return false;
	crew_kill(LATE);
	return scene_ask(scene, BOB, "write after the recoverer's death", try_write,
			 -EOWNERDEAD) &&
	       scene_ask(scene, BOB, "release", release, 0) && is_lost(scene);
}

static bool life(struct scene *scene, enum crew who, ssize_t first)
{
	return scene_ask(scene, who, "write", try_write, first) &&
	       scene_ask(scene, BOB, "read", try_read, -EAGAIN) &&
	       scene_ask(scene, BOB, "write", try_write, -EAGAIN) &&
	       scene_ask(scene, BOB, "release", release, -EPERM) &&
	       scene_ask(scene, who, "recover", recovered, first ? 0 : -EINVAL) &&
	       scene_ask(scene, who, "release", release, 0) &&
	       scene_ask(scene, who, "read", try_read, 0) &&
	       scene_ask(scene, BOB, "read", try_read, 0) &&
	       scene_ask(scene, CID, "write", try_write, -EAGAIN) &&
	       scene_ask(scene, BOB, "release", release, 0) &&
	       scene_ask(scene, who, "release", release, 0) &&
	       scene_ask(scene, who, "release again", release, -EPERM) &&
	       scene_ask(scene, CID, "write", try_write, 0) &&
	       scene_ask(scene, CID, "release", release, 0);
}

static bool check(struct scene *scene)
{
	unsigned state = state_of(scene);
	ssize_t first = state & (MINE | GONE) && !scene_slept(scene) ? -EOWNERDEAD : 0;

	if (!scene_state_fits(scene, state))
		return false;
	if (scene->job->rules & ADA_HAS) {
		scene_mark(scene);
		if (!scene_ask(scene, ADA, "release", release, 0))
			return false;
	}
	if (!sleepers(scene, state))
		return false;
	if (state == LOST)
		return is_lost(scene);
	if (scene->company->first == LATE && first)
		return newcomer(scene);
	return life(scene, scene->company->first, first) && life(scene, DAN, 0) &&
	       (!(scene->job->rules & COUNTED) || scene_counts_fit(scene));
}

/* ---- the table ---- */

#define SLEEPERS(when) .sleep = pass_through, .come = when, .check = check
#define READERS(when) .sleep = read_through, .come = when, .check = check

const struct sync_case rwlock_cases[] = {
	{ "rwlock read, stranger", NULL, NULL, NULL, try_read, SLEEPERS(AT_POINT),
	  .before = FREE, .after = FREE },
	{ "rwlock read", NULL, NULL, nothing, try_read, SLEEPERS(AT_POINT),
	  .before = FREE, .after = FREE },
	{ "rwlock read again", NULL, NULL, try_read, try_read, SLEEPERS(BEFORE_CALL),
	  .before = FREE, .after = FREE },
	{ "rwlock read, taken", NULL, ada_writes, nothing, try_read, SLEEPERS(BEFORE_CALL),
	  .result = -EAGAIN, .before = HELD, .after = HELD, .rules = ADA_HAS },
	{ "rwlock read, late", NULL, ada_writes, nothing, read_late, SLEEPERS(BEFORE_CALL),
	  .result = -ETIMEDOUT, .before = HELD, .after = HELD, .rules = ADA_HAS },
	{ "rwlock read, waits", NULL, ada_writes, nothing, read_waiting, SLEEPERS(BEFORE_CALL),
	  .grant = release, .before = HELD, .after = FREE },
	{ "rwlock read, waits as new", NULL, ada_writes, NULL, read_waiting,
	  SLEEPERS(BEFORE_VICTIM), .grant = release, .before = HELD, .after = FREE },
	{ "rwlock read after a death", NULL, eve_died_writing, nothing, try_read,
	  SLEEPERS(AT_POINT), .result = -EOWNERDEAD, .before = GONE, .after = MINE,
	  .between = FREE },
	{ "rwlock release, reader", NULL, NULL, try_read, release, SLEEPERS(BEFORE_CALL),
	  .before = FREE, .after = FREE },
	{ "rwlock release, one of two", NULL, NULL, read_twice, release, SLEEPERS(BEFORE_CALL),
	  .before = FREE, .after = FREE },
	{ "rwlock write, stranger", NULL, NULL, NULL, try_write, SLEEPERS(AT_POINT),
	  .before = FREE, .after = MINE },
	{ "rwlock write", NULL, NULL, nothing, try_write, SLEEPERS(AT_POINT),
	  .before = FREE, .after = MINE },
	{ "rwlock write, read", NULL, ada_reads, nothing, try_write, SLEEPERS(BEFORE_CALL),
	  .result = -EAGAIN, .before = FREE, .after = FREE, .rules = ADA_HAS },
	{ "rwlock write, late", NULL, ada_reads, nothing, write_late, READERS(AT_POINT),
	  .result = -ETIMEDOUT, .before = FREE, .after = FREE, .rules = ADA_HAS },
	{ "rwlock write, drains", NULL, ada_reads, nothing, write_waiting, SLEEPERS(AT_POINT),
	  .grant = release, .before = FREE, .after = MINE },
	{ "rwlock write, waits", make_turn, ada_writes, nothing, write_waiting,
	  SLEEPERS(BEFORE_CALL), .grant = release, .before = HELD, .after = MINE,
	  .between = FREE },
	{ "rwlock write, waits as new", make_turn, ada_writes, NULL, write_waiting,
	  SLEEPERS(BEFORE_VICTIM), .grant = release, .before = HELD, .after = MINE,
	  .between = FREE },
	{ "rwlock write after a death", NULL, eve_died_writing, nothing, try_write,
	  SLEEPERS(AT_POINT), .result = -EOWNERDEAD, .before = GONE, .after = MINE,
	  .between = FREE },
	{ "rwlock write, a reader died", NULL, eve_died_reading, nothing, try_write,
	  SLEEPERS(AT_POINT), .before = FREE, .after = MINE },
	{ "rwlock release, writer", NULL, NULL, try_write, release, SLEEPERS(BEFORE_CALL),
	  .before = MINE, .after = FREE },
	{ "rwlock release, unrecovered", NULL, eve_died_writing, take_over, release,
	  SLEEPERS(BEFORE_CALL), .before = MINE, .after = LOST },
	{ "rwlock release, nothing", NULL, ada_writes, nothing, release, SLEEPERS(BEFORE_CALL),
	  .result = -EPERM, .before = HELD, .after = HELD, .rules = ADA_HAS },
	{ "rwlock recovered", NULL, eve_died_writing, take_over, recovered,
	  SLEEPERS(BEFORE_CALL), .before = MINE, .after = MINE },
	{ "rwlock read, counted", watch, NULL, nothing, read_now, SLEEPERS(AT_POINT),
	  .before = FREE, .after = FREE, .rules = COUNTED },
	{ "rwlock read, waits, counted", watch, ada_writes, nothing, read_waiting,
	  SLEEPERS(BEFORE_CALL), .grant = release, .before = HELD, .after = FREE,
	  .rules = COUNTED },
	{ "rwlock read after a death, counted", watch, eve_died_writing, nothing, read_now,
	  SLEEPERS(AT_POINT), .result = -EOWNERDEAD, .before = GONE, .after = MINE,
	  .between = FREE, .rules = COUNTED },
	{ "rwlock write, waits, counted", make_watched_turn, ada_writes, nothing, write_waiting,
	  SLEEPERS(BEFORE_CALL), .grant = release, .before = HELD, .after = MINE,
	  .between = FREE, .rules = COUNTED },
	{ "rwlock watch", NULL, ada_writes, nothing, watch, SLEEPERS(BEFORE_CALL),
	  .before = HELD, .after = HELD, .rules = ADA_HAS },
	{ "rwlock unwatch", watch, ada_writes, nothing, unwatch, SLEEPERS(BEFORE_CALL),
	  .before = HELD, .after = HELD, .rules = ADA_HAS },
	{ "rwlock init", NULL, NULL, nothing, init, .check = check,
	  .before = FREE, .after = FREE },
	{ .name = NULL },
};
