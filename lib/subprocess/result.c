/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Results, and copies of argument lists. */
#include <stdlib.h>
#include <string.h>

#include "subprocess/subprocess.h"

char **brood__args_copy(const char *const args[])
{
	size_t n = 0, bytes = 0;
	char **copy, *at;

	for (; args && args[n]; n++)
		bytes += strlen(args[n]) + 1;
	copy = malloc((n + 1) * sizeof *copy + bytes);
	if (!copy)
		return NULL;
	at = (char *)(copy + n + 1);
	for (size_t i = 0; i < n; i++) {
		copy[i] = at;
		at = stpcpy(at, args[i]) + 1;
	}
	copy[n] = NULL;
	return copy;
}

void brood__result_fill(struct brood_subprocess_result *result, struct brood_subprocess *process)
{
	const struct brood__stream *streams = process->streams;

	memset(result, 0, sizeof *result);
	result->args = brood__args_copy((const char *const *)process->args);
	result->code = process->state == BROOD__PROGRAM_ENDED ? process->code : BROOD_NO_CODE;
	result->output = brood__kept_take(process, BROOD_STDOUT, &result->output_length);
	result->error_output = brood__kept_take(process, BROOD_STDERR, &result->error_length);
	result->output_total = streams[BROOD_STDOUT].total;
	result->error_total = streams[BROOD_STDERR].total;
	result->input_total = streams[BROOD_STDIN].total;
	result->started = process->started;
	if (process->state > BROOD__PROGRAM_RUNNING)
		result->elapsed = process->ended - process->started;
	if (process->state == BROOD__PROGRAM_ENDED)
		result->usage = process->usage;
}

void brood_subprocess_result_free(struct brood_subprocess_result *result)
{
	if (!result)
		return;
	free(result->args);
	free(result->output);
	free(result->error_output);
	memset(result, 0, sizeof *result);
}
