/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include "site.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <brood/segment.h>

#define WATCH_SECONDS 150	/* for one point, the helpers' time-outs included */

static struct brood_queue *other_queue;
static struct victim *shared_victim;
static uint64_t serials;
static struct site *current;

/* The segment as it is between two points, with the team as the only members. */
static struct brood_segment_info between;
static bool between_known;

static const char *const order_name[] = {
	"its first calls", "put", "get", "lease", "count", "reserve", "abort", "puts and gets",
	"its end",
};

const char *site_where(void)
{
	static char text[400];

	if (!current)
		return "the start";
	snprintf(text, sizeof text, "%s %s %s point %zu of %zu at %s", current->call->name,
		 state_name[current->state], current->extra ? current->extra : "",
		 current->point, current->trace.points - 1, stepper_where(current->address));
	return text;
}

bool site_start(void)
{
	struct brood_segment_opts segment = { .bytes = 64u << 20, .members = MEMBERS };
	struct brood_queue_opts queue = { .slots = 2, .max_bytes = MESSAGE_MAX };

	shared_victim = mmap(NULL, sizeof *shared_victim, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared_victim == MAP_FAILED || brood_init(&segment))
		return false;
	other_queue = brood_queue_create(&queue);
	return other_queue && team_start(other_queue);
}

/* ---- orders ---- */

bool site_do(struct site *site, enum who who, enum order_kind kind, uint64_t name,
	     struct answer *answer)
{
	struct order order = { .kind = kind, .queue = site->queue, .name = name,
			       .tasks = site->call->tasks, .rounds = (unsigned)name };

	if (!team_do(who, &order, answer)) {
		site->hung = true;
		return ledger_fail(&site->ledger, "hang: member %c does not come back from %s",
				   who_letter[who], order_name[kind]);
	}
	if (answer->text[0])
		return ledger_fail(&site->ledger, "member %c: %s", who_letter[who], answer->text);
	return true;
}

static bool must_do(struct site *site, enum who who, enum order_kind kind, unsigned index)
{
	struct answer answer;

	if (!site_do(site, who, kind, ledger_name(&site->ledger, index), &answer))
		return false;
	return answer.result >= 0 || ledger_fail(&site->ledger, "preparing: %s gave %zd",
						 order_name[kind], answer.result);
}

/* ---- setting up ---- */

/* An empty answer has looked for the dead: so each victim gets the same place and way. */
static bool bury_the_dead(struct site *site)
{
	char byte;
	ssize_t result = brood_queue_get(other_queue, &byte, 1, 0);

	return result == -EAGAIN || ledger_fail(&site->ledger, "get gave %zd", result);
}

static bool make_queue(struct site *site)
{
	struct brood_queue_opts opts = { .slots = site->capacity, .extra = 16,
					 .max_bytes = MESSAGE_MAX,
					 .joinable = site->call->joinable };

	site->queue = brood_queue_create(&opts);
	return site->queue || ledger_fail(&site->ledger, "no queue: %s", strerror(errno));
}

static bool meet(struct site *site)
{
	/* Who is to die comes anew, but before the victim, so that both get the same places. */
	if (site->call->before == AFTER_DEATH && !must_do(site, EVE, ORDER_MEET, INDEX_WARM))
		return false;
	return must_do(site, PARENT, ORDER_MEET, INDEX_WARM) &&
	       must_do(site, ADA, ORDER_MEET, INDEX_WARM) &&
	       must_do(site, BOB, ORDER_MEET, INDEX_WARM);
}

static bool start_victim(struct site *site)
{
	struct victim *v = shared_victim;

	if (!site->call->run)
		return true;
	memset(v, 0, sizeof *v);
	v->call = site->call;
	v->queue = site->queue;
	v->other = other_queue;
	v->serial = site->ledger.serial;
	site->victim = v;
	site->pid = stepper_spawn(victim_run, v);
	if (site->pid > 0)
		return true;
	site->pid = 0;
	return ledger_fail(&site->ledger, "the victim's preparations failed: %x",
			   (unsigned)stepper_status());
}

