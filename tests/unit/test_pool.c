/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pools, row by row of what Python promises of them. Deaths are in test_pool_death.c. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

#include <brood/pool.h>
#include <brood/process.h>
#include <brood/wait.h>

#include "support.h"

static struct {
	atomic_int begun, ended, most, calls;
	atomic_int order[64];
	atomic_bool go;
	pid_t pids[64];
	int64_t value;
	long seeds[64];
} *seen;

static void begin(void)
{
	begin_test();
	seen = shared(sizeof(*seen));
}

static struct brood_pool *make(unsigned int workers)
{
	struct brood_pool_opts opts = { .workers = workers };
	struct brood_pool *pool = brood_pool_create(&opts);

	ck_assert_ptr_nonnull(pool);
	return pool;
}

/* Pool and all that was in it. */
static void end(struct brood_pool *pool)
{
	struct brood_segment_info info;

	ck_assert_int_eq(brood_pool_destroy(pool), 0);
	ck_assert_int_eq(brood_segment_stat(NULL, &info), 0);
	ck_assert_uint_eq(info.objects, 0);
}

/* ---- tasks ---- */

static int square(struct brood_task *task, const void *argument, void *result)
{
	int64_t x;

	memcpy(&x, argument, sizeof(x));
	(void)task;
	x *= x;
	memcpy(result, &x, sizeof(x));
	return 0;
}

static int nothing(struct brood_task *task, const void *argument, void *result)
{
	(void)task, (void)argument, (void)result;
	atomic_fetch_add(&seen->calls, 1);
	return 0;
}

static int fail_all(struct brood_task *task, const void *argument, void *result)
{
	nothing(task, argument, result);
	return brood_task_fail(task, -EIO, "as asked");
}

/* Argument: the index of the one that fails. */
static int fail_one(struct brood_task *task, const void *argument, void *result)
{
	int64_t x = 1;

	nothing(task, argument, result);
	if (*(const int64_t *)argument)
		return brood_task_fail(task, -EBADMSG, "this one");
	memcpy(result, &x, sizeof(x));
	return 0;
}

static void until(atomic_int *counter, int least)
{
	while (atomic_load(counter) < least)
		sched_yield();
}

/* Until told to go; how many were at it at once. */
static int wait_for_go(struct brood_task *task, const void *argument, void *result)
{
	int now = atomic_fetch_add(&seen->begun, 1) + 1 - atomic_load(&seen->ended);
	int most = atomic_load(&seen->most);

	(void)argument, (void)result;
	atomic_store(&seen->order[now % 64], (int)brood_task_index(task));
	while (most < now && !atomic_compare_exchange_weak(&seen->most, &most, now))
		;
	while (!atomic_load(&seen->go))
		sched_yield();
	atomic_fetch_add(&seen->ended, 1);
	return 0;
}

static int note_pid(struct brood_task *task, const void *argument, void *result)
{
	pid_t pid = getpid();

	(void)task, (void)argument;
	memcpy(result, &pid, sizeof(pid));
	return 0;
}

static int apply_square(struct brood_pool *pool, int64_t x)
{
	int64_t result = -1;
	int error = brood_pool_apply(pool, square, &x, sizeof(x), &result, sizeof(result), NULL);

	return error ? error : (int)result;
}

/* ---- Pool(processes, initializer, initargs, maxtasksperchild) ---- */

START_TEST(test_processes_default_is_the_usable_cpus)
{
	struct brood_pool *pool = brood_pool_create(NULL);
	struct brood_pool_info info;
	cpu_set_t cpus;

	ck_assert_ptr_nonnull(pool);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	do {
		ck_assert_int_eq(brood_pool_stat(pool, &info), 0);
		sched_yield();
	} while (info.workers < (unsigned int)CPU_COUNT(&cpus));
	ck_assert_uint_eq(info.started, (unsigned int)CPU_COUNT(&cpus));
	end(pool);
}
END_TEST

START_TEST(test_options_refused)
{
	struct brood_pool_opts many = { .workers = 201 }, jobs = { .open_tasks = 65537 };
	struct brood_pool_opts size = { .opts_size = 3 };

	ck_assert_ptr_null(brood_pool_create(&many));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(brood_pool_create(&jobs));
	ck_assert_ptr_null(brood_pool_create(&size));
	ck_assert_int_eq(brood_pool_close(NULL), -EINVAL);
	ck_assert_int_eq(brood_pool_destroy(NULL), 0);
	ck_assert_int_eq(brood_pool_close((struct brood_pool *)&many), -EBADF);
}
END_TEST

static int initialize(void *argument)
{
	seen->value = *(int64_t *)argument;
	atomic_fetch_add(&seen->begun, 1);
	return 0;
}

START_TEST(test_initializer_and_initargs)
{
	int64_t value = 4711;
	struct brood_pool_opts opts = { .workers = 3, .initializer = initialize,
					.initializer_argument = &value };
	struct brood_pool *pool = brood_pool_create(&opts);

	until(&seen->begun, 3);
	ck_assert_int_eq(seen->value, 4711);
	ck_assert_int_eq(apply_square(pool, 3), 9);
	end(pool);
	ck_assert_int_eq(atomic_load(&seen->begun), 3);
}
END_TEST

static int tell_name(struct brood_task *task, const void *argument, void *result)
{
	(void)argument;
	snprintf(result, 32, "%s", brood_task_worker(task));
	return 0;
}

START_TEST(test_worker_names)
{
	struct brood_pool *pool = make(1);
	char name[32];

	ck_assert_int_eq(brood_pool_apply(pool, tell_name, NULL, 0, name, sizeof(name), NULL), 0);
	ck_assert_str_eq(name, "ForkPoolWorker-1");
	end(pool);
}
END_TEST

static int take_random(struct brood_task *task, const void *argument, void *result)
{
	long *numbers = result;

	wait_for_go(task, argument, NULL);
	numbers[0] = rand();
	numbers[1] = random();
	numbers[2] = lrand48();
	return 0;
}

