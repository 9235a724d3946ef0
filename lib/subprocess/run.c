/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running a program to its end, or to ours: what is not done in time, or says too much, is killed
 * with all that it has started. Those of them whose parent had ended are nobody's children any
 * more; who of them has a stream still open is found by that (brood__kill_holders), for it is the
 * one that would have kept us waiting.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "subprocess/subprocess.h"

#define DIES_IN_NS    INT64_C(1000000000)
#define GO_IN_MS      5 /* what was killed closes what it had open */
#define HOLDER_ROUNDS 4 /* they may fork while we look */

struct run {
	const char *const *argv;
	struct brood_subprocess_opts opts;
	struct brood_subprocess_result *result;
	int64_t timeout, begun, deadline;
};

/* ---- options ---- */

static bool make_pipe(struct brood_stream *stream)
{
	if (stream->kind == BROOD_STREAM_INHERIT)
		stream->kind = BROOD_STREAM_PIPE;
	return stream->kind == BROOD_STREAM_PIPE;
}

/* What is wrong with them, or NULL. */
static const char *adapt(struct brood_subprocess_opts *opts)
{
	if (opts->input_length && !opts->input)
		return "input_length without input";
	if (opts->input && !make_pipe(&opts->in))
		return "input, and a standard input that is no pipe";
	if (opts->capture && !make_pipe(&opts->out))
		return "capture, and a standard output that is no pipe";
	if (opts->capture && opts->err.kind != BROOD_STREAM_OUTPUT && !make_pipe(&opts->err))
		return "capture, and a standard error that is no pipe";
	return NULL;
}

/* ---- the end ---- */

static void kill_all(struct brood_subprocess *process)
{
	int64_t until = brood_now() + DIES_IN_NS;

	if (brood_subprocess_kill_tree(process, SIGKILL))
		brood__pidfd_signal(process->pidfd, SIGKILL);
	while (brood__pidfd_wait(process->pidfd, until) == -EINTR)
		;
	for (int i = 0; brood__pump_rest(process, GO_IN_MS) && i < HOLDER_ROUNDS; i++) {
		int fds[3];

		for (int which = 0; which < 3; which++)
			fds[which] = process->streams[which].ours;
		if (brood__kill_holders(fds, process->boot_time) == 0)
			break;
	}
	brood__program_wait(process, until);
}

static int judge(const struct run *run, const struct brood_subprocess *process)
{
	if (process->state != BROOD__PROGRAM_ENDED)
		return -ECHILD;
	return run->opts.check && process->code ? -EREMOTEIO : 0;
}

/* As it was given; of a time of the clock, to the millisecond. */
static double seconds(const struct run *run)
{
	int64_t ns = run->timeout;

	if (ns < 0 && !brood__no_wait(ns))
		ns = (run->deadline - run->begun) / 1000000 * 1000000;
	return ns > 0 ? (double)ns / 1e9 : 0;
}

static void say(const struct run *run, int r, const struct brood_subprocess *process,
		struct brood_subprocess_error *error)
{
	int code = process->state == BROOD__PROGRAM_ENDED ? process->code : 0;
	const char *name = code < 0 ? sigabbrev_np(-code) : NULL;
	uint32_t step = BROOD_STEP_RUN;
	const char *const *args = run->argv;
	bool shell = run->opts.shell;

	if (process->stopped)
		brood__report_run(error, step, r, args, shell,
				  "was ended by the receiver of its output (%d).", r);
	else if (r == -EREMOTEIO && code > 0)
		brood__report_run(error, step, r, args, shell, "returned non-zero exit status %d.",
				  code);
	else if (r == -EREMOTEIO)
		brood__report_run(error, step, r, args, shell, "died with signal %d (%s%s).", -code,
				  name ? "SIG" : "real-time", name ? name : "");
	else if (r == -ETIMEDOUT || r == -EAGAIN)
		brood__report_run(error, step, r, args, shell, "timed out after %g seconds.",
				  seconds(run));
	else if (r == -EFBIG && (process->streams[1].over || process->streams[2].over))
		brood__report_run(error, step, r, args, shell, "wrote more than %zu bytes.",
				  run->opts.limit);
	else if (r == -ECHILD)
		brood__report_run(error, step, r, args, shell, "ended, and nobody knows how.");
	else
		brood__report_run(error, BROOD_STEP_COMMUNICATE, r, args, shell,
				  "was ended, as its streams gave an error: %s.", brood__words(r));
}

static int run_opened(const struct run *run, struct brood_subprocess *process,
		      struct brood_subprocess_error *error)
{
	int r;

	brood__claim(process);
	r = brood__communicate(process, run->opts.input, run->opts.input_length, run->deadline);
	if (r == -ETIMEDOUT && !process->stopped && brood__no_wait(run->timeout))
		r = -EAGAIN;
	if (r)
		kill_all(process);
	else
		r = judge(run, process);
	if (r)
		say(run, r, process, error);
	if (run->result)
		brood__result_fill(run->result, process);
	brood__unclaim(process);
	brood_subprocess_close(process);
	return r;
}

static int run_adapted(struct run *run, struct brood_subprocess_error *error)
{
	struct brood_subprocess *process;
	const char *why = adapt(&run->opts);

	if (why) {
		brood__report_options(error, -EINVAL, why);
		return -EINVAL;
	}
	process = brood__program_open(run->argv, &run->opts, error);
	return process ? run_opened(run, process, error) : error->code;
}

int brood_subprocess_run(const char *const argv[], const struct brood_subprocess_opts *given,
			 struct brood_subprocess_result *result, int64_t timeout)
{
	struct brood_subprocess_error error = { 0 };
	struct run run = { .argv = argv, .result = result, .timeout = timeout };
	int r = brood__options(&run.opts, sizeof run.opts, given);

	if (result) {
		memset(result, 0, sizeof *result);
		result->code = BROOD_NO_CODE;
	}
	run.begun = brood_now();
	run.deadline = brood__deadline(timeout);
	if (r)
		brood__report_options(&error, r, "opts_size");
	else
		r = run_adapted(&run, &error);
	if (result && !result->args)
		result->args = brood__args_copy(argv);
	if (result)
		result->error = error;
	if (run.opts.error)
		*run.opts.error = error;
	return r;
}

int brood_subprocess_getoutput(const char *command, struct brood_subprocess_result *result,
			       int64_t timeout)
{
	const char *const argv[] = { command, NULL };
	struct brood_subprocess_opts opts = {
		.shell = true,
		.capture = true,
		.err = { .kind = BROOD_STREAM_OUTPUT },
	};
	int r = brood_subprocess_run(argv, &opts, result, timeout);

	if (result && result->output_length && result->output[result->output_length - 1] == '\n')
		result->output[--result->output_length] = 0;
	return r;
}
