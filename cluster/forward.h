/* SPDX-License-Identifier: Apache-2.0
 * cluster/forward.h - publishes out to the neighbours that want them, and in; what is kept and what is not yet.
 *
 * A publish of QoS 1 or 2 has a leg for each neighbour that it goes to. It is held until every leg is closed by KEPT.
 * While a neighbour is between two incarnations its last routes stand: what matches them gets a leg that waits. When
 * the successor's routes are complete all open legs are matched against them, in their order, and sent again or
 * closed. While its routes are coming in, and before any ever came, everything gets a leg, since nobody knows yet. */
#ifndef CLUSTER_FORWARD_H
#define CLUSTER_FORWARD_H

#include "cluster/link.h"
#include "cluster/routes.h"

#define FORWARD_SHED_BYTES      ((size_t)4 << 20)       /* pending on a link: QoS 0 is dropped beyond */
#define FORWARD_CONGESTED_BYTES ((size_t)1 << 20)       /* not kept, for a neighbour; half of it ends the congestion */
#define FORWARD_CONGESTED_LEGS  ((size_t)1 << 20)       /* from the oldest leg that is not kept to the newest */

struct forward;
/* neighbours: the set of all slots but our own. */
struct forward *forward_new(struct loop *l, const struct routes *r, uint64_t neighbours, const struct cluster_ops *ops,
    void *arg);
void forward_free(struct forward *f);

/* also: slots (bits) that get it without a route. */
unsigned forward_publish(struct forward *f, const struct cluster_pub *p, uint64_t cookie, uint64_t also);
bool forward_congested(const struct forward *f);

/* A neighbour's life: a link; its SNAPSHOT_BEGIN (its old routes are void), SNAPSHOT_END; the incarnation's end. */
void forward_link(struct forward *f, unsigned slot, struct link *k);
void forward_begin(struct forward *f, unsigned slot);
void forward_live(struct forward *f, unsigned slot);
void forward_unlink(struct forward *f, unsigned slot);

/* From the link: 0 or FB_EPROTO. */
int forward_take_publish(struct forward *f, unsigned slot, const struct record *r);
int forward_take_kept(struct forward *f, unsigned slot, struct slice body);
/* The worker has a publish of this neighbour safe. A token of an incarnation that is over does nothing. */
void forward_kept(struct forward *f, unsigned slot, uint64_t token);
/* Just before the link flushes: the KEPT ranges gathered in this turn. */
void forward_flush(struct forward *f, unsigned slot);

struct forward_counts { uint64_t in, out; size_t unkept; };
struct forward_counts forward_counts(const struct forward *f, unsigned slot);

#endif
