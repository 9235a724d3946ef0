/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * External programs: started with their input and output in hand, waited for, run to their end.
 *
 *	struct brood_subprocess_result made;
 *	int r = brood_subprocess_run(BROOD_ARGS("make", "-j8"),
 *		&(struct brood_subprocess_opts){ .cwd = "/src", .capture = true, .check = true },
 *		&made, brood_ms(60000));
 *
 *	fwrite(made.output, 1, made.output_length, stdout);
 *	if (r)
 *		fprintf(stderr, "%s\n", made.error.text);
 *	brood_subprocess_result_free(&made);
 *
 * brood_subprocess_run() does all in one call. brood_subprocess_open() starts a program and returns
 * once it has been exec'ed; then talk to it through its descriptors, or communicate(), wait() and
 * close().
 *
 * The start. The program is never forked: the new process shares the memory of the caller until it
 * has exec'ed (as vfork, as posix_spawn), whatever options there are; so a start costs the same in
 * a big program as in a small one, and runs no code of the user's, which is what makes it safe
 * beside other threads. Only the calling thread stands still meanwhile. What fails on the way, up
 * to the exec, is an error of the call, with the step that failed; no process is left then. If
 * somebody kills the new process before its exec, the start succeeds, and the exit code tells.
 *
 * What the program gets: its argument strings, the environment, the current directory and the
 * umask, unless options say otherwise; standard input, output and error as the options say, and no
 * other descriptor but those of pass_fds: all others are closed in it when the start returns (with
 * keep_fds, those that are CLOEXEC are so a moment later). No handler; SIGPIPE, SIGXFSZ and the
 * mask of signals as if nobody had touched them; other signals that are ignored here are ignored
 * there.
 *
 * The end. Exit codes are 0 to 255, or -N for signal N. A shell makes 128 + N of a signal inside
 * it, 127 of a command that is not there, 126 of one that it may not run. A stopped program has not
 * ended. Ctrl-C goes to the program as well, unless it has a group of its own; a wait of the caller
 * goes on if its own handler of SIGINT returns. brood touches no SIGCHLD and reaps nobody else's
 * child. If the caller ignores SIGCHLD, or waits for any child elsewhere, all still works; the exit
 * code is then known from Linux 6.15 on, and is an error, -ECHILD, before: never a made-up 0.
 *
 * A handle belongs to the process that made it; in a forked child all calls but pid return -ECHILD,
 * and its copies of the handle's descriptors are closed (not so a pidfd, and the file of a `path`,
 * of a start that another thread was at when it was forked). If the caller is killed at any
 * instruction, the program is not there, or runs on, as programs do; with die_with_parent it is
 * killed. Nothing of it lies in shared memory.
 *
 * Thread safe, but for closing a handle that others use; two threads that communicate() with the
 * same one get -EBUSY. Only wait is a cancellation point. Any thread may start programs at any
 * time: none gets an end of another one's pipe.
 */
#ifndef BROOD_SUBPROCESS_H
#define BROOD_SUBPROCESS_H

#include <limits.h>
#include <stdbool.h>
#include <sys/resource.h>

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brood_subprocess;

/*
 * An argument list in place: BROOD_ARGS("ls", "-l"), there until the end of the block. C only; in
 * C++ an array of one's own, with nullptr behind the last.
 */
#ifndef __cplusplus
#define BROOD_ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#endif

/* Which of the three. */
enum brood_which_stream { BROOD_STDIN = 0, BROOD_STDOUT, BROOD_STDERR };