START_TEST(test_random_seeds_differ)
{
	struct brood_pool *pool = make(2);
	struct brood_submit_opts opts = { .chunk = 1 };
	struct brood_result *result;
	const long *numbers;

	result = brood_pool_map_async(pool, take_random, NULL, 2, 0, NULL, 3 * sizeof(long), &opts);
	until(&seen->begun, 2);
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_result_wait(result, BROOD_FOREVER), 0);
	numbers = brood_result_data(result);
	for (int i = 0; i < 3; i++)
		ck_assert_int_ne(numbers[i], numbers[3 + i]);
	brood_result_free(result);
	end(pool);
}
END_TEST

/* ---- at most n at once ---- */

START_TEST(test_at_most_n_at_once)
{
	struct brood_pool *pool = make(4);
	struct brood_result *results[5];
	struct brood_pool_info info;

	for (int i = 0; i < 5; i++)
		results[i] = brood_pool_apply_async(pool, wait_for_go, NULL, 0, 0, NULL);
	until(&seen->begun, 4);
	ck_assert_int_eq(brood_pool_stat(pool, &info), 0);
	ck_assert_uint_eq(info.running, 4);
	ck_assert_uint_eq(info.queued, 1);
	ck_assert_int_eq(brood_result_ready(results[4]), 0);
	atomic_store(&seen->go, true);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(brood_result_get(results[i], NULL, 0, BROOD_FOREVER), 0);
		brood_result_free(results[i]);
	}
	ck_assert_int_eq(atomic_load(&seen->most), 4);
	end(pool);
}
END_TEST

/* ---- apply, apply_async ---- */

START_TEST(test_apply_blocks_and_answers)
{
	struct brood_pool *pool = make(2);

	for (int64_t x = 0; x < 2000; x++)
		ck_assert_int_eq(apply_square(pool, x), (int)(x * x));
	ck_assert_int_eq(brood_pool_apply(pool, fail_all, NULL, 0, NULL, 0, NULL), -EIO);
	ck_assert_int_eq(brood_pool_apply(pool, NULL, NULL, 0, NULL, 0, NULL), -EINVAL);
	end(pool);
}
END_TEST

static int note_order(struct brood_task *task, const void *argument, void *result)
{
	int at = atomic_fetch_add(&seen->begun, 1);

	(void)task, (void)result;
	atomic_store(&seen->order[at], *(const int *)argument);
	return 0;
}

START_TEST(test_apply_async_starts_in_submit_order)
{
	struct brood_pool *pool = make(1);
	struct brood_result *results[60];

	for (int i = 0; i < 60; i++)
		results[i] = brood_pool_apply_async(pool, note_order, &i, sizeof(i), 0, NULL);
	for (int i = 0; i < 60; i++) {
		ck_assert_int_eq(brood_result_wait(results[i], BROOD_FOREVER), 0);
		ck_assert_int_eq(atomic_load(&seen->order[i]), i);
		brood_result_free(results[i]);
	}
	end(pool);
}
END_TEST

/* More than the table has, and nobody frees one. */
START_TEST(test_apply_async_very_many)
{
	struct brood_pool_opts opts = { .workers = 2, .open_tasks = 16 };
	struct brood_pool *pool = brood_pool_create(&opts);
	struct brood_result *results[3000];
	int64_t value;

	for (int64_t i = 0; i < 3000; i++)
		results[i] = brood_pool_apply_async(pool, square, &i, sizeof(i), sizeof(i), NULL);
	for (int64_t i = 0; i < 3000; i++) {
		ck_assert_int_eq(brood_result_get(results[i], &value, sizeof(value), BROOD_FOREVER),
				 0);
		ck_assert_int_eq(value, i * i);
		ck_assert_int_eq(*(const int64_t *)brood_result_data(results[i]), i * i);
		brood_result_free(results[i]);
	}
	end(pool);
}
END_TEST

/* ---- map ---- */

START_TEST(test_map_in_input_order)
{
	struct brood_pool *pool = make(3);
	int64_t items[1000], results[1000];

	for (int i = 0; i < 1000; i++)
		items[i] = i;
	ck_assert_int_eq(brood_pool_map(pool, square, items, 1000, 8, results, 8, NULL), 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(results[i], (int64_t)i * i);
	end(pool);
}
END_TEST

START_TEST(test_map_waits_for_all_then_tells_the_first_error)
{
	struct brood_pool *pool = make(2);
	struct brood_submit_opts opts = { .chunk = 5 };
	int64_t items[100] = { [12] = 1 }, results[100];
	struct brood_task_error error;
	struct brood_result *result;

	result = brood_pool_map_async(pool, fail_one, items, 100, 8, results, 8, &opts);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), -EBADMSG);
	/* 13 and 14 are lost with it: the rest of its chunk. */
	ck_assert_int_eq(atomic_load(&seen->calls), 98);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(results[i], i < 12 || i > 14);
	ck_assert_int_eq(brood_result_error(result, &error), 0);
	ck_assert_int_eq(error.code, -EBADMSG);
	ck_assert_uint_eq(error.task, 12);
	ck_assert_str_eq(error.text, "this one");
	ck_assert_int_gt(error.pid, 0);
	brood_result_free(result);
	end(pool);
}
END_TEST

START_TEST(test_map_results_in_place)
{
	struct brood_pool *pool = make(2);
	int64_t *items = brood_alloc(NULL, 8 * 64), *results = brood_alloc(NULL, 8 * 64);
	struct brood_result *result;

	for (int i = 0; i < 64; i++)
		items[i] = i;
	result = brood_pool_map_async(pool, square, items, 64, 8, results, 8, NULL);
	ck_assert_int_eq(brood_result_wait(result, BROOD_FOREVER), 0);
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(results[i], i * i);
	ck_assert_ptr_eq(brood_result_data(result), results);
	brood_result_free(result);
	brood_free(NULL, items);
	brood_free(NULL, results);
	end(pool);
}
END_TEST

struct pair {
	int64_t a, b;
};

static int add(struct brood_task *task, const void *argument, void *result)
{
	const struct pair *pair = argument;
	int64_t sum = pair->a + pair->b;

	(void)task;
	memcpy(result, &sum, sizeof(sum));
	return 0;
}

