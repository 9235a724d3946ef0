/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The children that run, and how many CPUs there are. */
#include <stdio.h>
#include <unistd.h>

#include <brood.h>

struct work {
	int number;
	unsigned int interval;
};

static int worker(void *arg)
{
	const struct work *work = arg;

	printf("worker_%d\n", work->number);
	sleep(work->interval);
	printf("end worker_%d\n", work->number);
	return 0;
}

int main(void)
{
	struct work work[3] = { { 1, 2 }, { 2, 3 }, { 3, 4 } };
	struct brood_process *children[3];
	size_t n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < 3; i++)
		if (!brood_process_start(worker, &work[i]))
			return 1;
	printf("The number of CPU is:%u\n", brood_cpu_count_all());
	n = brood_active_children(children, 3);
	for (size_t i = 0; i < n; i++)
		printf("child   p.name:%s\tp.id%d\n", brood_process_name(children[i]),
		       brood_process_pid(children[i]));
	printf("END!!!!!!!!!!!!!!!!!\n");
	return 0;
}
