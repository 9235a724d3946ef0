/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker: leases an invitation, works at its job until there is nothing to claim, releases the
 * invitation. And the burial of one that died.
 *
 * Dying inside. Before the lease: nothing is lost. With the lease: the invitation comes again and
 * says so, and whoever gets it searches all chunks. Between ticket and claim: the chunk is
 * PENDING, and found by that search. Between claim and answer: RUNNING, and the seat tells which
 * one; the keeper answers it. Behind the answer and before it woke anybody: a death makes all
 * sleepers look.
 *
 * A task with a time limit. The worker's word `timed` counts its tasks:
 *
 *	{ count, 0 } --worker--> { count, TIMED } --worker, CAS--> { count + 1, 0 }
 *				 --keeper, CAS--> { count, CONDEMNED }
 *
 * The keeper kills only whom it has condemned, and the condemned waits for that instead of
 * answering; so a task that was finished in time is never killed for it, nor is the one behind it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/pool.h"
#include "process/process.h"

struct brood_task {
	struct brood_pool *pool;
	struct brood__seat *seat;
	struct brood__job *job;
	size_t index;
	uint32_t number;
	char text[BROOD_POOL_TEXT];
};

/* ---- for the function ---- */

int brood_task_fail(struct brood_task *task, int code, const char *text)
{
	if (task && text)
		snprintf(task->text, sizeof(task->text), "%s", text);
	return code;
}

size_t brood_task_index(const struct brood_task *task)
{
	return task->index;
}

size_t brood_task_length(const struct brood_task *task)
{
	return task->job->item_size;
}

size_t brood_task_result_size(const struct brood_task *task)
{
	return task->job->result_size;
}

static void name_of(char name[32], uint32_t number)
{
	snprintf(name, 32, "ForkPoolWorker-%u", number);
}

const char *brood_task_worker(const struct brood_task *task)
{
	static char name[32];

	name_of(name, task->number);
	return name;
}

/* ---- a chunk ---- */

static void time_begins(struct brood_task *task)
{
	struct brood__seat *seat = task->seat;

	atomic_store_explicit(&seat->limit, task->job->limit, memory_order_relaxed);
	atomic_store_explicit(&seat->since, brood_now(), memory_order_relaxed);
	atomic_fetch_or(&seat->timed, BROOD__TIMED);
}

static void time_ends(struct brood__seat *seat)
{
	uint64_t timed = atomic_load(&seat->timed);

	if ((timed & BROOD__CONDEMNED) ||
	    !atomic_compare_exchange_strong(&seat->timed, &timed, (timed | 3) + 1))
		for (;;)
			pause();
}

static int call(struct brood_task *task)
{
	struct brood__job *job = task->job;
	const char *item = job->items ? job->items + task->index * job->item_size : NULL;
	char *result = job->results ? job->results + task->index * job->result_size : NULL;
	int code;

	if (brood__likely(!job->limit))
		return job->function(task, item, result);
	time_begins(task);
	code = job->function(task, item, result);
	time_ends(task->seat);
	return code;
}

static void count(_Atomic uint64_t *counter, uint64_t n)	/* only we write it */
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* The chunk is ours. */
static void run_chunk(struct brood_task *task, uint64_t k, uint64_t running)
{
	struct brood__job *job = task->job;
	size_t first = k * job->chunk;
	size_t end = job->n - first < job->chunk ? job->n : first + job->chunk;
	uint64_t answer = brood__chunk_word(0, 0, BROOD__CHUNK_DONE);
	int code = 0;

	for (task->index = first; task->index < end && code == 0; task->index += code == 0) {
		task->text[0] = 0;
		code = call(task);
	}
	if (brood__unlikely(code)) {
		brood__job_note(job, k, 0, getpid(), task->text);
		answer = brood__chunk_word((uint32_t)code, (uint32_t)(task->index - first),
					   BROOD__CHUNK_FAILED);
	}
	atomic_compare_exchange_strong(&job->chunks[k], &running, answer);	/* K3 */
	brood__job_tell(task->pool, job);
	count(&task->seat->done, task->index - first);
	count(&task->seat->failed, code != 0);
}

