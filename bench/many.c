/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for many things, and event loops.
 *
 * wait.many	a put into the last of n queues, until brood_wait over all of them has returned and
 *		the message is taken; beside poll over n eventfds
 * epoll.wake	a put, until the consumer that sleeps in epoll has the message
 * epoll.busy	messages through a queue whose descriptor the consumer has in epoll, beside the same
 *		queue with an eventfd that is written for each message
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <brood.h>

#include "peer.h"

#define MOST 1000

struct many {			/* a copy in each worker */
	unsigned int n;
	bool by_eventfd;
	bool single;		/* queues of one and one */
	struct brood_queue *queue[MOST];	/* of the last one the messages are taken */
	struct brood_waitable items[MOST];
	int fd[MOST];		/* eventfds, not more than are used */
	struct pollfd polled[MOST];
	int epoll;		/* of the consumer */
};

static void destroy(void *object)
{
	struct many *many = object;

	for (unsigned int i = 0; i < many->n; i++) {
		if (many->queue[i])
			brood_queue_destroy(many->queue[i]);
		if (many->fd[i] >= 0)
			close(many->fd[i]);
	}
	if (many->epoll >= 0)
		close(many->epoll);
	free(many);
}

static bool add(struct many *many, unsigned int i, const struct shape *shape)
{
	struct brood_queue_opts opts = {
		.slots = i + 1 == many->n ? shape->slots : 2,
		.max_bytes = shape->size, .extra = many->single ? 0 : 8,
		.producers = many->single, .consumers = many->single,
	};

	many->queue[i] = brood_queue_create(&opts);
	many->items[i] = (struct brood_waitable){ .kind = BROOD_WAIT_QUEUE,
						  .object = many->queue[i] };
	if (many->by_eventfd)
		many->fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	many->polled[i] = (struct pollfd){ .fd = many->fd[i], .events = POLLIN };
	return many->queue[i] && (!many->by_eventfd || many->fd[i] >= 0);
}

static void *create(const struct shape *shape, unsigned int n, bool by_eventfd, bool single)
{
	struct many *many = calloc(1, sizeof *many);

	if (!many)
		return NULL;
	many->n = n;
	many->by_eventfd = by_eventfd;
	many->single = single;
	many->epoll = -1;
	for (unsigned int i = 0; i < MOST; i++)
		many->fd[i] = -1;
	for (unsigned int i = 0; i < n; i++)
		if (!add(many, i, shape)) {
			destroy(many);
			return NULL;
		}
	return many;
}

static struct brood_queue *last(const struct many *many)
{
	return many->queue[many->n - 1];
}

/* ---- by brood ---- */

static void *brood_1(const struct shape *shape) { return create(shape, 1, false, false); }
static void *brood_spsc(const struct shape *shape) { return create(shape, 1, false, true); }
static void *brood_100(const struct shape *shape) { return create(shape, 100, false, false); }
static void *brood_1000(const struct shape *shape) { return create(shape, 1000, false, false); }

static int put(void *object, const void *data, size_t size)
{
	return brood_queue_put(last(object), data, size, BROOD_FOREVER);
}

static ssize_t get_by_wait(void *object, void *data, size_t size)
{
	struct many *many = object;
	ssize_t result;

	do {
		result = brood_wait(many->items, many->n, BROOD_FOREVER);
		if (result > 0)
			result = brood_queue_get(last(many), data, size, 0);
	} while (result == -EAGAIN);
	return result;
}

/* ---- by eventfds ---- */

static void *poll_1(const struct shape *shape) { return create(shape, 1, true, false); }
static void *poll_100(const struct shape *shape) { return create(shape, 100, true, false); }
static void *poll_1000(const struct shape *shape) { return create(shape, 1000, true, false); }

