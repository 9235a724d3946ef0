/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Schedules of two members.
 *
 * They are forked once, traced, and come back to stepper_begin for each schedule; one that was
 * killed is forked again, into the same place. One is moved at a time; the other stands still, or
 * sleeps in the kernel. When both have been moved as far as the schedule says, they run freely, or
 * are killed. Whoever then sleeps while nobody is left who runs sleeps for ever, since no sleeper
 * of this program looks by himself after 100 ms (step_pairs.c). So a wake-up that was lost is seen
 * as a sleeper who must not sleep, however busy the machine is.
 *
 * The sleepers are not traced. They get as far as they get whenever one of the two stops, or may
 * have woken them.
 */
#include "pairs.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <time.h>
#include <unistd.h>

#include "pair_walk.h"

static struct {
	const struct pair *pair;
	volatile ssize_t result[2];
	volatile uint64_t token[2];
	volatile bool wrong;	/* a preparation failed */
} *shared;

static struct walker members[2];
static bool hired[CREW];

static const struct timespec moment = { .tv_nsec = 50000 };

bool play_fail(struct play *play, const char *format, ...)
{
	va_list arguments;

	if (play->error[0])
		return false;
	va_start(arguments, format);
	vsnprintf(play->error, sizeof play->error, format, arguments);
	va_end(arguments);
	return false;
}

/* ---- the members' lives ---- */

static void body(void *argument)
{
	unsigned me = ((struct walker *)argument)->index;
	void *object = scene_memory();

	shared->token[me] = scene_my_token(object);
	if (!shared->token[me])
		_exit(98);
	for (;;) {
		const struct pair *pair = shared->pair;

		if (pair && pair->ready[me] && pair->ready[me](object) < 0)
			shared->wrong = true;
		stepper_begin();
		if (pair)
			shared->result[me] = pair->call[me](object);
		stepper_end();
	}
}

static bool spawn(unsigned i)
{
	members[i] = (struct walker){ .index = i };
	members[i].pid = stepper_spawn(body, &members[i]);
	return members[i].pid > 0;
}

static void bury(unsigned i)
{
	if (members[i].pid > 0)
		stepper_kill(members[i].pid);
	members[i] = (struct walker){ .index = i, .state = ENDED };
}

/* Who never comes back is killed: that is a failure of the schedule. */
static void end_of_patience(int signal)
{
	(void)signal;
	for (unsigned i = 0; i < 2; i++)
		if (members[i].pid > 0)
			kill(members[i].pid, SIGKILL);
}

static ssize_t greet(void *object)
{
	return scene_my_token(object) ? 0 : -EBADF;
}

static bool let(enum crew who, ssize_t (*act)(void *))
{
	ssize_t result;

	hired[who] = true;
	return crew_tell(who, act, scene_memory()) && crew_answer(who, &result) && result == 0;
}

/* Everybody gets the same place each time, the dead ones' successors too. */
static bool all_are_there(void)
{
	shared->pair = NULL;
	brood__member_sweep(walk_place.members);
	for (enum crew who = ADA; who <= DAN; who++)
		if (!hired[who] && !let(who, greet))
			return false;
	for (unsigned i = 0; i < 2; i++)
		if (!members[i].pid && !spawn(i))
			return false;
	return true;
}

bool pairs_start(void)
{
	if (!shared) {
		shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (shared == MAP_FAILED || !scene_start() ||
		    brood__here(scene_memory(), &walk_place))
			return false;
		crew_kill(EVE);		/* her place is for one of the two */
		signal(SIGALRM, end_of_patience);
	}
	return all_are_there();
}

void pairs_end(void)
{
	alarm(0);
	for (unsigned i = 0; i < 2; i++)
		bury(i);
	memset(hired, 0, sizeof hired);
	crew_end();
}

/* ---- before ---- */

static void forget(struct play *play)
{
	play->object = scene_memory();
	memset(play->object, 0, OBJECT_MAX);
	memset(stage, 0, sizeof *stage);
	memset(play->stuck, 0, sizeof play->stuck);
	play->sleepers_stuck = 0;
	play->error[0] = '\0';
	play->hung = false;
}

