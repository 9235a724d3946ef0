/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 7: children.
 *
 * A handle is in its creator's table (children.c) from before the fork until it is freed, so that
 * every fork of the process finds all descriptors that belong to handles and closes the copies in
 * the new process. pid, pidfd and creator do not change between start and free, except that a
 * forked copy of the handle has no descriptors and no creator. state, code, gate and the links are
 * guarded by the table's mutex, which is held for short system calls only, never for a wait.
 */
#ifndef BROOD_PROCESS_INTERNAL_H
#define BROOD_PROCESS_INTERNAL_H

#include <stdbool.h>

#include <urcu/list.h>

#include <brood/process.h>

enum brood__child_state {
	BROOD__RUNNING,		/* as far as we have looked */
	BROOD__ENDED,		/* reaped, code is known */
	BROOD__LOST,		/* ended, but somebody else has taken the exit code */
};

struct brood_process {
	struct cds_list_head node;	/* in the table of children; alone in a forked copy */
	pid_t creator;		/* who may wait for it; 0 in a forked copy */
	pid_t pid;
	int pidfd;		/* -1 until the child has been forked, and in a forked copy */
	int gate;		/* what the child waits for; -1 once it has been let through */
	enum brood__child_state state;
	int code;
	bool daemon;
	bool die_with_parent;
	const char *path;	/* "1:2": the second child of the first child; in text */
	const char *name;	/* in text */
	char text[];
};

/* ---- children.c: the table ---- */

/* Make sure that the exit rule and the fork handlers are installed. 0 or -ENOMEM. */
int brood__children_ready(void);
/* Put it into the table, with a gate. Whatever is returned, it is in: brood__child_drop. */
int brood__child_add(struct brood_process *child);
/* Take it out of the table, close its descriptors, free it. */
void brood__child_drop(struct brood_process *child);
/* fork(): the pid, 0 in the child, -errno. */
pid_t brood__child_fork(struct brood_process *child);
/* Get the pidfd of a child that is still held back by its gate. */
int brood__child_open(struct brood_process *child, pid_t pid);
void brood__child_close_gate(struct brood_process *child);
/*
 * Reap it if it has ended. 0: it has ended, state and code will not change any more; -EAGAIN: it
 * runs; -ECHILD: it is not a child of the caller; -EINVAL: NULL.
 */
int brood__child_look(struct brood_process *child);
/* The exit rule: SIGTERM to the daemons, then wait for all children of the calling process. */
void brood__children_end(void);

/* ---- gate.c: holding a new child back ---- */

int brood__gate_make(void);	/* the descriptor or -errno */
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
