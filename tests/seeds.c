/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The programs of examples/seeds, as a user sees them: each is run under a terminal and into a file, all
 * beside each other, and its lines, their order, its times and its exit status are compared with what the
 * same program shows in Python.
 *
 *	seeds FOLDER [NAME...]		the programs are in FOLDER; all, or those of these names
 *
 * A time may be off by LATE, and by twice as much as a process that does nothing but start others and
 * sleep saw itself late meanwhile: a machine with other work to do.
 *
 * Lines are told by patterns of fnmatch(3). Into a file only the set of lines is fixed, unless all have
 * their place: what a program writes through a buffer comes later than it was said.
 */
#include <errno.h>
#include <fnmatch.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define LINES 200
#define WIDTH 200
#define LATE 0.15	/* seconds */
#define START_APART_US 40000	/* between two programs: who starts 50 at once measures that */

struct line {
	double at;
	char text[WIDTH];
};

struct run {
	const struct program *program;
	bool terminal;
	struct line lines[LINES];
	int n;
	int status;
	double took;
};

struct program {
	const char *name;
	const char *lines[16];		/* "N pattern": so many lines, "-N pattern": at most */
	bool total;			/* the lines come in this order */
	const char *order[12][2];	/* all lines of the one before any of the other */
	struct {
		const char *pattern;
		int which;		/* of those that match, from 0 */
		double at;
	} times[6];
	double least, most;		/* seconds from start to end */
	bool (*check)(const struct run *run);
	const char *needs;		/* a program that may be missing: then it is skipped */
};

static double *worst;	/* lateness of the machine, seconds */

/* ---- asking ---- */

static bool wrong(const struct run *run, const char *what, const char *which)
{
	printf("%s, %s: %s: %s\n", run->program->name, run->terminal ? "terminal" : "file", what, which);
	for (int i = 0; i < run->n; i++)
		printf("\t%7.3f %s\n", run->lines[i].at, run->lines[i].text);
	printf("\t%7.3f end, status %d\n", run->took, run->status);
	return false;
}

static bool is(const struct line *line, const char *pattern)
{
	return fnmatch(pattern, line->text, 0) == 0;
}

/* The index of the match of this number, from 0; -1. */
static int find(const struct run *run, const char *pattern, int which)
{
	for (int i = 0; i < run->n; i++)
		if (is(&run->lines[i], pattern) && which-- == 0)
			return i;
	return -1;
}

static int count(const struct run *run, const char *pattern)
{
	int n = 0;

	for (int i = 0; i < run->n; i++)
		n += is(&run->lines[i], pattern);
	return n;
}

static int last(const struct run *run, const char *pattern)
{
	return find(run, pattern, count(run, pattern) - 1);
}

/* The number in the line behind this text. */
static int number(const struct run *run, int line, const char *behind)
{
	const char *at = line < 0 ? NULL : strstr(run->lines[line].text, behind);

	return at ? atoi(at + strlen(behind)) : -1;
}

/* ---- what single programs promise besides ---- */

static bool check_fork(const struct run *run)
{
	int first = find(run, "Process (*", 0), child = find(run, "I am child*", 0),
	    parent = find(run, "I (*", 0);

	if (number(run, first, "(") != number(run, child, "parent is ") ||
	    number(run, child, "(") != number(run, parent, "process (") ||
	    number(run, first, "(") != number(run, parent, "I ("))
		return wrong(run, "pids", "do not fit");
	return true;
}

static bool check_ppid(const struct run *run)
{
	if (number(run, find(run, "Parent*", 0), "process ") !=
	    number(run, find(run, "Run*", 0), "process is ("))
		return wrong(run, "pids", "do not fit");
	return true;
}

/* Never more than so many opened and not closed; a line opens or closes by its pattern. */
static bool at_most(const struct run *run, int most, const char *opens, const char *closes)
{
	int open = 0;

	for (int i = 0; i < run->n; i++) {
		open += is(&run->lines[i], opens);
		open -= is(&run->lines[i], closes);
		if (run->terminal && open > most)
			return wrong(run, "too many at once", opens);
	}
	return true;
}

