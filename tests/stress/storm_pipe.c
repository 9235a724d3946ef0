/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The storm of a pipe: four senders, four receivers, messages up to four times as long as the pipe's
 * memory. Each message whose send returned comes once and whole. What a dead receiver's recv had
 * copied, and of a long message any piece, may be gone with it. -EPIPE comes only while nobody holds
 * the other end, and when nobody does, it comes.
 *
 * Where the receivers are spared (senders), nothing at all may be lost, and all is in order.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "storm_kinds.h"

#define MEMORY 4096u

static struct brood_pipe *pipe_of_all;
static struct brood_conn *end_of[2];	/* 0 receives, 1 sends */
static bool spared;		/* the receivers */

static bool make(struct brood_segment *segment)
{
	struct brood_pipe_opts opts = { .bytes = MEMORY, .simplex = segment != NULL,
					.segment = segment };

	pipe_of_all = brood_pipe_create(&opts);
	for (unsigned int i = 0; i < 2 && pipe_of_all; i++) {
		end_of[i] = brood_pipe_end(pipe_of_all, i);
		if (brood_conn_close(end_of[i]))
			return false;
	}
	return pipe_of_all != NULL;
}

static bool make_all(struct brood_segment *segment)
{
	spared = false;
	return make(segment);
}

static bool make_spared(struct brood_segment *segment)
{
	spared = true;
	return make(segment);
}

/* ---- who holds an end ---- */

static void hold(uint32_t me)
{
	if (brood_conn_open(end_of[me < PLACES]))
		fault("an end is not to be held", me, 0, 0);
	atomic_store(&control->place[me].holds, atomic_fetch_add(&control->holders, 1) + 1);
}

/* Close it, and be of no use until one is killed, or it is over. */
static void let_go(uint32_t me)
{
	struct brood_conn *conn = end_of[me < PLACES];
	char byte = 0;

	atomic_store(&control->place[me].holds, 0);
	if (brood_conn_close(conn))
		fault("no close", me, 0, 0);
	if (brood_conn_send(conn, &byte, 1, 0) != -EBADF ||
	    brood_conn_recv(conn, &byte, 1, 0) != -EBADF)
		fault("used after close", me, 0, 0);
	while (atomic_load(&control->over) < (me < PLACES ? 1 : 2))
		usleep(1000);
}

struct others {
	uint64_t holds[PLACES];
};

/* Who holds the other end for certain. */
static struct others look(uint32_t me)
{
	struct others others;

	for (uint32_t i = 0; i < PLACES; i++)
		others.holds[i] = atomic_load(&control->place[(me < PLACES ? PLACES : 0) + i].holds);
	return others;
}

/* The end of file was seen between two looks: nobody may have held the other end throughout. */
static void check_end(uint32_t me, const struct others *before)
{
	struct others now = look(me);

	for (uint32_t i = 0; i < PLACES; i++)
		if (now.holds[i] && now.holds[i] == before->holds[i])
			fault("the other end is held", me, i, now.holds[i]);
}

/* ---- senders ---- */

/* Some give up in the middle of a long message. */
static int64_t send_timeout(void)
{
	uint32_t way = random_below(16);

	return way == 0 ? 0 : way == 1 ? brood_us(200) : some_timeout();
}

static int send_all(uint32_t me)
{
	unsigned char *data = control->place[me].data;
	uint32_t number;

	hold(me);
	while (!atomic_load(&control->over)) {
		struct others others = look(me);
		int result;

		if (!log_begin(me, 1, &number))
			break;
		result = brood_conn_send(end_of[1], data,
					 message_write(data, me, number, MESSAGE_MAX),
					 send_timeout());
		log_put(me, number, 1, result ? result : 1);
		progress(me, !result);
		if (result == -EPIPE) {
			check_end(me, &others);
			usleep(100);
		} else if (result && result != -EAGAIN && result != -ETIMEDOUT) {
			fault("a send failed", (uint64_t)-result, me, number);
		}
		if (random_below(5000) == 0)
			let_go(me);
	}
	if (atomic_load(&control->place[me].holds))
		let_go(me);
	return 0;
}

