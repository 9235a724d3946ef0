/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dispatcher: has up to WINDOW lines under way, as tasks of a pool, and prints what became of
 * them in their order.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pmap.h"

#define LINES	    8 /* read ahead */
#define WINDOW	    1000
#define HELD_MAX    (256 << 20)
#define TICK	    brood_ms(100)
#define FAILED_MAX  100 /* the exit status counts up to here */
#define MANY_FAILED 101

static const char *const problems[] = {
	[HAS_NUL] = "the line has a NUL byte in it",
	[TOO_LONG] = "the line is longer than 131,071 bytes",
};

struct brood_queue *lines, *answers;

struct job {
	char *text;
	size_t length; /* of the line, newline included */
	const char *problem; /* it was not run */
	struct brood_result *result;
	struct brood_buffer *buffer; /* its answer, once that came */
};

static struct job jobs[WINDOW];
static uint64_t first, next; /* those from first to next - 1 are not printed */
static uint64_t done, failed;
static uint64_t bytes_in, bytes_done; /* of lines */
static uint64_t bytes_all; /* if known */
static size_t held; /* bytes of answers */
static bool ended; /* there are no more lines */
static int output_error; /* errno of standard output */
static bool bar_shown;
static FILE *failures; /* what is told at the end */
static int list_error; /* errno of that */
static unsigned int workers;
static bool pipe_ends_us; /* as other programs, by SIGPIPE */

static struct job *job_of(uint64_t number)
{
	return &jobs[number % WINDOW];
}

/* What is begun may be printed late: no more of it than keeps the workers busy. */
static bool is_room(struct brood_pool *pool)
{
	struct brood_pool_info info;

	return !ended && next - first < WINDOW && held < HELD_MAX &&
	       brood_pool_stat(pool, &info) == 0 && info.queued < workers;
}

static bool is_over(void)
{
	return ended && first == next;
}

static void count_done(const struct job *job)
{
	done++;
	bytes_done += job->length;
}

static void submit(struct brood_pool *pool, const struct line *line, size_t length)
{
	static struct work work;
	struct job *job = job_of(next);

	*job = (struct job){ .text = strdup(line->text), .length = length + 1 };
	bytes_in += job->length;
	job->problem = problems[line->problem];
	if (!job->problem) {
		work.number = next;
		memcpy(work.text, line->text, length + 1);
		job->result =
			brood_pool_apply_async(pool, do_work, &work, WORK_SIZE(length), 0, NULL);
		if (!job->result)
			job->problem = brood_strerror(errno);
	}
	next++;
}

static void take_lines(struct brood_pool *pool)
{
	static struct line line;
	ssize_t size;

	while (is_room(pool)) {
		size = brood_queue_get(lines, &line, sizeof(line), 0);
		if (size >= 0)
			submit(pool, &line, (size_t)size - LINE_SIZE(0));
		else if (size == -EAGAIN)
			return;
		else
			ended = true;
	}
	if (ended)
		bytes_all = bytes_in;
}

/* A worker that was killed as it answered may have been judged before its answer comes. */
static void take_answers(void)
{
	struct brood_buffer *buffer;
	const struct answer *answer;
	struct job *job;

	while (brood_queue_get_buffer(answers, &buffer, 0) == 0) {
		answer = brood_buffer_data(buffer);
		job = job_of(answer->number);
		if (answer->number - first >= next - first || job->buffer) {
			brood_buffer_release(buffer);
			continue;
		}
		job->buffer = buffer;
		held += (size_t)brood_buffer_size(buffer);
		count_done(job);
	}
}

static void hide_bar(void)
{
	if (bar_shown)
		fputs("\r\033[K", stderr);
	bar_shown = false;
}

static void note_failure(const struct job *job, const char *how)
{
	failed++;
	if (!failures && !list_error)
		failures = tmpfile();
	if (!failures || fprintf(failures, "  %s: %s\n", how, job->text ? job->text : "") < 0)
		list_error = list_error ? list_error : errno;
}

/* Its worker died, in whatever way, or could not answer. */
static void judge_result(const struct job *job)
{
	struct brood_task_error error = { .code = -ENODATA };

	brood_result_error(job->result, &error);
	note_failure(job, error.text[0] ? error.text : brood_strerror(error.code));
}

static void judge_answer(const struct job *job, const struct answer *answer)
{
	char how[80];

	if (answer->error == -ETIMEDOUT)
		note_failure(job, "timed out");
	else if (answer->error)
		note_failure(job, answer->text[0] ? answer->text : brood_strerror(answer->error));
	else if (answer->code < 0)
		snprintf(how, sizeof(how), "signal %d (%s)", -answer->code,
			 strsignal(-answer->code));
	else
		snprintf(how, sizeof(how), "exit code %d", answer->code);
	if (!answer->error && answer->code)
		note_failure(job, how);
}

static void print_answer(struct job *job)
{
	const struct answer *answer = brood_buffer_data(job->buffer);

	hide_bar();
	if (fwrite(answer->bytes, 1, answer->output_length, stdout) < answer->output_length ||
	    fflush(stdout))
		output_error = errno;
	fwrite(answer->bytes + answer->output_length, 1, answer->error_length, stderr);
	judge_answer(job, answer);
	held -= (size_t)brood_buffer_size(job->buffer);
	brood_buffer_release(job->buffer);
}

