/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A member that is moved while the other one stands or sleeps runs alone, so it takes the same way
 * each time, but for the clock: to a point that was noted it is let run by a breakpoint, as by the
 * stepper, and single-stepped when it turns out that the way is another.
 *
 * A step into a system call that puts it to sleep is left open, and ends at the instruction behind,
 * whenever it is woken.
 */
#include "pair_walk.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "options.h"
#include "touch.h"

#define PLACES 1024	/* instructions of a call that touch something */

struct brood__here walk_place;

/* ---- steps ---- */

static void stopped(struct play *play, struct walker *m, int status)
{
	if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) {
		m->state = stepper_at_end(m->pid) ? ENDED : STANDS;
		return;
	}
	m->state = ENDED;
	play->hung = true;
	play_fail(play, "member %u got a signal or ended: %x", m->index, (unsigned)status);
}

bool walk_has_stopped(struct play *play, struct walker *m)
{
	int status = 0;

	if (waitpid(m->pid, &status, __WALL | WNOHANG) == 0)
		return false;
	stopped(play, m, status);
	return true;
}

/* Until it stops or sleeps. Seen asleep twice: a system call may be about to return. */
static void await(struct play *play, struct walker *m)
{
	for (unsigned seen = 0; !walk_has_stopped(play, m);) {
		seen = stepper_is_asleep(m->pid) ? seen + 1 : 0;
		if (seen == 2) {
			m->state = SLEEPS;
			return;
		}
		sched_yield();
	}
}

static bool may_wake(const struct touch *touch)
{
	return touch->is_syscall && touch->call == SYS_futex;
}

/* Whom it wakes goes as far as he gets, so that it finds the same behind it each time. */
static void step(struct play *play, struct walker *m, const struct touch *touch)
{
	int status = 0;

	ptrace(PTRACE_SINGLESTEP, m->pid, 0, 0);
	if (touch->is_syscall) {
		await(play, m);
		if (play->pair->sleepers && may_wake(touch))
			crew_settle();
		return;
	}
	while (waitpid(m->pid, &status, __WALL) < 0 && errno == EINTR)
		;
	stopped(play, m, status);
}

void walk_freely(struct play *play, struct walker *m)
{
	while (m->state == STANDS) {
		ptrace(PTRACE_CONT, m->pid, 0, 0);
		await(play, m);
	}
}

/* ---- points ---- */

/*
 * Rounds of a loop that finds nothing new are alike, until the other one moves or the loop ends: in
 * each round the same instructions touch the same addresses. How often each has done so is counted;
 * a new pair of these ends the loop.
 */
static struct {
	uint64_t at[PLACES], address[PLACES];
	unsigned times[PLACES];
	unsigned n;
} rounds;

static bool is_alike(const struct touch *touch)
{
	unsigned i = 0;

	if (!options.rounds)
		return false;
	while (i < rounds.n &&
	       (rounds.at[i] != touch->at || rounds.address[i] != touch->address))
		i++;
	if (i < rounds.n)
		return ++rounds.times[i] > options.rounds;
	for (unsigned k = 0; k < rounds.n; k++)
		rounds.times[k] = 0;
	if (rounds.n < PLACES) {
		rounds.times[rounds.n] = 1;
		rounds.at[rounds.n] = touch->at;
		rounds.address[rounds.n++] = touch->address;
	}
	return false;
}

/* Whether it stands at a point, and what its next instruction touches. */
static bool is_point(const struct walker *m, struct touch *touch)
{
	const struct touch_range ranges[] = {
		{ walk_place.base, walk_place.bytes },
		{ (uintptr_t)stage, sizeof *stage },
	};

	*touch = touch_next(m->pid, ranges, 2);
	return (options.every || touch->is_syscall || touch->is_shared) && !is_alike(touch);
}

static void add_point(struct path *path, size_t k)
{
	if (path->n == path->room) {
		path->room = path->room ? 2 * path->room : 256;
		path->point = realloc(path->point, path->room * sizeof *path->point);
		if (!path->point)
			abort();
	}
	path->point[path->n++] = k;
}

void walk_and_note(struct play *play, struct walker *m, struct path *path)
{
	struct touch touch;

	path->trace.points = path->n = rounds.n = 0;
	path->wakes = 0;
	for (size_t k = 0; m->state == STANDS; k++) {
		bool point = is_point(m, &touch);

		trace_note(&path->trace, touch.at);
		if (point)
			add_point(path, k);
		if (may_wake(&touch) && path->wakes < WAKES)
			path->wake[path->wakes++] = k;
		step(play, m, &touch);
	}
	trace_close(&path->trace);
}

static void walk_slowly(struct play *play, struct walker *m, size_t n)
{
	struct touch touch;

	rounds.n = 0;
	for (size_t passed = 0; m->state == STANDS;) {
		if (is_point(m, &touch) && passed++ == n)
			return;
		step(play, m, &touch);
	}
}

static void step_on(struct play *play, struct walker *m)
{
	const struct touch touch = touch_next(m->pid, NULL, 0);

	step(play, m, &touch);
}

/* From one instruction to a later one: by a breakpoint at the last new address, then by steps. */
static bool go_on(struct play *play, struct walker *m, const struct trace *trace, size_t from,
		  size_t to)
{
	size_t i = trace->jump[to];
	long word;

	if (i > from) {
		if (!stepper_break(m->pid, trace->address[i], &word))
			return false;
		ptrace(PTRACE_CONT, m->pid, 0, 0);
		await(play, m);
		if (m->state != STANDS || !stepper_unbreak(m->pid, trace->address[i], word))
			return false;
	}
	for (i = i > from ? i : from; i < to && m->state == STANDS; i++)
		step_on(play, m);
	return m->state == STANDS && stepper_address(m->pid) == trace->address[to];
}

/* To instruction k. Where it may wake a sleeper it stands, and gives him time. */
static bool walk_quickly(struct play *play, struct walker *m, const struct path *path, size_t k)
{
	size_t from = 0;

	for (unsigned i = 0; play->pair->sleepers && i < path->wakes && path->wake[i] < k; i++) {
		if (!go_on(play, m, &path->trace, from, path->wake[i]))
			return false;
		step_on(play, m);
		from = path->wake[i] + 1;
	}
	return go_on(play, m, &path->trace, from, k);
}

bool walk_to(struct play *play, struct walker *m, const struct path *path, size_t n)
{
	size_t k = n < path->n ? path->point[n] : SIZE_MAX;

	if (k == SIZE_MAX)
		walk_freely(play, m);
	else if (play->astray)
		walk_slowly(play, m, n);
	else
		return walk_quickly(play, m, path, k);
	return true;
}
