/* SPDX-License-Identifier: Apache-2.0
 * worker/connect_int.h - a CONNECT that is being worked on: of do_connect.c, which makes it, and connect.c alone. */
#ifndef WORKER_CONNECT_INT_H
#define WORKER_CONNECT_INT_H

#include "worker/connect.h"
#include "worker/session.h"

struct open {
	struct store_open ask;
	struct hmap_node node;          /* in worker->opens */
	struct worker *worker;
	struct conn *conn;              /* NULL: gone */
	struct session *session;        /* from the last step on */
	struct will *will;
	struct name *account;
	struct cluster_barrier barrier;
	struct list followers;
	struct follower follow;         /* of an earlier CONNECT with this id */
	uint64_t stamp;                 /* of the store's answer; 0: none yet */
	uint64_t prev_stamp;
	uint16_t prev_slot;
	uint16_t keep_alive_s;
	bool keep_alive_moved;          /* it is not what the client asked for, and the CONNACK says so */
	uint8_t level;
	uint8_t steps;                  /* of the last stage that are not done yet */
	bool clean;
	bool durable_row;
	bool present;
	bool failed;
	bool row_again;                 /* the row's write was refused, as another one is about to take it */
	struct buf subs;                /* that the store sent along */
	struct session_queue queue;     /* that, too */
	struct store_get behind;        /* the writes that the store has to have applied: its min is in behind_min */
	struct buf behind_min;
	uint8_t bytes[];                /* id, user, password */
};

/* The store has answered. */
void connect_opened(struct store_open *ask, const struct ipc_opened *a);

#endif