static bool check_pool(const struct run *run)
{
	int fifth = find(run, "Run task 4*", 0), before = -1;
	double longest = 0, shortest = 9;

	for (int k = 0; k < 4; k++) {
		char pattern[40];
		int start, end;
		double took;

		snprintf(pattern, sizeof pattern, "Run task %d *", k);
		start = find(run, pattern, 0);
		snprintf(pattern, sizeof pattern, "Task %d runs*", k);
		end = find(run, pattern, 0);
		if (end < start && run->terminal)
			return wrong(run, "ends before it starts", pattern);
		took = atof(run->lines[end].text + strlen("Task 0 runs "));
		longest = took > longest ? took : longest;
		shortest = took < shortest ? took : shortest;
		if (end < fifth && number(run, start, "(") == number(run, fifth, "("))
			before = end;
	}
	if (longest - shortest < 0.01)
		return wrong(run, "sleeps", "are all the same");
	if (run->terminal && before < 0)
		return wrong(run, "task 4", "is not in the process of one that had ended");
	return at_most(run, 4, "Run task*", "Task * runs*");
}

static bool check_file(const struct run *run)
{
	int with = find(run, "Lockd*", 0), direct = find(run, "Lock acquired*", 0);

	for (int i = 1; i < 9; i++)
		if (find(run, "Lockd*", i) != with + i || find(run, "Lock acquired*", i) != direct + i)
			return wrong(run, "blocks", "are mixed");
	return true;
}

static bool check_semaphore(const struct run *run)
{
	for (int i = 1; i <= 5; i++) {
		char acquire[40], release[40];

		snprintf(acquire, sizeof acquire, "Process-%dacquire", i);
		snprintf(release, sizeof release, "Process-%drelease", i);
		if (run->terminal && find(run, acquire, 0) > find(run, release, 0))
			return wrong(run, "released before", acquire);
	}
	return at_most(run, 2, "*acquire", "*release");
}

/* A worker that has a task of its own may come to a second one only when it has ended the first: a sleep
 * can be short. */
static bool check_35(const struct run *run)
{
	int pids[35];

	for (int i = 0; i < 35; i++) {
		int line = find(run, "跑任務*", i);

		pids[i] = number(run, line, "(");
		for (int k = 0; k < i; k++) {
			char ended[40];

			snprintf(ended, sizeof ended, "任務 %d 跑了*",
				 number(run, find(run, "跑任務*", k), "跑任務 "));
			if (pids[k] == pids[i] && find(run, ended, 0) > line)
				return wrong(run, "two tasks at once", "in one process");
		}
		if (run->terminal && run->lines[line].at - run->lines[find(run, "跑任務*", 0)].at >
					     0.3 + 2 * *worst)
			return wrong(run, "35 at once", "is late");
	}
	return true;
}

/* The reader is terminated when the writer has ended, which may be at once after its last put. */
static bool check_queue(const struct run *run)
{
	int put = find(run, "Put C*", 0), end = find(run, "#*", 0);

	return !run->terminal || find(run, "Get C*", 0) >= 0 ||
	       run->lines[end].at - run->lines[put].at < 0.01 + 2 * *worst ||
	       wrong(run, "Get C", "is missing");
}

static bool check_variants(const struct run *run)
{
	int line = find(run, "distinct*", 0);

	if (number(run, line, "=50: ") < 20 || number(run, line, "=50: ") > 25 ||
	    number(run, line, "one worker: ") > 50)
		return wrong(run, "workers", "live too long");
	return true;
}

/* It says False where the machine was late by half a second. */
static bool check_blocked(const struct run *run)
{
	if (*worst < LATE && count(run, "*: True") != 1)
		return wrong(run, "blocked about 1 s", "is not true");
	return true;
}

static bool check_cpus(const struct run *run)
{
	return strcmp(run->lines[0].text, run->lines[1].text) == 0 ||
	       wrong(run, "two numbers", "differ");
}

/* ---- the table ---- */

#define WRITER_READER(put, got) { put " A *", got " A *" }, { put " B *", got " B *" }, \
				{ put " C *", got " C *" }, { put " A *", put " B *" }, \
				{ put " B *", put " C *" }, { got " A *", got " B *" }, \
				{ got " B *", got " C *" }

