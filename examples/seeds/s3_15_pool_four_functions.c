/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Four functions at once. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brood.h>

static int run(const char *name, const char *comma, double most)
{
	int64_t start = brood_now();

	printf("\nRun task %s-%d\n", name, getpid());
	usleep((useconds_t)(drand48() * most * 1e6));
	printf("Task %s%s runs %0.2f seconds.\n", name, comma, (double)(brood_now() - start) / 1e9);
	return 0;
}

#define FUNCTION(name, text, comma, most)					\
static int name(struct brood_task *task, const void *argument, void *result)	\
{										\
	(void)task;								\
	(void)argument;								\
	(void)result;								\
	return run(text, comma, most);						\
}

FUNCTION(lee, "Lee", ",", 1)
FUNCTION(marlon, "Marlon", "", 4)
FUNCTION(allen, "Allen", "", 3)
FUNCTION(frank, "Frank", "", 2)

int main(void)
{
	int (*const functions[])(struct brood_task *, const void *, void *) = { lee, marlon, allen,
										frank };
	struct brood_pool *pool;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("parent process %d\n", getpid());
	pool = brood_pool_create(&(struct brood_pool_opts){ .workers = 4 });
	for (int i = 0; i < 4; i++)
		if (!brood_pool_apply_async(pool, functions[i], NULL, 0, 0, NULL))
			return 1;
	printf("Waiting for all subprocesses done...\n");
	brood_pool_close(pool);
	brood_pool_join(pool, BROOD_FOREVER);
	printf("All subprocesses done.\n");
	return 0;
}
