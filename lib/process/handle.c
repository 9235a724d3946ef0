/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handles: one piece of memory, with the names, the CPUs and the argument's copy in it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/children.h"
#include "process/process.h"

#define ALIGN 16u

static _Atomic unsigned int made; /* the k of the last "Process-k" */

void brood__handles_restart(void)
{
	atomic_store_explicit(&made, 0, memory_order_relaxed);
}

/* Room for so many bytes: where they begin. */
static size_t place(struct brood_process *shape, size_t bytes)
{
	size_t at = (shape->bytes + ALIGN - 1) / ALIGN * ALIGN;

	shape->bytes = at + bytes;
	return at;
}

/* The default name ends with the path. */
static size_t write_name(char *name, size_t size, unsigned int k)
{
	const struct brood_process *me = brood__current();
	const char *above = me->path ? brood__part(me, me->path) : "";

	return (size_t)snprintf(name, size, "Process-%s%s%u", above, me->path ? ":" : "", k) + 1;
}

static bool sane(int (*function)(void *), const void *argument,
		 const struct brood_process_opts *opts)
{
	if (!function || (opts->copy && !argument) || (opts->cpus_count && !opts->cpus) ||
	    opts->copy > PTRDIFF_MAX / 2 || opts->cpus_count > BROOD__CPUS_MOST ||
	    opts->method > BROOD_START_ZYGOTE)
		return false;
	for (size_t i = 0; i < opts->cpus_count; i++)
		if (opts->cpus[i] >= BROOD__CPUS_MOST)
			return false;
	return true;
}

static void shape_by(struct brood_process *shape, const struct brood_process_opts *opts)
{
	shape->daemon = opts->daemon || brood__current()->daemon;
	shape->die_with_parent = opts->die_with_parent;
	shape->own_group = opts->own_group;
	shape->reset_signals = opts->reset_signals;
	shape->ignore_sigint = opts->ignore_sigint;
	shape->nice = opts->nice;
	shape->method = opts->method;
	shape->cpus_count = opts->cpus_count;
}

struct brood_process *brood__handle_make(int (*function)(void *), void *argument,
					 const struct brood_process_opts *given)
{
	struct brood_process shape = { .pidfd = -1, .gate = -1, .bytes = sizeof shape };
	const char *parent_name = brood_process_name(brood__current());
	struct brood_process_opts opts;
	struct brood_process *process;
	unsigned int k;
	size_t length;

	if (brood__options(&opts, sizeof opts, given) || !sane(function, argument, &opts)) {
		errno = EINVAL;
		return NULL;
	}
	k = atomic_fetch_add_explicit(&made, 1, memory_order_relaxed) + 1;
	shape_by(&shape, &opts);
	length = write_name(NULL, 0, k);
	shape.name = place(&shape, length);
	shape.path = shape.name + strlen("Process-");
	if (opts.name)
		shape.name = place(&shape, strlen(opts.name) + 1);
	shape.parent_name = place(&shape, strlen(parent_name) + 1);
	shape.cpus = place(&shape, opts.cpus_count * sizeof *opts.cpus);
	shape.copy = opts.copy ? place(&shape, opts.copy) : 0;
	shape.function = function;
	shape.argument = argument;

	process = malloc(shape.bytes);
	if (!process)
		return NULL;
	*process = shape;
	write_name((char *)brood__part(process, shape.path) - strlen("Process-"), length, k);
	if (opts.name)
		strcpy(brood__part(process, shape.name), opts.name);
	strcpy(brood__part(process, shape.parent_name), parent_name);
	if (opts.cpus_count)
		memcpy(brood__part(process, shape.cpus), opts.cpus,
		       opts.cpus_count * sizeof *opts.cpus);
	if (opts.copy)
		memcpy(brood__part(process, shape.copy), argument, opts.copy);
	strncpy((char *)process->short_name, brood_process_name(process), BROOD_FAMILY_NAME - 1);
	return process;
}
