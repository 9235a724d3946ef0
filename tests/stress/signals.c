/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waits with a time limit while handled signals arrive every 100 us: none ends early, and none late
 * by more than 5 ms. A machine that has other work to do makes every sleeper late: so one wait in
 * four is the kernel's own, clock_nanosleep, and ours may be late as often as that. Argument: how
 * many waits (100000).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include <brood.h>

#define WAIT_US 150
#define LATE_NS 5000000

static volatile sig_atomic_t signals;

static void count(int number)
{
	(void)number;
	signals++;
}

static int sleep_until(int64_t end)
{
	struct timespec at = { .tv_sec = end / 1000000000, .tv_nsec = end % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
	return -ETIMEDOUT;
}

enum { OWN = 3, KINDS };	/* the last kind is the kernel's */

/* Each waits for what never comes. */
static int wait_once(long n, struct brood_lock *lock, struct brood_semaphore *semaphore,
		     struct brood_event *event)
{
	switch (n % KINDS) {
	case 0:
		return brood_lock_acquire(lock, brood_us(WAIT_US));
	case 1:
		return brood_semaphore_acquire(semaphore, brood_us(WAIT_US));
	case 2:
		return brood_event_wait(event, brood_us(WAIT_US));
	default:
		return sleep_until(brood_now() + WAIT_US * 1000);
	}
}

int main(int argc, char **argv)
{
	long waits = argc > 1 ? atol(argv[1]) : 100000, early = 0, wrong = 0;
	long late[2] = { 0, 0 };
	struct sigaction action = { .sa_handler = count };
	struct itimerval every = { { 0, 100 }, { 0, 100 } }, never = { { 0, 0 }, { 0, 0 } };
	struct brood_lock *lock = brood_lock_create(NULL);
	struct brood_semaphore *semaphore = brood_semaphore_create(0, NULL);
	struct brood_event *event = brood_event_create(NULL);
	int64_t latest[2] = { 0, 0 };

	if (!lock || !semaphore || !event || brood_lock_acquire(lock, 0)) {
		perror("signals");
		return 99;
	}
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (long n = 0; n < waits; n++) {
		int64_t begin = brood_now(), over;
		int own = n % KINDS == OWN;

		wrong += wait_once(n, lock, semaphore, event) != -ETIMEDOUT;
		over = brood_now() - begin - WAIT_US * 1000;
		early += over < 0;
		late[own] += over > LATE_NS;
		latest[own] = over > latest[own] ? over : latest[own];
	}
	setitimer(ITIMER_REAL, &never, NULL);
	printf("%ld waits, %ld signals: %ld ended early, %ld late, %ld otherwise\n", waits,
	       (long)signals, early, late[0], wrong);
	printf("latest %.3f ms; of the kernel's own %ld were late, the latest %.3f ms\n",
	       (double)latest[0] / 1e6, late[1], (double)latest[1] / 1e6);
	return early || wrong || signals < waits / 2 || late[0] > 2 * OWN * late[1] + OWN;
}
