/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* No wake-up is lost, however often the other side is asleep or just about to fall asleep. */
#include <sys/resource.h>
#include <sys/syscall.h>

#include "own_members.h"
#include "wait/wait.h"

static void begin_many(void)
{
	begin_with_members(16);
}

/* Who missed a wake-up looks after 100 ms. */
enum { TURNS = 100000, LOST_NS = 99 * MS };

/*
 * In place of the C library's. On a busy machine a yield may take so long that what is waited for has
 * happened after it, and nobody would ever sleep.
 */
static bool no_yield;

int sched_yield(void)
{
	return no_yield ? 0 : (int)syscall(SYS_sched_yield);
}

struct pong {
	struct brood__waitlist lists[2];
	_Atomic uint32_t turn;
	_Atomic uint32_t lost;
	_Atomic uint64_t sleeps;
	_Atomic int64_t given;	/* when what the waiter waits for happened */
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

/* Spinning ends after 20 us: from just before to long after. */
static void dawdle(unsigned int *seed)
{
	int64_t end = brood_now() + 15000 + rand_r(seed) % 25000;

	while (brood_now() < end)
		;
}

static int play(void *arg)
{
	struct player *player = arg;
	struct pong *pong = player->pong;
	const struct brood__wait wait = {
		.members = &own_members,
		.list = &pong->lists[player->side],
		.timeout = BROOD_FOREVER,
		.me = (uint32_t)own_id(),
	};
	unsigned int seed = player->side;
	struct rusage usage;

	no_yield = true;
	for (uint32_t i = 0; i < TURNS / 2; i++) {
		must(brood__wait(&wait, my_turn, player) == 0);
		if (i && brood_now() - atomic_load(&pong->given) >= LOST_NS)
			atomic_fetch_add(&pong->lost, 1);
		dawdle(&seed);
		atomic_store(&pong->given, brood_now());
		atomic_fetch_add(&pong->turn, 1);
		brood__notify(&own_members, &pong->lists[!player->side]);
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
	ck_assert_uint_eq(pong->lost, 0);
	ck_assert_uint_ge(pong->sleeps, TURNS / 10);	/* else nothing was shown */
}
END_TEST

/* ---- in one direction: the waiter may be back before the notifier is done ---- */

enum { TOKENS = 20000 };

struct stream {
	struct brood__waitlist list;
	_Atomic uint32_t tokens;
	_Atomic uint32_t lost;
	_Atomic int64_t given;	/* the last token */
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
	const struct brood__wait wait = {
		.members = &own_members,
		.list = &stream->list,
		.timeout = BROOD_FOREVER,
		.me = (uint32_t)own_id(),
	};

	no_yield = true;
	for (int i = 0; i < TOKENS; i++) {
		must(brood__wait(&wait, take_token, stream) == 0);
		if (brood_now() - atomic_load(&stream->given) >= LOST_NS)
			atomic_fetch_add(&stream->lost, 1);
	}
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
		atomic_store(&stream->given, brood_now());
		atomic_fetch_add(&stream->tokens, 1);
		brood__notify(&own_members, &stream->list);
	}
	ck_assert_int_eq(end_of(taker), 0);
	ck_assert_uint_eq(stream->lost, 0);
}
END_TEST

int main(void)
{
	TCase *tests = new_case("lost", begin_many);

	tcase_add_test(tests, to_and_fro);
	tcase_add_test(tests, in_one_direction);
	return run_cases("wait lost", tests, NULL);
}
