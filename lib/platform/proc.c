/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc tells of other processes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/children.h"

#define STAT 512

int brood__proc_check(void)
{
	char self[16] = { 0 };

	if (readlink("/proc/self", self, sizeof self - 1) < 0)
		return errno == ENOENT ? -ENOSYS : -errno;
	return atoi(self) == getpid() ? 0 : -ENOSYS;
}

/* What stands behind the name, which may hold anything: a state, "S", and the parent's pid. */
static int read_stat_text(const char *path, char text[STAT], char **behind)
{
	char *end;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, STAT - 1);
	int error = errno;

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return error == ENOENT ? -ESRCH : -error;
	text[n] = '\0';
	end = strrchr(text, ')');
	if (!end || end[1] != ' ')
		return -EPROTO;
	*behind = end + 2;
	return 0;
}

static int read_stat(const char *path, char *state, pid_t *parent)
{
	char text[STAT], *behind;
	int r = read_stat_text(path, text, &behind);

	if (r == 0) {
		*state = behind[0];
		*parent = (pid_t)atoi(behind + 1);
	}
	return r;
}

int brood__proc_stat(pid_t pid, char *state, pid_t *parent)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	return read_stat(path, state, parent);
}

#define STARTED 22 /* the field of that file, counted from 1; the state is the third */

int64_t brood__proc_started(pid_t pid)
{
	char path[40], text[STAT], *field;
	int r;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	r = read_stat_text(path, text, &field);
	for (int i = 3; r == 0 && i < STARTED; i++) {
		field = strchr(field, ' ');
		if (!field)
			return -EPROTO;
		field++;
	}
	return r ? r : strtoll(field, NULL, 10);
}

static DIR *open_tasks(pid_t pid)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	return opendir(path);
}

static int still_thread(pid_t pid, const char *thread)
{
	char path[80], state;
	pid_t parent;
	int r;

	snprintf(path, sizeof path, "/proc/%d/task/%.20s/stat", pid, thread);
	r = read_stat(path, &state, &parent);
	if (r)
		return r == -ESRCH ? 1 : r;
	return strchr("TtZXx", state) != NULL;
}

int brood__proc_is_still(pid_t pid)
{
	DIR *tasks = open_tasks(pid);
	const struct dirent *entry;
	int still = 1;

	if (!tasks)
		return errno == ENOENT ? 1 : -errno;
	while (still == 1 && (entry = readdir(tasks)) != NULL)
		if (entry->d_name[0] != '.')
			still = still_thread(pid, entry->d_name);
	closedir(tasks);
	return still;
}

/* One that is absent is a thread that has ended, or a kernel that has none. */
static int read_children(pid_t pid, const char *thread, pid_t *children, size_t room, size_t *n)
{
	char path[80];
	FILE *file;
	int child;

	snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", pid, thread);
	file = fopen(path, "re");
	if (!file && errno != ENOENT && errno != ESRCH)
		return -errno;
	if (!file)
		return access("/proc/thread-self/children", F_OK) ? -ENOSYS : 0;
	while (fscanf(file, "%d", &child) == 1) {
		if (*n < room)
			children[*n] = child;
		++*n;
	}
	fclose(file);
	return 0;
}

ssize_t brood__proc_children(pid_t pid, pid_t *children, size_t room)
{
	DIR *tasks = open_tasks(pid);
	const struct dirent *entry;
	size_t n = 0;
	int r = 0;

	if (!tasks)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (entry = readdir(tasks)) != NULL)
		if (entry->d_name[0] != '.')
			r = read_children(pid, entry->d_name, children, room, &n);
	closedir(tasks);
	return r ? r : (ssize_t)n;
}
