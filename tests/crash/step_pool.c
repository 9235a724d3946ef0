/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Killed at every instruction of taking, running and answering tasks, of submitting and giving up
 * jobs, of burying a dead worker, of making and freeing a pool. There is no keeper: the parent
 * stands in for it. It buries the victim, works off what is left, and then each task must have
 * been answered exactly once, with its result or "worker died", and nothing may be left of pool
 * and jobs.
 *
 *	step_pool [--call NAME] [--stride N] [--seed N] [--rounds N]
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "options.h"
#include "pool/result.h"
#include "stepper.h"

enum { TASKS = 3, FAILURES_ENOUGH = 10, NUMBER = 7 };

struct job {
	const char *name;
	bool (*set_up)(void);		/* by the parent, before the victim is there; or NULL */
	int (*ready)(void);		/* by the victim */
	int (*call)(void);
	int result;			/* of the call, undisturbed */
	size_t bytes;			/* of each argument and result */
	unsigned int retries;
	int64_t limit;
	bool fails;			/* the second task does */
	bool no_pool;			/* the parent makes none */
	bool buries;			/* the victim is the keeper, the worker is dead already */
};

static struct {
	volatile bool returned;
	volatile int result;
	volatile int calls[TASKS];
	volatile bool held;
	struct brood_pool *volatile pool;	/* the victim's */
} *stage;

static const struct job *job;
static struct brood_pool *pool;
static struct brood_result *result;	/* the parent's map of TASKS tasks */
static struct brood_result *own;	/* the victim's */
static struct trace trace;
static size_t point;
static char error[200];

static bool fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (!error[0])
		vsnprintf(error, sizeof error, format, arguments);
	va_end(arguments);
	return false;
}

/* ---- tasks and jobs ---- */

static int task(struct brood_task *t, const void *argument, void *to)
{
	size_t i = brood_task_index(t);

	stage->calls[i]++;
	if (job->fails && i == 1)
		return brood_task_fail(t, -EIO, "as asked");
	memcpy(to, argument, brood_task_length(t));
	return 0;
}

static struct brood_result *submit(void)
{
	struct brood_submit_opts opts = { .chunk = 1, .retries = job->retries,
					  .limit = job->limit };
	static char items[TASKS * 1000];

	for (size_t i = 0; i < TASKS; i++)
		memset(items + i * job->bytes, 'a' + (int)i, job->bytes);
	return brood_pool_map_async(pool, task, items, TASKS, job->bytes, NULL, job->bytes, &opts);
}

static struct brood_result *submit_one(void)
{
	static char item[1000];

	return brood_pool_apply_async(pool, task, item, job->bytes, job->bytes, NULL);
}

/* ---- what the victim does ---- */

static int nothing(void)
{
	return 0;
}

static int sit_down(void)
{
	return brood__worker_begin(pool, 0, NUMBER) ? 0 : -1;
}

static int work(void)
{
	uint64_t left = UINT64_MAX;

	return brood__worker_once(pool, 0, NUMBER, &left, 0);
}

static int work_at_one(void)
{
	uint64_t left = 1;

	return brood__worker_once(pool, 0, NUMBER, &left, 0);
}

static int have_one(void)
{
	own = submit_one();
	return own ? 0 : -errno;
}

static int have_many(void)
{
	own = submit();
	return own ? 0 : -errno;
}

static int give_up(void)
{
	return brood_result_free(own);
}

static int cancel(void)
{
	return brood_result_cancel(own);
}

static int bury(void)
{
	return brood__seat_bury(pool, 0, -SIGKILL) ? 0 : -1;
}

static int sweep_the_dead(void)
{
	brood__member_sweep(&brood__family.members);
	return 0;
}

static int make(void)
{
	const struct brood_pool_opts opts = { .workers = 1, .open_tasks = 2 };

	stage->pool = brood__pool_make(&opts);
	return stage->pool ? 0 : -errno;
}

static int make_ended(void)
{
	int r = make();

	if (r == 0)
		atomic_store(&stage->pool->ended, 1);
	return r;
}

static int free_it(void)
{
	return brood__pool_free(stage->pool);
}

/* ---- what was before ---- */

/* The sole worker's seat, as the keeper leaves it to a worker that it starts. */
static void offer_seat(uint32_t number)
{
	atomic_store(&pool->seats[0].word, (uint64_t)number << 32 | BROOD__SEAT_STARTING);
}

static bool one_map(void)
{
	offer_seat(NUMBER);
	result = submit();
	return result != NULL;
}

