/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which errors a system call may give, and where its failure is told.
 *
 * Not failed are those that cannot fail as they are called (getpid, umask, rt_sigprocmask), and
 * those where the kernel's word is the truth about another process: "it has ended" (ESRCH of a
 * signal, ECHILD of waitid, EPIPE of a write) would be a lie that nobody could see through.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/subprocess.h>

#include "faults.h"

struct call {
	const char *name;
	uint64_t number;
	int errors[ERRORS];
};

#define CALL(name, ...)             \
	{                           \
#name, SYS_##name,  \
		{                   \
			__VA_ARGS__ \
		}                   \
	}
#define NEVER(name)                \
	{                          \
#name, SYS_##name, \
		{                  \
			0          \
		}                  \
	}

static const struct call calls[] = {
	CALL(openat, EMFILE, ENFILE, ENOMEM, EACCES, EINTR),
	CALL(pipe2, EMFILE, ENFILE, ENOMEM),
	CALL(dup, EMFILE),
	CALL(dup3, EBUSY, ENOMEM),
	CALL(close, EINTR, EIO), /* it is closed in any case */
	CALL(clone, EAGAIN, ENOMEM, EPERM),
#ifdef SYS_clone3
	CALL(clone3, EAGAIN, ENOMEM, EPERM, ENOSYS),
#endif
	CALL(execve, ENOENT, EACCES, ENOEXEC, ENOMEM, E2BIG, ETXTBSY, EIO, EMFILE),
	CALL(execveat, ENOENT, EACCES, ENOEXEC, ENOMEM, E2BIG, ETXTBSY, EIO, EMFILE),
	CALL(chdir, ENOENT, EACCES, EIO, ENOMEM),
	CALL(fchdir, EACCES, EIO),
	CALL(setsid, EPERM),
	CALL(setpgid, EPERM, ESRCH, EACCES),
	CALL(prlimit64, EPERM, EINVAL),
	CALL(setpriority, EPERM, EACCES),
	CALL(getpriority, ESRCH),
	CALL(sched_setaffinity, EINVAL, EPERM),
	CALL(sched_getaffinity, EINVAL),
	CALL(setresuid, EPERM, EAGAIN, EINVAL),
	CALL(setresgid, EPERM, EINVAL),
	CALL(setgroups, EPERM, ENOMEM),
	CALL(prctl, EINVAL, EPERM),
	CALL(pidfd_open, EMFILE, ENFILE, ENOMEM, ENOSYS),
	CALL(pidfd_send_signal, EPERM, ENOSYS),
	CALL(waitid, EINTR, EINVAL),
	CALL(wait4, EINTR),
	CALL(ppoll, EINTR, ENOMEM, EINVAL),
	CALL(read, EINTR, EAGAIN, ENOMEM, EIO),
	CALL(write, EINTR, EAGAIN, ENOMEM, EIO, ENOSPC),
	CALL(readv, EINTR, EAGAIN, ENOMEM, EIO),
	CALL(writev, EINTR, EAGAIN, ENOMEM, EIO, ENOSPC),
	CALL(splice, EINTR, EAGAIN, EINVAL, ENOMEM, ENOSYS, EIO, ENOSPC),
	CALL(tee, EINTR, EAGAIN, EINVAL, ENOMEM),
	CALL(vmsplice, EINTR, EAGAIN, ENOMEM),
	CALL(sendfile, EINTR, EAGAIN, EINVAL, EIO),
	CALL(epoll_create1, EMFILE, ENFILE, ENOMEM),
	CALL(epoll_ctl, ENOMEM, ENOSPC, EPERM),
	CALL(epoll_pwait, EINTR),
	CALL(ioctl, EIO, EINVAL, EMFILE, ENOMEM),
	CALL(fstat, EIO, ENOMEM),
	CALL(newfstatat, EACCES, EIO, ENOMEM),
	CALL(statx, EACCES, EIO, ENOMEM),
	CALL(faccessat, EACCES, EIO),
	CALL(readlinkat, EACCES, ENOMEM),
	CALL(getdents64, EIO, ENOMEM),
	CALL(lseek, ESPIPE),
	CALL(mmap, ENOMEM),
	CALL(mremap, ENOMEM),
	CALL(mprotect, ENOMEM),
	CALL(fcntl, EPERM),
	CALL(futex, EINTR, EAGAIN), /* a wait; a wake does not fail */
	CALL(rt_sigtimedwait, EINTR),
	CALL(clock_nanosleep, EINTR),
	CALL(getrandom, EINTR, EAGAIN),
	CALL(socketpair, EMFILE, ENFILE, ENOMEM),
	CALL(eventfd2, EMFILE, ENFILE, ENOMEM),
	CALL(memfd_create, EMFILE, ENFILE, ENOMEM),
	CALL(kill, EPERM),
	CALL(close_range, ENOSYS, ENOMEM, EPERM),
#ifdef SYS_open /* the old ones, which new processors never had */
	CALL(open, EMFILE, ENFILE, ENOMEM, EACCES, EINTR),
	CALL(pipe, EMFILE, ENFILE),
	CALL(dup2, EBUSY, ENOMEM),
	CALL(vfork, EAGAIN, ENOMEM),
	CALL(fork, EAGAIN, ENOMEM),
	CALL(poll, EINTR, ENOMEM, EINVAL),
	CALL(epoll_wait, EINTR),
	CALL(stat, EACCES, ENOMEM),
	CALL(access, EACCES, EIO),
	CALL(readlink, EACCES, ENOMEM),
	NEVER(getpgrp),
#endif
	NEVER(brk), /* malloc goes on with mmap */
	NEVER(munmap), /* nobody can do anything about it */
	NEVER(madvise), /* advice */
	NEVER(exit),
	NEVER(exit_group),
	NEVER(rt_sigreturn), /* do not come back */
	/* These do not fail, as they are called. */
	NEVER(rt_sigaction),
	NEVER(rt_sigprocmask),
	NEVER(umask),
	NEVER(getpid),
	NEVER(gettid),
	NEVER(getppid),
	NEVER(rt_sigpending),
	NEVER(getpgid),
	NEVER(getuid),
	NEVER(geteuid),
	NEVER(getgid),
	NEVER(getegid),
	NEVER(sched_yield),
	NEVER(clock_gettime),
	NEVER(getcwd),
	/* What a C library does for itself when a process begins. */
	NEVER(set_robust_list),
	NEVER(set_tid_address),
#ifdef SYS_rseq
	NEVER(rseq),
#endif
};

