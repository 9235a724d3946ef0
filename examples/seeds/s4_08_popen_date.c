/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The output of a program: by communicate, into a file, by run, with a check of the exit code. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brood.h>

#define FOREVER BROOD_FOREVER

static const char *const cmd[] = { "date", "-u", "-R", "-d", "@0", NULL };
static const struct brood_stream pipe_of_ours = { .kind = BROOD_STREAM_PIPE };
static struct brood_subprocess_result result;

/* As Python shows it. */
static void print_quoted(const char *text)
{
	printf("'");
	for (; *text; text++)
		printf(*text == '\n' ? "\\n" : "%c", *text);
	printf("'");
}

static void print_both(void)
{
	printf("b");
	print_quoted(result.output);
	printf("\n%s\n", result.output);
}

static void run(const struct brood_subprocess_opts *opts)
{
	brood_subprocess_result_free(&result);
	if (brood_subprocess_run(cmd, opts, &result, FOREVER) == 0)
		return;
	fprintf(stderr, "%s\n", result.error.text);
	exit(1);
}

static void by_communicate(void)
{
	const struct brood_subprocess_opts opts = { .in = pipe_of_ours,
						    .out = pipe_of_ours,
						    .err = pipe_of_ours };
	struct brood_subprocess *p = brood_subprocess_open(cmd, &opts);

	if (!p || brood_subprocess_communicate(p, NULL, 0, &result, FOREVER))
		exit(1);
	print_both();
	printf("Exit code: %d\n", result.code);
	brood_subprocess_close(p);
}

static void into_file(void)
{
	char text[80] = "";
	FILE *f = fopen("output.txt", "w");

	if (!f)
		exit(1);
	run(&(struct brood_subprocess_opts){ .out = { .kind = BROOD_STREAM_FD, .fd = fileno(f) } });
	fclose(f);
	f = fopen("output.txt", "r");
	if (!f || !fread(text, 1, sizeof text - 1, f) || fclose(f))
		exit(1);
	printf("output.txt: ");
	print_quoted(text);
	printf("\n");
	unlink("output.txt");
}

static void print_result(void)
{
	printf("CompletedProcess(args=[");
	for (char **arg = result.args; *arg; arg++)
		printf("%s'%s'", arg == result.args ? "" : ", ", *arg);
	printf("], returncode=%d, stdout=b", result.code);
	print_quoted(result.output);
	printf(")\n");
}

int main(void)
{
	char folder[] = "/tmp/brood-seed-XXXXXX";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!mkdtemp(folder) || chdir(folder))
		return 1;
	printf("$ date -R\n");
	by_communicate();
	into_file();
	run(&(struct brood_subprocess_opts){ .out = pipe_of_ours });
	print_result();
	printf("------\nb");
	print_quoted(result.output);
	printf("\n------\n%s\n", result.output);
	run(&(struct brood_subprocess_opts){ .out = pipe_of_ours, .check = true });
	print_both();
	brood_subprocess_result_free(&result);
	return chdir("/") || rmdir(folder);
}
