/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A server on epoll whose requests are answered by worker processes: a client at 127.0.0.1 sends
 * lines, and gets each back turned round.
 *
 *	clients ==(sockets)==> server --(jobs)--> workers --(answers)--> server ==> clients
 *
 * One set has everything that can happen: the listener, signals, the clients' sockets, a descriptor
 * of the answer queue (there is something to get), one of the job queue (there is room), and a
 * pidfd of each worker. All calls on queues have a timeout of 0: the loop waits in epoll_wait only.
 *
 * When the job queue is full the server stops reading from who has a request that it cannot place;
 * the client's own writes wait then, and nothing piles up here. The same when a client does not
 * read its answers. Workers may be killed at any time: see echo_work.c.
 *
 *	$ examples/echo_epoll --port 7007 &
 *	listening at port 7007
 *	$ printf 'hello\nworld\n' | nc -N 127.0.0.1 7007
 *	olleh
 *	dlrow
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* accept4 */
#endif
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo_work.h"

#define EVENTS 64

/*
 * Who an event is for. A number, not a pointer: when its turn comes, an event before it may have
 * freed what the pointer led to.
 */
enum {
	LISTENER,
	SIGNALS,
	ANSWERS,
	ROOM,
	WORKER,			/* and one for each further worker; clients begin at FIRST_ID */
};
_Static_assert(WORKER + WORKERS_MAX <= FIRST_ID, "no number means two things");

struct connection {
	struct client client;	/* first: it is what the functions of echo_client.c take */
	int fd;
	uint32_t events;	/* those that are asked for */
};

static int set, listener, signals, answers, room;

static void ask(int operation, int fd, uint32_t events, uint64_t who)
{
	struct epoll_event event = { .events = events, .data.u64 = who };

	if (epoll_ctl(set, operation, fd, &event))
		fail("epoll_ctl", -errno);
}

static void drop(struct connection *connection)
{
	client_remove(&connection->client);
	/*
	 * close would not do: a worker that was started just now may have the descriptor, and the
	 * set would go on telling of it.
	 */
	ask(EPOLL_CTL_DEL, connection->fd, 0, 0);
	close(connection->fd);
	free(connection);
	ask(EPOLL_CTL_MOD, listener, EPOLLIN, LISTENER);	/* there is room for another one */
}

/* Send what can be sent. -errno when the connection is broken, 1 when not all was taken. */
static int send_answers(struct connection *connection)
{
	struct iovec pieces[WINDOW];
	struct msghdr message = { .msg_iov = pieces };
	ssize_t n;

	for (;;) {
		message.msg_iovlen = (size_t)client_output(&connection->client, pieces);
		if (message.msg_iovlen == 0)
			return 0;
		n = sendmsg(connection->fd, &message, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? 1 : -errno;
		client_sent(&connection->client, (size_t)n);
	}
}

/*
 * Do all that can be done for a client, and ask for the events that tell when there will be more.
 * It may be gone afterwards.
 */
static void serve(struct connection *connection)
{
	struct client *client = &connection->client;
	int unsent = send_answers(connection), left = client_submit(client);
	uint32_t events = 0;

	if (unsent < 0 || left == -EMSGSIZE ||
	    (client->ended && left == 0 && client->oldest == client->next)) {
		drop(connection);
		return;
	}
	if (left == 0 && !client->ended)
		events |= EPOLLIN;
	if (unsent)
		events |= EPOLLOUT;
	if (events != connection->events)
		ask(EPOLL_CTL_MOD, connection->fd, events, client->id);
	connection->events = events;
}

static void on_client(uint64_t id, uint32_t events)
{
	struct client *client = client_find(id);
	struct connection *connection = (struct connection *)client;
	ssize_t n;

	if (!client)
		return;
	if (events & (EPOLLERR | EPOLLHUP)) {
		drop(connection);
		return;
	}
	/* After client_submit returned 0 there is space: a line is shorter. */
	if (events & EPOLLIN) {
		n = read(connection->fd, client->in + client->in_length,
			 sizeof(client->in) - client->in_length);
		if (n > 0)
			client->in_length += (size_t)n;
		else if (n == 0)
			client->ended = true;
	}
	serve(connection);
}

/* At the limit of descriptors, leave newcomers in the backlog until somebody goes. */
static void on_listener(void)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct connection *connection;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			ask(EPOLL_CTL_MOD, listener, 0, LISTENER);
		return;
	}
	connection = calloc(1, sizeof(*connection));
	if (!connection || client_add(&connection->client)) {
		free(connection);
		close(fd);
		return;
	}
	connection->fd = fd;
	connection->events = EPOLLIN;
	ask(EPOLL_CTL_ADD, fd, EPOLLIN, connection->client.id);
}