#define DATE "Thu, 01 Jan 1970 00:00:00 +0000"

static const struct program programs[] = {
	{
		.name = "s0_01_fork", .most = 0.2, .check = check_fork,
		.lines = { "1 Process (*) start...", "1 I am child process (*) and my parent is *.",
			   "1 I (*) just created a child process (*)." },
		.order = { { "Process*", "I *" } },
	}, {
		.name = "s0_02_process", .most = 0.2, .total = true,
		.lines = { "1 Parent process *.", "1 Child process will start.",
			   "1 Run child process test (*)...", "1 Child process end." },
	}, {
		.name = "s1_01_process_ppid", .most = 0.2, .total = true, .check = check_ppid,
		.lines = { "1 Parent process *.", "1 Child process will start.",
			   "1 Run child process test (*) and parent process is (*).",
			   "1 Child process end." },
	}, {
		.name = "s4_03_process", .most = 0.2, .total = true,
		.lines = { "1 主程序 *", "1 子程序將要開始", "1 跑子程序 print123 pid 是: *", "1 1", "1 2",
			   "1 3", "1 子程序結束" },
	}, {
		.name = "s0_03_pool", .most = 6.2, .check = check_pool,
		.lines = { "1 Parent process *.", "1 Waiting for all subprocesses done...",
			   "5 Run task [0-4] (*)...", "5 Task [0-4] runs *.?? seconds.",
			   "1 All subprocesses done." },
		.order = { { "Parent*", "[!P]*" }, { "[!A]*", "All*" } },
	}, {
		.name = "s0_09_queue", .most = 3.2, .check = check_queue,
		.lines = { "1 Process to write: *", "1 Process to read: *", "3 Put [ABC] to queue...",
			   "2 Get [AB] from queue.", "-1 Get C from queue.",
			   "1 # added: writer exitcode 0 reader exitcode -15" },
		.order = { WRITER_READER("Put", "Get"), { "[!#]*", "#*" } },
	}, {
		.name = "s4_09_queue", .least = 3, .most = 3.15,
		.lines = { "1 * 子程序寫入", "1 * 子程序讀取", "3 放 [ABC] 到 queue...",
			   "3 拿到 [ABC] 來自 queue." },
		.order = { WRITER_READER("放", "拿到") },
	}, {
		.name = "s3_01_pid_name_alive", .least = 15, .most = 15.15,
		.lines = { "1 p.pid: *", "1 p.name: Process-1", "1 p.is_alive: True", "5 The time is *" },
		.order = { { "p.pid*", "p.name*" }, { "p.name*", "p.is_alive*" } },
		.times = { { "The*", 0, 0 }, { "The*", 1, 3 }, { "The*", 2, 6 }, { "The*", 3, 9 },
			   { "The*", 4, 12 } },
	}, {
		.name = "s3_02_active_children", .least = 4, .most = 4.15,
		.lines = { "3 worker_[123]", "3 end worker_[123]", "1 The number of CPU is:*",
			   "1 child   p.name:Process-1\tp.id*", "1 child   p.name:Process-2\tp.id*",
			   "1 child   p.name:Process-3\tp.id*", "1 END!!!!!!!!!!!!!!!!!" },
		.order = { { "The*", "child*" }, { "child*", "END*" }, { "worker_1", "end worker_1" },
			   { "worker_2", "end worker_2" }, { "worker_3", "end worker_3" } },
		.times = { { "end worker_1", 0, 2 }, { "end worker_2", 0, 3 }, { "end worker_3", 0, 4 } },
	}, {
		.name = "s3_03_subclass_run", .least = 15, .most = 15.15,
		.lines = { "5 the time is *" },
		.times = { { "the*", 0, 0 }, { "the*", 1, 3 }, { "the*", 2, 6 }, { "the*", 3, 9 },
			   { "the*", 4, 12 } },
	}, {
		.name = "s3_04_nodaemon", .least = 3, .most = 3.15,
		.lines = { "1 work start:*", "1 work end:*", "1 end!" },
		.order = { { "work start*", "work end*" } },
		.times = { { "end!", 0, 0 }, { "work end*", 0, 3 } },
	}, {
		.name = "s3_05_daemon", .most = 0.15,
		.lines = { "-1 work start:*", "1 end!" },
	}, {
		.name = "s3_06_daemon_join", .least = 3, .most = 3.15, .total = true,
		.lines = { "1 work start:*", "1 work end:*", "1 end!" },
	}, {
		.name = "s3_07_lock_file", .most = 0.3, .check = check_file,
		.lines = { "1 end", "1 # added: file.txt holds", "9 Lockd acquired via with",
			   "9 Lock acquired directly" },
		.order = { { "#*", "Lock*" } },
	}, {
		.name = "s3_08_semaphore", .least = 9.85, .most = 14.15, .check = check_semaphore,
		.lines = { "5 Process-[1-5]acquire", "5 Process-[1-5]release", "5 " },
	}, {
		.name = "s3_09_event", .least = 3, .most = 3.15,
		.lines = { "1 wait_for_event: starting", "1 wait_for_event_timeout:starting",
			   "1 wait_for_event_timeout:e.is_set->False",
			   "1 wairt_for_event: e.is_set()->True", "1 main: event is set" },
		.order = { { "*starting", "*is_set*" } },
		.times = { { "*False", 0, 2 }, { "*True", 0, 3 } },
	}, {
		.name = "s3_10_queue_nonblock", .most = 0.3,
		.lines = { "-1 1" },
	}, {
		.name = "s3_11_pipe", .least = 4, .most = 4.15,
		.lines = { "1 send: 0", "1 send: 1", "1 send: 2", "1 send: 3", "1 proc2 rev: 0",
			   "1 proc2 rev: 1", "1 proc2 rev: 2", "1 proc2 rev: 3" },
		.order = { { "send: 0", "*rev: 0" }, { "send: 1", "*rev: 1" }, { "send: 2", "*rev: 2" },
			   { "send: 3", "*rev: 3" } },
		.times = { { "send*", 1, 1 }, { "send*", 2, 2 }, { "send*", 3, 3 }, { "*rev*", 3, 3 } },
	}, {
		.name = "s3_12_pool_apply_async", .least = 6, .most = 6.15,
		.lines = { "1 Mark~ Mark~ Mark*", "4 msg: hello [0-3]", "4 end",
			   "1 Sub-process(es) done." },
		.order = { { "Mark*", "end" }, { "msg: hello [012]", "end" }, { "end", "Sub*" } },
		.times = { { "msg: hello 3", 0, 3 } },
	}, {
		.name = "s3_13_pool_apply", .least = 9, .most = 9.15, .total = true,
		.lines = { "1 msg: hello 0", "1 end", "1 msg: hello 1", "1 end", "1 msg: hello 2", "1 end",
			   "1 Mark~ Mark~ Mark*", "1 Sub-process(es) done." },
	}, {
		.name = "s3_14_pool_results", .least = 3, .most = 3.15,
		.lines = { "3 msg: hello [0-2]", "3 end", "1 ::: donehello 0", "1 ::: donehello 1",
			   "1 ::: donehello 2", "1 Sub-process(es) done." },
		.order = { { "msg*", "end" }, { "end", ":::*" }, { "::: *0", "::: *1" },
			   { "::: *1", "::: *2" }, { ":::*", "Sub*" } },
	}, {
		.name = "s3_15_pool_four_functions", .most = 4.2,
		.lines = { "1 parent process *", "1 Waiting for all subprocesses done...", "4 ",
			   "1 Run task Lee-*", "1 Run task Marlon-*", "1 Run task Allen-*",
			   "1 Run task Frank-*", "1 Task Lee, runs *", "1 Task Marlon runs *",
			   "1 Task Allen runs *", "1 Task Frank runs *", "1 All subprocesses done." },
		.order = { { "parent*", "[!p]*" }, { "Run task Lee*", "Task Lee*" },
			   { "Run task Marlon*", "Task Marlon*" }, { "Run task Allen*", "Task Allen*" },
			   { "Run task Frank*", "Task Frank*" }, { "[!A]*", "All*" } },
	}, {
		.name = "s4_01_fork_sleep5", .least = 5, .most = 5.15,
		.lines = { "1 程序 (*) 開始...", "1 開始呼叫*", "1 ======================", "2 呼叫 os.fork()*",
			   "1 pid == 0*", "1 子程序說話*", "1 pid != 0*", "1 原本程序說話*",
			   "1 ======父程序睡五秒=======", "2 ========最後一行*" },
		.order = { { "程序*", "開始*" }, { "開始*", "======================" },
			   { "======================", "呼叫*" }, { "pid == 0*", "子程序*" },
			   { "pid != 0*", "原本*" } },
		.times = { { "========最後一行*", 0, 0 }, { "========最後一行*", 1, 5 } },
	}, {
		.name = "s4_02_fork_sleep20", .least = 2, .most = 2.15,
		.lines = { "1 程序 (*) 開始...", "1 pid == 0*", "1 子程序說話*", "1 pid != 0*",
			   "1 原本程序說話*", "2 ========最後一行*" },
		.order = { { "程序*", "[p子原=]*" } },
		.times = { { "pid == 0*", 0, 2 }, { "pid != 0*", 0, 2 } },
	}, {
		.name = "s4_04_pool35", .most = 3.5, .check = check_35,
		.lines = { "1 主程序開始 *.", "1 apply_async() *", "35 跑任務 * (*)...", "35 任務 * 跑了 *.?? 秒",
			   "1 所有子程序結束。" },
		.order = { { "主程序*", "跑任務*" }, { "任務*", "所有*" } },
	}, {
		.name = "s4_05_join_without_close", .most = 0.3, .total = true,
		.lines = { "1 ValueError: Pool is still running", "1 ValueError: Pool not running",
			   "1 joined" },
	}, {
		.name = "s4_07_pool_variants", .most = 3, .total = true, .check = check_variants,
		.lines = { "1 阻塞", "1 \\[1, 4, 9, 16, 25\\]", "1 不阻塞", "1 \\[1, 4, 9, 16, 25\\]",
			   "1 \\[3, 7, 11\\]", "1 \\[1, 4, 9, 16, 25\\]", "1 callback \\[1, 4, 9, 16, 25\\]",
			   "1 \\[1, 4, 9, 16, 25\\]",
			   "1 distinct workers for 1000 tasks of chunk 1, maxtasksperchild=50: *" },
	}, {
		.name = "s0_04_check_output", .most = 0.3, .total = true,
		.lines = { "1 bytes", "1 total [0-9]*", "1 -rw* 1600 * a.txt", "1 " },
	}, {
		.name = "s0_05_popen_basics", .least = 2, .most = 2.15, .total = true,
		.check = check_blocked,
		.lines = { "1 wrong form: FileNotFoundError 2 sleep 1",
			   "1 pid is int > 0: True poll at once: None returncode: None",
			   "1 wait: 0 poll after: 0", "1 communicate: (b'12\\\\n', b'')",
			   "1 test: b'a.txt'", "1 test: b'b.txt'", "1 wait: 0", "1 b'abc\\\\n'",
			   "1 blocked about 1 s: [TF]*" },
		.times = { { "pid is*", 0, 0 }, { "wait: 0 poll*", 0, 1 }, { "wait: 0", 0, 1 },
			   { "b'abc*", 0, 2 } },
	}, {
		.name = "s0_06_communicate_nslookup", .most = 0.3, .total = true,
		.lines = { "1 $ nslookup", "1 Server:\t\t192.0.2.53", "1 python.org\tmail exchanger*",
			   "1 ", "1 Server:\t\t192.0.2.53", "1 python.org\tmail exchanger*", "1 ",
			   "1 Exit code: 0", "1 $ nslookup www.python.org", "1 Name:\twww.python.org",
			   "1 Address: 192.0.2.1", "1 Exit code: 0" },
	}, {
		.name = "s0_07_call", .most = 0.3, .total = true,
		.lines = { "1 total 240", "1 line two", "1 errno: 0", "1 errno of exit 3: 3",
			   "1 errno of kill -9: -9" },
	}, {
		.name = "s0_08_run", .most = 0.3, .total = true,
		.lines = { "1 /dev/null", "1 CompletedProcess(args=\\['ls', '/dev/null'\\], returncode=0)",
			   "1 CompletedProcess(args=\\['ls', '/dev/null'\\], returncode=0,"
			   " stdout=b'/dev/null\\\\n')",
			   "1 b'/dev/null\\\\n'", "1 CompletedProcess(args='exit 1', returncode=1)",
			   "1 CalledProcessError: Command 'exit 1' returned non-zero exit status 1."
			   " | cmd 'exit 1' returncode 1 output None" },
	}, {
		.name = "s4_06_cpu_count", .most = 0.2, .check = check_cpus,
		.lines = { "2 [1-9]*" },
	}, {
		.name = "s4_08_popen_date", .most = 0.3, .total = true,
		.lines = { "1 $ date -R", "1 b'" DATE "\\\\n'", "1 " DATE, "1 ", "1 Exit code: 0",
			   "1 output.txt: '" DATE "\\\\n'",
			   "1 CompletedProcess(args=\\['date', '-u', '-R', '-d', '@0'\\],"
			   " returncode=0, stdout=b'" DATE "\\\\n')",
			   "1 ------", "1 b'" DATE "\\\\n'", "1 ------", "1 " DATE, "1 ",
			   "1 b'" DATE "\\\\n'", "1 " DATE, "1 " },
	}, {
		.name = "s4_10_call_curl", .most = 0.5, .total = true, .needs = "curl",
		.lines = { "1 $ curl", "1 Exit code: 7" },
	},
};

