/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* brood_wait: many things at once, of all kinds, in one sleep. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "platform/platform.h"
#include "support.h"

static struct brood_waitable queue_item(struct brood_queue *queue, uint16_t events)
{
	return (struct brood_waitable){ .kind = BROOD_WAIT_QUEUE,
					.object = queue, .events = events };
}

static struct brood_waitable fd_item(int fd, uint16_t events)
{
	return (struct brood_waitable){ .kind = BROOD_WAIT_FD, .fd = fd, .events = events };
}

static int64_t cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* ---- what is ready ---- */

START_TEST(queue_is_readable_when_a_message_is_in)
{
	struct brood_queue *queue = new_queue(2, 8);
	struct brood_waitable item = queue_item(queue, 0);

	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(item.ready, 0);
	put_number(queue, 1, 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(item.ready, BROOD_READABLE);
	ck_assert_int_eq(brood_wait(&item, 1, BROOD_FOREVER), 1);	/* it is still there */
	ck_assert_int_eq(get_number(queue, 0), 1);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(item.ready, 0);
}
END_TEST

START_TEST(queue_is_writable_while_there_is_room)
{
	struct brood_queue *queue = new_queue(3, 8);	/* not a power of two */
	struct brood_waitable item = queue_item(queue, BROOD_WRITABLE);

	for (int i = 0; i < 7; i++) {
		while (brood_wait(&item, 1, 0) == 1)
			ck_assert_int_eq(put_number(queue, i, 0), 0);
		ck_assert_int_eq(put_number(queue, i, 0), -EAGAIN);
		ck_assert_int_ge(get_number(queue, 0), 0);
		ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
		ck_assert_int_eq(item.ready, BROOD_WRITABLE);
	}
	item.events = BROOD_READABLE | BROOD_WRITABLE;
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(item.ready, BROOD_READABLE | BROOD_WRITABLE);
}
END_TEST

START_TEST(end_of_file_counts_as_ready)
{
	struct brood_queue *queue = new_queue(2, 8);
	struct brood_waitable item = queue_item(queue, BROOD_READABLE | BROOD_WRITABLE);

	put_number(queue, 1, 0);
	brood_queue_close(queue);
	get_number(queue, 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(item.ready, BROOD_READABLE | BROOD_WRITABLE);
	ck_assert_int_eq(get_number(queue, 0), -EPIPE);
}
END_TEST

START_TEST(end_of_the_producers_counts_as_ready)
{
	struct brood_queue_opts opts = { .slots = 2, .max_bytes = 8, .producers_end = 1 };
	struct brood_queue *queue = brood_queue_create(&opts);
	struct brood_waitable item = queue_item(queue, 0);

	ck_assert_int_eq(brood_queue_producer_begin(queue), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(brood_queue_producer_end(queue), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(get_number(queue, 0), -EPIPE);
}
END_TEST

static int take_and_die(void *arg)
{
	struct brood_message message = { 0 };

	must(brood_queue_lease(arg, &message, BROOD_FOREVER) == 0);
	raise(SIGKILL);
	return 0;
}

START_TEST(what_a_dead_one_had_counts_as_ready)
{
	struct brood_queue *queue = new_queue(2, 8);
	struct brood_waitable item = queue_item(queue, 0);

	put_number(queue, 7, 0);
	ck_assert_int_eq(run(take_and_die, queue), -SIGKILL);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	ck_assert_int_eq(get_number(queue, 0), 7);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
}
END_TEST

START_TEST(destroyed_queue_is_ready)
{
	struct brood_queue *queue = new_queue(2, 8);
	struct brood_waitable item = queue_item(queue, 0);

	ck_assert_int_eq(brood_queue_destroy(queue), 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -ESTALE);
}
END_TEST

START_TEST(event_and_semaphore)
{
	struct brood_event *event = brood_event_create(NULL);
	struct brood_semaphore *semaphore = brood_semaphore_create(0, NULL);
	struct brood_semaphore *robust = brood_semaphore_create(
		1, &(struct brood_semaphore_opts){ .robust = true });
	struct brood_waitable items[] = {
		{ .kind = BROOD_WAIT_EVENT, .object = event },
		{ .kind = BROOD_WAIT_SEMAPHORE, .object = semaphore },
		{ .kind = BROOD_WAIT_SEMAPHORE, .object = robust },
	};

	ck_assert_int_eq(brood_semaphore_acquire(robust, 0), 0);
	ck_assert_int_eq(brood_wait(items, 3, 0), -EAGAIN);
	brood_event_set(event);
	ck_assert_int_eq(brood_wait(items, 3, BROOD_FOREVER), 1);
	ck_assert(items[0].ready && !items[1].ready && !items[2].ready);
	brood_semaphore_release(semaphore);
	brood_semaphore_release(robust);
	ck_assert_int_eq(brood_wait(items, 3, 0), 3);
	ck_assert_int_eq(brood_semaphore_acquire(semaphore, 0), 0);
	ck_assert_int_eq(brood_wait(items, 3, 0), 2);
	ck_assert(items[0].ready && !items[1].ready && items[2].ready);
}
END_TEST

static int linger(void *arg)
{
	return brood_event_wait(arg, BROOD_FOREVER) ? 1 : 5;
}

START_TEST(sentinel_is_ready_when_the_process_ends)
{
	struct brood_event *event = brood_event_create(NULL);
	struct brood_process *process = brood_process_start(linger, event);
	struct brood_waitable item = { .kind = BROOD_WAIT_PROCESS, .object = process };
	int code = -1;

	ck_assert_int_eq(brood_wait(&item, 1, 0), -EAGAIN);
	ck_assert_int_eq(brood_wait(&item, 1, brood_ms(30)), -ETIMEDOUT);
	brood_event_set(event);
	ck_assert_int_eq(brood_wait(&item, 1, BROOD_FOREVER), 1);
	ck_assert_int_eq(brood_process_exit_code(process, &code), 0);
	ck_assert_int_eq(code, 5);
	ck_assert_int_eq(brood_wait(&item, 1, 0), 1);
	brood_process_free(process);
}
END_TEST

START_TEST(plain_descriptors)
{
	int pair[2];
	struct brood_waitable items[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	items[0] = fd_item(pair[0], BROOD_READABLE);
	items[1] = fd_item(pair[1], BROOD_READABLE | BROOD_WRITABLE);
	ck_assert_int_eq(brood_wait(items, 2, 0), 1);
	ck_assert_int_eq(items[0].ready, 0);
	ck_assert_int_eq(items[1].ready, BROOD_WRITABLE);
	ck_assert_int_eq(write(pair[1], "x", 1), 1);
	ck_assert_int_eq(brood_wait(items, 1, BROOD_FOREVER), 1);
	ck_assert_int_eq(read(pair[0], items, 1), 1);
	items[0] = fd_item(pair[0], BROOD_READABLE);
	close(pair[1]);		/* end of file */
	ck_assert_int_eq(brood_wait(items, 1, BROOD_FOREVER), 1);
	ck_assert_int_eq(items[0].ready, BROOD_READABLE);
	close(pair[0]);
	ck_assert_int_eq(brood_wait(items, 1, 0), -EBADF);
	ck_assert_int_eq(items[0].ready, 0);
}
END_TEST

START_TEST(all_that_are_ready_are_told_in_the_order_of_the_list)
{
	enum { N = 1000 };
	static struct brood_waitable items[N];

	for (int i = 0; i < N; i++) {
		struct brood_queue *queue = new_queue(2, 8);

		items[i] = queue_item(queue, 0);
		if (i % 3 == 0)
			put_number(queue, i, 0);
	}
	ck_assert_int_eq(brood_wait(items, N, 0), (N + 2) / 3);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(items[i].ready, i % 3 == 0 ? BROOD_READABLE : 0);
}
END_TEST

/* ---- errors, time ---- */

START_TEST(errors)
{
	struct brood_queue *queue = new_queue(2, 8);
	struct brood_event *event = brood_event_create(NULL);
	struct brood_waitable item = queue_item(queue, 0);
	char elsewhere[64] = "";

	ck_assert_int_eq(brood_wait(NULL, 1, 0), -EINVAL);
	item.kind = 15;
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EINVAL);
	item.kind = UINT32_MAX;
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EINVAL);
	item = queue_item(queue, 4);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EINVAL);
	item = (struct brood_waitable){ .kind = BROOD_WAIT_EVENT, .object = event,
					.events = BROOD_WRITABLE };
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EINVAL);
	item = (struct brood_waitable){ .kind = BROOD_WAIT_QUEUE };
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EINVAL);
	item.object = elsewhere;
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EBADF);
	item.object = event;	/* in the segment, no queue */
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EBADF);
	item = (struct brood_waitable){ .kind = BROOD_WAIT_PROCESS };
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EINVAL);
	item = fd_item(-1, 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EBADF);
	item = fd_item(900, 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -EBADF);
}
END_TEST

