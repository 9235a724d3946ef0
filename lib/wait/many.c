/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * brood_wait: one sleep for many things.
 *
 * A member sleeps on its own park word, on whatever lists its bits are; so waiting for many is
 * waiting for one (wait.c) with more bits: set them all, one fence, look at all, sleep, clear them
 * all. In each segment among the items the caller is another member with another park word: it
 * sleeps on all of these, by futex_waitv, with lives of that many segments.
 *
 * `asleep` says that it is on many lists: a notifier that has woken it goes on to the next bit, for
 * it only looks and takes nothing. So whoever waits to take is woken as well, and all that look.
 *
 * With descriptors among the items it sleeps in ppoll, and on one more: the one that all its alarms
 * ring at (bell.c), and a notifier that finds nobody on the park word rings that.
 *
 * Touching an object's memory takes a hazard each time, not for the whole call: there is one hazard
 * a member. An object that is destroyed meanwhile, and its memory used for another, is at worst
 * looked at in vain: if what is there now is not of the kind, it counts as ready; if it is, a bit
 * of our own is set and cleared in its list, and then one look is in vain.
 *
 * Dying inside leaves bits, as in wait.c. Only words of the caller's own are changed besides, but
 * for what a look puts right or tries in a ring of bytes or a connection (conn_waitable.c).
 */
#include <errno.h>
#include <stdlib.h>

#include "wait/bell.h"

#define PAUSES 200		/* looking at many is no small thing: twice, then yield */

static const struct brood__waitable_ops *kinds[BROOD__WAITABLE_KINDS];

void brood__waitable_register(enum brood_wait_kind kind, const struct brood__waitable_ops *ops)
{
	kinds[kind] = ops;
}

const struct brood__waitable_ops *brood__waitable_ops(uint32_t kind)
{
	return kind < BROOD__WAITABLE_KINDS ? kinds[kind] : NULL;
}

uint32_t brood__waitable_look(const struct brood__waitable_ops *ops,
			      const struct brood__here *here, void *object, uint32_t events,
			      uint64_t state)
{
	uint32_t ready = events;

	if (!ops->hold)
		return ops->look(here, object, events, state);
	if (ops->hold(here, object))
		ready = ops->look(here, object, events, state);
	ops->let_go(here, object);
	return ready;
}

void brood__waitable_mark(const struct brood__waitable_ops *ops, const struct brood__here *here,
			  void *object, uint32_t events, bool set)
{
	bool there = !ops->hold || ops->hold(here, object);

	for (uint32_t rest = events; rest && there; rest &= rest - 1) {
		struct brood__waitlist *list = ops->list(object, rest & -rest);

		if (!list)
			continue;
		if (set)
			brood__mask_set(list->mask, brood__token_id(here->token));
		else
			brood__mask_clear(list->mask, brood__token_id(here->token));
	}
	if (ops->hold)
		ops->let_go(here, object);
}

bool brood__waitable_marked(const struct brood__waitable_ops *ops, const struct brood__here *here,
			    void *object, uint32_t event)
{
	const struct brood__waitlist *list = NULL;
	bool set;

	if (!ops->hold || ops->hold(here, object))
		list = ops->list(object, event);
	set = list && brood__mask_has(list->mask, brood__token_id(here->token));
	if (ops->hold)
		ops->let_go(here, object);
	return set;
}

/* ---- descriptors ---- */

static int own_fd(const struct brood_waitable *item)
{
	return item->fd < 0 ? -EBADF : item->fd;
}

static const struct brood__waitable_ops fd_ops = {
	.events = BROOD_READABLE | BROOD_WRITABLE,
	.fd = own_fd,
};

static void register_fd(void) __attribute__((constructor));
static void register_fd(void)
{
	brood__waitable_register(BROOD_WAIT_FD, &fd_ops);
}

/* ---- a call ---- */

struct call {
	struct brood_waitable *items;
	size_t n;
	struct pollfd *fds;	/* of the items that have one, in order; then the alarms' */
	size_t n_fds;
	struct brood__members *seats[BROOD__SEATS];	/* the segments among the items */
	unsigned int n_seats;
	bool light, plain;	/* how notifiers publish: some of the one kind, of the other */
};

static uint32_t wanted(const struct brood_waitable *item)
{
	return item->events ? item->events : BROOD_READABLE;
}

static uint32_t me_in(const struct brood__members *members)
{
	return brood__self->ids[members->seat] - 1;
}

/* Where an object is: it has been entered, so this is found at once. */
static struct brood__here where(const struct brood_waitable *item)
{
	const struct brood__waitable_ops *ops = brood__waitable_ops(item->kind);
	struct brood__here here = { 0 };

	brood__here(ops->home ? ops->home(item->object) : item->object, &here);
	return here;
}