/* ---- judging ---- */

static bool check_lines(const struct run *run)
{
	int seen = 0;

	for (const char *const *rule = run->program->lines; *rule; rule++) {
		int wanted = atoi(*rule), there = 0;
		const char *pattern = strchr(*rule, ' ') + 1;

		for (const char *const *other = run->program->lines; *other; other++)
			if (strcmp(strchr(*other, ' ') + 1, pattern) == 0 && other != rule)
				wanted += atoi(*other);		/* the same line several times */
		there = count(run, pattern);
		if (wanted < 0 ? there > -wanted : there != wanted)
			return wrong(run, "not so many lines", *rule);
	}
	for (int i = 0; i < run->n; i++)
		for (const char *const *rule = run->program->lines; *rule; rule++)
			if (is(&run->lines[i], strchr(*rule, ' ') + 1)) {
				seen++;
				break;
			}
	return seen == run->n || wrong(run, "lines", "that belong to nothing");
}

static bool check_order(const struct run *run)
{
	const struct program *program = run->program;

	for (int i = 0; program->total && program->lines[i]; i++)
		if (!is(&run->lines[i], strchr(program->lines[i], ' ') + 1))
			return wrong(run, "out of order", program->lines[i]);
	for (int i = 0; program->order[i][0]; i++)
		if (last(run, program->order[i][0]) >= find(run, program->order[i][1], 0) &&
		    find(run, program->order[i][1], 0) >= 0)
			return wrong(run, program->order[i][0], "is not before the other");
	return true;
}

