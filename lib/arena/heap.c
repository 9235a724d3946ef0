/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The heap of a segment: blocks that anybody can walk at any time without a lock.
 *
 * Blocks lie one after another from heap_at to top. Once a block is there its place and size are
 * for ever: blocks are never split or merged, so a walker can be stopped anywhere and go on
 * later, and a sweeper needs no lock. Free blocks are used again by requests of the same size
 * class (eight classes to a doubling, so at most an eighth is wasted); their pages are given back
 * to the kernel meanwhile. What can run out for good is only the address range, after many
 * changes between large sizes.
 *
 * word = { size in lines:30 | incarnation of the claimer:20 | id of the claimer + 1:10 | state:4 }
 *
 *	0 at top --CAS--> CLAIMED --publish--> LIVE --retire--> LIMBO --CAS--> CLAIMED --> FREE
 *	FREE --CAS--> CLAIMED
 *
 * Dying inside. A CLAIMED block names its claimer, whose sweep clears and frees it. A new block
 * comes into being by one CAS of its header's word, at top, from 0; whoever finds a header at top
 * moves top behind it, so a death between the two leaves nothing to repair. The pages of a header
 * are committed before its CAS; doing that twice does no harm. A LIVE or LIMBO block has no
 * claimer: a death before LIMBO -> CLAIMED leaves it to the next who allocates and finds it.
 *
 * The hint `freed` says that there may be a free block; it is cleared by a search that found
 * none, by a CAS that fails when a block was freed meanwhile.
 *
 * Reuse. A member may be stopped inside a call of an object that another one destroys. Its entry
 * names the object (a hazard pointer: M. Michael, "Hazard Pointers", IEEE TPDS 2004); the block
 * stays in limbo until no living member names it. Only then may other memory appear there.
 */
#include <errno.h>
#include <string.h>

#include "arena/arena.h"

#define STATE_BITS 4
#define ID_BITS 10
#define INCARNATION_BITS 20
#define SIZE_SHIFT (STATE_BITS + ID_BITS + INCARNATION_BITS)
#define CLAIMER_MASK (((1ull << (ID_BITS + INCARNATION_BITS)) - 1) << STATE_BITS)

#define BLOCK_MAGIC 0x6b636f6c62ull	/* "block" */

static size_t size_of(uint64_t word)
{
	return (size_t)(word >> SIZE_SHIFT) * BROOD__LINE;
}

static uint64_t with_size(size_t size)
{
	return (uint64_t)(size / BROOD__LINE) << SIZE_SHIFT;
}

static uint64_t claimer(const struct brood_segment *segment, uint32_t id)
{
	uint64_t incarnation = brood__incarnation_of(&segment->members, id);

	return ((incarnation & ((1u << INCARNATION_BITS) - 1)) << ID_BITS | (id + 1)) << STATE_BITS;
}

static bool change(struct brood__block *block, uint64_t from, uint64_t to)
{
	/* A4 */
	return atomic_compare_exchange_strong_explicit(&block->word, &from, to,
						       memory_order_seq_cst, memory_order_acquire);
}

enum brood__state brood__block_state(const struct brood__block *block)
{
	/* A3 */
	return atomic_load_explicit(&block->word, memory_order_acquire) & ((1u << STATE_BITS) - 1);
}

size_t brood__block_bytes(const struct brood__block *block)
{
	return size_of(atomic_load_explicit(&block->word, memory_order_relaxed));
}

static uint64_t top_of(const struct brood_segment *segment)
{
	return atomic_load_explicit(&segment->header->top, memory_order_acquire);	/* A2 */
}

struct brood__block *brood__block_first(const struct brood_segment *segment)
{
	return segment->heap_at < top_of(segment) ? brood__at(segment, segment->heap_at) : NULL;
}

struct brood__block *brood__block_next(const struct brood_segment *segment,
				       const struct brood__block *block)
{
	uint64_t at = brood__offset(segment, block), size = brood__block_bytes(block);
	uint64_t top = top_of(segment);

	/* A damaged size must neither loop nor lead outside. */
	if (size < 2 * BROOD__LINE || top > segment->bytes || size >= top - at)
		return NULL;
	return brood__at(segment, at + size);
}

/* Content and header, rounded up to the size class. 0 when absurd. */
static size_t class_of(const struct brood_segment *segment, size_t bytes)
{
	size_t size, step = BROOD__LINE;

	if (bytes == 0 || bytes > segment->bytes)
		return 0;
	size = bytes + sizeof(struct brood__block);
	while (step * 16 < size)
		step *= 2;
	return (size + step - 1) / step * step;
}

static int commit(struct brood_segment *segment, uint64_t at, size_t bytes)
{
	size_t page = brood__page_size();
	uint64_t from = at / page * page, to = (at + bytes + page - 1) / page * page;

	if (!brood__segment_has_file(segment))
		return -EBADF;
	return brood__memory_commit(segment->fd, from, to - from);
}

