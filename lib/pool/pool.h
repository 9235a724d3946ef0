/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 8: the pool in shared memory.
 *
 *	submitter       takes a job, fills it, opens it, puts invitations {job, generation}
 *	worker          leases an invitation, claims chunk after chunk of the job, runs and answers
 *			each, releases the invitation
 *	keeper          forks the workers, reaps them, answers what a dead one was running, ends all
 *
 * A job is in one of a table; its word tells what it is, by one CAS from one to the next:
 *
 *	{ generation:32 | id of a member + 1:16 | state:16 }
 *
 *	FREE --CAS--> FILLING(me) --> OPEN(me) --CAS--> CLOSED --CAS--> FREEING(me) --> FREE
 *
 * with the next generation. A job without a block goes from OPEN to FREE at once.
 *
 * FILLING and FREEING: the member's; its sweep finishes the freeing, whatever of it was done.
 * OPEN: the submitter may ask for the answer; its sweep closes the job, or hands it to another
 * member of the same process when the thread ended by itself. CLOSED: nobody wants it; it is freed
 * as soon as no worker is inside of it.
 *
 * A chunk is a word, 0 at first:
 *
 *	PENDING{tries} --CAS--> RUNNING{worker's number, tries} --CAS--> DONE or FAILED{code, task}
 *	   by a worker            by this worker, or, when it is dead and reaped, by the
 *				  keeper, which may also put it back: PENDING{tries + 1}
 *
 * So a chunk is answered by exactly one CAS. Which chunk a worker tries is told by a ticket,
 * `next`, drawn by fetch-and-add: nothing rests on it. A worker that dies between its ticket and
 * its CAS leaves a chunk PENDING that nobody will come to; but it dies with an invitation, which
 * the queue delivers again, flagged, and who gets such a one looks at all chunks up to `next`
 * first. What the keeper puts back gets an invitation of that sort.
 *
 * A seat is a worker's place. Its worker tells there which job it is inside of (a hazard: a job is
 * given to another submitter only when no seat names it) and which chunk it tries, each before it
 * does it. When it has died, the keeper looks at that chunk: RUNNING by this number is what it was
 * running. Then the seat is cleared, so every step may be repeated by another keeper:
 *
 *	0, vacant --keeper--> {number, STARTING} --CAS by the worker--> ALIVE --> READY --keeper--> 0
 *
 * The keeper's word holds its token. Whoever finds that member gone may start another keeper,
 * which takes the word by CAS, kills what the former left (the kernel does so as well, but may be
 * later), and buries it. A loser leaves.
 *
 * Edges (doc/memory-model.md). K1, the job: OPEN releases what was filled in -> the load of the
 * word by a worker with an invitation. K2, the hazard: the seat's `inside`, a seq_cst store, then
 * the load of the job's word -> the CAS FREE to FILLING or CLOSED to FREEING, then the loads of
 * all `inside`: one of them sees the other. K3, the answer: the CAS to DONE or FAILED releases
 * results and fault -> the acquire loads of who waits; seq_cst, it is W1 for the waiters. K4, the
 * last chunk: tickets, answers and the loads of `next` behind an answer are all seq_cst, so the
 * one who answers last sees that all tickets are drawn, and wakes. K5, the end: `state` changes by
 * seq_cst CAS before the jobs are looked at; a submitter looks at it behind OPEN; a worker behind
 * an answer. K6, the seat: its token, then ALIVE -> the keeper. K7, the spinner: an invitation,
 * then the load of `spinner` -> its clearing, a fence, and the spinner's next look.
 */
#ifndef BROOD_POOL_INTERNAL_H
#define BROOD_POOL_INTERNAL_H

#include <brood/pool.h>
#include <brood/process.h>
#include <brood/queue.h>

#include "arena/object.h"

#define BROOD__POOL_WORKERS_MAX 200u
#define BROOD__POOL_INLINE 256u		/* bytes of argument and result that need no block */
#define BROOD__POOL_FAULTS 8u		/* texts that a job of several chunks keeps */
#define BROOD__POOL_CHUNK_MAX ((1u << 24) - 1)

