/* SPDX-License-Identifier: Apache-2.0
 * cluster/wants.h - what this worker announces to its neighbours: filters of its sessions, counted by hash.
 *
 * Two filters with one hash are one entry: neighbours cannot tell them apart either. */
#ifndef CLUSTER_WANTS_H
#define CLUSTER_WANTS_H

#include <stdbool.h>

#include "cluster/bytemap.h"
#include "cluster/patterns.h"
#include "common/base/hmap.h"
#include "common/base/list.h"

struct wants {
	struct hash_key key;
	struct bytemap names;           /* exact: hash -> count */
	struct hmap patterns;
};

void wants_init(struct wants *w, const struct hash_key *key);
void wants_fini(struct wants *w);
/* Valid filter. true: it went 0 -> 1 (or 1 -> 0), the neighbours must hear of *p; an exact name has p->levels == 0 and
 * its hash in p->level[0]. */
bool wants_put(struct wants *w, struct slice filter, struct pattern *p);
bool wants_del(struct wants *w, struct slice filter, struct pattern *p);        /* it was put */
/* The same for a client id. */
bool wants_put_id(struct wants *w, struct slice id, struct pattern *p);
bool wants_del_id(struct wants *w, struct slice id, struct pattern *p);
typedef void wants_fn(void *arg, const struct pattern *p);
void wants_each(const struct wants *w, wants_fn *fn, void *arg);        /* fn must not change it */
size_t wants_count(const struct wants *w);

#endif
