/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring of bytes as an object: the public calls. What happens in the ring, and to who dies in it,
 * is told in ring_bytes.c; create and destroy: object.h.
 *
 * get releases the message with its last store, so a reader that dies before it leaves the message
 * to others. A handle of reserve and lease is believed only if the entry says the same.
 */
#include <string.h>

#include "queue/kinds.h"
#include "queue/ring.h"

struct call {
	struct brood__call inside;
	struct bytes bytes;
};

struct claiming {
	const struct call *call;
	size_t length;
	struct place place;
};

struct reading {
	const struct call *call;
	struct taking taking;
};

static void be_waited_for(void) __attribute__((constructor));
static void be_waited_for(void)
{
	brood__waitable_register(BROOD_WAIT_RING, &brood__ring_waitable);
}

static uint32_t granules_in(const struct brood_ring *ring)
{
	return atomic_load_explicit(&ring->bytes.granules, memory_order_relaxed);
}

static void sweep(struct brood_segment *segment, void *object, uint32_t member, bool clean)
{
	struct brood_ring *ring = object;
	struct bytes bytes;

	(void)clean;
	if (brood__object_swept(segment, ring, BROOD__KIND_RING) &&
	    bytes_see(&bytes, segment, &ring->bytes, granules_in(ring), 0) == 0)
		brood__bytes_sweep(&bytes, member);
}

static bool is_sound(const struct brood_segment *segment, const void *object, size_t bytes)
{
	const struct brood_ring *ring = object;
	uint32_t n;

	(void)segment;
	if (bytes < sizeof(*ring))
		return false;
	n = granules_in(ring);
	return n >= 2 && n <= GRANULES_MAX &&
	       offsetof(struct brood_ring, bytes) + bytes_size(n) <= bytes;
}

const struct brood__kind_ops brood__ring_kind = { .sweep = sweep, .sound = is_sound };

/* ---- create, open, destroy ---- */

static void fill(void *object, const void *shape)
{
	brood__bytes_shape(&((struct brood_ring *)object)->bytes, *(const uint32_t *)shape);
}

struct brood_ring *brood_ring_create(const struct brood_ring_opts *given)
{
	struct brood_ring_opts opts;
	struct brood_segment *segment;
	int result = given ? brood__options(&opts, sizeof(opts), given) : -EINVAL;
	uint32_t granules = 0;
	size_t size;

	if (result == 0) {
		granules = opts.bytes ? bytes_granules(opts.bytes) : 0;
		result = granules ? 0 : -EINVAL;
	}
	if (result) {
		errno = -result;
		return NULL;
	}
	segment = brood__segment(opts.segment);
	if (!segment)
		return NULL;
	size = offsetof(struct brood_ring, bytes) + bytes_size(granules);
	return brood__object_make(segment, BROOD__KIND_RING, opts.name, size, size, fill, &granules);
}

struct brood_ring *brood_ring_open(struct brood_segment *segment, const char *name)
{
	segment = brood__segment(segment);
	return segment ? brood__object_find(segment, BROOD__KIND_RING, name) : NULL;
}

/* ---- entering a call ---- */

static inline int enter(struct brood_ring *ring, struct call *call)
{
	int result = brood__object_enter(ring, BROOD__KIND_RING, &call->inside);

	if (brood__unlikely(result))
		return result;
	result = bytes_see(&call->bytes, call->inside.segment, &ring->bytes, granules_in(ring),
			   call->inside.me);
	if (brood__unlikely(result))
		brood__object_leave(&call->inside);
	return result;
}

static inline void leave(const struct call *call)
{
	brood__object_leave(&call->inside);
}

static bool alive(const struct call *call)
{
	return brood__object_alive(call->inside.segment, call->inside.object, BROOD__KIND_RING);
}

int brood_ring_destroy(struct brood_ring *ring)
{
	struct call call;
	int result = enter(ring, &call);

	return result ? result : brood__object_destroy(&call.inside, BROOD__KIND_RING, NULL);
}

int brood_ring_close(struct brood_ring *ring)
{
	struct call call;
	int result = enter(ring, &call);

	if (result)
		return result;
	result = brood__bytes_close(&call.bytes);
	if (result == 0)
		brood__wake_sleepers(&call.inside.segment->members);
	leave(&call);
	return result;
}

/* ---- put ---- */

static ssize_t try_claim(void *arg)
{
	struct claiming *claiming = arg;

	return alive(claiming->call) ? brood__bytes_claim(&claiming->call->bytes, claiming->length,
							  &claiming->place) : -ESTALE;
}

