/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cases.h"

#include <errno.h>
#include <string.h>

const char *const state_name[STATES] = { "empty", "half", "full" };

#define ANY (1u << EMPTY | 1u << HALF | 1u << FULL)
#define SOME (1u << HALF | 1u << FULL)
#define MID (1u << HALF)

static void run_put(struct victim *v)
{
	v->result = brood_queue_put(v->queue, v->message[0].data, v->message[0].length, 0);
	v->returned = 1;
}

static void run_put_many(struct victim *v)
{
	v->result = brood_queue_put_many(v->queue, v->message, MANY, 0);
	v->returned = 1;
}

static void run_get(struct victim *v)
{
	v->result = brood_queue_get_flags(v->queue, v->bytes[0], MESSAGE_MAX,
					  &v->message[0].flags, 0);
	v->message[0].length = v->result < 0 ? 0 : (size_t)v->result;
	v->returned = 1;
}

static void run_get_many(struct victim *v)
{
	v->result = brood_queue_get_many(v->queue, v->message, MANY, 0);
	v->returned = 1;
}

static void run_commit(struct victim *v)
{
	struct brood_message m = { 0 };

	v->result = brood_queue_reserve(v->queue, &m);
	v->returned = 1;
	if (v->result)
		return;
	memcpy(m.data, v->message[0].data, v->message[0].length);
	m.length = v->message[0].length;
	v->result = brood_queue_commit(v->queue, &m, 0);
	v->returned = 2;
}

static void run_abort(struct victim *v)
{
	struct brood_message m = { 0 };

	v->result = brood_queue_reserve(v->queue, &m);
	v->returned = 1;
	v->result = v->result ? v->result : brood_queue_abort(v->queue, &m);
	v->returned = 2;
}

static void run_lease(struct victim *v)
{
	v->result = brood_queue_lease(v->queue, &v->lease, 0);
	v->returned = 1;
	if (v->result)
		return;
	v->message[0].length = v->lease.length;
	v->message[0].flags = v->lease.flags;
	memcpy(v->bytes[0], v->lease.data, v->lease.length);
}

static void run_lease_release(struct victim *v)
{
	run_lease(v);
	if (v->result)
		return;
	v->result = v->call->tasks ? brood_queue_release_done(v->queue, &v->lease)
				   : brood_queue_release(v->queue, &v->lease);
	v->returned = 2;
}

static void run_lease_return(struct victim *v)
{
	run_lease(v);
	if (v->result)
		return;
	v->result = brood_queue_return(v->queue, &v->lease);
	v->returned = 2;
}

static void run_release(struct victim *v)
{
	v->result = brood_queue_release(v->queue, &v->held);
	v->returned = 1;
}

static void run_return(struct victim *v)
{
	v->result = brood_queue_return(v->queue, &v->held);
	v->returned = 1;
}

static void run_task_done(struct victim *v)
{
	v->result = brood_queue_task_done(v->queue);
	v->returned = 1;
}

static void run_close(struct victim *v)
{
	v->result = brood_queue_close(v->queue);
	v->returned = 1;
}

static void run_count(struct victim *v)
{
	v->result = brood_queue_count(v->queue);
	v->returned = 1;
}

