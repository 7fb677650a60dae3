/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/err.h"

#include <stdlib.h>

#include "common/base/log.h"

const char *
err_text(int err)
{
	switch (err) {
	case 0:
		return "ok";
#define ERR(name, number, text) \
	case FB_##name: \
		return text;
#include "common/base/errors.def"
#undef ERR
	}
	return "unknown error";
}

const char *
err_name(int err)
{
	switch (err) {
	case 0:
		return "ok";
#define ERR(name, number, text) \
	case FB_##name: \
		return "FB_" #name;
#include "common/base/errors.def"
#undef ERR
	}
	return "unknown error";
}

void
err_assert_failed(const char *cond, const char *file, int line)
{
	log_error("assert", "failed", "at=%s:%d condition=%s", file, line, cond);
	abort();
}
