/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Buffers by reference: a block of the arena whose first lines say who owns it.
 *
 * Usage. A buffer has some owner words. Each one that is not 0 is a reference:
 *
 *	token			of the member whose it is (member.h); its low 16 bits are 0
 *	{ queue:36 | generation of the queue:4 | buffer of the queue:20 | 1:4 }
 *				under way in that buffer of that queue, whose bytes say { which
 *				buffer, which word }; in a queue of one and one, at a position
 *				that ends in these 20 bits, in place of a buffer
 *
 * and moves by one CAS of its word, while the queue's buffer that carries it is the mover's alone:
 *
 *	put   reserve b;  write { buffer, i } into b;  owner[i]: me -> (queue, b);  commit b
 *	get   lease b;  b is RESERVED (that acknowledges the message);  owner[i]: (queue, b) -> me;
 *	      give b back
 *
 * In a queue of one and one (spsc_ring.c) put is the same with the position p at the tail, and
 *
 *	get   lease p;  owner[i]: (queue, p) -> me;  release p
 *
 * Invariants.
 * G1 A word (queue, b) is a reference as long as b carries the message, or is somebody's alone who
 *    is in one of these calls. So who gives b back must have taken the word before; nobody asks b.
 * G2 When all words are 0 they stay 0: only who has one stores another, and counts that in `life`
 *    before it gives up its own. A look that finds all words 0, one after the other, may have
 *    missed a reference that moved from a later word to an earlier one; then `life` has changed.
 * G3 life = { generation of the block | references ever added } turns by one CAS into { who frees
 *    it }, and whoever did that, or the sweep after its death, and nobody else, retires the block.
 *    Who drops a word may be stopped right behind it while another frees the block, and somebody
 *    has it for something else: so it reads the generation while the word still stands, and does no
 *    more when `life` shows another.
 *
 * Dying inside. The sweep of a queue frees the buffers that were the dead one's; if one of them was
 * RESERVED, or offered and not yet swapped in, and carries a reference, that is dropped first: the
 * death was between the CAS of put and its commit, or between the acknowledgement and the CAS of
 * get, which is the same as right after it. A LEASED one is delivered again, its word still says
 * (queue, b). The sweep of a buffer drops the words of the dead member, in ascending order (G2),
 * and those of a queue that is no more. In a queue of one and one who takes the seat of a dead
 * member comes before anybody who writes there: a producer drops what is under way at the tail,
 * which was not put; a consumer passes over a message at the head that has been seen, and whose
 * reference is not under way any more: the dead one had got it. (Until then that one is counted;
 * and what was to be put when the queue was closed stays until it is destroyed.) Whoever drops the
 * last word frees the block, and if it dies before that, then the sweep finds all words 0, or
 * `life` naming the dead.
 *
 * A hostile peer of a named segment can write whatever it likes into words and messages: indices
 * and offsets are bounded, and a reference is believed only if message and word agree.
 *
 * Edges (doc/memory-model.md). What was written before put is seen behind get by way of the queue
 * (Q1, Q2). G1: the CAS that drops a word releases what its owner did with the bytes; who finds all
 * words 0 acquires that, and frees. G2, G3: words and life are seq_cst.
 */
#include <errno.h>

#include <brood/buffer.h>

#include "queue/buffer_ref.h"
#include "queue/kinds.h"

#define MAGIC 0x62756666657200ull	/* "buffer", and the index of the word */
#define IN_QUEUE 1u			/* in the low 4 bits of a word */
#define FREED (1ull << 63)
#define LOOKS_AT_MOST 1000		/* at the words: an enemy may change them again and again */

struct brood_buffer {
	struct brood__object object;
	uint64_t bytes;
	_Atomic uint64_t life;	/* G3: { generation:31 | added:32 }, or FREED and a token's upper part */
	_Atomic uint64_t owners[BROOD_BUFFER_OWNERS];
};

_Static_assert(sizeof(struct brood_buffer) % BROOD__LINE == 0, "the bytes begin a line");

struct reference {		/* a message */
	uint64_t buffer;	/* as brood_ref gives it */
	uint64_t word;		/* MAGIC | which */
};

