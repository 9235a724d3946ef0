/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who gets all that a program writes into memory: for subprocess.capture and subprocess.cat.
 * lease() is a program from its start to its end, and gives what came; release() frees that.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/subprocess.h>

#include "capture.h"
#include "peer.h"

#define FIRST_ROOM (64u << 10)

extern char **environ;

struct capture {
	size_t size;
	char text[24];		/* the size, for the program */
	char path[4096];	/* of brood-bench */
	char *input;		/* for cat, or NULL */
	char *data;
	size_t length, room;
	struct brood_subprocess_result result;
};

static void capture_delete(void *object)
{
	struct capture *capture = object;

	if (capture)
		free(capture->input);
	free(capture);
}

static void *writer_new(const struct shape *shape)
{
	struct capture *capture = calloc(1, sizeof(*capture));

	if (!capture)
		return NULL;
	capture->size = shape->size;
	snprintf(capture->text, sizeof(capture->text), "%zu", shape->size);
	if (readlink("/proc/self/exe", capture->path, sizeof(capture->path) - 1) < 0 ||
	    setenv("BROOD_BENCH", capture->path, 1)) {
		capture_delete(capture);
		return NULL;
	}
	return capture;
}

static void *cat_new(const struct shape *shape)
{
	struct capture *capture = writer_new(shape);

	if (!capture)
		return NULL;
	capture->input = capture_new(shape->size);
	if (capture->input)
		return capture;
	capture_delete(capture);
	return NULL;
}

static bool some(void *object, uint64_t rounds)
{
	(void)object;
	return rounds > 0;
}

/* ---- brood ---- */

static ssize_t brood_taken(struct capture *capture, int result, void **data)
{
	*data = capture->result.output;
	return result ? result : (ssize_t)capture->result.output_length;
}

static ssize_t brood_capture(void *object, void **data)
{
	static const struct brood_subprocess_opts opts = {
		.out.kind = BROOD_STREAM_PIPE, .check = true,
	};
	struct capture *capture = object;
	const char *const args[] = { capture->path, CAPTURE_WRITE, capture->text, NULL };
	int result = brood_subprocess_run(args, &opts, &capture->result, BROOD_FOREVER);

	return brood_taken(capture, result, data);
}

static ssize_t brood_cat(void *object, void **data)
{
	struct capture *capture = object;
	const struct brood_subprocess_opts opts = {
		.out.kind = BROOD_STREAM_PIPE, .check = true,
		.input = capture->input, .input_length = capture->size,
	};
	int result = brood_subprocess_run(BROOD_ARGS("cat"), &opts, &capture->result,
					  BROOD_FOREVER);

	return brood_taken(capture, result, data);
}

static int brood_release(void *object)
{
	brood_subprocess_result_free(&((struct capture *)object)->result);
	return 0;
}

/* ---- a buffer that grows, for the others ---- */

static int make_room(struct capture *capture)
{
	size_t room = capture->room ? 2 * capture->room : FIRST_ROOM;
	char *data = capture->data;

	if (capture->length < capture->room)
		return 0;
	data = realloc(data, room);
	if (!data)
		return -ENOMEM;
	capture->data = data;
	capture->room = room;
	return 0;
}

/* 1; 0 at the end. */
static int read_some(struct capture *capture, int fd)
{
	ssize_t n = make_room(capture);

	if (!n)
		n = read(fd, capture->data + capture->length, capture->room - capture->length);
	if (n < 0)
		return -errno;
	capture->length += (size_t)n;
	return n > 0;
}

static ssize_t taken(struct capture *capture, int result, void **data)
{
	*data = capture->data;
	return result ? result : (ssize_t)capture->length;
}

static int buffer_release(void *object)
{
	struct capture *capture = object;

	free(capture->data);
	capture->data = NULL;
	capture->length = capture->room = 0;
	return 0;
}

/* ---- posix_spawn ---- */

static int spawn(pid_t *pid, char *const *args, int in, int out)
{
	posix_spawn_file_actions_t actions;
	int result;

	posix_spawn_file_actions_init(&actions);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	result = posix_spawnp(pid, args[0], &actions, NULL, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -result;
}

static int reap(pid_t pid, int result)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return result ? result : status ? -EPROTO : 0;
}

static ssize_t spawn_capture(void *object, void **data)
{
	struct capture *capture = object;
	char argument[] = CAPTURE_WRITE;
	char *const args[] = { capture->path, argument, capture->text, NULL };
	int out[2], result;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC))
		return -errno;
	result = spawn(&pid, args, -1, out[1]);
	close(out[1]);
	if (result) {
		close(out[0]);
		return result;
	}
	while ((result = read_some(capture, out[0])) > 0)
		;
	close(out[0]);
	return taken(capture, reap(pid, result), data);
}

