/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a program is given: its arguments, its environment, the paths that are tried for it, and the
 * descriptors. All of it is made before the new process is there, as that must not allocate.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "subprocess/subprocess.h"

static size_t count(const char *const list[])
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* ---- arguments ---- */

static int make_argv(struct brood__plan *plan, const char *const argv[],
		     const struct brood_subprocess_opts *opts)
{
	size_t n = count(argv), at = 0;

	plan->argv = calloc(n + 3, sizeof *plan->argv);
	if (!plan->argv)
		return -ENOMEM;
	plan->program = opts->executable ? opts->executable : opts->shell ? "/bin/sh" : argv[0];
	if (opts->shell) {
		plan->argv[at++] = plan->program;
		plan->argv[at++] = "-c";
	}
	memcpy(plan->argv + at, argv, n * sizeof *argv);
	return 0;
}

/* ---- environment ---- */

static size_t name_length(const char *setting)
{
	return strcspn(setting, "=");
}

static bool same_name(const char *a, const char *b)
{
	size_t length = name_length(a);

	return length == name_length(b) && memcmp(a, b, length) == 0;
}

static bool is_named(const char *const settings[], const char *setting)
{
	for (size_t i = 0; settings && settings[i]; i++)
		if (same_name(settings[i], setting))
			return true;
	return false;
}

/* The last setting of a name counts; a name alone is none. */
static int make_envp(struct brood__plan *plan, const struct brood_subprocess_opts *opts)
{
	const char *const *old = (const char *const *)environ;
	const char *const *settings = opts->env;
	size_t n = 0;

	if (!settings && !opts->env_clear) {
		plan->envp = (const char **)environ;
		return 0;
	}
	plan->own_envp = calloc(count(old) + count(settings) + 1, sizeof *plan->own_envp);
	if (!plan->own_envp)
		return -ENOMEM;
	plan->envp = plan->own_envp;
	for (size_t i = 0; !opts->env_clear && old && old[i]; i++)
		if (!is_named(settings, old[i]))
			plan->envp[n++] = old[i];
	for (size_t i = 0; settings && settings[i]; i++)
		if (strchr(settings[i], '=') && !is_named(settings + i + 1, settings[i]))
			plan->envp[n++] = settings[i];
	return 0;
}

static const char *value_of(const struct brood__plan *plan, const char *name)
{
	for (size_t i = 0; plan->envp && plan->envp[i]; i++)
		if (same_name(plan->envp[i], name) && strchr(plan->envp[i], '='))
			return plan->envp[i] + strlen(name) + 1;
	return NULL;
}

/* ---- paths ---- */

static size_t count_colons(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == ':';
	return n;
}

/* An empty folder is the current one. */
static void join(struct brood__plan *plan, const char *path)
{
	char *at = plan->names;

	for (size_t i = 0;; i++) {
		size_t length = strcspn(path, ":");

		plan->paths[i] = at;
		memcpy(at, path, length);
		at += length;
		if (length)
			*at++ = '/';
		at = stpcpy(at, plan->program) + 1;
		if (!path[length])
			return;
		path += length + 1;
	}
}

static int make_paths(struct brood__plan *plan)
{
	const char *path = value_of(plan, "PATH");
	size_t folders;

	if (!path)
		path = "/bin:/usr/bin"; /* as execvp has it */
	if (strchr(plan->program, '/') || !*plan->program)
		path = "";
	folders = count_colons(path) + 1;
	plan->paths = calloc(folders + 1, sizeof *plan->paths);
	plan->names = malloc(strlen(path) + folders * (strlen(plan->program) + 2));
	if (!plan->paths || !plan->names)
		return -ENOMEM;
	join(plan, path);
	return 0;
}

/* ---- descriptors ---- */

static int compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static int make_passed(struct brood__plan *plan, const struct brood_subprocess_opts *opts)
{
	if (!opts->pass_fds_count)
		return 0;
	plan->passed = calloc(opts->pass_fds_count, sizeof *plan->passed);
	if (!plan->passed)
		return -ENOMEM;
	memcpy(plan->passed, opts->pass_fds, opts->pass_fds_count * sizeof *plan->passed);
	qsort(plan->passed, opts->pass_fds_count, sizeof *plan->passed, compare);
	return 0;
}

int brood__plan_make(struct brood__plan *plan, const char *const argv[],
		     const struct brood_subprocess_opts *opts)
{
	int r = make_argv(plan, argv, opts);

	if (r == 0)
		r = make_envp(plan, opts);
	if (r == 0)
		r = make_paths(plan);
	if (r == 0)
		r = make_passed(plan, opts);
	return r;
}

void brood__plan_free(struct brood__plan *plan)
{
	free(plan->argv);
	free(plan->own_envp);
	free(plan->paths);
	free(plan->names);
	free(plan->passed);
}
