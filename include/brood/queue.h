/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queues: bounded, first in first out, any number of producers and consumers, between threads and
 * processes. A message is 0 to max_bytes bytes, and its length is kept.
 *
 * What is promised. When put has returned, the message is in: every member's count and non-
 * blocking get sees it. Empty and full answers are exact. Any member may be killed or stopped at
 * any instruction of any call: all others go on, with the queue's full capacity. A message whose
 * put returned success is delivered; one whose put was cut short by death is delivered whole or
 * not at all.
 *
 * What a dead consumer had. get acknowledges a message with its last store before it returns;
 * lease leaves it the caller's until release. If the caller dies before that, the message is
 * delivered again, ahead of the others, with the flag BROOD_REDELIVERED. So a consumer that
 * leases, works and releases loses nothing when it is killed anywhere, and a message that comes
 * twice says so.
 *
 * In a queue with the option `joinable`, which is for task_done and join, a message that get
 * returned stays the caller's until the caller's next call on the queue, task_done first of all:
 * what a consumer had not told done when it died comes again, so join never waits for the dead.
 *
 * Two ways to move a message. put and get copy. reserve + commit and lease + release work in
 * place: the first hands out a buffer to write into, the second shows the message where it lies,
 * aligned to 64 bytes (to the next power of two when max_bytes is less). Both may be held as long
 * as one likes and hold up nobody; several at once are fine, up to the option `extra`, all
 * members together.
 *
 * Order. Messages leave in the order in which they were put. Redelivered ones come first, once
 * the death has been noticed: by whoever waits, joins a child, or finds the queue empty.
 *
 * One producer, one consumer. With the option producers = 1 the first member that puts, reserves
 * or calls producer_begin is the producer, and others get -EBUSY until it is gone: until its thread
 * or process has ended in whatever way, or it has called producer_end. The next that comes is the
 * producer then, and nothing is lost. In the same way with consumers = 1 for who gets and leases;
 * a consumer's place is free when it has ended. A thread may be both.
 *
 * With both, and neither joinable nor producers_end, the queue is several times as fast, and put
 * and get are wait-free but for waiting for room or a message. Then there are these differences: one
 * reservation and one lease at a time, and while there is one, other puts (gets) give -ENOBUFS; a
 * lease keeps its place, so that room for one message is missing until it is released; messages in
 * place are aligned to 8 bytes if max_bytes is less than 256. The option extra has no meaning.
 * Memory: slots (the next power of two) + 1 messages, each with 8 bytes more, or 64 if max_bytes is
 * 256 or more.
 *
 * How it works, with the source of the ideas, is told at the top of lib/queue/swap_ring.c, and of
 * spsc_ring.c for one producer and one consumer. put, get and the in-place calls are lock-free;
 * create with a name may wait for another member that creates a queue of the same name at the same
 * moment.
 *
 * Errors that any call may return: -EINVAL (no queue at all, a null pointer), -EBADF (the pointer
 * is no queue of a segment that this process has), -ESTALE (it was destroyed), -EUSERS (member
 * limit), -ENOSPC (no memory for the member's buffer), -ENOBUFS (leases and reservations hold
 * all `extra` buffers and this member has no other), -EBUSY (another one is the only producer, or
 * consumer), -EPROTO (the segment is damaged), -EDEADLK (a signal handler interrupted a call).
 */
#ifndef BROOD_QUEUE_H
#define BROOD_QUEUE_H

#include <stdbool.h>

#include <brood/base.h>
#include <brood/segment.h>
#include <brood/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_queue;

/* A limit that no option of a queue may exceed. */
#define BROOD_QUEUE_SLOTS_MAX (1u << 19)

struct brood_queue_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_queue_opts) */
	uint32_t slots;		/* capacity in messages, 1 to BROOD_QUEUE_SLOTS_MAX; powers of two
				 * waste no memory */
	uint32_t extra;		/* buffers beyond one a slot and one a member, for leases and
				 * reservations held at the same time, and kept between batches:
				 * 0 = as many as slots, but 256 to 1024 */
	size_t max_bytes;	/* longest message, 1 to 1 GiB */
	bool joinable;		/* for task_done and join */
	uint32_t producers_end;	/* n > 0: when n producers have registered and none is left, readers drain
				 * the queue and then get -EPIPE */
	struct brood_segment *segment;	/* where it lives; NULL = the family arena */
	const char *name;	/* for brood_queue_open by others, 1 to 47 characters; NULL = none */
	uint32_t producers;	/* 1 = one at a time puts; 0 = any number */
	uint32_t consumers;	/* 1 = one at a time gets; 0 = any number */
};

