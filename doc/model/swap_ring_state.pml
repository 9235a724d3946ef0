/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The words of swap_ring.pml, and what is checked of them.
 *
 * A message is known by the position that it was put at. Ghosts are not the ring's: they tell what
 * became of each message, and where the true ends are.
 */
#ifndef R
#define R 2			/* slots */
#endif
#ifndef NB
#define NB (R + 3)		/* buffers, 1..NB; at most 7 */
#endif
#ifndef NPUT
#define NPUT 2			/* messages put in a run */
#endif
#ifndef NRETURN
#define NRETURN 0		/* returns in a run */
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef HINTS
#define HINTS 0
#endif
#define M 3			/* members, 1..M */
#define LIMIT (R + NPUT)	/* positions start at R */

/*
 * Calls. OPSn: those that member n makes; release and return go with LEASE, commit and abort with
 * RESERVE.
 */
#define PUT 1
#define GET 2
#define LEASE 4
#define RESERVE 8
#define CLOSE 16
#define FINISH 32
#define RELEASE 33
#define RETURN 34
#define COMMIT 35
#define ABORT 36
#define SWEEP 37
#ifndef OPS1
#define OPS1 (PUT | GET)
#define OPS2 (PUT | GET)
#define OPS3 GET
#endif
#define MAY(call) ((me == 1 && (OPS1 & (call))) || (me == 2 && (OPS2 & (call))) || \
		   (me == 3 && (OPS3 & (call))))

/* slot words: position, closed, full, buffer */
#define WORD(p, full, b) ((p) * 32 + (full) * 8 + (b))
#define FULL 8
#define CLOSED 16
#define BUFFER(w) ((w) & 7)
#define POSITION(w) ((w) >> 5)
#define INDEX(w) (POSITION(w) % R)
/* what a CAS puts in the place of w when it offers b */
#define SWAPPED(w, b) (((w) & FULL) -> WORD(POSITION(w) + R, 0, b) | ((w) & CLOSED) : \
				       WORD(POSITION(w), 1, b))
#ifdef BUG_CLOSED		/* evidence compared with the closed bit */
#define SAME(v, w) ((v) == (w))
#else
#define SAME(v, w) ((((v) ^ (w)) & ~CLOSED) == 0)
#endif

/* buffer words: length known, redelivered, holder, kind */
#define FREE 0
#define HELD 1
#define LEASED 2
#define OFFERED 3
#define ORPHAN 4
#define REDELIVERED 32
#define LENGTH 64
#define META(holder, kind) ((holder) * 8 + (kind))
#define KIND(m) ((m) & 7)
#define HOLDER(m) (((m) >> 3) & 3)
#define NOTES(m) ((m) & (REDELIVERED | LENGTH))

/* seeded bugs that are a condition rather than an order */
#ifdef BUG_STALE_WANT		/* a call that gives up leaves want set */
#define CLEARS_WANT 0
#else
#define CLEARS_WANT 1
#endif
#ifdef BUG_OFFER_HELD		/* get offers a spare that is still marked as held */
#define MARKS_OFFER 0
#else
#define MARKS_OFFER 1
#endif

/* the shared words */
short slot[R];
byte meta[NB + 1];
short want[M + 1];
byte offer[M + 1];
byte orphans;			/* version * 2 + nonempty */
byte head_hint = R;
byte tail_hint = R;

/* membership, as member.pml proves it */
#define ALIVE 0
#define DEAD 1
#define SWEPT 2
byte life[M + 1];
byte sweeper[M + 1];
#define ANY_DEAD (life[1] == DEAD || life[2] == DEAD || life[3] == DEAD)

/* ghosts */
#define UNPUT 0
#define IN 1
#define LOOSE 2			/* its holder died or gave it back */
#define DONE 3			/* acknowledged */
#define WITH(m) (4 + (m))
#define FRESH 255		/* a payload that no CAS has put yet */
byte st[NPUT];
byte pay[NB + 1];
byte head = R;
byte tail = R;
byte kills = KILLS;
byte returns = NRETURN;
byte busy;			/* members inside a call, a bit each */
bool closed;

