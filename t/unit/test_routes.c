/* SPDX-License-Identifier: Apache-2.0
 * bytemap, patterns, routes, wants: against plain models, with random filters from a small alphabet. */
#include "cluster/routes.h"

#include <stdio.h>
#include <string.h>

#include "cluster/bytemap.h"
#include "cluster/wants.h"
#include "common/mqtt/topic.h"
#include "t/support/unit.h"

#define MODEL 600u
static const struct hash_key key = { 11, 22 };
static struct rand rnd;

static uint64_t
below(uint64_t n)
{
	return rand_below(&rnd, n);
}

/* A filter or topic of up to six levels over few words, so that much matches. */
static struct slice
random_text(char *to, size_t size, bool wild)
{
	static const char *const words[] = { "a", "b", "", "cc", "$x", "d" };
	unsigned levels = 1 + (unsigned)below(6);
	size_t len = 0;

	for (unsigned i = 0; i < levels; i++) {
		const char *w = words[below(6)];

		if (wild && below(3) == 0)
			w = "+";
		if (wild && i == levels - 1 && below(3) == 0)
			w = "#";
		len += (size_t)snprintf(to + len, size - len, "%s%s", i > 0 ? "/" : "", w);
	}
	if (len == 0)
		to[len++] = 'e';
	return slice_of(to, len);
}

START_TEST(bytemap_as_an_array)
{
	static uint8_t model[1u << 14];
	static uint64_t wides[1u << 14];
	static struct bytemap m;
	size_t count = 0;

	rand_seed(&rnd, 1);
	bytemap_init(&m);
	for (unsigned n = 0; n < 400000; n++) {
		uint64_t i = below(n < 200000 ? 1u << 14 : 1u << 6);
		/* Hashes that crowd into few parts and close places. */
		uint64_t hash = (i & 3) << 56 | (i * UINT64_C(0x9e3779b97f4a7c15)) >> 8;
		uint64_t wide = 0;

		ck_assert_uint_eq(bytemap_get(&m, hash, &wide), model[i]);
		if (model[i] == BYTEMAP_WIDE)
			ck_assert_uint_eq(wide, wides[i]);
		if (below(3) == 0) {
			bytemap_del(&m, hash);
			count -= model[i] != 0;
			model[i] = 0;
			continue;
		}
		count += model[i] == 0;
		model[i] = (uint8_t)(1 + below(255));
		wides[i] = n + 1;
		bytemap_put(&m, hash, model[i], wides[i]);
		ck_assert_uint_eq(m.count, count);
	}
	bytemap_fini(&m);
}
END_TEST

START_TEST(bytemap_stays_small)
{
	static struct bytemap m;

	bytemap_init(&m);
	rand_seed(&rnd, 2);
	for (unsigned n = 1; n <= 300000; n++) {
		bytemap_put(&m, rand_u64(&rnd), 1, 0);
		if (n > 20000 && n % 1000 == 0)
			ck_assert_uint_le(bytemap_bytes(&m), n * 15ul);
	}
	bytemap_fini(&m);
}
END_TEST

struct model {
	char text[64];
	struct slice filter;
	uint64_t slots;
};

static void
put_or_del(struct routes *r, struct model *m, unsigned slot, bool put)
{
	struct pattern p;

	if (put)
		m->slots |= UINT64_C(1) << slot;
	else
		m->slots &= ~(UINT64_C(1) << slot);
	if (!topic_has_wildcard(m->filter)) {
		if (put)
			routes_put(r, slot, routes_name(&key, m->filter));
		else
			routes_del(r, slot, routes_name(&key, m->filter));
		return;
	}
	pattern_make(&key, m->filter, &p);
	ck_assert_int_eq(pattern_check(&p), 0);
	if (put)
		routes_put_pattern(r, slot, &p);
	else
		routes_del_pattern(r, slot, &p);
}

static void
check_topic(const struct routes *r, const struct model *model)
{
	char text[64];
	struct slice topic = random_text(text, sizeof text, false);
	uint64_t want = 0;

	for (unsigned i = 0; i < MODEL; i++)
		if (model[i].slots != 0 && topic_matches(model[i].filter, topic))
			want |= model[i].slots;
	ck_assert_uint_eq(routes_match(r, topic), want);
}

