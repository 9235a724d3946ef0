/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction of every call of a broadcast. Bob, Cid and Dan subscribe; a victim,
 * as the producer or as a subscriber, makes a call and is killed at point 0, 1, 2, ... of it.
 * Bob and Cid may sleep for a message meanwhile, Ada for room. Afterwards all subscribers must have
 * the same messages, all that were put for certain and no torn or doubled one; who sleeps is woken
 * by what was put, and by the death when room depended on the dead, not by the look that every
 * sleeper takes every 100 ms; Ada can put until the ring is full; a newcomer in the victim's place
 * sees what is put from then on; and nothing is left when the broadcast is destroyed.
 *
 *	step_broadcast [--call NAME] [--state awake|asleep] [--stride N] [--seed N] [--rounds N]
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <brood/broadcast.h>

#include "options.h"
#include "stepper.h"
#include "sync_crew.h"
#include "wait/wait.h"

enum {
	CAPACITY = 2,
	PROBE = 1000,
	LATE_MS = 80,
	TRIES = 3,		/* a busy machine may be late */
	FAILURES_ENOUGH = 10,
	LIST_MAX = 16,
};

static const enum crew listeners[] = { BOB, CID, DAN };

struct job {
	const char *name;
	bool lossy;
	ssize_t (*start)(void *object);	/* by Ada, before the victim is there; or NULL */
	bool start_dies;		/* and Ada dies then */
	ssize_t (*ready)(void *object);	/* by the victim; NULL: its call is its first */
	ssize_t (*then)(void *object);	/* by Ada, when the victim stands ready; or NULL */
	bool heard;			/* the listeners have got what was put until now */
	bool eve;			/* has not: she holds the producer back */
	ssize_t (*call)(void *object);
	ssize_t result;
	enum crew granter;
	ssize_t (*grant)(void *object);	/* when the victim sleeps or is dead */
	int64_t before, after;		/* messages put, in all, without the call and with it */
	bool ada_waits;			/* for room, which the victim makes or its death */
	bool listeners_sleep;		/* in the company `asleep` */
	bool closes;
};

static struct {
	volatile bool returned;
	volatile ssize_t result;
} *stage;

static struct {
	const struct job *job;
	bool asleep_company, asleep_kill, late, hung;
	bool told[CREW];	/* to sleep for a message, and has not been asked what it got */
	struct brood_broadcast *object;
	struct trace trace;
	size_t point;
	pid_t pid;
	int64_t since;
	uint64_t address;
	char error[200];
} scene;

static size_t bytes_between;

static bool fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool fail(const char *format, ...)
{
	va_list arguments;

	if (scene.error[0])
		return false;
	va_start(arguments, format);
	vsnprintf(scene.error, sizeof scene.error, format, arguments);
	va_end(arguments);
	return false;
}

/* ---- what members do ---- */

static ssize_t put(void *object, int64_t number, int64_t timeout)
{
	return brood_broadcast_put(object, &number, sizeof number, timeout);
}

static ssize_t put_0(void *object)
{
	return put(object, 0, 0);
}

static ssize_t put_1(void *object)
{
	return put(object, 1, 0);
}

static ssize_t put_0_and_1(void *object)
{
	ssize_t result = put_0(object);

	return result ? result : put_1(object);
}

static ssize_t put_many(void *object)
{
	int64_t numbers[2] = { 1, 2 };
	const struct brood_message messages[2] = {
		{ .data = &numbers[0], .length = sizeof numbers[0] },
		{ .data = &numbers[1], .length = sizeof numbers[1] },
	};

	return brood_broadcast_put_many(object, messages, 2, 0);
}

static ssize_t put_3(void *object)
{
	return put(object, 3, 0);
}

static ssize_t put_0_to_2(void *object)
{
	ssize_t result = put_0_and_1(object);

	return result ? result : put(object, 2, 0);
}

static ssize_t put_0_to_4(void *object)
{
	ssize_t result = put_0_to_2(object);

	result = result ? result : put_3(object);
	return result ? result : put(object, 4, 0);
}

static ssize_t put_2_for_ever(void *object)
{
	return put(object, 2, BROOD_FOREVER);
}

