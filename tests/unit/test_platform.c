/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Floor 1 but for life words and files: options, time, errors, futexes, memory. */
#include <fcntl.h>
#include <sched.h>

#include "platform/platform.h"
#include "support.h"

/* ---- options ---- */

struct known {
	size_t opts_size;
	uint8_t a, b;
};

struct grown {
	struct known known;
	char later[16];
};

START_TEST(options_of_all_sizes)
{
	struct grown given = { { 0, 1, 2 }, "" };
	struct known ours = { 9, 9, 9 };

	ck_assert_int_eq(brood__options(&ours, sizeof(ours), NULL), 0);
	ck_assert(ours.opts_size == 0 && ours.a == 0 && ours.b == 0);
	for (size_t size = 0; size <= sizeof(given); size++) {
		bool has_a = size == 0 || size > offsetof(struct known, a);
		bool has_b = size == 0 || size > offsetof(struct known, b);

		given.known.opts_size = size;
		memset(&ours, 9, sizeof(ours));
		if (size > 0 && size < sizeof(size_t)) {
			ck_assert_int_eq(brood__options(&ours, sizeof(ours), &given), -EINVAL);
			continue;
		}
		ck_assert_int_eq(brood__options(&ours, sizeof(ours), &given), 0);
		ck_assert_uint_eq(ours.a, has_a ? 1 : 0);
		ck_assert_uint_eq(ours.b, has_b ? 2 : 0);
	}
}
END_TEST

START_TEST(unknown_options_must_be_zero)
{
	for (size_t i = 0; i < 16; i++) {
		struct grown given = { { sizeof(given), 1, 2 }, "" };
		struct known ours;

		given.later[i] = 1;
		ck_assert_int_eq(brood__options(&ours, sizeof(ours), &given), -EINVAL);
		given.known.opts_size = sizeof(given.known) + i;
		ck_assert_int_eq(brood__options(&ours, sizeof(ours), &given), 0);
	}
}
END_TEST

/* ---- time ---- */

START_TEST(timeouts_in_words)
{
	ck_assert_int_eq(brood_ms(3), 3000000);
	ck_assert_int_eq(brood_us(3), 3000);
	ck_assert_int_eq(brood_ms(0), 0);
	ck_assert_int_eq(brood_us(-1), 0);
	ck_assert_int_eq(brood_ms(-1), 0);
	ck_assert_int_eq(brood_ms(INT64_MIN), 0);
	ck_assert_int_gt(brood_ms(INT64_MAX), brood_ms(1ll << 40));
	ck_assert_int_gt(brood_us(INT64_MAX), brood_us(1ll << 50));
	ck_assert_int_lt(brood_ms(INT64_MAX), BROOD_FOREVER);
	ck_assert_int_lt(brood_us(INT64_MAX), BROOD_FOREVER);
}
END_TEST

START_TEST(deadlines)
{
	int64_t before = brood_now(), year = 366ll * 86400 * 1000 * MS, at;

	ck_assert_int_eq(brood__deadline(BROOD_FOREVER), BROOD__NO_DEADLINE);
	ck_assert_int_eq(brood__deadline(0), 0);
	ck_assert_int_eq(brood__deadline(-1), 0);
	at = brood__deadline(brood_ms(50));
	ck_assert_int_ge(at, before + 50 * MS);
	ck_assert_int_le(at, brood_now() + 50 * MS);
	ck_assert_int_ge(brood__deadline(brood_ms(INT64_MAX)), before + year);
	ck_assert_int_ge(brood__deadline(INT64_MAX - 1), before + year);
	ck_assert_int_eq(brood__deadline(brood_until(12345)), 12345);
	ck_assert_int_eq(brood__deadline(brood_until(before + year)), before + year);
	ck_assert_int_ge(brood__deadline(brood_until(INT64_MAX)), before + year);
	ck_assert_int_gt(brood__deadline(brood_until(0)), 0);	/* over, not "do not wait" */
	ck_assert_int_le(brood__deadline(brood_until(0)), 1);
	ck_assert_int_le(brood__deadline(brood_until(-5)), 1);
}
END_TEST

START_TEST(errors_have_texts)
{
	const char *unknown = brood_strerror(99999);

	ck_assert_str_eq(brood_strerror(0), "success");
	ck_assert_str_eq(brood_strerror(INT32_MIN), unknown);
	for (int error = 1; error < 134; error++) {
		if (error == 41 || error == 58)		/* numbers without an error */
			continue;
		ck_assert_str_eq(brood_strerror(error), brood_strerror(-error));
		ck_assert_str_ne(brood_strerror(error), unknown);
		ck_assert_str_ne(brood_strerror(error), "");
	}
	ck_assert_str_ne(brood_strerror(-EUSERS), strerror(EUSERS));	/* in brood's words */
	ck_assert_str_eq(brood_version(), "0.1.0");
}
END_TEST

/* ---- futexes ---- */

struct sleeper {
	_Atomic uint32_t words[BROOD__FUTEX_MANY];
	_Atomic int32_t result;
	uint32_t n;
};

static int sleep_on_words(void *arg)
{
	struct sleeper *sleeper = arg;
	struct brood__futex set[BROOD__FUTEX_MANY];

	for (uint32_t i = 0; i < sleeper->n; i++)
		set[i] = (struct brood__futex){ &sleeper->words[i], 0 };
	return -brood__futex_sleep(set, sleeper->n, BROOD__NO_DEADLINE);
}

static bool many_words_work(void)
{
	_Atomic uint32_t words[2] = { 1, 1 };
	struct brood__futex set[2] = { { &words[0], 0 }, { &words[1], 0 } };

	return brood__futex_sleep(set, 2, BROOD__NO_DEADLINE) == 0;
}

