/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sending end of a pipe is handed over: one member holds it, another opens it, the first goes.
 * It is held at every moment. A receiver that looked for a holder, and was past the entry of the
 * second before that opened and not yet at the entry of the first when that went, took it for the end
 * of file. So a receiver is stopped at many points of its look, and the hand-over is done meanwhile.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

#define SKIPPED 77
#define OTHERS 24	/* members with entries between the two: the look takes a while */
#define STRIDE 19	/* instructions; fewer than that while takes */

static struct shared {
	atomic_int ready;
	ssize_t result;
} *shared;

static struct brood_pipe *pipe_of_all;
static struct brood_queue *queue;	/* of no use but that a look at it sweeps the dead */

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "hand_over: %s: errno %d\n", what, errno);
	exit(99);
}

static pid_t start(void (*role)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		give_up("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		role();
		_exit(0);
	}
	return pid;
}

/* Starts it, and waits until it has come so far. */
static pid_t ready(void (*role)(void))
{
	int before = atomic_load(&shared->ready);
	pid_t pid = start(role);

	while (atomic_load(&shared->ready) == before)
		if (waitpid(pid, NULL, WNOHANG) == pid)
			give_up("a member ended");
	return pid;
}

static void kill_it(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- the members ---- */

static void hold(void)
{
	if (brood_conn_open(brood_pipe_end(pipe_of_all, 1)))
		_exit(1);
	atomic_fetch_add(&shared->ready, 1);
	pause();
}

static void be_there(void)
{
	if (brood_free(NULL, brood_alloc(NULL, 64)))
		_exit(1);
	atomic_fetch_add(&shared->ready, 1);
	pause();
}

static void receive(void)
{
	struct brood_conn *conn = brood_pipe_end(pipe_of_all, 0);
	char byte;

	if (brood_conn_open(conn) || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(SKIPPED);
	raise(SIGSTOP);
	shared->result = brood_conn_recv(conn, &byte, 1, 0);
	raise(SIGSTOP);
}

/* ---- one hand-over ---- */

/* So many instructions from the first stop on, or until the second. False when that has come. */
static bool step(pid_t pid, unsigned int n)
{
	int status;

	for (unsigned int i = 0; i < n; i++) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid ||
		    !WIFSTOPPED(status))
			give_up("step");
		if (WSTOPSIG(status) == SIGSTOP)
			return false;
	}
	return true;
}

static void finish(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_CONT, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid ||
	    !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
		give_up("the receiver does not return");
}

static void make_scene(pid_t *low, pid_t *first, pid_t *receiver)
{
	struct brood_pipe_opts opts = { .simplex = true };
	int status;

	*low = ready(be_there);
	pipe_of_all = brood_pipe_create(&opts);
	if (!pipe_of_all || brood_conn_close(brood_pipe_end(pipe_of_all, 0)) ||
	    brood_conn_close(brood_pipe_end(pipe_of_all, 1)))
		give_up("no pipe");
	*first = ready(hold);
	*receiver = start(receive);
	if (waitpid(*receiver, &status, 0) != *receiver)
		give_up("no receiver");
	if (!WIFSTOPPED(status))
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
}

/* Hand over at that instruction. False when the receiver had returned before. */
static bool hand_over(unsigned int point)
{
	pid_t low, first, second, receiver;
	bool within;

	make_scene(&low, &first, &receiver);
	within = step(receiver, point);
	kill_it(low);
	brood_queue_count(queue);
	second = ready(hold);	/* has the entry of that one */
	kill_it(first);
	if (within)
		finish(receiver);
	kill_it(receiver);
	kill_it(second);
	brood_pipe_destroy(pipe_of_all);
	brood_queue_count(queue);
	return within;
}

/* The entries, from the lowest on: one that is free in each scene, ours, the others'. */
static void join_all(pid_t *others)
{
	struct brood_queue_opts opts = { .slots = 1, .max_bytes = 8 };
	pid_t low = ready(be_there);

	queue = brood_queue_create(&opts);
	if (!queue)
		give_up("no queue");
	for (int i = 0; i < OTHERS; i++)
		others[i] = ready(be_there);
	kill_it(low);
	brood_queue_count(queue);
}

int main(void)
{
	unsigned int point = 0, wrong = 0;
	pid_t others[OTHERS];

	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED || brood_init(NULL))
		return 99;
	join_all(others);
	for (; hand_over(point); point += STRIDE) {
		if (shared->result != -EAGAIN && wrong++ < 5)
			printf("point %u: %s\n", point, brood_strerror((int)shared->result));
	}
	for (int i = 0; i < OTHERS; i++)
		kill_it(others[i]);
	printf("%u points, %u wrong\n", point / STRIDE, wrong);
	return wrong || point < 20 * STRIDE;
}
