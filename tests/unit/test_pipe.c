/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pipes and their connections: what Python promises of them, and what a death leaves. */
#include "queue/pipe.h"
#include "support.h"

static struct brood_pipe *new_pipe(size_t bytes, bool simplex)
{
	struct brood_pipe *pipe = brood_pipe_create(&(struct brood_pipe_opts){
		.bytes = bytes, .simplex = simplex });

	ck_assert_ptr_nonnull(pipe);
	return pipe;
}

static unsigned char *bytes_of(size_t length, unsigned int seed)
{
	unsigned char *data = malloc(length + 1);

	must(data);
	for (size_t i = 0; i < length; i++)
		data[i] = (unsigned char)(seed * 31 + i * 7 + (i >> 8));
	return data;
}

static int send_seeded(struct brood_conn *conn, size_t length, unsigned int seed, int64_t timeout)
{
	unsigned char *data = bytes_of(length, seed);
	int result = brood_conn_send(conn, data, length, timeout);

	free(data);
	return result;
}

/* Whether the next message is that. */
static bool receives(struct brood_conn *conn, size_t length, unsigned int seed, int64_t timeout)
{
	unsigned char *expected = bytes_of(length, seed), *data = malloc(length + 1);
	ssize_t n = brood_conn_recv(conn, data, length, timeout);
	bool right = n == (ssize_t)length && memcmp(data, expected, length) == 0;

	if (!right)
		fprintf(stderr, "recv gave %zd, not %zu\n", n, length);
	free(expected);
	free(data);
	return right;
}

struct scene {
	struct brood_pipe *pipe;
	struct brood_conn *end[2];
	atomic_int stage;
	size_t length;
};

static struct scene *new_scene(size_t bytes, bool simplex)
{
	struct scene *scene = shared(sizeof(*scene));

	scene->pipe = new_pipe(bytes, simplex);
	for (unsigned int i = 0; i < 2; i++)
		scene->end[i] = brood_pipe_end(scene->pipe, i);
	return scene;
}

static void until(const struct scene *scene, int stage)
{
	int64_t end = brood_now() + 30000 * MS;

	while (atomic_load(&scene->stage) < stage)
		ck_assert_int_lt(brood_now(), end);
}

static void close_end(struct scene *scene, int end)
{
	ck_assert_int_eq(brood_conn_close(scene->end[end]), 0);
}

/* ---- rows of Pipe and Connection ---- */

START_TEST(duplex_messages_keep_their_bounds)
{
	struct scene *scene = new_scene(4096, false);

	for (unsigned int i = 0; i < 300; i++) {
		ck_assert_int_eq(send_seeded(scene->end[0], i * 3, i, 0), 0);
		ck_assert_int_eq(send_seeded(scene->end[1], i * 5, i + 1, 0), 0);
		ck_assert_int_eq(send_seeded(scene->end[1], 1, i, 0), 0);
		ck_assert(receives(scene->end[1], i * 3, i, 0));
		ck_assert(receives(scene->end[0], i * 5, i + 1, 0));
		ck_assert(receives(scene->end[0], 1, i, 0));
	}
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, 0), -EAGAIN);
}
END_TEST

START_TEST(simplex_wrong_direction_is_ebadf)
{
	struct scene *scene = new_scene(4096, true);

	ck_assert_int_eq(brood_conn_send(scene->end[0], "", 1, 0), -EBADF);
	ck_assert_int_eq(brood_conn_recv(scene->end[1], NULL, 0, 0), -EBADF);
	ck_assert_int_eq(brood_conn_poll(scene->end[1], 0), -EBADF);
	ck_assert_int_eq(brood_conn_next_length(scene->end[1]), -EBADF);
	ck_assert_int_eq(brood_conn_send(scene->end[1], "x", 1, 0), 0);
	ck_assert(brood_conn_poll(scene->end[0], 0) == 0);
}
END_TEST

START_TEST(an_empty_message_is_no_end_of_file)
{
	struct scene *scene = new_scene(0, true);

	ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), -EAGAIN);
	ck_assert_int_eq(brood_conn_send(scene->end[1], NULL, 0, 0), 0);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_conn_next_length(scene->end[0]), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, 0), 0);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], brood_ms(5)), -ETIMEDOUT);
}
END_TEST

static int send_length(void *arg)
{
	struct scene *scene = arg;

	return send_seeded(scene->end[1], scene->length, 5, BROOD_FOREVER);
}

