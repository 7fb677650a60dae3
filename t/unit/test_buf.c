/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/buf.h"
#include "common/base/rand.h"

START_TEST(an_empty_one_holds_nothing)
{
	struct buf b;

	buf_init(&b);
	ck_assert_uint_eq(buf_len(&b), 0);
	buf_shrink(&b);
	buf_put(&b, NULL, 0);
	ck_assert_ptr_null(b.base);
	buf_put_u8(&b, 7);
	buf_shrink(&b);
	ck_assert_uint_eq(buf_len(&b), 1);
	buf_eat(&b, 1);
	buf_shrink(&b);
	ck_assert_ptr_null(b.base);
	ck_assert_uint_eq(b.cap, 0);
	buf_fini(&b);
}
END_TEST

START_TEST(numbers_and_their_byte_order)
{
	static const uint8_t want[] = { 1, 2, 3, 4, 5, 6, 7, 3, 2, 7, 6, 5, 4, 8, 7, 6, 5, 4, 3, 2, 1, 0, 2, 'h', 'i',
		2, 0, 0, 0, 'y', 'o' };
	struct buf b;

	buf_init(&b);
	buf_put_u8(&b, 1);
	buf_put_be16(&b, 0x0203);
	buf_put_be32(&b, 0x04050607);
	buf_put_le16(&b, 0x0203);
	buf_put_le32(&b, 0x04050607);
	buf_put_le64(&b, UINT64_C(0x0102030405060708));
	buf_put_be16_bytes(&b, SLICE_LIT("hi"));
	buf_put_le32_bytes(&b, SLICE_LIT("yo"));
	ck_assert(slice_eq(buf_slice(&b), slice_of(want, sizeof want)));
	buf_clear(&b);
	ck_assert_uint_eq(buf_len(&b), 0);
	buf_fini(&b);
}
END_TEST

/* Bytes go in at one end and come out at the other, in order, whatever the sizes. */
START_TEST(random_puts_and_eats)
{
	struct rand r;
	struct buf b;
	uint8_t in = 0;
	uint8_t out = 0;

	rand_seed(&r, 1);
	buf_init(&b);
	for (int i = 0; i < 20000; i++) {
		size_t n = (size_t)rand_below(&r, i % 100 == 0 ? 30000 : 300);
		uint8_t *p = buf_room(&b, n);

		for (size_t j = 0; j < n; j++)
			p[j] = in++;
		buf_added(&b, n);
		n = (size_t)rand_below(&r, buf_len(&b) + 1);
		for (size_t j = 0; j < n; j++)
			ck_assert_uint_eq(buf_slice(&b).p[j], out++);
		buf_eat(&b, n);
	}
	buf_fini(&b);
	ck_assert_uint_eq(b.cap, 0);
}
END_TEST

START_TEST(it_does_not_grow_when_eaten_as_fast)
{
	struct buf b;

	buf_init(&b);
	buf_put_u8(&b, 0);
	for (int i = 0; i < 100000; i++) {
		buf_put_le32(&b, 0);
		buf_eat(&b, 4);
	}
	ck_assert_uint_le(b.cap, 1024);
	buf_fini(&b);
}
END_TEST

START_TEST(beyond_the_slabs)
{
	struct buf b;

	buf_init(&b);
	for (uint32_t i = 0; i < 100000; i++)
		buf_put_le32(&b, i);
	for (uint32_t i = 0; i < 100000; i++) {
		struct slice s = buf_slice(&b);
		uint32_t v = 0;

		ck_assert_int_eq(slice_take_le32(&s, &v), 0);
		ck_assert_uint_eq(v, i);
		buf_eat(&b, 4);
	}
	buf_fini(&b);
}
END_TEST

UNIT_MAIN("buf", an_empty_one_holds_nothing, numbers_and_their_byte_order, random_puts_and_eats,
    it_does_not_grow_when_eaten_as_fast, beyond_the_slabs)
