/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scenes of tests/faults/main.c, played by a victim. Each returns 0 if all came out fully
 * right, or the negative error that a call gave; what no error excuses is noted with wrong().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/subprocess.h>

#include "programs.h"
#include "faults.h"

#define SECONDS(n) brood_ms(1000 * (n))
#define SELF(...)  BROOD_ARGS("/proc/self/exe", __VA_ARGS__)
#define INPUT	   150000u /* bytes; more than a pipe holds */

static char folder[64], input[INPUT];
static struct brood_subprocess_error told;

/* What the error says must be what the call said. */
static int failed(int r, const struct brood_subprocess_error *error)
{
	if (error->code != r)
		wrong("the call gave %d, its error says %d", r, error->code);
	if (error->step == BROOD_STEP_NONE || !error->text[0])
		wrong("error %d without a step or a text", r);
	if (error->step <= BROOD_STEP_EXEC && !no_children())
		wrong("error %d at step %u leaves a child", r, error->step);
	report->step = error->step;
	return r;
}

static struct brood_subprocess *open_program(const char *const argv[],
					     struct brood_subprocess_opts opts, int *r)
{
	struct brood_subprocess *process;

	memset(&told, 0, sizeof told);
	opts.error = &told;
	process = brood_subprocess_open(argv, &opts);
	*r = process ? 0 : failed(-errno, &told);
	return process;
}

/* Whatever was wrong, the program ends, and the handle goes. */
static int close_program(struct brood_subprocess *process, int r)
{
	if (r) {
		if (report->step == BROOD_STEP_NONE)
			report->step = BROOD_STEP_RUN;
		brood_subprocess_kill(process);
		brood_subprocess_wait(process, NULL, SECONDS(5));
	}
	expect(brood_subprocess_close(process) == 0, "close");
	return r;
}

static bool is_input(const char *bytes, size_t length)
{
	return bytes && length == INPUT && memcmp(bytes, input, INPUT) == 0;
}

static int communicate(struct brood_subprocess *process, const void *bytes, size_t length,
		       struct brood_subprocess_result *result)
{
	int r = brood_subprocess_communicate(process, bytes, length, result, SECONDS(8));

	if (r == 0)
		expect(result->code == 0, "exit code");
	return r;
}

static const struct brood_stream a_pipe = { .kind = BROOD_STREAM_PIPE };

static const struct brood_subprocess_opts all_pipes = {
	.in = { .kind = BROOD_STREAM_PIPE },
	.out = { .kind = BROOD_STREAM_PIPE },
	.err = { .kind = BROOD_STREAM_PIPE },
};

static int pipes(void)
{
	struct brood_subprocess_result result = { 0 };
	int r;
	struct brood_subprocess *process = open_program(SELF("cat"), all_pipes, &r);

	if (!process)
		return r;
	r = communicate(process, "hello", 5, &result);
	if (r == 0)
		expect(result.output_length == 5 && memcmp(result.output, "hello", 5) == 0 &&
			       result.error_output && result.error_length == 0,
		       "output");
	brood_subprocess_result_free(&result);
	return close_program(process, r);
}

static int run_capture(void)
{
	struct brood_subprocess_opts opts = {
		.capture = true, .check = true, .input = input, .input_length = INPUT
	};
	struct brood_subprocess_result result;
	int r = brood_subprocess_run(SELF("cat"), &opts, &result, SECONDS(8));

	if (r)
		failed(r, &result.error);
	else
		expect(result.code == 0 && is_input(result.output, result.output_length) &&
			       result.input_total == INPUT,
		       "output");
	brood_subprocess_result_free(&result);
	return r;
}

static int run_time_out(void)
{
	struct brood_subprocess_opts opts = { .capture = true };
	struct brood_subprocess_result result;
	int r = brood_subprocess_run(SELF("sleep", "2500"), &opts, &result, brood_ms(20));

	if (r == -ETIMEDOUT)
		expect(result.error.step == BROOD_STEP_RUN, "step of a time-out");
	else if (r)
		failed(r, &result.error);
	brood_subprocess_result_free(&result);
	expect(r != 0, "a time-out was due");
	return r == -ETIMEDOUT ? 0 : r;
}

static int run_check(void)
{
	struct brood_subprocess_opts opts = { .check = true };
	struct brood_subprocess_result result;
	int r = brood_subprocess_run(SELF("exit", "7"), &opts, &result, SECONDS(8));

	if (r && r != -EREMOTEIO)
		failed(r, &result.error);
	else if (r)
		expect(result.code == 7, "exit code");
	brood_subprocess_result_free(&result);
	expect(r != 0, "an exit code of 7 was due");
	return r == -EREMOTEIO ? 0 : r;
}

