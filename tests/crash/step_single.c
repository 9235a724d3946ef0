/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction, in the queue of one producer and one consumer, and in those that
 * have a place for the one of the two only, which are swap rings. The victim is both
 * (or, as a newcomer, becomes one in the call, after others that died); it makes the call and is
 * killed at point 0, 1, 2, ... until the call has returned. Then this process takes its place, or
 * another one does:
 *
 * - what was put before comes, once and in order; flagged if the victim had it for certain, perhaps
 *   flagged if it was about to get it, and else not
 * - the victim's own come whole or not at all, a prefix of several, all if put has returned
 * - count, full and empty agree with what comes; a closed queue ends, and stays closed
 * - the ring takes exactly its capacity again, and nothing has leaked
 *
 * With somebody asleep in the queue, it must be awake soon after, if there is what it waits for.
 *
 *	step_single [--call NAME] [--state N] [--stride N] [--seed N] [--rounds N]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/process.h>
#include <brood/queue.h>

#include "options.h"
#include "queue/spsc_ring.h"
#include "stepper.h"

enum { CAPACITY = 3, BATCH = 3, LONGEST = 24, LAPS = 5, OWN = 100, NEXT = 200 };

#define SOON 80000000ll		/* less than the look that every sleeper takes by itself */
#define LATE_PERCENT 10		/* of the wake-ups may be late: others use this machine too */

enum what { PUTS, TAKES, KEEPS, CLOSES, ASKS };

struct job {
	const char *name;
	void (*run)(void);
	enum what what;
	unsigned n;		/* messages at the most */
	unsigned calls;
	bool newcomer;
	enum { NOBODY, READER, WRITER } asleep;
};

/* Which sides have a place for one only. */
static const struct sides {
	const char *name;
	uint32_t producers, consumers;
} all_sides[] = { { "1+1", 1, 1 }, { "1+n", 1, 0 }, { "n+1", 0, 1 } };

/* What the victim tells, in shared memory. */
static struct told {
	unsigned returned;
	ssize_t result;
} *told;

static struct brood_queue *queue;
static const struct sides *sides;
static const struct job *job;
static unsigned count;		/* messages in the queue before the call */
static char error[200];
static unsigned long points, failures, astray, wakes, late;

#define FAIL(...) (snprintf(error, sizeof error, __VA_ARGS__), false)

/* ---- messages: a number, and more bytes by the number ---- */

static size_t make(unsigned char *bytes, unsigned number)
{
	size_t length = 4 + number * 7 % (LONGEST - 3);

	memcpy(bytes, &number, 4);
	for (size_t i = 4; i < length; i++)
		bytes[i] = (unsigned char)(number + i);
	return length;
}

static int put_number(unsigned number, int64_t timeout)
{
	unsigned char bytes[LONGEST];

	return brood_queue_put(queue, bytes, make(bytes, number), timeout);
}

/* The number, -1 when it is torn, or an error. */
static int read_number(const unsigned char *bytes, ssize_t length)
{
	unsigned char right[LONGEST];
	unsigned number;

	if (length < 4)
		return length < 0 ? (int)length : -1;
	memcpy(&number, bytes, 4);
	return make(right, number) == (size_t)length && !memcmp(bytes, right, (size_t)length) ?
	       (int)number : -1;
}

static int get_number(uint32_t *flags, int64_t timeout)
{
	unsigned char bytes[LONGEST];

	return read_number(bytes, brood_queue_get_flags(queue, bytes, LONGEST, flags, timeout));
}

/* ---- the victim ---- */

static unsigned char own[BATCH][LONGEST];
static struct brood_message messages[BATCH];

static void returned(ssize_t result)
{
	told->result = result;
	__atomic_add_fetch(&told->returned, 1, __ATOMIC_RELEASE);
}

static void run_put(void)
{
	returned(brood_queue_put(queue, own[0], messages[0].length, 0));
}

static void run_put_many(void)
{
	returned(brood_queue_put_many(queue, messages, BATCH, 0));
}

static void run_get(void)
{
	returned(brood_queue_get(queue, own[0], LONGEST, 0));
}

static void run_get_many(void)
{
	returned(brood_queue_get_many(queue, messages, BATCH, 0));
}

static void run_commit(void)
{
	struct brood_message m = { 0 };

	returned(brood_queue_reserve(queue, &m));
	if (told->result)
		return;
	memcpy(m.data, own[0], messages[0].length);
	m.length = messages[0].length;
	returned(brood_queue_commit(queue, &m, 0));
}

static void run_abort(void)
{
	struct brood_message m = { 0 };

	returned(brood_queue_reserve(queue, &m));
	if (told->result == 0)
		returned(brood_queue_abort(queue, &m));
}

static void run_release(void)
{
	struct brood_message m = { 0 };

	returned(brood_queue_lease(queue, &m, 0));
	if (told->result == 0)
		returned(brood_queue_release(queue, &m));
}

