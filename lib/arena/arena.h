/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 5: segments and the blocks in them.
 *
 * Layout of a segment's file:
 *
 *	0            header (segment.c)
 *	members_at   table of members
 *	heap_at      blocks, one after another, up to `top`; the rest was never used
 *
 * A block is a header of 64 bytes and its content. The content of an object begins with a line
 * that every kind of object has (struct brood__object).
 */
#ifndef BROOD_ARENA_H
#define BROOD_ARENA_H

#include <brood/segment.h>

#include "wait/wait.h"

enum brood__kind {		/* of a block */
	BROOD__KIND_MEMORY = 1,	/* the user's own */
	BROOD__KIND_QUEUE,
	BROOD__KIND_RING,
	BROOD__KIND_BROADCAST,
	BROOD__KIND_PIPE,
	BROOD__KIND_BUFFER,
	BROOD__KIND_POOL,
	BROOD__KIND_JOB,		/* memory of a job of a pool */
	BROOD__KINDS
};

struct brood__block {		/* see heap.c */
	_Atomic uint64_t word;
	_Atomic uint64_t kind;
	_Atomic uint64_t generation;	/* how often the block has been handed out */
	_Atomic uint64_t magic;
	uint64_t reserved[4];
};

#define BROOD__NAME_MAX 48u

struct brood__object {		/* first line of an object */
	_Atomic uint64_t magic;	/* brood__magic() while it can be used */
	char name[BROOD__NAME_MAX];	/* "" = none */
	uint64_t bytes;		/* of the object, this line included */
};

struct brood__header {		/* first page of a segment */
	uint64_t magic;		/* the format: version, sizes, line */
	uint64_t bytes;		/* reserved */
	uint64_t members_at, heap_at;
	uint64_t pid_namespace;
	uint32_t members_max;
	uint32_t tag;		/* 1 to 255, by chance: in every reference */
	uint64_t check;		/* over all the words above */
	_Alignas(BROOD__LINE) _Atomic uint64_t top;	/* end of the last block */
	_Alignas(BROOD__LINE) _Atomic uint64_t freed;	/* {count | some block may be free} */
	_Atomic uint32_t members_used;
};

struct brood_segment {		/* in each process */
	struct brood__members members;	/* first: floor 2 hands it back to us */
	struct brood__header *header;
	char *base;
	size_t bytes, heap_at;
	int fd;
	struct brood__file_id file;
	unsigned int opens;
};

struct brood__kind_ops {	/* what an upper floor does for its objects */
	/*
	 * Repair what `member` left in the object; clean: it ends by itself. Any step may be
	 * repeated.
	 */
	void (*sweep)(struct brood_segment *segment, void *object, uint32_t member, bool clean);
	/*
	 * Whether an object that an unrelated process made is what we may rely on, in a block with
	 * so many bytes of content.
	 */
	bool (*sound)(const struct brood_segment *segment, const void *object, size_t bytes);
};

/* The same for a live block's content of any kind; the user's own memory is taken as it is. */
bool brood__object_is_sound(const struct brood_segment *segment, const void *content);

/* By kind; NULL for memory. Floor 6 provides it, floor 8 adds its own before main. */
extern const struct brood__kind_ops *brood__kinds[BROOD__KINDS];

/* ---- segment.c, registry.c ---- */

int brood__family_ready(void);
/* NULL is the family arena, made if need be. NULL and errno: EINVAL for what is no open segment. */
struct brood_segment *brood__segment(struct brood_segment *segment);
extern struct brood_segment brood__family;
struct brood_segment *brood__named_segment_of(const void *address);

static inline bool brood__lies_in(const struct brood_segment *segment, const void *address)
{
	return (uintptr_t)address - (uintptr_t)segment->base < segment->bytes && segment->base;
}

/* The open segment that an address lies in, or NULL. */
static inline struct brood_segment *brood__segment_of(const void *address)
{
	if (brood__likely(brood__lies_in(&brood__family, address)))
		return &brood__family;
	return brood__named_segment_of(address);
}