/* Eve takes, and dies; nobody looks. */
static bool let_one_die(struct site *site)
{
	bool joinable = site->call->joinable;

	if (!must_do(site, EVE, ORDER_PUT, INDEX_LEASED) || !must_do(site, EVE, ORDER_LEASE, 0) ||
	    !must_do(site, EVE, ORDER_PUT, joinable ? INDEX_HELD : INDEX_FIRST) ||
	    (joinable && !must_do(site, EVE, ORDER_GET, 0)))
		return false;
	team_kill(EVE);
	return true;
}

/* Whether somebody has put the first message already. */
static bool has_first(const struct call *call)
{
	return call->before == AFTER_PUT || (call->before == AFTER_DEATH && !call->joinable);
}

/* Bring the queue into the state that the call is to find. */
static bool fill(struct site *site)
{
	unsigned n = site->state == FULL ? site->capacity
					 : site->state == HALF ? (site->capacity + 1) / 2 : 0;

	if (site->call->before == AFTER_DEATH && !let_one_die(site))
		return false;
	while (site->count < n) {
		unsigned index = INDEX_FIRST + site->count;

		site->queued[site->count++] = index;
		if (!(index == INDEX_FIRST && has_first(site->call)) &&
		    !must_do(site, PARENT, ORDER_PUT, index))
			return false;
	}
	return true;
}

bool site_open(struct site *site)
{
	current = site;
	watch_start(WATCH_SECONDS, site_where);
	ledger_start(&site->ledger, ++serials);
	site->pid = 0;
	site->count = 0;
	site->added = 0;
	site->astray = site->hung = false;
	if (site->call->before == AFTER_DEATH)
		team_kill(EVE);
	return bury_the_dead(site) && make_queue(site) && meet(site) && start_victim(site) &&
	       fill(site);
}

/* ---- moving the victim ---- */

static bool stands(struct site *site, enum step_result result)
{
	site->address = stepper_address(site->pid);
	return result != STEP_DIED || ledger_fail(&site->ledger, "the victim got a signal: %x",
						  (unsigned)stepper_status());
}

bool site_record(struct site *site)
{
	enum step_result result;

	site->trace.points = 1;
	site->point = 0;
	if (!site_open(site))
		return false;
	result = stepper_record(site->pid, &site->trace);
	if (!stands(site, result))
		return false;
	stepper_kill(site->pid);
	site->pid = 0;
	brood_queue_destroy(site->queue);
	return true;
}

static bool again_slowly(struct site *site)
{
	stepper_kill(site->pid);
	brood_queue_destroy(site->queue);
	if (!site_open(site))
		return false;
	site->astray = true;
	return stands(site, stepper_advance_slowly(site->pid, site->point));
}

bool site_advance(struct site *site)
{
	enum step_result result = stepper_advance(site->pid, &site->trace, site->point);

	return result == STEP_ASTRAY ? again_slowly(site) : stands(site, result);
}

/* ---- the end ---- */

static bool nothing_left(struct site *site)
{
	struct brood_segment_info now;
	int result = brood_segment_stat(NULL, &now);

	if (result)
		return ledger_fail(&site->ledger, "brood_segment_stat: %d", result);
	if (!between_known)
		between = now;
	between_known = true;
	if (now.members == between.members && now.objects == between.objects &&
	    now.bytes_used == between.bytes_used && now.dead <= 1)
		return true;
	return ledger_fail(&site->ledger, "leak: members %u was %u, objects %u was %u, bytes %zu "
			   "was %zu, dead and not swept %u", now.members, between.members,
			   now.objects, between.objects, now.bytes_used, between.bytes_used,
			   now.dead);
}

bool site_close(struct site *site)
{
	int result;

	/* The dead one is replaced, so that the team is the same as between other points. */
	if (site->call->before == AFTER_DEATH && !must_do(site, EVE, ORDER_COUNT, 0))
		return false;
	result = brood_queue_destroy(site->queue);
	if (result)
		return ledger_fail(&site->ledger, "destroy: %d", result);
	return nothing_left(site);
}

bool site_begin_anew(void)
{
	if (current && current->pid > 0)
		stepper_kill(current->pid);
	team_end();
	between_known = false;
	return team_start(other_queue);
}
