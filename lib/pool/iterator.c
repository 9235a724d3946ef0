/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * imap and imap_unordered: a map whose answers are taken chunk by chunk.
 *
 * In order, the chunk at hand is the next one. Without order it is any that has been answered and
 * not been taken; a bit a chunk tells which have been. The search goes up from the last one and
 * then from the first that is not taken, so it passes over little.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/result.h"

#define NONE UINT64_MAX

struct brood_iterator {
	struct brood_result result;
	bool unordered;
	uint64_t count;		/* chunks */
	uint64_t at;		/* the chunk at hand; NONE = to be found */
	size_t task;		/* the next of it */
	uint64_t low, scan;	/* all below are taken; where to look first */
	uint64_t *taken;
	struct brood_task_error error;
};

static const struct brood__job *job_of(const struct brood_iterator *it)
{
	return brood__job(it->result.pool, it->result.index);
}

static bool is_answered(const struct brood_iterator *it, uint64_t k)
{
	return brood__chunk_answered(atomic_load(&job_of(it)->chunks[k]));	/* K3 */
}

static bool is_taken(const struct brood_iterator *it, uint64_t k)
{
	return it->taken[k / 64] >> (k % 64) & 1;
}

static uint64_t find_between(const struct brood_iterator *it, uint64_t from, uint64_t to)
{
	for (uint64_t k = from; k < to; k++) {
		if (k % 64 == 0 && it->taken[k / 64] == UINT64_MAX) {
			k += 63;
			continue;
		}
		if (!is_taken(it, k) && is_answered(it, k))
			return k;
	}
	return NONE;
}

static bool find(struct brood_result *r, void *argument)
{
	struct brood_iterator *it = argument;
	uint64_t next;

	(void)r;
	if (!it->unordered) {
		if (!is_answered(it, it->low))
			return false;
		it->at = it->low;
		return true;
	}
	next = atomic_load(&job_of(it)->next);
	if (next > it->count)
		next = it->count;
	it->at = find_between(it, it->scan, next);
	if (it->at == NONE)
		it->at = find_between(it, it->low, next < it->scan ? next : it->scan);
	return it->at != NONE;
}

static void take(struct brood_iterator *it)
{
	it->scan = it->at + 1;
	it->taken[it->at / 64] |= 1ull << (it->at % 64);
	while (it->low < it->count && is_taken(it, it->low))
		it->low++;
	it->task = it->at * it->result.chunk;
}

/* Inside. The next task of the chunk at hand: its outcome. */
static int hand_out(struct brood_iterator *it, size_t *index, void *result)
{
	const struct brood__job *job = job_of(it);
	uint64_t word = atomic_load(&job->chunks[it->at]);
	size_t task = it->task++, first = it->at * job->chunk;
	size_t end = job->n - first < job->chunk ? job->n : first + job->chunk;
	uint32_t failed = brood__chunk_tries(word);

	if (index)
		*index = task;
	if (it->task == end)
		it->at = NONE;
	if (brood__chunk_state(word) == BROOD__CHUNK_FAILED && task - first >= failed) {
		brood__error_of(job, first / job->chunk, &it->error);
		if (task - first > failed)
			it->error.code = -ECANCELED;
		it->error.task = task;
		return it->error.code;
	}
	if (result && job->results)
		memcpy(result, job->results + task * job->result_size, job->result_size);
	return 0;
}

int brood_iterator_next(struct brood_iterator *it, size_t *index, void *result, int64_t timeout)
{
	struct brood__call call;
	int code;

	if (index)
		*index = SIZE_MAX;
	if (!it)
		return -EINVAL;
	if (it->result.process != getpid())
		return -ECHILD;
	memset(&it->error, 0, sizeof(it->error));
	if (it->at == NONE) {
		if (it->low == it->count)
			return -ENODATA;
		code = brood__result_await(&it->result, find, it, timeout);
		if (code)
			return code;
		take(it);
	}
	code = brood__object_enter(it->result.pool, BROOD__KIND_POOL, &call);
	if (code)
		return code;
	if (it->result.pool->serial == it->result.serial)
		code = hand_out(it, index, result);
	else
		code = -ESTALE;
	brood__object_leave(&call);
	return code;
}

int brood_iterator_error(struct brood_iterator *it, struct brood_task_error *error)
{
	if (!it || !error)
		return -EINVAL;
	*error = it->error;
	return it->error.code ? 0 : -ENODATA;
}

int brood_iterator_free(struct brood_iterator *it)
{
	struct brood__call call;

	if (!it)
		return 0;
	if (it->result.process == getpid() &&
	    brood__object_enter(it->result.pool, BROOD__KIND_POOL, &call) == 0) {
		if (it->result.pool->serial == it->result.serial)
			brood__job_close(call.segment, it->result.pool, it->result.index,
					 it->result.generation);
		brood__object_leave(&call);
	}
	free(it->taken);
	free(it);
	return 0;
}

static struct brood_iterator *iterate(struct brood_pool *pool, struct brood__work *work,
				      const struct brood_submit_opts *opts, bool unordered)
{
	struct brood_iterator *it = calloc(1, sizeof(*it));
	int result;

	if (!it)
		return NULL;
	work->each = true;
	it->unordered = unordered;
	it->at = NONE;
	it->result.held = 1;
	result = brood__submit(pool, work, opts, NULL, &it->result);
	if (result == 0) {
		it->count = job_of(it)->count;
		it->taken = calloc(it->count / 64 + 1, sizeof(*it->taken));
		if (it->taken)
			return it;
		brood_iterator_free(it);
		result = -ENOMEM;
	} else {
		free(it);
	}
	errno = -result;
	return NULL;
}

struct brood_iterator *brood_pool_imap(struct brood_pool *pool,
				       int (*function)(struct brood_task *, const void *, void *),
				       const void *items, size_t n, size_t item_size,
				       size_t result_size, const struct brood_submit_opts *opts)
{
	struct brood__work work = { .function = function, .items = items, .n = n,
				    .item_size = item_size, .result_size = result_size };

	return iterate(pool, &work, opts, false);
}

struct brood_iterator *
brood_pool_imap_unordered(struct brood_pool *pool,
			  int (*function)(struct brood_task *, const void *, void *),
			  const void *items, size_t n, size_t item_size, size_t result_size,
			  const struct brood_submit_opts *opts)
{
	struct brood__work work = { .function = function, .items = items, .n = n,
				    .item_size = item_size, .result_size = result_size };

	return iterate(pool, &work, opts, true);
}
