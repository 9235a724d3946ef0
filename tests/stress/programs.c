/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many threads start programs at the same time, in all ways: with pipes, input and output,
 * descriptors of their own, time-outs that hit; some are killed, some closed while they run. Other
 * threads fork, and make and close pipes meanwhile. Each program looks at its descriptors first and
 * ends by BAD if it has one that was not meant for it. At the end nothing is left.
 *
 *	programs [threads [starts [variant]]]	8 threads, 1000 starts of each, all variants
 *
 * Then the same, with fewer starts, in a program that ignores SIGCHLD, blocks it, reaps all
 * children in its handler, or is interrupted by a timer every 200 us, and by signals to its group.
 * A single variant is done in this process, where a sanitizer or a debugger can follow it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood/process.h>
#include <brood/subprocess.h>

#define BAD	    99 /* exit code: descriptors that are not meant for it */
#define LONG	    brood_ms(60000)
#define THREADS_MAX 64
#define FEWER	    8 /* times, in the variants */

enum variant { PLAIN, IGNORED, BLOCKED, REAPED, TICKS, VARIANTS };
static const char *const variants[] = { "plain", "SIGCHLD ignored", "SIGCHLD blocked",
					"children reaped in a handler", "a timer every 200 us" };

static unsigned long threads = 8, starts = 1000;
static enum variant variant;
static bool codes_may_be_lost;
static pid_t self;
static atomic_uint wrong, ticks, strays, lost;
static atomic_bool over;

static void complain(const char *what, long number)
{
	if (atomic_fetch_add_explicit(&wrong, 1, memory_order_relaxed) < 20)
		printf("%s: %s %ld\n", variants[variant], what, number);
}

/* ---- the program that is started ---- */

static bool is_meant(int fd, char *const meant[])
{
	if (fd <= 2)
		return true;
	for (; *meant; meant++)
		if (atoi(*meant) == fd)
			return true;
	return false;
}

static bool fds_right(char *const meant[])
{
	DIR *list = opendir("/proc/self/fd");
	const struct dirent *entry;
	bool right = list;
	int n = 0, expected = 3;

	for (size_t i = 0; meant[i]; i++)
		expected++;
	while (list && (entry = readdir(list)) != NULL) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || fd == dirfd(list))
			continue;
		right = right && is_meant(fd, meant);
		n++;
	}
	if (list)
		closedir(list);
	return right && n == expected;
}

static int copy(void)
{
	char bytes[8192];
	ssize_t n;

	while ((n = read(0, bytes, sizeof bytes)) > 0)
		if (write(1, bytes, (size_t)n) != n)
			return 1;
	return n < 0;
}

/* argv: helper, what to do, the descriptors. */
static int help(char **argv)
{
	if (!fds_right(argv + 3))
		return BAD;
	if (strcmp(argv[2], "copy") == 0)
		return copy();
	if (strcmp(argv[2], "stay") == 0)
		sleep(100);
	return atoi(argv[2]);
}

/* ---- the starts ---- */

struct starter {
	unsigned int number;
	unsigned long i;
	size_t length;
	char input[100000];
};

#define HELPER(...) BROOD_ARGS("/proc/self/exe", "helper", __VA_ARGS__)
#define A_PIPE                            \
	{                                 \
		.kind = BROOD_STREAM_PIPE \
	}

static const struct brood_subprocess_opts piped = { .in = A_PIPE, .out = A_PIPE, .err = A_PIPE };

static void expect_code(const char *who, int r, int code, int expected)
{
	if (codes_may_be_lost && (r == -ECHILD || (r == 0 && code == BROOD_NO_CODE)))
		atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
	else if (r || code != expected)
		complain(who, r ? 1000 * r : code);
}

static void expect_output(const struct starter *s, const struct brood_subprocess_result *result)
{
	if (result->output_length != s->length || !result->output ||
	    memcmp(result->output, s->input, s->length) != 0 || result->error_length)
		complain("output is not the input; bytes", (long)result->output_length);
}

static void run_with_input(struct starter *s)
{
	struct brood_subprocess_opts opts = { .capture = true,
					      .input = s->input,
					      .input_length = s->length };
	struct brood_subprocess_result result;
	int r = brood_subprocess_run(HELPER("copy"), &opts, &result, LONG);

	expect_code("run", r, result.code, 0);
	expect_output(s, &result);
	brood_subprocess_result_free(&result);
}

static struct brood_subprocess *open_helper(const char *const argv[],
					    const struct brood_subprocess_opts *opts)
{
	struct brood_subprocess *process = brood_subprocess_open(argv, opts);

	if (!process)
		complain("open", -errno);
	return process;
}

static void close_helper(struct brood_subprocess *process)
{
	int r = brood_subprocess_close(process);

	if (r)
		complain("close", r);
}

