/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction while others wait for many things: in brood_wait on a futex, in
 * brood_wait beside a plain descriptor, and in epoll on the object's descriptor; one of these
 * alone, or all.
 *
 * First who makes something ready: put, get, send, close, set, release, or its death, when that is
 * the end of file or there is nobody left to wait for. If it had happened when the
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
#include "queue/broadcast.h"
#include "queue/pipe.h"
#include "queue/queue.h"
#include "stepper.h"
#include "sync_crew.h"

#define FAILURES_SHOWN 10	/* of one call */
#define FAILURES_ENOUGH 15
#define LATE_NS 60000000	/* behind the kill or the call; the own look comes after 100 ms */
#define TRIES 4			/* the machine may be busy: late each time is a failure */
#define CROWD 3
#define MEMBERS (2 * CREW_MEMBERS)	/* room: the last victim may still be being swept */

struct job {
	const char *name;
	struct brood_waitable (*make)(void);	/* a new object, and what is waited for */
	ssize_t (*call)(void *);	/* the victim's; the object */
	bool (*done)(const void *);	/* whether it has happened; NULL: it changes nothing */
	ssize_t (*other)(void *);	/* makes it ready */
	void (*before)(void *);		/* by the victim, first */
	void (*destroy)(void *);
	void (*behind)(void *);		/* by us, then; NULL: nothing */
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

static struct brood_waitable empty_single(void)
{
	struct brood_queue_opts opts = { .slots = 2, .max_bytes = 8, .producers = 1,
					 .consumers = 1 };

	return (struct brood_waitable){ .kind = BROOD_WAIT_QUEUE,
					.object = brood_queue_create(&opts),
					.events = BROOD_READABLE };
}

static struct brood_waitable full_single(void)
{
	struct brood_waitable full = empty_single();

	full.events = BROOD_WRITABLE;
	while (brood_queue_put(full.object, "x", 1, 0) == 0)
		;
	brood_queue_producer_end(full.object);
	return full;
}

static struct brood_waitable empty_ring(void)
{
	return (struct brood_waitable){
		.kind = BROOD_WAIT_RING, .events = BROOD_READABLE,
		.object = brood_ring_create(&(struct brood_ring_opts){ .bytes = 256 }),
	};
}

static struct brood_waitable full_ring(void)
{
	struct brood_waitable full = empty_ring();

	full.events = BROOD_WRITABLE;
	while (brood_ring_put(full.object, "x", 1, 0) == 0)
		;
	return full;
}

/* The receiving end; the other one lies behind it. */
static struct brood_waitable empty_conn(void)
{
	struct brood_pipe_opts opts = { .bytes = 256, .simplex = true };

	return (struct brood_waitable){ .kind = BROOD_WAIT_CONN, .events = BROOD_READABLE,
					.object = brood_pipe_end(brood_pipe_create(&opts), 0) };
}

static struct brood_waitable full_conn(void)
{
	struct brood_waitable full = empty_conn();

	full.events = BROOD_WRITABLE;
	full.object = (struct brood_conn *)full.object + 1;
	while (brood_conn_send(full.object, "x", 1, 0) == 0)
		;
	return full;
}

static struct brood_waitable new_broadcast(uint16_t event)
{
	struct brood_broadcast_opts opts = { .slots = 2, .max_bytes = 8 };

