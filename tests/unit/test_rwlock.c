/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rwlock: who may be inside with whom, whose turn it is, and what happens when its users die. */
#include <pthread.h>
#include <sys/time.h>

#include <brood/rwlock.h>

#include "support.h"

/* In shared memory of the family: what the children of a test use. */
struct scene {
	atomic_int reached;
	atomic_int thread;
	atomic_int go;
	atomic_int order;
	atomic_int readers;
	atomic_int writers;
	atomic_int together;	/* the most readers at one time */
	atomic_int turns[8];
	volatile long a, b;	/* guarded: the same, but while a writer writes */
	struct brood_contention counts;
	struct brood_rwlock lock;
};

static struct scene *new_scene(void)
{
	struct scene *scene = brood_alloc(NULL, sizeof(*scene));

	ck_assert_ptr_nonnull(scene);
	return scene;
}

static void until(atomic_int *count, int n)
{
	while (atomic_load(count) < n)
		sched_yield();
}

static int read_in_a_child(void *arg)
{
	struct scene *scene = arg;

	return -brood_rwlock_acquire_read(&scene->lock, 0);
}

static int write_in_a_child(void *arg)
{
	struct scene *scene = arg;

	return -brood_rwlock_acquire_write(&scene->lock, 0);
}

static int release_in_a_child(void *arg)
{
	struct scene *scene = arg;

	return -brood_rwlock_release(&scene->lock);
}

static int for_ever(struct scene *scene)
{
	atomic_fetch_add(&scene->reached, 1);
	while (pause())
		;
	return 0;
}

static int hold_for_reading(void *arg)
{
	struct scene *scene = arg;

	must(brood_rwlock_acquire_read(&scene->lock, BROOD_FOREVER) == 0);
	must(brood_rwlock_acquire_read(&scene->lock, BROOD_FOREVER) == 0);
	return for_ever(scene);
}

static int hold_for_writing(void *arg)
{
	struct scene *scene = arg;
	int result = brood_rwlock_acquire_write(&scene->lock, BROOD_FOREVER);

	must(result == 0 || result == -EOWNERDEAD);
	return for_ever(scene);
}

static int recover_for_reading(void *arg)
{
	struct scene *scene = arg;

	must(brood_rwlock_acquire_read(&scene->lock, BROOD_FOREVER) == -EOWNERDEAD);
	return for_ever(scene);
}

/* A child that has the lock. */
static pid_t holder(struct scene *scene, int (*hold)(void *))
{
	int before = atomic_load(&scene->reached);
	pid_t pid = start(hold, scene);

	until(&scene->reached, before + 1);
	return pid;
}

static int sleep_to_read(void *arg)
{
	struct scene *scene = arg;

	atomic_store(&scene->thread, (int)gettid());
	atomic_fetch_add(&scene->reached, 1);
	must(brood_rwlock_acquire_read(&scene->lock, BROOD_FOREVER) == 0);
	atomic_store(&scene->turns[0], atomic_fetch_add(&scene->order, 1) + 1);
	until(&scene->go, 1);
	must(brood_rwlock_release(&scene->lock) == 0);
	return 0;
}

static int sleep_to_write(void *arg)
{
	struct scene *scene = arg;
	int result;

	atomic_store(&scene->thread, (int)gettid());
	atomic_fetch_add(&scene->reached, 1);
	result = brood_rwlock_acquire_write(&scene->lock, BROOD_FOREVER);
	must(result == 0 || result == -EOWNERDEAD);
	if (result)
		must(brood_rwlock_recovered(&scene->lock) == 0);
	atomic_store(&scene->turns[1], atomic_fetch_add(&scene->order, 1) + 1);
	must(brood_rwlock_release(&scene->lock) == 0);
	return result ? EOWNERDEAD : 0;
}

/* A child that sleeps in acquire. */
static pid_t sleeper(struct scene *scene, int (*function)(void *))
{
	pid_t pid = holder(scene, function);

	ck_assert(until_asleep(atomic_load(&scene->thread)));
	return pid;
}

/* ---- who may be inside ---- */

