/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting programs while system calls fail, one at a time: each gives its error, or is overcome,
 * and nothing is left: no descriptor, no child, no zombie, no signal in the mask, no handler.
 *
 *	faults [--stride N] [--kill | --kill-child] [scene]
 *
 * A victim plays a scene; in run k its k-th system call fails, or that of the process that it has
 * started but not yet exec'ed, with each error that such a call may give. An interrupted call must
 * not be noticed at all. With --stride only every N-th call fails.
 *
 * --kill: the victim is killed when it, or what it starts, enters or leaves the k-th call: the
 * program is not there, or runs on to its end, or dies with it if that was asked for.
 * --kill-child: what it starts is killed there, before the exec: an error of the start, or a
 * program that was killed. Without any of these all three are done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/subprocess.h>

#include "faults.h"

struct report *report;

static unsigned int stride = 1;
static const char *only;
static struct {
	unsigned int runs, errors, overcome, wrong;
} sum;

static void complain(const struct run *run, const char *what, int number)
{
	printf("%s: call %u, %s%s", run->scene->name, run->at, run->call,
	       run->in_child ? " before the exec" : "");
	if (run->deed == FAIL)
		printf(", fails by %s", strerrorname_np(run->error));
	printf(": %s", what);
	if (number)
		printf(" %d", number);
	printf("\n");
	sum.wrong++;
}

/* What is wrong whatever was done to it. */
static bool is_sound(const struct run *run)
{
	if (run->hung)
		complain(run, "hangs", 0);
	else if (report->wrong[0])
		complain(run, report->wrong, 0);
	else if (report->result[0] && run->deed == FAIL)
		complain(run, report->result, 0);
	else if (run->status)
		complain(run, "the victim ended with status", run->status);
	else if (!report->ended)
		complain(run, "did not come to its end", 0);
	else
		return true;
	return false;
}

static void judge_failure(const struct run *run)
{
	sum.runs++;
	if (!is_sound(run))
		return;
	if (!report->error) {
		sum.overcome++;
		return;
	}
	sum.errors++;
	if (call_may_not_err(run->call, run->error))
		complain(run, "ought to be no error, but is", report->error);
	else if (report->error != -run->error)
		complain(run, "gives the error", report->error);
	else if (!call_fits_step(run->call, run->in_child, report->step))
		complain(run, "is told as an error of step", (int)report->step);
}

/* Without a fault all must be right; then one call after another fails by all of its errors. */
static void fail_all(const struct scene *scene)
{
	struct run run = { .scene = scene };
	unsigned int calls;

	trace_run(&run);
	calls = run.seen;
	if (!is_sound(&run) || report->error) {
		complain(&run, "fails without a fault", report->error);
		return;
	}
	for (unsigned int at = 1;; at += stride) {
		run = (struct run){ .scene = scene, .at = at };
		do {
			trace_run(&run);
			if (!run.done)
				break;
			judge_failure(&run);
			run = (struct run){ .scene = scene,
					    .at = at,
					    .which = run.which + 1,
					    .errors = run.errors };
		} while (run.which < run.errors);
		if (run.which == 0)
			break;
	}
	printf("%-16s %3u calls\n", scene->name, calls);
}

static void judge_kill(const struct run *run)
{
	bool dies = strcmp(run->scene->name, "dies with parent") == 0;

	sum.runs++;
	if (run->hung)
		complain(run, "killed: something is left", 0);
	else if (run->status != SIGKILL)
		complain(run, "killed, but the status is", run->status);
	else if (run->executed && !dies && run->child_status != -1 && run->child_status)
		complain(run, "killed, and the program ended with", run->child_status);
}

static void judge_child(const struct run *run)
{
	sum.runs++;
	is_sound(run);
}

static void kill_all(const struct scene *scene, enum deed deed)
{
	struct run run = { .done = true };
	unsigned int at;

	for (at = 1; run.done; at += stride) {
		run = (struct run){ .scene = scene, .deed = deed, .at = at };
		trace_run(&run);
		if (run.done && deed == KILL_VICTIM)
			judge_kill(&run);
		else if (run.done)
			judge_child(&run);
	}
	printf("%-16s %3u stops\n", scene->name, run.seen);
}

static bool wanted(const struct scene *scene)
{
	return !only || strcmp(only, scene->name) == 0;
}

static void all(enum deed deed)
{
	const struct scene *scene = deed == KILL_VICTIM ? kill_scenes : fault_scenes;
	int64_t begin = brood_now();

	memset(&sum.runs, 0, 3 * sizeof sum.runs);
	for (; scene->name; scene++) {
		if (!wanted(scene))
			continue;
		if (deed == FAIL)
			fail_all(scene);
		else
			kill_all(scene, deed);
	}
	if (deed == FAIL)
		printf("%u faults: %u gave errors, %u were overcome", sum.runs, sum.errors,
		       sum.overcome);
	else
		printf("%u times the %s was killed", sum.runs,
		       deed == KILL_CHILD ? "program" : "caller");
	printf("; %u wrong; %lld ms\n", sum.wrong, (long long)(brood_now() - begin) / 1000000);
}

/* -1: all of them. */
static int parse(int argc, char **argv)
{
	int deed = -1;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--stride") == 0 && i + 1 < argc)
			stride = (unsigned int)atoi(argv[++i]);
		else if (strcmp(argv[i], "--kill") == 0)
			deed = KILL_VICTIM;
		else if (strcmp(argv[i], "--kill-child") == 0)
			deed = KILL_CHILD;
		else if (strcmp(argv[i], "--fail") == 0)
			deed = FAIL;
		else
			only = argv[i];
	}
	return deed;
}

static bool open_some(void)
{
	return dup2(2, PASSED_FD) == PASSED_FD && dup2(2, OPEN_FD) == OPEN_FD &&
	       fcntl(PASSED_FD, F_SETFD, FD_CLOEXEC) == 0;
}

static int test(int argc, char **argv)
{
	const char *reason = trace_unsupported();
	int deed = parse(argc, argv);

	if (reason) {
		printf("skipped: %s\n", reason);
		return 77;
	}
	if (stride == 0 || !open_some() || scenes_prepare())
		return 99;
	for (int i = FAIL; i <= KILL_CHILD; i++)
		if (deed < 0 || deed == i)
			all((enum deed)i);
	scenes_clean();
	return sum.wrong != 0;
}

int main(int argc, char **argv)
{
	static const char *const parts[] = {
		"cat", "read", "sleep", "exit", "tree", "tty", "look"
	};

	for (size_t i = 0; argc > 1 && i < sizeof parts / sizeof *parts; i++)
		if (strcmp(argv[1], parts[i]) == 0)
			return scene_program(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return report == MAP_FAILED ? 99 : test(argc, argv);
}
