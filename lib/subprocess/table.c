/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of programs: all handles that this process made and has not freed, and the programs
 * that were closed while they ran, which are to be reaped some day.
 *
 * One ordinary mutex guards it. It is held across every fork (pthread_atfork), whoever forks: a
 * forked child closes its copies of the descriptors, or a program would never see the end of an
 * input that the child holds open, and knows all handles as its parent's. What another thread has
 * just opened and not yet put into its handle stays open in the child: the pidfd of a program that
 * is being started, which does no harm, and the file of a path, which may be a FIFO and so cannot
 * be opened under the mutex.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "platform/children.h"
#include "subprocess/subprocess.h"

static struct brood__guard guard = BROOD__GUARD_INITIALIZER;
static CDS_LIST_HEAD(programs);
static CDS_LIST_HEAD(dropped);
static unsigned int changing; /* starts of programs with other ids that are on their way */
static int dumpable; /* as it was before them */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;

void brood__programs_lock(void)
{
	brood__guard_lock(&guard);
}

void brood__programs_unlock(void)
{
	brood__guard_unlock(&guard);
}

static void close_all(struct brood_subprocess *process)
{
	brood__streams_close_all(process);
	brood__fd_drop(&process->pidfd);
}

static void after_fork_in_child(void)
{
	struct brood_subprocess *process;

	cds_list_for_each_entry(process, &programs, node) {
		close_all(process);
		process->foreign = true;
	}
	cds_list_for_each_entry(process, &dropped, node)
		close_all(process);
	CDS_INIT_LIST_HEAD(&programs);
	CDS_INIT_LIST_HEAD(&dropped);
	if (changing)
		brood__set_dumpable(dumpable);
	changing = 0;
	brood__programs_unlock();
}

static void install(void)
{
	once_error =
		-pthread_atfork(brood__programs_lock, brood__programs_unlock, after_fork_in_child);
}

int brood__programs_ready(void)
{
	pthread_once(&once, install);
	return once_error;
}

void brood__program_add(struct brood_subprocess *process)
{
	brood__programs_lock();
	cds_list_add_tail(&process->node, &programs);
	brood__programs_unlock();
}

void brood__ids_change(void)
{
	brood__programs_lock();
	if (changing++ == 0)
		dumpable = brood__dumpable();
	brood__programs_unlock();
}

void brood__ids_changed(void)
{
	brood__programs_lock();
	if (--changing == 0)
		brood__set_dumpable(dumpable);
	brood__programs_unlock();
}

/* Above 2 (see streams.c), if there is a number left. */
static int lifted(int pidfd)
{
	int copy = pidfd > 2 ? -1 : brood__fd_copy(pidfd);

	if (copy < 0)
		return pidfd;
	close(pidfd);
	return copy;
}

void brood__program_started(struct brood_subprocess *process, pid_t pid, int pidfd)
{
	brood__programs_lock();
	brood__streams_started(process);
	if (pid > 0) {
		process->pid = pid;
		process->pidfd = lifted(pidfd);
		process->state = BROOD__PROGRAM_RUNNING;
	}
	brood__programs_unlock();
}

bool brood__program_is_mine(const struct brood_subprocess *process)
{
	return !process->foreign && process->creator == getpid();
}

bool brood__program_runs(const struct brood_subprocess *process)
{
	bool runs;

	brood__programs_lock();
	runs = process->state == BROOD__PROGRAM_RUNNING;
	brood__programs_unlock();
	return runs;
}

/* Under the mutex. An error that is none of these tells nothing: it runs as far as we know. */
static int reap(struct brood_subprocess *process)
{
	int r = 0;

	if (process->state != BROOD__PROGRAM_RUNNING)
		return 0;
	r = brood__pidfd_reap(process->pidfd, &process->code, &process->usage);
	if (r && r != -ECHILD)
		return r;
	process->state = r ? BROOD__PROGRAM_LOST : BROOD__PROGRAM_ENDED;
	process->ended = brood_now();
	return 0;
}

int brood__program_look(struct brood_subprocess *process)
{
	int r;

	if (!process)
		return -EINVAL;
	if (!brood__program_is_mine(process))
		return -ECHILD;
	brood__programs_lock();
	r = reap(process);
	brood__programs_unlock();
	return r;
}

/* Under the mutex. */
static void destroy(struct brood_subprocess *process)
{
	close_all(process);
	for (int i = 0; i < 3; i++)
		free(process->streams[i].data);
	free(process->args);
	free(process);
}

void brood__program_drop(struct brood_subprocess *process)
{
	brood__programs_lock();
	if (brood__program_is_mine(process)) {
		cds_list_del(&process->node);
		brood__streams_close_all(process);
		if (reap(process))
			cds_list_add_tail(&process->node, &dropped);
		else
			destroy(process);
	} else if (!atomic_load_explicit(&process->busy, memory_order_relaxed)) {
		destroy(process); /* else it was forked in the middle of some change */
	}
	brood__programs_unlock();
}

void brood__programs_reap(void)
{
	struct brood_subprocess *process, *next;

	brood__programs_lock();
	cds_list_for_each_entry_safe(process, next, &dropped, node) {
		if (reap(process) == 0) {
			cds_list_del(&process->node);
			destroy(process);
		}
	}
	brood__programs_unlock();
}
