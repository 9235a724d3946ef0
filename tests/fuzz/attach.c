/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Segments that somebody else wrote, for libFuzzer: a segment as a crew left it that was killed at
 * work, some of whose words were changed, is received and used; more words are changed while it is
 * used. Whatever it holds, no call may read or write outside of it, loop for ever, or crash; errors
 * and wrong messages are all right. `make fuzz` builds and runs it.
 *
 * An input is { scene, flags }, then records of 8 bytes, done in order: a change of a word, or a call.
 * What is changed before the first call is there when the segment is attached to. Without any call
 * all of the scene's are made in turn.
 *
 * What is changed later spares two things: our own life in the table of members, where the C library's
 * list of robust words goes through; and the sizes of a queue, which are checked when it is found, and
 * believed from then on.
 *
 * The segment stays mapped from one input to the next; the caller leaves and joins. The
 * seeds, each scene as it is, are written to the first directory among the arguments.
 */
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"
#include "queue/queue.h"

static const struct scene *const scenes[] = {
	&fuzz_queue, &fuzz_joinable, &fuzz_seats, &fuzz_single, &fuzz_single_lines, &fuzz_sparse,
	&fuzz_references, &fuzz_ring, &fuzz_pipe, &fuzz_simplex, &fuzz_broadcast, &fuzz_lossy,
	&fuzz_locks, &fuzz_waits, &fuzz_memory,
};

enum {
	SCENES = sizeof(scenes) / sizeof(scenes[0]),
	FILES = SCENES,		/* the last number: no scene */
	BEHIND = 1024,		/* bytes behind the last block that are changed too */
	ROOMS = 64,
};

enum { AS_ALIVE = 1, FRESHLY = 2 };	/* flags: the crew lives; by a descriptor, not mapped before */

struct record {
	uint8_t what;		/* below 128: a call; else a change */
	uint8_t how;
	uint16_t where;
	uint32_t operand;
};

static struct stage {
	struct brood_segment *segment;
	char *image;
	size_t bytes;		/* of it; the rest is zero */
} stages[SCENES];

void fuzz_must(bool right, const char *what)
{
	if (right)
		return;
	perror(what);
	abort();
}

/* ---- rooms ---- */

static void *rooms[ROOMS];
static unsigned int n_rooms;

void *fuzz_room(size_t bytes)
{
	void *room = malloc(bytes);

	fuzz_must(room != NULL, "malloc");
	memset(room, 'r', bytes);
	if (n_rooms == ROOMS)
		fuzz_room_free();
	return rooms[n_rooms++] = room;
}

void fuzz_room_free(void)
{
	while (n_rooms)
		free(rooms[--n_rooms]);
}

/* ---- the stages ---- */

static void leave_as_dead(const struct scene *scene, const char *name)
{
	struct brood_segment *segment = brood_segment_create(
		name, &(struct brood_segment_opts){ .bytes = FUZZ_BYTES, .members = FUZZ_MEMBERS });

	fuzz_must(segment != NULL, "segment");
	scene->make(segment);
	kill(getpid(), SIGKILL);
}

static void set_stage(const struct scene *scene, struct stage *stage)
{
	char name[64];
	int status;
	pid_t pid;

	snprintf(name, sizeof(name), "/fuzz-%d", (int)getpid());
	pid = fork();
	if (pid == 0)
		leave_as_dead(scene, name);
	fuzz_must(pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
		  WTERMSIG(status) == SIGKILL, scene->name);
	stage->segment = brood_segment_open(name);
	brood_segment_unlink(name);
	fuzz_must(stage->segment != NULL, "open");
	stage->bytes = atomic_load(&stage->segment->header->top) + BEHIND;
	stage->image = malloc(stage->bytes);
	fuzz_must(stage->image != NULL, "malloc");
	memcpy(stage->image, stage->segment->base, stage->bytes);
}