static ssize_t probe(void *object)
{
	return put(object, PROBE, 0);
}

static ssize_t probe_again(void *object)
{
	return put(object, PROBE + 1, 0);
}

static ssize_t get(void *object, int64_t timeout)
{
	int64_t number;
	ssize_t length = brood_broadcast_get(object, &number, sizeof number, timeout);

	return length == sizeof number ? (ssize_t)number : length;
}

static ssize_t get_now(void *object)
{
	return get(object, 0);
}

static ssize_t get_for_ever(void *object)
{
	return get(object, BROOD_FOREVER);
}

static ssize_t get_many(void *object)
{
	int64_t numbers[3];
	struct brood_message messages[3];

	for (int i = 0; i < 3; i++)
		messages[i] = (struct brood_message){ .data = &numbers[i], .size = sizeof numbers[i] };
	return brood_broadcast_get_many(object, messages, 3, 0);
}

static ssize_t lease_and_release(void *object)
{
	struct brood_message message;
	ssize_t result = brood_broadcast_lease(object, &message, 0);

	return result ? result : brood_broadcast_release(object, &message);
}

static ssize_t subscribe(void *object)
{
	return brood_broadcast_subscribe(object);
}

static ssize_t subscribe_again(void *object)
{
	ssize_t result = brood_broadcast_subscribe(object);

	return result ? result : brood_broadcast_unsubscribe(object);
}

static ssize_t unsubscribe(void *object)
{
	return brood_broadcast_unsubscribe(object);
}

static ssize_t producer_end(void *object)
{
	return brood_broadcast_producer_end(object);
}

static ssize_t close_it(void *object)
{
	return brood_broadcast_close(object);
}

static ssize_t destroy(void *object)
{
	return brood_broadcast_destroy(object);
}

static ssize_t lost(void *object)
{
	return (ssize_t)brood_broadcast_lost(object);
}

static ssize_t count(void *object)
{
	return brood_broadcast_count(object);
}

static ssize_t is_closed(void *object)
{
	return brood_broadcast_closed(object);
}

static ssize_t greet(void *object)
{
	struct brood__here here;

	return brood__here(object, &here);
}

/* ---- the table ---- */

static const struct job jobs[] = {
	{ "put, stranger", .call = put_0, .after = 1, .listeners_sleep = true },
	{ "put", .ready = put_0, .heard = true, .call = put_1, .before = 1, .after = 2,
	  .listeners_sleep = true },
	{ "put, takes over", .start = put_0, .start_dies = true, .heard = true, .call = put_1,
	  .before = 1, .after = 2, .listeners_sleep = true },
	{ "put_many", .ready = put_0, .heard = true, .call = put_many, .result = 2, .before = 1,
	  .after = 3, .listeners_sleep = true },
	{ "put, waits", .ready = put_0_and_1, .heard = true, .eve = true, .call = put_2_for_ever,
	  .granter = EVE, .grant = get_now, .before = 2, .after = 3, .listeners_sleep = true },
	{ "put, lossy", .lossy = true, .ready = put_0, .heard = true, .call = put_1, .before = 1,
	  .after = 2, .listeners_sleep = true },
	{ "put, lossy, over", .lossy = true, .ready = put_0_to_2, .call = put_3, .before = 3,
	  .after = 4 },
	{ "producer_end", .ready = put_0, .heard = true, .call = producer_end, .before = 1,
	  .after = 1, .listeners_sleep = true },
	{ "close", .ready = put_0, .heard = true, .call = close_it, .before = 1, .after = 1,
	  .closes = true, .listeners_sleep = true },
	{ "close, stranger", .call = close_it, .closes = true, .listeners_sleep = true },
	{ "subscribe, stranger", .start = put_0, .heard = true, .call = subscribe, .before = 1,
	  .after = 1, .listeners_sleep = true },
	{ "subscribe, again", .start = put_0, .ready = subscribe_again, .heard = true,
	  .call = subscribe, .before = 1, .after = 1, .listeners_sleep = true },
	{ "unsubscribe", .ready = subscribe, .then = put_0_and_1, .heard = true,
	  .call = unsubscribe, .before = 2, .after = 2, .ada_waits = true },
	{ "get", .ready = subscribe, .then = put_0_and_1, .heard = true, .call = get_now,
	  .before = 2, .after = 2, .ada_waits = true },
	{ "get_many", .ready = subscribe, .then = put_0_and_1, .heard = true, .call = get_many,
	  .result = 2, .before = 2, .after = 2, .ada_waits = true },
	{ "lease and release", .ready = subscribe, .then = put_0_and_1, .heard = true,
	  .call = lease_and_release, .before = 2, .after = 2, .ada_waits = true },
	{ "get, waits", .ready = subscribe, .call = get_for_ever, .granter = ADA, .grant = put_0,
	  .after = 1, .before = 1, .listeners_sleep = true },
	{ "get, lossy", .lossy = true, .ready = subscribe, .then = put_0_and_1, .call = get_now,
	  .before = 2, .after = 2 },
	{ "get, lossy, lapped", .lossy = true, .ready = subscribe, .then = put_0_to_4,
	  .call = get_now, .result = 3, .before = 5, .after = 5 },
	{ "destroy", .ready = put_0, .heard = true, .call = destroy, .before = 1, .after = 1,
	  .listeners_sleep = true },
};

