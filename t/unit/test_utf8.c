/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/utf8.h"

/* The string on its own, and at each place in a longer ASCII text, so that each path of the word steps is taken. */
static bool
everywhere(bool (*fn)(struct slice s), struct slice s, bool want)
{
	uint8_t text[64];

	if (fn(s) != want)
		return false;
	for (size_t before = 0; before < 20; before++) {
		for (size_t after = 0; after < 20; after++) {
			memset(text, 'a', sizeof text);
			if (s.len > 0)
				memcpy(text + before, s.p, s.len);
			if (fn(slice_of(text, before + s.len + after)) != want)
				return false;
		}
	}
	return true;
}

#define VALID(s)   ck_assert(everywhere(utf8_valid, SLICE_LIT(s), true))
#define INVALID(s) ck_assert(everywhere(utf8_valid, SLICE_LIT(s), false)); \
	ck_assert(everywhere(utf8_clean, SLICE_LIT(s), false))
#define CLEAN(s)   VALID(s); ck_assert(everywhere(utf8_clean, SLICE_LIT(s), true))
#define UNCLEAN(s) VALID(s); ck_assert(everywhere(utf8_clean, SLICE_LIT(s), false))

START_TEST(well_formed)
{
	ck_assert(utf8_valid(slice_of(NULL, 0)));
	CLEAN("");
	CLEAN("a/b/c");
	CLEAN(" ~");
	CLEAN("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	CLEAN("\xc2\xa0");
	CLEAN("\xed\x9f\xbf");
	CLEAN("\xee\x80\x80");
	CLEAN("\xef\xbf\xbd");
	CLEAN("\xf4\x8f\xbf\xbd");
	CLEAN("\xef\xbb\xbf");          /* [MQTT-1.5.3-3]: U+FEFF is a character like any other */
}
END_TEST

START_TEST(ill_formed)                  /* [MQTT-1.5.3-1] [MQTT-1.5.3-2] */
{
	INVALID("\0");
	INVALID("\x80");
	INVALID("\xbf");
	INVALID("\xc0\x80");
	INVALID("\xc1\xbf");
	INVALID("\xe0\x80\xaf");
	INVALID("\xe0\x9f\xbf");
	INVALID("\xf0\x80\x80\xaf");
	INVALID("\xf0\x8f\xbf\xbf");
	INVALID("\xed\xa0\x80");
	INVALID("\xed\xbf\xbf");
	INVALID("\xf4\x90\x80\x80");
	INVALID("\xf5\x80\x80\x80");
	INVALID("\xf8\x88\x80\x80\x80");
	INVALID("\xfe");
	INVALID("\xff");
	INVALID("\xc3");
	INVALID("\xe2\x82");
	INVALID("\xf0\x9f\x98");
	INVALID("\xc3\xc3");
	INVALID("\xe2\x28\xa1");
}
END_TEST

START_TEST(control_and_non_characters)
{
	UNCLEAN("\x01");
	UNCLEAN("\x1f");
	UNCLEAN("\n");
	UNCLEAN("\x7f");
	UNCLEAN("\xc2\x80");
	UNCLEAN("\xc2\x9f");
	UNCLEAN("\xef\xb7\x90");
	UNCLEAN("\xef\xb7\xaf");
	UNCLEAN("\xef\xbf\xbe");
	UNCLEAN("\xef\xbf\xbf");
	UNCLEAN("\xf4\x8f\xbf\xbf");
}
END_TEST

static int
encode(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 63));
		out[2] = (uint8_t)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 63));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 63));
	out[3] = (uint8_t)(0x80 | (c & 63));
	return 4;
}

START_TEST(every_code_point)
{
	for (uint32_t c = 0; c < 0x120000; c++) {
		uint8_t text[4];
		struct slice s = slice_of(text, (size_t)encode(c, text));
		bool valid = c != 0 && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
		bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
		bool non = (c & 0xffff) >= 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);

		if (utf8_valid(s) != valid || utf8_clean(s) != (valid && !control && !non))
			ck_abort_msg("U+%04X", (unsigned)c);
	}
}
END_TEST

static const char *
show(struct slice s, size_t size)
{
	static char out[100];

	memset(out, 'X', sizeof out);
	return utf8_show(s, out, size);
}

START_TEST(shown_for_people)
{
	ck_assert_str_eq(show(SLICE_LIT("a/b"), 100), "a/b");
	ck_assert_str_eq(show(slice_of(NULL, 0), 100), "");
	ck_assert_str_eq(show(SLICE_LIT("\xc3\xa9"), 100), "\xc3\xa9");
	ck_assert_str_eq(show(SLICE_LIT("a\nb\0\"'\\"), 100), "a\\x0ab\\x00\\x22\\x27\\x5c");
	ck_assert_str_eq(show(SLICE_LIT("\xff\xc3"), 100), "\\xff\\xc3");
	ck_assert_str_eq(show(SLICE_LIT("\xc2\x85"), 100), "\\xc2\\x85");
	/* A line separator, and what turns the direction of the text. */
	ck_assert_str_eq(show(SLICE_LIT("\xe2\x80\xa8"), 100), "\\xe2\\x80\\xa8");
	ck_assert_str_eq(show(SLICE_LIT("\xe2\x80\xae"), 100), "\\xe2\\x80\\xae");
	ck_assert_str_eq(show(SLICE_LIT("\xe2\x80\x94"), 100), "\xe2\x80\x94");
}
END_TEST

START_TEST(cut_at_the_size)
{
	char none = 'X';

	ck_assert_str_eq(show(SLICE_LIT("abcdef"), 7), "abcdef");
	ck_assert_str_eq(show(SLICE_LIT("abcdefg"), 7), "abc...");
	ck_assert_str_eq(show(SLICE_LIT("ab\ndefg"), 7), "ab...");
	ck_assert_str_eq(show(SLICE_LIT("ab\xe2\x82\xac" "defg"), 7), "ab...");
	ck_assert_str_eq(show(SLICE_LIT("abcdefg"), 4), "...");
	ck_assert_str_eq(show(SLICE_LIT("abcdefg"), 3), "..");
	ck_assert_str_eq(show(SLICE_LIT("abcdefg"), 1), "");
	utf8_show(SLICE_LIT("abc"), &none, 0);
	ck_assert_int_eq(none, 'X');
	for (size_t size = 1; size < 60; size++)
		ck_assert_uint_lt(strlen(show(SLICE_LIT("a\xe2\x82\xac\n\xff" "bcdefghij\xf0\x9f\x98\x80\x01\x02"), size)), size);
}
END_TEST

UNIT_MAIN("utf8", well_formed, ill_formed, control_and_non_characters, every_code_point, shown_for_people,
    cut_at_the_size)
