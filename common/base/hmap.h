/* SPDX-License-Identifier: Apache-2.0
 * common/base/hmap.h - intrusive hash map: nodes live in the caller's structs, chained by bucket.
 *
 * The map grows step by step (a few buckets an insert), so that no insert stalls a loop turn. The caller hashes
 * with rand_hash() (keyed, so that a client cannot choose collisions) and compares in its own loop:
 *
 *	for (n = hmap_first(&m, h); n != NULL; n = hmap_next(n, h))
 *		if (same(container_of(n, struct thing, node), key)) ... */
#ifndef COMMON_BASE_HMAP_H
#define COMMON_BASE_HMAP_H

#include <stddef.h>
#include <stdint.h>

struct hmap_node {
	struct hmap_node *next;
	uint64_t hash;
};

struct hmap {
	struct hmap_node **buckets;     /* the table in use; NULL while empty */
	struct hmap_node **old;         /* being moved from; NULL when no growth is under way */
	size_t mask;                    /* number of buckets - 1 */
	size_t old_mask;
	size_t moved;                   /* buckets of old that are moved already */
	size_t count;
};

void hmap_init(struct hmap *m);
void hmap_fini(struct hmap *m);                         /* frees the tables; the nodes are the caller's */
void hmap_put(struct hmap *m, struct hmap_node *n, uint64_t hash);
void hmap_del(struct hmap *m, struct hmap_node *n);     /* n must be in m */

/* The head of the chain in which a node with that hash is or goes; for hmap.c. Only when there is a table. */
static inline struct hmap_node **
hmap_bucket(const struct hmap *m, uint64_t hash)
{
	if (__builtin_expect(m->old != NULL, 0) && (hash & m->old_mask) >= m->moved)
		return &m->old[hash & m->old_mask];
	return &m->buckets[hash & m->mask];
}

static inline struct hmap_node *
hmap_match(struct hmap_node *n, uint64_t hash)
{
	while (n != NULL && n->hash != hash)
		n = n->next;
	return n;
}

/* First node with that hash, or NULL; valid until the next put. */
static inline struct hmap_node *
hmap_first(const struct hmap *m, uint64_t hash)
{
	return m->count != 0 ? hmap_match(*hmap_bucket(m, hash), hash) : NULL;
}

/* Next node with that hash, or NULL. */
static inline struct hmap_node *
hmap_next(const struct hmap_node *n, uint64_t hash)
{
	return hmap_match(n->next, hash);
}

/* Iteration over all, in no order: start with a zeroed iterator; NULL at the end. The node handed out may be deleted
 * before the next call, no other; a put during an iteration may hide or repeat nodes. */
struct hmap_iter {
	size_t bucket;
	struct hmap_node *next;
};
struct hmap_node *hmap_each(const struct hmap *m, struct hmap_iter *it);

#endif
