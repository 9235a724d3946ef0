/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that processes share, and the heavy half of an asymmetric fence.
 *
 * A segment's file has its full size from the start but no pages; fallocate makes pages real before
 * anybody touches them, so that shortage is -ENOSPC from a call and never SIGBUS from a store.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23	/* Linux 5.14; -EINVAL before */
#endif

int brood__memory_file(const char *label, size_t size)
{
	int fd = brood__file_size_allowed(size);

	if (fd == 0)
		fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	else
		return fd;
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		int error = errno;

		close(fd);
		return -error;
	}
	return brood__fd_lift(fd);
}

void *brood__memory_map(int fd, size_t size)
{
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	return base == MAP_FAILED ? NULL : base;
}

int brood__memory_unmap(void *base, size_t size)
{
	return munmap(base, size) ? -errno : 0;
}

int brood__memory_commit(int fd, size_t offset, size_t length)
{
	int result;

	do
		result = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
	while (result && errno == EINTR);
	return result ? -errno : 0;
}

int brood__memory_decommit(int fd, size_t offset, size_t length)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			 (off_t)length) ? -errno : 0;
}

size_t brood__page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

void brood__memory_touch(void *from, size_t size)
{
	uintptr_t page = brood__page_size();
	uintptr_t begin = (uintptr_t)from & -page;
	uintptr_t end = ((uintptr_t)from + size) & -page;

	if (begin < end)
		madvise((void *)begin, end - begin, MADV_POPULATE_WRITE);
}

void *brood__memory_wiped_on_fork(void)
{
	size_t size = brood__page_size();
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	if (madvise(page, size, MADV_WIPEONFORK)) {
		int error = errno;

		munmap(page, size);
		errno = error;
		return NULL;
	}
	return page;
}

void brood__memory_wiped_free(void *page)
{
	munmap(page, brood__page_size());
}

static int membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0) ? -errno : 0;
}

int brood__fence_register(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
}

int brood__fence_all_cpus(void)
{
	return membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}