_Static_assert(sizeof(struct reference) == BROOD_BUFFER_MESSAGE, "as the public header says");

/* ---- words ---- */

static uint64_t load(const struct brood_buffer *buffer, uint32_t i)
{
	return atomic_load_explicit(&buffer->owners[i], memory_order_seq_cst);	/* G1, G2 */
}

static bool change(struct brood_buffer *buffer, uint32_t i, uint64_t from, uint64_t to)
{
	/* G1, G2 */
	return atomic_compare_exchange_strong_explicit(&buffer->owners[i], &from, to,
						       memory_order_seq_cst, memory_order_relaxed);
}

static uint64_t token_in(struct brood_segment *segment, int id)
{
	return brood__token_of(&segment->members, (uint32_t)id);
}

static bool is_token(uint64_t word)
{
	return word && (word & ~BROOD__TOKEN_MASK) == 0;
}

/* The queue alone, and with one of its buffers. */
static uint64_t home(const struct brood_segment *segment, const struct brood_queue *queue)
{
	const struct brood__block *block = (const struct brood__block *)(const void *)queue - 1;
	uint64_t generation = atomic_load_explicit(&block->generation, memory_order_relaxed);

	return brood__offset(segment, queue) / BROOD__LINE << 28 | (generation & 15) << 24 |
	       IN_QUEUE;
}

static uint64_t in_queue(const struct brood_segment *segment, const struct brood_queue *queue,
			 uint32_t buffer)
{
	return home(segment, queue) | (uint64_t)buffer << 4;
}

/* A buffer of the queue, or the end of a position. */
static uint32_t carrier_of(const struct brood_message *message)
{
	return message->buffer & NO_BUFFER;
}

static uint64_t home_of(uint64_t word)
{
	return word & ~((uint64_t)NO_BUFFER << 4);
}

static bool queue_lives(const struct brood_segment *segment, uint64_t word)
{
	uint64_t offset = (word >> 28) * BROOD__LINE;
	struct brood__block *block;

	if (offset < segment->heap_at || offset >= segment->bytes)
		return false;
	block = brood__block_of(segment, brood__at(segment, offset));
	return block && brood__block_state(block) == BROOD__LIVE &&
	       brood__object_alive(segment, block + 1, BROOD__KIND_QUEUE) &&
	       home(segment, (const void *)(block + 1)) == home_of(word);
}

static int word_of(const struct brood_buffer *buffer, uint64_t token)
{
	for (uint32_t i = 0; i < BROOD_BUFFER_OWNERS; i++)
		if (load(buffer, i) == token)
			return (int)i;
	return -EINVAL;
}

/* ---- the end of a buffer ---- */

static uint64_t life_of(const struct brood_buffer *buffer)
{
	return atomic_load_explicit(&buffer->life, memory_order_seq_cst);	/* G2, G3 */
}

static bool all_zero(const struct brood_buffer *buffer)
{
	for (uint32_t i = 0; i < BROOD_BUFFER_OWNERS; i++)
		if (load(buffer, i))
			return false;
	return true;
}

/* G3: by who has made `life` name it, or by the sweep of that one. */
static void retire(struct brood_segment *segment, struct brood_buffer *buffer)
{
	uint64_t live = brood__magic(BROOD__KIND_BUFFER, brood__offset(segment, buffer));

	atomic_store_explicit(&buffer->object.magic, ~live, memory_order_release);	/* A7 */
	if (brood__block_retire(segment, buffer))
		brood__block_part(segment, buffer);
}

/* By whoever has dropped a word, and seen `life` before. */
static void free_unowned(struct brood_segment *segment, struct brood_buffer *buffer, uint64_t seen)
{
	int id = brood__member_id(&segment->members);
	uint64_t life;

	for (unsigned int looks = 0; id >= 0 && looks < LOOKS_AT_MOST; looks++) {
		life = life_of(buffer);
		if (life >> 32 != seen >> 32 || !all_zero(buffer))
			return;
		if (atomic_compare_exchange_strong(&buffer->life, &life,	/* G2, G3 */
						   FREED | token_in(segment, id) >> 16)) {
			retire(segment, buffer);
			return;
		}
	}
}

