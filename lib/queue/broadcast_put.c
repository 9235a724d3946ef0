/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The producer's side of a broadcast; broadcast.c tells why it is right. */
#include "queue/broadcast.h"
#include "queue/sizes.h"
#include "sync/sync.h"


/* ---- room ---- */

/* The least cursor of those who live; `none` when there is nobody. */
static uint64_t least_cursor(const struct broadcast_call *call, uint64_t none)
{
	const struct brood__members *members = &call->inside.segment->members;
	struct brood_broadcast *broadcast = call->broadcast;
	uint64_t least = none;

	atomic_thread_fence(memory_order_seq_cst);	/* D4 */
	for (uint32_t id = 0; id < members->max; id++) {
		struct cursor *cursor = &broadcast->cursors[id];
		uint64_t owner, position;

		if (!brood__mask_has(broadcast->subscribers.mask, id))
			continue;
		owner = atomic_load_explicit(&cursor->owner, memory_order_acquire);
		position = atomic_load_explicit(&cursor->position, memory_order_acquire); /* D2 */
		if (owner && !brood__token_gone(members, owner) && (int64_t)(position - least) < 0)
			least = position;
	}
	return least;
}

/* Anybody may ask; `room` is the producer's. */
bool brood__broadcast_has_room(const struct broadcast_call *call, uint64_t position)
{
	uint64_t room = atomic_load_explicit(&call->broadcast->room, memory_order_relaxed);

	return call->lossy || (int64_t)(room - position) > 0 ||
	       (int64_t)(least_cursor(call, position) + call->capacity - position) > 0;
}

static bool has_room(const struct broadcast_call *call, uint64_t position)
{
	_Atomic uint64_t *room = &call->broadcast->room;
	uint64_t end;

	if (call->lossy ||
	    (int64_t)(atomic_load_explicit(room, memory_order_relaxed) - position) > 0)
		return true;
	end = least_cursor(call, position) + call->capacity;
	atomic_store_explicit(room, end, memory_order_relaxed);
	return (int64_t)(end - position) > 0;
}

/* ---- a message into its slot ---- */

/* Readers may be reading what was there before, and look at the stamp again. */
static void copy_words(_Atomic uint64_t *to, const char *from, size_t length)
{
	uint64_t word;

	for (; length >= sizeof(word); length -= sizeof(word), from += sizeof(word)) {
		memcpy(&word, from, sizeof(word));
		atomic_store_explicit(to++, word, memory_order_relaxed);
	}
	if (length) {
		word = 0;
		memcpy(&word, from, length);
		atomic_store_explicit(to, word, memory_order_relaxed);
	}
}

static void write_message(const struct broadcast_call *call, uint64_t position,
			  const struct brood_message *message)
{
	struct slot *slot = slot_at(call, position);

	if (call->lossy) {
		atomic_store_explicit(&slot->stamp, stamp_while_writing(position),
				      memory_order_relaxed);
		atomic_thread_fence(memory_order_release);	/* D3 */
		copy_words(slot->words, message->data, message->length);
	} else if (message->length) {	/* data may be NULL if not */
		memcpy((void *)slot->words, message->data, message->length);
	}
	atomic_store_explicit(&slot->length, (uint32_t)message->length, memory_order_relaxed);
	atomic_store_explicit(&slot->stamp, stamp_of(position), memory_order_release);	/* D1 */
	atomic_store_explicit(&call->broadcast->tail, position + 1, memory_order_release);
}

/* ---- put ---- */

struct putting {
	const struct broadcast_call *call;
	const struct brood_message *message;
};

static ssize_t try_put(void *arg)
{
	const struct putting *putting = arg;
	const struct broadcast_call *call = putting->call;
	uint64_t position = atomic_load_explicit(&call->broadcast->tail, memory_order_relaxed);

	if (!has_room(call, position))
		return broadcast_destroyed(call) ? -ESTALE : -EAGAIN;
	write_message(call, position, putting->message);
	return 0;
}

