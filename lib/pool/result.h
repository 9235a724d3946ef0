/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job as the process that submitted it knows it; result.c. */
#ifndef BROOD_POOL_RESULT_H
#define BROOD_POOL_RESULT_H

#include <pthread.h>

#include <urcu/list.h>

#include "pool/pool.h"

struct brood_result {
	struct cds_list_head node;
	struct brood_pool *pool;
	uint64_t serial;
	uint32_t index, generation;	/* of the job */
	uint32_t chunk;			/* tasks a chunk */
	pid_t process;
	size_t n, result_size;
	void *results;			/* the user's own memory, filled by get; or NULL */
	unsigned int held;
	_Atomic bool answered;		/* cursor and error are there */
	bool doomed, kept, pinned, called;
	bool threaded;			/* callbacks.c runs its callback */
	struct brood__cursor cursor;
	char *kept_bytes;
	struct brood_task_error error;	/* code 0: none */
	void (*callback)(struct brood_result *, void *);
	void *callback_argument;
};

/* Open a job and invite; r is zeroed, and in no list. */
int brood__submit(struct brood_pool *pool, struct brood__work *work,
		  const struct brood_submit_opts *opts, void *results, struct brood_result *r);
struct brood_result *brood__submit_async(struct brood_pool *pool, struct brood__work *work,
					 const struct brood_submit_opts *opts, void *results);
/* Inside the pool, or holding it: 0 when it is answered, -EAGAIN, -ESTALE. */
int brood__result_look(const struct brood__here *here, struct brood_result *r);
extern const struct brood__waitable_ops brood__result_waitable;
/* Run its callback if it is due, and hold it no longer; by callbacks.c. */
void brood__result_attend(struct brood_result *r);
/*
 * Under the mutex of all results of the process. Hold those that wait for callbacks.c, of one pool or of
 * all, as many as there is room for. How many there are.
 */
size_t brood__results_waiting(struct brood_result **results, size_t room,
			      const struct brood_pool *pool);
void brood__results_lock(void);
void brood__results_unlock(void);
void brood__results_cond_wait(pthread_cond_t *cond);
/* callbacks.c: look at the results again, start the thread if need be; under the mutex. 0, -errno. */
int brood__callbacks_wake(void);
/* Wait until no result of the pool waits for its callback, unless called by one. */
void brood__callbacks_settle(const struct brood_pool *pool);
/* Whether the caller is that thread. A child has none. */
bool brood__callbacks_inside(void);
void brood__callbacks_forked(void);
/* Wait until it is answered, or enough(r, argument). Held, or in no list. */
int brood__result_await(struct brood_result *r, bool (*enough)(struct brood_result *, void *),
			void *argument, int64_t timeout);
/* The same, its callback, its bytes, its outcome. */
int brood__result_take(struct brood_result *r, void *data, size_t size, int64_t timeout);
/* The error of a chunk that failed. Inside. */
void brood__error_of(const struct brood__job *job, uint64_t k, struct brood_task_error *error);

#endif
