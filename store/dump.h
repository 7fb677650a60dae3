/* SPDX-License-Identifier: Apache-2.0
 * store/dump.h - records as rows of named fields, and back: what export and import send. The field `type` says which
 * table; members and values are described in fubar-admin(8). What only this node knows, such as which worker has a session,
 * is not among them. */
#ifndef STORE_DUMP_H
#define STORE_DUMP_H

#include "common/base/buf.h"
#include "store/tables.h"

/* Appends fields. FB_ENOENT: such a record is not exported; FB_ECORRUPT, FB_EVERSION. */
int dump_put(struct buf *b, enum table t, struct slice key, struct slice value);

/* The same for a record of `items`, whose message may be in `bodies`: msg, as the record has it. FB_ECORRUPT: it is none. */
struct rec_item;
int dump_put_message(struct buf *b, struct slice key, const struct rec_item *r, struct slice msg);

/* A record of fields: key and value are appended. 0; FB_EINVAL: why says what is wrong with which member. */
#define DUMP_WHY_MAX 160
int dump_take(struct slice fields, enum table *t, struct buf *key, struct buf *value, char why[DUMP_WHY_MAX]);

#endif
