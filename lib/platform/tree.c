/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A signal for a process and all that it has started, whatever group or session those are in.
 *
 * Who runs can fork, and who ends hands its children to another parent; so the tree is stopped
 * first, from its root on. A stopped process forks nothing, reaps nothing, and its list of children
 * in /proc stays as it is, but for children of children which ended before we came to them, and
 * which another process of the tree adopted: so the tree is walked until a walk finds nothing
 * new. Then all get the signal, and only then does the first of them go on.
 *
 * A child of a stopped parent that ends stays a zombie, so its pid stays its own, unless the parent
 * ignores SIGCHLD. So a pidfd that is opened by pid is believed if the process is alive after its
 * parent has been read.
 *
 * A stop takes effect when each thread has come back from the kernel. A thread that sleeps there
 * and cannot be interrupted is waited for no longer than a second: what it forks just then may
 * escape. So does who was orphaned before the call, and adopted outside the tree.
 *
 * Who dies inside here leaves processes stopped. That is why nothing slow is done meanwhile.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "platform/children.h"

#define STOP_TAKES_NS	 INT64_C(1000000000)
#define CHILDREN_AT_ONCE 64u

struct kin {
	pid_t pid;
	int pidfd;
	bool stopped; /* by us: it is to go on afterwards */
	bool looked;
};

struct tree {
	struct kin *all;
	size_t n, room;
};

static bool has_ended(int pidfd)
{
	return brood__pidfd_wait(pidfd, 0) == 0;
}

static int add(struct tree *tree, pid_t pid, int pidfd)
{
	if (tree->n == tree->room) {
		size_t room = tree->room ? 2 * tree->room : 16;
		struct kin *all = realloc(tree->all, room * sizeof *all);

		if (!all)
			return -ENOMEM;
		tree->all = all;
		tree->room = room;
	}
	tree->all[tree->n++] = (struct kin){ .pid = pid, .pidfd = pidfd };
	return 0;
}

static bool is_known(const struct tree *tree, pid_t pid)
{
	for (size_t i = 0; i < tree->n; i++)
		if (tree->all[i].pid == pid)
			return true;
	return false;
}

static int add_child(struct tree *tree, pid_t pid, pid_t parent)
{
	pid_t told = 0;
	char state;
	int pidfd, r;

	if (is_known(tree, pid) || pid == getpid())
		return 0;
	pidfd = brood__pidfd_open(pid);
	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	r = brood__proc_stat(pid, &state, &told);
	if (r == 0 && told == parent && !has_ended(pidfd)) {
		r = add(tree, pid, pidfd);
		if (r == 0)
			return 0;
	}
	close(pidfd);
	return r == -ESRCH ? 0 : r;
}

static int add_children(struct tree *tree, pid_t parent)
{
	pid_t some[CHILDREN_AT_ONCE], *children = some;
	ssize_t n = brood__proc_children(parent, children, CHILDREN_AT_ONCE);
	int r = n < 0 ? (int)n : 0;

	if (n > (ssize_t)CHILDREN_AT_ONCE) {
		size_t room =
			(size_t)n + CHILDREN_AT_ONCE; /* it is stopped; adopted ones may come */

		children = malloc(room * sizeof *children);
		if (!children)
			return -ENOMEM;
		n = brood__proc_children(parent, children, room);
		if (n > (ssize_t)room)
			n = (ssize_t)room;
	}
	for (ssize_t i = 0; r == 0 && i < n; i++)
		r = add_child(tree, children[i], parent);
	if (children != some)
		free(children);
	return r;
}

/* What ends meanwhile, or may not be signalled, is no error here. */
static int stop(struct kin *kin)
{
	int64_t until = brood_now() + STOP_TAKES_NS;
	pid_t parent;
	char state;
	int r = brood__proc_stat(kin->pid, &state, &parent);

	if (r || state == 'T')
		return r == -ESRCH ? 0 : r;
	if (brood__pidfd_signal(kin->pidfd, SIGSTOP))
		return 0;
	kin->stopped = true;
	while ((r = brood__proc_is_still(kin->pid)) == 0 && brood_now() < until)
		brood__yield();
	return r < 0 ? r : 0;
}

static void forget_from(struct tree *tree, size_t n)
{
	while (tree->n > n)
		close(tree->all[--tree->n].pidfd);
}

/* Of who has ended meanwhile somebody else may have the pid, and the children. */
static int look_at(struct tree *tree, size_t i)
{
	size_t before = tree->n;
	int r = 0;

	if (!tree->all[i].looked)
		r = stop(&tree->all[i]);
	tree->all[i].looked = true;
	if (r == 0 && !has_ended(tree->all[i].pidfd))
		r = add_children(tree, tree->all[i].pid);
	if (has_ended(tree->all[i].pidfd))
		forget_from(tree, before);
	return r;
}

/* Stop all and find all. */
static int freeze(struct tree *tree)
{
	size_t before;
	int r = 0;

	do {
		before = tree->n;
		for (size_t i = 0; r == 0 && i < tree->n; i++)
			r = look_at(tree, i);
	} while (r == 0 && tree->n != before);
	return r;
}

static int signal_all(const struct tree *tree, int signal)
{
	int first = 0;

	for (size_t i = 0; i < tree->n; i++) {
		int r = brood__pidfd_signal(tree->all[i].pidfd, signal);

		if (r && r != -ESRCH && !first)
			first = r;
	}
	return first;
}

static void let_go_on(const struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		if (tree->all[i].stopped)
			brood__pidfd_signal(tree->all[i].pidfd, SIGCONT);
}

int brood__tree_signal(pid_t pid, int pidfd, int signal, void (*also)(void *), void *argument)
{
	struct tree tree = { 0 };
	int r = add(&tree, pid, pidfd);
	int cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (r == 0)
		r = brood__proc_check();
	if (r == 0)
		r = freeze(&tree);
	if (r == 0)
		r = signal_all(&tree, signal);
	if (also)
		also(argument);
	if (r || signal != SIGSTOP)
		let_go_on(&tree);
	for (size_t i = 1; i < tree.n; i++)
		close(tree.all[i].pidfd);
	free(tree.all);
	pthread_setcancelstate(cancel, NULL);
	return r;
}