enum brood_stream_kind {
	BROOD_STREAM_INHERIT = 0, /* the caller's, unless that is marked CLOEXEC */
	BROOD_STREAM_PIPE, /* to or from the caller: brood_subprocess_fd, communicate */
	BROOD_STREAM_NULL, /* /dev/null */
	BROOD_STREAM_FD, /* `fd`, of any number; it stays open here */
	BROOD_STREAM_PATH, /* the file `path`, opened by the caller: input for reading, else
				* created with 0666 and the umask, and emptied or appended to */
	BROOD_STREAM_OUTPUT, /* error only: where output goes, in the order of the writes */
	BROOD_STREAM_PTY, /* output and error, each its own: as PIPE, but the program takes it for
				* a terminal, and so writes line by line; bytes come unchanged.
				* ioctl(2) of our end sets its window's size */
	BROOD_STREAM_COPY /* a pipe between the program and `fd`, which communicate moves the
				* bytes of, in the kernel where that goes; they are not kept. More
				* may be taken from fd than the program reads. An error of fd ends
				* communicate. Not for event loops: there is nothing to watch */
};

struct brood_stream {
	uint32_t kind; /* enum brood_stream_kind */
	int fd;
	const char *path;
	bool append;
};

/* What is done with output that exceeds `limit`. */
enum brood_overflow {
	BROOD_OVERFLOW_ERROR = 0, /* communicate: -EFBIG, with the first `limit` bytes kept */
	BROOD_OVERFLOW_HEAD, /* keep the first `limit` bytes, read and forget the rest */
	BROOD_OVERFLOW_TAIL /* keep the last `limit` bytes */
};

struct brood_limit {
	int resource; /* RLIMIT_CPU and the like */
	struct rlimit value;
};

/* What the call was at when it failed. */
enum brood_subprocess_step {
	BROOD_STEP_NONE = 0,
	BROOD_STEP_OPTIONS, /* they contradict each other; memory for them */
	BROOD_STEP_STDIN, /* its pipe, path or descriptor */
	BROOD_STEP_STDOUT,
	BROOD_STEP_STDERR,
	BROOD_STEP_PASS_FDS,
	BROOD_STEP_START, /* the process itself */
	BROOD_STEP_SIGNALS, /* from here on in the new process */
	BROOD_STEP_SESSION,
	BROOD_STEP_GROUP, /* its process group */
	BROOD_STEP_LIMITS,
	BROOD_STEP_NICE,
	BROOD_STEP_CPUS,
	BROOD_STEP_CWD,
	BROOD_STEP_IDS, /* user, group, groups */
	BROOD_STEP_PARENT, /* die_with_parent */
	BROOD_STEP_EXEC,
	BROOD_STEP_COMMUNICATE, /* it had been started */
	BROOD_STEP_RUN /* it was run: time-out, limit, callback, exit code with `check` */
};

#define BROOD_SUBPROCESS_TEXT 256

struct brood_subprocess_error {
	int code; /* what the call returned; 0 = no error */
	uint32_t step; /* enum brood_subprocess_step */
	char text[BROOD_SUBPROCESS_TEXT]; /* "cannot run 'lss': No such file or directory";
					* "Command 'exit 1' returned non-zero exit status 1." */
};

/*
 * Zero is the default throughout. Strings and arrays are read during the call only. Pointers to
 * ids and the like: NULL = as the caller's. What makes no sense is refused with EINVAL: `lines`
 * without `receive`, a negative grace, a count without its array, an id of -1.
 */
struct brood_subprocess_opts {
	size_t opts_size; /* 0, or sizeof(struct brood_subprocess_opts) */
	struct brood_stream in, out, err;

