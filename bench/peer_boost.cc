/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Boost.Interprocess message_queue: messages under a mutex and two conditions. */
#include <config.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>

#include "peer.h"

namespace ipc = boost::interprocess;

/* The name is gone as soon as the queue is there: nothing stays behind, whatever happens. */
static void *create(const struct shape *shape)
{
	char name[64];

	std::snprintf(name, sizeof name, "brood-bench-%d", static_cast<int>(getpid()));
	try {
		std::unique_ptr<ipc::message_queue> queue(new ipc::message_queue(
			ipc::create_only, name, shape->slots, shape->size));
		ipc::message_queue::remove(name);
		return queue.release();
	} catch (const std::exception &) {
		ipc::message_queue::remove(name);
		errno = ENOMEM;
		return nullptr;
	}
}

static void destroy(void *queue)
{
	delete static_cast<ipc::message_queue *>(queue);
}

static int put(void *queue, const void *data, size_t size)
{
	try {
		static_cast<ipc::message_queue *>(queue)->send(data, size, 0);
		return 0;
	} catch (const std::exception &) {
		return -EIO;
	}
}

static ssize_t get(void *queue, void *data, size_t size)
{
	ipc::message_queue::size_type length = 0;
	unsigned int priority = 0;

	try {
		static_cast<ipc::message_queue *>(queue)->receive(data, size, length, priority);
		return static_cast<ssize_t>(length);
	} catch (const std::exception &) {
		return -EIO;
	}
}

/* In the order of struct peer: C++17 has no designated initialisers. */
extern "C" const struct peer peer_boost = {
	"boost", "Boost.Interprocess message_queue", 0, 0,
	create, destroy, nullptr,
	put, get,
	nullptr, nullptr,
	nullptr, nullptr, nullptr, nullptr,
	nullptr, nullptr, nullptr,
};
