/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Four tasks for three workers; the program goes on meanwhile. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <brood.h>

static int func(struct brood_task *task, const void *msg, void *result)
{
	(void)task;
	(void)result;
	printf("msg: %s\n", (const char *)msg);
	sleep(3);
	printf("end\n");
	return 0;
}

int main(void)
{
	struct brood_pool *pool;
	char msg[16];

	setvbuf(stdout, NULL, _IOLBF, 0);
	pool = brood_pool_create(&(struct brood_pool_opts){ .workers = 3 });
	for (int i = 0; i < 4; i++) {
		snprintf(msg, sizeof msg, "hello %d", i);
		if (!brood_pool_apply_async(pool, func, msg, strlen(msg) + 1, 0, NULL))
			return 1;
	}
	printf("Mark~ Mark~ Mark~~~~~~~~~~~~~~~~~~~~~~\n");
	brood_pool_close(pool);
	brood_pool_join(pool, BROOD_FOREVER);
	printf("Sub-process(es) done.\n");
	return 0;
}
