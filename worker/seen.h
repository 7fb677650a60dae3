/* SPDX-License-Identifier: Apache-2.0
 * worker/seen.h - identities of QoS 2 publishes (cluster_pub.qos2_id) that this worker has delivered and whose publisher
 * has not released them yet.
 *
 * A publisher that got no PUBREC sends again, and so may a neighbour. For durable sessions the store knows who has had
 * it; all others are this worker's matter: they get what is here for the first time alone. Lost with the worker, but so
 * are those sessions. */
#ifndef WORKER_SEEN_H
#define WORKER_SEEN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

struct seen;
struct worker;

#define SEEN_RECORD 65                  /* cluster_ops' on_record: a neighbour's seen_release() or seen_release_all() */

struct seen *seen_new(void);
void seen_free(struct seen *s);

/* false: it was delivered here before. */
bool seen_put(struct worker *w, uint64_t qos2_id);
bool seen_has(const struct worker *w, uint64_t qos2_id);
/* All workers forget it: this one now, the others before a barrier that is joined from now on ends. */
void seen_release(struct worker *w, uint64_t qos2_id);
/* The publisher's session ends: all of its identities. Nobody waits for that. */
void seen_release_all(struct worker *w, uint64_t qid);
void seen_on_record(struct worker *w, struct slice body);

#endif
