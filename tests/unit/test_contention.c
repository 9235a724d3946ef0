/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contention: what brood/contention.h promises of every object. What the counts mean for one is
 * in that one's test.
 */
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#include "member/member.h"
#include "support.h"

struct with_lock {
	struct brood_condition condition;
	struct brood_lock lock;
};

/* ---- the objects ---- */

#define WATCH(kind) \
	static int watch_##kind(void *object, struct brood_contention *counts) \
	{ \
		return brood_##kind##_watch(object, counts); \
	}

WATCH(lock)
WATCH(rlock)
WATCH(rwlock)
WATCH(semaphore)
WATCH(event)
WATCH(condition)
WATCH(barrier)

#define AND_RELEASE(kind, result) ((result) ? (result) : brood_##kind##_release(object))

static void *make_lock(void)
{
	return brood_lock_create(NULL);
}

static int use_lock(void *object)
{
	return AND_RELEASE(lock, brood_lock_acquire(object, BROOD_FOREVER));
}

static void *make_rlock(void)
{
	return brood_rlock_create(NULL);
}

static int use_rlock(void *object)
{
	return AND_RELEASE(rlock, brood_rlock_acquire(object, BROOD_FOREVER));
}

static void *make_rwlock(void)
{
	return brood_rwlock_create(NULL);
}

static int read_rwlock(void *object)
{
	return AND_RELEASE(rwlock, brood_rwlock_acquire_read(object, BROOD_FOREVER));
}

static int write_rwlock(void *object)
{
	return AND_RELEASE(rwlock, brood_rwlock_acquire_write(object, BROOD_FOREVER));
}

static void *make_semaphore(void)
{
	return brood_semaphore_create(1, NULL);
}

static void *make_bounded(void)
{
	return brood_semaphore_create(1, &(struct brood_semaphore_opts){ .bounded = true });
}

static void *make_robust(void)
{
	return brood_semaphore_create(2, &(struct brood_semaphore_opts){ .robust = true });
}

static int use_semaphore(void *object)
{
	return AND_RELEASE(semaphore, brood_semaphore_acquire(object, BROOD_FOREVER));
}

static void *make_event(void)
{
	struct brood_event *event = brood_event_create(NULL);

	return event && brood_event_set(event) == 0 ? event : NULL;
}

static int use_event(void *object)
{
	return brood_event_wait(object, BROOD_FOREVER);
}

static void *make_condition(void)
{
	return brood_alloc(NULL, sizeof(struct with_lock));
}

/* It gets the lock when the other waits. */
static void *notify(void *arg)
{
	struct with_lock *object = arg;

	must(brood_lock_acquire(&object->lock, BROOD_FOREVER) == 0);
	must(brood_condition_notify(&object->condition, &object->lock, 1) == 0);
	must(brood_lock_release(&object->lock) == 0);
	return NULL;
}

static int use_condition(void *arg)
{
	struct with_lock *object = arg;
	pthread_t thread;
	int result;

	must(brood_lock_acquire(&object->lock, BROOD_FOREVER) == 0);
	must(pthread_create(&thread, NULL, notify, object) == 0);
	result = brood_condition_wait(&object->condition, &object->lock, BROOD_FOREVER);
	must(brood_lock_release(&object->lock) == 0);
	must(pthread_join(thread, NULL) == 0);
	return result;
}

static void *make_barrier(void)
{
	return brood_barrier_create(1, NULL);
}

static int use_barrier(void *object)
{
	return brood_barrier_wait(object, BROOD_FOREVER);
}

static const struct kind {
	void *(*make)(void);
	int (*watch)(void *object, struct brood_contention *counts);
	int (*use)(void *object);	/* one acquisition, that nobody else wants */
	size_t word;			/* where `contention` is */
	bool waits;			/* it always does */
} kinds[] = {
	{ make_lock, watch_lock, use_lock, offsetof(struct brood_lock, contention), false },
	{ make_rlock, watch_rlock, use_rlock, offsetof(struct brood_lock, contention), false },
	{ make_rwlock, watch_rwlock, read_rwlock,
	  offsetof(struct brood_rwlock, contention), false },
	{ make_rwlock, watch_rwlock, write_rwlock,
	  offsetof(struct brood_rwlock, contention), false },
	{ make_semaphore, watch_semaphore, use_semaphore,
	  offsetof(struct brood_semaphore, contention), false },
	{ make_bounded, watch_semaphore, use_semaphore,
	  offsetof(struct brood_semaphore, contention), false },
	{ make_robust, watch_semaphore, use_semaphore,
	  offsetof(struct brood_semaphore, contention), false },
	{ make_event, watch_event, use_event, offsetof(struct brood_event, contention), false },
	{ make_condition, watch_condition, use_condition,
	  offsetof(struct brood_condition, contention), true },
	{ make_barrier, watch_barrier, use_barrier, offsetof(struct brood_barrier, contention),
	  false },
};

enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

/* In shared memory of the family: what the children of a test use. */
struct scene {
	struct brood_contention a, b;
	const struct kind *kind;
	void *object;
	atomic_int begun;
};

static struct scene *new_scene(int kind)
{
	struct scene *scene = brood_alloc(NULL, sizeof(*scene));

	ck_assert_ptr_nonnull(scene);
	scene->kind = &kinds[kind];
	scene->object = scene->kind->make();
	ck_assert_ptr_nonnull(scene->object);
	return scene;
}

static int64_t *word_of(struct scene *scene)
{
	return (int64_t *)(void *)((char *)scene->object + scene->kind->word);
}

static void watch(struct scene *scene, struct brood_contention *counts)
{
	ck_assert_int_eq(scene->kind->watch(scene->object, counts), 0);
}

static void use(struct scene *scene, int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(scene->kind->use(scene->object), 0);
}

static void counted(const struct scene *scene, const struct brood_contention *counts, uint64_t n)
{
	uint64_t waits = scene->kind->waits ? n : 0;

	ck_assert_uint_eq(counts->acquisitions, n);
	ck_assert_uint_eq(counts->waits, waits);
	ck_assert_int_eq(counts->longest_wait > 0, waits > 0);
	ck_assert_uint_eq(counts->owner_deaths, 0);
}

/* ---- switched ---- */

START_TEST(counted_while_watched_and_where)
{
	struct scene *scene = new_scene(_i);

	use(scene, 2);
	counted(scene, &scene->a, 0);
	watch(scene, &scene->a);
	use(scene, 3);
	counted(scene, &scene->a, 3);
	watch(scene, &scene->b);
	use(scene, 2);
	counted(scene, &scene->a, 3);
	counted(scene, &scene->b, 2);
	watch(scene, NULL);
	ck_assert_int_eq(*word_of(scene), 0);
	use(scene, 1);
	watch(scene, NULL);
	use(scene, 1);
	counted(scene, &scene->a, 3);
	counted(scene, &scene->b, 2);
}
END_TEST

static int use_once(void *arg)
{
	struct scene *scene = arg;

	must(scene->kind->use(scene->object) == 0);
	return 0;
}

