/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events between threads and processes: something has happened, or has not yet.
 *
 * An event is set or clear. Who waits for it goes on when it is set; it stays set until somebody
 * clears it. Every waiter of a set is released by it, even if the event is cleared at once
 * afterwards, before the waiter has run.
 *
 * Where they live. In memory of a segment: alone (brood_event_create), or in a struct of the user's
 * from brood_alloc or in a named segment. 64 bytes, aligned to 64. All zero is a clear event;
 * brood_event_init is for memory that may hold something else. Elsewhere every call gets -EBADF.
 * Memory that holds an event which somebody uses must not be freed.
 *
 * Order. What a member wrote before it set the event is seen by whoever finds it set, or is
 * released by it; also when it was set already: who clears an event and then looks whether there is
 * work finds the work, or finds the event set again.
 *
 * If somebody dies. A member that dies inside a call has set (cleared) the event or has not. If it
 * has set it, all waiters are released, though it did not come to waking them. A waiter that dies
 * leaves nothing behind that matters.
 *
 * Signal handlers. All calls but brood_event_wait, init, create and destroy may be made in a signal
 * handler whose thread is a member of the segment already, by an earlier call on any object in it.
 * Otherwise the call makes the thread a member, which is no work for a signal handler.
 *
 * All calls but brood_event_wait return at once, and are wait-free. Errors of all: -EINVAL (NULL,
 * not aligned), -EBADF (in no segment), -EUSERS (member limit).
 *
 * The word counts changes, as the eventcounts of D. P. Reed and R. K. Kanodia ("Synchronization
 * with Eventcounts and Sequencers", 1979).
 */
#ifndef BROOD_EVENT_H
#define BROOD_EVENT_H

#include <brood/base.h>
#include <brood/contention.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_event_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_event_opts) */
	struct brood_segment *segment;	/* for brood_event_create; NULL = the family arena */
};

struct brood_event {		/* 64 bytes; the members are the library's */
	BROOD_ALIGNED uint64_t word;
	uint32_t waiters[9];
	uint32_t reserved;
	int64_t contention;
	uint32_t reserved_too[2];
};

/* Make it a clear one, whatever was there. Not while others use it. 0. */
BROOD_API int brood_event_init(struct brood_event *event);

/* One of its own, NULL = default options. NULL with errno: EINVAL, ENOSPC, EUSERS. */
BROOD_API struct brood_event *brood_event_create(const struct brood_event_opts *opts);

/* 0, -EINVAL (not created). */
BROOD_API int brood_event_destroy(struct brood_event *event);

/*
 * Set it and release all who wait, with a system call for each that sleeps and none otherwise.
 * Setting a set event is fine. 0.
 */
BROOD_API int brood_event_set(struct brood_event *event);

/* Who waits from now on waits for the next set. Clearing a clear event is fine. 0. */
BROOD_API int brood_event_clear(struct brood_event *event);

/* 1 while it is set, 0. */
BROOD_API int brood_event_is_set(const struct brood_event *event);

/*
 * Wait until it is set. 0, also when it was set during the call and has been cleared again; -EAGAIN
 * (timeout 0 and it is clear), -ETIMEDOUT.
 */
BROOD_API int brood_event_wait(struct brood_event *event, int64_t timeout);

/*
 * Count in *contention from now on, which is in the same segment; NULL = no longer. See
 * brood/contention.h. Acquisitions are the waits that returned 0, waits those of them that did not
 * find it set; owner_deaths stays 0. 0; -EINVAL (not aligned), -EBADF (not in the segment).
 */
BROOD_API int brood_event_watch(struct brood_event *event, struct brood_contention *contention);

/*
 * A descriptor for event loops, readable when it is set, until brood_event_wait with a timeout of 0
 * has said that it is not; all that brood_queue_fd says (brood/queue.h) holds. Close it by the
 * second call. 0, -EBADF.
 */
BROOD_API int brood_event_fd(struct brood_event *event);
BROOD_API int brood_event_fd_close(struct brood_event *event);

#ifdef __cplusplus
}
#endif

#endif
