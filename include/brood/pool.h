/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools: functions called in a fixed number of worker processes.
 *
 * A task is one call of a function with some argument bytes; it writes result bytes and returns 0
 * or an error code, with a text if it likes. Arguments and results lie in the family arena, of any
 * size: argument bytes that lie there already are used in place, others are copied once; results
 * are written where they will be read.
 *
 * Chunks. map and its kin make one job of n tasks, cut into chunks. A worker takes a chunk at a
 * time, in order. A task that fails ends its chunk: the tasks behind it in the chunk are not run.
 * A job costs the same to submit whatever n is, but for the copy of its arguments.
 *
 * Death. Each task is answered exactly once, whoever dies at whatever instruction. A worker that
 * is killed, or calls exit(), fails the chunk that it was running with -EOWNERDEAD and a text
 * ("worker died: signal 9, pid 1234"), or, with the option `retries`, that chunk is run again,
 * from its beginning. The worker is replaced at once. Other tasks do not notice. A member that
 * dies while its tasks are open: those not begun are dropped. A keeper process, a child of the
 * creator, starts the workers and buries them; if it is killed, its workers die with it, and
 * whoever next waits for the pool or submits to it starts another. A SIGTERM to the whole group,
 * or a signal that the creator handled when it made the pool, may end workers, not the keeper. The
 * creator's end ends the pool: at its normal end the pool is terminated; if it is killed, the keeper
 * notices and leaves nothing behind.
 *
 * A task's function gets its task, the bytes of its argument, aligned to 64 if it is the only task
 * of its job, and room for result_size bytes of result, zeroed unless the chunk is run again or
 * they are the submitter's own memory in the arena. It returns 0 or an error code, by convention
 * -errno.
 *
 * Functions are called in processes that were forked when the pool was created: what has been
 * loaded or written in the creator's own memory since then is not there. Like all forked processes,
 * workers and keeper hold copies of the descriptors that were open. Workers ignore SIGINT, and each
 * begins with seeds of its own for rand, random and drand48. What a task printed to stdio is
 * flushed when its worker has nothing to do. A task may start processes, make pools of its own, and
 * submit to any pool; one that waits for another task of its own pool needs a worker for it.
 *
 * Any member of the family may use a pool, from any thread: it is a pointer into the family arena.
 * A result or an iterator belongs to the process that submitted: -ECHILD elsewhere.
 *
 * Errors that any call may return: -EINVAL, -EBADF (no pool), -ESTALE (destroyed), -EUSERS (member
 * limit), -ENOSPC, -ENOMEM, -EDEADLK (a signal handler interrupted a call).
 */
#ifndef BROOD_POOL_H
#define BROOD_POOL_H

#include <stdbool.h>

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_pool;
struct brood_task;
struct brood_result;
struct brood_iterator;

#define BROOD_POOL_TEXT 104	/* bytes of an error's text, its end included */

struct brood_pool_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_pool_opts) */
	unsigned int workers;	/* 0 = the CPUs that the caller may use; at most 200 */
	unsigned int open_tasks;	/* jobs open at one time, all members together; 0 = 1024; at
					 * most 65536 */
	unsigned int max_tasks;	/* chunks after which a worker is replaced, 0 = no limit */
	int (*initializer)(void *);	/* called first in each worker: 0, or an error */
	void *initializer_argument;	/* as the creator's memory was at create */
	bool outlive_parent;	/* go on when the creator was killed, until closed */
	bool keep_sigint;	/* workers treat SIGINT as the creator does */
	bool progress;		/* brood_pool_map draws a bar on standard error, if that is a
				 * terminal */
	bool callback_thread;	/* callbacks run in one thread of the process that submitted, which
				 * is there while one is due; see brood_pool_poll */
};

struct brood_submit_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_submit_opts) */
	size_t chunk;		/* tasks a chunk; 0 = for map n / (4 * workers), rounded up, and 1
				 * for iterators */
	unsigned int retries;	/* how often a chunk is run again after its worker's death */
	int64_t limit;		/* nanoseconds that one task may run: its worker is killed, and the
				 * task fails with -ETIMEDOUT; 0 = no limit */
	void (*callback)(struct brood_result *result, void *argument);	/* see brood_pool_poll */
	void *callback_argument;
};

