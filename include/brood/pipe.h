/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pipes: whole messages from one end to the other, between threads and processes; as Python's.
 *
 * A pipe has two ends, connections. Both send and receive; or, with the option `simplex`, end 0
 * receives and end 1 sends. A message is a number of bytes, none among them, and arrives as it was sent,
 * never merged or split. It may be longer than the pipe's memory: then it is sent in pieces, while it is
 * received. Any number of members may use an end at the same time.
 *
 * Who holds an end. A thread that created the pipe holds both. A forked child holds what the thread
 * that forked it holds at that moment, from then on; to this end fork returns when the child has come
 * so far, or is dead (where no two descriptors are free for that, it does not wait, and the parent may
 * find nobody at the child's end for a moment). Any other member holds an end from its first use of it,
 * or from brood_conn_open.
 * A thread holds an end until it closes it, ends, execs or dies, in whatever way. So the usual program
 * works as with descriptors: create, fork, and each closes the end that is the other's.
 *
 * End of file. When nobody holds the other end any more, the messages that are waiting are received
 * first, then recv gives -EPIPE; send gives -EPIPE at once, and there is no signal. An empty message
 * is a message. A thread that holds both ends never sees the end of file.
 *
 * What is promised when a member dies, at any instruction. The message that it was sending arrives whole
 * or not at all: what had gone in pieces is dropped, the receiver never sees it. What it was
 * receiving arrives at another receiver; a message longer than half of the pipe's memory may be lost
 * with its receiver.
 *
 * Who waits for whom. One sender at a time is within an end: another waits for it, also while it is
 * stopped, or waits for room. Receivers wait for each other only within a message in pieces.
 *
 * Errors that any call may return: -EINVAL (no connection at all, a null pointer), -EBADF (no
 * connection of a segment that this process has; or this thread has closed the end), -ESTALE (the
 * pipe was destroyed), -EUSERS (member limit), -ENOMEM (a thread's first use of an end only),
 * -EPROTO (the segment is damaged), -EDEADLK (a signal handler interrupted a call).
 */
#ifndef BROOD_PIPE_H
#define BROOD_PIPE_H

#include <stdbool.h>

#include <brood/base.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_pipe;
struct brood_conn;

struct brood_pipe_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_pipe_opts) */
	size_t bytes;		/* memory for messages in each direction, up to about 1 GiB; 0 = 64
				 * KiB, less than 256 = 256. Each message takes its length, rounded
				 * up to 64 */
	bool simplex;		/* end 0 receives, end 1 sends */
	struct brood_segment *segment;	/* where it lives; NULL = the family arena */
	const char *name;	/* for brood_pipe_open by others, 1 to 47 characters; NULL = none */
};

/*
 * Create a pipe; options NULL = all default. Memory: bytes and a quarter of that for each
 * direction, and 16 for each possible member, at once. NULL with errno: EINVAL (options), ENOSPC,
 * EEXIST (name), EUSERS, ENAMETOOLONG, ENOMEM. If the caller dies inside, nothing is left.
 */
BROOD_API struct brood_pipe *brood_pipe_create(const struct brood_pipe_opts *opts);

/*
 * The pipe that was created with this name in the segment. NULL with errno ENOENT, EINVAL, EPROTO
 * (damaged). The pointer is good in this process until the segment is closed. Holds no end yet.
 */
BROOD_API struct brood_pipe *brood_pipe_open(struct brood_segment *segment, const char *name);

/*
 * An end, 0 or 1. The pointer is good in forked children too. NULL with errno EINVAL.
 */
BROOD_API struct brood_conn *brood_pipe_end(struct brood_pipe *pipe, unsigned int end);

/*
 * Free the pipe and what is in it. Calls of others that are under way end with -ESTALE, later ones
 * get it too. The memory is used again only when no member is inside a call any more.
 */
BROOD_API int brood_pipe_destroy(struct brood_pipe *pipe);

/*
 * Send a copy of `length` bytes. Waits while there is no room, or another sends.
 * 0; -EPIPE (nobody holds the other end), -EAGAIN, -ETIMEDOUT (it does not arrive), -EBADF (it is the
 * receiving end of a simplex pipe). With a timeout of 0 a message longer than half of the pipe's memory
 * gets no further than there is room.
 */
BROOD_API int brood_conn_send(struct brood_conn *conn, const void *data, size_t length,
			      int64_t timeout);

/*
 * Receive the first message into data; returns its length. Waits while there is none; for the
 * rest of one that has begun to arrive it waits as long as its sender lives.
 * -EMSGSIZE (longer than size: the message is kept, brood_conn_next_length tells), -EAGAIN,
 * -ETIMEDOUT, -EPIPE (end of file), -EBADF (it is the sending end of a simplex pipe).
 */
BROOD_API ssize_t brood_conn_recv(struct brood_conn *conn, void *data, size_t size, int64_t timeout);

/* The length of the message that recv would receive now. -EAGAIN, -EPIPE, -EBADF. */
BROOD_API ssize_t brood_conn_next_length(struct brood_conn *conn);

/*
 * Wait until recv would not have to: there is a message, or the end of file. Nothing is
 * received. 0; -EAGAIN, -ETIMEDOUT; -EBADF as of recv.
 */
BROOD_API int brood_conn_poll(struct brood_conn *conn, int64_t timeout);

/* Hold an end: from before its first use. 0. */
BROOD_API int brood_conn_open(struct brood_conn *conn);

/*
 * Hold it no longer: this thread's later calls get -EBADF, and who waits at the other end looks whether
 * that was the last. 0, also the second time.
 */
BROOD_API int brood_conn_close(struct brood_conn *conn);

/* 1 or 0: closed by this thread. */
BROOD_API int brood_conn_closed(struct brood_conn *conn);

/*
 * A descriptor for event loops, readable when brood_conn_recv (event BROOD_READABLE) or
 * brood_conn_send (BROOD_WRITABLE) would not wait, until a call of the caller's own with a timeout
 * of 0 has found that it is not; brood_conn_poll will do, too. At the end of file, and when send
 * gives -EPIPE, it stays readable. See brood/wait.h for messages in pieces: a loop that must
 * not wait for the rest of one makes the pipe twice as long as its longest message. All that
 * brood_queue_fd says (brood/queue.h) holds; a message is no dearer for it, but each call that
 * finds nothing interrupts the other CPUs for a microsecond.
 *
 * Also -EBADF (this thread has closed the end, or a simplex pipe has not that direction), -ENOTSUP
 * (the system has no membarrier(2)). Close it by the second call. 0, -EBADF.
 */
BROOD_API int brood_conn_fd(struct brood_conn *conn, unsigned int event);
BROOD_API int brood_conn_fd_close(struct brood_conn *conn, unsigned int event);

#ifdef __cplusplus
}
#endif

#endif
