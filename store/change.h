/* SPDX-License-Identifier: Apache-2.0
 * store/change.h - one change of a table as an operation of the batch: what nearly all durable writes are. */
#ifndef STORE_CHANGE_H
#define STORE_CHANGE_H

#include "store/batch.h"

struct store;
struct slot;

struct change {
	struct batch_op op;
	struct store *store;
	struct slot *slot;              /* whose numbered request it is; NULL: the store's own */
	/* In the loop, with op.code, before the request is answered; may be NULL. */
	void (*after)(struct change *c);
	enum table table;
	int refusal;
	uint64_t id;                    /* the caller's: of an admin request */
	struct slice key, value;        /* in bytes */
	uint8_t bytes[];
};

/* Copies key and value. To be put by change_put(), which takes it. run: one of the functions below, or the caller's. */
struct change *change_new(struct store *s, enum table t, struct slice key, struct slice value,
    int (*run)(struct batch_op *op, struct txn *x, struct rec_counts *counts));
void change_put(struct change *c);
void change_put_numbered(struct change *c, struct slot *slot, uint64_t seq);

/* Run functions. */
int change_run_put(struct batch_op *op, struct txn *x, struct rec_counts *counts);
int change_run_del(struct batch_op *op, struct txn *x, struct rec_counts *counts);      /* not there: as well */
int change_run_take(struct batch_op *op, struct txn *x, struct rec_counts *counts);     /* not there: FB_ENOENT */
int change_run_refuse(struct batch_op *op, struct txn *x, struct rec_counts *counts);   /* answers refusal */

#endif
