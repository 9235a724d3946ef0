/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A short message comes back from a dead receiver within a long one, and the ring has no room for
 * the rest of that: so the receiver forgets what it has got, and the sender begins again
 * (conn.c). Both are asleep within the long message when the holder of the short one dies. Then,
 * from there on:
 *
 *	recv, asks again		the receiver is killed at every instruction
 *	recv, stands still	it is stopped there; the sender gets room otherwise, goes on to the
 *				end and to its next message; then the receiver goes on
 *	send, is asked		the sender is killed at every instruction
 *
 * All messages arrive, whole and once. Missing may be the short one if the victim was receiving
 * it to its end, the long one if its sender or its receiver was killed within it.
 *
 *	step_pipe_again [--call NAME] [--stride N] [--seed N] [--rounds N]
 */
#include <errno.h>
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

#include "options.h"
#include "queue/pipe.h"
#include "stepper.h"

enum { BYTES = 1024, LONG = 700, ROOM = 16 };
enum { BEFORE, SHORT, FIRST, SECOND, OTHER, NAMES };	/* messages by name */

#define HANG_NS 20000000000
#define HANG_S 20
#define FAILURES_SHOWN 10

struct stage {
	_Atomic bool holds, returned, has_received;
	atomic_uint sent;
	ssize_t result;
	int64_t received;
};

struct scene {
	const char *name;
	bool sends;		/* the victim is the sender */
	bool stands;		/* it is not killed */
	size_t length[NAMES];	/* 0 = there is none */
};

/* How much room there is decides where the sender stops: behind FIRST, or before its last piece. */
static const struct scene scenes[] = {
	{ "recv, asks again", false, false, { 0, 500, LONG, 0, 0 } },
	{ "recv, stands still", false, true, { 150, 100, LONG, LONG, 0 } },
	{ "send, is asked", true, false, { 0, 500, LONG, 0, 0 } },
};

static const struct scene *scene;
static struct stage *stage;
static struct brood_pipe *pipe_of;
static struct brood_conn *from, *to;
static struct taking before;
static struct trace trace;
static size_t point;
static pid_t victim, holder, other;
static unsigned seen[NAMES];
static char error[200];
static unsigned long points, failures, astray, begun_again;
static unsigned char room[LONG];

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
	unsigned char data[LONG];

	memset(data, (int)name, length);
	return brood_conn_send(to, data, length, timeout);
}

/* The name; -EILSEQ when it is torn. */
static int64_t recv_one(int64_t timeout)
{
	ssize_t n = brood_conn_recv(from, room, sizeof room, timeout);

	if (n < 0)
		return n;
	if (n == 0 || room[0] >= NAMES || (size_t)n != scene->length[room[0]])
		return -EILSEQ;
	for (ssize_t i = 1; i < n; i++)
		if (room[i] != room[0])
			return -EILSEQ;
	return room[0];
}

static bool account(int64_t name)
{
	if (name < 0)
		return fail("recv gave %d", (int)name);
	if (seen[name]++)
		return fail("message %d came twice", (int)name);
	if (name == FIRST && seen[SECOND])
		return fail("the messages came in another order");
	return true;
}

/* ---- members ---- */

static pid_t start(void (*body)(void))
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		body();
	_exit(0);
}

static void end(pid_t *pid)
{
	if (*pid > 0)
		kill(*pid, SIGKILL);
	while (*pid > 0 && waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
	*pid = 0;
}

static bool asleep(pid_t pid)
{
	int64_t limit = brood_now() + HANG_NS;

	for (unsigned times = 0; times < 3;) {
		if (brood_now() > limit)
			return fail("somebody does not sleep");
		times = stepper_is_asleep(pid) ? times + 1 : 0;
		usleep(50);
	}
	return true;
}

static bool lease(struct taking *taking)
{
	struct conn_call call;
	struct bytes ring;
	bool right;

	*taking = (struct taking){ .room = SIZE_MAX, .tags = 1 };
	if (brood__conn_enter(from, &call))
		return false;
	right = brood__conn_ring(&call, 0, &ring) == 0 && brood__bytes_take(&ring, taking) == 0;
	brood__object_leave(&call.inside);
	return right;
}

static bool give_back(const struct taking *taking)
{
	struct conn_call call;
	struct bytes ring;
	bool right;

	if (brood__conn_enter(from, &call))
		return false;
	right = brood__conn_ring(&call, 0, &ring) == 0;
	if (right)
		brood__bytes_release(&ring, &taking->place);
	brood__object_leave(&call.inside);
	return right;
}

/* As one that is within recv of the short message. */
static void hold(void)
{
	struct taking taking;

	atomic_store(&stage->holds, lease(&taking));
	pause();
}

static void send_all(void)
{
	for (unsigned name = FIRST; name <= SECOND && scene->length[name]; name++)
		if (send_one(name, scene->length[name], BROOD_FOREVER) == 0)
			atomic_fetch_add(&stage->sent, 1);
}

static void receive(void)
{
	stage->received = recv_one(BROOD_FOREVER);
	atomic_store(&stage->has_received, true);
}

static void act(void *unused)
{
	(void)unused;
	alarm(HANG_S);
	stepper_begin();
	if (scene->sends)
		stage->result = send_one(FIRST, LONG, BROOD_FOREVER);
	else
		stage->result = recv_one(BROOD_FOREVER);
	atomic_store(&stage->returned, true);
	stepper_end();
}

/* ---- setting up ---- */

/* The victim sleeps within the long message, and stands there. */
static bool start_victim(void)
{
	victim = stepper_spawn(act, NULL);
	if (victim < 0 || !stepper_run_asleep(victim) || !asleep(victim))
		return fail("the victim's preparations failed: %x", (unsigned)stepper_status());
	return true;
}

static bool stop(pid_t pid)
{
	int status;

	return (kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, __WALL | WUNTRACED) == pid &&
		WIFSTOPPED(status)) || fail("somebody does not stop");
}

