/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sleeping and waking, for spin: lib/wait/wait.c. A producer puts, two consumers take, and sleep
 * while there is nothing, or call no more; KILLS of the three die at any step (how many is chosen
 * before the run), and the swept come back or do not. AWAY times somebody sleeps on another list
 * instead, for good: who has not used the queue, who has given up waiting for a message, who has
 * done its work. LEAVES of those who have done their work leave. There is no clock: nobody looks
 * again by himself, so a lost wake-up is a consumer that sleeps for ever while a message waits.
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
 * One thing is left to the backstop, and cannot happen here: who ends is killed before it has woken
 * those who wait for that.
 *
 * Checked: when nothing can happen any more and somebody sleeps, there is no message that it waits
 * for; no member is dead and unswept whose death may matter to it; and who sleeps on the other
 * list, where anybody may have to go on, has looked since the last end of a life.
 */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef NPUT
#define NPUT 2
#endif
#ifndef AWAY
#define AWAY 0
#endif
#ifndef LEAVES
#define LEAVES 0
#endif
#define M 3			/* 1 produces, 2 and 3 consume */
#define BIT(m) (1 << (m))
#define FIRST (1 + (me == 1))		/* the others, one after the other */
#define NEXT(m) ((m) + 1 + ((m) + 1 == me))

/* the queue: messages in it; what each consumer has not acknowledged */
byte messages;
bool has[M + 1];
#define JOINED 1
#define USES 2
byte begun[M + 1];		/* ghost: has woken those who have to know of it */
byte puts = NPUT;

/* shared words */
byte mask;			/* consumers that may sleep */
byte users;			/* who has used the queue */
bool changed[M + 1];		/* the park word, since its owner read it */
#define HERE 1
#define ELSEWHERE 2
byte asleep[M + 1];		/* the list that the member may be asleep on */
#define ALIVE 0
#define DEAD 1
#define FREE 2
byte life[M + 1];
byte sweeper[M + 1];

/* the kernel's: on which words each sleeps, the park word being bit 0 */
byte queued[M + 1];
bool woken[M + 1];
byte kills;

byte away = AWAY;
byte leaves = LEAVES;

#ifdef BUG_LIVES_NOT_WATCHED
#define WATCHES false
#else
#define WATCHES true
#endif

#if AWAY
#define THEN } atomic {		/* who was woken may have looked meanwhile */
#else				/* it looks in any case: here it does not matter how far it is */
#define THEN
#endif

#ifdef BUG_WAKES_ANYBODY	/* a notifier is content with who was asleep on another list */
#define SLEEPS_HERE(m) true
#else
#define SLEEPS_HERE(m) (asleep[m] == HERE)
#endif

#define MATTERS(m) (list == HERE -> begun[m] == USES && users & BIT(m) : begun[m] >= JOINED)

#define ACT(x) if :: x :: kills > 0 -> goto dying fi

inline wake(m, result)		/* the sleeper on m's park word */
{
	if
	:: queued[m] & 1 -> queued[m] = queued[m] & ~1; woken[m] = true; result = true
	:: else -> result = false
	fi
}

inline wake_all(wanted)		/* of the others, from k = FIRST on */
{
	do
	:: atomic { k > M -> k = 0; break }
	:: atomic { k <= M && !(wanted) -> k = NEXT(k) }
	:: atomic { k <= M && (wanted) -> ACT(changed[k] = true) }
	   atomic {
		ACT(wake(k, hit));
		hit = false;
		k = NEXT(k)
	   }
	od
}

proctype member(byte me)
{
	byte k, d, some;
	byte list;		/* where it sleeps */
	byte watch;		/* whose lives are in the set */
	bool hit, slept, swept;

	goto end_free;
join:				/* its life has begun */
	atomic { ACT(asleep[me] = 0); k = FIRST }
#ifndef BUG_JOINS_SILENTLY
	wake_all(asleep[k]);
#endif
	atomic {
		begun[me] = JOINED;
		if
		:: away > 0 -> away--; list = ELSEWHERE; k = 0; goto wait
		:: users = users | BIT(me); begun[me] = USES
		:: kills > 0 -> goto dying
		fi;
		if
		:: me != 1 -> goto try
		:: else
		fi
	}
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
		THEN
		if
		:: hit && SLEEPS_HERE(k) -> hit = false; k = M + 1; goto notify
		:: hit && !SLEEPS_HERE(k) -> hit = false; k++; goto notify
		:: !hit
		fi
	}
	atomic { ACT(changed[k] = true) }
	atomic {
		ACT(wake(k, hit));
		THEN
		k = (hit && SLEEPS_HERE(k) -> M + 1 : k + 1);
		hit = false;
		goto notify
	}
#endif
rest:
end_rest:
	atomic {
		if
		:: kills > 0 -> goto dying
		:: away > 0 -> away--; list = ELSEWHERE; goto wait
		:: leaves > 0 -> leaves--; k = FIRST
		fi
	}
	wake_all(users & BIT(k));
	atomic { ACT(users = users & ~BIT(me)); k = FIRST }
	wake_all(asleep[k]);
	atomic {
		ACT(life[me] = FREE);
		begun[me] = 0;
		k = FIRST
	}
