/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 7: external programs.
 *
 * A handle is in the table (table.c) from its creation until it is freed, so that every fork of the
 * process finds the descriptors that belong to handles, and closes the copies in the new process.
 * So those are opened and closed, and stored in the handle, under the table's mutex; it is held for
 * short system calls only. state, code, usage and ended are guarded by it too. What communicate
 * works on belongs to the thread that has set `busy`. All else does not change after the start.
 *
 * Nothing here is shared with other processes: if the caller is killed, the kernel closes its
 * descriptors, and nothing remains to repair.
 */
#ifndef BROOD_SUBPROCESS_INTERNAL_H
#define BROOD_SUBPROCESS_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>

#include <urcu/list.h>

#include <brood/subprocess.h>

#include "platform/spawn.h"

enum brood__program_state {
	BROOD__PROGRAM_STARTING,
	BROOD__PROGRAM_RUNNING, /* as far as we have looked */
	BROOD__PROGRAM_ENDED, /* reaped, code and usage are known */
	BROOD__PROGRAM_LOST, /* ended, and nobody knows how */
};

enum brood__busy {
	BROOD__FREE,
	BROOD__LOOKED_AT, /* for a moment: at what was kept */
	BROOD__BUSY, /* some thread communicates, closes or takes a stream */
};

struct brood__stream {
	uint32_t kind; /* enum brood_stream_kind */
	int ours; /* our end of its pipe or pty; -1 = none */
	int theirs; /* what the program gets; -1 once it has it */
	int copy; /* of BROOD_STREAM_COPY: the other end of the way, a copy of the user's */
	bool by_byte; /* the target takes one byte without waiting, no more is known */
	bool by_hand; /* the kernel cannot move the bytes: read and write */
	bool wait_target; /* the source has something, the target takes nothing */
	bool large; /* its pipe was made larger, or is to stay as it is */
	/* Bytes in hand: data[start .. length) */
	char *data;
	size_t start, length, room;
	size_t touched; /* of the room: has its pages */
	size_t searched; /* no newline before */
	uint64_t total; /* bytes that came, or were written */
	uint64_t goal; /* what total will be when all has come that was there at the end */
	bool over; /* the limit, with BROOD_OVERFLOW_ERROR */
};

struct brood_subprocess {
	struct cds_list_head node; /* in the table, or among the abandoned ones */
	pid_t creator;
	bool foreign; /* a forked copy */
	enum brood__program_state state;
	bool leads; /* a process group or a session */
	pid_t pid;
	int pidfd;
	int code;
	struct rusage usage;
	int64_t started, ended; /* brood_now() */
	int64_t boot_time; /* of the start */
	char **args; /* one piece of memory */
	int cancel; /* whether who has set busy could be cancelled */
	bool stopped; /* by receive */
	bool broken; /* the last write had nobody to read it: SIGPIPE has come */
	bool finishing; /* the program has ended, and the time for others is over */
	atomic_int busy; /* enum brood__busy */
	bool has_input; /* communicate has been told */
	const char *input;
	size_t input_length; /* of which streams[0].total are written */
	int64_t deadline; /* of the communicate that is on its way */
	int64_t grace_end; /* 0 = the program has not been seen to have ended */
	struct brood_subprocess_opts
		opts; /* communicate's part; no pointer of it is used but that one */
	struct brood__stream streams[3];
};

/* ---- table.c ---- */

/* Make sure that the fork handlers are there. 0 or -ENOMEM. */
int brood__programs_ready(void);
void brood__programs_lock(void);
void brood__programs_unlock(void);
void brood__program_add(struct brood_subprocess *process);
/* Around the start of a program with other ids than the caller's. */
void brood__ids_change(void);
void brood__ids_changed(void);
/* It was (pid > 0) or was not started. */
void brood__program_started(struct brood_subprocess *process, pid_t pid, int pidfd);
/* Close its descriptors and free it; if it runs, when it has ended. */
void brood__program_drop(struct brood_subprocess *process);
/* Reap those that were dropped and have ended. */
void brood__programs_reap(void);
/* It has not been seen to have ended. */
bool brood__program_runs(const struct brood_subprocess *process);
bool brood__program_is_mine(const struct brood_subprocess *process);
/* Reap it if it has ended. 0: it has; -EAGAIN; -EINVAL: NULL; -ECHILD: not the caller's. */
int brood__program_look(struct brood_subprocess *process);