	/* ---- the program ---- */
	bool shell; /* argv[0] is a command for /bin/sh -c; argv[1] is its $0, argv[2] its $1 */
	const char *executable; /* what is exec'ed, or the shell; argv[0] is only its name then */
	const char *const *env; /* "NAME=value": set in its environment; "NAME": not in it; ends
				* with NULL */
	bool env_clear; /* nothing else is in its environment */
	const char *cwd; /* entered with the caller's rights; a relative path of the program is
			  * looked up there */
	const mode_t *umask;
	const uid_t *user; /* real, effective and saved; of itself changes no group */
	const gid_t *group;
	const gid_t *groups; /* the extra ones; for none: not NULL, and groups_count 0 */
	size_t groups_count;
	bool new_session; /* it leads a session, without a terminal, and a process group */
	bool own_group; /* it leads a process group */
	pid_t join_group; /* it joins this group of its session */
	int nice; /* added to the caller's */
	const struct brood_limit *limits;
	size_t limits_count;
	const unsigned int *cpus; /* the only ones that it may run on */
	size_t cpus_count;
	const int *pass_fds; /* open in it, under the same numbers; all others from 3 on are not: so
				* is one by which the program is named (/proc/self/fd/N) */
	size_t pass_fds_count;
	bool keep_fds; /* those of the caller that have no CLOEXEC stay open */
	bool keep_signals; /* SIGPIPE, SIGXFSZ and the mask are the caller's */
	bool die_with_parent; /* SIGKILL to it when the thread that starts it ends */
	size_t pipe_size; /* bytes that a pipe holds, rounded up by the kernel; 0 = 64 KiB, and more
				* for one that communicate finds full */

	/* ---- communicate ---- */
	size_t limit; /* bytes kept of output, and of error; 0 = no limit */
	uint32_t overflow; /* enum brood_overflow */
	bool lines; /* receive gets single lines, newline included if there was one; with a limit,
				* longer ones in parts of `limit` bytes */
	/*
	 * Called by communicate, in the calling thread, for all that comes by a pipe or pty, which
	 * is not kept then; in parts of any length, or lines (ended by a newline; a carriage return
	 * ends none). No 0 is behind them. It returns 0; anything else ends communicate, which
	 * returns it, and may be called again.
	 */
	int (*receive)(void *argument, enum brood_which_stream which, const char *data,
		       size_t length);
	void *receive_argument;
	bool until_exit; /* do not wait for others that hold the pipes once the program itself has
				* ended: read for `grace` more, and then what is there. To an fd of
				* COPY it is moved before all else: as long as that takes */
	int64_t grace; /* nanoseconds */

	/* ---- brood_subprocess_run only ---- */
	const void *input; /* not NULL: written to its standard input, which is a pipe then */
	size_t input_length;
	bool capture; /* output and error are pipes; error may be OUTPUT instead. For one of them
		       * alone: make that PIPE, without capture */
	bool check; /* an exit code other than 0 is an error */

	struct brood_subprocess_error *error; /* says what failed, or NULL */
};

/* What became of it. Free it with brood_subprocess_result_free. */
struct brood_subprocess_result {
	char **args; /* as they were given; ends with NULL */
	int code; /* 0 to 255, -N for signal N, BROOD_NO_CODE */
	char *output; /* kept bytes, and a 0 behind them; NULL if none were to be kept */
	size_t output_length;
	uint64_t output_total; /* bytes that came */
	char *error_output; /* the same of its standard error */
	size_t error_length;
	uint64_t error_total;
	uint64_t input_total; /* bytes of the input that were written */
	int64_t started; /* brood_now() of the start */
	int64_t elapsed; /* nanoseconds from the start until its end was noticed */
	struct rusage usage; /* of it and of those that it waited for; zero when unknown */
	struct brood_subprocess_error error;
};

/* The exit code is unknown: it was not started, it runs, or somebody else reaped it. */
#define BROOD_NO_CODE INT_MIN

/*
 * Start a program: argv[0] is looked up in the PATH of its environment unless it has a slash. NULL
 * opts are the defaults. Blocks until it has been exec'ed; to open a FIFO by `path` may block.
 *
 * NULL with errno, and *opts->error, unless opts_size is refused. Of the exec: ENOENT, EACCES,
 * ENOTDIR, ENOEXEC, E2BIG, ELOOP, ETXTBSY, and whatever else execve(2) tells; of cwd: ENOENT,
 * ENOTDIR, EACCES; of ids: EPERM, EINVAL; of limits, nice, groups: EPERM, EACCES, EINVAL, ESRCH; of
 * streams and pass_fds: EBADF, ENOENT, EMFILE, ENFILE and the like; EAGAIN, ENOMEM (no process);
 * EINVAL (options that contradict each other, an empty argv, an empty name in env, options for
 * run).
 */
