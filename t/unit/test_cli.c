/* SPDX-License-Identifier: Apache-2.0
 * t/unit/test_cli.c - command lines of fubar-client: what is taken, and what is refused with which words. */
#include "supervisor/client/cli.h"

#include "supervisor/client/bench.h"
#include "supervisor/client/format.h"
#include "supervisor/client/opt.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "t/support/unit.h"

static char error[256];
static struct cli c;
static struct bench_opts b;

/* Splits at blanks; the words live until the next call. */
static char **
words(const char *line)
{
	static char text[512];
	static char *argv[64];
	int n = 0;

	snprintf(text, sizeof text, "%s", line);
	for (char *p = strtok(text, " "); p != NULL; p = strtok(NULL, " "))
		argv[n++] = p;
	argv[n] = NULL;
	return argv;
}

static int
parse(unsigned who, const char *line)
{
	cli_fini(&c);
	error[0] = 0;
	return cli_parse(&c, who, words(line), error, sizeof error);
}

static void
refused(unsigned who, const char *line, const char *text)
{
	ck_assert_msg(parse(who, line) == FB_EINVAL, "taken: %s", line);
	ck_assert_msg(strstr(error, text) != NULL, "%s: says '%s', not '%s'", line, error, text);
}

static void
bench_refused(const char *line, const char *text)
{
	ck_assert_msg(bench_opts_parse(&b, words(line), error, sizeof error) == FB_EINVAL, "taken: %s", line);
	ck_assert_msg(strstr(error, text) != NULL, "%s: says '%s', not '%s'", line, error, text);
}

START_TEST(sub_takes_its_options)
{
	ck_assert_int_eq(parse(CLI_SUB, "-t a -t b/# -T b/c -q2 -h host -p 1234 -vd -i me -c -k 5 -C 3 -W 0.5 -V mqttv31 -R "
	    "-N -u n -P w --will-topic w/t --will-payload gone --will-qos 1 --will-retain"), 0);
	ck_assert_uint_eq(c.topics.count, 2);
	ck_assert_str_eq(c.topics.text[1], "b/#");
	ck_assert_str_eq(c.filter_out.text[0], "b/c");
	ck_assert_uint_eq(c.qos, 2);
	ck_assert_str_eq(c.net.at.host, "host");
	ck_assert_uint_eq(c.net.at.port, 1234);
	ck_assert(c.verbose && c.debug && c.durable && c.no_retained && c.no_newline && c.will_retain);
	ck_assert_str_eq(c.id, "me");
	ck_assert_uint_eq(c.keep_alive_s, 5);
	ck_assert_uint_eq(c.count, 3);
	ck_assert(c.timeout_s == 0.5);
	ck_assert_uint_eq(c.level, 3);
	ck_assert_uint_eq(c.will_qos, 1);
}
END_TEST

START_TEST(defaults)
{
	ck_assert_int_eq(parse(CLI_PUB, "-t a -m x"), 0);
	ck_assert_str_eq(c.net.at.host, "localhost");
	ck_assert_uint_eq(target_port(&c.net.at), 1883);
	ck_assert_uint_eq(c.level, 4);
	ck_assert_uint_eq(c.keep_alive_s, 60);
	ck_assert(!c.durable && c.user == NULL && c.will_topic == NULL);
	ck_assert_uint_eq(strlen(c.id), strlen("fubar-pub-01234567"));
}
END_TEST

START_TEST(long_names_shorten_and_take_an_equal_sign)
{
	ck_assert_int_eq(parse(CLI_PUB, "--topic=a --mess=x=y --ret --username=u --pw w"), 0);
	ck_assert_str_eq(c.message, "x=y");
	ck_assert(c.retain);
	ck_assert_str_eq(c.password, "w");
	refused(CLI_PUB, "--will", "--will-topic");
	refused(CLI_PUB, "-t a -m x --retain=1", "takes no value");
}
END_TEST

