/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "supervisor/client/ledger.h"

START_TEST(acknowledged_and_not_arrived_is_lost)
{
	struct ledger l = { .state = NULL };

	for (uint64_t i = 0; i < 10000; i++)
		ck_assert_uint_eq(ledger_put(&l, (uint8_t)(i % 3)), i);
	ck_assert_uint_eq(ledger_lost(&l), 0);
	ck_assert_uint_eq(ledger_unacked(&l), 6666);
	for (uint64_t i = 0; i < 10000; i++)
		if (i % 3 != 0)
			ledger_acked(&l, i, true);
	ck_assert_uint_eq(ledger_unacked(&l), 0);
	ck_assert_uint_eq(ledger_lost(&l), 6666);
	for (uint64_t i = 0; i < 9999; i++)
		ledger_arrived(&l, i);
	ck_assert_uint_eq(ledger_lost(&l), 0);
	ck_assert_uint_eq(l.n.arrived[0] + l.n.arrived[1] + l.n.arrived[2], 9999);
	ledger_fini(&l);
}
END_TEST

START_TEST(twice)
{
	struct ledger l = { .state = NULL };

	for (uint8_t qos = 0; qos < 3; qos++) {
		ledger_arrived(&l, ledger_put(&l, qos));
		ledger_arrived(&l, qos);
	}
	ck_assert_uint_eq(l.n.again, 1);
	ck_assert_uint_eq(l.n.doubled, 2);
	ledger_fini(&l);
}
END_TEST

START_TEST(refused_is_neither_lost_nor_unacknowledged)
{
	struct ledger l = { .state = NULL };

	ledger_acked(&l, ledger_put(&l, 1), false);
	ck_assert_uint_eq(l.n.refused, 1);
	ck_assert_uint_eq(ledger_lost(&l), 0);
	ck_assert_uint_eq(ledger_unacked(&l), 0);
	ledger_fini(&l);
}
END_TEST

START_TEST(what_was_never_put)
{
	struct ledger l = { .state = NULL };

	ledger_arrived(&l, 0);
	ledger_acked(&l, 0, true);
	ck_assert_uint_eq(l.n.strange, 2);
	ledger_acked(&l, ledger_put(&l, 1), true);
	ledger_acked(&l, 0, true);
	ck_assert_uint_eq(l.n.strange, 3);
	ledger_put(&l, 2);
	ledger_undo(&l);
	ck_assert_uint_eq(l.n.published[2], 0);
	ck_assert_uint_eq(ledger_unacked(&l), 0);
	ledger_fini(&l);
}
END_TEST

UNIT_MAIN("ledger", acknowledged_and_not_arrived_is_lost, twice, refused_is_neither_lost_nor_unacknowledged,
    what_was_never_put)
