/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many at once: memory that several allocate, names that several want; some are killed. */
#include <pthread.h>
#include <sched.h>

#include "arena/object.h"
#include "support.h"

enum { TEAM = 4, HELD = 32 };

/* ---- memory ---- */

struct piece {
	uint64_t *words;
	size_t count;
};

static size_t random_size(unsigned int *seed)
{
	size_t most = (size_t)64 << rand_r(seed) % 12;

	return 8 + (size_t)rand_r(seed) % most;
}

/* Zeroed when it comes, and nobody else's until it goes. */
static bool exchange(struct piece *piece, unsigned int *seed, uint64_t mark)
{
	bool good = true;

	for (size_t i = 0; i < piece->count; i++)
		good = good && piece->words[i] == mark;
	if (piece->words && brood_free(NULL, piece->words))
		return false;
	piece->count = random_size(seed) / 8;
	piece->words = brood_alloc(NULL, piece->count * 8);
	for (size_t i = 0; piece->words && i < piece->count; i++) {
		good = good && piece->words[i] == 0;
		piece->words[i] = mark;
	}
	return good && piece->words;
}

struct allocator {
	unsigned int seed;
	int rounds;	/* 0: until it is killed */
};

static int allocate(void *arg)
{
	const struct allocator *allocator = arg;
	struct piece pieces[HELD] = { { NULL, 0 } };
	unsigned int seed = allocator->seed;

	for (int i = 0; allocator->rounds == 0 || i < allocator->rounds; i++)
		must(exchange(&pieces[rand_r(&seed) % HELD], &seed, allocator->seed));
	for (int i = 0; i < HELD; i++)
		must(!pieces[i].words || brood_free(NULL, pieces[i].words) == 0);
	return 0;
}

START_TEST(processes_allocate)
{
	struct brood_segment_info before, after;
	pid_t children[TEAM];

	ck_assert_ptr_nonnull(brood_alloc(NULL, 8));
	ck_assert_int_eq(brood_segment_stat(NULL, &before), 0);
	for (int i = 0; i < TEAM; i++) {
		struct allocator allocator = { (unsigned int)i + 1, 3000 };

		children[i] = start(allocate, &allocator);
	}
	for (int i = 0; i < TEAM; i++)
		ck_assert_int_eq(end_of(children[i]), 0);
	ck_assert_int_eq(brood_segment_stat(NULL, &after), 0);
	ck_assert_uint_eq(after.objects, before.objects);
	ck_assert_uint_eq(after.bytes_used, before.bytes_used);
}
END_TEST

static void *allocate_in_thread(void *allocator)
{
	return allocate(allocator) ? allocator : NULL;
}

START_TEST(threads_allocate)
{
	struct allocator allocators[TEAM];
	pthread_t threads[TEAM];
	void *failed;

	for (int i = 0; i < TEAM; i++) {
		allocators[i] = (struct allocator){ (unsigned int)i + 1, 3000 };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, allocate_in_thread,
						&allocators[i]), 0);
	}
	for (int i = 0; i < TEAM; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
		ck_assert_ptr_null(failed);
	}
}
END_TEST

/* The killed keep what they were handed out; the others find every byte as it should be. */
START_TEST(allocators_are_killed)
{
	unsigned int seed = 9;
	pid_t survivor, children[TEAM];
	struct allocator endless = { 100, 0 }, allocator = { 200, 20000 };
	struct brood_segment_info info;

	survivor = start(allocate, &allocator);
	for (int i = 0; i < TEAM; i++)
		children[i] = start(allocate, &endless);
	for (int kills = 0; kills < 100; kills++) {
		int victim = rand_r(&seed) % TEAM;	/* it must still live */

		usleep((useconds_t)rand_r(&seed) % 3000);
		kill_child(children[victim]);
		endless.seed++;
		children[victim] = start(allocate, &endless);
	}
	for (int i = 0; i < TEAM; i++)
		kill_child(children[i]);
	ck_assert_int_eq(end_of(survivor), 0);
	ck_assert_int_eq(run(allocate, &allocator), 0);
	ck_assert_int_eq(brood_segment_stat(NULL, &info), 0);
	ck_assert_uint_le(info.objects, 104 * HELD);
}
END_TEST