/* Start it, wait for its end; its exit code tells what it did not find as it should be. */
static int all_is_set(bool as_session)
{
	struct brood_subprocess_opts opts;
	struct brood_subprocess *process;
	struct look look;
	int r, code = -1;

	aside(true);
	opts = program_look_opts(&look, folder, as_session);
	aside(false);
	process = open_program(program_look_args(folder), opts, &r);
	if (!process)
		return r;
	r = brood_subprocess_wait(process, &code, SECONDS(8));
	if (r == 0)
		expect(code == 0, program_look_text(code));
	return close_program(process, r);
}

static int options(void)
{
	return all_is_set(false);
}

static int session(void)
{
	return all_is_set(true);
}

static int pty(void)
{
	struct brood_subprocess_opts opts = { .out.kind = BROOD_STREAM_PTY,
					      .err.kind = BROOD_STREAM_OUTPUT };
	struct brood_subprocess_result result = { 0 };
	int r;
	struct brood_subprocess *process = open_program(SELF("tty"), opts, &r);

	if (!process)
		return r;
	r = communicate(process, NULL, 0, &result);
	if (r == 0)
		expect(result.output_length == 4 && memcmp(result.output, "tty\n", 4) == 0,
		       "output of a terminal");
	brood_subprocess_result_free(&result);
	return close_program(process, r);
}

static bool file_is_input(const char *path)
{
	static char bytes[INPUT + 1];
	size_t n = 0;
	ssize_t r;
	int fd;

	aside(true);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && n <= INPUT && (r = read(fd, bytes + n, sizeof bytes - n)) > 0)
		n += (size_t)r;
	close(fd);
	aside(false);
	return is_input(bytes, n);
}

static int paths(void)
{
	char in[80], out[80];
	int r, code = -1;
	struct brood_subprocess_opts opts = { .in = { BROOD_STREAM_PATH, .path = in },
					      .out = { BROOD_STREAM_PATH, .path = out },
					      .err.kind = BROOD_STREAM_NULL };
	struct brood_subprocess *process;

	snprintf(in, sizeof in, "%s/in", folder);
	snprintf(out, sizeof out, "%s/out", folder);
	process = open_program(SELF("cat"), opts, &r);
	if (!process)
		return r;
	r = brood_subprocess_wait(process, &code, SECONDS(8));
	if (r == 0)
		expect(code == 0 && file_is_input(out), "the file");
	return close_program(process, r);
}

static int copy_files(int in, int out, const char *path)
{
	struct brood_subprocess_opts opts = { .in = { BROOD_STREAM_COPY, .fd = in },
					      .out = { BROOD_STREAM_COPY, .fd = out } };
	struct brood_subprocess_result result = { 0 };
	int r;
	struct brood_subprocess *process = open_program(SELF("cat"), opts, &r);

	if (!process)
		return r;
	r = communicate(process, NULL, 0, &result);
	if (r == 0)
		expect(file_is_input(path), "the file");
	brood_subprocess_result_free(&result);
	return close_program(process, r);
}

static int copies(void)
{
	char path[80];
	int in, out, r;

	aside(true);
	snprintf(path, sizeof path, "%s/in", folder);
	in = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof path, "%s/copy", folder);
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	aside(false);
	r = copy_files(in, out, path);
	aside(true);
	close(in);
	close(out);
	aside(false);
	return r;
}

static int tree(void)
{
	struct brood_subprocess_opts opts = { .own_group = true, .out = a_pipe };
	int r, code = 0;
	struct brood_subprocess *process = open_program(SELF("tree", "2500"), opts, &r);
	char byte;

	if (!process)
		return r;
	/* The grandchild holds the pipe as well: its end is that of the tree. */
	aside(true);
	expect(read(brood_subprocess_fd(process, BROOD_STDOUT), &byte, 1) == 1, "a tree");
	aside(false);
	r = brood_subprocess_kill_tree(process, SIGKILL);
	if (r == 0)
		r = brood_subprocess_wait(process, &code, SECONDS(8));
	if (r == 0)
		expect(code == -SIGKILL, "a killed tree");
	return close_program(process, r);
}

static int waits(void)
{
	int r, code = -1;
	struct brood_subprocess *process =
		open_program(SELF("sleep", "30"), (struct brood_subprocess_opts){ 0 }, &r);

	if (!process)
		return r;
	r = brood_subprocess_poll(process, &code);
	expect(r != 0, "poll: it runs");
	if (r == -EAGAIN) {
		r = brood_subprocess_wait(process, &code, brood_ms(3));
		expect(r != 0, "wait: it runs");
	}
	if (r == -ETIMEDOUT)
		r = brood_subprocess_wait(process, &code, SECONDS(8));
	if (r == 0)
		expect(code == 0, "exit code");
	return close_program(process, r);
}

