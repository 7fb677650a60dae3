/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/hmap.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/rand.h"

struct thing {
	struct hmap_node node;
	uint64_t key;
	bool in;
	bool seen;
};

static struct thing *
find(const struct hmap *m, uint64_t key, uint64_t hash)
{
	for (struct hmap_node *n = hmap_first(m, hash); n != NULL; n = hmap_next(n, hash))
		if (container_of(n, struct thing, node)->key == key)
			return container_of(n, struct thing, node);
	return NULL;
}

static uint64_t
hash_of(uint64_t key)
{
	return rand_hash(&key, sizeof key);
}

START_TEST(an_empty_one)
{
	struct hmap m;
	struct hmap_iter it = { 0 };

	hmap_init(&m);
	ck_assert_ptr_null(hmap_first(&m, 0));
	ck_assert_ptr_null(hmap_each(&m, &it));
	hmap_fini(&m);
}
END_TEST

START_TEST(equal_hashes_are_kept_apart_by_the_caller)
{
	struct thing t[40];
	struct hmap m;

	hmap_init(&m);
	for (uint64_t i = 0; i < 40; i++) {
		t[i].key = i;
		hmap_put(&m, &t[i].node, i % 2);
	}
	for (uint64_t i = 0; i < 40; i++) {
		ck_assert_ptr_eq(find(&m, i, i % 2), &t[i]);
		ck_assert_ptr_null(find(&m, i, 1 - i % 2));
	}
	for (uint64_t i = 0; i < 40; i++)
		hmap_del(&m, &t[i].node);
	ck_assert_uint_eq(m.count, 0);
	hmap_fini(&m);
}
END_TEST

/* After every put all earlier ones are found, also in the middle of a growth. */
START_TEST(nothing_is_lost_while_it_grows)
{
	enum { COUNT = 1500 };
	static struct thing t[COUNT];
	struct hmap m;
	int halfway = 0;

	hmap_init(&m);
	for (uint64_t i = 0; i < COUNT; i++) {
		t[i].key = i;
		hmap_put(&m, &t[i].node, hash_of(i));
		halfway += m.old != NULL;
		for (uint64_t j = 0; j <= i; j++)
			ck_assert_ptr_eq(find(&m, j, hash_of(j)), &t[j]);
		ck_assert_ptr_null(find(&m, i + 1, hash_of(i + 1)));
	}
	ck_assert_int_gt(halfway, 100);
	ck_assert_uint_eq(m.count, COUNT);
	hmap_fini(&m);
}
END_TEST

static void
check_each(const struct hmap *m, struct thing *t, size_t count)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;
	size_t seen = 0;

	for (size_t i = 0; i < count; i++)
		t[i].seen = false;
	while ((n = hmap_each(m, &it)) != NULL) {
		struct thing *one = container_of(n, struct thing, node);

		ck_assert(one->in && !one->seen);
		one->seen = true;
		seen++;
	}
	ck_assert_uint_eq(seen, m->count);
}

START_TEST(random_puts_dels_and_iterations)
{
	enum { COUNT = 5000 };
	struct thing *t = mem_zalloc(COUNT * sizeof *t);
	struct hmap m;
	struct rand r;

	rand_seed(&r, 5);
	hmap_init(&m);
	for (uint64_t i = 0; i < COUNT; i++)
		t[i].key = i;
	for (int i = 0; i < 60000; i++) {
		struct thing *one = &t[rand_below(&r, COUNT)];

		ck_assert_ptr_eq(find(&m, one->key, hash_of(one->key)), one->in ? one : NULL);
		if (!one->in) {
			hmap_put(&m, &one->node, hash_of(one->key));
			one->in = true;
		} else if (rand_below(&r, 3) == 0) {
			hmap_del(&m, &one->node);
			one->in = false;
		}
		if (i % 977 == 0)
			check_each(&m, t, COUNT);
	}
	check_each(&m, t, COUNT);
	hmap_fini(&m);
	mem_free(t);
}
END_TEST

START_TEST(the_node_in_hand_may_be_deleted)
{
	enum { COUNT = 1100 };                          /* in the middle of a growth */
	static struct thing t[COUNT];
	struct hmap_iter it = { 0 };
	struct hmap_node *n;
	struct hmap m;
	int seen = 0;

	hmap_init(&m);
	for (uint64_t i = 0; i < COUNT; i++)
		hmap_put(&m, &t[i].node, hash_of(i));
	ck_assert_ptr_nonnull(m.old);
	while ((n = hmap_each(&m, &it)) != NULL) {
		hmap_del(&m, n);
		seen++;
	}
	ck_assert_int_eq(seen, COUNT);
	ck_assert_uint_eq(m.count, 0);
	ck_assert_ptr_null(hmap_first(&m, 0));
	hmap_fini(&m);
}
END_TEST

UNIT_MAIN("hmap", an_empty_one, equal_hashes_are_kept_apart_by_the_caller, nothing_is_lost_while_it_grows,
    random_puts_dels_and_iterations, the_node_in_hand_may_be_deleted)
