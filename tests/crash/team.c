/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include "team.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANG_SECONDS 30	/* a call takes microseconds; a busy machine may take seconds */

struct box {
	_Atomic uint32_t ordered;	/* 1 while an order is open */
	struct order order;
	struct answer answer;
};

const char who_letter[EVERYBODY] = { 'P', 'A', 'B', 'L', 'E' };

static struct box *boxes;
static pid_t pids[EVERYBODY];

static long sleep_while(_Atomic uint32_t *word, uint32_t value, const struct timespec *limit)
{
	return syscall(SYS_futex, word, FUTEX_WAIT, value, limit, NULL, 0);
}

static void wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static bool wrong(struct answer *answer, const char *what, long number)
{
	snprintf(answer->text, sizeof answer->text, "%s: %ld", what, number);
	answer->result = -1;
	return false;
}

static void meet(const struct order *o, struct answer *answer)
{
	unsigned char bytes[MESSAGE_MAX];
	size_t length = message_make(bytes, o->name);
	ssize_t n = brood_queue_put(o->queue, bytes, length, 0);

	if (n == 0)
		n = brood_queue_get(o->queue, bytes, sizeof bytes, 0);
	if (n >= 0 && o->tasks)
		n = brood_queue_task_done(o->queue);
	if (n >= 0)
		n = brood_queue_count(o->queue);
	answer->result = 0;
	if (n != 0)
		wrong(answer, "first use of an empty queue", n);
}

static void get(const struct order *o, struct answer *answer)
{
	unsigned char bytes[MESSAGE_MAX];
	int done = 0;

	answer->flags = 0;
	answer->result = brood_queue_get_flags(o->queue, bytes, sizeof bytes, &answer->flags, 0);
	if (answer->result < 0)
		return;
	answer->name = message_name(bytes, (size_t)answer->result);
	if (o->tasks)
		done = brood_queue_task_done(o->queue);
	if (done)
		answer->result = done;
}

/* Churned messages are eight bytes, a number that goes up. */
static bool fill(struct brood_queue *queue, ssize_t n, uint64_t *next, struct answer *answer)
{
	int result;

	for (ssize_t i = 0; i < n; i++, ++*next) {
		result = brood_queue_put(queue, next, sizeof *next, 0);
		if (result)
			return wrong(answer, "put into a queue that is not full", result);
	}
	result = brood_queue_put(queue, next, sizeof *next, 0);
	if (result != -EAGAIN)
		return wrong(answer, "put into a full queue", result);
	return true;
}

static bool drain(struct brood_queue *queue, ssize_t n, uint64_t first, struct answer *answer)
{
	uint64_t number;
	uint32_t flags;
	ssize_t result;

	for (ssize_t i = 0; i < n; i++, first++) {
		result = brood_queue_get_flags(queue, &number, sizeof number, &flags, 0);
		if (result < 0)
			return wrong(answer, "get from a queue that is not empty", result);
		if (result != sizeof number || number != first || flags)
			return wrong(answer, "get gave another message", (long)number);
	}
	result = brood_queue_get(queue, &number, sizeof number, 0);
	if (result != -EAGAIN)
		return wrong(answer, "get from an empty queue", result);
	return true;
}

static void churn(const struct order *o, struct answer *answer)
{
	ssize_t capacity = brood_queue_capacity(o->queue);
	uint64_t next = 1;

	answer->result = 0;
	for (unsigned i = 0; i < o->rounds; i++) {
		if (!fill(o->queue, capacity, &next, answer) ||
		    !drain(o->queue, capacity, next - (uint64_t)capacity, answer))
			return;
	}
}

static struct brood_message reserved[RESERVATIONS_MAX];
static unsigned reservations;

static ssize_t reserve(struct brood_queue *queue)
{
	int result = 0;

	reservations = 0;
	while (reservations < RESERVATIONS_MAX && !result) {
		result = brood_queue_reserve(queue, &reserved[reservations]);
		reservations += !result;
	}
	return result == -ENOBUFS ? (ssize_t)reservations : result;
}