START_TEST(too_long_for_the_receiver_is_kept)
{
	const size_t lengths[] = { 1000, 30000 };

	for (int i = 0; i < 2; i++) {
		struct scene *scene = new_scene(8192, true);
		char small[999];
		pid_t child;

		scene->length = lengths[i];
		child = start(send_length, scene);
		ck_assert_int_eq(brood_conn_recv(scene->end[0], small, sizeof(small), BROOD_FOREVER),
				 -EMSGSIZE);
		ck_assert_int_eq(brood_conn_recv(scene->end[0], small, sizeof(small), 0), -EMSGSIZE);
		ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), 0);
		ck_assert_int_eq(brood_conn_next_length(scene->end[0]), (ssize_t)lengths[i]);
		ck_assert(receives(scene->end[0], lengths[i], 5, BROOD_FOREVER));
		ck_assert_int_eq(end_of(child), 0);
	}
}
END_TEST

/* Also of messages far longer than the pipe. */
static int echo(void *arg)
{
	struct scene *scene = arg;
	char *data = malloc(1 << 20);
	ssize_t n;

	must(brood_conn_close(scene->end[0]) == 0);
	while ((n = brood_conn_recv(scene->end[1], data, 1 << 20, BROOD_FOREVER)) >= 0)
		must(brood_conn_send(scene->end[1], data, (size_t)n, BROOD_FOREVER) == 0);
	free(data);
	return n == -EPIPE ? 0 : 1;
}

START_TEST(any_length_there_and_back)
{
	const size_t bytes[] = { 1, 1000, 0 };
	struct scene *scene = new_scene(bytes[_i], false);
	pid_t child = start(echo, scene);

	close_end(scene, 1);
	for (size_t length = 0; length < 1 << 20; length += length / 3 + 1) {
		ck_assert_int_eq(send_seeded(scene->end[0], length, 3, BROOD_FOREVER), 0);
		ck_assert(receives(scene->end[0], length, 3, BROOD_FOREVER));
	}
	close_end(scene, 0);
	ck_assert_int_eq(end_of(child), 0);
}
END_TEST

START_TEST(closed_is_ebadf_and_twice_is_fine)
{
	struct scene *scene = new_scene(0, false);

	ck_assert_int_eq(brood_conn_closed(scene->end[0]), 0);
	close_end(scene, 0);
	close_end(scene, 0);
	ck_assert_int_eq(brood_conn_closed(scene->end[0]), 1);
	ck_assert_int_eq(brood_conn_send(scene->end[0], "", 1, 0), -EBADF);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, 0), -EBADF);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), -EBADF);
	ck_assert_int_eq(brood_conn_open(scene->end[0]), -EBADF);
	ck_assert_int_eq(brood_conn_closed(scene->end[1]), 0);
}
END_TEST

START_TEST(send_waits_for_room_until_its_time_is_over)
{
	struct scene *scene = new_scene(1024, true);
	int64_t begin;
	int sent = 0;

	while (brood_conn_send(scene->end[1], "x", 1, 0) == 0)
		sent++;
	ck_assert_int_eq(sent, 16);
	begin = brood_now();
	ck_assert_int_eq(brood_conn_send(scene->end[1], "x", 1, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	while (sent-- > 0)
		ck_assert_int_eq(brood_conn_recv(scene->end[0], &(char){ 0 }, 1, 0), 1);
	/* A long one that nobody receives does not arrive, nor in part. */
	ck_assert_int_eq(send_seeded(scene->end[1], 5000, 1, brood_ms(5)), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), -EAGAIN);
	ck_assert_int_eq(send_seeded(scene->end[1], 5000, 1, 0), -EAGAIN);
	ck_assert_int_eq(brood_conn_send(scene->end[1], "y", 1, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_conn_next_length(scene->end[0]), 1);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &(char){ 0 }, 1, 0), 1);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &(char){ 0 }, 1, brood_ms(5)), -ETIMEDOUT);
}
END_TEST

/* ---- end of file ---- */

START_TEST(waiting_messages_come_before_the_end_of_file)
{
	struct scene *scene = new_scene(0, true);
	char byte = 0;

	ck_assert_int_eq(brood_conn_send(scene->end[1], "a", 1, 0), 0);
	ck_assert_int_eq(brood_conn_send(scene->end[1], NULL, 0, 0), 0);
	close_end(scene, 1);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), 1);
	ck_assert_int_eq(byte, 'a');
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_conn_poll(scene->end[0], BROOD_FOREVER), 0);
		ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), -EPIPE);
		ck_assert_int_eq(brood_conn_next_length(scene->end[0]), -EPIPE);
	}
}
END_TEST