static void tell_subscribers(const struct broadcast_call *call)
{
	atomic_signal_fence(memory_order_seq_cst);	/* W7 */
	sync_wake_all(&call->inside.segment->members, &call->broadcast->readers);
}

static int put(const struct broadcast_call *call, const struct brood_message *message, bool untold,
	       int64_t timeout)
{
	struct brood_broadcast *broadcast = call->broadcast;
	struct putting putting = { call, message };
	ssize_t result = try_put(&putting);

	if (brood__likely(result == 0)) {
		broadcast->streak = 1;
	} else if (result == -EAGAIN) {
		const struct brood__wait wait = {
			.members = &call->inside.segment->members,
			.list = &broadcast->writers,
			.timeout = timeout,
			.light = true,
			.me = call->inside.me,
			.gather = broadcast->streak ?
					  gather_for(call->capacity, PUT_GATHER_MOST) : 0,
		};

		broadcast->streak = 0;
		if (untold)
			tell_subscribers(call);
		result = brood__wait(&wait, try_put, &putting);
	}
	return (int)result;
}

static int check(const struct broadcast_call *call, const struct brood_message *messages, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (messages[i].length > call->max_bytes)
			return -EMSGSIZE;
		if (!messages[i].data && messages[i].length)
			return -EINVAL;
	}
	return 0;
}

static ssize_t put_all(const struct broadcast_call *call, const struct brood_message *messages,
		       size_t n, int64_t timeout)
{
	size_t done = 0;
	int result = check(call, messages, n);

	if (brood__likely(result == 0))
		result = brood__broadcast_produce(call);
	if (brood__unlikely(is_closed(call)))
		result = -EPIPE;
	for (; result == 0 && done < n; done += result == 0)
		result = put(call, &messages[done], done > 0, timeout);
	if (brood__likely(done))
		tell_subscribers(call);
	return done ? (ssize_t)done : result;
}

int brood_broadcast_put(struct brood_broadcast *broadcast, const void *data, size_t length,
			int64_t timeout)
{
	const struct brood_message message = {
		.data = (void *)(uintptr_t)data,
		.length = length,
	};
	struct broadcast_call call;
	ssize_t result = brood__broadcast_enter(broadcast, &call);

	if (brood__unlikely(result))
		return (int)result;
	result = put_all(&call, &message, 1, timeout);
	broadcast_leave(&call);
	return result > 0 ? 0 : (int)result;
}

/* Each message may wait: the timeout is that of all of them. */
static int64_t one_deadline(int64_t timeout)
{
	int64_t deadline = brood__deadline(timeout);

	return deadline == BROOD__NO_DEADLINE ? BROOD_FOREVER : brood_until(deadline);
}

ssize_t brood_broadcast_put_many(struct brood_broadcast *broadcast,
				 const struct brood_message *messages, size_t n, int64_t timeout)
{
	struct broadcast_call call;
	ssize_t result = brood__broadcast_enter(broadcast, &call);

	if (result)
		return result;
	if (!brood__no_wait(timeout))
		timeout = one_deadline(timeout);
	result = messages && n ? put_all(&call, messages, n, timeout) : -EINVAL;
	broadcast_leave(&call);
	return result;
}

int brood_broadcast_close(struct brood_broadcast *broadcast)
{
	struct broadcast_call call;
	int result = brood__broadcast_enter(broadcast, &call);

	if (result)
		return result;
	if (!is_closed(&call))
		result = brood__broadcast_produce(&call);
	if (result == 0) {
		/* D5, W1 */
		atomic_exchange_explicit(&broadcast->closed, 1, memory_order_seq_cst);
		sync_wake_all(&call.inside.segment->members, &broadcast->readers);
		sync_wake_all(&call.inside.segment->members, &broadcast->writers);
	}
	broadcast_leave(&call);
	return result;
}
