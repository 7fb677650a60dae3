/* SPDX-License-Identifier: Apache-2.0
 * store/backup.h - a copy of an environment that is in use, and whether the tables of one that is not are sound. Both
 * block: they are for a thread. */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "store/env.h"
#include "store/files.h"

/* Into the empty folder target: all that was committed before is in it, and what was committed meanwhile in part, as
 * after a crash: it is to be opened with env_config.copied set. keep_free: as much must stay free on target's disk. Counts
 * in j, which says why not. */
int backup_env(struct env *e, const char *target, int64_t keep_free, struct files_job *j);

/* Looks at every page of a table in an environment that nobody has open. dir: as in env_config. FB_ECORRUPT and j says
 * which. */
int backup_verify(const char *dir, enum table t, struct files_job *j);

#endif
