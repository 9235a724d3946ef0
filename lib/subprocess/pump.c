/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The streams of a program, all at once: poll, then one step for each that is ready.
 *
 * Our ends do not block. What has come is in the handle's memory before anything is returned, and
 * what was written is counted, so a call that gives up at any point loses nothing. A deadline
 * counts also while there is always something to do.
 *
 * A pipe that is found full is made larger once: each time the program's and our process take turns
 * then moves more. The user's quota for that may be used up; it stays as it is then.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "subprocess/subprocess.h"

#define PIPE_HOLDS   65536 /* bytes, as it is made */
#define PIPE_LARGE   (1 << 18) /* more gains little, and a user has 64 MiB for all pipes */
#define READS_A_STEP 16 /* of one stream before the others have their turn */

static void enlarge(struct brood__stream *stream)
{
	if (!stream->large)
		fcntl(stream->ours, F_SETPIPE_SZ, PIPE_LARGE);
	stream->large = true;
}

/* ---- a step of each kind ---- */

static int step_input(struct brood_subprocess *process)
{
	struct brood__stream *stream = &process->streams[BROOD_STDIN];
	size_t left = process->input_length - stream->total;
	ssize_t n;

	if (left > PIPE_HOLDS)
		enlarge(stream);
	n = left ? write(stream->ours, process->input + stream->total, left) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	process->broken = n < 0 && errno == EPIPE;
	if (n < 0 && !process->broken)
		return -errno;
	if (n > 0)
		stream->total += (uint64_t)n;
	if (n < 0 || stream->total == process->input_length)
		brood__stream_close(process, BROOD_STDIN);
	return 0;
}

static int end_of(struct brood_subprocess *process, int which)
{
	brood__stream_close(process, which);
	return process->opts.receive && process->streams[which].kind != BROOD_STREAM_COPY
		       ? brood__kept_deliver(process, which, true)
		       : 0;
}

/* *more: there may be more at once. */
static int read_once(struct brood_subprocess *process, int which, bool *more)
{
	struct brood__stream *stream = &process->streams[which];
	ssize_t room = brood__kept_room(process, stream), n;

	*more = false;
	if (room < 0)
		return (int)room;
	n = read(stream->ours, stream->data + stream->length, (size_t)room);
	*more = n > 0 || (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0 && !(errno == EIO && stream->kind == BROOD_STREAM_PTY))
		return -errno;
	if (n <= 0)
		return end_of(process, which);
	if (n >= PIPE_HOLDS)
		enlarge(stream);
	return brood__kept_add(process, which, (size_t)n);
}

static int step_output(struct brood_subprocess *process, int which)
{
	bool more = true;
	int r = 0;

	for (int i = 0; r == 0 && more && i < READS_A_STEP; i++) {
		r = read_once(process, which, &more);
		if (process->opts.receive && brood__is_over(process->deadline))
			break; /* it may have taken its time */
	}
	return r;
}

static int step(struct brood_subprocess *process, int which)
{
	bool copies = process->streams[which].kind == BROOD_STREAM_COPY;
	struct brood__sigpipe before;
	int r;

	if (!copies && which != BROOD_STDIN)
		return step_output(process, which);
	brood__sigpipe_off(&before);
	process->broken = false;
	r = copies ? brood__move(process, which) : step_input(process);
	brood__sigpipe_on(&before, process->broken, which != BROOD_STDIN);
	return r;
}

/* ---- waiting ---- */

struct set {
	struct pollfd fds[5];
	int which[5]; /* whose it is; -1: the program's end; -2: the input's other side */
	nfds_t n;
};

#define END   (-1)
#define OTHER (-2)

static void add(struct set *set, int fd, short events, int which)
{
	set->fds[set->n] = (struct pollfd){ .fd = fd, .events = events };
	set->which[set->n++] = which;
}

static void add_stream(struct set *set, struct brood_subprocess *process, int which)
{
	const struct brood__stream *stream = &process->streams[which];
	bool input = which == BROOD_STDIN;
	int source = input ? stream->copy : stream->ours;
	int target = input ? stream->ours : stream->copy;

	if (stream->ours < 0)
		return;
	if (stream->kind != BROOD_STREAM_COPY) {
		add(set, stream->ours, input ? POLLOUT : POLLIN, which);
		return;
	}
	if (stream->wait_target)
		add(set, target, POLLOUT, which);
	else
		add(set, source, POLLIN, which);
	if (input && !stream->wait_target)
		add(set, target, 0, OTHER); /* the program may close it, or end */
}