static const int of_copy[ERRORS] = { EMFILE }, of_size[ERRORS] = { EPERM, ENOMEM, EBUSY },
		 of_flags[ERRORS] = { EPERM }, of_unknown[ERRORS] = { EPERM, ENOMEM, ENOSYS },
		 of_nothing[ERRORS], of_reaping[ERRORS] = { EINTR },
		 of_file[ERRORS] = { EIO, ENOMEM },
		 of_terminal[ERRORS] = { EINTR, EAGAIN, ENOMEM }, /* EIO is its end */
	of_device[ERRORS] = { EMFILE, ENFILE, ENOMEM, EACCES };

static const int *fcntl_errors(uint64_t command)
{
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return of_copy;
	return command == F_SETPIPE_SZ ? of_size : of_flags;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* Only a pipe makes a reader wait, or not; NULL: as the table says. */
static const int *read_errors(pid_t pid, int fd)
{
	char link[40], target[40] = "";

	snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)pid, fd);
	if (readlink(link, target, sizeof target - 1) < 0)
		return NULL;
	if (begins(target, "/dev/pt"))
		return of_terminal;
	return target[0] == '/' ? of_file : NULL;
}

/* An open that waits is one of the user's own: of a FIFO, of another machine's file. */
static const int *open_errors(pid_t pid, uint64_t path)
{
	char text[6] = "";
	struct iovec here = { text, 5 }, there = { (void *)(uintptr_t)path, 5 };

	if (process_vm_readv(pid, &here, 1, &there, 1, 0) != 5)
		return NULL;
	return begins(text, "/proc") || begins(text, "/dev/") ? of_device : NULL;
}

/* NULL: the call has the same errors always. */
static const int *special(pid_t pid, uint64_t number, const uint64_t args[])
{
	switch (number) {
	case SYS_fcntl:
		return fcntl_errors(args[1]);
	case SYS_read:
		return read_errors(pid, (int)args[0]);
	case SYS_openat:
		return open_errors(pid, args[1]);
	case SYS_waitid: /* Linux has not always known P_PIDFD */
		return args[0] == P_PIDFD ? NULL : of_reaping;
	case SYS_futex:
		return ((int)args[1] & FUTEX_CMD_MASK) == FUTEX_WAKE ? of_nothing : NULL;
	default:
		return NULL;
	}
}

const char *call_errors(pid_t pid, uint64_t number, const uint64_t args[], const int **errors)
{
	const int *own = special(pid, number, args);

	*errors = own ? own : of_unknown;
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		if (calls[i].number == number) {
			*errors = own ? own : calls[i].errors;
			return calls[i].name;
		}
	}
	return "a call that is not in the table";
}

static bool is_one_of(const char *call, const char *const names[])
{
	for (; *names; names++)
		if (strcmp(call, *names) == 0)
			return true;
	return false;
}

/* Interrupted, or called in vain: it is called again. A close has closed, whatever it says. */
bool call_may_not_err(const char *call, int error)
{
	static const char *const asked_again[] = { "read",   "write", "readv",	   "writev",
						   "splice", "futex", "getrandom", NULL };

	return error == EINTR || (error == EAGAIN && is_one_of(call, asked_again)) ||
	       strcmp(call, "close") == 0;
}

static const struct {
	const char *call;
	uint32_t step;
} places[] = {
	{ "chdir", BROOD_STEP_CWD },	    { "fchdir", BROOD_STEP_CWD },
	{ "setsid", BROOD_STEP_SESSION },   { "setpgid", BROOD_STEP_GROUP },
	{ "prlimit64", BROOD_STEP_LIMITS }, { "setpriority", BROOD_STEP_NICE },
	{ "getpriority", BROOD_STEP_NICE }, { "sched_setaffinity", BROOD_STEP_CPUS },
	{ "setresuid", BROOD_STEP_IDS },    { "setresgid", BROOD_STEP_IDS },
	{ "setgroups", BROOD_STEP_IDS },    { "prctl", BROOD_STEP_PARENT },
	{ "execve", BROOD_STEP_EXEC },	    { "execveat", BROOD_STEP_EXEC },
	{ "clone", BROOD_STEP_START },	    { "clone3", BROOD_STEP_START },
	{ "vfork", BROOD_STEP_START },
};

bool call_fits_step(const char *call, bool in_child, uint32_t step)
{
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (strcmp(places[i].call, call) == 0)
			return places[i].step == step;
	if (in_child)
		return step >= BROOD_STEP_STDIN && step <= BROOD_STEP_EXEC;
	return step == BROOD_STEP_COMMUNICATE || step == BROOD_STEP_RUN ||
	       (step >= BROOD_STEP_OPTIONS && step <= BROOD_STEP_START);
}