static bool decommit(struct brood_segment *segment, uint64_t from, uint64_t to)
{
	return brood__segment_has_file(segment) &&
	       brood__memory_decommit(segment->fd, from, to - from) == 0;
}

int brood__block_commit(struct brood_segment *segment, const void *content, size_t at, size_t bytes)
{
	return commit(segment, brood__offset(segment, content) + at, bytes);
}

/* The whole pages of a block's content, but never the lines that a stale pointer may look at. */
static bool inner_pages(const struct brood_segment *segment, const struct brood__block *block,
			uint64_t *from, uint64_t *to)
{
	size_t page = brood__page_size();
	uint64_t at = brood__offset(segment, block), end = at + brood__block_bytes(block);

	*from = (at + 2 * BROOD__LINE + page - 1) / page * page;
	*to = end / page * page;
	return *from < *to;
}

/* Zero a block that was used before: its inner pages by giving them back, the rest by hand. */
static int clear(struct brood_segment *segment, struct brood__block *block)
{
	uint64_t from, to, start = brood__offset(segment, brood__block_content(block));
	uint64_t end = brood__offset(segment, block) + brood__block_bytes(block);
	int result;

	if (!inner_pages(segment, block, &from, &to) || !decommit(segment, from, to))
		from = to = end;
	result = commit(segment, start, from - start);
	if (result == 0 && to < end)
		result = commit(segment, to, end - to);
	if (result)
		return result;
	memset(brood__at(segment, start), 0, from - start);
	memset(brood__at(segment, to), 0, end - to);
	return 0;
}

/* From CLAIMED by somebody who is us or dead. */
static void make_free(struct brood_segment *segment, struct brood__block *block, uint64_t word)
{
	struct brood__object *object = brood__block_content(block);
	uint64_t from, to;

	object->name[0] = 0;	/* who makes one of that name must not take it for a rival */
	if (inner_pages(segment, block, &from, &to))
		decommit(segment, from, to);
	if (change(block, word, with_size(size_of(word)) | BROOD__FREE))
		atomic_fetch_add_explicit(&segment->header->freed, 2, memory_order_seq_cst);
	atomic_fetch_or_explicit(&segment->header->freed, 1, memory_order_seq_cst);	/* A5 */
}

static struct brood__block *reuse(struct brood_segment *segment, size_t size, uint64_t claimed)
{
	/* A5 */
	uint64_t freed = atomic_load_explicit(&segment->header->freed, memory_order_seq_cst);
	bool any = false;

	if (!(freed & 1))
		return NULL;
	for (struct brood__block *block = brood__block_first(segment); block;
	     block = brood__block_next(segment, block)) {
		brood__block_reclaim(segment, block);
		if (brood__block_state(block) == BROOD__LIMBO)
			any = true;
		if (brood__block_state(block) != BROOD__FREE)
			continue;
		any = true;
		if (brood__block_bytes(block) == size &&
		    change(block, with_size(size) | BROOD__FREE, claimed))
			return block;
	}
	if (!any)
		atomic_compare_exchange_strong(&segment->header->freed, &freed, freed & ~1ull);
	return NULL;
}

static struct brood__block *extend(struct brood_segment *segment, size_t size, uint64_t claimed)
{
	for (;;) {
		uint64_t top = top_of(segment), there;
		/* An enemy's may lead into the table of members, or outside. */
		bool fits = top % BROOD__LINE == 0 && top >= segment->heap_at &&
			    top <= segment->bytes && size <= segment->bytes - top;
		int result = fits ? commit(segment, top, 2 * BROOD__LINE) : -ENOSPC;
		struct brood__block *block;

		if (result) {
			errno = -result;
			return NULL;
		}
		block = brood__at(segment, top);
		there = atomic_load_explicit(&block->word, memory_order_acquire);
		if (there == 0 && change(block, 0, claimed))
			there = claimed;
		else if (there == 0)
			there = atomic_load_explicit(&block->word, memory_order_acquire);
		if (size_of(there) < 2 * BROOD__LINE || size_of(there) > segment->bytes - top) {
			errno = EPROTO;		/* an enemy's: top would stand still, or lead outside */
			return NULL;
		}
		/* A2 */
		atomic_compare_exchange_strong(&segment->header->top, &top, top + size_of(there));
		if (there == claimed &&
		    atomic_load_explicit(&block->word, memory_order_acquire) == claimed)
			return block;
	}
}