START_TEST(test_starmap_is_a_struct)
{
	struct brood_pool *pool = make(2);
	struct pair pairs[50];
	int64_t sums[50];

	for (int i = 0; i < 50; i++)
		pairs[i] = (struct pair){ i, 1000 * i };
	ck_assert_int_eq(brood_pool_map(pool, add, pairs, 50, sizeof(*pairs), sums, 8, NULL), 0);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(sums[i], 1001 * i);
	end(pool);
}
END_TEST

/* Every chunk ends with its first task: so many calls, so many chunks. */
static int chunks_of(struct brood_pool *pool, size_t n)
{
	atomic_store(&seen->calls, 0);
	ck_assert_int_eq(brood_pool_map(pool, fail_all, NULL, n, 0, NULL, 0, NULL), -EIO);
	return atomic_load(&seen->calls);
}

START_TEST(test_default_chunksize_of_map)
{
	struct brood_pool *pool = make(4);

	ck_assert_int_eq(chunks_of(pool, 17), 9);		/* of 2 */
	ck_assert_int_eq(chunks_of(pool, 100), 15);		/* of 7 */
	ck_assert_int_eq(chunks_of(pool, 1000), 16);		/* of 63 */
	ck_assert_int_eq(chunks_of(pool, 3), 3);
	end(pool);
}
END_TEST

START_TEST(test_chunksize_refused)
{
	struct brood_submit_opts opts = { .chunk = (size_t)-1 };
	struct brood_submit_opts limit = { .limit = -1 };
	struct brood_pool *pool = make(1);
	int64_t x = 0;

	ck_assert_int_eq(brood_pool_map(pool, nothing, &x, 1, 8, NULL, 0, &opts), -EINVAL);
	ck_assert_ptr_null(brood_pool_imap(pool, nothing, &x, 1, 8, 0, &opts));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(brood_pool_map(pool, nothing, &x, 1, 8, NULL, 0, &limit), -EINVAL);
	ck_assert_int_eq(brood_pool_map(pool, nothing, NULL, 1, 8, NULL, 0, NULL), -EINVAL);
	ck_assert_int_eq(atomic_load(&seen->calls), 0);
	end(pool);
}
END_TEST

START_TEST(test_empty_input)
{
	struct brood_pool *pool = make(2);
	struct brood_result *result;
	struct brood_iterator *iterator;

	ck_assert_int_eq(brood_pool_map(pool, nothing, NULL, 0, 8, NULL, 0, NULL), 0);
	result = brood_pool_map_async(pool, nothing, NULL, 0, 8, NULL, 8, NULL);
	ck_assert_int_eq(brood_result_ready(result), 1);
	ck_assert_int_eq(brood_result_successful(result), 1);
	brood_result_free(result);
	iterator = brood_pool_imap(pool, nothing, NULL, 0, 8, 8, NULL);
	ck_assert_int_eq(brood_iterator_next(iterator, NULL, NULL, 0), -ENODATA);
	brood_iterator_free(iterator);
	end(pool);
}
END_TEST

/* ---- imap ---- */

START_TEST(test_imap_in_order)
{
	struct brood_pool *pool = make(3);
	struct brood_iterator *iterator;
	int64_t items[500], value;
	size_t index;

	for (int i = 0; i < 500; i++)
		items[i] = i;
	iterator = brood_pool_imap(pool, square, items, 500, 8, 8, NULL);
	for (size_t i = 0; i < 500; i++) {
		ck_assert_int_eq(brood_iterator_next(iterator, &index, &value, BROOD_FOREVER), 0);
		ck_assert_uint_eq(index, i);
		ck_assert_int_eq(value, (int64_t)(i * i));
	}
	ck_assert_int_eq(brood_iterator_next(iterator, &index, &value, BROOD_FOREVER), -ENODATA);
	ck_assert_uint_eq(index, SIZE_MAX);
	brood_iterator_free(iterator);
	end(pool);
}
END_TEST

START_TEST(test_imap_next_timeout)
{
	struct brood_pool *pool = make(1);
	struct brood_iterator *iterator = brood_pool_imap(pool, wait_for_go, NULL, 1, 0, 0, NULL);
	int64_t start = brood_now();
	size_t index = 0;

	ck_assert_int_eq(brood_iterator_next(iterator, NULL, NULL, 0), -EAGAIN);
	ck_assert_int_eq(brood_iterator_next(iterator, &index, NULL, brood_ms(30)), -ETIMEDOUT);
	ck_assert_uint_eq(index, SIZE_MAX);
	ck_assert_int_ge(brood_now() - start, 30 * MS);
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_iterator_next(iterator, &index, NULL, BROOD_FOREVER), 0);
	brood_iterator_free(iterator);
	end(pool);
}
END_TEST

START_TEST(test_imap_failure_in_its_place)
{
	struct brood_pool *pool = make(2);
	int64_t items[10] = { [4] = 1 }, value;
	struct brood_task_error error;
	struct brood_iterator *iterator = brood_pool_imap(pool, fail_one, items, 10, 8, 8, NULL);
	size_t index;

	for (size_t i = 0; i < 10; i++) {
		ck_assert_int_eq(brood_iterator_next(iterator, &index, &value, BROOD_FOREVER),
				 i == 4 ? -EBADMSG : 0);
		ck_assert_uint_eq(index, i);
		ck_assert_int_eq(brood_iterator_error(iterator, &error), i == 4 ? 0 : -ENODATA);
		if (i == 4)
			ck_assert_str_eq(error.text, "this one");
	}
	brood_iterator_free(iterator);
	end(pool);
}
END_TEST

/* The first one waits for the others. */
static int last_first(struct brood_task *task, const void *argument, void *result)
{
	(void)argument, (void)result;
	if (brood_task_index(task) == 0)
		until(&seen->ended, 3);
	return 0;
}

START_TEST(test_imap_unordered_as_they_finish)
{
	struct brood_pool *pool = make(2);
	struct brood_iterator *iterator;
	unsigned int got = 0;
	size_t index;

	iterator = brood_pool_imap_unordered(pool, last_first, NULL, 4, 0, 0, NULL);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_iterator_next(iterator, &index, NULL, BROOD_FOREVER), 0);
		ck_assert_uint_ne(index, 0);
		got |= 1u << index;
		atomic_fetch_add(&seen->ended, 1);
	}
	ck_assert_uint_eq(got, 14);
	ck_assert_int_eq(brood_iterator_next(iterator, &index, NULL, BROOD_FOREVER), 0);
	ck_assert_uint_eq(index, 0);
	ck_assert_int_eq(brood_iterator_next(iterator, &index, NULL, 0), -ENODATA);
	brood_iterator_free(iterator);
	end(pool);
}
END_TEST