static bool check_times(const struct run *run)
{
	const struct program *program = run->program;

	for (int i = 0; program->times[i].pattern; i++) {
		int line = find(run, program->times[i].pattern, program->times[i].which);
		double off = line < 0 ? 99 : run->lines[line].at - program->times[i].at;

		if (off < -0.01 || off > LATE + 2 * *worst)
			return wrong(run, "not at its time", program->times[i].pattern);
	}
	/* `most` has LATE in it. */
	if (run->took < program->least - 0.01 || run->took > program->most + 2 * *worst)
		return wrong(run, "time", "of the whole");
	return true;
}

static bool judge(const struct run *run)
{
	if (run->status)
		return wrong(run, "status", "not 0");
	return check_lines(run) &&
	       ((!run->terminal && !run->program->total) || check_order(run)) &&
	       (!run->terminal || check_times(run)) &&
	       (!run->program->check || run->program->check(run));
}

/* ---- running ---- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static _Noreturn void become(const char *folder, const char *name, int out)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	if (dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(98);
	setenv("no_proxy", "127.0.0.1", 1);	/* of curl */
	execl(path, name, (char *)NULL);
	_exit(99);
}

/* How late one comes here to a child's end and out of a sleep. Dies with its parent's SIGKILL. */
static _Noreturn void watch_the_machine(void)
{
	for (;;) {
		double start = now(), off;
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		usleep(10000);
		off = now() - start - 0.010;
		if (off > *worst)
			*worst = off;
	}
}