START_TEST(send_to_nobody_is_epipe)
{
	struct scene *scene = new_scene(0, _i);

	close_end(scene, 0);
	ck_assert_int_eq(brood_conn_send(scene->end[1], "a", 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(send_seeded(scene->end[1], 1 << 20, 1, BROOD_FOREVER), -EPIPE);
}
END_TEST

/* The child has not come to any call when the parent closes its copy, or never comes there. */
static int wait_then_send(void *arg)
{
	struct scene *scene = arg;

	while (atomic_load(&scene->stage) == 0)
		usleep(100);
	if (scene->length == 0)
		kill(getpid(), SIGKILL);
	return brood_conn_send(scene->end[1], "c", 1, BROOD_FOREVER);
}

START_TEST(a_child_holds_what_it_inherits)
{
	for (int i = 0; i < 20; i++) {
		struct scene *scene = new_scene(0, true);
		pid_t child;
		char byte;

		scene->length = (size_t)_i;
		child = start(wait_then_send, scene);
		close_end(scene, 1);
		ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), -EAGAIN);
		ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, brood_us(50)), -ETIMEDOUT);
		atomic_store(&scene->stage, 1);
		if (_i)
			ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), 1);
		ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), -EPIPE);
		ck_assert_int_eq(end_of(child), _i ? 0 : -SIGKILL);
		ck_assert_int_eq(brood_pipe_destroy(scene->pipe), 0);
	}
}
END_TEST

static int sleep_in_recv(void *arg)
{
	struct scene *scene = arg;
	char byte;

	must(brood_conn_close(scene->end[1]) == 0);
	return brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER) == -EPIPE ? 0 : 1;
}

static int hold_and_wait(void *arg)
{
	struct scene *scene = arg;

	must(brood_conn_close(scene->end[0]) == 0);
	atomic_store(&scene->stage, 1);
	while (pause())
		;
	return 0;
}

static int exec_away(void *arg)
{
	(void)arg;
	execl("/bin/sleep", "sleep", "1000", (char *)NULL);
	return 1;
}

/* The last writer closes, is killed, ends, execs: the sleeper wakes at once. */
START_TEST(the_last_writer_goes)
{
	struct scene *scene = new_scene(0, true);
	pid_t reader = start(sleep_in_recv, scene), writer = 0;
	int64_t begin;

	if (_i == 1) {
		writer = start(hold_and_wait, scene);
		until(scene, 1);
		close_end(scene, 1);
	}
	close_end(scene, 0);
	ck_assert(until_asleep(reader));
	if (_i == 2) {
		writer = start(exec_away, scene);
		close_end(scene, 1);
	}
	begin = brood_now();
	if (_i == 0)
		close_end(scene, 1);
	else if (_i == 1)
		kill_child(writer);
	ck_assert_int_eq(end_of(reader), 0);
	if (_i < 2)
		ck_assert_int_lt(brood_now() - begin, 80 * MS);
	if (_i == 2)
		kill_child(writer);
}
END_TEST

static int send_for_ever(void *arg)
{
	struct scene *scene = arg;
	int result;

	must(brood_conn_close(scene->end[0]) == 0);
	while ((result = send_seeded(scene->end[1], scene->length, 1, BROOD_FOREVER)) == 0)
		;
	return result == -EPIPE ? 0 : 1;
}

START_TEST(the_last_reader_goes)
{
	struct scene *scene = new_scene(1024, true);
	pid_t writer;

	scene->length = _i ? 10000 : 1;
	writer = start(send_for_ever, scene);
	close_end(scene, 1);
	ck_assert(until_asleep(writer));
	close_end(scene, 0);
	ck_assert_int_eq(end_of(writer), 0);
}
END_TEST

/* ---- deaths within messages ---- */

static int send_two(void *arg)
{
	struct scene *scene = arg;

	must(send_seeded(scene->end[1], 100, 1, BROOD_FOREVER) == 0);
	return send_seeded(scene->end[1], scene->length, 2, BROOD_FOREVER);
}

