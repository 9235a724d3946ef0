/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The roster: who is in the family, by name, for every member to read.
 *
 * It is a table in memory that all descendants of a program share, mapped before main. Each record
 * has a life word (platform.h), on the robust list of its process: who dies, however, at whichever
 * instruction, has its record marked by the kernel, and nothing needs repair, as nothing in it is
 * anybody else's. A process takes a record itself, as early as it can.
 *
 *	word 0                 free
 *	word tid               taken; its name and state count once `told` names this incarnation
 *	word DEAD              its process has ended; freed when that is reaped, when its creator has
 *			       ended as well, or by the next that finds no other
 *
 * A record is freed by one CAS, which changes the incarnation too. So a reader that finds the same
 * incarnation before and after has read one owner's words. There is a record for each of the first
 * thousand; those beyond are processes like all others, but not listed.
 *
 * A process that brood did not start is listed as soon as it starts one, or asks, as long as the
 * thread lives that did.
 *
 * Edges (doc/memory-model.md). F5: `told` is stored behind name, pid and creator, and loaded before
 * them. M2: the freeing CAS, and taking or reading the word.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/platform.h"
#include "process/process.h"

#define RECORDS	   1024u
#define NAME_WORDS (BROOD_FAMILY_NAME / sizeof(uint64_t))

struct record {
	struct brood__life life;
	_Atomic uint64_t name[NAME_WORDS];
	_Atomic uint32_t told; /* incarnation + 1 */
	_Atomic uint32_t state;
	_Atomic int32_t pid;
	_Atomic int32_t creator;
	uint64_t reserved[2];
};

_Static_assert(sizeof(struct record) == 2 * BROOD__LINE, "two lines");

static struct record *roster;
static struct record *own;
static pid_t owner; /* the process that `own` is of */

static void map(void) __attribute__((constructor));
static void map(void)
{
	void *memory = mmap(NULL, RECORDS * sizeof(struct record), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	roster = memory == MAP_FAILED ? NULL : memory;
}

static uint32_t word_of(const struct record *record)
{
	return atomic_load_explicit(&record->life.word, memory_order_acquire); /* M2 */
}

static bool try_free(struct record *record)
{
	uint32_t incarnation =
		atomic_load_explicit(&record->life.incarnation, memory_order_acquire);

	return brood__life_dead(word_of(record)) && brood__life_free(&record->life, incarnation);
}

/* The first free one from where the pid points to, or one of the dead when there is none. */
static struct record *take(pid_t pid)
{
	for (int dead_too = 0; dead_too < 2; dead_too++)
		for (uint32_t i = 0; i < RECORDS; i++) {
			struct record *record = &roster[((uint32_t)pid + i) % RECORDS];
			int r;

			if (word_of(record) && !(dead_too && try_free(record)))
				continue;
			r = brood__life_begin(&record->life);
			if (r != -EBUSY)
				return r ? NULL : record;
		}
	return NULL;
}

void brood__roster_enter(const uint64_t *name, pid_t creator)
{
	struct record *record = roster ? take(getpid()) : NULL;
	uint32_t incarnation;

	own = record;
	owner = getpid();
	if (!record)
		return;
	incarnation = atomic_load_explicit(&record->life.incarnation, memory_order_relaxed);
	for (size_t i = 0; i < NAME_WORDS; i++)
		atomic_store_explicit(&record->name[i], name[i], memory_order_relaxed);
	atomic_store_explicit(&record->pid, owner, memory_order_relaxed);
	atomic_store_explicit(&record->creator, creator, memory_order_relaxed);
	atomic_store_explicit(&record->state, creator ? BROOD_STARTING : BROOD_RUNNING,
			      memory_order_relaxed);
	atomic_store_explicit(&record->told, incarnation + 1, memory_order_release); /* F5 */
}

void brood__roster_running(void)
{
	if (own)
		atomic_store_explicit(&own->state, BROOD_RUNNING, memory_order_relaxed);
}

void brood__roster_forked(void)
{
	own = NULL;
}

/* Whose pid it is; one copy. False: it is free, or not told yet, or changes. */
static bool read_record(const struct record *record, struct brood_family_member *out)
{
	uint32_t incarnation =
		atomic_load_explicit(&record->life.incarnation, memory_order_acquire);
	uint64_t words[NAME_WORDS];
	uint32_t word = word_of(record);

	if (word == 0 ||
	    atomic_load_explicit(&record->told, memory_order_acquire) != incarnation + 1) /* F5 */
		return false;
	for (size_t i = 0; i < NAME_WORDS; i++)
		words[i] = atomic_load_explicit(&record->name[i], memory_order_relaxed);
	memset(out, 0, sizeof *out);
	memcpy(out->name, words, sizeof out->name);
	out->pid = atomic_load_explicit(&record->pid, memory_order_relaxed);
	out->creator = atomic_load_explicit(&record->creator, memory_order_relaxed);
	out->state = brood__life_dead(word)
			     ? BROOD_ENDED
			     : atomic_load_explicit(&record->state, memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire); /* M2: the words were read before this */
	return atomic_load_explicit(&record->life.incarnation, memory_order_relaxed) == incarnation;
}

/* The record of a process, from where it should be on. */
static struct record *find(pid_t pid, bool dead)
{
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct record *record = &roster[((uint32_t)pid + i) % RECORDS];
		struct brood_family_member member;

		if (read_record(record, &member) && member.pid == pid &&
		    (member.state == BROOD_ENDED) == dead)
			return record;
	}
	return NULL;
}

void brood__roster_forget(pid_t pid)
{
	struct record *record = roster ? find(pid, true) : NULL;

	if (record)
		try_free(record);
}

/* A process with threads of its own may have ended the one that its record hung on. */
static void be_listed(void)
{
	if (own && owner == getpid() && !brood__life_dead(word_of(own)))
		return;
	brood__roster_enter(brood__current()->short_name, 0);
}

size_t brood_family(struct brood_family_member *out, size_t room)
{
	size_t n = 0;

	if (!roster)
		return 0;
	be_listed();
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct brood_family_member member;

		if (!read_record(&roster[i], &member))
			continue;
		if (member.state == BROOD_ENDED && !find(member.creator, false)) {
			try_free(&roster[i]);
			continue;
		}
		if (n < room)
			out[n] = member;
		n++;
	}
	return n;
}
