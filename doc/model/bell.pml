/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors, for spin: lib/wait/bell.c, with lib/wait/wait.c and many.c. One member has a bell on
 * a list. It polls, takes what is there, and settles when there is nothing; SLEEPS times it sleeps
 * in another way instead: on the same list or on another one, on many with the list or without, by
 * futex or in ppoll; and comes back whenever it likes, or only when it is woken. Two members
 * publish PUTS1 and PUTS2 messages and then take TAKES of them. They tell one of the list, or all
 * of it (ALL), and KILLS of them die at any step. One more sweeps the dead.
 *
 * One step is one access to one shared word, or what the kernel does under its locks. Memory is
 * sequentially consistent here: the fences W3 and W7 are argued in doc/memory-model.md.
 *
 * `arming` and `alarms` are only ever compared with what somebody read last: here they say that they
 * differ.
 *
 * Checked: when nothing can happen any more, the descriptor is ready if there is a message, and
 * nobody sleeps on the list otherwise while there is one; a death before that has been swept. When
 * nothing more happens, the descriptor is not found ready again and again for nothing.
 */
#ifndef KILLS
#define KILLS 1
#endif
#ifndef PUTS1
#define PUTS1 1
#endif
#ifndef PUTS2
#define PUTS2 1
#endif
#ifndef TAKES
#define TAKES 1
#endif
#ifndef SLEEPS
#define SLEEPS 1
#endif
#ifndef WAYS			/* 1 on one list, 2 on many, 4 on many in ppoll */
#define WAYS 7
#endif
#ifndef ALL
#define ALL 0
#endif
#define N 2			/* notifiers */

byte messages;

/* the owner's, shared */
bool armed;			/* its bit in the list */
bool rearmed[N + 1];		/* `arming`, since this notifier read it */
bool asks[N + 1];		/* ghost: and whether it will look at it again */
#define HERE 1
#define ELSEWHERE 2
#define MANY 3
byte asleep;
bool changed;			/* the park word, since it was read */
bool alarms;			/* the count, since the owner read it */

#define ALIVE 0
#define DEAD 1
#define SWEPT 2
byte life[N + 1];
bool sweeper[N + 1];		/* claimed */

/* the kernel's */
bool queued;			/* sleeps, on the park word and on all lives */
bool woken;
bool ring, alarm;		/* there is something in the sockets */
bool watched[N + 1];		/* a pidfd is open */

byte kills = KILLS;
byte takes = TAKES;
byte ended;			/* ghost: notifiers that do nothing more */
byte vain;			/* ghost: calls since then that found nothing */

#define ACT(x) if :: x :: mortal && kills > 0 -> goto dying fi
#define DEAD_UNSWEPT(d) (life[d] == DEAD && !sweeper[d])
#define ALARMED (alarm || (watched[1] && life[1] != ALIVE) || (watched[2] && life[2] != ALIVE))

inline wake(result)		/* the kernel wakes who sleeps on the park word */
{
	if
	:: queued -> queued = false; woken = true; result = true
	:: else -> result = false
	fi
}

inline raise_alarm()		/* brood__bell_alarm */
{
	atomic { ACT(alarms = true) }
	atomic { ACT(alarm = true) }
}

inline make_look()		/* brood__make_look */
{
	atomic { ACT(changed = true) }
	atomic { ACT(wake(hit)) }
#ifdef BUG_SLEEPS_ELSEWHERE	/* who was asleep looks, though only for what it slept for */
	if
	:: hit
	:: else -> raise_alarm()
	fi;
#else
	raise_alarm();
#endif
	atomic { hit = false }
}

inline bell_ring()
{
#ifdef BUG_ASKED_LATE		/* behind the look where it sleeps */
	atomic { ACT(rearmed[me] = false) }
#endif
	atomic { ACT(ring = true) }
	atomic { ACT(armed = false) }
#ifndef BUG_NO_ARMING
	if
	:: rearmed[me] ->
		atomic { ACT(ring = true) }
		if
		:: asleep != 0 -> make_look()
		:: else
		fi
	:: else
	fi;
#endif
}

