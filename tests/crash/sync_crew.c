/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _GNU_SOURCE
#include "sync_crew.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stepper.h"

enum phase {
	IDLE,		/* nothing is open, or the result is there */
	TOLD,		/* not begun */
	WATCHING,	/* for somebody to sleep */
	ACTING,		/* in the call */
};

struct box {
	_Atomic uint32_t phase;
	ssize_t (*act)(void *object);
	void *object;
	pid_t after;		/* 0 = at once */
	_Atomic bool go;	/* do not watch any longer */
	ssize_t result;
};

const char *const crew_name[CREW] = { "Ada", "Bob", "Cid", "Dan", "Eve", "Late" };

static struct box *boxes;
static pid_t pids[CREW];

static const struct timespec moment = { .tv_nsec = 50000 };

static long sleep_while(_Atomic uint32_t *word, uint32_t value, const struct timespec *limit)
{
	return syscall(SYS_futex, word, FUTEX_WAIT, value, limit, NULL, 0);
}

static void set_phase(struct box *box, enum phase phase)
{
	atomic_store(&box->phase, phase);
	syscall(SYS_futex, &box->phase, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Seen twice, since who goes to sleep may be woken at once by what happened before. */
static void watch(struct box *box)
{
	atomic_store(&box->phase, WATCHING);
	for (unsigned seen = 0; seen < 2 && !atomic_load(&box->go);) {
		seen = stepper_is_asleep(box->after) ? seen + 1 : 0;
		nanosleep(&moment, NULL);
	}
}

static _Noreturn void help(struct box *box)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		while (atomic_load(&box->phase) != TOLD)
			sleep_while(&box->phase, IDLE, NULL);
		if (box->after)
			watch(box);
		atomic_store(&box->phase, ACTING);
		box->result = box->act(box->object);
		set_phase(box, IDLE);
	}
}

static bool hire(enum crew who)
{
	atomic_store(&boxes[who].phase, IDLE);
	pids[who] = fork();
	if (pids[who] == 0)
		help(&boxes[who]);
	return pids[who] > 0;
}

void crew_kill(enum crew who)
{
	if (pids[who] <= 0)
		return;
	kill(pids[who], SIGKILL);
	while (waitpid(pids[who], NULL, 0) < 0 && errno == EINTR)
		;
	pids[who] = 0;
	atomic_store(&boxes[who].phase, IDLE);
}

bool crew_complete(ssize_t (*greet)(void *), void *object)
{
	ssize_t result;

	if (!boxes)
		boxes = mmap(NULL, sizeof *boxes * CREW, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (boxes == MAP_FAILED)
		return false;
	for (enum crew who = ADA; who < LATE; who++)
		if (!pids[who] && (!crew_tell(who, greet, object) ||
				   !crew_answer(who, &result) || result < 0))
			return false;
	return true;
}

void crew_end(void)
{
	for (enum crew who = ADA; who < CREW; who++)
		crew_kill(who);
}

bool crew_tell_after(enum crew who, ssize_t (*act)(void *), void *object, pid_t pid)
{
	struct box *box = &boxes[who];

	if (!pids[who] && !hire(who))
		return false;
	if (atomic_load(&box->phase) != IDLE)
		return false;
	box->act = act;
	box->object = object;
	box->after = pid;
	atomic_store(&box->go, false);
	set_phase(box, TOLD);
	return true;
}

bool crew_tell(enum crew who, ssize_t (*act)(void *), void *object)
{
	return crew_tell_after(who, act, object, 0);
}

void crew_go(void)
{
	for (enum crew who = ADA; who < CREW; who++)
		atomic_store(&boxes[who].go, true);
}

bool crew_busy(enum crew who)
{
	return atomic_load(&boxes[who].phase) != IDLE;
}

static bool settled(enum crew who)
{
	enum phase phase = (enum phase)atomic_load(&boxes[who].phase);

	return phase == IDLE || phase == WATCHING ||
	       (phase == ACTING && stepper_is_asleep(pids[who]));
}

/* Who was found asleep may have been woken by one who was looked at later: so all, twice. */
bool crew_settle(void)
{
	unsigned patience = HANG_SECONDS * 1000000u / 50;

	for (unsigned n = 0; n < 2 * CREW; n++) {
		if (settled((enum crew)(n % CREW)))
			continue;
		if (!patience--)
			return false;
		nanosleep(&moment, NULL);
		n = (unsigned)-1;
	}
	return true;
}

bool crew_answer(enum crew who, ssize_t *result)
{
	struct box *box = &boxes[who];
	const struct timespec limit = { .tv_sec = HANG_SECONDS };
	uint32_t phase;

	while ((phase = atomic_load(&box->phase)) != IDLE)
		if (sleep_while(&box->phase, phase, &limit) && errno == ETIMEDOUT)
			return false;
	*result = box->result;
	return true;
}
