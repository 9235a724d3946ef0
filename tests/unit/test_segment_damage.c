/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that are no segment, no longer one, or not ours: refused before a byte is believed. */
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "arena/arena.h"
#include "support.h"

#define NAME own_name("a")

static void refused(int error)
{
	errno = 0;
	ck_assert_ptr_null(brood_segment_open(NAME));
	ck_assert_int_eq(errno, error);
}

static void accepted(void)
{
	struct brood_segment *segment = brood_segment_open(NAME);

	ck_assert_ptr_nonnull(segment);
	ck_assert_int_eq(brood_segment_close(segment), 0);
}

static int open_file(int flags)
{
	int fd = open(file_of(NAME), flags | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* A segment with a queue in it, that nobody has open. */
static void make_segment(void)
{
	struct brood_segment_opts opts = { .bytes = 4 << 20, .members = 7 };
	struct brood_segment *segment = brood_segment_create(NAME, &opts);
	struct brood_queue_opts queue = {
		.slots = 4,
		.max_bytes = 8,
		.name = "q",
		.segment = segment,
	};

	ck_assert_ptr_nonnull(segment);
	ck_assert_ptr_nonnull(brood_alloc(segment, 1000));
	ck_assert_ptr_nonnull(brood_queue_create(&queue));
	ck_assert_ptr_nonnull(brood_alloc(segment, 1000));
	ck_assert_int_eq(brood_segment_close(segment), 0);
}

static void remove_file(void)
{
	ck_assert_int_eq(brood_segment_unlink(NAME), 0);
}

/* ---- the header ---- */

static void exchange(size_t offset, void *bytes, size_t size)
{
	char old[8];
	int fd = open_file(O_RDWR);

	ck_assert_int_eq(pread(fd, old, size, (off_t)offset), (ssize_t)size);
	ck_assert_int_eq(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
	memcpy(bytes, old, size);
	close(fd);
}

/* Each bit of everything that does not change. */
START_TEST(no_bit_of_the_header_may_differ)
{
	make_segment();
	accepted();
	for (size_t at = 0; at < offsetof(struct brood__header, check) + 8; at++) {
		unsigned char byte;
		int fd = open_file(O_RDWR);

		ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
		close(fd);
		for (int bit = 0; bit < 8; bit++) {
			unsigned char other = (unsigned char)(byte ^ 1 << bit);

			exchange(at, &other, 1);
			refused(EPROTO);
			exchange(at, &other, 1);
		}
	}
	accepted();
	remove_file();
}
END_TEST

#define TOP offsetof(struct brood__header, top)

static const struct {
	size_t offset;
	uint64_t value;
} bounds[] = {
	{ TOP, 0 }, { TOP, 4096 }, { TOP, 4096 + 64 }, { TOP, (4 << 20) + 64 },
	{ TOP, (1 << 20) + 1 }, { TOP, (1 << 20) + 32 }, { TOP, UINT64_MAX }, { TOP, 1ull << 63 },
	{ offsetof(struct brood__header, members_used), 7 + BROOD__GUESTS + 1 },
	{ offsetof(struct brood__header, members_used), UINT32_MAX },
};

START_TEST(what_changes_has_bounds)
{
	uint64_t value = bounds[_i].value;
	size_t size = bounds[_i].offset == TOP ? 8 : 4;

	make_segment();
	exchange(bounds[_i].offset, &value, size);
	refused(EPROTO);
	exchange(bounds[_i].offset, &value, size);
	accepted();
	remove_file();
}
END_TEST

/* ---- the file ---- */

static const off_t sizes[] = { 0, 1, 100, 4096, 1 << 20, (4 << 20) - 4096, (4 << 20) - 1,
			       (4 << 20) + 4096, 1ll << 37, 8ll << 40 };

START_TEST(size_is_that_of_the_header)
{
	make_segment();
	ck_assert_int_eq(truncate(file_of(NAME), sizes[_i]), 0);
	refused(EPROTO);
	remove_file();
}
END_TEST

static const int fills[] = { 0, 0xff, 'x' };

START_TEST(foreign_contents)
{
	char page[4096];
	int fd = open_file(O_RDWR | O_CREAT | O_EXCL);

	memset(page, fills[_i], sizeof(page));
	for (int i = 0; i < 512; i++)
		ck_assert_int_eq(write(fd, page, sizeof(page)), sizeof(page));
	refused(EPROTO);
	close(fd);
	remove_file();
}
END_TEST

/* Nobody else may read or write it. */
START_TEST(modes)
{
	static const mode_t others[] = { 0601, 0602, 0604, 0610, 0620, 0640, 0660, 0666, 0777 };

	make_segment();
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		ck_assert_int_eq(chmod(file_of(NAME), others[i]), 0);
		refused(EPERM);
	}
	ck_assert_int_eq(chmod(file_of(NAME), 0600), 0);
	accepted();
	remove_file();
}
END_TEST

static int other_user(void *path)
{
	const char *name = path;

	if (geteuid() || setgid(65534) || setuid(65534))
		return 77;
	must(brood_segment_open(name) == NULL && errno == EPERM);
	must(brood_segment_unlink(name) == -EACCES);
	must(brood_segment_create(name, NULL) == NULL && errno == EEXIST);
	return 0;
}

START_TEST(a_segment_of_another_user)
{
	int code;

	make_segment();
	code = run(other_user, (void *)(uintptr_t)NAME);
	ck_assert(code == 0 || code == 77);
	if (code == 77)
		skipped("segments of other users: not root");
	else	/* the other way round: root may open it, and must not believe it */
		ck_assert_int_eq(chown(file_of(NAME), 65534, 65534), 0);
	if (code == 0)
		refused(EPERM);
	remove_file();
}
END_TEST

START_TEST(no_regular_file)
{
	const char *path = file_of(NAME);

	if (_i == 0)
		ck_assert_int_eq(mkfifo(path, 0600), 0);
	else if (_i == 1)
		ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	else
		ck_assert_int_eq(mkdir(path, 0700), 0);
	refused(EPROTO);
	errno = 0;
	ck_assert_ptr_null(brood_segment_create(NAME, NULL));
	ck_assert_int_eq(errno, EEXIST);
	ck_assert_int_eq(_i == 2 ? rmdir(path) : unlink(path), 0);
}
END_TEST

/* ---- the heap, while it is in use ---- */

static int use_damaged_heap(void *arg)
{
	struct brood_segment *segment = brood_segment_open(NAME);
	struct brood__block *block = brood__block_first(segment);
	const uint64_t *words = arg;
	struct brood_segment_info info;

	alarm(5);
	atomic_store(&block->word, words[0]);
	if (words[1])
		atomic_store(&segment->header->top, words[1]);
	brood_queue_open(segment, "q");
	brood_segment_stat(segment, &info);
	brood_ref(segment, block + 1);
	brood_deref(segment, words[0]);
	for (int i = 0; i < 100; i++)
		brood_free(segment, brood_alloc(segment, (size_t)1000 * (size_t)i + 1));
	brood_free(segment, block + 1);
	brood_segment_close(segment);
	return 0;
}

static const uint64_t noise[][2] = {
	{ 0, 0 }, { UINT64_MAX, 0 }, { 1ull << 34, 0 }, { 2, 0 }, { 0xffffffff00000002, 0 },
	{ 0x8000000000000000, 0 }, { 3, 1ull << 62 }, { 2, UINT64_MAX - 63 }, { 1, 4 << 20 },
};

/* Errors or not: no endless walk, and nobody is killed by a signal. */
START_TEST(blocks_that_are_none)
{
	uint64_t words[2] = { noise[_i][0], noise[_i][1] };

	make_segment();
	ck_assert_int_eq(run(use_damaged_heap, words), 0);
	remove_file();
}
END_TEST

int main(void)
{
	TCase *tests = new_case("damage", begin_test);

	tcase_add_test(tests, no_bit_of_the_header_may_differ);
	tcase_add_loop_test(tests, what_changes_has_bounds, 0, 10);
	tcase_add_loop_test(tests, size_is_that_of_the_header, 0, 10);
	tcase_add_loop_test(tests, foreign_contents, 0, 3);
	tcase_add_test(tests, modes);
	tcase_add_test(tests, a_segment_of_another_user);
	tcase_add_loop_test(tests, no_regular_file, 0, 3);
	tcase_add_loop_test(tests, blocks_that_are_none, 0, 9);
	return run_cases("segment damage", tests, NULL);
}
