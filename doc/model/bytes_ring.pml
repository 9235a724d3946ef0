/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring of bytes, for spin: lib/queue/ring_bytes.c. Three members put messages of one and two
 * granules, some give up what they claimed, take, and close; KILLS of them die at any step (how
 * many is chosen before the run). The swept come back under their id.
 *
 * OPS1 to OPS3 say what each member calls: 1 puts, 2 takes, 4 gives up, 8 closes, once. Who takes
 * looks TRIES times in vain, at most, in all. One step is one access to one shared word, or to one
 * granule of a message. Memory is sequentially consistent here.
 *
 * Positions count granules, not { lap | index }. A claim to sweep is one step and ends with its
 * holder's life: that is member.pml's subject; sleep is wait.pml's. A word counts how often its
 * message was given anew up to 3, which is more often than members die here.
 *
 * Checked: what is taken is whole, was committed, is no living member's, is not taken twice but
 * flagged, and not before an older one that nobody has had; "empty" and "full" are said only if
 * that was so at a moment of the call, what the dead have being nowhere until they are swept; "no
 * more" is said when all is read. In the end all messages that were committed are read or
 * still to be had, and all room is back.
 */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef NPUT
#define NPUT 2
#endif
#ifndef TRIES
#define TRIES 2
#endif
#ifndef OPS1
#define OPS1 3
#define OPS2 1
#define OPS3 2
#endif
#ifndef G
#define G 3			/* granules; one is never used */
#endif
#ifndef ADVANCES
#define ADVANCES 0		/* who releases moves the head: sometimes it does not */
#endif
#ifndef SHORTEST
#define SHORTEST 1
#endif
#define M 3
#define BIT(m) (1 << (m))

#define CLAIMED 1
#define READY 2
#define LEASED 3
#define DONE 4
#define CLOSED 5
#define W(lap, length, owner, again, state) \
	(((((lap) * 4 + (length)) * 4 + (owner)) * 4 + (again)) * 8 + (state))
#define STATE(w) ((w) & 7)
#define AGAIN(w) (((w) >> 3) & 3)
#define OWNER(w) (((w) >> 5) & 3)
#define LENGTH(w) (((w) >> 7) & 3)
#define LAP(w) ((w) >> 9)
#define CHANGED(w, state) (((w) & ~(7 | (3 << 5))) | (state))	/* word_change */
#ifdef BUG_AGAIN_ONCE		/* a flag, not a count */
#define MORE(w) ((w) | (1 << 3))
#else
#define MORE(w) (((w) & ~(3 << 3)) | ((AGAIN(w) + 1) << 3))
#endif
#define TIED(w) (STATE(w) == CLAIMED || STATE(w) == LEASED)

#ifdef BUG_NO_SPARE
#define USABLE G
#else
#define USABLE (G - 1)
#endif
#define ROOM(head, p) ((p) < (head) -> 0 : USABLE - ((p) - (head)))
#define REST(p) (G - (p) % G)
#define CLAIMABLE(p, wanted, head) \
	((wanted) <= REST(p) -> ((wanted) <= ROOM(head, p) -> (wanted) : 0) : \
	 (REST(p) + (wanted) <= ROOM(head, p) || ((head) == (p) && REST(p) <= ROOM(head, p)) -> \
	  REST(p) : 0))

/* shared words */
short entry[G];
byte note[G];
byte data[G];
byte head = G;
byte tail = G;			/* hints */
byte take = G;
byte orphans;			/* { count | bit } */

#define ALIVE 0
#define DEAD 1
byte life[M + 1];
byte sweeper[M + 1];
byte kills;

/* ghosts */
byte messages;			/* that were ever claimed */
byte wanted_by[M + 1];		/* granules that a call to put looks for */
bool was_full[M + 1];		/* they were not there at a moment of the call */
bool takes[M + 1];
bool was_empty[M + 1];
byte in_place[G];		/* the message of an entry's word */
byte lengths[NPUT + 1];
byte holder[NPUT + 1];
byte committed;			/* sets of messages */
byte had;
byte finished;
byte tries = TRIES;
byte closes = 1;

#define ACT(x) if :: x :: kills > 0 -> goto dying fi

