/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * barrier: one word, { round:48 | BROKEN:1 | arrived:15 }, and a note for each member, {
 * incarnation of the member:32 | lowest bits of the round:30 | EXPELLED:1 | INSIDE:1 }, 0 when it
 * is in no wait.
 *
 *	arrive    my note = (me, r);  (r, n) -> (r, n + 1)             n + 1 < parties
 *	last      my note = (me, r);  (r, n) -> (r + 1, 0); wake all   n + 1 == parties
 *	with an   my note = (me, r);  (r, n) -> (r, parties)
 *	action    run it;  (r, parties) -> (r + 1, 0); wake all
 *	break     (r, n) -> (r, BROKEN, 0); wake all
 *	reset     break; EXPELLED in each note of r;  (r, BROKEN, 0) -> (r + 1, 0)
 *	leave     my note = 0
 *
 * The changes of the word are CASes, and the only truth: a round is released or broken by one of
 * them, never both. A party of round r looks at the word: in r and not BROKEN it waits; in r and
 * BROKEN it gets -EPIPE; in a later round, r was released, unless r was broken and reset since:
 * then its note says EXPELLED, before the word says a later round. So a party may look as late as
 * it likes.
 *
 * Dying inside. A note is stored before its member is counted, and cleared behind the end of the
 * round; so everybody counted has a note of this round. A note of this round whose member is gone
 * breaks the barrier, by whoever sees it: sleepers, whom the death makes look (sync.h); the last
 * to come, before it releases; who asks; a new member with the dead one's id, before it takes the
 * note. It may be that the dead one had not been counted yet: it died inside a wait all the same,
 * and will not come. The one that runs the action is a party like any other. A gone note of an
 * earlier round means nothing: it is cleared, lest it be taken for one of a round 2^30 later (only
 * a member that is stopped with its note set for exactly so many rounds, and killed then, would be
 * taken for that). Who judges may be late itself: a note of a later round than the one that it
 * looks at is left alone.
 *
 *	break     behind the CAS: all is said; the sweep of the dead wakes the sleepers
 *	release   the same
 *	reset     before the last CAS the barrier is broken, with or without EXPELLED in some notes:
 *	          the next reset begins anew; behind it, it is done
 *
 * Two resets at a time: the one that comes second to the last CAS finds it done. One that was
 * stopped long before it marks notes only of the round that it has seen broken.
 *
 * Edges (doc/memory-model.md). B1: each arrival's CAS releases, the CAS of the last acquires, and
 * so on to the loads of those that wait: what every party did before its wait is before what any
 * does behind it. B2: a note is stored before its member's CAS on the word, and looked for behind
 * a load of the word: who sees a member counted sees its note. B3: EXPELLED is set before the CAS
 * to the next round, and read behind a load of the word that says a later round. M1: from the dead
 * one's note to who finds it gone. All CASes on the word that end a round are W1 for the sleepers.
 */
#include <string.h>

#include <brood/barrier.h>

#include "sync/contention.h"

enum { ARRIVED = 0x7fff, BROKEN = 0x8000, ROUND_SHIFT = 16 };	/* in the word */

enum { INSIDE = 1, EXPELLED = 2, NOTE_SHIFT = 2, OLDEST = 1 << 29 };	/* in a note */

enum { ROOM_NS = 20000 };	/* as long as sync_wait yields before it sleeps */

_Static_assert(sizeof(struct brood_barrier) == BROOD__LINE + 8 * BROOD_MEMBERS_MAX,
	       "a line, and a word a member");

struct party {
	struct brood_barrier *barrier;
	struct brood__here here;
	uint32_t parties;
	bool acts;		/* it runs an action if it is the last */
	bool only_last;		/* timeout 0: it arrives if it is the last, or not at all */
	uint64_t round;		/* that it has arrived in */
	uint32_t index;
	struct sync_tally tally;
};

/* B1, B2, B3 */
static uint64_t load(struct brood_barrier *barrier)
{
	return atomic_load_explicit(sync_word(&barrier->word), memory_order_seq_cst);
}

/* B1, B2, B3, W1 */
static bool change(struct brood_barrier *barrier, uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(sync_word(&barrier->word), &from, to,
						       memory_order_seq_cst, memory_order_relaxed);
}

