/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections: messages through the ring that the other end receives from (ring_bytes.c).
 *
 * A message up to half of the ring is one message of the ring, WHOLE. A longer one is FIRST, with a
 * header, and then MORE until all is there; so a receiver can take the first piece while the sender
 * waits for room. Pieces of one message have no others among them:
 *
 *	sender     0 or gone -> me   CAS, for the time of each send; then 0; each with a number
 *	receiver   0 or gone -> me   CAS, for the time of a message in pieces
 *
 * FIRST and MORE are taken by the receiver alone; WHOLE by anybody. All are taken in the order of
 * the ring, so what comes behind the pieces waits for them.
 *
 * A sender that dies, or gives up in time, leaves FIRST and perhaps some MORE, and its token is
 * no longer the sender, or is gone. The receiver within such a message sees that, having looked
 * once more, or finds another FIRST or a WHOLE where MORE should be: it forgets the message and
 * begins again. It looks behind its last piece only: a WHOLE before that may have come back from
 * a dead receiver. If that is so and the sender is not done, the receiver forgets the message
 * too, and says so in the sender's word, by the CAS that the sender's last one competes with: so
 * the sender begins again, or all is there. The number there is another for each message whose
 * FIRST has gone, and FIRST has it too: so a receiver that was stopped before that CAS does not
 * ask for the message again when its sender is at the next. The number is cut; but FIRST is a
 * quarter of the ring, and the receiver stays where it is meanwhile. Who comes later drops a
 * FIRST whose rest is not there and will not come, and a MORE that has no FIRST before it.
 *
 * A receiver that dies holds one piece: that comes again, as in any ring. If it was FIRST, the next
 * receiver gets the whole message. If it was MORE, or none, the rest is dropped: the
 * pieces before are gone. Who takes the place of a gone receiver has to look from the head.
 *
 * Dying after each store: the tokens tell who is gone, all else is the ring's.
 *
 * End of file: nothing is there, nobody holds the other end (V1), and, having looked again from the head,
 * there still is nothing: what a holder sent, it sent before it closed or died.
 *
 * Edges (doc/memory-model.md). V2: sender and receiver are released by their stores and acquired by the
 * CAS; the receiver's look whether the sender still sends acquires, before it looks for its last
 * piece. W7: both are given up by a plain store.
 *
 * Who waits for many things has only one list for what it wants of an end: that of the ring. So who
 * gives up sender or receiver tells that one too.
 */
#include <string.h>

#include "queue/pipe.h"
#include "wait/bell.h"

enum { WHOLE, FIRST, MORE };

#define PIECE_SHARE 4u		/* pieces that the ring holds */
#define TRIES 1000u

/* Beside a sender's token. */
#define SENDER_AGAIN 1ull	/* the receiver has forgotten what it has got: begin again */
#define SENDER_DONE 2ull	/* all is sent */
#define SENDER_NUMBER 0xfffcull	/* of its message in pieces; of the next one, when nobody sends */
#define SENDER_NEXT 4ull

struct header {			/* of FIRST */
	uint64_t total;
	uint64_t sender;
};

struct transfer {			/* not zeroed first: that is half of the time of a call */
	struct conn_call call;
	struct bytes bytes;
	struct direction *direction;
	int64_t timeout;
	bool waited;
	/* sending */
	size_t length;		/* of the piece at hand */
	struct place place;
	uint64_t word;		/* the sender's, while that is the caller */
	uint64_t word_after;
	/* receiving */
	int (*attempt)(struct transfer *transfer);
	size_t room;
	struct taking taking;
	struct header header;	/* of a FIRST at the front */
	uint64_t next;		/* where the piece behind the last one begins */
};

/* Inside of the pipe: which way. 0, -EBADF, -EPROTO. */
static int direct(struct transfer *t, bool sends)
{
	uint32_t to = sends ? !t->call.end : t->call.end;

	t->direction = &t->call.pipe->directions[to];
	return brood__conn_ring(&t->call, to, &t->bytes);
}

