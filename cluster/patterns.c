/* SPDX-License-Identifier: Apache-2.0
 *
 * Nodes live in segments and are named by index; a literal child is found in a hash table over (parent, level hash)
 * that grows one head at a time (linear hashing), so nothing here ever stalls a loop turn by rebuilding. */
#include "cluster/patterns.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"

#define SEG_BITS  10u
#define SEG_SIZE  (1u << SEG_BITS)
#define ROOT      0u
#define NONE      0u                    /* no child, end of a chain: the root is neither */
#define FREE_NODE UINT32_MAX            /* parent of a free node */

struct node {
	uint64_t level;                 /* its hash; PATTERN_PLUS for a '+' */
	uint64_t here;                  /* slots with a filter that ends here */
	uint64_t below;                 /* slots with a '#' behind this level */
	uint32_t parent;
	uint32_t next;                  /* in the chain of its head, or of the free nodes */
	uint32_t plus;                  /* the '+' child */
	uint32_t kids;
};

struct patterns {
	struct hash_key key;
	struct node **nodes;            /* segments */
	uint32_t **heads;               /* segments */
	uint32_t segs, head_segs;
	uint32_t used, made;            /* nodes: in use; ever made */
	uint32_t free;
	uint32_t head_count;
	uint64_t any;                   /* slots with at least one pattern */
	size_t count[64], total;
};

static inline uint64_t
level_hash(const struct hash_key *key, struct slice level)
{
	uint64_t h = rand_siphash(key, level.p, level.len);

	return h > PATTERN_HASH ? h : h + 2;
}

/* Levels of a topic or filter, which is not empty. */
struct levels {
	const uint8_t *p, *end;         /* p > end: no more */
};

static inline bool
next_level(struct levels *l, struct slice *level)
{
	const uint8_t *q = l->p;

	if (q > l->end)
		return false;
	while (q < l->end && *q != '/')
		q++;
	*level = slice_of(l->p, (size_t)(q - l->p));
	l->p = q + 1;
	return true;
}

void
pattern_make(const struct hash_key *key, struct slice filter, struct pattern *p)
{
	struct levels l = { filter.p, filter.p + filter.len };
	struct slice level;

	p->levels = 0;
	while (next_level(&l, &level)) {
		uint64_t *to = &p->level[p->levels++];

		if (p->levels == PATTERN_LEVELS && l.p <= l.end)
			*to = PATTERN_HASH;
		else if (level.len == 1 && level.p[0] == '+')
			*to = PATTERN_PLUS;
		else if (level.len == 1 && level.p[0] == '#')
			*to = PATTERN_HASH;
		else
			*to = level_hash(key, level);
		if (*to == PATTERN_HASH)
			break;
	}
}

int
pattern_check(const struct pattern *p)
{
	if (p->levels == 0 || p->levels > PATTERN_LEVELS)
		return FB_EPROTO;
	for (uint32_t i = 0; i + 1 < p->levels; i++)
		if (p->level[i] == PATTERN_HASH)
			return FB_EPROTO;
	return 0;
}

static inline struct node *
node_at(const struct patterns *t, uint32_t i)
{
	return &t->nodes[i >> SEG_BITS][i & (SEG_SIZE - 1)];
}

static inline uint32_t *
head_at(const struct patterns *t, uint32_t i)
{
	return &t->heads[i >> SEG_BITS][i & (SEG_SIZE - 1)];
}

static inline uint32_t
mix(uint32_t parent, uint64_t level)
{
	uint64_t h = (level ^ parent) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 32);
}

/* The largest power of two that is at most n, n >= 1. */
static inline uint32_t
floor_pow2(uint32_t n)
{
	return UINT32_C(1) << (31 - __builtin_clz(n));
}

static inline uint32_t
head_of(const struct patterns *t, uint32_t parent, uint64_t level)
{
	uint32_t h = mix(parent, level);
	uint32_t pow = floor_pow2(t->head_count);
	uint32_t i = h & (2 * pow - 1);

	return i < t->head_count ? i : h & (pow - 1);
}

