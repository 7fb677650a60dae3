/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/mem.h"
#include "common/mqtt/topic.h"

static bool
matches(const char *filter, const char *topic)
{
	return topic_matches(slice_str(filter), slice_str(topic));
}

START_TEST(matches_as_the_standard_tells)               /* 4.7.1.2, 4.7.1.3, 4.7.2, 4.7.3 */
{
	static const struct {
		const char *filter;
		const char *topic;
		bool match;
	} rows[] = {
		{ "sport/tennis/player1/#", "sport/tennis/player1", true },
		{ "sport/tennis/player1/#", "sport/tennis/player1/ranking", true },
		{ "sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true },
		{ "sport/tennis/player1/#", "sport/tennis/player2", false },
		{ "sport/tennis/player1/#", "sport/tennis/player10", false },
		{ "sport/#", "sport", true },
		{ "sport/#", "sports", false },
		{ "#", "a", true }, { "#", "a/b/c", true }, { "#", "/", true }, { "#", "/a", true },
		{ "sport/tennis/+", "sport/tennis/player1", true },
		{ "sport/tennis/+", "sport/tennis/player2", true },
		{ "sport/tennis/+", "sport/tennis/player1/ranking", false },
		{ "sport/+", "sport", false },
		{ "sport/+", "sport/", true },
		{ "+", "sport", true }, { "+", "/sport", false }, { "+", "sport/tennis", false },
		{ "+/tennis/#", "sport/tennis", true },
		{ "+/tennis/#", "sport/tennis/x/y", true },
		{ "+/tennis/#", "sport/golf", false },
		{ "sport/+/player1", "sport/tennis/player1", true },
		{ "sport/+/player1", "sport//player1", true },
		{ "sport/+/player1", "sport/tennis/player2", false },
		{ "sport/+/player1", "sport/tennis/player1/x", false },
		{ "/finance", "/finance", true },
		{ "+/+", "/finance", true }, { "/+", "/finance", true }, { "+", "/finance", false },
		{ "+/+/+", "/finance", false },
		{ "+/#", "a", true }, { "+/#", "a/b", true }, { "/#", "/", true }, { "/#", "/a/b", true },
		{ "/#", "a", false },
		{ "#", "$SYS/monitor", false }, { "+/monitor/Clients", "$SYS/monitor/Clients", false },
		{ "+/#", "$SYS", false }, { "$SYS/#", "$SYS/", true }, { "$SYS/#", "$SYS", true },
		{ "$SYS/monitor/+", "$SYS/monitor/Clients", true },
		{ "$SYS/monitor/+", "$SYS/monitor", false },
		{ "a/#", "a/$b", true }, { "a/+", "a/$b", true },
		{ "ACCOUNTS", "Accounts", false },
		{ "a", "a", true }, { "a", "ab", false }, { "ab", "a", false }, { "a/", "a", false }, { "a", "a/", false },
		{ "a//b", "a//b", true }, { "a//b", "a/b", false }, { "a/+/b", "a//b", true },
		{ "\xc3\xa4/+", "\xc3\xa4/\xe2\x82\xac", true },
		{ "+/b", "a/c", false }, { "+/b/#", "a/b", true }, { "a/b/#", "a", false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		ck_assert_msg(matches(rows[i].filter, rows[i].topic) == rows[i].match, "%s %s", rows[i].filter,
		    rows[i].topic);
}
END_TEST

START_TEST(dollar_needs_its_dollar)                     /* [MQTT-4.7.2-1] */
{
	ck_assert(!matches("#", "$SYS/x"));
	ck_assert(!matches("+/x", "$SYS/x"));
	ck_assert(matches("$SYS/#", "$SYS/x"));
}
END_TEST

START_TEST(names)
{
	uint8_t *big = mem_alloc(65536);

	memset(big, 'a', 65536);
	ck_assert(topic_name_valid(SLICE_LIT("a")));
	ck_assert(topic_name_valid(SLICE_LIT("/")));
	ck_assert(topic_name_valid(SLICE_LIT("a b/\xc3\xa4")));
	ck_assert(!topic_name_valid(slice_of(NULL, 0)));        /* [MQTT-4.7.3-1] */
	ck_assert(!topic_name_valid(SLICE_LIT("a\0b")));        /* [MQTT-4.7.3-2] */
	ck_assert(!topic_name_valid(SLICE_LIT("a/+")));         /* [MQTT-4.7.1-1] [MQTT-3.3.2-2] */
	ck_assert(!topic_name_valid(SLICE_LIT("#")));
	ck_assert(!topic_name_valid(SLICE_LIT("a#b")));
	ck_assert(topic_name_valid(slice_of(big, 65535)));      /* [MQTT-4.7.3-3] */
	ck_assert(!topic_name_valid(slice_of(big, 65536)));
	mem_free(big);
}
END_TEST

START_TEST(filters)
{
	static const char *const good[] = { "a", "/", "#", "+", "a/#", "/#", "+/#", "+/+", "a/+/b", "+/a", "a//#", "$a/#",
		"$share/g/+" };
	static const char *const bad[] = {
		"", "a#", "#/a", "##", "a/#/b", "a/b#", "/##",  /* [MQTT-4.7.1-2] */
		"a+", "+a", "a/+b", "a/b+/c", "++", "+#",       /* [MQTT-4.7.1-3] */
	};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		ck_assert_msg(topic_filter_valid(slice_str(good[i])), "%s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!topic_filter_valid(slice_str(bad[i])), "%s", bad[i]);
	ck_assert(!topic_filter_valid(SLICE_LIT("a\0b")));
	ck_assert(topic_has_wildcard(SLICE_LIT("a/+")));
	ck_assert(topic_has_wildcard(SLICE_LIT("#")));
	ck_assert(!topic_has_wildcard(SLICE_LIT("a/b")));
}
END_TEST

START_TEST(levels)
{
	struct slice rest = SLICE_LIT("a//bc/");
	struct slice level;

	ck_assert_uint_eq(topic_levels(SLICE_LIT("a")), 1);
	ck_assert_uint_eq(topic_levels(SLICE_LIT("/")), 2);
	ck_assert_uint_eq(topic_levels(rest), 4);
	ck_assert(topic_next_level(&rest, &level));
	ck_assert(slice_eq(level, SLICE_LIT("a")));
	ck_assert(topic_next_level(&rest, &level));
	ck_assert_uint_eq(level.len, 0);
	ck_assert(topic_next_level(&rest, &level));
	ck_assert(slice_eq(level, SLICE_LIT("bc")));
	ck_assert(topic_next_level(&rest, &level));
	ck_assert_uint_eq(level.len, 0);
	ck_assert(!topic_next_level(&rest, &level));
}
END_TEST

START_TEST(shares)
{
	static const char *const broken[] = {
		"$share/", "$share//a",                         /* [MQTT-4.8.2-1] */
		"$share/g", "$share/g/", "$share/+/a", "$share/g#/a", "$share/g+x/a",   /* [MQTT-4.8.2-2] */
	};
	struct slice group;
	struct slice inner;

	ck_assert(topic_share(SLICE_LIT("$share/g/a/#"), &group, &inner));
	ck_assert(slice_eq(group, SLICE_LIT("g")));
	ck_assert(slice_eq(inner, SLICE_LIT("a/#")));
	ck_assert(topic_share(SLICE_LIT("$share/g//finance"), &group, &inner));
	ck_assert(slice_eq(inner, SLICE_LIT("/finance")));
	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
		ck_assert_msg(topic_share(slice_str(broken[i]), &group, &inner), "%s", broken[i]);
		ck_assert_msg(inner.len == 0, "%s", broken[i]);
	}
	ck_assert(!topic_share(SLICE_LIT("$shared/g/a"), &group, &inner));
	ck_assert(slice_eq(inner, SLICE_LIT("$shared/g/a")));
	ck_assert(!topic_share(SLICE_LIT("$share"), &group, &inner));
	ck_assert(!topic_share(SLICE_LIT("a"), &group, &inner));
	ck_assert_uint_eq(group.len, 0);
}
END_TEST

UNIT_MAIN("topic", matches_as_the_standard_tells, dollar_needs_its_dollar, names, filters, levels, shares)