/* ---- words ---- */

enum brood__job_state {
	BROOD__JOB_FREE = 0,
	BROOD__JOB_FILLING,
	BROOD__JOB_OPEN,
	BROOD__JOB_CLOSED,
	BROOD__JOB_FREEING,
};

static inline uint64_t brood__job_word(uint32_t generation, uint32_t id_plus_1,
				       enum brood__job_state state)
{
	return (uint64_t)generation << 32 | (uint64_t)id_plus_1 << 16 | (uint64_t)state;
}

static inline enum brood__job_state brood__job_state(uint64_t word)
{
	return (enum brood__job_state)(word & 0xffff);
}

static inline uint32_t brood__job_member(uint64_t word)	/* + 1 */
{
	return (uint32_t)(word >> 16 & 0xffff);
}

/* A chunk: { worker's number, or code:32 | tries, or which of its tasks failed:24 | state:8 }. */
enum brood__chunk_state {
	BROOD__CHUNK_PENDING = 0,
	BROOD__CHUNK_RUNNING,
	BROOD__CHUNK_DONE,
	BROOD__CHUNK_FAILED,
};

static inline uint64_t brood__chunk_word(uint32_t who, uint32_t tries,
					 enum brood__chunk_state state)
{
	return (uint64_t)who << 32 | (uint64_t)(tries & BROOD__POOL_CHUNK_MAX) << 8 |
	       (uint64_t)state;
}

static inline enum brood__chunk_state brood__chunk_state(uint64_t word)
{
	return (enum brood__chunk_state)(word & 0xff);
}

static inline uint32_t brood__chunk_tries(uint64_t word)
{
	return (uint32_t)word >> 8;
}

