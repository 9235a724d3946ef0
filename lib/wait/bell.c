/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bells: descriptors that are ready when an object is, for threads that sleep in poll or epoll.
 *
 * A bell is a doorbell (platform/doorbell.c) that a member has for one list of one object. Its
 * name is the number in the member's entry and the name of the list, so whoever finds the member's
 * bit in the list can ring it. The bit says that it is armed. While nobody's bit is set a notifier
 * pays nothing.
 *
 *	owner: settle                           notifier
 *	drain the socket                         publish                             W1
 *	arming++                           F1    bit set?                            W2
 *	set my bit, full fence             W3    a = arming                          F1
 *	look: ready -> ring it myself            where does it sleep? not here:
 *	                                         ring                                F2
 *	                                         clear the bit
 *	                                         arming != a -> ring again, and if   F1
 *	                                         it sleeps by futex, wake it
 *
 * The owner settles when it opens the bell, whenever its own call finds nothing, and when it has
 * slept on the list by futex, which clears the bit. Between being rung and settling it takes what
 * there is, and nobody rings.
 *
 * The notifier rings before it clears the bit: if it dies or is stopped in between, others ring as
 * well, and no more has happened. But then the owner may have settled before the notifier clears,
 * and its new bit is lost: `arming` tells that. Was it read before the last arming, it differs
 * afterwards. Was it read after, the ring came behind the drain of that settling, and the
 * descriptor is ready. The same count tells of a bit that the owner has set to sleep by futex; that
 * is why it is read before the look where it sleeps.
 *
 * Who sleeps in brood_wait settles the bells of what it waited for. It may have others: so it says
 * that it has bells, and is rung as well as woken.
 *
 * Alarms. What makes all sleepers look again (a death, who comes and goes, an object closed) rings
 * one more doorbell of each member that has bells, its name 0. The owner then looks at all of its
 * bells, and arms those that are not. It watches the lives of the members of other processes by
 * pidfds, since no futex wakes who sleeps in epoll: a notifier that died between publishing and
 * ringing is noticed by them, or by whoever sweeps it. The socket and the pidfds are in a set of
 * the thread's. The first WATCHFUL bells are each, as the user sees it, a set of their own socket
 * and that set, so these become ready as well, and the call that the user makes then finds nothing
 * and settles all. The kernel does not allow more than 100 sets around one, so further bells are
 * plain sockets, and depend on one of the first to be looked at.
 *
 * Dying inside. The kernel closes the sockets of the dead: ringing them fails, and the notifier
 * goes on to the next. The number in the entry is wiped by the next who has it.
 *
 * What other threads of its own process do is not watched: they die with it. A forked child closes
 * its copies. A member that goes on in another program (exec) is dead, but its pidfd is not ready
 * before that ends. Nobody looks by himself in epoll: a notifier that is stopped between publishing
 * and ringing is noticed when it goes on, or when another rings.
 *
 * Edges (doc/memory-model.md). F1: above; the counter, the bit and the loads are seq_cst. F2: the
 * kernel's queue of the socket: what was published before the ring is seen after the drain. F3: the
 * number is stored before the bit is set. F4: `process` is stored before the sleepers are told of
 * the newcomer.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "wait/bell.h"

#define WATCHFUL 40u

struct bell {
	struct bell *next;	/* of the same chain */
	struct brood__waitlist *list;
	const struct brood__waitable_ops *ops;
	void *object;
	uint32_t event;
	bool light;
	uint64_t wanted;	/* at the last call in vain */
	struct brood__here here;
	int socket;
	int fd;			/* the user's: the socket, or a set with it */
};

struct watch {			/* of one member */
	uint32_t incarnation;
	int pidfd;		/* 0 = none: that is never one */
};

struct seat {			/* what belongs to one segment */
	struct brood__members *members;
	uint32_t me;
	uint32_t seen;		/* of `alarms` */
	uint64_t number;
	int alarm;
	struct watch watches[BROOD_MEMBERS_MAX];
};

struct brood__bells {		/* of a thread */
	struct brood__bells *next, **to_me;	/* all of the process */
	struct seat *seats[BROOD__SEATS];
	int set;		/* the alarms and the pidfds */
	unsigned int watchful, count, chains;	/* chains: a power of two, or 0 */
	struct bell **chain;
};

