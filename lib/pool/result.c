/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Results: what the submitting process knows of its jobs.
 *
 * A result lives in the memory of its process; `index` and `generation` name the job, which is its
 * own until it is closed. One mutex guards all results of the process; it is held for short looks,
 * copies and the freeing of a job, never for a wait or a callback. A result is `held` while a call
 * is at it, and freed by the last when somebody freed it meanwhile.
 *
 *	running --> answered (code and error are here) --> kept (its bytes too: the job is free)
 *
 * The second step is made when the pool's table is full or the pool is destroyed. A child has the
 * copies of its parent's results, which answer -ECHILD.
 *
 * If the process dies, the sweep of its members closes its jobs (job.c).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/result.h"

static CDS_LIST_HEAD(calling);	/* results whose callback has not been run */
static CDS_LIST_HEAD(others);
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(void)
{
	pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
	pthread_mutex_unlock(&mutex);
}

void brood__results_lock(void)
{
	lock();
}

void brood__results_unlock(void)
{
	unlock();
}

void brood__results_cond_wait(pthread_cond_t *cond)
{
	pthread_cond_wait(cond, &mutex);
}

static void after_fork_in_child(void)
{
	brood__callbacks_forked();
	CDS_INIT_LIST_HEAD(&calling);
	CDS_INIT_LIST_HEAD(&others);
	unlock();
}

static void stay_usable_after_fork(void) __attribute__((constructor));
static void stay_usable_after_fork(void)
{
	pthread_atfork(lock, unlock, after_fork_in_child);
}

/* ---- submitting ---- */

struct opening {
	struct brood__call call;
	const struct brood__work *work;
	struct brood_result *result;
	bool patient;
};

/* Inside the pool: a job, if need be one whose answer we take out. */
static ssize_t try_to_open(void *arg)
{
	struct opening *o = arg;
	const struct brood_pool *pool = o->call.object;
	int result;

	if (!brood__object_alive(o->call.segment, pool, BROOD__KIND_POOL))
		return -ESTALE;
	if (brood__pool_state(pool) != BROOD__POOL_OPEN)
		return brood__pool_state(pool) == BROOD__POOL_BROKEN ? -EPIPE : -ESHUTDOWN;
	if (!o->patient && brood__keeper_gone(pool))
		return -EOWNERDEAD;
	do
		result = brood__job_open(&o->call, o->work, &o->result->index,
					 &o->result->generation);
	while (result == -EAGAIN && brood__results_harvest(&o->call));
	return result;
}

static int open_job(struct brood_pool *pool, struct opening *o, int64_t timeout)
{
	struct brood__wait wait = { .list = &pool->room, .timeout = timeout };
	int result = brood__object_enter(pool, BROOD__KIND_POOL, &o->call);

	if (result)
		return result;
	o->result->serial = pool->serial;
	wait.members = &o->call.segment->members;
	wait.me = o->call.me;
	result = (int)try_to_open(o);
	if (result == -EAGAIN)
		result = (int)brood__wait(&wait, try_to_open, o);
	brood__object_leave(&o->call);
	return result;
}

/* The queue may be full of stale invitations while the keeper is gone: then one is started. */
static int invite(struct brood_pool *pool, struct brood_result *r)
{
	int result;

	if (brood__job(pool, r->index)->count == 0)
		return 0;
	while ((result = brood__job_invite(pool, r->index, r->generation, false)) == -EAGAIN) {
		result = brood__keeper_ensure(pool);
		if (result < 0)
			return result;
		brood__yield();
	}
	return result;
}

static void close_job(struct brood_result *r)
{
	struct brood__call call;

	if (r->kept || brood__object_enter(r->pool, BROOD__KIND_POOL, &call))
		return;
	if (((struct brood_pool *)call.object)->serial == r->serial)
		brood__job_close(call.segment, r->pool, r->index, r->generation);
	brood__object_leave(&call);
}