inline ring_and_wake()
{
	bell_ring();
#ifndef BUG_RUNG_ONLY
	if
	:: asleep != 0 -> make_look()
	:: else
	fi
#endif
}

proctype notifier(byte me; byte puts)
{
	byte on;
	bool mortal = true, hit;

again:
	atomic {
		on = 0; asks[me] = false; rearmed[me] = false;
		if
		:: puts > 0 -> puts--; messages++; vain = 0
		:: puts == 0 && takes > 0 && messages > 0 -> takes--; messages--; goto again
		:: puts == 0 -> ended++; goto end
		:: kills > 0 -> goto dying
		fi
	}
	atomic {
		if
		:: !armed -> goto again
		:: armed
		fi
	}
	atomic { asks[me] = true; rearmed[me] = false }
#if ALL
	ring_and_wake();		/* brood__wake_list */
	atomic {
		if
		:: armed -> ACT(armed = false)
		:: !armed -> goto again
		fi
	}
	make_look();
	goto again;
#else
	atomic { on = asleep }		/* wake_this */
#ifdef BUG_MANY_NOT_RUNG		/* who sleeps on many settles what it has waited for */
	if
	:: on == HERE || on == MANY
#else
	if
	:: on == HERE
	:: on == MANY -> bell_ring()
#endif
	:: else -> bell_ring(); goto again
	fi;
	atomic { ACT(armed = false; wake(hit)) }
	if
	:: hit
	:: !hit ->
		atomic { ACT(changed = true) }
		atomic { ACT(wake(hit)) }
	fi;
	if
	:: hit && asleep == HERE -> atomic { hit = false; goto again }
	:: !hit && on == MANY -> raise_alarm()
	:: else
	fi;
	atomic { hit = false }
#ifndef BUG_NOT_RUNG_BEHIND		/* the bit that it cleared was armed anew */
	if
	:: rearmed[me] -> atomic { rearmed[me] = false } ring_and_wake()
	:: else
	fi;
#endif
	goto again;
#endif

	atomic {
		false;
dying:
		kills--;
		life[me] = DEAD;
		puts = 0; on = 0; hit = false; asks[me] = false; rearmed[me] = false;
		if			/* the kernel wakes who watches it */
		:: queued -> queued = false; woken = true
		:: else
		fi
	}
end:	false
}

inline sweep(d)
{
	make_look();
	atomic { life[d] = SWEPT; sweeper[d] = false; ended++; vain = 0 }
}

proctype other()		/* notices the dead, sometimes before the owner does */
{
	bool mortal, hit;

end_rest:
	if
	:: atomic { DEAD_UNSWEPT(1) -> sweeper[1] = true } sweep(1)
	:: atomic { DEAD_UNSWEPT(2) -> sweeper[2] = true } sweep(2)
	fi;
	goto end_rest;
dying:	false
}

inline sweep_all()
{
	if
	:: atomic { DEAD_UNSWEPT(1) -> sweeper[1] = true } sweep(1)
	:: atomic { !DEAD_UNSWEPT(1) }
	fi;
	if
	:: atomic { DEAD_UNSWEPT(2) -> sweeper[2] = true } sweep(2)
	:: atomic { !DEAD_UNSWEPT(2) }
	fi
}

inline arm()
{
	atomic { ring = false }
#ifdef BUG_ARMS_LATE			/* the count behind the bit */
	atomic { armed = true }
	atomic { rearmed[1] = asks[1]; rearmed[2] = asks[2] }
#else
	atomic { rearmed[1] = asks[1]; rearmed[2] = asks[2] }
	atomic { armed = true }
#endif
}

inline ring_if_ready()
{
#ifdef BUG_NO_SECOND_LOOK
	skip
#else
	atomic { if :: messages > 0 -> ring = true :: messages == 0 fi }
#endif
}

