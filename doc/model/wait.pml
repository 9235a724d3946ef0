/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sleeping and waking, for spin. A producer puts, two consumers take, and sleep while there is
 * nothing; KILLS of the three die at any step (how many is chosen before the run), and the swept
 * come back. There is no clock: nobody looks again by himself, so a lost wake-up is a consumer that
 * sleeps for ever while a message waits.
 *
 * One step is one access to one shared word, or what the kernel does under its locks: to compare
 * one word of a sleeper's set and queue it; to clear a bit of the mask and wake one sleeper. Of a
 * death: the mark on the life word, then the wake of one sleeper on it. Memory is sequentially
 * consistent here.
 *
 * A park word is only ever compared with what its owner read last: changed[] says that it differs.
 * Claims and incarnations are member.pml's subject: a claim is one step here, and ends with its
 * holder's life.
 *
 * Checked: when nothing can happen any more and a consumer sleeps, there is no message, and no
 * member is dead and unswept that had begun to use the queue.
 */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef NPUT
#define NPUT 2
#endif
#define M 3			/* 1 produces, 2 and 3 consume */
#define BIT(m) (1 << (m))
#define FIRST (1 + (me == 1))		/* the others, one after the other */
#define NEXT(m) ((m) + 1 + ((m) + 1 == me))

/* the queue: messages in it; what each consumer has not acknowledged */
byte messages;
bool has[M + 1];
bool begun[M + 1];
byte puts = NPUT;

/* shared words */
byte mask;			/* consumers that may sleep */
byte users;			/* who has used the queue */
bool changed[M + 1];		/* the park word, since its owner read it */
#define ALIVE 0
#define DEAD 1
#define FREE 2
byte life[M + 1];
byte sweeper[M + 1];

/* the kernel's: on which words each sleeps, the park word being bit 0 */
byte queued[M + 1];
bool woken[M + 1];
byte kills;

#ifdef BUG_LIVES_NOT_WATCHED
#define WATCHES false
#else
#define WATCHES true
#endif

#ifdef BUG_GREETS_WAITLIST	/* a new user wakes only those whose bit says that they may sleep */
#define GREETED mask
#else
#define GREETED users
#endif

#define ACT(x) if :: x :: kills > 0 -> goto dying fi

inline wake(m, result)		/* the sleeper on m's park word */
{
	if
	:: queued[m] & 1 -> queued[m] = queued[m] & ~1; woken[m] = true; result = true
	:: else -> result = false
	fi
}

proctype member(byte me)
{
	byte k, d, some;
	byte seen[M + 1];	/* life + 1; 0 = not in the set */
	bool hit, swept;

join:				/* first use: those who sleep here do not watch us yet */
	atomic { ACT(users = users | BIT(me)); k = FIRST }
greet:
	atomic {
		if
		:: k > M -> k = 0; begun[me] = true; goto work
		:: k <= M && (GREETED & BIT(k))
		:: else -> k = NEXT(k); goto greet
		fi
	}
	atomic { ACT(changed[k] = true) }
	atomic { ACT(wake(k, hit)); hit = false; k = NEXT(k); goto greet }

work:
	if
	:: me != 1 -> goto try
	:: else
	fi;
produce:
	atomic {
		if
		:: puts > 0 -> puts--; messages++
		:: puts == 0 -> goto rest
		:: kills > 0 -> goto dying
		fi
	}
	atomic { some = mask; k = 1 }
notify:
	atomic {
		if
		:: k > M -> k = 0; some = 0; goto produce
		:: k <= M && !(some & BIT(k)) -> k++; goto notify
		:: k <= M && (some & BIT(k)) ->
#ifdef BUG_PARK_FIRST			/* the park word changes before the bit is cleared */
			changed[k] = true
		:: kills > 0 -> goto dying
		fi
	}
	atomic {
		if
		:: mask = mask & ~BIT(k);
		   wake(k, hit);
		   if
		   :: hit -> hit = false; k = M + 1
		   :: else -> k++
		   fi
		:: kills > 0 -> goto dying
		fi;
		goto notify
	}
#else
			mask = mask & ~BIT(k);
			wake(k, hit)
		:: kills > 0 -> goto dying
		fi;
		if
		:: hit -> hit = false; k = M + 1; goto notify
		:: else
		fi
	}
	atomic { ACT(changed[k] = true) }
	atomic {
		ACT(wake(k, hit));
		k = (hit -> M + 1 : k + 1);
		hit = false;
		goto notify
	}
#endif
rest:
end_rest:
	atomic { kills > 0 -> goto dying }

try:
	atomic {
		if
		:: messages > 0 -> messages--; has[me] = true; goto taken
		:: messages == 0
		:: kills > 0 -> goto dying
		fi
	}
wait:
	atomic { changed[me] = false; k = FIRST }	/* reads the park word */
