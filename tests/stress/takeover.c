/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A storm of take-overs: the only producer and the only consumer of a queue are killed with SIGKILL
 * at random and replaced as fast as that goes. Messages carry numbers; a new producer goes on
 * behind the last number that the queue can have, which its predecessor noted before the call. So
 * the consumers must see each number once, or again with the flag, and may miss only those
 * that were noted, but whose put had not returned. At the end the queue is destroyed, and nothing
 * is left (storm_end.h).
 *
 *	takeover [seconds]	10 when not given
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <brood/process.h>
#include <brood/queue.h>

#include "storm_end.h"

enum { SLOTS = 32, BATCH = 8, WORKERS = 2 };

#define NUMBERS (1u << 27)	/* of which one byte of memory is used each that is */

enum { IN = 1, SEEN = 2, DONE = 4 };	/* put has returned; a consumer has it; it is released */

static struct control {
	_Atomic int over;
	_Atomic uint32_t begun;		/* numbers below it may have been put */
	_Atomic uint64_t faults[4];
	_Atomic uint64_t again, busy;
} *control;

static const char *const fault_name[] = { "lost", "doubled", "torn or invented", "out of order" };
enum fault { LOST, DOUBLED, TORN, ORDER };

static _Atomic uint8_t *record;
static struct brood_queue *queue;

struct payload {
	uint32_t number, check;
};

static uint32_t random_below(uint32_t n)
{
	static uint64_t state;

	if (!state)
		state = (uint64_t)brood_now() * 2654435761u ^ (uint64_t)getpid() << 32;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % n;
}

static void fault(enum fault what, uint32_t number)
{
	if (atomic_fetch_add(&control->faults[what], 1) < 5)
		printf("message %u: %s\n", number, fault_name[what]);
}

/* ---- the producer ---- */

static ssize_t put_in_place(const struct payload *p)
{
	struct brood_message m = { 0 };
	int result = brood_queue_reserve(queue, &m);

	if (result)
		return result;
	*(struct payload *)m.data = *p;
	m.length = sizeof *p;
	result = brood_queue_commit(queue, &m, BROOD_FOREVER);
	return result ? result : 1;
}

static int produce(void *unused)
{
	struct payload p[BATCH];
	struct brood_message m[BATCH];
	int result;

	(void)unused;
	/* First be the producer: then the predecessor notes nothing any more. */
	while ((result = brood_queue_producer_begin(queue)) == -EBUSY)
		atomic_fetch_add(&control->busy, 1);
	while (!result && !atomic_load(&control->over)) {
		uint32_t first = atomic_load(&control->begun), n = 1 + random_below(BATCH);
		ssize_t in;

		if (random_below(2))
			n = 1;
		if (first + n > NUMBERS)
			return 0;
		for (uint32_t i = 0; i < n; i++) {
			p[i] = (struct payload){ first + i, ~(first + i) };
			m[i] = (struct brood_message){ .data = &p[i], .length = sizeof *p };
		}
		atomic_store(&control->begun, first + n);
		if (n > 1)
			in = brood_queue_put_many(queue, m, n, BROOD_FOREVER);
		else if (random_below(2))
			in = put_in_place(p);
		else
			in = brood_queue_put(queue, p, sizeof *p, BROOD_FOREVER) ? -1 : 1;
		if (in != (ssize_t)n)
			return 1;
		for (uint32_t i = 0; i < n; i++)
			atomic_fetch_or(&record[first + i], IN);
	}
	return result;
}

/* ---- the consumer: leases, for a death after get returned would lose what it gave ---- */

static int take(int64_t timeout, int64_t *last)
{
	struct brood_message m = { 0 };
	int result = brood_queue_lease(queue, &m, timeout);
	struct payload p;
	uint8_t was;

	if (result)
		return result;
	p = *(struct payload *)m.data;
	if (m.length != sizeof p || p.check != ~p.number ||
	    p.number >= atomic_load(&control->begun)) {
		fault(TORN, p.number);
		return brood_queue_release(queue, &m);
	}
	was = atomic_fetch_or(&record[p.number], SEEN);
	if (was & DONE || (was & SEEN && !(m.flags & BROOD_REDELIVERED)))
		fault(DOUBLED, p.number);
	if (m.flags & BROOD_REDELIVERED)
		atomic_fetch_add(&control->again, 1);
	if (p.number <= *last && !(was & SEEN))
		fault(ORDER, p.number);
	if (random_below(8) == 0) {
		*last = (int64_t)p.number - 1;
		return brood_queue_return(queue, &m);
	}
	*last = p.number;
	result = brood_queue_release(queue, &m);
	if (!result)
		atomic_fetch_or(&record[p.number], DONE);
	return result;
}

