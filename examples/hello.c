/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The smallest whole program: a queue, a child that reads it, one message. Prints "got hello". */
#include <stdio.h>

#include <brood.h>

static int worker(void *arg)
{
	struct brood_queue *jobs = arg;
	char job[256];
	ssize_t n;

	while ((n = brood_queue_get(jobs, job, sizeof job, BROOD_FOREVER)) >= 0)
		printf("got %.*s\n", (int)n, job);
	return 0;				/* the exit code */
}

int main(void)
{
	struct brood_queue *jobs = brood_queue_create(
		&(struct brood_queue_opts){ .slots = 64, .max_bytes = 256 });
	struct brood_process *child = brood_process_start(worker, jobs);

	brood_queue_put(jobs, "hello", 5, brood_ms(100));
	brood_queue_close(jobs);		/* readers drain it, then get -EPIPE */
	return brood_process_join(child, BROOD_FOREVER);
}
