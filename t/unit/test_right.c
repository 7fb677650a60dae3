/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "t/support/unit.h"

#include "common/mqtt/right.h"

static struct right_client client = { { NULL, 0 }, { NULL, 0 } };

static void
is_client(const char *user, const char *id)
{
	client = (struct right_client){ slice_str(user), slice_str(id) };
}

static bool
matches(bool allow, enum right_action a, const char *filter, const char *topic)
{
	const struct right_rule r = { .actions = RIGHT_ALL, .allow = allow, .filter = slice_str(filter) };

	return right_matches(&r, a, &client, slice_str(topic), NULL);
}

static bool
allows(const char *filter, const char *topic)
{
	return matches(true, RIGHT_PUBLISH, filter, topic);
}

static bool
denies(const char *filter, const char *topic)
{
	return matches(false, RIGHT_PUBLISH, filter, topic);
}

START_TEST(topics)
{
	static const struct { const char *filter, *topic; bool match; } rows[] = {
		{ "a", "a", true }, { "a", "b", false }, { "a", "a/b", false }, { "a/b", "a", false },
		{ "+", "a", true }, { "+", "a/b", false }, { "a/+", "a/", true }, { "a/+", "a", false },
		{ "a/#", "a", true }, { "a/#", "a/b/c", true }, { "a/#", "ab", false }, { "#", "a/b", true },
		{ "#", "/", true }, { "+/+", "/", true }, { "a//b", "a//b", true }, { "a/+/b", "a//b", true },
		{ "+/#", "a", true }, { "a/b/#", "a", false }, { "$SYS/#", "$SYS/x", true },
	};

	is_client("ann", "c1");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		ck_assert_msg(allows(rows[i].filter, rows[i].topic) == rows[i].match, "row %zu", i);
		ck_assert_msg(denies(rows[i].filter, rows[i].topic) == rows[i].match, "row %zu", i);
	}
	/* Names that start with $ are met by a wildcard that denies, not by one that allows. */
	ck_assert(!allows("#", "$SYS/x") && !allows("+/x", "$SYS/x"));
	ck_assert(denies("#", "$SYS/x") && denies("+/x", "$SYS/x"));
}
END_TEST

START_TEST(an_action_of_the_set)
{
	const struct right_rule r = { .actions = RIGHT_PUBLISH | RIGHT_SEND, .allow = true, .filter = SLICE_LIT("a") };

	ck_assert(right_matches(&r, RIGHT_PUBLISH, &client, SLICE_LIT("a"), NULL));
	ck_assert(right_matches(&r, RIGHT_SEND, &client, SLICE_LIT("a"), NULL));
	ck_assert(!right_matches(&r, RIGHT_RECEIVE, &client, SLICE_LIT("a"), NULL));
	ck_assert(!right_matches(&r, RIGHT_SUBSCRIBE, &client, SLICE_LIT("a"), NULL));
}
END_TEST

/* A subscription needs a rule that covers it; one that shares a topic with what is denied is denied. */
START_TEST(subscriptions)
{
	static const struct { const char *rule, *asked; bool allow, deny; } rows[] = {
		{ "a", "a", true, true }, { "a", "b", false, false }, { "a", "+", false, true },
		{ "a", "#", false, true }, { "a", "a/#", false, true }, { "a", "a/+", false, false },
		{ "a/b", "a/#", false, true }, { "a/b", "a/+", false, true }, { "a/b", "+/b", false, true },
		{ "a/b", "+/c", false, false }, { "a/b", "a", false, false }, { "a/b/c", "a/+", false, false },
		{ "a/#", "a", true, true }, { "a/#", "a/#", true, true }, { "a/#", "a/+/b/#", true, true },
		{ "a/#", "#", false, true }, { "a/#", "+", false, true }, { "a/b/#", "a/+", false, true },
		{ "a/+", "a/+", true, true }, { "a/+", "a/#", false, true }, { "a/+", "a/b", true, true },
		{ "a/+", "a/b/c", false, false }, { "a/+/c", "a/b/#", false, true }, { "+/b", "a/+", false, true },
		{ "#", "#", true, true }, { "#", "a/+", true, true }, { "#", "$SYS/#", false, true },
		{ "$SYS/#", "#", false, false }, { "$SYS/#", "+/x", false, false }, { "$SYS/x", "$SYS/+", false, true },
		{ "a/%u", "a/ann", true, true }, { "a/%u", "a/+", false, true }, { "a/%u", "a/bob", false, false },
		{ "a/%u/#", "a/ann/+", true, true }, { "a/%u/#", "#", false, true }, { "a/%u/#", "a/#", false, true },
	};

	is_client("ann", "c1");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		ck_assert_msg(matches(true, RIGHT_SUBSCRIBE, rows[i].rule, rows[i].asked) == rows[i].allow, "allow %zu", i);
		ck_assert_msg(matches(false, RIGHT_SUBSCRIBE, rows[i].rule, rows[i].asked) == rows[i].deny, "deny %zu", i);
	}
}
END_TEST

