/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Segments: the memory that brood's objects live in.
 *
 * There are two kinds, and one set of calls for both.
 *
 * The family arena has no name and is there without being asked for: a memory file mapped at one
 * range of addresses before the first child is started, so that every descendant has it at the same
 * place. Every call below that takes a segment means the family arena by NULL. It is made by the
 * first call that needs it, or by brood_init(). An object that any member makes at any time,
 * also long after the fork, can be used by every other member: by its pointer, or, checked, by the
 * 64-bit reference of brood_ref(), which can travel in a message. It is gone when the last process
 * of the family ends; nothing is left in the file system at any time.
 *
 * Named segments are for processes that are not related. They are files of POSIX shared memory,
 * mode 0600, that appear under their name only when they are complete. A process maps one
 * anywhere, so only references and names, no pointers, may be exchanged through it. Attaching
 * checks the owner, the mode, the size and every field of the header before it believes anything.
 *
 * Memory is reserved as addresses at the start and allocated from the kernel in steps as it is
 * needed. When the kernel has no more, the call gets -ENOSPC; a member never gets SIGBUS,
 * as long as it keeps its hands off memory that was freed.
 *
 * Death. A member that is killed inside brood_alloc() or while it creates an object leaves
 * nothing behind: the next member that looks gives the memory back. Memory and objects that were
 * handed out stay until somebody frees or destroys them, or the segment ends. A creator of a
 * named segment that is killed before the name appears leaves a temporary file; the next create
 * or open of any name removes it once its creator is dead.
 *
 * Threads. Every call is thread safe; a segment can be closed when the other threads of the
 * process that have used it have ended: they are members of it as long as they live.
 */
#ifndef BROOD_SEGMENT_H
#define BROOD_SEGMENT_H

#include <stdbool.h>

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_segment;

struct brood_segment_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_segment_opts) */
	size_t bytes;		/* address range to reserve, rounded up to pages, 1 MiB to 64 GiB; 0 =
				 * 64 GiB for the family arena, or half of that and so on down to
				 * 256 MiB if the
				 * process may not have so much; 1 GiB for a named segment */
	uint32_t members;	/* members at one time, 0 = BROOD_MEMBERS_MAX, which is also the most */
};

/*
 * Make the family arena now, with options. Only needed when the defaults do not fit: call it
 * before any other call of brood and before the first fork.
 *
 * Returns 0; -EALREADY when the arena is there already; -EINVAL for options that make no sense;
 * -ENOMEM, -ENOSPC, -EMFILE, -ENFILE when the kernel refuses. Never blocks.
 */
BROOD_API int brood_init(const struct brood_segment_opts *opts);

/*
 * Create a named segment. The name is 1 to 200 characters without '/'; a leading '/' is allowed.
 * The caller is attached to it. A segment that exists is never replaced: EEXIST.
 *
 * Returns the segment or NULL with errno: EEXIST, EINVAL, ENOSPC, ENOMEM, EMFILE, ENOENT when
 * /dev/shm is absent, EACCES, ENAMETOOLONG. Never blocks.
 */
BROOD_API struct brood_segment *brood_segment_create(const char *name,
						     const struct brood_segment_opts *opts);

/*
 * Attach to a named segment that exists. A process may open one several times and must close it as
 * often.
 *
 * Returns the segment or NULL with errno: ENOENT when no segment has the name (or /dev/shm is
 * absent), EPERM when it belongs to another user or others may write it, EPROTO when it is not a
 * segment of this format or is damaged, EXDEV when it belongs to another pid namespace (thread
 * ids would collide), EINVAL and ENAMETOOLONG for the name, ENOSPC, ENOMEM, EMFILE. Never blocks.
 */
BROOD_API struct brood_segment *brood_segment_open(const char *name);

/*
 * Detach. The last close of a process unmaps the segment; every object in it is then no longer
 * usable by this process. The segment lives on for others. 0; -EBUSY while another living thread of
 * the process has used it, and nothing is done; -EINVAL for anything that is no open segment.
 */
BROOD_API int brood_segment_close(struct brood_segment *segment);

/*
 * Remove the name. Whoever is attached goes on; the memory is freed with the last of them.
 * 0, -ENOENT, -EACCES, -EINVAL, -ENAMETOOLONG.
 */
BROOD_API int brood_segment_unlink(const char *name);

/*
 * Memory for the user's own structs: zeroed, aligned to 64 bytes, in the segment. O(blocks).
 * May wait, for the moment of a few stores, for another member that allocates; one that is dead is
 * no obstacle. NULL with errno EINVAL (size 0), ENOSPC, EUSERS, EPROTO (damaged).
 */
BROOD_API void *brood_alloc(struct brood_segment *segment, size_t bytes);

/*
 * Give back what brood_alloc returned; segment NULL = the one that it lies in. The caller sees to it
 * that nobody uses it any more; references to it no longer resolve. 0, or -EINVAL when it is no such memory (an object, freed
 * already, foreign).
 */
BROOD_API int brood_free(struct brood_segment *segment, void *memory);

/*
 * A reference to an object or to memory of brood_alloc, for use in any process that has the
 * segment: 64 bits, never 0, good until the object is destroyed. 0 with errno EFAULT when the
 * pointer is neither.
 */
BROOD_API uint64_t brood_ref(struct brood_segment *segment, const void *object);

/*
 * The object that a reference names, here. NULL with errno EFAULT when it cannot be a reference
 * into this segment, ESTALE when what it named has been destroyed, EPROTO when it is damaged.
 */
BROOD_API void *brood_deref(struct brood_segment *segment, uint64_t reference);

struct brood_segment_info {
	size_t bytes_reserved;	/* the address range */
	size_t bytes_committed;	/* allocated from the kernel */
	size_t bytes_used;	/* in live objects and memory, headers included */
	uint32_t objects;	/* live objects and pieces of memory */
	uint32_t members;	/* living members now */
	uint32_t members_max;	/* the limit */
	uint32_t dead;		/* dead members that nobody has swept yet */
};

/* What is in a segment now. A snapshot: each figure was true at some moment of the call. */
BROOD_API int brood_segment_stat(struct brood_segment *segment, struct brood_segment_info *info);

#ifdef __cplusplus
}
#endif

#endif
