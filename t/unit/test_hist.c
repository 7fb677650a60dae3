/* SPDX-License-Identifier: Apache-2.0
 * t/unit/test_hist.c - quantiles of known values. */
#include "supervisor/client/hist.h"

#include "common/base/rand.h"
#include "t/support/unit.h"

static struct hist h;

START_TEST(empty_is_zero)
{
	hist_clear(&h);
	ck_assert_uint_eq(hist_quantile(&h, 0.5), 0);
	ck_assert(hist_mean(&h) == 0);
}
END_TEST

START_TEST(small_values_are_exact)
{
	hist_clear(&h);
	for (int i = 1; i <= 100; i++)
		hist_add(&h, i, 1);
	ck_assert_uint_eq(hist_quantile(&h, 0), 1);
	ck_assert_uint_eq(hist_quantile(&h, 0.01), 1);
	ck_assert_uint_eq(hist_quantile(&h, 0.5), 50);
	ck_assert_uint_eq(hist_quantile(&h, 0.501), 51);
	ck_assert_uint_eq(hist_quantile(&h, 0.99), 99);
	ck_assert_uint_eq(hist_quantile(&h, 1), 100);
	ck_assert(hist_mean(&h) == 50.5);
}
END_TEST

START_TEST(large_values_are_within_a_step)
{
	struct rand r;

	rand_seed(&r, 1);
	for (int i = 0; i < 10000; i++) {
		uint64_t v = rand_u64(&r) >> (22 + rand_below(&r, 42));
		uint64_t got;

		hist_clear(&h);
		hist_add(&h, (int64_t)v, 1);
		hist_add(&h, INT64_C(1) << 42, 1);      /* so that max does not correct it */
		got = hist_quantile(&h, 0.5);
		ck_assert_uint_ge(got, v);
		ck_assert_uint_le(got - v, v >> 7);
	}
}
END_TEST

START_TEST(slots_follow_each_other)
{
	uint32_t last = 0;

	for (uint64_t v = 1; v < 200000; v++) {
		uint32_t slot = hist_slot(v);

		ck_assert(slot == last || slot == last + 1);
		last = slot;
	}
	ck_assert_uint_eq(hist_slot((UINT64_C(1) << HIST_MAX_BITS) - 1), HIST_SLOTS - 1);
	ck_assert_uint_eq(hist_slot(UINT64_MAX), HIST_SLOTS - 1);
}
END_TEST

START_TEST(counts_many_and_negative)
{
	hist_clear(&h);
	hist_add(&h, -5, 3);
	hist_add(&h, 1000, 1);
	ck_assert_uint_eq(h.count, 4);
	ck_assert_uint_eq(hist_quantile(&h, 0.75), 0);
	ck_assert_uint_eq(hist_quantile(&h, 0.76), 1000);
	ck_assert_uint_eq(h.max, 1000);
}
END_TEST

UNIT_MAIN("hist", empty_is_zero, small_values_are_exact, large_values_are_within_a_step, slots_follow_each_other,
    counts_many_and_negative)
