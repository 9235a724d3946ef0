/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A condition whose waiters, notifiers and passers-on may die, for spin: lib/sync/condition.c.
 *
 * Member 1 notifies one waiter, NOTIFIES times; members 2 and 3 wait. Who comes back after its
 * death waits or notifies, AGAIN times. The lock is sync_lock.pml's subject: to acquire it is one
 * step here, which comes when it is free, its owner gone, or the lock lost. Which waiter is chosen
 * is left open. A wait looks for the first time when it is listed. Deaths and sleep:
 * sync_sleep.pml.
 *
 * Checked: when nothing can happen any more and somebody sleeps, he was not notified, nobody is
 * owed a notification, and the lock is free and not lost; no more waits end than were notified,
 * but for those notified twice because who passed the notification on died before it had cleared
 * the dead waiter's word. A notification is dropped when there is no living waiter.
 */
#include "sync_sleep.pml"

#ifndef NOTIFIES
#define NOTIFIES 1
#endif
#ifndef AGAIN
#define AGAIN 0
#endif
#ifndef FORGIVING
#define FORGIVING 0
#endif

/* the lock */
byte owner;
bool inconsistent;
bool lost;

/* the condition: a word a member */
#define WAITING 1
#define NOTIFIED 2
#define WORD(t, state) ((t) * 4 + (state))
#define WHO(w) ((w) / 4)
byte slot[M + 1];

short owed;			/* ghost: notifications given, less those that came back */
byte extra;			/* ghost: those that may come back twice */

#ifdef BUG_ASKED_BEFORE		/* it may die, and all sleepers look, before it is notified */
#define CHOOSES(m) ((slot[m] & WAITING) && !GONE(WHO(slot[m])))
#else
#define CHOOSES(m) (slot[m] & WAITING)
#endif
#define TOLD(m) ((slot[m] & NOTIFIED) != 0)
#define QUIET (owner == 0 && !lost && owed <= 0 && !TOLD(1) && !TOLD(2) && !TOLD(3))

#ifdef BUG_LOST_UNSEEN		/* it is lost only after the sleepers have looked */
#define UNSURE false
#else
#define UNSURE inconsistent
#endif

/* what a member is about */
#define WAIT 1
#define NOTIFY 2
#define TROUBLE 3		/* the wait has to be interrupted */
#define RETURN 4		/* the wait ends */

