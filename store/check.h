/* SPDX-License-Identifier: Apache-2.0
 * store/check.h - `fubar-admin store check`: reads every record while the store is in use, a slice at a time, and holds
 * the tables against each other. */
#ifndef STORE_CHECK_H
#define STORE_CHECK_H

#include "store/admin.h"

admin_fn check_admin;
/* The records of one table that can be read by themselves: 0, FB_ECORRUPT or FB_EVERSION, and *why. */
int check_record(enum table t, struct slice key, struct slice value, const char **why);

#endif
