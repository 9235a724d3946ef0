/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every brood object shares: errors, the one timeout parameter, options that grow.
 *
 * Errors. Calls return 0 or a count on success and a negative errno on failure (-ETIMEDOUT,
 * -EAGAIN, -EPIPE, ...); calls that create something return NULL and set errno. Nothing aborts the
 * program and nothing is printed.
 *
 * Timeouts. Every call that can wait takes one parameter, last:
 *
 *	0                 try once, do not wait: -EAGAIN when it would have had to
 *	BROOD_FOREVER     wait until it is done
 *	brood_ms(n)       wait at most n milliseconds from now: -ETIMEDOUT; n <= 0 is the same as 0
 *	brood_us(n)       the same in microseconds
 *	brood_until(t)    wait until brood_now() reaches t nanoseconds: -ETIMEDOUT
 *	a negative n      that comes from none of these is the same as 0
 *
 * The clock is CLOCK_MONOTONIC; it is read only when a call really has to wait. A signal whose
 * handler returns does not end a wait: it goes on with the time that is left.
 *
 * Options are structs in which zero means the default. Each begins with opts_size: leave it 0, or
 * set it to sizeof the struct; a size larger than the library knows is accepted as long as the part
 * that it does not know is zero, and refused with -EINVAL otherwise.
 *
 * Members. Every thread that uses an object of a segment becomes a member of that segment by its
 * first call, and stops being one when it ends, however it ends. A forked child is a new member.
 * The number of members at one time is limited (256 in a segment unless an option says less): the
 * call that would be one too many gets -EUSERS and changes nothing.
 *
 * Signals. A call that a signal handler makes on an object while it interrupted another call on an
 * object of the same segment in the same thread gets -EDEADLK and changes nothing.
 */
#ifndef BROOD_BASE_H
#define BROOD_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BROOD_VERSION_MAJOR 0
#define BROOD_VERSION_MINOR 1
#define BROOD_VERSION_PATCH 0

#if defined(__GNUC__)
#define BROOD_API __attribute__((visibility("default")))
#else
#define BROOD_API
#endif

/* Objects that lie in the user's memory begin a line of 64 bytes. */
#ifdef __cplusplus
#define BROOD_ALIGNED alignas(64)
#else
#define BROOD_ALIGNED _Alignas(64)
#endif

/* Wait for as long as it takes. */
#define BROOD_FOREVER INT64_MAX

/* The most members that a segment can have at one time. */
#define BROOD_MEMBERS_MAX 256

/* A timeout of n microseconds from the moment the call has to wait. Never blocks. */
static inline int64_t brood_us(int64_t n)
{
	if (n <= 0)
		return 0;
	return n < INT64_MAX / 2000 ? n * 1000 : INT64_MAX / 2;
}

/* A timeout of n milliseconds from the moment the call has to wait. */
static inline int64_t brood_ms(int64_t n)
{
	return n < INT64_MAX / 2000000 ? brood_us(n * (n > 0 ? 1000 : 0)) : INT64_MAX / 2;
}

/*
 * A timeout that ends when brood_now() reaches t nanoseconds. It is absolute: it can be handed to
 * several calls in turn. A t in the past is the same as 0, but gives -ETIMEDOUT.
 */
static inline int64_t brood_until(int64_t t)
{
	if (t <= 0)
		return INT64_MIN;
	return INT64_MIN + (t < INT64_MAX / 2 ? t : INT64_MAX / 2 - 1);
}

/* Nanoseconds on CLOCK_MONOTONIC, the clock of brood_until. */
BROOD_API int64_t brood_now(void);

/*
 * A text for an error that brood returned, negative or positive, in the words that fit brood
 * (-EOWNERDEAD, -EUSERS, ...). The text is constant and needs no freeing. Thread safe.
 */
BROOD_API const char *brood_strerror(int error);

/* The version of the library that is running, as "0.1.0". */
BROOD_API const char *brood_version(void);

#ifdef __cplusplus
}
#endif

#endif
