/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction. For each call, state of the queue and checker a victim is killed at
 * point 0, 1, 2, ... of the call until it has returned. Then the others use the queue:
 *
 * - what was put before comes, once, in order; again only if the victim had it, and then flagged
 * - the victim's own messages come whole or not at all, a prefix of several, all if put returned
 * - full, empty and count are right at every moment
 * - at the end it is empty, takes exactly its capacity, gives that back, and nothing has leaked:
 *   no buffer of the queue, no member, no byte and no object of the segment
 *
 *	step_kill [--call NAME] [--state empty|half|full] [--capacity N] [--stride N] [--seed N]
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "steps.h"

/*
 * A checker is a row of moves: who (Parent, Ada, Bob, Late) and what (p put, g get, c count). Ada
 * and Bob have used the queue before the death, Late has not.
 */
static const char *const checkers[] = {
	"Ap Bc Bp Lc Lp Ag Bg Lg",	/* put first */
	"Ag Bc Bg Lc Lg Ap Bp Lp",	/* get first */
	"Lg Ap Bc Lp Bg Ag Pc Bp",	/* both, and the newcomer first */
};

/* How many messages can be in the ring now, orphans not counted; and whether it is closed. */
static int ring_least, ring_most;
static bool closed;

/* Buffers that can be reserved when nobody died. */
static ssize_t usual_buffers[9];	/* by capacity */

static bool put(struct site *site, enum who who, unsigned index)
{
	struct answer answer;
	struct ledger *ledger = &site->ledger;

	if (!site_do(site, who, ORDER_PUT, ledger_name(ledger, index), &answer))
		return false;
	if (answer.result == -EPIPE && site->call->closes) {
		closed = true;
		return true;
	}
	if (answer.result == -EAGAIN && ring_most >= (int)site->capacity)
		return true;
	if (answer.result)
		return ledger_fail(ledger, "member %c: put gave %zd with at most %d of %u in",
				   who_letter[who], answer.result, ring_most, site->capacity);
	if (closed)
		return ledger_fail(ledger, "put into a closed queue");
	ledger_expect(ledger, index, 1, 1, FLAG_NEVER);
	ring_most++;
	if (++ring_least > (int)site->capacity)
		return ledger_fail(ledger, "put into a full queue");
	return true;
}

static bool nothing_came(struct site *site, enum who who, ssize_t result)
{
	unsigned due = ledger_due(&site->ledger);

	if (result != -EAGAIN && (result != -EPIPE || !site->call->closes))
		return ledger_fail(&site->ledger, "member %c: get gave %zd", who_letter[who],
				   result);
	if (due)
		return ledger_fail(&site->ledger, "member %c: empty, but %u must come",
				   who_letter[who], due);
	if (result == -EAGAIN && closed)
		return ledger_fail(&site->ledger, "get gave -EAGAIN from a closed queue");
	closed = result == -EPIPE;
	return true;
}

static bool get(struct site *site, enum who who, bool *empty)
{
	struct answer answer;

	if (!site_do(site, who, ORDER_GET, 0, &answer))
		return false;
	*empty = answer.result < 0;
	if (*empty)
		return nothing_came(site, who, answer.result);
	if (!ledger_saw(&site->ledger, answer.name, answer.flags & BROOD_REDELIVERED))
		return false;
	ring_least -= ring_least > 0;
	ring_most -= (answer.name & 0xff) >= INDEX_FIRST;
	return true;
}

static bool count(struct site *site, enum who who)
{
	struct answer answer;
	ssize_t least = 0, most = 0;

	if (!site_do(site, who, ORDER_COUNT, 0, &answer))
		return false;
	for (unsigned i = 0; i < LEDGER_MAX; i++) {
		const struct account *a = &site->ledger.account[i];

		least += a->seen < a->least ? a->least - a->seen : 0;
		most += a->seen < a->most ? a->most - a->seen : 0;
	}
	return (answer.result >= least && answer.result <= most) ||
	       ledger_fail(&site->ledger, "member %c: count is %zd, not %zd to %zd",
			   who_letter[who], answer.result, least, most);
}

static bool play(struct site *site, const char *moves)
{
	bool right = true, empty;

	for (; right && *moves; moves += 2 + (moves[2] == ' ')) {
		enum who who = PARENT;

		while (who_letter[who] != moves[0])
			who++;
		if (moves[1] == 'p')
			right = put(site, who, INDEX_ADDED + site->added++);
		else if (moves[1] == 'g')
			right = get(site, who, &empty);
		else
			right = count(site, who);
	}
	return right;
}

/* Take everything in turn, until all four have seen it empty. */
static bool drain(struct site *site)
{
	unsigned empties = 0;
	bool empty;

	for (unsigned i = 0; empties < TEAM; i++) {
		if (!get(site, (enum who)(i % TEAM), &empty))
			return false;
		empties = empty ? empties + 1 : 0;
	}
	return ledger_end(&site->ledger);
}

/* Of several messages that the victim put, a prefix came. */
static bool prefix(struct site *site)
{
	const struct account *own = &site->ledger.account[INDEX_OWN];

	for (unsigned i = 1; i < MANY; i++)
		if (own[i].seen > own[i - 1].seen)
			return ledger_fail(&site->ledger, "message %u of put_many without the one "
					   "before", i + 1);
	return true;
}

