/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools: empty tasks by map, and one task there and back. Two workers, and Python's
 * multiprocessing.Pool as a peer where there is a python3. For map the rounds are tasks, and a
 * bench's batch is the chunk, which the peers get in place of a worker's index.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>
#include <brood/pool.h>

#include "job.h"

#define CHUNKS_A_MAP 10000u
#define TASKS_A_MAP 100000u	/* at most */

void pool_map_rounds(struct job *job)
{
	const struct task *task = job_task(job);
	const struct port *port = &task->ports[0];
	unsigned int chunk = task->bench->batch, tasks = TASKS_A_MAP;
	uint64_t done = 0;

	if (chunk < TASKS_A_MAP / CHUNKS_A_MAP)
		tasks = chunk * CHUNKS_A_MAP;
	do {
		job_must(job, port->ops->rounds(port->queue, chunk, tasks), "a map");
		done += tasks;
		job_count(job, done);
	} while (now_ns() < job->until);
	job->tally.count += done;
}

static bool nothing_to_check(void *object, uint64_t rounds)
{
	(void)object, (void)rounds;
	return true;
}

/* ---- brood ---- */

static int empty(struct brood_task *task, const void *argument, void *result)
{
	(void)task, (void)argument, (void)result;
	return 0;
}

static void *pool_new(unsigned int workers)
{
	const struct brood_pool_opts opts = { .workers = workers };
	struct brood_pool *pool = brood_pool_create(&opts);

	if (pool && brood_pool_apply(pool, empty, NULL, 0, NULL, 0, NULL)) {
		brood_pool_destroy(pool);
		errno = EIO;
		return NULL;
	}
	return pool;
}

static void *pool_of_two(const struct shape *shape)
{
	(void)shape;
	return pool_new(2);
}

static void *pool_of_one(const struct shape *shape)
{
	(void)shape;
	return pool_new(1);
}

static void pool_delete(void *pool)
{
	brood_pool_destroy(pool);
}

static int pool_map(void *pool, unsigned int chunk, unsigned int n)
{
	const struct brood_submit_opts opts = { .chunk = chunk };

	return brood_pool_map(pool, empty, NULL, n, 0, NULL, 0, &opts);
}

static int pool_trips(void *pool, unsigned int index, unsigned int n)
{
	uint64_t word = index;
	int result = 0;

	while (n-- && !result)
		result = brood_pool_apply(pool, empty, &word, sizeof(word), &word, sizeof(word),
					  NULL);
	return result;
}

/* ---- Python: a process that makes maps, or round trips, as it is told by lines ---- */

static const char script[] =
	"import sys, multiprocessing as m\n"
	"def f(x): pass\n"
	"def main():\n"
	"    with m.Pool(2) as p:\n"
	"        for line in sys.stdin:\n"
	"            what, n, chunk = line.split()\n"
	"            if what == 'map': p.map(f, range(int(n)), int(chunk))\n"
	"            else:\n"
	"                for i in range(int(n)): p.apply(f, (i,))\n"
	"            print('done', flush=True)\n"
	"main()\n";

struct python {
	pid_t pid;
	FILE *to, *from;
};

static void be_python(int in, int out)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
	    dup2(null, STDERR_FILENO) >= 0)
		execlp("python3", "python3", "-c", script, (char *)NULL);
	_exit(127);
}

static int ask(struct python *python, const char *what, unsigned int n, unsigned int chunk)
{
	char line[16];

	if (fprintf(python->to, "%s %u %u\n", what, n, chunk) < 0 || fflush(python->to) ||
	    !fgets(line, sizeof(line), python->from))
		return -EPIPE;
	return 0;
}

static void python_delete(void *object)
{
	struct python *python = object;

	fclose(python->to);	/* it reads the end, and leaves */
	fclose(python->from);
	while (waitpid(python->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(python);
}

static void *python_new(const struct shape *shape)
{
	struct python *python = calloc(1, sizeof(*python));
	int to[2], from[2];

	(void)shape;
	if (!python || pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return NULL;
	python->pid = fork();
	if (python->pid == 0)
		be_python(to[0], from[1]);
	close(to[0]);
	close(from[1]);
	python->to = fdopen(to[1], "w");
	python->from = fdopen(from[0], "r");
	if (python->pid > 0 && python->to && python->from && ask(python, "map", 1, 1) == 0)
		return python;
	python_delete(python);
	errno = ENOSYS;		/* no python3 here */
	return NULL;
}

static int python_map(void *python, unsigned int chunk, unsigned int n)
{
	return ask(python, "map", n, chunk);
}

static int python_trips(void *python, unsigned int index, unsigned int n)
{
	(void)index;
	return ask(python, "apply", n, 1);
}

const struct peer peer_pool[] = {
	{
		.name = "brood", .about = "brood_pool, two workers", .only = "pool.map",
		.traits = PEER_ALONE, .create = pool_of_two, .destroy = pool_delete,
		.rounds = pool_map, .right = nothing_to_check,
	}, {
		.name = "python", .about = "multiprocessing.Pool(2)", .only = "pool.map",
		.traits = PEER_ALONE, .create = python_new, .destroy = python_delete,
		.rounds = python_map, .right = nothing_to_check,
	}, {
		.name = "brood", .about = "brood_pool_apply, one worker", .only = "pool.roundtrip",
		.traits = PEER_ALONE, .create = pool_of_one, .destroy = pool_delete,
		.rounds = pool_trips, .right = nothing_to_check,
	}, {
		.name = "python", .about = "multiprocessing.Pool(2)", .only = "pool.roundtrip",
		.traits = PEER_ALONE, .create = python_new, .destroy = python_delete,
		.rounds = python_trips, .right = nothing_to_check,
	}, {
		.name = NULL,
	},
};
