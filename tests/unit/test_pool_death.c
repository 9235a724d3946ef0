/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pools whose workers, keepers, submitters and creators die, or whose tasks do not end. */
#include <sched.h>
#include <sys/prctl.h>

#include "pool/pool.h"
#include "process/process.h"
#include "support.h"

static struct {
	atomic_int begun, ended, calls;
	atomic_bool go;
	atomic_int pids[64];
	struct brood_pool *pool;
} *seen;

static void begin(void)
{
	begin_test();
	seen = shared(sizeof(*seen));
}

static struct brood_pool *make_with(struct brood_pool_opts opts)
{
	struct brood_pool *pool = brood_pool_create(&opts);

	ck_assert_ptr_nonnull(pool);
	return pool;
}

static struct brood_pool *make(unsigned int workers)
{
	return make_with((struct brood_pool_opts){ .workers = workers });
}

static void nothing_left(void)
{
	struct brood_segment_info info;

	do {
		brood__member_sweep(&brood__family.members);
		for (struct brood__block *block = brood__block_first(&brood__family); block;
		     block = brood__block_next(&brood__family, block))
			brood__block_reclaim(&brood__family, block);
		ck_assert_int_eq(brood_segment_stat(NULL, &info), 0);
		sched_yield();
	} while (info.objects || info.bytes_used || info.members > 1);
}

static void end(struct brood_pool *pool)
{
	ck_assert_int_eq(brood_pool_destroy(pool), 0);
	nothing_left();
}

static void until(atomic_int *counter, int least)
{
	while (atomic_load(counter) < least)
		sched_yield();
}

static void until_workers(struct brood_pool *pool, unsigned int n)
{
	struct brood_pool_info info;

	do {
		ck_assert_int_eq(brood_pool_stat(pool, &info), 0);
		sched_yield();
	} while (info.workers != n);
}

static pid_t keeper_of(const struct brood_pool *pool)
{
	uint64_t token;

	do {
		token = atomic_load(&pool->keeper);
		sched_yield();
	} while (token & BROOD__POOL_STARTING ||
		 brood__token_gone(&brood__family.members, token));
	return atomic_load(&brood__family.members.table[brood__token_id(token)].process);
}

/* Killed, and marked dead. */
static pid_t kill_keeper(const struct brood_pool *pool)
{
	uint64_t token = atomic_load(&pool->keeper);
	pid_t pid = keeper_of(pool);

	token = atomic_load(&pool->keeper);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	while (!brood__token_gone(&brood__family.members, token))
		sched_yield();
	return pid;
}

/* Until it can do nothing any more; it may be a zombie of somebody else's. */
static void until_dead(pid_t pid)
{
	char path[32], state = 'R';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	do {
		file = fopen(path, "r");
		if (!file)
			return;
		if (fscanf(file, "%*d %*s %c", &state) != 1)
			state = 'X';
		fclose(file);
		sched_yield();
	} while (state != 'Z' && state != 'X');
}

/* ---- tasks ---- */

static int ok(struct brood_task *task, const void *argument, void *result)
{
	int x = 1;

	(void)task, (void)argument;
	atomic_fetch_add(&seen->calls, 1);
	if (result)
		memcpy(result, &x, sizeof(x));
	return 0;
}

static int hang(struct brood_task *task, const void *argument, void *result)
{
	(void)argument, (void)result;
	atomic_store(&seen->pids[brood_task_index(task) % 64], getpid());
	atomic_fetch_add(&seen->begun, 1);
	while (!atomic_load(&seen->go))
		usleep(100);
	atomic_fetch_add(&seen->ended, 1);
	return 0;
}

static int leave(struct brood_task *task, const void *argument, void *result)
{
	int how = *(const int *)argument;

	(void)task, (void)result;
	if (how < 0)
		kill(getpid(), -how);
	if (how >= 100)
		exit(how - 100);
	_exit(how);
}

/* Dies at its first n calls. */
static int die_first(struct brood_task *task, const void *argument, void *result)
{
	int n = *(const int *)argument;

	if (atomic_fetch_add(&seen->calls, 1) < n)
		raise(SIGKILL);
	return ok(task, argument, result);
}

