/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The launcher: start a child, ask after it, send it signals.
 *
 *	parent                                    child
 *	family arena ready, stdio flushed
 *	handle into the table, gate made
 *	fork ------------------------------------ table emptied (fork handler)
 *	pidfd opened                              die_with_parent asked for
 *	gate opened  - - - - - - - - - - - - - -> waits at the gate
 *	with die_with_parent: until it is passed  parent gone? killed
 *	gate closed, start returns                function, exit rule, flush, leave, _exit
 *
 * With die_with_parent the start waits until the child has passed the gate: the kernel's request
 * follows the thread that forked, and if that thread ended earlier, the child would follow another
 * thread of the parent, which nobody could tell. When the whole parent is killed, getppid tells.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/arena.h"
#include "member/member.h"
#include "platform/platform.h"
#include "process/process.h"
#include "wait/waitable.h"

static struct brood_process *self;	/* what we are to our creator; NULL in the first process */
static _Atomic unsigned int started;	/* the k of the last "Process-k" */

/* text is the default name, which ends with the path, and then the name that was asked for. */
static struct brood_process *make_handle(const struct brood_process_opts *opts)
{
	static const char format[] = "Process-%s%s%u";
	const char *above = self ? self->path : "";
	const char *colon = self ? ":" : "";
	unsigned int k = atomic_fetch_add_explicit(&started, 1, memory_order_relaxed) + 1;
	size_t length = (size_t)snprintf(NULL, 0, format, above, colon, k) + 1;
	size_t extra = opts->name ? strlen(opts->name) + 1 : 0;
	struct brood_process *process = calloc(1, sizeof *process + length + extra);

	if (!process)
		return NULL;
	snprintf(process->text, length, format, above, colon, k);
	process->path = process->text + strlen("Process-");
	process->name = process->text;
	if (opts->name)
		process->name = memcpy(process->text + length, opts->name, extra);
	process->daemon = opts->daemon;
	process->die_with_parent = opts->die_with_parent;
	process->pidfd = -1;
	process->gate = -1;
	return process;
}

static _Noreturn void run_child(struct brood_process *process, pid_t parent,
				int (*function)(void *), void *argument)
{
	int code;

	free(self);
	self = process;
	atomic_store_explicit(&started, 0, memory_order_relaxed);
	if (process->die_with_parent)
		brood__die_with_parent();
	if (!brood__gate_enter(process->gate, parent))
		_exit(0);
	process->gate = -1;
	if (process->die_with_parent && brood__parent_gone(parent))
		raise(SIGKILL);

	code = function(argument);
	brood__children_end();
	fflush(NULL);
	brood__leave();
	_exit(code & 0xff);
}

/* The child has been forked and stands at its gate. */
static int let_go(struct brood_process *process, pid_t pid)
{
	int r = brood__child_open(process, pid);

	if (r) {
		brood__gate_cancel(process->gate);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return r;
	}
	if (process->gate < 0)
		return 0;
	brood__gate_open(process->gate);
	if (process->die_with_parent)
		brood__gate_passed(process->gate, process->pidfd);
	brood__child_close_gate(process);
	return 0;
}

/*
 * Another thread that is blocked in a read of standard input holds that stream's lock, and flushing all
 * streams would wait for it. Then the two that matter most are flushed.
 */
static void flush_all(void)
{
	if (ftrylockfile(stdin) == 0) {
		fflush(NULL);
		funlockfile(stdin);
		return;
	}
	fflush(stdout);
	fflush(stderr);
}

static int launch(struct brood_process *process, int (*function)(void *), void *argument)
{
	pid_t parent = getpid();
	pid_t pid;
	int r;

	flush_all();
	r = brood__child_add(process);
	if (r)
		return r;
	pid = brood__child_fork(process);
	if (pid == 0)
		run_child(process, parent, function, argument);
	return pid < 0 ? pid : let_go(process, pid);
}

static int start(struct brood_process **out, int (*function)(void *), void *argument,
		 const struct brood_process_opts *opts)
{
	struct brood_process_opts known;
	int r = brood__options(&known, sizeof known, opts);

	if (r || !function)
		return -EINVAL;
	r = brood__children_ready();
	if (!r)
		r = brood__family_ready();
	if (r)
		return r;
	*out = make_handle(&known);
	return *out ? launch(*out, function, argument) : -ENOMEM;
}

struct brood_process *brood_process_start_opts(int (*function)(void *), void *argument,
					       const struct brood_process_opts *opts)
{
	struct brood_process *process = NULL;
	int r = start(&process, function, argument, opts);

	if (!r)
		return process;
	if (process)
		brood__child_drop(process);
	errno = -r;
	return NULL;
}

struct brood_process *brood_process_start(int (*function)(void *), void *argument)
{
	return brood_process_start_opts(function, argument, NULL);
}

/*
 * The pidfd can be readable while there is nothing to reap yet: a debugger that traces the child is
 * told first. Then we look again.
 */
int brood_process_join(struct brood_process *process, int64_t timeout)
{
	int64_t deadline;
	int r = brood__child_look(process);

	if (r != -EAGAIN)
		return r;
	deadline = brood__deadline(timeout);
	do {
		r = brood__pidfd_wait(process->pidfd, deadline);
		if (r == 0)
			r = brood__child_look(process) ? -EINTR : 0;
	} while (r == -EINTR);
	return r;
}

int brood_process_exit_code(struct brood_process *process, int *code)
{
	int r = brood__child_look(process);

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
	int r = brood__child_look(process);

	return r == -EAGAIN ? 1 : r;
}

pid_t brood_process_pid(const struct brood_process *process)
{
	return process ? process->pid : -EINVAL;
}

const char *brood_process_name(const struct brood_process *process)
{
	return process ? process->name : NULL;
}

bool brood_process_is_daemon(const struct brood_process *process)
{
	return process && process->daemon;
}

int brood_process_pidfd(const struct brood_process *process)
{
	if (!process)
		return -EINVAL;
	return process->creator == getpid() ? process->pidfd : -ECHILD;
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

int brood_process_signal(struct brood_process *process, int signal)
{
	int r;

	if (signal < 0 || signal >= NSIG)
		return -EINVAL;
	r = brood__child_look(process);
	if (r != -EAGAIN)
		return r;
	r = brood__pidfd_signal(process->pidfd, signal);
	return r == -ESRCH ? 0 : r;
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
	if (brood__child_look(process) == -EAGAIN)
		return -EBUSY;
	brood__child_drop(process);
	return 0;
}
