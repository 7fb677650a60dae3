/* SPDX-License-Identifier: Apache-2.0
 * common/config/dirs.h - where a node keeps its things when the configuration does not say: the daemon and fubar-admin
 * must agree.
 * In a unit of systemd the daemon (c is not NULL) uses the directories that were made for it: $RUNTIME_DIRECTORY,
 * $STATE_DIRECTORY, $LOGS_DIRECTORY. */
#ifndef COMMON_CONFIG_DIRS_H
#define COMMON_CONFIG_DIRS_H

#include "common/config/config.h"

/* run_dir of c; if empty (or c is NULL): /run/fubar for root, else $XDG_RUNTIME_DIR/fubar, else the fubar/run directory
 * of the user's state. Absolute unless the configuration's is not. Not made. 0, or FB_ENOENT: the user has no home. */
int dirs_run(const struct config *c, char *out, size_t size);
/* data_dir of c; if empty: /var/lib/fubar for root, else $XDG_STATE_HOME/fubar, else $HOME/.local/state/fubar. */
int dirs_data(const struct config *c, char *out, size_t size);
/* log.dir of c; if empty: /var/log/fubar for root, else fubar/log in the user's state directory. */
int dirs_log(const struct config *c, char *out, size_t size);

#endif
