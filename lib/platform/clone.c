/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making processes in uncommon ways.
 *
 * brood__clone_sibling() goes behind the C library's back, so three things that its fork does are
 * done here. The thread's id, which the library keeps beside its other data of the thread, is
 * written by the kernel: the place is the one that the kernel clears at the thread's end, which
 * prctl tells; it is believed only if it holds the id now. The robust list, which a new process has
 * not, is registered again: it is the same head, at the same place, and empty. And there are no
 * locks to free, as the caller has one thread, which holds none.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/children.h"

struct own { /* what the C library and the kernel agreed on for the calling thread */
	pid_t *id;
	struct robust_list_head *robust;
	size_t robust_size;
};

static int look_at_own(struct own *own)
{
	if (prctl(PR_GET_TID_ADDRESS, &own->id) || !own->id || *own->id != gettid() ||
	    syscall(SYS_get_robust_list, 0, &own->robust, &own->robust_size))
		return -ENOSYS;
	return 0;
}

int brood__clone_sibling_works(void)
{
	struct own own = { 0 };

	return look_at_own(&own);
}

/* The id's place is the fourth argument or the fifth; the other one says nothing without a flag. */
static pid_t clone_with(unsigned long flags, int32_t *told, pid_t *id)
{
#if defined(__s390__) || defined(__CRIS__)
	return (pid_t)syscall(SYS_clone, 0, flags, told, id, id);
#else
	return (pid_t)syscall(SYS_clone, flags, 0, told, id, id);
#endif
}

pid_t brood__clone_sibling(int32_t *told)
{
	struct own own = { 0 };
	int result = look_at_own(&own);
	pid_t pid;

	if (result)
		return result;
	*(volatile int32_t *)told = 0; /* the page is there: the kernel need not wait for it */
	pid = clone_with(CLONE_PARENT | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID |
				 CLONE_CHILD_CLEARTID | SIGCHLD,
			 told, own.id);
	if (pid == 0 && own.robust)
		syscall(SYS_set_robust_list, own.robust, own.robust_size);
	return pid < 0 ? -errno : pid;
}

unsigned int brood__threads(void)
{
	struct stat st;

	return stat("/proc/self/task", &st) || st.st_nlink < 3 ? 1 : (unsigned int)st.st_nlink - 2;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static bool is_segment(int fd)
{
	static const char named[] = "/dev/shm/brood.";
	char link[40], target[sizeof named];

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return readlink(link, target, sizeof target) == (ssize_t)sizeof target &&
	       memcmp(target, named, sizeof named - 1) == 0;
}

void brood__fds_close_others(int *keep, size_t n)
{
	DIR *list = opendir("/proc/self/fd");
	const struct dirent *entry;

	qsort(keep, n, sizeof *keep, compare);
	while (list && (entry = readdir(list)) != NULL) {
		int fd = atoi(entry->d_name);

		if (fd > 2 && fd != dirfd(list) && !bsearch(&fd, keep, n, sizeof *keep, compare) &&
		    !is_segment(fd))
			close(fd);
	}
	if (list)
		closedir(list);
}