static void write_seeds(const char *directory)
{
	for (uint8_t i = 0; i <= SCENES; i++)
		for (uint8_t flags = 0; flags < 2; flags++) {
			const uint8_t seed[2] = { i, flags };
			char path[512];
			int fd;

			snprintf(path, sizeof(path), "%s/seed-%s-%s", directory,
				 i < SCENES ? scenes[i]->name : "files", flags ? "alive" : "dead");
			fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
			if (fd < 0)
				continue;
			fuzz_must(write(fd, seed, sizeof(seed)) == sizeof(seed), path);
			close(fd);
		}
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct stat status;

	for (int i = 0; i < SCENES; i++)
		set_stage(scenes[i], &stages[i]);
	for (int i = 1; i < *argc; i++)
		if (stat((*argv)[i], &status) == 0 && S_ISDIR(status.st_mode)) {
			write_seeds((*argv)[i]);
			break;
		}
	return 0;
}

/* ---- an input ---- */

struct play {
	const struct scene *scene;
	struct brood_segment *segment;
	char *base;
	size_t bytes;
	bool live;		/* the segment is in use */
	struct world world;
};

static uint64_t token_of(const struct play *play, uint32_t id)
{
	const struct brood__member *table = (const void *)(play->base + brood__page_size());

	id %= FUZZ_MEMBERS;
	return (uint64_t)atomic_load(&table[id].life.incarnation) << 32 | (uint64_t)(id + 1) << 16;
}

/* Values that words of this kind have. */
static uint64_t likely(const struct play *play, uint32_t operand)
{
	const uint64_t values[] = {
		0, 1, UINT64_MAX, INT64_MAX, 1ull << 63, UINT32_MAX, FUZZ_BYTES, play->bytes - BEHIND,
		token_of(play, operand >> 8), token_of(play, operand >> 8) | 1,
		(uint64_t)(operand >> 8) << 34 | 2, (uint64_t)(operand >> 8) << 34 | 1,
		BROOD__LIFE_DEAD | BROOD__LIFE_WATCHED, BROOD__LIFE_WATCHED | 1, operand >> 8,
		(uint64_t)(operand >> 8) << 20, (uint64_t)(operand >> 8) << 32,
	};

	return values[(operand & 0xff) % (sizeof(values) / sizeof(values[0]))];
}

static bool lies_in(const char *at, const void *from, size_t bytes)
{
	return from && (uintptr_t)at - (uintptr_t)from < bytes;
}

static bool is_spared(const struct play *play, const char *at)
{
	const struct brood__members *members = &play->segment->members;
	uint32_t id = brood__self ? brood__self->ids[members->seat] : 0;

	if (id && lies_in(at, &members->table[id - 1].life, sizeof(struct brood__life)))
		return true;
	for (unsigned int i = 0; i < OBJECTS; i++) {
		const struct brood_queue *queue = play->world.object[i];

		if (play->scene->queues >> i & 1 &&
		    lies_in(at, &queue->max_bytes, offsetof(struct brood_queue, tail) -
						   offsetof(struct brood_queue, max_bytes)))
			return true;
	}
	return false;
}

static void change(const struct play *play, const struct record *record)
{
	size_t words = play->bytes / sizeof(uint64_t), at = record->where % words;
	uint64_t *word = (uint64_t *)(void *)play->base + at;
	uint64_t operand = record->operand;

	if (play->live && is_spared(play, (const char *)word))
		return;
	switch (record->how % 8) {
	case 0:
		*word = operand;
		break;
	case 1:
		*word = operand << 32 | (*word & UINT32_MAX);
		break;
	case 2:
		*word = (*word & ~(uint64_t)UINT32_MAX) | operand;
		break;
	case 3:
		*word += (uint64_t)(int8_t)operand << (operand >> 8 & 63);
		break;
	case 4:
		*word ^= 1ull << operand % 64;
		break;
	case 5:
		*word = ((uint64_t *)(void *)play->base)[operand % words];
		break;
	default:
		*word = likely(play, record->operand);
	}
}

static void crew_lives(char *base)
{
	struct brood__member *table = (void *)(base + brood__page_size());

	for (uint32_t id = 0; id < FUZZ_MEMBERS; id++)
		if (atomic_load(&table[id].life.word))
			atomic_store(&table[id].life.word, BROOD__LIFE_WATCHED | 1);
}

/* The content of the first block: where scenes without names begin. */
static void *first_content(struct brood_segment *segment)
{
	struct brood__block *block = brood__block_first(segment);

	return block ? brood__block_content(block) : NULL;
}