static void run_return(void)
{
	struct brood_message m = { 0 };

	returned(brood_queue_lease(queue, &m, 0));
	if (told->result == 0)
		returned(brood_queue_return(queue, &m));
}

static void run_close(void)
{
	returned(brood_queue_close(queue));
}

static void run_count(void)
{
	returned(brood_queue_count(queue));
}

static void run_end(void)
{
	returned(brood_queue_producer_end(queue));
}

static const struct job jobs[] = {
	{ "put", run_put, PUTS, 1, 1, false, NOBODY },
	{ "put_many", run_put_many, PUTS, BATCH, 1, false, NOBODY },
	{ "reserve+commit", run_commit, PUTS, 1, 2, false, NOBODY },
	{ "reserve+abort", run_abort, ASKS, 0, 2, false, NOBODY },
	{ "get", run_get, TAKES, 1, 1, false, NOBODY },
	{ "get_many", run_get_many, TAKES, BATCH, 1, false, NOBODY },
	{ "lease+release", run_release, TAKES, 1, 2, false, NOBODY },
	{ "lease+return", run_return, KEEPS, 1, 2, false, NOBODY },
	{ "close", run_close, CLOSES, 0, 1, false, NOBODY },
	{ "count", run_count, ASKS, 0, 1, false, NOBODY },
	{ "producer_end", run_end, ASKS, 0, 1, false, NOBODY },
	{ "first-put", run_put, PUTS, 1, 1, true, NOBODY },
	{ "first-put_many", run_put_many, PUTS, BATCH, 1, true, NOBODY },
	{ "first-get", run_get, TAKES, 1, 1, true, NOBODY },
	{ "first-lease+release", run_release, TAKES, 1, 2, true, NOBODY },
	{ "put-reader-asleep", run_put, PUTS, 1, 1, true, READER },
	{ "close-reader-asleep", run_close, CLOSES, 0, 1, true, READER },
	{ "get-writer-asleep", run_get, TAKES, 1, 1, true, WRITER },
	{ "close-writer-asleep", run_close, CLOSES, 0, 1, true, WRITER },
};

static void must(bool right)
{
	if (!right)
		_exit(98);
}

/* Some laps, so that slots hold what has been; then 0, 1, ... up to the count. */
static void prepare(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < LAPS; i++) {
		must(put_number(NEXT + i, 0) == 0);
		must(get_number(NULL, 0) == (int)(NEXT + i));
	}
	for (unsigned i = 0; i < count; i++)
		must(put_number(i, 0) == 0);
}

static void victim(void *unused)
{
	if (!job->newcomer)
		prepare(unused);
	must(brood_queue_count(queue) == (ssize_t)count);	/* it is a member */
	for (unsigned i = 0; i < BATCH; i++)
		messages[i] = (struct brood_message){ .data = own[i], .size = LONGEST,
						      .length = make(own[i], OWN + i) };
	stepper_begin();
	job->run();
	stepper_end();
}

/* ---- who sleeps, who takes over ---- */

static pid_t child_of(void (*body)(void))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	alarm(20);
	body();
	_exit(0);
}

