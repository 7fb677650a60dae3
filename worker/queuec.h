/* SPDX-License-Identifier: Apache-2.0
 * worker/queuec.h - the queues on disk, as a worker changes and reads them (common/ipc/qops.h says what a row is).
 *
 * Changes are gathered, in their order, into one Q_OPS a turn (or each 32 KiB) and numbered; what was not answered is
 * sent again to the next store. No change fails: one that is refused for want of room, or by an error of the disk, is
 * tried again, each second, with all behind it, until it is on the disk. Nothing here blocks. */
#ifndef WORKER_QUEUEC_H
#define WORKER_QUEUEC_H

#include "common/base/list.h"
#include "common/ipc/codec.h"
#include "common/ipc/message.h"
#include "common/ipc/qops.h"

struct chan;
struct cluster_pub;
struct queuec;
struct worker;

struct queuec *queuec_new(struct worker *w);
void queuec_free(struct queuec *q);

/* storec.c's: a channel to a new store, to which everything unanswered goes again; that it is gone; what it says. */
void queuec_attach(struct queuec *q, struct chan *c);
void queuec_detach(struct queuec *q);
bool queuec_on_msg(struct queuec *q, enum ipc_type type, struct slice payload);         /* false: not for us */
/* At the end of each turn: what was gathered goes. */
void queuec_flush(struct queuec *q);

/* Called once, in the order of the changes, when it is on the disk. skipped: for a PUT, item i is not there, as its
 * session has had that QoS 2 publish: queuec_skipped(). */
struct queue_answer {
	struct slice skipped;           /* of its Q_DONE */
	uint32_t first;                 /* its first item's number there */
};
typedef void queue_done_fn(void *arg, const struct queue_answer *a);
bool queuec_skipped(const struct queue_answer *a, uint32_t item);

/* p and items are copied. done may be NULL. More than QOPS_ITEMS_MAX items: in parts, by the caller. */
void queuec_put(struct queuec *q, const struct cluster_pub *p, const struct qitem *items, uint32_t count,
    queue_done_fn *done, void *arg);
void queuec_del(struct queuec *q, uint64_t qid, uint64_t n);
void queuec_released(struct queuec *q, uint64_t qid, uint64_t n, queue_done_fn *done, void *arg);
void queuec_trim(struct queuec *q, uint64_t qid, uint64_t from, uint32_t count);
void queuec_drop(struct queuec *q, uint64_t qid);
void queuec_forget_id(struct queuec *q, uint64_t qos2_id, queue_done_fn *done, void *arg);
/* A will's row: put for a client's connection, or deleted unless it is a later connection's. */
void queuec_will_put(struct queuec *q, const struct qwill *w, const struct cluster_pub *p);
void queuec_will_del(struct queuec *q, struct slice client_id, uint64_t stamp, queue_done_fn *done, void *arg);
/* All done callbacks with this arg are forgotten. */
void queuec_cancel(struct queuec *q, const void *arg);

/* done when all changes so far are on the disk: at once, from inside the call, if they are. */
struct queue_wait {
	struct list link;
	uint64_t seq;
	void (*done)(struct queue_wait *w);
};
void queuec_wait(struct queuec *q, struct queue_wait *w, void (*done)(struct queue_wait *w));
void queuec_wait_cancel(struct queue_wait *w);          /* not waiting (link cleared): nothing */

/* The next rows of a session (from UINT64_MAX: the last alone), all changes so far applied; rows is borrowed for the call of done. The caller's until then
 * or until it is cancelled. While the store refuses changes, what it has is given, and more is 1: those that it refused
 * follow when it has them. rows->code is always 0: a read that fails is tried again. */
struct queue_get {
	struct list link;
	uint64_t qid, from;
	uint32_t max_rows, max_bytes;
	bool early;                     /* whatever was not answered yet */
	uint64_t req, min_seq;          /* queuec.c's */
	bool waits;
	bool short_of;                  /* asked for less than all changes up to min_seq */
	void (*done)(struct queue_get *g, const struct ipc_q_rows *rows);
};
void queuec_get(struct queuec *q, struct queue_get *g);
void queuec_get_cancel(struct queuec *q, struct queue_get *g);  /* not asked (link cleared): nothing */

bool queuec_idle(const struct queuec *q);       /* everything was answered */
bool queuec_full(const struct queuec *q);       /* too much waits: hold publishers back */
bool queuec_refusing(const struct queuec *q);   /* the store has no room, or its disk fails */

#endif
