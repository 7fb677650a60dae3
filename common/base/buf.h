/* SPDX-License-Identifier: Apache-2.0
 * common/base/buf.h - a byte queue: put at the end, eat at the start, contiguous.
 *
 * An empty buf holds no memory after buf_shrink(). Its memory comes from mem_slab_get(), in powers of two. */
#ifndef COMMON_BASE_BUF_H
#define COMMON_BASE_BUF_H

#include <stdint.h>
#include <string.h>

#include "common/base/slice.h"

struct buf {
	uint8_t *base;          /* owned; NULL when cap is 0 */
	uint32_t start;         /* first byte in use */
	uint32_t end;           /* one past the last byte in use */
	uint32_t cap;
};

#define BUF_MAX (UINT32_C(1) << 30)     /* asking for more is our own fault */

static inline void
buf_init(struct buf *b)
{
	memset(b, 0, sizeof *b);
}

void buf_fini(struct buf *b);           /* gives the memory back; the buf is empty and usable again */
void buf_shrink(struct buf *b);         /* gives the memory back if empty */
uint8_t *buf_grow(struct buf *b, size_t n);     /* slow path of buf_room */

/* Room for n more bytes, contiguous; then buf_added(b, m <= n). */
static inline uint8_t *
buf_room(struct buf *b, size_t n)
{
	if (__builtin_expect(b->cap - b->end < n, 0))
		return buf_grow(b, n);
	return b->base + b->end;
}

static inline void
buf_added(struct buf *b, size_t n)
{
	b->end += (uint32_t)n;
}

static inline size_t
buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline struct slice
buf_slice(const struct buf *b)
{
	/* NULL + 0 is undefined in C, and clang's sanitizer says so */
	return (struct slice){ b->base == NULL ? NULL : b->base + b->start, b->end - b->start };
}

static inline void
buf_eat(struct buf *b, size_t n)
{
	b->start += (uint32_t)n;
	if (b->start == b->end)
		b->start = b->end = 0;
}

static inline void
buf_clear(struct buf *b)
{
	b->start = b->end = 0;
}

static inline void
buf_put(struct buf *b, const void *p, size_t n)
{
	if (n > 0)
		memcpy(buf_room(b, n), p, n);
	buf_added(b, n);
}

static inline void
buf_put_slice(struct buf *b, struct slice s)
{
	buf_put(b, s.p, s.len);
}

static inline void
buf_put_u8(struct buf *b, uint8_t v)
{
	*buf_room(b, 1) = v;
	buf_added(b, 1);
}

static inline void
buf_put_be16(struct buf *b, uint16_t v)
{
	uint8_t *p = buf_room(b, 2);

	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	buf_added(b, 2);
}

static inline void
buf_put_be32(struct buf *b, uint32_t v)
{
	buf_put_be16(b, (uint16_t)(v >> 16));
	buf_put_be16(b, (uint16_t)v);
}

static inline void
buf_put_le16(struct buf *b, uint16_t v)
{
	uint8_t *p = buf_room(b, 2);

	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	buf_added(b, 2);
}

static inline void
buf_put_le32(struct buf *b, uint32_t v)
{
	uint8_t *p = buf_room(b, 4);

	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
	buf_added(b, 4);
}

static inline void
buf_put_le64(struct buf *b, uint64_t v)
{
	buf_put_le32(b, (uint32_t)v);
	buf_put_le32(b, (uint32_t)(v >> 32));
}

static inline void
buf_put_be16_bytes(struct buf *b, struct slice s)       /* s.len < 65536 */
{
	buf_put_be16(b, (uint16_t)s.len);
	buf_put_slice(b, s);
}

static inline void
buf_put_le32_bytes(struct buf *b, struct slice s)
{
	buf_put_le32(b, (uint32_t)s.len);
	buf_put_slice(b, s);
}

#endif