/* Enter as one who sends, or receives. */
static int enter(struct brood_conn *conn, struct transfer *t, bool sends, int64_t timeout)
{
	int result = brood__conn_enter(conn, &t->call);

	t->timeout = timeout;
	t->waited = false;
	t->length = 0;
	if (brood__unlikely(result))
		return result;
	result = direct(t, sends);
	if (brood__unlikely(result))
		brood__object_leave(&t->call.inside);
	return result;
}

static bool alive(const struct transfer *t)
{
	return brood__object_alive(t->call.inside.segment, t->call.pipe, BROOD__KIND_PIPE);
}

static struct brood__members *members_of(const struct transfer *t)
{
	return &t->call.inside.segment->members;
}

/* Wait; what is left of a time counts for all waits of the call. */
static int wait_on(struct transfer *t, struct brood__wait wait, ssize_t (*attempt)(void *))
{
	if (t->timeout != BROOD_FOREVER && !brood__no_wait(t->timeout) && t->timeout > 0)
		t->timeout = brood_until(brood__deadline(t->timeout));
	wait.timeout = t->timeout;
	wait.quiet = true;
	t->waited = true;
	return (int)brood__wait(&wait, attempt, t);
}

static brood__slow void settle(const struct transfer *t, const struct brood__waitlist *list)
{
	if (brood__self->bells)
		brood__bell_settle(list, t->length);
}

/*
 * Leave. Giving up the turn has rung the caller's own bell, if it has one on this list; so that is
 * settled last.
 */
static inline void finish(const struct transfer *t, const struct brood__waitlist *list)
{
	if (brood__unlikely(t->waited))
		settle(t, list);
	brood__object_leave(&t->call.inside);
}

static struct brood__wait turn(const struct transfer *t, struct brood__waitlist *list)
{
	return (struct brood__wait){
		.members = members_of(t),
		.list = list,
		.light = true,
		.me = t->call.inside.me,
	};
}

static bool free_for_me(const struct transfer *t, uint64_t word)
{
	uint64_t token = word & BROOD__TOKEN_MASK;

	return !token || token == t->call.token || brood__token_gone(members_of(t), token);
}

/* V2 */
static bool become(const struct transfer *t, _Atomic uint64_t *who, uint64_t *before)
{
	*before = atomic_load_explicit(who, memory_order_relaxed);
	return free_for_me(t, *before) &&
	       atomic_compare_exchange_strong_explicit(who, before, t->call.token |
						       (*before & SENDER_NUMBER),
						       memory_order_acq_rel, memory_order_relaxed);
}

static void give_up(const struct transfer *t, _Atomic uint64_t *who, uint64_t after,
		    struct brood__waitlist *list, struct brood__waitlist *of_ring)
{
	atomic_store_explicit(who, after, memory_order_release);	/* V2 */
	atomic_signal_fence(memory_order_seq_cst);	/* W7 */
	if (brood__unlikely(brood__waitlist_any(list) || brood__waitlist_any(of_ring))) {
		brood__notify(members_of(t), list);
		brood__notify(members_of(t), of_ring);
	}
}

static void no_sender(const struct transfer *t)
{
	give_up(t, &t->direction->sender, t->word_after, &t->direction->senders,
		&t->bytes.ring->writers);
}

/* ---- send ---- */

static ssize_t try_sender(void *arg)
{
	struct transfer *t = arg;
	uint64_t before;

	if (brood__unlikely(!alive(t)))
		return -ESTALE;
	if (brood__unlikely(!brood__conn_held(&t->call, !t->call.end)))
		return -EPIPE;
	if (!become(t, &t->direction->sender, &before))
		return -EAGAIN;
	t->word_after = before & SENDER_NUMBER;
	t->word = t->call.token | t->word_after;
	return 0;
}

static ssize_t try_room(void *arg)
{
	struct transfer *t = arg;

	if (brood__unlikely(!alive(t)))
		return -ESTALE;
	if (brood__unlikely(!brood__conn_held(&t->call, !t->call.end)))
		return -EPIPE;
	return brood__bytes_room(&t->bytes, t->length, &t->place);
}

