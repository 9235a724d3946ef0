/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is in the family, by name and state, killed or not; and how many CPUs there are. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "platform/children.h"
#include "test_process.h"

/* ---- the family ---- */

static bool find(pid_t pid, struct brood_family_member *out)
{
	static struct brood_family_member all[1100];
	size_t n = brood_family(all, 1100);

	for (size_t i = 0; i < n; i++)
		if (all[i].pid == pid) {
			*out = all[i];
			return true;
		}
	return false;
}

static void until_state(pid_t pid, uint32_t state)
{
	struct brood_family_member member;

	while (!find(pid, &member) || member.state != state)
		usleep(100);
}

START_TEST(main_process_is_listed)
{
	struct brood_family_member me;

	ck_assert(find(getpid(), &me));
	ck_assert_str_eq(me.name, "MainProcess");
	ck_assert_int_eq(me.creator, 0);
	ck_assert_uint_eq(me.state, BROOD_RUNNING);
	ck_assert_uint_eq(brood_family(NULL, 0), brood_family(&me, 1));
}
END_TEST

START_TEST(children_by_name)
{
	struct brood_process_opts opts = {
		.name = "a name that is longer than what a record holds",
		.method = (unsigned int)_i,
	};
	struct brood_process *child = brood_process_start_opts(sleep_for_ever, NULL, &opts);
	struct brood_family_member member;
	pid_t pid = brood_process_pid(child);

	until_state(pid, BROOD_RUNNING);
	ck_assert(find(pid, &member));
	ck_assert_int_eq(member.creator, getpid());
	ck_assert_uint_eq(strlen(member.name), BROOD_FAMILY_NAME - 1);
	ck_assert_int_eq(strncmp(member.name, opts.name, BROOD_FAMILY_NAME - 1), 0);
	kill_and_free(child);
	ck_assert(!find(pid, &member));
	brood_zygote_stop();
}
END_TEST

START_TEST(ended_until_it_is_reaped)
{
	struct brood_process *child = brood_process_start(sleep_for_ever, NULL);
	struct pollfd end = { .fd = brood_process_pidfd(child), .events = POLLIN };
	struct brood_family_member member;

	until_state(brood_process_pid(child), BROOD_RUNNING);
	brood_process_kill(child);
	ck_assert_int_eq(poll(&end, 1, -1), 1);
	ck_assert(find(brood_process_pid(child), &member));
	ck_assert_uint_eq(member.state, BROOD_ENDED);
	ck_assert_int_eq(brood_process_join(child, 0), 0);
	ck_assert(!find(brood_process_pid(child), &member));
	ck_assert_int_eq(ending_of(child), -SIGKILL);
}
END_TEST

static bool is_listed_as(const char *name, uint32_t state)
{
	static struct brood_family_member all[1100];
	size_t n = brood_family(all, 1100);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].name, name) && (!state || all[i].state == state))
			return true;
	return false;
}

static int start_one(void *unused)
{
	struct brood_process_opts opts = { .name = "held" };

	(void)unused;
	brood_process_start_opts(sleep_for_ever, NULL, &opts);
	return sleep_for_ever(NULL);
}

static pid_t held_pid(void)
{
	static struct brood_family_member all[1100];
	size_t n = brood_family(all, 1100);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].name, "held"))
			return all[i].pid;
	return 0;
}

/* A grandchild, and by all alike: the creator sees what its child's child sees. */
START_TEST(grandchildren_and_orphans)
{
	struct brood_process *child;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	child = brood_process_start(start_one, NULL);
	while (!is_listed_as("held", BROOD_RUNNING))
		usleep(100);
	kill_and_free(child);
	ck_assert(is_listed_as("held", BROOD_RUNNING)); /* it goes on */
	ck_assert_int_eq(kill(held_pid(), SIGKILL), 0);
	ck_assert_int_gt(waitpid(-1, NULL, 0), 0);
	ck_assert(!is_listed_as("held", 0)); /* nobody will ever reap it as its creator */
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}
END_TEST

static int look_for_sibling(void *pid)
{
	struct brood_family_member member;

	return find(*(pid_t *)pid, &member) && !strcmp(member.name, "sibling") ? 0 : 1;
}

START_TEST(siblings_see_each_other)
{
	struct brood_process_opts opts = { .name = "sibling" };
	struct brood_process *sibling = brood_process_start_opts(sleep_for_ever, NULL, &opts);
	pid_t pid = brood_process_pid(sibling);

	until_state(pid, BROOD_RUNNING);
	ck_assert_int_eq(exit_code_of(look_for_sibling, &pid), 0);
	kill_and_free(sibling);
}
END_TEST

/* A fork of the user's is listed when it asks, and only as itself. */
START_TEST(a_plain_fork)
{
	struct brood_family_member me;
	int status;
	pid_t pid;

	ck_assert(find(getpid(), &me));
	pid = fork();
	if (pid == 0)
		_exit(!(find(getpid(), &me) && me.pid == getpid() && find(getppid(), &me)));
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* The thread that the record hung on has ended; the process has not. */
static void *ask(void *unused)
{
	struct brood_family_member me;

	return find(getpid(), &me) ? NULL : unused;
}

static int ask_by_thread(void *unused)
{
	struct brood_family_member me;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, ask, unused);
		pthread_join(thread, NULL);
		_exit(!find(getpid(), &me) || me.state != BROOD_RUNNING);
	}
	waitpid(pid, &status, 0);
	return status != 0;
}

START_TEST(a_thread_that_was_listed_ends)
{
	ck_assert_int_eq(exit_code_of(ask_by_thread, NULL), 0);
}
END_TEST

