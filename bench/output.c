/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <config.h>

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

#include "output.h"

#define PLACEMENT_SHIFT 1.3	/* most over least probe from which on runs are not alike */

static double per_second(const struct row *row)
{
	enum figures figures = row->bench->figures;

	return figures == FIGURES_RATE || figures == FIGURES_TRIP ? 1e9 / row->ns : NAN;
}

#ifdef HAVE_JANSSON
bool output_has_json(void)
{
	return true;
}

/* To a hundredth: more digits would be noise. */
static json_t *number(double value)
{
	return isnan(value) ? json_null() : json_real(round(value * 100) / 100);
}

void output_json(const struct row *row)
{
	json_t *object = json_pack("{ss ss sI sI sI sI sI so so so so so so so so so}",
		"bench", row->bench->name,
		"impl", row->peer->name,
		"size", (json_int_t)row->shape.size,
		"producers", (json_int_t)row->shape.producers,
		"consumers", (json_int_t)row->shape.consumers,
		"batch", (json_int_t)row->bench->batch,
		"runs", (json_int_t)row->runs,
		"ns_per_msg", number(row->ns),
		"ns_min", number(row->ns_min),
		"ns_max", number(row->ns_max),
		"p50_ns", number(row->p50),
		"p99_ns", number(row->p99),
		"msgs_per_s", number(per_second(row)),
		"cpu_percent", number(row->cpu),
		"evenness", number(row->even),
		"line_rtt_ns", number(row->line));

	json_dumpf(object, stdout, JSON_REAL_PRECISION(12));
	putchar('\n');
	json_decref(object);
	fflush(stdout);
}
#else
bool output_has_json(void)
{
	return false;
}

void output_json(const struct row *row)
{
	(void)row;
}
#endif

static void print_size(size_t size)
{
	if (size >= 1 << 20 && size % (1 << 20) == 0)
		printf("%zu MiB", size >> 20);
	else if (size >= 1 << 10 && size % (1 << 10) == 0)
		printf("%zu KiB", size >> 10);
	else
		printf("%zu bytes", size);
}

/* Of a bench of rounds that moves no bytes, how even the workers were is told instead. */
static bool tells_bytes(const struct bench *bench)
{
	return !(bench->flags & BENCH_SYNC) || bench->flags & BENCH_BYTES;
}

static void print_placement(const struct bench *bench, bool spread)
{
	int cpus[2];

	cpus_choose(cpus);
	if (cpus[0] < 0)
		printf("one CPU only");
	else if (bench->flags & BENCH_SYNC && !(bench->flags & BENCH_BYTES))
		printf("pinned round the CPUs");
	else if (bench->flags & BENCH_PINNED)
		printf("producer on CPU %d, consumer on CPU %d", cpus[0], cpus[1]);
	else if (spread)
		printf("pinned round the CPUs");
	else
		printf("where the kernel puts them");
}

void output_head(const struct bench *bench, const struct shape *shape, unsigned int runs,
		 const struct conditions *conditions)
{
	printf("%s: %s\n  %u + %u, ", bench->name, bench->about, shape->producers,
	       shape->consumers);
	print_size(shape->size);
	printf(", %u slots, %u run%s, ", shape->slots, runs, runs == 1 ? "" : "s");
	print_placement(bench, conditions->spread);
	printf("\n  %-14s %10s %10s %10s %9s %9s %8s %7s %6s %8s\n", "", "ns", "least", "most",
	       "p50 ns", "p99 ns", "M/s", tells_bytes(bench) ? "GB/s" : "even", "CPU %",
	       "line ns");
	fflush(stdout);
}

static void cell(int width, int digits, double value)
{
	if (isnan(value))
		printf(" %*s", width, "-");
	else
		printf(" %*.*f", width, digits, value);
}

static bool shifted(const struct row *row)
{
	return row->line_max > PLACEMENT_SHIFT * row->line_min;
}

void output_row(const struct row *row)
{
	double rate = per_second(row);

	printf("  %-14s", row->peer->name);
	cell(10, 1, row->ns);
	cell(10, 1, row->ns_min);
	cell(10, 1, row->ns_max);
	cell(9, 0, row->p50);
	cell(9, 0, row->p99);
	cell(8, 3, rate / 1e6);
	cell(7, 2, tells_bytes(row->bench) ? rate * (double)row->shape.size / 1e9 : row->even);
	cell(6, 1, row->cpu);
	cell(8, 0, row->line);
	printf("%s%s\n", shifted(row) ? " *" : "", row->cuts ? " !" : "");
	fflush(stdout);
}

void output_foot(const struct row *rows, unsigned int n)
{
	bool any_shifted = false;
	bool any_cut = false;

	for (unsigned int i = 0; i < n; i++) {
		any_shifted = any_shifted || shifted(&rows[i]);
		any_cut = any_cut || rows[i].cuts;
	}
	if (any_shifted)
		printf("  * the cores were moved between runs: compare least and most with care\n");
	if (any_cut)
		printf("  ! came to a crawl and was ended; a figure is what it had done by then\n");
	putchar('\n');
	fflush(stdout);
}

static const char *waiting(const struct peer *peer)
{
	return peer->traits & PEER_SPINS ? "; spins, then yields the CPU" : "";
}

void output_list(void)
{
	printf("Benches (NAME on the command line is one of these, or a beginning of one):\n");
	for (const struct bench *bench = benches; bench->name; bench++)
		printf("  %-18s %s\n", bench->name, bench->about);
	printf("\nImplementations in this build (--impl):\n");
	for (const struct peer *const *peer = peers; *peer; peer++)
		printf("  %-16s %s%s\n", (*peer)->name, (*peer)->about, waiting(*peer));
	printf("\nAnd for one bench each:\n");
	for (const struct peer *const *table = peers_of_one; *table; table++)
		for (const struct peer *peer = *table; peer->name; peer++)
			printf("  %-18s %-14s %s\n", peer->only, peer->name, peer->about);
	if (peers_missing[0])
		printf("\nNot in this build, because configure did not find them:%s\n",
		       peers_missing);
}

void output_progress(const char *text)
{
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%s", text ? text : "");
	fflush(stderr);
}
