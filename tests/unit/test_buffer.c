/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Buffers by reference: who owns them, how queues hand them over, and what is left of the dead. */
#include <sched.h>

#include "arena/arena.h"
#include "support.h"

static struct brood_segment_info before;

/* What is used besides the buffers that a test makes. What is in limbo can be freed, and is. */
static void look(struct brood_segment_info *info)
{
	for (struct brood__block *block = brood__block_first(&brood__family); block;
	     block = brood__block_next(&brood__family, block))
		brood__block_reclaim(&brood__family, block);
	ck_assert_int_eq(brood_segment_stat(NULL, info), 0);
}

static void mark(void)
{
	look(&before);
}

static void nothing_is_left(void)
{
	struct brood_segment_info now;

	do {	/* until the kernel has marked all who were killed */
		brood__member_sweep(&brood__family.members);
		look(&now);
	} while (now.members > before.members || now.dead);
	ck_assert_uint_eq(now.objects, before.objects);
	ck_assert_uint_eq(now.bytes_used, before.bytes_used);
}

static struct brood_buffer *make(void)
{
	struct brood_buffer *buffer = brood_buffer_create(NULL, 5000);

	ck_assert_ptr_nonnull(buffer);
	return buffer;
}

/* Loops: 0 of many producers and consumers, 1 of one and one. */
static struct brood_queue *queue_of(uint32_t slots, int one)
{
	struct brood_queue *queue = brood_queue_create(&(struct brood_queue_opts){
		.slots = slots, .max_bytes = BROOD_BUFFER_MESSAGE, .producers = (uint32_t)one,
		.consumers = (uint32_t)one });

	ck_assert_ptr_nonnull(queue);
	return queue;
}

struct scene {
	struct brood_queue *queue;
	struct brood_buffer *buffer;
	atomic_uint ready;
	int what;
};

static struct scene *scene_of(struct brood_queue *queue)
{
	struct scene *scene = shared(sizeof(*scene));

	scene->queue = queue;
	return scene;
}

START_TEST(test_one_owner)
{
	struct brood_buffer *buffer;

	ck_assert_int_eq(brood_buffer_release(make()), 0);	/* the caller is a member now */
	mark();
	buffer = make();
	ck_assert_int_eq(brood_buffer_size(buffer), 5000);
	ck_assert_uint_eq((uintptr_t)brood_buffer_data(buffer) % 64, 0);
	for (int i = 0; i < 5000; i++)
		ck_assert_int_eq(((char *)brood_buffer_data(buffer))[i], 0);
	memset(brood_buffer_data(buffer), 1, 5000);
	ck_assert_int_eq(brood_buffer_release(buffer), 0);
	ck_assert_int_eq(brood_buffer_release(buffer), -ESTALE);
	ck_assert_int_eq(brood_buffer_share(buffer), -ESTALE);
	ck_assert_ptr_null(brood_buffer_data(buffer));
	ck_assert_int_eq(errno, ESTALE);
	ck_assert_int_eq(brood_buffer_size(buffer), -ESTALE);
	nothing_is_left();
}
END_TEST

START_TEST(test_shares)
{
	struct brood_buffer *buffer;

	ck_assert_int_eq(brood_buffer_release(make()), 0);
	mark();
	buffer = make();
	for (int i = 1; i < BROOD_BUFFER_OWNERS; i++)
		ck_assert_int_eq(brood_buffer_share(buffer), 0);
	ck_assert_int_eq(brood_buffer_share(buffer), -EMLINK);
	for (int i = 0; i < BROOD_BUFFER_OWNERS; i++) {
		ck_assert_int_eq(brood_buffer_size(buffer), 5000);
		ck_assert_int_eq(brood_buffer_release(buffer), 0);
	}
	ck_assert_int_eq(brood_buffer_release(buffer), -ESTALE);
	nothing_is_left();
}
END_TEST

static int child_has_none(void *buffer)
{
	must(brood_buffer_release(buffer) == -EINVAL);
	must(brood_buffer_share(buffer) == -EINVAL);
	return 0;
}

START_TEST(test_a_forked_child_has_none)
{
	struct brood_buffer *buffer = make();

	ck_assert_int_eq(run(child_has_none, buffer), 0);
	ck_assert_int_eq(brood_buffer_release(buffer), 0);
}
END_TEST