/* ---- setting up ---- */

static bool ask(enum crew who, const char *what, ssize_t (*act)(void *), ssize_t *result)
{
	if (!crew_tell(who, act, scene.object))
		return fail("%s cannot be told to %s", crew_name[who], what);
	if (crew_answer(who, result))
		return true;
	scene.hung = true;
	return fail("hang: %s does not come back from %s", crew_name[who], what);
}

static bool expect(enum crew who, const char *what, ssize_t (*act)(void *), ssize_t want)
{
	ssize_t result;

	if (!ask(who, what, act, &result))
		return false;
	return result == want ||
	       fail("%s: %s gave %zd, not %zd", crew_name[who], what, result, want);
}

static void bury_the_dead(void *object)
{
	struct brood__here here;

	if (brood__here(object, &here) == 0)
		brood__member_sweep(here.members);
}

static struct brood_broadcast *make(bool lossy)
{
	const struct brood_broadcast_opts opts = {
		.slots = CAPACITY, .max_bytes = 40, .lossy = lossy,
	};

	return brood_broadcast_create(&opts);
}

static void victim_body(void *unused)
{
	(void)unused;
	if (scene.job->ready && scene.job->ready(scene.object) < 0)
		_exit(98);
	stepper_begin();
	stage->result = scene.job->call(scene.object);
	stage->returned = true;
	stepper_end();
}

static bool hear(int64_t from, int64_t to)
{
	for (size_t i = 0; i < 3; i++)
		for (int64_t n = from; n < to; n++)
			if (!expect(listeners[i], "hear", get_now, (ssize_t)n))
				return false;
	return true;
}

static bool settle(void)
{
	if (crew_settle())
		return true;
	scene.hung = true;
	return fail("hang: somebody runs for ever");
}

static bool listeners_sleep(void)
{
	return scene.asleep_company && scene.job->listeners_sleep;
}

static bool others_wait(void)
{
	const struct job *job = scene.job;

	scene.told[BOB] = scene.told[CID] = listeners_sleep();
	if (listeners_sleep() && (!crew_tell(BOB, get_for_ever, scene.object) ||
				  !crew_tell(CID, get_for_ever, scene.object)))
		return fail("Bob and Cid cannot be told");
	if (job->ada_waits && !crew_tell(ADA, put_2_for_ever, scene.object))
		return fail("Ada cannot be told");
	if (!settle())
		return false;
	if (job->grant && !scene.asleep_kill &&
	    !crew_tell_after(job->granter, job->grant, scene.object, scene.pid))
		return fail("no grant");
	return true;
}

