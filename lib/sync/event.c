/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * event: one word, { times cleared:63 | set now:1 }, 0 at first.
 *
 *	set     clear -> set       fetch_or of the bit, then wake all who wait
 *	        set -> set         the same
 *	clear   set -> clear       CAS of word + 1, which carries into the count
 *	        clear -> clear     nothing
 *	wait    until the bit is set or the word is not the one that was found first
 *
 * So the word never comes back, and each change of a clear word is a set: a waiter that found it
 * clear is released by the next set, however often it has been cleared when the waiter looks.
 *
 * No call has a loop. The CAS of clear fails only if another clear came between: the event was
 * clear at that moment, and a set behind it is a later one. The same holds for signal handlers that
 * interrupt a call of their own thread, at any instruction.
 *
 * Why set changes the word though it is set. A consumer clears and then looks for work; a
 * producer makes work and then sets. If a set did no more than find the bit set, its load
 * could come before the producer's earlier stores are visible (also on x86-64), the clear and the
 * look between them: work, a clear event, and nobody who comes. The bit alone, and no CAS that
 * expects it clear, makes that one instruction. For the same reason set wakes who waits
 * whatever the bit was: another member may have set it and be stopped before it wakes them.
 *
 * Dying inside. Before the change nothing has happened. A member that dies between the change and
 * the wake-up, or in the midst of waking, leaves the word as it has to be; whoever sleeps watches
 * all lives, and the sweep of the dead wakes all sleepers (sync.h). That is why set becomes a
 * member first. The bit of a waiter that died asleep is cleared by the next set.
 *
 * What is counted (contention.h) are waits: a set costs the same.
 *
 * Edges (doc/memory-model.md). E1: the fetch_or of set releases what was written before it; the
 * loads of wait and is_set acquire it, also behind a clear, which is a read-modify-write and so
 * carries it on. E2: the fetch_or of set on a set word and the CAS of clear are ordered one way or
 * the other: either the clear acquires, or the set finds the event clear. The fetch_or is W1 as
 * well.
 */
#include <string.h>

#include <brood/event.h>

#include "sync/contention.h"
#include "wait/bell.h"

enum { SET = 1 };

_Static_assert(sizeof(struct brood_event) == BROOD__LINE, "an event is a line");

struct waiting {
	const struct brood_event *event;
	uint64_t found;
};

/* E1 */
static uint64_t load(const struct brood_event *event)
{
	return atomic_load_explicit(sync_word((uint64_t *)(uintptr_t)&event->word),
				    memory_order_acquire);
}

/* E1, E2, W1 */
static inline void set_now(struct brood_event *event)
{
	atomic_fetch_or_explicit(sync_word(&event->word), SET, memory_order_seq_cst);
}

static brood__slow int set_slowly(struct brood_event *event)
{
	struct brood__here here;
	int result = sync_enter(event, BROOD__LINE, &here);

	if (result)
		return result;
	set_now(event);
	sync_wake_all(here.members, sync_list(event->waiters));
	return 0;
}

static brood__slow int wake_them(struct brood_event *event, struct brood__members *members)
{
	sync_wake_all(members, sync_list(event->waiters));
	return 0;
}

int brood_event_set(struct brood_event *event)
{
	const struct brood__here *here = sync_nearby(event, BROOD__LINE);

	if (brood__unlikely(!here))
		return set_slowly(event);
	set_now(event);
	return brood__unlikely(brood__waitlist_any(sync_list(event->waiters))) ?
		       wake_them(event, here->members) : 0;
}

int brood_event_clear(struct brood_event *event)
{
	struct brood__here here;
	int result = sync_enter(event, BROOD__LINE, &here);
	uint64_t word;

	if (brood__unlikely(result))
		return result;
	word = load(event);
	if (word & SET)		/* E2 */
		atomic_compare_exchange_strong_explicit(sync_word(&event->word), &word, word + 1,
							memory_order_seq_cst, memory_order_seq_cst);
	return 0;
}

int brood_event_is_set(const struct brood_event *event)
{
	struct brood__here here;
	int result = sync_enter(event, BROOD__LINE, &here);

	return result ? result : (int)(load(event) & SET);
}

static ssize_t try_wait(void *arg)
{
	const struct waiting *waiting = arg;

	return waiting->found & SET || load(waiting->event) != waiting->found ? 0 : -EAGAIN;
}

static brood__slow int wait_slowly(struct brood_event *event, int64_t timeout)
{
	struct brood__here here;
	struct waiting waiting = { .event = event };
	struct sync_tally tally = { 0 };
	ssize_t result = sync_enter(event, BROOD__LINE, &here);

	if (result)
		return (int)result;
	tally.counts = sync_counts(event, &event->contention, &here);
	waiting.found = load(event);
	result = try_wait(&waiting);
	if (result == -EAGAIN) {
		sync_waits(&tally);
		result = sync_wait(&here, sync_list(event->waiters), timeout, try_wait, &waiting);
	}
	sync_count(&tally, result);
	return (int)result;
}

int brood_event_wait(struct brood_event *event, int64_t timeout)
{
	/* So that who finds it set does not pay for the counting. */
	if (brood__likely(sync_nearby(event, BROOD__LINE)) && load(event) & SET &&
	    !atomic_load_explicit(sync_contention(&event->contention), memory_order_relaxed))
		return 0;
	return wait_slowly(event, timeout);
}

int brood_event_watch(struct brood_event *event, struct brood_contention *counts)
{
	return brood__contention_watch(event, offsetof(struct brood_event, contention), counts);
}

int brood_event_init(struct brood_event *event)
{
	return sync_make_zero(event, sizeof(*event));
}

struct brood_event *brood_event_create(const struct brood_event_opts *given)
{
	struct brood_event_opts opts;
	int result = brood__options(&opts, sizeof(opts), given);

	return sync_alloc(result, opts.segment, sizeof(struct brood_event));
}

int brood_event_destroy(struct brood_event *event)
{
	return brood_free(NULL, event);
}

/* ---- among many ---- */

static int begin(void *object, uint32_t events, struct brood__here *here, uint64_t *state)
{
	int result = sync_enter(object, BROOD__LINE, here);

	(void)events;
	if (result == 0)
		*state = load(object) | SET;	/* it was clear: any other word is, or was, set */
	return result;
}

/* state: the word at the beginning, or 0 = it has to be set now. */
static uint32_t look(const struct brood__here *here, void *object, uint32_t events, uint64_t state)
{
	uint64_t word = load(object);

	(void)here;
	return word & SET || (state && (word | SET) != state) ? events : 0;
}

static struct brood__waitlist *list(void *object, uint32_t event)
{
	(void)event;
	return sync_list(((struct brood_event *)object)->waiters);
}

static const struct brood__waitable_ops ops = {
	.events = BROOD_READABLE,
	.enter = begin,
	.look = look,
	.list = list,
};

static void register_event(void) __attribute__((constructor));
static void register_event(void)
{
	brood__waitable_register(BROOD_WAIT_EVENT, &ops);
}

int brood_event_fd(struct brood_event *event)
{
	return brood__bell_open(BROOD_WAIT_EVENT, event, BROOD_READABLE);
}

int brood_event_fd_close(struct brood_event *event)
{
	return brood__bell_close(BROOD_WAIT_EVENT, event, BROOD_READABLE);
}
