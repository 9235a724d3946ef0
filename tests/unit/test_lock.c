/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock and rlock: what Python promises of Lock and RLock, and what happens when their owners die. */
#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include "support.h"

/* In shared memory of the family: what the children of a test use. */
struct scene {
	struct brood_lock lock;
	struct brood_rlock rlock;
	struct brood_contention contention;
	atomic_int reached;
	atomic_int inside;
	atomic_int thread;
	long counter;
};

static struct scene *new_scene(const struct brood_lock_opts *opts)
{
	struct scene *scene = brood_alloc(NULL, sizeof(*scene));

	ck_assert_ptr_nonnull(scene);
	ck_assert_int_eq(brood_lock_init(&scene->lock, opts), 0);
	ck_assert_int_eq(brood_rlock_init(&scene->rlock, opts), 0);
	return scene;
}

static void until_reached(struct scene *scene, int n)
{
	while (atomic_load(&scene->reached) < n)
		sched_yield();
}

static int try_in_a_child(void *arg)
{
	struct scene *scene = arg;

	return -brood_lock_acquire(&scene->lock, 0);
}

static int hold_for_ever(void *arg)
{
	struct scene *scene = arg;
	int result = brood_lock_acquire(&scene->lock, BROOD_FOREVER);

	must(result == 0 || result == -EOWNERDEAD);
	must((result = brood_rlock_acquire(&scene->rlock, BROOD_FOREVER)) == 0 ||
	     result == -EOWNERDEAD);
	must(brood_rlock_acquire(&scene->rlock, 0) == 0);
	atomic_fetch_add(&scene->reached, 1);
	while (pause())
		;
	return 0;
}

/* A child that has both locks, and is killed. */
static void let_an_owner_die(struct scene *scene)
{
	int before = atomic_load(&scene->reached);
	pid_t pid = start(hold_for_ever, scene);

	until_reached(scene, before + 1);
	kill_child(pid);
}

/* ---- Lock ---- */

START_TEST(lock_acquire_is_not_recursive)
{
	struct scene *scene = new_scene(NULL);
	int64_t begin;

	ck_assert_int_eq(brood_lock_locked(&scene->lock), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_lock_locked(&scene->lock), 1);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), -EAGAIN);
	begin = brood_now();
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, brood_ms(20)), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - begin, 20 * MS);
	ck_assert_int_eq(run(try_in_a_child, scene), EAGAIN);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(run(try_in_a_child, scene), 0);
}
END_TEST

static int release_in_a_child(void *arg)
{
	struct scene *scene = arg;

	return -brood_lock_release(&scene->lock);
}

START_TEST(lock_release_by_any_process)
{
	struct scene *scene = new_scene(NULL);

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(run(release_in_a_child, scene), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
}
END_TEST

static void *release_in_a_thread(void *arg)
{
	struct scene *scene = arg;

	atomic_store(&scene->inside, -brood_lock_release(&scene->lock));
	return NULL;
}

START_TEST(lock_release_by_any_thread)
{
	struct scene *scene = new_scene(NULL);
	pthread_t thread;

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, release_in_a_thread, scene), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(atomic_load(&scene->inside), 0);
	ck_assert_int_eq(brood_lock_locked(&scene->lock), 0);
}
END_TEST

START_TEST(lock_release_when_free_is_an_error)
{
	struct scene *scene = new_scene(NULL);

	ck_assert_int_eq(brood_lock_release(&scene->lock), -EPERM);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), -EPERM);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
}
END_TEST

START_TEST(owned_lock_knows_its_owner)
{
	struct scene *scene = new_scene(&(struct brood_lock_opts){ .owned = true });

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), -EDEADLK);
	ck_assert_int_eq(run(release_in_a_child, scene), EPERM);
	ck_assert_int_eq(brood_lock_locked(&scene->lock), 1);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
}
END_TEST

/* Two processes append nine lines each under the lock, a write a word: the blocks do not mix. */
static const char *lines_file;

static int append_lines(void *arg)
{
	struct scene *scene = arg;
	int fd = open(lines_file, O_WRONLY | O_APPEND | O_CLOEXEC);
	char text[32];

	must(fd >= 0);
	for (int block = 0; block < 20; block++) {
		must(brood_lock_acquire(&scene->lock, BROOD_FOREVER) == 0);
		for (int i = 0; i < 9; i++) {
			int n = snprintf(text, sizeof(text), "%d %d\n", (int)getpid(), i);

			must(write(fd, text, 2) == 2 && write(fd, text + 2, (size_t)n - 2) == n - 2);
		}
		must(brood_lock_release(&scene->lock) == 0);
	}
	close(fd);
	return 0;
}

