/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A lock of readers and writers, with its sleepers, for spin: lib/sync/rwlock.c.
 *
 * Each of three members acquires and releases once: ROLE1 to ROLE3 say what for, 1 to read, 2 to
 * write, 3 either. Who comes back after its death does nothing. The first try of a reader is not
 * apart here: it is a look like the others. Deaths and sleep: sync_sleep.pml.
 *
 * Checked: nobody is inside with a living writer, and no writer with a living reader; who gets in
 * is told of a writer's death exactly when that one may have changed something; -ENOTRECOVERABLE
 * comes after a release without recovery, and then always; a registered reader is overtaken by one
 * writer at most; nobody sleeps when nothing can happen any more.
 */
#define LISTS 3
#include "sync_sleep.pml"

#ifndef ROLE1
#define ROLE1 3
#define ROLE2 3
#define ROLE3 3
#endif

#define READS 0			/* the lists */
#define CLAIMS 1
#define DRAINS 2

#define DRAINING 1		/* of the word */
#define PHASE 2			/* and of a slot */
#define INCONSISTENT 4
#define LOST 8
#define WORD(t, flags) ((t) * 16 + (flags))
#define OWNER(w) ((w) / 16)
byte word;

#define WAITING 1		/* of a slot */
#define READING 4
#define SLOT(t, flags) ((t) * 8 + (flags))
#define MEMBER(s) ((s) / 8)
byte slot[M + 1];

#define OTHER_PHASE(a, b) (((a) ^ (b)) & PHASE)
#define MINE (MEMBER(slot[me]) == TOKEN(me) -> slot[me] & 7 : 0)
#ifdef BUG_REGISTERS_ANEW		/* who waits in turn begins anew each time that it looks */
#define IN_TURN false
#define REGISTERED false
#else
#define IN_TURN (state & WAITING && OTHER_PHASE(state, seen))
#define REGISTERED (state & WAITING)
#endif

byte holder;			/* ghost: the token that may have changed something */
byte inside;			/* ghost: living readers */
byte registered;		/* ghost: living readers that wait in turn; overtaken by one writer */
byte overtaken;
bool lost;			/* ghost */

inline forget()			/* how it waited */
{
	registered = registered & ~BIT(me);
	overtaken = overtaken & ~BIT(me)
}

inline writes()
{
	assert(!lost);
	assert(inside == 0);
	assert(holder == 0);
	assert((registered & overtaken) == 0);
	overtaken = registered;
	holder = TOKEN(me)
}

inline takes_over()
{
	assert(!lost);
	assert(inside == 0);
	assert(holder == OWNER(seen) && IS_GONE(holder));
	holder = TOKEN(me)
}

inline reads()
{
	assert(!lost);
	assert(holder == 0);
	inside = inside | BIT(me);
	forget()
}

inline step_back(flags)		/* the slot, and who drains */
{
	atomic { ACT(slot[me] = ((flags) -> SLOT(TOKEN(me), flags) : 0)) }
	notify(DRAINS)
}

inline rouse(list)		/* brood__wake_all */
{
	atomic { k = 1 }
	do
	:: atomic { k > M -> k = 0; break }
	:: atomic { k <= M && !(mask[list] & BIT(k)) -> k++ }
	:: atomic { k <= M && mask[list] & BIT(k) -> ACT(changed[k] = true; wake(k)); hit = false; k++ }
	od
}

