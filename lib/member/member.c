/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Members: joining, leaving, and sweeping the dead.
 *
 * States of an entry, by its life word:
 *
 *	0                  free
 *	tid | WATCHED      its owner lives (running, asleep or stopped: no difference)
 *	DEAD | WATCHED     its owner died; set by the kernel; waits for a sweep
 *
 * join   CAS 0 -> tid. From that instruction on the kernel answers for the word (robust.c).
 * sweep  CAS sweeper -> {incarnation of the dead, me, my incarnation}; repair; free the word and
 *	  count up the incarnation in one CAS.
 *
 * Why there is never more than one sweeper of a dead member, and never one of a living member: a
 * claim names the incarnation that it is for. It can be replaced only when it is for an earlier
 * incarnation, or when its holder is dead or gone. Only the holder frees the entry, as its last
 * step, and the incarnation changes in that same step. So a claim that was replaced belonged to a
 * holder that is dead and can do nothing more; and a claim that is for an earlier incarnation
 * belongs to a holder that has finished. After claiming, the sweeper looks at the life word
 * again: if the entry was freed between its look and its claim, the word or the incarnation
 * differs and it gives up, leaving a claim for a past incarnation, which hinders nobody.
 *
 * Dying inside: a dead sweeper's claim names a dead or gone member, so the next one takes over and
 * repeats the repair from its start; every repair step can be repeated. A sweeper that is stopped
 * keeps the dead one's leavings, and nothing else, until it goes on.
 *
 * Edges (doc/memory-model.md): M1 the kernel's mark or M2 the freeing CAS, with the loads of the
 * life word.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "member/member.h"

__thread struct brood__self *brood__self;
void (*brood__bells_leave)(const struct brood__members *members);

_Static_assert(sizeof(struct brood__self) <= 4096, "one page, the smallest there is");

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t end_of_thread;
static bool has_key;

/*
 * sweeper = { incarnation of the dead:24 | incarnation of the sweeper:24 | id of the sweeper +
 * 1:16 }
 */
static uint64_t claim_of(uint32_t dead_incarnation, uint32_t incarnation, uint32_t id)
{
	return (uint64_t)(dead_incarnation & 0xffffff) << 40 |
	       (uint64_t)(incarnation & 0xffffff) << 16 | (id + 1);
}

static void free_self(void *page)
{
	brood__leave();
	brood__self = NULL;
	brood__memory_wiped_free(page);
}

static void leave_at_exit(void) __attribute__((destructor));
static void leave_at_exit(void)
{
	brood__leave();
}

static void make_key(void)
{
	has_key = pthread_key_create(&end_of_thread, free_self) == 0;
}

static int make_self(void)
{
	pthread_once(&once, make_key);
	if (!has_key)
		return -EAGAIN;
	if (!brood__self) {
		struct brood__self *self = brood__memory_wiped_on_fork();

		if (!self)
			return -errno;
		if (pthread_setspecific(end_of_thread, self)) {
			brood__memory_wiped_free(self);
			return -ENOMEM;
		}
		brood__self = self;
	}
	brood__fence_register();	/* without it brood__fence_all_cpus says so */
	return 0;
}

static void raise_used(struct brood__members *members, uint32_t id)
{
	uint32_t used = atomic_load_explicit(members->used, memory_order_relaxed);

	/* M4 */
	while (used <= id && !atomic_compare_exchange_weak_explicit(members->used, &used, id + 1,
								    memory_order_seq_cst,
								    memory_order_relaxed))
		;
}

