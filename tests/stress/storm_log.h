/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The on-line checker of the storm: what was put, who has it, what was wrong.
 *
 * A producer's place has one numbering of its messages that goes on when the place is filled anew.
 * Each message has one byte of shared memory, its record:
 *
 *	PUT	put has returned
 *	REFUSED	put has returned without it
 *	GOT	a consumer has had it
 *	HELD	a consumer has it now, or had it when it died
 *	ENDING	that consumer is in the call that acknowledges it
 *	DONE	that call has returned
 *	MAYBE	a call of a consumer that died may have had it, and acknowledged it
 *
 * So a message that is HELD at the end by nobody alive was lost with its consumer, one that comes
 * after DONE, or after GOT without the flag, is a double, and so on. A kill may fall between a call
 * and the note of it; the bits are set in such an order that no wrong verdict can come of that.
 */
#ifndef TESTS_STRESS_STORM_LOG_H
#define TESTS_STRESS_STORM_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLACES 4		/* producers */
#define BATCH 8			/* messages that a consumer can have at the most */
#define NUMBERS_MAX (1u << 27)	/* messages of one place; memory is used for those that are */

enum fault { LOST, TORN, INVENTED, REORDERED, DOUBLED, LATE, FAILED, FAULTS };

struct payload {
	uint32_t place;
	uint32_t number;
	uint64_t pattern[6];	/* of which the first number % 7 are in the message */
};

/* What a consumer has, and the last unflagged message that it saw of each producer. */
struct consumer {
	_Atomic uint8_t *held[BATCH];
	unsigned n;
	bool unordered;		/* what the dead had comes later, and without a flag */
	int64_t last[PLACES];
};

/* Make the shared records anew, before any worker is forked. */
bool log_start(void);

void log_fault(enum fault fault, uint32_t place, uint32_t number, long detail);

/* Write a message, return its length. */
size_t log_payload(struct payload *payload, uint32_t place, uint32_t number);

/* The next number of the place; n of them are about to be put. False when they are used up. */
bool log_begin(uint32_t place, uint32_t n, uint32_t *number);
/* put has returned with the first `in` of them in. */
void log_put(uint32_t place, uint32_t number, uint32_t n, int64_t in);

void log_consumer(struct consumer *consumer);
void log_got(struct consumer *consumer, const void *payload, size_t length, bool flagged);
/* Around the call that acknowledges n of those that the consumer has, from the given one on. */
void log_ending(struct consumer *consumer, unsigned from, unsigned n);
void log_done(struct consumer *consumer, unsigned from, unsigned n);

/* The same in one, of a call that acknowledges by itself. */
void log_taken(struct consumer *consumer, const void *payload, size_t length, bool flagged);
/* A consumer has died in such a call, and this was where the call copies to. */
void log_maybe(uint32_t place, uint32_t number);

/*
 * When everything has been drained: look for what is lost, of which so many are excused. Prints the
 * figures; faults found.
 */
uint64_t log_verdict(uint64_t excused);

#endif
