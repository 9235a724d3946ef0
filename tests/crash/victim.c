/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a victim: what it does before and after the call under test.
 */
#include <string.h>
#include <unistd.h>

#include "cases.h"
#include "stepper.h"

/* What prepares a victim must succeed; the exit status tells that it did not. */
static void must(bool right)
{
	if (!right)
		_exit(98);
}

static uint64_t name_of(const struct victim *v, unsigned index)
{
	return v->serial << 8 | index;
}

static void put_index(struct victim *v, unsigned index)
{
	unsigned char bytes[MESSAGE_MAX];
	size_t length = message_make(bytes, name_of(v, index));

	must(brood_queue_put(v->queue, bytes, length, 0) == 0);
}

static void get_index(struct victim *v, unsigned index)
{
	unsigned char bytes[MESSAGE_MAX];
	ssize_t n = brood_queue_get(v->queue, bytes, sizeof bytes, 0);

	must(n > 0 && message_name(bytes, (size_t)n) == name_of(v, index));
}

static void get_both(struct victim *v)
{
	unsigned char bytes[2][MESSAGE_MAX];
	struct brood_message m[2] = { { .data = bytes[0], .size = sizeof bytes[0] },
				      { .data = bytes[1], .size = sizeof bytes[1] } };

	must(brood_queue_get_many(v->queue, m, 2, 0) == 2);
	must(message_name(bytes[0], m[0].length) == name_of(v, INDEX_HELD));
	must(message_name(bytes[1], m[1].length) == name_of(v, INDEX_HELD_TOO));
}

static void warm_up(struct victim *v)
{
	put_index(v, INDEX_WARM);
	get_index(v, INDEX_WARM);
	if (v->call->tasks)
		must(brood_queue_task_done(v->queue) == 0);
	must(brood_queue_count(v->queue) == 0);
}

static void prepare(struct victim *v)
{
	enum before before = v->call->before;

	if (before == NEWCOMER)
		must(brood_queue_count(v->other) == 0);
	if (before >= IDLE)
		warm_up(v);
	if (before == AFTER_PUT)
		put_index(v, INDEX_FIRST);
	if (before == AFTER_GET) {
		put_index(v, INDEX_HELD);
		get_index(v, INDEX_HELD);
	}
	if (before == AFTER_MANY) {
		put_index(v, INDEX_HELD);
		put_index(v, INDEX_HELD_TOO);
		get_both(v);
	}
	if (before == HOLDING) {
		put_index(v, INDEX_LEASED);
		must(brood_queue_lease(v->queue, &v->held, 0) == 0);
	}
}

static void lay_out(struct victim *v)
{
	for (unsigned i = 0; i < MANY; i++) {
		struct brood_message *m = &v->message[i];

		m->data = v->bytes[i];
		m->size = MESSAGE_MAX;
		if (v->call->puts)
			m->length = message_make(m->data, name_of(v, INDEX_OWN + i));
	}
}

/* What came is noted, leases are given back, and a call acknowledges the rest. */
static void settle(struct victim *v)
{
	unsigned n = v->result < 0 ? 0 : v->call->takes + v->call->maybe;

	if (n > 1)
		n = (unsigned)v->result;
	for (unsigned i = 0; i < n; i++) {
		v->name[i] = message_name(v->bytes[i], v->message[i].length);
		v->flags[i] = v->message[i].flags;
	}
	v->got = n;
	if (v->lease.data && v->call->fate == STAYS)
		must(brood_queue_release(v->queue, &v->lease) == 0);
	if (v->held.data && v->call->held == STAYS)
		must(brood_queue_release(v->queue, &v->held) == 0);
	must(brood_queue_count(v->queue) >= 0);
}

void victim_run(void *argument)
{
	struct victim *v = argument;

	lay_out(v);
	prepare(v);
	v->prepared = true;
	stepper_begin();
	v->call->run(v);
	stepper_end();
	settle(v);
}