/*
 * The mutex guards what a forked child needs: which descriptors there are. They belong to their
 * threads, which alone change and use them, and hold the mutex while they change.
 */
static struct brood__guard guard = BROOD__GUARD_INITIALIZER;
static struct brood__bells *all;

/* ---- for notifiers ---- */

static uint64_t number_of(const struct brood__members *members, uint32_t id)
{
	return atomic_load_explicit(&members->table[id].bell, memory_order_acquire);	/* F3 */
}

bool brood__bell_ring(struct brood__members *members, struct brood__waitlist *list, uint32_t id,
		      uint32_t armings)
{
	uint32_t name = brood__list_name(members, list);
	uint64_t number = number_of(members, id);
	int result = brood__doorbell_ring(number, name);	/* F2 */

	if (result == -ECONNREFUSED)
		return false;
	if (result)		/* we cannot: the bit stays for the next */
		return true;
	brood__mask_clear(list->mask, id);
	if (brood__bell_armings(members, id) != armings) {
		brood__doorbell_ring(number, name);
		if (atomic_load_explicit(&members->table[id].asleep, memory_order_seq_cst))
			brood__make_look(members, id);
	}
	return true;
}

void brood__bell_alarm(struct brood__members *members, uint32_t id)
{
	atomic_fetch_add_explicit(&members->table[id].alarms, 1, memory_order_seq_cst);
	brood__doorbell_ring(number_of(members, id), 0);
}

/* ---- the bells of a thread, by list ---- */

static struct bell **chain_of(const struct brood__bells *bells, const struct brood__waitlist *list)
{
	uint64_t hash = ((uintptr_t)list >> 6) * 0x9e3779b97f4a7c15ull >> 32;

	return &bells->chain[hash & (bells->chains - 1)];
}

static struct bell **find(const struct brood__bells *bells, const struct brood__waitlist *list)
{
	struct bell **at;

	if (!bells || !bells->chains)
		return NULL;
	for (at = chain_of(bells, list); *at; at = &(*at)->next)
		if ((*at)->list == list)
			return at;
	return NULL;
}

static int grow(struct brood__bells *bells)
{
	unsigned int chains = bells->chains, more = chains ? 2 * chains : 16;
	struct bell **old = bells->chain, **chain;

	if (bells->count < chains)
		return 0;
	chain = calloc(more, sizeof(struct bell *));
	if (!chain)
		return -ENOMEM;
	bells->chain = chain;
	bells->chains = more;
	for (unsigned int i = 0; i < chains; i++) {
		struct bell *next;

		for (struct bell *bell = old[i]; bell; bell = next) {
			struct bell **at = chain_of(bells, bell->list);

			next = bell->next;
			bell->next = *at;
			*at = bell;
		}
	}
	free(old);
	return 0;
}

static bool is_watchful(const struct bell *bell)
{
	return bell->fd != bell->socket;
}

static void close_bell(struct brood__bells *bells, struct bell **at)
{
	struct bell *bell = *at;

	bells->watchful -= is_watchful(bell);
	if (is_watchful(bell))
		close(bell->fd);
	close(bell->socket);
	*at = bell->next;
	bells->count--;
	free(bell);
}

/* ---- seats ---- */

static void close_seat(struct brood__bells *bells, uint32_t i)
{
	struct seat *seat = bells->seats[i];

	for (uint32_t id = 0; id < BROOD_MEMBERS_MAX; id++)
		if (seat->watches[id].pidfd)
			close(seat->watches[id].pidfd);
	close(seat->alarm);
	free(seat);
	bells->seats[i] = NULL;
}

static struct brood__bells *make_bells(void)
{
	struct brood__bells *bells = calloc(1, sizeof(*bells));

	if (!bells)
		return NULL;
	bells->set = brood__set_make();
	if (bells->set < 0) {
		errno = -bells->set;
		free(bells);
		return NULL;
	}
	bells->next = all;
	bells->to_me = &all;
	if (all)
		all->to_me = &bells->next;
	all = bells;
	return bells;
}

static void free_bells(struct brood__bells *bells)
{
	*bells->to_me = bells->next;
	if (bells->next)
		bells->next->to_me = bells->to_me;
	close(bells->set);
	free(bells->chain);
	free(bells);
}