static int take_entry(struct brood__members *members, uint32_t from, uint32_t to)
{
	for (uint32_t id = from; id < to; id++) {
		struct brood__member *entry = &members->table[id];
		int result;

		if (brood__life_of(members, id) != 0)
			continue;
		raise_used(members, id);	/* first, so that a death is looked for */
		result = brood__life_begin(&entry->life);
		if (result == 0) {
			atomic_store_explicit(&entry->inside, 0, memory_order_relaxed);
			atomic_store_explicit(&entry->sweeping, 0, memory_order_relaxed);
			atomic_store_explicit(&entry->asleep, 0, memory_order_relaxed);
			atomic_store_explicit(&entry->bell, 0, memory_order_relaxed);
			atomic_store_explicit(&entry->process, getpid(), memory_order_release);	/* F4 */
			brood__self->members[members->seat] = members;
			brood__self->ids[members->seat] = id + 1;
			atomic_fetch_add_explicit(&members->here, 1, memory_order_relaxed);
			if (members->changed)
				members->changed(members);	/* W6 */
			return (int)id;
		}
		if (result != -EBUSY)
			return result;
	}
	return -EUSERS;
}

static void give_entry_back(struct brood__members *members, uint32_t id)
{
	brood__assert(!brood__life_dead(brood__life_of(members, id)));
	brood__self->ids[members->seat] = 0;
	brood__self->places[members->seat].bytes = 0;
	brood__life_end(&members->table[id].life);
	atomic_fetch_sub_explicit(&members->here, 1, memory_order_release);
}

/* Only a member can sweep, for a sweep has to name who does it. */
static bool sweep_as_guest(struct brood__members *members)
{
	int guest = take_entry(members, members->max, members->max + BROOD__GUESTS);
	bool swept;

	if (guest < 0)
		return false;
	swept = brood__member_sweep(members) != 0;
	give_entry_back(members, (uint32_t)guest);
	return swept;
}

int brood__member_join(struct brood__members *members)
{
	static __thread volatile bool joining;
	int id;

	if (joining)	/* a signal handler interrupted this thread here */
		return -EDEADLK;
	joining = true;
	id = make_self();
	if (id == 0)
		id = take_entry(members, 0, members->max);
	if (id == -EUSERS && sweep_as_guest(members))
		id = take_entry(members, 0, members->max);
	joining = false;
	return id;
}

void brood__member_leave(struct brood__members *members)
{
	struct brood__self *self = brood__self;
	uint32_t id;

	if (!self || !self->ids[members->seat])
		return;
	id = self->ids[members->seat] - 1;
	if (self->bells)
		brood__bells_leave(members);
	members->sweep(members, id, true);
	give_entry_back(members, id);
	if (members->changed)
		members->changed(members);	/* W6 */
}

void brood__leave(void)
{
	for (uint32_t seat = 0; brood__self && seat < BROOD__SEATS; seat++)
		if (brood__self->ids[seat])
			brood__member_leave(brood__self->members[seat]);
}

bool (*brood__segment_around)(const void *address, struct brood__here *here);

int brood__here_slowly(const void *object, struct brood__here *here)
{
	struct brood__here *place;
	int id;

	if (!object)
		return -EINVAL;
	if (!brood__segment_around || !brood__segment_around(object, here))
		return -EBADF;
	id = brood__member_id(here->members);
	if (id < 0)
		return id;
	here->token = brood__token_of(here->members, (uint32_t)id);
	place = &brood__self->places[here->members->seat];
	if (place->bytes == 0) {
		place->base = here->base;
		place->members = here->members;
		place->token = here->token;
		atomic_signal_fence(memory_order_seq_cst);	/* a handler must not find half of it */
		place->bytes = here->bytes;
		atomic_signal_fence(memory_order_seq_cst);
	}
	brood__self->near = here->members->seat;
	return 0;
}

bool brood__token_gone(const struct brood__members *members, uint64_t token)
{
	uint32_t id = brood__token_id(token), word;

	if (id >= members->max)
		return true;
	word = brood__life_of(members, id);
	return word == 0 || brood__life_dead(word) ||
	       brood__incarnation_of(members, id) != token >> 32;
}