static int note_seat(struct call *call, struct brood__members *members)
{
	const struct brood__member *entry = &members->table[me_in(members)];

	for (unsigned int i = 0; i < call->n_seats; i++)
		if (call->seats[i] == members)
			return 0;
	/* A signal handler interrupted a call. */
	if (atomic_load_explicit(&entry->inside, memory_order_relaxed) ||
	    atomic_load_explicit(&entry->sweeping, memory_order_relaxed) ||
	    atomic_load_explicit(&entry->asleep, memory_order_relaxed))
		return -EDEADLK;
	call->seats[call->n_seats++] = members;
	return 0;
}

static int note_fd(struct call *call, const struct brood_waitable *item, int fd)
{
	uint32_t events = wanted(item);

	if (fd < 0)
		return fd;
	if (!call->fds)
		call->fds = malloc((call->n + 1) * sizeof(*call->fds));
	if (!call->fds)
		return -ENOMEM;
	call->fds[call->n_fds++] = (struct pollfd){
		.fd = fd,
		.events = (short)((events & BROOD_READABLE ? POLLIN : 0) |
				  (events & BROOD_WRITABLE ? POLLOUT : 0)),
	};
	return 0;
}

static int note(struct call *call, struct brood_waitable *item)
{
	const struct brood__waitable_ops *ops = brood__waitable_ops(item->kind);
	struct brood__here here;
	int result;

	item->ready = 0;
	if (!ops || wanted(item) & ~ops->events)
		return -EINVAL;
	if (ops->fd)
		return note_fd(call, item, ops->fd(item));
	result = ops->enter(item->object, wanted(item), &here, &item->state);
	if (result < 0)
		return result;
	call->light |= result == BROOD__LIGHT;
	call->plain |= result != BROOD__LIGHT;
	return note_seat(call, here.members);
}

static uint16_t ready_by(const struct brood_waitable *item, short revents)
{
	uint32_t ready = 0;

	if (revents & (POLLIN | POLLHUP | POLLERR))
		ready |= BROOD_READABLE;
	if (revents & (POLLOUT | POLLERR))
		ready |= BROOD_WRITABLE;
	return (uint16_t)(ready & wanted(item));
}

/* What ppoll has told. */
static int look_at_fds(const struct call *call)
{
	const struct pollfd *fd = call->fds;
	int count = 0;

	for (size_t i = 0; i < call->n && fd < call->fds + call->n_fds; i++) {
		struct brood_waitable *item = &call->items[i];

		if (!brood__waitable_ops(item->kind)->fd)
			continue;
		if (fd->revents & POLLNVAL)
			return -EBADF;
		item->ready = ready_by(item, fd++->revents);
		count += item->ready != 0;
	}
	return count;
}

/* How many are ready; -EAGAIN; -EBADF. */
static ssize_t look(void *arg)
{
	struct call *call = arg;
	int count = 0;

	if (call->n_fds) {
		count = brood__poll(call->fds, call->n_fds, 0);
		if (count > 0)
			count = look_at_fds(call);
		if (count < 0)
			return count == -EINTR ? -EAGAIN : count;
	}
	for (size_t i = 0; i < call->n; i++) {
		struct brood_waitable *item = &call->items[i];
		const struct brood__waitable_ops *ops = brood__waitable_ops(item->kind);
		struct brood__here here;

		if (ops->fd)
			continue;
		here = where(item);
		item->ready = (uint16_t)brood__waitable_look(ops, &here, item->object,
							     wanted(item), item->state);
		count += item->ready != 0;
	}
	return count ? count : -EAGAIN;
}

static void mark(const struct call *call, bool set)
{
	for (size_t i = 0; i < call->n; i++) {
		const struct brood_waitable *item = &call->items[i];
		const struct brood__waitable_ops *ops = brood__waitable_ops(item->kind);
		struct brood__here here;

		if (ops->fd)
			continue;
		here = where(item);
		brood__waitable_mark(ops, &here, item->object, wanted(item), set);
	}
}

/* How long the sleep may be, by how safe the fence is. */
static int64_t fence(const struct call *call)
{
	int64_t most = BROOD__BACKSTOP_NS;

	if (call->light && brood__fence_all_cpus())
		most = BROOD__UNFENCED_NS;	/* W7 */
	if (call->plain || !call->light)
		atomic_thread_fence(memory_order_seq_cst);	/* W3 */
	return most;
}

static bool sweep(const struct call *call)
{
	unsigned int swept = 0;

	for (unsigned int i = 0; i < call->n_seats; i++)
		swept += brood__member_sweep(call->seats[i]);
	return swept != 0;
}

/* The park words, then lives, so many of each segment that all have their share. */
static unsigned int gather(const struct call *call, struct brood__futex *set)
{
	unsigned int n = call->n_seats;

	for (unsigned int i = 0; i < call->n_seats; i++) {
		unsigned int share = (BROOD__FUTEX_MANY - n) / (call->n_seats - i);

		n = brood__gather_lives(call->seats[i], me_in(call->seats[i]), set, n,
					n + share);
	}
	return n;
}