static int fill_seat(const struct brood__bells *bells, struct seat *seat)
{
	int result;

	seat->number = brood__random();
	seat->alarm = brood__doorbell_make(seat->number, 0);
	if (seat->alarm < 0)
		return seat->alarm;
	result = brood__set_add(bells->set, seat->alarm);
	if (result)
		close(seat->alarm);
	return result;
}

/* Under the mutex. NULL and errno. */
static struct seat *seat_for(struct brood__members *members, uint32_t me)
{
	struct brood__self *self = brood__self;
	struct seat *seat;
	int result;

	if (!self->bells)
		self->bells = make_bells();
	if (!self->bells || self->bells->seats[members->seat])
		return self->bells ? self->bells->seats[members->seat] : NULL;
	seat = calloc(1, sizeof(*seat));
	if (!seat)
		return NULL;
	seat->members = members;
	seat->me = me;
	result = fill_seat(self->bells, seat);
	if (result) {
		free(seat);
		errno = -result;
		return NULL;
	}
	self->bells->seats[members->seat] = seat;
	/* F3 */
	atomic_store_explicit(&members->table[me].bell, seat->number, memory_order_seq_cst);
	return seat;
}

/* ---- who is watched ---- */

static bool lives_as(const struct seat *seat, uint32_t id, uint32_t incarnation)
{
	uint32_t word = brood__life_of(seat->members, id);

	return word != 0 && !brood__life_dead(word) &&
	       brood__incarnation_of(seat->members, id) == incarnation;
}

static int32_t process_of(const struct brood__members *members, uint32_t id)
{
	/* F4 */
	return atomic_load_explicit(&members->table[id].process, memory_order_acquire);
}

/* Not who is of this process. Opened first, then looked at: a pid that still is its is its. */
static void watch(const struct brood__bells *bells, struct seat *seat, uint32_t id)
{
	struct watch *watch = &seat->watches[id];
	uint32_t incarnation = brood__incarnation_of(seat->members, id);
	int32_t process = process_of(seat->members, id);
	int pidfd;

	if (process <= 0 || process == process_of(seat->members, seat->me) ||
	    !lives_as(seat, id, incarnation))
		return;
	pidfd = brood__pidfd_open(process);
	if (pidfd < 0)
		return;
	if (!lives_as(seat, id, incarnation) || brood__set_add(bells->set, pidfd)) {
		close(pidfd);
		return;
	}
	*watch = (struct watch){ incarnation, pidfd };
}

static void watch_all(const struct brood__bells *bells, struct seat *seat)
{
	struct brood__members *members = seat->members;
	uint32_t used = atomic_load_explicit(members->used, memory_order_acquire);	/* M4 */

	for (uint32_t id = 0; id < used && id < members->max; id++) {
		struct watch *old = &seat->watches[id];

		if (old->pidfd && !lives_as(seat, id, old->incarnation)) {
			/* A forked child's copy may keep it open. */
			brood__set_remove(bells->set, old->pidfd);
			close(old->pidfd);
			old->pidfd = 0;
		}
		if (!old->pidfd)
			watch(bells, seat, id);
	}
}

/* ---- settling ---- */

static void arm(const struct bell *bell, const struct seat *seat)
{
	brood__doorbell_drain(bell->socket);	/* F2 */
	brood__bell_arming(seat->members, seat->me);	/* F1 */
	brood__waitable_mark(bell->ops, &bell->here, bell->object, bell->event, true);
}

static bool is_armed(const struct bell *bell)
{
	return brood__waitable_marked(bell->ops, &bell->here, bell->object, bell->event);
}

static void fence(bool light)
{
	if (!light || brood__fence_all_cpus())
		atomic_thread_fence(memory_order_seq_cst);	/* W3, W7 */
}

static void ring_if_ready(const struct bell *bell, const struct seat *seat)
{
	uint32_t name = brood__list_name(seat->members, bell->list);

	if (brood__waitable_look(bell->ops, &bell->here, bell->object, bell->event, bell->wanted) &&
	    brood__doorbell_ring(seat->number, name))
		brood__doorbell_ring_own(bell->socket, seat->number, name);
}

