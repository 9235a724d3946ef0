/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of benches, and one timing of one of them. */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "stats.h"

#define WARM (20 * NSEC_PER_MSEC)
#define LINE 64

static const size_t line_sized[] = { 64, 0 };
static const size_t large_sized[] = { 4096, 65536, 1 << 20, 0 };
static const size_t bytes_sized[] = { 64, 4096, 65536, 1 << 20, 0 };
static const size_t output_sized[] = { 64 << 20, 0 };
static const unsigned int pair[] = { 1, 0 };
static const unsigned int crowds[] = { 2, 4, 0 };
static const unsigned int one_to_four[] = { 1, 2, 4, 0 };
static const unsigned int one_or_four[] = { 1, 4, 0 };
static const unsigned int two[] = { 2, 0 };
static const unsigned int with_subscribers[] = { 2, 3, 5, 0 };

const struct bench benches[] = {
	{
		.name = "queue.spsc",
		.about = "one producer, one consumer, one message a call",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_PINNED,
		.produce = stream_produce, .consume = stream_consume,
	}, {
		.name = "queue.mpmc",
		.about = "2 + 2 and 4 + 4 producers and consumers, one message a call",
		.sizes = line_sized, .shapes = crowds, .batch = 1, .queues = 1,
		.flags = BENCH_SHAPES,
		.produce = stream_produce, .consume = stream_consume,
	}, {
		.name = "queue.pingpong",
		.about = "round trip over two queues, both sides running",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 2,
		.flags = BENCH_PINNED, .figures = FIGURES_TRIP,
		.produce = trip_produce, .consume = trip_consume,
	}, {
		.name = "queue.paced",
		.about = "a message every 50 us: from just before the put until it is seen",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.size_min = 3 * sizeof(uint64_t),
		.flags = BENCH_PINNED | BENCH_WAKE | BENCH_CONSUMER_CPU,
		.figures = FIGURES_SAMPLES,
		.produce = paced_produce, .consume = paced_consume,
	}, {
		.name = "queue.wake",
		.about = "what a put costs that wakes a sleeping consumer (one every ms)",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_PINNED | BENCH_WAKE | BENCH_SLEEPERS | BENCH_CONSUMER_CPU,
		.figures = FIGURES_SAMPLES,
		.produce = wake_produce, .consume = wake_consume,
	}, {
		.name = "queue.bulk",
		.about = "one producer, one consumer, 32 messages a call where a call takes"
			 " several",
		.sizes = line_sized, .shapes = pair, .batch = 32, .queues = 1,
		.flags = BENCH_PINNED,
		.produce = bulk_produce, .consume = bulk_consume,
	}, {
		.name = "queue.large",
		.about = "4 KiB, 64 KiB and 1 MiB messages, every byte written and read, in place"
			 " where that goes",
		.sizes = large_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_PINNED,
		.produce = large_produce, .consume = large_consume,
	}, {
		.name = "queue.bytes",
		.about = "the same with a ring of bytes beside the queues, and 64 bytes",
		.sizes = bytes_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_PINNED,
		.produce = large_produce, .consume = large_consume,
	}, {
		.name = "pipe.pingpong",
		.about = "round trip over two simplex pipes, both sides running",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 2,
		.flags = BENCH_PINNED, .figures = FIGURES_TRIP,
		.produce = trip_produce, .consume = trip_consume,
	}, {
		.name = "pipe.stream",
		.about = "one sender, one receiver, one message a call",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_PINNED,
		.produce = stream_produce, .consume = stream_consume,
	}, {
		.name = "queue.idle",
		.about = "CPU use of a reader that waits for 2 s",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.time_ms = 2000,
		.flags = BENCH_FAMILIES | BENCH_ONE_RUN | BENCH_CONSUMER_CPU,
		.figures = FIGURES_CPU,
		.produce = idle_produce, .consume = idle_consume,
	}, {
		.name = "wait.many",
		.about = "a put every ms into the last of 1, 100, 1,000 queues: until who waits for"
			 " all has it",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.size_min = 3 * sizeof(uint64_t),
		.flags = BENCH_PINNED | BENCH_MAILBOX | BENCH_CONSUMER_CPU,
		.figures = FIGURES_SAMPLES,
		.produce = rare_produce, .consume = paced_consume,
	}, {
		.name = "epoll.wake",
		.about = "a put every ms: from just before it until the event loop has the message",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.size_min = 3 * sizeof(uint64_t),
		.flags = BENCH_PINNED | BENCH_MAILBOX | BENCH_CONSUMER_CPU,
		.figures = FIGURES_SAMPLES,
		.produce = rare_produce, .consume = paced_consume,
	}, {
		.name = "epoll.busy",
		.about = "one producer, and a consumer in an event loop that is mostly busy",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_PINNED | BENCH_MAILBOX,
		.produce = stream_produce, .consume = stream_consume,
	}, {
		.name = "queue.broadcast",
		.about = "one producer, and 1, 2, 4 subscribers that get all; a message put or got",
		.sizes = line_sized, .shapes = with_subscribers, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = sync_rounds,
	}, {
		.name = "sync.lock",
		.about = "acquire, count up, release: by one, two, and four processes",
		.sizes = line_sized, .shapes = one_to_four, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = sync_rounds,
	}, {
		.name = "sync.rwlock",
		.about = "acquire for reading (or writing), release: by one and by four processes",
		.sizes = line_sized, .shapes = one_or_four, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = sync_rounds,
	}, {
		.name = "sync.sem",
		.about = "release and acquire, alone",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = sync_rounds,
	}, {
		.name = "sync.event",
		.about = "set, nobody waits",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = sync_rounds,
	}, {
		.name = "sync.event_wake",
		.about = "an event set every ms: from just before the set until the sleeper runs",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.size_min = 3 * sizeof(uint64_t),
		.flags = BENCH_PINNED | BENCH_MAILBOX | BENCH_CONSUMER_CPU,
		.figures = FIGURES_SAMPLES,
		.produce = rare_produce, .consume = paced_consume,
	}, {
		.name = "sync.cond",
		.about = "two processes take turns under a lock and a condition; a turn",
		.sizes = line_sized, .shapes = two, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = sync_rounds,
	}, {
		.name = "sync.barrier",
		.about = "two, and four, processes meet; a meeting of one process",
		.sizes = line_sized, .shapes = crowds, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = sync_rounds,
	}, {
		.name = "process.start",
		.about = "a process that does nothing: start and join",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = process_rounds,
	}, {
		.name = "process.zygote",
		.about = "the same, from a program with two threads and 256 MiB written",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = process_rounds,
	}, {
		.name = "pool.map",
		.about = "a map of empty tasks, 10,000 and more, two workers; a task. --batch: the chunk",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC | BENCH_BATCH, .produce = pool_map_rounds,
	}, {
		.name = "pool.roundtrip",
		.about = "one task of 8 bytes, there and back",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = sync_rounds,
	}, {
		.name = "subprocess.run",
		.about = "a program that does nothing (true): start, and wait for its end",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = process_rounds,
	}, {
		.name = "subprocess.big",
		.about = "the same, from a program with 1 GiB written; brood with every option",
		.sizes = line_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC, .produce = process_rounds,
	}, {
		.name = "subprocess.capture",
		.about = "a program that writes 64 MiB as fast as it can: start, all it writes, end",
		.sizes = output_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC | BENCH_BYTES, .figures = FIGURES_TRIP,
		.produce = capture_rounds,
	}, {
		.name = "subprocess.cat",
		.about = "64 MiB into cat, and out of it again",
		.sizes = output_sized, .shapes = pair, .batch = 1, .queues = 1,
		.flags = BENCH_SYNC | BENCH_BYTES, .figures = FIGURES_TRIP,
		.produce = capture_rounds,
	}, {
		.name = NULL,
	},
};

