/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands whose output is ours, and only the exit code comes back. */
#include <stdio.h>

#include <brood.h>

static int call(const char *command)
{
	const struct brood_subprocess_opts opts = { .shell = true };
	struct brood_subprocess_result res;
	int code;

	brood_subprocess_run(BROOD_ARGS(command), &opts, &res, BROOD_FOREVER);
	code = res.code;
	brood_subprocess_result_free(&res);
	return code;
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("errno: %d\n", call("echo total 240; echo line two"));
	printf("errno of exit 3: %d\n", call("exit 3"));
	printf("errno of kill -9: %d\n", call("kill -9 $$"));
	return 0;
}