static void sweep(struct brood_segment *segment, void *object, uint32_t member, bool clean)
{
	struct brood_buffer *buffer = object;
	uint64_t life = life_of(buffer);

	(void)clean;
	if (life & FREED) {
		if (brood__token_gone(&segment->members, life << 16))
			retire(segment, buffer);
		return;
	}
	for (uint32_t i = 0; i < BROOD_BUFFER_OWNERS; i++) {
		uint64_t word = load(buffer, i);

		if (is_token(word) ? brood__token_id(word) == member :
				     word && !queue_lives(segment, word))
			change(buffer, i, word, 0);
	}
	free_unowned(segment, buffer, life);
}

static size_t size_of(const struct brood_segment *segment, const struct brood_buffer *buffer)
{
	size_t bytes = *(const volatile uint64_t *)&buffer->bytes;
	size_t most = segment->bytes - brood__offset(segment, buffer) - sizeof(*buffer);

	return bytes < most ? bytes : most;
}

static bool is_sound(const struct brood_segment *segment, const void *object, size_t bytes)
{
	const struct brood_buffer *buffer = object;

	(void)segment;
	return bytes >= sizeof(*buffer) && buffer->bytes <= bytes - sizeof(*buffer);
}

const struct brood__kind_ops brood__buffer_kind = { .sweep = sweep, .sound = is_sound };

/* ---- buffers ---- */

static void fill(void *object, const void *shape)
{
	struct brood_buffer *buffer = object;
	const struct brood__block *block = (const struct brood__block *)object - 1;
	uint64_t generation = atomic_load_explicit(&block->generation, memory_order_relaxed);

	*buffer = *(const struct brood_buffer *)shape;
	atomic_store_explicit(&buffer->life, (generation << 32) & ~FREED, memory_order_relaxed);
}

struct brood_buffer *brood_buffer_create(struct brood_segment *segment, size_t bytes)
{
	struct brood_buffer shape = { .bytes = bytes };
	int id;

	segment = brood__segment(segment);
	if (!segment)
		return NULL;
	id = brood__member_id(&segment->members);
	if (id < 0 || bytes == 0 || bytes > segment->bytes) {
		errno = id < 0 ? -id : bytes ? ENOSPC : EINVAL;
		return NULL;
	}
	atomic_store_explicit(&shape.owners[0], token_in(segment, id), memory_order_relaxed);
	return brood__object_make(segment, BROOD__KIND_BUFFER, NULL, sizeof(shape) + bytes,
				  sizeof(shape) + bytes, fill, &shape);
}

/* The segment of a buffer that lives, or NULL and an error. */
static struct brood_segment *segment_of(const struct brood_buffer *buffer, int *error)
{
	struct brood_segment *segment;

	*error = brood__object_place(buffer, &segment);
	if (*error)
		return NULL;
	if (brood__object_alive(segment, buffer, BROOD__KIND_BUFFER))
		return segment;
	*error = brood__object_gone(segment, buffer, BROOD__KIND_BUFFER);
	return NULL;
}

void *brood_buffer_data(struct brood_buffer *buffer)
{
	int error;

	if (segment_of(buffer, &error))
		return buffer + 1;
	errno = -error;
	return NULL;
}

ssize_t brood_buffer_size(struct brood_buffer *buffer)
{
	int error;
	const struct brood_segment *segment = segment_of(buffer, &error);

	return segment ? (ssize_t)size_of(segment, buffer) : error;
}

/* A word that is free, or was that of a member which is gone. */
static int take_word(const struct brood__call *call, uint64_t token)
{
	struct brood_buffer *buffer = call->object;

	for (uint32_t i = 0; i < BROOD_BUFFER_OWNERS; i++) {
		uint64_t word = load(buffer, i);
		bool gone = is_token(word) &&
			    brood__token_gone(&call->segment->members, word);

		if ((!word || gone) && change(buffer, i, word, token))
			return 0;
	}
	return -EMLINK;
}

