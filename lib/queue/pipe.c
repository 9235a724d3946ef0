/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pipes as objects, and who holds their ends.
 *
 * Each end has a word for each member, which only that member writes: its token while it holds the
 * end, with HOLDER_CLOSED when it has closed it. A word of a member that is gone counts for nothing
 * (member.h), so a death leaves nothing to repair here; the sweep of it makes all sleepers look
 * again. What dead members left in the rings is swept as in any ring.
 *
 * Fork. A child must hold what its parent holds before the parent can close it, or the other end could
 * take the time between for the end of file. So the child registers itself in the fork (pthread_atfork),
 * and the parent waits for that: it reads from a pipe(2) until the child has closed it, having
 * registered, or has died. Other forks are kept out meanwhile, so nobody else has that pipe, but for
 * what execs. Nobody pays for that but who holds an end.
 *
 * Hand-over. The end may go from one to another at any time, against the order in which the words are
 * looked at; so who comes to hold it counts itself behind its word, and a look that found nobody counts
 * only if nobody has come meanwhile. Who dies between word and count has not yet come: whoever relies
 * on it waits for the return of open, or of fork.
 *
 * Dying inside. A holder is there or not. A close that has stored its word and died before it
 * woke anybody: the sweep wakes all. The witness is a hint; it counts only if the word says the same.
 *
 * Edges (doc/memory-model.md). V1: a holder's word is stored behind what the member has sent, and
 * loaded before the last look whether something has arrived. V3: the count of who comes, behind its
 * word and before the one before it goes, is loaded before and behind the words.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/kinds.h"
#include "queue/pipe.h"

#define BYTES_DEFAULT 65536u
#define BYTES_LEAST 256u
#define LOOKS_AT_MOST 1000u	/* for a holder: an enemy may count them without end */

/* ---- repair ---- */

static struct brood__bytes *ring_of(const struct brood_pipe *pipe, uint32_t members, uint32_t end,
				    uint32_t granules)
{
	return (struct brood__bytes *)(void *)((char *)(uintptr_t)pipe + pipe_rings_at(members) +
					       end * bytes_size(granules));
}

static void sweep(struct brood_segment *segment, void *object, uint32_t member, bool clean)
{
	struct brood_pipe *pipe = object;
	struct conn_call call = { .inside = { segment, pipe, 0 }, .pipe = pipe };
	struct bytes bytes;

	(void)clean;
	if (!brood__object_swept(segment, pipe, BROOD__KIND_PIPE))
		return;
	for (uint32_t end = 0; end < 2; end++)
		if (brood__conn_ring(&call, end, &bytes) == 0)
			brood__bytes_sweep(&bytes, member);
}

static size_t size_of(uint32_t members, uint32_t granules, uint32_t simplex)
{
	return pipe_rings_at(members) + (simplex ? 1 : 2) * bytes_size(granules);
}

static bool is_sound(const struct brood_segment *segment, const void *object, size_t bytes)
{
	const struct brood_pipe *pipe = object;
	uint32_t granules;

	if (bytes < sizeof(*pipe))
		return false;
	granules = pipe->granules;
	return pipe->members == segment->members.max && granules >= 2 && granules <= GRANULES_MAX &&
	       pipe->simplex <= 1 && size_of(pipe->members, granules, 0) > granules &&
	       size_of(pipe->members, granules, pipe->simplex) <= bytes;
}

static void be_waited_for(void) __attribute__((constructor));
static void be_waited_for(void)
{
	brood__waitable_register(BROOD_WAIT_CONN, &brood__conn_waitable);
}

const struct brood__kind_ops brood__pipe_kind = { .sweep = sweep, .sound = is_sound };

/* ---- what this process holds ---- */

