/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction while others wait for many things: in brood_wait on a futex, in
 * brood_wait beside a plain descriptor, and in epoll on the object's descriptor; one of these
 * alone, or all.
 *
 * First who makes something ready: put, get, close, set, release. If it had happened when the
 * victim was killed, everybody must be woken, and not by the look that brood_wait takes every 100
 * ms (in epoll there is none); if it had not, nobody, and everybody when another does it. Then who
 * waits itself, or opens a descriptor, finds nothing by it, closes it: what it leaves must keep no
 * wake-up from the others.
 *
 *	step_wait [--call NAME] [--state COMPANY] [--stride N] [--seed N] [--rounds N]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <brood.h>

#include "options.h"
#include "queue/queue.h"
#include "stepper.h"
#include "sync_crew.h"

#define FAILURES_SHOWN 10	/* of one call */
#define FAILURES_ENOUGH 15
#define LATE_NS 60000000	/* behind the kill or the call; the own look comes after 100 ms */
#define TRIES 4			/* the machine may be busy: late each time is a failure */
#define CROWD 3

struct job {
	const char *name;
	struct brood_waitable (*make)(void);	/* a new object, and what is waited for */
	ssize_t (*call)(void *);	/* the victim's; the object */
	bool (*done)(const void *);	/* whether it has happened; NULL: it changes nothing */
	ssize_t (*other)(void *);	/* makes it ready */
	void (*before)(void *);		/* by the victim, first */
	void (*destroy)(void *);
};

static const struct job *job;
static struct brood_waitable item;	/* the victim is forked behind its making */
static struct brood_waitable *shared_item;	/* the crew's */
static struct trace trace;
static unsigned long points, failures, astray, late;
static unsigned int failures_here;
static const char *error;
static pid_t victim;

/* ---- objects ---- */

static struct brood_queue *small_queue(void)
{
	struct brood_queue_opts opts = { .slots = 2, .max_bytes = 8, .extra = 8 };

	return brood_queue_create(&opts);
}

static struct brood_waitable empty_queue(void)
{
	return (struct brood_waitable){ .kind = BROOD_WAIT_QUEUE, .object = small_queue(),
					.events = BROOD_READABLE };
}

static struct brood_waitable full_queue(void)
{
	struct brood_queue *queue = small_queue();

	while (brood_queue_put(queue, "x", 1, 0) == 0)
		;
	return (struct brood_waitable){ .kind = BROOD_WAIT_QUEUE, .object = queue,
					.events = BROOD_WRITABLE };
}

static struct brood_waitable clear_event(void)
{
	return (struct brood_waitable){ .kind = BROOD_WAIT_EVENT,
					.object = brood_event_create(NULL),
					.events = BROOD_READABLE };
}

static struct brood_waitable no_unit(void)
{
	return (struct brood_waitable){ .kind = BROOD_WAIT_SEMAPHORE,
					.object = brood_semaphore_create(0, NULL),
					.events = BROOD_READABLE };
}

static void destroy_queue(void *queue)
{
	brood_queue_destroy(queue);
}

static void destroy_event(void *event)
{
	brood_event_destroy(event);
}

static void destroy_semaphore(void *semaphore)
{
	brood_semaphore_destroy(semaphore);
}

/* ---- calls that make ready ---- */

static ssize_t put(void *queue)
{
	return brood_queue_put(queue, "y", 1, 0);
}

static ssize_t put_both(void *queue)
{
	const struct brood_message messages[] = { { .data = "a", .length = 1 },
						  { .data = "b", .length = 1 } };

	return brood_queue_put_many(queue, messages, 2, 0) == 2 ? 0 : -EIO;
}

static ssize_t get(void *queue)
{
	char byte;

	return brood_queue_get(queue, &byte, 1, 0) == 1 ? 0 : -EIO;
}

static ssize_t close_it(void *queue)
{
	return brood_queue_close(queue);
}

