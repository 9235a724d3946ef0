/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction of every call of a ring of bytes. A victim makes the call and is killed
 * at point 0, 1, 2, ... until the call has returned, alone and while another member sleeps in the
 * ring, for a message or for room. Then:
 *
 * - what was put before comes, in order, whole; again only if the victim had it, and then flagged
 * - the victim's own message comes whole or not at all, and does if its call returned
 * - the sleeper goes on as soon as there is something for it, and not only by the look that it takes
 *   by itself every 100 ms
 * - at the end the ring is empty, takes all that it can, and nothing has leaked
 *
 *	step_ring [--call NAME] [--state alone|reader|writer] [--stride N] [--seed N] [--rounds N]
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/ring.h>
#include <brood/segment.h>

#include "options.h"
#include "queue/ring.h"
#include "stepper.h"

enum { ROOM = 6, OWN = 100, GRANTED = 101, REFILL = 102 };	/* granules; names of messages */

#define LATE_NS 80000000	/* a sleeper looks by itself every 100 ms */
#define TRIES 3			/* a busy machine may be late, once */
#define HANG_NS 20000000000
#define FAILURES_SHOWN 10

/* Who sleeps in the ring meanwhile. */
enum company { ALONE, READER, WRITER, COMPANIES };
static const char *const company_name[COMPANIES] = { "alone", "reader", "writer" };

struct step_case {
	const char *name;
	unsigned companies;	/* a set of 1 << company */
	unsigned turns;		/* messages that went through before, so that the tail is further on */
	unsigned queued;	/* messages in it: of one granule, the last of two */
	unsigned orphans;	/* so many of them a dead reader had */
	bool (*ready)(void);	/* by the victim, before it is stepped */
	ssize_t (*call)(void);
	ssize_t result;
	bool puts, takes, closes;
};

struct stage {			/* shared */
	_Atomic bool returned;
	ssize_t result;
	_Atomic bool slept;	/* the sleeper has come back */
	int64_t sleeper_gave;
};

static struct stage *stage;
static struct brood_ring *ring;
static struct brood_message held;
static const struct step_case *job;
static enum company company;
static struct trace trace;
static size_t point;
static pid_t victim, sleeper;
static char error[200];
static bool late;
static unsigned long points, failures, astray;

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

/* ---- messages: a name, and bytes that follow from it ---- */

static size_t length_of(unsigned name, unsigned queued)
{
	return name == OWN ? 130 : name + 1 == queued ? 100 : 10 + name % 50;
}

static void compose(unsigned char *data, unsigned name, size_t length)
{
	memset(data, (int)name + 1, length);
	data[0] = (unsigned char)name;
}

static int put(unsigned name, size_t length, int64_t timeout)
{
	unsigned char data[ROOM * GRANULE];

	compose(data, name, length);
	return brood_ring_put(ring, data, length, timeout);
}

/* The name, or an error; -EILSEQ when it is torn. */
static int64_t get(uint32_t *flags, int64_t timeout)
{
	unsigned char data[ROOM * GRANULE], expected[ROOM * GRANULE];
	ssize_t n = brood_ring_get_flags(ring, data, sizeof data, flags, timeout);

	if (n < 0)
		return n;
	compose(expected, data[0], (size_t)n);
	if (n == 0 || memcmp(data, expected, (size_t)n) ||
	    (data[0] < GRANTED && (size_t)n != length_of(data[0], job->queued)))
		return -EILSEQ;
	return data[0];
}

/* ---- calls ---- */

static ssize_t call_put(void)
{
	return put(OWN, length_of(OWN, 0), 0);
}

static ssize_t call_put_late(void)
{
	return put(OWN, length_of(OWN, 0), brood_us(1));
}

static ssize_t call_get(void)
{
	return get(NULL, 0) < 0 ? get(NULL, 0) : 0;
}

static ssize_t call_get_once(void)
{
	return get(NULL, 0);
}

static ssize_t call_get_late(void)
{
	return get(NULL, brood_us(1));
}

static ssize_t call_get_nothing(void)
{
	return brood_ring_get(ring, NULL, 0, 0);
}

static bool ready_reserve(void)
{
	if (brood_ring_reserve(ring, length_of(OWN, 0), &held, 0))
		return false;
	compose(held.data, OWN, held.size);
	return true;
}

static ssize_t call_reserve(void)
{
	struct brood_message message;

	return brood_ring_reserve(ring, length_of(OWN, 0), &message, 0);
}

static ssize_t call_commit(void)
{
	return brood_ring_commit(ring, &held);
}

static ssize_t call_abort(void)
{
	return brood_ring_abort(ring, &held);
}

