/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where there is no pidfd_send_signal (under valgrind, in some sandboxes), nobody was killed: a run
 * whose time was over left all of it behind, and a pool or a child could not be ended.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

#include "refuse.h"

static int sleep_long(void *unused)
{
	(void)unused;
	return (int)sleep(1000);
}

#define must(x) ((x) ? 0 : printf("line %d: %s\n", __LINE__, #x))

static int end_child(void)
{
	struct brood_process *child = brood_process_start(sleep_long, NULL);
	int code = 0;

	return must(child) || must(brood_process_kill(child) == 0) ||
	       must(brood_process_join(child, brood_ms(20000)) == 0) ||
	       must(brood_process_exit_code(child, &code) == 0 && code == -SIGKILL) ||
	       must(brood_process_kill(child) == 0) || must(brood_process_free(child) == 0);
}

/* Nobody has the pipe any more: so nobody of it lives. */
static int end_run(void)
{
	struct brood_subprocess_result result;
	struct brood_subprocess_opts opts = { .shell = true };
	int held[2], r;
	char byte;

	if (must(pipe(held) == 0))
		return 1;
	opts.pass_fds = &held[1];
	opts.pass_fds_count = 1;
	r = brood_subprocess_run(BROOD_ARGS("sleep 1000 & sleep 1000"), &opts, &result,
				 brood_ms(50));
	close(held[1]);
	r = must(r == -ETIMEDOUT) || must(result.code == -SIGKILL) ||
	    must(read(held[0], &byte, 1) == 0);
	brood_subprocess_result_free(&result);
	close(held[0]);
	return r;
}

int main(void)
{
	struct brood_pool *pool;

	alarm(60);
	if (!refuse(SYS_pidfd_send_signal, ENOSYS))
		return 77;
	pool = brood_pool_create(&(struct brood_pool_opts){ .workers = 2 });
	return end_child() || end_run() || must(pool) || must(brood_pool_destroy(pool) == 0);
}
