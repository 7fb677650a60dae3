/* SPDX-License-Identifier: Apache-2.0
 * store/slots.h - the workers: one slot each, the incarnation that speaks for it, its channel and its numbers.
 *
 * An incarnation: given (its channel came), hello, named (it told all sessions that it has), loading, loaded. It ends
 * when its channel was read to the end, all its writes are done, and the supervisor said that it is dead or brought
 * a successor; only then the successor's channel is read. After a start of the store, who owns what is known when all
 * workers have named theirs: until then OPEN waits, and no row is given out. */
#ifndef STORE_SLOTS_H
#define STORE_SLOTS_H

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/base/wheel.h"
#include "common/ipc/chan.h"
#include "store/numbers.h"
#include "store/work.h"

struct store;
struct sessions_load;

struct slot {
	struct store *store;
	unsigned number;
	uint64_t epoch;                 /* 0: no incarnation */
	struct chan *chan;              /* NULL: not there, or read to its end */
	bool hello, named, loaded, gone;
	bool was_loaded;                /* by a store before this one */
	struct numbers writes;          /* SESSION_PUT and its like */
	struct numbers queue;           /* Q_OPS */
	uint64_t gone_epoch;            /* highest epoch known to be over */
	int next_fd;                    /* the successor's channel, -1: none */
	uint64_t next_epoch;
	struct sessions_load *load;     /* while rows are sent */
	struct list gets;               /* struct queue_get */
	struct list parked;             /* struct work_job that wait for room in the channel */
	struct list opens;              /* struct open_wait of any slot, until this one has its rows */
};

struct slots {
	struct slot *slot;              /* store->slot_count of them */
	bool all_named;
	bool grace_over;                /* no more channels are to be expected at once */
	struct timer grace;
	struct list opens;              /* struct open_wait, until all_named */
};

void slots_init(struct store *s);               /* when slot_count is known */
void slots_fini(struct store *s);
void slots_start(struct store *s);              /* the environment is open */

/* The supervisor's words; fd is taken. */
void slots_given(struct store *s, unsigned number, uint64_t epoch, int fd);
void slots_gone(struct store *s, unsigned number, uint64_t epoch);

/* The slot has a living incarnation that said hello. */
bool slot_live(const struct slot *t);
/* A numbered write: is it new? false: it was sent again, and is answered here. */
bool slot_accept(struct slot *t, uint64_t seq);
/* Puts a numbered write into the batch; its done function calls slot_written() first. */
void slot_put(struct slot *t, struct batch_op *op, uint64_t seq);
void slot_written(struct slot *t, const struct batch_op *op);
/* Writes of the slot's incarnation are over: is the incarnation? */
void slot_check_over(struct slot *t);
/* A retained write with this number of that incarnation is applied, or never will be. */
bool slots_applied(const struct store *s, unsigned number, uint64_t epoch, uint64_t seq);
/* The job waits until the channel has room, then goes back to the store's work. */
void slot_park(struct slot *t, struct work_job *j);

/* For every worker that said hello: for (t = slots_next(s, NULL); t != NULL; t = slots_next(s, t)) */
struct slot *slots_next(struct store *s, struct slot *t);

#endif
