/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A robust semaphore, whose units name their holders, for spin: lib/sync/semaphore.c.
 *
 * Each of three members acquires a unit and releases it, once; who comes back after its death,
 * AGAIN times. Where a search for a unit begins, which the hint says, is left open. Deaths and
 * sleep: sync_sleep.pml.
 *
 * Checked: no unit is taken from a living holder, and each member has as many units as it thinks;
 * so the living never hold more than there are. Nobody sleeps when nothing can happen any more: so
 * the units of the dead come back.
 */
#include "sync_sleep.pml"

#ifndef UNITS
#define UNITS 1
#endif
#ifndef AGAIN
#define AGAIN 1
#endif

byte unit[UNITS];		/* 0, or the token of the holder */

proctype member(byte me)
{
	byte rounds, i, n, seen;
	bool has;		/* ghost */
	LOCALS;

	rounds = 1;
rest:
end_rest:
	atomic {
		if
		:: rounds > 0 -> rounds--
		:: kills > 0 -> goto dying
		fi
	}

look:
	atomic {
		n = 0;
		if
		:: i = 0
		:: UNITS > 1 -> i = UNITS - 1
		fi
	}
look_at:
	atomic {
		if
		:: n == UNITS -> n = 0; i = 0; goto wait
		:: n < UNITS && unit[i] != 0 && !GONE(unit[i]) ->
			n++;
			i = (i + 1) % UNITS;
			goto look_at
		:: n < UNITS && (unit[i] == 0 || GONE(unit[i])) -> seen = unit[i]
		fi
	}
	atomic {
#ifdef BUG_STORE			/* a unit is taken by a store */
		ACT(assert(unit[i] == 0 || IS_GONE(unit[i])); unit[i] = TOKEN(me); has = true);
#else
		if
		:: unit[i] == seen ->
			assert(unit[i] == 0 || IS_GONE(unit[i]));
			unit[i] = TOKEN(me);
			has = true
		:: unit[i] != seen -> skip
		:: kills > 0 -> goto dying
		fi;
#endif
		seen = 0;
		if
		:: has -> n = 0; i = 0; goto leave
		:: !has -> n++; i = (i + 1) % UNITS; goto look_at
		fi
	}
wait:
	await(0, false);
leave:
	unlist(0);
	atomic {
		if
		:: has
		:: else -> goto rest
		fi
	}

#ifdef BUG_WAKE_FIRST			/* the sleepers, and then the unit */
	notify(0);
#endif
	atomic {			/* nobody else changes it: found and freed in one step */
		i = (unit[UNITS - 1] == TOKEN(me) -> UNITS - 1 : 0);
		assert(unit[i] == TOKEN(me));
		ACT(unit[i] = 0);
		has = false;
		i = 0
	}
#ifndef BUG_WAKE_FIRST
	notify(0);
#endif
	goto rest;

	atomic {
		false;
dying:
		kills--;
		d_step { die(); i = 0; n = 0; seen = 0; has = false; rounds = 0 }
	}
end_dead:
	atomic { come_back(); rounds = AGAIN; goto rest }
end:
	false
}
