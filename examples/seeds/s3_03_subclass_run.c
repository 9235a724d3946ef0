/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A process with data of its own: in C, a struct and the function that works on it. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <brood.h>

struct clock_process {
	unsigned int interval;
};

static int run(void *arg)
{
	const struct clock_process *self = arg;

	for (int n = 5; n > 0; n--) {
		time_t now = time(NULL);

		printf("the time is %s", ctime(&now));
		sleep(self->interval);
	}
	return 0;
}

int main(void)
{
	struct clock_process clock_process = { .interval = 3 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	return brood_process_start(run, &clock_process) ? 0 : 1;
}
