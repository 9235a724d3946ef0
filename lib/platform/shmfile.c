/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of POSIX shared memory, made so that a name appears only when the segment is complete.
 *
 * A file is born as .brood-NAMESPACE-PID-START-N, exclusively and mode 0600; START is the
 * creator's start time, so that a recycled pid is not taken for it. It gets its real name by
 * link(2), which refuses to replace anything. Whoever creates or opens a segment removes
 * temporary files whose creator is dead.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/platform.h"

#define DIRECTORY "/dev/shm/"
#define PREFIX "brood."		/* before the user's name: no foreign file is ever opened or removed */
#define TEMPORARY ".brood-"

/* Field 22 of /proc/PID/stat: when the process started, in clock ticks. 0 when there is none. */
static unsigned long long start_time(long pid)
{
	char path[40], line[512], *at;
	unsigned long long start = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fgets(line, sizeof(line), file) && (at = strrchr(line, ')')) != NULL) {
		for (int field = 2; at && field < 22; field++)
			at = strchr(at + 1, ' ');
		if (at)
			start = strtoull(at, NULL, 10);
	}
	fclose(file);
	return start;
}

static int path_of(char *path, size_t size, const char *name)
{
	size_t length;

	if (!name)
		return -EINVAL;
	name += *name == '/';
	length = strlen(name);
	if (length == 0 || strchr(name, '/'))
		return -EINVAL;
	if (length > 200)
		return -ENAMETOOLONG;
	snprintf(path, size, DIRECTORY PREFIX "%s", name);
	return 0;
}

int brood__shm_create(char temporary[64])
{
	static atomic_uint count;
	long pid = getpid();
	int fd;

	do {
		snprintf(temporary, 64, DIRECTORY TEMPORARY "%" PRIx64 "-%ld-%llu-%u",
			 brood__pid_namespace(), pid, start_time(pid), atomic_fetch_add(&count, 1));
		fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	} while (fd < 0 && errno == EEXIST);
	if (fd >= 0 && fchmod(fd, 0600)) {
		int error = errno;

		close(fd);
		unlink(temporary);
		return -error;
	}
	fd = brood__fd_lift(fd);
	if (fd < 0) {
		int error = errno;

		unlink(temporary);
		return -error;
	}
	return fd;
}

int brood__shm_publish(const char *temporary, const char *name)
{
	char path[256];
	int result = path_of(path, sizeof(path), name);

	if (result == 0 && link(temporary, path))	/* A1 */
		result = -errno;
	unlink(temporary);
	return result;
}

void brood__shm_discard(const char *temporary)
{
	unlink(temporary);
}

int brood__shm_check_name(const char *name)
{
	char path[256];

	return path_of(path, sizeof(path), name);
}

int brood__shm_open(const char *name)
{
	char path[256];
	int result = path_of(path, sizeof(path), name);
	int fd;

	if (result)
		return result;
	fd = brood__fd_lift(open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));	/* A1 */
	if (fd >= 0)
		return fd;
	switch (errno) {
	case EACCES:
		return -EPERM;	/* somebody else's */
	case ELOOP:
	case EISDIR:
	case ENXIO:
		return -EPROTO;	/* no segment at all */
	default:
		return -errno;
	}
}

int brood__shm_unlink(const char *name)
{
	char path[256];
	int result = path_of(path, sizeof(path), name);

	if (result == 0 && unlink(path))
		result = errno == EPERM ? -EACCES : -errno;
	return result;
}

static bool creator_is_dead(const char *name)
{
	unsigned long long start;
	uint64_t namespace;
	long pid;

	if (sscanf(name + strlen(TEMPORARY), "%" SCNx64 "-%ld-%llu-", &namespace, &pid, &start) != 3)
		return false;
	return namespace == brood__pid_namespace() && pid > 0 && start_time(pid) != start;
}

void brood__shm_reclaim(void)
{
	DIR *directory = opendir(DIRECTORY);
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)) != NULL)
		if (strncmp(entry->d_name, TEMPORARY, strlen(TEMPORARY)) == 0 &&
		    creator_is_dead(entry->d_name))
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
}

int brood__file_identify(int fd, struct brood__file_id *id)
{
	struct stat status;

	if (fstat(fd, &status))
		return -errno;
	*id = (struct brood__file_id){
		.device = status.st_dev,
		.inode = status.st_ino,
		.size = (uint64_t)status.st_size,
		.mode = status.st_mode & 07777,
		.owner = status.st_uid,
		.committed = (uint64_t)status.st_blocks * 512,
		.regular = S_ISREG(status.st_mode),
	};
	return 0;
}

bool brood__file_is_mine(const struct brood__file_id *id)
{
	return id->owner == geteuid();
}

bool brood__file_is_private(const struct brood__file_id *id)
{
	return brood__file_is_mine(id) && (id->mode & 077) == 0;
}

int brood__file_size_allowed(size_t size)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return 0;
	return size > limit.rlim_cur ? -ENOSPC : 0;
}

int brood__file_resize(int fd, size_t size)
{
	int result = brood__file_size_allowed(size);

	if (result == 0 && ftruncate(fd, (off_t)size))
		result = -errno;
	return result;
}

int brood__file_read(int fd, void *start, size_t size)
{
	ssize_t n = pread(fd, start, size, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EPROTO;
}
