/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What went wrong, in words. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "subprocess/subprocess.h"

static const char *const at[] = {
	[BROOD_STEP_OPTIONS] = "the options",	 [BROOD_STEP_STDIN] = "standard input",
	[BROOD_STEP_STDOUT] = "standard output", [BROOD_STEP_STDERR] = "standard error",
	[BROOD_STEP_PASS_FDS] = "pass_fds",	 [BROOD_STEP_START] = "the new process",
	[BROOD_STEP_SIGNALS] = "its signals",	 [BROOD_STEP_SESSION] = "its session",
	[BROOD_STEP_GROUP] = "its group",	 [BROOD_STEP_LIMITS] = "its limits",
	[BROOD_STEP_NICE] = "its nice value",	 [BROOD_STEP_CPUS] = "its CPUs",
	[BROOD_STEP_CWD] = "its directory",	 [BROOD_STEP_IDS] = "its user and groups",
	[BROOD_STEP_PARENT] = "die_with_parent", [BROOD_STEP_EXEC] = "exec",
};

#define NUMBER 24

static const char *first_closed(const struct brood_subprocess_opts *opts, char number[NUMBER])
{
	for (size_t i = 0; i < opts->pass_fds_count; i++)
		if (fcntl(opts->pass_fds[i], F_GETFD) < 0) {
			snprintf(number, NUMBER, "descriptor %d", opts->pass_fds[i]);
			return number;
		}
	return NULL;
}

/* The name that matters at that step, or a number. */
static const char *name_at(uint32_t step, const struct brood_subprocess_opts *opts,
			   char number[NUMBER])
{
	const struct brood_stream *stream = step == BROOD_STEP_STDIN	? &opts->in
					    : step == BROOD_STEP_STDOUT ? &opts->out
					    : step == BROOD_STEP_STDERR ? &opts->err
									: NULL;

	if (step == BROOD_STEP_CWD)
		return opts->cwd;
	if (step == BROOD_STEP_PASS_FDS)
		return first_closed(opts, number);
	if (!stream || (stream->kind != BROOD_STREAM_PATH && stream->kind != BROOD_STREAM_FD &&
			stream->kind != BROOD_STREAM_COPY))
		return NULL;
	snprintf(number, NUMBER, "descriptor %d", stream->fd);
	return stream->kind == BROOD_STREAM_PATH ? stream->path : number;
}

const char *brood__words(int code)
{
	const char *text = strerrordesc_np(abs(code));

	return text ? text : "unknown error";
}

void brood__report_options(struct brood_subprocess_error *error, int code, const char *why)
{
	*error = (struct brood_subprocess_error){ .code = code, .step = BROOD_STEP_OPTIONS };
	snprintf(error->text, sizeof error->text, "cannot use the options: %s", why);
}

void brood__report_start(struct brood_subprocess_error *error, uint32_t step, int code,
			 const char *program, const struct brood_subprocess_opts *opts)
{
	char number[NUMBER];
	const char *name = name_at(step, opts, number);

	*error = (struct brood_subprocess_error){ .code = code, .step = step };
	if (step == BROOD_STEP_EXEC)
		snprintf(error->text, sizeof error->text, "cannot run '%.180s': %s", program,
			 brood__words(code));
	else
		snprintf(error->text, sizeof error->text, "cannot set up %s%s%.150s%s: %s",
			 at[step], name ? " '" : "", name ? name : "", name ? "'" : "",
			 brood__words(code));
}

/* ---- a command ---- */

struct text {
	char *bytes;
	size_t length, room;
};

static void append(struct text *text, const char *bytes, size_t n)
{
	if (n > text->room - text->length)
		n = text->room - text->length;
	memcpy(text->bytes + text->length, bytes, n);
	text->length += n;
}

/* What a shell would take apart stands in quotes; others in it are left as they are. */
static void append_word(struct text *text, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-./:=@%+,";

	if (*word && !word[strspn(word, plain)]) {
		append(text, word, strlen(word));
		return;
	}
	append(text, "\"", 1);
	append(text, word, strlen(word));
	append(text, "\"", 1);
}

#define COMMAND 150u /* bytes of it that are shown at most */

static void write_command(char out[COMMAND + 4], const char *const args[], bool shell)
{
	struct text text = { out, 0, COMMAND };

	for (size_t i = 0; args[i] && text.length < COMMAND; i++) {
		if (i)
			append(&text, " ", 1);
		if (shell && i == 0)
			append(&text, args[i], strlen(args[i]));
		else
			append_word(&text, args[i]);
	}
	out[text.length] = 0;
	if (text.length == COMMAND)
		strcpy(out + COMMAND, "...");
}

void brood__report_run(struct brood_subprocess_error *error, uint32_t step, int code,
		       const char *const args[], bool shell, const char *format, ...)
{
	char command[COMMAND + 4];
	va_list list;
	int n;

	*error = (struct brood_subprocess_error){ .code = code, .step = step };
	write_command(command, args, shell);
	n = snprintf(error->text, sizeof error->text, "Command '%s' ", command);
	va_start(list, format);
	vsnprintf(error->text + n, sizeof error->text - (size_t)n, format, list);
	va_end(list);
}
