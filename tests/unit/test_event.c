/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* event: what Python promises of Event, and more: of clear, of signal handlers, of deaths. */
#include <pthread.h>
#include <sched.h>
#include <sys/time.h>

#include <brood/event.h>

#include "support.h"

enum { SLEEPERS = 3, LINES = 24 };

/* In shared memory of the family: what the children of a test use. */
struct scene {
	struct brood_event event;
	struct brood_event answer;
	struct brood_contention counts;
	atomic_int begun;
	atomic_int thread;
	atomic_int released;
	atomic_int word;
	atomic_int over;
	struct {
		_Alignas(64) atomic_int done;
	} work[LINES];
};

static struct scene *new_scene(void)
{
	struct scene *scene = brood_alloc(NULL, sizeof(*scene));

	ck_assert_ptr_nonnull(scene);
	return scene;
}

static int wait_for_it(void *arg)
{
	struct scene *scene = arg;

	atomic_store(&scene->thread, (int)gettid());
	atomic_fetch_add(&scene->begun, 1);
	must(brood_event_wait(&scene->event, BROOD_FOREVER) == 0);
	atomic_fetch_add(&scene->released, 1);
	return 0;
}

/* A child that sleeps in the call. */
static pid_t sleeper(struct scene *scene, int (*function)(void *))
{
	int before = atomic_load(&scene->begun);
	pid_t pid = start(function, scene);

	while (atomic_load(&scene->begun) == before)
		sched_yield();
	ck_assert(until_asleep(atomic_load(&scene->thread)));
	return pid;
}

static void sleepers(struct scene *scene, pid_t pids[SLEEPERS])
{
	for (int i = 0; i < SLEEPERS; i++)
		pids[i] = sleeper(scene, wait_for_it);
}

