/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <string.h>

#include "common/base/err.h"

static const int all[] = {
#define ERR(name, number, text) FB_##name,
#include "common/base/errors.def"
#undef ERR
};

START_TEST(every_error_has_its_own_number_name_and_text)
{
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		ck_assert_int_lt(all[i], 0);
		ck_assert_str_ne(err_text(all[i]), "unknown error");
		ck_assert_int_eq(strncmp(err_name(all[i]), "FB_", 3), 0);
		for (size_t j = 0; j < i; j++) {
			ck_assert_int_ne(all[i], all[j]);
			ck_assert_str_ne(err_text(all[i]), err_text(all[j]));
		}
	}
}
END_TEST

START_TEST(other_numbers_have_a_text_too)
{
	ck_assert_str_eq(err_text(0), "ok");
	ck_assert_str_eq(err_text(7), "unknown error");
	ck_assert_str_eq(err_text(-9999), "unknown error");
	ck_assert_str_eq(err_name(-9999), "unknown error");
	ck_assert_str_eq(err_name(FB_EAGAIN), "FB_EAGAIN");
}
END_TEST

UNIT_MAIN("err", every_error_has_its_own_number_name_and_text, other_numbers_have_a_text_too)
