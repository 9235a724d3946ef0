/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program that fails: nobody listens at this port. */
#include <stdio.h>

#include <brood.h>

int main(void)
{
	struct brood_subprocess_result res;
	int r;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("$ curl\n");
	r = brood_subprocess_run(BROOD_ARGS("curl", "-s", "http://127.0.0.1:9/"), NULL, &res,
				 BROOD_FOREVER);
	if (r == 0)
		printf("Exit code: %d\n", res.code);
	else
		fprintf(stderr, "%s\n", res.error.text);
	brood_subprocess_result_free(&res);
	return r != 0;
}