/* The pool may have been closed behind our look at it, K5. */
static int closed_meanwhile(struct brood_pool *pool, struct brood_result *r)
{
	enum brood__pool_state state = brood__pool_state(pool);

	if (state == BROOD__POOL_OPEN)
		return 0;
	close_job(r);
	return state == BROOD__POOL_BROKEN ? -EPIPE : -ESHUTDOWN;
}

static int check(const struct brood__work *work)
{
	const struct brood_submit_opts *opts = &work->opts;

	if (!work->function || (work->n && work->item_size && !work->items) ||
	    opts->limit < 0 || opts->chunk > (size_t)INT64_MAX || opts->retries > (1u << 20))
		return -EINVAL;
	if (work->n > UINT32_MAX / 2 && (!opts->chunk || work->n / opts->chunk > UINT32_MAX / 2))
		return -EINVAL;
	return 0;
}

int brood__submit(struct brood_pool *pool, struct brood__work *work,
		  const struct brood_submit_opts *opts, void *results, struct brood_result *r)
{
	struct opening o = { .work = work, .result = r };
	int result = brood__options(&work->opts, sizeof(work->opts), opts);

	if (result == 0)
		result = check(work);
	if (result)
		return result;
	if (results && brood__lies_in(&brood__family, results))
		work->results = results;
	do {
		result = open_job(pool, &o, brood__pool_slice(BROOD__NO_DEADLINE, o.patient));
		result = brood__pool_patience(pool, BROOD__NO_DEADLINE, result, &o.patient);
	} while (result == -EINTR);
	if (result)
		return result;
	r->pool = pool;
	r->process = atomic_load(&brood__job(pool, r->index)->pid);
	r->n = work->n;
	r->result_size = work->result_size;
	r->results = work->results ? NULL : results;
	r->chunk = brood__job(pool, r->index)->chunk;
	r->callback = work->opts.callback;
	r->callback_argument = work->opts.callback_argument;
	result = closed_meanwhile(pool, r);
	if (result == 0 && work->opts.limit) {
		atomic_store(&pool->limited, 1);
		brood__keeper_ring(pool);
	}
	if (result == 0) {
		result = invite(pool, r);
		if (result) {
			close_job(r);
			result = result == -EPIPE ? -ESHUTDOWN : result;
		}
	}
	return result;
}

struct brood_result *brood__submit_async(struct brood_pool *pool, struct brood__work *work,
					 const struct brood_submit_opts *opts, void *results)
{
	struct brood_result *r = calloc(1, sizeof(*r));
	int result = r ? brood__submit(pool, work, opts, results, r) : -ENOMEM;

	if (result) {
		free(r);
		errno = -result;
		return NULL;
	}
	lock();
	cds_list_add_tail(&r->node, r->callback ? &calling : &others);
	r->threaded = r->callback && pool->callback_thread;
	if (r->threaded && brood__callbacks_wake())
		r->threaded = false;	/* no thread is to be had: as without the option */
	unlock();
	return r;
}

/* ---- the answer ---- */

static uint64_t first_failed(const struct brood__job *job)
{
	uint64_t k = atomic_load(&job->fault.chunk) - 1;

	if (k < job->count &&
	    brood__chunk_state(atomic_load(&job->chunks[k])) == BROOD__CHUNK_FAILED)
		return k;
	for (k = 0; k < job->count; k++)
		if (brood__chunk_state(atomic_load(&job->chunks[k])) == BROOD__CHUNK_FAILED)
			break;
	return k;
}

void brood__error_of(const struct brood__job *job, uint64_t k, struct brood_task_error *error)
{
	uint64_t word = atomic_load(&job->chunks[k]);
	const struct brood__fault *fault = brood__job_fault(job, k);

	memset(error, 0, sizeof(*error));
	error->code = (int)brood__chunk_who(word);
	error->task = k * job->chunk + brood__chunk_tries(word);
	if (fault) {
		error->exit_code = fault->exit_code;
		error->pid = fault->pid;
		memcpy(error->text, fault->text, sizeof(error->text));
	}
	if (!error->text[0])
		snprintf(error->text, sizeof(error->text), "%s",
			 error->code < 0 ? brood_strerror(error->code) : "the task failed");
}