static void open_and_communicate(struct starter *s)
{
	struct brood_subprocess_result result = { 0 };
	struct brood_subprocess *process = open_helper(HELPER("copy"), &piped);
	int r;

	if (!process)
		return;
	r = brood_subprocess_communicate(process, s->input, s->length, &result, LONG);
	expect_code("communicate", r, result.code, 0);
	expect_output(s, &result);
	brood_subprocess_result_free(&result);
	close_helper(process);
}

static void pass_own_fds(struct starter *s)
{
	int fds[2], pass[2];
	char text[2][12];
	struct brood_subprocess_opts opts = { .pass_fds = pass, .pass_fds_count = 2 };
	struct brood_subprocess_result result;
	int r;

	(void)s;
	if (pipe2(fds, O_CLOEXEC)) {
		complain("pipe2", -errno);
		return;
	}
	for (int i = 0; i < 2; i++) {
		pass[i] = fds[i];
		snprintf(text[i], sizeof text[i], "%d", fds[i]);
	}
	r = brood_subprocess_run(HELPER("0", text[0], text[1]), &opts, &result, LONG);
	expect_code("pass_fds", r, result.code, 0);
	brood_subprocess_result_free(&result);
	close(fds[0]);
	close(fds[1]);
}

static void time_out(struct starter *s)
{
	struct brood_subprocess_opts opts = { .capture = true };
	struct brood_subprocess_result result;
	int r = brood_subprocess_run(HELPER("stay"), &opts, &result,
				     brood_us(500 + 100 * (int64_t)(s->i % 40)));

	if (r != -ETIMEDOUT)
		complain("time-out", r ? r : result.code);
	brood_subprocess_result_free(&result);
}

static void kill_it(struct starter *s)
{
	struct brood_subprocess *process = open_helper(HELPER("stay"), &piped);
	int r, code = 0;

	if (!process)
		return;
	r = s->i & 8 ? brood_subprocess_kill(process)
		     : brood_subprocess_kill_tree(process, SIGKILL);
	if (r)
		complain("kill", r);
	r = brood_subprocess_wait(process, &code, LONG);
	expect_code("killed", r, code, -SIGKILL);
	close_helper(process);
}

/* It ends by the end of its input; a later open or close reaps it. */
static void close_running(struct starter *s)
{
	(void)s;
	close_helper(open_helper(HELPER("copy"), &piped));
}

static void tell_code(struct starter *s)
{
	struct brood_subprocess_result result;
	char text[12];
	int code = (int)(s->i % 90), r;

	snprintf(text, sizeof text, "%d", code);
	r = brood_subprocess_run(HELPER(text), NULL, &result, LONG);
	expect_code("exit code", r, result.code, code);
	brood_subprocess_result_free(&result);
}

/* Its output is taken away, and read to its end; it is waited for in small portions. */
static void take_output(struct starter *s)
{
	struct brood_subprocess_opts opts = { .out = A_PIPE, .in.kind = BROOD_STREAM_NULL };
	struct brood_subprocess *process = open_helper(HELPER("copy"), &opts);
	int fd, r, code = -1;
	char byte;

	(void)s;
	if (!process)
		return;
	fd = brood_subprocess_take(process, BROOD_STDOUT);
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	close(fd);
	do
		r = brood_subprocess_wait(process, &code, brood_us(300));
	while (r == -ETIMEDOUT);
	expect_code("waited for", r, code, 0);
	close_helper(process);
}

static void (*const ways[])(struct starter *) = {
	run_with_input, open_and_communicate, pass_own_fds, time_out,
	kill_it,	close_running,	      tell_code,    take_output,
};
#define WAYS (sizeof ways / sizeof *ways)

static void *start_many(void *argument)
{
	struct starter *s = argument;
	unsigned long n = variant == PLAIN ? starts : (starts + FEWER - 1) / FEWER;

	for (s->i = 0; s->i < n; s->i++) {
		s->length = (s->i * 7919 + s->number * 104729) % sizeof s->input;
		memset(s->input, (int)(s->i + s->number), s->length);
		ways[(s->i + s->number) % WAYS](s);
	}
	return NULL;
}

/* ---- meanwhile ---- */

static int seven(void *unused)
{
	(void)unused;
	return 7;
}

static void fork_once(void)
{
	struct brood_process *process = brood_process_start(seven, NULL);
	int r, code = 0;

	if (!process || brood_process_join(process, LONG)) {
		complain("fork", -errno);
		return;
	}
	r = brood_process_exit_code(process, &code);
	if ((r || code != 7) && r != -ECHILD)
		complain("forked", r ? r : code);
	brood_process_free(process);
}

static void *fork_often(void *unused)
{
	while (!atomic_load_explicit(&over, memory_order_relaxed)) {
		fork_once();
		usleep(1000);
	}
	return unused;
}

/* Half of them without O_CLOEXEC. */
static void *pipe_often(void *unused)
{
	for (unsigned int i = 0; !atomic_load_explicit(&over, memory_order_relaxed); i++) {
		int fds[2];

		if (pipe2(fds, i & 1 ? 0 : O_CLOEXEC)) {
			complain("pipe2", -errno);
			break;
		}
		if (i % 16 == 0)
			usleep(50);
		close(fds[0]);
		close(fds[1]);
	}
	return unused;
}

