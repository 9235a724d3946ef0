/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include "sync_scene.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <brood/segment.h>

#include "wait/wait.h"

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

struct brood_contention *scene_counts(void *object)
{
	return (void *)((char *)object + OBJECT_MAX - sizeof(struct brood_contention));
}

ssize_t scene_note(ssize_t result)
{
	if (result == 0 || result == -EOWNERDEAD)
		atomic_fetch_add(&stage->n[3], 1);
	return result;
}

bool scene_counts_fit(struct scene *scene)
{
	uint64_t noted = atomic_load(&stage->n[3]);
	uint64_t counted = scene_counts(scene->object)->acquisitions;

	return counted == noted || counted == noted + 1 ||
	       scene_fail(scene, "%lu acquisitions counted, %lu by the living",
			  (unsigned long)counted, (unsigned long)noted);
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
	return memory && greet(memory) == 0 && crew_complete(greet, memory);
}

void *scene_memory(void)
{
	return memory;
}

/* So everybody gets the same place each time, and each victim takes the same way. */
static void bury_the_dead(void)
{
	struct brood__here here;

	if (brood__here(memory, &here) == 0)
		brood__member_sweep(here.members);
}

bool scene_begin_anew(void)
{
	crew_end();
	bury_the_dead();
	between_known = false;
	return crew_complete(greet, memory);
}

/* ---- setting up ---- */

static void victim_body(void *argument)
{
	const struct scene *scene = argument;
	const struct sync_case *job = scene->job;

	if (job->ready) {
		if (!scene_my_token(scene->object) || job->ready(scene->object) < 0)
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

unsigned scene_sleepers(const struct scene *scene)
{
	return scene->job->sleep ? scene->company->sleepers : 0;
}

bool scene_slept(const struct scene *scene)
{
	for (unsigned i = 0; i < scene_sleepers(scene); i++)
		if (!scene->sleeper[i].done)
			return true;
	return false;
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

/* Let those who sleep take notice of who has come since. */
static bool introduce(struct scene *scene)
{
	struct brood__here here;

	if (brood__here(memory, &here))
		return scene_fail(scene, "the parent is no member");
	brood__wake_sleepers(here.members);
	return crew_settle() || scene_fail(scene, "the sleepers do not sleep again");
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
	bury_the_dead();
	if (!crew_complete(greet, memory))
		return scene_fail(scene, "no crew");
	if ((job->set_up && !job->set_up(scene)) ||
	    !start_sleepers(scene, BEFORE_VICTIM) || !start_sleepers(scene, EARLY) ||
	    !start_victim(scene) || !start_sleepers(scene, BEFORE_CALL))
		return false;
	if (job->come == EARLY && !introduce(scene))
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

/* Who is the victim among the members? The life word has its number. */
static uint64_t token_of(const struct scene *scene)
{
	struct brood__here here;

	if (brood__here(memory, &here))
		return 0;
	for (uint32_t id = 0; id < here.members->max; id++)
		if ((brood__life_of(here.members, id) & BROOD__LIFE_TID) == (uint32_t)scene->pid)
			return (uint64_t)brood__incarnation_of(here.members, id) << 32 |
			       (uint64_t)(id + 1) << 16;
	return 0;
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
	for (unsigned i = 0; i < scene_sleepers(scene); i++)
		scene->sleeper[i].done = !crew_busy((enum crew)(BOB + i));
	scene->granted = scene->job->grant && !scene->asleep && !crew_busy(ADA);
	memcpy(scene->was, memory, OBJECT_MAX);
	for (unsigned i = 0; i < 4; i++)
		scene->n[i] = atomic_load(&stage->n[i]);
	scene->token = token_of(scene);
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

bool scene_state_fits(struct scene *scene, unsigned state)
{
	const struct sync_case *job = scene->job;
	bool first = scene->point == 0 && !scene->asleep;
	unsigned allowed = first		? job->before | job->between
			   : scene->returned	? job->after
						: job->before | job->after | job->between;

	if (scene->returned ? scene->result != job->result : scene->last)
		return scene_fail(scene, "undisturbed, the call gave %zd", scene->result);
	return (state & allowed) || scene_fail(scene, "the object was in state %x", state);
}

bool scene_collect(struct scene *scene)
{
	for (unsigned i = 0; i < scene_sleepers(scene); i++)
		if (!answer(scene, (enum crew)(BOB + i), "waiting", &scene->sleeper[i].result))
			return false;
	if (scene_slept(scene) && brood_now() - scene->since > LATE_NS)
		scene->late = true;
	return true;
}

static unsigned awake(const struct scene *scene)
{
	unsigned n = 0;

	for (unsigned i = 0; i < scene_sleepers(scene); i++)
		n += !crew_busy((enum crew)(BOB + i));
	return n;
}

bool scene_await(struct scene *scene, unsigned n)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	int64_t end = scene->since + HANG_SECONDS * (int64_t)1000000000;

	while (awake(scene) < n) {
		if (brood_now() > end) {
			scene->hung = true;
			return scene_fail(scene, "hang: %u of the sleepers come back, not %u",
					  awake(scene), n);
		}
		nanosleep(&moment, NULL);
	}
	if (brood_now() - scene->since > LATE_NS)
		scene->late = true;
	return true;
}

bool scene_collect_all(struct scene *scene)
{
	if (!scene_collect(scene))
		return false;
	for (unsigned i = 0; i < scene_sleepers(scene); i++)
		if (scene->sleeper[i].result)
			return scene_fail(scene, "%s waited and got %zd", crew_name[BOB + i],
					  scene->sleeper[i].result);
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
	if (scene->job->set_up)
		crew_kill(EVE);		/* she may have died, and come again in another place */
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
