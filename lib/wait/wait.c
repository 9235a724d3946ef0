/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sleeping without losing a wake-up, though anybody may die or be stopped at any instruction.
 *
 *	waiter                                  notifier
 *	value = park[me]
 *	set my bit, full fence         W3       publish by a seq_cst RMW             W1
 *	lives to watch; look again: found -> clear
 *	my bit                                 any bit set in the list?             W2
 *	sleep while park[me] == value             one system call: clear m's bit, wake m
 *	clear my bit                              nobody woken: park[m]++, wake m; else the next bit
 *
 * W1/W2 against W3: all four are seq_cst, so either the notifier sees the bit or the waiter,
 * looking again, sees what was published. Without the waiter's fence, arm64 may look before the
 * bit is visible.
 *
 * Where a notifier publishes by a plain store, for speed, the waiter fences on all CPUs instead of
 * its own (W7, membarrier(2)): then either it finds what was published, or the notifier, whose load
 * follows its store in the program, finds the bit. A fence there costs the notifier 5 ns a
 * message, here it costs some us once a sleep.
 *
 * The park word must change after the bit is cleared, not before: a waiter that was awake could
 * otherwise read the new value, set its bit anew for its next wait, lose it to the clearing, and
 * sleep for ever. In this order a waiter whose bit is cleared read its value before, so it is
 * woken or does not fall asleep.
 *
 * Whom the notifier finds awake already (nobody was woken) was about to look or has been woken by
 * somebody else: it goes on to the next bit, so two messages wake two sleepers. The same when the
 * one that was woken slept on another list: its bit here was a dead one's that had its id, or it
 * left, being late. `asleep` names the list; who was woken keeps it until it looks again. A member
 * that has gone on so far that it sleeps elsewhere has looked since then, and if it has not, then
 * one wakes in vain.
 *
 * Dying inside. A notifier that dies between publishing and waking leaves sleepers asleep: the
 * sweep of a member wakes all sleepers of the segment, bit or no bit. Whoever sleeps watches the
 * life words of all members in the same futex_waitv, and the kernel wakes one of those sleepers at
 * the death; it sweeps, and so wakes the others. If it dies first, its own death wakes the next:
 * that is why all watch all, though most deaths do not concern them. A wake-up that was given to a
 * member which then died is made good in the same way. Who joins wakes all sleepers once, so that
 * they watch it too. A waiter that dies leaves its bit: a notifier that picks it wakes nobody and
 * goes on to the next.
 *
 * Being stopped inside. A notifier stopped before the system call leaves the bit for others. Three
 * windows of a few instructions remain: a notifier stopped after the call when the waiter was
 * about to sleep, a waiter stopped between being woken and looking, and a thread that ends and is
 * killed when its entry is free and it has not yet woken who waits for that. Whoever sleeps looks
 * by itself every 100 ms.
 *
 * How long to spin: parking costs both sides about 40 us across cores, so up to 20 us of looking is
 * no more than what it may save. After the first microsecond every look is followed by a
 * yield, which gives the CPU to whoever has to do what we wait for when it has no CPU of its own.
 *
 * A spinning waiter that looks as often as it can takes the line away from the member that writes
 * it. When the caller has been finding work at once until now, we stay away for the time of some
 * messages first: then a batch of them costs one move of the line.
 */
#include <errno.h>

#include "wait/bell.h"

enum {
	CLOSE_PAUSES = 200,		/* before the first yield, or two looks */
	YIELDS_AT_LEAST = 2,
	SPIN_NS = 20000,
};

static bool unpark(struct brood__members *members, uint32_t id)
{
	_Atomic uint32_t *park = &members->table[id].park;

	atomic_fetch_add_explicit(park, 1, memory_order_seq_cst);	/* W4 */
	return brood__futex_wake(park, 1) > 0;
}

/* Who sleeps by futex, for something else perhaps, has its bells settled when it comes back. */
void brood__make_look(struct brood__members *members, uint32_t id)
{
	unpark(members, id);
	if (brood__has_bells(members, id))
		brood__bell_alarm(members, id);
}

/* A list by the name that all processes have for it; never 0. */
uint32_t brood__list_name(const struct brood__members *members, const struct brood__waitlist *list)
{
	return (uint32_t)(((uintptr_t)list - (uintptr_t)members->table) >> 2) | 1;
}

/* It may have a bell on the list, and sleep on it by futex all the same. */
static void ring_and_wake(struct brood__members *members, struct brood__waitlist *list, uint32_t id)
{
	if (brood__bell_ring(members, list, id, brood__bell_armings(members, id)) &&
	    atomic_load_explicit(&members->table[id].asleep, memory_order_seq_cst))
		brood__make_look(members, id);
}