/* ---- names ---- */

struct race {
	atomic_int ready, go;
	atomic_int won, lost, other;
	int number;
};

static void at_once(struct race *race)
{
	atomic_fetch_add(&race->ready, 1);
	while (!atomic_load(&race->go))
		;
}

static void count(struct race *race, const void *made)
{
	if (made)
		atomic_fetch_add(&race->won, 1);
	else
		atomic_fetch_add(errno == EEXIST ? &race->lost : &race->other, 1);
}

static int create_queue(void *arg)
{
	struct brood_queue_opts opts = { .slots = 1, .max_bytes = 8, .name = "same" };
	struct race *race = arg;

	at_once(race);
	count(race, brood_queue_create(&opts));
	return 0;
}

static int create_segment(void *arg)
{
	struct race *race = arg;

	at_once(race);
	count(race, brood_segment_create(own_name("same"), NULL));
	return 0;
}

static void one_wins(int (*create)(void *))
{
	struct race *race = shared(sizeof(*race));
	pid_t children[TEAM];

	for (int i = 0; i < TEAM; i++)
		children[i] = start(create, race);
	while (atomic_load(&race->ready) < TEAM)
		usleep(50);
	atomic_store(&race->go, 1);
	for (int i = 0; i < TEAM; i++)
		ck_assert_int_eq(end_of(children[i]), 0);
	ck_assert_int_eq(race->won, 1);
	ck_assert_int_eq(race->lost, TEAM - 1);
	ck_assert_int_eq(race->other, 0);
}

START_TEST(one_gets_the_name_of_a_queue)
{
	for (int i = 0; i < 50; i++) {
		one_wins(create_queue);
		ck_assert_int_eq(brood_queue_destroy(brood_queue_open(NULL, "same")), 0);
	}
}
END_TEST

START_TEST(one_gets_the_name_of_a_segment)
{
	for (int i = 0; i < 50; i++) {
		one_wins(create_segment);
		ck_assert_int_eq(brood_segment_unlink(own_name("same")), 0);
	}
}
END_TEST

/* ---- objects that go while others use them ---- */

struct shaky {
	_Atomic uint64_t reference;
	atomic_bool over;
};

/* Whatever happens to the queue, it is an answer, and what is put comes out as it was. */
static int use_what_is_there(void *arg)
{
	struct shaky *shaky = arg;

	while (!atomic_load(&shaky->over)) {
		struct brood_queue *queue = brood_deref(NULL, atomic_load(&shaky->reference));
		int64_t got;
		int result;

		if (!queue)
			continue;
		result = put_number(queue, 77, 0);
		must(result == 0 || result == -EAGAIN || result == -ESTALE || result == -EBADF);
		got = get_number(queue, 0);
		must(got == 77 || got == -EAGAIN || got == -ESTALE || got == -EBADF);
	}
	return 0;
}

START_TEST(queues_are_destroyed_in_use)
{
	struct shaky *shaky = shared(sizeof(*shaky));
	struct brood_segment_info info;
	pid_t children[TEAM];

	for (int i = 0; i < TEAM; i++)
		children[i] = start(use_what_is_there, shaky);
	for (int i = 0; i < 2000; i++) {
		struct brood_queue *queue = new_queue(4, 8);

		atomic_store(&shaky->reference, brood_ref(NULL, queue));
		if (i % 8 == 0)
			usleep(100);
		ck_assert_int_eq(brood_queue_destroy(queue), 0);
	}
	atomic_store(&shaky->over, true);
	for (int i = 0; i < TEAM; i++)
		ck_assert_int_eq(end_of(children[i]), 0);
	ck_assert_ptr_nonnull(brood_alloc(NULL, 8));
	ck_assert_int_eq(brood_segment_stat(NULL, &info), 0);
	ck_assert_uint_eq(info.objects, 1);
}
END_TEST