START_TEST(a_url_is_many_options)
{
	ck_assert_int_eq(parse(CLI_SUB, "-L mqtt://joe:pw@host:99/a/b"), 0);
	ck_assert_str_eq(c.user, "joe");
	ck_assert_str_eq(c.password, "pw");
	ck_assert_str_eq(c.net.at.host, "host");
	ck_assert_uint_eq(c.net.at.port, 99);
	ck_assert_str_eq(c.topics.text[0], "a/b");
	ck_assert_int_eq(parse(CLI_SUB, "-L mqtt://[::1]/t"), 0);
	ck_assert_str_eq(c.net.at.host, "::1");
	ck_assert_int_eq(parse(CLI_SUB, "-L mqtt://[::1]:7/t"), 0);
	ck_assert_uint_eq(c.net.at.port, 7);
	refused(CLI_SUB, "-L http://host/t", "mqtt://");
	refused(CLI_SUB, "-L mqtt:///t", "needs a host");
	refused(CLI_SUB, "-L mqtt://host:0/t", "from 1 to 65535");
}
END_TEST

START_TEST(what_does_not_go_together_is_refused)
{
	refused(CLI_SUB, "", "topic filter is needed");
	refused(CLI_SUB, "-t a -x", "-x");
	refused(CLI_SUB, "-t a/#/b", "'a/#/b' is no valid topic filter");
	refused(CLI_SUB, "-t a -c", "-i");
	refused(CLI_SUB, "-t a -P w", "-u");
	refused(CLI_SUB, "-t a --will-payload x", "--will-topic");
	refused(CLI_SUB, "-t a -m x", "unknown option -m");
	refused(CLI_SUB, "-t a --nonsense", "unknown option --nonsense");
	refused(CLI_SUB, "-t a more", "'more' is no option");
	refused(CLI_SUB, "-t a -q 3", "from 0 to 2");
	refused(CLI_SUB, "-t a -q", "needs a value");
	refused(CLI_SUB, "-t a -p 70000", "from 1 to 65535");
	refused(CLI_SUB, "-t a -V 6", "mqttv31");
	refused(CLI_SUB, "-t a --no-local", "-V 5");
	refused(CLI_SUB, "-t a -R --retained-only", "leave nothing");
	refused(CLI_PUB, "-m x", "a topic is needed");
	refused(CLI_PUB, "-t a", "what is to be published");
	refused(CLI_PUB, "-t a -m x -n", "only one of");
	refused(CLI_PUB, "-t a -t b -m x", "only one topic");
	refused(CLI_PUB, "-t a/+ -m x", "no + or #");
	refused(CLI_PUB, "-t a -l --repeat 3", "--repeat");
}
END_TEST

START_TEST(properties_are_checked)
{
	ck_assert_int_eq(parse(CLI_PUB, "-V 5 -t a -m x -D publish user-property k v -D publish message-expiry-interval 10 "
	    "-x 60"), 0);
	ck_assert_uint_eq(buf_len(&c.props[CLI_P_PUBLISH]), 7 + 5);
	ck_assert_uint_eq(buf_len(&c.props[CLI_P_CONNECT]), 5);
	refused(CLI_PUB, "-t a -m x -x 60", "-V 5");
	refused(CLI_PUB, "-V 5 -t a -m x -D publish nonsense 1", "no property");
	refused(CLI_PUB, "-V 5 -t a -m x -D publish topic-alias x", "no value");
	refused(CLI_PUB, "-V 5 -t a -m x -D connect topic-alias 1", "may not stand there");
	refused(CLI_PUB, "-V 5 -t a -m x -D elsewhere topic-alias 1", "not connect");
	refused(CLI_PUB, "-V 5 -t a -m x -D publish user-property k", "NAME VALUE");
}
END_TEST

START_TEST(bench_knows_its_modes)
{
	ck_assert_int_eq(bench_opts_parse(&b, words("1to1"), error, sizeof error), 0);
	ck_assert_int_eq(b.mode, BENCH_1TO1);
	ck_assert_uint_eq(b.pubs, 50);
	ck_assert_uint_eq(b.subs, 50);
	ck_assert_uint_eq(b.window, 100);
	ck_assert(b.warmup_s == 1 && b.duration_s == 5);
	ck_assert_int_eq(bench_opts_parse(&b, words("-w 3 fanout --subs 10 -m 500 --broker-pid 1,2"), error, sizeof error),
	    0);
	ck_assert_uint_eq(b.pubs, 1);
	ck_assert_uint_eq(b.subs, 10);
	ck_assert_uint_eq(b.window, 3);
	ck_assert(b.warmup_s == 0 && b.messages == 500);
	ck_assert_uint_eq(b.procs.root_count, 2);
	ck_assert_int_eq(bench_opts_parse(&b, words("fanin -q 1 -s 16 --pairs 4"), error, sizeof error), 0);
	ck_assert_uint_eq(b.pubs, 4);
	ck_assert_uint_eq(b.subs, 1);
	ck_assert_int_eq(bench_opts_parse(&b, words("retained"), error, sizeof error), 0);
	ck_assert_uint_eq(b.qos, 1);
	ck_assert_int_eq(bench_opts_parse(&b, words("1to1 --subscribe 1000"), error, sizeof error), 0);
	ck_assert_uint_eq(b.idle, 100);
}
END_TEST

