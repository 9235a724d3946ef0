/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of objects for event loops. Each test runs in a child: the thread's socket of alarms
 * stays open until it ends.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "queue/queue.h"
#include "support.h"

/* Whether it is readable within so many ms. */
static bool readable(int fd, int ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	int n;

	do
		n = poll(&poll_fd, 1, ms);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

#define IN_A_CHILD(name) \
	static int name##_child(void *unused); \
	START_TEST(name) { ck_assert_int_eq(run(name##_child, NULL), 0); } END_TEST \
	static int name##_child(void *unused)

IN_A_CHILD(readable_while_there_is_a_message)
{
	struct brood_queue *queue = new_queue(4, 8);
	int fd = brood_queue_fd(queue, BROOD_READABLE);

	must(unused == NULL && fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC);
	must(brood_queue_fd(queue, BROOD_READABLE) == fd);
	for (int round = 0; round < 10; round++) {
		must(!readable(fd, 0));
		must(put_number(queue, 1, 0) == 0 && put_number(queue, 2, 0) == 0);
		must(readable(fd, 0) && readable(fd, 0));
		must(get_number(queue, 0) == 1);
		must(readable(fd, 0));	/* level */
		must(get_number(queue, 0) == 2);
		must(get_number(queue, 0) == -EAGAIN);
	}
	must(put_number(queue, 1, 0) == 0);
	must(brood_queue_fd_close(queue, BROOD_READABLE) == 0);
	must(brood_queue_fd_close(queue, BROOD_READABLE) == -EBADF);
	must(fcntl(fd, F_GETFD) < 0);
	fd = brood_queue_fd(queue, BROOD_READABLE);	/* there is one already */
	must(readable(fd, 0));
	return 0;
}

IN_A_CHILD(writable_while_there_is_room)
{
	struct brood_queue *queue = new_queue(2, 8);
	int fd = brood_queue_fd(queue, BROOD_WRITABLE), other;

	must(unused == NULL && readable(fd, 0));
	while (put_number(queue, 1, 0) == 0)
		;
	must(!readable(fd, 0));
	must(get_number(queue, 0) == 1);
	must(readable(fd, 0));
	other = brood_queue_fd(queue, BROOD_READABLE);
	must(other >= 0 && other != fd && readable(other, 0));
	return 0;
}

IN_A_CHILD(event_and_semaphore)
{
	struct brood_event *event = brood_event_create(NULL);
	struct brood_semaphore *semaphore = brood_semaphore_create(0, NULL);
	int set = brood_event_fd(event), units = brood_semaphore_fd(semaphore);

	must(unused == NULL && set >= 0 && units >= 0);
	for (int i = 0; i < 5; i++) {
		must(!readable(set, 0) && !readable(units, 0));
		brood_event_set(event);
		must(readable(set, 0) && !readable(units, 0));
		brood_event_clear(event);
		must(brood_event_wait(event, 0) == -EAGAIN);
		must(!readable(set, 0));
		brood_semaphore_release(semaphore);
		must(!readable(set, 0) && readable(units, 0));
		must(brood_semaphore_acquire(semaphore, 0) == 0);
		must(brood_semaphore_acquire(semaphore, 0) == -EAGAIN);
	}
	must(brood_event_fd_close(event) == 0 && brood_semaphore_fd_close(semaphore) == 0);
	must(brood_event_fd_close(event) == -EBADF);
	return 0;
}

IN_A_CHILD(a_producer_pays_only_while_it_is_armed)
{
	struct brood_queue *queue = new_queue(8, 8);
	int fd = brood_queue_fd(queue, BROOD_READABLE);

	must(unused == NULL && brood__waitlist_any(&queue->readers));
	put_number(queue, 1, 0);
	must(!brood__waitlist_any(&queue->readers));	/* rung, and nobody is told again */
	put_number(queue, 2, 0);
	get_number(queue, 0);
	get_number(queue, 0);
	must(!brood__waitlist_any(&queue->readers));	/* nobody knows that it is empty */
	get_number(queue, 0);
	must(brood__waitlist_any(&queue->readers) && !readable(fd, 0));
	return 0;
}

static int put_later(void *queue)
{
	usleep(5000);
	return put_number(queue, 1, BROOD_FOREVER);
}

/* It sleeps on the same list by futex, which clears the bit. */
IN_A_CHILD(a_wait_does_not_disarm)
{
	struct brood_queue *queue = new_queue(8, 8);
	int fd = brood_queue_fd(queue, BROOD_READABLE);
	struct brood_waitable item = { .kind = BROOD_WAIT_QUEUE, .object = queue };

	must(unused == NULL);
	for (int i = 0; i < 10; i++) {
		pid_t pid = start(put_later, queue);

		if (i & 1)
			must(brood_wait(&item, 1, BROOD_FOREVER) == 1);
		must(get_number(queue, BROOD_FOREVER) == 1);
		must(end_of(pid) == 0);
		while (readable(fd, 0))
			must(get_number(queue, 0) == -EAGAIN);
		must(get_number(queue, brood_ms(1)) == -ETIMEDOUT);
		must(!readable(fd, 0));
		must(brood_wait(&item, 1, brood_ms(1)) == -ETIMEDOUT);
		must(!readable(fd, 0));
		put_number(queue, 3, 0);
		must(readable(fd, 0));
		must(get_number(queue, 0) == 3 && get_number(queue, 0) == -EAGAIN);
	}
	return 0;
}

IN_A_CHILD(close_and_destroy_ring)
{
	struct brood_queue *queue = new_queue(8, 8), *other = new_queue(8, 8);
	int fd = brood_queue_fd(queue, BROOD_READABLE);
	int last = brood_queue_fd(other, BROOD_READABLE);

	must(unused == NULL && !readable(fd, 0) && !readable(last, 0));
	brood_queue_close(queue);
	must(readable(fd, 0));
	must(get_number(queue, 0) == -EPIPE);
	must(get_number(other, 0) == -EAGAIN);
	must(!readable(last, 0));
	brood_queue_destroy(other);
	must(readable(last, 0));
	must(get_number(other, 0) == -ESTALE);
	must(brood_queue_fd_close(other, BROOD_READABLE) == 0);
	must(brood_queue_fd_close(queue, BROOD_READABLE) == 0);
	return 0;
}

struct pair {
	struct brood_queue *watched, *other;
};

static int close_and_wake(void *arg)
{
	const struct pair *pair = arg;

	must(put_number(pair->watched, 1, 0) == 0);
	while (brood_queue_empty(pair->watched) != 1)
		usleep(100);
	must(until_asleep(getppid()));
	must(brood_queue_close(pair->watched) == 0);
	usleep(2000);		/* it looks, and sleeps again */
	must(until_asleep(getppid()));
	must(put_number(pair->other, 1, 0) == 0);
	for (;;)		/* its end would ring as well */
		pause();
}

/* What makes all look finds it asleep by futex, for something else: then it is told as well. */
IN_A_CHILD(it_rings_though_the_owner_sleeps_elsewhere)
{
	struct pair pair = { new_queue(8, 8), new_queue(8, 8) };
	int fd = brood_queue_fd(pair.watched, BROOD_READABLE);
	pid_t pid = start(close_and_wake, &pair);
	bool rings;

	must(unused == NULL);
	do				/* it has joined, too */
		must(readable(fd, 5000));
	while (get_number(pair.watched, 0) != 1);
	while (readable(fd, 0))
		get_number(pair.watched, 0);
	must(get_number(pair.other, BROOD_FOREVER) == 1);
	rings = readable(fd, 100);
	kill_child(pid);
	must(rings && get_number(pair.watched, 0) == -EPIPE);
	return 0;
}

enum { JOINING, JOINED, GO };

struct turns {
	struct pair pair;
	_Atomic int turn;
};

static void await(_Atomic int *turn, int value)
{
	while (atomic_load(turn) != value)
		usleep(100);
}

static int put_both_when_it_sleeps(void *arg)
{
	struct turns *turns = arg;

	must(brood_queue_count(turns->pair.watched) == 0);
	atomic_store(&turns->turn, JOINED);
	await(&turns->turn, GO);
	must(until_asleep(getppid()) && put_number(turns->pair.watched, 1, 0) == 0);
	usleep(2000);		/* it looks, and sleeps again */
	must(until_asleep(getppid()) && put_number(turns->pair.other, 1, 0) == 0);
	for (;;)		/* its end would ring as well */
		pause();
}

/* By brood_wait, and what the bell is for is not among the many. */
IN_A_CHILD(it_rings_though_the_owner_sleeps_on_many_others)
{
	struct turns *turns = shared(sizeof(*turns));
	struct brood_waitable items[2] = { { .kind = BROOD_WAIT_QUEUE } };
	int fd;

	turns->pair = (struct pair){ new_queue(8, 8), new_queue(8, 8) };
	items[0].object = turns->pair.other;
	items[1].fd = epoll_create1(EPOLL_CLOEXEC);
	fd = brood_queue_fd(turns->pair.watched, BROOD_READABLE);
	must(unused == NULL && fd >= 0);
	for (size_t n = 1; n <= 2; n++) {	/* on a futex, in ppoll */
		pid_t pid = start(put_both_when_it_sleeps, turns);
		bool rings;

		await(&turns->turn, JOINED);
		while (readable(fd, 0))
			must(get_number(turns->pair.watched, 0) == -EAGAIN);
		atomic_store(&turns->turn, GO);
		must(brood_wait(items, n, BROOD_FOREVER) == 1);
		rings = readable(fd, 0);
		kill_child(pid);
		must(rings && get_number(turns->pair.watched, 0) == 1);
		must(get_number(turns->pair.other, 0) == 1);
	}
	return 0;
}

struct alarm_clock {
	struct brood_event *event;
	_Atomic int64_t set_at;
};

static int set_when_it_sleeps(void *arg)
{
	struct alarm_clock *clock = arg;

	must(brood_event_is_set(clock->event) == 0 && until_asleep(getppid()));
	usleep(3000);		/* it has looked for who has come, and sleeps again */
	must(until_asleep(getppid()));
	atomic_store(&clock->set_at, brood_now());
	must(brood_event_set(clock->event) == 0);
	for (;;)		/* its end would wake as well */
		pause();
}

/* All on the list are told, and one of them has a bell there, but sleeps by futex. */
IN_A_CHILD(a_wait_beside_its_own_bell_is_woken_at_once)
{
	struct alarm_clock *clock = shared(sizeof(*clock));
	int in_time = 0;

	clock->event = brood_event_create(NULL);
	must(unused == NULL && brood_event_fd(clock->event) >= 0);
	for (int round = 0; round < 5; round++) {	/* the machine may be busy */
		pid_t pid = start(set_when_it_sleeps, clock);

		must(brood_event_wait(clock->event, BROOD_FOREVER) == 0);
		in_time += brood_now() - atomic_load(&clock->set_at) < 30 * MS;
		must(brood_event_clear(clock->event) == 0);
		kill_child(pid);
	}
	must(in_time >= 3);		/* who looks by himself does it after 100 ms */
	return 0;
}

static int lease_and_wait(void *queue)
{
	struct brood_message message = { 0 };

	must(brood_queue_lease(queue, &message, BROOD_FOREVER) == 0);
	for (;;)
		pause();
}

/* A notifier was stopped between counting its alarm and ringing it, and we looked meanwhile. */
IN_A_CHILD(a_late_alarm_does_not_stay)
{
	struct brood_queue *queue = new_queue(8, 8);
	int fd = brood_queue_fd(queue, BROOD_READABLE), in_vain = 0;
	struct brood__member *entry;
	struct brood__here here;

	must(unused == NULL && brood__here(queue, &here) == 0);
	entry = &here.members->table[brood__token_id(here.token)];
	atomic_fetch_add(&entry->alarms, 1);
	must(get_number(queue, 0) == -EAGAIN);
	brood__doorbell_ring(atomic_load(&entry->bell), 0);
	while (readable(fd, 0) && in_vain++ < 10)
		must(get_number(queue, 0) == -EAGAIN);
	must(in_vain <= 2);
	return 0;
}

/* Nobody else is there to notice it: the pidfd does. */
IN_A_CHILD(a_death_rings)
{
	struct brood_queue *queue = new_queue(8, 8);
	int fd = brood_queue_fd(queue, BROOD_READABLE);
	unsigned int others = 60;
	pid_t pid;

	must(unused == NULL);
	while (others--)	/* more than watch for themselves */
		must(brood_queue_fd(new_queue(1, 8), BROOD_READABLE) >= 0);
	put_number(queue, 1, 0);
	pid = start(lease_and_wait, queue);
	while (brood_queue_empty(queue) != 1)
		usleep(100);
	until_asleep(pid);
	while (readable(fd, 0))
		must(get_number(queue, 0) == -EAGAIN);
	usleep(1000);
	must(!readable(fd, 0));
	kill(pid, SIGKILL);
	must(readable(fd, 5000));
	must(get_number(queue, 0) == 1);	/* the child is not reaped yet */
	must(get_number(queue, 0) == -EAGAIN);
	must(get_number(queue, 0) == -EAGAIN);
	must(!readable(fd, 0));		/* a zombie does not keep it ready */
	waitpid(pid, NULL, 0);
	return 0;
}

static int fds_now(void *unused)
{
	(void)unused;
	return count_fds();
}

static void *use_some(void *queue)
{
	struct brood_waitable item = { .kind = BROOD_WAIT_QUEUE, .object = queue };

	must(brood_queue_fd(queue, BROOD_READABLE) >= 0);
	must(brood_queue_fd(queue, BROOD_WRITABLE) >= 0);
	must(brood_wait(&item, 1, 0) == -EAGAIN);
	return NULL;
}

IN_A_CHILD(ends_with_the_thread_and_is_not_inherited)
{
	struct brood_queue *queue = new_queue(8, 8);
	int before, with;
	pthread_t thread;

	brood__doorbell_ring(1, 1);	/* one socket a process stays */
	before = count_fds();
	must(unused == NULL && pthread_create(&thread, NULL, use_some, queue) == 0);
	pthread_join(thread, NULL);
	must(count_fds() == before);
	use_some(queue);
	with = count_fds();
	must(with > before);
	must(run(fds_now, NULL) == before - 1);
	must(put_number(queue, 1, 0) == 0);
	/* The child's end is no matter. */
	must(readable(brood_queue_fd(queue, BROOD_READABLE), 0));
	return 0;
}

IN_A_CHILD(errors)
{
	struct brood_queue *queue = new_queue(8, 8);
	struct brood_event *event = brood_event_create(NULL);
	_Alignas(64) char elsewhere[64] = "";

	must(unused == NULL);
	must(brood_queue_fd(NULL, BROOD_READABLE) == -EINVAL);
	must(brood_queue_fd(queue, 0) == -EINVAL);
	must(brood_queue_fd(queue, 3) == -EINVAL);
	must(brood_queue_fd(queue, 4) == -EINVAL);
	must(brood_queue_fd((void *)elsewhere, BROOD_READABLE) == -EBADF);
	must(brood_queue_fd((void *)event, BROOD_READABLE) == -EBADF);
	must(brood_event_fd(NULL) == -EINVAL);
	must(brood_event_fd((void *)elsewhere) == -EBADF);
	must(brood_queue_fd_close(NULL, BROOD_READABLE) == -EINVAL);
	must(brood_queue_fd_close(queue, BROOD_READABLE) == -EBADF);
	must(brood_semaphore_fd_close(NULL) == -EINVAL);
	return 0;
}

IN_A_CHILD(without_descriptors)
{
	struct brood_queue *queue = new_queue(8, 8);
	int first = dup(0), fd;
	struct rlimit limit = { (rlim_t)first, (rlim_t)first };

	close(first);
	must(unused == NULL);
	limit.rlim_max = 100;
	for (limit.rlim_cur = (rlim_t)first; ; limit.rlim_cur++) {
		must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
		fd = brood_queue_fd(queue, BROOD_READABLE);
		if (fd >= 0)
			break;
		must(fd == -EMFILE);
	}
	/* Nothing leaked: alarm, set, socket, set. */
	must(limit.rlim_cur == (rlim_t)first + 4);
	must(!readable(fd, 0));
	/* It cannot ring: no error, and the next who can does. */
	must(put_number(queue, 1, 0) == 0);
	limit.rlim_cur++;
	must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	must(put_number(queue, 1, 0) == 0 && readable(fd, 0));
	return 0;
}

/* The owner rings for itself, and needs no descriptor more for that. */
IN_A_CHILD(the_last_descriptor_is_ready_from_the_beginning)
{
	struct brood_queue *queue = new_queue(8, 8);
	int first = dup(0), fd;
	struct rlimit limit = { (rlim_t)first + 4, (rlim_t)first + 4 };

	close(first);
	must(unused == NULL && put_number(queue, 1, 0) == 0);
	must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	fd = brood_queue_fd(queue, BROOD_READABLE);
	must(fd >= 0 && dup(0) < 0);
	must(readable(fd, 0));
	must(get_number(queue, 0) == 1 && get_number(queue, 0) == -EAGAIN);
	must(!readable(fd, 0));
	return 0;
}

static int join_and_pause(void *queue)
{
	must(brood_queue_count(queue) == 0);
	for (;;)
		pause();
}

/* A child that came by without the handlers of fork has copies of all: they keep nothing ready. */
IN_A_CHILD(copies_of_descriptors_do_not_keep_it_ready)
{
	struct brood_queue *queue = new_queue(8, 8);
	int fd = brood_queue_fd(queue, BROOD_READABLE), in_vain = 0;
	pid_t pid = start(join_and_pause, queue), copy;

	must(unused == NULL && readable(fd, 10000));
	while (readable(fd, 20))
		must(get_number(queue, 0) == -EAGAIN);
	copy = _Fork();
	if (copy == 0)
		for (;;)
			pause();
	kill(pid, SIGKILL);
	must(readable(fd, 5000));
	while (readable(fd, 0) && in_vain++ < 10)
		must(get_number(queue, 0) == -EAGAIN);
	kill_child(copy);
	must(end_of(pid) == -SIGKILL && in_vain < 10);
	return 0;
}

/* Who is woken for a message and has no room for it leaves it to others. */
static int get_too_little(void *queue)
{
	char byte;

	must(brood_queue_get(queue, &byte, 1, BROOD_FOREVER) == -EMSGSIZE);
	for (;;)
		pause();
}

IN_A_CHILD(it_rings_for_what_another_had_no_room_for)
{
	struct brood_queue *queue = new_queue(8, 8);
	int fd = brood_queue_fd(queue, BROOD_READABLE);

	must(unused == NULL);
	for (int round = 0; round < 4; round++) {	/* whoever is woken first */
		pid_t pid = start(get_too_little, queue);

		must(until_asleep(pid));
		while (readable(fd, 20))
			must(get_number(queue, 0) == -EAGAIN);
		must(until_asleep(pid) && put_number(queue, 1, 0) == 0);
		must(readable(fd, 5000) && get_number(queue, 0) == 1);
		kill_child(pid);
	}
	return 0;
}

/* ---- an event loop against producers ---- */

enum { PRODUCERS = 3, EACH = 4000, QUEUES = 50 };

static struct brood_queue *queues[QUEUES];

static int produce(void *unused)
{
	unsigned int seed = (unsigned int)getpid();

	(void)unused;
	for (int i = 0; i < EACH; i++) {
		must(put_number(queues[rand_r(&seed) % QUEUES], 1, BROOD_FOREVER) == 0);
		if (i % 50 == 0)
			usleep(100);
	}
	return 0;
}

IN_A_CHILD(no_readiness_is_lost)
{
	int set = epoll_create1(EPOLL_CLOEXEC), left = PRODUCERS * EACH;
	pid_t pids[PRODUCERS];

	must(unused == NULL && set >= 0);
	for (uint32_t i = 0; i < QUEUES; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		queues[i] = new_queue(2, 8);
		must(epoll_ctl(set, EPOLL_CTL_ADD, brood_queue_fd(queues[i], BROOD_READABLE),
			       &event) == 0);
	}
	for (int i = 0; i < PRODUCERS; i++)
		pids[i] = start(produce, NULL);
	while (left > 0) {
		struct epoll_event events[16];
		int n = epoll_wait(set, events, 16, 10000);

		must(n > 0);
		for (int i = 0; i < n; i++) {
			int64_t number = get_number(queues[events[i].data.u32], 0);

			must(number == 1 || number == -EAGAIN);
			left -= number == 1;
		}
	}
	for (int i = 0; i < PRODUCERS; i++)
		must(end_of(pids[i]) == 0);
	return 0;
}

int main(void)
{
	TCase *tests = new_case("descriptors", begin_test);

	tcase_add_test(tests, readable_while_there_is_a_message);
	tcase_add_test(tests, writable_while_there_is_room);
	tcase_add_test(tests, event_and_semaphore);
	tcase_add_test(tests, a_producer_pays_only_while_it_is_armed);
	tcase_add_test(tests, a_wait_does_not_disarm);
	tcase_add_test(tests, close_and_destroy_ring);
	tcase_add_test(tests, it_rings_though_the_owner_sleeps_elsewhere);
	tcase_add_test(tests, it_rings_though_the_owner_sleeps_on_many_others);
	tcase_add_test(tests, a_wait_beside_its_own_bell_is_woken_at_once);
	tcase_add_test(tests, a_late_alarm_does_not_stay);
	tcase_add_test(tests, a_death_rings);
	tcase_add_test(tests, ends_with_the_thread_and_is_not_inherited);
	tcase_add_test(tests, errors);
	tcase_add_test(tests, without_descriptors);
	tcase_add_test(tests, the_last_descriptor_is_ready_from_the_beginning);
	tcase_add_test(tests, copies_of_descriptors_do_not_keep_it_ready);
	tcase_add_test(tests, it_rings_for_what_another_had_no_room_for);
	tcase_add_test(tests, no_readiness_is_lost);
	return run_cases("descriptors", tests, NULL);
}
