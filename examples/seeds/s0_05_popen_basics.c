/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs started, asked, waited for, talked to, read from. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brood.h>

/* As Python shows them. */
static void print_bytes(const char *data, size_t length)
{
	printf("b'");
	for (size_t i = 0; i < length; i++)
		printf(data[i] == '\n' ? "\\n" : "%c", data[i]);
	printf("'");
}

static struct brood_subprocess *start(const char *const argv[],
				      const struct brood_subprocess_opts *opts)
{
	struct brood_subprocess *p = brood_subprocess_open(argv, opts);

	if (!p) {
		perror(argv[0]);
		exit(1);
	}
	return p;
}

static void wait_for_sleep(void)
{
	struct brood_subprocess *p;
	int code, after;

	if (!brood_subprocess_open(BROOD_ARGS("sleep 1"), NULL)) /* wrong */
		printf("wrong form: %s %d sleep 1\n",
		       errno == ENOENT ? "FileNotFoundError" : strerror(errno), errno);
	p = start(BROOD_ARGS("sleep", "1"), NULL);
	printf("pid is int > 0: %s ", brood_subprocess_pid(p) > 0 ? "True" : "False");
	if (brood_subprocess_poll(p, &code) == -EAGAIN)
		printf("poll at once: None returncode: None\n");
	brood_subprocess_wait(p, &code, BROOD_FOREVER);
	brood_subprocess_poll(p, &after);
	printf("wait: %d poll after: %d\n", code, after);
	brood_subprocess_close(p);
}

static void communicate_with_echo(void)
{
	const struct brood_stream pipe = { .kind = BROOD_STREAM_PIPE };
	struct brood_subprocess_result res = { 0 };
	struct brood_subprocess *p;

	p = start(BROOD_ARGS("echo", "12"),
		  &(struct brood_subprocess_opts){ .in = pipe, .out = pipe, .err = pipe });
	brood_subprocess_communicate(p, NULL, 0, &res, BROOD_FOREVER);
	printf("communicate: (");
	print_bytes(res.output, res.output_length);
	printf(", ");
	print_bytes(res.error_output, res.error_length);
	printf(")\n");
	brood_subprocess_result_free(&res);
	brood_subprocess_close(p);
}

/* Our end of its output, as a stream of stdio. */
static FILE *output_of(struct brood_subprocess *p)
{
	FILE *file = fdopen(brood_subprocess_take(p, BROOD_STDOUT), "r");

	if (!file)
		exit(1);
	return file;
}

static void read_lines_of_ls(void)
{
	struct brood_subprocess *p;
	char line[80];
	FILE *output;
	int code;

	p = start(BROOD_ARGS("ls", "-1"),
		  &(struct brood_subprocess_opts){ .out.kind = BROOD_STREAM_PIPE });
	output = output_of(p);
	while (fgets(line, sizeof line, output)) {
		printf("test: ");
		print_bytes(line, strcspn(line, "\n"));
		printf("\n");
	}
	fclose(output);
	brood_subprocess_wait(p, &code, BROOD_FOREVER);
	printf("wait: %d\n", code);
	brood_subprocess_close(p);
}

static void read_all_of_shell(void)
{
	int64_t took = brood_now();
	struct brood_subprocess *p;
	char data[80];
	size_t length;
	FILE *output;

	p = start(BROOD_ARGS("sleep 1;echo abc"),
		  &(struct brood_subprocess_opts){ .shell = true, .out.kind = BROOD_STREAM_PIPE });
	output = output_of(p);
	length = fread(data, 1, sizeof data, output);
	took = brood_now() - took;
	print_bytes(data, length);
	printf("\nblocked about 1 s: %s\n",
	       took > 900000000 && took < 1500000000 ? "True" : "False");
	fclose(output);
	brood_subprocess_close(p);
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		exit(1);
}

int main(void)
{
	char folder[] = "/tmp/brood-seed-XXXXXX";

	setvbuf(stdout, NULL, _IOLBF, 0);
	wait_for_sleep();
	communicate_with_echo();
	if (!mkdtemp(folder) || chdir(folder))
		return 1;
	write_file("a.txt", "x");
	write_file("b.txt", "yy");
	read_lines_of_ls();
	read_all_of_shell();
	unlink("a.txt");
	unlink("b.txt");
	return chdir("/") || rmdir(folder);
}