START_TEST(mutual_exclusion_over_a_file)
{
	struct scene *scene = new_scene(NULL);
	char name[] = "/tmp/brood-test-lock-XXXXXX";
	int fd = mkstemp(name), pid, i, before = 0, lines = 0;
	pid_t a, b;
	FILE *file;

	ck_assert_int_ge(fd, 0);
	lines_file = name;
	a = start(append_lines, scene);
	b = start(append_lines, scene);
	ck_assert_int_eq(end_of(a), 0);
	ck_assert_int_eq(end_of(b), 0);
	file = fdopen(fd, "r");
	ck_assert_ptr_nonnull(file);
	for (; fscanf(file, "%d %d\n", &pid, &i) == 2; lines++, before = pid) {
		ck_assert_int_eq(i, lines % 9);
		ck_assert(i == 0 || pid == before);
	}
	ck_assert_int_eq(lines, 2 * 20 * 9);
	fclose(file);
	unlink(name);
}
END_TEST

static int count_up(void *arg)
{
	struct scene *scene = arg;

	for (int i = 0; i < 20000; i++) {
		must(brood_lock_acquire(&scene->lock, BROOD_FOREVER) == 0);
		must(atomic_fetch_add(&scene->inside, 1) == 0);
		scene->counter++;
		must(atomic_fetch_sub(&scene->inside, 1) == 1);
		must(brood_lock_release(&scene->lock) == 0);
	}
	return 0;
}

START_TEST(eight_processes_never_meet_inside)
{
	struct scene *scene = new_scene(&(struct brood_lock_opts){ .owned = _i });
	pid_t pids[8];

	for (int i = 0; i < 8; i++)
		pids[i] = start(count_up, scene);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	ck_assert_int_eq(scene->counter, 8 * 20000);
}
END_TEST

/* ---- the owner dies ---- */

START_TEST(lock_of_a_dead_owner_is_recovered)
{
	struct scene *scene = new_scene(NULL);

	let_an_owner_die(scene);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), -EOWNERDEAD);
	ck_assert_int_eq(run(try_in_a_child, scene), EAGAIN);
	ck_assert_int_eq(brood_lock_recovered(&scene->lock), 0);
	ck_assert_int_eq(brood_lock_recovered(&scene->lock), -EINVAL);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(brood_lock_recovered(&scene->lock), -EPERM);
	ck_assert_int_eq(run(try_in_a_child, scene), 0);
	/* That child has ended as the owner: the same. */
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), -EOWNERDEAD);
}
END_TEST

START_TEST(lock_released_unrecovered_is_lost)
{
	struct scene *scene = new_scene(NULL);

	let_an_owner_die(scene);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), -EOWNERDEAD);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), -ENOTRECOVERABLE);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), -ENOTRECOVERABLE);
	ck_assert_int_eq(brood_lock_release(&scene->lock), -EPERM);
	ck_assert_int_eq(brood_lock_init(&scene->lock, NULL), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
}
END_TEST

START_TEST(recoverer_may_die_too)
{
	struct scene *scene = new_scene(NULL);

	for (int i = 0; i < 3; i++)
		let_an_owner_die(scene);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), -EOWNERDEAD);
	ck_assert_int_eq(brood_lock_recovered(&scene->lock), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
}
END_TEST

