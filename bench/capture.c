/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All that a program writes, in memory: the program, which is this one with an argument of its own,
 * and the rounds. A round is one program from its start to its end, and the memory is fresh each
 * time; it is given back within the round.
 *
 * Every page of the output begins with its number, and goes on with bytes that count up to 251
 * again and again; so what is lost, doubled or moved shows. Looking at it is not timed.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture.h"
#include "job.h"

#define PAGES_A_WRITE 64u	/* they stay in a CPU's cache */

static void page_prepare(char *page)
{
	for (unsigned int i = 0; i < CAPTURE_PAGE; i++)
		page[i] = (char)(i % 251);
}

static bool output_right(const char *data, size_t length)
{
	char page[CAPTURE_PAGE];

	page_prepare(page);
	for (uint64_t number = 0; length; number++) {
		size_t part = length < CAPTURE_PAGE ? length : CAPTURE_PAGE;

		memcpy(page, &number, sizeof(number));
		if (memcmp(data, page, part))
			return false;
		data += part;
		length -= part;
	}
	return true;
}

char *capture_new(size_t length)
{
	size_t pages = (length + CAPTURE_PAGE - 1) / CAPTURE_PAGE;
	char *data = malloc(pages * CAPTURE_PAGE);

	for (uint64_t number = 0; data && number < pages; number++) {
		page_prepare(data + number * CAPTURE_PAGE);
		memcpy(data + number * CAPTURE_PAGE, &number, sizeof(number));
	}
	return data;
}

/* ---- the program that writes ---- */

static bool write_all(const char *data, size_t length)
{
	while (length) {
		ssize_t n = write(STDOUT_FILENO, data, length);

		if (n < 0)
			return false;
		data += n;
		length -= (size_t)n;
	}
	return true;
}

int capture_write(const char *text)
{
	static char pages[PAGES_A_WRITE][CAPTURE_PAGE];
	size_t left = strtoul(text, NULL, 10);
	uint64_t number = 0;

	for (unsigned int i = 0; i < PAGES_A_WRITE; i++)
		page_prepare(pages[i]);
	while (left) {
		size_t part = left < sizeof(pages) ? left : sizeof(pages);

		for (unsigned int i = 0; i < PAGES_A_WRITE; i++, number++)
			memcpy(pages[i], &number, sizeof(number));
		if (!write_all(pages[0], part))
			return EXIT_FAILURE;
		left -= part;
	}
	return EXIT_SUCCESS;
}

/* ---- rounds ---- */

/* A peer that gives no output has looked at it itself: Python. */
static int64_t one_round(struct job *job)
{
	const struct port *port = &job_task(job)->ports[0];
	int64_t begin = now_ns(), between;
	void *data;
	ssize_t n;

	if (!port->ops->lease) {
		job_must(job, port->ops->rounds(port->queue, job->index, 1), "a capture");
		return now_ns() - begin;
	}
	n = port->ops->lease(port->queue, &data);
	job_must(job, n, "a capture");
	between = now_ns();
	if ((size_t)n != job_task(job)->shape.size)
		job_fail(job, "%zd bytes came", n);
	if (!output_right(data, (size_t)n))
		job_fail(job, "the bytes that came are not those that were written");
	begin += now_ns() - between;
	port->ops->release(port->queue);
	return now_ns() - begin;
}

void capture_rounds(struct job *job)
{
	uint64_t done = 0;
	int64_t span = 0;

	do {
		span += one_round(job);
		job->worker->span = span;
		job_count(job, ++done);
	} while (now_ns() < job->until);
	job->tally.count += done;
}