/*
 * The descriptor stays ready until a get has found nothing, so the clients get their turn after
 * some answers, and no answer is forgotten.
 */
static void on_answers(void)
{
	struct client *client;

	for (int i = 0; i < EVENTS && client_answer(&client) == 0; i++)
		if (client)
			serve((struct connection *)client);
}

static void on_room(void)
{
	struct client *first;

	while ((first = client_first_stalled())) {
		uint64_t id = first->id;

		serve((struct connection *)first);
		first = client_first_stalled();
		if (first && first->id == id)
			return;
	}
}

/*
 * There nearly always is room, and the descriptor says so each time, so it is asked only while
 * somebody waits for that. It becomes unready when a put has found no room.
 */
static void ask_for_room(void)
{
	static uint32_t asked;
	uint32_t events = client_first_stalled() ? EPOLLIN : 0;

	if (events != asked)
		ask(EPOLL_CTL_MOD, room, events, ROOM);
	asked = events;
}

static void on_worker(unsigned int i)
{
	ask(EPOLL_CTL_DEL, brood_process_pidfd(work.workers[i]), 0, 0);
	work_replace(i);
	ask(EPOLL_CTL_ADD, brood_process_pidfd(work.workers[i]), EPOLLIN, WORKER + i);
}

/*
 * A forked child has the sockets too. As long as it does, a client would not be told that the
 * server has closed its end.
 */
static void in_child(void)
{
	close(listener);
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i])
			close(((struct connection *)clients[i])->fd);
}

static void begin(const struct settings *settings)
{
	sigset_t mask;

	listener = listen_at(settings->port);
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signals = signalfd(-1, &mask, SFD_CLOEXEC);
	set = epoll_create1(EPOLL_CLOEXEC);
	work_begin(settings->workers, in_child);
	answers = brood_queue_fd(work.answers, BROOD_READABLE);
	room = brood_queue_fd(work.jobs, BROOD_WRITABLE);
	if (signals < 0 || set < 0 || answers < 0 || room < 0)
		fail("cannot get the descriptors", -EMFILE);
	ask(EPOLL_CTL_ADD, listener, EPOLLIN, LISTENER);
	ask(EPOLL_CTL_ADD, signals, EPOLLIN, SIGNALS);
	ask(EPOLL_CTL_ADD, answers, EPOLLIN, ANSWERS);
	ask(EPOLL_CTL_ADD, room, 0, ROOM);
	for (unsigned int i = 0; i < work.n; i++)
		ask(EPOLL_CTL_ADD, brood_process_pidfd(work.workers[i]), EPOLLIN, WORKER + i);
	say_port(listener);
}

static void handle(uint64_t who, uint32_t events)
{
	if (who == LISTENER)
		on_listener();
	else if (who == ANSWERS)
		on_answers();
	else if (who == ROOM)
		on_room();
	else if (who < FIRST_ID)
		on_worker((unsigned int)(who - WORKER));
	else
		on_client(who, events);
}

static void loop(void)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(set, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == SIGNALS)
				return;
			handle(events[i].data.u64, events[i].events);
		}
		ask_for_room();
	}
}

int main(int argc, char **argv)
{
	const struct settings settings =
		settings_from(argc, argv, "Echo lines backwards, by worker processes, with epoll.");

	begin(&settings);
	loop();
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i])
			drop((struct connection *)clients[i]);
	close(listener);
	brood_queue_fd_close(work.answers, BROOD_READABLE);
	brood_queue_fd_close(work.jobs, BROOD_WRITABLE);
	work_end();
	clients_report();
	return 0;
}
