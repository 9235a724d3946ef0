/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Results, in the order in which the tasks were submitted. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <brood.h>

#define TEXT 32

static int func(struct brood_task *task, const void *msg, void *result)
{
	(void)task;
	printf("msg: %s\n", (const char *)msg);
	sleep(3);
	printf("end\n");
	snprintf(result, TEXT, "done%s", (const char *)msg);
	return 0;
}

int main(void)
{
	struct brood_pool *pool;
	struct brood_result *result[3];
	char text[TEXT];

	setvbuf(stdout, NULL, _IOLBF, 0);
	pool = brood_pool_create(&(struct brood_pool_opts){ .workers = 4 });
	for (int i = 0; i < 3; i++) {
		snprintf(text, sizeof text, "hello %d", i);
		result[i] = brood_pool_apply_async(pool, func, text, strlen(text) + 1, TEXT, NULL);
		if (!result[i])
			return 1;
	}
	brood_pool_close(pool);
	brood_pool_join(pool, BROOD_FOREVER);
	for (int i = 0; i < 3; i++) {
		if (brood_result_get(result[i], text, sizeof text, BROOD_FOREVER))
			return 1;
		printf("::: %s\n", text);
		brood_result_free(result[i]);
	}
	printf("Sub-process(es) done.\n");
	return 0;
}
