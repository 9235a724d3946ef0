/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Life words: marked by the kernel however their thread ends, beside the program's mutexes. */
#include <pthread.h>

#include "platform/platform.h"
#include "support.h"

enum { LIVES = 8, MUTEXES = 8 };

struct scene {
	struct brood__life lives[LIVES];
	pthread_mutex_t mutexes[MUTEXES];
	_Atomic uint32_t held;		/* bits: lives, then mutexes, at the time of death */
	_Atomic uint32_t steps;		/* then die */
	unsigned int seed;
	_Atomic bool ready;
};

static uint32_t word_of(const struct brood__life *life)
{
	return atomic_load(&life->word);
}

static struct scene *new_scene(void)
{
	struct scene *scene = shared(sizeof(*scene));
	pthread_mutexattr_t attributes;

	for (int i = 0; i < MUTEXES; i++) {
		pthread_mutexattr_init(&attributes);
		pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
		pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
		/* Those that inherit priority are marked in the links of the list. */
		pthread_mutexattr_setprotocol(&attributes, i % 2 ? PTHREAD_PRIO_INHERIT :
								  PTHREAD_PRIO_NONE);
		ck_assert_int_eq(pthread_mutex_init(&scene->mutexes[i], &attributes), 0);
	}
	return scene;
}

START_TEST(begin_and_end)
{
	struct brood__life life = { 0 };

	for (uint32_t i = 0; i < 5; i++) {
		ck_assert_int_eq(brood__life_begin(&life), 0);
		ck_assert_uint_eq(word_of(&life), (uint32_t)gettid() | BROOD__LIFE_WATCHED);
		ck_assert_uint_eq(atomic_load(&life.incarnation), i);
		ck_assert_int_eq(brood__life_begin(&life), -EBUSY);
		ck_assert(!brood__life_free(&life, i));		/* it lives */
		brood__life_end(&life);
		ck_assert_uint_eq(word_of(&life), 0);
		ck_assert_uint_eq(atomic_load(&life.incarnation), i + 1);
	}
}
END_TEST

static int begin_and_die(void *arg)
{
	struct scene *scene = arg;

	return brood__life_begin(&scene->lives[0]) == 0 ? 0 : 1;
}

START_TEST(freed_for_one_incarnation)
{
	struct scene *scene = new_scene();
	struct brood__life *life = &scene->lives[0];

	for (uint32_t i = 0; i < 5; i++) {
		ck_assert_int_eq(run(begin_and_die, scene), 0);
		ck_assert(brood__life_dead(word_of(life)));
		ck_assert_uint_eq(word_of(life) & BROOD__LIFE_TID, 0);
		ck_assert_int_eq(brood__life_begin(life), -EBUSY);
		ck_assert(!brood__life_free(life, i + 1));
		ck_assert(!brood__life_free(life, i - 1));
		ck_assert(brood__life_free(life, i));
		ck_assert(!brood__life_free(life, i));
		ck_assert_uint_eq(word_of(life), 0);
	}
}
END_TEST

/* ---- a random mixture of lives and mutexes, taken and given back in any order ---- */

static void change_life(struct scene *scene, uint32_t i)
{
	if (atomic_fetch_xor(&scene->held, 1u << i) >> i & 1)
		brood__life_end(&scene->lives[i]);
	else
		must(brood__life_begin(&scene->lives[i]) == 0);
}

static void change_mutex(struct scene *scene, uint32_t i)
{
	if (atomic_fetch_xor(&scene->held, 1u << (LIVES + i)) >> (LIVES + i) & 1)
		must(pthread_mutex_unlock(&scene->mutexes[i]) == 0);
	else
		must(pthread_mutex_lock(&scene->mutexes[i]) == 0);
}

