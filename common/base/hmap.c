/* SPDX-License-Identifier: Apache-2.0
 *
 * While the map grows there are two tables. Buckets of the old one below `moved` are empty, their nodes are in the new
 * one; the others are still where they were. Growth starts at two nodes a bucket and doubles; a put moves MOVE_STEP
 * buckets, so that the move is long over when the next growth is due. Deletions move nothing: an iteration may
 * delete. */
#include "common/base/hmap.h"

#include "common/base/err.h"
#include "common/base/mem.h"

#define HMAP_FIRST ((size_t)8)
#define MOVE_STEP  4

void
hmap_init(struct hmap *m)
{
	*m = (struct hmap){ 0 };
}

void
hmap_fini(struct hmap *m)
{
	mem_free(m->old);
	mem_free(m->buckets);
	hmap_init(m);
}

static void
move_bucket(struct hmap *m)
{
	struct hmap_node *n = m->old[m->moved];

	m->old[m->moved++] = NULL;
	while (n != NULL) {
		struct hmap_node *next = n->next;
		struct hmap_node **b = &m->buckets[n->hash & m->mask];

		n->next = *b;
		*b = n;
		n = next;
	}
}

static void
move_some(struct hmap *m)
{
	for (int i = 0; i < MOVE_STEP && m->moved <= m->old_mask; i++)
		move_bucket(m);
	if (m->moved > m->old_mask) {
		mem_free(m->old);
		m->old = NULL;
	}
}

static void
grow(struct hmap *m)
{
	if (m->buckets == NULL) {
		m->mask = HMAP_FIRST - 1;
		m->buckets = mem_zalloc(HMAP_FIRST * sizeof *m->buckets);
		return;
	}
	m->old = m->buckets;
	m->old_mask = m->mask;
	m->moved = 0;
	m->mask = 2 * m->mask + 1;
	m->buckets = mem_zalloc((m->mask + 1) * sizeof *m->buckets);
}

void
hmap_put(struct hmap *m, struct hmap_node *n, uint64_t hash)
{
	struct hmap_node **b;

	if (m->old != NULL)
		move_some(m);
	else if (m->buckets == NULL || m->count > 2 * m->mask)
		grow(m);
	n->hash = hash;
	b = hmap_bucket(m, hash);
	n->next = *b;
	*b = n;
	m->count++;
}

void
hmap_del(struct hmap *m, struct hmap_node *n)
{
	struct hmap_node **p;

	FB_ASSERT(m->count > 0);
	for (p = hmap_bucket(m, n->hash); *p != n; p = &(*p)->next)
		FB_ASSERT(*p != NULL);
	*p = n->next;
	n->next = NULL;
	m->count--;
}

/* The buckets of the old table come first, then those of the new one. */
struct hmap_node *
hmap_each(const struct hmap *m, struct hmap_iter *it)
{
	size_t old = m->old != NULL ? m->old_mask + 1 : 0;
	size_t total = m->buckets != NULL ? old + m->mask + 1 : 0;
	struct hmap_node *n = it->next;

	while (n == NULL) {
		if (it->bucket >= total)
			return NULL;
		n = it->bucket < old ? m->old[it->bucket] : m->buckets[it->bucket - old];
		it->bucket++;
	}
	it->next = n->next;
	return n;
}
