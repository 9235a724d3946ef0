/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* No wake-up is lost, however often the other side is asleep or just about to fall asleep. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "own_members.h"
#include "wait/wait.h"

static void begin_many(void)
{
	begin_with_members(16);
}

/*
 * In place of the C library's. On a busy machine a yield may take so long that what is waited for
 * has happened after it, and nobody would ever sleep.
 */
static bool no_yield;

int sched_yield(void)
{
	return no_yield ? 0 : (int)syscall(SYS_sched_yield);
}

/* ---- what is lost, on a machine that may be busy ---- */

enum {
	LOST_NS = 90 * MS,	/* who missed a wake-up looks after 100 ms */
	SLOW_NS = 20 * MS,	/* for publishing and notifying, unless the CPU was taken away */
};

struct event {			/* one thing that is waited for */
	_Atomic int64_t given;
	atomic_bool late;	/* it was seen too late, though the waiter had a CPU */
	atomic_bool slow;	/* but then it was told too late */
};

/* How long the caller has waited for a CPU in all its life; 0 where the kernel does not tell. */
static int64_t waited_for_cpu(void)
{
	static int fd = -2;
	char line[80] = "";
	long long ran, waited;

	if (fd == -2)
		fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, line, sizeof(line) - 1, 0) <= 0 ||
	    sscanf(line, "%lld %lld", &ran, &waited) != 2)
		return 0;
	return waited;
}

static void give(struct event *event, _Atomic uint32_t *number, struct brood__waitlist *list)
{
	atomic_store(&event->given, brood_now());
	atomic_fetch_add(number, 1);
	brood__notify(&own_members, list);
	if (brood_now() - atomic_load(&event->given) >= SLOW_NS)
		atomic_store(&event->slow, true);
}

static ssize_t wait_for(struct brood__waitlist *list, ssize_t (*attempt)(void *), void *arg,
			struct event *event)
{
	const struct brood__wait wait = {
		.members = &own_members,
		.list = list,
		.timeout = BROOD_FOREVER,
		.me = (uint32_t)own_id(),
	};
	int64_t from = brood_now(), waited = waited_for_cpu();
	ssize_t result = brood__wait(&wait, attempt, arg);

	if (atomic_load(&event->given) > from)
		from = atomic_load(&event->given);
	if (brood_now() - from >= LOST_NS &&
	    brood_now() - from - (waited_for_cpu() - waited) >= LOST_NS)
		atomic_store(&event->late, true);
	return result;
}

static int count_lost(const struct event *events, int n)
{
	int lost = 0;

	for (int i = 0; i < n; i++)
		lost += atomic_load(&events[i].late) && !atomic_load(&events[i].slow);
	return lost;
}

/* Spinning ends after 20 us: from just before to long after. */
static void dawdle(unsigned int *seed)
{
	int64_t end = brood_now() + 15000 + rand_r(seed) % 25000;

	while (brood_now() < end)
		;
}

/* ---- to and fro ---- */

enum { TURNS = 100000 };

struct pong {
	struct brood__waitlist lists[2];
	_Atomic uint32_t turn;
	_Atomic uint64_t sleeps;
	struct event events[TURNS + 1];
};

struct player {
	struct pong *pong;
	uint32_t side;
};

static ssize_t my_turn(void *arg)
{
	const struct player *player = arg;

	return atomic_load(&player->pong->turn) % 2 == player->side ? 0 : -EAGAIN;
}

static int play(void *arg)
{
	struct player *player = arg;
	struct pong *pong = player->pong;
	unsigned int seed = player->side;
	struct rusage usage;

	no_yield = true;
	for (uint32_t turn = player->side; turn < TURNS; turn += 2) {
		must(wait_for(&pong->lists[player->side], my_turn, player,
			      &pong->events[turn]) == 0);
		dawdle(&seed);
		give(&pong->events[turn + 1], &pong->turn, &pong->lists[!player->side]);
	}
	must(getrusage(RUSAGE_SELF, &usage) == 0);
	atomic_fetch_add(&pong->sleeps, (uint64_t)usage.ru_nvcsw);
	return 0;
}

START_TEST(to_and_fro)
{
	struct pong *pong = shared(sizeof(*pong));
	struct player players[2] = { { pong, 0 }, { pong, 1 } };
	pid_t children[2];

	for (int i = 0; i < 2; i++)
		children[i] = start(play, &players[i]);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(end_of(children[i]), 0);
	ck_assert_uint_eq(pong->turn, TURNS);
	ck_assert_int_eq(count_lost(pong->events, TURNS + 1), 0);
	ck_assert_uint_ge(pong->sleeps, TURNS / 10);	/* else nothing was shown */
}
END_TEST

/* ---- in one direction: the waiter may be back before the notifier is done ---- */

enum { TOKENS = 20000 };

struct stream {
	struct brood__waitlist list;
	_Atomic uint32_t tokens;
	struct event events[TOKENS];
};

static ssize_t take_token(void *arg)
{
	struct stream *stream = arg;
	uint32_t tokens = atomic_load(&stream->tokens);

	if (tokens)
		atomic_fetch_sub(&stream->tokens, 1);
	return tokens ? 0 : -EAGAIN;
}

static int take_stream(void *arg)
{
	struct stream *stream = arg;

	no_yield = true;
	for (int i = 0; i < TOKENS; i++)
		must(wait_for(&stream->list, take_token, stream, &stream->events[i]) == 0);
	return 0;
}

START_TEST(in_one_direction)
{
	struct stream *stream = shared(sizeof(*stream));
	pid_t taker = start(take_stream, stream);
	unsigned int seed = 3;

	ck_assert(until_asleep(taker));
	ck_assert_int_ge(own_id(), 0);
	for (int i = 0; i < TOKENS; i++) {
		dawdle(&seed);
		give(&stream->events[i], &stream->tokens, &stream->list);
	}
	ck_assert_int_eq(end_of(taker), 0);
	ck_assert_int_eq(count_lost(stream->events, TOKENS), 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("lost", begin_many);

	tcase_set_timeout(tests, 300);	/* seconds, for a busy machine */
	tcase_add_test(tests, to_and_fro);
	tcase_add_test(tests, in_one_direction);
	return run_cases("wait lost", tests, NULL);
}
