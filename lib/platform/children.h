/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 1, the part that only launchers need: making processes in uncommon ways, looking at those
 * of others in /proc, trees of them, and CPUs.
 */
#ifndef BROOD_PLATFORM_CHILDREN_H
#define BROOD_PLATFORM_CHILDREN_H

#include <pthread.h>

#include "platform/platform.h"

/* ---- clone.c ---- */

/*
 * Like fork, but the new process is a child of the caller's parent. Only in a process of one
 * thread that holds no robust mutex; handlers of pthread_atfork are not called. The pid, which is
 * in *told before the new process or the caller goes on, even if the caller is killed meanwhile;
 * 0 in the new process; -errno, -ENOSYS when the C library keeps its thread id in no way that we
 * know.
 */
pid_t brood__clone_sibling(int32_t *told);
/* Whether that can work here. 0 or -ENOSYS. */
int brood__clone_sibling_works(void);

/* Threads of this process; 1 when /proc is absent. */
unsigned int brood__threads(void);

/*
 * Close all descriptors from 3 on but those in keep[n], which is sorted here, and those of named
 * segments.
 */
void brood__fds_close_others(int *keep, size_t n);

/* ---- proc.c ---- */

/* 0; -ENOSYS: it is absent, or of another pid namespace, and its numbers are others'; -errno. */
int brood__proc_check(void);

/* The letter of its state in /proc and its parent. 0, -ESRCH, -errno. */
int brood__proc_stat(pid_t pid, char *state, pid_t *parent);
/* When it was started, in clock ticks since the boot, or -errno. */
int64_t brood__proc_started(pid_t pid);
/* Whether no thread of it runs: 1 all are stopped, traced or ended, or it is gone; 0; -errno. */
int brood__proc_is_still(pid_t pid);
/* The children of all its threads: how many, of which the first `room` are stored; -errno. */
ssize_t brood__proc_children(pid_t pid, pid_t *children, size_t room);

/* ---- tree.c ---- */

/*
 * Signal a process and all that it has started. 0, or the first error. also(argument), if there is
 * one, is called while they are stopped: a signal that it sends them too is the same one to them.
 */
int brood__tree_signal(pid_t pid, int pidfd, int signal, void (*also)(void *), void *argument);

/* ---- cpus.c ---- */

/* Make a process (pid 0: the caller) nicer by so much than the caller is. 0 or -errno. */
int brood__nicer(pid_t pid, int above);

unsigned int brood__cpus_online(void);
/*
 * The CPUs that the cgroups of a process may use, rounded up; 0 = no limit. `cgroups` is the file
 * that names them (/proc/self/cgroup), `root` where they are mounted (/sys/fs/cgroup).
 */
unsigned int brood__cpus_of_cgroups(const char *cgroups, const char *root);
/* Let a process run on these CPUs only. 0, -EINVAL, -ESRCH, -EPERM. */
int brood__cpus_allow(pid_t pid, const unsigned int *cpus, size_t n);
#define BROOD__CPUS_MOST 8192u

#endif
