/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes move to the front only when at least as many were eaten as are left: each byte then pays for at most one
 * move, however small the bites. Otherwise the memory doubles. */
#include "common/base/buf.h"

#include "common/base/err.h"
#include "common/base/mem.h"

#define BUF_FIRST ((size_t)256)

void
buf_fini(struct buf *b)
{
	mem_slab_put(b->base, b->cap);
	buf_init(b);
}

void
buf_shrink(struct buf *b)
{
	if (b->cap != 0 && buf_len(b) == 0)
		buf_fini(b);
}

/* The power of two that holds n, and not less than BUF_FIRST. */
static size_t
round_up(size_t n)
{
	return n <= BUF_FIRST ? BUF_FIRST : (size_t)1 << (64 - __builtin_clzll(n - 1));
}

uint8_t *
buf_grow(struct buf *b, size_t n)
{
	size_t len = buf_len(b);
	size_t real;
	uint8_t *base;

	FB_ASSERT(n <= BUF_MAX && len + n <= BUF_MAX);
	if (len + n <= b->cap && b->start >= len) {
		memmove(b->base, b->base + b->start, len);
	} else {
		size_t want = len + n <= b->cap ? (size_t)b->cap + 1 : len + n;

		base = mem_slab_get(round_up(want), &real);
		if (len > 0)
			memcpy(base, b->base + b->start, len);
		mem_slab_put(b->base, b->cap);
		b->base = base;
		b->cap = (uint32_t)real;
	}
	b->start = 0;
	b->end = (uint32_t)len;
	return b->base + b->end;
}