static uint64_t round_of(uint64_t word)
{
	return word >> ROUND_SHIFT;
}

static uint64_t next_round(uint64_t word)
{
	return (round_of(word) + 1) << ROUND_SHIFT;
}

/* ---- notes ---- */

static _Atomic uint64_t *note_of(struct brood_barrier *barrier, uint32_t id)
{
	return sync_word(&barrier->slots[id]);
}

static uint64_t read_note(struct brood_barrier *barrier, uint32_t id)
{
	return atomic_load_explicit(note_of(barrier, id), memory_order_acquire);	/* B3 */
}

static bool change_note(struct brood_barrier *barrier, uint32_t id, uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(note_of(barrier, id), &from, to,
						       memory_order_seq_cst, memory_order_relaxed);
}

/* Who wrote it, as a token. */
static uint64_t writer(uint64_t note, uint32_t id)
{
	return note >> 32 << 32 | (uint64_t)(id + 1) << 16;
}

/* How many rounds before this one it was written, of 2^30; from half of that on: after it. */
static uint32_t age(uint64_t note, uint64_t round)
{
	return ((uint32_t)round - ((uint32_t)note >> NOTE_SHIFT)) << NOTE_SHIFT >> NOTE_SHIFT;
}

/* The ids that any member has had. */
static uint32_t ids(const struct brood__here *here)
{
	const struct brood__members *members = here->members;
	uint32_t used = atomic_load_explicit(members->used, memory_order_acquire);	/* M4 */

	return used < BROOD_MEMBERS_MAX ? used : BROOD_MEMBERS_MAX;
}

/*
 * Whether a party of this round is gone. Clears what those left who were parties of earlier ones; by
 * now there may be a later round, whose notes are not ours to judge.
 */
static bool party_gone(struct brood_barrier *barrier, const struct brood__here *here,
		       uint64_t round)
{
	bool gone = false;

	for (uint32_t id = 0, n = ids(here); id < n; id++) {
		uint64_t note = read_note(barrier, id);

		if (brood__likely(!note || !brood__token_gone(here->members, writer(note, id))))
			continue;
		if (age(note, round) == 0)
			gone = true;
		else if (age(note, round) < OLDEST)
			change_note(barrier, id, note, 0);
	}
	return gone;
}

/* ---- break ---- */

static bool break_round(struct brood_barrier *barrier, const struct brood__here *here,
			uint64_t word)
{
	if (!change(barrier, word, (word & ~(uint64_t)ARRIVED) | BROKEN))
		return false;
	sync_wake_all(here->members, sync_list(barrier->waiters));
	return true;
}

/* By the one whose CAS broke the round, so once. */
static void count_death(struct brood_barrier *barrier, const struct brood__here *here)
{
	struct brood_contention *counts = sync_counts(barrier, &barrier->contention, here);

	if (counts)
		sync_add(&counts->owner_deaths, 1);
}

/* The word, when no death has to break it any more. */
static uint64_t look(struct brood_barrier *barrier, const struct brood__here *here)
{
	uint64_t word = load(barrier);

	while (!(word & BROKEN) && brood__unlikely(party_gone(barrier, here, round_of(word)))) {
		if (break_round(barrier, here, word))
			count_death(barrier, here);
		word = load(barrier);
	}
	return word;
}

static int enter(struct brood_barrier *barrier, struct brood__here *here)
{
	int result = sync_enter(barrier, BROOD__LINE, here);

	if (result)
		return result;
	return barrier->parties - 1 < BROOD_MEMBERS_MAX ? 0 : -EINVAL;
}

/* ---- wait ---- */

static _Atomic uint64_t *my_note(const struct party *party)
{
	return note_of(party->barrier, brood__token_id(party->here.token));
}

static bool is_last(const struct party *party, uint64_t word)
{
	return (word & ARRIVED) + 1 >= party->parties;
}

static ssize_t may_arrive(const struct party *party, uint64_t word)
{
	if (word & BROKEN)
		return -EPIPE;
	if ((word & ARRIVED) >= party->parties)		/* its action runs */
		return -EAGAIN;
	return party->only_last && !is_last(party, word) ? -EAGAIN : 0;
}