static bool claim(const struct brood_task *task, uint64_t k, uint64_t *running)
{
	_Atomic uint64_t *chunk = &task->job->chunks[k];
	uint64_t word = atomic_load_explicit(chunk, memory_order_relaxed);

	if (brood__chunk_state(word) != BROOD__CHUNK_PENDING)
		return false;
	atomic_store_explicit(&task->seat->chunk, k, memory_order_relaxed);
	*running = brood__chunk_word(task->number, brood__chunk_tries(word), BROOD__CHUNK_RUNNING);
	return atomic_compare_exchange_strong(chunk, &word, *running);
}

/* ---- a job ---- */

struct visit {
	struct brood_task task;
	uint32_t index, generation;
	uint64_t *left;		/* chunks until this worker is replaced */
};

static bool goes_on(const struct visit *visit)
{
	return *visit->left && brood__job_is(brood__job_load(visit->task.job), visit->generation,
					     BROOD__JOB_OPEN);
}

static void run_if_mine(struct visit *visit, uint64_t k)
{
	uint64_t running;

	if (!claim(&visit->task, k, &running))
		return;
	run_chunk(&visit->task, k, running);
	if (*visit->left != UINT64_MAX)
		--*visit->left;
}

static uint64_t drawn(const struct brood__job *job)
{
	uint64_t next = atomic_load(&job->next);	/* K4 */

	return next < job->count ? next : job->count;
}

static void work_at(struct visit *visit, bool search)
{
	struct brood__job *job = visit->task.job;

	for (uint64_t k = 0; search && k < drawn(job) && goes_on(visit); k++)
		run_if_mine(visit, k);
	while (goes_on(visit) && drawn(job) < job->count) {
		uint64_t k = atomic_fetch_add(&job->next, 1);	/* K4 */

		if (k < job->count)
			run_if_mine(visit, k);
	}
}

/* Whether the job needs somebody who takes our place at it. */
static bool visit_job(struct visit *visit, bool search)
{
	struct brood_pool *pool = visit->task.pool;
	struct brood__seat *seat = visit->task.seat;
	bool more = false;

	/* K2 */
	atomic_store(&seat->inside, (uint64_t)visit->generation << 32 | (visit->index + 1));
	if (brood__job_is(brood__job_load(visit->task.job), visit->generation, BROOD__JOB_OPEN)) {
		work_at(visit, search);
		more = !*visit->left && (search || drawn(visit->task.job) < visit->task.job->count);
	}
	brood__job_leave(pool, (uint32_t)(seat - pool->seats), visit->index);
	return more;
}

/* ---- invitations ---- */

/*
 * A worker without work looks all the time for a while, but only one of them: it says so, and
 * whoever invites need not wake anybody then. It looks once more when it has taken that back (K7).
 * Who gets an invitation and finds another behind it calls the next worker: the one who put that
 * may have relied on the same spinner. A spinner that is killed is forgotten at its burial.
 *
 * Workers sleep in a list of the pool, not in the queue's.
 */
void brood__workers_call(struct brood_pool *pool, uint32_t n)
{
	if (n && atomic_load(&pool->spinner))	/* K7 */
		n--;
	brood__notify_many(&brood__family.members, &pool->idle, n);
}

struct search {
	struct brood_pool *pool;
	struct brood_message message;
};

static ssize_t look(void *arg)
{
	struct search *search = arg;

	return brood_queue_lease(search->pool->invitations, &search->message, 0);
}

static int spin(struct search *search, uint32_t seat)
{
	_Atomic uint32_t *spinner = &search->pool->spinner;
	uint32_t none = 0;
	int64_t deadline;
	int result;

	if (atomic_load_explicit(spinner, memory_order_relaxed) ||
	    !atomic_compare_exchange_strong(spinner, &none, seat + 1))
		return -EAGAIN;
	result = (int)brood__spin(0, BROOD_FOREVER, look, search, &deadline);
	atomic_store(spinner, 0);
	atomic_thread_fence(memory_order_seq_cst);	/* K7 */
	return result;
}

