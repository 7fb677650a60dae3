/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/clock.h"

START_TEST(mono_does_not_go_back)
{
	struct mono a = clock_mono();

	for (int i = 0; i < 1000; i++) {
		struct mono b = clock_mono();

		ck_assert_int_ge(mono_diff(b, a), 0);
		a = b;
	}
}
END_TEST

START_TEST(wall_is_after_2020)
{
	ck_assert_int_gt(clock_wall().ns / NS_PER_SEC, 1577836800);
}
END_TEST

START_TEST(arithmetic)
{
	ck_assert_int_eq(mono_ms(3).ns, 3000000);
	ck_assert_int_eq(mono_diff(mono_add(mono_ms(3), 5), mono_ms(1)), 2 * NS_PER_MS + 5);
}
END_TEST

UNIT_MAIN("clock", mono_does_not_go_back, wall_is_after_2020, arithmetic)
