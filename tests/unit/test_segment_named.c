/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Named segments: names, unrelated processes, several at once, what dead creators left. */
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include "arena/arena.h"
#include "support.h"

static struct brood_segment *created(const char *stem)
{
	struct brood_segment *segment = brood_segment_create(own_name(stem), NULL);

	ck_assert_ptr_nonnull(segment);
	return segment;
}

static struct brood_queue *queue_in(struct brood_segment *segment, const char *name)
{
	struct brood_queue_opts opts = {
		.slots = 4,
		.max_bytes = 8,
		.segment = segment,
		.name = name,
	};
	struct brood_queue *queue = brood_queue_create(&opts);

	ck_assert_ptr_nonnull(queue);
	return queue;
}

static void cannot_open(const char *name, int error)
{
	errno = 0;
	ck_assert_ptr_null(brood_segment_open(name));
	ck_assert_int_eq(errno, error);
}

static void cannot_create(const char *name, const struct brood_segment_opts *opts, int error)
{
	errno = 0;
	ck_assert_ptr_null(brood_segment_create(name, opts));
	ck_assert_int_eq(errno, error);
}

START_TEST(from_create_to_unlink)
{
	struct brood_segment *segment = created("a"), *same;
	struct brood_segment_info info;
	struct stat file;

	ck_assert_int_eq(brood_segment_stat(segment, &info), 0);
	ck_assert_uint_eq(info.bytes_reserved, 1 << 30);
	ck_assert_uint_eq(info.members_max, BROOD_MEMBERS_MAX);
	ck_assert_uint_eq(info.objects, 0);
	ck_assert_int_eq(stat(file_of(own_name("a")), &file), 0);
	ck_assert_uint_eq(file.st_mode, S_IFREG | 0600);
	cannot_create(own_name("a"), NULL, EEXIST);
	same = brood_segment_open(own_name("a"));
	ck_assert_ptr_eq(same, segment);	/* this process has it already */
	ck_assert_int_eq(brood_segment_close(same), 0);
	ck_assert_ptr_nonnull(brood_alloc(segment, 100));
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), -ENOENT);
	cannot_open(own_name("a"), ENOENT);
	ck_assert_ptr_nonnull(brood_alloc(segment, 100));	/* who is attached goes on */
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_segment_close(segment), -EINVAL);
}
END_TEST

START_TEST(names)
{
	static const char *const bad[] = { "", "/", "a/b", "/a/b", "a/", "//a", "..//" };
	char longest[202];
	struct brood_segment *segment;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cannot_create(bad[i], NULL, EINVAL);
		cannot_open(bad[i], EINVAL);
		ck_assert_int_eq(brood_segment_unlink(bad[i]), -EINVAL);
	}
	cannot_create(NULL, NULL, EINVAL);
	cannot_open(NULL, EINVAL);
	ck_assert_int_eq(brood_segment_unlink(NULL), -EINVAL);
	snprintf(longest, sizeof(longest), "/%s", own_name("a"));
	segment = brood_segment_create(longest, NULL);	/* the same as without the slash */
	ck_assert_ptr_nonnull(segment);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	memset(longest, 'x', 201);
	longest[201] = '\0';
	memcpy(longest, own_name("a"), strlen(own_name("a")));
	cannot_create(longest, NULL, ENAMETOOLONG);
	longest[200] = '\0';
	segment = brood_segment_create(longest, NULL);
	ck_assert_ptr_nonnull(segment);
	ck_assert_int_eq(brood_segment_unlink(longest), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
}
END_TEST

START_TEST(options)
{
	struct brood_segment_opts small = { .bytes = 1 << 20, .members = 2 };
	struct brood_segment *segment = brood_segment_create(own_name("a"), &small);
	struct brood_segment_info info;

	ck_assert_ptr_nonnull(segment);
	ck_assert_int_eq(brood_segment_stat(segment, &info), 0);
	ck_assert_uint_eq(info.bytes_reserved, 1 << 20);
	ck_assert_uint_eq(info.members_max, 2);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	cannot_create(own_name("a"), &(struct brood_segment_opts){ .bytes = 4096 }, EINVAL);
	cannot_create(own_name("a"), &(struct brood_segment_opts){ .bytes = SIZE_MAX }, EINVAL);
	cannot_create(own_name("a"), &(struct brood_segment_opts){ .members = 257 }, EINVAL);
	cannot_create(own_name("a"), &(struct brood_segment_opts){ .opts_size = 1 }, EINVAL);
}
END_TEST

START_TEST(many_at_once)
{
	struct brood_segment_opts small = { .bytes = 1 << 20, .members = 1 };
	struct brood_segment *segments[100];
	struct brood_queue *queues[100];
	char stem[16];
	int n = 0;

	for (; n < 100; n++) {
		snprintf(stem, sizeof(stem), "%d", n);
		segments[n] = brood_segment_create(own_name(stem), &small);
		if (!segments[n])
			break;
		ck_assert_int_eq(brood_segment_unlink(own_name(stem)), 0);
		queues[n] = queue_in(segments[n], "q");
		ck_assert_int_eq(put_number(queues[n], n, 0), 0);
	}
	ck_assert_int_ge(n, 32);
	ck_assert_int_lt(n, 100);
	ck_assert_int_eq(errno, EMFILE);
	for (int i = 0; i < n; i++) {
		ck_assert_ptr_eq(brood_queue_open(segments[i], "q"), queues[i]);
		ck_assert_int_eq(get_number(queues[i], 0), i);
		ck_assert_uint_eq(brood_ref(NULL, queues[i]), 0);
		ck_assert_int_eq(brood_segment_close(segments[i]), 0);
	}
	cannot_open(own_name(stem), ENOENT);	/* the one too many has no file */
}
END_TEST