gather:
	atomic {
		if
		:: k > M -> k = 0; goto ready
		:: k <= M && (users & BIT(k)) && WATCHES
		:: else -> k = NEXT(k); goto gather
		fi
	}
	atomic { seen[k] = life[k] + 1; k = NEXT(k); goto gather }
ready:
	atomic { ACT(mask = mask | BIT(me)) }
	atomic {
#ifndef BUG_NO_SECOND_LOOK
		if
		:: messages > 0 -> messages--; has[me] = true; goto clear
		:: messages == 0
		:: kills > 0 -> goto dying
		fi;
#endif
		d = FIRST
	}
sweep:
	atomic {
		if
		:: d > M -> d = 0; goto swept_all
		:: d <= M && life[d] == DEAD && sweeper[d] == 0 -> sweeper[d] = me
		:: d <= M && (life[d] != DEAD || sweeper[d] != 0) -> d = NEXT(d); goto sweep
		:: kills > 0 -> goto dying
		fi
	}
	atomic {			/* what it had is to be had again */
		if
		:: has[d] -> has[d] = false; messages++
		:: !has[d]
		:: kills > 0 -> goto dying
		fi
	}
	atomic { ACT(mask = mask & ~BIT(d)); k = FIRST }
wake_users:
	atomic {
		if
		:: k > M -> k = 0; goto forget
		:: k <= M && (users & BIT(k))
		:: else -> k = NEXT(k); goto wake_users
		fi
	}
	atomic { ACT(changed[k] = true) }
	atomic {
		ACT(wake(k, hit));
		hit = false;
		k = NEXT(k);
		goto wake_users
	}
forget:
	atomic { ACT(users = users & ~BIT(d)) }
	atomic {
		ACT(life[d] = FREE; sweeper[d] = 0; begun[d] = false);
		swept = true;
		d = NEXT(d);
		goto sweep
	}
swept_all:
	atomic {
		if
		:: !swept -> goto sleep
		:: swept && messages > 0 -> swept = false; messages--; has[me] = true; goto clear
		:: swept && messages == 0 -> swept = false
		:: kills > 0 -> goto dying
		fi
	}
sleep:				/* futex_waitv: the park word, then the lives */
	atomic {
		if
		:: changed[me] -> goto awake
		:: else -> queued[me] = 1; k = FIRST
		fi
	}
enqueue:
	atomic {
		if
		:: k > M -> k = 0; goto asleep
		:: k <= M && seen[k] == 0 -> k = NEXT(k); goto enqueue
		:: k <= M && seen[k] && seen[k] != life[k] + 1 -> goto awake
		:: k <= M && seen[k] && seen[k] == life[k] + 1 ->
			queued[me] = queued[me] | BIT(k);
			k = NEXT(k);
			goto enqueue
		fi
	}
asleep:
	atomic {
		if
		:: woken[me]
		:: timeout ->
			assert(messages == 0);
			assert(life[1] != DEAD || !begun[1]);
			assert(life[2] != DEAD || !begun[2]);
			assert(life[3] != DEAD || !begun[3]);
			goto end
		:: kills > 0 -> goto dying
		fi
	}
awake:
	atomic {
		queued[me] = 0;
		woken[me] = false;
		k = 0;
		seen[1] = 0; seen[2] = 0; seen[3] = 0
	}
	atomic { ACT(mask = mask & ~BIT(me)); goto wait }
clear:
	atomic {
		ACT(mask = mask & ~BIT(me));
		seen[1] = 0; seen[2] = 0; seen[3] = 0
	}
taken:
	atomic { ACT(has[me] = false); goto try }

	atomic {
		false;
dying:
		kills--;
		d_step {
			queued[me] = 0;
			woken[me] = false;
			life[me] = DEAD;
			k = 1;
			do
			:: k <= M && sweeper[k] == me -> sweeper[k] = 0
			:: k <= M && sweeper[k] != me -> k++
			:: else -> break
			od;
			seen[1] = 0; seen[2] = 0; seen[3] = 0;
			k = 0; d = 0; some = 0; hit = false; swept = false
		}
	}
	atomic {			/* the kernel wakes one of those that watch it */
		if
		:: queued[1] & BIT(me) -> k = 1
		:: queued[2] & BIT(me) -> k = 2
		:: queued[3] & BIT(me) -> k = 3
		:: else
		fi;
		if
		:: k -> queued[k] = queued[k] & ~BIT(me); woken[k] = true; k = 0
		:: else
		fi
	}
end_dead:
	atomic { life[me] == FREE -> life[me] = ALIVE; changed[me] = false; goto join }
end:
	false
}

init {
	atomic {
		if
		:: kills = 0
		:: kills = 1
		:: kills = KILLS
		fi;
		run member(1);
		run member(2);
		run member(3)
	}
}
