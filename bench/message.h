/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is in a message, and how a consumer sees that it is right.
 *
 * The first word is the id: producer and sequence number. The last word is the id again, turned by
 * a key, so that a torn message shows; the words between are a pattern of their place, and looked
 * at in one message of 64 because the check must not cost more than the queue. Messages that are
 * written and read in full hold id, id + 1, id + 2, ... and are summed up, every one of them.
 */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MESSAGE_STOP UINT64_MAX
#define MESSAGE_KEY 0x9e3779b97f4a7c15u
#define MESSAGE_SEQUENCE_BITS 48
#define MESSAGE_PRODUCERS 32u

static inline uint64_t message_id(unsigned int producer, uint64_t sequence)
{
	return (uint64_t)producer << MESSAGE_SEQUENCE_BITS | sequence;
}

/* Lay the pattern, once, into a buffer that message_stamp() will be used on again and again. */
static inline void message_prepare(uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		words[i] = i * MESSAGE_KEY;
}

static inline void message_stamp(uint64_t *words, size_t n, uint64_t id)
{
	words[0] = id;
	if (n > 1)
		words[n - 1] = id ^ MESSAGE_KEY;
}

static inline bool message_whole(const uint64_t *words, size_t n)
{
	if (n > 1 && words[n - 1] != (words[0] ^ MESSAGE_KEY))
		return false;
	if (words[0] & 63)
		return true;
	/* words[1] carries the time in queue.paced */
	for (size_t i = 2; i + 1 < n; i++)
		if (words[i] != i * MESSAGE_KEY)
			return false;
	return true;
}

/*
 * Two pairs of words at a time, in a width that every 64-bit CPU has: one word at a time, the loop
 * would be the limit and not the queue.
 */
struct message_pairs {
	uint64_t a __attribute__((vector_size(16)));
	uint64_t b __attribute__((vector_size(16)));
};

#define MESSAGE_LANES (sizeof(struct message_pairs) / sizeof(uint64_t))

static inline void message_fill(uint64_t *words, size_t n, uint64_t id)
{
	struct message_pairs v = { { id, id + 1 }, { id + 2, id + 3 } };
	size_t i = 0;

	for (; i + MESSAGE_LANES <= n; i += MESSAGE_LANES) {
		memcpy(words + i, &v.a, sizeof v.a);
		memcpy(words + i + 2, &v.b, sizeof v.b);
		v.a += MESSAGE_LANES;
		v.b += MESSAGE_LANES;
	}
	for (; i < n; i++)
		words[i] = id + i;
}

static inline bool message_full(const uint64_t *words, size_t n)
{
	struct message_pairs sums = { { 0 }, { 0 } };
	struct message_pairs v;
	uint64_t sum = 0;
	size_t i = 0;

	for (; i + MESSAGE_LANES <= n; i += MESSAGE_LANES) {
		memcpy(&v.a, words + i, sizeof v.a);
		memcpy(&v.b, words + i + 2, sizeof v.b);
		sums.a += v.a;
		sums.b += v.b;
	}
	for (; i < n; i++)
		sum += words[i];
	sum += sums.a[0] + sums.a[1] + sums.b[0] + sums.b[1];
	return sum == n * words[0] + (uint64_t)n * (n - 1) / 2;
}

/* What one member has put or got so far. */
struct tally {
	uint64_t count;
	uint64_t sum;				/* of the ids */
	uint64_t last[MESSAGE_PRODUCERS];	/* consumer: sequence number last seen */
};

static inline void tally_put(struct tally *tally, uint64_t id)
{
	tally->count++;
	tally->sum += id;
}

/* False when the message is from nobody, or came after a later one of the same producer. */
static inline bool tally_get(struct tally *tally, uint64_t id)
{
	uint64_t producer = id >> MESSAGE_SEQUENCE_BITS;
	uint64_t sequence = id & ((UINT64_C(1) << MESSAGE_SEQUENCE_BITS) - 1);

	if (producer >= MESSAGE_PRODUCERS || sequence <= tally->last[producer])
		return false;
	tally->last[producer] = sequence;
	tally_put(tally, id);
	return true;
}

#endif
