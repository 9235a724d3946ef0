/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The family arena: made once, grown by anybody, shared by all; memory and references. */
#include <pthread.h>

#include "arena/arena.h"
#include "support.h"

/* ---- making it ---- */

static int init_with(struct brood_segment_opts opts)
{
	return brood_init(&opts);
}

static int init_in_many_ways(void *unused)
{
	struct {
		struct brood_segment_opts opts;
		uint64_t later;
	} grown = { { .opts_size = sizeof(grown) }, 1 };
	struct brood_segment_info info;

	(void)unused;
	must(init_with((struct brood_segment_opts){ .bytes = (1 << 20) - 1 }) == -EINVAL);
	must(init_with((struct brood_segment_opts){ .bytes = SIZE_MAX }) == -EINVAL);
	must(init_with((struct brood_segment_opts){ .members = BROOD_MEMBERS_MAX + 1 }) == -EINVAL);
	must(init_with((struct brood_segment_opts){ .opts_size = 4 }) == -EINVAL);
	must(brood_init(&grown.opts) == -EINVAL);
	must(init_with((struct brood_segment_opts){ .bytes = (2 << 20) + 1, .members = 3 }) == 0);
	must(init_with((struct brood_segment_opts){ 0 }) == -EALREADY);
	must(brood_init(NULL) == -EALREADY);
	must(brood_segment_stat(NULL, &info) == 0);
	must(info.bytes_reserved > 2 << 20 && info.bytes_reserved < 3 << 20);
	must(info.members_max == 3);
	must(brood_segment_stat(NULL, NULL) == -EINVAL);
	return 0;
}

START_TEST(made_once)
{
	ck_assert_int_eq(run(init_in_many_ways, NULL), 0);
}
END_TEST

static int first_call_makes_it(void *unused)
{
	(void)unused;
	must(brood_alloc(NULL, 1) != NULL);
	must(brood_init(NULL) == -EALREADY);
	return 0;
}

START_TEST(made_by_the_first_call)
{
	ck_assert_int_eq(run(first_call_makes_it, NULL), 0);
}
END_TEST

static pthread_barrier_t at_once;

static void *alloc_at_once(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&at_once);
	return brood_alloc(NULL, 64);
}

/* The first calls of several threads. */
static int first_calls_make_one(void *unused)
{
	pthread_t threads[8];
	struct brood_segment_info info;

	(void)unused;
	pthread_barrier_init(&at_once, NULL, 8);
	for (int i = 0; i < 8; i++)
		must(pthread_create(&threads[i], NULL, alloc_at_once, NULL) == 0);
	for (int i = 0; i < 8; i++) {
		void *memory;

		must(pthread_join(threads[i], &memory) == 0);
		must(memory && brood_ref(NULL, memory));
	}
	must(brood_segment_stat(NULL, &info) == 0 && info.objects == 8);
	return 0;
}

START_TEST(made_by_several_threads_at_once)
{
	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(run(first_calls_make_one, NULL), 0);
}
END_TEST

/* ---- shared by all ---- */

static int make_objects(void *queue)
{
	struct brood_queue *made = new_queue(4, 100000);
	int64_t *memory = brood_alloc(NULL, 50 << 20);

	must(memory != NULL);
	memory[0] = 7;
	memory[(50 << 20) / 8 - 1] = 8;
	must(brood_queue_put(made, "hello", 5, 0) == 0);
	must(put_number(queue, (int64_t)brood_ref(NULL, made), 0) == 0);
	must(put_number(queue, (int64_t)brood_ref(NULL, memory), 0) == 0);
	return 0;
}

static int use_objects(void *queue)
{
	struct brood_queue *made = brood_deref(NULL, (uint64_t)get_number(queue, BROOD_FOREVER));
	int64_t *memory = brood_deref(NULL, (uint64_t)get_number(queue, BROOD_FOREVER));
	char bytes[5];

	must(made && memory);
	must(brood_queue_get(made, bytes, 5, 0) == 5 && memcmp(bytes, "hello", 5) == 0);
	must(memory[0] == 7 && memory[(50 << 20) / 8 - 1] == 8);
	must(brood_free(NULL, memory) == 0 && brood_queue_destroy(made) == 0);
	return 0;
}

/* Made by one child after the fork, used by another that is older, freed by that. */
START_TEST(objects_made_later_are_for_all)
{
	struct brood_queue *queue = new_queue(4, 8);
	struct brood_segment_info before, after;
	pid_t user = start(use_objects, queue);

	ck_assert_int_eq(brood_segment_stat(NULL, &before), 0);
	ck_assert_int_eq(run(make_objects, queue), 0);
	ck_assert_int_eq(end_of(user), 0);
	ck_assert_int_eq(brood_segment_stat(NULL, &after), 0);
	ck_assert_uint_eq(after.objects, before.objects);
}
END_TEST

