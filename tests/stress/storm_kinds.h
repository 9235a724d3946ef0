/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the storms of the single kinds share: eight workers, of which random ones are killed and
 * replaced, and messages that tell by themselves what they are.
 */
#ifndef TESTS_STRESS_STORM_KINDS_H
#define TESTS_STRESS_STORM_KINDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brood.h>

#include "storm_log.h"

#define WORKERS 8
#define MESSAGE_MAX 16384u	/* bytes of the longest message of all kinds */

struct kind {
	const char *name;
	uint32_t first;		/* so many workers have the one task, the others the other */
	uint32_t killed_from;	/* workers below it are not killed ... */
	uint32_t killed_to;	/* ... nor those from here on */
	bool (*make)(struct brood_segment *segment);
	/* Until it is over, or the object says so. 0. */
	int (*work)(uint32_t me);
	/* The first ones have ended: let the others come to their end. */
	bool (*end)(void);
	/* All have ended: drain, look for what was wrong, destroy. */
	bool (*finish)(void);
};

extern const struct kind kind_bytes, kind_broadcast, kind_lossy, kind_pipe, kind_senders,
	kind_buffers;

/* Shared by all workers; a place is that of a worker and of its successors. */
struct place_state {
	_Alignas(128) _Atomic uint64_t messages;	/* put or received: progress */
	_Atomic uint64_t holds;	/* who holds an end now, and will until this is 0; 0 = nobody */
	_Atomic bool taking;	/* in a call that acknowledges a message before it can be noted */
	_Atomic uint64_t carried;	/* CARRIED | what it has taken and not noted yet */
	unsigned char data[MESSAGE_MAX];
};

#define CARRIED (1ull << 63)

struct control {
	_Atomic int over;	/* 1 for the first workers, 2 for all */
	_Atomic uint64_t faults, excused, holders;
	struct place_state place[WORKERS];
};

extern struct control *control;

uint32_t random_below(uint32_t n);
int64_t some_timeout(void);
void progress(uint32_t me, int64_t n);

/* Something is wrong that storm_log has no word for. */
void fault(const char *what, uint64_t a, uint64_t b, uint64_t c);

/*
 * Messages of a length that their name decides, at most `most`, full of bytes that it decides too.
 * check: the length of that part of it which storm_log knows; 0 if it is not whole.
 */
size_t message_length(uint32_t place, uint32_t number, size_t most);
size_t message_write(void *to, uint32_t place, uint32_t number, size_t most);
size_t message_check(const void *data, size_t length, size_t most);

#endif