BROOD_API struct brood_subprocess *brood_subprocess_open(const char *const argv[],
							 const struct brood_subprocess_opts *opts);

/*
 * Close its pipes, and free the handle. If it runs, it goes on, and is reaped when it has ended by
 * a later open or close of any handle; until then it takes one descriptor. Never blocks. 0, -ECHILD
 * (the copy is freed). NULL is fine.
 */
BROOD_API int brood_subprocess_close(struct brood_subprocess *process);

/* Its process id, also after its end. -EINVAL (NULL). */
BROOD_API pid_t brood_subprocess_pid(const struct brood_subprocess *process);

/*
 * A descriptor that poll and epoll report readable when it has ended. It belongs to the handle.
 * -ECHILD, -EINVAL.
 */
BROOD_API int brood_subprocess_pidfd(const struct brood_subprocess *process);

/*
 * Our end of one of its pipes. It belongs to the handle, and blocks, until communicate makes it not
 * to. -EBADF: that stream is no pipe or pty, or was closed or taken; -EBUSY (close_stream, take): a
 * thread communicates; -ECHILD, -EINVAL.
 *
 * close_stream closes it: the end of its input. take gives it to the caller, for fdopen(3) and the
 * like; the handle forgets it; it blocks, and is CLOEXEC. A pty's end fails with EIO when nobody
 * holds the other end any more: that is the end of the output.
 */
BROOD_API int brood_subprocess_fd(const struct brood_subprocess *process,
				  enum brood_which_stream which);
BROOD_API int brood_subprocess_close_stream(struct brood_subprocess *process,
					    enum brood_which_stream which);
BROOD_API int brood_subprocess_take(struct brood_subprocess *process,
				    enum brood_which_stream which);

/*
 * Wait until it has ended: 0 and *code (may be NULL); -EAGAIN, -ETIMEDOUT: it runs; -ECHILD: it has
 * ended, and nobody knows how, or it is not the caller's; -EINVAL. May be called again, and by
 * several threads. Sleeps, and costs no CPU. A program that fills a pipe which nobody reads does
 * not end: use communicate.
 *
 * poll is the same with a timeout of 0.
 */
BROOD_API int brood_subprocess_wait(struct brood_subprocess *process, int *code, int64_t timeout);
BROOD_API int brood_subprocess_poll(struct brood_subprocess *process, int *code);

/*
 * Send a signal; SIGTERM; SIGKILL. 0 also when it has ended: never to another process that got its
 * pid. -EPERM (it runs as another user), -EINVAL (no such signal), -ECHILD.
 */
BROOD_API int brood_subprocess_signal(struct brood_subprocess *process, int signal);
BROOD_API int brood_subprocess_terminate(struct brood_subprocess *process);
BROOD_API int brood_subprocess_kill(struct brood_subprocess *process);

/*
 * Send a signal to it and to all that it has started, as brood_process_kill_tree does. If it leads
 * a process group or session (own_group, new_session), then also to all of that group, as long as
 * it has not been waited for: so those are reached too whose parent has ended before. Errors as
 * there; the group gets the signal all the same.
 */
BROOD_API int brood_subprocess_kill_tree(struct brood_subprocess *process, int signal);