void *brood__block_claim(struct brood_segment *segment, size_t bytes, size_t first)
{
	size_t size = class_of(segment, bytes);
	int id = brood__member_id(&segment->members);
	struct brood__block *block;
	uint64_t claimed;
	int result;

	if (id < 0 || !size) {
		errno = id < 0 ? -id : ENOSPC;
		return NULL;
	}
	claimed = with_size(size) | claimer(segment, (uint32_t)id) | BROOD__CLAIMED;
	block = reuse(segment, size, claimed);
	result = block ? clear(segment, block) : 0;
	if (!block)
		block = extend(segment, size, claimed);
	if (!block && brood__member_sweep(&segment->members)) {	/* dead members had some */
		block = reuse(segment, size, claimed);
		result = block ? clear(segment, block) : 0;
	}
	if (!block)
		return NULL;
	if (result == 0)
		result = commit(segment, brood__offset(segment, block),
				first + sizeof(struct brood__block));
	if (result) {
		make_free(segment, block, claimed);
		errno = -result;
		return NULL;
	}
	atomic_fetch_add_explicit(&block->generation, 1, memory_order_relaxed);
	atomic_store_explicit(&block->magic, BLOCK_MAGIC ^ brood__offset(segment, block),
			      memory_order_relaxed);
	return brood__block_content(block);
}

void brood__block_publish(struct brood_segment *segment, void *content, enum brood__kind kind)
{
	struct brood__block *block = (struct brood__block *)content - 1;
	size_t size = brood__block_bytes(block);

	(void)segment;
	brood__assert(brood__block_state(block) == BROOD__CLAIMED);
	atomic_store_explicit(&block->kind, kind, memory_order_relaxed);
	/* A3 */
	atomic_store_explicit(&block->word, with_size(size) | BROOD__LIVE, memory_order_seq_cst);
}

void brood__block_drop(struct brood_segment *segment, void *content)
{
	struct brood__block *block = (struct brood__block *)content - 1;

	brood__assert(brood__block_state(block) == BROOD__CLAIMED);
	make_free(segment, block, atomic_load_explicit(&block->word, memory_order_relaxed));
}

bool brood__block_retire(struct brood_segment *segment, void *content)
{
	struct brood__block *block = (struct brood__block *)content - 1;
	size_t size = brood__block_bytes(block);

	if (!change(block, with_size(size) | BROOD__LIVE, with_size(size) | BROOD__LIMBO))
		return false;
	atomic_fetch_or_explicit(&segment->header->freed, 1, memory_order_seq_cst);	/* A5 */
	return true;
}

static void reclaim(struct brood_segment *segment, struct brood__block *block, bool parting)
{
	int id = brood__member_id(&segment->members);
	uint64_t claimed, word = atomic_load_explicit(&block->word, memory_order_acquire);
	uint64_t content = brood__offset(segment, brood__block_content(block));

	if (id < 0 || (word & ((1u << STATE_BITS) - 1)) != BROOD__LIMBO ||
	    brood__fence_all_cpus() ||	/* H1 */
	    brood__member_inside(&segment->members, content,
				 parting ? (uint32_t)id : BROOD__NOBODY))
		return;
	claimed = with_size(size_of(word)) | claimer(segment, (uint32_t)id) | BROOD__CLAIMED;
	if (change(block, word, claimed))
		make_free(segment, block, claimed);
}

/* The caller itself counts: a signal handler may be the one that allocates, or asks for figures. */
void brood__block_reclaim(struct brood_segment *segment, struct brood__block *block)
{
	reclaim(segment, block, false);
}

void brood__block_part(struct brood_segment *segment, void *content)
{
	reclaim(segment, (struct brood__block *)content - 1, true);
}

void brood__block_sweep(struct brood_segment *segment, struct brood__block *block, uint32_t dead)
{
	uint64_t word = atomic_load_explicit(&block->word, memory_order_acquire);

	if ((word & ((1u << STATE_BITS) - 1)) == BROOD__CLAIMED &&
	    (word & CLAIMER_MASK) == claimer(segment, dead))
		make_free(segment, block, word);
}

bool brood__block_is_made(const struct brood_segment *segment, const struct brood__block *block,
			  uint32_t me)
{
	uint64_t word = atomic_load_explicit(&block->word, memory_order_acquire);
	uint32_t id = (uint32_t)(word >> STATE_BITS & ((1u << ID_BITS) - 1)) - 1;

	if ((word & ((1u << STATE_BITS) - 1)) != BROOD__CLAIMED)
		return false;
	if (id < segment->members.max && id != me && brood__life_of(&segment->members, id) != 0 &&
	    (word & CLAIMER_MASK) == claimer(segment, id))
		return true;
	/* It may have been published, and its maker be gone, just now: M2 */
	return atomic_load_explicit(&block->word, memory_order_acquire) != word;
}

struct brood__block *brood__block_of(const struct brood_segment *segment, const void *content)
{
	uint64_t at = brood__offset(segment, content) - sizeof(struct brood__block);
	uint64_t top = top_of(segment);
	struct brood__block *block;

	if (at % BROOD__LINE || at < segment->heap_at || at >= top || top > segment->bytes)
		return NULL;
	block = brood__at(segment, at);
	if (atomic_load_explicit(&block->magic, memory_order_relaxed) != (BLOCK_MAGIC ^ at))
		return NULL;
	return block;
}
