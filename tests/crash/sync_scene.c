/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include "sync_scene.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <brood/segment.h>

#include "member/member.h"

/*
 * Whoever sleeps looks by himself every 100 ms. Whom that helps within the time, a wake-up was lost
 * for; a busy machine may look the same, once.
 */
#define LATE_NS 80000000
#define TRIES 3

struct stage *stage;

static void *memory;
static struct brood_segment_info between;
static bool between_known;
static volatile sig_atomic_t watched;

bool scene_fail(struct scene *scene, const char *format, ...)
{
	va_list arguments;

	if (scene->error[0])
		return false;
	va_start(arguments, format);
	vsnprintf(scene->error, sizeof scene->error, format, arguments);
	va_end(arguments);
	return false;
}

const char *scene_where(const struct scene *scene)
{
	static char text[400];

	if (scene->asleep)
		snprintf(text, sizeof text, "%s, %s, asleep", scene->job->name,
			 scene->company->name);
	else
		snprintf(text, sizeof text, "%s, %s, point %zu of %zu at %s", scene->job->name,
			 scene->company->name, scene->point, scene->trace.points - 1,
			 stepper_where(scene->address));
	return text;
}

/* A victim that never comes back is killed: that is a failure of its point. */
static void end_of_patience(int signal)
{
	(void)signal;
	if (watched)
		kill((pid_t)watched, SIGKILL);
}

uint64_t scene_my_token(void *object)
{
	struct brood__here here;

	return brood__here(object, &here) ? 0 : here.token;
}

static ssize_t greet(void *object)
{
	return scene_my_token(object) ? 0 : -EBADF;
}

bool scene_start(void)
{
	struct brood_segment_opts segment = { .bytes = 64u << 20, .members = CREW_MEMBERS };

	stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (stage == MAP_FAILED || brood_init(&segment))
		return false;
	memory = brood_alloc(NULL, OBJECT_MAX);
	signal(SIGALRM, end_of_patience);
	return memory && greet(memory) == 0 && crew_start(greet, memory);
}

bool scene_begin_anew(void)
{
	crew_end();
	between_known = false;
	return crew_start(greet, memory);
}

/* ---- setting up ---- */

/* So each victim gets the same place and way. */
static bool bury_the_dead(struct scene *scene)
{
	struct brood__here here;
	int result = brood__here(memory, &here);

	if (result)
		return scene_fail(scene, "the parent is no member: %d", result);
	brood__member_sweep(here.members);
	return true;
}

static void victim_body(void *argument)
{
	const struct scene *scene = argument;
	const struct sync_case *job = scene->job;

	if (job->ready) {
		stage->token = scene_my_token(scene->object);
		if (!stage->token || job->ready(scene->object) < 0)
			_exit(98);
	}
	stepper_begin();
	stage->result = job->call(scene->object);
	stage->returned = true;
	stepper_end();
}

static bool start_victim(struct scene *scene)
{
	scene->pid = stepper_spawn(victim_body, scene);
	if (scene->pid > 0) {
		watched = scene->pid;
		return true;
	}
	scene->pid = 0;
	return scene_fail(scene, "the victim's preparations failed: %x",
			  (unsigned)stepper_status());
}

static bool start_sleepers(struct scene *scene, enum come come)
{
	if (!scene->job->sleep || scene->job->come != come)
		return true;
	for (unsigned i = 0; i < scene->company->sleepers; i++)
		if (!crew_tell((enum crew)(BOB + i), scene->job->sleep, scene->object))
			return scene_fail(scene, "%s cannot be told", crew_name[BOB + i]);
	if (crew_settle())
		return true;
	scene->hung = true;
	return scene_fail(scene, "hang: the sleepers neither sleep nor return");
}

static void forget(struct scene *scene)
{
	memset(scene->sleeper, 0, sizeof scene->sleeper);
	scene->pid = 0;
	scene->astray = scene->late = scene->hung = scene->last = false;
	scene->error[0] = '\0';
	scene->object = memory;
	memset(memory, 0, OBJECT_MAX);
	memset(stage, 0, sizeof *stage);
}

static bool open_scene(struct scene *scene)
{
	const struct sync_case *job = scene->job;
	ssize_t result;

	alarm(2 * HANG_SECONDS);
	forget(scene);
	result = job->make ? job->make(memory) : 0;
	if (result)
		return scene_fail(scene, "making the object gave %zd", result);
	if (!bury_the_dead(scene) || (job->set_up && !job->set_up(scene)) ||
	    !start_sleepers(scene, BEFORE_VICTIM) || !start_victim(scene) ||
	    !start_sleepers(scene, BEFORE_CALL))
		return false;
	if (!job->grant || scene->asleep || crew_tell_after(ADA, job->grant, memory, scene->pid))
		return true;
	return scene_fail(scene, "Ada cannot be told");
}

/* ---- the victim's way ---- */

static bool stands(struct scene *scene, enum step_result result)
{
	scene->address = stepper_address(scene->pid);
	if (result != STEP_DIED)
		return true;
	scene->hung = true;
	return scene_fail(scene, "the victim hung or got a signal: %x", (unsigned)stepper_status());
}

