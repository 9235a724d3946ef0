/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * brood-bench: for every bench, size and number of members, rounds in which all implementations are
 * measured in turn, and then a row for each.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "options.h"
#include "output.h"
#include "stats.h"

#define PEERS_MAX 32
#define SLOTS 1024u
#define SLOTS_LEAST 4u
#define SLOT_MEMORY (1u << 20)

/* One peer in one case. */
struct entry {
	const struct peer *peer;
	bool absent;			/* it cannot do this case */
	struct figure figures[RUNS_MAX];
};

/* One bench with one size and one number of members. */
struct trial {
	const struct options *options;
	const struct bench *bench;
	struct shape shape;
	unsigned int runs;
	unsigned int n;
	struct entry *entries;
};

static unsigned int default_slots(const struct bench *bench, size_t size)
{
	unsigned int least = bench->batch > 1 ? SLOTS_LEAST * bench->batch : SLOTS_LEAST;
	unsigned int slots = SLOTS;

	while (slots > least && slots * size > SLOT_MEMORY)
		slots /= 2;
	return slots;
}

static struct shape choose_shape(const struct options *options, const struct bench *bench,
				 size_t size, unsigned int members)
{
	struct shape shape = { .size = size, .producers = members, .consumers = members };

	if (shape.size < bench->size_min)
		shape.size = bench->size_min;
	if (bench->flags & BENCH_SHAPES) {
		shape.producers = options->producers ? options->producers : members;
		shape.consumers = options->consumers ? options->consumers : members;
	}
	if (bench->flags & BENCH_SYNC)
		shape.consumers = 0;
	shape.slots = options->slots ? options->slots : default_slots(bench, shape.size);
	return shape;
}

static void fail(const struct trial *trial, const struct peer *peer, const char *text)
{
	output_progress(NULL);
	fflush(stdout);
	fprintf(stderr, "brood-bench: %s: %s: %s\n", trial->bench->name, peer->name, text);
}

/* One round of one peer. False when the program must not go on. */
static bool measure(struct team *team, const struct trial *trial, struct entry *entry,
		    unsigned int run)
{
	const struct bench *bench = trial->bench;
	char text[128];
	const char *error;

	snprintf(text, sizeof text, "%s %zu bytes, %u + %u, run %u of %u: %s", bench->name,
		 trial->shape.size, trial->shape.producers, trial->shape.consumers, run + 1,
		 trial->runs, entry->peer->name);
	output_progress(text);
	switch (bench_measure(team, bench, entry->peer, &trial->shape,
			      &trial->options->conditions, &entry->figures[run], &error)) {
	case 0:
		return true;
	case -1:
		snprintf(text, sizeof text, "left out at %zu bytes: %s", trial->shape.size,
			 strerror(errno));
		fail(trial, entry->peer, text);
		entry->absent = true;
		return entry->peer != peers[0];
	default:
		fail(trial, entry->peer, error);
		return false;
	}
}

static bool measure_all(struct team *team, const struct trial *trial)
{
	for (unsigned int run = 0; run < trial->runs; run++)
		for (unsigned int i = 0; i < trial->n; i++) {
			struct entry *entry = &trial->entries[i];

			if (!entry->absent && !measure(team, trial, entry, run))
				return false;
		}
	output_progress(NULL);
	return true;
}

/* One member of struct figure in all runs. */
static void column(const struct entry *entry, unsigned int runs, size_t member,
		   double values[RUNS_MAX])
{
	for (unsigned int run = 0; run < runs; run++)
		memcpy(&values[run], (const char *)&entry->figures[run] + member, sizeof *values);
}

