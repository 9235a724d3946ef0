/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* map in all its forms. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <brood.h>

#define N 5
#define MANY 1000

static int func(struct brood_task *task, const void *x, void *result)
{
	(void)task;
	usleep(50000);
	*(int *)result = *(const int *)x * *(const int *)x;
	return 0;
}

struct pair {
	int a, b;
};

static int add(struct brood_task *task, const void *argument, void *result)
{
	const struct pair *pair = argument;

	(void)task;
	*(int *)result = pair->a + pair->b;
	return 0;
}

static int pid_of(struct brood_task *task, const void *x, void *result)
{
	(void)task;
	(void)x;
	*(int *)result = getpid();
	return 0;
}

static void print(const char *before, const int *values, int n)
{
	printf("%s[", before);
	for (int i = 0; i < n; i++)
		printf(i ? ", %d" : "%d", values[i]);
	printf("]\n");
}

static void print_func(struct brood_result *outputs, void *argument)
{
	(void)argument;
	print("callback ", brood_result_data(outputs), N);
}

static struct brood_pool *new_pool(void)
{
	struct brood_pool *p = brood_pool_create(NULL);

	if (!p)
		exit(1);
	return p;
}

static void end(struct brood_pool *p)
{
	brood_pool_close(p);
	brood_pool_join(p, BROOD_FOREVER);
	brood_pool_destroy(p);
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int main(void)
{
	static const int arg[N] = { 1, 2, 3, 4, 5 };
	static const struct pair pairs[3] = { { 1, 2 }, { 3, 4 }, { 5, 6 } };
	static const char none[MANY];
	static int values[MANY];
	int distinct = 0, most = 0;
	struct brood_result *results;
	struct brood_pool *p = new_pool();

	brood_pool_map(p, func, arg, N, sizeof *arg, values, sizeof *values, NULL);
	printf("阻塞\n");
	end(p);

	p = new_pool();
	brood_pool_map(p, func, arg, N, sizeof *arg, values, sizeof *values, NULL);
	print("", values, N);
	end(p);

	p = new_pool();
	results = brood_pool_map_async(p, func, arg, N, sizeof *arg, NULL, sizeof *values, NULL);
	printf("不阻塞\n");
	end(p);
	brood_result_free(results);

	p = new_pool();
	results = brood_pool_map_async(p, func, arg, N, sizeof *arg, values, sizeof *values, NULL);
	brood_result_get(results, NULL, 0, BROOD_FOREVER);
	print("", values, N);
	brood_result_free(results);
	end(p);

	p = new_pool();
	brood_pool_map(p, add, pairs, 3, sizeof *pairs, values, sizeof *values, NULL);
	print("", values, 3);
	end(p);

	p = new_pool();
	brood_pool_map(p, func, arg, N, sizeof *arg, values, sizeof *values,
		       &(struct brood_submit_opts){ .chunk = 10 });
	print("", values, N);
	end(p);

	p = new_pool();
	results = brood_pool_map_async(p, func, arg, N, sizeof *arg, values, sizeof *values,
				       &(struct brood_submit_opts){ .callback = print_func });
	brood_result_get(results, NULL, 0, BROOD_FOREVER);
	print("", values, N);
	brood_result_free(results);
	end(p);

	p = brood_pool_create(&(struct brood_pool_opts){ .workers = 5, .max_tasks = 50 });
	brood_pool_map(p, pid_of, none, MANY, 1, values, sizeof *values,
		       &(struct brood_submit_opts){ .chunk = 1 });
	end(p);
	qsort(values, MANY, sizeof *values, compare);
	for (int i = 0, first = 0; i < MANY; i++) {
		if (i == 0 || values[i] != values[i - 1]) {
			distinct++;
			first = i;
		}
		most = i - first + 1 > most ? i - first + 1 : most;
	}
	printf("distinct workers for 1000 tasks of chunk 1, maxtasksperchild=50: %d"
	       " most tasks by one worker: %d\n", distinct, most);
	return 0;
}
