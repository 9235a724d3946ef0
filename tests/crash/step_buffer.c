/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction of every call of a buffer, and of the sweep of a member that died
 * with references. A victim makes the call and is killed at point 0, 1, 2, ... of it. Then a
 * message that was there for certain must still be, with its bytes; the references of others must
 * stand; and when the living have given up theirs, nothing may be left. In a queue of many, and in
 * one of one producer and one consumer, whose places others take then.
 *
 *	step_buffer [--call NAME] [--state QUEUE] [--stride N] [--seed N] [--rounds N]
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/buffer.h>

#include "arena/arena.h"
#include "options.h"
#include "stepper.h"

enum { BYTES = 300, FAILURES_ENOUGH = 10 };

struct job {
	const char *name;
	bool (*set_up)(void);		/* by the parent, before the victim is there; or NULL */
	int (*ready)(void);		/* by the victim */
	int (*call)(void);
	int result;
	int before, after;		/* messages there without the call, and with it */
	bool destroyed;			/* the queue is, meanwhile */
};

static struct {
	volatile bool returned;
	volatile int result;
	struct brood_buffer *volatile buffer;	/* the victim's */
	volatile bool held;			/* the dead one has what it wants */
} *stage;

static const struct job *job;
static bool one;			/* producer and consumer, at a time */
static struct brood_queue *queue;
static struct brood_buffer *ours;	/* the parent has a reference */
static struct trace trace;
static size_t point;
static char error[200];

static bool fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (!error[0])
		vsnprintf(error, sizeof error, format, arguments);
	va_end(arguments);
	return false;
}

static struct brood_buffer *make(char byte)
{
	struct brood_buffer *buffer = brood_buffer_create(NULL, BYTES);

	if (buffer)
		memset(brood_buffer_data(buffer), byte, BYTES);
	return buffer;
}

/* ---- what the victim does ---- */

static int have_one(void)
{
	stage->buffer = make('v');
	return stage->buffer ? 0 : -errno;
}

static int have_two(void)
{
	int result = have_one();

	return result ? result : brood_buffer_share(stage->buffer);
}

static int nothing(void)
{
	return 0;
}

static int create(void)
{
	return have_one();
}

static int share(void)
{
	return brood_buffer_share(stage->buffer);
}

static int release(void)
{
	return brood_buffer_release(stage->buffer);
}

static int put(void)
{
	return brood_queue_put_buffer(queue, stage->buffer, 0);
}

static int get(void)
{
	struct brood_buffer *buffer;
	int result = brood_queue_get_buffer(queue, &buffer, 0);

	stage->buffer = buffer;
	return result;
}

static int get_and_release(void)
{
	int result = get();

	return result ? result : release();
}

static int leave(void)
{
	brood_queue_destroy(queue);
	return 0;
}

static int sweep_the_dead(void)
{
	brood__member_sweep(&brood__family.members);
	return 0;
}

/* ---- what was before ---- */

/* The place of the only producer is the victim's. */
static bool put_and_stand_up(struct brood_buffer *buffer)
{
	return brood_queue_put_buffer(queue, buffer, 0) == 0 && brood_queue_producer_end(queue) == 0;
}

static bool one_message(void)
{
	ours = make('o');
	return ours && brood_buffer_share(ours) == 0 && put_and_stand_up(ours);
}

static bool one_message_alone(void)
{
	struct brood_buffer *buffer = make('o');

	return buffer && put_and_stand_up(buffer);
}

static bool full(void)
{
	return one_message() && one_message_alone();
}

