/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for many: sleep until one of several things can be done without waiting, as poll(2) does
 * for descriptors.
 *
 * An item names a thing and what is wanted of it; it is ready when the call in the table would not
 * have to wait. Nothing is consumed: whoever is quicker may take it, so make that call with a
 * timeout of 0.
 *
 *	kind                   BROOD_READABLE                     BROOD_WRITABLE
 *	BROOD_WAIT_FD          POLLIN, or hung up or in error     POLLOUT, or in error
 *	BROOD_WAIT_QUEUE       brood_queue_get; also at the end   brood_queue_put; also when closed
 *	BROOD_WAIT_EVENT       brood_event_wait
 *	BROOD_WAIT_SEMAPHORE   brood_semaphore_acquire
 *	BROOD_WAIT_PROCESS     brood_process_join
 *	BROOD_WAIT_RING        brood_ring_get; also at the end    brood_ring_put; also when closed
 *	BROOD_WAIT_CONN        brood_conn_recv; also at the end   brood_conn_send; also -EPIPE
 *	                       of file, and an empty message
 *	BROOD_WAIT_BROADCAST   brood_broadcast_get, of the        brood_broadcast_put, by whoever is
 *	                       caller's subscription; also at     the producer; also when closed
 *	                       the end
 *	BROOD_WAIT_RESULT      brood_result_get; also when its
 *	                       pool needs a new keeper
 *
 * Of rings and connections it is a message of up to 64 bytes that can be put or sent: for a longer
 * one the room may not do, so do not wait for that here again and again. A connection is readable
 * when the first piece of a message is there, and nobody else of its end receives that: recv then
 * waits for the rest as long as the sender lives. As with any call, the caller holds the end of the
 * pipe from then on.
 *
 * What has been destroyed is ready for all that is wanted: the next call on it says so. An event
 * that was set while the caller waited counts as ready even if it has been cleared since.
 *
 * Any number of items, in any segments; the same thing may be there several times. Each round of
 * looking costs some 20 ns an item, and going to sleep two locked instructions; with rings,
 * connections, broadcasts, or queues of one producer and one consumer among them, also one system
 * call that interrupts the other CPUs for a microsecond. As long as there are no descriptors and no
 * processes among them, the caller sleeps on one futex a segment; otherwise in ppoll(2), where a
 * member that makes something ready reaches it by an empty datagram to a UNIX socket of the
 * abstract name space, which no other user can read and which leaves nothing in the file system.
 * Members in another network namespace cannot ring there, nor can a process that has no descriptor
 * left for its socket: what they do is seen up to 100 ms late, and by a descriptor (brood_queue_fd
 * and the like) only when another rings. The socket, a set with it, and a pidfd for each member of
 * another process stay open until the thread ends; they are CLOEXEC and closed in forked children.
 * A process that has reached somebody in this way keeps one socket.
 *
 * If somebody dies. As for each of the objects: who made a thing ready may die before waking
 * anybody, the caller is woken nevertheless.
 *
 * What wakes a caller here is not lost for others: who sleeps in brood_queue_get of the same queue
 * is woken too.
 */
#ifndef BROOD_WAIT_PUBLIC_H
#define BROOD_WAIT_PUBLIC_H

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum brood_wait_kind {
	BROOD_WAIT_FD = 0,	/* `fd` */
	BROOD_WAIT_QUEUE,	/* `object` for this and all others */
	BROOD_WAIT_EVENT,
	BROOD_WAIT_SEMAPHORE,
	BROOD_WAIT_PROCESS,
	BROOD_WAIT_RING,
	BROOD_WAIT_CONN,
	BROOD_WAIT_BROADCAST,
	BROOD_WAIT_RESULT
};

/* What is wanted, and what is ready. */
#define BROOD_READABLE 1u
#define BROOD_WRITABLE 2u

struct brood_waitable {
	uint32_t kind;		/* enum brood_wait_kind */
	uint16_t events;	/* BROOD_READABLE, BROOD_WRITABLE, or both; 0 = BROOD_READABLE */
	uint16_t ready;		/* set by the call: those of them that are ready, 0 = none */
	void *object;
	int fd;
	uint32_t reserved;
	uint64_t state;		/* the library's */
};

/*
 * Wait until at least one of n items is ready. How many are; all their `ready` are set, in an error
 * all are 0. n may be 0: the call just takes its time.
 *
 * -EAGAIN (timeout 0), -ETIMEDOUT; -EINVAL (items is NULL, no such kind, no such event for it, no
 * object), -EBADF (a descriptor that is not open, an object that is in no segment or is none, an
 * end that this thread has closed, a direction that a simplex pipe has not), -ENOTCONN (no
 * subscription to the broadcast), -ESTALE (what was destroyed before the call), -EPROTO (the
 * segment is damaged), -ECHILD (a process that another one started), -EUSERS (member limit),
 * -ENOMEM, -EDEADLK (a signal handler interrupted a call on one of the segments), -EMFILE, -ENFILE
 * (no descriptor for the socket).
 */
BROOD_API int brood_wait(struct brood_waitable *items, size_t n, int64_t timeout);

#ifdef __cplusplus
}
#endif

#endif
