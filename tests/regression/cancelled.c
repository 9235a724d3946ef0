/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread that was cancelled inside the library, where that opened or closed a descriptor, kept a
 * mutex: all others, and every fork, then waited for ever.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

#define ROUNDS 100

static struct brood_queue *queue;
static char name[40];

static void use_fd(void)
{
	brood_queue_fd(queue, BROOD_READABLE);
	brood_queue_fd_close(queue, BROOD_READABLE);
}

static void use_segment(void)
{
	brood_segment_close(brood_segment_open(name));
}

static void use_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static void (*const uses[])(void) = { use_fd, use_segment, use_fork };

static void *use_for_ever(void *use)
{
	for (;;) {
		(*(void (**)(void))use)();
		pthread_testcancel();
	}
	return NULL;
}

static int try(size_t use)
{
	void (*function)(void) = uses[use];
	pthread_t thread;

	for (int i = 0; i < ROUNDS; i++) {
		if (pthread_create(&thread, NULL, use_for_ever, &function))
			return 1;
		usleep((useconds_t)(i * 7 % 400));
		pthread_cancel(thread);
		pthread_join(thread, NULL);
		function();
	}
	return 0;
}

int main(void)
{
	struct brood_segment *segment;
	int r;

	alarm(60);
	snprintf(name, sizeof name, "cancelled-%d", getpid());
	segment = brood_segment_create(name, NULL);
	queue = brood_queue_create(&(struct brood_queue_opts){ .slots = 4, .max_bytes = 8 });
	if (!segment || !queue || !brood_pipe_create(NULL))
		return 2;
	r = try(0) || try(1) || try(2);
	brood_segment_unlink(name);
	brood_segment_close(segment);
	return r;
}
