/* SPDX-License-Identifier: Apache-2.0
 * The averages of $SYS/broker/load. */
#include "supervisor/systree.h"
#include "t/support/unit.h"

static bool
near(double a, double b)
{
	return a - b < 0.005 && b - a < 0.005;
}

START_TEST(first_values)
{
	/* What mosquitto shows after one message in the first second. */
	ck_assert(near(systree_average(0, 1, 1, 1), 0.99));
	ck_assert(near(systree_average(0, 1, 1, 5), 0.20));
	ck_assert(near(systree_average(0, 1, 1, 15), 0.07));
	ck_assert(near(systree_average(0, 0, 1, 1), 0));
}
END_TEST

START_TEST(a_steady_rate_is_reached_however_long_the_interval)
{
	static const int intervals[] = { 1, 10, 60, 600 };

	for (unsigned i = 0; i < 4; i++) {
		double load = 0;

		for (int t = 0; t < 4 * 3600; t += intervals[i])
			load = systree_average(load, 5 * (uint64_t)intervals[i], intervals[i], 15);
		ck_assert(near(load, 300));     /* 5 a second */
	}
}
END_TEST

START_TEST(silence_fades)
{
	double load = 100;

	for (int i = 0; i < 6; i++)
		load = systree_average(load, 0, 10, 1);
	ck_assert(near(load, 36.788));          /* 1/e after the minute */
}
END_TEST

UNIT_MAIN("systree", first_values, a_steady_rate_is_reached_however_long_the_interval, silence_fades)
