/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Very many children, one after another, by fork and by the zygote, through one family of at most
 * four members: nothing is used up by their coming and going, by their own end or by SIGKILL.
 * Then the limit itself: one member too many is refused, harms nobody, and gets in when another
 * has left.
 *
 *	children [number]	10000 when not given
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/process.h>
#include <brood/queue.h>

#define MEMBERS 4
#define SETTLED 10 /* children after which nothing may grow any more */

static struct brood_queue *queue;

static _Atomic int *stage; /* shared: what a child has reached, what it may go on to */

static int put_and_get(void)
{
	uint64_t sent = (uint64_t)getpid(), received = 0;
	int result = brood_queue_put(queue, &sent, sizeof sent, 0);

	if (result)
		return result;
	result = (int)brood_queue_get(queue, &received, sizeof received, 0);
	return result == sizeof received && received == sent ? 0 : -EIO;
}

static int once(void *unused)
{
	(void)unused;
	return put_and_get() ? 1 : 0;
}

static int until_killed(void *unused)
{
	(void)unused;
	while (put_and_get() == 0)
		atomic_fetch_add(stage, 1);
	return 1;
}

static void wait_for(int least)
{
	while (atomic_load(stage) < least)
		sched_yield();
}

/* What a killed child left in the queue: at most its own message. */
static bool drained(void)
{
	uint64_t message;
	int n = 0;

	while (brood_queue_get(queue, &message, sizeof message, 0) >= 0)
		n++;
	return n <= 1 && brood_queue_count(queue) == 0;
}

static bool child(unsigned long i, enum brood_start_method method)
{
	struct brood_process_opts opts = { .method = method };
	bool killed = i % 10 == 9;
	struct brood_process *process;
	int code = 1;

	atomic_store(stage, 0);
	process = brood_process_start_opts(killed ? until_killed : once, NULL, &opts);
	if (!process)
		return false;
	if (killed) {
		wait_for((int)(i / 10 % 50));
		brood_process_kill(process);
	}
	if (brood_process_join(process, BROOD_FOREVER) || brood_process_exit_code(process, &code) ||
	    brood_process_free(process))
		return false;
	return code == (killed ? -SIGKILL : 0) && (!killed || drained());
}

struct used {
	struct brood_segment_info info;
	unsigned fds;
	size_t listed; /* in the family's roster */
	bool children; /* that nobody has reaped, but for the zygote */
};

static struct used look(void)
{
	struct used used = { 0 };
	DIR *fds = opendir("/proc/self/fd");

	brood_queue_count(queue); /* sweeps */
	brood_segment_stat(NULL, &used.info);
	while (fds && readdir(fds))
		used.fds++;
	if (fds)
		closedir(fds);
	used.listed = brood_family(NULL, 0);
	used.children = waitid(P_ALL, 0, &(siginfo_t){ 0 }, WEXITED | WNOHANG | WNOWAIT) == 0;
	printf("members %u, not swept %u, objects %u, bytes used %zu, committed %zu, fds %u, listed %zu\n",
	       used.info.members, used.info.dead, used.info.objects, used.info.bytes_used,
	       used.info.bytes_committed, used.fds, used.listed);
	return used;
}

static bool same(const struct used *a, const struct used *b)
{
	return a->info.members == b->info.members && a->info.dead == b->info.dead &&
	       a->info.objects == b->info.objects && a->info.bytes_used == b->info.bytes_used &&
	       a->info.bytes_committed == b->info.bytes_committed && a->fds == b->fds &&
	       a->listed == b->listed && a->children == b->children;
}

static bool children(unsigned long n, enum brood_start_method method)
{
	struct used first = { 0 }, last;

	for (unsigned long i = 0; i < n; i++) {
		if (i == SETTLED)
			first = look();
		if (!child(i, method)) {
			printf("child %lu failed: %s\n", i, brood_strerror(errno));
			return false;
		}
	}
	last = look();
	printf("%lu children by %s\n", n, method ? "the zygote" : "fork");
	return same(&first, &last) && last.children == (method == BROOD_START_ZYGOTE);
}

/* ---- the limit ---- */

/* A member that stays until the stage is 100. */
static int stay(void *unused)
{
	(void)unused;
	if (put_and_get())
		return 1;
	atomic_fetch_add(stage, 1);
	wait_for(100);
	return put_and_get() ? 2 : 0;
}

/* One too many: refused, as long as all others live; let in when one has gone. */
static int too_many(void *unused)
{
	(void)unused;
	if (put_and_get() != -EUSERS || brood_queue_count(queue) != -EUSERS)
		return 1;
	atomic_fetch_add(stage, 1);
	wait_for(50);
	return put_and_get() ? 2 : 0;
}

static bool ended(struct brood_process *process, int expected)
{
	int code = 99;

	brood_process_join(process, BROOD_FOREVER);
	brood_process_exit_code(process, &code);
	if (code != expected)
		printf("ended with %d, not %d\n", code, expected);
	return brood_process_free(process) == 0 && code == expected;
}

static bool limit(void)
{
	struct brood_process *staying[MEMBERS - 1], *late;
	bool right = true;

	atomic_store(stage, 0);
	for (int i = 0; i < MEMBERS - 1; i++) {
		staying[i] = brood_process_start(stay, NULL);
		wait_for(i + 1);
	}
	late = brood_process_start(too_many, NULL);
	wait_for(MEMBERS);
	right = put_and_get() == 0;
	brood_process_kill(staying[0]);
	right = ended(staying[0], -SIGKILL) && right;
	atomic_store(stage, 50);
	right = ended(late, 0) && right;
	atomic_store(stage, 100);
	for (int i = 1; i < MEMBERS - 1; i++)
		right = ended(staying[i], 0) && right;
	printf("member limit %d: %s\n", MEMBERS, right ? "kept" : "FAILED");
	return right && put_and_get() == 0;
}

int main(int argc, char **argv)
{
	unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
	struct brood_segment_opts family = { .members = MEMBERS };
	struct brood_queue_opts opts = { .slots = 4, .max_bytes = 64 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(300);
	stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (stage == MAP_FAILED || brood_init(&family))
		return 99;
	queue = brood_queue_create(&opts);
	if (!queue || put_and_get())
		return 99;
	return children(n, BROOD_START_FORK) && brood_zygote_start() == 0 &&
			       children(n / 2, BROOD_START_ZYGOTE) && brood_zygote_stop() == 0 &&
			       limit()
		       ? 0
		       : 1;
}
