/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages longer than the elements of a ring, moved as the users of such rings do it: one ring
 * carries pointers to full buffers, a second one of the same kind brings the empty ones back.
 */
#ifndef BENCH_HANDOFF_H
#define BENCH_HANDOFF_H

#include "peer.h"

extern const struct peer handoff;

void *handoff_create(const struct peer *ring, const struct shape *shape);

#endif
