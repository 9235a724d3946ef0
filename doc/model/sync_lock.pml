/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A lock whose owner may die, with its sleepers, for spin: lib/sync/lock.c.
 *
 * Each of three members acquires and releases once, member 1 MORE times; who comes back after its
 * death, AGAIN times. WATCHES times somebody switches the counting of contention on or off, which
 * changes the same word. The first try of the code is one CAS: a load and a CAS with nothing
 * between them. AWAY times somebody sleeps on another list, for good. Deaths and sleep:
 * sync_sleep.pml.
 *
 * Checked: nobody gets the lock while a living member has it; a taker is told of an owner's death
 * exactly when the former owner did not release; -ENOTRECOVERABLE comes after a release without
 * recovery, and then always; nobody sleeps when nothing can happen any more.
 */
#include "sync_sleep.pml"

#ifndef WATCHES
#define WATCHES 0
#endif
#ifndef FORGIVING
#define FORGIVING 0
#endif
#ifndef AGAIN
#define AGAIN 0
#endif
#ifndef MORE
#define MORE 0
#endif

#define WATCHED 1
#define INCONSISTENT 2
#define LOST 4
#define WORD(t, flags) ((t) * 8 + (flags))
#define OWNER(w) ((w) / 8)
byte word;

byte watches = WATCHES;
byte away = AWAY;
byte holder;			/* ghost: the token that acquired and did not release */
bool lost;			/* ghost */

inline acquired()
{
	assert(!lost);
	assert(holder == 0 || IS_GONE(holder));
	assert((holder != 0) == (OWNER(seen) != 0));	/* -EOWNERDEAD, unless forgiving */
	holder = TOKEN(me)
}

#define RELEASED(flags) (((flags) & WATCHED) | (((flags) & INCONSISTENT) -> LOST : 0))

proctype member(byte me)
{
	byte seen, next, rounds;
	LOCALS;

	rounds = 1 + (me == 1 -> MORE : 0);
rest:
end_rest:
	atomic {
		if
		:: rounds > 0 -> rounds--
		:: watches > 0 -> watches--; word = word ^ WATCHED; goto rest
		:: away > 0 && rounds == 0 -> away--; goto sleep_elsewhere
		:: kills > 0 -> goto dying
		fi
	}

look:
	atomic {
		seen = word;
		if
		:: (seen & LOST) -> assert(lost); seen = 0; goto leave
		:: !(seen & LOST) && OWNER(seen) == 0 -> goto take
		:: !(seen & LOST) && OWNER(seen) != 0
		fi
	}
	atomic {
		if
		:: GONE(OWNER(seen)) -> next = (FORGIVING -> 0 : INCONSISTENT)
		:: else -> seen = 0; goto wait
		fi
	}
take:
	atomic {
		next = WORD(TOKEN(me), (seen & WATCHED) | next);
		if
#ifdef BUG_STORE			/* a dead owner's word is replaced by a store */
		:: word == seen || OWNER(seen) != 0 -> acquired(); word = next
		:: word != seen && OWNER(seen) == 0 -> seen = 0; next = 0; goto look
#else
		:: word == seen -> acquired(); word = next
#ifdef BUG_NO_RETRY			/* who loses the CAS waits, though the lock may be free */
		:: word != seen -> seen = 0; next = 0; goto wait
#else
		:: word != seen -> seen = 0; next = 0; goto look
#endif
#endif
		:: kills > 0 -> goto dying
		fi;
		seen = 0;
		next = 0;
		goto leave
	}
wait:
	await(0, false);
leave:				/* it has the lock, or not */
	unlist(0);

	atomic {
		if
		:: OWNER(word) != TOKEN(me) -> goto rest
		:: OWNER(word) == TOKEN(me) && (word & INCONSISTENT)
		:: OWNER(word) == TOKEN(me) && !(word & INCONSISTENT) -> goto release
		:: kills > 0 -> goto dying
		fi
	}
recover:
	atomic {			/* or does not */
		if
		:: true -> goto release
		:: true -> seen = word
		fi
	}
	atomic {
		if
		:: word == seen -> word = word & ~INCONSISTENT
		:: word != seen -> seen = 0; goto recover
		:: kills > 0 -> goto dying
		fi;
		seen = 0
	}
release:
	atomic { seen = word }
#ifdef BUG_WAKE_FIRST			/* the sleepers, and then the word */
	notify(0);
#endif
	atomic {
		if
		:: word == seen -> word = RELEASED(seen); holder = 0; lost = (word & LOST) != 0
		:: word != seen -> goto release
		:: kills > 0 -> goto dying
		fi;
#ifdef BUG_WAKE_FIRST
		seen = 0;
		goto rest
#endif
#ifndef BUG_LOST_TO_ONE			/* all have to know */
		if
		:: (seen & INCONSISTENT) -> seen = 0
		:: else -> seen = 0; goto to_one
		fi
#else
		seen = 0;
		goto to_one
#endif
	}
	atomic { k = 1 }		/* brood__wake_all */
	do
	:: atomic { k > M -> k = 0; goto rest }
	:: atomic {
		k <= M;
		if
		:: mask[0] & BIT(k) -> ACT(changed[k] = true; wake(k))
		:: else
		fi;
		hit = false;
		k++
	   }
	od;
to_one:
#ifndef BUG_WAKE_FIRST
	notify(0);
#endif
	goto rest;

sleep_elsewhere:
	atomic { asleep[me] = 1 + ELSEWHERE; queued = queued | BIT(me) }
end_elsewhere:
	atomic {
		if
		:: !(queued & BIT(me)) -> asleep[me] = 0; goto sleep_elsewhere
		:: kills > 0 -> goto dying
		fi
	}

	atomic {
		false;
dying:
		kills--;
		d_step { die(); seen = 0; next = 0; rounds = 0 }
	}
end_dead:
	atomic { come_back(); rounds = AGAIN; goto rest }
end:
	false
}
