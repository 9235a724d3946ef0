/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ring of bytes: messages of any length that fits, one behind the other, in granules of 64 bytes.
 *
 * Beside the granules lies an entry for each: what a granule holds is the user's, and words of ours
 * among it could not be told from old payload. The entry of a message's first granule has all that
 * is known of it in one word, which names its owner (ring.h):
 *
 *	claim     older lap -> CLAIMED by me        CAS, at the tail; then the tail's hint
 *	commit    CLAIMED -> READY                  store, behind the payload and the note
 *	append    older lap -> READY                the same, by who alone may write: no claim before
 *	abort     CLAIMED -> DONE                   store
 *	take      READY -> LEASED by me             CAS, at the first that is READY
 *	release   LEASED -> DONE                    store
 *	advance   head over all that is DONE        CAS of the head, by whoever needs room
 *	close     older lap -> CLOSED               CAS, at the tail
 *
 * A message lies in one piece. What is left of the lap and too short is claimed as DONE first.
 * One granule is never used: so the entry of the tail is free also when the ring is full, and close
 * has a place.
 *
 * Why the entry of the tail can be told. Positions of messages' beginnings are found by following
 * the lengths from head, from a hint, or from any message that was there. Who stands at such a position p
 * and finds a word of an older lap stands at the tail: whoever claims there changes this very word.
 * Words are unique, by their lap; laps are equal again after 2^44 granules or more. A word of a later lap: p
 * has been overwritten meanwhile, so head is beyond it, and one begins again at the head. A claim
 * is made only when head is far enough: head only grows, so a look at it that is old is too careful,
 * no more.
 *
 * Hints. tail and take are plain stores of a position that was the end once; a member that is stopped
 * may store an old one. They count only from head on. Then what they name is walked from.
 *
 * Order. Messages are in the order of their claims, and taken in it. So a message that is
 * claimed and not committed holds up those behind it, though not their producers while there is
 * room.
 *
 * What a survivor finds if a member dies after each store. Before the CAS of claim: nothing. Then
 * up to the store of commit: CLAIMED by one who is dead; whoever comes by, and the sweep, make it
 * DONE. After commit: a message. After the CAS of take: LEASED by one who is dead: whoever comes by
 * leases it himself, and the sweep makes it READY, both with one AGAIN more; the sweep then counts
 * `orphans`, since the hint of take is beyond it. After release: DONE, and head, if it has not moved,
 * is moved by others. The hints may be old. Before the store of append: nothing. A close is there or
 * not. Tail, take, head and the streaks need no repair. An id is used again only after the sweep,
 * and then by no word that it had: that of another message differs by its lap, and that of the same
 * one by AGAIN. Who found the owner alive looks at the word again: it may have been the id's next one.
 * Wake-ups that a dead member owed are given by the sweep of it to all sleepers.
 *
 * The repair is done by CAS, and by many at once: the owner is dead, so nobody else stores.
 *
 * Hostile members. Indices are below `granules` and messages within the lap, or the call ends with
 * -EPROTO; walks are bounded by the number of granules, repetitions by RETRIES.
 *
 * Edges (doc/memory-model.md). Y1: the store of commit releases the payload and the note, the loads
 * of the word acquire. Y2: the store of release (of DONE) comes behind the last look at the payload,
 * and is acquired by advance; Y3: which releases the head, and claim acquires it, before the payload
 * is written. Y4: claims and skips release the way to them: who follows them acquires. Y5: the
 * sweep's READY comes before its count of orphans, a reader looks at the count before it walks.
 * Y6: the note is stored behind the claim, or, without one, behind the advance over the message that
 * was there: who has read a note and then finds the word unchanged, has read that word's note.
 * W7: commit and release are plain stores, so all waits here are light.
 */
#include "queue/ring.h"
#include "queue/sizes.h"

#define RETRIES 1000u		/* who is overtaken more often looks later */
#define ADVANCE_SHARE 8u	/* readers move the head when it is so far behind, of the ring */

