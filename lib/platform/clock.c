/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one clock, and the one timeout parameter turned into a deadline.
 */
#include <time.h>

#include "platform/platform.h"

/* brood_until(t) is INT64_MIN + t; no time that the clock can show reaches this bound. */
#define ABSOLUTE_BELOW (INT64_MIN / 2)

int64_t brood_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t brood__deadline(int64_t timeout)
{
	int64_t now;

	if (timeout == BROOD_FOREVER)
		return BROOD__NO_DEADLINE;
	if (timeout < ABSOLUTE_BELOW)
		return timeout == INT64_MIN ? 1 : timeout - INT64_MIN;
	if (timeout <= 0)
		return 0;
	now = brood_now();
	return timeout < BROOD__NO_DEADLINE - now ? now + timeout : BROOD__NO_DEADLINE;
}
