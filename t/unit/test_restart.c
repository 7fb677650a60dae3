/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "supervisor/restart.h"

START_TEST(at_once_then_slower_then_forgiven)
{
	struct restart r = { 0 };
	struct mono now = mono_ms(1000);
	static const int64_t ms[] = { 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000 };

	for (size_t i = 0; i < sizeof ms / sizeof ms[0]; i++) {
		restart_started(&r, now);
		now = mono_add(now, NS_PER_SEC);
		ck_assert_int_eq(restart_delay_ns(&r, now), ms[i] * NS_PER_MS);
	}
	restart_started(&r, now);
	ck_assert_int_eq(restart_delay_ns(&r, mono_add(now, 60 * NS_PER_SEC)), 0);
}
END_TEST

START_TEST(second_death_with_one_note_bans)
{
	struct blame b = { 0 };
	struct mono now = mono_ms(5000);
	uint32_t most = 0;

	ck_assert(!blame_death(&b, 0, now));
	ck_assert(!blame_death(&b, 0, now));
	ck_assert(!blame_death(&b, 77, now));
	ck_assert(!blame_death(&b, 78, now));
	ck_assert(blame_death(&b, 77, mono_add(now, NS_PER_SEC)));
	now = mono_add(now, 2 * NS_PER_SEC);
	for (unsigned i = 0; i < 32; i++)
		if (blame_left_s(&b, i, now) > most)
			most = blame_left_s(&b, i, now);
	ck_assert_uint_eq(most, BLAME_BAN_S - 1);
	for (unsigned i = 0; i < 40; i++)
		ck_assert_uint_eq(blame_left_s(&b, i, mono_add(now, 60 * NS_PER_SEC)), 0);
	ck_assert(!blame_death(&b, 78, mono_add(now, 700 * NS_PER_SEC)));
}
END_TEST

START_TEST(many_notes_push_out_the_oldest)
{
	struct blame b = { 0 };

	for (unsigned i = 1; i <= 33; i++)
		ck_assert(!blame_death(&b, i, mono_ms(i)));
	ck_assert(!blame_death(&b, 1, mono_ms(40)));
	ck_assert(blame_death(&b, 33, mono_ms(41)));
}
END_TEST

UNIT_MAIN("restart", at_once_then_slower_then_forgiven, second_death_with_one_note_bans, many_notes_push_out_the_oldest)
