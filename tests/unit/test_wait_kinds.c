/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rings, connections, broadcasts and queues of one and one, among what brood_wait knows: each kind,
 * each event, what a death, the end, destroy and close do, with and without a descriptor beside
 * them. Their descriptors are tested in test_fd_kinds.c.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "platform/platform.h"
#include "wait_kinds.h"

#define LATE (40 * MS)		/* the look that every sleeper takes by itself comes after 100 ms */

/* ---- what is ready ---- */

START_TEST(ring_is_readable_when_a_message_is_in)
{
	struct brood_ring *ring = new_ring(1024);
	struct brood_waitable item = item_of(BROOD_WAIT_RING, ring, 0);
	struct brood_message held;
	char byte;

	for (int round = 0; round < 50; round++) {	/* laps */
		ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
		ck_assert_int_eq(item.ready, 0);
		ck_assert_int_eq(brood_ring_put(ring, "x", 1, 0), 0);
		ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
		ck_assert_int_eq(item.ready, BROOD_READABLE);
		ck_assert_int_eq(brood_wait(&item, 1, BROOD_FOREVER), 1);	/* still */
		ck_assert_int_eq(brood_ring_get(ring, &byte, 1, 0), 1);
	}
	/* Not while it is being written, or read by somebody. */
	ck_assert_int_eq(brood_ring_reserve(ring, 8, &held, 0), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(brood_ring_put(ring, "y", 1, 0), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(brood_ring_abort(ring, &held), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(brood_ring_lease(ring, &held, 0), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(brood_ring_release(ring, &held), 0);
	ck_assert_int_eq(brood_ring_put(ring, NULL, 0, 0), 0);	/* an empty one is one */
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
}
END_TEST

START_TEST(ring_is_writable_while_there_is_room)
{
	struct brood_ring *ring = new_ring(512);
	struct brood_waitable item = item_of(BROOD_WAIT_RING, ring, BROOD_WRITABLE);
	int in = 0;
	char byte;

	for (int round = 0; round < 50; round++) {
		while (brood_wait(&item, 1, 0) == 1) {
			ck_assert_int_eq(item.ready, BROOD_WRITABLE);
			ck_assert_int_eq(brood_ring_put(ring, "x", 1, 0), 0);
			in++;
		}
		ck_assert_int_eq(in, 8);
		ck_assert_int_eq(brood_ring_put(ring, "x", 1, 0), -EAGAIN);
		for (int i = 0; i <= round % 8; i++, in--)
			ck_assert_int_eq(brood_ring_get(ring, &byte, 1, 0), 1);
	}
	item.events = BROOD_READABLE | BROOD_WRITABLE;
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(item.ready, BROOD_READABLE | BROOD_WRITABLE);
}
END_TEST

START_TEST(closed_ring_is_ready)
{
	struct brood_ring *ring = new_ring(512);
	struct brood_waitable item = item_of(BROOD_WAIT_RING, ring, 3);
	char byte;

	while (brood_ring_put(ring, "x", 1, 0) == 0)
		;
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(item.ready, BROOD_READABLE);
	brood_ring_close(ring);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(item.ready, 3);
	while (brood_ring_get(ring, &byte, 1, 0) == 1)
		;
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(item.ready, 3);
	ck_assert_int_eq(brood_ring_get(ring, &byte, 1, 0), -EPIPE);
}
END_TEST

static int lease_and_die(void *ring)
{
	struct brood_message message;

	must(brood_ring_lease(ring, &message, BROOD_FOREVER) == 0);
	raise(SIGKILL);
	return 0;
}

static int reserve_and_die(void *ring)
{
	struct brood_message message;

	must(brood_ring_reserve(ring, 8, &message, BROOD_FOREVER) == 0);
	raise(SIGKILL);
	return 0;
}

START_TEST(what_a_dead_one_had_of_a_ring_counts)
{
	struct brood_ring *ring = new_ring(512);
	struct brood_waitable item = item_of(BROOD_WAIT_RING, ring, 0);
	char byte;

	ck_assert_int_eq(brood_ring_put(ring, "x", 1, 0), 0);
	ck_assert_int_eq(run(lease_and_die, ring), -SIGKILL);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(brood_ring_get(ring, &byte, 1, 0), 1);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(run(reserve_and_die, ring), -SIGKILL);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(brood_ring_put(ring, "y", 1, 0), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
}
END_TEST

START_TEST(broadcast_is_readable_by_who_has_something_to_get)
{
	struct brood_broadcast *broadcast = new_broadcast(4, _i);
	struct brood_waitable item = item_of(BROOD_WAIT_BROADCAST, broadcast, 0);
	char byte;

	ck_assert_int_eq(brood_wait(&item, 1, 0), -ENOTCONN);
	ck_assert_int_eq(brood_broadcast_put(broadcast, "x", 1, 0), 0);
	ck_assert_int_eq(brood_broadcast_subscribe(broadcast), 0);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
		ck_assert_int_eq(brood_broadcast_put(broadcast, "x", 1, 0), 0);
		ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
		ck_assert_int_eq(item.ready, BROOD_READABLE);
		ck_assert_int_eq(brood_broadcast_get(broadcast, &byte, 1, 0), 1);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_broadcast_put(broadcast, "x", 1, 0), 0);
	if (_i)		/* lossy: also what has been written over */
		for (int i = 0; i < 10; i++) {
			ck_assert_int_eq(brood_broadcast_put(broadcast, "x", 1, 0), 0);
			ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
		}
	brood_broadcast_close(broadcast);
	while (brood_broadcast_get(broadcast, &byte, 1, 0) == 1)
		ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);	/* the end */
	ck_assert_int_eq(item.ready, BROOD_READABLE);
	ck_assert_int_eq(brood_broadcast_get(broadcast, &byte, 1, 0), -EPIPE);
	ck_assert_int_eq(brood_broadcast_unsubscribe(broadcast), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -ENOTCONN);
}
END_TEST

static int subscribe_and_die(void *broadcast)
{
	must(brood_broadcast_subscribe(broadcast) == 0);
	must(brood_broadcast_put(broadcast, "x", 1, 0) == 0);
	must(brood_broadcast_producer_end(broadcast) == 0);
	raise(SIGKILL);
	return 0;
}

START_TEST(broadcast_is_writable_while_nobody_holds_it_up)
{
	struct brood_broadcast *broadcast = new_broadcast(3, _i);	/* not a power of two */
	struct brood_waitable item = item_of(BROOD_WAIT_BROADCAST, broadcast, BROOD_WRITABLE);
	char byte;

	/* Nobody: for ever. */
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
		ck_assert_int_eq(brood_broadcast_put(broadcast, "x", 1, 0), 0);
	}
	ck_assert_int_eq(brood_broadcast_producer_end(broadcast), 0);
	ck_assert_int_eq(run(subscribe_and_die, broadcast), -SIGKILL);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(brood_broadcast_put(broadcast, "x", 1, 0), 0);
	ck_assert_int_eq(brood_broadcast_subscribe(broadcast), 0);
	for (int round = 0; round < 10 && !_i; round++) {
		while (brood_wait(&item, 1, 0) == 1)
			ck_assert_int_eq(brood_broadcast_put(broadcast, "x", 1, 0), 0);
		ck_assert_int_eq(brood_broadcast_count(broadcast), 3);
		ck_assert_int_eq(brood_broadcast_put(broadcast, "x", 1, 0), -EAGAIN);
		ck_assert_int_eq(brood_broadcast_get(broadcast, &byte, 1, 0), 1);
	}
	for (int i = 0; i < 10 && _i; i++) {
		ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
		ck_assert_int_eq(brood_broadcast_put(broadcast, "x", 1, 0), 0);
	}
	brood_broadcast_close(broadcast);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
}
END_TEST

/* ---- connections: the rows of Python's connection.wait and poll ---- */

START_TEST(connection_wait_lists_who_can_be_received_from)
{
	struct brood_conn *end[2];
	struct brood_waitable items[2];
	char text[8];

	new_pipe(end, 0, false);
	items[0] = item_of(BROOD_WAIT_CONN, end[0], 0);
	items[1] = item_of(BROOD_WAIT_CONN, end[1], 0);
	ck_assert_int_eq(brood_wait(items, 2, 0), -EAGAIN);
	ck_assert_int_eq(brood_wait(items, 2, brood_ms(1)), -ETIMEDOUT);	/* [] */
	ck_assert_int_eq(brood_conn_send(end[0], "one", 3, 0), 0);
	ck_assert_int_eq(brood_wait(items, 2, BROOD_FOREVER), 1);
	ck_assert(!items[0].ready && items[1].ready == BROOD_READABLE);
	ck_assert_int_eq(brood_conn_send(end[1], "two", 3, 0), 0);
	ck_assert_int_eq(brood_wait(items, 2, BROOD_FOREVER), 2);
	ck_assert_int_eq(brood_conn_recv(end[1], text, 8, 0), 3);
	ck_assert_int_eq(brood_wait(items, 2, BROOD_FOREVER), 1);
	ck_assert(items[0].ready && !items[1].ready);
}
END_TEST

START_TEST(connection_wait_an_empty_message_counts)
{
	struct brood_conn *end[2];
	struct brood_waitable item;

	new_pipe(end, 0, true);
	item = item_of(BROOD_WAIT_CONN, end[0], 0);
	ck_assert_int_eq(brood_conn_send(end[1], NULL, 0, 0), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(brood_conn_recv(end[0], NULL, 0, 0), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
}
END_TEST

START_TEST(connection_wait_end_of_file_counts)
{
	struct brood_conn *end[2];
	struct brood_waitable item;
	char byte;

	new_pipe(end, 0, _i & 1);
	item = item_of(BROOD_WAIT_CONN, end[0], 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(brood_conn_send(end[1], "x", 1, 0), 0);
	ck_assert_int_eq(brood_conn_close(end[1]), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(brood_conn_recv(end[0], &byte, 1, 0), 1);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_wait(&item, 1, BROOD_FOREVER), 1);
		ck_assert_int_eq(item.ready, BROOD_READABLE);
		ck_assert_int_eq(brood_conn_recv(end[0], &byte, 1, 0), -EPIPE);
	}
}
END_TEST

START_TEST(connection_wait_closed_is_ebadf)
{
	struct brood_conn *end[2];
	struct brood_waitable item;

	new_pipe(end, 0, false);
	item = item_of(BROOD_WAIT_CONN, end[0], 3);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(brood_conn_close(end[0]), 0);
	item.ready = 3;
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EBADF);
	ck_assert_int_eq(item.ready, 0);
	ck_assert_int_eq(brood_wait(&item, 1, BROOD_FOREVER), -EBADF);
}
END_TEST

START_TEST(connection_wait_wrong_direction_is_ebadf)
{
	struct brood_conn *end[2];
	struct brood_waitable item;

	new_pipe(end, 0, true);
	item = item_of(BROOD_WAIT_CONN, end[1], BROOD_READABLE);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EBADF);
	item = item_of(BROOD_WAIT_CONN, end[0], BROOD_WRITABLE);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EBADF);
	item.events = 3;
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EBADF);
	item = item_of(BROOD_WAIT_CONN, end[1], BROOD_WRITABLE);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
}
END_TEST