/* One head more: half of what hangs at its elder moves there. */
static void
grow_heads(struct patterns *t)
{
	uint32_t new = t->head_count;
	uint32_t *from, *to, i;

	if (new >> SEG_BITS == t->head_segs) {
		t->heads = mem_realloc(t->heads, (t->head_segs + 1) * sizeof *t->heads);
		t->heads[t->head_segs++] = mem_zalloc(SEG_SIZE * sizeof **t->heads);
	}
	t->head_count++;
	if (new == 0)
		return;
	from = head_at(t, new - floor_pow2(new));
	to = head_at(t, new);
	*to = NONE;
	while ((i = *from) != NONE) {
		struct node *n = node_at(t, i);

		if (head_of(t, n->parent, n->level) == new) {
			*from = n->next;
			n->next = *to;
			*to = i;
		} else {
			from = &n->next;
		}
	}
}

static uint32_t
node_new(struct patterns *t)
{
	uint32_t i = t->free;

	if (i != NONE) {
		t->free = node_at(t, i)->next;
	} else {
		i = t->made++;
		if (i >> SEG_BITS == t->segs) {
			t->nodes = mem_realloc(t->nodes, (t->segs + 1) * sizeof *t->nodes);
			t->nodes[t->segs++] = mem_alloc(SEG_SIZE * sizeof **t->nodes);
		}
	}
	memset(node_at(t, i), 0, sizeof(struct node));
	t->used++;
	return i;
}

struct patterns *
patterns_new(const struct hash_key *key)
{
	struct patterns *t = mem_zalloc(sizeof *t);

	t->key = *key;
	(void)node_new(t);              /* the root */
	grow_heads(t);
	return t;
}

void
patterns_free(struct patterns *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->segs; i++)
		mem_free(t->nodes[i]);
	for (uint32_t i = 0; i < t->head_segs; i++)
		mem_free(t->heads[i]);
	mem_free(t->nodes);
	mem_free(t->heads);
	mem_free(t);
}

static inline uint32_t
child(const struct patterns *t, uint32_t parent, uint64_t level)
{
	const struct node *from = node_at(t, parent);
	uint32_t i;

	if (level == PATTERN_PLUS)
		return from->plus;
	if (from->kids == (from->plus != NONE ? 1u : 0u))
		return NONE;            /* no literal ones */
	for (i = *head_at(t, head_of(t, parent, level)); i != NONE; i = node_at(t, i)->next) {
		const struct node *n = node_at(t, i);

		if (n->level == level && n->parent == parent)
			return i;
	}
	return NONE;
}

static uint32_t
child_new(struct patterns *t, uint32_t parent, uint64_t level)
{
	uint32_t i = node_new(t);
	struct node *n = node_at(t, i);

	n->level = level;
	n->parent = parent;
	node_at(t, parent)->kids++;
	if (level == PATTERN_PLUS) {
		node_at(t, parent)->plus = i;
	} else {
		uint32_t *head = head_at(t, head_of(t, parent, level));

		n->next = *head;
		*head = i;
		if (t->used > t->head_count)
			grow_heads(t);
	}
	return i;
}

static void
unlink_child(struct patterns *t, uint32_t i)
{
	struct node *n = node_at(t, i);

	if (n->level == PATTERN_PLUS) {
		node_at(t, n->parent)->plus = NONE;
	} else {
		uint32_t *at = head_at(t, head_of(t, n->parent, n->level));

		while (*at != i)
			at = &node_at(t, *at)->next;
		*at = n->next;
	}
	node_at(t, n->parent)->kids--;
}

/* Frees i and its ancestors as far as nobody needs them. */
static void
prune(struct patterns *t, uint32_t i)
{
	while (i != ROOT) {
		struct node *n = node_at(t, i);
		uint32_t parent = n->parent;

		if (n->here != 0 || n->below != 0 || n->kids != 0)
			return;
		unlink_child(t, i);
		n->parent = FREE_NODE;
		n->next = t->free;
		t->free = i;
		t->used--;
		i = parent;
	}
}

static inline uint32_t
path_levels(const struct pattern *p)
{
	return p->level[p->levels - 1] == PATTERN_HASH ? p->levels - 1 : p->levels;
}

