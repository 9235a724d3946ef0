/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program waits for its child when it ends. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <brood.h>

static void say(const char *what)
{
	time_t now = time(NULL);

	printf("work %s:%s", what, ctime(&now));
}

static int worker(void *interval)
{
	say("start");
	sleep(*(unsigned int *)interval);
	say("end");
	return 0;
}

int main(void)
{
	unsigned int interval = 3;
	struct brood_process *p;

	setvbuf(stdout, NULL, _IOLBF, 0);
	p = brood_process_start(worker, &interval);
	if (!p)
		return 1;
	printf("end!\n");
	return 0;
}
