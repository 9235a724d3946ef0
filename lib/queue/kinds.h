/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What each kind of object tells floor 5; beside the object's other calls. */
#ifndef BROOD_KINDS_H
#define BROOD_KINDS_H

#include "arena/arena.h"
#include "wait/waitable.h"

extern const struct brood__kind_ops brood__queue_kind, brood__ring_kind, brood__broadcast_kind,
	brood__pipe_kind, brood__buffer_kind;
extern const struct brood__waitable_ops brood__queue_waitable, brood__ring_waitable,
	brood__conn_waitable, brood__broadcast_waitable;

#endif