bool bench_takes(const struct bench *bench, const struct peer *peer, const struct shape *shape)
{
	unsigned int traits = peer->traits;

	if ((traits & PEER_ALONE) && shape->producers > 1)
		return false;
	if (bench->flags & (BENCH_SYNC | BENCH_MAILBOX))
		return peer->only && !strcmp(peer->only, bench->name);
	if (peer->only && strncmp(bench->name, peer->only, strlen(peer->only)))
		return false;
	if ((traits & PEER_ONE_TO_ONE) && (shape->producers > 1 || shape->consumers > 1))
		return false;
	if ((traits & PEER_WAKE) && !(bench->flags & BENCH_WAKE))
		return false;
	if ((traits & PEER_SPINS) && (bench->flags & BENCH_SLEEPERS))
		return false;
	return !((traits & PEER_VARIANT) && (bench->flags & BENCH_FAMILIES));
}

/* Every worker has a buffer of its own and has touched it before the barrier. */
static void enter(struct job *job)
{
	const struct task *task = job->task;
	size_t words = task->shape.size / sizeof(uint64_t);
	size_t bytes = (task->shape.size * task->bench->batch + LINE - 1) / LINE * LINE;

	job->words = aligned_alloc(LINE, bytes);
	if (!job->words)
		job_fail(job, "%s", strerror(ENOMEM));
	for (unsigned int i = 0; i < task->bench->batch; i++)
		message_prepare(job->words + i * words, words);
	for (unsigned int i = 0; i < task->bench->queues; i++)
		if (task->ports[i].ops->enter)
			task->ports[i].ops->enter(task->ports[i].queue, job->index);
}