/*
 * Wake this member, which has its bit in the list. Whether that was as good as needed: it sleeps on
 * this list alone, so it takes what was published.
 */
static bool wake_this(struct brood__members *members, struct brood__waitlist *list, uint32_t id)
{
	struct brood__member *entry = &members->table[id];
	uint32_t name = brood__list_name(members, list), arming = 0, on = name;
	bool bells = brood__has_bells(members, id), woken;

	if (bells) {
		arming = brood__bell_armings(members, id);
		on = atomic_load_explicit(&entry->asleep, memory_order_seq_cst);
		if (on != name && on != BROOD__ON_MANY &&
		    brood__bell_ring(members, list, id, arming) && on != BROOD__ON_MANY_WITH_BELLS)
			return false;
	}
	woken = brood__futex_clear_and_wake(&list->mask[id / 32], id % 32, &entry->park) > 0 ||
		unpark(members, id);
	if (woken && atomic_load_explicit(&entry->asleep, memory_order_relaxed) == name)
		return true;
	if (!woken && bells && (on == BROOD__ON_MANY || on == BROOD__ON_MANY_WITH_BELLS))
		brood__bell_alarm(members, id);
	/* It has armed the bell anew, and perhaps we have just cleared that. */
	if (bells && brood__bell_armings(members, id) != arming)
		ring_and_wake(members, list, id);
	return false;
}

/* One of the members whose bits are set in word, and all before it that only look. */
static bool wake_in(struct brood__members *members, struct brood__waitlist *list, uint32_t i,
		    uint32_t word)
{
	for (; word; word &= word - 1) {
		uint32_t id = i * 32 + (uint32_t)__builtin_ctz(word);

		if (id >= members->max)
			return false;
		__builtin_prefetch(&members->table[id].asleep);	/* while the kernel works */
		if (wake_this(members, list, id)) {
			atomic_store_explicit(&list->last, id, memory_order_relaxed);
			return true;
		}
	}
	return false;
}

/* In turn, beginning behind the last one, so that none is passed over for ever. */
void brood__wake_one(struct brood__members *members, struct brood__waitlist *list)
{
	uint32_t last = atomic_load_explicit(&list->last, memory_order_relaxed) % BROOD_MEMBERS_MAX;
	uint32_t behind = last % 32 == 31 ? 0 : UINT32_MAX << (last % 32 + 1);

	for (uint32_t k = 0; k <= BROOD__MASK_WORDS; k++) {
		uint32_t i = (last / 32 + k) % BROOD__MASK_WORDS;
		uint32_t word = atomic_load_explicit(&list->mask[i], memory_order_seq_cst);

		if (k == 0)
			word &= behind;
		if (wake_in(members, list, i, word))
			return;
	}
}

void brood__wake_all(struct brood__members *members, const _Atomic uint32_t *mask)
{
	for (uint32_t id = 0; id < members->max; id++)
		if (brood__mask_has(mask, id))
			brood__make_look(members, id);
}

void brood__wake_list(struct brood__members *members, struct brood__waitlist *list)
{
	_Atomic uint32_t taken[BROOD__MASK_WORDS];

	for (uint32_t id = 0; id < members->max; id++)
		if (brood__has_bells(members, id) && brood__mask_has(list->mask, id))
			ring_and_wake(members, list, id);
	for (uint32_t i = 0; i < BROOD__MASK_WORDS; i++)
		atomic_init(&taken[i], atomic_exchange_explicit(&list->mask[i], 0,
								memory_order_seq_cst));
	brood__wake_all(members, taken);
}

void brood__wake_sleepers(struct brood__members *members)
{
	uint32_t used = atomic_load_explicit(members->used, memory_order_acquire);	/* M4 */

	atomic_thread_fence(memory_order_seq_cst);	/* W6 */
	for (uint32_t id = 0; id < used && id < members->max; id++)
		if (atomic_load_explicit(&members->table[id].asleep, memory_order_relaxed) ||
		    brood__has_bells(members, id))
			brood__make_look(members, id);
}

static void pause_for(unsigned int pauses)
{
	while (pauses--)
		brood__relax();
}

ssize_t brood__spin(unsigned int gather, int64_t timeout, ssize_t (*attempt)(void *), void *arg,
		    int64_t *deadline)
{
	const unsigned int pauses = gather ? gather : 1;
	int64_t now, end;
	ssize_t result;

	for (unsigned int spent = 0; spent < CLOSE_PAUSES || spent < 2 * pauses; spent += pauses) {
		pause_for(pauses);
		result = attempt(arg);
		if (result != -EAGAIN)
			return result;
	}
	*deadline = brood__deadline(timeout);
	now = brood_now();
	end = now + SPIN_NS < *deadline ? now + SPIN_NS : *deadline;
	for (unsigned int yields = 0; yields < YIELDS_AT_LEAST || brood_now() < end; yields++) {
		brood__yield();
		result = attempt(arg);
		if (result != -EAGAIN)
			return result;
	}
	return -EAGAIN;
}

