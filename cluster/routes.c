/* SPDX-License-Identifier: Apache-2.0
 *
 * The byte of a name says who wants it: one slot, two of the first 16, or three of the first 8; other sets take the
 * wide form. So nearly every name costs a place of 8 bytes and no second probe. */
#include "cluster/routes.h"

#include <string.h>

#include "cluster/bytemap.h"
#include "common/base/err.h"
#include "common/base/mem.h"

struct routes {
	struct hash_key key;
	struct bytemap names;
	struct patterns *patterns;
	size_t count[64], total;        /* exact names, by slot and in all */
	uint64_t set_of[256];           /* byte -> set */
	uint8_t low8[256];              /* set within slots 0..7 -> byte, 0: none */
	uint8_t pair[16][16];           /* [lower][higher] -> byte */
};

static void
make_bytes(struct routes *r)
{
	unsigned next = 1;

	for (unsigned a = 0; a < 64; a++, next++) {
		r->set_of[next] = UINT64_C(1) << a;
		if (a < 8)
			r->low8[1u << a] = (uint8_t)next;
	}
	for (unsigned a = 0; a < 16; a++) {
		for (unsigned b = a + 1; b < 16; b++, next++) {
			r->set_of[next] = UINT64_C(1) << a | UINT64_C(1) << b;
			r->pair[a][b] = (uint8_t)next;
			if (b < 8)
				r->low8[1u << a | 1u << b] = (uint8_t)next;
		}
	}
	for (unsigned set = 0; set < 256; set++) {
		if (__builtin_popcount(set) != 3)
			continue;
		r->set_of[next] = set;
		r->low8[set] = (uint8_t)next++;
	}
	FB_ASSERT(next <= BYTEMAP_WIDE);
}

struct routes *
routes_new(const struct hash_key *key)
{
	struct routes *r = mem_zalloc(sizeof *r);

	r->key = *key;
	bytemap_init(&r->names);
	r->patterns = patterns_new(key);
	make_bytes(r);
	return r;
}

void
routes_free(struct routes *r)
{
	if (r == NULL)
		return;
	bytemap_fini(&r->names);
	patterns_free(r->patterns);
	mem_free(r);
}

static inline uint64_t
get(const struct routes *r, uint64_t name)
{
	uint64_t wide = 0;
	uint8_t byte = bytemap_get(&r->names, name, &wide);

	return byte == BYTEMAP_WIDE ? wide : r->set_of[byte];
}

static void
put(struct routes *r, uint64_t name, uint64_t set)
{
	uint8_t byte = 0;

	if (set == 0) {
		bytemap_del(&r->names, name);
		return;
	}
	if ((set & (set - 1)) == 0)
		byte = (uint8_t)(__builtin_ctzll(set) + 1);
	else if (set < 256)
		byte = r->low8[set];
	else if (set < 65536 && __builtin_popcountll(set) == 2)
		byte = r->pair[__builtin_ctzll(set)][63 - __builtin_clzll(set)];
	bytemap_put(&r->names, name, byte != 0 ? byte : BYTEMAP_WIDE, set);
}

void
routes_put(struct routes *r, unsigned slot, uint64_t name)
{
	uint64_t set = get(r, name);
	uint64_t bit = UINT64_C(1) << slot;

	if ((set & bit) != 0)
		return;
	put(r, name, set | bit);
	r->count[slot]++;
	r->total++;
}

void
routes_del(struct routes *r, unsigned slot, uint64_t name)
{
	uint64_t set = get(r, name);
	uint64_t bit = UINT64_C(1) << slot;

	if ((set & bit) == 0)
		return;
	put(r, name, set & ~bit);
	r->count[slot]--;
	r->total--;
}

void
routes_put_pattern(struct routes *r, unsigned slot, const struct pattern *p)
{
	patterns_put(r->patterns, slot, p);
}

void
routes_del_pattern(struct routes *r, unsigned slot, const struct pattern *p)
{
	patterns_del(r->patterns, slot, p);
}

struct dropping {
	uint64_t *names;
	size_t count;
	uint64_t set;
	struct routes *r;
};

static void
collect(void *arg, uint64_t hash, uint8_t byte, uint64_t wide)
{
	struct dropping *d = arg;
	uint64_t set = byte == BYTEMAP_WIDE ? wide : d->r->set_of[byte];

	if ((set & d->set) != 0)
		d->names[d->count++] = hash;
}

void
routes_drop(struct routes *r, unsigned slot)
{
	struct dropping d = { .set = UINT64_C(1) << slot, .r = r };

	patterns_drop(r->patterns, slot);
	if (r->count[slot] == 0)
		return;
	d.names = mem_alloc(r->count[slot] * sizeof *d.names);
	bytemap_each(&r->names, collect, &d);
	FB_ASSERT(d.count == r->count[slot]);
	for (size_t i = 0; i < d.count; i++)
		routes_del(r, slot, d.names[i]);
	mem_free(d.names);
}

uint64_t
routes_match_id(const struct routes *r, struct slice topic, bool *id)
{
	uint64_t set = 0;

	*id = false;
	if (r->names.count != 0) {
		uint64_t name = routes_name(&r->key, topic);
		uint64_t ids = get(r, routes_id_of_name(name));

		*id = ids != 0;
		set = get(r, name) | ids;
	}
	return set | patterns_match(r->patterns, topic);
}

uint64_t
routes_match(const struct routes *r, struct slice topic)
{
	bool id;

	return routes_match_id(r, topic, &id);
}

bool
routes_has_id(const struct routes *r, struct slice id)
{
	return r->names.count != 0 && get(r, routes_id_of_name(routes_name(&r->key, id))) != 0;
}

size_t
routes_count(const struct routes *r, unsigned slot)
{
	return r->count[slot] + patterns_count(r->patterns, slot);
}

size_t
routes_total(const struct routes *r)
{
	return r->total + patterns_total(r->patterns);
}

size_t
routes_bytes(const struct routes *r)
{
	return bytemap_bytes(&r->names);
}
