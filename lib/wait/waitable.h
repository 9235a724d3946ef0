/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be waited for together with others, or by a descriptor: each kind tells how, here.
 *
 * A new kind: a name in <brood/wait.h>, an ops, and brood__waitable_register() before main.
 */
#ifndef BROOD_WAITABLE_H
#define BROOD_WAITABLE_H

#include <brood/wait.h>

#include "wait/wait.h"

#define BROOD__WAITABLE_KINDS 16u

struct brood__waitable_ops {
	uint32_t events;	/* what can be wanted */
	/* A descriptor that says it all: this, or -errno; then the rest is not needed. */
	int (*fd)(const struct brood_waitable *item);
	/* What of it lies in a segment; NULL: it does itself. */
	const void *(*home)(const void *object);
	/*
	 * The caller begins to use it: 0, BROOD__LIGHT when notifiers publish by a plain store
	 * (wait.h), or an error; where it lies, and what `look` is given.
	 */
	int (*enter)(void *object, uint32_t events, struct brood__here *here, uint64_t *state);
	/*
	 * Around all that touches the object's memory; may be NULL. False: it is there no more.
	 * Does not mind that the caller is inside a call of some object.
	 */
	bool (*hold)(const struct brood__here *here, void *object);
	void (*let_go)(const struct brood__here *here, void *object);
	/*
	 * Those of the events that are ready now. State: as enter said; 0; or the `wanted` of the
	 * caller's last wait in vain.
	 */
	uint32_t (*look)(const struct brood__here *here, void *object, uint32_t events,
			 uint64_t state);
	/* Where all are told of it; NULL: the object is no more. Without holding it: a hint. */
	struct brood__waitlist *(*list)(void *object, uint32_t event);
};

#define BROOD__LIGHT 1

/* Called by an upper floor before main. */
void brood__waitable_register(enum brood_wait_kind kind, const struct brood__waitable_ops *ops);
const struct brood__waitable_ops *brood__waitable_ops(uint32_t kind);

/* The ready ones; all that are wanted if the object is no more. */
uint32_t brood__waitable_look(const struct brood__waitable_ops *ops,
			      const struct brood__here *here, void *object, uint32_t events,
			      uint64_t state);
/*
 * Set the caller's bit in the lists of the events, or clear it. The fence is the caller's affair.
 */
void brood__waitable_mark(const struct brood__waitable_ops *ops, const struct brood__here *here,
			  void *object, uint32_t events, bool set);
/* Whether it is set, in that of one event. */
bool brood__waitable_marked(const struct brood__waitable_ops *ops, const struct brood__here *here,
			    void *object, uint32_t event);

#endif