static bool any_stream(const struct brood_subprocess *process)
{
	for (int i = 0; i < 3; i++)
		if (process->streams[i].ours >= 0)
			return true;
	return false;
}

/* Its own end is enough: from now on we wait no longer than so. */
static void has_ended(struct brood_subprocess *process)
{
	int64_t now = brood_now(), grace = process->opts.grace;

	process->grace_end = grace < BROOD__NO_DEADLINE - now ? now + grace : BROOD__NO_DEADLINE;
	brood__stream_close(process, BROOD_STDIN);
}

static int take(struct brood_subprocess *process, const struct set *set)
{
	int r = 0;

	for (nfds_t i = 0; r == 0 && i < set->n; i++) {
		if (!set->fds[i].revents)
			continue;
		if (set->which[i] == END)
			has_ended(process);
		else if (set->which[i] == OTHER)
			brood__stream_close(process, BROOD_STDIN);
		else if (process->streams[set->which[i]].ours >= 0)
			r = step(process, set->which[i]);
	}
	return r;
}

static int64_t until(const struct brood_subprocess *process, int64_t deadline)
{
	return process->grace_end && !process->finishing && process->grace_end < deadline
		       ? process->grace_end
		       : deadline;
}

static int turn(struct brood_subprocess *process, int64_t deadline)
{
	struct set set = { .n = 0 };
	int ready;

	for (int i = 0; i < 3; i++)
		add_stream(&set, process, i);
	if (process->opts.until_exit && !process->grace_end)
		add(&set, process->pidfd, POLLIN, END);
	ready = brood__poll(set.fds, set.n, until(process, deadline));
	if (ready < 0)
		return ready == -EINTR ? 0 : ready;
	return take(process, &set);
}

/* What receive did not want last time, and a limit that was exceeded. */
static int begin(struct brood_subprocess *process)
{
	int r = 0;

	for (int i = 1; r == 0 && i < 3; i++) {
		struct brood__stream *stream = &process->streams[i];

		if (stream->over)
			r = -EFBIG;
		else if (process->opts.receive && stream->start < stream->length &&
			 stream->kind != BROOD_STREAM_COPY)
			r = brood__kept_deliver(process, i, stream->ours < 0);
	}
	if (process->streams[0].kind == BROOD_STREAM_PIPE && process->streams[0].ours >= 0 &&
	    process->streams[0].total == process->input_length)
		brood__stream_close(process, BROOD_STDIN);
	return r;
}

/* Others may go on to write: what is there now, and no more. */
static void set_goals(struct brood_subprocess *process)
{
	for (int i = 1; i < 3; i++) {
		struct brood__stream *stream = &process->streams[i];
		int n = 0;

		if (stream->ours >= 0 && ioctl(stream->ours, FIONREAD, &n))
			n = 0;
		stream->goal = stream->total + (uint64_t)n;
		if (stream->kind == BROOD_STREAM_COPY)
			stream->goal += stream->length - stream->start;
	}
}

static int end_those_at_goal(struct brood_subprocess *process)
{
	int r = 0;

	for (int i = 1; r == 0 && i < 3; i++)
		if (process->streams[i].ours >= 0 &&
		    process->streams[i].total >= process->streams[i].goal)
			r = end_of(process, i);
	return r;
}

int brood__pump(struct brood_subprocess *process, int64_t deadline)
{
	int r;

	process->deadline = deadline;
	r = begin(process);
	while (r == 0 && any_stream(process)) {
		r = turn(process, deadline);
		if (!process->finishing && process->grace_end && brood__is_over(process->grace_end)) {
			set_goals(process);
			process->finishing = true;
		}
		if (r == 0 && process->finishing)
			r = end_those_at_goal(process);
		if (r == 0 && any_stream(process) && brood__is_over(deadline))
			r = -ETIMEDOUT;
	}
	return r;
}

/* Our end for writing tells when nobody can read. */
static bool is_open(const struct brood__stream *stream, int wait_ms)
{
	struct pollfd fd = { .fd = stream->ours };

	return stream->ours >= 0 && poll(&fd, 1, wait_ms) == 0;
}

bool brood__pump_rest(struct brood_subprocess *process, int wait_ms)
{
	bool more, open = is_open(&process->streams[BROOD_STDIN], wait_ms);

	set_goals(process);
	for (int i = 1; i < 3; i++) {
		struct brood__stream *stream = &process->streams[i];

		for (more = !process->opts.receive && !stream->over &&
			    stream->kind != BROOD_STREAM_COPY;
		     more && stream->ours >= 0 && stream->total < stream->goal;)
			if (read_once(process, i, &more))
				break;
		open = open || is_open(stream, wait_ms);
	}
	return open;
}