static int keep_time(void *arg)
{
	struct brood_waitable items[2] = { queue_item(new_queue(2, 8), 0) };
	size_t n = 1 + (arg != NULL);
	int64_t begin, used;
	int pair[2];

	must(pipe2(pair, O_CLOEXEC) == 0);
	items[1] = fd_item(pair[0], 0);
	must(brood_wait(items, n, 0) == -EAGAIN);
	used = cpu_time();
	begin = brood_now();
	must(brood_wait(items, n, brood_ms(250)) == -ETIMEDOUT);
	must(brood_now() - begin >= 250 * MS);
	must(brood_now() - begin < 1000 * MS);
	must(cpu_time() - used < 20 * MS);
	must(brood_wait(items, n, brood_until(begin)) == -ETIMEDOUT);
	must(brood_wait(items, n, -5) == -EAGAIN);
	begin = brood_now();
	must(brood_wait(NULL, 0, brood_ms(30)) == -ETIMEDOUT);
	must(brood_now() - begin >= 30 * MS);
	return 0;
}

/* By an int: with a descriptor. In a child, for the socket stays open until the thread ends. */
START_TEST(time_is_kept_and_sleep_costs_nothing)
{
	ck_assert_int_eq(run(keep_time, _i ? (void *)"" : NULL), 0);
}
END_TEST

