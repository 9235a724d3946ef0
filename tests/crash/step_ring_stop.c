/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stopped at every instruction of a call of a ring of bytes. A victim makes the call, is stopped at
 * point 0, 1, 2, ..., and while it stands there the ring goes on without it: a dead member is swept,
 * its id is another's, the place that the victim looked at has been left behind. Then it goes on:
 *
 * - what a living member has leased is not the victim's as well, however often its readers died
 * - "empty" and "full" are not said of a ring that never was
 * - at the end the ring is empty and takes all that it can
 *
 *	step_ring_stop [--call NAME] [--stride N] [--seed N] [--rounds N]
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/ring.h>
#include <brood/segment.h>

#include "options.h"
#include "stepper.h"

enum { ROOM = 6, GRANULE = 64, FAILURES_SHOWN = 10 };

struct step_case {
	const char *name;
	void (*before)(void);		/* the victim is there, and has not called yet */
	int64_t (*call)(void);
	void (*meanwhile)(void);
	const char *(*wrong)(void);	/* or NULL */
};

struct stage {			/* shared */
	int64_t result;		/* of the victim's call */
	_Atomic bool done;
	int64_t other;		/* of what another member does meanwhile */
};

static struct stage *stage;
static struct brood_ring *ring;
static const struct step_case *job;
static struct trace trace;
static pid_t victim, holder;
static unsigned long points, failures, astray;

static int64_t put(int64_t number)
{
	return brood_ring_put(ring, &number, sizeof(number), 0);
}

static int64_t get(void)
{
	int64_t number;
	ssize_t n = brood_ring_get(ring, &number, sizeof(number), 0);

	return n < 0 ? n : number;
}

/* ---- other members ---- */

static void lease(void)
{
	struct brood_message message;
	int result = brood_ring_lease(ring, &message, 0);

	stage->other = result ? result : *(const int64_t *)message.data;
}

static void reserve(void)
{
	struct brood_message message;

	stage->other = brood_ring_reserve(ring, 8, &message, 0);
}

/* A member that does it and then waits to be killed. */
static pid_t living(void (*act)(void))
{
	pid_t pid;

	atomic_store(&stage->done, false);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		act();
		atomic_store(&stage->done, true);
		for (;;)
			pause();
	}
	while (pid > 0 && !atomic_load(&stage->done))
		usleep(50);
	return pid;
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void sweep(void)
{
	brood_ring_count(ring);
}

/* ---- the cases ---- */

static void leased_by_a_dead_one(void)
{
	put(7);
	end(living(lease));
}

/* Its reader died, and so did the next one, which nobody has noticed yet. */
static void leased_by_two_dead_ones(void)
{
	leased_by_a_dead_one();
	sweep();
	end(living(lease));
}

static void behind_a_dead_ones(void)
{
	pid_t dead = living(reserve);

	put(7);
	end(dead);
}

static void swept_and_leased(void)
{
	sweep();
	holder = living(lease);
}

static void a_message_goes_through(void)
{
	put(1);
	stage->other = get();
}

static void nothing(void)
{
}

static int64_t put_seven(void)
{
	return put(7);
}

static const char *has_it_alone(void)
{
	if (stage->other == 7)
		return stage->result == 7 ? "both have it" :
		       stage->result == -EAGAIN ? NULL : "get gave an error";
	return stage->result == 7 ? NULL : "nobody has it";
}

static const char *has_it(void)
{
	return stage->result == 7 ? NULL : "a message was there, and get did not find it";
}

static const char *has_put(void)
{
	if (stage->result)
		return "there was room, and put did not find it";
	return brood_ring_count(ring) == (stage->other < 0 ? 2 : 1) ? NULL : "a message is lost";
}

static const struct step_case cases[] = {
	{ "get.leased-again", leased_by_two_dead_ones, get, swept_and_leased, has_it_alone },
	{ "get.leased", leased_by_a_dead_one, get, sweep, has_it },
	{ "get.reserved", behind_a_dead_ones, get, sweep, has_it },
	{ "put.left-behind", nothing, put_seven, a_message_goes_through, has_put },
};

/* ---- a point ---- */

static void act(void *unused)
{
	(void)unused;
	if (brood_ring_capacity(ring) < 0)
		_exit(98);
	stepper_begin();
	stage->result = job->call();
	stepper_end();
}

static const char *begin(void)
{
	ring = brood_ring_create(&(struct brood_ring_opts){ .bytes = ROOM * GRANULE });
	if (!ring)
		return "no ring";
	victim = stepper_spawn(act, NULL);
	if (victim < 0)
		return "the victim's preparations failed";
	job->before();
	return NULL;
}

static const char *whole(void)
{
	while (get() >= 0)
		;
	for (int64_t i = 0; i < ROOM; i++)
		if (put(i))
			return "room is missing";
	if (put(0) != -EAGAIN)
		return "more room than there is";
	for (int64_t i = 0; i < ROOM; i++)
		if (get() != i)
			return "a message is missing";
	return brood_ring_used(ring) || brood_ring_count(ring) ? "it is not empty" : NULL;
}

static const char *go_on(void)
{
	const char *wrong;

	job->meanwhile();
	if (stepper_finish(victim))
		return "the victim failed";
	victim = 0;
	wrong = job->wrong();
	end(holder);
	holder = 0;
	sweep();
	return wrong ? wrong : whole();
}

static void end_all(void)
{
	if (victim > 0)
		stepper_kill(victim);
	end(holder);
	victim = holder = 0;
	sweep();
	if (ring)
		brood_ring_destroy(ring);
	ring = NULL;
}

static void visit(size_t point)
{
	const char *wrong = begin();
	enum step_result moved = STEP_OK;

	if (!wrong)
		moved = stepper_advance(victim, &trace, point);
	if (moved == STEP_ASTRAY) {
		astray++;
		end_all();
		wrong = begin();
		if (!wrong)
			moved = stepper_advance_slowly(victim, point);
	}
	if (!wrong)
		wrong = moved == STEP_DIED ? "the victim died" : go_on();
	end_all();
	points++;
	if (wrong && failures++ < FAILURES_SHOWN)
		printf("FAILED %s, point %zu of %zu at %s: %s\n", job->name, point, trace.points - 1,
		       stepper_where(trace.address[point]), wrong);
}

static void visit_all(void)
{
	unsigned long points_before = points, failures_before = failures;
	const char *wrong = begin();

	trace.points = 0;
	if (wrong || stepper_record(victim, &trace) != STEP_END) {
		printf("FAILED %s: %s\n", job->name, wrong ? wrong : "no trace");
		failures++;
	}
	end_all();
	for (size_t k = options.seed % options.stride; k < trace.points; k += options.stride)
		visit(k);
	printf("%-22s instructions %5zu  points %6lu  failures %lu\n", job->name,
	       trace.points ? trace.points - 1 : 0, points - points_before,
	       failures - failures_before);
	trace_free(&trace);
}

int main(int argc, char **argv)
{
	int status = options_start(argc, argv, 0);

	if (status)
		return status;
	stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage == MAP_FAILED ||
	    brood_init(&(struct brood_segment_opts){ .bytes = 64u << 20, .members = 6 })) {
		perror("cannot make the family");
		return 99;
	}
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		job = &cases[i];
		if (options_want(job->name, "alone"))
			visit_all();
	}
	printf("points %lu, astray %lu, failures %lu\n", points, astray, failures);
	return failures != 0;
}