static int claim(struct claiming *claiming, int64_t timeout)
{
	const struct bytes *bytes = &claiming->call->bytes;
	struct brood__wait wait;
	int result;

	if (brood__unlikely(claiming->length > bytes_capacity(bytes)))
		return -EMSGSIZE;
	result = brood__bytes_claim(bytes, claiming->length, &claiming->place);
	if (brood__likely(result == 0)) {
		bytes_at_once(&bytes->ring->put_streak);
		return 0;
	}
	if (result != -EAGAIN)
		return result;
	wait = brood__bytes_writing(bytes, claiming->length, timeout);
	return (int)brood__wait(&wait, try_claim, claiming);
}

int brood_ring_put(struct brood_ring *ring, const void *data, size_t length, int64_t timeout)
{
	struct call call;
	struct claiming claiming = { &call, length, { 0, 0 } };
	int result = enter(ring, &call);

	if (brood__unlikely(result))
		return result;
	result = data || !length ? claim(&claiming, timeout) : -EINVAL;
	if (brood__likely(result == 0)) {
		if (length)
			memcpy(bytes_at(&call.bytes, claiming.place.position), data, length);
		brood__bytes_commit(&call.bytes, &claiming.place, 0, length);
	}
	leave(&call);
	return result;
}

/* ---- get ---- */

static ssize_t try_take(void *arg)
{
	struct reading *reading = arg;

	return alive(reading->call) ? brood__bytes_take(&reading->call->bytes, &reading->taking) :
				      -ESTALE;
}

static int take(struct reading *reading, int64_t timeout)
{
	const struct bytes *bytes = &reading->call->bytes;
	struct brood__wait wait;
	int result = brood__bytes_take(bytes, &reading->taking);

	if (brood__likely(result == 0)) {
		bytes_at_once(&bytes->ring->get_streak);
		return 0;
	}
	if (result == -EAGAIN && brood__no_wait(timeout)) {
		/* What a dead member had counts as being in the ring, whoever sweeps it. */
		brood__member_sweep(&bytes->segment->members);
		result = brood__bytes_take(bytes, &reading->taking);
	}
	if (result != -EAGAIN)
		return result;
	wait = brood__bytes_reading(bytes, timeout);
	return (int)brood__wait(&wait, try_take, reading);
}

static uint32_t flags_of(const struct place *place)
{
	return place->word & BYTES_AGAIN ? BROOD_REDELIVERED : 0;
}

ssize_t brood_ring_get_flags(struct brood_ring *ring, void *data, size_t size, uint32_t *flags,
			     int64_t timeout)
{
	struct call call;
	struct reading reading = { &call, { .room = size, .tags = 1 } };
	const struct place *place = &reading.taking.place;
	ssize_t result = enter(ring, &call);

	if (brood__unlikely(result))
		return result;
	result = data || !size ? take(&reading, timeout) : -EINVAL;
	if (brood__likely(result == 0)) {
		result = (ssize_t)note_length(reading.taking.note);
		if (result)
			memcpy(data, bytes_at(&call.bytes, place->position), (size_t)result);
		if (flags)
			*flags = flags_of(place);
		brood__bytes_release(&call.bytes, place);
	}
	leave(&call);
	return result;
}

ssize_t brood_ring_get(struct brood_ring *ring, void *data, size_t size, int64_t timeout)
{
	return brood_ring_get_flags(ring, data, size, NULL, timeout);
}

/* ---- in place ---- */

static void show(const struct bytes *bytes, const struct place *place, struct brood_message *message)
{
	message->data = bytes_at(bytes, place->position);
	message->size = (size_t)word_granules(bytes, place->word) * GRANULE;
	message->buffer = index_of(bytes, place->position);
	message->flags = flags_of(place);
}

int brood_ring_reserve(struct brood_ring *ring, size_t size, struct brood_message *message,
		       int64_t timeout)
{
	struct call call;
	struct claiming claiming = { &call, size, { 0, 0 } };
	int result = enter(ring, &call);

	if (brood__unlikely(result))
		return result;
	result = message ? claim(&claiming, timeout) : -EINVAL;
	if (brood__likely(result == 0)) {
		show(&call.bytes, &claiming.place, message);
		message->size = message->length = size;
	}
	leave(&call);
	return result;
}

