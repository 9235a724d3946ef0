/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What runs in the zygote: it reads a request, clones, answers, and waits for the next.
 *
 * It keeps, of what the program had open when it was forked, standard input, output and error, the
 * descriptors of segments, its socket and the program's pidfd; its children get the first two
 * kinds. It is a member of nothing. All signals are blocked in it, so that Ctrl-C is for the
 * program alone to deal with; a child gets the mask of the thread that asked for it.
 *
 * It ends when the program has ended or has closed the socket. It is killed: see zygote.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arena/arena.h"
#include "member/member.h"
#include "platform/children.h"
#include "process/process.h"

struct nursery {
	int socket;
	int program_fd;
	pid_t program;
	int32_t *told;
};

static bool receive(int socket, void *bytes, size_t n)
{
	ssize_t got;

	do
		got = recv(socket, bytes, n, MSG_WAITALL);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)n;
}

/* The first part comes with the gate, which has another number here. */
static struct brood_process *receive_request(int socket)
{
	struct brood_process first, *process;
	int gate = brood__fd_recv(socket, &first, sizeof first);

	if (gate < 0)
		_exit(0);
	process = malloc(first.bytes);
	if (!process || !receive(socket, process->rest, first.bytes - sizeof first))
		_exit(1);
	*process = first;
	process->gate = gate;
	return process;
}

static void answer(const struct nursery *nursery, int result)
{
	if (send(nursery->socket, &result, sizeof result, MSG_NOSIGNAL) != sizeof result)
		_exit(0);
}

static void serve(const struct nursery *nursery)
{
	struct brood_process *process = receive_request(nursery->socket);
	pid_t pid = brood__clone_sibling(nursery->told);

	if (pid == 0) {
		close(nursery->socket);
		close(nursery->program_fd);
		brood__child_born();
		brood__run_child(process, nursery->program, &process->mask);
	}
	answer(nursery, pid < 0 ? pid : 0);
	close(process->gate);
	free(process);
}

void brood__nursery(int socket, pid_t program, int32_t *told)
{
	struct nursery nursery = { socket, brood__pidfd_open(program), program, told };
	int keep[] = { socket, nursery.program_fd, brood__family.fd };
	struct pollfd either[2] = {
		{ .fd = socket, .events = POLLIN },
		{ .fd = nursery.program_fd, .events = POLLIN },
	};

	if (nursery.program_fd < 0 || brood__parent_gone(program))
		_exit(0);
	brood__leave();
	brood__fds_close_others(keep, sizeof keep / sizeof *keep);
	for (;;) {
		if (poll(either, 2, -1) < 0)
			continue;
		if (either[1].revents)
			_exit(0);
		if (either[0].revents)
			serve(&nursery);
	}
}
