/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which memory the next instruction of a stopped process touches.
 *
 * Only what others can see matters to them: two runs that differ in the order of instructions of
 * different members, none of which touches shared memory or the kernel, are the same to everybody.
 * So it is enough to switch between members in front of instructions that do. The instructions'
 * operands are decoded, for x86-64; what is not known is taken to touch.
 */
#ifndef TESTS_CRASH_TOUCH_H
#define TESTS_CRASH_TOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct touch {
	uint64_t at;		/* the instruction */
	bool is_syscall;
	uint64_t call;		/* its number */
	bool is_shared;		/* touches what is shared, or may do so */
	uint64_t address;	/* where, if so */
};

struct touch_range {		/* that is shared */
	uint64_t base;
	size_t bytes;
};

struct touch touch_next(pid_t pid, const struct touch_range *ranges, unsigned n);

#endif
