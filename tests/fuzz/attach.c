/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attaching to a segment that somebody else wrote, for libFuzzer: a valid segment with an object of every
 * kind, some of whose words were changed, is received and used. Whatever it holds, no call may read or
 * write outside of it, loop for ever, or crash; errors and wrong messages are all right.
 *
 * An input is records of 16 bytes: which word, how it is changed, the operand. The empty one is
 * the valid segment. `make fuzz` builds and runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brood.h>

#include "arena/arena.h"

#define BYTES (1u << 20)
#define MEMBERS 4
#define ROOM 4096

struct record {
	uint32_t word;
	uint32_t how;
	uint64_t operand;
};

static _Alignas(BROOD__LINE) uint64_t image[BYTES / sizeof(uint64_t)];
static size_t image_words;
static char scratch[ROOM];

/* ---- the valid segment ---- */

static void must(bool right, const char *what)
{
	if (right)
		return;
	perror(what);
	abort();
}

static void make_objects(struct brood_segment *segment)
{
	struct brood_queue_opts opts = {
		.slots = 4, .max_bytes = 40, .extra = 4, .segment = segment, .name = "queue",
	};
	struct brood_queue *queue = brood_queue_create(&opts), *joinable;
	struct brood_message message;

	opts.name = "joinable";
	opts.joinable = opts.producers_end = 1;
	joinable = brood_queue_create(&opts);
	must(queue && joinable, "queue");
	for (int i = 0; i < 3; i++)
		must(!brood_queue_put(queue, "message", 8, 0) &&
		     !brood_queue_put(joinable, "message", 8, 0), "put");
	must(!brood_queue_lease(queue, &message, 0), "lease");
	must(brood_alloc(segment, 100) != NULL, "memory");
}

/* By a child that is gone then: what it had is a dead member's. */
static void make_image(void)
{
	char name[64];
	pid_t pid;

	snprintf(name, sizeof(name), "/brood-fuzz-%d", (int)getpid());
	pid = fork();
	if (pid == 0) {
		struct brood_segment *segment = brood_segment_create(
			name, &(struct brood_segment_opts){ .bytes = BYTES, .members = MEMBERS });

		must(segment != NULL, "segment");
		make_objects(segment);
		image_words = atomic_load(&segment->header->top) / sizeof(uint64_t);
		_exit(0);
	}
	must(pid > 0, "fork");
	{
		int status, fd;

		waitpid(pid, &status, 0);
		fd = brood__shm_open(name);
		must(status == 0 && fd >= 0 && brood__file_read(fd, image, sizeof(image)) == 0,
		     "image");
		brood__shm_unlink(name);
		brood__fd_close(fd);
	}
	image_words = atomic_load(&((struct brood__header *)(void *)image)->top) /
		      sizeof(uint64_t);
}

/* ---- one of every kind, used ---- */

static void use_queue(struct brood_queue *queue)
{
	struct brood_message messages[3] = {
		{ .data = scratch, .size = 40, .length = 8 },
		{ .data = scratch + 64, .size = 40, .length = 8 },
	}, message = { .length = 8 };

	brood_queue_count(queue);
	brood_queue_full(queue);
	brood_queue_closed(queue);
	brood_queue_put(queue, scratch, 16, 0);
	brood_queue_put_many(queue, messages, 2, 0);
	brood_queue_get(queue, scratch, sizeof(scratch), 0);
	brood_queue_get_many(queue, messages, 2, 0);
	if (brood_queue_reserve(queue, &message) == 0) {
		memset(message.data, 1, message.size);
		message.length = message.size;
		brood_queue_commit(queue, &message, 0);
	}
	if (brood_queue_lease(queue, &message, 0) == 0) {
		memcpy(scratch, message.data, message.length);
		brood_queue_return(queue, &message);
	}
	brood_queue_task_done(queue);
	brood_queue_join(queue, 0);
	for (int i = 0; i < 10; i++)
		brood_queue_get(queue, scratch, sizeof(scratch), 0);
	brood_queue_close(queue);
	brood_queue_get(queue, scratch, sizeof(scratch), 0);
}

static void use_objects(struct brood_segment *segment)
{
	struct brood_segment_info info;
	static const char *const names[] = { "queue", "joinable" };
	void *memory;

	brood_segment_stat(segment, &info);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct brood_queue *queue = brood_queue_open(segment, names[i]);

		if (queue) {
			use_queue(queue);
			brood_deref(segment, brood_ref(segment, queue));
			brood_queue_destroy(queue);
		}
	}
	memory = brood_alloc(segment, 1000);
	if (memory) {
		memset(memory, 1, 1000);
		brood_free(segment, memory);
	}
	brood_segment_stat(segment, &info);
}

/* ---- an input ---- */

static void change(uint64_t *words, const struct record *record)
{
	uint64_t *word = &words[record->word % image_words];

	switch (record->how % 4) {
	case 0:
		*word = record->operand;
		break;
	case 1:
		*word ^= record->operand;
		break;
	case 2:
		*word += (uint64_t)(int8_t)record->operand;
		break;
	default:
		*word ^= 1ull << record->operand % 64;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t words[BYTES / sizeof(uint64_t)];
	struct brood_segment *segment;
	struct record record;
	int fd;

	if (image_words == 0)
		make_image();
	memcpy(words, image, image_words * sizeof(uint64_t));
	for (; size >= sizeof(record); data += sizeof(record), size -= sizeof(record)) {
		memcpy(&record, data, sizeof(record));
		change(words, &record);
	}
	fd = brood__memory_file("fuzz", BYTES);
	must(fd >= 0, "memory file");
	must(pwrite(fd, words, image_words * sizeof(uint64_t), 0) ==
	     (ssize_t)(image_words * sizeof(uint64_t)), "write");
	segment = brood__segment_open_fd(fd);
	if (!segment)
		return 0;
	use_objects(segment);
	brood_segment_close(segment);
	return 0;
}