/* Killed in the middle of a long message: it is not seen, and the next one is. */
START_TEST(half_a_message_is_dropped)
{
	struct scene *scene = new_scene(1024, true);
	pid_t writer;
	char byte;

	scene->length = 10000;
	writer = start(send_two, scene);
	ck_assert(until_asleep(writer));
	ck_assert(receives(scene->end[0], 100, 1, 0));
	ck_assert_int_eq(brood_conn_next_length(scene->end[0]), 10000);
	kill_child(writer);
	if (_i == 0)
		ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), -EAGAIN);
	if (_i == 2) {
		close_end(scene, 1);
		ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), -EPIPE);
		return;
	}
	ck_assert_int_eq(brood_conn_send(scene->end[1], "n", 1, 0), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), 1);
	ck_assert_int_eq(byte, 'n');
	ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), -EAGAIN);
}
END_TEST

/* The same with a receiver that is within it already. */
START_TEST(a_receiver_forgets_half_a_message)
{
	struct scene *scene = new_scene(1024, true);
	unsigned char big[20000];
	pid_t writer;

	scene->length = 15000;
	writer = start(send_length, scene);
	ck_assert(until_asleep(writer));
	ck_assert_int_eq(kill(writer, SIGSTOP), 0);
	ck_assert_int_eq(brood_conn_next_length(scene->end[0]), 15000);
	{
		pid_t killer = fork();

		if (killer == 0) {
			must(until_asleep(getppid()));
			kill(writer, SIGKILL);
			_exit(brood_conn_send(scene->end[1], "z", 1, BROOD_FOREVER) ? 1 : 0);
		}
		ck_assert_int_eq(brood_conn_recv(scene->end[0], big, sizeof(big), BROOD_FOREVER), 1);
		ck_assert_int_eq(big[0], 'z');
		ck_assert_int_eq(end_of(killer), 0);
	}
	ck_assert_int_eq(end_of(writer), -SIGKILL);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), -EAGAIN);
}
END_TEST

static int recv_whole_for_ever(void *arg)
{
	struct scene *scene = arg;
	unsigned char *data = malloc(20000);

	while (brood_conn_recv(scene->end[0], data, 20000, BROOD_FOREVER) >= 0)
		atomic_fetch_add(&scene->stage, 1);
	free(data);
	return 0;
}

/* Receivers are killed at any moment: the others go on, and each message is whole. */
START_TEST(receivers_die_within_messages)
{
	struct scene *scene = new_scene(1024, true);
	pid_t writer;

	scene->length = _i ? 15000 : 300;
	writer = start(send_for_ever, scene);
	close_end(scene, 1);
	for (int i = 0; i < 30; i++) {
		int stage = atomic_load(&scene->stage);
		pid_t reader = start(recv_whole_for_ever, scene);

		until(scene, stage + 3);
		kill_child(reader);
		ck_assert(receives(scene->end[0], scene->length, 1, BROOD_FOREVER));
	}
	close_end(scene, 0);
	ck_assert_int_eq(end_of(writer), 0);
}
END_TEST

/* ---- many ---- */

enum { SENDERS = 3, EACH = 400 };

static size_t length_of(unsigned int i)
{
	return 8 + (i * 97) % (i % 5 ? 300 : 9000);
}

static int send_many(void *arg)
{
	struct scene *scene = arg;
	uint32_t head[2] = { (uint32_t)atomic_fetch_add(&scene->stage, 1), 0 };

	for (; head[1] < EACH; head[1]++) {
		unsigned char *data = bytes_of(length_of(head[1]), head[1]);

		memcpy(data, head, sizeof(head));
		must(brood_conn_send(scene->end[1], data, length_of(head[1]), BROOD_FOREVER) == 0);
		free(data);
	}
	return 0;
}

/* Whole, and in the order of each sender. Returns how many. */
static int recv_many(void *arg)
{
	struct scene *scene = arg;
	unsigned char *data = malloc(10000);
	int64_t last[SENDERS] = { -1, -1, -1 };
	ssize_t n;

	must(brood_conn_close(scene->end[1]) == 0);
	while ((n = brood_conn_recv(scene->end[0], data, 10000, BROOD_FOREVER)) >= 0) {
		unsigned char *expected;
		uint32_t head[2];

		must(n >= 8);
		memcpy(head, data, sizeof(head));
		must(head[0] < SENDERS && head[1] < EACH && head[1] > last[head[0]]);
		must((size_t)n == length_of(head[1]));
		expected = bytes_of((size_t)n, head[1]);
		must(memcmp(expected + 8, data + 8, (size_t)n - 8) == 0);
		free(expected);
		last[head[0]] = head[1];
		scene->length++;
	}
	must(n == -EPIPE);
	free(data);
	return 0;
}

