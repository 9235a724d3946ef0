/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The others: members that make single calls when they are told to.
 *
 * Two helpers, Ada and Bob, use each queue from its beginning. Late is forked when it is wanted,
 * after the victim's death, and gets the victim's place among the members. Eve is a member all the
 * time, but comes to the queue last of all. The parent is a member as well. Without the victim that
 * makes as many as the family can have. A helper that has not answered within ten seconds hangs.
 */
#ifndef TESTS_CRASH_TEAM_H
#define TESTS_CRASH_TEAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "cases.h"

enum order_kind {
	ORDER_MEET,	/* put and get a message, so that this member has used the queue */
	ORDER_PUT,	/* the message of that name */
	ORDER_GET,	/* one message; task_done, if tasks are told */
	ORDER_LEASE,	/* a message, and keep it */
	ORDER_COUNT,	/* count, which acknowledges what was got */
	ORDER_RESERVE,	/* buffers, until there are no more; the result is how many */
	ORDER_ABORT,	/* those reservations */
	ORDER_CHURN,	/* `rounds` times: fill it up, full, drain it, empty */
	ORDER_LEAVE,	/* end */
};

struct order {
	enum order_kind kind;
	bool tasks;
	struct brood_queue *queue;
	uint64_t name;
	unsigned rounds;
};

struct answer {
	ssize_t result;		/* of the call; of ORDER_MEET and ORDER_CHURN 0 or -1 with text */
	uint64_t name;		/* of the message, as message_name */
	uint32_t flags;
	char text[120];
};

#define RESERVATIONS_MAX 64

#define MEMBERS 5

enum who { PARENT, ADA, BOB, LATE, TEAM, EVE = TEAM, EVERYBODY };

extern const char who_letter[EVERYBODY];	/* P, A, B, L, E */

/* Fork the helpers, but for the late one. The queue is one that Eve may know. False: no way. */
bool team_start(struct brood_queue *known);

/* Kill all helpers that there are. */
void team_end(void);

/* Let one of them do it; who is not there is forked. False when it hangs or died. */
bool team_do(enum who who, const struct order *order, struct answer *answer);

/* SIGKILL. Ada, Bob and Eve are forked again at their next order. */
void team_kill(enum who who);

/* The late one acknowledges, leaves and is gone. False when it did not end well. */
bool team_dismiss_late(struct brood_queue *queue);

/* Whoever waits in this process longer than that is hung: says where and exits with 1. */
void watch_start(unsigned seconds, const char *(*where)(void));

#endif