static int consume(void *unused)
{
	int64_t last = -1;
	int result = 0;

	(void)unused;
	while (atomic_load(&control->over) < 2) {
		result = take(brood_ms(100), &last);
		if (result == -EBUSY)
			atomic_fetch_add(&control->busy, 1);
		else if (result && result != -ETIMEDOUT)
			return 1;
	}
	return 0;
}

/* ---- the killer ---- */

static struct brood_process *worker[WORKERS];

static void start(uint32_t i)
{
	static const struct brood_process_opts opts = { .die_with_parent = true, .daemon = true };

	worker[i] = brood_process_start_opts(i ? consume : produce, NULL, &opts);
	if (!worker[i]) {
		perror("brood_process_start");
		exit(99);
	}
}

static bool bury(uint32_t i, int expected)
{
	int code = 0;

	brood_process_join(worker[i], BROOD_FOREVER);
	if (brood_process_exit_code(worker[i], &code) || code != expected) {
		printf("%s ended with %d\n", i ? "the consumer" : "the producer", code);
		return false;
	}
	return brood_process_free(worker[i]) == 0;
}

static bool storm(int64_t end, unsigned long *kills)
{
	for (uint32_t i = 0; i < WORKERS; i++)
		start(i);
	while (brood_now() < end) {
		uint32_t i = random_below(WORKERS);

		usleep(random_below(2000));	/* let them get to work */
		brood_process_kill(worker[i]);
		if (!bury(i, -SIGKILL))
			return false;
		start(i);
		++*kills;
	}
	for (uint32_t i = 0; i < WORKERS; i++) {
		atomic_store(&control->over, (int)i + 1);
		if (!bury(i, 0))
			return false;
	}
	return true;
}

static bool verdict(void)
{
	uint32_t begun = atomic_load(&control->begun), seen = 0;
	uint64_t faults = 0;

	for (uint32_t n = 0; n < begun; n++) {
		uint8_t is = atomic_load(&record[n]);

		seen += (is & SEEN) != 0;
		if (is & IN && !(is & SEEN))
			fault(LOST, n);
	}
	for (int i = 0; i < 4; i++) {
		printf("%s %lu, ", fault_name[i], (unsigned long)atomic_load(&control->faults[i]));
		faults += atomic_load(&control->faults[i]);
	}
	printf("of %u messages, %u came, %lu redelivered, %lu times busy\n", begun, seen,
	       (unsigned long)atomic_load(&control->again),
	       (unsigned long)atomic_load(&control->busy));
	return faults == 0 && seen > 0;
}

static bool full_capacity(void)
{
	ssize_t n = 0, back = 0;
	struct payload p = { 0, 0 };

	while (brood_queue_put(queue, &p, sizeof p, 0) == 0)
		n++;
	while (brood_queue_get(queue, &p, sizeof p, 0) >= 0)
		back++;
	printf("capacity %zd of %d, %zd came back\n", n, SLOTS, back);
	return n == SLOTS && back == SLOTS;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 10;
	struct brood_queue *known;
	struct left before;
	unsigned long kills = 0;
	int64_t last = -1;
	bool right;

	control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	record = mmap(NULL, NUMBERS, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	known = brood_queue_create(&(struct brood_queue_opts){ .slots = 1, .max_bytes = 8 });
	if (control == MAP_FAILED || (void *)record == MAP_FAILED || !known)
		return 99;
	before = end_look(NULL, known);
	queue = brood_queue_create(&(struct brood_queue_opts){ .slots = SLOTS,
			.max_bytes = sizeof(struct payload), .producers = 1, .consumers = 1 });
	if (!queue)
		return 99;
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm((unsigned)seconds + 60);
	right = storm(brood_now() + seconds * 1000000000ll, &kills);
	while (right && take(0, &last) == 0)
		;
	printf("%lu kills in %d s\n", kills, seconds);
	right = right && verdict() && full_capacity();
	right = brood_queue_destroy(queue) == 0 && right;
	return end_is_clean(NULL, known, &before) && right ? 0 : 1;
}
