/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Broadcasts: one producer, any number of subscribers, and every subscriber sees every message
 * from its subscription on, in order. A message is 0 to max_bytes bytes, and is written once,
 * however many subscribers read it.
 *
 * Subscribers. A subscription is a thread's own, as its membership is (base.h): one thread has at
 * most one in a broadcast, a forked child has none until it subscribes itself, and the death or
 * end of the thread ends it. What was put before brood_broadcast_subscribe is not seen.
 *
 * The producer. The first member that puts is the producer, and another that tries gets -EBUSY, as
 * long as the first one lives and has not said brood_broadcast_producer_end. The member that takes
 * over from a dead producer goes on behind its last message: a message whose put returned success
 * is seen by all subscribers; one whose put was cut short by death is seen by all or by none.
 *
 * Slow subscribers. Without the option `lossy` the producer waits for the slowest subscriber when
 * `slots` messages are there that it has not got: nothing is ever lost. A subscriber that is
 * stopped holds it up as well, one that is dead never does. With `lossy` the producer waits for
 * nobody; a subscriber that falls farther behind than `slots` loses what it was too slow for, is
 * told how many messages that were, and goes on at the oldest that is still there. It never gets a
 * torn message.
 *
 * Without subscribers messages go nowhere, and the producer never waits.
 *
 * What is promised. When put has returned, every subscriber's next get sees the message. Any
 * member may be killed at any instruction of any call: the others go on. A subscriber that dies
 * in the midst of get or with a lease takes nothing from the others.
 *
 * put in a lossy broadcast and get in one that is not are wait-free; get in a lossy one is
 * lock-free: it looks again only when the producer has meanwhile gone on.
 *
 * Errors that any call may return: -EINVAL (no broadcast at all, a null pointer), -EBADF (the
 * pointer is no broadcast of a segment that this process has), -ESTALE (it was destroyed),
 * -EUSERS (member limit), -EPROTO (the segment is damaged), -EDEADLK (a signal handler
 * interrupted a call).
 */
#ifndef BROOD_BROADCAST_H
#define BROOD_BROADCAST_H

#include <stdbool.h>

#include <brood/base.h>
#include <brood/queue.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_broadcast;

struct brood_broadcast_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_broadcast_opts) */
	uint32_t slots;		/* messages that are kept, 1 to BROOD_QUEUE_SLOTS_MAX; powers of two
				 * waste no memory */
	bool lossy;		/* the producer does not wait for slow subscribers */
	size_t max_bytes;	/* longest message, 1 to 1 GiB */
	struct brood_segment *segment;	/* where it lives; NULL = the family arena */
	const char *name;	/* for brood_broadcast_open by others, 1 to 47 characters; NULL = none */
};

/*
 * Create a broadcast. Memory: slots x (max_bytes + 16) bytes and 64 for each possible member. NULL
 * with errno: EINVAL (sizes zero or absurd, unknown options), ENOSPC, EEXIST (name), EUSERS,
 * ENAMETOOLONG. If the caller dies inside, nothing is left.
 */
BROOD_API struct brood_broadcast *
brood_broadcast_create(const struct brood_broadcast_opts *opts);

/*
 * The broadcast that was created with this name in the segment. NULL with errno ENOENT, EINVAL,
 * EPROTO (damaged). The pointer is good in this process until the segment is closed.
 */
BROOD_API struct brood_broadcast *brood_broadcast_open(struct brood_segment *segment,
						       const char *name);

/*
 * End it, for everybody and for good: later puts get -EPIPE, subscribers get what they have not
 * got yet and then -EPIPE. Only the producer can, or anybody while there is none that lives: -EBUSY
 * else. 0, also the second time.
 */
BROOD_API int brood_broadcast_close(struct brood_broadcast *broadcast);

/*
 * Free it. Calls of others that are under way end with -ESTALE, later ones get it too. The memory
 * is used again only when no member is inside a call any more.
 */
BROOD_API int brood_broadcast_destroy(struct brood_broadcast *broadcast);

/* ---- the producer ---- */

/*
 * Put a copy of `length` bytes. Waits while a subscriber still has `slots` messages to get, unless
 * lossy. 0; -EMSGSIZE (longer than max_bytes; nothing stored), -EBUSY (another member is the
 * producer), -EAGAIN, -ETIMEDOUT, -EPIPE (closed).
 */
BROOD_API int brood_broadcast_put(struct brood_broadcast *broadcast, const void *data,
				  size_t length, int64_t timeout);

