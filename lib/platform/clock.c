/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one clock, and the one timeout parameter turned into a deadline.
 */
#include <time.h>

#include "platform/platform.h"

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
	if (brood__no_wait(timeout))
		return 0;
	if (timeout < 0)	/* brood_until(t) is INT64_MIN + t; 0 would mean not to wait */
		return timeout == INT64_MIN ? 1 : timeout - INT64_MIN;
	now = brood_now();
	return timeout < BROOD__NO_DEADLINE - now ? now + timeout : BROOD__NO_DEADLINE;
}
