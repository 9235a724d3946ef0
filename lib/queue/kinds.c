/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All kinds of objects. One table, so that a program that is linked statically and uses only one of
 * them can nevertheless repair what a dead member left in all the others. Pools add themselves:
 * they exist in the family arena only, so where there is one, its code has been linked.
 */
#include "queue/kinds.h"

const struct brood__kind_ops *brood__kinds[BROOD__KINDS] = {
	[BROOD__KIND_QUEUE] = &brood__queue_kind,
	[BROOD__KIND_RING] = &brood__ring_kind,
	[BROOD__KIND_BROADCAST] = &brood__broadcast_kind,
	[BROOD__KIND_PIPE] = &brood__pipe_kind,
	[BROOD__KIND_BUFFER] = &brood__buffer_kind,
};
