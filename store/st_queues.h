/* SPDX-License-Identifier: Apache-2.0
 * store/st_queues.h - what waits in durable sessions, kept over a graceful stop: opaque parts of a worker's making. */
#ifndef STORE_ST_QUEUES_H
#define STORE_ST_QUEUES_H

#include "store/slots.h"

struct txn;

/* Requests of a worker. Only the owner of an id may write: FB_EOWNER otherwise. */
void queues_do_put(struct slot *t, struct slice payload);
void queues_do_del(struct slot *t, struct slice payload);
/* Deletes what is kept of a session, in the transaction of its row. 0, or FB_EAGAIN, FB_EIO. */
int queues_del_in(struct txn *x, struct slice client_id);
/* Sends the parts of a session behind its row, in their order. */
void queues_send(struct slot *t, struct slice client_id);

#endif
