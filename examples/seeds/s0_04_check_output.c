/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The output of a shell command. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brood.h>

int main(void)
{
	char folder[] = "/tmp/brood-seed-XXXXXX";
	struct brood_subprocess_result res;
	FILE *file;
	int r;

	if (!mkdtemp(folder) || chdir(folder))
		return 1;
	file = fopen("a.txt", "w");
	for (int i = 0; file && i < 1600; i++)
		putc('x', file);
	if (!file || fclose(file))
		return 1;
	r = brood_subprocess_run(BROOD_ARGS("ls -l"),
				 &(struct brood_subprocess_opts){ .shell = true,
								  .out.kind = BROOD_STREAM_PIPE,
								  .check = true },
				 &res, BROOD_FOREVER);
	if (r == 0)
		printf("bytes\n%s\n", res.output);
	else
		fprintf(stderr, "%s\n", res.error.text);
	brood_subprocess_result_free(&res);
	unlink("a.txt");
	return chdir("/") || rmdir(folder) || r;
}
