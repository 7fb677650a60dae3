/* SPDX-License-Identifier: Apache-2.0
 * t/support/fake_cluster_int.h - what fake_cluster.c (queues, neighbours) and fake_cluster_pub.c (publishes) share. */
#ifndef T_SUPPORT_FAKE_CLUSTER_INT_H
#define T_SUPPORT_FAKE_CLUSTER_INT_H

#include "cluster/cluster.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/loop.h"

enum kind { SNAPSHOT, WANT, UNWANT, PUBLISH, KEPT, CONTROL, ACK };

struct record {
	struct list link;
	enum kind kind;
	unsigned from;
	uint64_t from_epoch, to_epoch;
	uint64_t seq;                   /* ACK: the last that was handled */
	uint64_t store_seq;
	uint64_t leg;
	struct cluster_pub pub;         /* its slices are in bytes */
	uint8_t type;
	size_t len;
	uint8_t bytes[];
};

struct held {                           /* a publish with open legs */
	uint64_t cookie;
	uint64_t also;
	unsigned legs;
	struct cluster_pub pub;
	uint8_t bytes[];
};

struct leg {
	struct list link;
	uint64_t number;
	struct held *held;
};

struct neighbour {
	struct cluster *cluster;
	uint64_t epoch;
	bool told, greeted, complete, up, gone;
	uint64_t sent, acked, snapshot_seq, record_seq, store_seq, next_leg;
	struct list routes;             /* struct want */
	struct list legs;               /* struct leg */
};

struct cluster {
	struct loop *loop;
	const struct cluster_ops *ops;
	void *arg;
	unsigned slot, slots;
	uint64_t epoch;
	bool dead;
	struct list wants;
	struct list barriers;
	struct list inbox;              /* struct record */
	struct loop_bell *bell;
	struct task task;
	struct buf done;                /* le64 cookies */
	struct neighbour n[CLUSTER_MAX];
};

/* To the end of the link's queue; the caller fills what else it needs. */
struct record *fake_push_room(struct cluster *c, unsigned to, enum kind kind, size_t len);
struct record *fake_push(struct cluster *c, unsigned to, enum kind kind, struct slice bytes);

/* c NULL: nobody is told. */
void fake_leg_close(struct cluster *c, struct leg *leg);
/* A new incarnation has told its routes: what its predecessor has not kept is its matter, or nobody's. */
void fake_route_again(struct cluster *c, unsigned slot);
void fake_run_done(struct task *t);     /* of cluster->task */

#endif