static int64_t end_of(const struct team *team, const struct worker *worker)
{
	return worker->end ? worker->end : team->cut;
}

static int64_t wall_ns(const struct team *team)
{
	int64_t begin = INT64_MAX;
	int64_t end = 0;

	for (unsigned int i = 0; i < team->n; i++) {
		const struct worker *worker = &team->workers[i];

		begin = worker->begin < begin ? worker->begin : begin;
		end = end_of(team, worker) > end ? end_of(team, worker) : end;
	}
	return end - begin;
}

static double cpu_percent(const struct team *team, unsigned int first)
{
	int64_t used = 0;

	for (unsigned int i = first; i < team->n; i++) {
		const struct worker *worker = &team->workers[i];

		used += (worker->end ? worker->cpu_end : worker->cpu_all) - worker->cpu_begin;
	}
	return 100.0 * (double)used / (double)wall_ns(team);
}

/* Of the workers from the first one of them on. */
static double rate_ns(const struct team *team, unsigned int first)
{
	uint64_t done = 0;

	for (unsigned int i = first; i < team->n; i++)
		done += team->workers[i].done;
	return done ? (double)wall_ns(team) / (double)done : NAN;
}

/* The work of the slowest over that of the fastest. */
static double evenness(const struct team *team)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (unsigned int i = 0; i < team->n; i++) {
		uint64_t done = team->workers[i].done;

		least = done < least ? done : least;
		most = done > most ? done : most;
	}
	return team->n > 1 && most ? (double)least / (double)most : NAN;
}

static double trip_ns(const struct team *team)
{
	const struct worker *client = &team->workers[0];

	return client->span ? (double)client->span / (double)client->done : NAN;
}

