/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handles: a segment's descriptor and a reference, through exec or over a socket.
 *
 * BROOD_HANDLES = PID;NAME=DESCRIPTOR:REFERENCE;NAME=...	numbers in decimal, the reference in hex
 *
 * PID is the process that passed. It is the executed program itself (fork, pass, exec) or its parent
 * (pass, posix_spawn; or a shell between). Before main such a program takes the variable out of its
 * environment and sets CLOEXEC on the descriptors, so that what it starts in turn gets neither. A
 * number that is open there by chance is another file, and does not get past the segment's
 * header.
 *
 * Nothing here is shared memory: a death leaves nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brood/handle.h>

#include "arena/arena.h"

#define VARIABLE "BROOD_HANDLES"
#define NAME_MOST 40
#define ENTRY_MOST (NAME_MOST + 48)	/* ";NAME=DESCRIPTOR:REFERENCE" */
#define MESSAGE 0x62726f6f646d7367ull

struct handle {
	int fd;
	uint64_t reference;
};

struct message {		/* over a socket, beside the descriptor */
	uint64_t magic, reference;
};

struct brood_segment *brood_segment_of(const void *object)
{
	struct brood_segment *segment = brood__segment_of(object);

	if (!segment)
		errno = EFAULT;
	return segment;
}

/* ---- the variable ---- */

static bool good_name(const char *name)
{
	return name && *name && strlen(name) <= NAME_MOST && !strpbrk(name, ";=:");
}

/* The entries of the variable, if this process passed them, or, at its start, its parent did. */
static const char *entries(bool at_start)
{
	const char *text = getenv(VARIABLE);
	char *end;
	long pid;

	if (!text)
		return NULL;
	pid = strtol(text, &end, 10);
	if (end == text || (pid != getpid() && !(at_start && pid == getppid())))
		return NULL;
	return end;
}

static char *left_to_us;	/* the entries */

static void adopt(void) __attribute__((constructor));
static void adopt(void)
{
	const char *at = entries(true);
	int fd;

	if (!at)
		return;
	left_to_us = strdup(at);
	for (at = left_to_us; at && *at == ';'; at = strchr(at + 1, ';')) {
		const char *equal = strchr(at, '=');

		if (equal && sscanf(equal + 1, "%d:", &fd) == 1 && fd > STDERR_FILENO)
			brood__fd_close_on_exec(fd);
	}
	unsetenv(VARIABLE);
}

static bool find(const char *at, const char *name, struct handle *handle)
{
	size_t length = strlen(name);

	for (; at && *at == ';'; at = strchr(at + 1, ';'))
		if (strncmp(at + 1, name, length) == 0 && at[1 + length] == '=')
			return sscanf(at + 2 + length, "%d:%" SCNx64, &handle->fd,
				      &handle->reference) == 2;
	return false;
}

/* The descriptor that was made for this segment by an earlier pass, or -1. */
static int copied_before(const char *at, const struct brood_segment *segment)
{
	struct brood__file_id id;
	int fd;

	for (; at && *at == ';'; at = strchr(at + 1, ';')) {
		const char *equal = strchr(at, '=');

		if (equal && sscanf(equal + 1, "%d:", &fd) == 1 &&
		    brood__file_identify(fd, &id) == 0 && id.inode == segment->file.inode &&
		    id.device == segment->file.device)
			return fd;
	}
	return -1;
}

static int add(const char *at, const char *name, const struct handle *handle)
{
	size_t room = (at ? strlen(at) : 0) + ENTRY_MOST + 24;
	char *text = malloc(room);
	int result = -ENOMEM;

	if (text) {
		snprintf(text, room, "%ld%s;%s=%d:%" PRIx64, (long)getpid(), at ? at : "", name,
			 handle->fd, handle->reference);
		result = setenv(VARIABLE, text, 1) ? -errno : 0;
	}
	free(text);
	return result;
}

/* ---- through exec ---- */

static int refer(const void *object, struct brood_segment **segment, uint64_t *reference)
{
	if (!object)
		return -EINVAL;
	*segment = brood__segment_of(object);
	*reference = *segment ? brood_ref(*segment, object) : 0;
	if (!*reference)
		return -EFAULT;
	return brood__segment_has_file(*segment) ? 0 : -EBADF;
}

int brood_handle_pass(const char *name, const void *object)
{
	const char *at = entries(false);
	struct brood_segment *segment;
	struct handle handle, other;
	int result, before;

	if (!good_name(name))
		return -EINVAL;
	result = refer(object, &segment, &handle.reference);
	if (result)
		return result;
	if (find(at, name, &other))
		return -EEXIST;
	before = copied_before(at, segment);
	handle.fd = before >= 0 ? before : brood__fd_copy_for_exec(segment->fd);
	if (handle.fd < 0)
		return handle.fd;
	result = add(at, name, &handle);
	if (result && before < 0)
		brood__fd_close(handle.fd);
	return result;
}

static void *resolve(struct brood_segment *segment, uint64_t reference)
{
	void *object = segment ? brood_deref(segment, reference) : NULL;
	int error = object || errno == EFAULT ? EPROTO : errno;

	if (!segment || (object && brood__object_is_sound(segment, object)))
		return object;
	brood_segment_close(segment);
	errno = error;
	return NULL;
}

void *brood_handle_take(const char *name)
{
	struct handle handle;
	int fd;

	if (!good_name(name) || !find(left_to_us, name, &handle)) {
		errno = ENOENT;
		return NULL;
	}
	fd = brood__fd_copy(handle.fd);
	if (fd < 0) {
		errno = fd == -EBADF ? ENOENT : -fd;
		return NULL;
	}
	return resolve(brood__segment_open_fd(fd), handle.reference);
}

/* ---- over a socket ---- */

int brood_handle_send(int socket, const void *object)
{
	struct message message = { .magic = MESSAGE };
	struct brood_segment *segment;
	int result = refer(object, &segment, &message.reference);

	return result ? result : brood__fd_send(socket, segment->fd, &message, sizeof(message));
}

void *brood_handle_recv(int socket)
{
	struct message message = { 0 };
	int fd = brood__fd_recv(socket, &message, sizeof(message));

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	if (message.magic != MESSAGE) {
		brood__fd_close(fd);
		errno = EPROTO;
		return NULL;
	}
	return resolve(brood__segment_open_fd(fd), message.reference);
}
