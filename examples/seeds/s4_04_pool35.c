/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Thirty-five at once. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brood.h>

static int long_time_task(struct brood_task *task, const void *name, void *result)
{
	int64_t start = brood_now();

	(void)task;
	(void)result;
	printf("跑任務 %d (%d)...\n", *(const int *)name, getpid());
	usleep((useconds_t)(drand48() * 3e6));
	printf("任務 %d 跑了 %0.2f 秒\n", *(const int *)name, (double)(brood_now() - start) / 1e9);
	return 0;
}

int main(void)
{
	struct brood_pool *p;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("主程序開始 %d.\n", getpid());
	p = brood_pool_create(&(struct brood_pool_opts){ .workers = 35 });
	for (int i = 0; i < 35; i++)
		if (!brood_pool_apply_async(p, long_time_task, &i, sizeof i, 0, NULL))
			return 1;
	printf("apply_async() 非同步, 正在等待所有子程序從運行直到完畢...\n");
	brood_pool_close(p);
	brood_pool_join(p, BROOD_FOREVER);
	printf("所有子程序結束。\n");
	return 0;
}