static void settle(const struct bell *bell)
{
	const struct seat *seat = brood__self->bells->seats[bell->here.members->seat];

	arm(bell, seat);
	fence(bell->light);
	ring_if_ready(bell, seat);
}

/*
 * Nobody has called in vain: a bell that is armed stays so, and if there is something in its
 * socket, that is one look in vain. One fence serves all others.
 */
static void settle_all(const struct brood__bells *bells, const struct seat *seat)
{
	bool light = false;

	for (unsigned int i = 0; i < bells->chains; i++)
		for (const struct bell *bell = bells->chain[i]; bell; bell = bell->next)
			if (bell->here.members == seat->members && !is_armed(bell)) {
				arm(bell, seat);
				light |= bell->light;
			}
	fence(light);
	for (unsigned int i = 0; i < bells->chains; i++)
		for (const struct bell *bell = bells->chain[i]; bell; bell = bell->next)
			if (bell->here.members == seat->members)
				ring_if_ready(bell, seat);
}

/* Whether there was one. */
static bool alarm_off(const struct brood__bells *bells, struct seat *seat)
{
	struct brood__member *entry = &seat->members->table[seat->me];
	uint32_t alarms;

	brood__member_sweep(seat->members);
	watch_all(bells, seat);
	/* In any case: it may be rung after it was counted, and we have seen the count. */
	brood__doorbell_drain(seat->alarm);
	alarms = atomic_load_explicit(&entry->alarms, memory_order_seq_cst);
	if (alarms == seat->seen)
		return false;
	seat->seen = alarms;
	return true;
}

void brood__bell_settle_one(const struct brood__waitlist *list)
{
	struct bell **at = find(brood__self->bells, list);

	if (at)
		settle(*at);
}

void brood__bell_settle(const struct brood__waitlist *list, uint64_t wanted)
{
	struct bell **at = find(brood__self->bells, list);

	if (at) {
		(*at)->wanted = wanted;
		settle(*at);
	}
	brood__bell_alarms_off();
}

int brood__bell_alarm_fd(struct brood__members *members, uint32_t me)
{
	const struct seat *seat;
	int error;

	brood__guard_lock(&guard);
	seat = seat_for(members, me);
	error = errno;
	brood__guard_unlock(&guard);
	return seat ? brood__self->bells->set : -error;
}

void brood__bell_alarms_off(void)
{
	struct brood__bells *bells = brood__self->bells;

	for (uint32_t i = 0; i < BROOD__SEATS; i++)
		if (bells->seats[i] && alarm_off(bells, bells->seats[i]))
			settle_all(bells, bells->seats[i]);
}

/* ---- open, close ---- */

static int make_fds(struct brood__bells *bells, const struct seat *seat, struct bell *bell)
{
	int result;

	bell->socket = brood__doorbell_make(seat->number,
					    brood__list_name(seat->members, bell->list));
	if (bell->socket < 0)
		return bell->socket;
	bell->fd = bells->watchful < WATCHFUL ? brood__set_make() : bell->socket;
	result = bell->fd < 0 ? bell->fd : 0;
	if (result == 0 && is_watchful(bell)) {
		result = brood__set_add(bell->fd, bell->socket);
		if (result == 0)
			result = brood__set_add(bell->fd, bells->set);
		if (result)
			close(bell->fd);
	}
	if (result)
		close(bell->socket);
	return result;
}

static int add(struct bell *bell, uint32_t me)
{
	struct seat *seat = seat_for(bell->here.members, me);
	struct brood__bells *bells = brood__self->bells;
	int result = seat ? grow(bells) : -errno;

	if (result == 0)
		result = make_fds(bells, seat, bell);
	if (result == 0) {
		struct bell **at = chain_of(bells, bell->list);

		bell->next = *at;
		*at = bell;
		bells->count++;
		bells->watchful += is_watchful(bell);
	}
	return result;
}

bool brood__bell_any(void)
{
	return brood__self->bells && brood__self->bells->count;
}

