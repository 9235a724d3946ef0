/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 7: children.
 *
 * A handle is in its creator's table (children.c) from its creation until it is freed, so that
 * every fork of the process finds all descriptors that belong to handles and closes the copies in
 * the new process. pid and pidfd do not change between launch and free. state, code, gate and the
 * links are guarded by the table's mutex, which is held for short system calls only, never for a
 * wait.
 *
 * A forked copy of a handle is left as it is, stale descriptors and all: who is not the creator
 * uses nothing of it but what never changes. A child writes as little as it can before its function
 * runs, because the first write to a page costs as much as ten system calls.
 *
 * All that a handle refers to lies behind it in one piece of memory, and is told by its distance:
 * the zygote hands that piece to the child as it is.
 */
#ifndef BROOD_PROCESS_INTERNAL_H
#define BROOD_PROCESS_INTERNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include <urcu/list.h>

#include <brood/process.h>

enum brood__child_state {
	BROOD__NEW, /* never launched, or the launch failed */
	BROOD__STARTING, /* some thread launches it */
	BROOD__RUNNING, /* as far as we have looked */
	BROOD__ENDED, /* reaped, code is known */
	BROOD__LOST, /* ended, but somebody else has taken the exit code, and nobody knows it */
};

struct brood_process {
	struct cds_list_head node; /* in the table of children */
	enum brood__child_state state;
	uint32_t creator; /* who may launch it and wait for it: see children.c */
	pthread_t starter; /* the thread that launched it */
	pid_t pid; /* 0 until it has been forked */
	int pidfd; /* -1 until the child has been forked */
	int gate; /* what the child waits for; -1 once it has been let through */
	int code;
	bool terminated; /* by the exit rule */
	int end_signal; /* what a daemon gets from that rule before SIGTERM; 0 = nothing */
	bool daemon, die_with_parent, own_group, reset_signals, ignore_sigint;
	int nice;
	enum brood_start_method method;
	sigset_t mask; /* of the thread that launches it by the zygote */
	int (*function)(void *);
	void *argument;
	uint64_t short_name[BROOD_FAMILY_NAME / sizeof(uint64_t)]; /* for the roster */
	size_t bytes; /* of this and all that follows */
	/* Distances from the beginning: */
	size_t path; /* "1:2": the second child of the first child */
	size_t name;
	size_t parent_name;
	size_t cpus, cpus_count;
	size_t copy; /* 0 = the argument is handed over as it is */
	_Alignas(16) char rest[];
};

_Static_assert(sizeof(struct brood_process) == offsetof(struct brood_process, rest),
	       "the rest begins where the struct ends");

static inline void *brood__part(const struct brood_process *process, size_t distance)
{
	return (char *)(uintptr_t)process + distance;
}

/* ---- handle.c ---- */

/* NULL and errno: EINVAL, ENOMEM. */
struct brood_process *brood__handle_make(int (*function)(void *), void *argument,
					 const struct brood_process_opts *opts);

/* In a new process: its children are counted from 1. */
void brood__handles_restart(void);

/* ---- children.c: the table ---- */

/* Whether the caller is in the process that made it. */
bool brood__child_is_mine(const struct brood_process *child);
/* Make sure that the exit rule and the fork handlers are installed. 0 or -ENOMEM. */
int brood__children_ready(void);
/* Put it into the table. */
void brood__child_add(struct brood_process *child);
/* Take it out of the table, close its descriptors, free it. */
void brood__child_drop(struct brood_process *child);
/*
 * The caller is the one that launches it, and it has a gate now: 0; -EALREADY; -ECHILD; -EMFILE and
 * the like. Then fork, by the same thread, or another way to a pid; then brood__child_open();
 * after a failure brood__child_failed().
 */
int brood__child_begin(struct brood_process *child);
void brood__child_failed(struct brood_process *child);
/* In a new process that no fork handler has been called in. */
void brood__child_born(void);
/* Get the pidfd of a child that is still held back by its gate. */
int brood__child_open(struct brood_process *child, pid_t pid);
void brood__child_close_gate(struct brood_process *child);
/*
 * Reap it if it has ended. 0: it has ended, state and code will not change any more; -EAGAIN: it
 * runs; -EINVAL: NULL, or not launched; -ECHILD: it is not a child of the caller.
 */
int brood__child_look(struct brood_process *child);
/* The exit rule: SIGTERM to the daemons, then wait for all children of the calling process. */
void brood__children_end(void);
/* For descriptors that a forked child closes: the table's mutex. */
void brood__children_lock(void);
void brood__children_unlock(void);

/* ---- launch.c ---- */

int brood__launch(struct brood_process *process);
/* In the new process. The handle's gate is its own; mask: of signals, from then on. */
_Noreturn void brood__run_child(struct brood_process *process, pid_t parent, const sigset_t *mask);
/* Flush stdio, as far as that needs no waiting for another thread. */
void brood__flush(void);

/* ---- kin.c: the caller itself, and its parent ---- */

/* What the calling process is to its creator; never NULL. */
struct brood_process *brood__current(void);
/* What it is to its parent, or NULL. */
struct brood_process *brood__above(void);
/* The calling process is this one now, started by `parent`. */
void brood__become(struct brood_process *process, pid_t parent);
/* It was forked by other means than the library's. */
void brood__kin_forked(void);
/* 0: the parent has ended; -EAGAIN; -ECHILD: it is not our parent. *fd is what to wait for. */
int brood__parent_look(struct brood_process *parent, int *fd);

/* ---- roster.c: the processes of the family, by name ---- */

/* The calling process: it is starting (creator > 0), or was not started by the library. */
void brood__roster_enter(const uint64_t *short_name, pid_t creator);
void brood__roster_running(void);
/* Without a record of one's own: in a forked copy of the process. */
void brood__roster_forked(void);
/* A child of the caller has been reaped. */
void brood__roster_forget(pid_t pid);

/* ---- zygote.c: the program's side of it ---- */

/* Have the zygote start it: the pid, which is our child, at its gate; -errno. */
pid_t brood__zygote_fork(struct brood_process *process);
/* In a forked child: it has none. Under the table's mutex. */
void brood__zygote_forked(void);
/* At the end of the process, when no child is left. */
void brood__zygote_end(void);

/* ---- nursery.c: what runs in the zygote ---- */

/* A request: the handle's bytes, of which the first so many at most come along with the gate. */
#define BROOD__REQUEST_AT_ONCE 65536u

/* Serve requests until the program, `parent`, ends. *told: what brood__clone_sibling is given. */
_Noreturn void brood__nursery(int socket, pid_t parent, int32_t *told);

/* ---- gate.c: holding a new child back ---- */

int brood__gate_make(void); /* the descriptor or -errno */
void brood__gate_open(int gate);
/* Send the child away: it leaves without having done anything. */
void brood__gate_cancel(int gate);
/* Sleep until the child has passed the open gate or has ended. */
void brood__gate_passed(int gate, int pidfd);
/* In the child: wait for the parent's word. False: leave. Closes the gate. */
bool brood__gate_enter(int gate, pid_t parent);
/* Whether the caller's parent is no longer the process `parent`. */
bool brood__parent_gone(pid_t parent);

#endif