/* Inside, under the mutex, when it is finished. */
static void settle(struct brood_result *r)
{
	const struct brood__job *job = brood__job(r->pool, r->index);

	if (r->cursor.failed)
		brood__error_of(job, first_failed(job), &r->error);
	r->answered = true;
}

/* Inside, under the mutex: -ESTALE, -EAGAIN, 0. */
static int look_at(const struct brood__call *call, struct brood_result *r)
{
	struct brood_pool *pool = call->object;
	const struct brood__job *job;

	if (r->answered)
		return 0;
	if (pool->serial != r->serial)
		return -ESTALE;
	job = brood__job(pool, r->index);
	if (!brood__job_is(brood__job_load(job), r->generation, BROOD__JOB_OPEN))
		return -ESTALE;
	if (!brood__job_finished(job, &r->cursor))
		return -EAGAIN;
	settle(r);
	return 0;
}

int brood__result_look(const struct brood__here *here, struct brood_result *r)
{
	const struct brood__call call = { (struct brood_segment *)here->members, r->pool,
					  brood__token_id(here->token) };
	int result;

	lock();
	result = look_at(&call, r);
	unlock();
	return result;
}

static const char *bytes_of(const struct brood_result *r)
{
	return r->kept ? r->kept_bytes : brood__job(r->pool, r->index)->results;
}

static size_t size_of(const struct brood_result *r)
{
	return r->n * r->result_size;
}

/* ---- taking answers out of the pool ---- */

static bool keep(const struct brood__call *call, struct brood_result *r)
{
	size_t size = size_of(r);

	if (r->pool != call->object || r->kept || r->pinned || r->held || look_at(call, r))
		return false;
	if (size) {
		r->kept_bytes = malloc(size);
		if (!r->kept_bytes)
			return false;
		memcpy(r->kept_bytes, bytes_of(r), size);
	}
	r->kept = true;
	brood__job_close(call->segment, r->pool, r->index, r->generation);
	return true;
}

bool brood__results_harvest(const struct brood__call *call)
{
	struct brood_result *r;
	bool any = false;

	lock();
	cds_list_for_each_entry(r, &calling, node)
		any |= keep(call, r);
	cds_list_for_each_entry(r, &others, node)
		any |= keep(call, r);
	unlock();
	return any;
}

/* ---- waiting ---- */

struct waiting {
	struct brood__call call;
	struct brood_result *result;
	struct brood__cursor cursor;
	bool (*enough)(struct brood_result *result, void *argument);
	void *argument;
	bool patient;
};

/* Held, so its job stays; but the pool may be destroyed. */
static ssize_t look_for_answer(void *arg)
{
	struct waiting *w = arg;
	const struct brood_pool *pool = w->call.object;
	struct brood_result *r = w->result;

	if (!brood__object_alive(w->call.segment, pool, BROOD__KIND_POOL))
		return -ESTALE;
	if (w->enough ? w->enough(r, w->argument) :
			brood__job_finished(brood__job(r->pool, r->index), &w->cursor))
		return 0;
	if (brood__unlikely(brood__pool_ended(pool)))
		return -ECANCELED;
	return w->patient || !brood__keeper_gone(pool) ? -EAGAIN : -EOWNERDEAD;
}