static ssize_t call_lease(void)
{
	struct brood_message message;

	return brood_ring_lease(ring, &message, 0);
}

static bool ready_lease(void)
{
	return brood_ring_lease(ring, &held, 0) == 0;
}

static ssize_t call_release(void)
{
	return brood_ring_release(ring, &held);
}

static ssize_t call_close(void)
{
	return brood_ring_close(ring);
}

static ssize_t call_ask(void)
{
	brood_ring_used(ring);
	brood_ring_next_length(ring);
	brood_ring_closed(ring);
	return brood_ring_count(ring);
}

static ssize_t call_make(void)
{
	struct brood_ring *other = brood_ring_create(&(struct brood_ring_opts){ .bytes = 300,
										.name = "other" });

	if (!other || brood_ring_open(NULL, "other") != other)
		return -errno;
	return brood_ring_destroy(other);
}

#define A (1u << ALONE)
#define R (1u << READER)
#define W (1u << WRITER)

/* A writer sleeps while 6 granules are in use, a reader while there is none. */
static const struct step_case cases[] = {
	{ "put", A | R, 0, 0, 0, NULL, call_put, .puts = true },
	{ "put behind others", A, 1, 2, 0, NULL, call_put, .puts = true },
	{ "put, end of the lap", A | R, 5, 0, 0, NULL, call_put, .puts = true },
	{ "put, full", A | W, 1, 5, 0, NULL, call_put, .result = -EAGAIN },
	{ "put, waits", A, 1, 5, 0, NULL, call_put_late, .result = -ETIMEDOUT },
	{ "get", A | W, 0, 5, 0, NULL, call_get_once, .takes = true },
	{ "get, orphans", A | W, 3, 5, 2, NULL, call_get_once, .takes = true },
	{ "get, orphan alone", A, 0, 1, 1, NULL, call_get, .takes = true },
	{ "get, empty", A | R, 4, 0, 0, NULL, call_get_once, .result = -EAGAIN },
	{ "get, waits", A | R, 0, 0, 0, NULL, call_get_late, .result = -ETIMEDOUT },
	{ "get, too long", A | W, 0, 5, 0, NULL, call_get_nothing, .result = -EMSGSIZE },
	{ "reserve", A | R, 0, 0, 0, NULL, call_reserve, .result = 0 },
	{ "commit", A | R, 1, 0, 0, ready_reserve, call_commit, .puts = true },
	{ "abort", A | R, 1, 0, 0, ready_reserve, call_abort, .result = 0 },
	{ "abort, behind others", A, 1, 2, 0, ready_reserve, call_abort, .result = 0 },
	{ "lease", A | W, 0, 5, 0, NULL, call_lease, .result = 0 },
	{ "release", A | W, 6, 5, 0, ready_lease, call_release, .takes = true },
	{ "close", A | R, 0, 0, 0, NULL, call_close, .closes = true },
	{ "close, full", A | W, 4, 5, 0, NULL, call_close, .closes = true },
	{ "ask", A | W, 0, 5, 1, NULL, call_ask, .result = 5 },
	{ "create and destroy", A, 0, 1, 0, NULL, call_make, .result = 0 },
};

/* ---- setting up ---- */

static pid_t child_of(void (*body)(void))
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			body();
		_exit(0);
	}
	return pid;
}

