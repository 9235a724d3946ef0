/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The regular files below a directory, and the plain count by one process.
 *
 * The list is made once, with what lstat says of each file, and both counts follow it. Each of them
 * compares what it has read with the list, and tells by name what could not be read or has changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brood.h>

#include "wordcount.h"

static int add_file(struct files *files, const char *path, const struct stat *st)
{
	if (files->n == files->room) {
		size_t room = files->room ? files->room * 2 : 1024;
		struct file *list = realloc(files->list, room * sizeof *list);

		if (!list)
			return -ENOMEM;
		files->list = list;
		files->room = room;
	}
	files->list[files->n] = (struct file){
		.path = strdup(path),
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = st->st_size,
		.changed = st->st_mtim,
	};
	if (!files->list[files->n].path)
		return -ENOMEM;
	files->n++;
	files->bytes += (uint64_t)st->st_size;
	return 0;
}

static int add_entry(struct files *files, const FTSENT *entry)
{
	switch (entry->fts_info) {
	case FTS_F:
		if (access(entry->fts_accpath, R_OK) == 0)
			return add_file(files, entry->fts_path, entry->fts_statp);
		tell("%s: left out: %s", entry->fts_path, strerror(errno));
		return 0;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		if (entry->fts_level == FTS_ROOTLEVEL)
			return -entry->fts_errno;
		tell("%s: left out: %s", entry->fts_path, strerror(entry->fts_errno));
		return 0;
	default:
		return 0;
	}
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/*
 * All regular files at and below the path, in the order of their names. Symbolic links are not
 * followed, except the path itself.
 */
int files_list(struct files *files, const char *path)
{
	char *paths[] = { (char *)path, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
	const FTSENT *entry;
	int err = 0;

	if (!walk)
		return -errno;
	while (!err && (errno = 0, entry = fts_read(walk)))
		err = add_entry(files, entry);
	if (!err)
		err = -errno;
	fts_close(walk);
	return err;
}

void files_free(struct files *files)
{
	for (size_t i = 0; i < files->n; i++)
		free(files->list[i].path);
	free(files->list);
	*files = (struct files){ 0 };
}

/* A descriptor, or -1 with the reason told. */
int file_open(const struct file *file)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		tell("%s: listed, but cannot be read now: %s", file->path, strerror(errno));
	return fd;
}

/* Tell when what has been read is not the file that was listed. */
void file_check(const struct file *file, int fd)
{
	struct stat st;
	bool same = fstat(fd, &st) == 0 && st.st_dev == file->device &&
		    st.st_ino == file->inode && st.st_size == file->size &&
		    st.st_mtim.tv_sec == file->changed.tv_sec &&
		    st.st_mtim.tv_nsec == file->changed.tv_nsec;

	if (!same)
		tell("%s: changed since it was listed", file->path);
}

/* Byte by byte: as different from the pipeline's way as can be, since it is the check on it. */
static int count_stream(FILE *stream, struct words *words)
{
	char word[WORD_MAX];
	size_t length = 0;
	int c, err = 0;

	do {
		bool in_word;

		c = getc_unlocked(stream);
		in_word = c != EOF && is_word_byte((unsigned char)c);
		if (in_word)
			word[length++] = (char)c;
		if (length == WORD_MAX || (length && !in_word)) {
			err = words_add(words, word, length, 1);
			length = 0;
		}
	} while (c != EOF && !err);
	return err;
}

static int count_file(const struct file *file, struct words *words)
{
	int fd = file_open(file);
	FILE *stream;
	int err;

	if (fd < 0)
		return 0;
	stream = fdopen(fd, "r");
	if (!stream) {
		close(fd);
		return -ENOMEM;
	}
	err = count_stream(stream, words);
	if (ferror(stream))
		tell("%s: %s", file->path, strerror(errno));
	file_check(file, fd);
	fclose(stream);
	return err;
}

/* Count all words of all files, in this process, one file after the other. */
int files_count_plainly(const struct files *files, struct words *words, struct progress *progress)
{
	for (size_t i = 0; i < files->n; i++) {
		int err = count_file(&files->list[i], words);

		if (err)
			return err;
		progress->files++;
		progress->bytes += (uint64_t)files->list[i].size;
		progress_show(progress);
	}
	return 0;
}
