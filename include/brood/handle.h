/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handles: objects for processes that did not inherit them.
 *
 * A forked child has everything by the same pointers. A process that has been exec'ed has nothing,
 * and neither has one that is no relative. Besides names (brood_segment_open, brood_queue_open) an
 * object gets there by the descriptor of its segment: inherited through exec, or sent over a UNIX
 * socket. Both work for the family arena, which has no name, and for named segments; whoever
 * has the descriptor of a segment can reach all that is in it, so give it to whom you would give
 * the whole family.
 *
 * The receiver maps the segment anywhere: only references, no pointers, may be exchanged through it.
 * It is a full member then, whose death is noticed as any other's. A received family arena is a
 * segment like a named one there, beside the receiver's own family arena: its objects are used by
 * their pointers; brood_segment_of() gives it for brood_alloc, brood_ref and brood_segment_close.
 *
 * What is received is checked before it is believed: the file (owner, size, that it cannot shrink),
 * the segment's header, the reference, and, of queues and other objects, every field that is relied
 * upon.
 *
 * Death. A process that dies while it passes, sends or takes leaves nothing; a descriptor on its
 * way in a socket is closed by the kernel with the socket.
 */
#ifndef BROOD_HANDLE_H
#define BROOD_HANDLE_H

#include <brood/base.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Leave an object, or memory of brood_alloc, to the program that this process, or a child of it,
 * will exec. It is found there under the name: 1 to 40 characters, none of them ';' '=' or ':'.
 * Call it between fork and exec, or before posix_spawn: it sets the environment variable
 * BROOD_HANDLES and makes a copy of the segment's descriptor that exec leaves open; the same
 * segment is copied once.
 * Not safe in the forked child of a process with several threads, where setenv is not.
 *
 * 0; -EINVAL (NULL, the name), -EEXIST (the name is taken), -EFAULT (no object of a segment),
 * -EMFILE, -ENOMEM. Never blocks.
 */
BROOD_API int brood_handle_pass(const char *name, const void *object);

/*
 * In the exec'ed program, and its forked children: the object that was left under the name. As often
 * as one likes. What it executes in turn finds nothing: the variable tells for which process it is,
 * and before main it is removed and the descriptors become CLOEXEC.
 *
 * NULL with errno: ENOENT (nothing of that name was left for this process), EPROTO (not what it
 * should be, damaged), EPERM (another user's), EXDEV (another pid namespace), ESTALE (destroyed),
 * ENOSPC, ENOMEM, EMFILE. Never blocks.
 */
BROOD_API void *brood_handle_take(const char *name);

/*
 * Send an object over a connected UNIX socket (stream, seqpacket or datagram): 16 bytes and a
 * descriptor. Waits as the socket does. 0, -EINVAL (NULL), -EFAULT (no object), and what sendmsg
 * says, -EPIPE without a signal among it.
 */
BROOD_API int brood_handle_send(int socket, const void *object);

/*
 * Receive one. NULL with errno: EPIPE (end of file), EPROTO (something else came), those of
 * brood_handle_take, and what recvmsg says. Waits as the socket does.
 */
BROOD_API void *brood_handle_recv(int socket);

/* The segment that an object lies in; NULL with errno EFAULT when in none. Never blocks. */
BROOD_API struct brood_segment *brood_segment_of(const void *object);

#ifdef __cplusplus
}
#endif

#endif
