/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of rings, connections, broadcasts and queues of one and one. Each test runs in a
 * child, as in test_fd.c: the thread's socket of alarms stays open until it ends.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "wait/waitable.h"
#include "wait_kinds.h"

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

static int fd_of(const struct brood_waitable *item)
{
	switch (item->kind) {
	case BROOD_WAIT_RING:
		return brood_ring_fd(item->object, item->events);
	case BROOD_WAIT_CONN:
		return brood_conn_fd(item->object, item->events);
	case BROOD_WAIT_BROADCAST:
		return brood_broadcast_fd(item->object, item->events);
	default:
		return brood_queue_fd(item->object, item->events);
	}
}

static int no_fd_of(const struct brood_waitable *item)
{
	switch (item->kind) {
	case BROOD_WAIT_RING:
		return brood_ring_fd_close(item->object, item->events);
	case BROOD_WAIT_CONN:
		return brood_conn_fd_close(item->object, item->events);
	case BROOD_WAIT_BROADCAST:
		return brood_broadcast_fd_close(item->object, item->events);
	default:
		return brood_queue_fd_close(item->object, item->events);
	}
}

static bool is_armed(const struct brood_waitable *item)
{
	return brood__waitlist_any(brood__waitable_ops(item->kind)->list(item->object,
									 item->events));
}