static int wait_once(struct waiting *w, int64_t timeout)
{
	struct brood_result *r = w->result;
	struct brood_pool *pool = r->pool;
	struct brood__wait wait = { .list = &brood__job(pool, r->index)->waiters,
				    .timeout = timeout };
	int result = brood__object_enter(pool, BROOD__KIND_POOL, &w->call);

	if (result)
		return result;
	wait.members = &w->call.segment->members;
	wait.me = w->call.me;
	if (pool->serial != r->serial ||
	    !brood__job_is(brood__job_load(brood__job(pool, r->index)), r->generation,
			   BROOD__JOB_OPEN))
		result = -ESTALE;
	else
		result = (int)look_for_answer(w);
	if (result == -EAGAIN)
		result = (int)brood__wait(&wait, look_for_answer, w);
	if (result == 0 && !w->enough) {
		lock();
		r->cursor = w->cursor;
		if (!r->answered)
			settle(r);
		unlock();
	}
	brood__object_leave(&w->call);
	return result;
}

int brood__result_await(struct brood_result *r, bool (*enough)(struct brood_result *, void *),
			void *argument, int64_t timeout)
{
	struct waiting w = { .result = r, .enough = enough, .argument = argument };
	int64_t deadline = timeout;
	int result;

	/* A clock is read only when we shall have to wait. */
	if (timeout != BROOD_FOREVER && !brood__no_wait(timeout)) {
		result = wait_once(&w, 0);
		if (result == 0)
			return 0;
		deadline = brood__deadline(timeout);
	} else if (timeout != BROOD_FOREVER) {
		deadline = 0;
	}
	do {
		result = wait_once(&w, brood__pool_slice(deadline, w.patient));
		result = brood__pool_patience(r->pool, deadline, result, &w.patient);
	} while (result == -EINTR);
	return result;
}

/* ---- held and let go ---- */

static int hold(struct brood_result *r)
{
	if (!r)
		return -EINVAL;
	if (r->process != getpid())
		return -ECHILD;
	lock();
	r->held++;
	unlock();
	return 0;
}

static void destroy(struct brood_result *r)
{
	close_job(r);
	free(r->kept_bytes);
	free(r);
}

static void let_go(struct brood_result *r)
{
	bool last;

	lock();
	last = --r->held == 0 && r->doomed;
	if (last)
		cds_list_del(&r->node);
	unlock();
	if (last)
		destroy(r);
}

/* Once. */
static void call_back(struct brood_result *r)
{
	bool first;

	if (!r->callback || (r->threaded && !brood__callbacks_inside()))
		return;
	lock();
	first = !r->called;
	r->called = true;
	if (first) {
		cds_list_del(&r->node);
		cds_list_add_tail(&r->node, &others);
	}
	unlock();
	if (first)
		r->callback(r, r->callback_argument);
}

static int await(struct brood_result *r, int64_t timeout)
{
	int result = r->answered ? 0 : brood__result_await(r, NULL, NULL, timeout);

	if (result == 0)
		call_back(r);
	return result;
}

/* One whose pool is gone is not answered any more: its callback is told so by get. */
void brood__result_attend(struct brood_result *r)
{
	int result = await(r, 0);

	if (result && result != -EAGAIN)
		call_back(r);
	let_go(r);
}

size_t brood__results_waiting(struct brood_result **results, size_t room,
			      const struct brood_pool *pool)
{
	struct brood_result *r;
	size_t n = 0;

	cds_list_for_each_entry(r, &calling, node) {
		if (!r->threaded || r->called || r->doomed || (pool && r->pool != pool))
			continue;
		if (n < room) {
			results[n] = r;
			r->held++;
		}
		n++;
	}
	return n;
}

/* ---- the calls ---- */

int brood_result_wait(struct brood_result *r, int64_t timeout)
{
	int result = hold(r);

	if (result)
		return result;
	result = await(r, timeout);
	let_go(r);
	return result;
}

/* It is answered and held: its bytes stay where they are. */
static int hand_out(const struct brood_result *r, void *data, size_t size)
{
	struct brood__call call;
	int result = r->kept ? 0 : brood__object_enter(r->pool, BROOD__KIND_POOL, &call);
	size_t all = size_of(r);

	if (result)
		return result;
	if (data && all)
		memcpy(data, bytes_of(r), size < all ? size : all);
	if (r->results && all)
		memcpy(r->results, bytes_of(r), all);
	if (!r->kept)
		brood__object_leave(&call);
	return r->error.code;
}

