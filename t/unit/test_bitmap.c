/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <string.h>

#include "common/base/bitmap.h"
#include "common/base/rand.h"

START_TEST(in_out_and_no_memory_when_empty)
{
	struct bitmap b;

	bitmap_init(&b);
	ck_assert(!bitmap_has(&b, 1));
	ck_assert(!bitmap_del(&b, 65535));
	ck_assert(bitmap_put(&b, 1));
	ck_assert(!bitmap_put(&b, 1));
	ck_assert(bitmap_put(&b, 65535));
	ck_assert(bitmap_has(&b, 65535));
	ck_assert(!bitmap_has(&b, 65534));
	ck_assert_uint_eq(b.used, 2);
	ck_assert(bitmap_del(&b, 1));
	ck_assert(bitmap_del(&b, 65535));
	ck_assert_ptr_null(b.words);
	bitmap_fini(&b);
}
END_TEST

START_TEST(the_lowest_free_one_from_the_hint_on)
{
	struct bitmap b;

	bitmap_init(&b);
	ck_assert_uint_eq(bitmap_free_id(&b, 0), 1);
	ck_assert_uint_eq(bitmap_free_id(&b, 65535), 65535);
	for (uint16_t i = 1; i <= 512; i++)
		bitmap_put(&b, i);
	ck_assert_uint_eq(bitmap_free_id(&b, 1), 513);
	bitmap_del(&b, 300);
	ck_assert_uint_eq(bitmap_free_id(&b, 1), 300);
	ck_assert_uint_eq(bitmap_free_id(&b, 301), 513);
	bitmap_put(&b, 65535);
	ck_assert_uint_eq(bitmap_free_id(&b, 65535), 300);
	bitmap_fini(&b);
}
END_TEST

START_TEST(all_in_use)
{
	struct bitmap b;

	bitmap_init(&b);
	for (uint32_t i = 1; i <= 65535; i++)
		ck_assert(bitmap_put(&b, (uint16_t)i));
	ck_assert_uint_eq(bitmap_free_id(&b, 0), 0);
	ck_assert_uint_eq(bitmap_free_id(&b, 777), 0);
	bitmap_del(&b, 776);
	ck_assert_uint_eq(bitmap_free_id(&b, 777), 776);
	bitmap_fini(&b);
}
END_TEST

START_TEST(like_a_plain_array)
{
	static bool in[65536];
	struct bitmap b;
	struct rand r;
	uint32_t used = 0;

	memset(in, 0, sizeof in);
	rand_seed(&r, 2);
	bitmap_init(&b);
	for (int i = 0; i < 100000; i++) {
		uint16_t id = (uint16_t)(1 + rand_below(&r, i % 3 == 0 ? 65535 : 100));

		ck_assert(bitmap_has(&b, id) == in[id]);
		if (rand_below(&r, 2) == 0) {
			ck_assert(bitmap_put(&b, id) != in[id]);
			used += !in[id];
			in[id] = true;
		} else {
			ck_assert(bitmap_del(&b, id) == in[id]);
			used -= in[id];
			in[id] = false;
		}
		ck_assert_uint_eq(b.used, used);
		id = (uint16_t)(1 + rand_below(&r, 65535));
		while (id != 0 && in[id])
			id++;
		if (id != 0)
			ck_assert_uint_eq(bitmap_free_id(&b, id), id);
	}
	bitmap_fini(&b);
}
END_TEST

UNIT_MAIN("bitmap", in_out_and_no_memory_when_empty, the_lowest_free_one_from_the_hint_on, all_in_use,
    like_a_plain_array)
