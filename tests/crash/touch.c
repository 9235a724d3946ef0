/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "touch.h"

#include "stepper.h"

#ifdef __x86_64__

#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>

enum { NO_REGISTER = 16, CACHE = 1 << 16 };

enum kind {
	UNKNOWN,
	PRIVATE,	/* registers, the stack, or data of the program itself */
	OPERAND,	/* base + index * scale + disp */
	STRING,		/* rdi and rsi */
	SYSCALL,
};

struct operation {
	uint64_t at;		/* 0 = not decoded yet */
	enum kind kind;
	uint8_t base, index, scale;
	int32_t disp;
};

static struct operation cache[CACHE];

/* ---- decoding: Intel's manual, volume 2, chapter 2 and appendix A ---- */

struct reader {
	uint8_t text[24];
	unsigned next;
	bool rex_b, rex_x;
	bool fs;		/* thread-local */
};

static uint8_t take(struct reader *r)
{
	return r->next < sizeof r->text ? r->text[r->next++] : 0;
}

static int32_t take_disp(struct reader *r, unsigned bytes)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint32_t)take(r) << (8 * i);
	return bytes == 1 ? (int8_t)value : (int32_t)value;
}

static struct operation operand(struct reader *r)
{
	struct operation o = { .kind = OPERAND, .base = NO_REGISTER, .index = NO_REGISTER };
	uint8_t modrm = take(r), mode = modrm >> 6, rm = modrm & 7, sib;
	unsigned disp = mode == 1 ? 1 : mode == 2 ? 4 : 0;

	if (mode == 3 || r->fs || (mode == 0 && rm == 5)) {
		o.kind = PRIVATE;
		return o;
	}
	o.base = (uint8_t)(rm | r->rex_b << 3);
	if (rm == 4) {
		sib = take(r);
		o.base = (uint8_t)((sib & 7) | r->rex_b << 3);
		o.index = (uint8_t)((sib >> 3 & 7) | r->rex_x << 3);
		o.index = o.index == 4 ? NO_REGISTER : o.index;
		o.scale = sib >> 6;
		if (mode == 0 && (sib & 7) == 5) {
			o.base = NO_REGISTER;
			disp = 4;
		}
	}
	o.disp = take_disp(r, disp);
	return o;
}

static struct operation plain(enum kind kind)
{
	return (struct operation){ .kind = kind };
}

static struct operation two_byte(struct reader *r)
{
	uint8_t op = take(r);

	if (op == 0x05)
		return plain(SYSCALL);
	if (op == 0x38 || op == 0x3a) {
		take(r);
		return operand(r);
	}
	/* Prefetches and long no-operations name an operand and do not touch it. */
	if (op == 0x0d || (op >= 0x18 && op <= 0x1f))
		return plain(PRIVATE);
	if ((op >= 0x04 && op <= 0x0e) || (op >= 0x30 && op <= 0x37) || op == 0x77 ||
	    (op >= 0x80 && op <= 0x8f) || (op >= 0xa0 && op <= 0xa2) ||
	    (op >= 0xa8 && op <= 0xaa) || (op >= 0xc8 && op <= 0xcf))
		return plain(PRIVATE);
	return operand(r);
}

static bool has_operand(uint8_t op)
{
	if (op < 0x40)
		return (op & 7) < 4;
	if (op >= 0x80 && op <= 0x8f)
		return op != 0x8d;	/* lea */
	return op == 0x63 || op == 0x69 || op == 0x6b || op == 0xc0 || op == 0xc1 || op == 0xc6 ||
	       op == 0xc7 || (op >= 0xd0 && op <= 0xd3) || (op >= 0xd8 && op <= 0xdf) ||
	       op == 0xf6 || op == 0xf7 || op == 0xfe || op == 0xff;
}