static int send_short_long_short(void *arg)
{
	struct scene *scene = arg;

	must(send_seeded(scene->end[1], 100, 1, 0) == 0);
	atomic_store(&scene->stage, 1);
	must(send_seeded(scene->end[1], scene->length, 2, BROOD_FOREVER) == 0);
	must(send_seeded(scene->end[1], 50, 3, BROOD_FOREVER) == 0);
	return 0;
}

/* As one that is within recv of the first message. */
static int hold_first(void *arg)
{
	struct scene *scene = arg;
	struct taking taking = { .room = SIZE_MAX, .tags = 1 };
	struct conn_call call;
	struct bytes ring;

	must(brood__conn_enter(scene->end[0], &call) == 0);
	must(brood__conn_ring(&call, 0, &ring) == 0);
	must(brood__bytes_take(&ring, &taking) == 0);
	atomic_store(&scene->stage, 2);
	pause();
	return 1;
}

/* Within the second message first, with room for it. */
static int receive_all_three(void *arg)
{
	struct scene *scene = arg;
	unsigned char *data = malloc(scene->length), *first = bytes_of(100, 1);

	must(brood_conn_recv(scene->end[0], data, scene->length, BROOD_FOREVER) == 100);
	must(memcmp(data, first, 100) == 0);
	free(first);
	free(data);
	must(receives(scene->end[0], scene->length, 2, BROOD_FOREVER));
	must(receives(scene->end[0], 50, 3, BROOD_FOREVER));
	return 0;
}

/* What another receiver had comes back in the middle of a message in pieces. */
START_TEST(a_message_comes_back_within_another)
{
	struct scene *scene = new_scene(4096, true);
	pid_t sender, holder, receiver;

	scene->length = 20000;
	sender = start(send_short_long_short, scene);
	while (atomic_load(&scene->stage) < 1)
		usleep(100);
	ck_assert(until_asleep(sender));
	ck_assert_int_eq(kill(sender, SIGSTOP), 0);
	holder = start(hold_first, scene);
	while (atomic_load(&scene->stage) < 2)
		usleep(100);
	receiver = start(receive_all_three, scene);
	ck_assert(until_asleep(receiver));	/* for the next piece */
	kill_child(holder);
	ck_assert_int_eq(kill(sender, SIGCONT), 0);
	ck_assert_int_eq(end_of(sender), 0);
	ck_assert_int_eq(end_of(receiver), 0);
}
END_TEST

START_TEST(many_senders_and_receivers)
{
	struct scene *scene = new_scene(1500, true), *parts[2];
	pid_t senders[SENDERS], receivers[2];

	for (int i = 0; i < 2; i++) {
		parts[i] = shared(sizeof(*parts[i]));
		*parts[i] = *scene;
		receivers[i] = start(recv_many, parts[i]);
	}
	for (int i = 0; i < SENDERS; i++)
		senders[i] = start(send_many, scene);
	close_end(scene, 1);
	for (int i = 0; i < SENDERS; i++)
		ck_assert_int_eq(end_of(senders[i]), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(receivers[i]), 0);
	ck_assert_uint_eq(parts[0]->length + parts[1]->length, SENDERS * EACH);
}
END_TEST

/* ---- errors ---- */

START_TEST(calls_on_what_is_no_connection)
{
	struct scene *scene = new_scene(0, false);
	char memory[512];
	void *const wrong[] = { NULL, memory, new_queue(4, 8), scene->end[0], scene->end[1] };
	const int errors[] = { -EINVAL, -EBADF, -EBADF, -ESTALE, -ESTALE };
	const struct brood_pipe_opts odd = { .opts_size = 4 }, much = { .bytes = SIZE_MAX };

	ck_assert_int_eq(brood_pipe_destroy(scene->pipe), 0);
	ck_assert_int_eq(brood_pipe_destroy(scene->pipe), -ESTALE);
	for (int i = 0; i < 5; i++) {
		struct brood_conn *conn = wrong[i];

		ck_assert_int_eq(brood_conn_send(conn, "", 1, 0), errors[i]);
		ck_assert_int_eq(brood_conn_recv(conn, memory, 1, 0), errors[i]);
		ck_assert_int_eq(brood_conn_poll(conn, 0), errors[i]);
		ck_assert_int_eq(brood_conn_next_length(conn), errors[i]);
		ck_assert_int_eq(brood_conn_open(conn), errors[i]);
		ck_assert_int_eq(brood_conn_close(conn), errors[i]);
		ck_assert_int_eq(brood_conn_closed(conn), errors[i]);
	}
	ck_assert_ptr_null(brood_pipe_end(NULL, 0));
	ck_assert_ptr_null(brood_pipe_create(&odd));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(brood_pipe_create(&much));
	ck_assert_int_eq(errno, EINVAL);
	scene = new_scene(0, false);
	ck_assert_ptr_null(brood_pipe_end(scene->pipe, 2));
	ck_assert_int_eq(brood_conn_send(scene->end[0], NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 1, 0), -EINVAL);
}
END_TEST

