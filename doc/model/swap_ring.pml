/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The swap ring and its sweep, for spin. Three members make these calls: put, get, lease, release,
 * return, reserve, commit, abort, close, and the sweep of a dead member. KILLS deaths happen at any
 * store of any of them, the sweep's included; a swept member comes back under the same id.
 *
 * One step is one access to one shared word. Merged with it are only accesses to words that
 * nobody else writes at that time: a member's own hand, the hand of a dead member whose sweep
 * is claimed, the words of buffers that are the dead one's own. Memory is sequentially
 * consistent here: what the C11 orders add is not covered.
 *
 * Death is modelled in place of a store: to die before a load shows others nothing more. The claim
 * of a sweep and the freeing of the id are one step each: member.pml is about them.
 *
 * With -DHINTS=1 the hints are words that may be behind. Without, the walk from a hint is the one
 * load that ends it, at the true end; that it always ends there is asserted with HINTS.
 *
 * Checked at every step: the order; no message twice without the flag and the first one's death or
 * return; none after its acknowledgement; none torn; empty and full answers. Checked whenever all
 * members are between two calls and the dead are swept: each buffer has one owner, each message is
 * in one place or acknowledged, orphans are announced.
 */
#include "swap_ring_state.pml"

inline first_free()		/* a scan and its CAS: what counts is that b was free at the CAS */
{
	b = 1;
	do
	:: b <= NB && meta[b] != FREE -> b++
	:: else -> break
	od
}

inline first_kept()
{
	b = 1;
	do
	:: kept & (1 << b) -> kept = kept & ~(1 << b); break
	:: else -> b++
	od
}

inline announced()		/* is there a message in the queue, though not in the ring? */
{
	i = 1;
	do
	:: i <= NB && (orphans & 1) && KIND(meta[i]) == ORPHAN -> d = 1; break
	:: i <= NB && !((orphans & 1) && KIND(meta[i]) == ORPHAN) -> i++
	:: else -> break
	od;
	i = 0
}

inline next_own()		/* the first buffer that dead member d holds */
{
	i = 1;
	do
	:: i <= NB && !(HOLDER(meta[i]) == d &&
			(KIND(meta[i]) == HELD || KIND(meta[i]) == LEASED)) -> i++
	:: else -> break
	od
}

/*
 * A step is an atomic block: ACT, the access to a shared word or else the member's death, then
 * what is private up to the next access. A goto to a label before an atomic block ends the step;
 * one to a label inside (between, dying, ..._now) does not.
 */
#define ACT(x) if :: x :: kills > 0 -> goto dying fi
#define SETTLED (!pend && !orphan)
#if HINTS
#define WALK(end) p
#else
#define WALK(end) end
#endif