/* What is true now: g_tail, g_done the first that is not DONE, g_there something can be taken. */
hidden byte g_p, g_done, g_tail, g_there, g_held, g_left, g_fresh;
inline survey()
{
	g_p = head; g_done = 0; g_there = 0; g_held = 0; g_fresh = 0;
	do
	:: LAP(entry[g_p % G]) == g_p / G && STATE(entry[g_p % G]) != CLOSED ->
		if
		:: STATE(entry[g_p % G]) != DONE && g_done == 0 &&
		   !(STATE(entry[g_p % G]) == CLAIMED && life[OWNER(entry[g_p % G])] == DEAD) ->
			g_done = g_p
		:: else
		fi;
		if
		:: STATE(entry[g_p % G]) == CLAIMED && life[OWNER(entry[g_p % G])] == ALIVE ->
			g_held = 1
		:: STATE(entry[g_p % G]) == READY && !g_held && sweeper[1] + sweeper[2] + sweeper[3] == 0 &&
		   (AGAIN(entry[g_p % G]) == 0 || life[1] + life[2] + life[3] == 0) -> g_there = 1
		:: else
		fi;
		if
		:: STATE(entry[g_p % G]) == READY && AGAIN(entry[g_p % G]) == 0 && g_fresh == 0 ->
			g_fresh = g_p
		:: else
		fi;
		g_p = g_p + LENGTH(entry[g_p % G])
	:: else -> break
	od;
	g_tail = g_p;
	g_done = (g_done == 0 -> g_p : g_done);
	g_p = 0
}

inline judge()
{
	d_step {
		survey();
		g_left = 1;
		do
		:: g_left > M -> break
		:: else ->
			if
			:: wanted_by[g_left] && !CLAIMABLE(g_tail, wanted_by[g_left], g_done) ->
				was_full[g_left] = true
			:: else
			fi;
			if
			:: takes[g_left] && !g_there -> was_empty[g_left] = true
			:: else
			fi;
			g_left++
		od;
		g_left = 0
	}
}

#define LOOK atomic { w = entry[p % G]
#define FOUND_TAIL (LAP(w) < p / G)
#define FOUND (LAP(w) == p / G)
#define FOUND_PAST (LAP(w) > p / G)

/* from_hint: p, or the head when that is farther */
inline not_behind_head()
{
	atomic { p = (p < head -> head : p) }
}

/* advance: the head as it is then, or nearly, in h */
inline advance()
{
	atomic { h = head; p = h }
	do
	:: atomic {
		w = entry[p % G];
		if
		:: !FOUND || STATE(w) == CLOSED -> break
		:: FOUND && STATE(w) == CLAIMED
		:: FOUND && STATE(w) == DONE -> p = p + LENGTH(w); w = 0
#ifdef BUG_PASSES_THE_DEAD		/* the head, over what a dead member leased */
		:: FOUND && STATE(w) == LEASED && life[OWNER(w)] == DEAD -> p = p + LENGTH(w); w = 0
		:: FOUND && STATE(w) == LEASED && life[OWNER(w)] != DEAD -> break
		:: FOUND && STATE(w) == READY -> break
#else
		:: FOUND && (STATE(w) == READY || STATE(w) == LEASED) -> break
#endif
		fi
	   }
	   if
	   :: atomic { w == 0 }
	   :: atomic { w != 0 && life[OWNER(w)] != DEAD }
	      atomic {			/* or it was a dead one's whose id has been freed since */
		if
#ifndef BUG_OWNER_LOOK
		:: entry[p % G] != w -> w = 0
		:: entry[p % G] == w -> break
#else
		:: true -> break
#endif
		fi
	      }
	   :: atomic { w != 0 && life[OWNER(w)] == DEAD }
	      atomic {
		if
		:: entry[p % G] == w -> ACT(entry[p % G] = CHANGED(w, DONE))
		:: entry[p % G] != w
		fi;
		w = 0
	      }
	   fi
	od;
	do
	:: atomic { p <= h -> break }
	:: atomic {
		p > h;
		if
#ifdef BUG_HEAD_STORED
		:: true -> ACT(head = p); h = p
#else
		:: head == h -> ACT(head = p); h = p
#ifdef BUG_HEAD_ONCE			/* somebody else has moved it, less far */
		:: head != h -> h = head; p = h
#else
		:: head != h -> h = head
#endif
#endif
		fi
	   }
	od;
	atomic { w = 0 }
}

