/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages through a pipe's ring, for spin: lib/queue/conn.c. Senders send short messages and
 * long ones, these in PIECES; receivers receive RECVS times, at most. KILLS of them die at any
 * step, and TIMEOUTS sends give up. One step is one access to a shared word.
 *
 * SENDS1 and SENDS2 say what each sender sends, first digit first: 1 a short message, 2 a long one.
 *
 * The ring is what bytes_ring.pml has shown of it: a walk, a take, an append are one step; what a
 * dead receiver leased comes back by the sweep, and who walks from the head, after `orphans`,
 * finds it before that; others may. A piece takes one of CAP places, and places are named anew
 * without end. Tokens are member.pml's, and are not used again here. Sleep is wait.pml's, but
 * whom a notifier chooses is any member of the list; the room is waited for by all.
 *
 * Checked: what is received is whole, once, of no send that has failed, and in the order of its
 * sender, but what a dead receiver had. In the end what was sent is received, or there, or was in
 * pieces with a receiver that died; nobody sleeps while there is a message, or room that is
 * waited for.
 */
#ifndef KILLS
#define KILLS 1
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif
#ifndef PIECES
#define PIECES 2
#endif
#ifndef CAP
#define CAP 3
#endif
#ifndef SENDS1
#define SENDS1 12
#endif
#ifndef SENDS2
#define SENDS2 0
#endif
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#ifndef RECVS
#define RECVS 3
#endif
#define PLACES 14
#define MEMBERS 5			/* 1 and 2 send; the others receive, RECEIVERS of them */
#define MESSAGES 7			/* 1 to 3 the first sender's, 4 to 6 the second's */
#define BIT(n) (1 << (n))

#define WHOLE 0
#define FIRST 1
#define MORE 2

#define READY 1
#define LEASED 2
#define DONE 3

/* a sender's word */
#define AGAIN 1
#define SENT 2
#define OWNER(w) ((w) / 64)
#define NUMBER(w) (((w) / 4) % 16)
#define WORD(owner, number) ((owner) * 64 + (number) * 4)

/* shared words */
byte state[PLACES];
byte owner[PLACES];
bool back[PLACES];		/* a receiver died that had it */
byte tag[PLACES];
byte message[PLACES];
byte piece[PLACES];
short header[PLACES];		/* the sender's word, in FIRST */
byte head;
byte tail;
bool orphans;
short sender;
byte receiver;

/* Lists: 0 not on it, or to look again; 1 looks; 2 asleep. */
byte list[12];
#define READERS 0
#define TURN 6
#define readers(m) list[m]
#define receivers(m) list[6 + (m)]

#define ALIVE 0
#define DEAD 1
#define SWEPT 2
byte life[MEMBERS + 1];
byte kills = KILLS;
byte timeouts = TIMEOUTS;

/* ghosts: sets of messages */
byte sent;			/* send has returned 0 */
byte failed;			/* or not */
byte received;
byte excused;
byte front[3];			/* by sender, the last that was taken */
byte in_pieces[MEMBERS + 1];	/* the message of which this receiver has given pieces back */
byte waits_for_room;		/* set of members */

#define ACT(x) if :: x :: kills > 0 -> goto dying fi
#define SENDER_OF(m) ((m) > 3 -> 2 : 1)
#define GONE(m) ((m) == 0 || life[m] != ALIVE)

hidden byte g_i, g_head, g_n;

/* The first place at or behind p that can be taken, or tail; what the dead have is seen, or not. */
inline walk(p, sees)
{
	g_i = p;
	do
	:: g_i >= tail -> break
	:: g_i < tail && state[g_i] == READY && (!back[g_i] || orphans || sees) -> break
	:: g_i < tail && state[g_i] == LEASED && life[owner[g_i]] == DEAD && (orphans || sees) -> break
	:: else -> g_i++
	od
}

/* brood__bytes_take: by hint, or from the head; then there is nothing that came back. */
inline look(p)
{
	walk(0, false);
	p = g_i;
	g_i = 0;
	g_n = 0;
	do
	:: g_i >= tail -> break
	:: else ->
		if
		:: state[g_i] == READY && back[g_i] -> g_n = 1
		:: state[g_i] == LEASED && life[owner[g_i]] == DEAD -> g_n = 1
		:: else
		fi;
		g_i++
	od;
	orphans = orphans && g_n;
	g_i = 0; g_n = 0
}

inline lease(p)
{
	if
	:: state[p] == LEASED -> back[p] = true
	:: else
	fi;
	if
	:: tag[p] != MORE ->
		assert(back[p] || message[p] >= front[SENDER_OF(message[p])]);
		front[SENDER_OF(message[p])] =
			(message[p] > front[SENDER_OF(message[p])] -> message[p] :
								      front[SENDER_OF(message[p])])
	:: else
	fi;
	state[p] = LEASED;
	owner[p] = me
}

