/* SPDX-License-Identifier: Apache-2.0
 *
 * The words come from mem_slab: 64 bytes hold 512 ids, the memory doubles with the largest id and goes back when the
 * set is empty, without malloc. Id 0 is never in the set, but never free either. */
#include "common/base/bitmap.h"

#include <stddef.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"

#define WORDS_FIRST 8u

void
bitmap_init(struct bitmap *b)
{
	*b = (struct bitmap){ 0 };
}

void
bitmap_fini(struct bitmap *b)
{
	mem_slab_put(b->words, b->count * sizeof *b->words);
	bitmap_init(b);
}

bool
bitmap_has(const struct bitmap *b, uint16_t id)
{
	return id / 64u < b->count && (b->words[id / 64u] >> id % 64u & 1) != 0;
}

static void
cover(struct bitmap *b, uint16_t id)
{
	uint32_t count = b->count != 0 ? b->count : WORDS_FIRST;
	uint64_t *words;
	size_t real;

	while (count <= id / 64u)
		count *= 2;
	words = mem_slab_get(count * sizeof *words, &real);
	FB_ASSERT(real == count * sizeof *words);
	if (b->count != 0)
		memcpy(words, b->words, b->count * sizeof *words);
	memset(words + b->count, 0, (count - b->count) * sizeof *words);
	mem_slab_put(b->words, b->count * sizeof *words);
	b->words = words;
	b->count = count;
}

bool
bitmap_put(struct bitmap *b, uint16_t id)
{
	FB_ASSERT(id != 0);
	if (bitmap_has(b, id))
		return false;
	if (id / 64u >= b->count)
		cover(b, id);
	b->words[id / 64u] |= UINT64_C(1) << id % 64u;
	b->used++;
	return true;
}

bool
bitmap_del(struct bitmap *b, uint16_t id)
{
	if (!bitmap_has(b, id))
		return false;
	b->words[id / 64u] &= ~(UINT64_C(1) << id % 64u);
	if (--b->used == 0)
		bitmap_fini(b);
	return true;
}

/* The lowest free id in from..65535, or 0. */
static uint16_t
free_from(const struct bitmap *b, uint16_t from)
{
	uint64_t below = (UINT64_C(1) << from % 64u) - 1;

	for (uint32_t i = from / 64u; i < b->count; i++) {
		uint64_t free = ~(b->words[i] | below);

		if (free != 0)
			return (uint16_t)(i * 64 + (uint32_t)__builtin_ctzll(free));
		below = 0;
	}
	if (from / 64u >= b->count)
		return from;
	return b->count < 1024 ? (uint16_t)(b->count * 64) : 0;
}

uint16_t
bitmap_free_id(const struct bitmap *b, uint16_t hint)
{
	uint16_t id = free_from(b, hint != 0 ? hint : 1);

	return id != 0 ? id : free_from(b, 1);
}
