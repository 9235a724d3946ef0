/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What echo_epoll and echo_uv share: the workers with their two queues (echo_work.c), and what is
 * known of a client apart from its socket (echo_client.c).
 */
#ifndef ECHO_WORK_H
#define ECHO_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include <brood.h>

#define REQUEST_MAX 240	/* bytes of a request, without the newline */
#define WORKERS_MAX 64
#define CLIENTS_MAX 1024
#define WINDOW 32	/* requests of one client that are under way; a power of two */
#define SEND_BUFFER 16384	/* what the kernel keeps for a client that does not read */

/* ---- echo_work.c ---- */

/* A request on its way to a worker, and the answer on its way back. */
struct line {
	uint64_t client;
	uint64_t number;	/* counts the client's requests */
	uint32_t redelivered;	/* a worker that died had the request: may be its second answer */
	char text[REQUEST_MAX];
};

struct settings {
	uint16_t port;		/* 0 = any */
	unsigned int workers;
};

struct work {
	struct brood_queue *jobs, *answers;
	struct brood_process *workers[WORKERS_MAX];
	unsigned int n, replaced;
	void (*in_child)(void);
};

extern struct work work;

/* The command line. */
struct settings settings_from(int argc, char **argv, const char *doc);

/* Print what failed, err being negative as brood's and libuv's are, and end the server. */
_Noreturn void fail(const char *what, int err);

/* A socket that listens at this port of 127.0.0.1, without waiting. Print which it is. */
int listen_at(uint16_t port);
void say_port(int listener);

/* Make the queues and start n workers. Each calls in_child() first. */
void work_begin(unsigned int n, void (*in_child)(void));

/* Worker i has ended: start another one in its place. */
void work_replace(unsigned int i);

/* The workers end, the queues are gone. */
void work_end(void);

/* ---- echo_client.c ---- */

/*
 * Workers are done in any order, a client wants its answers in the order of its requests. So the
 * answers from `oldest` on wait in a window until it is their turn.
 */
struct answer {
	bool here;
	size_t length;
	char text[REQUEST_MAX + 1];
};

struct client {
	uint64_t id;		/* never used again */
	uint64_t oldest, next;	/* requests: not answered in full, not given to the workers */
	size_t sent;		/* bytes of the answer to `oldest` */
	size_t in_length;
	bool ended;		/* the client sends no more */
	bool stalled;		/* waits for room in the job queue */
	TAILQ_ENTRY(client) stalls;
	struct answer answers[WINDOW];
	char in[4096];
};

/* All of them, NULL where there is none. */
extern struct client *clients[CLIENTS_MAX];

/* Ids begin here, so that smaller numbers can mean other things. */
#define FIRST_ID CLIENTS_MAX

/* Give a zeroed client its id. -EUSERS: too many clients. */
int client_add(struct client *client);

/* The client with this id, or NULL: it is gone. */
struct client *client_find(uint64_t id);

/* Forget the client; answers that come for it are dropped from now on. */
void client_remove(struct client *client);

/*
 * Give the complete lines in `in` to the workers, without waiting. 0: all of them, read on;
 * -EAGAIN: the job queue is full, the client is one of the stalled; -ENOBUFS: its window is full,
 * answers have to be sent first; -EMSGSIZE: a line is too long.
 */
int client_submit(struct client *client);

/* The client that has been stalled for the longest time, or NULL. */
struct client *client_first_stalled(void);

/*
 * Take an answer from the workers, without waiting, and put it into its client's window. 0 or
 * -EAGAIN; *client is NULL if there is nobody to send it to.
 */
int client_answer(struct client **client);

/* The answers that can be sent now, in at most WINDOW pieces; then: so many bytes were sent. */
int client_output(const struct client *client, struct iovec *pieces);
void client_sent(struct client *client, size_t bytes);

/* Say what was done. */
void clients_report(void);

#endif