/* All of them; whether before any of them could have looked by itself. */
static bool all_released(struct scene *scene, const pid_t pids[SLEEPERS], int64_t since)
{
	for (int i = 0; i < SLEEPERS; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(atomic_load(&scene->released), SLEEPERS);
	return brood_now() - since < 90 * MS;
}

/* A busy machine may be late; who was not woken is late each time. */
static void promptly(bool (*scenario)(int), int how)
{
	for (int tries = 0; tries < 5; tries++)
		if (scenario(how))
			return;
	ck_abort_msg("nobody was woken, they looked by themselves");
}

static bool any_waiter_is_noted(const struct brood_event *event)
{
	uint32_t bits = 0;

	for (int i = 0; i < 8; i++)
		bits |= __atomic_load_n(&event->waiters[i], __ATOMIC_SEQ_CST);
	return bits != 0;
}

/* ---- Event ---- */

START_TEST(event_wait_when_set_and_on_timeout)
{
	struct brood_event *event = &new_scene()->event;
	int64_t begin;

	ck_assert_int_eq(brood_event_is_set(event), 0);
	ck_assert_int_eq(brood_event_wait(event, 0), -EAGAIN);
	ck_assert_int_eq(brood_event_wait(event, -5), -EAGAIN);
	begin = brood_now();
	ck_assert_int_eq(brood_event_wait(event, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	ck_assert_int_eq(brood_event_wait(event, brood_until(begin)), -ETIMEDOUT);
	ck_assert_int_eq(brood_event_is_set(event), 0);
	ck_assert_int_eq(brood_event_set(event), 0);
	ck_assert_int_eq(brood_event_is_set(event), 1);
	ck_assert_int_eq(brood_event_wait(event, 0), 0);
	ck_assert_int_eq(brood_event_wait(event, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_event_wait(event, brood_until(begin)), 0);
}
END_TEST

static bool set_or_set_and_clear(int clear)
{
	struct scene *scene = new_scene();
	pid_t pids[SLEEPERS];
	int64_t begin;

	sleepers(scene, pids);
	begin = brood_now();
	ck_assert_int_eq(brood_event_set(&scene->event), 0);
	if (clear)
		ck_assert_int_eq(brood_event_clear(&scene->event), 0);
	ck_assert_int_eq(brood_event_is_set(&scene->event), !clear);
	return all_released(scene, pids, begin);
}

START_TEST(event_set_during_the_wait_wakes_all)
{
	promptly(set_or_set_and_clear, 0);
}
END_TEST

START_TEST(event_clear_at_once_after_set_releases_every_waiter)
{
	for (int i = 0; i < 10; i++)
		promptly(set_or_set_and_clear, 1);
}
END_TEST

START_TEST(later_waits_return_at_once)
{
	struct scene *scene = new_scene();

	ck_assert_int_eq(brood_event_set(&scene->event), 0);
	ck_assert_int_eq(run(wait_for_it, scene), 0);
	ck_assert_int_eq(run(wait_for_it, scene), 0);
}
END_TEST

START_TEST(event_set_twice_is_fine)
{
	struct brood_event *event = &new_scene()->event;

	ck_assert_int_eq(brood_event_set(event), 0);
	ck_assert_int_eq(brood_event_set(event), 0);
	ck_assert_int_eq(brood_event_is_set(event), 1);
	ck_assert_int_eq(brood_event_clear(event), 0);
	ck_assert_int_eq(brood_event_is_set(event), 0);
}
END_TEST

START_TEST(event_clear_makes_waits_block_again)
{
	struct brood_event *event = &new_scene()->event;

	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(brood_event_clear(event), 0);
		ck_assert_int_eq(brood_event_clear(event), 0);
		ck_assert_int_eq(brood_event_is_set(event), 0);
		ck_assert_int_eq(brood_event_wait(event, 0), -EAGAIN);
		ck_assert_int_eq(brood_event_set(event), 0);
		ck_assert_int_eq(brood_event_wait(event, 0), 0);
	}
	ck_assert_int_eq(brood_event_clear(event), 0);
	ck_assert_int_eq(brood_event_wait(event, brood_ms(5)), -ETIMEDOUT);
}
END_TEST

static int set_it(void *arg)
{
	struct scene *scene = arg;

	return -brood_event_set(&scene->event);
}

static int clear_it(void *arg)
{
	struct scene *scene = arg;

	return -brood_event_clear(&scene->event);
}

START_TEST(event_is_anybodys)
{
	struct scene *scene = new_scene();

	ck_assert_int_eq(run(set_it, scene), 0);
	ck_assert_int_eq(brood_event_wait(&scene->event, 0), 0);
	ck_assert_int_eq(run(clear_it, scene), 0);
	ck_assert_int_eq(brood_event_wait(&scene->event, 0), -EAGAIN);
}
END_TEST

/* ---- at the same time ---- */

enum { ROUNDS = 20000 };

/* A busy machine gets through fewer rounds. */
static bool another_round(int i, int most, int64_t since)
{
	return i < most && brood_now() - since < 1000 * MS;
}

static int answer_all(void *arg)
{
	struct scene *scene = arg;

	for (int i = 0;; i++) {
		must(brood_event_wait(&scene->event, BROOD_FOREVER) == 0);
		must(brood_event_clear(&scene->event) == 0);
		if (atomic_load(&scene->over))
			return 0;
		must(atomic_load_explicit(&scene->word, memory_order_relaxed) == i);
		must(brood_event_set(&scene->answer) == 0);
	}
}

START_TEST(back_and_forth)
{
	struct scene *scene = new_scene();
	pid_t pid = start(answer_all, scene);
	int64_t begin = brood_now();

	for (int i = 0; another_round(i, ROUNDS, begin); i++) {
		atomic_store_explicit(&scene->word, i, memory_order_relaxed);
		ck_assert_int_eq(brood_event_set(&scene->event), 0);
		ck_assert_int_eq(brood_event_wait(&scene->answer, BROOD_FOREVER), 0);
		ck_assert_int_eq(brood_event_clear(&scene->answer), 0);
	}
	atomic_store(&scene->over, 1);
	ck_assert_int_eq(brood_event_set(&scene->event), 0);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

static void until_round(atomic_int *what, int round)
{
	for (int i = 1; atomic_load_explicit(what, memory_order_acquire) < round; i++)
		if (i % 100 == 0)
			sched_yield();
}

static void end_rounds(struct scene *scene)
{
	atomic_store(&scene->over, 1);
	atomic_store(&scene->begun, INT32_MAX);
}

static int work_and_set(void *arg)
{
	struct scene *scene = arg;

	for (int i = 1;; i++) {
		until_round(&scene->begun, i);
		if (atomic_load(&scene->over))
			return 0;
		must(brood_event_is_set(&scene->event) >= 0);	/* so that its line is here */
		for (int k = LINES; k-- > 0;)
			atomic_store_explicit(&scene->work[k].done, i, memory_order_relaxed);
		must(brood_event_set(&scene->event) == 0);
		atomic_store_explicit(&scene->released, i, memory_order_release);
	}
}

/*
 * The event is set already when work comes and, at the same time, the consumer clears it. A set
 * that does no more than find it set fails here now and then: many stores to lines that the
 * consumer has take their time, and the delay follows the outcome, so that neither side comes
 * first too often.
 */
START_TEST(who_clears_and_finds_no_work_finds_it_set_again)
{
	struct scene *scene = new_scene();
	pid_t pid = start(work_and_set, scene);
	int64_t begin = brood_now();
	int delay = 100, found, set;

	for (int i = 1; another_round(i, 3 * ROUNDS, begin); i++) {
		ck_assert_int_eq(brood_event_set(&scene->event), 0);
		atomic_store_explicit(&scene->begun, i, memory_order_release);
		for (int k = 0; k < delay; k++)
			atomic_load_explicit(&scene->word, memory_order_relaxed);
		ck_assert_int_eq(brood_event_clear(&scene->event), 0);
		found = atomic_load_explicit(&scene->work[0].done, memory_order_relaxed);
		until_round(&scene->released, i);
		set = brood_event_is_set(&scene->event);
		ck_assert(found == i || set == 1);
		delay += set ? 1 : -(delay > 0);
		for (int k = 0; k < LINES; k++)
			ck_assert_int_eq(scene->work[k].done, i);
	}
	end_rounds(scene);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

static int clear_each_round(void *arg)
{
	struct scene *scene = arg;

	for (int i = 1;; i++) {
		until_round(&scene->begun, i);
		if (atomic_load(&scene->over))
			return 0;
		must(brood_event_clear(&scene->event) == 0);
		atomic_store_explicit(&scene->released, i, memory_order_release);
	}
}

START_TEST(two_clears_at_once)
{
	struct scene *scene = new_scene();
	pid_t pid = start(clear_each_round, scene);
	int64_t begin = brood_now();

	for (int i = 1; another_round(i, ROUNDS, begin); i++) {
		ck_assert_int_eq(brood_event_set(&scene->event), 0);
		atomic_store_explicit(&scene->begun, i, memory_order_release);
		for (int k = 0; k < i % 500; k++)
			atomic_load_explicit(&scene->word, memory_order_relaxed);
		ck_assert_int_eq(brood_event_clear(&scene->event), 0);
		until_round(&scene->released, i);
		ck_assert_int_eq(brood_event_is_set(&scene->event), 0);
	}
	end_rounds(scene);
	ck_assert_int_eq(end_of(pid), 0);
}
END_TEST

static int set_and_clear(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&scene->over)) {
		must(brood_event_set(&scene->event) == 0);
		must(brood_event_clear(&scene->event) == 0);
	}
	return 0;
}

static int wait_often(void *arg)
{
	struct scene *scene = arg;
	int64_t begin = brood_now();

	for (int i = 0; another_round(i, ROUNDS, begin); i++)
		must(brood_event_wait(&scene->event, BROOD_FOREVER) == 0);
	atomic_fetch_add(&scene->released, 1);
	return 0;
}

START_TEST(many_set_and_clear_while_others_wait)
{
	struct scene *scene = new_scene();
	pid_t waiters[] = { start(wait_often, scene), start(wait_often, scene) };
	pid_t setters[] = { start(set_and_clear, scene), start(set_and_clear, scene) };

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(waiters[i]), 0);
	atomic_store(&scene->over, 1);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(setters[i]), 0);
	ck_assert_int_eq(brood_event_is_set(&scene->event), 0);
}
END_TEST

static void *wait_in_a_thread(void *arg)
{
	struct scene *scene = arg;

	atomic_store(&scene->thread, (int)gettid());
	atomic_store(&scene->word, brood_event_wait(&scene->event, BROOD_FOREVER));
	return NULL;
}

START_TEST(threads_wait_too)
{
	struct scene *scene = new_scene();
	pthread_t thread;

	atomic_store(&scene->word, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_in_a_thread, scene), 0);
	while (!atomic_load(&scene->thread))
		sched_yield();
	ck_assert_int_eq(brood_event_set(&scene->event), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(atomic_load(&scene->word), 0);
}
END_TEST

/* ---- signals ---- */

static struct scene *of_handlers;

static void set_in_a_handler(int signal)
{
	(void)signal;
	brood_event_set(&of_handlers->event);
}

static void set_and_clear_in_a_handler(int signal)
{
	(void)signal;
	brood_event_set(&of_handlers->event);
	brood_event_clear(&of_handlers->event);
}

static void clear_and_set_in_a_handler(int signal)
{
	(void)signal;
	brood_event_clear(&of_handlers->event);
	brood_event_set(&of_handlers->event);
}

static void count_in_a_handler(int signal)
{
	(void)signal;
	atomic_fetch_add(&of_handlers->word, 1);
}

static void handle(int signal, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	ck_assert_int_eq(sigaction(signal, &action, NULL), 0);
}

static void tick(long microseconds)
{
	struct itimerval every = { { 0, microseconds }, { 0, microseconds } };

	ck_assert_int_eq(setitimer(ITIMER_REAL, &every, NULL), 0);
}

START_TEST(signals_do_not_end_a_wait)
{
	struct scene *scene = of_handlers = new_scene();
	int64_t begin = brood_now();

	handle(SIGALRM, count_in_a_handler);
	tick(1000);
	ck_assert_int_eq(brood_event_wait(&scene->event, brood_ms(100)), -ETIMEDOUT);
	tick(0);
	ck_assert_int_ge(brood_now() - begin, 100 * MS);
	ck_assert_int_gt(atomic_load(&scene->word), 10);
	handle(SIGALRM, SIG_DFL);
}
END_TEST

/* The handler interrupts the wait of its own thread, which nobody else would end. */
START_TEST(set_in_a_signal_handler)
{
	static void (*const handlers[])(int) = { set_in_a_handler, set_and_clear_in_a_handler };
	struct scene *scene = of_handlers = new_scene();
	pid_t pid;

	handle(SIGUSR1, handlers[_i]);
	pid = sleeper(scene, wait_for_it);
	ck_assert_int_eq(kill(pid, SIGUSR1), 0);
	ck_assert_int_eq(end_of(pid), 0);
	ck_assert_int_eq(brood_event_is_set(&scene->event), _i == 0);
	handle(SIGUSR1, SIG_DFL);
}
END_TEST

/* Handlers change the event in the midst of the same thread's calls, while another waits. */
START_TEST(handlers_interrupt_calls_of_their_thread)
{
	struct scene *scene = of_handlers = new_scene();
	pid_t pid = start(wait_often, scene);

	handle(SIGALRM, _i ? clear_and_set_in_a_handler : set_and_clear_in_a_handler);
	tick(100);
	for (int i = 0; i < ROUNDS || !atomic_load(&scene->released); i++) {
		ck_assert_int_eq(brood_event_set(&scene->event), 0);
		ck_assert_int_eq(brood_event_clear(&scene->event), 0);
	}
	tick(0);
	ck_assert_int_eq(end_of(pid), 0);
	ck_assert_int_eq(brood_event_clear(&scene->event), 0);
	ck_assert_int_eq(brood_event_is_set(&scene->event), 0);
	handle(SIGALRM, SIG_DFL);
}
END_TEST

/* ---- deaths ---- */

/*
 * As set, up to its change of the word; then, or after a clear, this member dies. It has been one
 * since before the others fell asleep, so they watch it.
 */
static int die_before_waking(void *arg)
{
	struct scene *scene = arg;

	must(brood_event_is_set(&scene->event) == 0);
	atomic_fetch_add(&scene->begun, 1);
	while (!atomic_load(&scene->word))
		usleep(100);
	__atomic_fetch_or(&scene->event.word, 1, __ATOMIC_SEQ_CST);
	if (atomic_load(&scene->word) == 2)
		__atomic_fetch_add(&scene->event.word, 1, __ATOMIC_SEQ_CST);
	raise(SIGKILL);
	return 1;
}

static bool setter_dies(int how)
{
	struct scene *scene = new_scene();
	pid_t pids[SLEEPERS], setter = start(die_before_waking, scene);
	int64_t begin;

	while (!atomic_load(&scene->begun))
		sched_yield();
	sleepers(scene, pids);
	begin = brood_now();
	atomic_store(&scene->word, how);
	ck_assert_int_eq(end_of(setter), -SIGKILL);
	ck_assert_int_eq(brood_event_is_set(&scene->event), how == 1);
	return all_released(scene, pids, begin);
}

START_TEST(setter_dies_before_it_wakes)
{
	promptly(setter_dies, _i);
}
END_TEST

START_TEST(waiter_may_die)
{
	struct scene *scene = new_scene();
	pid_t pids[SLEEPERS + 1];
	int64_t begin;

	sleepers(scene, pids);
	pids[SLEEPERS] = sleeper(scene, wait_for_it);
	kill_child(pids[SLEEPERS]);
	begin = brood_now();
	ck_assert_int_eq(brood_event_set(&scene->event), 0);
	all_released(scene, pids, begin);
	/* What it left is gone: the next set has nothing to do. */
	ck_assert(!any_waiter_is_noted(&scene->event));
	ck_assert_int_eq(brood_event_clear(&scene->event), 0);
	ck_assert_int_eq(brood_event_wait(&scene->event, brood_ms(1)), -ETIMEDOUT);
}
END_TEST

static int set_and_clear_until_killed(void *arg)
{
	struct scene *scene = arg;

	for (;;) {
		must(brood_event_set(&scene->event) == 0);
		atomic_store(&scene->begun, 1);
		must(brood_event_clear(&scene->event) == 0);
	}
	return 1;
}

static int wait_until_killed(void *arg)
{
	struct scene *scene = arg;

	for (;;)
		must(brood_event_wait(&scene->event, BROOD_FOREVER) == 0);
	return 1;
}

/* Killed anywhere in their calls: who is left has an event that works. */
START_TEST(killed_in_the_midst)
{
	struct scene *scene = new_scene();

	for (int i = 0; i < 50; i++) {
		pid_t waiter = start(wait_until_killed, scene), setter, last;

		atomic_store(&scene->begun, 0);
		setter = start(set_and_clear_until_killed, scene);
		while (!atomic_load(&scene->begun))
			sched_yield();
		usleep((useconds_t)(i * 14));
		kill_child(i % 2 ? setter : waiter);
		kill_child(i % 2 ? waiter : setter);
		ck_assert_int_eq(brood_event_clear(&scene->event), 0);
		ck_assert_int_eq(brood_event_is_set(&scene->event), 0);
		last = start(wait_for_it, scene);
		while (atomic_load(&scene->released) == i) {
			ck_assert_int_eq(brood_event_set(&scene->event), 0);
			ck_assert_int_eq(brood_event_clear(&scene->event), 0);
			sched_yield();
		}
		ck_assert_int_eq(end_of(last), 0);
	}
}
END_TEST

/* ---- contention ---- */

static void counted(struct scene *scene, uint64_t acquisitions, uint64_t waits)
{
	ck_assert_uint_eq(scene->counts.acquisitions, acquisitions);
	ck_assert_uint_eq(scene->counts.waits, waits);
	ck_assert_uint_eq(scene->counts.owner_deaths, 0);
	ck_assert_int_eq(scene->counts.longest_wait > 0, waits > 0);
}

START_TEST(contention_of_waits)
{
	struct scene *scene = new_scene();
	struct brood_event *event = &scene->event;
	pid_t pids[SLEEPERS];

	ck_assert_int_eq(brood_event_watch(event, &scene->counts), 0);
	ck_assert_int_eq(brood_event_wait(event, 0), -EAGAIN);
	ck_assert_int_eq(brood_event_wait(event, brood_us(1)), -ETIMEDOUT);
	ck_assert_int_eq(brood_event_is_set(event), 0);
	counted(scene, 0, 0);
	kill_child(sleeper(scene, wait_for_it));
	sleepers(scene, pids);
	counted(scene, 0, 0);
	ck_assert_int_eq(brood_event_set(event), 0);
	all_released(scene, pids, 0);
	counted(scene, SLEEPERS, SLEEPERS);
	ck_assert_int_eq(brood_event_wait(event, 0), 0);
	ck_assert_int_eq(brood_event_wait(event, BROOD_FOREVER), 0);
	counted(scene, SLEEPERS + 2, SLEEPERS);
	ck_assert_int_eq(brood_event_watch(event, NULL), 0);
	ck_assert_int_eq(brood_event_wait(event, 0), 0);
	ck_assert_int_eq(brood_event_watch(event, &scene->counts), 0);
	ck_assert_int_eq(brood_event_init(event), 0);
	ck_assert_int_eq(brood_event_set(event), 0);
	ck_assert_int_eq(brood_event_wait(event, 0), 0);
	counted(scene, SLEEPERS + 2, SLEEPERS);
}
END_TEST

/* ---- made, refused ---- */

START_TEST(bad_events_are_refused)
{
	struct scene *scene = new_scene();
	struct {
		struct brood_event_opts opts;
		uint64_t more;
	} newer = { .opts = { .opts_size = sizeof(newer) }, .more = 1 };
	struct brood_event own = { 0 };
	struct brood_event *bad[] = {
		NULL, (struct brood_event *)(void *)((char *)scene + 8), &own
	};
	static const int errors[] = { -EINVAL, -EINVAL, -EBADF };

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_event_init(bad[i]), errors[i]);
		ck_assert_int_eq(brood_event_set(bad[i]), errors[i]);
		ck_assert_int_eq(brood_event_clear(bad[i]), errors[i]);
		ck_assert_int_eq(brood_event_is_set(bad[i]), errors[i]);
		ck_assert_int_eq(brood_event_wait(bad[i], BROOD_FOREVER), errors[i]);
		ck_assert_int_eq(brood_event_destroy(bad[i]), -EINVAL);
	}
	ck_assert_uint_eq(own.word, 0);
	ck_assert_int_eq(brood_event_destroy(&scene->answer), -EINVAL);
	ck_assert_ptr_null(brood_event_create(&newer.opts));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(events_of_their_own)
{
	struct brood_event *event = brood_event_create(NULL);

	ck_assert_uint_eq(sizeof(*event), 64);
	ck_assert_int_eq(brood_event_wait(event, 0), -EAGAIN);
	ck_assert_int_eq(brood_event_set(event), 0);
	ck_assert_int_eq(brood_event_wait(event, 0), 0);
	ck_assert_int_eq(brood_event_init(event), 0);
	ck_assert_int_eq(brood_event_wait(event, 0), -EAGAIN);
	memset((void *)event, 0xff, sizeof(*event));
	ck_assert_int_eq(brood_event_init(event), 0);
	ck_assert_int_eq(brood_event_is_set(event), 0);
	ck_assert_int_eq(brood_event_destroy(event), 0);
	ck_assert_int_eq(brood_event_destroy(event), -EINVAL);
}
END_TEST

