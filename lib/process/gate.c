/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The gate: a new child does not run its function before its parent has a pidfd for it.
 *
 * pidfd_open can fail after the fork has succeeded (EMFILE, ENFILE, ENOMEM). Then the start has
 * failed, and its function must not have run. So the child reads an eventfd first, and the parent
 * writes what to do. The child is usually later than the parent, and neither of them sleeps.
 *
 * A parent that is killed before it has written leaves the child behind the gate; the child looks
 * every now and then whether it still has its parent. It cannot ask for a signal at the parent's
 * death instead: that would follow the thread that forked, which may end rightly as soon as it has
 * written, before the child has taken the request back.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "platform/platform.h"
#include "process/process.h"

/* As much as an eventfd holds: it becomes writable again when the child has read it. */
#define OPEN   (UINT64_MAX - 1)
#define CANCEL UINT64_C(1)

#define LOOK_FOR_PARENT_MS 100

int brood__gate_make(void)
{
	int gate = brood__fd_lift(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

	return gate < 0 ? -errno : gate;
}

void brood__gate_open(int gate)
{
	eventfd_write(gate, OPEN);
}

void brood__gate_cancel(int gate)
{
	eventfd_write(gate, CANCEL);
}

void brood__gate_passed(int gate, int pidfd)
{
	struct pollfd either[2] = {
		{ .fd = gate, .events = POLLOUT },
		{ .fd = pidfd, .events = POLLIN },
	};

	while (poll(either, 2, -1) < 0 && errno == EINTR)
		;
}

bool brood__parent_gone(pid_t parent)
{
	pid_t now = getppid();

	return now != parent && now != 0; /* 0: it lives in an outer pid namespace */
}

bool brood__gate_enter(int gate, pid_t parent)
{
	struct pollfd poll_gate = { .fd = gate, .events = POLLIN };
	eventfd_t word = CANCEL;
	bool gone = false;

	while (eventfd_read(gate, &word) && !gone) {
		poll(&poll_gate, 1, LOOK_FOR_PARENT_MS);
		gone = brood__parent_gone(parent); /* then its word is there now or never */
	}
	close(gate);
	return word == OPEN;
}
