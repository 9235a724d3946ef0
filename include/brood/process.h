/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes: a C function run in a child.
 *
 * brood_process_start() flushes all stdio streams (only stdout and stderr while another thread is
 * blocked in a read of stdin), forks, and runs the function in the child. The
 * function's return value, modulo 256, is the exit code; the child then ends its own children by
 * the rule below, flushes stdio and leaves with _exit(), so that nothing of the parent (atexit
 * handlers, code after the call) runs in it; its other threads end with it. The child is a new
 * member: it shares every brood object with its parent, at the same addresses, and nothing else.
 * In particular the C library's random generators go on from where the parent's stood: seed them.
 * The thread that runs the function begins with cancellation disabled.
 *
 * A handle belongs to the process that made it. In any other process launch, join, is_alive,
 * terminate and the like return -ECHILD and do nothing; pid and name answer.
 *
 * At the creator's normal end (return from main, exit(), return of the child's function): children
 * with the daemon flag are sent SIGTERM with all that they have started in turn (as by
 * brood_process_kill_tree), then all children are waited for, as Python does. After _exit(),
 * abort() or a signal they go on alone, unless die_with_parent was asked for.
 *
 * Signals go through a pidfd only: never to a process that has got a recycled pid. brood installs
 * no signal handler, touches no SIGCHLD, and reaps no child but its own. With SIGCHLD ignored, or
 * with a wait() of the program's that takes any child, all works, the exit code from Linux 6.15 on:
 * before, it is not known, -ECHILD.
 *
 * Ctrl-C: the terminal sends SIGINT to the whole foreground group, so parent and children each get
 * it. Let children ignore it (ignore_sigint) and the parent decide; or take them out of the group.
 *
 * The zygote. In a program with several threads the usual rule of fork holds: the child has only
 * the thread that started it, locks of others stay locked in it, and all pages that the program
 * ever touched are copied as entries of a page table. brood_zygote_start(), called while there is
 * one thread, forks a process that does nothing but start children on request; from then on any
 * thread can start them by it (BROOD_START_ZYGOTE), as fast as from a small program. They are
 * children of this process in every respect. What they find is the program as it was when the
 * zygote was forked: memory, current directory, umask, limits, handlers of signals, standard
 * input, output and error; no other descriptor; pipes' ends are not held. Objects of the family
 * arena are shared whenever they were made, and the mask of signals is the caller's. Functions of
 * libraries that were loaded later are not there. Handlers of pthread_atfork have run once, in
 * the zygote. An argument that lies elsewhere than in a segment has to be copied (`copy`).
 *
 * The zygote is a child of the program, so a wait() for any child waits for it too. It has all
 * signals blocked, ends with the program, and holds none of its memory back but what both had. If
 * it is killed, the next start forks another, from whatever the program is by then. A forked child
 * has none; its first start by that method makes its own.
 *
 * If the creator is killed while it starts a child, then there is no child, or it has run the
 * function, or it goes away without having run it. If a child is killed at any instruction,
 * nothing remains to repair: it was a member, or it was not.
 *
 * Thread safe, but for freeing a handle that others use.
 */
#ifndef BROOD_PROCESS_H
#define BROOD_PROCESS_H

#include <stdbool.h>

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_process;

enum brood_start_method { BROOD_START_FORK = 0, BROOD_START_ZYGOTE };

struct brood_process_opts {
	size_t opts_size; /* 0, or sizeof(struct brood_process_opts) */
	const char *name; /* copied; NULL = "Process-k", k counting from 1 in this process, or
				 * "Process-1:k" in its first child, and so on */
	bool daemon; /* terminated, not waited for, at the creator's normal end; so are all
				 * children of a daemon, asked for or not */
	bool die_with_parent; /* SIGKILL to the child when the thread that started it ends, also if
				 * that happens before the child asks for it; by the zygote: the
				 * thread that started the zygote */
	bool own_group; /* the child leads a process group of its own from the start */
	bool reset_signals; /* no handler, nothing ignored or blocked; else all is inherited */
	bool ignore_sigint;
	size_t copy; /* bytes of *argument that are copied now; the function gets a copy,
				 * aligned to 16 bytes, which is the child's own. 0 = it gets the
				 * pointer */
	int nice; /* added to the nice value of the thread that starts it */
	enum brood_start_method method;
	const unsigned int *cpus; /* the only CPUs that it may run on, by number; copied */
	size_t cpus_count; /* 0 = those of the creator */
};