/* ---- being woken ---- */

struct scene {
	struct brood_queue *queue, *other, *result;
	struct brood_event *event;
	struct brood_semaphore *semaphore;
	int fd;			/* -1: only what has a list */
	_Atomic pid_t sleeper;
	_Atomic bool looked;
};

static struct scene *new_scene(bool with_fd)
{
	struct scene *scene = shared(sizeof(*scene));

	scene->queue = new_queue(2, 8);
	scene->other = new_queue(2, 8);
	scene->event = brood_event_create(NULL);
	scene->semaphore = brood_semaphore_create(0, NULL);
	scene->fd = with_fd ? eventfd(0, EFD_CLOEXEC) : -1;
	return scene;
}

static size_t list_items(const struct scene *scene, struct brood_waitable items[5])
{
	items[0] = queue_item(scene->other, 0);
	items[1] = queue_item(scene->queue, 0);
	items[2] = (struct brood_waitable){ .kind = BROOD_WAIT_EVENT, .object = scene->event };
	items[3] = (struct brood_waitable){ .kind = BROOD_WAIT_SEMAPHORE,
					    .object = scene->semaphore };
	items[4] = fd_item(scene->fd, 0);
	return scene->fd < 0 ? 4 : 5;
}

/* The exit code: which item. */
static int sleep_and_tell(void *arg)
{
	struct scene *scene = arg;
	struct brood_waitable items[5];
	size_t n = list_items(scene, items);

	atomic_store(&scene->sleeper, getpid());
	must(brood_wait(items, n, brood_ms(20000)) == 1);
	for (int i = 0; i < 5; i++)
		if (items[i].ready)
			return i + 10;
	return 1;
}

/* Woken by each kind, in time: the look that every sleeper takes every 100 ms is late. */
static void wake_by(struct scene *scene, int which)
{
	unsigned int late = 0;

	for (int round = 0; round < 10; round++) {
		pid_t pid = start(sleep_and_tell, scene);
		int64_t begin;

		while (!atomic_load(&scene->sleeper))
			usleep(100);
		usleep(2000);
		ck_assert(until_asleep(pid));
		begin = brood_now();
		if (which == 0)
			ck_assert_int_eq(put_number(scene->other, 1, 0), 0);
		else if (which == 1)
			ck_assert_int_eq(put_number(scene->queue, 1, 0), 0);
		else if (which == 2)
			brood_event_set(scene->event);
		else if (which == 3)
			brood_semaphore_release(scene->semaphore);
		else
			ck_assert_int_eq(write(scene->fd, &(uint64_t){ 1 }, 8), 8);
		ck_assert_int_eq(end_of(pid), which + 10);
		late += brood_now() - begin > 40 * MS;
		atomic_store(&scene->sleeper, 0);
		get_number(scene->other, 0);
		get_number(scene->queue, 0);
		brood_event_clear(scene->event);
		brood_semaphore_acquire(scene->semaphore, 0);
		if (which == 4)
			ck_assert_int_eq(read(scene->fd, &(uint64_t){ 0 }, 8), 8);
	}
	ck_assert_uint_le(late, 4);
}

