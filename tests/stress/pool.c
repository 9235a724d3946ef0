/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pool at work while its workers are killed at random moments: each worker has a timer that
 * sends it SIGKILL. A million tasks of one chunk each, and as many more as it takes until a
 * thousand workers are dead. Each task must be answered exactly once: with its result, having been
 * called once, or with "worker died", having been called at most once. Then the same with retries,
 * where all must succeed, and with keepers killed as well. In the end the pool has all its workers.
 * Last, submitters are killed.
 *
 *	pool [tasks [kills]]	1000000 and 1000 when not given
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brood/pool.h>
#include <brood/segment.h>

enum { WORKERS = 3, LEAST_US = 300, MOST_US = 6000 };

static struct {
	atomic_ulong armed;		/* workers that were started with a timer */
	atomic_ulong keepers;		/* that workers have killed */
	atomic_bool peace;
	atomic_bool keepers_too;
	atomic_uchar calls[];
} *shared;

/* ---- workers ---- */

static void arm(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	struct itimerspec when = { .it_value.tv_nsec =
			1000l * (LEAST_US + random() % (MOST_US - LEAST_US)) };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
		timer_settime(timer, 0, &when, NULL);
}

static int initialize(void *unused)
{
	(void)unused;
	if (atomic_load(&shared->peace))
		return 0;
	atomic_fetch_add(&shared->armed, 1);
	arm();
	return 0;
}

/* Its worker dies with it. */
static void kill_keeper(void)
{
	pid_t keeper = getppid();

	if (keeper > 1 && keeper == getppid()) {
		atomic_fetch_add(&shared->keepers, 1);
		kill(keeper, SIGKILL);
	}
}

static int count(struct brood_task *task, const void *argument, void *result)
{
	uint64_t i = brood_task_index(task), answer = 3 * i + 1;

	(void)argument;
	atomic_fetch_add(&shared->calls[i], 1);
	memcpy(result, &answer, sizeof(answer));
	if (atomic_load(&shared->keepers_too) && random() % 30000 == 0)
		kill_keeper();
	return 0;
}

/* ---- a round ---- */

struct tally {
	unsigned long tasks, died, wrong;
};

static void judge(struct tally *tally, size_t i, int code, uint64_t answer, unsigned int retries)
{
	unsigned int calls = atomic_load(&shared->calls[i]);
	bool right;

	if (code == -EOWNERDEAD)
		right = calls <= 1 + retries;
	else
		right = code == 0 && answer == 3 * i + 1 && calls >= 1 && calls <= 1 + retries;
	tally->tasks++;
	tally->died += code == -EOWNERDEAD;
	if (!right && tally->wrong++ < 10)
		printf("task %zu: code %d, answer %llu, %u calls\n", i, code,
		       (unsigned long long)answer, calls);
}

static bool round_of(struct brood_pool *pool, size_t n, unsigned int retries, struct tally *tally)
{
	struct brood_submit_opts opts = { .chunk = 1, .retries = retries };
	struct brood_iterator *iterator;
	unsigned char *seen = calloc(n, 1);
	unsigned long died = tally->died;
	uint64_t answer;
	size_t index;
	int code;

	memset((void *)shared->calls, 0, n);
	iterator = brood_pool_imap_unordered(pool, count, NULL, n, 0, sizeof(answer), &opts);
	if (!iterator || !seen) {
		printf("no iterator: %s\n", brood_strerror(errno));
		return false;
	}
	for (;;) {
		answer = 0;
		code = brood_iterator_next(iterator, &index, &answer, BROOD_FOREVER);
		if (index == SIZE_MAX)
			break;
		if (seen[index]++) {
			printf("task %zu came twice\n", index);
			tally->wrong++;
		}
		judge(tally, index, code, answer, retries);
	}
	if (code != -ENODATA || memchr(seen, 0, n)) {
		printf("not every task was answered: %d\n", code);
		tally->wrong++;
	}
	if (retries && tally->died != died) {
		printf("%lu tasks died in spite of retries\n", tally->died - died);
		tally->wrong++;
	}
	brood_iterator_free(iterator);
	free(seen);
	return true;
}

/* Peace: whoever still has a timer dies, and all seats are taken by others. */
static bool whole_again(struct brood_pool *pool)
{
	struct brood_pool_info info = { .workers = 0 };
	int64_t end;

	atomic_store(&shared->peace, true);
	end = brood_now() + 1000000ll * MOST_US / 1000 * 2;
	while (brood_now() < end)
		sched_yield();
	end = brood_now() + 10000000000ll;
	do {
		if (brood_pool_apply(pool, count, NULL, 0, NULL, 8, NULL) == -EPIPE)
			return false;
		brood_pool_stat(pool, &info);
	} while (info.workers != WORKERS && brood_now() < end);
	atomic_store(&shared->peace, false);
	return info.workers == WORKERS;
}

