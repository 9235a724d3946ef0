/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many CPUs there are, and how many of them are ours. */
#include <errno.h>
#include <stdlib.h>

#include "platform/children.h"
#include "process/process.h"

#define CPUS_MOST 1000000

/* 0 when it is not set, or no number that makes sense. */
static unsigned int told_by_environment(void)
{
	const char *text = getenv("BROOD_CPUS");
	char *end;
	long n;

	if (!text || !*text)
		return 0;
	errno = 0;
	n = strtol(text, &end, 10);
	return *end || errno || n < 1 || n > CPUS_MOST ? 0 : (unsigned int)n;
}

unsigned int brood_cpu_count(void)
{
	unsigned int told = told_by_environment();
	unsigned int allowed, limit;

	if (told)
		return told;
	allowed = brood__cpus_allowed();
	limit = brood__cpus_of_cgroups("/proc/self/cgroup", "/sys/fs/cgroup");
	return limit && limit < allowed ? limit : allowed;
}

unsigned int brood_cpu_count_all(void)
{
	return brood__cpus_online();
}
