/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the programs that test external programs share. They are also the programs that they start:
 * given arguments, SELF is a helper.
 */
#ifndef TEST_SUBPROCESS_H
#define TEST_SUBPROCESS_H

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <brood/subprocess.h>

#include "support.h"

#define SELF	    "/proc/self/exe"
#define SH(command) BROOD_ARGS("/bin/sh", "-c", command)
#define OPTS(...)   (&(struct brood_subprocess_opts){ __VA_ARGS__ })
#define PIPE                              \
	{                                 \
		.kind = BROOD_STREAM_PIPE \
	}
#define LONG brood_ms(40000) /* for what ends by itself: a hang is to fail with its line */

static inline struct brood_subprocess *opened(const char *const argv[],
					      const struct brood_subprocess_opts *opts)
{
	struct brood_subprocess *process = brood_subprocess_open(argv, opts);

	ck_assert_msg(process != NULL, "%s: %s", argv[0], strerror(errno));
	return process;
}

/* It ends by that code by itself; the handle is closed. */
static inline void ends(struct brood_subprocess *process, int wanted)
{
	int code = 1000;

	ck_assert_int_eq(brood_subprocess_wait(process, &code, LONG), 0);
	ck_assert_int_eq(code, wanted);
	ck_assert_int_eq(brood_subprocess_close(process), 0);
}

static inline void kill_and_close(struct brood_subprocess *process)
{
	ck_assert_int_eq(brood_subprocess_kill(process), 0);
	ends(process, -SIGKILL);
}

/* It cannot be started: errno, and the error, whose text is returned: good until the next call. */
static inline const char *fails(const char *const argv[], const struct brood_subprocess_opts *opts,
				int code, enum brood_subprocess_step step)
{
	static struct brood_subprocess_error error;
	struct brood_subprocess_opts with = opts ? *opts : (struct brood_subprocess_opts){ 0 };

	memset(&error, 'x', sizeof(error));
	with.error = &error;
	errno = 0;
	ck_assert_ptr_null(brood_subprocess_open(argv, &with));
	ck_assert_int_eq(errno, code);
	ck_assert_int_eq(error.code, -code);
	ck_assert_ptr_nonnull(memchr(error.text, 0, sizeof(error.text)));
	ck_assert_msg(error.step == step, "step %u: %s", error.step, error.text);
	if (step == BROOD_STEP_OPTIONS && code == EINVAL)
		ck_assert_msg(strncmp(error.text, "cannot use the options: ", 24) == 0 &&
				      error.text[24],
			      "%s", error.text);
	else
		ck_assert_msg(strstr(error.text, strerror(code)) ||
				      strstr(error.text, brood_strerror(code)),
			      "%s", error.text);
	return error.text;
}

/* Run it; it must end by 0 and have written that text. */
static inline void says(const char *const argv[], const struct brood_subprocess_opts *opts,
			const char *text)
{
	struct brood_subprocess_opts with = opts ? *opts : (struct brood_subprocess_opts){ 0 };
	struct brood_subprocess_result result;
	int r;

	with.out.kind = BROOD_STREAM_PIPE;
	r = brood_subprocess_run(argv, &with, &result, LONG);
	ck_assert_msg(r == 0, "%d: %s", r, result.error.text);
	ck_assert_int_eq(result.code, 0);
	ck_assert_str_eq(result.output, text);
	ck_assert_uint_eq(result.output_length, strlen(text));
	brood_subprocess_result_free(&result);
}

/* Until it has ended, without reaping it. */
static inline void until_ended(const struct brood_subprocess *process)
{
	struct pollfd end = { .fd = brood_subprocess_pidfd(process), .events = POLLIN };

	ck_assert_int_ge(end.fd, 0);
	ck_assert_int_eq(poll(&end, 1, 40000), 1);
}

/* Until nobody holds the other end of a pipe any more. Bytes are thrown away. */
static inline void until_eof(int fd)
{
	char bytes[512];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		;
	ck_assert_int_eq(n, 0);
	close(fd);
}

/* Exactly that line, from a descriptor. */
static inline void reads(int fd, const char *text)
{
	char bytes[256];
	size_t got = 0, length = strlen(text);

	while (got < length) {
		ssize_t n = read(fd, bytes + got, length - got);

		ck_assert_int_gt(n, 0);
		got += (size_t)n;
	}
	bytes[got] = 0;
	ck_assert_str_eq(bytes, text);
}

static inline void close_pipe(const int *ends_of_it)
{
	close(ends_of_it[0]);
	close(ends_of_it[1]);
}

/* What we have inherited ourselves would be among keep_fds. */
static inline void nothing_to_inherit(void)
{
	ck_assert_int_eq(close_range(3, ~0u, CLOSE_RANGE_CLOEXEC), 0);
}

/* The helper: what is open in it. */
static inline int print_fds(void)
{
	for (int fd = 0; fd < 4096; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d ", fd);
	putchar('\n');
	return 0;
}

/* Bytes that show at which place they are. */
static inline char *pattern(size_t length)
{
	char *bytes = malloc(length + 1);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)((uint32_t)i * 2654435761u >> 24);
	bytes[length] = 0;
	return bytes;
}

/* ---- a directory of the program's own ---- */

static char place[40] = "/tmp/unit-XXXXXX";

/* The names of the last eight calls are good. */
static inline const char *in_place(const char *name)
{
	static char paths[8][80];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", place, name);
	return path;
}

/* Folders in somebody's PATH that may not be looked into would change errors. */
static inline void make_place(void)
{
	setenv("PATH", "/usr/bin:/bin", 1);
	if (!mkdtemp(place) || chmod(place, 0755)) {
		perror(place);
		exit(99);
	}
}

static inline void remove_place(void)
{
	DIR *dir = opendir(place);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(place);
}

static inline const char *new_file(const char *name, const char *text, mode_t mode)
{
	const char *path = in_place(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static inline void file_has(const char *path, const char *text)
{
	char bytes[512] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	n = read(fd, bytes, sizeof(bytes) - 1);
	close(fd);
	ck_assert_int_ge(n, 0);
	ck_assert_str_eq(bytes, text);
}

/* The status of the program, without and with arguments. */
static inline int run_in_place(int (*cases)(void))
{
	int status;

	make_place();
	status = cases();
	remove_place();
	return status;
}

#endif