/* 0: arrived; -EAGAIN: not in this round. */
static ssize_t try_arrive(void *arg)
{
	struct party *party = arg;
	struct brood_barrier *barrier = party->barrier;
	uint64_t mine = party->here.token >> 32 << 32 | INSIDE, word, next;
	ssize_t result;

	do {
		word = load(barrier);
		if (is_last(party, word))
			word = look(barrier, &party->here);
		result = may_arrive(party, word);
		if (result)
			return result;
		party->round = round_of(word);
		party->index = word & ARRIVED;
		atomic_store_explicit(my_note(party), mine | (uint32_t)(party->round << NOTE_SHIFT),
				      memory_order_relaxed);	/* B2 */
		next = is_last(party, word) && !party->acts ? next_round(word) : word + 1;
	} while (!change(barrier, word, next));
	return 0;
}

static ssize_t judge(const struct party *party, uint64_t word)
{
	if (round_of(word) == party->round)
		return word & BROKEN ? -EPIPE : -EAGAIN;
	if (atomic_load_explicit(my_note(party), memory_order_relaxed) & EXPELLED)	/* B3 */
		return -EPIPE;
	return party->index;
}

static ssize_t try_leave(void *arg)
{
	const struct party *party = arg;

	return judge(party, look(party->barrier, &party->here));
}

/*
 * Where there are more parties than CPUs, some can only come when others make room for them:
 * the looks that sync_wait begins with would hold them up. 4 parties on 2 CPUs: 14 us a round
 * without this, 1.5 with it.
 */
static ssize_t make_room(const struct party *party)
{
	ssize_t result = judge(party, load(party->barrier));
	int64_t end;

	if (result != -EAGAIN || party->parties <= brood__cpus_allowed())
		return result;
	end = brood_now() + ROOM_NS;
	do {
		brood__yield();
		result = judge(party, load(party->barrier));
	} while (result == -EAGAIN && brood_now() < end);
	return result;
}

static int wait_for_others(struct party *party, int64_t timeout)
{
	ssize_t result;

	sync_waits(&party->tally);
	result = make_room(party);
	if (result == -EAGAIN)
		result = sync_wait(&party->here, sync_list(party->barrier->waiters), timeout,
				   try_leave, party);
	while (result == -ETIMEDOUT) {
		uint64_t word = load(party->barrier);

		result = judge(party, word);
		if (result == -EAGAIN) {
			result = -ETIMEDOUT;
			if (break_round(party->barrier, &party->here, word))
				break;
		}
	}
	return (int)result;
}

/* All have come, and wait for the action. */
static int act(struct party *party, int (*action)(void *), void *argument)
{
	struct brood_barrier *barrier = party->barrier;
	uint64_t word = party->round << ROUND_SHIFT | party->parties;
	int result = action(argument);

	if (result) {
		if (!break_round(barrier, &party->here, word))
			return -EPIPE;
		return result > 0 ? -result : result;
	}
	if (look(barrier, &party->here) != word || !change(barrier, word, next_round(word)))
		return -EPIPE;
	return 0;
}

/* As the last: without an action the round is released already. */
static int complete(struct party *party, int (*action)(void *), void *argument)
{
	int result = action ? act(party, action, argument) : 0;

	if (result)
		return result;
	sync_wake_all(party->here.members, sync_list(party->barrier->waiters));
	return (int)party->index;
}

static int arrive(struct party *party, int64_t *timeout)
{
	uint64_t note = atomic_load_explicit(my_note(party), memory_order_relaxed);
	ssize_t result;

	if (brood__unlikely(note)) {
		if (note >> 32 == party->here.token >> 32)
			return -EDEADLK;
		look(party->barrier, &party->here);	/* of a dead one that had my id */
	}
	result = try_arrive(party);
	if (brood__unlikely(result == -EAGAIN)) {
		sync_waits(&party->tally);
		if (*timeout > 0 && *timeout != BROOD_FOREVER)
			*timeout = brood_until(brood__deadline(*timeout));
		result = sync_wait(&party->here, sync_list(party->barrier->waiters), *timeout,
				   try_arrive, party);
	}
	return (int)result;
}