/* Whole lines; a terminal ends them by two characters. */
static void read_lines(struct run *run, FILE *stream, double start)
{
	while (run->n < LINES && fgets(run->lines[run->n].text, WIDTH, stream)) {
		run->lines[run->n].at = now() - start;
		run->lines[run->n].text[strcspn(run->lines[run->n].text, "\r\n")] = 0;
		run->n++;
	}
}

static void end(struct run *run, pid_t pid, double start)
{
	int status;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	run->took = now() - start;
	run->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* The end of the program is seen by the terminal's end of file: nobody has it open any more. */
static bool run_under_terminal(struct run *run, const char *folder)
{
	int ours, theirs;
	double start = now();
	FILE *stream;
	pid_t pid;

	if (openpty(&ours, &theirs, NULL, NULL, NULL))
		return false;
	pid = fork();
	if (pid == 0) {
		close(ours);
		become(folder, run->program->name, theirs);
	}
	close(theirs);
	stream = pid < 0 ? NULL : fdopen(ours, "r");
	if (!stream)
		return false;
	read_lines(run, stream, start);
	end(run, pid, start);
	fclose(stream);
	return true;
}

static bool run_into_file(struct run *run, const char *folder)
{
	FILE *file = tmpfile();
	double start = now();
	pid_t pid;

	if (!file)
		return false;
	pid = fork();
	if (pid == 0)
		become(folder, run->program->name, fileno(file));
	if (pid < 0)
		return false;
	end(run, pid, start);
	rewind(file);
	read_lines(run, file, start);
	fclose(file);
	return true;
}

/* In a process of its own: the exit status tells. */
static _Noreturn void run_one(const struct program *program, bool terminal, const char *folder)
{
	static struct run run;

	run.program = program;
	run.terminal = terminal;
	if (!(terminal ? run_under_terminal(&run, folder) : run_into_file(&run, folder))) {
		perror(program->name);
		_exit(1);
	}
	terminal = judge(&run);
	fflush(stdout);
	_exit(!terminal);
}

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (strncmp(name, *names, strlen(*names)) == 0)
			return true;
	return false;
}