/*
 * Write the input, close its standard input (to keep that open, take it before), read output and
 * error to their ends, all at once, and wait for its end. Streams that are no pipes are left alone;
 * one that was read before gives the rest. The input is not copied: it must stay until communicate
 * has returned 0 or an error that is none of these:
 *
 * -EAGAIN, -ETIMEDOUT: not done. Call it again, with the same input or NULL: nothing is lost or
 * doubled. What receive returned: the same. -EFBIG: the limit; so says each further call: kill it.
 *
 * 0: it has ended, and *result (may be NULL) is filled, also where nobody knows the exit code; that
 * is given once, a second call gives empty outputs. Else *result is untouched; look at what was
 * kept with brood_subprocess_kept. A program that does not read its input (EPIPE) is no error, and
 * no SIGPIPE is raised. -EBUSY: another thread communicates, closes or takes a stream. -ENOMEM, and
 * errors of read, write, splice, of which those of COPY's fd that are told apart above become -EIO
 * (but -EFBIG, of a file that may not grow): what was read is kept, and another call goes on there.
 * -EINVAL: another input than before, or input where standard input is no pipe. -ECHILD.
 *
 * In an event loop: watch the pidfd, for one report only (it stays readable, while others may hold
 * the pipes), and brood_subprocess_fd of each pipe, for writing if it is the input; all of them
 * level-triggered. On any event call communicate with a timeout of 0, until it returns something
 * else than -EAGAIN; with until_exit once more when `grace` is over since the pidfd's report. With
 * `receive` such a call reads each stream once: no more than its pipe holds. Ask for the
 * descriptors anew each time: those that are done are closed (-EBADF, which poll(2) passes over).
 * epoll may go on telling of one that is closed, for as long as a process that another thread has
 * forked or is just starting has a copy: let an event hold a number to look up, not a pointer to
 * what may be freed.
 */
BROOD_API int brood_subprocess_communicate(struct brood_subprocess *process, const void *input,
					   size_t length, struct brood_subprocess_result *result,
					   int64_t timeout);

/*
 * What communicate has kept so far: good until the next call of communicate or close. NULL when
 * there is nothing, or another thread communicates.
 */
BROOD_API const char *brood_subprocess_kept(struct brood_subprocess *process,
					    enum brood_which_stream which, size_t *length);

/*
 * Run a program to its end: open, communicate, close. *result (may be NULL) is filled in any case,
 * with what is known.
 *
 * 0: it has ended; with `check`: by exit code 0. -EREMOTEIO: with `check`: by another one, or a
 * signal. -ECHILD: it has ended, and nobody knows how. -ETIMEDOUT, or -EAGAIN with a timeout of 0:
 * the program and all that it had started were killed, as by brood_subprocess_kill_tree, and so was
 * whoever else held a pipe of it that was still in use, and had been started since; *result has
 * what had been read. The same with -EFBIG (limit), with what receive returned, and with errors of
 * communicate. Errors of open: it was not run. -EINVAL also for input or capture with streams that
 * contradict them.
 *
 * The timeout is in nanoseconds, as everywhere: brood_ms(500); a negative one is 0. It does not cut
 * the start short, if that has to wait for the other side of a FIFO by `path`, or for a slow file
 * system to close a file. Nothing else ends a run early: who may have to, opens, communicates, and
 * kills from another thread.
 *
 * A program that cannot be killed for a second (it hangs in the kernel) is left, as by close.
 * Without free descriptors, or where /proc is absent or of another pid namespace, only the program
 * itself and its group are killed. Those that it had started become children of process 1, or of
 * the caller if it is that or a subreaper (prctl(2)): then it has to reap them.
 */
BROOD_API int brood_subprocess_run(const char *const argv[],
				   const struct brood_subprocess_opts *opts,
				   struct brood_subprocess_result *result, int64_t timeout);

/*
 * Run a command by /bin/sh with its error in its output, of which one newline at the end is taken
 * off. As brood_subprocess_run.
 */
BROOD_API int brood_subprocess_getoutput(const char *command,
					 struct brood_subprocess_result *result, int64_t timeout);

/* Free what a result holds, and make it all zero. NULL is fine. */
BROOD_API void brood_subprocess_result_free(struct brood_subprocess_result *result);

#ifdef __cplusplus
}
#endif

#endif