/* ---- memory ---- */

START_TEST(memory_is_zeroed_and_aligned)
{
	static const size_t sizes[] = { 1, 8, 63, 64, 65, 1000, 4096, 5000, 100000, 3 << 20 };

	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			unsigned char *memory = brood_alloc(NULL, sizes[i]);
			int any = 0;

			ck_assert_ptr_nonnull(memory);
			ck_assert_uint_eq((uintptr_t)memory % 64, 0);
			for (size_t k = 0; k < sizes[i]; k++)
				any |= memory[k];
			ck_assert_int_eq(any, 0);
			memset(memory, 0xff, sizes[i]);
			ck_assert_int_eq(brood_free(NULL, memory), 0);
		}
}
END_TEST

START_TEST(memory_is_used_again)
{
	struct brood_segment_info first, last;

	for (int round = 0; round < 200; round++) {
		void *memory[10];

		for (int i = 0; i < 10; i++) {
			memory[i] = brood_alloc(NULL, (size_t)1 << (2 * i));
			ck_assert_ptr_nonnull(memory[i]);
		}
		for (int i = 0; i < 10; i++)
			ck_assert_int_eq(brood_free(NULL, memory[(i * 3) % 10]), 0);
		ck_assert_int_eq(brood_segment_stat(NULL, round > 1 ? &last : &first), 0);
	}
	ck_assert_uint_eq(last.objects, first.objects);
	ck_assert_uint_eq(last.bytes_used, first.bytes_used);
	ck_assert_uint_eq(last.bytes_committed, first.bytes_committed);
}
END_TEST

START_TEST(freed_pages_go_back)
{
	struct brood_segment_info before, held, after;
	void *memory;

	ck_assert_ptr_nonnull(brood_alloc(NULL, 64));
	ck_assert_int_eq(brood_segment_stat(NULL, &before), 0);
	memory = brood_alloc(NULL, 64 << 20);
	ck_assert_int_eq(brood_segment_stat(NULL, &held), 0);
	ck_assert_uint_ge(held.bytes_committed, before.bytes_committed + (64 << 20));
	ck_assert_uint_ge(held.bytes_used, before.bytes_used + (64 << 20));
	ck_assert_uint_eq(held.objects, before.objects + 1);
	ck_assert_int_eq(brood_free(NULL, memory), 0);
	ck_assert_int_eq(brood_segment_stat(NULL, &after), 0);
	ck_assert_uint_le(after.bytes_committed, before.bytes_committed + 2 * 4096);
	ck_assert_uint_eq(after.bytes_used, before.bytes_used);
}
END_TEST

START_TEST(only_memory_is_freed)
{
	char *memory = brood_alloc(NULL, 1000), on_stack[64], *heap = malloc(64);
	struct brood_queue *queue = new_queue(1, 8);

	ck_assert_int_eq(brood_free(NULL, NULL), -EINVAL);
	ck_assert_int_eq(brood_free(NULL, on_stack), -EINVAL);
	ck_assert_int_eq(brood_free(NULL, heap), -EINVAL);
	ck_assert_int_eq(brood_free(NULL, queue), -EINVAL);
	ck_assert_int_eq(brood_free(NULL, memory + 1), -EINVAL);
	ck_assert_int_eq(brood_free(NULL, memory + 64), -EINVAL);
	ck_assert_int_eq(brood_free(NULL, memory - 64), -EINVAL);
	ck_assert_int_eq(brood_free(NULL, memory + (1ll << 30)), -EINVAL);
	ck_assert_int_eq(brood_free((struct brood_segment *)heap, memory), -EINVAL);
	ck_assert_int_eq(brood_free(NULL, memory), 0);
	ck_assert_int_eq(brood_free(NULL, memory), -EINVAL);
	ck_assert_int_eq(put_number(queue, 1, 0), 0);
	free(heap);
}
END_TEST

START_TEST(absurd_sizes)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 64, SIZE_MAX / 2, 1ull << 37,
					(1ull << 36) + 1, 1ull << 36 };

	errno = 0;
	ck_assert_ptr_null(brood_alloc(NULL, 0));
	ck_assert_int_eq(errno, EINVAL);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		errno = 0;
		ck_assert_ptr_null(brood_alloc(NULL, sizes[i]));
		ck_assert_int_eq(errno, ENOSPC);
	}
	ck_assert_ptr_nonnull(brood_alloc(NULL, 64));
	ck_assert_ptr_null(brood_alloc((struct brood_segment *)(void *)&errno, 64));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- references ---- */

static void no_reference(const void *object)
{
	errno = 0;
	ck_assert_uint_eq(brood_ref(NULL, object), 0);
	ck_assert_int_eq(errno, EFAULT);
}