/* Somebody does what he does until he holds, and dies. */
static bool dies(void (*does)(void))
{
	pid_t pid;

	stage->held = false;
	pid = fork();
	if (pid == 0) {
		does();
		_exit(1);
	}
	while (pid > 0 && !stage->held && waitpid(pid, NULL, WNOHANG) == 0)
		;
	if (pid > 0)
		stepper_kill(pid);
	brood__member_sweep(&brood__family.members);
	return stage->held;
}

static int hold(struct brood_task *t, const void *argument, void *to)
{
	(void)t, (void)argument, (void)to;
	stage->calls[0]++;
	stage->held = true;
	for (;;)
		pause();
	return 0;
}

static void die_as_worker(void)
{
	if (sit_down() == 0)
		work();
}

/* Another worker got its invitation, found that task running, and did not come to the others. */
static bool take_invitations(void)
{
	struct brood_message message;
	int r;

	while ((r = brood_queue_lease(pool->invitations, &message, 0)) == 0)
		brood_queue_release(pool->invitations, &message);
	return r == -EAGAIN;
}

/* A worker has died in the first task. */
static bool a_dead_worker(void)
{
	struct brood_submit_opts opts = { .chunk = 1, .retries = job->retries,
					  .limit = job->limit };
	bool dead;

	offer_seat(NUMBER);
	result = brood_pool_map_async(pool, hold, NULL, TASKS, 0, NULL, job->bytes, &opts);
	dead = result && dies(die_as_worker);
	if (result)	/* from now on it would do the task */
		brood__job(pool, result->index)->function = task;
	if (job->limit)
		atomic_fetch_or(&pool->seats[0].timed, BROOD__CONDEMNED);
	else if (job->retries)
		dead = dead && take_invitations();
	return dead;
}

/* One that died between a ticket and a claim: its invitation comes again. */
static void die_with_a_ticket(void)
{
	struct brood_message message;

	if (brood_queue_lease(pool->invitations, &message, 0))
		return;
	atomic_fetch_add(&brood__job(pool, result->index)->next, 1);
	stage->held = true;
	for (;;)
		pause();
}

static bool a_lost_ticket(void)
{
	return one_map() && dies(die_with_a_ticket);
}

static void die_as_submitter(void)
{
	if (!submit() || !submit_one())
		return;
	stage->held = true;
	for (;;)
		pause();
}

/* Not swept yet: the victim does that. */
static bool a_dead_submitter(void)
{
	pid_t pid;

	stage->held = false;
	pid = fork();
	if (pid == 0) {
		die_as_submitter();
		_exit(1);
	}
	while (pid > 0 && !stage->held && waitpid(pid, NULL, WNOHANG) == 0)
		;
	if (pid > 0)
		stepper_kill(pid);
	return stage->held;
}

static const struct job jobs[] = {
	{ .name = "work", .set_up = one_map, .ready = sit_down, .call = work, .bytes = 8 },
	{ .name = "work, a block", .set_up = one_map, .ready = sit_down, .call = work,
	  .bytes = 1000 },
	{ .name = "work, retries", .set_up = one_map, .ready = sit_down, .call = work, .bytes = 8,
	  .retries = 2 },
	{ .name = "work, a failure", .set_up = one_map, .ready = sit_down, .call = work, .bytes = 8,
	  .fails = true },
	{ .name = "work, timed", .set_up = one_map, .ready = sit_down, .call = work, .bytes = 8,
	  .limit = 1000000000000 },
	{ .name = "work, then replaced", .set_up = one_map, .ready = sit_down, .call = work_at_one,
	  .bytes = 8 },
	{ .name = "work, searching", .set_up = a_lost_ticket, .ready = sit_down, .call = work,
	  .bytes = 8 },
	{ .name = "sit down", .set_up = one_map, .ready = nothing, .call = sit_down, .bytes = 8 },
	{ .name = "submit one", .ready = nothing, .call = have_one, .bytes = 8 },
	{ .name = "submit one, a block", .ready = nothing, .call = have_one, .bytes = 1000 },
	{ .name = "submit many", .ready = nothing, .call = have_many, .bytes = 8 },
	{ .name = "free one", .ready = have_one, .call = give_up, .bytes = 8 },
	{ .name = "free many", .ready = have_many, .call = give_up, .bytes = 8 },
	{ .name = "cancel", .ready = have_many, .call = cancel, .bytes = 8 },
	{ .name = "bury", .set_up = a_dead_worker, .ready = nothing, .call = bury, .bytes = 8,
	  .buries = true },
	{ .name = "bury, retries", .set_up = a_dead_worker, .ready = nothing, .call = bury,
	  .bytes = 8, .retries = 1, .buries = true },
	{ .name = "bury, too late", .set_up = a_dead_worker, .ready = nothing, .call = bury,
	  .bytes = 8, .retries = 1, .limit = 1000000000000, .buries = true },
	{ .name = "sweep a submitter", .set_up = a_dead_submitter, .ready = nothing,
	  .call = sweep_the_dead, .bytes = 8 },
	{ .name = "make a pool", .ready = nothing, .call = make, .no_pool = true },
	{ .name = "free a pool", .ready = make_ended, .call = free_it, .no_pool = true },
};

