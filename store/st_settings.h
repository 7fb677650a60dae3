/* SPDX-License-Identifier: Apache-2.0
 * store/st_settings.h - configuration values set at run time: kept here, merged by the supervisor. */
#ifndef STORE_ST_SETTINGS_H
#define STORE_ST_SETTINGS_H

#include "store/admin.h"

/* OVERRIDE for each, then OVERRIDES_END. */
void settings_send_all(struct store *s);
/* Every setting is about to be cleared: what settings_clear_done() will tell the supervisor. */
struct settings_clear;
struct settings_clear *settings_clear_begin(struct store *s);
void settings_clear_end(struct store *s, struct settings_clear *c, bool cleared);       /* frees c */

/* May it be set? FB_EINVAL and *e; also when it does not go with the other values. */
struct config_error;
int settings_check(const struct store *s, struct slice path, struct slice value, struct config_error *e);
/* It was written: the supervisor is told. */
void settings_tell(struct store *s, struct slice path, struct slice record);

admin_fn settings_admin_set, settings_admin_unset;

#endif
