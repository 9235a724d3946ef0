/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options that can grow: a struct with its size in front, as in openat2(2).
 */
#include <errno.h>
#include <string.h>

#include "platform/platform.h"

int brood__options(void *ours, size_t size, const void *theirs)
{
	const unsigned char *bytes = theirs;
	size_t given;

	memset(ours, 0, size);
	if (!theirs)
		return 0;
	memcpy(&given, theirs, sizeof(given));
	if (given == 0)
		given = size;
	if (given < sizeof(given))
		return -EINVAL;
	for (size_t i = size; i < given; i++)
		if (bytes[i])
			return -EINVAL;
	memcpy(ours, theirs, given < size ? given : size);
	return 0;
}