START_TEST(forgiving_lock_of_a_dead_owner)
{
	struct scene *scene = new_scene(&(struct brood_lock_opts){ .forgiving = true });

	let_an_owner_die(scene);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_int_eq(brood_rlock_acquire(&scene->rlock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_rlock_depth(&scene->rlock), 1);
}
END_TEST

static int sleep_for_it(void *arg)
{
	struct scene *scene = arg;
	int result;

	atomic_store(&scene->thread, (int)gettid());
	atomic_fetch_add(&scene->inside, 1);
	result = brood_lock_acquire(&scene->lock, BROOD_FOREVER);
	must(result == 0 || result == -EOWNERDEAD);
	if (result)
		must(brood_lock_recovered(&scene->lock) == 0);
	atomic_fetch_add(&scene->reached, 1);
	must(brood_lock_release(&scene->lock) == 0);
	return 0;
}

static pid_t sleeper(struct scene *scene)
{
	int before = atomic_load(&scene->inside);
	pid_t pid = start(sleep_for_it, scene);

	while (atomic_load(&scene->inside) == before)
		sched_yield();
	ck_assert(until_asleep(atomic_load(&scene->thread)));
	return pid;
}

/* A busy machine may be late once; who needed the backstop is late each time. */
static void is_soon(int64_t (*how_long)(void))
{
	int64_t least = how_long();

	for (int tries = 1; tries < 5 && least >= 60 * MS; tries++) {
		int64_t took = how_long();

		least = took < least ? took : least;
	}
	ck_assert_int_lt(least, 60 * MS);
}

static int64_t let_the_owner_die(void)
{
	struct scene *scene = new_scene(NULL);
	pid_t owner = start(hold_for_ever, scene), pids[3];
	int64_t begin;

	until_reached(scene, 1);
	for (int i = 0; i < 3; i++)
		pids[i] = sleeper(scene);
	begin = brood_now();
	kill_child(owner);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(pids[i]), 0);
	begin = brood_now() - begin;
	ck_assert_int_eq(atomic_load(&scene->reached), 4);
	return begin;
}

START_TEST(sleepers_go_on_when_the_owner_dies)
{
	is_soon(let_the_owner_die);
}
END_TEST

START_TEST(waiter_may_die)
{
	struct scene *scene = new_scene(NULL);
	pid_t pids[3];

	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	for (int i = 0; i < 3; i++)
		pids[i] = sleeper(scene);
	kill_child(pids[0]);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	kill(pids[1], SIGKILL);		/* perhaps the one that was woken; it may have got through */
	end_of(pids[1]);
	ck_assert_int_eq(end_of(pids[2]), 0);
	/* It may have died as the owner. */
	ck_assert(brood_lock_acquire(&scene->lock, BROOD_FOREVER) <= 0);
}
END_TEST

static void *die_as_owner(void *arg)
{
	struct scene *scene = arg;

	atomic_store(&scene->inside, -brood_lock_acquire(&scene->lock, 0));
	return NULL;
}

START_TEST(thread_that_ends_as_the_owner)
{
	struct scene *scene = new_scene(NULL);
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, die_as_owner, scene), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(atomic_load(&scene->inside), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, BROOD_FOREVER), -EOWNERDEAD);
}
END_TEST

static void *own_until_told(void *arg)
{
	struct scene *scene = arg;

	if (brood_lock_acquire(&scene->lock, 0) == 0)
		atomic_store(&scene->reached, 1);
	while (atomic_load(&scene->reached) == 1)
		sched_yield();
	return NULL;
}

static int64_t let_the_owners_thread_end(void)
{
	struct scene *scene = new_scene(NULL);
	pthread_t thread;
	int64_t begin;
	pid_t pid;

	ck_assert_int_eq(pthread_create(&thread, NULL, own_until_told, scene), 0);
	until_reached(scene, 1);
	pid = sleeper(scene);
	begin = brood_now();
	atomic_store(&scene->reached, 2);
	ck_assert_int_eq(end_of(pid), 0);
	begin = brood_now() - begin;
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	return begin;
}

START_TEST(sleepers_go_on_when_the_owners_thread_ends)
{
	is_soon(let_the_owners_thread_end);
}
END_TEST

/* ---- RLock ---- */

static int try_rlock_in_a_child(void *arg)
{
	struct scene *scene = arg;

	must(brood_rlock_depth(&scene->rlock) == 0);
	must(brood_rlock_release(&scene->rlock) == -EPERM);
	return -brood_rlock_acquire(&scene->rlock, brood_ms(1));
}

static void *try_rlock_in_a_thread(void *arg)
{
	struct scene *scene = arg;

	atomic_store(&scene->inside, try_rlock_in_a_child(scene));
	return NULL;
}

