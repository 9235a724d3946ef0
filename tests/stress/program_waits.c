/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How late a wait for a program comes back that runs into its time-out, and a run with one; and
 * what CPU time the wait costs. A busy machine makes every sleeper late, so each second one is done
 * by hand: the kernel's own sleep, and a program that is started, left to run, killed and reaped
 * without brood. Ours may be later than twice that by a millisecond, and a run, which looks for all
 * that the program has started, by five. A machine can be busy in the one's turns and not in the
 * other's: what is late in itself is late in each of ROUNDS.
 *
 *	program_waits [waits]	300 when not given; a tenth as many runs
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brood/subprocess.h>

#define MS	 1000000
#define CPU_NS	 100000 /* of a wait; a loop would take all of its milliseconds */
#define ROUNDS	 5

static struct brood_subprocess *stays;

static void sleep_until(int64_t end)
{
	struct timespec at = { .tv_sec = end / 1000000000, .tv_nsec = end % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

/* Each returns whether it came to the end that it should. */
static bool wait_by_brood(int64_t ns)
{
	return brood_subprocess_wait(stays, NULL, ns) == -ETIMEDOUT;
}

static bool wait_by_hand(int64_t ns)
{
	sleep_until(brood_now() + ns);
	return true;
}

static bool run_by_brood(int64_t ns)
{
	return brood_subprocess_run(BROOD_ARGS("/proc/self/exe", "stay"), NULL, NULL, ns) ==
	       -ETIMEDOUT;
}

static bool run_by_hand(int64_t ns)
{
	char *args[] = { (char[]){ "/proc/self/exe" }, (char[]){ "stay" }, NULL };
	int64_t end = brood_now() + ns;
	int status;
	pid_t pid;

	if (posix_spawn(&pid, args[0], NULL, NULL, args, environ))
		return false;
	sleep_until(end);
	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
}

static int64_t cpu(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

struct lateness {
	int64_t *ns; /* sorted */
	size_t n;
	int64_t cpu; /* of one */
	bool right;
};

static void measure(struct lateness *l, bool (*once)(int64_t), size_t i)
{
	int64_t ns = 2 * MS + (int64_t)(i % 7) * MS / 2, begin = brood_now(), used = cpu();

	l->right = once(ns) && l->right;
	l->cpu += cpu() - used;
	l->ns[l->n++] = brood_now() - begin - ns;
}

static int64_t part(const struct lateness *l, size_t percent)
{
	return l->ns[(l->n - 1) * percent / 100];
}

static void print(const char *what, const struct lateness *l)
{
	printf("%-14s %zu times, late by %lld us, p99 %lld, at most %lld; CPU %lld us\n", what,
	       l->n, (long long)part(l, 50) / 1000, (long long)part(l, 99) / 1000,
	       (long long)l->ns[l->n - 1] / 1000, (long long)l->cpu / 1000);
}

static void begin(struct lateness *l, size_t n)
{
	*l = (struct lateness){ .ns = calloc(n, sizeof *l->ns), .right = true };
	if (!l->ns)
		exit(99);
}

static void end(struct lateness *l)
{
	qsort(l->ns, l->n, sizeof *l->ns, compare);
	l->cpu /= (int64_t)l->n;
}

struct kind {
	const char *name;
	bool (*ours)(int64_t), (*others)(int64_t);
	int64_t later, cpu; /* allowed */
};

enum verdict { WRONG, LATE, RIGHT };

static enum verdict judge(const struct kind *kind, const struct lateness *own,
			  const struct lateness *hand)
{
	if (!own->right || !hand->right || own->ns[0] < 0)
		return WRONG;
	if (part(own, 99) > 2 * part(hand, 99) + kind->later || own->cpu > hand->cpu + kind->cpu)
		return LATE;
	return RIGHT;
}

static enum verdict one_round(const struct kind *kind, size_t n)
{
	struct lateness own, hand;
	enum verdict verdict;

	begin(&own, n);
	begin(&hand, n);
	for (size_t i = 0; i < n; i++) {
		measure(&own, kind->ours, i);
		measure(&hand, kind->others, i);
	}
	end(&own);
	end(&hand);
	print(kind->name, &own);
	print("  by hand", &hand);
	verdict = judge(kind, &own, &hand);
	free(own.ns);
	free(hand.ns);
	return verdict;
}

static bool test(const struct kind *kind, size_t n)
{
	enum verdict verdict = LATE;

	for (int i = 0; i < ROUNDS && verdict == LATE; i++)
		verdict = one_round(kind, n);
	if (verdict != RIGHT)
		printf("%s: FAILED, %s\n", kind->name,
		       verdict == LATE ? "late, or busy" : "not a time-out, or too early");
	return verdict == RIGHT;
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 300;
	bool right;

	if (argc > 1 && strcmp(argv[1], "stay") == 0)
		return (int)sleep(100);
	setvbuf(stdout, NULL, _IOLBF, 0);
	stays = brood_subprocess_open(BROOD_ARGS("/proc/self/exe", "stay"), NULL);
	if (!stays || n < 10)
		return 99;
	right = test(&(struct kind){ "wait", wait_by_brood, wait_by_hand, MS, CPU_NS }, n);
	right = test(&(struct kind){ "run", run_by_brood, run_by_hand, 5 * MS, 20 * CPU_NS },
		     n / 10) &&
		right;
	brood_subprocess_kill(stays);
	right = brood_subprocess_wait(stays, NULL, BROOD_FOREVER) == 0 && right;
	right = brood_subprocess_close(stays) == 0 && right;
	return !right;
}
