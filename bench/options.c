/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <config.h>

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"

#define RUNS 5
#define TIME_MS 200

const char *argp_program_version = "brood-bench " PACKAGE_VERSION;

static const char about[] =
	"Measure brood's queue, and in turn whatever else of its kind this machine has."
	"\v"
	"NAME is a bench or the beginning of one: queue.spsc, queue.p, queue. Without a NAME all"
	" are run, which takes about five minutes.\n"
	"\n"
	"Every round takes the implementations in turn, so that all of them see the same state of"
	" the machine. Before each timing two processes bounce a pair of cache lines: virtual"
	" machines move their cores about, and figures taken at different line round trips do not"
	" compare. The contents of all messages are checked; a wrong one ends the program with"
	" status 1.\n"
	"\n"
	"The columns, with their names in JSON:\n"
	"  ns       ns_per_msg   time over messages, median of the runs; of a\n"
	"                        round trip in queue.pingpong, mean delay in\n"
	"                        queue.paced, mean time of the put in queue.wake\n"
	"  least    ns_min       of the runs\n"
	"  most     ns_max\n"
	"  p50 ns   p50_ns       percentiles of single messages, medians of the runs;\n"
	"  p99 ns   p99_ns       they include reading the clock, some 20 ns\n"
	"  M/s      msgs_per_s   messages a second; in the table in millions\n"
	"  GB/s                  the same in bytes\n"
	"  CPU %    cpu_percent  user and system time of the workers, 100 is one core.\n"
	"                        queue.paced, queue.wake, queue.idle: of the consumer\n"
	"  line ns  line_rtt_ns  round trip of the cache lines, median of the runs\n";

enum { OPTION_PRODUCERS = 256, OPTION_CONSUMERS, OPTION_SPREAD, OPTION_BATCH };

static const struct argp_option option_table[] = {
	{ "list", 'l', NULL, 0, "Print the benches and the implementations, and exit", 0 },
	{ "json", 'j', NULL, 0, "One JSON object a line instead of tables", 0 },
	{ "runs", 'r', "N", 0, "Rounds over all implementations (5)", 0 },
	{ "impl", 'i', "NAME", 0, "Only this implementation; may be given several times", 0 },
	{ "size", 's', "N", 0, "Bytes a message, a multiple of 8 (64)", 0 },
	{ "producers", OPTION_PRODUCERS, "N", 0, "Producers in queue.mpmc (2, then 4)", 0 },
	{ "consumers", OPTION_CONSUMERS, "N", 0, "Consumers in queue.mpmc (2, then 4)", 0 },
	{ "batch", OPTION_BATCH, "N", 0, "Tasks a chunk in pool.map (1)", 0 },
	{ "slots", 'n', "N", 0,
	  "Capacity, a power of two (1024, or what 1 MiB holds, at least 4)", 0 },
	{ "spread", OPTION_SPREAD, NULL, 0,
	  "Pin the workers of queue.mpmc too, round the CPUs; the kernel may place them all on one",
	  0 },
	{ "time", 't', "MS", 0, "Length of one timing (200; not of queue.idle)", 0 },
	{ 0 },
};

static unsigned long number(struct argp_state *state, const char *name, const char *text,
			    unsigned long least, unsigned long most)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*end || end == text || errno || *text == '-' || value < least || value > most)
		argp_error(state, "%s must be a number from %lu to %lu, not '%s'", name, least,
			   most, text);
	return value;
}

static bool known_bench(const char *name)
{
	for (const struct bench *bench = benches; bench->name; bench++)
		if (!strncmp(bench->name, name, strlen(name)))
			return true;
	return false;
}

static void add_name(struct argp_state *state, struct options *options, const char *name)
{
	if (!known_bench(name))
		argp_error(state, "there is no bench '%s'; --list prints them", name);
	if (options->n_names == NAMES_MAX)
		argp_error(state, "too many names");
	options->names[options->n_names++] = name;
}

static void add_impl(struct argp_state *state, struct options *options, const char *name)
{
	if (options->n_impls == IMPLS_MAX)
		argp_error(state, "too many implementations");
	for (const struct peer *const *peer = peers; *peer; peer++)
		if (!strcmp((*peer)->name, name)) {
			options->impls[options->n_impls++] = *peer;
			return;
		}
	for (const struct peer *const *table = peers_of_one; *table; table++)
		for (const struct peer *peer = *table; peer->name; peer++)
			if (!strcmp(peer->name, name)) {
				options->impls[options->n_impls++] = peer;
				return;
			}
	argp_error(state, "this build has no implementation '%s'; --list prints them", name);
}

static void check(struct argp_state *state, const struct options *options)
{
	if (options->size % 8)
		argp_error(state, "--size must be a multiple of 8");
	if (options->slots & (options->slots - 1))
		argp_error(state, "--slots must be a power of two");
	if (options->json && !output_has_json())
		argp_failure(state, EXIT_FAILURE, 0,
			     "--json is not in this build: configure did not find jansson");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'l':
		options->list = true;
		return 0;
	case 'j':
		options->json = true;
		return 0;
	case 'r':
		options->runs = (unsigned int)number(state, "--runs", arg, 1, RUNS_MAX);
		return 0;
	case 'i':
		add_impl(state, options, arg);
		return 0;
	case 's':
		options->size = number(state, "--size", arg, 8, 1ul << 30);
		return 0;
	case OPTION_PRODUCERS:
		options->producers = (unsigned int)number(state, "--producers", arg, 1,
							  MESSAGE_PRODUCERS);
		return 0;
	case OPTION_CONSUMERS:
		options->consumers = (unsigned int)number(state, "--consumers", arg, 1,
							  MESSAGE_PRODUCERS);
		return 0;
	case OPTION_BATCH:
		options->batch = (unsigned int)number(state, "--batch", arg, 1, 100000);
		return 0;
	case 'n':
		options->slots = (unsigned int)number(state, "--slots", arg, 4, 1ul << 19);
		return 0;
	case OPTION_SPREAD:
		options->conditions.spread = true;
		return 0;
	case 't':
		options->conditions.time_ms = (unsigned int)number(state, "--time", arg, 10, 60000);
		return 0;
	case ARGP_KEY_ARG:
		add_name(state, options, arg);
		return 0;
	case ARGP_KEY_END:
		check(state, options);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void options_parse(struct options *options, int argc, char **argv)
{
	static const struct argp argp = {
		.options = option_table,
		.parser = parse,
		.args_doc = "[NAME...]",
		.doc = about,
	};

	*options = (struct options){ .runs = RUNS, .conditions.time_ms = TIME_MS };
	argp_parse(&argp, argc, argv, 0, NULL, options);
}

bool options_bench(const struct options *options, const struct bench *bench)
{
	for (unsigned int i = 0; i < options->n_names; i++)
		if (!strncmp(bench->name, options->names[i], strlen(options->names[i])))
			return true;
	return !options->n_names;
}

bool options_impl(const struct options *options, const struct peer *peer)
{
	for (unsigned int i = 0; i < options->n_impls; i++)
		if (!strcmp(options->impls[i]->name, peer->name))
			return true;
	return !options->n_impls;
}
