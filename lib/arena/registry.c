/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The segments that this process has: the family arena and the named ones that it opened.
 *
 * Finding the segment of an address is two comparisons for the family arena. For the others it is
 * a look at a table that readers never lock: liburcu's RCU keeps a segment's description until
 * nobody can be reading it. Changes are made under one mutex, which is free in a forked child.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <urcu-bp.h>

#include "arena/arena.h"

#define FAMILY_BYTES (64ull << 30)
#define FAMILY_BYTES_LEAST (256ull << 20)
#define NAMED_BYTES (1ull << 30)
#define LEAST_BYTES (1ull << 20)
#define MOST_BYTES (1ull << 36)

struct brood_segment brood__family = { .fd = -1 };
static struct brood_segment *named[BROOD__SEATS];	/* by seat; seat 0 is the family's */
static struct brood__guard guard = BROOD__GUARD_INITIALIZER;

static void lock(void)
{
	brood__guard_lock(&guard);
}

static void unlock(void)
{
	brood__guard_unlock(&guard);
}

static void before_fork(void)
{
	lock();
	urcu_bp_before_fork();
}

static void after_fork_in_parent(void)
{
	urcu_bp_after_fork_parent();
	unlock();
}

static void after_fork_in_child(void)
{
	urcu_bp_after_fork_child();
	atomic_store(&brood__family.members.here, 0);
	for (uint32_t seat = 1; seat < BROOD__SEATS; seat++)
		if (named[seat])
			atomic_store(&named[seat]->members.here, 0);
	unlock();
}