START_TEST(readers_share_and_a_writer_does_not)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;
	pid_t pids[3];

	for (int i = 0; i < 3; i++)
		pids[i] = holder(scene, hold_for_reading);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), -EAGAIN);
	for (int i = 0; i < 3; i++)
		kill_child(pids[i]);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
	ck_assert_int_eq(run(read_in_a_child, scene), EAGAIN);
	ck_assert_int_eq(run(write_in_a_child, scene), EAGAIN);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(run(read_in_a_child, scene), 0);
	ck_assert_int_eq(run(write_in_a_child, scene), 0);
	/* That child has ended as the writer. */
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), -EOWNERDEAD);
}
END_TEST

START_TEST(release_by_a_holder_only)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;

	ck_assert_int_eq(brood_rwlock_release(lock), -EPERM);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
	ck_assert_int_eq(run(release_in_a_child, scene), EPERM);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(brood_rwlock_release(lock), -EPERM);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
	ck_assert_int_eq(run(release_in_a_child, scene), EPERM);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(brood_rwlock_release(lock), -EPERM);
}
END_TEST

START_TEST(neither_upgrade_nor_downgrade)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;

	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, BROOD_FOREVER), -EDEADLK);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, BROOD_FOREVER), -EDEADLK);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, BROOD_FOREVER), -EDEADLK);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(brood_rwlock_release(lock), -EPERM);
}
END_TEST

START_TEST(reader_may_read_again)
{
	enum { MOST = 16383 };
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;

	for (int i = 0; i < MOST; i++)
		ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), -EOVERFLOW);
	for (int i = 0; i < MOST; i++) {
		if (i % 4000 == 0 || i == MOST - 1)
			ck_assert_int_eq(run(write_in_a_child, scene), EAGAIN);
		ck_assert_int_eq(brood_rwlock_release(lock), 0);
	}
	ck_assert_int_eq(brood_rwlock_release(lock), -EPERM);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
}
END_TEST

START_TEST(time_limits)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;
	pid_t pid = holder(scene, _i ? hold_for_writing : hold_for_reading);
	int64_t begin = brood_now();

	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), -EAGAIN);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, -3), -EAGAIN);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, brood_until(1)), -ETIMEDOUT);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	begin = brood_now();
	if (_i) {
		ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), -EAGAIN);
		ck_assert_int_eq(brood_rwlock_acquire_read(lock, brood_ms(20)), -ETIMEDOUT);
		ck_assert_int_ge(brood_now() - begin, 20 * MS);
	} else {	/* the writer that gave up holds nobody off */
		ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
		ck_assert_int_eq(brood_rwlock_release(lock), 0);
	}
	ck_assert_int_eq(brood_rwlock_release(lock), -EPERM);
	kill_child(pid);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, BROOD_FOREVER), _i ? -EOWNERDEAD : 0);
}
END_TEST

static int release_after_30_ms(void *arg)
{
	struct scene *scene = arg;
	int64_t begin;

	must(brood_rwlock_acquire_write(&scene->lock, 0) == 0);
	atomic_fetch_add(&scene->reached, 1);
	begin = brood_now();
	while (brood_now() - begin < 30 * MS)
		sched_yield();
	must(brood_rwlock_release(&scene->lock) == 0);
	return hold_for_reading(scene);
}