/*
 * Start function(argument) in a new process. Blocks for the fork only.
 * NULL with errno: EINVAL (no function, bad options), EAGAIN or ENOMEM from fork, EMFILE or ENFILE
 * for the pidfd, ENOSPC when the family arena cannot be made; of the options: EPERM, EACCES (nice
 * below what is allowed), EINVAL (none of the CPUs is there); of the zygote: EBUSY (none was
 * started and there are several threads), ENOSYS, EPIPE (it was killed, and so were two others that
 * were started in its place meanwhile). On failure no process is left behind.
 */
BROOD_API struct brood_process *brood_process_start(int (*function)(void *), void *argument);

/* The same with options; NULL opts are the defaults. */
BROOD_API struct brood_process *brood_process_start_opts(int (*function)(void *), void *argument,
							 const struct brood_process_opts *opts);

/*
 * The same in two steps: make the handle; then launch it, once. Until then the pid is 0, it is not
 * alive, its exit code is -EAGAIN, it cannot be joined or signalled (-EINVAL), and it can be freed.
 * An argument that is not copied must be there at the launch.
 *
 * create: NULL with errno EINVAL, ENOMEM. launch: 0; -EALREADY when it has been launched before,
 * also after its end; -ECHILD when the caller has not made it; -EINVAL (NULL); else the errors of
 * start, after which it can be tried again.
 */
BROOD_API struct brood_process *brood_process_create(int (*function)(void *), void *argument,
						     const struct brood_process_opts *opts);
BROOD_API int brood_process_launch(struct brood_process *process);

/*
 * Wait until the process has ended. 0 when it has (ask brood_process_exit_code how), -EAGAIN
 * or -ETIMEDOUT while it runs, -ECHILD when the caller is not its creator, -EINVAL (NULL, not
 * launched). May be called again.
 */
BROOD_API int brood_process_join(struct brood_process *process, int64_t timeout);

/*
 * Wait for n processes; the time is for all of them together. 0 when all have ended; -EAGAIN or
 * -ETIMEDOUT when some have not, the others have been reaped; -ECHILD or -EINVAL at once when one
 * of them cannot be joined.
 */
BROOD_API int brood_process_join_all(struct brood_process *const *processes, size_t n,
				     int64_t timeout);

/*
 * How it ended: *code is the exit code 0 to 255, or -N when signal N killed it. Returns 0 with
 * *code set; -EAGAIN while it runs or was not launched (*code untouched); -ECHILD when the caller
 * is not its creator, or when somebody else reaped it (SIGCHLD ignored, a stray wait()) and the
 * kernel, before 6.15, does not know. Never blocks.
 */
BROOD_API int brood_process_exit_code(struct brood_process *process, int *code);

/*
 * 1 while it runs, 0 when it has ended or was not launched, -ECHILD when the caller is not its
 * creator. Never blocks.
 */
BROOD_API int brood_process_is_alive(struct brood_process *process);

/* Its process id, also after its end; 0 before it is launched. */
BROOD_API pid_t brood_process_pid(const struct brood_process *process);

/* Its name, good until brood_process_free. */
BROOD_API const char *brood_process_name(const struct brood_process *process);

/* Whether it was started as a daemon. */
BROOD_API bool brood_process_is_daemon(const struct brood_process *process);

/*
 * A descriptor that poll and epoll report readable when the process has ended. It belongs to the
 * handle: do not close it. -ECHILD when the caller is not the creator, -EINVAL before the launch.
 */
BROOD_API int brood_process_pidfd(const struct brood_process *process);

/*
 * Send SIGTERM; SIGKILL; any signal. 0 also when it has ended already. -ECHILD, -EINVAL. What it
 * has started goes on.
 */
BROOD_API int brood_process_terminate(struct brood_process *process);
BROOD_API int brood_process_kill(struct brood_process *process);
BROOD_API int brood_process_signal(struct brood_process *process, int signal);

