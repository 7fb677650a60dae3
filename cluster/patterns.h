/* SPDX-License-Identifier: Apache-2.0
 * cluster/patterns.h - wildcard filters that neighbours want: a trie of level hashes, 40 bytes a level.
 *
 * A pattern is one hash a level; PATTERN_PLUS and PATTERN_HASH stand for '+' and '#'. A topic costs one look-up for
 * each node that its levels reach. More than PATTERN_VISITS of them (filters made to explode: a/+/a, +/a/a, ...) end
 * the search with the answer "all that want any pattern": too many is only wasted work, the receiver matches
 * exactly. */
#ifndef CLUSTER_PATTERNS_H
#define CLUSTER_PATTERNS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/rand.h"
#include "common/base/slice.h"

#define PATTERN_LEVELS 64u              /* a deeper filter is cut: its 63 first levels, then '#' */
#define PATTERN_PLUS   UINT64_C(0)
#define PATTERN_HASH   UINT64_C(1)
#define PATTERN_VISITS 256u

struct pattern {
	uint32_t levels;
	uint64_t level[PATTERN_LEVELS];
};

/* The hashes of a filter that has a wildcard or not. */
void pattern_make(const struct hash_key *key, struct slice filter, struct pattern *p);
/* 0; FB_EPROTO: no level, too many, or '#' before the end. */
int pattern_check(const struct pattern *p);

struct patterns;
struct patterns *patterns_new(const struct hash_key *key);      /* key is copied */
void patterns_free(struct patterns *t);
/* slot: 0..63. Sets, not counts: the same again does nothing. The pattern was checked. */
void patterns_put(struct patterns *t, unsigned slot, const struct pattern *p);
void patterns_del(struct patterns *t, unsigned slot, const struct pattern *p);
void patterns_drop(struct patterns *t, unsigned slot);          /* all of this slot */
/* The set of slots with a pattern that matches, perhaps more. */
uint64_t patterns_match(const struct patterns *t, struct slice topic);
size_t patterns_count(const struct patterns *t, unsigned slot);
size_t patterns_total(const struct patterns *t);                /* of all slots */

#endif
