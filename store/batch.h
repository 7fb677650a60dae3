/* SPDX-License-Identifier: Apache-2.0
 * store/batch.h - group commit: operations are queued by the loop, done many to a transaction by the committer
 * thread, flushed once, and answered in their order.
 *
 * An operation that fails aborts its transaction; the batch is tried once more, then its operations one by one, so that
 * only the one at fault fails. When the disk is too full, operations are refused before Berkeley DB sees them. */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/loop.h"
#include "store/env.h"
#include "store/rec.h"

/* The numbering of one worker incarnation. The committer's while operations of it are queued; else the loop's. */
struct batch_stream {
	uint16_t slot;
	uint64_t epoch;
	struct rec_number applied;      /* committed, and refusals that a later commit will record */
	struct rec_number pending;      /* with the transaction in hand */
};

struct batch_op {
	struct list link;               /* the batch's */
	/* On the committer thread, maybe several times: changes the tables. Nonzero: the transaction fails. What is no
	 * failure of the store ("no such account") goes into op->code with result 0. */
	int (*run)(struct batch_op *op, struct txn *x, struct rec_counts *counts);
	/* In the loop, once; op->code is 0 or FB_E...; frees op. */
	void (*done)(struct batch_op *op);
	struct batch_stream *stream;    /* NULL: not numbered */
	uint64_t seq;
	size_t bytes;                   /* about; over 64 KiB gets a transaction of its own */
	enum env_need need;
	int code;
};

struct batch;

/* Both borrowed. threaded: false runs each batch in the loop, at the end of the turn (tests, t/sim). Reads the
 * counts from the environment. */
struct batch *batch_new(struct loop *l, struct env *e, bool threaded);
void batch_free(struct batch *b);               /* after batch_drain() */
void batch_set(struct batch *b, int64_t interval_ms, int64_t max_ops);
void batch_put(struct batch *b, struct batch_op *op);
size_t batch_waiting(const struct batch *b);    /* put and not yet done */
/* Blocks until everything put is committed and done. */
void batch_drain(struct batch *b);

struct batch_stats { uint64_t batches, writes, failed; };
struct batch_stats batch_stats(const struct batch *b);
struct rec_counts batch_counts(const struct batch *b);  /* as of the last done */

/* Reads the numbering of a worker incarnation; not there: zero. */
int batch_stream_load(struct env *e, uint16_t slot, uint64_t epoch, struct batch_stream *s);
/* The answer to seq <= r->last: 0, or the code with which it failed. */
int batch_answer(const struct rec_number *r, uint64_t seq);
/* Deletes the numbering of older incarnations of the slot; in a run function. */
int batch_stream_forget(struct txn *x, uint16_t slot, uint64_t epoch);

#endif
