/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pool as an object: made, closed, terminated, joined, asked, freed, swept.
 *
 *	OPEN --> CLOSED --> BROKEN --> TERMINATED	state, any step forward; and `ended`, once
 *
 * Dying inside. create makes the pool, then the queue of invitations, whose name tells whose it
 * is, then starts the keeper; the pool's `keeper` names the creator until then. The sweep of a
 * creator that dies before there is a keeper takes that word away from whoever might come, and
 * frees pool and queue. With a keeper, that one sees the creator's end. A pool that has ended is
 * freed by destroy, or by the sweep of the creator's last member.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool/pool.h"
#include "pool/result.h"
#include "process/process.h"
#include "wait/waitable.h"

#define JOBS_DEFAULT 1024u
#define JOBS_MOST 65536u

/* ---- making ---- */

static void name_queue(char name[BROOD__NAME_MAX], const struct brood_segment *segment,
		       const struct brood_pool *pool)
{
	snprintf(name, BROOD__NAME_MAX, ".pool-%llx-%llx",
		 (unsigned long long)brood__offset(segment, pool),
		 (unsigned long long)pool->serial);
}

static void fill(void *object, const void *shape)
{
	struct brood_pool *pool = object;

	memcpy(pool, shape, sizeof(*pool));
}

static struct brood_pool *fail(int error)
{
	errno = -error;
	return NULL;
}

struct brood_pool *brood__pool_make(const struct brood_pool_opts *given)
{
	struct brood_queue_opts queue = { .max_bytes = sizeof(struct brood__invitation) };
	struct brood_segment *segment = brood__segment(NULL);
	struct brood_pool_opts opts;
	struct brood_pool shape = { .workers = 0 }, *pool;
	char name[BROOD__NAME_MAX];
	int id;

	if (!segment)
		return NULL;
	if (brood__options(&opts, sizeof(opts), given) || opts.workers > BROOD__POOL_WORKERS_MAX ||
	    opts.open_tasks > JOBS_MOST)
		return fail(-EINVAL);
	id = brood__member_id(&segment->members);
	if (id < 0)
		return fail(id);
	shape.serial = brood__random();
	shape.workers = opts.workers ? opts.workers : brood_cpu_count();
	if (shape.workers > BROOD__POOL_WORKERS_MAX)
		shape.workers = BROOD__POOL_WORKERS_MAX;
	shape.jobs_count = opts.open_tasks ? opts.open_tasks : JOBS_DEFAULT;
	shape.max_tasks = opts.max_tasks;
	shape.outlive_parent = opts.outlive_parent;
	shape.keep_sigint = opts.keep_sigint;
	shape.progress = opts.progress;
	shape.callback_thread = opts.callback_thread;
	shape.initializer = opts.initializer;
	shape.initializer_argument = opts.initializer_argument;
	shape.creator = getpid();
	shape.created = brood_now();
	shape.jobs_at = sizeof(shape) + (shape.workers + 1) * sizeof(struct brood__seat);
	shape.keeper = brood__token_of(&segment->members, (uint32_t)id) | BROOD__POOL_STARTING;
	shape.object.bytes = shape.jobs_at + shape.jobs_count * sizeof(struct brood__job);
	pool = brood__object_make(segment, BROOD__KIND_POOL, NULL, shape.object.bytes,
				  shape.object.bytes, fill, &shape);
	if (!pool)
		return NULL;
	name_queue(name, segment, pool);
	queue.name = name;
	queue.slots = 4 * pool->jobs_count + 64;
	atomic_store(&pool->invitations, brood_queue_create(&queue));
	if (pool->invitations)
		return pool;
	id = errno;
	brood__pool_free(pool);
	return fail(-id);
}

struct brood_pool *brood_pool_create(const struct brood_pool_opts *opts)
{
	struct brood_pool *pool = brood__pool_make(opts);
	int result = pool ? brood__keeper_ensure(pool) : 0;

	if (result >= 0)
		return pool;
	brood__pool_free(pool);
	return fail(result);
}

/* ---- freeing ---- */

static void forget(struct brood_segment *segment, void *object)
{
	brood__job_blocks_free(segment, object);
}

int brood__pool_free(struct brood_pool *pool)
{
	struct brood__call call;
	int result = brood__object_enter(pool, BROOD__KIND_POOL, &call);
	struct brood_queue *queue;

	if (result)
		return result;
	queue = pool->invitations;
	brood__object_leave(&call);
	if (queue)
		brood_queue_destroy(queue);
	result = brood__object_enter(pool, BROOD__KIND_POOL, &call);
	return result ? result : brood__object_destroy(&call, BROOD__KIND_POOL, forget);
}