/* Closes the pipe once all is written. */
static int write_some(const struct capture *capture, int *fd, size_t *written)
{
	ssize_t n = write(*fd, capture->input + *written, capture->size - *written);

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	*written += (size_t)n;
	if (*written == capture->size) {
		close(*fd);
		*fd = -1;
	}
	return 0;
}

static int feed_and_read(struct capture *capture, int *in, int out)
{
	size_t written = 0;
	int result = 1;

	fcntl(*in, F_SETFL, O_NONBLOCK);
	while (result > 0) {
		struct pollfd fds[] = { { .fd = out, .events = POLLIN },
					{ .fd = *in, .events = POLLOUT } };

		if (poll(fds, 2, -1) < 0)
			return -errno;
		if (fds[1].revents && (result = write_some(capture, in, &written)) < 0)
			return result;
		result = fds[0].revents ? read_some(capture, out) : 1;
	}
	return result;
}

static ssize_t spawn_cat(void *object, void **data)
{
	struct capture *capture = object;
	char name[] = "cat";
	char *const args[] = { name, NULL };
	int in[2], out[2], result;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return -errno;
	result = spawn(&pid, args, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	if (!result)
		result = feed_and_read(capture, &in[1], out[0]);
	else
		pid = -1;
	if (in[1] >= 0)
		close(in[1]);
	close(out[0]);
	return taken(capture, pid > 0 ? reap(pid, result) : result, data);
}

/* ---- popen ---- */

static ssize_t popen_capture(void *object, void **data)
{
	struct capture *capture = object;
	char command[64];
	size_t n = 1;
	FILE *file;
	int result = 0;

	snprintf(command, sizeof(command), "exec \"$BROOD_BENCH\" " CAPTURE_WRITE " %s",
		 capture->text);
	file = popen(command, "re");
	if (!file)
		return -errno;
	while (n && !(result = make_room(capture))) {
		n = fread(capture->data + capture->length, 1, capture->room - capture->length,
			  file);
		capture->length += n;
	}
	if (pclose(file) && !result)
		result = -EPROTO;
	return taken(capture, result, data);
}

/* ---- Python ---- */

static void *python_new(const struct shape *shape, const char *call)
{
	char command[1024];

	capture_delete(writer_new(shape));	/* for BROOD_BENCH */
	snprintf(command, sizeof(command),
		 "python3 -c \"import os, struct, subprocess as s, time\n"
		 "n, own = %zu, os.environ['BROOD_BENCH']\n"
		 "rest = bytes(i %% 251 for i in range(8, %u))\n"
		 "data = b''.join(struct.pack('=Q', i) + rest for i in range(n // %u + 1))[:n]\n"
		 "def go():\n"
		 "    t = time.perf_counter_ns()\n"
		 "    done = s.run(%s, stdout=s.PIPE, check=True)\n"
		 "    t = time.perf_counter_ns() - t\n"
		 "    assert done.stdout == data\n"
		 "    return t\n"
		 "go(); print(sum(go() for i in range(3)) // 3)\" 2>/dev/null",
		 shape->size, CAPTURE_PAGE, CAPTURE_PAGE, call);
	return python_figure_new(command);
}

static void *python_writer_new(const struct shape *shape)
{
	return python_new(shape, "[own, '" CAPTURE_WRITE "', str(n)]");
}

static void *python_cat_new(const struct shape *shape)
{
	return python_new(shape, "['cat'], input=data");
}

#define PYTHON \
	.destroy = python_figure_delete, .rounds = python_figure_rounds, .right = some, \
	.traits = PEER_ALONE
#define WRITER \
	.create = writer_new, .destroy = capture_delete, .right = some, .traits = PEER_ALONE
#define CAT \
	.create = cat_new, .destroy = capture_delete, .right = some, .traits = PEER_ALONE

const struct peer peer_capture[] = {
	{
		.name = "brood", .about = "brood_subprocess_run", .only = "subprocess.capture",
		WRITER, .lease = brood_capture, .release = brood_release,
	}, {
		.name = "posix_spawn", .about = "a pipe, read, realloc",
		.only = "subprocess.capture",
		WRITER, .lease = spawn_capture, .release = buffer_release,
	}, {
		.name = "popen", .about = "popen(3), fread, realloc", .only = "subprocess.capture",
		WRITER, .lease = popen_capture, .release = buffer_release,
	}, {
		.name = "python", .about = "subprocess.run", .only = "subprocess.capture",
		.create = python_writer_new, PYTHON,
	}, {
		.name = "brood", .about = "brood_subprocess_run", .only = "subprocess.cat",
		CAT, .lease = brood_cat, .release = brood_release,
	}, {
		.name = "posix_spawn", .about = "two pipes, poll, read, write, realloc",
		.only = "subprocess.cat",
		CAT, .lease = spawn_cat, .release = buffer_release,
	}, {
		.name = "python", .about = "subprocess.run", .only = "subprocess.cat",
		.create = python_cat_new, PYTHON,
	}, {
		.name = NULL,
	},
};
