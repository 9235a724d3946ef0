/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tracer of tests/faults/main.c. It follows the victim, and what that starts, up to the exec,
 * from system call to system call; what has been exec'ed is let go. Between the marks calls are
 * counted, in the order in which they are made. The one that is meant is made to fail: its number
 * is replaced by one that no call has, and its result by the error; only close is let do its work.
 *
 * The tracer is the reaper of its descendants, so all that a victim leaves behind comes to it.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/base.h>

#include "faults.h"

#if defined(__x86_64__) || defined(__aarch64__)

#ifdef __x86_64__

static void set_result(struct user_regs_struct *registers, long result)
{
	registers->rax = (unsigned long long)result;
}

static long make_void(pid_t pid)
{
	return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1L);
}

#else

static void set_result(struct user_regs_struct *registers, long result)
{
	registers->regs[0] = (unsigned long long)result;
}

static long make_void(pid_t pid)
{
	int number = -1;
	struct iovec part = { &number, sizeof number };

	return ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &part);
}

#endif

#define OPTIONS                                                                                   \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | \
	 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)

static bool counting;
static pid_t failing; /* is inside of the call that is to fail */

static void replace_result(pid_t pid, int error)
{
	struct user_regs_struct registers;
	struct iovec part = { &registers, sizeof registers };

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part))
		return;
	set_result(&registers, -error);
	ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &part);
}

/* The kernel stores the number of a pidfd before its last checks: it says nothing if they fail. */
static void store_pidfd(pid_t pid, const uint64_t args[])
{
	uint64_t place = args[2];
	long word;

	if (!(args[0] & CLONE_PIDFD) || !place)
		return;
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, pid, place, 0);
	if (errno == 0)
		ptrace(PTRACE_POKEDATA, pid, place, (word & ~0xffffffffl) | OPEN_FD);
}

static void fail(struct run *run, pid_t pid, uint64_t number, const uint64_t args[],
		 const int *errors)
{
	for (run->errors = 0; run->errors < ERRORS && errors[run->errors]; run->errors++)
		;
	if (run->which >= run->errors)
		return; /* it came differently this time */
	run->done = true;
	run->error = errors[run->which];
	failing = pid;
	if (number == SYS_clone)
		store_pidfd(pid, args);
	if (number != SYS_close && make_void(pid))
		abort();
}

static void on_entry(struct run *run, pid_t pid, const struct __ptrace_syscall_info *info)
{
	const uint64_t *args = (const void *)info->entry.args;
	const int *errors;
	const char *name = call_errors(pid, info->entry.nr, args, &errors);

	if (pid == run->victim && info->entry.nr == SYS_getpriority &&
	    info->entry.args[0] == MARK) {
		counting = info->entry.args[1];
		return;
	}
	if (!counting || run->done)
		return;
	if (run->deed == FAIL && (!*errors || ++run->seen != run->at))
		return;
	run->call = name;
	run->in_child = pid != run->victim;
	if (run->deed == FAIL)
		fail(run, pid, info->entry.nr, args, errors);
}

/*
 * A traced process that has ended is shown to its tracer first, and its parent, which sees by a
 * pidfd that it has ended, cannot reap it. So nobody of them is traced when it ends: it is let go
 * before, and stops at once until it is killed.
 */
static void let_go(struct run *run, pid_t pid, int signal)
{
	if (signal)
		kill(pid, SIGSTOP);
	ptrace(PTRACE_DETACH, pid, 0, 0);
	if (signal)
		kill(pid, signal);
	if (run->started == pid)
		run->started = 0;
}

/* The victim is killed also when what it has started enters or leaves a call. */
static void on_any(struct run *run, pid_t pid)
{
	pid_t whom = run->deed == KILL_VICTIM ? run->victim : run->started;

	if (run->deed == FAIL || !counting || run->done || !whom)
		return;
	if ((run->deed == KILL_CHILD && pid != whom) || ++run->seen != run->at)
		return;
	run->done = true;
	if (run->deed == KILL_CHILD)
		let_go(run, whom, SIGKILL);
	else
		kill(whom, SIGKILL);
}

