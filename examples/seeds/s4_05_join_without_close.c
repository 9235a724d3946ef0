/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a pool refuses: to be waited for while it is open, and tasks when it is closed. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <brood.h>

static int t(struct brood_task *task, const void *i, void *result)
{
	(void)task;
	usleep(500000);
	*(int *)result = *(const int *)i;
	return 0;
}

int main(void)
{
	struct brood_pool *p = brood_pool_create(&(struct brood_pool_opts){ .workers = 2 });
	int one = 1;

	if (!p)
		return 1;
	if (brood_pool_join(p, BROOD_FOREVER) == -EBUSY)
		printf("ValueError: Pool is still running\n");
	brood_pool_close(p);
	if (!brood_pool_apply_async(p, t, &one, sizeof one, sizeof one, NULL) && errno == ESHUTDOWN)
		printf("ValueError: Pool not running\n");
	brood_pool_join(p, BROOD_FOREVER);
	printf("joined\n");
	return 0;
}
