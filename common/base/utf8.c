/* SPDX-License-Identifier: Apache-2.0
 *
 * Nearly all names are ASCII: eight bytes a step are tested for "all are plain" by arithmetic on a word, and only
 * where that fails does the decoder look at single characters. */
#include "common/base/utf8.h"

#include <string.h>

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* The length of the character at the start of s and its code; 0: not UTF-8. s is not empty. */
static size_t
decode(struct slice s, uint32_t *code)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = s.p[0];
	size_t len;

	if (c < 0x80) {
		*code = c;
		return 1;
	}
	if (c >= 0xf8 || c < 0xc0)
		return 0;
	len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (s.len < len)
		return 0;
	c &= 0x7fu >> len;
	for (size_t i = 1; i < len; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s.p[i] & 0x3fu);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return len;
}

/* Some byte of w is below n (n <= 128), or above 127. */
static inline bool
any_below_or_high(uint64_t w, uint64_t n)
{
	return (((w - ONES * n) | w) & HIGHS) != 0;
}

static inline bool
plain_valid(uint64_t w)
{
	return !any_below_or_high(w, 1);
}

static inline bool
plain_clean(uint64_t w)
{
	return !any_below_or_high(w, 0x20) && !any_below_or_high(w ^ ONES * 0x7f, 1);
}

/* Past the plain words at the start of s; to its end if all is plain, the last word then overlaps the one before. */
static inline struct slice
skip_plain(struct slice s, bool (*plain)(uint64_t w))
{
	const uint8_t *p = s.p;
	const uint8_t *end = s.p + s.len;
	uint64_t w;

	if (s.len < 8)
		return s;
	for (; end - p >= 8; p += 8) {
		memcpy(&w, p, 8);
		if (!plain(w))
			return slice_of(p, (size_t)(end - p));
	}
	memcpy(&w, end - 8, 8);
	return plain(w) ? slice_of(end, 0) : slice_of(p, (size_t)(end - p));
}

static bool
is_unclean(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);
}

bool
utf8_valid(struct slice s)
{
	for (s = skip_plain(s, plain_valid); s.len > 0; s = skip_plain(s, plain_valid)) {
		uint32_t code;
		size_t n = decode(s, &code);

		if (n == 0 || code == 0)        /* [MQTT-1.5.3-1] [MQTT-1.5.3-2] */
			return false;
		s = slice_of(s.p + n, s.len - n);
	}
	return true;
}

bool
utf8_clean(struct slice s)
{
	for (s = skip_plain(s, plain_clean); s.len > 0; s = skip_plain(s, plain_clean)) {
		uint32_t code;
		size_t n = decode(s, &code);

		if (n == 0 || is_unclean(code))
			return false;
		s = slice_of(s.p + n, s.len - n);
	}
	return true;
}

/* Separates lines, has no width, or turns the direction of the text around it: what stands there would not be seen. */
static bool
is_hidden(uint32_t c)
{
	return c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
	    c == 0xfeff;
}

/* As many bytes of out as the next character takes when shown; at most 4 are escaped at a time. */
static size_t
show_one(struct slice *s, char out[16])
{
	static const char hex[] = "0123456789abcdef";
	uint32_t code = 0;
	size_t n = decode(*s, &code);
	bool plain = n != 0 && !is_unclean(code) && !is_hidden(code) && code != '"' && code != '\'' && code != '\\';
	size_t len = 0;

	if (n == 0)
		n = 1;
	for (size_t i = 0; i < n; i++) {
		uint8_t b = s->p[i];

		if (plain) {
			out[len++] = (char)b;
			continue;
		}
		out[len++] = '\\';
		out[len++] = 'x';
		out[len++] = hex[b >> 4];
		out[len++] = hex[b & 15];
	}
	*s = slice_of(s->p + n, s->len - n);
	return len;
}

const char *
utf8_show(struct slice s, char *out, size_t size)
{
	size_t at = 0;
	size_t cut = 0;                         /* where "..." goes if the rest does not fit */
	char one[16];

	if (size == 0)
		return out;
	while (s.len > 0) {
		size_t n = show_one(&s, one);

		if (at + n + 1 > size) {
			at = cut;
			for (int i = 0; i < 3 && at + 1 < size; i++)
				out[at++] = '.';
			break;
		}
		memcpy(out + at, one, n);
		at += n;
		if (at + 4 <= size)
			cut = at;
	}
	out[at] = '\0';
	return out;
}
