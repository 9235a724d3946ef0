/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a child comes to be, by fork or by the zygote.
 *
 *	parent                                    child
 *	family arena ready, stdio flushed
 *	gate made
 *	fork ------------------------------------ table emptied (fork handler)
 *	pidfd opened                              on the roster
 *	group, nice value, CPUs set               signals set, die_with_parent asked for
 *	gate opened  - - - - - - - - - - - - - -> waits at the gate
 *	with die_with_parent: until it is passed  parent gone? killed
 *	gate closed, launch returns               function, exit rule, flush, leave, _exit
 *
 * What can fail for the child is done by the parent, to the child that stands at its gate: so its
 * error is the launch's, and the function has not run.
 *
 * With die_with_parent the launch waits until the child has passed the gate: the kernel's request
 * follows the thread that forked, and if that thread ended earlier, the child would follow another
 * thread of the parent, which nobody could tell. When the whole parent is killed, getppid tells.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/arena.h"
#include "member/member.h"
#include "platform/children.h"
#include "process/process.h"

static bool asks_for_signals(const struct brood_process *process)
{
	return process->reset_signals || process->ignore_sigint;
}

/* All signals are blocked if anything is asked for; so no handler of the parent runs here. */
static void set_signals(const struct brood_process *process, const sigset_t *mask)
{
	sigset_t none;

	if (process->reset_signals) {
		for (int number = 1; number < NSIG; number++)
			signal(number, SIG_DFL);
		sigemptyset(&none);
		mask = &none;
	}
	if (process->ignore_sigint)
		signal(SIGINT, SIG_IGN);
	pthread_sigmask(SIG_SETMASK, mask, NULL);
}

void brood__run_child(struct brood_process *process, pid_t parent, const sigset_t *mask)
{
	void *argument = process->argument;
	int code;

	if (process->copy)
		argument = brood__part(process, process->copy);
	brood__become(process, parent);
	brood__handles_restart();
	brood__roster_enter(process->short_name, parent);
	if (mask)
		set_signals(process, mask);
	if (process->die_with_parent)
		brood__die_with_parent();
	if (!brood__gate_enter(process->gate, parent))
		_exit(0);
	if (process->die_with_parent && brood__parent_gone(parent))
		raise(SIGKILL);

	brood__roster_running();
	code = process->function(argument);
	brood__children_end();
	fflush(NULL);
	brood__leave();
	_exit(code & 0xff);
}

static int settle(const struct brood_process *process)
{
	pid_t pid = process->pid;
	int r = 0;

	if (process->own_group && setpgid(pid, pid))
		r = -errno;
	if (r == 0)
		r = brood__nicer(pid, process->nice);
	if (r == 0 && process->cpus_count)
		r = brood__cpus_allow(pid, brood__part(process, process->cpus),
				      process->cpus_count);
	return r == -ESRCH ? 0 : r; /* it has been killed: that is how it ended */
}

static void send_away(const struct brood_process *process, pid_t pid)
{
	brood__gate_cancel(process->gate);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The child has been forked and stands at its gate. */
static int let_go(struct brood_process *process, pid_t pid)
{
	int r = brood__child_open(process, pid);

	if (r == 0 && process->gate < 0)
		return 0;
	if (r == 0)
		r = settle(process);
	if (r) {
		send_away(process, pid);
		return r;
	}
	brood__gate_open(process->gate);
	if (process->die_with_parent)
		brood__gate_passed(process->gate, process->pidfd);
	brood__child_close_gate(process);
	return 0;
}

/*
 * Another thread that is blocked in a read of standard input holds that stream's lock, and flushing
 * all streams would wait for it. Then the two that matter most are flushed.
 */
void brood__flush(void)
{
	if (ftrylockfile(stdin) == 0) {
		fflush(NULL);
		funlockfile(stdin);
		return;
	}
	fflush(stdout);
	fflush(stderr);
}

static pid_t fork_child(struct brood_process *process, const sigset_t *mask)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		brood__run_child(process, parent, mask);
	return pid < 0 ? -errno : pid;
}

static pid_t make_child(struct brood_process *process)
{
	bool blocked = asks_for_signals(process);
	sigset_t all, mask;
	pid_t pid;

	if (process->method == BROOD_START_ZYGOTE) {
		pthread_sigmask(SIG_SETMASK, NULL, &process->mask);
		return brood__zygote_fork(process);
	}
	sigfillset(&all);
	if (blocked)
		pthread_sigmask(SIG_SETMASK, &all, &mask);
	pid = fork_child(process, blocked ? &mask : NULL);
	if (blocked)
		pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return pid;
}

static int launch(struct brood_process *process)
{
	pid_t pid;
	int r;

	brood__flush();
	r = brood__child_begin(process);
	if (r)
		return r;
	pid = make_child(process);
	r = pid < 0 ? pid : let_go(process, pid);
	if (r)
		brood__child_failed(process);
	return r;
}

/*
 * A thread that was cancelled before it opens the gate would leave the child waiting there. The child
 * stays so: a request that is meant for its creator's thread is copied to it by the fork.
 */
int brood__launch(struct brood_process *process)
{
	int cancel, r;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	r = launch(process);
	pthread_setcancelstate(cancel, NULL);
	return r;
}
