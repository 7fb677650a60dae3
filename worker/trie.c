/* SPDX-License-Identifier: Apache-2.0
 * The tree of wildcard filters keeps its edges in one hash table (parent, level), so that a node costs the same
 * whether it has one child or a million. '+' and '#' are fields of a node: a walk looks at them without a probe. */
#include "worker/trie.h"

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/mqtt/topic.h"

struct trie_node {
	struct hmap_node node;          /* by parent and level; the root and '+' nodes are in no table */
	struct trie_node *parent;
	struct trie_node *plus;
	struct filter *here;            /* the filter that ends at this node */
	struct filter *below;           /* the filter that ends in '#' below it */
	uint32_t users;                 /* children, plus, here, below: 0 is free */
	uint16_t len;
	bool is_plus;
	uint8_t level[];
};

void
trie_init(struct trie *t)
{
	memset(t, 0, sizeof *t);
	hmap_init(&t->filters);
	hmap_init(&t->subs);
	hmap_init(&t->nodes);
}

void
trie_fini(struct trie *t)
{
	FB_ASSERT(t->count == 0 && t->root == NULL);
	hmap_fini(&t->filters);
	hmap_fini(&t->subs);
	hmap_fini(&t->nodes);
	mem_free(t->found);
}

static inline uint64_t
edge_hash(const struct trie_node *parent, struct slice level)
{
	return rand_hash(level.p, level.len) ^ ((uint64_t)(uintptr_t)parent * UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t
sub_hash(const struct filter *f, const struct session *s)
{
	uint64_t h = ((uint64_t)(uintptr_t)f >> 4) * UINT64_C(0x9e3779b97f4a7c15);

	h ^= ((uint64_t)(uintptr_t)s >> 4) * UINT64_C(0xc2b2ae3d27d4eb4f);
	return h ^ h >> 29;
}

static struct trie_node *
edge_get(const struct trie *t, const struct trie_node *parent, struct slice level)
{
	uint64_t h = edge_hash(parent, level);

	for (struct hmap_node *n = hmap_first(&t->nodes, h); n != NULL; n = hmap_next(n, h)) {
		struct trie_node *c = container_of(n, struct trie_node, node);

		if (c->parent == parent && slice_eq(slice_of(c->level, c->len), level))
			return c;
	}
	return NULL;
}

static struct trie_node *
node_new(struct trie_node *parent, struct slice level, bool is_plus)
{
	struct trie_node *n = mem_zalloc(sizeof *n + level.len);

	n->parent = parent;
	n->len = (uint16_t)level.len;
	n->is_plus = is_plus;
	if (level.len > 0)
		memcpy(n->level, level.p, level.len);
	if (parent != NULL)
		parent->users++;
	return n;
}

static struct trie_node *
edge_make(struct trie *t, struct trie_node *parent, struct slice level)
{
	struct trie_node *n;

	if (slice_eq(level, SLICE_LIT("+"))) {
		if (parent->plus == NULL)
			parent->plus = node_new(parent, level, true);
		return parent->plus;
	}
	n = edge_get(t, parent, level);
	if (n == NULL) {
		n = node_new(parent, level, false);
		hmap_put(&t->nodes, &n->node, edge_hash(parent, level));
	}
	return n;
}

/* Puts a wildcard filter into the tree; returns the node that holds it in here, or in below if it ends in '#'. */
static struct trie_node *
tree_put(struct trie *t, struct filter *f)
{
	struct slice rest = filter_text(f);
	struct slice level;
	struct trie_node *n;

	if (t->root == NULL)
		t->root = node_new(NULL, slice_of(NULL, 0), false);
	n = t->root;
	while (topic_next_level(&rest, &level)) {
		if (slice_eq(level, SLICE_LIT("#"))) {
			n->below = f;
			n->users++;
			return n;
		}
		n = edge_make(t, n, level);
	}
	n->here = f;
	n->users++;
	return n;
}

/* Gives back a node that nobody uses any more, and its parents as far as that goes. */
static void
node_release(struct trie *t, struct trie_node *n)
{
	while (n != NULL && --n->users == 0) {
		struct trie_node *parent = n->parent;

		if (parent == NULL)
			t->root = NULL;
		else if (n->is_plus)
			parent->plus = NULL;
		else
			hmap_del(&t->nodes, &n->node);
		mem_free(n);
		n = parent;
	}
}

static struct filter *
filter_get(const struct trie *t, struct slice text, uint64_t hash)
{
	for (struct hmap_node *n = hmap_first(&t->filters, hash); n != NULL; n = hmap_next(n, hash)) {
		struct filter *f = container_of(n, struct filter, node);

		if (slice_eq(filter_text(f), text))
			return f;
	}
	return NULL;
}

static struct filter *
filter_make(struct trie *t, struct slice text, uint64_t hash)
{
	struct filter *f = mem_zalloc(sizeof *f + text.len);

	f->len = (uint16_t)text.len;
	memcpy(f->text, text.p, text.len);
	hmap_put(&t->filters, &f->node, hash);
	if (topic_has_wildcard(text))
		f->at = tree_put(t, f);
	return f;
}

static void
filter_free(struct trie *t, struct filter *f)
{
	if (f->at != NULL) {
		if (f->at->here == f)
			f->at->here = NULL;
		else
			f->at->below = NULL;
		node_release(t, f->at);
	}
	hmap_del(&t->filters, &f->node);
	if (f->room > 0)
		mem_free(f->subs.many);
	mem_free(f);
}

static void
filter_append(struct filter *f, struct sub *sub)
{
	if (f->count == 0 && f->room == 0) {
		f->subs.one = sub;
	} else {
		if (f->room == 0) {
			struct sub **many = mem_alloc(4 * sizeof *many);

			many[0] = f->subs.one;
			f->subs.many = many;
			f->room = 4;
		} else if (f->count == f->room) {
			f->room *= 2;
			f->subs.many = mem_realloc(f->subs.many, f->room * sizeof *f->subs.many);
		}
		f->subs.many[f->count] = sub;
	}
	sub->index = f->count++;
}

static struct sub *
sub_get(const struct trie *t, const struct filter *f, const struct session *s)
{
	uint64_t h = sub_hash(f, s);

	for (struct hmap_node *n = hmap_first(&t->subs, h); n != NULL; n = hmap_next(n, h)) {
		struct sub *sub = container_of(n, struct sub, node);

		if (sub->filter == f && sub->session == s)
			return sub;
	}
	return NULL;
}

struct sub *
trie_put(struct trie *t, struct session *s, struct list *list, struct slice text, bool *is_new)
{
	uint64_t hash = rand_hash(text.p, text.len);
	struct filter *f = filter_get(t, text, hash);
	struct sub *sub;

	if (f == NULL)
		f = filter_make(t, text, hash);
	sub = f->count > 0 ? sub_get(t, f, s) : NULL;
	if (is_new != NULL)
		*is_new = sub == NULL;
	if (sub != NULL)
		return sub;
	sub = mem_zalloc(sizeof *sub);
	sub->filter = f;
	sub->session = s;
	filter_append(f, sub);
	hmap_put(&t->subs, &sub->node, sub_hash(f, s));
	list_put_last(list, &sub->link);
	t->count++;
	return sub;
}

struct sub *
trie_get(const struct trie *t, const struct session *s, struct slice text)
{
	struct filter *f = filter_get(t, text, rand_hash(text.p, text.len));

	return f != NULL ? sub_get(t, f, s) : NULL;
}

void
trie_del(struct trie *t, struct sub *sub)
{
	struct filter *f = sub->filter;

	f->count--;
	if (f->room > 0 && sub->index != f->count) {
		f->subs.many[sub->index] = f->subs.many[f->count];
		f->subs.many[sub->index]->index = sub->index;
	}
	if (f->count == 0 && (f->shared & FILTER_GROUPS) == 0)
		filter_free(t, f);
	hmap_del(&t->subs, &sub->node);
	list_del(&sub->link);
	mem_free(sub);
	t->count--;
}

void
filter_swap(struct filter *f, uint32_t a, uint32_t b)
{
	struct sub *x;

	if (a == b)
		return;
	x = f->subs.many[a];
	f->subs.many[a] = f->subs.many[b];
	f->subs.many[b] = x;
	f->subs.many[a]->index = a;
	x->index = b;
}

struct filter *
trie_hold(struct trie *t, struct slice text)
{
	uint64_t hash = rand_hash(text.p, text.len);
	struct filter *f = filter_get(t, text, hash);

	if (f == NULL)
		f = filter_make(t, text, hash);
	f->shared |= FILTER_GROUPS;
	return f;
}

void
trie_release(struct trie *t, struct filter *f)
{
	f->shared &= (uint8_t)~FILTER_GROUPS;
	if (f->count == 0)
		filter_free(t, f);
}

static inline void
found(struct trie *t, struct filter *f)
{
	if (__builtin_expect(t->found_count == t->found_room, 0)) {
		t->found_room = t->found_room == 0 ? 16 : t->found_room * 2;
		t->found = mem_realloc(t->found, t->found_room * sizeof *t->found);
	}
	t->found[t->found_count++] = f;
}

/* rest: the levels below n. Depth is bounded by the filters' levels, which SUBSCRIBE limits. */
static void
walk(struct trie *t, const struct trie_node *n, struct slice rest, bool dollar)
{
	struct slice level;
	const struct trie_node *child;

	t->visits++;
	if (n->below != NULL && !dollar)
		found(t, n->below);
	if (!topic_next_level(&rest, &level)) {
		if (n->here != NULL)
			found(t, n->here);
		return;
	}
	child = edge_get(t, n, level);
	if (child != NULL)
		walk(t, child, rest, false);
	if (n->plus != NULL && !dollar)
		walk(t, n->plus, rest, false);
}

uint32_t
trie_match(struct trie *t, struct slice topic, uint64_t hash, struct filter *const **out)
{
	struct filter *f = filter_get(t, topic, hash);

	t->found_count = 0;
	if (f != NULL)
		found(t, f);
	/* A wildcard at the start does not match a topic that starts with $. [MQTT-4.7.2-1] */
	if (t->root != NULL)
		walk(t, t->root, topic, topic.len > 0 && topic.p[0] == '$');
	*out = t->found;
	return t->found_count;
}