START_TEST(bench_refuses)
{
	bench_refused("", "say what to measure");
	bench_refused("sideways", "'sideways' is not what to measure");
	bench_refused("1to1 fanin", "'fanin' is not what to measure");
	bench_refused("1to1 -s 15", "from 16");
	bench_refused("1to1 --slope", "--broker-pid");
	bench_refused("1to1 --slope --broker-pid 1", "conn and retained");
	bench_refused("1to1 --broker-pid x", "process ids");
	bench_refused("1to1 -q 1 -w 40000", "32767");
	bench_refused("1to1 --clients-prefix a/+", "no + or #");
	bench_refused("1to1 -r 0", "from 0.001");
}
END_TEST

START_TEST(formats)
{
	struct mqtt_publish p = { .topic = SLICE_LIT("a/b"), .payload = SLICE_LIT("h\"i"), .qos = 1, .packet_id = 7 };
	struct mqtt_publish raw = { .topic = SLICE_LIT("a"), .payload = SLICE_LIT("\xff\x01") };
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	char bad = 0;

	ck_assert_int_eq(format_check("%t %p %x %X %l %q %r %m %I %U %j %J %%\\n\\t\\\\", &bad), 0);
	ck_assert_int_eq(format_check("%t %y", &bad), FB_ESYNTAX);
	ck_assert_int_eq(bad, 'y');
	ck_assert_int_eq(format_check("x\\", &bad), FB_ESYNTAX);
	ck_assert_int_eq(format_check("x%", &bad), FB_ESYNTAX);
	format_print(f, "%t|%p|%x|%l|%q|%r|%m|%%|%U\\t", &p, (struct wall){ 1500000000 });
	format_print(f, "%j", &p, (struct wall){ 0 });
	format_print(f, "%j", &raw, (struct wall){ 0 });
	fclose(f);
	ck_assert_ptr_eq(strstr(text, "a/b|h\"i|682269|3|1|0|7|%|1.500000000\t"), text);
	ck_assert_ptr_nonnull(strstr(text,
	    "\"topic\":\"a/b\",\"qos\":1,\"retain\":0,\"payloadlen\":3,\"mid\":7,\"payload\":\"h\\\"i\"}"));
	ck_assert_ptr_nonnull(strstr(text, "\"payload_hex\":\"ff01\"}"));
	free(text);
}
END_TEST

START_TEST(commands_of_the_shell)
{
	ck_assert_int_eq(parse(CLI_CONNECT, "-u joe -P pw -k 5 -c --will-topic t --redirects 3 --tls"), 0);
	ck_assert_ptr_null(c.id);
	ck_assert(c.durable && c.net.at.tls);
	ck_assert_uint_eq(c.redirects, 3);
	ck_assert_int_eq(parse(CLI_SUBSCRIBE, "a b/# -q 1 -t c"), 0);
	ck_assert_uint_eq(c.topics.count, 3);
	ck_assert_int_eq(parse(CLI_PUBLISH, "a text -r"), 0);
	ck_assert_str_eq(c.message, "text");
	ck_assert_int_eq(c.source, CLI_MESSAGE);
	refused(CLI_PUBLISH, "a", "what is to be published");
	refused(CLI_PUBLISH, "a b c", "only one of");
	refused(CLI_PUBLISH, "+/a b", "no valid");
	refused(CLI_SUBSCRIBE, "", "needed");
	refused(CLI_SUBSCRIBE, "a --no-local", "level 5");
	refused(CLI_UNSUBSCRIBE, "a -q 1", "unknown option");
	refused(CLI_CONNECT, "word", "no option");
	refused(CLI_DISCONNECT, "-k 5", "unknown option");
}
END_TEST

UNIT_MAIN("cli", sub_takes_its_options, defaults, long_names_shorten_and_take_an_equal_sign, a_url_is_many_options, commands_of_the_shell,
    what_does_not_go_together_is_refused, properties_are_checked, bench_knows_its_modes, bench_refuses, formats)
