/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPUs: how many there are, how many the cgroups leave, which ones a process may use, and how nice
 * it is about them.
 *
 * A cgroup's quota is time of CPUs a period. Version 2 has both in one file, cpu.max, and the
 * limits of all groups above hold as well; version 1 has two files, in a hierarchy that is mounted
 * below "cpu". In a container the file that names our groups may tell paths of the host which are
 * not there: then those above, and at last the mount itself, are what we see of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "platform/children.h"

unsigned int brood__cpus_online(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned int)n : 1;
}

/* One or two numbers; false when it is absent or says "max" or -1. */
static bool read_numbers(const char *folder, const char *name, long long *first, long long *second)
{
	char path[PATH_MAX];
	FILE *file;
	int n, wanted = second ? 2 : 1;

	if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path)
		return false;
	file = fopen(path, "re");
	if (!file)
		return false;
	n = second ? fscanf(file, "%lld %lld", first, second) : fscanf(file, "%lld", first);
	fclose(file);
	return n == wanted && *first > 0;
}

static unsigned int limit_of(const char *folder)
{
	long long quota, period;

	if (!read_numbers(folder, "cpu.max", &quota, &period) &&
	    (!read_numbers(folder, "cpu.cfs_quota_us", &quota, NULL) ||
	     !read_numbers(folder, "cpu.cfs_period_us", &period, NULL)))
		return 0;
	if (period <= 0 || quota > INT_MAX || period > INT_MAX)
		return 0;
	return (unsigned int)((quota + period - 1) / period);
}

static unsigned int least(unsigned int a, unsigned int b)
{
	return a == 0 || (b && b < a) ? b : a;
}

/* Of the group and all above it, up to where it is mounted. */
static unsigned int limit_above(const char *mount, const char *group)
{
	char folder[PATH_MAX];
	size_t begin = strlen(mount);
	unsigned int limit = 0;

	if ((size_t)snprintf(folder, sizeof folder, "%s%s", mount, group) >= sizeof folder)
		return 0;
	for (;;) {
		char *slash;

		limit = least(limit, limit_of(folder));
		slash = strrchr(folder, '/');
		if (!slash || slash < folder + begin)
			return limit;
		*slash = '\0';
	}
}

static bool names_cpu(const char *controllers)
{
	for (const char *at = controllers; (at = strstr(at, "cpu")) != NULL; at++)
		if ((at == controllers || at[-1] == ',') && (at[3] == '\0' || at[3] == ','))
			return true;
	return false;
}

/* A line of the file: "hierarchy:controllers:path". */
static unsigned int limit_of_line(char *line, const char *root)
{
	char mount[PATH_MAX], *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return 0;
	*controllers++ = '\0';
	*path++ = '\0';
	path[strcspn(path, "\n")] = '\0';
	if (*controllers == '\0' && strcmp(line, "0") == 0)
		return limit_above(root, path);
	if (!names_cpu(controllers) ||
	    (size_t)snprintf(mount, sizeof mount, "%s/cpu", root) >= sizeof mount)
		return 0;
	return limit_above(mount, path);
}

unsigned int brood__cpus_of_cgroups(const char *cgroups, const char *root)
{
	FILE *file = fopen(cgroups, "re");
	char *line = NULL;
	size_t size = 0;
	unsigned int limit = 0;

	while (file && getline(&line, &size, file) > 0)
		limit = least(limit, limit_of_line(line, root));
	free(line);
	if (file)
		fclose(file);
	return limit;
}

int brood__cpus_allow(pid_t pid, const unsigned int *cpus, size_t n)
{
	cpu_set_t sets[BROOD__CPUS_MOST / 8 / sizeof(cpu_set_t)];

	CPU_ZERO_S(sizeof sets, sets);
	for (size_t i = 0; i < n; i++) {
		if (cpus[i] >= BROOD__CPUS_MOST)
			return -EINVAL;
		CPU_SET_S(cpus[i], sizeof sets, sets);
	}
	return sched_setaffinity(pid, sizeof sets, sets) ? -errno : 0;
}

#define NICE_RANGE 40 /* from the least to the greatest value; the kernel cuts what is beyond */

int brood__nicer(pid_t pid, int above)
{
	int now;

	if (above == 0)
		return 0;
	if (above > NICE_RANGE)
		above = NICE_RANGE;
	if (above < -NICE_RANGE)
		above = -NICE_RANGE;
	errno = 0;
	now = getpriority(PRIO_PROCESS, 0);
	if (errno)
		return -errno;
	return setpriority(PRIO_PROCESS, (id_t)pid, now + above) ? -errno : 0;
}
