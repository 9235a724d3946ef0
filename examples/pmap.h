/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the reader, the dispatcher and the workers have in common. */
#ifndef PMAP_H
#define PMAP_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brood.h>

#define TEXT_MAX    131071 /* the kernel's limit for one argument, without its end */
#define SHOWN_MAX   60 /* characters of a line that is too long */
#define WORKERS_MAX 200
#define ERROR	    255 /* exit status */

struct settings {
	unsigned int workers; /* 0 = the number of CPUs */
	int64_t limit; /* a time-out as brood takes it */
	bool bar;
	char **command; /* NULL: the lines are commands */
};

extern struct settings settings;
extern sigset_t mask; /* of signals, as we were started with */

#define END_WITH_ERROR SIGUSR1 /* to the first process: kill all, the exit status is ERROR */

extern struct brood_queue *lines, *answers;

enum problem { FINE, HAS_NUL, TOO_LONG };

/* From the reader to the dispatcher. */
struct line {
	uint32_t problem; /* enum problem */
	char text[TEXT_MAX + 1];
};

#define LINE_SIZE(length) (offsetof(struct line, text) + (length) + 1)

/* From the dispatcher to a worker. */
struct work {
	uint64_t number;
	char text[TEXT_MAX + 1];
};

#define WORK_SIZE(length) (offsetof(struct work, text) + (length) + 1)

/* What became of a command; the two outputs follow it. */
struct answer {
	uint64_t number;
	int error; /* of brood_subprocess_run */
	int code;
	size_t output_length, error_length;
	char text[BROOD_SUBPROCESS_TEXT]; /* of the error */
	char bytes[];
};

/* ---- pmap.c ---- */

/* Say what errno is about. */
int fail(const char *what);

/* ---- pmap_work.c ---- */

/* The reader: 0, or the exit code that tells that it could not read all. */
int read_lines(void *unused);

/* A task of the pool: run a command, put its answer. */
int do_work(struct brood_task *task, const void *argument, void *result);

/* The handler of SIGINT: whoever has got it begins no more work. */
void note_interrupt(int signal);
extern volatile sig_atomic_t interrupted;

/* ---- pmap_dispatch.c ---- */

/* The dispatcher: do all, and return the exit status. */
int dispatch(void *unused);

#endif
