/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A storm of kills: 4 producers and 4 consumers on one queue, of which random ones are killed with
 * SIGKILL and replaced as fast as that goes. Every message is checked (storm_log.h), and whether
 * the whole comes to a stand. At the end the queue has its full capacity and nothing has leaked.
 * First a joinable queue with all calls is used, then one whose consumers lease and release.
 *
 *	storm [seconds]		10 when not given
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <brood/process.h>
#include <brood/queue.h>

#include "storm_log.h"

#define CONSUMERS 4
#define WORKERS (PLACES + CONSUMERS)
#define SLOTS 64
#define STALL_LIMIT 1000000000ll
#define LOOK 50000000ll

static struct brood_queue *queue;
static bool joinable;

static struct control {
	_Atomic int over;	/* 1 for producers, 2 for all */
	struct {
		_Alignas(128) _Atomic uint64_t messages;	/* put or received */
	} progress[WORKERS];
} *control;

static uint32_t random_below(uint32_t n)
{
	static uint64_t state;
	static pid_t owner;

	if (owner != getpid()) {
		owner = getpid();
		state = (uint64_t)brood_now() * 2654435761u ^ (uint64_t)owner << 32;
	}
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % n;
}

static int64_t some_timeout(void)
{
	return random_below(2) ? BROOD_FOREVER : brood_ms(1000);
}

/* Else the killer, one among many who have all to do, would hardly get to kill anybody. */
static void let_the_killer_go_first(void)
{
	if (nice(10) < 0)
		errno = 0;
}

/* ---- producers ---- */

static ssize_t put_in_place(const struct payload *p, size_t length)
{
	struct brood_message m = { 0 };
	int result = brood_queue_reserve(queue, &m);

	if (result)
		return result;
	memcpy(m.data, p, length);
	m.length = length;
	result = brood_queue_commit(queue, &m, some_timeout());
	if (result)
		brood_queue_abort(queue, &m);
	return result ? result : 1;
}

static ssize_t put_copy(const struct payload *p, size_t length)
{
	int result = brood_queue_put(queue, p, length, some_timeout());

	return result ? result : 1;
}

/* How many of the n messages from `number` on are in, or an error. */
static ssize_t put_some(uint32_t place, uint32_t number, uint32_t n)
{
	struct payload p[BATCH];
	struct brood_message m[BATCH] = { 0 };

	for (uint32_t i = 0; i < n; i++) {
		m[i].data = &p[i];
		m[i].length = log_payload(&p[i], place, number + i);
	}
	if (n > 1)
		return brood_queue_put_many(queue, m, n, some_timeout());
	return random_below(2) ? put_copy(p, m[0].length) : put_in_place(p, m[0].length);
}

static int produce(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument, number, n;
	ssize_t in;

	let_the_killer_go_first();
	while (!atomic_load(&control->over)) {
		n = random_below(3) ? 1 : 1 + random_below(BATCH);
		if (!log_begin(me, n, &number))
			break;
		in = put_some(me, number, n);
		if (in < 0 && in != -ETIMEDOUT)
			log_fault(FAILED, me, number, in);
		log_put(me, number, n, in);
		atomic_fetch_add(&control->progress[me].messages, in > 0 ? (uint64_t)in : 0);
	}
	return 0;
}

/* ---- consumers ---- */

/* An empty message only wakes a consumer, so that it sees that the storm is over. */
static void note(struct consumer *c, const struct brood_message *m)
{
	if (m->length)
		log_got(c, m->data, m->length, m->flags & BROOD_REDELIVERED);
}

/* Release a leased message, the one that was noted when the consumer already `had` so many. */
static ssize_t give_back(struct consumer *c, struct brood_message *m, unsigned had)
{
	bool noted = c->n > had;
	int result;

	if (noted)
		log_ending(c, had, 1);
	result = joinable ? brood_queue_release_done(queue, m) : brood_queue_release(queue, m);
	if (noted && !result)
		log_done(c, had, 1);
	return result;
}

