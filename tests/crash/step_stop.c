/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stopped at every instruction. For each call and state of the queue a victim is stopped at point
 * 0, 1, 2, ... of the call, and stays stopped while two others use the queue:
 *
 * - what was put before comes, once, in order, but for what the victim has taken already
 * - 10,000 puts and gets succeed: each round fills the queue to exactly its capacity, is told full,
 *   drains it in order, and is told empty
 * - the queue is left empty, half-full or full, and the victim goes on: its call succeeds, or says
 *   full or empty if the queue was that when it began or when it went on
 * - every message then has come exactly once
 *
 *	step_stop [--call NAME] [--state empty|half|full] [--capacity N] [--stride N] [--seed N]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "steps.h"

#define PAIRS 10000	/* puts, and as many gets, of the two helpers together */

static unsigned long pairs_done;

static bool take_all(struct site *site, enum who who)
{
	struct answer answer;

	for (;;) {
		if (!site_do(site, who, ORDER_GET, 0, &answer))
			return false;
		if (answer.result < 0)
			break;
		if (!ledger_saw(&site->ledger, answer.name, answer.flags & BROOD_REDELIVERED))
			return false;
	}
	return answer.result == -EAGAIN || (answer.result == -EPIPE && site->call->closes) ||
	       ledger_fail(&site->ledger, "member %c: get gave %zd", who_letter[who],
			   answer.result);
}

/* What may come while the victim has not finished. Order is known for what was there before. */
static void expect(struct site *site)
{
	const struct call *call = site->call;
	unsigned moves = call_moves(call, site->count, site->capacity);

	for (unsigned i = 0; i < site->count; i++)
		ledger_expect(&site->ledger, site->queued[i], !(call->takes && i < moves), 1,
			      call->fate == RETURNED && i < moves ? FLAG_MAY : FLAG_NEVER);
	for (unsigned i = 0; i < call->puts; i++) {
		ledger_expect(&site->ledger, INDEX_OWN + i, 0, 1, FLAG_NEVER);
		site->ledger.account[INDEX_OWN + i].unordered = 1;
	}
	if (call->held == RETURNED || call->before == AFTER_DEATH)
		ledger_expect(&site->ledger, INDEX_LEASED, 0, 1, FLAG_MUST);
	if (call->before == AFTER_DEATH)
		ledger_expect(&site->ledger, INDEX_HELD, 0, call->joinable, FLAG_MUST);
}

/* A stopped close has taken effect or not; both are right, but the answers must agree. */
static bool look_if_closed(struct site *site, bool *closed)
{
	int result = brood_queue_closed(site->queue);
	struct answer answer;

	*closed = result == 1;
	if (result == 0)
		return true;
	if (result != 1 || !site->call->closes)
		return ledger_fail(&site->ledger, "brood_queue_closed gave %d", result);
	if (!site_do(site, ADA, ORDER_PUT, ledger_name(&site->ledger, INDEX_ADDED), &answer))
		return false;
	return answer.result == -EPIPE ||
	       ledger_fail(&site->ledger, "closed, but put gave %zd", answer.result);
}

static bool churn(struct site *site)
{
	unsigned rounds = PAIRS / 2 / site->capacity;
	struct answer answer;
	bool right;

	right = site_do(site, ADA, ORDER_CHURN, rounds, &answer) &&
		site_do(site, BOB, ORDER_CHURN, rounds, &answer);
	pairs_done += right ? rounds * 2 * site->capacity : 0;
	return right;
}

/* Others leave so many messages in it before the victim goes on. */
static bool leave(struct site *site, unsigned n)
{
	struct answer answer;

	for (unsigned i = 0; i < n; i++) {
		enum who who = i % 2 ? ADA : BOB;
		unsigned index = INDEX_ADDED + site->added++;

		if (!site_do(site, who, ORDER_PUT, ledger_name(&site->ledger, index), &answer))
			return false;
		if (answer.result)
			return ledger_fail(&site->ledger, "put gave %zd with %u of %u in",
					   answer.result, i, site->capacity);
		ledger_expect(&site->ledger, index, 1, 1,
			      site->call->fate == RETURNED ? FLAG_MAY : FLAG_NEVER);
	}
	return true;
}

/* The messages that the victim's own call took. */
static bool add_taken(struct site *site)
{
	const struct victim *v = site->victim;
	unsigned last = site->ledger.last;

	if (site->call->fate == RETURNED)
		return true;
	/* They were taken while others took, so only their own order is certain. */
	site->ledger.last = 0;
	for (unsigned i = 0; i < v->got; i++)
		if (!ledger_saw(&site->ledger, v->name[i], v->flags[i] & BROOD_REDELIVERED))
			return false;
	if (site->ledger.last < last)
		site->ledger.last = last;
	return true;
}

/* The call's result fits the number n that it moved, seen from the messages. */
static bool result_fits(struct site *site, unsigned left)
{
	const struct call *call = site->call;
	const struct victim *v = site->victim;
	unsigned own = 0;
	bool excused;

	for (unsigned i = 0; i < call->puts; i++)
		own += site->ledger.account[INDEX_OWN + i].seen;
	if (!call_result_fits(call, v->result, call->puts ? own : v->got))
		return ledger_fail(&site->ledger, "the call gave %zd, but %u of its messages came",
				   v->result, own);
	excused = call->puts ? site->count == site->capacity || left == site->capacity
			     : site->count == 0 || left == 0;
	if (v->result == -EAGAIN && !excused)
		return ledger_fail(&site->ledger, "the call gave -EAGAIN with %u, then %u of %u in",
				   site->count, left, site->capacity);
	return true;
}

static bool go_on(struct site *site)
{
	int status = stepper_finish(site->pid);

	site->pid = 0;
	return status == 0 || ledger_fail(&site->ledger, "the victim ended with status %x",
					  (unsigned)status);
}

/* What is known now: everything that is still in the queue must come, and nothing else. */
static bool settle(struct site *site, unsigned left)
{
	struct ledger *ledger = &site->ledger;
	bool closes = site->call->closes;

	if (!add_taken(site))
		return false;
	for (unsigned i = 0; i < site->count; i++)
		ledger->account[site->queued[i]].least = 1;
	ledger->account[INDEX_LEASED].least = ledger->account[INDEX_LEASED].most;
	ledger->account[INDEX_HELD].least = ledger->account[INDEX_HELD].most;
	return take_all(site, PARENT) && take_all(site, ADA) && ledger_end(ledger) &&
	       result_fits(site, left) &&
	       (!closes || brood_queue_closed(site->queue) == 1 ||
		ledger_fail(ledger, "close returned, but the queue is not closed"));
}

static bool check(struct site *site)
{
	static const unsigned part[] = { 0, 2, 1 };	/* of the capacity, by halves */
	unsigned left = part[site->point % 3] * site->capacity / 2;
	bool closed;

	expect(site);
	if (!take_all(site, ADA) || !take_all(site, BOB) || !look_if_closed(site, &closed))
		return false;
	if (closed)
		left = 0;
	else if (!churn(site) || !leave(site, left))
		return false;
	return go_on(site) && settle(site, left);
}

static void check_point(struct site *site, unsigned unused)
{
	(void)unused;
	if (site_open(site) && site_advance(site) && check(site))
		site_close(site);
}

int main(int argc, char **argv)
{
	int status = steps_start(argc, argv, 1);

	if (status)
		return status;
	steps_each(check_point, 1);
	status = steps_finish("stop");
	printf("puts and gets beside a stopped member: %lu of each\n", pairs_done);
	return status;
}