int brood_barrier_wait_action(struct brood_barrier *barrier, int (*action)(void *argument),
			      void *argument, int64_t timeout)
{
	struct party party = { .barrier = barrier, .acts = action != NULL };
	int result = enter(barrier, &party.here);

	if (result)
		return result;
	party.tally.counts = sync_counts(barrier, &barrier->contention, &party.here);
	party.parties = barrier->parties;
	party.only_last = brood__no_wait(timeout);
	result = arrive(&party, &timeout);
	if (result == -EDEADLK)
		return result;
	if (result == 0 && party.index + 1 < party.parties)
		result = wait_for_others(&party, timeout);
	else if (result == 0)
		result = complete(&party, action, argument);
	atomic_store_explicit(my_note(&party), 0, memory_order_release);
	sync_count(&party.tally, result);
	return result;
}

int brood_barrier_wait(struct brood_barrier *barrier, int64_t timeout)
{
	return brood_barrier_wait_action(barrier, NULL, NULL, timeout);
}

/* ---- abort, reset ---- */

int brood_barrier_abort(struct brood_barrier *barrier)
{
	struct brood__here here;
	int result = enter(barrier, &here);
	uint64_t word;

	if (result)
		return result;
	do
		word = load(barrier);
	while (!(word & BROKEN) && !break_round(barrier, &here, word));
	return 0;
}

static void expel(struct brood_barrier *barrier, const struct brood__here *here, uint64_t round)
{
	for (uint32_t id = 0, n = ids(here); id < n; id++) {
		uint64_t note = read_note(barrier, id);

		if (note && age(note, round) == 0)
			change_note(barrier, id, note, note | EXPELLED);	/* B3 */
	}
}

int brood_barrier_reset(struct brood_barrier *barrier)
{
	struct brood__here here;
	int result = enter(barrier, &here);
	uint64_t word;

	if (result)
		return result;
	do
		word = load(barrier);
	while (!(word & BROKEN) && !break_round(barrier, &here, word));
	word = round_of(word) << ROUND_SHIFT | BROKEN;
	expel(barrier, &here, round_of(word));
	change(barrier, word, next_round(word));	/* B3; or another reset has done it */
	return 0;
}

/* ---- made, asked, watched ---- */

int brood_barrier_init(struct brood_barrier *barrier, int parties)
{
	struct brood__here here;
	int result = sync_enter(barrier, BROOD__LINE, &here);

	if (result)
		return result;
	if (parties < 1 || parties > BROOD_MEMBERS_MAX)
		return -EINVAL;
	memset(barrier, 0, sizeof(*barrier));
	barrier->parties = (uint32_t)parties;
	return 0;
}

struct brood_barrier *brood_barrier_create(int parties, const struct brood_barrier_opts *given)
{
	struct brood_barrier_opts opts;
	int result = brood__options(&opts, sizeof(opts), given);
	struct brood_barrier *barrier;

	if (result == 0 && (parties < 1 || parties > BROOD_MEMBERS_MAX))
		result = -EINVAL;
	barrier = sync_alloc(result, opts.segment, sizeof(*barrier));
	if (barrier)
		brood_barrier_init(barrier, parties);
	return barrier;
}

int brood_barrier_destroy(struct brood_barrier *barrier)
{
	return brood_free(NULL, barrier);
}

int brood_barrier_n_waiting(struct brood_barrier *barrier)
{
	struct brood__here here;
	int result = enter(barrier, &here);

	return result ? result : (int)(look(barrier, &here) & ARRIVED);
}

int brood_barrier_parties(struct brood_barrier *barrier)
{
	struct brood__here here;
	int result = enter(barrier, &here);

	return result ? result : (int)barrier->parties;
}

int brood_barrier_broken(struct brood_barrier *barrier)
{
	struct brood__here here;
	int result = enter(barrier, &here);

	return result ? result : (look(barrier, &here) & BROKEN) != 0;
}

int brood_barrier_watch(struct brood_barrier *barrier, struct brood_contention *counts)
{
	struct brood__here here;
	int result = enter(barrier, &here);

	return result ? result :
			brood__contention_watch(barrier, offsetof(struct brood_barrier, contention),
						counts);
}