enum found { FOUND_TAIL, FOUND, FOUND_PAST, FOUND_DAMAGE };

void brood__bytes_shape(struct brood__bytes *ring, uint32_t granules)
{
	uint64_t first = 1ull << (32u - (uint32_t)__builtin_clz(granules));

	atomic_store_explicit(&ring->head, first, memory_order_relaxed);
	atomic_store_explicit(&ring->tail, first, memory_order_relaxed);
	atomic_store_explicit(&ring->take, first, memory_order_relaxed);
	atomic_store_explicit(&ring->granules, granules, memory_order_relaxed);
}

/* ---- walking ---- */

static uint64_t load_head(const struct bytes *bytes)
{
	return atomic_load_explicit(&bytes->ring->head, memory_order_acquire);	/* Y3 */
}

/* From where to walk: a hint, or the head when that is farther. */
static uint64_t from_hint(const struct bytes *bytes, const _Atomic uint64_t *hint)
{
	uint64_t position = atomic_load_explicit(hint, memory_order_relaxed);
	uint64_t head = load_head(bytes);

	return (int64_t)(position - head) < 0 ? head : position;
}

static enum found look(const struct bytes *bytes, uint64_t position, uint64_t *word)
{
	uint32_t index = index_of(bytes, position), granules;
	int64_t later;

	if (brood__unlikely(index >= bytes->granules))
		return FOUND_DAMAGE;
	*word = atomic_load_explicit(&bytes->entries[index].word, memory_order_acquire); /* Y1, Y2, Y4 */
	later = word_later(bytes, *word, position);
	if (later)
		return later < 0 ? FOUND_TAIL : FOUND_PAST;
	granules = word_granules(bytes, *word);
	if (brood__unlikely(granules - 1 >= bytes->granules - index))
		return word_state(*word) == BYTES_CLOSED && !granules ? FOUND : FOUND_DAMAGE;
	return FOUND;
}

static uint64_t behind(const struct bytes *bytes, uint64_t position, uint64_t word)
{
	return position_behind(bytes, position, word_granules(bytes, word));
}

static bool change(const struct bytes *bytes, uint64_t position, uint64_t from, uint64_t to)
{
	/* Y4, Y5 */
	return atomic_compare_exchange_strong_explicit(&bytes_entry(bytes, position)->word, &from, to,
						       memory_order_acq_rel, memory_order_relaxed);
}

static bool owner_dead(const struct bytes *bytes, uint64_t word)
{
	uint32_t owner = word_owner(word);

	return owner == 0 || owner > bytes->segment->members.max ||
	       brood__life_dead(brood__life_of(&bytes->segment->members, owner - 1));
}

/*
 * What follows from something that was read after the word, or 1. A note may be a later message's,
 * whose producer wrote it before the word; a life, that of the next one with the owner's id; and the
 * head may be beyond what was the tail.
 */
static int unless_changed(const struct bytes *bytes, uint64_t position, uint64_t word, int result)
{
	atomic_thread_fence(memory_order_acquire);	/* Y6 */
	return atomic_load_explicit(&bytes_entry(bytes, position)->word, memory_order_relaxed) ==
	       word ? result : 1;
}

/* The head, moved over all that nobody needs any more. */
static uint64_t advance(const struct bytes *bytes)
{
	uint64_t head = load_head(bytes), position = head, word;

	for (uint32_t n = 0; n < 2 * bytes->granules; n++) {
		if (look(bytes, position, &word) != FOUND)
			break;
		if (word_state(word) == BYTES_CLAIMED) {
			if (owner_dead(bytes, word))
				change(bytes, position, word, word_change(word, BYTES_DONE));
			else if (!unless_changed(bytes, position, word, 0))
				break;
		} else if (word_state(word) == BYTES_DONE) {
			position = behind(bytes, position, word);
		} else {
			break;
		}
	}
	while ((int64_t)(position - head) > 0 &&	/* Y3 */
	       !atomic_compare_exchange_strong_explicit(&bytes->ring->head, &head, position,
							memory_order_acq_rel, memory_order_acquire))
		;
	return (int64_t)(position - head) > 0 ? position : head;
}

