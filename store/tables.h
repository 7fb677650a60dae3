/* SPDX-License-Identifier: Apache-2.0
 * store/tables.h - the databases by name: get, put, delete, and cursors. Bytes in, bytes out; records are rec.h's.
 *
 * Reads without a transaction see what is committed, hold no lock when they return, and are tried again by
 * themselves when they lose against a writer. Inside a transaction FB_EAGAIN means: give up, env_write() runs all of
 * it again. FB_EIO: logged here. A broken environment ends the process (env.h). */
#ifndef STORE_TABLES_H
#define STORE_TABLES_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum env_name { ENV_state, ENV_queue, ENV_COUNT };

enum table {
#define TABLE(name, env, version, key, value, help) TABLE_##name,
#include "store/tables.def"
#undef TABLE
	TABLE_COUNT
};

struct env;
struct txn;                     /* a write transaction: what env_write() hands out */

const char *table_name(enum table t);
enum env_name table_env(enum table t);          /* the only environment that it may be used with */

/* The record is appended to out. FB_ENOENT: there is none. x: NULL, or the transaction whose own writes count. */
int table_get(struct env *e, struct txn *x, enum table t, struct slice key, struct buf *out);
bool table_has(struct env *e, enum table t, struct slice key);
int table_has_in(struct txn *x, enum table t, struct slice key);        /* 0, FB_ENOENT, FB_EAGAIN, FB_EIO */
int table_put(struct txn *x, enum table t, struct slice key, struct slice value);
int table_del(struct txn *x, enum table t, struct slice key);           /* FB_ENOENT: was not there */
/* Deletes at most max records whose key starts with prefix (empty: any). *count says how many. */
int table_del_prefix(struct txn *x, enum table t, struct slice prefix, uint64_t max, uint64_t *count);

/* A cursor holds a lock on the page it stands on: a short life, never over a turn of the loop. */
struct cursor;
int cursor_open(struct env *e, struct txn *x, enum table t, struct cursor **out);
/* NULL is allowed. Its last change may wait until then: 0, FB_EAGAIN, FB_EIO. */
int cursor_close(struct cursor *c);
/* To the first key >= key, or the next one. FB_ENOENT: the end. Without a transaction FB_EAGAIN is possible here: seek
 * again. Reads in bulk once it is clear that a run of records is wanted. */
int cursor_seek(struct cursor *c, struct slice key);
/* To the last key < key; empty: to the last one of all. */
int cursor_before(struct cursor *c, struct slice key);
int cursor_next(struct cursor *c);
struct slice cursor_key(const struct cursor *c);        /* borrowed until the cursor moves or closes */
struct slice cursor_value(const struct cursor *c);

/* For changes in the order of their keys: each goes on at the page of the one before it, rather than from the root. */
int cursor_open_edit(struct txn *x, enum table t, struct cursor **out);
/* To that key; the first bytes of its record, at most max: *len of them. FB_ENOENT: there is none. */
int cursor_peek(struct cursor *c, struct slice key, uint8_t *out, size_t max, size_t *len);
int cursor_del(struct cursor *c);                       /* the record that it was just moved to */
int cursor_put(struct cursor *c, struct slice key, struct slice value);

#endif
