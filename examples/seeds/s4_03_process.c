/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same with more lines: the child's come between the parent's. */
#include <stdio.h>
#include <unistd.h>

#include <brood.h>

static int child_process(void *name)
{
	printf("跑子程序 %s pid 是: %d\n", (const char *)name, getpid());
	for (int i = 1; i <= 3; i++)
		printf("%d\n", i);
	return 0;
}

int main(void)
{
	static char name[] = "print123";
	struct brood_process *p;

	printf("主程序 %d\n", getpid());
	printf("子程序將要開始\n");
	p = brood_process_start(child_process, name);
	if (!p)
		return 1;
	brood_process_join(p, BROOD_FOREVER);
	printf("子程序結束\n");
	return 0;
}