/* What went wrong, of the first task of a job that failed. */
struct brood_task_error {
	int code;		/* what the task returned; -EOWNERDEAD, -ETIMEDOUT, -ECANCELED,
				 * -EPIPE */
	int exit_code;		/* of a worker that died: 0 to 255, or -N for signal N */
	pid_t pid;		/* of the worker, or 0 */
	size_t task;		/* its index in the job */
	char text[BROOD_POOL_TEXT];
};

struct brood_pool_info {
	uint64_t done;		/* tasks answered with success since the pool was made */
	uint64_t failed;	/* chunks that failed, were cancelled or died */
	uint64_t queued;	/* tasks not begun */
	uint64_t running;	/* chunks being run now */
	uint64_t started;	/* workers ever started */
	unsigned int workers;	/* alive and ready now */
	double rate;		/* tasks done a second, since the pool was made */
};

/*
 * Create a pool; its workers start at once. NULL opts are the defaults. NULL with errno: EINVAL,
 * ENOSPC, EUSERS, EAGAIN or ENOMEM (fork). If the caller dies inside, nothing is left.
 */
BROOD_API struct brood_pool *brood_pool_create(const struct brood_pool_opts *opts);

/*
 * One task, and wait for it: its result is copied to `result`. 0, or what the task returned, or
 * -EOWNERDEAD, -ETIMEDOUT (limit), -ECANCELED (terminated meanwhile), -ESHUTDOWN (closed), -EPIPE
 * (broken: the initializer failed again and again, see brood_pool_reason).
 */
BROOD_API int brood_pool_apply(struct brood_pool *pool,
			       int (*function)(struct brood_task *, const void *, void *),
			       const void *argument, size_t length, void *result,
			       size_t result_size, const struct brood_submit_opts *opts);

/*
 * The same without waiting for it; the argument bytes are the caller's again, if they do not lie
 * in the arena. Waits for a place while open_tasks jobs are not finished, or are answered and
 * belong to another process. NULL with errno as above.
 */
BROOD_API struct brood_result *
brood_pool_apply_async(struct brood_pool *pool,
		       int (*function)(struct brood_task *, const void *, void *),
		       const void *argument, size_t length, size_t result_size,
		       const struct brood_submit_opts *opts);

/*
 * n tasks, one for each record of item_size bytes; result k goes to results + k * result_size.
 * Waits until all are answered, also when one has failed. 0, or the code of the first that failed;
 * the results of the others are there nevertheless. n may be 0; results may be NULL.
 */
BROOD_API int brood_pool_map(struct brood_pool *pool,
			     int (*function)(struct brood_task *, const void *, void *),
			     const void *items, size_t n, size_t item_size, void *results,
			     size_t result_size, const struct brood_submit_opts *opts);

/*
 * Without waiting. `results` is filled by brood_result_get, or directly, if it lies in the family
 * arena; NULL: look at them with brood_result_data.
 */
BROOD_API struct brood_result *
brood_pool_map_async(struct brood_pool *pool,
		     int (*function)(struct brood_task *, const void *, void *),
		     const void *items, size_t n, size_t item_size, void *results,
		     size_t result_size, const struct brood_submit_opts *opts);

/* The results one by one: in the order of the items, or as they come. No callbacks. */
BROOD_API struct brood_iterator *
brood_pool_imap(struct brood_pool *pool,
		int (*function)(struct brood_task *, const void *, void *),
		const void *items, size_t n, size_t item_size, size_t result_size,
		const struct brood_submit_opts *opts);
BROOD_API struct brood_iterator *
brood_pool_imap_unordered(struct brood_pool *pool,
			  int (*function)(struct brood_task *, const void *, void *),
			  const void *items, size_t n, size_t item_size, size_t result_size,
			  const struct brood_submit_opts *opts);

/*
 * The next result, copied to `result` (NULL = not wanted), and its index to *index (may be NULL).
 * 0, or, with the index, the error code of that task (-ECANCELED: not run, because one before it
 * in its chunk failed), and the next call goes on behind it. Without one (*index is SIZE_MAX):
 * -ENODATA at the end; -EAGAIN, -ETIMEDOUT, and the call may be repeated.
 */