static bool start_holder(void)
{
	int64_t limit = brood_now() + HANG_NS;

	if ((scene->length[BEFORE] &&
	     (send_one(BEFORE, scene->length[BEFORE], 0) || !lease(&before))) ||
	    send_one(SHORT, scene->length[SHORT], 0))
		return fail("no messages");
	holder = start(hold);
	while (!atomic_load(&stage->holds))
		if (brood_now() > limit)
			return fail("the short message is not held");
	return true;
}

/* The receiver has asked when it has got the short one. */
static bool be_asked(void)
{
	int64_t limit = brood_now() + HANG_NS;

	end(&holder);
	brood__deaths_noticed();
	while (!atomic_load(&stage->has_received))
		if (brood_now() > limit)
			return fail("hang: nobody asks again");
	end(&other);
	return (stage->received == SHORT || fail("recv gave %d", (int)stage->received)) &&
	       account(SHORT);
}

static bool open_site(void)
{
	error[0] = '\0';
	memset(stage, 0, sizeof *stage);
	memset(seen, 0, sizeof seen);
	pipe_of = brood_pipe_create(&(struct brood_pipe_opts){ .bytes = BYTES, .simplex = true });
	if (!pipe_of)
		return fail("no pipe: %d", errno);
	from = brood_pipe_end(pipe_of, 0);
	to = brood_pipe_end(pipe_of, 1);
	if (!start_holder())
		return false;
	if (scene->sends) {
		if (!start_victim())
			return false;
		other = start(receive);
		return asleep(other) && stop(victim) && be_asked();
	}
	other = start(send_all);
	if (!asleep(other) || !start_victim() || !stop(victim) || !stop(other))
		return false;
	end(&holder);
	return true;
}

static void close_site(void)
{
	if (victim > 0)
		stepper_kill(victim);
	victim = 0;
	end(&holder);
	end(&other);
	if (pipe_of)
		brood_pipe_destroy(pipe_of);
	pipe_of = NULL;
}

/* ---- checks ---- */

/* The sender is awake, and comes as far as it can; then the receiver. */
static bool let_go(void)
{
	if (!give_back(&before) || !asleep(other))
		return fail("the sender does not get on");
	stepper_finish(victim);
	victim = 0;
	return atomic_load(&stage->returned) || fail("hang: the receiver does not return");
}

static bool drain(void)
{
	const unsigned sends = scene->sends ? 0 : scene->length[SECOND] ? 2 : 1;
	int64_t limit = brood_now() + HANG_NS, name;
	bool all;

	do {
		all = atomic_load(&stage->sent) == sends;
		name = recv_one(all ? 0 : brood_us(200));
		if (name >= 0 && !account(name))
			return false;
		if (brood_now() > limit)
			return fail("hang: the sender does not come to its end");
	} while (name >= 0 || !all);
	return name == -EAGAIN || fail("in the end recv gave %d", (int)name);
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
	}
	return true;
}

static bool check_result(void)
{
	if (scene->sends)
		return stage->result == 0 || fail("undisturbed, send gave %zd", stage->result);
	return account(stage->result) &&
	       (scene->stands || stage->result == SHORT ||
		fail("undisturbed, message %zd came", stage->result));
}

static bool check(void)
{
	bool returned;

	if (!scene->sends)
		kill(other, SIGCONT);
	if (scene->stands && !let_go())
		return false;
	returned = atomic_load(&stage->returned);
	if (victim)
		stepper_kill(victim);
	victim = 0;
	if ((returned && !check_result()) || !drain())
		return false;
	if (returned && !(seen[SHORT] && seen[FIRST]))
		return fail("message %u is lost", seen[SHORT] ? FIRST : SHORT);
	if (scene->stands && !seen[SECOND])
		return fail("message %u is lost", SECOND);
	begun_again += seen[FIRST] && (!scene->stands || stage->result == SHORT);
	return works();
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

static void play(bool record)
{
	struct brood_segment_info was, now;
	bool right;

	brood_segment_stat(NULL, &was);
	right = open_site() && advance(record) && check();
	close_site();
	brood_segment_stat(NULL, &now);
	points++;
	if (right && (now.objects != was.objects || now.bytes_used != was.bytes_used))
		right = fail("leak: %u objects, were %u", now.objects, was.objects);
	if (!right && failures++ < FAILURES_SHOWN)
		printf("FAILED %s, point %zu of %zu at %s: %s\n", scene->name, point,
		       trace.points - 1,
		       stepper_where(point < trace.points ? trace.address[point] : 0), error);
}

static void visit(void)
{
	unsigned long points_before = points, failures_before = failures;
	bool *chosen;

	trace.points = 0;
	point = 0;
	begun_again = 0;
	play(true);
	if (!begun_again) {
		printf("FAILED %s: the sender did not begin again\n", scene->name);
		failures++;
	}
	chosen = trace_choose(&trace, options.rounds);
	for (size_t k = options.seed % options.stride; k < trace.points; k += options.stride)
		if (chosen[k]) {
			point = k;
			play(false);
		}
	free(chosen);
	printf("%-24s instructions %5zu  points %6lu  begun again %6lu  failures %lu\n", scene->name,
	       trace.points ? trace.points - 1 : 0, points - points_before, begun_again,
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
	for (scene = scenes; scene < scenes + sizeof scenes / sizeof *scenes; scene++)
		if (options_want(scene->name, ""))
			visit();
	printf("kill points: %lu, failures: %lu (%lu reached by single steps alone)\n", points,
	       failures, astray);
	if (!points)
		return 99;
	return failures ? 1 : 0;
}
