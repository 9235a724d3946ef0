/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * once: one word, { token of the runner:48 | flags:16 }, 0 at first; DONE for ever in the end. It
 * is changed by CAS only:
 *
 *	0 -> me         the caller runs its function
 *	gone -> me      the same: the former runner died
 *	me -> DONE      it returned 0; wake all
 *	me -> 0         it failed; wake one, who runs his own
 *
 * One is enough behind a failure: who is woken looks, and becomes the runner or finds another one,
 * whose end wakes the next. A waiter whose time is over looks once more after that.
 *
 * Dying inside. Before the first CAS nothing has happened. From then on the word names the runner,
 * which is gone when it is dead: whoever looks takes over. Who dies behind the last CAS has not
 * woken anybody: whoever sleeps watches all lives, and the sweep of the dead wakes all
 * sleepers (sync.h), to find DONE or 0.
 *
 * Who the caller is, is asked again when the function is through: it may have forked, and the
 * child, which has its parent's stack, must not end what its parent still runs.
 *
 * Edges (doc/memory-model.md). O1: the CAS to DONE, or 0, releases what the function wrote; the
 * load that finds DONE, and the CAS from 0, acquire it. From a dead runner: its stores are ordered
 * before its life word's mark (M1), which brood__token_gone acquires. The CAS is W1 as well.
 */
#include <string.h>

#include <brood/once.h>

#include "sync/sync.h"

enum { DONE = 1 };

enum { RUN_IT = 1 };	/* of try_begin: the caller is the runner. 0: it is done */

_Static_assert(sizeof(struct brood_once) == BROOD__LINE, "a once is a line");

struct beginning {
	struct brood_once *once;
	const struct brood__here *here;
};

/* O1 */
static inline uint64_t load(struct brood_once *once)
{
	return atomic_load_explicit(sync_word(&once->word), memory_order_acquire);
}

/* O1, W1 */
static bool change(struct brood_once *once, uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(sync_word(&once->word), &from, to,
						       memory_order_seq_cst, memory_order_relaxed);
}

static ssize_t try_begin(void *arg)
{
	const struct beginning *beginning = arg;
	uint64_t word = load(beginning->once);

	if (word & DONE)
		return 0;
	if (word == beginning->here->token)
		return -EDEADLK;
	if (word && !brood__token_gone(beginning->here->members, word))
		return -EAGAIN;
	return change(beginning->once, word, beginning->here->token) ? RUN_IT : -EAGAIN;
}

static int end(struct brood_once *once, int result)
{
	struct brood__here here;
	int error = sync_enter(once, BROOD__LINE, &here);

	if (error)
		return error;
	if (!change(once, here.token, result ? 0 : DONE))
		return -EPERM;
	if (result)
		brood__notify(here.members, sync_list(once->waiters));
	else
		sync_wake_all(here.members, sync_list(once->waiters));
	return result > 0 ? -ECANCELED : result;
}

int brood_once_call(struct brood_once *once, int (*function)(void *), void *argument,
		    int64_t timeout)
{
	struct brood__here here;
	struct beginning beginning = { once, &here };
	ssize_t result = sync_enter(once, BROOD__LINE, &here);

	if (brood__unlikely(result))
		return (int)result;
	if (brood__unlikely(!function))
		return -EINVAL;
	result = try_begin(&beginning);
	if (result == -EAGAIN)
		result = sync_wait(&here, sync_list(once->waiters), timeout, try_begin, &beginning);
	return result == RUN_IT ? end(once, function(argument)) : (int)result;
}

int brood_once_init(struct brood_once *once)
{
	return sync_make_zero(once, sizeof(*once));
}

struct brood_once *brood_once_create(const struct brood_once_opts *given)
{
	struct brood_once_opts opts;
	int result = brood__options(&opts, sizeof(opts), given);

	return sync_alloc(result, opts.segment, sizeof(struct brood_once));
}

int brood_once_destroy(struct brood_once *once)
{
	return brood_free(NULL, once);
}
