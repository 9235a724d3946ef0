/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads of one process as members, for the thread sanitizer, which does not see across processes:
 * 4 producers and 4 consumers with all calls mixed on one queue, where what comes out must be what
 * went in; beside them two threads that create, use and destroy queues.
 *
 *	threads [seconds]	3 when not given
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brood/queue.h>

#define PRODUCERS 4
#define CONSUMERS 4
#define BATCH 6

static struct brood_queue *queue;
static _Atomic bool over;
static _Atomic unsigned long failures;

struct sum {
	uint64_t messages;
	uint64_t values;
};

static void failed(const char *what, ssize_t result)
{
	if (atomic_fetch_add(&failures, 1) < 10)
		printf("%s: %zd\n", what, result);
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* ---- producers ---- */

static void add(struct sum *sum, const uint64_t *values, ssize_t n)
{
	for (ssize_t i = 0; i < n; i++)
		sum->values += values[i];
	sum->messages += n > 0 ? (uint64_t)n : 0;
}

static ssize_t put_in_place(uint64_t value, bool change_mind)
{
	struct brood_message m = { 0 };
	int result = brood_queue_reserve(queue, &m);

	if (result)
		return result;
	memcpy(m.data, &value, sizeof value);
	m.length = sizeof value;
	if (change_mind)
		return brood_queue_abort(queue, &m);
	result = brood_queue_commit(queue, &m, BROOD_FOREVER);
	return result ? result : 1;
}

static ssize_t put_several(const uint64_t *values, size_t n)
{
	struct brood_message m[BATCH] = { 0 };

	for (size_t i = 0; i < n; i++)
		m[i] = (struct brood_message){ .data = (void *)(uintptr_t)&values[i],
					       .length = sizeof values[i] };
	return brood_queue_put_many(queue, m, n, brood_ms(50));
}

static ssize_t put_something(const uint64_t *values, uint32_t way)
{
	ssize_t result;

	switch (way % 4) {
	case 0:
		return put_several(values, 1 + way / 4 % BATCH);
	case 1:
		return put_in_place(values[0], way / 4 % 8 == 0);
	case 2:
		result = brood_queue_put(queue, values, sizeof *values, 0);
		break;
	default:
		result = brood_queue_put(queue, values, sizeof *values, BROOD_FOREVER);
	}
	return result ? result : 1;
}

static void *produce(void *argument)
{
	struct sum *sum = argument;
	uint32_t state = (uint32_t)(uintptr_t)argument | 1;

	while (!atomic_load(&over)) {
		uint64_t values[BATCH];
		ssize_t n;

		for (int i = 0; i < BATCH; i++)
			values[i] = next_random(&state);
		n = put_something(values, next_random(&state));
		if (n < 0 && n != -EAGAIN && n != -ETIMEDOUT)
			failed("put", n);
		add(sum, values, n);
		if (brood_queue_count(queue) < 0)
			failed("count", brood_queue_count(queue));
	}
	return NULL;
}

/* ---- consumers ---- */

static ssize_t take_in_place(uint64_t *value, bool give_back)
{
	struct brood_message m = { 0 };
	int result = brood_queue_lease(queue, &m, BROOD_FOREVER);

	if (result)
		return result;
	if (m.length == sizeof *value)
		memcpy(value, m.data, sizeof *value);
	else
		failed("length", (ssize_t)m.length);
	if (give_back) {
		result = brood_queue_return(queue, &m);
		return result;
	}
	result = brood_queue_release(queue, &m);
	return result ? result : 1;
}

static ssize_t take_several(uint64_t *values)
{
	struct brood_message m[BATCH] = { 0 };
	ssize_t n;

	for (size_t i = 0; i < BATCH; i++)
		m[i] = (struct brood_message){ .data = &values[i], .size = sizeof values[i] };
	n = brood_queue_get_many(queue, m, BATCH, BROOD_FOREVER);
	for (ssize_t i = 0; i < n; i++)
		if (m[i].length != sizeof values[i])
			failed("length", (ssize_t)m[i].length);
	return n;
}

static ssize_t take_something(uint64_t *values, uint32_t way)
{
	ssize_t result;

	switch (way % 4) {
	case 0:
		return take_several(values);
	case 1:
		return take_in_place(values, way / 4 % 16 == 0);
	case 2:
		result = brood_queue_get(queue, values, sizeof *values, 0);
		break;
	default:
		result = brood_queue_get(queue, values, sizeof *values, brood_ms(20));
	}
	return result < 0 ? result : 1;
}

static void *consume(void *argument)
{
	struct sum *sum = argument;
	uint32_t state = (uint32_t)(uintptr_t)argument | 1;
	ssize_t n;

	do {
		uint64_t values[BATCH];

		n = take_something(values, next_random(&state));
		if (n < 0 && n != -EAGAIN && n != -ETIMEDOUT && n != -EPIPE)
			failed("get", n);
		add(sum, values, n);
	} while (n != -EPIPE);
	return NULL;
}

/* ---- queues that come and go ---- */

static struct brood_queue *_Atomic passing;	/* made by one, used by the other */
static _Atomic unsigned long uses;
static _Atomic bool no_more;
static unsigned long made_and_destroyed;

static void *make_and_destroy(void *unused)
{
	struct brood_queue_opts opts = { .slots = 4, .max_bytes = 32 };
	unsigned long used;
	struct brood_queue *made;

	(void)unused;
	while (!atomic_load(&over) && (made = brood_queue_create(&opts))) {
		used = atomic_load(&uses);
		atomic_store(&passing, made);
		while (atomic_load(&uses) < used + 20)
			sched_yield();
		if (brood_queue_destroy(made))
			failed("destroy", 0);
		while (atomic_load(&passing))	/* until the user has seen that */
			sched_yield();
		made_and_destroyed++;
	}
	if (!atomic_load(&over))
		failed("create", -errno);
	atomic_store(&no_more, true);
	return NULL;
}

static void *use_until_destroyed(void *unused)
{
	struct brood_queue *made;
	char byte = 1;
	ssize_t result;

	(void)unused;
	while (!atomic_load(&no_more)) {
		made = atomic_load(&passing);
		if (!made) {
			sched_yield();
			continue;
		}
		result = brood_queue_put(made, &byte, 1, brood_ms(1));
		if (result == 0)
			result = brood_queue_get(made, &byte, 1, 0);
		atomic_fetch_add(&uses, 1);
		if (result == -ESTALE)
			atomic_store(&passing, NULL);
		else if (result < 0)
			failed("use", result);
	}
	return NULL;
}

/* ---- all ---- */

static struct sum total(const struct sum *sums, int n)
{
	struct sum all = { 0 };

	for (int i = 0; i < n; i++) {
		all.messages += sums[i].messages;
		all.values += sums[i].values;
	}
	return all;
}

static bool run(int seconds)
{
	struct sum in[PRODUCERS] = { 0 }, out[CONSUMERS] = { 0 }, put, got;
	pthread_t producer[PRODUCERS], consumer[CONSUMERS], maker, user;

	for (int i = 0; i < PRODUCERS; i++)
		pthread_create(&producer[i], NULL, produce, &in[i]);
	for (int i = 0; i < CONSUMERS; i++)
		pthread_create(&consumer[i], NULL, consume, &out[i]);
	pthread_create(&maker, NULL, make_and_destroy, NULL);
	pthread_create(&user, NULL, use_until_destroyed, NULL);
	sleep((unsigned)seconds);
	atomic_store(&over, true);
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(producer[i], NULL);
	brood_queue_close(queue);
	for (int i = 0; i < CONSUMERS; i++)
		pthread_join(consumer[i], NULL);
	pthread_join(maker, NULL);
	pthread_join(user, NULL);
	put = total(in, PRODUCERS);
	got = total(out, CONSUMERS);
	printf("put %llu, got %llu, sums %s, queues made and destroyed %lu, failures %lu\n",
	       (unsigned long long)put.messages, (unsigned long long)got.messages,
	       put.values == got.values ? "equal" : "DIFFERENT", made_and_destroyed,
	       atomic_load(&failures));
	return put.messages && put.messages == got.messages && put.values == got.values;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 3;
	struct brood_queue_opts opts = { .slots = 16, .max_bytes = 64 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm((unsigned)seconds + 60);
	queue = brood_queue_create(&opts);
	if (!queue)
		return 99;
	return run(seconds) && !atomic_load(&failures) && !brood_queue_destroy(queue) ? 0 : 1;
}
