/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pairs of calls of locks: never two owners, never a sleeper beside a free lock, and -EOWNERDEAD
 * once for each owner that died, to whoever is the next.
 */
#include <errno.h>

#include <brood/lock.h>

#include "member/member.h"
#include "pair_tables.h"

ACT(lock_try, brood_lock_acquire(object, 0))
ACT(lock_late, brood_lock_acquire(object, brood_us(1)))
ACT(lock_wait, brood_lock_acquire(object, BROOD_FOREVER))
ACT(unlock, brood_lock_release(object))
ACT(recovered, brood_lock_recovered(object))
ACT(rlock_wait, brood_rlock_acquire(object, BROOD_FOREVER))
ACT(rlock_try, brood_rlock_acquire(object, 0))
ACT(rlock_unlock, brood_rlock_release(object))
ACT(rlock_recovered, brood_rlock_recovered(object))

static ssize_t lock_cycle(void *object)
{
	ssize_t result = lock_wait(object);

	return result ? result : alone(unlock, object);
}

static ssize_t rlock_cycle(void *object)
{
	ssize_t result = rlock_wait(object);

	return result ? result : alone(rlock_unlock, object);
}

/* Whoever gets it passes it on, so that a sleeper gets it too. */
static ssize_t lock_late_cycle(void *object)
{
	ssize_t result = lock_late(object);

	return result ? result : alone(unlock, object);
}

static ssize_t rlock_twice(void *object)
{
	ssize_t result = rlock_try(object);

	return result ? result : rlock_try(object);
}

static ssize_t rlock_unlock_twice(void *object)
{
	ssize_t result = rlock_unlock(object);

	return result ? result : rlock_unlock(object);
}

/* Passed over, who waited for it sleeps on. */
static ssize_t unlock_and_try(void *object)
{
	ssize_t result = unlock(object);

	return result ? result : lock_try(object);
}

static ssize_t make_forgiving(void *object)
{
	const struct brood_lock_opts opts = { .forgiving = true };

	return brood_lock_init(object, &opts);
}

static ssize_t make_turn(void *object)
{
	((struct brood_lock *)object)->waiters[8] = FIRST_ID - 1;
	return 0;
}

/* By the parent, who does not release it. */
static ssize_t make_held(void *object)
{
	return lock_try(object);
}

static bool lock_is_free(struct play *play)
{
	return brood_lock_locked(play->object) == 0 || play_fail(play, "it is locked");
}

static bool lock_is_held(struct play *play)
{
	return brood_lock_locked(play->object) == 1 || play_fail(play, "it is not locked");
}

static bool one_got_it(struct play *play)
{
	return lock_is_held(play) && (play->stuck[0] == (play->result[1] == 0) ||
				      play_fail(play, "both got it, or none"));
}

/* ---- behind a dead owner ---- */

struct kind {
	ssize_t (*acquire)(void *object);
	ssize_t (*recovered)(void *object);
	ssize_t (*release)(void *object);
};

static const struct kind a_lock = { lock_wait, recovered, unlock };
static const struct kind an_rlock = { rlock_wait, rlock_recovered, rlock_unlock };

enum { NOT_YET, GOT, TOLD };	/* stage->n[who]: acquired, and with what */

/* The result is that of acquiring. */
static ssize_t cycle(void *object, const struct kind *kind, unsigned who)
{
	ssize_t result = kind->acquire(object);
	ssize_t released;

	if (result == -EOWNERDEAD)
		atomic_store(&stage->inside, 0);
	else if (result)
		return result;
	atomic_store(&stage->n[who], result ? TOLD : GOT);
	if (result && kind->recovered(object))
		return -EPROTO;
	released = alone(kind->release, object);
	return released ? released : result;
}

ACT(cycle_0, cycle(object, &a_lock, 0))
ACT(cycle_1, cycle(object, &a_lock, 1))
ACT(rcycle_0, cycle(object, &an_rlock, 0))
ACT(rcycle_1, cycle(object, &an_rlock, 1))

/* Of a sleeper. */
static ssize_t cycle_2(void *object)
{
	ssize_t result = cycle(object, &a_lock, 2);

	return result == -EOWNERDEAD ? 0 : result;
}

static ssize_t take_over(void *object)
{
	ssize_t result = lock_try(object);

	return result == -EOWNERDEAD ? 0 : -EPROTO;
}

/* Of a sleeper, who cannot have it any more. */
static ssize_t find_it_lost(void *object)
{
	return lock_wait(object) == -ENOTRECOVERABLE ? 0 : -EPROTO;
}

static ssize_t recover_and_unlock(void *object)
{
	ssize_t result = recovered(object);

	return result ? result : unlock(object);
}

/* The first died; whether as the owner. */
static bool died_owning(const struct play *play)
{
	const struct brood_lock *lock = (const void *)play->was;

	return (lock->word & BROOD__TOKEN_MASK) == play->token[0];
}

/* Whoever acquires next behind an owner's death is told of it, and nobody else. */
static bool next_is_told(struct play *play)
{
	bool before = play->pair->dead, owning = died_owning(play), second, third = false;

	if (!owning)	/* the first did not acquire, or did and released, or was not the first */
		second = before && play->n[0] != TOLD;
	else if (play->n[1] == NOT_YET)
		second = true;
	else
		second = before, third = true;
	if (play->result[1] != (second ? -EOWNERDEAD : 0))
		return play_fail(play, "the second got %zd", play->result[1]);
	return lock_try(play->object) == (third ? -EOWNERDEAD : 0) ||
	       play_fail(play, "who came then was %stold", third ? "not " : "");
}

