/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where memory, addresses, descriptors or /dev/shm are missing: an error, never a signal. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "support.h"

enum { NOT_ALLOWED = 77, MOST = 4096 };

/* ---- memory of a segment runs out ---- */

struct pieces {
	void *memory[MOST];
	int count;
};

/* Take what there is, in smaller and smaller pieces, and write to all of it. */
static void take_all(struct brood_segment *segment, struct pieces *pieces)
{
	pieces->count = 0;
	for (size_t size = 256 << 10; size >= 64; size /= 4)
		while (pieces->count < MOST) {
			void *memory = brood_alloc(segment, size);

			if (!memory)
				break;
			memset(memory, 0xff, size);
			pieces->memory[pieces->count++] = memory;
		}
	must(errno == ENOSPC);
	must(pieces->count > 0 && pieces->count < MOST);
}

static void give_all_back(struct brood_segment *segment, struct pieces *pieces)
{
	while (pieces->count > 0)
		must(brood_free(segment, pieces->memory[--pieces->count]) == 0);
}

static struct brood_queue *queue_in(struct brood_segment *segment, uint32_t slots, size_t max_bytes)
{
	struct brood_queue_opts opts = {
		.slots = slots,
		.max_bytes = max_bytes,
		.segment = segment,
	};

	return brood_queue_create(&opts);
}

/* A queue goes on with its full capacity; what was in it stays. */
static void is_usable(struct brood_queue *queue)
{
	for (int64_t i = 0; i < 100; i++)
		must(put_number(queue, i, 0) == 0);
	must(put_number(queue, 0, 0) == -EAGAIN);
	for (int64_t i = 0; i < 100; i++)
		must(get_number(queue, 0) == i);
}

static void exhaust(struct brood_segment *segment)
{
	struct brood_queue *queue = queue_in(segment, 100, 8);
	static struct pieces pieces;

	must(queue != NULL);
	for (int round = 0; round < 3; round++) {
		must(put_number(queue, round, 0) == 0);
		take_all(segment, &pieces);
		must(queue_in(segment, 1000, 1000) == NULL && errno == ENOSPC);
		must(get_number(queue, 0) == round);
		is_usable(queue);
		give_all_back(segment, &pieces);
	}
	must(brood_queue_destroy(queue) == 0);
}

static int exhaust_the_family(void *unused)
{
	struct brood_segment_opts opts = { .bytes = 1 << 20 };

	(void)unused;
	must(brood_init(&opts) == 0);
	exhaust(NULL);
	return 0;
}

START_TEST(addresses_run_out)
{
	ck_assert_int_eq(run(exhaust_the_family, NULL), 0);
}
END_TEST

/* For tests that need namespaces of their own. */
static void allowed(int (*function)(void *))
{
	int code = run(function, NULL);

	ck_assert_msg(code == 0 || code == NOT_ALLOWED, "%d", code);
}

static int exhaust_the_file_system(void *unused)
{
	struct brood_segment *segment;

	(void)unused;
	if (!own_shm(3 << 20))
		return NOT_ALLOWED;
	segment = brood_segment_create("a", NULL);
	must(segment != NULL);
	exhaust(segment);
	must(brood_segment_close(segment) == 0);
	return 0;
}

START_TEST(the_file_system_is_full)
{
	allowed(exhaust_the_file_system);
}
END_TEST

static int put_in_child(void *queue)
{
	return -put_number(queue, 7, 0);
}

/* Large buffers get memory when they are first used: that is when it can be missing. */
static int exhaust_buffers(void *unused)
{
	static struct pieces pieces;
	struct brood_segment *segment;
	struct brood_queue *queue;
	struct brood_message message, other;

	(void)unused;
	if (!own_shm(4 << 20))
		return NOT_ALLOWED;
	segment = brood_segment_create("a", NULL);
	must(segment != NULL);
	queue = queue_in(segment, 4, 100000);
	must(queue && put_number(queue, 1, 0) == 0);
	take_all(segment, &pieces);
	must(brood_queue_reserve(queue, &message) == 0);	/* the caller's spare */
	must(brood_queue_reserve(queue, &other) == -ENOSPC);
	must(put_number(queue, 2, 0) == -ENOSPC);
	must(run(put_in_child, queue) == ENOSPC);
	must(brood_queue_count(queue) == 1);
	must(brood_queue_abort(queue, &message) == 0);
	must(put_number(queue, 2, 0) == 0);
	give_all_back(segment, &pieces);
	must(run(put_in_child, queue) == 0);
	for (int i = 0; i < 10; i++) {
		must(brood_queue_reserve(queue, &message) == 0);
		memset(message.data, 1, message.size);
	}
	must(get_number(queue, 0) == 1 && get_number(queue, 0) == 2 && get_number(queue, 0) == 7);
	return 0;
}

START_TEST(no_memory_for_a_buffer)
{
	allowed(exhaust_buffers);
}
END_TEST

