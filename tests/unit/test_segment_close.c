/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Closed too early: segments whose threads live on, descriptors that the program closed. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include "support.h"

static struct brood_segment *created(const char *stem)
{
	struct brood_segment *segment = brood_segment_create(own_name(stem), NULL);

	ck_assert_ptr_nonnull(segment);
	return segment;
}

static struct brood_queue *queue_in(struct brood_segment *segment)
{
	struct brood_queue_opts opts = { .slots = 4, .max_bytes = 8, .segment = segment };
	struct brood_queue *queue = brood_queue_create(&opts);

	ck_assert_ptr_nonnull(queue);
	return queue;
}

START_TEST(close_what_is_not_open)
{
	ck_assert_int_eq(brood_segment_close(NULL), -EINVAL);
	ck_assert_int_eq(brood_segment_close((struct brood_segment *)(void *)&errno), -EINVAL);
	ck_assert_int_eq(brood_segment_close((struct brood_segment *)8), -EINVAL);
}
END_TEST

struct errand {
	struct brood_queue *queue;
	pthread_barrier_t barrier;
	pthread_mutex_t robust;
};

static void *use_and_live_on(void *arg)
{
	struct errand *errand = arg;

	must(put_number(errand->queue, 1, 0) == 0);
	pthread_barrier_wait(&errand->barrier);
	pthread_barrier_wait(&errand->barrier);
	must(pthread_mutex_lock(&errand->robust) == 0);	/* on the same list as life words */
	must(pthread_mutex_unlock(&errand->robust) == 0);
	return NULL;
}

/* A thread that has used a queue of the segment, and lives on until it is told. */
static pthread_t user_of(struct errand *errand, struct brood_queue *queue)
{
	pthread_mutexattr_t attributes;
	pthread_t thread;

	errand->queue = queue;
	pthread_barrier_init(&errand->barrier, NULL, 2);
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&errand->robust, &attributes);
	ck_assert_int_eq(pthread_create(&thread, NULL, use_and_live_on, errand), 0);
	pthread_barrier_wait(&errand->barrier);
	return thread;
}

static void end_user(struct errand *errand, pthread_t thread)
{
	pthread_barrier_wait(&errand->barrier);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pthread_barrier_destroy(&errand->barrier);
}

START_TEST(not_while_another_thread_lives)
{
	struct brood_segment *segment = created("a"), *again = brood_segment_open(own_name("a"));
	struct brood_queue *queue = queue_in(segment);
	struct brood_segment_info info;
	struct brood_message lease;
	struct errand errand;
	pthread_t thread = user_of(&errand, queue);

	ck_assert_int_eq(brood_queue_lease(queue, &lease, 0), 0);
	ck_assert_int_eq(brood_segment_close(again), 0);	/* it was opened twice */
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(brood_segment_close(segment), -EBUSY);
	ck_assert_int_eq(brood_segment_stat(segment, &info), 0);
	ck_assert_uint_eq(info.members, 2);
	ck_assert_int_eq(brood_queue_release(queue, &lease), 0);
	ck_assert_int_eq(put_number(queue, 2, 0), 0);
	ck_assert_int_eq(get_number(queue, 0), 2);
	end_user(&errand, thread);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
}
END_TEST

struct inherited {
	struct brood_segment *segment;
	struct brood_queue *queue;
};

static int close_what_was_inherited(void *arg)
{
	struct inherited *inherited = arg;

	must(get_number(inherited->queue, 0) == 1);
	must(brood_segment_close(inherited->segment) == 0);
	must(brood_queue_count(inherited->queue) == -EBADF);
	return 0;
}

static int close_what_was_not_used(void *arg)
{
	struct inherited *inherited = arg;

	return brood_segment_close(inherited->segment) ? 1 : 0;
}

/* A child has one thread, whoever used the segment in its parent. */
START_TEST(a_child_closes_for_itself)
{
	struct inherited inherited = { .segment = created("a") };
	struct errand errand;
	pthread_t thread;

	inherited.queue = queue_in(inherited.segment);
	thread = user_of(&errand, inherited.queue);
	ck_assert_int_eq(run(close_what_was_inherited, &inherited), 0);
	ck_assert_int_eq(run(close_what_was_not_used, &inherited), 0);
	ck_assert_int_eq(put_number(inherited.queue, 7, 0), 0);
	ck_assert_int_eq(get_number(inherited.queue, 0), 7);
	end_user(&errand, thread);
	ck_assert_int_eq(brood_segment_close(inherited.segment), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), 0);
}
END_TEST