START_TEST(rlock_owner_is_process_and_thread)
{
	struct scene *scene = new_scene(NULL);
	pthread_t thread;

	for (int i = 1; i <= 3; i++) {
		ck_assert_int_eq(brood_rlock_acquire(&scene->rlock, 0), 0);
		ck_assert_int_eq(brood_rlock_depth(&scene->rlock), i);
	}
	ck_assert_int_eq(pthread_create(&thread, NULL, try_rlock_in_a_thread, scene), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(atomic_load(&scene->inside), ETIMEDOUT);
	for (int i = 3; i-- > 0;) {
		ck_assert_int_eq(run(try_rlock_in_a_child, scene), ETIMEDOUT);
		ck_assert_int_eq(brood_rlock_release(&scene->rlock), 0);
		ck_assert_int_eq(brood_rlock_depth(&scene->rlock), i);
	}
	ck_assert_int_eq(brood_rlock_release(&scene->rlock), -EPERM);
	ck_assert_int_eq(run(try_rlock_in_a_child, scene), 0);
}
END_TEST

START_TEST(rlock_held_at_fork_is_not_the_childs)
{
	struct scene *scene = new_scene(NULL);

	ck_assert_int_eq(brood_rlock_acquire(&scene->rlock, 0), 0);
	ck_assert_int_eq(run(try_rlock_in_a_child, scene), ETIMEDOUT);
	ck_assert_int_eq(brood_rlock_depth(&scene->rlock), 1);
	ck_assert_int_eq(brood_rlock_release(&scene->rlock), 0);
}
END_TEST

START_TEST(rlock_of_a_dead_owner)
{
	struct scene *scene = new_scene(NULL);

	let_an_owner_die(scene);
	ck_assert_int_eq(brood_rlock_acquire(&scene->rlock, 0), -EOWNERDEAD);
	ck_assert_int_eq(brood_rlock_depth(&scene->rlock), 1);
	ck_assert_int_eq(brood_rlock_recovered(&scene->rlock), 0);
	ck_assert_int_eq(brood_rlock_release(&scene->rlock), 0);
	ck_assert_int_eq(brood_rlock_acquire(&scene->rlock, 0), 0);
}
END_TEST

/* ---- statistics, bad input ---- */

START_TEST(contention_is_counted_while_watched)
{
	struct scene *scene = new_scene(NULL);
	struct brood_contention *counts = &scene->contention;
	struct brood_contention elsewhere;

	ck_assert_int_eq(brood_lock_watch(&scene->lock, &elsewhere), -EBADF);
	ck_assert_int_eq(brood_lock_watch(&scene->lock, counts), 0);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
		ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), -EAGAIN);
		ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	}
	ck_assert_uint_eq(counts->acquisitions, 5);
	ck_assert_uint_eq(counts->waits, 0);
	let_an_owner_die(scene);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), -EOWNERDEAD);
	ck_assert_uint_eq(counts->acquisitions, 7);
	ck_assert_uint_eq(counts->owner_deaths, 1);
	ck_assert_int_eq(brood_lock_recovered(&scene->lock), 0);
	{
		pid_t pid = sleeper(scene);

		ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
		ck_assert_int_eq(end_of(pid), 0);
	}
	ck_assert_uint_eq(counts->acquisitions, 8);
	ck_assert_uint_eq(counts->waits, 1);
	ck_assert_uint_gt(counts->longest_wait, 0);
	ck_assert_int_eq(brood_lock_watch(&scene->lock, NULL), 0);
	ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
	ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	ck_assert_uint_eq(counts->acquisitions, 8);
	ck_assert_uint_eq(scene->lock.word, 0);	/* no flag: nobody goes the slow way any more */
}
END_TEST

