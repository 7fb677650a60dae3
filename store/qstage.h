/* SPDX-License-Identifier: Apache-2.0
 * store/qstage.h - changes of the queues, gathered over one transaction and written at its end: sorted by their keys, a
 * PUT and its DEL gone before Berkeley DB sees them, counts of messages that wait in several sessions changed once.
 *
 * The committer's thread alone. What is given to qstage_apply() must stay until qstage_end(). */
#ifndef STORE_QSTAGE_H
#define STORE_QSTAGE_H

#include "store/env.h"
#include "store/rec.h"

struct qstage;

struct qstage *qstage_new(void);
void qstage_free(struct qstage *q);                     /* NULL is allowed */

/* Forgets what was gathered. */
void qstage_begin(struct qstage *q);
/* The operations of a Q_OPS message, checked by qstage_weigh(). skipped: the numbers of items that were not put are
 * appended. Wills are st_wills.h's. A dropped session with many rows is marked: qstage_drop() goes on with it. */
int qstage_apply(struct qstage *q, struct txn *x, struct rec_counts *counts, struct slice ops, struct buf *skipped);
/* Drops a part of a session; it is marked in qmeta until nothing is left (*more: not yet). */
int qstage_drop(struct qstage *q, struct txn *x, struct rec_counts *counts, uint64_t qid, bool *more);
int qstage_end(struct qstage *q, struct txn *x, struct rec_counts *counts);

/* What applying them costs: bytes for batch_op.bytes, and whether anything is put that takes room. FB_EPROTO: damaged. */
struct qstage_weight { size_t bytes; uint32_t rows; bool grows, has_ids, has_wills; };
int qstage_weigh(struct slice ops, struct qstage_weight *out);

/* The key under which a session's drop is noted: 0: not such a key. */
uint64_t qstage_mark_of(struct slice key);
struct slice qstage_mark_start(void);

#endif
