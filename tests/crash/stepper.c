/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include "stepper.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __x86_64__

#include <sys/user.h>

#define BREAKPOINT 0xccu	/* int3, one byte */
#define FEW_STEPS 64

static int last_status;

__attribute__((noinline)) void stepper_begin(void)
{
	__asm__ volatile("int3" ::: "memory");
}

__attribute__((noinline)) void stepper_end(void)
{
	__asm__ volatile("int3" ::: "memory");
}

uint64_t stepper_address(pid_t pid)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
}

static bool at_end(uint64_t address)
{
	return address - (uint64_t)(uintptr_t)stepper_end < 16;
}

/* Let it go on by `request` until it stops again, by the trap that is meant or by a signal. */
static bool stops(enum __ptrace_request request, pid_t pid)
{
	if (ptrace(request, pid, 0, 0))
		return false;
	while (waitpid(pid, &last_status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	return WIFSTOPPED(last_status);
}

/* False when the victim got a signal or ended. Being stopped or continued is no matter. */
static bool move(enum __ptrace_request request, pid_t pid)
{
	do {
		if (!stops(request, pid))
			return false;
	} while (WSTOPSIG(last_status) == SIGSTOP || WSTOPSIG(last_status) == SIGCONT);
	return WSTOPSIG(last_status) == SIGTRAP;
}

int stepper_status(void)
{
	return last_status;
}

static _Noreturn void run_victim(pid_t parent, void (*body)(void *), void *argument)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || ptrace(PTRACE_TRACEME, 0, 0, 0))
		_exit(99);
	body(argument);
	_exit(0);
}

pid_t stepper_spawn(void (*body)(void *), void *argument)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		run_victim(parent, body, argument);
	if (pid < 0)
		return -1;
	while (waitpid(pid, &last_status, __WALL) < 0 && errno == EINTR)
		;
	if (WIFSTOPPED(last_status) && WSTOPSIG(last_status) == SIGTRAP)
		return pid;
	stepper_kill(pid);
	return -1;
}

bool stepper_is_asleep(pid_t pid)
{
	char path[32], text[256];
	const char *name_end;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof text - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	name_end = strrchr(text, ')');
	return name_end && name_end[1] == ' ' && name_end[2] == 'S';
}

bool stepper_run_asleep(pid_t pid)
{
	const struct timespec moment = { .tv_nsec = 50000 };

	if (ptrace(PTRACE_CONT, pid, 0, 0))
		return false;
	while (!stepper_is_asleep(pid)) {
		if (waitpid(pid, &last_status, __WALL | WNOHANG) != 0)
			return false;
		nanosleep(&moment, NULL);
	}
	return true;
}

void stepper_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
}

bool stepper_at_end(pid_t pid)
{
	return at_end(stepper_address(pid));
}

bool stepper_again(pid_t pid)
{
	do {
		if (!move(PTRACE_CONT, pid))
			return false;
	} while (at_end(stepper_address(pid)));
	return stepper_address(pid) - (uint64_t)(uintptr_t)stepper_begin < 16;
}

int stepper_finish(pid_t pid)
{
	int status = -1;

	/* Stops on the way, by stepper_end, are passed over; a real signal is delivered. */
	ptrace(PTRACE_CONT, pid, 0, 0);
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
		int signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);

		ptrace(PTRACE_CONT, pid, 0, signal);
	}
	return status;
}

enum step_result stepper_record(pid_t pid, struct trace *trace)
{
	uint64_t address = stepper_address(pid);

	trace->points = 0;
	for (;;) {
		trace_note(trace, address);
		if (at_end(address))
			break;
		if (!move(PTRACE_SINGLESTEP, pid))
			return STEP_DIED;
		address = stepper_address(pid);
	}
	trace_close(trace);
	return STEP_END;
}

bool stepper_break(pid_t pid, uint64_t address, long *word)
{
	errno = 0;
	*word = ptrace(PTRACE_PEEKTEXT, pid, address, 0);
	return !errno && !ptrace(PTRACE_POKETEXT, pid, address, (*word & ~0xffl) | BREAKPOINT);
}

bool stepper_unbreak(pid_t pid, uint64_t address, long word)
{
	if (ptrace(PTRACE_POKETEXT, pid, address, word))
		return false;
	if (stepper_address(pid) == address + 1)
		ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rip), address);
	return true;
}

/* Let the victim run up to, not over, the instruction at `address`, or to stepper_end. */
static bool run_to(pid_t pid, uint64_t address)
{
	long word;

	return stepper_break(pid, address, &word) && move(PTRACE_CONT, pid) &&
	       stepper_unbreak(pid, address, word);
}

static enum step_result steps(pid_t pid, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (at_end(stepper_address(pid)))
			return STEP_END;
		if (!move(PTRACE_SINGLESTEP, pid))
			return STEP_DIED;
	}
	return at_end(stepper_address(pid)) ? STEP_END : STEP_OK;
}

enum step_result stepper_advance_slowly(pid_t pid, size_t k)
{
	return steps(pid, k);
}

/* From point jump to point k: as often to the address of point k as it occurs on the way. */
static enum step_result run_turns(pid_t pid, const struct trace *trace, size_t jump, size_t k)
{
	for (size_t i = jump + 1; i <= k; i++) {
		if (trace->address[i] != trace->address[k])
			continue;
		/* Over the breakpoint of the turn before, or off the start. */
		if (!move(PTRACE_SINGLESTEP, pid))
			return STEP_DIED;
		if (stepper_address(pid) == trace->address[k])
			continue;
		if (at_end(stepper_address(pid)) || !run_to(pid, trace->address[k]))
			return STEP_ASTRAY;
	}
	return at_end(stepper_address(pid)) ? STEP_END : STEP_OK;
}

