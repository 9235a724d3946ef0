/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A queue for a program that is exec'ed: the parent leaves two queues to its child by name, the child
 * becomes another program (here this one, with an argument), and finds them again.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

/* The executed program: it squares numbers until the queue is closed. */
static int work(void)
{
	struct brood_queue *jobs = brood_handle_take("jobs");
	struct brood_queue *answers = brood_handle_take("answers");
	long number;

	if (!jobs || !answers) {
		perror("brood_handle_take");
		return 1;
	}
	while (brood_queue_get(jobs, &number, sizeof(number), BROOD_FOREVER) >= 0) {
		number *= number;
		if (brood_queue_put(answers, &number, sizeof(number), BROOD_FOREVER))
			return 1;
	}
	return 0;
}

static void become_worker(struct brood_queue *jobs, struct brood_queue *answers)
{
	int result = brood_handle_pass("jobs", jobs);

	if (result == 0)
		result = brood_handle_pass("answers", answers);
	if (result)
		fprintf(stderr, "brood_handle_pass: %s\n", brood_strerror(result));
	else
		execl("/proc/self/exe", "exec_worker", "work", NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	const struct brood_queue_opts opts = { .slots = 16, .max_bytes = sizeof(long) };
	struct brood_queue *jobs, *answers;
	int status;
	pid_t pid;

	if (argc > 1 && strcmp(argv[1], "work") == 0)
		return work();
	jobs = brood_queue_create(&opts);
	answers = brood_queue_create(&opts);
	if (!jobs || !answers) {
		perror("brood_queue_create");
		return 1;
	}
	pid = fork();
	if (pid == 0)
		become_worker(jobs, answers);
	for (long i = 1; i <= 5; i++)
		brood_queue_put(jobs, &i, sizeof(i), BROOD_FOREVER);
	brood_queue_close(jobs);
	for (long i = 1, square; i <= 5; i++) {
		/* If the worker dies, nobody else will answer. */
		if (brood_queue_get(answers, &square, sizeof(square), brood_ms(10000)) < 0)
			return 1;
		printf("%ld: %ld\n", i, square);
	}
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}
