/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clients of the echo servers, apart from their sockets: lines become numbered requests, answers
 * go back in order, each once.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "echo_work.h"

#define HEAD offsetof(struct line, text)

struct client *clients[CLIENTS_MAX];
static TAILQ_HEAD(, client) stalled = TAILQ_HEAD_INITIALIZER(stalled);
static uint64_t answered, twice;

/* Place i has the ids i + CLIENTS_MAX, i + 2 * CLIENTS_MAX... */
int client_add(struct client *client)
{
	static uint64_t rounds;

	for (uint64_t i = 0; i < CLIENTS_MAX; i++)
		if (!clients[i]) {
			client->id = i + ++rounds * CLIENTS_MAX;
			clients[i] = client;
			return 0;
		}
	return -EUSERS;
}

struct client *client_find(uint64_t id)
{
	struct client *client = clients[id % CLIENTS_MAX];

	return client && client->id == id ? client : NULL;
}

static void set_stalled(struct client *client, bool is)
{
	if (is && !client->stalled)
		TAILQ_INSERT_TAIL(&stalled, client, stalls);
	if (!is && client->stalled)
		TAILQ_REMOVE(&stalled, client, stalls);
	client->stalled = is;
}

struct client *client_first_stalled(void)
{
	return TAILQ_FIRST(&stalled);
}

void client_remove(struct client *client)
{
	set_stalled(client, false);
	clients[client->id % CLIENTS_MAX] = NULL;
}

static struct answer *answer_to(struct client *client, uint64_t number)
{
	return &client->answers[number % WINDOW];
}

static int submit_line(struct client *client, const char *text, size_t length)
{
	struct line request = { .client = client->id, .number = client->next };
	int err;

	if (length > REQUEST_MAX)
		return -EMSGSIZE;
	if (client->next - client->oldest == WINDOW)
		return -ENOBUFS;
	/* Nobody overtakes who waits already. */
	if (!TAILQ_EMPTY(&stalled) && TAILQ_FIRST(&stalled) != client)
		return -EAGAIN;
	memcpy(request.text, text, length);
	err = brood_queue_put(work.jobs, &request, HEAD + length, 0);
	if (err && err != -EAGAIN)
		fail("brood_queue_put", err);
	if (!err)
		answer_to(client, client->next++)->here = false;
	return err;
}

int client_submit(struct client *client)
{
	const char *line = client->in, *end = client->in + client->in_length, *newline;
	int err = 0;

	while ((newline = memchr(line, '\n', (size_t)(end - line)))) {
		err = submit_line(client, line, (size_t)(newline - line));
		if (err)
			break;
		line = newline + 1;
	}
	client->in_length = (size_t)(end - line);
	memmove(client->in, line, client->in_length);
	if (!err && client->in_length > REQUEST_MAX)
		err = -EMSGSIZE;
	set_stalled(client, err == -EAGAIN);
	return err;
}

/* Only a request that was redelivered can be answered twice. */
static bool is_new(struct client *client, const struct line *line)
{
	if (line->number >= client->oldest && !answer_to(client, line->number)->here)
		return true;
	if (!line->redelivered)
		fail("an answer came twice without the flag", -EPROTO);
	twice++;
	return false;
}

int client_answer(struct client **of)
{
	struct line line;
	ssize_t length = brood_queue_get(work.answers, &line, sizeof(line), 0);
	struct client *client;
	struct answer *answer;

	*of = NULL;
	if (length == -EAGAIN)
		return -EAGAIN;
	if (length < 0)
		fail("brood_queue_get", (int)length);
	client = client_find(line.client);
	if (!client || !is_new(client, &line))
		return 0;
	answer = answer_to(client, line.number);
	answer->here = true;
	answer->length = (size_t)length - HEAD;
	memcpy(answer->text, line.text, answer->length);
	answer->text[answer->length++] = '\n';
	answered++;
	*of = client;
	return 0;
}

int client_output(const struct client *client, struct iovec *pieces)
{
	size_t sent = client->sent;
	int n = 0;

	for (uint64_t i = client->oldest; i != client->next; i++, n++) {
		const struct answer *answer = &client->answers[i % WINDOW];

		if (!answer->here)
			break;
		pieces[n].iov_base = (char *)answer->text + sent;
		pieces[n].iov_len = answer->length - sent;
		sent = 0;
	}
	return n;
}

void client_sent(struct client *client, size_t bytes)
{
	bytes += client->sent;
	while (client->oldest != client->next && answer_to(client, client->oldest)->here &&
	       bytes >= answer_to(client, client->oldest)->length)
		bytes -= answer_to(client, client->oldest++)->length;
	client->sent = bytes;
}

void clients_report(void)
{
	printf("%llu answers, %llu more came twice and were dropped, %u workers replaced\n",
	       (unsigned long long)answered, (unsigned long long)twice, work.replaced);
}
