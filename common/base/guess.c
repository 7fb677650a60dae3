/* SPDX-License-Identifier: Apache-2.0
 * common/base/guess.c - optimal string alignment with three rows. */
#include "common/base/guess.h"

#include <ctype.h>
#include <string.h>

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static bool
same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

unsigned
guess_distance(const char *a, const char *b)
{
	unsigned rows[3][GUESS_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];
	size_t la = strlen(a), lb = strlen(b);

	if (la > GUESS_MAX || lb > GUESS_MAX)
		return GUESS_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *t = before;

		before = above;
		above = row;
		row = t;
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned d = above[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1);

			d = least(d, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				d = least(d, before[j - 2] + 1);
			row[j] = d;
		}
	}
	return row[lb];
}

bool
guess_near(unsigned d, const char *typed)
{
	size_t n = strlen(typed);

	return d <= (n < 4 ? 1 : n < 8 ? 2 : n / 4 + 1);
}