static int apply_leave(struct brood_pool *pool, int how, struct brood_task_error *error)
{
	struct brood_result *result =
		brood_pool_apply_async(pool, leave, &how, sizeof(how), 0, NULL);
	int code = brood_result_get(result, NULL, 0, BROOD_FOREVER);

	ck_assert_int_eq(brood_result_error(result, error), 0);
	brood_result_free(result);
	return code;
}

/* ---- workers ---- */

START_TEST(test_worker_killed_in_a_task)
{
	struct brood_pool *pool = make(2);
	struct brood_task_error error;
	char text[64];

	ck_assert_int_eq(apply_leave(pool, -SIGKILL, &error), -EOWNERDEAD);
	ck_assert_int_eq(error.exit_code, -SIGKILL);
	snprintf(text, sizeof(text), "worker died: signal 9, pid %d", error.pid);
	ck_assert_str_eq(error.text, text);
	ck_assert_int_eq(apply_leave(pool, -SIGTERM, &error), -EOWNERDEAD);
	ck_assert_int_eq(error.exit_code, -SIGTERM);
	ck_assert_int_eq(brood_pool_apply(pool, ok, NULL, 0, NULL, 0, NULL), 0);
	until_workers(pool, 2);
	end(pool);
}
END_TEST

START_TEST(test_exit_in_a_task)
{
	struct brood_pool *pool = make(1);
	struct brood_task_error error;

	ck_assert_int_eq(apply_leave(pool, 3, &error), -EOWNERDEAD);	/* _exit */
	ck_assert_int_eq(error.exit_code, 3);
	ck_assert_int_eq(apply_leave(pool, 105, &error), -EOWNERDEAD);	/* exit */
	ck_assert_int_eq(error.exit_code, 5);
	ck_assert_int_eq(apply_leave(pool, 0, &error), -EOWNERDEAD);
	ck_assert_int_eq(error.exit_code, 0);
	ck_assert_int_eq(brood_pool_close(pool), 0);
	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), 0);
	end(pool);
}
END_TEST

START_TEST(test_replaced_within_10_ms)
{
	struct brood_pool *pool = make(1);
	struct brood_task_error error;
	int64_t best = INT64_MAX, start;

	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(apply_leave(pool, -SIGKILL, &error), -EOWNERDEAD);
		start = brood_now();
		ck_assert_int_eq(brood_pool_apply(pool, ok, NULL, 0, NULL, 0, NULL), 0);
		if (brood_now() - start < best)
			best = brood_now() - start;
	}
	ck_assert_int_lt(best, 10 * MS);
	end(pool);
}
END_TEST

static int die_if(struct brood_task *task, const void *argument, void *result)
{
	if (*(const int *)argument)
		raise(SIGKILL);
	return ok(task, argument, result);
}

START_TEST(test_map_loses_only_the_chunk)
{
	struct brood_pool *pool = make(2);
	struct brood_submit_opts opts = { .chunk = 2 };
	int dies[40] = { [7] = 1, [20] = 1 }, results[40] = { 0 };

	ck_assert_int_eq(brood_pool_map(pool, die_if, dies, 40, sizeof(*dies), results,
					sizeof(*results), &opts), -EOWNERDEAD);
	/* 6 was called, and its chunk failed. */
	for (int i = 0; i < 40; i++)
		ck_assert(results[i] == 1 || i == 7 || i == 20 || i == 21);
	ck_assert_int_eq(atomic_load(&seen->calls), 37);
	end(pool);
}
END_TEST

START_TEST(test_killed_from_outside)
{
	struct brood_pool *pool = make(2);
	struct brood_submit_opts opts = { .chunk = 1 };
	struct brood_result *result = brood_pool_map_async(pool, hang, NULL, 3, 0, NULL, 0, &opts);
	struct brood_task_error error;

	until(&seen->begun, 2);
	ck_assert_int_eq(kill(atomic_load(&seen->pids[1]), SIGKILL), 0);
	until(&seen->begun, 3);		/* the third is begun by another */
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), -EOWNERDEAD);
	ck_assert_int_eq(brood_result_error(result, &error), 0);
	ck_assert_uint_eq(error.task, 1);
	ck_assert_int_eq(atomic_load(&seen->ended), 2);
	brood_result_free(result);
	end(pool);
}
END_TEST