enum step_result stepper_advance(pid_t pid, const struct trace *trace, size_t k)
{
	size_t jump = trace->jump[k];
	enum step_result result = STEP_OK;

	if (jump && !run_to(pid, trace->address[jump]))
		return STEP_DIED;
	if (stepper_address(pid) != trace->address[jump])
		return STEP_ASTRAY;
	if (k - jump > FEW_STEPS)
		result = run_turns(pid, trace, jump, k);
	else
		result = steps(pid, k - jump);
	if (result != STEP_DIED && stepper_address(pid) != trace->address[k])
		return STEP_ASTRAY;
	return result;
}

const char *stepper_where(uint64_t address)
{
	static char text[256];
	Dl_info info;

	if (!dladdr((void *)(uintptr_t)address, &info))
		return "?";
	snprintf(text, sizeof text, "%s (addr2line -fe %s 0x%llx)",
		 info.dli_sname ? info.dli_sname : "?", info.dli_fname,
		 (unsigned long long)(address - (uintptr_t)info.dli_fbase));
	return text;
}

static void touch(void *unused)
{
	(void)unused;
	stepper_begin();
	stepper_end();
}

const char *stepper_unsupported(void)
{
	pid_t pid = stepper_spawn(touch, NULL);
	bool works = pid > 0 && move(PTRACE_SINGLESTEP, pid);

	if (pid > 0)
		stepper_kill(pid);
	return works ? NULL : "ptrace is not permitted here";
}

#else

/* Where atomics are load-linked and store-conditional, a single step never lets one succeed. */
const char *stepper_unsupported(void)
{
	return "single steps are implemented for x86-64 only";
}

void stepper_begin(void) {}
void stepper_end(void) {}

pid_t stepper_spawn(void (*body)(void *), void *argument)
{
	(void)body, (void)argument;
	return -1;
}

enum step_result stepper_record(pid_t pid, struct trace *trace)
{
	(void)pid, (void)trace;
	return STEP_DIED;
}

enum step_result stepper_advance(pid_t pid, const struct trace *trace, size_t k)
{
	(void)pid, (void)trace, (void)k;
	return STEP_DIED;
}

enum step_result stepper_advance_slowly(pid_t pid, size_t k)
{
	(void)pid, (void)k;
	return STEP_DIED;
}

bool stepper_break(pid_t pid, uint64_t address, long *word)
{
	(void)pid, (void)address, (void)word;
	return false;
}

bool stepper_unbreak(pid_t pid, uint64_t address, long word)
{
	(void)pid, (void)address, (void)word;
	return false;
}

bool stepper_run_asleep(pid_t pid) { (void)pid; return false; }
bool stepper_is_asleep(pid_t pid) { (void)pid; return false; }
bool stepper_again(pid_t pid) { (void)pid; return false; }
bool stepper_at_end(pid_t pid) { (void)pid; return true; }
void stepper_kill(pid_t pid) { (void)pid; }
int stepper_finish(pid_t pid) { (void)pid; return -1; }
int stepper_status(void) { return -1; }
uint64_t stepper_address(pid_t pid) { (void)pid; return 0; }
const char *stepper_where(uint64_t address) { (void)address; return "?"; }

#endif

void trace_note(struct trace *trace, uint64_t address)
{
	if (trace->points == trace->room) {
		trace->room = trace->room ? trace->room * 2 : 1024;
		trace->address = realloc(trace->address, trace->room * sizeof *trace->address);
		trace->jump = realloc(trace->jump, trace->room * sizeof *trace->jump);
		if (!trace->address || !trace->jump)
			abort();
	}
	trace->address[trace->points++] = address;
}

static bool occurs_before(const struct trace *trace, size_t k)
{
	for (size_t i = 0; i < k; i++)
		if (trace->address[i] == trace->address[k])
			return true;
	return false;
}

void trace_close(struct trace *trace)
{
	trace->jump[0] = 0;
	for (size_t k = 1; k < trace->points; k++)
		trace->jump[k] = occurs_before(trace, k) ? trace->jump[k - 1] : k;
}

static const uint64_t *sorted;	/* the addresses that by_address compares */

/* By address, and then by time. */
static int by_address(const void *a, const void *b)
{
	const size_t x = *(const size_t *)a, y = *(const size_t *)b;

	if (sorted[x] != sorted[y])
		return sorted[x] < sorted[y] ? -1 : 1;
	return x < y ? -1 : x > y;
}

bool *trace_choose(const struct trace *trace, size_t rounds)
{
	const uint64_t *address = trace->address;
	size_t n = trace->points, first = 0;
	size_t *order = malloc((n + 1) * sizeof *order);
	bool *chosen = calloc(n + 1, 1);

	if (!order || !chosen)
		exit(99);
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	sorted = address;
	qsort(order, n, sizeof *order, by_address);
	for (size_t i = 0; i < n; i++) {
		if (address[order[i]] != address[order[first]])
			first = i;
		chosen[order[i]] = !rounds || i - first < rounds || i + rounds >= n ||
				   address[order[i + rounds]] != address[order[i]];
	}
	free(order);
	return chosen;
}

void trace_free(struct trace *trace)
{
	free(trace->address);
	free(trace->jump);
	memset(trace, 0, sizeof *trace);
}
