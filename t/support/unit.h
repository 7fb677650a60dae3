/* SPDX-License-Identifier: Apache-2.0
 * t/support/unit.h - one test program a module: START_TEST ... END_TEST, then
 *
 *	UNIT_MAIN("bucket", empties_refuses_and_refills, refuses_more_than_burst)
 *
 * Up to 64 tests a module. CK_FORK=no runs them in one process (sanitizers, gdb). */
#ifndef T_SUPPORT_UNIT_H
#define T_SUPPORT_UNIT_H

#include <check.h>
#include <stdlib.h>

/* Check's own writes where it is into a file, and flushes it, whenever an assertion holds: 20 us each, a minute in a
 * loop over bytes. Ours says something when one fails; a crash is the sanitizers' and the debugger's. */
#undef ck_assert_msg
#define ck_assert_msg(expr, ...) \
	((expr) ? (void)0 : _ck_assert_failed(__FILE__, __LINE__, "Assertion '" #expr "' failed", __VA_ARGS__))

static inline int
unit_run(const char *name, const TTest *const *tests, size_t count)
{
	Suite *s = suite_create(name);
	TCase *c = tcase_create(name);
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 180);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(c, tests[i]);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define UNIT_MAIN(name, ...) \
	int \
	main(void) \
	{ \
		const TTest *const tests[] = { __VA_ARGS__ }; \
		return unit_run(name, tests, sizeof tests / sizeof tests[0]); \
	}

#endif