static bool open_scene(void)
{
	const struct job *job = scene.job;

	scene.error[0] = '\0';
	scene.late = scene.hung = false;
	scene.pid = 0;
	memset((void *)stage, 0, sizeof *stage);
	scene.object = make(job->lossy);
	if (!scene.object)
		return fail("no broadcast: %d", errno);
	bury_the_dead(scene.object);
	if (!crew_complete(greet, scene.object))
		return fail("no crew");
	for (size_t i = 0; i < 3; i++)
		if (!expect(listeners[i], "subscribe", subscribe, 0))
			return false;
	if (job->eve && !expect(EVE, "subscribe", subscribe, 0))
		return false;
	if (job->start && !expect(ADA, "start", job->start, 0))
		return false;
	if (job->start_dies) {
		crew_kill(ADA);
		bury_the_dead(scene.object);
		if (!crew_complete(greet, scene.object))
			return fail("no Ada");
	}
	scene.pid = stepper_spawn(victim_body, NULL);
	if (scene.pid <= 0)
		return fail("the victim's preparations failed: %x", (unsigned)stepper_status());
	if (job->then && !expect(ADA, "then", job->then, 0))
		return false;
	if (job->heard && !hear(0, job->before))
		return false;
	return others_wait();
}

/* ---- what must be so afterwards ---- */

static bool in_time(void)
{
	if (brood_now() - scene.since > LATE_MS * (int64_t)1000000)
		scene.late = true;
	return true;
}

static bool answer(enum crew who, ssize_t *result)
{
	scene.told[who] = false;
	if (crew_answer(who, result))
		return in_time();
	scene.hung = true;
	return fail("hang: %s still waits", crew_name[who]);
}

/* Everything that is there for a listener, behind `first` which it has got; how many in all. */
static bool drain(enum crew who, int64_t *next)
{
	const struct job *job = scene.job;
	ssize_t number, missed, end = job->closes ? -EPIPE : -EAGAIN;
	int64_t heard = 0, from = *next;

	while (ask(who, "get", get_now, &number) && number >= 0) {
		if (job->lossy ? number < *next : number != *next)
			return fail("%s got %zd, not %lld", crew_name[who], number,
				    (long long)*next);
		*next = number + 1;
		heard++;
	}
	if (scene.error[0])
		return false;
	if (number != end && number != -EAGAIN)
		return fail("%s got %zd at the end", crew_name[who], number);
	if (!ask(who, "lost", lost, &missed))
		return false;
	return from + heard + missed == *next ||
	       fail("%s got %lld and lost %zd, of %lld", crew_name[who],
		    (long long)(from + heard), missed, (long long)*next);
}

/* Who sleeps for a message gets it, if there is one or the end; else still sleeps. */
static bool sleepers_are_right(int64_t *bob, int64_t *cid)
{
	ssize_t result, there, closed;

	if (!listeners_sleep())
		return true;
	if (!ask(DAN, "count", count, &there) || !ask(DAN, "ask", is_closed, &closed))
		return false;
	if (!there && !closed)
		return true;
	for (enum crew who = BOB; who <= CID; who++) {
		int64_t *next = who == BOB ? bob : cid;

		if (!answer(who, &result))
			return false;
		if (result != (there ? (ssize_t)*next : -EPIPE))
			return fail("%s slept and got %zd", crew_name[who], result);
		*next += there > 0;
	}
	return true;
}

static bool all_got_the_same(int64_t *total)
{
	int64_t next[3] = { 0, 0, 0 };

	if (scene.job->heard)
		next[0] = next[1] = next[2] = scene.job->before;
	if (!sleepers_are_right(&next[0], &next[1]))
		return false;
	for (size_t i = 0; i < 3; i++)
		if (!scene.told[listeners[i]] && !drain(listeners[i], &next[i]))
			return false;
	*total = next[2];
	for (size_t i = 0; i < 2; i++)
		if (!scene.told[listeners[i]] && next[i] != *total)
			return fail("%s got %lld messages, Dan %lld", crew_name[listeners[i]],
				    (long long)next[i], (long long)*total);
	return true;
}

