/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 6, inside: the words of a ring of bytes, each defined once, here; ring_bytes.c tells how they
 * are used. A ring of bytes is a part of other objects: brood_ring has one, a pipe one or two.
 *
 * Layout: struct brood__bytes, an entry for each granule, the granules.
 */
#ifndef BROOD_RING_INTERNAL_H
#define BROOD_RING_INTERNAL_H

#include <brood/ring.h>

#include "arena/object.h"

#define GRANULE 64u		/* bytes */
#define GRANULES_MAX (1u << 24)

/*
 * An entry's word: { lap | granules | again:8 | owner + 1:9 | state:3 }; granules have as many bits as
 * the number of the ring's granules has, laps the rest. All zero: never used. `again`: how often a
 * member died that had it, 1 behind 255.
 *
 * It tells of the message that begins at this granule in that lap. Entries of granules within
 * a message keep what they had.
 */
enum bytes_state {
	BYTES_CLAIMED = 1,	/* the owner writes it; DONE when it dies */
	BYTES_READY,		/* no owner */
	BYTES_LEASED,		/* the owner reads it; READY again when it dies */
	BYTES_DONE,		/* read, given up, or left out at the end of a lap: no owner */
	BYTES_CLOSED,		/* no message will ever be here, or later; no granules */
};

#define BYTES_STATE 7u
#define OWNER_SHIFT 3
#define OWNER_MASK 0x1ffu
#define AGAIN_SHIFT 12
#define BYTES_AGAIN (0xffull << AGAIN_SHIFT)
#define GRANULES_SHIFT 20

/* An entry's note: { tag:8 | length:56 }, of CLAIMED by its owner, else constant. */
#define NOTE_LENGTH (UINT64_MAX >> 8)

struct brood__entry {
	_Atomic uint64_t word;
	_Atomic uint64_t note;
};

/*
 * A position: { lap | index of the granule }, cut as the word is. The first is lap 1, index 0.
 */
struct brood__bytes {		/* in shared memory; but for `granules` all zero at first, see shape */
	_Atomic uint32_t granules;
	/* No message before it is of any interest; what is there may be overwritten. Only grows. */
	_Alignas(BROOD__LINE) _Atomic uint64_t head;
	_Atomic uint64_t orphans;	/* { count:63 | READY may be before `take`:1 } */
	/*
	 * Hints, never ahead of the truth: no message is claimed at or behind it; none is taken.
	 * Plain stores, which a stopped member may do late.
	 */
	_Alignas(BROOD__LINE) _Atomic uint64_t tail;
	_Atomic uint32_t put_streak;	/* the last one found room at once */
	_Alignas(BROOD__LINE) _Atomic uint64_t take;
	_Atomic uint32_t get_streak;
	_Alignas(BROOD__LINE) struct brood__waitlist readers;
	_Alignas(BROOD__LINE) struct brood__waitlist writers;
};

/*
 * A ring as one call sees it. Everything that an address is made of is read once, and checked: the
 * shared copy may be changed by a hostile member.
 */
struct bytes {
	struct brood__bytes *ring;
	struct brood__entry *entries;
	char *data;
	struct brood_segment *segment;
	uint32_t granules;
	uint32_t bits;
	uint32_t me;
};

struct brood_ring {
	struct brood__object object;
	_Alignas(BROOD__LINE) struct brood__bytes bytes;
};

struct place {			/* claimed or leased */
	uint64_t position;
	uint64_t word;
};

struct taking {
	size_t room;		/* a longer message is -EMSGSIZE */
	unsigned int tags;	/* 1 << tag: others are -EBUSY */
	uint64_t note;		/* of what was found, when it was not -EAGAIN or -EPIPE */
	struct place place;	/* leased, or its position where -EBUSY and -EMSGSIZE were found */
};

static inline size_t bytes_size(uint32_t granules)
{
	size_t entries = (granules * sizeof(struct brood__entry) + BROOD__LINE - 1) /
			 BROOD__LINE * BROOD__LINE;

	return sizeof(struct brood__bytes) + entries + (size_t)granules * GRANULE;
}

