/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A waiter died asleep on a lock and left its bit there; another member got its id and sleeps on
 * another lock. The first lock's release found that bit, woke the other member in vain, and took
 * it for the wake-up that it had to give: who slept on the lock went on only when it looked by itself,
 * up to 100 ms later.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

#define LATE_NS 40000000
#define ROUNDS 6		/* in every other one the bit was met first ... */
#define LATE 3			/* ... so this many were late; a busy machine may be, once or twice */

struct shared {
	struct brood_lock lock, other;
	int64_t acquired;
};

/* A child that waits for the lock, once it sleeps. */
static pid_t waiter(struct shared *shared, struct brood_lock *lock, int64_t timeout)
{
	char path[64], state = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int result = brood_lock_acquire(lock, timeout);

		if (lock == &shared->lock)
			shared->acquired = brood_now();
		if (result == 0)
			brood_lock_release(lock);
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	while (state != 'S' && state != 'Z') {
		FILE *file = fopen(path, "r");

		if (!file || fscanf(file, "%*d %*s %c", &state) != 1)
			abort();
		fclose(file);
	}
	return pid;
}

/* From the release to the sleeper's acquire. */
static int64_t wake(struct shared *shared)
{
	pid_t dead, sweeper, heir, sleeper;
	int64_t released;

	brood_lock_init(&shared->lock, NULL);
	brood_lock_init(&shared->other, NULL);
	brood_lock_acquire(&shared->lock, 0);
	brood_lock_acquire(&shared->other, 0);
	dead = waiter(shared, &shared->lock, BROOD_FOREVER);
	kill(dead, SIGKILL);
	waitpid(dead, NULL, 0);
	sweeper = waiter(shared, &shared->other, brood_ms(5));
	waitpid(sweeper, NULL, 0);
	heir = waiter(shared, &shared->other, BROOD_FOREVER);
	sleeper = waiter(shared, &shared->lock, BROOD_FOREVER);
	released = brood_now();
	brood_lock_release(&shared->lock);
	waitpid(sleeper, NULL, 0);
	brood_lock_release(&shared->other);
	waitpid(heir, NULL, 0);
	return shared->acquired - released;
}

int main(void)
{
	struct shared *shared = brood_alloc(NULL, sizeof(*shared));
	int late = 0;

	if (!shared)
		return 99;
	for (int i = 0; i < ROUNDS; i++)
		late += wake(shared) > LATE_NS;
	printf("%d of %d sleepers went on late\n", late, ROUNDS);
	return late >= LATE || brood_free(NULL, shared);
}
