/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of calls that step_sync.c goes through, one for each kind of object.
 */
#ifndef TESTS_CRASH_SYNC_TABLES_H
#define TESTS_CRASH_SYNC_TABLES_H

#include "sync_scene.h"

/* Each ends with a row without a name. */
extern const struct sync_case lock_cases[];
extern const struct sync_case semaphore_cases[];
extern const struct sync_case event_cases[];
extern const struct sync_case counter_cases[];
extern const struct sync_case once_cases[];
extern const struct sync_case rwlock_cases[];
extern const struct sync_case condition_cases[];
extern const struct sync_case barrier_cases[];

#endif