proctype member(byte me)
{
	short w, was;
	byte p, h, i, d, v, at, seen;
	byte wanted, length, got;	/* got: the message that is claimed, or leased */
	bool from_head, ended, again;
	byte ops;

	ops = (me == 1 -> OPS1 : (me == 2 -> OPS2 : OPS3));
rest:
	atomic {
		w = 0; p = 0; h = 0; i = 0; d = 0; v = 0; at = 0; was = 0; seen = 0; wanted = 0; length = 0; got = 0;
		from_head = false; ended = false; again = false;
		wanted_by[me] = 0; was_full[me] = false; takes[me] = false; was_empty[me] = false
	}
end_rest:
	atomic {
		if
		:: ops & 1 && messages < NPUT ->
			if
			:: SHORTEST == 1 -> wanted = 1
			:: wanted = 2
			fi;
			messages++;
			got = messages;
			wanted_by[me] = wanted;
			lengths[got] = wanted;
			judge();
			goto claim
		:: ops & 2 && (tries > 0 || (committed & ~finished)) ->
			takes[me] = true;
			judge();
			goto taking
		:: ops & 8 && closes > 0 -> closes--; goto close
		:: life[1] == DEAD && sweeper[1] == 0 -> d = 1; sweeper[1] = me; goto sweep
		:: life[2] == DEAD && sweeper[2] == 0 -> d = 2; sweeper[2] = me; goto sweep
		:: life[3] == DEAD && sweeper[3] == 0 -> d = 3; sweeper[3] = me; goto sweep
		:: kills > 0 -> goto dying
		fi
	}

claim:
	atomic { p = tail }
	not_behind_head();
look_claim:
	LOOK;
		if
		:: FOUND_PAST -> goto claim
		:: FOUND && STATE(w) == CLOSED -> goto rest
		:: FOUND && STATE(w) != CLOSED -> p = p + LENGTH(w); goto look_claim
		:: FOUND_TAIL
		fi
	}
	atomic { h = head; length = CLAIMABLE(p, wanted, h) }
	if
	:: atomic { length == 0 -> at = p; was = w; h = 0; goto make_room }
	:: atomic { length != 0 -> h = 0 }
	fi;
claim_here:
	atomic {
		if
		:: entry[p % G] == w && length < wanted ->
			ACT(entry[p % G] = W(p / G, length, 0, 0, DONE));
			in_place[p % G] = 0;
			judge()
		:: entry[p % G] == w && length >= wanted ->
			ACT(entry[p % G] = W(p / G, length, me, 0, CLAIMED));
			in_place[p % G] = got;
			wanted_by[me] = 0;
			judge()
		:: entry[p % G] != w -> length = 0; goto look_claim
		fi;
		w = 0
	}
	atomic { ACT(tail = p + length) }
	if
	:: length < wanted -> atomic { p = p + length; length = 0 } goto look_claim
	:: else
	fi;
	if
	:: ops & 4 -> goto give_up
	:: true
	fi;
	do
	:: i < length -> atomic { ACT(data[(p + i) % G] = got); i++ }
	:: else -> break
	od;
	atomic { i = 0 }
#ifdef BUG_NOTE_LAST
	atomic {
		ACT(entry[p % G] = W(p / G, length, 0, 0, READY));
		committed = committed | BIT(got)
	}
	atomic { ACT(note[p % G] = got * 4 + length) }
#else
	atomic { ACT(note[p % G] = got * 4 + length) }
	atomic {
		ACT(entry[p % G] = W(p / G, length, 0, 0, READY));
		committed = committed | BIT(got)
	}
#endif
	goto rest;
give_up:
	atomic { ACT(entry[p % G] = W(p / G, length, 0, 0, DONE)) }
	goto rest;

make_room:
	advance();
	atomic {
		p = at; w = was; at = 0; was = 0;
		length = CLAIMABLE(p, wanted, h);
		if
		:: length != 0 -> h = 0; goto claim_here
#ifndef BUG_FULL_BEHIND			/* this is the tail no more */
		:: length == 0 && entry[p % G] != w -> h = 0; goto look_claim
		:: length == 0 && entry[p % G] == w -> assert(was_full[me]); goto rest
#else
		:: length == 0 -> assert(was_full[me]); goto rest
#endif
		fi
	}

taking:
	atomic { seen = orphans; from_head = seen & 1 }
walk:
	if
	:: from_head || ended -> advance(); atomic { p = h; h = 0 }
	:: else -> atomic { p = take } not_behind_head()
	fi;
