/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 6, inside: the words of a pipe. pipe.c makes pipes and knows who holds their ends,
 * conn.c moves messages.
 */
#ifndef BROOD_PIPE_INTERNAL_H
#define BROOD_PIPE_INTERNAL_H

#include <brood/pipe.h>

#include "queue/ring.h"

struct brood_conn {		/* a line in the pipe */
	_Alignas(BROOD__LINE) uint32_t index;
};

struct direction {		/* named by the end that receives */
	/* Tokens; 0 = nobody. Who is gone counts as nobody. The sender's low bits: conn.c. */
	_Alignas(BROOD__LINE) _Atomic uint64_t sender;
	_Alignas(BROOD__LINE) _Atomic uint64_t receiver;	/* of a message in pieces */
	/* Who wait for that one to be done. */
	_Alignas(BROOD__LINE) struct brood__waitlist senders;
	_Alignas(BROOD__LINE) struct brood__waitlist receivers;
};

#define HOLDER_CLOSED 1ull	/* beside the token: this member has closed the end */

struct brood_pipe {
	struct brood__object object;
	struct brood_conn ends[2];
	_Alignas(BROOD__LINE) uint32_t granules;	/* of each ring, with the one that is not used */
	uint32_t simplex;
	uint32_t members;
	/* By end: one of those that hold it, the last time somebody looked for one. */
	_Alignas(BROOD__LINE) _Atomic uint64_t witness[2];
	_Atomic uint64_t opened[2];	/* how often somebody came to hold it */
	struct direction directions[2];
	/*
	 * Then, by end and member, tokens: written by that member alone, 0 = never; then the rings,
	 * for a simplex pipe only end 0's.
	 */
	_Alignas(BROOD__LINE) _Atomic uint64_t holders[];
};

struct conn_call {
	struct brood__call inside;
	struct brood_pipe *pipe;
	uint64_t token;
	uint32_t end;
};

static inline size_t pipe_rings_at(uint32_t members)
{
	return (sizeof(struct brood_pipe) + 2 * sizeof(uint64_t) * members + BROOD__LINE - 1) /
	       BROOD__LINE * BROOD__LINE;
}

static inline _Atomic uint64_t *pipe_holder(const struct conn_call *call, uint32_t end, uint32_t id)
{
	return &call->pipe->holders[end * call->inside.segment->members.max + id];
}

/*
 * What the connection is part of, and the caller's end of it, by what the shared memory says; not
 * entered. 0, -EINVAL, -EBADF.
 */
static inline int conn_see(struct brood_conn *conn, struct conn_call *call)
{
	int result = brood__object_place(conn, &call->inside.segment);

	if (brood__unlikely(result))
		return result;
	if (brood__unlikely(brood__offset(call->inside.segment, conn) <
			    call->inside.segment->heap_at + 2 * BROOD__LINE))
		return -EBADF;
	call->end = conn->index & 1;
	call->pipe = (struct brood_pipe *)(void *)(conn - 1 - call->end);
	return 0;
}

/* Enter a call of the end; the caller holds it from now on. -EBADF when it has closed it. */
int brood__conn_enter(struct brood_conn *conn, struct conn_call *call);
/* Inside of the pipe, that is: whether the caller has closed its end; -EPROTO. */
int brood__conn_is_closed(const struct conn_call *call);
/* Those of the events for which recv, or a send of so many bytes, would not wait. */
uint32_t brood__conn_ready(const struct conn_call *call, uint32_t events, size_t length);
/* Whether anybody holds that end. */
bool brood__conn_held(const struct conn_call *call, uint32_t end);
/* The ring that this end receives from. 0, -EBADF, -EPROTO. */
int brood__conn_ring(const struct conn_call *call, uint32_t end, struct bytes *bytes);

#endif
