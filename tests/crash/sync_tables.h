/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of calls that step_sync.c goes through, one for each kind of object.
 */
#ifndef TESTS_CRASH_SYNC_TABLES_H
#define TESTS_CRASH_SYNC_TABLES_H

#include "sync_scene.h"

/* Each ends with a row without a name. */
extern const struct sync_case lock_cases[];

#endif
