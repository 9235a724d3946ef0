/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Four messages through a pipe, a second apart. */
#include <stdio.h>
#include <unistd.h>

#include <brood.h>

static int proc1(void *pipe)
{
	for (int i = 0; i < 4; i++) {
		printf("send: %d\n", i);
		brood_conn_send(pipe, &i, sizeof i, BROOD_FOREVER);
		sleep(1);
	}
	return 0;
}

static int proc2(void *pipe)
{
	for (int n = 0, i; n < 4; n++) {
		if (brood_conn_recv(pipe, &i, sizeof i, BROOD_FOREVER) != sizeof i)
			return 1;
		printf("proc2 rev: %d\n", i);
		sleep(1);
	}
	return 0;
}

int main(void)
{
	struct brood_pipe *pipe = brood_pipe_create(NULL);
	struct brood_process *p1, *p2;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!pipe)
		return 1;
	p1 = brood_process_start(proc1, brood_pipe_end(pipe, 0));
	p2 = brood_process_start(proc2, brood_pipe_end(pipe, 1));
	if (!p1 || !p2)
		return 1;
	brood_process_join(p1, BROOD_FOREVER);
	brood_process_join(p2, BROOD_FOREVER);
	return 0;
}