static int make_room(struct transfer *t, size_t length)
{
	int result;

	t->length = length;
	result = brood__bytes_room(&t->bytes, length, &t->place);
	if (brood__likely(result == 0))
		bytes_at_once(&t->bytes.ring->put_streak);
	else if (result == -EAGAIN)
		result = wait_on(t, brood__bytes_writing(&t->bytes, length, 0), try_room);
	return result;
}

static int send_whole(struct transfer *t, const void *data, size_t length)
{
	int result = make_room(t, length);

	if (brood__unlikely(result))
		return result;
	if (length)
		memcpy(bytes_at(&t->bytes, t->place.position), data, length);
	brood__bytes_append(&t->bytes, &t->place, WHOLE, length);
	return 0;
}

/* All is sent: false if the receiver has asked to begin again; it cannot any more. */
static bool is_sent(const struct transfer *t)
{
	uint64_t sender = t->word;

	return atomic_compare_exchange_strong_explicit(&t->direction->sender, &sender,	/* V2 */
						       sender | SENDER_DONE, memory_order_acq_rel,
						       memory_order_relaxed);
}

/* Whether the receiver has forgotten what it has got. */
static bool is_asked_again(const struct transfer *t)
{
	uint64_t asked = t->word | SENDER_AGAIN;

	return atomic_compare_exchange_strong_explicit(&t->direction->sender, &asked, t->word,
						       memory_order_acq_rel, memory_order_relaxed);
}

static int send_pieces(struct transfer *t, const char *data, size_t length)
{
	const size_t most = (t->bytes.granules + PIECE_SHARE - 1) / PIECE_SHARE * GRANULE;
	struct header header = { length, t->word };
	size_t before = sizeof(header), sent = 0;

	while (sent < length || !is_sent(t)) {
		size_t n = length - sent < most - before ? length - sent : most - before;
		int result = sent < length ? make_room(t, before + n) : 0;
		char *to;

		if (result)
			return result;
		if (is_asked_again(t)) {
			sent = 0;
			before = sizeof(header);
			continue;
		}
		if (sent == length)
			return -EPROTO;
		to = bytes_at(&t->bytes, t->place.position);
		memcpy(to, &header, before);
		memcpy(to + before, data + sent, n);
		t->word_after = (t->word + SENDER_NEXT) & SENDER_NUMBER;
		brood__bytes_append(&t->bytes, &t->place, before ? FIRST : MORE, before + n);
		sent += n;
		before = 0;
	}
	return 0;
}

/* The receiver sleeps among others, and the rest of a message will not come. */
static void tell_of_end(const struct transfer *t)
{
	struct brood__waitlist *readers = &t->bytes.ring->readers;

	atomic_signal_fence(memory_order_seq_cst);	/* W7 */
	if (brood__waitlist_any(readers))
		brood__wake_list(members_of(t), readers);
}

int brood_conn_send(struct brood_conn *conn, const void *data, size_t length, int64_t timeout)
{
	struct transfer t;
	int result = enter(conn, &t, true, timeout);

	if (brood__unlikely(result))
		return result;
	result = data || !length ? (int)try_sender(&t) : -EINVAL;
	if (brood__unlikely(result == -EAGAIN))
		result = wait_on(&t, turn(&t, &t.direction->senders), try_sender);
	if (brood__likely(result == 0)) {
		result = length <= bytes_capacity(&t.bytes) / 2 ? send_whole(&t, data, length) :
								  send_pieces(&t, data, length);
		no_sender(&t);
		if (brood__unlikely(result))
			tell_of_end(&t);
	}
	finish(&t, &t.bytes.ring->writers);
	return result;
}

/* ---- pieces ---- */

static int peek(struct transfer *t)
{
	t->taking = (struct taking){ .tags = 0 };
	return brood__bytes_take(&t->bytes, &t->taking);
}

static int take_whole(struct transfer *t)
{
	t->taking = (struct taking){ .room = t->room, .tags = 1u << WHOLE };
	return brood__bytes_take(&t->bytes, &t->taking);
}

