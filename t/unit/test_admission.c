/* SPDX-License-Identifier: Apache-2.0
 * What is decided of a CONNECT before anybody is asked who the client is. */
#include "t/support/unit.h"
#include "worker/admission.h"

/* All sixteen cases, row by row of the original's table. */
static void
check(bool overloaded, bool target, bool drop, bool follows, enum admission want)
{
	struct admission_case c = { .overloaded = overloaded, .target = target, .drop = drop, .follows = follows };

	ck_assert_msg(admission_decide(&c) == want, "overloaded=%d target=%d drop=%d follows=%d: %d, not %d", overloaded,
	    target, drop, follows, (int)admission_decide(&c), (int)want);
}

START_TEST(overloaded_and_the_client_does_not_follow)
{
	check(true, false, true, false, ADMISSION_UNAVAILABLE);
	check(true, true, true, false, ADMISSION_UNAVAILABLE);
}
END_TEST

START_TEST(overloaded_and_no_other_server)
{
	check(true, false, true, false, ADMISSION_UNAVAILABLE);
	check(true, false, true, true, ADMISSION_UNAVAILABLE);
}
END_TEST

START_TEST(another_server_and_the_client_follows)
{
	check(false, true, false, true, ADMISSION_ELSEWHERE);
	check(false, true, true, true, ADMISSION_ELSEWHERE);
	check(true, true, false, true, ADMISSION_ELSEWHERE);
	check(true, true, true, true, ADMISSION_ELSEWHERE);
}
END_TEST

START_TEST(otherwise_it_goes_on)
{
	check(false, false, false, false, ADMISSION_GO_ON);
	check(false, false, false, true, ADMISSION_GO_ON);
	check(false, false, true, false, ADMISSION_GO_ON);
	check(false, false, true, true, ADMISSION_GO_ON);
	check(false, true, false, false, ADMISSION_GO_ON);
	check(false, true, true, false, ADMISSION_GO_ON);
	check(true, false, false, false, ADMISSION_GO_ON);
	check(true, false, false, true, ADMISSION_GO_ON);
	check(true, true, false, false, ADMISSION_GO_ON);
}
END_TEST

START_TEST(keep_alive_moves_to_the_nearest_bound)
{
	static const struct { uint16_t asked, min, max, gets; } rows[] = {
		{ 1799, 1800, 3600, 1800 }, { 1800, 1800, 3600, 1800 }, { 1801, 1800, 3600, 1801 }, { 3600, 1800, 3600, 3600 },
		{ 3601, 1800, 3600, 3600 }, { 65535, 1800, 3600, 3600 }, { 1, 1800, 3600, 1800 }, { 1, 0, 65535, 1 },
		{ 65535, 0, 65535, 65535 }, { 0, 0, 65535, 0 }, { 0, 0, 60, 0 }, { 61, 0, 60, 60 },
		{ 0, 1, 60, 60 },               /* never is longer than any */
		{ 0, 1800, 3600, 3600 }, { 9, 5, 5, 5 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		ck_assert_uint_eq(admission_keep_alive(rows[i].asked, rows[i].min, rows[i].max), rows[i].gets);
}
END_TEST

UNIT_MAIN("admission", overloaded_and_the_client_does_not_follow, overloaded_and_no_other_server,
    another_server_and_the_client_follows, otherwise_it_goes_on, keep_alive_moves_to_the_nearest_bound)
