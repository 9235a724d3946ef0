/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A function run in a process of its own, and waited for. */
#include <stdio.h>
#include <unistd.h>

#include <brood.h>

static int run_proc(void *name)
{
	printf("Run child process %s (%d)...\n", (const char *)name, getpid());
	return 0;
}

int main(void)
{
	static char name[] = "test";
	struct brood_process *p;

	printf("Parent process %d.\n", getpid());
	printf("Child process will start.\n");
	p = brood_process_start(run_proc, name);
	if (!p)
		return 1;
	brood_process_join(p, BROOD_FOREVER);
	printf("Child process end.\n");
	return 0;
}