proctype member(byte me)
{
	byte seen;		/* the word */
	byte state;		/* of my slot; of another, when it drains */
	byte id, at, role;
	LOCALS;

	role = (me == 1 -> ROLE1 : (me == 2 -> ROLE2 : ROLE3));
rest:
	atomic { seen = 0; state = 0; at = 0 }
end_rest:
	atomic {
		if
		:: role & 1 -> at = READS
		:: role & 2 -> at = CLAIMS
		:: kills > 0 -> goto dying
		fi;
		role = 0
	}

look:
	atomic {
		if
		:: at == DRAINS -> seen = word; id = 1; goto drain
		:: else -> seen = word
		fi;
		state = (at == READS -> MINE : 0);
		if
		:: seen & LOST -> assert(lost); goto leave
		:: !(seen & LOST) && (OWNER(seen) == 0 || IN_TURN) -> goto free
		:: !(seen & LOST) && OWNER(seen) != 0 && !IN_TURN
		fi
	}
	atomic {
		if
		:: GONE(OWNER(seen)) && seen & DRAINING
		:: GONE(OWNER(seen)) && !(seen & DRAINING) -> goto take_over
		:: else -> goto closed
		fi
	}
	atomic {			/* it may have written after we read the word, and died */
		if
		:: word == seen
		:: word != seen -> goto closed
		fi
	}
free:
	atomic {
		if
		:: at == READS -> ACT(slot[me] = SLOT(TOKEN(me), READING))
		:: at == CLAIMS && word == seen ->
			ACT(word = WORD(TOKEN(me), DRAINING | (seen & PHASE)));
			goto leave
		:: at == CLAIMS && word != seen -> goto wait
		fi
	}
#ifdef BUG_NO_LOOK			/* a reader that is seen does not look whether it was in time */
	atomic { reads(); goto leave }
#endif
	atomic {
		seen = word;
		if
		:: OWNER(seen) == 0 && !(seen & LOST) || IN_TURN -> reads(); goto leave
		:: (OWNER(seen) != 0 || seen & LOST) && !IN_TURN
		fi
	}
	atomic {
		if
		:: OWNER(seen) != 0 && seen & DRAINING && GONE(OWNER(seen))
		:: else -> goto too_late
		fi
	}
	atomic {
		if
#ifdef BUG_READS_ONCE			/* what the word said before the writer died */
		:: true -> reads(); goto leave
#else
		:: word == seen -> reads(); goto leave
		:: word != seen
#endif
		fi
	}
too_late:
	if
	:: REGISTERED -> step_back(state); goto wait
	:: else -> goto closed
	fi;
take_over:
	atomic {
		if
		:: word == seen ->
			ACT(word = WORD(TOKEN(me), INCONSISTENT | (seen & PHASE)));
			takes_over();
			forget()
		:: word != seen -> goto closed
		fi
	}
	goto leave;
closed:
	if
	:: at != READS || REGISTERED -> goto wait
	:: else
	fi;
registers:
	atomic {
		state = seen & PHASE;
		ACT(slot[me] = SLOT(TOKEN(me), WAITING | state))
	}
#ifndef BUG_STEPS_BACK_SILENTLY		/* as if it had not looked like one that reads */
	notify(DRAINS);
#endif
	atomic {
		seen = word;
		if
		:: OTHER_PHASE(seen, state) -> goto registers
		:: else -> registered = registered | BIT(me)
		fi
	}

wait:
	atomic { seen = 0; state = 0; id = 0 }
	await(at, false);
leave:				/* it is in, or has claimed, or neither */
	unlist(at);
	atomic {
		seen = 0;
		state = 0;
		if
		:: at == READS && !(inside & BIT(me))
		:: at == READS && inside & BIT(me) -> goto release_read
		:: at != READS -> goto claimed
		fi
	}
out:				/* late, or lost, or a writer now: the slot says no more of me */
	atomic { forget() }
	if
	:: MINE != 0 -> step_back(0)
	:: else
	fi;
claimed:
	atomic {
		seen = word;
		if
		:: OWNER(seen) != TOKEN(me) -> goto rest
		:: OWNER(seen) == TOKEN(me) && at == DRAINS && seen & DRAINING
		:: OWNER(seen) == TOKEN(me) && at != DRAINS && seen & DRAINING -> at = DRAINS; goto look
		:: OWNER(seen) == TOKEN(me) && seen & INCONSISTENT -> goto recover
		:: OWNER(seen) == TOKEN(me) && !(seen & (DRAINING | INCONSISTENT)) -> goto release
		fi
	}
	atomic {			/* gave up: late */
#ifdef BUG_FLIPS			/* as if it had written */
		ACT(word = (seen & PHASE) ^ PHASE);
#else
		ACT(word = seen & PHASE);
#endif
		goto let_in
	}

drain:
#ifdef BUG_NO_DRAIN			/* the word alone keeps readers out: not those who are in */
	atomic { id = M + 1 }
#endif
	do
	:: atomic { id > M -> id = 0; break }
	:: atomic {
		id <= M;
		state = slot[id];
		if
		:: state & READING || (state & WAITING && OTHER_PHASE(state, seen))
		:: else -> id++; state = 0
		fi
	   }
	   if
	   :: atomic { state == 0 }
	   :: atomic { state != 0 && GONE(MEMBER(state)) -> id++; state = 0 }
	   :: atomic { state != 0 && !GONE(MEMBER(state)) -> goto wait }
	   fi
	od;
#ifdef BUG_WRITES_LATE			/* the first change comes before the word says so */
	atomic { ACT(writes()) }
	atomic { ACT(word = seen & ~DRAINING); goto leave }
#else
	atomic { ACT(word = seen & ~DRAINING); writes(); goto leave }
#endif

recover:
	atomic {			/* or does not */
		if
		:: true -> goto release
		:: ACT(word = word & ~INCONSISTENT)
		fi
	}
release:
	atomic {
		seen = word;
		ACT(word = (seen & INCONSISTENT -> LOST : (seen & PHASE) ^ PHASE));
		holder = 0;
		lost = (word & LOST) != 0
	}
let_in:
	rouse(READS);
	if
	:: word & LOST -> rouse(CLAIMS)
	:: else -> notify(CLAIMS)
	fi;
	goto rest;

release_read:
	atomic { ACT(slot[me] = 0; inside = inside & ~BIT(me)) }
	notify(DRAINS);
	goto rest;

	atomic {
		false;
dying:
		kills--;
		d_step {
			die();
			inside = inside & ~BIT(me);
			forget();
			seen = 0; state = 0; id = 0; at = 0; role = 0
		}
	}
end_dead:
	atomic { come_back(); goto rest }
end:
	false
}