/* ---- claim ---- */

static uint64_t room_at(const struct bytes *bytes, uint64_t head, uint64_t position)
{
	uint64_t used = granules_between(bytes, head, position);

	return used < bytes->granules ? bytes->granules - 1 - used : 0;
}

/*
 * Granules that can be claimed at the tail for a message: its own, or the rest of the lap before
 * it, or 0. The rest is left out only when the message fits behind it, or nothing else is in the
 * way: a call that fails changes nothing.
 */
static uint32_t claimable(const struct bytes *bytes, uint64_t position, uint32_t granules, uint64_t head)
{
	uint32_t rest = bytes->granules - index_of(bytes, position);
	uint64_t room = room_at(bytes, head, position);

	if (granules <= rest)
		return granules <= room ? granules : 0;
	return rest + granules <= room || (head == position && rest <= room) ? rest : 0;
}

/*
 * At the tail: -EAGAIN there is no room, 1 somebody else was there first, 2 the rest of the lap has
 * been left out, 0 claimed.
 */
static int claim_here(const struct bytes *bytes, uint64_t position, uint64_t word, uint32_t wanted,
		      bool alone, struct place *place)
{
	uint32_t granules = claimable(bytes, position, wanted, load_head(bytes));
	uint64_t mine;

	if (brood__unlikely(!granules))
		granules = claimable(bytes, position, wanted, advance(bytes));
	if (brood__unlikely(!granules))
		return unless_changed(bytes, position, word, -EAGAIN);
	mine = granules < wanted ? bytes_word(bytes, position, granules, 0, BYTES_DONE) :
		bytes_word(bytes, position, granules, bytes->me + 1, BYTES_CLAIMED);
	*place = (struct place){ position, mine };
	if (alone && granules == wanted)
		return 0;
	if (brood__unlikely(!change(bytes, position, word, mine)))
		return 1;
	atomic_store_explicit(&bytes->ring->tail, position_behind(bytes, position, granules),
			      memory_order_relaxed);
	return granules < wanted ? 2 : 0;
}

static inline int claim(const struct bytes *bytes, size_t length, bool alone, struct place *place)
{
	uint64_t position = from_hint(bytes, &bytes->ring->tail), word;
	uint32_t granules = granules_of(length), tries = 0;
	int result;

	/* Readers had both lines: to be written at once, not to be read first. */
	brood__prefetch_write(bytes_entry(bytes, position));
	brood__prefetch_write(bytes_at(bytes, position));
	for (uint32_t steps = 0; steps <= 2 * bytes->granules; steps++) {
		switch (look(bytes, position, &word)) {
		case FOUND_DAMAGE:
			return -EPROTO;
		case FOUND_PAST:
			if (++tries > RETRIES)
				return -EAGAIN;
			position = from_hint(bytes, &bytes->ring->tail);
			steps = 0;
			break;
		case FOUND:
			if (word_state(word) == BYTES_CLOSED)
				return -EPIPE;
			position = behind(bytes, position, word);
			break;
		case FOUND_TAIL:
			result = claim_here(bytes, position, word, granules, alone, place);
			if (result <= 0)
				return result;
			if (result == 2)
				position = behind(bytes, position, place->word);
			break;
		}
	}
	return -EAGAIN;
}

brood__flat int brood__bytes_claim(const struct bytes *bytes, size_t length, struct place *place)
{
	return claim(bytes, length, false, place);
}

brood__flat int brood__bytes_room(const struct bytes *bytes, size_t length, struct place *place)
{
	return claim(bytes, length, true, place);
}