static bool members_are_ready(struct play *play)
{
	shared->pair = play->pair;
	shared->wrong = false;
	for (unsigned i = 0; i < 2; i++) {
		shared->result[i] = -EINPROGRESS;
		members[i].state = STANDS;
		play->token[i] = shared->token[i];
		if (!stepper_again(members[i].pid) || shared->wrong) {
			play->hung = true;
			return play_fail(play, "member %u cannot prepare", i);
		}
	}
	return true;
}

static bool prepare(struct play *play)
{
	const struct pair *pair = play->pair;

	alarm(2 * HANG_SECONDS);
	forget(play);
	if (!all_are_there())
		return play_fail(play, "a member cannot be forked");
	if (pair->make && pair->make(play->object))
		return play_fail(play, "the object cannot be made");
	if (pair->dead) {
		if (!let(ADA, pair->dead))
			return play_fail(play, "Ada does not get what she dies with");
		crew_kill(ADA);
		hired[ADA] = false;
	}
	if (!members_are_ready(play))
		return false;
	for (unsigned i = 0; i < pair->sleepers; i++)
		if (!crew_tell((enum crew)(BOB + i), pair->sleep, play->object) || !crew_settle())
			return play_fail(play, "%s does not sleep", crew_name[BOB + i]);
	return true;
}

/* ---- behind ---- */

/* Whether everybody has ended or sleeps. Lets go on who was woken. */
static bool all_rest(struct play *play)
{
	bool rest = true;

	for (unsigned i = 0; i < 2; i++) {
		struct walker *m = &members[i];

		if (m->state == SLEEPS && !walk_has_stopped(play, m) && !stepper_is_asleep(m->pid))
			rest = false;
		if (m->state == STANDS) {
			rest = false;
			ptrace(PTRACE_CONT, m->pid, 0, 0);
			m->state = SLEEPS;	/* or runs: it is looked at again */
		}
	}
	return crew_settle() && rest;
}

static bool settle(struct play *play)
{
	int64_t end = brood_now() + HANG_SECONDS * (int64_t)1000000000;

	for (unsigned seen = 0; seen < 2;) {
		seen = all_rest(play) ? seen + 1 : 0;
		if (brood_now() > end) {
			play->hung = true;
			return play_fail(play, "hang: somebody runs for ever");
		}
		if (!seen)
			nanosleep(&moment, NULL);
	}
	return !play->error[0];
}

unsigned play_stuck(const struct play *play)
{
	return (unsigned)play->stuck[0] + play->stuck[1] + play->sleepers_stuck;
}

static unsigned sleepers_in_call(const struct play *play)
{
	unsigned n = 0;

	for (unsigned i = 0; i < play->pair->sleepers; i++)
		n += crew_busy((enum crew)(BOB + i));
	return n;
}

static unsigned note_who_is_stuck(struct play *play)
{
	for (unsigned i = 0; i < 2; i++)
		play->stuck[i] = members[i].state == SLEEPS;
	play->sleepers_stuck = sleepers_in_call(play);
	return play_stuck(play);
}

/* Whoever sleeps has watched all others: it has swept who died. */
static bool the_dead_are_swept(struct play *play)
{
	uint32_t alive, dead;

	brood__member_census(walk_place.members, &alive, &dead);
	return dead == 0 || play_fail(play, "somebody sleeps, and %u dead are not swept", dead);
}

static bool rescue(struct play *play)
{
	const bool *stuck = play->stuck;

	if (!note_who_is_stuck(play))
		return true;
	if (!play->pair->rescue)
		return play_fail(play, "for ever asleep: the first %d, the second %d, %u others",
				 stuck[0], stuck[1], play->sleepers_stuck);
	if (!the_dead_are_swept(play))
		return false;
	if (play->pair->rescue(play->object))
		return play_fail(play, "the rescue fails");
	if (!settle(play))
		return false;
	for (unsigned i = 0; i < 2; i++)
		if (members[i].state != ENDED)
			return play_fail(play, "member %u sleeps in spite of the rescue", i);
	for (unsigned i = 0; i < play->pair->sleepers; i++)
		if (crew_busy((enum crew)(BOB + i)))
			return play_fail(play, "%s sleeps in spite of the rescue",
					 crew_name[BOB + i]);
	return true;
}