static inline uint64_t *
end_of(const struct patterns *t, uint32_t i, const struct pattern *p)
{
	return path_levels(p) < p->levels ? &node_at(t, i)->below : &node_at(t, i)->here;
}

void
patterns_put(struct patterns *t, unsigned slot, const struct pattern *p)
{
	uint64_t bit = UINT64_C(1) << slot;
	uint32_t i = ROOT;
	uint64_t *end;

	for (uint32_t n = 0; n < path_levels(p); n++) {
		uint32_t c = child(t, i, p->level[n]);

		i = c != NONE ? c : child_new(t, i, p->level[n]);
	}
	end = end_of(t, i, p);
	if ((*end & bit) != 0)
		return;
	*end |= bit;
	t->count[slot]++;
	t->total++;
	t->any |= bit;
}

void
patterns_del(struct patterns *t, unsigned slot, const struct pattern *p)
{
	uint64_t bit = UINT64_C(1) << slot;
	uint32_t i = ROOT;
	uint64_t *end;

	for (uint32_t n = 0; n < path_levels(p); n++)
		if ((i = child(t, i, p->level[n])) == NONE)
			return;
	end = end_of(t, i, p);
	if ((*end & bit) == 0)
		return;
	*end &= ~bit;
	t->total--;
	if (--t->count[slot] == 0)
		t->any &= ~bit;
	prune(t, i);
}

void
patterns_drop(struct patterns *t, unsigned slot)
{
	uint64_t bit = UINT64_C(1) << slot;

	if (t->count[slot] == 0)
		return;
	for (uint32_t i = 0; i < t->made; i++) {
		struct node *n = node_at(t, i);

		if (n->parent == FREE_NODE)
			continue;
		n->here &= ~bit;
		n->below &= ~bit;
		prune(t, i);
	}
	t->total -= t->count[slot];
	t->count[slot] = 0;
	t->any &= ~bit;
}

struct front {
	uint32_t node[PATTERN_VISITS];
	uint32_t count;
};

/* The nodes one level deeper. false: too many. */
static bool
advance(const struct patterns *t, const struct front *from, struct front *to, uint64_t level, bool wild,
    uint32_t *visits)
{
	to->count = 0;
	for (uint32_t n = 0; n < from->count; n++) {
		uint32_t lit = child(t, from->node[n], level);
		uint32_t plus = wild ? node_at(t, from->node[n])->plus : NONE;

		*visits += (lit != NONE ? 1u : 0u) + (plus != NONE ? 1u : 0u);
		if (*visits > PATTERN_VISITS)
			return false;
		if (lit != NONE)
			to->node[to->count++] = lit;
		if (plus != NONE)
			to->node[to->count++] = plus;
	}
	return true;
}

uint64_t
patterns_match(const struct patterns *t, struct slice topic)
{
	struct front fronts[2];
	struct levels l = { topic.p, topic.p + topic.len };
	bool wild = topic.len == 0 || topic.p[0] != '$';        /* [MQTT-4.7.2-1] */
	uint32_t visits = 0;
	unsigned now = 0;
	uint64_t found = 0;
	struct slice level;

	if (t->any == 0)
		return 0;
	fronts[0].node[0] = ROOT;
	fronts[0].count = 1;
	for (;;) {
		const struct front *f = &fronts[now];

		for (uint32_t n = 0; wild && n < f->count; n++)
			found |= node_at(t, f->node[n])->below;
		if (found == t->any || f->count == 0)
			return found;
		if (!next_level(&l, &level))
			break;
		if (!advance(t, f, &fronts[now ^ 1], level_hash(&t->key, level), wild, &visits))
			return t->any;
		now ^= 1;
		wild = true;
	}
	for (uint32_t n = 0; n < fronts[now].count; n++)
		found |= node_at(t, fronts[now].node[n])->here;
	return found;
}

size_t
patterns_count(const struct patterns *t, unsigned slot)
{
	return t->count[slot];
}

size_t
patterns_total(const struct patterns *t)
{
	return t->total;
}