/*
 * Put n messages (data, length) in order. Returns how many are in: n, or fewer when the time is
 * over; an error as of put when none is. All lengths are checked before the first is put. -EINVAL
 * when n is 0.
 */
BROOD_API ssize_t brood_broadcast_put_many(struct brood_broadcast *broadcast,
					   const struct brood_message *messages, size_t n,
					   int64_t timeout);

/* The caller is the producer no longer: another member may be. 0, -EBUSY (it is not). */
BROOD_API int brood_broadcast_producer_end(struct brood_broadcast *broadcast);

/* ---- subscribers ---- */

/*
 * The caller gets what is put from now on. 0, -EALREADY (it does already). A closed broadcast may
 * be subscribed to; get says -EPIPE then.
 */
BROOD_API int brood_broadcast_subscribe(struct brood_broadcast *broadcast);

/* Not any more. 0, -ENOTCONN (the caller has no subscription), as all that follow. */
BROOD_API int brood_broadcast_unsubscribe(struct brood_broadcast *broadcast);

/*
 * Copy the caller's next message to data, and return its length. Waits while there is none.
 * -EMSGSIZE (longer than size: it stays the next), -EAGAIN, -ETIMEDOUT, -EPIPE (closed, and there
 * is none left), -ENOTCONN. What is in data after an error is not defined.
 */
BROOD_API ssize_t brood_broadcast_get(struct brood_broadcast *broadcast, void *data, size_t size,
				      int64_t timeout);

/*
 * The same, and *lost tells how many messages the caller lost between the one that it got before
 * and this one. Always 0 unless lossy. Written when a message is returned only.
 */
BROOD_API ssize_t brood_broadcast_get_lost(struct brood_broadcast *broadcast, void *data,
					   size_t size, uint64_t *lost, int64_t timeout);

/*
 * Take up to n messages into (data, size); length and flags (always 0) are set. Waits for the first
 * only. Returns how many; an error as of get when there is none. A message that does not fit ends
 * the call before it, and is -EMSGSIZE when it is the first. Messages may have been lost before
 * the first, not between: brood_broadcast_lost tells. -EINVAL when n is 0.
 */
BROOD_API ssize_t brood_broadcast_get_many(struct brood_broadcast *broadcast,
					   struct brood_message *messages, size_t n,
					   int64_t timeout);

/*
 * Look at the caller's next message where it lies, aligned to 16 bytes: data, length and flags are
 * set. The bytes are everybody's: they must not be changed. It stays the next message until
 * release (or a get) takes it. As get; -ENOTSUP when the broadcast is lossy.
 */
BROOD_API int brood_broadcast_lease(struct brood_broadcast *broadcast,
				    struct brood_message *message, int64_t timeout);

/* Done with it: the bytes may be written over. 0, -EINVAL (not the caller's next message). */
BROOD_API int brood_broadcast_release(struct brood_broadcast *broadcast,
				      struct brood_message *message);

/* Messages that the caller has lost since it subscribed, those before its next one included once it
 * has looked for that. */
BROOD_API int64_t brood_broadcast_lost(struct brood_broadcast *broadcast);

/* Messages that wait for the caller now. In a lossy broadcast, no more than slots. */
BROOD_API ssize_t brood_broadcast_count(struct brood_broadcast *broadcast);

/* ---- anybody ---- */

/* Subscribers that live. */
BROOD_API ssize_t brood_broadcast_subscribers(struct brood_broadcast *broadcast);

/* Messages that are kept; the longest message; 1 when it is closed, or 0. */
BROOD_API ssize_t brood_broadcast_capacity(struct brood_broadcast *broadcast);
BROOD_API ssize_t brood_broadcast_max_bytes(struct brood_broadcast *broadcast);
BROOD_API int brood_broadcast_closed(struct brood_broadcast *broadcast);

/*
 * A descriptor for event loops, readable when brood_broadcast_get of the caller's subscription
 * (event BROOD_READABLE) or brood_broadcast_put (BROOD_WRITABLE) would not wait, until a call of
 * the caller's own with a timeout of 0 has found that it is not. All that brood_queue_fd says
 * (brood/queue.h) holds; a message is no dearer for it, but each call that finds nothing interrupts
 * the other CPUs for a microsecond.
 *
 * Also -ENOTCONN (no subscription), -ENOTSUP (the system has no membarrier(2)). Close it by the
 * second call. 0, -EBADF.
 */
BROOD_API int brood_broadcast_fd(struct brood_broadcast *broadcast, unsigned int event);
BROOD_API int brood_broadcast_fd_close(struct brood_broadcast *broadcast, unsigned int event);

#ifdef __cplusplus
}
#endif

#endif
