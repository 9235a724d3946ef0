/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes: a C function run in a forked child.
 *
 * brood_process_start() flushes all stdio streams (only stdout and stderr while another thread is
 * blocked in a read of stdin), forks, and runs the function in the child. The
 * function's return value, modulo 256, is the exit code; the child then ends its own children by
 * the rule below, flushes stdio and leaves with _exit(), so that nothing of the parent (atexit
 * handlers, code after the call) runs in it. The child is a new member: it shares every brood
 * object with its parent, at the same addresses, and nothing else.
 *
 * A handle belongs to the process that started the child. In any other process join, is_alive,
 * terminate and the like return -ECHILD and do nothing; pid and name answer.
 *
 * At the creator's normal end (return from main, exit()): children with the daemon flag
 * are sent SIGTERM, then all children are waited for, as Python does. After _exit(), abort() or a
 * signal they go on alone, unless die_with_parent was asked for.
 *
 * Signals go through a pidfd only: never to a process that has got a recycled pid. brood installs
 * no signal handler, touches no SIGCHLD, and reaps no child but its own.
 *
 * Thread safe. From a threaded program the usual rule of fork holds: the child has only the thread
 * that started it.
 */
#ifndef BROOD_PROCESS_H
#define BROOD_PROCESS_H

#include <stdbool.h>

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_process;

struct brood_process_opts {
	size_t opts_size;	/* 0, or sizeof(struct brood_process_opts) */
	const char *name;	/* copied; NULL = "Process-k", k counting from 1 in this process */
	bool daemon;		/* terminated, not waited for, at the creator's normal end */
	bool die_with_parent;	/* SIGKILL to the child when the thread that started it ends, also if
				 * that happens before the child asks for it */
};

/*
 * Start function(argument) in a new process. Blocks for the fork only.
 * NULL with errno: EINVAL (no function, bad options), EAGAIN or ENOMEM from fork, EMFILE or ENFILE
 * for the pidfd, ENOSPC when the family arena cannot be made. On failure no process is left behind.
 */
BROOD_API struct brood_process *brood_process_start(int (*function)(void *), void *argument);

/* The same with options; NULL opts are the defaults. */
BROOD_API struct brood_process *brood_process_start_opts(int (*function)(void *), void *argument,
							 const struct brood_process_opts *opts);

/*
 * Wait until the process has ended. 0 when it has (ask brood_process_exit_code how), -EAGAIN
 * or -ETIMEDOUT while it runs, -ECHILD when the caller is not its creator. May be called again.
 */
BROOD_API int brood_process_join(struct brood_process *process, int64_t timeout);

/*
 * How it ended: *code is the exit code 0 to 255, or -N when signal N killed it. Returns 0 with
 * *code set; -EAGAIN while it runs (*code untouched); -ECHILD when the caller is not its creator
 * or when somebody else reaped it (SIGCHLD ignored, a stray wait()), so that nobody knows. Never
 * blocks.
 */
BROOD_API int brood_process_exit_code(struct brood_process *process, int *code);

/*
 * 1 while it runs, 0 when it has ended, -ECHILD when the caller is not its creator. Never blocks.
 */
BROOD_API int brood_process_is_alive(struct brood_process *process);

/* Its process id, also after its end. */
BROOD_API pid_t brood_process_pid(const struct brood_process *process);

/* Its name, good until brood_process_free. */
BROOD_API const char *brood_process_name(const struct brood_process *process);

/* Whether it was started as a daemon. */
BROOD_API bool brood_process_is_daemon(const struct brood_process *process);

/*
 * A descriptor that poll and epoll report readable when the process has ended. It belongs to the
 * handle: do not close it. -ECHILD when the caller is not the creator.
 */
BROOD_API int brood_process_pidfd(const struct brood_process *process);

/* Send SIGTERM; SIGKILL; any signal. 0 also when it has ended already. -ECHILD, -EINVAL. */
BROOD_API int brood_process_terminate(struct brood_process *process);
BROOD_API int brood_process_kill(struct brood_process *process);
BROOD_API int brood_process_signal(struct brood_process *process, int signal);

/*
 * Free the handle of a process that has ended, its descriptor too. -EBUSY while it runs. NULL is
 * fine. In another process than the creator it frees that process's copy of the handle.
 */
BROOD_API int brood_process_free(struct brood_process *process);

#ifdef __cplusplus
}
#endif

#endif