START_TEST(matches_as_topic_matches)
{
	static struct model model[MODEL];
	struct routes *r = routes_new(&key);
	size_t total;

	rand_seed(&rnd, 3);
	memset(model, 0, sizeof model);
	for (unsigned i = 0; i < MODEL; i++) {
		bool again;

		do {    /* no filter twice: the sets are by filter */
			again = false;
			model[i].filter = random_text(model[i].text, sizeof model[i].text, below(2) == 0);
			for (unsigned k = 0; k < i; k++)
				again = again || slice_eq(model[i].filter, model[k].filter);
		} while (again);
	}
	for (unsigned n = 0; n < 60000; n++) {
		struct model *m = &model[below(MODEL)];
		unsigned slot = (unsigned)below(below(2) == 0 ? 64 : 5);

		put_or_del(r, m, slot, below(16) == 0 || (m->slots >> slot & 1) == 0);
		if (n % 16 == 0)
			check_topic(r, model);
		if (n % 5000 == 4999) {
			slot = (unsigned)below(64);
			routes_drop(r, slot);
			ck_assert_uint_eq(routes_count(r, slot), 0);
			for (unsigned i = 0; i < MODEL; i++)
				model[i].slots &= ~(UINT64_C(1) << slot);
		}
	}
	total = 0;
	for (unsigned i = 0; i < MODEL; i++)
		total += (size_t)__builtin_popcountll(model[i].slots);
	ck_assert_uint_eq(routes_total(r), total);
	for (unsigned slot = 0; slot < 64; slot++)
		routes_drop(r, slot);
	ck_assert_uint_eq(routes_total(r), 0);
	ck_assert_uint_eq(routes_match(r, SLICE_LIT("a/b")), 0);
	routes_free(r);
}
END_TEST

START_TEST(deep_filters_match_too_much_and_never_too_little)
{
	struct routes *r = routes_new(&key);
	char text[400] = "";
	struct pattern p;

	for (unsigned i = 0; i < 90; i++)
		strcat(text, i == 5 ? "+/" : "a/");
	strcat(text, "end");
	pattern_make(&key, slice_str(text), &p);
	ck_assert_uint_eq(p.levels, PATTERN_LEVELS);
	ck_assert_int_eq(pattern_check(&p), 0);
	routes_put_pattern(r, 9, &p);
	ck_assert_uint_eq(routes_match(r, slice_str(text)), UINT64_C(1) << 9);
	ck_assert_uint_eq(routes_match(r, SLICE_LIT("a/a/a")), 0);
	routes_del_pattern(r, 9, &p);
	ck_assert_uint_eq(routes_match(r, slice_str(text)), 0);
	routes_free(r);
}
END_TEST

/* All filters of + and a over 12 levels: 4096 of them end in a topic of a's. */
START_TEST(hostile_shapes_are_bounded)
{
	struct routes *r = routes_new(&key);
	struct pattern p;
	char text[64];

	for (unsigned set = 0; set < 4096; set++) {
		text[0] = '\0';
		for (unsigned i = 0; i < 12; i++)
			strcat(text, (set >> i & 1) != 0 ? "+/" : "a/");
		strcat(text, "z");
		pattern_make(&key, slice_str(text), &p);
		routes_put_pattern(r, 3, &p);
	}
	pattern_make(&key, SLICE_LIT("never/+"), &p);
	routes_put_pattern(r, 7, &p);
	ck_assert_uint_eq(routes_match(r, SLICE_LIT("a/a/a/a/a/a/a/a/a/a/a/a/z")), UINT64_C(1) << 3 | UINT64_C(1) << 7);
	ck_assert_uint_eq(routes_match(r, SLICE_LIT("b/c")), 0);
	routes_free(r);
}
END_TEST

