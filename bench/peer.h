/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One face for everything that moves messages between processes, so that every bench is written
 * once and every implementation is driven by the same code.
 *
 * A queue is created by the parent before it forks the workers. What create() returns is private to
 * each process after the fork (a copy), what it points to is shared; so it may hold state that
 * belongs to one worker. Calls wait until they are done and return 0, a count or a length, and a
 * negative errno on failure.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shape {
	size_t size;		/* bytes a message, a multiple of 8 */
	unsigned int slots;	/* capacity, a power of two */
	unsigned int producers;
	unsigned int consumers;
};

enum {
	PEER_SPINS = 1,		/* waiting burns CPU: there is nobody to wake */
	PEER_ONE_TO_ONE = 2,	/* one producer and one consumer only */
	PEER_VARIANT = 4,	/* waits as the peer of its family that has no such mark */
	PEER_WAKE = 8,		/* a measure for waking, no queue */
	PEER_TOGETHER = 16,	/* all workers make the same number of rounds, worker 0 says how many */
	PEER_ALONE = 32,	/* for one worker only */
};

struct job;

struct peer {
	const char *name;
	const char *about;
	unsigned int traits;
	size_t element_max;	/* longer messages are handed over by pointer; 0 = any size fits */

	void *(*create)(const struct shape *shape);	/* NULL and errno on failure */
	void (*destroy)(void *queue);
	void (*enter)(void *queue, unsigned int index);	/* a worker begins; may be NULL */

	int (*put)(void *queue, const void *data, size_t size);
	ssize_t (*get)(void *queue, void *data, size_t size);

	/* n messages that lie one behind the other; get_many takes up to n. NULL: one at a time. */
	int (*put_many)(void *queue, const void *data, size_t size, unsigned int n);
	int (*get_many)(void *queue, void *data, size_t size, unsigned int n);

	/* Work in place, one buffer held at a time. NULL: messages are copied. */
	int (*reserve)(void *queue, void **data);
	int (*commit)(void *queue, size_t size);
	ssize_t (*lease)(void *queue, void **data);
	int (*release)(void *queue);

	/*
	 * The benches that it is for, by how their names begin; NULL = all of queues.
	 */
	const char *only;

	/*
	 * What is no queue but an object of synchronisation, for the one bench `only`: n rounds of
	 * worker `index`, and afterwards, in the parent, whether `rounds` of them were right.
	 */
	int (*rounds)(void *object, unsigned int index, unsigned int n);
	bool (*right)(void *object, uint64_t rounds);
};

extern const struct peer peer_brood_spsc;
extern const struct peer peer_brood, peer_futex, peer_pipe, peer_seqpacket, peer_mq, peer_mutex;
extern const struct peer peer_ring, peer_conn;
extern const struct peer peer_ck, peer_ck_spsc, peer_boost, peer_wfcqueue;
extern const struct peer peer_broadcast;
#define PEER_PROCESS 9
extern const struct peer peer_process[PEER_PROCESS];
#define PEER_MANY 11
extern const struct peer peer_many[PEER_MANY];
extern const struct peer peer_rte, peer_rte_spsc, peer_rte_hts, peer_rte_rts;

/* The peers of this build, brood first, NULL at the end; and the names of those that are not. */
extern const struct peer *const peers[];
extern const char peers_missing[];

/* Those that are for one bench each: tables with name NULL at their ends, and NULL at the end. */
extern const struct peer *const peers_of_one[];
extern const struct peer peer_sync[], peer_pool[], peer_subprocess[], peer_capture[];

/* A queue as a bench uses it. */
struct port {
	const struct peer *ops;
	void *queue;
};

/* Open a queue of this kind, by way of pointers to buffers where its elements are too small. */
int port_open(struct port *port, const struct peer *peer, const struct shape *shape);
void port_close(struct port *port);

/*
 * Python's figure is taken once, by itself; a round then takes just as long. The command, of a
 * shell, tells nanoseconds.
 */
void *python_figure_new(const char *command);
void python_figure_delete(void *object);
int python_figure_rounds(void *object, unsigned int index, unsigned int n);

/* Zeroed memory that forked children share; NULL and errno on failure. */
void *shared_alloc(size_t bytes);
void shared_free(void *memory, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
