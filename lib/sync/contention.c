/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contention of an object: see contention.h. */
#include "sync/contention.h"

struct brood_contention *brood__contention_at(const void *object, int64_t distance,
					      const struct brood__here *here)
{
	uintptr_t counts = (uintptr_t)object + (uintptr_t)distance;

	if (counts % sizeof(uint64_t) ||
	    counts - here->base > here->bytes - sizeof(struct brood_contention))
		return NULL;
	return (struct brood_contention *)counts;
}

static void raise_to(uint64_t *most, uint64_t n)
{
	uint64_t seen = atomic_load_explicit(sync_word(most), memory_order_relaxed);

	while (seen < n && !atomic_compare_exchange_weak_explicit(sync_word(most), &seen, n,
								  memory_order_relaxed,
								  memory_order_relaxed))
		;
}

void brood__contention_count(const struct sync_tally *tally, ssize_t result)
{
	struct brood_contention *counts = tally->counts;

	if (result < 0 && result != -EOWNERDEAD)
		return;
	sync_add(&counts->acquisitions, 1);
	if (result == -EOWNERDEAD)
		sync_add(&counts->owner_deaths, 1);
	if (tally->since) {
		sync_add(&counts->waits, 1);
		raise_to(&counts->longest_wait, (uint64_t)(brood_now() - tally->since));
	}
}

int brood__contention_watch(void *object, size_t word, struct brood_contention *counts)
{
	int64_t distance = counts ? (int64_t)((uintptr_t)counts - (uintptr_t)object) : 0;
	struct brood__here here;
	int result = sync_enter(object, BROOD__LINE, &here);

	if (result)
		return result;
	if ((uintptr_t)counts % sizeof(uint64_t))
		return -EINVAL;
	if (counts && !brood__contention_at(object, distance, &here))
		return -EBADF;
	/* T1 */
	atomic_store_explicit(sync_contention((int64_t *)(void *)((char *)object + word)), distance,
			      memory_order_release);
	return 0;
}