static void summarize(const struct trial *trial, const struct entry *entry, struct row *row)
{
	unsigned int runs = trial->runs;
	double ns[RUNS_MAX], line[RUNS_MAX], other[RUNS_MAX];

	column(entry, runs, offsetof(struct figure, ns), ns);
	column(entry, runs, offsetof(struct figure, line), line);
	*row = (struct row){
		.bench = trial->bench, .peer = entry->peer, .shape = trial->shape, .runs = runs,
		.ns = stats_median(ns, runs),
		.ns_min = stats_min(ns, runs),
		.ns_max = stats_max(ns, runs),
		.line = stats_median(line, runs),
		.line_min = stats_min(line, runs),
		.line_max = stats_max(line, runs),
	};
	column(entry, runs, offsetof(struct figure, p50), other);
	row->p50 = stats_median(other, runs);
	column(entry, runs, offsetof(struct figure, p99), other);
	row->p99 = stats_median(other, runs);
	column(entry, runs, offsetof(struct figure, cpu), other);
	row->cpu = stats_median(other, runs);
	column(entry, runs, offsetof(struct figure, even), other);
	row->even = stats_median(other, runs);
	for (unsigned int run = 0; run < runs; run++)
		row->cuts += entry->figures[run].cut;
}

static void report(const struct trial *trial)
{
	struct row rows[PEERS_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < trial->n; i++)
		if (!trial->entries[i].absent)
			summarize(trial, &trial->entries[i], &rows[n++]);
	if (!n)
		return;
	if (!trial->options->json)
		output_head(trial->bench, &trial->shape, trial->runs,
			    &trial->options->conditions);
	for (unsigned int i = 0; i < n; i++)
		trial->options->json ? output_json(&rows[i]) : output_row(&rows[i]);
	if (!trial->options->json)
		output_foot(rows, n);
}

static bool run_trial(struct team *team, const struct options *options, const struct bench *bench,
		      const struct shape *shape)
{
	struct trial trial = {
		.options = options,
		.bench = bench,
		.shape = *shape,
		.runs = bench->flags & BENCH_ONE_RUN ? 1 : options->runs,
		.entries = calloc(PEERS_MAX, sizeof(struct entry)),
	};
	bool good = trial.entries;

	if (!good)
		perror("brood-bench");
	for (const struct peer *const *peer = peers; good && *peer; peer++)
		if (options_impl(options, *peer) && bench_takes(bench, *peer, shape))
			trial.entries[trial.n++].peer = *peer;
	for (const struct peer *const *table = peers_of_one; good && *table; table++)
		for (const struct peer *peer = *table; peer->name; peer++)
			if (options_impl(options, peer) && bench_takes(bench, peer, shape))
				trial.entries[trial.n++].peer = peer;
	good = good && measure_all(team, &trial);
	if (good)
		report(&trial);
	free(trial.entries);
	return good;
}

/* All sizes and numbers of members of a bench, or those that the user chose. */
static bool run_bench(struct team *team, const struct options *options, const struct bench *bench)
{
	bool one_size = options->size;
	bool one_shape = (bench->flags & BENCH_SHAPES) &&
			 (options->producers || options->consumers);

	for (const size_t *size = bench->sizes; *size; size++) {
		for (const unsigned int *members = bench->shapes; *members; members++) {
			struct shape shape = choose_shape(options, bench,
							  one_size ? options->size : *size,
							  *members);

			if (!run_trial(team, options, bench, &shape))
				return false;
			if (one_shape)
				break;
		}
		if (one_size)
			break;
	}
	return true;
}

static bool run_benches(const struct options *options)
{
	struct team *team = team_create();
	bool good = team;

	if (!good)
		perror("brood-bench");
	for (const struct bench *bench = benches; good && bench->name; bench++)
		if (options_bench(options, bench)) {
			struct bench chosen = *bench;

			if (options->batch && bench->flags & BENCH_BATCH)
				chosen.batch = options->batch;
			good = run_bench(team, options, &chosen);
		}
	team_destroy(team);
	return good;
}

int main(int argc, char **argv)
{
	struct options options;

	if (argc == 3 && !strcmp(argv[1], CAPTURE_WRITE))
		return capture_write(argv[2]);
	options_parse(&options, argc, argv);
	if (options.list) {
		output_list();
		return 0;
	}
	signal(SIGCHLD, SIG_DFL);	/* ignored by whoever started us, it would eat exit codes */
	return run_benches(&options) ? 0 : 1;
}
