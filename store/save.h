/* SPDX-License-Identifier: Apache-2.0
 * store/save.h - `fubar-admin backup DIR`: a copy of both environments while they are in use.
 *
 * A thread of its own copies into DIR.incomplete, which becomes DIR when all of it is on the disk; so DIR is complete or is
 * not there. The loop says how far it is. */
#ifndef STORE_SAVE_H
#define STORE_SAVE_H

#include "store/admin.h"
#include "store/files.h"

struct save;

admin_fn save_admin;
/* Before the environments are closed: a backup that runs ends without result. Blocks, shortly. */
void save_stop(struct store *s);

/* A row that says how far a job is: "progress" with bytes and of. */
void save_put_progress(struct buf *b, const struct files_job *j);

#endif
