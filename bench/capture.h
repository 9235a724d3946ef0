/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What subprocess.capture and subprocess.cat move. */
#ifndef BENCH_CAPTURE_H
#define BENCH_CAPTURE_H

#include <stddef.h>

#define CAPTURE_PAGE 4096u

/* The first argument that makes brood-bench a program that writes as many bytes as the second. */
#define CAPTURE_WRITE "--capture-write"

/* That program; its exit code. */
int capture_write(const char *text);

/* What it writes, to be freed; NULL when there is no memory. */
char *capture_new(size_t length);

#endif
