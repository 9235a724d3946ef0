/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subscribers' side of a broadcast; broadcast.c tells why it is right. */
#include "queue/broadcast.h"
#include "queue/sizes.h"

#define TRIES_AT_MOST 64	/* to find the oldest, while the producer goes on */

/* ---- subscriptions ---- */

static uint64_t position_of(const struct cursor *cursor)
{
	return atomic_load_explicit(&cursor->position, memory_order_relaxed);
}

static void move_cursor(const struct broadcast_call *call, uint64_t position)
{
	atomic_store_explicit(&my_cursor(call)->position, position, memory_order_release);	/* D2 */
}

static void tell_producer(const struct broadcast_call *call)
{
	if (!call->lossy)
		brood__notify_light(&call->inside.segment->members, &call->broadcast->writers);
}

/* The cursor, then its owner, then the tail from which on it counts: broadcast.c, "A newcomer". */
static void subscribe(const struct broadcast_call *call)
{
	struct cursor *cursor = my_cursor(call);

	brood__mask_set(call->broadcast->subscribers.mask, call->inside.me);
	move_cursor(call, true_tail(call));
	cursor->lost = cursor->missed = 0;
	cursor->streak = 0;
	atomic_store_explicit(&cursor->owner, call->token, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);	/* D4 */
	move_cursor(call, true_tail(call));
	tell_producer(call);
}

int brood_broadcast_subscribe(struct brood_broadcast *broadcast)
{
	struct broadcast_call call;
	int result = brood__broadcast_enter(broadcast, &call);

	if (result)
		return result;
	if (is_subscribed(&call))
		result = -EALREADY;
	else
		subscribe(&call);
	broadcast_leave(&call);
	return result;
}

int brood_broadcast_unsubscribe(struct brood_broadcast *broadcast)
{
	struct broadcast_call call;
	int result = brood__broadcast_enter(broadcast, &call);

	if (result)
		return result;
	if (is_subscribed(&call)) {
		atomic_store_explicit(&my_cursor(&call)->owner, 0, memory_order_release);
		tell_producer(&call);
		brood__mask_clear(broadcast->subscribers.mask, call.inside.me);
	} else {
		result = -ENOTCONN;
	}
	broadcast_leave(&call);
	return result;
}

/* ---- a message out of its slot ---- */

/* Words that may change meanwhile: the caller looks at the stamp again. */
static void copy_words(char *to, const _Atomic uint64_t *from, size_t length)
{
	uint64_t word;

	for (; length >= sizeof(word); length -= sizeof(word), to += sizeof(word)) {
		word = atomic_load_explicit(from++, memory_order_relaxed);
		memcpy(to, &word, sizeof(word));
	}
	if (length) {
		word = atomic_load_explicit(from, memory_order_relaxed);
		memcpy(to, &word, length);
	}
}

static bool is_still(const struct slot *slot, uint64_t stamp)
{
	atomic_thread_fence(memory_order_acquire);	/* D3 */
	return atomic_load_explicit(&slot->stamp, memory_order_relaxed) == stamp;
}

/*
 * Message `position`, copied to data unless that is NULL: its length, -EAGAIN (not there yet),
 * -EMSGSIZE, -EOVERFLOW (there no more), -EPROTO.
 */
static ssize_t read_message(const struct broadcast_call *call, uint64_t position, void *data,
			    size_t room)
{
	struct slot *slot = slot_at(call, position);
	uint64_t stamp = atomic_load_explicit(&slot->stamp, memory_order_acquire);	/* D1 */
	size_t length;

	if (stamp != stamp_of(position))
		return (int64_t)(stamp - stamp_of(position)) < 0 ? -EAGAIN : -EOVERFLOW;
	length = atomic_load_explicit(&slot->length, memory_order_relaxed);
	if (brood__unlikely(length > call->max_bytes))
		return call->lossy && !is_still(slot, stamp) ? -EOVERFLOW : -EPROTO;
	if (length > room)
		return call->lossy && !is_still(slot, stamp) ? -EOVERFLOW : -EMSGSIZE;
	if (!call->lossy) {
		if (length && data)
			memcpy(data, (const void *)slot->words, length);
		return (ssize_t)length;
	}
	copy_words(data, slot->words, length);
	return is_still(slot, stamp) ? (ssize_t)length : -EOVERFLOW;
}

/* ---- the caller's next message ---- */

struct taking {
	const struct broadcast_call *call;
	void *data;
	size_t size;
};

/*
 * The one at the cursor has been written over. The oldest that is still there may be written over
 * as well while we read it: each time we begin farther ahead.
 */
static ssize_t read_oldest(const struct taking *taking, uint64_t *position)
{
	const struct broadcast_call *call = taking->call;
	uint64_t ahead = 0, tail, at;
	ssize_t result = -EAGAIN;

	for (unsigned int tries = 0; tries < TRIES_AT_MOST; tries++) {
		tail = true_tail(call);
		at = tail - call->capacity + ahead;
		*position = (int64_t)(at - *position) > 0 ? at : *position + 1;
		result = read_message(call, *position, taking->data, taking->size);
		if (result != -EOVERFLOW)
			return result;
		ahead = 2 * ahead + 1 < call->capacity ? 2 * ahead + 1 : call->capacity - 1;
	}
	return -EAGAIN;
}

