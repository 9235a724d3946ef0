/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signals: what a program has of those that its caller blocks, ignores or handles; and whether it
 * dies with its caller.
 */
#include <pthread.h>
#include <sys/prctl.h>

#include "test_subprocess.h"

static const uid_t nobody = 65534;
static const gid_t nogroup = 65533;

/* ---- signals ---- */

static void nothing(int signal)
{
	(void)signal;
}

#define BIT(signal) (1ull << ((signal)-1))

/* sed is looked at: a shell handles signals of its own. */
static const char *const looks[][6] = {
	{ "sed", "-n", "s/^SigBlk:[[:space:]]*0*//p", "/proc/self/status" },
	{ "sed", "-n", "s/^SigIgn:[[:space:]]*0*//p", "/proc/self/status" },
	{ "sed", "-n", "s/^SigCgt:[[:space:]]*0*//p", "/proc/self/status" },
};

/* What ours are ignored before the test changes anything: the runner's, and that of what started it. */
static unsigned long long inherited(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long long bits = 0;
	char line[200];

	ck_assert_ptr_nonnull(status);
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "SigIgn: %llx", &bits) == 1)
			break;
	fclose(status);
	return bits & ~(BIT(SIGPIPE) | BIT(SIGXFSZ));
}

static void check_signals(bool keep, unsigned long long blocked, unsigned long long ignored)
{
	const unsigned long long wanted[] = { blocked, ignored, 0 };

	for (int i = 0; i < 3; i++) {
		char text[40] = "\n";

		if (wanted[i])
			snprintf(text, sizeof(text), "%llx\n", wanted[i]);
		says(looks[i], OPTS(.keep_signals = keep), text);
	}
}

/* SIGRTMAX, the C library's own ones and all ordinary ones. */
START_TEST(signals_of_it)
{
	unsigned long long before = inherited();
	sigset_t some;

	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	check_signals(false, 0, before);
	check_signals(true, 0, before);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGRTMAX, SIG_IGN);
	signal(SIGUSR2, nothing);
	signal(SIGCHLD, nothing);
	signal(SIGTERM, nothing);
	sigemptyset(&some);
	sigaddset(&some, SIGUSR2);
	sigaddset(&some, SIGCHLD);
	sigaddset(&some, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &some, NULL);
	before |= BIT(SIGUSR1) | BIT(SIGRTMAX);
	before &= ~(BIT(SIGUSR2) | BIT(SIGCHLD) | BIT(SIGTERM));
	check_signals(false, 0, before);
	check_signals(true, BIT(SIGUSR2) | BIT(SIGCHLD) | BIT(SIGRTMIN),
		      before | BIT(SIGUSR1) | BIT(SIGRTMAX) | BIT(SIGPIPE) | BIT(SIGXFSZ));
	ck_assert(signal(SIGUSR2, SIG_DFL) == nothing);
	ck_assert(signal(SIGPIPE, SIG_DFL) == SIG_IGN);
	ck_assert(signal(SIGTERM, SIG_DFL) == nothing);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &some, NULL);
}
END_TEST

static volatile sig_atomic_t seen, seen_elsewhere;
static pid_t own_pid;

static void count(int signal)
{
	(void)signal;
	seen++;
	if (getpid() != own_pid)
		seen_elsewhere++;
}

static void *send_often(void *stop)
{
	while (!atomic_load((_Atomic bool *)stop))
		kill(0, SIGUSR1); /* to the group: also to a new process */
	return NULL;
}

