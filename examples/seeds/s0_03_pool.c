/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Five tasks, at most four at once. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brood.h>

static int long_time_task(struct brood_task *task, const void *name, void *result)
{
	int64_t start = brood_now();

	(void)task;
	(void)result;
	printf("Run task %d (%d)...\n", *(const int *)name, getpid());
	usleep((useconds_t)(drand48() * 3e6));
	printf("Task %d runs %0.2f seconds.\n", *(const int *)name, (double)(brood_now() - start) / 1e9);
	return 0;
}

int main(void)
{
	struct brood_pool *p;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("Parent process %d.\n", getpid());
	p = brood_pool_create(&(struct brood_pool_opts){ .workers = 4 });
	for (int i = 0; i < 5; i++)
		if (!brood_pool_apply_async(p, long_time_task, &i, sizeof i, 0, NULL))
			return 1;
	printf("Waiting for all subprocesses done...\n");
	brood_pool_close(p);
	brood_pool_join(p, BROOD_FOREVER);
	printf("All subprocesses done.\n");
	return 0;
}