struct held {
	struct held *next;
	struct brood_pipe *pipe;
	bool inherited[2];	/* by the child of the fork that is going on */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct brood__guard guard = BROOD__GUARD_INITIALIZER;
static struct held *all;
static int until_registered[2] = { -1, -1 };

static bool look_at(struct brood_pipe *pipe, struct conn_call *call)
{
	struct brood_segment *segment = brood__segment_of(pipe);
	int id;

	if (!segment || !brood__object_alive(segment, pipe, BROOD__KIND_PIPE))
		return false;
	id = brood__member_id(&segment->members);
	if (id < 0)
		return false;
	*call = (struct conn_call){ .inside = { segment, pipe, (uint32_t)id }, .pipe = pipe };
	call->token = brood__object_token(&call->inside);
	return true;
}

/* What the forking thread holds. */
static bool note_inherited(void)
{
	bool any = false;

	for (struct held *held = all; held; held = held->next) {
		struct brood_segment *segment = brood__segment_of(held->pipe);
		bool member = segment && brood__is_member(&segment->members);
		struct conn_call call;

		held->inherited[0] = held->inherited[1] = false;
		if (!member || !look_at(held->pipe, &call))
			continue;
		for (uint32_t end = 0; end < 2; end++) {
			held->inherited[end] = atomic_load(pipe_holder(&call, end,
								       call.inside.me)) ==
					       call.token;
			any |= held->inherited[end];
		}
	}
	return any;
}

static void before_fork(void)
{
	brood__guard_lock(&guard);
	if (!note_inherited() || pipe2(until_registered, O_CLOEXEC))
		until_registered[0] = until_registered[1] = -1;
}

static void after_fork_in_parent(void)
{
	char byte;

	if (until_registered[0] >= 0) {
		close(until_registered[1]);
		while (read(until_registered[0], &byte, 1) < 0 && errno == EINTR)
			;
		close(until_registered[0]);
	}
	brood__guard_unlock(&guard);
}

static void hold_end(const struct conn_call *call, uint32_t end)
{
	atomic_store(pipe_holder(call, end, call->inside.me), call->token);
	atomic_fetch_add(&call->pipe->opened[end], 1);	/* V3 */
}

static void after_fork_in_child(void)
{
	for (struct held *held = all; held; held = held->next) {
		struct conn_call call;

		if (!(held->inherited[0] | held->inherited[1]) || !look_at(held->pipe, &call))
			continue;
		for (uint32_t end = 0; end < 2; end++)
			if (held->inherited[end])
				hold_end(&call, end);
	}
	if (until_registered[0] >= 0) {
		close(until_registered[0]);
		close(until_registered[1]);
	}
	brood__guard_unlock(&guard);
}

/* Behind the segments' own, so that they can be used in ours. */
static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* The calling thread holds an end of it, or is about to. -ENOMEM. */
static int remember(struct brood_pipe *pipe)
{
	struct held **link, *held = NULL;

	pthread_once(&once, watch_forks);
	brood__guard_lock(&guard);
	for (link = &all; *link;) {
		struct brood_segment *segment = brood__segment_of((*link)->pipe);

		if ((*link)->pipe == pipe)
			held = *link;
		if (segment && brood__object_alive(segment, (*link)->pipe, BROOD__KIND_PIPE)) {
			link = &(*link)->next;
		} else {
			struct held *gone = *link;

			*link = gone->next;
			held = held == gone ? NULL : held;
			free(gone);
		}
	}
	if (!held) {
		*link = held = calloc(1, sizeof(*held));
		if (held)
			held->pipe = pipe;
	}
	brood__guard_unlock(&guard);
	return held ? 0 : -ENOMEM;
}

/* ---- entering a call ---- */

static int enter_pipe(struct brood_conn *conn, struct conn_call *call)
{
	int result = conn_see(conn, call);

	if (brood__unlikely(result))
		return result;
	result = brood__object_enter_at(call->inside.segment, call->pipe, BROOD__KIND_PIPE,
					&call->inside);
	if (brood__unlikely(result == -EBADF)) {	/* the line may have been cleared */
		call->end ^= 1;
		call->pipe = (struct brood_pipe *)(void *)(conn - 1 - call->end);
		result = brood__object_enter_at(call->inside.segment, call->pipe, BROOD__KIND_PIPE,
						&call->inside);
	}
	if (brood__likely(result == 0))
		call->token = brood__object_token(&call->inside);
	return result;
}

/* Any value but ours is of a member that had our id, and is gone. */
static int hold(const struct conn_call *call)
{
	_Atomic uint64_t *holder = pipe_holder(call, call->end, call->inside.me);
	uint64_t word = atomic_load_explicit(holder, memory_order_relaxed);
	int result;

	if (brood__likely(word == call->token))
		return 0;
	if (word == (call->token | HOLDER_CLOSED))
		return -EBADF;
	result = remember(call->pipe);
	if (result == 0)
		hold_end(call, call->end);
	return result;
}

/* That the holders' words lie in the segment. */
static int check_shape(const struct conn_call *call)
{
	struct brood_segment *segment = call->inside.segment;

	return pipe_rings_at(segment->members.max) <= segment->bytes -
			brood__offset(segment, call->pipe) ? 0 : -EPROTO;
}

int brood__conn_is_closed(const struct conn_call *call)
{
	int result = check_shape(call);

	return result ? result : atomic_load(pipe_holder(call, call->end, call->inside.me)) ==
					 (call->token | HOLDER_CLOSED);
}

brood__flat int brood__conn_enter(struct brood_conn *conn, struct conn_call *call)
{
	int result = enter_pipe(conn, call);

	if (brood__unlikely(result))
		return result;
	result = check_shape(call);
	if (brood__likely(result == 0))
		result = hold(call);
	if (brood__unlikely(result))
		brood__object_leave(&call->inside);
	return result;
}

static bool holds(const struct conn_call *call, uint32_t end, uint64_t word)
{
	return word && !(word & HOLDER_CLOSED) &&
	       !brood__token_gone(&call->inside.segment->members, word) &&
	       atomic_load_explicit(pipe_holder(call, end, brood__token_id(word)),
				    memory_order_acquire) == word;	/* V1 */
}

static bool find_holder(const struct conn_call *call, uint32_t end, _Atomic uint64_t *witness)
{
	for (uint32_t id = 0; id < call->inside.segment->members.max; id++) {
		uint64_t word = atomic_load_explicit(pipe_holder(call, end, id),
						     memory_order_acquire);	/* V1 */

		if (holds(call, end, word)) {
			atomic_store_explicit(witness, word, memory_order_relaxed);
			return true;
		}
	}
	return false;
}

bool brood__conn_held(const struct conn_call *call, uint32_t end)
{
	_Atomic uint64_t *witness = &call->pipe->witness[end], *opened = &call->pipe->opened[end];

	if (brood__likely(holds(call, end, atomic_load_explicit(witness, memory_order_relaxed))))
		return true;
	for (unsigned int looks = 0; looks < LOOKS_AT_MOST; looks++) {
		uint64_t before = atomic_load_explicit(opened, memory_order_acquire);	/* V3 */

		if (find_holder(call, end, witness))
			return true;
		if (atomic_load_explicit(opened, memory_order_acquire) == before)	/* V3 */
			return false;
	}
	return true;
}

brood__flat int brood__conn_ring(const struct conn_call *call, uint32_t end, struct bytes *bytes)
{
	struct brood_segment *segment = call->inside.segment;
	uint32_t members = segment->members.max, granules = call->pipe->granules;

	if (brood__unlikely(end && call->pipe->simplex))
		return -EBADF;
	return bytes_see(bytes, segment, ring_of(call->pipe, members, end, granules), granules,
			 call->inside.me);
}

/* ---- create, open, destroy ---- */

static void fill(void *object, const void *shape)
{
	struct brood_pipe *pipe = object;

	*pipe = *(const struct brood_pipe *)shape;
	pipe->ends[1].index = 1;
	for (uint32_t end = 0; end < (pipe->simplex ? 1u : 2u); end++)
		brood__bytes_shape(ring_of(pipe, pipe->members, end, pipe->granules),
				   pipe->granules);
}

struct brood_pipe *brood_pipe_create(const struct brood_pipe_opts *given)
{
	struct brood_pipe_opts opts;
	int result = brood__options(&opts, sizeof(opts), given);
	struct brood_pipe shape = { .granules = 0 }, *pipe;
	struct brood_segment *segment;
	struct conn_call call;
	size_t size;

