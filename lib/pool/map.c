/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* apply and map, with and without waiting. */
#include <stdlib.h>

#include "pool/result.h"

static struct brood__work one(int (*function)(struct brood_task *, const void *, void *),
			      const void *argument, size_t length, size_t result_size)
{
	return (struct brood__work){
		.function = function,
		.items = argument,
		.n = 1,
		.item_size = length,
		.result_size = result_size,
	};
}

/* Its job is nobody else's business. */
static void close_job(const struct brood_result *r)
{
	struct brood__call call;

	if (brood__object_enter(r->pool, BROOD__KIND_POOL, &call))
		return;
	if (r->pool->serial == r->serial)
		brood__job_close(call.segment, r->pool, r->index, r->generation);
	brood__object_leave(&call);
}

/* They call back as well, though they are in no list. */
static int finish(struct brood_result *r)
{
	void (*callback)(struct brood_result *, void *) = r->callback;
	int result;

	r->callback = NULL;
	result = brood__result_take(r, NULL, 0, BROOD_FOREVER);
	if (callback)
		callback(r, r->callback_argument);
	close_job(r);
	return result;
}

int brood_pool_apply(struct brood_pool *pool,
		     int (*function)(struct brood_task *, const void *, void *),
		     const void *argument, size_t length, void *result, size_t result_size,
		     const struct brood_submit_opts *opts)
{
	struct brood__work work = one(function, argument, length, result_size);
	struct brood_result r = { .held = 1 };
	int error = brood__submit(pool, &work, opts, result_size ? result : NULL, &r);

	return error ? error : finish(&r);
}

struct brood_result *
brood_pool_apply_async(struct brood_pool *pool,
		       int (*function)(struct brood_task *, const void *, void *),
		       const void *argument, size_t length, size_t result_size,
		       const struct brood_submit_opts *opts)
{
	struct brood__work work = one(function, argument, length, result_size);

	return brood__submit_async(pool, &work, opts, NULL);
}

static struct brood__work many(int (*function)(struct brood_task *, const void *, void *),
			       const void *items, size_t n, size_t item_size, size_t result_size)
{
	return (struct brood__work){
		.function = function,
		.items = items,
		.n = n,
		.item_size = item_size,
		.result_size = result_size,
	};
}

/* Look ten times a second how far it is. */
static void watch(struct brood_result *r)
{
	const struct brood__job *job = brood__job(r->pool, r->index);
	int64_t since = brood_now();
	uint64_t done;

	while (brood__result_await(r, NULL, NULL, brood_ms(100)) == -ETIMEDOUT) {
		done = atomic_load(&job->next) * job->chunk;
		brood__bar_draw(done < r->n ? done : r->n, r->n, since);
	}
	if (r->answered)
		brood__bar_draw(r->n, r->n, since);
	brood__bar_end();
}

int brood_pool_map(struct brood_pool *pool,
		   int (*function)(struct brood_task *, const void *, void *), const void *items,
		   size_t n, size_t item_size, void *results, size_t result_size,
		   const struct brood_submit_opts *opts)
{
	struct brood__work work = many(function, items, n, item_size, results ? result_size : 0);
	struct brood_result r = { .held = 1 };
	int error = brood__submit(pool, &work, opts, results, &r);

	if (error)
		return error;
	if (brood__bar_wanted(pool))
		watch(&r);
	return finish(&r);
}

struct brood_result *
brood_pool_map_async(struct brood_pool *pool,
		     int (*function)(struct brood_task *, const void *, void *),
		     const void *items, size_t n, size_t item_size, void *results,
		     size_t result_size, const struct brood_submit_opts *opts)
{
	struct brood__work work = many(function, items, n, item_size, result_size);

	return brood__submit_async(pool, &work, opts, results);
}
