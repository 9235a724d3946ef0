/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Write to a program's input, and read its output. A script stands in for nslookup, which needs a
 * name server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brood.h>

static const char script[] =
	"#!/bin/sh\n"
	"if [ $# -gt 0 ]; then printf 'Name:\\t%s\\nAddress: 192.0.2.1\\n' \"$1\"; exit 0; fi\n"
	"while read a b; do case \"$a\" in set) t=$b;; exit) exit 0;; *)\n"
	"printf 'Server:\\t\\t192.0.2.53\\n%s\\tmail exchanger = 50 mail.%s (%s)\\n'"
	" \"$a\" \"$a\" \"$t\";; esac; done\n";

/* Put a folder with the script in front of PATH. */
static void make_nslookup(char *folder, char *name, size_t size)
{
	char path[4096];
	FILE *file;

	if (!mkdtemp(folder))
		exit(1);
	snprintf(name, size, "%s/nslookup", folder);
	file = fopen(name, "w");
	if (!file || fputs(script, file) < 0 || fclose(file) || chmod(name, 0755))
		exit(1);
	snprintf(path, sizeof path, "%s:%s", folder, getenv("PATH"));
	setenv("PATH", path, 1);
}

int main(void)
{
	static const char input[] = "set q=mx\npython.org\nexit\n";
	const struct brood_stream pipe = { .kind = BROOD_STREAM_PIPE };
	char folder[] = "/tmp/brood-seed-XXXXXX", name[80];
	struct brood_subprocess_result res;
	struct brood_subprocess *p;

	setvbuf(stdout, NULL, _IOLBF, 0);
	make_nslookup(folder, name, sizeof name);
	printf("$ nslookup\n");
	p = brood_subprocess_open(
		BROOD_ARGS("nslookup"),
		&(struct brood_subprocess_opts){ .in = pipe, .out = pipe, .err = pipe });
	if (!p || brood_subprocess_communicate(p, input, strlen(input), &res, BROOD_FOREVER))
		return 1;
	printf("%s\n", res.output);
	printf("%s\n", res.output);
	printf("Exit code: %d\n", res.code);
	brood_subprocess_result_free(&res);
	brood_subprocess_close(p);

	printf("$ nslookup www.python.org\n");
	brood_subprocess_run(BROOD_ARGS("nslookup", "www.python.org"), NULL, &res, BROOD_FOREVER);
	printf("Exit code: %d\n", res.code);
	brood_subprocess_result_free(&res);
	return unlink(name) || rmdir(folder);
}