/* The piece that has been looked at, or the next one: what comes back meanwhile must not get between. */
static int take_piece(struct transfer *t, unsigned int tag, uint64_t position)
{
	int result;

	t->taking = (struct taking){ .room = SIZE_MAX, .tags = 1u << tag };
	result = brood__bytes_take_from(&t->bytes, position, &t->taking);
	if (result == 0)
		t->next = position_behind(&t->bytes, t->taking.place.position,
					  word_granules(&t->bytes, t->taking.place.word));
	return result;
}

/*
 * Dead readers' messages may lie before what has been taken: look there. Counted, like the sweep's: who
 * has already looked, before the death, must not find the word as it was and clear it.
 */
static void look_from_head(const struct transfer *t)
{
	atomic_fetch_add_explicit(&t->bytes.ring->orphans, 2, memory_order_acq_rel);
	atomic_fetch_or_explicit(&t->bytes.ring->orphans, 1, memory_order_acq_rel);	/* Y5 */
}

static void no_receiver(const struct transfer *t)
{
	give_up(t, &t->direction->receiver, 0, &t->direction->receivers, &t->bytes.ring->readers);
}

/* Whether the sender of the message at hand is still at it. */
static bool is_sending(const struct transfer *t)
{
	uint64_t sender = atomic_load_explicit(&t->direction->sender, memory_order_acquire); /* V2 */

	/* We are not sending: an enemy may say so, and we should wait for ourselves. */
	return sender == t->header.sender && !free_for_me(t, sender);
}

/* A FIRST at the front whose rest will not come. */
static bool is_half(struct transfer *t)
{
	uint64_t position = t->taking.place.position, note = t->taking.note;
	uint64_t got = note_length(note) - sizeof(t->header);

	if (is_sending(t))
		return false;
	while (got < t->header.total) {
		if (!brood__bytes_next(&t->bytes, &position, &note) || note_tag(note) != MORE)
			return true;
		got += note_length(note);
	}
	return got != t->header.total;
}

/* Only by the receiver, so that it stays there: whether the front is a FIRST that is worth it. */
static bool read_header(struct transfer *t)
{
	if (note_tag(t->taking.note) != FIRST || note_length(t->taking.note) < sizeof(t->header))
		return false;
	memcpy(&t->header, bytes_at(&t->bytes, t->taking.place.position), sizeof(t->header));
	return t->header.total <= SIZE_MAX / 2 && !is_half(t);
}

/*
 * There are pieces at the front. 0: a FIRST, and we are the receiver; -EBUSY somebody else is;
 * -EINPROGRESS look again.
 */
static int find_first(struct transfer *t)
{
	uint64_t before;

	if (!become(t, &t->direction->receiver, &before))
		return free_for_me(t, before) ? -EINPROGRESS : -EBUSY;
	if (before)
		look_from_head(t);
	if (peek(t) == -EBUSY && note_tag(t->taking.note) != WHOLE) {
		if (read_header(t))
			return 0;
		if (take_piece(t, note_tag(t->taking.note) & 31, t->taking.place.position) == 0)
			brood__bytes_release(&t->bytes, &t->taking.place);
	}
	no_receiver(t);
	return -EINPROGRESS;
}

/*
 * A message has come back before the next piece: until somebody takes it there is no room behind it,
 * and that may have to be us. The sender has not sent all, and will begin again.
 */
static bool ask_again(struct transfer *t)
{
	uint64_t sender = t->header.sender;
	int result = peek(t);

	return (result == 0 || result == -EBUSY) &&
	       (int64_t)(t->next - t->taking.place.position) > 0 &&
	       atomic_compare_exchange_strong_explicit(&t->direction->sender, &sender,	/* V2 */
						       sender | SENDER_AGAIN, memory_order_acq_rel,
						       memory_order_relaxed);
}