/* A writer waits for the writer first and for a reader then: the time is that of both together. */
START_TEST(time_limit_of_both_waits_together)
{
	struct scene *scene = new_scene();
	pid_t pid = holder(scene, release_after_30_ms), reader;
	int64_t begin;

	reader = sleeper(scene, sleep_to_read);
	begin = brood_now();
	ck_assert_int_eq(brood_rwlock_acquire_write(&scene->lock, brood_ms(60)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 60 * MS);
	ck_assert_int_lt(brood_now() - begin, 88 * MS);
	atomic_store(&scene->go, 1);
	ck_assert_int_eq(end_of(reader), 0);
	until(&scene->reached, 3);
	kill_child(pid);
	ck_assert_int_eq(brood_rwlock_acquire_write(&scene->lock, BROOD_FOREVER), 0);
}
END_TEST

static void nothing(int signal)
{
	(void)signal;
}

START_TEST(handled_signals_do_not_end_a_wait)
{
	struct scene *scene = new_scene();
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = nothing };
	pid_t pid = holder(scene, _i ? hold_for_writing : hold_for_reading);
	int64_t begin;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	begin = brood_now();
	ck_assert_int_eq(brood_rwlock_acquire_write(&scene->lock, brood_ms(50)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 50 * MS);
	setitimer(ITIMER_REAL, &never, NULL);
	kill_child(pid);
}
END_TEST

/* ---- whose turn it is ---- */

START_TEST(waiting_writer_holds_off_new_readers)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;
	pid_t writer;

	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
	writer = sleeper(scene, sleep_to_write);
	ck_assert_int_eq(run(read_in_a_child, scene), EAGAIN);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);	/* reads already */
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(run(read_in_a_child, scene), EAGAIN);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(end_of(writer), 0);
	ck_assert_int_eq(run(read_in_a_child, scene), 0);
}
END_TEST

START_TEST(readers_that_waited_go_before_the_next_writer)
{
	struct scene *scene = new_scene();
	pid_t reader, writer;

	ck_assert_int_eq(brood_rwlock_acquire_write(&scene->lock, 0), 0);
	if (_i)
		reader = sleeper(scene, sleep_to_read);
	writer = sleeper(scene, sleep_to_write);
	if (!_i)
		reader = sleeper(scene, sleep_to_read);
	/* Stopped, it cannot be quicker, but it has its turn. */
	ck_assert_int_eq(kill(reader, SIGSTOP), 0);
	ck_assert_int_eq(brood_rwlock_release(&scene->lock), 0);
	ck_assert_int_eq(brood_rwlock_acquire_write(&scene->lock, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_eq(atomic_load(&scene->order), 0);
	ck_assert_int_eq(kill(reader, SIGCONT), 0);
	atomic_store(&scene->go, 1);
	ck_assert_int_eq(end_of(reader), 0);
	ck_assert_int_eq(end_of(writer), 0);
	ck_assert_int_eq(atomic_load(&scene->turns[0]), 1);
	ck_assert_int_eq(atomic_load(&scene->turns[1]), 2);
}
END_TEST

START_TEST(reader_that_waited_gives_up_or_dies_and_the_writer_goes)
{
	struct scene *scene = new_scene();
	pid_t reader, writer;
	int64_t begin;

	ck_assert_int_eq(brood_rwlock_acquire_write(&scene->lock, 0), 0);
	reader = sleeper(scene, sleep_to_read);
	ck_assert_int_eq(kill(reader, SIGSTOP), 0);
	ck_assert_int_eq(brood_rwlock_release(&scene->lock), 0);
	writer = sleeper(scene, sleep_to_write);
	ck_assert_int_eq(atomic_load(&scene->order), 0);
	begin = brood_now();
	kill_child(reader);
	ck_assert_int_eq(end_of(writer), 0);
	ck_assert_int_lt(brood_now() - begin, 90 * MS);	/* nobody needed the backstop */
}
END_TEST

static int read_without_a_pause(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&scene->go)) {
		must(brood_rwlock_acquire_read(&scene->lock, BROOD_FOREVER) == 0);
		atomic_fetch_add(&scene->readers, 1);
		for (int64_t begin = brood_now(); brood_now() - begin < MS / 5;)
			;
		must(brood_rwlock_release(&scene->lock) == 0);
	}
	return 0;
}

static int write_without_a_pause(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&scene->go)) {
		must(brood_rwlock_acquire_write(&scene->lock, BROOD_FOREVER) == 0);
		atomic_fetch_add(&scene->writers, 1);
		for (int64_t begin = brood_now(); brood_now() - begin < MS / 5;)
			;
		must(brood_rwlock_release(&scene->lock) == 0);
	}
	return 0;
}