	if (result == 0) {
		opts.bytes = opts.bytes ? opts.bytes : BYTES_DEFAULT;
		shape.granules = bytes_granules(opts.bytes < BYTES_LEAST ? BYTES_LEAST :
									   opts.bytes);
		result = shape.granules ? 0 : -EINVAL;
	}
	if (result) {
		errno = -result;
		return NULL;
	}
	segment = brood__segment(opts.segment);
	if (!segment)
		return NULL;
	shape.simplex = opts.simplex;
	shape.members = segment->members.max;
	size = size_of(shape.members, shape.granules, shape.simplex);
	pipe = brood__object_make(segment, BROOD__KIND_PIPE, opts.name, size, size, fill, &shape);
	for (uint32_t end = 0; pipe && end < 2; end++) {
		result = brood__conn_enter(&pipe->ends[end], &call);
		if (result) {
			brood_pipe_destroy(pipe);
			errno = -result;
			return NULL;
		}
		brood__object_leave(&call.inside);
	}
	return pipe;
}

struct brood_pipe *brood_pipe_open(struct brood_segment *segment, const char *name)
{
	segment = brood__segment(segment);
	return segment ? brood__object_find(segment, BROOD__KIND_PIPE, name) : NULL;
}

struct brood_conn *brood_pipe_end(struct brood_pipe *pipe, unsigned int end)
{
	if (pipe && end < 2)
		return &pipe->ends[end];
	errno = EINVAL;
	return NULL;
}

int brood_pipe_destroy(struct brood_pipe *pipe)
{
	struct brood__call call;
	int result = brood__object_enter(pipe, BROOD__KIND_PIPE, &call);

	return result ? result : brood__object_destroy(&call, BROOD__KIND_PIPE, NULL);
}

/* ---- holding ---- */

int brood_conn_open(struct brood_conn *conn)
{
	struct conn_call call;
	int result = brood__conn_enter(conn, &call);

	if (result == 0)
		brood__object_leave(&call.inside);
	return result;
}

int brood_conn_close(struct brood_conn *conn)
{
	struct conn_call call;
	int result = brood__conn_enter(conn, &call);

	if (result)
		return result == -EBADF && brood_conn_closed(conn) == 1 ? 0 : result;
	atomic_store(pipe_holder(&call, call.end, call.inside.me),
		     call.token | HOLDER_CLOSED);	/* V1 */
	brood__wake_sleepers(&call.inside.segment->members);
	brood__object_leave(&call.inside);
	return 0;
}

int brood_conn_closed(struct brood_conn *conn)
{
	struct conn_call call;
	int result = enter_pipe(conn, &call);

	if (result)
		return result;
	result = brood__conn_is_closed(&call);
	brood__object_leave(&call.inside);
	return result;
}