START_TEST(test_retries)
{
	struct brood_submit_opts opts = { .retries = 3 };
	struct brood_pool *pool = make(2);
	int n = 3, result = 0;

	ck_assert_int_eq(brood_pool_apply(pool, die_first, &n, sizeof(n), &result, sizeof(result),
					  &opts), 0);
	ck_assert_int_eq(result, 1);
	ck_assert_int_eq(atomic_load(&seen->calls), 5);	/* the last one counts twice */
	atomic_store(&seen->calls, 0);
	n = 4;
	ck_assert_int_eq(brood_pool_apply(pool, die_first, &n, sizeof(n), &result, sizeof(result),
					  &opts), -EOWNERDEAD);
	ck_assert_int_eq(atomic_load(&seen->calls), 4);
	end(pool);
}
END_TEST

START_TEST(test_retries_after_close)
{
	struct brood_submit_opts opts = { .retries = 1 };
	struct brood_pool *pool = make(1);
	struct brood_result *result = brood_pool_apply_async(pool, hang, NULL, 0, 0, &opts);

	until(&seen->begun, 1);
	ck_assert_int_eq(brood_pool_close(pool), 0);
	ck_assert_int_eq(kill(atomic_load(&seen->pids[0]), SIGKILL), 0);
	until(&seen->begun, 2);
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, 0), 0);
	brood_result_free(result);
	end(pool);
}
END_TEST

START_TEST(test_join_after_a_worker_died)
{
	struct brood_pool *pool = make(1);
	struct brood_result *result = brood_pool_apply_async(pool, hang, NULL, 0, 0, NULL);

	until(&seen->begun, 1);
	ck_assert_int_eq(brood_pool_close(pool), 0);
	ck_assert_int_eq(kill(atomic_load(&seen->pids[0]), SIGKILL), 0);
	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, 0), -EOWNERDEAD);
	brood_result_free(result);
	end(pool);
}
END_TEST

START_TEST(test_sigint_is_ignored_by_workers)
{
	struct brood_pool *pool = make(1);
	struct brood_result *result = brood_pool_apply_async(pool, hang, NULL, 0, 0, NULL);

	until(&seen->begun, 1);
	ck_assert_int_eq(kill(atomic_load(&seen->pids[0]), SIGINT), 0);
	ck_assert_int_eq(kill(keeper_of(pool), SIGINT), 0);
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), 0);
	brood_result_free(result);
	end(pool);
}
END_TEST

/* ---- time limits ---- */

START_TEST(test_time_limit)
{
	struct brood_submit_opts opts = { .limit = 50 * MS, .retries = 5 };
	struct brood_pool *pool = make(1);
	struct brood_task_error error;
	struct brood_result *result;
	int64_t start = brood_now();

	result = brood_pool_apply_async(pool, hang, NULL, 0, 0, &opts);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - start, 50 * MS);
	ck_assert_int_eq(brood_result_ready(result), 1);
	ck_assert_int_eq(brood_result_error(result, &error), 0);
	ck_assert_int_eq(error.exit_code, -SIGKILL);
	ck_assert_ptr_nonnull(strstr(error.text, "time limit of 0.050 s exceeded"));
	brood_result_free(result);
	ck_assert_int_eq(atomic_load(&seen->begun), 1);
	/* Each in time, all together not. */
	opts.limit = 10000 * MS;
	ck_assert_int_eq(brood_pool_map(pool, ok, NULL, 20000, 0, NULL, 0, &opts), 0);
	end(pool);
}
END_TEST

/* ---- initializer ---- */

static int refuse(void *unused)
{
	(void)unused;
	atomic_fetch_add(&seen->begun, 1);
	return -EACCES;
}

