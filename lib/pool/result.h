/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job as the process that submitted it knows it; result.c. */
#ifndef BROOD_POOL_RESULT_H
#define BROOD_POOL_RESULT_H

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
/* Wait until it is answered, or enough(r, argument). Held, or in no list. */
int brood__result_await(struct brood_result *r, bool (*enough)(struct brood_result *, void *),
			void *argument, int64_t timeout);
/* The same, its callback, its bytes, its outcome. */
int brood__result_take(struct brood_result *r, void *data, size_t size, int64_t timeout);
/* The error of a chunk that failed. Inside. */
void brood__error_of(const struct brood__job *job, uint64_t k, struct brood_task_error *error);

#endif
