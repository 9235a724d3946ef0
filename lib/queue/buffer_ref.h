/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the rest of the queue has to know of references to buffers; buffer_ref.c tells how. */
#ifndef BROOD_BUFFER_REF_H
#define BROOD_BUFFER_REF_H

#include "queue/queue.h"

/*
 * A queue's buffer that nobody else can have is about to be free: if its bytes are a reference that
 * was under way in it, that is given up. In a queue of one and one, its position stands for the
 * buffer here.
 */
void brood__reference_drop(struct brood_segment *segment, struct brood_queue *queue,
			   uint32_t carrier, const void *bytes);

/* Whether a message of BROOD_BUFFER_MESSAGE bytes is a reference that is under way no more. */
bool brood__reference_taken(struct brood_segment *segment, const struct brood_queue *queue,
			    uint32_t carrier, const void *bytes);

/* The same for all that are under way in a queue, which does not live any more. */
void brood__references_forget(struct brood_segment *segment, struct brood_queue *queue);

/* A leased message is acknowledged, its buffer the caller's as if reserved. 0, -EINVAL. */
int brood__queue_keep_leased(struct brood_queue *queue, struct brood_message *message);

#endif