static void lie_down(const struct call *call, struct brood__futex *set)
{
	for (unsigned int i = 0; i < call->n_seats; i++) {
		struct brood__member *me = &call->seats[i]->table[me_in(call->seats[i])];

		/* W4 */
		set[i] = (struct brood__futex){
			&me->park, atomic_load_explicit(&me->park, memory_order_acquire),
		};
		atomic_store_explicit(&me->asleep,
				      brood__bell_any() ? BROOD__ON_MANY_WITH_BELLS :
							  BROOD__ON_MANY,
				      memory_order_relaxed);
		if (brood__self->bells)
			brood__bell_arming(call->seats[i], me_in(call->seats[i]));
	}
}

static void get_up(const struct call *call)
{
	mark(call, false);
	for (unsigned int i = 0; i < call->n_seats; i++)
		atomic_store_explicit(
			&call->seats[i]->table[me_in(call->seats[i])].asleep, 0,
			memory_order_relaxed);
}

/* In ppoll: -EAGAIN, or how many descriptors are ready; then the others are to be looked at too. */
static ssize_t doze(struct call *call, int64_t deadline, int64_t most)
{
	bool alarms = call->n_seats != 0;
	int64_t backstop = alarms ? brood_now() + most : deadline;
	int result;

	if (deadline < backstop)
		backstop = deadline;
	result = brood__poll(call->fds, call->n_fds + alarms, backstop);
	return result > 0 ? look(call) : -EAGAIN;
}

/* One round, as in wait.c. */
static ssize_t look_and_sleep(struct call *call, int64_t deadline)
{
	bool late = brood__is_over(deadline);
	struct brood__futex set[BROOD__FUTEX_MANY];
	unsigned int n;
	int64_t most;
	ssize_t result;

	if (call->n_fds && call->n_seats)
		brood__bell_alarms_off();
	lie_down(call, set);
	mark(call, true);
	most = fence(call);
	n = call->n_fds ? 0 : gather(call, set);
	result = look(call);
	if (result == -EAGAIN && sweep(call))
		result = look(call);
	if (result == -EAGAIN && !late) {
		if (call->n_fds)
			result = doze(call, deadline, most);
		else if (n)
			brood__sleep_on(set, n, call->n_seats, deadline, most);
		else
			brood__poll(NULL, 0, deadline);
		sweep(call);
	}
	get_up(call);
	return result == -EAGAIN && late ? -ETIMEDOUT : result;
}

/* Alarms ring at one descriptor, whatever the segment. */
static int prepare_alarms(struct call *call)
{
	int fd = -1;

	for (unsigned int i = 0; i < call->n_seats && call->n_fds; i++) {
		fd = brood__bell_alarm_fd(call->seats[i], me_in(call->seats[i]));
		if (fd < 0)
			return fd;
	}
	if (fd >= 0)
		call->fds[call->n_fds] = (struct pollfd){ .fd = fd, .events = POLLIN };
	return 0;
}

/* Nothing was found, or bits of bells were cleared by us. */
static ssize_t settled(const struct call *call, ssize_t result)
{
	if (!brood__self || !brood__self->bells)
		return result;
	for (size_t i = 0; i < call->n; i++) {
		const struct brood_waitable *item = &call->items[i];
		const struct brood__waitable_ops *ops = brood__waitable_ops(item->kind);

		if (ops->fd)
			continue;
		for (uint32_t rest = wanted(item); rest; rest &= rest - 1)
			brood__bell_settle_one(ops->list(item->object, rest & -rest));
	}
	brood__bell_alarms_off();
	return result;
}

static ssize_t wait_for(struct call *call, int64_t timeout)
{
	int64_t deadline;
	ssize_t result = look(call);

	if (result != -EAGAIN)
		return result;
	if (brood__no_wait(timeout)) {	/* what the dead have left counts */
		result = sweep(call) ? look(call) : -EAGAIN;
		return result == -EAGAIN ? settled(call, result) : result;
	}
	result = brood__spin(PAUSES, timeout, look, call, &deadline);
	if (result != -EAGAIN)
		return result;
	result = prepare_alarms(call);
	if (result)
		return result;
	do
		result = look_and_sleep(call, deadline);
	while (result == -EAGAIN);
	return settled(call, result);
}

int brood_wait(struct brood_waitable *items, size_t n, int64_t timeout)
{
	struct call call = { .items = items, .n = n };
	ssize_t result = !items && n ? -EINVAL : 0;

	for (size_t i = 0; i < n && result == 0; i++)
		result = note(&call, &items[i]);
	if (result == 0)
		result = wait_for(&call, timeout);
	free(call.fds);
	for (size_t i = 0; i < n && result < 0 && items; i++)
		items[i].ready = 0;
	return (int)result;
}
