/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors to sleep on: doorbells, sets of descriptors.
 *
 * A doorbell is a UNIX datagram socket with an abstract name, made of two numbers. Whoever knows
 * them can ring it by an empty datagram, related to its owner or not; nothing has to be handed
 * over, and nothing is left in the file system. An eventfd is cheaper by a microsecond, but to
 * reach another process's one has to be given it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "platform/platform.h"

enum {
	DRAIN_AT_ONCE = 12,	/* the kernel queues 10, by default, and it may be more */
	DRAIN_MOST = 1200,
};

static char *write_hex(char *at, uint64_t number, int digits)
{
	for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[number >> shift & 15];
	return at;
}

/* "brood-NUMBER-NAME", behind a zero. */
static socklen_t name_it(struct sockaddr_un *address, uint64_t number, uint32_t name)
{
	static const char prefix[] = "brood-";
	char *at = address->sun_path;

	address->sun_family = AF_UNIX;
	*at++ = 0;
	memcpy(at, prefix, sizeof(prefix) - 1);
	at = write_hex(at + sizeof(prefix) - 1, number, 16);
	*at++ = '-';
	at = write_hex(at, name, 8);
	return (socklen_t)(at - (char *)address);
}

static int dgram_socket(void)
{
	return brood__fd_lift(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int brood__doorbell_make(uint64_t number, uint32_t name)
{
	struct sockaddr_un address;
	socklen_t length = name_it(&address, number, name);
	int fd = dgram_socket();

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, length)) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

/*
 * One socket a process, made when first needed, sends all. The program may have closed it, and its
 * number be another file's: an empty datagram to a UNIX address harms none, and if it cannot be
 * sent by this, then by a new one. A forked child makes its own.
 *
 * sender = { inode:32 | number + 1:32 }, 0 = none
 */
static _Atomic uint64_t sender;

static int number_of(uint64_t word)
{
	return (int)(uint32_t)word - 1;
}

static uint64_t word_of(int fd, int number)
{
	struct stat status;

	if (fstat(fd, &status) || !S_ISSOCK(status.st_mode))
		return 0;
	return (uint64_t)status.st_ino << 32 | ((uint32_t)number + 1);
}

static void forget_sender(void)
{
	uint64_t word = atomic_exchange_explicit(&sender, 0, memory_order_relaxed);

	if (word)
		close(number_of(word));
}

static void after_forks(void) __attribute__((constructor));
static void after_forks(void)
{
	pthread_atfork(NULL, NULL, forget_sender);
}

static int new_sender(uint64_t old)
{
	int fd = dgram_socket();

	if (fd >= 0 && !atomic_compare_exchange_strong_explicit(&sender, &old, word_of(fd, fd),
								memory_order_relaxed,
								memory_order_relaxed)) {
		close(fd);	/* another thread was quicker */
		fd = number_of(old);
	}
	return fd;
}

static int send_by(int fd, const struct sockaddr_un *address, socklen_t length)
{
	if (fd < 0)
		return fd;
	return sendto(fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)address,
		      length) ? -errno : 0;
}

/* Under the old one's number, and only if that is still ours. */
static void replace_sender(uint64_t old, int fd)
{
	int number = number_of(old);

	if (word_of(number, number) == old &&
	    atomic_compare_exchange_strong_explicit(&sender, &old, word_of(fd, number),
						    memory_order_relaxed, memory_order_relaxed))
		dup3(fd, number, O_CLOEXEC);
}

/*
 * -EAGAIN is either that the doorbell's queue is full, which is as good as rung, or that too many
 * datagrams of this sender lie unread somewhere, some 270: a new one tells, and goes on then.
 */
static int send_anew(uint64_t old, const struct sockaddr_un *address, socklen_t length)
{
	int fd = dgram_socket();
	int result = fd < 0 ? -errno : send_by(fd, address, length);

	if (result == 0)
		replace_sender(old, fd);
	if (fd >= 0)
		close(fd);
	return result == -EAGAIN ? 0 : result;
}

int brood__doorbell_ring(uint64_t number, uint32_t name)
{
	struct sockaddr_un address;
	socklen_t length = name_it(&address, number, name);
	uint64_t word = atomic_load_explicit(&sender, memory_order_relaxed);
	int fd, result = word ? send_by(number_of(word), &address, length) : -EBADF;

	if (result == -EAGAIN)
		return send_anew(word, &address, length);
	if (result == 0 || result == -ECONNREFUSED)
		return result;
	fd = new_sender(word);
	return fd < 0 ? -EMFILE : send_by(fd, &address, length);
}

int brood__doorbell_ring_own(int fd, uint64_t number, uint32_t name)
{
	struct sockaddr_un address;
	socklen_t length = name_it(&address, number, name);

	return send_by(fd, &address, length);
}

/*
 * As many at once as there usually are at most, so that one call tells that it was all. No byte is
 * read: should the program have closed it, its number may be that of a stream.
 */
void brood__doorbell_drain(int fd)
{
	struct mmsghdr none[DRAIN_AT_ONCE] = { 0 };

	for (int i = 0; i < DRAIN_MOST / DRAIN_AT_ONCE; i++)
		if (recvmmsg(fd, none, DRAIN_AT_ONCE, MSG_DONTWAIT, NULL) < DRAIN_AT_ONCE)
			break;
}

uint64_t brood__random(void)
{
	uint64_t number = 0;

	while (number == 0)
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			number = (uint64_t)brood_now() << 20 ^ (uint64_t)gettid();
	return number;
}

int brood__set_make(void)
{
	int fd = brood__fd_lift(epoll_create1(EPOLL_CLOEXEC));

	return fd < 0 ? -errno : fd;
}

int brood__set_add(int set, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

void brood__set_remove(int set, int fd)
{
	epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL);
}

int brood__poll(struct pollfd *fds, size_t n, int64_t deadline)
{
	struct timespec left = { 0 };
	int64_t ns = deadline && deadline != BROOD__NO_DEADLINE ? deadline - brood_now() : 0;
	int result;

	if (ns > 0) {
		left.tv_sec = ns / 1000000000;
		left.tv_nsec = ns % 1000000000;
	}
	result = ppoll(fds, (nfds_t)n, deadline == BROOD__NO_DEADLINE ? NULL : &left, NULL);
	return result < 0 ? -errno : result;
}