static void stay_usable_after_fork(void) __attribute__((constructor));
static void stay_usable_after_fork(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static int read_opts(const struct brood_segment_opts *given, struct brood_segment_opts *opts,
		     size_t default_bytes)
{
	size_t page = brood__page_size();
	int result = brood__options(opts, sizeof(*opts), given);

	if (result)
		return result;
	if (opts->members == 0)
		opts->members = BROOD_MEMBERS_MAX;
	if (opts->members > BROOD_MEMBERS_MAX ||
	    (opts->bytes && (opts->bytes < LEAST_BYTES || opts->bytes > MOST_BYTES)))
		return -EINVAL;
	if (opts->bytes == 0)
		opts->bytes = default_bytes;
	opts->bytes = (opts->bytes + page - 1) / page * page;
	return 0;
}

static int make_family(const struct brood_segment_opts *opts)
{
	int result;

	brood__family.fd = brood__memory_file("brood", opts->bytes);
	if (brood__family.fd < 0)
		return brood__family.fd;
	brood__family.bytes = opts->bytes;
	result = brood__file_identify(brood__family.fd, &brood__family.file);
	if (result == 0)
		result = brood__segment_map(&brood__family);
	if (result == 0)
		result = brood__segment_format(&brood__family, opts->members);
	if (result)
		brood__segment_unmap(&brood__family);
	return result;
}

int brood_init(const struct brood_segment_opts *given)
{
	struct brood_segment_opts opts;
	int result = read_opts(given, &opts, 0);
	bool any_size = result == 0 && opts.bytes == 0;

	if (any_size)
		opts.bytes = FAMILY_BYTES;
	if (result)
		return result;
	lock();
	result = brood__family.base ? -EALREADY : make_family(&opts);
	/* The program may be allowed fewer addresses, or smaller files, than we should like; valgrind
	 * says so by EINVAL. */
	while ((result == -ENOMEM || result == -ENOSPC || result == -EINVAL) && any_size && opts.bytes > FAMILY_BYTES_LEAST) {
		opts.bytes /= 2;
		result = make_family(&opts);
	}
	unlock();
	return result;
}

int brood__family_ready(void)
{
	int result;

	if (brood__likely(__atomic_load_n(&brood__family.members.sweep, __ATOMIC_ACQUIRE) != NULL))
		return 0;	/* A1 */
	result = brood_init(NULL);
	return result == -EALREADY ? 0 : result;
}

struct brood_segment *brood__segment(struct brood_segment *segment)
{
	int result;

	if (segment && segment != &brood__family) {
		for (uint32_t seat = 1; seat < BROOD__SEATS; seat++)
			if (named[seat] == segment)
				return segment;
		errno = EINVAL;
		return NULL;
	}
	result = brood__family_ready();
	if (result) {
		errno = -result;
		return NULL;
	}
	return &brood__family;
}

struct brood_segment *brood__named_segment_of(const void *address)
{
	struct brood_segment *found = NULL;

	urcu_bp_read_lock();
	for (uint32_t seat = 1; seat < BROOD__SEATS && !found; seat++) {
		struct brood_segment *segment = rcu_dereference(named[seat]);

		if (segment && brood__lies_in(segment, address))
			found = segment;
	}
	urcu_bp_read_unlock();
	return found;
}

static int free_seat(void)
{
	for (uint32_t seat = 1; seat < BROOD__SEATS; seat++)
		if (!named[seat])
			return (int)seat;
	return -EMFILE;
}

/* Under the mutex. */
static int enter(struct brood_segment *segment)
{
	int seat = free_seat();

	if (seat < 0)
		return seat;
	segment->members.seat = (uint32_t)seat;
	segment->opens = 1;
	rcu_assign_pointer(named[seat], segment);
	return 0;
}

static struct brood_segment *fail(struct brood_segment *segment, int error)
{
	if (segment) {
		brood__segment_unmap(segment);
		free(segment);
	}
	errno = -error;
	return NULL;
}

static int make_named(struct brood_segment *segment, const char *name,
		      const struct brood_segment_opts *opts)
{
	char temporary[64];
	int result = brood__shm_check_name(name);

	if (result)
		return result;
	brood__shm_reclaim();
	segment->fd = brood__shm_create(temporary);
	if (segment->fd < 0)
		return segment->fd;
	segment->bytes = opts->bytes;
	result = brood__file_identify(segment->fd, &segment->file);
	if (result == 0)
		result = brood__file_resize(segment->fd, opts->bytes);
	if (result == 0)
		result = brood__segment_map(segment);
	if (result == 0)
		result = brood__segment_format(segment, opts->members);
	if (result == 0)
		return brood__shm_publish(temporary, name);
	brood__shm_discard(temporary);
	return result;
}

struct brood_segment *brood_segment_create(const char *name, const struct brood_segment_opts *given)
{
	struct brood_segment_opts opts;
	struct brood_segment *segment;
	int result = read_opts(given, &opts, NAMED_BYTES);

	if (result)
		return fail(NULL, result);
	segment = calloc(1, sizeof(*segment));
	if (!segment)
		return NULL;
	segment->fd = -1;
	lock();
	result = free_seat() < 0 ? -EMFILE : make_named(segment, name, &opts);
	if (result == 0)
		result = enter(segment);
	unlock();
	return result ? fail(segment, result) : segment;
}

/*
 * The file of the descriptor. One whose size is sealed is a family arena, and has no name by which
 * others could come to it: its mode says nothing.
 */
static int attach(struct brood_segment *segment)
{
	int result;

	if (segment->fd < 0)
		return segment->fd;
	result = brood__file_identify(segment->fd, &segment->file);
	if (result)
		return result;
	if (!brood__file_is_private(&segment->file) &&
	    !(brood__fd_size_is_sealed(segment->fd) && brood__file_is_mine(&segment->file)))
		return -EPERM;
	if (!segment->file.regular || segment->file.size < LEAST_BYTES ||
	    segment->file.size > MOST_BYTES || segment->file.size % brood__page_size())
		return -EPROTO;
	segment->bytes = segment->file.size;
	result = brood__segment_map(segment);
	return result ? result : brood__segment_attach(segment);
}

/* Under the mutex: one that this process has open already. */
static struct brood_segment *open_already(const struct brood_segment *segment)
{
	if (brood__family.base && brood__family.file.inode == segment->file.inode &&
	    brood__family.file.device == segment->file.device)
		return &brood__family;
	for (uint32_t seat = 1; seat < BROOD__SEATS; seat++)
		if (named[seat] && named[seat]->file.inode == segment->file.inode &&
		    named[seat]->file.device == segment->file.device)
			return named[seat];
	return NULL;
}

struct brood_segment *brood__segment_open_fd(int fd)
{
	struct brood_segment *segment = calloc(1, sizeof(*segment)), *already;
	int result;

	if (!segment) {
		if (fd >= 0)
			brood__fd_close(fd);
		errno = ENOMEM;
		return NULL;
	}
	segment->fd = fd;
	lock();
	result = attach(segment);
	already = result ? NULL : open_already(segment);
	if (already)
		already->opens++;
	else if (result == 0)
		result = enter(segment);
	unlock();
	if (already) {
		brood__segment_unmap(segment);
		free(segment);
		return already;
	}
	return result ? fail(segment, result) : segment;
}

struct brood_segment *brood_segment_open(const char *name)
{
	brood__shm_reclaim();
	return brood__segment_open_fd(brood__shm_open(name));
}

/* Under the mutex. */
static int seat_of(const struct brood_segment *segment)
{
	for (uint32_t seat = 1; seat < BROOD__SEATS; seat++)
		if (segment && named[seat] == segment)
			return (int)seat;
	return -EINVAL;
}

/* Under the mutex: 1 when this close was the last. A thread that lives keeps its entry mapped. */
static int give_up(struct brood_segment *segment, int seat)
{
	if (segment->opens > 1) {
		segment->opens--;
		return 0;
	}
	if (atomic_load(&segment->members.here) > brood__is_member(&segment->members))
		return -EBUSY;
	brood__member_leave(&segment->members);
	rcu_assign_pointer(named[seat], NULL);
	return 1;
}

int brood_segment_close(struct brood_segment *segment)
{
	int result;

	lock();
	result = seat_of(segment);
	if (result > 0)
		result = give_up(segment, result);
	unlock();
	if (result <= 0)
		return result;
	urcu_bp_synchronize_rcu();
	brood__segment_unmap(segment);
	free(segment);
	return 0;
}

int brood_segment_unlink(const char *name)
{
	return brood__shm_unlink(name);
}

static bool segment_around(const void *address, struct brood__here *here)
{
	struct brood_segment *segment = brood__segment_of(address);

	if (!segment)
		return false;
	here->base = (uintptr_t)segment->base;
	here->bytes = segment->bytes;
	here->members = &segment->members;
	return true;
}

static void be_found(void) __attribute__((constructor));
static void be_found(void)
{
	brood__segment_around = segment_around;
}

void brood__deaths_noticed(void)
{
	for (uint32_t seat = 0; brood__self && seat < BROOD__SEATS; seat++)
		if (brood__self->ids[seat])
			brood__member_sweep(brood__self->members[seat]);
}