START_TEST(all_members_count_and_objects_may_share)
{
	struct scene *scene = new_scene(_i), *other = new_scene(_i);

	watch(scene, &scene->a);
	watch(other, &scene->a);
	use(scene, 1);
	use(other, 1);
	ck_assert_int_eq(run(use_once, scene), 0);
	ck_assert_int_eq(run(use_once, other), 0);
	counted(scene, &scene->a, 4);
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
	const char *name = own_name("contention");
	struct brood_segment *segment = brood_segment_create(name, NULL);
	struct scene *scene = new_scene(_i);
	const struct kind *kind = scene->kind;
	static struct brood_contention own;
	static _Alignas(64) char object_of_own[4096];
	struct brood_contention *askew = (void *)((char *)&scene->a + 4), *foreign;
	struct brood__here here;

	ck_assert_ptr_nonnull(segment);
	foreign = brood_alloc(segment, sizeof(*foreign));
	ck_assert_ptr_nonnull(foreign);
	ck_assert_int_eq(brood__here(scene, &here), 0);
	ck_assert_int_eq(kind->watch(NULL, NULL), -EINVAL);
	ck_assert_int_eq(kind->watch(NULL, &scene->a), -EINVAL);
	ck_assert_int_eq(kind->watch((char *)scene->object + 8, &scene->a), -EINVAL);
	ck_assert_int_eq(kind->watch(object_of_own, &scene->a), -EBADF);
	ck_assert_int_eq(kind->watch(object_of_own, NULL), -EBADF);
	ck_assert_int_eq(kind->watch(scene->object, askew), -EINVAL);
	ck_assert_int_eq(kind->watch(scene->object, &own), -EBADF);
	ck_assert_int_eq(kind->watch(scene->object, foreign), -EBADF);
	/* It begins in the segment, and ends behind it. */
	ck_assert_int_eq(kind->watch(scene->object, (void *)(here.base + here.bytes - 24)), -EBADF);
	ck_assert_int_eq(*word_of(scene), 0);
	watch(scene, &scene->a);
	ck_assert_int_eq(kind->watch(scene->object, &own), -EBADF);
	use(scene, 1);		/* as it was */
	counted(scene, &scene->a, 1);
	ck_assert_int_eq(brood_segment_unlink(name), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
}
END_TEST

/* A peer writes anything over the word: nothing is counted outside of the segment. */
START_TEST(damaged_distance_does_no_harm)
{
	struct scene *scene = new_scene(_i);
	static struct brood_contention own;
	int64_t at = (int64_t)(intptr_t)scene->object;
	struct brood__here here;

	watch(scene, &scene->a);
	ck_assert_int_eq(brood__here(scene, &here), 0);
	{
		const uint64_t *tail = (const void *)(here.base + here.bytes - 24);
		const int64_t damage[] = {
			(intptr_t)&own - at,
			(intptr_t)tail - at,
			(int64_t)(here.base + here.bytes) - at,
			(int64_t)here.base - 8 - at,
			(intptr_t)&scene->b + 4 - at,
			1, -1, INT64_MAX, INT64_MIN,
		};

		for (size_t i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
			*word_of(scene) = damage[i];
			use(scene, 1);
			counted(scene, &own, 0);
			counted(scene, &scene->b, 0);
			ck_assert_uint_eq(*tail, 0);
		}
	}
	counted(scene, &scene->a, 0);
	watch(scene, &scene->b);
	use(scene, 1);
	counted(scene, &scene->b, 1);
}
END_TEST

/* ---- deaths ---- */

static int switch_until_killed(void *arg)
{
	struct scene *scene = arg;

	for (;;) {
		must(scene->kind->watch(scene->object, &scene->a) == 0);
		atomic_fetch_add(&scene->begun, 1);
		must(scene->kind->watch(scene->object, &scene->b) == 0);
		must(scene->kind->watch(scene->object, NULL) == 0);
	}
	return 1;
}

/* Anywhere: it is on or off, the object works, and the next switch is as good as ever. */
START_TEST(two_switch_and_are_killed)
{
	struct scene *scene = new_scene(_i);
	uint64_t uses = 0, before;

	for (int i = 0; i < 20; i++) {
		pid_t pids[2];

		atomic_store(&scene->begun, 0);
		for (int k = 0; k < 2; k++)
			pids[k] = start(switch_until_killed, scene);
		while (atomic_load(&scene->begun) == 0)
			sched_yield();
		use(scene, 5 + i);
		kill_child(pids[0]);
		use(scene, 1);
		kill_child(pids[1]);
		use(scene, 1);
		uses += (uint64_t)(5 + i + 2);
		ck_assert_uint_le(scene->a.acquisitions + scene->b.acquisitions, uses);
		watch(scene, &scene->a);
		before = scene->a.acquisitions;
		use(scene, 1);
		ck_assert_uint_eq(scene->a.acquisitions, before + 1);
		watch(scene, NULL);
		use(scene, 1);
		ck_assert_uint_eq(scene->a.acquisitions, before + 1);
		uses += 2;
	}
}
END_TEST

static int use_until_killed(void *arg)
{
	struct scene *scene = arg;

	for (;;) {
		must(scene->kind->use(scene->object) == 0);
		atomic_fetch_add(&scene->begun, 1);
	}
	return 1;
}

/*
 * Killed anywhere in its calls: a success is counted before the call returns, and at most one is
 * not told of any more.
 */
START_TEST(one_that_counts_is_killed)
{
	for (int i = 0; i < 20; i++) {
		struct scene *scene = new_scene(_i);
		uint64_t told;
		pid_t pid;

		watch(scene, &scene->a);
		pid = start(use_until_killed, scene);
		while (atomic_load(&scene->begun) <= i)
			sched_yield();
		kill_child(pid);
		told = (uint64_t)atomic_load(&scene->begun);
		ck_assert_uint_ge(scene->a.acquisitions, told);
		ck_assert_uint_le(scene->a.acquisitions, told + 1);
	}
}
END_TEST

int main(void)
{
	TCase *switched = new_case("switched", begin_test);
	TCase *death = new_case("death", begin_test);

	tcase_add_loop_test(switched, counted_while_watched_and_where, 0, KINDS);
	tcase_add_loop_test(switched, all_members_count_and_objects_may_share, 0, KINDS);
	tcase_add_loop_test(switched, bad_arguments_are_refused, 0, KINDS);
	tcase_add_loop_test(switched, damaged_distance_does_no_harm, 0, KINDS);
	tcase_add_loop_test(death, two_switch_and_are_killed, 0, KINDS);
	tcase_add_loop_test(death, one_that_counts_is_killed, 0, KINDS);
	return run_cases("contention", switched, death, NULL);
}
