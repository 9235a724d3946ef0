/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same, a second between the values. */
#include <stdio.h>
#include <unistd.h>

#include <brood.h>

static int write_values(void *q)
{
	const char value[] = "ABC";

	printf("%d 子程序寫入\n", getpid());
	for (int i = 0; i < 3; i++) {
		printf("放 %c 到 queue...\n", value[i]);
		brood_queue_put(q, &value[i], 1, BROOD_FOREVER);
		sleep(1);
	}
	return 0;
}

static int read_values(void *q)
{
	char value;

	printf("%d 子程序讀取\n", getpid());
	while (brood_queue_get(q, &value, 1, BROOD_FOREVER) == 1)
		printf("拿到 %c 來自 queue.\n", value);
	return 0;
}

int main(void)
{
	struct brood_queue *q = brood_queue_create(&(struct brood_queue_opts){ .slots = 16, .max_bytes = 1 });
	struct brood_process *pw, *pr;

	setvbuf(stdout, NULL, _IOLBF, 0);	/* the reader is terminated: it can flush nothing */
	pw = q ? brood_process_start(write_values, q) : NULL;
	pr = pw ? brood_process_start(read_values, q) : NULL;
	if (!pr)
		return 1;
	brood_process_join(pw, BROOD_FOREVER);
	brood_process_terminate(pr);
	return 0;
}