static bool enter(struct play *play)
{
	struct world *world = &play->world;

	play->live = true;
	fuzz_calm(play->segment);
	world->segment = play->segment;
	world->object[0] = first_content(play->segment);
	world->size = 16;
	return play->scene->open(world);
}

static void call(struct play *play, unsigned int which, const struct record *record)
{
	static const uint32_t sizes[] = { 0, 1, 8, 15, 16, 24, 40, 64, 100, 130, 300, 999, 5000 };

	play->world.timeout = record->how & 1 ? brood_ms(1) : 0;
	play->world.size = sizes[(record->how >> 1) % (sizeof(sizes) / sizeof(sizes[0]))];
	play->scene->calls[which % play->scene->n_calls](&play->world);
	fuzz_room_free();
}

static void call_all(struct play *play)
{
	const struct record record = { .how = 4 << 1 };

	for (unsigned int i = 0; i < play->scene->n_calls; i++)
		call(play, i, &record);
}

/* The changes up to the first call. What is left. */
static size_t change_first(const struct play *play, const uint8_t **data, size_t size)
{
	struct record record;

	for (; size >= sizeof(record); *data += sizeof(record), size -= sizeof(record)) {
		memcpy(&record, *data, sizeof(record));
		if (record.what < 128)
			break;
		change(play, &record);
	}
	return size;
}

static void act(struct play *play, const uint8_t *data, size_t size)
{
	struct record record;

	if (!enter(play))
		return;
	if (size < sizeof(record))
		call_all(play);
	for (; size >= sizeof(record); data += sizeof(record), size -= sizeof(record)) {
		memcpy(&record, data, sizeof(record));
		if (record.what < 128)
			call(play, record.what, &record);
		else
			change(play, &record);
	}
}

/* On the stage itself: nothing is mapped or unmapped. */
static void play_on(const struct stage *stage, struct play *play, const uint8_t *data, size_t size,
		    bool alive)
{
	struct brood_segment *segment = stage->segment;
	size_t page = brood__page_size(), pages = (stage->bytes + page - 1) / page * page;

	play->base = segment->base;
	memcpy(segment->base, stage->image, stage->bytes);
	memset(segment->base + stage->bytes, 0, pages - stage->bytes);
	brood__memory_decommit(segment->fd, pages, FUZZ_BYTES - pages);
	if (alive)
		crew_lives(segment->base);
	size = change_first(play, &data, size);
	if (brood__segment_attach(segment))
		return;
	play->segment = segment;
	act(play, data, size);
	brood__member_leave(&segment->members);
}

/* As a stranger does it. */
static void play_afresh(const struct stage *stage, struct play *play, const uint8_t *data,
			size_t size, bool alive)
{
	int fd = brood__memory_file("fuzz", FUZZ_BYTES);

	fuzz_must(fd >= 0, "memory file");
	play->base = malloc(stage->bytes);
	fuzz_must(play->base != NULL, "malloc");
	memcpy(play->base, stage->image, stage->bytes);
	if (alive)
		crew_lives(play->base);
	size = change_first(play, &data, size);
	fuzz_must(pwrite(fd, play->base, stage->bytes, 0) == (ssize_t)stage->bytes, "write");
	free(play->base);
	play->segment = brood__segment_open_fd(fd);
	if (!play->segment)
		return;
	play->base = play->segment->base;
	act(play, data, size);
	fuzz_must(brood_segment_close(play->segment) == 0, "close");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct stage *stage;
	struct play play = { 0 };
	uint8_t which, flags;

	if (size < 2)
		return 0;
	which = data[0] % (SCENES + 1);
	flags = data[1];
	data += 2;
	size -= 2;
	if (which == FILES) {
		fuzz_files(data, size, stages[0].image, stages[0].bytes);
		return 0;
	}
	stage = &stages[which];
	play.scene = scenes[which];
	play.bytes = stage->bytes;
	if (flags % 64 == FRESHLY || flags % 64 == (FRESHLY | AS_ALIVE))
		play_afresh(stage, &play, data, size, flags & AS_ALIVE);
	else
		play_on(stage, &play, data, size, flags & AS_ALIVE);
	return 0;
}