START_TEST(conn_is_writable_while_there_is_room_or_nobody_receives)
{
	struct brood_conn *end[2];
	struct brood_waitable item;
	int in = 0;
	char byte;

	new_pipe(end, 512, true);
	item = item_of(BROOD_WAIT_CONN, end[1], BROOD_WRITABLE);
	for (int round = 0; round < 20; round++) {
		while (brood_wait(&item, 1, 0) == 1) {
			ck_assert_int_eq(brood_conn_send(end[1], "x", 1, 0), 0);
			in++;
		}
		ck_assert_int_eq(in, 8);
		ck_assert_int_eq(brood_conn_send(end[1], "x", 1, 0), -EAGAIN);
		for (int i = 0; i <= round % 8; i++, in--)
			ck_assert_int_eq(brood_conn_recv(end[0], &byte, 1, 0), 1);
	}
	while (brood_conn_send(end[1], "x", 1, 0) == 0)
		;
	ck_assert_int_eq(brood_conn_close(end[0]), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(brood_conn_send(end[1], "x", 1, 0), -EPIPE);
}
END_TEST

static void stop(pid_t pid)
{
	kill(pid, SIGSTOP);
	ck_assert_int_eq(waitpid(pid, NULL, WUNTRACED), pid);
}

START_TEST(conn_is_readable_but_not_in_the_midst_of_anothers_message)
{
	struct pieces *pieces = new_pieces(1024, 20000);
	struct brood_waitable item = item_of(BROOD_WAIT_CONN, pieces->end[0], 0);
	pid_t sender = start(send_long, pieces), receiver;
	char *data = malloc(20000);

	/* The sender waits for room: there is no more than the first pieces. */
	ck_assert_int_eq(brood_wait(&item, 1, BROOD_FOREVER), 1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_wait(&item, 1, 0), 1);	/* nothing was taken */
	ck_assert_int_eq(brood_conn_recv(pieces->end[0], data, 20000, 0), 20000);
	ck_assert_int_eq(end_of(sender), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);

	/* A receiver stopped within it, with pieces before it. */
	sender = start(send_long, pieces);
	ck_assert_int_eq(brood_wait(&item, 1, BROOD_FOREVER), 1);
	stop(sender);
	receiver = start(receive_long, pieces);
	while (brood_wait(&item, 1, 0) == 1)
		usleep(100);
	stop(receiver);
	kill(sender, SIGCONT);
	usleep(5000);
	ck_assert(until_asleep(sender));
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(brood_wait(&item, 1, brood_ms(5)), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_recv(pieces->end[0], data, 20000, 0), -EAGAIN);
	kill(receiver, SIGCONT);
	ck_assert_int_eq(end_of(receiver), 0);
	ck_assert_int_eq(end_of(sender), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	free(data);
}
END_TEST

START_TEST(half_a_message_of_a_dead_one_is_nothing)
{
	struct pieces *pieces = new_pieces(1024, 20000);
	struct brood_waitable item = item_of(BROOD_WAIT_CONN, pieces->end[0], 0);

	for (int round = 0; round < 5; round++) {
		pid_t sender = start(send_long, pieces);

		ck_assert_int_eq(brood_wait(&item, 1, BROOD_FOREVER), 1);
		kill_child(sender);
		ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
		ck_assert_int_eq(brood_wait(&item, 1, brood_ms(2)), -ETIMEDOUT);
	}
	ck_assert_int_eq(brood_conn_send(pieces->end[1], "x", 1, 0), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
}
END_TEST

START_TEST(conn_is_not_writable_while_another_sends)
{
	struct pieces *pieces = new_pieces(1024, 500);
	struct brood_waitable item = item_of(BROOD_WAIT_CONN, pieces->end[1], BROOD_WRITABLE);
	char data[500];
	pid_t sender;

	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	sender = a_sender_that_waits(pieces);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(brood_conn_send(pieces->end[1], "x", 1, 0), -EAGAIN);
	while (brood_conn_recv(pieces->end[0], data, 500, BROOD_FOREVER) != 500)
		;
	ck_assert_int_eq(end_of(sender), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
}
END_TEST

/* ---- all kinds: a table ---- */

START_TEST(every_kind_and_event_is_not_ready_then_ready)
{
	for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
		struct thing thing = kind->make();
		struct brood_waitable item = thing.item;
		int64_t begin = brood_now();

		ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
		ck_assert_int_eq(brood_wait(&item, 1, brood_ms(3)), -ETIMEDOUT);
		ck_assert_int_ge(brood_now() - begin, 3 * MS);
		ck_assert_int_eq(item.ready, 0);
		must(kind->make_ready(&thing) == 0);
		ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
		ck_assert_int_eq(brood_wait(&item, 1, BROOD_FOREVER), 1);
		ck_assert_int_eq(item.ready, item.events);
	}
}
END_TEST

START_TEST(errors)
{
	_Alignas(64) char elsewhere[256] = "";

	for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
		struct thing thing = kind->make();
		struct brood_waitable item = thing.item;

		item.object = NULL;
		ck_assert_int_eq(brood_wait(&item, 1, 0), -EINVAL);
		item.object = elsewhere + 128;
		ck_assert_int_eq(brood_wait(&item, 1, 0), -EBADF);
		item.object = brood_event_create(NULL);	/* in the segment, and none of it */
		ck_assert_int_eq(brood_wait(&item, 1, 0), -EBADF);
		item = thing.item;
		item.events = 4;
		ck_assert_int_eq(brood_wait(&item, 1, 0), -EINVAL);
		must(kind->destroy(&thing) == 0);
		item = thing.item;
		ck_assert_int_eq(brood_wait(&item, 1, 0), -ESTALE);
	}
}
END_TEST

START_TEST(a_thousand_of_all_kinds)
{
	enum { N = 1000 };
	static struct brood_waitable items[N];
	static struct thing things[N];
	int expected = 0;

	for (int i = 0; i < N; i++) {
		const struct kind *kind = &kinds[i % KINDS];

		things[i] = kind->make();
		items[i] = things[i].item;
	}
	ck_assert_int_eq(brood_wait(items, N, 0), -EAGAIN);
	ck_assert_int_eq(brood_wait(items, N, brood_ms(1)), -ETIMEDOUT);
	for (int i = 0; i < N; i += 7, expected++)
		must(kinds[i % KINDS].make_ready(&things[i]) == 0);
	ck_assert_int_eq(brood_wait(items, N, BROOD_FOREVER), expected);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(items[i].ready, i % 7 == 0 ? items[i].events : 0);
}
END_TEST

/* ---- being woken ---- */

struct sleep {
	struct thing thing;
	const struct kind *kind;
	int fd;			/* beside it; -1: none */
	_Atomic bool begun;
};

static int sleep_on_it(void *arg)
{
	struct sleep *sleep = arg;
	struct brood_waitable items[3] = { sleep->thing.item, sleep->thing.item,
					   { .fd = sleep->fd } };
	int result;

	if (sleep->kind && sleep->kind->begin)
		sleep->kind->begin(&sleep->thing);
	atomic_store(&sleep->begun, true);
	result = brood_wait(items, sleep->fd < 0 ? 2 : 3, brood_ms(20000));
	if (result < 0)
		return -result;
	return result == 2 && items[0].ready == items[0].events ? 0 : 255;
}

static pid_t asleep(struct sleep *sleep)
{
	pid_t pid;

	atomic_store(&sleep->begun, false);
	pid = start(sleep_on_it, sleep);
	while (!atomic_load(&sleep->begun))
		usleep(100);
	usleep(1000);
	until_asleep(pid);
	return pid;
}

/* By an int: the kind, and whether with a descriptor beside it. */
static void wake_by(int i, int (*make_ready)(const struct kind *kind, struct thing *thing))
{
	const struct kind *kind = &kinds[i / 2];
	struct sleep *sleep = shared(sizeof(*sleep));
	unsigned int late = 0;

	sleep->kind = kind;
	sleep->fd = i & 1 ? eventfd(0, EFD_CLOEXEC) : -1;
	for (int round = 0; round < 6; round++) {
		int64_t begin;
		pid_t pid;

		sleep->thing = kind->make();
		pid = asleep(sleep);
		begin = brood_now();
		must(make_ready(kind, &sleep->thing) == 0);
		ck_assert_int_eq(end_of(pid), 0);
		late += brood_now() - begin > LATE;
		kind->destroy(&sleep->thing);
	}
	ck_assert_uint_le(late, 3);
	if (sleep->fd >= 0)
		close(sleep->fd);
}

static int by_use(const struct kind *kind, struct thing *thing)
{
	return kind->make_ready(thing);
}

static int by_destroy(const struct kind *kind, struct thing *thing)
{
	return kind->destroy(thing);
}

static int by_end(const struct kind *kind, struct thing *thing)
{
	return kind->end(thing);
}

START_TEST(woken_by_each_kind)
{
	wake_by(_i, by_use);
}
END_TEST

START_TEST(woken_by_destroy)
{
	wake_by(_i, by_destroy);
}
END_TEST

START_TEST(woken_by_the_end)
{
	wake_by(_i, by_end);
}
END_TEST

/* ---- deaths that make ready ---- */

struct holder {
	struct brood_conn *end[2];
	bool receives, beside_fd;
	_Atomic bool ready;
};

static int hold_an_end(void *arg)
{
	struct holder *holder = arg;

	must(brood_conn_close(holder->end[holder->receives ? 1 : 0]) == 0);
	atomic_store(&holder->ready, true);
	for (;;)
		pause();
}

/* Not a member. */
static pid_t kill_soon(pid_t pid)
{
	pid_t killer = fork();

	if (killer == 0) {
		usleep(3000);
		kill(pid, SIGKILL);
		_exit(0);
	}
	return killer;
}

/* Whether it came late. */
static bool wait_for_the_death(struct holder *holder, int fd)
{
	struct brood_conn *mine = holder->end[holder->receives];
	struct brood_conn *its = holder->end[!holder->receives];
	struct brood_waitable items[2] = { item_of(BROOD_WAIT_CONN, mine, 0), { .fd = fd } };
	size_t n = fd < 0 ? 1 : 2;
	pid_t pid, killer;
	int64_t begin;

	items[0].events = holder->receives ? BROOD_WRITABLE : BROOD_READABLE;
	while (holder->receives && brood_conn_send(mine, "x", 1, 0) == 0)
		;
	pid = start(hold_an_end, holder);
	while (!atomic_load(&holder->ready))
		usleep(100);
	must(brood_conn_close(its) == 0);
	must(brood_wait(items, n, brood_ms(2)) == -ETIMEDOUT);
	killer = kill_soon(pid);
	begin = brood_now();
	must(brood_wait(items, n, brood_ms(20000)) == 1);
	begin = brood_now() - begin;
	must(items[0].ready == items[0].events);
	must(end_of(killer) == 0 && end_of(pid) == -SIGKILL);
	must((holder->receives ? brood_conn_send(mine, "x", 1, 0) :
				 brood_conn_recv(mine, NULL, 0, 0)) == -EPIPE);
	return begin > LATE;
}

static int wait_for_deaths(void *arg)
{
	struct holder *holder = arg;
	int fd = holder->beside_fd ? eventfd(0, EFD_CLOEXEC) : -1;
	unsigned int late = 0;

	for (int round = 0; round < 6; round++) {
		new_pipe(holder->end, 512, true);
		atomic_store(&holder->ready, false);
		late += wait_for_the_death(holder, fd);
	}
	return late > 3;
}

/* The last writer, or the last reader: nobody else wakes us. */
START_TEST(woken_by_the_death_of_the_last_holder_of_the_other_end)
{
	struct holder *holder = shared(sizeof(*holder));

	holder->receives = _i & 1;
	holder->beside_fd = _i & 2;
	ck_assert_int_eq(run(wait_for_deaths, holder), 0);
}
END_TEST

static int subscribe_and_stay(void *arg)
{
	struct holder *holder = arg;

	must(brood_broadcast_subscribe((void *)holder->end[0]) == 0);
	atomic_store(&holder->ready, true);
	for (;;)
		pause();
}

START_TEST(woken_by_the_death_of_the_last_subscriber)
{
	struct holder *holder = shared(sizeof(*holder));
	struct brood_broadcast *broadcast = new_broadcast(2, false);
	struct brood_waitable item = item_of(BROOD_WAIT_BROADCAST, broadcast, BROOD_WRITABLE);
	unsigned int late = 0;

	holder->end[0] = (void *)broadcast;
	for (int round = 0; round < 6; round++) {
		pid_t pid = start(subscribe_and_stay, holder), killer;
		int64_t begin;

		while (!atomic_load(&holder->ready))
			usleep(100);
		atomic_store(&holder->ready, false);
		while (brood_broadcast_put(broadcast, "x", 1, 0) == 0)
			;
		ck_assert_int_eq(brood_wait(&item, 1, brood_ms(2)), -ETIMEDOUT);
		killer = kill_soon(pid);
		begin = brood_now();
		ck_assert_int_eq(brood_wait(&item, 1, brood_ms(20000)), 1);
		late += brood_now() - begin > LATE;
		ck_assert_int_eq(end_of(killer), 0);
		ck_assert_int_eq(end_of(pid), -SIGKILL);
	}
	ck_assert_uint_le(late, 3);
}
END_TEST

/* ---- turns ---- */

/* Another is done, that alone makes the connection ready. */
START_TEST(woken_when_another_has_had_its_turn)
{
	struct pieces *pieces = new_pieces(1024, 500);
	struct sleep *sleep = shared(sizeof(*sleep));
	unsigned int late = 0;
	char data[500];

	sleep->fd = _i ? eventfd(0, EFD_CLOEXEC) : -1;
	sleep->thing.item = item_of(BROOD_WAIT_CONN, pieces->end[1], BROOD_WRITABLE);
	for (int round = 0; round < 6; round++) {
		pid_t sender, pid;
		int64_t begin;

		pieces->timeout = brood_ms(30);	/* it has the turn, and gives up */
		sender = a_sender_that_waits(pieces);
		pid = asleep(sleep);
		ck_assert_int_eq(end_of(sender), ETIMEDOUT);
		begin = brood_now();
		ck_assert_int_eq(end_of(pid), 0);
		late += brood_now() - begin > LATE;
		while (brood_conn_recv(pieces->end[0], data, 500, 0) >= 0)
			;
	}
	ck_assert_uint_le(late, 3);
	if (sleep->fd >= 0)
		close(sleep->fd);
}
END_TEST

/* ---- what a look costs ---- */

/* The fence on all CPUs kills from now on. */
static bool forbid_fences(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int look_without_fences(void *unused)
{
	static struct thing things[KINDS];
	struct brood_waitable items[KINDS];

	(void)unused;
	for (int i = 0; i < KINDS; i++) {
		things[i] = kinds[i].make();
		items[i] = things[i].item;
	}
	if (!forbid_fences())
		return 77;
	for (int round = 0; round < 10; round++) {
		must(brood_wait(items, KINDS, 0) == -EAGAIN);
		for (int i = 0; i < KINDS; i++) {
			must(kinds[i].make_ready(&things[i]) == 0);
			must(brood_wait(items, KINDS, BROOD_FOREVER) == i + 1);
		}
		for (int i = 0; i < KINDS; i++)
			must(kinds[i].use(&things[i]) >= 0);
	}
	brood_wait(items, KINDS, brood_ms(1));	/* who sleeps needs it */
	return 1;
}

START_TEST(who_does_not_sleep_needs_no_fence)
{
	int result = run(look_without_fences, NULL);

	if (result == 77)
		skipped("no seccomp here");
	else
		ck_assert_int_eq(result, -SIGSYS);
}
END_TEST

/* A process that has rung keeps the socket. */
static void begin_with_socket(void)
{
	brood__doorbell_ring(1, 1);
	begin_test();
}

int main(void)
{
	TCase *looks = new_case("looks", begin_test);
	TCase *sleeps = new_case("sleeps", begin_with_socket);

	tcase_add_test(looks, ring_is_readable_when_a_message_is_in);
	tcase_add_test(looks, ring_is_writable_while_there_is_room);
	tcase_add_test(looks, closed_ring_is_ready);
	tcase_add_test(looks, what_a_dead_one_had_of_a_ring_counts);
	tcase_add_loop_test(looks, broadcast_is_readable_by_who_has_something_to_get, 0, 2);
	tcase_add_loop_test(looks, broadcast_is_writable_while_nobody_holds_it_up, 0, 2);
	tcase_add_test(looks, connection_wait_lists_who_can_be_received_from);
	tcase_add_test(looks, connection_wait_an_empty_message_counts);
	tcase_add_loop_test(looks, connection_wait_end_of_file_counts, 0, 2);
	tcase_add_test(looks, connection_wait_closed_is_ebadf);
	tcase_add_test(looks, connection_wait_wrong_direction_is_ebadf);
	tcase_add_test(looks, conn_is_writable_while_there_is_room_or_nobody_receives);
	tcase_add_test(looks, conn_is_readable_but_not_in_the_midst_of_anothers_message);
	tcase_add_test(looks, half_a_message_of_a_dead_one_is_nothing);
	tcase_add_test(looks, conn_is_not_writable_while_another_sends);
	tcase_add_test(looks, every_kind_and_event_is_not_ready_then_ready);
	tcase_add_test(looks, errors);
	tcase_add_test(looks, a_thousand_of_all_kinds);
	tcase_add_test(looks, who_does_not_sleep_needs_no_fence);
	tcase_add_loop_test(sleeps, woken_by_each_kind, 0, 2 * KINDS);
	tcase_add_loop_test(sleeps, woken_by_destroy, 0, 2 * KINDS);
	tcase_add_loop_test(sleeps, woken_by_the_end, 0, 2 * KINDS);
	tcase_add_loop_test(sleeps, woken_by_the_death_of_the_last_holder_of_the_other_end, 0, 4);
	tcase_add_test(sleeps, woken_by_the_death_of_the_last_subscriber);
	tcase_add_loop_test(sleeps, woken_when_another_has_had_its_turn, 0, 2);
	return run_cases("kinds among many", looks, sleeps, NULL);
}
