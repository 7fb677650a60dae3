/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/wants.h"

#include <string.h>

#include "cluster/routes.h"
#include "common/base/err.h"
#include "common/base/mem.h"

struct want {
	struct hmap_node node;          /* hash of the levels' hashes */
	uint32_t count;
	uint32_t levels;
	uint64_t level[];
};

void
wants_init(struct wants *w, const struct hash_key *key)
{
	w->key = *key;
	bytemap_init(&w->names);
	hmap_init(&w->patterns);
}

void
wants_fini(struct wants *w)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&w->patterns, &it)) != NULL)
		mem_free(container_of(n, struct want, node));
	hmap_fini(&w->patterns);
	bytemap_fini(&w->names);
}

static bool
is_wild(struct slice filter)
{
	return filter.len != 0 &&
	    (filter.p[filter.len - 1] == '#' || memchr(filter.p, '+', filter.len) != NULL);
}

static uint64_t
count_get(const struct wants *w, uint64_t hash)
{
	uint64_t wide = 0;
	uint8_t byte = bytemap_get(&w->names, hash, &wide);

	return byte == BYTEMAP_WIDE ? wide : byte;
}

static void
count_put(struct wants *w, uint64_t hash, uint64_t count)
{
	if (count == 0)
		bytemap_del(&w->names, hash);
	else
		bytemap_put(&w->names, hash, count < BYTEMAP_WIDE ? (uint8_t)count : BYTEMAP_WIDE, count);
}

static struct want *
want_find(const struct wants *w, const struct pattern *p, uint64_t *hash)
{
	struct hmap_node *n;

	*hash = rand_hash(p->level, p->levels * sizeof p->level[0]);
	for (n = hmap_first(&w->patterns, *hash); n != NULL; n = hmap_next(n, *hash)) {
		struct want *x = container_of(n, struct want, node);

		if (x->levels == p->levels && memcmp(x->level, p->level, p->levels * sizeof p->level[0]) == 0)
			return x;
	}
	return NULL;
}

static bool
name_put(struct wants *w, uint64_t hash, struct pattern *p)
{
	uint64_t count = count_get(w, hash);

	p->levels = 0;
	p->level[0] = hash;
	count_put(w, hash, count + 1);
	return count == 0;
}

static bool
name_del(struct wants *w, uint64_t hash, struct pattern *p)
{
	uint64_t count = count_get(w, hash);

	FB_ASSERT(count != 0);
	p->levels = 0;
	p->level[0] = hash;
	count_put(w, hash, count - 1);
	return count == 1;
}

bool
wants_put_id(struct wants *w, struct slice id, struct pattern *p)
{
	return name_put(w, routes_id_of_name(routes_name(&w->key, id)), p);
}

bool
wants_del_id(struct wants *w, struct slice id, struct pattern *p)
{
	return name_del(w, routes_id_of_name(routes_name(&w->key, id)), p);
}

bool
wants_put(struct wants *w, struct slice filter, struct pattern *p)
{
	uint64_t hash;
	struct want *x;

	if (!is_wild(filter))
		return name_put(w, routes_name(&w->key, filter), p);
	pattern_make(&w->key, filter, p);
	x = want_find(w, p, &hash);
	if (x == NULL) {
		x = mem_alloc(sizeof *x + p->levels * sizeof p->level[0]);
		x->count = 0;
		x->levels = p->levels;
		memcpy(x->level, p->level, p->levels * sizeof p->level[0]);
		hmap_put(&w->patterns, &x->node, hash);
	}
	return x->count++ == 0;
}

bool
wants_del(struct wants *w, struct slice filter, struct pattern *p)
{
	uint64_t hash;
	struct want *x;

	if (!is_wild(filter))
		return name_del(w, routes_name(&w->key, filter), p);
	pattern_make(&w->key, filter, p);
	x = want_find(w, p, &hash);
	FB_ASSERT(x != NULL);
	if (--x->count != 0)
		return false;
	hmap_del(&w->patterns, &x->node);
	mem_free(x);
	return true;
}

struct each {
	wants_fn *fn;
	void *arg;
};

static void
each_name(void *arg, uint64_t hash, uint8_t byte, uint64_t wide)
{
	const struct each *e = arg;
	struct pattern p;

	p.levels = 0;
	p.level[0] = hash;
	e->fn(e->arg, &p);
}

void
wants_each(const struct wants *w, wants_fn *fn, void *arg)
{
	struct each e = { fn, arg };
	struct hmap_iter it = { 0 };
	struct hmap_node *n;
	struct pattern p;

	bytemap_each(&w->names, each_name, &e);
	while ((n = hmap_each(&w->patterns, &it)) != NULL) {
		const struct want *x = container_of(n, struct want, node);

		p.levels = x->levels;
		memcpy(p.level, x->level, x->levels * sizeof x->level[0]);
		fn(arg, &p);
	}
}

size_t
wants_count(const struct wants *w)
{
	return w->names.count + w->patterns.count;
}
