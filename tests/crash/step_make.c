/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction of making and ending: create and destroy of a queue, brood_alloc and
 * brood_free. Nothing is left of what was not finished: once others have looked, the segment has
 * the objects and the bytes that it had before, and they can make, use and end queues as ever.
 *
 *	step_make [N]	every N-th point; also by the environment, BROOD_STRIDE
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <brood/queue.h>
#include <brood/segment.h>

#include "stepper.h"
#include "team.h"

#define BYTES 100

enum what { CREATE, DESTROY, ALLOC, FREE, WHATS };

static const char *const what_name[WHATS] = { "create", "destroy", "alloc", "free" };

/* Shared with the victim. */
static struct maker {
	enum what what;
	struct brood_queue *queue;
	void *memory;
	int result;
	volatile bool returned;
} *maker;

static struct brood_queue *other;
static struct trace trace;
static enum what current;
static size_t point;
static uint64_t address;
static unsigned long points, failures, handed_out;

static const char *where(void)
{
	static char text[400];

	snprintf(text, sizeof text, "%s point %zu of %zu at %s", what_name[current], point,
		 trace.points - 1, stepper_where(address));
	return text;
}

static bool wrong(const char *what, long number)
{
	if (++failures <= 30)
		printf("FAILED %s: %s: %ld\n", where(), what, number);
	return false;
}

static struct brood_queue *make(void)
{
	struct brood_queue_opts opts = { .slots = 4, .max_bytes = 64 };

	return brood_queue_create(&opts);
}

static void act(void *unused)
{
	(void)unused;
	if (brood_queue_count(other) < 0)
		return;
	stepper_begin();
	switch (maker->what) {
	case CREATE:
		maker->queue = make();
		break;
	case DESTROY:
		maker->result = brood_queue_destroy(maker->queue);
		break;
	case ALLOC:
		maker->memory = brood_alloc(NULL, BYTES);
		break;
	default:
		maker->result = brood_free(NULL, maker->memory);
	}
	maker->returned = true;
	stepper_end();
}

static bool start(enum what what, pid_t *pid)
{
	char byte = 1;

	memset(maker, 0, sizeof *maker);
	maker->what = what;
	if (what == DESTROY) {
		maker->queue = make();
		if (!maker->queue || brood_queue_put(maker->queue, &byte, 1, 0))
			return wrong("preparing", errno);
	}
	if (what == FREE && !(maker->memory = brood_alloc(NULL, BYTES)))
		return wrong("preparing", errno);
	*pid = stepper_spawn(act, NULL);
	return *pid > 0 || wrong("the victim does not start", stepper_status());
}

/* Others go on: make both kinds, use them, end them. That looks at what the dead have left. */
static bool works(void)
{
	struct brood_queue *queue = make();
	void *memory = brood_alloc(NULL, BYTES);
	char byte = 1;
	bool right;

	if (!queue || !memory)
		return wrong("create or alloc gives nothing", errno);
	right = brood_queue_put(queue, &byte, 1, 0) == 0 &&
		brood_queue_get(queue, &byte, 1, 0) == 1 && brood_queue_count(queue) == 0 &&
		brood_queue_get(other, &byte, 1, 0) == -EAGAIN;
	right = brood_free(NULL, memory) == 0 && right;
	return (brood_queue_destroy(queue) == 0 && right) || wrong("what is new does not work", 0);
}

/* End what the victim made, or did not end. */
static bool tidy_up(void)
{
	int result = 0;

	if (maker->what == CREATE && maker->queue)
		result = brood_queue_destroy(maker->queue);
	if (maker->what == ALLOC && maker->memory)
		result = brood_free(NULL, maker->memory);
	if (maker->what == DESTROY) {
		result = brood_queue_destroy(maker->queue);
		if (result == -ESTALE || (result == 0 && !maker->returned))
			return true;
	}
	if (maker->what == FREE) {
		result = brood_free(NULL, maker->memory);
		if (result == -EINVAL || (result == 0 && !maker->returned))
			return true;
	}
	return result == 0 || wrong("ending it", result);
}

/*
 * In the last instructions of create and alloc the object is whole and known by its address, and
 * the caller has not yet got that address: no library can tell that from a caller that has it.
 */
static bool just_handed_out(const struct brood_segment_info *now,
			    const struct brood_segment_info *before)
{
	bool made = maker->what == CREATE || maker->what == ALLOC;

	return made && !maker->queue && !maker->memory && now->objects == before->objects + 1;
}

static bool same(struct brood_segment_info *before)
{
	struct brood_segment_info now;

	brood_segment_stat(NULL, &now);
	if (just_handed_out(&now, before)) {
		handed_out++;
		*before = now;
		return true;
	}
	if (now.objects != before->objects)
		return wrong("objects more than before", (long)now.objects - before->objects);
	if (now.bytes_used != before->bytes_used)
		return wrong("bytes more than before",
			     (long)now.bytes_used - (long)before->bytes_used);
	return now.members == before->members || wrong("members", now.members);
}

static bool check(enum what what)
{
	struct brood_segment_info before;
	enum step_result result;
	pid_t pid = 0;

	watch_start(30, where);
	brood_segment_stat(NULL, &before);
	if (!start(what, &pid))
		return false;
	result = stepper_advance(pid, &trace, point);
	address = stepper_address(pid);
	stepper_kill(pid);
	if (result == STEP_DIED)
		return wrong("the victim got a signal", stepper_status());
	points++;
	return works() && tidy_up() && works() && same(&before);
}

static bool record(enum what what)
{
	pid_t pid = 0;
	bool right;

	if (!start(what, &pid))
		return false;
	right = stepper_record(pid, &trace) == STEP_END;
	stepper_kill(pid);
	return right && works() && tidy_up();
}

static void visit(enum what what, size_t stride)
{
	unsigned long points_before = points, failures_before = failures;

	current = what;
	point = 0;
	trace.points = 1;
	if (!record(what)) {
		wrong("cannot be recorded", 0);
		return;
	}
	handed_out = 0;
	for (point = 0; point < trace.points; point += stride)
		check(what);
	printf("%-8s instructions %5zu  points %5lu  failures %lu  handed out just then %lu\n",
	       what_name[what], trace.points - 1, points - points_before,
	       failures - failures_before, handed_out);
}

int main(int argc, char **argv)
{
	const char *stride = argc > 1 ? argv[1] : getenv("BROOD_STRIDE");
	size_t n = stride ? strtoul(stride, NULL, 10) : 1;
	struct brood_segment_opts segment = { .bytes = 64u << 20, .members = 4 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (stepper_unsupported()) {
		printf("skipped: %s\n", stepper_unsupported());
		return 77;
	}
	maker = mmap(NULL, sizeof *maker, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (maker == MAP_FAILED || brood_init(&segment) || !(other = make()) || !works())
		return 99;
	for (enum what what = CREATE; what < WHATS; what++)
		visit(what, n ? n : 1);
	printf("kill points: %lu, failures: %lu\n", points, failures);
	trace_free(&trace);
	return failures || !points ? 1 : 0;
}