static const uint32_t numbers[] = { 1, 2, 3, 64, 127, 128 };

START_TEST(any_word_wakes)
{
	struct sleeper *sleeper = shared(sizeof(*sleeper));

	sleeper->n = numbers[_i];
	if (sleeper->n > 1 && !many_words_work()) {
		skipped("sleeping on several words: the kernel is too old");
		return;
	}
	for (uint32_t k = 0; k < sleeper->n; k += 1 + sleeper->n / 4) {
		pid_t child = start(sleep_on_words, sleeper);

		ck_assert(until_asleep(child));
		ck_assert_int_eq(brood__futex_wake(&sleeper->words[k], 1), 1);
		ck_assert_int_eq(end_of(child), 0);
		ck_assert_int_eq(brood__futex_wake(&sleeper->words[k], 1), 0);
	}
}
END_TEST

START_TEST(no_sleep_on_another_value)
{
	_Atomic uint32_t word = 5;
	struct brood__futex set = { &word, 4 };

	ck_assert_int_eq(brood__futex_sleep(&set, 1, BROOD__NO_DEADLINE), 0);
	set.value = 5;
	ck_assert_int_eq(brood__futex_sleep(&set, 1, 1), -ETIMEDOUT);
	ck_assert_int_eq(brood__futex_sleep(&set, 1, brood_now() + 2 * MS), -ETIMEDOUT);
}
END_TEST

START_TEST(clear_and_wake)
{
	struct sleeper *sleeper = shared(sizeof(*sleeper));
	unsigned int bit = (unsigned int)_i;
	_Atomic uint32_t *mask = &sleeper->words[8], *word = &sleeper->words[0];
	pid_t children[2];

	sleeper->n = 1;
	atomic_store(mask, UINT32_MAX);
	ck_assert_int_eq(brood__futex_clear_and_wake(mask, bit, word), 0);
	ck_assert_uint_eq(atomic_load(mask), ~(1u << bit));
	ck_assert_int_eq(brood__futex_clear_and_wake(mask, bit, word), 0);	/* it is clear */
	ck_assert_uint_eq(atomic_load(mask), ~(1u << bit));
	for (int i = 0; i < 2; i++) {
		children[i] = start(sleep_on_words, sleeper);
		ck_assert(until_asleep(children[i]));
	}
	atomic_store(mask, 1u << bit);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(brood__futex_clear_and_wake(mask, bit, word), 1);
		ck_assert_uint_eq(atomic_load(mask), 0);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(children[i]), 0);
	ck_assert_uint_eq(atomic_load(word), 0);
}
END_TEST

/* ---- memory ---- */

START_TEST(memory_files)
{
	size_t page = brood__page_size();
	int fd = brood__memory_file("test", 16 * page);
	char *memory;
	struct brood__file_id id;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, 0), -1);		/* sealed: nobody can cause SIGBUS */
	ck_assert_int_eq(ftruncate(fd, (off_t)(32 * page)), -1);
	memory = brood__memory_map(fd, 16 * page);
	ck_assert_ptr_nonnull(memory);
	ck_assert_int_eq(brood__file_identify(fd, &id), 0);
	ck_assert_uint_eq(id.committed, 0);
	ck_assert_uint_eq(id.size, 16 * page);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(brood__memory_commit(fd, 2 * page, 3 * page), 0);
	ck_assert_int_eq(brood__file_identify(fd, &id), 0);
	ck_assert_uint_eq(id.committed, 3 * page);
	memset(memory + 2 * page, 7, 3 * page);
	ck_assert_int_eq(brood__memory_decommit(fd, 3 * page, page), 0);
	ck_assert_int_eq(memory[3 * page - 1], 7);
	ck_assert_int_eq(memory[4 * page], 7);
	ck_assert_int_eq(brood__memory_commit(fd, 3 * page, page), 0);
	ck_assert_int_eq(memory[3 * page], 0);
	ck_assert_int_eq(brood__memory_unmap(memory, 16 * page), 0);
	close(fd);
	ck_assert_int_eq(brood__memory_commit(fd, 0, page), -EBADF);
}
END_TEST

static int is_wiped(void *page)
{
	for (size_t i = 0; i < brood__page_size(); i++)
		must(((char *)page)[i] == 0);
	return 0;
}

START_TEST(a_page_wiped_on_fork)
{
	char *page = brood__memory_wiped_on_fork();

	ck_assert_ptr_nonnull(page);
	memset(page, 5, brood__page_size());
	ck_assert_int_eq(run(is_wiped, page), 0);
	ck_assert_int_eq(page[0], 5);
	brood__memory_wiped_free(page);
}
END_TEST

START_TEST(cpus)
{
	cpu_set_t one;

	ck_assert_uint_ge(brood__cpus_allowed(), 1);
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	ck_assert_uint_eq(brood__cpus_allowed(), 1);
	ck_assert_int_eq(brood__thread_id(), gettid());
	ck_assert_int_eq(brood__fence_register(), 0);
	ck_assert_int_eq(brood__fence_all_cpus(), 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("platform", begin_without_arena);

	tcase_add_test(tests, options_of_all_sizes);
	tcase_add_test(tests, unknown_options_must_be_zero);
	tcase_add_test(tests, timeouts_in_words);
	tcase_add_test(tests, deadlines);
	tcase_add_test(tests, errors_have_texts);
	tcase_add_loop_test(tests, any_word_wakes, 0, 6);
	tcase_add_test(tests, no_sleep_on_another_value);
	tcase_add_loop_test(tests, clear_and_wake, 0, 32);
	tcase_add_test(tests, memory_files);
	tcase_add_test(tests, a_page_wiped_on_fork);
	tcase_add_test(tests, cpus);
	return run_cases("platform", tests, NULL);
}
