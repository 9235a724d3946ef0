/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting a process that does nothing, and waiting for its end; brood's way, bare fork, a
 * thread, and Python. process.start: from a small program. process.zygote: from one that has got
 * a second thread and has written 256 MiB since it began, which a fork has to copy the page
 * tables of.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brood.h>

#include "job.h"

#define GROWTH (256u << 20)

void process_rounds(struct job *job)
{
	const struct port *port = &job_task(job)->ports[0];
	uint64_t done = 0;

	do {
		job_must(job, port->ops->rounds(port->queue, job->index, 1), "a start");
		job_count(job, ++done);
	} while (now_ns() < job->until);
	job->tally.count += done;
}

struct starter {
	int64_t python_ns;
};

static void *starter_new(const struct shape *shape)
{
	(void)shape;
	return brood_init(NULL) == -ENOMEM ? NULL : shared_alloc(sizeof(struct starter));
}

static void starter_delete(void *object)
{
	shared_free(object, sizeof(struct starter));
}

static bool some(void *object, uint64_t rounds)
{
	(void)object;
	return rounds > 0;
}

static void *stay(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* In small pages, as memory becomes that is written here and there. */
static void grow(void *object, unsigned int index)
{
	char *memory =
		mmap(NULL, GROWTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;

	(void)object;
	(void)index;
	if (memory == MAP_FAILED || pthread_create(&thread, NULL, stay, NULL))
		abort();
	madvise(memory, GROWTH, MADV_NOHUGEPAGE);
	memset(memory, 1, GROWTH);
}

static void have_zygote(void *object, unsigned int index)
{
	(void)object;
	(void)index;
	if (brood_zygote_start())
		abort();
}

static void have_zygote_and_grow(void *object, unsigned int index)
{
	have_zygote(object, index);
	grow(object, index);
}

/* ---- brood ---- */

static int nothing(void *unused)
{
	(void)unused;
	return 0;
}

static int brood_rounds(unsigned int n, const struct brood_process_opts *opts)
{
	int result = 0, code = 0;

	for (; n && !result; n--) {
		struct brood_process *process = brood_process_start_opts(nothing, NULL, opts);

		if (!process)
			return -errno;
		result = brood_process_join(process, BROOD_FOREVER);
		result = result ? result : brood_process_exit_code(process, &code);
		result = result ? result : brood_process_free(process);
		if (code)
			return -EPROTO;
	}
	return result;
}

static int by_fork(void *object, unsigned int index, unsigned int n)
{
	(void)object;
	(void)index;
	return brood_rounds(n, NULL);
}

static int by_zygote(void *object, unsigned int index, unsigned int n)
{
	static const struct brood_process_opts opts = { .method = BROOD_START_ZYGOTE };

	(void)object;
	(void)index;
	return brood_rounds(n, &opts);
}

/* ---- others ---- */

static int bare_fork(void *object, unsigned int index, unsigned int n)
{
	(void)object;
	(void)index;
	for (; n; n--) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return -errno;
	}
	return 0;
}

static void *end(void *unused)
{
	return unused;
}

static int thread_rounds(void *object, unsigned int index, unsigned int n)
{
	pthread_t thread;
	int result = 0;

	(void)object;
	(void)index;
	for (; n && !result; n--) {
		result = pthread_create(&thread, NULL, end, NULL);
		result = result ? result : pthread_join(thread, NULL);
	}
	return -result;
}

void *python_figure_new(const char *command)
{
	struct starter *starter = shared_alloc(sizeof *starter);
	FILE *script = popen(command, "re");
	long long ns = 0;

	if (script && fscanf(script, "%lld", &ns) != 1)
		ns = 0;
	if (script)
		pclose(script);
	if (!starter || ns <= 0) {
		shared_free(starter, sizeof *starter);
		errno = ENOENT;
		return NULL;
	}
	starter->python_ns = ns;
	return starter;
}

void python_figure_delete(void *object)
{
	starter_delete(object);
}

int python_figure_rounds(void *object, unsigned int index, unsigned int n)
{
	int64_t until = now_ns() + ((struct starter *)object)->python_ns * n;
	struct timespec time = { until / 1000000000, until % 1000000000 };

	(void)index;
	return -clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void *python_new(const char *method)
{
	char command[512];

	snprintf(command, sizeof command,
		 "python3 -c \"import multiprocessing as m, time\n"
		 "c = m.get_context('%s')\n"
		 "c.set_forkserver_preload([]) if '%s' == 'forkserver' else None\n"
		 "def go(n):\n"
		 "    for i in range(n):\n"
		 "        p = c.Process(target=abs, args=(1,)); p.start(); p.join()\n"
		 "go(3); t = time.perf_counter_ns(); go(100)\n"
		 "print((time.perf_counter_ns() - t) // 100)\" 2>/dev/null",
		 method, method);
	return python_figure_new(command);
}

static void *python_fork_new(const struct shape *shape)
{
	(void)shape;
	return python_new("fork");
}

static void *python_forkserver_new(const struct shape *shape)
{
	(void)shape;
	return python_new("forkserver");
}

#define STARTER \
	.create = starter_new, .destroy = starter_delete, .right = some, .traits = PEER_ALONE

const struct peer peer_process[PEER_PROCESS] = {
	{
		.name = "brood",
		.about = "brood_process_start and join",
		.only = "process.start",
		STARTER,
		.rounds = by_fork,
	},
	{
		.name = "brood_zygote",
		.about = "the same by the zygote",
		.only = "process.start",
		STARTER,
		.rounds = by_zygote,
		.enter = have_zygote,
	},
	{
		.name = "fork",
		.about = "fork, _exit, waitpid",
		.only = "process.start",
		STARTER,
		.rounds = bare_fork,
	},
	{
		.name = "pthread",
		.about = "a thread: create and join",
		.only = "process.start",
		STARTER,
		.rounds = thread_rounds,
	},
	{
		.name = "python",
		.about = "multiprocessing.Process, fork",
		.only = "process.start",
		.traits = PEER_ALONE,
		.create = python_fork_new,
		.destroy = python_figure_delete,
		.rounds = python_figure_rounds,
		.right = some,
	},
	{
		.name = "brood",
		.about = "by the zygote, which was there before",
		.only = "process.zygote",
		STARTER,
		.rounds = by_zygote,
		.enter = have_zygote_and_grow,
	},
	{
		.name = "brood_fork",
		.about = "brood_process_start and join",
		.only = "process.zygote",
		STARTER,
		.rounds = by_fork,
		.enter = grow,
	},
	{
		.name = "fork",
		.about = "fork, _exit, waitpid",
		.only = "process.zygote",
		STARTER,
		.rounds = bare_fork,
		.enter = grow,
	},
	{
		.name = "python",
		.about = "multiprocessing.Process, forkserver",
		.only = "process.zygote",
		.traits = PEER_ALONE,
		.create = python_forkserver_new,
		.destroy = python_figure_delete,
		.rounds = python_figure_rounds,
		.right = some,
	},
};
