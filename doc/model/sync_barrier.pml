/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A barrier that breaks when a party dies inside, for spin: lib/sync/barrier.c.
 *
 * Three members come to a barrier of PARTIES, ROUNDS times each; who comes back after its death
 * comes AGAIN times. With RESETS member 1 does not come, but resets it so often, or whoever came
 * back; with ACTION the last one runs an action, which is one step. A wait looks for the first
 * time when it is listed. Deaths and sleep: sync_sleep.pml.
 *
 * Checked: all that were counted in a round return that it was released, or all that it was
 * broken; a round is not released if one of its parties was dead already when the last one came;
 * when nothing can happen any more, who sleeps is in the present round, which is neither broken
 * nor complete, and has no dead party.
 */
#include "sync_sleep.pml"

#ifndef PARTIES
#define PARTIES 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef AGAIN
#define AGAIN 0
#endif
#ifndef RESETS
#define RESETS 0
#endif
#ifndef ACTION
#define ACTION 0
#endif

#define ARRIVED(w) ((w) & 3)
#define BROKEN 4
#define ROUND(w) ((w) / 8)
#define NEXT(w) ((ROUND(w) + 1) * 8)
byte word;

#define NOTE(m, round) ((incarnation[m] * 8 + (round)) * 4 + 1)
#define EXPELLED 2
#define WRITER(n, m) ((m) + M * ((n) / 32))
#define ITS_ROUND(n) (((n) / 4) % 8)
byte note[M + 1];
#define GONE_NOTE(m) (note[m] && GONE(WRITER(note[m], m)))
#ifdef BUG_CLEARS_LATER		/* a look that is late clears a party of the present round */
#define CLEARS(its, round) ((its) != (round))
#else
#define CLEARS(its, round) ((its) < (round))
#endif

byte resets = RESETS;
#define RELEASED 1
#define BROKE 2
byte outcome[8];		/* ghost: of each round */

bool dead_inside[8];		/* ghost: somebody was counted in this round, and died in it */

#define QUIET (inside && ROUND(word) == round && !(word & BROKEN) && ARRIVED(word) < PARTIES && \
	       !dead_inside[round])

/* what comes when the round has been looked at, or all have been woken */
#define ARRIVE 1
#define LAST 2
#define LEAVE 3
#define ACTED 4
#define RESET 5
#define OUT 6

inline ended(w, how)
{
	assert(outcome[ROUND(w)] == 0);
	outcome[ROUND(w)] = how
}