static bool is_missing(const char *needed)
{
	char command[100];

	snprintf(command, sizeof command, "command -v %s >/dev/null", needed);
	return system(command) != 0;
}

static bool is_skipped(const struct program *program, bool terminal)
{
	if (!program->needs || !is_missing(program->needs))
		return false;
	printf("SKIP: %s, %s: %s is missing\n", program->name, terminal ? "terminal" : "file",
	       program->needs);
	fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	const int n = (int)(sizeof programs / sizeof *programs);
	int runs = 0, failures = 0, status;
	pid_t watch, ended;

	if (argc < 2) {
		fprintf(stderr, "usage: %s FOLDER [NAME...]\n", argv[0]);
		return 2;
	}
	worst = mmap(NULL, sizeof *worst, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (worst == MAP_FAILED)
		return 1;
	watch = fork();
	if (watch == 0)
		watch_the_machine();
	for (int i = 0; i < 2 * n; i++) {
		if (!wanted(programs[i / 2].name, argv + 2) || is_skipped(&programs[i / 2], i % 2))
			continue;
		usleep(START_APART_US);
		switch (fork()) {
		case -1:
			perror("fork");
			return 1;
		case 0:
			run_one(&programs[i / 2], i % 2, argv[1]);
		default:
			runs++;
		}
	}
	for (int left = runs; left && (ended = wait(&status)) > 0; left--)
		failures += ended == watch || status != 0;
	kill(watch, SIGKILL);
	waitpid(watch, &status, 0);
	printf("%d runs, %d failures; the machine was late by up to %.3f s\n", runs, failures,
	       *worst);
	return failures || !runs;
}
