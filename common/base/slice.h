/* SPDX-License-Identifier: Apache-2.0
 * common/base/slice.h - borrowed bytes, and reading them with every length checked.
 *
 * The slice_take_... functions move the slice's start past what they took and return 0, or return FB_ESHORT
 * and leave slice and result untouched. be: MQTT's byte order; le: ours, on links, channels and disk. */
#ifndef COMMON_BASE_SLICE_H
#define COMMON_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/err.h"

struct slice {
	const uint8_t *p;       /* may be NULL when len is 0 */
	size_t len;
};

#define SLICE_LIT(s) ((struct slice){ (const uint8_t *)(s), sizeof(s) - 1 })

static inline struct slice
slice_of(const void *p, size_t len)
{
	return (struct slice){ p, len };
}

static inline struct slice
slice_str(const char *s)
{
	return (struct slice){ (const uint8_t *)s, strlen(s) };
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline int
slice_take(struct slice *s, size_t n, struct slice *out)
{
	if (s->len < n)
		return FB_ESHORT;
	*out = slice_of(s->p, n);
	s->p += n;
	s->len -= n;
	return 0;
}

static inline int
slice_take_u8(struct slice *s, uint8_t *out)
{
	if (s->len < 1)
		return FB_ESHORT;
	*out = s->p[0];
	s->p += 1;
	s->len -= 1;
	return 0;
}

static inline int
slice_take_be16(struct slice *s, uint16_t *out)
{
	if (s->len < 2)
		return FB_ESHORT;
	*out = (uint16_t)(s->p[0] << 8 | s->p[1]);
	s->p += 2;
	s->len -= 2;
	return 0;
}

static inline int
slice_take_be32(struct slice *s, uint32_t *out)
{
	if (s->len < 4)
		return FB_ESHORT;
	*out = (uint32_t)s->p[0] << 24 | (uint32_t)s->p[1] << 16 | (uint32_t)s->p[2] << 8 | s->p[3];
	s->p += 4;
	s->len -= 4;
	return 0;
}

static inline int
slice_take_le16(struct slice *s, uint16_t *out)
{
	if (s->len < 2)
		return FB_ESHORT;
	*out = (uint16_t)(s->p[1] << 8 | s->p[0]);
	s->p += 2;
	s->len -= 2;
	return 0;
}

static inline int
slice_take_le32(struct slice *s, uint32_t *out)
{
	if (s->len < 4)
		return FB_ESHORT;
	*out = (uint32_t)s->p[3] << 24 | (uint32_t)s->p[2] << 16 | (uint32_t)s->p[1] << 8 | s->p[0];
	s->p += 4;
	s->len -= 4;
	return 0;
}

static inline int
slice_take_le64(struct slice *s, uint64_t *out)
{
	uint32_t lo = 0;
	uint32_t hi = 0;

	if (s->len < 8)
		return FB_ESHORT;
	(void)slice_take_le32(s, &lo);
	(void)slice_take_le32(s, &hi);
	*out = (uint64_t)hi << 32 | lo;
	return 0;
}

/* MQTT's strings and binary data: two bytes of length, then the bytes. */
static inline int
slice_take_be16_bytes(struct slice *s, struct slice *out)
{
	struct slice t = *s;
	uint16_t n = 0;

	if (slice_take_be16(&t, &n) != 0 || t.len < n)
		return FB_ESHORT;
	*out = slice_of(t.p, n);
	*s = slice_of(t.p + n, t.len - n);
	return 0;
}

/* Ours: four bytes of length, then the bytes. */
static inline int
slice_take_le32_bytes(struct slice *s, struct slice *out)
{
	struct slice t = *s;
	uint32_t n = 0;

	if (slice_take_le32(&t, &n) != 0 || t.len < n)
		return FB_ESHORT;
	*out = slice_of(t.p, n);
	*s = slice_of(t.p + n, t.len - n);
	return 0;
}

#endif