/* In a sweep, where no call of an object can be made. */
static void unmake(struct brood_segment *segment, void *object, enum brood__kind kind)
{
	uint64_t live = brood__magic(kind, brood__offset(segment, object));

	atomic_compare_exchange_strong(&((struct brood__object *)object)->magic, &live, ~live);
	brood__object_swept(segment, object, kind);
}

static void unmake_pool(struct brood_segment *segment, struct brood_pool *pool)
{
	char name[BROOD__NAME_MAX];
	void *queue;

	name_queue(name, segment, pool);
	queue = brood__object_named(segment, BROOD__KIND_QUEUE, name);
	if (queue)
		unmake(segment, queue, BROOD__KIND_QUEUE);
	forget(segment, pool);
	unmake(segment, pool, BROOD__KIND_POOL);
}

bool brood__pool_creator_lives(const struct brood_pool *pool, uint32_t member)
{
	const struct brood__members *members = &brood__family.members;

	for (uint32_t id = 0; id < members->max; id++) {
		uint32_t life = brood__life_of(members, id);

		if (id != member && life && !brood__life_dead(life) &&
		    atomic_load(&members->table[id].process) == pool->creator)
			return true;
	}
	return false;
}

static bool is_creators(const struct brood__members *members, const struct brood_pool *pool,
			uint32_t member)
{
	return atomic_load(&members->table[member].process) == pool->creator;
}

static void sweep(struct brood_segment *segment, void *object, uint32_t member, bool clean)
{
	const struct brood__members *members = &segment->members;
	struct brood_pool *pool = object;
	uint64_t starting = brood__token_of(members, member) | BROOD__POOL_STARTING;

	if (!brood__object_swept(segment, object, BROOD__KIND_POOL))
		return;
	if (!clean && atomic_load(&pool->keeper) == starting &&
	    !brood__pool_creator_lives(pool, member) &&
	    atomic_compare_exchange_strong(&pool->keeper, &starting, starting | 2)) {
		atomic_store(&pool->ended, 1);
		unmake_pool(segment, pool);
		return;
	}
	if (brood__pool_ended(pool) && is_creators(members, pool, member) &&
	    !brood__pool_creator_lives(pool, member)) {
		unmake_pool(segment, pool);
		return;
	}
	for (uint32_t i = 0; i < pool->jobs_count; i++)
		brood__job_sweep(segment, pool, i, member, clean);
}

static const struct brood__kind_ops ops = { .sweep = sweep };

/* A program that has no pool needs none of this, and has none to sweep. */
static void register_pool(void) __attribute__((constructor));
static void register_pool(void)
{
	brood__kinds[BROOD__KIND_POOL] = &ops;
	brood__waitable_register(BROOD_WAIT_RESULT, &brood__result_waitable);
}

/* ---- close, terminate, join, destroy ---- */

/* Forward only. */
static int set_state(struct brood_pool *pool, uint32_t state)
{
	struct brood__call call;
	int result = brood__object_enter(pool, BROOD__KIND_POOL, &call);
	uint32_t now;

	if (result)
		return result;
	now = atomic_load(&pool->state);
	while (now < state && !atomic_compare_exchange_strong(&pool->state, &now, state))
		;	/* K5 */
	brood__keeper_ring(pool);
	brood__object_leave(&call);
	result = brood__keeper_ensure(pool);
	return result < 0 ? result : 0;
}

int brood_pool_close(struct brood_pool *pool)
{
	return set_state(pool, BROOD__POOL_CLOSED);
}

int brood_pool_terminate(struct brood_pool *pool)
{
	return set_state(pool, BROOD__POOL_TERMINATED);
}

struct joining {
	struct brood__call call;
	bool patient;		/* a keeper has been started: do not look for it */
};

static ssize_t look_for_end(void *arg)
{
	const struct joining *joining = arg;
	const struct brood_pool *pool = joining->call.object;

	if (!brood__object_alive(joining->call.segment, pool, BROOD__KIND_POOL))
		return -ESTALE;
	if (brood__pool_ended(pool))
		return 0;
	return joining->patient || !brood__keeper_gone(pool) ? -EAGAIN : -EOWNERDEAD;
}

static int wait_for_end(struct brood_pool *pool, int64_t timeout, bool patient)
{
	struct joining joining = { .patient = patient };
	struct brood__wait wait = { .list = &pool->enders, .timeout = timeout };
	int result = brood__object_enter(pool, BROOD__KIND_POOL, &joining.call);

	if (result)
		return result;
	wait.members = &joining.call.segment->members;
	wait.me = joining.call.me;
	result = (int)look_for_end(&joining);
	if (result == -EAGAIN)
		result = (int)brood__wait(&wait, look_for_end, &joining);
	brood__object_leave(&joining.call);
	return result;
}

int brood__pool_patience(struct brood_pool *pool, int64_t deadline, int result, bool *patient)
{
	if (result != -EOWNERDEAD &&
	    !(*patient && result == -ETIMEDOUT && brood_now() < deadline))
		return result;
	result = brood__keeper_ensure(pool);
	if (result < 0)
		return result;
	*patient = result == 1;
	return -EINTR;
}