START_TEST(test_imap_unordered_each_once)
{
	struct brood_pool *pool = make(3);
	struct brood_submit_opts opts = { .chunk = 7 };
	struct brood_iterator *iterator;
	int64_t items[1000], value;
	bool got[1000] = { false };
	size_t index;

	for (int i = 0; i < 1000; i++)
		items[i] = i;
	iterator = brood_pool_imap_unordered(pool, square, items, 1000, 8, 8, &opts);
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(brood_iterator_next(iterator, &index, &value, BROOD_FOREVER), 0);
		ck_assert_int_eq(value, (int64_t)(index * index));
		ck_assert(!got[index]);
		got[index] = true;
	}
	ck_assert_int_eq(brood_iterator_next(iterator, NULL, NULL, 0), -ENODATA);
	brood_iterator_free(iterator);
	end(pool);
}
END_TEST

/* ---- AsyncResult ---- */

START_TEST(test_result_get_wait_ready_successful)
{
	struct brood_pool *pool = make(1);
	struct brood_result *result = brood_pool_apply_async(pool, wait_for_go, NULL, 0, 8, NULL);
	struct brood_task_error error;

	ck_assert_int_eq(brood_result_ready(result), 0);
	ck_assert_int_eq(brood_result_successful(result), -EAGAIN);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, 0), -EAGAIN);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_eq(brood_result_wait(result, -5), -EAGAIN);
	ck_assert_int_eq(brood_result_error(result, &error), -EAGAIN);
	ck_assert_ptr_null(brood_result_data(result));
	ck_assert_int_eq(errno, EAGAIN);
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_result_wait(result, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_result_ready(result), 1);
	ck_assert_int_eq(brood_result_successful(result), 1);
	ck_assert_int_eq(brood_result_error(result, &error), -ENODATA);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, 0), 0);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, 0), 0);
	brood_result_free(result);
	result = brood_pool_apply_async(pool, fail_all, NULL, 0, 0, NULL);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), -EIO);
	ck_assert_int_eq(brood_result_successful(result), 0);
	ck_assert_int_eq(brood_result_error(result, &error), 0);
	ck_assert_str_eq(error.text, "as asked");
	brood_result_free(result);
	ck_assert_int_eq(brood_result_free(NULL), 0);
	end(pool);
}
END_TEST

static struct brood_result *inherited;

static int ask_for_parents_result(void *unused)
{
	(void)unused;
	must(brood_result_get(inherited, NULL, 0, 0) == -ECHILD);
	must(brood_result_ready(inherited) == -ECHILD);
	return 0;
}

START_TEST(test_result_is_the_submitters)
{
	struct brood_pool *pool = make(1);

	inherited = brood_pool_apply_async(pool, nothing, NULL, 0, 0, NULL);
	ck_assert_int_eq(run(ask_for_parents_result, NULL), 0);
	ck_assert_int_eq(brood_result_get(inherited, NULL, 0, BROOD_FOREVER), 0);
	brood_result_free(inherited);
	end(pool);
}
END_TEST

START_TEST(test_result_cancel)
{
	struct brood_pool *pool = make(1);
	struct brood_result *running, *queued, *done;

	done = brood_pool_apply_async(pool, nothing, NULL, 0, 0, NULL);
	ck_assert_int_eq(brood_result_wait(done, BROOD_FOREVER), 0);
	running = brood_pool_apply_async(pool, wait_for_go, NULL, 0, 0, NULL);
	until(&seen->begun, 1);
	queued = brood_pool_apply_async(pool, nothing, NULL, 0, 0, NULL);
	ck_assert_int_eq(brood_result_cancel(queued), 0);
	ck_assert_int_eq(brood_result_cancel(running), -EBUSY);
	ck_assert_int_eq(brood_result_cancel(done), -EALREADY);
	ck_assert_int_eq(brood_result_get(queued, NULL, 0, 0), -ECANCELED);
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_result_get(running, NULL, 0, BROOD_FOREVER), 0);
	brood_result_free(running);
	brood_result_free(queued);
	brood_result_free(done);
	ck_assert_int_eq(brood_pool_close(pool), 0);
	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), 0);
	ck_assert_int_eq(atomic_load(&seen->calls), 1);
	end(pool);
}
END_TEST

/* ---- callbacks ---- */

static pthread_t called_in;
static int called;

static void callback(struct brood_result *result, void *argument)
{
	called_in = pthread_self();
	called++;
	ck_assert_ptr_eq(argument, &called);
	ck_assert_int_eq(brood_result_ready(result), 1);
	if (called == 3)
		brood_result_free(result);
}

START_TEST(test_callbacks_run_in_poll)
{
	struct brood_submit_opts opts = { .callback = callback, .callback_argument = &called };
	struct brood_pool *pool = make(2);
	struct brood_result *results[5];
	int n = 0;

	called = 0;
	for (int i = 0; i < 5; i++)
		results[i] = brood_pool_apply_async(pool, nothing, NULL, 0, 0, &opts);
	while (n < 5) {
		int polled = brood_pool_poll(pool);

		ck_assert_int_ge(polled, 0);
		n += polled;
		sched_yield();
	}
	ck_assert_int_eq(called, 5);
	ck_assert(pthread_equal(called_in, pthread_self()));
	ck_assert_int_eq(brood_pool_poll(pool), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(brood_result_get(results[i], NULL, 0, 0), 0);
		brood_result_free(results[i]);
	}
	ck_assert_int_eq(called, 5);
	end(pool);
}
END_TEST

static pthread_t called_in;
static atomic_int calls_made;

static void note_the_thread(struct brood_result *r, void *argument)
{
	int64_t value = 0;

	called_in = pthread_self();
	if (brood_result_get(r, &value, sizeof(value), 0) == 0 && value == *(int64_t *)argument)
		atomic_fetch_add(&calls_made, 1);
	brood_result_free(r);
}