static int crash(void *unused)
{
	(void)unused;
	raise(SIGKILL);
	return 0;
}

static int crash_twice(void *unused)
{
	(void)unused;
	if (atomic_fetch_add(&seen->begun, 1) < 2)
		raise(SIGKILL);
	return 0;
}

START_TEST(test_initializer_fails)
{
	struct brood_pool *pool = make_with((struct brood_pool_opts){ .workers = 2,
								      .initializer = refuse });
	struct brood_result *result = brood_pool_apply_async(pool, ok, NULL, 0, 0, NULL);
	struct brood_task_error error;
	char text[BROOD_POOL_TEXT];

	if (result) {
		ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), -EPIPE);
		ck_assert_int_eq(brood_result_error(result, &error), 0);
		ck_assert_str_eq(error.text, "the initializer failed: -13");
		brood_result_free(result);
	}
	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_pool_apply(pool, ok, NULL, 0, NULL, 0, NULL), -EPIPE);
	ck_assert_int_eq(brood_pool_reason(pool, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "the initializer failed: -13");
	ck_assert_int_le(atomic_load(&seen->begun), 10);
	ck_assert_int_eq(atomic_load(&seen->calls), 0);
	end(pool);
}
END_TEST

START_TEST(test_initializer_dies)
{
	struct brood_pool *pool = make_with((struct brood_pool_opts){ .workers = 1,
								      .initializer = crash });
	char text[BROOD_POOL_TEXT];

	while (brood_pool_join(pool, BROOD_FOREVER) == -EBUSY)	/* until it is broken */
		sched_yield();
	ck_assert_int_eq(brood_pool_reason(pool, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "a worker died before its initializer was done: signal 9");
	end(pool);
	pool = make_with((struct brood_pool_opts){ .workers = 1, .initializer = crash_twice });
	ck_assert_int_eq(brood_pool_apply(pool, ok, NULL, 0, NULL, 0, NULL), 0);
	ck_assert_int_eq(brood_pool_reason(pool, text, sizeof(text)), -ENODATA);
	end(pool);
}
END_TEST

/* ---- the keeper ---- */

/* A worker of a keeper that was killed may take a task before it is killed itself. */
static const struct brood_submit_opts patient = { .retries = 5 };

START_TEST(test_keeper_killed_while_idle)
{
	struct brood_pool *pool = make(2);

	until_workers(pool, 2);
	for (int i = 0; i < 5; i++) {
		kill_keeper(pool);
		do	/* a worker may answer before it is killed, or be killed at it */
			ck_assert_int_eq(brood_pool_apply(pool, ok, NULL, 0, NULL, 0, &patient), 0);
		while (brood__keeper_gone(pool));
		until_workers(pool, 2);
	}
	end(pool);
}
END_TEST

START_TEST(test_keeper_killed_while_tasks_run)
{
	struct brood_submit_opts opts = { .chunk = 1 };
	struct brood_pool *pool = make(2);
	struct brood_result *result = brood_pool_map_async(pool, hang, NULL, 6, 0, NULL, 0, &opts);
	struct brood_task_error error;

	until(&seen->begun, 2);
	kill_keeper(pool);
	for (int i = 0; i < 2; i++)	/* the kernel kills them, a little later */
		until_dead(atomic_load(&seen->pids[i]));
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), -EOWNERDEAD);
	ck_assert_int_eq(brood_result_error(result, &error), 0);
	ck_assert_int_eq(error.exit_code, -SIGKILL);
	ck_assert_int_ge(atomic_load(&seen->ended), 4);
	brood_result_free(result);
	until_workers(pool, 2);
	end(pool);
}
END_TEST

static void take_signal(int signal)
{
	(void)signal;
}