static int find_invitation(struct search *search, uint32_t seat, int64_t timeout)
{
	struct brood_pool *pool = search->pool;
	struct brood__members *members = &brood__family.members;
	struct brood__wait wait = { .members = members, .list = &pool->idle, .timeout = timeout };
	int result = (int)look(search);

	if (result == -EAGAIN && timeout)
		result = spin(search, seat);
	if (result == -EAGAIN && timeout) {
		fflush(stdout);
		wait.me = (uint32_t)brood__member_id(members);
		result = (int)brood__wait(&wait, look, search);
	}
	if (result == 0 && brood__waitlist_any(&pool->idle) &&
	    brood_queue_empty(pool->invitations) == 0)
		brood__wake_one(members, &pool->idle);
	return result;
}

int brood__worker_once(struct brood_pool *pool, uint32_t seat, uint32_t number, uint64_t *chunks,
		       int64_t timeout)
{
	struct brood_queue *queue = pool->invitations;
	struct search found = { .pool = pool };
	struct brood__invitation invitation;
	struct visit visit;
	bool search;
	int result = find_invitation(&found, seat, timeout);

	if (result)
		return result;
	memcpy(&invitation, found.message.data, sizeof(invitation));
	if (invitation.job < pool->jobs_count) {
		search = invitation.search || (found.message.flags & BROOD_REDELIVERED);
		visit.index = invitation.job;
		visit.generation = invitation.generation;
		visit.left = chunks;
		visit.task.pool = pool;
		visit.task.seat = &pool->seats[seat];
		visit.task.job = brood__job(pool, invitation.job);
		visit.task.number = number;
		if (visit_job(&visit, search)) {
			if (search || brood_queue_put(queue, &invitation, sizeof(invitation), 0)) {
				result = brood_queue_return(queue, &found.message);
				brood__workers_call(pool, 1);
				return result;
			}
			brood__workers_call(pool, 1);
		}
	}
	return brood_queue_release(queue, &found.message);
}

/* ---- the process ---- */

bool brood__worker_begin(struct brood_pool *pool, uint32_t seat, uint32_t number)
{
	struct brood__seat *mine = &pool->seats[seat];
	uint64_t word = (uint64_t)number << 32 | BROOD__SEAT_STARTING;
	int id = brood__member_id(&brood__family.members);

	if (id < 0)
		return false;
	/* K6 */
	atomic_store(&mine->token, brood__token_of(&brood__family.members, (uint32_t)id));
	return atomic_compare_exchange_strong(&mine->word, &word,
					      (uint64_t)number << 32 | BROOD__SEAT_ALIVE);
}

static void seed(void)
{
	uint64_t random = brood__random();

	srand((unsigned int)random);
	srandom((unsigned int)(random >> 16));
	srand48((long)(random >> 32));
}

int brood__worker(struct brood_pool *pool, uint32_t seat, uint32_t number)
{
	uint64_t left = pool->max_tasks ? pool->max_tasks : UINT64_MAX;
	int result;

	if (!brood__worker_begin(pool, seat, number))
		return 1;
	seed();
	if (pool->initializer) {
		result = pool->initializer(pool->initializer_argument);
		if (result) {
			atomic_store(&pool->seats[seat].failure, result);
			return 1;
		}
	}
	atomic_store(&pool->seats[seat].word, (uint64_t)number << 32 | BROOD__SEAT_READY);
	do
		result = brood__worker_once(pool, seat, number, &left, BROOD_FOREVER);
	while (result == 0 && left);
	return 0;
}

/* ---- burial ---- */