START_TEST(woken_by_each_kind)
{
	wake_by(new_scene(false), _i);
}
END_TEST

START_TEST(woken_by_each_kind_beside_a_descriptor)
{
	struct scene *scene = new_scene(true);

	wake_by(scene, _i);
	close(scene->fd);
}
END_TEST

static int wait_on(void *arg)
{
	struct scene *scene = arg;
	struct brood_waitable items[5];
	size_t n = list_items(scene, items);
	int result;

	atomic_store(&scene->sleeper, getpid());
	result = brood_wait(items, n, brood_ms(20000));
	if (result < 0)
		return -result;
	return items[1].ready == BROOD_READABLE ? 0 : 1;
}

static int take_one(void *arg)
{
	struct scene *scene = arg;
	return get_number(scene->queue, brood_ms(20000)) == 5 ? 0 : 1;
}

/* It stays: the death of one makes the others look. */
static int look_and_stay(void *arg)
{
	struct scene *scene = arg;

	must(wait_on(scene) == 0);
	atomic_store(&scene->looked, true);
	for (;;)
		pause();
}

/* Who only looks does not keep the wake-up from who takes, whichever was first. */
START_TEST(who_takes_is_woken_beside_who_looks)
{
	struct scene *scene = new_scene(_i & 2);
	unsigned int late = 0;

	for (int round = 0; round < 10; round++) {
		bool takes_first = _i & 1;
		pid_t one = start(takes_first ? take_one : look_and_stay, scene), two;
		int64_t begin;

		usleep(3000);
		until_asleep(one);
		two = start(takes_first ? look_and_stay : take_one, scene);
		usleep(3000);
		until_asleep(two);
		atomic_store(&scene->looked, false);
		begin = brood_now();
		ck_assert_int_eq(put_number(scene->queue, 5, 0), 0);
		ck_assert_int_eq(end_of(takes_first ? one : two), 0);
		late += brood_now() - begin > 40 * MS;
		/* The looker may have been too late to see it. */
		put_number(scene->queue, 6, 0);
		while (!atomic_load(&scene->looked))
			usleep(100);
		kill_child(takes_first ? two : one);
		ck_assert_int_eq(get_number(scene->queue, 0), 6);
	}
	ck_assert_uint_le(late, 4);
	if (scene->fd >= 0)
		close(scene->fd);
}
END_TEST

/* By an int: with a descriptor. */
START_TEST(an_event_that_was_cleared_again_counts)
{
	struct scene *scene = new_scene(_i);

	for (int round = 0; round < 20; round++) {
		pid_t pid = start(sleep_and_tell, scene);

		usleep(3000);
		until_asleep(pid);
		brood_event_set(scene->event);
		brood_event_clear(scene->event);
		ck_assert_int_eq(end_of(pid), 12);
	}
	if (scene->fd >= 0)
		close(scene->fd);
}
END_TEST

START_TEST(woken_by_close_and_by_destroy)
{
	struct scene *scene = new_scene(_i & 1);
	unsigned int late = 0;

	for (int round = 0; round < 5; round++) {
		pid_t pid = start(wait_on, scene);
		int64_t begin;

		usleep(5000);
		until_asleep(pid);
		begin = brood_now();
		if (_i & 2)
			ck_assert_int_eq(brood_queue_destroy(scene->queue), 0);
		else
			ck_assert_int_eq(brood_queue_close(scene->queue), 0);
		ck_assert_int_eq(end_of(pid), 0);
		late += brood_now() - begin > 60 * MS;
		scene->queue = new_queue(2, 8);
	}
	ck_assert_uint_le(late, 2);
	if (scene->fd >= 0)
		close(scene->fd);
}
END_TEST

static volatile sig_atomic_t handled;

static void count_signal(int number)
{
	(void)number;
	handled++;
}

static int wait_through_signals(void *arg)
{
	struct scene *scene = arg;
	int result;

	signal(SIGUSR1, count_signal);
	result = wait_on(scene);
	return result ? result : handled ? 0 : 2;
}