/* ---- descriptors ---- */

static void close_all(void)
{
	close_range(3, ~0u, 0);
}

/* What is there can be used; what needs memory of the kernel is refused. */
static int use_without_descriptor(void *named)
{
	struct brood_segment *segment = named ? created("a") : NULL;
	struct brood_queue *queue = queue_in(segment);
	void *memory = brood_alloc(segment, 1 << 20), *small = brood_alloc(segment, 64);
	struct brood_segment_info info;

	must(memory && small);
	close_all();
	must(put_number(queue, 1, 0) == 0 && get_number(queue, 0) == 1);
	errno = 0;
	must(brood_alloc(segment, 8 << 20) == NULL && errno == EBADF);
	must(brood_free(segment, memory) == 0);
	errno = 0;
	must(brood_alloc(segment, 1 << 20) == NULL && errno == EBADF);
	must(brood_free(segment, small) == 0);
	must(brood_queue_destroy(queue) == 0);
	must(brood_segment_stat(segment, &info) == 0);
	must(!segment || brood_segment_close(segment) == 0);
	return 0;
}

START_TEST(descriptors_are_closed)
{
	ck_assert_int_eq(run(use_without_descriptor, _i ? &_i : NULL), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), _i ? 0 : -ENOENT);
}
END_TEST

enum { BYTES = 4 << 20 };

static int file_of_the_user(void)
{
	int fd = memfd_create("users", 0);

	must(fd >= 0);
	for (int i = 0; i < BYTES / 4096; i++) {
		char page[4096];

		memset(page, 'u', sizeof(page));
		must(write(fd, page, sizeof(page)) == sizeof(page));
	}
	return fd;
}

static void is_untouched(int fd)
{
	must(lseek(fd, 0, SEEK_END) == BYTES);
	for (int i = 0; i < BYTES / 4096; i++) {
		char page[4096];

		must(pread(fd, page, sizeof(page), i * 4096) == sizeof(page));
		for (size_t k = 0; k < sizeof(page); k++)
			must(page[k] == 'u');
	}
}

/* The number of the segment's descriptor is that of a file of the program by now. */
static int use_with_foreign_descriptor(void *named)
{
	struct brood_segment *segment = named ? created("a") : NULL;
	struct brood_queue *queue = queue_in(segment);
	void *memory = brood_alloc(segment, 1 << 20);
	int fds[20];

	must(memory);
	memset(memory, 1, 1 << 20);
	close_all();
	for (int i = 0; i < 20; i++)
		fds[i] = i ? dup(fds[0]) : file_of_the_user();
	errno = 0;
	must(brood_alloc(segment, 8 << 20) == NULL && errno == EBADF);
	must(brood_free(segment, memory) == 0);
	must(brood_alloc(segment, 1 << 20) == NULL);
	must(put_number(queue, 1, 0) == 0 && get_number(queue, 0) == 1);
	must(brood_queue_destroy(queue) == 0);
	must(!segment || brood_segment_close(segment) == 0);
	for (int i = 0; i < 20; i++)
		must(fcntl(fds[i], F_GETFD) >= 0);
	is_untouched(fds[0]);
	return 0;
}

START_TEST(descriptors_are_of_other_files)
{
	ck_assert_int_eq(run(use_with_foreign_descriptor, _i ? &_i : NULL), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("a")), _i ? 0 : -ENOENT);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("close", begin_test);

	tcase_add_test(tests, close_what_is_not_open);
	tcase_add_test(tests, not_while_another_thread_lives);
	tcase_add_test(tests, a_child_closes_for_itself);
	tcase_add_loop_test(tests, descriptors_are_closed, 0, 2);
	tcase_add_loop_test(tests, descriptors_are_of_other_files, 0, 2);
	return run_cases("segment close", tests, NULL);
}
