/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Barriers between threads and processes: who comes waits until as many have come as there are
 * parties; then all go on together. It can be used again at once: who is quick may wait for the
 * next round while others have not yet left the last one.
 *
 * Where they live. In memory of a segment: alone (brood_barrier_create), or in a struct of the
 * user's from brood_alloc or in a named segment. 2112 bytes, aligned to 64: a word for each member
 * that may wait. It must be initialised: all zero has no parties, and -EINVAL from every call.
 * Elsewhere every call gets -EBADF. Memory that holds a barrier which somebody uses must not be
 * freed.
 *
 * Broken. A barrier breaks when a wait is too late, when an action fails, when a party dies inside
 * a wait, and by brood_barrier_abort. All that wait then get -EPIPE, and so does every wait, at
 * once, until brood_barrier_reset. A round that has been released is never broken afterwards: its
 * parties all get their index, however late they look.
 *
 * If a party dies inside a wait, before the round is released, the barrier is broken: those that
 * sleep in it are woken by the death, and who comes last looks for it. The end of a thread counts
 * as its death. A death outside of a wait is not the barrier's concern: nothing tells whose
 * parties are still to come; use timeouts, or abort. A member that dies inside abort or reset has
 * done it or not; inside reset, the barrier may also be left broken.
 *
 * Order. What each party wrote before its wait is seen by all behind it, and by the action.
 *
 * Errors of all calls: -EINVAL (NULL, not aligned, not initialised), -EBADF (in no segment),
 * -EUSERS (member limit). All but the waits return at once.
 *
 * The rounds are those of the sense-reversing barrier (D. Hensgen, R. Finkel, U. Manber, 1988)
 * with a number in place of the sense; the states are those of Python's threading.Barrier.
 */
#ifndef BROOD_BARRIER_H
#define BROOD_BARRIER_H

#include <brood/base.h>
#include <brood/contention.h>
#include <brood/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_barrier_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_barrier_opts) */
	struct brood_segment *segment;	/* for brood_barrier_create; NULL = the family arena */
};

struct brood_barrier {		/* 2112 bytes; the members are the library's */
	BROOD_ALIGNED uint64_t word;
	uint32_t parties;
	uint32_t waiters[9];
	int64_t contention;
	uint32_t reserved[2];
	uint64_t slots[BROOD_MEMBERS_MAX];
};

/*
 * Make it one for 1 to BROOD_MEMBERS_MAX parties, nobody waiting, not broken, whatever was there.
 * Not while others use it. 0, -EINVAL.
 */
BROOD_API int brood_barrier_init(struct brood_barrier *barrier, int parties);

/* One of its own, NULL = default options. NULL with errno: EINVAL, ENOSPC, EUSERS. */
BROOD_API struct brood_barrier *brood_barrier_create(int parties,
						     const struct brood_barrier_opts *opts);

/* 0, -EINVAL (not created). */
BROOD_API int brood_barrier_destroy(struct brood_barrier *barrier);

/*
 * Wait for the others. The index of the caller in the round, from 0 in the order of coming: each
 * party gets another. -EPIPE (broken); -ETIMEDOUT: it was broken by this call being late, and the
 * others get -EPIPE; -EAGAIN (timeout 0, and the caller is not the last to come): nothing is
 * changed, the caller has not come. -EDEADLK from an action or in a signal handler that
 * interrupted a wait of the same thread at the same barrier.
 *
 * More members than parties may use it. Those that come while a round is complete, but its action
 * still runs, belong to the next; if they are late before it begins, nothing breaks.
 */
BROOD_API int brood_barrier_wait(struct brood_barrier *barrier, int64_t timeout);

/*
 * The same; if the caller is the last to come, it runs action(argument) before anybody goes on: so
 * it is run once a round, if all give the same one. If that returns other than 0, the caller gets
 * it, made negative, and the barrier is broken. While it runs the others may be late, or abort:
 * then the caller gets -EPIPE.
 */
BROOD_API int brood_barrier_wait_action(struct brood_barrier *barrier,
					int (*action)(void *argument), void *argument,
					int64_t timeout);

/* Break it; twice is fine. 0. */
BROOD_API int brood_barrier_abort(struct brood_barrier *barrier);

/*
 * Make it usable again and empty, broken or not. Those that wait get -EPIPE, even if they look
 * only when the next round has begun. 0.
 */
BROOD_API int brood_barrier_reset(struct brood_barrier *barrier);

/*
 * As it was at some moment of the call: how many wait for others to come (0 when broken, and as
 * soon as a round is released); how many parties there are; 1 when it is broken, 0. Or an error.
 */
BROOD_API int brood_barrier_n_waiting(struct brood_barrier *barrier);
BROOD_API int brood_barrier_parties(struct brood_barrier *barrier);
BROOD_API int brood_barrier_broken(struct brood_barrier *barrier);

/*
 * Count in *contention from now on, which is in the same segment; NULL = no longer. See
 * brood/contention.h. Acquisitions are the waits that returned an index, waits those of them that
 * did not come last or had to wait for the round before; owner_deaths are the rounds that a death
 * broke. 0; -EINVAL (not aligned), -EBADF (not in the segment).
 */
BROOD_API int brood_barrier_watch(struct brood_barrier *barrier,
				  struct brood_contention *contention);

#ifdef __cplusplus
}
#endif

#endif
