/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The few statistics that the report needs. NAN means "no figure". */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

/* All three skip NANs, and are NAN when nothing is left. */
double stats_median(const double *values, size_t n);
double stats_min(const double *values, size_t n);
double stats_max(const double *values, size_t n);

double stats_mean(const uint32_t *samples, size_t n);

/* The sample below which the fraction q lies. Sorts the samples; NAN when there are none. */
double stats_percentile(uint32_t *samples, size_t n, double q);

#endif
