/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction of every call of a connection, alone and while another member sleeps in
 * recv. Then: what was sent before arrives, in order, whole, and may be missing only if the victim
 * was receiving it, in pieces or to its end; the victim's message arrives whole or not at all, and does
 * if its call returned; who sleeps gets a message, or the end of file, without looking by himself;
 * and the pipe works, with all of its room.
 *
 *	step_pipe [--call NAME] [--state alone|reader] [--stride N] [--seed N] [--rounds N]
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/pipe.h>
#include <brood/segment.h>
#include <brood/wait.h>

#include "arena/arena.h"
#include "options.h"
#include "stepper.h"

enum { BYTES = 1024, SHORT = 100, LONG = 700, ENDLESS = 5000, ROOM = 16 };
enum { OWN = 100, GRANTED = 101, OTHER = 102 };	/* messages by name */

#define LATE_NS 80000000
#define TRIES 3
#define HANG_NS 20000000000
#define FAILURES_SHOWN 10

enum company { ALONE, READER, COMPANIES };
static const char *const company_name[COMPANIES] = { "alone", "reader" };

struct step_case {
	const char *name;
	unsigned companies;
	size_t queued[3];	/* lengths of messages in it, 0 at the end */
	size_t own;		/* of the message that the victim sends; 0 = none */
	ssize_t (*call)(void);
	ssize_t result;
	bool takes;		/* the first one */
	bool closes;		/* the victim alone holds the sending end */
};

struct stage {
	_Atomic bool returned, slept;
	ssize_t result;
	int64_t sleeper_gave;
};

static struct stage *stage;
static struct brood_pipe *pipe_of;
static struct brood_conn *from, *to;
static const struct step_case *job;
static enum company company;
static struct trace trace;
static size_t point;
static pid_t victim, sleeper;
static char error[200];
static bool late;
static unsigned long points, failures, astray;
static unsigned char room[ENDLESS];

static bool fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool fail(const char *format, ...)
{
	va_list arguments;

	if (!error[0]) {
		va_start(arguments, format);
		vsnprintf(error, sizeof error, format, arguments);
		va_end(arguments);
	}
	return false;
}

/* ---- messages: all bytes are the name ---- */

static int send_one(unsigned name, size_t length, int64_t timeout)
{
	unsigned char data[ENDLESS];

	memset(data, (int)name, length);
	return brood_conn_send(to, data, length, timeout);
}

static size_t length_of(int64_t name)
{
	return name < 3 ? job->queued[name] : name == OWN ? job->own : SHORT;
}

/* The name; -EILSEQ when it is torn. */
static int64_t recv_one(int64_t timeout)
{
	ssize_t n = brood_conn_recv(from, room, sizeof room, timeout);

	if (n < 0)
		return n;
	if (n == 0 || (size_t)n != length_of(room[0]))
		return -EILSEQ;
	for (ssize_t i = 1; i < n; i++)
		if (room[i] != room[0])
			return -EILSEQ;
	return room[0];
}

/* ---- calls ---- */

static ssize_t call_send(void)
{
	return send_one(OWN, job->own, 0);
}

static ssize_t call_send_late(void)
{
	return send_one(OWN, job->own, brood_us(1));
}

static ssize_t call_recv(void)
{
	return recv_one(0);
}

static ssize_t call_recv_late(void)
{
	return recv_one(brood_us(1));
}

static ssize_t call_recv_nothing(void)
{
	return brood_conn_recv(from, NULL, 0, 0);
}

static ssize_t call_wait(void)
{
	struct brood_waitable items[] = {
		{ .kind = BROOD_WAIT_CONN, .object = from, .events = BROOD_READABLE },
		{ .kind = BROOD_WAIT_CONN, .object = to, .events = BROOD_WRITABLE },
	};

	return brood_wait(items, 2, 0);
}

static ssize_t call_poll(void)
{
	ssize_t result = brood_conn_poll(from, 0);

	return result ? result : brood_conn_next_length(from);
}

static ssize_t call_close(void)
{
	return brood_conn_close(to);
}

#define A (1u << ALONE)
#define R (1u << READER)