static void leads_nowhere(uint64_t reference, int error)
{
	errno = 0;
	ck_assert_ptr_null(brood_deref(NULL, reference));
	ck_assert_int_eq(errno, error);
}

START_TEST(references_go_there_and_back)
{
	void *objects[100];
	uint64_t references[100];

	for (size_t i = 0; i < 100; i++) {
		objects[i] = i % 10 ? brood_alloc(NULL, i * 100) : (void *)new_queue(1, 8);
		references[i] = brood_ref(NULL, objects[i]);
		ck_assert_uint_ne(references[i], 0);
		ck_assert_uint_eq(references[i], brood_ref(NULL, objects[i]));
	}
	for (size_t i = 0; i < 100; i++)
		ck_assert_ptr_eq(brood_deref(NULL, references[i]), objects[i]);
}
END_TEST

START_TEST(only_objects_have_references)
{
	char *memory = brood_alloc(NULL, 1000), on_stack[64];

	no_reference(NULL);
	no_reference(on_stack);
	no_reference(memory + 1);
	no_reference(memory + 64);
	no_reference(memory - 64);
	no_reference(memory + (1ll << 30));
	ck_assert_int_eq(brood_free(NULL, memory), 0);
	no_reference(memory);
}
END_TEST

START_TEST(references_of_the_past)
{
	void *memory = brood_alloc(NULL, 1000), *again;
	struct brood_queue *queue = new_queue(1, 8);
	uint64_t reference = brood_ref(NULL, memory), of_queue = brood_ref(NULL, queue);

	ck_assert_int_eq(brood_free(NULL, memory), 0);
	ck_assert_int_eq(brood_queue_destroy(queue), 0);
	leads_nowhere(reference, ESTALE);
	leads_nowhere(of_queue, ESTALE);
	again = brood_alloc(NULL, 1000);
	ck_assert_ptr_eq(again, memory);	/* else the next line shows nothing */
	leads_nowhere(reference, ESTALE);
	ck_assert_ptr_eq(brood_deref(NULL, brood_ref(NULL, again)), again);
}
END_TEST

START_TEST(references_by_chance)
{
	uint64_t reference = brood_ref(NULL, brood_alloc(NULL, 1000));

	leads_nowhere(0, EFAULT);
	leads_nowhere(UINT64_MAX, EFAULT);
	for (int bit = 0; bit < 44; bit++)	/* place and segment */
		leads_nowhere(reference ^ 1ull << bit, EFAULT);
	for (int bit = 44; bit < 64; bit++)	/* which of those that were there */
		leads_nowhere(reference ^ 1ull << bit, ESTALE);
	srand48(5);
	for (int i = 0; i < 100000; i++)
		ck_assert_ptr_null(brood_deref(NULL, (uint64_t)mrand48() << 32 ^
							     (uint64_t)mrand48() << 16));
}
END_TEST

/* ---- death ---- */

static int claim_and_leave(void *unused)
{
	(void)unused;
	return brood__block_claim(brood__segment(NULL), 600 << 10, 600 << 10) ? 0 : 1;
}

/* Claimed and not yet handed out when its claimer died: given back when it is needed. */
static int claim_what_the_dead_had(void *unused)
{
	struct brood_segment_opts opts = { .bytes = 1 << 20 };

	(void)unused;
	must(brood_init(&opts) == 0);
	for (int i = 0; i < 20; i++)
		must(run(claim_and_leave, NULL) == 0);
	must(brood_alloc(NULL, 600 << 10) != NULL);
	must(brood_alloc(NULL, 600 << 10) == NULL && errno == ENOSPC);
	return 0;
}

START_TEST(memory_of_the_dead_is_found)
{
	ck_assert_int_eq(run(claim_what_the_dead_had, NULL), 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("family", begin_test);
	TCase *own = new_case("own family", begin_without_arena);

	tcase_add_test(own, made_once);
	tcase_add_test(own, made_by_the_first_call);
	tcase_add_test(own, made_by_several_threads_at_once);
	tcase_add_test(own, memory_of_the_dead_is_found);
	tcase_add_test(tests, objects_made_later_are_for_all);
	tcase_add_test(tests, memory_is_zeroed_and_aligned);
	tcase_add_test(tests, memory_is_used_again);
	tcase_add_test(tests, freed_pages_go_back);
	tcase_add_test(tests, only_memory_is_freed);
	tcase_add_test(tests, absurd_sizes);
	tcase_add_test(tests, references_go_there_and_back);
	tcase_add_test(tests, only_objects_have_references);
	tcase_add_test(tests, references_of_the_past);
	tcase_add_test(tests, references_by_chance);
	return run_cases("segment", own, tests, NULL);
}
