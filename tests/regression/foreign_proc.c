/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In a pid namespace that has the /proc of another one, kill_tree took the numbers that stand there
 * for its own, and killed bystanders. There it knows no tree: it says so, and kills nobody.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

#define BYSTANDERS 20

#define must(x) ((x) ? 0 : printf("line %d: %s\n", __LINE__, #x))

static int ends_of(const pid_t *pids, int wanted)
{
	int wrong = 0;

	for (int i = 0; i < BYSTANDERS; i++) {
		int status = 0;

		kill(pids[i], SIGTERM);
		waitpid(pids[i], &status, 0);
		wrong += !WIFSIGNALED(status) || WTERMSIG(status) != wanted;
	}
	return wrong;
}

/* The first one of the namespace: its pids are small numbers, which others have outside. */
static int inside(void)
{
	struct brood_subprocess *process = brood_subprocess_open(BROOD_ARGS("sleep", "1000"), NULL);
	pid_t pids[BYSTANDERS];
	int code = 0, r;

	for (int i = 0; i < BYSTANDERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	r = must(process) || must(brood_subprocess_kill_tree(process, SIGKILL) == -ENOSYS) ||
	    must(ends_of(pids, SIGTERM) == 0) ||
	    must(brood_subprocess_poll(process, NULL) == -EAGAIN) ||
	    must(brood_subprocess_kill(process) == 0) ||
	    must(brood_subprocess_wait(process, &code, brood_ms(20000)) == 0 && code == -SIGKILL) ||
	    must(brood_subprocess_close(process) == 0) ||
	    must(brood_subprocess_run(BROOD_ARGS("sleep", "1000"), NULL, NULL, brood_ms(20)) ==
		 -ETIMEDOUT);
	return r;
}

int main(void)
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		return 77;
	pid = fork();
	if (pid == 0) {
		setvbuf(stdout, NULL, _IOLBF, 0);
		_exit(inside() != 0);
	}
	return waitpid(pid, &status, 0) != pid || status;
}
