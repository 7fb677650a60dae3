/* SPDX-License-Identifier: Apache-2.0
 * What is decided of a CONNECT before anybody is asked who the client is. */
#include "t/support/unit.h"
#include "worker/admission.h"

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

UNIT_MAIN("admission", keep_alive_moves_to_the_nearest_bound)