/* ---- signals ---- */

static void on_child(int signal)
{
	int error = errno;

	(void)signal;
	if (syscall(SYS_getpid) != self)
		atomic_fetch_add_explicit(&strays, 1, memory_order_relaxed);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = error;
}

/*
 * A handler must never run in what shares our memory, though the signal is for the whole group: for
 * programs too, which ignore it.
 */
static void on_tick(int signal)
{
	(void)signal;
	atomic_fetch_add_explicit(syscall(SYS_getpid) == self ? &ticks : &strays, 1,
				  memory_order_relaxed);
}

static void *signal_group(void *unused)
{
	while (variant == TICKS && !atomic_load_explicit(&over, memory_order_relaxed)) {
		kill(0, SIGURG);
		usleep(50);
	}
	return unused;
}

static bool codes_are_kept(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 15));
}

static void set_signals(void)
{
	const struct sigaction child = { .sa_handler = on_child }, tick = { .sa_handler = on_tick };
	const struct itimerval often = { { 0, 200 }, { 0, 200 } };
	sigset_t set;

	codes_may_be_lost = (variant == IGNORED || variant == REAPED) && !codes_are_kept();
	if (variant == IGNORED)
		signal(SIGCHLD, SIG_IGN);
	if (variant == REAPED)
		sigaction(SIGCHLD, &child, NULL);
	if (variant == BLOCKED) {
		sigemptyset(&set);
		sigaddset(&set, SIGCHLD);
		sigprocmask(SIG_BLOCK, &set, NULL);
	}
	if (variant == TICKS) {
		setpgid(0, 0);
		sigaction(SIGURG, &tick, NULL);
		sigaction(SIGALRM, &tick, NULL);
		setitimer(ITIMER_REAL, &often, NULL);
	}
}

/* ---- all of it ---- */

static int count_fds(void)
{
	DIR *list = opendir("/proc/self/fd");
	int n = 0;

	while (list && readdir(list))
		n++;
	if (list)
		closedir(list);
	return n;
}

static bool has_children(void)
{
	return waitid(P_ALL, 0, &(siginfo_t){ 0 }, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/*
 * Those that were closed while they ran end by themselves, and the next start finds that they have
 * ended, also where the kernel has reaped them.
 */
static void settle(void)
{
	int64_t until = brood_now() + INT64_C(10000000000);
	bool children;

	do {
		children = has_children();
		brood_subprocess_run(HELPER("0"), NULL, NULL, LONG);
	} while (children && brood_now() < until);
	if (has_children())
		complain("a child is left", 0);
}

static void run_threads(void)
{
	static struct starter starters[THREADS_MAX];
	void *(*const others[])(void *) = { fork_often, pipe_often, pipe_often, signal_group };
	pthread_t thread[THREADS_MAX], other[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&other[i], NULL, others[i], NULL);
	for (unsigned int i = 0; i < threads; i++) {
		starters[i].number = i;
		pthread_create(&thread[i], NULL, start_many, &starters[i]);
	}
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	atomic_store_explicit(&over, true, memory_order_relaxed);
	for (int i = 0; i < 4; i++)
		pthread_join(other[i], NULL);
}

static int run_variant(void)
{
	int64_t begin = brood_now();
	int fds;

	alarm(variant == TICKS ? 0 : 300);
	self = getpid();
	fork_once(); /* what that opens once and for all is no leak */
	fds = count_fds();
	set_signals();
	run_threads();
	settle();
	if (count_fds() != fds)
		complain("descriptors more than before:", count_fds() - fds);
	if (atomic_load(&strays))
		complain("handlers that ran in a new process:", atomic_load(&strays));
	if (variant == TICKS && !atomic_load(&ticks))
		complain("no timer", 0);
	printf("%s: %u wrong, %u exit codes unknown, %lld ms\n", variants[variant],
	       atomic_load(&wrong), atomic_load(&lost), (long long)(brood_now() - begin) / 1000000);
	return atomic_load(&wrong) != 0;
}

static bool fork_variant(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* it may leave the group */
		_exit(run_variant());
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		printf("%s: status %d\n", variants[variant], status);
	return status == 0;
}

int main(int argc, char **argv)
{
	int first = 0, last = VARIANTS - 1;
	bool right = true;

	if (argc > 2 && strcmp(argv[1], "helper") == 0)
		return help(argv);
	if (argc > 1)
		threads = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		starts = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		first = last = atoi(argv[3]);
	if (threads == 0 || threads > THREADS_MAX || first < 0 || last >= VARIANTS)
		return 99;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int v = first; v <= last; v++) {
		variant = (enum variant)v;
		if (first == last)
			return run_variant();
		right = fork_variant() && right;
	}
	return !right;
}
