/* SPDX-License-Identifier: Apache-2.0
 * cluster/routes.h - which neighbour wants which filter, by keyed hashes.
 *
 * Exact names (client ids among them) cost 8 bytes a place and one probe, which yields the whole set of neighbours;
 * wildcard filters are patterns.h. A collision of hashes only sends a publish to a neighbour that drops it. */
#ifndef CLUSTER_ROUTES_H
#define CLUSTER_ROUTES_H

#include <stdbool.h>

#include "cluster/patterns.h"

struct routes;
struct routes *routes_new(const struct hash_key *key);
void routes_free(struct routes *r);

/* slot: 0..63. Sets, not counts. */
void routes_put(struct routes *r, unsigned slot, uint64_t name);
void routes_del(struct routes *r, unsigned slot, uint64_t name);
void routes_put_pattern(struct routes *r, unsigned slot, const struct pattern *p);
void routes_del_pattern(struct routes *r, unsigned slot, const struct pattern *p);
void routes_drop(struct routes *r, unsigned slot);              /* forgets all that this slot wants */
/* The set of slots that want this topic: bit n is slot n. */
uint64_t routes_match(const struct routes *r, struct slice topic);
/* The same; *id: one of them has a client of that id. */
uint64_t routes_match_id(const struct routes *r, struct slice topic, bool *id);
size_t routes_count(const struct routes *r, unsigned slot);
size_t routes_total(const struct routes *r);                    /* of all slots */
size_t routes_bytes(const struct routes *r);                    /* of the exact names */

/* Has one of them a client of that id? */
bool routes_has_id(const struct routes *r, struct slice id);

/* The hash of an exact name. */
static inline uint64_t
routes_name(const struct hash_key *key, struct slice name)
{
	return rand_siphash(key, name.p, name.len);
}

/* Client ids have a hash space of their own: a topic that somebody wants is not a client for that. */
static inline uint64_t
routes_id_of_name(uint64_t name)
{
	return name ^ UINT64_C(0x6a09e667f3bcc908);
}

#endif
