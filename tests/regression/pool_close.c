/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pool that is closed right behind a map ended only by chance: a worker that was still inside of the
 * job, though all was answered, freed it without telling the keeper, which slept for ever.
 */
#include <stdio.h>
#include <unistd.h>

#include <brood.h>

#define ROUNDS 40
#define TASKS 5

static int pause_a_little(struct brood_task *task, const void *argument, void *result)
{
	(void)task, (void)argument, (void)result;
	usleep(300);
	return 0;
}

static int round_trip(void)
{
	struct brood_pool *pool = brood_pool_create(&(struct brood_pool_opts){ .workers = 3 });
	char items[TASKS] = { 0 }, results[TASKS];
	int result;

	if (!pool)
		return 1;
	result = brood_pool_map(pool, pause_a_little, items, TASKS, 1, results, 1, NULL);
	if (result == 0)
		result = brood_pool_close(pool);
	if (result == 0)
		result = brood_pool_join(pool, brood_ms(20000));
	return brood_pool_destroy(pool) || result;
}

int main(void)
{
	for (int i = 0; i < ROUNDS; i++)
		if (round_trip()) {
			printf("round %d: the pool does not end\n", i);
			return 1;
		}
	return 0;
}