/* Ada can put as many as there is room for: nobody who is dead counts. */
static bool life_goes_on(void)
{
	int probes[3] = { 0 };
	ssize_t result;

	for (int i = 0; i < CAPACITY; i++) {
		if (!expect(ADA, "probe", probe, 0))
			return false;
		scene.since = brood_now();
		for (size_t k = 0; i == 0 && k < 2; k++) {
			if (!scene.told[listeners[k]])
				continue;
			if (!answer(listeners[k], &result) || result != PROBE)
				return fail("%s slept, and did not get the probe",
					    crew_name[listeners[k]]);
			probes[k]++;
		}
	}
	for (size_t k = 0; k < 3; k++) {
		while (ask(listeners[k], "get", get_now, &result) && result == PROBE)
			probes[k]++;
		if (probes[k] != CAPACITY)
			return fail("%s got %d probes", crew_name[listeners[k]], probes[k]);
	}
	return expect(LATE, "subscribe", subscribe, 0) &&
	       expect(ADA, "probe again", probe_again, 0) &&
	       expect(LATE, "get", get_now, PROBE + 1) && expect(BOB, "get", get_now, PROBE + 1) &&
	       expect(CID, "get", get_now, PROBE + 1) && expect(DAN, "get", get_now, PROBE + 1);
}

static bool check_destroyed(void)
{
	ssize_t result;
	bool gone;

	if (!ask(DAN, "get", get_now, &result))
		return false;
	gone = result == -ESTALE;
	if (stage->returned && !gone)
		return fail("destroyed, and yet Dan got %zd", result);
	if (!gone && result != -EAGAIN)
		return fail("neither alive nor destroyed: Dan got %zd", result);
	if (!gone && !expect(ADA, "destroy", destroy, 0))
		return false;
	if (!gone)
		scene.since = brood_now();
	for (enum crew who = BOB; listeners_sleep() && who <= CID; who++)
		if (!answer(who, &result) || result != -ESTALE)
			return fail("%s slept and got %zd", crew_name[who], result);
	return true;
}

/* What the call itself has to wake, it has woken when it has returned. */
static bool call_woke_them(void)
{
	const struct job *job = scene.job;
	bool news = job->after > job->before || job->closes || job->call == destroy;

	if (!stage->returned || job->grant)
		return true;
	if (job->ada_waits && crew_busy(ADA))
		return fail("the call made room, and did not wake Ada");
	if (listeners_sleep() && news && (crew_busy(BOB) || crew_busy(CID)))
		return fail("the call did not wake Bob and Cid");
	return true;
}

static bool check(void)
{
	const struct job *job = scene.job;
	int64_t total = 0;
	ssize_t result;

	if (job->call == destroy)
		return check_destroyed();
	if (job->grant) {
		if (scene.asleep_kill && !crew_tell(job->granter, job->grant, scene.object))
			return fail("no grant");
		crew_go();
		if (!answer(job->granter, &result) || result != 0)
			return fail("%s could not grant: %zd", crew_name[job->granter], result);
		scene.since = brood_now();
	}
	if (job->ada_waits && (!answer(ADA, &result) || result != 0))
		return fail("Ada waited for room and got %zd", result);
	if (job->eve && !expect(EVE, "unsubscribe", unsubscribe, 0))
		return false;
	if (!all_got_the_same(&total))
		return false;
	total -= job->ada_waits;
	if (total < job->before || total > job->after ||
	    (stage->returned && total != job->after))
		return fail("%lld messages were put, not %lld to %lld", (long long)total,
			    (long long)job->before, (long long)job->after);
	if (!ask(DAN, "ask", is_closed, &result))
		return false;
	if (result != (stage->returned && job->closes) && !job->closes)
		return fail("closed: %zd", result);
	if (result)
		return expect(ADA, "probe", probe, -EPIPE) &&
		       expect(LATE, "subscribe", subscribe, 0) &&
		       expect(LATE, "get", get_for_ever, -EPIPE);
	if (stage->returned && job->closes)
		return fail("not closed");
	return life_goes_on();
}

/* Blocks in limbo are freed by the next who makes one. */
static bool nothing_left(void)
{
	struct brood_segment_info info;
	struct brood_broadcast *another;
	int result = brood_broadcast_destroy(scene.object);

	if (result && (scene.job->call != destroy || result != -ESTALE))
		return fail("destroy gave %d", result);
	bury_the_dead(scene.object);
	another = make(false);
	if (!another || brood_broadcast_destroy(another))
		return fail("no other broadcast");
	brood_segment_stat(NULL, &info);
	if (!bytes_between)
		bytes_between = info.bytes_used;
	return info.bytes_used == bytes_between || fail("leak: %zu bytes, were %zu",
							info.bytes_used, bytes_between);
}

/* ---- points ---- */