static inline uint32_t brood__chunk_who(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline bool brood__chunk_answered(uint64_t word)
{
	return brood__chunk_state(word) >= BROOD__CHUNK_DONE;
}

/* ---- what lies in the arena ---- */

struct brood__fault {		/* of a chunk that failed */
	_Atomic uint64_t chunk;	/* + 1; 0 = not used */
	_Atomic int32_t exit_code;
	_Atomic int32_t pid;
	char text[BROOD_POOL_TEXT];
	uint64_t reserved;
};

_Static_assert(sizeof(struct brood__fault) == 128, "two lines");

struct brood__job {
	_Alignas(BROOD__LINE) _Atomic uint64_t word;
	_Atomic int32_t pid;	/* the submitter's process */
	uint32_t retries;
	int (*function)(struct brood_task *, const void *, void *);
	const char *items;
	char *results;
	size_t item_size, result_size;
	_Atomic uint64_t *chunks;

	size_t n;		/* tasks */
	uint32_t chunk;		/* tasks a chunk */
	uint32_t count;		/* chunks */
	int64_t limit;
	struct brood__fault *faults;	/* all but the first; NULL = there is no more */
	_Atomic uint64_t block;	/* offset of a block's content that is the job's; 0 = none */
	bool each;		/* somebody waits for single chunks */
	_Alignas(BROOD__LINE) _Atomic uint64_t next;
	uint64_t answered;		/* the keeper's: all chunks below are */
	struct brood__waitlist waiters;
	_Atomic uint64_t only;		/* the chunk of a job of one */
	struct brood__fault fault;	/* of the first that failed */
	_Alignas(BROOD__LINE) char bytes[BROOD__POOL_INLINE];
};

struct brood__home {		/* a block begins so: whose it is */
	uint64_t job;		/* offset */
	uint64_t generation;
	uint64_t magic;
};

enum brood__seat_phase {
	BROOD__SEAT_VACANT = 0,
	BROOD__SEAT_STARTING,
	BROOD__SEAT_ALIVE,
	BROOD__SEAT_READY,
};

struct brood__seat {
	_Alignas(BROOD__LINE) _Atomic uint64_t inside;	/* job + 1 | generation << 32; 0 = none */
	_Atomic uint64_t chunk;
	_Atomic uint64_t timed;		/* see worker.c: { count | TIMED | CONDEMNED } */
	_Atomic int64_t since;
	_Atomic int64_t limit;
	_Atomic uint64_t done, failed;	/* of all workers that had the seat */
	_Alignas(BROOD__LINE) _Atomic uint64_t word;	/* { number:32 | phase:32 } */
	_Atomic uint64_t token;
	_Atomic int32_t pid;
	_Atomic int32_t failure;	/* what the initializer returned */
};

enum brood__pool_state {
	BROOD__POOL_OPEN = 0,
	BROOD__POOL_CLOSED,
	BROOD__POOL_BROKEN,
	BROOD__POOL_TERMINATED,
};

struct brood_pool {
	struct brood__object object;
	/* The creator's. */
	uint64_t serial;	/* by chance: no other pool has it */
	struct brood_queue *_Atomic invitations;
	uint32_t workers, jobs_count, max_tasks;
	bool outlive_parent, keep_sigint, progress, callback_thread;
	int (*initializer)(void *);
	void *initializer_argument;
	pid_t creator;
	int64_t created;
	uint64_t jobs_at;	/* offset from the pool */
	/* Shared. */
	_Alignas(BROOD__LINE) _Atomic uint64_t keeper;	/* token; with STARTING, the creator's */
	_Atomic uint32_t state;
	_Atomic uint32_t ended;		/* no worker will ever run again */
	_Atomic uint32_t number;	/* of the last worker */
	_Atomic uint32_t hint;		/* where a free job may be */
	_Atomic uint32_t limited;	/* there has been a job with a time limit */
	_Atomic uint64_t failed;	/* by keepers and cancellers */
	struct brood__waitlist room, enders;
	_Alignas(BROOD__LINE) struct brood__waitlist idle;	/* workers */
	_Atomic uint32_t spinner;	/* seat + 1 of a worker that looks all the time */
	char reason[BROOD_POOL_TEXT];	/* before state is BROKEN */
	struct brood__seat seats[];	/* and one for the keeper's hazard */
};

#define BROOD__POOL_STARTING 1ull

struct brood__invitation {
	uint32_t job, generation;
	uint32_t search;	/* look at all chunks first */
	uint32_t reserved;
};

static inline struct brood__job *brood__job(struct brood_pool *pool, uint32_t i)
{
	return (struct brood__job *)(void *)((char *)pool + pool->jobs_at) + i;
}

static inline uint64_t brood__job_load(const struct brood__job *job)
{
	return atomic_load_explicit(&job->word, memory_order_seq_cst);	/* K1, K2 */
}

static inline bool brood__job_is(uint64_t word, uint32_t generation, enum brood__job_state state)
{
	return word >> 32 == generation && brood__job_state(word) == state;
}

static inline enum brood__pool_state brood__pool_state(const struct brood_pool *pool)
{
	/* K5 */
	return (enum brood__pool_state)atomic_load_explicit(&pool->state, memory_order_seq_cst);
}

static inline bool brood__pool_ended(const struct brood_pool *pool)
{
	return atomic_load_explicit(&pool->ended, memory_order_seq_cst);
}

/* ---- job.c ---- */

struct brood__work {		/* what is to be done */
	int (*function)(struct brood_task *, const void *, void *);
	const void *items;
	size_t n, item_size;
	void *results;		/* in the arena, or NULL */
	size_t result_size;
	struct brood_submit_opts opts;
	bool each;
};

/* Free job -> OPEN; the caller is inside the pool. -EAGAIN: all are taken. Then invite. */
int brood__job_open(const struct brood__call *call, const struct brood__work *work, uint32_t *index,
		    uint32_t *generation);
/* By who is not inside: 0; -EAGAIN: no room for the first; -EPIPE, -ESTALE: over. */
int brood__job_invite(struct brood_pool *pool, uint32_t index, uint32_t generation, bool search);
/* All chunks not begun fail with this code: how many. */
uint32_t brood__job_cancel(struct brood_pool *pool, struct brood__job *job, int code,
			   const char *text);
/* Nobody wants it any more. */
void brood__job_close(struct brood_segment *segment, struct brood_pool *pool, uint32_t index,
		      uint32_t generation);
/* Free a closed job if no worker is inside. */
void brood__job_reap(struct brood_segment *segment, struct brood_pool *pool, uint32_t index);
struct brood__cursor {
	uint64_t at;		/* all chunks below are answered */
	bool failed;		/* one of them by an error */
};

/* Whether all chunks are answered. */
bool brood__job_finished(const struct brood__job *job, struct brood__cursor *cursor);
/* The keeper, and whoever buries: be inside of an open job; leave it. */
bool brood__job_enter(struct brood_pool *pool, uint32_t index, uint64_t *word);
void brood__job_leave(struct brood_pool *pool, uint32_t seat, uint32_t index);
/* Behind an answer: wake who waits for it. */
void brood__job_tell(struct brood_pool *pool, struct brood__job *job);
void brood__job_note(struct brood__job *job, uint64_t chunk, int exit_code, pid_t pid,
		     const char *text);
const struct brood__fault *brood__job_fault(const struct brood__job *job, uint64_t chunk);
void brood__job_sweep(struct brood_segment *segment, struct brood_pool *pool, uint32_t index,
		      uint32_t member, bool clean);
/* Open jobs of a thread that ended, whose process is gone as well. */
void brood__job_orphans(struct brood_pool *pool);
/* All that jobs have in blocks. */
void brood__job_blocks_free(struct brood_segment *segment, struct brood_pool *pool);
bool brood__pool_finished(struct brood_pool *pool);	/* no job has an unanswered chunk */

/* ---- worker.c ---- */

/* Behind so many invitations: wake workers, if none comes without that. */
void brood__workers_call(struct brood_pool *pool, uint32_t n);

/* In the worker's process: until there is no more to do. Its exit code. */
int brood__worker(struct brood_pool *pool, uint32_t seat, uint32_t number);
/* Parts of it, for the tests: take the seat; one invitation: 0, or an error of the queue. */
bool brood__worker_begin(struct brood_pool *pool, uint32_t seat, uint32_t number);
int brood__worker_once(struct brood_pool *pool, uint32_t seat, uint32_t number, uint64_t *chunks,
		       int64_t timeout);
/*
 * Answer what the dead worker of a seat was running and clear the seat: false when there was no
 * room for an invitation: again, later.
 */
bool brood__seat_bury(struct brood_pool *pool, uint32_t seat, int exit_code);

#define BROOD__TIMED 1ull
#define BROOD__CONDEMNED 2ull

/* ---- keeper.c ---- */

int brood__keeper(void *pool);
/* Make it look. */
void brood__keeper_ring(struct brood_pool *pool);
bool brood__keeper_gone(const struct brood_pool *pool);
/* The same, and none that this process has started is on its way. */
bool brood__keeper_missing(const struct brood_pool *pool);
/*
 * By who is not inside. 0: there is one; 1: one has been started, look again in a while; -errno.
 */
int brood__keeper_ensure(struct brood_pool *pool);
/* Of this process: forget the keepers of this pool, which have ended or end now. */
void brood__keeper_forget(uint64_t serial);

/* ---- pool.c ---- */

struct brood_pool *brood__pool_make(const struct brood_pool_opts *opts);
int brood__pool_free(struct brood_pool *pool);
/* Whether a member of the creator's process lives, other than this one. */
bool brood__pool_creator_lives(const struct brood_pool *pool, uint32_t member);
/*
 * Waits of the pool come back with -EOWNERDEAD when they find the keeper gone. Then another is
 * started, and as long as it is coming we wait in slices. -EINTR: wait again.
 */
int brood__pool_patience(struct brood_pool *pool, int64_t deadline, int result, bool *patient);
int64_t brood__pool_slice(int64_t deadline, bool patient);

/* ---- result.c ---- */

/*
 * Of the calling process: take what is answered out of the pool, so that its jobs are free.
 * Whether anything was. The caller is inside.
 */
bool brood__results_harvest(const struct brood__call *call);

/* progress.c: draw it, or wipe it away. */
bool brood__bar_wanted(const struct brood_pool *pool);
void brood__bar_draw(uint64_t done, uint64_t total, int64_t since);
void brood__bar_end(void);

#endif
