/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzing of segments that somebody else wrote: what the scenes and attach.c share.
 *
 * A scene is a segment with one or two objects as a crew left them that died in the middle of its
 * work, and a list of calls that use them.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <brood.h>

#define FUZZ_MEMBERS 4u
#define FUZZ_BYTES (1u << 20)

enum { OBJECTS = 4 };

struct world {			/* of one input */
	struct brood_segment *segment;
	void *object[OBJECTS];	/* the scene's */
	struct brood_message message[2];	/* reserved, leased */
	int64_t timeout;	/* of the call at hand: 0 or 1 ms */
	uint32_t size;		/* of the bytes at hand: not the same each time */
};

struct scene {
	const char *name;
	void (*make)(struct brood_segment *segment);	/* by a process that is killed then */
	/* Finds the objects. False: there is none to be used. */
	bool (*open)(struct world *world);
	void (*const *calls)(struct world *world);
	unsigned int n_calls;
	unsigned int queues;	/* which of its objects are queues: 1 << index */
};

#define CALLS(list) .calls = list, .n_calls = sizeof(list) / sizeof(*(list))

extern const struct scene fuzz_queue, fuzz_joinable, fuzz_seats, fuzz_single, fuzz_single_lines,
	fuzz_sparse, fuzz_references, fuzz_ring, fuzz_pipe, fuzz_simplex, fuzz_broadcast,
	fuzz_lossy, fuzz_locks, fuzz_waits, fuzz_memory;

void fuzz_must(bool right, const char *what);

/* Memory of exactly so many bytes, so that a byte more is found. Freed by fuzz_room_free. */
void *fuzz_room(size_t bytes);
void fuzz_room_free(void);

/* ---- calm.c ---- */

/* Begin an input: nobody has waited. */
void fuzz_calm(struct brood_segment *segment);

/* ---- files.c: what is no segment at all, by descriptor and by name ---- */

void fuzz_files(const uint8_t *data, size_t size, const void *image, size_t bytes);

#endif
