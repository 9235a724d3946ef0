/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests/faults/main.c, its scenes and its tracer share. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DEADLINE_MS 15000 /* what takes longer hangs */
#define MARK	    0x62726f6fu /* first argument of the system calls around the scene */
#define ERRORS	    9
#define PASSED_FD   40 /* that programs may be given */
#define OPEN_FD	    41 /* that nothing is done with */

/* What the victim says of its scene, in memory that it shares with the tracer. */
struct report {
	int error; /* 0: the full right result */
	uint32_t step;
	bool ended; /* it came to the end of its checks */
	char wrong[200]; /* empty, or what nothing excuses */
	char result[80]; /* the same, but for a program that was killed before its exec */
};

/* One run: what is to happen at which system call, and what came of it. */
enum deed { FAIL, KILL_VICTIM, KILL_CHILD };

struct run {
	const struct scene *scene;
	enum deed deed;
	unsigned int at; /* the number of the call, or of the stop at one; from 1 on */
	unsigned int which; /* of the errors that such a call may give */

	unsigned int seen; /* calls or stops that there were */
	bool done, in_child;
	const char *call;
	unsigned int errors; /* how many such a call may give */
	int error;
	pid_t victim, started; /* the last process that the victim has made */
	bool executed, hung;
	int status, child_status; /* of their ends; -1: not seen */
};

struct scene {
	const char *name;
	int (*play)(void);
};

extern struct report *report;
extern const struct scene fault_scenes[], kill_scenes[];

/* In the victim: play the scene between the marks, look what it has left, and end. */
_Noreturn void scene_play(const struct scene *scene);
/* What the scene itself does, by no call of the library: nothing fails there. */
void aside(bool begin);
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
void expect(bool right, const char *what);
bool no_children(void);
/* In a program that a scene has started: what argv[1] asks for. */
int scene_program(int argc, char **argv);
int scenes_prepare(void);
void scenes_clean(void);

/* Fork a victim, and trace it to its end and to that of all that it has started. */
void trace_run(struct run *run);
const char *trace_unsupported(void);

/* The call's name, and the errors that it may give as it is called by that process. */
const char *call_errors(pid_t pid, uint64_t number, const uint64_t args[], const int **errors);
bool call_may_not_err(const char *call, int error);
bool call_fits_step(const char *call, bool in_child, uint32_t step);

#endif
