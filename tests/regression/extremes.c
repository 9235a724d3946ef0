/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers at the end of their range, and an output that goes elsewhere at the end of its program: a
 * nice value of INT_MAX made who was at 5 already the least nice of all; lines with a limit near
 * SIZE_MAX were written to where there was no memory; what was still on its way to a file that is
 * appended to was forgotten when the program had ended and others held its pipe.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <brood.h>

#define LONG_LINE (3u << 20)

static int wrong(const char *what)
{
	printf("%s\n", what);
	return 1;
}

static int own_niceness(void *unused)
{
	(void)unused;
	return getpriority(PRIO_PROCESS, 0) + 20;
}

static int greatest_nice_value(void)
{
	struct brood_process *child = brood_process_start_opts(
		own_niceness, NULL, &(struct brood_process_opts){ .nice = INT_MAX });
	struct brood_subprocess_result result;
	int code = 0, r;

	if (!child || brood_process_join(child, BROOD_FOREVER) ||
	    brood_process_exit_code(child, &code) || brood_process_free(child))
		return wrong("no child");
	r = brood_subprocess_run(
		BROOD_ARGS("nice"),
		&(struct brood_subprocess_opts){ .nice = INT_MAX, .capture = true }, &result,
		BROOD_FOREVER);
	r = r || strcmp(result.output, "19\n") != 0;
	brood_subprocess_result_free(&result);
	return code != 39 || r ? wrong("it is not the nicest") : 0;
}

static int add_up(void *sum, enum brood_which_stream which, const char *data, size_t length)
{
	(void)which;
	(void)data;
	*(size_t *)sum += length;
	return 0;
}

static int greatest_limit(void)
{
	size_t sum = 0;
	int r = brood_subprocess_run(
		BROOD_ARGS("head", "-c", "3145728", "/dev/zero"),
		&(struct brood_subprocess_opts){ .out = { .kind = BROOD_STREAM_PIPE },
						 .limit = SIZE_MAX,
						 .lines = true,
						 .receive = add_up,
						 .receive_argument = &sum },
		NULL, BROOD_FOREVER);

	return r || sum != LONG_LINE ? wrong("the line is not whole") : 0;
}

static int rest_of_a_copy(void)
{
	char name[] = "/tmp/brood-extremes-XXXXXX";
	int made = mkstemp(name), fd = open(name, O_WRONLY | O_APPEND | O_CLOEXEC);
	int r = brood_subprocess_run(
		BROOD_ARGS("sleep 1 & printf hello"),
		&(struct brood_subprocess_opts){ .shell = true,
						 .out = { .kind = BROOD_STREAM_COPY, .fd = fd },
						 .until_exit = true },
		NULL, BROOD_FOREVER);

	r = r || made < 0 || lseek(made, 0, SEEK_END) != 5;
	unlink(name);
	close(made);
	close(fd);
	return r ? wrong("the copy is not whole") : 0;
}

int main(void)
{
	int now = getpriority(PRIO_PROCESS, 0);

	if (now < 5 && setpriority(PRIO_PROCESS, 0, 5))
		return wrong("no nice value of 5");
	return greatest_nice_value() | greatest_limit() | rest_of_a_copy();
}
