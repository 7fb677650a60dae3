/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <string.h>

#include "supervisor/client/target.h"
#include "common/base/err.h"

static struct target t;
static struct target_rest rest;
static char error[200];

static const char *
parse(const char *url)
{
	static char text[600];

	ck_assert_int_eq(target_parse(&t, url, &rest, error, sizeof error), 0);
	return target_show(&t, text, sizeof text);
}

START_TEST(kinds_have_their_ports)
{
	ck_assert_str_eq(parse("mqtt://h"), "mqtt://h:1883");
	ck_assert_str_eq(parse("tcp://h"), "mqtt://h:1883");
	ck_assert_str_eq(parse("mqtts://h"), "mqtts://h:8883");
	ck_assert_str_eq(parse("ssl://h:1"), "mqtts://h:1");
	ck_assert_str_eq(parse("ws://h"), "ws://h:80/mqtt");
	ck_assert_str_eq(parse("wss://h"), "wss://h:443/mqtt");
	ck_assert_str_eq(parse("wss://[::1]:7/a/b"), "wss://[::1]:7/a/b");
}
END_TEST

START_TEST(a_path_is_a_topic_or_the_websocket_s)
{
	parse("mqtt://h/a/b");
	ck_assert_str_eq(rest.path, "a/b");
	parse("ws://h/a/b");
	ck_assert_str_eq(rest.path, "");
	ck_assert_str_eq(t.path, "/a/b");
	ck_assert_int_eq(target_parse(&t, "mqtt://h/a", NULL, error, sizeof error), FB_EINVAL);
}
END_TEST

START_TEST(logins)
{
	parse("mqtts://joe:p@s:s@h:9");
	ck_assert_str_eq(rest.user, "joe");
	ck_assert_str_eq(rest.password, "p@s:s");
	ck_assert_uint_eq(t.port, 9);
	parse("mqtt://joe@h");
	ck_assert(!rest.has_password);
	ck_assert_int_eq(target_parse(&t, "mqtt://joe@h", NULL, error, sizeof error), FB_EINVAL);
}
END_TEST

START_TEST(what_is_no_url)
{
	static const char *const bad[] = { "", "h", "http://h", "mqtt://", "mqtt://:1", "mqtt://h:", "mqtt://h:0", "mqtt://h:65536",
		"mqtt://h:1x", "mqtt://[::1", "mqtt://a b" };

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct target before = t;

		ck_assert_msg(target_parse(&t, bad[i], &rest, error, sizeof error) == FB_EINVAL, "%s", bad[i]);
		ck_assert_int_eq(memcmp(&before, &t, sizeof t), 0);
	}
}
END_TEST

static int
alternate(const char *from, const char *text)
{
	struct target f;

	ck_assert_int_eq(target_parse(&f, from, &rest, error, sizeof error), 0);
	return target_alternate(&t, &f, text, strlen(text));
}

START_TEST(alternate_servers)
{
	char text[600];

	ck_assert_int_eq(alternate("mqtt://h", "tcp://other:99"), 0);
	ck_assert_str_eq(target_show(&t, text, sizeof text), "mqtt://other:99");
	ck_assert_int_eq(alternate("mqtt://h", "ssl://other"), 0);
	ck_assert_str_eq(target_show(&t, text, sizeof text), "mqtts://other:8883");
	ck_assert_int_eq(alternate("wss://h:5/p", "other:6 second:7"), 0);
	ck_assert_str_eq(target_show(&t, text, sizeof text), "wss://other:6/p");
	/* What was encrypted stays so. */
	ck_assert_int_eq(alternate("mqtts://h", "tcp://other:99"), FB_EPERM);
	ck_assert_int_eq(alternate("mqtt://h", "http://other"), FB_EINVAL);
	ck_assert_int_eq(alternate("mqtt://h", "tcp://joe:pw@other"), FB_EINVAL);
	ck_assert_int_eq(target_alternate(&t, &t, "", 0), FB_EINVAL);
}
END_TEST

UNIT_MAIN("target", kinds_have_their_ports, a_path_is_a_topic_or_the_websocket_s, logins, what_is_no_url, alternate_servers)
