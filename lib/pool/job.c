/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs: taken, filled, opened, cancelled, closed, freed; what pool.h says about their words.
 *
 * Small jobs of one chunk have room for everything in the table. Others have a block of the arena,
 * which the job's `block` names before it is published:
 *
 *	home | faults | chunks | items | results
 *
 * Dying inside, between any two stores of
 *	open	FILLING | block claimed | block named | block published | OPEN
 *	free	FREEING | block retired | FREE
 * the sweep finds FILLING or FREEING with the dead one's id. A block that is claimed still is
 * freed by the sweep of the heap; one that is live and says that this job, in this generation, is
 * its home is retired; anything else at that place is not the job's any more.
 */
#include <signal.h>
#include <string.h>

#include "pool/pool.h"
#include "process/process.h"

#define HOME_MAGIC 0x62726f6f64206a6full

static uint32_t generation_of(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static bool change(struct brood__job *job, uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong(&job->word, &from, to);	/* K1, K2 */
}

/* K2 */
static bool somebody_inside(struct brood_pool *pool, uint32_t index)
{
	for (uint32_t i = 0; i <= pool->workers; i++)
		if ((uint32_t)atomic_load(&pool->seats[i].inside) == index + 1)
			return true;
	return false;
}

/* ---- freeing ---- */

static void free_block(struct brood_segment *segment, struct brood__job *job)
{
	uint64_t offset = atomic_load_explicit(&job->block, memory_order_relaxed);
	const struct brood__home *home;
	struct brood__block *block;

	if (!offset)
		return;
	home = brood__at(segment, offset);
	block = brood__block_of(segment, home);
	if (block && brood__block_state(block) == BROOD__LIVE &&
	    atomic_load_explicit(&block->kind, memory_order_relaxed) == BROOD__KIND_JOB &&
	    home->magic == HOME_MAGIC && home->job == brood__offset(segment, job) &&
	    home->generation == generation_of(brood__job_load(job)) &&
	    brood__block_retire(segment, brood__at(segment, offset)))
		brood__block_reclaim(segment, block);
	atomic_store_explicit(&job->block, 0, memory_order_relaxed);
}

static void tell_of_room(struct brood_segment *segment, struct brood_pool *pool)
{
	if (brood__unlikely(brood__waitlist_any(&pool->room)))
		brood__wake_list(&segment->members, &pool->room);
}

/* The word is FILLING or FREEING, and ours, or that of a dead one whom we sweep. */
static void set_free(struct brood_segment *segment, struct brood_pool *pool, struct brood__job *job)
{
	uint64_t word = brood__job_load(job);

	free_block(segment, job);
	atomic_store(&job->word,
		     brood__job_word(generation_of(word) + 1, 0, BROOD__JOB_FREE));
	tell_of_room(segment, pool);
}

/*
 * Back to CLOSED if a worker is inside; who leaves looks for CLOSED, so if it has left meanwhile,
 * we look again (K2).
 */
void brood__job_reap(struct brood_segment *segment, struct brood_pool *pool, uint32_t index)
{
	struct brood__job *job = brood__job(pool, index);
	int me = brood__member_id(&segment->members);

	while (me >= 0 && !somebody_inside(pool, index)) {
		uint64_t word = brood__job_load(job);
		uint32_t generation = generation_of(word);

		if (brood__job_state(word) != BROOD__JOB_CLOSED ||
		    !change(job, word, brood__job_word(generation, (uint32_t)me + 1,
						       BROOD__JOB_FREEING)))
			return;
		if (!somebody_inside(pool, index)) {
			set_free(segment, pool, job);
			/* It may be what a pool that was closed waits for. */
			if (brood__unlikely(brood__pool_state(pool) != BROOD__POOL_OPEN))
				brood__keeper_ring(pool);
			return;
		}
		atomic_store(&job->word, brood__job_word(generation, 0, BROOD__JOB_CLOSED));
	}
}

/* A job without a block may be free with a late worker inside: who takes it looks (K2). */
void brood__job_close(struct brood_segment *segment, struct brood_pool *pool, uint32_t index,
		      uint32_t generation)
{
	struct brood__job *job = brood__job(pool, index);
	uint64_t word = brood__job_load(job);
	bool block = atomic_load_explicit(&job->block, memory_order_relaxed);
	uint64_t to = block ? brood__job_word(generation, 0, BROOD__JOB_CLOSED) :
			      brood__job_word(generation + 1, 0, BROOD__JOB_FREE);

	while (brood__job_is(word, generation, BROOD__JOB_OPEN)) {
		if (change(job, word, to)) {
			if (block)
				brood__job_reap(segment, pool, index);
			else
				tell_of_room(segment, pool);
			if (brood__unlikely(brood__pool_state(pool) != BROOD__POOL_OPEN))
				brood__keeper_ring(pool);
			return;
		}
		word = brood__job_load(job);
	}
}

void brood__job_blocks_free(struct brood_segment *segment, struct brood_pool *pool)
{
	for (uint32_t i = 0; i < pool->jobs_count; i++)
		free_block(segment, brood__job(pool, i));
}

/* ---- opening ---- */

static uint64_t up(uint64_t bytes)
{
	return (bytes + BROOD__LINE - 1) / BROOD__LINE * BROOD__LINE;
}

static size_t chunk_size(const struct brood_pool *pool, const struct brood__work *work)
{
	size_t parts = 4 * (size_t)pool->workers, chunk = work->opts.chunk;

	if (chunk == 0)
		chunk = work->each ? 1 : work->n / parts + (work->n % parts != 0);
	return chunk < 1 ? 1 : chunk > BROOD__POOL_CHUNK_MAX ? BROOD__POOL_CHUNK_MAX : chunk;
}

static void reset(struct brood_pool *pool, struct brood__job *job, const struct brood__work *work,
		  pid_t pid)
{
	size_t chunk = chunk_size(pool, work);

	atomic_store_explicit(&job->pid, pid, memory_order_relaxed);
	job->retries = work->opts.retries;
	job->function = work->function;
	job->item_size = work->item_size;
	job->result_size = work->result_size;
	job->items = NULL;
	job->results = work->results;
	job->chunks = &job->only;
	job->n = work->n;
	job->chunk = (uint32_t)chunk;
	job->count = (uint32_t)(work->n / chunk + (work->n % chunk != 0));
	job->limit = work->opts.limit;
	job->faults = NULL;
	job->each = work->each;
	atomic_store_explicit(&job->next, 0, memory_order_relaxed);
	job->answered = 0;
	atomic_store_explicit(&job->only, 0, memory_order_relaxed);
	atomic_store_explicit(&job->fault.chunk, 0, memory_order_relaxed);
}

/* -ENOSPC */
static int find_room(struct brood_segment *segment, struct brood__job *job, uint64_t items,
		     uint64_t results)
{
	bool several = job->count > 1;
	uint64_t faults = several ? (BROOD__POOL_FAULTS - 1) * sizeof(struct brood__fault) : 0;
	uint64_t chunks = several ? up(job->count * sizeof(uint64_t)) : 0;
	uint64_t bytes = sizeof(job->bytes);
	char *at = job->bytes;
	struct brood__home *home = NULL;

	if (several || up(items) + results > bytes) {
		bytes = up(sizeof(*home)) + faults + chunks + up(items) + results;
		home = brood__block_claim(segment, bytes, bytes);
		if (!home)
			return -errno;
		*home = (struct brood__home){ brood__offset(segment, job),
					      generation_of(brood__job_load(job)), HOME_MAGIC };
		at = (char *)home + up(sizeof(*home));
	} else if (results) {
		memset(at + up(items), 0, results);
	}
	if (several) {
		job->faults = (struct brood__fault *)(void *)at;
		job->chunks = (_Atomic uint64_t *)(void *)(at + faults);
		at += faults + chunks;
	}
	if (items)
		job->items = at;
	if (results)
		job->results = at + up(items);
	if (home) {
		atomic_store_explicit(&job->block, brood__offset(segment, home),
				      memory_order_release);
		brood__block_publish(segment, home, BROOD__KIND_JOB);
	}
	return 0;
}

static bool product(size_t a, size_t b, uint64_t *bytes)
{
	return !__builtin_mul_overflow(a, b, bytes) && *bytes < 1ull << 40;
}

static int fill(const struct brood__call *call, struct brood__job *job,
		const struct brood__work *work)
{
	struct brood_segment *segment = call->segment;
	uint64_t items, results;
	int result;

	if (!product(work->n, work->item_size, &items) ||
	    !product(work->n, work->result_size, &results))
		return -EINVAL;
	reset(call->object, job, work, atomic_load(&segment->members.table[call->me].process));
	if (items && brood__lies_in(segment, work->items)) {
		job->items = work->items;
		items = 0;
	}
	result = find_room(segment, job, items, work->results ? 0 : results);
	if (result == 0 && items)
		memcpy((char *)(uintptr_t)job->items, work->items, items);
	return result;
}

/* A free job in which no late worker is any more; it is ours then. -EAGAIN. */
static int take(const struct brood__call *call)
{
	struct brood_pool *pool = call->object;
	uint32_t hint = atomic_load_explicit(&pool->hint, memory_order_relaxed);

	for (uint32_t k = 0; k < pool->jobs_count; k++) {
		uint32_t index = (hint + k) % pool->jobs_count;
		struct brood__job *job = brood__job(pool, index);
		uint64_t word = brood__job_load(job);

		if (brood__job_state(word) != BROOD__JOB_FREE ||
		    !change(job, word, brood__job_word(generation_of(word), call->me + 1,
						       BROOD__JOB_FILLING)))
			continue;
		if (!somebody_inside(pool, index)) {
			atomic_store_explicit(&pool->hint, (index + 1) % pool->jobs_count,
					      memory_order_relaxed);
			return (int)index;
		}
		atomic_store(&job->word, word);
	}
	return -EAGAIN;
}

int brood__job_open(const struct brood__call *call, const struct brood__work *work, uint32_t *index,
		    uint32_t *generation)
{
	struct brood_pool *pool = call->object;
	struct brood__job *job;
	int result = take(call);

	if (result < 0)
		return result;
	*index = (uint32_t)result;
	job = brood__job(pool, *index);
	*generation = generation_of(brood__job_load(job));
	result = fill(call, job, work);
	if (result) {
		set_free(call->segment, pool, job);
		return result;
	}
	atomic_store(&job->word, brood__job_word(*generation, call->me + 1, BROOD__JOB_OPEN));
	return 0;
}

int brood__job_invite(struct brood_pool *pool, uint32_t index, uint32_t generation, bool search)
{
	const struct brood__invitation invitation = { index, generation, search, 0 };
	uint32_t count = search ? 1 : brood__job(pool, index)->count;
	struct brood_queue *queue = atomic_load_explicit(&pool->invitations, memory_order_relaxed);
	uint32_t i;
	int result;

	if (count > pool->workers)
		count = pool->workers;
	for (i = 0; i < count; i++) {
		result = brood_queue_put(queue, &invitation, sizeof(invitation), 0);
		if (result && i == 0)
			return result;
		if (result)
			break;
	}
	brood__workers_call(pool, i);
	return 0;
}

/* ---- answers ---- */

bool brood__job_finished(const struct brood__job *job, struct brood__cursor *cursor)
{
	for (; cursor->at < job->count; cursor->at++) {
		uint64_t word = atomic_load(&job->chunks[cursor->at]);	/* K3 */

		if (!brood__chunk_answered(word))
			return false;
		cursor->failed |= brood__chunk_state(word) == BROOD__CHUNK_FAILED;
	}
	return true;
}

/* K4 */
void brood__job_tell(struct brood_pool *pool, struct brood__job *job)
{
	bool last = atomic_load(&job->next) >= job->count;

	if ((last || job->each) && brood__waitlist_any(&job->waiters))
		brood__wake_list(&brood__family.members, &job->waiters);
	if (!last)
		return;
	if (brood__unlikely(brood__waitlist_any(&pool->room)))
		brood__wake_list(&brood__family.members, &pool->room);
	if (brood__unlikely(brood__pool_state(pool) != BROOD__POOL_OPEN))	/* K5 */
		brood__keeper_ring(pool);
}

static struct brood__fault *fault_at(const struct brood__job *job, uint32_t i)
{
	if (i == 0)
		return (struct brood__fault *)(uintptr_t)&job->fault;
	return job->faults ? &job->faults[i - 1] : NULL;
}

/*
 * By who has the chunk, or buries who had it: a record that the dead one began is gone on with.
 * When there is none left, the chunk has only its code.
 */
void brood__job_note(struct brood__job *job, uint64_t chunk, int exit_code, pid_t pid,
		     const char *text)
{
	for (uint32_t i = 0; i < BROOD__POOL_FAULTS; i++) {
		struct brood__fault *fault = fault_at(job, i);
		uint64_t none = 0;

		if (!fault)
			return;
		if (!atomic_compare_exchange_strong(&fault->chunk, &none, chunk + 1) &&
		    none != chunk + 1)
			continue;
		fault->exit_code = exit_code;
		fault->pid = pid;
		strncpy(fault->text, text, sizeof(fault->text) - 1);
		fault->text[sizeof(fault->text) - 1] = 0;
		return;
	}
}

const struct brood__fault *brood__job_fault(const struct brood__job *job, uint64_t chunk)
{
	for (uint32_t i = 0; i < BROOD__POOL_FAULTS; i++) {
		const struct brood__fault *fault = fault_at(job, i);

		if (fault && atomic_load(&fault->chunk) == chunk + 1)
			return fault;
	}
	return NULL;
}

uint32_t brood__job_cancel(struct brood_pool *pool, struct brood__job *job, int code,
			   const char *text)
{
	uint32_t n = 0, count = job->count;

	atomic_store(&job->next, count);	/* no more tickets */
	for (uint32_t i = 0; i < count; i++) {
		uint64_t word = atomic_load(&job->chunks[i]);

		if (brood__chunk_state(word) != BROOD__CHUNK_PENDING)
			continue;
		if (n == 0)
			brood__job_note(job, i, 0, 0, text);
		if (atomic_compare_exchange_strong(&job->chunks[i], &word,
						   brood__chunk_word((uint32_t)code, 0,
								     BROOD__CHUNK_FAILED)))
			n++;
	}
	atomic_fetch_add_explicit(&pool->failed, n, memory_order_relaxed);
	brood__job_tell(pool, job);
	return n;
}

/* The keeper's hazard is the seat behind the workers'. */
bool brood__job_enter(struct brood_pool *pool, uint32_t index, uint64_t *word)
{
	struct brood__job *job = brood__job(pool, index);

	*word = brood__job_load(job);
	if (brood__job_state(*word) != BROOD__JOB_OPEN)
		return false;
	atomic_store(&pool->seats[pool->workers].inside, index + 1);	/* K2 */
	if (brood__job_is(brood__job_load(job), generation_of(*word), BROOD__JOB_OPEN))
		return true;
	brood__job_leave(pool, pool->workers, index);
	return false;
}

void brood__job_leave(struct brood_pool *pool, uint32_t seat, uint32_t index)
{
	atomic_store(&pool->seats[seat].inside, 0);	/* K2 */
	if (brood__job_state(brood__job_load(brood__job(pool, index))) == BROOD__JOB_CLOSED)
		brood__job_reap(&brood__family, pool, index);
}

/* A job that is being filled finds the end itself (K5). */
bool brood__pool_finished(struct brood_pool *pool)
{
	struct brood__cursor cursor = { 0, false };
	bool finished = true;
	uint64_t word;

	for (uint32_t i = 0; i < pool->jobs_count && finished; i++) {
		struct brood__job *job = brood__job(pool, i);

		if (brood__job_state(brood__job_load(job)) == BROOD__JOB_CLOSED)
			finished = !somebody_inside(pool, i);
		if (!brood__job_enter(pool, i, &word))
			continue;
		cursor.at = job->answered;
		finished = brood__job_finished(job, &cursor);
		job->answered = cursor.at;
		brood__job_leave(pool, pool->workers, i);
	}
	return finished;
}

/* ---- the dead ---- */

/* Another living member of the same process. */
static uint32_t fellow_of(const struct brood__members *members, uint32_t member, pid_t pid)
{
	for (uint32_t id = 0; id < members->max; id++) {
		uint32_t life = brood__life_of(members, id);

		if (id != member && life && !brood__life_dead(life) &&
		    atomic_load(&members->table[id].process) == pid)
			return id;
	}
	return BROOD__NOBODY;
}

/*
 * The thread that submitted is gone, its process perhaps not. A fellow that goes at this moment
 * may have been swept before it got the job: then we look for another.
 */
static void hand_over(struct brood_segment *segment, struct brood_pool *pool, uint32_t index,
		      uint32_t member, bool clean)
{
	struct brood__job *job = brood__job(pool, index);
	const struct brood__members *members = &segment->members;
	uint64_t word = brood__job_load(job), token;
	uint32_t generation = generation_of(word), fellow;

	while (brood__job_is(word, generation, BROOD__JOB_OPEN) &&
	       brood__job_member(word) == member + 1) {
		fellow = fellow_of(members, member, job->pid);
		if (fellow == BROOD__NOBODY && !clean) {
			brood__job_close(segment, pool, index, generation);
			return;
		}
		token = fellow == BROOD__NOBODY ? 0 : brood__token_of(members, fellow);
		if (change(job, word, brood__job_word(generation, token ? fellow + 1 : 0,
						      BROOD__JOB_OPEN)) &&
		    token && brood__token_gone(members, token))
			member = fellow;
		word = brood__job_load(job);
	}
}

void brood__job_sweep(struct brood_segment *segment, struct brood_pool *pool, uint32_t index,
		      uint32_t member, bool clean)
{
	struct brood__job *job = brood__job(pool, index);
	uint64_t word = brood__job_load(job);

	if (brood__job_state(word) == BROOD__JOB_FREE || brood__job_member(word) != member + 1)
		return;
	if (brood__job_state(word) == BROOD__JOB_OPEN) {
		hand_over(segment, pool, index, member, clean);
	} else if (brood__job_state(word) == BROOD__JOB_FILLING) {
		set_free(segment, pool, job);
	} else {	/* it may have died before it looked whether a worker is inside */
		atomic_store(&job->word,
			     brood__job_word(generation_of(word), 0, BROOD__JOB_CLOSED));
		brood__job_reap(segment, pool, index);
	}
}

void brood__job_orphans(struct brood_pool *pool)
{
	for (uint32_t i = 0; i < pool->jobs_count; i++) {
		struct brood__job *job = brood__job(pool, i);
		uint64_t word = brood__job_load(job);

		if (brood__job_state(word) == BROOD__JOB_OPEN && brood__job_member(word) == 0 &&
		    kill(job->pid, 0) && errno == ESRCH)
			brood__job_close(&brood__family, pool, i, generation_of(word));
	}
}