static struct brood_result *submit_with_callback(struct brood_pool *pool, const int64_t *x,
						 int64_t *squared)
{
	const struct brood_submit_opts opts = { .callback = note_the_thread,
						.callback_argument = squared };

	*squared = *x * *x;
	return brood_pool_apply_async(pool, square, x, sizeof(*x), sizeof(*x), &opts);
}

static void wait_for_calls(int n)
{
	for (int i = 0; i < 5000 && atomic_load(&calls_made) < n; i++)
		usleep(1000);
	ck_assert_int_eq(atomic_load(&calls_made), n);
}

/* It closes what it had behind its last callback. */
static void wait_for_its_end(void)
{
	char path[64];
	DIR *tasks;
	int n = 2;

	snprintf(path, sizeof(path), "/proc/%d/task", getpid());
	for (int i = 0; i < 5000 && n > 1; i++) {
		tasks = opendir(path);
		for (n = -2; readdir(tasks); n++)
			;
		closedir(tasks);
		if (n > 1)
			usleep(1000);
	}
	ck_assert_int_eq(n, 1);
}

/* Nobody polls or gets: one thread does it, which is gone when nothing is due, and comes again. */
START_TEST(test_callbacks_in_one_contained_thread)
{
	const struct brood_pool_opts opts = { .workers = 2, .callback_thread = true };
	struct brood_pool *pool = brood_pool_create(&opts);
	int64_t x[100], squared[100];

	ck_assert_ptr_nonnull(pool);
	for (int64_t i = 0; i < 100; i++) {
		x[i] = i;
		ck_assert_ptr_nonnull(submit_with_callback(pool, &x[i], &squared[i]));
		ck_assert_int_ge(brood_pool_poll(pool), 0);
		if (i == 49)
			wait_for_calls(50);
	}
	wait_for_calls(100);
	ck_assert(!pthread_equal(called_in, pthread_self()));
	wait_for_its_end();
	end(pool);
}
END_TEST

static atomic_int told;

static void tell(struct brood_result *r, void *argument)
{
	(void)argument;
	if (brood_result_get(r, NULL, 0, 0) == -ECANCELED)
		atomic_fetch_add(&told, 1);
}

/* Open at the end: each is told so before destroy returns; one that was freed before is not. */
START_TEST(test_callback_thread_at_destroy)
{
	const struct brood_pool_opts opts = { .workers = 1, .callback_thread = true };
	const struct brood_submit_opts with = { .callback = tell };
	struct brood_pool *pool = brood_pool_create(&opts);
	struct brood_result *r[4];

	ck_assert_ptr_nonnull(pool);
	for (int i = 0; i < 4; i++) {
		r[i] = brood_pool_apply_async(pool, wait_for_go, NULL, 0, 0, &with);
		ck_assert_ptr_nonnull(r[i]);
	}
	ck_assert_int_eq(brood_result_free(r[3]), 0);
	ck_assert_int_eq(brood_pool_destroy(pool), 0);
	ck_assert_int_eq(atomic_load(&told), 3);
	wait_for_its_end();
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_result_get(r[i], NULL, 0, 0), -ECANCELED);
		brood_result_free(r[i]);
	}
}
END_TEST

START_TEST(test_callback_comes_before_get_returns)
{
	struct brood_submit_opts opts = { .callback = callback, .callback_argument = &called };
	struct brood_pool *pool = make(2);
	struct brood_result *result;

	called = 0;
	result = brood_pool_map_async(pool, nothing, NULL, 100, 0, NULL, 0, &opts);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), 0);
	ck_assert_int_eq(called, 1);
	ck_assert_int_eq(brood_pool_poll(pool), 0);
	brood_result_free(result);
	ck_assert_int_eq(brood_pool_apply(pool, nothing, NULL, 0, NULL, 0, &opts), 0);
	ck_assert_int_eq(called, 2);
	end(pool);
}
END_TEST

/* ---- close, join, terminate ---- */

START_TEST(test_close_then_submit)
{
	struct brood_pool *pool = make(1);

	ck_assert_int_eq(brood_pool_close(pool), 0);
	ck_assert_int_eq(brood_pool_close(pool), 0);
	ck_assert_int_eq(apply_square(pool, 1), -ESHUTDOWN);
	ck_assert_ptr_null(brood_pool_apply_async(pool, nothing, NULL, 0, 0, NULL));
	ck_assert_int_eq(errno, ESHUTDOWN);
	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), 0);
	ck_assert_int_eq(apply_square(pool, 1), -ESHUTDOWN);
	end(pool);
}
END_TEST

START_TEST(test_join_before_close)
{
	struct brood_pool *pool = make(1);

	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), -EBUSY);
	end(pool);
}
END_TEST

START_TEST(test_join_waits_for_all_tasks_and_workers)
{
	struct brood_pool *pool = make(2);
	struct brood_result *results[20];

	for (int i = 0; i < 20; i++)
		results[i] = brood_pool_apply_async(pool, wait_for_go, NULL, 0, 0, NULL);
	ck_assert_int_eq(brood_pool_close(pool), 0);
	ck_assert_int_eq(brood_pool_join(pool, 0), -EAGAIN);
	ck_assert_int_eq(brood_pool_join(pool, brood_ms(20)), -ETIMEDOUT);
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), 0);
	ck_assert_int_eq(atomic_load(&seen->ended), 20);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(brood_result_get(results[i], NULL, 0, 0), 0);
		brood_result_free(results[i]);
	}
	end(pool);
}
END_TEST

START_TEST(test_terminate_answers_every_open_task)
{
	struct brood_pool *pool = make(2);
	struct brood_result *results[10];
	struct brood_task_error error;

	for (int i = 0; i < 10; i++)
		results[i] = brood_pool_apply_async(pool, wait_for_go, NULL, 0, 0, NULL);
	until(&seen->begun, 2);
	ck_assert_int_eq(brood_pool_terminate(pool), 0);
	ck_assert_int_eq(brood_pool_terminate(pool), 0);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(brood_result_get(results[i], NULL, 0, BROOD_FOREVER), -ECANCELED);
		ck_assert_int_eq(brood_result_error(results[i], &error), 0);
		ck_assert_str_eq(error.text, "pool terminated");
	}
	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), 0);
	ck_assert_int_eq(atomic_load(&seen->begun), 2);
	for (int i = 0; i < 10; i++)
		brood_result_free(results[i]);
	end(pool);
}
END_TEST