/* Each test, by an int: of one kind. In a child, which gets the kind. */
#define OF_A_KIND(name) \
	static int name##_child(void *arg); \
	START_TEST(name) \
	{ ck_assert_int_eq(run(name##_child, (void *)(uintptr_t)&kinds[_i]), 0); } END_TEST \
	static int name##_child(void *arg)

OF_A_KIND(readable_as_long_as_it_is_ready)
{
	const struct kind *kind = arg;
	struct thing thing = kind->make();
	int fd = fd_of(&thing.item);

	must(fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC);
	must(fd_of(&thing.item) == fd);
	for (int round = 0; round < 20; round++) {
		must(!readable(fd, 0) && is_armed(&thing.item));
		must(kind->make_ready(&thing) == 0);
		must(!is_armed(&thing.item));	/* rung, and nobody is told again */
		must(readable(fd, 0) && readable(fd, 0));	/* level */
		must(kind->use(&thing) >= 0);
		must(kind->use(&thing) == -EAGAIN);
	}
	must(kind->make_ready(&thing) == 0);
	must(no_fd_of(&thing.item) == 0 && no_fd_of(&thing.item) == -EBADF);
	must(fcntl(fd, F_GETFD) < 0);
	fd = fd_of(&thing.item);	/* ready from the beginning */
	must(readable(fd, 0));
	must(no_fd_of(&thing.item) == 0);
	must(!is_armed(&thing.item));
	return 0;
}

/* It sleeps on the same list by futex, which clears the bit. */
OF_A_KIND(a_wait_does_not_disarm)
{
	const struct kind *kind = arg;
	struct thing thing = kind->make();
	int fd = fd_of(&thing.item);

	for (int round = 0; round < 10; round++) {
		must(brood_wait(&thing.item, 1, round & 1 ? brood_ms(1) : 0) < 0);
		must(!readable(fd, 0));
		must(kind->make_ready(&thing) == 0);
		must(readable(fd, 0));
		must(brood_wait(&thing.item, 1, BROOD_FOREVER) == 1);
		must(kind->use(&thing) >= 0 && kind->use(&thing) == -EAGAIN);
	}
	return 0;
}

OF_A_KIND(the_end_rings_and_stays)
{
	const struct kind *kind = arg;
	struct thing thing = kind->make();
	int fd = fd_of(&thing.item);

	must(!readable(fd, 0));
	must(kind->end(&thing) == 0);
	for (int i = 0; i < 3; i++) {
		must(readable(fd, 0));
		must(kind->use(&thing) == -EPIPE);
	}
	must(no_fd_of(&thing.item) == 0);
	return 0;
}

OF_A_KIND(destroy_rings)
{
	const struct kind *kind = arg;
	struct thing thing = kind->make(), other = kind->make();
	int fd = fd_of(&thing.item);

	must(!readable(fd, 0));
	must(kind->destroy(&thing) == 0);
	must(readable(fd, 0));
	must(kind->use(&thing) == -ESTALE);
	must(readable(fd, 0));
	/* Its memory is another's. */
	for (int i = 0; i < 4; i++)
		kind->make();
	must(no_fd_of(&thing.item) == 0 && no_fd_of(&thing.item) == -EBADF);
	fd = fd_of(&other.item);
	must(!readable(fd, 0));
	must(kind->make_ready(&other) == 0);
	must(readable(fd, 0));
	return 0;
}

static int make_ready_later(void *arg)
{
	struct thing *thing = arg;

	usleep(3000);
	if (thing->item.kind == BROOD_WAIT_CONN)
		return thing->item.events == BROOD_READABLE ? -conn_comes(thing) :
							      -conn_goes(thing);
	return thing->item.events == BROOD_READABLE ? -ring_comes(thing) : -ring_goes(thing);
}

/* Of a ring or a connection: by another process, and the kernel wakes who sleeps in poll. */
OF_A_KIND(another_process_rings)
{
	const struct kind *kind = arg;
	struct thing *thing = shared(sizeof(*thing));
	int fd;

	*thing = kind->make();
	fd = fd_of(&thing->item);
	for (int round = 0; round < 10; round++) {
		pid_t pid;

		while (kind->use(thing) >= 0)
			;
		pid = start(make_ready_later, thing);
		do
			must(readable(fd, 10000));	/* a child has come: looked at in vain */
		while (kind->use(thing) == -EAGAIN);
		must(end_of(pid) == 0);
	}
	return 0;
}

OF_A_KIND(without_the_fence_there_is_none)
{
	const struct kind *kind = arg;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };
	struct thing thing = kind->make();
	int64_t begin = brood_now();

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		skipped("no seccomp here");
		return 0;
	}
	must(fd_of(&thing.item) == -ENOTSUP);
	must(no_fd_of(&thing.item) == -EBADF);
	/* brood_wait looks by itself. */
	must(brood_wait(&thing.item, 1, brood_ms(3)) == -ETIMEDOUT);
	must(brood_now() - begin < 5000 * MS);
	must(kind->make_ready(&thing) == 0);
	must(brood_wait(&thing.item, 1, BROOD_FOREVER) == 1);
	return 0;
}

#define IN_A_CHILD(name) \
	static int name##_child(void *unused); \
	START_TEST(name) { ck_assert_int_eq(run(name##_child, NULL), 0); } END_TEST \
	static int name##_child(void *unused)

/* Room for the message that had none, not just any. By an int: a ring, a connection. */
static int put_long(struct thing *thing)
{
	char data[250] = "";

	if (thing->item.kind == BROOD_WAIT_RING)
		return brood_ring_put(thing->item.object, data, 250, 0);
	return brood_conn_send(thing->item.object, data, 250, 0);
}

OF_A_KIND(writable_when_what_was_too_long_fits)
{
	const struct kind *kind = arg;
	struct thing thing = kind->make();
	int fd = fd_of(&thing.item), gone = 0;

	if (thing.item.events != BROOD_WRITABLE)
		return 0;
	must(!readable(fd, 0));
	while (put_long(&thing) == -EAGAIN) {
		must(!readable(fd, 0));
		must(kind->make_ready(&thing) == 0);
		must(readable(fd, 0));		/* once in vain */
		gone++;
	}
	must(gone >= 4);
	must(kind->use(&thing) == 0 || kind->use(&thing) == -EAGAIN);
	return 0;
}

/* A send that has to wait for another one, and then for the fd only. */
IN_A_CHILD(writable_when_another_has_sent)
{
	struct pieces *pieces = new_pieces(1024, 500);
	int fd = brood_conn_fd(pieces->end[1], BROOD_WRITABLE);
	char data[500] = "";
	pid_t sender;

	must(unused == NULL);
	for (int round = 0; round < 5; round++) {
		while (brood_conn_send(pieces->end[1], data, 64, 0) == 0)
			;
		pieces->timeout = brood_ms(30);
		sender = a_sender_that_waits(pieces);
		while (brood_conn_send(pieces->end[1], data, 64, 0) == -EAGAIN)
			must(readable(fd, 10000));
		must(end_of(sender) == ETIMEDOUT);
		while (brood_conn_recv(pieces->end[0], data, 500, 0) >= 0)
			;
	}
	return 0;
}

IN_A_CHILD(readable_from_the_first_piece_on)
{
	struct pieces *pieces = new_pieces(1024, 20000);
	int fd = brood_conn_fd(pieces->end[0], BROOD_READABLE);
	char *data = malloc(20000);
	pid_t sender;

	must(unused == NULL && data);
	for (int round = 0; round < 10; round++) {
		bool dies = round & 1;
		ssize_t n;

		must(brood_conn_poll(pieces->end[0], 0) == -EAGAIN);
		sender = start(send_long, pieces);
		do
			must(readable(fd, 10000));
		while (brood_conn_poll(pieces->end[0], 0) == -EAGAIN);
		must(readable(fd, 0));
		if (dies) {
			kill_child(sender);
			must(brood_conn_recv(pieces->end[0], data, 20000, 0) == -EAGAIN);
			must(brood_conn_recv(pieces->end[0], data, 20000, 0) == -EAGAIN);
			must(!readable(fd, 0));
		} else {
			n = brood_conn_recv(pieces->end[0], data, 20000, 0);
			must(n == 20000 && end_of(sender) == 0);
		}
	}
	free(data);
	return 0;
}

struct holder {
	struct brood_conn *end[2];
	_Atomic bool ready;
};

static int hold_the_sending_end(void *arg)
{
	struct holder *holder = arg;

	must(brood_conn_close(holder->end[0]) == 0);
	atomic_store(&holder->ready, true);
	for (;;)
		pause();
}

/* Nobody else is there to notice it: the pidfd does. */
IN_A_CHILD(the_death_of_the_last_writer_rings)
{
	struct holder *holder = shared(sizeof(*holder));
	pid_t pid;
	int fd;

	new_pipe(holder->end, 0, true);
	fd = brood_conn_fd(holder->end[0], BROOD_READABLE);
	pid = start(hold_the_sending_end, holder);
	must(unused == NULL && brood_conn_close(holder->end[1]) == 0);
	while (!atomic_load(&holder->ready))
		usleep(100);
	while (readable(fd, 0))
		must(brood_conn_recv(holder->end[0], NULL, 0, 0) == -EAGAIN);
	must(!readable(fd, 10));
	kill(pid, SIGKILL);
	must(readable(fd, 5000));
	must(brood_conn_recv(holder->end[0], NULL, 0, 0) == -EPIPE);	/* it is not reaped yet */
	must(readable(fd, 0));
	waitpid(pid, NULL, 0);
	return 0;
}

IN_A_CHILD(errors)
{
	_Alignas(64) char elsewhere[512] = "";
	struct brood_event *event = brood_event_create(NULL);
	struct brood_conn *end[2];
	struct thing thing;

	must(unused == NULL);
	for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
		thing = kind->make();
		must(no_fd_of(&thing.item) == -EBADF);
		for (uint16_t events = 0; events < 8; events++) {
			struct brood_waitable item = thing.item;

			item.events = events;
			must(events == 1 || events == 2 || fd_of(&item) == -EINVAL);
			item.events = thing.item.events;
			item.object = NULL;
			must(fd_of(&item) == -EINVAL && no_fd_of(&item) == -EINVAL);
			item.object = elsewhere + 256;
			must(fd_of(&item) == -EBADF && no_fd_of(&item) == -EBADF);
			item.object = event;
			must(fd_of(&item) == -EBADF && no_fd_of(&item) == -EBADF);
		}
		must(kind->destroy(&thing) == 0);
		must(fd_of(&thing.item) == -ESTALE);
	}
	new_pipe(end, 0, true);
	must(brood_conn_fd(end[0], BROOD_WRITABLE) == -EBADF);
	must(brood_conn_fd(end[1], BROOD_READABLE) == -EBADF);
	must(brood_conn_close(end[0]) == 0);
	must(brood_conn_fd(end[0], BROOD_READABLE) == -EBADF);
	must(brood_broadcast_fd(new_broadcast(2, false), BROOD_READABLE) == -ENOTCONN);
	return 0;
}

/* Closed by the thread that has a descriptor of it: the next call says so. */
IN_A_CHILD(closed_end_is_ready)
{
	struct brood_conn *end[2];
	int fd;

	new_pipe(end, 0, false);
	fd = brood_conn_fd(end[0], BROOD_READABLE);
	must(unused == NULL && !readable(fd, 0));
	must(brood_conn_close(end[0]) == 0);
	must(readable(fd, 0));
	must(brood_conn_recv(end[0], NULL, 0, 0) == -EBADF);
	must(brood_conn_fd_close(end[0], BROOD_READABLE) == 0);
	return 0;
}

/* ---- an event loop against producers ---- */

enum { PRODUCERS = 3, EACH = 3000, THINGS = 40 };

static struct thing things[THINGS];
static const struct kind *kind_of[THINGS];

/* The producer of every third: some objects have only one. */
static int produce(void *arg)
{
	int first = (int)(uintptr_t)arg;
	unsigned int seed = (unsigned int)getpid();

	for (int i = 0; i < EACH; i++) {
		int which = first + PRODUCERS * (int)((unsigned int)rand_r(&seed) %
						      ((THINGS - (unsigned int)first + 2) / 3));
		struct brood_waitable writable = things[which].item;
		int result;

		writable.events = BROOD_WRITABLE;
		if (writable.kind == BROOD_WAIT_CONN)
			writable.object = things[which].other;
		while ((result = kind_of[which]->make_ready(&things[which])) == -EAGAIN)
			must(brood_wait(&writable, 1, BROOD_FOREVER) == 1);
		must(result == 0);
		if (i % 50 == 0)
			usleep(100);
	}
	return 0;
}

/* All that can be read from, and by one thread. */
IN_A_CHILD(no_readiness_is_lost)
{
	int set = epoll_create1(EPOLL_CLOEXEC), left = PRODUCERS * EACH;
	pid_t pids[PRODUCERS];

	must(unused == NULL && set >= 0);
	for (uint32_t i = 0, k = 0; i < THINGS; k++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
		const struct kind *kind = &kinds[k % KINDS];

		if (kind->make == full_ring || kind->make == full_conn ||
		    kind->make == full_broadcast || kind->make == full_single)
			continue;
		kind_of[i] = kind;
		things[i] = kind->make();
		must(epoll_ctl(set, EPOLL_CTL_ADD, fd_of(&things[i].item), &event) == 0);
		i++;
	}
	for (uintptr_t i = 0; i < PRODUCERS; i++)
		pids[i] = start(produce, (void *)i);
	while (left > 0) {
		struct epoll_event events[16];
		int n = epoll_wait(set, events, 16, 10000);

		must(n > 0);
		for (int i = 0; i < n; i++) {
			uint32_t which = events[i].data.u32;
			ssize_t result = kind_of[which]->use(&things[which]);

			must(result == 1 || result == -EAGAIN);
			left -= result == 1;
		}
	}
	for (int i = 0; i < PRODUCERS; i++)
		must(end_of(pids[i]) == 0);
	return 0;
}

int main(void)
{
	TCase *tests = new_case("descriptors", begin_test);

	tcase_add_loop_test(tests, readable_as_long_as_it_is_ready, 0, KINDS);
	tcase_add_loop_test(tests, a_wait_does_not_disarm, 0, KINDS);
	tcase_add_loop_test(tests, the_end_rings_and_stays, 0, KINDS);
	tcase_add_loop_test(tests, destroy_rings, 0, KINDS);
	tcase_add_loop_test(tests, another_process_rings, 0, 5);
	tcase_add_loop_test(tests, without_the_fence_there_is_none, 0, KINDS);
	tcase_add_loop_test(tests, writable_when_what_was_too_long_fits, 0, 5);
	tcase_add_test(tests, writable_when_another_has_sent);
	tcase_add_test(tests, readable_from_the_first_piece_on);
	tcase_add_test(tests, the_death_of_the_last_writer_rings);
	tcase_add_test(tests, errors);
	tcase_add_test(tests, closed_end_is_ready);
	tcase_add_test(tests, no_readiness_is_lost);
	return run_cases("descriptors of all kinds", tests, NULL);
}