/* Somebody dies who has got one reference, made others, leased a message, reserved another. */
static bool a_dead_one(void)
{
	pid_t pid;

	if (!one_message() || !one_message_alone())
		return false;
	stage->held = false;
	pid = fork();
	if (pid == 0) {
		struct brood_buffer *buffer;
		struct brood_message message;

		if (brood_queue_get_buffer(queue, &buffer, 0) || brood_buffer_share(buffer) ||
		    !make('d') || brood_queue_lease(queue, &message, 0) ||
		    brood_queue_reserve(queue, &message))
			_exit(1);
		stage->held = true;
		for (;;)
			pause();
	}
	while (pid > 0 && !stage->held && waitpid(pid, NULL, WNOHANG) == 0)
		;
	if (pid > 0)
		stepper_kill(pid);
	return stage->held;
}

static const struct job jobs[] = {
	{ "create", NULL, nothing, create, 0, 0, 0, false },
	{ "share", NULL, have_one, share, 0, 0, 0, false },
	{ "release, one of two", NULL, have_two, release, 0, 0, 0, false },
	{ "release, last", NULL, have_one, release, 0, 0, 0, false },
	{ "put", NULL, have_one, put, 0, 0, 1, false },
	{ "put, one of two", NULL, have_two, put, 0, 0, 1, false },
	{ "put, full", full, have_one, put, -EAGAIN, 2, 2, false },
	{ "get", one_message, nothing, get, 0, 1, 0, false },
	{ "get, alone", one_message_alone, nothing, get, 0, 1, 0, false },
	{ "get and release", one_message_alone, nothing, get_and_release, 0, 1, 0, false },
	{ "get, empty", NULL, nothing, get, -EAGAIN, 0, 0, false },
	{ "destroy the queue", full, nothing, leave, 0, 2, 0, true },
	{ "sweep", a_dead_one, nothing, sweep_the_dead, 0, 1, 1, false },
};

/* ---- a point ---- */

static void bury_the_dead(void)
{
	brood__member_sweep(&brood__family.members);
}

static void victim_body(void *unused)
{
	(void)unused;
	if (brood__member_id(&brood__family.members) < 0 || job->ready())
		_exit(98);
	stepper_begin();
	stage->result = job->call();
	stage->returned = true;
	stepper_end();
}

static pid_t begin(void)
{
	const struct brood_queue_opts opts = { .slots = 2, .max_bytes = 16, .extra = 8,
					       .producers = one, .consumers = one };
	pid_t pid;

	bury_the_dead();
	error[0] = '\0';
	ours = NULL;
	memset((void *)stage, 0, sizeof *stage);
	queue = brood_queue_create(&opts);
	if (!queue || (job->set_up && !job->set_up())) {
		fail("no beginning");
		return -1;
	}
	pid = stepper_spawn(victim_body, NULL);
	if (pid < 0)
		fail("the victim's preparations failed: %x", (unsigned)stepper_status());
	return pid;
}

static bool is_whole(struct brood_buffer *buffer)
{
	const char *bytes = brood_buffer_data(buffer);

	for (int i = 0; bytes && i < BYTES; i++)
		if (bytes[i] != bytes[0])
			return false;
	return bytes && strchr("vo", bytes[0]) && brood_buffer_size(buffer) == BYTES;
}

/* Everything that is in the queue, which is whole, and given up. */
static int take_all(void)
{
	struct brood_buffer *buffer;
	int n = 0, result;

	while ((result = brood_queue_get_buffer(queue, &buffer, 0)) == 0) {
		n++;
		if (!is_whole(buffer))
			fail("a message is damaged");
		if (brood_buffer_release(buffer))
			fail("a message's reference is not mine");
	}
	if (result != -EAGAIN && !(job->destroyed && result == -ESTALE))
		fail("at the end get gave %d", result);
	return result == -ESTALE ? job->after : n;
}

/* What is in limbo is freed by who makes something, as far as it looks for room; here, all. */
static bool nothing_left(void)
{
	struct brood_segment_info info;

	for (struct brood__block *block = brood__block_first(&brood__family); block;
	     block = brood__block_next(&brood__family, block))
		brood__block_reclaim(&brood__family, block);
	brood_segment_stat(NULL, &info);
	return (info.objects == 0 && info.bytes_used == 0) ||
	       fail("leak: %u objects, %zu bytes", info.objects, info.bytes_used);
}

