/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The storm of a broadcast: one producer, another that stands by, six subscribers. Who becomes the
 * producer has a term, and numbers its messages from 1. Of each term is noted what may have been
 * put, and what has been; and, by the first subscriber that gets there, which term followed it behind
 * which number. So each subscriber can tell that it misses nothing from its subscription on, and
 * that a message which a death cut short is seen by all or by none. In a lossy one what is missing
 * must be what it is told.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storm_kinds.h"

#define PRODUCERS 2u
#define SLOTS 32u
#define LONGEST 400u
#define AT_ONCE 8u
#define TERMS (1u << 21)	/* of which memory is used for those that are */
#define NO_TERM UINT32_MAX

struct message {
	uint32_t term, number;
	unsigned char bytes[LONGEST - 8];
};

struct term {
	_Atomic uint32_t begun, put;
	_Atomic uint64_t next;	/* { the term that followed:32 | the last number of this one:32 } */
};

static struct shared {
	_Atomic uint32_t terms;
	_Alignas(64) _Atomic uint64_t current;	/* { term:32 | begun:32 }; behind its first message */
	struct term term[TERMS];
} *shared;

static struct brood_broadcast *broadcast;
static bool lossy;

static bool make(struct brood_segment *segment, bool is_lossy)
{
	lossy = is_lossy;
	if (!shared)
		shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	broadcast = brood_broadcast_create(&(struct brood_broadcast_opts){
		.slots = SLOTS, .max_bytes = LONGEST, .lossy = lossy, .segment = segment });
	return shared != MAP_FAILED && broadcast;
}

static bool make_lossless(struct brood_segment *segment)
{
	return make(segment, false);
}

static bool make_lossy(struct brood_segment *segment)
{
	return make(segment, true);
}

/* ---- messages ---- */

static size_t length_of(uint32_t term, uint32_t number)
{
	return 8 + (term * 2654435761u ^ number * 40503u) % (number % 4 ? 50 : LONGEST - 8);
}

static unsigned char byte_of(uint32_t term, uint32_t number, size_t i)
{
	return (unsigned char)(term * 7 + number * 13 + i * 31);
}

static size_t write_message(struct message *m, uint32_t term, uint32_t number)
{
	size_t length = length_of(term, number);

	m->term = term;
	m->number = number;
	for (size_t i = 0; i < length - 8; i++)
		m->bytes[i] = byte_of(term, number, i);
	return length;
}

static bool is_whole(const struct message *m, size_t length)
{
	if (length < 8 || m->term >= TERMS || length != length_of(m->term, m->number))
		return false;
	for (size_t i = 0; i < length - 8; i++)
		if (m->bytes[i] != byte_of(m->term, m->number, i))
			return false;
	return true;
}

/* ---- the producer, and who wants to be ---- */

static ssize_t put_some(uint32_t term, uint32_t number, uint32_t n)
{
	struct message m[AT_ONCE];
	struct brood_message list[AT_ONCE] = { 0 };
	int result;

	for (uint32_t i = 0; i < n; i++) {
		list[i].data = &m[i];
		list[i].length = write_message(&m[i], term, number + i);
	}
	if (n > 1)
		return brood_broadcast_put_many(broadcast, list, n, some_timeout());
	result = brood_broadcast_put(broadcast, m, list->length, some_timeout());
	return result ? result : 1;
}

/* Until it is the producer no more. The first message of a term goes alone: it may be refused. */
static void serve(uint32_t me, uint32_t term)
{
	struct term *t = &shared->term[term];
	uint32_t put = 0;

	while (!atomic_load(&control->over)) {
		uint32_t n = put && random_below(2) ? 1 + random_below(AT_ONCE) : 1;
		ssize_t in;

		atomic_store(&t->begun, put + n);
		if (put)
			atomic_store(&shared->current, (uint64_t)term << 32 | (put + n));
		in = put_some(term, put + 1, n);
		if (in == -EBUSY && !put) {
			usleep(200);
			continue;
		}
		if (in < 0 && in != -ETIMEDOUT)
			fault("a put failed", (uint64_t)-in, term, put);
		put += in > 0 ? (uint32_t)in : 0;
		atomic_store(&t->put, put);
		if (put)
			atomic_store(&shared->current, (uint64_t)term << 32 | put);
		progress(me, in);
		if (put && random_below(1000) == 0) {
			if (brood_broadcast_producer_end(broadcast))
				fault("no end of a producer", term, put, 0);
			return;
		}
	}
}

static int produce(uint32_t me)
{
	while (!atomic_load(&control->over)) {
		uint32_t term = atomic_fetch_add(&shared->terms, 1) + 1;

		if (term >= TERMS)
			return 1;
		serve(me, term);
	}
	return 0;
}

/* ---- subscribers ---- */

struct seen {
	uint32_t term, number;	/* of the last message; 0 before the first */
	uint64_t before, put, after;	/* current and what was put, around the subscription */
};

static uint32_t term_of(uint64_t current)
{
	return (uint32_t)(current >> 32);
}

static void subscribe(struct seen *seen)
{
	*seen = (struct seen){ .before = atomic_load(&shared->current) };
	seen->put = atomic_load(&shared->term[term_of(seen->before)].put);
	if (brood_broadcast_subscribe(broadcast))
		fault("no subscription", 0, 0, 0);
	seen->after = atomic_load(&shared->current);
}

/*
 * The first message. If the term was the same before and after, then the last that had been put
 * before is not seen, and the first that was begun after is. Another term is a later one, and this
 * its first message, or its second: the first may not have been noted.
 */
