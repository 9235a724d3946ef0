/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include "storm_log.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { PUT = 1, REFUSED = 2, GOT = 4, HELD = 8, ENDING = 16, DONE = 32, MAYBE = 64 };

static const char *const fault_name[FAULTS] = {
	"lost", "torn", "invented", "reordered", "unflagged doubles", "again after acknowledged",
	"failed calls",
};

static struct shared {
	_Atomic uint64_t faults[FAULTS];
	_Atomic uint64_t redelivered;
	struct {
		_Alignas(128) _Atomic uint32_t begun;	/* numbers below may have been put */
	} place[PLACES];
	char first[FAULTS][100];
} *shared;

static _Atomic uint8_t *records[PLACES];

static void *shared_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

bool log_start(void)
{
	if (shared)
		munmap(shared, sizeof *shared);
	shared = shared_memory(sizeof *shared);
	for (int i = 0; i < PLACES; i++) {
		if (records[i])
			munmap((void *)records[i], NUMBERS_MAX);
		records[i] = shared_memory(NUMBERS_MAX);
		if (!records[i])
			return false;
	}
	return shared;
}

void log_fault(enum fault fault, uint32_t place, uint32_t number, long detail)
{
	if (atomic_fetch_add(&shared->faults[fault], 1) == 0)
		snprintf(shared->first[fault], sizeof shared->first[fault],
			 "first: place %u, message %u (%ld)", place, number, detail);
}

static size_t payload_length(uint32_t number)
{
	return offsetof(struct payload, pattern) + number % 7 * sizeof(uint64_t);
}

static uint64_t payload_word(uint32_t place, uint32_t number, uint32_t i)
{
	return ((uint64_t)place << 48 ^ (uint64_t)number << 8 ^ i) * 0x9e3779b97f4a7c15u;
}

size_t log_payload(struct payload *p, uint32_t place, uint32_t number)
{
	p->place = place;
	p->number = number;
	for (uint32_t i = 0; i < number % 7; i++)
		p->pattern[i] = payload_word(place, number, i);
	return payload_length(number);
}

static bool payload_whole(const struct payload *p, size_t length)
{
	if (length < offsetof(struct payload, pattern) || p->place >= PLACES ||
	    p->number >= NUMBERS_MAX || length != payload_length(p->number))
		return false;
	for (uint32_t i = 0; i < p->number % 7; i++)
		if (p->pattern[i] != payload_word(p->place, p->number, i))
			return false;
	return true;
}

bool log_begin(uint32_t place, uint32_t n, uint32_t *number)
{
	*number = atomic_load(&shared->place[place].begun);
	if (*number + n > NUMBERS_MAX)
		return false;
	atomic_store(&shared->place[place].begun, *number + n);
	return true;
}

void log_put(uint32_t place, uint32_t number, uint32_t n, int64_t in)
{
	for (uint32_t i = 0; i < n; i++)
		atomic_fetch_or(&records[place][number + i], i < in ? PUT : REFUSED);
}

void log_consumer(struct consumer *c)
{
	c->n = 0;
	c->unordered = false;
	for (int i = 0; i < PLACES; i++)
		c->last[i] = -1;
}

static void got_whole(struct consumer *c, const struct payload *p, bool flagged, uint8_t bits)
{
	_Atomic uint8_t *record = &records[p->place][p->number];
	uint8_t old = atomic_fetch_or(record, bits);

	atomic_fetch_and(record, (uint8_t)(bits & HELD ? ~ENDING : ~(ENDING | HELD)));
	if (bits & HELD)
		c->held[c->n++] = record;
	if (old & DONE)
		log_fault(LATE, p->place, p->number, old);
	else if (old & GOT && !flagged)
		log_fault(DOUBLED, p->place, p->number, old);
	if (old & REFUSED)
		log_fault(INVENTED, p->place, p->number, old);
	if (!flagged && !c->unordered && p->number <= c->last[p->place])
		log_fault(REORDERED, p->place, p->number, (long)c->last[p->place]);
	if (!flagged)
		c->last[p->place] = p->number;
	atomic_fetch_add(&shared->redelivered, flagged);
}

static void got(struct consumer *c, const void *payload, size_t length, bool flagged, uint8_t bits)
{
	const struct payload *p = payload;

	if (!payload_whole(p, length))
		log_fault(TORN, 0, 0, (long)length);
	else if (p->number >= atomic_load(&shared->place[p->place].begun))
		log_fault(INVENTED, p->place, p->number, 0);
	else
		got_whole(c, p, flagged, bits);
}

void log_got(struct consumer *c, const void *payload, size_t length, bool flagged)
{
	got(c, payload, length, flagged, GOT | HELD);
}

void log_taken(struct consumer *c, const void *payload, size_t length, bool flagged)
{
	got(c, payload, length, flagged, GOT | DONE);
}

void log_maybe(uint32_t place, uint32_t number)
{
	if (place >= PLACES || number >= atomic_load(&shared->place[place].begun))
		return;
	atomic_fetch_or(&records[place][number], MAYBE);
	atomic_fetch_and(&records[place][number], (uint8_t)~HELD);
}

void log_ending(struct consumer *c, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++) {
		atomic_fetch_or(c->held[i], ENDING);
		atomic_fetch_and(c->held[i], (uint8_t)~HELD);
	}
}

void log_done(struct consumer *c, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++)
		atomic_fetch_or(c->held[i], DONE);
	c->n -= n;
	memmove(c->held + from, c->held + from + n, (c->n - from) * sizeof *c->held);
}

static uint64_t look_for_lost(uint32_t place)
{
	uint64_t got = 0;

	for (uint32_t i = 0; i < atomic_load(&shared->place[place].begun); i++) {
		uint8_t record = records[place][i];

		got += (record & GOT) != 0;
		if ((record & PUT && !(record & (GOT | MAYBE))) || record & HELD)
			log_fault(LOST, place, i, record);
	}
	return got;
}

uint64_t log_verdict(uint64_t excused)
{
	uint64_t messages = 0, faults = 0, lost;

	atomic_store(&shared->faults[LOST], 0);
	for (uint32_t i = 0; i < PLACES; i++)
		messages += look_for_lost(i);
	lost = atomic_load(&shared->faults[LOST]);
	atomic_store(&shared->faults[LOST], lost > excused ? lost - excused : 0);
	printf("messages %llu, redelivered %llu, lost with their consumers %llu of at most %llu\n",
	       (unsigned long long)messages, (unsigned long long)shared->redelivered,
	       (unsigned long long)(lost > excused ? excused : lost), (unsigned long long)excused);
	for (int i = 0; i < FAULTS; i++) {
		printf("%s %llu%s%s\n", fault_name[i], (unsigned long long)shared->faults[i],
		       shared->first[i][0] ? "; " : "", shared->first[i]);
		faults += shared->faults[i];
	}
	return messages ? faults : 1;
}