/* Readers that overlap at all times and writers that follow one another, and both get in. */
START_TEST(neither_side_starves)
{
	enum { CROWD = 4 };
	struct scene *scene = new_scene();
	int64_t end = brood_now() + 30000 * MS;
	pid_t pids[CROWD];

	for (int i = 0; i < CROWD; i++)
		pids[i] = start(i < CROWD - 1 - 2 * _i ? read_without_a_pause :
							 write_without_a_pause, scene);
	while (atomic_load(&scene->readers) < 20 || atomic_load(&scene->writers) < 20) {
		ck_assert_int_lt(brood_now(), end);
		usleep(1000);
	}
	atomic_store(&scene->go, 1);
	for (int i = 0; i < CROWD; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
}
END_TEST

static void look(struct scene *scene)
{
	int readers = atomic_fetch_add(&scene->readers, 1) + 1;
	int most = atomic_load(&scene->together);

	must(atomic_load(&scene->writers) == 0);
	must(scene->a == scene->b);
	while (most < readers && !atomic_compare_exchange_weak(&scene->together, &most, readers))
		;
	if (scene->a % 16 == 0)
		sched_yield();
	must(atomic_load(&scene->writers) == 0);
	atomic_fetch_sub(&scene->readers, 1);
}

static void alter(struct scene *scene)
{
	must(atomic_fetch_add(&scene->writers, 1) == 0);
	must(atomic_load(&scene->readers) == 0);
	must(scene->a == scene->b);
	scene->a++;
	if (scene->a % 16 == 0)
		sched_yield();
	scene->b++;
	must(atomic_load(&scene->readers) == 0);
	must(atomic_fetch_sub(&scene->writers, 1) == 1);
}

/* Every kind of call at once; with short time limits many of them fail. */
static int read_and_write(void *arg)
{
	struct scene *scene = arg;
	const int64_t timeouts[] = { BROOD_FOREVER, BROOD_FOREVER, 0, brood_us(30), brood_us(200) };
	unsigned int seed = (unsigned int)getpid();
	int result, written = 0;

	for (int i = 0; i < 6000; i++) {
		int64_t timeout = timeouts[rand_r(&seed) / 8 % 5];
		bool write = rand_r(&seed) / 8 % 4 == 0;

		result = write ? brood_rwlock_acquire_write(&scene->lock, timeout) :
				 brood_rwlock_acquire_read(&scene->lock, timeout);
		if (result) {
			must(timeout != BROOD_FOREVER);
			must(result == (timeout ? -ETIMEDOUT : -EAGAIN));
			must(brood_rwlock_release(&scene->lock) == -EPERM);
			continue;
		}
		if (write) {
			alter(scene);
			written++;
		} else {
			look(scene);
			if (i % 4 == 0) {
				must(brood_rwlock_acquire_read(&scene->lock, 0) == 0);
				look(scene);
				must(brood_rwlock_release(&scene->lock) == 0);
			}
		}
		must(brood_rwlock_release(&scene->lock) == 0);
	}
	atomic_fetch_add(&scene->order, written);
	return 0;
}

START_TEST(readers_never_meet_a_writer_inside)
{
	struct scene *scene = new_scene();
	pid_t pids[6];

	for (int i = 0; i < 6; i++)
		pids[i] = start(read_and_write, scene);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(scene->a, atomic_load(&scene->order));
	ck_assert_int_eq(scene->b, scene->a);
	ck_assert_int_gt(atomic_load(&scene->together), 1);
	ck_assert_int_eq(brood_rwlock_acquire_write(&scene->lock, 0), 0);
}
END_TEST

/* ---- deaths ---- */

START_TEST(reader_dies_and_a_sleeping_writer_goes_on)
{
	struct scene *scene = new_scene();
	pid_t reader = holder(scene, hold_for_reading), writer = sleeper(scene, sleep_to_write);
	int64_t begin = brood_now();

	kill_child(reader);
	ck_assert_int_eq(end_of(writer), 0);
	ck_assert_int_lt(brood_now() - begin, 90 * MS);	/* nobody needed the backstop */
	ck_assert_int_eq(brood_rwlock_acquire_read(&scene->lock, 0), 0);
}
END_TEST

START_TEST(writer_dies_and_a_writer_recovers)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;

	kill_child(holder(scene, hold_for_writing));
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, BROOD_FOREVER), -EOWNERDEAD);
	ck_assert_int_eq(run(read_in_a_child, scene), EAGAIN);
	ck_assert_int_eq(run(write_in_a_child, scene), EAGAIN);
	ck_assert_int_eq(brood_rwlock_recovered(lock), 0);
	ck_assert_int_eq(brood_rwlock_recovered(lock), -EINVAL);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(brood_rwlock_recovered(lock), -EPERM);
	ck_assert_int_eq(run(read_in_a_child, scene), 0);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
}
END_TEST

