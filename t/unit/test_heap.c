/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/heap.h"
#include "common/base/rand.h"

START_TEST(smallest_first)
{
	static const int64_t keys[] = { 5, -3, 8, 0, INT64_MAX, INT64_MIN, 5 };
	struct heap_node n[7];
	struct heap h;
	int64_t last = INT64_MIN;

	heap_init(&h);
	ck_assert_ptr_null(heap_first(&h));
	for (int i = 0; i < 7; i++)
		heap_put(&h, &n[i], keys[i]);
	for (int i = 0; i < 7; i++) {
		struct heap_node *f = heap_first(&h);

		ck_assert_int_ge(f->key, last);
		last = f->key;
		heap_del(&h, f);
		ck_assert_uint_eq(f->index, SIZE_MAX);
	}
	ck_assert_ptr_null(heap_first(&h));
	heap_fini(&h);
}
END_TEST

START_TEST(random_puts_and_dels)
{
	enum { COUNT = 300 };
	static struct heap_node n[COUNT];
	struct heap h;
	struct rand r;

	rand_seed(&r, 4);
	heap_init(&h);
	for (int i = 0; i < COUNT; i++)
		n[i].index = SIZE_MAX;
	for (int i = 0; i < 50000; i++) {
		struct heap_node *one = &n[rand_below(&r, COUNT)];
		struct heap_node *least = NULL;

		if (one->index == SIZE_MAX)
			heap_put(&h, one, (int64_t)rand_below(&r, 1000));
		else
			heap_del(&h, one);
		if (i % 16 != 0)
			continue;
		for (int j = 0; j < COUNT; j++)
			if (n[j].index != SIZE_MAX && (least == NULL || n[j].key < least->key))
				least = &n[j];
		ck_assert((least == NULL) == (heap_first(&h) == NULL));
		if (least != NULL)
			ck_assert_int_eq(heap_first(&h)->key, least->key);
	}
	heap_fini(&h);
}
END_TEST

UNIT_MAIN("heap", smallest_first, random_puts_and_dels)