/* Killed at any time, all around the table more than once: records are used again. */
START_TEST(records_are_used_again)
{
	for (int i = 0; i < 1500; i++) {
		struct brood_process *child = brood_process_start(sleep_for_ever, NULL);

		if (i % 3)
			sched_yield();
		brood_process_kill(child);
		brood_process_join(child, BROOD_FOREVER);
		brood_process_free(child);
	}
	ck_assert_uint_eq(brood_family(NULL, 0), 1);
}
END_TEST

static bool hold;

/* In the fork of the parent, before the child's gate is opened; a lost race would never end. */
static void until_starting(void)
{
	while (hold && !is_listed_as("starting", BROOD_STARTING))
		usleep(100);
	hold = false;
}

START_TEST(starting_before_its_function)
{
	struct brood_process_opts opts = { .name = "starting" };
	struct brood_process *child;

	hold = true;
	child = brood_process_start_opts(sleep_for_ever, NULL, &opts);
	until_state(brood_process_pid(child), BROOD_RUNNING);
	ck_assert(!hold);
	kill_and_free(child);
}
END_TEST

/* ---- CPUs ---- */

START_TEST(cpu_count_of_the_environment)
{
	unsigned int plain;

	unsetenv("BROOD_CPUS");
	plain = brood_cpu_count();
	ck_assert_uint_ge(plain, 1);
	setenv("BROOD_CPUS", "7", 1);
	ck_assert_uint_eq(brood_cpu_count(), 7);
	for (const char *const *wrong = (const char *const[]){ "0", "-1", "x", "2x", "",
							       "99999999999999999999", NULL };
	     *wrong; wrong++) {
		setenv("BROOD_CPUS", *wrong, 1);
		ck_assert_uint_eq(brood_cpu_count(), plain);
	}
	unsetenv("BROOD_CPUS");
}
END_TEST

START_TEST(cpu_count_of_the_affinity_mask)
{
	cpu_set_t before, one;
	size_t cpu = 0;

	ck_assert_uint_eq(brood_cpu_count_all(), (unsigned int)sysconf(_SC_NPROCESSORS_ONLN));
	sched_getaffinity(0, sizeof before, &before);
	while (!CPU_ISSET(cpu, &before))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof one, &one);
	ck_assert_uint_eq(brood_cpu_count(), 1);
	ck_assert_uint_eq(brood_cpu_count_all(), (unsigned int)sysconf(_SC_NPROCESSORS_ONLN));
	sched_setaffinity(0, sizeof before, &before);
}
END_TEST

static char root[] = "/tmp/brood-cgroup-XXXXXX";

static void put_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", root, name);
	for (char *slash = strchr(path + sizeof root, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static unsigned int quota(void)
{
	char path[256];

	snprintf(path, sizeof path, "%s/self", root);
	return brood__cpus_of_cgroups(path, root);
}

static void remove_all(void)
{
	char command[64];

	snprintf(command, sizeof command, "rm -r %s", root);
	ck_assert_int_eq(system(command), 0);
}

/* The groups' limits, of both versions, at each level; what is absent or "max" is none. */
START_TEST(cpu_count_of_cgroups)
{
	strcpy(root + sizeof root - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert_uint_eq(quota(), 0);
	put_file("self", "0::/a/b\n");
	ck_assert_uint_eq(quota(), 0);
	put_file("a/b/cpu.max", "max 100000\n");
	ck_assert_uint_eq(quota(), 0);
	put_file("a/b/cpu.max", "250000 100000\n");
	ck_assert_uint_eq(quota(), 3);
	put_file("a/cpu.max", "100001 100000\n");
	ck_assert_uint_eq(quota(), 2);
	put_file("cpu.max", "50000 100000\n");
	ck_assert_uint_eq(quota(), 1);
	put_file("self", "0::/\n");
	ck_assert_uint_eq(quota(), 1);
	put_file("self", "0::/gone/../x\n"); /* paths of the host's, in a container */
	ck_assert_uint_eq(quota(), 1);
	put_file("self", "5:cpuacct,cpu:/c\n4:cpuset:/d\n");
	ck_assert_uint_eq(quota(), 0);
	put_file("cpu/c/cpu.cfs_quota_us", "-1\n");
	put_file("cpu/c/cpu.cfs_period_us", "100000\n");
	ck_assert_uint_eq(quota(), 0);
	put_file("cpu/c/cpu.cfs_quota_us", "400000\n");
	ck_assert_uint_eq(quota(), 4);
	put_file("cpu/cpu.cfs_quota_us", "150000\n");
	put_file("cpu/cpu.cfs_period_us", "100000\n");
	ck_assert_uint_eq(quota(), 2);
	put_file("cpu/cpu.cfs_period_us", "0\n");
	ck_assert_uint_eq(quota(), 4);
	put_file("self", "nonsense\n::\n:cpu\n");
	ck_assert_uint_eq(quota(), 0);
	remove_all();
}
END_TEST

int main(void)
{
	TCase *tests = new_case("process_family", begin_test);

	pthread_atfork(NULL, until_starting, NULL);
	tcase_add_test(tests, main_process_is_listed);
	tcase_add_loop_test(tests, children_by_name, 0, 2);
	tcase_add_test(tests, ended_until_it_is_reaped);
	tcase_add_test(tests, grandchildren_and_orphans);
	tcase_add_test(tests, siblings_see_each_other);
	tcase_add_test(tests, a_plain_fork);
	tcase_add_test(tests, a_thread_that_was_listed_ends);
	tcase_add_test(tests, records_are_used_again);
	tcase_add_test(tests, starting_before_its_function);
	tcase_add_test(tests, cpu_count_of_the_environment);
	tcase_add_test(tests, cpu_count_of_the_affinity_mask);
	tcase_add_test(tests, cpu_count_of_cgroups);
	return run_cases("process_family", tests, NULL);
}