/* Message flags. */
#define BROOD_REDELIVERED 1u	/* a member that died, or gave it back, had it before */

/*
 * A message, for the calls that handle several at once or in place. The caller sets what the call
 * reads; `buffer` is the library's.
 */
struct brood_message {
	void *data;		/* the bytes */
	size_t size;		/* room at data */
	size_t length;		/* bytes of the message */
	uint32_t flags;		/* BROOD_REDELIVERED */
	uint32_t buffer;
};

/*
 * Create a queue. Memory: (slots + members + extra) x (max_bytes + 16) bytes at once; with a
 * max_bytes of a page or more, slots x max_bytes at once and as much for each further buffer when
 * it is first used. NULL with errno: EINVAL (sizes zero or absurd, unknown options), ENOSPC,
 * EEXIST (name), EUSERS, ENAMETOOLONG. If the caller dies inside, nothing is left.
 */
BROOD_API struct brood_queue *brood_queue_create(const struct brood_queue_opts *opts);

/*
 * The queue that was created with this name in the segment. NULL with errno ENOENT, EINVAL, EPROTO
 * (damaged). The pointer is good in this process until the segment is closed.
 */
BROOD_API struct brood_queue *brood_queue_open(struct brood_segment *segment, const char *name);

/*
 * End the queue, for everybody, at once and for good: later puts get -EPIPE, gets drain what is
 * in it and then get -EPIPE, and every sleeper wakes. Messages that a dead member had still come.
 * 0, also the second time.
 */
BROOD_API int brood_queue_close(struct brood_queue *queue);

/*
 * Free the queue and what is in it. Calls of others that are under way end with -ESTALE, later ones
 * get it too. The memory is used again only when no member is inside a call any more.
 */
BROOD_API int brood_queue_destroy(struct brood_queue *queue);

/*
 * Put a copy of `length` bytes at the end. Waits while the queue is full.
 * 0; -EMSGSIZE (longer than max_bytes; nothing stored), -EAGAIN, -ETIMEDOUT, -EPIPE (closed).
 */
BROOD_API int brood_queue_put(struct brood_queue *queue, const void *data, size_t length,
			      int64_t timeout);

/*
 * Take the first message, copy it to data, and return its length. Waits while the queue is empty.
 * -EMSGSIZE (longer than size: the message stays where it is), -EAGAIN, -ETIMEDOUT, -EPIPE (ended
 * and drained).
 */
BROOD_API ssize_t brood_queue_get(struct brood_queue *queue, void *data, size_t size,
				  int64_t timeout);

/* The same, and *flags tells whether it was redelivered. */
BROOD_API ssize_t brood_queue_get_flags(struct brood_queue *queue, void *data, size_t size,
					uint32_t *flags, int64_t timeout);

/*
 * Put n messages (data, length) in order; other producers' messages may come between them. Returns
 * how many are in: n, or fewer when the time is over or the queue was closed after the first; an
 * error as of put when none is. All lengths are checked before the first is put. -EINVAL when n is
 * 0.
 */
BROOD_API ssize_t brood_queue_put_many(struct brood_queue *queue,
				       const struct brood_message *messages, size_t n,
				       int64_t timeout);

/*
 * Take up to n messages into (data, size); length and flags are set. Waits for the first only.
 * Returns how many; an error as of get when there is none. A message that does not fit ends the
 * call before it, and is -EMSGSIZE when it is the first. -EINVAL when n is 0.
 */
BROOD_API ssize_t brood_queue_get_many(struct brood_queue *queue, struct brood_message *messages,
				       size_t n, int64_t timeout);

/*
 * A buffer to write a message into: data and size (max_bytes) are set. It occupies no place in the
 * queue. -ENOBUFS when all buffers are held. Never waits. The death of the caller gives it back.
 */
BROOD_API int brood_queue_reserve(struct brood_queue *queue, struct brood_message *message);