/* ---- destroyed, and somebody still inside ---- */

struct limbo {
	struct brood_queue *queue;
	_Atomic bool inside;
};

static void enter(struct brood_queue *queue, struct brood__call *call)
{
	must(brood__object_enter(queue, BROOD__KIND_QUEUE, call) == 0);
}

static int stay_inside(void *arg)
{
	struct limbo *limbo = arg;
	struct brood__call call;

	enter(limbo->queue, &call);
	atomic_store(&limbo->inside, true);
	while (pause())
		;
	return 1;
}

static int destroy_it(void *queue)
{
	must(brood_queue_destroy(queue) == 0);
	return 0;
}

static enum brood__state state_of(const struct brood_queue *queue)
{
	return brood__block_state((const struct brood__block *)(const void *)queue - 1);
}

START_TEST(figures_leave_out_what_is_destroyed)
{
	struct limbo *limbo = shared(sizeof(*limbo));
	struct brood_segment_info before, now;
	pid_t child;

	ck_assert_ptr_nonnull(new_queue(4, 8));
	ck_assert_int_eq(brood_segment_stat(NULL, &before), 0);
	limbo->queue = new_queue(64, 100000);
	child = start(stay_inside, limbo);
	while (!atomic_load(&limbo->inside))
		sched_yield();
	ck_assert_int_eq(brood_queue_destroy(limbo->queue), 0);
	ck_assert_int_eq(brood_segment_stat(NULL, &now), 0);
	ck_assert_int_eq(state_of(limbo->queue), BROOD__LIMBO);
	ck_assert_uint_eq(now.bytes_used, before.bytes_used);
	ck_assert_uint_eq(now.objects, before.objects);
	ck_assert_uint_gt(now.bytes_committed, before.bytes_committed + 64 * 100000);

	/* The figures themselves are a look that ends it. */
	kill_child(child);
	ck_assert_int_eq(brood_segment_stat(NULL, &now), 0);
	ck_assert_int_eq(state_of(limbo->queue), BROOD__FREE);
	ck_assert_uint_eq(now.bytes_used, before.bytes_used);
	ck_assert_uint_lt(now.bytes_committed, before.bytes_committed + 3 * 4096);
}
END_TEST

/* As when a signal handler allocates, or asks for figures, having interrupted a call. */
START_TEST(the_caller_may_be_inside)
{
	struct brood_queue *queue = new_queue(4, 8);
	struct brood_segment_info info;
	struct brood__call call;

	enter(queue, &call);
	ck_assert_int_eq(run(destroy_it, queue), 0);
	ck_assert_int_eq(brood_segment_stat(NULL, &info), 0);
	ck_assert_int_eq(state_of(queue), BROOD__LIMBO);
	ck_assert_ptr_nonnull(brood_alloc(NULL, 8));
	ck_assert_int_eq(state_of(queue), BROOD__LIMBO);
	brood__object_leave(&call);
	ck_assert_int_eq(brood_segment_stat(NULL, &info), 0);
	ck_assert_int_eq(state_of(queue), BROOD__FREE);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("shared", begin_test);

	tcase_add_test(tests, processes_allocate);
	tcase_add_test(tests, threads_allocate);
	tcase_add_test(tests, allocators_are_killed);
	tcase_add_test(tests, one_gets_the_name_of_a_queue);
	tcase_add_test(tests, one_gets_the_name_of_a_segment);
	tcase_add_test(tests, queues_are_destroyed_in_use);
	tcase_add_test(tests, figures_leave_out_what_is_destroyed);
	tcase_add_test(tests, the_caller_may_be_inside);
	return run_cases("segment shared", tests, NULL);
}