static bool is_prefix(uint8_t op)
{
	return op == 0x66 || op == 0x67 || op == 0xf0 || op == 0xf2 || op == 0xf3 || op == 0x26 ||
	       op == 0x2e || op == 0x36 || op == 0x3e || op == 0x64 || op == 0x65;
}

/* The vector prefixes hold the bits of rex inverted, in their second byte. */
static struct operation vector(struct reader *r, unsigned more)
{
	uint8_t bits = take(r);

	if (more) {
		r->rex_x = !(bits & 0x40);
		r->rex_b = !(bits & 0x20);
	}
	for (unsigned i = 1; i < more; i++)
		take(r);
	return take(r) == 0x77 ? plain(PRIVATE) : operand(r);
}

static struct operation decode(struct reader *r)
{
	uint8_t op = take(r);

	for (; is_prefix(op); op = take(r))
		r->fs |= op == 0x64 || op == 0x65;
	if (op >> 4 == 4) {
		r->rex_b = op & 1;
		r->rex_x = op & 2;
		op = take(r);
	}
	if (op == 0x0f)
		return two_byte(r);
	if (op == 0xc5 || op == 0xc4 || op == 0x62)
		return vector(r, op == 0xc5 ? 0 : op == 0xc4 ? 2 : 3);
	if ((op >= 0xa4 && op <= 0xa7) || (op >= 0xaa && op <= 0xaf))
		return plain(STRING);
	if (op >= 0xa0 && op <= 0xa3)
		return plain(UNKNOWN);
	return has_operand(op) ? operand(r) : plain(PRIVATE);
}

/* ---- the process ---- */

static const struct operation *operation_at(pid_t pid, uint64_t at)
{
	struct operation *o = &cache[(at ^ at >> 16) % CACHE];
	struct reader r = { .next = 0 };

	if (o->at == at)
		return o;
	for (unsigned i = 0; i < sizeof r.text; i += sizeof(long)) {
		long word = ptrace(PTRACE_PEEKTEXT, pid, at + i, 0);

		memcpy(r.text + i, &word, sizeof word);
	}
	*o = decode(&r);
	o->at = at;
	return o;
}

static uint64_t value_of(const struct user_regs_struct *regs, uint8_t number)
{
	const uint64_t values[] = {
		regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp, regs->rbp,
		regs->rsi, regs->rdi, regs->r8,	 regs->r9,  regs->r10, regs->r11,
		regs->r12, regs->r13, regs->r14, regs->r15, 0,
	};

	return values[number];
}

static bool is_in(uint64_t address, const struct touch_range *ranges, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (address - ranges[i].base < ranges[i].bytes)
			return true;
	return false;
}

struct touch touch_next(pid_t pid, const struct touch_range *ranges, unsigned n)
{
	struct user_regs_struct regs;
	const struct operation *o;
	struct touch touch = { .is_syscall = false };

	touch.at = stepper_address(pid);
	o = operation_at(pid, touch.at);
	touch.is_syscall = o->kind == SYSCALL;
	if (touch.is_syscall)
		touch.call = (uint64_t)ptrace(PTRACE_PEEKUSER, pid,
					      offsetof(struct user_regs_struct, rax), 0);
	if (!n || o->kind == PRIVATE || o->kind == SYSCALL || ptrace(PTRACE_GETREGS, pid, 0, &regs))
		return touch;
	touch.address = o->kind == STRING ? regs.rdi
					  : value_of(&regs, o->base) + (uint64_t)o->disp +
						    (value_of(&regs, o->index) << o->scale);
	if (o->kind == STRING && is_in(regs.rsi, ranges, n))
		touch.address = regs.rsi;
	touch.is_shared = o->kind == UNKNOWN || ((o->kind == OPERAND || o->kind == STRING) &&
						 is_in(touch.address, ranges, n));
	return touch;
}

#else

struct touch touch_next(pid_t pid, const struct touch_range *ranges, unsigned n)
{
	(void)pid, (void)ranges, (void)n;
	return (struct touch){ .is_shared = true };
}

#endif