/* The first had it at the beginning. */
static bool one_is_told(struct play *play)
{
	unsigned told = 0;

	for (unsigned who = 1; who < 3; who++)
		told += atomic_load(&stage->n[who]) == TOLD;
	if (told != died_owning(play))
		return play_fail(play, "%u were told", told);
	return lock_is_free(play);
}

/* Nobody but he can have got it from the first one. */
static bool sleeper_is_told(struct play *play)
{
	bool told = atomic_load(&stage->n[2]) == TOLD, earlier = play->n[2] != NOT_YET;

	if (!died_owning(play) || !earlier)
		return (told == died_owning(play) && lock_is_free(play)) ||
		       play_fail(play, "the sleeper was %stold", told ? "" : "not ");
	return (!told && lock_try(play->object) == -EOWNERDEAD) ||
	       play_fail(play, "nobody was told");
}

/* ---- the table ---- */

#define SURVIVES .outcomes = { { { 0, 0 } }, { { 0, -EOWNERDEAD } } }, .n_outcomes = 2

const struct pair lock_pairs[] = {
	{ "lock acquire, acquire", .call = BOTH(lock_try), EITHER(-EAGAIN), .check = lock_is_held },
	{ "lock cycle, cycle", .call = BOTH(lock_cycle), BOTH_0, .check = lock_is_free },
	{ "lock acquire, release", .ready = { NULL, lock_try }, .call = { lock_wait, unlock },
	  BOTH_0, .check = lock_is_held },
	{ "lock acquire, release and try", .ready = { NULL, lock_try },
	  .call = { lock_wait, unlock_and_try }, .rescue = unlock, SECOND_MAY(-EAGAIN),
	  .check = one_got_it },
	{ "lock acquire, release of another's", make_held, .call = { lock_wait, unlock }, BOTH_0,
	  .check = lock_is_held },
	{ "lock try, release", .ready = { NULL, lock_try }, .call = { lock_try, unlock },
	  FIRST_MAY(-EAGAIN) },
	{ "lock late, release, one sleeps", make_turn, .ready = { NULL, lock_try },
	  .call = { lock_late_cycle, unlock }, .sleepers = 1, .sleep = lock_cycle,
	  FIRST_MAY(-ETIMEDOUT), .check = lock_is_free },
	{ "lock cycle, release, two sleep", .ready = { NULL, lock_try },
	  .call = { lock_cycle, unlock }, .sleepers = 2, .sleep = lock_cycle, BOTH_0,
	  .check = lock_is_free },
	{ "lock release, release", .ready = { NULL, lock_try }, .call = BOTH(unlock),
	  EITHER(-EPERM), .check = lock_is_free },
	{ "rlock acquire, acquire", .call = BOTH(rlock_try), EITHER(-EAGAIN),
	  .check = lock_is_held },
	{ "rlock cycle, cycle", .call = BOTH(rlock_cycle), BOTH_0, .check = lock_is_free },
	{ "rlock cycle, release twice", .ready = { NULL, rlock_twice },
	  .call = { rlock_cycle, rlock_unlock_twice }, .sleepers = 1, .sleep = rlock_cycle,
	  BOTH_0, .check = lock_is_free },

	{ "lock try, try, owner died", .dead = lock_try, .call = BOTH(lock_try),
	  ONE_EACH(-EOWNERDEAD, -EAGAIN), .check = lock_is_held },
	{ "lock cycle, cycle, owner died", .dead = lock_try, .call = { cycle_0, cycle_1 },
	  EITHER(-EOWNERDEAD), .check = lock_is_free },
	{ "rlock cycle, cycle, owner died", .dead = rlock_twice, .call = { rcycle_0, rcycle_1 },
	  EITHER(-EOWNERDEAD), .check = lock_is_free },
	{ "forgiving try, try, owner died", make_forgiving, lock_try, .call = BOTH(lock_try),
	  EITHER(-EAGAIN), .check = lock_is_held },
	{ "lock recovered, acquire", .dead = lock_try, .ready = { take_over, NULL },
	  .call = { recover_and_unlock, lock_cycle }, BOTH_0, .check = lock_is_free },
	{ "lock recovered, try", .dead = lock_try, .ready = { take_over, NULL },
	  .call = { recovered, lock_try }, ALWAYS(0, -EAGAIN), .check = lock_is_held },
	{ "lock given up, acquire, two sleep", .dead = lock_try, .ready = { take_over, NULL },
	  .call = { unlock, lock_wait }, .sleepers = 2, .sleep = find_it_lost,
	  ALWAYS(0, -ENOTRECOVERABLE) },

	{ "lock cycle dies, cycle", .call = { cycle_0, cycle_1 }, .dies = { true }, SURVIVES,
	  .check = next_is_told },
	{ "lock recovery dies, cycle", .dead = lock_try, .call = { cycle_0, cycle_1 },
	  .dies = { true }, SURVIVES, .check = next_is_told },
	{ "rlock cycle dies, cycle", .call = { rcycle_0, rcycle_1 }, .dies = { true }, SURVIVES,
	  .check = next_is_told },
	{ "rlock recovery dies, cycle", .dead = rlock_twice, .call = { rcycle_0, rcycle_1 },
	  .dies = { true }, SURVIVES, .check = next_is_told },
	{ "lock acquire dies, release, one", make_turn, .ready = { NULL, lock_try },
	  .call = { lock_wait, unlock }, .sleepers = 1, .sleep = cycle_2, .dies = { true },
	  BOTH_0, .check = sleeper_is_told },
	{ "lock release dies, cycle, one", .ready = { lock_try, NULL },
	  .call = { unlock, cycle_1 }, .sleepers = 1, .sleep = cycle_2, .dies = { true },
	  SURVIVES, .check = one_is_told },
	{ .name = NULL },
};
