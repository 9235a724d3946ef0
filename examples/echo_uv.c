/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server of echo_epoll.c on libuv: what is said there holds here.
 *
 * A uv_poll_t on a descriptor is all that a libuv loop needs: that of the answer queue always, that
 * of the job queue while somebody waits for room, the pidfd of each worker. libuv reaps only what
 * uv_spawn has started, so it leaves the workers alone.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "echo_work.h"

#define ANSWERS_AT_ONCE 64

struct connection {
	struct client client;	/* first: it is what the functions of echo_client.c take */
	uv_tcp_t tcp;
	uv_write_t write;
	size_t writing;		/* bytes that libuv has; they stay in the client's window */
	bool reading;
};

static uv_loop_t *loop;
static uv_tcp_t listener;
static uv_poll_t answers, room;
static uv_signal_t signals[2];

static void serve(struct connection *connection);

static void must(int result)
{
	if (result < 0)
		fail("libuv", result);	/* its errors are -errno */
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

static void free_connection(uv_handle_t *tcp)
{
	free(tcp->data);
}

static void drop(struct connection *connection)
{
	client_remove(&connection->client);
	uv_close((uv_handle_t *)&connection->tcp, free_connection);
}

static void on_written(uv_write_t *write, int status)
{
	struct connection *connection = write->data;

	if (status == UV_ECANCELED)	/* dropped */
		return;
	client_sent(&connection->client, connection->writing);
	connection->writing = 0;
	if (status < 0)
		drop(connection);
	else
		serve(connection);
}

/* One write at a time: the next has what has come meanwhile. */
static int send_answers(struct connection *connection)
{
	struct iovec pieces[WINDOW];
	uv_buf_t buffers[WINDOW];
	int n;

	if (connection->writing)
		return 0;
	n = client_output(&connection->client, pieces);
	if (n == 0)
		return 0;
	for (int i = 0; i < n; i++) {
		buffers[i] = uv_buf_init(pieces[i].iov_base, (unsigned int)pieces[i].iov_len);
		connection->writing += pieces[i].iov_len;
	}
	return uv_write(&connection->write, (uv_stream_t *)&connection->tcp, buffers,
			(unsigned int)n, on_written);
}

/* After client_submit returned 0 there is space: a line is shorter. */
static void give_space(uv_handle_t *tcp, size_t wanted, uv_buf_t *buffer)
{
	struct client *client = tcp->data;

	(void)wanted;
	*buffer = uv_buf_init(client->in + client->in_length,
			      (unsigned int)(sizeof(client->in) - client->in_length));
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buffer)
{
	struct connection *connection = tcp->data;

	(void)buffer;
	if (n < 0 && n != UV_EOF) {
		drop(connection);
		return;
	}
	if (n == UV_EOF)
		connection->client.ended = true;
	else
		connection->client.in_length += (size_t)n;
	serve(connection);
}

static void set_reading(struct connection *connection, bool wanted)
{
	uv_stream_t *tcp = (uv_stream_t *)&connection->tcp;

	if (wanted && !connection->reading)
		must(uv_read_start(tcp, give_space, on_read));
	if (!wanted && connection->reading)
		uv_read_stop(tcp);
	connection->reading = wanted;
}

static void on_room(uv_poll_t *poll, int status, int events)
{
	struct client *first;

	(void)poll, (void)status, (void)events;
	while ((first = client_first_stalled())) {
		uint64_t id = first->id;

		serve((struct connection *)first);
		first = client_first_stalled();
		if (first && first->id == id)
			break;
	}
	if (!first)
		uv_poll_stop(&room);
}

/* Do all that can be done for a client. It may be gone afterwards. */
static void serve(struct connection *connection)
{
	struct client *client = &connection->client;
	int unsent = send_answers(connection), left = client_submit(client);

	if (left == -EAGAIN && !uv_is_active((uv_handle_t *)&room))
		must(uv_poll_start(&room, UV_READABLE, on_room));
	if (unsent < 0 || left == -EMSGSIZE ||
	    (client->ended && left == 0 && client->oldest == client->next))
		drop(connection);
	else
		set_reading(connection, left == 0 && !client->ended);
}

static void on_answers(uv_poll_t *poll, int status, int events)
{
	struct client *client;

	(void)poll, (void)status, (void)events;
	for (int i = 0; i < ANSWERS_AT_ONCE && client_answer(&client) == 0; i++)
		if (client)
			serve((struct connection *)client);
}

/* At the limit of descriptors libuv itself takes newcomers and closes them. */
static void on_connection(uv_stream_t *stream, int status)
{
	struct connection *connection = status < 0 ? NULL : calloc(1, sizeof(*connection));

	if (!connection)
		return;
	must(uv_tcp_init(loop, &connection->tcp));
	connection->tcp.data = connection;
	connection->write.data = connection;
	if (uv_accept(stream, (uv_stream_t *)&connection->tcp) || client_add(&connection->client))
		uv_close((uv_handle_t *)&connection->tcp, free_connection);
	else
		set_reading(connection, true);
}

static void on_worker(uv_poll_t *poll, int status, int events);

/* A handle for each, since libuv lets go of one only later. */
static void watch_worker(unsigned int i)
{
	uv_poll_t *poll = malloc(sizeof(*poll));

	if (!poll)
		fail("cannot watch a worker", -ENOMEM);
	poll->data = &work.workers[i];
	must(uv_poll_init(loop, poll, brood_process_pidfd(work.workers[i])));
	must(uv_poll_start(poll, UV_READABLE, on_worker));
}

static void on_worker(uv_poll_t *poll, int status, int events)
{
	struct brood_process **place = poll->data;
	unsigned int i = (unsigned int)(place - work.workers);

	(void)status, (void)events;
	uv_close((uv_handle_t *)poll, free_handle);	/* before the pidfd is closed */
	work_replace(i);
	watch_worker(i);
}

static void close_socket(const uv_tcp_t *tcp)
{
	uv_os_fd_t fd;

	if (uv_fileno((const uv_handle_t *)tcp, &fd) == 0)
		close(fd);
}

/* The loop itself is the parent's: its handles must not be touched, its descriptors may. */
static void in_child(void)
{
	close_socket(&listener);
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i])
			close_socket(&((struct connection *)clients[i])->tcp);
}