	return (struct brood_waitable){ .kind = BROOD_WAIT_BROADCAST, .events = event,
					.object = brood_broadcast_create(&opts) };
}

static struct brood_waitable empty_broadcast(void)
{
	return new_broadcast(BROOD_READABLE);
}

static struct brood_waitable held_broadcast(void)
{
	return new_broadcast(BROOD_WRITABLE);
}

static void destroy_ring(void *ring)
{
	brood_ring_destroy(ring);
}

static void destroy_conn(void *conn)
{
	struct brood_conn *end = conn;

	brood_pipe_destroy((struct brood_pipe *)(void *)(end - 1 - end->index));
}

static void destroy_broadcast(void *broadcast)
{
	brood_broadcast_destroy(broadcast);
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

static ssize_t ring_put(void *ring)
{
	return brood_ring_put(ring, "y", 1, 0);
}

static ssize_t ring_get(void *ring)
{
	char byte;

	return brood_ring_get(ring, &byte, 1, 0) == 1 ? 0 : -EIO;
}

static ssize_t ring_close(void *ring)
{
	return brood_ring_close(ring);
}

static ssize_t conn_send(void *to_receive)
{
	return brood_conn_send((struct brood_conn *)to_receive + 1, "y", 1, 0);
}

static ssize_t conn_recv(void *to_send)
{
	char byte;

	return brood_conn_recv((struct brood_conn *)to_send - 1, &byte, 1, 0) == 1 ? 0 : -EIO;
}

static ssize_t conn_close(void *to_receive)
{
	return brood_conn_close((struct brood_conn *)to_receive + 1);
}

/* The victim is the last who holds that end. */
static void close_other(void *to_receive)
{
	brood_conn_close((struct brood_conn *)to_receive + 1);
}

static void open_other(void *to_receive)
{
	brood_conn_open((struct brood_conn *)to_receive + 1);
}

static ssize_t broadcast_put(void *broadcast)
{
	return brood_broadcast_put(broadcast, "y", 1, 0);
}

static ssize_t broadcast_close(void *broadcast)
{
	return brood_broadcast_close(broadcast);
}

/* The victim is all that the producer would wait for. */
static void hold_up(void *broadcast)
{
	brood_broadcast_subscribe(broadcast);
	while (brood_broadcast_put(broadcast, "x", 1, 0) == 0)
		;
}

static ssize_t broadcast_get(void *broadcast)
{
	char byte;

	return brood_broadcast_get(broadcast, &byte, 1, 0) == 1 ? 0 : -EIO;
}

static ssize_t broadcast_leave_it(void *broadcast)
{
	return brood_broadcast_unsubscribe(broadcast);
}

/* Dead or not. */
static bool always(const void *object)
{
	(void)object;
	return true;
}

static bool single_has_message(const void *object)
{
	const struct brood_queue *queue = object;
	uint64_t header = *(const volatile uint64_t *)((const char *)object + queue->slots_at);

	return header >> 32 == queue->ring;
}

static bool single_has_room(const void *object)
{
	const struct brood_queue *queue = object;

	return atomic_load(&queue->head) != queue->ring;
}

static bool single_is_closed(const void *object)
{
	return atomic_load(&((const struct brood_queue *)object)->closed);
}

static bool first_is(struct brood__bytes *ring, enum bytes_state state)
{
	struct brood__entry *entries = (struct brood__entry *)(void *)(ring + 1);

	return word_state(atomic_load(&entries->word)) == state;
}

static bool ring_has_message(const void *object)
{
	return first_is(&((struct brood_ring *)(uintptr_t)object)->bytes, BYTES_READY);
}

static bool ring_has_room(const void *object)
{
	return first_is(&((struct brood_ring *)(uintptr_t)object)->bytes, BYTES_DONE);
}

static bool ring_is_closed(const void *object)
{
	return first_is(&((struct brood_ring *)(uintptr_t)object)->bytes, BYTES_CLOSED);
}

/* The ring of end 0. */
static struct brood__bytes *conn_ring(const struct brood_conn *end)
{
	char *pipe = (char *)(uintptr_t)(end - 1 - end->index);

	return (struct brood__bytes *)(void *)(pipe + pipe_rings_at(MEMBERS));
}

static bool conn_has_message(const void *object)
{
	return first_is(conn_ring(object), BYTES_READY);
}

static bool conn_has_room(const void *object)
{
	return first_is(conn_ring(object), BYTES_DONE);
}

static bool broadcast_has_message(const void *object)
{
	const struct brood_broadcast *broadcast = object;
	struct slot *first = (void *)(uintptr_t)(broadcast->cursors + MEMBERS);

	return atomic_load(&first->stamp) == stamp_of(0);
}

static bool broadcast_is_closed(const void *object)
{
	return ((const volatile struct brood_broadcast *)object)->closed;
}

static bool has_message(const void *object)
{
	uint64_t word;

	brood__ring_head((struct brood_queue *)(uintptr_t)object, &word);
	return word & SLOT_FULL;
}

static bool queue_has_room(const void *object)
{
	uint64_t word;

	return brood__ring_head((struct brood_queue *)(uintptr_t)object, &word) !=
	       ((const struct brood_queue *)object)->ring;
}

static bool queue_is_closed(const void *object)
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
	if (which->kind == BROOD_WAIT_RING)
		return brood_ring_fd(which->object, which->events);
	if (which->kind == BROOD_WAIT_CONN)
		return brood_conn_fd(which->object, which->events);
	if (which->kind == BROOD_WAIT_BROADCAST)
		return brood_broadcast_fd(which->object, which->events);
	if (which->kind == BROOD_WAIT_EVENT)
		return brood_event_fd(which->object);
	return brood_semaphore_fd(which->object);
}

static int no_fd(struct brood_waitable *which)
{
	if (which->kind == BROOD_WAIT_QUEUE)
		return brood_queue_fd_close(which->object, which->events);
	if (which->kind == BROOD_WAIT_RING)
		return brood_ring_fd_close(which->object, which->events);
	if (which->kind == BROOD_WAIT_CONN)
		return brood_conn_fd_close(which->object, which->events);
	if (which->kind == BROOD_WAIT_BROADCAST)
		return brood_broadcast_fd_close(which->object, which->events);
	if (which->kind == BROOD_WAIT_EVENT)
		return brood_event_fd_close(which->object);
	return brood_semaphore_fd_close(which->object);
}

/* A subscription is each member's own. */
static void begin_to_wait(struct brood_waitable *which)
{
	if (which->kind == BROOD_WAIT_BROADCAST && which->events == BROOD_READABLE)
		brood_broadcast_subscribe(which->object);
}

static ssize_t wait_late(void *object)
{
	struct brood_waitable items[] = { item };

	(void)object;
	return expect(brood_wait(items, 1, brood_us(1)), -ETIMEDOUT);
}

static ssize_t wait_late_beside_fd(void *object)
{
	struct brood_waitable items[] = { item, { .fd = eventfd(0, EFD_CLOEXEC) } };

	(void)object;
	return expect(brood_wait(items, 2, brood_us(1)), -ETIMEDOUT);
}

static ssize_t open_fd(void *object)
{
	(void)object;
	return one_fd(&item) < 0;
}

static void subscribe_first(void *object)
{
	(void)object;
	begin_to_wait(&item);
}

static void open_first(void *object)
{
	begin_to_wait(&item);
	open_fd(object);
}

static ssize_t close_fd(void *object)
{
	(void)object;
	return no_fd(&item);
}

static ssize_t find_nothing(void *object)
{
	char byte;

	if (item.kind == BROOD_WAIT_RING)
		return expect(brood_ring_get(object, &byte, 1, 0), -EAGAIN);
	if (item.kind == BROOD_WAIT_CONN)
		return expect(brood_conn_recv(object, &byte, 1, 0), -EAGAIN);
	if (item.kind == BROOD_WAIT_BROADCAST)
		return expect(brood_broadcast_get(object, &byte, 1, 0), -EAGAIN);
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
	return brood_free(NULL, brood_alloc(NULL, 1));
}

static ssize_t on_futex(void *arg)
{
	const struct brood_waitable *one = arg;
	struct brood_waitable items[2] = { *one, *one };

	begin_to_wait(items);
	return brood_wait(items, 2, brood_ms(HANG_SECONDS * 500)) == 2 ? 0 : -EIO;
}

static ssize_t beside_fd(void *arg)
{
	struct brood_waitable items[2] = { *(struct brood_waitable *)arg,
					   { .fd = eventfd(0, EFD_CLOEXEC) } };
	int result;

	begin_to_wait(items);
	result = brood_wait(items, 2, brood_ms(HANG_SECONDS * 500));
	close(items[1].fd);
	return result == 1 ? 0 : -EIO;
}

static ssize_t in_epoll(void *arg)
{
	struct brood_waitable mine = *(struct brood_waitable *)arg;
	int epoll = epoll_create1(EPOLL_CLOEXEC), fd, n, result = -EAGAIN;
	struct epoll_event event = { .events = EPOLLIN };

	begin_to_wait(&mine);
	fd = one_fd(&mine);
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
	if (victim > 0 && job->behind)
		job->behind(item.object);
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

static void visit(void)
{
	unsigned long points_before = points, failures_before = failures;
	bool *chosen;

	if (!options_want(job->name, company->name))
		return;
	failures_here = 0;
	if (!record() && !record()) {
		printf("FAILED %s, %s: %s\n", job->name, company->name, error);
		failures++;
	}
	chosen = trace_choose(&trace, options.rounds);
	for (size_t k = options.seed % options.stride;
	     k < trace.points && failures_here < FAILURES_ENOUGH; k += options.stride)
		if (chosen[k])
			play(k);
	free(chosen);
	printf("%-24s %-6s  instructions %5zu  points %6lu  failures %lu\n", job->name,
	       company->name, trace.points - 1, points - points_before,
	       failures - failures_before);
	trace_free(&trace);
}

static const struct job jobs[] = {
	{ "put", empty_queue, put, has_message, put, nothing, destroy_queue, NULL },
	{ "put_many", empty_queue, put_both, has_message, put, nothing, destroy_queue, NULL },
	{ "get", full_queue, get, queue_has_room, get, nothing, destroy_queue, NULL },
	{ "close", empty_queue, close_it, queue_is_closed, close_it, nothing, destroy_queue, NULL },
	{ "event set", clear_event, set, is_set, set, nothing, destroy_event, NULL },
	{ "semaphore release", no_unit, release, has_unit, release, nothing, destroy_semaphore,
	  NULL },
	{ "wait", empty_queue, wait_late, NULL, put, nothing, destroy_queue, NULL },
	{ "wait beside fd", empty_queue, wait_late_beside_fd, NULL, put, nothing, destroy_queue,
	  NULL },
	{ "queue_fd", empty_queue, open_fd, NULL, put, nothing, destroy_queue, NULL },
	{ "queue_fd, empty", empty_queue, find_nothing, NULL, put, open_first, destroy_queue,
	  NULL },
	{ "queue_fd_close", empty_queue, close_fd, NULL, put, open_first, destroy_queue, NULL },
	{ "single put", empty_single, put, single_has_message, put, nothing, destroy_queue, NULL },
	{ "single get", full_single, get, single_has_room, get, nothing, destroy_queue, NULL },
	{ "single close", empty_single, close_it, single_is_closed, close_it, nothing,
	  destroy_queue, NULL },
	{ "single wait", empty_single, wait_late, NULL, put, nothing, destroy_queue, NULL },
	{ "single queue_fd, empty", empty_single, find_nothing, NULL, put, open_first,
	  destroy_queue, NULL },
	{ "ring put", empty_ring, ring_put, ring_has_message, ring_put, nothing, destroy_ring,
	  NULL },
	{ "ring get", full_ring, ring_get, ring_has_room, ring_get, nothing, destroy_ring, NULL },
	{ "ring close", empty_ring, ring_close, ring_is_closed, ring_close, nothing,
	  destroy_ring, NULL },
	{ "ring wait", empty_ring, wait_late, NULL, ring_put, nothing, destroy_ring, NULL },
	{ "ring_fd", empty_ring, open_fd, NULL, ring_put, nothing, destroy_ring, NULL },
	{ "ring_fd, empty", empty_ring, find_nothing, NULL, ring_put, open_first, destroy_ring,
	  NULL },
	{ "ring_fd_close", empty_ring, close_fd, NULL, ring_put, open_first, destroy_ring, NULL },
	{ "ring_fd, full", full_ring, open_fd, NULL, ring_get, nothing, destroy_ring, NULL },
	{ "conn send", empty_conn, conn_send, conn_has_message, conn_send, nothing,
	  destroy_conn, NULL },
	{ "conn recv", full_conn, conn_recv, conn_has_room, conn_recv, nothing, destroy_conn,
	  NULL },
	{ "conn close", empty_conn, conn_close, always, conn_close, open_other, destroy_conn,
	  close_other },
	{ "conn wait", empty_conn, wait_late, NULL, conn_send, nothing, destroy_conn, NULL },
	{ "conn wait beside fd", empty_conn, wait_late_beside_fd, NULL, conn_send, nothing,
	  destroy_conn, NULL },
	{ "conn_fd", empty_conn, open_fd, NULL, conn_send, nothing, destroy_conn, NULL },
	{ "conn_fd, empty", empty_conn, find_nothing, NULL, conn_send, open_first, destroy_conn,
	  NULL },
	{ "conn_fd_close", empty_conn, close_fd, NULL, conn_send, open_first, destroy_conn, NULL },
	{ "conn_fd, full", full_conn, open_fd, NULL, conn_recv, nothing, destroy_conn, NULL },
	{ "broadcast put", empty_broadcast, broadcast_put, broadcast_has_message, broadcast_put,
	  nothing, destroy_broadcast, NULL },
	{ "broadcast get", held_broadcast, broadcast_get, always, broadcast_get, hold_up,
	  destroy_broadcast, NULL },
	{ "broadcast unsubscribe", held_broadcast, broadcast_leave_it, always, broadcast_leave_it,
	  hold_up, destroy_broadcast, NULL },
	{ "broadcast close", empty_broadcast, broadcast_close, broadcast_is_closed,
	  broadcast_close, nothing, destroy_broadcast, NULL },
	{ "broadcast wait", empty_broadcast, wait_late, NULL, broadcast_put, subscribe_first,
	  destroy_broadcast, NULL },
	{ "broadcast_fd", empty_broadcast, open_fd, NULL, broadcast_put, subscribe_first,
	  destroy_broadcast, NULL },
	{ "broadcast_fd, empty", empty_broadcast, find_nothing, NULL, broadcast_put, open_first,
	  destroy_broadcast, NULL },
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	const struct brood_segment_opts opts = { .bytes = 16u << 20, .members = MEMBERS };
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
