/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bar that map draws on a terminal: one line, written in one piece, over itself. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool/pool.h"

#define WIDTH 40u

bool brood__bar_wanted(const struct brood_pool *pool)
{
	return pool->progress && isatty(STDERR_FILENO);
}

static void put(const char *text, int length)
{
	ssize_t written = write(STDERR_FILENO, text, (size_t)length);

	(void)written;	/* there is nothing to be done about it */
}

void brood__bar_draw(uint64_t done, uint64_t total, int64_t since)
{
	double part = total ? (double)done / (double)total : 1;
	double seconds = (double)(brood_now() - since + 1) / 1e9;
	char bar[WIDTH + 1], line[160];
	int length;

	memset(bar, ' ', WIDTH);
	memset(bar, '#', (size_t)(part * WIDTH));
	bar[WIDTH] = 0;
	length = snprintf(line, sizeof(line), "\r[%s] %3.0f %%  %llu/%llu  %.0f/s ", bar,
			  100 * part, (unsigned long long)done, (unsigned long long)total,
			  (double)done / seconds);
	put(line, length);
}

void brood__bar_end(void)
{
	put("\n", 1);
}
