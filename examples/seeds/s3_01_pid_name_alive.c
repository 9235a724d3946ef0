/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a handle tells; and the program does not end before its child. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <brood.h>

static int worker(void *interval)
{
	for (int n = 5; n > 0; n--) {
		time_t now = time(NULL);

		printf("The time is %s", ctime(&now));
		sleep(*(unsigned int *)interval);
	}
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
	printf("p.pid: %d\n", brood_process_pid(p));
	printf("p.name: %s\n", brood_process_name(p));
	printf("p.is_alive: %s\n", brood_process_is_alive(p) == 1 ? "True" : "False");
	return 0;
}
