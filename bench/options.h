/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "bench.h"

#define NAMES_MAX 32
#define IMPLS_MAX 32
#define RUNS_MAX 1000

/* Zero where the user gave nothing and the bench decides. */
struct options {
	const char *names[NAMES_MAX];
	unsigned int n_names;
	const struct peer *impls[IMPLS_MAX];
	unsigned int n_impls;
	bool json;
	bool list;
	size_t size;
	unsigned int producers;
	unsigned int consumers;
	unsigned int runs;
	unsigned int slots;
	unsigned int batch;
	struct conditions conditions;
};

/* Fill in what the user said; a mistake ends the program. */
void options_parse(struct options *options, int argc, char **argv);

/* Whether the user wants it. */
bool options_bench(const struct options *options, const struct bench *bench);
bool options_impl(const struct options *options, const struct peer *peer);

#endif