proctype member(byte me)
{
	byte about, rounds;
	byte d;			/* whose word is settled; 0 = none */
	byte given, seen;	/* whom a notification is given, and his word */
	byte waking;		/* notified, and perhaps asleep */
	LOCALS;

	rounds = (me == 1 -> NOTIFIES : 1);
rest:
end_rest:
	atomic {
		if
		:: rounds > 0 && (me != 1 || incarnation[me]) -> rounds--; about = WAIT
		:: rounds > 0 && (me == 1 || incarnation[me]) -> rounds--; about = NOTIFY
		:: kills > 0 -> goto dying
		fi
	}
acquire:
	atomic {
		if
		:: lost && about < TROUBLE -> rounds = 0; about = 0; goto rest
		:: lost && about >= TROUBLE -> goto clear_mine
		:: !lost && (owner == 0 || GONE(owner)) ->
			inconsistent = inconsistent || (owner != 0 && !FORGIVING);
			owner = TOKEN(me)
		:: kills > 0 -> goto dying
		fi;
		if
		:: about == RETURN || (about == TROUBLE && inconsistent) -> goto clear_mine
		:: about < TROUBLE && inconsistent -> inconsistent = false
		:: about < TROUBLE && inconsistent
		:: about <= TROUBLE && !inconsistent
		fi;
		d = 1
	}

settle:
	atomic {
		if
		:: d > M -> d = 0; goto settled
		:: d <= M && (slot[d] == 0 || !GONE(WHO(slot[d]))) -> d++; goto settle
		:: d <= M && slot[d] != 0 && GONE(WHO(slot[d]))
		fi;
#ifdef BUG_NOT_PASSED_ON
		given = TOLD(d)		/* for the ghost */
#else
		if
		:: TOLD(d) -> goto give
		:: else
		fi
#endif
	}
clear:
	atomic {
		if
		:: owed = owed - (TOLD(d) && given == 0); slot[d] = 0
		:: kills > 0 -> extra = extra + (given != 0); goto dying
		fi;
		given = 0;
		d++;
		goto settle
	}

give:				/* one notification, for a living waiter */
	atomic {
		if
		:: CHOOSES(1) -> given = 1
		:: CHOOSES(2) -> given = 2
		:: CHOOSES(3) -> given = 3
		:: else -> goto give_end
		fi;
		seen = slot[given]
	}
	atomic {
		if
		:: slot[given] == seen ->
			slot[given] = WORD(WHO(seen), NOTIFIED)
		:: slot[given] != seen -> given = 0; seen = 0; goto give
		:: kills > 0 -> goto dying
		fi;
		owed = owed + (d == 0)
	}
#ifndef BUG_ASKED_BEFORE
	atomic {
		if
		:: GONE(WHO(seen))
		:: else -> goto given_it
		fi
	}
	atomic {
		ACT(slot[given] = 0);
		owed = owed - (d == 0);
		given = 0;
		seen = 0;
		goto give
	}
given_it:
#endif
	atomic {
		seen = 0;
		waking = waking | (mask[0] & BIT(given))
	}
give_end:
	atomic {
		if
		:: d != 0 -> goto clear
		:: d == 0 -> given = 0
		fi
	}
	goto woken;

settled:
	atomic {
		if
		:: about == NOTIFY -> goto give
		:: else
		fi
	}
woken:
	atomic { k = 1 }
rouse:
	atomic {
		if
		:: k > M -> k = 0; waking = 0; hit = false
		:: k <= M && (waking & BIT(k)) -> ACT(changed[k] = true; wake(k)); k++; goto rouse
		:: k <= M && !(waking & BIT(k)) -> k++; goto rouse
		fi;
		if
		:: about == NOTIFY -> goto release
		:: about == TROUBLE && slot[me] == WORD(TOKEN(me), WAITING) ->
			about = WAIT;
			goto unlock
		:: about == TROUBLE && slot[me] != WORD(TOKEN(me), WAITING) ->
			about = RETURN;
			goto clear_mine
		:: about == WAIT
		fi
	}
	atomic {
		assert(slot[me] == 0);
		ACT(slot[me] = WORD(TOKEN(me), WAITING))
	}
unlock:
	atomic {
		ACT(owner = 0; lost = inconsistent; inconsistent = false);
		goto wait
	}

look:
	atomic {
		if
		:: slot[me] == WORD(TOKEN(me), WAITING)
		:: else -> about = RETURN; goto leave
		fi
	}
	atomic {
		if
		:: lost || UNSURE || (owner != 0 && GONE(owner)) -> about = TROUBLE; goto leave
		:: else -> k = 1
		fi
	}
look_at:
	atomic {
		if
		:: k > M -> k = 0; goto wait
		:: k <= M && TOLD(k) && GONE(WHO(slot[k])) -> k = 0; about = TROUBLE; goto leave
		:: k <= M && !(TOLD(k) && GONE(WHO(slot[k]))) -> k++; goto look_at
		fi
	}
wait:
	await(0, QUIET);
leave:
	unlist(0);
	atomic {
		if
		:: about == WAIT -> about = RETURN
		:: else -> goto acquire
		fi;
		if
		:: slot[me] == WORD(TOKEN(me), WAITING) -> slot[me] = 0
		:: slot[me] != WORD(TOKEN(me), WAITING)
		:: kills > 0 -> goto dying
		fi;
		goto acquire
	}

clear_mine:
	atomic {
		if
		:: TOLD(me) -> owed--; assert(owed + extra >= 0); slot[me] = 0
		:: !TOLD(me) -> slot[me] = 0
		:: kills > 0 -> goto dying
		fi;
		if
		:: lost -> rounds = 0; about = 0; goto rest
		:: !lost && inconsistent -> inconsistent = false
		:: !lost
		fi
	}
release:
	atomic {
		ACT(owner = 0; lost = inconsistent; inconsistent = false);
		about = 0;
		goto rest
	}

	atomic {
		false;
dying:
		kills--;
		d_step { die(); about = 0; d = 0; given = 0; seen = 0; waking = 0 }
	}
end_dead:
	atomic { come_back(); rounds = AGAIN; goto rest }
end:
	false
}
