/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The user's side of the heap: memory, references, figures; and the repair of what a dead member
 * left in a segment.
 *
 * reference = { generation of the block:20 | tag of the segment:8 | offset in lines:36 }
 *
 * A reference is checked on the way back: the tag must be the segment's, a block must begin there
 * and be live, and be the same one that was referred to: its generation counts how often it was
 * handed out.
 */
#include <errno.h>
#include <string.h>

#include "arena/arena.h"

#define OFFSET_BITS 36
#define TAG_BITS 8
#define GENERATION_MASK 0xfffffull

/* What an upper floor relies on, whether the object has been destroyed or not. */
static bool is_well_made(const struct brood_segment *segment, const struct brood__block *block)
{
	const struct brood__object *object = (const void *)(block + 1);
	uint64_t kind = atomic_load_explicit(&block->kind, memory_order_relaxed);
	size_t bytes = brood__block_bytes(block);

	if (kind >= BROOD__KINDS || !brood__kinds[kind] || !brood__kinds[kind]->sound ||
	    bytes < sizeof(*block) + sizeof(*object) ||
	    bytes > segment->bytes - brood__offset(segment, block))
		return false;
	bytes -= sizeof(*block);
	return object->bytes <= bytes && brood__kinds[kind]->sound(segment, object, bytes);
}

bool brood__object_is_sound(const struct brood_segment *segment, const void *content)
{
	const struct brood__block *block = (const struct brood__block *)content - 1;
	const struct brood__object *object = content;
	uint64_t kind = atomic_load_explicit(&block->kind, memory_order_relaxed);

	if (kind == BROOD__KIND_MEMORY)
		return true;
	return is_well_made(segment, block) &&
	       atomic_load_explicit(&object->magic, memory_order_acquire) ==
		       brood__magic((enum brood__kind)kind, brood__offset(segment, content));
}

void *brood_alloc(struct brood_segment *segment, size_t bytes)
{
	void *memory;

	segment = brood__segment(segment);
	if (!segment)
		return NULL;
	if (bytes == 0) {
		errno = EINVAL;
		return NULL;
	}
	memory = brood__block_claim(segment, bytes, bytes);
	if (memory)
		brood__block_publish(segment, memory, BROOD__KIND_MEMORY);
	return memory;
}

static bool is_kind(const struct brood__block *block, enum brood__kind kind)
{
	return brood__block_state(block) == BROOD__LIVE &&
	       atomic_load_explicit(&block->kind, memory_order_relaxed) == kind;
}

int brood_free(struct brood_segment *segment, void *memory)
{
	struct brood__block *block;

	segment = segment || !memory ? brood__segment(segment) : brood__segment_of(memory);
	if (!segment)
		return memory ? -EINVAL : -errno;
	block = memory && brood__segment_of(memory) == segment ?
			brood__block_of(segment, memory) : NULL;
	if (!block || !is_kind(block, BROOD__KIND_MEMORY) ||
	    !brood__block_retire(segment, memory))
		return -EINVAL;
	brood__block_part(segment, memory);
	return 0;
}

uint64_t brood_ref(struct brood_segment *segment, const void *object)
{
	struct brood__block *block;
	uint64_t generation;

	segment = brood__segment(segment);
	if (!segment)
		return 0;
	block = object && brood__segment_of(object) == segment ?
			brood__block_of(segment, object) : NULL;
	if (!block || brood__block_state(block) != BROOD__LIVE) {
		errno = EFAULT;
		return 0;
	}
	generation = atomic_load_explicit(&block->generation, memory_order_relaxed);
	return (generation & GENERATION_MASK) << (OFFSET_BITS + TAG_BITS) |
	       (uint64_t)segment->header->tag << OFFSET_BITS |
	       brood__offset(segment, object) / BROOD__LINE;
}

void *brood_deref(struct brood_segment *segment, uint64_t reference)
{
	uint64_t offset = (reference & ((1ull << OFFSET_BITS) - 1)) * BROOD__LINE;
	uint64_t generation = reference >> (OFFSET_BITS + TAG_BITS);
	struct brood__block *block;

	segment = brood__segment(segment);
	if (!segment)
		return NULL;
	if ((reference >> OFFSET_BITS & ((1u << TAG_BITS) - 1)) != segment->header->tag ||
	    offset >= segment->bytes ||
	    !(block = brood__block_of(segment, brood__at(segment, offset)))) {
		errno = EFAULT;
		return NULL;
	}
	if (brood__block_state(block) != BROOD__LIVE ||
	    (atomic_load_explicit(&block->generation, memory_order_relaxed) & GENERATION_MASK) !=
		    generation) {
		errno = ESTALE;
		return NULL;
	}
	/* In the family arena nobody but ourselves has made anything. */
	if (segment != &brood__family &&
	    !brood__object_is_sound(segment, brood__block_content(block))) {
		errno = EPROTO;
		return NULL;
	}
	return brood__block_content(block);
}

