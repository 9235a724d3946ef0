/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The others around an object of synchronisation: members that make a call when they are told to,
 * some of which wait in it.
 *
 * They are forked once and stay, but for Late, who is forked when wanted and so takes the place of
 * whoever has died, and Eve, who is killed in between. A call that has not come back within 30
 * seconds hangs.
 */
#ifndef TESTS_CRASH_SYNC_CREW_H
#define TESTS_CRASH_SYNC_CREW_H

#include <stdbool.h>
#include <sys/types.h>

enum crew { ADA, BOB, CID, DAN, EVE, LATE, CREW };

#define CREW_MEMBERS 7		/* these but for Late, the parent, and a victim or Late */
#define HANG_SECONDS 30

extern const char *const crew_name[CREW];

/* Fork those that are not there; `greet` makes each a member. False: no way. */
bool crew_complete(ssize_t (*greet)(void *), void *object);
void crew_end(void);

/* Begin a call. */
bool crew_tell(enum crew who, ssize_t (*act)(void *), void *object);

/* The same, as soon as process `pid` sleeps, or crew_go is called. */
bool crew_tell_after(enum crew who, ssize_t (*act)(void *), void *object, pid_t pid);
void crew_go(void);

/* Whether the call that it was told is still open. */
bool crew_busy(enum crew who);

/*
 * Let everybody get as far as they get without the victim and without us: they have answered, sleep
 * in their call, or still wait for the victim to sleep. False when that does not come about.
 */
bool crew_settle(void);

/* The result of the call; waits for it. False when it hangs. */
bool crew_answer(enum crew who, ssize_t *result);

/* SIGKILL; who is told something is forked again. */
void crew_kill(enum crew who);

#endif
