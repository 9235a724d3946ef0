/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The member limit as the user of a segment meets it. */
#include "support.h"

enum { MEMBERS = 3 };

struct scene {
	struct brood_queue *queue;
	struct brood_message lease;
	void *memory;
	atomic_int joined;
};

static int join_and_wait(void *arg)
{
	struct scene *scene = arg;
	struct brood_message message;

	must(brood_queue_lease(scene->queue, &message, 0) == 0);
	atomic_fetch_add(&scene->joined, 1);
	while (pause())
		;
	return 0;
}

/* One too many: every call says so, and nothing changes. */
static int be_refused(void *arg)
{
	struct scene *scene = arg;
	struct brood_queue_opts opts = { .slots = 1, .max_bytes = 8 };
	struct brood_message message = scene->lease;
	char byte;

	for (int i = 0; i < 2; i++) {
		must(brood_queue_put(scene->queue, "x", 1, BROOD_FOREVER) == -EUSERS);
		must(brood_queue_get(scene->queue, &byte, 1, BROOD_FOREVER) == -EUSERS);
		must(brood_queue_lease(scene->queue, &message, 0) == -EUSERS);
		must(brood_queue_reserve(scene->queue, &message) == -EUSERS);
		must(brood_queue_release(scene->queue, &message) == -EUSERS);
		must(brood_queue_count(scene->queue) == -EUSERS);
		must(brood_queue_close(scene->queue) == -EUSERS);
		must(brood_queue_destroy(scene->queue) == -EUSERS);
		errno = 0;
		must(brood_queue_create(&opts) == NULL && errno == EUSERS);
		errno = 0;
		must(brood_alloc(NULL, 8) == NULL && errno == EUSERS);
	}
	return 0;
}

static int be_accepted(void *arg)
{
	struct scene *scene = arg;

	must(brood_queue_put(scene->queue, "x", 1, 0) == 0);
	must(brood_alloc(NULL, 8) != NULL);
	return 0;
}

static void are_members(uint32_t n)
{
	struct brood_segment_info info;

	must(brood_segment_stat(NULL, &info) == 0);
	must(info.members == n && info.members_max == MEMBERS);
}

static pid_t another(struct scene *scene)
{
	int joined = atomic_load(&scene->joined);
	pid_t child = start(join_and_wait, scene);

	while (atomic_load(&scene->joined) == joined)
		usleep(100);
	return child;
}

static int reach_the_limit(void *unused)
{
	struct brood_segment_opts opts = { .members = MEMBERS };
	struct scene *scene = shared(sizeof(*scene));
	pid_t children[MEMBERS - 1];

	(void)unused;
	must(brood_init(&opts) == 0);
	scene->queue = new_queue(8, 8);
	for (int i = 0; i < 6; i++)
		must(brood_queue_put(scene->queue, "abc", 3, 0) == 0);
	must(brood_queue_lease(scene->queue, &scene->lease, 0) == 0);
	for (int i = 0; i < MEMBERS - 1; i++)
		children[i] = another(scene);
	are_members(MEMBERS);
	must(run(be_refused, scene) == 0);
	must(run(be_refused, scene) == 0);
	are_members(MEMBERS);
	must(brood_queue_count(scene->queue) == 3);
	kill_child(children[0]);
	must(run(be_accepted, scene) == 0);
	must(run(be_accepted, scene) == 0);
	must(brood_queue_count(scene->queue) == 6);
	children[0] = another(scene);
	must(run(be_refused, scene) == 0);
	must(brood_queue_release(scene->queue, &scene->lease) == 0);
	for (int i = 0; i < MEMBERS - 1; i++)
		kill_child(children[i]);
	must(brood_queue_count(scene->queue) == 7);
	are_members(1);
	return 0;
}

START_TEST(the_limit)
{
	ck_assert_int_eq(run(reach_the_limit, NULL), 0);
}
END_TEST

/* Members that come and go use up no entry, no byte and no descriptor. */
static int come_and_go(void *unused)
{
	struct brood_segment_opts opts = { .members = MEMBERS };
	struct scene *scene = shared(sizeof(*scene));
	struct brood_segment_info first, last;

	(void)unused;
	must(brood_init(&opts) == 0);
	scene->queue = new_queue(8, 8);
	for (int i = 0; i < 1000; i++) {
		char byte;

		must(run(be_accepted, scene) == 0);
		must(brood_queue_get(scene->queue, &byte, 1, 0) == 1);
		if (i == 10)
			must(brood_segment_stat(NULL, &first) == 0);
	}
	must(brood_segment_stat(NULL, &last) == 0);
	must(last.bytes_used - first.bytes_used == 989 * 128);	/* what they allocated */
	must(brood_queue_count(scene->queue) == 0);
	are_members(1);
	return 0;
}

START_TEST(a_thousand_one_after_another)
{
	ck_assert_int_eq(run(come_and_go, NULL), 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("limit", begin_without_arena);

	tcase_add_test(tests, the_limit);
	tcase_add_test(tests, a_thousand_one_after_another);
	return run_cases("member limit", tests, NULL);
}
