/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The broadcast, for spin: lib/queue/broadcast*.c. Three members put, subscribe and get, close and
 * count; KILLS of them die at any step (how many is chosen before the run), and are there again
 * under their id, as another incarnation, at any time.
 *
 * LOSSY: the producer does not wait. OPS1 to OPS3 say what each member calls: 1 puts, 2 gets what
 * it subscribed to, 4 closes, once, 8 ends being the producer, once, 16 unsubscribes, 32 counts.
 * Who gets looks TRIES times in vain, and counts COUNTS times, at most, in all. One step is one
 * access to one shared word; a message is two. Memory is sequentially consistent here.
 *
 * To look whether the former producer is gone, which stays so, and to become it is one step, since
 * the compare and swap fails if there is another one by then. Sleep is wait.pml's.
 *
 * Checked: what is read is whole, and what was put there; a position never comes twice; who has
 * subscribed gets everything that is put from then on, but for what it is told to have lost; "full"
 * is said only if a living subscriber is that far behind, "empty" and "no more", and how many there
 * are, only if that was so at a moment of the call. In the end all living subscribers have all.
 */
#ifndef LOSSY
#define LOSSY 0
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef NPUT
#define NPUT 3
#endif
#ifndef TRIES
#define TRIES 1
#endif
#ifndef COUNTS
#define COUNTS 0
#endif
#ifndef OPS1
#define OPS1 1
#define OPS2 2
#define OPS3 3
#endif
#ifndef RING
#define RING 2
#endif
#ifndef CAPACITY
#define CAPACITY RING
#endif
#define M 3
#define BIT(m) (1 << (m))

#define STAMP(p) (2 * (p) + 2)
#define WRITING(p) (2 * (p) + 1)

/* shared words */
byte stamp[RING];
byte first_word[RING];
byte second_word[RING];
byte tail;
byte room = CAPACITY;
bool closed;
byte producer;
byte mask;
byte owner[M + 1];
byte cursor[M + 1];

#define ALIVE 0
#define DEAD 1
byte life[M + 1];
byte incarnation[M + 1];
byte kills;

#define TOKEN(m) (incarnation[m] * 4 + (m))
#define WHO(token) ((token) & 3)
#ifdef BUG_NO_INCARNATION
#define IS_MINE(token) (WHO(token) == me)
#else
#define IS_MINE(token) ((token) == TOKEN(me))
#endif
#define GONE(token) \
	((token) == 0 || life[WHO(token)] == DEAD || incarnation[WHO(token)] != (token) >> 2)

/* ghosts */
byte puts;
byte published;			/* the true tail */
byte message_at[NPUT + 1];	/* whose position that is */
bool asks[M + 1];
bool was_full[M + 1];		/* since it asks */
bool was_empty[M + 1];
byte counts[M + 1];
byte tries = TRIES;
byte counted;
byte closes = 1;
byte ends = 1;

#define ACT(x) if :: x :: kills > 0 -> goto dying fi

hidden byte g_m, g_p, g_full, g_empty;
inline judge()
{
	d_step {
		g_m = 1; g_full = 0;
		do
		:: g_m > M -> break
		:: g_m <= M ->
			g_full = g_full ||
				 (!GONE(owner[g_m]) && published >= cursor[g_m] + CAPACITY);
			g_m++
		od;
		g_m = 1;
		do
		:: g_m > M -> break
		:: g_m <= M && asks[g_m] ->
			was_full[g_m] = was_full[g_m] || g_full;
			g_p = cursor[g_m]; g_empty = 1;
			do
			:: g_p >= published -> break
			:: g_p < published ->
				g_empty = g_empty && stamp[g_p % RING] != STAMP(g_p);
				g_p++
			od;
			was_empty[g_m] = was_empty[g_m] || g_empty;
			g_p = (published > cursor[g_m] -> published - cursor[g_m] : 0);
			counts[g_m] = counts[g_m] | BIT((g_p < CAPACITY -> g_p : CAPACITY));
			g_m++
		:: g_m <= M && !asks[g_m] -> g_m++
		od;
		g_m = 0; g_p = 0; g_full = 0; g_empty = 0
	}
}

#define ASK asks[me] = true; judge()
#define ANSWER asks[me] = false; was_full[me] = false; was_empty[me] = false; counts[me] = 0