static ssize_t abort_all(struct brood_queue *queue)
{
	int result = 0;

	for (unsigned i = 0; i < reservations && !result; i++)
		result = brood_queue_abort(queue, &reserved[i]);
	return result;
}

static void do_order(const struct order *o, struct answer *answer)
{
	unsigned char bytes[MESSAGE_MAX];

	switch (o->kind) {
	case ORDER_MEET:
		meet(o, answer);
		break;
	case ORDER_PUT:
		answer->result = brood_queue_put(o->queue, bytes, message_make(bytes, o->name), 0);
		break;
	case ORDER_GET:
		get(o, answer);
		break;
	case ORDER_LEASE:
		answer->result = brood_queue_lease(o->queue, &reserved[0], 0);
		break;
	case ORDER_COUNT:
		answer->result = brood_queue_count(o->queue);
		break;
	case ORDER_RESERVE:
		answer->result = reserve(o->queue);
		break;
	case ORDER_ABORT:
		answer->result = abort_all(o->queue);
		break;
	case ORDER_CHURN:
		churn(o, answer);
		break;
	case ORDER_LEAVE:
		_exit(0);
	}
}

static _Noreturn void help(struct box *box)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		while (!atomic_load(&box->ordered))
			sleep_while(&box->ordered, 0, NULL);
		do_order(&box->order, &box->answer);
		atomic_store(&box->ordered, 0);
		wake(&box->ordered);
	}
}

static bool hire(enum who who)
{
	atomic_store(&boxes[who].ordered, 0);
	pids[who] = fork();
	if (pids[who] == 0)
		help(&boxes[who]);
	return pids[who] > 0;
}

void team_kill(enum who who)
{
	if (pids[who] <= 0)
		return;
	kill(pids[who], SIGKILL);
	waitpid(pids[who], NULL, 0);
	pids[who] = 0;
}

bool team_start(struct brood_queue *known)
{
	struct order order = { .kind = ORDER_COUNT, .queue = known };
	struct answer answer;

	if (!boxes)
		boxes = mmap(NULL, sizeof *boxes * EVERYBODY, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return boxes != MAP_FAILED && hire(ADA) && hire(BOB) && team_do(EVE, &order, &answer) &&
	       answer.result == 0;
}

void team_end(void)
{
	for (enum who who = ADA; who < EVERYBODY; who++)
		team_kill(who);
}

bool team_do(enum who who, const struct order *order, struct answer *answer)
{
	struct box *box = &boxes[who];
	const struct timespec limit = { .tv_sec = HANG_SECONDS };

	answer->text[0] = '\0';
	if (who == PARENT) {
		do_order(order, answer);
		return true;
	}
	if (!pids[who] && !hire(who))
		return false;
	box->order = *order;
	box->answer.text[0] = '\0';
	atomic_store(&box->ordered, 1);
	wake(&box->ordered);
	while (atomic_load(&box->ordered))
		if (sleep_while(&box->ordered, 1, &limit) && errno == ETIMEDOUT)
			return false;
	*answer = box->answer;
	return true;
}

bool team_dismiss_late(struct brood_queue *queue)
{
	struct order order = { .kind = ORDER_COUNT, .queue = queue };
	struct answer answer;
	int status = 1;

	if (!pids[LATE])
		return true;
	if (!team_do(LATE, &order, &answer))
		return false;
	boxes[LATE].order.kind = ORDER_LEAVE;
	atomic_store(&boxes[LATE].ordered, 1);
	wake(&boxes[LATE].ordered);
	while (waitpid(pids[LATE], &status, 0) < 0 && errno == EINTR)
		;
	pids[LATE] = 0;
	return answer.result >= 0 && status == 0;
}

static const char *(*watched)(void);

static void hung(int signal)
{
	const char *where = watched();
	ssize_t n = write(1, "hang in the parent: ", 20);

	(void)signal;
	n += write(1, where, strlen(where));
	n += write(1, "\n", 1);
	team_end();
	_exit(n < 0 ? 2 : 1);
}

void watch_start(unsigned seconds, const char *(*where)(void))
{
	watched = where;
	signal(SIGALRM, hung);
	alarm(seconds);
}
