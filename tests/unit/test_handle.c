/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handles: objects for exec'ed programs and for strangers. The program executes itself again, in a
 * role.
 */
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "queue/queue.h"
#include "support.h"

#define ROLE "BROOD_TEST_ROLE"
#define SECOND 1000
#define SOCKET 100		/* the descriptor of the executed program */

extern char **environ;

struct memory {
	uint64_t number;
};

static struct brood_queue *queue_of(struct brood_segment *segment)
{
	struct brood_queue_opts opts = { .slots = 8, .max_bytes = 16, .segment = segment };
	struct brood_queue *queue = brood_queue_create(&opts);

	ck_assert_ptr_nonnull(queue);
	return queue;
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* How many descriptors of segments an exec would leave open; close them, if asked. */
static int inheritable(bool and_close)
{
	int count = 0;

	for (int fd = 3; fd < 256; fd++) {
		char path[40], file[16] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (fcntl(fd, F_GETFD) != 0 || readlink(path, file, sizeof(file) - 1) < 0 ||
		    (strncmp(file, "/memfd:", 7) && strncmp(file, "/dev/shm", 8)))
			continue;
		count++;
		if (and_close)
			close(fd);
	}
	return count;
}

/* ---- roles of the executed program: the exit code is 0 if all was as expected ---- */

static int take_both(void)
{
	struct brood_queue *queue = brood_handle_take("jobs");
	struct memory *memory = brood_handle_take("memory");
	char job[16];

	if (!queue || !memory)
		return 1;
	if (brood_segment_of(queue) != brood_segment_of(memory))
		return 2;
	if (inheritable(false) != 0)
		return 3;
	if (brood_queue_get(queue, job, sizeof(job), brood_ms(SECOND)) != 5 || memcmp(job, "hello", 5))
		return 4;
	memory->number++;
	if (brood_queue_put(queue, "there", 5, 0))
		return 5;
	return brood_handle_take("other") || errno != ENOENT ? 6 : 0;
}

static int hold_for_ever(void)
{
	struct brood_queue *queue = brood_handle_take("jobs");
	struct brood_message message;

	if (!queue || brood_queue_lease(queue, &message, brood_ms(SECOND)))
		return 1;
	*(char *)message.data = 'H';
	for (;;)
		pause();
}

static int find_nothing(void)
{
	return !brood_handle_take("jobs") && errno == ENOENT && inheritable(false) == 0 ? 0 : 1;
}

/* The error of it. */
static int take_a(void)
{
	int before = open_descriptors();
	void *taken = brood_handle_take("a");
	int error = errno;

	return taken ? 100 : open_descriptors() != before ? 101 : error;
}

static int execute(const char *role)
{
	setenv(ROLE, role, 1);
	execl("/proc/self/exe", "test_handle", NULL);
	return 99;
}

static int start_another(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(execute("find nothing"));
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static int receive_and_answer(void)
{
	struct brood_queue *queue = brood_handle_recv(SOCKET), *same;
	char job[16];

	if (!queue || brood_queue_get(queue, job, sizeof(job), brood_ms(SECOND)) != 5)
		return 1;
	same = brood_handle_recv(SOCKET);
	if (same != queue || brood_queue_put(same, "there", 5, 0))
		return 2;
	if (brood_handle_recv(SOCKET) || errno != EPIPE)
		return 3;
	return brood_segment_close(brood_segment_of(queue)) ||
	       brood_segment_close(brood_segment_of(queue)) || brood_segment_of(queue) ? 4 : 0;
}

static const struct {
	const char *name;
	int (*act)(void);
} roles[] = {
	{ "receive", receive_and_answer },
	{ "take both", take_both },
	{ "hold", hold_for_ever },
	{ "find nothing", find_nothing },
	{ "take a", take_a },
	{ "start another", start_another },
};

static void act(void)
{
	const char *role = getenv(ROLE);

	for (size_t i = 0; role && i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(role, roles[i].name) == 0)
			_exit(roles[i].act());
}

/* ---- through exec ---- */

struct left {
	struct brood_queue *queue;
	struct memory *memory;
};

static struct left make(struct brood_segment *segment)
{
	struct left left = { queue_of(segment), brood_alloc(segment, sizeof(struct memory)) };

	ck_assert_ptr_nonnull(left.memory);
	ck_assert_int_eq(brood_queue_put(left.queue, "hello", 5, 0), 0);
	return left;
}

static int pass(const struct left *left)
{
	return brood_handle_pass("jobs", left->queue) || brood_handle_pass("memory", left->memory);
}

static pid_t forked(const struct left *left, const char *role)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(pass(left) ? 98 : execute(role));
	return pid;
}

static void got(const struct left *left)
{
	char job[16];

	ck_assert_int_eq(brood_queue_get(left->queue, job, sizeof(job), 0), 5);
	ck_assert_mem_eq(job, "there", 5);
	ck_assert_uint_eq(left->memory->number, 1);
}

START_TEST(an_executed_child_takes_what_was_left)
{
	struct left left = make(NULL);

	ck_assert_int_eq(end_of(forked(&left, "take both")), 0);
	got(&left);
}
END_TEST

START_TEST(out_of_a_named_segment)
{
	struct brood_segment *segment = brood_segment_create(own_name("handle"), NULL);
	struct left left = make(segment);

	ck_assert_int_eq(brood_segment_unlink(own_name("handle")), 0);
	ck_assert_int_eq(end_of(forked(&left, "take both")), 0);
	got(&left);
	ck_assert_int_eq(brood_segment_close(segment), 0);
}
END_TEST

START_TEST(a_spawned_program_takes_it_too)
{
	struct left left = make(NULL);
	char *arguments[] = { (char []){ "test_handle" }, NULL };
	pid_t pid;

	ck_assert_int_eq(pass(&left), 0);
	setenv(ROLE, "take both", 1);
	ck_assert_int_eq(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
	unsetenv(ROLE);
	ck_assert_int_eq(end_of(pid), 0);
	got(&left);
	inheritable(true);
}
END_TEST

START_TEST(but_not_what_it_starts_in_turn)
{
	struct left left = make(NULL);

	ck_assert_int_eq(end_of(forked(&left, "start another")), 0);
}
END_TEST

START_TEST(the_death_of_an_executed_child_is_noticed)
{
	struct left left = make(NULL);
	pid_t pid = forked(&left, "hold");
	struct brood_message message;

	while (brood_queue_count(left.queue) > 0)
		sched_yield();
	kill(pid, SIGKILL);
	ck_assert_int_eq(end_of(pid), -SIGKILL);
	ck_assert_int_eq(brood_queue_lease(left.queue, &message, brood_ms(SECOND)), 0);
	ck_assert_uint_eq(message.flags & BROOD_REDELIVERED, BROOD_REDELIVERED);
	ck_assert_int_eq(brood_queue_release(left.queue, &message), 0);
}
END_TEST

START_TEST(one_copy_of_a_descriptor_a_segment)
{
	struct left left = make(NULL);
	int before = open_descriptors();

	ck_assert_int_eq(pass(&left), 0);
	ck_assert_int_eq(open_descriptors(), before + 1);
	ck_assert_int_eq(inheritable(false), 1);
	inheritable(true);
}
END_TEST

START_TEST(passing_what_cannot_be_passed)
{
	struct left left = make(NULL);
	uint64_t mine;

	ck_assert_int_eq(brood_handle_pass("a", NULL), -EINVAL);
	ck_assert_int_eq(brood_handle_pass("a", &mine), -EFAULT);
	ck_assert_int_eq(brood_handle_pass("a", (char *)left.queue + 64), -EFAULT);
	ck_assert_int_eq(brood_handle_pass(NULL, left.queue), -EINVAL);
	ck_assert_int_eq(brood_handle_pass("", left.queue), -EINVAL);
	ck_assert_int_eq(brood_handle_pass("a=b", left.queue), -EINVAL);
	ck_assert_int_eq(brood_handle_pass("a;b", left.queue), -EINVAL);
	ck_assert_int_eq(brood_handle_pass("a name that is longer than forty characters",
					   left.queue), -EINVAL);
	ck_assert_int_eq(brood_handle_pass("a", left.queue), 0);
	ck_assert_int_eq(brood_handle_pass("a", left.queue), -EEXIST);
	ck_assert_int_eq(brood_handle_pass("ab", left.queue), 0);
	ck_assert_ptr_null(brood_handle_take("a"));	/* it is for what we execute */
	ck_assert_int_eq(errno, ENOENT);
	inheritable(true);
}
END_TEST

static int error_of(const char *entries)
{
	pid_t pid = fork();
	char text[128];

	ck_assert_int_ge(pid, 0);
	if (pid)
		return end_of(pid);
	snprintf(text, sizeof(text), "%d%s", (int)getpid(), entries);
	setenv("BROOD_HANDLES", text, 1);
	dup2(open("/dev/null", O_RDWR | O_CLOEXEC), SOCKET);
	_exit(execute("take a"));
}

START_TEST(a_variable_that_is_not_ours)
{
	static const struct {
		const char *entries;
		int error;
	} rows[] = {
		{ "", ENOENT },
		{ "rubbish", ENOENT },
		{ "9;a=100:10", ENOENT },	/* another process's */
		{ ";a", ENOENT },
		{ ";a=", ENOENT },
		{ ";a=x:y", ENOENT },
		{ ";b=100:10", ENOENT },
		{ ";a=200:10", ENOENT },
		{ ";a=-1:10", ENOENT },
		{ ";a=100:10", EPERM },
		{ ";;;a=100:10;", EPERM },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_int_eq(error_of(rows[i].entries), rows[i].error);
}
END_TEST

/* ---- over a socket ---- */

static void connected(int ends[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

/* An executed program has a family of its own. */
START_TEST(a_stranger_receives_an_object)
{
	struct brood_queue *queue = queue_of(NULL);
	char job[16];
	int ends[2];
	pid_t pid;

	connected(ends);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(dup2(ends[1], SOCKET) == SOCKET ? execute("receive") : 98);
	close(ends[1]);
	ck_assert_int_eq(brood_queue_put(queue, "hello", 5, 0), 0);
	ck_assert_int_eq(brood_handle_send(ends[0], queue), 0);
	ck_assert_int_eq(brood_handle_send(ends[0], queue), 0);
	shutdown(ends[0], SHUT_WR);
	ck_assert_int_eq(end_of(pid), 0);
	ck_assert_int_eq(brood_queue_get(queue, job, sizeof(job), 0), 5);
	close(ends[0]);
}
END_TEST

START_TEST(of_the_own_family_it_is_the_same_pointer)
{
	struct brood_queue *queue = queue_of(NULL);
	int ends[2], before;

	connected(ends);
	before = open_descriptors();
	ck_assert_int_eq(brood_handle_send(ends[0], queue), 0);
	ck_assert_ptr_eq(brood_handle_recv(ends[1]), queue);
	ck_assert_int_eq(open_descriptors(), before);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(sending_what_cannot_be_sent)
{
	struct brood_queue *queue = queue_of(NULL);
	int ends[2];

	connected(ends);
	ck_assert_int_eq(brood_handle_send(ends[0], NULL), -EINVAL);
	ck_assert_int_eq(brood_handle_send(ends[0], &ends), -EFAULT);
	ck_assert_int_eq(brood_handle_send(-1, queue), -EBADF);
	close(ends[1]);
	ck_assert_int_eq(brood_handle_send(ends[0], queue), -EPIPE);	/* and no signal */
	close(ends[0]);
}
END_TEST

struct forged {
	uint64_t magic, reference;
};

static void cannot_receive(int fd, uint64_t reference, int error)
{
	struct forged forged = { 0x62726f6f646d7367ull, reference };
	int ends[2], before;

	connected(ends);
	before = open_descriptors();
	if (fd >= 0)
		ck_assert_int_eq(brood__fd_send(ends[0], fd, &forged, sizeof(forged)), 0);
	else
		ck_assert_int_eq(send(ends[0], &forged, sizeof(forged), 0), sizeof(forged));
	ck_assert_ptr_null(brood_handle_recv(ends[1]));
	ck_assert_int_eq(errno, error);
	ck_assert_int_eq(open_descriptors(), before);
	close(ends[0]);
	close(ends[1]);
}

START_TEST(receiving_what_is_no_object)
{
	struct brood_queue *queue = queue_of(NULL);
	uint64_t reference = brood_ref(NULL, queue);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int loose = memfd_create("loose", MFD_CLOEXEC), empty = brood__memory_file("empty", 1 << 20);

	ck_assert_int_eq(ftruncate(loose, 1 << 20), 0);
	cannot_receive(-1, reference, EPROTO);
	cannot_receive(null, reference, EPERM);
	cannot_receive(loose, reference, EPERM);
	cannot_receive(empty, reference, EPROTO);
	cannot_receive(brood__family.fd, reference ^ 1, EPROTO);
	cannot_receive(brood__family.fd, 0, EPROTO);
	cannot_receive(brood__family.fd, UINT64_MAX, EPROTO);
	ck_assert_int_eq(brood_queue_destroy(queue), 0);
	cannot_receive(brood__family.fd, reference, ESTALE);
	close(null);
	close(loose);
	close(empty);
}
END_TEST

START_TEST(receiving_a_damaged_object)
{
	struct brood_queue *queue = queue_of(NULL);
	uint64_t reference = brood_ref(NULL, queue), words_at = queue->words_at;

	queue->words_at = 1ull << 40;
	cannot_receive(brood__family.fd, reference, EPROTO);
	queue->words_at = words_at;
	queue->object.bytes = 1ull << 40;
	cannot_receive(brood__family.fd, reference, EPROTO);
}
END_TEST

START_TEST(the_segment_of_an_object)
{
	struct brood_queue *queue = queue_of(NULL);
	struct brood_segment *segment = brood_segment_create(own_name("handle"), NULL);
	struct brood_queue *other = queue_of(segment);
	int mine;

	ck_assert_ptr_eq(brood_segment_of(queue), brood__segment(NULL));
	ck_assert_ptr_eq(brood_segment_of(other), segment);
	ck_assert_ptr_null(brood_segment_of(&mine));
	ck_assert_int_eq(errno, EFAULT);
	ck_assert_ptr_null(brood_segment_of(NULL));
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_segment_unlink(own_name("handle")), 0);
}
END_TEST

int main(void)
{
	TCase *exec, *socket;

	act();
	exec = new_case("exec", begin_test);
	socket = new_case("socket", begin_test);
	tcase_add_test(exec, an_executed_child_takes_what_was_left);
	tcase_add_test(exec, out_of_a_named_segment);
	tcase_add_test(exec, a_spawned_program_takes_it_too);
	tcase_add_test(exec, but_not_what_it_starts_in_turn);
	tcase_add_test(exec, the_death_of_an_executed_child_is_noticed);
	tcase_add_test(exec, one_copy_of_a_descriptor_a_segment);
	tcase_add_test(exec, passing_what_cannot_be_passed);
	tcase_add_test(exec, a_variable_that_is_not_ours);
	tcase_add_test(socket, a_stranger_receives_an_object);
	tcase_add_test(socket, of_the_own_family_it_is_the_same_pointer);
	tcase_add_test(socket, sending_what_cannot_be_sent);
	tcase_add_test(socket, receiving_what_is_no_object);
	tcase_add_test(socket, receiving_a_damaged_object);
	tcase_add_test(socket, the_segment_of_an_object);
	return run_cases("handle", exec, socket, NULL);
}