START_TEST(test_errors)
{
	struct brood_buffer *buffer = make();
	struct brood_queue_opts joinable = { .slots = 2, .max_bytes = 16, .joinable = true };
	struct brood_queue *queue = queue_of(2, _i);
	struct brood_message message;

	ck_assert_ptr_null(brood_buffer_create(NULL, 0));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(brood_buffer_create(NULL, SIZE_MAX));
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_int_eq(brood_buffer_release(NULL), -EINVAL);
	ck_assert_int_eq(brood_buffer_size((void *)queue), -EBADF);
	ck_assert_int_eq(brood_queue_put_buffer(queue, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_put_buffer(NULL, buffer, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_put_buffer(queue, (void *)queue, 0), -EBADF);
	ck_assert_int_eq(brood_queue_put_buffer(new_queue(2, 15), buffer, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_put_buffer(brood_queue_create(&joinable), buffer, 0),
			 -ENOTSUP);
	ck_assert_int_eq(brood_queue_get_buffer(queue, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_get_buffer(queue, &buffer, 0), -EAGAIN);
	ck_assert_ptr_null(buffer);
	ck_assert_int_eq(brood_queue_get_buffer(queue, &buffer, brood_ms(1)), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_put(queue, "sixteen bytes ..", 16, 0), 0);
	ck_assert_int_eq(brood_queue_get_buffer(queue, &buffer, 0), -EBADMSG);
	ck_assert_int_eq(brood_queue_lease(queue, &message, 0), 0);
	ck_assert_uint_eq(message.flags, BROOD_REDELIVERED);
	ck_assert_mem_eq(message.data, "sixteen bytes ..", 16);
}
END_TEST

START_TEST(test_full_and_closed)
{
	struct brood_queue *queue = queue_of(1, _i);
	struct brood_buffer *first, *second, *got;

	mark();
	first = make();
	second = make();
	ck_assert_int_eq(brood_queue_put_buffer(queue, first, 0), 0);
	ck_assert_int_eq(brood_queue_put_buffer(queue, first, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_put_buffer(queue, second, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_put_buffer(queue, second, brood_ms(2)), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_close(queue), 0);
	ck_assert_int_eq(brood_queue_put_buffer(queue, second, 0), -EPIPE);
	ck_assert_int_eq(brood_queue_get_buffer(queue, &got, 0), 0);
	ck_assert_ptr_eq(got, first);
	ck_assert_int_eq(brood_queue_get_buffer(queue, &got, 0), -EPIPE);
	ck_assert_int_eq(brood_buffer_release(first), 0);
	ck_assert_int_eq(brood_buffer_release(second), 0);
	nothing_is_left();
}
END_TEST

START_TEST(test_a_copy_is_no_reference)
{
	struct brood_queue *queue = queue_of(4, _i);
	struct brood_buffer *buffer = make(), *got;
	struct brood_message message;
	char copy[16];

	ck_assert_int_eq(brood_queue_put_buffer(queue, buffer, 0), 0);
	ck_assert_int_eq(brood_queue_lease(queue, &message, 0), 0);
	memcpy(copy, message.data, 16);
	ck_assert_int_eq(brood_queue_return(queue, &message), 0);
	ck_assert_int_eq(brood_queue_get_buffer(queue, &got, 0), 0);
	ck_assert_ptr_eq(got, buffer);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(brood_queue_put(queue, copy, 16, 0), 0);
	ck_assert_int_eq(brood_queue_get_buffer(queue, &got, 0), -EBADMSG);
	ck_assert_int_eq(brood_buffer_release(buffer), 0);
}
END_TEST

START_TEST(test_queue_destroyed)
{
	struct brood_queue *queue;
	struct brood_buffer *kept;

	ck_assert_int_eq(brood_buffer_release(make()), 0);
	mark();
	queue = queue_of(4, _i);
	kept = make();
	ck_assert_int_eq(brood_buffer_share(kept), 0);
	ck_assert_int_eq(brood_queue_put_buffer(queue, make(), 0), 0);
	ck_assert_int_eq(brood_queue_put_buffer(queue, kept, 0), 0);
	ck_assert_int_eq(brood_queue_destroy(queue), 0);
	ck_assert_int_eq(brood_buffer_release(kept), 0);
	ck_assert_int_eq(brood_buffer_release(kept), -ESTALE);
	nothing_is_left();
}
END_TEST

/* ---- between processes ---- */

enum { HANDED = 20000 };

static int consume(void *arg)
{
	struct scene *scene = arg;
	struct brood_buffer *buffer;

	for (uint64_t i = 0; i < HANDED; i++) {
		must(brood_queue_get_buffer(scene->queue, &buffer, BROOD_FOREVER) == 0);
		must(*(uint64_t *)brood_buffer_data(buffer) == i);
		if (i % 16)
			must(brood_buffer_release(buffer) == 0);
	}
	return 0;	/* with the rest in hand: its end releases them */
}

START_TEST(test_handed_over)
{
	struct scene *scene = scene_of(queue_of(8, _i));
	pid_t child;

	mark();
	child = start(consume, scene);
	for (uint64_t i = 0; i < HANDED; i++) {
		struct brood_buffer *buffer = brood_buffer_create(NULL, 8);

		ck_assert_ptr_nonnull(buffer);
		*(uint64_t *)brood_buffer_data(buffer) = i;
		ck_assert_int_eq(brood_queue_put_buffer(scene->queue, buffer, BROOD_FOREVER), 0);
	}
	ck_assert_int_eq(end_of(child), 0);
	nothing_is_left();
}
END_TEST

/* Dies with what it holds: two of its own, one shared, one leased, one reserved. */
static int hold_and_die(void *arg)
{
	struct scene *scene = arg;
	struct brood_buffer *buffer;
	struct brood_message message;

	must(brood_queue_get_buffer(scene->queue, &buffer, 0) == 0);
	must(buffer == scene->buffer && brood_buffer_share(buffer) == 0);
	must(brood_buffer_create(NULL, 100) && brood_buffer_create(NULL, 100));
	must(brood_queue_lease(scene->queue, &message, 0) == 0);
	must(brood_queue_reserve(scene->queue, &message) == 0);
	atomic_store(&scene->ready, 1);
	for (;;)
		pause();
}

START_TEST(test_the_dead_own_nothing)
{
	struct scene *scene = scene_of(queue_of(8, _i));
	struct brood_buffer *second, *got = NULL;
	pid_t child;

	mark();
	scene->buffer = make();
	second = make();
	ck_assert_int_eq(brood_queue_put_buffer(scene->queue, scene->buffer, 0), 0);
	ck_assert_int_eq(brood_queue_put_buffer(scene->queue, second, 0), 0);
	ck_assert_int_eq(brood_queue_producer_end(scene->queue), 0);
	child = start(hold_and_die, scene);
	while (!atomic_load(&scene->ready))
		ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
	kill_child(child);
	ck_assert_int_eq(brood_queue_get_buffer(scene->queue, &got, BROOD_FOREVER), 0);
	ck_assert_ptr_eq(got, second);	/* it was leased only */
	ck_assert_int_eq(brood_buffer_release(second), 0);
	ck_assert_int_eq(brood_buffer_release(scene->buffer), -ESTALE);
	nothing_is_left();
}
END_TEST

/* Hand buffers round and make and drop some, until killed. */
static int juggle(void *arg)
{
	struct scene *scene = arg;
	struct brood_buffer *buffer;

	for (unsigned int i = (unsigned int)getpid();; i = i * 5 + 1) {
		if (i >> 16 & 1) {
			buffer = brood_buffer_create(NULL, 8 + (i >> 18 & 127));
			if (!buffer)
				continue;
			if (i >> 17 & 1)
				must(brood_buffer_share(buffer) == 0);
			if (brood_queue_put_buffer(scene->queue, buffer, 0) || i >> 17 & 1)
				brood_buffer_release(buffer);
		} else if (brood_queue_get_buffer(scene->queue, &buffer, 0) == 0) {
			if (i >> 17 & 1 && brood_buffer_share(buffer) == 0)
				brood_buffer_release(buffer);
			brood_buffer_release(buffer);
		}
		atomic_fetch_add(&scene->ready, 1);
	}
}

START_TEST(test_storm_of_deaths)
{
	struct scene *scene = scene_of(queue_of(4, _i));
	struct brood_buffer *buffer;
	pid_t children[3];
	unsigned int seen;

	mark();
	for (int i = 0; i < 3; i++)
		children[i] = start(juggle, scene);
	for (unsigned int round = 0; round < 300; round++) {
		seen = atomic_load(&scene->ready);
		while (atomic_load(&scene->ready) - seen < 20 + round % 37)
			sched_yield();
		kill_child(children[round % 3]);
		children[round % 3] = start(juggle, scene);
	}
	for (int i = 0; i < 3; i++)
		kill_child(children[i]);
	while (brood_queue_get_buffer(scene->queue, &buffer, brood_ms(5)) == 0)
		ck_assert_int_eq(brood_buffer_release(buffer), 0);
	ck_assert_int_eq(brood_queue_producer_begin(scene->queue), 0);
	nothing_is_left();
}
END_TEST

int main(void)
{
	TCase *owners = new_case("owners", begin_test);
	TCase *queues = new_case("queues", begin_test);
	TCase *deaths = new_case("deaths", begin_test);

	tcase_add_test(owners, test_one_owner);
	tcase_add_test(owners, test_shares);
	tcase_add_test(owners, test_a_forked_child_has_none);
	tcase_add_loop_test(owners, test_errors, 0, 2);
	tcase_add_loop_test(queues, test_full_and_closed, 0, 2);
	tcase_add_loop_test(queues, test_a_copy_is_no_reference, 0, 2);
	tcase_add_loop_test(queues, test_queue_destroyed, 0, 2);
	tcase_add_loop_test(queues, test_handed_over, 0, 2);
	tcase_add_loop_test(deaths, test_the_dead_own_nothing, 0, 2);
	tcase_add_loop_test(deaths, test_storm_of_deaths, 0, 2);
	return run_cases("buffer", owners, queues, deaths, NULL);
}
