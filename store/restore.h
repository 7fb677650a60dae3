/* SPDX-License-Identifier: Apache-2.0
 * store/restore.h - a backup becomes the data, in two steps, so that a bad one changes nothing.
 *
 * `fubar-store --restore`, beside the store that runs: copies the backup into DATA/restore.incomplete, opens it there with
 * recovery, looks at every page, and calls it DATA/restore. The next store that opens DATA finds that: it puts the
 * files of today into DATA/before-restore-TIME, and those in their place. Each step may be cut short anywhere. The
 * supervisor has read DATA/restore/epoch before it starts that store. */
#ifndef STORE_RESTORE_H
#define STORE_RESTORE_H

#include "store/files.h"

/* main() of --restore DIR DATA MIN_FREE: the first step. fd: the channel to the supervisor, which gets rows of progress,
 * one row of what will be restored, and ADMIN_DONE, all with the id 1. */
int restore_main(int argc, char **argv, int fd);

/* The first step. Blocks. aside: the name that the files of today will have in DATA. */
struct manifest;
int restore_prepare(struct files_job *j, const char *dir, const char *data_dir, int64_t min_free, struct manifest *m,
    char aside[64]);
/* The second step, if the first was done; under the lock of the data directory. FB_EIO: logged. */
int restore_apply(const char *data_dir);

#endif
