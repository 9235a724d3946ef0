/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "platform/platform.h"
#include "support.h"

enum { SECONDS = 60 };

void must_failed(const char *file, int line, const char *text)
{
	fprintf(stderr, "%s:%d: in a child: not so: %s\n", file, line, text);
	_exit(1);
}

void skipped(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("skipped: ");
	vprintf(format, arguments);
	putchar('\n');
	fflush(stdout);
	va_end(arguments);
}

/* ---- children ---- */

pid_t start(int (*function)(void *), void *argument)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(function(argument));
	return pid;
}

int end_of(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int run(int (*function)(void *), void *argument)
{
	return end_of(start(function, argument));
}

void kill_child(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(end_of(pid), -SIGKILL);
}

bool code_is_known(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 15));
}

/* The letter in /proc/TID/stat; a thread's directory is there though it is not listed. */
static char state_of(pid_t thread)
{
	char path[40], line[512] = "";
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", thread);
	file = fopen(path, "re");
	if (!file)
		return 'X';
	end = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	return end ? end[2] : 'X';
}

bool until_asleep(pid_t thread)
{
	for (;;) {
		char state = state_of(thread);

		if (state == 'S')
			return true;
		if (state == 'X' || state == 'Z')
			return false;
		usleep(200);
	}
}

void *shared(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert(memory != MAP_FAILED);
	return memory;
}

/* ---- names ---- */

static pid_t runner;		/* the process of main: all its tests use its names in turn */

const char *own_name(const char *stem)
{
	static char name[64];

	snprintf(name, sizeof(name), "unit-%d-%s", runner, stem);
	return name;
}

const char *file_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "/dev/shm/brood.%s", name);
	return path;
}

static bool is_own(const char *entry)
{
	char named[40], creator[40];

	snprintf(named, sizeof(named), "brood.unit-%d-", runner);
	snprintf(creator, sizeof(creator), "-%d-", getpid());
	return strncmp(entry, named, strlen(named)) == 0 ||
	       (strstr(entry, "brood-") && strstr(entry, creator));
}

static int count_entries(const char *directory, bool own, bool remove)
{
	DIR *dir = opendir(directory);
	const struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)) != NULL) {
		count += !own || is_own(entry->d_name);
		if (remove && is_own(entry->d_name) && unlinkat(dirfd(dir), entry->d_name, 0))
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
	return count;
}

/* ---- queues ---- */

struct brood_queue *new_queue(uint32_t slots, size_t max_bytes)
{
	struct brood_queue_opts opts = { .slots = slots, .max_bytes = max_bytes };
	struct brood_queue *queue = brood_queue_create(&opts);

	ck_assert_ptr_nonnull(queue);
	return queue;
}

int put_number(struct brood_queue *queue, int64_t number, int64_t timeout)
{
	return brood_queue_put(queue, &number, sizeof(number), timeout);
}

int64_t get_number(struct brood_queue *queue, int64_t timeout)
{
	int64_t number;
	ssize_t length = brood_queue_get(queue, &number, sizeof(number), timeout);

	if (length < 0)
		return length;
	return length == sizeof(number) ? number : -EILSEQ;
}

/* ---- fixtures ---- */

static int fds_before;

int count_fds(void)
{
	return count_entries("/proc/self/fd", false, false) - 3; /* ".", "..", and its own */
}

/* The runner's handlers would be inherited, and kill its process group with a terminated child. */
void begin_without_arena(void)
{
	count_entries("/dev/shm", true, true);	/* of a test that failed */
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	fds_before = count_fds();
}

/* The arena's descriptor stays, and that of the socket by which a process first rings somebody. */
void begin_test(void)
{
	ck_assert_int_eq(brood_init(NULL), 0);
	ck_assert_int_lt(brood__doorbell_ring(1, 1), 0);
	begin_without_arena();
}

void end_test(void)
{
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert_int_eq(count_fds(), fds_before);
	ck_assert_int_eq(count_entries("/dev/shm", true, false), 0);
}

TCase *new_case(const char *name, void (*begin)(void))
{
	TCase *tests = tcase_create(name);

	tcase_add_checked_fixture(tests, begin, end_test);
	tcase_set_timeout(tests, SECONDS);
	return tests;
}

int run_cases(const char *suite, TCase *first, ...)
{
	struct rlimit no_core = { 0, 0 };
	Suite *tests = suite_create(suite);
	SRunner *all = srunner_create(tests);
	va_list more;
	int failed;

	runner = getpid();
	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGCHLD, SIG_DFL);
	va_start(more, first);
	for (TCase *next = first; next; next = va_arg(more, TCase *))
		suite_add_tcase(tests, next);
	va_end(more);
	srunner_run_all(all, CK_ENV);
	failed = srunner_ntests_failed(all);
	srunner_free(all);
	count_entries("/dev/shm", true, true);	/* of the last test */
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- namespaces ---- */

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

static bool skip(const char *why)
{
	skipped("%s: %s", why, strerror(errno));
	return false;
}

static bool map_self(uid_t user, gid_t group)
{
	char users[40], groups[40];

	snprintf(users, sizeof(users), "%u %u 1", user, user);
	snprintf(groups, sizeof(groups), "%u %u 1", group, group);
	return write_file("/proc/self/uid_map", users) &&
	       write_file("/proc/self/setgroups", "deny") &&
	       write_file("/proc/self/gid_map", groups);
}

bool own_namespaces(int flags)
{
	uid_t user = geteuid();
	gid_t group = getegid();

	if (unshare(flags | (user ? CLONE_NEWUSER : 0)))
		return skip("namespaces of one's own are not allowed");
	if (user && !map_self(user, group))
		return skip("a user cannot be mapped");
	if (flags & CLONE_NEWNS && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return skip("mounts cannot be made private");
	return true;
}

bool own_shm(size_t bytes)
{
	char size[40];

	snprintf(size, sizeof(size), "size=%zu,mode=1777", bytes);
	if (!own_namespaces(CLONE_NEWNS))
		return false;
	if (mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, size))
		return skip("nothing can be mounted");
	return true;
}