static bool all_count(struct site *site)
{
	for (enum who who = PARENT; who < TEAM; who++)
		if (!count(site, who))
			return false;
	return true;
}

/* The ring is exactly known from here on. */
static bool refill(struct site *site)
{
	ring_least = ring_most = 0;
	for (unsigned i = 0; i < site->capacity; i++)
		if (!put(site, (enum who)(i % TEAM), INDEX_REFILL + i) || !count(site, PARENT))
			return false;
	if (ring_least != (int)site->capacity)
		return ledger_fail(&site->ledger, "full with %d of %u", ring_least,
				   site->capacity);
	for (enum who who = PARENT; who < TEAM; who++)
		if (!put(site, who, INDEX_REFILL + site->capacity))
			return false;
	if (brood_queue_full(site->queue) != 1)
		return ledger_fail(&site->ledger, "full, but brood_queue_full does not say so");
	return count(site, PARENT) && drain(site) && all_count(site);
}

static bool finish_tasks(struct site *site)
{
	int result = brood_queue_join(site->queue, 0);

	if (result)
		return ledger_fail(&site->ledger, "all tasks are done, join gave %d", result);
	result = brood_queue_task_done(site->queue);
	return result == -EINVAL || ledger_fail(&site->ledger, "no task is left, task_done gave %d",
						result);
}

static bool finish_closed(struct site *site)
{
	int result = brood_queue_close(site->queue);

	if (result || brood_queue_closed(site->queue) != 1)
		return ledger_fail(&site->ledger, "close gave %d and is not closed", result);
	closed = true;
	return put(site, ADA, INDEX_REFILL) && put(site, LATE, INDEX_REFILL) && drain(site) &&
	       all_count(site);
}

static bool all_do(struct site *site, enum order_kind kind, ssize_t *sum)
{
	struct answer answer;

	*sum = 0;
	for (enum who who = PARENT; who < EVERYBODY; who++) {
		if (!site_do(site, who, kind, 0, &answer))
			return false;
		if (answer.result < 0)
			return ledger_fail(&site->ledger, "member %c: reserve or abort gave %zd",
					   who_letter[who], answer.result);
		*sum += answer.result;
	}
	return true;
}

/* All members that there can be reserve all buffers that are in no slot: as many as usual. */
static bool buffers(struct site *site)
{
	ssize_t *usual = &usual_buffers[site->capacity], n, unused;

	if (!all_do(site, ORDER_RESERVE, &n) || !all_do(site, ORDER_ABORT, &unused))
		return false;
	if (!*usual)
		*usual = n;
	return n == *usual || ledger_fail(&site->ledger, "leak: %zd buffers can be reserved, not %zd",
					  n, *usual);
}

static bool check(struct site *site, const char *moves)
{
	const struct call *call = site->call;

	if (!play(site, moves) || !drain(site) || !prefix(site) ||
	    !count(site, PARENT))
		return false;
	if (call->tasks && !finish_tasks(site))
		return false;
	if (!(call->closes ? finish_closed(site) : refill(site) && buffers(site)))
		return false;
	return team_dismiss_late(site->queue) || ledger_fail(&site->ledger, "the newcomer hangs");
}

/* Before the death: what the call may have done, and had to if it has returned. */
static bool expect(struct site *site)
{
	const struct victim *v = site->victim;
	unsigned moves = call_moves(site->call, site->count, site->capacity);

	ring_least = (int)site->count - (int)(site->call->takes ? moves : 0);
	ring_most = (int)site->count + (int)(site->call->puts ? moves : 0);
	closed = site->call->closes && v->returned;
	call_expect_death(v, &site->ledger, site->queued, site->count, site->capacity,
			  site->point > 0);
	if (site->point + 1 < site->trace.points || call_result_fits(site->call, v->result, moves))
		return true;
	return ledger_fail(&site->ledger, "undisturbed, the call gave %zd", v->result);
}

static void check_point(struct site *site, unsigned checker)
{
	site->extra = checkers[checker];
	if (!site_open(site) || !site_advance(site) || !expect(site))
		return;
	stepper_kill(site->pid);
	site->pid = 0;
	if (check(site, checkers[checker]))
		site_close(site);
}

/* The same checks without a victim: they must pass, and tell what is usual. */
static bool usual(bool joinable)
{
	const struct call nothing = { .name = "nothing", .joinable = joinable };
	struct site site = { .call = &nothing, .capacity = steps_capacity(&nothing) };

	if (site_open(&site) && check(&site, checkers[0]))
		site_close(&site);
	if (site.ledger.error[0])
		printf("FAILED without any victim: %s\n", site.ledger.error);
	return !site.ledger.error[0];
}

int main(int argc, char **argv)
{
	int status = steps_start(argc, argv, 0);

	if (status)
		return status;
	if (!usual(false) || !usual(true))
		return 1;
	steps_each(check_point, sizeof checkers / sizeof *checkers);
	return steps_finish("kill");
}