static void reap(pid_t *pid)
{
	while (*pid > 0 && waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
	*pid = 0;
}

static void lease_and_die(void)
{
	struct brood_message message;

	for (unsigned i = 0; i < job->orphans; i++)
		if (brood_ring_lease(ring, &message, 0))
			_exit(1);
}

static void sleep_in_it(void)
{
	stage->sleeper_gave = company == READER ? get(NULL, BROOD_FOREVER) :
						  put(GRANTED, 10, BROOD_FOREVER);
	atomic_store(&stage->slept, true);
}

static bool asleep(pid_t pid)
{
	int64_t end = brood_now() + HANG_NS;

	for (unsigned seen = 0; seen < 3;) {
		if (atomic_load(&stage->slept))
			return false;
		if (brood_now() > end)
			return fail("the sleeper runs for ever");
		seen = stepper_is_asleep(pid) ? seen + 1 : 0;
		usleep(50);
	}
	return true;
}

static void act(void *unused)
{
	(void)unused;
	if (job->ready ? !job->ready() : brood_ring_capacity(ring) < 0)
		_exit(98);
	stepper_begin();
	stage->result = job->call();
	atomic_store(&stage->returned, true);
	stepper_end();
}

static bool open_site(void)
{
	pid_t helper;

	error[0] = '\0';
	late = false;
	memset(stage, 0, sizeof *stage);
	ring = brood_ring_create(&(struct brood_ring_opts){ .bytes = ROOM * GRANULE });
	if (!ring)
		return fail("no ring: %d", errno);
	for (unsigned i = 0; i < job->turns; i++)
		if (put(i, 10, 0) || brood_ring_get(ring, &(char[10]){ 0 }, 10, 0) != 10)
			return fail("no turn");
	for (unsigned i = 0; i < job->queued; i++)
		if (put(i, length_of(i, job->queued), 0))
			return fail("no message %u", i);
	if (job->orphans) {
		helper = child_of(lease_and_die);
		reap(&helper);
	}
	brood_ring_count(ring);		/* the dead are swept: everybody gets the same places */
	victim = stepper_spawn(act, NULL);
	if (victim < 0)
		return fail("the victim's preparations failed: %x", (unsigned)stepper_status());
	if (company == ALONE)
		return true;
	sleeper = child_of(sleep_in_it);
	return asleep(sleeper) || fail("the sleeper does not sleep");
}

static void close_site(void)
{
	struct brood_ring *other;

	if (victim > 0)
		stepper_kill(victim);
	if (sleeper > 0)
		kill(sleeper, SIGKILL);
	reap(&sleeper);
	victim = 0;
	if (ring)
		brood_ring_destroy(ring);
	ring = NULL;
	other = brood_ring_open(NULL, "other");		/* made, and not yet destroyed */
	if (other)
		brood_ring_destroy(other);
}

/* ---- what the words say at the kill ---- */

static bool see(struct bytes *bytes)
{
	struct brood_segment *segment = brood__segment_of(ring);
	struct brood__bytes *inner = (void *)((char *)ring + BROOD__LINE);

	return bytes_see(bytes, segment, inner,
			 atomic_load_explicit(&inner->granules, memory_order_relaxed), 0) == 0;
}

/*
 * Whether there is what the sleeper waits for: a message that is first, its room, or the end. The
 * victim stands still meanwhile.
 */
static bool is_due(void)
{
	struct bytes bytes;
	uint64_t head, at, word;

	if (company == ALONE || !see(&bytes))
		return false;
	head = at = atomic_load(&bytes.ring->head);
	for (;; at = position_behind(&bytes, at, word_granules(&bytes, word))) {
		word = atomic_load(&bytes_entry(&bytes, at)->word);
		if (word_later(&bytes, word, at) != 0)
			return company == WRITER &&
			       granules_between(&bytes, head, at) < bytes.granules - 1;
		if (word_state(word) == BYTES_CLOSED)
			return true;
		if (company == WRITER && at == head && word_state(word) == BYTES_DONE)
			return true;
		if (company == READER && word_state(word) != BYTES_DONE)
			return word_state(word) == BYTES_READY;
	}
}

static bool comes_back(int64_t since)
{
	while (!atomic_load(&stage->slept)) {
		if (brood_now() - since > HANG_NS)
			return fail("hang: the sleeper is not woken");
		sched_yield();
	}
	late = brood_now() - since > LATE_NS;
	reap(&sleeper);
	return true;
}

/* ---- checks ---- */

static unsigned next_name, own_seen, granted_seen;

static bool account(int64_t name, uint32_t flags)
{
	bool again = flags & BROOD_REDELIVERED;

	if (name == OWN)
		return !own_seen++ || fail("the victim's message came twice");
	if (name == GRANTED)
		return !granted_seen++ || fail("the granted message came twice");
	if (name != next_name)
		return fail("message %d came, not %u", (int)name, next_name);
	next_name++;
	if (again && name > 0 && name >= job->orphans)
		return fail("message %d came again", (int)name);
	if (!again && name < job->orphans)
		return fail("message %d came again without a word", (int)name);
	return true;
}

/* Message 0 may be gone only with the victim's get; and must be if that returned. */
static bool begin_account(bool returned)
{
	next_name = own_seen = granted_seen = 0;
	return !returned || stage->result == job->result ||
	       fail("undisturbed, the call gave %zd", stage->result);
}

static bool drain(bool first_may_miss, bool first_misses)
{
	uint32_t flags = 0;
	int64_t name;

	brood_ring_count(ring);		/* who noticed the death gets what comes again first */
	while ((name = get(&flags, 0)) >= 0) {
		if (next_name == 0 && name == 1 && first_may_miss)
			next_name = 1;
		if (next_name == 0 && name == 0 && first_misses)
			return fail("message 0 came again, and the call had returned");
		if (!account(name, flags))
			return false;
	}
	if (next_name == 0 && job->queued == 1 && first_may_miss)
		next_name = 1;
	if (name != -EAGAIN && name != -EPIPE)
		return fail("get gave %d", (int)name);
	if (name == -EPIPE && !job->closes)
		return fail("closed by nobody");
	return next_name == job->queued || fail("message %u is lost", next_name);
}

static bool whole(void)
{
	if (brood_ring_used(ring) || brood_ring_count(ring))
		return fail("empty, but %zd messages and %zd bytes are in it",
			    brood_ring_count(ring), brood_ring_used(ring));
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < ROOM; i++)
			if (put(REFILL, 1, 0))
				return fail("room for %u of %u", i, ROOM);
		if (put(REFILL, 1, 0) != -EAGAIN)
			return fail("more room than there is");
		for (unsigned i = 0; i < ROOM; i++)
			if (get(NULL, 0) != REFILL)
				return fail("a refill is lost");
		if (put(REFILL, ROOM * GRANULE, 0) || get(NULL, 0) != REFILL)
			return fail("the whole ring is no room for one");
	}
	return true;
}