START_TEST(test_destroy_is_terminate)
{
	struct brood_pool *pool = make(1);
	struct brood_result *running = brood_pool_apply_async(pool, wait_for_go, NULL, 0, 0, NULL);
	struct brood_result *done;
	int64_t x = 3, value = 0;

	until(&seen->begun, 1);
	end(pool);
	ck_assert_int_eq(brood_result_get(running, NULL, 0, 0), -ECANCELED);
	brood_result_free(running);
	ck_assert_int_eq(brood_pool_close(pool), -ESTALE);
	pool = make(1);
	done = brood_pool_apply_async(pool, square, &x, 8, 8, NULL);
	ck_assert_int_eq(brood_result_wait(done, BROOD_FOREVER), 0);
	end(pool);
	ck_assert_int_eq(brood_result_get(done, &value, 8, 0), 0);
	ck_assert_int_eq(value, 9);
	brood_result_free(done);
}
END_TEST

/* ---- maxtasksperchild ---- */

START_TEST(test_max_tasks_counts_chunks)
{
	struct brood_pool_opts opts = { .workers = 1, .max_tasks = 3 };
	struct brood_submit_opts two = { .chunk = 2 };
	struct brood_pool *pool = brood_pool_create(&opts);
	struct brood_pool_info info;
	pid_t pids[20];
	int most = 0;

	ck_assert_int_eq(brood_pool_map(pool, note_pid, NULL, 20, 0, pids, sizeof(*pids), &two), 0);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(pids[i], pids[i / 6 * 6]);
	for (int i = 6; i < 20; i += 6)
		ck_assert_int_ne(pids[i], pids[i - 6]);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(brood_pool_apply(pool, note_pid, NULL, 0, &pids[i], sizeof(*pids),
						  NULL), 0);
		most += i && pids[i] != pids[i - 1];
	}
	ck_assert_int_ge(most, 3);
	ck_assert_int_eq(brood_pool_stat(pool, &info), 0);
	ck_assert_uint_ge(info.started, 6);
	end(pool);
}
END_TEST

/* ---- use from children, threads, other pools ---- */

static int submit_in_child(void *pool)
{
	for (int i = 0; i < 100; i++)
		must(apply_square(pool, i) == i * i);
	return 0;
}

START_TEST(test_pool_used_from_children)
{
	struct brood_pool *pool = make(2);
	pid_t children[3];

	for (int i = 0; i < 3; i++)
		children[i] = start(submit_in_child, pool);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(children[i]), 0);
	end(pool);
}
END_TEST

static void *submit_in_thread(void *pool)
{
	for (int i = 0; i < 200; i++)
		if (apply_square(pool, i) != i * i)
			return pool;
	return NULL;
}

static void *submit_and_leave(void *pool)
{
	return brood_pool_apply_async(pool, wait_for_go, NULL, 0, 0, NULL);
}

START_TEST(test_pool_used_from_many_threads)
{
	struct brood_pool *pool = make(2);
	pthread_t threads[6];
	void *result;

	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, submit_in_thread, pool), 0);
	for (int i = 0; i < 6; i++) {
		pthread_join(threads[i], &result);
		ck_assert_ptr_null(result);
	}
	/* What a thread submitted that is gone is its process's. */
	pthread_create(&threads[0], NULL, submit_and_leave, pool);
	pthread_join(threads[0], &result);
	ck_assert_ptr_nonnull(result);
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), 0);
	brood_result_free(result);
	end(pool);
}
END_TEST

static int nested(struct brood_task *task, const void *argument, void *result)
{
	struct brood_pool *pool = make(2);
	int64_t items[10] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, squares[10], sum = 0;
	int error = brood_pool_map(pool, square, items, 10, 8, squares, 8, NULL);

	(void)task, (void)argument;
	for (int i = 0; i < 10; i++)
		sum += squares[i];
	memcpy(result, &sum, sizeof(sum));
	return error ? error : brood_pool_destroy(pool);
}