static ssize_t read_next(struct taking *taking)
{
	const struct broadcast_call *call = taking->call;
	struct cursor *cursor = my_cursor(call);
	uint64_t first = position_of(cursor), position = first;
	bool closed = is_closed(call);	/* D5: before the look */
	ssize_t result = read_message(call, position, taking->data, taking->size);

	if (brood__unlikely(result == -EOVERFLOW)) {
		if (!call->lossy)
			return -EPROTO;
		result = read_oldest(taking, &position);
		cursor->lost += position - first;
		cursor->missed += position - first;
		move_cursor(call, position);
	}
	return result == -EAGAIN && closed ? -EPIPE : result;
}

static ssize_t try_read(void *arg)
{
	struct taking *taking = arg;
	ssize_t result = read_next(taking);

	return result == -EAGAIN && broadcast_destroyed(taking->call) ? -ESTALE : result;
}

static ssize_t wait_and_read(struct taking *taking, int64_t timeout)
{
	const struct broadcast_call *call = taking->call;
	struct cursor *cursor = my_cursor(call);
	const struct brood__wait wait = {
		.members = &call->inside.segment->members,
		.list = &call->broadcast->readers,
		.timeout = timeout,
		.light = true,
		.me = call->inside.me,
		.gather = cursor->streak ? gather_for(call->capacity, GET_GATHER_MOST) : 0,
	};

	cursor->streak = 0;
	return brood__wait(&wait, try_read, taking);
}

/* Waits, and leaves the cursor at the message that was read. */
static ssize_t read_first(struct taking *taking, int64_t timeout)
{
	struct cursor *cursor = my_cursor(taking->call);
	ssize_t result;

	if (brood__unlikely(!is_subscribed(taking->call)))
		return -ENOTCONN;
	result = read_next(taking);
	if (brood__likely(result >= 0))
		cursor->streak = 1;
	else if (result == -EAGAIN)
		result = wait_and_read(taking, timeout);
	return result;
}

static void take(const struct broadcast_call *call, uint64_t messages)
{
	struct cursor *cursor = my_cursor(call);

	cursor->missed = 0;
	move_cursor(call, position_of(cursor) + messages);
	tell_producer(call);
}

/* ---- calls ---- */

ssize_t brood_broadcast_get_lost(struct brood_broadcast *broadcast, void *data, size_t size,
				 uint64_t *lost, int64_t timeout)
{
	struct broadcast_call call;
	ssize_t result = brood__broadcast_enter(broadcast, &call);
	struct taking taking = { &call, data, size };

	if (brood__unlikely(result))
		return result;
	if (brood__unlikely(!data && size))
		result = -EINVAL;
	else
		result = read_first(&taking, timeout);
	if (brood__likely(result >= 0)) {
		if (lost)
			*lost = my_cursor(&call)->missed;
		take(&call, 1);
	}
	broadcast_leave(&call);
	return result;
}

ssize_t brood_broadcast_get(struct brood_broadcast *broadcast, void *data, size_t size,
			    int64_t timeout)
{
	return brood_broadcast_get_lost(broadcast, data, size, NULL, timeout);
}

static ssize_t get_many(const struct broadcast_call *call, struct brood_message *messages, size_t n,
			int64_t timeout)
{
	uint64_t first;
	ssize_t result;
	size_t done = 0;

	for (size_t i = 0; i < n; i++)
		if (!messages[i].data && messages[i].size)
			return -EINVAL;
	result = read_first(&(struct taking){ call, messages->data, messages->size }, timeout);
	first = position_of(my_cursor(call));
	while (result >= 0) {
		messages[done].length = (size_t)result;
		messages[done].flags = 0;
		if (++done == n)
			break;
		result = read_message(call, first + done, messages[done].data, messages[done].size);
	}
	if (done)
		take(call, done);
	return done ? (ssize_t)done : result;
}

ssize_t brood_broadcast_get_many(struct brood_broadcast *broadcast, struct brood_message *messages,
				 size_t n, int64_t timeout)
{
	struct broadcast_call call;
	ssize_t result = brood__broadcast_enter(broadcast, &call);

	if (result)
		return result;
	result = messages && n ? get_many(&call, messages, n, timeout) : -EINVAL;
	broadcast_leave(&call);
	return result;
}

int brood_broadcast_lease(struct brood_broadcast *broadcast, struct brood_message *message,
			  int64_t timeout)
{
	struct broadcast_call call;
	ssize_t result = brood__broadcast_enter(broadcast, &call);

	if (result)
		return (int)result;
	if (!message)
		result = -EINVAL;
	else if (call.lossy)
		result = -ENOTSUP;
	else
		result = read_first(&(struct taking){ &call, NULL, SIZE_MAX }, timeout);
	if (result >= 0) {
		uint64_t position = position_of(my_cursor(&call));

		*message = (struct brood_message){
			.data = (void *)slot_at(&call, position)->words,
			.size = (size_t)result,
			.length = (size_t)result,
			.buffer = (uint32_t)position,
		};
		result = 0;
	}
	broadcast_leave(&call);
	return (int)result;
}

static int release(const struct broadcast_call *call, struct brood_message *message)
{
	uint64_t position = position_of(my_cursor(call));

	if (!is_subscribed(call))
		return -ENOTCONN;
	if (!message || message->data != (void *)slot_at(call, position)->words ||
	    message->buffer != (uint32_t)position ||
	    load_stamp(call, position) != stamp_of(position))
		return -EINVAL;
	take(call, 1);
	*message = (struct brood_message){ .data = NULL };
	return 0;
}

int brood_broadcast_release(struct brood_broadcast *broadcast, struct brood_message *message)
{
	struct broadcast_call call;
	int result = brood__broadcast_enter(broadcast, &call);

	if (result)
		return result;
	result = release(&call, message);
	broadcast_leave(&call);
	return result;
}