inline settle()
{
#ifdef BUG_ARMED_IS_ENOUGH		/* the notifier that has rung may have died before it clears */
	if
	:: armed
	:: !armed -> arm()
	fi;
#else
	arm();
#endif
	ring_if_ready()
}

inline alarms_off()
{
	sweep_all();
	atomic {			/* watch_all */
		if
		:: life[1] != ALIVE -> watched[1] = false
		:: else
		fi
	}
	atomic {
		if
		:: life[2] != ALIVE -> watched[2] = false
		:: else
		fi
	}
#ifndef BUG_DRAINS_IF_COUNTED
	atomic { alarm = false }
#endif
	atomic {
		hit = alarms;
		alarms = false
	}
	if
	:: hit ->
#ifdef BUG_DRAINS_IF_COUNTED
		atomic { alarm = false }
#endif
		atomic { hit = false }
		if			/* settle_all */
		:: armed
		:: !armed -> arm()
		fi;
		ring_if_ready()
	:: else
	fi
}

proctype owner()
{
	byte list, sleeps = SLEEPS;
	bool here;			/* on the list */
	bool polls;			/* in ppoll */
	bool patient;
	bool mortal, hit;

	settle();
rest:
	atomic {
		list = 0; here = false; polls = false; patient = false;
		if
		:: true
		:: sleeps > 0 ->
			sleeps--;
			if
			:: WAYS & 1 -> list = HERE; here = true
			:: WAYS & 1 -> list = ELSEWHERE
			:: WAYS & 2 -> list = MANY; here = true
			:: WAYS & 2 -> list = MANY
			:: WAYS & 4 -> list = MANY; here = true; polls = true
			:: WAYS & 4 -> list = MANY; polls = true
			fi;
			if
			:: patient = true
			:: true
			fi;
			goto sleep
		fi
	}
poll:
	atomic {
		if
		:: ring || ALARMED
		:: timeout -> assert(messages == 0); assert(!DEAD_UNSWEPT(1) && !DEAD_UNSWEPT(2));
			goto end
		fi
	}
	atomic {
		if
		:: messages > 0 -> messages--; vain = 0; goto rest
		:: messages == 0 && ended == N -> vain++; assert(vain < 5)
		:: messages == 0 && ended < N
		fi
	}
	settle();
	alarms_off();
	goto rest;

sleep:				/* look_and_sleep */
	if
	:: polls -> alarms_off()
	:: !polls
	fi;
	atomic { changed = false }
	atomic { asleep = list }
#ifndef BUG_SLEEPS_UNARMED
	atomic { rearmed[1] = asks[1]; rearmed[2] = asks[2] }
#endif
	atomic {
		if
		:: here -> armed = true
		:: !here
		fi
	}
	atomic {
		if
		:: here && messages > 0 -> messages--; vain = 0; goto clear
		:: !here || messages == 0
		fi
	}
	sweep_all();
	atomic {
		if
		:: polls
		:: !polls && (changed || life[1] == DEAD || life[2] == DEAD) -> goto clear
		:: else -> queued = true
		fi
	}
	atomic {			/* woken; something came on another list; late */
		if
		:: woken -> woken = false
		:: polls && ALARMED
		:: !patient -> queued = false; woken = false
		:: timeout -> assert(!here || messages == 0); queued = false
		fi
	}
	sweep_all();
clear:
	atomic {
		if
		:: here -> armed = false
		:: !here
		fi
	}
	atomic { asleep = 0 }
#ifndef BUG_NOT_SETTLED
	if
	:: here -> settle()
	:: !here
	fi;
#endif
	alarms_off();
	goto rest;
dying:
end:
	false
}

init {
	atomic {
		watched[1] = true;
		watched[2] = true;
		run owner();
		run notifier(1, PUTS1);
		run notifier(2, PUTS2);
		run other()
	}
}