START_TEST(writer_dies_and_who_wants_to_read_recovers)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;

	kill_child(holder(scene, hold_for_writing));
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, _i ? BROOD_FOREVER : 0), -EOWNERDEAD);
	ck_assert_int_eq(run(read_in_a_child, scene), EAGAIN);	/* it is mine for writing */
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), -EDEADLK);
	ck_assert_int_eq(brood_rwlock_recovered(lock), 0);
	ck_assert_int_eq(run(read_in_a_child, scene), EAGAIN);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(brood_rwlock_release(lock), -EPERM);
	ck_assert_int_eq(run(read_in_a_child, scene), 0);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
}
END_TEST

static int sleep_for_what_is_lost(void *arg)
{
	struct scene *scene = arg;
	bool write = atomic_fetch_add(&scene->order, 1) % 2;

	atomic_store(&scene->thread, (int)gettid());
	atomic_fetch_add(&scene->reached, 1);
	return -(write ? brood_rwlock_acquire_write(&scene->lock, BROOD_FOREVER) :
			 brood_rwlock_acquire_read(&scene->lock, BROOD_FOREVER));
}

START_TEST(rwlock_released_unrecovered_is_lost)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;
	pid_t pids[4];

	kill_child(holder(scene, hold_for_writing));
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), -EOWNERDEAD);
	for (int i = 0; i < 4; i++)
		pids[i] = sleeper(scene, sleep_for_what_is_lost);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(end_of(pids[i]), ENOTRECOVERABLE);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), -ENOTRECOVERABLE);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, BROOD_FOREVER), -ENOTRECOVERABLE);
	ck_assert_int_eq(brood_rwlock_release(lock), -EPERM);
	ck_assert_int_eq(brood_rwlock_init(lock, NULL), 0);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
}
END_TEST

START_TEST(recoverer_may_die_too)
{
	struct scene *scene = new_scene();

	kill_child(holder(scene, hold_for_writing));
	for (int i = 0; i < 3; i++)
		kill_child(holder(scene, i % 2 ? recover_for_reading : hold_for_writing));
	ck_assert_int_eq(brood_rwlock_acquire_write(&scene->lock, 0), -EOWNERDEAD);
	ck_assert_int_eq(brood_rwlock_recovered(&scene->lock), 0);
	ck_assert_int_eq(brood_rwlock_release(&scene->lock), 0);
	ck_assert_int_eq(brood_rwlock_acquire_write(&scene->lock, 0), 0);
}
END_TEST

/* It has changed nothing yet, so nobody is told that the owner died. */
START_TEST(writer_dies_while_readers_leave)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;
	pid_t reader, writer, next;

	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
	writer = sleeper(scene, sleep_to_write);
	reader = sleeper(scene, sleep_to_read);		/* held off */
	if (_i)
		next = sleeper(scene, sleep_to_write);
	kill_child(writer);
	if (_i) {	/* which takes the word now, or has to wait for the reader to end */
		atomic_store(&scene->go, 1);
		ck_assert_int_eq(brood_rwlock_release(lock), 0);
		ck_assert_int_eq(end_of(next), 0);
		ck_assert_int_eq(end_of(reader), 0);
		ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
	} else {
		until(&scene->order, 1);		/* it is in, with us */
		atomic_store(&scene->go, 1);
		ck_assert_int_eq(end_of(reader), 0);
		ck_assert_int_eq(brood_rwlock_release(lock), 0);
		ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
	}
}
END_TEST

