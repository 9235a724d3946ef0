/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that are no segment, or not all of one: the input tells how long the file is, and is written
 * over the beginning of a good one. It comes by name, by descriptor, or over a socket with a reference.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena/arena.h"
#include "fuzz.h"

#define MESSAGE 0x62726f6f646d7367ull	/* handle.c */

struct head {			/* of an input */
	uint32_t bytes;		/* of the file: 0 = as many as the segment has */
	uint8_t how;
	uint8_t mode;
	uint16_t at;		/* where in the file the rest goes, in words */
	uint64_t reference;
};

static void use(struct brood_segment *segment)
{
	struct brood_segment_info info;
	void *memory;

	if (!segment)
		return;
	fuzz_calm(segment);
	brood_segment_stat(segment, &info);
	brood_queue_open(segment, "q");
	memory = brood_alloc(segment, 1000);
	if (memory)
		memset(memory, 1, 1000);
	brood_free(segment, memory);
	brood_segment_close(segment);
}

static void fill(int fd, const void *image, size_t bytes, const struct head *head,
		 const uint8_t *rest, size_t size)
{
	fuzz_must(ftruncate(fd, head->bytes ? (off_t)head->bytes : (off_t)FUZZ_BYTES) == 0,
		  "ftruncate");
	if (head->how & 4)
		bytes = bytes < head->bytes ? bytes : head->bytes;
	fuzz_must(pwrite(fd, image, bytes, 0) == (ssize_t)bytes, "image");
	fuzz_must(pwrite(fd, rest, size, (off_t)head->at % 1024 * 8) == (ssize_t)size, "input");
}

static void by_name(const void *image, size_t bytes, const struct head *head, const uint8_t *rest,
		    size_t size)
{
	struct brood_segment *segment;
	char name[64], path[96];
	int fd;

	snprintf(name, sizeof(name), "/fuzz-%d", (int)getpid());
	snprintf(path, sizeof(path), "/dev/shm/brood.fuzz-%d", (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_TRUNC, 0600);
	fuzz_must(fd >= 0 && fchmod(fd, head->mode ? 0600 | (head->mode & 0177) : 0600) == 0, path);
	fill(fd, image, bytes, head, rest, size);
	close(fd);
	segment = brood_segment_open(name);
	brood_segment_unlink(name);	/* first: a finding leaves nothing */
	use(segment);
}

static void by_socket(int fd, const struct head *head)
{
	const uint64_t message[2] = { MESSAGE ^ head->mode, head->reference };
	int pair[2];
	void *object;

	fuzz_must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	fuzz_must(brood__fd_send(pair[0], fd, message, sizeof(message)) == 0, "send");
	object = brood_handle_recv(pair[1]);
	close(pair[0]);
	close(pair[1]);
	close(fd);
	if (object)
		use(brood_segment_of(object));
}

void fuzz_files(const uint8_t *data, size_t size, const void *image, size_t bytes)
{
	struct head head = { 0 };
	size_t n = size < sizeof(head) ? size : sizeof(head);
	int fd;

	memcpy(&head, data, n);
	if (head.bytes > FUZZ_BYTES * 2)
		head.bytes %= FUZZ_BYTES * 2;
	if (head.how % 4 == 0) {
		by_name(image, bytes, &head, data + n, size - n);
		return;
	}
	fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fuzz_must(fd >= 0, "memfd");
	fill(fd, image, bytes, &head, data + n, size - n);
	if (head.how & 8)
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (!(head.how & 16))
		fchmod(fd, 0600);
	if (head.how % 4 == 1)
		use(brood__segment_open_fd(fd));
	else
		by_socket(fd, &head);
}