static void take_figures(struct team *team, const struct task *task, struct figure *figure)
{
	unsigned int consumers_from = task->shape.producers;
	bool consumers_only = task->bench->flags & BENCH_CONSUMER_CPU;

	for (unsigned int i = 0; i < team->n; i++)
		if (team->workers[i].phase < PHASE_TIMED)
			return;
	figure->cpu = cpu_percent(team, consumers_only ? consumers_from : 0);
	if (task->bench->figures == FIGURES_RATE)
		figure->ns = rate_ns(team, task->bench->flags & BENCH_SYNC ? 0 : consumers_from);
	if (task->bench->flags & BENCH_SYNC)
		figure->even = evenness(team);
	if (task->bench->figures == FIGURES_TRIP)
		figure->ns = trip_ns(team);
	if (task->bench->figures == FIGURES_SAMPLES)
		figure->ns = stats_mean(team->samples, team->n_samples);
	figure->p50 = stats_percentile(team->samples, team->n_samples, 0.50);
	figure->p99 = stats_percentile(team->samples, team->n_samples, 0.99);
}

/* What went in came out: as many, and the same. */
static bool balanced(const struct team *team, unsigned int producers)
{
	uint64_t count = 0;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < team->n; i++) {
		const struct worker *worker = &team->workers[i];

		count += i < producers ? worker->count : -worker->count;
		sum += i < producers ? worker->sum : -worker->sum;
	}
	return !count && !sum;
}

/* Each worker has told in `count` how many rounds it made, in both phases. */
static bool sync_right(const struct team *team, const struct task *task)
{
	uint64_t rounds = 0;

	for (unsigned int i = 0; i < team->n; i++)
		rounds += team->workers[i].count;
	return task->ports[0].ops->right(task->ports[0].queue, rounds);
}

static int run_workers(struct team *team, const struct task *task,
		       const struct conditions *conditions, const int cpus[2],
		       struct figure *figure, const char **error)
{
	const struct bench *bench = task->bench;
	bool pinned = bench->flags & BENCH_PINNED;
	bool rounds = bench->flags & BENCH_SYNC && !(bench->flags & BENCH_BYTES);
	int free_cpu = conditions->spread ? CPU_SPREAD : CPU_ANY;
	struct role roles[2] = {
		{ task->shape.producers,
		  rounds ? CPU_SPREAD : pinned ? cpus[0] : free_cpu, enter,
		  bench->produce },
		{ task->shape.consumers, pinned ? cpus[1] : free_cpu, enter, bench->consume },
	};
	unsigned int time_ms = bench->time_ms ? bench->time_ms : conditions->time_ms;
	enum outcome outcome = team_run(team, roles, task, WARM, time_ms * NSEC_PER_MSEC);

	*error = NULL;
	if (outcome == TEAM_FAILED)
		*error = team_error(team);
	else if (outcome == TEAM_DONE && bench->flags & BENCH_SYNC && !sync_right(team, task))
		*error = "the rounds that were counted are not those that were made";
	else if (outcome == TEAM_DONE && !(bench->flags & BENCH_SYNC) &&
		 !balanced(team, task->shape.producers))
		*error = "the messages that came out are not those that went in";
	if (*error)
		return -2;
	figure->cut = outcome == TEAM_CUT;
	take_figures(team, task, figure);
	return 0;
}

static int open_ports(struct task *task, const struct peer *peer)
{
	for (unsigned int i = 0; i < task->bench->queues; i++) {
		int error = port_open(&task->ports[i], peer, &task->shape);

		if (error) {
			errno = -error;
			return -1;
		}
	}
	return 0;
}

int bench_measure(struct team *team, const struct bench *bench, const struct peer *peer,
		  const struct shape *shape, const struct conditions *conditions,
		  struct figure *figure, const char **error)
{
	struct task task = { .bench = bench, .shape = *shape };
	int cpus[2];
	int result = open_ports(&task, peer);
	int reason = errno;

	cpus_choose(cpus);
	*figure = (struct figure){ .ns = NAN, .p50 = NAN, .p99 = NAN, .cpu = NAN, .line = NAN,
				   .even = NAN };
	if (!result) {
		figure->line = probe_line(team, cpus);
		result = run_workers(team, &task, conditions, cpus, figure, error);
	}
	for (unsigned int i = 0; i < bench->queues; i++)
		port_close(&task.ports[i]);
	errno = reason;
	return result;
}
