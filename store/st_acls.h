/* SPDX-License-Identifier: Apache-2.0
 * store/st_acls.h - the table of IP rules: commands on it, and telling the workers. */
#ifndef STORE_ST_ACLS_H
#define STORE_ST_ACLS_H

#include "store/admin.h"

struct slot;

/* ACL_CLEAR, then all rules. FB_EAGAIN: ask again, it starts anew. */
int acls_send_all(struct slot *t);

/* A rule was written: all workers are told. */
void acls_tell(struct store *s, struct slice key, struct slice value);

admin_fn acls_admin_set, acls_admin_get, acls_admin_del, acls_admin_all;

#endif
