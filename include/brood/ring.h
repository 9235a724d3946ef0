/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rings of bytes: bounded, first in first out, any number of producers and consumers, between
 * threads and processes. A message is anything from no byte to the whole ring; how many fit
 * depends on how long they are. Each takes its length, rounded up to 64 bytes, and at least 64.
 *
 * A brood_queue has a place of the longest message's size for each; a ring is for messages of very
 * different lengths, and for those that are to be written and read where they lie: a message is one
 * piece of memory, aligned to 64 bytes. What is left at the ring's end and too short for the next
 * message is left out, until the next lap.
 *
 * Two ways to move a message. put and get copy. reserve + commit and lease + release work in place.
 *
 * Order. Messages leave in the order in which their room was reserved, by put or reserve. So one that
 * is reserved and not yet committed holds up the messages behind it: their readers wait for it, or
 * get -EAGAIN. Their producers do not, until the ring is full. A message that is leased holds up
 * nobody until the ring is full: room becomes free in order too. Long messages wait until so much
 * room is free in one piece; if other producers always take what becomes free, that may be never.
 * A ring twice as long as the longest message, or a single producer, avoids the worst.
 *
 * Who waits for whom. A producer stopped between reserve and commit, or within put, holds up
 * readers; a consumer stopped between lease and release, or within get, holds up producers when the
 * ring is full: as long as they live. (Default queues have no such state: brood/queue.h.) Apart from
 * that, put, get and the in-place calls are lock-free.
 *
 * What is promised when a member dies, at any instruction. What it had reserved, or was about to put,
 * is left out: the message comes whole or not at all. If put or commit returned, it comes. What it
 * had leased, or had not finished getting, is delivered again, flagged BROOD_REDELIVERED; ahead of the
 * others, once the death has been noticed: by whoever waits, joins a child, counts, or finds the ring
 * empty. Nothing else is lost, and no room.
 *
 * Errors that any call may return: -EINVAL (no ring at all, a null pointer), -EBADF (the pointer is
 * no ring of a segment that this process has), -ESTALE (it was destroyed), -EUSERS (member limit),
 * -EPROTO (the segment is damaged), -EDEADLK (a signal handler interrupted a call).
 */
#ifndef BROOD_RING_H
#define BROOD_RING_H

#include <stdbool.h>

#include <brood/base.h>
#include <brood/queue.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_ring;

struct brood_ring_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_ring_opts) */
	size_t bytes;		/* room for messages, rounded up to 64; 1 to about 1 GiB */
	struct brood_segment *segment;	/* where it lives; NULL = the family arena */
	const char *name;	/* for brood_ring_open by others, 1 to 47 characters; NULL = none */
};

/*
 * Create a ring. Memory: bytes and a quarter of that, at once. NULL with errno: EINVAL (no size, or
 * an absurd one, unknown options), ENOSPC, EEXIST (name), EUSERS, ENAMETOOLONG. If the caller dies
 * inside, nothing is left.
 */
BROOD_API struct brood_ring *brood_ring_create(const struct brood_ring_opts *opts);

/*
 * The ring that was created with this name in the segment. NULL with errno ENOENT, EINVAL, EPROTO
 * (damaged). The pointer is good in this process until the segment is closed.
 */
BROOD_API struct brood_ring *brood_ring_open(struct brood_segment *segment, const char *name);

/*
 * End the ring, for everybody, at once and for good: later puts and reservations get -EPIPE, gets
 * drain what is in it and then get -EPIPE, and every sleeper wakes. What was reserved before can
 * still be committed. 0, also the second time.
 */
BROOD_API int brood_ring_close(struct brood_ring *ring);

/*
 * Free the ring and what is in it. Calls of others that are under way end with -ESTALE, later ones
 * get it too; what they have leased or reserved must not be touched any more.
 */
BROOD_API int brood_ring_destroy(struct brood_ring *ring);

/*
 * Put a copy of `length` bytes at the end. Waits while there is no room.
 * 0; -EMSGSIZE (longer than brood_ring_capacity; nothing stored), -EAGAIN, -ETIMEDOUT, -EPIPE (closed).
 */
BROOD_API int brood_ring_put(struct brood_ring *ring, const void *data, size_t length,
			     int64_t timeout);

/*
 * Take the first message, copy it to data, and return its length. Waits while there is none.
 * -EMSGSIZE (longer than size: the message stays where it is; brood_ring_next_length tells),
 * -EAGAIN, -ETIMEDOUT, -EPIPE (closed and drained).
 */
BROOD_API ssize_t brood_ring_get(struct brood_ring *ring, void *data, size_t size, int64_t timeout);

/* The same, and *flags tells whether it was redelivered. */
BROOD_API ssize_t brood_ring_get_flags(struct brood_ring *ring, void *data, size_t size,
				       uint32_t *flags, int64_t timeout);

/*
 * Room for a message of up to `size` bytes: message->data and size are set, length to size. Waits as
 * put. The bytes hold anything. The death of the caller gives it back. Errors as of put.
 */
BROOD_API int brood_ring_reserve(struct brood_ring *ring, size_t size, struct brood_message *message,
				 int64_t timeout);

/*
 * It is written: message->length bytes, at most what was reserved, rounded up to 64. Never waits.
 * 0; -EMSGSIZE (the reservation stands), -EINVAL (no reservation of the caller's).
 */
BROOD_API int brood_ring_commit(struct brood_ring *ring, struct brood_message *message);

/* Give a reservation back. 0, -EINVAL. */
BROOD_API int brood_ring_abort(struct brood_ring *ring, struct brood_message *message);

/*
 * Take the first message and look at it in place: data, length and flags are set. The bytes may be
 * changed. As get, but for -EMSGSIZE.
 */
BROOD_API int brood_ring_lease(struct brood_ring *ring, struct brood_message *message,
			       int64_t timeout);

/*
 * Done with it: the message is acknowledged, the bytes are no longer the caller's. 0, -EINVAL (no
 * lease of the caller's).
 */
BROOD_API int brood_ring_release(struct brood_ring *ring, struct brood_message *message);

/*
 * The length of the message that get would take now; another reader may take it first. -EAGAIN,
 * -EPIPE.
 */
BROOD_API ssize_t brood_ring_next_length(struct brood_ring *ring);

/*
 * Messages in it now, those that wait to be redelivered included, those that somebody has not; exact
 * when nobody else changes it meanwhile. Bytes in use, what is reserved, leased and left out
 * included. The longest message, which is all the room there is. 1 or 0: closed for puts.
 */
BROOD_API ssize_t brood_ring_count(struct brood_ring *ring);
BROOD_API ssize_t brood_ring_used(struct brood_ring *ring);
BROOD_API ssize_t brood_ring_capacity(struct brood_ring *ring);
BROOD_API int brood_ring_closed(struct brood_ring *ring);

/*
 * A descriptor for event loops, readable when brood_ring_get (event BROOD_READABLE) or
 * brood_ring_put (BROOD_WRITABLE) would not wait, until a call of the caller's own with a timeout
 * of 0 has found that it is not; then, for put, when there is room for a message of that length,
 * and at first for one of 64 bytes. All that brood_queue_fd says (brood/queue.h) holds; it makes a
 * message no dearer, but each call that finds nothing interrupts the other CPUs for a microsecond.
 *
 * Also -ENOTSUP: the system has no membarrier(2). Close it by the second call. 0, -EBADF.
 */
BROOD_API int brood_ring_fd(struct brood_ring *ring, unsigned int event);
BROOD_API int brood_ring_fd_close(struct brood_ring *ring, unsigned int event);

#ifdef __cplusplus
}
#endif

#endif
