/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors in words, and the version.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"

/* Where brood means something narrower than the C library's text says. */
static const struct {
	int error;
	const char *text;
} texts[] = {
	{ EAGAIN, "it would have to wait, or there may be no more processes" },
	{ EALREADY, "it is there already" },
	{ EBADF, "not an object of a segment of this process" },
	{ ECHILD, "not a child of the calling process" },
	{ EDEADLK, "the caller would wait for itself" },
	{ EFAULT, "the reference cannot be one of this segment's" },
	{ EMSGSIZE, "the message is too long" },
	{ ENOBUFS, "all buffers of the queue are held" },
	{ ENOSPC, "no memory left for the segment" },
	{ EOWNERDEAD, "the former owner died" },
	{ EPIPE, "closed, broken, or nobody is left on the other side" },
	{ EPROTO, "the segment is damaged or of another format" },
	{ EREMOTEIO, "the program has failed" },
	{ ESTALE, "the object has been destroyed" },
	{ ETIMEDOUT, "the time is over" },
	{ EUSERS, "the segment has no room for another member" },
	{ EXDEV, "the segment belongs to another pid namespace" },
};

const char *brood_strerror(int error)
{
	const char *text;

	error = error == INT32_MIN ? INT32_MAX : abs(error);
	if (error == 0)
		return "success";
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].error == error)
			return texts[i].text;
	text = strerrordesc_np(error);
	return text ? text : "unknown error";
}

#define TEXT_OF(x) #x
#define VERSION(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *brood_version(void)
{
	return VERSION(BROOD_VERSION_MAJOR, BROOD_VERSION_MINOR, BROOD_VERSION_PATCH);
}