/*
 * Put the reserved message, message->length bytes. As put; on any error the reservation stands, to
 * be committed again or aborted. -EINVAL when it is no reservation of the caller's.
 */
BROOD_API int brood_queue_commit(struct brood_queue *queue, struct brood_message *message,
				 int64_t timeout);

/* Give a reservation back. 0, -EINVAL. */
BROOD_API int brood_queue_abort(struct brood_queue *queue, struct brood_message *message);

/*
 * Take the first message and look at it in place: data, length and flags are set. The bytes may be
 * changed. As get; -ENOBUFS when all buffers are held.
 */
BROOD_API int brood_queue_lease(struct brood_queue *queue, struct brood_message *message,
				int64_t timeout);

/*
 * Done with it: the message is acknowledged, the bytes are no longer the caller's. 0, -EINVAL (no
 * lease of the caller's).
 */
BROOD_API int brood_queue_release(struct brood_queue *queue, struct brood_message *message);

/* Not done with it: the message goes to the next reader, flagged BROOD_REDELIVERED. 0, -EINVAL. */
BROOD_API int brood_queue_return(struct brood_queue *queue, struct brood_message *message);

/*
 * Messages in it now, those that wait to be redelivered included, those that somebody has not.
 * Exact.
 */
BROOD_API ssize_t brood_queue_count(struct brood_queue *queue);

/* Messages that fit; the longest message. */
BROOD_API ssize_t brood_queue_capacity(struct brood_queue *queue);
BROOD_API ssize_t brood_queue_max_bytes(struct brood_queue *queue);

/* 1 or 0: nothing to get; no room to put; closed for puts. */
BROOD_API int brood_queue_empty(struct brood_queue *queue);
BROOD_API int brood_queue_full(struct brood_queue *queue);
BROOD_API int brood_queue_closed(struct brood_queue *queue);

/*
 * A descriptor for poll, epoll and event loops, level-triggered: readable when brood_queue_get
 * (event BROOD_READABLE) or brood_queue_put (BROOD_WRITABLE) would not wait, until a call of the
 * caller's own has found that it is not (-EAGAIN), so make these with a timeout of 0. It may be
 * readable once in vain. A producer pays a system call only if the caller has found nothing since
 * the last time. It belongs to the calling thread: the thread that gets or puts must be the one
 * that asked, and its end closes it. The same one each time while it is open; a child that is
 * forked does not get it. See brood/wait.h for network namespaces.
 *
 * Of those that a thread has open 40, the first, also become readable when a member has died or
 * come: the call that finds nothing then repairs, and looks at all others of the thread. So a
 * thread that has more keeps one of these 40 in its loop; where objects come and go, one of an
 * object that stays.
 *
 * The descriptor; -EMFILE, -ENFILE, -ENOMEM. Close it by the second call, not by close(2): 0;
 * -EBADF, it is not open.
 */
BROOD_API int brood_queue_fd(struct brood_queue *queue, unsigned int event);
BROOD_API int brood_queue_fd_close(struct brood_queue *queue, unsigned int event);

/*
 * Joinable queues. task_done tells that one message that was taken has been dealt with, as
 * Python's. The caller's message of the last get is acknowledged in the same store (after
 * get_many, one of them for each call, in order), so that a death leaves both done or neither.
 * -EINVAL when it is called more often than messages were put; -ENOTSUP when the queue is not
 * joinable.
 */
BROOD_API int brood_queue_task_done(struct brood_queue *queue);

/* release and task_done of a leased message in one store. */
BROOD_API int brood_queue_release_done(struct brood_queue *queue, struct brood_message *message);

/*
 * Wait until every message that was put has been told done. 0, -EAGAIN, -ETIMEDOUT, -ENOTSUP. A
 * message whose consumer died before task_done is redelivered, and whoever gets it tells.
 */
BROOD_API int brood_queue_join(struct brood_queue *queue, int64_t timeout);

/*
 * Register the calling member as a producer, for the option producers_end; the first put does it as
 * well. End the registration; the death or end of the member does it as well. 0, -EPIPE. The same
 * for the place of the only producer, with the option producers; a reservation ends with it.
 */
BROOD_API int brood_queue_producer_begin(struct brood_queue *queue);
BROOD_API int brood_queue_producer_end(struct brood_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