/* ---- a point ---- */

static void bury_the_dead(void)
{
	brood__member_sweep(&brood__family.members);
}

static void victim_body(void *unused)
{
	(void)unused;
	if (brood__member_id(&brood__family.members) < 0 || job->ready())
		_exit(98);
	stepper_begin();
	stage->result = job->call();
	stage->returned = true;
	stepper_end();
}

static pid_t begin(void)
{
	const struct brood_pool_opts opts = { .workers = 1, .open_tasks = 3 };
	int me = brood__member_id(&brood__family.members);
	pid_t pid;

	bury_the_dead();
	error[0] = '\0';
	result = NULL;
	pool = NULL;
	memset((void *)stage, 0, sizeof *stage);
	if (!job->no_pool) {
		pool = brood__pool_make(&opts);
		if (pool)	/* we are the keeper */
			atomic_store(&pool->keeper,
				     brood__token_of(&brood__family.members, (uint32_t)me));
	}
	if ((!pool && !job->no_pool) || (job->set_up && !job->set_up())) {
		fail("no beginning");
		return -1;
	}
	pid = stepper_spawn(victim_body, NULL);
	if (pid < 0)
		fail("the victim's preparations failed: %x", (unsigned)stepper_status());
	return pid;
}

/* A new worker does what there is to do. */
static bool work_off(void)
{
	uint64_t left = UINT64_MAX;
	int r;

	if (!brood__seat_bury(pool, 0, -SIGKILL))
		return fail("no room for an invitation");
	offer_seat(NUMBER + 1);
	if (!brood__worker_begin(pool, 0, NUMBER + 1))
		return fail("the seat is not free");
	do
		r = brood__worker_once(pool, 0, NUMBER + 1, &left, 0);
	while (r == 0);
	atomic_store(&pool->seats[0].word, 0);
	return r == -EAGAIN || fail("the worker's end was %d", r);
}

static bool right_bytes(const char *bytes, size_t i)
{
	for (size_t k = 0; k < job->bytes; k++)
		if (bytes[i * job->bytes + k] != 'a' + (int)i)
			return false;
	return true;
}

static int code_of(size_t i)
{
	uint64_t word = atomic_load(&brood__job(pool, result->index)->chunks[i]);

	return brood__chunk_state(word) == BROOD__CHUNK_DONE ? 0 : (int)brood__chunk_who(word);
}

/* What one chunk may look like; whether it was the death's. */
static bool check_task(size_t i, const char *bytes, int *died)
{
	int code = code_of(i), calls = stage->calls[i];

	if (code == -EOWNERDEAD || (code == -ETIMEDOUT && job->buries)) {
		++*died;
		return calls <= 1 || fail("task %zu died and was called %d times", i, calls);
	}
	if (code == -EIO && job->fails && i == 1)
		return calls == 1 || fail("the one that fails was called %d times", calls);
	if (code)
		return fail("task %zu has code %d", i, code);
	if (calls < 1 || calls > 1 + (job->retries && (!job->buries || i == 0)))
		return fail("task %zu was called %d times", i, calls);
	return job->buries || right_bytes(bytes, i) || fail("task %zu has a wrong result", i);
}

static bool check_answers(void)
{
	const char *bytes;
	int died = 0, code;

	if (brood_result_ready(result) != 1)
		return fail("not every task was answered");
	code = brood_result_get(result, NULL, 0, 0);
	bytes = brood_result_data(result);
	for (size_t i = 0; i < TASKS; i++)
		if (!check_task(i, bytes, &died))
			return false;
	if (job->buries && died != (job->retries == 0 || job->limit))
		return fail("%d tasks died", died);
	if (!job->buries && (died > 1 || (died && (stage->returned || job->retries))))
		return fail("%d tasks died", died);
	if ((code != 0) != (died || job->fails))
		return fail("the map's outcome was %d", code);
	if (job->buries && job->limit && code != -ETIMEDOUT)
		return fail("no time-out but %d", code);
	return true;
}

