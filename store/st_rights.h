/* SPDX-License-Identifier: Apache-2.0
 * store/st_rights.h - rules of rights and groups of accounts: commands on them, and telling the workers. */
#ifndef STORE_ST_RIGHTS_H
#define STORE_ST_RIGHTS_H

#include "store/admin.h"

struct slot;
struct txn;

/* All rules and groups. FB_EAGAIN: ask again, it starts anew. */
int rights_send_all(struct slot *t);

/* An account is deleted: in its transaction, then when that is committed. */
int groups_run_account_del(struct txn *x, struct slice account);
void groups_after_account_del(struct store *s, struct slice account);

/* A rule or a group was written: all workers are told. */
void rights_tell(struct store *s, enum table t, struct slice key, struct slice value);

admin_fn rights_admin_set, rights_admin_del, rights_admin_all, rights_admin_check;
admin_fn groups_admin_add, groups_admin_del, groups_admin_all;

#endif