static void kill_victim(void)
{
	if (scene.pid > 0)
		stepper_kill(scene.pid);
	scene.pid = 0;
}

static bool advance(bool slowly)
{
	enum step_result result;

	if (scene.asleep_kill)
		return stepper_run_asleep(scene.pid) || fail("the victim does not sleep");
	result = slowly ? stepper_advance_slowly(scene.pid, scene.point) :
			  stepper_advance(scene.pid, &scene.trace, scene.point);
	if (result == STEP_ASTRAY)
		return false;
	scene.address = stepper_address(scene.pid);
	return result != STEP_DIED || fail("the victim died: %x", (unsigned)stepper_status());
}

static void close_scene(void)
{
	kill_victim();
	crew_kill(LATE);
}

static void begin_anew(void)
{
	close_scene();
	crew_end();
	brood_broadcast_destroy(scene.object);
}

static bool play_once(void)
{
	bool right = open_scene();

	if (right && !advance(false)) {
		if (scene.error[0])
			return false;
		begin_anew();
		right = open_scene() && advance(true);
	}
	right = right && settle() && call_woke_them();
	scene.since = brood_now();
	kill_victim();
	if (right && stage->returned && stage->result != scene.job->result)
		right = fail("undisturbed, the call gave %zd", stage->result);
	right = right && check();
	close_scene();
	return right && nothing_left();
}

static bool play(void)
{
	for (int i = 0; i < TRIES; i++) {
		if (!play_once())
			return false;
		if (!scene.late)
			return true;
	}
	return fail("late: a sleeper was not woken, it found out by itself");
}

static unsigned long points, failures;

static void report(bool right)
{
	points++;
	if (right)
		return;
	failures++;
	printf("FAILED %s, %s, point %zu of %zu%s at %s: %s\n", scene.job->name,
	       scene.asleep_company ? "asleep" : "awake", scene.point, scene.trace.points - 1,
	       scene.asleep_kill ? " (asleep)" : "", stepper_where(scene.address), scene.error);
	begin_anew();
	bytes_between = 0;
}

static bool record(void)
{
	bool right = open_scene();

	scene.point = 0;
	if (right && stepper_record(scene.pid, &scene.trace) != STEP_END)
		right = fail("the victim died: %x", (unsigned)stepper_status());
	scene.point = scene.trace.points ? scene.trace.points - 1 : 0;
	scene.since = brood_now();
	right = right && settle() && call_woke_them();
	kill_victim();
	if (right && stage->result != scene.job->result)
		right = fail("the call gave %zd", stage->result);
	right = right && check();
	close_scene();
	return right && nothing_left();
}

static void visit(const struct job *job, bool asleep)
{
	unsigned long points_before = points, failures_before = failures;
	bool *chosen;

	if (!options_want(job->name, asleep ? "asleep" : "awake") ||
	    (asleep && !job->listeners_sleep))
		return;
	scene.job = job;
	scene.asleep_company = asleep;
	scene.asleep_kill = false;
	report(record());
	chosen = trace_choose(&scene.trace, options.rounds);
	for (size_t k = options.seed % options.stride;
	     k < scene.trace.points && failures - failures_before < FAILURES_ENOUGH;
	     k += options.stride) {
		if (!chosen[k])
			continue;
		scene.point = k;
		report(play());
	}
	free(chosen);
	if (job->grant) {
		scene.asleep_kill = true;
		report(play());
	}
	printf("%-20s %-6s  instructions %5zu  points %5lu  failures %lu\n", job->name,
	       asleep ? "asleep" : "awake", scene.trace.points - 1, points - points_before,
	       failures - failures_before);
	trace_free(&scene.trace);
}

int main(int argc, char **argv)
{
	struct brood_segment_opts segment = { .bytes = 16u << 20, .members = CREW_MEMBERS };
	int status = options_start(argc, argv, 0);

	if (status)
		return status;
	stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage == MAP_FAILED || brood_init(&segment)) {
		perror("cannot make the family");
		return 99;
	}
	for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
		visit(&jobs[i], false);
		visit(&jobs[i], true);
	}
	crew_end();
	printf("kill points: %lu, failures: %lu\n", points, failures);
	if (!points)
		return 99;
	return failures ? 1 : 0;
}