unsigned int brood__gather_lives(struct brood__members *members, uint32_t me,
				 struct brood__futex *set, unsigned int n, unsigned int most)
{
	/* From the next id on, so that many sleepers together watch more than one set holds. */
	for (uint32_t k = 1; k < members->max && n < most; k++) {
		uint32_t id = (me + k) % members->max;

		if (brood__life_of(members, id) == 0)
			continue;
		/* Somebody sweeps this one, and wakes us then, if it does not die itself. */
		if (brood__life_dead(brood__life_of(members, id)))
			id = brood__member_sweeper(members, id);
		if (id == BROOD__NOBODY)
			continue;
		set[n++] = (struct brood__futex){ &members->table[id].life.word,
						  brood__life_of(members, id) };
	}
	return n;
}

/* The first `parks` words are the caller's own. */
void brood__sleep_on(const struct brood__futex *set, unsigned int n, unsigned int parks,
		     int64_t deadline, int64_t most)
{
	int64_t backstop = brood_now() + most;
	int result;

	if (deadline < backstop)
		backstop = deadline;
	result = brood__futex_sleep(set, n, backstop);
	if (result != 0 && result != -ETIMEDOUT && result != -EINTR)
		brood__futex_sleep(set, parks, backstop);	/* a kernel without futex_waitv */
}

/*
 * One round: -EAGAIN after a sleep. My park word is read before my bit is set. The lives are read
 * after it, since who begins to use the object first becomes a user and then looks at the bits;
 * and before the look and the sweep: who dies after that has changed his word, so the kernel does
 * not let us sleep on it; who died before is swept.
 */
static ssize_t look_and_sleep(const struct brood__wait *wait, ssize_t (*attempt)(void *), void *arg,
			      int64_t deadline)
{
	struct brood__members *members = wait->members;
	_Atomic uint32_t *park = &members->table[wait->me].park;
	bool late = brood__is_over(deadline);
	struct brood__futex set[BROOD__FUTEX_MANY];
	int64_t most = BROOD__BACKSTOP_NS;
	ssize_t result;
	unsigned int n;

	/* W4 */
	set[0] = (struct brood__futex){ park, atomic_load_explicit(park, memory_order_acquire) };
	atomic_store_explicit(&members->table[wait->me].asleep,
			      brood__list_name(members, wait->list), memory_order_relaxed);
	if (brood__unlikely(brood__self->bells != NULL))
		brood__bell_arming(members, wait->me);
	brood__mask_set(wait->list->mask, wait->me);
	if (wait->light)	/* W7 */
		most = brood__fence_all_cpus() ? BROOD__UNFENCED_NS : BROOD__BACKSTOP_NS;
	else
		atomic_thread_fence(memory_order_seq_cst);	/* W3 */
	n = brood__gather_lives(members, wait->me, set, 1, BROOD__FUTEX_MANY);
	result = attempt(arg);
	if (result == -EAGAIN && brood__member_sweep(members))
		result = attempt(arg);
	if (result == -EAGAIN && !late) {
		brood__sleep_on(set, n, 1, deadline, most);
		/*
		 * The kernel wakes one for a death: it repairs even if it finds what it waits for.
		 */
		brood__member_sweep(members);
	}
	brood__mask_clear(wait->list->mask, wait->me);
	atomic_store_explicit(&members->table[wait->me].asleep, 0, memory_order_relaxed);
	return result == -EAGAIN && late ? -ETIMEDOUT : result;
}

/* The caller may have a bell on the list. */
static ssize_t settled(const struct brood__wait *wait, ssize_t result)
{
	if (brood__unlikely(brood__self->bells != NULL) && !wait->quiet)
		brood__bell_settle(wait->list, wait->wanted);
	return result;
}

ssize_t brood__wait(const struct brood__wait *wait, ssize_t (*attempt)(void *), void *arg)
{
	int64_t deadline;
	ssize_t result;

	if (brood__no_wait(wait->timeout))
		return settled(wait, -EAGAIN);
	result = brood__spin(wait->gather, wait->timeout, attempt, arg, &deadline);
	if (result != -EAGAIN)
		return result;
	do
		result = look_and_sleep(wait, attempt, arg, deadline);
	while (result == -EAGAIN);
	return settled(wait, result);
}
