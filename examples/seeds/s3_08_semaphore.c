/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Never more than two of five at once. */
#include <stdio.h>
#include <unistd.h>

#include <brood.h>

static struct brood_semaphore *s;

static int worker(void *i)
{
	const char *name = brood_process_name(brood_process_current());

	brood_semaphore_acquire(s, BROOD_FOREVER);
	printf("%sacquire\n", name);
	sleep(*(unsigned int *)i);
	printf("%srelease\n\n", name);
	brood_semaphore_release(s);
	return 0;
}

int main(void)
{
	unsigned int seconds[5] = { 0, 2, 4, 6, 8 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	s = brood_semaphore_create(2, NULL);
	for (int i = 0; s && i < 5; i++)
		if (!brood_process_start(worker, &seconds[i]))
			return 1;
	return !s;
}
