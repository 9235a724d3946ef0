/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may still come: the messages of one queue, what is expected of each, and what came.
 *
 * A message carries its name (the serial number of the queue and its own index) and a pattern over
 * all its bytes and its length that follows from the name, so that a torn one, one of an earlier
 * queue, and one that nobody put are told apart. Indices grow in the order in which the messages
 * are put, which is the order in which unflagged ones must come.
 */
#ifndef TESTS_CRASH_LEDGER_H
#define TESTS_CRASH_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_MAX 72		/* the longest */
#define LEDGER_MAX 64		/* indices of a queue */

enum flagged { FLAG_NEVER, FLAG_MAY, FLAG_MUST };

struct account {
	uint8_t known;		/* put, or perhaps put, by somebody */
	uint8_t least;		/* how often it must come */
	uint8_t most;
	uint8_t seen;
	uint8_t unordered;	/* its place among the others is not known */
	enum flagged flagged;
};

struct ledger {
	uint64_t serial;
	unsigned last;		/* highest index that came unflagged, in order */
	unsigned unflagged;	/* messages that came so */
	unsigned late;		/* flagged messages that came behind an unflagged one */
	struct account account[LEDGER_MAX];
	char error[200];	/* the first thing that was wrong, or "" */
};

/* Write the message of that name, return its length. */
size_t message_make(void *data, uint64_t name);

/* The name, or 0 when the bytes or the length are not those of any message. */
uint64_t message_name(const void *data, size_t length);

void ledger_start(struct ledger *ledger, uint64_t serial);
uint64_t ledger_name(const struct ledger *ledger, unsigned index);
void ledger_expect(struct ledger *ledger, unsigned index, unsigned least, unsigned most,
		   enum flagged flagged);

/* A message came: false when that is wrong. */
bool ledger_saw(struct ledger *ledger, uint64_t name, bool flagged);

/* Messages that must come and did not yet. */
unsigned ledger_due(const struct ledger *ledger);

/* Nothing more comes: is anything missing? */
bool ledger_end(struct ledger *ledger);

/* Note an error, unless there is one already. Returns false. */
bool ledger_fail(struct ledger *ledger, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