START_TEST(test_pool_in_a_worker)
{
	struct brood_pool *pool = make(2);
	int64_t sums[4];

	ck_assert_int_eq(brood_pool_map(pool, nested, NULL, 4, 0, sums, 8, NULL), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(sums[i], 385);
	end(pool);
}
END_TEST

/* ---- memory ---- */

enum { MIB = 1 << 20 };

static int reverse(struct brood_task *task, const void *argument, void *result)
{
	const char *from = argument;
	char *to = result;
	size_t n = brood_task_length(task);

	for (size_t i = 0; i < n; i++)
		to[i] = from[n - 1 - i];
	return brood_task_result_size(task) == n ? 0 : -EINVAL;
}

START_TEST(test_a_mebibyte_there_and_back)
{
	struct brood_pool *pool = make(2);
	char *data = malloc(MIB), *copy = malloc(MIB);
	struct brood_result *result;
	const char *bytes;

	for (int i = 0; i < MIB; i++)
		data[i] = (char)(i * 7 / 3);
	result = brood_pool_apply_async(pool, reverse, data, MIB, MIB, NULL);
	ck_assert_int_eq(brood_result_get(result, copy, MIB, BROOD_FOREVER), 0);
	bytes = brood_result_data(result);
	for (int i = 0; i < MIB; i++)
		if (copy[i] != data[MIB - 1 - i] || bytes[i] != copy[i])
			ck_abort_msg("byte %d", i);
	brood_result_free(result);
	free(data);
	free(copy);
	end(pool);
}
END_TEST

static int where(struct brood_task *task, const void *argument, void *result)
{
	(void)task;
	memcpy(result, &argument, sizeof(argument));
	return 0;
}

START_TEST(test_arguments_in_the_arena_are_not_copied)
{
	struct brood_pool *pool = make(1);
	char *data = brood_alloc(NULL, MIB);
	void *there;

	ck_assert_int_eq(brood_pool_apply(pool, where, data, MIB, &there, sizeof(there), NULL), 0);
	ck_assert_ptr_eq(there, data);
	brood_free(NULL, data);
	end(pool);
}
END_TEST

START_TEST(test_memory_of_a_task_is_released)
{
	struct brood_pool *pool = make(2);
	struct brood_segment_info before, now;
	char *data = calloc(1, MIB);
	struct brood_result *result;

	ck_assert_int_eq(apply_square(pool, 1), 1);
	ck_assert_int_eq(brood_segment_stat(NULL, &before), 0);
	for (int i = 0; i < 50; i++) {
		result = brood_pool_apply_async(pool, reverse, data, MIB, MIB, NULL);
		if (i % 2)
			ck_assert_int_eq(brood_result_wait(result, BROOD_FOREVER), 0);
		brood_result_free(result);
	}
	do {
		ck_assert_int_eq(brood_segment_stat(NULL, &now), 0);
		sched_yield();
	} while (now.bytes_used != before.bytes_used || now.objects != before.objects);
	free(data);
	end(pool);
}
END_TEST

START_TEST(test_stat_readable_by_any_member)
{
	struct brood_pool *pool = make(2);
	struct brood_pool_info info;

	ck_assert_int_eq(brood_pool_map(pool, nothing, NULL, 1000, 0, NULL, 0, NULL), 0);
	ck_assert_int_eq(brood_pool_apply(pool, fail_all, NULL, 0, NULL, 0, NULL), -EIO);
	do
		ck_assert_int_eq(brood_pool_stat(pool, &info), 0);
	while (info.done < 1000 || info.failed < 1);	/* counted behind the answer */
	ck_assert_uint_eq(info.done, 1000);
	ck_assert_uint_eq(info.failed, 1);
	ck_assert_uint_eq(info.queued, 0);
	ck_assert_double_gt(info.rate, 0);
	ck_assert_int_eq(brood_pool_stat(pool, NULL), -EINVAL);
	end(pool);
}
END_TEST

/* ---- the creator's signals ---- */

static void on_usr1(int signal)
{
	(void)signal;
	atomic_fetch_add(&seen->calls, 1);
}

static int raise_usr1(struct brood_task *task, const void *argument, void *result)
{
	(void)task, (void)argument, (void)result;
	raise(SIGUSR1);
	return 0;
}

START_TEST(test_signals_are_the_creators)
{
	struct brood_pool *pool;

	ck_assert(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	ck_assert(signal(SIGUSR1, on_usr1) != SIG_ERR);
	pool = make(2);
	ck_assert_int_eq(brood_pool_map(pool, raise_usr1, NULL, 10, 0, NULL, 0, NULL), 0);
	ck_assert_int_eq(atomic_load(&seen->calls), 10);
	ck_assert_int_eq(brood_pool_apply(pool, fail_all, NULL, 0, NULL, 0, NULL), -EIO);
	end(pool);
}
END_TEST

/* ---- stdio ---- */

static int say(struct brood_task *task, const void *argument, void *result)
{
	(void)argument, (void)result;
	printf("task %zu\n", brood_task_index(task));
	return 0;
}

static int print_into(void *name)
{
	struct brood_pool *pool;

	must(freopen(name, "w", stdout));
	printf("once\n");
	pool = make(2);
	must(brood_pool_map(pool, say, NULL, 5, 0, NULL, 0, NULL) == 0);
	must(brood_pool_close(pool) == 0 && brood_pool_join(pool, BROOD_FOREVER) == 0);
	must(brood_pool_destroy(pool) == 0);
	fflush(stdout);
	return 0;
}

START_TEST(test_output_into_a_file_once)
{
	char name[] = "/tmp/test_pool.XXXXXX", line[64];
	int fd = mkstemp(name), once = 0, lines = 0;
	FILE *file;

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(run(print_into, name), 0);
	file = fopen(name, "re");
	while (fgets(line, sizeof(line), file)) {
		once += strcmp(line, "once\n") == 0;
		lines++;
	}
	fclose(file);
	unlink(name);
	ck_assert_int_eq(once, 1);
	ck_assert_int_eq(lines, 6);
}
END_TEST

/* ---- waiting for many ---- */

static int slow_square(struct brood_task *task, const void *argument, void *result)
{
	usleep(*(const int64_t *)argument == 3 ? 200000 : 20000);
	return square(task, argument, result);
}

START_TEST(test_wait_list_with_results)
{
	const int64_t x[2] = { 3, 5 };
	struct brood_pool *pool = make(2);
	struct brood_waitable items[2];
	struct brood_result *r[2];
	int64_t value;

	for (int i = 0; i < 2; i++) {
		r[i] = brood_pool_apply_async(pool, slow_square, &x[i], sizeof(x[i]), sizeof(value),
					      NULL);
		ck_assert_ptr_nonnull(r[i]);
		items[i] = (struct brood_waitable){ .kind = BROOD_WAIT_RESULT, .object = r[i] };
	}
	ck_assert_int_eq(brood_wait(items, 2, 0), -EAGAIN);
	ck_assert_int_eq(brood_wait(items, 2, BROOD_FOREVER), 1);
	ck_assert_uint_eq(items[0].ready, 0);
	ck_assert_uint_eq(items[1].ready, BROOD_READABLE);
	ck_assert_int_eq(brood_result_get(r[1], &value, sizeof(value), 0), 0);
	ck_assert_int_eq(value, 25);
	ck_assert_int_eq(brood_wait(items, 1, brood_ms(10)), -ETIMEDOUT);
	ck_assert_int_eq(brood_wait(items, 1, BROOD_FOREVER), 1);
	ck_assert_int_eq(brood_result_get(r[0], &value, sizeof(value), 0), 0);
	ck_assert_int_eq(value, 9);
	ck_assert_int_eq(brood_wait(items, 2, 0), 2);
	items[0].events = BROOD_WRITABLE;
	ck_assert_int_eq(brood_wait(items, 1, 0), -EINVAL);
	items[0].events = BROOD_READABLE;
	brood_pool_terminate(pool);
	brood_pool_join(pool, BROOD_FOREVER);
	ck_assert_int_eq(brood_wait(items, 2, 0), 2);
	brood_result_free(r[0]);
	brood_result_free(r[1]);
	end(pool);
}
END_TEST

/* The keeper dies, its workers with it: who waits for many is told, and get starts another. */
START_TEST(test_wait_list_and_a_dead_keeper)
{
	const struct brood_submit_opts opts = { .retries = 5 };
	const int64_t x = 3;
	struct brood_pool *pool = make(1);
	struct brood_process *children[4];
	struct brood_waitable item = { .kind = BROOD_WAIT_RESULT };
	struct brood_result *r = brood_pool_apply_async(pool, slow_square, &x, sizeof(x),
							sizeof(x), &opts);
	int64_t value;
	int result;

	ck_assert_ptr_nonnull(r);
	item.object = r;
	ck_assert_uint_eq(brood_active_children(children, 4), 1);
	ck_assert_int_eq(brood_process_kill(children[0]), 0);
	do {
		ck_assert_int_eq(brood_wait(&item, 1, brood_ms(20000)), 1);
		result = brood_result_get(r, &value, sizeof(value), 0);
	} while (result == -EAGAIN);
	ck_assert_int_eq(result, 0);
	ck_assert_int_eq(value, 9);
	brood_result_free(r);
	end(pool);
}
END_TEST

/* ---- progress ---- */

static int slow_once(struct brood_task *task, const void *argument, void *result)
{
	if (brood_task_index(task) == 9)
		usleep(150000);		/* so that there is time for a bar */
	return nothing(task, argument, result);
}

static int map_with_bar(void *fd)
{
	struct brood_pool_opts opts = { .workers = 1, .progress = true };
	struct brood_submit_opts chunk = { .chunk = 1 };
	struct brood_pool *pool;

	must(dup2(*(int *)fd, STDERR_FILENO) >= 0);
	pool = brood_pool_create(&opts);
	must(brood_pool_map(pool, slow_once, NULL, 10, 0, NULL, 0, &chunk) == 0);
	must(brood_pool_destroy(pool) == 0);
	return 0;
}

/* What came out of the other end by then. */
static void read_all(int fd, char *text, size_t size)
{
	ssize_t n;
	size_t at = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (at < size - 1 && (n = read(fd, text + at, size - 1 - at)) > 0)
		at += (size_t)n;
	text[at] = 0;
}

START_TEST(test_progress_bar_on_a_terminal)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	char text[4096];

	ck_assert_int_ge(master, 0);
	ck_assert_int_eq(grantpt(master), 0);
	ck_assert_int_eq(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(slave, 0);
	ck_assert_int_eq(run(map_with_bar, &slave), 0);
	read_all(master, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "\r[####"));
	ck_assert_ptr_nonnull(strstr(text, "100 %  10/10"));
	close(slave);
	close(master);
}
END_TEST

START_TEST(test_no_progress_bar_in_a_pipe)
{
	char text[64];
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(run(map_with_bar, &fds[1]), 0);
	read_all(fds[0], text, sizeof(text));
	ck_assert_str_eq(text, "");
	close(fds[0]);
	close(fds[1]);
}
END_TEST

int main(void)
{
	TCase *pools = new_case("pools", begin);
	TCase *tasks = new_case("tasks", begin);
	TCase *results = new_case("results", begin);
	TCase *ends = new_case("ends", begin);
	TCase *uses = new_case("uses", begin);

	tcase_add_test(pools, test_processes_default_is_the_usable_cpus);
	tcase_add_test(pools, test_options_refused);
	tcase_add_test(pools, test_initializer_and_initargs);
	tcase_add_test(pools, test_worker_names);
	tcase_add_test(pools, test_random_seeds_differ);
	tcase_add_test(pools, test_at_most_n_at_once);
	tcase_add_test(pools, test_max_tasks_counts_chunks);
	tcase_add_test(tasks, test_apply_blocks_and_answers);
	tcase_add_test(tasks, test_apply_async_starts_in_submit_order);
	tcase_add_test(tasks, test_apply_async_very_many);
	tcase_add_test(tasks, test_map_in_input_order);
	tcase_add_test(tasks, test_map_waits_for_all_then_tells_the_first_error);
	tcase_add_test(tasks, test_map_results_in_place);
	tcase_add_test(tasks, test_starmap_is_a_struct);
	tcase_add_test(tasks, test_default_chunksize_of_map);
	tcase_add_test(tasks, test_chunksize_refused);
	tcase_add_test(tasks, test_empty_input);
	tcase_add_test(tasks, test_imap_in_order);
	tcase_add_test(tasks, test_imap_next_timeout);
	tcase_add_test(tasks, test_imap_failure_in_its_place);
	tcase_add_test(tasks, test_imap_unordered_as_they_finish);
	tcase_add_test(tasks, test_imap_unordered_each_once);
	tcase_add_test(results, test_result_get_wait_ready_successful);
	tcase_add_test(results, test_result_is_the_submitters);
	tcase_add_test(results, test_result_cancel);
	tcase_add_test(results, test_callbacks_run_in_poll);
	tcase_add_test(results, test_callback_comes_before_get_returns);
	tcase_add_test(results, test_callbacks_in_one_contained_thread);
	tcase_add_test(results, test_callback_thread_at_destroy);
	tcase_add_test(ends, test_close_then_submit);
	tcase_add_test(ends, test_join_before_close);
	tcase_add_test(ends, test_join_waits_for_all_tasks_and_workers);
	tcase_add_test(ends, test_terminate_answers_every_open_task);
	tcase_add_test(ends, test_destroy_is_terminate);
	tcase_add_test(uses, test_pool_used_from_children);
	tcase_add_test(uses, test_pool_used_from_many_threads);
	tcase_add_test(uses, test_pool_in_a_worker);
	tcase_add_test(uses, test_a_mebibyte_there_and_back);
	tcase_add_test(uses, test_arguments_in_the_arena_are_not_copied);
	tcase_add_test(uses, test_memory_of_a_task_is_released);
	tcase_add_test(uses, test_stat_readable_by_any_member);
	tcase_add_test(uses, test_signals_are_the_creators);
	tcase_add_test(uses, test_output_into_a_file_once);
	tcase_add_test(uses, test_wait_list_with_results);
	tcase_add_test(uses, test_wait_list_and_a_dead_keeper);
	tcase_add_test(uses, test_progress_bar_on_a_terminal);
	tcase_add_test(uses, test_no_progress_bar_in_a_pipe);
	return run_cases("pool", pools, tasks, results, ends, uses, NULL);
}