/* A reference leads nowhere in another segment, whatever lies there. */
START_TEST(references_of_another_segment)
{
	struct brood_segment *a = created("a"), *b = NULL;

	for (bool same_tag = true; same_tag; ) {	/* one chance in 255 */
		if (b)
			brood_segment_close(b);
		b = created("b");
		ck_assert_int_eq(brood_segment_unlink(own_name("b")), 0);
		same_tag = a->header->tag == b->header->tag;
	}
	ck_assert_ptr_nonnull(brood_alloc(b, 100));
	errno = 0;
	ck_assert_ptr_null(brood_deref(b, brood_ref(a, brood_alloc(a, 100))));
	ck_assert_int_eq(errno, EFAULT);
	ck_assert_int_eq(brood_free(b, brood_alloc(a, 100)), -EINVAL);
	ck_assert_int_eq(brood_segment_close(a), 0);
	ck_assert_int_eq(brood_segment_close(b), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
}
END_TEST

/* ---- processes that are not related: this program, started anew ---- */

static int attach_and_answer(const char *name)
{
	struct brood_segment *segment = brood_segment_open(name);
	struct brood_queue *queue = brood_queue_open(segment, "questions");
	uint64_t *answer;

	must(segment && queue);
	answer = brood_deref(segment, (uint64_t)get_number(queue, BROOD_FOREVER));
	must(answer && *answer == 41);
	++*answer;
	must(put_number(queue, (int64_t)brood_ref(segment, answer), 0) == 0);
	must(brood_segment_close(segment) == 0);
	return 0;
}

static int exec_self(void *name)
{
	execl("/proc/self/exe", "test_segment_named", "attach", (const char *)name, (char *)NULL);
	return 1;
}

START_TEST(unrelated_processes)
{
	struct brood_segment *segment = created("a");
	struct brood_queue *queue = queue_in(segment, "questions");
	uint64_t *number = brood_alloc(segment, sizeof(*number));
	uint64_t reference = brood_ref(segment, number);

	*number = 41;
	ck_assert_int_eq(put_number(queue, (int64_t)reference, 0), 0);
	ck_assert_int_eq(run(exec_self, (void *)(uintptr_t)own_name("a")), 0);
	ck_assert_int_eq(get_number(queue, 0), (int64_t)reference);
	ck_assert_uint_eq(*number, 42);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	segment = brood_segment_open(own_name("a"));	/* it lives on without anybody */
	ck_assert_ptr_nonnull(segment);
	number = brood_deref(segment, reference);
	ck_assert_ptr_nonnull(number);
	ck_assert_uint_eq(*number, 42);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
}
END_TEST

static int expect_exdev(const char *name)
{
	return brood_segment_open(name) == NULL && errno == EXDEV ? 0 : 1;
}

static int exec_expecting_exdev(void *name)
{
	execl("/proc/self/exe", "test_segment_named", "exdev", (const char *)name, (char *)NULL);
	return 1;
}

static int in_another_pid_namespace(void *name)
{
	return own_namespaces(CLONE_NEWPID) ? run(exec_expecting_exdev, name) : 77;
}

START_TEST(another_pid_namespace)
{
	struct brood_segment *segment = created("a");
	int code = run(in_another_pid_namespace, (void *)(uintptr_t)own_name("a"));

	ck_assert(code == 0 || code == 77);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
}
END_TEST

/* ---- what dead creators left ---- */

static int create_half(void *arg)
{
	char temporary[64];

	must(brood__shm_create(temporary) >= 0);
	strcpy(arg, temporary);
	while (pause())
		;
	return 0;
}

START_TEST(half_made_files_go_with_their_creator)
{
	char *path = shared(64);
	volatile const char *told = path;
	pid_t creator = start(create_half, path);

	while (!*told)
		usleep(100);
	usleep(1000);	/* the name is being copied */
	cannot_open(own_name("none"), ENOENT);
	ck_assert_int_eq(access(path, F_OK), 0);	/* its creator lives */
	kill_child(creator);
	if (_i == 0) {
		cannot_open(own_name("none"), ENOENT);
	} else {
		ck_assert_int_eq(brood_segment_close(created("a")), 0);
		ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
	}
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

int main(int argc, char **argv)
{
	TCase *tests;

	if (argc == 3 && strcmp(argv[1], "attach") == 0)
		return attach_and_answer(argv[2]);
	if (argc == 3 && strcmp(argv[1], "exdev") == 0)
		return expect_exdev(argv[2]);
	tests = new_case("named", begin_test);
	tcase_add_test(tests, from_create_to_unlink);
	tcase_add_test(tests, names);
	tcase_add_test(tests, options);
	tcase_add_test(tests, many_at_once);
	tcase_add_test(tests, references_of_another_segment);
	tcase_add_test(tests, unrelated_processes);
	tcase_add_test(tests, another_pid_namespace);
	tcase_add_loop_test(tests, half_made_files_go_with_their_creator, 0, 2);
	return run_cases("segment named", tests, NULL);
}
