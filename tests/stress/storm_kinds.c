/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Storms of kills, one for each kind of object: eight members use it, random ones are killed with
 * SIGKILL, now and then all of one task at once, and replaced. What must hold meanwhile is said in
 * the file of the kind. At the end all objects are destroyed, and nothing is left (storm_end.h).
 * Each kind is played twice: in the family arena and in a named segment.
 *
 *	storm_kinds [KIND [KILLS]]	all kinds, as many kills as fit into a short time
 */
#define _GNU_SOURCE
#include "storm_kinds.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storm_end.h"

#define SHORT 700000000ll	/* ns; of one run, unless kills are given */
#define STALL_LIMIT 5000000000ll
#define LOOK 50000000ll
#define PAUSE 1500u		/* us between kills, at most */

static const struct kind *const kinds[] = {
	&kind_bytes, &kind_broadcast, &kind_lossy, &kind_pipe, &kind_senders, &kind_buffers,
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct control *control;

static const struct kind *kind;
static struct brood_process *worker[WORKERS];

/* ---- for all ---- */

uint32_t random_below(uint32_t n)
{
	static uint64_t state;
	static pid_t owner;

	if (owner != getpid()) {
		owner = getpid();
		state = (uint64_t)brood_now() * 2654435761u ^ (uint64_t)owner << 32;
	}
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % n;
}

int64_t some_timeout(void)
{
	return random_below(2) ? BROOD_FOREVER : brood_ms(1000);
}

void progress(uint32_t me, int64_t n)
{
	if (n > 0)
		atomic_fetch_add(&control->place[me].messages, (uint64_t)n);
}

void fault(const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	if (atomic_fetch_add(&control->faults, 1) < 10)
		printf("FAULT: %s: %llu, %llu, %llu\n", what, (unsigned long long)a,
		       (unsigned long long)b, (unsigned long long)c);
}

/* ---- messages ---- */

static uint64_t name_hash(uint32_t place, uint32_t number)
{
	uint64_t sum = ((uint64_t)place << 32 | number) * 0x9e3779b97f4a7c15ull;

	return (sum ^ sum >> 29) * 0xbf58476d1ce4e5b9ull;
}

/* Most are short; one in eight is anything. */
static size_t tail_length(uint32_t place, uint32_t number, size_t most)
{
	uint64_t hash = name_hash(place, number);

	most -= sizeof(struct payload);
	return (size_t)(hash >> 8) % (hash % 8 ? most / 32 : most);
}

static unsigned char tail_byte(uint64_t hash, size_t i)
{
	return (unsigned char)((hash >> 40) + i * 37 + (i >> 8));
}

size_t message_length(uint32_t place, uint32_t number, size_t most)
{
	struct payload p;

	return log_payload(&p, place, number) + tail_length(place, number, most);
}

size_t message_write(void *to, uint32_t place, uint32_t number, size_t most)
{
	struct payload p;
	size_t head = log_payload(&p, place, number), tail = tail_length(place, number, most);
	uint64_t hash = name_hash(place, number);
	unsigned char *bytes = to;

	memcpy(bytes, &p, head);
	for (size_t i = 0; i < tail; i++)
		bytes[head + i] = tail_byte(hash, i);
	return head + tail;
}

size_t message_check(const void *data, size_t length, size_t most)
{
	const unsigned char *bytes = data;
	struct payload p;
	size_t tail, head;
	uint64_t hash;

	if (length < offsetof(struct payload, pattern))
		return 0;
	memcpy(&p, bytes, offsetof(struct payload, pattern));
	hash = name_hash(p.place, p.number);
	tail = tail_length(p.place, p.number, most);
	if (tail > length)
		return 0;
	head = length - tail;
	for (size_t i = 0; i < tail; i++)
		if (bytes[head + i] != tail_byte(hash, i))
			return 0;
	return head;
}

/* ---- the killer ---- */

/* Else the killer, one among many who have all to do, would hardly get to kill anybody. */
static int work(void *argument)
{
	if (nice(10) < 0)
		errno = 0;
	return kind->work((uint32_t)(uintptr_t)argument);
}

static _Noreturn void give_up(const char *what)
{
	printf("%s: %s\n", kind->name, what);
	for (uint32_t i = 0; i < WORKERS; i++)
		if (worker[i])
			brood_process_kill(worker[i]);
	log_verdict(0);
	exit(1);
}

static void start(uint32_t i)
{
	static const struct brood_process_opts opts = { .die_with_parent = true, .daemon = true };

	worker[i] = brood_process_start_opts(work, (void *)(uintptr_t)i, &opts);
	if (!worker[i])
		give_up("a worker does not start");
}

/* Take the ended worker's handle away. */
static void bury(uint32_t i, int expected, int64_t timeout)
{
	int code = 0;

	if (brood_process_join(worker[i], timeout))
		give_up("a worker does not end");
	brood_process_exit_code(worker[i], &code);
	brood_process_free(worker[i]);
	worker[i] = NULL;
	if (code != expected) {
		printf("worker %u ended with %d\n", i, code);
		give_up("not as it should");
	}
}

/*
 * How long nobody has put or received anything. Of the time between two looks no more than LOOK
 * counts: if there was more, this process did not get to run either.
 */
static int64_t stalled(void)
{
	static uint64_t last;
	static int64_t stall, before;
	uint64_t sum = 0;
	int64_t now = brood_now();

	for (uint32_t i = 0; i < WORKERS; i++)
		sum += atomic_load(&control->place[i].messages);
	stall = sum != last ? 0 : stall + (now - before < LOOK ? now - before : LOOK);
	last = sum;
	before = now;
	return stall;
}

/* Whom to kill at once: one, or all of a task. */
static void choose(uint32_t *from, uint32_t *to)
{
	uint32_t first = kind->first;

	*from = kind->killed_from;
	*to = kind->killed_to;
	if (random_below(16)) {
		*from += random_below(*to - *from);
		*to = *from + 1;
	} else if (*from < first && first < *to) {
		*(random_below(2) ? from : to) = first;
	}
}

static unsigned long kill_some(void)
{
	uint32_t from, to;

	choose(&from, &to);
	for (uint32_t i = from; i < to; i++) {
		atomic_store(&control->place[i].holds, 0);
		brood_process_kill(worker[i]);
	}
	for (uint32_t i = from; i < to; i++)
		bury(i, -SIGKILL, BROOD_FOREVER);
	if (to - from > 1 && random_below(2))
		usleep(random_below(PAUSE));	/* the others are alone for a while */
	for (uint32_t i = from; i < to; i++)
		start(i);
	return to - from;
}

static unsigned long storm(unsigned long kills, int64_t end)
{
	unsigned long n = 0;

	for (uint32_t i = 0; i < WORKERS; i++)
		start(i);
	while (n < kills && brood_now() < end) {
		usleep(random_below(PAUSE));
		n += kill_some();
		if (stalled() > STALL_LIMIT)
			give_up("nothing goes on");
	}
	for (uint32_t i = 0; i < kind->first; i++) {
		atomic_store(&control->over, 1);
		bury(i, 0, brood_ms(30000));
	}
	if (!kind->end())
		give_up("the end is refused");
	atomic_store(&control->over, 2);
	for (uint32_t i = kind->first; i < WORKERS; i++)
		bury(i, 0, brood_ms(30000));
	return n;
}

/* ---- one kind ---- */

static bool begin(void)
{
	atomic_store(&control->over, 0);
	atomic_store(&control->faults, 0);
	atomic_store(&control->excused, 0);
	for (uint32_t i = 0; i < WORKERS; i++) {
		atomic_store(&control->place[i].taking, false);
		atomic_store(&control->place[i].carried, 0);
		atomic_store(&control->place[i].holds, 0);
	}
	return log_start();
}

static bool play(struct brood_segment *segment, unsigned long kills, int64_t end)
{
	struct brood_queue_opts opts = { .slots = 1, .max_bytes = 8, .segment = segment };
	struct brood_queue *known = brood_queue_create(&opts);
	struct left before;
	int64_t began = brood_now();
	bool right;

	if (!known)
		return false;
	if (!begin())
		return false;
	before = end_look(segment, known);
	if (!kind->make(segment))
		give_up("is not to be had");
	kills = storm(kills, end);
	printf("%s, %s: %lu kills in %.1f s\n", kind->name, segment ? "named" : "family", kills,
	       (double)(brood_now() - began) / 1e9);
	right = kind->finish();
	right = end_is_clean(segment, known, &before) && right;
	right = atomic_load(&control->faults) == 0 && right;
	brood_queue_destroy(known);
	if (!right)
		printf("%s: FAILED\n", kind->name);
	return right;
}

/* Whether /dev/shm has a file whose name holds this. */
static bool in_shm(const char *name)
{
	DIR *files = opendir("/dev/shm");
	const struct dirent *file;
	bool found = false;

	while (files && (file = readdir(files)))
		found = strstr(file->d_name, name) || found;
	if (files)
		closedir(files);
	return found;
}

static bool play_named(unsigned long kills, int64_t end)
{
	struct brood_segment *segment;
	char name[40];
	bool right;

	snprintf(name, sizeof name, "storm-%ld", (long)getpid());
	segment = brood_segment_create(name, NULL);
	if (!segment || !in_shm(name))
		return false;
	right = brood_segment_unlink(name) == 0;
	right = play(segment, kills, end) && right;
	return brood_segment_close(segment) == 0 && !in_shm(name) && right;
}

static bool both(const struct kind *which, unsigned long kills)
{
	bool right;

	kind = which;
	right = play(NULL, kills / 2, kills == ULONG_MAX ? brood_now() + SHORT : BROOD_FOREVER);
	return play_named(kills - kills / 2,
			  kills == ULONG_MAX ? brood_now() + SHORT : BROOD_FOREVER) && right;
}

int main(int argc, char **argv)
{
	unsigned long kills = argc > 2 ? strtoul(argv[2], NULL, 10) : ULONG_MAX;
	bool right = true, any = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (control == MAP_FAILED || brood_init(NULL))
		return 99;
	for (int i = 0; i < KINDS; i++) {
		if (argc > 1 && strcmp(argv[1], "all") != 0 && strcmp(argv[1], kinds[i]->name) != 0)
			continue;
		any = true;
		right = both(kinds[i], kills) && right;
	}
	return !any ? 99 : right ? 0 : 1;
}