static bool fits(const struct play *play, const struct outcome *outcome)
{
	for (unsigned i = 0; i < 2; i++)
		if (!play->pair->dies[i] && outcome->result[i] != play->result[i])
			return false;
	return true;
}

static bool results(struct play *play)
{
	const struct pair *pair = play->pair;
	ssize_t result;

	for (unsigned i = 0; i < pair->sleepers; i++)
		if (!crew_answer((enum crew)(BOB + i), &result) || result)
			return play_fail(play, "%s waited and got %zd", crew_name[BOB + i],
					 result);
	for (unsigned i = 0; i < 2; i++)
		play->result[i] = shared->result[i];
	for (unsigned i = 0; i < pair->n_outcomes; i++)
		if (fits(play, &pair->outcomes[i]))
			return true;
	return play_fail(play, "the results are %zd and %zd", play->result[0], play->result[1]);
}

static bool sleepers_rest(struct play *play)
{
	if (!play->pair->sleepers || crew_settle())
		return true;
	play->hung = true;
	return play_fail(play, "hang: one of the sleepers runs for ever");
}

/* What can be seen while both stand or sleep. */
static void note_how_it_is(struct play *play)
{
	for (unsigned i = 0; i < 2; i++) {
		play->slept[i] = members[i].state == SLEEPS;
		play->returned[i] = members[i].state == ENDED;
	}
	play->sleepers_asleep = sleepers_in_call(play);
	memcpy(play->was, play->object, OBJECT_MAX);
	for (unsigned i = 0; i < 4; i++)
		play->n[i] = atomic_load(&stage->n[i]);
}

static bool finish(struct play *play, struct walker *one, struct walker *other)
{
	bool right;

	note_how_it_is(play);
	for (unsigned i = 0; i < 2; i++)
		if (play->pair->dies[i])
			bury(i);
	walk_freely(play, one);
	walk_freely(play, other);
	right = settle(play) && rescue(play) && results(play) &&
		(!play->pair->check || play->pair->check(play));
	alarm(0);
	return right;
}

/* ---- schedules ---- */

bool pairs_record(struct play *play)
{
	struct walker *one = &members[play->swapped];

	play->astray = false;
	if (!prepare(play))
		return false;
	walk_and_note(play, one, &play->first);
	play->i = play->first.n;
	memcpy(play->was_first, play->object, OBJECT_MAX);
	return sleepers_rest(play) && finish(play, one, &members[!play->swapped]);
}

/* False: lost, or an error. */
static bool walk(struct play *play, struct walker *m, const struct path *path, size_t n)
{
	if (walk_to(play, m, path, n))
		return sleepers_rest(play);
	play->astray = true;
	return false;
}

/* The first one to point i; then the other one to point j, or to its end, to learn its way. */
static bool walk_both(struct play *play, bool learn)
{
	struct walker *one = &members[play->swapped], *other = &members[!play->swapped];

	if (!walk(play, one, &play->first, play->i))
		return false;
	memcpy(play->was_first, play->object, OBJECT_MAX);
	if (!learn)
		return walk(play, other, &play->other, play->j);
	walk_and_note(play, other, &play->other);
	play->j = play->other.n;
	return sleepers_rest(play);
}

static bool play_it(struct play *play, bool learn)
{
	struct walker *one = &members[play->swapped], *other = &members[!play->swapped];

	play->astray = false;
	if (!prepare(play))
		return false;
	if (!walk_both(play, learn)) {
		if (!play->astray)
			return false;
		pairs_end();
		if (!pairs_start() || !prepare(play) || !walk_both(play, learn))
			return play_fail(play, "it cannot be brought there");
	}
	return finish(play, one, other);
}

bool pairs_record_other(struct play *play)
{
	return play_it(play, true);
}

bool pairs_play(struct play *play)
{
	return play_it(play, false);
}

void pairs_forget(struct play *play)
{
	trace_free(&play->first.trace);
	trace_free(&play->other.trace);
	free(play->first.point);
	free(play->other.point);
	memset(&play->first, 0, sizeof play->first);
	memset(&play->other, 0, sizeof play->other);
}
