/* SPDX-License-Identifier: Apache-2.0
 *
 * Levels are compared as bytes, a shorter one first; that is also the order of the keys, because the 0 behind a level
 * is smaller than any byte that could go on with it. All keys with the levels P in front are P itself and P 0 ...; the
 * first key behind them all is not before P 1. */
#include "store/scan.h"

static void
put_mapped(struct buf *b, struct slice s, uint8_t from, uint8_t to)
{
	uint8_t *out = buf_room(b, s.len);

	for (size_t i = 0; i < s.len; i++)
		out[i] = s.p[i] == from ? to : s.p[i];
	buf_added(b, s.len);
}

void
scan_put_key(struct buf *b, struct slice topic)
{
	put_mapped(b, topic, '/', 0);
}

void
scan_put_topic(struct buf *b, struct slice key)
{
	put_mapped(b, key, 0, '/');
}

/* The end of the level that starts at. */
static size_t
level_end(struct slice s, size_t at, uint8_t separator)
{
	const uint8_t *p = at < s.len ? memchr(s.p + at, separator, s.len - at) : NULL;

	return p != NULL ? (size_t)(p - s.p) : s.len;
}

static bool
is_wildcard(struct slice level, uint8_t which)
{
	return level.len == 1 && level.p[0] == which;
}

void
scan_put_start(struct buf *b, struct slice filter)
{
	size_t at = 0;
	size_t used = 0;

	while (at <= filter.len) {
		size_t end = level_end(filter, at, '/');
		struct slice level = slice_of(filter.p + at, end - at);

		if (is_wildcard(level, '+') || is_wildcard(level, '#'))
			break;
		used = end;
		at = end + 1;
	}
	scan_put_key(b, slice_of(filter.p, used));
}

static int
compare(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (c != 0)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

/* Past everything that has the first len bytes of key as its levels. */
static enum scan_result
past(struct slice key, size_t len, struct buf *seek)
{
	if (len == SIZE_MAX)
		return SCAN_END;
	buf_put(seek, key.p, len);
	buf_put_u8(seek, 1);
	return SCAN_SEEK;
}

enum scan_result
scan_look(struct slice filter, struct slice key, struct buf *seek)
{
	size_t fat = 0;
	size_t kat = 0;
	size_t plus = SIZE_MAX;         /* where, in key, the level ends that the last + took: it may take a later one */

	buf_clear(seek);
	/* [MQTT-4.7.2-1] */
	if (filter.len > 0 && (filter.p[0] == '+' || filter.p[0] == '#') && key.len > 0 && key.p[0] == '$') {
		buf_put_u8(seek, '$' + 1);
		return SCAN_SEEK;
	}
	for (;;) {
		size_t fend = level_end(filter, fat, '/');
		struct slice level = slice_of(filter.p + fat, fend - fat);
		size_t kend;
		int c = 0;

		if (is_wildcard(level, '#'))
			return SCAN_MATCH;
		if (kat > key.len) {    /* the key ends above: go below it */
			buf_put_slice(seek, key);
			buf_put_u8(seek, 0);
			buf_put_slice(seek, is_wildcard(level, '+') ? slice_of(NULL, 0) : level);
			return SCAN_SEEK;
		}
		kend = level_end(key, kat, 0);
		if (is_wildcard(level, '+'))
			plus = kend;
		else
			c = compare(level, slice_of(key.p + kat, kend - kat));
		if (c > 0) {
			buf_put(seek, key.p, kat);
			buf_put_slice(seek, level);
			return SCAN_SEEK;
		}
		if (c == 0 && fend == filter.len && kend == key.len)
			return SCAN_MATCH;
		if (c < 0 || fend == filter.len)
			return past(key, plus, seek);
		fat = fend + 1;
		kat = kend + 1;
	}
}
