/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking after a program, waiting for it, its streams, signals to it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "platform/children.h"
#include "subprocess/subprocess.h"

int brood_subprocess_close(struct brood_subprocess *process)
{
	int r;

	if (!process)
		return 0;
	r = brood__program_is_mine(process) ? 0 : -ECHILD;
	brood__program_drop(process);
	brood__programs_reap();
	return r;
}

pid_t brood_subprocess_pid(const struct brood_subprocess *process)
{
	return process ? process->pid : -EINVAL;
}

static int check(const struct brood_subprocess *process)
{
	if (!process)
		return -EINVAL;
	return brood__program_is_mine(process) ? 0 : -ECHILD;
}

int brood_subprocess_pidfd(const struct brood_subprocess *process)
{
	int r = check(process);

	return r ? r : process->pidfd;
}

/* ---- streams ---- */

static int check_stream(const struct brood_subprocess *process, enum brood_which_stream which)
{
	int r = check(process);

	if (r == 0 && (which < BROOD_STDIN || which > BROOD_STDERR))
		r = -EINVAL;
	if (r == 0 &&
	    (process->streams[which].ours < 0 || process->streams[which].kind == BROOD_STREAM_COPY))
		r = -EBADF;
	return r;
}

int brood_subprocess_fd(const struct brood_subprocess *process, enum brood_which_stream which)
{
	int r = check_stream(process, which);

	return r ? r : process->streams[which].ours;
}

static int close_it(struct brood_subprocess *process, enum brood_which_stream which)
{
	brood__stream_close(process, (int)which);
	return 0;
}

static int take_it(struct brood_subprocess *process, enum brood_which_stream which)
{
	int fd;

	brood__programs_lock();
	fd = process->streams[which].ours;
	process->streams[which].ours = -1;
	brood__programs_unlock();
	fcntl(fd, F_SETFL, 0); /* communicate may have made it not block */
	return fd;
}

/* Not beside communicate, which may be just using the descriptor. */
static int alone(struct brood_subprocess *process, enum brood_which_stream which,
		 int (*act)(struct brood_subprocess *, enum brood_which_stream))
{
	int r = check(process);

	if (r)
		return r;
	if (!brood__claim(process))
		return -EBUSY;
	r = check_stream(process, which);
	if (r == 0)
		r = act(process, which);
	brood__unclaim(process);
	return r;
}

int brood_subprocess_close_stream(struct brood_subprocess *process, enum brood_which_stream which)
{
	return alone(process, which, close_it);
}

int brood_subprocess_take(struct brood_subprocess *process, enum brood_which_stream which)
{
	return alone(process, which, take_it);
}

/* ---- waiting ---- */

static int tell(const struct brood_subprocess *process, int *code)
{
	if (process->state == BROOD__PROGRAM_LOST)
		return -ECHILD;
	if (code)
		*code = process->code;
	return 0;
}

int brood__program_wait(struct brood_subprocess *process, int64_t deadline)
{
	int r = brood__program_look(process);
	bool ended = false;

	while (r == -EAGAIN) {
		r = brood__pidfd_wait_again(process->pidfd, deadline, &ended);
		if (r && r != -EINTR)
			return r;
		r = brood__program_look(process);
	}
	return r;
}

int brood_subprocess_wait(struct brood_subprocess *process, int *code, int64_t timeout)
{
	int r = brood__program_look(process);

	if (r == -EAGAIN)
		r = brood__program_wait(process, brood__deadline(timeout));
	return r ? r : tell(process, code);
}

int brood_subprocess_poll(struct brood_subprocess *process, int *code)
{
	return brood_subprocess_wait(process, code, 0);
}

/* ---- signals ---- */

int brood_subprocess_signal(struct brood_subprocess *process, int signal)
{
	int r = signal < 0 || signal >= NSIG ? -EINVAL : brood__program_look(process);

	if (r != -EAGAIN)
		return r;
	r = brood__pidfd_signal(process->pidfd, signal);
	return r == -ESRCH ? 0 : r;
}

int brood_subprocess_terminate(struct brood_subprocess *process)
{
	return brood_subprocess_signal(process, SIGTERM);
}

int brood_subprocess_kill(struct brood_subprocess *process)
{
	return brood_subprocess_signal(process, SIGKILL);
}

/*
 * Who is not reaped keeps its pid, and so its group's name: nobody reaps it while we have the
 * mutex, unless the program waits for any child somewhere, so it is asked for first.
 */
struct group {
	const struct brood_subprocess *process;
	int signal;
	int error;
};

static void to_group(void *argument)
{
	struct group *group = argument;
	const struct brood_subprocess *process = group->process;

	brood__programs_lock();
	if (process->leads && process->state == BROOD__PROGRAM_RUNNING &&
	    brood__pidfd_signal(process->pidfd, 0) == 0 && kill(-process->pid, group->signal))
		group->error = errno == ESRCH ? 0 : -errno;
	brood__programs_unlock();
}

int brood_subprocess_kill_tree(struct brood_subprocess *process, int signal)
{
	int r = signal < 0 || signal >= NSIG ? -EINVAL : check(process);
	struct group group = { process, signal, 0 };

	if (r || !brood__program_runs(process) || brood__pidfd_signal(process->pidfd, 0) == -ESRCH)
		return r;
	r = brood__tree_signal(process->pid, process->pidfd, signal, to_group, &group);
	return r && r != -ESRCH ? r : group.error;
}