START_TEST(bad_patterns_are_refused)
{
	struct pattern p = { 0 };

	ck_assert_int_eq(pattern_check(&p), FB_EPROTO);
	p.levels = 2;
	p.level[0] = PATTERN_HASH;
	ck_assert_int_eq(pattern_check(&p), FB_EPROTO);
	p.levels = PATTERN_LEVELS + 1;
	ck_assert_int_eq(pattern_check(&p), FB_EPROTO);
}
END_TEST

static void
add_to(void *arg, const struct pattern *p)
{
	struct routes *r = arg;

	if (p->levels == 0)
		routes_put(r, 1, p->level[0]);
	else
		routes_put_pattern(r, 1, p);
}

/* Each filter 300 times (the wide count), in any order: only first and last are told. */
START_TEST(wants_tell_only_first_and_last)
{
	static const char *const filters[] = { "a", "a/b", "+/b", "#", "$SYS/#", "client" };
	unsigned count[6] = { 0 };
	struct wants w;
	struct pattern p;

	rand_seed(&rnd, 4);
	wants_init(&w, &key);
	for (unsigned n = 0; n < 20000; n++) {
		unsigned i = (unsigned)below(6);

		if (count[i] > 0 && below(n < 15000 ? 4 : 2) == 0)
			ck_assert(wants_del(&w, slice_str(filters[i]), &p) == (--count[i] == 0));
		else
			ck_assert(wants_put(&w, slice_str(filters[i]), &p) == (count[i]++ == 0));
	}
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_gt(count[i], 255);
	ck_assert_uint_eq(wants_count(&w), 6);
	{
		struct routes *r = routes_new(&key);

		wants_each(&w, add_to, r);
		ck_assert_uint_eq(routes_count(r, 1), 6);
		ck_assert_uint_eq(routes_match(r, SLICE_LIT("x/b")), 2);
		ck_assert_uint_eq(routes_match(r, SLICE_LIT("$SYS/b")), 2);
		ck_assert_uint_eq(routes_match(r, SLICE_LIT("$other/b")), 0);
		routes_free(r);
	}
	for (unsigned i = 0; i < 6; i++)
		while (count[i] > 0)
			ck_assert(wants_del(&w, slice_str(filters[i]), &p) == (--count[i] == 0));
	ck_assert_uint_eq(wants_count(&w), 0);
	wants_fini(&w);
}
END_TEST

/* A client's id is no topic that somebody wants, and the reverse; a publish to the name goes to both. */
START_TEST(ids_have_a_space_of_their_own)
{
	struct routes *r = routes_new(&key);
	struct slice name = SLICE_LIT("alice");
	struct pattern p;
	struct wants w;
	bool id;

	wants_init(&w, &key);
	ck_assert(wants_put(&w, name, &p));
	routes_put(r, 3, p.level[0]);
	ck_assert(!routes_has_id(r, name));
	ck_assert_uint_eq(routes_match_id(r, name, &id), UINT64_C(1) << 3);
	ck_assert(!id);
	ck_assert(wants_put_id(&w, name, &p));
	ck_assert(!wants_put_id(&w, name, &p));
	routes_put(r, 5, p.level[0]);
	ck_assert(routes_has_id(r, name) && !routes_has_id(r, SLICE_LIT("bob")));
	ck_assert_uint_eq(routes_match_id(r, name, &id), UINT64_C(1) << 3 | UINT64_C(1) << 5);
	ck_assert(id);
	ck_assert(wants_del(&w, name, &p));
	routes_del(r, 3, p.level[0]);
	ck_assert_uint_eq(routes_match(r, name), UINT64_C(1) << 5);
	ck_assert(!wants_del_id(&w, name, &p) && wants_del_id(&w, name, &p));
	routes_drop(r, 5);
	ck_assert(!routes_has_id(r, name));
	wants_fini(&w);
	routes_free(r);
}
END_TEST

UNIT_MAIN("routes", ids_have_a_space_of_their_own, bytemap_as_an_array, bytemap_stays_small, matches_as_topic_matches,
    deep_filters_match_too_much_and_never_too_little, hostile_shapes_are_bounded, bad_patterns_are_refused,
    wants_tell_only_first_and_last)