inline true_tail(t)
{
	atomic { t = tail }
#ifdef BUG_OVERTAKEN
	atomic { t = (stamp[t % RING] == STAMP(t) -> t + 1 : t) }
#else
	atomic { t = (stamp[t % RING] >= STAMP(t) -> t + 1 : t) }
#endif
}

proctype member(byte me)
{
	byte p, t, i, w, v, ahead, begun;
	bool was_closed, over, closing;
	byte ops;

	ops = (me == 1 -> OPS1 : (me == 2 -> OPS2 : OPS3));
rest:
	atomic {
		p = 0; t = 0; i = 0; w = 0; v = 0; ahead = 0; begun = 0;
		was_closed = false; over = false; closing = false;
		ANSWER
	}
end_rest:
	atomic {
		if
		:: ops & 1 && puts < NPUT && (GONE(producer) || IS_MINE(producer)) && !closed ->
			goto put
		:: ops & 2 && owner[me] != TOKEN(me) && tries > 0 -> tries--; goto subscribe
		:: ops & 2 && owner[me] == TOKEN(me) && (tries > 0 || cursor[me] < published) ->
			goto get
		:: ops & 4 && closes > 0 && (GONE(producer) || IS_MINE(producer)) ->
			closes--; closing = true;
			goto put
		:: ops & 8 && ends > 0 && IS_MINE(producer) ->
			ends--;
			ACT(producer = 0);
			goto rest
		:: ops & 16 && owner[me] == TOKEN(me) -> goto unsubscribe
		:: ops & 32 && counted < COUNTS && owner[me] == TOKEN(me) -> counted++; goto count
		:: kills > 0 -> goto dying
		fi
	}

	/* ---- put, close ---- */
put:
#ifdef BUG_CLOSED_BY_ANYBODY
	if
	:: closing -> goto close
	:: else
	fi;
#endif
	atomic {
		if
		:: IS_MINE(producer) -> goto mine
		:: !IS_MINE(producer) && !GONE(producer) -> goto rest
		:: !IS_MINE(producer) && GONE(producer) -> ACT(producer = TOKEN(me))
		fi
	}
#ifdef BUG_TAIL_STORED
	atomic { t = tail }
#else
	true_tail(t);
#endif
	atomic { ACT(tail = t); t = 0 }
mine:
	atomic {
		if
		:: closing -> goto close
		:: !closing && closed -> goto rest
		:: !closing && !closed
		fi
	}
	atomic {
		p = tail;
		ASK;
#if !LOSSY
		if
		:: room > p -> goto write
		:: room <= p -> t = p; i = 1
		fi
#else
		goto write
#endif
	}
#if !LOSSY
look_cursor:
	if
	:: atomic { !(mask & BIT(i)) }
	:: atomic { mask & BIT(i) }
	   atomic { w = owner[i] }
	   atomic { v = cursor[i] }
	   atomic {
		if
#ifdef BUG_DEAD_COUNT
		:: w && v < t -> t = v
		:: !w || v >= t
#else
		:: !GONE(w) && v < t -> t = v
		:: GONE(w) || v >= t
#endif
		fi;
		w = 0; v = 0
	   }
	fi;
	atomic {
		if
		:: i < M -> i++; goto look_cursor
		:: i >= M -> i = 0
		fi
	}
	atomic { ACT(room = t + CAPACITY) }
	atomic {
		if
		:: room <= p -> assert(was_full[me]); goto rest
		:: room > p -> t = 0
		fi
	}
#endif
write:
	atomic {
		if
		:: puts >= NPUT -> goto rest
		:: puts < NPUT -> puts++; w = puts
		fi;
		ANSWER
	}
#if LOSSY && !defined(BUG_NO_ODD)
	atomic { ACT(stamp[p % RING] = WRITING(p)); judge() }
#endif
#ifdef BUG_STAMP_FIRST
	atomic { ACT(stamp[p % RING] = STAMP(p)); message_at[p] = w; published = p + 1; judge() }
#endif
	atomic { ACT(first_word[p % RING] = w) }
	atomic { ACT(second_word[p % RING] = w) }
#ifndef BUG_STAMP_FIRST
	atomic {
		ACT(assert(p == published && !closed));
		stamp[p % RING] = STAMP(p);
		message_at[p] = w;
		published = p + 1;
		judge()
	}
#endif
	atomic { ACT(tail = p + 1); goto rest }
close:
	atomic { ACT(closed = true); goto rest }

	/* ---- subscribe ---- */
subscribe:
	atomic { ACT(mask = mask | BIT(me)); begun = published }
	true_tail(t);
	atomic { ACT(cursor[me] = t) }
#ifdef BUG_OWNER_LAST
	true_tail(t);
	atomic { ACT(cursor[me] = t) }
#endif
	atomic { ACT(owner[me] = TOKEN(me)); judge() }
#if !defined(BUG_OWNER_LAST) && !defined(BUG_NEWCOMER_ONCE)
	true_tail(t);
	atomic { ACT(cursor[me] = t); judge() }
#endif
	atomic { assert(cursor[me] >= begun && cursor[me] <= published); goto rest }
unsubscribe:
	atomic { ACT(owner[me] = 0); judge() }
	atomic { ACT(mask = mask & ~BIT(me)); goto rest }

	/* ---- get ---- */
get:
	atomic { ASK; p = cursor[me]; was_closed = closed }
read:
	atomic {
		i = stamp[p % RING];
		if
		:: i < STAMP(p) -> assert(p >= published); goto none
		:: i > STAMP(p) -> goto lost
		:: i == STAMP(p)
		fi
	}
#ifdef BUG_CURSOR_FIRST
	atomic { ACT(cursor[me] = p + 1); judge() }
#endif
	atomic { w = first_word[p % RING] }
	atomic { v = second_word[p % RING] }
#if LOSSY && !defined(BUG_NO_SECOND_LOOK)
	if
	:: atomic { stamp[p % RING] != i -> w = 0; v = 0; goto lost }
	:: atomic { stamp[p % RING] == i }
	fi;
#endif
	atomic {
		assert(w == message_at[p] && v == message_at[p]);
		ACT(cursor[me] = p + 1);
		goto rest
	}
lost:
	/* Each time it begins farther ahead. */
	assert(LOSSY);
	true_tail(t);
	atomic {
		over = true;
		t = (t + ahead > CAPACITY -> t + ahead - CAPACITY : 0);
		p = (t > p -> t : p + 1);
		assert(p <= published);
		ahead = (2 * ahead + 1 < CAPACITY -> 2 * ahead + 1 : CAPACITY - 1);
		t = 0;
		goto read
	}
none:
	if
	:: atomic { over -> ACT(cursor[me] = p) }	/* lost counts them */
	:: atomic { !over }
	fi;
	atomic {
#ifdef BUG_CLOSED_LATE
		was_closed = closed;
#endif
		assert(was_empty[me]);
		assert(!was_closed || p == published);
		if
		:: tries > 0 -> tries--
		:: tries == 0
		fi;
		goto rest
	}

	/* ---- count ---- */
count:
	atomic { ASK; p = cursor[me] }
	true_tail(t);
	atomic {
		assert(counts[me] & BIT((t >= p && t - p < CAPACITY -> t - p : CAPACITY)));
		goto rest
	}

	atomic {
		false;
dying:
		kills--;
		life[me] = DEAD;
		judge();
		p = 0; t = 0; i = 0; w = 0; v = 0; ahead = 0; begun = 0;
		was_closed = false; over = false; closing = false;
		ANSWER
	}
end_dead:
	atomic { life[me] = ALIVE; incarnation[me]++; goto rest }
}

/* When nothing more happens: who lives has all, and the next producer goes on behind it. */
inline look_at_the_rest()
{
	assert(tail == published || (tail + 1 == published && stamp[tail % RING] == STAMP(tail)));
	g_m = 1;
	do
	:: g_m > M -> break
	:: g_m <= M ->
		assert(GONE(owner[g_m]) || cursor[g_m] == published);
		g_m++
	od
}

init {
	atomic {
		if
		:: kills = 0
		:: KILLS > 1 -> kills = 1
		:: kills = KILLS
		fi;
		run member(1);
		run member(2);
		run member(3)
	}
	atomic {
		timeout;
		d_step { look_at_the_rest() }
	}
}