START_TEST(sleepers_go_on_when_the_writer_dies)
{
	struct scene *scene = new_scene();
	pid_t writer = holder(scene, hold_for_writing), pids[3];
	int64_t begin;
	int told = 0;

	for (int i = 0; i < 3; i++)
		pids[i] = sleeper(scene, sleep_to_write);
	begin = brood_now();
	kill_child(writer);
	for (int i = 0; i < 3; i++) {
		int end = end_of(pids[i]);

		ck_assert(end == 0 || end == EOWNERDEAD);
		told += end == EOWNERDEAD;
	}
	ck_assert_int_lt(brood_now() - begin, 90 * MS);	/* nobody needed the backstop */
	ck_assert_int_eq(told, 1);
}
END_TEST

static void *end_with_it(void *arg)
{
	struct scene *scene = arg;

	atomic_store(&scene->order, -(atomic_load(&scene->go) ?
				      brood_rwlock_acquire_write(&scene->lock, 0) :
				      brood_rwlock_acquire_read(&scene->lock, 0)));
	return NULL;
}

START_TEST(thread_that_ends_with_the_lock)
{
	struct scene *scene = new_scene();
	pthread_t thread;

	atomic_store(&scene->go, _i);
	ck_assert_int_eq(pthread_create(&thread, NULL, end_with_it, scene), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(atomic_load(&scene->order), 0);
	ck_assert_int_eq(brood_rwlock_acquire_write(&scene->lock, BROOD_FOREVER),
			 _i ? -EOWNERDEAD : 0);
}
END_TEST

/*
 * Killed anywhere. Whoever gets the lock without being told of a death finds the pair in order,
 * whoever is told puts it in order.
 */
static int work_for_ever(void *arg)
{
	struct scene *scene = arg;
	unsigned int seed = (unsigned int)getpid();

	atomic_fetch_add(&scene->reached, 1);
	for (;;) {
		bool write = rand_r(&seed) / 8 % 2;
		int64_t timeout = rand_r(&seed) / 8 % 4 ? BROOD_FOREVER : brood_us(50);
		int result = write ? brood_rwlock_acquire_write(&scene->lock, timeout) :
				     brood_rwlock_acquire_read(&scene->lock, timeout);

		if (result == -ETIMEDOUT)
			continue;
		must(result == 0 || result == -EOWNERDEAD);
		if (result) {
			scene->b = scene->a;
			must(brood_rwlock_recovered(&scene->lock) == 0);
		}
		must(scene->a == scene->b);
		if (write) {
			scene->a++;
			if (scene->a % 8 == 0)
				sched_yield();
			scene->b++;
		}
		must(brood_rwlock_release(&scene->lock) == 0);
		atomic_fetch_add(&scene->order, 1);
	}
}

START_TEST(rwlock_survives_kills_anywhere)
{
	enum { ROUNDS = 80, CROWD = 4 };
	struct scene *scene = new_scene();
	pid_t pids[CROWD];
	int result;

	for (int i = 0; i < CROWD; i++)
		pids[i] = start(work_for_ever, scene);
	until(&scene->reached, CROWD);
	for (int round = 0; round < ROUNDS; round++) {
		int before = atomic_load(&scene->order);

		kill_child(pids[round % CROWD]);
		until(&scene->order, before + 20);	/* the survivors go on */
		pids[round % CROWD] = start(work_for_ever, scene);
	}
	for (int i = 0; i < CROWD; i++)
		kill_child(pids[i]);
	result = brood_rwlock_acquire_write(&scene->lock, 0);
	ck_assert(result == 0 || result == -EOWNERDEAD);
	ck_assert(result || scene->a == scene->b);
}
END_TEST

/* ---- bad input, other places ---- */

/* ---- contention ---- */

static void counted(struct scene *scene, uint64_t acquisitions, uint64_t waits, uint64_t deaths)
{
	ck_assert_uint_eq(scene->counts.acquisitions, acquisitions);
	ck_assert_uint_eq(scene->counts.waits, waits);
	ck_assert_uint_eq(scene->counts.owner_deaths, deaths);
	ck_assert_int_eq(scene->counts.longest_wait > 0, waits > 0);
}

START_TEST(contention_of_readers_and_writers)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;
	pid_t pid;

	ck_assert_int_eq(brood_rwlock_watch(lock, &scene->counts), 0);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);	/* again */
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), -EDEADLK);
	ck_assert_int_eq(run(write_in_a_child, scene), EAGAIN);
	counted(scene, 2, 0, 0);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	pid = sleeper(scene, sleep_to_write);	/* for the readers to leave */
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(end_of(pid), 0);
	counted(scene, 3, 1, 0);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), -EDEADLK);
	ck_assert_int_eq(run(read_in_a_child, scene), EAGAIN);
	counted(scene, 4, 1, 0);
	atomic_store(&scene->go, 1);
	pid = sleeper(scene, sleep_to_read);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(end_of(pid), 0);
	counted(scene, 5, 2, 0);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
	pid = sleeper(scene, sleep_to_write);	/* for the writer */
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(end_of(pid), 0);
	counted(scene, 7, 3, 0);
}
END_TEST

