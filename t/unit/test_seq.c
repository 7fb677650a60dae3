/* SPDX-License-Identifier: Apache-2.0
 * t/unit/test_seq.c - loss, repetition and disorder are found, and found out right. */
#include "supervisor/client/seq.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/rand.h"
#include "t/support/unit.h"

START_TEST(in_order_nothing_is_missing)
{
	struct seq s = { 0 };

	for (uint32_t i = 0; i < 1000; i++)
		ck_assert_int_eq(seq_see(&s, i), SEQ_NEXT);
	ck_assert_uint_eq(seq_missing(&s, 1000), 0);
	ck_assert_uint_eq(seq_missing(&s, 1005), 5);
	seq_fini(&s);
}
END_TEST

START_TEST(loss_is_counted)
{
	struct seq s = { 0 };

	ck_assert_int_eq(seq_see(&s, 0), SEQ_NEXT);
	ck_assert_int_eq(seq_see(&s, 4), SEQ_JUMP);
	ck_assert_int_eq(seq_see(&s, 5), SEQ_NEXT);
	ck_assert_int_eq(seq_see(&s, 7), SEQ_JUMP);
	ck_assert_uint_eq(seq_missing(&s, 8), 4);
	ck_assert_uint_eq(seq_missing(&s, 10), 6);
	seq_fini(&s);
}
END_TEST

START_TEST(the_first_may_be_lost)
{
	struct seq s = { 0 };

	ck_assert_int_eq(seq_see(&s, 1), SEQ_JUMP);
	ck_assert_uint_eq(seq_missing(&s, 2), 1);
	ck_assert_int_eq(seq_see(&s, 0), SEQ_LATE);
	ck_assert_uint_eq(seq_missing(&s, 2), 0);
	seq_fini(&s);
}
END_TEST

START_TEST(repetition_is_not_lateness)
{
	struct seq s = { 0 };

	ck_assert_int_eq(seq_see(&s, 0), SEQ_NEXT);
	ck_assert_int_eq(seq_see(&s, 0), SEQ_AGAIN);
	ck_assert_int_eq(seq_see(&s, 3), SEQ_JUMP);
	ck_assert_int_eq(seq_see(&s, 3), SEQ_AGAIN);
	ck_assert_int_eq(seq_see(&s, 2), SEQ_LATE);
	ck_assert_int_eq(seq_see(&s, 2), SEQ_AGAIN);
	ck_assert_int_eq(seq_see(&s, 1), SEQ_LATE);
	ck_assert_int_eq(seq_see(&s, 1), SEQ_AGAIN);
	ck_assert_uint_eq(seq_missing(&s, 4), 0);
	seq_fini(&s);
}
END_TEST

START_TEST(a_gap_can_be_split)
{
	struct seq s = { 0 };

	ck_assert_int_eq(seq_see(&s, 100), SEQ_JUMP);
	ck_assert_int_eq(seq_see(&s, 50), SEQ_LATE);
	ck_assert_int_eq(seq_see(&s, 50), SEQ_AGAIN);
	ck_assert_int_eq(seq_see(&s, 0), SEQ_LATE);
	ck_assert_int_eq(seq_see(&s, 99), SEQ_LATE);
	ck_assert_uint_eq(seq_missing(&s, 101), 97);
	ck_assert_int_eq(seq_see(&s, 49), SEQ_LATE);
	ck_assert_int_eq(seq_see(&s, 51), SEQ_LATE);
	ck_assert_uint_eq(seq_missing(&s, 101), 95);
	seq_fini(&s);
}
END_TEST

/* Against a plain array, with everything that can go wrong. */
START_TEST(agrees_with_the_simple_way)
{
	enum { N = 400 };

	for (uint64_t seed = 0; seed < 200; seed++) {
		struct seq s = { 0 };
		bool seen[N];
		uint32_t high = 0;
		uint64_t missing = 0;
		struct rand r;

		memset(seen, 0, sizeof seen);
		rand_seed(&r, seed);
		for (int i = 0; i < 3 * N; i++) {
			uint64_t low = high > 20 ? high - 20 : 0;
			uint32_t n = (uint32_t)(low + rand_below(&r, 30));
			enum seq_verdict want;

			if (n >= N)
				n = (uint32_t)rand_below(&r, N);
			want = seen[n] ? SEQ_AGAIN : n < high ? SEQ_LATE : n == high ? SEQ_NEXT : SEQ_JUMP;
			ck_assert_int_eq(seq_see(&s, n), want);
			seen[n] = true;
			if (n >= high)
				high = n + 1;
		}
		for (int i = 0; i < N; i++)
			missing += !seen[i];
		ck_assert_uint_eq(seq_missing(&s, N), missing);
		seq_fini(&s);
	}
}
END_TEST

UNIT_MAIN("seq", in_order_nothing_is_missing, loss_is_counted, the_first_may_be_lost, repetition_is_not_lateness,
    a_gap_can_be_split, agrees_with_the_simple_way)
