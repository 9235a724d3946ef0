/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * brood: processes, queues, locks and what they need, in shared memory, for C programs.
 *
 * This header brings in every object; each has a header of its own below brood/, and half of each
 * of those is prose. What holds for all of them is said in brood/base.h.
 */
#ifndef BROOD_H
#define BROOD_H

#include <brood/barrier.h>
#include <brood/base.h>
#include <brood/broadcast.h>
#include <brood/buffer.h>
#include <brood/condition.h>
#include <brood/contention.h>
#include <brood/counter.h>
#include <brood/event.h>
#include <brood/handle.h>
#include <brood/lock.h>
#include <brood/once.h>
#include <brood/pipe.h>
#include <brood/pool.h>
#include <brood/process.h>
#include <brood/queue.h>
#include <brood/ring.h>
#include <brood/rwlock.h>
#include <brood/segment.h>
#include <brood/semaphore.h>
#include <brood/subprocess.h>
#include <brood/wait.h>

#endif