/* When others are always faster, or all is damaged: let claim find out. */
bool brood__bytes_has_room(const struct bytes *bytes, size_t length)
{
	uint64_t position = from_hint(bytes, &bytes->ring->tail), word;
	const uint32_t granules = granules_of(length);

	for (uint32_t steps = 0; steps <= 2 * bytes->granules; steps++) {
		switch (look(bytes, position, &word)) {
		case FOUND_DAMAGE:
			return true;
		case FOUND_PAST:
			position = from_hint(bytes, &bytes->ring->tail);
			break;
		case FOUND:
			if (word_state(word) == BYTES_CLOSED)
				return true;
			position = behind(bytes, position, word);
			break;
		case FOUND_TAIL:
			if (claimable(bytes, position, granules, load_head(bytes)) ||
			    claimable(bytes, position, granules, advance(bytes)))
				return true;
			if (!unless_changed(bytes, position, word, 0))
				return false;
			break;
		}
	}
	return true;
}

void brood__bytes_commit(const struct bytes *bytes, const struct place *place, unsigned int tag,
			 size_t length)
{
	struct brood__entry *entry = bytes_entry(bytes, place->position);

	/* Y6: whoever sees it sees our claim too */
	atomic_store_explicit(&entry->note, (uint64_t)tag << 56 | length, memory_order_release);
	atomic_store_explicit(&entry->word, word_change(place->word, BYTES_READY),
			      memory_order_release);	/* Y1 */
	brood__notify_light(&bytes->segment->members, &bytes->ring->readers);
}

void brood__bytes_append(const struct bytes *bytes, const struct place *place, unsigned int tag,
			 size_t length)
{
	brood__bytes_commit(bytes, place, tag, length);
	atomic_store_explicit(&bytes->ring->tail, behind(bytes, place->position, place->word),
			      memory_order_relaxed);
}

/* Readers may stand before it, and writers behind a ring that is full. */
void brood__bytes_abort(const struct bytes *bytes, const struct place *place)
{
	atomic_store_explicit(&bytes_entry(bytes, place->position)->word,
			      word_change(place->word, BYTES_DONE), memory_order_release);	/* Y2 */
	brood__notify_light(&bytes->segment->members, &bytes->ring->readers);
	brood__bytes_wake_writers(bytes);
}

/* ---- take ---- */

/* What one finds on the way: 0 go on, 1 look again, -EAGAIN held up, READY's result otherwise. */
static int take_here(const struct bytes *bytes, uint64_t position, uint64_t word,
		     struct taking *taking)
{
	enum bytes_state state = word_state(word);
	uint64_t mine;

	if (state == BYTES_DONE)
		return 0;
	if (state == BYTES_CLAIMED) {
		if (brood__likely(!owner_dead(bytes, word)))
			return unless_changed(bytes, position, word, -EAGAIN);
		return !change(bytes, position, word, word_change(word, BYTES_DONE));
	}
	if (state == BYTES_LEASED && brood__likely(!owner_dead(bytes, word)))
		return unless_changed(bytes, position, word, 0);
	if (state != BYTES_READY && state != BYTES_LEASED)
		return -EPROTO;
	taking->note = atomic_load_explicit(&bytes_entry(bytes, position)->note,
					    memory_order_relaxed);
	taking->place.position = position;
	if (brood__unlikely(note_length(taking->note) >
			    (size_t)word_granules(bytes, word) * GRANULE))
		return unless_changed(bytes, position, word, -EPROTO);
	if (brood__unlikely(!(taking->tags >> (note_tag(taking->note) & 31) & 1)))
		return unless_changed(bytes, position, word, -EBUSY);
	if (brood__unlikely(note_length(taking->note) > taking->room))
		return unless_changed(bytes, position, word, -EMSGSIZE);
	/* It comes while the entry's line is fetched for writing. */
	__builtin_prefetch(bytes_at(bytes, position));
	mine = word_change(state == BYTES_LEASED ? word_again(word) : word, BYTES_LEASED) |
	       (uint64_t)(bytes->me + 1) << OWNER_SHIFT;
	if (brood__unlikely(!change(bytes, position, word, mine)))
		return 1;
	taking->place = (struct place){ position, mine };
	return 2;
}