/* They may have gone to the whole group. */
START_TEST(test_keeper_survives_what_the_creator_does)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGALRM };
	struct brood_pool *pool;
	struct brood_result *result;
	pid_t keeper;

	for (int i = 2; i < 5; i++)
		signal(signals[i], take_signal);
	pool = make(2);
	until_workers(pool, 2);
	keeper = keeper_of(pool);
	for (int i = 0; i < 20; i++) {
		result = brood_pool_map_async(pool, ok, NULL, 100, 0, NULL, 0, NULL);
		ck_assert_int_eq(kill(keeper, signals[i % 5]), 0);
		ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), 0);
		brood_result_free(result);
	}
	ck_assert_int_eq(keeper_of(pool), keeper);
	end(pool);
}
END_TEST

START_TEST(test_keeper_killed_with_retries)
{
	struct brood_submit_opts opts = { .chunk = 1, .retries = 1 };
	struct brood_pool *pool = make(2);
	struct brood_result *result = brood_pool_map_async(pool, hang, NULL, 6, 0, NULL, 0, &opts);

	until(&seen->begun, 2);
	kill_keeper(pool);
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_result_get(result, NULL, 0, BROOD_FOREVER), 0);
	brood_result_free(result);
	end(pool);
}
END_TEST

START_TEST(test_keeper_killed_then_close)
{
	struct brood_pool *pool = make(2);

	until_workers(pool, 2);
	kill_keeper(pool);
	ck_assert_int_eq(brood_pool_close(pool), 0);
	ck_assert_int_eq(brood_pool_join(pool, BROOD_FOREVER), 0);
	end(pool);
}
END_TEST

static int use_and_end(void *pool)
{
	must(brood_pool_apply(pool, ok, NULL, 0, NULL, 0, &patient) == 0);
	brood__children_end();		/* as at a normal end */
	return 0;
}

START_TEST(test_keeper_started_by_another_member)
{
	struct brood_pool *pool = make(1);

	until_workers(pool, 1);
	kill_keeper(pool);
	ck_assert_int_eq(run(use_and_end, pool), 0);
	ck_assert_int_eq(brood_pool_apply(pool, ok, NULL, 0, NULL, 0, &patient), 0);
	end(pool);
}
END_TEST

/* ---- the creator ---- */

static int be_creator(void *opts)
{
	struct brood_pool *pool = brood_pool_create(opts);

	must(pool);
	seen->pool = pool;
	must(brood_pool_map_async(pool, hang, NULL, 4, 0, NULL, 0, NULL));
	until(&seen->begun, 2);
	atomic_store(&seen->pids[60], keeper_of(pool));
	atomic_store(&seen->pids[61], 1);
	if (atomic_load(&seen->pids[62]))
		exit(0);
	for (;;)
		pause();
}

