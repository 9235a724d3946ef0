/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A lock whose owner may die, with its sleepers, for spin: lib/sync/lock.c over lib/wait/wait.c.
 *
 * Three members acquire and release ROUNDS times each; one of them may switch the counting of
 * contention on and off meanwhile (WATCHES times), and waits may end early (TIMEOUTS of them). KILLS of
 * the three die at any step (how many is chosen before the run); the swept come back under their
 * id, with the next incarnation. There is no clock: a lost wake-up is a member that sleeps for ever.
 *
 * One step is one access to one shared word, or what the kernel does under its locks. That a death
 * is noticed and swept, by somebody and at some time, is wait.pml's and member.pml's subject: here a process
 * of its own does it. It wakes whoever says that he may be asleep, on whatever list, and frees the
 * id. The first try of the code is one CAS: a load and a CAS with nothing between them. Which of the
 * listed a release tries first is left open. Memory is sequentially consistent here.
 *
 * Checked: nobody gets the lock while a living member has it; a taker is told of an owner's death
 * exactly when the former owner did not release; -ENOTRECOVERABLE comes after a release without
 * recovery, and from then on; nobody sleeps when nothing can happen any more.
 */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif
#ifndef WATCHES
#define WATCHES 0
#endif
#ifndef FORGIVING
#define FORGIVING 0
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
#ifdef BUG_NO_INCARNATION	/* a token is taken for that of who has the id now */
#define GONE(t) (life[ID(t)] != ALIVE)
#else
#define GONE(t) (life[ID(t)] != ALIVE || incarnation[ID(t)] != ((t) - 1) / M)
#endif

/* the lock */
#define WATCHED 1
#define INCONSISTENT 2
#define LOST 4
#define WORD(t, flags) ((t) * 8 + (flags))
#define OWNER(w) ((w) / 8)
byte word;
byte mask;			/* its list: who may sleep */

byte asleep;			/* members that may sleep, on whatever list */
bool changed[M + 1];		/* the park word, since its owner read it */
byte queued;			/* the kernel's: who sleeps */

byte rounds[M + 1] = ROUNDS;
byte kills;
byte timeouts;
byte watches = WATCHES;
byte holder;			/* ghost: the token that acquired and did not release */
bool lost;			/* ghost */

#define ACT(x) if :: x :: kills > 0 -> goto dying fi

inline wake(m, result)		/* the sleeper on m's park word */
{
	if
	:: queued & BIT(m) -> queued = queued & ~BIT(m); result = true
	:: else -> result = false
	fi
}

inline acquired()
{
	assert(!lost);
	assert(holder == 0 || life[ID(holder)] != ALIVE || holder != TOKEN(ID(holder)));
	assert((holder != 0) == (OWNER(seen) != 0));	/* -EOWNERDEAD, if it is not forgiven */
	holder = TOKEN(me)
}

proctype member(byte me)
{
	byte k, some, seen, next;
	bool listed, late, hit;

rest:
end_rest:
	atomic {
		if
		:: rounds[me] > 0 -> rounds[me]--
		:: watches > 0 -> watches--; word = word ^ WATCHED; goto rest
		:: kills > 0 -> goto dying
		fi
	}

try:
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
		:: GONE(OWNER(seen)) ->
			next = (FORGIVING -> 0 : INCONSISTENT)
		:: else -> seen = 0; goto wait
		fi
	}
take:
	atomic {
		next = WORD(TOKEN(me), (seen & WATCHED) | next);
		if
#ifdef BUG_STORE			/* a dead owner's word is replaced by a store */
		:: word == seen || OWNER(seen) != 0 -> acquired(); word = next
		:: word != seen && OWNER(seen) == 0 -> seen = 0; next = 0; goto try
#else
		:: word == seen -> acquired(); word = next
#ifdef BUG_NO_RETRY			/* who loses the CAS waits, though the lock may be free */
		:: word != seen -> seen = 0; next = 0; goto wait
#else
		:: word != seen -> seen = 0; next = 0; goto try
#endif
#endif
		:: kills > 0 -> goto dying
		fi;
		seen = 0;
		next = 0;
		goto leave
	}