inline deliver(b, as_orphan)	/* to me; b is mine from now on */
{
	assert(pay[b] >= R && pay[b] < tail && (meta[b] & LENGTH));
	assert(as_orphan || (st[pay[b] - R] == IN && !(meta[b] & REDELIVERED)));
	assert(!as_orphan || (st[pay[b] - R] == LOOSE && (meta[b] & REDELIVERED)));
	st[pay[b] - R] = WITH(me)
}

inline acknowledge(b)
{
	assert(pay[b] >= R && pay[b] < LIMIT && st[pay[b] - R] == WITH(me));
	st[pay[b] - R] = DONE;
	pay[b] = 0;
	meta[b] = meta[b] & ~(LENGTH | REDELIVERED)	/* mean nothing now: fewer states */
}

inline let_go()			/* I die: what I had comes again, what I swept is swept again */
{
	i = 0;
	do
	:: i < NPUT && st[i] == WITH(me) -> st[i] = LOOSE
	:: i < NPUT && st[i] != WITH(me) -> i++
	:: else -> break
	od;
	i = 1;
	do
	:: i <= M && sweeper[i] == me -> sweeper[i] = 0
	:: i <= M && sweeper[i] != me -> i++
	:: else -> break
	od
}

inline count_owners(n)		/* of buffer i, into n */
{
	n = (BUFFER(slot[0]) == i) + (R > 1 && BUFFER(slot[R - 1]) == i);
	b = 1;
	do
	:: b <= M ->
		n = n + (life[b] == ALIVE && (want[b] -> BUFFER(want[b]) : offer[b]) == i);
		assert(life[b] == ALIVE || (want[b] == 0 && offer[b] == 0));
		b++
	:: else -> break
	od;
	n = n + (KIND(meta[i]) != OFFERED &&
		 (KIND(meta[i]) != HELD || want[HOLDER(meta[i])] || offer[HOLDER(meta[i])] != i));
	assert(KIND(meta[i]) == OFFERED || HOLDER(meta[i]) == 0 || life[HOLDER(meta[i])] == ALIVE)
}

inline check_message()		/* in buffer i: pay[] is not 0 for messages alone */
{
	c = pay[i] - R;
	d = (BUFFER(slot[0]) == i && (slot[0] & FULL)) ||
	    (BUFFER(slot[R - 1]) == i && (slot[R - 1] & FULL));
	assert(d == (st[c] == IN));
	assert((KIND(meta[i]) == ORPHAN) == (st[c] == LOOSE));
	assert(KIND(meta[i]) != ORPHAN || (orphans & 1));
	if
	:: st[c] > WITH(0) && KIND(meta[i]) == LEASED -> assert(HOLDER(meta[i]) == st[c] - 4)
	:: st[c] > WITH(0) && KIND(meta[i]) != LEASED ->
		assert((want[st[c] - 4] & FULL) && BUFFER(want[st[c] - 4]) == i)
	:: else
	fi;
	d = 0
}

inline check()			/* between calls, the dead swept */
{
	i = 1;
	do
	:: i <= NB ->
		count_owners(c);
		assert(c == 1);
		if
		:: pay[i] >= R && pay[i] < FRESH -> check_message()
		:: else -> assert(KIND(meta[i]) != LEASED && KIND(meta[i]) != ORPHAN)
		fi;
		i++
	:: else -> break
	od;
	i = 0;
	do
	:: i < NPUT ->
		c = 0;
		b = 1;
		do
		:: b <= NB -> c = c + (pay[b] == i + R); b++
		:: else -> break
		od;
		assert(c == (st[i] != UNPUT && st[i] != DONE));
		i++
	:: else -> break
	od;
	i = 0; b = 0; c = 0
}