START_TEST(a_signal_does_not_end_it)
{
	struct scene *scene = new_scene(_i);
	pid_t pid = start(wait_through_signals, scene);

	while (!atomic_load(&scene->sleeper))
		usleep(100);
	for (int i = 0; i < 20; i++) {
		usleep(1000);
		kill(pid, SIGUSR1);
	}
	put_number(scene->queue, 1, 0);
	ck_assert_int_eq(end_of(pid), 0);
	if (scene->fd >= 0)
		close(scene->fd);
}
END_TEST

START_TEST(objects_of_several_segments)
{
	struct brood_segment *segment = brood_segment_create(own_name("many"), NULL);
	struct brood_queue_opts opts = { .slots = 2, .max_bytes = 8, .segment = segment };
	struct scene *scene = new_scene(_i & 1);
	unsigned int late = 0;

	ck_assert_ptr_nonnull(segment);
	scene->queue = brood_queue_create(&opts);
	ck_assert_ptr_nonnull(scene->queue);
	for (int round = 0; round < 10; round++) {
		pid_t pid = start(sleep_and_tell, scene);
		int64_t begin;

		usleep(3000);
		until_asleep(pid);
		begin = brood_now();
		put_number(round & 1 ? scene->queue : scene->other, 1, 0);
		ck_assert_int_eq(end_of(pid), round & 1 ? 11 : 10);
		late += brood_now() - begin > 40 * MS;
		get_number(round & 1 ? scene->queue : scene->other, 0);
	}
	ck_assert_uint_le(late, 4);
	brood_queue_destroy(scene->queue);
	ck_assert_int_eq(brood_segment_unlink(own_name("many")), 0);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	if (scene->fd >= 0)
		close(scene->fd);
}
END_TEST

/* Nothing is left behind in the lists: puts pay no system call for who has gone. */
START_TEST(bits_are_gone_afterwards)
{
	struct brood_queue *queue = new_queue(2, 8);
	struct brood_waitable items[2] = { queue_item(queue, 3), queue_item(queue, 0) };

	put_number(queue, 1, 0);
	put_number(queue, 1, 0);
	items[0].events = BROOD_WRITABLE;
	items[1] = items[0];
	ck_assert_int_eq(brood_wait(items, 2, brood_ms(5)), -ETIMEDOUT);
	ck_assert_int_eq(get_number(queue, 0), 1);
	ck_assert_int_eq(brood_wait(items, 2, brood_ms(5)), 2);
}
END_TEST

/* A process that has rung keeps the socket. */
static void begin_with_socket(void)
{
	brood__doorbell_ring(1, 1);
	begin_test();
}

int main(void)
{
	TCase *looks = new_case("looks", begin_test);
	TCase *sleeps = new_case("sleeps", begin_with_socket);

	tcase_add_test(looks, queue_is_readable_when_a_message_is_in);
	tcase_add_test(looks, queue_is_writable_while_there_is_room);
	tcase_add_test(looks, end_of_file_counts_as_ready);
	tcase_add_test(looks, end_of_the_producers_counts_as_ready);
	tcase_add_test(looks, what_a_dead_one_had_counts_as_ready);
	tcase_add_test(looks, destroyed_queue_is_ready);
	tcase_add_test(looks, event_and_semaphore);
	tcase_add_test(looks, sentinel_is_ready_when_the_process_ends);
	tcase_add_test(looks, plain_descriptors);
	tcase_add_test(looks, all_that_are_ready_are_told_in_the_order_of_the_list);
	tcase_add_test(looks, errors);
	tcase_add_test(looks, bits_are_gone_afterwards);
	tcase_add_loop_test(sleeps, time_is_kept_and_sleep_costs_nothing, 0, 2);
	tcase_add_loop_test(sleeps, woken_by_each_kind, 0, 4);
	tcase_add_loop_test(sleeps, woken_by_each_kind_beside_a_descriptor, 0, 5);
	tcase_add_loop_test(sleeps, who_takes_is_woken_beside_who_looks, 0, 4);
	tcase_add_loop_test(sleeps, an_event_that_was_cleared_again_counts, 0, 2);
	tcase_add_loop_test(sleeps, woken_by_close_and_by_destroy, 0, 4);
	tcase_add_loop_test(sleeps, a_signal_does_not_end_it, 0, 2);
	tcase_add_loop_test(sleeps, objects_of_several_segments, 0, 2);
	return run_cases("wait for many", looks, sleeps, NULL);
}