/* Two leases at a time, given back in either order. */
static ssize_t take_in_place(struct consumer *c, int64_t timeout)
{
	struct brood_message m[2] = { 0 };
	unsigned had[2];
	ssize_t n = 0, result = 0;

	while (n < 2 && !result) {
		had[n] = c->n;
		result = brood_queue_lease(queue, &m[n], n ? 0 : timeout);
		if (result)
			break;
		note(c, &m[n++]);
	}
	if (n == 0)
		return result;
	result = give_back(c, &m[n - 1], had[n - 1]);
	if (n == 2 && !result)
		result = give_back(c, &m[0], had[0]);
	return result ? result : n;
}

static ssize_t get_one(struct brood_message *m, int64_t timeout)
{
	ssize_t n = brood_queue_get_flags(queue, m->data, m->size, &m->flags, timeout);

	m->length = n < 0 ? 0 : (size_t)n;
	return n < 0 ? n : 1;
}

/* What get gave is acknowledged by task_done, one by one. */
static ssize_t tell_done(struct consumer *c, const struct brood_message *m, ssize_t n)
{
	int result = 0;

	for (ssize_t i = 0; i < n && !result; i++) {
		bool noted = m[i].length;

		if (noted)
			log_ending(c, 0, 1);
		result = brood_queue_task_done(queue);
		if (noted && !result)
			log_done(c, 0, 1);
	}
	return result ? result : n;
}

/* In a joinable queue only: elsewhere a death between get and our note of it loses the message. */
static ssize_t take_copies(struct consumer *c, bool many, int64_t timeout)
{
	struct payload p[BATCH];
	struct brood_message m[BATCH] = { 0 };
	ssize_t n;

	for (size_t i = 0; i < BATCH; i++) {
		m[i].data = &p[i];
		m[i].size = sizeof p[i];
	}
	n = many ? brood_queue_get_many(queue, m, BATCH, timeout) : get_one(m, timeout);
	for (ssize_t i = 0; i < n; i++)
		note(c, &m[i]);
	return tell_done(c, m, n);
}

static ssize_t take(struct consumer *c, int64_t timeout)
{
	uint32_t way = joinable ? random_below(3) : 0;

	return way == 0 ? take_in_place(c, timeout) : take_copies(c, way == 1, timeout);
}

static int consume(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument;
	struct consumer c;
	ssize_t n;

	let_the_killer_go_first();
	log_consumer(&c);
	while (atomic_load(&control->over) < 2) {
		n = take(&c, some_timeout());
		if (n < 0 && n != -ETIMEDOUT) {
			log_fault(FAILED, me, 0, n);
			log_consumer(&c);
		}
		atomic_fetch_add(&control->progress[me].messages, n > 0 ? (uint64_t)n : 0);
	}
	return 0;
}

/* ---- the killer ---- */

static struct brood_process *worker[WORKERS];
static int64_t longest_stall;

static void start(uint32_t i)
{
	static const struct brood_process_opts opts = { .die_with_parent = true, .daemon = true };

	worker[i] = brood_process_start_opts(i < PLACES ? produce : consume,
					     (void *)(uintptr_t)i, &opts);
	if (!worker[i]) {
		perror("brood_process_start");
		exit(99);
	}
}

/* Take the ended worker's handle away. False when it did not end as it should. */
static bool bury(uint32_t i, int expected)
{
	int code = 0;

	brood_process_join(worker[i], BROOD_FOREVER);
	if (brood_process_exit_code(worker[i], &code) || code != expected) {
		printf("worker %u ended with %d\n", i, code);
		return false;
	}
	return brood_process_free(worker[i]) == 0;
}

/*
 * How long nobody has put or received anything. Of the time between two looks no more than LOOK
 * counts: if there was more, this process did not get to run either, and it says nothing about the
 * queue.
 */