proctype member(byte me)
{
	byte rounds, then, w, i, seen;
	byte round, result;
	bool inside, gone;
	bool had_dead;		/* ghost */
	LOCALS;

	rounds = (me == 1 && RESETS -> 0 : ROUNDS);
rest:
end_rest:
	atomic {
		if
		:: rounds > 0 -> rounds--
		:: resets > 0 && (me == 1 || incarnation[me]) ->
			resets--;
			then = RESET;
			goto break_it
		:: kills > 0 -> goto dying
		fi
	}
	atomic {
		if
#ifndef BUG_TAKES_THE_NOTE		/* of a dead one that had the id */
		:: note[me] != 0 -> then = ARRIVE; goto check
#endif
		:: else -> goto arrive
		fi
	}

look:
	atomic {
		if
		:: inside -> then = LEAVE; goto check
		:: !inside
		fi
	}
arrive:
	atomic {
		w = word;
		if
		:: ARRIVED(w) >= PARTIES -> then = ARRIVE; goto check
		:: ARRIVED(w) < PARTIES
		fi
	}
arrive_in:
	atomic {
		if
		:: (w & BROKEN) -> assert(outcome[ROUND(w)] == BROKE); result = BROKE; goto leave
		:: !(w & BROKEN) && ARRIVED(w) >= PARTIES -> w = 0; goto wait
		:: !(w & BROKEN) && ARRIVED(w) + 1 == PARTIES ->
			had_dead = dead_inside[ROUND(w)];
#ifndef BUG_LAST_DOES_NOT_LOOK
			then = LAST;
			i = 1;
			goto scan
#endif
		:: !(w & BROKEN) && ARRIVED(w) + 1 < PARTIES
		fi
	}
count:
#ifndef BUG_NOTE_LAST			/* counted first, and then named */
	atomic { ACT(note[me] = NOTE(me, ROUND(w))) }
#endif
	atomic {
		if
		:: word == w ->
			if
			:: ARRIVED(w) + 1 == PARTIES && !ACTION ->
				assert(!had_dead);
				ended(w, RELEASED);
				word = NEXT(w);
				result = RELEASED
			:: ARRIVED(w) + 1 < PARTIES || ACTION ->
				word = w + 1
			fi;
			round = ROUND(w);
			inside = true
		:: word != w -> w = 0; had_dead = false; goto arrive
		:: kills > 0 -> goto dying
		fi;
		had_dead = false;
#ifdef BUG_NOTE_LAST
	}
	atomic {
		ACT(note[me] = NOTE(me, ROUND(w)));
#endif
		if
		:: result -> w = 0; then = OUT; goto rouse
		:: !result && ARRIVED(w) + 1 < PARTIES -> w = 0; goto wait
		:: !result && ARRIVED(w) + 1 == PARTIES -> w = w + 1; then = ACTED
		fi
	}
	atomic { ACT(seen = w) }	/* the action */
	goto check;
acted:
	atomic {
		if
		:: word == seen && w == seen ->
			ended(w, RELEASED);
			word = NEXT(w);
			result = RELEASED;
			then = OUT
		:: w != seen || word != seen -> result = BROKE
		:: kills > 0 -> goto dying
		fi;
		w = 0;
		seen = 0;
		if
		:: result == RELEASED -> goto rouse
		:: result == BROKE -> goto leave
		fi
	}

check:				/* w: the word, when no death has to break it any more */
	atomic {
		w = word;
		i = 1;
		if
		:: (w & BROKEN) -> i = 0; goto checked
		:: !(w & BROKEN)
		fi
	}
scan:
	atomic {
		if
		:: i > M -> i = 0; goto scanned
		:: i <= M && GONE_NOTE(i) && ITS_ROUND(note[i]) == ROUND(w) ->
			gone = true;
			i++;
			goto scan
		:: i <= M && GONE_NOTE(i) && CLEARS(ITS_ROUND(note[i]), ROUND(w))
		:: else -> i++; goto scan
		fi;
		/* if nobody else has cleared it */
		ACT(note[i] = 0);
		i++;
		goto scan
	}
scanned:
	atomic {
		if
		:: gone -> gone = false
		:: else -> goto checked
		fi;
		if
		:: word == w -> ended(w, BROKE); word = (w & ~3) | BROKEN
		:: word != w -> goto unscanned
		:: kills > 0 -> goto dying
		fi
	}
rouse:
	wake_all(0);
unscanned:
	atomic {
		if
		:: then == OUT -> then = 0; goto leave
		:: then == RESET -> goto expel
		:: then == LAST -> then = 0; w = 0; had_dead = false; goto arrive
		:: else -> goto check
		fi
	}
checked:
	atomic {
		if
		:: then == ARRIVE -> then = 0; goto arrive_in
		:: then == LAST -> then = 0; goto count
		:: then == ACTED -> then = 0; goto acted
		:: then == LEAVE -> then = 0
		fi
	}
judge:
	atomic {
		if
		:: ROUND(w) == round && !(w & BROKEN) ->
			if
			:: result == 0 -> w = 0; goto wait
			:: result != 0 -> goto too_late
			fi
		:: ROUND(w) == round && (w & BROKEN) -> result = BROKE
		:: ROUND(w) != round -> result = (note[me] & EXPELLED -> BROKE : RELEASED)
		fi;
		w = 0;
		goto leave
	}

wait:
	await(0, QUIET);
leave:
	unlist(0);
	atomic {
		if
		:: inside && result == 0	/* it is too late */
		:: else -> goto clear
		fi
	}
try_to_break:
	atomic { w = word; result = BROKE; goto judge }
too_late:
	atomic {
		if
		:: word == w -> ended(w, BROKE); word = (w & ~3) | BROKEN
		:: word != w -> w = 0; goto try_to_break
		:: kills > 0 -> goto dying
		fi;
		w = 0;
		then = OUT;
		goto rouse
	}
clear:
	atomic {
		if
		:: inside -> assert(outcome[round] == result)
		:: else
		fi;
		ACT(note[me] = 0);
		inside = false;
		round = 0;
		result = 0;
		goto rest
	}

break_it:			/* reset */
	atomic {
		w = word;
		if
		:: (w & BROKEN) -> goto expel
		:: else
		fi
	}
	atomic {
		if
		:: word == w -> ended(w, BROKE); word = (w & ~3) | BROKEN
		:: word != w -> goto break_it
		:: kills > 0 -> goto dying
		fi;
		goto rouse
	}
expel:
	atomic {
		w = (w & ~3) | BROKEN;
		i = 1;
#ifdef BUG_EXPELLED_LATE		/* the next round comes first */
		if
		:: word == w -> word = NEXT(w)
		:: word != w
		:: kills > 0 -> goto dying
		fi
#endif
	}
expel_next:
	atomic {
		if
		:: i > M -> i = 0; goto expelled
		:: i <= M && note[i] && ITS_ROUND(note[i]) == ROUND(w) -> seen = note[i]
		:: else -> i++; goto expel_next
		fi
	}
	atomic {
		if
		:: note[i] == seen -> note[i] = seen | EXPELLED
		:: note[i] != seen
		:: kills > 0 -> goto dying
		fi;
		seen = 0;
		i++;
		goto expel_next
	}
expelled:
	atomic {
#ifndef BUG_EXPELLED_LATE
		if
		:: word == w -> word = NEXT(w)
		:: word != w
		:: kills > 0 -> goto dying
		fi;
#endif
		w = 0;
		then = 0;
		goto rest
	}

	atomic {
		false;
dying:
		kills--;
		d_step {
			dead_inside[round] = dead_inside[round] || inside;
			die();
			then = 0; w = 0; i = 0; seen = 0; round = 0; result = 0;
			inside = false; gone = false; had_dead = false
		}
	}
end_dead:
	atomic { come_back(); rounds = AGAIN; goto rest }
end:
	false
}
