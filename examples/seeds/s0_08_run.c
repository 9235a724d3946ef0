/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs run to their end, and what is known of them then. */
#include <errno.h>
#include <stdio.h>

#include <brood.h>

/* As Python shows it. */
static void print_output(const struct brood_subprocess_result *res)
{
	printf("b'");
	for (size_t i = 0; i < res->output_length; i++)
		printf(res->output[i] == '\n' ? "\\n" : "%c", res->output[i]);
	printf("'");
}

static void print_result(const struct brood_subprocess_result *res, bool shell)
{
	printf("CompletedProcess(args=%s", shell ? "" : "[");
	for (char **arg = res->args; *arg; arg++)
		printf("%s'%s'", arg == res->args ? "" : ", ", *arg);
	printf("%s, returncode=%d", shell ? "" : "]", res->code);
	if (res->output) {
		printf(", stdout=");
		print_output(res);
	}
	printf(")\n");
}

int main(void)
{
	const struct brood_stream pipe = { .kind = BROOD_STREAM_PIPE };
	struct brood_subprocess_result res;
	struct brood_subprocess_opts opts = { 0 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	brood_subprocess_run(BROOD_ARGS("ls", "/dev/null"), &opts, &res, BROOD_FOREVER);
	print_result(&res, false);
	brood_subprocess_result_free(&res);

	opts.out = pipe;
	brood_subprocess_run(BROOD_ARGS("ls", "/dev/null"), &opts, &res, BROOD_FOREVER);
	print_result(&res, false);
	brood_subprocess_result_free(&res);

	brood_subprocess_run(BROOD_ARGS("ls", "/dev/null"), &opts, &res, BROOD_FOREVER);
	print_output(&res);
	printf("\n");
	brood_subprocess_result_free(&res);

	opts = (struct brood_subprocess_opts){ .shell = true };
	brood_subprocess_run(BROOD_ARGS("exit 1"), &opts, &res, BROOD_FOREVER);
	print_result(&res, true);
	brood_subprocess_result_free(&res);

	opts.check = true;
	if (brood_subprocess_run(BROOD_ARGS("exit 1"), &opts, &res, BROOD_FOREVER) == -EREMOTEIO)
		printf("CalledProcessError: %s | cmd '%s' returncode %d output %s\n",
		       res.error.text, res.args[0], res.code, res.output ? res.output : "None");
	brood_subprocess_result_free(&res);
	return 0;
}