/* How many are needed for a ring that holds so many bytes: one is never used. 0 = too many. */
static inline uint32_t bytes_granules(size_t bytes)
{
	size_t granules = bytes / GRANULE + (bytes % GRANULE != 0) + 1;

	return granules < 2 || granules > GRANULES_MAX ? 0 : (uint32_t)granules;
}

static inline uint32_t granules_of(size_t length)
{
	return length ? (uint32_t)((length + GRANULE - 1) / GRANULE) : 1;
}

/* The longest message. */
static inline size_t bytes_capacity(const struct bytes *bytes)
{
	return (size_t)(bytes->granules - 1) * GRANULE;
}

/* 0, or -EPROTO when the ring cannot be what it says. */
static inline int bytes_see(struct bytes *bytes, struct brood_segment *segment,
			    struct brood__bytes *ring, uint32_t n, uint32_t me)
{
	uint64_t at = brood__offset(segment, ring);

	if (brood__unlikely(n < 2 || n > GRANULES_MAX || at > segment->bytes ||
			    bytes_size(n) > segment->bytes - at))
		return -EPROTO;
	bytes->ring = ring;
	bytes->entries = (struct brood__entry *)(void *)(ring + 1);
	bytes->data = (char *)ring + bytes_size(n) - (size_t)n * GRANULE;
	bytes->segment = segment;
	bytes->granules = n;
	bytes->bits = 32u - (uint32_t)__builtin_clz(n);
	bytes->me = me;
	return 0;
}

/* ---- positions and words ---- */

static inline uint32_t index_of(const struct bytes *bytes, uint64_t position)
{
	return (uint32_t)(position & ((1ull << bytes->bits) - 1));
}

static inline uint64_t lap_of(const struct bytes *bytes, uint64_t position)
{
	return position >> bytes->bits;
}

/* Of a position whose index is right, by no more granules than are left in the lap. */
static inline uint64_t position_behind(const struct bytes *bytes, uint64_t position, uint32_t granules)
{
	if (index_of(bytes, position) + granules == bytes->granules)
		return (lap_of(bytes, position) + 1) << bytes->bits;
	return position + granules;
}

/* Granules from one to a later one; more than there are when they are more than a lap apart. */
static inline uint64_t granules_between(const struct bytes *bytes, uint64_t from, uint64_t to)
{
	uint64_t laps = lap_of(bytes, to) - lap_of(bytes, from);

	if (laps > 1)
		return UINT64_MAX / 2;
	return laps * bytes->granules + index_of(bytes, to) - index_of(bytes, from);
}

static inline uint64_t bytes_word(const struct bytes *bytes, uint64_t position, uint32_t granules,
				  uint32_t owner, uint64_t state)
{
	return lap_of(bytes, position) << (GRANULES_SHIFT + bytes->bits) |
	       (uint64_t)granules << GRANULES_SHIFT | (uint64_t)owner << OWNER_SHIFT | state;
}

static inline uint32_t word_granules(const struct bytes *bytes, uint64_t word)
{
	return (uint32_t)(word >> GRANULES_SHIFT & ((1ull << bytes->bits) - 1));
}

static inline uint32_t word_owner(uint64_t word)
{
	return (uint32_t)(word >> OWNER_SHIFT) & OWNER_MASK;
}

static inline enum bytes_state word_state(uint64_t word)
{
	return (enum bytes_state)(word & BYTES_STATE);
}

/* The same message in another state, without an owner. */
static inline uint64_t word_change(uint64_t word, enum bytes_state state)
{
	return (word & ~((uint64_t)OWNER_MASK << OWNER_SHIFT | BYTES_STATE)) | state;
}

/* The same, and once more a member died that had it: no word of an owner comes twice in a lap. */
static inline uint64_t word_again(uint64_t word)
{
	uint64_t times = (word & BYTES_AGAIN) >> AGAIN_SHIFT;

	return (word & ~BYTES_AGAIN) | (times % 255 + 1) << AGAIN_SHIFT;
}

