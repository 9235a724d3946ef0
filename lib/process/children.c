/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of children: all handles that this process created and has not freed, and the exit
 * rule.
 *
 * One mutex guards it, an ordinary one of this process. It is held across every fork of the process
 * (pthread_atfork), whoever forks, so that the new process finds the table whole; there the table
 * is emptied, because the parent's children are not its children. brood__deaths_noticed() is called
 * without it.
 *
 * A handle's creator is told by how many forks it is away from the first process. All that descend
 * from it are further away, so no forked copy is ever taken for an own handle, as it could be by
 * a pid that is used again. A copy of the process that was made without the handlers has another
 * pid.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "arena/arena.h"
#include "platform/children.h"
#include "process/process.h"

static struct brood__guard guard = BROOD__GUARD_INITIALIZER;
static CDS_LIST_HEAD(children);
static pid_t owner; /* the process that this table belongs to */
static uint32_t depth; /* forks between the first process and this one */
static bool ending; /* the exit rule runs: handles stay until the process is gone */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;

static void lock(void)
{
	brood__guard_lock(&guard);
}

static void unlock(void)
{
	brood__guard_unlock(&guard);
}

void brood__children_lock(void)
{
	lock();
}

void brood__children_unlock(void)
{
	unlock();
}

/*
 * The copy is not changed: its page is still the parent's. A child keeps the gate that was made by
 * the thread that forked it: its own.
 */
static void close_copies(const struct brood_process *child)
{
	if (child->pidfd >= 0)
		close(child->pidfd);
	if (child->gate >= 0 && !pthread_equal(child->starter, pthread_self()))
		close(child->gate);
}

static void after_fork_in_child(void)
{
	struct brood_process *child;

	cds_list_for_each_entry(child, &children, node)
		close_copies(child);
	CDS_INIT_LIST_HEAD(&children);
	owner = getpid();
	depth++;
	ending = false;
	brood__kin_forked();
	brood__roster_forked();
	brood__zygote_forked();
	unlock();
}

void brood__child_born(void)
{
	owner = getpid();
	depth++;
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

bool brood__child_is_mine(const struct brood_process *child)
{
	return child->creator == depth && owner == getpid();
}

void brood__child_add(struct brood_process *child)
{
	lock();
	child->creator = depth;
	cds_list_add_tail(&child->node, &children);
	unlock();
}

/*
 * Descriptors of handles are opened and closed under the mutex: a fork finds all that there are,
 * and no number that has become somebody else's.
 */
int brood__child_begin(struct brood_process *child)
{
	int r = 0;

	lock();
	if (!brood__child_is_mine(child))
		r = -ECHILD;
	else if (child->state != BROOD__NEW)
		r = -EALREADY;
	else
		r = child->gate = brood__gate_make();
	if (r >= 0) {
		child->state = BROOD__STARTING;
		child->starter = pthread_self();
	}
	unlock();
	return r < 0 ? r : 0;
}

void brood__child_failed(struct brood_process *child)
{
	lock();
	brood__fd_drop(&child->gate);
	brood__fd_drop(&child->pidfd);
	child->pid = 0;
	child->state = BROOD__NEW;
	unlock();
}

void brood__child_drop(struct brood_process *child)
{
	lock();
	if (ending) {
		unlock();
		return;
	}
	if (brood__child_is_mine(child)) {
		cds_list_del(&child->node);
		brood__fd_drop(&child->pidfd);
		brood__fd_drop(&child->gate);
	}
	unlock();
	free(child);
}

/*
 * -ESRCH: somebody has killed it, and as SIGCHLD is ignored, the kernel has reaped it. The open
 * gate then stands in for the pidfd: it is readable for ever.
 */
int brood__child_open(struct brood_process *child, pid_t pid)
{
	int fd;

	lock();
	fd = brood__pidfd_open(pid);
	if (fd >= 0) {
		child->state = BROOD__RUNNING;
	} else if (fd == -ESRCH) {
		child->state = BROOD__LOST;
		fd = child->gate;
		child->gate = -1;
		brood__gate_open(fd);
	}
	if (fd >= 0) {
		child->pid = pid;
		child->pidfd = fd;
	}
	unlock();
	return fd < 0 ? fd : 0;
}

void brood__child_close_gate(struct brood_process *child)
{
	lock();
	brood__fd_drop(&child->gate);
	unlock();
}

int brood__child_look(struct brood_process *child)
{
	bool noticed = false;
	int r = 0;

	if (!child)
		return -EINVAL;
	if (!brood__child_is_mine(child))
		return -ECHILD;
	lock();
	if (child->state == BROOD__RUNNING) {
		r = brood__pidfd_reap(child->pidfd, &child->code, NULL);
		noticed = r != -EAGAIN;
		if (noticed)
			child->state = r ? BROOD__LOST : BROOD__ENDED;
	}
	if (child->state == BROOD__NEW || child->state == BROOD__STARTING)
		r = -EINVAL;
	else
		r = child->state == BROOD__RUNNING ? -EAGAIN : 0;
	unlock();
	if (noticed) {
		brood__roster_forget(child->pid);
		brood__deaths_noticed();
	}
	return r;
}

static bool runs(const struct brood_process *child)
{
	return child->pidfd >= 0 && child->state == BROOD__RUNNING;
}

size_t brood_active_children(struct brood_process **handles, size_t room)
{
	struct brood_process *child;
	bool noticed = false;
	size_t n = 0;

	if (owner != getpid())
		return 0;
	lock();
	cds_list_for_each_entry(child, &children, node) {
		if (runs(child)) {
			int r = brood__pidfd_reap(child->pidfd, &child->code, NULL);

			if (r != -EAGAIN) {
				child->state = r ? BROOD__LOST : BROOD__ENDED;
				noticed = true;
				brood__roster_forget(child->pid);
			} else if (n++ < room) {
				handles[n - 1] = child;
			}
		}
	}
	unlock();
	if (noticed)
		brood__deaths_noticed();
	return n;
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

static struct brood_process *next_daemon(void)
{
	struct brood_process *child, *found = NULL;

	lock();
	ending = true; /* no handle is freed from here on */
	cds_list_for_each_entry(child, &children, node) {
		if (child->daemon && !child->terminated && runs(child)) {
			child->terminated = true;
			found = child;
			break;
		}
	}
	unlock();
	return found;
}

/* A daemon goes with all that it has started; if those cannot be found, then alone. */
static void terminate_daemons(void)
{
	struct brood_process *child;

	while ((child = next_daemon())) {
		if (child->end_signal)
			brood__pidfd_signal(child->pidfd, child->end_signal);
		if (brood__tree_signal(child->pid, child->pidfd, SIGTERM, NULL, NULL))
			brood__pidfd_signal(child->pidfd, SIGTERM);
	}
}

void brood__children_end(void)
{
	struct brood_process *child;

	if (owner != getpid()) /* a copy of the process that was made without the fork handlers */
		return;
	terminate_daemons();
	while ((child = first_running()))
		brood_process_join(child, BROOD_FOREVER);
	brood__zygote_end();
}
