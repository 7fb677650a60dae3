/* SPDX-License-Identifier: Apache-2.0
 * How memory.limit is shared out among workers: supervisor/budget.h. */
#include "supervisor/budget.h"
#include "t/support/unit.h"

#define MIB (UINT64_C(1) << 20)

/* Together they never may take more than there is. */
START_TEST(all_shares_together_are_the_limit)
{
	static const uint64_t used[4] = { 3 * MIB, 200 * MIB, 0, 80 * MIB };
	uint64_t sum = 0;

	for (unsigned i = 0; i < 4; i++)
		sum += budget_share(400 * MIB, 4, used[i], 283 * MIB);
	ck_assert_uint_le(sum, 400 * MIB);
	ck_assert_uint_ge(sum, 399 * MIB);
}
END_TEST

START_TEST(who_needs_more_gets_more)
{
	ck_assert_uint_eq(budget_share(400 * MIB, 2, 0, 0), 200 * MIB);
	ck_assert_uint_gt(budget_share(400 * MIB, 2, 180 * MIB, 190 * MIB), 240 * MIB);
	ck_assert_uint_gt(budget_share(400 * MIB, 2, 10 * MIB, 190 * MIB), 150 * MIB);
	/* All is taken by one: the other gets its part back bit by bit. */
	ck_assert_uint_eq(budget_share(400 * MIB, 2, 0, 400 * MIB), 100 * MIB);
	ck_assert_uint_eq(budget_share(400 * MIB, 2, 400 * MIB, 400 * MIB), 300 * MIB);
}
END_TEST

START_TEST(never_nothing)
{
	ck_assert_uint_eq(budget_share(0, 2, 5 * MIB, 20 * MIB), 1 << 16);
}
END_TEST

UNIT_MAIN("shares_out", all_shares_together_are_the_limit, who_needs_more_gets_more, never_nothing)
