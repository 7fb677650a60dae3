/* SPDX-License-Identifier: Apache-2.0
 * worker/publish.h - a publish that starts here: to the store if retained, to this worker's sessions, to the
 * neighbours that want it. */
#ifndef WORKER_PUBLISH_H
#define WORKER_PUBLISH_H

#include "worker/conn.h"

/* p is borrowed for the call. wait: each leg that closes later is counted in wait->legs now and ends with
 * publish_leg_closed(wait); NULL: nobody waits (QoS 0, wills). */
void publish(struct worker *w, const struct cluster_pub *p, struct waiting *wait);
/* One leg of a struct waiting is closed; failed: it was not kept. */
void publish_leg_closed(void *wait, bool failed);

/* A publisher that had to wait may go on, if nothing is behind any more. */
void publish_go_on(struct conn *c);

/* From cluster_ops. */
void publish_on_kept(void *worker, uint64_t cookie);
void publish_on_neighbour(void *worker, unsigned from, const struct cluster_pub *p, uint64_t kept);

#endif