int64_t brood__pool_slice(int64_t deadline, bool patient)
{
	int64_t slice = patient ? brood_now() + BROOD__BACKSTOP_NS : BROOD__NO_DEADLINE;

	if (deadline == 0)
		return 0;
	if (slice < deadline)
		return brood_until(slice);
	return deadline == BROOD__NO_DEADLINE ? BROOD_FOREVER : brood_until(deadline);
}

int brood_pool_join(struct brood_pool *pool, int64_t timeout)
{
	int64_t deadline = brood__deadline(timeout);
	struct brood__call call;
	bool patient = false;
	uint64_t serial;
	int result = brood__object_enter(pool, BROOD__KIND_POOL, &call);

	if (result)
		return result;
	serial = pool->serial;
	if (brood__pool_state(pool) == BROOD__POOL_OPEN)
		result = -EBUSY;
	brood__object_leave(&call);
	while (result == 0 || result == -EINTR) {
		result = wait_for_end(pool, brood__pool_slice(deadline, patient), patient);
		if (result == 0 || result == -ESTALE) {	/* it has ended, and perhaps been freed */
			brood__keeper_forget(serial);
			return 0;
		}
		result = brood__pool_patience(pool, deadline, result, &patient);
	}
	return result;
}

int brood_pool_destroy(struct brood_pool *pool)
{
	struct brood__call call;
	int result;

	if (!pool)
		return 0;
	result = brood_pool_terminate(pool);
	if (result)
		return result;
	result = brood_pool_join(pool, BROOD_FOREVER);
	if (result == -ESTALE)
		return 0;	/* the keeper was quicker: the creator is gone */
	if (result)
		return result;
	brood__callbacks_settle(pool);
	if (brood__object_enter(pool, BROOD__KIND_POOL, &call))
		return 0;	/* the keeper has freed it: the creator is gone */
	brood__results_harvest(&call);
	brood__object_leave(&call);
	brood__pool_free(pool);
	return 0;
}

/* ---- figures ---- */

static void add_jobs(struct brood_pool *pool, struct brood_pool_info *info)
{
	for (uint32_t i = 0; i < pool->jobs_count; i++) {
		const struct brood__job *job = brood__job(pool, i);
		uint64_t word = brood__job_load(job), begun;

		if (brood__job_state(word) != BROOD__JOB_OPEN)
			continue;
		begun = atomic_load_explicit(&job->next, memory_order_relaxed);
		if (begun < job->count)
			info->queued += job->n - begun * job->chunk;
	}
}

static void add_seat(const struct brood_pool *pool, uint32_t i, struct brood_pool_info *info)
{
	const struct brood__seat *seat = &pool->seats[i];
	uint64_t inside = atomic_load(&seat->inside), k = atomic_load(&seat->chunk);
	const struct brood__job *job;

	info->done += atomic_load_explicit(&seat->done, memory_order_relaxed);
	info->failed += atomic_load_explicit(&seat->failed, memory_order_relaxed);
	info->workers += (uint32_t)atomic_load(&seat->word) == BROOD__SEAT_READY &&
			 !brood__token_gone(&brood__family.members, atomic_load(&seat->token));
	if (!inside || (uint32_t)inside > pool->jobs_count)
		return;
	job = brood__job((struct brood_pool *)(uintptr_t)pool, (uint32_t)inside - 1);
	if (k < job->count)
		info->running += brood__chunk_state(atomic_load(&job->chunks[k])) ==
				 BROOD__CHUNK_RUNNING;
}

int brood_pool_stat(struct brood_pool *pool, struct brood_pool_info *info)
{
	struct brood__call call;
	int result = info ? brood__object_enter(pool, BROOD__KIND_POOL, &call) : -EINVAL;

	if (result)
		return result;
	memset(info, 0, sizeof(*info));
	for (uint32_t i = 0; i < pool->workers; i++)
		add_seat(pool, i, info);
	add_jobs(pool, info);
	info->failed += atomic_load(&pool->failed);
	info->started = atomic_load(&pool->number);
	info->rate = (double)info->done * 1e9 / (double)(brood_now() - pool->created + 1);
	brood__object_leave(&call);
	return 0;
}

int brood_pool_reason(struct brood_pool *pool, char *text, size_t size)
{
	struct brood__call call;
	int result = text && size ? brood__object_enter(pool, BROOD__KIND_POOL, &call) : -EINVAL;

	if (result)
		return result;
	if (pool->reason[0] && brood__pool_state(pool) >= BROOD__POOL_BROKEN)
		snprintf(text, size, "%s", pool->reason);
	else
		result = -ENODATA;
	brood__object_leave(&call);
	return result;
}