/* ---- receivers ---- */

/* What the predecessor's recv had copied, and a long message that it had begun. */
static void look_at_predecessor(struct place_state *place)
{
	struct payload p;
	size_t length;

	memcpy(&p, place->data, offsetof(struct payload, pattern));
	length = message_length(p.place, p.number, MESSAGE_MAX);
	if (atomic_load(&place->taking) && p.place < PLACES &&
	    (length > MEMORY / 2 - 64 || message_check(place->data, length, MESSAGE_MAX)))
		log_maybe(p.place, p.number);
	atomic_store(&place->taking, false);
}

static ssize_t receive(struct consumer *c, struct place_state *place)
{
	ssize_t n;

	memset(place->data, 0xff, offsetof(struct payload, pattern));
	atomic_store(&place->taking, true);
	n = brood_conn_recv(end_of[0], place->data, MESSAGE_MAX, some_timeout());
	if (n >= 0)
		log_taken(c, place->data, message_check(place->data, (size_t)n, MESSAGE_MAX), false);
	atomic_store(&place->taking, false);
	return n;
}

static bool is_usual(ssize_t result)
{
	return result >= 0 || result == -EAGAIN || result == -ETIMEDOUT || result == -EPIPE;
}

/* Calls that take nothing. */
static void look_first(uint32_t me)
{
	ssize_t result = random_below(2) ? brood_conn_poll(end_of[0], some_timeout()) :
					   brood_conn_next_length(end_of[0]);
	char byte;

	if (!is_usual(result))
		fault("a look failed", (uint64_t)-result, me, 0);
	result = brood_conn_recv(end_of[0], &byte, 1, 0);
	if (result >= 0 || (result != -EMSGSIZE && !is_usual(result)))
		fault("a message without room", (uint64_t)result, me, 0);
}

static int receive_all(uint32_t me)
{
	struct place_state *place = &control->place[me];
	struct consumer c;

	look_at_predecessor(place);
	log_consumer(&c);
	c.unordered = !spared;
	hold(me);
	for (;;) {
		bool last = atomic_load(&control->over) == 2;
		struct others others = look(me);
		ssize_t n;

		if (random_below(8) == 0)
			look_first(me);
		n = receive(&c, place);
		progress(me, n > 0);
		if (n == -EPIPE) {
			check_end(me, &others);
			usleep(100);
			if (last)
				return 0;
		} else if (!is_usual(n)) {
			fault("a recv failed", (uint64_t)-n, me, 0);
		}
		if (!spared && random_below(5000) == 0) {
			let_go(me);
			return 0;
		}
	}
}

static int work(uint32_t me)
{
	return me < PLACES ? send_all(me) : receive_all(me);
}

static bool end(void)
{
	return true;
}

static int receive_rest(void *me)
{
	return receive_all((uint32_t)(uintptr_t)me);
}

/* What is left when all receivers had let go. By a child: this thread has closed the end. */
static bool drain(void)
{
	struct brood_process *child = brood_process_start(receive_rest, (void *)(uintptr_t)PLACES);
	int code = 99;

	if (!child)
		return false;
	brood_process_join(child, BROOD_FOREVER);
	brood_process_exit_code(child, &code);
	brood_process_free(child);
	return code == 0;
}

static bool finish(void)
{
	bool right = drain();

	right = log_verdict(0) == 0 && right;
	return brood_pipe_destroy(pipe_of_all) == 0 && right;
}

const struct kind kind_pipe = { "pipe", PLACES, 0, WORKERS, make_all, work, end, finish };
const struct kind kind_senders = { "senders", PLACES, 0, PLACES, make_spared, work, end, finish };
