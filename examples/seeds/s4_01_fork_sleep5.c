/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What fork returns, in the child and in the parent. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	pid_t pid;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("程序 (%d) 開始...\n", getpid());
	printf("開始呼叫 os.fork()\n");
	printf("======================\n");
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return 1;
	printf("呼叫 os.fork() 後的結果，現在 return : %d\n", pid);
	if (pid == 0) {
		printf("pid == 0, 子程序返回:  %d\n", pid);
		printf("子程序說話: 我是子程序 (%d) 然後我的父程序是 (%d).\n", getpid(), getppid());
	} else {
		printf("pid != 0, 父程序返回子程序 pid:  %d\n", pid);
		printf("原本程序說話: 我是程序 (%d) 我創造了子程序 (%d).\n", getpid(), pid);
		printf("======父程序睡五秒=======\n");
		sleep(5);
	}
	printf("========最後一行, 現在是: %d =============\n", pid);
	return 0;
}
