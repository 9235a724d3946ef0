/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * counter: one word, the value in two's complement; every change is one seq_cst read-modify-write
 * of it, behind which all who wait are woken if the value is another now.
 *
 * Dying inside. Before that instruction nothing has happened, behind it all has: who dies before
 * the wake-up leaves a value that the sleepers see when they look, and they look when the dead
 * one is swept (sync.h). That is why who changes the value becomes a member first. The bit of a
 * waiter that died asleep is cleared by the next change.
 *
 * A waiter compares values, not changes, so one that comes back before it looks is no change to it.
 *
 * Edges (doc/memory-model.md). N1: each change releases what was written before it; the loads of
 * get and wait_change, and the changes themselves, acquire it, all changes being one release
 * sequence. A change is W1 as well. A compare_exchange or max that changes nothing is a load.
 */
#include <string.h>

#include <brood/counter.h>

#include "sync/sync.h"

_Static_assert(sizeof(struct brood_counter) == BROOD__LINE, "a counter is a line");

struct waiting {
	const struct brood_counter *counter;
	int64_t seen;
	int64_t now;
};

/* N1 */
static int64_t load(const struct brood_counter *counter)
{
	return (int64_t)atomic_load_explicit(sync_word((uint64_t *)(uintptr_t)&counter->word),
					     memory_order_acquire);
}

/* N1, W1 */
static bool change(struct brood_counter *counter, int64_t *from, int64_t to)
{
	return atomic_compare_exchange_strong_explicit(sync_word(&counter->word), (uint64_t *)from,
						       (uint64_t)to, memory_order_seq_cst,
						       memory_order_acquire);
}

static void wake(const struct brood__here *here, struct brood_counter *counter)
{
	sync_wake_all(here->members, sync_list(counter->waiters));
}

static inline int give(int64_t *result, int64_t value)
{
	if (result)
		*result = value;
	return 0;
}

int brood_counter_get(const struct brood_counter *counter, int64_t *value)
{
	struct brood__here here;
	int result = sync_enter(counter, BROOD__LINE, &here);

	if (brood__unlikely(result))
		return result;
	if (brood__unlikely(!value))
		return -EINVAL;
	return give(value, load(counter));
}

int brood_counter_set(struct brood_counter *counter, int64_t value)
{
	struct brood__here here;
	int result = sync_enter(counter, BROOD__LINE, &here);

	if (brood__unlikely(result))
		return result;
	/* N1, W1 */
	if (atomic_exchange_explicit(sync_word(&counter->word), (uint64_t)value,
				     memory_order_seq_cst) != (uint64_t)value)
		wake(&here, counter);
	return 0;
}

int brood_counter_add(struct brood_counter *counter, int64_t n, int64_t *sum)
{
	struct brood__here here;
	int result = sync_enter(counter, BROOD__LINE, &here);
	uint64_t before;

	if (brood__unlikely(result))
		return result;
	/* N1, W1 */
	before = atomic_fetch_add_explicit(sync_word(&counter->word), (uint64_t)n,
					   memory_order_seq_cst);
	if (n)
		wake(&here, counter);
	return give(sum, (int64_t)(before + (uint64_t)n));
}

int brood_counter_compare_exchange(struct brood_counter *counter, int64_t *expected, int64_t value)
{
	struct brood__here here;
	int result = sync_enter(counter, BROOD__LINE, &here);
	int64_t before;

	if (brood__unlikely(result))
		return result;
	if (brood__unlikely(!expected))
		return -EINVAL;
	before = *expected;
	if (!change(counter, expected, value))
		return 0;
	if (before != value)
		wake(&here, counter);
	return 1;
}

int brood_counter_max(struct brood_counter *counter, int64_t n, int64_t *greater)
{
	struct brood__here here;
	int result = sync_enter(counter, BROOD__LINE, &here);
	int64_t value;

	if (brood__unlikely(result))
		return result;
	value = load(counter);
	while (value < n)
		if (change(counter, &value, n)) {
			wake(&here, counter);
			value = n;
		}
	return give(greater, value);
}

static ssize_t try_wait(void *arg)
{
	struct waiting *waiting = arg;

	waiting->now = load(waiting->counter);
	return waiting->now != waiting->seen ? 0 : -EAGAIN;
}

int brood_counter_wait_change(struct brood_counter *counter, int64_t seen, int64_t *now,
			      int64_t timeout)
{
	struct brood__here here;
	struct waiting waiting = { .counter = counter, .seen = seen };
	ssize_t result = sync_enter(counter, BROOD__LINE, &here);

	if (result)
		return (int)result;
	result = try_wait(&waiting);
	if (result)
		result = sync_wait(&here, sync_list(counter->waiters), timeout, try_wait, &waiting);
	return result ? (int)result : give(now, waiting.now);
}

int brood_counter_init(struct brood_counter *counter, int64_t value)
{
	struct brood__here here;
	int result = sync_enter(counter, BROOD__LINE, &here);

	if (result)
		return result;
	memset(counter, 0, sizeof(*counter));
	counter->word = (uint64_t)value;
	return 0;
}

struct brood_counter *brood_counter_create(const struct brood_counter_opts *given)
{
	struct brood_counter_opts opts;
	int result = brood__options(&opts, sizeof(opts), given);
	struct brood_counter *counter;

	counter = sync_alloc(result, opts.segment, sizeof(*counter));
	if (counter)
		brood_counter_init(counter, opts.value);
	return counter;
}

int brood_counter_destroy(struct brood_counter *counter)
{
	return brood_free(NULL, counter);
}
