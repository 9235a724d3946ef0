/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of children: all handles that this process created and has not freed.
 *
 * One mutex guards it, an ordinary one of this process. It is held across every fork of the process
 * (pthread_atfork), whoever forks, so that the new process finds the table whole; there the table
 * is emptied, because the parent's children are not its children. brood__deaths_noticed() is called
 * without it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "arena/arena.h"
#include "platform/platform.h"
#include "process/process.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(children);
static pid_t owner;		/* the process that this table belongs to */
static bool ending;		/* the exit rule runs: handles stay until the process is gone */

/* The handle that the calling thread is forking for: its child keeps the gate. */
static __thread struct brood_process *starting;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;

static void lock(void)
{
	pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
	pthread_mutex_unlock(&mutex);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void disown(struct brood_process *child)
{
	cds_list_del_init(&child->node);
	child->creator = 0;
	close_fd(&child->pidfd);
	if (child != starting)
		close_fd(&child->gate);
}

static void after_fork_in_child(void)
{
	struct brood_process *child, *next;

	cds_list_for_each_entry_safe(child, next, &children, node)
		disown(child);
	owner = getpid();
	ending = false;
	unlock();
}

static void install(void)
{
	owner = getpid();
	once_error = -pthread_atfork(lock, unlock, after_fork_in_child);
	if (once_error == 0 && atexit(brood__children_end))
		once_error = -ENOMEM;
}

int brood__children_ready(void)
{
	pthread_once(&once, install);
	return once_error;
}

/*
 * Descriptors of handles are opened and closed under the mutex: a fork finds all that there are,
 * and no number that has become somebody else's.
 */
int brood__child_add(struct brood_process *child)
{
	int gate;

	lock();
	gate = brood__gate_make();
	if (gate >= 0)
		child->gate = gate;
	child->creator = owner;
	cds_list_add_tail(&child->node, &children);
	unlock();
	return gate < 0 ? gate : 0;
}

void brood__child_drop(struct brood_process *child)
{
	lock();
	if (ending) {
		unlock();
		return;
	}
	cds_list_del(&child->node);
	close_fd(&child->pidfd);
	close_fd(&child->gate);
	unlock();
	free(child);
}

pid_t brood__child_fork(struct brood_process *child)
{
	pid_t pid;

	starting = child;
	pid = fork();
	starting = NULL;
	return pid < 0 ? -errno : pid;
}

/*
 * -ESRCH: somebody has killed it, and as SIGCHLD is ignored, the kernel has reaped it. The open
 * gate then stands in for the pidfd: it is readable for ever.
 */
int brood__child_open(struct brood_process *child, pid_t pid)
{
	int fd;

	lock();
	child->pid = pid;
	fd = brood__pidfd_open(pid);
	if (fd == -ESRCH) {
		child->state = BROOD__LOST;
		fd = child->gate;
		child->gate = -1;
		brood__gate_open(fd);
	}
	if (fd >= 0)
		child->pidfd = fd;
	unlock();
	return fd < 0 ? fd : 0;
}

void brood__child_close_gate(struct brood_process *child)
{
	lock();
	close_fd(&child->gate);
	unlock();
}

int brood__child_look(struct brood_process *child)
{
	bool noticed = false;
	bool running;
	int r;

	if (!child)
		return -EINVAL;
	if (child->creator != getpid())
		return -ECHILD;
	lock();
	if (child->state == BROOD__RUNNING) {
		r = brood__pidfd_reap(child->pidfd, &child->code);
		if (r != -EAGAIN)
			child->state = r ? BROOD__LOST : BROOD__ENDED;
		noticed = r != -EAGAIN;
	}
	running = child->state == BROOD__RUNNING;
	unlock();
	if (noticed)
		brood__deaths_noticed();
	return running ? -EAGAIN : 0;
}

static bool runs(const struct brood_process *child)
{
	return child->pidfd >= 0 && child->state == BROOD__RUNNING;
}

static struct brood_process *first_running(void)
{
	struct brood_process *child, *found = NULL;

	lock();
	cds_list_for_each_entry(child, &children, node) {
		if (runs(child)) {
			found = child;
			break;
		}
	}
	unlock();
	return found;
}

static void terminate_daemons(void)
{
	struct brood_process *child;

	lock();
	ending = true;
	cds_list_for_each_entry(child, &children, node)
		if (child->daemon && runs(child))
			brood__pidfd_signal(child->pidfd, SIGTERM);
	unlock();
}

void brood__children_end(void)
{
	struct brood_process *child;

	if (owner != getpid())	/* a copy of the process that was made without the fork handlers */
		return;
	terminate_daemons();
	while ((child = first_running()))
		brood_process_join(child, BROOD_FOREVER);
}