static void *mix(void *arg)
{
	struct scene *scene = arg;

	for (uint32_t step = 0; step < scene->steps; step++) {
		uint32_t i = (uint32_t)rand_r(&scene->seed) % (LIVES + MUTEXES);

		if (i < LIVES)
			change_life(scene, i);
		else
			change_mutex(scene, i - LIVES);
	}
	atomic_store(&scene->ready, true);
	return NULL;
}

static int mix_and_pause(void *scene)
{
	mix(scene);
	while (pause())
		;
	return 0;
}

static int mix_and_exec(void *scene)
{
	mix(scene);
	execl("/bin/true", "true", (char *)NULL);
	return 1;
}

static void end_by_kill(struct scene *scene)
{
	pid_t child = start(mix_and_pause, scene);

	while (!atomic_load(&scene->ready))
		ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
	kill_child(child);
}

static void end_by_exec(struct scene *scene)
{
	ck_assert_int_eq(run(mix_and_exec, scene), 0);
}

static void end_of_thread(struct scene *scene)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, mix, scene), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

static void (*const ends[])(struct scene *scene) = { end_by_kill, end_by_exec, end_of_thread };

/* Exactly what was held is marked, and all of it can be used again. */
static void check_marks(struct scene *scene)
{
	for (uint32_t i = 0; i < LIVES; i++) {
		bool held = scene->held >> i & 1;
		uint32_t incarnation = atomic_load(&scene->lives[i].incarnation);

		ck_assert_int_eq(brood__life_dead(word_of(&scene->lives[i])), held);
		ck_assert_int_eq(brood__life_free(&scene->lives[i], incarnation), held);
		ck_assert_uint_eq(word_of(&scene->lives[i]), 0);
	}
	for (uint32_t i = 0; i < MUTEXES; i++) {
		bool held = scene->held >> (LIVES + i) & 1;

		ck_assert_int_eq(pthread_mutex_trylock(&scene->mutexes[i]), held ? EOWNERDEAD : 0);
		if (held)
			ck_assert_int_eq(pthread_mutex_consistent(&scene->mutexes[i]), 0);
		ck_assert_int_eq(pthread_mutex_unlock(&scene->mutexes[i]), 0);
	}
	atomic_store(&scene->held, 0);
	atomic_store(&scene->ready, false);
}

START_TEST(exactly_what_was_held_is_marked)
{
	struct scene *scene = new_scene();

	for (uint32_t round = 0; round < 60; round++) {
		atomic_store(&scene->steps, round);
		scene->seed = round + 1;
		ends[_i](scene);
		check_marks(scene);
	}
}
END_TEST

/* ---- the mark wakes ---- */

static int sleep_on_life(void *arg)
{
	struct scene *scene = arg;
	uint32_t word = word_of(&scene->lives[0]);
	struct brood__futex set = { &scene->lives[0].word, word };

	while (!brood__life_dead(word_of(&scene->lives[0])))
		must(brood__futex_sleep(&set, 1, BROOD__NO_DEADLINE) == 0);
	return 0;
}

static int begin_and_pause(void *arg)
{
	struct scene *scene = arg;

	must(brood__life_begin(&scene->lives[0]) == 0);
	while (pause())
		;
	return 0;
}

START_TEST(death_wakes_a_sleeper)
{
	struct scene *scene = new_scene();
	pid_t dying = start(begin_and_pause, scene), sleeper;

	while (!word_of(&scene->lives[0]))
		ck_assert_int_eq(waitpid(dying, NULL, WNOHANG), 0);
	sleeper = start(sleep_on_life, scene);
	ck_assert(until_asleep(sleeper));
	kill_child(dying);
	ck_assert_int_eq(end_of(sleeper), 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("life", begin_without_arena);

	tcase_add_test(tests, begin_and_end);
	tcase_add_test(tests, freed_for_one_incarnation);
	tcase_add_loop_test(tests, exactly_what_was_held_is_marked, 0, 3);
	tcase_add_test(tests, death_wakes_a_sleeper);
	return run_cases("life", tests, NULL);
}
