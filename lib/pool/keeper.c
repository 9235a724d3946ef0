/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper: a process of one thread that starts the workers and buries them.
 *
 * It sleeps on the pidfds of its workers and of the pool's creator, and is rung by SIGUSR1, which
 * is blocked while it is awake: when the pool is closed or terminated, when the last chunk of a
 * job is answered after that, when a job with a time limit comes. All that it does it can do
 * again: each time it looks at everything.
 *
 * Its workers are killed by the kernel when it ends, however it ends. A keeper that comes after
 * another nevertheless kills what it finds in the seats: the kernel may be later than the mark of
 * the former keeper's death. A worker that has not yet said that it lives finds that it is late
 * (K6).
 *
 * Who starts a keeper has it as a daemon child. At the normal end of the creator it gets END_SIGNAL,
 * terminates the pool and frees it. At the normal end of another process that started it, it leaves
 * its seat, and who needs the pool starts another. SIGTERM, SIGINT, and what the creator handles when
 * it makes the pool, do nothing here: they may have gone to the whole group, and the creator be one
 * that survives them.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <urcu/list.h>

#include "pool/pool.h"
#include "process/process.h"

#define EARLY_DEATHS 5u		/* of workers, one after another, before any is ready */
#define BACK_OFF_NS 1000000	/* after the first; twice as long after each */
#define END_SIGNAL (SIGRTMAX - 1)	/* nobody sends it to a group */
#define NO_ROOM_NS 5000000	/* until we try again to invite for a chunk that was put back */

struct keeper {
	struct brood_pool *pool;
	uint64_t token;
	pid_t starter;
	int creator;		/* pidfd; -1: does not matter */
	int workers[BROOD__POOL_WORKERS_MAX];	/* pidfds; -1: none */
	bool unburied[BROOD__POOL_WORKERS_MAX];
	int codes[BROOD__POOL_WORKERS_MAX];
	unsigned int early;
	int64_t start_at;	/* no worker before that time */
	int64_t wake_at;
	bool draining;		/* no more invitations: workers leave */
	bool creator_gone;
	sigset_t mask;		/* of the creator */
	struct sigaction actions[NSIG];
};

static volatile sig_atomic_t asked_to_end;

/* ---- of the process that starts keepers ---- */

struct own {
	struct cds_list_head node;
	uint64_t serial;
	struct brood_process *process;
};

static CDS_LIST_HEAD(owned);
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(void)
{
	pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
	pthread_mutex_unlock(&mutex);
}

static void after_fork_in_child(void)	/* they are the parent's */
{
	CDS_INIT_LIST_HEAD(&owned);
	unlock();
}

static void stay_usable_after_fork(void) __attribute__((constructor));
static void stay_usable_after_fork(void)
{
	pthread_atfork(lock, unlock, after_fork_in_child);
}

bool brood__keeper_gone(const struct brood_pool *pool)
{
	uint64_t word = atomic_load_explicit(&pool->keeper, memory_order_acquire);

	if (word & BROOD__POOL_STARTING && pool->creator == getpid())
		return true;	/* it may be coming: our own table tells */
	return !word || brood__token_gone(&brood__family.members, word & BROOD__TOKEN_MASK);
}

static void add(struct own *own)
{
	lock();
	cds_list_add(&own->node, &owned);
	unlock();
}

/* One of this pool, no longer in the table: nothing is called under the mutex, which forks take. */
static struct own *take_one(uint64_t serial)
{
	struct own *own, *found = NULL;

	lock();
	cds_list_for_each_entry(own, &owned, node)
		if (own->serial == serial)
			found = own;
	if (found)
		cds_list_del(&found->node);
	unlock();
	return found;
}

static void drop(struct own *own)
{
	brood_process_free(own->process);
	free(own);
}

/* Those that have ended are freed. Whether one lives. */
static bool have_one(uint64_t serial)
{
	struct own *own;

	while ((own = take_one(serial))) {
		if (brood_process_is_alive(own->process) == 1) {
			add(own);
			return true;
		}
		drop(own);
	}
	return false;
}

bool brood__keeper_missing(const struct brood_pool *pool)
{
	return brood__keeper_gone(pool) && !have_one(pool->serial);
}

