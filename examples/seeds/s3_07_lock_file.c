/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two processes write to a file, one after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brood.h>

static struct brood_lock *lock;

static int write_lines(const char *line)
{
	FILE *file;

	brood_lock_acquire(lock, BROOD_FOREVER);
	file = fopen("file.txt", "a+");
	for (int n = 10; file && n > 1; n--)
		fprintf(file, "%s\n", line);
	if (file)
		fclose(file);
	brood_lock_release(lock);
	return !file;
}

static int worker_with(void *arg)
{
	(void)arg;
	return write_lines("Lockd acquired via with");
}

static int worker_no_with(void *arg)
{
	(void)arg;
	return write_lines("Lock acquired directly");
}

int main(void)
{
	char folder[] = "/tmp/brood-seed-XXXXXX", line[80];
	struct brood_process *w, *nw;
	FILE *file;

	lock = brood_lock_create(NULL);
	if (!lock || !mkdtemp(folder) || chdir(folder))
		return 1;
	w = brood_process_start(worker_with, NULL);
	nw = brood_process_start(worker_no_with, NULL);
	printf("end\n");
	brood_process_join(w, BROOD_FOREVER);
	brood_process_join(nw, BROOD_FOREVER);
	printf("# added: file.txt holds\n");
	file = fopen("file.txt", "r");
	while (file && fgets(line, sizeof line, file))
		fputs(line, stdout);
	if (file)
		fclose(file);
	unlink("file.txt");
	return chdir("/") || rmdir(folder);
}