proctype member(byte me)
{
	byte op, b, c, d, i, v;
	short w;
	bool pend;		/* the swap of want[me] happened: its stores are left to do */
	byte orphan;		/* an orphan that get returned: to be acknowledged */
	byte lease, reserved;
	byte kept;		/* held buffers, a bit each */
#if HINTS
	byte p;
#endif

	atomic {
		true;
between:
		op = 0;
		d_step {
			b = 0; c = 0; d = 0; i = 0; v = 0; w = 0;
			busy = busy & ~(1 << me);
			if
			:: busy == 0 && !ANY_DEAD -> check()
			:: else
			fi
		}
	}
	atomic {
		if
		:: pend || orphan -> op = FINISH
		:: SETTLED && MAY(PUT) && tail < LIMIT -> op = PUT
		:: SETTLED && MAY(GET) -> op = GET
		:: SETTLED && MAY(LEASE) && !lease -> op = LEASE
		:: SETTLED && MAY(RESERVE) && !reserved -> op = RESERVE
		:: SETTLED && MAY(CLOSE) && !closed -> op = CLOSE
		:: SETTLED && lease -> op = RELEASE
		:: SETTLED && lease && returns -> op = RETURN
		:: SETTLED && reserved -> op = ABORT
		:: SETTLED && reserved && tail < LIMIT -> op = COMMIT
		/* also with a swap left to finish: a sweep goes through all queues */
		:: life[1] == DEAD && !sweeper[1] -> op = SWEEP; d = 1
		:: life[2] == DEAD && !sweeper[2] -> op = SWEEP; d = 2
		:: life[3] == DEAD && !sweeper[3] -> op = SWEEP; d = 3
		:: kills > 0 -> goto dying
		fi;
		busy = busy | (1 << me);
		if
		:: op == FINISH && pend -> goto finish_now
		:: op == FINISH && orphan -> goto finish_orphan_now
		:: op == GET || op == LEASE -> goto look_orphans_now
		:: op == RELEASE -> goto release_now
		:: op == RETURN -> goto return_now
		:: op == ABORT -> goto abort_now
		:: op == COMMIT -> b = reserved; goto commit_now
		:: op == CLOSE -> goto close_now
		:: op == SWEEP -> goto sweep_now
		:: (op == PUT || op == RESERVE) && !offer[me] -> goto spare_now
		:: op == PUT && offer[me] -> b = offer[me]; goto put_now
		:: op == RESERVE && offer[me] -> b = offer[me]; goto reserve_now
		fi
	}

spare:					/* there is nothing to offer: take a free buffer */
	atomic {
		true;
spare_now:
		first_free();
		if
		:: kept -> first_kept()
		:: !kept && b > NB -> goto between
		:: !kept && b <= NB -> meta[b] = META(me, HELD)
		:: kills > 0 -> goto dying
		fi
	}
	atomic {
		ACT(offer[me] = b);
		if
		:: op == PUT
		:: op == RESERVE -> goto reserve
		:: op == GET || op == LEASE -> goto get
		fi
	}

put:
	atomic {
		true;
put_now:
		ACT(pay[b] = FRESH)
	}
put_offer:
	atomic { ACT(meta[b] = META(me, OFFERED) | LENGTH) }
put_look:
#if HINTS
	atomic { p = tail_hint }
put_walk:
#endif
	atomic {
		w = slot[WALK(tail) % R];
#if HINTS
		if
		:: POSITION(w) > p || (POSITION(w) == p && (w & FULL)) -> p++; goto put_walk
		:: else -> p = 0
		fi;
#endif
		assert(POSITION(w) == tail - ((w & FULL) -> R : 0));
		assert(((w & FULL) != 0) == (tail - head == R) && closed == ((w & CLOSED) != 0));
		if
		:: !(w & (FULL | CLOSED)) && tail < LIMIT
		:: else ->
			d_step { w = 0; pay[b] = 0; meta[b] = meta[b] & ~LENGTH };
			if
			:: want[me] && CLEARS_WANT -> goto put_fails
			:: else -> goto put_gives_up
			fi
		fi
	}
	atomic { ACT(want[me] = w) }
	atomic {
		if
		:: slot[INDEX(w)] != w -> w = 0; goto put_look
		:: slot[INDEX(w)] == w ->
			d_step {
				slot[INDEX(w)] = SWAPPED(w, b);
				assert(POSITION(w) == tail && pay[b] == FRESH);
				pay[b] = tail;
				st[tail - R] = IN;
				tail++;
				pend = true;
				reserved = (op == COMMIT -> 0 : reserved)
			}
		:: kills > 0 -> goto dying
		fi;
#if HINTS
	}
	atomic {
		ACT(tail_hint = POSITION(w) + 1);
#endif
		goto between
	}
put_fails:
	atomic {
		ACT(want[me] = 0);
put_gives_up:
		if
		:: op == PUT -> goto between
		:: else
		fi
	}
	atomic { ACT(meta[b] = META(me, HELD)) }	/* commit: the reservation stands */
	atomic {
		ACT(offer[me] = 0);
		goto between
	}

look_orphans:
	atomic {
		true;
look_orphans_now:
		v = orphans;
		if
		:: v & 1 -> i = 1
		:: else -> goto no_orphan
		fi
	}
scan:
	atomic {
		if
		:: KIND(meta[i]) != ORPHAN -> i++
		:: KIND(meta[i]) == ORPHAN ->
			d_step {
				meta[i] = META(me, LEASED) | NOTES(meta[i]);
				deliver(i, true);
				orphan = (op == GET -> i : 0);
				lease = (op == LEASE -> i : lease)
			};
			goto between
		:: kills > 0 -> goto dying
		fi;
		if
		:: i <= NB -> goto scan
		:: else -> i = 0
		fi
	}
	atomic {
		if
		:: orphans == v -> orphans = orphans & ~1; v = orphans
		:: orphans != v -> goto look_orphans
		:: kills > 0 -> goto dying
		fi;
no_orphan:
		b = offer[me];
		if
		:: b == 0 -> goto spare
		:: b && (KIND(meta[b]) == OFFERED || !MARKS_OFFER) -> goto get_look
		:: else
		fi
	}
get:
	atomic {
		if
		:: MARKS_OFFER -> meta[b] = META(me, OFFERED)
		:: !MARKS_OFFER
		:: kills > 0 -> goto dying
		fi
	}
get_look:
#if HINTS
	atomic { p = head_hint }
get_walk:
#endif
	atomic {
		w = slot[WALK(head) % R];
#if HINTS
		if
		:: POSITION(w) > p -> p++; goto get_walk
		:: else -> p = 0
		fi;
#endif
		assert(POSITION(w) == head && ((w & FULL) != 0) == (head < tail));
		if
		:: w & FULL
		:: else ->
			w = 0;
			announced();
			if
			:: want[me] -> goto get_fails
			:: else -> goto look_again
			fi
		fi
	}
	atomic { ACT(want[me] = w) }
	atomic {
		if
		:: slot[INDEX(w)] != w -> w = 0; goto get_look
		:: slot[INDEX(w)] == w ->
			d_step {
				slot[INDEX(w)] = SWAPPED(w, b);
				assert(POSITION(w) == head && pay[BUFFER(w)] == head);
				c = BUFFER(w);
				deliver(c, false);
				head++
			}
		:: kills > 0 -> goto dying
		fi;
#if HINTS
	}
	atomic {
		ACT(head_hint = POSITION(w) + 1);
#endif
		if
		:: op == GET -> pend = true; goto between
		:: else -> w = 0; b = 0; v = 0
		fi
	}
	atomic { ACT(meta[c] = META(me, LEASED) | NOTES(meta[c])) }
	atomic { ACT(offer[me] = 0) }
	atomic {
		ACT(want[me] = 0);
		lease = c;
		goto between
	}
get_fails:
	atomic { ACT(want[me] = 0) }
look_again:				/* empty only if no orphan came since the first look */
	atomic {
#ifndef BUG_EMPTY
		if
		:: orphans != v -> d = 0; goto look_orphans
		:: else
		fi;
#endif
		assert(!d);
		goto between
	}

	atomic {
		false;
release_now:
		if
		:: offer[me] && kept ->
			d_step { acknowledge(lease); meta[lease] = FREE; lease = 0 };
			goto between
		:: offer[me] && !kept ->
			d_step {
				acknowledge(lease);
				meta[lease] = META(me, HELD);
				kept = 1 << lease
			};
			lease = 0;
			goto between
#ifdef BUG_RELEASE		/* marked as offered before it is */
		:: !offer[me] -> meta[lease] = META(me, OFFERED) | NOTES(meta[lease])
#else
		:: !offer[me] -> d_step { offer[me] = lease; acknowledge(lease) }
#endif
		:: kills > 0 -> goto dying
		fi
	}
	atomic {
#ifdef BUG_RELEASE
		ACT(d_step { offer[me] = lease; acknowledge(lease) });
#else
		ACT(meta[lease] = META(me, OFFERED));
#endif
		lease = 0;
		goto between
	}

	atomic {
		false;
return_now:
		ACT(d_step {
			meta[lease] = ORPHAN | REDELIVERED | NOTES(meta[lease]);
			assert(st[pay[lease] - R] == WITH(me));
			st[pay[lease] - R] = LOOSE;
			lease = 0;
			returns--
		})
	}
	atomic {
		ACT(orphans = (orphans + 2) | 1);
		goto between
	}

reserve:
	atomic {
		true;
reserve_now:
		ACT(meta[b] = META(me, HELD))
	}
	atomic {
		ACT(offer[me] = 0);
		reserved = b;
		goto between
	}

	atomic {
		false;
abort_now:
		if
		:: offer[me] -> meta[reserved] = FREE; pay[reserved] = 0; reserved = 0; goto between
		:: !offer[me] -> offer[me] = reserved
		:: kills > 0 -> goto dying
		fi
	}
	atomic {
		ACT(meta[reserved] = META(me, OFFERED));
		reserved = 0;
		goto between
	}

	atomic {
		false;
commit_now:
		pay[b] = FRESH;
		if
		:: offer[me] -> meta[offer[me]] = META(me, HELD); kept = kept | (1 << offer[me])
		:: !offer[me] -> goto commit_offer_now
		:: kills > 0 -> goto dying
		fi
	}
	atomic {
		true;
commit_offer_now:
		ACT(offer[me] = b);
		goto put_offer
	}

close:
	atomic {
		true;
close_now:
		w = slot[tail % R];
		if
		:: w & CLOSED -> goto between
		:: else
		fi
	}
	atomic {
		if
		:: slot[INDEX(w)] == w -> slot[INDEX(w)] = w | CLOSED; closed = true; goto between
		:: slot[INDEX(w)] != w -> goto close
		:: kills > 0 -> goto dying
		fi
	}

	/* finish: the stores that the last swap left to do */
	atomic {
		false;
finish_now:
		w = want[me];
		c = BUFFER(w);
#ifdef BUG_WANT_FIRST
		ACT(want[me] = 0)
	}
	atomic {
#endif
#ifdef BUG_LENGTH
		ACT(meta[c] = META(me, OFFERED))
#else
		ACT(meta[c] = META(me, OFFERED) | NOTES(meta[c]))
#endif
	}
#ifdef BUG_OFFER_LAST
	atomic { ACT(want[me] = 0) }
#endif
	atomic {
		ACT(d_step {
			offer[me] = c;
			if
			:: w & FULL -> acknowledge(c)
			:: else
			fi
		});
#if defined(BUG_WANT_FIRST) || defined(BUG_OFFER_LAST)
		pend = false;
		goto between
#endif
	}
	atomic {
		ACT(want[me] = 0);
		pend = false;
		goto between
	}

	atomic {
		false;
finish_orphan_now:
		ACT(d_step { acknowledge(orphan); meta[orphan] = FREE; orphan = 0 });
		goto between
	}

	/* the sweep of d; w, b and c are private once d is claimed */
	atomic {
		false;
sweep_now:
		ACT(sweeper[d] = me);
		w = want[d];
		b = offer[d];
		c = BUFFER(w);
		if
		:: w == 0 -> goto sweep_offer
		:: w && (b == 0 || b == c) -> goto settled	/* its stores are done */
		:: else
		fi
	}
#ifdef BUG_LOOK_ORDER
	atomic {
		if
		:: HOLDER(meta[b]) != d -> goto happened
		:: else
		fi
	}
#endif
	atomic {
		if
		:: SAME(slot[INDEX(w)], SWAPPED(w, b)) -> goto happened
		:: else
		fi
	}
	atomic {			/* the third member's; mine is private, d's is w */
		if
		:: SAME(want[6 - me - d], SWAPPED(w, b)) || SAME(want[me], SWAPPED(w, b)) ->
			goto happened
		:: else
		fi
	}
#if !defined(BUG_NO_HOLDER) && !defined(BUG_LOOK_ORDER)
	atomic {
		if
		:: HOLDER(meta[b]) != d -> goto happened
		:: else -> goto settled
		fi
	}
#else
	goto settled;
#endif
happened:
#ifdef BUG_SWEEP_ORDER
	atomic { ACT(want[d] = 0) }
#endif
	atomic {
		if
		:: w & FULL -> meta[c] = META(d, LEASED) | NOTES(meta[c])
		:: !(w & FULL) -> meta[c] = META(d, HELD)
		:: kills > 0 -> goto dying
		fi
	}
	atomic { ACT(offer[d] = 0) }
settled:
	atomic { ACT(want[d] = 0) }
sweep_offer:
	atomic {
		b = offer[d]; w = 0; c = 0;
		if
		:: b == 0 -> goto sweep_held
		:: b && HOLDER(meta[b]) == d -> meta[b] = FREE; pay[b] = 0
		:: b && HOLDER(meta[b]) != d
		:: kills > 0 -> goto dying
		fi
	}
	atomic { ACT(offer[d] = 0); b = 0 }
sweep_held:
	atomic {
		next_own();
		if
		:: i > NB -> i = 0; goto announce_now
		:: i <= NB && KIND(meta[i]) == HELD -> meta[i] = FREE; pay[i] = 0
		:: i <= NB && KIND(meta[i]) == LEASED ->
			meta[i] = META(0, ORPHAN) | REDELIVERED | NOTES(meta[i]);
#ifdef BUG_BUMP			/* announce only what this sweeper made */
			v = 1
#endif
		:: i <= NB && kills > 0 -> goto dying
		fi;
		i = 0;
		goto sweep_held
	}
	atomic {
		false;
announce_now:
#ifdef BUG_BUMP
		if
		:: v -> ACT(orphans = (orphans + 2) | 1)
		:: else
		fi
#elif defined(BUG_VERSION)
		ACT(orphans = orphans | 1)
#else
		ACT(orphans = (orphans + 2) | 1)
#endif
	}
	atomic {
		ACT(d_step { life[d] = SWEPT; sweeper[d] = 0 });
		goto between
	}

	atomic {
		false;
dying:
		kills--;
		d_step {
			life[me] = DEAD;
			let_go();
			busy = busy & ~(1 << me);
			op = 0; b = 0; c = 0; d = 0; i = 0; v = 0; w = 0;
			pend = 0; orphan = 0; lease = 0; reserved = 0; kept = 0
#if HINTS
			; p = 0
#endif
		}
	}
end_dead:
	atomic {
		life[me] == SWEPT -> life[me] = ALIVE;
		goto between
	}
}

init {
	atomic {
		byte j;
		j = 1;
		do
		:: j <= R -> slot[j - 1] = WORD(R + j - 1, 0, j); meta[j] = META(0, OFFERED); j++
		:: else -> break
		od;
		j = 1;
		do
		:: j <= M -> offer[j] = R + j; meta[R + j] = META(j, OFFERED); j++
		:: else -> break
		od;
		run member(1);
		run member(2);
		run member(3)
	}
}