static int put_and_write(void *object, const void *data, size_t size)
{
	const struct many *many = object;
	uint64_t one = 1;
	int result = brood_queue_put(last(many), data, size, BROOD_FOREVER);

	if (result)
		return result;
	return write(many->fd[many->n - 1], &one, sizeof one) == sizeof one ? 0 : -errno;
}

static void clear_eventfd(const struct many *many)
{
	uint64_t count;

	while (read(many->fd[many->n - 1], &count, sizeof count) < 0 && errno == EINTR)
		;
}

static ssize_t get_by_poll(void *object, void *data, size_t size)
{
	struct many *many = object;
	ssize_t result;

	while ((result = brood_queue_get(last(many), data, size, 0)) == -EAGAIN) {
		if (poll(many->polled, many->n, -1) < 0 && errno != EINTR)
			return -errno;
		clear_eventfd(many);
	}
	return result;
}

/* ---- in epoll ---- */

/* Sleep until the descriptor is ready, as an event loop does. */
static int sleep_in_epoll(struct many *many)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (many->epoll < 0) {
		int fd = many->by_eventfd ? many->fd[0] :
					    brood_queue_fd(last(many), BROOD_READABLE);

		many->epoll = epoll_create1(EPOLL_CLOEXEC);
		if (fd < 0 || epoll_ctl(many->epoll, EPOLL_CTL_ADD, fd, &event))
			return -EBADF;
	}
	return epoll_wait(many->epoll, &event, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

static ssize_t get_by_epoll(void *object, void *data, size_t size)
{
	struct many *many = object;
	ssize_t result;

	while ((result = brood_queue_get(last(many), data, size, 0)) == -EAGAIN) {
		result = sleep_in_epoll(many);
		if (result)
			return result;
		if (many->by_eventfd)
			clear_eventfd(many);
	}
	return result;
}

const struct peer peer_many[PEER_MANY] = {
	{
		.name = "brood_1", .about = "brood_wait over 1 queue", .only = "wait.many",
		.create = brood_1, .destroy = destroy, .put = put, .get = get_by_wait,
	}, {
		.name = "brood_100", .about = "brood_wait over 100", .only = "wait.many",
		.create = brood_100, .destroy = destroy, .put = put, .get = get_by_wait,
	}, {
		.name = "brood_1000", .about = "brood_wait over 1,000", .only = "wait.many",
		.create = brood_1000, .destroy = destroy, .put = put, .get = get_by_wait,
	}, {
		.name = "poll_1", .about = "poll over 1 eventfd", .only = "wait.many",
		.create = poll_1, .destroy = destroy, .put = put_and_write, .get = get_by_poll,
	}, {
		.name = "poll_100", .about = "poll over 100", .only = "wait.many",
		.create = poll_100, .destroy = destroy, .put = put_and_write, .get = get_by_poll,
	}, {
		.name = "poll_1000", .about = "poll over 1,000", .only = "wait.many",
		.create = poll_1000, .destroy = destroy, .put = put_and_write, .get = get_by_poll,
	}, {
		.name = "brood", .about = "brood_queue_fd in epoll", .only = "epoll.wake",
		.create = brood_1, .destroy = destroy, .put = put, .get = get_by_epoll,
	}, {
		.name = "eventfd", .about = "eventfd in epoll", .only = "epoll.wake",
		.create = poll_1, .destroy = destroy, .put = put_and_write, .get = get_by_epoll,
	}, {
		.name = "brood", .about = "brood_queue_fd in epoll", .only = "epoll.busy",
		.create = brood_1, .destroy = destroy, .put = put, .get = get_by_epoll,
	}, {
		.name = "brood_spsc", .about = "the same of a queue of one and one",
		.only = "epoll.busy",
		.create = brood_spsc, .destroy = destroy, .put = put, .get = get_by_epoll,
	}, {
		.name = "eventfd", .about = "written for each message", .only = "epoll.busy",
		.create = poll_1, .destroy = destroy, .put = put_and_write, .get = get_by_epoll,
	},
};