look_take:
	LOOK;
		if
		:: FOUND_PAST -> goto walk
		:: FOUND_TAIL -> goto none
		:: FOUND && STATE(w) == CLOSED -> goto no_more
		:: FOUND && STATE(w) == DONE -> p = p + LENGTH(w); goto look_take
		:: FOUND && TIED(w)
		:: FOUND && STATE(w) == READY -> goto look_note
		fi
	}
	if				/* owner_dead */
	:: atomic { life[OWNER(w)] == DEAD && STATE(w) == LEASED }
	:: atomic { life[OWNER(w)] == DEAD && STATE(w) == CLAIMED -> goto give_up_the_deads }
	:: atomic { life[OWNER(w)] != DEAD }
	   atomic {			/* the word may be a dead one's whose id has been freed since */
		if
#ifndef BUG_OWNER_LOOK
		:: entry[p % G] != w -> goto look_take
		:: entry[p % G] == w && STATE(w) == CLAIMED -> goto none
		:: entry[p % G] == w && STATE(w) == LEASED
#else
		:: STATE(w) == CLAIMED -> goto none
		:: STATE(w) == LEASED
#endif
		fi;
		p = p + LENGTH(w);
		goto look_take
	   }
	fi;
look_note:
	atomic {
		v = note[p % G];
		again = STATE(w) == LEASED
	}
	if
	:: atomic { v % 4 > LENGTH(w) }
	   atomic {
		assert(entry[p % G] != w);
		v = 0;
		again = false;
		goto look_take
	   }
	:: atomic { v % 4 <= LENGTH(w) }
	fi;
	atomic {
		if
		:: entry[p % G] == w ->
			ACT(entry[p % G] = (CHANGED((again -> MORE(w) : w), LEASED) | (me << 5)));
			got = in_place[p % G];
			assert(committed & BIT(got) && !(finished & BIT(got)));
			assert(holder[got] == 0);
			w = entry[p % G];
			assert(!(had & BIT(got)) || AGAIN(w));
			d_step { survey() }
			assert(AGAIN(w) || g_fresh == 0 || g_fresh > p);
			had = had | BIT(got);
			holder[got] = me;
			takes[me] = false;
			judge();
			again = AGAIN(w)
		:: entry[p % G] != w -> v = 0; again = false; goto look_take
		fi;
		w = 0
	}
	atomic { length = lengths[got]; i = p + length; w = take }
	if
	:: atomic { i > w } atomic { ACT(take = i) }
	:: atomic { i <= w }
	fi;
	atomic { i = 0; w = 0 }
	if
	:: from_head && !again -> atomic {
		if
		:: orphans == seen -> ACT(orphans = seen & ~1)
		:: orphans != seen
		fi
	   }
	:: else
	fi;
	atomic { seen = 0; from_head = false; ended = false; again = false }
	assert(v == got * 4 + length);
#ifdef BUG_RELEASE_FIRST
	goto release;
read:
#endif
	do
	:: i < length -> atomic { ACT(assert(data[(p + i) % G] == got)); i++ }
	:: else -> break
	od;
	atomic { i = 0 }
#ifdef BUG_RELEASE_FIRST
	goto rest;
release:
#endif
	atomic {
		assert(holder[got] == me);
		assert(OWNER(entry[p % G]) == me && LAP(entry[p % G]) == p / G);
		ACT(entry[p % G] = CHANGED(entry[p % G], DONE));
		holder[got] = 0;
		finished = finished | BIT(got)
	}
#ifdef BUG_RELEASE_FIRST
	goto read;
#endif
#if ADVANCES
	advance();
#endif
	goto rest;

give_up_the_deads:
	atomic {
		if
		:: entry[p % G] == w -> ACT(entry[p % G] = CHANGED(w, DONE))
		:: entry[p % G] != w
		fi;
		goto look_take
	}

none:
	atomic {			/* what was passed over may have come back */
		if
		:: orphans != seen -> goto taking
		:: orphans == seen
		fi
	}
	if
	:: from_head -> atomic {
		if
		:: orphans == seen -> ACT(orphans = seen & ~1)
		:: orphans != seen
		fi
	   }
	:: else
	fi;
	atomic {
		assert(was_empty[me]);
		if
		:: tries > 0 -> tries--
		:: tries == 0
		fi;
		goto rest
	}
no_more:
	if
	:: !from_head && !ended -> atomic { ended = true; goto walk }
	:: else
	fi;
	if
	:: from_head -> atomic {
		if
		:: orphans == seen -> ACT(orphans = seen & ~1)
		:: orphans != seen
		fi
	   }
	:: else
	fi;
	atomic {
		assert(was_empty[me]);
		if
		:: tries > 0 -> tries--
		:: tries == 0
		fi;
		goto rest
	}