static ssize_t try_more(void *arg)
{
	struct transfer *t = arg;
	bool sending = is_sending(t);
	int result;

	if (brood__unlikely(!alive(t)))
		return -ESTALE;
	result = take_piece(t, MORE, t->next);
	if (result == -EAGAIN && sending && ask_again(t))
		return -EINPROGRESS;
	return result == -EBUSY || (result == -EAGAIN && !sending) ? -EINPROGRESS : result;
}

/* The receiver has leased a FIRST. The length; -EINPROGRESS when it was only half of a message. */
static ssize_t receive_pieces(struct transfer *t, char *data)
{
	size_t got = 0, skip = sizeof(t->header);
	int result = 0;

	for (;;) {
		const struct place *place = &t->taking.place;
		size_t n = note_length(t->taking.note) - skip;

		if (note_length(t->taking.note) < skip)
			return -EPROTO;
		if (n > t->header.total - got)
			n = t->header.total - got;
		if (n)
			memcpy(data + got, bytes_at(&t->bytes, place->position) + skip, n);
		brood__bytes_release(&t->bytes, place);
		got += n;
		skip = 0;
		if (got == t->header.total)
			return (ssize_t)got;
		result = (int)try_more(t);
		if (result == -EAGAIN) {
			int64_t timeout = t->timeout;

			t->timeout = BROOD_FOREVER;
			result = wait_on(t, brood__bytes_reading(&t->bytes, 0), try_more);
			t->timeout = timeout;
		}
		if (result)
			return result;
	}
}

/* ---- receive ---- */

/* What is at the front: 0 and a length in header.total, not leased; errors as of find_first. */
static int see_front(struct transfer *t)
{
	int result = peek(t);

	if (result != -EBUSY)
		return result;
	if (note_tag(t->taking.note) == WHOLE) {
		t->header.total = note_length(t->taking.note);
		return 0;
	}
	result = find_first(t);
	if (result == 0)
		no_receiver(t);
	return result;
}

static int look_at_front(struct transfer *t)
{
	int result = see_front(t);

	if (result == 0)	/* who was woken for it does not take it */
		brood__notify_light(members_of(t), &t->bytes.ring->readers);
	return result;
}

/* The first message leased, or its FIRST, and we are the receiver; errors as of find_first. */
static int lease(struct transfer *t)
{
	int result = take_whole(t);

	if (brood__likely(result != -EBUSY))
		return result;
	result = find_first(t);
	if (result)
		return result;
	result = t->header.total > t->room ? -EMSGSIZE :
					    take_piece(t, FIRST, t->taking.place.position);
	if (result)
		no_receiver(t);
	if (result == -EMSGSIZE)
		brood__notify_light(members_of(t), &t->bytes.ring->readers);
	return result == -EAGAIN || result == -EBUSY ? -EINPROGRESS : result;
}

/* At once or not at all: -EBUSY means that pieces are somebody else's. */
static ssize_t try_receive(void *arg)
{
	struct transfer *t = arg;
	int result = -EAGAIN;
	bool ended = false;

	for (unsigned int tries = 0; tries < TRIES; tries++) {
		if (brood__unlikely(!alive(t)))
			return -ESTALE;
		result = t->attempt(t);
		if (brood__likely(result != -EAGAIN && result != -EINPROGRESS))
			break;
		if (result == -EINPROGRESS)
			continue;
		if (ended)
			return -EPIPE;
		if (brood__likely(brood__conn_held(&t->call, !t->call.end)))
			return -EAGAIN;
		ended = true;
		brood__member_sweep(members_of(t));
		look_from_head(t);
	}
	return result == -EINPROGRESS ? -EAGAIN : result;
}

static ssize_t try_turn(void *arg)
{
	struct transfer *t = arg;

	if (!alive(t))
		return -ESTALE;
	return free_for_me(t, atomic_load_explicit(&t->direction->receiver,
						   memory_order_acquire)) ? 0 : -EAGAIN;
}

/*
 * Who is woken for its turn may find a short message, and leave without having been the receiver:
 * then it tells the next.
 */
static void pass_turn(const struct transfer *t)
{
	if (!atomic_load_explicit(&t->direction->receiver, memory_order_relaxed))
		brood__notify_light(members_of(t), &t->direction->receivers);
}

