/* SPDX-License-Identifier: Apache-2.0
 * common/base/guess.h - "did you mean": how far is what was typed from what exists? */
#ifndef COMMON_BASE_GUESS_H
#define COMMON_BASE_GUESS_H

#include <stdbool.h>

#define GUESS_MAX 96            /* longer words are never near anything */

/* Letters to insert, delete, replace or swap with their neighbour; case does not count. */
unsigned guess_distance(const char *a, const char *b);
/* Is d near enough for a word as long as typed to be worth showing? */
bool guess_near(unsigned d, const char *typed);

#endif
