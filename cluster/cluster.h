/* SPDX-License-Identifier: Apache-2.0
 * cluster/cluster.h - the message plane as a worker sees it: neighbours, routes, publishes out and in, moves.
 *
 * One struct cluster a worker. Neighbours are the other workers of the node, by slot (0..CLUSTER_MAX-1). All callbacks
 * come from the loop. Who may see what and why: DESIGN of the link (window, epochs, KEPT) in cluster/link.h. */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"
#include "common/base/rand.h"
#include "common/base/slice.h"

#define CLUSTER_MAX 64

/* A publish as it travels: no packet id, no client level; props is the encoded level 5 block. */
struct cluster_pub {
	struct slice topic;
	struct slice payload;
	struct slice props;
	struct slice origin_id;         /* client id of the publisher, for no-local; may be empty */
	struct slice sender;            /* client id of who published it here; travels as origin_id with direct messages */
	uint64_t traced_ns;             /* wall clock of its arrival, if it is traced; 0: it is not */
	uint64_t matched_ns;            /* the same of when this worker matched its topic; stays here */
	uint64_t expires_s;             /* wall clock, 0: never */
	uint64_t qos2_id;               /* identity of a QoS 2 publish, 0: none; else disk is set */
	uint8_t qos;
	bool retain;
	uint8_t reach;                  /* enum cluster_reach */
	bool disk;                      /* QoS >= 1: for durable sessions it is kept when it is on the disk */
};

/* Whom a publish may reach: its sender's rights say so. */
enum cluster_reach { CLUSTER_ALL, CLUSTER_NOT_DIRECT /* subscriptions */, CLUSTER_DIRECT_ONLY /* the client of that id */ };

struct cluster_ops {
	/* A publish from a neighbour: deliver it to this worker's sessions. QoS >= 1: kept is a token to hand to
	 * cluster_kept() as soon as every session has it safe, in this call or later; QoS 0: kept is 0. */
	void (*on_publish)(void *arg, unsigned from, const struct cluster_pub *p, uint64_t kept);
	/* All legs of the publish with this cookie are closed: it may be acknowledged. Legs to a neighbour that died
	 * are closed only after it was routed again to its successor, or when no route leads there any more. */
	void (*on_kept)(void *arg, uint64_t cookie);
	/* A control record of worker/move.c or worker/shared.c, in the order of the link it came over (after and before
	 * publishes). */
	void (*on_record)(void *arg, unsigned from, uint8_t type, struct slice body);
	/* The link to this neighbour's incarnation is up (both HELLOs, both snapshots of routes processed), or its
	 * incarnation ended, whether it was up or not. */
	void (*on_neighbour)(void *arg, unsigned slot, uint64_t epoch, bool up);
	/* For route acks: the number of the last durable write this worker has sent to the store. */
	uint64_t (*store_seq)(void *arg);
	/* A limit changed: QoS >= 1 from clients must wait (or may go on). */
	void (*on_congested)(void *arg, bool congested);
	/* The snapshot for this neighbour is being written: what is told by cluster_tell() now it has processed before
	 * any publish of ours. NULL is allowed. */
	void (*on_greeted)(void *arg, unsigned slot);
};

struct cluster;
struct cluster_config {
	unsigned slot;                  /* own */
	unsigned slots;
	uint64_t epoch;                 /* own */
	struct hash_key route_key;
	const char *dir;                /* of the ipc sockets; copied */
};

struct cluster *cluster_new(struct loop *l, const struct cluster_config *cfg, const struct cluster_ops *ops, void *arg);
void cluster_free(struct cluster *c);

/* The supervisor's word on incarnations. up: link to it (a higher epoch replaces a lower one). down: it is dead and
 * reaped; on_neighbour(up = false) follows. */
void cluster_peer_up(struct cluster *c, unsigned slot, uint64_t epoch);
void cluster_peer_down(struct cluster *c, unsigned slot, uint64_t epoch);
/* Every peer named by peer_up (and not down since) is linked. */
bool cluster_linked(const struct cluster *c);

/* Filters that sessions of this worker want, counted: the neighbours hear only of 0 -> 1 and 1 -> 0. Valid filters
 * only; $share is the caller's to strip. */
void cluster_want(struct cluster *c, struct slice filter);
void cluster_unwant(struct cluster *c, struct slice filter);
/* The same for the ids of its clients, for direct messages: a publish to such a name comes here, and the neighbours
 * know that the name is a client's. */
void cluster_want_id(struct cluster *c, struct slice id);
void cluster_unwant_id(struct cluster *c, struct slice id);
/* Has a neighbour a client of that id? While one is between two incarnations, as its last routes say. */
bool cluster_has_id(const struct cluster *c, struct slice id);

/* done is called once every neighbour that is up has processed every want and every record sent so far (at once, from
 * inside the call, if there is nothing to wait for). A neighbour's death ends the wait for it. Then
 * cluster_store_seq(slot) is at least what that neighbour had sent to the store when it processed the last want. */
struct cluster_barrier {
	struct list link;
	void (*done)(struct cluster_barrier *b);
	uint64_t need[CLUSTER_MAX];     /* frames to be acknowledged, per slot; the cluster's */
	uint32_t waiting;               /* neighbours; the cluster's */
};
void cluster_barrier(struct cluster *c, struct cluster_barrier *b, void (*done)(struct cluster_barrier *b));
void cluster_barrier_cancel(struct cluster *c, struct cluster_barrier *b);
/* The neighbour's epoch and its last known store number: for the minimum of a retained read. false: is not up. */
bool cluster_store_seq(const struct cluster *c, unsigned slot, uint64_t *epoch, uint64_t *seq);

/* Sends a publish to each neighbour that wants its topic: the number of legs. QoS >= 1 and legs > 0: on_kept(cookie)
 * follows, never from inside this call. *p is borrowed for the call. also: slots (bits) that get it whatever they want,
 * their successors too. */
unsigned cluster_publish_also(struct cluster *c, const struct cluster_pub *p, uint64_t cookie, uint64_t also);
static inline unsigned
cluster_publish(struct cluster *c, const struct cluster_pub *p, uint64_t cookie)
{
	return cluster_publish_also(c, p, cookie, 0);
}
void cluster_kept(struct cluster *c, unsigned from, uint64_t kept);
bool cluster_congested(const struct cluster *c);

/* A control record to one neighbour: type is takeover.c's. FB_ECLOSED: there is none; FB_EAGAIN: it is not linked yet,
 * on_neighbour() follows. Kept over pipe breaks, lost only with the neighbour's incarnation. */
int cluster_send(struct cluster *c, unsigned slot, uint8_t type, struct slice body);
/* The same to one that may not be up yet, but has been or is being sent our snapshot. */
enum cluster_tell {
	CLUSTER_BARRIER,                /* barriers wait for it */
	CLUSTER_SOON,
	CLUSTER_LOSSY,                  /* FB_EAGAIN if the link is full */
};
int cluster_tell(struct cluster *c, unsigned slot, uint8_t type, struct slice body, enum cluster_tell how);

/* For state: what the links are doing. */
struct cluster_link_stats {
	uint64_t epoch, frames_in, frames_out, msgs_in, msgs_out, resent, pending_bytes, unkept, routes;
	bool up;
};
bool cluster_link_stats(const struct cluster *c, unsigned slot, struct cluster_link_stats *out);

#endif