/* ---- subprocess.c ---- */

/* Wait until it has ended: 0, -ETIMEDOUT; -EAGAIN with a deadline of 0; -errno. */
int brood__program_wait(struct brood_subprocess *process, int64_t deadline);

/* ---- communicate.c ---- */

/* The caller is the one that communicates, or changes its streams. */
bool brood__claim(struct brood_subprocess *process);
void brood__unclaim(struct brood_subprocess *process);
/* As brood_subprocess_communicate, without a result. The caller has set `busy`. */
int brood__communicate(struct brood_subprocess *process, const void *input, size_t length,
		       int64_t deadline);

/* ---- plan.c ---- */

struct brood__plan { /* what the program is given; for one start */
	const char **argv;
	const char **envp; /* may be the caller's environ */
	const char **paths;
	char *names; /* the bytes of paths */
	const char **own_envp;
	int *passed; /* the descriptors, sorted */
	const char *program; /* as it was asked for */
};

/* 0 or -ENOMEM. */
int brood__plan_make(struct brood__plan *plan, const char *const argv[],
		     const struct brood_subprocess_opts *opts);
void brood__plan_free(struct brood__plan *plan);

/* ---- streams.c ---- */

/* Open what the program gets, *spawn is told. 0, or -errno and spawn->step. */
int brood__streams_open(struct brood_subprocess *process, const struct brood_subprocess_opts *opts,
			struct brood__spawn *spawn);
/* The program has its ends. Under the mutex. */
void brood__streams_started(struct brood_subprocess *process);
void brood__stream_close(struct brood_subprocess *process, int which);
/* Under the mutex. */
void brood__streams_close_all(struct brood_subprocess *process);

/* ---- open.c ---- */

/* As brood_subprocess_open, with errors only in *error. */
struct brood_subprocess *brood__program_open(const char *const argv[],
					     const struct brood_subprocess_opts *opts,
					     struct brood_subprocess_error *error);

/* ---- kept.c: what has come ---- */

/* Room for more, at stream->data + stream->length: how much, or -ENOMEM. */
ssize_t brood__kept_room(const struct brood_subprocess *process, struct brood__stream *stream);
/* n bytes more lie there. 0, -EFBIG, -ETIMEDOUT (receive took its time), what receive returned. */
int brood__kept_add(struct brood_subprocess *process, int which, size_t n);
/* Give receive what is left for it; at the end, all. As add. */
int brood__kept_deliver(struct brood_subprocess *process, int which, bool end);
/* The kept bytes. */
char *brood__kept_bytes(const struct brood_subprocess *process, int which, size_t *length);
/* The same, given away: the caller frees them. NULL when there can be none. */
char *brood__kept_take(struct brood_subprocess *process, int which, size_t *length);

/* ---- move.c ---- */

/* A step of BROOD_STREAM_COPY: what it waits for is ready. 0 or -errno. */
int brood__move(struct brood_subprocess *process, int which);

/* ---- pump.c ---- */

/*
 * Move all that comes until there is no stream left. 0, -ETIMEDOUT, -EFBIG, what receive returned,
 * -errno.
 */
int brood__pump(struct brood_subprocess *process, int64_t deadline);
/* Read and keep what is there now. Whether somebody has the other end of one open for so long. */
bool brood__pump_rest(struct brood_subprocess *process, int wait_ms);

/* ---- report.c ---- */

/* The kernel's words for an error: brood's own for the same numbers tell of other things. */
const char *brood__words(int code);

/* Options that make no sense, and why. */
void brood__report_options(struct brood_subprocess_error *error, int code, const char *why);
/* A start that failed at this step. */
void brood__report_start(struct brood_subprocess_error *error, uint32_t step, int code,
			 const char *program, const struct brood_subprocess_opts *opts);
/* A run that failed: "Command '...' " and the rest. */
void brood__report_run(struct brood_subprocess_error *error, uint32_t step, int code,
		       const char *const args[], bool shell, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

/* ---- result.c ---- */

/* A copy in one piece of memory; NULL. */
char **brood__args_copy(const char *const args[]);
/* What is known of it, its outputs given away. */
void brood__result_fill(struct brood_subprocess_result *result, struct brood_subprocess *process);

#endif