/* Several may have become READY at once, when the first did, and their commits have woken nobody. */
static void pass_it_on(const struct bytes *bytes, uint64_t next)
{
	uint64_t word;

	if (brood__likely(!brood__waitlist_any(&bytes->ring->readers)))
		return;
	if (look(bytes, next, &word) == FOUND && word_state(word) != BYTES_CLAIMED)
		brood__wake_one(&bytes->segment->members, &bytes->ring->readers);
}

static void taken(const struct bytes *bytes, const struct taking *taking)
{
	uint64_t next = behind(bytes, taking->place.position, taking->place.word);

	if ((int64_t)(next - atomic_load_explicit(&bytes->ring->take, memory_order_relaxed)) > 0)
		atomic_store_explicit(&bytes->ring->take, next, memory_order_relaxed);
	pass_it_on(bytes, next);
}

/* From here to the first message that can be taken. Sets *past when one must begin again. */
static int walk(const struct bytes *bytes, uint64_t position, struct taking *taking, bool *past)
{
	uint64_t word;
	int result;

	*past = false;
	for (uint32_t steps = 0; steps <= 2 * bytes->granules; steps++) {
		switch (look(bytes, position, &word)) {
		case FOUND_DAMAGE:
			return -EPROTO;
		case FOUND_PAST:
			*past = true;
			return -EAGAIN;
		case FOUND_TAIL:
			return -EAGAIN;
		case FOUND:
			if (word_state(word) == BYTES_CLOSED)
				return -EPIPE;
			result = take_here(bytes, position, word, taking);
			if (result == 2) {
				taken(bytes, taking);
				return 0;
			}
			if (result < 0)
				return result;
			if (result == 0)
				position = behind(bytes, position, word);
			break;
		}
	}
	return -EAGAIN;
}

static int walk_again(const struct bytes *bytes, bool from_head, struct taking *taking)
{
	bool past = true;
	int result = -EAGAIN;

	for (uint32_t tries = 0; past && tries < RETRIES; tries++)
		result = walk(bytes, from_head ? advance(bytes) :
					   from_hint(bytes, &bytes->ring->take), taking, &past);
	return result;
}

/*
 * With orphans the walk is from the head; the flag is cleared when it came to the first that never
 * was anybody's. At the end of a closed ring too: a dead reader's may not have been swept yet, and
 * the walk itself finds them. What was passed may have come back, and `orphans` be another, before it
 * is said that there is nothing.
 */
brood__flat int brood__bytes_take(const struct bytes *bytes, struct taking *taking)
{
	_Atomic uint64_t *orphans = &bytes->ring->orphans;
	uint32_t tries = 0;
	uint64_t seen;
	bool from_head;
	int result;

	do {
		seen = atomic_load_explicit(orphans, memory_order_acquire);	/* Y5 */
		from_head = brood__unlikely(seen & 1);
		result = walk_again(bytes, from_head, taking);
	} while (result == -EAGAIN && tries++ < RETRIES &&
		 atomic_load_explicit(orphans, memory_order_acquire) != seen);	/* Y5 */
	if (brood__unlikely(result == -EPIPE && !from_head))
		result = walk_again(bytes, true, taking);
	if (brood__unlikely(result == -EMSGSIZE))	/* who was woken for it does not take it */
		brood__notify_light(&bytes->segment->members, &bytes->ring->readers);
	if (from_head && (result == -EAGAIN || result == -EPIPE ||
			  (result == 0 && !(taking->place.word & BYTES_AGAIN))))
		atomic_compare_exchange_strong_explicit(orphans, &seen, seen & ~1ull,
							memory_order_acq_rel, memory_order_relaxed);
	return result;
}

