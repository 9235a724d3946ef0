/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a storm may leave behind: nothing. */
#ifndef TESTS_STRESS_STORM_END_H
#define TESTS_STRESS_STORM_END_H

#include <stdbool.h>

#include <brood/queue.h>
#include <brood/segment.h>

struct left {
	struct brood_segment_info info;
	unsigned int fds;
	unsigned int blocks;	/* in a state between free and live */
};

/* As it is now, the dead swept by a look at any queue of the segment. */
struct left end_look(struct brood_segment *segment, struct brood_queue *any);

/*
 * Whether nothing more is there than before: no member, dead or alive, no object, no byte used, no
 * block between free and live, no descriptor, no child. Prints what is.
 */
bool end_is_clean(struct brood_segment *segment, struct brood_queue *any,
		  const struct left *before);

#endif