START_TEST(contention_with_deaths)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;

	ck_assert_int_eq(brood_rwlock_watch(lock, &scene->counts), 0);
	kill_child(holder(scene, hold_for_reading));	/* which nobody is told of */
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
	counted(scene, 3, 0, 0);
	kill_child(sleeper(scene, sleep_to_read));
	kill_child(sleeper(scene, sleep_to_write));
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	counted(scene, 3, 0, 0);
	for (int i = 0; i < 2; i++) {
		kill_child(holder(scene, hold_for_writing));
		ck_assert_int_eq(i ? brood_rwlock_acquire_read(lock, 0)
				   : brood_rwlock_acquire_write(lock, 0), -EOWNERDEAD);
		ck_assert_int_eq(brood_rwlock_recovered(lock), 0);
		ck_assert_int_eq(brood_rwlock_release(lock), 0);
		counted(scene, 5 + 2 * (uint64_t)i, 0, 1 + (uint64_t)i);
	}
	ck_assert_int_eq(brood_rwlock_init(lock, NULL), 0);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
	counted(scene, 7, 0, 2);
}
END_TEST

START_TEST(bad_rwlocks_are_refused)
{
	struct scene *scene = new_scene();
	struct {
		struct brood_rwlock_opts opts;
		uint64_t more;
	} newer = { .opts = { .opts_size = sizeof(newer) }, .more = 1 };
	struct brood_rwlock own = { 0 };
	struct brood_rwlock *askew = (struct brood_rwlock *)(void *)((char *)scene + 8);

	ck_assert_int_eq(sizeof(own), 2240);
	ck_assert_int_eq(brood_rwlock_init(NULL, NULL), -EINVAL);
	ck_assert_int_eq(brood_rwlock_acquire_read(NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_rwlock_acquire_write(NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_rwlock_release(NULL), -EINVAL);
	ck_assert_int_eq(brood_rwlock_recovered(NULL), -EINVAL);
	ck_assert_int_eq(brood_rwlock_destroy(NULL), -EINVAL);
	ck_assert_int_eq(brood_rwlock_init(&own, NULL), -EBADF);
	ck_assert_int_eq(brood_rwlock_acquire_read(&own, 0), -EBADF);
	ck_assert_int_eq(brood_rwlock_acquire_write(&own, 0), -EBADF);
	ck_assert_int_eq(brood_rwlock_release(&own), -EBADF);
	ck_assert_int_eq(brood_rwlock_init(askew, NULL), -EINVAL);
	ck_assert_int_eq(brood_rwlock_acquire_read(askew, 0), -EINVAL);
	ck_assert_int_eq(brood_rwlock_acquire_write(askew, 0), -EINVAL);
	ck_assert_int_eq(brood_rwlock_release(askew), -EINVAL);
	ck_assert_int_eq(brood_rwlock_init(&scene->lock, &newer.opts), -EINVAL);
	ck_assert_int_eq(brood_rwlock_destroy(&scene->lock), -EINVAL);
	ck_assert_ptr_null(brood_rwlock_create(&newer.opts));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(overwritten_rwlocks_do_no_harm)
{
	struct scene *scene = new_scene();
	struct brood_rwlock *lock = &scene->lock;

	memset(lock, 0xff, sizeof(*lock));
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), -ENOTRECOVERABLE);
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), -ENOTRECOVERABLE);
	ck_assert_int_eq(brood_rwlock_release(lock), -EPERM);
	lock->word = 0;		/* slots and lists of members that there never were */
	ck_assert_int_eq(brood_rwlock_acquire_write(lock, 0), 0);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	lock->word = ~(uint64_t)0xffff;		/* a writer that there never was */
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), -EOWNERDEAD);
	ck_assert_int_eq(brood_rwlock_release(lock), 0);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), -ENOTRECOVERABLE);
}
END_TEST

