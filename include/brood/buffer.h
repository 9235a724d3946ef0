/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Buffers: payloads of any size that are handed over by queue without a copy.
 *
 * A buffer is memory in a segment that is counted by owner. Who creates it has one reference; a
 * reference can be given away through a queue of the same segment, and another one made for
 * whoever has one. With the last reference the memory is freed.
 *
 * References are a thread's own, as its membership is (base.h): a forked child has none of its
 * parent's, threads hand them to each other by queue. The death or end of a thread gives up its
 * references, so nothing is left behind by whoever is killed, at any instruction.
 *
 * In a queue. brood_queue_put_buffer moves one of the caller's references into a message of 16
 * bytes; brood_queue_get_buffer makes it the reader's. What is in a queue when that is destroyed is
 * given up with it. A message that a reader had leased when it died comes again, with its
 * reference. Other messages may be in the same queue, but who takes a buffer's message by another
 * call than brood_queue_get_buffer must put it back (brood_queue_return): a copy is no reference.
 * What the only producer or consumer of a queue of one and one (brood/queue.h) was about to move
 * when it died is given up when another takes its place, or the queue is destroyed.
 *
 * The bytes. All who have a reference see the same bytes, and nothing orders what they write, but
 * that everything written before a put is seen after the get.
 *
 * Errors that any call may return: -EINVAL (no buffer, or none of which the caller has a
 * reference), -EBADF (the pointer is no buffer of a segment that this process has), -ESTALE (it
 * was freed), -EUSERS (member limit), -EDEADLK (a signal handler interrupted a call).
 */
#ifndef BROOD_BUFFER_H
#define BROOD_BUFFER_H

#include <brood/base.h>
#include <brood/queue.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_buffer;

/* References that a buffer can have at one time. */
#define BROOD_BUFFER_OWNERS 14

/* What a queue's max_bytes must be for buffers. */
#define BROOD_BUFFER_MESSAGE 16

/*
 * A buffer of that many bytes, zero, in the segment (NULL = the family arena); the caller has one
 * reference. NULL with errno EINVAL (0 bytes), ENOSPC, EUSERS. O(blocks of the segment).
 */
BROOD_API struct brood_buffer *brood_buffer_create(struct brood_segment *segment, size_t bytes);

/* Its bytes, aligned to 64; NULL with errno EINVAL, EBADF, ESTALE. How many they are. */
BROOD_API void *brood_buffer_data(struct brood_buffer *buffer);
BROOD_API ssize_t brood_buffer_size(struct brood_buffer *buffer);

/* Another reference for the caller, who has one. 0, -EMLINK (BROOD_BUFFER_OWNERS are in use). */
BROOD_API int brood_buffer_share(struct brood_buffer *buffer);

/* One reference of the caller's less. Whose last one it is, frees the buffer. 0. */
BROOD_API int brood_buffer_release(struct brood_buffer *buffer);

/*
 * Put one of the caller's references. 0; any error leaves it the caller's: -EMSGSIZE (max_bytes of
 * the queue is below BROOD_BUFFER_MESSAGE), -EXDEV (queue and buffer are in different segments),
 * -ENOTSUP (the queue is joinable), and those of brood_queue_reserve and brood_queue_put; but with
 * -ESTALE (the queue was destroyed) the reference may be given up with those that were in it.
 */
BROOD_API int brood_queue_put_buffer(struct brood_queue *queue, struct brood_buffer *buffer,
				     int64_t timeout);

/*
 * Take the first message, which is a reference: it is the caller's from now on. As
 * brood_queue_lease; -EBADMSG when the message is another one, which then is the next reader's,
 * flagged BROOD_REDELIVERED; -ENOTSUP (the queue is joinable).
 */
BROOD_API int brood_queue_get_buffer(struct brood_queue *queue, struct brood_buffer **buffer,
				     int64_t timeout);

#ifdef __cplusplus
}
#endif

#endif