const struct call calls[] = {
	{ "put", IDLE, run_put, 1, .puts = 1, .states = ANY },
	{ "put-after-put", AFTER_PUT, run_put, 1, .puts = 1, .states = SOME },
	{ "put-after-get", AFTER_GET, run_put, 1, .puts = 1, .held = GONE, .states = MID },
	{ "put-holding", HOLDING, run_put, 1, .puts = 1, .states = ANY },
	{ "get", IDLE, run_get, 1, .takes = 1, .fate = GONE, .states = ANY },
	{ "get-after-put", AFTER_PUT, run_get, 1, .takes = 1, .fate = GONE, .states = SOME },
	{ "get-after-get", AFTER_GET, run_get, 1, .takes = 1, .fate = GONE, .held = GONE,
	  .states = MID },
	{ "get-holding", HOLDING, run_get, 1, .takes = 1, .fate = GONE, .states = ANY },
	{ "put_many", IDLE, run_put_many, 1, .puts = MANY, .states = ANY },
	{ "put_many-after-put", AFTER_PUT, run_put_many, 1, .puts = MANY, .states = SOME },
	{ "get_many", IDLE, run_get_many, 1, .takes = MANY, .fate = GONE, .states = ANY },
	{ "reserve+commit", IDLE, run_commit, 2, .puts = 1, .states = ANY },
	{ "reserve+abort", IDLE, run_abort, 2, .states = MID },
	{ "lease+release", IDLE, run_lease_release, 2, .takes = 1, .fate = GONE, .states = ANY },
	{ "lease+return", IDLE, run_lease_return, 2, .takes = 1, .fate = RETURNED, .states = ANY },
	{ "lease-holding", HOLDING, run_lease, 1, .takes = 1, .states = MID },
	{ "release", HOLDING, run_release, 1, .held = GONE, .states = MID },
	{ "return", HOLDING, run_return, 1, .held = RETURNED, .states = MID },
	{ "count-after-put", AFTER_PUT, run_count, 1, .states = MID },
	{ "close", IDLE, run_close, 1, .closes = true, .states = ANY },
	{ "close-after-put", AFTER_PUT, run_close, 1, .closes = true, .states = MID },
	{ "first-put", STRANGER, run_put, 1, .puts = 1, .states = ANY },
	{ "first-get", STRANGER, run_get, 1, .takes = 1, .fate = GONE, .states = ANY },
	{ "newcomer-put", NEWCOMER, run_put, 1, .puts = 1, .states = MID },
	{ "newcomer-lease", NEWCOMER, run_lease, 1, .takes = 1, .states = MID },
	{ "count-after-death", AFTER_DEATH, run_count, 1, .states = MID },

	{ "joinable-put-after-get", AFTER_GET, run_put, 1, .puts = 1, .held = GONE,
	  .joinable = true, .states = ANY },
	{ "joinable-get", IDLE, run_get, 1, .takes = 1, .joinable = true, .states = ANY },
	{ "joinable-get-after-get", AFTER_GET, run_get, 1, .takes = 1, .held = GONE,
	  .joinable = true, .states = ANY },
	{ "joinable-get_many", IDLE, run_get_many, 1, .takes = MANY, .joinable = true,
	  .states = SOME },
	{ "joinable-get_many-after-get", AFTER_GET, run_get_many, 1, .takes = MANY, .held = GONE,
	  .joinable = true, .states = MID },
	{ "joinable-get-after-get_many", AFTER_MANY, run_get, 1, .takes = 1, .held = GONE,
	  .held_too = GONE, .joinable = true, .states = MID },
	{ "joinable-put_many-after-get", AFTER_GET, run_put_many, 1, .puts = MANY, .held = GONE,
	  .joinable = true, .states = ANY },
	{ "joinable-commit-after-get", AFTER_GET, run_commit, 2, .puts = 1, .held = GONE,
	  .joinable = true, .states = MID },
	{ "joinable-count-after-get", AFTER_GET, run_count, 1, .held = GONE, .joinable = true,
	  .states = MID },
	{ "joinable-close-after-get", AFTER_GET, run_close, 1, .closes = true, .held = GONE,
	  .joinable = true, .states = MID },
	{ "task_done", AFTER_GET, run_task_done, 1, .held = GONE, .joinable = true, .tasks = true,
	  .states = ANY },
	{ "task_done-after-get_many", AFTER_MANY, run_task_done, 1, .held = GONE,
	  .joinable = true, .tasks = true, .states = MID },
	{ "joinable-get-after-death", AFTER_DEATH, run_get, 1, .maybe = true, .joinable = true,
	  .states = 1u << EMPTY },
	{ "joinable-count-after-death", AFTER_DEATH, run_count, 1, .joinable = true,
	  .states = MID },
	{ "lease+release_done", IDLE, run_lease_release, 2, .takes = 1, .fate = GONE,
	  .joinable = true, .tasks = true, .states = SOME },
};
const size_t calls_count = sizeof calls / sizeof *calls;

unsigned call_moves(const struct call *call, unsigned count, unsigned capacity)
{
	unsigned most = call->puts ? call->puts : call->takes;
	unsigned possible = call->puts ? capacity - count : count;

	return most < possible ? most : possible;
}

bool call_result_fits(const struct call *call, ssize_t result, unsigned n)
{
	unsigned most = call->puts ? call->puts : call->takes;

	if (most == 0)
		return result >= 0 || (result == -EAGAIN && call->maybe);
	if (n == 0)
		return result == -EAGAIN;
	return most > 1 ? result == (ssize_t)n : result >= 0;
}

/*
 * What may still come of a message that the victim has, or takes, when the victim dies: `mine` is
 * whether it had it for certain; whether the calls that end its fate may have begun, or have ended.
 */
static void expect_taken(struct ledger *ledger, unsigned index, enum fate fate, bool mine,
			 bool begun, bool ended)
{
	if (fate == GONE && ended)
		ledger_expect(ledger, index, 0, 0, FLAG_NEVER);
	else
		ledger_expect(ledger, index, !(fate == GONE && begun), 1,
			      mine ? FLAG_MUST : FLAG_MAY);
}

/* In a queue that is not joinable, get has acknowledged the message itself. */
static void expect_held(const struct victim *v, struct ledger *ledger, bool begun)
{
	const struct call *call = v->call;
	bool all = v->returned == call->calls, any = v->returned > 0;

	if (call->before == AFTER_GET || call->before == AFTER_MANY)
		expect_taken(ledger, INDEX_HELD, call->held, true, begun, any || !call->joinable);
	if (call->before == AFTER_MANY)
		expect_taken(ledger, INDEX_HELD_TOO, call->held_too, true, begun, any);
	if (call->before == AFTER_DEATH) {
		ledger_expect(ledger, INDEX_LEASED, 1, 1, FLAG_MUST);
		ledger_expect(ledger, INDEX_HELD, call->joinable, call->joinable, FLAG_MUST);
	}
	if (call->before == HOLDING)
		expect_taken(ledger, INDEX_LEASED, call->held, true, begun, all);
}

void call_expect_death(const struct victim *v, struct ledger *ledger, const unsigned *queued,
		       unsigned count, unsigned capacity, bool begun)
{
	const struct call *call = v->call;
	unsigned moves = call_moves(call, count, capacity);
	bool all = v->returned == call->calls, any = v->returned > 0;

	expect_held(v, ledger, begun);
	for (unsigned i = 0; i < count; i++) {
		if (call->takes && i < moves)
			expect_taken(ledger, queued[i], call->fate, any,
				     call->calls > 1 ? any : begun, all);
		else
			ledger_expect(ledger, queued[i], 1, 1, FLAG_NEVER);
	}
	for (unsigned i = 0; i < call->puts && i < moves; i++)
		ledger_expect(ledger, INDEX_OWN + i, all, 1, FLAG_NEVER);
}