static ssize_t set(void *event)
{
	return brood_event_set(event);
}

static ssize_t release(void *semaphore)
{
	return brood_semaphore_release(semaphore);
}

static bool has_message(const void *object)
{
	uint64_t word;

	brood__ring_head((struct brood_queue *)(uintptr_t)object, &word);
	return word & SLOT_FULL;
}

static bool has_room(const void *object)
{
	uint64_t word;

	return brood__ring_head((struct brood_queue *)(uintptr_t)object, &word) !=
	       ((const struct brood_queue *)object)->ring;
}

static bool is_closed(const void *object)
{
	uint64_t word;

	brood__ring_tail((struct brood_queue *)(uintptr_t)object, &word);
	return word & SLOT_CLOSED;
}

static bool is_set(const void *object)
{
	return *(const volatile uint64_t *)object & 1;
}

static bool has_unit(const void *object)
{
	return *(const volatile uint32_t *)object != 0;
}

/* ---- calls that wait ---- */

static ssize_t expect(ssize_t result, ssize_t want)
{
	return result == want ? 0 : -EIO;
}

static int one_fd(struct brood_waitable *which)
{
	if (which->kind == BROOD_WAIT_QUEUE)
		return brood_queue_fd(which->object, which->events);
	if (which->kind == BROOD_WAIT_EVENT)
		return brood_event_fd(which->object);
	return brood_semaphore_fd(which->object);
}

static void no_fd(struct brood_waitable *which)
{
	if (which->kind == BROOD_WAIT_QUEUE)
		brood_queue_fd_close(which->object, which->events);
	else if (which->kind == BROOD_WAIT_EVENT)
		brood_event_fd_close(which->object);
	else
		brood_semaphore_fd_close(which->object);
}

static ssize_t wait_late(void *object)
{
	struct brood_waitable items[] = { { .kind = BROOD_WAIT_QUEUE, .object = object } };

	return expect(brood_wait(items, 1, brood_us(1)), -ETIMEDOUT);
}

static ssize_t wait_late_beside_fd(void *object)
{
	struct brood_waitable items[] = { { .kind = BROOD_WAIT_QUEUE, .object = object },
					  { .fd = eventfd(0, EFD_CLOEXEC) } };

	return expect(brood_wait(items, 2, brood_us(1)), -ETIMEDOUT);
}

static ssize_t open_fd(void *object)
{
	return brood_queue_fd(object, BROOD_READABLE) < 0;
}

static void open_first(void *object)
{
	open_fd(object);
}

static ssize_t close_fd(void *object)
{
	return brood_queue_fd_close(object, BROOD_READABLE);
}

static ssize_t find_nothing(void *object)
{
	char byte;

	return expect(brood_queue_get(object, &byte, 1, 0), -EAGAIN);
}

static void nothing(void *object)
{
	(void)object;
}

/* ---- who waits ---- */

static ssize_t greet(void *unused)
{
	(void)unused;
	return brood_alloc(NULL, 1) ? 0 : -EIO;
}

static ssize_t on_futex(void *arg)
{
	const struct brood_waitable *one = arg;
	struct brood_waitable items[2] = { *one, *one };

	return brood_wait(items, 2, brood_ms(HANG_SECONDS * 500)) == 2 ? 0 : -EIO;
}

static ssize_t beside_fd(void *arg)
{
	struct brood_waitable items[2] = { *(struct brood_waitable *)arg,
					   { .fd = eventfd(0, EFD_CLOEXEC) } };
	int result = brood_wait(items, 2, brood_ms(HANG_SECONDS * 500));

	close(items[1].fd);
	return result == 1 ? 0 : -EIO;
}