/*
 * Send a signal to it and to all that it has started, and those in turn, by fork or by exec, also
 * those that have changed group or session. The tree is stopped (SIGSTOP), walked, signalled, and
 * let go on (SIGCONT), so that nobody of it can fork away; those that were stopped before stay so.
 * The creator may see SIGCHLD for that. Not reached are those whose own parent had ended before the
 * call, as they are nobody's of this tree any more, and what a thread forks that cannot be
 * interrupted for a second.
 *
 * 0, also when it has ended already, which leaves its children alone; the first error if some
 * could not be signalled (-EPERM); -EMFILE, -ENFILE, -ENOMEM (nobody gets the signal); -ENOSYS
 * (nobody either) where /proc does not tell children, or is of another pid namespace; -ECHILD,
 * -EINVAL. Blocks for as long as it takes to stop them, O(tree). If the caller is killed meanwhile,
 * some may stay stopped.
 */
BROOD_API int brood_process_kill_tree(struct brood_process *process, int signal);

/*
 * Free the handle of a process that has ended or was never launched, its descriptor too. -EBUSY
 * while it runs, or when it is the caller's own or its parent's. NULL is fine. In another process
 * than the creator it frees that process's copy of the handle.
 */
BROOD_API int brood_process_free(struct brood_process *process);

/*
 * The children of the caller that run: how many, of which the first `room` are stored, in the order
 * of their creation. Those that have ended are reaped; their handles stay. Never blocks.
 */
BROOD_API size_t brood_active_children(struct brood_process **handles, size_t room);

/*
 * The calling process: its pid, name and daemon flag; alive, exit code -EAGAIN, all else is
 * -ECHILD. In a program that brood did not start the name is "MainProcess". Not to be freed.
 */
BROOD_API struct brood_process *brood_process_current(void);

/*
 * The process that started the calling one by brood, NULL when there is none. pid, name, is_alive
 * and join answer, all else is -ECHILD; in a process that was forked from that by other means
 * is_alive and join are -ECHILD as well. Not to be freed.
 */
BROOD_API struct brood_process *brood_process_parent(void);

/*
 * A secret that a process shares with its descendants, for those who talk over sockets: 32 random
 * bytes at the start of the program, inherited at each fork (by the zygote: as it was when that was
 * started). get copies it and returns its length; -EMSGSIZE when there is no room for it, -EINVAL.
 * set replaces it, here and in children started later: 0, -EINVAL (NULL, 0 bytes or more than
 * BROOD_AUTHKEY_MAX). Set it before other threads get it.
 */
#define BROOD_AUTHKEY_MAX 256
BROOD_API ssize_t brood_authkey_get(void *key, size_t room);
BROOD_API int brood_authkey_set(const void *key, size_t length);

/*
 * Fork the zygote. Call it while the program has one thread, before it gets big. 0; -EALREADY;
 * -EBUSY when there are other threads; -ENOSYS where the C library or the kernel cannot do it; else
 * the errors of start. It has no handle and is none of brood_active_children.
 *
 * stop ends it, if there is one, and reaps it: 0. So does the normal end of the program.
 */
BROOD_API int brood_zygote_start(void);
BROOD_API int brood_zygote_stop(void);

/*
 * How many CPUs the caller may use, at least 1: those of its affinity mask, or fewer if the quota
 * of its cgroups (version 1 or 2, those above included) is less, rounded up. The environment
 * variable BROOD_CPUS, a number from 1 on, is taken instead. brood_cpu_count_all: those of the
 * machine that are online.
 */
BROOD_API unsigned int brood_cpu_count(void);
BROOD_API unsigned int brood_cpu_count_all(void);

/* Bytes of a name, its end included; longer ones are cut. */
#define BROOD_FAMILY_NAME 32

enum brood_process_state {
	BROOD_STARTING = 1, /* its function has not begun */
	BROOD_RUNNING,
	BROOD_ENDED /* and its creator has not reaped it yet */
};

struct brood_family_member {
	pid_t pid;
	pid_t creator; /* 0: brood did not start it */
	uint32_t state; /* enum brood_process_state */
	uint32_t reserved;
	char name[BROOD_FAMILY_NAME];
};

/*
 * The processes of the family: the caller, all that brood started from the same program, however
 * far apart, and those that started them; up to 1,024. How many, of which the first `room` are
 * stored, in no order. Each record is of one moment, all of them together are not. Never blocks,
 * and a killed process, whichever instruction it was at, is told as ended.
 */
BROOD_API size_t brood_family(struct brood_family_member *out, size_t room);

#ifdef __cplusplus
}
#endif

#endif