static void kill_victim(struct scene *scene)
{
	watched = 0;
	if (scene->pid > 0)
		stepper_kill(scene->pid);
	scene->pid = 0;
}

/* Another victim, by single steps alone; the others begin anew too, some may have what they want. */
static bool again_slowly(struct scene *scene)
{
	kill_victim(scene);
	if (!scene_begin_anew() || !open_scene(scene))
		return false;
	scene->astray = true;
	return stands(scene, stepper_advance_slowly(scene->pid, scene->point));
}

static bool advance(struct scene *scene)
{
	enum step_result result;

	if (scene->asleep)
		return stepper_run_asleep(scene->pid) ||
		       scene_fail(scene, "the victim does not sleep: %x",
				  (unsigned)stepper_status());
	result = stepper_advance(scene->pid, &scene->trace, scene->point);
	return result == STEP_ASTRAY ? again_slowly(scene) : stands(scene, result);
}

/* Everybody gets as far as they get; what is so then, was so at the kill. */
static bool look_around(struct scene *scene)
{
	if (!start_sleepers(scene, AT_POINT))
		return false;
	if (!crew_settle()) {
		scene->hung = true;
		return scene_fail(scene, "hang: somebody runs for ever beside the victim");
	}
	for (unsigned i = 0; i < scene->company->sleepers && scene->job->sleep; i++)
		scene->sleeper[i].done = !crew_busy((enum crew)(BOB + i));
	memcpy(scene->was, memory, OBJECT_MAX);
	scene->token = stage->token;
	scene->returned = stage->returned;
	scene->result = stage->result;
	return true;
}

/* ---- for checks ---- */

void scene_mark(struct scene *scene)
{
	scene->since = brood_now();
}

static bool answer(struct scene *scene, enum crew who, const char *what, ssize_t *result)
{
	if (crew_answer(who, result))
		return true;
	scene->hung = true;
	return scene_fail(scene, "hang: %s does not come back from %s", crew_name[who], what);
}

bool scene_ask(struct scene *scene, enum crew who, const char *what, ssize_t (*act)(void *),
	       ssize_t want)
{
	ssize_t result;

	if (!crew_tell(who, act, scene->object))
		return scene_fail(scene, "%s cannot be told to %s", crew_name[who], what);
	if (!answer(scene, who, what, &result))
		return false;
	return result == want || scene_fail(scene, "%s: %s gave %zd, not %zd", crew_name[who],
					    what, result, want);
}

bool scene_collect(struct scene *scene)
{
	for (unsigned i = 0; i < scene->company->sleepers && scene->job->sleep; i++)
		if (!answer(scene, (enum crew)(BOB + i), "waiting", &scene->sleeper[i].result))
			return false;
	scene->late = brood_now() - scene->since > LATE_NS;
	return true;
}

/* ---- a point ---- */

static bool nothing_left(struct scene *scene)
{
	struct brood_segment_info now;
	int result = brood_segment_stat(NULL, &now);

	if (result)
		return scene_fail(scene, "brood_segment_stat: %d", result);
	if (!between_known)
		between = now;
	between_known = true;
	return (now.objects == between.objects && now.bytes_used == between.bytes_used) ||
	       scene_fail(scene, "leak: objects %u was %u, bytes %zu was %zu", now.objects,
			  between.objects, now.bytes_used, between.bytes_used);
}

static bool granted(struct scene *scene)
{
	ssize_t result;

	if (!scene->job->grant)
		return true;
	if (scene->asleep && !crew_tell(ADA, scene->job->grant, memory))
		return scene_fail(scene, "Ada cannot be told");
	if (!answer(scene, ADA, "giving it to the victim", &result))
		return false;
	return result == 0 || scene_fail(scene, "Ada gave it to the victim with %zd", result);
}

static bool kill_and_check(struct scene *scene)
{
	if (!look_around(scene))
		return false;
	kill_victim(scene);
	scene_mark(scene);
	crew_go();
	if (!granted(scene) || !scene->job->check(scene))
		return false;
	for (enum crew who = ADA; who < CREW; who++)
		if (crew_busy(who))
			return scene_fail(scene, "%s is still in a call", crew_name[who]);
	crew_kill(LATE);
	return nothing_left(scene);
}

bool scene_record(struct scene *scene)
{
	enum step_result result;
	bool right;

	scene->trace.points = 1;
	scene->point = 0;
	scene->asleep = false;
	if (!open_scene(scene))
		return false;
	result = stepper_record(scene->pid, &scene->trace);
	scene->point = scene->trace.points - 1;
	right = stands(scene, result);
	scene->last = true;
	right = right && kill_and_check(scene);
	kill_victim(scene);
	return right;
}

static bool play_once(struct scene *scene)
{
	bool right = open_scene(scene) && advance(scene);

	scene->last = !scene->asleep && scene->point + 1 == scene->trace.points;
	right = right && kill_and_check(scene);
	kill_victim(scene);
	alarm(0);
	return right;
}

bool scene_play(struct scene *scene)
{
	for (unsigned i = 0; i < TRIES; i++) {
		if (!play_once(scene))
			return false;
		if (!scene->late)
			return true;
	}
	return scene_fail(scene, "late: a sleeper was not woken, it found out by itself");
}