static void answer_for_the_dead(struct brood_pool *pool, struct brood__job *job, uint64_t k,
				uint64_t word, int code, int exit_code, pid_t pid)
{
	char text[BROOD_POOL_TEXT];

	if (code == -EPIPE)
		snprintf(text, sizeof(text), "%s", pool->reason);
	else if (code == -ECANCELED)
		snprintf(text, sizeof(text), "pool terminated");
	else if (code == -ETIMEDOUT)
		snprintf(text, sizeof(text), "time limit of %.3f s exceeded: worker killed, pid %d",
			 (double)job->limit / 1e9, (int)pid);
	else if (exit_code < 0)
		snprintf(text, sizeof(text), "worker died: signal %d, pid %d", -exit_code,
			 (int)pid);
	else
		snprintf(text, sizeof(text), "worker died: exit code %d, pid %d", exit_code,
			 (int)pid);
	brood__job_note(job, k, exit_code, pid, text);
	if (atomic_compare_exchange_strong(&job->chunks[k], &word,	/* K3 */
					   brood__chunk_word((uint32_t)code, 0,
							     BROOD__CHUNK_FAILED)))
		atomic_fetch_add_explicit(&pool->failed, 1, memory_order_relaxed);
}

/* What becomes of the chunk that a dead worker was running: an error, or 0: it is run again. */
static int verdict(const struct brood_pool *pool, const struct brood__seat *seat,
		   const struct brood__job *job, uint64_t word)
{
	if (atomic_load(&seat->timed) & BROOD__CONDEMNED)
		return -ETIMEDOUT;
	if (brood__pool_state(pool) == BROOD__POOL_TERMINATED)
		return -ECANCELED;
	if (brood__pool_state(pool) == BROOD__POOL_BROKEN)
		return -EPIPE;
	return brood__chunk_tries(word) < job->retries ? 0 : -EOWNERDEAD;
}

/* Put the chunk back, and see that somebody comes for it. */
static bool put_back(struct brood_pool *pool, struct brood__job *job, uint32_t index,
		     uint32_t generation, uint64_t k, uint64_t word)
{
	if (brood__chunk_state(word) == BROOD__CHUNK_RUNNING)
		atomic_compare_exchange_strong(&job->chunks[k], &word,
					       brood__chunk_word(0, brood__chunk_tries(word) + 1,
								 BROOD__CHUNK_PENDING));
	return brood__job_invite(pool, index, generation, true) != -EAGAIN;
}

/* False: no room for an invitation. */
static bool settle(struct brood_pool *pool, struct brood__seat *seat, uint32_t index,
		   uint32_t generation, int exit_code)
{
	struct brood__job *job = brood__job(pool, index);
	uint32_t number = (uint32_t)(atomic_load(&seat->word) >> 32);
	uint64_t k = atomic_load(&seat->chunk), word;
	int code;

	if (brood__job_load(job) >> 32 != generation || k >= job->count)
		return true;
	word = atomic_load(&job->chunks[k]);
	/* Put back by a keeper that died then. */
	if (brood__chunk_state(word) == BROOD__CHUNK_PENDING && brood__chunk_tries(word))
		return put_back(pool, job, index, generation, k, word);
	if (brood__chunk_state(word) == BROOD__CHUNK_RUNNING && brood__chunk_who(word) == number) {
		code = verdict(pool, seat, job, word);
		if (!code)
			return put_back(pool, job, index, generation, k, word);
		answer_for_the_dead(pool, job, k, word, code, exit_code,
				    atomic_load(&seat->pid));
	}
	brood__job_tell(pool, job);
	return true;
}

bool brood__seat_bury(struct brood_pool *pool, uint32_t i, int exit_code)
{
	struct brood__seat *seat = &pool->seats[i];
	uint64_t inside = atomic_load(&seat->inside);
	uint32_t index = (uint32_t)inside - 1, spinner = i + 1;

	if (atomic_compare_exchange_strong(&pool->spinner, &spinner, 0))
		brood__wake_list(&brood__family.members, &pool->idle);
	if (inside && index < pool->jobs_count) {
		if (!settle(pool, seat, index, (uint32_t)(inside >> 32), exit_code))
			return false;
		brood__job_leave(pool, i, index);
	}
	atomic_store(&seat->timed, 0);
	atomic_store(&seat->word, 0);
	return true;
}
