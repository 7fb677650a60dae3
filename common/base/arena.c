/* SPDX-License-Identifier: Apache-2.0
 *
 * The oldest block has always the standard size, so that one large packet leaves nothing behind; a piece that does
 * not fit gets a block of at least twice that. */
#include "common/base/arena.h"

#include <stdint.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"

#define ARENA_FIRST ((size_t)4096)

struct arena_block {
	struct arena_block *next;       /* older */
	size_t size;                    /* of the whole block, as mem_slab_get() gave it */
	_Alignas(16) uint8_t data[];
};

static size_t
capacity(const struct arena_block *b)
{
	return b->size - sizeof *b;
}

static void
block_put(struct arena *a, size_t size)
{
	size_t real;
	struct arena_block *b = mem_slab_get(size, &real);

	b->next = a->blocks;
	b->size = real;
	a->blocks = b;
	a->used = 0;
}

static void
poison(struct arena_block *b)
{
#ifdef FB_POISON
	memset(b->data, 0xdb, capacity(b));
#endif
	(void)b;
}

void
arena_init(struct arena *a)
{
	a->blocks = NULL;
	a->used = 0;
}

void
arena_fini(struct arena *a)
{
	arena_reset(a);
	if (a->blocks != NULL)
		mem_slab_put(a->blocks, a->blocks->size);
	arena_init(a);
}

void *
arena_take(struct arena *a, size_t size)
{
	void *p;

	FB_ASSERT(size <= SIZE_MAX / 2);
	size = (size + 15) & ~(size_t)15;
	if (a->blocks == NULL)
		block_put(a, ARENA_FIRST);
	if (capacity(a->blocks) - a->used < size) {
		size_t want = 2 * a->blocks->size;

		block_put(a, want - sizeof(struct arena_block) < size ? size + sizeof(struct arena_block) : want);
	}
	p = a->blocks->data + a->used;
	a->used += size;
	return p;
}

void
arena_reset(struct arena *a)
{
	struct arena_block *b = a->blocks;

	if (b == NULL)
		return;
	while (b->next != NULL) {
		struct arena_block *older = b->next;

		poison(b);
		mem_slab_put(b, b->size);
		b = older;
	}
	poison(b);
	a->blocks = b;
	a->used = 0;
}
