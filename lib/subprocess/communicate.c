/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * communicate: the streams to their ends, then the program to its own.
 *
 * A write to a program that reads no more brings SIGPIPE to the thread, which the user has no part in.
 * So that is blocked meanwhile, and taken off if it has come.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "subprocess/subprocess.h"

struct quiet {
	sigset_t before;
	bool pending; /* it was there already */
};

static void be_quiet(struct quiet *quiet, sigset_t *pipe)
{
	sigset_t pending;

	sigemptyset(pipe);
	sigaddset(pipe, SIGPIPE);
	sigpending(&pending);
	quiet->pending = sigismember(&pending, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, pipe, &quiet->before);
}

static void be_as_before(const struct quiet *quiet, const sigset_t *pipe)
{
	static const struct timespec at_once;

	while (!quiet->pending && sigtimedwait(pipe, NULL, &at_once) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &quiet->before, NULL);
}

static bool writes(const struct brood_subprocess *process)
{
	for (int i = 0; i < 3; i++)
		if (process->streams[i].ours >= 0 &&
		    (i == BROOD_STDIN || process->streams[i].kind == BROOD_STREAM_COPY))
			return true;
	return false;
}

static int pump(struct brood_subprocess *process, int64_t deadline)
{
	struct quiet quiet;
	sigset_t pipe;
	int r;

	if (!writes(process))
		return brood__pump(process, deadline);
	be_quiet(&quiet, &pipe);
	r = brood__pump(process, deadline);
	be_as_before(&quiet, &pipe);
	return r;
}

/* The first call says what the input is, and makes our ends not block. */
static int set_input(struct brood_subprocess *process, const void *input, size_t length)
{
	const struct brood__stream *in = &process->streams[BROOD_STDIN];

	if (length && !input)
		return -EINVAL;
	if (process->has_input)
		return input && (input != process->input || length != process->input_length)
			       ? -EINVAL
			       : 0;
	if (length && (in->ours < 0 || in->kind != BROOD_STREAM_PIPE))
		return -EINVAL;
	for (int i = 0; i < 3; i++)
		if (process->streams[i].ours >= 0 &&
		    fcntl(process->streams[i].ours, F_SETFL, O_NONBLOCK))
			return -errno;
	process->input = input;
	process->input_length = length;
	process->has_input = true;
	return 0;
}

int brood__communicate(struct brood_subprocess *process, const void *input, size_t length,
		       int64_t deadline)
{
	int r = set_input(process, input, length);

	if (r == 0)
		r = pump(process, deadline);
	if (r == 0)
		r = brood__program_wait(process, deadline);
	return r;
}

int brood_subprocess_communicate(struct brood_subprocess *process, const void *input, size_t length,
				 struct brood_subprocess_result *result, int64_t timeout)
{
	int r;

	if (!process)
		return -EINVAL;
	if (!brood__program_is_mine(process))
		return -ECHILD;
	if (atomic_exchange_explicit(&process->busy, true, memory_order_acquire)) /* X1 */
		return -EBUSY;
	r = brood__communicate(process, input, length, brood__deadline(timeout));
	if (r == -ETIMEDOUT && brood__no_wait(timeout))
		r = -EAGAIN;
	if (r == 0 && result)
		brood__result_fill(result, process);
	atomic_store_explicit(&process->busy, false, memory_order_release); /* X1 */
	return r;
}

const char *brood_subprocess_kept(struct brood_subprocess *process, enum brood_which_stream which,
				  size_t *length)
{
	size_t n;

	if (length)
		*length = 0;
	if (!process || which < BROOD_STDOUT || which > BROOD_STDERR)
		return NULL;
	return brood__kept_bytes(process, (int)which, length ? length : &n);
}