static void reap_all(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* The orphans come to us, so that we can see them end. */
static void adopt(void)
{
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

static void until_all_gone(void)
{
	pid_t pids[] = { atomic_load(&seen->pids[0]), atomic_load(&seen->pids[1]),
			 atomic_load(&seen->pids[60]) };

	for (size_t i = 0; i < sizeof(pids) / sizeof(*pids); i++)
		while (pids[i] && kill(pids[i], 0) == 0) {
			reap_all();
			usleep(200);
		}
	while (waitpid(-1, NULL, 0) > 0)
		;
	ck_assert_int_eq(errno, ECHILD);
}

START_TEST(test_creator_killed_no_orphan)
{
	struct brood_pool_opts opts = { .workers = 2 };
	pid_t pid;

	adopt();
	pid = start(be_creator, &opts);
	until(&seen->pids[61], 1);
	kill_child(pid);
	until_all_gone();
	nothing_left();
}
END_TEST

START_TEST(test_creator_ends_without_join)
{
	struct brood_pool_opts opts = { .workers = 2 };

	adopt();
	atomic_store(&seen->pids[62], 1);
	ck_assert_int_eq(run(be_creator, &opts), 0);
	ck_assert_int_eq(atomic_load(&seen->ended), 0);
	until_all_gone();
	nothing_left();
}
END_TEST

START_TEST(test_outlive_parent)
{
	struct brood_pool_opts opts = { .workers = 2, .outlive_parent = true };
	struct brood_pool *pool;
	pid_t pid;

	adopt();
	pid = start(be_creator, &opts);
	until(&seen->pids[61], 1);
	kill_child(pid);
	pool = seen->pool;
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_pool_apply(pool, ok, NULL, 0, NULL, 0, NULL), 0);
	ck_assert_int_eq(brood_pool_destroy(pool), 0);
	while (waitpid(-1, NULL, 0) > 0)
		;
	nothing_left();
}
END_TEST

static int create_and_die(void *unused)
{
	struct brood_pool_opts opts = { .workers = 1 };

	(void)unused;
	while (brood_pool_destroy(brood_pool_create(&opts)) == 0)
		atomic_fetch_add(&seen->begun, 1);
	return 1;
}

START_TEST(test_creator_killed_in_create)
{
	adopt();
	for (int i = 0; i < 30; i++) {
		pid_t pid = start(create_and_die, NULL);

		usleep((unsigned int)(i * 97 % 1500));
		kill_child(pid);
		while (waitpid(-1, NULL, 0) > 0)
			;
		nothing_left();
	}
}
END_TEST

/* ---- a submitter ---- */

static int submit_and_die(void *pool)
{
	static char large[10000];

	for (int i = 0; i < 20; i++)
		must(brood_pool_map_async(pool, hang, large, 100, 100, NULL, 100, NULL));
	atomic_store(&seen->pids[61], 1);
	for (;;)
		pause();
}

START_TEST(test_submitter_killed)
{
	struct brood_pool *pool = make(2);
	struct brood_pool_info info;
	struct brood_segment_info segment;
	pid_t pid = start(submit_and_die, pool);

	until(&seen->pids[61], 1);
	until(&seen->begun, 2);
	kill_child(pid);
	while (brood_pool_stat(pool, &info) == 0 && info.queued)
		brood__member_sweep(&brood__family.members);
	atomic_store(&seen->go, true);
	ck_assert_int_eq(brood_pool_apply(pool, ok, NULL, 0, NULL, 0, NULL), 0);
	do {
		ck_assert_int_eq(brood_pool_stat(pool, &info), 0);
		ck_assert_int_eq(brood_segment_stat(NULL, &segment), 0);
		sched_yield();
	} while (segment.objects > 2 || info.running);
	ck_assert_int_lt(atomic_load(&seen->begun), 100);
	end(pool);
}
END_TEST

int main(void)
{
	TCase *workers = new_case("workers", begin);
	TCase *limits = new_case("limits", begin);
	TCase *keepers = new_case("keepers", begin);
	TCase *creators = new_case("creators", begin);

	tcase_add_test(workers, test_worker_killed_in_a_task);
	tcase_add_test(workers, test_exit_in_a_task);
	tcase_add_test(workers, test_replaced_within_10_ms);
	tcase_add_test(workers, test_map_loses_only_the_chunk);
	tcase_add_test(workers, test_killed_from_outside);
	tcase_add_test(workers, test_retries);
	tcase_add_test(workers, test_retries_after_close);
	tcase_add_test(workers, test_join_after_a_worker_died);
	tcase_add_test(workers, test_sigint_is_ignored_by_workers);
	tcase_add_test(limits, test_time_limit);
	tcase_add_test(limits, test_initializer_fails);
	tcase_add_test(limits, test_initializer_dies);
	tcase_add_test(keepers, test_keeper_killed_while_idle);
	tcase_add_test(keepers, test_keeper_killed_while_tasks_run);
	tcase_add_test(keepers, test_keeper_survives_what_the_creator_does);
	tcase_add_test(keepers, test_keeper_killed_with_retries);
	tcase_add_test(keepers, test_keeper_killed_then_close);
	tcase_add_test(keepers, test_keeper_started_by_another_member);
	tcase_add_test(creators, test_creator_killed_no_orphan);
	tcase_add_test(creators, test_creator_ends_without_join);
	tcase_add_test(creators, test_outlive_parent);
	tcase_add_test(creators, test_creator_killed_in_create);
	tcase_add_test(creators, test_submitter_killed);
	return run_cases("pool death", workers, limits, keepers, creators, NULL);
}