wait:
	atomic {
		if
		:: !listed -> changed[me] = false	/* reads the park word */
		:: listed && !late -> goto sleep
		:: listed && late -> goto leave
		fi
	}
	atomic { asleep = asleep | BIT(me) }
	atomic {
		ACT(mask = mask | BIT(me));
		listed = true;
#ifndef BUG_NO_SECOND_LOOK
		goto try
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
		:: timeout -> assert(false); goto end
		:: kills > 0 -> goto dying
		fi
	}
awake:
	atomic { ACT(mask = mask & ~BIT(me)); listed = false }
	atomic { asleep = asleep & ~BIT(me); goto wait }

leave:				/* it has the lock, or not */
	atomic {
		if
		:: listed
		:: else -> goto left
		fi
	}
	atomic { ACT(mask = mask & ~BIT(me)); listed = false }
	atomic { asleep = asleep & ~BIT(me) }
left:
	atomic {
		late = false;
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
		:: word != seen -> seen = word; goto recover
		:: kills > 0 -> goto dying
		fi;
		seen = 0
	}

release:
	atomic { seen = word }
	atomic {
#ifdef BUG_WAKE_FIRST		/* the sleepers before the word */
		next = (seen & WATCHED) | ((seen & INCONSISTENT) -> LOST : 0);
#else
		if
		:: word == seen ->
			word = (seen & WATCHED) | ((seen & INCONSISTENT) -> LOST : 0);
			holder = 0;
			lost = (word & LOST) != 0
		:: word != seen -> goto release
		:: kills > 0 -> goto dying
		fi;
#endif
		k = 0;
#ifndef BUG_LOST_TO_ONE			/* everybody has to know */
		if
		:: (seen & INCONSISTENT) -> k = 1
		:: else
		fi;
#endif
		seen = 0;
		if
		:: k -> goto wake_all
		:: else
		fi
	}
	atomic { some = mask }
notify:
	atomic {
		if
		:: some == 0 -> goto notified
		:: some & BIT(1) -> k = 1
		:: some & BIT(2) -> k = 2
		:: some & BIT(3) -> k = 3
		fi;
		some = some & ~BIT(k)
	}
	atomic {
		ACT(mask = mask & ~BIT(k); wake(k, hit));
		if
		:: hit -> goto notified
		:: else
		fi
	}
	atomic { ACT(changed[k] = true) }
	atomic {
		ACT(wake(k, hit));
		if
		:: hit -> goto notified
		:: else -> goto notify
		fi
	}
wake_all:
	atomic {
		if
		:: k > M -> goto notified
		:: k <= M && (mask & BIT(k)) -> ACT(changed[k] = true; wake(k, hit))
		:: k <= M && !(mask & BIT(k))
		fi;
		k++;
		goto wake_all
	}
notified:
	atomic {
#ifdef BUG_WAKE_FIRST
		ACT(assert(OWNER(word) == TOKEN(me)); word = next; holder = 0; lost = (word & LOST) != 0);
		next = 0;
#endif
		k = 0; some = 0; hit = false;
		goto rest
	}

	atomic {
		false;
dying:
		kills--;
		d_step {
			queued = queued & ~BIT(me);
			life[me] = DEAD;
			k = 0; some = 0; seen = 0; next = 0;
			listed = false; late = false; hit = false
		}
	}
end_dead:
	atomic {
		life[me] == FREE;
		life[me] = ALIVE;
		asleep = asleep & ~BIT(me);
		goto rest
	}
end:
	false
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
wake_sleepers:
	atomic {
		if
		:: k > M -> k = 0; goto free
#ifdef BUG_LISTED_ONLY			/* a dead notifier may have cleared the bit, and no more */
		:: k <= M && (mask & BIT(k)) -> changed[k] = true; wake(k, hit)
		:: k <= M && !(mask & BIT(k))
#else
		:: k <= M && (asleep & BIT(k)) -> changed[k] = true; wake(k, hit)
		:: k <= M && !(asleep & BIT(k))
#endif
		fi;
		hit = false;
		k++;
		goto wake_sleepers
	}
free:
	atomic { incarnation[d]++; life[d] = FREE; d = 0; goto end_sweep }
}

init {
	atomic {
		if
		:: kills = 0
		:: kills = 1
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