static bool ended_well(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void prepare_and_die(void)
{
	prepare(NULL);
}

static void sleep_in_get(void)
{
	uint32_t flags = 0;
	int number = get_number(&flags, BROOD_FOREVER);

	must((number == OWN || number == NEXT || number == -EPIPE) && !flags);
}

static void sleep_in_put(void)
{
	int result = put_number(NEXT, BROOD_FOREVER);

	must(result == 0 || result == -EPIPE);
}

static bool until_asleep(pid_t pid)
{
	while (!stepper_is_asleep(pid)) {
		if (waitpid(pid, NULL, WNOHANG))
			return false;
		usleep(50);
	}
	return true;
}

/* Whether the dead one did what the sleeper waits for, by the word that tells it. */
static bool is_due(void)
{
	uint64_t position = queue->ring + LAPS;

	if (job->what == CLOSES)
		return brood_queue_closed(queue) == 1;
	if (job->asleep == WRITER)
		return load(&queue->head) > position;
	return has_position(load(&slot_of(queue, position)->header), position);
}

/* After the death: if there is what the sleeper waits for, it wakes; else we see to that. */
static bool check_sleeper(pid_t sleeper, bool due)
{
	int64_t begin = brood_now();
	uint32_t flags = 0;

	if (!due && job->what == CLOSES)
		brood_queue_close(queue);
	else if (!due && job->asleep == READER)
		put_number(NEXT, 0);
	else if (!due && get_number(&flags, 0) != 0)
		return FAIL("the first message does not come");
	if (!ended_well(sleeper))
		return FAIL("who slept did not end well");
	wakes++;
	late += brood_now() - begin > SOON;
	return true;
}

/* ---- what must hold ---- */

static unsigned moves(void)
{
	unsigned possible = job->what == PUTS ? CAPACITY - count : count;

	return job->n < possible ? job->n : possible;
}

/* In a swap ring, what comes again is in no slot. */
static bool is_full_right(ssize_t n)
{
	int full = brood_queue_full(queue);

	if (!queue->single && (job->what == TAKES || job->what == KEEPS))
		return full == 0 || n == CAPACITY;
	return full == (n == CAPACITY);
}

static bool ask(ssize_t n, bool closed)
{
	if (brood_queue_count(queue) != n || brood_queue_empty(queue) != (n == 0) ||
	    !is_full_right(n) || brood_queue_closed(queue) != closed)
		return FAIL("%zd messages, but count %zd, empty %d, full %d, closed %d", n,
			    brood_queue_count(queue), brood_queue_empty(queue),
			    brood_queue_full(queue), brood_queue_closed(queue));
	return true;
}

/* Whether the messages before this one may have been got by the victim. */
static bool is_rest(unsigned number)
{
	return queue->single ? number == moves() : number <= moves();
}

/* Take all that is there, from `from` on and then the victim's own, and hold it against the rules. */
static bool drain(bool begun, bool closed)
{
	ssize_t left = brood_queue_count(queue);
	bool all = told->returned == job->calls, any = told->returned > 0, first = true;
	unsigned next = 0, came = 0, gone = 0;
	uint32_t flags;
	int number;

	for (;; first = false) {
		if (!ask(left, closed))
			return false;
		flags = 0;
		number = get_number(&flags, 0);
		if (number < 0)
			break;
		left--;
		if (number >= OWN) {
			if (next != count || (unsigned)number != OWN + came++ || flags)
				return FAIL("%d comes after %u and %u own", number, next, came);
			continue;
		}
		if (first && job->what == TAKES && begun && is_rest((unsigned)number))
			next = gone = (unsigned)number;
		if ((unsigned)number != next)
			return FAIL("%d comes in place of %u", number, next);
		if (flags && !(begun && next < moves() && (job->what == TAKES || job->what == KEEPS)))
			return FAIL("%d comes flagged", number);
		if (!flags && next == 0 && any && job->calls == 2 && moves() &&
		    (job->what == TAKES || job->what == KEEPS))
			return FAIL("what was leased comes without a flag");
		next++;
	}
	if (number != (closed ? -EPIPE : -EAGAIN) || left)
		return FAIL("the last get gave %d, with %zd left", number, left);
	if (first && job->what == TAKES && begun && moves() == count)
		next = gone = count;
	if (next != count)
		return FAIL("%u of %u came", next, count);
	if (job->what == TAKES && all && told->result >= 0 && gone != moves())
		return FAIL("what was acknowledged came again");
	if (job->what == PUTS && (came > moves() || (all && told->result >= 0 && came != moves())))
		return FAIL("%u of %u own came", came, moves());
	return true;
}

/* The ring takes its capacity, no more, and gives it back. */
static bool refill(void)
{
	for (unsigned i = 0; i < CAPACITY; i++)
		if (put_number(NEXT + i, 0) || !ask(i + 1, false))
			return error[0] ? false : FAIL("put %u of %u failed", i, CAPACITY);
	if (put_number(NEXT, 0) != -EAGAIN)
		return FAIL("put into a full queue");
	for (unsigned i = 0; i < CAPACITY; i++)
		if (get_number(NULL, 0) != (int)(NEXT + i))
			return FAIL("message %u of the full ring does not come", i);
	return ask(0, false);
}

/* What is reserved is nobody else's. */
static bool write_and_abort(void)
{
	struct brood_message m;

	if (brood_queue_reserve(queue, &m))
		return false;
	memset(m.data, 255, m.size);
	return brood_queue_abort(queue, &m) == 0;
}

static bool check(bool begun, unsigned checker)
{
	bool closed = brood_queue_closed(queue) == 1;

	if (closed ? job->what != CLOSES : job->what == CLOSES && told->returned)
		return FAIL("closed: %d", closed);
	if (closed && put_number(NEXT, 0) != -EPIPE)
		return FAIL("put into a closed queue");
	/* The one or the other place is taken first, and in the one or the other way. */
	if (checker == 1 && brood_queue_producer_begin(queue) != (closed ? -EPIPE : 0))
		return FAIL("nobody can be the producer");
	if (checker == 2 && !write_and_abort())
		return FAIL("nobody can reserve");
	return drain(begun, closed) && (closed || refill());
}

/* By this process, or by one that comes later. */
static bool check_by(bool begun, unsigned checker)
{
	pid_t pid;

	if (checker < 2)
		return check(begun, checker);
	pid = fork();
	if (pid == 0) {
		bool right = check(begun, checker);

		if (!right)
			printf("    %s\n", error);
		_exit(!right);
	}
	return ended_well(pid) || FAIL("it did not, by another process");
}

/* ---- points ---- */

static struct trace trace;

static pid_t begin(void)
{
	queue = brood_queue_create(&(struct brood_queue_opts){ .slots = CAPACITY,
			.max_bytes = LONGEST, .extra = 8, .producers = sides->producers,
			.consumers = sides->consumers });
	memset(told, 0, sizeof *told);
	error[0] = '\0';
	if (!queue || (job->newcomer && !ended_well(child_of(prepare_and_die))))
		return -1;
	return stepper_spawn(victim, NULL);
}

static bool play(size_t k, unsigned checker)
{
	struct brood_segment_info before, after;
	enum step_result moved;
	pid_t sleeper = 0, pid;
	bool right = true;

	brood_segment_stat(NULL, &before);
	pid = begin();
	if (pid < 0)
		return FAIL("no victim");
	if (job->asleep) {
		sleeper = child_of(job->asleep == READER ? sleep_in_get : sleep_in_put);
		if (!until_asleep(sleeper))
			right = FAIL("who was to sleep does not");
	}
	moved = stepper_advance(pid, &trace, k);
	if (moved == STEP_ASTRAY)
		astray++;
	else if (moved == STEP_DIED)
		right = FAIL("the victim died by itself");
	stepper_kill(pid);
	if (sleeper && right) {
		right = check_sleeper(sleeper, is_due());
	} else if (right) {
		right = check_by(k > 0, checker);
	}
	brood_queue_count(queue);	/* sweeps */
	brood_queue_destroy(queue);
	brood_segment_stat(NULL, &after);
	if (right && (after.dead || after.bytes_used != before.bytes_used ||
		      after.members != before.members))
		right = FAIL("%u dead, %u members (%u), %zu bytes (%zu)", after.dead, after.members,
			     before.members, after.bytes_used, before.bytes_used);
	return right;
}

static bool record(void)
{
	pid_t pid = begin(), sleeper = 0;
	bool right;

	if (pid < 0)
		return FAIL("no victim");
	if (job->asleep) {
		sleeper = child_of(job->asleep == READER ? sleep_in_get : sleep_in_put);
		until_asleep(sleeper);
	}
	right = stepper_record(pid, &trace) == STEP_END || FAIL("it could not be recorded");
	stepper_kill(pid);
	brood_queue_close(queue);
	if (sleeper)
		right = (ended_well(sleeper) || FAIL("who slept did not end well")) && right;
	brood_queue_destroy(queue);
	return right;
}

static void visit(unsigned checkers)
{
	unsigned long points_before = points, failures_before = failures;
	char state[2] = { (char)('0' + count), 0 };
	bool *chosen;

	if (!options_want(job->name, state))
		return;
	if (!record()) {
		failures++;
		printf("FAILED %s %s: %s\n", sides->name, job->name, error);
		return;
	}
	chosen = trace_choose(&trace, options.rounds);
	for (unsigned checker = 0; checker < checkers; checker++)
		for (size_t k = options.seed % options.stride; k < trace.points;
		     k += options.stride) {
			if (!chosen[k])
				continue;
			points++;
			if (play(k, checker))
				continue;
			failures++;
			printf("FAILED %s %s with %u in, point %zu, checker %u, at %s: %s\n",
			       sides->name, job->name, count, k, checker,
			       stepper_where(trace.address[k]), error);
			if (failures > 30)
				exit(1);
		}
	free(chosen);
	printf("%s %-20s with %u in  instructions %5zu  points %5lu  failures %lu\n", sides->name,
	       job->name, count, trace.points - 1, points - points_before,
	       failures - failures_before);
	trace_free(&trace);
}

/* The swap ring's sleepers are those of the queue that has no places: step_kill.c. */
static void visit_all(void)
{
	for (job = jobs; job < jobs + sizeof jobs / sizeof *jobs; job++) {
		if (job->asleep) {
			count = job->asleep == READER ? 0 : CAPACITY;
			if (sides == all_sides)
				visit(1);
			continue;
		}
		for (count = 0; count <= CAPACITY; count++)
			visit(3);
	}
}

int main(int argc, char **argv)
{
	const struct brood_segment_opts few = { .members = 8 };	/* all buffers are looked through */
	int status = options_start(argc, argv, 1);

	if (status)
		return status;
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED || brood_init(&few))
		return 99;
	for (sides = all_sides; sides < all_sides + sizeof all_sides / sizeof *all_sides; sides++)
		visit_all();
	printf("kill points: %lu, failures: %lu (%lu astray); of %lu who slept %lu woke late\n",
	       points, failures, astray, wakes, late);
	if (!points)
		return 99;
	return failures || late * 100 > wakes * LATE_PERCENT ? 1 : 0;
}
