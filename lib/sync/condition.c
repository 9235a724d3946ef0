/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * condition: a word for each member, { token of the waiter:48 | WAITING or NOTIFIED:16 }, 0 when
 * the member does not wait.
 *
 *	wait      0 -> me|WAITING; give the lock back; sleep until my word is me|NOTIFIED; take the
 *	          lock; my word -> 0
 *	too late  me|WAITING -> 0; failing that, I was notified after all; take the lock
 *	notify    w|WAITING -> w|NOTIFIED for n living waiters, in turn; wake those
 *
 * All but "too late", which is a waiter's own business, happens under the user's lock, so two
 * notifications never meet, and the words stand still for whoever has the lock: waiters may still
 * give up or die. All changes are CASes nevertheless: a user who takes different locks loses
 * notifications, and breaks nothing.
 *
 * Dying inside. A waiter that dies leaves one of two words:
 *
 *	gone|WAITING     before it was notified: it is not counted; whoever settles clears it
 *	gone|NOTIFIED    and did not come back: the notification has to go to another. It may be
 *	                 that there is none; then whoever comes later finds what was notified by
 *	                 looking, before it waits.
 *
 * settle() does both, under the lock, at the start of every wait and notify: first another living
 * waiter becomes NOTIFIED, then the dead one's word is cleared. Who dies between the two leaves a
 * notification that is passed on twice: one too many, never one too few.
 *
 * If nobody comes to wait or notify: the death makes all sleepers look (sync.h). Whoever sees a
 * gone|NOTIFIED gets up, takes the lock, as it would have to in the end, and settles. It may get
 * the notification itself, or another sleeper may; if it does not, it gives the lock back and
 * sleeps on. Sleepers get up for two more reasons, which the lock's word tells: its owner is gone,
 * perhaps before it could notify; or the lock is lost, and nobody will ever be able to.
 *
 * A waiter that dies when it has the lock again, but not yet cleared its word, leaves both: an
 * owner that is gone and a notification to be passed on. After the clearing, the state of the
 * user's data is the lock's affair: -EOWNERDEAD tells the next.
 *
 * A notifier that dies has changed some words and perhaps not woken those waiters: its death does.
 * Those it did not come to were not notified; but then it died as the lock's owner, which wakes
 * too.
 *
 * A new member may have the id, and so the word, of a dead waiter: its first wait settles before
 * it takes the word. A word that is mine already is that of a wait which a signal handler
 * interrupted.
 *
 * An rlock's depth is its owner's alone (lock.c): saved before the lock is given back, restored
 * when the caller has it again. A brood_lock's depth is 0 all the time.
 *
 * Edges (doc/memory-model.md). The words and `next` are ordered by the lock (L1). C1: the CAS to
 * NOTIFIED is W1, for the sleeper's look behind W3. C2: a notifier that marks a waiter as NOTIFIED
 * asks only behind that, and a full fence, whether the waiter is gone, and takes it back then. So
 * either the notifier learns of the death, or the sleepers that look because of the death, behind
 * W3, see the word. With the question first, a waiter that dies after it, and before the CAS,
 * swallows the notification: the sleepers have looked already.
 */
#include <limits.h>
#include <string.h>

#include <brood/condition.h>

#include "sync/contention.h"

enum { WAITING = 1, NOTIFIED = 2 };	/* in a slot, beside the token */

enum { NOT_NOTIFIED = 1 };		/* of a look: get up for another reason */

_Static_assert(sizeof(struct brood_condition) == BROOD__LINE + 8 * BROOD_MEMBERS_MAX,
	       "a line, and a word a member");

struct call {
	struct brood_condition *condition;
	struct brood_lock *lock;
	struct brood__here here;
	_Atomic uint32_t wake[BROOD__MASK_WORDS];	/* notified, and perhaps asleep */
};

/* C1 */
static uint64_t load(struct brood_condition *condition, uint32_t id)
{
	return atomic_load_explicit(sync_word(&condition->slots[id]), memory_order_seq_cst);
}

