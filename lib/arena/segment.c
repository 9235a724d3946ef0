/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A segment's header: laid out by the creator, checked by everybody else before a byte is believed.
 *
 * The header is written once, before anybody else can have the file: the family arena is inherited,
 * and a named segment gets its name only when it is complete. `check` covers every field that does
 * not change; the fields that do (top, freed, members_used) are bounded where they are used.
 */
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "arena/arena.h"
#include "wait/wait.h"

/* The format: what must be the same in two programs that share a segment, folded together. */
#define FORMAT_VERSION 3ull
#define FORMAT (0x62726f6f64ull << 24 ^ FORMAT_VERSION << 56 ^ \
		sizeof(struct brood__header) << 40 ^ sizeof(struct brood__member) << 28 ^ \
		sizeof(struct brood__block) << 16 ^ sizeof(void *) << 8 ^ BROOD__LINE)

_Static_assert(sizeof(struct brood__member) == 2 * BROOD__LINE, "a member is two lines");
_Static_assert(sizeof(struct brood__block) == BROOD__LINE, "a block's header is a line");
_Static_assert(sizeof(struct brood__object) == BROOD__LINE, "an object begins with a line");

static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
	return sum ^ sum >> 29;
}

static uint64_t check_of(const struct brood__header *header)
{
	uint64_t sum = mix(1, header->magic);

	sum = mix(sum, header->bytes);
	sum = mix(sum, header->members_at);
	sum = mix(sum, header->heap_at);
	sum = mix(sum, header->pid_namespace);
	return mix(sum, (uint64_t)header->members_max << 32 | header->tag);
}

static uint64_t heap_at(uint64_t members_at, uint64_t members_max)
{
	uint64_t page = brood__page_size();

	return (members_at + (members_max + BROOD__GUESTS) * sizeof(struct brood__member) +
		page - 1) / page * page;
}

/* `header` is what was written or checked, never what may be another by now. */
static void attach_members(struct brood_segment *segment, const struct brood__header *header)
{
	segment->heap_at = header->heap_at;
	segment->members.table = brood__at(segment, header->members_at);
	segment->members.used = &segment->header->members_used;
	segment->members.max = header->members_max;
	segment->members.changed = brood__wake_sleepers;
	/* A1, last: who finds it set in the family's members finds all of the segment. */
	__atomic_store_n(&segment->members.sweep, brood__sweep_segment, __ATOMIC_RELEASE);
}

int brood__segment_map(struct brood_segment *segment)
{
	segment->base = brood__memory_map(segment->fd, segment->bytes);
	if (!segment->base)
		return -errno;
	segment->header = (struct brood__header *)segment->base;
	return 0;
}

bool brood__segment_has_file(const struct brood_segment *segment)
{
	struct brood__file_id id;

	return brood__file_identify(segment->fd, &id) == 0 && id.inode == segment->file.inode &&
	       id.device == segment->file.device;
}

void brood__segment_unmap(struct brood_segment *segment)
{
	if (segment->base)
		brood__memory_unmap(segment->base, segment->bytes);
	if (segment->fd >= 0 && brood__segment_has_file(segment))
		close(segment->fd);
	segment->base = NULL;
	segment->fd = -1;
}

int brood__segment_format(struct brood_segment *segment, uint32_t members_max)
{
	struct brood__header *header = segment->header;
	uint64_t members_at = brood__page_size();
	unsigned char tag = 0;
	int result = brood__memory_commit(segment->fd, 0, heap_at(members_at, members_max));

	if (result)
		return result;
	while (tag == 0)
		if (getrandom(&tag, 1, 0) < 0)
			tag = (unsigned char)(brood_now() % 255 + 1);
	header->magic = FORMAT;
	header->bytes = segment->bytes;
	header->members_at = members_at;
	header->heap_at = heap_at(members_at, members_max);
	header->pid_namespace = brood__pid_namespace();
	header->members_max = members_max;
	header->tag = tag;
	header->check = check_of(header);
	atomic_store_explicit(&header->top, header->heap_at, memory_order_release);
	attach_members(segment, header);
	return 0;
}

static int validate(const struct brood_segment *segment, const struct brood__header *header)
{
	uint64_t top = atomic_load_explicit(&header->top, memory_order_acquire);

	if (header->magic != FORMAT || header->check != check_of(header) ||
	    header->bytes != segment->bytes || header->members_max == 0 ||
	    header->members_max > BROOD_MEMBERS_MAX || header->tag == 0 || header->tag > 255 ||
	    header->members_at != brood__page_size() ||
	    header->heap_at != heap_at(header->members_at, header->members_max) ||
	    header->heap_at > header->bytes || top < header->heap_at || top > header->bytes ||
	    top % BROOD__LINE ||
	    atomic_load_explicit(&header->members_used, memory_order_relaxed) >
		    header->members_max + BROOD__GUESTS)
		return -EPROTO;
	if (header->pid_namespace != brood__pid_namespace())
		return -EXDEV;
	return 0;
}

/*
 * The header is checked on a private copy. It is read, not looked at through the mapping: a file that
 * somebody else made may have holes there, and a look at those may need memory that is not to be had.
 */
int brood__segment_attach(struct brood_segment *segment)
{
	struct brood__header header;
	int result = brood__file_read(segment->fd, &header, sizeof(header));

	if (result == 0)
		result = validate(segment, &header);
	if (result == 0)
		result = brood__memory_commit(segment->fd, 0, header.heap_at);
	if (result == 0)
		attach_members(segment, &header);
	return result;
}
