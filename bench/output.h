/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The report: a table for people, or JSON, one object a line. */
#ifndef BENCH_OUTPUT_H
#define BENCH_OUTPUT_H

#include <stdbool.h>

#include "bench.h"

/* All runs of one bench with one peer. NAN where a figure does not apply. */
struct row {
	const struct bench *bench;
	const struct peer *peer;
	struct shape shape;
	unsigned int runs;
	unsigned int cuts;		/* runs that had to be ended */
	double ns, ns_min, ns_max;	/* a message: median, least and most of the runs */
	double p50, p99;
	double cpu;
	double even;
	double line, line_min, line_max;
};

bool output_has_json(void);
void output_json(const struct row *row);

/* Before the first row of a bench, shape and size. */
void output_head(const struct bench *bench, const struct shape *shape, unsigned int runs,
		 const struct conditions *conditions);
void output_row(const struct row *row);
void output_foot(const struct row *rows, unsigned int n);

/* What a stranger needs to choose from. */
void output_list(void);

/* One line on a terminal that the next one replaces; NULL takes it away. */
void output_progress(const char *text);

#endif
