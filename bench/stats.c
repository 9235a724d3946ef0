/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stats.h"

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static int compare_samples(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

double stats_median(const double *values, size_t n)
{
	double sorted[n + 1];
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!isnan(values[i]))
			sorted[kept++] = values[i];
	if (!kept)
		return NAN;
	qsort(sorted, kept, sizeof *sorted, compare_doubles);
	return (sorted[(kept - 1) / 2] + sorted[kept / 2]) / 2;
}

double stats_min(const double *values, size_t n)
{
	double least = NAN;

	for (size_t i = 0; i < n; i++)
		least = fmin(least, values[i]);
	return least;
}

double stats_max(const double *values, size_t n)
{
	double most = NAN;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, values[i]);
	return most;
}

double stats_mean(const uint32_t *samples, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += samples[i];
	return n ? sum / (double)n : NAN;
}

double stats_percentile(uint32_t *samples, size_t n, double q)
{
	if (!n)
		return NAN;
	qsort(samples, n, sizeof *samples, compare_samples);
	return samples[(size_t)(q * (double)(n - 1))];
}