/* A handler of ours that ran in the new process would write into our memory. */
START_TEST(no_handler_runs_in_the_new_process)
{
	_Atomic bool stop = false;
	pthread_t thread;

	ck_assert_int_eq(setpgid(0, 0), 0);
	own_pid = getpid();
	signal(SIGUSR1, count);
	ck_assert_int_eq(pthread_create(&thread, NULL, send_often, &stop), 0);
	for (int i = 0; i < 100; i++) {
		struct brood_subprocess *process = opened(BROOD_ARGS("true"), OPTS(.nice = 1));
		int code = 1;

		ck_assert_int_eq(brood_subprocess_wait(process, &code, LONG), 0);
		ck_assert(code == 0 || code == -SIGUSR1); /* after the exec nothing handles it */
		ck_assert_int_eq(brood_subprocess_close(process), 0);
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	signal(SIGUSR1, SIG_DFL);
	ck_assert_int_gt(seen, 0);
	ck_assert_int_eq(seen_elsewhere, 0);
}
END_TEST

/* ---- the caller's end ---- */

static int held[2];
static struct brood_subprocess_opts to_outlive;

static int start_and_stay(void *unused)
{
	(void)unused;
	if (!brood_subprocess_open(SH("echo $$; exec sleep 1000"), &to_outlive))
		return 1;
	return pause();
}

static pid_t read_pid(int fd)
{
	char line[20];
	ssize_t n = read(fd, line, sizeof(line) - 1);

	ck_assert_int_gt(n, 1);
	line[n] = 0;
	return atoi(line);
}

/* As its subreaper we see how it ends when its caller is killed: SIGTERM, which we send, or not. */
static void outlives(const struct brood_subprocess_opts *opts, int wanted)
{
	pid_t caller, pid;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
	to_outlive = *opts;
	to_outlive.out = (struct brood_stream){ .kind = BROOD_STREAM_FD, .fd = held[1] };
	caller = start(start_and_stay, NULL);
	pid = read_pid(held[0]);
	kill_child(caller);
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(end_of(pid), wanted);
	close_pipe(held);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

START_TEST(goes_on_or_dies_with_its_caller)
{
	outlives(OPTS(0), -SIGTERM);
	outlives(OPTS(.die_with_parent = true), -SIGKILL);
	outlives(OPTS(.die_with_parent = true, .new_session = true, .umask = &(mode_t){ 0 }),
		 -SIGKILL);
	if (geteuid() == 0) /* the kernel forgets the wish when ids change */
		outlives(OPTS(.die_with_parent = true, .user = &nobody, .group = &nogroup),
			 -SIGKILL);
}
END_TEST

static void *start_and_end(void *process)
{
	*(struct brood_subprocess **)process =
		opened(BROOD_ARGS("sleep", "1000"), OPTS(.die_with_parent = true));
	return NULL;
}

START_TEST(dies_with_the_thread_that_started_it)
{
	struct brood_subprocess *process;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, start_and_end, &process), 0);
	pthread_join(thread, NULL);
	ends(process, -SIGKILL);
}
END_TEST

static void note(int signal)
{
	(void)signal;
	seen++;
}

/* What is sent to the whole process is its own, also while we block what our writes bring. */
START_TEST(sigpipe_of_others_is_not_lost)
{
	static char much[1 << 20];

	much[0] = '\n';
	signal(SIGPIPE, note);
	for (int i = 1; i <= 30; i++) {
		ck_assert_int_eq(
			brood_subprocess_run(SH("read x; kill -PIPE $PPID; cat >/dev/null"),
					     OPTS(.input = much, .input_length = sizeof(much)),
					     NULL, LONG),
			0);
		ck_assert_int_eq(seen, i);
	}
	ck_assert_int_eq(brood_subprocess_run(SH("exec <&-; sleep 0.01"),
					      OPTS(.input = much, .input_length = sizeof(much)),
					      NULL, LONG),
			 0);
	ck_assert_int_eq(seen, 30);
	ck_assert(signal(SIGPIPE, SIG_DFL) == note);
}
END_TEST

static int cases(void)
{
	TCase *signals = new_case("signals", begin_without_arena);
	TCase *death = new_case("death", begin_without_arena);

	tcase_add_test(signals, signals_of_it);
	tcase_add_test(signals, no_handler_runs_in_the_new_process);
	tcase_add_test(signals, sigpipe_of_others_is_not_lost);
	tcase_add_test(death, goes_on_or_dies_with_its_caller);
	tcase_add_test(death, dies_with_the_thread_that_started_it);
	return run_cases("subprocess_signals", signals, death, NULL);
}

int main(void)
{
	return run_in_place(cases);
}
