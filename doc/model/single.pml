/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue of one producer and one consumer, for spin: lib/queue/spsc_ring.c, seat.c. Three
 * members put one message or a run of two, get one or two, lease, close and count; KILLS of them
 * die at any step (how many is chosen before the run), and are there again under their id, as
 * another incarnation, at any time.
 *
 * OPS1 to OPS3 say what each member calls: 1 puts, 2 gets, 4 leases, 8 closes, once, 16 counts,
 * COUNTS times in all, 32 reserves, 64 ends being the producer, once, 128 returns what it leases.
 * Who gets looks TRIES times in vain, at most, in all. One step is one access to one shared word.
 * Memory is sequentially consistent here, so that the fence on all CPUs is nothing.
 *
 * References to buffers are not here. Seats: to look whether the former one is gone, which stays
 * so, and to sit down is one step, since the compare and swap fails if another one sits there by
 * then. Nobody counts while somebody returns a lease: if runs are put before and after, the count
 * may be one that was passed over.
 *
 * Checked: what is read is whole; nobody gets twice what is not flagged; nothing is lost whose put
 * returned 0, and nothing is there whose put said -EPIPE; "empty", "full", "no more" and how many
 * are what was so at a moment of the call. In the end all that was promised is acknowledged or
 * still there, whoever sits down next.
 */
#ifndef KILLS
#define KILLS 1
#endif
#ifndef NPUT
#define NPUT 4
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
#ifndef R
#define R 3
#endif
#ifndef CAPACITY
#define CAPACITY R
#endif
#define RUN 2
#define M 3
#define BIT(m) (1 << (m))

/* shared words */
byte header[R];			/* the position in it */
byte data[R];
byte head = R;
byte tail = R;
byte shown = R;
byte head_seen = R;
bool closed;
byte end;
byte producer;
byte consumer;			/* { token | parity of the head | in hand } */

#define ALIVE 0
#define DEAD 1
byte life[M + 1];
byte incarnation[M + 1];
byte kills;

#define TOKEN(m) ((incarnation[m] * 4 + (m)) * 4)
#define IN_HAND 1
#define ODD 2
#define WHO(seat) (((seat) >> 2) & 3)
#ifdef BUG_NO_INCARNATION
#define IS_MINE(seat) (WHO(seat) == me)
#else
#define IS_MINE(seat) (((seat) & ~3) == TOKEN(me))
#endif
#define GONE(seat) \
	((seat) == 0 || life[WHO(seat)] == DEAD || incarnation[WHO(seat)] != (seat) >> 4)

/* ghosts */
byte puts;			/* messages that were ever begun */
byte message_at[R + NPUT + 1];	/* the message whose position that is */
short had;			/* sets of messages */
short acknowledged;
short promised;
short refused;
bool asks[M + 1];
byte sizes[M + 1];		/* a set of what was so since it asks: tail - head */
byte counts[M + 1];		/* the same without what is leased */
bool leased;			/* by the consumer, what is at the head */
byte sure_tail;			/* in a closed queue: what was there before */
byte tries = TRIES;
byte counted;
byte closes = 1;
byte ends = 1;

#define ACT(x) if :: x :: kills > 0 -> goto dying fi

hidden byte g_tail, g_m, g_leased;
inline true_tail()
{
	g_tail = head;
	do
	:: g_tail - head <= R && header[g_tail % R] == g_tail &&
	   (end == 0 || g_tail < end) -> g_tail++
	:: else -> break
	od
}

inline note(size)
{
	sizes[g_m] = sizes[g_m] | BIT(size);
	counts[g_m] = counts[g_m] | BIT((size) - ((size) > 0 && g_leased))
}

inline judge()
{
	d_step {
		true_tail();
		g_leased = leased && !GONE(consumer);
		g_m = 1;
		do
		:: g_m > M -> break
		:: g_m <= M && asks[g_m] ->
			note(g_tail - head);
			if		/* the end will be settled before or behind what is new */
			:: closed && end == 0 && sure_tail < g_tail && sure_tail >= head ->
				note(sure_tail - head)
			:: else
			fi;
			g_m++
		:: g_m <= M && !asks[g_m] -> g_m++
		od;
		g_m = 0; g_tail = 0; g_leased = 0
	}
}

#define ASK asks[me] = true; judge()
#define ANSWER asks[me] = false; sizes[me] = 0; counts[me] = 0

