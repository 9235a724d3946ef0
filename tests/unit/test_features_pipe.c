/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Python promises of Pipe and Connection, row by row, where test_pipe.c has no test of it. A
 * test case quotes the call.
 */
#include <pthread.h>
#include <sys/socket.h>

#include "support.h"

struct scene {
	struct brood_conn *end[2];
	atomic_int stage;
};

static struct scene *new_scene(size_t bytes, bool simplex)
{
	struct scene *scene = shared(sizeof(*scene));
	struct brood_pipe *pipe = brood_pipe_create(&(struct brood_pipe_opts){
		.bytes = bytes, .simplex = simplex });

	ck_assert_ptr_nonnull(pipe);
	for (unsigned int i = 0; i < 2; i++)
		scene->end[i] = brood_pipe_end(pipe, i);
	return scene;
}

static void until(struct scene *scene, int stage)
{
	int64_t end = brood_now() + 30000 * MS;

	while (atomic_load(&scene->stage) < stage)
		must(brood_now() < end);
}

/* ---- poll ---- */

START_TEST(poll_again_and_again_consumes_nothing)
{
	struct scene *scene = new_scene(1024, false);
	char bytes[3];

	ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), -EAGAIN);
	ck_assert_int_eq(brood_conn_send(scene->end[1], "one", 3, 0), 0);
	ck_assert_int_eq(brood_conn_send(scene->end[1], "two", 3, 0), 0);
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(brood_conn_poll(scene->end[0], i % 2 ? 0 : BROOD_FOREVER), 0);
		ck_assert_int_eq(brood_conn_next_length(scene->end[0]), 3);
	}
	ck_assert_int_eq(brood_conn_recv(scene->end[0], bytes, 3, 0), 3);
	ck_assert_mem_eq(bytes, "one", 3);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], bytes, 3, 0), 3);
	ck_assert_mem_eq(bytes, "two", 3);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), -EAGAIN);
}
END_TEST

static int send_when_asleep(void *arg)
{
	struct scene *scene = arg;

	must(until_asleep(getppid()));
	return brood_conn_send(scene->end[1], NULL, 0, 0);
}

START_TEST(poll_with_a_timeout_is_woken_by_an_empty_message)
{
	struct scene *scene = new_scene(1024, false);
	pid_t child = start(send_when_asleep, scene);

	ck_assert_int_eq(brood_conn_poll(scene->end[0], brood_ms(30000)), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, 0), 0);
	ck_assert_int_eq(end_of(child), 0);
}
END_TEST

/* ---- recv_bytes(maxlength), recv_bytes_into ---- */

/* Better than Python's: the rest can be read, and the connection stays open in any case. */
START_TEST(too_short_a_buffer_leaves_the_connection_in_step)
{
	struct scene *scene = new_scene(1024, false);
	char bytes[100];

	ck_assert_int_eq(brood_conn_send(scene->end[1], "a long one", 10, 0), 0);
	ck_assert_int_eq(brood_conn_send(scene->end[1], "next", 4, 0), 0);
	for (size_t room = 0; room < 10; room++)
		ck_assert_int_eq(brood_conn_recv(scene->end[0], bytes, room, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_conn_send(scene->end[0], "back", 4, 0), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[1], bytes, 4, 0), 4);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], bytes, 10, 0), 10);
	ck_assert_mem_eq(bytes, "a long one", 10);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], bytes, sizeof(bytes), 0), 4);
	ck_assert_mem_eq(bytes, "next", 4);
}
END_TEST

/* ---- send ---- */

#define LONG (64u << 20)

static int send_long(void *arg)
{
	struct scene *scene = arg;
	unsigned char *bytes = malloc(LONG);

	must(bytes);
	for (size_t i = 0; i < LONG; i++)
		bytes[i] = (unsigned char)(i * 7 + (i >> 12));
	must(brood_conn_send(scene->end[1], bytes, LONG, BROOD_FOREVER) == 0);
	free(bytes);
	return 0;
}

