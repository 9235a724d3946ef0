/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many queues with one reader: 10,000 queues of two slots, 100,000 messages by four producers, half
 * of them taken through brood_wait over all queues, half through one epoll set with a descriptor of
 * each. Each message must come, and be announced: a wait of 10 seconds means that an announcement
 * was lost.
 *
 *	many [RUNS [QUEUES [MESSAGES]]]
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

enum { PRODUCERS = 4, PATIENCE_S = 10, EVENTS = 256, SPARE_FDS = 200 };

static unsigned int runs = 20, queues = 10000, messages = 100000;
static struct brood_queue **queue;
static struct brood_waitable *items;
static int epoll = -1;

static _Noreturn void give_up(const char *what, long result)
{
	fprintf(stderr, "many: %s: %s\n", what, brood_strerror((int)result));
	_exit(1);
}

static _Noreturn void produce(unsigned int index, unsigned int n)
{
	unsigned int seed = index * 7919 + 1;
	uint64_t message = (uint64_t)index << 32;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned int i = 0; i < n; i++, message++) {
		int result = brood_queue_put(queue[(unsigned int)rand_r(&seed) % queues], &message,
					     sizeof(message), BROOD_FOREVER);

		if (result)
			give_up("put", result);
	}
	_exit(0);
}

/* What is in one queue now; its sum, and how many. */
static unsigned int drain(struct brood_queue *from, uint64_t *sum)
{
	unsigned int count = 0;
	uint64_t message;
	ssize_t result;

	while ((result = brood_queue_get(from, &message, sizeof(message), 0)) > 0) {
		*sum += message;
		count++;
	}
	if (result != -EAGAIN)
		give_up("get", result);
	return count;
}

static unsigned int by_wait(uint64_t *sum)
{
	unsigned int count = 0;
	int ready = brood_wait(items, queues, brood_ms(PATIENCE_S * 1000));

	if (ready < 0)
		give_up("brood_wait", ready);
	for (unsigned int i = 0; i < queues && ready > 0; i++)
		if (items[i].ready) {
			count += drain(queue[i], sum);
			ready--;
		}
	return count;
}

static unsigned int by_epoll(uint64_t *sum)
{
	struct epoll_event events[EVENTS];
	unsigned int count = 0;
	int n = epoll_wait(epoll, events, EVENTS, PATIENCE_S * 1000);

	if (n <= 0)
		give_up("epoll_wait", n ? -errno : -ETIMEDOUT);
	for (int i = 0; i < n; i++)
		count += drain(queue[events[i].data.u32], sum);
	return count;
}

static bool run_once(unsigned int run, unsigned int (*take)(uint64_t *sum))
{
	uint64_t sum = 0, want = 0;
	unsigned int left = messages;
	pid_t pids[PRODUCERS];

	for (unsigned int p = 0; p < PRODUCERS; p++) {
		unsigned int n = messages / PRODUCERS + (p < messages % PRODUCERS);

		pids[p] = fork();
		if (pids[p] == 0)
			produce(p, n);
		want += ((uint64_t)p << 32) * n + (uint64_t)n * (n - 1) / 2;
	}
	while (left) {
		unsigned int count = take(&sum);

		if (count > left)
			give_up("more than there are", -EPROTO);
		left -= count;
	}
	for (unsigned int p = 0; p < PRODUCERS; p++) {
		int status;

		if (waitpid(pids[p], &status, 0) != pids[p] || status)
			return false;
	}
	if (sum != want)
		fprintf(stderr, "many: run %u: wrong contents\n", run);
	return sum == want;
}

static bool watch(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (uint32_t i = 0; i < queues; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
		int fd = brood_queue_fd(queue[i], BROOD_READABLE);

		if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
			return false;
	}
	return true;
}

static void unwatch(void)
{
	for (uint32_t i = 0; i < queues; i++)
		if (brood_queue_fd_close(queue[i], BROOD_READABLE))
			give_up("close", 0);
	close(epoll);
}

static bool make(void)
{
	struct brood_segment_opts arena = { .members = 3 * PRODUCERS };
	struct brood_queue_opts opts = { .slots = 2, .max_bytes = 8, .extra = 8 };
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur != RLIM_INFINITY && queues > files.rlim_cur - SPARE_FDS) {
		queues = (unsigned int)files.rlim_cur - SPARE_FDS;
		printf("only %u queues: no more descriptors are allowed\n", queues);
	}
	queue = calloc(queues, sizeof *queue);
	items = calloc(queues, sizeof *items);
	if (!queue || !items || brood_init(&arena))
		return false;
	for (unsigned int i = 0; i < queues; i++) {
		queue[i] = brood_queue_create(&opts);
		items[i] = (struct brood_waitable){ .kind = BROOD_WAIT_QUEUE, .object = queue[i] };
		if (!queue[i])
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		runs = (unsigned int)atoi(argv[1]);
	if (argc > 2)
		queues = (unsigned int)atoi(argv[2]);
	if (argc > 3)
		messages = (unsigned int)atoi(argv[3]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!make()) {
		perror("many: no queues");
		return 99;
	}
	for (unsigned int run = 0; run < runs; run++) {
		int64_t begin = brood_now();
		bool right;

		if (run % 2 == 0) {
			right = run_once(run, by_wait);
		} else {
			right = watch() && run_once(run, by_epoll);
			unwatch();
		}
		if (!right)
			return 1;
		printf("run %u, %s: %u messages in %u queues, %lld ms\n", run,
		       run % 2 ? "epoll" : "brood_wait", messages, queues,
		       (long long)(brood_now() - begin) / 1000000);
	}
	return 0;
}
