/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/bucket.h"
#include "common/base/err.h"

START_TEST(empties_refuses_and_refills)
{
	struct bucket b;
	int64_t wait = 0;

	bucket_init(&b, 10, 5);
	ck_assert_int_eq(bucket_take(&b, 5, mono_ms(1000), &wait), 0);
	ck_assert_int_eq(bucket_take(&b, 1, mono_ms(1000), &wait), FB_EAGAIN);
	ck_assert_int_eq(wait, 100 * NS_PER_MS);
	ck_assert_int_eq(bucket_take(&b, 1, mono_ms(1100), &wait), 0);
	ck_assert_int_eq(bucket_take(&b, 6, mono_ms(9000), &wait), FB_EINVAL);
	ck_assert_int_eq(bucket_take(&b, 5, mono_ms(9000), &wait), 0);
}
END_TEST

START_TEST(all_or_none)
{
	struct bucket b;
	int64_t wait = 0;

	bucket_init(&b, 1, 3);
	ck_assert_int_eq(bucket_take(&b, 2, mono_ms(0), &wait), 0);
	ck_assert_int_eq(bucket_take(&b, 2, mono_ms(0), &wait), FB_EAGAIN);
	ck_assert_int_eq(wait, NS_PER_SEC);
	ck_assert_int_eq(bucket_take(&b, 1, mono_ms(0), &wait), 0);
}
END_TEST

START_TEST(the_largest_numbers_do_not_overflow)
{
	const uint64_t max = UINT64_C(1) << 32;
	struct bucket b;
	int64_t wait = 0;

	bucket_init(&b, 1, max);
	ck_assert_int_eq(bucket_take(&b, max, mono_ms(5), &wait), 0);
	ck_assert_int_eq(bucket_take(&b, max, mono_ms(5), &wait), FB_EAGAIN);
	ck_assert_int_eq(wait, (int64_t)max * NS_PER_SEC);
	bucket_init(&b, max, max);
	ck_assert_int_eq(bucket_take(&b, max, mono_ms(5), &wait), 0);
	ck_assert_int_eq(bucket_take(&b, max, mono_ms(5), &wait), FB_EAGAIN);
	ck_assert_int_eq(wait, NS_PER_SEC);
	ck_assert_int_eq(bucket_take(&b, max, mono_ms(1005), &wait), 0);
}
END_TEST

UNIT_MAIN("bucket", empties_refuses_and_refills, all_or_none, the_largest_numbers_do_not_overflow)