static bool closed_check(bool returned)
{
	int is_closed = brood_ring_closed(ring);

	if (returned && is_closed != 1)
		return fail("close returned, and it is open");
	if (!is_closed)
		return true;
	return put(REFILL, 1, 0) == -EPIPE || fail("put into a closed ring");
}

static bool sleeper_check(bool due, int64_t since)
{
	int64_t gave;

	if (!due && company == READER && put(GRANTED, 10, 0))
		return fail("no message can be granted");
	if (!due && company == WRITER) {	/* by what drain() does */
		uint32_t flags;
		int64_t name = brood_ring_count(ring) < 1 ? -1 : get(&flags, 0);

		if (name != 0 || !account(name, flags))
			return fail("message 0 is due, %d came", (int)name);
	}
	if (!due)
		since = brood_now();
	if (!comes_back(since))
		return false;
	gave = stage->sleeper_gave;
	if (company == READER)
		return gave == -EPIPE ? job->closes || fail("the reader got -EPIPE") :
			gave == OWN || gave == GRANTED ? account(gave, 0) :
			fail("the reader got %d", (int)gave);
	return gave == 0 || (gave == -EPIPE && job->closes) || fail("the writer got %d", (int)gave);
}

static bool nothing_leaked(const struct brood_segment_info *before)
{
	struct brood_segment_info now;

	/* What the victim was about to free is freed by the next who wants as much. */
	brood_ring_destroy(brood_ring_create(&(struct brood_ring_opts){ .bytes = 300 }));
	return (brood_segment_stat(NULL, &now) == 0 && now.objects == before->objects &&
		now.bytes_used == before->bytes_used) ||
	       fail("leak: %u objects, were %u", now.objects, before->objects);
}

static bool check(void)
{
	bool returned = atomic_load(&stage->returned), due = is_due();
	bool woken = atomic_load(&stage->slept);
	int64_t since;

	stepper_kill(victim);
	victim = 0;
	since = brood_now();
	if (!begin_account(returned) ||
	    (company != ALONE && !sleeper_check(due || woken, since)))
		return false;
	if (!drain(job->takes, job->takes && returned) ||
	    (job->puts && returned && !own_seen && fail("the victim's message is lost")))
		return false;
	if (own_seen && !job->puts)
		return fail("a message that was not put");
	if (company == WRITER && stage->sleeper_gave == 0 && !granted_seen)
		return fail("the writer's message is lost");
	return closed_check(job->closes && returned) && (brood_ring_closed(ring) == 1 || whole());
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
	struct brood_segment_info before;
	bool right;

	brood_segment_stat(NULL, &before);
	right = open_site() && advance(record) && check();
	close_site();
	return right && nothing_leaked(&before);
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
	printf("%-22s %-7s  instructions %5zu  points %6lu  failures %lu\n", job->name,
	       company_name[company], trace.points ? trace.points - 1 : 0, points - points_before,
	       failures - failures_before);
	trace_free(&trace);
}

int main(int argc, char **argv)
{
	int status = options_start(argc, argv, 0);

	if (status)
		return status;
	stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage == MAP_FAILED ||
	    brood_init(&(struct brood_segment_opts){ .bytes = 64u << 20, .members = 6 })) {
		perror("cannot make the family");
		return 99;
	}
	/* The table of members and this one are the first block of each size. */
	ring = brood_ring_create(&(struct brood_ring_opts){ .bytes = ROOM * GRANULE });
	if (!ring || brood_ring_destroy(ring))
		return 99;
	ring = NULL;
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
