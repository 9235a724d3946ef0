/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One kill in a call of a synchronisation object, and what the others make of it.
 *
 * A case is a row of a table (sync_lock.c and its like). Its object is brought into a state by
 * others, sleepers wait in it, a victim makes the call instruction by instruction, stands still,
 * and is killed. What the object's words said at that moment, when everybody else had got as far as
 * they get, is known to the check, which then lets the others go on and looks whether they got what
 * the header of the object promises.
 */
#ifndef TESTS_CRASH_SYNC_SCENE_H
#define TESTS_CRASH_SYNC_SCENE_H

#include <stdatomic.h>
#include <stdint.h>

#include <brood/contention.h>

#include "stepper.h"
#include "sync_crew.h"

#define OBJECT_MAX 8192		/* bytes, of any object */
#define SLEEPERS_MAX 3		/* Bob, Cid, Dan */

struct scene;

/* When the sleepers begin to wait. */
enum come {
	AT_POINT,	/* as soon as the victim stands at its point */
	BEFORE_CALL,	/* when the victim is prepared */
	EARLY,		/* before it is there, but look again when it is prepared */
	BEFORE_VICTIM,	/* before it is there: they have never heard of it */
};

struct sync_case {
	const char *name;
	ssize_t (*make)(void *object);		/* by the parent; NULL: it is all zero */
	bool (*set_up)(struct scene *scene);	/* by others, before the victim is there; or NULL */
	ssize_t (*ready)(void *object);		/* by the victim, negative is wrong; NULL: its call
						 * is the first that it makes as a member */
	ssize_t (*call)(void *object);		/* by the victim, stepped */
	ssize_t (*sleep)(void *object);		/* by the sleepers; NULL: there are none */
	enum come come;
	ssize_t (*grant)(void *object);		/* by Ada, as soon as the victim sleeps or is dead */
	bool (*check)(struct scene *scene);
	ssize_t result;				/* what the call gives when it is not killed */
	/* For the check, as the object's kind likes: a state, a set of them, what else it must know. */
	unsigned before, after, between, rules;
};

/* Who is around, and who comes first when the victim is dead. */
struct company {
	const char *name;
	unsigned sleepers;
	enum crew first;	/* LATE: a newcomer, in the victim's place */
};

struct sleeper {
	bool done;		/* before the kill */
	ssize_t result;
};

struct scene {
	const struct sync_case *job;
	const struct company *company;
	size_t point;
	bool last;		/* the call has returned at this point */
	bool asleep;		/* the victim is killed in its sleep: no point of the trace */

	void *object;
	pid_t pid;		/* of the victim; 0 when it is dead */
	uint64_t address;	/* where it stood */
	struct trace trace;
	bool astray;

	_Alignas(64) unsigned char was[OBJECT_MAX];	/* the object just before the kill */
	uint32_t n[4];		/* of the stage */
	uint64_t token;		/* the victim's; 0 when it was none of the members yet */
	bool returned;
	ssize_t result;		/* of its call */
	bool granted;		/* before the kill */
	struct sleeper sleeper[SLEEPERS_MAX];

	int64_t since;		/* when the sleepers last were given something */
	bool late;		/* somebody got it by looking by himself after 100 ms */
	bool hung;
	char error[240];
};

/* What acts can use, shared by all: zero at the beginning of every point. */
struct stage {
	volatile bool returned;		/* written by the victim */
	volatile ssize_t result;
	_Atomic uint32_t inside;	/* who is where only one may be */
	_Atomic uint32_t n[4];		/* as an object's acts like */
};

extern struct stage *stage;

/* Make the family, the object's memory, and the crew. */
bool scene_start(void);
void *scene_memory(void);

/* Step the call once to its end, note the way, and check. */
bool scene_record(struct scene *scene);

/* Kill at scene->point, or in its sleep; and check. */
bool scene_play(struct scene *scene);

/* After a failure: a new crew. */
bool scene_begin_anew(void);

/* The point at hand, in words. */
const char *scene_where(const struct scene *scene);

/* ---- for checks ---- */

/* Note an error, unless there is one already. Returns false. */
bool scene_fail(struct scene *scene, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Let one do it, and say whether the result is `want`. `what` is for the report. */
bool scene_ask(struct scene *scene, enum crew who, const char *what, ssize_t (*act)(void *),
	       ssize_t want);

/* How many sleepers there are; and whether any of them still slept at the kill. */
unsigned scene_sleepers(const struct scene *scene);
bool scene_slept(const struct scene *scene);

/* Wait for the sleepers' results. They must come, and not by looking by themselves. */
bool scene_collect(struct scene *scene);

/*
 * Whether the state that the object was in at the kill is right: `before` while nothing has been
 * executed (or what others make of it), `after` when the call has returned, and one of these or of `between` at any point.
 * States are single bits. Looks at the call's result as well.
 */
bool scene_state_fits(struct scene *scene, unsigned state);

/* Wait until so many of the sleepers have their results, by now or before; as above. */
bool scene_await(struct scene *scene, unsigned n);

/* The same for all of them, and all results must be 0. */
bool scene_collect_all(struct scene *scene);

/* From now on the sleepers have what they wait for. */
void scene_mark(struct scene *scene);

/*
 * Where the acts have the object counted, which is behind it. A success of one who lives is noted
 * by scene_note, in n[3], and returned; whether the counts are these, and the victim's perhaps.
 */
struct brood_contention *scene_counts(void *object);
ssize_t scene_note(ssize_t result);
bool scene_counts_fit(struct scene *scene);

/* The token of the member that the caller is; 0 and less = error. */
uint64_t scene_my_token(void *object);

#endif