inline receive(m)
{
	assert(!(received & BIT(m)) && !(failed & BIT(m)));
	received = received | BIT(m);
	in_pieces[me] = 0
}

inline release(p)
{
	state[p] = DONE;
	do
	:: head >= tail || state[head] != DONE -> break
	:: else -> head++
	od
}

#define HAS_ROOM (tail - head < CAP)

/* One of a list: who looks is told, and another as well. */
inline notify(which)
{
	atomic {
		do
		:: list[which + 3] == 1 -> list[which + 3] = 0
		:: list[which + 4] == 1 -> list[which + 4] = 0
		:: list[which + 5] == 1 -> list[which + 5] = 0
		:: list[which + 3] == 2 -> list[which + 3] = 0; break
		:: list[which + 4] == 2 -> list[which + 4] = 0; break
		:: list[which + 5] == 2 -> list[which + 5] = 0; break
		:: list[which + 3] + list[which + 4] + list[which + 5] == 0 -> break
		od
	}
}

inline wake_all()
{
	readers(3) = 0; readers(4) = 0; readers(5) = 0;
	receivers(3) = 0; receivers(4) = 0; receivers(5) = 0
}

inline is_sending(result)
{
	atomic { result = (sender == first && !GONE(OWNER(sender))) }
}

proctype sends(byte me)
{
	byte m = 1, i, number;
	short todo, word, after;

	atomic {
		todo = (me == 1 -> SENDS1 : SENDS2);
		m = (me == 1 -> 1 : 4);
		number = (todo >= 100 -> 100 : (todo >= 10 -> 10 : 1))
	}
next:
end_next:
	do
	:: atomic { number == 0 || todo == 0 -> goto over }
	:: atomic {
		number != 0 && todo != 0 && GONE(OWNER(sender)) ->
		after = WORD(0, NUMBER(sender));
		word = WORD(me, NUMBER(sender));
		ACT(sender = word);
		break
	   }
	od;
	i = 0;
	do
	:: atomic {
		(i > 0 && i == PIECES && (todo / number) % 10 == 2) ->
#ifdef BUG_LOOKS_ONLY		/* whether it was asked, instead of a CAS that competes */
		if
		:: sender == word -> break
		:: else
		fi
#else
		if
		:: sender == word -> ACT(sender = word | SENT); break
		:: else
		fi
#endif
	   }
	   goto asked
	:: atomic {
		!(i > 0 && i == PIECES && (todo / number) % 10 == 2) ->
		waits_for_room = waits_for_room | BIT(me)
	   }
end_room:
	   if
	   :: atomic { HAS_ROOM -> waits_for_room = waits_for_room & ~BIT(me) }
	   :: atomic {
		!HAS_ROOM && timeouts > 0 ->
		timeouts--;
		waits_for_room = waits_for_room & ~BIT(me);
		failed = failed | BIT(m);
		assert(!(received & BIT(m)));
		goto gives_up
	      }
	   :: atomic { !HAS_ROOM && kills > 0 -> goto dying }
	   fi;
asked:
	   atomic {
		if
		:: (todo / number) % 10 == 2 && sender == (word | AGAIN) ->
			ACT(sender = word);
			i = 0;
			goto again
		:: else -> assert(!(i == PIECES && (todo / number) % 10 == 2))
		fi
	   }
	   atomic {
		assert(tail < PLACES);
		if
		:: state[tail] = READY :: kills > 0 -> goto dying
		fi;
		message[tail] = m;
		piece[tail] = i;
		if
		:: (todo / number) % 10 == 1 -> tag[tail] = WHOLE
		:: (todo / number) % 10 == 2 && i == 0 ->
			tag[tail] = FIRST;
			header[tail] = word;
#ifndef BUG_NO_NUMBER
			after = WORD(0, (NUMBER(word) + 1) % 16)
#endif
		:: (todo / number) % 10 == 2 && i > 0 -> tag[tail] = MORE
		fi;
		tail++;
		i++
	   }
	   notify(READERS);
	   if
	   :: (todo / number) % 10 == 1 -> break
	   :: else
	   fi;
again:
	   skip
	od;
	atomic { ACT(sender = after) }
	atomic {
		sent = sent | BIT(m);
		m++;
		number = number / 10;
		i = 0; word = 0; after = 0;
		goto next
	}
gives_up:
	atomic { ACT(sender = after) }
#ifndef BUG_GIVES_UP_SILENTLY
	atomic {
		if
		:: kills > 0 -> goto dying
		:: wake_all()
		fi
	}
#endif
	atomic {
		m++;
		number = number / 10;
		i = 0; word = 0; after = 0;
		goto next
	}
	atomic {
		false;
dying:
		kills--;
		life[me] = DEAD;
		waits_for_room = waits_for_room & ~BIT(me)
	}
over:
	atomic { i = 0; word = 0; after = 0; todo = 0; m = 0 }
end_sends:
	false
}