static bool shm_is_empty(void)
{
	DIR *directory = opendir("/dev/shm");
	int entries = 0;

	while (readdir(directory))
		entries++;
	closedir(directory);
	return entries == 2;
}

static int create_without_room(void *unused)
{
	(void)unused;
	if (!own_shm(8192))
		return NOT_ALLOWED;
	must(brood_segment_create("a", NULL) == NULL && errno == ENOSPC);
	must(shm_is_empty());
	return 0;
}

START_TEST(no_room_for_a_segment)
{
	allowed(create_without_room);
}
END_TEST

/* A file without pages looks like zeros, but not where there are no pages left. */
static int open_a_hollow_file(void *unused)
{
	static char filling[64 << 10];
	int fd, full;

	(void)unused;
	if (!own_shm(sizeof(filling)))
		return NOT_ALLOWED;
	fd = open("/dev/shm/brood.a", O_RDWR | O_CREAT, 0600);
	must(fd >= 0 && ftruncate(fd, 4 << 20) == 0);
	full = open("/dev/shm/full", O_RDWR | O_CREAT, 0600);
	while (write(full, filling, sizeof(filling)) > 0)
		;
	must(brood_segment_open("a") == NULL && errno == EPROTO);
	return 0;
}

START_TEST(hollow_files_in_a_full_file_system)
{
	allowed(open_a_hollow_file);
}
END_TEST

/* ---- no /dev/shm ---- */

static int without_shm(void *unused)
{
	(void)unused;
	if (!own_namespaces(CLONE_NEWNS) || mount("tmpfs", "/dev", "tmpfs", 0, NULL))
		return NOT_ALLOWED;
	must(brood_segment_create("a", NULL) == NULL && errno == ENOENT);
	must(brood_segment_open("a") == NULL && errno == ENOENT);
	must(brood_segment_unlink("a") == -ENOENT);
	is_usable(queue_in(NULL, 100, 8));
	return 0;
}

START_TEST(there_is_no_shm)
{
	allowed(without_shm);
}
END_TEST

/* ---- limits of the process: refused, and all is well once the limit is gone ---- */

static void limit(__rlimit_resource_t what, rlim_t value)
{
	struct rlimit limits;

	must(getrlimit(what, &limits) == 0);
	limits.rlim_cur = value == RLIM_INFINITY ? limits.rlim_max : value;
	must(setrlimit(what, &limits) == 0);
}

static void refuse_all(int error)
{
	must(brood_init(NULL) == -error);
	errno = 0;
	must(brood_alloc(NULL, 64) == NULL && errno == error);
	errno = 0;
	must(queue_in(NULL, 100, 8) == NULL && errno == error);
	errno = 0;
	must(brood_segment_create(own_name("a"), NULL) == NULL && errno == error);
}

static void accept_all(void)
{
	struct brood_segment *segment = brood_segment_create(own_name("a"), NULL);

	is_usable(queue_in(NULL, 100, 8));
	must(segment != NULL);
	is_usable(queue_in(segment, 100, 8));
	must(brood_segment_close(segment) == 0);
	must(brood_segment_unlink(own_name("a")) == 0);
}

/* A sanitizer has more than any limit by itself. */
static bool is_modest(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	must(file && fscanf(file, "%lu", &pages) == 1);
	fclose(file);
	return pages < 100 << 20 >> 12;
}

static int limit_addresses(void *unused)
{
	(void)unused;
	if (!is_modest()) {
		skipped("limit of addresses: the program is too large by itself");
		return 0;
	}
	limit(RLIMIT_AS, 200 << 20);
	refuse_all(ENOMEM);
	limit(RLIMIT_AS, 2ll << 30);
	accept_all();
	return 0;
}

static int limit_descriptors(void *unused)
{
	int next = dup(0);

	(void)unused;
	close(next);
	limit(RLIMIT_NOFILE, (rlim_t)next);
	refuse_all(EMFILE);
	limit(RLIMIT_NOFILE, RLIM_INFINITY);
	accept_all();
	return 0;
}

/* The kernel would send SIGXFSZ, which ends the program. */
static int limit_file_size(void *unused)
{
	(void)unused;
	limit(RLIMIT_FSIZE, 1 << 20);
	refuse_all(ENOSPC);
	limit(RLIMIT_FSIZE, RLIM_INFINITY);
	accept_all();
	return 0;
}

static int (*const limited[])(void *unused) = {
	limit_addresses, limit_descriptors, limit_file_size,
};

START_TEST(limits_of_the_process)
{
	ck_assert_int_eq(run(limited[_i], NULL), 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("limits", begin_without_arena);

	tcase_add_test(tests, addresses_run_out);
	tcase_add_test(tests, the_file_system_is_full);
	tcase_add_test(tests, no_memory_for_a_buffer);
	tcase_add_test(tests, no_room_for_a_segment);
	tcase_add_test(tests, hollow_files_in_a_full_file_system);
	tcase_add_test(tests, there_is_no_shm);
	tcase_add_loop_test(tests, limits_of_the_process, 0, 3);
	return run_cases("segment limits", tests, NULL);
}