int brood_ring_lease(struct brood_ring *ring, struct brood_message *message, int64_t timeout)
{
	struct call call;
	struct reading reading = { &call, { .room = SIZE_MAX, .tags = 1 } };
	int result = enter(ring, &call);

	if (brood__unlikely(result))
		return result;
	result = message ? take(&reading, timeout) : -EINVAL;
	if (brood__likely(result == 0)) {
		show(&call.bytes, &reading.taking.place, message);
		message->length = note_length(reading.taking.note);
	}
	leave(&call);
	return result;
}

/* The place that a handle names, if it is the caller's and in this state. */
static bool held(const struct bytes *bytes, const struct brood_message *message,
		 enum bytes_state state, struct place *place)
{
	uint64_t head = atomic_load_explicit(&bytes->ring->head, memory_order_relaxed);
	uint64_t word, lap;

	if (!message || message->buffer >= bytes->granules ||
	    message->data != bytes->data + (size_t)message->buffer * GRANULE)
		return false;
	word = atomic_load_explicit(&bytes->entries[message->buffer].word, memory_order_relaxed);
	lap = lap_of(bytes, head) + (uint64_t)word_later(bytes, word, head);
	*place = (struct place){ lap << bytes->bits | message->buffer, word };
	return word_state(word) == state && word_owner(word) == bytes->me + 1;
}

static int let_go(struct brood_ring *ring, struct brood_message *message, enum bytes_state state,
		  void (*how)(const struct bytes *bytes, const struct place *place))
{
	struct call call;
	struct place place;
	int result = enter(ring, &call);

	if (brood__unlikely(result))
		return result;
	if (brood__likely(held(&call.bytes, message, state, &place))) {
		how(&call.bytes, &place);
		message->data = NULL;
		message->size = 0;
	} else {
		result = -EINVAL;
	}
	leave(&call);
	return result;
}

int brood_ring_commit(struct brood_ring *ring, struct brood_message *message)
{
	struct call call;
	struct place place;
	int result = enter(ring, &call);

	if (brood__unlikely(result))
		return result;
	if (brood__unlikely(!held(&call.bytes, message, BYTES_CLAIMED, &place)))
		result = -EINVAL;
	else if (brood__unlikely(message->length >
				 (size_t)word_granules(&call.bytes, place.word) * GRANULE))
		result = -EMSGSIZE;
	if (brood__likely(result == 0)) {
		brood__bytes_commit(&call.bytes, &place, 0, message->length);
		message->data = NULL;
		message->size = 0;
	}
	leave(&call);
	return result;
}

int brood_ring_abort(struct brood_ring *ring, struct brood_message *message)
{
	return let_go(ring, message, BYTES_CLAIMED, brood__bytes_abort);
}

int brood_ring_release(struct brood_ring *ring, struct brood_message *message)
{
	return let_go(ring, message, BYTES_LEASED, brood__bytes_release);
}

/* ---- asking ---- */

/* A message is looked at by taking it into no room: all are longer but the empty one. */
ssize_t brood_ring_next_length(struct brood_ring *ring)
{
	struct call call;
	struct reading reading = { &call, { .tags = 0 } };
	ssize_t result = enter(ring, &call);

	if (result)
		return result;
	result = take(&reading, 0);
	if (result == -EBUSY)
		result = (ssize_t)note_length(reading.taking.note);
	leave(&call);
	return result;
}

enum question { COUNT, USED, CAPACITY, CLOSED };

static ssize_t ask(struct brood_ring *ring, enum question question)
{
	struct call call;
	ssize_t result = enter(ring, &call);

	if (result)
		return result;
	if (question == COUNT || question == USED)	/* what the dead had is put right first */
		brood__member_sweep(&call.inside.segment->members);
	switch (question) {
	case COUNT:
		result = (ssize_t)brood__bytes_count(&call.bytes);
		break;
	case USED:
		result = (ssize_t)(brood__bytes_used(&call.bytes) * GRANULE);
		break;
	case CAPACITY:
		result = (ssize_t)bytes_capacity(&call.bytes);
		break;
	case CLOSED:
		result = brood__bytes_closed(&call.bytes);
		break;
	}
	leave(&call);
	return result;
}

ssize_t brood_ring_count(struct brood_ring *ring)
{
	return ask(ring, COUNT);
}

ssize_t brood_ring_used(struct brood_ring *ring)
{
	return ask(ring, USED);
}

ssize_t brood_ring_capacity(struct brood_ring *ring)
{
	return ask(ring, CAPACITY);
}

int brood_ring_closed(struct brood_ring *ring)
{
	return (int)ask(ring, CLOSED);
}