/* Laps that the word is later than the position; negative: nobody has claimed that yet. */
static inline int64_t word_later(const struct bytes *bytes, uint64_t word, uint64_t position)
{
	const uint32_t shift = GRANULES_SHIFT + bytes->bits;
	uint64_t laps = (word >> shift) - lap_of(bytes, position);

	return (int64_t)(laps << shift) >> shift;
}

static inline struct brood__entry *bytes_entry(const struct bytes *bytes, uint64_t position)
{
	return &bytes->entries[index_of(bytes, position)];
}

static inline char *bytes_at(const struct bytes *bytes, uint64_t position)
{
	return bytes->data + (size_t)index_of(bytes, position) * GRANULE;
}

static inline size_t note_length(uint64_t note)
{
	return note & NOTE_LENGTH;
}

static inline unsigned int note_tag(uint64_t note)
{
	return (unsigned int)(note >> 56);
}

/* ---- ring_bytes.c ---- */

/* A ring of zeroed memory begins to be one. */
void brood__bytes_shape(struct brood__bytes *ring, uint32_t granules);

/*
 * Claim room for so many bytes, at once or not at all. 0, -EAGAIN, -EPIPE, -EPROTO. The length must
 * not be above bytes_capacity.
 */
int brood__bytes_claim(const struct bytes *bytes, size_t length, struct place *place);
/* Whether claim, now, would not be -EAGAIN; whether take would not. Nothing is taken. */
bool brood__bytes_has_room(const struct bytes *bytes, size_t length);
bool brood__bytes_has_message(const struct bytes *bytes);
/* Written: make it a message, and tell a reader. */
void brood__bytes_commit(const struct bytes *bytes, const struct place *place, unsigned int tag,
			 size_t length);
void brood__bytes_abort(const struct bytes *bytes, const struct place *place);
/*
 * The same for a caller who knows that nobody else writes: where there is room, and a message there.
 * Between the two nothing is claimed: readers are not disturbed, and who dies leaves nothing.
 */
int brood__bytes_room(const struct bytes *bytes, size_t length, struct place *place);
void brood__bytes_append(const struct bytes *bytes, const struct place *place, unsigned int tag,
			 size_t length);

/*
 * Lease the first message, at once or not at all. 0, -EAGAIN, -EPIPE, -EMSGSIZE, -EBUSY, -EPROTO.
 */
int brood__bytes_take(const struct bytes *bytes, struct taking *taking);
/*
 * The same for the message at this position, or the next when that is taken; what came back before it
 * is left alone.
 */
int brood__bytes_take_from(const struct bytes *bytes, uint64_t position, struct taking *taking);
/*
 * From a message that nobody takes meanwhile to the next, leaving out what is DONE. False when that
 * is not READY.
 */
bool brood__bytes_next(const struct bytes *bytes, uint64_t *position, uint64_t *note);
/* Read: its room is free, and writers are told. */
void brood__bytes_release(const struct bytes *bytes, const struct place *place);

/* 0, or -EAGAIN when others were always faster. */
int brood__bytes_close(const struct bytes *bytes);
bool brood__bytes_closed(const struct bytes *bytes);
/* Messages in it; granules in use. */
size_t brood__bytes_count(const struct bytes *bytes);
size_t brood__bytes_used(const struct bytes *bytes);

/* What a dead member had. Any step may be repeated. */
void brood__bytes_sweep(const struct bytes *bytes, uint32_t dead);

/* All who wait for room look again. */
void brood__bytes_wake_writers(const struct bytes *bytes);

/*
 * How to wait on one of its lists; count it as found at once, or not. Messages of `length` bytes
 * tell the writers how long to stay away.
 */
struct brood__wait brood__bytes_reading(const struct bytes *bytes, int64_t timeout);
struct brood__wait brood__bytes_writing(const struct bytes *bytes, size_t length, int64_t timeout);

static inline void bytes_at_once(_Atomic uint32_t *streak)
{
	if (brood__unlikely(!atomic_load_explicit(streak, memory_order_relaxed)))
		atomic_store_explicit(streak, 1, memory_order_relaxed);
}

#endif
