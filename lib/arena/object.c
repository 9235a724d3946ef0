/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making, finding and destroying objects; object.h tells how. */
#include <string.h>

#include "arena/object.h"

static uint64_t live_magic(const struct brood_segment *segment, const void *object,
			   enum brood__kind kind)
{
	return brood__magic(kind, brood__offset(segment, object));
}

int brood__object_gone(const struct brood_segment *segment, const void *object,
		       enum brood__kind kind)
{
	const struct brood__object *header = object;

	return atomic_load_explicit(&header->magic, memory_order_relaxed) ==
	       ~live_magic(segment, object, kind) ? -ESTALE : -EBADF;
}

void *brood__object_make(struct brood_segment *segment, enum brood__kind kind, const char *name,
			 size_t bytes, size_t commit,
			 void (*fill)(void *object, const void *shape), const void *shape)
{
	struct brood__object *object;

	if (name && (!*name || strlen(name) >= BROOD__NAME_MAX)) {
		errno = *name ? ENAMETOOLONG : EINVAL;
		return NULL;
	}
	object = brood__block_claim(segment, bytes, commit);
	if (!object)
		return NULL;
	fill(object, shape);
	object->bytes = bytes;
	memset(object->name, 0, sizeof(object->name));
	if (name) {
		strcpy(object->name, name);
		if (brood__object_alone(segment, kind, object)) {
			brood__block_drop(segment, object);
			errno = EEXIST;
			return NULL;
		}
	}
	atomic_store_explicit(&object->magic, live_magic(segment, object, kind),
			      memory_order_release);	/* A7 */
	brood__block_publish(segment, object, kind);
	return object;
}

void *brood__object_find(struct brood_segment *segment, enum brood__kind kind, const char *name)
{
	void *object;

	if (!name || !*name || strlen(name) >= BROOD__NAME_MAX) {
		errno = EINVAL;
		return NULL;
	}
	object = brood__object_named(segment, kind, name);
	if (object && brood__object_is_sound(segment, object))
		return object;
	errno = object ? EPROTO : ENOENT;
	return NULL;
}

int brood__object_destroy(const struct brood__call *call, enum brood__kind kind,
			  void (*forget)(struct brood_segment *segment, void *object))
{
	struct brood__object *object = call->object;
	uint64_t live = live_magic(call->segment, object, kind);

	/* A7, W1; H1 with the fence in reclaim() of heap.c */
	if (!atomic_compare_exchange_strong(&object->magic, &live, ~live)) {
		brood__object_leave(call);
		return -ESTALE;
	}
	brood__wake_sleepers(&call->segment->members);
	if (forget)
		forget(call->segment, object);
	object->name[0] = 0;
	if (brood__block_retire(call->segment, object))
		brood__block_part(call->segment, object);
	brood__object_leave(call);
	return 0;
}

bool brood__object_swept(struct brood_segment *segment, void *object, enum brood__kind kind)
{
	if (brood__object_alive(segment, object, kind))
		return true;
	((struct brood__object *)object)->name[0] = 0;
	brood__block_retire(segment, object);
	return false;
}
