/* SPDX-License-Identifier: Apache-2.0
 * store/admin.h - commands of fubar-admin that the store answers, and what their handlers need. */
#ifndef STORE_ADMIN_H
#define STORE_ADMIN_H

#include "common/admin/row.h"
#include "common/admin/words.h"
#include "store/tables.h"

struct store;
struct change;

#define ADMIN_ARGS_MAX 8

struct admin_call {
	struct store *store;
	uint64_t id;
	size_t argc;
	struct slice argv[ADMIN_ARGS_MAX];      /* without the command's own words; borrowed for the call */
};

/* Answers with admin_done(), at once or when what it asked for is committed. */
typedef void admin_fn(const struct admin_call *call);

void admin_do(struct store *s, struct slice payload);
/* text NULL: that of the code. */
void admin_done(struct store *s, uint64_t id, int code, const char *text);
/* One row: put fields, then end. */
struct buf *admin_row_begin(struct store *s, uint64_t id);
void admin_row_end(struct store *s);
/* A change's after function: answers the request change->id with its code. */
void admin_after_change(struct change *c);
/* A row for each record, a slice at a time, then the end. row puts fields; nonzero: a bad record. */
void admin_list(const struct admin_call *call, enum table t, int (*row)(struct buf *b, struct slice key,
    struct slice value));
void admin_drained(struct store *s);            /* the supervisor's channel has room again */

#endif
