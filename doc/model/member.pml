/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Membership, for spin: joining, dying anywhere, sweeping the dead, leaving; ids that are used
 * again.
 *
 * Three threads and three entries. A thread joins an entry, uses it, sweeps the dead, leaves, or is
 * killed at any store (KILLS times in all, chosen before the run); a killed one starts again as a
 * new thread under the same thread id. A sweeper may be killed, and the one that takes over.
 *
 * One step is one access to one shared word. An entry's life word and incarnation are read apart,
 * as the code does, and freed together by one CAS on both. Memory is sequentially consistent here.
 *
 * Checked: one sweeper of an entry at a time; none of a living or a free one; a new owner finds an
 * entry that was swept to the end, and nobody sweeps while it uses it. When nothing can happen any
 * more, no dead member is left unswept if a living one remains. Here everybody is woken by any
 * death and by the end of a sweep: how that comes about is wait.pml's subject.
 */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef LEAVES
#define LEAVES 1
#endif
#define N 3

#define DEAD 9
#define ALIVE(l) ((l) != 0 && (l) != DEAD)
byte life[N];			/* 0, a thread's id (1..N), DEAD */
byte incarnation[N];		/* how often it has been freed */
short claim[N];			/* who sweeps, and which incarnation of the dead */
#define CLAIM(dead, mine, id) ((dead) * 256 + (mine) * 16 + (id) + 1)
#define CLAIM_DEAD(c) ((c) / 256)
#define CLAIM_INCARNATION(c) (((c) / 16) % 16)
#define CLAIM_ID(c) (((c) % 16) - 1)

byte leavings[N];		/* ghost: 2 in use, 1 half swept, 0 clean */
byte sweepers[N];		/* ghost */
bool woken[N + 1];		/* of a thread, since its round began */
#define WAKE_ALL woken[1] = 1; woken[2] = 1; woken[3] = 1
byte kills;
byte leaves = LEAVES;

#ifdef BUG_NO_SECOND_LOOK	/* a claim is believed without another look at the life word */
#define LOOKS_AGAIN false
#else
#define LOOKS_AGAIN true
#endif
#ifdef BUG_LATER_CLAIM		/* a claim for another incarnation is taken for an earlier one's */
#define MINDS_LATER false
#else
#define MINDS_LATER true
#endif
#ifdef BUG_NO_INCARNATION	/* a claim holds as long as somebody lives under the sweeper's id */
#define SAME_INCARNATION(id, i) true
#else
#define SAME_INCARNATION(id, i) (incarnation[id] == (i))
#endif

#define ACT(x) if :: x :: kills > 0 -> goto dying fi

proctype thread(byte me)
{
	byte id, d, my, its;
	short old;
	bool sweeping;

join:
end_join:
	atomic {
		life[0] == 0 || life[1] == 0 || life[2] == 0;
		id = (life[0] == 0 -> 0 : (life[1] == 0 -> 1 : 2))
	}
	atomic {
		if
		:: life[id] != 0 -> goto join
		:: life[id] == 0 ->
			life[id] = me;
			my = incarnation[id];	/* cannot change while it is mine */
			assert(leavings[id] == 0 && sweepers[id] == 0)
		fi
	}
	atomic { ACT(leavings[id] = 2) }
round:
	atomic {
		assert(life[id] == me && incarnation[id] == my);
		assert(leavings[id] == 2 && sweepers[id] == 0);
		if
		:: woken[me] = 0
		:: leaves > 0 -> leaves--; goto leave_now
		:: kills > 0 -> goto dying
		fi
	}
look:
	atomic {
		if
		:: d == N -> d = 0; goto sleep
		:: d != N && life[d] == DEAD
		:: else -> d++; goto look
		fi
	}
	atomic { its = incarnation[d] }
	atomic {
		if
		:: life[d] == DEAD
		:: else -> goto next
		fi
	}
	atomic {
		old = claim[d];
		if
		:: CLAIM_DEAD(old) > its && MINDS_LATER -> goto next	/* ours is a past one */
		:: else
		fi
	}
	atomic {			/* does the holder of the claim live? */
		if
		:: old && CLAIM_DEAD(old) == its && ALIVE(life[CLAIM_ID(old)])
		:: else -> goto take
		fi
	}
	atomic {
		if
		:: SAME_INCARNATION(CLAIM_ID(old), CLAIM_INCARNATION(old)) -> goto next
		:: else
		fi
	}
take:
	atomic {
		if
		:: claim[d] == old -> claim[d] = CLAIM(its, my, id)
		:: claim[d] != old -> goto next
		:: kills > 0 -> goto dying
		fi;
		old = 0
	}
	atomic {
		if
		:: life[d] == DEAD || !LOOKS_AGAIN
		:: else -> goto next
		fi
	}
	atomic {
		if
		:: incarnation[d] == its || !LOOKS_AGAIN
		:: else -> goto next
		fi;
		assert(sweepers[d] == 0 && life[d] == DEAD);
		sweepers[d]++;
		sweeping = true
	}
#ifdef BUG_FREED_FIRST			/* the id is free before its leavings are put right */
	atomic { ACT(life[d] = 0; incarnation[d]++) }
#endif
	atomic { ACT(leavings[d] = 1) }
	atomic { ACT(leavings[d] = 0) }
	atomic { ACT(WAKE_ALL) }
#ifdef BUG_FREED_APART			/* the word first, the incarnation after it */
	atomic { ACT(life[d] = 0; sweepers[d]--; sweeping = false) }
	atomic { ACT(incarnation[d] = its + 1) }
#elif !defined(BUG_FREED_FIRST)
	atomic {
		ACT(d_step {
			assert(life[d] == DEAD && incarnation[d] == its && sweepers[d] == 1);
			life[d] = 0;
			incarnation[d]++;
			sweepers[d]--;
			sweeping = false
		})
	}
#endif
next:
	atomic { old = 0; its = 0; d++; goto look }

sleep:
	atomic {
		if
		:: woken[me] -> goto round
		:: timeout ->
			assert(life[0] != DEAD && life[1] != DEAD && life[2] != DEAD);
			goto end
		:: kills > 0 -> goto dying
		fi
	}

	atomic {
		false;
leave_now:
		ACT(leavings[id] = 1)
	}
	atomic { ACT(leavings[id] = 0) }
	atomic {
		ACT(life[id] = 0; incarnation[id]++);
		id = 0; my = 0;
		goto join
	}

	atomic {
		false;
dying:
		kills--;
		d_step {
			life[id] = DEAD;	/* the kernel's */
			sweepers[d] = sweepers[d] - sweeping;
			sweeping = false;
			WAKE_ALL;
			id = 0; d = 0; my = 0; its = 0; old = 0
		};
		goto join
	}
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
		run thread(1);
		run thread(2);
		run thread(3)
	}
}
