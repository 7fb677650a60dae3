/* SPDX-License-Identifier: Apache-2.0
 * store/st_queue.h - the queues on disk: what workers put there and read, in the environment `queue`, with a batch of its
 * own. What the operations do to the tables is qstage.h's. */
#ifndef STORE_ST_QUEUE_H
#define STORE_ST_QUEUE_H

#include "store/slots.h"

struct qstage;
struct store;

/* store->q. */
struct queue {
	struct qstage *stage;           /* the committer's */
	struct list drops;              /* struct drop, that wait */
	unsigned dropping;              /* under way */
};

/* In slot.gets. */
struct queue_get {
	struct work_job job;            /* queued when min_seq is applied */
	struct list link;
	struct slot *slot;
	uint64_t req, qid, from, min_seq;
	uint32_t max_rows, max_bytes;
};

/* When both environments are open and store->qbatch is there. gone: taken; what queue_find_gone() found. */
void queue_start(struct store *s, struct buf *gone);
void queue_fini(struct store *s);               /* the batch is drained */

/* Requests of a worker. */
void queue_do_ops(struct slot *t, struct slice payload);
void queue_do_get(struct slot *t, struct slice payload);
void queue_answer(struct slot *t, uint64_t seq, int code);      /* Q_DONE, for numbers.h */
void queue_drop_slot(struct slot *t);           /* its channel is gone: nobody waits for rows */

/* The session is no more: its rows go, behind all that is queued now. */
void queue_drop(struct store *s, uint64_t qid);
size_t queue_dropping(const struct store *s);   /* sessions of which something is left */
/* n of its first and last row, as committed; none: *first > *last. 0, or FB_EIO. */
int queue_range(struct env *queue, uint64_t qid, uint64_t *first, uint64_t *last);

/* Opener: which queues have rows, but are not in known (sorted, count of them)? Appended as le64; ends early rather than take long: what is not found has another start. */
int queue_find_gone(struct env *queue, const uint64_t *known, size_t count, struct buf *out);
/* The same for those of which a part is dropped already. */
int queue_find_marked(struct env *queue, struct buf *out);

#endif
