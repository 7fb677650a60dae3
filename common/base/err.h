/* SPDX-License-Identifier: Apache-2.0
 * common/base/err.h - error codes of our functions, and the assertion that stays in release builds.
 *
 * A function that can fail returns 0 or one of the negative FB_E... */
#ifndef COMMON_BASE_ERR_H
#define COMMON_BASE_ERR_H

enum fb_err {
#define ERR(name, number, text) FB_##name = -(number),
#include "common/base/errors.def"
#undef ERR
};

/* The text of an error, never NULL; for 0 "ok", for an unknown number "unknown error". */
const char *err_text(int err);
/* Its name, "FB_EAGAIN"; never NULL. */
const char *err_name(int err);

/* Our own state is wrong: say so, dump core, die (crash-only). Never for what a peer or the world did. */
#define FB_ASSERT(cond) \
	do { \
		if (__builtin_expect(!(cond), 0)) \
			err_assert_failed(#cond, __FILE__, __LINE__); \
	} while (0)
_Noreturn void err_assert_failed(const char *cond, const char *file, int line);

#endif