int brood_buffer_share(struct brood_buffer *buffer)
{
	struct brood__call call;
	int result = brood__object_enter(buffer, BROOD__KIND_BUFFER, &call);
	uint64_t token;

	if (result)
		return result;
	token = brood__object_token(&call);
	result = word_of(buffer, token);
	if (result >= 0)
		result = take_word(&call, token);
	if (result == 0)
		atomic_fetch_add_explicit(&buffer->life, 1, memory_order_seq_cst);	/* G2 */
	brood__object_leave(&call);
	return result;
}

int brood_buffer_release(struct brood_buffer *buffer)
{
	struct brood__call call;
	int result = brood__object_enter(buffer, BROOD__KIND_BUFFER, &call);
	uint64_t token, life;

	if (result)
		return result;
	token = brood__object_token(&call);
	result = word_of(buffer, token);
	if (result >= 0) {
		life = life_of(buffer);
		change(buffer, (uint32_t)result, token, 0);
		free_unowned(call.segment, buffer, life);
		result = 0;
	}
	brood__object_leave(&call);
	return result;
}

/* ---- by queue ---- */

/* The queue is no more: nor is what was under way in it. */
static void give_up(struct brood_buffer *buffer, uint32_t i, uint64_t word)
{
	struct brood__call call;
	uint64_t life;

	if (brood__object_enter(buffer, BROOD__KIND_BUFFER, &call))
		return;
	life = life_of(buffer);
	if (change(buffer, i, word, 0))
		free_unowned(call.segment, buffer, life);
	brood__object_leave(&call);
}

static int put_reserved(struct brood_queue *queue, struct brood_buffer *buffer,
			struct brood_segment *segment, struct brood_message *message,
			int64_t timeout)
{
	uint64_t token = token_in(segment, brood__member_id(&segment->members));
	uint64_t under_way = in_queue(segment, queue, carrier_of(message));
	int i = word_of(buffer, token), result;
	struct reference reference;

	if (message->size < sizeof(reference))
		return -EMSGSIZE;
	if (queue->joinable)
		return -ENOTSUP;
	if (i < 0)
		return i;
	reference = (struct reference){ brood_ref(segment, buffer), MAGIC | (uint32_t)i };
	memcpy(message->data, &reference, sizeof(reference));
	message->length = sizeof(reference);
	if (!change(buffer, (uint32_t)i, token, under_way))
		return -EINVAL;
	result = brood_queue_commit(queue, message, timeout);
	if (result == -ESTALE)
		give_up(buffer, (uint32_t)i, under_way);
	else if (result)
		change(buffer, (uint32_t)i, under_way, token);
	return result;
}

int brood_queue_put_buffer(struct brood_queue *queue, struct brood_buffer *buffer, int64_t timeout)
{
	struct brood_message message;
	struct brood_segment *segment;
	int result;

	segment = segment_of(buffer, &result);
	if (!segment)
		return result;
	if (!queue || brood__segment_of(queue) != segment)
		return queue ? -EXDEV : -EINVAL;
	result = brood_queue_reserve(queue, &message);
	if (result)
		return result;
	result = put_reserved(queue, buffer, segment, &message, timeout);
	if (result)
		brood_queue_abort(queue, &message);
	return result;
}

/*
 * The buffer that a message refers to, by which word; NULL if it is no reference that is under way
 * in this buffer of the queue.
 */
static struct brood_buffer *referred(struct brood_segment *segment, const struct brood_queue *queue,
				     uint32_t carrier, const void *bytes, uint32_t *i)
{
	struct reference reference;
	struct brood_buffer *buffer;
	struct brood__block *block;

	memcpy(&reference, bytes, sizeof(reference));
	*i = (uint32_t)(reference.word & 0xff);
	if ((reference.word & ~(uint64_t)0xff) != MAGIC || *i >= BROOD_BUFFER_OWNERS)
		return NULL;
	buffer = brood_deref(segment, reference.buffer);
	if (!buffer)
		return NULL;
	block = (struct brood__block *)(void *)buffer - 1;
	if (atomic_load_explicit(&block->kind, memory_order_relaxed) != BROOD__KIND_BUFFER ||
	    brood__block_bytes(block) < sizeof(*block) + sizeof(*buffer) ||
	    load(buffer, *i) != in_queue(segment, queue, carrier))
		return NULL;
	return buffer;
}