static bool storm(const char *what, size_t tasks, unsigned long kills, unsigned int retries)
{
	struct brood_pool_opts opts = { .workers = WORKERS, .initializer = initialize };
	struct brood_pool *pool = brood_pool_create(&opts);
	struct brood_segment_info info;
	struct brood_pool_info figures;
	struct tally tally = { 0 };
	int64_t start = brood_now();
	bool whole, fine = pool != NULL;

	atomic_store(&shared->armed, 0);
	atomic_store(&shared->keepers, 0);
	do
		fine = fine && round_of(pool, tasks, retries, &tally);
	while (fine && !tally.wrong && atomic_load(&shared->armed) < kills + WORKERS);
	whole = fine && whole_again(pool);
	fine = fine && brood_pool_stat(pool, &figures) == 0 && brood_pool_destroy(pool) == 0 &&
	       brood_segment_stat(NULL, &info) == 0;
	printf("%s: tasks %lu, workers killed %lu, keepers %lu, answered by death %lu, wrong %lu,"
	       " %s, objects left %u, %.1f s\n", what, tally.tasks,
	       atomic_load(&shared->armed) - WORKERS, atomic_load(&shared->keepers),
	       tally.died, tally.wrong, whole ? "full-size again" : "NOT full-size again",
	       fine ? info.objects : 99, (double)(brood_now() - start) / 1e9);
	return fine && whole && !tally.wrong && info.objects == 0;
}

/* ---- submitters ---- */

enum { ITEMS = 300, SUBMITTERS = 200 };

static int copy(struct brood_task *task, const void *argument, void *result)
{
	memcpy(result, argument, brood_task_length(task));
	return 0;
}

/* Small jobs and large ones, given up early, or got, until somebody kills us. */
static int submit(struct brood_pool *pool)
{
	static uint64_t items[ITEMS], results[ITEMS];
	struct brood_result *early, *result;
	int code = 0;

	for (uint64_t i = 0; code == 0; i++) {
		items[i % ITEMS] = i;
		early = brood_pool_map_async(pool, copy, items, ITEMS, 8, NULL, 8, NULL);
		result = brood_pool_map_async(pool, copy, items, ITEMS, 8, results, 8, NULL);
		code = brood_result_free(early);
		if (code == 0)
			code = brood_result_get(result, NULL, 0, BROOD_FOREVER);
		if (code == 0 && memcmp(items, results, sizeof(items)))
			code = -EBADMSG;
		brood_result_free(result);
		if (code == 0)
			code = brood_pool_apply(pool, copy, &i, 8, results, 8, NULL);
		if (code == 0 && results[0] != i)
			code = -EBADMSG;
	}
	return -code;
}

static bool kill_submitters(void)
{
	struct brood_pool_opts opts = { .workers = WORKERS, .open_tasks = 16 };
	struct brood_pool *pool = brood_pool_create(&opts);
	struct brood_segment_info info = { .objects = 99 };
	struct timespec lives = { 0 };
	unsigned long wrong = 0;
	int status;
	pid_t pid;

	for (int i = 0; pool && i < SUBMITTERS; i++) {
		pid = fork();
		if (pid == 0)
			_exit(submit(pool));
		lives.tv_nsec = 1000l * (random() % MOST_US);
		nanosleep(&lives, NULL);
		kill(pid, SIGKILL);
		wrong += waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status);
	}
	wrong += !pool || brood_pool_apply(pool, copy, &wrong, 8, &wrong, 8, NULL) ||
		 brood_pool_destroy(pool) || brood_segment_stat(NULL, &info);
	printf("submitters killed: %d, wrong %lu, objects left %u\n", SUBMITTERS, wrong,
	       info.objects);
	return !wrong && info.objects == 0;
}

int main(int argc, char **argv)
{
	size_t tasks = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	unsigned long kills = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
	bool fine;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(500);
	shared = mmap(NULL, sizeof(*shared) + tasks, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || tasks == 0 || brood_init(NULL))
		return 99;
	fine = storm("kills", tasks, kills, 0);
	fine = storm("kills and retries", tasks / 10 + 1, kills / 5, 1000) && fine;
	atomic_store(&shared->keepers_too, true);
	fine = storm("kills of keepers too", tasks / 10 + 1, kills / 5, 0) && fine;
	fine = kill_submitters() && fine;
	return fine ? 0 : 1;
}