/* Whether the member that a claim names may still act on it. */
static bool holder_lives(const struct brood__members *members, uint64_t claim)
{
	uint32_t id = (uint32_t)(claim & 0xffff) - 1;
	uint32_t incarnation = (uint32_t)(claim >> 16) & 0xffffff;
	uint32_t word;

	if (id >= members->max + BROOD__GUESTS)
		return false;
	word = brood__life_of(members, id);
	return word != 0 && !brood__life_dead(word) &&
	       (brood__incarnation_of(members, id) & 0xffffff) == incarnation;
}

static uint64_t my_claim(const struct brood__members *members, uint32_t dead_incarnation)
{
	const struct brood__self *self = brood__self;
	uint32_t id;

	if (!self || !self->ids[members->seat])
		return 0;
	id = self->ids[members->seat] - 1;
	return claim_of(dead_incarnation, brood__incarnation_of(members, id), id);
}

/* How many incarnations later than this one a claim is for; negative: earlier. Modulo 2^24. */
static int32_t later(uint64_t claim, uint32_t incarnation)
{
	return (int32_t)(((uint32_t)(claim >> 40) - incarnation) << 8) >> 8;
}

static bool claim(struct brood__members *members, uint32_t dead, uint32_t incarnation)
{
	struct brood__member *entry = &members->table[dead];
	uint64_t mine = my_claim(members, incarnation);
	uint64_t old = atomic_load_explicit(&entry->sweeper, memory_order_acquire);	/* M3 */

	if (!mine || (old && later(old, incarnation) > 0) ||
	    (old && later(old, incarnation) == 0 && holder_lives(members, old)))
		return false;
	/* M3: the two looks below come after it */
	if (!atomic_compare_exchange_strong_explicit(&entry->sweeper, &old, mine,
						     memory_order_acq_rel, memory_order_relaxed))
		return false;
	return brood__life_dead(brood__life_of(members, dead)) &&
	       brood__incarnation_of(members, dead) == incarnation;
}

uint32_t brood__member_sweeper(const struct brood__members *members, uint32_t dead)
{
	uint64_t claim = atomic_load_explicit(&members->table[dead].sweeper, memory_order_acquire);
	uint32_t id = (uint32_t)(claim & 0xffff) - 1;

	return id < members->max + BROOD__GUESTS ? id : BROOD__NOBODY;
}

static bool sweep_one(struct brood__members *members, uint32_t dead)
{
	uint32_t incarnation = brood__incarnation_of(members, dead);

	if (!brood__life_dead(brood__life_of(members, dead)) ||
	    !claim(members, dead, incarnation))
		return false;
	members->sweep(members, dead, false);
	return brood__life_free(&members->table[dead].life, incarnation);
}

unsigned int brood__member_sweep(struct brood__members *members)
{
	uint32_t used = atomic_load_explicit(members->used, memory_order_acquire);	/* M4 */
	unsigned int swept = 0;

	for (uint32_t id = 0; id < used && id < members->max + BROOD__GUESTS; id++)
		if (brood__unlikely(brood__life_dead(brood__life_of(members, id))))
			swept += sweep_one(members, id);
	return swept;
}

bool brood__member_inside(const struct brood__members *members, uint64_t object, uint32_t except)
{
	uint32_t used = atomic_load_explicit(members->used, memory_order_acquire);	/* M4 */

	for (uint32_t id = 0; id < used && id < members->max + BROOD__GUESTS; id++) {
		const struct brood__member *entry = &members->table[id];
		uint32_t word = brood__life_of(members, id);

		if (word == 0 || brood__life_dead(word))
			continue;
		/* H2 */
		if (id != except && atomic_load_explicit(&entry->inside, memory_order_seq_cst) == object)
			return true;
		if (atomic_load_explicit(&entry->sweeping, memory_order_seq_cst) == object)
			return true;
	}
	return false;
}

void brood__member_census(const struct brood__members *members, uint32_t *alive, uint32_t *dead)
{
	*alive = *dead = 0;
	for (uint32_t id = 0; id < members->max; id++) {
		uint32_t word = brood__life_of(members, id);

		*dead += brood__life_dead(word);
		*alive += word != 0 && !brood__life_dead(word);
	}
}
