/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * queue.broadcast: worker 0 puts, all others get every message. A round is a message put, or got,
 * so that the figure is the time over all of them.
 */
#include <config.h>

#include <errno.h>
#include <sched.h>
#include <string.h>

#include <brood.h>

#include "message.h"
#include "peer.h"

enum { WORDS = 8 };		/* of a message: 64 bytes */

struct meeting {
	struct brood_broadcast *broadcast;
	unsigned int subscribers;
	struct { _Alignas(64) uint64_t rounds; } counts[MESSAGE_PRODUCERS];
};

static void *create(const struct shape *shape)
{
	struct meeting *meeting = brood_alloc(NULL, sizeof *meeting);

	if (!meeting)
		return NULL;
	meeting->subscribers = shape->producers - 1;
	meeting->broadcast = brood_broadcast_create(&(struct brood_broadcast_opts){
		.slots = shape->slots,
		.max_bytes = WORDS * sizeof(uint64_t),
	});
	if (meeting->broadcast)
		return meeting;
	brood_free(NULL, meeting);
	return NULL;
}

static void destroy(void *object)
{
	struct meeting *meeting = object;

	brood_broadcast_destroy(meeting->broadcast);
	brood_free(NULL, meeting);
}

/* Every subscriber counts from the first message on, so nothing is put before all are there. */
static int put_rounds(struct meeting *meeting, unsigned int n)
{
	uint64_t words[WORDS];
	int result = 0;

	while (brood_broadcast_subscribers(meeting->broadcast) < (ssize_t)meeting->subscribers)
		sched_yield();
	message_prepare(words, WORDS);
	for (; n && result == 0; n--) {
		message_stamp(words, WORDS, meeting->counts[0].rounds++);
		result = brood_broadcast_put(meeting->broadcast, words, sizeof words,
					     BROOD_FOREVER);
	}
	return result;
}

static int get_rounds(struct meeting *meeting, unsigned int index, unsigned int n)
{
	uint64_t words[WORDS];
	int result = brood_broadcast_subscribe(meeting->broadcast);

	if (result && result != -EALREADY)
		return result;
	for (; n; n--) {
		ssize_t length = brood_broadcast_get(meeting->broadcast, words, sizeof words,
						     BROOD_FOREVER);

		if (length != sizeof words)
			return length < 0 ? (int)length : -EMSGSIZE;
		if (words[0] != meeting->counts[index].rounds++ || !message_whole(words, WORDS))
			return -EBADMSG;
	}
	return 0;
}

static int rounds(void *object, unsigned int index, unsigned int n)
{
	return index ? get_rounds(object, index, n) : put_rounds(object, n);
}

static bool right(void *object, uint64_t all)
{
	struct meeting *meeting = object;
	uint64_t sum = 0;

	for (unsigned int i = 0; i <= meeting->subscribers; i++) {
		if (meeting->counts[i].rounds != meeting->counts[0].rounds)
			return false;
		sum += meeting->counts[i].rounds;
	}
	return sum == all;
}

const struct peer peer_broadcast = {
	.name = "brood", .about = "brood_broadcast", .only = "queue.broadcast",
	.traits = PEER_TOGETHER,
	.create = create, .destroy = destroy,
	.rounds = rounds, .right = right,
};
