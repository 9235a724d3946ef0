/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <config.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "peer.h"

/* A ring that has collapsed may need this long for what is still in it. */
#define GRACE (2 * NSEC_PER_SEC)

struct team *team_create(void)
{
	return shared_alloc(sizeof(struct team));
}

void team_destroy(struct team *team)
{
	shared_free(team, sizeof *team);
}

static void team_reset(struct team *team, const struct role roles[2])
{
	pthread_barrierattr_t attr;

	memset(team->workers, 0, sizeof team->workers);
	team->n = roles[0].n + roles[1].n;
	team->n_samples = 0;
	team->cut = 0;
	atomic_store(&team->last_batch, 0);
	atomic_store(&team->ping, 0);
	atomic_store(&team->pong, 0);
	for (int phase = 0; phase < PHASE_DONE; phase++)
		atomic_store(&team->producers_left[phase], roles[0].n);
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&team->barrier, &attr, team->n);
	pthread_barrierattr_destroy(&attr);
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static void pin_spread(unsigned int nth)
{
	cpu_set_t set;
	int cpu = -1;

	if (sched_getaffinity(0, sizeof set, &set))
		return;
	nth %= (unsigned int)CPU_COUNT(&set);
	do
		cpu++;
	while (!CPU_ISSET((size_t)cpu, &set) || nth--);
	pin(cpu);
}

static void run_phase(struct job *job, enum phase phase, int64_t length, const struct role *role)
{
	struct worker *worker = job->worker;

	job->phase = phase;
	pthread_barrier_wait(&job->team->barrier);
	atomic_store(&worker->done, 0);
	worker->end = 0;
	worker->cpu_end = 0;
	worker->begin = now_ns();
	worker->cpu_begin = cpu_ns();
	atomic_store(&worker->phase, phase);
	job->until = worker->begin + length;
	role->body(job);
	worker->end = now_ns();
	worker->cpu_end = cpu_ns();
	worker->count = job->tally.count;
	worker->sum = job->tally.sum;
}

static void work(struct job *job, const struct role *role, int64_t warm, int64_t timed)
{
	if (role->cpu >= 0)
		pin(role->cpu);
	else if (role->cpu == CPU_SPREAD)
		pin_spread((unsigned int)(job->worker - job->team->workers));
	if (role->enter)
		role->enter(job);
	run_phase(job, PHASE_WARM, warm, role);
	run_phase(job, PHASE_TIMED, timed, role);
	pthread_barrier_wait(&job->team->barrier);
	atomic_store(&job->worker->phase, PHASE_DONE);
	_exit(0);
}

void job_fail(struct job *job, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(job->worker->error, sizeof job->worker->error, format, args);
	va_end(args);
	_exit(1);
}

void job_sample(struct job *job, int64_t ns)
{
	struct team *team = job->team;

	if (job->phase == PHASE_TIMED && team->n_samples < SAMPLES_MAX)
		team->samples[team->n_samples++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

/* The second look at the parent closes the gap in which it died before prctl() was called. */
static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

static bool start(struct team *team, const struct role roles[2], const void *task, int64_t warm,
		  int64_t timed)
{
	pid_t parent = getpid();

	for (unsigned int i = 0; i < team->n; i++) {
		const struct role *role = &roles[i >= roles[0].n];
		struct job job = { .team = team, .worker = &team->workers[i], .task = task };
		pid_t pid = fork();

		if (pid < 0)
			return false;
		if (!pid) {
			die_with(parent);
			job.index = i >= roles[0].n ? i - roles[0].n : i;
			work(&job, role, warm, timed);
		}
		team->workers[i].pid = pid;
	}
	return true;
}

static void kill_all(struct team *team)
{
	for (unsigned int i = 0; i < team->n; i++)
		if (team->workers[i].pid > 0)
			kill(team->workers[i].pid, SIGKILL);
}

static int64_t timeval_ns(const struct timeval *t)
{
	return t->tv_sec * NSEC_PER_SEC + t->tv_usec * 1000;
}

/* Collect who has ended. False when one of them failed. */
static bool reap(struct team *team, unsigned int *left)
{
	bool good = true;

	*left = 0;
	for (unsigned int i = 0; i < team->n; i++) {
		struct worker *worker = &team->workers[i];
		struct rusage usage;
		int status = 1;

		if (worker->pid <= 0)
			continue;
		if (wait4(worker->pid, &status, WNOHANG, &usage) == 0) {
			++*left;
			continue;
		}
		worker->pid = 0;
		worker->cpu_all = timeval_ns(&usage.ru_utime) + timeval_ns(&usage.ru_stime);
		if (status && !worker->error[0] && WIFSIGNALED(status))
			snprintf(worker->error, sizeof worker->error, "killed by signal %d",
				 WTERMSIG(status));
		good = good && !status;
	}
	return good;
}

static void wait_for_child(const sigset_t *set, int64_t ns)
{
	struct timespec t = { .tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC };

	sigtimedwait(set, NULL, &t);
}

static enum outcome finish(struct team *team, const sigset_t *set, int64_t deadline)
{
	enum outcome outcome = TEAM_DONE;
	unsigned int left;

	while (reap(team, &left) || outcome != TEAM_DONE) {
		if (!left)
			return outcome;
		if (outcome == TEAM_DONE && now_ns() >= deadline) {
			outcome = TEAM_CUT;
			team->cut = now_ns();
			kill_all(team);
		}
		wait_for_child(set, outcome == TEAM_DONE ? deadline - now_ns() : NSEC_PER_MSEC);
	}
	kill_all(team);
	while (left) {
		wait_for_child(set, NSEC_PER_MSEC);
		reap(team, &left);
	}
	return TEAM_FAILED;
}

enum outcome team_run(struct team *team, const struct role roles[2], const void *task,
		      int64_t warm, int64_t timed)
{
	enum outcome outcome;
	sigset_t set, before;
	int64_t deadline = now_ns() + warm + timed + GRACE;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &before);
	team_reset(team, roles);
	if (start(team, roles, task, warm, timed)) {
		outcome = finish(team, &set, deadline);
	} else {
		snprintf(team->workers[0].error, sizeof team->workers[0].error, "fork: %s",
			 strerror(errno));
		kill_all(team);
		finish(team, &set, deadline);
		outcome = TEAM_FAILED;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return outcome;
}

const char *team_error(const struct team *team)
{
	for (unsigned int i = 0; i < team->n; i++)
		if (team->workers[i].error[0] && strncmp(team->workers[i].error, "killed", 6))
			return team->workers[i].error;
	for (unsigned int i = 0; i < team->n; i++)
		if (team->workers[i].error[0])
			return team->workers[i].error;
	return "a worker ended without a word";
}