/* What was left out at the end of a lap may lie at the position, and be in use again: then head is beyond it. */
int brood__bytes_take_from(const struct bytes *bytes, uint64_t position, struct taking *taking)
{
	bool past = true;
	int result = -EAGAIN;

	for (uint32_t tries = 0; past && tries < RETRIES; tries++) {
		uint64_t head = load_head(bytes);

		if ((int64_t)(head - position) > 0)
			position = head;
		result = walk(bytes, position, taking, &past);
	}
	return result;
}

bool brood__bytes_has_message(const struct bytes *bytes)
{
	return brood__bytes_take(bytes, &(struct taking){ .tags = 0 }) != -EAGAIN;
}

bool brood__bytes_next(const struct bytes *bytes, uint64_t *position, uint64_t *note)
{
	uint64_t word;

	for (uint32_t steps = 0; steps <= bytes->granules; steps++) {
		if (look(bytes, *position, &word) != FOUND || word_state(word) == BYTES_CLOSED)
			return false;
		*position = behind(bytes, *position, word);
		if (look(bytes, *position, &word) != FOUND)
			return false;
		*note = atomic_load_explicit(&bytes_entry(bytes, *position)->note,
					     memory_order_relaxed);
		if (word_state(word) != BYTES_DONE)
			return word_state(word) == BYTES_READY;
	}
	return false;
}

/* ---- release ---- */

void brood__bytes_wake_writers(const struct bytes *bytes)
{
	struct brood__waitlist *writers = &bytes->ring->writers;
	_Atomic uint32_t taken_bits[BROOD__MASK_WORDS];

	atomic_signal_fence(memory_order_seq_cst);	/* W7 */
	if (brood__likely(!brood__waitlist_any(writers)))
		return;
	/* All: the first may need more room than there is, and another less. */
	for (uint32_t i = 0; i < BROOD__MASK_WORDS; i++)
		atomic_init(&taken_bits[i], atomic_exchange_explicit(&writers->mask[i], 0,
								     memory_order_seq_cst));
	brood__wake_all(&bytes->segment->members, taken_bits);
}

void brood__bytes_release(const struct bytes *bytes, const struct place *place)
{
	uint64_t head;

	atomic_store_explicit(&bytes_entry(bytes, place->position)->word,
			      word_change(place->word, BYTES_DONE), memory_order_release);	/* Y2 */
	head = atomic_load_explicit(&bytes->ring->head, memory_order_relaxed);
	if (granules_between(bytes, head, place->position) >= bytes->granules / ADVANCE_SHARE)
		advance(bytes);
	brood__bytes_wake_writers(bytes);
}

/* ---- the whole ring ---- */

int brood__bytes_close(const struct bytes *bytes)
{
	uint64_t position = from_hint(bytes, &bytes->ring->tail), word;

	for (uint32_t steps = 0; steps <= RETRIES + 2 * bytes->granules; steps++) {
		switch (look(bytes, position, &word)) {
		case FOUND_DAMAGE:
			return -EPROTO;
		case FOUND_PAST:
			position = from_hint(bytes, &bytes->ring->tail);
			break;
		case FOUND:
			if (word_state(word) == BYTES_CLOSED)
				return 0;
			position = behind(bytes, position, word);
			break;
		case FOUND_TAIL:
			if (change(bytes, position, word,
				   bytes_word(bytes, position, 0, 0, BYTES_CLOSED)))
				return 0;
			break;
		}
	}
	return -EAGAIN;
}

/* From head to tail: how many are there, and the end's word, 0 when it is open. */
static bool survey(const struct bytes *bytes, size_t *count, uint64_t *end)
{
	uint64_t position = advance(bytes), word;

	*count = 0;
	*end = 0;
	for (uint32_t steps = 0; steps <= bytes->granules; steps++) {
		enum found found = look(bytes, position, &word);

		if (found == FOUND && word_state(word) == BYTES_CLOSED)
			*end = word;
		if (found != FOUND || *end)
			return found != FOUND_PAST;
		*count += word_state(word) == BYTES_READY ||
			  (word_state(word) == BYTES_LEASED && owner_dead(bytes, word));
		position = behind(bytes, position, word);
	}
	return true;
}

