/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stopping a process at a chosen instruction.
 *
 * A victim is a forked child that is traced. It runs freely up to stepper_begin(); from there the
 * parent moves it by single instructions, at the most to stepper_end(). Point k is the moment at
 * which the victim has executed k instructions since stepper_begin stopped it, and nothing of the
 * next one. At a point it may be killed, or be left standing and go on later.
 *
 * A step costs two switches of processes, and point k needs k of them; that is too slow for tens of
 * thousands of points. So the addresses of one whole run are recorded, and a later victim is let
 * run to a breakpoint at the last recorded address up to k that did not occur before; only the rest
 * is stepped, or, where it is long, run by a breakpoint at the last address, over its earlier
 * turns. It stands at the same place with the same work done as after k single steps, as long as it
 * takes the same path. That is looked at: stepper_advance says when the address is not the recorded
 * one, and the caller then takes a new victim there by single steps alone.
 */
#ifndef TESTS_CRASH_STEPPER_H
#define TESTS_CRASH_STEPPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct trace {
	uint64_t *address;	/* of the next instruction at point 0, 1, 2, ...; the last is the
				 * entry of stepper_end */
	size_t *jump;		/* the last point up to here at which a new address occurs */
	size_t points;
	size_t room;
};

/* What moving a victim led to. */
enum step_result {
	STEP_OK,	/* at the point that was asked for */
	STEP_ASTRAY,	/* somewhere else on the way: the recorded path was not taken */
	STEP_END,	/* in front of stepper_end, or in it */
	STEP_DIED,	/* the victim got a signal or ended; see stepper_status */
};

/* NULL, or the reason why no process can be stepped here. */
const char *stepper_unsupported(void);

/* Called by the victim around the instructions in question. */
void stepper_begin(void);
void stepper_end(void);

/*
 * Fork a victim that runs body(argument) and then leaves with _exit(0). It dies with its parent.
 * Returns when it stands in stepper_begin, or -1 when it never came there.
 */
pid_t stepper_spawn(void (*body)(void *), void *argument);

/* Step the victim to stepper_end and note the way. */
enum step_result stepper_record(pid_t pid, struct trace *trace);

/* Bring a fresh victim to point k, by the short cut or step by step. */
enum step_result stepper_advance(pid_t pid, const struct trace *trace, size_t k);
enum step_result stepper_advance_slowly(pid_t pid, size_t k);

/*
 * A breakpoint in front of an instruction, for who moves a victim by himself, which may fall asleep
 * before it is there. It is taken away when the victim has stopped; at it, or elsewhere.
 */
bool stepper_break(pid_t pid, uint64_t address, long *word);
bool stepper_unbreak(pid_t pid, uint64_t address, long word);

/* SIGKILL, and reap. */
void stepper_kill(pid_t pid);

/*
 * Let the victim run until it sleeps in the kernel. False when it gets a signal or ends, or comes to
 * stepper_end, before that. It can then be killed.
 */
bool stepper_run_asleep(pid_t pid);

/* Whether a process sleeps in the kernel: neither runs, nor wants to, nor is stopped. */
bool stepper_is_asleep(pid_t pid);

/*
 * A victim whose body calls stepper_begin again behind stepper_end is used again: let it run from
 * wherever it stands to stepper_begin. False when it does not come there.
 */
bool stepper_again(pid_t pid);

/* Whether a stopped victim is in front of stepper_end or in it: the call has returned. */
bool stepper_at_end(pid_t pid);

/* Let the victim go to its end. Returns its wait status. */
int stepper_finish(pid_t pid);

/* The wait status of the last victim that was STEP_DIED. */
int stepper_status(void);

/* Where the victim stands, as an address and in words. */
uint64_t stepper_address(pid_t pid);
const char *stepper_where(uint64_t address);

/* A way that somebody else steps: each address of the next instruction, then close it. */
void trace_note(struct trace *trace, uint64_t address);
void trace_close(struct trace *trace);

/*
 * Which points are worth a visit when the rounds of a loop are alike: by point, whether it is among
 * the first or last `rounds` executions of its instruction; 0 = all are. To be freed; exits with 99
 * without memory.
 */
bool *trace_choose(const struct trace *trace, size_t rounds);

void trace_free(struct trace *trace);

#endif
