/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bare fork: both go on. The line before it is written once, also into a file. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	pid_t pid;

	printf("Process (%d) start...\n", getpid());
	fflush(stdout);		/* or the child would write it again */
	pid = fork();
	if (pid == 0)
		printf("I am child process (%d) and my parent is %d.\n", getpid(), getppid());
	else
		printf("I (%d) just created a child process (%d).\n", getpid(), pid);
	if (pid > 0)
		waitpid(pid, NULL, 0);	/* the child tells who its parent is: be there */
	return pid < 0;
}
