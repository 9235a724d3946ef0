/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The launcher's calls: make a handle, launch it, ask after it, send it signals. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "arena/arena.h"
#include "platform/children.h"
#include "process/process.h"
#include "wait/waitable.h"

static bool is_self(const struct brood_process *process)
{
	return process == brood__current();
}

static bool is_kin(const struct brood_process *process)
{
	return process && (is_self(process) || process == brood__above());
}

static struct brood_process *failed(struct brood_process *process, int error)
{
	if (process)
		brood__child_drop(process);
	errno = -error;
	return NULL;
}

struct brood_process *brood_process_create(int (*function)(void *), void *argument,
					   const struct brood_process_opts *opts)
{
	struct brood_process *process;
	int r = brood__children_ready();

	if (r)
		return failed(NULL, r);
	process = brood__handle_make(function, argument, opts);
	if (process)
		brood__child_add(process);
	return process;
}

int brood_process_launch(struct brood_process *process)
{
	int r;

	if (!process)
		return -EINVAL;
	if (is_kin(process) || !brood__child_is_mine(process))
		return -ECHILD;
	r = brood__family_ready();
	return r ? r : brood__launch(process);
}

struct brood_process *brood_process_start_opts(int (*function)(void *), void *argument,
					       const struct brood_process_opts *opts)
{
	struct brood_process *process = brood_process_create(function, argument, opts);
	int r = process ? brood_process_launch(process) : 0;

	return r ? failed(process, r) : process;
}

struct brood_process *brood_process_start(int (*function)(void *), void *argument)
{
	return brood_process_start_opts(function, argument, NULL);
}

/* ---- asking ---- */

/* As brood__child_look, of any handle; *fd is what becomes readable at its end. */
static int look(struct brood_process *process, int *fd)
{
	int r;

	if (process && process == brood__above())
		return brood__parent_look(process, fd);
	r = is_self(process) ? -ECHILD : brood__child_look(process);
	if (r == -EAGAIN)
		*fd = process->pidfd;
	return r;
}

static int join_until(struct brood_process *process, int fd, int64_t deadline)
{
	bool ended = false;
	int r;

	do {
		r = brood__pidfd_wait_again(fd, deadline, &ended);
		if (r && r != -EINTR)
			return r;
		r = look(process, &fd);
	} while (r == -EAGAIN);
	return r;
}

int brood_process_join(struct brood_process *process, int64_t timeout)
{
	int fd = -1;
	int r = look(process, &fd);

	return r == -EAGAIN ? join_until(process, fd, brood__deadline(timeout)) : r;
}

int brood_process_join_all(struct brood_process *const *processes, size_t n, int64_t timeout)
{
	int64_t deadline = brood__deadline(timeout);
	int fd, first = 0;

	for (size_t i = 0; i < n; i++) {
		int r = look(processes[i], &fd);

		if (r && r != -EAGAIN)
			return r;
	}
	for (size_t i = 0; i < n; i++) {
		int r = look(processes[i], &fd);

		if (r == -EAGAIN)
			r = join_until(processes[i], fd, deadline);
		first = first ? first : r;
	}
	return first;
}

/* Made, and not launched by this process. */
static bool is_new(const struct brood_process *process)
{
	return process && !is_kin(process) && brood__child_is_mine(process) && process->pid == 0;
}

int brood_process_exit_code(struct brood_process *process, int *code)
{
	int r;

	if (is_self(process) || is_new(process))
		return -EAGAIN;
	r = is_kin(process) ? -ECHILD : brood__child_look(process);
	if (r)
		return r;
	if (!code)
		return -EINVAL;
	if (process->state == BROOD__LOST)
		return -ECHILD;
	*code = process->code;
	return 0;
}

int brood_process_is_alive(struct brood_process *process)
{
	int fd, r;

	if (is_self(process) || is_new(process))
		return is_self(process);
	r = look(process, &fd);
	return r == -EAGAIN ? 1 : r;
}

pid_t brood_process_pid(const struct brood_process *process)
{
	if (!process)
		return -EINVAL;
	return is_self(process) ? getpid() : process->pid;
}

const char *brood_process_name(const struct brood_process *process)
{
	return process ? brood__part(process, process->name) : NULL;
}

bool brood_process_is_daemon(const struct brood_process *process)
{
	return process && process->daemon;
}

int brood_process_pidfd(const struct brood_process *process)
{
	if (!process)
		return -EINVAL;
	if (is_kin(process) || !brood__child_is_mine(process))
		return -ECHILD;
	return process->pid ? process->pidfd : -EINVAL;
}

static int fd_of(const struct brood_waitable *item)
{
	return brood_process_pidfd(item->object);
}

static const struct brood__waitable_ops ops = { .events = BROOD_READABLE, .fd = fd_of };

static void register_process(void) __attribute__((constructor));
static void register_process(void)
{
	brood__waitable_register(BROOD_WAIT_PROCESS, &ops);
}

/* ---- signals ---- */

static int send(struct brood_process *process, int signal,
		int (*by)(const struct brood_process *, int))
{
	int r;

	if (signal < 0 || signal >= NSIG)
		return -EINVAL;
	r = is_kin(process) ? -ECHILD : brood__child_look(process);
	if (r != -EAGAIN)
		return r;
	r = by(process, signal);
	return r == -ESRCH ? 0 : r;
}

static int to_one(const struct brood_process *process, int signal)
{
	return brood__pidfd_signal(process->pidfd, signal);
}

static int to_tree(const struct brood_process *process, int signal)
{
	return brood__tree_signal(process->pid, process->pidfd, signal, NULL, NULL);
}

int brood_process_signal(struct brood_process *process, int signal)
{
	return send(process, signal, to_one);
}

int brood_process_kill_tree(struct brood_process *process, int signal)
{
	return send(process, signal, to_tree);
}

int brood_process_terminate(struct brood_process *process)
{
	return brood_process_signal(process, SIGTERM);
}

int brood_process_kill(struct brood_process *process)
{
	return brood_process_signal(process, SIGKILL);
}

int brood_process_free(struct brood_process *process)
{
	if (!process)
		return 0;
	if (is_kin(process) || brood__child_look(process) == -EAGAIN ||
	    (brood__child_is_mine(process) && process->state == BROOD__STARTING))
		return -EBUSY;
	brood__child_drop(process);
	return 0;
}
