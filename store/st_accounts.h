/* SPDX-License-Identifier: Apache-2.0
 * store/st_accounts.h - the table of accounts, and the commands on it. */
#ifndef STORE_ST_ACCOUNTS_H
#define STORE_ST_ACCOUNTS_H

#include "store/admin.h"
#include "store/rec.h"

/* Reads an account into buf, which out's slices borrow. FB_ENOENT; FB_ECORRUPT, FB_EVERSION: logged. */
int accounts_get(struct env *e, struct slice name, struct buf *buf, struct rec_account *out);

admin_fn accounts_admin_set, accounts_admin_get, accounts_admin_del, accounts_admin_all;

#endif
