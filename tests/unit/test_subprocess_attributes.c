/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a program sees of the options that are no streams: each alone, and all at once. Nothing of
 * it may stay with the caller, whose memory the new process shares until the exec.
 */
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include "test_subprocess.h"

/* ---- what the caller is ---- */

struct self {
	uid_t users[3];
	gid_t groups[3], more[64];
	int groups_count, nice, dumpable, parent_signal;
	pid_t group, session;
	mode_t umask;
	cpu_set_t cpus;
	sigset_t mask;
	struct rlimit files;
	char cwd[200];
};

static struct self self_before;

static void look_at_self(struct self *self)
{
	memset(self, 0, sizeof(*self));
	getresuid(&self->users[0], &self->users[1], &self->users[2]);
	getresgid(&self->groups[0], &self->groups[1], &self->groups[2]);
	self->groups_count = getgroups(64, self->more);
	self->nice = getpriority(PRIO_PROCESS, 0);
	self->dumpable = prctl(PR_GET_DUMPABLE);
	prctl(PR_GET_PDEATHSIG, &self->parent_signal);
	self->group = getpgrp();
	self->session = getsid(0);
	self->umask = umask(022);
	umask(self->umask);
	sched_getaffinity(0, sizeof(self->cpus), &self->cpus);
	sigprocmask(SIG_BLOCK, NULL, &self->mask);
	getrlimit(RLIMIT_NOFILE, &self->files);
	ck_assert_ptr_nonnull(getcwd(self->cwd, sizeof(self->cwd)));
}

static void begin(void)
{
	look_at_self(&self_before);
}

static void end(void)
{
	struct self now;

	look_at_self(&now);
	ck_assert_int_eq(now.dumpable, self_before.dumpable);
	ck_assert_str_eq(now.cwd, self_before.cwd);
	ck_assert_uint_eq(now.umask, self_before.umask);
	ck_assert_int_eq(now.nice, self_before.nice);
	ck_assert(memcmp(&now, &self_before, sizeof(now)) == 0);
}

/* ---- each alone ---- */

#define FIELD(name) "sed -n 's/^" name ":[[:space:]]*//p' /proc/self/status"

START_TEST(umask_of_it)
{
	says(SH("umask"), OPTS(.umask = &(mode_t){ 0 }), "0000\n");
	says(SH("umask"), OPTS(.umask = &(mode_t){ 0777 }), "0777\n");
	umask(031);
	says(SH("umask"), NULL, "0031\n");
	umask(self_before.umask);
}
END_TEST

START_TEST(nice_of_it)
{
	char text[20];

	for (int more = 0; more < 25; more += 6) {
		int wanted = self_before.nice + more;

		snprintf(text, sizeof(text), "%d\n", wanted > 19 ? 19 : wanted);
		says(BROOD_ARGS("nice"), OPTS(.nice = more), text);
	}
	if (geteuid() == 0 && self_before.nice > -20) {
		snprintf(text, sizeof(text), "%d\n", self_before.nice - 1);
		says(BROOD_ARGS("nice"), OPTS(.nice = -1), text);
	}
}
END_TEST

START_TEST(cpus_of_it)
{
	unsigned int all[1024], count = 0;
	char text[20];

	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &self_before.cpus))
			continue;
		all[count++] = cpu;
		snprintf(text, sizeof(text), "%u\n", cpu);
		says(SH(FIELD("Cpus_allowed_list")), OPTS(.cpus = &cpu, .cpus_count = 1), text);
	}
	snprintf(text, sizeof(text), "%u\n", count);
	says(BROOD_ARGS("nproc"), OPTS(.cpus = all, .cpus_count = count), text);
}
END_TEST

START_TEST(limits_of_it)
{
	static const struct brood_limit limits[] = { { RLIMIT_NOFILE, { 50, 60 } },
						     { RLIMIT_FSIZE, { 1024, 2048 } },
						     { RLIMIT_CORE, { 0, 0 } },
						     { RLIMIT_NOFILE, { 40, 60 } },
						     { RLIMIT_CPU, { 7, 8 } } };

	says(SH("ulimit -Sn; ulimit -Hn; ulimit -Sf; ulimit -Hf; ulimit -c; ulimit -St"),
	     OPTS(.limits = limits, .limits_count = 5), "40\n60\n2\n4\n0\n7\n");
}
END_TEST

START_TEST(session_and_group_of_it)
{
	struct brood_subprocess *leader =
		opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .own_group = true));
	pid_t group = brood_subprocess_pid(leader);
	char text[80];

	ck_assert_int_eq(getpgid(group), group);
	ck_assert_int_eq(getsid(group), self_before.session);
	snprintf(text, sizeof(text), "%d %d\n", group, self_before.session);
	says(SH("cut -d' ' -f5,6 /proc/self/stat"), OPTS(.join_group = group), text);
	snprintf(text, sizeof(text), "%d %d\n", self_before.group, self_before.session);
	says(SH("cut -d' ' -f5,6 /proc/self/stat"), NULL, text);
	brood_subprocess_close_stream(leader, BROOD_STDIN);
	ends(leader, 0);
	leader =
		opened(BROOD_ARGS("cat"), OPTS(.in = PIPE, .new_session = true, .own_group = true));
	group = brood_subprocess_pid(leader);
	ck_assert_int_eq(getsid(group), group);
	ck_assert_int_eq(getpgid(group), group);
	brood_subprocess_close_stream(leader, BROOD_STDIN);
	ends(leader, 0);
}
END_TEST

/* ---- ids ---- */

