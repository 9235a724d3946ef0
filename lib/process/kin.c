/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The calling process itself, and its parent, as handles.
 *
 * A parent's pid is its own for as long as we are its child: getppid() tells. So a pidfd that was
 * opened at any time, followed by a getppid() that still tells the parent, is the parent's, and it
 * is opened only when it is asked for. It belongs to the process, so a forked copy closes it.
 *
 * What a process forked by other means is told: its handle of itself goes on to say what it was
 * forked from; the parent of that is not its parent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/platform.h"
#include "process/process.h"

#define AUTHKEY_LENGTH 32u /* bytes, at first */

static const char main_name[] = "MainProcess";

static union {
	struct brood_process process;
	char room[sizeof(struct brood_process) + sizeof main_name];
} first;
static struct brood_process *self; /* NULL in the first process */
static struct brood_process *above; /* made when it is asked for */
static pid_t self_pid, above_pid; /* 0 in the first process */

static unsigned char authkey[BROOD_AUTHKEY_MAX];
static size_t authkey_length;

static void make_authkey(void)
{
	for (authkey_length = 0; authkey_length < AUTHKEY_LENGTH;
	     authkey_length += sizeof(uint64_t)) {
		uint64_t random = brood__random();

		memcpy(authkey + authkey_length, &random, sizeof random);
	}
}

static void make_first(void) __attribute__((constructor));
static void make_first(void)
{
	make_authkey();
	first.process = (struct brood_process){
		.bytes = sizeof first,
		.name = offsetof(struct brood_process, rest),
	};
	memcpy(first.room + first.process.name, main_name, sizeof main_name);
	memcpy(first.process.short_name, main_name, sizeof main_name);
}

struct brood_process *brood__current(void)
{
	return self ? self : &first.process;
}

struct brood_process *brood__above(void)
{
	return above;
}

void brood__become(struct brood_process *process, pid_t parent)
{
	if (self)
		free(self);
	if (above)
		free(above);
	self = process;
	above = NULL;
	self_pid = getpid();
	above_pid = parent;
}

void brood__kin_forked(void)
{
	if (above && above->pidfd >= 0)
		close(above->pidfd);
	if (above)
		above->pidfd = -1;
}

/* Nothing but its pid and its name. */
static struct brood_process *make_parent(void)
{
	const char *name = brood__part(self, self->parent_name);
	struct brood_process *parent = calloc(1, sizeof *parent + strlen(name) + 1);

	if (!parent)
		return NULL;
	parent->state = BROOD__RUNNING;
	parent->pid = above_pid;
	parent->pidfd = -1;
	parent->name = offsetof(struct brood_process, rest);
	strcpy(parent->rest, name);
	return parent;
}

static int open_parent(struct brood_process *parent)
{
	int fd = brood__pidfd_open(parent->pid);

	if (fd < 0 && fd != -ESRCH)
		return fd;
	if (fd < 0 || brood__parent_gone(parent->pid)) {
		if (fd >= 0)
			close(fd);
		parent->state = BROOD__ENDED;
		return 0;
	}
	parent->pidfd = fd;
	return 0;
}

int brood__parent_look(struct brood_process *parent, int *fd)
{
	int r = 0;

	if (self_pid != getpid())
		return -ECHILD;
	brood__children_lock();
	if (parent->state == BROOD__RUNNING && parent->pidfd < 0)
		r = open_parent(parent);
	if (r == 0 && parent->state == BROOD__RUNNING) {
		*fd = parent->pidfd;
		r = brood__pidfd_wait(parent->pidfd, 0);
		if (r == 0)
			parent->state = BROOD__ENDED;
		else if (r == -EINTR)
			r = -EAGAIN;
	}
	brood__children_unlock();
	return r;
}

struct brood_process *brood_process_current(void)
{
	return brood__current();
}

struct brood_process *brood_process_parent(void)
{
	if (!self)
		return NULL;
	brood__children_lock();
	if (!above)
		above = make_parent();
	brood__children_unlock();
	return above;
}

ssize_t brood_authkey_get(void *key, size_t room)
{
	if (!key)
		return -EINVAL;
	if (room < authkey_length)
		return -EMSGSIZE;
	memcpy(key, authkey, authkey_length);
	return (ssize_t)authkey_length;
}

int brood_authkey_set(const void *key, size_t length)
{
	if (!key || length == 0 || length > sizeof authkey)
		return -EINVAL;
	memcpy(authkey, key, length);
	authkey_length = length;
	return 0;
}
