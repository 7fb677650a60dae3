/* SPDX-License-Identifier: Apache-2.0
 * store/batch.h - group commit: operations are queued by the loop, done many to a transaction by the committer
 * thread, flushed by another one, that takes all that is committed, and answered in their order.
 *
 * An operation that fails aborts its transaction; the batch is tried once more, then its operations one by one, so that
 * only the one at fault fails. When the disk is too full, operations are refused before Berkeley DB sees them.
 *
 * There is one for each environment; numbers and counts are in the environment's own table meta or qmeta. */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/loop.h"
#include "store/batch_stream.h"
#include "store/env.h"

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
	uint32_t updates;               /* records that it changes, for the checkpoints; 0: one */
	enum env_need need;
	bool stale;                     /* not done: of a strict stream, and does not follow */
	int code;
};

struct batch;

/* Both borrowed. threaded: false runs each batch in the loop, at the end of the turn (tests, t/sim). Reads the
 * counts from the environment. */
struct batch *batch_new(struct loop *l, struct env *e, bool threaded);
void batch_free(struct batch *b);               /* after batch_drain() */
void batch_set(struct batch *b, int64_t interval_ms, int64_t max_ops);
/* Around the run functions of each transaction, on the committer's thread: begin forgets what an earlier, aborted one
 * left; end writes what the run functions have gathered, and fails the transaction like them. Before the first put. */
struct batch_hooks {
	void (*begin)(void *arg);
	int (*end)(void *arg, struct txn *x, struct rec_counts *counts);
};
void batch_set_hooks(struct batch *b, const struct batch_hooks *hooks, void *arg);
void batch_put(struct batch *b, struct batch_op *op);
size_t batch_waiting(const struct batch *b);    /* put and not yet done */
/* Blocks until everything put is committed and done. */
void batch_drain(struct batch *b);

/* As batch_drain(), and nothing is begun until batch_resume(): the environment is written behind the batch's back. Then
 * the counts start from zero. */
void batch_hold(struct batch *b);
void batch_resume(struct batch *b);

struct batch_stats {
	uint64_t batches, writes, failed;
	uint64_t refused;               /* of the failed: for want of room */
	uint64_t flushes;
	int64_t last_flush_ns, max_flush_ns;
	struct mono flushing_since;     /* 0: no flush is under way */
};
/* As of the last done; flushing_since as of now. */
struct batch_stats batch_stats(struct batch *b);
struct rec_counts batch_counts(const struct batch *b);  /* as of the last done */

#endif