static void watch_progress(void)
{
	static uint64_t last;
	static int64_t stall, before;
	uint64_t sum = 0;
	int64_t now = brood_now();

	for (uint32_t i = 0; i < WORKERS; i++)
		sum += atomic_load(&control->progress[i].messages);
	stall = sum != last ? 0 : stall + (now - before < LOOK ? now - before : LOOK);
	if (stall > longest_stall)
		longest_stall = stall;
	last = sum;
	before = now;
}

static unsigned long storm(int64_t end)
{
	unsigned long kills = 0;

	for (uint32_t i = 0; i < WORKERS; i++)
		start(i);
	while (brood_now() < end) {
		uint32_t i = random_below(WORKERS);

		brood_process_kill(worker[i]);
		if (!bury(i, -SIGKILL)) {
			log_verdict(0);
			exit(1);
		}
		start(i);
		kills++;
		watch_progress();
	}
	return kills;
}

/* Wake consumers until each has seen that it is over, then take what is left. */
static void calm_down(void)
{
	struct consumer c;

	for (uint32_t i = 0; i < WORKERS; i++) {
		atomic_store(&control->over, i < PLACES ? 1 : 2);
		while (brood_process_join(worker[i], brood_ms(1)))
			brood_queue_put(queue, "", 0, 0);
		if (!bury(i, 0))
			log_fault(FAILED, i, 0, 0);
	}
	log_consumer(&c);
	while (take(&c, 0) > 0)
		;
	if (joinable && brood_queue_join(queue, 0))
		log_fault(FAILED, 0, 0, brood_queue_join(queue, 0));
}

static bool full_capacity(void)
{
	ssize_t n = 0, back = 0;
	char byte;

	while (brood_queue_put(queue, "", 0, 0) == 0)
		n++;
	while (brood_queue_get(queue, &byte, 1, 0) == 0)
		back += joinable ? !brood_queue_task_done(queue) : 1;
	printf("capacity %zd of %u, %zd came back, count %zd\n", n, SLOTS, back,
	       brood_queue_count(queue));
	return n == SLOTS && back == SLOTS && brood_queue_count(queue) == 0;
}

static bool nothing_leaked(const struct brood_segment_info *before)
{
	struct brood_segment_info now;

	brood_queue_count(queue);
	brood_segment_stat(NULL, &now);
	printf("members %u (%u), not swept %u, objects %u (%u), bytes used %zu (%zu)\n",
	       now.members, before->members, now.dead, now.objects, before->objects,
	       now.bytes_used, before->bytes_used);
	return now.members == before->members && now.objects == before->objects &&
	       now.bytes_used == before->bytes_used;
}

/* One queue from its beginning to its end. False when anything was wrong. */
static bool run(bool is_joinable, int seconds)
{
	struct brood_queue_opts opts = { .slots = SLOTS, .max_bytes = sizeof(struct payload),
					 .joinable = is_joinable };
	struct brood_segment_info before;
	unsigned long kills;
	bool right;

	joinable = is_joinable;
	queue = brood_queue_create(&opts);
	if (!queue || !full_capacity())
		return false;
	brood_segment_stat(NULL, &before);
	atomic_store(&control->over, 0);
	kills = storm(brood_now() + seconds * 1000000000ll);
	calm_down();
	printf("%s: kills %lu in %d s, %lu a second\n", joinable ? "joinable" : "leases", kills,
	       seconds, kills / (unsigned)seconds);
	right = full_capacity();
	right = nothing_leaked(&before) && right;
	return brood_queue_destroy(queue) == 0 && right;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 10;
	bool right;

	seconds = seconds < 2 ? 1 : seconds / 2;
	control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (!log_start() || control == MAP_FAILED)
		return 99;
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm((unsigned)seconds * 2 + 30);
	right = run(true, seconds) && run(false, seconds);
	printf("longest stall %.1f ms\n", (double)longest_stall / 1e6);
	return !log_verdict(0) && right && longest_stall < STALL_LIMIT ? 0 : 1;
}
