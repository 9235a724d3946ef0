/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A descriptor of BROOD_STREAM_COPY whose connection was lost by ETIMEDOUT was taken for the time
 * that is over; called again, communicate told that all had been copied.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <brood.h>

#include "refuse.h"

int main(void)
{
	const struct brood_subprocess_opts opts = {
		.in = { .kind = BROOD_STREAM_COPY, .fd = open("/proc/self/exe", O_RDONLY) }
	};
	struct brood_subprocess_result result;
	int r;

	if (!refuse(SYS_splice, ETIMEDOUT))
		return 77;
	r = brood_subprocess_run(BROOD_ARGS("cat"), &opts, &result, brood_ms(20000));
	printf("%d, step %u: %s\n", r, result.error.step, result.error.text);
	r = r != -EIO || result.error.step != BROOD_STEP_COMMUNICATE;
	brood_subprocess_result_free(&result);
	return r;
}