START_TEST(bad_locks_are_refused)
{
	struct scene *scene = new_scene(NULL);
	struct {
		struct brood_lock_opts opts;
		uint64_t more;
	} newer = { .opts = { .opts_size = sizeof(newer) }, .more = 1 };
	struct brood_lock own = { 0 };
	struct brood_lock *askew = (struct brood_lock *)(void *)((char *)scene + 8);

	ck_assert_int_eq(brood_lock_acquire(NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_lock_release(NULL), -EINVAL);
	ck_assert_int_eq(brood_lock_recovered(NULL), -EINVAL);
	ck_assert_int_eq(brood_lock_locked(NULL), -EINVAL);
	ck_assert_int_eq(brood_lock_watch(NULL, NULL), -EINVAL);
	ck_assert_int_eq(brood_lock_init(NULL, NULL), -EINVAL);
	ck_assert_int_eq(brood_lock_destroy(NULL), -EINVAL);
	ck_assert_int_eq(brood_rlock_acquire(NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_rlock_release(NULL), -EINVAL);
	ck_assert_int_eq(brood_lock_acquire(&own, 0), -EBADF);
	ck_assert_int_eq(brood_lock_release(&own), -EBADF);
	ck_assert_int_eq(brood_rlock_destroy(&scene->rlock), -EINVAL);
	ck_assert_int_eq(brood_lock_init(&scene->lock, &newer.opts), -EINVAL);
	ck_assert_ptr_null(brood_lock_create(&newer.opts));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(brood_lock_init(askew, NULL), -EINVAL);
	ck_assert_int_eq(brood_rlock_acquire((struct brood_rlock *)askew, 0), -EINVAL);
}
END_TEST

START_TEST(locks_of_their_own)
{
	struct brood_lock *lock = brood_lock_create(&(struct brood_lock_opts){ .owned = true });
	struct brood_rlock *rlock = brood_rlock_create(NULL);

	ck_assert_int_eq(brood_lock_acquire(lock, 0), 0);
	ck_assert_int_eq(brood_lock_acquire(lock, 0), -EDEADLK);
	ck_assert_int_eq(brood_lock_release(lock), 0);
	ck_assert_int_eq(brood_rlock_acquire(rlock, 0), 0);
	ck_assert_int_eq(brood_rlock_acquire(rlock, 0), 0);
	ck_assert_int_eq(brood_lock_destroy(lock), 0);
	ck_assert_int_eq(brood_lock_destroy(lock), -EINVAL);
	ck_assert_int_eq(brood_rlock_destroy(rlock), 0);
}
END_TEST

START_TEST(lock_in_a_named_segment)
{
	const char *name = own_name("lock");
	struct brood_segment *segment = brood_segment_create(name, NULL);
	struct brood_lock *lock;

	ck_assert_ptr_nonnull(segment);
	lock = brood_lock_create(&(struct brood_lock_opts){ .segment = segment });
	ck_assert_ptr_nonnull(lock);
	for (int i = 0; i < 3; i++) {	/* between locks of two segments */
		struct scene *scene = new_scene(NULL);

		ck_assert_int_eq(brood_lock_acquire(lock, 0), 0);
		ck_assert_int_eq(brood_lock_acquire(&scene->lock, 0), 0);
		ck_assert_int_eq(brood_lock_release(lock), 0);
		ck_assert_int_eq(brood_lock_release(&scene->lock), 0);
	}
	ck_assert_int_eq(brood_lock_destroy(lock), 0);
	ck_assert_int_eq(brood_segment_unlink(name), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_lock_acquire(lock, 0), -EBADF);
}
END_TEST

int main(void)
{
	TCase *lock = new_case("lock", begin_test);
	TCase *death = new_case("death", begin_test);
	TCase *rlock = new_case("rlock", begin_test);
	TCase *other = new_case("other", begin_test);

	tcase_add_test(lock, lock_acquire_is_not_recursive);
	tcase_add_test(lock, lock_release_by_any_process);
	tcase_add_test(lock, lock_release_by_any_thread);
	tcase_add_test(lock, lock_release_when_free_is_an_error);
	tcase_add_test(lock, owned_lock_knows_its_owner);
	tcase_add_test(lock, mutual_exclusion_over_a_file);
	tcase_add_loop_test(lock, eight_processes_never_meet_inside, 0, 2);
	tcase_add_test(death, lock_of_a_dead_owner_is_recovered);
	tcase_add_test(death, lock_released_unrecovered_is_lost);
	tcase_add_test(death, recoverer_may_die_too);
	tcase_add_test(death, forgiving_lock_of_a_dead_owner);
	tcase_add_test(death, sleepers_go_on_when_the_owner_dies);
	tcase_add_test(death, waiter_may_die);
	tcase_add_test(death, thread_that_ends_as_the_owner);
	tcase_add_test(death, sleepers_go_on_when_the_owners_thread_ends);
	tcase_add_test(rlock, rlock_owner_is_process_and_thread);
	tcase_add_test(rlock, rlock_held_at_fork_is_not_the_childs);
	tcase_add_test(rlock, rlock_of_a_dead_owner);
	tcase_add_test(other, contention_is_counted_while_watched);
	tcase_add_test(other, bad_locks_are_refused);
	tcase_add_test(other, locks_of_their_own);
	tcase_add_test(other, lock_in_a_named_segment);
	return run_cases("lock", lock, death, rlock, other, NULL);
}