#ifndef BUG_LEAVES_SILENTLY
	do
	:: atomic { k > M -> k = 0; break }
	:: atomic {
		k <= M;
		if
		:: asleep[k] -> changed[k] = true; wake(k, hit)
		:: else
		fi;
		hit = false;
		k = NEXT(k)
	   }
	od;
#endif
	goto end;

try:
	atomic {
		list = HERE;
		if
		:: messages > 0 -> messages--; has[me] = true; goto taken
		:: messages == 0
		:: kills > 0 -> goto dying
		fi
	}
wait:
	atomic { changed[me] = false }		/* reads the park word */
	atomic { ACT(asleep[me] = list) }
	atomic {
		if
		:: list == HERE -> mask = mask | BIT(me)
		:: list != HERE
		:: kills > 0 -> goto dying
		fi;
		k = FIRST
	}
gather:
	atomic {
		if
		:: k > M -> k = 0; goto look
		:: k <= M && WATCHES
		:: else -> k = NEXT(k); goto gather
		fi
	}
	atomic {
		if
		:: life[k] == ALIVE -> watch = watch | BIT(k)
		:: life[k] == DEAD && sweeper[k] -> watch = watch | BIT(sweeper[k])
		:: else
		fi;
		k = NEXT(k);
		goto gather
	}
look:
	atomic {
#ifndef BUG_NO_SECOND_LOOK
		if
		:: list == HERE && messages > 0 -> messages--; has[me] = true; goto clear
		:: list != HERE || messages == 0
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
	wake_all(users & BIT(k));
	atomic { ACT(users = users & ~BIT(d)); k = FIRST }
#ifndef BUG_SWEEPS_SILENTLY		/* only the users learn of it */
	wake_all(asleep[k]);
#endif
	atomic {
		ACT(life[d] = FREE; sweeper[d] = 0; begun[d] = 0);
		swept = true;
		d = NEXT(d);
		goto sweep
	}
swept_all:
	atomic {
		if
		:: slept -> goto clear
		:: !slept && swept && list == HERE && messages > 0 ->
			messages--;
			has[me] = true;
			goto clear
		:: !slept && (!swept || list != HERE || messages == 0)
		:: away > 0 && list == HERE && !slept && messages == 0 ->	/* it is late */
			away--;
			list = ELSEWHERE;
			swept = false;
			watch = 0;
			goto given_up
		:: kills > 0 -> goto dying
		fi;
		swept = false
	}
				/* futex_waitv: the park word, then the lives */
	atomic {
		slept = true;
		if
		:: changed[me] -> goto awake
		:: else -> queued[me] = 1; k = FIRST
		fi
	}
enqueue:
	atomic {
		if
		:: k > M -> k = 0; goto sleeping
		:: k <= M && !(watch & BIT(k)) -> k = NEXT(k); goto enqueue
		:: k <= M && (watch & BIT(k)) && life[k] != ALIVE -> goto awake
		:: k <= M && (watch & BIT(k)) && life[k] == ALIVE ->
			queued[me] = queued[me] | BIT(k);
			k = NEXT(k);
			goto enqueue
		fi
	}
sleeping:
	atomic {
		if
		:: woken[me]
		:: timeout ->
			assert(list != HERE || messages == 0);
			assert(life[1] != DEAD || !MATTERS(1));
			assert(life[2] != DEAD || !MATTERS(2));
			assert(life[3] != DEAD || !MATTERS(3));
			assert(list == HERE || !(watch & BIT(1)) || life[1] == ALIVE);
			assert(list == HERE || !(watch & BIT(2)) || life[2] == ALIVE);
			assert(list == HERE || !(watch & BIT(3)) || life[3] == ALIVE);
			goto end
		:: kills > 0 -> goto dying
		fi
	}
awake:
	atomic {
		queued[me] = 0;
		woken[me] = false;
		watch = 0;
		k = 0;
#ifdef BUG_FINDS_AND_FORGETS		/* the look comes first, the sweep if it is in vain */
		goto clear
#else
		d = FIRST;
		goto sweep
#endif
	}
clear:
	atomic { swept = false; watch = 0 }
given_up:
	atomic { ACT(mask = mask & ~BIT(me)) }
	atomic {
		ACT(asleep[me] = 0);
		slept = false;
		if
		:: has[me]
		:: else -> goto wait
		fi
	}
taken:
	atomic {
		ACT(has[me] = false);
		list = 0;
		if
		:: goto try
		:: goto rest
		fi
	}

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
			k = 0; d = 0; some = 0; list = 0; watch = 0;
			hit = false; slept = false; swept = false
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
end_free:
	atomic {
		life[me] == FREE;
		if
		:: life[me] = ALIVE; changed[me] = false; goto join
		:: goto end		/* it does not come back */
		fi
	}
end:
	false
}

init {
	atomic {
		if
		:: kills = 0
		:: KILLS > 1 -> kills = 1
		:: kills = KILLS
		fi;
		life[1] = FREE; life[2] = FREE; life[3] = FREE;
		run member(1);
		run member(2);
		run member(3)
	}
}