START_TEST(rwlock_in_a_named_segment)
{
	const char *name = own_name("rwlock");
	struct brood_segment *segment = brood_segment_create(name, NULL);
	struct brood_rwlock *lock, *family = brood_rwlock_create(NULL);

	ck_assert_ptr_nonnull(segment);
	ck_assert_ptr_nonnull(family);
	lock = brood_rwlock_create(&(struct brood_rwlock_opts){ .segment = segment });
	ck_assert_ptr_nonnull(lock);
	for (int i = 0; i < 3; i++) {	/* between two segments */
		ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), 0);
		ck_assert_int_eq(brood_rwlock_acquire_write(family, 0), 0);
		ck_assert_int_eq(brood_rwlock_release(lock), 0);
		ck_assert_int_eq(brood_rwlock_release(family), 0);
	}
	ck_assert_int_eq(brood_rwlock_destroy(lock), 0);
	ck_assert_int_eq(brood_rwlock_destroy(lock), -EINVAL);
	ck_assert_int_eq(brood_rwlock_destroy(family), 0);
	ck_assert_int_eq(brood_segment_unlink(name), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_rwlock_acquire_read(lock, 0), -EBADF);
}
END_TEST

int main(void)
{
	TCase *inside = new_case("inside", begin_test);
	TCase *turns = new_case("turns", begin_test);
	TCase *death = new_case("death", begin_test);
	TCase *other = new_case("other", begin_test);

	tcase_add_test(inside, readers_share_and_a_writer_does_not);
	tcase_add_test(inside, release_by_a_holder_only);
	tcase_add_test(inside, neither_upgrade_nor_downgrade);
	tcase_add_test(inside, reader_may_read_again);
	tcase_add_loop_test(inside, time_limits, 0, 2);
	tcase_add_test(inside, time_limit_of_both_waits_together);
	tcase_add_loop_test(inside, handled_signals_do_not_end_a_wait, 0, 2);
	tcase_add_test(inside, readers_never_meet_a_writer_inside);
	tcase_add_test(turns, waiting_writer_holds_off_new_readers);
	tcase_add_loop_test(turns, readers_that_waited_go_before_the_next_writer, 0, 2);
	tcase_add_test(turns, reader_that_waited_gives_up_or_dies_and_the_writer_goes);
	tcase_add_loop_test(turns, neither_side_starves, 0, 2);
	tcase_add_test(death, reader_dies_and_a_sleeping_writer_goes_on);
	tcase_add_test(death, writer_dies_and_a_writer_recovers);
	tcase_add_loop_test(death, writer_dies_and_who_wants_to_read_recovers, 0, 2);
	tcase_add_test(death, rwlock_released_unrecovered_is_lost);
	tcase_add_test(death, recoverer_may_die_too);
	tcase_add_loop_test(death, writer_dies_while_readers_leave, 0, 2);
	tcase_add_test(death, sleepers_go_on_when_the_writer_dies);
	tcase_add_loop_test(death, thread_that_ends_with_the_lock, 0, 2);
	tcase_add_test(death, rwlock_survives_kills_anywhere);
	tcase_add_test(other, contention_of_readers_and_writers);
	tcase_add_test(other, contention_with_deaths);
	tcase_add_test(other, bad_rwlocks_are_refused);
	tcase_add_test(other, overwritten_rwlocks_do_no_harm);
	tcase_add_test(other, rwlock_in_a_named_segment);
	return run_cases("rwlock", inside, turns, death, other, NULL);
}
