/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is shown while it runs: a bar on a terminal, a line a second elsewhere. On stderr. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <brood.h>

#include "wordcount.h"

#define CLEAR_LINE "\r\033[K"
#define BAR_MAX 40
#define TEXT_ROOM 52		/* left for the text, so that the bar keeps its width */
#define SECOND 1000000000

const char *grouped(uint64_t number)
{
	static char texts[8][32];
	static unsigned int turn;
	char *at = &texts[++turn % 8][31];

	*at = '\0';
	for (int digits = 0; number || !digits; digits++) {
		if (digits && digits % 3 == 0)
			*--at = ',';
		*--at = (char)('0' + number % 10);
		number /= 10;
	}
	return at;
}

void tell(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fprintf(stderr, "%swordcount: %s\n", isatty(STDERR_FILENO) ? CLEAR_LINE : "", text);
}

/* Tell what failed and why, and hand the error on. */
int fail(const char *what, int error)
{
	tell("%s: %s", what, brood_strerror(error));
	return error;
}

void progress_begin(struct progress *progress, const char *doing, const struct files *files)
{
	*progress = (struct progress){
		.doing = doing,
		.files_total = files->n,
		.bytes_total = files->bytes,
		.started = brood_now(),
		.terminal = isatty(STDERR_FILENO),
	};
	progress->next = progress->started + (progress->terminal ? 0 : SECOND);
}

static double done_part(const struct progress *progress)
{
	if (progress->bytes >= progress->bytes_total)
		return 1;
	return (double)progress->bytes / (double)progress->bytes_total;
}

/* "52 %, 11,980/23,047 files, 148 MB/s, 2 s left, 3 killed" */
static void describe(const struct progress *progress, char *text, size_t size)
{
	double seconds = (double)(brood_now() - progress->started) / SECOND;
	double part = done_part(progress);
	char left[32] = "", killed[32] = "";

	if (part > 0)
		snprintf(left, sizeof left, ", %.0f s left", seconds * (1 - part) / part);
	if (progress->killed)
		snprintf(killed, sizeof killed, ", %u killed", progress->killed);
	snprintf(text, size, "%.0f %%, %s/%s files, %.0f MB/s%s%s", part * 100,
		 grouped(progress->files), grouped(progress->files_total),
		 (double)progress->bytes / 1e6 / (seconds > 0 ? seconds : 1), left, killed);
}

/* As wide as the terminal leaves room for; where that is too little, the text alone. */
static void draw_bar(const struct progress *progress, const char *text)
{
	struct winsize window = { 0 };
	int length = (int)strlen(text);
	int columns, width, full;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) < 0 || !window.ws_col)
		window.ws_col = 80;
	columns = window.ws_col - 1;
	width = length > TEXT_ROOM ? length : TEXT_ROOM;
	width = columns - (int)(strlen(progress->doing) + strlen(" [] ")) - width;
	if (width > BAR_MAX)
		width = BAR_MAX;
	if (width < 5) {
		fprintf(stderr, "\r%.*s\033[K", columns, text);
		return;
	}
	full = (int)(done_part(progress) * width);
	fprintf(stderr, "\r%s [%.*s%*s] %s\033[K", progress->doing, full,
		"########################################", width - full, "", text);
}

/* May be called as often as one likes; looks at the clock first. */
void progress_show(struct progress *progress)
{
	int64_t now = brood_now();
	char text[160];

	if (now < progress->next)
		return;
	describe(progress, text, sizeof text);
	if (progress->terminal)
		draw_bar(progress, text);
	else
		fprintf(stderr, "%s %s\n", progress->doing, text);
	progress->next = now + (progress->terminal ? SECOND / 10 : SECOND);
}

/* Take the bar away. */
void progress_end(const struct progress *progress)
{
	if (progress->terminal)
		fputs(CLEAR_LINE, stderr);
}