static int shell_output(void)
{
	struct brood_subprocess_result result;
	int r = brood_subprocess_getoutput("echo hello; echo you >&2", &result, SECONDS(8));

	if (r)
		failed(r, &result.error);
	else
		expect(result.code == 0 && result.output &&
			       strcmp(result.output, "hello\nyou") == 0,
		       "output");
	brood_subprocess_result_free(&result);
	return r;
}

/* What is not there is an error in any case; a fault may only make it another one. */
static int absent(void)
{
	int r;
	struct brood_subprocess *process =
		open_program(BROOD_ARGS("brood-is-not-there"),
			     (struct brood_subprocess_opts){ .in = a_pipe, .out = a_pipe }, &r);

	if (process) {
		expect(false, "started what is not there");
		return close_program(process, -EINVAL);
	}
	return r == -ENOENT ? 0 : r;
}

/* It is closed while it runs; its end is noticed by the next close. */
static int abandon(void)
{
	int r;
	struct brood_subprocess *process = open_program(
		SELF("cat"), (struct brood_subprocess_opts){ .in = a_pipe, .out = a_pipe }, &r);

	if (!process)
		return r;
	expect(brood_subprocess_close(process) == 0, "close");
	aside(true);
	waitid(P_ALL, 0, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	aside(false);
	process = open_program(SELF("exit", "0"), (struct brood_subprocess_opts){ 0 }, &r);
	if (!process)
		return r;
	r = brood_subprocess_wait(process, NULL, SECONDS(8));
	return close_program(process, r);
}

static int count_lines(void *argument, enum brood_which_stream which, const char *data,
		       size_t length)
{
	if (which == BROOD_STDOUT && length == 4 && memcmp(data, "tty\n", 4) == 0)
		++*(int *)argument;
	return 0;
}

static int lines(void)
{
	int r, n = 0;
	struct brood_subprocess_result result = { 0 };
	struct brood_subprocess_opts opts = { .in = a_pipe,
					      .out = a_pipe,
					      .lines = true,
					      .receive = count_lines,
					      .receive_argument = &n };
	struct brood_subprocess *process = open_program(SELF("cat"), opts, &r);

	if (!process)
		return r;
	r = communicate(process, "tty\ntty\ntty\n", 12, &result);
	if (r == 0)
		expect(n == 3, "lines");
	brood_subprocess_result_free(&result);
	return close_program(process, r);
}

const struct scene fault_scenes[] = {
	{ "pipes", pipes },	{ "run", run_capture }, { "time-out", run_time_out },
	{ "check", run_check }, { "options", options }, { "session", session },
	{ "pty", pty },		{ "paths", paths },	{ "copies", copies },
	{ "kill tree", tree },	{ "waits", waits },	{ "getoutput", shell_output },
	{ "absent", absent },	{ "abandon", abandon }, { "lines", lines },
	{ NULL, NULL },
};

/* ---- scenes whose victim is killed ---- */

/* The program ends by 0 when the victim's end of its input has gone, by whatever means. */
static int runs_on(void)
{
	struct brood_subprocess_opts opts = { .input = input,
					      .input_length = INPUT,
					      .new_session = true };
	struct brood_subprocess_result result;
	int r = brood_subprocess_run(SELF("read"), &opts, &result, SECONDS(8));

	if (r == 0 && result.code != -SIGKILL)
		expect(result.code == 0, "exit code");
	brood_subprocess_result_free(&result);
	return r;
}

/* The program does not end, unless it is killed. */
static int dies_with_parent(void)
{
	struct brood_subprocess_opts opts = { .die_with_parent = true, .in = a_pipe };
	int r, code = 0;
	struct brood_subprocess *process = open_program(SELF("sleep", "60000"), opts, &r);

	if (!process)
		return r;
	r = brood_subprocess_wait(process, &code, brood_ms(5));
	if (r == -ETIMEDOUT)
		r = brood_subprocess_kill(process);
	if (r == 0)
		r = brood_subprocess_wait(process, &code, SECONDS(8));
	expect(r == 0 && code == -SIGKILL, "it was killed");
	return close_program(process, r);
}

const struct scene kill_scenes[] = {
	{ "runs on", runs_on },
	{ "dies with parent", dies_with_parent },
	{ NULL, NULL },
};

/* ---- the files ---- */

int scenes_prepare(void)
{
	const char *place = getenv("TMPDIR");
	char path[80];
	int fd;

	for (size_t i = 0; i < INPUT; i++)
		input[i] = (char)('a' + i % 26);
	snprintf(folder, sizeof folder, "%.40s/brood-faults-XXXXXX", place ? place : "/tmp");
	if (!mkdtemp(folder))
		return -errno;
	snprintf(path, sizeof path, "%s/in", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, input, INPUT) != INPUT)
		return -EIO;
	return close(fd);
}

void scenes_clean(void)
{
	static const char *const names[] = { "in", "out", "copy" };
	char path[80];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}