int brood_segment_stat(struct brood_segment *segment, struct brood_segment_info *info)
{
	struct brood__file_id id;

	segment = brood__segment(segment);
	if (!segment)
		return -errno;
	if (!info)
		return -EINVAL;
	memset(info, 0, sizeof(*info));
	for (struct brood__block *block = brood__block_first(segment); block;
	     block = brood__block_next(segment, block)) {
		enum brood__state state;

		/* What a sweep has retired stays in limbo until somebody looks. */
		if (brood__is_member(&segment->members))
			brood__block_reclaim(segment, block);
		state = brood__block_state(block);
		if (state == BROOD__FREE || state == BROOD__LIMBO)
			continue;
		info->bytes_used += brood__block_bytes(block);
		info->objects += state == BROOD__LIVE;
	}
	info->bytes_reserved = segment->bytes;
	info->members_max = segment->members.max;
	if (brood__file_identify(segment->fd, &id) == 0)
		info->bytes_committed = id.committed;
	brood__member_census(&segment->members, &info->members, &info->dead);
	return 0;
}

static bool has_name(struct brood__block *block, const char *name)
{
	const struct brood__object *object = brood__block_content(block);

	return strncmp(object->name, name, BROOD__NAME_MAX) == 0;
}

void *brood__object_named(const struct brood_segment *segment, enum brood__kind kind,
			  const char *name)
{
	for (struct brood__block *block = brood__block_first(segment); block;
	     block = brood__block_next(segment, block))
		if (is_kind(block, kind) && has_name(block, name))
			return brood__block_content(block);
	return NULL;
}

/*
 * -EEXIST: a live one, or one that is being made below ours. -EAGAIN: one is being made above it. A
 * block that is claimed by nobody, or in our name, is an enemy's.
 */
static int rivals(struct brood_segment *segment, enum brood__kind kind,
		  const struct brood__object *mine)
{
	uint32_t me = (uint32_t)brood__member_id(&segment->members);
	int result = 0;

	for (struct brood__block *block = brood__block_first(segment); block;
	     block = brood__block_next(segment, block)) {
		const struct brood__object *object = brood__block_content(block);
		bool made;

		if (object == mine || !has_name(block, mine->name))
			continue;
		made = brood__block_is_made(segment, block, me);
		if (is_kind(block, kind) || (made && object < mine))
			return -EEXIST;
		if (made)
			result = -EAGAIN;
	}
	return result;
}

/*
 * Each tells its name before it looks, so at least one of two sees the other. The upper gives way
 * to the lower if it sees it; so the lower, seeing the upper, waits to learn whether that has
 * seen it.
 */
int brood__object_alone(struct brood_segment *segment, enum brood__kind kind,
			const struct brood__object *mine)
{
	int result;

	atomic_thread_fence(memory_order_seq_cst);	/* A6 */
	while ((result = rivals(segment, kind, mine)) == -EAGAIN)
		if (!brood__member_sweep(&segment->members))
			brood__yield();
	return result;
}

/* While our entry names the object, nobody reuses its memory; then look whether it still lives. */
static void sweep_object(struct brood_segment *segment, struct brood__block *block, uint32_t dead,
			 bool clean)
{
	struct brood__object *object = brood__block_content(block);
	uint64_t kind = atomic_load_explicit(&block->kind, memory_order_relaxed);
	int me = brood__member_id(&segment->members);
	_Atomic uint64_t *hazard;

	if (me < 0 || kind >= BROOD__KINDS || !brood__kinds[kind] || !brood__kinds[kind]->sweep)
		return;
	hazard = &segment->members.table[me].sweeping;
	/* H1 */
	atomic_store_explicit(hazard, brood__offset(segment, object), memory_order_seq_cst);
	if (is_kind(block, (enum brood__kind)kind) &&
	    (segment == &brood__family || is_well_made(segment, block)))
		brood__kinds[kind]->sweep(segment, object, dead, clean);
	atomic_store_explicit(hazard, 0, memory_order_release);	/* H2 */
}

void brood__sweep_segment(struct brood__members *members, uint32_t dead, bool clean)
{
	struct brood_segment *segment = (struct brood_segment *)members;

	for (struct brood__block *block = brood__block_first(segment); block;
	     block = brood__block_next(segment, block)) {
		brood__block_sweep(segment, block, dead);
		if (brood__block_state(block) == BROOD__LIVE)
			sweep_object(segment, block, dead, clean);
	}
	/* It may have died between freeing a block and saying so. */
	atomic_fetch_or_explicit(&segment->header->freed, 1, memory_order_seq_cst);	/* A5 */
	/* Or between changing an object that is in the user's memory and waking who waits for it. */
	brood__wake_sleepers(members);
}
