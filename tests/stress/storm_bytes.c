/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The storm of a ring of bytes: four producers, four consumers, messages from nothing to a quarter
 * of the ring, all calls. Each message whose put returned comes once, or again with the flag if its
 * consumer died; whole, and in the order of its producer. What a dead consumer's get had copied may
 * have been acknowledged by it: then it need not come again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storm_kinds.h"

#define RING 16384u
#define LONGEST (RING / 4)
#define TINY 4u			/* shorter messages have no name */

static struct brood_ring *ring;

static bool make(struct brood_segment *segment)
{
	ring = brood_ring_create(&(struct brood_ring_opts){ .bytes = RING, .segment = segment });
	return ring != NULL;
}

/* ---- producers ---- */

static int put_in_place(uint32_t me, uint32_t number)
{
	struct brood_message m = { 0 };
	size_t length = message_length(me, number, LONGEST);
	int result = brood_ring_reserve(ring, length + random_below(100), &m, some_timeout());

	if (result)
		return result;
	m.length = message_write(m.data, me, number, LONGEST);
	return brood_ring_commit(ring, &m);
}

static int put_copy(uint32_t me, uint32_t number)
{
	unsigned char *data = control->place[me].data;

	return brood_ring_put(ring, data, message_write(data, me, number, LONGEST), some_timeout());
}

static int put_nothing(void)
{
	struct brood_message m = { 0 };
	int result = brood_ring_reserve(ring, 1 + random_below(LONGEST), &m, some_timeout());

	if (result)
		return result;
	memset(m.data, 0xee, m.size);
	return brood_ring_abort(ring, &m);
}

static int put_tiny(void)
{
	unsigned char bytes[TINY];
	uint32_t length = random_below(TINY);

	memset(bytes, (int)(0x80 + length), sizeof bytes);
	return brood_ring_put(ring, bytes, length, some_timeout());
}

static void check(int result, uint32_t me)
{
	if (result && result != -ETIMEDOUT)
		fault("a put failed", (uint64_t)-result, me, 0);
}

static int produce(uint32_t me)
{
	uint32_t number;
	int result;

	while (!atomic_load(&control->over)) {
		if (random_below(16) == 0) {
			check(random_below(2) ? put_nothing() : put_tiny(), me);
			continue;
		}
		if (!log_begin(me, 1, &number))
			break;
		result = random_below(2) ? put_in_place(me, number) : put_copy(me, number);
		log_put(me, number, 1, result ? result : 1);
		check(result, me);
		progress(me, !result);
	}
	return 0;
}

/* ---- consumers ---- */

static bool is_tiny(const void *data, size_t length)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < length && length < TINY; i++)
		if (bytes[i] != 0x80 + length)
			fault("torn", length, bytes[i], 0);
	return length < TINY;
}

/* Two leases at a time, given back in either order. */
static ssize_t take_in_place(struct consumer *c, int64_t timeout)
{
	struct brood_message m[2] = { 0 };
	bool tiny[2];
	ssize_t n = 0;
	int result = 0;

	while (n < 2 && !result) {
		result = brood_ring_lease(ring, &m[n], n ? 0 : timeout);
		if (result)
			break;
		tiny[n] = is_tiny(m[n].data, m[n].length);
		if (!tiny[n])
			log_got(c, m[n].data, message_check(m[n].data, m[n].length, LONGEST),
				m[n].flags & BROOD_REDELIVERED);
		n++;
	}
	for (ssize_t i = n - 1; i >= 0; i--) {
		unsigned int had = c->n - !tiny[i];

		if (!tiny[i])
			log_ending(c, had, 1);
		if (brood_ring_release(ring, &m[i]))
			fault("a release failed", (uint64_t)i, 0, 0);
		if (!tiny[i])
			log_done(c, had, 1);
	}
	return n ? n : result;
}

static ssize_t take_copy(struct consumer *c, struct place_state *place, int64_t timeout)
{
	uint32_t flags = 0;
	ssize_t n;

	atomic_store(&place->taking, true);
	n = brood_ring_get_flags(ring, place->data, sizeof place->data, &flags, timeout);
	if (n >= 0 && !is_tiny(place->data, (size_t)n))
		log_taken(c, place->data, message_check(place->data, (size_t)n, LONGEST),
			  flags & BROOD_REDELIVERED);
	atomic_store(&place->taking, false);
	return n < 0 ? n : 1;
}

/* What the predecessor's get had copied. */
static void look_at_predecessor(struct place_state *place)
{
	struct payload p;

	memcpy(&p, place->data, offsetof(struct payload, pattern));
	if (atomic_load(&place->taking) && p.place < PLACES &&
	    message_check(place->data, message_length(p.place, p.number, LONGEST), LONGEST))
		log_maybe(p.place, p.number);
	atomic_store(&place->taking, false);
}

static int consume(uint32_t me)
{
	struct place_state *place = &control->place[me];
	struct consumer c;
	ssize_t n;

	look_at_predecessor(place);
	log_consumer(&c);
	for (;;) {
		n = random_below(2) ? take_in_place(&c, some_timeout()) :
				      take_copy(&c, place, some_timeout());
		if (n == -EPIPE)
			return 0;
		if (n < 0 && n != -ETIMEDOUT)
			fault("a get failed", (uint64_t)-n, me, 0);
		progress(me, n);
	}
}

static int work(uint32_t me)
{
	return me < PLACES ? produce(me) : consume(me);
}

static bool end(void)
{
	return brood_ring_close(ring) == 0;
}

static bool finish(void)
{
	bool empty = brood_ring_count(ring) == 0 && brood_ring_used(ring) == 0;

	if (!empty)
		printf("%zd messages are left, %zd bytes\n", brood_ring_count(ring),
		       brood_ring_used(ring));
	return brood_ring_destroy(ring) == 0 && log_verdict(0) == 0 && empty;
}

const struct kind kind_bytes = { "bytes", PLACES, 0, WORKERS, make, work, end, finish };
