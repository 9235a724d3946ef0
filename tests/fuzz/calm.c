/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library's lowest floor for a fuzzer: no call takes real time, and an address outside of a
 * segment is nobody's. The linker puts these in place of the library's own (--wrap).
 *
 * The clock goes on with each look and each sleep. Who has slept or yielded long enough sees the
 * members that the image says are alive die, as any waiting for them may come to that; who goes
 * on to wait then does so for ever, which is a finding.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "arena/arena.h"
#include "fuzz.h"

#define STEP_NS 5000
#define PATIENCE 200		/* sleeps and yields, then the others die */
#define FOR_EVER 100000
#define GUARD (1ull << 30)	/* addresses before and behind a segment */

static int64_t skipped;		/* how far the clock is ahead */
static unsigned int waited;
static struct brood_segment *in;

void fuzz_calm(struct brood_segment *segment)
{
	skipped = 0;
	waited = 0;
	in = segment;
}

static void others_die(void)
{
	uint32_t me = (uint32_t)brood__thread_id();

	for (uint32_t id = 0; in && id < FUZZ_MEMBERS + BROOD__GUESTS; id++) {
		_Atomic uint32_t *word = &in->members.table[id].life.word;

		if (atomic_load(word) && (atomic_load(word) & BROOD__LIFE_TID) != me)
			atomic_store(word, BROOD__LIFE_DEAD | BROOD__LIFE_WATCHED);
	}
}

static void one_waits(void)
{
	waited++;
	if (waited == PATIENCE)
		others_die();
	if (waited == FOR_EVER)
		fuzz_must(false, "waits for ever");
}

int64_t __real_brood_now(void);
int64_t __wrap_brood_now(void);
int64_t __wrap_brood_now(void)
{
	skipped += STEP_NS;
	return __real_brood_now() + skipped;
}

static void skip_to(int64_t time)
{
	int64_t now = __real_brood_now() + skipped;

	if (now < time && time != BROOD__NO_DEADLINE)
		skipped += time - now;
}

void __wrap_brood__yield(void);
void __wrap_brood__yield(void)
{
	one_waits();
}

int __wrap_brood__futex_sleep(const struct brood__futex *words, unsigned int n, int64_t deadline);
int __wrap_brood__futex_sleep(const struct brood__futex *words, unsigned int n, int64_t deadline)
{
	one_waits();
	for (unsigned int i = 0; i < n; i++)	/* as the kernel does */
		if (atomic_load(words[i].word) != words[i].value)
			return 0;
	skip_to(deadline);
	return -ETIMEDOUT;
}

int __real_brood__poll(struct pollfd *fds, size_t n, int64_t deadline);
int __wrap_brood__poll(struct pollfd *fds, size_t n, int64_t deadline);
int __wrap_brood__poll(struct pollfd *fds, size_t n, int64_t deadline)
{
	if (deadline) {
		one_waits();
		skip_to(deadline);
	}
	return n ? __real_brood__poll(fds, n, 0) : 0;
}

void *__wrap_brood__memory_map(int fd, size_t size);
void *__wrap_brood__memory_map(int fd, size_t size)
{
	char *around = mmap(NULL, size + 2 * GUARD, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *base;

	if (around == MAP_FAILED)
		return NULL;
	base = mmap(around + GUARD, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
	return base == MAP_FAILED ? NULL : base;
}

int __wrap_brood__memory_unmap(void *base, size_t size);
int __wrap_brood__memory_unmap(void *base, size_t size)
{
	return munmap((char *)base - GUARD, size + 2 * GUARD);
}