size_t brood__bytes_count(const struct bytes *bytes)
{
	size_t count = 0;
	uint64_t end;

	for (uint32_t tries = 0; tries < RETRIES && !survey(bytes, &count, &end); tries++)
		;
	return count;
}

bool brood__bytes_closed(const struct bytes *bytes)
{
	size_t count;
	uint64_t end = 0;

	for (uint32_t tries = 0; tries < RETRIES && !survey(bytes, &count, &end); tries++)
		;
	return end != 0;
}

/* The tail is found as claim finds it. */
size_t brood__bytes_used(const struct bytes *bytes)
{
	uint64_t head = advance(bytes), position = from_hint(bytes, &bytes->ring->tail), word, used;

	for (uint32_t steps = 0; steps <= bytes->granules; steps++) {
		if (look(bytes, position, &word) != FOUND || word_state(word) == BYTES_CLOSED)
			break;
		position = behind(bytes, position, word);
	}
	used = granules_between(bytes, head, position);
	return used < bytes->granules ? (size_t)used : bytes->granules - 1;
}

/*
 * The head does not pass what a dead member has claimed or leased, so that is found within a lap
 * from where the head is now: behind that it is the living ones' alone. Orphans are counted in any
 * case: a sweeper before us may have died before it did that.
 */
void brood__bytes_sweep(const struct bytes *bytes, uint32_t dead)
{
	uint64_t first = load_head(bytes), position = first, word;

	for (uint32_t steps = 0; steps <= 2 * bytes->granules &&
				 granules_between(bytes, first, position) <= bytes->granules; steps++) {
		enum found found = look(bytes, position, &word);

		if (found == FOUND_PAST) {
			position = load_head(bytes);
			continue;
		}
		if (found != FOUND || word_state(word) == BYTES_CLOSED)
			break;
		if (word_owner(word) == dead + 1 && word_state(word) == BYTES_CLAIMED)
			change(bytes, position, word, word_change(word, BYTES_DONE));
		if (word_owner(word) == dead + 1 && word_state(word) == BYTES_LEASED)
			change(bytes, position, word, word_change(word_again(word), BYTES_READY));
		position = behind(bytes, position, word);
	}
	atomic_fetch_add_explicit(&bytes->ring->orphans, 2, memory_order_acq_rel);
	atomic_fetch_or_explicit(&bytes->ring->orphans, 1, memory_order_acq_rel);	/* Y5 */
}

/* ---- waiting ---- */

/* Pauses for who streams, and he has to begin anew. */
static uint32_t gather(_Atomic uint32_t *streak, uint32_t pauses)
{
	if (!atomic_load_explicit(streak, memory_order_relaxed))
		return 0;
	atomic_store_explicit(streak, 0, memory_order_relaxed);
	return pauses;
}

struct brood__wait brood__bytes_reading(const struct bytes *bytes, int64_t timeout)
{
	return (struct brood__wait){
		.members = &bytes->segment->members,
		.list = &bytes->ring->readers,
		.timeout = timeout,
		.light = true,
		.me = bytes->me,
		.gather = gather(&bytes->ring->get_streak, GET_GATHER_MOST),
	};
}

struct brood__wait brood__bytes_writing(const struct bytes *bytes, size_t length, int64_t timeout)
{
	return (struct brood__wait){
		.members = &bytes->segment->members,
		.list = &bytes->ring->writers,
		.timeout = timeout,
		.light = true,
		.me = bytes->me,
		.wanted = length,
		.gather = gather(&bytes->ring->put_streak,
				 gather_for((uint32_t)(bytes->granules / granules_of(length)),
					    PUT_GATHER_MOST)),
	};
}
