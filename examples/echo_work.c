/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The workers of the echo servers, and the queues to them and back. The work is to turn a line
 * round.
 *
 * A worker takes a lease of a request, puts the answer, and only then releases the lease. Killed
 *
 *	before the answer is in: another worker gets the request, nothing has been answered;
 *	after that, before the release: the same, and the answer comes a second time, marked
 *	redelivered. The server knows by the numbers that it has had it.
 *
 * The server never waits for a queue, and the workers always may: the server takes whatever there
 * is in `answers` (each client's window has room for what it asked), so the workers get on, so
 * there will be room in `jobs`.
 */
#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "echo_work.h"

#define JOBS 128	/* fewer than the clients may ask for together: then they have to wait */
#define HEAD offsetof(struct line, text)

struct work work;

static const struct argp_option options[] = {
	{ .name = "port", .key = 'p', .arg = "N", .doc = "listen at this port of 127.0.0.1 (any)" },
	{ .name = "workers", .key = 'w', .arg = "N", .doc = "answer with N processes (4)" },
	{ 0 },
};

static unsigned int number(const char *text, unsigned long min, unsigned long max,
			   const struct argp_state *state)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || *text == '-' || value < min || value > max)
		argp_error(state, "%s: not a number from %lu to %lu", text, min, max);
	return (unsigned int)value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct settings *settings = state->input;

	switch (key) {
	case 'p':
		settings->port = (uint16_t)number(arg, 0, UINT16_MAX, state);
		return 0;
	case 'w':
		settings->workers = number(arg, 1, WORKERS_MAX, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

struct settings settings_from(int argc, char **argv, const char *doc)
{
	const struct argp argp = { .options = options, .parser = parse_option, .doc = doc };
	struct settings settings = { .workers = 4 };

	argp_parse(&argp, argc, argv, 0, NULL, &settings);
	return settings;
}

/* exit() waits for the workers, and they end when the queues are closed. */
void fail(const char *what, int err)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-err));
	if (work.jobs)
		brood_queue_close(work.jobs);
	if (work.answers)
		brood_queue_close(work.answers);
	exit(1);
}

int listen_at(uint16_t port)
{
	const struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int yes = 1, buffer = SEND_BUFFER;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	/* The connections inherit these two. */
	setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (bind(listener, (const struct sockaddr *)&at, sizeof(at)) || listen(listener, SOMAXCONN))
		fail("cannot listen", -errno);
	return listener;
}

void say_port(int listener)
{
	struct sockaddr_in at = { 0 };
	socklen_t size = sizeof(at);

	getsockname(listener, (struct sockaddr *)&at, &size);
	printf("listening at port %u\n", ntohs(at.sin_port));
	fflush(stdout);
}

static int work_on(const struct brood_message *job)
{
	const struct line *request = job->data;
	size_t n = job->length - HEAD;
	struct line answer = {
		.client = request->client,
		.number = request->number,
		.redelivered = job->flags & BROOD_REDELIVERED,
	};

	for (size_t i = 0; i < n; i++)
		answer.text[i] = request->text[n - 1 - i];
	return brood_queue_put(work.answers, &answer, HEAD + n, BROOD_FOREVER);
}

/* Ctrl-C goes to the workers too, and so may SIGTERM: the server tells them when to end. */
static int worker(void *unused)
{
	struct brood_message job;
	int err;

	(void)unused;
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	work.in_child();
	while ((err = brood_queue_lease(work.jobs, &job, BROOD_FOREVER)) == 0) {
		err = work_on(&job);
		if (err)
			break;
		brood_queue_release(work.jobs, &job);
	}
	return err == -EPIPE ? 0 : 1;
}

static void start(unsigned int i)
{
	const struct brood_process_opts opts = { .die_with_parent = true };

	work.workers[i] = brood_process_start_opts(worker, NULL, &opts);
	if (!work.workers[i])
		fail("cannot start a worker", -errno);
}

void work_begin(unsigned int n, void (*in_child)(void))
{
	const struct brood_queue_opts opts = { .slots = JOBS, .max_bytes = sizeof(struct line) };

	work.in_child = in_child;
	work.jobs = brood_queue_create(&opts);
	work.answers = brood_queue_create(&opts);
	if (!work.jobs || !work.answers)
		fail("cannot make the queues", -errno);
	for (work.n = 0; work.n < n; work.n++)
		start(work.n);
}

/* Who was killed is replaced. Who ended by itself would do so again. */
void work_replace(unsigned int i)
{
	int code = 0;

	brood_process_join(work.workers[i], BROOD_FOREVER);
	brood_process_exit_code(work.workers[i], &code);
	brood_process_free(work.workers[i]);
	if (code >= 0)
		fail("a worker ended", -ECHILD);
	work.replaced++;
	start(i);
}

void work_end(void)
{
	brood_queue_close(work.jobs);
	brood_queue_close(work.answers);
	for (unsigned int i = 0; i < work.n; i++) {
		brood_process_join(work.workers[i], BROOD_FOREVER);
		brood_process_free(work.workers[i]);
	}
	brood_queue_destroy(work.jobs);
	brood_queue_destroy(work.answers);
}