static bool all_free(void)
{
	struct brood_segment_info info;

	for (uint32_t i = 0; i < pool->jobs_count; i++)
		if (brood__job_state(brood__job_load(brood__job(pool, i))) != BROOD__JOB_FREE)
			return fail("job %u is not free", i);
	for (struct brood__block *block = brood__block_first(&brood__family); block;
	     block = brood__block_next(&brood__family, block))
		brood__block_reclaim(&brood__family, block);
	brood_segment_stat(NULL, &info);
	return info.objects == 2 || fail("%u objects beside pool and queue", info.objects - 2);
}

/* What is in limbo is freed by who makes something, as far as it looks for room; here, all. */
static bool nothing_left(void)
{
	struct brood_segment_info info;

	for (struct brood__block *block = brood__block_first(&brood__family); block;
	     block = brood__block_next(&brood__family, block))
		brood__block_reclaim(&brood__family, block);
	brood_segment_stat(NULL, &info);
	return (info.objects == 0 && info.bytes_used == 0) ||
	       fail("leak: %u objects, %zu bytes", info.objects, info.bytes_used);
}

static bool check(void)
{
	bury_the_dead();
	if (stage->returned && stage->result != job->result)
		return fail("undisturbed, the call gave %d", stage->result);
	if (job->no_pool)
		return nothing_left();
	if (!work_off() || (result && !check_answers()))
		return false;
	if (result && brood_result_free(result))
		return fail("the result cannot be freed");
	result = NULL;
	if (!all_free())
		return false;
	atomic_store(&pool->ended, 1);
	if (brood__pool_free(pool))
		return fail("the pool cannot be freed");
	return nothing_left();
}

static void report(bool right, unsigned long *failures)
{
	if (right)
		return;
	++*failures;
	printf("FAILED %s, point %zu of %zu: %s\n", job->name, point, trace.points - 1, error);
	if (result)
		brood_result_free(result);
	if (pool)
		brood__pool_free(pool);
}

static bool record(void)
{
	pid_t pid = begin();

	if (pid < 0)
		return false;
	if (stepper_record(pid, &trace) != STEP_END)
		fail("the victim died: %x", (unsigned)stepper_status());
	point = trace.points - 1;
	stepper_kill(pid);
	return !error[0] && check();
}

static bool play(void)
{
	enum step_result step;
	pid_t pid = begin();

	if (pid < 0)
		return false;
	step = stepper_advance(pid, &trace, point);
	if (step == STEP_ASTRAY) {
		stepper_kill(pid);
		if (!check())
			return false;
		pid = begin();
		if (pid < 0)
			return false;
		step = stepper_advance_slowly(pid, point);
	}
	if (step == STEP_DIED)
		fail("the victim died: %x", (unsigned)stepper_status());
	stepper_kill(pid);
	return !error[0] && check();
}

/* The executions of an instruction up to point k: the rounds of a loop are alike. */
static bool is_chosen(size_t k)
{
	size_t before = 0, behind = 0;

	if (!options.rounds)
		return true;
	for (size_t i = 0; i < k && before < options.rounds; i++)
		before += trace.address[i] == trace.address[k];
	for (size_t i = k + 1; i < trace.points && behind < options.rounds; i++)
		behind += trace.address[i] == trace.address[k];
	return before < options.rounds || behind < options.rounds;
}

static unsigned long visit(unsigned long *points)
{
	unsigned long failures = 0, first = *points;

	report(record(), &failures);
	++*points;
	for (size_t k = options.seed % options.stride;
	     k < trace.points && failures < FAILURES_ENOUGH; k += options.stride) {
		if (!is_chosen(k))
			continue;
		point = k;
		report(play(), &failures);
		++*points;
	}
	printf("%-20s  instructions %5zu  points %5lu  failures %lu\n", job->name,
	       trace.points - 1, *points - first, failures);
	trace_free(&trace);
	return failures;
}

int main(int argc, char **argv)
{
	struct brood_segment_opts segment = { .bytes = 16u << 20, .members = 4 };
	unsigned long points = 0, failures = 0;
	int status = options_start(argc, argv, 1);

	if (status)
		return status;
	signal(SIGUSR1, SIG_IGN);	/* keepers are rung by it, and we are one */
	stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (stage == MAP_FAILED || brood_init(&segment)) {
		perror("cannot make the family");
		return 99;
	}
	for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
		job = &jobs[i];
		if (options_want(job->name, options.state))
			failures += visit(&points);
	}
	printf("kill points: %lu, failures: %lu\n", points, failures);
	if (!points)
		return 99;
	return failures ? 1 : 0;
}