BROOD_API int brood_iterator_next(struct brood_iterator *iterator, size_t *index, void *result,
				  int64_t timeout);
/* What was wrong with the last one: 0; -ENODATA, nothing. */
BROOD_API int brood_iterator_error(struct brood_iterator *iterator,
				   struct brood_task_error *error);
/* Drop it: tasks that are not begun are not run. */
BROOD_API int brood_iterator_free(struct brood_iterator *iterator);

/*
 * Wait until all of its tasks are answered. 0, -EAGAIN, -ETIMEDOUT.
 */
BROOD_API int brood_result_wait(struct brood_result *result, int64_t timeout);

/*
 * The same, copy up to `size` bytes of the results to data (may be NULL), and return the outcome,
 * as brood_pool_apply and _map; may be repeated. -EAGAIN and -ETIMEDOUT are also what a task may
 * have returned: brood_result_ready tells.
 */
BROOD_API int brood_result_get(struct brood_result *result, void *data, size_t size,
			       int64_t timeout);

/* Its results in place, good until it is freed. NULL with errno: EAGAIN, ENODATA (no results). */
BROOD_API const void *brood_result_data(struct brood_result *result);

/* 1 or 0: answered. 1 or 0: without an error; -EAGAIN before it is answered. */
BROOD_API int brood_result_ready(struct brood_result *result);
BROOD_API int brood_result_successful(struct brood_result *result);

/* The first error: 0; -ENODATA if there is none; -EAGAIN before it is answered. */
BROOD_API int brood_result_error(struct brood_result *result, struct brood_task_error *error);

/*
 * Chunks that have not been begun fail with -ECANCELED. 0 when no chunk had begun; -EBUSY: some
 * run to their end; -EALREADY: it was answered.
 */
BROOD_API int brood_result_cancel(struct brood_result *result);

/* Drop it, at any time; what is not begun is not run. NULL is fine. */
BROOD_API int brood_result_free(struct brood_result *result);

/*
 * Run the callbacks of the calling process's results that have been answered. A callback is run
 * once, by the first of poll, get and a successful wait, in that thread, before the call returns;
 * it may get and free its result and submit others. How many were run.
 *
 * With the option callback_thread they run in that thread alone, as results come; get and wait
 * may return before. Its signals are blocked. brood_pool_destroy waits for them, unless a callback
 * calls it. If no thread can be started, it is as without the option.
 */
BROOD_API int brood_pool_poll(struct brood_pool *pool);

/* No more tasks: later ones get -ESHUTDOWN. Workers end when all are answered. 0, twice too. */
BROOD_API int brood_pool_close(struct brood_pool *pool);

/*
 * Kill the workers; open tasks are answered with -ECANCELED. Does not wait. 0, twice too.
 */
BROOD_API int brood_pool_terminate(struct brood_pool *pool);

/*
 * Wait until all tasks are answered and all workers are gone. 0, twice too; -EBUSY: it was neither
 * closed nor terminated ("Pool is still running"); -EAGAIN, -ETIMEDOUT.
 */
BROOD_API int brood_pool_join(struct brood_pool *pool, int64_t timeout);

/*
 * Terminate, join, and free it. Results of the calling process keep their outcome. NULL is fine.
 */
BROOD_API int brood_pool_destroy(struct brood_pool *pool);

/* Figures, for any member, exact when nothing moves. */
BROOD_API int brood_pool_stat(struct brood_pool *pool, struct brood_pool_info *info);

/* Why the pool is broken: 0 and the text; -ENODATA, it is not. */
BROOD_API int brood_pool_reason(struct brood_pool *pool, char *text, size_t size);

/* ---- for a task's function ---- */

/* Fail with a text: return brood_task_fail(task, -EIO, "no disk"). Returns the code. */
BROOD_API int brood_task_fail(struct brood_task *task, int code, const char *text);
BROOD_API size_t brood_task_index(const struct brood_task *task);	/* in its job */
BROOD_API size_t brood_task_length(const struct brood_task *task);	/* of the argument */
BROOD_API size_t brood_task_result_size(const struct brood_task *task);
/* "ForkPoolWorker-k"; k counts the workers of the pool from 1. */
BROOD_API const char *brood_task_worker(const struct brood_task *task);

#ifdef __cplusplus
}
#endif

#endif