static const struct step_case cases[] = {
	{ "send", A | R, { 0 }, SHORT, call_send, 0, false, false },
	{ "send, the only sender", A | R, { 0 }, SHORT, call_send, 0, false, true },
	{ "send, pieces", A | R, { 0 }, LONG, call_send, 0, false, false },
	{ "send, pieces, gives up", A, { SHORT }, ENDLESS, call_send, -EAGAIN, false, false },
	{ "send, pieces, waits", A, { SHORT }, ENDLESS, call_send_late, -ETIMEDOUT, false, false },
	{ "recv", A, { SHORT, SHORT, LONG }, 0, call_recv, 0, true, false },
	{ "recv, pieces", A, { LONG, SHORT }, 0, call_recv, 0, true, false },
	{ "recv, waits", A | R, { 0 }, 0, call_recv_late, -ETIMEDOUT, false, false },
	{ "recv, too long", A, { SHORT, LONG }, 0, call_recv_nothing, -EMSGSIZE, false, false },
	{ "recv, pieces, too long", A, { LONG, SHORT }, 0, call_recv_nothing, -EMSGSIZE, false, false },
	{ "poll", A, { SHORT, LONG }, 0, call_poll, SHORT, false, false },
	{ "wait", A, { SHORT, LONG }, 0, call_wait, 2, false, false },
	{ "wait, pieces", A, { LONG, SHORT }, 0, call_wait, 2, false, false },
	{ "poll, pieces", A, { LONG, SHORT }, 0, call_poll, LONG, false, false },
	{ "close", A | R, { 0 }, 0, call_close, 0, false, true },
	{ "close, with messages", A, { SHORT, LONG }, 0, call_close, 0, false, true },
};

/* ---- setting up ---- */

static void reap(pid_t *pid)
{
	while (*pid > 0 && waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
	*pid = 0;
}

static pid_t start_sleeper(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent && brood_conn_close(to) == 0) {
		stage->sleeper_gave = recv_one(BROOD_FOREVER);
		atomic_store(&stage->slept, true);
	}
	_exit(0);
}

static bool asleep(pid_t pid)
{
	int64_t end = brood_now() + HANG_NS;

	for (unsigned seen = 0; seen < 3;) {
		if (atomic_load(&stage->slept) || brood_now() > end)
			return fail("the sleeper does not sleep");
		seen = stepper_is_asleep(pid) ? seen + 1 : 0;
		usleep(50);
	}
	return true;
}

static void act(void *unused)
{
	(void)unused;
	stepper_begin();
	stage->result = job->call();
	atomic_store(&stage->returned, true);
	stepper_end();
}

static bool open_site(void)
{
	error[0] = '\0';
	late = false;
	memset(stage, 0, sizeof *stage);
	pipe_of = brood_pipe_create(&(struct brood_pipe_opts){ .bytes = BYTES, .simplex = true });
	if (!pipe_of)
		return fail("no pipe: %d", errno);
	from = brood_pipe_end(pipe_of, 0);
	to = brood_pipe_end(pipe_of, 1);
	for (unsigned i = 0; i < 3 && job->queued[i]; i++)
		if (send_one(i, job->queued[i], 0))
			return fail("no message %u", i);
	victim = stepper_spawn(act, NULL);
	if (victim < 0)
		return fail("the victim's preparations failed: %x", (unsigned)stepper_status());
	if (company == READER)
		sleeper = start_sleeper();
	if (job->closes && brood_conn_close(to))
		return fail("no close");
	return company == ALONE || asleep(sleeper);
}

static void close_site(void)
{
	if (victim > 0)
		stepper_kill(victim);
	if (sleeper > 0)
		kill(sleeper, SIGKILL);
	reap(&sleeper);
	victim = 0;
	if (pipe_of)
		brood_pipe_destroy(pipe_of);
	pipe_of = NULL;
}

/* ---- checks ---- */

static unsigned next_name, own_seen, granted_seen;

static bool account(int64_t name)
{
	if (name == OWN)
		return !own_seen++ || fail("the victim's message came twice");
	if (name == GRANTED)
		return !granted_seen++ || fail("the granted message came twice");
	if (job->takes && next_name == 0 && name == 1)
		next_name = 1;
	if (name != next_name)
		return fail("message %d came, not %u", (int)name, next_name);
	next_name++;
	return true;
}

static bool sleeper_check(bool granted)
{
	int64_t since = brood_now();

	while (!atomic_load(&stage->slept)) {
		if (brood_now() - since > HANG_NS)
			return fail("hang: the sleeper is not woken");
		sched_yield();
	}
	late = brood_now() - since > LATE_NS;
	reap(&sleeper);
	if (stage->sleeper_gave == -EPIPE)
		return job->closes || fail("end of file, and somebody holds the end");
	if (stage->sleeper_gave != OWN && !(granted && stage->sleeper_gave == GRANTED))
		return fail("the sleeper got %d", (int)stage->sleeper_gave);
	return account(stage->sleeper_gave);
}