/* The tail, from the one that is stored. */
inline walk_tail(p)
{
	atomic { p = tail }
	do
	:: atomic { header[p % R] == p -> p++ }
#ifndef BUG_OVERTAKEN
	:: atomic { header[p % R] > p -> p = tail }	/* what we began with is old */
	:: atomic { header[p % R] < p -> break }
#else
	:: atomic { header[p % R] != p -> break }
#endif
	od
}

inline find_end(e)
{
	atomic { e = end }
	if
	:: atomic { e != 0 }
	:: atomic { e == 0 }
	   walk_tail(e);
#ifdef BUG_END_STORED
	   atomic { ACT(end = e); judge() }
#else
	   atomic {
		if
		:: end == 0 -> ACT(end = e); judge()
		:: end != 0 -> e = end
		fi
	   }
#endif
	fi
}

inline is_leased(p, has)
{
	atomic { used = consumer }
#ifdef BUG_LEASE_SHOWN			/* the one shown last: as many may be, to who died */
	atomic { has = used & IN_HAND && shown == p + 1 && !GONE(used); used = 0 }
#else
	atomic { has = used & IN_HAND && (used & ODD) == (p & 1) * ODD && !GONE(used); used = 0 }
#endif
}

proctype member(byte me)
{
	byte p, e, n, i, got, first, used;
	bool spare, flag, many, has, had_it;
	byte ops;

	ops = (me == 1 -> OPS1 : (me == 2 -> OPS2 : OPS3));
rest:
	atomic {
		p = 0; e = 0; n = 0; i = 0; got = 0; first = 0; used = 0;
		spare = false; flag = false; many = false; has = false; had_it = false;
		ANSWER
	}
end_rest:
	atomic {
		if
		:: ops & 33 && puts < NPUT && (GONE(producer) || IS_MINE(producer)) ->
			if
			:: ops & 1 -> n = 1
			:: ops & 1 && puts + 2 <= NPUT -> n = 2
			:: ops & 32 -> n = 1; spare = true
			fi;
			goto put
		:: ops & 6 && (GONE(consumer) || IS_MINE(consumer)) &&
		   (tries > 0 || (promised & ~acknowledged)) ->
			goto get
		:: ops & 8 && closes > 0 -> closes--; goto close
		:: ops & 16 && counted < COUNTS -> counted++; ASK; goto count
		:: ops & 64 && ends > 0 && IS_MINE(producer) ->
			ends--;
			ACT(producer = 0);
			goto rest
		:: kills > 0 -> goto dying
		fi
	}

	/* ---- put, reserve ---- */
put:
	atomic {
		if
		:: IS_MINE(producer) -> goto seated
		:: !IS_MINE(producer) && !GONE(producer) -> goto rest
		:: !IS_MINE(producer) && GONE(producer) -> ACT(producer = TOKEN(me))
		fi
	}
#ifdef BUG_TAIL_STORED
	atomic { p = tail }
#else
	walk_tail(p);
#endif
#ifndef BUG_RUN_LEFT
	atomic { i = 1 }
	do
	:: atomic { i < RUN && i < R && header[(p + i) % R] == p + i }
	   atomic { ACT(header[(p + i) % R] = p + i - R); i++ }
	:: atomic { i < RUN && i < R && header[(p + i) % R] != p + i -> i++ }
	:: atomic { i >= RUN || i >= R -> i = 0; break }
	od;
#endif
	atomic { ACT(head_seen = head) }
	atomic { ACT(tail = p); p = 0 }
seated:
	if
	:: atomic { closed -> goto rest }
	:: atomic { !closed }
	fi;
	atomic { ASK }
	if
	:: atomic { spare && tail - head_seen >= R } atomic { ACT(head_seen = head) }
	:: atomic { spare && tail - head_seen < R }
	:: atomic { !spare }
	fi;
	atomic {
		if
		:: puts + n > NPUT -> goto rest
		:: puts + n <= NPUT -> puts = puts + n; first = puts - n + 1
		fi;
		if
		:: spare -> ACT(producer = TOKEN(me) | IN_HAND)
		:: !spare
		fi
	}
	if				/* in its place already, or in the spare slot */
	:: atomic {
		spare && tail - head_seen < R ->
			ACT(data[tail % R] = first);
			spare = false;
			flag = true
	   }
	:: atomic { !spare || tail - head_seen >= R }
	fi;
room:
	if
	:: atomic { tail - head_seen + n > CAPACITY } atomic { ACT(head_seen = head) }
	:: atomic { tail - head_seen + n <= CAPACITY }
	fi;
	atomic {
		used = tail - head_seen;
		if
		:: used >= CAPACITY ->
			assert(sizes[me] & BIT(CAPACITY));
			if		/* what was reserved may be given up */
			:: IS_MINE(producer) && producer & IN_HAND -> ACT(producer = TOKEN(me))
			:: else
			fi;
			goto rest
		:: used < CAPACITY && CAPACITY - used < n -> n = CAPACITY - used
		:: used < CAPACITY && CAPACITY - used >= n
		fi;
		used = 0;
		ANSWER;
		i = n - 1
	}
fill:
#ifdef BUG_HEADER_FIRST
	atomic {
		ACT(header[(tail + i) % R] = tail + i);
		message_at[tail + i] = first + i;
		judge()
	}
	atomic { ACT(data[(tail + i) % R] = first + i) }
#else
	if
	:: flag -> skip
	:: else -> atomic { ACT(data[(tail + i) % R] = first + i) }
	fi;
	atomic {
		ACT(header[(tail + i) % R] = tail + i);
		message_at[tail + i] = first + i;
		judge()
	}
#endif
	if
	:: atomic { i > 0 -> i--; goto fill }
	:: atomic { i == 0 }
	fi;
	/* advance: e of them are in */
	atomic { e = n }
#ifndef BUG_PUT_NO_LOOK
	if
	:: atomic { closed }
	   atomic {
		if
		:: end == 0 -> ACT(end = tail + n); judge()
		:: end != 0 && end <= tail -> e = 0
		:: end != 0 && end > tail && end - tail < n -> e = end - tail
		:: end != 0 && end > tail && end - tail >= n
		fi
	   }
	:: atomic { !closed }
	fi;
#endif
	atomic { ACT(tail = tail + e) }
	atomic {
		do
		:: i < e -> promised = promised | BIT(first + i); i++
		:: i >= e && i < n ->
			refused = refused | BIT(first + i);
			assert(!(acknowledged & BIT(first + i)));
			i++
		:: i >= n -> break
		od;
		if
		:: producer & IN_HAND -> ACT(producer = TOKEN(me))
		:: !(producer & IN_HAND)
		fi;
		goto rest
	}

	/* ---- get, lease ---- */
get:
	atomic {
		if
		:: IS_MINE(consumer)
		:: !IS_MINE(consumer) && !GONE(consumer) -> goto rest
		:: !IS_MINE(consumer) && GONE(consumer) -> ACT(consumer = TOKEN(me)); leased = false
		fi;
		ASK
	}
	atomic {
		has = header[head % R] == head;
		assert(has || (promised & ~acknowledged) == 0)
	}
#ifdef BUG_GET_NO_LOOK
	if
	:: has -> goto found
	:: else
	fi;
#endif
	if
	:: atomic { !closed && has -> goto found }
	:: atomic { !closed && !has -> goto none }
	:: atomic { closed }
	fi;
	find_end(e);
	atomic {
		if
		:: head >= e -> assert((promised & ~acknowledged) == 0); goto none
		:: head < e -> assert(header[head % R] == head); e = 0
		fi
	}
found:
	atomic {
		ANSWER;
		i = 1;
		if
		:: ops & 2
		:: ops & 2 -> many = true
		:: ops & 4 -> goto lease
		fi
	}
	if
	:: atomic { many && header[(head + 1) % R] == head + 1 -> i = 2 }
	:: atomic { !many || header[(head + 1) % R] != head + 1 }
	fi;
	atomic { used = shown }		/* the flags */
#ifndef BUG_SHOWN_LATE
	atomic {
		if
		:: shown < head + i -> ACT(shown = head + i)
		:: shown >= head + i
		fi
	}
#endif
#ifdef BUG_HEAD_FIRST
	atomic { ACT(head = head + i); judge(); p = 0 }
	do
	:: atomic { p < i -> assert(data[(head - i + p) % R] == message_at[head - i + p]); p++ }
	:: atomic { p >= i -> break }
	od;
	goto rest;
#endif
	atomic { p = 0 }
	do
	:: atomic {
		p < i;
		got = data[(head + p) % R];
		assert(got == message_at[head + p]);
		assert(!(had & BIT(got)) || used > head + p);
		had = had | BIT(got);
		p++
	   }
	:: atomic { p >= i -> got = 0; p = 0; break }
	od;
#ifdef BUG_SHOWN_LATE
	atomic {
		if
		:: shown < head + i -> ACT(shown = head + i)
		:: shown >= head + i
		fi
	}
#endif
	if
	:: atomic { many && closed }
	   find_end(e);
	   atomic {
		if
		:: head + i > e -> i = e - head
		:: head + i <= e
		fi
	   }
	:: atomic { !many || !closed }
	fi;
	goto acknowledge;
lease:
	atomic { used = shown }
	atomic {
		if
		:: shown < head + 1 -> ACT(shown = head + 1)
		:: shown >= head + 1
		fi
	}
	atomic {
		ACT(consumer = TOKEN(me) | IN_HAND | (head & 1) * ODD);
		leased = true;
		got = data[head % R];
		assert(got == message_at[head]);
		assert(!(had & BIT(got)) || used > head);
		had = had | BIT(got);
		judge()
	}
	atomic {
		assert(data[head % R] == got);
		if
		:: goto acknowledge
		:: ops & 128 -> i = 0; goto put_down
		fi
	}
acknowledge:
	atomic {
		ACT(p = 0);
		do
		:: p < i ->
			assert(!(acknowledged & BIT(message_at[head + p])));
			assert(!(refused & BIT(message_at[head + p])));
			acknowledged = acknowledged | BIT(message_at[head + p]);
			p++
		:: p >= i -> break
		od;
		head = head + i;
		leased = false;
		judge();
		p = 0
	}
put_down:
	atomic {
		if
		:: consumer & IN_HAND -> ACT(consumer = TOKEN(me)); leased = false; judge()
		:: !(consumer & IN_HAND)
		fi;
		goto rest
	}
none:
	atomic {
		assert(sizes[me] & BIT(0));
		if
		:: tries > 0 -> tries--
		:: tries == 0
		fi;
		goto rest
	}

	/* ---- close ---- */
close:
	atomic {
		ACT(true_tail());
		sure_tail = g_tail; g_tail = 0;
		closed = true;
		judge()
	}
	find_end(e);
	goto rest;

	/* ---- count: p is the head, e the tail ---- */
count:
	atomic { p = head }
	is_leased(p, had_it);
#ifdef BUG_COUNT_OPEN			/* asks first whether it is closed */
	if
	:: atomic { closed } find_end(e)
	:: atomic { !closed } walk_tail(e)
	fi;
#else
	walk_tail(e);
	if
	:: atomic { closed } find_end(e)
	:: atomic { !closed }
	fi;
#endif
#ifdef BUG_HEAD_FIRST_AGAIN		/* then whether it is leased */
	atomic { i = head }
#endif
	is_leased(p, has);
#ifndef BUG_HEAD_FIRST_AGAIN
	atomic { i = head }
#endif
	atomic {
		if
		:: p != i || has != had_it -> goto count
		:: p == i && has == had_it
		fi;
		used = (e > i -> e - i : 0);
		assert(used <= CAPACITY);
		assert(sizes[me] & BIT(used));
		assert(counts[me] & BIT(used - (had_it && used > 0)));
		goto rest
	}

	atomic {
		false;
dying:
		kills--;
		life[me] = DEAD;
		judge();
		p = 0; e = 0; n = 0; i = 0; got = 0; first = 0; used = 0;
		spare = false; flag = false; many = false; has = false; had_it = false;
		ANSWER
	}
end_dead:
	atomic { life[me] = ALIVE; incarnation[me]++; goto rest }
}

/* When nothing more happens: who sits down next finds all that was promised, and no more. */
inline look_at_the_rest()
{
	g_tail = (end && tail > end -> end : tail);
	do
	:: header[g_tail % R] == g_tail && (end == 0 || g_tail < end) -> g_tail++
	:: else -> break
	od;
	assert(g_tail - head <= CAPACITY);
	g_m = 1;
	do
	:: g_m < R && !GONE(producer) && !closed ->
		assert(header[(g_tail + g_m) % R] != g_tail + g_m);
		g_m++
	:: else -> break
	od;
	assert(!(promised & refused));
	g_m = head;
	do
	:: g_m < g_tail ->
		assert(data[g_m % R] == message_at[g_m]);
		assert(!(acknowledged & BIT(message_at[g_m])));
		assert(!(refused & BIT(message_at[g_m])));
		assert(!(had & BIT(message_at[g_m])) || shown > g_m);
		promised = promised & ~BIT(message_at[g_m]);
		g_m++
	:: else -> break
	od;
	assert((promised & ~acknowledged) == 0)
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