/*
 * The segment of a descriptor, which is the segment's from now on, or is closed; an error of
 * opening it instead is passed through. NULL and errno as brood_segment_open.
 */
struct brood_segment *brood__segment_open_fd(int fd);

/* Sweep every segment that the caller is a member of. */
void brood__deaths_noticed(void);
void brood__sweep_segment(struct brood__members *members, uint32_t dead, bool clean);
int brood__segment_map(struct brood_segment *segment);
void brood__segment_unmap(struct brood_segment *segment);
/*
 * Whether the descriptor still is the segment's: the program may have closed it, and its number be
 * another file's.
 */
bool brood__segment_has_file(const struct brood_segment *segment);
int brood__segment_format(struct brood_segment *segment, uint32_t members_max);
/* Believe a mapped segment that somebody else formatted: -EPROTO, -EXDEV when not. */
int brood__segment_attach(struct brood_segment *segment);

static inline uint64_t brood__offset(const struct brood_segment *segment, const void *address)
{
	return (uint64_t)((const char *)address - segment->base);
}

static inline void *brood__at(const struct brood_segment *segment, uint64_t offset)
{
	return segment->base + offset;
}

/* An object's magic depends on where it lies, so that a copy of an object is not one. */
static inline uint64_t brood__magic(enum brood__kind kind, uint64_t offset)
{
	return (0x62726f6f64000000ull | (uint64_t)kind << 8) ^ offset << 20;
}

/* ---- heap.c ---- */

enum brood__state {
	BROOD__FREE = 0,
	BROOD__CLAIMED,		/* by the member in the word, which fills or clears it */
	BROOD__LIVE,
	BROOD__LIMBO,		/* destroyed, but somebody may still be inside a call of it */
};

/*
 * A zeroed block, claimed by the caller; `commit` bytes of content are backed by memory, the rest
 * is only addresses until brood__block_commit. NULL and errno. Then brood__block_publish.
 */
void *brood__block_claim(struct brood_segment *segment, size_t bytes, size_t commit);
int brood__block_commit(struct brood_segment *segment, const void *content, size_t at, size_t bytes);
void brood__block_publish(struct brood_segment *segment, void *content, enum brood__kind kind);
/* Give up a claimed block. */
void brood__block_drop(struct brood_segment *segment, void *content);
/* Live -> limbo, by one member only: false when another was faster. Then brood__block_part. */
bool brood__block_retire(struct brood_segment *segment, void *content);
/* Free the block if it is in limbo and no member is inside it. */
void brood__block_reclaim(struct brood_segment *segment, struct brood__block *block);
/* The same by who has destroyed it, may still be inside it, and will not look at it again. */
void brood__block_part(struct brood_segment *segment, void *content);
/* The first block, the one after; NULL at the end. Blocks never move, split or merge. */
struct brood__block *brood__block_first(const struct brood_segment *segment);
struct brood__block *brood__block_next(const struct brood_segment *segment,
				       const struct brood__block *block);
enum brood__state brood__block_state(const struct brood__block *block);
size_t brood__block_bytes(const struct brood__block *block);
/* Claimed by this member? Then free it: it is dead. */
void brood__block_sweep(struct brood_segment *segment, struct brood__block *block, uint32_t dead);
/* Claimed by a member that is not swept yet, other than the caller; or it has just changed. */
bool brood__block_is_made(const struct brood_segment *segment, const struct brood__block *block,
			  uint32_t me);
/* The live block whose content begins here, or NULL. */
struct brood__block *brood__block_of(const struct brood_segment *segment, const void *content);

static inline void *brood__block_content(struct brood__block *block)
{
	return block + 1;
}

/* A live object of a kind by its name, or NULL. */
void *brood__object_named(const struct brood_segment *segment, enum brood__kind kind,
			  const char *name);
/*
 * Whether the claimed object, which has its name and kind, may be published: 0, or -EEXIST. May
 * wait for another member that makes one of the same name at the same time.
 */
int brood__object_alone(struct brood_segment *segment, enum brood__kind kind,
			const struct brood__object *mine);

#endif