close:
	atomic { p = tail }
	not_behind_head();
look_close:
	LOOK;
		if
		:: FOUND_PAST -> goto close
		:: FOUND && STATE(w) == CLOSED -> goto rest
		:: FOUND && STATE(w) != CLOSED -> p = p + LENGTH(w); goto look_close
		:: FOUND_TAIL
		fi
	}
	atomic {
		if
		:: entry[p % G] == w -> ACT(entry[p % G] = W(p / G, 0, 0, 0, CLOSED))
		:: entry[p % G] != w -> goto look_close
		fi;
		goto rest
	}

sweep:
	atomic { h = head; p = h }
look_sweep:
	LOOK;
		if
		:: FOUND_PAST -> w = 0
		:: FOUND_TAIL || p - h > G || (FOUND && STATE(w) == CLOSED) -> goto swept_ring
		:: FOUND && p - h <= G && TIED(w) && OWNER(w) == d
		:: FOUND && p - h <= G && STATE(w) != CLOSED && !(TIED(w) && OWNER(w) == d) ->
			p = p + LENGTH(w);
			goto look_sweep
		fi
	}
	if
	:: atomic { w == 0 -> p = head; goto look_sweep }
	:: atomic { w != 0 }
	fi;
	atomic {
		if
		:: entry[p % G] == w && STATE(w) == CLAIMED -> ACT(entry[p % G] = CHANGED(w, DONE))
		:: entry[p % G] == w && STATE(w) == LEASED ->
			ACT(entry[p % G] = CHANGED(MORE(w), READY)); again = true
		:: entry[p % G] != w
		fi;
		p = p + LENGTH(w);
		goto look_sweep
	}
swept_ring:
#ifdef BUG_ONLY_IF_FOUND		/* a sweeper before it may have found them, and died */
	if
	:: !again -> goto freed
	:: else
	fi;
#endif
#ifndef BUG_NOT_COUNTED
	atomic { ACT(orphans = orphans + 2) }
#endif
	atomic { ACT(orphans = orphans | 1) }
freed:
	atomic { ACT(life[d] = ALIVE; sweeper[d] = 0); goto rest }

	atomic {
		false;
dying:
		kills--;
		d_step {
			life[me] = DEAD;
			w = 1;
			do
			:: w > NPUT -> break
			:: w <= NPUT && holder[w] == me -> holder[w] = 0; w++
			:: else -> w++
			od;
			w = 1;
			do
			:: w > M -> break
			:: w <= M && sweeper[w] == me -> sweeper[w] = 0; w++
			:: else -> w++
			od;
			w = 0; p = 0; h = 0; i = 0; d = 0; v = 0; at = 0; was = 0; seen = 0; wanted = 0; length = 0; got = 0;
			from_head = false; ended = false; again = false;
			wanted_by[me] = 0; was_full[me] = false; takes[me] = false; was_empty[me] = false
		}
	}
end_dead:
	atomic { life[me] == ALIVE; goto rest }
}

/* When nothing more happens: the rest is read by one alone, and all room is back. */
inline read_the_rest()
{
	do
	:: true ->
		g_p = (orphans & 1 || take < head -> head : take);
		do
		:: LAP(entry[g_p % G]) == g_p / G &&
		   (STATE(entry[g_p % G]) == DONE || STATE(entry[g_p % G]) == CLAIMED) ->
			assert(STATE(entry[g_p % G]) == DONE || life[OWNER(entry[g_p % G])] == DEAD);
			entry[g_p % G] = CHANGED(entry[g_p % G], DONE);
			g_p = g_p + LENGTH(entry[g_p % G])
		:: else -> break
		od;
		if
		:: LAP(entry[g_p % G]) != g_p / G || STATE(entry[g_p % G]) == CLOSED -> break
		:: else
		fi;
		assert(STATE(entry[g_p % G]) == READY);
		finished = finished | BIT(in_place[g_p % G]);
		entry[g_p % G] = CHANGED(entry[g_p % G], DONE);
		take = g_p + LENGTH(entry[g_p % G])
	od;
	assert(finished == committed);
	survey();
	assert(g_done == g_tail)
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
		assert(life[1] + life[2] + life[3] == 0);
		d_step { read_the_rest() }
	}
}