static bool drain(void)
{
	unsigned queued = 0;
	int64_t name;

	brood__deaths_noticed();	/* then what comes again comes first */
	while (queued < 3 && job->queued[queued])
		queued++;
	while ((name = recv_one(0)) >= 0)
		if (!account(name))
			return false;
	if (name != (job->closes ? -EPIPE : -EAGAIN))
		return fail("in the end recv gave %d", (int)name);
	if (brood_conn_poll(from, 0) != (job->closes ? 0 : -EAGAIN))
		return fail("poll says something else");
	return next_name == queued || (job->takes && queued == 1) ||
	       fail("message %u is lost", next_name);
}

static bool works(void)
{
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < ROOM; i++)
			if (send_one(OTHER, 1, 0))
				return fail("room for %u of %u", i, ROOM);
		if (send_one(OTHER, 1, 0) != -EAGAIN)
			return fail("more room than there is");
		for (unsigned i = 0; i < ROOM; i++)
			if (brood_conn_recv(from, room, 1, 0) != 1 || room[0] != OTHER)
				return fail("a message is lost");
		if (send_one(OTHER, LONG, 0) || brood_conn_recv(from, room, LONG, 0) != LONG)
			return fail("a long message is lost");
	}
	return true;
}

static bool check(void)
{
	bool returned = atomic_load(&stage->returned);

	stepper_kill(victim);
	victim = 0;
	next_name = own_seen = granted_seen = 0;
	if (returned && stage->result != job->result)
		return fail("undisturbed, the call gave %zd", stage->result);
	if (company == READER) {
		/* One message for it in any case; where nobody else can send, the end of file. */
		bool granted = !job->closes && !(returned && job->own);

		if (granted && send_one(GRANTED, SHORT, BROOD_FOREVER))
			return fail("no message can be granted");
		if (!sleeper_check(granted))
			return false;
	}
	if (!drain())
		return false;
	if (own_seen && job->result)
		return fail("a message that was not sent");
	if (returned && job->own && job->result == 0 && !own_seen)
		return fail("the victim's message is lost");
	return job->closes || works();
}

/* ---- points ---- */

static bool advance(bool record)
{
	enum step_result result;

	if (record)
		return stepper_record(victim, &trace) == STEP_END ||
		       fail("the victim got a signal: %x", (unsigned)stepper_status());
	result = stepper_advance(victim, &trace, point);
	if (result == STEP_ASTRAY) {
		close_site();
		astray++;
		if (!open_site())
			return false;
		result = stepper_advance_slowly(victim, point);
	}
	return result != STEP_DIED || fail("the victim got a signal: %x", (unsigned)stepper_status());
}

static bool play_once(bool record)
{
	struct brood_segment_info before, now;
	bool right;

	brood_segment_stat(NULL, &before);
	right = open_site() && advance(record) && check();
	close_site();
	brood_segment_stat(NULL, &now);
	return right && ((now.objects == before.objects && now.bytes_used == before.bytes_used) ||
			 fail("leak: %u objects, were %u", now.objects, before.objects));
}

static void play(bool record)
{
	bool right = false;

	for (unsigned i = 0; i < TRIES; i++) {
		right = play_once(record);
		if (!right || !late)
			break;
	}
	if (right && late)
		right = fail("late: the sleeper was not woken, it found out by itself");
	points++;
	if (right)
		return;
	if (failures++ < FAILURES_SHOWN)
		printf("FAILED %s, %s, point %zu of %zu at %s: %s\n", job->name,
		       company_name[company], point, trace.points - 1,
		       stepper_where(point < trace.points ? trace.address[point] : 0), error);
}

static void visit(void)
{
	unsigned long points_before = points, failures_before = failures;
	bool *chosen;

	trace.points = 0;
	point = 0;
	play(true);
	chosen = trace_choose(&trace, options.rounds);
	for (size_t k = options.seed % options.stride; k < trace.points; k += options.stride)
		if (chosen[k]) {
			point = k;
			play(false);
		}
	free(chosen);
	printf("%-24s %-7s  instructions %5zu  points %6lu  failures %lu\n", job->name,
	       company_name[company], trace.points ? trace.points - 1 : 0, points - points_before,
	       failures - failures_before);
	trace_free(&trace);
}

int main(int argc, char **argv)
{
	int status = options_start(argc, argv, 1);

	if (status)
		return status;
	stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage == MAP_FAILED ||
	    brood_init(&(struct brood_segment_opts){ .bytes = 64u << 20, .members = 6 })) {
		perror("cannot make the family");
		return 99;
	}
	for (job = cases; job < cases + sizeof cases / sizeof *cases; job++)
		for (company = ALONE; company < COMPANIES; company++)
			if (job->companies >> company & 1 &&
			    options_want(job->name, company_name[company]))
				visit();
	printf("kill points: %lu, failures: %lu (%lu reached by single steps alone)\n", points,
	       failures, astray);
	if (!points)
		return 99;
	return failures ? 1 : 0;
}