int brood__keeper_ensure(struct brood_pool *pool)
{
	const struct brood_process_opts opts = { .name = "ForkPoolKeeper", .daemon = true };
	struct own *own;
	int error;

	if (brood__pool_ended(pool) || !brood__keeper_gone(pool))
		return 0;
	if (have_one(pool->serial))
		return 1;
	own = malloc(sizeof(*own));
	if (!own)
		return -ENOMEM;
	own->serial = pool->serial;
	own->process = brood_process_create(brood__keeper, pool, &opts);
	if (own->process)
		own->process->end_signal = END_SIGNAL;
	error = own->process ? brood_process_launch(own->process) : -errno;
	if (error) {
		brood_process_free(own->process);
		free(own);
		return error;
	}
	add(own);
	return 1;
}

void brood__keeper_forget(uint64_t serial)
{
	struct own *own;

	while ((own = take_one(serial))) {
		brood_process_join(own->process, BROOD_FOREVER);
		drop(own);
	}
}

void brood__keeper_ring(struct brood_pool *pool)
{
	const struct brood__members *members = &brood__family.members;
	uint64_t token = atomic_load_explicit(&pool->keeper, memory_order_acquire);
	uint32_t id = brood__token_id(token);
	int fd;

	if (!token || token & BROOD__POOL_STARTING || id >= members->max)
		return;
	fd = brood__pidfd_open(atomic_load(&members->table[id].process));
	if (fd < 0)
		return;
	/* If it lives now, the descriptor is its. */
	if (!brood__token_gone(members, token))
		brood__pidfd_signal(fd, SIGUSR1);
	brood__fd_close(fd);
}

/* ---- signals ---- */

static void on_signal(int signal)
{
	if (signal == END_SIGNAL)
		asked_to_end = 1;
}

static void take_signals(struct keeper *keeper)
{
	struct sigaction action = { .sa_handler = SIG_IGN };
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigaddset(&blocked, END_SIGNAL);
	sigprocmask(SIG_BLOCK, &blocked, &keeper->mask);
	for (int i = 1; i < NSIG; i++) {
		if (sigaction(i, NULL, &keeper->actions[i]) == 0 &&
		    keeper->actions[i].sa_handler != SIG_DFL)
			sigaction(i, &action, NULL);
	}
	action.sa_handler = SIG_DFL;
	sigaction(SIGCHLD, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = on_signal;
	sigaction(SIGUSR1, &action, NULL);
	sigaction(END_SIGNAL, &action, NULL);
}

static void give_signals_back(const struct keeper *keeper)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	for (int i = 1; i < NSIG; i++)
		if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &keeper->actions[i], NULL);
	if (!keeper->pool->keep_sigint)
		sigaction(SIGINT, &ignore, NULL);
	sigprocmask(SIG_SETMASK, &keeper->mask, NULL);
}

/* ---- workers ---- */

static _Noreturn void be_worker(struct keeper *keeper, uint32_t seat, uint32_t number, pid_t parent)
{
	char name[32];
	int code;

	brood__die_with_parent();
	if (getppid() != parent)
		_exit(1);
	if (keeper->creator >= 0)
		brood__fd_close(keeper->creator);
	for (uint32_t i = 0; i < keeper->pool->workers; i++)
		if (keeper->workers[i] >= 0)
			brood__fd_close(keeper->workers[i]);
	give_signals_back(keeper);
	snprintf(name, sizeof(name), "ForkPoolWorker-%u", number);
	prctl(PR_SET_NAME, name);
	code = brood__worker(keeper->pool, seat, number);
	brood__children_end();
	fflush(NULL);
	brood__leave();
	_exit(code);
}

