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
 * appended. Wills are st_wills.h's. unfinished: the qids of dropped queues of which rows are
 * left are appended (le64); may be NULL. */
int qstage_apply(struct qstage *q, struct txn *x, struct rec_counts *counts, struct slice ops, struct buf *skipped,
    struct buf *unfinished);
/* Drops a part of a queue, up to the row last (UINT64_MAX: that is the last now). Until nothing is left (*more) it is
 * marked in qmeta with last: rows that are put behind it meanwhile, into the queue of a group that is there again, stay. */
int qstage_drop(struct qstage *q, struct txn *x, uint64_t qid, uint64_t last, bool *more);
int qstage_end(struct qstage *q, struct txn *x, struct rec_counts *counts);

/* What applying them costs: bytes for batch_op.bytes, and whether anything is put that takes room. FB_EPROTO: damaged. */
struct qstage_weight { size_t bytes; uint32_t rows; bool grows, has_ids, has_wills; };
int qstage_weigh(struct slice ops, struct qstage_weight *out);

#endif