START_TEST(event_in_a_named_segment)
{
	const char *name = own_name("event");
	struct brood_segment *segment = brood_segment_create(name, NULL);
	struct scene *scene = new_scene();
	struct brood_event *event;

	ck_assert_ptr_nonnull(segment);
	event = brood_event_create(&(struct brood_event_opts){ .segment = segment });
	ck_assert_ptr_nonnull(event);
	for (int i = 0; i < 3; i++) {	/* between events of two segments */
		ck_assert_int_eq(brood_event_set(event), 0);
		ck_assert_int_eq(brood_event_wait(&scene->event, 0), -EAGAIN);
		ck_assert_int_eq(brood_event_set(&scene->event), 0);
		ck_assert_int_eq(brood_event_clear(event), 0);
		ck_assert_int_eq(brood_event_is_set(&scene->event), 1);
		ck_assert_int_eq(brood_event_clear(&scene->event), 0);
	}
	ck_assert_int_eq(brood_event_destroy(event), 0);
	ck_assert_int_eq(brood_segment_unlink(name), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_event_set(event), -EBADF);
}
END_TEST

int main(void)
{
	TCase *event = new_case("event", begin_test);
	TCase *together = new_case("together", begin_test);
	TCase *signals = new_case("signals", begin_test);
	TCase *death = new_case("death", begin_test);
	TCase *other = new_case("other", begin_test);

	tcase_add_test(event, event_wait_when_set_and_on_timeout);
	tcase_add_test(event, event_set_during_the_wait_wakes_all);
	tcase_add_test(event, event_set_twice_is_fine);
	tcase_add_test(event, event_clear_makes_waits_block_again);
	tcase_add_test(event, event_clear_at_once_after_set_releases_every_waiter);
	tcase_add_test(event, later_waits_return_at_once);
	tcase_add_test(event, event_is_anybodys);
	tcase_add_test(together, back_and_forth);
	tcase_add_test(together, who_clears_and_finds_no_work_finds_it_set_again);
	tcase_add_test(together, two_clears_at_once);
	tcase_add_test(together, many_set_and_clear_while_others_wait);
	tcase_add_test(together, threads_wait_too);
	tcase_add_test(signals, signals_do_not_end_a_wait);
	tcase_add_loop_test(signals, set_in_a_signal_handler, 0, 2);
	tcase_add_loop_test(signals, handlers_interrupt_calls_of_their_thread, 0, 2);
	tcase_add_loop_test(death, setter_dies_before_it_wakes, 1, 3);
	tcase_add_test(death, waiter_may_die);
	tcase_add_test(death, killed_in_the_midst);
	tcase_add_test(other, contention_of_waits);
	tcase_add_test(other, bad_events_are_refused);
	tcase_add_test(other, events_of_their_own);
	tcase_add_test(other, event_in_a_named_segment);
	return run_cases("event", event, together, signals, death, other, NULL);
}