START_TEST(send_of_64_mib_through_64_kib)
{
	struct scene *scene = new_scene(0, true);
	pid_t child = start(send_long, scene);
	unsigned char *bytes = malloc(LONG);
	size_t wrong = 0;

	ck_assert_int_eq(brood_conn_close(scene->end[1]), 0);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_conn_next_length(scene->end[0]), LONG);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], bytes, LONG, BROOD_FOREVER), LONG);
	for (size_t i = 0; i < LONG; i++)
		wrong += bytes[i] != (unsigned char)(i * 7 + (i >> 12));
	ck_assert_uint_eq(wrong, 0);
	free(bytes);
	ck_assert_int_eq(end_of(child), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, BROOD_FOREVER), -EPIPE);
}
END_TEST

static volatile sig_atomic_t signals;

static void count_signal(int signal)
{
	(void)signal;
	signals++;
}

START_TEST(send_after_the_peers_close_raises_epipe_and_no_signal)
{
	struct scene *scene = new_scene(1024, false);

	signal(SIGPIPE, count_signal);
	ck_assert_int_eq(brood_conn_close(scene->end[1]), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_conn_send(scene->end[0], "x", 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(signals, 0);
	/* It is the end of file for recv too. */
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, BROOD_FOREVER), -EPIPE);
}
END_TEST

/* ---- end of file ---- */

START_TEST(a_copy_left_open_in_the_reader_prevents_it)
{
	struct scene *scene = new_scene(1024, true);
	pid_t child = start(send_when_asleep, scene);

	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, BROOD_FOREVER), 0);
	ck_assert_int_eq(end_of(child), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, brood_ms(10)), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], brood_ms(1)), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_close(scene->end[1]), 0);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, 0), -EPIPE);
}
END_TEST

static int hold(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return 0;
}

START_TEST(a_copy_left_open_in_a_sibling_prevents_it)
{
	struct scene *scene = new_scene(1024, true);
	pid_t sibling = start(hold, NULL);

	ck_assert_int_eq(brood_conn_close(scene->end[1]), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, brood_ms(10)), -ETIMEDOUT);
	kill_child(sibling);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], NULL, 0, BROOD_FOREVER), -EPIPE);
}
END_TEST

/* The child ends, its child goes on; nobody of them has come to any call. */
static int leave_a_grandchild(void *arg)
{
	struct scene *scene = arg;

	if (fork() == 0) {
		until(scene, 1);
		_exit(brood_conn_send(scene->end[1], "g", 1, 0) ? 1 : 0);
	}
	return 0;
}

START_TEST(a_copy_in_a_grandchild_prevents_it)
{
	struct scene *scene = new_scene(1024, true);
	char byte;

	ck_assert_int_eq(run(leave_a_grandchild, scene), 0);
	ck_assert_int_eq(brood_conn_close(scene->end[1]), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, brood_ms(5)), -ETIMEDOUT);
	atomic_store(&scene->stage, 1);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), 1);
	ck_assert_int_eq(byte, 'g');
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), -EPIPE);
}
END_TEST

static void *use_in_thread(void *arg)
{
	struct scene *scene = arg;

	must(brood_conn_open(scene->end[1]) == 0);
	atomic_store(&scene->stage, 1);
	until(scene, 2);
	must(brood_conn_send(scene->end[1], "t", 1, 0) == 0);
	return NULL;
}

/* Where a process has one copy of a descriptor, here each thread that has used an end holds it. */
START_TEST(a_thread_holds_what_it_uses_until_it_ends)
{
	struct scene *scene = new_scene(1024, true);
	pthread_t thread;
	char byte;

	ck_assert_int_eq(pthread_create(&thread, NULL, use_in_thread, scene), 0);
	until(scene, 1);
	ck_assert_int_eq(brood_conn_close(scene->end[1]), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, brood_ms(2)), -ETIMEDOUT);
	atomic_store(&scene->stage, 2);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), 1);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

/* ---- close ---- */

static int close_here(void *arg)
{
	struct scene *scene = arg;

	for (int end = 0; end < 2; end++) {
		must(brood_conn_closed(scene->end[end]) == 0);
		must(brood_conn_close(scene->end[end]) == 0);
		must(brood_conn_closed(scene->end[end]) == 1);
	}
	return 0;
}

START_TEST(closed_in_a_child_is_open_in_the_parent)
{
	struct scene *scene = new_scene(1024, false);
	char byte;

	ck_assert_int_eq(run(close_here, scene), 0);
	for (int end = 0; end < 2; end++) {
		ck_assert_int_eq(brood_conn_closed(scene->end[end]), 0);
		ck_assert_int_eq(brood_conn_send(scene->end[end], "x", 1, 0), 0);
		ck_assert_int_eq(brood_conn_recv(scene->end[!end], &byte, 1, 0), 1);
	}
}
END_TEST