START_TEST(found_by_its_name)
{
	struct brood_pipe *pipe = brood_pipe_create(&(struct brood_pipe_opts){ .name = "p" });

	ck_assert_ptr_nonnull(pipe);
	ck_assert_ptr_eq(brood_pipe_open(NULL, "p"), pipe);
	ck_assert_ptr_null(brood_pipe_open(NULL, "q"));
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static int live_with_damage(void *arg)
{
	struct brood_segment_info info;

	(void)arg;
	must(brood_segment_stat(NULL, &info) == 0);
	for (int round = 0; round < 300; round++) {
		struct brood_pipe *pipe = new_pipe(512, round % 2);
		struct brood_conn *end[2] = { brood_pipe_end(pipe, 0), brood_pipe_end(pipe, 1) };
		uint64_t *words = (uint64_t *)(void *)pipe;
		size_t n = 128 + info.members_max * 2;
		char data[2000] = { 0 };

		srand((unsigned int)round);
		for (int i = 0; i < 10; i++) {
			int e = rand() % 2;

			brood_conn_send(end[e], data, (size_t)rand() % sizeof(data), 0);
			brood_conn_recv(end[!e], data, (size_t)rand() % sizeof(data), brood_us(1));
			brood_conn_poll(end[!e], 0);
			brood_conn_next_length(end[e]);
			for (int k = 0; k < 3; k++)
				words[8 + (size_t)rand() % n] = rand() % 2 ? (uint64_t)rand() % 8 :
					(uint64_t)rand() << rand() % 40;
		}
		brood_pipe_destroy(pipe);
	}
	return 0;
}

START_TEST(whatever_is_in_the_memory)
{
	ck_assert_int_eq(run(live_with_damage, NULL), 0);
}
END_TEST

int main(void)
{
	TCase *rows = new_case("rows", begin_test), *eof = new_case("end of file", begin_test);
	TCase *deaths = new_case("deaths", begin_test), *others = new_case("others", begin_test);

	tcase_add_test(rows, duplex_messages_keep_their_bounds);
	tcase_add_test(rows, simplex_wrong_direction_is_ebadf);
	tcase_add_test(rows, an_empty_message_is_no_end_of_file);
	tcase_add_test(rows, too_long_for_the_receiver_is_kept);
	tcase_add_loop_test(rows, any_length_there_and_back, 0, 3);
	tcase_add_test(rows, closed_is_ebadf_and_twice_is_fine);
	tcase_add_test(rows, send_waits_for_room_until_its_time_is_over);
	tcase_add_test(eof, waiting_messages_come_before_the_end_of_file);
	tcase_add_loop_test(eof, send_to_nobody_is_epipe, 0, 2);
	tcase_add_loop_test(eof, a_child_holds_what_it_inherits, 0, 2);
	tcase_add_loop_test(eof, the_last_writer_goes, 0, 3);
	tcase_add_loop_test(eof, the_last_reader_goes, 0, 2);
	tcase_add_loop_test(deaths, half_a_message_is_dropped, 0, 3);
	tcase_add_test(deaths, a_receiver_forgets_half_a_message);
	tcase_add_loop_test(deaths, receivers_die_within_messages, 0, 2);
	tcase_add_test(deaths, a_message_comes_back_within_another);
	tcase_add_test(others, many_senders_and_receivers);
	tcase_add_test(others, calls_on_what_is_no_connection);
	tcase_add_test(others, found_by_its_name);
	tcase_add_test(others, whatever_is_in_the_memory);
	return run_cases("pipe", rows, eof, deaths, others, NULL);
}