static void forsake(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int start_worker(struct keeper *keeper, uint32_t i)
{
	struct brood_pool *pool = keeper->pool;
	struct brood__seat *seat = &pool->seats[i];
	uint32_t number = atomic_fetch_add(&pool->number, 1) + 1;
	pid_t parent = getpid(), pid;
	int fd;

	atomic_store(&seat->failure, 0);
	atomic_store(&seat->pid, 0);
	atomic_store(&seat->word, (uint64_t)number << 32 | BROOD__SEAT_STARTING);
	pid = fork();
	if (pid == 0)
		be_worker(keeper, i, number, parent);
	fd = pid < 0 ? -errno : brood__pidfd_open(pid);
	if (fd < 0) {
		if (pid > 0)
			forsake(pid);
		atomic_store(&seat->word, 0);
		return fd;
	}
	atomic_store(&seat->pid, pid);
	keeper->workers[i] = fd;
	return 0;
}

static bool any_ready(const struct brood_pool *pool)
{
	for (uint32_t i = 0; i < pool->workers; i++)
		if ((uint32_t)atomic_load(&pool->seats[i].word) == BROOD__SEAT_READY)
			return true;
	return false;
}

static void died_early(struct keeper *keeper, const char *what, int code)
{
	struct brood_pool *pool = keeper->pool;
	uint32_t open = BROOD__POOL_OPEN, closed = BROOD__POOL_CLOSED;

	keeper->start_at = brood_now() + (BACK_OFF_NS << (keeper->early < 10 ? keeper->early : 10));
	keeper->early++;
	if (keeper->early < EARLY_DEATHS + pool->workers || any_ready(pool) ||
	    brood__pool_state(pool) > BROOD__POOL_CLOSED)
		return;
	snprintf(pool->reason, sizeof(pool->reason), "%s %d", what, code);
	if (!atomic_compare_exchange_strong(&pool->state, &open, BROOD__POOL_BROKEN))	/* K5 */
		atomic_compare_exchange_strong(&pool->state, &closed, BROOD__POOL_BROKEN);
}

static void note_end(struct keeper *keeper, uint32_t i, int code)
{
	const struct brood__seat *seat = &keeper->pool->seats[i];

	if ((uint32_t)atomic_load(&seat->word) == BROOD__SEAT_READY)
		keeper->early = 0;
	else if (atomic_load(&seat->failure))
		died_early(keeper, "the initializer failed:", atomic_load(&seat->failure));
	else if (code < 0)
		died_early(keeper, "a worker died before its initializer was done: signal", -code);
	else
		died_early(keeper, "a worker died before its initializer was done: exit code",
			   code);
}

static void reap(struct keeper *keeper)
{
	bool any = false;
	int r;

	for (uint32_t i = 0; i < keeper->pool->workers; i++) {
		if (keeper->workers[i] < 0)
			continue;
		r = brood__pidfd_reap(keeper->workers[i], &keeper->codes[i], NULL);
		if (r == -EAGAIN)
			continue;
		brood__fd_close(keeper->workers[i]);
		keeper->workers[i] = -1;
		keeper->unburied[i] = true;
		note_end(keeper, i, r ? 0 : keeper->codes[i]);
		any = true;
	}
	if (any)
		brood__deaths_noticed();
}

static void wake_before(struct keeper *keeper, int64_t t)
{
	if (t < keeper->wake_at)
		keeper->wake_at = t;
}

static void bury(struct keeper *keeper)
{
	for (uint32_t i = 0; i < keeper->pool->workers; i++) {
		if (!keeper->unburied[i])
			continue;
		if (brood__seat_bury(keeper->pool, i, keeper->codes[i]))
			keeper->unburied[i] = false;
		else
			wake_before(keeper, brood_now() + NO_ROOM_NS);
	}
}

static void fill_seats(struct keeper *keeper)
{
	int r;

	for (uint32_t i = 0; i < keeper->pool->workers; i++) {
		if (keeper->workers[i] >= 0 || keeper->unburied[i])
			continue;
		if (keeper->start_at > brood_now()) {
			wake_before(keeper, keeper->start_at);
			return;
		}
		r = start_worker(keeper, i);
		if (r)
			died_early(keeper, "no worker could be started: error", -r);
	}
}

static void kill_workers(struct keeper *keeper)
{
	for (uint32_t i = 0; i < keeper->pool->workers; i++)
		if (keeper->workers[i] >= 0)
			brood__pidfd_signal(keeper->workers[i], SIGKILL);
	for (uint32_t i = 0; i < keeper->pool->workers; i++)
		while (keeper->workers[i] >= 0 &&
		       brood__pidfd_wait(keeper->workers[i], BROOD__NO_DEADLINE) == -EINTR)
			;
	reap(keeper);
	bury(keeper);
}

/* ---- time limits ---- */

static void look_at_limit(struct keeper *keeper, uint32_t i, int64_t now)
{
	struct brood__seat *seat = &keeper->pool->seats[i];
	uint64_t timed = atomic_load(&seat->timed);
	int64_t end = atomic_load(&seat->since) + atomic_load(&seat->limit);

	if (keeper->workers[i] < 0 || !(timed & BROOD__TIMED) || timed & BROOD__CONDEMNED)
		return;
	if (end > now)
		wake_before(keeper, end);
	else if (atomic_compare_exchange_strong(&seat->timed, &timed, timed | BROOD__CONDEMNED))
		brood__pidfd_signal(keeper->workers[i], SIGKILL);
}

/* What begins after this look ends not before the shortest limit from now on. */
static void look_at_limits(struct keeper *keeper)
{
	struct brood_pool *pool = keeper->pool;
	int64_t now = brood_now();

	if (!atomic_load(&pool->limited))
		return;
	for (uint32_t i = 0; i < pool->jobs_count; i++) {
		const struct brood__job *job = brood__job(pool, i);

		if (brood__job_state(brood__job_load(job)) == BROOD__JOB_OPEN && job->limit)
			wake_before(keeper, now + job->limit);
	}
	for (uint32_t i = 0; i < pool->workers; i++)
		look_at_limit(keeper, i, now);
}

/* ---- the seat ---- */

static bool take_seat(struct keeper *keeper)
{
	struct brood__members *members = &brood__family.members;
	struct brood_pool *pool = keeper->pool;
	int id = brood__member_id(members);
	uint64_t word = atomic_load(&pool->keeper);

	if (id < 0)
		return false;
	keeper->token = brood__token_of(members, (uint32_t)id);
	while (!brood__pool_ended(pool) && (!word || word & BROOD__POOL_STARTING ||
					    brood__token_gone(members, word)))
		if (atomic_compare_exchange_strong(&pool->keeper, &word, keeper->token))
			return true;
	return false;
}

/* The worker of a former keeper: it is dead, or dies here. The descriptor is its if it lives. */
static void evict(struct keeper *keeper, uint32_t i)
{
	const struct brood__members *members = &brood__family.members;
	struct brood__seat *seat = &keeper->pool->seats[i];
	uint64_t word = atomic_load(&seat->word), token;
	int fd;

	if ((uint32_t)word == BROOD__SEAT_STARTING &&
	    atomic_compare_exchange_strong(&seat->word, &word, 0))
		return;
	if (!word)
		return;
	token = atomic_load(&seat->token);	/* K6 */
	while (!brood__token_gone(members, token)) {
		fd = brood__pidfd_open(
			atomic_load(&members->table[brood__token_id(token)].process));
		if (fd >= 0 && !brood__token_gone(members, token)) {
			brood__pidfd_signal(fd, SIGKILL);
			brood__pidfd_wait(fd, BROOD__NO_DEADLINE);
		}
		if (fd >= 0)
			brood__fd_close(fd);
	}
	keeper->codes[i] = -SIGKILL;
	keeper->unburied[i] = true;
}

static bool begin(struct keeper *keeper)
{
	struct brood_pool *pool = keeper->pool;
	struct brood__call call;
	bool seated;

	take_signals(keeper);
	for (uint32_t i = 0; i < BROOD__POOL_WORKERS_MAX; i++)
		keeper->workers[i] = -1;
	keeper->creator = -1;
	/* It may be destroyed already, or freed by its creator's sweep; with a keeper it is not. */
	if (brood__object_enter(pool, BROOD__KIND_POOL, &call))
		return false;
	seated = take_seat(keeper);
	brood__object_leave(&call);
	if (!seated)
		return false;
	if (!pool->outlive_parent) {
		keeper->creator = brood__pidfd_open(pool->creator);
		keeper->creator_gone = keeper->creator == -ESRCH ||
			(keeper->starter == pool->creator && getppid() != pool->creator);
	}
	atomic_store(&pool->seats[pool->workers].inside, 0);
	for (uint32_t i = 0; i < pool->workers; i++)
		evict(keeper, i);
	brood__deaths_noticed();
	return true;
}

/* ---- the end ---- */

static void cancel_all(struct brood_pool *pool, int code, const char *text)
{
	uint64_t word;

	for (uint32_t i = 0; i < pool->jobs_count; i++)
		if (brood__job_enter(pool, i, &word)) {
			brood__job_cancel(pool, brood__job(pool, i), code, text);
			brood__job_leave(pool, pool->workers, i);
		}
}

static void end(struct keeper *keeper, bool free_it)
{
	struct brood_pool *pool = keeper->pool;

	kill_workers(keeper);
	if (pool->invitations)
		brood_queue_close(pool->invitations);
	if (brood__pool_state(pool) == BROOD__POOL_BROKEN)
		cancel_all(pool, -EPIPE, pool->reason);
	else
		cancel_all(pool, -ECANCELED, "pool terminated");
	atomic_store(&pool->ended, 1);	/* K5 */
	brood__wake_sleepers(&brood__family.members);
	/* The creator's sweep frees a pool that has ended; it may have come too early for that. */
	if (free_it || !brood__pool_creator_lives(pool, BROOD__NOBODY))
		brood__pool_free(pool);
}

static bool has_workers(const struct keeper *keeper)
{
	for (uint32_t i = 0; i < keeper->pool->workers; i++)
		if (keeper->workers[i] >= 0 || keeper->unburied[i])
			return true;
	return false;
}

/* ---- */

/* Sleep until something happens; SIGUSR1 and END_SIGNAL come here only. */
static void sleep_on_all(struct keeper *keeper)
{
	struct pollfd fds[BROOD__POOL_WORKERS_MAX + 1];
	int64_t left = keeper->wake_at - brood_now();
	struct timespec time = { 0 };
	sigset_t mask = keeper->mask;
	nfds_t n = 0;

	if (left > 0)
		time = (struct timespec){ left / 1000000000, left % 1000000000 };
	for (uint32_t i = 0; i < keeper->pool->workers; i++)
		if (keeper->workers[i] >= 0)
			fds[n++] = (struct pollfd){ .fd = keeper->workers[i], .events = POLLIN };
	if (keeper->creator >= 0)
		fds[n++] = (struct pollfd){ .fd = keeper->creator, .events = POLLIN };
	sigdelset(&mask, SIGUSR1);
	sigdelset(&mask, END_SIGNAL);
	if (ppoll(fds, n, keeper->wake_at == BROOD__NO_DEADLINE ? NULL : &time, &mask) > 0 &&
	    keeper->creator >= 0 && fds[n - 1].revents)
		keeper->creator_gone = true;
}

/* One look at everything. False: it is over. */
static bool look(struct keeper *keeper)
{
	struct brood_pool *pool = keeper->pool;
	enum brood__pool_state state;

	keeper->wake_at = BROOD__NO_DEADLINE;
	reap(keeper);
	bury(keeper);
	if (asked_to_end && keeper->starter != pool->creator) {
		kill_workers(keeper);
		atomic_store(&pool->keeper, 0);
		brood__wake_sleepers(&brood__family.members);
		return false;
	}
	if (asked_to_end || keeper->creator_gone)
		atomic_store(&pool->state, BROOD__POOL_TERMINATED);
	state = brood__pool_state(pool);
	if (state == BROOD__POOL_CLOSED && !keeper->draining && brood__pool_finished(pool)) {
		brood_queue_close(pool->invitations);
		brood__wake_list(&brood__family.members, &pool->idle);
		keeper->draining = true;
	}
	if (state > BROOD__POOL_CLOSED || (keeper->draining && !has_workers(keeper))) {
		end(keeper, asked_to_end || keeper->creator_gone);
		return false;
	}
	if (!keeper->draining)
		fill_seats(keeper);
	if (brood__pool_state(pool) != state)
		keeper->wake_at = 0;
	look_at_limits(keeper);
	brood__job_orphans(pool);
	return true;
}

int brood__keeper(void *pool)
{
	static struct keeper keeper;

	keeper.pool = pool;
	keeper.starter = getppid();
	asked_to_end = 0;
	if (!begin(&keeper))
		return 0;
	while (look(&keeper))
		sleep_on_all(&keeper);
	return 0;
}