/* C1, W1 */
static bool change(struct brood_condition *condition, uint32_t id, uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(sync_word(&condition->slots[id]), &from, to,
						       memory_order_seq_cst, memory_order_relaxed);
}

static uint64_t lock_word(struct brood_lock *lock)
{
	return atomic_load_explicit(sync_word(&lock->word), memory_order_relaxed);
}

/* The ids that any member has had. */
static uint32_t ids(const struct call *call)
{
	const struct brood__members *members = call->here.members;
	uint32_t used = atomic_load_explicit(members->used, memory_order_acquire);	/* M4 */

	return used < BROOD_MEMBERS_MAX ? used : BROOD_MEMBERS_MAX;
}

static int enter(struct call *call, struct brood_condition *condition, struct brood_lock *lock)
{
	struct brood__here there;
	int result = sync_enter(condition, BROOD__LINE, &call->here);

	if (result == 0)
		result = sync_enter(lock, BROOD__LINE, &there);
	if (result)
		return result;
	if (there.members != call->here.members)
		return -EINVAL;
	if ((lock_word(lock) & BROOD__TOKEN_MASK) != call->here.token)
		return -EPERM;
	call->condition = condition;
	call->lock = lock;
	memset(call->wake, 0, sizeof(call->wake));
	return 0;
}

/* ---- notify ---- */

static bool notify_slot(struct call *call, uint32_t id, uint64_t waiter)
{
	if (!change(call->condition, id, waiter | WAITING, waiter | NOTIFIED))
		return false;
	atomic_thread_fence(memory_order_seq_cst);	/* C2 */
	if (brood__likely(!brood__token_gone(call->here.members, waiter)))
		return true;
	change(call->condition, id, waiter | NOTIFIED, 0);
	return false;
}

/* One notification, for a living waiter. Whether there was one. */
static bool give(struct call *call)
{
	struct brood_condition *condition = call->condition;
	_Atomic uint32_t *next = sync_word32(&condition->next);
	uint32_t n = ids(call), first = atomic_load_explicit(next, memory_order_relaxed);

	for (uint32_t k = 0; k < n; k++) {
		uint32_t id = (first % n + k) % n;
		uint64_t word = load(condition, id);

		if (!(word & WAITING) || !notify_slot(call, id, word & BROOD__TOKEN_MASK))
			continue;
		atomic_store_explicit(next, id + 1, memory_order_relaxed);
		if (brood__mask_has(sync_list(condition->waiters)->mask, id))	/* W2 */
			call->wake[id / 32] |= 1u << (id % 32);
		return true;
	}
	return false;
}

/* What the dead left: their notifications go to others, and their words are cleared. */
static void settle(struct call *call)
{
	for (uint32_t id = 0, n = ids(call); id < n; id++) {
		uint64_t word = load(call->condition, id);

		if (brood__likely(!word || !brood__token_gone(call->here.members, word)))
			continue;
		if (word & NOTIFIED)
			give(call);
		change(call->condition, id, word, 0);
	}
}

static void wake(struct call *call)
{
	uint32_t any = 0;

	for (uint32_t i = 0; i < BROOD__MASK_WORDS; i++)
		any |= call->wake[i];
	if (any)
		brood__wake_all(call->here.members, call->wake);
	memset(call->wake, 0, sizeof(call->wake));
}

int brood_condition_notify(struct brood_condition *condition, struct brood_lock *lock, int n)
{
	struct call call;
	int result = enter(&call, condition, lock);

	if (result)
		return result;
	settle(&call);
	while (n > 0 && give(&call))
		n--;
	wake(&call);
	return 0;
}

int brood_condition_notify_all(struct brood_condition *condition, struct brood_lock *lock)
{
	return brood_condition_notify(condition, lock, INT_MAX);
}

/* ---- wait ---- */

static uint32_t my_id(const struct call *call)
{
	return brood__token_id(call->here.token);
}

static bool still_waiting(const struct call *call)
{
	return load(call->condition, my_id(call)) == (call->here.token | WAITING);
}

