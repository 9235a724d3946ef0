/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A writer and a reader with a queue between them; the reader is terminated in its get. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brood.h>

static int write_values(void *q)
{
	const char value[] = "ABC";

	srand48(getpid());
	printf("Process to write: %d\n", getpid());
	for (int i = 0; i < 3; i++) {
		printf("Put %c to queue...\n", value[i]);
		brood_queue_put(q, &value[i], 1, BROOD_FOREVER);
		usleep((useconds_t)(drand48() * 1e6));
	}
	return 0;
}

static int read_values(void *q)
{
	char value;

	printf("Process to read: %d\n", getpid());
	while (brood_queue_get(q, &value, 1, BROOD_FOREVER) == 1)
		printf("Get %c from queue.\n", value);
	return 0;
}

int main(void)
{
	struct brood_queue *q = brood_queue_create(&(struct brood_queue_opts){ .slots = 16, .max_bytes = 1 });
	struct brood_process *pw, *pr;
	int written = 0, read = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);	/* the reader is terminated: it can flush nothing */
	pw = q ? brood_process_start(write_values, q) : NULL;
	pr = pw ? brood_process_start(read_values, q) : NULL;
	if (!pr)
		return 1;
	brood_process_join(pw, BROOD_FOREVER);
	brood_process_terminate(pr);
	brood_process_join(pr, BROOD_FOREVER);
	brood_process_exit_code(pw, &written);
	brood_process_exit_code(pr, &read);
	printf("# added: writer exitcode %d reader exitcode %d\n", written, read);
	return 0;
}
