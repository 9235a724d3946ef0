/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader, which turns standard input into lines, and the workers, who run commands. */
#include <argz.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pmap.h"

/* ---- the reader ---- */

/* The length of its text; -1: there is none. */
static ssize_t read_line(struct line *line)
{
	size_t length = 0;
	int c;

	line->problem = FINE;
	while ((c = getc_unlocked(stdin)) != EOF && c != '\n') {
		if (c == 0 && line->problem == FINE)
			line->problem = HAS_NUL;
		if (length < TEXT_MAX)
			line->text[length++] = (char)c;
		else
			line->problem = TOO_LONG;
	}
	if (line->problem == TOO_LONG)
		length = SHOWN_MAX;
	line->text[length] = 0;
	return c == EOF && length == 0 ? -1 : (ssize_t)length;
}

/* Straight into the queue's memory. */
int read_lines(void *unused)
{
	struct brood_message message;
	ssize_t length;
	int r;

	(void)unused;
	while ((r = brood_queue_reserve(lines, &message)) == 0) {
		length = read_line(message.data);
		if (length < 0)
			break;
		message.length = LINE_SIZE((size_t)length);
		r = brood_queue_commit(lines, &message, BROOD_FOREVER);
		if (r)
			break;
	}
	if (ferror(stdin))
		perror("pmap: standard input");
	brood_queue_close(lines);
	return r || ferror(stdin);
}

/* ---- the workers ---- */

volatile sig_atomic_t interrupted;

/* A program that is exec'ed does not inherit a handler: Ctrl-C ends the commands as usual. */
void note_interrupt(int signal)
{
	interrupted = signal;
}

/* The command with the line in its place; it points into *words. NULL: no memory. */
static char **make_arguments(const char *text, char **words)
{
	unsigned int replaced = 0;
	char **arguments;
	size_t length;

	if (argz_create(settings.command, words, &length) ||
	    argz_replace(words, &length, "{}", text, &replaced) ||
	    (!replaced && argz_add(words, &length, text)))
		return NULL;
	arguments = calloc(argz_count(*words, length) + 1, sizeof(*arguments));
	if (arguments)
		argz_extract(*words, length, arguments);
	return arguments;
}

/* It dies with us, who may be killed. */
static int run(const char *text, struct brood_subprocess_result *made)
{
	const struct brood_subprocess_opts opts = {
		.in.kind = BROOD_STREAM_NULL,
		.capture = true,
		.die_with_parent = true,
		.shell = !settings.command,
	};
	char **arguments, *words = NULL;
	int r = -ENOMEM;

	if (!settings.command)
		return brood_subprocess_run(BROOD_ARGS(text), &opts, made, settings.limit);
	arguments = make_arguments(text, &words);
	if (arguments)
		r = brood_subprocess_run((const char *const *)arguments, &opts, made,
					 settings.limit);
	free(arguments);
	free(words);
	return r;
}

static int give_back(uint64_t number, int error, const struct brood_subprocess_result *made)
{
	struct brood_buffer *buffer = brood_buffer_create(
		NULL, sizeof(struct answer) + made->output_length + made->error_length);
	struct answer *answer;

	if (!buffer)
		return -errno;
	answer = brood_buffer_data(buffer);
	answer->number = number;
	answer->error = error;
	answer->code = made->code;
	answer->output_length = made->output_length;
	answer->error_length = made->error_length;
	memcpy(answer->text, made->error.text, sizeof(answer->text));
	if (made->output)
		memcpy(answer->bytes, made->output, made->output_length);
	if (made->error_output)
		memcpy(answer->bytes + made->output_length, made->error_output, made->error_length);
	return brood_queue_put_buffer(answers, buffer, BROOD_FOREVER);
}

int do_work(struct brood_task *task, const void *argument, void *result)
{
	struct brood_subprocess_result made = { 0 };
	const struct work *work = argument;
	int r;

	(void)result;
	if (interrupted)
		return -ECANCELED;
	r = give_back(work->number, run(work->text, &made), &made);
	brood_subprocess_result_free(&made);
	return r ? brood_task_fail(task, r, brood_strerror(r)) : 0;
}