START_TEST(names_are_put_in)
{
	bool by_id = false;
	struct right_rule r = { .actions = RIGHT_ALL, .allow = true, .filter = SLICE_LIT("d/%u/%c") };

	is_client("ann", "c1");
	ck_assert(allows("%u", "ann") && allows("%c", "c1") && allows("d/%u/%c", "d/ann/c1"));
	ck_assert(allows("d/x-%u-%c-y/#", "d/x-ann-c1-y/z"));
	ck_assert(!allows("%u", "bob") && !allows("%u", "ann/x") && !allows("%u", "an") && !allows("%u", "anna"));
	ck_assert(allows("100%%/%u", "100%/ann") && !allows("%%u", "ann") && allows("%%u", "%u"));
	ck_assert(right_matches(&r, RIGHT_PUBLISH, &client, SLICE_LIT("d/ann/c1"), &by_id));
	ck_assert(by_id);
	by_id = false;
	ck_assert(!right_matches(&r, RIGHT_PUBLISH, &client, SLICE_LIT("d/bob/c1"), &by_id));
	ck_assert(!by_id);
	/* Values are not read again. */
	is_client("%c", "c1");
	ck_assert(allows("%u", "%c") && !allows("%u", "c1"));
}
END_TEST

/* A name that a client chose never makes a rule wider. */
START_TEST(hostile_names)
{
	static const char *const names[] = { "#", "+", "a/b", "/", "a/#", "+/+", "a+", "$SYS", "", "a#b", "/x" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		for (int k = 0; k < 2; k++) {
			static const char *const filters[2][4] = {
				{ "d/%u/#", "%u/#", "%u", "x%u" }, { "d/%c/#", "%c/#", "%c", "x%c" },
			};
			char topic[64];

			is_client(k == 0 ? names[i] : "ann", k == 0 ? "c1" : names[i]);
			for (size_t f = 0; f < 4; f++) {
				ck_assert(!allows(filters[k][f], "d/victim/x") && !allows(filters[k][f], "victim"));
				ck_assert(!allows(filters[k][f], "$SYS/x") && !allows(filters[k][f], "d/a/b"));
				ck_assert(!matches(true, RIGHT_SUBSCRIBE, filters[k][f], "#"));
				ck_assert(!matches(true, RIGHT_SUBSCRIBE, filters[k][f], "d/#"));
				ck_assert(!matches(true, RIGHT_SUBSCRIBE, filters[k][f], "d/+/#"));
				ck_assert(!matches(true, RIGHT_SUBSCRIBE, filters[k][f], "+"));
				if (names[i][0] == '\0')
					continue;
				snprintf(topic, sizeof topic, "d/%s/x", names[i]);
				ck_assert(!allows(filters[k][f], topic));
				snprintf(topic, sizeof topic, "%s", names[i]);
				ck_assert(!matches(true, RIGHT_SUBSCRIBE, filters[k][f], topic));
			}
			/* And one that denies holds for whatever stands there. */
			ck_assert(denies(filters[k][0], "d/victim/x") && denies(filters[k][1], "victim/x"));
			ck_assert(denies(filters[k][0], "d/a/b/c") && !denies(filters[k][0], "e/a"));
		}
}
END_TEST

START_TEST(filters_of_rules)
{
	ck_assert_ptr_null(right_filter_wrong(SLICE_LIT("a/+/%u/x%c/%%/#")));
	ck_assert_ptr_null(right_filter_wrong(SLICE_LIT("$SYS/#")));
	ck_assert_ptr_nonnull(right_filter_wrong(SLICE_LIT("")));
	ck_assert_ptr_nonnull(right_filter_wrong(SLICE_LIT("a#")));
	ck_assert_ptr_nonnull(right_filter_wrong(SLICE_LIT("a/#/b")));
	ck_assert_ptr_nonnull(right_filter_wrong(SLICE_LIT("%")));
	ck_assert_ptr_nonnull(right_filter_wrong(SLICE_LIT("%x")));
	ck_assert_ptr_nonnull(right_filter_wrong(SLICE_LIT("a/%%%")));
	ck_assert_ptr_nonnull(right_filter_wrong(SLICE_LIT("$share/g/a")));
	ck_assert_ptr_nonnull(right_filter_wrong(SLICE_LIT("a\nb")));
}
END_TEST

START_TEST(words)
{
	enum right_action a;
	enum right_who who;
	struct slice name;

	ck_assert_int_eq(right_action_parse(SLICE_LIT("send"), &a), 0);
	ck_assert_str_eq(right_action_name(a), "send");
	ck_assert_int_eq(right_action_parse(SLICE_LIT("sent"), &a), FB_EINVAL);
	ck_assert_int_eq(right_who_parse(SLICE_LIT("user:a:b"), &who, &name), 0);
	ck_assert(who == RIGHT_USER && slice_eq(name, SLICE_LIT("a:b")));
	ck_assert_int_eq(right_who_parse(SLICE_LIT("group:g"), &who, &name), 0);
	ck_assert(who == RIGHT_GROUP && slice_eq(name, SLICE_LIT("g")));
	ck_assert_int_eq(right_who_parse(SLICE_LIT("everyone"), &who, &name), 0);
	ck_assert_int_eq(right_who_parse(SLICE_LIT("anonymous"), &who, &name), 0);
	ck_assert_int_eq(right_who_parse(SLICE_LIT("user:"), &who, &name), FB_EINVAL);
	ck_assert_int_eq(right_who_parse(SLICE_LIT("everyone2"), &who, &name), FB_EINVAL);
	ck_assert_int_eq(right_who_parse(SLICE_LIT("ann"), &who, &name), FB_EINVAL);
	ck_assert_int_eq(right_who_parse(SLICE_LIT("user:a\n"), &who, &name), FB_EINVAL);
}
END_TEST

UNIT_MAIN("right", topics, an_action_of_the_set, subscriptions, names_are_put_in, hostile_names, filters_of_rules, words)
