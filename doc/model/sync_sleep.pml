/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the models of lib/sync have in common: three members, their tokens, deaths, LISTS lists to
 * sleep on (lib/wait/wait.c, sync.h); the list behind these is another object's.
 *
 * KILLS of the three die at any step (how many is chosen before the run); the swept come back
 * under their id, with the next incarnation. TIMEOUTS waits end early. There is no clock: a lost
 * wake-up is a member that sleeps for ever.
 *
 * That a death is noticed and swept, by somebody and at some time, is wait.pml's and member.pml's
 * subject: here a process of its own does it. It makes all look again that say they may be asleep,
 * on whatever list, and frees the id. Which of the listed a notifier tries first is left open.
 *
 * One step is one access to one shared word, or what the kernel does under its locks. Memory is
 * sequentially consistent here.
 *
 * A member has the labels look (the attempt: `wait` after it if in vain, else `leave`), wait
 * (await), leave (unlist), dying (die), and the variables below.
 */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif
#ifndef LISTS
#define LISTS 1
#endif
#ifndef AWAY
#define AWAY 0
#endif
#define M 3
#define BIT(m) (1 << (m))

#define ALIVE 0
#define DEAD 1
#define FREE 2
byte life[M + 1];
byte incarnation[M + 1];
#define TOKEN(m) ((m) + M * incarnation[m])
#define ID(t) (((t) - 1) % M + 1)
#define IS_GONE(t) (life[ID(t)] != ALIVE || incarnation[ID(t)] != ((t) - 1) / M)
#ifdef BUG_NO_INCARNATION	/* a token is taken for that of who has the id now */
#define GONE(t) (life[ID(t)] != ALIVE)
#else
#define GONE(t) IS_GONE(t)
#endif

byte mask[LISTS];		/* the lists: who may sleep there */
#define ELSEWHERE LISTS
byte asleep[M + 1];		/* 0, or 1 + the list that the member may be asleep on */
bool changed[M + 1];		/* the park word, since its owner read it */
byte queued;			/* the kernel's: who sleeps */
byte kills;
byte timeouts;

#define ACT(x) if :: x :: kills > 0 -> goto dying fi

#define LOCALS byte k, some; bool listed, late, hit

inline wake(m)			/* the sleeper on m's park word */
{
	if
	:: queued & BIT(m) -> queued = queued & ~BIT(m); hit = true
	:: else -> hit = false
	fi
}

#ifdef BUG_WAKES_ANYBODY	/* with a bit here, though it sleeps elsewhere */
#define SLEEPS_ON(m, list) true
#else
#define SLEEPS_ON(m, list) (asleep[m] == 1 + (list))
#endif

#if LISTS > 1 || AWAY
#define THEN } atomic {		/* who was woken may have looked meanwhile */
#else				/* it looks in any case: here it does not matter how far it is */
#define THEN
#endif

inline notify(list)		/* brood__notify */
{
	atomic { some = mask[list] }
	do
	:: atomic { some == 0 -> break }
	:: atomic {
		some != 0;
		if
		:: some & BIT(1) -> k = 1
		:: some & BIT(2) -> k = 2
		:: some & BIT(3) -> k = 3
		fi;
		some = some & ~BIT(k);
		ACT(mask[list] = mask[list] & ~BIT(k); wake(k));
		THEN
		if
		:: hit && SLEEPS_ON(k, list) -> some = 0; hit = false; k = 0; break
		:: hit && !SLEEPS_ON(k, list) -> hit = false; k = 0
		:: !hit
		fi
	   }
	   if
	   :: k == 0
	   :: else ->
		atomic { ACT(changed[k] = true) }
		atomic {
			ACT(wake(k));
			THEN
			if
			:: hit && SLEEPS_ON(k, list) -> some = 0; hit = false; k = 0; break
			:: else -> hit = false; k = 0
			fi
		}
	   fi
	od
}

inline wake_all(list)		/* sync_wake_all */
{
	atomic { ACT(some = mask[list]; mask[list] = 0); k = 1 }
	do
	:: atomic { k > M -> k = 0; some = 0; break }
	:: atomic {
		k <= M;
		if
		:: some & BIT(k) -> ACT(changed[k] = true; wake(k))
		:: else
		fi;
		hit = false;
		k++
	   }
	od
}

inline await(list, may_sleep)	/* a round of brood__wait; ends at look, or at leave when late */
{
	atomic {
		if
		:: !listed -> changed[me] = false	/* reads the park word */
		:: listed && !late -> goto sleep
		:: listed && late -> goto leave
		fi
	}
	atomic { asleep[me] = 1 + (list) }
	atomic {
		ACT(mask[list] = mask[list] | BIT(me));
		listed = true;
#ifndef BUG_NO_SECOND_LOOK
		goto look
#endif
	}
sleep:
	atomic {
		if
		:: changed[me] -> goto awake
		:: else -> queued = queued | BIT(me)
		fi
	}
	atomic {
		if
		:: !(queued & BIT(me))
		:: timeouts > 0 -> timeouts--; late = true; queued = queued & ~BIT(me)
		:: timeout -> assert(may_sleep); goto end
		:: kills > 0 -> goto dying
		fi
	}
awake:
	atomic { ACT(mask[list] = mask[list] & ~BIT(me)); listed = false }
	atomic { asleep[me] = 0; goto wait }
}

inline unlist(list)
{
	atomic {
		if
		:: !listed -> goto left
		:: listed && mask[list] & BIT(me) -> ACT(mask[list] = mask[list] & ~BIT(me))
		:: listed && !(mask[list] & BIT(me))
		fi
	}
	atomic { asleep[me] = 0; listed = false }
left:
	atomic { late = false }
}

inline die()			/* within a d_step, behind kills-- */
{
	queued = queued & ~BIT(me);
	life[me] = DEAD;
	k = 0; some = 0;
	listed = false; late = false; hit = false
}

inline come_back()
{
	life[me] == FREE;
	life[me] = ALIVE;
	asleep[me] = 0
}

proctype sweeper()
{
	byte d, k;
	bool hit;

end_sweep:
	atomic {
		if
		:: life[1] == DEAD -> d = 1
		:: life[2] == DEAD -> d = 2
		:: life[3] == DEAD -> d = 3
		fi;
		k = 1
	}
	do
	:: atomic { k > M -> k = 0; break }
	:: atomic {
		k <= M;
		if
#ifdef BUG_LISTED_ONLY		/* a dead notifier may have cleared the bit, and done no more */
		:: mask[0] & BIT(k) -> changed[k] = true; wake(k)
#else
		:: asleep[k] -> changed[k] = true; wake(k)
#endif
		:: else
		fi;
		hit = false;
		k++
	   }
	od;
	atomic { incarnation[d]++; life[d] = FREE; d = 0; goto end_sweep }
}

init {
	atomic {
		if
		:: kills = 0
		:: KILLS > 1 -> kills = 1
		:: kills = KILLS
		fi;
		if
		:: timeouts = 0
		:: timeouts = TIMEOUTS
		fi;
		run member(1);
		run member(2);
		run member(3);
		run sweeper()
	}
}