proctype receives(byte me)
{
	byte p, next_p, got, m, before, recvs = RECVS;
	short first;
	bool sending, waited;

next:
	atomic {
		p = 0; next_p = 0; got = 0; m = 0; before = 0; first = 0; sending = false; waited = false;
		if
		:: recvs > 0 -> recvs--
		:: recvs == 0 -> goto over
		:: kills > 0 -> goto dying
		fi
	}
look_first:
	atomic { readers(me) = 1 }	/* a look before a sleep; those before that are no other */
try_again:
	atomic {
		look(p);
		if
		:: p >= tail && waited -> p = 0; goto pass_turn
		:: p >= tail && !waited && readers(me) == 1 -> readers(me) = 2; goto end_sleep_first
		:: p >= tail && !waited && readers(me) == 0 -> p = 0; goto look_first
		:: p < tail && tag[p] == WHOLE -> ACT(lease(p)); readers(me) = 0
		:: p < tail && tag[p] != WHOLE -> goto find_first
		fi
	}
	/* pass_it_on: what lies behind it */
	if
	:: atomic { p + 1 < tail -> skip }
	   notify(READERS)
	:: atomic { p + 1 >= tail -> skip }
	fi;
	atomic {
		ACT(release(p));
		receive(message[p]);
		got = 1
	}
	if
	:: waited -> goto pass_turn
	:: else -> goto next
	fi;
end_sleep_first:
	if
	:: atomic { readers(me) == 0 -> p = 0; goto look_first }
	:: atomic { kills > 0 -> goto dying }
	fi;

find_first:
	atomic {
		p = 0;
		if
		:: GONE(receiver) ->
			before = receiver;
			ACT(receiver = me)
		:: !GONE(receiver) -> readers(me) = 0; goto busy
		fi
	}
#ifndef BUG_LOOKS_FROM_HINT
	if
	:: atomic { before != 0 -> ACT(orphans = true); before = 0 }
	:: atomic { before == 0 }
	fi;
#else
	before = 0;
#endif
	atomic {
		look(p);
		if
		:: p >= tail || tag[p] == WHOLE -> goto drop_receiver
		:: p < tail && tag[p] == MORE -> goto drop
		:: p < tail && tag[p] == FIRST -> first = header[p]
		fi
	}
	is_sending(sending);
	atomic {
		g_i = p + 1;
		got = 1;
		do
		:: g_i < tail && state[g_i] == DONE -> g_i++
		:: g_i < tail && state[g_i] == READY && tag[g_i] == MORE && got < PIECES -> got++; g_i++
		:: else -> break
		od;
		if
		:: got < PIECES && !sending -> g_i = 0; got = 0; goto drop
		:: else -> g_i = 0; got = 0; sending = false
		fi
	}
	atomic {			/* what comes back meanwhile does not get between */
		walk(p, true);
		p = g_i;
		g_i = 0;
		assert(p < tail && tag[p] == FIRST && header[p] == first);
		ACT(lease(p));
		m = message[p];
		readers(me) = 0;
		waited = false
	}
piece_taken:
	atomic {
		assert(message[p] == m && piece[p] == got);
		ACT(release(p));
		in_pieces[me] = m;
		got++;
		next_p = p + 1;
		if
		:: got == PIECES -> receive(m); goto done_receiver
		:: else
		fi
	}
more:
	atomic { readers(me) = 1 }
#ifdef BUG_LOOKS_LAST
	atomic {
		walk(next_p, true);
		p = (g_i < tail -> g_i : PLACES);
		g_i = 0
	}
	is_sending(sending);
	atomic {
#else
	is_sending(sending);
	atomic {
#ifdef BUG_FROM_THE_HEAD
		look(p);
#else
		walk(next_p, true);
		p = g_i;
		g_i = 0;
#endif
#endif
		if
		:: p < tail && state[p] != LEASED && tag[p] == MORE ->
			ACT(lease(p));
			readers(me) = 0;
			goto piece_taken
		:: p < tail && tag[p] != MORE -> goto forget
		:: p >= tail && !sending -> goto forget
		:: p >= tail && sending
		fi
	}
#ifndef BUG_NEVER_ASKS
	atomic {
		look(p);
		if
		:: p < next_p
		:: p >= next_p -> goto sleep_more
		fi
	}
	atomic {
		if
#ifdef BUG_ASKS_BY_STORE
		:: true -> ACT(sender = first | AGAIN); goto forget
#else
		:: sender == first -> ACT(sender = first | AGAIN); goto forget
		:: sender != first
#endif
		fi
	}
#endif
sleep_more:
	atomic {
		p = 0;
		if
		:: readers(me) == 0 -> goto more
		:: readers(me) == 1 -> readers(me) = 2
		fi
	}
end_sleep_more:
	if
	:: atomic { readers(me) == 0 -> goto more }
	:: atomic { kills > 0 -> goto dying }
	fi;
forget:
	atomic { readers(me) = 0; in_pieces[me] = 0; goto drop_receiver }
drop:
	atomic { ACT(release(p)) }
drop_receiver:
	atomic {
		ACT(receiver = 0);
		p = 0; m = 0; got = 0; first = 0; sending = false; next_p = 0
	}
	notify(TURN);
	goto look_first;
done_receiver:
	atomic {
		ACT(receiver = 0);
		p = 0; m = 0; got = 0; first = 0; sending = false; next_p = 0
	}
	notify(TURN);
	goto next;

busy:
	notify(READERS);
	atomic {
		if
		:: GONE(receiver) -> skip
		:: !GONE(receiver) -> receivers(me) = 2
		fi
	}
end_busy:
	do
	:: atomic { receivers(me) == 0 && GONE(receiver) -> break }
	:: atomic { receivers(me) == 0 && !GONE(receiver) -> receivers(me) = 2 }
	:: atomic { receivers(me) == 2 && kills > 0 -> goto dying }
	od;
	atomic { waited = true; goto look_first }
pass_turn:				/* behind the first look, whatever that has found */
#ifndef BUG_TURN_IS_KEPT
	if
	:: atomic { receiver == 0 -> skip }
	   notify(TURN)
	:: atomic { receiver != 0 -> skip }
	fi;
#endif
	atomic {
		waited = false;
		if
		:: got != 0 -> goto next
		:: got == 0 -> goto look_first
		fi
	}

	atomic {
		false;
dying:
		kills--;
		life[me] = DEAD;
		readers(me) = 0;
		receivers(me) = 0;
		excused = excused | (in_pieces[me] -> BIT(in_pieces[me]) : 0);
		in_pieces[me] = 0
	}
over:
	atomic {
		p = 0; next_p = 0; got = 0; m = 0; before = 0; first = 0; sending = false;
		recvs = 0; waited = false;
		readers(me) = 0
	}
end_receives:
	false
}

/* One at a time, who is dead; and all look again. */
proctype sweeps()
{
	byte d;

end_sweeps:
	do
	:: atomic {
		life[1] == DEAD || life[2] == DEAD || life[3] == DEAD || life[4] == DEAD ||
		life[5] == DEAD ->
		d = 1;
		do
		:: life[d] == DEAD -> break
		:: else -> d++
		od;
		g_i = 0;
		do
		:: g_i >= tail -> break
		:: g_i < tail && state[g_i] == LEASED && owner[g_i] == d ->
			state[g_i] = READY; back[g_i] = true; g_i++
		:: else -> g_i++
		od;
		g_i = 0;
		orphans = true;
		life[d] = SWEPT;
		d = 0;
		wake_all()
	   }
	od
}

/* What is there to be had, and is it all that there should be. */
inline in_the_end()
{
	g_i = 1;
	do
	:: g_i >= MESSAGES -> break
	:: sent & BIT(g_i) && !((received | excused) & BIT(g_i)) ->
		g_head = 0;
		g_n = 0;
		do
		:: g_head >= tail -> break
		:: state[g_head] == READY && message[g_head] == g_i && tag[g_head] == WHOLE ->
			g_n = PIECES; g_head++
		:: state[g_head] == READY && message[g_head] == g_i && tag[g_head] != WHOLE ->
			g_n = (tag[g_head] == FIRST -> 1 : g_n + 1); g_head++
		:: else -> g_head++
		od;
		assert(g_n == PIECES);
		g_i++
	:: else -> g_i++
	od;
	/* somebody sleeps: there is nothing, and nobody waits for room */
	g_i = 3;
	do
	:: g_i > MEMBERS -> break
	:: g_i <= MEMBERS && readers(g_i) + receivers(g_i) == 0 -> g_i++
	:: g_i <= MEMBERS && readers(g_i) + receivers(g_i) != 0 ->
		assert(!waits_for_room && receivers(g_i) == 0 && in_pieces[g_i] == 0);
		g_head = 0;
		do
		:: g_head >= tail -> break
		:: else -> assert(state[g_head] == DONE); g_head++
		od;
		g_i++
	od
}

init {
	atomic {
		run sends(1);
		run sends(2);
		run receives(3);
		run receives(4);
#if RECEIVERS > 2
		run receives(5);
#endif
		run sweeps()
	}
	atomic {
		timeout;
		d_step { in_the_end() }
	}
}
