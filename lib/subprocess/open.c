/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting a program: the options checked, the streams opened, the process made. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "platform/children.h"
#include "subprocess/subprocess.h"

static struct brood_subprocess *make_handle(const char *const argv[],
					    const struct brood_subprocess_opts *opts)
{
	struct brood_subprocess *process = calloc(1, sizeof *process);
	char **args = process ? brood__args_copy(argv) : NULL;

	if (!args) {
		free(process);
		return NULL;
	}
	process->args = args;
	process->creator = getpid();
	process->pidfd = -1;
	process->leads = opts->own_group || opts->new_session;
	process->opts = *opts;
	if (opts->limit > SIZE_MAX / 4)
		process->opts.limit = 0; /* there is not so much memory */
	for (int i = 0; i < 3; i++)
		process->streams[i].ours = process->streams[i].theirs = process->streams[i].copy =
			-1;
	brood__program_add(process);
	return process;
}

static bool has_no_id(const struct brood_subprocess_opts *opts)
{
	for (size_t i = 0; i < opts->groups_count; i++)
		if (opts->groups[i] == (gid_t)-1)
			return true;
	return (opts->user && *opts->user == (uid_t)-1) ||
	       (opts->group && *opts->group == (gid_t)-1);
}

/* What is wrong with them, or NULL. */
static const char *nonsense(const char *const argv[], const struct brood_subprocess_opts *opts)
{
	if (!argv || !argv[0])
		return "argv is empty";
	if ((opts->groups_count && !opts->groups) || (opts->limits_count && !opts->limits) ||
	    (opts->cpus_count && !opts->cpus) || (opts->pass_fds_count && !opts->pass_fds))
		return "a count without its array";
	if (has_no_id(opts))
		return "an id of -1";
	if (opts->umask && *opts->umask & ~(mode_t)0777)
		return "a umask above 0777";
	if (opts->join_group < 0 || (opts->join_group && (opts->own_group || opts->new_session)))
		return "join_group is negative, or beside own_group or new_session";
	if (opts->overflow > BROOD_OVERFLOW_TAIL)
		return "no such overflow";
	if (opts->lines && !opts->receive)
		return "lines without receive";
	if (opts->grace < 0)
		return "grace is negative";
	for (size_t i = 0; i < opts->cpus_count; i++)
		if (opts->cpus[i] >= BROOD__CPUS_MOST)
			return "no such CPU";
	for (size_t i = 0; opts->env && opts->env[i]; i++)
		if (!*opts->env[i] || *opts->env[i] == '=')
			return "an empty name in env";
	return NULL;
}

/* A session's leader leads its group already, and may not be told to. */
static void adapt(struct brood_subprocess_opts *opts)
{
	if (opts->new_session)
		opts->own_group = false;
}

/* Before anything is opened: it could get the number of one that is not open. */
static int check_pass_fds(struct brood__spawn *spawn)
{
	spawn->step = BROOD_STEP_PASS_FDS;
	for (size_t i = 0; i < spawn->opts->pass_fds_count; i++)
		if (fcntl(spawn->opts->pass_fds[i], F_GETFD) < 0)
			return -errno;
	return 0;
}

static pid_t spawn_with_ids(struct brood__spawn *spawn)
{
	bool changes = spawn->opts->user || spawn->opts->group;
	pid_t pid;

	if (changes)
		brood__ids_change();
	pid = brood__spawn(spawn);
	if (changes)
		brood__ids_changed();
	return pid;
}

static int start(struct brood_subprocess *process, struct brood__spawn *spawn)
{
	pid_t pid;
	int r = check_pass_fds(spawn);

	if (r == 0)
		r = brood__streams_open(process, spawn->opts, spawn);
	if (r)
		return r;
	process->boot_time = brood__boot_time();
	process->started = brood_now();
	pid = spawn_with_ids(spawn);
	brood__program_started(process, pid, spawn->pidfd);
	return pid < 0 ? pid : 0;
}

static struct brood_subprocess *open_checked(const char *const argv[],
					     const struct brood_subprocess_opts *opts,
					     struct brood_subprocess_error *error)
{
	struct brood_subprocess *process = NULL;
	struct brood__spawn spawn = { .opts = opts, .step = BROOD_STEP_OPTIONS };
	struct brood__plan plan = { 0 };
	int r = brood__plan_make(&plan, argv, opts);

	if (r == 0) {
		spawn.argv = plan.argv;
		spawn.envp = plan.envp;
		spawn.paths = plan.paths;
		spawn.passed = plan.passed;
		process = make_handle(argv, opts);
		r = process ? start(process, &spawn) : -ENOMEM;
	}
	if (r) {
		brood__report_start(error, spawn.step, r, plan.program, opts);
		if (process)
			brood__program_drop(process);
		process = NULL;
	}
	brood__plan_free(&plan);
	return process;
}

struct brood_subprocess *brood__program_open(const char *const argv[],
					     const struct brood_subprocess_opts *opts,
					     struct brood_subprocess_error *error)
{
	struct brood_subprocess_opts adapted = *opts;
	struct brood_subprocess *process;
	int r = brood__programs_ready(), cancel;
	const char *why = r ? "no memory for a handler of fork" : nonsense(argv, opts);

	brood__programs_reap();
	if (why) {
		brood__report_options(error, r ? r : -EINVAL, why);
		return NULL;
	}
	adapt(&adapted);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	process = open_checked(argv, &adapted, error);
	pthread_setcancelstate(cancel, NULL);
	return process;
}

static bool is_for_run(const struct brood_subprocess_opts *opts)
{
	return opts->input || opts->input_length || opts->capture || opts->check;
}

struct brood_subprocess *brood_subprocess_open(const char *const argv[],
					       const struct brood_subprocess_opts *given)
{
	struct brood_subprocess_error error = { 0 };
	struct brood_subprocess *process = NULL;
	struct brood_subprocess_opts opts;
	int r = brood__options(&opts, sizeof opts, given);

	if (r || is_for_run(&opts))
		brood__report_options(&error, -EINVAL, r ? "opts_size" : "some are for run only");
	else
		process = brood__program_open(argv, &opts, &error);
	if (r == 0 && opts.error)
		*opts.error = error;
	if (!process)
		errno = -error.code;
	return process;
}
