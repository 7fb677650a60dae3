/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <stdint.h>
#include <string.h>

#include "common/base/arena.h"

START_TEST(pieces_are_aligned_and_apart)
{
	struct arena a;
	uint8_t *p[200];

	arena_init(&a);
	for (size_t i = 0; i < 200; i++) {
		p[i] = arena_take(&a, i);
		ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
		memset(p[i], (int)i, i);
	}
	for (size_t i = 0; i < 200; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_uint_eq(p[i][j], i);
	arena_fini(&a);
}
END_TEST

START_TEST(a_reset_keeps_one_block)
{
	struct arena a;
	void *first;

	arena_init(&a);
	arena_reset(&a);
	first = arena_take(&a, 10);
	for (int round = 0; round < 5; round++) {
		memset(arena_take(&a, 3000), 1, 3000);
		memset(arena_take(&a, 3000), 2, 3000);
		memset(arena_take(&a, 1000000), 3, 1000000);
		arena_reset(&a);
		ck_assert_ptr_eq(arena_take(&a, 10), first);
	}
	arena_fini(&a);
	arena_fini(&a);
}
END_TEST

START_TEST(a_large_first_piece_is_not_kept)
{
	struct arena a;
	uint8_t *p;

	arena_init(&a);
	p = arena_take(&a, 500000);
	memset(p, 1, 500000);
	arena_reset(&a);
	ck_assert_ptr_ne(arena_take(&a, 16), p);
	arena_fini(&a);
}
END_TEST

UNIT_MAIN("arena", pieces_are_aligned_and_apart, a_reset_keeps_one_block, a_large_first_piece_is_not_kept)
