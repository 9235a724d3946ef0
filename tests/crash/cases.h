/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The calls under test, the states of the queue, and what a death or a stop inside a call may and
 * may not do.
 *
 * A victim is prepared first (it has not used the queue, has put, holds a message, ...), the queue
 * is then brought into a state by others, and the victim makes the call. All calls are made with
 * the timeout 0.
 */
#ifndef TESTS_CRASH_CASES_H
#define TESTS_CRASH_CASES_H

#include <brood/queue.h>

#include "ledger.h"

enum state { EMPTY, HALF, FULL, STATES };

extern const char *const state_name[STATES];

/* The indices of the messages of a queue, in the order in which they are put. */
enum {
	INDEX_WARM = 1,		/* put and got again before anything is looked at */
	INDEX_HELD = 2,		/* the victim got it, and has not acknowledged it */
	INDEX_HELD_TOO = 3,	/* the second, got by get_many */
	INDEX_LEASED = 4,	/* the victim has it on lease */
	INDEX_FIRST = 5,	/* in the queue before the call */
	INDEX_OWN = 16,		/* put by the call */
	INDEX_ADDED = 20,	/* put by others afterwards */
	INDEX_REFILL = 40,	/* put to see that the capacity is all there */
};

/* What the victim did before. */
enum before {
	STRANGER,	/* no call of brood since the fork */
	NEWCOMER,	/* it is a member, but has not used this queue */
	IDLE,		/* it has put and got, and all is acknowledged */
	AFTER_PUT,	/* its last call was a put, which is the first message in the queue */
	AFTER_GET,	/* its last call was a get */
	AFTER_MANY,	/* its last call was a get_many of two messages */
	HOLDING,	/* it has a message on lease */
	AFTER_DEATH,	/* as IDLE, but another member has died, and nobody has looked yet: with a
			 * message on lease, and in a joinable queue one that it got; in another
			 * queue its last call was the put of the first message */
};

/* What becomes of messages that were taken, once every call of the case has returned. */
enum fate { STAYS, GONE, RETURNED };

#define MANY 3		/* messages of put_many and get_many */

struct victim;

struct call {
	const char *name;
	enum before before;
	void (*run)(struct victim *victim);
	unsigned calls;		/* calls of the library in run */
	unsigned puts;		/* messages that it puts at the most */
	unsigned takes;		/* messages that it takes at the most */
	enum fate fate;		/* of those it takes */
	enum fate held;		/* of the one that the victim had before */
	enum fate held_too;	/* of the second one */
	bool joinable;		/* the queue is: get leaves the message the caller's */
	bool tasks;		/* everybody tells task_done */
	bool closes;
	bool maybe;		/* a get that finds something or not, as others have left it */
	unsigned states;	/* bits */
};

extern const struct call calls[];
extern const size_t calls_count;

/* In memory that victim and parent share. */
struct victim {
	const struct call *call;
	struct brood_queue *queue;
	struct brood_queue *other;	/* that a newcomer knows already */
	uint64_t serial;
	bool prepared;
	volatile unsigned returned;	/* calls of run that have returned */
	volatile ssize_t result;	/* of the last one */
	struct brood_message message[MANY];	/* of the call */
	struct brood_message lease;		/* of the call */
	struct brood_message held;		/* that it had before */
	unsigned got;			/* by settling: messages of the call */
	uint64_t name[MANY];
	uint32_t flags[MANY];
	unsigned char bytes[MANY][MESSAGE_MAX];
};

/* The body of the victim: prepare, stepper_begin, the call, stepper_end, settle. */
void victim_run(void *victim);

/* How many messages the call moves when nothing interrupts it, with `count` of `capacity` in. */
unsigned call_moves(const struct call *call, unsigned count, unsigned capacity);

/* Whether the result of a call that has returned is right for having moved n messages. */
bool call_result_fits(const struct call *call, ssize_t result, unsigned n);

/*
 * Enter into the ledger what may still come after the victim was killed. queued are the indices of
 * the messages in the queue when it started, begun tells whether it has executed anything.
 */
void call_expect_death(const struct victim *victim, struct ledger *ledger,
		       const unsigned *queued, unsigned count, unsigned capacity, bool begun);

#endif
