/* SPDX-License-Identifier: Apache-2.0
 * common/config/forms.c - texts with a form of their own. */
#include <string.h>

#include "common/config/config.h"

/* Digits alone, up to 65535, from *at on. */
static bool
take_u16(const char **at, uint16_t *out)
{
	uint32_t n = 0;
	size_t digits = strspn(*at, "0123456789");

	if (digits == 0 || digits > 5)
		return false;
	for (size_t i = 0; i < digits; i++)
		n = n * 10 + (uint32_t)((*at)[i] - '0');
	if (n > UINT16_MAX)
		return false;
	*at += digits;
	*out = (uint16_t)n;
	return true;
}

bool
config_range(const char *text, uint16_t *min, uint16_t *max)
{
	uint16_t a, b;

	if (!take_u16(&text, &a) || *text++ != '-' || !take_u16(&text, &b) || *text != '\0' || a > b || b == 0)
		return false;
	*min = a;
	*max = b;
	return true;
}