static ssize_t in_epoll(void *arg)
{
	struct brood_waitable mine = *(struct brood_waitable *)arg;
	int epoll = epoll_create1(EPOLL_CLOEXEC), fd = one_fd(&mine), n, result = -EAGAIN;
	struct epoll_event event = { .events = EPOLLIN };

	if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		return -EBADF;
	do {
		n = epoll_wait(epoll, &event, 1, HANG_SECONDS * 500);
		result = n == 1 ? brood_wait(&mine, 1, 0) : -EIO;
	} while (result == -EAGAIN);
	no_fd(&mine);
	close(epoll);
	return result == 1 ? 0 : result;
}

static const struct company {
	const char *name;
	ssize_t (*acts[CROWD])(void *);
} companies[] = {
	{ "futex", { on_futex } },
	{ "poll", { beside_fd } },
	{ "epoll", { in_epoll } },
	{ "all", { in_epoll, on_futex, beside_fd } },
};

static const struct company *company;

/* ---- a point ---- */

static bool fail(const char *text)
{
	if (!error)
		error = text;
	return false;
}

static void victim_body(void *unused)
{
	ssize_t result;

	(void)unused;
	if (greet(NULL))
		_exit(97);
	if (job->before)
		job->before(item.object);
	stepper_begin();
	result = job->call(item.object);
	stepper_end();
	_exit(result ? 98 : 0);
}

static bool all_asleep(void)
{
	for (int i = 0; i < CROWD && company->acts[i]; i++)
		if (!crew_tell((enum crew)(BOB + i), company->acts[i], shared_item))
			return fail("nobody could be told to wait");
	return crew_settle() ? true : fail("they did not come to sleep");
}

/* The object, the victim at the beginning of its call, the others asleep. */
static bool set_up(void)
{
	error = NULL;
	if (!crew_complete(greet, NULL))
		return fail("no crew");
	item = job->make();
	if (!item.object)
		return fail("no object");
	*shared_item = item;
	victim = stepper_spawn(victim_body, NULL);
	return victim > 0 ? all_asleep() : fail("no victim");
}

static bool released(int64_t since)
{
	bool behind;

	for (int i = 0; i < CROWD && company->acts[i]; i++) {
		ssize_t result;

		if (!crew_answer((enum crew)(BOB + i), &result))
			return fail("somebody hangs");
		if (result)
			return fail("somebody was not woken in time, or for nothing");
	}
	behind = brood_now() - since > LATE_NS;
	return behind ? fail("late: somebody had to look by himself") : true;
}

static bool nobody_released(void)
{
	if (!crew_settle())
		return fail("they do not settle");
	for (int i = 0; i < CROWD && company->acts[i]; i++)
		if (!crew_busy((enum crew)(BOB + i)))
			return fail("somebody was released by nobody");
	return true;
}

/* The victim is dead. */
static bool check(bool last)
{
	int64_t since = brood_now();
	ssize_t result;

	if (job->done && job->done(item.object))
		return released(since);
	if (job->done && last)
		return fail("it has returned, and nothing has happened");
	if (!nobody_released())
		return false;
	since = brood_now();
	if (!crew_tell(ADA, job->other, item.object) || !crew_answer(ADA, &result) || result)
		return fail("nobody else can do it");
	return released(since);
}

static void tear_down(bool right)
{
	if (!right)
		crew_end();
	if (item.object)
		job->destroy(item.object);
	item.object = NULL;
}

static enum step_result bring(size_t k)
{
	enum step_result result = stepper_advance(victim, &trace, k);

	if (result != STEP_ASTRAY)
		return result;
	/* Not the way that was recorded: by single steps. */
	astray++;
	stepper_kill(victim);
	victim = stepper_spawn(victim_body, NULL);
	if (victim <= 0 || !crew_settle())
		return STEP_DIED;
	return stepper_advance_slowly(victim, k);
}

static bool play_once(size_t k)
{
	bool right = set_up(), last = false;

	if (right) {
		enum step_result result = bring(k);

		last = result == STEP_END;
		if (result == STEP_DIED)
			right = fail("the victim got a signal");
	}
	if (victim > 0)
		stepper_kill(victim);
	right = right && check(last);
	tear_down(right);
	return right;
}

