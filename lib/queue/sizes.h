/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the rings have in common: sizes, and how long who streams stays away. */
#ifndef BROOD_SIZES_H
#define BROOD_SIZES_H

#include <stdint.h>

#define MAX_BYTES_LIMIT (1ull << 30)
#define PUT_GATHER_MOST 400u	/* pauses: about the time in which that many messages go through */
#define GET_GATHER_MOST 100u	/* who waits for a message is waited for more often */

static inline uint64_t round_up(uint64_t n, uint64_t step)
{
	return (n + step - 1) / step * step;
}

static inline uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint64_t power_of_two(uint64_t n)
{
	uint64_t power = 1;

	while (power < n)
		power *= 2;
	return power;
}

/* Pauses for who streams through a ring that holds so many messages: three eighths of them. */
static inline uint32_t gather_for(uint32_t capacity, uint32_t most)
{
	return least(capacity * 3 / 8, most);
}

#endif