/* Where a child of Python's has no descriptor any more. */
static int use_closed(void *arg)
{
	struct scene *scene = arg;

	return brood_conn_send(scene->end[1], "x", 1, 0) == 0 ? 0 : 1;
}

START_TEST(a_member_that_comes_later_may_use_what_others_closed)
{
	struct scene *scene = new_scene(1024, true);
	char byte;

	ck_assert_int_eq(brood_conn_close(scene->end[1]), 0);
	ck_assert_int_eq(brood_conn_poll(scene->end[0], 0), 0);
	ck_assert_int_eq(run(use_closed, scene), 0);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, 0), 1);
	ck_assert_int_eq(brood_conn_recv(scene->end[0], &byte, 1, 0), -EPIPE);
}
END_TEST

/* ---- a connection to another process, by SCM_RIGHTS ---- */

static int ends[2];

/* With a family arena of its own. */
static int offer_a_pipe(void *arg)
{
	struct brood_pipe *pipe;
	char byte;

	(void)arg;
	close(ends[1]);
	must(brood_init(NULL) == 0);
	pipe = brood_pipe_create(NULL);
	must(pipe && brood_handle_send(ends[0], pipe) == 0);
	must(read(ends[0], &byte, 1) == 1);	/* the other side holds its end by now */
	must(brood_conn_close(brood_pipe_end(pipe, 1)) == 0);
	must(brood_conn_recv(brood_pipe_end(pipe, 0), &byte, 1, BROOD_FOREVER) == 1);
	must(byte == 'q');
	must(brood_conn_send(brood_pipe_end(pipe, 0), "a", 1, 0) == 0);
	return 0;
}

START_TEST(a_pipe_sent_to_a_stranger)
{
	struct brood_pipe *pipe;
	struct brood_conn *end;
	struct brood_segment *segment;
	pid_t child;
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	child = start(offer_a_pipe, NULL);
	close(ends[0]);
	pipe = brood_handle_recv(ends[1]);
	ck_assert_ptr_nonnull(pipe);
	segment = brood_segment_of(pipe);
	end = brood_pipe_end(pipe, 1);
	ck_assert_int_eq(brood_conn_open(end), 0);
	ck_assert_int_eq(write(ends[1], "", 1), 1);
	ck_assert_int_eq(brood_conn_send(end, "q", 1, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_conn_recv(end, &byte, 1, BROOD_FOREVER), 1);
	ck_assert_int_eq(byte, 'a');
	ck_assert_int_eq(brood_conn_recv(end, &byte, 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(end_of(child), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	close(ends[1]);
}
END_TEST

int main(void)
{
	TCase *poll = new_case("Connection.poll()", begin_test);
	TCase *recv = new_case("Connection.recv_bytes(maxlength)", begin_test);
	TCase *send = new_case("Connection.send_bytes()", begin_test);
	TCase *eof = new_case("EOFError", begin_test);
	TCase *closing = new_case("Connection.close(), closed", begin_test);
	TCase *handed = new_case("a Connection sent to another process", begin_without_arena);

	tcase_add_test(poll, poll_again_and_again_consumes_nothing);
	tcase_add_test(poll, poll_with_a_timeout_is_woken_by_an_empty_message);
	tcase_add_test(recv, too_short_a_buffer_leaves_the_connection_in_step);
	tcase_add_test(send, send_of_64_mib_through_64_kib);
	tcase_add_test(send, send_after_the_peers_close_raises_epipe_and_no_signal);
	tcase_add_test(eof, a_copy_left_open_in_the_reader_prevents_it);
	tcase_add_test(eof, a_copy_left_open_in_a_sibling_prevents_it);
	tcase_add_test(eof, a_copy_in_a_grandchild_prevents_it);
	tcase_add_test(eof, a_thread_holds_what_it_uses_until_it_ends);
	tcase_add_test(closing, closed_in_a_child_is_open_in_the_parent);
	tcase_add_test(closing, a_member_that_comes_later_may_use_what_others_closed);
	tcase_add_test(handed, a_pipe_sent_to_a_stranger);
	return run_cases("features of pipes", poll, recv, send, eof, closing, handed, NULL);
}