/* In a queue of one and one, where release is what acknowledges. */
static int take_single(struct brood_queue *queue, struct brood_message *message,
		       struct brood_buffer *buffer, uint32_t i)
{
	struct brood_segment *segment = brood__segment_of(queue);
	bool taken = change(buffer, i, in_queue(segment, queue, carrier_of(message)),
			    token_in(segment, brood__member_id(&segment->members)));
	int result = brood_queue_release(queue, message);

	return taken ? 0 : result ? result : -EPROTO;
}

/* A leased message, to its buffer. */
static int take_leased(struct brood_queue *queue, struct brood_message *message,
		       struct brood_buffer **buffer)
{
	struct brood_segment *segment = brood__segment_of(queue);
	uint32_t i, carrier = carrier_of(message);
	int result;

	*buffer = message->length == sizeof(struct reference) ?
			  referred(segment, queue, carrier, message->data, &i) : NULL;
	if (!*buffer || queue->joinable) {
		brood_queue_return(queue, message);
		return *buffer ? -ENOTSUP : -EBADMSG;
	}
	if (queue->single)
		return take_single(queue, message, *buffer, i);
	result = brood__queue_keep_leased(queue, message);
	if (result == 0 && !change(*buffer, i, in_queue(segment, queue, carrier),
				   token_in(segment, brood__member_id(&segment->members))))
		result = -EPROTO;
	if (result == 0 || result == -EPROTO)
		brood_queue_abort(queue, message);
	return result;
}

int brood_queue_get_buffer(struct brood_queue *queue, struct brood_buffer **buffer, int64_t timeout)
{
	struct brood_message message;
	int result = buffer ? brood_queue_lease(queue, &message, timeout) : -EINVAL;

	if (result == 0)
		result = take_leased(queue, &message, buffer);
	if (result && buffer)
		*buffer = NULL;
	return result;
}

/* ---- for the rest of the queue ---- */

void brood__reference_drop(struct brood_segment *segment, struct brood_queue *queue,
			   uint32_t carrier, const void *bytes)
{
	struct brood_buffer *buffer;
	uint64_t life;
	uint32_t i;

	if (queue->max_bytes < sizeof(struct reference))
		return;
	buffer = referred(segment, queue, carrier, bytes, &i);
	if (!buffer)
		return;
	life = life_of(buffer);
	if (change(buffer, i, in_queue(segment, queue, carrier), 0))
		free_unowned(segment, buffer, life);
}

bool brood__reference_taken(struct brood_segment *segment, const struct brood_queue *queue,
			    uint32_t carrier, const void *bytes)
{
	struct reference reference;
	uint32_t i;

	memcpy(&reference, bytes, sizeof(reference));
	return (reference.word & ~(uint64_t)0xff) == MAGIC &&
	       !referred(segment, queue, carrier, bytes, &i);
}

void brood__references_forget(struct brood_segment *segment, struct brood_queue *queue)
{
	for (struct brood__block *block = brood__block_first(segment); block;
	     block = brood__block_next(segment, block)) {
		struct brood_buffer *buffer = brood__block_content(block);

		if (brood__block_state(block) != BROOD__LIVE ||
		    atomic_load_explicit(&block->kind, memory_order_relaxed) !=
			    BROOD__KIND_BUFFER ||
		    brood__block_bytes(block) < sizeof(*block) + sizeof(*buffer))
			continue;
		for (uint32_t i = 0; i < BROOD_BUFFER_OWNERS; i++) {
			uint64_t life = life_of(buffer), word = load(buffer, i);

			if (!is_token(word) && word && home_of(word) == home(segment, queue) &&
			    change(buffer, i, word, 0))
				free_unowned(segment, buffer, life);
		}
	}
}
