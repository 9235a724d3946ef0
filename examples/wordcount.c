/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wordcount: count the words of all files below a directory with many processes, and kill some of
 * them while they work.
 *
 *	reader --(chunks)--> workers --(batches)--> reducer, which is the process that began
 *
 * A chunk is a piece of text with a number. The reader reads files straight into the buffers of a
 * queue (reserve, commit). A worker looks at a chunk where it lies (lease), counts its words, sends
 * them in one or more batches through a second queue, and only then lets go of the chunk (release).
 * So a worker may be killed at any instruction. Killed
 *
 *	before its first batch: the queue delivers the chunk again, to another worker;
 *	between two batches: the same, and the batches that are in come a second time;
 *	after the last, before the release: the same, and all of them come a second time.
 *
 * The reducer knows a batch that it has had by the numbers of its chunk and part, and drops it. The
 * result is exact, and is compared with a count made by this one process in the plain way.
 *
 * Where to read on: wordcount_children.c has the reader and the worker, wordcount_reducer.c the
 * reducer, wordcount_family.c the queues and the care for the processes. The other files have
 * nothing to do with the library, but for its clock and its texts for errors.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brood.h>

#include "wordcount.h"

#define CHAOS_MAX 100000
#define SHOWN_DIFFERENCES 5

static const struct argp_option options[] = {
	{ .name = "workers", .key = 'w', .arg = "N", .doc = "count with N workers" },
	{ .name = "chaos", .key = 'c', .arg = "K", .doc = "kill K workers while they work" },
	{ .name = "top", .key = 't', .arg = "N", .doc = "show the N most frequent words (10)" },
	{ .name = "seed", .key = 's', .arg = "S", .doc = "choose the victims by this number" },
	{ 0 },
};

static unsigned int number(const char *text, unsigned long min, unsigned long max,
			   struct argp_state *state)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < min || value > max)
		argp_error(state, "%s: not a number from %lu to %lu", text, min, max);
	return (unsigned int)value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct settings *settings = state->input;

	switch (key) {
	case 'w':
		settings->workers = number(arg, 1, WORKERS_MAX, state);
		return 0;
	case 'c':
		settings->chaos = number(arg, 0, CHAOS_MAX, state);
		return 0;
	case 't':
		settings->top = number(arg, 0, UINT32_MAX, state);
		return 0;
	case 's':
		settings->seed = number(arg, 0, UINT32_MAX, state);
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			argp_usage(state);
		settings->path = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PATH]",
	.doc = "Count the words of all files at and below PATH (/usr/include) with many processes."
	       "\vThe count is compared with that of one process: the exit status is 0 when they are "
	       "identical, 1 when they differ, 2 when there was an error.",
};

/* At least 4, so that something is going on when one of them is killed. */
static unsigned int default_workers(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus < 4)
		return 4;
	return cpus < WORKERS_MAX ? (unsigned int)cpus : WORKERS_MAX;
}

static void show_top(const struct words *words, unsigned int top)
{
	for (uint32_t i = 0; i < words->n && i < top; i++)
		printf("%16s  %.*s\n", grouped(words->list[i].count), (int)words->list[i].length,
		       words->list[i].text);
}

/* The number of words of `a` that `b` has another count of; the first few are told. */
static uint32_t count_differences(const struct words *a, const struct words *b,
				  const char *a_name, const char *b_name)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->n; i++) {
		const struct word *word = &a->list[i];
		const struct word *other = words_find(b, word);
		uint64_t count = other ? other->count : 0;

		if (word->count != count && n++ < SHOWN_DIFFERENCES)
			tell("%.*s: %s by %s, %s by %s", (int)word->length, word->text,
			     grouped(word->count), a_name, grouped(count), b_name);
	}
	return n;
}

static void show_outcome(const struct settings *settings, const struct outcome *outcome)
{
	if (!settings->chaos && !outcome->redone)
		return;
	printf(" (%u workers killed, ", outcome->killed);
	if (outcome->killed < settings->chaos)
		printf("there was no work for %u more, ", settings->chaos - outcome->killed);
	printf("%u chunks counted again, %u batches came twice and were dropped)",
	       outcome->redone, outcome->dropped);
}

/* Compare the two counts. Returns the exit status. */
static int judge(const struct settings *settings, const struct words *counted,
		 const struct words *plain, const struct outcome *outcome)
{
	uint32_t different = count_differences(counted, plain, "the workers", "one process") +
			     count_differences(plain, counted, "one process", "the workers");
	bool identical = !different && counted->n == plain->n && counted->total == plain->total;

	if (!identical)
		printf("NOT identical: %s words, %s distinct by one process; ",
		       grouped(plain->total), grouped(plain->n));
	printf("%s%s words, %s distinct, counted by %u workers%s", identical ? "identical: " : "",
	       grouped(counted->total), grouped(counted->n), settings->workers,
	       identical ? " and by one process" : "");
	show_outcome(settings, outcome);
	printf("\n");
	return identical ? 0 : 1;
}

static void show_time(const char *who, const struct files *files, int64_t started)
{
	double seconds = (double)(brood_now() - started) / 1e9;

	printf("%s: %.2f s, %.0f MB/s\n", who, seconds, (double)files->bytes / 1e6 / seconds);
}

static int count_by_workers(const struct settings *settings, const struct files *files,
			    struct words *words, struct outcome *outcome)
{
	int64_t started = brood_now();
	int err = count_in_pipeline(settings, files, words, outcome);

	if (!err)
		show_time("by the workers", files, started);
	return err;
}

static int count_by_one(const struct files *files, struct words *words)
{
	struct progress progress;
	int64_t started = brood_now();
	int err;

	progress_begin(&progress, "checking", files);
	err = files_count_plainly(files, words, &progress);
	progress_end(&progress);
	if (err)
		return fail("cannot count", err);
	show_time("by one process", files, started);
	return 0;
}

/* Count twice, compare. Returns the exit status. */
static int count_files(const struct settings *settings, const struct files *files)
{
	struct words counted = { 0 }, plain = { 0 };
	struct outcome outcome = { 0 };
	int status = 2;

	if (count_by_workers(settings, files, &counted, &outcome) == 0 &&
	    count_by_one(files, &plain) == 0) {
		words_sort(&counted);
		show_top(&counted, settings->top);
		status = judge(settings, &counted, &plain, &outcome);
	}
	words_free(&counted);
	words_free(&plain);
	return status;
}

int main(int argc, char **argv)
{
	struct settings settings = {
		.path = "/usr/include",
		.workers = default_workers(),
		.top = 10,
		.seed = (unsigned int)brood_now(),
	};
	struct files files = { 0 };
	int err, status = 2;

	setvbuf(stdout, NULL, _IOLBF, 0);	/* in order with stderr, also in a pipe */
	argp_parse(&argp, argc, argv, 0, NULL, &settings);
	srandom(settings.seed);
	err = files_list(&files, settings.path);
	if (err) {
		fail(settings.path, err);
	} else {
		printf("%s: %s files, %.1f MB, %u workers", settings.path, grouped(files.n),
		       (double)files.bytes / 1e6, settings.workers);
		if (settings.chaos)
			printf(", %u to be killed, seed %u", settings.chaos, settings.seed);
		printf("\n");
		status = count_files(&settings, &files);
	}
	files_free(&files);
	return status;
}