int brood__bell_open(enum brood_wait_kind kind, void *object, uint32_t event)
{
	const struct brood__waitable_ops *ops = brood__waitable_ops(kind);
	struct brood__waitlist *list;
	struct bell *bell, **at;
	struct brood__here here;
	uint64_t state;
	int result = -EINVAL;
	bool light;

	if (ops->events & event && (event & (event - 1)) == 0)
		result = ops->enter(object, event, &here, &state);
	if (result < 0)
		return result;
	light = result == BROOD__LIGHT;
	if (light && brood__fence_all_cpus())	/* in epoll nobody looks by himself */
		return -ENOTSUP;
	list = ops->list(object, event);
	if (!list)
		return -ESTALE;
	at = find(brood__self->bells, list);
	if (at) {
		(*at)->light |= light;	/* what was here has been destroyed, perhaps */
		return (*at)->fd;
	}
	bell = malloc(sizeof(*bell));
	if (!bell)
		return -ENOMEM;
	*bell = (struct bell){
		.list = list,
		.ops = ops,
		.object = object,
		.event = event,
		.light = light,
		.here = here,
		.socket = -1,
		.fd = -1,
	};
	brood__guard_lock(&guard);
	result = add(bell, brood__token_id(here.token));
	brood__guard_unlock(&guard);
	if (result) {
		free(bell);
		return result;
	}
	brood__bell_settle(bell->list, 0);
	return bell->fd;
}

/* By the list, or, when the object is no more and does not know its lists, among all. */
static struct bell **find_for(const struct brood__bells *bells,
			      const struct brood__waitable_ops *ops, const void *object,
			      uint32_t event)
{
	struct bell **at = find(bells, ops->list((void *)(uintptr_t)object, event));

	if (at && (*at)->object == object && (*at)->event == event)
		return at;
	for (unsigned int i = 0; i < bells->chains; i++)
		for (at = &bells->chain[i]; *at; at = &(*at)->next)
			if ((*at)->ops == ops && (*at)->object == object && (*at)->event == event)
				return at;
	return NULL;
}

int brood__bell_close(enum brood_wait_kind kind, void *object, uint32_t event)
{
	const struct brood__waitable_ops *ops = brood__waitable_ops(kind);
	struct bell **at = NULL;

	if (!object)
		return -EINVAL;
	if (brood__self && brood__self->bells && ops->events & event)
		at = find_for(brood__self->bells, ops, object, event);
	if (!at)
		return -EBADF;
	brood__waitable_mark(ops, &(*at)->here, object, event, false);
	brood__guard_lock(&guard);
	close_bell(brood__self->bells, at);
	brood__guard_unlock(&guard);
	return 0;
}

/* ---- the end of a thread, and forks ---- */

/* Under the mutex. */
static void close_all(struct brood__bells *bells, const struct brood__members *members)
{
	bool empty = true;

	for (unsigned int i = 0; i < bells->chains; i++)
		for (struct bell **at = &bells->chain[i]; *at;)
			if (!members || (*at)->here.members == members)
				close_bell(bells, at);
			else
				at = &(*at)->next;
	for (uint32_t i = 0; i < BROOD__SEATS; i++) {
		if (bells->seats[i] && (!members || bells->seats[i]->members == members))
			close_seat(bells, i);
		empty = empty && !bells->seats[i];
	}
	if (empty)
		free_bells(bells);
}

static bool is_empty(const struct brood__bells *bells, const struct brood__members *members)
{
	for (uint32_t i = 0; i < BROOD__SEATS; i++)
		if (bells->seats[i] && bells->seats[i]->members != members)
			return false;
	return true;
}

static void leave(const struct brood__members *members)
{
	struct brood__bells *bells = brood__self->bells;
	bool last = is_empty(bells, members);

	/* Nobody needs to find out by trying. */
	atomic_store_explicit(&members->table[brood__self->ids[members->seat] - 1].bell, 0,
			      memory_order_relaxed);
	brood__guard_lock(&guard);
	close_all(bells, members);
	brood__guard_unlock(&guard);
	if (last)
		brood__self->bells = NULL;
}

static void lock(void)
{
	brood__guard_lock(&guard);
}

static void unlock(void)
{
	brood__guard_unlock(&guard);
}

static void close_copies(void)
{
	while (all)
		close_all(all, NULL);
	unlock();
}

static void be_ready(void) __attribute__((constructor));
static void be_ready(void)
{
	brood__bells_leave = leave;
	pthread_atfork(lock, unlock, close_copies);
}
