/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of POSIX shared memory: their names, modes, and what dead creators left. */
#include <fcntl.h>
#include <sys/stat.h>

#include "platform/platform.h"
#include "support.h"

START_TEST(a_file_gets_its_name_once)
{
	char first[64], second[64];
	int fd = brood__shm_create(first), other = brood__shm_create(second), opened;
	struct brood__file_id id, again;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(other, 0);
	ck_assert_str_ne(first, second);
	ck_assert_int_eq(brood__shm_open(own_name("a")), -ENOENT);
	ck_assert_int_eq(brood__shm_publish(first, own_name("a")), 0);
	ck_assert_int_eq(access(first, F_OK), -1);
	ck_assert_int_eq(brood__shm_publish(second, own_name("a")), -EEXIST);
	ck_assert_int_eq(access(second, F_OK), -1);
	opened = brood__shm_open(own_name("a"));
	ck_assert_int_ge(opened, 0);
	ck_assert_int_eq(fcntl(opened, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(brood__file_identify(fd, &id), 0);
	ck_assert_int_eq(brood__file_identify(opened, &again), 0);
	ck_assert_uint_eq(id.inode, again.inode);
	ck_assert(brood__file_is_private(&id) && id.regular);
	ck_assert_uint_eq(id.mode, 0600);
	ck_assert_int_eq(brood__shm_unlink(own_name("a")), 0);
	ck_assert_int_eq(brood__shm_unlink(own_name("a")), -ENOENT);
	close(fd);
	close(other);
	close(opened);
}
END_TEST

START_TEST(modes_do_not_depend_on_the_umask)
{
	char temporary[64];
	struct brood__file_id id;
	int fd;

	umask(_i ? 0777 : 0);
	fd = brood__shm_create(temporary);
	ck_assert_int_eq(brood__file_identify(fd, &id), 0);
	ck_assert_uint_eq(id.mode, 0600);
	brood__shm_discard(temporary);
	ck_assert_int_eq(access(temporary, F_OK), -1);
	close(fd);
}
END_TEST

/* Whose creator lives or is of another namespace, and what only looks like one, stays. */
START_TEST(only_files_of_the_dead_are_reclaimed)
{
	static const char *const formats[] = {	/* namespace, pid, start of who lives */
		"/dev/shm/.brood-%llx-%d-1%llu-0",	/* the number was another's then */
		"/dev/shm/.brood-1%llx-%d-1%llu-0",
		"/dev/shm/.brood-%llx-%d",
		"/dev/shm/.brood-x%llx-%d-1%llu-0",
		"/dev/shm/brood-%llx-%d-1%llu-0",
	};
	enum { FILES = sizeof(formats) / sizeof(formats[0]) };
	char alive[64], paths[FILES][80];
	unsigned long long namespace, start;
	int fd = brood__shm_create(alive), pid;

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(sscanf(alive, "/dev/shm/.brood-%llx-%d-%llu-", &namespace, &pid, &start),
			 3);
	for (int i = 0; i < FILES; i++) {
		snprintf(paths[i], sizeof(paths[i]), formats[i], namespace, pid, start);
		fd = open(paths[i], O_CREAT | O_EXCL | O_RDWR, 0600);
		ck_assert_int_ge(fd, 0);
		close(fd);
	}
	brood__shm_reclaim();
	ck_assert_int_eq(unlink(alive), 0);
	for (int i = 0; i < FILES; i++)
		ck_assert_int_eq(unlink(paths[i]), i == 0 ? -1 : 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("shmfile", begin_without_arena);

	tcase_add_test(tests, a_file_gets_its_name_once);
	tcase_add_loop_test(tests, modes_do_not_depend_on_the_umask, 0, 2);
	tcase_add_test(tests, only_files_of_the_dead_are_reclaimed);
	return run_cases("shmfile", tests, NULL);
}