static void play(size_t k)
{
	bool right = false;

	for (int i = 0; i < TRIES && !right; i++) {
		right = play_once(k);
		if (!right && strncmp(error, "late", 4) != 0)
			break;
		late += !right;
	}
	points++;
	if (right)
		return;
	failures++;
	if (failures_here++ < FAILURES_SHOWN)
		printf("FAILED %s, %s, point %zu of %zu, %s: %s\n", job->name, company->name, k,
		       trace.points, stepper_where(trace.address[k]), error);
}

static bool record(void)
{
	bool right = set_up();

	if (right && stepper_record(victim, &trace) != STEP_END)
		right = fail("its call did not come back");
	if (victim > 0 && right && stepper_finish(victim) != 0)
		right = fail("its call failed");
	else if (victim > 0 && !right)
		stepper_kill(victim);
	right = right && check(true);
	tear_down(right);
	return right;
}

/* Of a loop's rounds the first and last are enough: whether point k is among those. */
static bool among_rounds(size_t k)
{
	size_t before = 0, behind = 0;

	for (size_t i = 0; i < k && before < options.rounds; i++)
		before += trace.address[i] == trace.address[k];
	for (size_t i = k + 1; i < trace.points && behind < options.rounds; i++)
		behind += trace.address[i] == trace.address[k];
	return !options.rounds || before < options.rounds || behind < options.rounds;
}

static void visit(void)
{
	unsigned long points_before = points, failures_before = failures;

	if (!options_want(job->name, company->name))
		return;
	failures_here = 0;
	if (!record() && !record()) {
		printf("FAILED %s, %s: %s\n", job->name, company->name, error);
		failures++;
	}
	for (size_t k = options.seed % options.stride;
	     k < trace.points && failures_here < FAILURES_ENOUGH; k += options.stride)
		if (among_rounds(k))
			play(k);
	printf("%-24s %-6s  instructions %5zu  points %6lu  failures %lu\n", job->name,
	       company->name, trace.points - 1, points - points_before,
	       failures - failures_before);
	trace_free(&trace);
}

static const struct job jobs[] = {
	{ "put", empty_queue, put, has_message, put, nothing, destroy_queue },
	{ "put_many", empty_queue, put_both, has_message, put, nothing, destroy_queue },
	{ "get", full_queue, get, has_room, get, nothing, destroy_queue },
	{ "close", empty_queue, close_it, is_closed, close_it, nothing, destroy_queue },
	{ "event set", clear_event, set, is_set, set, nothing, destroy_event },
	{ "semaphore release", no_unit, release, has_unit, release, nothing, destroy_semaphore },
	{ "wait", empty_queue, wait_late, NULL, put, nothing, destroy_queue },
	{ "wait beside fd", empty_queue, wait_late_beside_fd, NULL, put, nothing, destroy_queue },
	{ "queue_fd", empty_queue, open_fd, NULL, put, nothing, destroy_queue },
	{ "queue_fd, empty", empty_queue, find_nothing, NULL, put, open_first, destroy_queue },
	{ "queue_fd_close", empty_queue, close_fd, NULL, put, open_first, destroy_queue },
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	const struct brood_segment_opts opts = { .bytes = 16u << 20, .members = CREW_MEMBERS };
	int status = options_start(argc, argv, 2);

	if (status)
		return status;
	if (brood_init(&opts) || !(shared_item = brood_alloc(NULL, sizeof *shared_item)))
		return 99;
	for (job = jobs; job->name; job++)
		for (size_t c = 0; c < sizeof companies / sizeof *companies; c++) {
			company = &companies[c];
			visit();
		}
	crew_end();
	printf("kill points: %lu, failures: %lu (%lu reached by single steps alone, %lu repeated "
	       "for being late)\n", points, failures, astray, late);
	if (!points)
		return 99;
	return failures ? 1 : 0;
}
