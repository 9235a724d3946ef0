/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words in a text, and a table of them: open addressing over a list that keeps their order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wordcount.h"

#define BLOCK_BYTES (1u << 20)

struct text_block {
	struct text_block *next;
	size_t used;
	char text[BLOCK_BYTES];
};

/* FNV-1a, one step. */
static inline uint32_t hash_byte(uint32_t hash, char c)
{
	return (hash ^ (unsigned char)c) * 16777619u;
}

#define HASH_START 2166136261u

/* The low bits choose the slot, and those of FNV alone are poor for short words. */
static inline uint32_t hash_end(uint32_t hash)
{
	return hash ^ hash >> 15;
}

static char *copy_text(struct words *words, const char *text, size_t length)
{
	struct text_block *block = words->blocks;
	char *copy;

	if (!block || BLOCK_BYTES - block->used < length) {
		block = malloc(sizeof *block);
		if (!block)
			return NULL;
		block->next = words->blocks;
		block->used = 0;
		words->blocks = block;
	}
	copy = block->text + block->used;
	memcpy(copy, text, length);
	block->used += length;
	return copy;
}

/* The slot that has the word, or the free one where it belongs. */
static struct word_slot *find_slot(const struct words *words, const char *text, uint32_t length,
				   uint32_t hash)
{
	uint32_t mask = words->n_slots - 1;

	for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
		struct word_slot *slot = &words->slots[i];
		const struct word *word;

		if (!slot->place)
			return slot;
		if (slot->hash != hash)
			continue;
		word = &words->list[slot->place - 1];
		if (word->length == length && !memcmp(word->text, text, length))
			return slot;
	}
}

/* Enter all words of the list again, whose order may be another than before. */
static void fill_slots(struct words *words)
{
	memset(words->slots, 0, words->n_slots * sizeof *words->slots);
	for (uint32_t i = 0; i < words->n; i++) {
		const struct word *word = &words->list[i];

		*find_slot(words, word->text, word->length, word->hash) =
			(struct word_slot){ .hash = word->hash, .place = i + 1 };
	}
}

/* Room for one more word, with at least half of the slots free. */
static int grow(struct words *words)
{
	uint32_t room = words->room ? words->room * 2 : 1024;
	struct word *list = realloc(words->list, room * sizeof *list);
	struct word_slot *slots;

	if (!list)
		return -ENOMEM;
	words->list = list;
	slots = realloc(words->slots, 2 * (size_t)room * sizeof *slots);
	if (!slots)
		return -ENOMEM;
	words->slots = slots;
	words->n_slots = 2 * room;
	words->room = room;
	fill_slots(words);
	return 0;
}

static int add_hashed(struct words *words, const char *text, uint32_t length, uint32_t hash,
		      uint64_t count)
{
	struct word_slot *slot;

	if (words->n == words->room && grow(words) < 0)
		return -ENOMEM;
	slot = find_slot(words, text, length, hash);
	if (!slot->place) {
		if (!words->borrows)
			text = copy_text(words, text, length);
		if (!text)
			return -ENOMEM;
		words->list[words->n++] =
			(struct word){ .text = text, .length = length, .hash = hash };
		*slot = (struct word_slot){ .hash = hash, .place = words->n };
	}
	words->list[slot->place - 1].count += count;
	words->total += count;
	return 0;
}

/* Add `count` to a word of 1 to WORD_MAX bytes. */
int words_add(struct words *words, const char *text, size_t length, uint64_t count)
{
	uint32_t hash = HASH_START;

	for (size_t i = 0; i < length; i++)
		hash = hash_byte(hash, text[i]);
	return add_hashed(words, text, (uint32_t)length, hash_end(hash), count);
}

/* Count all words of a text. */
int words_add_text(struct words *words, const char *text, size_t length)
{
	const char *end = text + length;
	int err = 0;

	while (!err) {
		uint32_t hash = HASH_START;
		const char *word, *limit;

		while (text < end && !is_word_byte((unsigned char)*text))
			text++;
		if (text == end)
			break;
		limit = end - text > WORD_MAX ? text + WORD_MAX : end;
		for (word = text; text < limit && is_word_byte((unsigned char)*text); text++)
			hash = hash_byte(hash, *text);
		err = add_hashed(words, word, (uint32_t)(text - word), hash_end(hash), 1);
	}
	return err;
}

/*
 * The length up to which a text that goes on can be counted by itself: no word is cut in two. The
 * text begins at such a place too. Not 0 for a text of at least WORD_MAX bytes.
 */
size_t words_cut(const char *text, size_t length)
{
	size_t cut = length;

	while (cut > 0 && is_word_byte((unsigned char)text[cut - 1]))
		cut--;
	return cut > 0 ? cut : length - length % WORD_MAX;
}

/* Forget all words, keep the memory. */
void words_clear(struct words *words)
{
	if (words->slots)
		memset(words->slots, 0, words->n_slots * sizeof *words->slots);
	words->n = 0;
	words->total = 0;
}

void words_free(struct words *words)
{
	while (words->blocks) {
		struct text_block *block = words->blocks;

		words->blocks = block->next;
		free(block);
	}
	free(words->list);
	free(words->slots);
	*words = (struct words){ 0 };
}

const struct word *words_find(const struct words *words, const struct word *word)
{
	const struct word_slot *slot;

	if (!words->n)
		return NULL;
	slot = find_slot(words, word->text, word->length, word->hash);
	return slot->place ? &words->list[slot->place - 1] : NULL;
}

static int compare_words(const void *a, const void *b)
{
	const struct word *x = a, *y = b;
	int order;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	order = memcmp(x->text, y->text, x->length < y->length ? x->length : y->length);
	return order ? order : (x->length > y->length) - (x->length < y->length);
}

/* The most frequent first. */
void words_sort(struct words *words)
{
	if (!words->n)
		return;
	qsort(words->list, words->n, sizeof *words->list, compare_words);
	fill_slots(words);
}