static void on_call(struct run *run, pid_t pid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0)
		return; /* it has just been killed */
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY && pid != run->victim &&
	    (info.entry.nr == SYS_exit_group || info.entry.nr == SYS_exit)) {
		let_go(run, pid, 0);
		return;
	}
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		on_entry(run, pid, &info);
	else if (pid == failing) {
		replace_result(pid, run->error);
		failing = 0;
	}
	on_any(run, pid);
}

static void go_on(struct run *run, pid_t pid, int signal)
{
	bool slowly = !run->done || pid == failing;

	if (!slowly && pid != run->victim && run->deed != KILL_VICTIM)
		let_go(run, pid, 0);
	else
		ptrace(slowly ? PTRACE_SYSCALL : PTRACE_CONT, pid, 0, signal);
}

static void on_stop(struct run *run, pid_t pid, int status)
{
	int signal = WSTOPSIG(status), event = status >> 16;

	if (pid != run->victim)
		run->started = pid;
	if (event == PTRACE_EVENT_EXEC) {
		run->executed = true;
		let_go(run, pid, 0);
		return;
	}
	if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
		ptrace(PTRACE_LISTEN, pid, 0, 0);
		return;
	}
	if (signal == (SIGTRAP | 0x80))
		on_call(run, pid);
	go_on(run, pid, event || signal == (SIGTRAP | 0x80) ? 0 : signal);
}

static void on_end(struct run *run, pid_t pid, int status)
{
	if (pid == run->victim) {
		run->status = status;
		counting = false;
	} else {
		run->child_status = status;
	}
}

/* All that is left, down to the last: it hangs, and is removed. */
static void remove_all(void)
{
	FILE *list = fopen("/proc/thread-self/children", "re");
	int pid;

	while (list && fscanf(list, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	if (list)
		fclose(list);
}

static void follow(struct run *run)
{
	int64_t until = brood_now() + INT64_C(1000000) * DEADLINE_MS;
	int status;

	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0 && errno == ECHILD)
			return;
		if (brood_now() > until) {
			run->hung = true;
			remove_all();
		}
		if (pid > 0 && WIFSTOPPED(status))
			on_stop(run, pid, status);
		else if (pid > 0)
			on_end(run, pid, status);
	}
}

static _Noreturn void be_victim(const struct run *run, int gate)
{
	char byte;

	if (read(gate, &byte, 1) != 1)
		_exit(90);
	close(gate);
	scene_play(run->scene);
}

static bool start(struct run *run)
{
	int gate[2];

	if (pipe(gate))
		return false;
	run->victim = fork();
	if (run->victim == 0) {
		close(gate[1]);
		be_victim(run, gate[0]);
	}
	close(gate[0]);
	if (run->victim < 0 || ptrace(PTRACE_SEIZE, run->victim, 0, OPTIONS) ||
	    ptrace(PTRACE_INTERRUPT, run->victim, 0, 0)) {
		close(gate[1]);
		return false;
	}
	if (write(gate[1], "", 1) != 1)
		abort();
	close(gate[1]);
	return true;
}

void trace_run(struct run *run)
{
	run->status = run->child_status = -1;
	run->call = "";
	counting = false;
	failing = 0;
	memset(report, 0, sizeof *report);
	if (!start(run))
		run->hung = true;
	follow(run);
}

static void nothing(int signal)
{
	(void)signal;
}

static int no_scene(void)
{
	return 0;
}

const char *trace_unsupported(void)
{
	static const struct scene none = { "none", no_scene };
	const struct sigaction tick = { .sa_handler = nothing };
	const struct itimerval often = { { 0, 100000 }, { 0, 100000 } };
	struct run run = { .scene = &none, .at = 1 };

	/* Interrupts waitpid, so that a deadline is seen. */
	sigaction(SIGALRM, &tick, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	trace_run(&run);
	return run.status == 0 && !run.hung ? NULL : "ptrace is not permitted here";
}

#else

const char *trace_unsupported(void)
{
	return "system calls are followed on x86-64 and arm64 only";
}

void trace_run(struct run *run)
{
	(void)run;
}

#endif
