/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t message_make(void *data, uint64_t name)
{
	uint64_t hash = name * 0x9e3779b97f4a7c15u;
	size_t length = 16 + (hash >> 32) % (MESSAGE_MAX - 15);
	unsigned char *bytes = data;

	memcpy(bytes, &name, sizeof name);
	for (size_t i = sizeof name; i < length; i++)
		bytes[i] = (unsigned char)((hash >> (i % 8) * 8) + i);
	return length;
}

uint64_t message_name(const void *data, size_t length)
{
	unsigned char right[MESSAGE_MAX];
	uint64_t name;

	if (length < 16 || length > MESSAGE_MAX)
		return 0;
	memcpy(&name, data, sizeof name);
	if (message_make(right, name) != length || memcmp(right, data, length) != 0)
		return 0;
	return name;
}

void ledger_start(struct ledger *ledger, uint64_t serial)
{
	memset(ledger, 0, sizeof *ledger);
	ledger->serial = serial;
}

uint64_t ledger_name(const struct ledger *ledger, unsigned index)
{
	return ledger->serial << 8 | index;
}

void ledger_expect(struct ledger *ledger, unsigned index, unsigned least, unsigned most,
		   enum flagged flagged)
{
	struct account *account = &ledger->account[index];

	account->known = 1;
	account->least = (uint8_t)least;
	account->most = (uint8_t)most;
	account->flagged = flagged;
}

bool ledger_fail(struct ledger *ledger, const char *format, ...)
{
	va_list list;

	if (ledger->error[0])
		return false;
	va_start(list, format);
	vsnprintf(ledger->error, sizeof ledger->error, format, list);
	va_end(list);
	return false;
}

static bool in_order(struct ledger *ledger, unsigned index)
{
	ledger->unflagged++;
	if (ledger->account[index].unordered)
		return true;
	if (index <= ledger->last)
		return ledger_fail(ledger, "reordered: message %u came after %u", index,
				   ledger->last);
	ledger->last = index;
	return true;
}

bool ledger_saw(struct ledger *ledger, uint64_t name, bool flagged)
{
	unsigned index = (unsigned)(name & 0xff);
	struct account *account = &ledger->account[index % LEDGER_MAX];

	if (name == 0)
		return ledger_fail(ledger, "torn: bytes of no message");
	if (name >> 8 != ledger->serial)
		return ledger_fail(ledger, "invented: message of another queue");
	if (index >= LEDGER_MAX || !account->known)
		return ledger_fail(ledger, "invented: message %u was never put", index);
	if (++account->seen > account->most)
		return ledger_fail(ledger, "doubled: message %u came %u times, at most %u allowed%s",
				   index, account->seen, account->most, flagged ? " (flag)" : "");
	if (flagged && account->flagged == FLAG_NEVER)
		return ledger_fail(ledger, "message %u is flagged though nobody had it", index);
	if (!flagged && account->flagged == FLAG_MUST)
		return ledger_fail(ledger, "message %u came again without the flag", index);
	if (!flagged)
		return in_order(ledger, index);
	ledger->late += ledger->unflagged > 0;
	return true;
}

unsigned ledger_due(const struct ledger *ledger)
{
	unsigned due = 0;

	for (unsigned i = 0; i < LEDGER_MAX; i++)
		if (ledger->account[i].seen < ledger->account[i].least)
			due += (unsigned)(ledger->account[i].least - ledger->account[i].seen);
	return due;
}

bool ledger_end(struct ledger *ledger)
{
	for (unsigned i = 0; i < LEDGER_MAX; i++)
		if (ledger->account[i].seen < ledger->account[i].least)
			return ledger_fail(ledger, "lost: message %u", i);
	return true;
}
