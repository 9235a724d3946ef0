/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In a program that was started without standard input, output or error, the family arena's file got
 * one of their numbers: what the program printed was written over its queues. No descriptor of the
 * library has a number below 3.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

static int nothing(void *unused)
{
	(void)unused;
	return 0;
}

static int task(struct brood_task *own, const void *argument, void *result)
{
	(void)own;
	(void)argument;
	(void)result;
	return 0;
}

/* The number of the line at which one of the three was open, or something failed; 0. */
static int at;
#define look() (at = at || none_is_open() ? at : __LINE__)
#define must(x) (at = at || (x) ? at : __LINE__)

static int none_is_open(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			return 0;
	return 1;
}

static void use_objects(void)
{
	struct brood_segment *segment;
	struct brood_queue *queue;
	char name[40];

	must(brood_init(NULL) == 0);
	look();
	queue = brood_queue_create(&(struct brood_queue_opts){ .slots = 4, .max_bytes = 8 });
	must(queue && brood_queue_fd(queue, BROOD_READABLE) >= 3);
	look();
	must(brood_queue_put(queue, "x", 1, 0) == 0);
	look();
	snprintf(name, sizeof name, "low-%d", getpid());
	segment = brood_segment_create(name, NULL);
	must(segment);
	look();
	brood_segment_unlink(name);
	brood_segment_close(segment);
}

static void use_processes(void)
{
	struct brood_process *child = brood_process_start(nothing, NULL);
	struct brood_subprocess *program = brood_subprocess_open(
		(const char *const[]){ "cat", NULL },
		&(struct brood_subprocess_opts){ .in = { .kind = BROOD_STREAM_PIPE },
						 .out = { .kind = BROOD_STREAM_PIPE },
						 .err = { .kind = BROOD_STREAM_PTY } });
	struct brood_pool *pool = brood_pool_create(&(struct brood_pool_opts){ .workers = 1 });

	must(child && program && pool);
	look();
	must(brood_process_join(child, BROOD_FOREVER) == 0 && brood_process_free(child) == 0);
	must(brood_subprocess_communicate(program, "x", 1, NULL, BROOD_FOREVER) == 0);
	must(brood_subprocess_close(program) == 0);
	must(brood_pool_apply(pool, task, NULL, 0, NULL, 0, NULL) == 0);
	look();
	must(brood_pool_destroy(pool) == 0);
	look();
}

int main(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		for (int fd = 0; fd < 3; fd++)
			close(fd);
		use_objects();
		use_processes();
		_exit(at > 255 ? 255 : at);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	if (WEXITSTATUS(status))
		printf("line %d\n", WEXITSTATUS(status));
	return WEXITSTATUS(status) != 0;
}
