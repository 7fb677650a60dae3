/* SPDX-License-Identifier: Apache-2.0
 * common/config/dirs.h - where a node keeps its things when the configuration does not say: the daemon and fubar-admin
 * must agree. */
#ifndef COMMON_CONFIG_DIRS_H
#define COMMON_CONFIG_DIRS_H

#include "common/config/config.h"

/* run_dir of c; if empty (or c is NULL): /run/fubar for root, else $XDG_RUNTIME_DIR/fubar, else the fubar/run directory
 * of the user's state. Absolute unless the configuration's is not. Not made. 0, or FB_ENOENT: the user has no home. */
int dirs_run(const struct config *c, char *out, size_t size);
/* data_dir of c; if empty: /var/lib/fubar for root, else $XDG_STATE_HOME/fubar, else $HOME/.local/state/fubar. */
int dirs_data(const struct config *c, char *out, size_t size);

#endif