/* Whether it could be done with. What a worker answered is in the queue before the task's end. */
static bool finish_first(void)
{
	struct job *job = job_of(first);

	if (!job->buffer && job->result) {
		if (brood_result_wait(job->result, 0) == -EAGAIN)
			return false;
		take_answers();
	}
	if (job->buffer) {
		print_answer(job);
	} else {
		count_done(job);
		if (job->problem)
			note_failure(job, job->problem);
		else
			judge_result(job);
	}
	brood_result_free(job->result);
	free(job->text);
	first++;
	return true;
}

/* How far it is can only be told by the size of a file, or when all has been read. */
static void draw_bar(int64_t now)
{
	static const char full[] = "##############################";
	static int64_t started;
	int width = sizeof(full) - 1, part = 0;

	started = started ? started : now;
	if (bytes_all)
		part = (int)((uint64_t)width * bytes_done / bytes_all);
	if (part > width)
		part = width;
	fprintf(stderr, "\r[%.*s%*s] %llu done, %llu failed, %.0f/s\033[K", part, full,
		width - part, "", (unsigned long long)done, (unsigned long long)failed,
		(double)done / ((double)(now - started + 1) / 1e9));
	bar_shown = true;
}

static void show_bar(void)
{
	static int64_t due;
	int64_t now = brood_now();

	if (settings.bar && (now >= due || is_over())) {
		draw_bar(now);
		due = now + 100000000;
	}
}

/* A reader that was killed has not closed the queue. */
static void wait_for_something(struct brood_pool *pool, struct brood_process *reader)
{
	struct brood_waitable items[3] = { { .kind = BROOD_WAIT_QUEUE, .object = answers } };
	size_t n = 1;

	if (is_room(pool))
		items[n++] = (struct brood_waitable){ .kind = BROOD_WAIT_QUEUE, .object = lines };
	if (first != next)
		items[n++] = (struct brood_waitable){ .kind = BROOD_WAIT_RESULT,
						      .object = job_of(first)->result };
	if (brood_wait(items, n, TICK) == -ETIMEDOUT && brood_process_join(reader, 0) == 0)
		brood_queue_close(lines);
}

/* The first process kills us and all that runs, which is ours as long as we live. */
static _Noreturn void end_all(int signal)
{
	kill(getppid(), signal);
	for (;;)
		pause();
}

static _Noreturn void end_without_output(void)
{
	if (output_error == EPIPE && pipe_ends_us)
		end_all(SIGPIPE);
	fprintf(stderr, "pmap: standard output: %s\n", strerror(output_error));
	end_all(END_WITH_ERROR);
}

static void run_all(struct brood_pool *pool, struct brood_process *reader)
{
	for (;;) {
		take_lines(pool);
		take_answers();
		while (first != next && finish_first())
			;
		if (interrupted)
			end_all(interrupted);
		show_bar();
		if (output_error)
			end_without_output();
		if (is_over())
			break;
		wait_for_something(pool, reader);
	}
	if (bar_shown)
		fputc('\n', stderr);
}

static void tell_failures(void)
{
	char some[4096];
	size_t n;

	if (failed)
		fprintf(stderr, "pmap: %llu of %llu failed:\n", (unsigned long long)failed,
			(unsigned long long)next);
	if (failures && fflush(failures))
		list_error = errno;
	if (failures)
		rewind(failures);
	while (failures && (n = fread(some, 1, sizeof(some), failures)) > 0)
		fwrite(some, 1, n, stderr);
	if (list_error)
		fprintf(stderr, "\npmap: not all of them could be listed: %s\n",
			strerror(list_error));
}

static int exit_status(struct brood_process *reader)
{
	int code = ERROR;

	brood_process_join(reader, BROOD_FOREVER);
	brood_process_exit_code(reader, &code);
	if (code) {
		fprintf(stderr, "pmap: not all lines could be read\n");
		return ERROR;
	}
	return failed > FAILED_MAX ? MANY_FAILED : (int)failed;
}

static void measure_input(void)
{
	struct stat input;
	off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);

	if (fstat(STDIN_FILENO, &input) == 0 && S_ISREG(input.st_mode) && at < input.st_size)
		bytes_all = (uint64_t)(input.st_size - at);
}

int dispatch(void *unused)
{
	struct brood_process *reader;
	struct brood_pool *pool;

	(void)unused;
	if (signal(SIGINT, note_interrupt) == SIG_IGN)
		signal(SIGINT, SIG_IGN);
	pipe_ends_us = signal(SIGPIPE, SIG_IGN) != SIG_IGN;
	sigprocmask(SIG_SETMASK, &mask, NULL);
	workers = settings.workers ? settings.workers : brood_cpu_count();
	lines = brood_queue_create(&(struct brood_queue_opts){
		.slots = LINES, .max_bytes = sizeof(struct line), .producers = 1, .consumers = 1 });
	answers = brood_queue_create(
		&(struct brood_queue_opts){ .slots = WINDOW, .max_bytes = BROOD_BUFFER_MESSAGE });
	if (!lines || !answers)
		return fail("cannot begin");
	pool = brood_pool_create(&(struct brood_pool_opts){
		.workers = workers, .open_tasks = WINDOW, .keep_sigint = true });
	if (!pool)
		return fail("cannot start workers");
	measure_input();
	reader = brood_process_start_opts(
		read_lines, NULL,
		&(struct brood_process_opts){ .daemon = true, .die_with_parent = true });
	if (!reader)
		return fail("cannot start the reader");
	run_all(pool, reader);
	brood_pool_destroy(pool);
	tell_failures();
	return exit_status(reader);
}