/* Whether somebody has to get up and see to it. */
static bool trouble(const struct call *call)
{
	uint64_t owner = lock_word(call->lock);

	if (owner & (SYNC_INCONSISTENT | SYNC_LOST))
		return true;
	if ((owner & BROOD__TOKEN_MASK) && brood__token_gone(call->here.members, owner))
		return true;
	for (uint32_t id = 0, n = ids(call); id < n; id++) {
		uint64_t word = load(call->condition, id);

		if ((word & NOTIFIED) && brood__token_gone(call->here.members, word))	/* C2 */
			return true;
	}
	return false;
}

static ssize_t look(void *arg)
{
	const struct call *call = arg;

	if (!still_waiting(call))
		return 0;
	return trouble(call) ? NOT_NOTIFIED : -EAGAIN;
}

/* One for several sleeps. */
static int64_t deadline_of(int64_t timeout)
{
	if (timeout <= 0 || timeout == BROOD_FOREVER)
		return timeout;
	return brood_until(brood__deadline(timeout));
}

/*
 * Without the lock, until notified or too late or something is wrong, then with it again: what
 * acquiring it said, in *acquired, and how the wait went.
 */
static ssize_t sleep_without_lock(struct call *call, int64_t timeout, int *acquired)
{
	ssize_t result;

	brood_lock_release(call->lock);
	result = sync_wait(&call->here, sync_list(call->condition->waiters), timeout, look, call);
	if (result < 0 && !change(call->condition, my_id(call), call->here.token | WAITING, 0))
		result = 0;
	*acquired = brood_lock_acquire(call->lock, BROOD_FOREVER);
	return result;
}

static int wait_in_slot(struct call *call, int64_t timeout)
{
	ssize_t result;
	int acquired;

	for (;;) {
		result = sleep_without_lock(call, timeout, &acquired);
		if (result != NOT_NOTIFIED || acquired)
			break;
		settle(call);
		wake(call);
		if (!still_waiting(call)) {
			result = 0;
			break;
		}
	}
	atomic_store_explicit(sync_word(&call->condition->slots[my_id(call)]), 0,
			      memory_order_release);
	return acquired ? acquired : (int)result;
}

int brood_condition_wait(struct brood_condition *condition, struct brood_lock *lock,
			 int64_t timeout)
{
	struct sync_tally tally = { 0 };
	struct call call;
	int result = enter(&call, condition, lock);
	uint32_t depth;

	if (result)
		return result;
	tally.counts = sync_counts(condition, &condition->contention, &call.here);
	sync_waits(&tally);
	settle(&call);
	wake(&call);
	if (!change(condition, my_id(&call), 0, call.here.token | WAITING))
		return -EDEADLK;
	depth = lock->depth;
	result = wait_in_slot(&call, deadline_of(timeout));
	if (result != -ENOTRECOVERABLE)
		lock->depth = depth;
	if (result == 0)
		sync_count(&tally, result);
	return result;
}

int brood_condition_wait_for(struct brood_condition *condition, struct brood_lock *lock,
			     int (*predicate)(void *argument), void *argument, int64_t timeout)
{
	struct call call;
	int result = enter(&call, condition, lock);

	if (result == 0 && !predicate)
		result = -EINVAL;
	timeout = deadline_of(timeout);
	while (result == 0) {
		if (predicate(argument))
			return 0;
		result = brood_condition_wait(condition, lock, timeout);
	}
	if (result == -EAGAIN || result == -ETIMEDOUT)
		return predicate(argument) ? 0 : result;
	return result;
}

/* ---- watched, made ---- */

int brood_condition_watch(struct brood_condition *condition, struct brood_contention *counts)
{
	return brood__contention_watch(condition, offsetof(struct brood_condition, contention),
				       counts);
}

int brood_condition_init(struct brood_condition *condition)
{
	return sync_make_zero(condition, sizeof(*condition));
}

struct brood_condition *brood_condition_create(const struct brood_condition_opts *given)
{
	struct brood_condition_opts opts;
	int result = brood__options(&opts, sizeof(opts), given);

	return sync_alloc(result, opts.segment, sizeof(struct brood_condition));
}

int brood_condition_destroy(struct brood_condition *condition)
{
	return brood_free(NULL, condition);
}