static void on_signal(uv_signal_t *watch, int number)
{
	(void)watch, (void)number;
	uv_stop(loop);
}

static void watch_signal(uv_signal_t *watch, int number)
{
	must(uv_signal_init(loop, watch));
	must(uv_signal_start(watch, on_signal, number));
}

static void begin(const struct settings *settings)
{
	int fd = listen_at(settings->port);

	signal(SIGPIPE, SIG_IGN);	/* libuv writes to whoever has gone */
	loop = uv_default_loop();
	must(uv_tcp_init(loop, &listener));
	must(uv_tcp_open(&listener, fd));
	work_begin(settings->workers, in_child);
	watch_signal(&signals[0], SIGINT);
	watch_signal(&signals[1], SIGTERM);
	must(uv_poll_init(loop, &answers, brood_queue_fd(work.answers, BROOD_READABLE)));
	must(uv_poll_init(loop, &room, brood_queue_fd(work.jobs, BROOD_WRITABLE)));
	must(uv_poll_start(&answers, UV_READABLE, on_answers));
	for (unsigned int i = 0; i < work.n; i++)
		watch_worker(i);
	must(uv_listen((uv_stream_t *)&listener, SOMAXCONN, on_connection));
	say_port(fd);
}

static void close_handle(uv_handle_t *handle, void *unused)
{
	(void)unused;
	if (!uv_is_closing(handle))
		uv_close(handle, handle->type == UV_POLL && handle->data ? free_handle : NULL);
}

int main(int argc, char **argv)
{
	const struct settings settings =
		settings_from(argc, argv, "Echo lines backwards, by worker processes, with libuv.");

	begin(&settings);
	uv_run(loop, UV_RUN_DEFAULT);
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i])
			drop((struct connection *)clients[i]);
	uv_walk(loop, close_handle, NULL);
	uv_run(loop, UV_RUN_DEFAULT);
	must(uv_loop_close(loop));
	brood_queue_fd_close(work.answers, BROOD_READABLE);
	brood_queue_fd_close(work.jobs, BROOD_WRITABLE);
	work_end();
	clients_report();
	return 0;
}
