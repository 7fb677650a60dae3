/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/admission.h"

#include <stddef.h>

enum { NO, YES, ANY };

/* What happens at CONNECT; what is in no row goes on to the login. No two rows speak of one case. */
static const struct {
	uint8_t overloaded, target, drop, follows;
	enum admission result;
} table[] = {
	{ YES, ANY, YES, NO,  ADMISSION_UNAVAILABLE },
	{ YES, NO,  YES, ANY, ADMISSION_UNAVAILABLE },
	{ ANY, YES, ANY, YES, ADMISSION_ELSEWHERE },
};

static bool
fits(uint8_t want, bool is)
{
	return want == ANY || want == (is ? YES : NO);
}

enum admission
admission_decide(const struct admission_case *c)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (fits(table[i].overloaded, c->overloaded) && fits(table[i].target, c->target) &&
		    fits(table[i].drop, c->drop) && fits(table[i].follows, c->follows))
			return table[i].result;
	return ADMISSION_GO_ON;
}

uint16_t
admission_keep_alive(uint16_t asked_s, uint16_t min_s, uint16_t max_s)
{
	if (asked_s == 0)
		return min_s == 0 ? 0 : max_s;
	return asked_s < min_s ? min_s : asked_s > max_s ? max_s : asked_s;
}
