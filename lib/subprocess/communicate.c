/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* communicate: the streams to their ends, then the program to its own. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "subprocess/subprocess.h"

/* Who only looks is waited for: it has done at once. */
static bool set_busy(struct brood_subprocess *process, int how)
{
	int now = BROOD__FREE;

	while (!atomic_compare_exchange_weak_explicit(&process->busy, &now, how,
						      memory_order_acquire, /* X1 */
						      memory_order_relaxed)) {
		if (now == BROOD__BUSY)
			return false;
		if (now == BROOD__LOOKED_AT)
			brood__yield();
		now = BROOD__FREE;
	}
	return true;
}

bool brood__claim(struct brood_subprocess *process)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	if (!set_busy(process, BROOD__BUSY)) {
		pthread_setcancelstate(before, NULL);
		return false;
	}
	process->cancel = before;
	return true;
}

void brood__unclaim(struct brood_subprocess *process)
{
	int before = process->cancel;

	atomic_store_explicit(&process->busy, BROOD__FREE, memory_order_release); /* X1 */
	pthread_setcancelstate(before, NULL);
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

	process->stopped = false;
	if (r == 0)
		r = brood__pump(process, deadline);
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
	if (!brood__claim(process))
		return -EBUSY;
	r = brood__communicate(process, input, length, brood__deadline(timeout));
	if (r == -ETIMEDOUT && !process->stopped && brood__no_wait(timeout))
		r = -EAGAIN;
	if (r == 0 && result)
		brood__result_fill(result, process);
	brood__unclaim(process);
	return r;
}

const char *brood_subprocess_kept(struct brood_subprocess *process, enum brood_which_stream which,
				  size_t *length)
{
	const char *bytes;
	size_t n;

	if (length)
		*length = 0;
	if (!process || which < BROOD_STDOUT || which > BROOD_STDERR ||
	    !brood__program_is_mine(process) || !set_busy(process, BROOD__LOOKED_AT))
		return NULL;
	bytes = brood__kept_bytes(process, (int)which, length ? length : &n);
	atomic_store_explicit(&process->busy, BROOD__FREE, memory_order_release); /* X1 */
	return bytes;
}
