/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/slice.h"

START_TEST(takes_and_moves_on)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 2, 3, 7, 6, 5, 4, 8, 7, 6, 5, 4, 3, 2, 1, 0, 2, 'h', 'i',
		2, 0, 0, 0, 'y', 'o', 9 };
	struct slice s = slice_of(bytes, sizeof bytes);
	struct slice t;
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	ck_assert_int_eq(slice_take_u8(&s, &u8), 0);
	ck_assert_uint_eq(u8, 1);
	ck_assert_int_eq(slice_take_be16(&s, &u16), 0);
	ck_assert_uint_eq(u16, 0x0203);
	ck_assert_int_eq(slice_take_be32(&s, &u32), 0);
	ck_assert_uint_eq(u32, 0x04050607);
	ck_assert_int_eq(slice_take_le16(&s, &u16), 0);
	ck_assert_uint_eq(u16, 0x0302);
	ck_assert_int_eq(slice_take_le32(&s, &u32), 0);
	ck_assert_uint_eq(u32, 0x04050607);
	ck_assert_int_eq(slice_take_le64(&s, &u64), 0);
	ck_assert_uint_eq(u64, UINT64_C(0x0102030405060708));
	ck_assert_int_eq(slice_take_be16_bytes(&s, &t), 0);
	ck_assert(slice_eq(t, slice_str("hi")));
	ck_assert_int_eq(slice_take_le32_bytes(&s, &t), 0);
	ck_assert(slice_eq(t, SLICE_LIT("yo")));
	ck_assert_int_eq(slice_take(&s, 1, &t), 0);
	ck_assert_uint_eq(t.p[0], 9);
	ck_assert_uint_eq(s.len, 0);
}
END_TEST

/* Each take, on every length that is too short: refused, nothing moved. */
START_TEST(too_short_changes_nothing)
{
	static const uint8_t bytes[] = { 4, 0, 0, 0, 1, 1, 1, 1 };
	struct slice t = slice_of(NULL, 99);
	uint8_t u8 = 9;
	uint16_t u16 = 9;
	uint32_t u32 = 9;
	uint64_t u64 = 9;

	for (size_t n = 0; n < 8; n++) {
		struct slice s = slice_of(bytes, n);

		ck_assert_int_eq(slice_take(&s, n + 1, &t), FB_ESHORT);
		ck_assert_int_eq(slice_take_le64(&s, &u64), FB_ESHORT);
		ck_assert_int_eq(slice_take_le32_bytes(&s, &t), FB_ESHORT);
		ck_assert_int_eq(slice_take_be16_bytes(&s, &t), FB_ESHORT);
		if (n < 4) {
			ck_assert_int_eq(slice_take_le32(&s, &u32), FB_ESHORT);
			ck_assert_int_eq(slice_take_be32(&s, &u32), FB_ESHORT);
		}
		if (n < 2) {
			ck_assert_int_eq(slice_take_le16(&s, &u16), FB_ESHORT);
			ck_assert_int_eq(slice_take_be16(&s, &u16), FB_ESHORT);
		}
		if (n < 1)
			ck_assert_int_eq(slice_take_u8(&s, &u8), FB_ESHORT);
		ck_assert_ptr_eq(s.p, bytes);
		ck_assert_uint_eq(s.len, n);
	}
	ck_assert_uint_eq(u8 + u16 + u32 + u64, 36);
	ck_assert_uint_eq(t.len, 99);
}
END_TEST

START_TEST(equality)
{
	ck_assert(slice_eq(slice_of(NULL, 0), SLICE_LIT("")));
	ck_assert(slice_eq(SLICE_LIT("a\0b"), slice_of("a\0bc", 3)));
	ck_assert(!slice_eq(SLICE_LIT("a"), SLICE_LIT("b")));
	ck_assert(!slice_eq(SLICE_LIT("a"), SLICE_LIT("ab")));
}
END_TEST

UNIT_MAIN("slice", takes_and_moves_on, too_short_changes_nothing, equality)
