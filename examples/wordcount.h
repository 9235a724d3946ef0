/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of wordcount; wordcount.c tells how they work together.
 *
 * A word is a run of ASCII letters, digits and underscores, and case matters, as in C. All other
 * bytes stand between words. A run longer than WORD_MAX is cut after every WORD_MAX bytes.
 */
#ifndef WORDCOUNT_H
#define WORDCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define WORD_MAX 255
#define WORKERS_MAX 128

static inline bool is_word_byte(unsigned char c)
{
	return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* wordcount_words.c: a table of words and how often each came, in the order of first coming. */

struct word {
	const char *text;	/* not terminated */
	uint64_t count;
	uint32_t length;
	uint32_t hash;
};

struct word_slot {
	uint32_t hash;
	uint32_t place;		/* 1 + index into words, 0 = free */
};

struct words {
	struct word *list;
	uint32_t n;		/* distinct words */
	uint32_t room;
	uint64_t total;		/* sum of all counts */
	struct word_slot *slots;
	uint32_t n_slots;	/* a power of two */
	bool borrows;		/* texts are the caller's, and stay until words_clear; else copied */
	struct text_block *blocks;
};

int words_add(struct words *words, const char *text, size_t length, uint64_t count);
int words_add_text(struct words *words, const char *text, size_t length);
void words_clear(struct words *words);
void words_free(struct words *words);
void words_sort(struct words *words);
const struct word *words_find(const struct words *words, const struct word *word);
size_t words_cut(const char *text, size_t length);

/* wordcount_files.c: the files to be counted, and the count by one process. */

struct file {
	char *path;
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

struct files {
	struct file *list;
	size_t n;
	size_t room;
	uint64_t bytes;
};

struct progress;

int files_list(struct files *files, const char *path);
void files_free(struct files *files);
int file_open(const struct file *file);
void file_check(const struct file *file, int fd);
int files_count_plainly(const struct files *files, struct words *words,
			struct progress *progress);

/* wordcount_progress.c: what is shown while it runs, on stderr. */

struct progress {
	const char *doing;	/* "counting" */
	uint64_t files, files_total;
	uint64_t bytes, bytes_total;
	unsigned int killed;
	int64_t started;
	int64_t next;		/* when to show it again */
	bool terminal;
};

void progress_begin(struct progress *progress, const char *doing, const struct files *files);
void progress_show(struct progress *progress);
void progress_end(const struct progress *progress);
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
int fail(const char *what, int error);

/* A number with commas. The text stays good for the next 7 calls. */
const char *grouped(uint64_t number);

/* From the reader to the workers. */
struct chunk {
	uint32_t number;
	uint32_t files;		/* that end in it, each followed by a line feed */
	char text[];
};

/* From a worker to the reducer; and one from the reader. */
struct batch {
	uint32_t chunk;
	uint32_t part;		/* END: `chunk` chunks have been sent, there are no more */
	uint32_t last;		/* 1: the last part of its chunk */
	uint32_t redelivered;	/* 1: the chunk was with another worker, who died */
	uint32_t files, bytes;	/* of the chunk */
	unsigned char entries[];	/* count (4 bytes), length (1), text */
};

#define END UINT32_MAX
#define ENTRY_HEAD 5

/* The command line. */
struct settings {
	const char *path;
	unsigned int workers;
	unsigned int chaos;	/* workers to kill */
	unsigned int top;	/* words to show */
	unsigned int seed;
};

/* wordcount_children.c: the reader and the worker, each run in a child with a struct pipeline. */

/* Every process has its own copy, as it was at the fork. Only the queues themselves are shared. */
struct pipeline {
	const struct settings *settings;
	const struct files *files;
	struct brood_queue *chunks;
	struct brood_queue *batches;
};

int reader(void *pipeline);
int worker(void *pipeline);

/* wordcount_family.c: the care for the processes. */

struct family {
	struct pipeline pipeline;
	struct brood_process *reader;			/* NULL: not started, or ended */
	struct brood_process *workers[WORKERS_MAX];
};

int family_start(struct family *family);
int family_kill_one(struct family *family);
int family_look_after(struct family *family);
bool family_works(const struct family *family);
int family_end(struct family *family);

/* wordcount_reducer.c: the count by many processes. */

struct outcome {
	unsigned int killed;	/* workers killed by us */
	unsigned int redone;	/* chunks that a second worker had to count */
	unsigned int dropped;	/* batches that came twice */
};

int count_in_pipeline(const struct settings *settings, const struct files *files,
		      struct words *words, struct outcome *outcome);

#endif