#define IDS "for i in Uid Gid Groups; do sed -n \"s/^$i:[[:space:]]*//p\" /proc/self/status; done"

static const uid_t nobody = 65534;
static const gid_t nogroup = 65533;
static const gid_t many_groups[] = { 5, 1000, 70000 };

static const struct {
	struct brood_subprocess_opts opts;
	const char *text;
} ids[] = {
	{ { .user = &nobody, .group = &nogroup, .groups = many_groups },
	  "65534\t65534\t65534\t65534\n65533\t65533\t65533\t65533\n\n" },
	{ { .user = &nobody, .groups = many_groups, .groups_count = 3 },
	  "65534\t65534\t65534\t65534\n0\t0\t0\t0\n5 1000 70000 \n" },
	{ { .group = &nogroup, .groups = many_groups, .groups_count = 1 },
	  "0\t0\t0\t0\n65533\t65533\t65533\t65533\n5 \n" },
};

START_TEST(ids_of_it)
{
	if (geteuid()) {
		skipped("ids of programs: only root may set them");
		return;
	}
	ck_assert_int_eq(setgroups(2, (gid_t[]){ 4, 6 }), 0); /* to be lost */
	says(SH(IDS), &ids[_i].opts, ids[_i].text);
	setgroups((size_t)self_before.groups_count, self_before.more);
}
END_TEST

/* Its own ids, given by number, need no right; saved ones are set too. */
START_TEST(own_ids)
{
	uid_t user = geteuid();
	gid_t group = getegid();
	char text[80];

	snprintf(text, sizeof(text), "%u\n%u\n", user, group);
	says(SH("id -u; id -g"), OPTS(.user = &user, .group = &group), text);
}
END_TEST

static void *start_as_nobody(void *unused)
{
	says(SH("id -u; id -g"), OPTS(.user = &nobody, .group = &nogroup), "65534\n65533\n");
	return unused;
}

/* A call of the C library would have set the ids of all threads. */
START_TEST(ids_of_other_threads_stay)
{
	pthread_t threads[3];

	if (geteuid()) {
		skipped("ids of programs: only root may set them");
		return;
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, start_as_nobody, NULL), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(geteuid(), 0);
}
END_TEST

/* ---- all at once ---- */

/* Its terminal: none; who it is to the caller; a descriptor that was passed. */
#define TAIL                                                                  \
	"cut -d' ' -f7 /proc/$$/stat; [ -e /proc/$$/fd/60 ] && echo passed; " \
	"[ \"$(cut -d' ' -f5,6 /proc/$$/stat)\" = \"$$ $$\" ] && echo yes"

static const struct brood_limit files = { RLIMIT_NOFILE, { 77, 88 } };

START_TEST(all_options_together)
{
	const char *environment[] = { "ONE=1", "PATH=/usr/bin:/bin", NULL };
	int passed = fcntl(0, F_DUPFD_CLOEXEC, 60);
	unsigned int cpu = 0;
	bool root = geteuid() == 0;
	struct brood_subprocess_opts opts = {
		.opts_size = sizeof(opts),
		.in = { .kind = BROOD_STREAM_NULL },
		.shell = true,
		.executable = "sh",
		.env = environment,
		.env_clear = true,
		.cwd = place,
		.umask = &(mode_t){ 0246 },
		.new_session = true,
		.own_group = true,
		.nice = 2,
		.limits = &files,
		.limits_count = 1,
		.cpus = &cpu,
		.cpus_count = 1,
		.pass_fds = &passed,
		.pass_fds_count = 1,
		.keep_signals = true,
		.die_with_parent = true,
		.pipe_size = 8192,
		.err = { .kind = BROOD_STREAM_OUTPUT },
		.user = root ? &nobody : NULL,
		.group = root ? &nogroup : NULL,
		.groups = root ? many_groups : NULL,
		.groups_count = root ? 3 : 0,
	};
	char text[200];

	while (!CPU_ISSET(cpu, &self_before.cpus))
		cpu++;
	snprintf(text, sizeof(text), "1,zero,one\n%s\n0246\n%d\n77\n88\n%u\n%s0\npassed\nyes\n",
		 place, self_before.nice + 2, cpu,
		 root ? "65534\n65533\n65533 5 1000 70000\n" : "");
	says(BROOD_ARGS(root ? "echo $ONE,$0,$1; pwd; umask; nice; ulimit -n; ulimit -Hn; " FIELD(
				       "Cpus_allowed_list") "; id -u; id -g; id -G; " TAIL
			     : "echo $ONE,$0,$1; pwd; umask; nice; ulimit -n; ulimit -Hn; " FIELD(
				       "Cpus_allowed_list") "; " TAIL,
			"zero", "one"),
	     &opts, text);
	close(passed);
}
END_TEST

static int cases(void)
{
	TCase *alone = new_case("alone", begin_without_arena);

	tcase_add_checked_fixture(alone, begin, end);
	tcase_add_test(alone, umask_of_it);
	tcase_add_test(alone, nice_of_it);
	tcase_add_test(alone, cpus_of_it);
	tcase_add_test(alone, limits_of_it);
	tcase_add_test(alone, session_and_group_of_it);
	tcase_add_loop_test(alone, ids_of_it, 0, sizeof(ids) / sizeof(*ids));
	tcase_add_test(alone, own_ids);
	tcase_add_test(alone, ids_of_other_threads_stay);
	tcase_add_test(alone, all_options_together);
	return run_cases("subprocess_attributes", alone, NULL);
}

int main(void)
{
	return run_in_place(cases);
}
