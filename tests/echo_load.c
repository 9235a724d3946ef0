/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Load for the echo servers: many connections, each sends its requests as fast as the server takes
 * them, and checks each answer, in order, to the byte. After the last one it ends its half, and no
 * more may come, so each request was answered exactly once. Prints requests a second.
 *
 *	echo_load PORT CONNECTIONS REQUESTS [SLOW [RUDE]]
 *	echo_load PORT
 *
 * SLOW of the connections read nothing at all until the others are done: a server that waited for
 * them would never finish. Then they take a hundred bytes at a time. RUDE further ones close their
 * sockets half way, with answers unread, every other one after it has sent all. The second form
 * sends a request that is too long, after a good one, and wants the server to end the connection.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* POLLRDHUP */
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LENGTH_MAX 240
#define SECONDS 30
#define BITE 100

enum manner { QUICK, SLOW, RUDE };

struct connection {
	int fd;
	enum manner manner;
	long sent, answered;		/* whole requests, whole answers */
	size_t out_length, out_done;	/* of the request that is being sent */
	size_t in_done;			/* of the answer that is being read */
	bool over;
	char out[LENGTH_MAX + 1];
};

static struct connection *connections;
static long count, requests, slow, rude;
static long quick_left, left;
static int set;

_Noreturn static void give_up(const char *what, const struct connection *connection)
{
	fprintf(stderr, "echo_load: %s", what);
	if (connection)
		fprintf(stderr, ", connection %ld, %ld sent, %ld answered",
			(long)(connection - connections), connection->sent, connection->answered);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

/* The text of a request, which is different for each: the numbers, then letters, then a newline. */
static size_t request_of(const struct connection *connection, long i, char *text)
{
	unsigned long long seed = (unsigned long long)((connection - connections) * requests + i);
	int n = snprintf(text, LENGTH_MAX, "%ld.%ld ", (long)(connection - connections), i);
	size_t length, head = (size_t)n;

	seed = (seed + 1) * 0x9e3779b97f4a7c15ull;
	length = head + (size_t)(seed >> 40) % (LENGTH_MAX + 1 - head);
	for (size_t at = head; at < length; at++)
		text[at] = (char)('a' + (seed >> at % 60) % 26);
	text[length] = '\n';
	return length + 1;
}

static void ask_events(const struct connection *connection, int operation)
{
	struct epoll_event event = { .data.ptr = (void *)connection };

	if (connection->manner != SLOW || quick_left == 0)
		event.events |= EPOLLIN;
	if (connection->sent < requests)
		event.events |= EPOLLOUT;
	if (epoll_ctl(set, operation, connection->fd, &event))
		give_up("epoll_ctl", connection);
}

static void end(struct connection *connection)
{
	close(connection->fd);
	connection->over = true;
	left--;
	if (connection->manner != QUICK || --quick_left > 0)
		return;
	for (long i = 0; i < count; i++)
		if (connections[i].manner == SLOW && !connections[i].over)
			ask_events(&connections[i], EPOLL_CTL_MOD);
}

static void send_some(struct connection *connection)
{
	while (connection->sent < requests) {
		ssize_t n;

		if (connection->out_length == 0)
			connection->out_length =
				request_of(connection, connection->sent, connection->out);
		n = send(connection->fd, connection->out + connection->out_done,
			 connection->out_length - connection->out_done, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			give_up("send", connection);
		connection->out_done += (size_t)n;
		if (connection->out_done < connection->out_length)
			continue;
		connection->out_done = connection->out_length = 0;
		if (++connection->sent == requests)
			shutdown(connection->fd, SHUT_WR);
	}
	ask_events(connection, EPOLL_CTL_MOD);
}

/* The answer is the request turned round, before the newline. */
static void check(struct connection *connection, const char *bytes, size_t n)
{
	char expected[LENGTH_MAX + 1];
	size_t length = 0;

	for (size_t i = 0; i < n; i++) {
		size_t at = connection->in_done++;
		char wanted;

		if (connection->answered == connection->sent)
			give_up("an answer too many", connection);
		if (at == 0 || i == 0)
			length = request_of(connection, connection->answered, expected);
		wanted = at + 1 < length ? expected[length - 2 - at] : '\n';
		if (bytes[i] != wanted)
			give_up("a wrong answer", connection);
		if (at + 1 == length) {
			connection->in_done = 0;
			connection->answered++;
		}
	}
}

static bool leaves(const struct connection *connection)
{
	bool late = (connection - connections) & 1;

	return connection->manner == RUDE && connection->answered >= requests / 2 &&
	       (!late || connection->sent == requests);
}

static void receive_some(struct connection *connection)
{
	char bytes[65536];
	ssize_t n = recv(connection->fd, bytes,
			 connection->manner == QUICK ? sizeof(bytes) : BITE, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		give_up("recv", connection);
	check(connection, bytes, (size_t)n);
	if (n == 0) {
		errno = 0;
		if (connection->answered < requests || connection->in_done)
			give_up("not all answers have come", connection);
		end(connection);
	} else if (leaves(connection)) {
		end(connection);
	}
}

/* A small buffer here, so that it is the server that has to keep what is not read. */
static void connect_to(uint16_t port, struct connection *connection)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int buffer = 4096, yes = 1;

	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (connection->manner == SLOW)
		setsockopt(connection->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	if (connect(connection->fd, (const struct sockaddr *)&to, sizeof(to)) ||
	    fcntl(connection->fd, F_SETFL, O_NONBLOCK))
		give_up("cannot connect", connection);
	ask_events(connection, EPOLL_CTL_ADD);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void run(double until)
{
	struct epoll_event events[64];

	while (left > 0) {
		int n = epoll_wait(set, events, 64, 1000);

		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				send_some(connection);
			if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				receive_some(connection);
		}
		errno = 0;
		for (long i = 0; now() > until && i < count; i++)
			if (!connections[i].over)
				give_up("no answer for too long", &connections[i]);
	}
}

static int send_too_long(uint16_t port)
{
	struct connection connection = { .manner = QUICK };
	struct pollfd ended = { .events = POLLRDHUP };
	char bytes[2 + LENGTH_MAX + 1] = "a\n";

	memset(bytes + 2, 'x', sizeof(bytes) - 2);
	connect_to(port, &connection);
	ended.fd = connection.fd;
	if (send(connection.fd, bytes, sizeof(bytes), MSG_NOSIGNAL) != sizeof(bytes))
		give_up("send", NULL);
	if (poll(&ended, 1, SECONDS * 1000) != 1)
		give_up("the server bears a request that is too long", NULL);
	return 0;
}

int main(int argc, char **argv)
{
	double began, seconds;
	long total = 0;

	set = epoll_create1(EPOLL_CLOEXEC);
	if (argc == 2)
		return send_too_long((uint16_t)atoi(argv[1]));
	if (argc < 4 || argc > 6) {
		fprintf(stderr, "usage: echo_load PORT [CONNECTIONS REQUESTS [SLOW [RUDE]]]\n");
		return 2;
	}
	count = atol(argv[2]);
	requests = atol(argv[3]);
	slow = argc > 4 ? atol(argv[4]) : 0;
	rude = argc > 5 ? atol(argv[5]) : 0;
	connections = calloc((size_t)count, sizeof(*connections));
	if (!connections || set < 0)
		give_up("cannot begin", NULL);
	left = count;
	quick_left = count - slow - rude;
	began = now();
	for (long i = 0; i < count; i++) {
		connections[i].manner = i < slow ? SLOW : i < slow + rude ? RUDE : QUICK;
		connect_to((uint16_t)atoi(argv[1]), &connections[i]);
	}
	run(began + SECONDS);
	seconds = now() - began;
	for (long i = 0; i < count; i++)
		total += connections[i].answered;
	printf("%ld connections, %ld requests, all answered: %.0f a second\n", count, total,
	       (double)total / seconds);
	return 0;
}
