/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pmap: run a command for each line of standard input, several at once, and show what they print in
 * the order of the lines.
 *
 *	find -name '*.c' | pmap -j 4 gcc -c {}		{} is the line; without one it is the last argument
 *	pmap -j 4 <commands				each line is a command for the shell
 *
 *	reader --(queue of lines)--> dispatcher --(pool)--> workers --(queue of buffers)--> dispatcher
 *
 * The first process does nothing but watch over all others: a tree of processes that it can kill as
 * a whole. Its child, the dispatcher, takes lines from the reader and makes each a task of the
 * pool: at most WINDOW that are not printed yet, no more than the workers will begin next, and none
 * while outputs of HELD_MAX bytes wait for their turn; so any number of lines takes the same
 * memory, but for what a few commands print. A worker runs one command, and gives its outputs back
 * in one buffer, of whatever size, by a queue of references.
 *
 * Who may be killed. A worker: its command dies with it (not what that has started), its buffer is
 * freed, the pool answers for it that it died, and puts another in its place. The reader: what it
 * had read is done, and the exit status says that it was not all. The pool's keeper: its workers
 * die with it, and come back with another. The dispatcher or the first process: all commands end;
 * what those had started goes on.
 *
 * Where to read on: pmap_dispatch.c has the dispatcher, pmap_work.c the reader and the workers.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pmap.h"

struct settings settings = { .limit = BROOD_FOREVER };
sigset_t mask;

int fail(const char *what)
{
	fprintf(stderr, "pmap: %s: %s\n", what, brood_strerror(errno));
	return ERROR;
}

static const struct argp_option options[] = {
	{ .name = "jobs", .key = 'j', .arg = "N", .doc = "run N at once (the number of CPUs)" },
	{ .name = "timeout", .key = 't', .arg = "SECONDS", .doc = "kill who takes longer" },
	{ .name = "bar", .key = 'b', .doc = "show how far it is, also if that is no terminal" },
	{ 0 },
};

static double number(const char *text, double min, double max, const struct argp_state *state)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max))
		argp_error(state, "%s: not a number from %g to %g", text, min, max);
	return value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'j':
		settings.workers = (unsigned int)number(arg, 1, WORKERS_MAX, state);
		if (arg[strspn(arg, "0123456789")])
			argp_error(state, "%s: not a whole number", arg);
		return 0;
	case 't':
		settings.limit = brood_us((int64_t)(1e6 * number(arg, 1e-3, 1e9, state)));
		return 0;
	case 'b':
		settings.bar = true;
		return 0;
	case ARGP_KEY_ARG: /* all that follows is the command's */
		settings.command = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[COMMAND [ARGUMENT...]]",
	.doc = "Run COMMAND, without a shell, for each line of standard input, several at once. {} in"
	       " an argument is replaced by the line; without any, the line is the last argument."
	       " Without COMMAND each line is a command for the shell. What they print is shown in the"
	       " order of the lines; which failed, at the end."
	       "\vThe exit status is 0 when all ended with 0, else how many did not; 101 when more than"
	       " 100; 255 for any other error.",
};

/* Whoever starts us may have closed them: nothing else must get their numbers. */
static void keep_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

/* SIGCHLD, the dispatcher's, and what shall end us, unless we were started to ignore it. */
static void block_signals(sigset_t *signals)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	struct sigaction action;

	sigemptyset(signals);
	signal(SIGCHLD, SIG_DFL);
	sigaddset(signals, SIGCHLD);
	sigaddset(signals, END_WITH_ERROR);
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (sigaction(ends[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(signals, ends[i]);
	sigprocmask(SIG_BLOCK, signals, &mask);
}

/* As we would have ended by it had we not been in the way. */
static _Noreturn void end_by(int number)
{
	signal(number, SIG_DFL);
	raise(number);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	_exit(128 + number);
}

static void kill_all(struct brood_process *dispatcher)
{
	if (brood_process_kill_tree(dispatcher, SIGKILL))
		brood_process_kill(dispatcher);
	brood_process_join(dispatcher, BROOD_FOREVER);
	if (settings.bar)
		fputc('\n', stderr);
}

int main(int argc, char **argv)
{
	const struct brood_process_opts opts = { .die_with_parent = true };
	struct brood_process *dispatcher;
	int code = 0, received = SIGCHLD;
	sigset_t signals;

	settings.bar = isatty(STDERR_FILENO);
	argp_err_exit_status = ERROR;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &settings);
	keep_standard_streams();
	block_signals(&signals);
	dispatcher = brood_process_start_opts(dispatch, NULL, &opts);
	if (!dispatcher)
		return fail("cannot begin");
	while (received == SIGCHLD && brood_process_join(dispatcher, 0))
		sigwait(&signals, &received);
	if (received != SIGCHLD) {
		kill_all(dispatcher);
		if (received == END_WITH_ERROR)
			return ERROR;
		end_by(received);
	}
	brood_process_exit_code(dispatcher, &code);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (code < 0)
		end_by(-code);
	return code;
}