int brood__result_take(struct brood_result *r, void *data, size_t size, int64_t timeout)
{
	int result = await(r, timeout);

	return result ? result : hand_out(r, data, size);
}

int brood_result_get(struct brood_result *r, void *data, size_t size, int64_t timeout)
{
	int result = hold(r);

	if (result)
		return result;
	result = brood__result_take(r, data, size, timeout);
	let_go(r);
	return result;
}

const void *brood_result_data(struct brood_result *r)
{
	const void *bytes = NULL;
	int result = hold(r);

	if (result == 0) {
		result = await(r, 0);
		if (result == 0) {
			r->pinned = true;
			bytes = bytes_of(r);
			if (!bytes)
				result = -ENODATA;
		}
		let_go(r);
	}
	if (result)
		errno = -result;
	return bytes;
}

/* Without the callback. */
static int glance(struct brood_result *r)
{
	int result = hold(r);

	if (result)
		return result;
	result = r->answered ? 0 : brood__result_await(r, NULL, NULL, 0);
	let_go(r);
	return result;
}

int brood_result_ready(struct brood_result *r)
{
	int result = glance(r);

	return result == -EAGAIN ? 0 : result ? result : 1;
}

int brood_result_successful(struct brood_result *r)
{
	int result = glance(r);

	return result ? result : r->error.code == 0;
}

int brood_result_error(struct brood_result *r, struct brood_task_error *error)
{
	int result = error ? glance(r) : -EINVAL;

	if (result)
		return result;
	if (!r->error.code)
		return -ENODATA;
	*error = r->error;
	return 0;
}

int brood__result_cancel(struct brood_result *r)
{
	struct brood__call call;
	struct brood__job *job;
	int result = brood__object_enter(r->pool, BROOD__KIND_POOL, &call);

	if (result)
		return result;
	job = brood__job(r->pool, r->index);
	if (r->pool->serial != r->serial ||
	    !brood__job_is(brood__job_load(job), r->generation, BROOD__JOB_OPEN))
		result = -ESTALE;
	else if (brood__job_cancel(r->pool, job, -ECANCELED, "cancelled") < job->count)
		result = -EBUSY;
	brood__object_leave(&call);
	return result;
}

int brood_result_cancel(struct brood_result *r)
{
	int result = glance(r);

	if (result != -EAGAIN)
		return result ? result : -EALREADY;
	result = hold(r);
	if (result)
		return result;
	result = brood__result_cancel(r);
	let_go(r);
	return result;
}

int brood_result_free(struct brood_result *r)
{
	if (!r)
		return 0;
	if (r->process != getpid()) {
		free(r->kept_bytes);
		free(r);
		return 0;
	}
	lock();
	r->held++;
	r->doomed = true;
	if (r->threaded && !r->called)
		brood__callbacks_wake();
	unlock();
	let_go(r);
	return 0;
}

/* ---- callbacks ---- */

/* One that has been answered, held. */
static struct brood_result *next_answered(const struct brood__call *call)
{
	struct brood_result *r, *found = NULL;

	lock();
	cds_list_for_each_entry(r, &calling, node) {
		if (r->pool == call->object && !r->called && !r->threaded &&
		    look_at(call, r) == 0) {
			found = r;
			found->held++;
			break;
		}
	}
	unlock();
	return found;
}

int brood_pool_poll(struct brood_pool *pool)
{
	struct brood__call call;
	struct brood_result *r;
	int n = 0, result;

	do {
		result = brood__object_enter(pool, BROOD__KIND_POOL, &call);
		if (result)
			return result;
		r = next_answered(&call);
		brood__object_leave(&call);
		if (r) {
			call_back(r);
			let_go(r);
			n++;
		}
	} while (r);
	return n;
}
