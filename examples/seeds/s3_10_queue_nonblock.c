/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Neither waits: the reader may come too early, and then there is nothing. */
#include <stdio.h>

#include <brood.h>

static int writer_proc(void *q)
{
	int one = 1;

	brood_queue_put(q, &one, sizeof one, 0);
	return 0;
}

static int reader_proc(void *q)
{
	int value;

	if (brood_queue_get(q, &value, sizeof value, 0) == sizeof value)
		printf("%d\n", value);
	return 0;
}

int main(void)
{
	struct brood_queue *q = brood_queue_create(
		&(struct brood_queue_opts){ .slots = 16, .max_bytes = sizeof(int) });
	struct brood_process *writer, *reader;

	if (!q)
		return 1;
	writer = brood_process_start(writer_proc, q);
	reader = brood_process_start(reader_proc, q);
	if (!writer || !reader)
		return 1;
	brood_process_join(reader, BROOD_FOREVER);
	brood_process_join(writer, BROOD_FOREVER);
	return 0;
}