static int receive(struct transfer *t)
{
	int result = (int)try_receive(t);

	if (brood__likely(result == 0))
		bytes_at_once(&t->bytes.ring->get_streak);
	if (result == -EAGAIN && brood__no_wait(t->timeout)) {
		/* What a dead member had counts as being there, whoever sweeps it. */
		brood__member_sweep(members_of(t));
		result = (int)try_receive(t);
	}
	while (result == -EAGAIN || result == -EBUSY) {
		if (result == -EAGAIN)
			result = wait_on(t, brood__bytes_reading(&t->bytes, 0), try_receive);
		if (result != -EBUSY)
			return result;
		/* Whom a piece has woken must not be us. */
		brood__notify_light(members_of(t), &t->bytes.ring->readers);
		result = wait_on(t, turn(t, &t->direction->receivers), try_turn);
		if (result)
			return result;
		result = (int)try_receive(t);
		pass_turn(t);
	}
	return result;
}

ssize_t brood_conn_recv(struct brood_conn *conn, void *data, size_t size, int64_t timeout)
{
	struct transfer t;
	ssize_t result = enter(conn, &t, false, timeout);

	if (brood__unlikely(result))
		return result;
	t.room = size;
	t.attempt = lease;
	result = data || !size ? -EINPROGRESS : -EINVAL;
	while (result == -EINPROGRESS) {
		result = receive(&t);
		if (brood__unlikely(result))
			break;
		if (brood__likely(note_tag(t.taking.note) == WHOLE)) {
			result = (ssize_t)note_length(t.taking.note);
			if (result)
				memcpy(data, bytes_at(&t.bytes, t.taking.place.position),
				       (size_t)result);
			brood__bytes_release(&t.bytes, &t.taking.place);
		} else {
			result = receive_pieces(&t, data);
			no_receiver(&t);
		}
	}
	finish(&t, &t.bytes.ring->readers);
	return result;
}

int brood_conn_poll(struct brood_conn *conn, int64_t timeout)
{
	struct transfer t;
	int result = enter(conn, &t, false, timeout);

	if (result)
		return result;
	t.attempt = look_at_front;
	result = receive(&t);
	finish(&t, &t.bytes.ring->readers);
	return result == -EPIPE ? 0 : result;
}

ssize_t brood_conn_next_length(struct brood_conn *conn)
{
	struct transfer t;
	ssize_t result = enter(conn, &t, false, 0);

	if (result)
		return result;
	t.attempt = look_at_front;
	result = receive(&t);
	finish(&t, &t.bytes.ring->readers);
	return result ? result : (ssize_t)t.header.total;
}

/* ---- among many ---- */

/*
 * With nobody at the other end there is a message, or the end of file. The receiver may be the
 * caller itself, in the midst of a message; what comes behind that, the next call finds out.
 */
static bool can_receive(struct transfer *t)
{
	int result = -EINPROGRESS;

	if (!brood__conn_held(&t->call, !t->call.end) ||
	    atomic_load_explicit(&t->direction->receiver, memory_order_relaxed) == t->call.token)
		return true;
	for (unsigned int tries = 0; result == -EINPROGRESS && tries < TRIES; tries++)
		result = see_front(t);
	return result != -EAGAIN && result != -EBUSY;
}

static bool can_send(const struct transfer *t, size_t length)
{
	uint64_t sender = atomic_load_explicit(&t->direction->sender, memory_order_acquire);

	return !brood__conn_held(&t->call, !t->call.end) ||
	       (free_for_me(t, sender) && brood__bytes_has_room(&t->bytes, length));
}

uint32_t brood__conn_ready(const struct conn_call *call, uint32_t events, size_t length)
{
	struct transfer t = { .call = *call };
	uint32_t ready = 0;

	if (events & BROOD_READABLE && (direct(&t, false) || can_receive(&t)))
		ready |= BROOD_READABLE;
	if (events & BROOD_WRITABLE && (direct(&t, true) || can_send(&t, length)))
		ready |= BROOD_WRITABLE;
	return ready;
}