/* Of what the dead had nothing is left, though the queue is still there. */
static bool only_the_queue(void)
{
	struct brood_segment_info info;

	brood_segment_stat(NULL, &info);
	return job->destroyed || info.objects == 1 ||
	       fail("%u objects are left beside the queue", info.objects - 1);
}

static bool check(void)
{
	int there, result;

	bury_the_dead();
	if (stage->returned && stage->result != job->result)
		return fail("undisturbed, the call gave %d", stage->result);
	there = take_all();
	if (error[0])
		return false;
	if (stage->returned ? there != job->after : there != job->before && there != job->after)
		return fail("%d messages were there", there);
	if (ours && (!is_whole(ours) || brood_buffer_release(ours)))
		return fail("our own reference was lost");
	result = brood_queue_producer_begin(queue);
	if (result && !(job->destroyed && result == -ESTALE))
		return fail("nobody can be the producer: %d", result);
	if (!only_the_queue())
		return false;
	result = brood_queue_destroy(queue);
	if (result && !(job->destroyed && result == -ESTALE))
		return fail("destroy gave %d", result);
	return nothing_left();
}

static void report(bool right, unsigned long *failures)
{
	if (right)
		return;
	++*failures;
	printf("FAILED %s%s, point %zu of %zu: %s\n", job->name, one ? ", 1+1" : "", point,
	       trace.points - 1, error);
	if (ours)
		brood_buffer_release(ours);
	brood_queue_destroy(queue);
}

static bool record(void)
{
	pid_t pid = begin();

	if (pid < 0)
		return false;
	if (stepper_record(pid, &trace) != STEP_END)
		fail("the victim died: %x", (unsigned)stepper_status());
	point = trace.points - 1;
	stepper_kill(pid);
	return !error[0] && check();
}

static bool play(void)
{
	enum step_result result;
	pid_t pid = begin();

	if (pid < 0)
		return false;
	result = stepper_advance(pid, &trace, point);
	if (result == STEP_ASTRAY) {
		stepper_kill(pid);
		bury_the_dead();
		if (!check())
			return false;
		pid = begin();
		if (pid < 0)
			return false;
		result = stepper_advance_slowly(pid, point);
	}
	if (result == STEP_DIED)
		fail("the victim died: %x", (unsigned)stepper_status());
	stepper_kill(pid);
	return !error[0] && check();
}

static unsigned long visit(unsigned long *points)
{
	unsigned long failures = 0, first = *points;
	bool *chosen;

	report(record(), &failures);
	chosen = trace_choose(&trace, options.rounds);
	++*points;
	for (size_t k = options.seed % options.stride;
	     k < trace.points && failures < FAILURES_ENOUGH; k += options.stride) {
		if (!chosen[k])
			continue;
		point = k;
		report(play(), &failures);
		++*points;
	}
	free(chosen);
	printf("%-20s %s  instructions %5zu  points %5lu  failures %lu\n", job->name,
	       one ? "1+1" : "n+n", trace.points - 1, *points - first, failures);
	trace_free(&trace);
	return failures;
}

int main(int argc, char **argv)
{
	struct brood_segment_opts segment = { .bytes = 16u << 20, .members = 4 };
	unsigned long points = 0, failures = 0;
	int status = options_start(argc, argv, 1);

	if (status)
		return status;
	stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage == MAP_FAILED || brood_init(&segment)) {
		perror("cannot make the family");
		return 99;
	}
	for (size_t i = 0; i < 2 * sizeof jobs / sizeof *jobs; i++) {
		job = &jobs[i / 2];
		one = i % 2;
		if (options_want(job->name, one ? "1+1" : "n+n"))
			failures += visit(&points);
	}
	printf("kill points: %lu, failures: %lu\n", points, failures);
	if (!points)
		return 99;
	return failures ? 1 : 0;
}