static void check_first(const struct seen *seen, const struct message *m, uint64_t lost)
{
	uint32_t term = term_of(seen->after);

	if (!term || term != term_of(seen->before))
		return;
	if (m->term != term ? m->number > lost + 2 :
			      m->number <= seen->put ||
			      m->number > lost + (uint32_t)seen->after + 1)
		fault("a first message", (uint64_t)m->term << 32 | m->number, seen->after,
		      lost << 32 | seen->put);
}

/* One term has followed another, after this number: for all the same. */
static void check_next(const struct seen *seen, uint32_t term)
{
	struct term *t = &shared->term[seen->term];
	uint64_t next = (uint64_t)term << 32 | seen->number, was = 0;

	if (!atomic_compare_exchange_strong(&t->next, &was, next) && was != next)
		fault("not what others saw", seen->term, was, next);
	if (seen->number < atomic_load(&t->put) || seen->number > atomic_load(&t->begun))
		fault("a term's end", seen->term, seen->number, atomic_load(&t->put));
}

static void check(struct seen *seen, const struct message *m, size_t length, uint64_t lost)
{
	struct term *t = &shared->term[seen->term];

	if (!is_whole(m, length)) {
		fault("torn", m->term, m->number, length);
		return;
	}
	if (lost && !lossy)
		fault("lost", m->term, m->number, lost);
	if (m->number == 0 || m->number > atomic_load(&shared->term[m->term].begun))
		fault("invented", m->term, m->number, 0);
	if (!seen->term) {
		check_first(seen, m, lost);
	} else if (seen->term == m->term) {
		if (m->number != seen->number + 1 + lost)
			fault("a hole", (uint64_t)m->term << 32 | m->number, seen->number, lost);
	} else if (lost == 0) {
		if (m->number != 1)
			fault("a hole before it", m->term, m->number, seen->term);
		check_next(seen, m->term);
	} else {
		uint32_t put = atomic_load(&t->put);
		uint64_t least = m->number - 1 + (put > seen->number ? put - seen->number : 0);

		if (lost < least)
			fault("more is lost than told", m->term, least, lost);
	}
	seen->term = m->term;
	seen->number = m->number;
}

static ssize_t take_one(struct seen *seen)
{
	struct message m;
	uint64_t lost = 0;
	ssize_t n = brood_broadcast_get_lost(broadcast, &m, sizeof m, &lost, some_timeout());

	if (n >= 0)
		check(seen, &m, (size_t)n, lost);
	return n < 0 ? n : 1;
}

static ssize_t take_many(struct seen *seen)
{
	struct message m[AT_ONCE];
	struct brood_message list[AT_ONCE] = { 0 };
	int64_t before = brood_broadcast_lost(broadcast);
	ssize_t n;

	for (size_t i = 0; i < AT_ONCE; i++) {
		list[i].data = &m[i];
		list[i].size = sizeof m[i];
	}
	n = brood_broadcast_get_many(broadcast, list, AT_ONCE, some_timeout());
	for (ssize_t i = 0; i < n; i++)
		check(seen, &m[i], list[i].length,
		      i ? 0 : (uint64_t)(brood_broadcast_lost(broadcast) - before));
	return n;
}

static ssize_t take_in_place(struct seen *seen)
{
	struct brood_message m = { 0 };
	int result = brood_broadcast_lease(broadcast, &m, some_timeout());

	if (result)
		return result;
	check(seen, m.data, m.length, 0);
	result = brood_broadcast_release(broadcast, &m);
	return result ? result : 1;
}

static ssize_t take(struct seen *seen)
{
	uint32_t way = random_below(lossy ? 2 : 3);

	return way == 0 ? take_one(seen) : way == 1 ? take_many(seen) : take_in_place(seen);
}

static int listen_to_it(uint32_t me)
{
	struct seen seen;
	ssize_t n;

	subscribe(&seen);
	for (;;) {
		n = take(&seen);
		if (n == -EPIPE)
			break;
		if (n < 0 && n != -ETIMEDOUT)
			fault("a get failed", (uint64_t)-n, me, 0);
		progress(me, n);
		if (random_below(200) == 0)
			usleep(1000);
		if (random_below(500) == 0) {
			if (brood_broadcast_unsubscribe(broadcast))
				fault("no end of a subscription", me, 0, 0);
			subscribe(&seen);
		}
	}
	if (seen.term)
		check_next(&seen, NO_TERM);
	return 0;
}

static int work(uint32_t me)
{
	return me < PRODUCERS ? produce(me) : listen_to_it(me);
}

static bool end(void)
{
	return brood_broadcast_close(broadcast) == 0;
}

static bool finish(void)
{
	uint64_t put = 0, terms = 0;

	for (uint32_t i = 1; i <= atomic_load(&shared->terms); i++) {
		put += atomic_load(&shared->term[i].put);
		terms += atomic_load(&shared->term[i].put) > 0;
	}
	printf("messages %llu of %llu producers, one after the other; subscribers %zd\n",
	       (unsigned long long)put, (unsigned long long)terms,
	       brood_broadcast_subscribers(broadcast));
	return brood_broadcast_destroy(broadcast) == 0 && put > 0;
}

const struct kind kind_broadcast = {
	"broadcast", PRODUCERS, 0, WORKERS, make_lossless, work, end, finish
};
const struct kind kind_lossy = { "lossy", PRODUCERS, 0, WORKERS, make_lossy, work, end, finish };
